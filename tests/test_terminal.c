/*
 * The mode of a terminal comes back, whatever ends or stops the program.  The
 * terminal is a pty, and the program a child of the test.
 *
 * The kernel resets a terminal itself when the leader of its session ends.  So
 * the children that end here have another terminal, or none.
 */
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

#include <plait/terminal.h>

#include "tests/child.h"
#include "tests/wire.h"

static int master, slave;
static struct termios before;

static void open_terminal(void)
{
	ck_assert_int_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
	ck_assert_int_eq(tcgetattr(slave, &before), 0);
	fcntl(master, F_SETFD, FD_CLOEXEC);
}

static void close_terminal(void)
{
	close(master);
	close(slave);
}

static struct termios mode_now(void)
{
	struct termios t;

	ck_assert_int_eq(tcgetattr(slave, &t), 0);
	return t;
}

static bool is_as_it_was(void)
{
	struct termios t = mode_now();

	return t.c_lflag == before.c_lflag && t.c_iflag == before.c_iflag &&
	       t.c_oflag == before.c_oflag && t.c_cflag == before.c_cflag &&
	       memcmp(t.c_cc, before.c_cc, sizeof(t.c_cc)) == 0;
}

static bool is_raw(void)
{
	return !(mode_now().c_lflag & (ICANON | ECHO | ISIG));
}

/* ---- one process --------------------------------------------------------- */

GROUP("mode", .setup = open_terminal, .teardown = close_terminal);

TEST(mode_is_set_and_given_back, PURE)
{
	ck_assert_int_eq(plait_terminal_set_mode(slave, PLAIT_TERMINAL_RAW), 0);
	ck_assert(is_raw());
	ck_assert(!(mode_now().c_oflag & OPOST));
	ck_assert_int_eq(plait_terminal_set_mode(slave, PLAIT_TERMINAL_KEYS),
			 0);
	ck_assert(!(mode_now().c_lflag & (ICANON | ECHO)));
	ck_assert(mode_now().c_lflag & ISIG);
	ck_assert(mode_now().c_oflag & OPOST);
	ck_assert_int_eq(
		plait_terminal_set_mode(slave, PLAIT_TERMINAL_AS_IT_WAS), 0);
	ck_assert(is_as_it_was());
	ck_assert_int_eq(
		plait_terminal_set_mode(slave, PLAIT_TERMINAL_AS_IT_WAS), 0);
}

TEST(wrong_calls_change_nothing, PURE)
{
	int other[2], null = open("/dev/null", O_RDWR);

	ck_assert_int_eq(openpty(&other[0], &other[1], NULL, NULL, NULL), 0);
	ck_assert_int_eq(plait_terminal_set_mode(-1, PLAIT_TERMINAL_RAW),
			 -EBADF);
	ck_assert_int_eq(plait_terminal_set_mode(null, PLAIT_TERMINAL_RAW),
			 -ENOTTY);
	ck_assert_int_eq(
		plait_terminal_set_mode(slave, (enum plait_terminal_mode)3),
		-EINVAL);
	ck_assert_int_eq(plait_terminal_set_mode(slave, PLAIT_TERMINAL_RAW), 0);
	ck_assert_int_eq(plait_terminal_set_mode(other[1], PLAIT_TERMINAL_RAW),
			 -EBUSY);
	ck_assert(is_raw());
	ck_assert_int_eq(
		plait_terminal_set_mode(slave, PLAIT_TERMINAL_AS_IT_WAS), 0);
	close(other[0]);
	close(other[1]);
	close(null);
}

TEST(calls_that_fail_leave_nothing, PURE, TIMES(3))
{
	static const char *const calls[] = { "tcgetattr", "tcsetattr",
					     "fcntl" };
	struct sigaction a;

	fault_call(calls[_i], 1, EIO);
	ck_assert_int_eq(plait_terminal_set_mode(slave, PLAIT_TERMINAL_RAW),
			 -EIO);
	ck_assert(is_as_it_was());
	sigaction(SIGILL, NULL, &a);
	ck_assert(a.sa_handler == SIG_DFL);
}

