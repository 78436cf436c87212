/*
 * What a server made with plait costs next to one that was written by hand on
 * epoll, for the same client and the same work.
 *
 * A server runs in a child, and what counts is the processor time of that
 * child, of user and system together; the client is this process.  Seconds
 * depend on the machine and on who else uses it, so the servers take turns,
 * several times, and what is worth something is the ratio of the medians.  In
 * the load "dial" it is the client that is measured, and runs in the child.
 *
 * `bench_echo LOAD' compares the servers in one load.
 * `bench_echo LOAD SERVER COUNT' serves in this process, with the client in a
 * child, for `valgrind --tool=callgrind' and `strace -c'.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <plait/plait.h>

enum {
	ROUNDS = 5,
	CONNECTIONS = 16,
	REQUEST = 32,		/* bytes */
	LINES = 32,		/* in one read */
	BULK = 1024 * 1024,	/* bytes */
	UNDER_WAY = 256 * 1024, /* of these, at most: see bench/load.c */
	POEM = 1000,		/* bytes */
	READ_SIZE = 128 * 1024, /* as plait reads */
};

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

/*
 * The servers made with plait.  The control socket is told the port, and its
 * end is the end.
 */
static void echo_received(struct plait_protocol *p, const void *data,
			  size_t len)
{
	plait_transport_write(p->transport, data, len);
}

static const struct plait_protocol_ops echo_ops = {
	.name = "echo",
	.data_received = echo_received,
};

static void bounded_made(struct plait_protocol *p)
{
	plait_transport_register_producer(
		p->transport, plait_transport_producer(p->transport), true);
}

static const struct plait_protocol_ops bounded_ops = {
	.name = "bounded echo",
	.connection_made = bounded_made,
	.data_received = echo_received,
};

static void answer_line(struct plait_line_only_receiver *p, const char *line,
			size_t len)
{
	plait_line_only_receiver_send_line(p, line, len);
}

static const struct plait_line_only_receiver_ops line_ops = {
	.base = { PLAIT_LINE_ONLY_RECEIVER, .name = "lines",
		  .size = sizeof(struct plait_line_only_receiver) },
	.line_received = answer_line,
};

static char the_poem[POEM];

static void poem_made(struct plait_protocol *p)
{
	plait_transport_write(p->transport, the_poem, sizeof(the_poem));
	plait_transport_lose_connection(p->transport);
}

static const struct plait_protocol_ops poem_ops = {
	.name = "poem",
	.connection_made = poem_made,
};

struct control {
	struct plait_watch watch;
	struct plait_reactor *reactor;
};

static void told_to_end(struct plait_watch *w, unsigned events)
{
	struct control *c = plait_container(w, struct control, watch);

	plait_watch_stop(w);
	plait_reactor_stop(c->reactor);
}

static void tell_port(int control, unsigned port)
{
	must(write(control, &port, sizeof(port)) == sizeof(port), "control");
}

static void serve_protocol(const struct plait_protocol_ops *ops, int control)
{
	const struct plait_listen_options options = { .iface = "127.0.0.1",
						      .no_delay = true };
	struct plait_factory factory = { .protocol = ops };
	struct control c = { .reactor = plait_reactor_new("epoll") };
	struct plait_address address;
	struct plait_port *port;

	must(c.reactor != NULL, "reactor");
	must(plait_listen_tcp(c.reactor, 0, &factory, &options, &port) == 0,
	     "listen");
	plait_port_host(port, &address);
	tell_port(control, plait_address_port(&address));
	plait_watch_start(c.reactor, &c.watch, control, PLAIT_WATCH_READ,
			  told_to_end);
	plait_reactor_run(c.reactor);
	plait_reactor_free(&c.reactor);
}

static void serve_plait(int control)
{
	serve_protocol(&echo_ops, control);
}

static void serve_bounded(int control)
{
	serve_protocol(&bounded_ops, control);
}

static void serve_plait_lines(int control)
{
	serve_protocol(&line_ops.base, control);
}

static void serve_plait_poem(int control)
{
	serve_protocol(&poem_ops, control);
}

/*
 * The client made with plait.  The control socket tells it the port.
 */
static unsigned told_port(int control)
{
	unsigned port;

	must(read(control, &port, sizeof(port)) == sizeof(port), "port");
	return port;
}

static void ask_made(struct plait_protocol *p)
{
	plait_transport_write(p->transport, the_poem, REQUEST);
}

