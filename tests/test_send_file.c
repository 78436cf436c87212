/*
 * Files that are sent: after what was written before, and before what is
 * written later, over each kind of transport; slowly, in part, and not at all.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <plait/testing.h>
#include <plait/transport_ops.h>

#include "tests/actor.h"
#include "tests/carrier.h"
#include "tests/child.h"
#include "tests/model.h"

enum { MUCH = 5 << 20 }; /* more than the kernel takes by itself */

static struct carried c;
static struct wire w;

static void setup(void)
{
	c = (struct carried){ .carrier = NULL };
	w = (struct wire){ .peer = -1 };
}

/* Of wire_bytes(). */
static int file_of(size_t size)
{
	int fd = memfd_create("file", MFD_CLOEXEC);
	unsigned char *bytes = wire_bytes(size);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq((int)write(fd, bytes, size), (int)size);
	free(bytes);
	return fd;
}

static int text_file(const char *text)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq((int)write(fd, text, strlen(text)), (int)strlen(text));
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void write_text(struct plait_transport *t, const char *text)
{
	plait_transport_write(t, text, strlen(text));
}

static void send_text_file(struct plait_transport *t, const char *text)
{
	ck_assert_int_eq(
		plait_transport_send_file(t, text_file(text), 0, strlen(text)),
		0);
}

static void open_kind(int i)
{
	c.carrier = &carriers[i];
	ck_assert(carried_open(&c, reactor));
}

static void expect_carried(const char *text)
{
	char came[100] = "";

	ck_assert_uint_lt(strlen(text), sizeof(came));
	carried_take(&c, came, strlen(text));
	ck_assert_str_eq(came, text);
}

static void expect_read(const char *text)
{
	char came[100] = "";

	ck_assert_int_eq((int)peer_read(reactor, w.peer, came, strlen(text)),
			 (int)strlen(text));
	ck_assert_str_eq(came, text);
}

/* ---- over each kind ------------------------------------------------------ */

GROUP("kinds", .setup = setup);

TEST(file_has_its_place_among_what_is_written, ON_EACH_BACKEND,
     TIMES(N_CARRIERS))
{
	int fd;

	open_kind(_i);
	fd = text_file("0123456789");
	write_text(c.w.transport, "head ");
	ck_assert_int_eq(plait_transport_send_file(c.w.transport, fd, 3, 4), 0);
	write_text(c.w.transport, " and ");
	send_text_file(c.w.transport, "another");
	send_text_file(c.w.transport, "!");
	write_text(c.w.transport, " tail");
	ck_assert_uint_eq(plait_transport_unsent(c.w.transport), 27);
	expect_carried("head 3456 and another! tail");
	ck_assert_uint_eq(plait_transport_unsent(c.w.transport), 0);
	ck_assert(!is_open(fd));
	carried_close(&c);
}

TEST(slow_far_end_gets_every_byte_of_a_file, ON_EACH_BACKEND, TIMES(N_CARRIERS))
{
	unsigned char *bytes = wire_bytes(MUCH), *came = malloc(MUCH);

	open_kind(_i);
	ck_assert_int_eq(plait_transport_send_file(c.w.transport, file_of(MUCH),
						   0, MUCH),
			 0);
	run_turns(c.w.reactor, 5);
	ck_assert_uint_gt(plait_transport_unsent(c.w.transport), 0);
	carried_take(&c, came, MUCH);
	ck_assert(memcmp(came, bytes, MUCH) == 0);
	carried_close(&c);
	free(came);
	free(bytes);
}

TEST(close_waits_for_the_file, ON_EACH_BACKEND, TIMES(N_CARRIERS))
{
	unsigned char *came = malloc(MUCH);

	open_kind(_i);
	ck_assert_int_eq(plait_transport_send_file(c.w.transport, file_of(MUCH),
						   0, MUCH),
			 0);
	plait_transport_lose_connection(c.w.transport);
	ck_assert_uint_eq(carried_take_to_end(&c, came, MUCH), MUCH);
	carried_close(&c);
	ck_assert_str_eq(c.w.why, "ConnectionDone");
	free(came);
}

