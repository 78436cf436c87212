/*
 * The simulated kernel for tests: see model.h.
 */
#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "reactor/simulation/world.h"
#include "tests/fault.h"
#include "tests/model.h"

static struct plait_simulation *model;

/* The program of the peers: a kernel without a reactor, so that it is never
   whose turn it is. */
static struct kernel peers;
static struct host_kernel peers_state;

/* ---- the seam ------------------------------------------------------------ */

/* Counts the call.  Returns true if it has to fail, with errno set. */
static bool fails(const char *name, size_t *most)
{
	int err = fault_next(name, most);

	if (err != 0)
		errno = err;
	return err != 0;
}

static size_t at_most(size_t len, size_t most)
{
	return most != 0 && most < len ? most : len;
}

static ssize_t sent(ssize_t n)
{
	if (n > 0)
		fault_sent((size_t)n);
	return n;
}

/*
 * Each call twice: past_NAME() makes it, and seamed_NAME() makes it or fails.
 * What the simulated kernel allocates meanwhile belongs to no program, so it is
 * neither counted nor refused.
 */
#define PAST(type, name, params, args)                                         \
	static type past_##name params                                         \
	{                                                                      \
		type rc;                                                       \
                                                                               \
		fault_outside(true);                                           \
		rc = plait_i_kernel_simulated.calls->name args;                \
		fault_outside(false);                                          \
		return rc;                                                     \
	}

#define SEAMED(type, name, call, params, args)                                 \
	PAST(type, name, params, args)                                         \
	static type seamed_##name params                                       \
	{                                                                      \
		size_t most;                                                   \
                                                                               \
		return fails(call, &most) ? -1 : past_##name args;             \
	}

SEAMED(int, socket, "socket", (struct kernel * k, int family, int type),
       (k, family, type))
SEAMED(int, socketpair, "socketpair", (struct kernel * k, int type, int *ret),
       (k, type, ret))
SEAMED(int, adopt, "fcntl", (struct kernel * k, int fd), (k, fd))
SEAMED(int, inherit, "fcntl", (struct kernel * k, int fd), (k, fd))
SEAMED(int, bind, "bind",
       (struct kernel * k, int fd, const struct sockaddr *sa, socklen_t len),
       (k, fd, sa, len))
SEAMED(int, listen, "listen", (struct kernel * k, int fd, int backlog),
       (k, fd, backlog))
SEAMED(int, accept, "accept4",
       (struct kernel * k, int fd, struct sockaddr *sa, socklen_t *len),
       (k, fd, sa, len))
SEAMED(int, shutdown, "shutdown", (struct kernel * k, int fd, int how),
       (k, fd, how))
SEAMED(int, reserve, "open", (struct kernel * k), (k))
SEAMED(int, waker, "eventfd", (struct kernel * k), (k))
SEAMED(int, getsockopt, "getsockopt",
       (struct kernel * k, int fd, int level, int option, void *value,
	socklen_t *len),
       (k, fd, level, option, value, len))
SEAMED(int, setsockopt, "setsockopt",
       (struct kernel * k, int fd, int level, int option, const void *value,
	socklen_t len),
       (k, fd, level, option, value, len))
SEAMED(int, getsockname, "getsockname",
       (struct kernel * k, int fd, struct sockaddr *sa, socklen_t *len),
       (k, fd, sa, len))
SEAMED(int, getpeername, "getpeername",
       (struct kernel * k, int fd, struct sockaddr *sa, socklen_t *len),
       (k, fd, sa, len))
SEAMED(int, look, "stat",
       (struct kernel * k, const char *path, struct kernel_file *ret),
       (k, path, ret))
SEAMED(int, unlink, "unlink", (struct kernel * k, const char *path), (k, path))
SEAMED(int, chmod, "chmod",
       (struct kernel * k, const char *path, unsigned mode), (k, path, mode))
SEAMED(int, rename, "rename",
       (struct kernel * k, const char *from, const char *to), (k, from, to))