static void ask_again(struct plait_factory *f, struct plait_connector *c,
		      const struct plait_failure *why)
{
	plait_connector_connect(c);
}

static const struct plait_protocol_ops ask_ops = {
	.name = "ask",
	.connection_made = ask_made,
};

static const struct plait_factory_ops ask_factory_ops = {
	.connection_lost = ask_again,
};

static void dial_with_plait(int control)
{
	struct plait_factory factory = { .ops = &ask_factory_ops,
					 .protocol = &ask_ops };
	struct control c = { .reactor = plait_reactor_new("epoll") };

	must(c.reactor != NULL, "reactor");
	plait_connect_tcp(c.reactor, "127.0.0.1", told_port(control), &factory,
			  NULL);
	plait_watch_start(c.reactor, &c.watch, control, PLAIT_WATCH_READ,
			  told_to_end);
	plait_reactor_run(c.reactor);
	plait_reactor_free(&c.reactor);
}

/*
 * The server by hand.  What the kernel does not take at once is kept, and the
 * connection is not read from until it is gone.
 */
struct raw {
	int fd;
	char *unsent; /* NULL: nothing */
	size_t size, sent;
	size_t partial_size;
	char partial[256]; /* the line that is not complete */
};

typedef void raw_handler(struct raw *c, char *data, size_t len);

static int raw_epoll;
static char raw_in[READ_SIZE], raw_out[READ_SIZE + sizeof(struct raw)];

static void raw_wait_for(struct raw *c, int op, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	must(epoll_ctl(raw_epoll, op, c->fd, &e) == 0, "epoll_ctl");
}

static void raw_send(struct raw *c, const char *data, size_t len)
{
	ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n == (ssize_t)len)
		return;
	must(n >= 0 || errno == EAGAIN, "send");
	c->sent = 0;
	c->size = len - (size_t)(n < 0 ? 0 : n);
	c->unsent = malloc(c->size);
	must(c->unsent != NULL, "malloc");
	memcpy(c->unsent, data + len - c->size, c->size);
	raw_wait_for(c, EPOLL_CTL_MOD, EPOLLOUT);
}

static void raw_flush(struct raw *c)
{
	ssize_t n = send(c->fd, c->unsent + c->sent, c->size - c->sent,
			 MSG_NOSIGNAL | MSG_DONTWAIT);

	must(n >= 0, "send");
	c->sent += (size_t)n;
	if (c->sent < c->size)
		return;
	free(c->unsent);
	c->unsent = NULL;
	raw_wait_for(c, EPOLL_CTL_MOD, EPOLLIN);
}

/* Calls answer(c, line, len) for each line, with its end. */
static void raw_lines(struct raw *c, char *data, size_t len,
		      void (*answer)(struct raw *c, const char *, size_t))
{
	char *end;

	while ((end = memchr(data, '\n', len)) != NULL) {
		size_t n = (size_t)(++end - data);

		if (c->partial_size > 0)
			answer(c, c->partial, c->partial_size);
		c->partial_size = 0;
		answer(c, data, n);
		data += n;
		len -= n;
	}
	memcpy(c->partial + c->partial_size, data, len);
	c->partial_size += len;
}

static size_t gathered;

static void gather_answer(struct raw *c, const char *line, size_t len)
{
	memcpy(raw_out + gathered, line, len);
	gathered += len;
}

static void raw_gather_lines(struct raw *c, char *data, size_t len)
{
	gathered = 0;
	raw_lines(c, data, len, gather_answer);
	if (gathered > 0)
		raw_send(c, raw_out, gathered);
}

static void raw_send_lines(struct raw *c, char *data, size_t len)
{
	raw_lines(c, data, len, raw_send);
}

static void raw_echo(struct raw *c, char *data, size_t len)
{
	raw_send(c, data, len);
}

static void raw_close(struct raw *c)
{
	close(c->fd);
	free(c->unsent);
	free(c);
}

static void raw_receive(struct raw *c, raw_handler *handler)
{
	ssize_t n = recv(c->fd, raw_in, sizeof(raw_in), MSG_DONTWAIT);

	if (n > 0)
		handler(c, raw_in, (size_t)n);
	else if (n == 0 || errno != EAGAIN)
		raw_close(c);
}

static struct raw *raw_add(int fd)
{
	struct raw *c = calloc(1, sizeof(*c));

