/*
 * Every function that returns a deferred: see starters.h.
 *
 * One section for each kind of object: how a scene with it is begun, and how
 * it is stopped.  The table is at the end.
 */
#include <limits.h>
#include <stdio.h>

#include <plait/client.h>
#include <plait/plait.h>

#include "reactor/loop/loop.h"
#include "tests/harness.h"
#include "tests/starters.h"

/* ---- what must hold ------------------------------------------------ */

static char complaint[300];

static void scene_expect(const struct scene *s, bool holds, const char *what)
{
	if (!holds && !s->lenient && complaint[0] == '\0')
		snprintf(complaint, sizeof(complaint), "%s %s: not so: %s",
			 s->starter->name, s->starter->state, what);
}
#define EXPECT(s, condition) scene_expect(s, condition, #condition)

/* ---- works --------------------------------------------------------- */

static void end_work(void *arg)
{
	struct work *w = arg;

	w->scene->running--;
	plait_fire(&w->promise, PLAIT_NONE);
}

static void stop_timer(struct work *w)
{
	if (w->promise != NULL)
		w->scene->running--;
	plait_timer_stop(&w->timer);
	plait_promise_drop(&w->promise);
}

static plait_value stop_work(struct plait_deferred *d, void *arg)
{
	stop_timer(arg);
	return plait_cancelled();
}

/* A place for a work: no scene begins more than it has places for. */
static struct work *next_work(struct scene *s)
{
	struct work *w = &s->works[s->begun++];

	ck_assert_uint_le(s->begun, MAX_WORKS);
	w->scene = s;
	return w;
}

static struct plait_deferred *begin_work(struct scene *s, double seconds,
					 plait_canceller *canceller)
{
	struct work *w = next_work(s);
	struct plait_deferred *d;

	d = plait_deferred_new(&w->promise, canceller, w);
	if (w->promise == NULL)
		return d;
	plait_timer_start(s->reactor, &w->timer, seconds, end_work, w);
	s->running++;
	return d;
}

/* A part of the scene, or a timer. */
static struct plait_deferred *work_for(struct scene *s, double seconds)
{
	struct scene *part = s->parts[s->begun];

	if (part == NULL)
		return begin_work(s, seconds, stop_work);
	s->begun++;
	return scene_start(part, s->reactor);
}

struct plait_deferred *scene_work(struct scene *s)
{
	return work_for(s, 2 * TURN);
}

/* An operation. */
static plait_value more_work(void *arg)
{
	struct plait_deferred *d = scene_work(arg);

	return plait_chain(&d);
}

/* A callback. */
plait_value scene_then_work(plait_value *result, void *arg)
{
	return plait_value_is_failure(result) ? plait_value_take(result)
					      : more_work(arg);
}

/* An errback. */
static plait_value work_instead(plait_value *failure, void *arg)
{
	return more_work(arg);
}

static plait_value to_none(plait_value *result, void *arg)
{
	return PLAIT_NONE;
}

static void do_later(struct scene *s, plait_func *fn)
{
	plait_timer_start(s->reactor, &s->timer, 2 * TURN, fn, s);
}

static void three_works(struct scene *s, struct plait_deferred **members)
{
	for (int i = 0; i < 3; i++)
		members[i] = work_for(s, (i + 1) * TURN);
}

static plait_value no(void)
{
	return plait_fail(&plait_error_any, "no");
}

/* ---- deferreds ----------------------------------------------------- */

static struct plait_deferred *start_new(struct scene *s)
{
	return scene_work(s);
}

/* What is done for it goes on, and fires the promise later. */
static struct plait_deferred *start_new_bare(struct scene *s)
{
	return begin_work(s, 2 * TURN, NULL);
}

static plait_value answer_value(struct plait_deferred *d, void *arg)
{
	stop_timer(arg);
	return plait_int(7);
}

static struct plait_deferred *start_new_value(struct scene *s)
{
	return begin_work(s, 2 * TURN, answer_value);
}

static plait_value answer_failure(struct plait_deferred *d, void *arg)
{
	stop_timer(arg);
	return no();
}

static struct plait_deferred *start_new_failure(struct scene *s)
{
	return begin_work(s, 2 * TURN, answer_failure);
}

static plait_value fire_meanwhile(struct plait_deferred *d, void *arg)
{
	struct work *w = arg;

	plait_timer_stop(&w->timer);
	w->scene->running--;
	ck_assert_int_eq(plait_fire(&w->promise, plait_int(1)), -ECANCELED);
	return plait_cancelled();
}

static struct plait_deferred *start_new_fired(struct scene *s)
{
	return begin_work(s, 2 * TURN, fire_meanwhile);
}

/* Another one's result.  A cancel of this one does not touch the other. */
static struct plait_deferred *start_forwarded(struct scene *s)
{
	struct plait_promise *promise;
	struct plait_deferred *d = plait_deferred_new(&promise, NULL, NULL);

	s->others[0] = begin_work(s, 2 * TURN, stop_work);
	plait_deferred_forward(s->others[0], &promise);
	return d;
}

static struct plait_deferred *start_succeed(struct scene *s)
{
	return plait_succeed(plait_int(1));
}

static struct plait_deferred *start_failed(struct scene *s)
{
	return plait_failed(no());
}

static struct plait_deferred *start_maybe(struct scene *s)
{
	return plait_maybe_deferred(more_work(s));
}

static struct plait_deferred *start_maybe_value(struct scene *s)
{
	return plait_maybe_deferred(plait_int(1));
}

static struct plait_deferred *start_callback(struct scene *s)
{
	return plait_deferred_add_callback(scene_work(s), scene_then_work, s);
}

static struct plait_deferred *start_errback(struct scene *s)
{
	struct plait_deferred *d = start_failed(s);

	return plait_deferred_add_errback(d, work_instead, s);
}

static struct plait_deferred *start_both(struct scene *s)
{
	return plait_deferred_add_both(scene_work(s), scene_then_work, s);
}

/* More pairs than a deferred has places for. */
static struct plait_deferred *start_many_pairs(struct scene *s)
{
	struct plait_deferred *d = scene_work(s);

	for (int i = 0; i < 6; i++)
		plait_deferred_add_callback(
			d, i == 3 ? scene_then_work : to_none, s);
	return d;
}

static struct plait_deferred *start_callbacks(struct scene *s)
{
	return plait_deferred_add_callbacks(scene_work(s), scene_then_work, s,
					    NULL, NULL);
}

static struct plait_deferred *start_list(struct scene *s)
{
	struct plait_deferred *members[3];

	three_works(s, members);
	return plait_deferred_list(members, 3,
				   PLAIT_DEFERRED_LIST_CONSUME_ERRORS);
}

/* It has fired, and the others go on as long as it is there. */
static struct plait_deferred *start_list_first(struct scene *s)
{
	struct plait_deferred *members[3];

	three_works(s, members);
	return plait_deferred_list(
		members, 3,
		PLAIT_DEFERRED_LIST_CONSUME_ERRORS |
			PLAIT_DEFERRED_LIST_FIRE_ON_ONE_CALLBACK);
}

static struct plait_deferred *start_list_waits(struct scene *s)
{
	return plait_deferred_add_callback(start_list_first(s), scene_then_work,
					   s);
}

static struct plait_deferred *start_gather(struct scene *s)
{
	struct plait_deferred *members[3];

	three_works(s, members);
	return plait_gather(members, 3, PLAIT_DEFERRED_LIST_CONSUME_ERRORS);
}

static struct plait_deferred *start_gather_plain(struct scene *s)
{
	struct plait_deferred *members[3];

	three_works(s, members);
	return plait_gather(members, 3, 0);
}

static plait_value then_no(plait_value *result, void *arg)
{
	return plait_value_is_failure(result) ? plait_value_take(result) : no();
}

static struct plait_deferred *start_gather_fails(struct scene *s)
{
	struct plait_deferred *members[3];

	three_works(s, members);
	plait_deferred_add_both(members[0], then_no, NULL);
	return plait_gather(members, 3, PLAIT_DEFERRED_LIST_CONSUME_ERRORS);
}

static struct plait_deferred *start_race(struct scene *s)
{
	struct plait_deferred *members[3];

