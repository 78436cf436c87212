/*
 * Every server by hand, on epoll: the floor.  What the kernel does not take at
 * once is kept, and the connection is not read from until that is gone.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

struct raw;
typedef void raw_ready(struct raw *c, uint32_t events);
typedef void raw_handler(struct raw *c, const char *data, size_t len);

struct raw {
	int fd; /* -1: closed, and freed after the events that were fetched */
	raw_ready *ready;
	raw_handler *handler; /* of what has come */
	char *unsent;	      /* NULL: nothing */
	size_t size, sent;
	bool closing; /* when all is sent */
	struct partial partial;
	char *poem; /* of a proxy's client, so far */
	size_t poem_size;
	struct raw *peer;      /* of a proxy: the other side, or NULL */
	LIST_ENTRY(raw) room;  /* of a chat */
	SLIST_ENTRY(raw) dead; /* closed */
};

static int raw_epoll;
static SLIST_HEAD(, raw) dead = SLIST_HEAD_INITIALIZER(dead);
static LIST_HEAD(, raw) room = LIST_HEAD_INITIALIZER(room);
static char raw_in[READ_SIZE];

static void raw_wait_for(struct raw *c, int op, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	must(epoll_ctl(raw_epoll, op, c->fd, &e) == 0, "epoll_ctl");
}

static void raw_close(struct raw *c)
{
	if (c->fd < 0)
		return;
	close(c->fd);
	c->fd = -1;
	free(c->unsent);
	free(c->poem);
	SLIST_INSERT_HEAD(&dead, c, dead);
}

static void raw_loop(void)
{
	struct epoll_event events[256];

	for (;;) {
		int n = epoll_wait(raw_epoll, events, 256, -1);

		for (int i = 0; i < n; i++) {
			struct raw *c = events[i].data.ptr;

			if (c->fd >= 0)
				c->ready(c, events[i].events);
		}
		while (!SLIST_EMPTY(&dead)) {
			struct raw *c = SLIST_FIRST(&dead);

			SLIST_REMOVE_HEAD(&dead, dead);
			free(c);
		}
	}
}

static struct raw *raw_new(int fd, raw_ready *ready, raw_handler *handler)
{
	struct raw *c = allocate(sizeof(*c));

	*c = (struct raw){ .fd = fd, .ready = ready, .handler = handler };
	return c;
}

/* Keeps what the kernel has not taken. */
static void raw_keep(struct raw *c, const char *data, size_t len)
{
	char *unsent = realloc(c->unsent, c->size + len);

	must(unsent != NULL, "realloc");
	if (c->unsent == NULL)
		raw_wait_for(c, EPOLL_CTL_MOD, EPOLLOUT);
	memcpy(unsent + c->size, data, len);
	c->unsent = unsent;
	c->size += len;
}

static size_t raw_send(struct raw *c, const char *data, size_t len)
{
	ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n >= 0)
		return (size_t)n;
	if (errno != EAGAIN)
		raw_close(c);
	return errno == EAGAIN ? 0 : len;
}

static void raw_write(struct raw *c, const char *data, size_t len)
{
	size_t n = c->unsent != NULL ? 0 : raw_send(c, data, len);

	if (n < len)
		raw_keep(c, data + n, len - n);
}

static void raw_flush(struct raw *c)
{
	c->sent += raw_send(c, c->unsent + c->sent, c->size - c->sent);
	if (c->sent < c->size || c->fd < 0)
		return;
	free(c->unsent);
	c->unsent = NULL;
	c->size = c->sent = 0;
	if (c->closing)
		raw_close(c);
	else
		raw_wait_for(c, EPOLL_CTL_MOD, EPOLLIN);
}

static void raw_receive(struct raw *c)
{
	ssize_t n = recv(c->fd, raw_in, sizeof(raw_in), MSG_DONTWAIT);

	if (n > 0)
		c->handler(c, raw_in, (size_t)n);
	else if (n == 0 || errno != EAGAIN)
		raw_close(c);
}

static void raw_connection_ready(struct raw *c, uint32_t events)
{
	if (c->unsent != NULL)
		raw_flush(c);
	else
		raw_receive(c);
}

