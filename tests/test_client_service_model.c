/*
 * Client services under random programs, which start, stop, wait, cancel and
 * free, while a server accepts, refuses, hangs, drops and reads nothing.  A
 * small model says what comes of each step: who is told of what, whether an
 * attempt is under way or a connection open, and at which time the next attempt
 * begins.  $PLAIT_SEEDS says how many programs to run, and $PLAIT_SEED which
 * one alone.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <plait/client_service.h>
#include <plait/testing.h>

#include "lib/chance.h"
#include "tests/harness.h"
#include "tests/steps.h"

enum { STEPS = 80, WAITS = 6, PROGRAMS = 3000 };

static const double attempt_time = 5, close_timeout = 30;

/* ---- the model -------------------------------------------------------- */

enum state {
	NEW,
	STOPPED,
	WAITING,
	CONNECTING,
	PREPARING,
	CONNECTED,
	REJECTING,
	STOPPING
};

/* How prepare() answers; the last lets it wait. */
enum prepare { NO_PREPARE, PREPARE_IS_WELL, PREPARE_FAILS, PREPARE_WAITS };

/* Who waits for a connection or for the end of a stop, and what comes of it. */
struct wait {
	struct plait_deferred *d; /* NULL: a free place */
	bool is_stop, pending;
	unsigned failures_left;
	unsigned order;
	const struct plait_error *kind; /* NULL: it is well */
	int connection;
};

static struct {
	enum state state;
	enum prepare prepare;
	bool starts_again;
	struct plait_backoff backoff;
	double uptime;
	double now, due; /* of the delay; of the attempt; of the uptime */
	const struct plait_error *why;
	int connection; /* the number of the last */
	bool is_open, is_closing, is_stuck;
	double closing_since;
	struct wait waits[WAITS];
	unsigned asked;
} model;

static void settle(bool is_stop, const struct plait_error *kind, int connection)
{
	for (int i = 0; i < WAITS; i++) {
		struct wait *w = &model.waits[i];

		if (w->d == NULL || !w->pending || w->is_stop != is_stop)
			continue;
		w->pending = false;
		w->kind = kind;
		w->connection = connection;
	}
}

static void model_attempt(void)
{
	model.state = CONNECTING;
	model.due = model.now + attempt_time;
}

static void model_wait(struct plait_reactor *r)
{
	model.state = WAITING;
	model.due = model.now + plait_backoff_next(&model.backoff, r);
}

static void model_failed(const struct plait_error *kind)
{
	for (int i = 0; i < WAITS; i++) {
		struct wait *w = &model.waits[i];

		if (w->d == NULL || !w->pending || w->is_stop ||
		    w->failures_left == 0 || --w->failures_left > 0)
			continue;
		w->pending = false;
		w->kind = kind;
	}
	model_wait(reactor);
}

static void model_stopped(void)
{
	settle(true, NULL, 0);
	model.state = STOPPED;
	if (model.starts_again)
		model_attempt();
	else
		settle(false, &plait_error_cancelled, 0);
	model.starts_again = false;
}

/* Everything of an attempt or a connection has ended. */
static void model_over(const struct plait_error *kind)
{
	model.is_open = model.is_closing = model.is_stuck = false;
	if (model.state == STOPPING)
		model_stopped();
	else if (model.state == CONNECTED)
		model_wait(reactor);
	else
		model_failed(model.why != NULL ? model.why : kind);
	model.why = NULL;
}

static void model_lose(void)
{
	if (model.is_closing)
		return;
	model.is_closing = true;
	model.closing_since = model.now;
	if (!model.is_stuck)
		model_over(&plait_error_connection_done);
}

static void model_reject(const struct plait_error *why)
{
	model.state = REJECTING;
	model.why = why;
	model_lose();
}

static void model_ready(void)
{
	if (model.is_closing) {
		model.state = REJECTING;
		return;
	}
	model.state = CONNECTED;
	model.due = model.now + model.uptime;
	settle(false, NULL, model.connection);
}

static void model_made(void)
{
	model.connection++;
	model.is_open = true;
	model.state = PREPARING;
	if (model.prepare == PREPARE_FAILS)
		model_reject(&plait_error_user);
	else if (model.prepare != PREPARE_WAITS)
		model_ready();
}

static void model_give_up(void)
{
	enum state state = model.state;

	model.starts_again = false;
	if (state < CONNECTING) {
		model.state = STOPPED;
	} else if (state != STOPPING) {
		model.state = STOPPING;
		if (state == CONNECTING)
			model_over(NULL);
		else
			model_lose();
	}
}

