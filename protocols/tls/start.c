/*
 * STARTTLS.  The transport is the one that the connection had from the start,
 * so whoever has a pointer to it writes nothing past TLS.  What was written
 * before is passed down when the callback has returned, and the handshake
 * begins in the turn after that.
 */
#include <errno.h>

#include "protocols/tls/connection.h"

/* Defined here; whoever calls it here says the place. */
#undef plait_tls_start

static plait_value start_cancel(struct plait_deferred *d, void *arg)
{
	struct tls *t = arg;

	plait_promise_drop(&t->started);
	plait_transport_abort_connection(&t->base);
	return plait_cancelled();
}

/* What keeps t from beginning TLS, in words; NULL: nothing. */
static const char *start_wrong(struct plait_transport *t,
			       const struct plait_tls_context *c,
			       const char *name)
{
	if (t->ops != &plait_i_tls_ops)
		return "the connection was not wrapped for TLS";
	if (tls_of(t)->state != TLS_CLEAR)
		return "the connection has begun TLS already";
	if (!tls_of(t)->made || plait_transport_is_disconnecting(t))
		return "the connection is not open";
	if (!plait_i_tls_context_takes_name(c, name))
		return "the name does not fit the context";
	if (t->protocol->unread)
		return "there is input that was not secret";
	return NULL;
}

static struct plait_deferred *start_begin(struct tls *t,
					  struct plait_tls_context *c,
					  const char *name, const char *where)
{
	struct plait_transport *below = plait_transport_below(&t->base);
	struct plait_deferred *d =
		(plait_deferred_new)(&t->started, start_cancel, t, where);
	plait_value why;

	if (t->started == NULL) {
		plait_transport_abort_connection(&t->base);
		return d;
	}
	t->clear = plait_transport_unsent(&t->base) -
		   plait_transport_unsent(below);
	why = plait_i_tls_begin(t, c, name);
	if (plait_value_is_failure(&why)) {
		plait_transport_abort_connection(&t->base);
		plait_fire(&t->started, why);
	} else {
		plait_i_tls_shake_later(t);
	}
	return d;
}

struct plait_deferred *plait_tls_start(struct plait_transport *t,
				       struct plait_tls_context *c,
				       const char *name, const char *where)
{
	const char *wrong;

	if (t == NULL || c == NULL)
		return (plait_failed)(plait_no_memory(), where);
	wrong = start_wrong(t, c, name);
	if (wrong != NULL)
		return (plait_failed)((plait_fail_errno)(where,
							 &plait_error_tls_handshake,
							 EINVAL, "%s", wrong),
				      where);
	return start_begin(tls_of(t), c, name, where);
}
