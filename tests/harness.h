/*
 * What every test program is written with: one file, whose tests register
 * themselves.
 *
 *	GROUP("cancel", .setup = steps_setup);
 *
 *	TEST(late_result_is_freed, PURE)
 *	{
 *		...
 *	}
 *
 *	TEST(whoever_ends_first_the_other_is_told, ON_EACH_BACKEND, TIMES(2))
 *	{
 *		... reactor is a new one, _i is 0 and then 1 ...
 *		run_until_set(reactor, &told);
 *	}
 *
 * The name is a claim.  A test fails if it leaves memory of the library's, a
 * descriptor, or a failure that nobody handled.
 */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <plait/plait.h>

#include "tests/fault.h"

/*
 * On what a test runs.  It may free its reactor itself.  With $PLAIT_REACTOR
 * in the environment there is no other backend than that; and if that is
 * "simulated", nothing runs but what runs on the simulated kernel.
 */
enum test_kind {
	PURE,		 /* once, without a reactor */
	ON_EACH_BACKEND, /* on a new reactor of each backend */
	ON_EACH_KERNEL,	 /* on those, and on the simulated kernel: model.h */
	ON_EACH_REACTOR, /* on those, and before on one of testing.h: timed.h */
};

/* How often: for each _i from the first up to the last, without that. */
#define FROM_TO(first, last) .from = (first), .to = (last)
#define TIMES(n) FROM_TO(0, n)
#define EACH_PAIR(n, m) TIMES((n) * (m))
#define EACH_OF(table) TIMES(N_OF(table))
#define N_OF(table) ((int)(sizeof(table) / sizeof(*(table))))

/* It has to end in abort(). */
#define ABORTS .signal = SIGABRT

/* TEST(name, kind[, FROM_TO(...)][, ABORTS]) { ... } */
#define TEST(claim, ...)                                                       \
	static void claim(int _i);                                             \
	__attribute__((constructor)) static void claim##_registers(void)       \
	{                                                                      \
		static struct test t;                                          \
                                                                               \
		t = (struct test){ .check = { #claim, claim, __FILE__,         \
					      __LINE__ },                      \
				   .kind = __VA_ARGS__ };                      \
		test_add(&t);                                                  \
	}                                                                      \
	static void claim(int _i)

/*
 * GROUP(name[, .setup = f][, .teardown = f][, .timeout = seconds]); begins a
 * group of tests, as far as the next one: one TCase of Check's, which
 * $CK_RUN_CASE chooses.  What Check does around each of its tests is done.
 */
#define GROUP(...) GROUP_IN(__LINE__, __VA_ARGS__)
#define GROUP_IN(where, ...) GROUP_AT(where, __VA_ARGS__)
#define GROUP_AT(where, ...)                                                   \
	static struct group group_##where;                                     \
	__attribute__((constructor)) static void group_##where##_begins(void)  \
	{                                                                      \
		group_##where =                                                \
			(struct group){ .line = where, .name = __VA_ARGS__ };  \
		group_add(&group_##where);                                     \
	}                                                                      \
	static struct group group_##where

struct test {
	TTest check;
	enum test_kind kind;
	int from;
	int to; /* 0: it runs once */
	int signal;
	struct test *next;
};

struct group {
	int line;
	const char *name;
	void (*setup)(void);
	void (*teardown)(void);
	double timeout; /* 0: the usual one */
	struct group *next;
};

void test_add(struct test *t);
void group_add(struct group *g);

/* Runs these and their next ones; what main() returns. */
int tests_run(const char *suite, const struct test *tests);

/* What a suite does first in main(), if it defines this: for tests that execute
   their own program. */
void test_begin(int argc, char **argv) __attribute__((weak));

extern struct plait_reactor *reactor;

/* The name of its backend, for torture(); NULL if it has none. */
extern const char *backend;

/* One more, as reactor is. */
struct plait_reactor *test_reactor_new(void);

/* How much slower than usual things may be: $PLAIT_TEST_MULT, sanitizers; and
   how many seconds of the real clock something may take, therefore. */
double test_mult(void);
double test_patience(void);
double test_real_seconds(void);

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
 * For a list of things to do, #define LIST(USE) USE("where", statement) ...:
 * LIST(USE_WHERE) is a table of where an abort says that they are, and
 * LIST(USE_DO) does the n-th, and counts n down.
 */
#define USE_WHERE(where, ...) where,
#define USE_DO(where, ...)                                                     \
	if (n-- == 0) {                                                        \
		__VA_ARGS__;                                                   \
	}

/* For calls and timers: stops reactor; adds one to an unsigned. */
void call_stop(void *nothing);
void call_count(void *n);

/*
 * Open descriptors.  fd_table_new() notes them; fd_table_check() prints what
 * has changed since, returns how much, and frees the table.
 */
struct fd_table;
struct fd_table *fd_table_new(void);
unsigned fd_table_check(struct fd_table **tp);

/* Closes the first descriptor behind 0, 1 and 2 whose file has this in its
   name, as the kernel has it; as a program does that closes what is not its
   own.  There is one. */
void fd_close_behind(const char *name);

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
 * The other side (peers.c): plain sockets of the test on 127.0.0.1, which no
 * fault can hit.  Nothing here waits longer than 14 seconds; then the test
 * fails.  In the faulty run of a torture it does not fail: what returns a
 * descriptor returns -1, and all take -1 for a connection that went wrong.
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
void peer_close(int fd);
void peer_shut(int fd); /* sends no more */

/* As send(), and recv() with MSG_PEEK, of a socket that does not block. */
ssize_t peer_send_some(int fd, const void *data, size_t len);
ssize_t peer_peek(int fd, void *buf, size_t len);

/* What the kernel says of that socket; and which one of all listens. */
int socket_option(int fd, int level, int option);
int listening_socket(void);

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
