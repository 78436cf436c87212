/*
 * Links are kept as ways: each host has one to each host, with the link that
 * is in force, so that a packet finds its link without a search.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base.h"
#include "reactor/simulation/world.h"

enum { NS_PER_S = 1000000000 };

/* What becomes of a packet, drawn when it is sent. */
enum wire_fate { WIRE_ARRIVES, WIRE_IS_RESET, WIRE_IS_LOST, WIRE_IS_REFUSED };

struct wire_path {
	struct plait_link link;
	int64_t free_at; /* when the last packet has left, if there is a rate */
};

/* ---- ways ---------------------------------------------------------------- */

static struct wire_path *wire_path_of(const struct plait_host *from,
				      const struct plait_host *to)
{
	return &from->paths.to[to->number];
}

/* Returns 0 or -ENOMEM. */
static int wire_make_room(struct wire_paths *paths, size_t n)
{
	struct wire_path *to;

	if (n <= paths->room)
		return 0;
	to = realloc(paths->to, 2 * n * sizeof(*to));
	if (to == NULL)
		return -ENOMEM;
	for (size_t i = paths->room; i < 2 * n; i++)
		to[i] = (struct wire_path){ .free_at = 0 };
	paths->to = to;
	paths->room = 2 * n;
	return 0;
}

int plait_i_wire_add_host(struct plait_host *h)
{
	struct plait_simulation *s = h->simulation;
	size_t n = (size_t)h->number + 1;
	struct plait_list *l;

	h->paths.out = h->paths.in = s->link;
	if (wire_make_room(&h->paths, n) < 0)
		return -ENOMEM;
	plait_list_for_each (l, &s->hosts) {
		struct plait_host *other =
			plait_container(l, struct plait_host, link);

		if (wire_make_room(&other->paths, n) < 0)
			return -ENOMEM;
		wire_path_of(other, h)->link = other->paths.out;
		wire_path_of(h, other)->link = other->paths.in;
	}
	return 0;
}

void plait_i_wire_remove_host(struct plait_host *h)
{
	free(h->paths.to);
	h->paths.to = NULL;
}

/* To all hosts, or to one. */
static void wire_set_links_from(struct plait_host *from, struct plait_host *to,
				const struct plait_link *link)
{
	struct plait_list *l;

	if (to == NULL)
		from->paths.out = *link;
	plait_list_for_each (l, &from->simulation->hosts) {
		struct plait_host *other =
			plait_container(l, struct plait_host, link);

		if (other != from && (to == NULL || to == other))
			wire_path_of(from, other)->link = *link;
	}
}

void plait_i_wire_set_link(struct plait_simulation *s, struct plait_host *from,
			   struct plait_host *to, const struct plait_link *link)
{
	struct plait_list *l;

	if (from == NULL && to == NULL)
		s->link = *link;
	plait_list_for_each (l, &s->hosts) {
		struct plait_host *h =
			plait_container(l, struct plait_host, link);

		if (from == NULL && (to == NULL || to == h))
			h->paths.in = *link;
		if (from == NULL || from == h)
			wire_set_links_from(h, to, link);
	}
}

/* ---- packets ------------------------------------------------------------- */

static int64_t wire_later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t wire_nanoseconds(double seconds)
{
	double ns = seconds * NS_PER_S;

	return ns < (double)(INT64_MAX / 4) ? (int64_t)ns : INT64_MAX / 4;
}

/* When the last byte has left: the packets of a way follow each other. */
static int64_t wire_leave(struct wire_path *path, int64_t now, size_t size)
{
	if (!(path->link.rate > 0))
		return now;
	path->free_at = wire_later(path->free_at, now) +
			wire_nanoseconds((double)size / path->link.rate);
	return path->free_at;
}

/* In how many pieces it travels: a datagram that is too large is cut, and TCP
   makes segments that fit. */
static size_t wire_pieces(const struct wire_packet *p,
			  const struct plait_link *link)
{
	if (!p->is_datagram || link->mtu == 0)
		return 1;
	return (p->size + link->mtu - 1) / link->mtu;
}

/* If one of its pieces is lost, it is lost. */
static bool wire_is_lost(const struct wire_packet *p,
			 const struct plait_link *link,
			 struct random_stream *chance)
{
	size_t n = wire_pieces(p, link);
	bool lost = link->down;

	for (size_t i = 0; i < n && !lost; i++)
		lost = plait_i_random_chance(chance, link->loss);
	return lost;
}

static enum wire_fate wire_draw_fate(const struct wire_packet *p,
				     const struct plait_link *link,
				     struct random_stream *chance)
{
	if (link->unreachable)
		return WIRE_IS_REFUSED;
	if (wire_is_lost(p, link, chance))
		return WIRE_IS_LOST;
	return !p->is_datagram && plait_i_random_chance(chance, link->reset)
		       ? WIRE_IS_RESET
		       : WIRE_ARRIVES;
}

