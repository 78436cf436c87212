/*
 * Ports for datagrams on a testing reactor.
 */
#ifndef REACTOR_TESTING_DATAGRAM_H
#define REACTOR_TESTING_DATAGRAM_H

#include "reactor/net/network.h"

datagram_maker plait_i_testing_datagrams;

#endif
