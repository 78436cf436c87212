/*
 * Cancel points: the runs of a check.
 *
 * The first run goes through, and collects the points: the moments at which the
 * loop has just called something, or is about to leave a callback, and at which
 * something else is alive than at all points before.  Then each point and each
 * way has a run of its own, which is ended when the same is alive for the first
 * time.  So the runs need not be equal: if the order of events varies, as on
 * real sockets, points that come up later are added to the list.
 *
 * A run that was ended has its grace; then nothing may be left; then the
 * scenario has to run through on the same reactor.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <plait/cancel_points.h>
#include <plait/simulation.h>

#include "lib/base.h"
#include "lib/exception.h"
#include "lib/unhandled.h"
#include "reactor/loop/loop.h"
#include "reactor/simulation/points.h"

enum {
	MAX_POINTS = 1000,
	/* Turns in which no time passes: something goes round in circles. */
	MAX_TURNS = 100000,
	MAX_WAIT = 1000000000 /* nanoseconds */
};

static const double points_grace = 60, points_patience = 3600,
		    points_real_patience = 10;

static const char points_where[] = "plait_check_cancel_points()";

/* ---- failures ------------------------------------------------------- */

static void points_unhandled(const struct plait_failure *why, void *arg)
{
	struct points *p = arg;
	char text[400];

	if (plait_failure_check(why, &plait_error_cancelled))
		return;
	plait_failure_str(why, text, sizeof(text));
	plait_i_points_fail(p, "nobody has handled a failure: %s", text);
}

/* ---- collecting points ---------------------------------------------- */

/* Returns the place of the key in the table: its own, or an empty one. */
static uint64_t *points_place_of(uint64_t *seen, size_t room, uint64_t key)
{
	size_t i = key & (room - 1);

	while (seen[i] != 0 && seen[i] != key)
		i = (i + 1) & (room - 1);
	return &seen[i];
}

/* The room is a power of two, and half of the table is empty. */
static bool points_grow(struct points *p)
{
	size_t room = p->room != 0 ? 2 * p->room : 128;
	struct point *all = realloc(p->all, room * sizeof(*all));
	uint64_t *seen;

	if (all == NULL)
		return false;
	p->all = all;
	seen = calloc(2 * room, sizeof(*seen));
	if (seen == NULL)
		return false;
	for (size_t i = 0; i < p->n; i++)
		*points_place_of(seen, 2 * room, all[i].key) = all[i].key;
	free(p->seen);
	p->seen = seen;
	p->room = room;
	return true;
}

/* 0 is no key. */
static uint64_t points_key(const struct points *p, bool inside)
{
	uint64_t key = 2 * p->live.key + inside;

	return key != 0 ? key : 2;
}

static void points_collect(struct points *p, uint64_t key, bool inside)
{
	uint64_t *place;

	if (p->n == p->room && !points_grow(p)) {
		plait_i_points_fail(p, "no memory for the points");
		return;
	}
	place = points_place_of(p->seen, 2 * p->room, key);
	if (*place == key)
		return;
	*place = key;
	p->all[p->n++] = (struct point){
		.key = key,
		.inside = inside,
		.connected = p->live.alive[LIVE_CONNECTION] > 0,
	};
}

/* ---- what happens in a run ------------------------------------------ */

/*
 * The loop has just called something, or will leave a callback.  A scenario
 * that has fired before the first such moment has one point nevertheless.
 */
static void points_pass(struct points *p, bool inside)
{
	uint64_t key = points_key(p, inside);

	if (p->outcome.times > 0 && p->passed)
		return;
	p->passed = true;
	if (!p->again)
		points_collect(p, key, inside);
	if (p->number != 0 && !p->again && key == p->point.key)
		plait_i_way_apply(p, inside);
}

/* If this happens in the run that nobody ends, too, it is how things are. */
static void points_fired_late(struct points *p)
{
	if (p->number == 0)
		p->is_late_anyway = true;
	if (p->applied && !p->is_late_anyway && !p->check->may_fire_late)
		plait_i_points_fail(p, "a promise was fired after its cancel: "
				       "what it stood for went on");
}

static void points_hear(struct live *l, enum trace_kind kind,
			const void *object, const char *text)
{
	struct points *p = plait_container(l, struct points, live);

	if (!p->begun)
		return;
	if (kind == TRACE_LATE)
		points_fired_late(p);
	if (kind == TRACE_CALLS && p->freed && plait_i_live_in_chain(l, object))
		plait_i_points_fail(p, "a callback runs after the deferred "
				       "was freed");
	if (p->busy || object != p->reactor || p->failed ||
	    (kind != TRACE_LEAVING && kind != TRACE_LEAVE))
		return;
	if (p->applied)
		plait_i_way_go_on(p);
	else
		points_pass(p, kind == TRACE_LEAVING);
}

static int64_t points_clock(struct live *l)
{
	struct points *p = plait_container(l, struct points, live);

	return p->reactor != NULL ? plait_i_clock_read(p->reactor) : 0;
}

