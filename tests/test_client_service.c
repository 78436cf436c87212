/*
 * Client services: what each call does in each state, who is told of what, and
 * when the next attempt is made.  The clock and the network are the test's.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <unistd.h>

#include <plait/client_service.h>
#include <plait/testing.h>

#include "tests/child.h"
#include "tests/harness.h"
#include "tests/script.h"
#include "tests/timed.h"

static struct plait_client_service *service;
static struct plait_client_service_options options;
static const char *where;
static struct plait_transport *last;
static struct script_callback *on_prepare, *on_made, *on_lost, *on_done;
static int made;

struct numbered {
	struct plait_protocol base;
	int number;
};

static int number_of(const struct plait_protocol *p)
{
	return ((const struct numbered *)p)->number;
}

/* Only the first time. */
static void on_event(struct script_callback **slot)
{
	struct script_callback *cb = *slot;
	plait_value v = PLAIT_NONE;

	*slot = NULL;
	if (cb != NULL)
		v = script_operation(cb);
	plait_value_free(&v);
}

static void note_made(struct plait_protocol *p)
{
	ck_assert_ptr_eq(plait_client_service_arg(p), &made);
	((struct numbered *)p)->number = ++made;
	trace_add("made%d", made);
	last = p->transport;
	on_event(&on_made);
}

static void note_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	trace_add("lost%d", number_of(p));
	on_event(&on_lost);
}

static void note_done(struct plait_protocol *p)
{
	ck_assert_ptr_eq(plait_client_service_arg(p), &made);
	on_event(&on_done);
}

static const struct plait_protocol_ops client_ops = {
	.name = "client",
	.size = sizeof(struct numbered),
	.connection_made = note_made,
	.done = note_done,
	.connection_lost = note_lost,
};

static struct plait_endpoint *endpoint(const char *text)
{
	struct plait_endpoint *e = NULL;

	ck_assert_int_eq(plait_endpoint_parse(text, &e, NULL, 0), 0);
	return e;
}

static plait_value prepare(struct plait_protocol *p, void *arg)
{
	ck_assert_ptr_eq(arg, &made);
	ck_assert(p->connected);
	return script_operation(on_prepare);
}

static void begin(struct plait_reactor *r)
{
	struct plait_endpoint *e = endpoint(where);

	service = plait_client_service_new(r, e, &client_ops, &made, &options);
	plait_endpoint_unref(&e);
}

static void finish(void)
{
	plait_client_service_free(&service);
	if (reactor != NULL)
		plait_testing_advance(reactor, 0);
}

/* ---- the verbs of this suite --------------------------------------- */

static void do_service(void)
{
	static const char *const names[] = { "factor", "max", "uptime",
					     "timeout" };
	double *const numbers[] = { &options.backoff.factor,
				    &options.backoff.max_delay,
				    &options.backoff.min_uptime,
				    &options.timeout };

	options.backoff.factor = 2;
	options.backoff.jitter = -1;
	while (play_more()) {
		const char *name = play_word();
		double number = play_number();

		for (size_t i = 0; i < 4; i++)
			if (strcmp(name, names[i]) == 0)
				*numbers[i] = number;
	}
	timed_start();
	begin(reactor);
}

static void do_endpoint(void)
{
	where = play_word();
}

/* A kind of endpoints of which nothing comes: nobody is told of an attempt. */
static int refusal;

static struct plait_connector *refuse_to_begin(const struct plait_endpoint *e,
					       struct plait_reactor *r,
					       struct plait_factory *f,
					       char *why)
{
	errno = refusal;
	return NULL;
}

static const struct plait_endpoint_kind idle_kind = {
	.name = "idle",
	.connect = refuse_to_begin,
};

static void do_idle(void)
{
	refusal = play_errno();
	ck_assert_int_eq(plait_endpoint_register(&idle_kind), 0);
	where = "idle";
}

static void do_prepare(void)
{
	on_prepare = script_callback();
	options.prepare = prepare;
}

static void do_on(void)
{
	const char *what = play_word();

	if (strcmp(what, "made") == 0)
		on_made = script_callback();
	else if (strcmp(what, "lost") == 0)
		on_lost = script_callback();
	else
		on_done = script_callback();
}

static void do_start(void)
{
	plait_client_service_start(service);
}

static void do_stop(void)
{
	script_part()->d = plait_client_service_stop(service);
}

static void do_wait(void)
{
	struct script_part *part = script_part();

	part->d = plait_client_service_when_connected(service,
						      (unsigned)play_count(0));
}

static void do_free(void)
{
	/* Those who wait may have it still. */
	struct plait_client_service *s = service;

	plait_client_service_free(&s);
	service = NULL;
}

static void do_refuse(void)
{
	plait_value why = plait_fail(&plait_error_connection_refused, "no");

	plait_testing_refuse(plait_testing_connector(reactor),
			     plait_value_failure(&why));
	plait_value_free(&why);
}

/* Only connection_made() was called. */
static void do_accept(void)
{
	int before = made;

	plait_testing_complete(plait_testing_connector(reactor));
	ck_assert_int_eq(made, before + 1);
}

