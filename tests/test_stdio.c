/*
 * Descriptors that a program was given, as connections: everything that
 * standard input and output can be, with whom they are shared, and how they
 * end.
 */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>

#include <plait/testing.h>

#include "tests/actor.h"
#include "tests/child.h"
#include "tests/wire.h"

enum { MUCH = 2 << 20 };

/* What a descriptor may be. */
enum kind { PIPE, PLAIN, TERMINAL, NOTHING, CLOSED, SOCKET, N_KINDS };

/* One descriptor of a program, and the other side of it. */
struct place {
	enum kind kind;
	int fd;	 /* -1: closed */
	int far; /* -1: there is none */
	int flags;
};

static struct wire w;
static struct place in, out;
static int kept[2]; /* the test's own 0 and 1 */

static int no_wait(int fd)
{
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static void place_make(struct place *p, bool is_read)
{
	int fds[2];

	switch (p->kind) {
	case PIPE:
		ck_assert_int_eq(pipe(fds), 0);
		p->fd = fds[!is_read];
		p->far = no_wait(fds[is_read]);
		break;
	case PLAIN:
		p->fd = memfd_create("plain", MFD_CLOEXEC);
		p->far = dup(p->fd);
		break;
	case TERMINAL:
		ck_assert_int_eq(openpty(&p->far, &p->fd, NULL, NULL, NULL), 0);
		no_wait(p->far);
		break;
	case NOTHING:
		p->fd = open("/dev/null", O_RDWR);
		break;
	case SOCKET:
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		p->fd = fds[0];
		p->far = no_wait(fds[1]);
		break;
	case CLOSED:
	case N_KINDS:
		break;
	}
	if (p->fd >= 0)
		p->flags = fcntl(p->fd, F_GETFL);
}

static void place_init(struct place *p, enum kind kind, bool is_read)
{
	*p = (struct place){ .kind = kind, .fd = -1, .far = -1 };
	place_make(p, is_read);
}

static void place_close(struct place *p)
{
	if (p->fd >= 0)
		close(p->fd);
	if (p->far >= 0)
		close(p->far);
	p->fd = p->far = -1;
}

static void say(const struct place *p, const char *text)
{
	ssize_t n = p->far >= 0 ? write(p->far, text, strlen(text)) : 0;

	ck_assert(n > 0 || p->far < 0 || torture_faulty());
	if (p->kind == PLAIN)
		lseek(p->fd, 0, SEEK_SET);
}

/* No more comes.  A file and /dev/null end by themselves. */
static void say_end(struct place *p)
{
	if (p->kind == TERMINAL) {
		say(p, "\4");
	} else if (p->kind == SOCKET) {
		shutdown(p->far, SHUT_WR);
	} else if (p->kind == PIPE) {
		close(p->far);
		p->far = -1;
	}
}

/* All that was written there, as text; a terminal makes two bytes of a
   newline. */
static const char *said(const struct place *p)
{
	static char text[100];
	size_t len = 0, n = 0;
	ssize_t got;

	memset(text, 0, sizeof(text));
	if (p->far < 0)
		return text;
	if (p->kind == PLAIN)
		lseek(p->far, 0, SEEK_SET);
	while ((got = read(p->far, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)got;
	for (size_t i = 0; i <= len; i++) {
		if (text[i] != '\r')
			text[n++] = text[i];
	}
	return text;
}

static bool is_null(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) &&
	       st.st_rdev == makedev(1, 3);
}

static void put(const struct place *p, int fd)
{
	if (p->fd >= 0)
		ck_assert_int_eq(dup2(p->fd, fd), fd);
	else
		close(fd);
}

/* From now on they are 0 and 1, until given_back(). */
static void given(enum kind input, enum kind output)
{
	for (int i = 0; i < 2; i++)
		kept[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
	place_init(&in, input, true);
	place_init(&out, output, false);
	put(&in, 0);
	put(&out, 1);
}

static void check_flags(void)
{
	if (in.fd >= 0)
		ck_assert_int_eq(fcntl(in.fd, F_GETFL), in.flags);
	if (out.fd >= 0)
		ck_assert_int_eq(fcntl(out.fd, F_GETFL), out.flags);
}

static void given_back(void)
{
	check_flags();
	for (int i = 0; i < 2; i++) {
		dup2(kept[i], i);
		close(kept[i]);
	}
	place_close(&in);
	place_close(&out);
}

static int stdio_open(void)
{
	w.reactor = reactor;
	w.protocol = wire_protocol_new(&w);
	return plait_stdio(reactor, w.protocol, NULL);
}

static int pipe_open(int read_fd, int write_fd)
{
	w.reactor = reactor;
	w.protocol = wire_protocol_new(&w);
	return plait_pipe_transport(reactor, read_fd, write_fd, w.protocol,
				    NULL);
}

static void run_until_lost(void)
{
	run_until_count(reactor, &w.lost, 1);
	run_turns(reactor, 2);
}

static void setup(void)
{
	w = (struct wire){ .peer = -1 };
	in = (struct place){ .fd = -1, .far = -1 };
	out = in;
}

static void echo(struct wire *of, const void *data, size_t len)
{
	check_flags();
	plait_transport_write(of->transport, data, len);
}

static void stop_writing(struct wire *of)
{
	plait_transport_lose_write_connection(of->transport);
}

/* ---- all that they can be ------------------------------------------------ */

GROUP("combinations", .setup = setup);

#define COMBINATIONS EACH_PAIR(N_KINDS, N_KINDS)

static void combine(int i)
{
	given((enum kind)(i / N_KINDS), (enum kind)(i % N_KINDS));
	say(&in, "hello\n");
	say_end(&in);
}

/* What is closed is refused, and nothing changes. */
static bool refused(void)
{
	int err = stdio_open();

	if (in.kind != CLOSED && out.kind != CLOSED) {
		ck_assert_int_eq(err, 0);
		return false;
	}
	ck_assert_int_eq(err, -EBADF);
	ck_assert_uint_eq(w.done, 1);
	ck_assert_str_eq(w.trace, "");
	return true;
}

static void check_echo(void)
{
	bool is_empty = in.kind == NOTHING;

	ck_assert_str_eq(w.text, is_empty ? "" : "hello\n");
	ck_assert_str_eq(said(&out),
			 is_empty || out.kind == NOTHING ? "" : "hello\n");
	ck_assert_str_eq(w.why, "ConnectionDone");
	ck_assert(is_null(0) && is_null(1));
}

TEST(each_input_goes_to_each_output, ON_EACH_BACKEND, COMBINATIONS)
{
	w.on_data = echo;
	combine(_i);
	if (!refused()) {
		run_until_lost();
		ck_assert_str_eq(w.trace, in.kind == NOTHING ? "ML" : "MDL");
		check_echo();
	}
	given_back();
}

TEST(connection_is_lost_when_both_halves_are_over, ON_EACH_BACKEND,
     COMBINATIONS)
{
	w.half_closeable = true;
	w.on_data = echo;
	w.on_read_lost = stop_writing;
	combine(_i);
	if (!refused()) {
		run_until_lost();
		ck_assert_str_eq(w.trace,
				 in.kind == NOTHING ? "MRWL" : "MDRWL");
		check_echo();
	}
	given_back();
}

TEST(output_may_be_over_first, ON_EACH_BACKEND, COMBINATIONS)
{
	w.half_closeable = true;
	w.on_made = stop_writing;
	combine(_i);
	if (!refused()) {
		run_until_lost();
		ck_assert_ptr_nonnull(strchr(w.trace, 'W'));
		ck_assert_str_eq(w.text, in.kind == NOTHING ? "" : "hello\n");
		ck_assert_str_eq(w.why, "ConnectionDone");
		ck_assert_str_eq(said(&out), "");
	}
	given_back();
}

static void say_goodbye(struct wire *of)
{
	plait_transport_write(of->transport, "bye\n", 4);
	plait_transport_lose_connection(of->transport);
}

/* The input has no end. */
TEST(closing_sends_everything, ON_EACH_BACKEND, COMBINATIONS)
{
	w.on_made = say_goodbye;
	given((enum kind)(_i / N_KINDS), (enum kind)(_i % N_KINDS));
	if (!refused()) {
		run_until_lost();
		ck_assert_str_eq(w.trace, "ML");
		ck_assert_str_eq(w.why, "ConnectionDone");
		ck_assert_str_eq(said(&out),
				 out.kind == NOTHING ? "" : "bye\n");
		ck_assert(is_null(0) && is_null(1));
	}
	given_back();
}

/* ---- one socket ---------------------------------------------------------- */

GROUP("one socket", .setup = setup);

/* As a server that inetd has started: it is a connection as others are. */
TEST(one_socket_for_both_is_adopted, ON_EACH_BACKEND)
{
	w.on_data = echo;
	given(SOCKET, CLOSED);
	ck_assert_int_eq(dup2(0, 1), 1);
	ck_assert_int_eq(stdio_open(), 0);
	ck_assert(is_null(0) && is_null(1));
	say(&in, "hello\n");
	say_end(&in);
	run_until_lost();
	ck_assert_str_eq(w.trace, "MDL");
	ck_assert_str_eq(said(&in), "hello\n");
	given_back();
}

TEST(one_number_may_be_given_for_both, ON_EACH_BACKEND, TIMES(2))
{
	place_init(&in, _i == 0 ? SOCKET : TERMINAL, true);
	ck_assert_int_eq(pipe_open(in.fd, in.fd), 0);
	in.fd = -1;
	w.on_data = echo;
	say(&in, "hello\n");
	run_until_count(reactor, &w.calls, 1);
	ck_assert_str_eq(w.text, "hello\n");
	say_end(&in);
	run_until_lost();
	ck_assert_str_eq(w.trace, "MDL");
	place_close(&in);
}

/* ---- pipes --------------------------------------------------------------- */

GROUP("pipes", .setup = setup);

static void open_pipes(void)
{
	place_init(&in, PIPE, true);
	place_init(&out, PIPE, false);
	ck_assert_int_eq(pipe_open(in.fd, out.fd), 0);
	in.fd = out.fd = -1;
	run_turns(reactor, 1);
}

static void end_pipes(void)
{
	place_close(&in);
	place_close(&out);
	run_until_lost();
	ck_assert_uint_eq(w.lost, 1);
	ck_assert_uint_eq(w.done, 1);
}

static size_t taken;
static unsigned char *came;

static bool take_all(void *arg)
{
	ssize_t n;

	while ((n = read(out.far, came + taken, MUCH - taken)) > 0)
		taken += (size_t)n;
	return taken == MUCH;
}

/* Without RWF_NOWAIT, too: as much as poll() promises. */
TEST(slow_reader_gets_everything_and_nobody_waits, ON_EACH_BACKEND, TIMES(3))
{
	unsigned char *bytes = wire_bytes(MUCH);

	came = malloc(MUCH);
	taken = 0;
	if (_i == 1)
		fault_call_forever("pwritev2", EOPNOTSUPP);
	if (_i == 2)
		fault_short_forever("pwritev2", 1000);
	open_pipes();
	plait_transport_write(w.transport, bytes, MUCH);
	run_turns(reactor, 3);
	ck_assert_uint_gt(plait_transport_unsent(w.transport), 0);
	run_until(reactor, take_all, NULL);
	ck_assert(memcmp(came, bytes, MUCH) == 0);
	free(bytes);
	free(came);
	end_pipes();
}

TEST(terminal_gets_everything_and_nobody_waits, ON_EACH_BACKEND)
{
	enum { LONG = 300000 };
	unsigned char *bytes = wire_bytes(LONG), *read_back = malloc(LONG);
	struct termios raw;
	size_t n = 0;

	place_init(&in, PIPE, true);
	place_init(&out, TERMINAL, false);
	tcgetattr(out.fd, &raw);
	cfmakeraw(&raw);
	tcsetattr(out.fd, TCSANOW, &raw);
	ck_assert_int_eq(pipe_open(in.fd, dup(out.fd)), 0);
	in.fd = -1;
	run_turns(reactor, 1);
	plait_transport_write(w.transport, bytes, LONG);
	run_turns(reactor, 3);
	for (double end = clock_now() + 10; n < LONG && clock_now() < end;) {
		ssize_t got = read(out.far, read_back + n, LONG - n);

		n += got > 0 ? (size_t)got : 0;
		run_turns(reactor, 1);
	}
	ck_assert_uint_eq(n, LONG);
	ck_assert(memcmp(read_back, bytes, LONG) == 0);
	check_flags();
	free(bytes);
	free(read_back);
	end_pipes();
}

/* Another process may be faster. */
static int other_reader;

static void read_first(void *arg)
{
	char c;

	call_hook("preadv2", NULL, NULL);
	call_hook("read", NULL, NULL);
	ck_assert_int_eq((int)read(other_reader, &c, 1), 1);
}

TEST(input_that_another_process_takes_is_not_waited_for, ON_EACH_BACKEND)
{
	place_init(&in, PIPE, true);
	place_init(&out, PIPE, false);
	other_reader = dup(in.fd);
	ck_assert_int_eq(pipe_open(in.fd, out.fd), 0);
	run_turns(reactor, 1);
	call_hook("preadv2", read_first, NULL);
	say(&in, "x");
	run_turns(reactor, 2);
	ck_assert_str_eq(w.trace, "M");
	say(&in, "y");
	run_until_count(reactor, &w.calls, 1);
	ck_assert_str_eq(w.text, "y");
	close(other_reader);
	in.fd = out.fd = -1;
	end_pipes();
}

TEST(old_kernel_is_asked_before_each_read, ON_EACH_BACKEND, TIMES(4))
{
	static const int errors[] = { EOPNOTSUPP, ENOSYS, EINVAL, EPERM };

	fault_call_forever("preadv2", errors[_i]);
	open_pipes();
	say(&in, "hello");
	run_until_count(reactor, &w.calls, 1);
	ck_assert_str_eq(w.text, "hello");
	say_end(&in);
	run_until_lost();
	ck_assert_str_eq(w.trace, "MDL");
	end_pipes();
}

TEST(reader_that_leaves_is_noticed_though_nothing_is_written, ON_EACH_BACKEND)
{
	open_pipes();
	close(out.far);
	out.far = -1;
	run_until_lost();
	ck_assert_str_eq(w.why, "ConnectionLost: write: Broken pipe");
	end_pipes();
}

static volatile sig_atomic_t signals;

static void signal_counts(int number)
{
	signals++;
}

TEST(broken_pipe_raises_no_signal, ON_EACH_BACKEND, TIMES(2))
{
	struct sigaction count = { .sa_handler = signal_counts }, before;

	sigaction(SIGPIPE, &count, &before);
	if (_i == 1)
		fault_call_forever("pwritev2", EOPNOTSUPP);
	open_pipes();
	close(out.far);
	out.far = -1;
	plait_transport_write(w.transport, "hello", 5);
	run_until_lost();
	ck_assert_int_eq(w.err, EPIPE);
	ck_assert_int_eq(signals, 0);
	end_pipes();
	sigaction(SIGPIPE, &before, NULL);
}

static void break_at_the_second(void *n_writes)
{
	if (++*(int *)n_writes == 2) {
		close(out.far);
		out.far = -1;
	}
}

/* A part was written, so that no error is told. */
TEST(pipe_that_breaks_between_two_writes_raises_no_signal, ON_EACH_BACKEND)
{
	struct sigaction count = { .sa_handler = signal_counts }, before;
	static const char page[2 * PIPE_BUF];
	int n_writes = 0;

	sigaction(SIGPIPE, &count, &before);
	fault_call_forever("pwritev2", EOPNOTSUPP);
	call_hook("write", break_at_the_second, &n_writes);
	open_pipes();
	plait_transport_write(w.transport, page, sizeof(page));
	run_until_lost();
	ck_assert_int_ge(n_writes, 2);
	ck_assert_int_eq(w.err, EPIPE);
	ck_assert_int_eq(signals, 0);
	end_pipes();
	sigaction(SIGPIPE, &before, NULL);
}

/* The side that has the terminal, and the side that it is made by. */
TEST(terminal_that_is_hung_up_ends_the_input, ON_EACH_BACKEND, TIMES(2))
{
	place_init(&in, TERMINAL, true);
	place_init(&out, PIPE, false);
	if (_i == 1) {
		int made_by = in.far;

		in.far = in.fd;
		in.fd = made_by;
	}
	ck_assert_int_eq(pipe_open(in.fd, out.fd), 0);
	in.fd = out.fd = -1;
	say(&in, "hello\n");
	run_until_count(reactor, &w.calls, 1);
	close(in.far);
	in.far = -1;
	run_until_lost();
	ck_assert_str_eq(w.trace, "MDL");
	ck_assert_int_eq(w.err, 0);
	end_pipes();
}

TEST(terminal_that_is_hung_up_is_a_loss_of_the_output, ON_EACH_BACKEND,
     TIMES(2))
{
	place_init(&in, PIPE, true);
	place_init(&out, TERMINAL, false);
	ck_assert_int_eq(pipe_open(in.fd, out.fd), 0);
	in.fd = out.fd = -1;
	run_turns(reactor, 2);
	close(out.far);
	out.far = -1;
	if (_i == 1)
		plait_transport_write(w.transport, "hello", 5);
	run_until_lost();
	ck_assert_int_eq(w.err, EIO);
	end_pipes();
}

/* What comes without end does not keep a connection whose output is lost. */
static void say_again(struct wire *of, const void *data, size_t len)
{
	static const char more[100000];
	ssize_t n = write(in.far, more, sizeof(more));

	ck_assert(n > 0 || errno == EAGAIN);
}

TEST(input_without_end_does_not_outlive_the_output, ON_EACH_BACKEND)
{
	w.on_data = say_again;
	open_pipes();
	say(&in, "first");
	close(out.far);
	out.far = -1;
	run_until_lost();
	ck_assert_int_eq(w.err, EPIPE);
	ck_assert_uint_ge(w.received, 5);
	ck_assert_uint_le(w.received, 2 * 65536 + 5);
	end_pipes();
}

TEST(paused_reader_gets_what_had_come_before_the_loss, ON_EACH_BACKEND)
{
	open_pipes();
	plait_transport_pause_reading(w.transport);
	run_turns(reactor, 2);
	say(&in, "hello");
	close(out.far);
	out.far = -1;
	run_turns(reactor, 3);
	ck_assert_str_eq(w.trace, "M");
	plait_transport_resume_reading(w.transport);
	run_until_lost();
	ck_assert_str_eq(w.trace, "MDL");
	ck_assert_str_eq(w.text, "hello");
	ck_assert_int_eq(w.err, EPIPE);
	end_pipes();
}

TEST(paused_reader_is_told_of_an_end_without_input, ON_EACH_BACKEND, TIMES(2))
{
	w.half_closeable = true;
	open_pipes();
	plait_transport_pause_reading(w.transport);
	run_turns(reactor, 2);
	if (_i == 1)
		say(&in, "hello");
	say_end(&in);
	run_turns(reactor, 3);
	ck_assert_str_eq(w.trace, _i == 0 ? "MR" : "M");
	plait_transport_resume_reading(w.transport);
	run_turns(reactor, 3);
	ck_assert_str_eq(w.trace, _i == 0 ? "MR" : "MDR");
	ck_assert(plait_transport_peer_has_closed(w.transport));
	end_pipes();
}

TEST(one_half_alone_is_enough, ON_EACH_BACKEND, TIMES(2))
{
	place_init(&in, PIPE, true);
	place_init(&out, PIPE, false);
	if (_i == 0) {
		ck_assert_int_eq(pipe_open(in.fd, -1), 0);
		in.fd = -1;
		say(&in, "hello");
		run_until_count(reactor, &w.calls, 1);
		ck_assert(!plait_transport_peer_has_closed(w.transport));
		say_end(&in);
	} else {
		ck_assert_int_eq(pipe_open(-1, out.fd), 0);
		out.fd = -1;
		run_turns(reactor, 3);
		ck_assert_str_eq(w.trace, "M");
		plait_transport_write(w.transport, "hello", 5);
		plait_transport_lose_write_connection(w.transport);
	}
	run_until_lost();
	ck_assert_str_eq(w.trace, _i == 0 ? "MDL" : "ML");
	ck_assert_str_eq(w.why, "ConnectionDone");
	ck_assert_str_eq(said(&out), _i == 0 ? "" : "hello");
	end_pipes();
}

TEST(writing_without_an_output_is_a_loss, ON_EACH_BACKEND)
{
	place_init(&in, PIPE, true);
	ck_assert_int_eq(pipe_open(in.fd, -1), 0);
	in.fd = -1;
	run_turns(reactor, 1);
	plait_transport_write(w.transport, "hello", 5);
	run_until_lost();
	ck_assert_int_eq(w.err, EBADF);
	place_close(&in);
}

TEST(errors_lose_the_connection, ON_EACH_BACKEND, TIMES(3))
{
	open_pipes();
	if (_i == 0) {
		fault_call("preadv2", 1, EIO);
		say(&in, "hello");
	} else {
		fault_call("pwritev2", 1, _i == 1 ? EIO : ENOSPC);
		plait_transport_write(w.transport, "hello", 5);
	}
	run_until_lost();
	ck_assert_int_eq(w.err, _i == 2 ? ENOSPC : EIO);
	ck_assert_str_eq(w.trace, "ML");
	end_pipes();
}

TEST(descriptor_that_somebody_has_closed_is_a_loss, ON_EACH_BACKEND, TIMES(2))
{
	int number;

	place_init(&in, PIPE, true);
	place_init(&out, PIPE, false);
	ck_assert_int_eq(pipe_open(in.fd, out.fd), 0);
	number = _i == 0 ? in.fd : out.fd;
	in.fd = out.fd = -1;
	run_turns(reactor, 1);
	close(number);
	if (_i == 0) {
		plait_transport_pause_reading(w.transport);
		run_turns(reactor, 1);
		plait_transport_resume_reading(w.transport);
	} else {
		plait_transport_write(w.transport, "hello", 5);
	}
	run_until_lost();
	ck_assert_int_eq(w.err, EBADF);
	end_pipes();
}

/* ---- files --------------------------------------------------------------- */

GROUP("files", .setup = setup);

TEST(full_disk_is_told, ON_EACH_BACKEND)
{
	place_init(&in, PIPE, true);
	ck_assert_int_eq(pipe_open(in.fd, open("/dev/full", O_WRONLY)), 0);
	in.fd = -1;
	run_turns(reactor, 1);
	plait_transport_write(w.transport, "hello", 5);
	run_until_lost();
	ck_assert_int_eq(w.err, ENOSPC);
	ck_assert_str_eq(w.why,
			 "ConnectionLost: send: No space left on device");
	place_close(&in);
}

/* A part still fits. */
TEST(file_that_may_not_become_longer_raises_no_signal, ON_EACH_BACKEND)
{
	enum { LIMIT = 1 << 20, ROOM = 3 };
	struct sigaction count = { .sa_handler = signal_counts }, before;
	struct rlimit old, low;
	int file = memfd_create("long", MFD_CLOEXEC);
	int far = dup(file);
	struct stat st;

	sigaction(SIGXFSZ, &count, &before);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
	low = (struct rlimit){ .rlim_cur = LIMIT, .rlim_max = old.rlim_max };
	place_init(&in, PIPE, true);
	ck_assert_int_eq(lseek(file, LIMIT - ROOM, SEEK_SET), LIMIT - ROOM);
	ck_assert_int_eq(pipe_open(in.fd, file), 0);
	in.fd = -1;
	run_turns(reactor, 1);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &low), 0);
	plait_transport_write(w.transport, "hello", 5);
	run_until_lost();
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
	ck_assert_int_eq(w.err, EFBIG);
	ck_assert_str_eq(w.why, "ConnectionLost: send: File too large");
	ck_assert_int_eq(signals, 0);
	ck_assert_int_eq(fstat(far, &st), 0);
	ck_assert_int_eq(st.st_size, LIMIT);
	close(far);
	place_close(&in);
	sigaction(SIGXFSZ, &before, NULL);
}

/* Who has blocked the signal may want it, as the kernel leaves it. */
TEST(signal_that_the_program_has_blocked_is_left_to_it, ON_EACH_BACKEND)
{
	sigset_t pipe, waiting;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	ck_assert_int_eq(sigprocmask(SIG_BLOCK, &pipe, NULL), 0);
	open_pipes();
	close(out.far);
	out.far = -1;
	plait_transport_write(w.transport, "hello", 5);
	run_until_lost();
	ck_assert_int_eq(w.err, EPIPE);
	ck_assert_int_eq(sigpending(&waiting), 0);
	ck_assert(sigismember(&waiting, SIGPIPE));
	end_pipes();
}

/* A file is always ready; in each turn it is read once. */
TEST(long_file_lets_others_have_their_turn, ON_EACH_BACKEND)
{
	place_init(&in, PLAIN, true);
	ck_assert_int_eq(ftruncate(in.fd, 4 << 20), 0);
	place_init(&out, NOTHING, false);
	ck_assert_int_eq(pipe_open(in.fd, out.fd), 0);
	in.fd = out.fd = -1;
	run_until_lost();
	ck_assert_uint_eq(w.received, 4 << 20);
	ck_assert_uint_le(w.most, 128 * 1024);
	ck_assert_str_eq(w.why, "ConnectionDone");
	place_close(&in);
}

static unsigned waits(void)
{
	return (unsigned)(calls_of("epoll_wait") + calls_of("epoll_pwait2") +
			  calls_of("select"));
}

/* Neither a paused reader nor an output without bytes is waited for. */
TEST(files_that_are_not_used_do_not_spin, ON_EACH_BACKEND, TIMES(2))
{
	place_init(&in, _i == 0 ? PLAIN : NOTHING, true);
	place_init(&out, _i == 0 ? PLAIN : NOTHING, false);
	w.half_closeable = true;
	ck_assert_int_eq(pipe_open(in.fd, out.fd), 0);
	in.fd = out.fd = -1;
	run_until_count(reactor, &w.calls, 0);
	run_turns(reactor, 3);
	if (_i == 0)
		ck_assert_str_eq(w.trace, "MR");
	calls_reset();
	run_for(reactor, 10);
	ck_assert_uint_le(waits(), 4);
	plait_transport_lose_connection(w.transport);
	run_until_lost();
	end_pipes();
}

static void pause_it(struct wire *of)
{
	plait_transport_pause_reading(of->transport);
}

TEST(file_that_is_paused_does_not_spin, ON_EACH_BACKEND)
{
	w.on_made = pause_it;
	w.on_data = echo;
	place_init(&in, PLAIN, true);
	say(&in, "hello");
	place_init(&out, PLAIN, false);
	ck_assert_int_eq(pipe_open(in.fd, out.fd), 0);
	in.fd = out.fd = -1;
	run_turns(reactor, 3);
	ck_assert_str_eq(w.trace, "M");
	calls_reset();
	run_for(reactor, 10);
	ck_assert_uint_le(waits(), 4);
	plait_transport_resume_reading(w.transport);
	run_until_lost();
	ck_assert_str_eq(said(&out), "hello");
	end_pipes();
}

/* ---- who else has them --------------------------------------------------- */

GROUP("shared", .setup = setup);

TEST(standard_descriptors_stay_for_the_program, ON_EACH_BACKEND)
{
	given(PIPE, PIPE);
	ck_assert_int_eq(stdio_open(), 0);
	run_turns(reactor, 2);
	ck_assert_int_eq((int)write(1, "by hand", 7), 7);
	ck_assert_str_eq(said(&out), "by hand");
	plait_transport_lose_connection(w.transport);
	run_until_lost();
	ck_assert(is_null(0) && is_null(1));
	given_back();
}

/* The program has put something else there meanwhile. */
TEST(what_the_program_has_put_there_stays, ON_EACH_BACKEND)
{
	int fd = memfd_create("other", MFD_CLOEXEC);

	given(PIPE, PIPE);
	ck_assert_int_eq(stdio_open(), 0);
	run_turns(reactor, 2);
	dup2(fd, 1);
	plait_transport_lose_connection(w.transport);
	run_until_lost();
	ck_assert(is_null(0) && !is_null(1));
	close(fd);
	given_back();
}

TEST(forked_child_keeps_its_standard_descriptors, ON_EACH_BACKEND)
{
	pid_t child;

	given(PIPE, PIPE);
	ck_assert_int_eq(stdio_open(), 0);
	run_turns(reactor, 2);
	child = fork();
	if (child == 0) {
		plait_reactor_free(&reactor);
		child_leave(!is_null(0) && !is_null(1) &&
					    write(1, "child", 5) == 5
				    ? 0
				    : 1);
	}
	child_ends(child);
	ck_assert_str_eq(said(&out), "child");
	say(&in, "parent");
	run_until_count(reactor, &w.calls, 1);
	plait_transport_lose_connection(w.transport);
	run_until_lost();
	given_back();
}

TEST(end_of_the_reactor_closes_them, ON_EACH_BACKEND)
{
	given(PIPE, PIPE);
	ck_assert_int_eq(stdio_open(), 0);
	run_turns(reactor, 2);
	plait_transport_write(w.transport, "last", 4);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(w.lost, 1);
	ck_assert_str_eq(said(&out), "last");
	ck_assert(is_null(0) && is_null(1));
	given_back();
}

/* ---- the calls ----------------------------------------------------------- */

GROUP("calls", .setup = setup);

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void refuse(int read_fd, int write_fd, int err)
{
	unsigned done = w.done;

	ck_assert_int_eq(pipe_open(read_fd, write_fd), err);
	ck_assert(read_fd < 0 || !is_open(read_fd));
	ck_assert(write_fd < 0 || !is_open(write_fd));
	ck_assert_uint_eq(w.done, done + 1);
}

TEST(what_cannot_be_used_is_refused_and_closed, ON_EACH_BACKEND)
{
	int fds[2];

	refuse(-1, -1, -EBADF);
	refuse(1000, -1, -EBADF);
	refuse(-1, 1000, -EBADF);
	ck_assert_int_eq(pipe(fds), 0);
	refuse(fds[1], fds[0], -EBADF);
	ck_assert_int_eq(pipe(fds), 0);
	refuse(-1, fds[0], -EBADF);
	close(fds[1]);
	refuse(1000, open("/dev/null", O_RDWR), -EBADF);
}

TEST(reserved_words_must_be_zero, ON_EACH_BACKEND)
{
	struct plait_pipe_options o = { .reserved = { 1 } };
	int fd = open("/dev/null", O_RDWR);

	w.protocol = wire_protocol_new(&w);
	ck_assert_int_eq(plait_pipe_transport(reactor, fd, fd, w.protocol, &o),
			 -EINVAL);
	ck_assert(!is_open(fd));
	ck_assert_int_eq(plait_stdio(reactor, NULL, &o), -EINVAL);
}

TEST(descriptor_that_is_watched_is_refused, ON_EACH_BACKEND)
{
	struct plait_watch watch = { .fn = NULL };
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(plait_watch_start(reactor, &watch, fds[0],
					   PLAIT_WATCH_READ, NULL),
			 0);
	plait_watch_stop(&watch);
	ck_assert_int_eq(plait_watch_start(reactor, &watch, fds[0], 0, NULL),
			 0);
	ck_assert_int_eq(pipe_open(fds[0], -1), -EEXIST);
	ck_assert_uint_eq(w.done, 1);
	plait_watch_stop(&watch);
	close(fds[1]);
}

TEST(without_a_protocol_there_is_no_memory, ON_EACH_BACKEND)
{
	int fd = open("/dev/null", O_RDWR);

	ck_assert_int_eq(plait_pipe_transport(reactor, fd, -1, NULL, NULL),
			 -ENOMEM);
	ck_assert(!is_open(fd));
}

TEST(reactor_without_descriptors_refuses, PURE)
{
	int fd = open("/dev/null", O_RDWR);

	reactor = plait_testing_reactor_new();
	calls_reset();
	refuse(fd, fd, -ENOTSUP);
	ck_assert_uint_eq(calls_of("close"), 1);
	ck_assert_int_eq(plait_stdio(reactor, NULL, NULL), -ENOTSUP);
	plait_reactor_free(&reactor);
}

TEST(forked_child_is_refused, ON_EACH_BACKEND)
{
	pid_t child = fork();

	if (child == 0) {
		int err = plait_stdio(reactor, NULL, NULL);

		plait_reactor_free(&reactor);
		child_leave(err == -ECHILD ? 0 : 1);
	}
	child_ends(child);
}

TEST(low_numbers_are_moved_up, ON_EACH_BACKEND)
{
	given(PIPE, PIPE);
	ck_assert_int_eq(pipe_open(0, 1), 0);
	ck_assert(!is_open(0) && !is_open(1));
	run_turns(reactor, 2);
	plait_transport_lose_connection(w.transport);
	run_until_lost();
	ck_assert(!is_open(0) && !is_open(1));
	given_back();
}

TEST(it_has_no_addresses, ON_EACH_BACKEND)
{
	struct plait_address a;
	char text[100];

	open_pipes();
	ck_assert_int_eq(plait_transport_host(w.transport, &a), -ENOTCONN);
	ck_assert_int_eq(plait_transport_peer(w.transport, &a), -ENOTCONN);
	plait_transport_str(w.transport, text, sizeof(text));
	ck_assert(strncmp(text, "pipe ", 5) == 0);
	end_pipes();
}

/* ---- for a factory ------------------------------------------------------- */

GROUP("factories", .setup = setup);

TEST(port_accepts_one_connection, ON_EACH_BACKEND, TIMES(2))
{
	struct plait_port *port = NULL;
	struct actor a;

	actor_init(&a);
	a.on_data = actor_echo;
	given(PIPE, PIPE);
	ck_assert_int_eq(plait_listen_stdio(reactor, &a.base, &port), 0);
	if (_i == 1) {
		plait_port_pause_accepting(port);
		run_turns(reactor, 2);
		ck_assert_uint_eq(a.made, 0);
		plait_port_resume_accepting(port);
	}
	run_until_count(reactor, &a.made, 1);
	say(&in, "hello");
	say_end(&in);
	run_until_count(reactor, &a.lost, 1);
	ck_assert_str_eq(said(&out), "hello");
	ck_assert_str_eq(a.trace, "SBMDL");
	run_turns(reactor, 3);
	actor_stop(reactor, &port);
	ck_assert_str_eq(a.trace, "SBMDLX");
	given_back();
}

TEST(port_that_is_stopped_at_once_accepts_nobody, ON_EACH_BACKEND)
{
	struct plait_port *port = NULL;
	struct actor a;

	actor_init(&a);
	given(PIPE, PIPE);
	ck_assert_int_eq(plait_listen_stdio(reactor, &a.base, &port), 0);
	actor_stop(reactor, &port);
	ck_assert_str_eq(a.trace, "SX");
	ck_assert(!is_null(0) && !is_null(1));
	given_back();
}

TEST(connector_connects_once, ON_EACH_BACKEND)
{
	struct actor a;

	actor_init(&a);
	a.on_data = actor_echo;
	given(PIPE, PIPE);
	ck_assert_ptr_nonnull(plait_connect_stdio(reactor, &a.base));
	run_until_count(reactor, &a.made, 1);
	say(&in, "hello");
	say_end(&in);
	run_until_count(reactor, &a.client_lost, 1);
	ck_assert_str_eq(said(&out), "hello");
	ck_assert_str_eq(a.trace, "ScBMDLCX");
	given_back();
}

static void connect_again(struct actor *a)
{
	plait_connector_connect(a->connector);
}

TEST(connector_does_not_connect_again, ON_EACH_BACKEND)
{
	struct actor a;

	actor_init(&a);
	a.on_client_lost = connect_again;
	given(PIPE, PIPE);
	plait_connect_stdio(reactor, &a.base);
	run_until_count(reactor, &a.made, 1);
	say_end(&in);
	run_until_count(reactor, &a.failed, 1);
	ck_assert_int_eq(a.err, EALREADY);
	actor_wait_idle(&a, reactor);
	given_back();
}

TEST(what_is_closed_is_told_to_the_factory, ON_EACH_BACKEND)
{
	struct plait_port *port = NULL;
	struct actor a;

	actor_init(&a);
	given(PIPE, CLOSED);
	ck_assert_int_eq(plait_listen_stdio(reactor, &a.base, &port), -EBADF);
	ck_assert_str_eq(a.trace, "");
	plait_connect_stdio(reactor, &a.base);
	run_until_count(reactor, &a.failed, 1);
	ck_assert_int_eq(a.err, EBADF);
	actor_wait_idle(&a, reactor);
	given_back();
}

TEST(testing_reactor_has_none, PURE)
{
	struct plait_port *port = NULL;
	struct actor a;

	actor_init(&a);
	reactor = plait_testing_reactor_new();
	ck_assert_int_eq(plait_listen_stdio(reactor, &a.base, &port), -ENOTSUP);
	plait_connect_stdio(reactor, &a.base);
	run_until_count(reactor, &a.failed, 1);
	ck_assert_int_eq(a.err, ENOTSUP);
	plait_reactor_free(&reactor);
}

static plait_value take_port(plait_value *result, void *arg)
{
	*(struct plait_port **)arg = plait_port_take(result);
	return PLAIT_NONE;
}

/* Without keys: all of it is in the name. */
TEST(endpoint_is_standard_input_and_output, ON_EACH_BACKEND, TIMES(2))
{
	struct plait_endpoint *e = NULL;
	struct actor a;
	char text[20];

	actor_init(&a);
	a.on_data = actor_echo;
	given(PIPE, PIPE);
	ck_assert_int_eq(
		plait_endpoint_parse(_i == 0 ? "stdio:" : "stdio", &e, NULL, 0),
		0);
	plait_endpoint_str(e, text, sizeof(text));
	ck_assert_str_eq(text, "stdio");
	if (_i == 0) {
		plait_endpoint_connect_factory(e, reactor, &a.base);
	} else {
		struct plait_port *port = NULL;
		struct plait_deferred *d =
			plait_endpoint_listen(e, reactor, &a.base);

		plait_deferred_add_callback(d, take_port, &port);
		plait_deferred_free(&d);
		run_until_count(reactor, &a.made, 1);
		actor_stop(reactor, &port);
	}
	run_until_count(reactor, &a.made, 1);
	say(&in, "hello");
	say_end(&in);
	actor_wait_idle(&a, reactor);
	ck_assert_str_eq(said(&out), "hello");
	plait_endpoint_unref(&e);
	given_back();
}

/* ---- torture ------------------------------------------------------------- */

static void one_life(struct plait_reactor *r)
{
	struct wire one = { .peer = -1, .reactor = r };
	struct place from, to;
	int err;

	signal(SIGPIPE, SIG_IGN);
	place_init(&from, PIPE, true);
	place_init(&to, PIPE, false);
	one.protocol = wire_protocol_new(&one);
	err = plait_pipe_transport(r, from.fd, to.fd, one.protocol, NULL);
	from.fd = to.fd = -1;
	ck_assert(torture_faulty() || err == 0);
	if (err == 0)
		run_until_count(r, (unsigned *)&one.calls, 0);
	run_turns(r, 1);
	say(&from, "hello");
	if (one.transport != NULL)
		plait_transport_write(one.transport, "hello", 5);
	run_turns(r, 2);
	say_end(&from);
	if (err == 0)
		run_until_count(r, &one.lost, 1);
	run_turns(r, 2);
	ck_assert(torture_faulty() || strcmp(said(&to), "hello") == 0);
	ck_assert(torture_faulty() || strcmp(one.trace, "MDL") == 0);
	place_close(&from);
	place_close(&to);
}

GROUP("torture", .setup = setup, .timeout = 60);

TEST(nothing_is_left_whatever_allocation_fails, ON_EACH_BACKEND)
{
	torture(one_life, backend);
}

TEST(nothing_is_left_whatever_call_fails, ON_EACH_BACKEND)
{
	torture_syscalls(one_life, backend);
}
