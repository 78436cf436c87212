/*
 * Descriptors that the kernel hands over, with the calls that the library has
 * for it.
 */
#include <fcntl.h>
#include <sys/resource.h>

#include "reactor/kernel/kernel.h"
#include "tests/harness.h"
#include "tests/rights.h"

static const struct kernel_calls *const calls = &plait_i_linux_calls;
static int pair[2], file;
static int got[KERNEL_MAX_FDS];
static size_t n_got;

static void make_pair(void)
{
	ck_assert_int_eq(calls->socketpair(NULL, SOCK_STREAM, pair), 0);
	file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(file, 0);
}

static void close_pair(void)
{
	close(pair[0]);
	close(pair[1]);
	close(file);
}

static ssize_t send_file(const char *text, size_t n)
{
	struct iovec piece = { .iov_base = (void *)(uintptr_t)text,
			       .iov_len = strlen(text) };
	int fds[KERNEL_MAX_FDS];

	for (size_t i = 0; i < n; i++)
		fds[i] = file;
	return calls->send_fds(NULL, pair[0], &piece, 1, fds, n, 0);
}

static ssize_t receive(void *buf, size_t len)
{
	return calls->recv_fds(NULL, pair[1], buf, len, got, &n_got, 0);
}

static void close_got(void)
{
	for (size_t i = 0; i < n_got; i++)
		close(got[i]);
}

static bool is_file(int fd)
{
	return rights_are_same(fd, file);
}

GROUP("rights", .setup = make_pair, .teardown = close_pair);

TEST(descriptors_come_with_the_bytes, PURE)
{
	char text[10] = "";

	ck_assert_int_eq(send_file("hello", 2), 5);
	ck_assert_int_eq(receive(text, sizeof(text)), 5);
	ck_assert_str_eq(text, "hello");
	ck_assert_uint_eq(n_got, 2);
	for (size_t i = 0; i < n_got; i++) {
		ck_assert(is_file(got[i]) && got[i] != file);
		ck_assert_int_eq(fcntl(got[i], F_GETFD), FD_CLOEXEC);
	}
	close_got();
}

TEST(nothing_is_read_behind_a_message_that_has_some, PURE)
{
	char text[10] = "";

	ck_assert_int_eq(send_file("a", 1), 1);
	ck_assert_int_eq(send_file("b", 3), 1);
	ck_assert_int_eq(receive(text, sizeof(text)), 1);
	ck_assert_uint_eq(n_got, 1);
	close_got();
	ck_assert_int_eq(receive(text, sizeof(text)), 1);
	ck_assert_uint_eq(n_got, 3);
	close_got();
}

TEST(bytes_alone_have_none, PURE)
{
	char c;

	n_got = 7;
	ck_assert_int_eq(receive(&c, 1), -1);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_eq(send(pair[0], "x", 1, 0), 1);
	ck_assert_int_eq(receive(&c, 1), 1);
	ck_assert_uint_eq(n_got, 0);
}

/* Half of a message has all of its descriptors. */
TEST(as_many_as_may_come_come, PURE)
{
	char c;

	ck_assert_int_eq(send_file("xy", KERNEL_MAX_FDS), 2);
	ck_assert_int_eq(receive(&c, 1), 1);
	ck_assert_uint_eq(n_got, KERNEL_MAX_FDS);
	close_got();
	ck_assert_int_eq(receive(&c, 1), 1);
	ck_assert_uint_eq(n_got, 0);
}

/* What a sender puts into two control messages comes in one. */
TEST(those_of_two_control_messages_come_together, PURE)
{
	union {
		struct cmsghdr header;
		char room[2 * CMSG_SPACE(sizeof(int))];
	} control = { .room = { 0 } };
	char x = 'x', c;
	struct iovec piece = { .iov_base = &x, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &piece,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *h = CMSG_FIRSTHDR(&msg);

	for (int i = 0; i < 2; i++, h = CMSG_NXTHDR(&msg, h)) {
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &file, sizeof(int));
	}
	ck_assert_int_eq(sendmsg(pair[0], &msg, 0), 1);
	ck_assert_int_eq(receive(&c, 1), 1);
	ck_assert_uint_eq(n_got, 2);
	ck_assert(is_file(got[0]) && is_file(got[1]));
	close_got();
}