static void do_complete(void)
{
	do_accept();
	plait_testing_advance(reactor, 0);
}

static void do_lose(void)
{
	plait_value why = plait_connection_done();

	plait_testing_lose(last, plait_value_failure(&why));
	plait_value_free(&why);
}

/* The protocol itself does. */
static void do_close(void)
{
	plait_transport_lose_connection(last);
}

/* The peer reads nothing, so that closing takes time. */
static void do_stuck(void)
{
	plait_testing_set_window(last, 0);
	plait_transport_write(last, "x", 1);
}

static void do_unstuck(void)
{
	plait_testing_set_window(last, SIZE_MAX);
	plait_testing_advance(reactor, 0);
}

static void do_is(void)
{
	char text[200];

	plait_client_service_str(service, text, sizeof(text));
	trace_add("%s", strstr(text, ", ") + 2);
}

static void do_waiting(void)
{
	trace_add("%zu", plait_client_service_waiting(service));
}

static void do_connecting(void)
{
	trace_add("%s",
		  plait_testing_connector(reactor) != NULL ? "yes" : "no");
}

/* The connection that a deferred has fired with. */
static void do_which(void)
{
	struct script_part *part = script_known();
	const struct plait_protocol *p =
		plait_value_borrowed_client(plait_deferred_result(part->d));

	if (p != NULL)
		trace_add("%s=%d", part->name, number_of(p));
	else
		trace_add("%s=gone", part->name);
}

static void do_aborted(void)
{
	trace_add("%s", plait_testing_is_aborted(last)	   ? "aborted"
			: plait_testing_is_connected(last) ? "connected"
							   : "closed");
}

static const struct play_verb verbs[] = {
	{ "service", do_service }, /* [SETTING NUMBER ...] */
	/* These come before "service". */
	{ "endpoint", do_endpoint }, /* TEXT */
	{ "idle", do_idle },	     /* ERROR: the endpoint is of that kind */
	{ "prepare", do_prepare },   /* CALLBACK */
	{ "on", do_on },	     /* made, lost or done CALLBACK */
	{ "start", do_start },
	{ "stop", do_stop }, /* D */
	{ "wait", do_wait }, /* D [FAIL_AFTER] */
	{ "free_service", do_free },
	{ "refuse", do_refuse },
	{ "accept", do_accept },
	{ "complete", do_complete },
	{ "lose", do_lose },
	{ "close", do_close },
	{ "stuck", do_stuck },
	{ "unstuck", do_unstuck },
	{ "is", do_is },
	{ "waiting", do_waiting },
	{ "connecting?", do_connecting },
	{ "which", do_which }, /* D */
	{ "aborted?", do_aborted },
	{ NULL, NULL },
};

static void setup(void)
{
	steps_setup();
	memset(&options, 0, sizeof(options));
	on_prepare = on_made = on_lost = on_done = NULL;
	made = 0;
	where = "tcp:127.0.0.1:7";
	play_words(verbs, finish);
}

/* ---- connecting ---------------------------------------------------- */

GROUP("connecting", .setup = setup);

SCRIPT(nothing_happens_before_the_start, PURE,
       "service; wait d; advance 100; is; show d; connecting? | start; is; "
       "connecting?; complete; is; which d",
       "not started d pending no | connecting yes made1 connected d=1")

SCRIPT(starting_twice_is_nothing, PURE,
       "service; start; start; refuse; start; is; connecting?; advance 2; "
       "complete; start; is; connecting?",
       "waiting to connect again no made1 connected no")

SCRIPT(all_who_wait_are_told_in_their_order_in_the_turn_after, PURE,
       "service; start; wait d; wait e 1; wait f 7; both d a; both e b; "
       "both f c; accept | advance 0; waiting; which d; which e; which f",
       "made1 | a:<borrowed client> b:<borrowed client> c:<borrowed client> 0 "
       "d=1 e=1 f=1")

SCRIPT(with_a_connection_it_fires_at_once, PURE,
       "service; start; complete; wait d 1; which d; waiting", "made1 d=1 0")

SCRIPT(value_of_a_lost_connection_is_gone, PURE,
       "service; start; complete; wait d; which d; on lost { which d }; lose; "
       "which d; free_service; which d",
       "made1 d=1 lost1 d=gone d=gone d=gone")

SCRIPT(value_outlives_the_service_and_the_reactor, PURE,
       "service; start; complete; wait d; free_service; advance 0; which d",
       "made1 lost1 d=gone")

SCRIPT(freeing_the_value_does_not_lose_the_connection, PURE,
       "service; start; complete; wait d; free d; advance 9; is",
       "made1 connected")

/* Nobody is given a connection that will be of no use. */
SCRIPTS(a_connection_that_is_being_closed_is_not_given, PURE,
	{ "service; start; complete; on lost { wait d }; lose; show d | "
	  "advance 2; complete; which d",
	  "made1 lost1 d pending | made2 d=2" },
	{ "service; start; complete; on made { close; wait d }; lose | "
	  "advance 2; complete; show d; is",
	  "made1 lost1 | made2 lost2 d pending waiting to connect again" })

