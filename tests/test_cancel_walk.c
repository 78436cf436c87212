/*
 * Every public function that returns a deferred, cancelled and freed at every
 * point at which it can be waiting: before the first turn, after one turn,
 * after two and so on, until it has completed.  Each time the deferred must
 * have settled once, when the call returns; what it waited for must have
 * stopped; and when all handles are gone, nothing may be left: no timer, no
 * memory, no descriptor.
 *
 * And each of them notes the place of the call, so that what a program is told
 * about its deferreds names its own lines.
 *
 * scripts/check-cancel sees to it that the table at the end has them all.
 *
 * A walk starts its function in a scene, which is zeroed, and stops it: frees
 * what the scene holds then.  What a function waits for are pieces of work,
 * which take their time and count how many of them are under way.
 */
#include <plait/client.h>
#include <plait/plait.h>
#include <plait/testing.h>

#include "tests/harness.h"

/* How long a turn waits, at most, while nothing happens. */
#define TURN 0.25

struct scene;

struct work {
	struct scene *scene;
	struct plait_timer timer;
	struct plait_promise *promise;
};

struct scene {
	struct work works[4];
	unsigned begun;	  /* of those */
	unsigned running; /* ... and not over */
	unsigned settled; /* how often the deferred was seen to fire */
	bool failed;	  /* ... with a failure */
	struct plait_deferred *deferred;

	struct plait_timer timer; /* for what is done to it from elsewhere */
	struct plait_port *port;
	struct plait_lock *lock;
	struct plait_semaphore *semaphore;
	struct plait_queue *queue;
	struct plait_shared *shared;
	struct plait_event *event;
	struct plait_looping_call *looping_call;
	struct plait_cooperator *cooperator;
	struct plait_coiterator *task;
	struct plait_scope *scope;
	struct plait_scope_entry entry;
	struct plait_factory factory;
	unsigned steps;
	int fd;
};

struct walk {
	const char *name;
	struct plait_deferred *(*start)(struct scene *s);
	void (*stop)(struct scene *s); /* NULL: there is nothing */
	bool at_once;		       /* it has fired when it is returned */
	bool goes_on; /* a cancel is to wait no more: the work goes on */
};

/* ---- work ---------------------------------------------------------- */

static void end_work(void *arg)
{
	struct work *w = arg;

	w->scene->running--;
	plait_fire(&w->promise, PLAIT_NONE);
}

static plait_value stop_work(struct plait_deferred *d, void *arg)
{
	struct work *w = arg;

	plait_timer_stop(&w->timer);
	w->scene->running--;
	plait_promise_drop(&w->promise);
	return plait_cancelled();
}

static struct plait_deferred *work_for(struct scene *s, double seconds)
{
	struct work *w = &s->works[s->begun++];
	struct plait_deferred *d;

	ck_assert_uint_le(s->begun, 4);
	w->scene = s;
	d = plait_deferred_new(&w->promise, stop_work, w);
	plait_timer_start(reactor, &w->timer, seconds, end_work, w);
	s->running++;
	return d;
}

static struct plait_deferred *work(struct scene *s)
{
	return work_for(s, 2 * TURN);
}

/* An operation. */
static plait_value more_work(void *arg)
{
	struct plait_deferred *d = work(arg);

	return plait_chain(&d);
}

/* A callback. */
static plait_value then_work(plait_value *result, void *arg)
{
	return plait_value_is_failure(result) ? *result : more_work(arg);
}

/* An errback. */
static plait_value work_instead(plait_value *failure, void *arg)
{
	return more_work(arg);
}

static void do_later(struct scene *s, plait_func *fn)
{
	plait_timer_start(reactor, &s->timer, 2 * TURN, fn, s);
}

static void three_works(struct scene *s, struct plait_deferred **members)
{
	for (int i = 0; i < 3; i++)
		members[i] = work_for(s, (i + 1) * TURN);
}

/* ---- deferreds ----------------------------------------------------- */

