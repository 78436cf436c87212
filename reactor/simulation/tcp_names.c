/*
 * The places of TCP sockets: who may bind which, and which socket a segment is
 * for.  A host has two tables of its sockets: by local port, of all that have
 * one, and by both ports, of all that are connected.
 */
#include <errno.h>

#include "reactor/simulation/tcp.h"

/* The ports that a kernel chooses itself. */
enum { FIRST_PORT = 32768, LAST_PORT = 60999 };

static struct plait_list *tcp_port_bucket(struct plait_host *h, uint16_t port)
{
	return &h->sockets.ports[port % SOCKET_BUCKETS];
}

static struct plait_list *tcp_pair_bucket(struct plait_host *h, uint16_t local,
					  uint16_t remote)
{
	return &h->sockets.pairs[(local * 31U + remote) % SOCKET_BUCKETS];
}

/* ---- finding ------------------------------------------------------------- */

struct tcp *plait_i_tcp_find(struct plait_host *h, const struct place *local,
			     const struct place *remote)
{
	struct plait_list *l,
		*bucket = tcp_pair_bucket(h, local->port, remote->port);

	plait_list_for_each (l, bucket) {
		struct tcp *s = plait_container(l, struct tcp, by_pair);

		if (place_equal(&s->local, local) &&
		    place_equal(&s->remote, remote))
			return s;
	}
	return NULL;
}

/* Whether s, from where it is bound, has to do with that address. */
static bool tcp_covers(const struct tcp *s, const struct place *p)
{
	if (!plait_i_place_is_any(&s->local))
		return place_same_ip(&s->local, p);
	if (plait_i_place_is_ipv4(&s->local))
		return plait_i_place_is_ipv4(p);
	return !s->v6only || !plait_i_place_is_ipv4(p);
}

/* The listener whose address is nearest. */
struct tcp *plait_i_tcp_find_listener(struct plait_host *h,
				      const struct place *local)
{
	struct plait_list *l, *bucket = tcp_port_bucket(h, local->port);
	struct tcp *best = NULL;

	plait_list_for_each (l, bucket) {
		struct tcp *s = plait_container(l, struct tcp, by_port);

		if (s->state != TCP_LISTEN || s->local.port != local->port ||
		    !tcp_covers(s, local))
			continue;
		if (!plait_i_place_is_any(&s->local))
			return s;
		if (best == NULL || plait_i_place_is_ipv4(&s->local))
			best = s;
	}
	return best;
}

/* ---- ports in use -------------------------------------------------------- */

static uint64_t tcp_port_bit(uint16_t port)
{
	return UINT64_C(1) << port % 64;
}

static bool tcp_port_is_taken(const struct plait_host *h, uint16_t port)
{
	return h->sockets.taken[port / 64] & tcp_port_bit(port);
}

static void tcp_take_port(struct tcp *s)
{
	struct plait_host *h = s->base.host;
	uint16_t port = s->local.port;

	plait_list_append(tcp_port_bucket(h, port), &s->by_port);
	h->sockets.taken[port / 64] |= tcp_port_bit(port);
}

void plait_i_tcp_leave_port(struct tcp *s)
{
	struct plait_host *h = s->base.host;
	uint16_t port = s->local.port;
	struct plait_list *l, *bucket = tcp_port_bucket(h, port);

	if (!plait_list_is_linked(&s->by_port))
		return;
	plait_list_remove(&s->by_port);
	plait_list_for_each (l, bucket) {
		if (plait_container(l, struct tcp, by_port)->local.port == port)
			return;
	}
	h->sockets.taken[port / 64] &= ~tcp_port_bit(port);
}

/* ---- binding ------------------------------------------------------------- */

static bool tcp_overlaps(const struct tcp *a, const struct tcp *b)
{
	return a->local.port == b->local.port &&
	       (tcp_covers(a, &b->local) || tcp_covers(b, &a->local));
}

static bool tcp_conflicts(const struct tcp *s, const struct tcp *other)
{
	return tcp_overlaps(s, other) &&
	       (!s->reuse || !other->reuse || other->state == TCP_LISTEN);
}

static bool tcp_any_other(const struct tcp *s,
			  bool (*is)(const struct tcp *s,
				     const struct tcp *other))
{
	struct plait_list *l,
		*bucket = tcp_port_bucket(s->base.host, s->local.port);

	plait_list_for_each (l, bucket) {
		const struct tcp *other =
			plait_container(l, struct tcp, by_port);

		if (other != s && is(s, other))
			return true;
	}
	return false;
}

