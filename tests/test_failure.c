/*
 * Failures: what they say, who they descend from, how long they live, and
 * what is printed when nobody handles one.
 */
#include <plait/plait.h>

#include "lib/failure.h"
#include "tests/child.h"
#include "tests/extreme.h"
#include "tests/harness.h"
#include "tests/steps.h"

static const char *str_of(const plait_value *v)
{
	static char buf[256];

	plait_failure_str(plait_value_failure(v), buf, sizeof(buf));
	return buf;
}

GROUP("says");

TEST(failure_says_kind_message_and_place, PURE)
{
	plait_value v = plait_fail(&plait_error_timeout, "no poem in %g s", .5);
	const struct plait_failure *f = plait_value_failure(&v);
	char here[64];

	snprintf(here, sizeof(here), ":%d", __LINE__ - 4);
	ck_assert(plait_value_is_failure(&v));
	ck_assert_ptr_eq(plait_failure_kind(f), &plait_error_timeout);
	ck_assert_str_eq(plait_failure_message(f), "no poem in 0.5 s");
	ck_assert_ptr_nonnull(strstr(plait_failure_where(f), __FILE__));
	ck_assert_ptr_nonnull(strstr(plait_failure_where(f), here));
	ck_assert_int_eq(plait_failure_errno(f), 0);
	ck_assert_ptr_null(plait_failure_cause(f));
	ck_assert_str_eq(plait_failure_cancel_where(f), "");
	ck_assert_str_eq(plait_failure_cancel_reason(f), "");
	plait_value_free(&v);
}

TEST(errno_is_kept_and_its_text_is_said, PURE)
{
	plait_value v = plait_fail_errno(&plait_error_connection_refused,
					 ECONNREFUSED, "connect to %s", "x:1");

	ck_assert_int_eq(plait_failure_errno(plait_value_failure(&v)),
			 ECONNREFUSED);
	ck_assert_str_eq(str_of(&v), "ConnectionRefusedError: connect to x:1: "
				     "Connection refused");
	plait_value_free(&v);
}

TEST(errno_without_a_message_is_said, PURE)
{
	plait_value v = plait_fail_errno(&plait_error_os, ENOENT, "%s", "");

	ck_assert_str_eq(str_of(&v), "OSError: No such file or directory");
	plait_value_free(&v);
}

/* Taken: both; the new one is caused by the old. */
static plait_value caused(plait_value cause, const char *message)
{
	plait_value v = plait_fail_because(
		&plait_error_any, plait_value_failure(&cause), "%s", message);

	plait_value_free(&cause);
	return v;
}

TEST(causes_are_said_but_not_that_it_was_cancelled, PURE)
{
	plait_value v =
		caused(caused(plait_fail_errno(&plait_error_os, EPIPE, "send"),
			      "no line"),
		       "no poem");
	plait_value late = caused(plait_cancelled(), "late");

	ck_assert_str_eq(str_of(&v), "Error: no poem, caused by Error: no "
				     "line, caused by OSError: send: "
				     "Broken pipe");
	ck_assert_str_eq(str_of(&late), "Error: late");
	plait_value_free(&v);
	plait_value_free(&late);
}

/* The failures in v become the members of a new one; n of them, all taken. */
static plait_value grouped(plait_value *v, size_t n)
{
	struct plait_deferred *members[16], *race;
	plait_value group;

	for (size_t i = 0; i < n; i++)
		members[i] = plait_failed(v[i]);
	race = (plait_race)(members, n, "race.c:1");
	group = plait_value_ref(plait_deferred_result(race));
	handle_all(race);
	plait_deferred_free(&race);
	return group;
}

TEST(members_are_said_with_their_causes, PURE)
{
	plait_value v[] = {
		caused(plait_fail_errno(&plait_error_os, EPIPE, "send"), "a"),
		plait_fail(&plait_error_timeout, "b"),
	};
	plait_value group = grouped(v, 2);

	ck_assert_str_eq(str_of(&group),
			 "FailureGroup: all of 2 members failed: "
			 "Error: a, caused by OSError: send: Broken pipe; "
			 "TimeoutError: b");
	plait_value_free(&group);
}

