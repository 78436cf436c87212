/*
 * The servers with libuv.  One buffer for all reads; what can be sent at once
 * is sent with uv_try_write(), and the rest is copied into a uv_write().
 */
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <uv.h>

#include "bench.h"

struct conn;
typedef void conn_handler(struct conn *c, const char *data, size_t len);

struct conn {
	uv_tcp_t tcp; /* first */
	conn_handler *handler;
	void (*ended)(struct conn *c);
	unsigned writing; /* requests that are not done */
	void *more;	  /* of its server, or NULL; freed with it */
};

struct rest {
	uv_write_t req; /* first */
	char data[];
};

static uv_loop_t *loop;
static char in[READ_SIZE];

static void conn_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void conn_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	*buf = uv_buf_init(in, sizeof(in));
}

static void conn_closed(uv_handle_t *h)
{
	struct conn *c = (struct conn *)h;

	free(c->more);
	free(c);
}

static void conn_close(struct conn *c)
{
	if (uv_is_closing((uv_handle_t *)c))
		return;
	uv_close((uv_handle_t *)c, conn_closed);
	if (c->ended != NULL)
		c->ended(c);
}

static void conn_written(uv_write_t *req, int status)
{
	struct conn *c = (struct conn *)req->handle;

	free(req);
	if (status < 0)
		conn_close(c);
	else if (--c->writing == 0 && !uv_is_closing((uv_handle_t *)c))
		uv_read_start((uv_stream_t *)c, conn_alloc, conn_read);
}

/* While anything is unsent, the connection is not read from. */
static void conn_keep(struct conn *c, const char *data, size_t len)
{
	struct rest *rest = allocate(sizeof(*rest) + len);
	uv_buf_t buf = uv_buf_init(rest->data, (unsigned)len);

	memcpy(rest->data, data, len);
	if (c->writing++ == 0)
		uv_read_stop((uv_stream_t *)c);
	uv_write(&rest->req, (uv_stream_t *)c, &buf, 1, conn_written);
}

static void conn_write(struct conn *c, const char *data, size_t len)
{
	uv_buf_t buf = uv_buf_init((char *)(uintptr_t)data, (unsigned)len);
	int n = uv_try_write((uv_stream_t *)c, &buf, 1);

	if (n < 0 && n != UV_EAGAIN)
		conn_close(c);
	else if (n < (int)len)
		conn_keep(c, data + (n < 0 ? 0 : n), len - (n < 0 ? 0 : n));
}

static void conn_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct conn *c = (struct conn *)stream;

	if (n > 0)
		c->handler(c, buf->base, (size_t)n);
	else if (n < 0)
		conn_close(c);
}

static struct conn *conn_new(conn_handler *handler)
{
	struct conn *c = allocate(sizeof(*c));

	c->handler = handler;
	uv_tcp_init(loop, &c->tcp);
	return c;
}

static struct conn *conn_accept(uv_stream_t *listener, conn_handler *handler)
{
	struct conn *c = conn_new(handler);

	must(uv_accept(listener, (uv_stream_t *)c) == 0, "accept");
	return c;
}

static void conn_start(struct conn *c)
{
	uv_read_start((uv_stream_t *)c, conn_alloc, conn_read);
}

/* Sends all, then closes. */
static void conn_shut(uv_shutdown_t *req, int status)
{
	conn_close((struct conn *)req->handle);
	free(req);
}

static void conn_finish(struct conn *c)
{
	if (c->writing == 0)
		conn_close(c);
	else
		uv_shutdown(allocate(sizeof(uv_shutdown_t)), (uv_stream_t *)c,
			    conn_shut);
}

static void serve(uv_connection_cb connected)
{
	struct sockaddr_in sin;
	int len = sizeof(sin);
	uv_tcp_t listener;

	loop = uv_default_loop();
	uv_tcp_init(loop, &listener);
	uv_ip4_addr("127.0.0.1", 0, &sin);
	must(uv_tcp_bind(&listener, (struct sockaddr *)&sin, 0) == 0 &&
		     uv_tcp_nodelay(&listener, 1) == 0 && /* is inherited */
		     uv_listen((uv_stream_t *)&listener, SOMAXCONN,
			       connected) == 0 &&
		     uv_tcp_getsockname(&listener, (struct sockaddr *)&sin,
					&len) == 0,
	     "listen");
	tell_port(ntohs(sin.sin_port));
	uv_run(loop, UV_RUN_DEFAULT);
}