TEST(file_that_is_too_short_aborts_the_connection, ON_EACH_BACKEND,
     TIMES(N_CARRIERS))
{
	int fd;

	open_kind(_i);
	fd = text_file("abc");
	ck_assert_int_eq(plait_transport_send_file(c.w.transport, fd, 1, 10),
			 0);
	write_text(c.w.transport, "never sent");
	if (c.carrier->is_played)
		expect_carried("bc");
	run_until_count(c.w.reactor, &c.w.lost, 1);
	ck_assert_str_eq(c.w.why,
			 "ConnectionAborted: a file ended 8 bytes too early");
	ck_assert(!is_open(fd));
	carried_close(&c);
}

TEST(what_cannot_be_read_aborts_the_connection, ON_EACH_BACKEND,
     TIMES(N_CARRIERS))
{
	open_kind(_i);
	ck_assert_int_eq(plait_transport_send_file(
				 c.w.transport,
				 open("/", O_RDONLY | O_DIRECTORY), 0, 10),
			 0);
	run_until_count(c.w.reactor, &c.w.lost, 1);
	ck_assert_str_eq(c.w.why,
			 "ConnectionAborted: reading a file to be sent: "
			 "Is a directory");
	carried_close(&c);
}

/* ---- on sockets of each kernel ------------------------------------------- */

GROUP("sockets", .setup = setup);

TEST(file_goes_without_a_copy, ON_EACH_KERNEL, TIMES(2))
{
	w.unix_pair = _i == 1;
	ck_assert(wire_open(&w, reactor));
	calls_reset();
	send_text_file(w.transport, "Nevermore");
	expect_read("Nevermore");
	ck_assert_uint_eq(calls_of("sendfile"), 1);
	ck_assert_uint_eq(calls_of("send") + calls_of("sendmsg"), 0);
	wire_close(&w);
}

TEST(position_of_the_file_stays, ON_EACH_KERNEL)
{
	int fd = text_file("0123456789"), mine = dup(fd);

	ck_assert(wire_open(&w, reactor));
	ck_assert_int_eq((int)lseek(fd, 7, SEEK_SET), 7);
	ck_assert_int_eq(plait_transport_send_file(w.transport, fd, 2, 3), 0);
	expect_read("234");
	ck_assert_int_eq((int)lseek(mine, 0, SEEK_CUR), 7);
	close(mine);
	wire_close(&w);
}

/* Another process may use the same socket, and it may block. */
TEST(socket_that_is_shared_is_never_waited_for, ON_EACH_BACKEND)
{
	struct actor a;
	struct plait_protocol *p;
	unsigned char *came = malloc(MUCH), *bytes = wire_bytes(MUCH);
	struct plait_address nobody = { .family = 0 };
	int fds[2];

	actor_init(&a);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	p = plait_factory_build_protocol(&a.base, &nobody);
	ck_assert_int_eq(plait_adopt_fd(reactor, fds[0], p), 0);
	run_until_count(reactor, &a.made, 1);
	calls_reset();
	ck_assert_int_eq(
		plait_transport_send_file(a.transport, file_of(MUCH), 0, MUCH),
		0);
	ck_assert_int_eq((int)peer_read(reactor, fds[1], came, MUCH), MUCH);
	ck_assert(memcmp(came, bytes, MUCH) == 0);
	ck_assert_uint_eq(calls_of("sendfile"), 0);
	close(fds[1]);
	run_until_count(reactor, &a.lost, 1);
	free(came);
	free(bytes);
}

TEST(file_that_the_kernel_does_not_send_is_read, ON_EACH_KERNEL, TIMES(9))
{
	static const int errors[] = { EINVAL,	 EIO,	 EISDIR,
				      ESPIPE,	 EBADF,	 EPERM,
				      EOVERFLOW, ENOSYS, EOPNOTSUPP };

	ck_assert(wire_open(&w, reactor));
	fault_call("sendfile", 1, errors[_i]);
	send_text_file(w.transport, "Nevermore");
	expect_read("Nevermore");
	wire_close(&w);
}

