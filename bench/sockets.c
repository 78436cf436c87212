/*
 * What the kernel does not take at once is kept, and the connection is not
 * read from until that is gone.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sockets.h"

struct unsent {
	size_t size, sent;
	char data[];
};

static SLIST_HEAD(, conn) dead = SLIST_HEAD_INITIALIZER(dead);
static char in[READ_SIZE];

static void conn_close(struct conn *c)
{
	if (c->fd < 0)
		return;
	watcher_stop(c);
	close(c->fd);
	c->fd = -1;
	SLIST_INSERT_HEAD(&dead, c, dead);
}

void conn_bury(void)
{
	struct conn *c;

	while ((c = SLIST_FIRST(&dead)) != NULL) {
		SLIST_REMOVE_HEAD(&dead, dead);
		free(c->unsent);
		free(c->more);
		free(c);
	}
}

/* Keeps what the kernel has not taken. */
static void conn_keep(struct conn *c, const char *data, size_t len)
{
	size_t size = c->unsent != NULL ? c->unsent->size : 0;
	struct unsent *u = realloc(c->unsent, sizeof(*u) + size + len);

	must(u != NULL, "realloc");
	if (c->unsent == NULL) {
		u->sent = 0;
		watcher_change(c, true);
	}
	memcpy(u->data + size, data, len);
	u->size = size + len;
	c->unsent = u;
}

/* A connection that is broken takes everything. */
static size_t conn_send(struct conn *c, const char *data, size_t len)
{
	ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n >= 0)
		return (size_t)n;
	if (errno == EAGAIN)
		return 0;
	conn_close(c);
	return len;
}

static void conn_write(struct conn *c, const char *data, size_t len)
{
	size_t n = c->unsent != NULL ? 0 : conn_send(c, data, len);

	if (n < len)
		conn_keep(c, data + n, len - n);
}

static void conn_flush(struct conn *c)
{
	struct unsent *u = c->unsent;

	u->sent += conn_send(c, u->data + u->sent, u->size - u->sent);
	if (u->sent < u->size || c->fd < 0)
		return;
	free(u);
	c->unsent = NULL;
	if (c->closing)
		conn_close(c);
	else
		watcher_change(c, false);
}

static void conn_receive(struct conn *c)
{
	ssize_t n = recv(c->fd, in, sizeof(in), MSG_DONTWAIT);

	if (n > 0)
		c->handler(c, in, (size_t)n);
	else if (n == 0 || errno != EAGAIN)
		conn_close(c);
}

static void conn_serve(struct conn *c)
{
	if (c->unsent != NULL)
		conn_flush(c);
	else
		conn_receive(c);
}

static struct conn *conn_new(int fd, conn_ready *ready, conn_handler *handler)
{
	struct conn *c = allocate(sizeof(*c) + watcher_size);

	c->fd = fd;
	c->ready = ready;
	c->handler = handler;
	return c;
}

/* Closes when all is sent. */
static void conn_finish(struct conn *c)
{
	c->closing = true;
	if (c->unsent == NULL)
		conn_close(c);
}

static int conn_take(int listener)
{
	return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* The next client, or NULL; more is so large. */
static struct conn *conn_accept(struct conn *listener, conn_ready *ready,
				size_t more)
{
	int fd = conn_take(listener->fd);
	struct conn *c;

	if (fd < 0)
		return NULL;
	c = conn_new(fd, ready, listener->handler);
	if (more > 0)
		c->more = allocate(more);
	watcher_start(c, false);
	return c;
}

static void serve(conn_ready *accept, conn_handler *handler)
{
	watcher_begin();
	watcher_start(conn_new(listen_on_loopback(), accept, handler), false);
	watcher_loop();
}

static void echo_accept(struct conn *listener)
{
	conn_accept(listener, conn_serve, 0);
}

static void echo(const void *what, unsigned number)
{
	serve(echo_accept, conn_write);
}

/*
 * Lines: the answers to all lines of one read leave in one piece, or each on
 * its own, as the obvious program sends them.
 */
static void lines_accept(struct conn *listener)
{
	conn_accept(listener, conn_serve, sizeof(struct partial));
}

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

static void lines(const void *what, unsigned number)
{
	serve(lines_accept, answer_lines);
}

static void lines_each(const void *what, unsigned number)
{
	serve(lines_accept, answer_each_line);
}

/*
 * A poem for everybody who connects; hardly ever must it be watched.
 */
static void poem_accept(struct conn *listener)
{
	int fd = conn_take(listener->fd);
	ssize_t n = send(fd, poem(), POEM_SIZE, MSG_NOSIGNAL);
	struct conn *c;

	if (n == POEM_SIZE || (n < 0 && errno != EAGAIN)) {
		close(fd);
		return;
	}
	n = n < 0 ? 0 : n;
	c = conn_new(fd, conn_serve, NULL);
	watcher_start(c, false);
	conn_keep(c, poem() + n, POEM_SIZE - (size_t)n);
	c->closing = true;
}

static void serve_poem(const void *what, unsigned number)
{
	serve(poem_accept, NULL);
}

/*
 * A proxy: for each client it gets the whole poem, and then sends it.  A
 * client that hangs up ends its download.
 */
struct download {
	struct conn *peer; /* the other side, or NULL */
	size_t size;
	char poem[2 * POEM_SIZE]; /* of the server's side */
};

static unsigned dialled_port;

static int dial_port(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	sin.sin_port = htons((uint16_t)dialled_port);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0 ||
		     errno == EINPROGRESS,
	     "connect");
	return fd;
}

