/*
 * What scenarios have in common: see scenario.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/simulation/world.h"
#include "tests/sample.h"
#include "tests/scenario.h"

enum { PATIENCE = 1000 }; /* seconds for what must come */

struct plait_simulation *simulation;
struct eyewitness witness;

static struct scenario *scenarios;
static struct node *nodes[MAX_NODES];
static unsigned n_nodes;
static double fair_from; /* when the weather is over */

/* ---- the list of them ------------------------------------------------ */

void scenario_add(struct scenario *s)
{
	struct scenario **at = &scenarios;

	while (*at != NULL && strcmp((*at)->name, s->name) < 0)
		at = &(*at)->next;
	s->next = *at;
	*at = s;
}

const struct scenario *scenario_first(void)
{
	return scenarios;
}

unsigned scenario_count(void)
{
	unsigned n = 0;

	for (const struct scenario *s = scenarios; s != NULL; s = s->next)
		n++;
	return n;
}

/* Ports report what is missing; random programs handle nothing. */
static void ignore_failure(const struct plait_failure *why, void *arg)
{
}

void scenario_run(const struct scenario *scenario, struct plait_simulation *s)
{
	n_nodes = 0;
	fair_from = 0;
	simulation = s;
	plait_set_unhandled_hook(ignore_failure, NULL);
	witness_begin(&witness, s);
	scenario->run();
	nodes_end();
	witness_end(&witness);
	sample_forget_lines();
}

/* ---- chance ---------------------------------------------------------- */

unsigned dice(unsigned n)
{
	return (unsigned)plait_simulation_below(simulation, "scenario", n);
}

bool dice_say(double probability)
{
	return plait_simulation_chance(simulation, "scenario", probability);
}

double dice_seconds(double from, double to)
{
	return from + (to - from) * dice(1 << 20) / (1 << 20);
}

bool has_failed(void)
{
	return plait_simulation_failure(simulation) != NULL;
}

/* ---- time ------------------------------------------------------------ */

bool go_on(double seconds)
{
	int rc;

	if (has_failed())
		return false;
	rc = plait_simulation_run(simulation, seconds);
	if (rc == -ELOOP)
		witness_fail(&witness, "something goes on, and no time passes");
	return rc == 0;
}

bool go_on_until(bool (*yes)(void *arg), void *arg, double seconds)
{
	double end = plait_simulation_seconds(simulation) + seconds;

	while (!yes(arg) && plait_simulation_seconds(simulation) < end) {
		if (!go_on(1))
			break;
	}
	return yes(arg);
}

/* ---- nodes ----------------------------------------------------------- */

static plait_value node_cancelled(struct plait_deferred *d, void *arg)
{
	return plait_cancelled();
}

/* What the program had before its host crashed. */
static void node_clean_up(struct node *n)
{
	if (!n->begun)
		return;
	n->begun = false;
	if (n->end != NULL)
		n->end(n);
}

static const struct plait_host_faults no_faults = { .short_read = 0 };

static plait_value node_main(struct plait_reactor *r, void *arg)
{
	struct node *n = arg;
	struct plait_deferred *d;

	node_clean_up(n);
	n->reactor = r;
	n->begun = true;
	n->starts++;
	plait_promise_drop(&n->stopped);
	d = plait_deferred_new(&n->stopped, node_cancelled, NULL);
	plait_host_set_faults(n->host, &no_faults);
	n->begin(n);
	plait_host_set_faults(n->host, &n->faults);
	return plait_chain(&d);
}

void node_start(struct node *n)
{
	n->host = plait_simulation_host(simulation, n->name);
	plait_assert(n->host != NULL && n_nodes < MAX_NODES);
	n->faults = plait_simulation_drawn_options(simulation)->faults;
	nodes[n_nodes++] = n;
	MUST(plait_host_run(n->host, node_main, n) == 0, "%s cannot be started",
	     n->name);
}

void node_stop(struct node *n)
{
	plait_fire(&n->stopped, PLAIT_NONE);
}

static bool nodes_are_over(void *nothing)
{
	for (unsigned i = 0; i < n_nodes; i++) {
		if (plait_host_programs(nodes[i]->host) > 0 ||
		    plait_i_sockets_count(nodes[i]->host) > 0)
			return false;
	}
	return true;
}

static void node_report(const struct node *n)
{
	MUST(plait_host_programs(n->host) == 0, "%s does not end", n->name);
	MUST(plait_i_sockets_count(n->host) == 0, "%s keeps sockets", n->name);
}

void nodes_print(FILE *to)
{
	struct plait_buf *b = plait_buf_new(PLAIT_BUF_UNBOUNDED);

	plait_assert(b != NULL);
	fprintf(to, "at %g s:\n", plait_simulation_seconds(simulation));
	for (unsigned i = 0; i < n_nodes; i++) {
		fprintf(to, "%s (%s), started %u times, %zu programs now:\n",
			nodes[i]->name, plait_host_address(nodes[i]->host),
			nodes[i]->starts, plait_host_programs(nodes[i]->host));
		plait_host_netstat(nodes[i]->host, b);
		fwrite(plait_buf_data(b), 1, plait_buf_size(b), to);
		plait_buf_consume(b, plait_buf_size(b));
	}
	plait_buf_unref(&b);
}