	three_works(s, members);
	return plait_race(members, 3);
}

static struct plait_deferred *start_race_fails(struct scene *s)
{
	struct plait_deferred *members[3];

	three_works(s, members);
	for (int i = 0; i < 3; i++)
		plait_deferred_add_both(members[i], then_no, NULL);
	return plait_race(members, 3);
}

/* ---- who waits for the same ---------------------------------------- */

static void free_others(struct scene *s)
{
	for (int i = 0; i < 3; i++)
		plait_deferred_free(&s->others[i]);
}

/* ---- locks --------------------------------------------------------- */

static void release_lock(void *arg)
{
	plait_lock_release(((struct scene *)arg)->lock);
}

static plait_value then_release_lock(plait_value *result, void *arg)
{
	struct scene *s = arg;

	if (!plait_value_is_failure(result))
		plait_lock_release(s->lock);
	return PLAIT_NONE;
}

static void join_lock(struct scene *s, int i)
{
	s->others[i] = plait_deferred_add_both(plait_lock_acquire(s->lock),
					       then_release_lock, s);
}

/* Somebody else holds it for a while. */
static bool hold_lock(struct scene *s)
{
	struct plait_deferred *d;

	s->lock = plait_lock_new();
	if (s->lock == NULL)
		return false;
	d = plait_lock_acquire(s->lock);
	if (plait_lock_is_locked(s->lock))
		do_later(s, release_lock);
	plait_deferred_free(&d);
	return true;
}

static struct plait_deferred *start_acquire_free(struct scene *s)
{
	s->lock = plait_lock_new();
	return s->lock != NULL ? plait_lock_acquire(s->lock)
			       : plait_failed(plait_no_memory());
}

static struct plait_deferred *start_acquire(struct scene *s)
{
	return hold_lock(s) ? plait_lock_acquire(s->lock)
			    : plait_failed(plait_no_memory());
}

static struct plait_deferred *start_acquire_line(struct scene *s)
{
	struct plait_deferred *d;

	if (!hold_lock(s))
		return plait_failed(plait_no_memory());
	join_lock(s, 0);
	d = plait_lock_acquire(s->lock);
	join_lock(s, 1);
	return d;
}

static void free_lock(void *arg)
{
	plait_lock_free(&((struct scene *)arg)->lock);
}

/* The lock is freed before its turn has come. */
static struct plait_deferred *start_acquire_freed(struct scene *s)
{
	if (!hold_lock(s))
		return plait_failed(plait_no_memory());
	do_later(s, free_lock);
	return plait_lock_acquire(s->lock);
}

static struct plait_deferred *start_lock_run(struct scene *s)
{
	return hold_lock(s) ? plait_lock_run(s->lock, more_work, s)
			    : plait_failed(plait_no_memory());
}

static struct plait_deferred *start_lock_run_free(struct scene *s)
{
	s->lock = plait_lock_new();
	return s->lock != NULL ? plait_lock_run(s->lock, more_work, s)
			       : plait_failed(plait_no_memory());
}

static struct plait_deferred *start_lock_run_line(struct scene *s)
{
	struct plait_deferred *d;

	if (!hold_lock(s))
		return plait_failed(plait_no_memory());
	join_lock(s, 0);
	d = plait_lock_run(s->lock, more_work, s);
	join_lock(s, 1);
	return d;
}

/* It is held by the scene if that has got it, or by the other, or is free. */
static void check_lock(struct scene *s, bool has_it)
{
	bool others = plait_timer_is_running(&s->timer);

	if (s->lenient || s->lock == NULL)
		return;
	EXPECT(s, plait_lock_is_locked(s->lock) == (others || has_it));
	if (plait_lock_is_locked(s->lock))
		plait_lock_release(s->lock);
	EXPECT(s, !plait_lock_is_locked(s->lock));
}

static void stop_lock(struct scene *s)
{
	check_lock(s, !s->failed);
	free_others(s);
	plait_lock_free(&s->lock);
}

static void stop_lock_run(struct scene *s)
{
	check_lock(s, false);
	free_others(s);
	plait_lock_free(&s->lock);
}

/* ---- semaphores ---------------------------------------------------- */

static void release_semaphore(void *arg)
{
	plait_semaphore_release(((struct scene *)arg)->semaphore);
}

static plait_value then_release_semaphore(plait_value *result, void *arg)
{
	struct scene *s = arg;

	if (!plait_value_is_failure(result))
		plait_semaphore_release(s->semaphore);
	return PLAIT_NONE;
}

static bool hold_semaphore(struct scene *s)
{
	struct plait_deferred *d;

	s->semaphore = plait_semaphore_new(1);
	if (s->semaphore == NULL)
		return false;
	d = plait_semaphore_acquire(s->semaphore);
	if (plait_semaphore_tokens(s->semaphore) == 0)
		do_later(s, release_semaphore);
	plait_deferred_free(&d);
	return true;
}

static struct plait_deferred *start_semaphore_free(struct scene *s)
{
	s->semaphore = plait_semaphore_new(1);
	return s->semaphore != NULL ? plait_semaphore_acquire(s->semaphore)
				    : plait_failed(plait_no_memory());
}

static struct plait_deferred *start_semaphore(struct scene *s)
{
	return hold_semaphore(s) ? plait_semaphore_acquire(s->semaphore)
				 : plait_failed(plait_no_memory());
}

static struct plait_deferred *start_semaphore_run(struct scene *s)
{
	return hold_semaphore(s)
		       ? plait_semaphore_run(s->semaphore, more_work, s)
		       : plait_failed(plait_no_memory());
}

/* Three of it at a time, of which one waits. */
static struct plait_deferred *start_semaphore_runs(struct scene *s)
{
	struct plait_deferred *members[3];

	s->semaphore = plait_semaphore_new(2);
	if (s->semaphore == NULL)
		return plait_failed(plait_no_memory());
	for (int i = 0; i < 3; i++)
		members[i] = plait_semaphore_run(s->semaphore, more_work, s);
	return plait_gather(members, 3, PLAIT_DEFERRED_LIST_CONSUME_ERRORS);
}

static struct plait_deferred *start_semaphore_line(struct scene *s)
{
	struct plait_deferred *d;

	if (!hold_semaphore(s))
		return plait_failed(plait_no_memory());
	s->others[0] =
		plait_deferred_add_both(plait_semaphore_acquire(s->semaphore),
					then_release_semaphore, s);
	d = plait_semaphore_run(s->semaphore, more_work, s);
	s->others[1] =
		plait_deferred_add_both(plait_semaphore_acquire(s->semaphore),
					then_release_semaphore, s);
	return d;
}

static void check_semaphore(struct scene *s, size_t tokens, bool has_it)
{
	bool others = plait_timer_is_running(&s->timer);

	if (s->lenient || s->semaphore == NULL)
		return;
	EXPECT(s, plait_semaphore_tokens(s->semaphore) ==
			  (others || has_it ? 0 : tokens));
	if (plait_semaphore_tokens(s->semaphore) == 0)
		plait_semaphore_release(s->semaphore);
	EXPECT(s, plait_semaphore_tokens(s->semaphore) == tokens);
}

static void stop_semaphore(struct scene *s)
{
	check_semaphore(s, 1, !s->failed);
	free_others(s);
	plait_semaphore_free(&s->semaphore);
}

static void stop_semaphore_run(struct scene *s)
{
	check_semaphore(s, 1, false);
	free_others(s);
	plait_semaphore_free(&s->semaphore);
}

static void stop_semaphore_runs(struct scene *s)
{
	/* After a failure of the first the others go on until it is freed. */
	if (s->running == 0)
		check_semaphore(s, 2, false);
	plait_semaphore_free(&s->semaphore);
}

/* ---- pools --------------------------------------------------------- */

/* Where time is virtual they run in the loop. */
static plait_value do_job(struct plait_job *job, void *arg)
{
	struct scene *s = arg;

	s->running--;
	s->aside++;
	return plait_int(1);
}

/* What was never begun is over, too. */
static void free_job(void *arg)
{
	struct scene *s = arg;

	if (s->aside > 0)
		s->aside--;
	else
		s->running--;
}

