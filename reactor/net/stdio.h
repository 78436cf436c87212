/*
 * Standard input and output as a transport.
 */
#ifndef REACTOR_STDIO_H
#define REACTOR_STDIO_H

#include <plait/pipe.h>

#include "reactor/net/transport.h"

/* As plait_i_given_new(), with copies of the descriptors 0 and 1.  ENOTSUP: the
   kernel has none. */
struct plait_transport *plait_i_stdio(struct plait_reactor *r,
				      enum plait_terminal_mode mode,
				      struct transport_owner *owner);

#endif