static void echo_connected(uv_stream_t *listener, int status)
{
	conn_start(conn_accept(listener, conn_write));
}

static void echo(const void *what, unsigned number)
{
	serve(echo_connected);
}

/*
 * Lines: the answers to all lines of one read leave in one piece, or each on
 * its own, as the obvious program sends them.
 */
static void answer_lines(struct conn *c, const char *data, size_t len)
{
	gathered.size = 0;
	split_lines(c->more, data, len, gather_line, c);
	if (gathered.size > 0)
		conn_write(c, gathered.text, gathered.size);
}

static void answer_line(void *c, const char *line, size_t len)
{
	conn_write(c, line, len);
}

static void answer_each_line(struct conn *c, const char *data, size_t len)
{
	split_lines(c->more, data, len, answer_line, c);
}

static void lines_accept(uv_stream_t *listener, conn_handler *handler)
{
	struct conn *c = conn_accept(listener, handler);

	c->more = allocate(sizeof(struct partial));
	conn_start(c);
}

static void lines_connected(uv_stream_t *listener, int status)
{
	lines_accept(listener, answer_lines);
}

static void lines_each_connected(uv_stream_t *listener, int status)
{
	lines_accept(listener, answer_each_line);
}

static void lines(const void *what, unsigned number)
{
	serve(lines_connected);
}

static void lines_each(const void *what, unsigned number)
{
	serve(lines_each_connected);
}

/*
 * A poem for everybody who connects.
 */
static void listener_connected(uv_stream_t *listener, int status)
{
	struct conn *c = conn_accept(listener, NULL);

	conn_write(c, poem(), POEM_SIZE);
	conn_finish(c);
}

static void serve_poem(const void *what, unsigned number)
{
	serve(listener_connected);
}

/*
 * A proxy: for each client it gets the whole poem, and then sends it.  A
 * client that hangs up ends its download.
 */
struct download {
	struct conn *client; /* NULL: hung up */
	size_t size;
	char poem[2 * POEM_SIZE];
};

static unsigned dialled_port;

static void ignore(struct conn *c, const char *data, size_t len)
{
}

static void dial_port(struct conn *c, uv_connect_cb connected)
{
	uv_connect_t *req = allocate(sizeof(*req));
	struct sockaddr_in sin;

	uv_ip4_addr("127.0.0.1", (int)dialled_port, &sin);
	must(uv_tcp_connect(req, &c->tcp, (struct sockaddr *)&sin, connected) ==
		     0,
	     "connect");
}

static void server_connected(uv_connect_t *req, int status)
{
	struct conn *c = (struct conn *)req->handle;

	free(req);
	if (status < 0)
		conn_close(c);
	else
		conn_start(c);
}

static void keep_poem(struct conn *c, const char *data, size_t len)
{
	struct download *d = c->more;

	must(d->size + len <= sizeof(d->poem), "poem");
	memcpy(d->poem + d->size, data, len);
	d->size += len;
}

static void poem_ended(struct conn *c)
{
	struct download *d = c->more;

	if (d->client == NULL)
		return;
	d->client->more = NULL;
	conn_write(d->client, d->poem, d->size);
	conn_finish(d->client);
}

/* The download of a client is its server's connection. */
static void client_ended(struct conn *c)
{
	struct conn *server = c->more;
	struct download *d;

	if (server == NULL)
		return;
	c->more = NULL;
	d = server->more;
	d->client = NULL;
	conn_close(server);
}

static void client_connected(uv_stream_t *listener, int status)
{
	struct conn *client = conn_accept(listener, ignore);
	struct conn *server = conn_new(keep_poem);
	struct download *d = allocate(sizeof(*d));

	client->ended = client_ended;
	client->more = server;
	server->ended = poem_ended;
	server->more = d;
	d->client = client;
	conn_start(client);
	dial_port(server, server_connected);
}

static void proxy(const void *what, unsigned number)
{
	dialled_port = number;
	serve(client_connected);
}

/*
 * A chat: each line goes to all members.
 */
