/*
 * Packets on their way: see flight.h.
 *
 * The kernel tells of each socket what it has sent and what it has received.
 * Sockets are matched by their ports; what the one has sent and the other has
 * not received is on its way.  A socket without its other end has been closed
 * there, which it has not heard of yet; or it waits in the queue of a
 * listener.
 *
 * Of a UDP socket the kernel does not tell it.  If there is one, a packet may
 * be ours as long as any packet on loopback waits for a processor.
 */
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "tests/flight.h"

enum {
	MAX_ENDS = 256,
	BACKLOG = 12, /* which number of a line in softnet_stat is the length */
	GAP = 64,     /* so many closed numbers may end the search */
	PATIENCE_MS = 20000, /* what never comes is waited for no longer */
};

/* As in the kernel's table of states. */
enum {
	ESTABLISHED = 1,
	SYN_SENT,
	SYN_RECV,
	FIN_WAIT1,
	FIN_WAIT2,
	TIME_WAIT,
	CLOSED,
	CLOSE_WAIT,
	LAST_ACK,
	LISTEN,
	CLOSING
};

/* One socket. */
struct end {
	struct tcp_info info;
	uint32_t port, peer; /* 0: none */
	int unread;
};

struct ends {
	struct end of[MAX_ENDS];
	int n;
	bool datagrams; /* there is a UDP socket */
};

/* Hosts of this machine may use the same port: ::1, and each 127.0.0.x.  Who
   listens at any address is found like 127.0.0.1. */
static uint32_t port_of(const struct sockaddr_storage *ss)
{
	const struct sockaddr_in *four = (const struct sockaddr_in *)ss;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)ss;
	uint32_t host;

	if (ss->ss_family == AF_INET) {
		host = ntohl(four->sin_addr.s_addr) & 0xff;
		return (host > 1 ? host : 0) << 17 | four->sin_port;
	}
	if (ss->ss_family == AF_INET6)
		return (uint32_t)IN6_IS_ADDR_LOOPBACK(&six->sin6_addr) << 16 |
		       six->sin6_port;
	return 0;
}

/* False if it is no TCP socket. */
static bool look_at(int fd, struct end *e)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(e->info);

	*e = (struct end){ .port = 0 };
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &e->info, &len) < 0)
		return false;
	len = sizeof(ss);
	if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
		e->port = port_of(&ss);
	len = sizeof(ss);
	ss.ss_family = AF_UNSPEC;
	if (getpeername(fd, (struct sockaddr *)&ss, &len) == 0)
		e->peer = port_of(&ss);
	if (e->info.tcpi_state != LISTEN)
		ioctl(fd, FIONREAD, &e->unread);
	return true;
}

/* Looks at the open ones of GAP numbers from first on: false if none is open.
   One call tells which are closed, as most are. */
static bool look_at_some(struct ends *all, int first)
{
	struct pollfd fds[GAP];
	int open = 0;

	for (int i = 0; i < GAP; i++)
		fds[i] = (struct pollfd){ .fd = first + i };
	poll(fds, GAP, 0);
	for (int i = 0; i < GAP && all->n < MAX_ENDS; i++) {
		if (fds[i].revents & POLLNVAL)
			continue;
		open++;
		errno = 0;
		if (look_at(fds[i].fd, &all->of[all->n]))
			all->n++;
		all->datagrams |= errno == ENOPROTOOPT;
	}
	return open > 0;
}

static void look_at_all(struct ends *all)
{
	all->n = 0;
	all->datagrams = false;
	for (int fd = 0; look_at_some(all, fd); fd += GAP)
		;
}

static const struct end *find(const struct ends *all, uint32_t port,
			      uint32_t peer)
{
	for (int i = 0; i < all->n; i++) {
		const struct end *e = &all->of[i];

		if (e->port == port && e->peer == peer)
			return e;
	}
	return NULL;
}

static const struct end *other_end(const struct ends *all, const struct end *e)
{
	return find(all, e->peer, e->port);
}

static const struct end *listener(const struct ends *all, uint32_t port)
{
	const struct end *e = find(all, port, 0);

	return e != NULL && e->info.tcpi_state == LISTEN ? e : NULL;
}

