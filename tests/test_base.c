/*
 * Speaking on standard error: reports never wait for who reads them, and what
 * is lost is counted.  Each scene is a child with a standard error of its own,
 * whose other end the child holds as well.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "lib/base.h"
#include "tests/child.h"
#include "tests/harness.h"

/* What was standard error, for the test's own words. */
static int real_stderr;

/* The end that reads what is said on standard error. */
static int reader;

static void check(bool holds, const char *what, int line)
{
	if (holds)
		return;
	dprintf(real_stderr, "line %d: %s\n", line, what);
	_exit(3);
}

#define must(holds) check((holds), #holds, __LINE__)

static void be_stderr(int fd)
{
	real_stderr = fcntl(STDERR_FILENO, F_DUPFD, 100);
	dup2(fd, STDERR_FILENO);
	close(fd);
}

static void be_a_pipe(void)
{
	int fds[2];

	must(pipe(fds) == 0);
	reader = fds[0];
	be_stderr(fds[1]);
}

static void be_sockets(int type)
{
	int fds[2];

	must(socketpair(AF_UNIX, type, 0, fds) == 0);
	reader = fds[0];
	be_stderr(fds[1]);
}

static void be_a_stream(void)
{
	be_sockets(SOCK_STREAM);
}

static void be_datagrams(void)
{
	be_sockets(SOCK_DGRAM);
}

static void be_a_terminal(void)
{
	int fd;

	reader = posix_openpt(O_RDWR | O_NOCTTY);
	must(grantpt(reader) == 0 && unlockpt(reader) == 0);
	fd = open(ptsname(reader), O_RDWR | O_NOCTTY);
	must(fd >= 0);
	be_stderr(fd);
}

/* As where /proc is missing, or the pipe is somebody else's. */
static void be_a_pipe_that_cannot_be_opened(void)
{
	be_a_pipe();
	fault_call_forever("open", EACCES);
}

static void be_a_pipe_without_descriptors(void)
{
	be_a_pipe();
	fault_call_forever("open", EMFILE);
}

static void (*const kinds[])(void) = {
	be_a_pipe,
	be_a_stream,
	be_datagrams,
	be_a_terminal,
	be_a_pipe_that_cannot_be_opened,
	be_a_pipe_without_descriptors,
};

