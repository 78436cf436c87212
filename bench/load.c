/*
 * The clients of all servers.  `load WORK [CONNECTIONS]' writes the port on
 * which it listens itself (a proxy's poem server, or what a client connects
 * to), reads the port of the server, connects, and says so with an empty line.
 * Then it reads numbers, works for so many rounds, and writes how many
 * operations those were.
 *
 * It sends to all connections and then waits for all answers, in order, with
 * blocking calls: less work than the server has, so that the load is not the
 * limit.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

enum {
	LINES = 32,		/* in one piece */
	PIECES = 10,		/* of a slow poem */
	PIECE_WAIT = 50 * 1000, /* nanoseconds */
	PATIENCE = 60,		/* seconds, for a round or for connecting */
	UNDER_WAY = 256 * 1024, /* bytes of a bulk, at most */
};

static unsigned server, members;
static size_t bytes;
static int listener, *connections, *downloads;
static char out[BULK], in[BULK];

static int dial(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	sin.sin_port = htons((uint16_t)server);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0, "connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static void say(int fd, const char *data, size_t len)
{
	must(send(fd, data, len, MSG_NOSIGNAL) == (ssize_t)len, "send");
}

static void hear(int fd, size_t len)
{
	must(recv(fd, in, len, MSG_WAITALL) == (ssize_t)len, "recv");
}

static void hear_poem(int fd)
{
	must(recv(fd, in, POEM_SIZE + 1, MSG_WAITALL) == POEM_SIZE, "poem");
	must(memcmp(in, poem(), POEM_SIZE) == 0, "the same poem");
	close(fd);
}

static int take(void)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	must(fd >= 0, "accept");
	return fd;
}

/* The works: each does one round, and returns how many operations it was. */

static unsigned ping(void)
{
	for (unsigned i = 0; i < members; i++)
		say(connections[i], out, bytes);
	for (unsigned i = 0; i < members; i++)
		hear(connections[i], bytes);
	return members;
}