/* Those of the connection are told as those of send(). */
TEST(error_of_the_connection_loses_it, ON_EACH_KERNEL, TIMES(3))
{
	static const int errors[] = { EPIPE, ECONNRESET, ETIMEDOUT };

	ck_assert(wire_open(&w, reactor));
	fault_call("sendfile", 1, errors[_i]);
	send_text_file(w.transport, "Nevermore");
	wire_wait_lost(&w);
	ck_assert_int_eq(w.err, errors[_i]);
	ck_assert_str_eq(w.trace, "ML");
	wire_close(&w);
}

TEST(interruption_and_want_of_memory_pass, ON_EACH_KERNEL, TIMES(4))
{
	static const int errors[] = { EINTR, EAGAIN, ENOMEM, ENOBUFS };

	ck_assert(wire_open(&w, reactor));
	fault_call("sendfile", 2, errors[_i]);
	send_text_file(w.transport, "Nevermore");
	expect_read("Nevermore");
	wire_close(&w);
}

TEST(parts_of_any_size_are_put_together, ON_EACH_KERNEL, TIMES(2))
{
	ck_assert(wire_open(&w, reactor));
	fault_short_forever("sendfile", 1);
	fault_short_forever("pread", 2);
	if (_i == 1)
		fault_call_forever("sendfile", EINVAL);
	write_text(w.transport, "<");
	send_text_file(w.transport, "Nevermore");
	write_text(w.transport, ">");
	expect_read("<Nevermore>");
	wire_close(&w);
}

TEST(interrupted_read_is_done_again, ON_EACH_KERNEL)
{
	ck_assert(wire_open(&w, reactor));
	fault_call("sendfile", 1, ENOSYS);
	fault_call("pread", 2, EINTR);
	send_text_file(w.transport, "Nevermore");
	expect_read("Nevermore");
	wire_close(&w);
}

static volatile sig_atomic_t signals;

static void signal_counts(int number)
{
	signals++;
}

TEST(broken_connection_raises_no_signal, ON_EACH_BACKEND)
{
	struct sigaction count = { .sa_handler = signal_counts }, before;

	sigaction(SIGPIPE, &count, &before);
	w.unix_pair = true;
	ck_assert(wire_open(&w, reactor));
	wire_hang_up(&w);
	calls_reset();
	send_text_file(w.transport, "Nevermore");
	wire_wait_lost(&w);
	ck_assert_uint_eq(calls_of("sendfile"), 1);
	ck_assert_int_eq(signals, 0);
	wire_close(&w);
	sigaction(SIGPIPE, &before, NULL);
}

static void raise_once(void *nothing)
{
	call_hook("sendfile", NULL, NULL);
	raise(SIGPIPE);
}

/* Then sendfile() returns what it has sent, and the signal is there. */
TEST(connection_that_breaks_in_the_middle_raises_no_signal, ON_EACH_BACKEND)
{
	struct sigaction count = { .sa_handler = signal_counts }, before;

	sigaction(SIGPIPE, &count, &before);
	ck_assert(wire_open(&w, reactor));
	fault_short("sendfile", 1, 3);
	call_hook("sendfile", raise_once, NULL);
	send_text_file(w.transport, "Nevermore");
	expect_read("Nevermore");
	ck_assert_int_eq(signals, 0);
	wire_close(&w);
	sigaction(SIGPIPE, &before, NULL);
}

TEST(descriptors_and_files_keep_their_order, ON_EACH_BACKEND)
{
	struct plait_address nobody = { .family = 0 };
	struct actor a, b;
	int fds[2] = { text_file("x"), text_file("y") };

	actor_init(&a);
	actor_init(&b);
	ck_assert_int_eq(
		plait_socketpair(
			reactor, plait_factory_build_protocol(&a.base, &nobody),
			plait_factory_build_protocol(&b.base, &nobody)),
		0);
	run_until_count(reactor, &b.made, 1);
	plait_transport_send_fds(a.transport, "one ", 4, &fds[0], 1);
	send_text_file(a.transport, "two ");
	plait_transport_send_fds(a.transport, "three ", 6, &fds[1], 1);
	send_text_file(a.transport, "four");
	plait_transport_lose_connection(a.transport);
	run_until_count(reactor, &b.lost, 1);
	ck_assert_str_eq(b.text, "one two three four");
}