SCRIPT(it_connects_again_when_the_connection_was_lost, PURE,
       "service; start; complete; lose; is; wait d; advance 1.9; "
       "connecting? | advance 0.1; is; complete; which d",
       "made1 lost1 waiting to connect again no | connecting made2 d=2")

SCRIPT(it_connects_again_when_the_protocol_has_lost_it, PURE,
       "service; start; complete; close; advance 0; is",
       "made1 lost1 waiting to connect again")

SCRIPT(connection_that_ends_in_its_making_was_never_there, PURE,
       "service; start; wait d; wait e 1; on made { close }; complete; "
       "show d; is; why e",
       "made1 lost1 d pending waiting to connect again e=ConnectionDone()")

/* Limits, and what else stands between, are the connection's, too. */
SCRIPT(wrapped_connection_is_one_like_any_other, PURE,
       "endpoint throttle:out=1M:tcp:127.0.0.1:7; service; start; wait d; "
       "complete; which d; lose; which d; advance 2; complete; wait e; "
       "which e; stop s; advance 0; show s; which e",
       "made1 d=1 lost1 d=gone made2 e=2 lost2 s=none e=gone")

TEST(text_is_cut_where_there_is_no_room_for_it, PURE)
{
	static const char whole[] =
		"client service for tcp:127.0.0.1:7, not started";
	char text[64];

	timed_start();
	begin(reactor);
	for (size_t size = 0; size <= sizeof(whole); size++) {
		memset(text, '!', sizeof(text));
		ck_assert_int_eq(plait_client_service_str(service, text, size),
				 (int)strlen(whole));
		ck_assert(size == 0 || memcmp(text, whole, size - 1) == 0);
		ck_assert(size == 0 || text[size - 1] == '\0');
		ck_assert_int_eq(text[size], '!');
	}
	finish();
}

/* ---- failures ------------------------------------------------------ */

SCRIPT(delays_grow_and_attempts_wait_for_them, PURE,
       "service max 8; start; refuse; advance 1.99; connecting?; advance 0.01; "
       "refuse; advance 3.99; connecting?; advance 0.01; refuse; advance 7.99; "
       "connecting?; advance 0.01; refuse; advance 7.99; connecting?; "
       "advance 0.01; connecting?",
       "no no no no yes")

SCRIPT(by_default_the_delays_are_those_of_twisteds, PURE,
       "service factor 0; start; refuse; advance 1.49; connecting?; "
       "advance 0.01; refuse; advance 2.24; connecting?; advance 0.01; "
       "connecting?",
       "no no yes")

SCRIPT(those_who_do_not_want_to_wait_longer_are_told, PURE,
       "service; start; wait d; wait e 1; wait f 2; both e b; both f c; "
       "refuse; is; waiting; wait g 1; both g x | advance 2; refuse; waiting | "
       "advance 4; complete; which d",
       "b:ConnectionRefusedError: no waiting to connect again 2 | "
       "c:ConnectionRefusedError: no x:ConnectionRefusedError: no 1 | "
       "made1 d=1")

SCRIPT(losses_are_no_failures, PURE,
       "service; start; complete; lose; wait d 1; advance 2; complete; which d",
       "made1 lost1 made2 d=2")

/* Hazard 72: a server that accepts and hangs up. */
SCRIPT(connection_alone_does_not_reset_the_delay, PURE,
       "service; start; refuse; advance 2; complete; advance 0.9; lose; "
       "advance 3.9; connecting?; advance 0.1; connecting? | "
       "complete; advance 1; lose; advance 1.9; connecting?; advance 0.1; "
       "connecting?",
       "made1 lost1 no yes | made2 lost2 no yes")

SCRIPT(min_uptime_is_heeded, PURE,
       "service uptime 60; start; refuse; advance 2; complete; advance 59; "
       "lose; advance 3.9; connecting?; advance 0.1; complete; advance 60; "
       "lose; advance 2; connecting?",
       "made1 lost1 no made2 lost2 yes")

/* Closing is not living. */
SCRIPT(time_of_a_connection_that_is_being_closed_does_not_count, PURE,
       "service; start; refuse; advance 2; complete; stuck; close; advance 9; "
       "is; wait d; unstuck; is; advance 3.9; connecting?; advance 0.1; "
       "complete; which d",
       "made1 connected lost1 waiting to connect again no made2 d=2")

SCRIPT(attempt_that_takes_too_long_has_failed, PURE,
       "service timeout 5; start; wait d 1; advance 4.9; show d; advance 0.1; "
       "why d; is; connecting?",
       "d pending d=TimeoutError() waiting to connect again no")

SCRIPT(connector_says_more_of_a_timeout, PURE,
       "service; start; wait d 1; advance 30; why d", "d=ConnectTimeoutError()")