static void model_is_late(void)
{
	if (model.state != REJECTING)
		model.why = &plait_error_timeout;
	model_over(&plait_error_connection_aborted);
}

/* The next thing that time brings; false: there is nothing until now. */
static bool model_time_passes(void)
{
	double closes = model.is_closing ? model.closing_since + close_timeout
					 : INFINITY;
	double due = model.state < WAITING || model.state == STOPPING
			     ? INFINITY
			     : model.due;

	if (due > model.now && closes > model.now)
		return false;
	if (closes < due) {
		model_over(&plait_error_connection_aborted);
	} else if (model.state == WAITING) {
		model_attempt();
	} else if (model.state == CONNECTED) {
		model.due = INFINITY;
		if (!model.is_closing)
			plait_backoff_reset(&model.backoff);
	} else {
		model_is_late();
	}
	return true;
}

/* ---- the real one ----------------------------------------------------- */

static struct plait_client_service *service;
static struct plait_transport *transport; /* NULL: no connection is open */
static int made;
static struct plait_promise *preparing;

struct numbered {
	struct plait_protocol base;
	int number;
};

/* Never two connections at once, nor a connection and an attempt. */
static void note_made(struct plait_protocol *p)
{
	ck_assert_ptr_null(transport);
	ck_assert_ptr_null(plait_testing_connector(reactor));
	transport = p->transport;
	((struct numbered *)p)->number = ++made;
}

static void note_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	ck_assert_ptr_eq(transport, p->transport);
	transport = NULL;
}

static const struct plait_protocol_ops client_ops = {
	.name = "client",
	.size = sizeof(struct numbered),
	.connection_made = note_made,
	.connection_lost = note_lost,
};

static plait_value stop_preparing(struct plait_deferred *d, void *arg)
{
	plait_promise_drop(&preparing);
	return plait_cancelled();
}

static plait_value prepare(struct plait_protocol *p, void *arg)
{
	struct plait_deferred *d;

	if (model.prepare == PREPARE_FAILS)
		return plait_fail(&plait_error_user, "no");
	if (model.prepare == PREPARE_IS_WELL)
		return plait_int(1);
	ck_assert_ptr_null(preparing);
	d = plait_deferred_new(&preparing, stop_preparing, NULL);
	return plait_chain(&d);
}

/* ---- steps ------------------------------------------------------------ */

static uint64_t chance;
static char said[STEPS * 24 + 1];

static unsigned below(unsigned n)
{
	return (unsigned)(chance_next(&chance) >> 33) % n;
}

static void say(const char *fmt, ...) PLAIT_PRINTF(1, 2);
static void say(const char *fmt, ...)
{
	size_t n = strlen(said);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(said + n, sizeof(said) - n, fmt, ap);
	va_end(ap);
}

static void begin_service(void)
{
	struct plait_client_service_options o = {
		.backoff = { .random = chance_next(&chance) | 1,
			     .factor = 2,
			     .max_delay = 10,
			     .min_uptime = 1 + below(3) },
		.timeout = attempt_time,
	};
	struct plait_endpoint *e;

	model.state = NEW;
	model.backoff = o.backoff;
	model.uptime = o.backoff.min_uptime;
	model.prepare = (enum prepare)below(4);
	if (model.prepare != NO_PREPARE)
		o.prepare = prepare;
	ck_assert_int_eq(plait_endpoint_parse("tcp:127.0.0.1:7:timeout=99999",
					      &e, NULL, 0),
			 0);
	service = plait_client_service_new(reactor, e, &client_ops, NULL, &o);
	plait_endpoint_unref(&e);
	say("new(%d) ", (int)model.prepare);
}

static void step_start(void)
{
	say("start ");
	plait_client_service_start(service);
	if (model.state == STOPPING) {
		model.starts_again = true;
		plait_backoff_reset(&model.backoff);
	}
	if (model.state > STOPPED)
		return;
	plait_backoff_reset(&model.backoff);
	model_attempt();
}

static struct wait *free_place(void)
{
	for (int i = 0; i < WAITS; i++)
		if (model.waits[i].d == NULL)
			return &model.waits[i];
	return NULL;
}

static void step_stop(void)
{
	struct wait *w = free_place();
	bool was_stopping = model.state == STOPPING;

	if (w == NULL)
		return;
	say("stop ");
	*w = (struct wait){ .is_stop = true,
			    .pending = true,
			    .d = plait_client_service_stop(service) };
	if (!was_stopping)
		settle(false, &plait_error_cancelled, 0);
	if (model.state < CONNECTING)
		w->pending = false;
	model_give_up();
}

