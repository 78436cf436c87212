/*
 * The functions for kinds of transports: how they are made, and what they tell.
 *
 * Each function that tells something calls the protocol.  It may be called in
 * the loop or outside it, so it enters and leaves the loop around the call.
 * Then the transport is settled and, because this is an event, answered at
 * once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/exception.h"
#include "reactor/kernel/address.h"
#include "reactor/net/errors.h"
#include "reactor/net/protocol.h"
#include "reactor/net/transport.h"

static struct transport *transport_begin_telling(struct plait_transport *t,
						 const char *where)
{
	loop_check(t->reactor, where);
	plait_i_loop_enter(t->reactor);
	return transport_of(t);
}

static void transport_end_telling(struct transport *t)
{
	/* Before a transport is made, nothing is wanted of it. */
	if (!t->lost && t->base.protocol != NULL) {
		t->has_event = true;
		transport_touch(t);
	}
	plait_i_loop_leave(transport_reactor(t));
}

/* Returns 0 if a transport can wrap that one, or -errno. */
static int transport_stack(struct transport *t, struct transport *below)
{
	struct transport_extra *own = plait_i_transport_extra(t);
	struct transport_extra *theirs = plait_i_transport_extra(below);

	if (!transport_is_made(below) || below->lost)
		return -ENOTCONN;
	if (own == NULL || theirs == NULL)
		return -ENOMEM;
	if (theirs->above != NULL)
		plait_die("plait_transport_new",
			  "another transport wraps this one");
	own->below = below;
	if (below->base.protocol != NULL)
		own->maker =
			plait_i_factory_hold(below->base.protocol->factory);
	theirs->above = t;
	t->special = below->special = true;
	return 0;
}

/* If the struct is too small, the library would write beyond its end. */
static size_t transport_size(const struct plait_transport_ops *ops)
{
	size_t least = sizeof(struct plait_transport);

	if (ops->size != 0 && ops->size < least)
		plait_die("plait_transport_new",
			  "table \"%s\": size is %zu, but its struct begins "
			  "with one of %zu",
			  ops->name, ops->size, least);
	return ops->size != 0 ? ops->size : least;
}

/* A C++ constructor may change the base, so it is filled in again. */
static OUT_OF_LINE int transport_call_init(struct transport *t)
{
	const struct plait_transport_ops *ops = t->base.ops;
	struct plait_transport base = t->base;
	int err = ops->init != NULL ? ops->init(&t->base) : 0;

	exception_barrier();
	t->base = base;
	return err;
}

/* Makes the library's part and, after it, the kind's. */
static struct transport *transport_alloc(const struct plait_transport_ops *ops,
					 struct plait_reactor *r)
{
	size_t offset = offsetof(struct transport, base);
	size_t size = transport_size(ops);
	struct transport *t;

	/* struct transport may be longer than the sum, if size is the base's.
	 */
	if (size < sizeof(*t) - offset)
		size = sizeof(*t) - offset;
	/* Not calloc(): glibc's does not reuse the memory that was freed last.
	 */
	t = malloc(offset + size);
	if (t == NULL)
		return NULL;
	memset((char *)t + offset, 0, size);
	plait_i_transport_init(t, ops, r);
	plait_i_settling_init(t);
	return t;
}

struct plait_transport *
plait_transport_new(const struct plait_transport_ops *ops,
		    struct plait_reactor *r, struct plait_transport *below)
{
	struct transport *t;
	int err = 0;

	loop_check_given(r, "plait_transport_new()", NULL);
	plait_assert(ops->send != NULL || below != NULL);
	plait_assert(below == NULL || below->reactor == r);
	if (loop_is_forked(r)) {
		errno = ECHILD;
		return NULL;
	}
	t = transport_alloc(ops, r);
	if (t == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	if (below != NULL)
		err = transport_stack(t, transport_of(below));
	if (err == 0)
		err = transport_call_init(t);
	if (err == 0)
		return &t->base;
	t->done = true;
	plait_i_transport_free(t);
	errno = -err;
	return NULL;
}

/*
 * The transport has no protocol, and its owner knows of the end, but it may
 * have a scope, and be the producer of others.
 */
void plait_transport_free(struct plait_transport **tp)
{
	struct plait_reactor *r;
	struct transport *t;

	if (tp == NULL || *tp == NULL)
		return;
	t = transport_begin_telling(*tp, "plait_transport_free()");
	r = transport_reactor(t);
	if (transport_is_made(t) || t->lost)
		plait_die("plait_transport_free",
			  "the transport was made, and is the reactor's");
	t->owner = NULL;
	plait_i_transport_tell_lost(t, &plait_i_failure_connection_done, NULL);
	plait_i_transport_free(t);
	*tp = NULL;
	plait_i_loop_leave(r);
}

void plait_transport_cleanup(struct plait_transport **tp)
{
	plait_transport_free(tp);
}

void plait_transport_made(struct plait_transport *base,
			  struct plait_protocol *p)
{
	struct transport *t;
	struct plait_address peer = { .family = 0 };

