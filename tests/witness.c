/*
 * A witness: see witness.h.
 *
 * It is the protocol of the connection, and calls the inner protocol itself.
 * The inner protocol has the same transport, so what it asks for goes the
 * shortest way.
 *
 * A voice is what one end of a connection says: 8 bytes with its number, then
 * bytes that follow from the number and their place.  It lives as long as the
 * witness, as bytes may be on their way when both ends have gone.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/chance.h"
#include "reactor/net/transport.h"
#include "reactor/simulation/world.h"
#include "tests/witness.h"

struct voice {
	struct plait_list link;
	uint64_t number;
	size_t said;
	bool is_heard; /* somebody hears it */
	bool cut;      /* its end was not clean: not all may come */
};

/* One end of a connection. */
struct witnessed {
	struct plait_protocol base;
	struct plait_protocol *inner;
	struct eyewitness *witness;
	struct witness_factory *factory;
	struct plait_list link; /* in the witness */
	struct voice *own;
	struct voice *other; /* NULL: its number has not come yet */
	unsigned char number[8];
	size_t heard;
	bool made, lost;
	bool ended; /* it was told that the other end sends no more */
};

/* ---- what is wrong --------------------------------------------------- */

void witness_fail(struct eyewitness *w, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (w->simulation == NULL)
		plait_die("witness", "%s", text);
	plait_simulation_fail(w->simulation, "%s", text);
}

static void witnessed_fail(struct witnessed *c, const char *what)
{
	char text[256] = "no transport";

	if (c->base.transport != NULL)
		plait_transport_str(c->base.transport, text, sizeof(text));
	witness_fail(c->witness, "%s: %s", text, what);
}

/* ---- voices ---------------------------------------------------------- */

static struct voice *voice_of(struct plait_list *l)
{
	return plait_container(l, struct voice, link);
}

static struct voice *voice_new(struct eyewitness *w)
{
	struct voice *v = calloc(1, sizeof(*v));

	plait_assert(v != NULL);
	v->number = ++w->next_voice;
	plait_list_append(&w->voices, &v->link);
	return v;
}

static struct voice *voice_find(struct eyewitness *w, uint64_t number)
{
	struct plait_list *l;

	plait_list_for_each (l, &w->voices) {
		if (voice_of(l)->number == number)
			return voice_of(l);
	}
	return NULL;
}

static unsigned char voice_byte(uint64_t number, size_t at)
{
	if (at < 8)
		return (unsigned char)(number >> 8 * at);
	return (unsigned char)((at * 2654435761u + number * 40503u) >> 13);
}

/* The number is whole: finds the voice that it names. */
static void witnessed_meet(struct witnessed *c)
{
	uint64_t number = 0;

	for (int i = 7; i >= 0; i--)
		number = number << 8 | c->number[i];
	c->other = voice_find(c->witness, number);
	if (c->other == NULL)
		witnessed_fail(c, "hears what nobody has said");
	else if (c->other->is_heard || c->other == c->own)
		witnessed_fail(c, "hears what was said to another");
	else
		c->other->is_heard = true;
}

static void witnessed_hear(struct witnessed *c, const unsigned char *data,
			   size_t len)
{
	size_t i = 0;

	c->witness->heard += len;
	while (i < len && c->heard < 8) {
		c->number[c->heard++] = data[i++];
		if (c->heard == 8)
			witnessed_meet(c);
	}
	if (c->other == NULL)
		return;
	for (; i < len; i++, c->heard++) {
		if (data[i] != voice_byte(c->other->number, c->heard)) {
			witnessed_fail(c, "what comes was not said so");
			return;
		}
	}
	if (c->heard > c->other->said)
		witnessed_fail(c, "hears more than was said");
}

/* The other end has ended cleanly: all that it has said must have come. */
static void witnessed_heard_all(struct witnessed *c)
{
	if (!c->factory->speaks || c->other == NULL || c->other->cut)
		return;
	if (c->heard != c->other->said)
		witnessed_fail(c, "ends cleanly, and not all has come");
}

