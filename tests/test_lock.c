/*
 * Locks and semaphores: who gets the token when, whatever those who wait for
 * it do in their callbacks.
 */
#include <plait/plait.h>

#include "tests/child.h"
#include "tests/extreme.h"
#include "tests/harness.h"
#include "tests/script.h"

enum { WAITERS = 3 };

static struct plait_lock *lock;
static struct plait_semaphore *semaphore; /* of two tokens */
static struct plait_shared *shared;
static struct plait_deferred *w[WAITERS];

static void done(void)
{
	plait_shared_free(&shared);
	plait_lock_free(&lock);
	plait_semaphore_free(&semaphore);
}

/* For those who use the lock while it is being freed. */
static struct plait_lock *raw;

/* The verbs of this suite: on the lock, and on the semaphore. */
static struct plait_deferred *acquire(void)
{
	return plait_lock_acquire(raw);
}

static void do_acquire(void)
{
	script_make_each(acquire);
}

static void do_release(void)
{
	plait_lock_release(raw);
}

static void do_locked(void)
{
	trace_add("%s", plait_lock_is_locked(lock) ? "locked" : "free");
}

static void do_run(void)
{
	struct script_part *part = script_part();

	part->d = plait_lock_run(lock, script_operation, script_callback());
}

static void do_free_lock(void)
{
	plait_lock_free(&lock);
	ck_assert_ptr_null(lock);
}

static struct plait_deferred *take(void)
{
	return plait_semaphore_acquire(semaphore);
}

static void do_take(void)
{
	script_make_each(take);
}

static void do_give(void)
{
	plait_semaphore_release(semaphore);
}

static void do_tokens(void)
{
	trace_add("%zu", plait_semaphore_tokens(semaphore));
}

static void do_run_with(void)
{
	struct script_part *part = script_part();

	part->d = plait_semaphore_run(semaphore, script_operation,
				      script_callback());
}

/* The only waiter of an operation that is shared. */
static void do_share(void)
{
	struct script_part *part = script_part();
	struct plait_deferred *d = script_take(script_known());

	shared = plait_shared_new(&d);
	part->d = plait_shared_wait(shared);
}

static void do_free_shared(void)
{
	plait_shared_free(&shared);
}

static const struct play_verb verbs[] = {
	{ "acquire", do_acquire },	   { "release", do_release },
	{ "locked?", do_locked },	   { "run", do_run },
	{ "free_lock", do_free_lock },	   { "take_token", do_take },
	{ "give_token", do_give },	   { "tokens?", do_tokens },
	{ "run_with_token", do_run_with }, { "share", do_share },
	{ "free_shared", do_free_shared }, { NULL, NULL },
};

static void setup(void)
{
	steps_setup();
	lock = plait_lock_new();
	semaphore = plait_semaphore_new(2);
	raw = lock;
	play_words(verbs, done);
}

/* ---- acquiring and releasing ---------------------------------------- */

GROUP("acquire and release", .setup = setup);

SCRIPT(free_lock_is_acquired_at_once, PURE,
       "locked?; acquire a; locked?; release; locked?",
       "free a:none locked free")

SCRIPT(waiters_are_served_in_order_inside_the_release, PURE,
       "acquire a b c | release | release; locked?",
       "a:none | b:none | c:none locked")

SCRIPT(lock_stays_locked_while_it_is_handed_over, PURE,
       "acquire a b c; both b { release; locked? }; both c { locked? } | "
       "release",
       "a:none | b:none locked c:none locked")

SCRIPT(semaphore_has_so_many_tokens, PURE,
       "tokens?; take_token a b c; tokens? | give_token; tokens? | give_token; "
       "tokens?; give_token; tokens?",
       "2 a:none b:none 0 | c:none 0 | 1 2")

SCRIPT(token_is_not_free_while_it_is_handed_over, PURE,
       "take_token a b c d; both c { give_token; tokens? }; both d { tokens? } "
       "| give_token",
       "a:none b:none | c:none 0 d:none 0")

TEST(semaphore_without_tokens_is_refused, PURE)
{
	errno = 0;
	ck_assert_ptr_null(plait_semaphore_new(0));
	ck_assert_int_eq(errno, EINVAL);
	done();
}

static void release_lock(void *arg)
{
	plait_lock_release(lock);
}

static void release_semaphore(void *arg)
{
	plait_semaphore_release(semaphore);
}

TEST(releasing_what_nobody_acquired_aborts, PURE)
{
	assert_aborts(release_lock, NULL, "released what nobody has acquired");
	assert_aborts(release_semaphore, NULL,
		      "released what nobody has acquired");
	done();
}

