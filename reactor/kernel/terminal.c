/*
 * The mode of a terminal, and giving it back: plait_terminal_set_mode().
 *
 * A terminal keeps its mode when a program ends, and the shell behind it could
 * not be used.  So the mode of before comes back on every way out:
 *
 *   exit		terminal_give_back()
 *   a fatal signal	terminal_on_end() gives the mode back, and then lets the
 *			signal do what it would have done
 *   SIGTSTP		terminal_on_stop() gives it back, stops, and sets the
 *			mode again
 *   SIGCONT		the shell has set its own mode while the program was
 *			stopped, by whatever signal: terminal_on_go()
 *
 * The handlers are for signals whose action was the default.  They call only
 * what a handler may call.  A process that is not in the foreground leaves the
 * terminal alone: it is somebody else's then.  So does a child made by fork().
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <plait/terminal.h>

#include "reactor/kernel/terminal.h"

/* What ends a process, by default. */
static const int terminal_ends[] = {
	SIGHUP,	 SIGINT,  SIGQUIT, SIGILL,  SIGTRAP, SIGABRT, SIGBUS,
	SIGFPE,	 SIGUSR1, SIGSEGV, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM,
	SIGXCPU, SIGXFSZ, SIGPROF, SIGSYS,  SIGIO,   SIGPWR,  SIGVTALRM,
};

enum { N_ENDS = sizeof(terminal_ends) / sizeof(*terminal_ends) };

static struct {
	volatile sig_atomic_t is_set; /* all else is set before */
	int fd;			      /* a copy */
	pid_t process;
	struct termios before, now;
} terminal;

/* ---- in handlers, too ---------------------------------------------------- */

/* Without a terminal of its own the process is in no background. */
static bool terminal_is_ours(void)
{
	pid_t foreground;

	if (!terminal.is_set || terminal.process != getpid())
		return false;
	foreground = tcgetpgrp(terminal.fd);
	return foreground < 0 || foreground == getpgrp();
}

/* 0 or -errno.  It does not wait until what was written is shown: nobody may
   look. */
static int terminal_apply(const struct termios *mode)
{
	int rc;

	do
		rc = tcsetattr(terminal.fd, TCSANOW, mode);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

static void terminal_give_back(void)
{
	if (terminal_is_ours())
		terminal_apply(&terminal.before);
}

static void terminal_take_up(void)
{
	if (terminal_is_ours())
		terminal_apply(&terminal.now);
}

/* The signal waits until its handler has returned. */
static void terminal_let_it_end(int number)
{
	struct sigaction end = { .sa_handler = SIG_DFL };

	sigaction(number, &end, NULL);
	kill(getpid(), number);
}

static void terminal_on_end(int number)
{
	int saved = errno;

	terminal_give_back();
	terminal_let_it_end(number);
	errno = saved;
}

static void terminal_on_go(int number)
{
	int saved = errno;

	terminal_take_up();
	errno = saved;
}

static void terminal_handle(int number, void (*handler)(int number))
{
	struct sigaction a = { .sa_handler = handler, .sa_flags = SA_RESTART };

	sigfillset(&a.sa_mask);
	sigaction(number, &a, NULL);
}

static void terminal_on_stop(int number)
{
	int saved = errno;
	sigset_t stop, before;

	terminal_give_back();
	terminal_let_it_end(number);
	sigemptyset(&stop);
	sigaddset(&stop, number);
	/* It stops in here, and goes on when it is continued. */
	pthread_sigmask(SIG_UNBLOCK, &stop, &before);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	terminal_handle(number, terminal_on_stop);
	/* If there is no shell, it has not stopped. */
	terminal_take_up();
	errno = saved;
}

/* ---- signals ------------------------------------------------------------- */

static void (*terminal_handler(int number))(int number)
{
	if (number == SIGTSTP)
		return terminal_on_stop;
	return number == SIGCONT ? terminal_on_go : terminal_on_end;
}

/* Only what has the default action: the program may have its own. */
static void terminal_take_signal(int number)
{
	struct sigaction now;

	if (sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
		terminal_handle(number, terminal_handler(number));
}

static void terminal_leave_signal(int number)
{
	struct sigaction now, end = { .sa_handler = SIG_DFL };

	if (sigaction(number, NULL, &now) == 0 &&
	    now.sa_handler == terminal_handler(number))
		sigaction(number, &end, NULL);
}

static void terminal_for_each_signal(void (*fn)(int number))
{
	for (int i = 0; i < N_ENDS; i++)
		fn(terminal_ends[i]);
	fn(SIGTSTP);
	fn(SIGCONT);
}

bool plait_i_terminal_has_action(int number, const struct sigaction *a)
{
	return a->sa_handler == terminal_handler(number);
}

void plait_i_terminal_take_signal(int number)
{
	if (terminal.is_set && terminal.process == getpid())
		terminal_take_signal(number);
}

/* ---- the mode ------------------------------------------------------------ */

static struct termios terminal_mode(const struct termios *before,
				    enum plait_terminal_mode mode)
{
	struct termios t = *before;

	if (mode == PLAIT_TERMINAL_RAW) {
		cfmakeraw(&t);
	} else {
		t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		t.c_cc[VMIN] = 1;
		t.c_cc[VTIME] = 0;
	}
	return t;
}

/* Is fd the terminal that has a mode now? */
static bool terminal_is_same(int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && fstat(terminal.fd, &b) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino &&
	       a.st_rdev == b.st_rdev;
}

static int terminal_forget(void)
{
	int err = terminal_is_ours() ? terminal_apply(&terminal.before) : 0;

	terminal.is_set = false;
	terminal_for_each_signal(terminal_leave_signal);
	close(terminal.fd);
	return err;
}

static int terminal_begin(int fd)
{
	static bool exits;

	if (tcgetattr(fd, &terminal.before) < 0)
		return -errno;
	if (!exits && atexit(terminal_give_back) != 0)
		return -ENOMEM;
	exits = true;
	terminal.fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (terminal.fd < 0)
		return -errno;
	terminal.now = terminal.before;
	terminal.process = getpid();
	terminal.is_set = true;
	terminal_for_each_signal(terminal_take_signal);
	return 0;
}

int plait_terminal_set_mode(int fd, enum plait_terminal_mode mode)
{
	int err = 0;

	if (mode != PLAIT_TERMINAL_AS_IT_WAS && mode != PLAIT_TERMINAL_KEYS &&
	    mode != PLAIT_TERMINAL_RAW)
		return -EINVAL;
	/* A child that was forked begins anew. */
	if (terminal.is_set && terminal.process != getpid())
		terminal_forget();
	if (terminal.is_set && !terminal_is_same(fd))
		return -EBUSY;
	if (mode == PLAIT_TERMINAL_AS_IT_WAS)
		return terminal.is_set ? terminal_forget() : 0;
	if (!terminal.is_set)
		err = terminal_begin(fd);
	if (err < 0)
		return err;
	terminal.now = terminal_mode(&terminal.before, mode);
	err = terminal_is_ours() ? terminal_apply(&terminal.now) : 0;
	if (err < 0)
		terminal_forget();
	return err;
}