size_t witness_say(struct plait_protocol *inner, size_t n)
{
	struct witnessed *c = witnessed_of(inner);
	struct plait_transport *t = c->base.transport;
	unsigned char *bytes = malloc(n + 1);
	size_t before, after;

	plait_assert(bytes != NULL);
	for (size_t i = 0; i < n; i++)
		bytes[i] = voice_byte(c->own->number, c->own->said + i);
	before = plait_transport_unsent(t);
	plait_transport_write(t, bytes, n);
	after = plait_transport_unsent(t);
	free(bytes);
	if (after <= before)
		return 0;
	if (after - before != n)
		witnessed_fail(c, "takes a part of a write");
	c->own->said += after - before;
	return after - before;
}

size_t witness_said(struct plait_protocol *inner)
{
	return witnessed_of(inner)->own->said;
}

size_t witness_heard(struct plait_protocol *inner)
{
	return witnessed_of(inner)->heard;
}

/* ---- the protocol ---------------------------------------------------- */

static struct witnessed *witnessed_self(struct plait_protocol *p)
{
	return plait_self(p, struct witnessed);
}

struct witnessed *witnessed_of(struct plait_protocol *inner)
{
	return witnessed_self(inner->transport->protocol);
}

/* Before each callback: it may come. */
static void witnessed_check(struct witnessed *c, bool makes)
{
	const struct transport *t = transport_of(c->base.transport);

	if (c->made == makes)
		witnessed_fail(c, makes ? "is made twice" : "was never made");
	if (c->lost)
		witnessed_fail(c, "is told something after the loss");
	if (plait_transport_unsent(c->base.transport) >
	    transport_limits(t)->max_unsent)
		witnessed_fail(c, "holds more than max_unsent");
}

/* After each: what the inner protocol says of itself. */
static void witnessed_after(struct witnessed *c)
{
	c->base.unread = c->inner->unread;
}

static void witnessed_made(struct plait_protocol *p)
{
	struct witnessed *c = witnessed_self(p);

	witnessed_check(c, true);
	c->made = true;
	c->witness->made++;
	c->factory->open++;
	c->inner->transport = p->transport;
	c->inner->connected = true;
	if (c->inner->ops->connection_made != NULL)
		c->inner->ops->connection_made(c->inner);
	witnessed_after(c);
}

static void witnessed_data(struct plait_protocol *p, const void *data,
			   size_t len)
{
	struct witnessed *c = witnessed_self(p);

	witnessed_check(c, false);
	if (len == 0)
		witnessed_fail(c, "gets nothing");
	if (transport_of(p->transport)->reading_paused)
		witnessed_fail(c, "gets data while reading is paused");
	if (c->ended)
		witnessed_fail(c, "gets data after the end of it");
	if (c->factory->speaks)
		witnessed_hear(c, data, len);
	if (c->inner->ops->data_received != NULL)
		c->inner->ops->data_received(c->inner, data, len);
	witnessed_after(c);
}

static void witnessed_read_lost(struct plait_protocol *p)
{
	struct witnessed *c = witnessed_self(p);

	witnessed_check(c, false);
	if (c->ended)
		witnessed_fail(c, "is told twice that reading has ended");
	c->ended = true;
	witnessed_heard_all(c);
	c->inner->ops->read_connection_lost(c->inner);
	witnessed_after(c);
}

static void witnessed_write_lost(struct plait_protocol *p)
{
	struct witnessed *c = witnessed_self(p);

	witnessed_check(c, false);
	if (c->inner->ops->write_connection_lost != NULL)
		c->inner->ops->write_connection_lost(c->inner);
	witnessed_after(c);
}

/* Its host has crashed, or its program was killed: nothing gets out. */
static bool witnessed_is_dead(const struct witnessed *c)
{
	const struct plait_reactor *r = c->base.transport->reactor;
	const struct host_kernel *k = loop_kernel(r)->state;

	return plait_simulation_of(r) != NULL && k->dead;
}

static void witnessed_lost(struct plait_protocol *p,
			   const struct plait_failure *why)
{
	struct witnessed *c = witnessed_self(p);
	const struct transport *t = transport_of(p->transport);

	witnessed_check(c, false);
	c->lost = true;
	c->witness->lost++;
	c->factory->open--;
	if (!plait_failure_check(why, &plait_error_connection_done) ||
	    witnessed_is_dead(c))
		c->own->cut = true;
	else if (!t->disconnecting)
		witnessed_heard_all(c);
	c->inner->connected = false;
	if (c->inner->ops->connection_lost != NULL)
		c->inner->ops->connection_lost(c->inner, why);
}

