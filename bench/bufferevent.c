/*
 * The servers with bufferevents of libevent.
 */
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "bench.h"

static struct event_base *base;
static unsigned dialled_port;

static void conn_ended(struct bufferevent *b, short events, void *arg)
{
	bufferevent_free(b);
}

static struct bufferevent *conn_new(evutil_socket_t fd)
{
	struct bufferevent *b =
		bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

	must(b != NULL, "bufferevent");
	bufferevent_set_max_single_read(b, READ_SIZE);
	bufferevent_set_max_single_write(b, READ_SIZE);
	return b;
}

static void conn_serve(evutil_socket_t fd, bufferevent_data_cb read)
{
	struct bufferevent *b = conn_new(fd);

	bufferevent_setcb(b, read, NULL, conn_ended, NULL);
	bufferevent_enable(b, EV_READ);
}

/* When all is sent. */
static void conn_sent(struct bufferevent *b, void *arg)
{
	bufferevent_free(b);
}

static void serve(evconnlistener_cb accepted)
{
	base = event_base_new();
	must(base != NULL && evconnlistener_new(base, accepted, NULL, 0, 0,
						listen_on_loopback()) != NULL,
	     "listener");
	event_base_dispatch(base);
}

static void echo_read(struct bufferevent *b, void *arg)
{
	bufferevent_write_buffer(b, bufferevent_get_input(b));
}

static void echo_accepted(struct evconnlistener *l, evutil_socket_t fd,
			  struct sockaddr *peer, int len, void *arg)
{
	conn_serve(fd, echo_read);
}

static void echo(const void *what, unsigned number)
{
	serve(echo_accepted);
}

static void lines_read(struct bufferevent *b, void *arg)
{
	struct evbuffer *out = bufferevent_get_output(b);
	char *line;
	size_t len;

	while ((line = evbuffer_readln(bufferevent_get_input(b), &len,
				       EVBUFFER_EOL_LF)) != NULL) {
		evbuffer_add(out, line, len);
		evbuffer_add(out, "\n", 1);
		free(line);
	}
}

static void lines_accepted(struct evconnlistener *l, evutil_socket_t fd,
			   struct sockaddr *peer, int len, void *arg)
{
	conn_serve(fd, lines_read);
}

static void lines(const void *what, unsigned number)
{
	serve(lines_accepted);
}

static void poem_accepted(struct evconnlistener *l, evutil_socket_t fd,
			  struct sockaddr *peer, int len, void *arg)
{
	struct bufferevent *b = conn_new(fd);

	bufferevent_setcb(b, NULL, conn_sent, conn_ended, NULL);
	evbuffer_add_reference(bufferevent_get_output(b), poem(), POEM_SIZE,
			       NULL, NULL);
}

static void serve_poem(const void *what, unsigned number)
{
	serve(poem_accepted);
}

/*
 * A proxy: for each client it gets the whole poem, and then sends it.  A
 * client that hangs up ends its download.
 */
static struct bufferevent *dial_port(bufferevent_event_cb changed, void *arg)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct bufferevent *b = conn_new(-1);

	sin.sin_port = htons((uint16_t)dialled_port);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	bufferevent_setcb(b, NULL, NULL, changed, arg);
	bufferevent_enable(b, EV_READ);
	must(bufferevent_socket_connect(b, (struct sockaddr *)&sin,
					sizeof(sin)) == 0,
	     "connect");
	return b;
}

static void poem_ended(struct bufferevent *b, short events, void *arg)
{
	struct bufferevent *client = arg;

	if (events & BEV_EVENT_CONNECTED)
		return;
	bufferevent_setcb(client, NULL, conn_sent, conn_ended, NULL);
	bufferevent_write_buffer(client, bufferevent_get_input(b));
	bufferevent_free(b);
}

static void client_ended(struct bufferevent *b, short events, void *arg)
{
	bufferevent_free(arg);
	bufferevent_free(b);
}

static void client_accepted(struct evconnlistener *l, evutil_socket_t fd,
			    struct sockaddr *peer, int len, void *arg)
{
	struct bufferevent *client = conn_new(fd);

	bufferevent_setcb(client, NULL, NULL, client_ended,
			  dial_port(poem_ended, client));
	bufferevent_enable(client, EV_READ);
}

static void proxy(const void *what, unsigned number)
{
	dialled_port = number;
	serve(client_accepted);
}

/*
 * A chat: each line goes to all members.
 */
struct member {
	struct bufferevent *b;
	TAILQ_ENTRY(member) link;
};

static TAILQ_HEAD(, member) room = TAILQ_HEAD_INITIALIZER(room);

static void member_read(struct bufferevent *b, void *arg)
{
	struct member *m;
	char *line;
	size_t len;

	while ((line = evbuffer_readln(bufferevent_get_input(b), &len,
				       EVBUFFER_EOL_LF)) != NULL) {
		line[len] = '\n';
		TAILQ_FOREACH(m, &room, link)
		bufferevent_write(m->b, line, len + 1);
		free(line);
	}
}

static void member_ended(struct bufferevent *b, short events, void *arg)
{
	struct member *m = arg;

	TAILQ_REMOVE(&room, m, link);
	free(m);
	bufferevent_free(b);
}

static void member_accepted(struct evconnlistener *l, evutil_socket_t fd,
			    struct sockaddr *peer, int len, void *arg)
{
	struct member *m = allocate(sizeof(*m));

	m->b = conn_new(fd);
	bufferevent_setcb(m->b, member_read, NULL, member_ended, m);
	bufferevent_enable(m->b, EV_READ);
	TAILQ_INSERT_TAIL(&room, m, link);
}

static void chat(const void *what, unsigned number)
{
	serve(member_accepted);
}

/*
 * A client: connects, sends a request, receives until the end, and connects
 * again.
 */
static void dial_changed(struct bufferevent *b, short events, void *arg)
{
	if (events & BEV_EVENT_CONNECTED) {
		bufferevent_write(b, poem(), REQUEST);
		return;
	}
	must(events & BEV_EVENT_EOF, "connect");
	bufferevent_free(b);
	dial_port(dial_changed, NULL);
}

static void dial(const void *what, unsigned number)
{
	dialled_port = number;
	tell_port(number);
	base = event_base_new();
	dial_port(dial_changed, NULL);
	event_base_dispatch(base);
}

const struct work works[] = {
	{ "echo", echo, NULL },
	{ "lines", lines, NULL },
	{ "poem", serve_poem, NULL },
	{ "proxy", proxy, NULL },
	{ "chat", chat, NULL },
	{ "dial", dial, NULL },
	{ 0 },
};
