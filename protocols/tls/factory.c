/*
 * Factories that wrap others, and the protocol of the transport below.
 *
 * A factory lives as long as the program holds it or it is in use, which its
 * start() and done() say: done() comes when the last connection is gone.
 *
 * The inner protocol is built when the handshake is done.  Until then there is
 * nobody who could be told of a connection, and a connector goes on connecting.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocols/tls/connection.h"

/* The protocol below. */
struct tls_protocol {
	struct plait_protocol base;
	struct tls *tls; /* owned until it is made */
};

static struct tls_factory *tls_factory_of(struct plait_factory *f)
{
	return plait_self(f, struct tls_factory);
}

/* Gives NULL if the transport above has ended, and may be freed. */
static struct tls *tls_above(struct plait_protocol *p)
{
	struct tls *t = plait_self(p, struct tls_protocol)->tls;

	if (t != NULL && t->made && plait_transport_above(p->transport) == NULL)
		return NULL;
	return t;
}

/* ---- the protocol ------------------------------------------------ */

static void tls_begin(struct tls *t, const struct tls_factory *f)
{
	plait_value why = plait_i_tls_begin(t, f->context, f->name);

	if (plait_value_is_failure(&why))
		plait_i_tls_fail(t, why);
	else
		plait_i_tls_shake(t);
}

static void tls_without_memory(struct plait_protocol *p)
{
	plait_value why = plait_no_memory();

	plait_i_tls_tell_failed(tls_factory_of(p->factory), p->transport,
				plait_value_failure(&why));
	plait_transport_lose_connection_because(p->transport,
						plait_value_failure(&why));
}

/* In the clear the inner protocol is there at once. */
static void tls_connection_made(struct plait_protocol *p)
{
	struct tls_factory *f = tls_factory_of(p->factory);
	struct plait_transport *above;
	struct tls *t;

	plait_transport_begin_handshake(p->transport);
	above = plait_transport_new(&plait_i_tls_ops,
				    plait_transport_reactor(p->transport),
				    p->transport);
	if (above == NULL) {
		tls_without_memory(p);
		return;
	}
	t = plait_self(p, struct tls_protocol)->tls = tls_of(above);
	t->factory = f;
	if (f->context != NULL)
		tls_begin(t, f);
	else
		plait_i_tls_connect(t);
}

static void tls_data_received(struct plait_protocol *p, const void *data,
			      size_t len)
{
	struct tls *t = tls_above(p);

	if (t != NULL)
		plait_i_tls_received(t, data, len);
}

static void tls_read_connection_lost(struct plait_protocol *p)
{
	struct tls *t = tls_above(p);

	if (t != NULL)
		plait_i_tls_read_lost(t);
}

/* Only in the clear is the half of the transport below closed. */
static void tls_write_connection_lost(struct plait_protocol *p)
{
	struct tls *t = tls_above(p);

	if (t != NULL)
		plait_transport_write_lost(&t->base);
}

static void tls_connection_lost(struct plait_protocol *p,
				const struct plait_failure *why)
{
	struct tls *t = tls_above(p);

	if (t != NULL)
		plait_i_tls_lost(t, why);
}

static void tls_protocol_done(struct plait_protocol *p)
{
	struct tls *t = plait_self(p, struct tls_protocol)->tls;
	struct plait_transport *above;

	if (t == NULL || t->made)
		return;
	above = &t->base;
	plait_transport_free(&above);
}

static const struct plait_protocol_ops tls_protocol_ops = {
	.name = "tls",
	.size = sizeof(struct tls_protocol),
	.connection_made = tls_connection_made,
	.data_received = tls_data_received,
	.done = tls_protocol_done,
	.read_connection_lost = tls_read_connection_lost,
	.write_connection_lost = tls_write_connection_lost,
	.connection_lost = tls_connection_lost,
};

/* ---- the factory ------------------------------------------------- */

static void tls_factory_release(struct tls_factory *f)
{
	if (f->held || f->used)
		return;
	plait_timer_stop(&f->turn);
	plait_timer_stop(&f->look);
	plait_tls_context_unref(&f->context);
	free(f->name);
	free(f);
}

static void tls_factory_start(struct plait_factory *f)
{
	tls_factory_of(f)->used = true;
	plait_wrapping_factory_start(f);
}

