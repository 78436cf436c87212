/*
 * The world: time, and whose turn it is.
 *
 * Of all that can happen at this moment, turns of reactors and the next of the
 * future, chance picks one; it happens, and everybody is looked at again.  If
 * nothing can happen now, time jumps to the first moment at which something
 * can.  A reactor that is in a turn already, because its program runs it, is
 * left alone: so that the world can go on inside its wait.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/exception.h"
#include "reactor/simulation/world.h"

enum { NS_PER_S = 1000000000, MAX_TURNS_OF_A_MOMENT = 200000 };

enum { PATIENCE = 60 }; /* seconds to stop in */

/* ---- options ------------------------------------------------------------- */

/*
 * Each seed draws what goes wrong in its world at all, and how often: a world
 * in which everything goes wrong a little would never come to the states that
 * need one thing to go wrong all the time, or not at all.
 */
static double draw_often(struct random_stream *s, double most)
{
	return plait_i_random_below(s, 2) == 0 ? 0
					       : most * plait_i_random_share(s);
}

static double draw_seldom(struct random_stream *s, double most)
{
	return plait_i_random_below(s, 4) != 0 ? 0
					       : most * plait_i_random_share(s);
}

/* 0, or up to one of these, each as often. */
static double draw_from(struct random_stream *s, const double *most, size_t n)
{
	size_t i = plait_i_random_below(s, n + 1);

	return i == 0 ? 0 : most[i - 1] * plait_i_random_share(s);
}

/* One draw a statement: C lets the members of a list be drawn in any order. */
static struct plait_link draw_link(struct random_stream *s)
{
	static const double latencies[] = { 0.001, 0.01, 0.1, 0.4 };
	static const double jitters[] = { 0.001, 0.05 };
	struct plait_link l = { .latency = draw_from(s, latencies, 4) };

	l.jitter = draw_from(s, jitters, 2);
	l.rate = draw_seldom(s, 1e6);
	l.loss = draw_often(s, 0.3);
	l.reset = draw_seldom(s, 0.02);
	return l;
}

static struct plait_host_faults draw_faults(struct random_stream *s)
{
	struct plait_host_faults f = { .short_read = draw_often(s, 1) };

	f.short_write = draw_often(s, 1);
	f.interrupted = draw_seldom(s, 0.3);
	f.spurious = draw_seldom(s, 0.3);
	f.no_descriptors = draw_seldom(s, 0.1);
	f.no_memory = draw_seldom(s, 0.1);
	return f;
}

static void draw_options(struct plait_simulation *s)
{
	struct random_stream chance;

	plait_i_random_init(&chance, s->seed, "options");
	s->options.link = draw_link(&chance);
	s->options.faults = draw_faults(&chance);
	s->options.turn_time = draw_often(&chance, 0.01);
}

/* ---- life ---------------------------------------------------------------- */

static int world_drive(struct plait_simulation *s, struct host_kernel *k,
		       int64_t until);
static bool world_maybe(struct chance_hook *h, double probability,
			const char *where);
static void world_sometimes(struct chance_hook *h, bool condition,
			    const char *what, const char *where);

static void simulation_init(struct plait_simulation *s, uint64_t seed,
			    const struct plait_simulation_options *options)
{
	s->seed = seed;
	s->drive = world_drive;
	s->hook = (struct chance_hook){ world_maybe, world_sometimes };
	plait_list_init(&s->hosts);
	plait_list_init(&s->calls);
	plait_list_init(&s->streams);
	plait_i_random_init(&s->future.random, seed, "order of events");
	plait_i_random_init(&s->chance, seed, "turns");
	if (options != NULL)
		s->options = *options;
	else
		draw_options(s);
	if (s->options.max_descriptors == 0)
		s->options.max_descriptors = 1024;
	s->link = s->options.link;
	s->faults_are_to_begin = options == NULL;
	if (options != NULL)
		s->faults = s->options.faults;
}

