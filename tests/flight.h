/*
 * Packets on their way between the sockets of this process.
 *
 * On loopback a packet mostly has arrived when the call that sent it returns.
 * It has not if the kernel is busy, with other programs' packets for example,
 * and leaves it to a thread of its own.  Who makes time pass in no time has to
 * know which it is, or what takes a moment is taken for what never comes.
 */
#ifndef TESTS_FLIGHT_H
#define TESTS_FLIGHT_H

#include <stdbool.h>

/*
 * True if a packet between two TCP sockets of this process, or from one that
 * it has closed, has been sent and has not arrived; or if there is a UDP socket
 * and that may be so of one of its packets.
 */
bool flight_is_on(void);

/* A wait: how many events there are in that many milliseconds, or -1. */
typedef int flight_wait_func(void *arg, int milliseconds);

/*
 * Waits for events while packets are on their way; returns at once if there
 * are events or no packets.
 */
int flight_wait(flight_wait_func *wait, void *arg);

#endif