static struct plait_deferred *start_succeed(struct scene *s)
{
	return plait_succeed(plait_int(1));
}

static struct plait_deferred *start_failed(struct scene *s)
{
	return plait_failed(plait_fail(&plait_error_any, "no"));
}

static struct plait_deferred *start_maybe(struct scene *s)
{
	return plait_maybe_deferred(more_work(s));
}

static struct plait_deferred *start_callback(struct scene *s)
{
	return plait_deferred_add_callback(work(s), then_work, s);
}

static struct plait_deferred *start_errback(struct scene *s)
{
	struct plait_deferred *d = start_failed(s);

	return plait_deferred_add_errback(d, work_instead, s);
}

static struct plait_deferred *start_both(struct scene *s)
{
	return plait_deferred_add_both(work(s), then_work, s);
}

static struct plait_deferred *start_callbacks(struct scene *s)
{
	return plait_deferred_add_callbacks(work(s), then_work, s, NULL, NULL);
}

static struct plait_deferred *start_list(struct scene *s)
{
	struct plait_deferred *members[3];

	three_works(s, members);
	return plait_deferred_list(members, 3, 0);
}

static struct plait_deferred *start_gather(struct scene *s)
{
	struct plait_deferred *members[3];

	three_works(s, members);
	return plait_gather(members, 3, 0);
}

static struct plait_deferred *start_race(struct scene *s)
{
	struct plait_deferred *members[3];

	three_works(s, members);
	return plait_race(members, 3);
}

/* ---- locks, queues, sharing, events -------------------------------- */

static void release_lock(void *arg)
{
	plait_lock_release(((struct scene *)arg)->lock);
}

/* A lock that somebody else holds for a while. */
static void hold_lock(struct scene *s)
{
	struct plait_deferred *d;

	s->lock = plait_lock_new();
	d = plait_lock_acquire(s->lock);
	plait_deferred_free(&d);
	do_later(s, release_lock);
}

static struct plait_deferred *start_lock_acquire(struct scene *s)
{
	hold_lock(s);
	return plait_lock_acquire(s->lock);
}

static struct plait_deferred *start_lock_run(struct scene *s)
{
	hold_lock(s);
	return plait_lock_run(s->lock, more_work, s);
}

/* It is held by him who got it, or by the other, or was given back. */
static void stop_lock(struct scene *s)
{
	bool others = plait_timer_is_running(&s->timer);

	ck_assert_int_eq(plait_lock_is_locked(s->lock), others || !s->failed);
	if (plait_lock_is_locked(s->lock))
		plait_lock_release(s->lock);
	ck_assert(!plait_lock_is_locked(s->lock));
	plait_timer_stop(&s->timer);
	plait_lock_free(&s->lock);
}

static void stop_lock_run(struct scene *s)
{
	s->failed = true; /* whatever happened, it was given back */
	stop_lock(s);
}

static void release_semaphore(void *arg)
{
	plait_semaphore_release(((struct scene *)arg)->semaphore);
}

static void hold_semaphore(struct scene *s)
{
	struct plait_deferred *d;

	s->semaphore = plait_semaphore_new(1);
	d = plait_semaphore_acquire(s->semaphore);
	plait_deferred_free(&d);
	do_later(s, release_semaphore);
}

static struct plait_deferred *start_semaphore_acquire(struct scene *s)
{
	hold_semaphore(s);
	return plait_semaphore_acquire(s->semaphore);
}

static struct plait_deferred *start_semaphore_run(struct scene *s)
{
	hold_semaphore(s);
	return plait_semaphore_run(s->semaphore, more_work, s);
}

static void stop_semaphore(struct scene *s)
{
	bool others = plait_timer_is_running(&s->timer);

	ck_assert_uint_eq(plait_semaphore_tokens(s->semaphore),
			  others || !s->failed ? 0 : 1);
	if (plait_semaphore_tokens(s->semaphore) == 0)
		plait_semaphore_release(s->semaphore);
	ck_assert_uint_eq(plait_semaphore_tokens(s->semaphore), 1);
	plait_timer_stop(&s->timer);
	plait_semaphore_free(&s->semaphore);
}