static bool make_pool(struct scene *s)
{
	s->pool = plait_pool_new(s->reactor, "scene",
				 &(struct plait_pool_options){
					 .max_threads = 1, .max_queue = 1 });
	return s->pool != NULL;
}

static struct plait_deferred *start_job(struct scene *s)
{
	s->running++;
	return plait_defer_to_pool(s->pool, do_job, s, free_job);
}

static struct plait_deferred *start_to_pool(struct scene *s)
{
	make_pool(s);
	return start_job(s);
}

static plait_value do_nothing(struct plait_job *job, void *arg)
{
	return PLAIT_NONE;
}

static plait_value handle_loss(plait_value *result, void *arg)
{
	return PLAIT_NONE;
}

static struct plait_deferred *start_to_pool_line(struct scene *s)
{
	make_pool(s);
	s->others[0] = plait_defer_to_pool(s->pool, do_nothing, NULL, NULL);
	plait_deferred_add_errback(s->others[0], handle_loss, NULL);
	return start_job(s);
}

/* It has failed when it is returned. */
static struct plait_deferred *start_to_pool_freed(struct scene *s)
{
	struct plait_deferred *d = start_to_pool(s);

	plait_pool_free(&s->pool);
	return d;
}

static struct plait_deferred *start_to_thread(struct scene *s)
{
	s->running++;
	return plait_defer_to_thread(s->reactor, do_job, s, free_job);
}

static struct plait_deferred *start_closing(struct scene *s)
{
	s->others[0] = start_to_pool(s);
	plait_deferred_add_errback(s->others[0], handle_loss, NULL);
	return plait_pool_close(&s->pool);
}

static struct plait_deferred *start_closing_idle(struct scene *s)
{
	if (!make_pool(s))
		return plait_failed(plait_no_memory());
	return plait_pool_close(&s->pool);
}

static void stop_pool(struct scene *s)
{
	plait_deferred_free(&s->others[0]);
	plait_pool_free(&s->pool);
}

/* ---- queues -------------------------------------------------------- */

static void put(void *arg)
{
	plait_queue_put(((struct scene *)arg)->queue, plait_int(1));
}

static bool make_queue(struct scene *s)
{
	s->queue = plait_queue_new(SIZE_MAX, SIZE_MAX);
	return s->queue != NULL;
}

static struct plait_deferred *start_get(struct scene *s)
{
	if (!make_queue(s))
		return plait_failed(plait_no_memory());
	do_later(s, put);
	return plait_queue_get(s->queue);
}

static struct plait_deferred *start_get_there(struct scene *s)
{
	if (!make_queue(s))
		return plait_failed(plait_no_memory());
	put(s);
	return plait_queue_get(s->queue);
}

static void put_two(void *arg)
{
	put(arg);
	put(arg);
}

static struct plait_deferred *start_get_line(struct scene *s)
{
	struct plait_deferred *d;

	if (!make_queue(s))
		return plait_failed(plait_no_memory());
	do_later(s, put_two);
	s->others[0] = plait_queue_get(s->queue);
	d = plait_queue_get(s->queue);
	plait_deferred_add_both(s->others[0], to_none, NULL);
	return d;
}

static void shut_down(void *arg)
{
	plait_queue_shutdown(((struct scene *)arg)->queue);
}

static struct plait_deferred *start_get_shut(struct scene *s)
{
	if (!make_queue(s))
		return plait_failed(plait_no_memory());
	do_later(s, shut_down);
	return plait_queue_get(s->queue);
}

/* The value that was put is got once. */
static void stop_get(struct scene *s)
{
	if (s->queue != NULL && !s->lenient) {
		EXPECT(s, plait_queue_waiting(s->queue) == 0);
		if (plait_timer_is_running(&s->timer))
			put(s);
		EXPECT(s, plait_queue_size(s->queue) == s->failed);
	}
	plait_queue_free(&s->queue);
}

/* The other one gets the first, and the second is this one's. */
static void stop_get_line(struct scene *s)
{
	bool others = plait_timer_is_running(&s->timer);

	if (s->queue != NULL && !s->lenient) {
		EXPECT(s, plait_queue_waiting(s->queue) == others);
		if (others)
			put_two(s);
		EXPECT(s, plait_queue_size(s->queue) == s->failed);
	}
	free_others(s);
	plait_queue_free(&s->queue);
}

static void stop_get_shut(struct scene *s)
{
	if (s->queue != NULL && !s->lenient)
		EXPECT(s, plait_queue_waiting(s->queue) == 0);
	plait_queue_free(&s->queue);
}

/* ---- sharing ------------------------------------------------------- */

/* Without its value, which may be one that only one can have. */
static struct plait_deferred *share(struct scene *s, struct plait_deferred *d)
{
	plait_deferred_add_callback(d, to_none, NULL);
	s->shared = plait_shared_new(&d);
	return s->shared != NULL ? plait_shared_wait(s->shared)
				 : plait_failed(plait_no_memory());
}

static struct plait_deferred *start_shared(struct scene *s)
{
	return share(s, scene_work(s));
}

static struct plait_deferred *start_shared_fired(struct scene *s)
{
	return share(s, plait_succeed(plait_int(1)));
}

/* The operation goes on for the other one. */
static struct plait_deferred *start_shared_two(struct scene *s)
{
	struct plait_deferred *d = share(s, scene_work(s));

	if (s->shared == NULL)
		return d;
	s->others[0] = plait_deferred_add_both(plait_shared_wait(s->shared),
					       to_none, NULL);
	return d;
}

static void stop_shared(struct scene *s)
{
	free_others(s);
	if (s->shared != NULL)
		EXPECT(s, plait_shared_waiting(s->shared) == 0);
	plait_shared_free(&s->shared);
}

/* ---- events -------------------------------------------------------- */

static void wake(void *arg)
{
	plait_event_wake(((struct scene *)arg)->event, plait_int(1));
}

static void wake_with_no(void *arg)
{
	plait_event_wake(((struct scene *)arg)->event, no());
}

static void free_event(void *arg)
{
	plait_event_free(&((struct scene *)arg)->event);
}

static struct plait_deferred *wait_for_event(struct scene *s, plait_func *fn)
{
	s->event = plait_event_new();
	if (s->event == NULL)
		return plait_failed(plait_no_memory());
	do_later(s, fn);
	return plait_event_wait(s->event);
}

static struct plait_deferred *start_wait(struct scene *s)
{
	return wait_for_event(s, wake);
}

static struct plait_deferred *start_wait_fails(struct scene *s)
{
	return wait_for_event(s, wake_with_no);
}

static struct plait_deferred *start_wait_freed(struct scene *s)
{
	return wait_for_event(s, free_event);
}

static struct plait_deferred *start_wait_two(struct scene *s)
{
	struct plait_deferred *d = start_wait(s);

	if (s->event != NULL)
		s->others[0] = plait_deferred_add_both(
			plait_event_wait(s->event), to_none, NULL);
	return d;
}

static struct plait_deferred *start_wait_set(struct scene *s)
{
	s->event = plait_event_new();
	if (s->event == NULL)
		return plait_failed(plait_no_memory());
	plait_event_set(s->event, plait_int(1));
	return plait_event_wait(s->event);
}

static void stop_wait(struct scene *s)
{
	free_others(s);
	if (s->event != NULL)
		EXPECT(s, plait_event_waiting(s->event) == 0);
	plait_event_free(&s->event);
}

/* ---- time ---------------------------------------------------------- */

static struct plait_deferred *start_timeout(struct scene *s)
{
	return plait_deferred_add_timeout(work_for(s, 3 * TURN), s->reactor,
					  2 * TURN);
}

static struct plait_deferred *start_timeout_late(struct scene *s)
{
	return plait_deferred_add_timeout(scene_work(s), s->reactor, 20);
}

static plait_value on_timeout(plait_value *result, double seconds, void *arg)
{
	return more_work(arg);
}

static struct plait_deferred *start_timeout_with(struct scene *s)
{
	return plait_deferred_add_timeout_with(
		work_for(s, 3 * TURN), s->reactor, 2 * TURN, on_timeout, s);
}