static void step_wait(void)
{
	struct wait *w = free_place();
	unsigned failures = below(4);

	if (w == NULL)
		return;
	say("wait(%u) ", failures);
	*w = (struct wait){ .pending = true,
			    .failures_left = failures,
			    .d = plait_client_service_when_connected(
				    service, failures) };
	if (model.state == STOPPED) {
		w->pending = false;
		w->kind = &plait_error_cancelled;
	} else if (model.state == CONNECTED && !model.is_closing) {
		w->pending = false;
		w->connection = model.connection;
	}
}

static void forget_wait(struct wait *w)
{
	handle_all(w->d);
	plait_deferred_free(&w->d);
}

static void step_cancel(void)
{
	struct wait *w = &model.waits[below(WAITS)];

	if (w->d == NULL)
		return;
	say("cancel%d ", (int)(w - model.waits));
	plait_deferred_cancel(w->d);
	if (w->pending)
		w->kind = &plait_error_cancelled;
	w->pending = false;
	if (below(2) == 0)
		forget_wait(w);
}

static void step_forget(void)
{
	struct wait *w = &model.waits[below(WAITS)];

	if (w->d == NULL)
		return;
	say("forget%d ", (int)(w - model.waits));
	forget_wait(w);
}

/* Whoever waits for a stop is told when that is over, without the service. */
static void step_free(void)
{
	if (below(6) > 0)
		return;
	say("free ");
	plait_client_service_free(&service);
	settle(false, &plait_error_abandoned, 0);
	if (transport != NULL)
		plait_testing_set_window(transport, SIZE_MAX);
	plait_testing_advance(reactor, 0);
	ck_assert_ptr_null(transport);
	model.is_stuck = false;
	model_give_up();
	if (model.state == STOPPING)
		model_over(NULL);
	begin_service();
}

static void step_accept(void)
{
	struct plait_connector *c = plait_testing_connector(reactor);

	if (c == NULL)
		return;
	say("accept ");
	plait_testing_complete(c);
	model_made();
}

static void step_refuse(void)
{
	plait_value why = plait_fail(&plait_error_connection_refused, "no");
	struct plait_connector *c = plait_testing_connector(reactor);

	if (c != NULL) {
		say("refuse ");
		plait_testing_refuse(c, plait_value_failure(&why));
		model_over(&plait_error_connection_refused);
	}
	plait_value_free(&why);
}

static void step_drop(void)
{
	plait_value why = plait_fail(&plait_error_connection_lost, "gone");

	if (transport != NULL) {
		say("drop ");
		plait_testing_lose(transport, plait_value_failure(&why));
		model_over(&plait_error_connection_lost);
	}
	plait_value_free(&why);
}

static void step_close(void)
{
	if (transport == NULL || below(2) > 0)
		return;
	say("close ");
	plait_transport_lose_connection(transport);
	model_lose();
}

static void step_stick(void)
{
	if (transport == NULL || model.is_closing)
		return;
	say("stick ");
	plait_testing_set_window(transport, 0);
	plait_transport_write(transport, "x", 1);
	model.is_stuck = true;
}

static void step_unstick(void)
{
	if (transport == NULL || !model.is_stuck)
		return;
	say("unstick ");
	plait_testing_set_window(transport, SIZE_MAX);
	model.is_stuck = false;
	if (model.is_closing)
		model_over(&plait_error_connection_done);
}

static void step_prepared(void)
{
	plait_value v = plait_int(1);

	if (preparing == NULL)
		return;
	say("prepared ");
	if (below(3) == 0)
		v = plait_fail(&plait_error_user, "no");
	if (plait_value_is_failure(&v))
		model_reject(&plait_error_user);
	else
		model_ready();
	plait_fire(&preparing, v);
}

/* Often until just before, or exactly until, something happens. */
static double some_time(void)
{
	double left = model.due - model.now;

	if (model.state >= WAITING && left > 0.01 && left < 100 &&
	    below(2) == 0)
		return below(2) == 0 ? left - 0.001 : left + 0.0001;
	/* Never to the nanosecond, which the model does not know. */
	return below(4000) / 500.0 + 0.000123 + (below(9) == 0 ? 30 : 0);
}

static void step_time(void)
{
	double seconds = some_time();

	say("%g ", seconds);
	plait_testing_advance(reactor, seconds);
	model.now = plait_reactor_seconds(reactor);
	while (model_time_passes())
		;
}

