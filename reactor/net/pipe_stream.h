/*
 * The transport on one end of a pipe: on one it is only read, on the other only
 * written.
 */
#ifndef REACTOR_PIPE_STREAM_H
#define REACTOR_PIPE_STREAM_H

#include "reactor/net/stream.h"

extern const struct stream_io plait_i_pipe_reader, plait_i_pipe_writer;

/* ... and on a terminal, whose other end somebody else has: read and written.
 */
extern const struct stream_io plait_i_terminal;

#endif