TEST(interrupted_call_is_made_again, PURE)
{
	fault_call("tcsetattr", 1, EINTR);
	ck_assert_int_eq(plait_terminal_set_mode(slave, PLAIT_TERMINAL_RAW), 0);
	ck_assert(is_raw());
	plait_terminal_set_mode(slave, PLAIT_TERMINAL_AS_IT_WAS);
}

static void own_handler(int number)
{
}

TEST(actions_of_the_program_stay, PURE)
{
	struct sigaction own = { .sa_handler = own_handler }, a;

	sigaction(SIGHUP, &own, NULL);
	plait_terminal_set_mode(slave, PLAIT_TERMINAL_RAW);
	sigaction(SIGHUP, NULL, &a);
	ck_assert(a.sa_handler == own_handler);
	sigaction(SIGQUIT, NULL, &a);
	ck_assert(a.sa_handler != SIG_DFL);
	/* One that was set meanwhile, too. */
	sigaction(SIGQUIT, &own, NULL);
	plait_terminal_set_mode(slave, PLAIT_TERMINAL_AS_IT_WAS);
	sigaction(SIGQUIT, NULL, &a);
	ck_assert(a.sa_handler == own_handler);
	sigaction(SIGILL, NULL, &a);
	ck_assert(a.sa_handler == SIG_DFL);
}

TEST(descriptor_may_be_closed_meanwhile, PURE)
{
	int fd = dup(slave);

	plait_terminal_set_mode(fd, PLAIT_TERMINAL_RAW);
	close(fd);
	ck_assert_int_eq(
		plait_terminal_set_mode(slave, PLAIT_TERMINAL_AS_IT_WAS), 0);
	ck_assert(is_as_it_was());
}

/* ---- another process, whose terminal it is ------------------------------- */

GROUP("ways out", .setup = open_terminal, .teardown = close_terminal);

static int told[2]; /* the child is ready */

static const int ends[] = { SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1,
			    SIGPIPE, SIGALRM, SIGXCPU, SIGSYS,	SIGIO };

/* Check has handlers for some, and a shell that starts the tests in the
   background has them ignore others. */
static void forget_handlers(void)
{
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		signal(ends[i], SIG_DFL);
}

static pid_t child_of(void (*fn)(int i), int i)
{
	pid_t pid;

	ck_assert_int_eq(pipe(told), 0);
	pid = fork();
	if (pid == 0) {
		forget_handlers();
		if (plait_terminal_set_mode(slave, PLAIT_TERMINAL_RAW) != 0)
			_exit(99);
		if (write(told[1], "x", 1) != 1)
			_exit(98);
		fn(i);
		_exit(97);
	}
	return pid;
}

static void wait_until_told(void)
{
	char c;

	ck_assert_int_eq((int)read(told[0], &c, 1), 1);
}

static void close_told(void)
{
	close(told[0]);
	close(told[1]);
}

static void sleep_for_ever(int i)
{
	for (;;)
		pause();
}

static void leave_by_exit(int i)
{
	exit(5);
}

TEST(exit_gives_it_back, PURE)
{
	pid_t pid = child_of(leave_by_exit, 0);
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 5);
	ck_assert(is_as_it_was());
	close_told();
}

TEST(signal_gives_it_back_and_still_ends_the_program, PURE, EACH_OF(ends))
{
	pid_t pid = child_of(sleep_for_ever, 0);
	int status;

	wait_until_told();
	ck_assert(is_raw());
	kill(pid, ends[_i]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == ends[_i]);
	ck_assert(is_as_it_was());
	close_told();
}

static void go_wrong(int i)
{
	if (i == 0)
		abort();
	raise(SIGILL);
}

TEST(mistake_of_the_program_gives_it_back, PURE, TIMES(2))
{
	pid_t pid = child_of(go_wrong, _i);
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), _i == 0 ? SIGABRT : SIGILL);
	ck_assert(is_as_it_was());
	close_told();
}