/* ---- cancelling ----------------------------------------------------- */

GROUP("cancel", .setup = setup);

SCRIPT(cancelled_waiter_leaves_and_the_others_keep_their_order, PURE,
       "acquire a b c | cancel b | release",
       "a:none | b:CancelledError | c:none")

SCRIPT(freed_waiter_leaves, PURE, "acquire a b c | free b | release",
       "a:none | b:CancelledError | c:none")

SCRIPT(detached_waiter_still_gets_the_token, PURE,
       "acquire a b c | detach b; release", "a:none | b:none")

SCRIPT(cancelling_what_was_acquired_is_nothing, PURE,
       "acquire a b c | cancel a; free a; locked?", "a:none | locked")

/* ---- inside the callbacks of waiters --------------------------------- */

GROUP("inside callbacks", .setup = setup);

SCRIPT(waiter_may_release_inside_its_callback, PURE,
       "acquire a b c; both b { release }; both b after | release; locked?",
       "a:none | b:none after:none c:none locked")

SCRIPT(waiter_may_cancel_the_next_inside_its_callback, PURE,
       "acquire a b c; both b { cancel c } | release | release; locked?",
       "a:none | b:none c:CancelledError | free")

SCRIPT(next_may_be_cancelled_after_the_token_was_released_for_it, PURE,
       "acquire a b c; both b { release }; both b { cancel c } | release; "
       "locked?",
       "a:none | b:none c:CancelledError free")

SCRIPT(acquiring_again_inside_queues_at_the_end, PURE,
       "acquire a b c; both b { acquire again } | release | release | release",
       "a:none | b:none | c:none | again:none")

SCRIPT(released_inside_it_still_goes_to_the_first_not_to_who_comes, PURE,
       "acquire a b c; both b { release }; both b { acquire again } | release "
       "| release",
       "a:none | b:none c:none | again:none")

SCRIPT(lock_may_be_freed_inside_a_callback, PURE,
       "acquire a b c; both b { free_lock } | release",
       "a:none | b:none c:AbandonedError: promise dropped")

/* ---- freeing the lock ------------------------------------------------ */

GROUP("free", .setup = setup);

SCRIPT(freeing_abandons_who_waits, PURE, "acquire a b c | free_lock",
       "a:none | b:AbandonedError: promise dropped c:AbandonedError: promise "
       "dropped")

SCRIPT(acquiring_while_it_is_freed_fails_at_once, PURE,
       "acquire a b c; both c { acquire again } | free_lock",
       "a:none | b:AbandonedError: promise dropped c:AbandonedError: promise "
       "dropped again:AbandonedError: the lock was freed")

/* He who got it could not give it back. */
SCRIPT(token_released_while_it_is_freed_goes_to_nobody, PURE,
       "acquire a b c; both b { release } = none | free_lock",
       "a:none | b:AbandonedError: promise dropped c:AbandonedError: promise "
       "dropped")

TEST(freeing_null_is_nothing, PURE)
{
	struct plait_lock *no_lock = NULL;
	struct plait_semaphore *no_semaphore = NULL;

	plait_lock_free(&no_lock);
	plait_semaphore_free(&no_semaphore);
	done();
}

/* ---- run ------------------------------------------------------------ */

/* An operation that does and answers what the step says. */
static plait_value operate(void *arg)
{
	plait_value none = PLAIT_NONE;

	return step(&none, arg);
}

GROUP("run", .setup = setup);

SCRIPT(run_acquires_calls_and_releases, PURE,
       "run a fn { locked? } = 5; show a; locked?", "fn:none locked a=5 free")

SCRIPTS(run_waits_for_the_work_and_passes_its_result_on, PURE,
	{ "new work; run a fn = work; locked?; both a a | fire work 5; locked?",
	  "fn:none locked | a:5 free" },
	{ "new work; run a fn = work; locked?; both a a | fire work Error:no; "
	  "locked?",
	  "fn:none locked | a:Error: no free" })

SCRIPT(run_that_fails_releases, PURE, "run a = Error:no; locked?", "free")

SCRIPT(run_waits_for_its_turn, PURE,
       "take_token a b; run_with_token c fn | give_token; tokens?",
       "a:none b:none | fn:none 1")

SCRIPTS(run_cancelled_while_it_waits_never_calls, PURE,
	{ "acquire a; run b never | cancel b; catch b = none; free b; release; "
	  "locked?",
	  "a:none | free" },
	{ "acquire a; run b never | free b; release; locked?",
	  "a:none | free" })

