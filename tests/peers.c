/*
 * The other side of a test: see harness.h.  Its sockets are real ones, past the
 * seam; or, in a test on the simulated kernel (model.h), sockets of another
 * program of the same host.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "tests/harness.h"
#include "tests/model.h"
#include "tests/stranger.h"

/* ---- calls, of whichever kernel -------------------------------------- */

static int peer_bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	struct kernel *k = model_peers();

	return k != NULL ? kernel_bind(k, fd, sa, len) : bind(fd, sa, len);
}

static int peer_name(int fd, struct sockaddr *sa, socklen_t *len)
{
	struct kernel *k = model_peers();

	return k != NULL ? kernel_getsockname(k, fd, sa, len)
			 : getsockname(fd, sa, len);
}

static void peer_set(int fd, int level, int option, const void *value,
		     socklen_t len)
{
	struct kernel *k = model_peers();

	if (k != NULL)
		kernel_setsockopt(k, fd, level, option, value, len);
	else
		setsockopt(fd, level, option, value, len);
}

static ssize_t peer_recv(int fd, void *buf, size_t len, int flags)
{
	struct kernel *k = model_peers();

	return k != NULL ? kernel_recv(k, fd, buf, len, flags)
			 : recv(fd, buf, len, flags | MSG_DONTWAIT);
}

ssize_t peer_peek(int fd, void *buf, size_t len)
{
	return peer_recv(fd, buf, len, MSG_PEEK);
}