static void fork_and_end(int i)
{
	pid_t grandchild = fork();

	if (grandchild == 0) {
		if (i == 0)
			exit(0);
		raise(SIGTERM);
	}
	waitpid(grandchild, NULL, 0);
	if (write(told[1], "y", 1) != 1)
		_exit(96);
	sleep_for_ever(0);
}

TEST(child_of_the_program_leaves_it_alone, PURE, TIMES(2))
{
	pid_t pid = child_of(fork_and_end, _i);

	wait_until_told();
	wait_until_told();
	ck_assert(is_raw());
	kill(pid, SIGTERM);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert(is_as_it_was());
	close_told();
}

/* ---- stopping ------------------------------------------------------------ */

static int go[2];

static void expect_byte(char what)
{
	char c = 0;

	if (read(told[0], &c, 1) != 1 || c != what)
		_exit(90);
}

static void say_byte(int fd, char what)
{
	if (write(fd, &what, 1) != 1)
		_exit(91);
}

static void become_its_owner(void)
{
	setsid();
	ioctl(slave, TIOCSCTTY, 0);
}

/* Answers each question; what a signal does is done before it goes on. */
static _Noreturn void be_the_job(void)
{
	char question;

	if (read(go[0], &question, 1) != 1 ||
	    plait_terminal_set_mode(slave, PLAIT_TERMINAL_RAW) != 0)
		_exit(92);
	say_byte(told[1], 'R');
	while (read(go[0], &question, 1) == 1)
		say_byte(told[1], 'C');
	_exit(95);
}

static void expect(bool truth, int status)
{
	if (!truth)
		_exit(status);
}

static void stop_job(pid_t job, int number)
{
	int status;

	kill(job, number);
	expect(waitpid(job, &status, WUNTRACED) == job, 93);
	expect(WIFSTOPPED(status), 94);
}

static void continue_job(pid_t job)
{
	kill(job, SIGCONT);
	say_byte(go[1], '?');
	expect_byte('C');
}

/* As a shell does with the terminal. */
static _Noreturn void be_the_shell(int stop)
{
	pid_t job = fork();
	int status;

	if (job == 0) {
		setpgid(0, 0);
		be_the_job();
	}
	signal(SIGTTOU, SIG_IGN);
	setpgid(job, job);
	tcsetpgrp(slave, job);
	say_byte(go[1], 'g');
	expect_byte('R');
	expect(is_raw(), 1);
	stop_job(job, stop);
	tcsetpgrp(slave, getpgrp());
	/* Nobody is asked before SIGSTOP, so the shell has to do that. */
	if (stop == SIGSTOP)
		tcsetattr(slave, TCSANOW, &before);
	expect(is_as_it_was(), 2);
	continue_job(job); /* bg */
	expect(is_as_it_was(), 3);
	stop_job(job, stop);
	expect(is_as_it_was(), 4);
	tcsetpgrp(slave, job);
	continue_job(job); /* fg */
	expect(is_raw(), 5);
	stop_job(job, stop);
	if (stop == SIGSTOP)
		tcsetattr(slave, TCSANOW, &before);
	expect(is_as_it_was(), 6);
	continue_job(job);
	expect(is_raw(), 7);
	kill(job, SIGTERM);
	expect(waitpid(job, &status, 0) == job, 8);
	expect(WIFSIGNALED(status) && is_as_it_was(), 9);
	_exit(0);
}

