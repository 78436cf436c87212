/*
 * Workers that keep one connection up to the sample echo, and do jobs over it:
 * each job waits for the connection, says something, and is done when it came
 * back.  Before a connection is used, a greeting must come back.  A worker has
 * one connection at a time, and its shutdown waits until the service has
 * stopped; when all is healed, each worker gets its jobs done.
 */
#include <string.h>

#include <plait/idle_timeout.h>

#include "tests/sample.h"

enum { N_WORKERS = 3, ENOUGH_JOBS = 3, MOST = 5000 };

struct worker {
	struct node node;
	struct plait_client_service *service;
	struct plait_timer next; /* job */
	unsigned open;		 /* connections */
	unsigned done;		 /* jobs, when it is calm */
	bool ended;
};

static struct worker workers[N_WORKERS];
static bool calm;
static char place[64];

/* One connection.  Nothing is said before what was said has come back. */
struct work {
	struct plait_protocol base;
	struct plait_idle_timeout patience;
	struct plait_promise *greeted;
	size_t said, heard;
	bool has_job;
};

static struct work *work_of(struct plait_protocol *p)
{
	return plait_self(p, struct work);
}

static struct worker *worker_of(struct plait_protocol *p)
{
	return plait_client_service_arg(p);
}

static void next_job(struct worker *w);

/* ---- the connection -------------------------------------------------- */

static void work_say(struct work *k, size_t n)
{
	char bytes[MOST];

	memset(bytes, 'w', n);
	k->said += n;
	plait_transport_write(k->base.transport, bytes, n);
}

static void work_made(struct plait_protocol *p)
{
	MUST(worker_of(p)->open++ == 0, "a service has two connections");
	/* The other end may be gone, and nobody is there to say so. */
	plait_idle_timeout_start(&work_of(p)->patience, p,
				 calm ? 60 : 5 + dice(50));
}

static void work_hears(struct plait_protocol *p, const void *data, size_t len)
{
	struct work *k = work_of(p);

	plait_idle_timeout_reset(&k->patience);
	k->heard += len;
	MUST(k->heard <= k->said, "an echo says more than was said");
	if (k->heard < k->said)
		return;
	if (!k->has_job) {
		plait_fire(&k->greeted, PLAIT_NONE);
		return;
	}
	k->has_job = false;
	worker_of(p)->done += calm;
	next_job(worker_of(p));
}

static void work_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	struct work *k = work_of(p);

	worker_of(p)->open--;
	plait_idle_timeout_stop(&k->patience);
	if (k->has_job)
		next_job(worker_of(p));
}

static const struct plait_protocol_ops work_ops = {
	.name = "work",
	.size = sizeof(struct work),
	.connection_made = work_made,
	.data_received = work_hears,
	.connection_lost = work_lost,
};

static plait_value work_ungreeted(struct plait_deferred *d, void *arg)
{
	plait_promise_drop(&((struct work *)arg)->greeted);
	return plait_cancelled();
}

static plait_value work_greet(struct plait_protocol *p, void *arg)
{
	struct work *k = work_of(p);
	struct plait_deferred *d =
		plait_deferred_new(&k->greeted, work_ungreeted, k);

	work_say(k, 5);
	return plait_chain(&d);
}

/* ---- jobs ------------------------------------------------------------ */

static plait_value do_job(plait_value *result, void *arg)
{
	struct worker *w = arg;
	struct plait_protocol *p = NULL;

	if (!plait_value_is_failure(result))
		p = plait_value_borrowed_client(result);
	if (p != NULL) {
		MUST(work_of(p)->heard == work_of(p)->said,
		     "a connection is given that is not ready");
		work_of(p)->has_job = true;
		work_say(work_of(p), 1 + dice(MOST));
	} else {
		next_job(w);
	}
	return PLAIT_NONE;
}

/* Some do not want to wait for long. */
static void begin_job(void *arg)
{
	struct worker *w = arg;
	struct plait_deferred *d = plait_client_service_when_connected(
		w->service, calm ? 0 : dice(4));

	if (!calm)
		plait_deferred_add_timeout(d, w->node.reactor,
					   dice_seconds(0, 20));
	plait_deferred_add_both(d, do_job, w);
	plait_deferred_detach(&d);
}

static void next_job(struct worker *w)
{
	if (!w->ended)
		plait_timer_start(w->node.reactor, &w->next, dice_seconds(0, 3),
				  begin_job, w);
}

/* ---- the program ----------------------------------------------------- */

static plait_value worker_has_stopped(plait_value *result, void *arg)
{
	MUST(((struct worker *)arg)->open == 0,
	     "a service has stopped, and has a connection");
	return *result;
}

static plait_value worker_stops(void *arg)
{
	struct worker *w = arg;
	struct plait_deferred *d;

	w->ended = true;
	plait_timer_stop(&w->next);
	d = plait_client_service_stop(w->service);
	plait_deferred_add_callback(d, worker_has_stopped, w);
	return plait_chain(&d);
}

static void worker_begin(struct node *n)
{
	struct worker *w = plait_self(n, struct worker);
	struct plait_client_service_options o = {
		.backoff.max_delay = 20,
		.timeout = 15,
		.prepare = work_greet,
	};
	struct plait_endpoint *e = NULL;

	w->open = 0;
	w->ended = false;
	plait_endpoint_parse(place, &e, NULL, 0);
	w->service = plait_client_service_new(n->reactor, e, &work_ops, w, &o);
	plait_endpoint_unref(&e);
	MUST(w->service != NULL, "there is no service");
	plait_client_service_start(w->service);
	MUST(plait_reactor_add_trigger(n->reactor, PLAIT_TRIGGER_BEFORE,
				       PLAIT_TRIGGER_SHUTDOWN, worker_stops, w,
				       NULL) == 0,
	     "there is no trigger");
	next_job(w);
}

static void worker_end(struct node *n)
{
	struct worker *w = plait_self(n, struct worker);

	w->ended = true;
	plait_timer_stop(&w->next);
	plait_client_service_free(&w->service);
}

static bool all_have_done_their_jobs(void *nothing)
{
	for (int i = 0; i < N_WORKERS; i++) {
		if (workers[i].done < ENOUGH_JOBS)
			return false;
	}
	return true;
}

SCENARIO(a_service_gets_its_connection_back)
{
	static const char *const argv[] = { "echo",   "--iface", "0.0.0.0",
					    "--port", "7",	 NULL };
	static const char *const names[N_WORKERS] = { "wanda", "wes", "will" };
	struct sample echo;

	sample_start(&echo, "echo", sample_echo, argv);
	snprintf(place, sizeof(place), "tcp:%s:7",
		 plait_host_address(plait_simulation_host(simulation, "echo")));
	calm = false;
	for (int i = 0; i < N_WORKERS; i++) {
		workers[i] = (struct worker){ .node = { .name = names[i],
							.begin = worker_begin,
							.end = worker_end } };
		node_start(&workers[i].node);
	}
	weather_begin(WEATHER_ALL, 60);
	go_on(60);
	weather_clear();
	calm = true;
	MUST(go_on_until(all_have_done_their_jobs, NULL, 1000),
	     "all is healed, and a worker does no jobs");
	nodes_end();
}
