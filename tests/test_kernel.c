/*
 * Kernels: a reactor on one of the test's own, which stands before the real
 * one.  Ports, connectors and streams run on it and ask nobody else.
 */
#include "reactor/loop/loop.h"
#include "tests/actor.h"

/*
 * What the kernel of the test was asked, and as what the real one has it.
 * close() is not among these, as epoll's set is closed as well.
 */
enum asked {
	SOCKET,
	BIND,
	LISTEN,
	ACCEPT,
	CONNECT,
	RECV,
	SEND,
	SENDMSG,
	SHUTDOWN,
	GETSOCKOPT,
	SETSOCKOPT,
	GETSOCKNAME,
	GETPEERNAME,
	HAS_HUNG_UP,
	RESERVE,
	WAKER,
	WAKE,
	DRAIN,
	RANDOM,
	N_ASKED
};

static const char *const real_names[N_ASKED] = {
	[SOCKET] = "socket",
	[BIND] = "bind",
	[LISTEN] = "listen",
	[ACCEPT] = "accept4",
	[CONNECT] = "connect",
	[RECV] = "recv",
	[SEND] = "send",
	[SENDMSG] = "sendmsg",
	[SHUTDOWN] = "shutdown",
	[GETSOCKOPT] = "getsockopt",
	[SETSOCKOPT] = "setsockopt",
	[GETSOCKNAME] = "getsockname",
	[GETPEERNAME] = "getpeername",
	[HAS_HUNG_UP] = "poll",
	[RESERVE] = "open",
	[WAKER] = "eventfd",
	[WAKE] = "write",
	[DRAIN] = "read",
	[RANDOM] = "getrandom",
};

static unsigned long asked[N_ASKED];
static size_t most_at_once; /* that recv() gives */

/* One call of the test's kernel: counts, and passes on. */
#define SPY(type, name, what, params, ...)                                     \
	static type spy_##name params                                          \
	{                                                                      \
		asked[what]++;                                                 \
		return plait_i_linux_calls.name(__VA_ARGS__);                  \
	}

SPY(int, socket, SOCKET, (struct kernel * k, int family, int type), k, family,
    type)
SPY(int, bind, BIND,
    (struct kernel * k, int fd, const struct sockaddr *sa, socklen_t len), k,
    fd, sa, len)
SPY(int, listen, LISTEN, (struct kernel * k, int fd, int backlog), k, fd,
    backlog)
SPY(int, accept, ACCEPT,
    (struct kernel * k, int fd, struct sockaddr *sa, socklen_t *len), k, fd, sa,
    len)
SPY(int, connect, CONNECT,
    (struct kernel * k, int fd, const struct sockaddr *sa, socklen_t len), k,
    fd, sa, len)
SPY(ssize_t, recv, RECV,
    (struct kernel * k, int fd, void *buf, size_t len, int flags), k, fd, buf,
    len < most_at_once ? len : most_at_once, flags)
SPY(ssize_t, send, SEND,
    (struct kernel * k, int fd, const void *buf, size_t len, int flags), k, fd,
    buf, len, flags)
SPY(ssize_t, sendmsg, SENDMSG,
    (struct kernel * k, int fd, const struct msghdr *msg, int flags), k, fd,
    msg, flags)
SPY(int, shutdown, SHUTDOWN, (struct kernel * k, int fd, int how), k, fd, how)
SPY(int, getsockopt, GETSOCKOPT,
    (struct kernel * k, int fd, int level, int option, void *value,
     socklen_t *len),
    k, fd, level, option, value, len)
SPY(int, setsockopt, SETSOCKOPT,
    (struct kernel * k, int fd, int level, int option, const void *value,
     socklen_t len),
    k, fd, level, option, value, len)
SPY(int, getsockname, GETSOCKNAME,
    (struct kernel * k, int fd, struct sockaddr *sa, socklen_t *len), k, fd, sa,
    len)
SPY(int, getpeername, GETPEERNAME,
    (struct kernel * k, int fd, struct sockaddr *sa, socklen_t *len), k, fd, sa,
    len)
