/*
 * Forwards connections: whoever connects to FROM talks to TO.  Both are
 * endpoints, so this forwards between TCP and UNIX sockets as well, and with a
 * throttle or a limit in front.
 *
 * Each side of a forwarded connection is a protocol, and each is the producer
 * of the other: if one peer does not read, the other is not read from.  The
 * end of one direction ends only that direction, as a client may send its
 * request, say that this is all, and then wait for the answer.  What breaks one
 * side breaks the other.
 */
#include <stdio.h>

#include "common/program.h"

struct forward {
	struct plait_factory factory;
	struct plait_endpoint *to;
};

struct side {
	struct plait_protocol base;
	struct side *other; /* NULL: not there yet, or gone */
	bool ended;	    /* its peer sends no more */
};

static struct side *side_of(struct plait_protocol *p)
{
	return plait_self(p, struct side);
}

static struct plait_transport *transport_of(const struct side *s)
{
	return s->base.transport;
}

/* The peer of one sends no more, so the peer of the other gets no more. */
static void pass_end(struct side *one)
{
	struct side *other = one->other;

	plait_transport_lose_write_connection(transport_of(other));
	if (!other->ended)
		return;
	plait_transport_lose_connection(transport_of(one));
	plait_transport_lose_connection(transport_of(other));
}

static void side_received(struct plait_protocol *p, const void *data,
			  size_t len)
{
	plait_transport_write(transport_of(side_of(p)->other), data, len);
}

static void side_ended(struct plait_protocol *p)
{
	struct side *self = side_of(p);

	self->ended = true;
	if (self->other != NULL)
		pass_end(self);
}

static void side_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	struct side *other = side_of(p)->other;

	if (other == NULL)
		return;
	other->other = NULL;
	if (plait_failure_check(why, &plait_error_connection_done))
		plait_transport_lose_connection(transport_of(other));
	else
		plait_transport_abort_connection(transport_of(other));
}

/* ---- the two sides find each other --------------------------------------- */

static void feed(struct side *one, struct side *other)
{
	plait_transport_register_producer(
		transport_of(one),
		plait_transport_producer(transport_of(other)), true);
	one->other = other;
}

static plait_value connected(plait_value *result, void *arg)
{
	struct side *near = arg;
	struct plait_protocol *p = plait_client_take(result);
	struct side *far = side_of(p);

	if (p == NULL) {
		plait_transport_abort_connection(transport_of(near));
		return PLAIT_NONE;
	}
	feed(near, far);
	feed(far, near);
	plait_transport_resume_reading(transport_of(near));
	plait_transport_resume_reading(transport_of(far));
	if (near->ended)
		pass_end(near);
	if (far->ended)
		pass_end(far);
	return PLAIT_NONE;
}

/* If the client has gone meanwhile, that is no failure. */
static plait_value not_connected(plait_value *failure, void *arg)
{
	struct side *near = arg;
	char text[1024];

	if (plait_failure_check(plait_value_failure(failure),
				&plait_error_cancelled))
		return PLAIT_NONE;
	plait_value_str(failure, text, sizeof(text));
	fprintf(stderr, "%s\n", text);
	plait_transport_abort_connection(transport_of(near));
	return PLAIT_NONE;
}

static void far_made(struct plait_protocol *p)
{
	plait_transport_pause_reading(p->transport);
}

static const struct plait_protocol_ops far_ops = {
	.name = "far",
	.size = sizeof(struct side),
	.connection_made = far_made,
	.data_received = side_received,
	.read_connection_lost = side_ended,
	.connection_lost = side_lost,
};

/* The scope of this connection gives the other one up if the client goes. */
static void near_made(struct plait_protocol *p)
{
	struct forward *self = plait_self(p->factory, struct forward);
	struct plait_deferred *d;

	plait_transport_pause_reading(p->transport);
	d = plait_endpoint_connect(self->to,
				   plait_transport_reactor(p->transport),
				   &far_ops, NULL);
	plait_deferred_add_callbacks(d, connected, side_of(p), not_connected,
				     side_of(p));
	plait_scope_own(plait_transport_scope(p->transport), &d);
}

static const struct plait_protocol_ops near_ops = {
	.name = "near",
	.size = sizeof(struct side),
	.connection_made = near_made,
	.data_received = side_received,
	.read_connection_lost = side_ended,
	.connection_lost = side_lost,
};

int main(int argc, char **argv)
{
	struct forward self = { .factory.protocol = &near_ops };
	struct program p = { .about = "Forwards connections to FROM to TO, "
				      "which are endpoints.",
			     .operands = "FROM TO",
			     .min_operands = 2,
			     .max_operands = 2 };
	char place[PLACE_SIZE], why[PLAIT_ENDPOINT_WHY_SIZE];
	struct plait_address address;
	struct plait_reactor *r;

	program_start(&p, argc, argv);
	p.listen = read_endpoint(p.operand[0]);
	self.to = read_endpoint(p.operand[1]);
	if (!plait_endpoint_can_connect(self.to, why, sizeof(why)))
		die("%s: %s", p.operand[1], why);
	r = program_reactor(&p);
	address = program_listen(&p, r, &self.factory);
	program_run(r, "Forwarding to %s from %s.", p.operand[1],
		    place_str(&address, place));

	plait_reactor_free(&r);
	plait_endpoint_unref(&self.to);
	return 0;
}