SEAMED(int, lock, "flock", (struct kernel * k, const char *path), (k, path))
SEAMED(ssize_t, read_file, "open",
       (struct kernel * k, const char *path, void *buf, size_t len,
	struct kernel_file *ret),
       (k, path, buf, len, ret))
SEAMED(int, host_name, "gethostname",
       (struct kernel * k, char *buf, size_t size), (k, buf, size))
PAST(int, connect,
     (struct kernel * k, int fd, const struct sockaddr *sa, socklen_t len),
     (k, fd, sa, len))
PAST(int, close, (struct kernel * k, int fd), (k, fd))
PAST(ssize_t, recv,
     (struct kernel * k, int fd, void *buf, size_t len, int flags),
     (k, fd, buf, len, flags))
PAST(ssize_t, send,
     (struct kernel * k, int fd, const void *buf, size_t len, int flags),
     (k, fd, buf, len, flags))
PAST(ssize_t, sendmsg,
     (struct kernel * k, int fd, const struct msghdr *msg, int flags),
     (k, fd, msg, flags))

PAST(ssize_t, sendfile,
     (struct kernel * k, int fd, int file, uint64_t from, size_t len),
     (k, fd, file, from, len))
PAST(ssize_t, recvmsg,
     (struct kernel * k, int fd, struct msghdr *msg, int flags),
     (k, fd, msg, flags))
PAST(int, sendmmsg,
     (struct kernel * k, int fd, struct mmsghdr *msgs, unsigned n, int flags),
     (k, fd, msgs, n, flags))
PAST(int, recvmmsg,
     (struct kernel * k, int fd, struct mmsghdr *msgs, unsigned n, int flags),
     (k, fd, msgs, n, flags))

static ssize_t seamed_recvmsg(struct kernel *k, int fd, struct msghdr *msg,
			      int flags)
{
	size_t most;

	return fails("recvmsg", &most) ? -1 : past_recvmsg(k, fd, msg, flags);
}

static int seamed_sendmmsg(struct kernel *k, int fd, struct mmsghdr *msgs,
			   unsigned n, int flags)
{
	size_t most;

	if (fails("sendmmsg", &most))
		return -1;
	return past_sendmmsg(k, fd, msgs, (unsigned)at_most(n, most), flags);
}

static int seamed_recvmmsg(struct kernel *k, int fd, struct mmsghdr *msgs,
			   unsigned n, int flags)
{
	size_t most;

	if (fails("recvmmsg", &most))
		return -1;
	return past_recvmmsg(k, fd, msgs, (unsigned)at_most(n, most), flags);
}

PAST(ssize_t, send_fds,
     (struct kernel * k, int fd, const struct iovec *pieces, int n,
      const int *fds, size_t n_fds, int flags),
     (k, fd, pieces, n, fds, n_fds, flags))
PAST(ssize_t, recv_fds,
     (struct kernel * k, int fd, void *buf, size_t len, int *fds, size_t *n_fds,
      int flags),
     (k, fd, buf, len, fds, n_fds, flags))

static ssize_t seamed_recv_fds(struct kernel *k, int fd, void *buf, size_t len,
			       int *fds, size_t *n_fds, int flags)
{
	size_t most;

	if (fails("recvmsg", &most))
		return -1;
	return past_recv_fds(k, fd, buf, at_most(len, most), fds, n_fds, flags);
}

static ssize_t seamed_recv(struct kernel *k, int fd, void *buf, size_t len,
			   int flags)
{
	size_t most;

	if (fails("recv", &most))
		return -1;
	return past_recv(k, fd, buf, at_most(len, most), flags);
}

static ssize_t seamed_send(struct kernel *k, int fd, const void *buf,
			   size_t len, int flags)
{
	size_t most;

	if (fails("send", &most))
		return -1;
	return sent(past_send(k, fd, buf, at_most(len, most), flags));
}