static bool tcp_is_in_the_way(const struct tcp *s, const struct tcp *other)
{
	return other->local.port == s->local.port && !other->port_is_shared;
}

/* A kernel that may choose takes a port that nobody has at any address. */
static bool tcp_can_bind(const struct tcp *s)
{
	return !tcp_port_is_taken(s->base.host, s->local.port);
}

static bool tcp_can_connect(const struct tcp *s)
{
	return tcp_can_bind(s) ||
	       (plait_i_tcp_find(s->base.host, &s->local, &s->remote) == NULL &&
		!tcp_any_other(s, tcp_is_in_the_way));
}

/* Tries all ports, from one on that chance has drawn. */
static bool tcp_choose_port(struct tcp *s, bool (*can)(const struct tcp *s))
{
	unsigned n = LAST_PORT - FIRST_PORT + 1;
	unsigned first =
		(unsigned)plait_i_random_below(&s->base.host->chance, n);

	for (unsigned i = 0; i < n; i++) {
		s->local.port = (uint16_t)(FIRST_PORT + (first + i) % n);
		if (can(s))
			return true;
	}
	s->local.port = 0;
	return false;
}

void plait_i_tcp_forget_ip(struct tcp *s)
{
	uint16_t port = s->local.port;

	if (s->ip_is_kept)
		return;
	plait_i_place_clear(&s->local, s->base.family);
	s->local.port = port;
}

int plait_i_tcp_bind(struct tcp *s, const struct place *at)
{
	bool any = plait_i_place_is_any(at);
	uint16_t old_port = s->local.port;

	if (!any && plait_i_host_at(s->base.host, &at->ip) != s->base.host)
		return -EADDRNOTAVAIL;
	s->local = *at;
	if (at->port == 0 ? !tcp_choose_port(s, tcp_can_bind)
			  : tcp_any_other(s, tcp_conflicts)) {
		plait_i_place_clear(&s->local, s->base.family);
		s->local.port = old_port;
		return -EADDRINUSE;
	}
	s->port_is_kept = at->port != 0;
	s->ip_is_kept = !any;
	s->port_is_shared = false;
	s->v6only |= !any && !plait_i_place_is_ipv4(at);
	tcp_take_port(s);
	return 0;
}

int plait_i_tcp_check_listen(const struct tcp *s)
{
	return tcp_any_other(s, tcp_conflicts) ? -EADDRINUSE : 0;
}

/* ---- connecting ---------------------------------------------------------- */

/* What waits out its time gives way to a socket that was told its port: it goes
   on waiting, and is not found. */
static bool tcp_replaces(const struct tcp *s)
{
	struct tcp *other =
		plait_i_tcp_find(s->base.host, &s->local, &s->remote);

	if (other != NULL && other->state == TCP_TIME_WAIT) {
		plait_list_remove(&other->by_pair);
		plait_i_tcp_leave_port(other);
		other = NULL;
	}
	return other == NULL;
}

int plait_i_tcp_join(struct tcp *s)
{
	s->peer = plait_i_host_at(s->base.host, &s->remote.ip);
	if (s->peer == NULL && !plait_i_place_is_near(&s->remote))
		return -ENETUNREACH;
	if (plait_i_place_is_any(&s->local))
		plait_i_socket_choose_ip(&s->base, &s->remote, &s->local);
	if (plait_list_is_linked(&s->by_port)) {
		if (!tcp_replaces(s))
			return -EADDRNOTAVAIL;
	} else {
		if (!tcp_choose_port(s, tcp_can_connect))
			return -EADDRNOTAVAIL;
		s->port_is_shared = true;
	}
	plait_i_tcp_join_as(s);
	return 0;
}

void plait_i_tcp_join_as(struct tcp *s)
{
	plait_list_append(
		tcp_pair_bucket(s->base.host, s->local.port, s->remote.port),
		&s->by_pair);
	if (!plait_list_is_linked(&s->by_port))
		tcp_take_port(s);
}

void plait_i_tcp_part(struct tcp *s)
{
	plait_list_remove(&s->by_pair);
	if (!s->port_is_kept)
		plait_i_tcp_leave_port(s);
}
