/*
 * How TCP sockets connect, for a function that finds the address in another way
 * than plait_connect_tcp(); and how they are read and written.
 */
#ifndef REACTOR_TCP_H
#define REACTOR_TCP_H

#include "reactor/net/dial.h"

extern const struct dial_ops plait_i_tcp_dial_ops;
extern const struct stream_io plait_i_tcp_stream_io;

#endif