static ssize_t seamed_sendfile(struct kernel *k, int fd, int file,
			       uint64_t from, size_t len)
{
	size_t most;

	if (fails("sendfile", &most))
		return -1;
	return sent(past_sendfile(k, fd, file, from, at_most(len, most)));
}

enum { MAX_PIECES = 1024 };

/* As many of the pieces as hold the bytes that may be moved, 0: all. */
static size_t shorten(struct iovec *copy, const struct iovec *pieces, size_t n,
		      size_t most)
{
	size_t left = most != 0 ? most : SIZE_MAX;
	size_t i = 0;

	for (; i < n && i < MAX_PIECES && left > 0; i++) {
		copy[i] = pieces[i];
		copy[i].iov_len = at_most(copy[i].iov_len, left);
		left -= copy[i].iov_len;
	}
	return i;
}

static ssize_t seamed_sendmsg(struct kernel *k, int fd,
			      const struct msghdr *msg, int flags)
{
	struct iovec pieces[MAX_PIECES];
	struct msghdr m = *msg;
	size_t most;

	if (fails("sendmsg", &most))
		return -1;
	m.msg_iov = pieces;
	m.msg_iovlen = shorten(pieces, msg->msg_iov, msg->msg_iovlen, most);
	return sent(past_sendmsg(k, fd, &m, flags));
}

static ssize_t seamed_send_fds(struct kernel *k, int fd,
			       const struct iovec *pieces, int n,
			       const int *fds, size_t n_fds, int flags)
{
	struct iovec copy[MAX_PIECES];
	size_t most;

	if (fails("sendmsg", &most))
		return -1;
	n = (int)shorten(copy, pieces, (size_t)n, most);
	return sent(past_send_fds(k, fd, copy, n, fds, n_fds, flags));
}

/* What a call gives that is made even if it fails. */
static int failed(int err, int rc)
{
	if (err == 0)
		return rc;
	errno = err;
	return -1;
}

static int seamed_close(struct kernel *k, int fd)
{
	size_t most;
	int err = fault_next("close", &most);

	return failed(err, past_close(k, fd));
}

static int seamed_connect(struct kernel *k, int fd, const struct sockaddr *sa,
			  socklen_t len)
{
	size_t most;
	int err = fault_next("connect", &most);
	int rc = 0;

	if (err == 0 || err == EINTR || err == EINPROGRESS)
		rc = past_connect(k, fd, sa, len);
	return failed(err, rc);
}

static int seamed_update(struct kernel *k, struct watches *ws, int fd)
{
	size_t most;
	int err = fault_next("epoll_ctl", &most);

	return err != 0 ? -err : plait_i_kernel_simulated.update(k, ws, fd);
}

/* epoll's name stands for every way to wait. */
static int seamed_wait(struct kernel *k, struct watches *ws, int64_t timeout,
		       struct kernel_event *ret)
{
	size_t most;
	int err = fault_next("epoll_wait", &most);

	fault_waits(timeout < 0 ? -1 : (double)timeout / 1e9);
	if (err != 0)
		return err == EINTR ? 0 : -err;
	return plait_i_kernel_simulated.wait(k, ws, timeout, ret);
}

static struct kernel_calls past_calls, seamed_calls;
static struct kernel_ops past, seamed;