SCRIPTS(attempt_that_does_not_begin_has_failed, PURE,
	{ "idle EACCES; service; wait d 1; wait e 2; both d a; both e b; "
	  "start; is; advance 2; is",
	  "a:ConnectError: connect to idle: Permission denied "
	  "waiting to connect again "
	  "b:ConnectError: connect to idle: Permission denied "
	  "waiting to connect again" },
	{ "idle ENOMEM; service; wait d 1; both d a; start; stop s; show s",
	  "a:NoMemoryError s=none" },
	{ "idle EACCES; service; wait d 1; both d a { free_service }; start",
	  "a:ConnectError: connect to idle: Permission denied" },
	{ "idle EACCES; service; wait d 1; both d a { stop s; start }; start; "
	  "is",
	  "a:ConnectError: connect to idle: Permission denied "
	  "waiting to connect again" })

/* Without memory it still waits, and is stopped and freed as ever. */
SCRIPTS(delay_needs_no_memory, PURE,
	{ "service; start; refuse_all 0 { refuse }; is; advance 1.9; "
	  "connecting?; advance 0.1; connecting?",
	  "waiting to connect again no yes" },
	{ "service; start; refuse_all 0 { refuse }; stop s; show s; is; "
	  "advance 9; connecting?",
	  "s=none stopped no" },
	{ "service; start; refuse_all 0 { refuse }; free_service; advance 9; "
	  "connecting?",
	  "no" })

/* ---- prepare ------------------------------------------------------- */

GROUP("prepare", .setup = setup);

SCRIPT(prepare_is_called_when_the_connection_is_made, PURE,
       "prepare p; service; start; wait d; accept; show d | advance 0; which d",
       "made1 d pending | p:none d=1")

SCRIPT(prepare_is_called_for_each_connection, PURE,
       "prepare p; service; start; complete; lose; advance 2; complete",
       "made1 p:none lost1 made2 p:none")

SCRIPT(what_it_returns_is_freed, PURE,
       "prepare p = ~v; service; start; wait d; complete; which d",
       "made1 p:none ~v d=1")

SCRIPT(what_it_waits_for_is_waited_for, PURE,
       "new w; prepare p = w; service; start; wait d; complete; is; wait e; "
       "show e | fire w ~v; is; which d; which e",
       "made1 p:none preparing a connection e pending | ~v connected d=1 e=1")

SCRIPTS(failure_of_prepare_is_that_of_the_attempt, PURE,
	{ "prepare p = Error:bad; service; start; wait d 1; complete; "
	  "advance 0; aborted?; why d; is",
	  "made1 p:none lost1 closed d=Error() waiting to connect again" },
	{ "new w; prepare p = w; service; start; wait d 1; complete; "
	  "fire w Error:bad; show d; advance 0; why d; is",
	  "made1 p:none d pending lost1 d=Error() waiting to connect again" })

/* A server that lets nobody in is no better than one that is not there. */
SCRIPT(without_prepare_nothing_resets_the_delay, PURE,
       "prepare p = Error:bad; service; start; complete; advance 2; complete; "
       "advance 3.9; connecting?; advance 0.1; connecting?",
       "made1 p:none lost1 made2 p:none lost2 no yes")

SCRIPT(time_of_prepare_does_not_count_as_life, PURE,
       "new w; prepare p = w; service; start; refuse; advance 2; complete; "
       "advance 10; fire w none; advance 0.9; lose; advance 3.9; connecting?; "
       "advance 0.1; connecting?",
       "made1 p:none lost1 no yes")

SCRIPT(prepare_is_bounded_by_the_time_of_the_attempt, PURE,
       "new w !c; prepare p = w; service timeout 5; start; wait d 1; "
       "advance 3; complete; advance 1.9; show d | advance 0.1; aborted?; "
       "why d; is",
       "made1 p:none d pending | !c lost1 aborted d=TimeoutError() "
       "waiting to connect again")

SCRIPT(loss_cancels_what_prepare_has_begun, PURE,
       "new w !c; prepare p = w; service; start; wait d 1; complete; lose; "
       "why d; is",
       "made1 p:none !c lost1 d=ConnectionDone() waiting to connect again")

SCRIPT(stop_cancels_what_prepare_has_begun, PURE,
       "new w !c; prepare p = w; service; start; wait d; complete; stop s; "
       "why d; show s; advance 0; show s",
       "made1 p:none !c d=CancelledError() s pending lost1 s=none")

SCRIPT(free_cancels_what_prepare_has_begun, PURE,
       "new w !c; prepare p = w; service; start; wait d; complete; "
       "free_service; why d; advance 0",
       "made1 p:none !c d=AbandonedError() lost1")

SCRIPTS(prepare_may_stop_or_free_its_service, PURE,
	{ "new w !c; prepare p { stop s } = w; service; start; wait d; "
	  "complete; why d; advance 0; show s; is",
	  "made1 p:none !c lost1 d=CancelledError() s=none stopped" },
	{ "new w !c; prepare p { free_service } = w; service; start; wait d; "
	  "complete; why d; advance 0",
	  "made1 p:none !c lost1 d=AbandonedError()" },
	{ "prepare p { free_service } = Error:x; service; start; complete; "
	  "advance 9",
	  "made1 p:none lost1" })