static void stop_semaphore_run(struct scene *s)
{
	s->failed = true;
	stop_semaphore(s);
}

static void put(void *arg)
{
	plait_queue_put(((struct scene *)arg)->queue, plait_int(1));
}

static struct plait_deferred *start_queue_get(struct scene *s)
{
	s->queue = plait_queue_new(SIZE_MAX, SIZE_MAX);
	do_later(s, put);
	return plait_queue_get(s->queue);
}

/* The value that was put is got once. */
static void stop_queue(struct scene *s)
{
	ck_assert_uint_eq(plait_queue_waiting(s->queue), 0);
	if (plait_timer_is_running(&s->timer))
		put(s);
	ck_assert_uint_eq(plait_queue_size(s->queue), s->failed);
	plait_timer_stop(&s->timer);
	plait_queue_free(&s->queue);
}

static struct plait_deferred *start_shared(struct scene *s)
{
	struct plait_deferred *d = work(s);

	s->shared = plait_shared_new(&d);
	return plait_shared_wait(s->shared);
}

static void stop_shared(struct scene *s)
{
	ck_assert_uint_eq(plait_shared_waiting(s->shared), 0);
	plait_shared_free(&s->shared);
}

static void wake(void *arg)
{
	plait_event_wake(((struct scene *)arg)->event, plait_int(1));
}

static struct plait_deferred *start_event_wait(struct scene *s)
{
	s->event = plait_event_new();
	do_later(s, wake);
	return plait_event_wait(s->event);
}

static void stop_event(struct scene *s)
{
	ck_assert_uint_eq(plait_event_waiting(s->event), 0);
	plait_timer_stop(&s->timer);
	plait_event_free(&s->event);
}

/* ---- time ---------------------------------------------------------- */

static struct plait_deferred *start_timeout(struct scene *s)
{
	return plait_deferred_add_timeout(work_for(s, 3 * TURN), reactor,
					  2 * TURN);
}

static plait_value on_timeout(plait_value *result, double seconds, void *arg)
{
	return more_work(arg);
}

static struct plait_deferred *start_timeout_with(struct scene *s)
{
	return plait_deferred_add_timeout_with(work_for(s, 3 * TURN), reactor,
					       2 * TURN, on_timeout, s);
}

static struct plait_deferred *start_later(struct scene *s)
{
	return plait_defer_later(reactor, 2 * TURN, more_work, s);
}

/* The first attempt fails, and the second one comes after a turn. */
static plait_value fail_and_work(void *arg)
{
	struct scene *s = arg;

	if (s->begun++ == 0)
		return plait_fail(&plait_error_any, "once more");
	return more_work(s);
}

static struct plait_deferred *start_retry(struct scene *s)
{
	struct plait_retry_options options = { .backoff = { .max_delay = TURN,
							    .jitter = -1 } };

	return plait_retry(reactor, fail_and_work, s, &options);
}

static plait_value work_thrice(size_t count, void *arg)
{
	struct scene *s = arg;

	if (s->begun < 3)
		return more_work(s);
	plait_looping_call_stop(s->looping_call);
	return PLAIT_NONE;
}

static struct plait_deferred *start_looping_call(struct scene *s)
{
	s->looping_call = plait_looping_call_new(reactor, work_thrice, s);
	return plait_looping_call_start(s->looping_call, 3 * TURN, false);
}

static void stop_looping_call(struct scene *s)
{
	ck_assert(!plait_looping_call_is_running(s->looping_call));
	plait_looping_call_free(&s->looping_call);
}

static bool take_a_step(plait_value *ret, void *arg)
{
	struct scene *s = arg;

	if (++s->steps == 2)
		*ret = more_work(s);
	return s->steps < 5;
}

