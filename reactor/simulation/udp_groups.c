/*
 * Groups: which sockets have joined which, and what is sent to a group.
 *
 * A host has two interfaces, as control messages number them: the loopback and
 * the network that all hosts share.  What is sent to a group from an address of
 * the loopback stays at home; all else goes to every host.  A datagram to a
 * group that nobody wants vanishes, and nobody is told.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/kernel/address.h"
#include "reactor/simulation/udp.h"

/* A group that a socket has joined on an interface; and if it has a source, one
   of those that the socket wants to hear. */
struct udp_membership {
	struct plait_list link;
	struct place group, source;
	unsigned index;
	bool has_source;
};

/* What an option for a group says. */
struct group_wish {
	struct place group, source;
	unsigned index;
	bool has_source;
};

bool plait_i_udp_is_group(const struct place *p)
{
	return plait_i_place_is_ipv4(p) ? p->ip.s6_addr[12] >> 4 == 14
					: IN6_IS_ADDR_MULTICAST(&p->ip);
}

static struct udp_membership *membership_of(struct plait_list *l)
{
	return plait_container(l, struct udp_membership, link);
}

static bool membership_is_for(const struct udp_membership *m,
			      const struct place *group, unsigned index)
{
	return m->index == index && place_same_ip(&m->group, group);
}

/* The first of s for that group on that interface, or NULL. */
static struct udp_membership *
membership_find(const struct udp *s, const struct place *group, unsigned index)
{
	struct plait_list *l;

	plait_list_for_each (l, &s->groups) {
		if (membership_is_for(membership_of(l), group, index))
			return membership_of(l);
	}
	return NULL;
}

static struct udp_membership *membership_with_source(const struct udp *s,
						     const struct group_wish *w)
{
	struct plait_list *l;

	plait_list_for_each (l, &s->groups) {
		struct udp_membership *m = membership_of(l);

		if (membership_is_for(m, &w->group, w->index) &&
		    m->has_source && place_same_ip(&m->source, &w->source))
			return m;
	}
	return NULL;
}

static void membership_end(struct udp_membership *m)
{
	plait_list_remove(&m->link);
	free(m);
}

void plait_i_udp_leave_all(struct udp *s)
{
	struct plait_list *l;

	while ((l = plait_list_first(&s->groups)) != NULL)
		membership_end(membership_of(l));
}

/* ---- joining and leaving ------------------------------------------------- */

static int group_add(struct udp *s, const struct group_wish *w)
{
	struct udp_membership *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return -ENOBUFS;
	m->group = w->group;
	m->source = w->source;
	m->index = w->index;
	m->has_source = w->has_source;
	plait_list_append(&s->groups, &m->link);
	return 0;
}

static int group_join(struct udp *s, const struct group_wish *w)
{
	if (membership_find(s, &w->group, w->index) != NULL)
		return -EADDRINUSE;
	return group_add(s, w);
}

/* Who has heard all sources hears this one alone from now on. */
static int group_join_source(struct udp *s, const struct group_wish *w)
{
	struct udp_membership *m = membership_find(s, &w->group, w->index);

	if (membership_with_source(s, w) != NULL)
		return -EADDRNOTAVAIL;
	if (m != NULL && !m->has_source)
		membership_end(m);
	return group_add(s, w);
}

static int group_leave(struct udp *s, const struct group_wish *w)
{
	struct udp_membership *m = membership_find(s, &w->group, w->index);

	if (m == NULL)
		return -EADDRNOTAVAIL;
	for (; m != NULL; m = membership_find(s, &w->group, w->index))
		membership_end(m);
	return 0;
}

static int group_leave_source(struct udp *s, const struct group_wish *w)
{
	struct udp_membership *m = membership_with_source(s, w);

	if (m == NULL)
		return membership_find(s, &w->group, w->index) == NULL
			       ? -EINVAL
			       : -EADDRNOTAVAIL;
	membership_end(m);
	return 0;
}

static int group_read_place(struct place *ret,
			    const struct sockaddr_storage *at)
{
	union kernel_address a = { .room = *at };

	return plait_i_place_read(ret, at->ss_family, &a.any, sizeof(a));
}

/* The system chooses an interface for 0: that of the network. */
static int group_read(struct group_wish *ret,
		      const struct group_source_req *req, bool has_source)
{
	int err = group_read_place(&ret->group, &req->gsr_group);

	if (err == 0 && has_source)
		err = group_read_place(&ret->source, &req->gsr_source);
	if (err < 0)
		return err;
	if (!plait_i_udp_is_group(&ret->group))
		return -EINVAL;
	ret->has_source = has_source;
	ret->index =
		req->gsr_interface != 0 ? req->gsr_interface : UDP_ETHERNET;
	return ret->index <= UDP_ETHERNET ? 0 : -ENODEV;
}

/* Both forms of the option begin in the same way. */
int plait_i_udp_set_group(struct udp *s, int option, const void *value,
			  socklen_t len)
{
	bool has_source = option == MCAST_JOIN_SOURCE_GROUP ||
			  option == MCAST_LEAVE_SOURCE_GROUP;
	size_t size = has_source ? sizeof(struct group_source_req)
				 : sizeof(struct group_req);
	struct group_source_req req = { .gsr_interface = 0 };
	struct group_wish w = { .index = 0 };
	int err;

	if (len < size)
		return -EINVAL;
	memcpy(&req, value, size);
	err = group_read(&w, &req, has_source);
	if (err < 0)
		return err;
	switch (option) {
	case MCAST_JOIN_GROUP:
		return group_join(s, &w);
	case MCAST_LEAVE_GROUP:
		return group_leave(s, &w);
	case MCAST_JOIN_SOURCE_GROUP:
		return group_join_source(s, &w);
	default:
		return group_leave_source(s, &w);
	}
}

/* ---- hearing ------------------------------------------------------------- */

static bool udp_is_member(const struct plait_list *by_port,
			  const struct place *group, unsigned index)
{
	const struct udp *s =
		plait_container(by_port, const struct udp, by_port);

	return membership_find(s, group, index) != NULL;
}

/* Whether a socket of the host has joined the group there. */
static bool host_has_joined(struct plait_host *h, const struct place *group,
			    unsigned index)
{
	struct plait_list *l;

	for (unsigned i = 0; i < SOCKET_BUCKETS; i++) {
		plait_list_for_each (l, &h->sockets.udp_ports[i]) {
			if (udp_is_member(l, group, index))
				return true;
		}
	}
	return false;
}

/* As on Linux, a socket also hears groups that others have joined, unless it
   has said that it does not want that. */
bool plait_i_udp_hears(const struct udp *s, const struct udp_datagram *g)
{
	unsigned index = udp_interface(g);
	bool is_member = false;
	struct plait_list *l;

	plait_list_for_each (l, &s->groups) {
		const struct udp_membership *m = membership_of(l);

		if (!membership_is_for(m, &g->to, index))
			continue;
		is_member = true;
		if (!m->has_source || place_same_ip(&m->source, &g->from))
			return true;
	}
	return !is_member && !udp_options_of(s, &g->to)->own_groups &&
	       host_has_joined(s->base.host, &g->to, index);
}