SCRIPTS(connection_lost_in_prepare_is_no_connection, PURE,
	{ "prepare p { close }; service; start; wait d 1; complete; why d",
	  "made1 p:none lost1 d=ConnectionDone()" },
	{ "new w; prepare p = w; service; start; wait d; complete; "
	  "on lost { fire w none }; lose; show d; is",
	  "made1 p:none lost1 ECANCELED d pending waiting to connect again" })

/* ---- stopping ------------------------------------------------------ */

GROUP("stop", .setup = setup);

SCRIPT(stop_before_the_start_fails_those_who_wait, PURE,
       "service; wait d; stop s; show s; why d; wait e; why e; is",
       "s=none d=CancelledError() e=CancelledError() stopped")

SCRIPT(stop_ends_an_attempt, PURE,
       "service; start; wait d; both d a; stop s; is; connecting? | "
       "show s; advance 0; show s; connecting?; is; advance 100; connecting?",
       "a:CancelledError: client service stopped stopping no | "
       "s pending s=none no stopped no")

SCRIPT(stop_ends_a_delay_at_once, PURE,
       "service; start; refuse; wait d; stop s; show s; why d; is; "
       "advance 100; connecting?",
       "s=none d=CancelledError() stopped no")

SCRIPT(stop_loses_the_connection, PURE,
       "service; start; complete; stop s; show s; is; advance 0; show s; "
       "aborted?; is",
       "made1 s pending stopping lost1 s=none closed stopped")

SCRIPT(stop_between_the_connection_and_its_turn_loses_it, PURE,
       "service; start; wait d; accept; stop s; why d; advance 0; show s; is",
       "made1 d=CancelledError() lost1 s=none stopped")

SCRIPT(stops_fire_together, PURE,
       "service; start; complete; stop s; stop t; both s a; both t b; "
       "advance 0; stop u; show u",
       "made1 lost1 a:none b:none u=none")

SCRIPT(cancelling_a_stop_only_ends_the_wait, PURE,
       "service; start; complete; stop s; stop t; cancel s; why s; is; "
       "advance 0; show t; is",
       "made1 s=CancelledError() stopping lost1 t=none stopped")

SCRIPT(stopped_it_may_be_started_again, PURE,
       "service; start; refuse; advance 2; refuse; stop s; start; wait d; "
       "connecting?; refuse; advance 2; connecting?; complete; which d",
       "yes yes made1 d=1")

SCRIPT(started_while_it_stops_it_waits_for_the_end, PURE,
       "service; start; complete; stop s; start; wait d; connecting?; is; "
       "show s | advance 0; show s; is; complete; which d",
       "made1 no stopping s pending | lost1 s=none connecting made2 d=2")

SCRIPT(stopped_again_it_stays_stopped, PURE,
       "service; start; complete; stop s; wait d; start; stop t; show d; "
       "advance 0; show s; show t; why d; is; connecting?",
       "made1 d pending lost1 s=none t=none d=CancelledError() stopped no")

SCRIPT(who_waits_while_it_stops_fails_at_the_end, PURE,
       "service; start; complete; stop s; wait d; both d a; both s b; "
       "show d; advance 0",
       "made1 d pending lost1 a:CancelledError: client service stopped b:none")

SCRIPT(loss_while_it_stops_ends_the_stop, PURE,
       "service; start; complete; stop s; lose; show s; is; wait d; why d",
       "made1 lost1 s=none stopped d=CancelledError()")

SCRIPT(stop_while_an_attempt_is_being_given_up, PURE,
       "prepare p = Error:bad; service; start; wait d; accept; "
       "on lost { stop s }; advance 0; why d; show s; is",
       "made1 p:none lost1 d=CancelledError() s=none stopped")

/* ---- cancelling ---------------------------------------------------- */

GROUP("cancel", .setup = setup);

SCRIPT(who_is_cancelled_leaves_the_line_alone, PURE,
       "service; start; wait d; wait e; cancel d; why d; waiting; is; "
       "complete; which e",
       "d=CancelledError() 1 connecting made1 e=1")

SCRIPT(all_may_leave_and_it_goes_on, PURE,
       "service; start; wait d; free d; waiting; is; complete; is",
       "0 connecting made1 connected")

SCRIPTS(callback_may_cancel_its_neighbour, PURE,
	{ "service; start; wait d; wait e; both d a { cancel e }; complete; "
	  "why e; is",
	  "made1 a:<borrowed client> e=CancelledError() connected" },
	{ "service; start; wait d 1; wait e 1; both d a { free e }; refuse; is",
	  "a:ConnectionRefusedError: no waiting to connect again" },
	{ "service; start; wait d; wait e; both d a { free e }; stop s; is",
	  "a:CancelledError: client service stopped stopping" })

/* ---- calls from callbacks ------------------------------------------ */

GROUP("callbacks", .setup = setup);

