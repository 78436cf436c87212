/*
 * The failure that is told when a connection ends as it should.
 */
#ifndef REACTOR_ERRORS_H
#define REACTOR_ERRORS_H

#include "lib/failure.h"

/* The failure that plait_connection_done() gives. */
extern const struct plait_failure plait_i_failure_connection_done;

#endif
