/*
 * Client services.
 *
 *	stopped --start--> connecting --made--> preparing --ready--> connected
 *	   ^                   ^  |                 |                    |
 *	   |                   |  +----- failed ----+                    |
 *	   |                   |           |                             |
 *	   |                delay       rejecting                        |
 *	   |                   |           |                             |
 *	   |                waiting <------+------------ lost -----------+
 *	   |
 *	stopping <--stop-- whatever is under way
 *
 * The service is its own factory, for one connection at a time.  An attempt is
 * over when the factory is out of use: then no connector and no protocol is
 * left, and nothing lingers.  Nothing but that begins a delay, ends a stop, or
 * starts the service again, so there is never a second connection.  An attempt
 * holds a reference to the service until then.
 *
 * Callbacks of the program may do anything, also free the service.  So the
 * state is set before they are called, and whoever calls them looks at it
 * again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <plait/client_service.h>
#include <plait/later.h>
#include <plait/scope.h>

#include "lib/exception.h"
#include "protocols/endpoint.h"

/* Defined here; whoever calls them here says the place. */
#undef plait_client_service_stop
#undef plait_client_service_when_connected
#undef plait_value_borrowed_client

enum service_state {
	SERVICE_NEW, /* whoever waits, waits for the start */
	SERVICE_STOPPED,
	SERVICE_WAITING,
	SERVICE_CONNECTING,
	SERVICE_PREPARING,
	SERVICE_CONNECTED,
	SERVICE_REJECTING, /* the attempt has failed, and is not over yet */
	SERVICE_STOPPING,
	SERVICE_ABANDONED /* the reactor was freed */
};

struct plait_client_service {
	struct plait_factory factory;
	struct plait_reactor *reactor;
	struct plait_endpoint *endpoint;
	void *arg;
	struct plait_client_service_options options;
	enum service_state state;
	bool starts_again; /* when it has stopped */
	bool freed;	   /* and never starts again */
	unsigned refs;	   /* the handle's, the attempt's, those of calls */
	struct plait_list waiters, stoppers;

	/* Of the attempt, or of the connection that it has made. */
	struct plait_connector *connector;
	struct plait_protocol *protocol;
	struct borrowed_client *borrowed;
	struct plait_deferred *prepare;
	struct plait_scope_entry ending; /* of the connection meanwhile */
	struct plait_timer made;
	struct plait_timer timer;	 /* the time of the attempt is over; the
					    connection has lived */
	const struct plait_failure *why; /* it has failed */

	double seconds; /* of the delay */
	struct plait_deferred *delay;
};

/* ---- the connection as a value ------------------------------------- */

struct borrowed_client {
	unsigned refs;
	struct plait_protocol *protocol; /* NULL: it is gone */
};

static void borrowed_unref(void *ptr)
{
	struct borrowed_client *b = ptr;

	if (--b->refs == 0)
		free(b);
}

static void *borrowed_ref(void *ptr)
{
	((struct borrowed_client *)ptr)->refs++;
	return ptr;
}

const struct plait_type plait_borrowed_client_type = {
	.name = "borrowed client",
	.free = borrowed_unref,
	.ref = borrowed_ref,
};

struct plait_protocol *plait_value_borrowed_client(const plait_value *v,
						   const char *where)
{
	const struct borrowed_client *b =
		(plait_value_get)(v, &plait_borrowed_client_type, where);

	/* One that lingers was lost, too. */
	return b->protocol != NULL && b->protocol->connected ? b->protocol
							     : NULL;
}

static plait_value borrowed_value(struct borrowed_client *b)
{
	return plait_value_make(&plait_borrowed_client_type, borrowed_ref(b));
}

/* ---- those who wait ------------------------------------------------ */

/* In a list exactly as long as its deferred is pending. */
struct service_waiter {
	struct plait_list link;
	struct plait_promise *promise;
	unsigned failures_left; /* 0: any number */
};

