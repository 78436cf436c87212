/*
 * What every test program is written with.
 *
 *	START_TEST(late_result_is_freed)
 *	{
 *		...
 *		run_until(reactor, is_set, &fired);
 *	}
 *	END_TEST
 *
 *	int main(void)
 *	{
 *		Suite *s = suite_create("deferred");
 *		TCase *tc = tcase_create("cancel");
 *
 *		tcase_add_pure_test(tc, late_result_is_freed);
 *		suite_add_tcase(s, tc);
 *		return suite_main(s);
 *	}
 *
 * A test that is added as pure or reactor test fails if it leaves memory of
 * the library's, a descriptor, or a failure that nobody handled.
 */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <plait/plait.h>

#include "tests/fault.h"

/* A test without a reactor. */
#define tcase_add_pure_test(tc, test) harness_add(tc, test, 0, 1, false)
#define tcase_add_pure_loop_test(tc, test, start, end)                         \
	harness_add(tc, test, start, end, false)

/*
 * A test that runs once on each backend, or on $PLAIT_REACTOR alone, with a
 * new reactor each time.  It may free the reactor itself.
 */
#define tcase_add_reactor_test(tc, test) harness_add(tc, test, 0, 1, true)
#define tcase_add_reactor_loop_test(tc, test, start, end)                      \
	harness_add(tc, test, start, end, true)

/* A test that has to end in abort(). */
#define tcase_add_abort_test(tc, test)                                         \
	tcase_add_test_raise_signal(tc, test, SIGABRT)

extern struct plait_reactor *reactor;

/* The name of its backend, for torture(); NULL in a pure test. */
extern const char *backend;

void harness_add(TCase *tc, const TTest *test, int start, int end,
		 bool wants_reactor);

/* Runs and frees the suite; what main() returns. */
int suite_main(Suite *s);

/* How much slower than usual things may be: $PLAIT_TEST_MULT, sanitizers. */
double test_mult(void);

/*
 * Failures that nobody handled: how many since the test began, the last of
 * them as text, and how many the test expects; 0 unless it says otherwise.
 */
unsigned unhandled_count(void);
const char *unhandled_text(void);
void unhandled_expect(unsigned n);

/*
 * Turns the reactor until pred(arg) is true, and fails the test if that takes
 * longer than 14 seconds.  In the faulty run of a torture it only returns
 * false if it does not come true.
 */
bool run_until(struct plait_reactor *r, bool (*pred)(void *arg), void *arg);

/* Turns it until *flag, or until *n is at least that. */
bool run_until_set(struct plait_reactor *r, const bool *flag);
bool run_until_count(struct plait_reactor *r, const unsigned *n,
		     unsigned least);

/* That many turns that wait for nothing. */
void run_turns(struct plait_reactor *r, unsigned n);

/*
 * Turns it until that many seconds have passed on the library's clock, which
 * is made virtual: it takes no time.
 */
void run_for(struct plait_reactor *r, double seconds);

/*
 * Open descriptors.  fd_table_new() notes them; fd_table_check() prints what
 * has changed since, returns how much, and frees the table.
 */
struct fd_table;
struct fd_table *fd_table_new(void);
unsigned fd_table_check(struct fd_table **tp);

/*
 * Torture: runs the scenario in child processes, once for each allocation
 * that it makes, and refuses that one; then with all later ones refused, too;
 * then the same until the reactor is freed.  Each time the child must live,
 * the scenario must then pass on the same reactor without a fault, and
 * nothing may be left when that is freed.
 *
 * The scenario does a whole thing, from listening to having freed all, and
 * asserts that it went well only if torture_faulty() is false; when it is
 * true anything may fail, but nothing may be left.  The clock is virtual.
 */
typedef void scenario(struct plait_reactor *r);
void torture(scenario *run, const char *backend);
bool torture_faulty(void);

/*
 * The same for system calls: each call of a table fails with each errno that
 * the table has for it, the first time, the second time and so on, and moves
 * one byte only.
 */
void torture_syscalls(scenario *run, const char *backend);

/*
 * The other side: plain sockets of the test on 127.0.0.1, which no fault can
 * hit.  Nothing here waits longer than 14 seconds; then the test fails.  In
 * the faulty run of a torture it does not fail: what returns a descriptor
 * returns -1, and all take -1 for a connection that went wrong.
 */
int peer_hold_port(uint16_t *port); /* bound, not listening: it refuses */
int peer_listen(uint16_t *port, int backlog);

/*
 * Bound, not listening, and shared with the library: a number that nobody else
 * is given, also while no port of the test listens on it.
 */
int peer_keep_port(uint16_t *port);
int peer_accept(int listener);
int peer_connect(uint16_t port);
int peer_connect_start(uint16_t port); /* non-blocking */
void peer_say(int fd, const char *text);
void peer_reset(int fd); /* closes with a RST */

/*
 * Sends all of it, turning the reactor while there is no room (NULL: only
 * waiting).  False with errno if the connection is gone.
 */
bool peer_send(struct plait_reactor *r, int fd, const void *data, size_t len);

/*
 * Turn the reactor (NULL: only wait) until that many bytes have come, or
 * until EOF.  Return how many came, less than want at EOF; -errno if the
 * connection was reset.  A NULL buf throws them away.
 */
ssize_t peer_read(struct plait_reactor *r, int fd, void *buf, size_t want);
ssize_t peer_read_to_eof(struct plait_reactor *r, int fd, void *buf,
			 size_t size);

#endif