static void witnessed_done(struct plait_protocol *p)
{
	struct witnessed *c = witnessed_self(p);

	if (c->made && !c->lost)
		witnessed_fail(c, "is done before it was lost");
	plait_list_remove(&c->link);
	c->witness->done += c->made;
	plait_protocol_free(&c->inner);
}

/* One for inner protocols that close by halves, and one for the others. */
static const struct plait_protocol_ops whole_ops = {
	.name = "witnessed",
	.size = sizeof(struct witnessed),
	.connection_made = witnessed_made,
	.data_received = witnessed_data,
	.done = witnessed_done,
	.write_connection_lost = witnessed_write_lost,
	.connection_lost = witnessed_lost,
};

static const struct plait_protocol_ops half_ops = {
	.name = "witnessed",
	.size = sizeof(struct witnessed),
	.connection_made = witnessed_made,
	.data_received = witnessed_data,
	.done = witnessed_done,
	.read_connection_lost = witnessed_read_lost,
	.write_connection_lost = witnessed_write_lost,
	.connection_lost = witnessed_lost,
};

/* ---- the factory ----------------------------------------------------- */

static struct witness_factory *witness_factory_of(struct plait_factory *f)
{
	return plait_self(f, struct witness_factory);
}

static struct plait_factory *inner_of(struct plait_factory *f)
{
	return witness_factory_of(f)->inner;
}

static void witness_start(struct plait_factory *f)
{
	plait_factory_start(inner_of(f));
}

static void witness_stop(struct plait_factory *f)
{
	plait_factory_stop(inner_of(f));
}

static struct plait_protocol *witness_build(struct plait_factory *base,
					    const struct plait_address *peer)
{
	struct witness_factory *f = witness_factory_of(base);
	struct plait_protocol *inner, *p;
	struct witnessed *c;

	if (base->users == 0)
		witness_fail(f->witness, "a factory builds before it starts");
	inner = plait_factory_build_protocol(f->inner, peer);
	if (inner == NULL)
		return NULL;
	p = plait_protocol_new(inner->ops->read_connection_lost != NULL
				       ? &half_ops
				       : &whole_ops);
	if (p == NULL) {
		plait_protocol_free(&inner);
		errno = ENOMEM;
		return NULL;
	}
	c = witnessed_self(p);
	c->inner = inner;
	c->factory = f;
	c->witness = f->witness;
	c->own = voice_new(f->witness);
	plait_list_append(&f->witness->connections, &c->link);
	return p;
}

static void witness_started(struct plait_factory *f, struct plait_connector *c)
{
	struct plait_factory *inner = inner_of(f);

	if (inner->ops != NULL && inner->ops->started_connecting != NULL)
		inner->ops->started_connecting(inner, c);
}

static void witness_failed(struct plait_factory *f, struct plait_connector *c,
			   const struct plait_failure *why)
{
	struct plait_factory *inner = inner_of(f);

	if (inner->ops != NULL && inner->ops->connection_failed != NULL)
		inner->ops->connection_failed(inner, c, why);
}

static void witness_lost(struct plait_factory *f, struct plait_connector *c,
			 const struct plait_failure *why)
{
	struct plait_factory *inner = inner_of(f);

	if (inner->ops != NULL && inner->ops->connection_lost != NULL)
		inner->ops->connection_lost(inner, c, why);
}

static void witness_port_full(struct plait_factory *f, struct plait_port *port,
			      struct plait_protocol *idlest)
{
	struct plait_factory *inner = inner_of(f);

	if (inner->ops != NULL && inner->ops->port_full != NULL)
		inner->ops->port_full(
			inner, port,
			idlest != NULL ? witnessed_self(idlest)->inner : NULL);
}

static void witness_port_opened(struct plait_factory *f, struct plait_port *p)
{
	struct plait_factory *inner = inner_of(f);

	if (inner->ops != NULL && inner->ops->port_opened != NULL)
		inner->ops->port_opened(inner, p);
}

static void witness_port_closed(struct plait_factory *f, struct plait_port *p)
{
	struct plait_factory *inner = inner_of(f);

	if (inner->ops != NULL && inner->ops->port_closed != NULL)
		inner->ops->port_closed(inner, p);
}