static struct plait_protocol *
tls_factory_build(struct plait_factory *f, const struct plait_address *peer)
{
	return plait_protocol_new(f->protocol);
}

/* A connection in its handshake has no inner protocol yet. */
static void tls_factory_port_full(struct plait_factory *f,
				  struct plait_port *port,
				  struct plait_protocol *idlest)
{
	if (idlest != NULL && idlest->ops == &tls_protocol_ops)
		idlest = NULL;
	plait_wrapping_factory_port_full(f, port, idlest);
}

static void tls_factory_done(struct plait_factory *base)
{
	struct tls_factory *f = tls_factory_of(base);

	f->used = false;
	plait_timer_stop(&f->turn);
	plait_timer_stop(&f->look);
	f->steps = 0;
	tls_factory_release(f);
}

static const struct plait_factory_ops tls_factory_ops = {
	.name = "tls",
	.start = tls_factory_start,
	.stop = plait_wrapping_factory_stop,
	.build_protocol = tls_factory_build,
	.started_connecting = plait_wrapping_factory_started_connecting,
	.connection_failed = plait_wrapping_factory_connection_failed,
	.connection_lost = plait_wrapping_factory_connection_lost,
	.port_full = tls_factory_port_full,
	.port_opened = plait_wrapping_factory_port_opened,
	.port_closed = plait_wrapping_factory_port_closed,
	.done = tls_factory_done,
};

struct plait_factory *plait_tls_wrap_factory(struct plait_tls_context *c,
					     struct plait_factory *inner,
					     const char *name)
{
	struct tls_factory *f;

	if (c != NULL ? !plait_i_tls_context_takes_name(c, name)
		      : name != NULL) {
		errno = EINVAL;
		return NULL;
	}
	f = calloc(1, sizeof(*f));
	if (f != NULL && name != NULL) {
		f->name = strdup(name);
		if (f->name == NULL) {
			free(f);
			f = NULL;
		}
	}
	if (f == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	f->base.base.ops = &tls_factory_ops;
	f->base.base.protocol = &tls_protocol_ops;
	f->base.inner = inner;
	f->context = plait_tls_context_ref(c);
	f->held = true;
	plait_list_init(&f->turns);
	plait_list_init(&f->busy);
	return &f->base.base;
}

void plait_tls_factory_free(struct plait_factory **fp)
{
	struct plait_factory *f = fp != NULL ? *fp : NULL;

	if (f == NULL)
		return;
	*fp = NULL;
	if (f->ops != &tls_factory_ops)
		plait_die("plait_tls_factory_free",
			  "the factory wraps nothing in TLS");
	tls_factory_of(f)->held = false;
	tls_factory_release(tls_factory_of(f));
}

void plait_tls_factory_cleanup(struct plait_factory **fp)
{
	plait_tls_factory_free(fp);
}

/* ---- listening and connecting ------------------------------------ */

int plait_listen_tls(struct plait_reactor *r, unsigned port,
		     struct plait_factory *inner, struct plait_tls_context *c,
		     const struct plait_listen_options *options,
		     struct plait_port **ret)
{
	struct plait_factory *f;
	int err;

	if (r == NULL)
		plait_die("plait_listen_tls()", "was given a NULL reactor");
	if (c == NULL)
		return -ENOMEM;
	if (!c->settings.is_server)
		return -EINVAL;
	f = plait_tls_wrap_factory(c, inner, NULL);
	if (f == NULL)
		return -errno;
	err = plait_listen_tcp(r, port, f, options, ret);
	plait_tls_factory_free(&f);
	return err;
}

struct plait_connector *
plait_connect_tls(struct plait_reactor *r, const char *host, unsigned port,
		  struct plait_factory *inner, struct plait_tls_context *c,
		  const struct plait_connect_options *options)
{
	struct plait_connector *connector;
	struct plait_factory *f;
	int err;

	if (r == NULL)
		plait_die("plait_connect_tls()", "was given a NULL reactor");
	if (c == NULL || c->settings.is_server) {
		errno = c == NULL ? ENOMEM : EINVAL;
		return NULL;
	}
	f = plait_tls_wrap_factory(c, inner, host);
	if (f == NULL)
		return NULL;
	connector = plait_connect_tcp(r, host, port, f, options);
	err = errno;
	plait_tls_factory_free(&f);
	errno = err;
	return connector;
}
