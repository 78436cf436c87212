/*
 * Ports and connectors on TCP sockets, as plait_listen_tcp() and
 * plait_connect_tcp() make them on a reactor that has no network of its own.
 */
#ifndef REACTOR_TCP_H
#define REACTOR_TCP_H

#include "reactor/net/connector.h"
#include "reactor/net/port.h"

port_maker plait_i_tcp_port_new;
connector_maker plait_i_tcp_connector_new;

#endif