	must(c != NULL, "calloc");
	c->fd = fd;
	raw_wait_for(c, EPOLL_CTL_ADD, EPOLLIN);
	return c;
}

static int raw_accept(int listener)
{
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);

	return accept4(listener, (struct sockaddr *)&peer, &len,
		       SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void raw_accept_and_read(int listener)
{
	int fd = raw_accept(listener);

	if (fd >= 0)
		raw_add(fd);
}

/* A client that had sent something would not get all. */
static void raw_accept_and_write(int listener)
{
	int fd = raw_accept(listener);

	if (fd < 0)
		return;
	must(send(fd, the_poem, sizeof(the_poem), MSG_NOSIGNAL) == POEM,
	     "send");
	close(fd);
}

/* The same with the care that plait takes: it waits for the client's end. */
static void raw_accept_and_linger(int listener)
{
	int fd = raw_accept(listener);

	if (fd < 0)
		return;
	must(send(fd, the_poem, sizeof(the_poem), MSG_NOSIGNAL) == POEM,
	     "send");
	shutdown(fd, SHUT_WR);
	raw_add(fd);
}

static void raw_discard(struct raw *c, char *data, size_t len)
{
}

static int raw_listen(int control, int flags)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | flags, 0), on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0 &&
		     listen(fd, SOMAXCONN) == 0 &&
		     getsockname(fd, (struct sockaddr *)&sin, &len) == 0,
	     "listen");
	tell_port(control, ntohs(sin.sin_port));
	return fd;
}

static void serve_raw(void (*accept)(int listener), raw_handler *handler,
		      int control)
{
	struct epoll_event events[256];
	struct raw *listener, *end;

	raw_epoll = epoll_create1(EPOLL_CLOEXEC);
	listener = raw_add(raw_listen(control, SOCK_NONBLOCK));
	end = raw_add(control);
	for (;;) {
		int n = epoll_wait(raw_epoll, events, 256, -1);

		for (int i = 0; i < n; i++) {
			struct raw *c = events[i].data.ptr;

			if (c == end)
				return;
			if (c == listener)
				accept(c->fd);
			else if (c->unsent != NULL)
				raw_flush(c);
			else
				raw_receive(c, handler);
		}
	}
}

static void serve_raw_echo(int control)
{
	serve_raw(raw_accept_and_read, raw_echo, control);
}

static void serve_raw_gathered(int control)
{
	serve_raw(raw_accept_and_read, raw_gather_lines, control);
}

static void serve_raw_each(int control)
{
	serve_raw(raw_accept_and_read, raw_send_lines, control);
}

static void serve_raw_poem(int control)
{
	serve_raw(raw_accept_and_write, NULL, control);
}

static void serve_raw_lingering(int control)
{
	serve_raw(raw_accept_and_linger, raw_discard, control);
}

/*
 * The client by hand: it connects, asks, reads to the end, and begins again.
 */
static struct raw *raw_dial(unsigned port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct raw *c = calloc(1, sizeof(*c));

	must(c != NULL, "calloc");
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	sin.sin_port = htons((uint16_t)port);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(connect(c->fd, (struct sockaddr *)&sin, sizeof(sin)) == 0 ||
		     errno == EINPROGRESS,
	     "connect");
	raw_wait_for(c, EPOLL_CTL_ADD, EPOLLOUT);
	return c;
}

/* If it has not connected, the send fails with the reason. */
static void raw_ask(struct raw *c)
{
	must(send(c->fd, the_poem, REQUEST, MSG_NOSIGNAL) == REQUEST, "send");
	raw_wait_for(c, EPOLL_CTL_MOD, EPOLLIN);
}

/* Returns false at the end. */
static bool raw_hear(struct raw *c)
{
	ssize_t n = recv(c->fd, raw_in, sizeof(raw_in), 0);

	must(n >= 0, "recv");
	return n > 0;
}

static void dial_by_hand(int control)
{
	unsigned port = told_port(control);
	struct epoll_event events[256];
	struct raw *end;

	raw_epoll = epoll_create1(EPOLL_CLOEXEC);
	end = raw_add(control);
	raw_dial(port);
	for (;;) {
		int n = epoll_wait(raw_epoll, events, 256, -1);

		for (int i = 0; i < n; i++) {
			struct raw *c = events[i].data.ptr;

			if (c == end)
				return;
			if (events[i].events & EPOLLOUT) {
				raw_ask(c);
			} else if (!raw_hear(c)) {
				raw_close(c);
				raw_dial(port);
			}
		}
	}
}

