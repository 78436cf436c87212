/*
 * Listening and connecting on TCP sockets, on a reactor that has no network of
 * its own.
 */
#ifndef REACTOR_TCP_H
#define REACTOR_TCP_H

#include "reactor/net/dial.h"
#include "reactor/net/port.h"

port_maker plait_i_tcp_port_new;
extern const struct dial_ops plait_i_tcp_dial_ops;

#endif