/* A chain of causes, a group, and a group of groups. */
TEST(text_names_eight_failures, PURE, TIMES(3))
{
	plait_value v[16], all = plait_fail(&plait_error_any, "x");
	char whole[1024];
	const char *text = whole;
	unsigned n = 0;

	for (int i = 0; i < 16 && _i == 0; i++)
		all = caused(all, "x");
	for (int i = 0; i < 16 && _i == 1; i++)
		v[i] = plait_value_ref(&all);
	if (_i == 1) {
		plait_value_free(&all);
		all = grouped(v, 16);
	}
	for (int i = 0; i < 60 && _i == 2; i++) {
		v[0] = all;
		v[1] = plait_value_ref(&all);
		all = grouped(v, 2);
	}
	plait_failure_str(plait_value_failure(&all), whole, sizeof(whole));
	ck_assert_str_eq(whole + strlen(whole) - 3, "...");
	for (; (text = strpbrk(text, "EF")) != NULL; text++)
		n++;
	/* "FailureGroup" and "Error" have one such letter each. */
	ck_assert_uint_eq(n, 8);
	plait_value_free(&all);
}

TEST(text_is_cut_as_snprintf_cuts, PURE)
{
	plait_value v =
		caused(plait_fail_errno(&plait_error_os, EPIPE, "s"), "a");
	const struct plait_failure *f = plait_value_failure(&v);
	const char whole[] = "Error: a, caused by OSError: s: Broken pipe";
	char buf[64];

	for (size_t size = 0; size < sizeof(buf); size++) {
		memset(buf, '#', sizeof(buf));
		ck_assert_int_eq(plait_failure_str(f, buf, size),
				 sizeof(whole) - 1);
		if (size == 0)
			ck_assert_int_eq(buf[0], '#');
		else
			ck_assert_uint_eq(strlen(buf),
					  size < sizeof(whole)
						  ? size - 1
						  : sizeof(whole) - 1);
		ck_assert_int_eq(strncmp(buf, whole, size > 0 ? size - 1 : 0),
				 0);
	}
	plait_value_free(&v);
}

TEST(str_is_the_kind_alone_without_a_message, PURE)
{
	plait_value v = plait_fail(&plait_error_any, "%s", "");
	plait_value cancelled = plait_cancelled();
	char buf[6];

	ck_assert_str_eq(str_of(&v), "Error");
	ck_assert_str_eq(str_of(&cancelled), "CancelledError");
	ck_assert_int_eq(plait_value_str(&cancelled, buf, sizeof(buf)), 14);
	ck_assert_str_eq(buf, "Cance");
	plait_value_free(&v);
}

TEST(str_is_verbatim, PURE)
{
	plait_value v = plait_fail(&plait_error_any, "a\nb\xc3");

	ck_assert_str_eq(str_of(&v), "Error: a\nb\xc3");
	plait_value_free(&v);
}

TEST(message_may_be_of_any_length, PURE)
{
	char text[5000];
	plait_value v;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	v = plait_fail(&plait_error_any, "%s", text);
	ck_assert_str_eq(plait_failure_message(plait_value_failure(&v)), text);
	plait_value_free(&v);
}

TEST(message_that_printf_refuses_is_empty, PURE)
{
	static const wchar_t no_character[] = { 0x7fffffff, 0 };
	plait_value v = plait_fail(&plait_error_os, "a %ls", no_character);

	ck_assert_str_eq(str_of(&v), "OSError");
	plait_value_free(&v);
}