static plait_value waiter_cancel(struct plait_deferred *d, void *arg)
{
	struct service_waiter *w = arg;

	plait_list_remove(&w->link);
	plait_promise_drop(&w->promise);
	free(w);
	return plait_cancelled();
}

static struct plait_deferred *
waiter_new(struct plait_list *line, unsigned failures_left, const char *where)
{
	struct service_waiter *w = calloc(1, sizeof(*w));
	struct plait_deferred *d;

	if (w == NULL)
		return (plait_failed)(plait_no_memory(), where);
	d = (plait_deferred_new)(&w->promise, waiter_cancel, w, where);
	if (w->promise == NULL) {
		free(w);
		return d;
	}
	w->failures_left = failures_left;
	plait_list_init(&w->link);
	plait_list_append(line, &w->link);
	return d;
}

/* Takes v. */
static void waiter_fire(struct plait_list *link, plait_value v)
{
	struct service_waiter *w =
		plait_container(link, struct service_waiter, link);
	struct plait_promise *promise = w->promise;

	plait_list_remove(&w->link);
	free(w);
	plait_fire(&promise, v);
}

/* Fires all who are in the line now, with v, which is taken. */
static void waiters_fire(struct plait_list *line, plait_value v)
{
	struct plait_list now, *l;

	plait_list_init(&now);
	plait_list_move(&now, line);
	while ((l = plait_list_first(&now)) != NULL)
		waiter_fire(l, plait_value_ref(&v));
	plait_value_free(&v);
}

/* An attempt has failed: takes out those who wait for no further one. */
static void waiters_count(struct plait_list *line, struct plait_list *ready)
{
	struct plait_list *l, *next;

	for (l = line->next; l != line; l = next) {
		struct service_waiter *w =
			plait_container(l, struct service_waiter, link);

		next = l->next;
		if (w->failures_left == 0 || --w->failures_left > 0)
			continue;
		plait_list_remove(l);
		plait_list_append(ready, l);
	}
}

static plait_value service_stopped_failure(const char *where)
{
	return (plait_fail)(where, &plait_error_cancelled,
			    "client service stopped");
}

static plait_value service_abandoned_failure(const char *where)
{
	return (plait_fail)(where, &plait_error_abandoned,
			    "the reactor of the client service was freed");
}

/* ---- life ---------------------------------------------------------- */

static void service_unref(struct plait_client_service *s)
{
	if (--s->refs > 0)
		return;
	plait_endpoint_unref(&s->endpoint);
	free(s);
}

static bool service_is_connected(const struct plait_client_service *s)
{
	return s->protocol != NULL && s->protocol->connected;
}

/* A connection that is being closed is of use to nobody. */
static bool service_is_open(const struct plait_client_service *s)
{
	return service_is_connected(s) &&
	       !plait_transport_is_disconnecting(s->protocol->transport);
}

/* Is there a connection for those who wait? */
static bool service_is_usable(const struct plait_client_service *s)
{
	return s->state == SERVICE_CONNECTED && service_is_open(s);
}

/* Nobody will be told of anything any more. */
static void service_abandon(struct plait_client_service *s)
{
	s->state = SERVICE_ABANDONED;
	waiters_fire(&s->waiters, service_abandoned_failure(PLAIT_HERE));
}

/* ---- attempts ------------------------------------------------------ */

static void service_is_late(void *arg);
static void service_did_not_begin(struct plait_client_service *s, int err,
				  const char *why);

static void service_attempt(struct plait_client_service *s)
{
	char why[PLAIT_ENDPOINT_WHY_SIZE] = "";

	s->state = SERVICE_CONNECTING;
	s->connector = plait_connector_ref(plait_i_endpoint_connect(
		s->endpoint, s->reactor, &s->factory, why));
	if (!plait_factory_is_used(&s->factory)) {
		service_did_not_begin(s, errno, why);
		return;
	}
	s->refs++;
	/* After the connector's timer, which says more of what was wrong. */
	plait_timer_start(s->reactor, &s->timer, s->options.timeout,
			  service_is_late, s);
}

