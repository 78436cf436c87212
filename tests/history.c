/*
 * Twisted's history of cancelling: see history.h.  The comment of each says
 * what went wrong there.
 */
#include <plait/client.h>
#include <plait/plait.h>

#include "tests/harness.h"
#include "tests/history.h"

/*
 * 4710, 5485: a factory that fires a deferred, and whose canceller stops
 * connecting.  Twisted told the factory of the failed attempt inside the
 * canceller, so the deferred was fired twice.
 */
struct dial {
	struct plait_factory base;
	struct plait_promise *promise;
	struct plait_connector *connector;
	int late; /* what firing the promise returned after the cancel */
};

/* One at a time: the factory must outlive its connector. */
static struct dial dial;

static void dial_began(struct plait_factory *f, struct plait_connector *c)
{
	plait_self(f, struct dial)->connector = c;
}

static void dial_failed(struct plait_factory *f, struct plait_connector *c,
			const struct plait_failure *why)
{
	struct dial *self = plait_self(f, struct dial);

	self->connector = NULL;
	self->late = plait_fire(&self->promise, plait_failure_value(why));
}

static void dial_made(struct plait_protocol *p)
{
	struct dial *self = plait_self(p->factory, struct dial);

	plait_fire(&self->promise, PLAIT_NONE);
	plait_transport_lose_connection(p->transport);
}

static void dial_lost(struct plait_factory *f, struct plait_connector *c,
		      const struct plait_failure *why)
{
	struct dial *self = plait_self(f, struct dial);

	self->connector = NULL;
	plait_promise_drop(&self->promise);
}

static const struct plait_protocol_ops dial_protocol = {
	.name = "dial",
	.connection_made = dial_made,
};

static const struct plait_factory_ops dial_ops = {
	.name = "dial",
	.started_connecting = dial_began,
	.connection_failed = dial_failed,
	.connection_lost = dial_lost,
};

static plait_value stop_dialling(struct plait_deferred *d, void *arg)
{
	struct dial *self = arg;

	plait_connector_disconnect(self->connector);
	return plait_cancelled();
}

static struct plait_deferred *dial_to(struct scene *s, enum server what)
{
	struct plait_connect_options o = { .timeout = 4 * TURN };
	struct plait_deferred *d;
	const char *host;
	unsigned port;

	s->port = server_start(s->reactor, what, &host, &port);
	caller_start(&s->caller, s->reactor);
	plait_promise_drop(&dial.promise);
	dial.base.ops = &dial_ops;
	dial.base.protocol = &dial_protocol;
	dial.late = 0;
	d = plait_deferred_new(&dial.promise, stop_dialling, &dial);
	if (dial.promise != NULL)
		plait_connect_tcp(s->reactor, host, port, &dial.base, &o);
	return d;
}

static struct plait_deferred *dial_mute(struct scene *s)
{
	return dial_to(s, SERVER_MUTE);
}

static struct plait_deferred *dial_nowhere(struct scene *s)
{
	return dial_to(s, SERVER_NOWHERE);
}

/* The attempt ends from the loop, and finds the promise cancelled. */
static void stop_dial(struct scene *s)
{
	if (!s->lenient)
		ck_assert(dial.late == 0 || dial.late == -ECANCELED);
	plait_promise_drop(&dial.promise);
}

/* What the other ones are made of: one at a time, too. */
static struct scene parts[3];

static void part_is(struct scene *s, int i, const char *name, const char *state)
{
	s->parts[i] = &parts[i];
	parts[i].starter = starter_of(name, state);
	parts[i].lenient = s->lenient;
}

/*
 * 8014, 8223: attempts that begin one after the other, of which the first to
 * succeed wins.  Cancelling fired the deferred of an attempt twice, and left
 * the timer of the next attempt running.
 */
static struct plait_deferred *try_in_turn(struct scene *s)
{
	struct plait_deferred *members[3];

	part_is(s, 0, "plait_client_connect_tcp", "not answered");
	part_is(s, 1, "plait_client_connect_tcp", "refused");
	part_is(s, 2, "plait_client_connect_tcp", "answered");
	for (int i = 0; i < 3; i++)
		members[i] = plait_deferred_add_callback(
			plait_defer_later(s->reactor, i * TURN, NULL, NULL),
			scene_then_work, s);
	return plait_race(members, 3);
}

/*
 * 9534: a canceller that fails.  There the exception left cancel(), a timeout
 * lost it, and the deferred never fired.  Here a canceller answers with its
 * failure, and that is the result.
 */
static struct plait_deferred *time_out_badly(struct scene *s)
{
	part_is(s, 0, "plait_deferred_new", "cancelled with a failure");
	return plait_deferred_add_timeout(scene_work(s), s->reactor, TURN);
}

/*
 * 9696: an endpoint that calls every failure of its lookup a DNSLookupError,
 * also the cancellation.  What plait makes of failures leaves a cancellation
 * what it is, so an errback can tell.
 */
static plait_value name_failure(plait_value *failure, void *arg)
{
	const struct plait_failure *why = plait_value_failure(failure);

	if (plait_failure_check(why, &plait_error_cancelled))
		return plait_value_take(failure);
	return plait_fail_because(&plait_error_dns_lookup, why, "no such host");
}

static struct plait_deferred *look_up(struct scene *s)
{
	struct plait_deferred *members[2];

	part_is(s, 0, "plait_retry", "in vain");
	part_is(s, 1, "plait_client_connect_tcp", "not answered");
	members[0] = scene_work(s);
	members[1] = scene_work(s);
	return plait_deferred_add_errback(
		plait_gather(members, 2, PLAIT_DEFERRED_LIST_CONSUME_ERRORS),
		name_failure, NULL);
}

/*
 * 7856: a list that has fired, and whose callback waits for another deferred.
 * Cancelling the list did not cancel that.
 */
static struct plait_deferred *list_that_waits(struct scene *s)
{
	part_is(s, 0, "plait_deferred_list", "the first, then work");
	return scene_work(s);
}

/*
 * 12499: the body of an answer that hangs.  Cancelling it aborted the
 * connection, which fired the deferred a second time, and left sockets open.
 */
static struct plait_deferred *read_what_hangs(struct scene *s)
{
	part_is(s, 0, "plait_client_read_all", "slowly");
	return scene_work(s);
}

static struct plait_deferred *read_silence(struct scene *s)
{
	part_is(s, 0, "plait_client_read_all", "silence");
	return scene_work(s);
}

#define TICKET(number, ...)                                                    \
	{                                                                      \
		.name = number, .state = __VA_ARGS__                           \
	}

const struct starter history[] = {
	TICKET("4710", "", .start = dial_mute, .stop = stop_dial,
	       .fires_late = true),
	TICKET("5485", "", .start = dial_nowhere, .stop = stop_dial,
	       .fails = true, .fires_late = true),
	TICKET("7856", "", .start = list_that_waits),
	TICKET("8014", "and 8223", .start = try_in_turn),
	TICKET("9534", "", .start = time_out_badly, .fails = true,
	       .answers = true),
	TICKET("9696", "", .start = look_up, .fails = true),
	TICKET("12499", "", .start = read_what_hangs),
	TICKET("12499", "from the beginning", .start = read_silence,
	       .fails = true),
};

const int n_history = sizeof(history) / sizeof(history[0]);

int history_late(void)
{
	return dial.late;
}