/* One row a kind; the parent's row is above. */
static const struct {
	const struct plait_error *kind, *parent;
	const char *name;
} kinds[] = {
	{ &plait_error_any, NULL, "Error" },
	{ &plait_error_cancelled, &plait_error_any, "CancelledError" },
	{ &plait_error_timeout, &plait_error_any, "TimeoutError" },
	{ &plait_error_abandoned, &plait_error_any, "AbandonedError" },
	{ &plait_error_never_fired, &plait_error_any, "NeverFiredError" },
	{ &plait_error_never_freed, &plait_error_any, "NeverFreedError" },
	{ &plait_error_no_memory, &plait_error_any, "NoMemoryError" },
	{ &plait_error_os, &plait_error_any, "OSError" },
	{ &plait_error_connect, &plait_error_any, "ConnectError" },
	{ &plait_error_connection_refused, &plait_error_connect,
	  "ConnectionRefusedError" },
	{ &plait_error_no_route, &plait_error_connect, "NoRouteError" },
	{ &plait_error_tcp_timed_out, &plait_error_connect,
	  "TCPTimedOutError" },
	{ &plait_error_bind, &plait_error_connect, "ConnectBindError" },
	{ &plait_error_dns_lookup, &plait_error_connect, "DNSLookupError" },
	{ &plait_error_dns_no_name, &plait_error_dns_lookup, "DNSNoNameError" },
	{ &plait_error_dns_no_data, &plait_error_dns_lookup, "DNSNoDataError" },
	{ &plait_error_dns_server_failure, &plait_error_dns_lookup,
	  "DNSServerFailureError" },
	{ &plait_error_dns_refused, &plait_error_dns_lookup,
	  "DNSRefusedError" },
	{ &plait_error_dns_timeout, &plait_error_dns_lookup,
	  "DNSTimeoutError" },
	{ &plait_error_dns_malformed, &plait_error_dns_lookup,
	  "DNSMalformedError" },
	{ &plait_error_dns_bad_name, &plait_error_dns_lookup,
	  "DNSBadNameError" },
	{ &plait_error_user, &plait_error_connect, "UserError" },
	{ &plait_error_connect_timeout, &plait_error_user,
	  "ConnectTimeoutError" },
	{ &plait_error_connection_closed, &plait_error_any,
	  "ConnectionClosed" },
	{ &plait_error_connection_done, &plait_error_connection_closed,
	  "ConnectionDone" },
	{ &plait_error_connection_lost, &plait_error_connection_closed,
	  "ConnectionLost" },
	{ &plait_error_connection_aborted, &plait_error_connection_lost,
	  "ConnectionAborted" },
	{ &plait_error_first, &plait_error_any, "FirstError" },
	{ &plait_error_group, &plait_error_any, "FailureGroup" },
	{ &plait_error_queue_underflow, &plait_error_any, "QueueUnderflow" },
	{ &plait_error_queue_shut_down, &plait_error_any, "QueueShutDown" },
};