static void service_try_again(void *arg)
{
	service_attempt(arg);
}

/*
 * A reactor that is freed ends the delay.  Without memory for the deferred that
 * would tell of that, there is still the delay.
 */
static plait_value service_delay_ended(plait_value *result, void *arg)
{
	struct plait_client_service *s = arg;
	struct plait_deferred *d = s->delay;
	plait_value v;

	if (d == NULL)
		return *result;
	v = plait_value_take(result);
	s->delay = NULL;
	plait_deferred_free(&d);
	s->refs++;
	if (!plait_value_is_failure(&v))
		service_attempt(s);
	else if (plait_failure_check(plait_value_failure(&v),
				     &plait_error_no_memory))
		plait_timer_start(s->reactor, &s->timer, s->seconds,
				  service_try_again, s);
	else
		service_abandon(s);
	plait_value_free(&v);
	service_unref(s);
	return PLAIT_NONE;
}

static void service_wait(struct plait_client_service *s)
{
	s->state = SERVICE_WAITING;
	s->seconds = plait_backoff_next(&s->options.backoff, s->reactor);
	s->delay = plait_defer_later(s->reactor, s->seconds, NULL, NULL);
	plait_deferred_add_both(s->delay, service_delay_ended, s);
}

/* why is borrowed. */
static void service_failed(struct plait_client_service *s,
			   const struct plait_failure *why)
{
	struct plait_list ready;

	plait_list_init(&ready);
	waiters_count(&s->waiters, &ready);
	service_wait(s);
	waiters_fire(&ready, plait_failure_value(why));
}

/*
 * The factory will be told of nothing.  ESHUTDOWN and ECHILD say that the
 * reactor is no more; other errors are of this attempt.
 */
static void service_did_not_begin(struct plait_client_service *s, int err,
				  const char *why)
{
	plait_value v;

	if (err == ESHUTDOWN || err == ECHILD) {
		service_abandon(s);
		return;
	}
	v = plait_i_endpoint_refused(s->endpoint, err, why);
	service_failed(s, plait_value_failure(&v));
	plait_value_free(&v);
}

static void service_has_stopped(struct plait_client_service *s)
{
	struct plait_list stoppers;

	plait_list_init(&stoppers);
	plait_list_move(&stoppers, &s->stoppers);
	s->state = SERVICE_STOPPED;
	if (s->starts_again) {
		s->starts_again = false;
		service_attempt(s);
	} else {
		waiters_fire(&s->waiters, service_stopped_failure(PLAIT_HERE));
	}
	waiters_fire(&stoppers, PLAIT_NONE);
}

static void service_end_prepare(struct plait_client_service *s)
{
	struct plait_deferred *d = s->prepare;

	s->prepare = NULL;
	plait_scope_leave(&s->ending);
	plait_deferred_free(&d);
}

/* Its protocol is told next, and gone then: what makes the connection ready
   may use it until now. */
static void service_connection_ends(void *arg)
{
	service_end_prepare(arg);
}

/*
 * why is taken; NULL stands for the reason of the end that is yet to come.  If
 * the connection does not end in the time of the attempt, it is aborted.
 */
static void service_reject(struct plait_client_service *s,
			   const struct plait_failure *why)
{
	s->state = SERVICE_REJECTING;
	s->why = why;
	plait_connector_disconnect(s->connector);
	service_end_prepare(s);
}

static void service_is_late(void *arg)
{
	struct plait_client_service *s = arg;

	if (service_is_connected(s))
		plait_transport_abort_connection(s->protocol->transport);
	if (s->state != SERVICE_REJECTING) {
		plait_value why =
			plait_fail(&plait_error_timeout, "not ready in %g s",
				   s->options.timeout);

		service_reject(s, plait_value_failure(&why));
	}
}

/* ---- a new connection ---------------------------------------------- */

