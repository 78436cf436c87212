/*
 * The guests of a port: connections that it has accepted, if it counts them.
 *
 * A guest stays until its protocol was told that the connection is lost; then
 * there is room for another.  So a port that asks for room gets it from the
 * loop, never from inside: plait_i_guest_make_room() only begins to end
 * somebody, and says whether that is so.
 *
 * The idlest is looked for among all guests only when it is wanted.  So a
 * connection does no more for each byte that comes or goes than to take the
 * next number of a count.
 */
#include <errno.h>
#include <stdlib.h>

#include "reactor/net/guest.h"

struct guest {
	struct transport_owner owner;
	struct plait_port *port; /* NULL: it has gone */
	struct plait_transport *transport;
	struct plait_list link;
};

static struct guest *guest_of(struct plait_list *l)
{
	return plait_container(l, struct guest, link);
}

static void guest_free(struct guest *g)
{
	if (plait_list_is_linked(&g->link) && g->port != NULL)
		g->port->n_guests--;
	plait_list_remove(&g->link);
	free(g);
}

static void guest_lost(struct transport_owner *o,
		       const struct plait_failure *why)
{
	struct guest *g = plait_container(o, struct guest, owner);
	struct plait_port *p = g->port;

	guest_free(g);
	if (p != NULL && p->open)
		p->ops->room(p);
}

static void guest_abandon(struct transport_owner *o)
{
	guest_free(plait_container(o, struct guest, owner));
}

static bool guest_has_hook(const struct plait_port *p)
{
	return p->factory->ops != NULL && p->factory->ops->port_full != NULL;
}

static bool guest_counts(const struct plait_port *p)
{
	return p->max_connections > 0 || p->shed_idle || guest_has_hook(p);
}

int plait_i_guest_new(struct plait_port *p, struct transport_owner **ret)
{
	struct guest *g;

	*ret = NULL;
	if (!guest_counts(p))
		return 0;
	g = malloc(sizeof(*g));
	if (g == NULL)
		return -ENOMEM;
	*g = (struct guest){
		.owner.lost = guest_lost,
		.owner.abandon = guest_abandon,
		.port = p,
	};
	*ret = &g->owner;
	return 0;
}

void plait_i_guest_drop(struct transport_owner *o)
{
	if (o != NULL)
		guest_free(plait_container(o, struct guest, owner));
}

void plait_i_guest_enter(struct transport_owner *o, struct plait_transport *t)
{
	struct guest *g;

	if (o == NULL)
		return;
	g = plait_container(o, struct guest, owner);
	g->transport = t;
	g->port->n_guests++;
	plait_list_append(&g->port->guests, &g->link);
}

/* True if a guest is about to be lost. */
static bool guest_is_leaving(const struct plait_port *p)
{
	struct plait_list *l;

	plait_list_for_each (l, &p->guests) {
		if (guest_of(l)->transport->aborted)
			return true;
	}
	return false;
}

static struct plait_transport *guest_idlest(const struct plait_port *p)
{
	struct plait_transport *t, *ret = NULL;
	struct plait_list *l;

	plait_list_for_each (l, &p->guests) {
		t = guest_of(l)->transport;
		if (ret == NULL || t->active < ret->active)
			ret = t;
	}
	return ret;
}

static void guest_tell_factory(struct plait_port *p)
{
	struct plait_transport *t = guest_idlest(p);

	p->factory->ops->port_full(p->factory, p,
				   t != NULL ? t->protocol : NULL);
}

static void guest_shed_idlest(struct plait_port *p)
{
	struct plait_transport *t = guest_idlest(p);
	plait_value v;

	if (t == NULL)
		return;
	v = plait_fail(&plait_error_connection_aborted,
		       "idle longest when another came");
	plait_i_transport_shed(t, plait_value_failure(&v));
}

bool plait_i_guest_make_room(struct plait_port *p)
{
	if (guest_is_leaving(p))
		return true;
	if (guest_has_hook(p))
		guest_tell_factory(p);
	/* The hook may have stopped the port, or forked. */
	if (!p->open || loop_is_forked(p->reactor))
		return false;
	if (p->shed_idle && !guest_is_leaving(p))
		guest_shed_idlest(p);
	return guest_is_leaving(p);
}

bool plait_i_guest_has_room(const struct plait_port *p)
{
	return p->max_connections == 0 || p->n_guests < p->max_connections;
}

void plait_i_guest_forget_port(struct plait_port *p)
{
	struct plait_list *l;

	while ((l = plait_list_first(&p->guests)) != NULL) {
		guest_of(l)->port = NULL;
		plait_list_remove(l);
	}
}
