/*
 * Twisted's history of cancelling: what became of each deferred there, and what
 * becomes of it here.  tests/history.c tells the cases.
 */
#include "tests/history.h"
#include "tests/timed.h"

/* What a deferred has become. */
static struct {
	unsigned settled;
	char as[200];
} end;

static plait_value note_end(plait_value *result, void *arg)
{
	end.settled++;
	if (plait_value_is_failure(result))
		plait_failure_str(plait_value_failure(result), end.as,
				  sizeof(end.as));
	else
		plait_value_str(result, end.as, sizeof(end.as));
	return PLAIT_NONE;
}

static struct scene scene;

static struct plait_deferred *begin(const char *ticket)
{
	if (backend == NULL)
		servers_on_testing();
	else
		servers_on_sockets();
	for (int i = 0; i < n_history; i++)
		if (strcmp(history[i].name, ticket) == 0) {
			scene.starter = &history[i];
			break;
		}
	return plait_deferred_add_both(scene_start(&scene, reactor), note_end,
				       NULL);
}

/* Nothing of it is left, and nobody is told anything more. */
static void done(struct plait_deferred **d)
{
	plait_deferred_free(d);
	ck_assert_ptr_null(scene_stop(&scene));
	for (int i = 0; i < 8; i++)
		advance(TURN);
	if (backend == NULL)
		ck_assert_int_eq(plait_reactor_run(reactor), -EDEADLK);
	ck_assert_uint_eq(end.settled, 1);
	plait_reactor_free(&reactor);
	if (backend != NULL)
		servers_gone();
}

/* It is cancelled after that time; it has not ended by itself. */
static struct plait_deferred *cancelled_after(const char *ticket, double when)
{
	struct plait_deferred *d = begin(ticket);

	if (when > 0)
		advance(when);
	ck_assert_uint_eq(end.settled, 0);
	plait_deferred_cancel(d);
	ck_assert_uint_eq(end.settled, 1);
	ck_assert(!scene_is_working(&scene));
	return d;
}

GROUP("history", .timeout = 60);

/* 4710 and 5485. */
TEST(an_attempt_that_ends_after_the_cancel_fires_nothing, ON_EACH_REACTOR,
     TIMES(2))
{
	const char *ticket = _i == 0 ? "4710" : "5485";
	struct plait_deferred *d = cancelled_after(ticket, _i * TURN);

	ck_assert_str_eq(end.as, "CancelledError");
	ck_assert_int_eq(history_late(), 0);
	advance(TURN);
	ck_assert_int_eq(history_late(), -ECANCELED);
	done(&d);
}

/* 7856. */
TEST(a_list_that_has_fired_cancels_what_its_callback_waits_for, ON_EACH_REACTOR)
{
	struct plait_deferred *d = cancelled_after("7856", 1.5 * TURN);

	ck_assert_uint_eq(scene.parts[0]->begun, 4);
	ck_assert_str_eq(end.as, "CancelledError");
	done(&d);
}

/* 8014 and 8223: before the first, between them, and while all are tried. */
TEST(attempts_of_a_race_are_told_once_and_leave_no_timer, ON_EACH_REACTOR,
     TIMES(4))
{
	struct plait_deferred *d = cancelled_after("8014", _i * TURN / 2);

	ck_assert_str_eq(end.as, "CancelledError");
	done(&d);
}

/* 9534. */
TEST(a_canceller_that_fails_ends_the_timeout_nevertheless, ON_EACH_REACTOR)
{
	struct plait_deferred *d = begin("9534");

	advance(1.5 * TURN);
	ck_assert_str_eq(end.as, "Error: no");
	done(&d);
}

/* 9696. */
TEST(a_cancellation_stays_one_where_failures_are_renamed, ON_EACH_REACTOR,
     TIMES(2))
{
	struct plait_deferred *d;

	if (_i == 0) {
		d = cancelled_after("9696", 0.5 * TURN);
		ck_assert_str_eq(end.as, "CancelledError");
	} else {
		d = begin("9696");
		advance(6 * TURN);
		ck_assert_ptr_eq(strstr(end.as, "DNSLookupError: no such host"),
				 end.as);
	}
	done(&d);
}

/* 12499. */
TEST(an_answer_that_hangs_is_cancelled_once_and_closed, ON_EACH_REACTOR)
{
	struct plait_deferred *d = cancelled_after("12499", 1.5 * TURN);

	ck_assert_str_eq(end.as, "CancelledError");
	done(&d);
}