SPY(bool, has_hung_up, HAS_HUNG_UP, (struct kernel * k, int fd), k, fd)
SPY(bool, is_readable, HAS_HUNG_UP, (struct kernel * k, int fd), k, fd)
SPY(int, reserve, RESERVE, (struct kernel * k), k)
SPY(int, waker, WAKER, (struct kernel * k), k)
SPY(void, wake, WAKE, (struct kernel * k, int fd), k, fd)
SPY(void, drain, DRAIN, (struct kernel * k, int fd), k, fd)
SPY(uint64_t, random, RANDOM, (struct kernel * k), k)

/* A reactor on it, which waits as those of this backend do. */
static struct plait_reactor *spied_reactor(void)
{
	static struct kernel_calls calls;
	static struct kernel_ops ops;

	calls = plait_i_linux_calls;
	calls.socket = spy_socket;
	calls.bind = spy_bind;
	calls.listen = spy_listen;
	calls.accept = spy_accept;
	calls.connect = spy_connect;
	calls.recv = spy_recv;
	calls.send = spy_send;
	calls.sendmsg = spy_sendmsg;
	calls.shutdown = spy_shutdown;
	calls.getsockopt = spy_getsockopt;
	calls.setsockopt = spy_setsockopt;
	calls.getsockname = spy_getsockname;
	calls.getpeername = spy_getpeername;
	calls.has_hung_up = spy_has_hung_up;
	calls.is_readable = spy_is_readable;
	calls.reserve = spy_reserve;
	calls.waker = spy_waker;
	calls.wake = spy_wake;
	calls.drain = spy_drain;
	calls.random = spy_random;
	ops = *loop_kernel(reactor)->ops;
	ops.calls = &calls;
	return plait_i_reactor_new(&ops, NULL);
}

static const char poem[] = "half a league, half a league";

static void client_says(struct actor *a, struct plait_protocol *p)
{
	plait_transport_write(p->transport, poem, sizeof(poem) - 1);
	ck_assert(!plait_transport_peer_has_closed(p->transport));
}

static void client_hears(struct actor *a, struct plait_protocol *p,
			 const void *data, size_t len)
{
	if (a->received == sizeof(poem) - 1)
		plait_transport_lose_connection(p->transport);
}

static void called(void *arg)
{
	*(bool *)arg = true;
}

static void converse(struct plait_reactor *r)
{
	struct actor server, client;
	struct plait_port *port;
	bool was_called = false;
	unsigned number;

	actor_init(&server);
	actor_init(&client);
	server.on_data = actor_echo;
	client.on_made = client_says;
	client.on_data = client_hears;
	number = actor_listen(&server, r, &port);
	actor_connect(&client, r, number);
	actor_wait_idle(&client, r);
	actor_stop(r, &port);
	actor_wait_idle(&server, r);
	ck_assert_uint_eq(client.received, sizeof(poem) - 1);
	ck_assert_int_eq(strncmp(client.text, poem, sizeof(poem) - 1), 0);
	plait_call_from_thread(r, called, &was_called);
	run_until_set(r, &was_called);
	run_turns(r, 1);
	plait_reactor_random(r);
}

GROUP("kernel");

TEST(whatever_a_reactor_asks_goes_through_its_table, ON_EACH_BACKEND)
{
	struct plait_reactor *r;

	memset(asked, 0, sizeof(asked));
	most_at_once = SIZE_MAX;
	calls_reset();
	r = spied_reactor();
	converse(r);
	plait_reactor_free(&r);
	for (int i = 0; i < N_ASKED; i++)
		ck_assert_msg(asked[i] == calls_of(real_names[i]),
			      "%s: %lu of %lu", real_names[i], asked[i],
			      calls_of(real_names[i]));
	ck_assert_uint_gt(asked[RECV], 0);
	ck_assert_uint_gt(asked[SEND] + asked[SENDMSG], 0);
	ck_assert_uint_gt(asked[HAS_HUNG_UP], 0);
	ck_assert_uint_gt(asked[WAKE], 0);
	ck_assert_uint_gt(asked[RANDOM], 0);
}

TEST(another_kernel_gives_what_it_likes, ON_EACH_BACKEND)
{
	struct plait_reactor *r = spied_reactor();

	memset(asked, 0, sizeof(asked));
	most_at_once = 1;
	converse(r);
	ck_assert_uint_ge(asked[RECV], 2 * (sizeof(poem) - 1));
	plait_reactor_free(&r);
}