static struct plait_deferred *start_task(struct scene *s)
{
	s->cooperator = plait_cooperator_new(reactor, 0);
	s->task = plait_cooperate(s->cooperator, take_a_step, s);
	return plait_coiterator_when_done(s->task);
}

static void stop_task(struct scene *s)
{
	plait_coiterator_free(&s->task);
	ck_assert_uint_eq(s->running, 0);
	plait_cooperator_free(&s->cooperator);
}

/* ---- scopes -------------------------------------------------------- */

static struct plait_deferred *start_in_scope(struct scene *s)
{
	s->scope = plait_scope_new(reactor);
	return plait_scope_start(s->scope, work(s));
}

static void stop_scope(struct scene *s)
{
	struct plait_deferred *d;

	ck_assert(plait_scope_is_empty(s->scope));
	d = plait_scope_close(&s->scope);
	ck_assert(plait_deferred_is_fired(d));
	plait_deferred_free(&d);
}

static void leave(void *arg)
{
	plait_scope_leave(&((struct scene *)arg)->entry);
}

static void leave_later(void *arg)
{
	do_later(arg, leave);
}

static struct plait_deferred *start_scope_close(struct scene *s)
{
	s->scope = plait_scope_new(reactor);
	plait_scope_enter(s->scope, &s->entry, leave_later, s);
	return plait_scope_close(&s->scope);
}

static void stop_scope_close(struct scene *s)
{
	plait_timer_stop(&s->timer);
	leave(s);
}

/* ---- the network --------------------------------------------------- */

static const struct plait_protocol_ops protocol_ops = { .name = "nothing" };

static struct plait_deferred *start_stop_listening(struct scene *s)
{
	struct plait_listen_options o = { .iface = "127.0.0.1" };
	struct plait_port *port;

	s->factory.protocol = &protocol_ops;
	ck_assert_int_eq(plait_listen_tcp(reactor, 0, &s->factory, &o, &port),
			 0);
	return plait_port_stop_listening(&port);
}

static struct plait_deferred *start_drain(struct scene *s)
{
	struct plait_listen_options o = { .iface = "127.0.0.1" };
	struct plait_port *port;

	s->factory.protocol = &protocol_ops;
	ck_assert_int_eq(plait_listen_tcp(reactor, 0, &s->factory, &o, &port),
			 0);
	return plait_port_drain(&port);
}

/* On a virtual reactor nobody is there, and it times out. */
static struct plait_deferred *start_client(struct scene *s)
{
	struct plait_connect_options o = { .timeout = 4 * TURN };
	uint16_t port;

	s->fd = peer_listen(&port, 8);
	return plait_client_connect_tcp(reactor, "127.0.0.1", port,
					&protocol_ops, NULL, &o);
}

static void hang_up(struct plait_protocol *p)
{
	plait_transport_lose_connection(p->transport);
}

static const struct plait_protocol_ops hasty_ops = {
	.name = "hasty",
	.connection_made = hang_up,
};

static struct plait_deferred *start_read_all(struct scene *s)
{
	struct plait_listen_options o = { .iface = "127.0.0.1" };
	struct plait_connect_options timeout = { .timeout = 4 * TURN };
	struct plait_address a;

	s->factory.protocol = &hasty_ops;
	ck_assert_int_eq(
		plait_listen_tcp(reactor, 0, &s->factory, &o, &s->port), 0);
	plait_port_host(s->port, &a);
	return plait_client_read_all(reactor, "127.0.0.1",
				     plait_address_port(&a),
				     plait_text("hello"), 10, &timeout);
}

static void stop_read_all(struct scene *s)
{
	plait_port_free(&s->port);
	run_turns(reactor, 3);
}

static void stop_client(struct scene *s)
{
	close(s->fd);
}

/* ---- the table ----------------------------------------------------- */

static struct plait_deferred *start_new(struct scene *s)
{
	return work(s);
}