static struct plait_deferred *start_later(struct scene *s)
{
	return plait_defer_later(s->reactor, 2 * TURN, more_work, s);
}

static struct plait_deferred *start_later_bare(struct scene *s)
{
	return plait_defer_later(s->reactor, 2 * TURN, NULL, NULL);
}

static const struct plait_retry_options soon = {
	.backoff = { .max_delay = TURN, .jitter = -1 },
	.max_attempts = 3,
};

/* The first attempt fails, and the second one comes after a turn. */
static plait_value fail_and_work(void *arg)
{
	struct scene *s = arg;

	return s->steps++ == 0 ? no() : more_work(s);
}

static struct plait_deferred *start_retry(struct scene *s)
{
	return plait_retry(s->reactor, fail_and_work, s, &soon);
}

static plait_value try_in_vain(void *arg)
{
	return no();
}

static struct plait_deferred *start_retry_in_vain(struct scene *s)
{
	return plait_retry(s->reactor, try_in_vain, s, &soon);
}

static bool never(const struct plait_failure *why, unsigned attempts, void *arg)
{
	return false;
}

static plait_value work_in_vain(void *arg)
{
	struct plait_deferred *d = scene_work(arg);

	plait_deferred_add_callback(d, then_no, NULL);
	return plait_chain(&d);
}

static struct plait_deferred *start_retry_never(struct scene *s)
{
	struct plait_retry_options o = soon;

	o.should_retry = never;
	return plait_retry(s->reactor, work_in_vain, s, &o);
}

/* ---- names --------------------------------------------------------- */

/*
 * A resolver that knows no file, and whose server does not answer: it is not
 * there, or it waits for a connection of another kind.
 */
static struct plait_resolver *deaf_resolver(struct scene *s)
{
	struct plait_address nobody;
	const struct plait_resolver_options options = {
		.hosts = "/dev/null",
		.resolv_conf = "/dev/null",
		.nsswitch_conf = "/dev/null",
		.servers = &nobody,
		.server_count = 1,
		.timeout = 2 * TURN,
	};

	plait_address_parse(&nobody, "127.0.0.1", 1);
	s->resolver = plait_resolver_new(s->reactor, &options);
	return s->resolver;
}

static void stop_resolver(struct scene *s)
{
	plait_resolver_free(&s->resolver);
}

static void free_resolver(void *arg)
{
	stop_resolver(arg);
}

static struct plait_deferred *resolve_in(struct scene *s, const char *name)
{
	return plait_resolve(
		s->reactor, name,
		&(struct plait_resolve_options){ .resolver = s->resolver });
}

static struct plait_deferred *start_resolve_number(struct scene *s)
{
	deaf_resolver(s);
	return resolve_in(s, "192.0.2.1");
}

static struct plait_deferred *start_resolve(struct scene *s)
{
	deaf_resolver(s);
	return resolve_in(s, "poetry.example");
}

static struct plait_deferred *start_resolve_address(struct scene *s)
{
	struct plait_address a;

	deaf_resolver(s);
	plait_address_parse(&a, "192.0.2.1", 0);
	return plait_resolve_address(
		s->reactor, &a,
		&(struct plait_resolve_options){ .resolver = s->resolver });
}

static struct plait_deferred *start_query(struct scene *s)
{
	return plait_dns_query(deaf_resolver(s), "poetry.example",
			       PLAIT_DNS_MX);
}

static struct plait_deferred *start_query_freed(struct scene *s)
{
	struct plait_deferred *d = start_query(s);

	do_later(s, free_resolver);
	return d;
}

static plait_value work_thrice(size_t count, void *arg)
{
	struct scene *s = arg;

	if (s->begun < 3)
		return more_work(s);
	plait_looping_call_stop(s->looping_call);
	return PLAIT_NONE;
}

static plait_value fail_then(size_t count, void *arg)
{
	struct scene *s = arg;

	return s->begun < 2 ? more_work(s) : no();
}

static plait_value step_thrice(size_t count, void *arg)
{
	struct scene *s = arg;

	if (++s->steps == 3)
		plait_looping_call_stop(s->looping_call);
	return PLAIT_NONE;
}

static struct plait_deferred *start_loop_of(struct scene *s,
					    plait_looping_call_func *fn,
					    double interval, bool now)
{
	s->looping_call = plait_looping_call_new(s->reactor, fn, s);
	if (s->looping_call == NULL)
		return plait_failed(plait_no_memory());
	return plait_looping_call_start(s->looping_call, interval, now);
}

static struct plait_deferred *start_loop(struct scene *s)
{
	return start_loop_of(s, work_thrice, 3 * TURN, false);
}

static struct plait_deferred *start_loop_now(struct scene *s)
{
	return start_loop_of(s, work_thrice, TURN, true);
}

static struct plait_deferred *start_loop_turns(struct scene *s)
{
	return start_loop_of(s, step_thrice, 0, false);
}

static struct plait_deferred *start_loop_fails(struct scene *s)
{
	return start_loop_of(s, fail_then, TURN, false);
}

static void stop_loop(struct scene *s)
{
	if (s->looping_call != NULL)
		EXPECT(s, !plait_looping_call_is_running(s->looping_call));
	plait_looping_call_free(&s->looping_call);
}

/* ---- tasks --------------------------------------------------------- */

static bool take_a_step(plait_value *ret, void *arg)
{
	struct scene *s = arg;
	struct plait_deferred *d;

	if (++s->steps == 2) {
		d = plait_deferred_add_both(scene_work(s), to_none, NULL);
		*ret = plait_chain(&d);
	}
	return s->steps < 5;
}

static bool step_and_fail(plait_value *ret, void *arg)
{
	struct scene *s = arg;

	if (++s->steps == 3)
		*ret = no();
	return true;
}

static struct plait_deferred *start_task_of(struct scene *s,
					    plait_coiterator_step *step)
{
	s->cooperator = plait_cooperator_new(s->reactor, 0);
	if (s->cooperator == NULL)
		return plait_failed(plait_no_memory());
	s->tasks[0] = plait_cooperate(s->cooperator, step, s);
	if (s->tasks[0] == NULL)
		return plait_failed(plait_no_memory());
	return plait_coiterator_when_done(s->tasks[0]);
}

static struct plait_deferred *start_task(struct scene *s)
{
	return start_task_of(s, take_a_step);
}

/* Who asks as well is told, so that nobody complains. */
static struct plait_deferred *start_task_fails(struct scene *s)
{
	struct plait_deferred *d = start_task_of(s, step_and_fail);

	if (s->tasks[0] != NULL)
		s->others[0] = plait_deferred_add_both(
			plait_coiterator_when_done(s->tasks[0]), to_none, NULL);
	return d;
}

static void go_on(void *arg)
{
	plait_coiterator_resume(((struct scene *)arg)->tasks[0]);
}

static struct plait_deferred *start_task_paused(struct scene *s)
{
	struct plait_deferred *d = start_task_of(s, take_a_step);

	if (s->tasks[0] == NULL)
		return d;
	plait_coiterator_pause(s->tasks[0]);
	do_later(s, go_on);
	return d;
}

/* Steps that count for nothing. */
static bool step_aside(plait_value *ret, void *arg)
{
	unsigned *n = arg;

	return ++*n < 8;
}

static struct plait_deferred *start_task_two(struct scene *s)
{
	struct plait_deferred *d = start_task_of(s, take_a_step);

	if (s->tasks[0] != NULL)
		s->tasks[1] =
			plait_cooperate(s->cooperator, step_aside, &s->aside);
	return d;
}

static void stop_task(struct scene *s)
{
	plait_coiterator_free(&s->tasks[0]);
	plait_coiterator_free(&s->tasks[1]);
	free_others(s);
	plait_cooperator_free(&s->cooperator);
	EXPECT(s, s->running == 0);
}

/* ---- scopes -------------------------------------------------------- */

static bool make_scope(struct scene *s)
{
	s->scope = plait_scope_new(s->reactor);
	return s->scope != NULL;
}

static struct plait_deferred *start_in_scope(struct scene *s)
{
	make_scope(s);
	return plait_scope_start(s->scope, scene_work(s));
}

