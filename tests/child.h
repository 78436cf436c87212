/*
 * For what a test cannot survive or has to see from outside: runs a function
 * in a child process and gives what that said on standard error.
 */
#ifndef TESTS_CHILD_H
#define TESTS_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

/* What child_run() returns if the child ended in abort(). */
enum { CHILD_ABORTED = 134 };

/*
 * The exit status of the child, 0 if fn returned; and in *said its words,
 * which are static.
 */
int child_run(void (*fn)(void *arg), void *arg, const char **said);

/* False under a sanitizer that lets no forked child have threads. */
bool child_may_have_threads(void);

/* Ends a child with that status, and saves what it has covered. */
_Noreturn void child_leave(int status);

/* Waits for a child of the test's own, which ends with status 0. */
void child_ends(pid_t pid);

/*
 * A child that holds every descriptor that is open now, and does nothing,
 * until it is let go.
 */
pid_t child_hold(void);
void child_let_go(pid_t pid);

/* Asserts that fn(arg) aborts and that what it says contains this. */
void assert_aborts(void (*fn)(void *arg), void *arg, const char *says);

#endif