static void service_has_lived(void *arg)
{
	struct plait_client_service *s = arg;

	if (service_is_usable(s))
		plait_backoff_reset(&s->options.backoff);
}

static void service_tell_connected(struct plait_client_service *s)
{
	struct borrowed_client *b = s->borrowed;
	struct plait_list *l;

	while (service_is_usable(s) &&
	       (l = plait_list_first(&s->waiters)) != NULL)
		waiter_fire(l, borrowed_value(b));
}

static void service_is_ready(struct plait_client_service *s)
{
	s->borrowed = malloc(sizeof(*s->borrowed));
	if (s->borrowed == NULL) {
		plait_value why = plait_no_memory();

		service_reject(s, plait_value_failure(&why));
		return;
	}
	*s->borrowed =
		(struct borrowed_client){ .refs = 1, .protocol = s->protocol };
	s->state = SERVICE_CONNECTED;
	plait_timer_start(s->reactor, &s->timer, s->options.backoff.min_uptime,
			  service_has_lived, s);
	service_tell_connected(s);
}

/*
 * With no memory for the pair this comes out of turn, with the failure for
 * that.
 */
static plait_value service_prepared(plait_value *result, void *arg)
{
	struct plait_client_service *s = arg;
	plait_value v;

	if (s->prepare == NULL)
		return *result;
	v = plait_value_take(result);
	if (plait_value_is_failure(&v)) {
		service_reject(s, plait_value_failure(&v));
		return PLAIT_NONE;
	}
	service_end_prepare(s);
	plait_value_free(&v);
	if (service_is_open(s))
		service_is_ready(s);
	else
		s->state = SERVICE_REJECTING;
	return PLAIT_NONE;
}

static void service_mind_ending(struct plait_client_service *s)
{
	struct plait_scope *scope =
		plait_transport_scope(s->protocol->transport);
	plait_value why;

	if (plait_scope_enter(scope, &s->ending, service_connection_ends, s) ==
	    0)
		return;
	why = plait_no_memory();
	service_reject(s, plait_value_failure(&why));
}

/* Has it stopped or freed the service?  Then nobody waits for what it began. */
static OUT_OF_LINE void service_call_prepare(struct plait_client_service *s)
{
	plait_value v = s->options.prepare(s->protocol, s->arg);

	exception_barrier();
	if (s->state == SERVICE_PREPARING) {
		s->prepare = plait_maybe_deferred(v);
		plait_deferred_add_both(s->prepare, service_prepared, s);
		if (s->prepare != NULL)
			service_mind_ending(s);
	} else {
		plait_value_free(&v);
	}
}

/* In the turn after connection_made(), which may have ended all. */
static void service_made(void *arg)
{
	struct plait_client_service *s = arg;

	if (s->state != SERVICE_CONNECTING || !service_is_open(s))
		return;
	s->state = SERVICE_PREPARING;
	if (s->options.prepare != NULL)
		service_call_prepare(s);
	else
		service_is_ready(s);
}

/* ---- the factory --------------------------------------------------- */

static struct plait_protocol *service_build(struct plait_factory *f,
					    const struct plait_address *peer)
{
	struct plait_client_service *s =
		plait_self(f, struct plait_client_service);

	s->protocol = plait_protocol_new(f->protocol);
	if (s->protocol != NULL)
		plait_timer_start(s->reactor, &s->made, 0, service_made, s);
	return s->protocol;
}

static void service_forget(struct plait_client_service *s)
{
	plait_timer_stop(&s->made);
	plait_timer_stop(&s->timer);
	plait_connector_unref(&s->connector);
	s->protocol = NULL;
	if (s->borrowed != NULL) {
		s->borrowed->protocol = NULL;
		borrowed_unref(s->borrowed);
		s->borrowed = NULL;
	}
}

/* Connecting has failed, or the connection was lost. */
static void service_end(struct plait_factory *f, struct plait_connector *c,
			const struct plait_failure *why)
{
	struct plait_client_service *s =
		plait_self(f, struct plait_client_service);

	service_forget(s);
	if (s->why == NULL)
		s->why = plait_failure_ref(why);
}

