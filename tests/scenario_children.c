/*
 * A supervisor on one host, and the workers that it runs as children.  It asks
 * each worker one question after the other, stops a worker that does not
 * answer, and runs a new one when a worker has ended.
 *
 * Workers crash, hang, end in the middle, do not want to end, and leave helpers
 * that keep their pipes; kernels refuse children, cut what is read, and the
 * host crashes.  What must hold: a child is told in its order, and its end
 * once, with its status; an answer is the one to the question; nobody of the
 * group of a worker outlives it; and when all is healed, each worker answers.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <plait/pipe.h>
#include <plait/process.h>

#include "reactor/simulation/world.h"
#include "tests/scenario.h"

enum { N_WORKERS = 3, ENOUGH = 3, LINE = 16 };

enum stage { NONE, SPAWNED, STARTED, EXITED, ENDED };

/* A worker, as the supervisor has it. */
struct worker {
	struct plait_process_protocol base;
	struct plait_timer again, patience;
	enum stage stage;
	pid_t pid;
	unsigned number, answered; /* the question; how many when it is calm */
	char line[LINE];
	size_t len;
};

static struct node boss;
static struct worker workers[N_WORKERS];
static bool is_calm, is_over;

/* ---- the program of a worker ------------------------------------------- */

struct job {
	struct plait_protocol base;
	struct plait_timer timer;
	struct plait_promise *over;
	char line[LINE];
	size_t len, said;
};

static bool wants(double probability)
{
	return !is_calm && dice_say(probability);
}

static void helper_done(struct plait_process_protocol *p)
{
	free(p);
}

static const struct plait_process_ops helper_ops = {
	.name = "helper",
	.done = helper_done,
};

/* It has the output of the worker, too. */
static void job_leave_helper(struct job *j)
{
	static const char *const argv[] = { "helper", NULL };
	struct plait_process_protocol *p = calloc(1, sizeof(*p));

	p->ops = &helper_ops;
	if (plait_spawn(plait_transport_reactor(j->base.transport), argv, p,
			NULL, NULL) < 0)
		free(p);
}

/* The answer is the question, in pieces. */
static void job_say(void *arg)
{
	struct job *j = arg;
	size_t n = 1 + dice((unsigned)(j->len - j->said));

	plait_transport_write(j->base.transport, j->line + j->said, n);
	j->said += n;
	if (j->said == j->len)
		j->said = j->len = 0;
	else
		plait_timer_start(plait_transport_reactor(j->base.transport),
				  &j->timer, dice_seconds(0, 1), job_say, j);
}

static void job_begin(struct job *j)
{
	struct plait_reactor *r = plait_transport_reactor(j->base.transport);

	if (wants(0.1))
		job_leave_helper(j);
	if (wants(0.05))
		plait_simulation_raise(r, SIGSEGV);
	if (wants(0.05))
		plait_transport_lose_connection(j->base.transport);
	else if (!wants(0.05))
		plait_timer_start(r, &j->timer, dice_seconds(0, 1), job_say, j);
}

static void job_asked(struct plait_protocol *p, const void *data, size_t len)
{
	struct job *j = plait_self(p, struct job);

	MUST(j->len + len <= LINE, "a worker is asked before it has answered");
	memcpy(j->line + j->len, data, len);
	j->len += len;
	if (j->line[j->len - 1] == '\n')
		job_begin(j);
}

static void job_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	struct job *j = plait_self(p, struct job);

	plait_timer_stop(&j->timer);
	plait_fire(&j->over, wants(0.2) ? plait_exit(1) : PLAIT_NONE);
}

static void job_done(struct plait_protocol *p)
{
	plait_promise_drop(&plait_self(p, struct job)->over);
}

static const struct plait_protocol_ops job_ops = {
	.name = "job",
	.size = sizeof(struct job),
	.data_received = job_asked,
	.connection_lost = job_lost,
	.done = job_done,
};

static plait_value is_enough(plait_value *result, void *arg)
{
	return PLAIT_NONE;
}

static plait_value work(struct plait_reactor *r, void *arg)
{
	struct plait_protocol *p = plait_protocol_new(&job_ops);
	struct plait_deferred *d = plait_deferred_new(
		&plait_self(p, struct job)->over, NULL, NULL);

	/* The kernel may have no number for it. */
	if (plait_stdio(r, p, NULL) < 0)
		plait_deferred_add_errback(d, is_enough, NULL);
	return plait_chain(&d);
}

static void helper_is_told(struct plait_signal_watch *w, unsigned times)
{
}

static plait_value helper_ends(plait_value *result, void *arg)
{
	plait_signal_watch_stop(arg);
	free(arg);
	return *result;
}

/* Only SIGKILL ends it. */
static plait_value help(struct plait_reactor *r, void *arg)
{
	struct plait_signal_watch *w = calloc(1, sizeof(*w));
	struct plait_deferred *d = plait_maybe_deferred(plait_forever());

	plait_signal_watch_start(r, w, SIGTERM, helper_is_told);
	plait_deferred_add_both(d, helper_ends, w);
	return plait_chain(&d);
}

/* ---- the supervisor -------------------------------------------------------
 */

static struct worker *worker_of(struct plait_process_protocol *p)
{
	return plait_container(p, struct worker, base);
}

static void worker_is_too_slow(void *arg)
{
	plait_process_stop(&((struct worker *)arg)->base);
}

