/*
 * How streams on UNIX sockets are read and written, for whoever has such a
 * socket.
 */
#ifndef REACTOR_UNIX_H
#define REACTOR_UNIX_H

#include "reactor/net/stream.h"

extern const struct stream_io plait_i_unix_stream_io;

#endif