void nodes_end(void)
{
	for (unsigned i = 0; i < n_nodes; i++)
		node_stop(nodes[i]);
	if (!go_on_until(nodes_are_over, NULL, PATIENCE)) {
		for (unsigned i = 0; i < n_nodes; i++)
			node_report(nodes[i]);
	}
	if (has_failed() && n_nodes > 0 && getenv("PLAIT_SEED") != NULL)
		nodes_print(stderr);
	/* Of a run that failed there may be programs. */
	if (!nodes_are_over(NULL)) {
		for (unsigned i = 0; i < n_nodes; i++)
			plait_host_crash(nodes[i]->host);
	}
	for (unsigned i = 0; i < n_nodes; i++)
		node_clean_up(nodes[i]);
	n_nodes = 0;
}

/* ---- weather --------------------------------------------------------- */

static struct node *some_node(void)
{
	return nodes[dice(n_nodes)];
}

static struct plait_host *some_host(void)
{
	return some_node()->host;
}

/* Compilers may evaluate the members of a list in any order. */
static struct plait_link some_link(void)
{
	struct plait_link l = { .latency = 0 };

	l.latency = dice_say(0.5) ? dice_seconds(0, 0.3) : 0;
	l.jitter = dice_say(0.5) ? dice_seconds(0, 0.3) : 0;
	l.rate = dice_say(0.3) ? 1000 + dice(100000) : 0;
	l.loss = dice_say(0.3) ? dice_seconds(0, 0.3) : 0;
	l.reset = dice_say(0.2) ? dice_seconds(0, 0.05) : 0;
	l.down = dice_say(0.2);
	l.unreachable = dice_say(0.1);
	l.duplicate = dice_say(0.3) ? dice_seconds(0, 0.3) : 0;
	l.mtu = dice_say(0.3) ? 576 + dice(1000) : 0;
	return l;
}

/* A partition may be of one direction. */
static void change_links(void)
{
	struct plait_host *from = dice_say(0.3) ? NULL : some_host();
	struct plait_host *to = dice_say(0.3) ? NULL : some_host();
	struct plait_link link = some_link();

	plait_simulation_set_link(simulation, from, to, &link);
	if (dice_say(0.7))
		plait_simulation_set_link(simulation, to, from, &link);
}

static void change_faults(void)
{
	struct node *n = some_node();
	struct plait_host_faults *f = &n->faults;

	f->short_read = dice_say(0.5) ? dice_seconds(0, 0.5) : 0;
	f->short_write = dice_say(0.5) ? dice_seconds(0, 0.5) : 0;
	f->interrupted = dice_say(0.5) ? dice_seconds(0, 0.2) : 0;
	f->spurious = dice_say(0.5) ? dice_seconds(0, 0.2) : 0;
	f->no_descriptors = dice_say(0.2) ? dice_seconds(0, 1) : 0;
	f->no_memory = dice_say(0.2) ? dice_seconds(0, 0.5) : 0;
	f->no_processes = dice_say(0.2) ? dice_seconds(0, 1) : 0;
	plait_host_set_faults(n->host, f);
}

static void start_again(void *arg)
{
	struct plait_host *h = arg;

	MUST(plait_host_restart(h) == 0, "%s does not start again",
	     plait_host_name(h));
}

static void end_host(bool kill)
{
	struct plait_host *h = some_host();

	if (kill)
		plait_host_kill(h);
	else
		plait_host_crash(h);
	plait_simulation_call_later(simulation, dice_seconds(0, 30),
				    start_again, h);
}

static unsigned some_kind(unsigned kinds)
{
	unsigned kind;

	do
		kind = 1u << dice(4);
	while (!(kinds & kind));
	return kind;
}

static void weather_change(void *arg)
{
	unsigned kinds = (unsigned)(uintptr_t)arg;

	if (plait_simulation_seconds(simulation) >= fair_from)
		return;
	switch (some_kind(kinds)) {
	case WEATHER_LINKS:
		change_links();
		break;
	case WEATHER_KERNELS:
		change_faults();
		break;
	case WEATHER_CRASHES:
		end_host(false);
		break;
	case WEATHER_KILLS:
		end_host(true);
		break;
	}
	plait_simulation_call_later(simulation, dice_seconds(0.1, 10),
				    weather_change, arg);
}

void weather_begin(unsigned kinds, double seconds)
{
	/* Each seed has its own kinds. */
	kinds &= dice(16);
	fair_from = plait_simulation_seconds(simulation) + seconds;
	if (kinds != 0)
		weather_change((void *)(uintptr_t)kinds);
}

void weather_clear(void)
{
	fair_from = 0;
	go_on(31); /* the last host has started again */
	for (unsigned i = 0; i < n_nodes; i++)
		nodes[i]->faults = no_faults;
	plait_simulation_heal(simulation);
}