enum { N_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static bool descends(const struct plait_error *k, const struct plait_error *of)
{
	return k != NULL && (k == of || descends(k->parent, of));
}

GROUP("kind");

TEST(kind_has_name_text_and_parent, PURE, TIMES(N_KINDS))
{
	ck_assert_str_eq(kinds[_i].kind->name, kinds[_i].name);
	ck_assert_ptr_eq(kinds[_i].kind->parent, kinds[_i].parent);
	ck_assert_uint_gt(strlen(kinds[_i].kind->text), 10);
}

TEST(check_follows_parents_and_nothing_else, PURE, TIMES(N_KINDS))
{
	plait_value v = plait_fail(kinds[_i].kind, "m");
	const struct plait_failure *f = plait_value_failure(&v);

	for (int i = 0; i < N_KINDS; i++)
		ck_assert_int_eq(plait_failure_check(f, kinds[i].kind),
				 descends(kinds[_i].kind, kinds[i].kind));
	ck_assert(!plait_failure_check(f, NULL));
	plait_value_free(&v);
}

TEST(program_adds_kinds_of_its_own, PURE)
{
	static const struct plait_error poem_error = {
		.name = "PoemError",
		.text = "The poem does not scan.",
		.parent = &plait_error_connection_lost,
	};
	plait_value v = plait_fail(&poem_error, "line 3");
	const struct plait_failure *f = plait_value_failure(&v);

	ck_assert_str_eq(str_of(&v), "PoemError: line 3");
	ck_assert(plait_failure_check(f, &plait_error_connection_closed));
	ck_assert(!plait_failure_check(f, &plait_error_connection_done));
	plait_value_free(&v);
}

GROUP("life", .setup = steps_setup);

TEST(failure_and_its_message_are_one_allocation, PURE)
{
	unsigned long calls = heap_calls();
	plait_value v = plait_fail(&plait_error_any, "%0100d", 1);

	ck_assert_uint_eq(heap_calls(), calls + 1);
	plait_value_free(&v);
}

TEST(static_failures_cost_nothing_and_are_never_counted, PURE)
{
	unsigned long calls = heap_calls();
	plait_value all[] = { plait_cancelled(), plait_connection_done(),
			      plait_no_memory() };
	const struct plait_error *are[] = { &plait_error_cancelled,
					    &plait_error_connection_done,
					    &plait_error_no_memory };

	for (int i = 0; i < 3; i++) {
		const struct plait_failure *f = plait_value_failure(&all[i]);

		ck_assert_ptr_eq(plait_failure_kind(f), are[i]);
		ck_assert_str_eq(plait_failure_message(f), "");
		ck_assert_str_eq(plait_failure_where(f), "");
		ck_assert_str_eq(plait_failure_cancel_where(f), "");
		ck_assert_str_eq(plait_failure_cancel_reason(f), "");
		ck_assert_ptr_eq(plait_failure_ref(f), f);
		for (int n = 0; n < 3; n++) {
			plait_value again = plait_failure_value(f);

			plait_value_free(&again);
		}
		plait_value_free(&all[i]);
		ck_assert_str_eq(plait_failure_kind(f)->name, are[i]->name);
	}
	ck_assert_uint_eq(heap_calls(), calls);
}

TEST(without_memory_every_failure_is_the_no_memory_one, PURE)
{
	plait_value cause = plait_fail(&plait_error_any, "cause");
	plait_value v;

	fault_alloc_at(0, true);
	v = plait_fail_because(&plait_error_timeout,
			       plait_value_failure(&cause), "late");
	fault_alloc_off();
	ck_assert_ptr_eq(plait_failure_kind(plait_value_failure(&v)),
			 &plait_error_no_memory);
	plait_value_free(&v);
	plait_value_free(&cause);
}

TEST(value_of_a_failure_is_a_reference_of_its_own, PURE)
{
	plait_value v = plait_fail(&plait_error_any, "once");
	const struct plait_failure *f = plait_value_failure(&v);
	plait_value w = plait_failure_value(f);

	plait_value_free(&v);
	ck_assert_str_eq(str_of(&w), "Error: once");
	ck_assert_ptr_eq(plait_value_failure(&w), f);
	plait_value_free(&w);
}

TEST(unref_nulls_and_null_is_nothing, PURE)
{
	plait_value v = plait_fail(&plait_error_any, "m");
	const struct plait_failure *f =
		plait_failure_ref(plait_value_failure(&v));

	plait_value_free(&v);
	plait_failure_unref(&f);
	ck_assert_ptr_null(f);
	plait_failure_unref(&f);
	ck_assert_ptr_null(plait_failure_ref(NULL));
}

TEST(cause_lives_as_long_as_what_it_caused, PURE)
{
	plait_value cause = plait_fail(&plait_error_connection_lost, "reset");
	plait_value v = plait_fail_because(&plait_error_any,
					   plait_value_failure(&cause), "oops");
	const struct plait_failure *f = plait_value_failure(&v);

	plait_value_free(&cause);
	ck_assert_str_eq(plait_failure_message(plait_failure_cause(f)),
			 "reset");
	plait_value_free(&v);
}

TEST(shared_cause_outlives_one_of_its_effects, PURE)
{
	plait_value cause = plait_fail(&plait_error_any, "cause");
	const struct plait_failure *f = plait_value_failure(&cause);
	plait_value a = plait_fail_because(&plait_error_any, f, "a");
	plait_value b = plait_fail_because(&plait_error_any, f, "b");

	plait_value_free(&cause);
	plait_value_free(&a);
	f = plait_failure_cause(plait_value_failure(&b));
	ck_assert_str_eq(plait_failure_message(f), "cause");
	plait_value_free(&b);
}

TEST(detail_is_carried_and_freed_with_the_failure, PURE)
{
	plait_value v =
		plait_fail_with(&plait_error_any, tracked("x"), "page %d", 42);
	const struct plait_failure *f = plait_value_failure(&v);
	char text[16];

	plait_value_str(plait_failure_detail(f), text, sizeof(text));
	ck_assert_str_eq(text, "x");
	ck_assert_str_eq(str_of(&v), "Error: page 42");
	ck_assert_ptr_nonnull(strstr(plait_failure_where(f), __FILE__));
	ck_assert_str_eq(trace(), "");
	plait_value_free(&v);
	ck_assert_str_eq(trace(), "~x");
}

TEST(failure_without_a_detail_has_none, PURE)
{
	plait_value v = plait_fail(&plait_error_any, "no"),
		    c = plait_cancelled();

	ck_assert(plait_value_is_none(
		plait_failure_detail(plait_value_failure(&v))));
	ck_assert(plait_value_is_none(
		plait_failure_detail(plait_value_failure(&c))));
	plait_value_free(&v);
}

TEST(without_memory_the_detail_is_freed, PURE)
{
	plait_value v;

	fault_alloc_at(0, false);
	v = plait_fail_with(&plait_error_any, tracked("x"), "no");
	ck_assert_ptr_eq(plait_failure_kind(plait_value_failure(&v)),
			 &plait_error_no_memory);
	ck_assert_str_eq(trace(), "~x");
}

TEST_ON_SMALL_STACK(failures_may_nest_to_any_depth, PURE)
{
	plait_value v = plait_fail(&plait_error_any, "no");

	for (int i = 0; i < 1000000; i++)
		v = plait_fail_with(&plait_error_any, v, "again");
	plait_value_free(&v);
}

TEST(static_failure_may_be_a_cause, PURE)
{
	plait_value done = plait_connection_done();
	plait_value v = plait_fail_because(
		&plait_error_any, plait_value_failure(&done), "no poem");

	ck_assert_ptr_eq(plait_failure_cause(plait_value_failure(&v)),
			 plait_value_failure(&done));
	plait_value_free(&v);
}

static unsigned released;

static void count_release(struct plait_failure *f)
{
	released++;
}

TEST(embedded_failure_is_released_once_and_not_freed, PURE)
{
	struct plait_failure f;
	const struct plait_failure *a = &f, *b;

	released = 0;
	plait_i_failure_init(&f, &plait_error_cancelled, "here.c:1",
			     count_release);
	ck_assert_str_eq(plait_failure_message(&f), "");
	ck_assert_str_eq(plait_failure_cancel_reason(&f), "");
	ck_assert_str_eq(plait_failure_where(&f), "here.c:1");
	b = plait_failure_ref(a);
	plait_failure_unref(&a);
	ck_assert_uint_eq(released, 0);
	plait_failure_unref(&b);
	ck_assert_uint_eq(released, 1);
}

/* ---- the whole tree -------------------------------------------------- */

static const char *explained(const plait_value *v, size_t *size)
{
	static char text[1 << 21];
	struct plait_buf *b = plait_buf_new(PLAIT_BUF_UNBOUNDED);

	ck_assert_int_eq(plait_failure_explain(plait_value_failure(v), b), 0);
	*size = plait_buf_size(b);
	ck_assert_uint_lt(*size, sizeof(text));
	memcpy(text, plait_buf_data(b), *size);
	text[*size] = '\0';
	plait_buf_unref(&b);
	return text;
}

/* Fails with the cause taken, at a place that is borrowed. */
static plait_value caused_at(const char *where, plait_value cause,
			     const char *message)
{
	plait_value v = (plait_fail_because)(where, &plait_error_any,
					     plait_value_failure(&cause), "%s",
					     message);

	plait_value_free(&cause);
	return v;
}

static plait_value broken_pipe(void)
{
	return (plait_fail_errno)("pipe.c:1", &plait_error_os, EPIPE, "send");
}

GROUP("tree");

TEST(explanation_is_the_whole_tree, PURE)
{
	plait_value v[] = {
		caused_at("a.c:2", broken_pipe(), "a"),
		plait_i_failure_cancelled_by("tired", "b.c:3"),
	};
	plait_value top = caused_at("top.c:4", grouped(v, 2), "no poem");
	size_t size;

	ck_assert_str_eq(explained(&top, &size),
			 "Error: no poem\n"
			 "  made at top.c:4\n"
			 "  caused by FailureGroup: all of 2 members failed\n"
			 "  made at race.c:1\n"
			 "  member 0: Error: a\n"
			 "    made at a.c:2\n"
			 "    caused by OSError: send: Broken pipe\n"
			 "    made at pipe.c:1\n"
			 "  member 1: CancelledError\n"
			 "    made at b.c:3\n"
			 "    cancelled at b.c:3\n"
			 "    because tired\n");
	plait_value_free(&top);
}

TEST(explanation_names_the_member_of_a_gather, PURE)
{
	struct plait_deferred *members[] = {
		plait_succeed(PLAIT_NONE),
		plait_failed(broken_pipe()),
	};
	struct plait_deferred *d =
		(plait_gather)(members, 2, PLAIT_DEFERRED_LIST_CONSUME_ERRORS,
			       "gather.c:5");
	size_t size;

	ck_assert_str_eq(explained(plait_deferred_result(d), &size),
			 "FirstError: member 1 failed: OSError: send: "
			 "Broken pipe\n"
			 "  made at gather.c:5\n"
			 "  member 1: OSError: send: Broken pipe\n"
			 "    made at pipe.c:1\n");
	handle_all(d);
	plait_deferred_free(&d);
}

TEST(explanation_escapes_what_could_forge_a_line, PURE)
{
	plait_value v = (plait_fail)("w", &plait_error_any, "%s",
				     "a\n  because \x1b[0m\xc3\xa9");
	size_t size;

	ck_assert_str_eq(explained(&v, &size),
			 "Error: a\\x0a  because \\x1b[0m\\xc3\\xa9\n"
			 "  made at w\n");
	plait_value_free(&v);
}

static plait_value cause_a_great_many(void)
{
	plait_value v = (plait_fail)("w", &plait_error_any, "x");

	for (int i = 0; i < 200000; i++)
		v = caused_at("w", v, "x");
	return v;
}

static plait_value carry_a_great_many(void)
{
	plait_value v = (plait_fail)("w", &plait_error_any, "x");

	for (int i = 0; i < 200000; i++)
		v = (plait_fail_with)("w", &plait_error_any, v, "x");
	return v;
}

/* 2^60 members, of which there are 60. */
static plait_value carry_themselves(void)
{
	plait_value v[2], all = plait_fail(&plait_error_any, "x");

	for (int i = 0; i < 60; i++) {
		v[0] = all;
		v[1] = plait_value_ref(&all);
		all = grouped(v, 2);
	}
	return all;
}

static plait_value (*const huge[])(void) = {
	cause_a_great_many,
	carry_a_great_many,
	carry_themselves,
};

TEST_ON_SMALL_STACK(explanation_of_any_tree_ends_and_needs_no_stack, PURE,
		    EACH_OF(huge))
{
	plait_value v = huge[_i]();
	size_t size, failures = 0;
	const char *text = explained(&v, &size);
	const char *end = strstr(text, "and more\n");

	ck_assert_ptr_nonnull(end);
	ck_assert_uint_eq(strlen(end), strlen("and more\n"));
	for (text = strstr(text, "made at"); text != NULL;
	     text = strstr(text + 1, "made at"))
		failures++;
	ck_assert_uint_eq(failures, 10000);
	plait_value_free(&v);
}

TEST(explanation_stops_where_there_is_no_room_for_it, PURE)
{
	plait_value v[] = { broken_pipe(), broken_pipe() };
	plait_value group = grouped(v, 2);
	const struct plait_failure *f = plait_value_failure(&group);
	struct plait_buf *b = plait_buf_new(20);
	int rc = -ENOMEM;

	ck_assert_int_eq(plait_failure_explain(f, b), -EMSGSIZE);
	plait_buf_unref(&b);
	for (unsigned long i = 0; rc != 0; i++) {
		b = plait_buf_new(PLAIT_BUF_UNBOUNDED);
		fault_alloc_at(i, false);
		rc = plait_failure_explain(f, b);
		ck_assert_int_eq(rc, fault_alloc_reached() ? -ENOMEM : 0);
		fault_alloc_off();
		plait_buf_unref(&b);
	}
	plait_value_free(&group);
}

static unsigned hooked;
static char hooked_text[64];

static void my_hook(const struct plait_failure *why, void *arg)
{
	++*(unsigned *)arg;
	plait_failure_str(why, hooked_text, sizeof(hooked_text));
}

GROUP("unhandled");

TEST(hook_is_told_with_its_arg, PURE)
{
	plait_value v = plait_fail(&plait_error_timeout, "late");

	hooked = 0;
	plait_set_unhandled_hook(my_hook, &hooked);
	plait_report_unhandled(plait_value_failure(&v));
	ck_assert_uint_eq(hooked, 1);
	ck_assert_str_eq(hooked_text, "TimeoutError: late");
	plait_value_free(&v);
}

static void lose(void *message)
{
	plait_value v =
		plait_fail(&plait_error_os, "%s", (const char *)message);

	plait_set_unhandled_hook(my_hook, &hooked);
	plait_set_unhandled_hook(NULL, NULL);
	calls_reset();
	plait_report_unhandled(plait_value_failure(&v));
	if (calls_of("write") != 1)
		abort();
	plait_value_free(&v);
}

static void assert_lost(const char *message, const char *line)
{
	char copy[4096];
	const char *said;

	snprintf(copy, sizeof(copy), "%s", message);
	ck_assert_int_eq(child_run(lose, copy, &said), 0);
	ck_assert_str_eq(said, line);
}

TEST(default_prints_one_line_in_one_write, PURE)
{
	assert_lost("no way", "Unhandled error in Deferred: OSError: no way\n");
	assert_lost("", "Unhandled error in Deferred: OSError\n");
}

TEST(bytes_that_could_forge_a_line_are_escaped, PURE)
{
	assert_lost("a\nb\r\x1b[0m\x7f\xc3\xa9\t~ ",
		    "Unhandled error in Deferred: OSError: "
		    "a\\x0ab\\x0d\\x1b[0m\\x7f\\xc3\\xa9\\x09~ \n");
}

TEST(long_line_is_cut_and_says_so, PURE, TIMES(2))
{
	char message[3000];
	const char *said;
	size_t len;

	memset(message, _i ? '\n' : 'x', sizeof(message) - 1);
	message[sizeof(message) - 1] = '\0';
	ck_assert_int_eq(child_run(lose, message, &said), 0);
	len = strlen(said);
	ck_assert_uint_gt(len, 900);
	ck_assert_uint_lt(len, 1024);
	ck_assert_str_eq(said + len - 4, "...\n");
	ck_assert_ptr_eq(strchr(said, '\n'), said + len - 1);
}

static void lose_deaf(void *arg)
{
	errno = ERANGE;
	fault_call("write", 1, EIO);
	plait_report_unhandled(&plait_i_failure_no_memory);
	if (errno != ERANGE || calls_of("write") != 1)
		abort();
}

TEST(nobody_to_tell_is_no_trouble, PURE)
{
	const char *said;

	ck_assert_int_eq(child_run(lose_deaf, NULL, &said), 0);
	ck_assert_str_eq(said, "");
}