/*
 * The client.
 */
static char client_out[BULK], client_in[BULK];

static int dial(unsigned port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sin.sin_port = htons((uint16_t)port);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0, "connect");
	return fd;
}

static void say(int fd, size_t len)
{
	must(send(fd, client_out, len, MSG_NOSIGNAL) == (ssize_t)len, "say");
}

static void hear(int fd, size_t len)
{
	must(recv(fd, client_in, len, MSG_WAITALL) == (ssize_t)len, "hear");
}

/* n times len bytes there and back, on so many connections at a time. */
static void exchange(unsigned port, unsigned n, unsigned connections,
		     size_t len)
{
	int fds[CONNECTIONS];

	for (unsigned i = 0; i < connections; i++)
		fds[i] = dial(port);
	for (; n >= connections; n -= connections) {
		for (unsigned i = 0; i < connections; i++)
			say(fds[i], len);
		for (unsigned i = 0; i < connections; i++)
			hear(fds[i], len);
	}
	for (unsigned i = 0; i < connections; i++)
		close(fds[i]);
}

static void one_by_one(unsigned port, unsigned n)
{
	exchange(port, n, 1, REQUEST);
}

static void many_at_once(unsigned port, unsigned n)
{
	exchange(port, n, CONNECTIONS, REQUEST);
}

static void lines(unsigned port, unsigned n)
{
	for (size_t i = 0; i < LINES; i++)
		memcpy(client_out + i * 16, "REQUEST NUMBER\r\n", 16);
	exchange(port, n, 1, (size_t)LINES * 16);
}

/* Both directions at once, or the two would wait for each other. */
static void bulk(unsigned port, unsigned n)
{
	size_t left = (size_t)n * BULK, unheard = left, may;
	struct pollfd pfd = { .fd = dial(port) };
	ssize_t done;

	while (unheard > 0) {
		may = UNDER_WAY - (unheard - left);
		if (may > left)
			may = left;
		pfd.events = POLLIN | (may > 0 ? POLLOUT : 0);
		must(poll(&pfd, 1, -1) == 1, "poll");
		if (pfd.revents & POLLOUT) {
			done = send(pfd.fd, client_out, may,
				    MSG_NOSIGNAL | MSG_DONTWAIT);
			left -= (size_t)(done > 0 ? done : 0);
		}
		if (pfd.revents & POLLIN) {
			done = recv(pfd.fd, client_in, BULK, MSG_DONTWAIT);
			must(done > 0, "recv");
			unheard -= (size_t)done;
		}
	}
	close(pfd.fd);
}

static void connections(unsigned port, unsigned n)
{
	while (n-- > 0)
		exchange(port, 1, 1, REQUEST);
}

static void read_poem(int fd)
{
	hear(fd, POEM);
	must(recv(fd, client_in, 1, 0) == 0, "end of poem");
	close(fd);
}

static void poems(unsigned port, unsigned n)
{
	while (n-- > 0)
		read_poem(dial(port));
}

/* A crowd has connected before the first reads. */
static void busy(unsigned port, unsigned n)
{
	int fds[CONNECTIONS];

	for (; n >= CONNECTIONS; n -= CONNECTIONS) {
		for (unsigned i = 0; i < CONNECTIONS; i++)
			fds[i] = dial(port);
		for (unsigned i = 0; i < CONNECTIONS; i++)
			read_poem(fds[i]);
	}
}

/* Answers n clients, one after another. */
static void answer(int listener, unsigned n)
{
	int fd;

	while (n-- > 0) {
		fd = accept(listener, NULL, NULL);
		must(fd >= 0, "accept");
		hear(fd, REQUEST);
		say(fd, REQUEST);
		close(fd);
	}
	close(listener);
}

/*
 * Measuring.
 */
struct server {
	const char *name;
	void (*serve)(int control);
};

/* The first server is the floor. */
struct load {
	const char *name, *about;
	unsigned n;
	void (*run)(unsigned port, unsigned n); /* NULL: answers */
	struct server servers[4];
};