/* Those behind it in the line are stopped, too. */
SCRIPTS(callback_of_a_connection_may_do_anything, PURE,
	{ "service; start; wait d; wait e; both d a { stop s }; complete; "
	  "why e; advance 0; show s; is",
	  "made1 a:<borrowed client> lost1 e=CancelledError() s=none stopped" },
	{ "service; start; wait d; wait e; both d a { free_service }; "
	  "complete; why e; advance 0",
	  "made1 a:<borrowed client> lost1 e=AbandonedError()" },
	{ "service; start; wait d; wait e; both d a { stop s; start }; "
	  "complete; why e; show s; is",
	  "made1 a:<borrowed client> lost1 e=CancelledError() s=none "
	  "connecting" },
	{ "service; start; wait d; wait e; both d a { close }; complete; "
	  "advance 2; complete; which e",
	  "made1 a:<borrowed client> lost1 made2 e=2" },
	{ "service; start; wait d; both d a { wait e }; complete; which e",
	  "made1 a:<borrowed client> e=1" })

SCRIPTS(callback_of_a_failure_may_do_anything, PURE,
	{ "service; start; wait d 1; wait e; both d a { stop s }; refuse; "
	  "show s; why e; is",
	  "a:ConnectionRefusedError: no s=none e=CancelledError() stopped" },
	{ "service; start; wait d 1; wait e 1; both d a { stop s; start }; "
	  "both e b; refuse; is",
	  "a:ConnectionRefusedError: no b:ConnectionRefusedError: no "
	  "connecting" },
	{ "service; start; wait d 1; wait e; both d a { free_service }; "
	  "refuse; why e",
	  "a:ConnectionRefusedError: no e=AbandonedError()" },
	{ "service; start; wait d 1; both d a { wait e 1 }; refuse; waiting; "
	  "advance 2; refuse; why e",
	  "a:ConnectionRefusedError: no 1 e=ConnectionRefusedError()" })

SCRIPTS(callback_of_a_stop_may_do_anything, PURE,
	{ "service; start; complete; stop s; both s a { start }; advance 0; is",
	  "made1 lost1 a:none connecting" },
	{ "service; start; complete; stop s; both s a { free_service }; "
	  "stop t; advance 0; show t",
	  "made1 lost1 a:none t=none" },
	{ "service; start; complete; stop s; start; both s a { stop t }; "
	  "advance 0; show t; is; connecting?",
	  "made1 lost1 a:none t=none stopped no" },
	{ "service; start; complete; stop s; start; both s a { free_service }; "
	  "advance 0; connecting?",
	  "made1 lost1 a:none no" })

SCRIPTS(errback_of_a_stopped_wait_may_do_anything, PURE,
	{ "service; start; refuse; wait d; both d a { start }; stop s; is",
	  "a:CancelledError: client service stopped connecting" },
	{ "service; start; wait d; both d a { start }; stop s; is; advance 0; "
	  "is; show s",
	  "a:CancelledError: client service stopped stopping connecting "
	  "s=none" },
	{ "service; start; wait d; both d a { wait e }; stop s; advance 0; "
	  "why e",
	  "a:CancelledError: client service stopped e=CancelledError()" },
	{ "service; start; wait d; both d a { free_service }; wait e; stop s; "
	  "why e; advance 0; show s",
	  "a:CancelledError: client service stopped e=CancelledError() "
	  "s=none" },
	{ "service; start; refuse; wait d; both d a { wait e }; free_service; "
	  "why e",
	  "a:AbandonedError: client service freed e=CancelledError()" })

SCRIPTS(protocol_may_do_anything, PURE,
	{ "service; on made { stop s }; start; wait d; accept; show s; "
	  "why d; is",
	  "made1 lost1 s=none d=CancelledError() stopped" },
	{ "service; on made { free_service }; start; complete", "made1 lost1" },
	{ "service; on made { stop s; start }; start; accept; advance 0; "
	  "show s; is",
	  "made1 lost1 s=none connecting" },
	{ "service; start; complete; on lost { stop s }; lose; show s; is",
	  "made1 lost1 s=none stopped" },
	{ "service; start; complete; on lost { stop s; start }; lose; show s; "
	  "is",
	  "made1 lost1 s=none connecting" },
	{ "service; start; complete; on lost { free_service }; lose; "
	  "advance 9; connecting?",
	  "made1 lost1 no" },
	{ "service; start; complete; on done { free_service }; lose; "
	  "advance 9; connecting?",
	  "made1 lost1 no" },
	{ "service; start; complete; on done { wait d; stop s }; lose; "
	  "why d; show s",
	  "made1 lost1 d=CancelledError() s=none" })

/* What prepare has begun is cancelled before the protocol is told of the loss:
   it may be a part of the protocol. */
SCRIPTS(canceller_of_prepare_may_do_anything, PURE,
	{ "new w !c { stop s }; prepare p = w; service; start; complete; lose; "
	  "show s; is",
	  "made1 p:none !c lost1 s=none stopped" },
	{ "new w !c { stop s; start }; prepare p = w; service; start; "
	  "complete; lose; show s; is",
	  "made1 p:none !c lost1 s=none connecting" },
	{ "new w !c { free_service }; prepare p = w; service; start; complete; "
	  "lose; advance 9; connecting?",
	  "made1 p:none !c lost1 no" },
	{ "new w !c { start }; prepare p = w; service; start; complete; "
	  "stop s; is; advance 0; is; show s",
	  "made1 p:none !c stopping lost1 connecting s=none" },
	{ "new w !c { free_service }; prepare p = w; service timeout 1; start; "
	  "complete; advance 1; advance 9; connecting?",
	  "made1 p:none !c lost1 no" })