static int64_t wire_jitter(const struct plait_link *link,
			   struct random_stream *chance)
{
	return link->jitter > 0 ? wire_nanoseconds(link->jitter *
						   plait_i_random_share(chance))
				: 0;
}

static void wire_end(struct future_event *e)
{
	struct wire_packet *p = plait_container(e, struct wire_packet, event);
	struct plait_simulation *s = p->from->simulation;
	int fate = p->to->down && p->fate != WIRE_IS_REFUSED ? WIRE_IS_LOST
							     : p->fate;

	plait_i_record(s, "packet ends", p->from->number << 16 | p->to->number,
		       (uint64_t)fate);
	if (fate == WIRE_IS_LOST)
		p->ops->lost(p);
	else if (fate == WIRE_IS_REFUSED)
		p->ops->refused(p, EHOSTUNREACH);
	else
		p->ops->arrived(p, fate == WIRE_IS_RESET);
}

static int64_t wire_send_home(struct wire_packet *p, int64_t not_before)
{
	struct plait_simulation *s = p->from->simulation;
	int64_t when = wire_later(s->now, not_before);

	p->fate = WIRE_ARRIVES;
	plait_i_future_plan(&s->future, &p->event, when);
	return when;
}

int64_t plait_i_wire_send(struct wire_packet *p, int64_t not_before)
{
	struct plait_simulation *s = p->from->simulation;
	struct random_stream *chance = &p->from->paths.chance;
	struct wire_path *path = wire_path_of(p->from, p->to);
	int64_t when;

	p->event.happen = wire_end;
	if (p->from == p->to)
		return wire_send_home(p, not_before);
	p->fate = wire_draw_fate(p, &path->link, chance);
	when = wire_leave(path, s->now, p->size) +
	       wire_nanoseconds(path->link.latency) +
	       wire_jitter(&path->link, chance);
	when = wire_later(when, not_before);
	plait_i_future_plan(&s->future, &p->event, when);
	return when;
}

/* What a host sends to itself travels in one piece, at once, and once. */
static const struct plait_link *wire_link(const struct plait_host *from,
					  const struct plait_host *to)
{
	static const struct plait_link perfect;

	return from == to ? &perfect : &wire_path_of(from, to)->link;
}

size_t plait_i_wire_mtu(const struct plait_host *from,
			const struct plait_host *to)
{
	size_t mtu = wire_link(from, to)->mtu;

	return mtu > 0 ? mtu : SIZE_MAX;
}

bool plait_i_wire_doubles(struct plait_host *from, const struct plait_host *to)
{
	return plait_i_random_chance(&from->paths.chance,
				     wire_link(from, to)->duplicate);
}

double plait_i_wire_backlog(const struct plait_host *from,
			    const struct plait_host *to)
{
	double rate = wire_link(from, to)->rate;
	int64_t now = from->simulation->now;

	if (!(rate > 0) || wire_path_of(from, to)->free_at <= now)
		return 0;
	return (double)(wire_path_of(from, to)->free_at - now) * rate /
	       NS_PER_S;
}

int64_t plait_i_wire_drained(const struct plait_host *from,
			     const struct plait_host *to, size_t most)
{
	double rate = wire_link(from, to)->rate;

	if (!(plait_i_wire_backlog(from, to) > (double)most))
		return from->simulation->now;
	return wire_path_of(from, to)->free_at -
	       wire_nanoseconds((double)most / rate);
}

void plait_i_wire_forget(struct wire_packet *p)
{
	plait_i_future_cancel(&p->from->simulation->future, &p->event);
}

/* ---- addresses ----------------------------------------------------------- */

static struct plait_host *wire_host_by_number(const struct plait_simulation *s,
					      uint32_t number)
{
	struct plait_list *l;

	plait_list_for_each (l, &s->hosts) {
		struct plait_host *h =
			plait_container(l, struct plait_host, link);

		if (h->number == number)
			return h;
	}
	return NULL;
}

static struct plait_host *wire_host_at_ipv4(struct plait_host *h, uint32_t ip)
{
	if (ip >> 24 == 127 || ip == 0)
		return h;
	return ip >> 24 == 10
		       ? wire_host_by_number(h->simulation, ip & 0xffffff)
		       : NULL;
}

static uint32_t wire_word(const unsigned char *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
	       (uint32_t)bytes[2] << 8 | bytes[3];
}

struct plait_host *plait_i_host_at(struct plait_host *h,
				   const struct in6_addr *ip)
{
	static const unsigned char prefix[12] = { 0xfd };
	uint32_t last = wire_word(&ip->s6_addr[12]);

	if (IN6_IS_ADDR_LOOPBACK(ip) || IN6_IS_ADDR_UNSPECIFIED(ip))
		return h;
	if (IN6_IS_ADDR_V4MAPPED(ip))
		return wire_host_at_ipv4(h, last);
	return memcmp(ip->s6_addr, prefix, sizeof(prefix)) == 0
		       ? wire_host_by_number(h->simulation, last)
		       : NULL;
}