/* ---- comparing -------------------------------------------------------- */

static void check(unsigned seed, bool holds, const char *what)
{
	ck_assert_msg(holds, "seed %u: %s, after: %s", seed, what, said);
}
#define CHECK(condition) check(seed, condition, #condition)

static void compare_wait(unsigned seed, const struct wait *w)
{
	const plait_value *v = plait_deferred_result(w->d);
	const struct plait_protocol *p;

	CHECK(w->pending == (v == NULL));
	if (v == NULL)
		return;
	CHECK(plait_value_is_failure(v) == (w->kind != NULL));
	if (w->kind != NULL) {
		CHECK(plait_failure_kind(plait_value_failure(v)) == w->kind);
		return;
	}
	CHECK(plait_value_is_none(v) == w->is_stop);
	if (w->is_stop)
		return;
	p = plait_value_borrowed_client(v);
	CHECK((p != NULL) ==
	      (model.is_open && w->connection == model.connection));
	CHECK(p == NULL ||
	      ((const struct numbered *)p)->number == w->connection);
}

static void compare(unsigned seed)
{
	size_t waiting = 0;

	CHECK((plait_testing_connector(reactor) != NULL) ==
	      (model.state == CONNECTING));
	CHECK((transport != NULL) == model.is_open);
	CHECK(made == model.connection);
	CHECK((preparing != NULL) == (model.state == PREPARING));
	for (int i = 0; i < WAITS; i++) {
		struct wait *w = &model.waits[i];

		if (w->d == NULL)
			continue;
		compare_wait(seed, w);
		waiting += w->pending && !w->is_stop;
	}
	CHECK(plait_client_service_waiting(service) == waiting);
}

/* Does one that can be done now. */
static void do_some_step(void)
{
	static void (*const steps[])(void) = {
		step_start,    step_stop,    step_wait, step_wait,
		step_cancel,   step_forget,  step_free, step_accept,
		step_accept,   step_refuse,  step_drop, step_close,
		step_stick,    step_unstick, step_time, step_time,
		step_prepared,
	};
	size_t before = strlen(said);

	while (strlen(said) == before)
		steps[below(sizeof(steps) / sizeof(*steps))]();
}

static void run_program(unsigned seed)
{
	memset(&model, 0, sizeof(model));
	said[0] = '\0';
	made = 0;
	chance = seed;
	reactor = plait_testing_reactor_new();
	begin_service();
	for (int i = 0; i < STEPS; i++) {
		do_some_step();
		plait_testing_advance(reactor, 0);
		compare(seed);
	}
	plait_client_service_free(&service);
	for (int i = 0; i < WAITS; i++)
		if (model.waits[i].d != NULL)
			forget_wait(&model.waits[i]);
	plait_testing_advance(reactor, 100);
	plait_reactor_free(&reactor);
	CHECK(transport == NULL && preparing == NULL);
}

/* ---- callbacks that do anything ---------------------------------------- */

/*
 * No model follows these, but what always holds is looked at: one connection
 * or attempt at a time, no attempt without its delay unless the program has
 * started the service since, and everybody is told.
 */
enum { DEPTH = 4 };

static unsigned depth, told, asked, starts, starts_before;
static double ended; /* when the last connection or attempt did */
static struct plait_deferred *kept;

static void act(void);

static plait_value told_something(plait_value *result, void *arg)
{
	told++;
	act();
	return PLAIT_NONE;
}

static void ask(struct plait_deferred *d)
{
	asked++;
	plait_deferred_add_both(d, told_something, NULL);
	if (kept == NULL && below(2) == 0)
		kept = d;
	else
		plait_deferred_detach(&d);
}

static void act_free(void)
{
	struct plait_client_service *s = service;

	if (below(8) > 0)
		return;
	service = NULL;
	plait_client_service_free(&s);
}

static void act_prepared(void)
{
	plait_value v = below(2) == 0 ? PLAIT_NONE
				      : plait_fail(&plait_error_user, "no");

	plait_fire(&preparing, v);
}

static void act_once(void)
{
	switch (below(8)) {
	case 0:
		starts++;
		plait_client_service_start(service);
		break;
	case 1:
		ask(plait_client_service_stop(service));
		break;
	case 2:
	case 3:
		ask(plait_client_service_when_connected(service, below(3)));
		break;
	case 4:
		plait_deferred_free(&kept);
		break;
	case 5:
		if (transport != NULL)
			plait_transport_lose_connection(transport);
		break;
	case 6:
		act_prepared();
		break;
	default:
		act_free();
	}
}