TEST(program_that_is_stopped_lends_it_to_others, PURE, TIMES(2))
{
	int status;
	pid_t pid;

	ck_assert_int_eq(pipe(told), 0);
	ck_assert_int_eq(pipe(go), 0);
	pid = fork();
	if (pid == 0) {
		become_its_owner();
		forget_handlers();
		be_the_shell(_i == 0 ? SIGTSTP : SIGSTOP);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	close_told();
	close(go[0]);
	close(go[1]);
}

/* ---- beside a reactor ---------------------------------------------------- */

static void *handler_of(int number)
{
	struct sigaction a;

	sigaction(number, NULL, &a);
	return (void *)(uintptr_t)a.sa_handler;
}

static void interrupt(void *arg)
{
	kill(getpid(), SIGINT);
}

static void set_raw_and_stop(void *arg)
{
	plait_terminal_set_mode(slave, PLAIT_TERMINAL_RAW);
	plait_reactor_stop(arg);
}

GROUP("reactor", .setup = open_terminal, .teardown = close_terminal);

TEST(reactor_takes_its_signals_while_it_runs, ON_EACH_BACKEND)
{
	void *before_run;

	forget_handlers();
	plait_terminal_set_mode(slave, PLAIT_TERMINAL_RAW);
	before_run = handler_of(SIGINT);
	ck_assert_ptr_ne(before_run, (void *)(uintptr_t)SIG_DFL);
	plait_call_later(reactor, 0, interrupt, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert(is_raw());
	ck_assert_ptr_eq(handler_of(SIGINT), before_run);
	plait_terminal_set_mode(slave, PLAIT_TERMINAL_AS_IT_WAS);
	ck_assert_ptr_eq(handler_of(SIGINT), (void *)(uintptr_t)SIG_DFL);
}

TEST(signals_of_a_run_that_has_ended_give_it_back, ON_EACH_BACKEND)
{
	forget_handlers();
	plait_call_later(reactor, 0, set_raw_and_stop, reactor);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_ptr_eq(handler_of(SIGINT), handler_of(SIGILL));
	ck_assert_ptr_eq(handler_of(SIGTERM), handler_of(SIGILL));
	plait_terminal_set_mode(slave, PLAIT_TERMINAL_AS_IT_WAS);
	ck_assert_ptr_eq(handler_of(SIGINT), (void *)(uintptr_t)SIG_DFL);
}

/* ---- as an option of a connection ---------------------------------------- */

GROUP("connection", .setup = open_terminal, .teardown = close_terminal);

TEST(connection_has_the_mode_as_long_as_it_lives, ON_EACH_BACKEND)
{
	struct plait_pipe_options o = { .terminal = PLAIT_TERMINAL_RAW };
	struct wire w = { .peer = -1, .reactor = reactor };

	w.protocol = wire_protocol_new(&w);
	ck_assert_int_eq(plait_pipe_transport(reactor, dup(slave), dup(slave),
					      w.protocol, &o),
			 0);
	ck_assert(is_raw());
	ck_assert_int_eq((int)write(master, "\3", 1), 1);
	run_until_count(reactor, &w.calls, 1);
	ck_assert_str_eq(w.text, "\3");
	plait_transport_lose_connection(w.transport);
	run_until_count(reactor, &w.lost, 1);
	run_turns(reactor, 2);
	ck_assert(is_as_it_was());
}

TEST(what_is_no_terminal_has_no_mode, ON_EACH_BACKEND)
{
	struct plait_pipe_options o = { .terminal = PLAIT_TERMINAL_RAW };
	struct wire w = { .peer = -1, .reactor = reactor };
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	w.protocol = wire_protocol_new(&w);
	ck_assert_int_eq(
		plait_pipe_transport(reactor, fds[0], -1, w.protocol, &o), 0);
	close(fds[1]);
	run_until_count(reactor, &w.lost, 1);
	run_turns(reactor, 2);
}

TEST(connection_without_the_mode_is_refused, ON_EACH_BACKEND)
{
	struct plait_pipe_options o = { .terminal = PLAIT_TERMINAL_RAW };
	struct wire w = { .peer = -1, .reactor = reactor };

	w.protocol = wire_protocol_new(&w);
	fault_call("tcsetattr", 1, EIO);
	ck_assert_int_eq(
		plait_pipe_transport(reactor, dup(slave), -1, w.protocol, &o),
		-EIO);
	ck_assert_uint_eq(w.done, 1);
	ck_assert(is_as_it_was());
}