struct plait_simulation *
plait_i_simulation_new(uint64_t seed,
		       const struct plait_simulation_options *options)
{
	struct plait_simulation *s;

	if (options != NULL &&
	    (RESERVED_IN_USE(options) || RESERVED_IN_USE(&options->link) ||
	     RESERVED_IN_USE(&options->faults))) {
		errno = EINVAL;
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	simulation_init(s, seed, options);
	plait_i_witness_begin(&s->witness, s);
	return s;
}

/* The one whose events are recorded in this thread, at its time. */
static _Thread_local const struct plait_simulation *simulation_traced;

static int64_t simulation_trace_clock(void)
{
	return simulation_traced->now;
}

void plait_i_simulation_trace(struct plait_simulation *s)
{
	s->is_traced = plait_i_trace_world_begins(simulation_trace_clock);
	if (s->is_traced)
		simulation_traced = s;
}

void plait_i_simulation_end_trace(struct plait_simulation *s)
{
	if (s->is_traced)
		plait_i_trace_world_ends();
	s->is_traced = false;
}

struct plait_simulation *
plait_simulation_new(uint64_t seed,
		     const struct plait_simulation_options *options)
{
	struct plait_simulation *s = plait_i_simulation_new(seed, options);

	if (s != NULL)
		plait_i_simulation_trace(s);
	return s;
}

struct simulation_call {
	struct plait_list link; /* in the calls of the simulation */
	struct future_event event;
	struct plait_simulation *simulation;
	plait_func *fn;
	void *arg;
};

static void call_free(struct simulation_call *c)
{
	plait_i_future_cancel(&c->simulation->future, &c->event);
	plait_list_remove(&c->link);
	free(c);
}

void plait_i_simulation_drop_calls(struct plait_simulation *s)
{
	struct plait_list *l;

	while ((l = plait_list_first(&s->calls)) != NULL)
		call_free(plait_container(l, struct simulation_call, link));
}

struct named_stream {
	struct plait_list link;
	struct random_stream stream;
	char name[];
};

static void simulation_free_lists(struct plait_simulation *s)
{
	struct plait_list *l;

	plait_i_simulation_drop_calls(s);
	while ((l = plait_list_first(&s->streams)) != NULL) {
		plait_list_remove(l);
		free(plait_container(l, struct named_stream, link));
	}
	/* What is on the wire belongs to two hosts. */
	plait_list_for_each (l, &s->hosts)
		plait_i_sockets_done(
			plait_container(l, struct plait_host, link));
	/* The sockets of a host know those of others. */
	plait_list_for_each (l, &s->hosts)
		plait_i_sockets_done(
			plait_container(l, struct plait_host, link));
	while ((l = plait_list_first(&s->hosts)) != NULL)
		plait_i_host_free(plait_container(l, struct plait_host, link));
}

void plait_simulation_free(struct plait_simulation **sp)
{
	struct plait_simulation *s = sp != NULL ? *sp : NULL;

	if (s == NULL)
		return;
	plait_assert(!s->driving);
	plait_i_hosts_settle(s);
	plait_i_hosts_end_programs(s);
	*sp = NULL;
	simulation_free_lists(s);
	plait_i_witness_end(&s->witness);
	plait_i_simulation_end_trace(s);
	free(s);
}

void plait_simulation_cleanup(struct plait_simulation **sp)
{
	plait_simulation_free(sp);
}

uint64_t plait_simulation_seed(const struct plait_simulation *s)
{
	return s != NULL ? s->seed : 0;
}

double plait_simulation_seconds(const struct plait_simulation *s)
{
	return s != NULL ? (double)s->now / NS_PER_S : 0;
}

const struct plait_simulation_options *
plait_simulation_drawn_options(const struct plait_simulation *s)
{
	return s != NULL ? &s->options : NULL;
}

uint64_t plait_simulation_digest(const struct plait_simulation *s)
{
	return s != NULL ? s->digest : 0;
}

struct plait_simulation *plait_simulation_of(const struct plait_reactor *r)
{
	const struct host_kernel *k;

	if (r == NULL || loop_kernel(r)->ops != &plait_i_kernel_simulated)
		return NULL;
	k = loop_kernel(r)->state;
	return k->host->simulation;
}

/* ---- links and faults ---------------------------------------------------- */

void plait_simulation_set_link(struct plait_simulation *s,
			       struct plait_host *from, struct plait_host *to,
			       const struct plait_link *link)
{
	static const struct plait_link perfect = { .latency = 0 };

	if (s != NULL)
		plait_i_wire_set_link(s, from, to,
				      link != NULL ? link : &perfect);
}

void plait_simulation_heal(struct plait_simulation *s)
{
	static const struct plait_host_faults none = { .short_read = 0 };
	struct plait_list *l;

	if (s == NULL)
		return;
	plait_simulation_set_link(s, NULL, NULL, NULL);
	s->faults = none;
	s->faults_are_to_begin = false;
	plait_list_for_each (l, &s->hosts)
		plait_host_set_faults(
			plait_container(l, struct plait_host, link), &none);
}

/* ---- chance -------------------------------------------------------------- */

static struct named_stream *stream_by_name(struct plait_simulation *s,
					   const char *name)
{
	struct plait_list *l;

	plait_list_for_each (l, &s->streams) {
		struct named_stream *n =
			plait_container(l, struct named_stream, link);

		if (strcmp(n->name, name) == 0)
			return n;
	}
	return NULL;
}

/* Without memory for a stream of its own, a name has that of the order. */
static struct random_stream *stream_named(struct plait_simulation *s,
					  const char *name)
{
	struct named_stream *n = stream_by_name(s, name);

	if (n != NULL)
		return &n->stream;
	n = calloc(1, sizeof(*n) + strlen(name) + 1);
	if (n == NULL)
		return &s->chance;
	memcpy(n->name, name, strlen(name) + 1);
	plait_i_random_init(&n->stream, ~s->seed, name);
	plait_list_append(&s->streams, &n->link);
	return &n->stream;
}

uint64_t plait_simulation_below(struct plait_simulation *s, const char *name,
				uint64_t n)
{
	return s != NULL && n != 0
		       ? plait_i_random_below(stream_named(s, name), n)
		       : 0;
}

bool plait_simulation_chance(struct plait_simulation *s, const char *name,
			     double probability)
{
	return s != NULL &&
	       plait_i_random_chance(stream_named(s, name), probability);
}

/* A mark is a name, too. */
static bool world_maybe(struct chance_hook *h, double probability,
			const char *where)
{
	return plait_simulation_chance(
		plait_container(h, struct plait_simulation, hook), where,
		probability);
}

static void world_sometimes(struct chance_hook *h, bool condition,
			    const char *what, const char *where)
{
	struct plait_simulation *s =
		plait_container(h, struct plait_simulation, hook);

	if (s->marks != NULL)
		plait_i_marks_note(s->marks, condition, what, where);
}

/* ---- calls of the scenario ----------------------------------------------- */

static OUT_OF_LINE void call_happens(struct future_event *e)
{
	struct simulation_call *c =
		plait_container(e, struct simulation_call, event);
	plait_func *fn = c->fn;
	void *arg = c->arg;

	plait_i_record(c->simulation, "call", 0, 0);
	call_free(c);
	fn(arg);
	exception_barrier();
}

static int64_t world_after(const struct plait_simulation *s, double seconds)
{
	int64_t when;

	return __builtin_add_overflow(s->now, plait_i_clock_delay(seconds),
				      &when)
		       ? INT64_MAX - 1
		       : when;
}

int plait_simulation_call_later(struct plait_simulation *s, double seconds,
				plait_func *fn, void *arg)
{
	struct simulation_call *c = s != NULL ? calloc(1, sizeof(*c)) : NULL;

	if (c == NULL)
		return -ENOMEM;
	c->simulation = s;
	c->fn = fn;
	c->arg = arg;
	c->event.happen = call_happens;
	plait_list_append(&s->calls, &c->link);
	plait_i_future_plan(&s->future, &c->event, world_after(s, seconds));
	return 0;
}

/* ---- turns of the world -------------------------------------------------- */

/* What can happen now.  If nothing can, next is the first time at which
   something can. */
struct world_choice {
	struct host_kernel *kernel;
	struct future_event *event;
	size_t n; /* among how many this was drawn */
	int64_t next;
};

/* Returns true if the one that is due then is to be the choice. */
static bool world_draw(struct plait_simulation *s, struct world_choice *c,
		       int64_t due)
{
	if (due > s->now) {
		c->next = due < c->next ? due : c->next;
		return false;
	}
	c->n++;
	return c->n == 1 || plait_i_random_below(&s->chance, c->n) == 0;
}

static void world_draw_host(struct plait_host *h, struct world_choice *c)
{
	struct plait_list *l;

	plait_list_for_each (l, &h->kernels) {
		struct host_kernel *k =
			plait_container(l, struct host_kernel, link);

		if (world_draw(h->simulation, c, plait_i_host_kernel_due(k)))
			c->kernel = k;
	}
}

static struct world_choice world_choose(struct plait_simulation *s)
{
	struct world_choice c = { .next = INT64_MAX };
	struct future_event *e = plait_i_future_next(&s->future);
	struct plait_list *l;

	plait_list_for_each (l, &s->hosts)
		world_draw_host(plait_container(l, struct plait_host, link),
				&c);
	if (e != NULL && world_draw(s, &c, e->when))
		c.event = e;
	return c;
}

static void world_turn(struct plait_simulation *s, const struct world_choice *c)
{
	s->turns++;
	if (c->event != NULL) {
		plait_i_future_cancel(&s->future, c->event);
		c->event->happen(c->event);
	} else {
		plait_i_host_kernel_turn(c->kernel);
	}
}

/* So that programs can begin, what the seed has drawn is not refused before. */
static void world_begin_faults(struct plait_simulation *s)
{
	struct plait_list *l;

	s->faults_are_to_begin = false;
	s->faults = s->options.faults;
	plait_list_for_each (l, &s->hosts) {
		struct plait_host *h =
			plait_container(l, struct plait_host, link);

		if (!h->has_own_faults)
			h->faults = s->faults;
	}
}

static void world_jump(struct plait_simulation *s, int64_t when)
{
	if (s->faults_are_to_begin && when > s->now)
		world_begin_faults(s);
	s->now = when;
}

/*
 * Does what comes next and returns true.  If nothing comes until that time, it
 * returns false, and sets *ret to an error of plait_simulation_run(), or 0.
 */
static bool world_goes_on(struct plait_simulation *s, int64_t until,
			  unsigned *turns, int *ret)
{
	struct world_choice c = world_choose(s);

	if (c.n > 0 && ++*turns <= MAX_TURNS_OF_A_MOMENT) {
		world_turn(s, &c);
		return true;
	}
	if (c.n == 0 && c.next <= until && c.next != INT64_MAX) {
		world_jump(s, c.next);
		*turns = 0;
		return true;
	}
	*ret = c.n > 0 ? -ELOOP : c.next == INT64_MAX ? -EDEADLK : 0;
	return false;
}

/* Does what is overdue, and returns true if the world may go on. */
static bool world_may_go_on(struct plait_simulation *s)
{
	if (s->doomed > 0)
		plait_i_hosts_settle(s);
	return !s->failed;
}

/*
 * Returns true if k need not wait any longer; else *until is the time until
 * which it waits, if that is sooner.
 */
static bool world_is_awaited_by(struct host_kernel *k, int64_t *until)
{
	int64_t due = plait_i_reactor_due(k->reactor);

	if (k->dead || k->host->fate != 0 || due <= k->host->simulation->now ||
	    plait_i_host_kernel_is_ready(k))
		return true;
	*until = due < *until ? due : *until;
	return false;
}

/* The marks of this thread are this simulation's now; gives whose they were.
 */
static struct chance_hook *world_enter(struct plait_simulation *s)
{
	struct chance_hook *before = plait_i_chance_hook;

	plait_i_chance_hook = &s->hook;
	return before;
}

/* Until k need not wait any longer, or for no longer than it wants to, which is
   no deadlock. */
static int world_wait(struct plait_simulation *s, struct host_kernel *k,
		      int64_t until)
{
	unsigned turns = 0;
	int rc = 0;

	do {
		if (world_is_awaited_by(k, &until))
			return 0;
	} while (world_may_go_on(s) && world_goes_on(s, until, &turns, &rc));
	if (s->failed)
		return -EIO;
	if (rc == -ELOOP || until == INT64_MAX)
		return rc;
	world_jump(s, until);
	return 0;
}

static int world_drive(struct plait_simulation *s, struct host_kernel *k,
		       int64_t until)
{
	struct chance_hook *before = world_enter(s);
	int rc = world_wait(s, k, until < 0 ? INT64_MAX : until);

	plait_i_chance_hook = before;
	return rc;
}

/* At most until that time, and while *left is not 0. */
static int world_run(struct plait_simulation *s, int64_t until,
		     const unsigned *left)
{
	struct chance_hook *before;
	unsigned turns = 0;
	int rc = 0;

	if (s->driving)
		return -EBUSY;
	before = world_enter(s);
	s->driving = true;
	while (world_may_go_on(s) && *left != 0 &&
	       world_goes_on(s, until, &turns, &rc))
		;
	s->driving = false;
	plait_i_chance_hook = before;
	if (rc == 0 && !s->failed && *left != 0)
		world_jump(s, until);
	return s->failed ? -EIO : rc;
}

int plait_simulation_run(struct plait_simulation *s, double seconds)
{
	static const unsigned always = 1;

	return s != NULL ? world_run(s, world_after(s, seconds), &always)
			 : -ENOMEM;
}

int plait_simulation_stop(struct plait_simulation *s)
{
	struct plait_list *l;
	int rc;

	if (s == NULL)
		return -ENOMEM;
	plait_list_for_each (l, &s->hosts)
		plait_host_stop(plait_container(l, struct plait_host, link));
	rc = world_run(s, world_after(s, PATIENCE), &s->n_programs);
	if (rc == 0 && s->n_programs > 0)
		rc = -ETIMEDOUT;
	if (!s->driving)
		plait_i_hosts_kill_programs(s);
	return rc;
}