static void service_over(struct plait_factory *f)
{
	struct plait_client_service *s =
		plait_self(f, struct plait_client_service);
	const struct plait_failure *why = s->why;

	s->why = NULL;
	service_end_prepare(s);
	if (s->state == SERVICE_STOPPING)
		service_has_stopped(s);
	else if (s->state == SERVICE_CONNECTED)
		service_wait(s);
	else
		service_failed(s, why);
	plait_failure_unref(&why);
	service_unref(s);
}

static const struct plait_factory_ops service_ops = {
	.name = "client service",
	.stop = service_over,
	.build_protocol = service_build,
	.connection_failed = service_end,
	.connection_lost = service_end,
};

void *plait_client_service_arg(const struct plait_protocol *p)
{
	struct plait_factory *f = p->factory;

	if (f == NULL || f->ops != &service_ops)
		plait_die("plait_client_service_arg",
			  "the protocol %s is of no client service",
			  p->ops->name);
	return plait_self(f, struct plait_client_service)->arg;
}

/* ---- starting and stopping ----------------------------------------- */

static bool service_has_attempt(const struct plait_client_service *s)
{
	return s->state >= SERVICE_CONNECTING && s->state <= SERVICE_STOPPING;
}

void plait_client_service_start(struct plait_client_service *s)
{
	if (s == NULL || s->freed)
		return;
	if (s->state == SERVICE_STOPPING)
		s->starts_again = true;
	else if (s->state > SERVICE_STOPPED)
		return;
	plait_backoff_reset(&s->options.backoff);
	if (s->state <= SERVICE_STOPPED)
		service_attempt(s);
}

static void service_end_delay(struct plait_client_service *s)
{
	struct plait_deferred *d = s->delay;

	s->delay = NULL;
	plait_timer_stop(&s->timer);
	plait_deferred_free(&d);
}

/* Then the service has stopped, or is stopping until the attempt is over. */
static void service_give_up(struct plait_client_service *s)
{
	s->starts_again = false;
	if (service_has_attempt(s)) {
		s->state = SERVICE_STOPPING;
		plait_timer_stop(&s->timer);
		plait_connector_disconnect(s->connector);
		service_end_prepare(s);
	} else if (s->state != SERVICE_ABANDONED) {
		s->state = SERVICE_STOPPED;
		service_end_delay(s);
	}
}

struct plait_deferred *plait_client_service_stop(struct plait_client_service *s,
						 const char *where)
{
	struct plait_deferred *d;

	if (s == NULL)
		return (plait_succeed)(PLAIT_NONE, where);
	if (s->state == SERVICE_STOPPING) {
		s->starts_again = false;
		return waiter_new(&s->stoppers, 0, where);
	}
	d = service_has_attempt(s) ? waiter_new(&s->stoppers, 0, where)
				   : (plait_succeed)(PLAIT_NONE, where);
	service_give_up(s);
	waiters_fire(&s->waiters, service_stopped_failure(where));
	return d;
}

struct plait_deferred *
plait_client_service_when_connected(struct plait_client_service *s,
				    unsigned fail_after, const char *where)
{
	if (s == NULL)
		return (plait_failed)(plait_no_memory(), where);
	if (s->state == SERVICE_ABANDONED)
		return (plait_failed)(service_abandoned_failure(where), where);
	if (s->state == SERVICE_STOPPED)
		return (plait_failed)(service_stopped_failure(where), where);
	if (service_is_usable(s))
		return (plait_succeed)(borrowed_value(s->borrowed), where);
	return waiter_new(&s->waiters, fail_after, where);
}

/* ---- making, freeing, looking -------------------------------------- */

static double service_setting(double value, double otherwise)
{
	return value > 0 ? value : otherwise;
}

/* Has the program set what this library does not know? */
static bool
service_options_are_new(const struct plait_client_service_options *o)
{
	return RESERVED_IN_USE(&o->backoff) || RESERVED_IN_USE(o);
}