SCRIPTS(run_cancelled_at_work_stops_that_and_then_releases, PURE,
	{ "new work !work; run a fn = work; acquire next | cancel a; catch a = "
	  "none; free a",
	  "fn:none | !work next:none" },
	{ "new work !work; run a fn = work; acquire next | free a",
	  "fn:none | !work next:none" })

/* Work that, when it is cancelled, has something to clear up and waits. */
SCRIPT(freed_run_releases_when_all_of_its_work_has_ended, PURE,
       "new work !work; new clearing !clearing; catch work cancelled = "
       "clearing; run a fn = work; acquire next | free a",
       "fn:none | !work cancelled:CancelledError !clearing next:none")

SCRIPT(cancelled_run_holds_on_while_its_work_clears_up, PURE,
       "new work !work; new clearing; catch work = clearing; run a fn = work | "
       "cancel a; locked? | fire clearing none; locked?",
       "fn:none | !work locked | free")

SCRIPT(run_freed_inside_its_function_releases_after_that, PURE,
       "new work !work; acquire a; run b fn { free b } = work; acquire next | "
       "release",
       "a:none | fn:none !work next:none")

/* The pair that releases is one of its chain. */
SCRIPT(paused_run_keeps_the_lock_until_it_is_unpaused, PURE,
       "new work; run a fn = work; pause a | fire work none; locked? | unpause "
       "a; locked?",
       "fn:none | locked | free")

SCRIPT(lock_freed_while_run_is_at_work_lets_it_finish, PURE,
       "new work; run a fn = work; both a a | free_lock; fire work 5",
       "fn:none | a:5")

SCRIPT(function_that_frees_the_lock_is_run_to_its_end, PURE,
       "run a fn { free_lock }; show a", "fn:none a=none")

SCRIPT(run_that_waits_for_a_freed_lock_is_abandoned, PURE,
       "acquire a; run b never; both b b | free_lock",
       "a:none | b:AbandonedError: promise dropped")

/* ---- freed or cancelled while the work is on the stack ----------------- */

/*
 * What a run may wait for, with work at the bottom: that itself, one that
 * waits for it, a gather, a list with one that is done, a race with one that
 * never fires, a gather of a list of one that waits, a shared operation whose
 * only waiter it is, and the run of a semaphore.
 */
#define ON_EACH_SHAPE(before, after, trace, trace_of_many, trace_of_shared)    \
	{ before "run a = work; " after, trace },                              \
		{ before "waiting s work; run a = s; " after, trace },         \
		{ before "gather s +consume work; run a = s; " after,          \
		  trace_of_many },                                             \
		{ before                                                       \
		  "fired f none; list s +consume f work; run a = s; " after,   \
		  trace_of_many },                                             \
		{ before "new x; race s x work; run a = s; " after,            \
		  trace_of_many },                                             \
		{ before "waiting c work; fired f none; list l +consume f c; " \
			 "gather s +consume l; run a = s; " after,             \
		  trace_of_many },                                             \
		{ before "share s work; run a = s; " after, trace_of_shared }, \
	{                                                                      \
		before "run_with_token s = work; run a = s; " after, trace     \
	}

GROUP("on the stack", .setup = setup);

/* The shared operation is not freed with its waiter: it runs to its end. */
SCRIPTS(lock_is_held_until_the_callback_that_frees_the_run_returns, PURE,
	ON_EACH_SHAPE("new work; both work cb { free a; locked? }; "
		      "both work cb2; ",
		      "acquire next; both a run; fire work none",
		      "cb:none locked next:none",
		      "cb:none run:CancelledError locked next:none",
		      "cb:none run:CancelledError locked cb2:none next:none"))

SCRIPTS(lock_is_held_until_the_callback_that_cancels_the_run_returns, PURE,
	ON_EACH_SHAPE("new work; both work cb { cancel a; locked? }; ",
		      "acquire next; fire work none",
		      "cb:none locked next:none", "cb:none locked next:none",
		      "cb:none locked next:none"))

SCRIPTS(lock_is_held_until_the_canceller_that_frees_the_run_returns, PURE,
	ON_EACH_SHAPE("new work !c { free a; locked? }; ",
		      "acquire next; cancel a",
		      "!c locked ?CancelledError next:none",
		      "!c locked ?CancelledError next:none",
		      "!c locked ?CancelledError next:none"))

SCRIPTS(lock_is_let_go_when_the_run_is_detached_and_the_callback_returns, PURE,
	ON_EACH_SHAPE("new work; both work cb { locked? }; ",
		      "acquire next; detach a; fire work none",
		      "cb:none locked next:none", "cb:none locked next:none",
		      "cb:none locked next:none"))