ssize_t peer_send_some(int fd, const void *data, size_t len)
{
	struct kernel *k = model_peers();

	return k != NULL ? kernel_send(k, fd, data, len, MSG_NOSIGNAL)
			 : send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void peer_close(int fd)
{
	struct kernel *k = model_peers();

	if (k != NULL)
		kernel_close(k, fd);
	else
		close(fd);
}

void peer_shut(int fd)
{
	struct kernel *k = model_peers();

	if (k != NULL)
		kernel_shutdown(k, fd, SHUT_WR);
	else
		shutdown(fd, SHUT_WR);
}

/* ---- sockets --------------------------------------------------------- */

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

/* How long a real socket waits. */
static void peer_be_patient(int fd)
{
	struct timeval tv = { .tv_sec = (time_t)test_patience() };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

static int peer_socket(int flags)
{
	struct kernel *k = model_peers();
	int fd = k != NULL ? kernel_socket(k, AF_INET, SOCK_STREAM)
			   : socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags,
				    0);

	ck_assert_int_ge(fd, 0);
	if (k == NULL)
		peer_be_patient(fd);
	return fd;
}

static int bind_somewhere(int fd, uint16_t *port)
{
	struct sockaddr_in sa = loopback(0);
	socklen_t len = sizeof(sa);

	ck_assert_int_eq(peer_bind(fd, (struct sockaddr *)&sa, len), 0);
	ck_assert_int_eq(peer_name(fd, (struct sockaddr *)&sa, &len), 0);
	*port = ntohs(sa.sin_port);
	return fd;
}

int peer_hold_port(uint16_t *port)
{
	return bind_somewhere(peer_socket(0), port);
}

int peer_keep_port(uint16_t *port)
{
	int fd = peer_socket(0);

	peer_set(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	return bind_somewhere(fd, port);
}

int peer_listen(uint16_t *port, int backlog)
{
	struct kernel *k = model_peers();
	int fd = peer_hold_port(port);

	ck_assert_int_eq(k != NULL ? kernel_listen(k, fd, backlog)
				   : listen(fd, backlog),
			 0);
	return fd;
}

/* SO_RCVTIMEO is a listener's patience, too, and is not inherited. */
int peer_accept(int listener)
{
	struct kernel *k = model_peers();
	int fd = -1;

	if (k != NULL)
		fd = kernel_accept(k, listener, NULL, NULL);
	else if (!torture_faulty() ||
		 poll(&(struct pollfd){ listener, POLLIN, 0 }, 1, 1) > 0)
		fd = stranger_accept(listener, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_msg(fd >= 0 || torture_faulty(), "accept: %s",
		      strerror(errno));
	if (k == NULL)
		peer_be_patient(fd);
	return fd;
}

/* Of a simulated kernel: the connection is there when this has returned, if
   there is room for it. */
static int model_connect(struct kernel *k, uint16_t port)
{
	struct sockaddr_in sa = loopback(port);
	int fd = peer_socket(0);

	if (kernel_connect(k, fd, (struct sockaddr *)&sa, sizeof(sa)) != 0)
		ck_assert_int_eq(errno, EINPROGRESS);
	return fd;
}

int peer_connect(uint16_t port)
{
	struct kernel *k = model_peers();
	struct sockaddr_in sa = loopback(port);
	int fd, r;

	if (k != NULL)
		return model_connect(k, port);
	fd = peer_socket(0);
	r = connect(fd, (struct sockaddr *)&sa, sizeof(sa));
	stranger_is_not(fd);
	if (r == 0)
		return fd;
	ck_assert_msg(torture_faulty(), "connect to %u: %s", port,
		      strerror(errno));
	close(fd);
	return -1;
}

int peer_connect_start(uint16_t port)
{
	struct kernel *k = model_peers();
	struct sockaddr_in sa = loopback(port);
	int fd;

	if (k != NULL)
		return model_connect(k, port);
	fd = peer_socket(SOCK_NONBLOCK);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0)
		ck_assert_int_eq(errno, EINPROGRESS);
	stranger_is_not(fd);
	return fd;
}

int socket_option(int fd, int level, int option)
{
	struct kernel k;
	int value = -1;
	socklen_t len = sizeof(value);

	if (model_is_on()) {
		k = model_past_seam(reactor);
		kernel_getsockopt(&k, fd, level, option, &value, &len);
	} else {
		getsockopt(fd, level, option, &value, &len);
	}
	return value;
}

int listening_socket(void)
{
	for (int fd = 3; fd < 1024; fd++)
		if (socket_option(fd, SOL_SOCKET, SO_ACCEPTCONN) == 1)
			return fd;
	ck_abort_msg("nobody listens");
}

/* ---- bytes ----------------------------------------------------------- */

static void wait_for(struct plait_reactor *r, int fd, short events)
{
	if (r != NULL)
		ck_assert_int_eq(plait_reactor_iterate(r, 0.001), 0);
	else if (model_is_on())
		model_wait(0.001);
	else
		poll(&(struct pollfd){ fd, events, 0 }, 1, 100);
}

bool peer_send(struct plait_reactor *r, int fd, const void *data, size_t len)
{
	double end = test_real_seconds() + test_patience();
	const char *p = data;

	for (int turns = 0; len > 0; turns++) {
		ssize_t n = peer_send_some(fd, p, len);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		if (errno != EAGAIN || (torture_faulty() && turns > 1000))
			return false;
		ck_assert_msg(test_real_seconds() < end, "%zu bytes left", len);
		wait_for(r, fd, POLLOUT);
	}
	return true;
}

void peer_say(int fd, const char *text)
{
	bool sent = peer_send(NULL, fd, text, strlen(text));

	ck_assert_msg(sent || torture_faulty(), "send: %s", strerror(errno));
}

void peer_reset(int fd)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	peer_set(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	peer_close(fd);
}

/* One read of what may or may not have come; -EAGAIN if nothing has. */
static ssize_t read_some(int fd, char *buf, size_t size)
{
	char trash[65536];
	ssize_t n = peer_recv(
		fd, buf ? buf : trash,
		buf || size < sizeof(trash) ? size : sizeof(trash), 0);

	return n < 0 ? -errno : n;
}

ssize_t peer_read(struct plait_reactor *r, int fd, void *buf, size_t want)
{
	double end = test_real_seconds() + test_patience();
	size_t got = 0;

	for (int turns = 0; got < want; turns++) {
		ssize_t n = read_some(fd, buf ? (char *)buf + got : NULL,
				      want - got);

		if (n == 0 || (n < 0 && n != -EAGAIN))
			return n < 0 ? n : (ssize_t)got;
		if (n > 0) {
			got += (size_t)n;
			turns = 0;
			continue;
		}
		if (torture_faulty() && turns > 1000)
			break;
		ck_assert_msg(test_real_seconds() < end, "only %zu bytes came",
			      got);
		wait_for(r, fd, POLLIN);
	}
	return (ssize_t)got;
}

ssize_t peer_read_to_eof(struct plait_reactor *r, int fd, void *buf,
			 size_t size)
{
	ssize_t n = peer_read(r, fd, buf, buf ? size : SIZE_MAX / 2);
	char more;

	if (n < 0 || torture_faulty() || buf == NULL || (size_t)n < size)
		return n;
	ck_assert_msg(peer_read(r, fd, &more, 1) == 0, "more than %zu bytes",
		      size);
	return n;
}