	if (base == NULL) {
		plait_protocol_free(&p);
		return;
	}
	t = transport_begin_telling(base, "plait_transport_made()");
	if (transport_is_made(t) || t->lost)
		plait_die("plait_transport_made", "it was made before");
	if (p == NULL || p->transport != NULL)
		plait_die("plait_transport_made",
			  p == NULL ? "there is no protocol"
				    : "the protocol has a transport already");
	if (base->ops->send == NULL && transport_below(t) == NULL)
		plait_die("plait_transport_made",
			  "the transport below is lost");
	plait_i_settling_begin(t);
	if (transport_below(t) == NULL)
		transport_join(t);
	if (trace_is_on()) {
		plait_transport_peer(base, &peer);
		plait_i_address_trace(&peer, TRACE_OPENED, base);
	}
	plait_i_transport_connect(t, p);
	transport_end_telling(t);
}

void plait_transport_received(struct plait_transport *base, const void *data,
			      size_t len)
{
	struct transport *t;

	if (base == NULL)
		return;
	t = transport_begin_telling(base, "plait_transport_received()");
	if (len > 0)
		plait_i_transport_received(t, data, len);
	transport_end_telling(t);
}

void plait_transport_read_lost(struct plait_transport *base)
{
	struct transport *t;

	if (base == NULL)
		return;
	t = transport_begin_telling(base, "plait_transport_read_lost()");
	plait_i_transport_read_lost(t);
	transport_end_telling(t);
}

void plait_transport_write_lost(struct plait_transport *base)
{
	struct transport *t;

	if (base == NULL)
		return;
	t = transport_begin_telling(base, "plait_transport_write_lost()");
	plait_i_transport_write_lost(t);
	transport_end_telling(t);
}

void plait_transport_writable(struct plait_transport *base)
{
	struct transport *t;

	if (base == NULL)
		return;
	t = transport_begin_telling(base, "plait_transport_writable()");
	transport_writable(t);
	transport_end_telling(t);
}

void plait_transport_broken(struct plait_transport *base,
			    const struct plait_failure *why)
{
	struct transport *t;

	if (base == NULL)
		return;
	t = transport_begin_telling(base, "plait_transport_broken()");
	if (!t->lost && !t->over)
		plait_i_transport_broken(t,
					 plait_failure_ref(failure_given(why)));
	transport_end_telling(t);
}

void plait_transport_lost(struct plait_transport *base,
			  const struct plait_failure *why)
{
	struct transport *t;

	if (base == NULL)
		return;
	t = transport_begin_telling(base, "plait_transport_lost()");
	plait_i_transport_over(t, failure_given(why));
	transport_end_telling(t);
}

void plait_transport_gone(struct plait_transport *base)
{
	if (base == NULL)
		return;
	loop_check(base->reactor, "plait_transport_gone()");
	plait_i_transport_gone(transport_of(base));
}

/* The owner belongs to the transport at the bottom. */
static void transport_tell_handshake(struct plait_transport *base, bool begins,
				     const char *function)
{
	struct transport_owner *owner;

	if (base == NULL)
		return;
	loop_check(base->reactor, function);
	owner = transport_bottom(transport_of(base))->owner;
	if (owner != NULL && owner->handshake != NULL)
		owner->handshake(owner, begins);
}

void plait_transport_begin_handshake(struct plait_transport *t)
{
	transport_tell_handshake(t, true, "plait_transport_begin_handshake()");
}

void plait_transport_end_handshake(struct plait_transport *t)
{
	transport_tell_handshake(t, false, "plait_transport_end_handshake()");
}