#define WALK(function, ...)                                                    \
	{                                                                      \
		.name = PLAIT_STRINGIFY_(function), __VA_ARGS__                \
	}

static const struct walk walks[] = {
	WALK(plait_client_connect_tcp, .start = start_client,
	     .stop = stop_client),
	WALK(plait_client_read_all, .start = start_read_all,
	     .stop = stop_read_all),
	WALK(plait_coiterator_when_done, .start = start_task, .stop = stop_task,
	     .goes_on = true),
	WALK(plait_defer_later, .start = start_later),
	WALK(plait_deferred_add_both, .start = start_both),
	WALK(plait_deferred_add_callback, .start = start_callback),
	WALK(plait_deferred_add_callbacks, .start = start_callbacks),
	WALK(plait_deferred_add_errback, .start = start_errback),
	WALK(plait_deferred_add_timeout, .start = start_timeout),
	WALK(plait_deferred_add_timeout_with, .start = start_timeout_with),
	WALK(plait_deferred_list, .start = start_list),
	WALK(plait_deferred_new, .start = start_new),
	WALK(plait_event_wait, .start = start_event_wait, .stop = stop_event),
	WALK(plait_failed, .start = start_failed, .at_once = true),
	WALK(plait_gather, .start = start_gather),
	WALK(plait_lock_acquire, .start = start_lock_acquire,
	     .stop = stop_lock),
	WALK(plait_lock_run, .start = start_lock_run, .stop = stop_lock_run),
	WALK(plait_looping_call_start, .start = start_looping_call,
	     .stop = stop_looping_call),
	WALK(plait_maybe_deferred, .start = start_maybe),
	WALK(plait_port_drain, .start = start_drain),
	WALK(plait_port_stop_listening, .start = start_stop_listening),
	WALK(plait_queue_get, .start = start_queue_get, .stop = stop_queue),
	WALK(plait_race, .start = start_race),
	WALK(plait_retry, .start = start_retry),
	WALK(plait_scope_close, .start = start_scope_close,
	     .stop = stop_scope_close, .goes_on = true),
	WALK(plait_scope_start, .start = start_in_scope, .stop = stop_scope),
	WALK(plait_semaphore_acquire, .start = start_semaphore_acquire,
	     .stop = stop_semaphore),
	WALK(plait_semaphore_run, .start = start_semaphore_run,
	     .stop = stop_semaphore_run),
	WALK(plait_shared_wait, .start = start_shared, .stop = stop_shared),
	WALK(plait_succeed, .start = start_succeed, .at_once = true),
};

enum { N_WALKS = sizeof(walks) / sizeof(walks[0]) };

/* ---- walking ------------------------------------------------------- */

static plait_value note_settled(plait_value *result, void *arg)
{
	struct scene *s = arg;

	s->settled++;
	s->failed = plait_value_is_failure(result);
	return PLAIT_NONE;
}

static void turn(double seconds)
{
	if (backend != NULL)
		ck_assert_int_eq(plait_reactor_iterate(reactor, seconds), 0);
	else
		plait_testing_advance(reactor, seconds);
}

/* What the loop still has to close is closed; then nothing is due any more. */
static void assert_no_timer_is_left(const struct walk *w)
{
	double before;

	for (int i = 0; i < 10; i++)
		turn(0);
	if (backend == NULL) {
		before = plait_reactor_seconds(reactor);
		ck_assert_int_eq(plait_reactor_run(reactor), -EDEADLK);
		ck_assert_msg(plait_reactor_seconds(reactor) == before,
			      "%s: a timer is left", w->name);
	} else {
		turn(1000);
		ck_assert_msg(wait_timeout() >= 999, "%s: a timer is left",
			      w->name);
	}
}

/* Waits for that many turns; false if it has completed before. */
static bool wait_for_turns(const struct scene *s, unsigned turns)
{
	for (unsigned i = 0; i < turns && s->settled == 0; i++)
		turn(TURN);
	return s->settled == 0;
}