/* In both tables what is not named here is the simulated kernel's own. */
static void tables_fill(void)
{
#define PUT(call)                                                              \
	do {                                                                   \
		past_calls.call = past_##call;                                 \
		seamed_calls.call = seamed_##call;                             \
	} while (0)
	past_calls = *plait_i_kernel_simulated.calls;
	seamed_calls = past_calls;
	PUT(socket);
	PUT(socketpair);
	PUT(adopt);
	PUT(inherit);
	PUT(bind);
	PUT(listen);
	PUT(accept);
	PUT(connect);
	PUT(recv);
	PUT(send);
	PUT(sendmsg);
	PUT(sendfile);
	PUT(recvmsg);
	PUT(sendmmsg);
	PUT(recvmmsg);
	PUT(send_fds);
	PUT(recv_fds);
	PUT(shutdown);
	PUT(close);
	PUT(reserve);
	PUT(waker);
	PUT(getsockopt);
	PUT(setsockopt);
	PUT(getsockname);
	PUT(getpeername);
	PUT(look);
	PUT(unlink);
	PUT(chmod);
	PUT(rename);
	PUT(lock);
	PUT(read_file);
	PUT(host_name);
#undef PUT

	past = plait_i_kernel_simulated;
	past.calls = &past_calls;
	seamed = past;
	seamed.calls = &seamed_calls;
	seamed.update = seamed_update;
	seamed.wait = seamed_wait;
	/* It stands for a real one, so what is pending at the end is told. */
	seamed.is_simulated = false;
}

/* ---- the host -------------------------------------------------------- */

static struct plait_host *host(void)
{
	struct plait_host *h = plait_simulation_host(model, "here");

	ck_assert_ptr_nonnull(h);
	return h;
}

void model_set_file(const char *path, const char *text)
{
	ck_assert_int_eq(plait_host_set_file(host(), path, text), 0);
}

static double now(void)
{
	return plait_simulation_seconds(model);
}

/* Nobody has a turn meanwhile. */
static void jump(double seconds)
{
	model->now += llround(seconds * 1e9);
}

/* Nor is what the witness of the contract remembers memory of the program. */
static void (*witness_tell)(struct trace_listener *l, enum trace_kind kind,
			    const void *object, const void *other,
			    const char *text, size_t n);

static void tell_witness(struct trace_listener *l, enum trace_kind kind,
			 const void *object, const void *other,
			 const char *text, size_t n)
{
	fault_outside(true);
	witness_tell(l, kind, object, other, text, n);
	fault_outside(false);
}

void model_begin(void)
{
	static const struct plait_simulation_options perfect;

	tables_fill();
	model = plait_simulation_new(1, &perfect);
	ck_assert_ptr_nonnull(model);
	model->immediate = true;
	peers_state = (struct host_kernel){ .host = host() };
	ck_assert_int_eq(kernel_init(&peers, &past, &peers_state), 0);
	witness_tell = model->witness.listener.tell;
	model->witness.listener.tell = tell_witness;
	fault_follow_clock(now, jump);
}

bool model_is_on(void)
{
	return model != NULL;
}

/* As plait_host_reactor(), but on the seam. */
struct plait_reactor *model_reactor(void)
{
	struct plait_host *h = host();
	struct host_kernel *k = calloc(1, sizeof(*k));

	ck_assert_ptr_nonnull(k);
	k->host = h;
	k->number = ++h->n_kernels;
	plait_i_random_init(&k->chance, k->number, h->name);
	k->reactor = plait_i_reactor_new(&seamed, k);
	if (k->reactor == NULL) {
		free(k);
		return NULL;
	}
	plait_list_append(&h->kernels, &k->link);
	return k->reactor;
}

struct kernel *model_peers(void)
{
	return model != NULL ? &peers : NULL;
}

struct kernel model_past_seam(struct plait_reactor *r)
{
	struct kernel k = *loop_kernel(r);

	k.ops = &past;
	k.calls = &past_calls;
	return k;
}

void model_wait(double seconds)
{
	int rc = plait_simulation_run(model, seconds);

	/* Nothing can ever happen any more: so it does not. */
	if (rc == -EDEADLK)
		jump(seconds);
	else
		ck_assert_int_eq(rc, 0);
}

void model_end(void)
{
	char failure[FAILURE_SIZE] = "";
	const char *why;

	fault_follow_clock(NULL, NULL);
	kernel_done(&peers);
	why = plait_simulation_failure(model);
	if (why != NULL)
		snprintf(failure, sizeof(failure), "%s", why);
	plait_simulation_free(&model);
	if (failure[0] != '\0')
		ck_abort_msg("%s", failure);
}
