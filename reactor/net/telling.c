/*
 * What a transport tells its protocol: the callbacks, in their order, each
 * called here and nowhere else.
 *
 * A callback may do anything to the transport except free it, so the code that
 * calls a callback has to look at the state again.  A callback may also return
 * in a child that it has forked, where the rest belongs to the parent.  Each
 * call is made between plait_i_loop_enter() and plait_i_loop_leave(), so that
 * what the callback asks for is settled when it has returned.
 */
#include <stdlib.h>

#include "lib/exception.h"
#include "reactor/task/scope.h"
#include "reactor/net/protocol.h"
#include "reactor/net/transport.h"

/* Gives what leave() takes. */
static inline bool tell_enter(struct transport *t)
{
	bool was = t->inside;

#ifdef PLAIT_VERIFY
	plait_assert(plait_i_loop_is_entered(transport_reactor(t)));
#endif
	t->inside = true;
	return was;
}

static inline void tell_leave(struct transport *t, bool was)
{
	t->inside = was;
}

OUT_OF_LINE void plait_i_transport_connect(struct transport *t,
					   struct plait_protocol *p)
{
	bool was;

	t->base.protocol = p;
	p->transport = &t->base;
	p->connected = true;
	trace_note(TRACE_PROTOCOL, p, &t->base, NULL, 0);
	was = tell_enter(t);
	if (p->ops->connection_made != NULL)
		p->ops->connection_made(p);
	exception_barrier();
	tell_leave(t, was);
}

OUT_OF_LINE void plait_i_transport_data(struct transport *t, const void *data,
					size_t len)
{
	struct plait_protocol *p = t->base.protocol;
	bool was;

	if (p->ops->data_received == NULL)
		return;
	was = tell_enter(t);
	p->ops->data_received(p, data, len);
	exception_barrier();
	tell_leave(t, was);
}

OUT_OF_LINE void plait_i_transport_fds(struct transport *t, const int *fds,
				       size_t n)
{
	struct plait_protocol *p = t->base.protocol;
	bool was = tell_enter(t);

	p->ops->fds_received(p, fds, n);
	exception_barrier();
	tell_leave(t, was);
}

OUT_OF_LINE bool plait_i_transport_tell_read_lost(struct transport *t)
{
	struct plait_protocol *p = t->base.protocol;
	bool was;

	if (p == NULL || p->ops->read_connection_lost == NULL)
		return false;
	was = tell_enter(t);
	p->ops->read_connection_lost(p);
	exception_barrier();
	tell_leave(t, was);
	return true;
}

OUT_OF_LINE void plait_i_transport_tell_write_lost(struct transport *t)
{
	struct plait_protocol *p = t->base.protocol;
	bool was;

	if (p == NULL || p->ops->write_connection_lost == NULL)
		return;
	was = tell_enter(t);
	p->ops->write_connection_lost(p);
	exception_barrier();
	tell_leave(t, was);
}

void plait_i_transport_cancel_scope(struct transport *t)
{
	const char *why = plait_failure_kind(t->why)->name;

	for (; t != NULL && !loop_is_forked(transport_reactor(t));
	     t = transport_above(t))
		plait_scope_cancel(transport_scope(t), why);
}

static OUT_OF_LINE void
transport_tell_protocol_lost(struct transport *t,
			     const struct plait_failure *why)
{
	struct plait_protocol *p = t->base.protocol;

	/* The end of the producer may have forked. */
	if (p == NULL || loop_is_forked(transport_reactor(t)))
		return;
	p->connected = false;
	trace_note(TRACE_PROTOCOL_LOST, p, &t->base, NULL, 0);
	plait_i_scope_cancel(transport_scope(t), plait_failure_kind(why)->name,
			     PLAIT_HERE);
	if (p->ops->connection_lost != NULL &&
	    !loop_is_forked(transport_reactor(t)))
		p->ops->connection_lost(p, why);
	exception_barrier();
}

/* A producer registered in done() may be a part of the protocol. */
static void transport_end_protocol(struct transport *t)
{
	struct plait_protocol *p = t->base.protocol;

	t->base.protocol = NULL;
	if (p == NULL)
		return;
	plait_i_protocol_done(p);
	if (!loop_is_forked(transport_reactor(t)))
		plait_i_transport_stop_producer(t);
	plait_i_protocol_release(p);
}

/* The transport makes nothing any more, and will be freed soon. */
static void transport_stop_feeding(struct transport *t)
{
	while (t->extra != NULL && t->extra->fed != NULL)
		plait_transport_unregister_producer(&t->extra->fed->base);
}

/*
 * Each callback may return in a child that it has forked: the rest belongs to
 * the parent, and the owner of t may be freed, if the child has freed the
 * reactor.
 */
static void transport_tell_end(struct transport *t,
			       const struct plait_failure *why)
{
	struct plait_reactor *r = transport_reactor(t);
	struct transport_owner *owner;

	/* A producer may have been registered in the callback. */
	plait_i_transport_stop_producer(t);
	/* Before the owner is told, because the factory may be freed then. */
	if (!loop_is_forked(r))
		transport_end_protocol(t);
	if (!loop_is_forked(r) && t->extra != NULL)
		plait_i_scope_end(&t->extra->scope, PLAIT_HERE);
	if (loop_is_forked(r))
		return;
	owner = t->owner;
	t->owner = NULL;
	if (owner != NULL)
		owner->lost(owner, why);
}

void plait_i_transport_tell_lost(struct transport *t,
				 const struct plait_failure *why,
				 transport_over *over)
{
	struct plait_reactor *r = transport_reactor(t);
	bool was;

	if (t->lost)
		return;
	t->lost = true;
	t->disconnecting = true;
	was = tell_enter(t);
	transport_stop_feeding(t);
	plait_i_transport_stop_producer(t);
	transport_tell_protocol_lost(t, why);
	if (transport_above(t) != NULL && !loop_is_forked(r))
		over(transport_above(t), why);
	/* Not in a child that was forked meanwhile. */
	if (!loop_is_forked(r))
		transport_tell_end(t, why);
	tell_leave(t, was);
}

static void transport_abandon_extra(struct transport_extra *e)
{
	e->producer = NULL;
	e->fed = e->next_fed = NULL;
	loop_task_cancel(&e->producing);
	plait_i_scope_abandon(&e->scope);
}

void plait_i_transport_abandon(struct transport *t)
{
	struct plait_protocol *p = t->base.protocol;

	t->lost = true;
	t->disconnecting = true;
	if (t->owner != NULL && t->owner->abandon != NULL)
		t->owner->abandon(t->owner);
	t->owner = NULL;
	if (t->extra != NULL)
		transport_abandon_extra(t->extra);
	if (p == NULL)
		return;
	p->transport = NULL;
	p->connected = false;
	/* Only the library knows the transport above: it is buried with this
	   one, because it may be in a callback. */
	if (t->extra == NULL || t->extra->above == NULL)
		t->base.protocol = NULL;
}