static struct plait_deferred *start_to_deadline(struct scene *s)
{
	make_scope(s);
	plait_scope_set_deadline(s->scope, TURN);
	return plait_scope_start(s->scope, work_for(s, 3 * TURN));
}

static struct plait_deferred *start_in_cancelled(struct scene *s)
{
	make_scope(s);
	plait_scope_cancel(s->scope, "too late");
	return plait_scope_start(s->scope, begin_work(s, TURN, stop_work));
}

/* The outer one is cancelled, and this one is given its time. */
static void cancel_outer(void *arg)
{
	plait_scope_cancel(((struct scene *)arg)->scope, "outer");
}

static struct plait_deferred *start_shielded(struct scene *s)
{
	make_scope(s);
	s->inner = plait_scope_new_in(s->scope);
	plait_scope_shield(s->inner, 20);
	do_later(s, cancel_outer);
	return plait_scope_start(s->inner, work_for(s, 3 * TURN));
}

static void stop_scope(struct scene *s)
{
	struct plait_deferred *d;

	if (s->scope != NULL)
		EXPECT(s, plait_scope_is_empty(s->inner != NULL ? s->inner
								: s->scope));
	plait_scope_free(&s->inner);
	d = plait_scope_close(&s->scope);
	EXPECT(s, plait_deferred_is_fired(d));
	plait_deferred_add_both(d, to_none, NULL);
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

static struct plait_deferred *start_close(struct scene *s)
{
	make_scope(s);
	plait_scope_enter(s->scope, &s->entry, leave_later, s);
	return plait_scope_close(&s->scope);
}

static struct plait_deferred *start_close_empty(struct scene *s)
{
	make_scope(s);
	return plait_scope_close(&s->scope);
}

/* What it owns is cancelled, and ends at once. */
static struct plait_deferred *start_close_owner(struct scene *s)
{
	struct plait_deferred *d;

	make_scope(s);
	d = plait_deferred_add_both(begin_work(s, TURN, stop_work), to_none,
				    NULL);
	plait_scope_own(s->scope, &d);
	return plait_scope_close(&s->scope);
}

static void stop_close(struct scene *s)
{
	leave(s);
}

/* ---- the network --------------------------------------------------- */

static const struct plait_protocol_ops client_ops = { .name = "client" };

static struct plait_deferred *connect_to(struct scene *s, enum server what)
{
	struct plait_connect_options o = { .timeout = 4 * TURN };
	const char *host;
	unsigned port;

	s->port = server_start(s->reactor, what, &host, &port);
	caller_start(&s->caller, s->reactor);
	return plait_client_connect_tcp(s->reactor, host, port, &client_ops,
					NULL, &o);
}

static struct plait_deferred *start_connect(struct scene *s)
{
	return connect_to(s, SERVER_MUTE);
}

static struct plait_connector *connector_to(struct plait_reactor *r,
					    struct plait_factory *f, void *arg)
{
	return plait_connect_tcp(r, servers_world.here, *(unsigned *)arg, f,
				 NULL);
}

static struct plait_deferred *start_connect_function(struct scene *s)
{
	const char *host;
	unsigned port;

	s->port = server_start(s->reactor, SERVER_MUTE, &host, &port);
	caller_start(&s->caller, s->reactor);
	return plait_client_connect(s->reactor, connector_to, &port,
				    &client_ops, NULL);
}

static struct plait_endpoint *endpoint_of_server(struct scene *s,
						 enum server what)
{
	struct plait_endpoint *e = NULL;
	char text[PLAIT_ADDRESS_SIZE + 30];
	const char *host;
	unsigned port;

	s->port = server_start(s->reactor, what, &host, &port);
	caller_start(&s->caller, s->reactor);
	snprintf(text, sizeof(text), "tcp:%s:%u:timeout=1", host, port);
	plait_endpoint_parse(text, &e, NULL, 0);
	return e;
}

static struct plait_deferred *connect_to_endpoint(struct scene *s,
						  enum server what)
{
	struct plait_endpoint *e = endpoint_of_server(s, what);
	struct plait_deferred *d =
		plait_endpoint_connect(e, s->reactor, &client_ops, NULL);

	plait_endpoint_unref(&e);
	return d;
}

static struct plait_deferred *read_endpoint(struct scene *s, enum server what)
{
	struct plait_endpoint *e = endpoint_of_server(s, what);
	struct plait_deferred *d = plait_endpoint_read_all(
		e, s->reactor, plait_text("hello"), 100);

	plait_endpoint_unref(&e);
	return d;
}

static struct plait_deferred *start_endpoint_read(struct scene *s)
{
	return read_endpoint(s, SERVER_POEM);
}

static struct plait_deferred *start_endpoint_breaks(struct scene *s)
{
	return read_endpoint(s, SERVER_BREAKS);
}

static struct plait_deferred *start_endpoint(struct scene *s)
{
	return connect_to_endpoint(s, SERVER_MUTE);
}

static struct plait_deferred *start_endpoint_refused(struct scene *s)
{
	return connect_to_endpoint(s, SERVER_REFUSES);
}

static struct plait_deferred *start_endpoint_nowhere(struct scene *s)
{
	return connect_to_endpoint(s, SERVER_NOWHERE);
}

/* A name that no other process and no other scene has. */
static struct plait_deferred *connect_to_name(struct scene *s, bool is_there)
{
	struct plait_endpoint *e = NULL;
	struct plait_deferred *d;
	char name[60], text[80];

	snprintf(name, sizeof(name), "@plait-starters-%d-%p", (int)getpid(),
		 (void *)s);
	if (is_there)
		s->port = server_start_at(s->reactor, SERVER_MUTE, name);
	caller_start(&s->caller, s->reactor);
	snprintf(text, sizeof(text), "unix:%s:timeout=1", name);
	plait_endpoint_parse(text, &e, NULL, 0);
	d = plait_endpoint_connect(e, s->reactor, &client_ops, NULL);
	plait_endpoint_unref(&e);
	return d;
}

static struct plait_deferred *start_endpoint_name(struct scene *s)
{
	return connect_to_name(s, true);
}

static struct plait_deferred *start_endpoint_no_name(struct scene *s)
{
	return connect_to_name(s, false);
}

static struct plait_deferred *start_endpoint_listen(struct scene *s)
{
	static struct plait_factory factory = { .protocol = &client_ops };
	struct plait_endpoint *e = NULL;
	struct plait_deferred *d;

	plait_endpoint_parse("limit:total=1:throttle:in=1K:tcp:0", &e, NULL, 0);
	d = plait_endpoint_listen(e, s->reactor, &factory);
	plait_endpoint_unref(&e);
	return d;
}

static struct plait_deferred *start_connect_hasty(struct scene *s)
{
	return connect_to(s, SERVER_HASTY);
}

static struct plait_deferred *start_connect_refused(struct scene *s)
{
	return connect_to(s, SERVER_REFUSES);
}

static struct plait_deferred *start_connect_nowhere(struct scene *s)
{
	return connect_to(s, SERVER_NOWHERE);
}

static struct plait_deferred *connect_by_name(struct scene *s, const char *name,
					      enum server what)
{
	struct plait_connect_options o = { .timeout = 4 * TURN };
	const char *host;
	unsigned port;

	o.resolver = deaf_resolver(s);
	s->port = server_start(s->reactor, what, &host, &port);
	caller_start(&s->caller, s->reactor);
	return plait_client_connect_tcp(s->reactor, name, port, &client_ops,
					NULL, &o);
}

/* Each of the two addresses of the name is refused. */
static struct plait_deferred *start_connect_by_name(struct scene *s)
{
	return connect_by_name(s, "poetry.localhost", SERVER_REFUSES);
}

/* It is looked up until the time is over. */
static struct plait_deferred *start_connect_unknown(struct scene *s)
{
	return connect_by_name(s, "poetry.example", SERVER_NOWHERE);
}

static struct plait_deferred *read_from(struct scene *s, enum server what,
					plait_value request, size_t max)
{
	struct plait_connect_options o = { .timeout = 4 * TURN };
	const char *host;
	unsigned port;

	s->port = server_start(s->reactor, what, &host, &port);
	caller_start(&s->caller, s->reactor);
	return plait_client_read_all(s->reactor, host, port, request, max, &o);
}

static struct plait_deferred *start_read(struct scene *s)
{
	return read_from(s, SERVER_POEM, plait_text("hello"), 100);
}

static struct plait_deferred *start_read_much(struct scene *s)
{
	return read_from(s, SERVER_MUCH, plait_text("hello"), SERVER_BYTES);
}

static struct plait_deferred *start_read_too_much(struct scene *s)
{
	return read_from(s, SERVER_MUCH, plait_text("hello"), 1000);
}

static struct plait_deferred *start_read_slow(struct scene *s)
{
	return read_from(s, SERVER_SLOW, PLAIT_NONE, 100);
}

static struct plait_deferred *start_read_breaks(struct scene *s)
{
	return read_from(s, SERVER_BREAKS, plait_text("hello"), 100);
}

static struct plait_deferred *start_read_refused(struct scene *s)
{
	return read_from(s, SERVER_REFUSES, plait_text("hello"), 100);
}

static struct plait_deferred *start_read_nowhere(struct scene *s)
{
	return read_from(s, SERVER_NOWHERE, plait_text("hello"), 100);
}

static struct plait_deferred *start_read_silent(struct scene *s)
{
	struct plait_deferred *d =
		read_from(s, SERVER_SILENT, plait_text("hello"), 100);

	return plait_deferred_add_timeout(d, s->reactor, 6 * TURN);
}

/* ---- a connection that is kept up ---------------------------------- */

static bool service_start(struct scene *s, enum server what,
			  plait_client_prepare *prepare)
{
	struct plait_client_service_options o = { .timeout = 4 * TURN,
						  .prepare = prepare };
	struct plait_endpoint *e = NULL;
	const char *host;
	unsigned port;
	char text[100];

	s->port = server_start(s->reactor, what, &host, &port);
	caller_start(&s->caller, s->reactor);
	snprintf(text, sizeof(text), "tcp:%s:%u", host, port);
	plait_endpoint_parse(text, &e, NULL, 0);
	s->service =
		plait_client_service_new(s->reactor, e, &client_ops, s, &o);
	plait_endpoint_unref(&e);
	plait_client_service_start(s->service);
	return s->service != NULL;
}

/* As a program does that has what it wants, or does not want it any more. */
static plait_value end_service(plait_value *result, void *arg)
{
	struct scene *s = arg;

	plait_client_service_free(&s->service);
	return plait_value_take(result);
}

static struct plait_deferred *wait_for_service(struct scene *s,
					       enum server what,
					       plait_client_prepare *prepare)
{
	if (!service_start(s, what, prepare))
		return plait_failed(plait_no_memory());
	return plait_deferred_add_both(
		plait_client_service_when_connected(s->service, 1), end_service,
		s);
}

static struct plait_deferred *start_service(struct scene *s)
{
	return wait_for_service(s, SERVER_MUTE, NULL);
}

static struct plait_deferred *start_service_refused(struct scene *s)
{
	return wait_for_service(s, SERVER_REFUSES, NULL);
}

static struct plait_deferred *start_service_nowhere(struct scene *s)
{
	return wait_for_service(s, SERVER_NOWHERE, NULL);
}

static plait_value prepare_with_work(struct plait_protocol *p, void *arg)
{
	struct plait_deferred *d = work_for(arg, TURN);

	return plait_chain(&d);
}

static struct plait_deferred *start_service_prepared(struct scene *s)
{
	return wait_for_service(s, SERVER_MUTE, prepare_with_work);
}

static plait_value stop_service(plait_value *result, void *arg)
{
	struct scene *s = arg;
	struct plait_deferred *d = plait_client_service_stop(s->service);

	plait_value_free(result);
	return plait_chain(&d);
}

static struct plait_deferred *start_service_stop(struct scene *s)
{
	struct plait_deferred *d;

	if (!service_start(s, SERVER_MUTE, NULL))
		return plait_failed(plait_no_memory());
	d = plait_client_service_when_connected(s->service, 1);
	plait_deferred_add_callback(d, stop_service, s);
	return plait_deferred_add_both(d, end_service, s);
}

static struct plait_deferred *start_service_stop_early(struct scene *s)
{
	if (!service_start(s, SERVER_NOWHERE, NULL))
		return plait_failed(plait_no_memory());
	return plait_deferred_add_both(plait_client_service_stop(s->service),
				       end_service, s);
}

/* Real programs last in real time: see test_run.c for those that are cancelled,
   and scenario_children.c for simulated ones. */
static struct plait_deferred *start_run_nothing(struct scene *s)
{
	static const char *const argv[] = { "/nonexistent/poem", NULL };

	return plait_run(s->reactor, argv, PLAIT_NONE, NULL);
}

/* See test_process_job.c for those that have a process. */
static struct plait_deferred *start_process_job_unknown(struct scene *s)
{
	return plait_defer_to_process(s->reactor, "poem", PLAIT_NONE, NULL);
}

/* The same for processes: see test_process_watch.c. */
static struct plait_deferred *start_watching_nothing(struct scene *s)
{
	return plait_process_watch(s->reactor, INT_MAX);
}

/* Nobody minds this signal, if it comes when the wait was cancelled. */
static void ring(void *arg)
{
	struct scene *s = arg;

	if (!plait_i_signal_arrive(s->reactor, SIGURG))
		raise(SIGURG);
}

static struct plait_deferred *start_signal_wait(struct scene *s)
{
	plait_timer_start(s->reactor, &s->timer, TURN, ring, s);
	return plait_signal_wait(s->reactor, SIGURG);
}

static struct plait_deferred *start_signal_wait_impossible(struct scene *s)
{
	return plait_signal_wait(s->reactor, SIGKILL);
}

static struct plait_deferred *start_stop_listening(struct scene *s)
{
	static struct plait_factory factory = { .protocol = &client_ops };
	struct plait_listen_options o = { .iface = servers_world.here };
	struct plait_port *port = NULL;

	plait_listen_tcp(s->reactor, 0, &factory, &o, &port);
	return plait_port_stop_listening(&port);
}

/* What it has sent may be lost; what has come is dropped. */
static struct plait_deferred *start_stop_datagrams(struct scene *s)
{
	static const struct plait_datagram_ops ops = { .name = "datagrams" };
	static struct plait_datagram_protocol p;
	struct plait_udp_options o = { .iface = servers_world.here };
	struct plait_port *port = NULL;
	struct plait_address own;

	p = (struct plait_datagram_protocol){ .ops = &ops };
	if (plait_listen_udp(s->reactor, 0, &p, &o, &port) == 0) {
		plait_port_host(port, &own);
		plait_datagram_send(&p, "hello", 5, &own);
	}
	return plait_port_stop_listening(&port);
}

static struct plait_deferred *start_drain(struct scene *s)
{
	static struct plait_factory factory = { .protocol = &client_ops };
	struct plait_listen_options o = { .iface = servers_world.here };
	struct plait_port *port = NULL;

	plait_listen_tcp(s->reactor, 0, &factory, &o, &port);
	return plait_port_drain(&port);
}

/* Two clients, and a place for one: the other one waits in the queue. */
static void clients_go(void *arg)
{
	plait_value_free(&((struct scene *)arg)->held);
}

static plait_value then_drain(plait_value *result, void *arg)
{
	struct scene *s = arg;
	struct plait_deferred *d;

	s->held = plait_value_take(result);
	do_later(s, clients_go);
	d = plait_port_drain(&s->port);
	return plait_chain(&d);
}

static struct plait_deferred *start_drain_queue(struct scene *s)
{
	static struct plait_factory factory = { .protocol = &client_ops };
	struct plait_listen_options o = { .iface = servers_world.here,
					  .max_connections = 1 };
	struct plait_deferred *clients[2];
	struct plait_address a;

	if (plait_listen_tcp(s->reactor, 0, &factory, &o, &s->port) < 0)
		return plait_failed(plait_no_memory());
	plait_port_host(s->port, &a);
	for (int i = 0; i < 2; i++)
		clients[i] = plait_client_connect_tcp(
			s->reactor, servers_world.here, plait_address_port(&a),
			&client_ops, NULL, NULL);
	return plait_deferred_add_callback(
		plait_gather(clients, 2, PLAIT_DEFERRED_LIST_CONSUME_ERRORS),
		then_drain, s);
}

static void stop_drain_queue(struct scene *s)
{
	plait_value_free(&s->held);
}

/* ---- the table ----------------------------------------------------- */

#define STARTER(function, ...)                                                 \
	{                                                                      \
		.name = PLAIT_STRINGIFY_(function), .state = __VA_ARGS__       \
	}

const struct starter starters[] = {
	STARTER(plait_client_connect, "answered",
		.start = start_connect_function),
	STARTER(plait_client_connect_tcp, "answered", .start = start_connect),
	STARTER(plait_client_connect_tcp, "hung up on",
		.start = start_connect_hasty, .fails = true),
	STARTER(plait_client_connect_tcp, "refused",
		.start = start_connect_refused, .fails = true),
	STARTER(plait_client_connect_tcp, "not answered",
		.start = start_connect_nowhere, .fails = true),
	STARTER(plait_client_connect_tcp, "by name, refused",
		.start = start_connect_by_name, .stop = stop_resolver,
		.fails = true),
	STARTER(plait_client_connect_tcp, "by name, not answered",
		.start = start_connect_unknown, .stop = stop_resolver,
		.fails = true),
	STARTER(plait_client_read_all, "a line", .start = start_read),
	STARTER(plait_client_read_all, "much", .start = start_read_much),
	STARTER(plait_client_read_all, "too much", .start = start_read_too_much,
		.fails = true),
	STARTER(plait_client_read_all, "slowly", .start = start_read_slow),
	STARTER(plait_client_read_all, "broken off", .start = start_read_breaks,
		.fails = true),
	STARTER(plait_client_read_all, "refused", .start = start_read_refused,
		.fails = true),
	STARTER(plait_client_read_all, "not answered",
		.start = start_read_nowhere, .fails = true),
	STARTER(plait_client_read_all, "silence", .start = start_read_silent,
		.fails = true),
	STARTER(plait_client_service_stop, "connected",
		.start = start_service_stop),
	STARTER(plait_client_service_stop, "not answered",
		.start = start_service_stop_early),
	STARTER(plait_client_service_when_connected, "answered",
		.start = start_service),
	STARTER(plait_client_service_when_connected, "prepared",
		.start = start_service_prepared, .works = 1),
	STARTER(plait_client_service_when_connected, "refused",
		.start = start_service_refused, .fails = true),
	STARTER(plait_client_service_when_connected, "not answered",
		.start = start_service_nowhere, .fails = true),
	STARTER(plait_coiterator_when_done, "that waits", .start = start_task,
		.stop = stop_task, .goes_on = true, .works = 1),
	STARTER(plait_coiterator_when_done, "one of two",
		.start = start_task_two, .stop = stop_task, .goes_on = true,
		.works = 1),
	STARTER(plait_coiterator_when_done, "paused",
		.start = start_task_paused, .stop = stop_task, .goes_on = true,
		.works = 1),
	STARTER(plait_coiterator_when_done, "that fails",
		.start = start_task_fails, .stop = stop_task, .goes_on = true,
		.fails = true),
	STARTER(plait_defer_later, "with work", .start = start_later,
		.works = 1),
	STARTER(plait_defer_later, "bare", .start = start_later_bare),
	STARTER(plait_deferred_add_both, "then work", .start = start_both,
		.works = 2),
	STARTER(plait_deferred_add_both, "six times", .start = start_many_pairs,
		.works = 2),
	STARTER(plait_deferred_add_callback, "then work",
		.start = start_callback, .works = 2),
	STARTER(plait_deferred_add_callbacks, "then work",
		.start = start_callbacks, .works = 2),
	STARTER(plait_deferred_add_errback, "work instead",
		.start = start_errback, .works = 1),
	STARTER(plait_defer_to_pool, "", .start = start_to_pool,
		.stop = stop_pool, .has_threads = true),
	STARTER(plait_defer_to_pool, "in a line", .start = start_to_pool_line,
		.stop = stop_pool, .others = true, .has_threads = true),
	STARTER(plait_defer_to_pool, "freed", .start = start_to_pool_freed,
		.stop = stop_pool, .at_once = true, .fails = true,
		.has_threads = true),
	STARTER(plait_defer_to_thread, "", .start = start_to_thread,
		.has_threads = true),
	STARTER(plait_defer_to_process, "that is not known",
		.start = start_process_job_unknown, .at_once = true,
		.fails = true),
	STARTER(plait_deferred_add_timeout, "reached", .start = start_timeout,
		.works = 1, .fails = true),
	STARTER(plait_deferred_add_timeout, "not reached",
		.start = start_timeout_late, .works = 1),
	STARTER(plait_deferred_add_timeout_with, "reached, then work",
		.start = start_timeout_with, .works = 2),
	STARTER(plait_deferred_list, "all", .start = start_list, .works = 3),
	STARTER(plait_deferred_list, "the first", .start = start_list_first,
		.works = 3),
	STARTER(plait_deferred_list, "the first, then work",
		.start = start_list_waits, .works = 4),
	STARTER(plait_deferred_new, "with a canceller", .start = start_new,
		.works = 1),
	STARTER(plait_deferred_new, "without a canceller",
		.start = start_new_bare, .goes_on = true, .fires_late = true),
	STARTER(plait_deferred_new, "cancelled with a value",
		.start = start_new_value, .answers = true, .is_alone = true),
	STARTER(plait_deferred_new, "cancelled with a failure",
		.start = start_new_failure, .answers = true, .is_alone = true),
	STARTER(plait_deferred_new, "fired by its canceller",
		.start = start_new_fired),
	STARTER(plait_deferred_new, "forwarded", .start = start_forwarded,
		.stop = free_others, .goes_on = true, .fires_late = true),
	STARTER(plait_dns_query, "not answered", .start = start_query,
		.stop = stop_resolver, .fails = true),
	STARTER(plait_dns_query, "freed", .start = start_query_freed,
		.stop = stop_resolver, .fails = true),
	STARTER(plait_endpoint_connect, "answered", .start = start_endpoint),
	STARTER(plait_endpoint_connect, "refused",
		.start = start_endpoint_refused, .fails = true),
	STARTER(plait_endpoint_connect, "not answered",
		.start = start_endpoint_nowhere, .fails = true),
	STARTER(plait_endpoint_connect, "answered at a name",
		.start = start_endpoint_name, .needs_sockets = true),
	STARTER(plait_endpoint_connect, "nobody at a name",
		.start = start_endpoint_no_name, .fails = true,
		.needs_sockets = true),
	STARTER(plait_endpoint_read_all, "a line",
		.start = start_endpoint_read),
	STARTER(plait_endpoint_read_all, "broken off",
		.start = start_endpoint_breaks, .fails = true),
	STARTER(plait_endpoint_listen, "free", .start = start_endpoint_listen,
		.at_once = true),
	STARTER(plait_event_wait, "alone", .start = start_wait,
		.stop = stop_wait),
	STARTER(plait_event_wait, "two wait", .start = start_wait_two,
		.stop = stop_wait, .others = true),
	STARTER(plait_event_wait, "a failure", .start = start_wait_fails,
		.stop = stop_wait, .fails = true),
	STARTER(plait_event_wait, "freed", .start = start_wait_freed,
		.stop = stop_wait, .fails = true),
	STARTER(plait_event_wait, "set", .start = start_wait_set,
		.stop = stop_wait, .at_once = true),
	STARTER(plait_failed, "", .start = start_failed, .at_once = true,
		.fails = true),
	STARTER(plait_gather, "", .start = start_gather, .works = 3),
	STARTER(plait_gather, "that fails", .start = start_gather_fails,
		.works = 3, .fails = true),
	STARTER(plait_gather, "that reports", .start = start_gather_plain,
		.is_alone = true),
	STARTER(plait_lock_acquire, "free", .start = start_acquire_free,
		.stop = stop_lock, .at_once = true),
	STARTER(plait_lock_acquire, "held", .start = start_acquire,
		.stop = stop_lock),
	STARTER(plait_lock_acquire, "in a line", .start = start_acquire_line,
		.stop = stop_lock, .others = true),
	STARTER(plait_lock_acquire, "freed", .start = start_acquire_freed,
		.stop = stop_lock_run, .fails = true),
	STARTER(plait_lock_run, "held", .start = start_lock_run,
		.stop = stop_lock_run, .works = 1),
	STARTER(plait_lock_run, "free", .start = start_lock_run_free,
		.stop = stop_lock_run, .works = 1),
	STARTER(plait_lock_run, "in a line", .start = start_lock_run_line,
		.stop = stop_lock_run, .works = 1, .others = true),
	STARTER(plait_looping_call_start, "", .start = start_loop,
		.stop = stop_loop, .works = 3),
	STARTER(plait_looping_call_start, "now", .start = start_loop_now,
		.stop = stop_loop, .works = 3),
	STARTER(plait_looping_call_start, "each turn",
		.start = start_loop_turns, .stop = stop_loop),
	STARTER(plait_looping_call_start, "that fails",
		.start = start_loop_fails, .stop = stop_loop, .works = 2,
		.fails = true),
	STARTER(plait_maybe_deferred, "deferred", .start = start_maybe,
		.works = 1),
	STARTER(plait_maybe_deferred, "value", .start = start_maybe_value,
		.at_once = true),
	STARTER(plait_pool_close, "with a job", .start = start_closing,
		.stop = stop_pool, .goes_on = true, .has_threads = true),
	STARTER(plait_pool_close, "idle", .start = start_closing_idle,
		.stop = stop_pool, .has_threads = true),
	STARTER(plait_port_drain, "nobody waits", .start = start_drain),
	STARTER(plait_port_drain, "a client waits", .start = start_drain_queue,
		.stop = stop_drain_queue, .needs_sockets = true),
	STARTER(plait_port_stop_listening, "", .start = start_stop_listening),
	STARTER(plait_port_stop_listening, "datagrams",
		.start = start_stop_datagrams),
	STARTER(plait_queue_get, "empty", .start = start_get, .stop = stop_get),
	STARTER(plait_queue_get, "a value is there", .start = start_get_there,
		.stop = stop_get, .at_once = true),
	STARTER(plait_process_watch, "that is not there",
		.start = start_watching_nothing, .at_once = true,
		.fails = true),
	STARTER(plait_queue_get, "in a line", .start = start_get_line,
		.stop = stop_get_line, .others = true),
	STARTER(plait_queue_get, "shut down", .start = start_get_shut,
		.stop = stop_get_shut, .fails = true),
	STARTER(plait_race, "", .start = start_race, .works = 3),
	STARTER(plait_race, "that fails", .start = start_race_fails, .works = 3,
		.fails = true),
	STARTER(plait_resolve, "a number", .start = start_resolve_number,
		.stop = stop_resolver),
	STARTER(plait_resolve, "not answered", .start = start_resolve,
		.stop = stop_resolver, .fails = true),
	STARTER(plait_resolve_address, "not answered",
		.start = start_resolve_address, .stop = stop_resolver,
		.fails = true),
	STARTER(plait_retry, "once more", .start = start_retry, .works = 2),
	STARTER(plait_retry, "in vain", .start = start_retry_in_vain,
		.fails = true),
	STARTER(plait_retry, "never", .start = start_retry_never, .works = 1,
		.fails = true),
	STARTER(plait_run, "that is not there", .start = start_run_nothing,
		.at_once = true, .fails = true),
	STARTER(plait_signal_wait, "", .start = start_signal_wait,
		.is_alone = true),
	STARTER(plait_signal_wait, "what cannot be caught",
		.start = start_signal_wait_impossible, .at_once = true,
		.fails = true),
	STARTER(plait_scope_close, "what ends later", .start = start_close,
		.stop = stop_close, .goes_on = true),
	STARTER(plait_scope_close, "empty", .start = start_close_empty,
		.at_once = true),
	STARTER(plait_scope_close, "with a deferred",
		.start = start_close_owner, .at_once = true),
	STARTER(plait_scope_start, "", .start = start_in_scope,
		.stop = stop_scope, .works = 1),
	STARTER(plait_scope_start, "to a deadline", .start = start_to_deadline,
		.stop = stop_scope, .works = 1, .fails = true),
	STARTER(plait_scope_start, "cancelled", .start = start_in_cancelled,
		.stop = stop_scope, .at_once = true, .fails = true,
		.is_alone = true),
	STARTER(plait_scope_start, "shielded", .start = start_shielded,
		.stop = stop_scope, .works = 1),
	STARTER(plait_semaphore_acquire, "free", .start = start_semaphore_free,
		.stop = stop_semaphore, .at_once = true),
	STARTER(plait_semaphore_acquire, "held", .start = start_semaphore,
		.stop = stop_semaphore),
	STARTER(plait_semaphore_run, "held", .start = start_semaphore_run,
		.stop = stop_semaphore_run, .works = 1),
	STARTER(plait_semaphore_run, "in a line", .start = start_semaphore_line,
		.stop = stop_semaphore_run, .works = 1, .others = true),
	STARTER(plait_semaphore_run, "three for two tokens",
		.start = start_semaphore_runs, .stop = stop_semaphore_runs,
		.works = 3),
	STARTER(plait_shared_wait, "alone", .start = start_shared,
		.stop = stop_shared, .works = 1),
	STARTER(plait_shared_wait, "two wait", .start = start_shared_two,
		.stop = stop_shared, .works = 1, .goes_on = true,
		.others = true),
	STARTER(plait_shared_wait, "over", .start = start_shared_fired,
		.stop = stop_shared, .at_once = true),
	STARTER(plait_succeed, "", .start = start_succeed, .at_once = true),
};

const int n_starters = sizeof(starters) / sizeof(starters[0]);

const struct starter *starter_of(const char *name, const char *state)
{
	for (int i = 0; i < n_starters; i++)
		if (strcmp(starters[i].name, name) == 0 &&
		    strcmp(starters[i].state, state) == 0)
			return &starters[i];
	ck_abort_msg("no starter is %s %s", name, state);
}

/* ---- scenes -------------------------------------------------------- */

/* The end of what a program would end then, too. */
static plait_value scene_settled(plait_value *result, void *arg)
{
	struct scene *s = arg;

	s->settled++;
	s->failed = plait_value_is_failure(result);
	plait_port_free(&s->port);
	caller_end(&s->caller);
	return plait_value_take(result);
}

static void scene_begin(struct scene *s, struct plait_reactor *r)
{
	size_t plan = offsetof(struct scene, reactor);

	memset((char *)s + plan, 0, sizeof(*s) - plan);
	s->reactor = r;
}

struct plait_deferred *scene_start(struct scene *s, struct plait_reactor *r)
{
	scene_begin(s, r);
	s->started = 1;
	return plait_deferred_add_both(s->starter->start(s), scene_settled, s);
}

bool scene_is_working(const struct scene *s)
{
	if (s->starter->goes_on)
		return false;
	for (int i = 0; i < MAX_WORKS; i++)
		if (s->parts[i] != NULL && scene_is_working(s->parts[i]))
			return true;
	return s->running > 0;
}

/* A scene that was never started has nothing. */
static void scene_stop_own(struct scene *s)
{
	EXPECT(s, s->settled == 1);
	if (s->starter->stop != NULL)
		s->starter->stop(s);
	plait_timer_stop(&s->timer);
	caller_stop(&s->caller);
	plait_port_free(&s->port);
	for (int i = 0; i < MAX_WORKS; i++)
		if (s->works[i].scene != NULL)
			stop_timer(&s->works[i]);
}

/* What a scene does goes on in its parts, so the whole is stopped first. */
static void scene_stop_all(struct scene *s)
{
	if (s->started)
		scene_stop_own(s);
	s->started = 0;
	for (int i = 0; i < MAX_WORKS; i++)
		if (s->parts[i] != NULL)
			scene_stop_all(s->parts[i]);
}

const char *scene_stop(struct scene *s)
{
	complaint[0] = '\0';
	scene_stop_all(s);
	return complaint[0] != '\0' ? complaint : NULL;
}