static void poem_received(struct conn *c, const char *data, size_t len)
{
	struct download *d = c->more;

	must(d->size + len <= sizeof(d->poem), "poem");
	memcpy(d->poem + d->size, data, len);
	d->size += len;
}

static void poem_ready(struct conn *c)
{
	struct download *d = c->more;

	conn_receive(c);
	if (c->fd >= 0)
		return;
	d->peer->more = NULL;
	conn_write(d->peer, d->poem, d->size);
	conn_finish(d->peer);
}

/* The download of a client is its server's connection. */
static void client_ready(struct conn *c)
{
	struct conn *server = c->more;

	conn_serve(c);
	if (c->fd < 0 && server != NULL)
		conn_close(server);
	if (c->fd < 0)
		c->more = NULL;
}

static void client_said(struct conn *c, const char *data, size_t len)
{
}

static void proxy_accept(struct conn *listener)
{
	struct conn *client = conn_accept(listener, client_ready, 0), *server;
	struct download *d = allocate(sizeof(*d));

	if (client == NULL)
		return;
	server = conn_new(dial_port(), poem_ready, poem_received);
	server->more = d;
	d->peer = client;
	client->more = server;
	watcher_start(server, false);
}

static void proxy(const void *what, unsigned number)
{
	dialled_port = number;
	serve(proxy_accept, client_said);
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

static void member_said(struct conn *c, const char *data, size_t len)
{
	split_lines(c->more, data, len, tell_all, c);
}

static void member_ready(struct conn *c)
{
	struct member *m = c->more;

	conn_serve(c);
	if (c->fd < 0)
		TAILQ_REMOVE(&room, m, link);
}

static void chat_accept(struct conn *listener)
{
	struct conn *c =
		conn_accept(listener, member_ready, sizeof(struct member));
	struct member *m;

	if (c == NULL)
		return;
	m = c->more;
	m->conn = c;
	TAILQ_INSERT_TAIL(&room, m, link);
}

static void chat(const void *what, unsigned number)
{
	serve(chat_accept, member_said);
}

/*
 * A client: connects, sends a request, receives until the end, and connects
 * again.
 */
static void dial_again(void);

static void answer_ready(struct conn *c)
{
	conn_receive(c);
	if (c->fd < 0)
		dial_again();
}

static void dial_connected(struct conn *c)
{
	socklen_t len = sizeof(int);
	int error = 0;

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	errno = error;
	must(error == 0, "connect");
	watcher_change(c, false);
	c->ready = answer_ready;
	conn_write(c, poem(), REQUEST);
}

static void dial_again(void)
{
	watcher_start(conn_new(dial_port(), dial_connected, client_said), true);
}

static void dial(const void *what, unsigned number)
{
	dialled_port = number;
	tell_port(number);
	watcher_begin();
	dial_again();
	watcher_loop();
}

/*
 * Datagrams: those that have come together leave together.
 */
static struct mmsghdr datagrams[DATAGRAMS];

static void datagrams_begin(void)
{
	static struct sockaddr_in from[DATAGRAMS];
	static struct iovec pieces[DATAGRAMS];
	static char bytes[DATAGRAMS][DATAGRAM_ROOM];

	for (int i = 0; i < DATAGRAMS; i++) {
		pieces[i] = (struct iovec){ bytes[i], DATAGRAM_ROOM };
		datagrams[i].msg_hdr = (struct msghdr){
			.msg_name = &from[i],
			.msg_namelen = sizeof(from[i]),
			.msg_iov = &pieces[i],
			.msg_iovlen = 1,
		};
	}
}

static void datagrams_serve(struct conn *c)
{
	int n = recvmmsg(c->fd, datagrams, DATAGRAMS, MSG_DONTWAIT, NULL);

	if (n <= 0)
		return;
	for (int i = 0; i < n; i++)
		datagrams[i].msg_hdr.msg_iov->iov_len = datagrams[i].msg_len;
	sendmmsg(c->fd, datagrams, (unsigned)n, MSG_DONTWAIT);
	for (int i = 0; i < n; i++)
		datagrams[i].msg_hdr.msg_iov->iov_len = DATAGRAM_ROOM;
}

static void serve_datagrams(const void *what, unsigned number)
{
	watcher_begin();
	datagrams_begin();
	watcher_start(conn_new(datagrams_on_loopback(), datagrams_serve, NULL),
		      false);
	watcher_loop();
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