enum { N_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* All that there is to be read, the last of it kept as text. */
static const char *drain(void)
{
	static char text[1 << 20];
	struct pollfd p = { .fd = reader, .events = POLLIN };
	size_t len = 0;
	ssize_t n;

	while (poll(&p, 1, 0) == 1 && (p.revents & POLLIN)) {
		if (len > sizeof(text) - 8192)
			len = 0;
		n = read(reader, text + len, 8191);
		must(n >= 0);
		if (n == 0)
			break;
		len += (size_t)n;
	}
	text[len] = '\0';
	return text;
}

static const char unread[] = "nobody reads this, so it must be lost at last\n";

static void say(const char *text)
{
	plait_i_base_say(text, strlen(text));
}

/* More than any of the kinds has room for; then it is read, and goes on. */
static void say_too_much(void *arg)
{
	const char *text, *note;
	unsigned long count = 0;

	kinds[*(int *)arg]();
	errno = ERANGE;
	for (int i = 0; i < 20000; i++)
		say(unread);
	must(errno == ERANGE);
	must((fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) == 0);
	drain();
	say("at last\n");
	text = drain();
	note = strstr(text, "plait: ");
	must(note != NULL && sscanf(note,
				    "plait: %lu reports lost: standard "
				    "error was full",
				    &count) == 1);
	must(count > 0 && count < 20000);
	must(strstr(note, "at last") != NULL);
	say("once\n");
	text = drain();
	must(strncmp(text, "once", 4) == 0);
}

GROUP("say");

TEST(reports_never_wait_and_what_is_lost_is_counted, PURE, TIMES(N_KINDS))
{
	const char *said;
	int status = child_run(say_too_much, &_i, &said);

	ck_assert_msg(status == 0, "%d: %s", status, said);
}

/* The line before the note was cut off, so the note begins a new one. */
static void tear_a_line(void *arg)
{
	char piece[3000];
	const char *text;

	be_a_stream();
	memset(piece, 'x', sizeof(piece));
	fault_pass("send", 1);
	fault_short("send", 1, 10);
	say("whole\n");
	plait_i_base_say(piece, sizeof(piece));
	say("next\n");
	text = drain();
	must(strcmp(text, "whole\nxxxxxxxxxx\n"
			  "plait: 1 report lost: standard error was full\n"
			  "next\n") == 0);
}

/* Of a long report whole lines go out, as long as there is room. */
static void say_a_long_one(void *arg)
{
	static char text[200 * 100 + 1];
	const char *said;

	for (int i = 0; i < 200; i++)
		snprintf(text + 100 * i, 101, "%-99d\n", i);
	be_a_pipe();
	fcntl(STDERR_FILENO, F_SETPIPE_SZ, 8192);
	say(text);
	said = drain();
	must(strlen(said) >= 4000 && strlen(said) % 100 == 0);
	must(strncmp(said, text, strlen(said)) == 0);
	say("next\n");
	must(strcmp(drain(), "plait: 1 report lost: standard error was full\n"
			     "next\n") == 0);
}

/* Its place in the file is shared, and what is there stays. */
static void say_to_a_file(void *arg)
{
	char path[] = "/tmp/plait-base-XXXXXX", text[64];
	int fd = mkstemp(path);
	ssize_t n;

	must(fd >= 0 && unlink(path) == 0);
	must(write(fd, "before\n", 7) == 7);
	reader = dup(fd);
	be_stderr(fd);
	say("one\n");
	must(write(reader, "between\n", 8) == 8);
	say("two\n");
	n = pread(reader, text, sizeof(text) - 1, 0);
	text[n] = '\0';
	must(strcmp(text, "before\none\nbetween\ntwo\n") == 0);
}

static void say_to_nobody(void *arg)
{
	real_stderr = fcntl(STDERR_FILENO, F_DUPFD, 100);
	close(STDERR_FILENO);
	say("closed\n");
	must(fcntl(STDERR_FILENO, F_GETFD) < 0);
}

/* That would be SIGPIPE, which whoever runs the test may have ignored. */
static void say_to_a_pipe_without_a_reader(void *arg)
{
	signal(SIGPIPE, SIG_DFL);
	be_a_pipe();
	close(reader);
	say("lost\n");
	fault_call_forever("open", EMFILE);
	say("the same\n");
	fault_off();
	fault_call_forever("open", ENXIO);
	say("as one that has a name\n");
}

/* The descriptor for a report is no standard one, and is given back. */
static void say_without_a_standard_input(void *arg)
{
	be_a_pipe();
	close(STDIN_FILENO);
	say("still\n");
	must(strcmp(drain(), "still\n") == 0);
	must(fcntl(STDIN_FILENO, F_GETFD) < 0);
}

static void interrupt_and_say(void *arg)
{
	be_a_pipe();
	fault_call("write", 3, EINTR);
	say("at the fourth time\n");
	must(strcmp(drain(), "at the fourth time\n") == 0);
}

static void (*const scenes[])(void *arg) = {
	tear_a_line,
	say_a_long_one,
	say_to_a_file,
	say_to_nobody,
	say_to_a_pipe_without_a_reader,
	say_without_a_standard_input,
	interrupt_and_say,
};

enum { N_SCENES = sizeof(scenes) / sizeof(scenes[0]) };

TEST(reports_are_whole_and_go_where_standard_error_is, PURE, TIMES(N_SCENES))
{
	const char *said;
	int status = child_run(scenes[_i], NULL, &said);

	ck_assert_msg(status == 0, "%d: %s", status, said);
}

/* ---- a reactor -------------------------------------------------------- */

static void fail_and_stop(void *arg)
{
	struct plait_deferred *d =
		plait_failed(plait_fail(&plait_error_timeout, "unread"));

	plait_deferred_free(&d);
	plait_reactor_stop(arg);
}

/* It is run to its end; what was lost is said when it is freed. */
static void run_with_full_stderr(void *arg)
{
	struct plait_reactor *r = plait_reactor_new(arg);

	be_a_pipe();
	for (int i = 0; i < 20000; i++)
		say(unread);
	must(plait_call_when_running(r, fail_and_stop, r) == 0);
	must(plait_reactor_run(r) == 0);
	drain();
	plait_reactor_free(&r);
	must(strncmp(drain(), "plait: ", 7) == 0);
}

TEST(loop_goes_on_while_nobody_reads_its_reports, ON_EACH_BACKEND)
{
	char name[16];
	const char *said;
	int status;

	snprintf(name, sizeof(name), "%s", backend);
	status = child_run(run_with_full_stderr, name, &said);
	ck_assert_msg(status == 0, "%d: %s", status, said);
}