struct member {
	struct partial partial; /* first */
	struct conn *conn;
	TAILQ_ENTRY(member) link;
};

static TAILQ_HEAD(, member) room = TAILQ_HEAD_INITIALIZER(room);

static void tell_all(void *from, const char *line, size_t len)
{
	struct member *m;

	TAILQ_FOREACH(m, &room, link)
	conn_write(m->conn, line, len);
}

static void talk(struct conn *c, const char *data, size_t len)
{
	split_lines(c->more, data, len, tell_all, c);
}

static void member_ended(struct conn *c)
{
	struct member *m = c->more;

	TAILQ_REMOVE(&room, m, link);
}

static void member_connected(uv_stream_t *listener, int status)
{
	struct conn *c = conn_accept(listener, talk);
	struct member *m = allocate(sizeof(*m));

	m->conn = c;
	c->more = m;
	c->ended = member_ended;
	TAILQ_INSERT_TAIL(&room, m, link);
	conn_start(c);
}

static void chat(const void *what, unsigned number)
{
	serve(member_connected);
}

/*
 * A client: connects, sends a request, receives until the end, and connects
 * again.
 */
static void dial_again(struct conn *c);

static void dial_connected(uv_connect_t *req, int status)
{
	struct conn *c = (struct conn *)req->handle;

	must(status == 0, "connect");
	free(req);
	conn_start(c);
	conn_write(c, poem(), REQUEST);
}

static void dial_again(struct conn *old)
{
	struct conn *c = conn_new(ignore);

	c->ended = dial_again;
	dial_port(c, dial_connected);
}

static void dial(const void *what, unsigned number)
{
	loop = uv_default_loop();
	dialled_port = number;
	tell_port(number);
	dial_again(NULL);
	uv_run(loop, UV_RUN_DEFAULT);
}

/*
 * Datagrams there and back.  libuv reads them together if its buffer has room
 * for more than one of the largest.
 */
static void datagram_sent(uv_udp_send_t *req, int status)
{
	free(req);
}

/* What cannot be sent now leaves later. */
static void datagram_keep(uv_udp_t *udp, const uv_buf_t *buf,
			  const struct sockaddr *to)
{
	uv_udp_send_t *req = allocate(sizeof(*req) + buf->len);
	uv_buf_t copy = uv_buf_init((char *)(req + 1), (unsigned)buf->len);

	memcpy(copy.base, buf->base, buf->len);
	uv_udp_send(req, udp, &copy, 1, to, datagram_sent);
}

static void datagram_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	static char many[20][64 * 1024];

	*buf = uv_buf_init(many[0], sizeof(many));
}

static void datagram_received(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf,
			      const struct sockaddr *from, unsigned flags)
{
	uv_buf_t answer;

	if (n < 0 || from == NULL)
		return;
	answer = uv_buf_init(buf->base, (unsigned)n);
	if (uv_udp_try_send(udp, &answer, 1, from) < 0)
		datagram_keep(udp, &answer, from);
}

static void serve_datagrams(const void *what, unsigned number)
{
	struct sockaddr_in sin;
	int len = sizeof(sin);
	uv_os_fd_t fd;
	uv_udp_t udp;

	loop = uv_default_loop();
	uv_udp_init_ex(loop, &udp, AF_INET | UV_UDP_RECVMMSG);
	uv_ip4_addr("127.0.0.1", 0, &sin);
	must(uv_udp_bind(&udp, (struct sockaddr *)&sin, 0) == 0 &&
		     uv_udp_recv_start(&udp, datagram_alloc,
				       datagram_received) == 0 &&
		     uv_udp_getsockname(&udp, (struct sockaddr *)&sin, &len) ==
			     0,
	     "bind");
	if (uv_fileno((uv_handle_t *)&udp, &fd) == 0)
		want_buffer(fd);
	tell_port(ntohs(sin.sin_port));
	uv_run(loop, UV_RUN_DEFAULT);
}

const struct work works[] = {
	{ "echo", echo, NULL },
	{ "lines", lines, NULL },
	{ "lines-each", lines_each, NULL },
	{ "poem", serve_poem, NULL },
	{ "proxy", proxy, NULL },
	{ "chat", chat, NULL },
	{ "dial", dial, NULL },
	{ "udp", serve_datagrams, NULL },
	{ 0 },
};