/* ---- freeing ------------------------------------------------------- */

GROUP("free", .setup = setup);

SCRIPTS(freed_in_each_state_it_leaves_nothing, PURE,
	{ "service; wait d; free_service; why d", "d=AbandonedError()" },
	{ "service; start; wait d; free_service; why d; advance 0; connecting?",
	  "d=AbandonedError() no" },
	{ "service; start; refuse; wait d; free_service; why d; advance 9; "
	  "connecting?",
	  "d=AbandonedError() no" },
	{ "service; start; accept; wait d; free_service; why d; advance 9; "
	  "connecting?",
	  "made1 d=AbandonedError() lost1 no" },
	{ "service; start; complete; free_service; advance 9; connecting?",
	  "made1 lost1 no" },
	{ "service; start; complete; stop s; advance 0; free_service; show s",
	  "made1 lost1 s=none" })

SCRIPTS(freed_it_is_not_started_again, PURE,
	{ "service; start; refuse; wait d; both d a { start }; free_service; "
	  "advance 9; connecting?",
	  "a:AbandonedError: client service freed no" },
	{ "service; start; complete; on lost { start }; free_service; "
	  "advance 9; connecting?",
	  "made1 lost1 no" })

SCRIPT(deferred_of_a_stop_goes_on_waiting, PURE,
       "service; start; complete; stop s; start; wait d; free_service; show s; "
       "why d; advance 0; show s; connecting?",
       "made1 s pending d=AbandonedError() lost1 s=none no")

/* ---- the end of the reactor ---------------------------------------- */

GROUP("reactor", .setup = setup);

SCRIPTS(reactor_that_is_freed_ends_every_wait, PURE,
	{ "service; start; wait d; free_reactor; why d; is",
	  "d=AbandonedError() without its reactor" },
	{ "service; start; refuse; wait d; free_reactor; why d; is",
	  "d=AbandonedError() without its reactor" },
	{ "service; start; complete; free_reactor; is; wait d; why d",
	  "made1 lost1 without its reactor d=AbandonedError()" },
	{ "new w !c; prepare p = w; service; start; complete; wait d; "
	  "free_reactor; why d; is",
	  "made1 p:none !c lost1 d=AbandonedError() without its reactor" },
	{ "service; start; complete; stop s; free_reactor; show s; is",
	  "made1 lost1 s=none stopped" },
	{ "service; start; complete; stop s; start; wait d; free_reactor; "
	  "show s; why d; is",
	  "made1 lost1 s=none d=AbandonedError() without its reactor" })

SCRIPT(then_it_does_nothing_any_more, PURE,
       "service; start; refuse; free_reactor; start; is; stop s; show s; is; "
       "wait d; why d; free_service",
       "without its reactor s=none without its reactor d=AbandonedError()")

/* Each round begins anew what the one before has ended, but not for ever. */
SCRIPT(callbacks_that_begin_anew_do_not_keep_the_reactor, PURE,
       "service; start; complete; on lost { stop s; start }; free_reactor; is",
       "made1 lost1 without its reactor")

/* ---- on real sockets ----------------------------------------------- */

static uint16_t number; /* of the server */
static unsigned real_made, real_received, real_lost;

static void real_note_made(struct plait_protocol *p)
{
	real_made++;
	ck_assert_uint_eq(real_made, real_lost + 1);
}

static void real_note_received(struct plait_protocol *p, const void *data,
			       size_t len)
{
	real_received++;
}

static void real_note_lost(struct plait_protocol *p,
			   const struct plait_failure *why)
{
	real_lost++;
}

static const struct plait_protocol_ops real_ops = {
	.name = "real",
	.connection_made = real_note_made,
	.data_received = real_note_received,
	.connection_lost = real_note_lost,
};

static void begin_real(struct plait_reactor *r)
{
	struct plait_endpoint *e = NULL;
	char text[40];

	real_made = real_received = real_lost = 0;
	snprintf(text, sizeof(text), "tcp:127.0.0.1:%u", number);
	plait_endpoint_parse(text, &e, NULL, 0);
	service = plait_client_service_new(r, e, &real_ops, NULL, &options);
	plait_endpoint_unref(&e);
	plait_client_service_start(service);
}

static plait_value count_it(plait_value *result, void *arg)
{
	++*(unsigned *)arg;
	return PLAIT_NONE;
}

/* Waits for a connection, or for a failed attempt, or for the end of a stop. */
static void await(struct plait_reactor *r, struct plait_deferred *d)
{
	unsigned n = 0;

	plait_deferred_add_both(d, count_it, &n);
	run_until_count(r, &n, 1);
	plait_deferred_free(&d);
}

/* A server is a process of its own, which serves one client until it dies. */
_Noreturn static void serve(int listener)
{
	int fd;

	while ((fd = accept(listener, NULL, NULL)) < 0)
		;
	if (write(fd, "x", 1) == 1)
		pause();
	_exit(1);
}

