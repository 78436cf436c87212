/*
 * The seam between the library and the world.  In the tests' build of the
 * library every allocation and every system call of tests/wrap.list goes
 * through fault.c, which counts it, lets it through, or makes it fail as the
 * test has asked.  The calls of the test itself are never touched.
 *
 * Calls are named as text: fault_call("recv", 2, EINTR).  A name that is not
 * in wrap.list fails the test.  Everything may be used from any thread.
 */
#ifndef TESTS_FAULT_H
#define TESTS_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * The n-th allocation from now fails; 0 is the next one.  If persistent, all
 * later ones fail, too.
 */
void fault_alloc_at(unsigned long n, bool persistent);

/* True if an allocation was refused since fault_alloc_at(). */
bool fault_alloc_reached(void);

/* Allocations work again. */
void fault_alloc_off(void);

/* What the library holds at this moment, and how often it has asked. */
unsigned long heap_live(void);
size_t heap_live_bytes(void);

/* How many bytes malloc() has taken for them: with what it adds to each. */
size_t heap_held_bytes(void);
unsigned long heap_calls(void);

/*
 * A place in the sequence of allocations, and how many of those made since
 * then are still held; each is printed with a command that says where it was
 * made, if to is not NULL.
 */
unsigned long heap_mark(void);
unsigned long heap_left_since(unsigned long mark, FILE *to);

/*
 * Each call has a queue of what is to happen to it, which these add to; when
 * the queue is empty it is let through.
 *
 * The next n calls fail with that errno (pthread_ functions return it).  What
 * a close() fails with does not keep it from closing, and a connect() that
 * fails with EINTR or EINPROGRESS does begin: so it is in the kernel.
 */
void fault_call(const char *name, unsigned long n, int err);
void fault_call_forever(const char *name, int err);

/* The next n calls are let through. */
void fault_pass(const char *name, unsigned long n);

/* The next n reads or writes, of whatever kind, move at most max bytes; of
   sendmmsg() and recvmmsg(), at most max messages. */
void fault_short(const char *name, unsigned long n, size_t max);
void fault_short_forever(const char *name, size_t max);

/*
 * From now on send() and sendmsg() take that many bytes in all, then no more:
 * a peer that takes exactly so much.  SIZE_MAX, the default: all.
 */
void fault_room(size_t bytes);

/* True if the queue of that call has been used up. */
bool fault_used(const char *name);

/* Forgets all queues, hooks, clock changes and the allocation to refuse. */
void fault_off(void);

/* How often it was called, failing or not, since the last calls_reset(). */
unsigned long calls_of(const char *name);
void calls_reset(void);

/*
 * Calls fn(arg) before each such call, from inside it: the moment between two
 * steps of the library that nothing else can reach.  NULL ends it.
 */
void call_hook(const char *name, void (*fn)(void *arg), void *arg);

/*
 * The library's clock.  clock_advance() lets it jump.  While it is virtual it
 * stands still, and a wait that would sleep moves it on by its timeout
 * instead: hours pass in no time, and the sockets are still real.
 */
void clock_advance(double seconds);
void clock_virtual(bool on);
bool clock_is_virtual(void);
double clock_now(void);

/* The timeout of the last wait, in seconds; negative: for ever. */
double wait_timeout(void);

/*
 * For a kernel that stands in for the real one (model.h).  fault_next() counts
 * the next call of that name and returns the errno that it has to fail with,
 * or 0; *most is how many bytes it may move, or 0 for all.  fault_sent() says
 * how many were sent, fault_waits() for how long somebody waits.  What is
 * allocated between fault_outside(true) and fault_outside(false) is the
 * kernel's, not the library's.  From fault_follow_clock() on clock_now() and
 * clock_advance() are these functions, until they are NULL.
 */
int fault_next(const char *name, size_t *most);
void fault_sent(size_t n);
void fault_waits(double seconds);
void fault_outside(bool is_outside);
void fault_follow_clock(double (*now)(void), void (*advance)(double seconds));

#endif