/* Two members at once: the one's callback fires the other, which frees. */
SCRIPT(lock_is_held_until_all_members_on_the_stack_have_returned, PURE,
       "new m; new n; both m first { fire n 99; say fired }; both n second { "
       "free a; locked? }; gather all m n; run a = all; acquire next; both "
       "next { locked? } | fire m none",
       "| first:none second:99 locked fired next:none locked")

/* That frees the operation, which is held for its member on the stack. */
SCRIPT(lock_is_held_if_the_shared_operation_is_freed_as_well, PURE,
       "new work; both work cb { free a; free_shared; locked? }; gather all "
       "+consume work; share s all; run a = s; acquire next; fire work none",
       "cb:none locked next:none")

SCRIPT(result_of_a_freed_run_goes_before_the_lock, PURE,
       "new work; both work { free a; locked? } = ~v; run a = work; acquire "
       "next | fire work none",
       "| locked ~v next:none")

/* ---- every moment, no memory, no stack ------------------------------- */

static struct plait_lock *contended;

/* Three runs at one lock; at a moment something happens to one of them. */
static void contend(int who, int when, int action)
{
	struct plait_promise *p[WAITERS];
	struct step s[WAITERS];
	unsigned settled[WAITERS] = { 0 };

	contended = plait_lock_new();
	for (int i = 0; i < WAITERS; i++) {
		s[i] = (struct step){ .inner = plait_deferred_new(&p[i], NULL,
								  NULL) };
		w[i] = plait_lock_run(contended, operate, &s[i]);
		plait_deferred_add_both(w[i], count_settled, &settled[i]);
	}
	for (int i = 0; i <= WAITERS; i++) {
		if (i == when && action == 0)
			plait_deferred_cancel(w[who]);
		else if (i == when && action == 1)
			plait_deferred_free(&w[who]);
		else if (i == when && action == 2)
			plait_deferred_detach(&w[who]);
		else if (i == when)
			plait_lock_free(&contended);
		if (i < WAITERS)
			plait_fire(&p[i], PLAIT_NONE);
	}
	for (int i = 0; i < WAITERS; i++) {
		ck_assert_uint_eq(settled[i], 1);
		plait_deferred_free(&w[i]);
		plait_deferred_free(&s[i].inner);
	}
	ck_assert(contended == NULL || !plait_lock_is_locked(contended));
	plait_lock_free(&contended);
}

GROUP("extremes", .setup = steps_setup, .timeout = 60);

TEST(each_run_settles_once_whatever_happens_when, PURE)
{
	for (int who = 0; who < WAITERS; who++)
		for (int when = 0; when <= WAITERS; when++)
			for (int action = 0; action < 4; action++)
				contend(who, when, action);
}

static void whole_life(void)
{
	struct plait_lock *l = plait_lock_new();
	struct step s = { .name = "fn" };
	struct plait_deferred *first, *second, *third;

	steps_setup();
	if (l == NULL) {
		ck_assert_int_eq(errno, ENOMEM);
		return;
	}
	first = plait_lock_run(l, operate, &s);
	second = plait_lock_acquire(l);
	third = plait_lock_run(l, operate, &s);
	handle_all(first);
	handle_all(third);
	if (plait_lock_is_locked(l)) {
		handle_all(second);
		plait_lock_release(l);
	}
	ck_assert(!plait_lock_is_locked(l));
	handle_all(second);
	plait_deferred_free(&first);
	plait_deferred_free(&second);
	plait_deferred_free(&third);
	plait_lock_free(&l);
}

TEST(no_token_is_lost_when_memory_runs_out, PURE)
{
	without_each_allocation(whole_life);
}

static unsigned long served;

static plait_value release_next(plait_value *result, void *arg)
{
	served++;
	if (!plait_value_is_failure(result))
		plait_lock_release(arg);
	return PLAIT_NONE;
}

static plait_value serve_one(void *arg)
{
	served++;
	return PLAIT_NONE;
}

TEST_ON_SMALL_STACK(million_waiters_end_on_a_small_stack, PURE, TIMES(3))
{
	struct plait_lock *l = plait_lock_new();
	struct plait_deferred *d = plait_lock_acquire(l);

	plait_deferred_free(&d);
	for (unsigned i = 0; i < a_million(); i++) {
		d = _i == 1 ? plait_lock_run(l, serve_one, NULL)
			    : plait_lock_acquire(l);
		if (_i != 1)
			plait_deferred_add_both(d, release_next, l);
		plait_deferred_detach(&d);
	}
	if (_i < 2)
		plait_lock_release(l);
	plait_lock_free(&l);
	ck_assert_uint_eq(served, a_million());
}