static const struct plait_factory_ops factory_ops = {
	.name = "witness",
	.start = witness_start,
	.stop = witness_stop,
	.build_protocol = witness_build,
	.started_connecting = witness_started,
	.connection_failed = witness_failed,
	.connection_lost = witness_lost,
	.port_full = witness_port_full,
	.port_opened = witness_port_opened,
	.port_closed = witness_port_closed,
};

/* A table with port_full() makes ports count their guests. */
static const struct plait_factory_ops plain_factory_ops = {
	.name = "witness",
	.start = witness_start,
	.stop = witness_stop,
	.build_protocol = witness_build,
	.started_connecting = witness_started,
	.connection_failed = witness_failed,
	.connection_lost = witness_lost,
	.port_opened = witness_port_opened,
	.port_closed = witness_port_closed,
};

void witness_factory_init(struct witness_factory *f, struct eyewitness *w,
			  struct plait_factory *inner, bool speaks)
{
	bool has_hook = inner->ops != NULL && inner->ops->port_full != NULL;

	*f = (struct witness_factory){
		.base.ops = has_hook ? &factory_ops : &plain_factory_ops,
		.witness = w,
		.inner = inner,
		.speaks = speaks,
	};
}

/* ---- timers and deferreds -------------------------------------------- */

struct wait {
	struct plait_list link; /* in the witness */
	struct eyewitness *witness;
	struct plait_reactor *reactor; /* NULL: of a deferred */
	struct plait_timer timer;
	double when;
	plait_func *fn;
	void *arg;
	bool over;
};

static struct wait *wait_new(struct eyewitness *w)
{
	struct wait *x = calloc(1, sizeof(*x));

	plait_assert(x != NULL);
	x->witness = w;
	plait_list_append(&w->waits, &x->link);
	return x;
}

static void wait_free(struct wait *x)
{
	plait_list_remove(&x->link);
	free(x);
}

static void wait_time_has_come(void *arg)
{
	struct wait x = *(struct wait *)arg;

	if (plait_reactor_seconds(x.reactor) < x.when)
		witness_fail(x.witness, "a timer is early by %g s",
			     x.when - plait_reactor_seconds(x.reactor));
	wait_free(arg);
	x.fn(x.arg);
}

void witness_timer(struct eyewitness *w, struct plait_reactor *r,
		   double seconds, plait_func *fn, void *arg)
{
	struct wait *x = wait_new(w);

	x->reactor = r;
	x->fn = fn;
	x->arg = arg;
	/* Its deadline is a whole number of nanoseconds. */
	x->when = plait_reactor_seconds(r) + seconds - 1e-6;
	plait_timer_start(r, &x->timer, seconds, wait_time_has_come, x);
}

static plait_value wait_is_over(plait_value *result, void *arg)
{
	struct wait *x = arg;

	if (x->over)
		witness_fail(x->witness, "a deferred fires twice");
	x->over = true;
	return plait_value_take(result);
}

struct plait_deferred *witness_deferred(struct eyewitness *w,
					struct plait_deferred *d)
{
	return plait_deferred_add_both(d, wait_is_over, wait_new(w));
}

/* ---- from the beginning to the end ----------------------------------- */

void witness_begin(struct eyewitness *w, struct plait_simulation *s)
{
	*w = (struct eyewitness){ .simulation = s };
	plait_list_init(&w->connections);
	plait_list_init(&w->voices);
	plait_list_init(&w->waits);
}

void witness_end(struct eyewitness *w)
{
	struct plait_list *l;
	unsigned waiting = 0;

	if (w->made != w->lost)
		witness_fail(w, "%u connections were made, %u lost", w->made,
			     w->lost);
	if (w->made != w->done)
		witness_fail(w, "%u connections were made, %u done", w->made,
			     w->done);
	while ((l = plait_list_first(&w->waits)) != NULL) {
		struct wait *x = plait_container(l, struct wait, link);

		/* A timer stops with its reactor. */
		waiting += !x->over && x->reactor == NULL;
		plait_timer_stop(&x->timer);
		wait_free(x);
	}
	if (waiting > 0)
		witness_fail(w, "%u deferreds never fired", waiting);
	while ((l = plait_list_first(&w->voices)) != NULL) {
		plait_list_remove(l);
		free(voice_of(l));
	}
}