/* Of a listener the kernel tells how many wait, and how many may. */
static unsigned waiting(const struct end *l)
{
	return l->info.tcpi_unacked;
}

/* To whom a connection would be made, nobody can tell. */
static bool any_is_full(const struct ends *all)
{
	for (int i = 0; i < all->n; i++) {
		const struct end *e = &all->of[i];

		if (e->info.tcpi_state == LISTEN &&
		    waiting(e) > e->info.tcpi_sacked)
			return true;
	}
	return false;
}

static bool has_sent_fin(const struct end *e)
{
	switch (e->info.tcpi_state) {
	case FIN_WAIT1:
	case LAST_ACK:
	case CLOSING:
		return e->info.tcpi_notsent_bytes == 0;
	case FIN_WAIT2:
		return true;
	default:
		return false;
	}
}

static bool has_fin(const struct end *e)
{
	switch (e->info.tcpi_state) {
	case ESTABLISHED:
	case FIN_WAIT1:
	case FIN_WAIT2:
		return false;
	default:
		return true;
	}
}

/* How many of our sockets may be in its queue: one that has heard of an end was
   accepted. */
static unsigned unaccepted(const struct ends *all, const struct end *l)
{
	unsigned n = 0;

	for (int i = 0; i < all->n; i++) {
		const struct end *e = &all->of[i];

		n += e->peer == l->port && !has_fin(e) &&
		     other_end(all, e) == NULL;
	}
	return n;
}

static bool is_on_its_way(const struct end *from, const struct end *to)
{
	const struct tcp_info *a = &from->info, *b = &to->info;

	/* It is held back until the other end tells that there is room. */
	if (a->tcpi_notsent_bytes > 0)
		return to->unread == 0;
	/* A FIN counts as a byte that was received. */
	if (a->tcpi_bytes_sent - a->tcpi_bytes_retrans > b->tcpi_bytes_received)
		return true;
	return has_sent_fin(from) && !has_fin(to);
}

/* Its other end is not ours any more, or not yet. */
static bool is_awaited(const struct ends *all, const struct end *e)
{
	const struct end *l = listener(all, e->peer);

	if (l != NULL && unaccepted(all, l) <= waiting(l))
		return false;
	switch (e->info.tcpi_state) {
	case ESTABLISHED:
	case FIN_WAIT1:
	case FIN_WAIT2:
		/* What comes last may have no room yet. */
		return e->unread == 0;
	case CLOSE_WAIT:
		return e->info.tcpi_unacked > 0;
	default:
		return false;
	}
}

static bool is_waiting(const struct ends *all, const struct end *e)
{
	const struct end *other;

	if (e->info.tcpi_state == SYN_SENT)
		return !any_is_full(all);
	if (e->info.tcpi_state == LISTEN || e->peer == 0)
		return false;
	other = other_end(all, e);
	return other != NULL ? is_on_its_way(e, other) : is_awaited(all, e);
}

/* A processor has packets that nobody has looked at yet: a line each, whose
   numbers are hexadecimal. */
static bool any_waits_for_processor(void)
{
	FILE *f = fopen("/proc/net/softnet_stat", "re");
	char line[512];
	bool waits = false;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		char *at = line;
		unsigned long n = 0;

		for (int i = 0; i < BACKLOG; i++)
			n = strtoul(at, &at, 16);
		waits |= n > 0;
	}
	if (f != NULL)
		fclose(f);
	return waits;
}

bool flight_is_on(void)
{
	struct ends all;

	look_at_all(&all);
	if (all.datagrams && any_waits_for_processor())
		return true;
	for (int i = 0; i < all.n; i++) {
		if (is_waiting(&all, &all.of[i]))
			return true;
	}
	return false;
}

int flight_wait(flight_wait_func *wait, void *arg)
{
	int r = wait(arg, 0);

	for (int i = 0; r == 0 && i < PATIENCE_MS && flight_is_on(); i++)
		r = wait(arg, 1);
	/* It may have arrived between the two looks. */
	return r == 0 ? wait(arg, 0) : r;
}