/* Callbacks of callbacks do less and less. */
static void act(void)
{
	if (depth == DEPTH)
		return;
	depth++;
	for (unsigned n = below(4); n > 0; n--)
		act_once();
	depth--;
}

static void wild_made(struct plait_protocol *p)
{
	note_made(p);
	act();
}

static void wild_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	note_lost(p, why);
	ended = plait_reactor_seconds(reactor);
	act();
}

static void wild_done(struct plait_protocol *p)
{
	act();
}

static const struct plait_protocol_ops wild_ops = {
	.name = "wild",
	.size = sizeof(struct numbered),
	.connection_made = wild_made,
	.done = wild_done,
	.connection_lost = wild_lost,
};

static plait_value wild_stop_preparing(struct plait_deferred *d, void *arg)
{
	plait_promise_drop(&preparing);
	act();
	return plait_cancelled();
}

static plait_value wild_prepare(struct plait_protocol *p, void *arg)
{
	struct plait_deferred *d;

	act();
	if (below(3) == 0)
		return plait_fail(&plait_error_user, "no");
	ck_assert_ptr_null(preparing);
	d = plait_deferred_new(&preparing, wild_stop_preparing, NULL);
	return plait_chain(&d);
}

static void begin_wild(void)
{
	struct plait_client_service_options o = {
		.backoff = { .jitter = -1, .factor = 2 },
		.timeout = attempt_time,
		.prepare = below(3) == 0 ? NULL : wild_prepare,
	};
	struct plait_endpoint *e;

	ck_assert_int_eq(plait_endpoint_parse("tcp:127.0.0.1:7", &e, NULL, 0),
			 0);
	service = plait_client_service_new(reactor, e, &wild_ops, NULL, &o);
	plait_endpoint_unref(&e);
}

/* The network does something, or time passes. */
static void wild_step(unsigned seed)
{
	plait_value why = plait_fail(&plait_error_connection_refused, "no");
	struct plait_connector *c = plait_testing_connector(reactor);
	unsigned what = below(6);

	if (what == 0 && c != NULL) {
		ended = plait_reactor_seconds(reactor);
		plait_testing_refuse(c, plait_value_failure(&why));
	} else if (what <= 2 && c != NULL) {
		plait_testing_complete(c);
	} else if (what == 3 && transport != NULL) {
		plait_testing_lose(transport, plait_value_failure(&why));
	} else if (what == 4) {
		act();
	} else {
		plait_testing_advance(reactor, below(1500) / 500.0);
	}
	plait_value_free(&why);
	plait_testing_advance(reactor, 0);
	if (c == NULL && plait_testing_connector(reactor) != NULL &&
	    starts == starts_before)
		CHECK(plait_reactor_seconds(reactor) - ended > 1.999);
	if (plait_testing_connector(reactor) != NULL)
		starts_before = starts;
}

static void run_wild(unsigned seed)
{
	memset(&model, 0, sizeof(model));
	said[0] = '\0';
	chance = seed;
	made = 0;
	told = asked = depth = starts = starts_before = 0;
	ended = -10;
	reactor = plait_testing_reactor_new();
	for (int i = 0; i < STEPS; i++) {
		if (service == NULL && transport == NULL)
			begin_wild();
		wild_step(seed);
	}
	depth = DEPTH;
	plait_client_service_free(&service);
	plait_deferred_free(&kept);
	plait_testing_advance(reactor, 100);
	CHECK(told == asked);
	CHECK(transport == NULL && preparing == NULL);
	CHECK(plait_testing_connector(reactor) == NULL);
	plait_reactor_free(&reactor);
}

static unsigned number_from(const char *name, unsigned otherwise)
{
	const char *n = getenv(name);

	return n != NULL ? (unsigned)strtoul(n, NULL, 10) : otherwise;
}

GROUP("programs", .timeout = 3600);

static void run_each(void (*run)(unsigned seed))
{
	unsigned one = number_from("PLAIT_SEED", 0);
	unsigned n = number_from("PLAIT_SEEDS", PROGRAMS);

	for (unsigned seed = one > 0 ? one : 1; seed <= (one > 0 ? one : n);
	     seed++)
		run(seed);
}

TEST(random_programs_do_what_the_model_does, PURE)
{
	run_each(run_program);
}

TEST(callbacks_that_do_anything_keep_one_connection, PURE)
{
	run_each(run_wild);
}