static void service_set(struct plait_client_service_options *o,
			const struct plait_client_service_options *options)
{
	struct plait_backoff *b = &o->backoff;

	if (options != NULL)
		*o = *options;
	b->factor = service_setting(b->factor, 1.5);
	b->max_delay = service_setting(b->max_delay, 60);
	b->min_uptime = service_setting(b->min_uptime, 1);
	o->timeout = service_setting(o->timeout, 30);
}

struct plait_client_service *
plait_client_service_new(struct plait_reactor *r, struct plait_endpoint *e,
			 const struct plait_protocol_ops *ops, void *arg,
			 const struct plait_client_service_options *options)
{
	struct plait_client_service *s;

	if (r == NULL)
		plait_die("plait_client_service_new()",
			  "was given a NULL reactor");
	s = e != NULL ? calloc(1, sizeof(*s)) : NULL;
	if (s == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	if (!plait_endpoint_can_connect(e, NULL, 0) ||
	    (options != NULL && service_options_are_new(options))) {
		free(s);
		errno = EINVAL;
		return NULL;
	}
	s->factory.ops = &service_ops;
	s->factory.protocol = ops;
	s->reactor = r;
	s->endpoint = plait_endpoint_ref(e);
	s->arg = arg;
	service_set(&s->options, options);
	s->refs = 1;
	plait_list_init(&s->waiters);
	plait_list_init(&s->stoppers);
	return s;
}

/* In a child made by fork() the attempt is the parent's, and never over. */
static bool service_is_forked(const struct plait_client_service *s)
{
	return s->connector != NULL &&
	       plait_connector_reactor(s->connector) == NULL;
}

static void service_forget_parents(struct plait_client_service *s)
{
	service_forget(s);
	s->state = SERVICE_STOPPED;
	service_end_prepare(s);
	plait_failure_unref(&s->why);
	waiters_fire(&s->stoppers, service_abandoned_failure(PLAIT_HERE));
	service_unref(s);
}

void plait_client_service_free(struct plait_client_service **sp)
{
	struct plait_client_service *s = sp != NULL ? *sp : NULL;

	if (s == NULL)
		return;
	*sp = NULL;
	s->freed = true;
	if (service_is_forked(s))
		service_forget_parents(s);
	service_give_up(s);
	waiters_fire(&s->waiters, plait_fail(&plait_error_abandoned,
					     "client service freed"));
	service_unref(s);
}

void plait_client_service_cleanup(struct plait_client_service **sp)
{
	plait_client_service_free(sp);
}

size_t plait_client_service_waiting(const struct plait_client_service *s)
{
	struct plait_list *l;
	size_t n = 0;

	if (s != NULL)
		plait_list_for_each (l, &s->waiters)
			n++;
	return n;
}

int plait_client_service_str(const struct plait_client_service *s, char *buf,
			     size_t size)
{
	static const char *const does[] = {
		[SERVICE_NEW] = "not started",
		[SERVICE_STOPPED] = "stopped",
		[SERVICE_WAITING] = "waiting to connect again",
		[SERVICE_CONNECTING] = "connecting",
		[SERVICE_PREPARING] = "preparing a connection",
		[SERVICE_CONNECTED] = "connected",
		[SERVICE_REJECTING] = "giving up an attempt",
		[SERVICE_STOPPING] = "stopping",
		[SERVICE_ABANDONED] = "without its reactor",
	};
	size_t n, left;

	if (s == NULL)
		return snprintf(buf, size, "no client service");
	n = (size_t)snprintf(buf, size, "client service for ");
	left = n < size ? size - n : 0;
	n += (size_t)plait_endpoint_str(s->endpoint, left > 0 ? buf + n : NULL,
					left);
	left = n < size ? size - n : 0;
	return (int)n + snprintf(left > 0 ? buf + n : NULL, left, ", %s",
				 does[s->state]);
}