/* ---- turning -------------------------------------------------------- */

typedef bool points_until(const struct points *p);

/*
 * What is due is done before time passes, so that no time passes after it.  A
 * simulation goes on while a reactor waits, and others may be what is awaited.
 */
static int points_turn_once(struct points *p, int64_t limit)
{
	if (plait_i_reactor_has_work(p->reactor))
		limit = 0;
	else if (limit > MAX_WAIT)
		limit = MAX_WAIT;
	return plait_i_reactor_turn(p->reactor, limit, points_where);
}

/*
 * Turns the reactor until that is true, for so many seconds at most.  Returns
 * false if it does not come true.
 */
static bool points_turn(struct points *p, points_until *until, double seconds)
{
	int64_t now = plait_i_clock_read(p->reactor), last = now, end;
	unsigned turns = 0;
	int rc = 0;

	if (__builtin_add_overflow(now, plait_i_clock_delay(seconds), &end))
		end = INT64_MAX;
	while (!until(p) && !p->failed && now < end && rc == 0) {
		rc = points_turn_once(p, end - now);
		now = plait_i_clock_read(p->reactor);
		turns = now == last ? turns + 1 : 0;
		last = now;
		if (turns > MAX_TURNS)
			plait_i_points_fail(p, "something happens again and "
					       "again, and no time passes");
	}
	if (rc < 0 && rc != -EDEADLK)
		plait_i_points_fail(p, "the reactor cannot turn: %s",
				    strerror(-rc));
	return until(p) && !p->failed;
}

static bool points_has_settled(const struct points *p)
{
	return p->outcome.times > 0 || p->freed;
}

static bool points_nothing_is_left(const struct points *p)
{
	return p->live.left == 0 && !p->stop_waits &&
	       !plait_i_loop_is_closing(p->reactor);
}

static bool points_is_real(const struct plait_reactor *r)
{
	const char *name;

	for (size_t i = 0; (name = plait_backend_name(i)) != NULL; i++) {
		if (strcmp(plait_reactor_backend(r), name) == 0)
			return true;
	}
	return false;
}

static double points_patience_of(const struct points *p)
{
	if (p->check->patience > 0)
		return p->check->patience;
	return points_is_real(p->reactor) ? points_real_patience
					  : points_patience;
}

/* ---- a run ---------------------------------------------------------- */

static void points_check_left(struct points *p)
{
	size_t open = plait_i_descriptors_open();

	if (open > p->descriptors)
		plait_i_points_fail(p, "%zu more descriptor%s open than before",
				    open - p->descriptors,
				    open - p->descriptors > 1 ? "s are"
							      : " is");
	if (p->live.no_memory)
		plait_i_points_fail(p, "no memory to see what is left");
	if (p->live.left > 0)
		plait_i_points_fail(p, "%zu more %s left than there %s before",
				    p->live.left,
				    p->live.left > 1 ? "are" : "is",
				    p->live.left > 1 ? "were" : "was");
}

static OUT_OF_LINE void points_ask(struct points *p)
{
	const char *wrong = p->check->after(p->check->arg);

	exception_barrier();
	if (wrong != NULL)
		plait_i_points_fail(p, "after the run: %s", wrong);
}

/*
 * What may end later ends, and the program looks at what it has.  It may end
 * something itself then, which gets a grace of its own.
 */
static void points_end(struct points *p)
{
	double grace = p->check->grace > 0 ? p->check->grace : points_grace;

	points_turn(p, points_nothing_is_left, grace);
	if (!p->failed && p->check->after != NULL) {
		points_ask(p);
		points_turn(p, points_nothing_is_left, grace);
	}
	if (!p->seeks)
		points_check_left(p);
}

/* One time through the scenario, whoever ends it. */
static void points_go(struct points *p)
{
	p->begun = p->applied = p->freed = p->frees_itself = false;
	p->settled_before = p->stop_waits = false;
	plait_i_live_mark(&p->live);
	p->descriptors = plait_i_descriptors_open();
	plait_i_way_start(p);
	points_turn(p, points_has_settled, points_patience_of(p));
	if (!p->seeks || p->number == 0)
		plait_i_way_judge(p);
	p->changed = p->applied && !p->settled_before && !p->outcome.value;
	(plait_deferred_free)(&p->deferred, points_where);
	(plait_scope_free)(&p->scope, points_where);
	points_end(p);
	plait_timer_stop(&p->stopper);
	p->begun = false;
}

/* A stop has ended ports that were there before: then the world is over. */
static bool points_world_is_over(const struct points *p)
{
	return p->how == PLAIT_CANCEL_STOP && p->live.gone[LIVE_PORT] > 0;
}

/* A simulated network of one host, on which nothing goes wrong. */
static struct plait_reactor *points_open_host(void)
{
	static const struct plait_simulation_options perfect = {
		.turn_time = 0,
	};
	struct plait_simulation *s = plait_simulation_new(1, &perfect);
	struct plait_reactor *r =
		plait_host_reactor(plait_simulation_host(s, "host"));

