/*
 * Every public function that returns a deferred, in every state, cancelled and
 * freed at every point at which it can be waiting: before the first turn, after
 * one turn, after two and so on, until it has completed.  Each time the
 * deferred must have settled once, when the call returns; what it waited for
 * must have stopped; and when all handles are gone, nothing may be left: no
 * timer, no memory, no descriptor.
 *
 * And each of them notes the place of the call, so that what a program is told
 * about its deferreds names its own lines.
 */
#include <plait/testing.h>

#include "tests/compositions.h"
#include "tests/harness.h"
#include "tests/history.h"
#include "tests/proxy.h"

/* ---- walking ------------------------------------------------------- */

static unsigned settled;

static plait_value note_settled(plait_value *result, void *arg)
{
	settled++;
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
static void assert_no_timer_is_left(const char *name)
{
	double before;

	for (int i = 0; i < 10; i++)
		turn(0.25);
	if (backend == NULL) {
		before = plait_reactor_seconds(reactor);
		ck_assert_int_eq(plait_reactor_run(reactor), -EDEADLK);
		ck_assert_msg(plait_reactor_seconds(reactor) == before,
			      "%s: a timer is left", name);
	} else {
		turn(1000);
		ck_assert_msg(wait_timeout() >= 999, "%s: a timer is left",
			      name);
	}
}

/* Waits for that many turns; false if it has completed before. */
static bool wait_for_turns(unsigned turns)
{
	for (unsigned i = 0; i < turns && settled == 0; i++)
		turn(TURN / 2);
	return settled == 0;
}

/* How it is ended: by cancelling, or by freeing it. */
enum { BY_CANCELLING, BY_FREEING, N_ENDS };

/* False if it had completed by then. */
static bool walk_to(struct scene *s, const char *name, unsigned turns, int how)
{
	struct plait_deferred *d;
	bool waited;

	reactor = test_reactor_new();
	ck_assert_ptr_nonnull(reactor);
	settled = 0;
	d = plait_deferred_add_both(scene_start(s, reactor), note_settled, s);
	waited = wait_for_turns(turns);
	if (how == BY_CANCELLING)
		plait_deferred_cancel(d);
	else
		plait_deferred_free(&d);
	ck_assert_msg(settled == 1, "%s: settled %u times", name, settled);
	plait_deferred_free(&d);
	ck_assert_msg(!scene_is_working(s), "%s: work goes on", name);
	ck_assert_ptr_null(scene_stop(s));
	assert_no_timer_is_left(name);
	ck_assert_msg(settled == 1, "%s: settled %u times", name, settled);
	plait_reactor_free(&reactor);
	return waited;
}

static void walk_once(struct scene *s, const char *name, unsigned turns,
		      int how, bool *waited)
{
	struct fd_table *fds = fd_table_new();
	unsigned long mark = heap_mark();

	*waited = walk_to(s, name, turns, how);
	ck_assert_msg(heap_left_since(mark, stderr) == 0 &&
			      fd_table_check(&fds) == 0 &&
			      unhandled_count() == 0,
		      "%s: something is left after %u turns", name, turns);
}

static unsigned walk(struct scene *s, const char *name, int how)
{
	bool waited = true;
	unsigned turns;

	clock_virtual(true);
	plait_reactor_free(&reactor);
	for (turns = 0; waited; turns++) {
		ck_assert_msg(turns < 1000, "%s: never completes", name);
		walk_once(s, name, turns, how, &waited);
	}
	return turns;
}

static void walk_setup(void)
{
	if (backend == NULL)
		servers_on_testing();
	else
		servers_on_sockets();
}

static void walk_teardown(void)
{
	if (backend != NULL)
		servers_gone();
}

GROUP("walk", .timeout = 60);

TEST(cancelled_at_every_suspension_point, ON_EACH_REACTOR,
     EACH_PAIR(n_starters, N_ENDS))
{
	const struct starter *w = &starters[_i / N_ENDS];
	struct scene s = { .starter = w };
	char name[80];
	unsigned turns;

	if ((w->needs_sockets && backend == NULL) ||
	    (w->has_threads && backend != NULL))
		return;
	walk_setup();
	snprintf(name, sizeof(name), "%s %s", w->name, w->state);
	turns = walk(&s, name, _i % N_ENDS);
	if (w->at_once)
		ck_assert_uint_eq(turns, 1);
	else
		ck_assert_msg(turns > 1, "%s: did not wait", name);
	walk_teardown();
}

TEST(what_went_wrong_in_twisted_is_cancelled_anywhere, ON_EACH_REACTOR,
     EACH_PAIR(n_history, N_ENDS))
{
	struct scene s = { .starter = &history[_i / N_ENDS] };

	walk_setup();
	walk(&s, s.starter->name, _i % N_ENDS);
	walk_teardown();
}

TEST(a_proxy_is_cancelled_anywhere, ON_EACH_BACKEND, TIMES(N_ENDS))
{
	struct scene s = { .starter = &proxy_starter };

	walk_setup();
	walk(&s, s.starter->name, _i % N_ENDS);
	ck_assert_uint_eq(proxy_requests(), 0);
	walk_teardown();
}

/* On sockets a few of them, which take longer there. */
TEST(compositions_are_cancelled_anywhere, ON_EACH_REACTOR,
     EACH_PAIR(40, N_ENDS))
{
	struct composition c;
	char name[4000];
	int n;

	if (backend != NULL && _i / N_ENDS % 10 != 0)
		return;
	walk_setup();
	composition_make(&c, (uint64_t)(_i / N_ENDS));
	n = snprintf(name, sizeof(name), "seed %d: ", _i / N_ENDS);
	composition_str(&c, name + n, sizeof(name) - (size_t)n);
	walk(&c.scenes[0], name, _i % N_ENDS);
	walk_teardown();
}

/* Every line of it: what is pending was made here, not in the library. */
static void assert_made_here(const char *name, const char *dump)
{
	for (; *dump != '\0'; dump = strchr(dump, '\n') + 1) {
		const char *place = strstr(dump, " made at tests/starters.c:");

		ck_assert_msg(place != NULL && place < strchr(dump, '\n'),
			      "%s: %s", name, dump);
	}
}

TEST(pending_ones_name_the_line_of_the_caller, ON_EACH_BACKEND,
     TIMES(n_starters))
{
	struct scene s = { .starter = &starters[_i] };
	struct plait_buf *b = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	struct plait_deferred *d;

	walk_setup();
	settled = 0;
	d = scene_start(&s, reactor);
	ck_assert_int_eq(plait_deferred_dump(b), 0);
	ck_assert_int_eq(plait_buf_append(b, "", 1), 0);
	ck_assert_int_eq(plait_buf_size(b) == 1, s.starter->at_once);
	assert_made_here(s.starter->name, plait_buf_data(b));
	plait_buf_unref(&b);
	plait_deferred_add_both(d, note_settled, NULL);
	plait_deferred_free(&d);
	ck_assert_ptr_null(scene_stop(&s));
	/* Some of it ends with the loop, and the scene is on this stack. */
	plait_reactor_free(&reactor);
	walk_teardown();
}
