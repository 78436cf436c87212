/*
 * A simulation: its life, what its seed draws, links, faults, and what the
 * scenario has asked for.  turns.c has its time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/exception.h"
#include "reactor/simulation/world.h"

enum { NS_PER_S = 1000000000 };

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
	s->options.start_time = draw_often(&chance, 2);
	s->options.faults.no_processes = draw_seldom(&chance, 0.3);
}

/* ---- life ---------------------------------------------------------------- */

static bool world_maybe(struct chance_hook *h, double probability,
			const char *where);
static void world_sometimes(struct chance_hook *h, bool condition,
			    const char *what, const char *where);

static void simulation_init(struct plait_simulation *s, uint64_t seed,
			    const struct plait_simulation_options *options)
{
	s->seed = seed;
	s->drive = plait_i_world_drive;
	s->spawn = plait_i_host_spawn;
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
	plait_i_future_plan(&s->future, &c->event,
			    plait_i_world_after(s, seconds));
	return 0;
}