/* ---- what it counts ------------------------------------------------------ */

GROUP("counting", .setup = setup);

TEST(producer_waits_until_the_file_is_sent, ON_EACH_KERNEL)
{
	unsigned char *came = malloc(MUCH);

	ck_assert(wire_open(&w, reactor));
	wire_produce(&w, true);
	fault_room(0);
	plait_transport_send_file(w.transport, file_of(MUCH), 0, MUCH);
	run_turns(reactor, 3);
	ck_assert_str_eq(w.told, "P");
	fault_room(SIZE_MAX);
	run_turns(reactor, 1);
	ck_assert_int_eq((int)peer_read(reactor, w.peer, came, MUCH), MUCH);
	run_turns(reactor, 3);
	ck_assert_str_eq(w.told, "PR");
	plait_transport_unregister_producer(w.transport);
	wire_close(&w);
	free(came);
}

/* The bytes are in no memory of the program's; but it can have few files. */
TEST(file_counts_little_against_limits, ON_EACH_KERNEL)
{
	struct plait_limits limits = { .max_unsent = 4096 };
	int fd = file_of(MUCH);

	plait_reactor_set_limits(reactor, &limits);
	ck_assert(wire_open(&w, reactor));
	fault_room(0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(plait_transport_send_file(w.transport, dup(fd),
							   0, MUCH),
				 0);
	ck_assert_uint_eq(plait_transport_unsent(w.transport), 4 * MUCH);
	ck_assert_int_eq(plait_transport_send_file(w.transport, fd, 0, MUCH),
			 -ENOMEM);
	ck_assert(!is_open(fd));
	wire_wait_lost(&w);
	ck_assert_str_eq(w.why,
			 "ConnectionAborted: more than 4096 bytes unsent");
	wire_close(&w);
}

/* What was borrowed from the read buffer is copied, and the file moves. */
static void answer_with_file(struct wire *of, const void *data, size_t len)
{
	plait_transport_write(of->transport, data, len);
	send_text_file(of->transport, "file");
	plait_transport_write(of->transport, data, len);
}

TEST(file_moves_with_what_has_to_be_kept, ON_EACH_KERNEL)
{
	enum { LONG = 8192 };
	unsigned char *bytes = wire_bytes(LONG), came[2 * LONG + 4];

	w.on_data = answer_with_file;
	ck_assert(wire_open(&w, reactor));
	fault_room(100);
	ck_assert(peer_send(reactor, w.peer, bytes, LONG));
	run_until_count(reactor, &w.calls, 1);
	run_turns(reactor, 2);
	ck_assert_uint_eq(w.received, LONG);
	ck_assert_uint_eq(plait_transport_unsent(w.transport),
			  2 * LONG + 4 - 100);
	fault_room(SIZE_MAX);
	plait_transport_write(w.transport, "", 0);
	plait_transport_lose_connection(w.transport);
	ck_assert_int_eq((int)peer_read(reactor, w.peer, came, sizeof(came)),
			 (int)sizeof(came));
	ck_assert(memcmp(came, bytes, LONG) == 0);
	ck_assert(memcmp(came + LONG, "file", 4) == 0);
	ck_assert(memcmp(came + LONG + 4, bytes, LONG) == 0);
	wire_wait_lost(&w);
	wire_close(&w);
	free(bytes);
}

/* ---- a testing reactor --------------------------------------------------- */

static struct actor actor;

static struct plait_transport *record(void)
{
	struct plait_transport *t;

	actor_init(&actor);
	t = plait_testing_connect(reactor, &actor.base);
	ck_assert_ptr_nonnull(t);
	return t;
}

static void expect_written(struct plait_transport *t, const char *text)
{
	const struct plait_buf *b = plait_testing_written(t);

	ck_assert_uint_eq(plait_buf_size(b), strlen(text));
	ck_assert(memcmp(plait_buf_data(b), text, strlen(text)) == 0);
	plait_testing_clear(t);
}

GROUP("testing", .setup = setup);

TEST(window_lets_a_part_of_a_file_through, PURE)
{
	struct plait_transport *t;

	reactor = plait_testing_reactor_new();
	t = record();
	plait_testing_set_window(t, 5);
	send_text_file(t, "Nevermore");
	plait_testing_advance(reactor, 0);
	expect_written(t, "Never");
	ck_assert_uint_eq(plait_transport_unsent(t), 4);
	plait_testing_set_window(t, SIZE_MAX);
	plait_testing_advance(reactor, 0);
	expect_written(t, "more");
	plait_reactor_free(&reactor);
}

/* A kind that takes bytes alone, and notes how many at once. */
struct spelling {
	struct plait_transport base;
	size_t most;
};

static ssize_t spelling_send(struct plait_transport *t,
			     const struct iovec *pieces, int n)
{
	struct spelling *s = plait_self(t, struct spelling);
	size_t len = 0;

	for (int i = 0; i < n; i++)
		len += pieces[i].iov_len;
	s->most = len > s->most ? len : s->most;
	plait_transport_write_sequence(plait_transport_below(t), pieces, n);
	return (ssize_t)len;
}

static const struct plait_transport_ops spelling_ops = {
	.name = "spelling",
	.size = sizeof(struct spelling),
	.send = spelling_send,
};

/* It changes nothing, so all passes. */
static const struct plait_transport_ops passing_ops = { .name = "passing" };

static struct plait_transport *wrap(const struct plait_transport_ops *ops,
				    struct plait_transport *below,
				    struct actor *a)
{
	struct plait_transport *t = plait_transport_new(ops, reactor, below);
	struct plait_address nobody = { .family = 0 };

	ck_assert_ptr_nonnull(t);
	actor_init(a);
	plait_transport_made(t,
			     plait_factory_build_protocol(&a->base, &nobody));
	return t;
}

TEST(wrapper_gets_the_bytes_of_the_file, PURE)
{
	struct plait_transport *below, *t;
	static struct actor a;

	reactor = plait_testing_reactor_new();
	below = record();
	t = wrap(&spelling_ops, below, &a);
	ck_assert_int_eq(
		plait_transport_send_file(t, file_of(100000), 0, 100000), 0);
	plait_testing_advance(reactor, 0);
	ck_assert_uint_eq(plait_buf_size(plait_testing_written(below)), 100000);
	ck_assert_uint_eq(plait_self(t, struct spelling)->most, 16 * 1024);
	plait_reactor_free(&reactor);
}

/* ... which the transport at the bottom sends as its own. */
TEST(wrapper_that_changes_nothing_passes_the_file_on, ON_EACH_KERNEL)
{
	static struct actor a;
	struct plait_transport *t;

	ck_assert(wire_open(&w, reactor));
	t = wrap(&passing_ops, w.transport, &a);
	calls_reset();
	write_text(t, "<");
	send_text_file(t, "Nevermore");
	write_text(t, ">");
	ck_assert_uint_eq(plait_transport_unsent(t), 11);
	expect_read("<Nevermore>");
	ck_assert_uint_eq(calls_of("sendfile"), 1);
	wire_close(&w);
}

/* A kind that says what the contract forbids. */
static ssize_t boasting_send(struct plait_transport *t,
			     const struct iovec *pieces, int n)
{
	return -EAGAIN;
}

static ssize_t boasting_send_file(struct plait_transport *t, int fd,
				  uint64_t from, size_t len)
{
	return (ssize_t)len + 1;
}

static const struct plait_transport_ops boasting_ops = {
	.name = "boasting",
	.send = boasting_send,
	.send_file = boasting_send_file,
};

TEST(kind_that_took_more_than_there_was_dies, PURE, ABORTS)
{
	static struct actor a;
	struct plait_transport *t;

	reactor = plait_testing_reactor_new();
	t = wrap(&boasting_ops, NULL, &a);
	send_text_file(t, "Nevermore");
	plait_testing_advance(reactor, 0);
}

/* ---- the call ------------------------------------------------------------ */

GROUP("call", .setup = setup);

static void refuse(int fd, uint64_t from, size_t len, int err)
{
	ck_assert_int_eq(plait_transport_send_file(w.transport, fd, from, len),
			 err);
	ck_assert(fd < 0 || !is_open(fd));
}

TEST(wrong_arguments_are_refused_and_the_file_is_closed, ON_EACH_KERNEL)
{
	ck_assert(wire_open(&w, reactor));
	refuse(-1, 0, 1, -EBADF);
	refuse(text_file("x"), (uint64_t)INT64_MAX + 1, 1, -EINVAL);
	refuse(text_file("x"), INT64_MAX, 1, -EINVAL);
	refuse(text_file("x"), 1, SIZE_MAX, -EINVAL);
	refuse(text_file("x"), 0, 0, 0);
	ck_assert_uint_eq(plait_transport_unsent(w.transport), 0);
	plait_transport_lose_write_connection(w.transport);
	refuse(text_file("x"), 0, 1, -ENOTCONN);
	wire_close(&w);
	refuse(text_file("x"), 0, 1, -ENOMEM); /* there is no transport */
}

TEST(more_bytes_than_can_be_counted_are_refused, ON_EACH_KERNEL)
{
	ck_assert(wire_open(&w, reactor));
	fault_room(0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(plait_transport_send_file(w.transport,
							   text_file("x"), 0,
							   INT64_MAX),
				 0);
	refuse(text_file("x"), 0, INT64_MAX, -EFBIG);
	plait_transport_abort_connection(w.transport);
	wire_wait_lost(&w);
	wire_close(&w);
}

TEST(file_is_closed_when_the_connection_is_lost, ON_EACH_KERNEL, TIMES(3))
{
	int fd = file_of(MUCH);

	ck_assert(wire_open(&w, reactor));
	fault_room(10);
	ck_assert_int_eq(plait_transport_send_file(w.transport, fd, 0, MUCH),
			 0);
	run_turns(reactor, 2);
	ck_assert_uint_eq(plait_transport_unsent(w.transport), MUCH - 10);
	ck_assert(is_open(fd));
	if (_i == 0)
		plait_transport_abort_connection(w.transport);
	else if (_i == 1)
		wire_reset(&w);
	else
		plait_reactor_free(&reactor);
	if (reactor != NULL)
		wire_wait_lost(&w);
	ck_assert(!is_open(fd));
	if (w.peer >= 0)
		peer_close(w.peer);
}

TEST(forked_child_closes_its_own_descriptor, ON_EACH_BACKEND)
{
	int fd = file_of(100);
	pid_t child;

	ck_assert(wire_open(&w, reactor));
	fault_room(0);
	plait_transport_send_file(w.transport, fd, 0, 100);
	child = fork();
	if (child == 0) {
		bool refused =
			plait_transport_send_file(w.transport, text_file("x"),
						  0, 1) == -ECHILD;

		plait_reactor_free(&reactor);
		child_leave(refused && !is_open(fd) ? 0 : 1);
	}
	child_ends(child);
	ck_assert(is_open(fd));
	fault_room(SIZE_MAX);
	plait_transport_lose_connection(w.transport);
	wire_wait_lost(&w);
	ck_assert(!is_open(fd));
	wire_close(&w);
}

/* ---- torture ------------------------------------------------------------- */

static void send_one(struct plait_reactor *r)
{
	struct wire one = { .peer = -1 };
	unsigned char *came;

	if (!wire_open(&one, r)) {
		ck_assert(torture_faulty());
		return;
	}
	came = malloc(50000);
	plait_transport_write(one.transport, "<", 1);
	plait_transport_send_file(one.transport, file_of(50000), 1, 49998);
	plait_transport_write(one.transport, ">", 1);
	plait_transport_lose_connection(one.transport);
	peer_read(r, one.peer, came, 50000);
	ck_assert(torture_faulty() || (came[0] == '<' && came[49999] == '>'));
	free(came);
	wire_close(&one);
}

GROUP("torture", .setup = setup, .timeout = 60);

TEST(nothing_is_left_whatever_allocation_fails, ON_EACH_BACKEND)
{
	torture(send_one, backend);
}

TEST(nothing_is_left_whatever_call_fails, ON_EACH_BACKEND)
{
	torture_syscalls(send_one, backend);
}
