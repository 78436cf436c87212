/*
 * The places of UDP sockets: who may bind which, and which socket a datagram is
 * for.  UDP's ports have nothing to do with TCP's.
 */
#include <errno.h>

#include "lib/chance.h"
#include "reactor/simulation/udp.h"

/* The ports that a kernel chooses itself. */
enum { FIRST_PORT = 32768, LAST_PORT = 60999 };

struct plait_list *plait_i_udp_port_bucket(struct plait_host *h, uint16_t port)
{
	return &h->sockets.udp_ports[port % SOCKET_BUCKETS];
}

/* Whether s, from where it is bound, has to do with that address. */
static bool udp_covers(const struct udp *s, const struct place *p)
{
	if (!plait_i_place_is_any(&s->local))
		return place_same_ip(&s->local, p);
	if (plait_i_place_is_ipv4(&s->local))
		return plait_i_place_is_ipv4(p);
	return !s->v6only || !plait_i_place_is_ipv4(p);
}

/* Of sockets that share a port the n-th takes what comes from there in one of n
   cases.  It is a hash that decides, as on Linux: what one sender sends always
   comes to the same socket. */
static bool udp_takes(unsigned n, const struct place *remote)
{
	uint64_t state = n * UINT64_C(65536) + remote->port;

	for (unsigned i = 0; i < sizeof(remote->ip); i++)
		state = state * 31 + remote->ip.s6_addr[i];
	return chance_next(&state) % n == 0;
}

/* ---- finding ------------------------------------------------------------- */

/*
 * How near s is to a datagram; 0: it is not for s.  As on Linux, an address
 * counts more than a peer, and a peer more than the family.
 */
static unsigned udp_score(const struct udp *s, const struct place *local,
			  const struct place *remote)
{
	bool same_family =
		(s->base.family == AF_INET) == plait_i_place_is_ipv4(local);

	if (s->local.port != local->port || !udp_covers(s, local))
		return 0;
	if (s->is_connected &&
	    (!place_same_ip(&s->remote, remote) ||
	     (s->remote.port != 0 && s->remote.port != remote->port)))
		return 0;
	return 1 + same_family + 2 * s->is_connected +
	       2 * (s->is_connected && s->remote.port != 0) +
	       8 * !plait_i_place_is_any(&s->local);
}

bool plait_i_udp_is_for(const struct udp *s, const struct place *local,
			const struct place *remote)
{
	return udp_score(s, local, remote) > 0;
}

struct udp *plait_i_udp_find(struct plait_host *h, const struct place *local,
			     const struct place *remote)
{
	struct plait_list *l, *bucket = plait_i_udp_port_bucket(h, local->port);
	struct udp *best = NULL;
	unsigned most = 0, n = 0;

	plait_list_for_each (l, bucket) {
		struct udp *s = plait_container(l, struct udp, by_port);
		unsigned score = udp_score(s, local, remote);

		if (score < most || score == 0)
			continue;
		n = score > most ? 1 : n + s->reuse_port;
		if (score > most || (s->reuse_port && udp_takes(n, remote)))
			best = s;
		most = score;
	}
	return best;
}

/* ---- binding ------------------------------------------------------------- */

/* A socket for both families has no IPv4 address when it has connected by IPv6,
   and still keeps its port from who wants all IPv4 addresses. */
static bool udp_is_in_the_way(const struct udp *s, const struct udp *other)
{
	return udp_covers(s, &other->local) ||
	       (!s->v6only && plait_i_place_is_ipv4(&other->local) &&
		!plait_i_place_is_ipv4(&s->local) &&
		plait_i_place_is_any(&other->local));
}

static bool udp_conflicts(const struct udp *s, const struct udp *other)
{
	return other->local.port == s->local.port &&
	       (!s->reuse || !other->reuse) &&
	       (!s->reuse_port || !other->reuse_port) &&
	       (udp_is_in_the_way(s, other) || udp_is_in_the_way(other, s));
}

static bool udp_is_free(const struct udp *s)
{
	struct plait_list *l,
		*bucket = plait_i_udp_port_bucket(s->base.host, s->local.port);

	plait_list_for_each (l, bucket) {
		if (udp_conflicts(s, plait_container(l, struct udp, by_port)))
			return false;
	}
	return true;
}

/* A kernel that may choose takes a port that nobody has at any address. */
static bool udp_is_unused(const struct udp *s)
{
	struct plait_list *l,
		*bucket = plait_i_udp_port_bucket(s->base.host, s->local.port);

	plait_list_for_each (l, bucket) {
		if (plait_container(l, struct udp, by_port)->local.port ==
		    s->local.port)
			return false;
	}
	return true;
}

/* Tries all ports, from one on that chance has drawn. */
static bool udp_choose_port(struct udp *s)
{
	unsigned n = LAST_PORT - FIRST_PORT + 1;
	unsigned first = (unsigned)plait_i_random_below(
		&s->base.host->sockets.udp_chance, n);

	for (unsigned i = 0; i < n; i++) {
		s->local.port = (uint16_t)(FIRST_PORT + (first + i) % n);
		if (udp_is_unused(s))
			return true;
	}
	s->local.port = 0;
	return false;
}

/* The last who came is found first. */
static void udp_take_port(struct udp *s)
{
	struct plait_list *bucket =
		plait_i_udp_port_bucket(s->base.host, s->local.port);

	plait_list_insert(bucket->next, &s->by_port);
}

int plait_i_udp_bind(struct udp *s, const struct place *at)
{
	bool any = plait_i_place_is_any(at), was_v6only = s->v6only;

	if (!any && !plait_i_udp_is_group(at) &&
	    plait_i_host_at(s->base.host, &at->ip) != s->base.host)
		return -EADDRNOTAVAIL;
	if (plait_list_is_linked(&s->by_port))
		return -EINVAL;
	s->local = *at;
	s->v6only |= !any && !plait_i_place_is_ipv4(at);
	if (at->port == 0 ? !udp_choose_port(s) : !udp_is_free(s)) {
		plait_i_place_clear(&s->local, s->base.family);
		s->v6only = was_v6only;
		return -EADDRINUSE;
	}
	s->port_is_kept = at->port != 0;
	s->ip_is_kept = !any;
	udp_take_port(s);
	return 0;
}

int plait_i_udp_autobind(struct udp *s)
{
	if (plait_list_is_linked(&s->by_port))
		return 0;
	if (!udp_choose_port(s))
		return -EAGAIN;
	udp_take_port(s);
	return 0;
}

void plait_i_udp_leave_port(struct udp *s)
{
	plait_list_remove(&s->by_port);
}