static const struct load loads[] = {
	{ "single",
	  "32 bytes there and back, one connection",
	  4000,
	  one_by_one,
	  { { "raw", serve_raw_echo },
	    { "plait", serve_plait },
	    { "bounded", serve_bounded } } },
	{ "many",
	  "32 bytes there and back, 16 connections at once",
	  8000,
	  many_at_once,
	  { { "raw", serve_raw_echo },
	    { "plait", serve_plait },
	    { "bounded", serve_bounded } } },
	{ "lines",
	  "32 lines in one read, each answered",
	  2000,
	  lines,
	  { { "raw", serve_raw_gathered },
	    { "plait", serve_plait_lines },
	    { "each", serve_raw_each } } },
	{ "bulk",
	  "1 MiB there and back",
	  64,
	  bulk,
	  { { "raw", serve_raw_echo },
	    { "plait", serve_plait },
	    { "bounded", serve_bounded } } },
	{ "connect",
	  "connect, 32 bytes there and back, close",
	  1000,
	  connections,
	  { { "raw", serve_raw_echo },
	    { "plait", serve_plait },
	    { "bounded", serve_bounded } } },
	{ "poem",
	  "connect, read 1,000 bytes to the end, close",
	  1000,
	  poems,
	  { { "raw", serve_raw_poem },
	    { "plait", serve_plait_poem },
	    { "lingers", serve_raw_lingering } } },
	{ "busy",
	  "the same, with 16 connections at once",
	  1600,
	  busy,
	  { { "raw", serve_raw_poem },
	    { "plait", serve_plait_poem },
	    { "lingers", serve_raw_lingering } } },
	{ "dial",
	  "a client: connect, 32 bytes there and back, the end, close",
	  1000,
	  NULL,
	  { { "raw", dial_by_hand }, { "plait", dial_with_plait } } },
};

enum { N_LOADS = sizeof(loads) / sizeof(*loads) };

static void drive(const struct load *load, unsigned n, int control)
{
	if (load->run != NULL)
		load->run(told_port(control), n);
	else
		answer(raw_listen(control, 0), n);
	close(control);
}

/* A child; *control is the parent's end, or in the child its own. */
static pid_t split(int *control)
{
	int ends[2];
	pid_t pid;

	must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
	pid = fork();
	must(pid >= 0, "fork");
	*control = ends[pid == 0];
	close(ends[pid != 0]);
	return pid;
}

static double microseconds(struct timeval tv)
{
	return (double)tv.tv_sec * 1e6 + (double)tv.tv_usec;
}

/* Microseconds of the server's processor time for one operation. */
static double measure(const struct load *load, const struct server *server)
{
	struct rusage usage;
	int control, status;
	pid_t pid = split(&control);

	if (pid == 0) {
		server->serve(control);
		_exit(0);
	}
	drive(load, load->n, control);
	must(wait4(pid, &status, 0, &usage) == pid && status == 0, "server");
	return (microseconds(usage.ru_utime) + microseconds(usage.ru_stime)) /
	       load->n;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(*values), compare);
	return values[ROUNDS / 2];
}

static void compare_servers(const struct load *load)
{
	const struct server *s = load->servers;
	double costs[4][ROUNDS], each;

	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; s[i].name != NULL; i++)
			costs[i][round] = measure(load, &s[i]);
	}
	printf("%s: %s\n", load->name, load->about);
	for (int i = 0; s[i].name != NULL; i++) {
		each = median(costs[i]);
		printf("  %-8s %8.2f us  ratio %.2f\n", s[i].name, each,
		       each / costs[0][ROUNDS / 2]);
	}
}

static const struct server *find(const char *load_name, const char *name,
				 const struct load **ret)
{
	for (const struct load *l = loads; l < loads + N_LOADS; l++) {
		for (const struct server *s = l->servers; s->name != NULL;
		     s++) {
			*ret = l;
			if (strcmp(l->name, load_name) == 0 &&
			    strcmp(s->name, name) == 0)
				return s;
		}
	}
	return NULL;
}

/* The other way round: the client is the child, without a trace. */
static int serve_here(const char *load_name, const char *name, unsigned n)
{
	const struct load *load;
	const struct server *server = find(load_name, name, &load);
	int control;

	if (server == NULL)
		return 2;
	if (split(&control) == 0) {
		drive(load, n, control);
		_exit(0);
	}
	server->serve(control);
	wait(NULL);
	return 0;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 4)
		return serve_here(argv[1], argv[2], (unsigned)atoi(argv[3]));
	for (int i = 0; i < N_LOADS; i++) {
		if (argc < 2 || strcmp(loads[i].name, argv[1]) == 0)
			compare_servers(&loads[i]);
	}
	return 0;
}