static pid_t server_begin(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(number),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	pid_t pid;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		serve(fd);
	close(fd);
	return pid;
}

static void server_kill(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

GROUP("sockets", .setup = setup, .timeout = 60);

TEST(a_server_that_is_killed_50_times_is_found_again, ON_EACH_BACKEND)
{
	int keeper = peer_keep_port(&number);

	clock_virtual(true);
	begin_real(reactor);
	for (unsigned i = 1; i <= 50; i++) {
		pid_t pid;

		await(reactor, plait_client_service_when_connected(service, 1));
		ck_assert_uint_eq(real_made, i - 1);
		pid = server_begin();
		await(reactor, plait_client_service_when_connected(service, 0));
		run_until_count(reactor, &real_received, i);
		server_kill(pid);
		run_until_count(reactor, &real_lost, i);
	}
	ck_assert_uint_eq(real_made, 50);
	await(reactor, plait_client_service_stop(service));
	plait_client_service_free(&service);
	close(keeper);
}

/* ---- a forked child ------------------------------------------------ */

static struct plait_protocol *kept;

static void keep_made(struct plait_protocol *p)
{
	kept = p;
}

static const struct plait_protocol_ops kept_ops = {
	.name = "kept",
	.connection_made = keep_made,
};

static struct plait_promise *promise;

static plait_value wait_for_promise(struct plait_protocol *p, void *arg)
{
	struct plait_deferred *d = plait_deferred_new(&promise, NULL, NULL);

	return plait_chain(&d);
}

/* The states that a child may inherit. */
static const char *const inherited[] = {
	"new", "connecting", "waiting", "preparing", "connected", "stopping",
};

static void reach(const char *state, struct plait_deferred **stop)
{
	struct plait_endpoint *e;
	char text[40];

	snprintf(text, sizeof(text), "tcp:127.0.0.1:%u",
		 strcmp(state, "waiting") == 0 ? 9 : number);
	e = endpoint(text);
	if (strcmp(state, "preparing") == 0)
		options.prepare = wait_for_promise;
	service =
		plait_client_service_new(reactor, e, &kept_ops, NULL, &options);
	plait_endpoint_unref(&e);
	if (strcmp(state, "new") == 0)
		return;
	plait_client_service_start(service);
	if (strcmp(state, "connecting") != 0)
		run_turns(reactor, 20);
	if (strcmp(state, "stopping") == 0)
		*stop = plait_client_service_stop(service);
}

/* What the parent has is the child's to free, in any order. */
static int free_in_child(bool reactor_first, struct plait_deferred *d,
			 struct plait_deferred *stop, unsigned long mark)
{
	if (reactor_first)
		plait_reactor_free(&reactor);
	plait_client_service_free(&service);
	plait_reactor_free(&reactor);
	plait_protocol_free(&kept);
	plait_promise_drop(&promise);
	plait_deferred_free(&d);
	plait_deferred_free(&stop);
	return heap_left_since(mark, stderr) == 0 ? 0 : 1;
}

GROUP("fork", .setup = setup);

TEST(a_child_frees_it_in_each_state_and_in_each_order, ON_EACH_BACKEND,
     TIMES(12))
{
	struct plait_deferred *d, *stop = NULL;
	int fd = peer_listen(&number, 1);
	unsigned long mark = heap_mark();
	pid_t pid;

	kept = NULL;
	plait_reactor_free(&reactor);
	reactor = plait_reactor_new(backend);
	reach(inherited[_i / 2], &stop);
	d = strcmp(inherited[_i / 2], "stopping") != 0
		    ? plait_client_service_when_connected(service, 0)
		    : NULL;
	handle_all(d);
	pid = fork();
	if (pid == 0)
		child_leave(free_in_child(_i % 2 == 0, d, stop, mark));
	child_ends(pid);
	plait_client_service_free(&service);
	plait_deferred_free(&d);
	plait_promise_drop(&promise);
	run_turns(reactor, 5);
	plait_deferred_free(&stop);
	close(fd);
}

/* ---- what goes wrong on the way ------------------------------------ */

/* A whole life, in which everything happens. */
static void whole_life(struct plait_reactor *r)
{
	int fd = peer_hold_port(&number), peer;

	setup();
	begin_real(r);
	await(r, plait_client_service_when_connected(service, 1));
	ck_assert(torture_faulty() || real_made == 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	await(r, plait_client_service_when_connected(service, 3));
	ck_assert(torture_faulty() || real_made == 1);
	peer = peer_accept(fd);
	if (peer >= 0)
		close(peer);
	await(r, plait_client_service_when_connected(service, 1));
	await(r, plait_client_service_stop(service));
	plait_client_service_free(&service);
	run_for(r, 60);
	ck_assert_uint_eq(real_made, real_lost);
	close(fd);
}

GROUP("torture", .timeout = 120, .setup = setup);

TEST(client_service_survives_any_refused_allocation, ON_EACH_BACKEND)
{
	torture(whole_life, backend);
}

TEST(client_service_survives_any_failing_call, ON_EACH_BACKEND)
{
	torture_syscalls(whole_life, backend);
}