static int raw_take(int listener)
{
	return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void raw_accept(struct raw *listener, uint32_t events)
{
	int fd = raw_take(listener->fd);

	if (fd >= 0)
		raw_wait_for(
			raw_new(fd, raw_connection_ready, listener->handler),
			EPOLL_CTL_ADD, EPOLLIN);
}

static void raw_begin(void)
{
	raw_epoll = epoll_create1(EPOLL_CLOEXEC);
	must(raw_epoll >= 0, "epoll_create1");
}

static void raw_serve(raw_ready *accept, raw_handler *handler)
{
	raw_begin();
	raw_wait_for(raw_new(listen_on_loopback(), accept, handler),
		     EPOLL_CTL_ADD, EPOLLIN);
	raw_loop();
}

static void echo(const void *what, unsigned number)
{
	raw_serve(raw_accept, raw_write);
}

/*
 * Lines: the answers to all lines of one read leave in one piece, or each on
 * its own, as the obvious program sends them.
 */
static void raw_answer_lines(struct raw *c, const char *data, size_t len)
{
	gathered.size = 0;
	split_lines(&c->partial, data, len, gather_line, c);
	if (gathered.size > 0)
		raw_write(c, gathered.text, gathered.size);
}

static void raw_answer_line(void *c, const char *line, size_t len)
{
	raw_write(c, line, len);
}

static void raw_answer_each_line(struct raw *c, const char *data, size_t len)
{
	split_lines(&c->partial, data, len, raw_answer_line, c);
}

static void lines(const void *what, unsigned number)
{
	raw_serve(raw_accept, raw_answer_lines);
}

static void lines_each(const void *what, unsigned number)
{
	raw_serve(raw_accept, raw_answer_each_line);
}

/*
 * A poem for everybody who connects.
 */
static void raw_accept_for_poem(struct raw *listener, uint32_t events)
{
	int fd = raw_take(listener->fd);
	ssize_t n = send(fd, poem(), POEM_SIZE, MSG_NOSIGNAL);
	struct raw *c;

	if (n == POEM_SIZE || (n < 0 && errno != EAGAIN)) {
		close(fd);
		return;
	}
	n = n < 0 ? 0 : n;
	c = raw_new(fd, raw_connection_ready, NULL);
	raw_wait_for(c, EPOLL_CTL_ADD, EPOLLIN);
	raw_keep(c, poem() + n, POEM_SIZE - (size_t)n);
	c->closing = true;
}

static void serve_poem(const void *what, unsigned number)
{
	raw_serve(raw_accept_for_poem, NULL);
}

/*
 * A proxy: for each client it gets the whole poem, and then sends it.  A
 * client that hangs up ends its download.
 */
static unsigned poem_server;

static int raw_connect(unsigned port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	sin.sin_port = htons((uint16_t)port);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0 ||
		     errno == EINPROGRESS,
	     "connect");
	return fd;
}

static void raw_keep_poem(struct raw *c, const char *data, size_t len)
{
	struct raw *client = c->peer;

	client->poem = realloc(client->poem, client->poem_size + len);
	must(client->poem != NULL, "realloc");
	memcpy(client->poem + client->poem_size, data, len);
	client->poem_size += len;
}

static void raw_poem_ready(struct raw *c, uint32_t events)
{
	struct raw *client = c->peer;

	raw_receive(c);
	if (c->fd >= 0)
		return;
	client->peer = NULL;
	raw_write(client, client->poem, client->poem_size);
	client->closing = true;
	if (client->unsent == NULL)
		raw_close(client);
}

static void raw_client_ready(struct raw *c, uint32_t events)
{
	raw_connection_ready(c, events);
	if (c->fd < 0 && c->peer != NULL)
		raw_close(c->peer);
}

static void raw_ignore(struct raw *c, const char *data, size_t len)
{
}

static void raw_accept_for_proxy(struct raw *listener, uint32_t events)
{
	int fd = raw_take(listener->fd);
	struct raw *client, *c;

	if (fd < 0)
		return;
	client = raw_new(fd, raw_client_ready, raw_ignore);
	raw_wait_for(client, EPOLL_CTL_ADD, EPOLLIN);
	c = raw_new(raw_connect(poem_server), raw_poem_ready, raw_keep_poem);
	c->peer = client;
	client->peer = c;
	raw_wait_for(c, EPOLL_CTL_ADD, EPOLLIN);
}

static void proxy(const void *what, unsigned number)
{
	poem_server = number;
	raw_serve(raw_accept_for_proxy, NULL);
}

/*
 * A chat: each line goes to all members.
 */
static void raw_tell_all(void *from, const char *line, size_t len)
{
	struct raw *c;

	LIST_FOREACH(c, &room, room)
	raw_write(c, line, len);
}

static void raw_talk(struct raw *c, const char *data, size_t len)
{
	split_lines(&c->partial, data, len, raw_tell_all, c);
}

static void raw_member_ready(struct raw *c, uint32_t events)
{
	raw_connection_ready(c, events);
	if (c->fd < 0)
		LIST_REMOVE(c, room);
}

static void raw_accept_for_chat(struct raw *listener, uint32_t events)
{
	int fd = raw_take(listener->fd);
	struct raw *c;

	if (fd < 0)
		return;
	c = raw_new(fd, raw_member_ready, raw_talk);
	raw_wait_for(c, EPOLL_CTL_ADD, EPOLLIN);
	LIST_INSERT_HEAD(&room, c, room);
}

static void chat(const void *what, unsigned number)
{
	raw_serve(raw_accept_for_chat, NULL);
}

/*
 * A client: connects, sends a request, receives until the end, and connects
 * again.
 */
static void raw_dial(unsigned port);

static unsigned dialled_port;

static void raw_answer_ready(struct raw *c, uint32_t events)
{
	raw_receive(c);
	if (c->fd < 0)
		raw_dial(dialled_port);
}

static void raw_connected(struct raw *c, uint32_t events)
{
	socklen_t len = sizeof(int);
	int error = 0;

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	errno = error;
	must(error == 0, "connect");
	raw_wait_for(c, EPOLL_CTL_MOD, EPOLLIN);
	c->ready = raw_answer_ready;
	raw_write(c, poem(), REQUEST);
}

static void raw_dial(unsigned port)
{
	raw_wait_for(raw_new(raw_connect(port), raw_connected, raw_ignore),
		     EPOLL_CTL_ADD, EPOLLOUT);
}

static void dial(const void *what, unsigned number)
{
	dialled_port = number;
	raw_begin();
	tell_port(number);
	raw_dial(number);
	raw_loop();
}

const struct work works[] = {
	{ "echo", echo, NULL },
	{ "lines", lines, NULL },
	{ "lines-each", lines_each, NULL },
	{ "poem", serve_poem, NULL },
	{ "proxy", proxy, NULL },
	{ "chat", chat, NULL },
	{ "dial", dial, NULL },
	{ 0 },
};