	if (r == NULL)
		plait_simulation_free(&s);
	return r;
}

static void points_close_host(struct plait_reactor *r)
{
	struct plait_simulation *s = plait_simulation_of(r);

	plait_reactor_free(&r);
	plait_simulation_free(&s);
}

static OUT_OF_LINE struct plait_reactor *points_open(const struct points *p)
{
	struct plait_reactor *r;

	if (p->given != NULL)
		return p->given;
	if (p->check->open == NULL)
		return points_open_host();
	r = p->check->open(p->check->arg);
	exception_barrier();
	return r;
}

static OUT_OF_LINE void points_close(struct points *p)
{
	struct plait_reactor *r = p->reactor;

	p->reactor = NULL;
	if (p->given != NULL)
		return;
	if (p->check->close != NULL)
		p->check->close(r, p->check->arg);
	else if (p->check->open != NULL)
		plait_reactor_free(&r);
	else
		points_close_host(r);
	exception_barrier();
}

/* Ends the run at that point, from 1 on; 0: nobody ends it. */
static void points_run(struct points *p, size_t number, unsigned how)
{
	p->number = number;
	p->how = how;
	p->again = false;
	if (number != 0)
		p->point = p->all[number - 1];
	p->report.runs++;
	p->reactor = points_open(p);
	if (p->reactor == NULL) {
		plait_i_points_fail(p, "there is no reactor: %s",
				    strerror(errno));
		return;
	}
	points_go(p);
	if (number != 0 && !p->applied)
		p->report.missed++;
	if (p->applied && !p->failed && !p->seeks && !points_world_is_over(p)) {
		p->again = true;
		points_go(p);
	}
	points_close(p);
}

/* ---- all runs ------------------------------------------------------- */

/* If the environment asks for one run, makes that. */
static bool points_run_asked(struct points *p)
{
	const char *asked = secure_getenv(plait_i_points_variable), *way;
	char *end;
	size_t number;

	if (asked == NULL)
		return false;
	number = strtoul(asked, &end, 10);
	way = *end == '/' ? end + 1 : end;
	for (unsigned i = 0; i < N_WAYS; i++) {
		if (number > 0 && number <= p->n &&
		    strcmp(plait_i_way_name(1u << i), way) == 0)
			points_run(p, number, 1u << i);
	}
	return true;
}

static void points_run_all(struct points *p)
{
	size_t max =
		p->check->max_points != 0 ? p->check->max_points : MAX_POINTS;
	unsigned ways = p->check->how != 0 ? p->check->how : (1 << N_WAYS) - 1;

	points_run(p, 0, 0);
	if (p->failed || points_run_asked(p))
		return;
	for (size_t i = 0; i < p->n && !p->failed; i++) {
		if (p->n > max && i * max / p->n == (i + 1) * max / p->n)
			continue;
		for (unsigned how = 1; how <= ways && !p->failed; how <<= 1) {
			if ((ways & how) && plait_i_way_fits(how, &p->all[i]))
				points_run(p, i + 1, how);
		}
	}
}

static void points_say_failed(const struct points *p)
{
	if (p->failed)
		plait_i_base_say(p->report.text, strlen(p->report.text));
}

static size_t points_check(struct points *p, void (*run)(struct points *p),
			   struct plait_check_report *ret)
{
	plait_unhandled_hook *hook = points_unhandled;
	void *arg = p;

	p->live.tell = points_hear;
	p->live.clock = points_clock;
	plait_i_failure_swap_hook(&hook, &arg);
	plait_i_live_begin(&p->live);
	run(p);
	plait_i_live_end(&p->live);
	plait_i_failure_swap_hook(&hook, &arg);
	p->report.points = p->n;
	points_say_failed(p);
	if (ret != NULL)
		*ret = p->report;
	free(p->all);
	free(p->seen);
	return p->failed ? 0 : p->n;
}

/* The first point at which a cancel changes what comes of it is enough. */
static void points_seek_change(struct points *p)
{
	points_run(p, 0, 0);
	for (size_t i = 0; i < p->n && !p->failed; i++) {
		points_run(p, i + 1, PLAIT_CANCEL_CALL);
		if (p->changed)
			return;
	}
	plait_i_points_fail(p, "no cancel changes what comes of it");
}

size_t plait_check_cancel_points(const struct plait_cancel_check *c,
				 struct plait_check_report *ret)
{
	struct points p = { .check = c };

	return points_check(&p, points_run_all, ret);
}

size_t plait_check_cancel_points_on(struct plait_reactor *r,
				    const struct plait_cancel_check *c,
				    struct plait_check_report *ret)
{
	struct points p = { .check = c, .given = r };

	loop_check_given(r, "plait_check_cancel_points_on()", NULL);
	return points_check(&p, points_run_all, ret);
}

bool plait_check_is_cancellable(const struct plait_cancel_check *c,
				struct plait_check_report *ret)
{
	struct points p = { .check = c, .seeks = true };

	return points_check(&p, points_seek_change, ret) > 0;
}