TEST(other_control_messages_are_passed_over, PURE)
{
	int on = 1;
	char c;

	ck_assert_int_eq(
		setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)),
		0);
	ck_assert_int_eq(send_file("x", 3), 1);
	ck_assert_int_eq(receive(&c, 1), 1);
	ck_assert_uint_eq(n_got, 3);
	ck_assert(is_file(got[0]) && is_file(got[2]));
	close_got();
}

TEST(none_of_too_many_stays_open, PURE, TIMES(2))
{
	char c;

	rights_send_copies(pair[0], file,
			   _i == 0 ? KERNEL_MAX_FDS + 1 : RIGHTS_MANY);
	n_got = 7;
	ck_assert_int_eq(receive(&c, 1), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	ck_assert_uint_eq(n_got, 0);
}

/* The kernel installs as many as there may be. */
TEST(none_stays_open_if_a_process_can_have_no_more, PURE)
{
	struct rlimit before, few;
	ssize_t n;
	char c;
	int next = fcntl(file, F_DUPFD_CLOEXEC, 0);

	close(next);
	ck_assert_int_eq(send_file("x", 5), 1);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = (struct rlimit){ .rlim_cur = (rlim_t)next + 3,
			       .rlim_max = before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	n = receive(&c, 1);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_int_eq(n, -1);
	ck_assert_int_eq(errno, EMFILE);
	ck_assert_uint_eq(n_got, 0);
}

/* Closes standard input, calls, and puts it back. */
static ssize_t without_input(ssize_t (*call)(void *arg), void *arg)
{
	int saved = fcntl(0, F_DUPFD_CLOEXEC, 100);
	ssize_t ret;
	int err;

	close(0);
	ret = call(arg);
	err = errno;
	ck_assert_int_eq(fcntl(0, F_GETFD), -1);
	ck_assert_int_eq(dup2(saved, 0), 0);
	close(saved);
	errno = err;
	return ret;
}

static ssize_t receive_one(void *c)
{
	return receive(c, 1);
}

TEST(one_that_comes_is_no_standard_one, PURE, TIMES(2))
{
	ssize_t n;
	char c;

	ck_assert_int_eq(send_file("x", 2), 1);
	if (_i == 1)
		fault_call("fcntl", 1, EMFILE);
	n = without_input(receive_one, &c);
	if (_i == 1) {
		ck_assert_int_eq(n, -1);
		ck_assert_int_eq(errno, EMFILE);
		return;
	}
	ck_assert_int_eq(n, 1);
	ck_assert_uint_eq(n_got, 2);
	ck_assert(got[0] > 2 && is_file(got[0]));
	close_got();
}

static ssize_t make_another_pair(void *fds)
{
	return calls->socketpair(NULL, SOCK_STREAM, fds);
}

TEST(a_pair_has_no_standard_one, PURE, TIMES(3))
{
	int fds[2] = { -1, -1 };
	ssize_t n;

	if (_i > 0)
		fault_call(_i == 1 ? "socketpair" : "fcntl", 1, EMFILE);
	n = without_input(make_another_pair, fds);
	if (_i > 0) {
		ck_assert_int_eq(n, -1);
		ck_assert_int_eq(errno, EMFILE);
		return;
	}
	ck_assert_int_eq(n, 0);
	ck_assert(fds[0] > 2 && fds[1] > 2);
	close(fds[0]);
	close(fds[1]);
}

GROUP("adopt", .setup = make_pair, .teardown = close_pair);

TEST(what_is_adopted_does_not_outlive_a_program, PURE)
{
	int fd = fcntl(file, F_DUPFD, 0);

	ck_assert_int_eq(fcntl(fd, F_GETFD), 0);
	ck_assert_int_eq(calls->adopt(NULL, fd), fd);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
}

static ssize_t adopt_as_input(void *arg)
{
	ck_assert_int_eq(dup2(file, 0), 0);
	return calls->adopt(NULL, 0);
}

TEST(a_standard_one_gets_another_number, PURE)
{
	int fd = (int)without_input(adopt_as_input, NULL);

	ck_assert(fd > 2 && is_file(fd));
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
}

TEST(what_cannot_be_adopted_is_closed, PURE)
{
	int fd = fcntl(file, F_DUPFD, 0);

	fault_call("fcntl", 1, EIO);
	ck_assert_int_eq(calls->adopt(NULL, fd), -1);
	ck_assert_int_eq(errno, EIO);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
	ck_assert_int_eq(calls->adopt(NULL, fd), -1);
	ck_assert_int_eq(errno, EBADF);
}
