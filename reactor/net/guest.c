/*
 * The guests of a port: connections that it has accepted, if it counts them.
 *
 * A guest stays until its protocol was told that the connection is lost; then
 * there is room for another guest.  So a port that asks for room gets it later,
 * from the loop: plait_i_guest_make_room() only begins to end a guest, and
 * returns whether it did.
 *
 * The idlest guest is looked for only when a port needs room.  So for each
 * chunk that comes or goes a connection only takes the next number of a count.
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/chance.h"
#include "reactor/net/guest.h"

struct guest {
	struct transport_owner owner;
	struct acceptor *acceptor; /* NULL: it has gone */
	struct plait_transport *transport;
	struct plait_list link;
};

static struct guest *guest_of(struct plait_list *l)
{
	return plait_container(l, struct guest, link);
}

static void guest_free(struct guest *g)
{
	if (plait_list_is_linked(&g->link) && g->acceptor != NULL)
		g->acceptor->n_guests--;
	plait_list_remove(&g->link);
	free(g);
}

static void guest_lost(struct transport_owner *o,
		       const struct plait_failure *why)
{
	struct guest *g = plait_container(o, struct guest, owner);
	struct acceptor *a = g->acceptor;

	guest_free(g);
	if (a != NULL && a->port.open)
		acceptor_ops(a)->room(a);
}

static void guest_abandon(struct transport_owner *o)
{
	guest_free(plait_container(o, struct guest, owner));
}

static bool guest_has_hook(const struct acceptor *a)
{
	return a->factory->ops != NULL && a->factory->ops->port_full != NULL;
}

static bool guest_counts(const struct acceptor *a)
{
	return a->max_connections > 0 || a->shed_idle || guest_has_hook(a);
}

int plait_i_guest_new(struct acceptor *a, struct transport_owner **ret)
{
	struct guest *g;

	*ret = NULL;
	if (!guest_counts(a))
		return 0;
	g = malloc(sizeof(*g));
	if (g == NULL)
		return -ENOMEM;
	*g = (struct guest){
		.owner.lost = guest_lost,
		.owner.abandon = guest_abandon,
		.acceptor = a,
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
	g->acceptor->n_guests++;
	plait_list_append(&g->acceptor->guests, &g->link);
}

/* Is true if a guest is about to be lost. */
static bool guest_is_leaving(const struct acceptor *a)
{
	struct plait_list *l;
	struct transport *t;

	plait_list_for_each (l, &a->guests) {
		/* The transports above it are aborted first. */
		t = transport_top(transport_of(guest_of(l)->transport));
		if (t->aborted)
			return true;
	}
	return false;
}

static struct plait_transport *guest_idlest(const struct acceptor *a)
{
	struct plait_transport *t, *ret = NULL;
	struct plait_list *l;

	plait_list_for_each (l, &a->guests) {
		t = guest_of(l)->transport;
		if (ret == NULL ||
		    transport_of(t)->moved < transport_of(ret)->moved)
			ret = t;
	}
	return ret;
}

static void guest_shed_idlest(struct acceptor *a)
{
	struct plait_transport *t = guest_idlest(a);
	plait_value v;

	if (t == NULL)
		return;
	REACHED("the idlest guest is shed");
	v = plait_fail(&plait_error_connection_aborted,
		       "idle longest when another came");
	plait_i_transport_shed(t, plait_value_failure(&v));
}

bool plait_i_guest_make_room(struct acceptor *a)
{
	struct plait_transport *t;

	if (guest_is_leaving(a))
		return true;
	if (guest_has_hook(a)) {
		t = guest_idlest(a);
		/* If protocols wrap each other, the factory gets the one that
		   it has built. */
		if (t != NULL)
			t = &transport_top(transport_of(t))->base;
		a->factory->ops->port_full(a->factory, &a->port,
					   t != NULL ? t->protocol : NULL);
	}
	/* The hook may have stopped the port, or forked. */
	if (!a->port.open || loop_is_forked(a->port.reactor))
		return false;
	if (a->shed_idle && !guest_is_leaving(a))
		guest_shed_idlest(a);
	return guest_is_leaving(a);
}

bool plait_i_guest_has_room(const struct acceptor *a)
{
	return a->max_connections == 0 || a->n_guests < a->max_connections;
}

void plait_i_guest_forget_acceptor(struct acceptor *a)
{
	struct plait_list *l;

	while ((l = plait_list_first(&a->guests)) != NULL) {
		guest_of(l)->acceptor = NULL;
		plait_list_remove(l);
	}
}