/* How it is ended: by cancelling, or by freeing it. */
enum { BY_CANCELLING, BY_FREEING, N_ENDS };

static void end(const struct walk *w, struct scene *s, int how)
{
	if (how == BY_CANCELLING)
		plait_deferred_cancel(s->deferred);
	else
		plait_deferred_free(&s->deferred);
	ck_assert_msg(s->settled == 1, "%s: settled %u times", w->name,
		      s->settled);
	ck_assert_msg(s->running == 0 || w->goes_on, "%s: work goes on",
		      w->name);
}

/* False if it had completed by then. */
static bool walk_to(const struct walk *w, unsigned turns, int how)
{
	struct scene s = { .fd = -1 };
	bool waited;

	reactor = backend != NULL ? plait_reactor_new(backend)
				  : plait_testing_reactor_new();
	ck_assert_ptr_nonnull(reactor);
	s.deferred = plait_deferred_add_both(w->start(&s), note_settled, &s);
	waited = wait_for_turns(&s, turns);
	end(w, &s, how);
	plait_deferred_free(&s.deferred);
	if (w->stop != NULL)
		w->stop(&s);
	assert_no_timer_is_left(w);
	ck_assert_msg(s.settled == 1, "%s: settled %u times", w->name,
		      s.settled);
	plait_reactor_free(&reactor);
	return waited;
}

static void walk_once(const struct walk *w, unsigned turns, int how,
		      bool *waited)
{
	struct fd_table *fds = fd_table_new();
	unsigned long mark = heap_mark();

	*waited = walk_to(w, turns, how);
	ck_assert_msg(heap_left_since(mark, stderr) == 0 &&
			      fd_table_check(&fds) == 0 &&
			      unhandled_count() == 0,
		      "%s: something is left after %u turns", w->name, turns);
}

GROUP("walk", .timeout = 60);

TEST(cancelled_at_every_suspension_point, ON_EACH_REACTOR,
     EACH_PAIR(N_WALKS, N_ENDS))
{
	const struct walk *w = &walks[_i / N_ENDS];
	bool waited = true;
	unsigned turns;

	clock_virtual(true);
	plait_reactor_free(&reactor);
	for (turns = 0; waited; turns++) {
		ck_assert_msg(turns < 100, "%s: never completes", w->name);
		walk_once(w, turns, _i % N_ENDS, &waited);
	}
	if (w->at_once)
		ck_assert_uint_eq(turns, 1);
	else
		ck_assert_msg(turns > 1, "%s: did not wait", w->name);
}

/* Every line of it: what is pending was made here, not in the library. */
static void assert_made_here(const struct walk *w, const char *dump)
{
	for (; *dump != '\0'; dump = strchr(dump, '\n') + 1) {
		const char *place = strstr(dump, " made at ");

		ck_assert_ptr_nonnull(place);
		place += strlen(" made at ");
		ck_assert_msg(
			strncmp(place, __FILE__ ":", strlen(__FILE__ ":")) == 0,
			"%s: %s", w->name, dump);
	}
}

TEST(pending_ones_name_the_line_of_the_caller, ON_EACH_BACKEND, TIMES(N_WALKS))
{
	const struct walk *w = &walks[_i];
	struct scene s = { .fd = -1 };
	struct plait_buf *b = plait_buf_new(PLAIT_BUF_UNBOUNDED);

	s.deferred = w->start(&s);
	ck_assert_int_eq(plait_deferred_dump(b), 0);
	ck_assert_int_eq(plait_buf_append(b, "", 1), 0);
	ck_assert_int_eq(plait_buf_size(b) == 1, w->at_once);
	assert_made_here(w, plait_buf_data(b));
	plait_buf_unref(&b);
	plait_deferred_add_both(s.deferred, note_settled, &s);
	plait_deferred_free(&s.deferred);
	if (w->stop != NULL)
		w->stop(&s);
	/* Some of it ends with the loop, and the scene is on this stack. */
	plait_reactor_free(&reactor);
}
