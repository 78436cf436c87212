/*
 * A transport on two descriptors, one to read and one to write, as somebody
 * would make it who knows no more of the library than its pages.
 */
#ifndef TESTS_PIPES_H
#define TESTS_PIPES_H

#include <plait/transport_ops.h>

/*
 * The descriptors, which are non-blocking, are taken.  NULL with errno; then
 * plait_transport_made() it.
 */
struct plait_transport *pipes_new(struct plait_reactor *r, int in, int out);

#endif