static unsigned lines(void)
{
	return ping() * LINES;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/*
 * Both directions at once, or the two would wait for each other.  What was sent
 * and has not come back is limited.  Otherwise it is as much as the kernel's
 * buffers take; they grow as the kernel sees fit, beyond the processor's cache
 * in one run and not in the next, and then the same server takes twice as long.
 */
static unsigned bulk(void)
{
	struct pollfd pfd = { .fd = connections[0] };
	size_t left = BULK, unheard = BULK, may;
	ssize_t n;

	while (unheard > 0) {
		may = smaller(left, UNDER_WAY - (unheard - left));
		pfd.events = POLLIN | (may > 0 ? POLLOUT : 0);
		must(poll(&pfd, 1, -1) == 1, "poll");
		if (pfd.revents & POLLOUT) {
			n = send(pfd.fd, out, may, MSG_NOSIGNAL | MSG_DONTWAIT);
			left -= (size_t)(n > 0 ? n : 0);
		}
		if (pfd.revents & POLLIN) {
			n = recv(pfd.fd, in, BULK, MSG_DONTWAIT);
			must(n > 0, "recv");
			unheard -= (size_t)n;
		}
	}
	return 1;
}

static void dial_all(void)
{
	for (unsigned i = 0; i < members; i++)
		connections[i] = dial();
}

static unsigned poems(void)
{
	dial_all();
	for (unsigned i = 0; i < members; i++)
		hear_poem(connections[i]);
	return members;
}

static unsigned come_and_go(void)
{
	dial_all();
	for (unsigned i = 0; i < members; i++)
		say(connections[i], out, REQUEST);
	for (unsigned i = 0; i < members; i++) {
		hear(connections[i], REQUEST);
		close(connections[i]);
	}
	return members;
}

/* The poem server behind the proxy is this process, too. */
static unsigned proxied(unsigned pieces)
{
	const struct timespec wait = { .tv_nsec = PIECE_WAIT };
	size_t size = POEM_SIZE / pieces;

	dial_all();
	for (unsigned i = 0; i < members; i++)
		downloads[i] = take();
	for (unsigned j = 0; j < pieces; j++) {
		if (j > 0)
			nanosleep(&wait, NULL);
		for (unsigned i = 0; i < members; i++)
			say(downloads[i], poem() + j * size, size);
	}
	for (unsigned i = 0; i < members; i++)
		close(downloads[i]);
	for (unsigned i = 0; i < members; i++)
		hear_poem(connections[i]);
	return members;
}

static unsigned proxied_fast(void)
{
	return proxied(1);
}

static unsigned proxied_slow(void)
{
	return proxied(PIECES);
}

/*
 * One talks, in turn, and all hear it; each that hears is an operation.  The
 * server tells them in the order in which they have joined, and here the last
 * is waited for first.  Otherwise the server would wake this process up for
 * each of them, as often as chance has it, and that is a third of its work.
 */
static unsigned chat(void)
{
	static unsigned talker;

	say(connections[talker++ % members], out, LINE_SIZE);
	for (unsigned i = members; i-- > 0;)
		hear(connections[i], LINE_SIZE);
	return members;
}

/*
 * What the server under test connects to.  The answer and the end come in one
 * segment, or it would depend on chance whether they are seen together.
 */
static unsigned dialled(void)
{
	int fd = take();

	hear(fd, REQUEST);
	must(send(fd, in, REQUEST, MSG_NOSIGNAL | MSG_MORE) == REQUEST, "send");
	close(fd);
	return 1;
}

/*
 * Datagrams there and back.  A socket sends DATAGRAMS of them together.  The
 * kernel drops those for which a socket has no room: they are no operations.
 * When one has not come in time, what else is to come has come.
 */
enum { IN_TIME = 100 * 1000 }; /* microseconds */

static int dial_datagrams(void)
{
	const struct timeval patience = { .tv_usec = IN_TIME };
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	sin.sin_port = htons((uint16_t)server);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0, "connect");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static struct mmsghdr messages[DATAGRAMS];

static void datagrams_connect(void)
{
	static struct iovec piece = { out, REQUEST };

	for (unsigned i = 0; i < DATAGRAMS; i++)
		messages[i].msg_hdr =
			(struct msghdr){ .msg_iov = &piece, .msg_iovlen = 1 };
	for (unsigned i = 0; i < members; i += DATAGRAMS)
		connections[i / DATAGRAMS] = dial_datagrams();
}

/* Returns how many have come back, of n at most. */
static unsigned hear_together(int fd, unsigned n, int flags)
{
	unsigned heard = 0;
	int some = 1;

	while (heard < n && some > 0) {
		some = recvmmsg(fd, messages, n - heard, flags, NULL);
		heard += some > 0 ? (unsigned)some : 0;
	}
	return heard;
}

static unsigned datagrams(void)
{
	int flags = MSG_WAITFORONE;
	unsigned sent, some, heard = 0;

	for (sent = 0; sent < members; sent += DATAGRAMS) {
		some = (unsigned)smaller(DATAGRAMS, members - sent);
		must(sendmmsg(connections[sent / DATAGRAMS], messages, some,
			      0) == (int)some,
		     "sendmmsg");
	}
	for (sent = 0; sent < members; sent += DATAGRAMS) {
		some = (unsigned)smaller(DATAGRAMS, members - sent);
		some -= hear_together(connections[sent / DATAGRAMS], some,
				      flags);
		heard += (unsigned)smaller(DATAGRAMS, members - sent) - some;
		if (some > 0)
			flags = MSG_DONTWAIT;
	}
	return heard;
}

/* A line reaches only those whom the server has accepted: so each speaks. */
static void chat_join(unsigned i)
{
	say(connections[i], out, LINE_SIZE);
	for (unsigned j = 0; j <= i; j++)
		hear(connections[j], LINE_SIZE);
}

struct load {
	unsigned (*round)(void);
	size_t bytes; /* that a connection sends; 0: connections come and go */
	void (*join)(unsigned i); /* or NULL; after connecting */
	void (*connect)(void);	  /* or NULL; instead of connecting */
};

static void load_connect(const struct load *load, unsigned number)
{
	bytes = load->bytes;
	for (size_t i = 0; i < bytes; i++)
		out[i] = i % LINE_SIZE == LINE_SIZE - 1 ? '\n' : 'x';
	members = number;
	connections = allocate(sizeof(*connections) * (number + 1));
	downloads = allocate(sizeof(*downloads) * (number + 1));
	for (unsigned i = 0; i < number && bytes > 0; i++) {
		connections[i] = dial();
		if (load->join != NULL)
			load->join(i);
	}
	if (load->connect != NULL)
		load->connect();
}

static void load_rounds(const struct load *load)
{
	unsigned long rounds, operations;

	while (scanf("%lu", &rounds) == 1) {
		alarm(PATIENCE);
		for (operations = 0; rounds > 0; rounds--)
			operations += load->round();
		alarm(0);
		printf("%lu\n", operations);
		fflush(stdout);
	}
}

static void load_run(const void *what, unsigned number)
{
	const struct load *load = what;

	alarm(PATIENCE);
	listener = listen_on_loopback();
	fcntl(listener, F_SETFL, 0);
	must(scanf("%u", &server) == 1, "port");
	load_connect(load, number);
	alarm(0);
	puts("");
	fflush(stdout);
	load_rounds(load);
}

static const struct load ping_short = { .round = ping, .bytes = 64 };
static const struct load ping_long = { .round = ping, .bytes = 4096 };
static const struct load lines_load = { .round = lines,
					.bytes = (size_t)LINES * LINE_SIZE };
static const struct load bulk_load = { .round = bulk, .bytes = BULK };
static const struct load poem_load = { .round = poems };
static const struct load connect_load = { .round = come_and_go };
static const struct load fast_load = { .round = proxied_fast };
static const struct load slow_load = { .round = proxied_slow };
static const struct load chat_load = { .round = chat,
				       .bytes = LINE_SIZE,
				       .join = chat_join };
static const struct load dial_load = { .round = dialled };
static const struct load udp_load = { .round = datagrams,
				      .connect = datagrams_connect };

const struct work works[] = {
	{ "ping-64", load_run, &ping_short },
	{ "ping-4k", load_run, &ping_long },
	{ "lines", load_run, &lines_load },
	{ "bulk", load_run, &bulk_load },
	{ "poem", load_run, &poem_load },
	{ "connect", load_run, &connect_load },
	{ "proxy-fast", load_run, &fast_load },
	{ "proxy-slow", load_run, &slow_load },
	{ "chat", load_run, &chat_load },
	{ "dial", load_run, &dial_load },
	{ "udp", load_run, &udp_load },
	{ 0 },
};