static void worker_ask(void *arg)
{
	struct worker *w = arg;
	struct plait_transport *t = plait_process_transport(&w->base, 0);
	char line[LINE];
	int len = snprintf(line, sizeof(line), "%u\n", ++w->number);

	w->len = 0;
	if (t != NULL)
		plait_transport_write(t, line, (size_t)len);
	plait_timer_start(boss.reactor, &w->patience, is_calm ? 60 : 10,
			  worker_is_too_slow, w);
}

static void worker_started(struct plait_process_protocol *p)
{
	struct worker *w = worker_of(p);

	MUST(w->stage == SPAWNED, "a child has started in stage %d", w->stage);
	w->stage = STARTED;
	w->pid = plait_process_pid(p);
	worker_ask(w);
}

static void worker_received(struct plait_process_protocol *p, int fd,
			    const void *data, size_t len)
{
	struct worker *w = worker_of(p);
	char line[LINE];

	MUST(w->stage == STARTED || w->stage == EXITED,
	     "a child writes in stage %d", w->stage);
	MUST(fd == 1 && w->len + len < LINE, "a child writes what it must not");
	if (has_failed())
		return;
	memcpy(w->line + w->len, data, len);
	w->len += len;
	if (w->line[w->len - 1] != '\n')
		return;
	w->line[w->len] = '\0';
	snprintf(line, sizeof(line), "%u\n", w->number);
	MUST(strcmp(line, w->line) == 0, "a worker has answered %s to %s",
	     w->line, line);
	w->answered += is_calm;
	plait_timer_start(boss.reactor, &w->patience, dice_seconds(0, 3),
			  worker_ask, w);
}

/* What it has left behind is ended, too. */
static void worker_exited(struct plait_process_protocol *p,
			  const struct plait_process_exit *how)
{
	struct worker *w = worker_of(p);

	MUST(w->stage == STARTED, "a child has exited in stage %d", w->stage);
	MUST(!how->unknown || !plait_host_is_up(boss.host),
	     "the status of a child is lost");
	w->stage = EXITED;
	plait_timer_stop(&w->patience);
	plait_process_stop(p);
}

static void worker_ended(struct plait_process_protocol *p,
			 const struct plait_process_exit *how)
{
	struct worker *w = worker_of(p);

	MUST(w->stage == EXITED, "a child has ended in stage %d", w->stage);
	w->stage = ENDED;
}

static void worker_spawn(void *arg);

static void worker_done(struct plait_process_protocol *p)
{
	struct worker *w = worker_of(p);

	MUST(w->stage == ENDED, "a child is done in stage %d", w->stage);
	w->stage = NONE;
	plait_timer_stop(&w->patience);
	if (!is_over)
		plait_timer_start(boss.reactor, &w->again, dice_seconds(0, 2),
				  worker_spawn, w);
}

static const struct plait_process_ops worker_ops = {
	.name = "worker",
	.started = worker_started,
	.received = worker_received,
	.exited = worker_exited,
	.ended = worker_ended,
	.done = worker_done,
};

/* A worker may be refused, and then it is tried again. */
static void worker_spawn(void *arg)
{
	static const char *const argv[] = { "/opt/worker", NULL };
	static const struct plait_process_fd pipes[] = {
		{ .fd = 0, .kind = PLAIT_PROCESS_READS },
		{ .fd = 1, .kind = PLAIT_PROCESS_WRITES },
	};
	struct plait_process_options o = {
		.fds = pipes,
		.n_fds = 2,
		.new_group = true,
		.grace = 1,
	};
	struct worker *w = arg;
	int rc;

	w->base = (struct plait_process_protocol){ .ops = &worker_ops };
	w->stage = SPAWNED;
	w->len = 0;
	rc = plait_spawn(boss.reactor, argv, &w->base, &o, NULL);
	if (rc == 0)
		return;
	MUST(rc == -EAGAIN || rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE ||
		     rc == -ESHUTDOWN,
	     "a child fails with %s", strerror(-rc));
	w->stage = NONE;
	plait_timer_start(boss.reactor, &w->again, 1, worker_spawn, w);
}

static void boss_begin(struct node *n)
{
	for (int i = 0; i < N_WORKERS; i++) {
		workers[i].stage = NONE;
		worker_spawn(&workers[i]);
	}
}

static void boss_end(struct node *n)
{
	for (int i = 0; i < N_WORKERS; i++) {
		MUST(workers[i].stage == NONE, "a child outlives its parent");
		plait_timer_stop(&workers[i].again);
		plait_timer_stop(&workers[i].patience);
	}
}

static bool all_have_answered(void *nothing)
{
	for (int i = 0; i < N_WORKERS; i++) {
		if (workers[i].answered < ENOUGH)
			return false;
	}
	return true;
}

SCENARIO(a_supervisor_keeps_its_workers_up)
{
	is_calm = is_over = false;
	for (int i = 0; i < N_WORKERS; i++)
		workers[i] = (struct worker){ .stage = NONE };
	boss = (struct node){ .name = "boss",
			      .begin = boss_begin,
			      .end = boss_end };
	boss.host = plait_simulation_host(simulation, boss.name);
	plait_host_set_program(boss.host, "/opt/worker", work, NULL);
	plait_host_set_program(boss.host, "helper", help, NULL);
	node_start(&boss);
	weather_begin(WEATHER_ALL, 60);
	go_on(60);
	weather_clear();
	is_calm = true;
	MUST(go_on_until(all_have_answered, NULL, 1000),
	     "all is healed, and a worker does not answer");
	is_over = true;
	nodes_end();
	MUST(plait_list_is_empty(&boss.host->processes),
	     "a process has outlived all programs");
}
