/*
 * What is pending, by place and as a graph; on a call and on a signal; and
 * what PLAIT_DEBUG turns on.
 */
#include <signal.h>
#include <stdio.h>

#include <plait/testing.h>

#include "lib/debug.h"
#include "reactor/loop/parts.h"
#include "tests/child.h"
#include "tests/extreme.h"
#include "tests/harness.h"

static struct plait_buf *out;
static char text[1 << 16];

static const char *take_text(int r)
{
	size_t n = plait_buf_size(out);

	ck_assert_int_eq(r, 0);
	ck_assert_uint_lt(n, sizeof(text));
	memcpy(text, plait_buf_data(out), n);
	text[n] = '\0';
	plait_buf_unref(&out);
	return text;
}

static const char *dump(void)
{
	out = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	return take_text(plait_deferred_dump(out));
}

static const char *dot(void)
{
	out = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	return take_text(plait_deferred_dot(out));
}

static struct plait_deferred *make(const char *where, struct plait_promise **p)
{
	return (plait_deferred_new)(p, NULL, NULL, where);
}

static void end(struct plait_deferred **d, struct plait_promise **p)
{
	plait_deferred_free(d);
	plait_promise_drop(p);
}

static plait_value pass(plait_value *result, void *arg)
{
	return plait_value_take(result);
}

static plait_value return_deferred(plait_value *result, void *arg)
{
	struct plait_deferred *inner = arg;

	return plait_chain(&inner);
}

static void assert_begins(const char *s, const char *with)
{
	ck_assert_msg(strncmp(s, with, strlen(with)) == 0, "is: %s", s);
}

/* ---- by place ----------------------------------------------------------- */

GROUP("dump");

TEST(nothing_pending_is_an_empty_dump, PURE)
{
	struct plait_promise *p, *q;
	struct plait_deferred *cancelled = make("a", &p),
			      *freed = make("b", &q),
			      *fired = plait_succeed(PLAIT_NONE);

	plait_deferred_cancel(cancelled);
	plait_deferred_free(&freed);
	ck_assert_str_eq(dump(), "");
	plait_deferred_free(&fired);
	end(&cancelled, &p);
	plait_promise_drop(&q);
	unhandled_expect(1);
}

TEST(dump_before_any_deferred_was_made, PURE)
{
	ck_assert_str_eq(dump(), "");
	ck_assert_str_eq(dot(),
			 "digraph deferreds {\n\tnode [shape=box];\n}\n");
}

TEST(pending_are_counted_by_place_most_first, PURE)
{
	/* The same text in two units need not be the same address. */
	char again[] = "two.c:2";
	struct plait_promise *p[4];
	struct plait_deferred *d[4] = {
		make("one.c:1", &p[0]),
		make("two.c:2", &p[1]),
		make("three.c:3", &p[2]),
		make(again, &p[3]),
	};

	ck_assert_str_eq(
		dump(),
		"2 made at two.c:2, age unknown, waited for by its owner\n"
		"1 made at one.c:1, age unknown, waited for by its owner\n"
		"1 made at three.c:3, age unknown, waited for by its "
		"owner\n");
	for (int i = 0; i < 4; i++)
		end(&d[i], &p[i]);
}

TEST(dump_says_who_waits_for_the_oldest, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make("a", &p), *middle, *outer;

	plait_deferred_add_both(d, pass, NULL);
	ck_assert_ptr_nonnull(strstr(dump(), "waited for by 1 callback\n"));
	plait_deferred_add_both(d, pass, NULL);
	ck_assert_ptr_nonnull(strstr(dump(), "waited for by 2 callbacks\n"));
	middle = (plait_succeed)(PLAIT_NONE, "middle");
	plait_deferred_add_callback(middle, return_deferred, d);
	outer = (plait_succeed)(PLAIT_NONE, "outer");
	plait_deferred_add_callback(outer, return_deferred, middle);
	ck_assert_str_eq(dump(), "1 made at a, age unknown, waited for by 2 "
				 "callbacks, the one made at outer\n");
	plait_deferred_detach(&outer);
	ck_assert_ptr_nonnull(strstr(dump(), "waited for by nobody\n"));
	plait_fire(&p, PLAIT_NONE);
	ck_assert_str_eq(dump(), "");
}

TEST(many_places_are_all_there, PURE)
{
	static char where[100][16];
	struct plait_promise *p[100];
	struct plait_deferred *d[100];
	unsigned lines = 0;

	for (int i = 0; i < 100; i++) {
		snprintf(where[i], sizeof(where[i]), "place %d,", i);
		d[i] = make(where[i], &p[i]);
	}
	for (const char *s = dump(); (s = strchr(s, '\n')) != NULL; s++)
		lines++;
	ck_assert_uint_eq(lines, 100);
	for (int i = 0; i < 100; i++) {
		ck_assert_ptr_nonnull(strstr(text, where[i]));
		end(&d[i], &p[i]);
	}
}

TEST(age_is_that_of_the_reactors_clock, ON_EACH_BACKEND)
{
	struct plait_promise *p;
	struct plait_deferred *d;

	clock_virtual(true);
	run_turns(reactor, 1);
	d = make("a", &p);
	ck_assert_str_eq(dump(), "1 made at a, age 0.000 s, waited for by its "
				 "owner\n");
	run_for(reactor, 2.5);
	ck_assert_ptr_nonnull(strstr(dump(), "1 made at a, age 2.50"));
	plait_deferred_report_pending();
	ck_assert_ptr_nonnull(
		strstr(unhandled_text(),
		       "NeverFiredError: promise made at a, age 2.50"));
	ck_assert_ptr_nonnull(
		strstr(unhandled_text(), " s, waited for by its owner"));
	unhandled_expect(1);
	end(&d, &p);
}

TEST(one_that_was_made_after_a_long_wait_is_young, ON_EACH_BACKEND)
{
	struct plait_promise *p, *q;
	struct plait_deferred *old, *young;

	clock_virtual(true);
	old = make("old", &p);
	run_for(reactor, 3600);
	young = make("young", &q);
	ck_assert_ptr_nonnull(strstr(dump(), "made at young, age 0.000 s"));
	ck_assert_ptr_nonnull(strstr(text, "made at old, age 3600.0"));
	end(&old, &p);
	end(&young, &q);
}

TEST(age_on_a_virtual_reactor_is_virtual, PURE)
{
	struct plait_reactor *r = plait_testing_reactor_new();
	struct plait_promise *p;
	struct plait_deferred *d = make("a", &p);

	plait_testing_advance(r, 90);
	ck_assert_ptr_nonnull(strstr(dump(), "age 90.000 s"));
	end(&d, &p);
	plait_reactor_free(&r);
}

/* ---- the graph ------------------------------------------------------------
 */

/* One statement a line, as we write it: a node or an edge, with its label. */
static bool is_statement(const char *line, size_t len)
{
	const char *s = line;
	unsigned quotes = 0;

	if (len == 0 || *s != '\t' || s[len - 1] != ';')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '"')
			quotes++;
		if (s[i] == '\\' && s[i + 1] != 'n')
			return false;
	}
	if (strncmp(s, "\tnode [", 7) == 0)
		return quotes == 0;
	return (quotes == 4 || quotes == 6) && s[len - 2] == ']' &&
	       (quotes == 6) == (strstr(s, "\" -> \"") != NULL &&
				 strstr(s, "\" -> \"") < s + len);
}

static void assert_graph(const char *s)
{
	const char *head = "digraph deferreds {\n", *nl;

	ck_assert_int_eq(strncmp(s, head, strlen(head)), 0);
	for (s += strlen(head); *s != '}'; s = nl + 1) {
		nl = strchr(s, '\n');
		ck_assert_ptr_nonnull(nl);
		ck_assert_msg(is_statement(s, (size_t)(nl - s)), "wrong: %s",
			      s);
	}
	ck_assert_str_eq(s, "}\n");
}

/* Asks Graphviz, if it is here. */
static void assert_dot_accepts(const char *s)
{
	FILE *f;

	if (system("command -v dot >/dev/null 2>&1") != 0)
		return;
	f = popen("dot -Tsvg >/dev/null", "w");
	ck_assert_ptr_nonnull(f);
	fputs(s, f);
	ck_assert_int_eq(pclose(f), 0);
}

static void assert_has_edge(const void *from, const void *to, const char *label)
{
	char edge[128];

	snprintf(edge, sizeof(edge), "\t\"%p\" -> \"%p\" [label=\"%s\"];\n",
		 from, to, label);
	ck_assert_msg(strstr(text, edge) != NULL, "no %s in %s", edge, text);
}

static void assert_has_node(const void *d, const char *label)
{
	char node[256];

	snprintf(node, sizeof(node), "\t\"%p\" [label=\"%s", d, label);
	ck_assert_msg(strstr(text, node) != NULL, "no %s in %s", node, text);
}

GROUP("graph");

TEST(graph_has_states_callbacks_and_edges, PURE)
{
	struct plait_promise *p, *q;
	struct plait_deferred *pending = make("p.c:1", &p), *outer,
			      *paused = (plait_succeed)(plait_int(42), "s.c:3"),
			      *fired =
				      (plait_succeed)(plait_text("x"), "f.c:1"),
			      *target = make("t.c:4", &q);
	void *chained = target, *inner = pending;

	outer = (plait_succeed)(PLAIT_NONE, "o.c:2");
	plait_deferred_pause(paused);
	for (int i = 0; i < 9; i++)
		plait_deferred_add_both(paused, pass, NULL);
	plait_deferred_forward(pending, &q);
	plait_deferred_add_callback(outer, return_deferred, pending);
	assert_graph(dot());
	assert_dot_accepts(text);
	assert_has_node(inner, "p.c:1\\npending, age unknown\\nfires another");
	assert_has_node(outer, "o.c:2\\nwaiting, age unknown\"");
	assert_has_node(paused, "s.c:3\\npaused, age unknown\\n42\\n");
	assert_has_node(fired, "f.c:1\\nfired, age unknown\\nx\"");
	assert_has_edge(outer, inner, "waits for");
	assert_has_edge(inner, chained, "fires");
	ck_assert_ptr_nonnull(strstr(text, "\\nand 1 more"));
	plait_fire(&p, PLAIT_NONE);
	plait_deferred_free(&outer);
	plait_deferred_free(&target);
	plait_deferred_free(&fired);
	plait_deferred_unpause(paused);
	plait_deferred_free(&paused);
	ck_assert_str_eq(dot(),
			 "digraph deferreds {\n\tnode [shape=box];\n}\n");
}

static plait_value look(plait_value *result, void *arg)
{
	assert_graph(dot());
	assert_has_node(arg, "r.c:1\\nrunning");
	return PLAIT_NONE;
}

static plait_value look_and_cancel(struct plait_deferred *d, void *arg)
{
	assert_graph(dot());
	assert_has_node(d, "r.c:1\\nbeing cancelled");
	return plait_cancelled();
}

TEST(graph_may_be_drawn_from_inside, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d =
		(plait_deferred_new)(&p, look_and_cancel, NULL, "r.c:1");

	plait_deferred_add_both(d, look, d);
	plait_deferred_free(&d);
	assert_graph(dot());
	ck_assert_ptr_nonnull(strstr(text, "r.c:1\\nfired"));
	plait_promise_drop(&p);
}

TEST(text_that_would_end_the_label_is_left_out, PURE)
{
	struct plait_deferred *d =
		(plait_succeed)(plait_text("a\"];\n\\"), "\"q\\\".c\n:1");

	assert_graph(dot());
	assert_dot_accepts(text);
	assert_has_node(d, "q.c:1\\nfired, age unknown\\na];\"");
	plait_deferred_free(&d);
}

/* ---- without memory --------------------------------------------------------
 */

static void dump_and_draw(void)
{
	struct plait_promise *p, *q;
	struct plait_deferred *a = make("a", &p), *b = make("b", &q);
	struct plait_buf *buf = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	int r;

	if (buf != NULL) {
		r = plait_deferred_dump(buf);
		ck_assert(r == 0 || r == -ENOMEM);
		r = plait_deferred_dot(buf);
		ck_assert(r == 0 || r == -ENOMEM);
	}
	plait_buf_unref(&buf);
	end(&a, &p);
	end(&b, &q);
}

GROUP("memory");

TEST(no_memory_anywhere, PURE)
{
	without_each_allocation(dump_and_draw);
}

TEST(buffer_that_may_not_grow_says_so, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make("a", &p);
	struct plait_buf *small = plait_buf_new(16);
	int too_much = plait_buf_append(small, text, 17);

	ck_assert_int_lt(too_much, 0);
	ck_assert_int_eq(plait_deferred_dump(small), too_much);
	ck_assert_int_eq(plait_deferred_dot(small), too_much);
	plait_buf_unref(&small);
	end(&d, &p);
}

/* ---- on a signal -----------------------------------------------------------
 */

static struct plait_reactor *new_reactor(int signo)
{
	struct plait_reactor *r = plait_reactor_new(backend);

	if (plait_reactor_dump_on_signal(r, signo) != 0)
		abort();
	return r;
}

static void signal_one_pending(void *arg)
{
	struct plait_reactor *r = new_reactor(SIGUSR1);
	struct plait_promise *p;
	struct plait_deferred *d = make("a", &p);

	raise(SIGUSR1);
	plait_reactor_iterate(r, 0);
	plait_reactor_iterate(r, 0);
	end(&d, &p);
	raise(SIGUSR1);
	plait_reactor_iterate(r, 0);
	plait_reactor_free(&r);
}

GROUP("signal");

TEST(signal_makes_the_next_turn_dump, ON_EACH_BACKEND)
{
	const char *said;

	ck_assert_int_eq(child_run(signal_one_pending, NULL, &said), 0);
	assert_begins(said, "plait: pending deferreds:\n1 made at a, age ");
	ck_assert_ptr_nonnull(strstr(said,
				     " s, waited for by its owner\n"
				     "plait: pending deferreds:\nnone\n"));
}

static void raise_once(void *arg)
{
	const char *call = arg;

	call_hook(call, NULL, NULL);
	raise(SIGUSR2);
}

static void stop(void *arg)
{
	plait_reactor_stop(arg);
}

/* The signal comes when the loop has decided to wait for long. */
static void signal_a_waiting_loop(void *arg)
{
	struct plait_reactor *r = new_reactor(SIGUSR2);
	bool epolls = strcmp(plait_reactor_backend(r), "epoll") == 0;
	static char epoll_wait_call[] = "epoll_wait", select_call[] = "select";
	char *call = epolls ? epoll_wait_call : select_call;

	plait_call_later(r, 1000, stop, r);
	call_hook(call, raise_once, call);
	plait_reactor_iterate(r, 1000);
	plait_reactor_iterate(r, 0);
	plait_reactor_free(&r);
}

TEST(signal_wakes_a_loop_that_waits, ON_EACH_BACKEND)
{
	const char *said;

	ck_assert_int_eq(child_run(signal_a_waiting_loop, NULL, &said), 0);
	ck_assert_str_eq(said, "plait: pending deferreds:\nnone\n");
}

static void signal_without_memory(void *arg)
{
	struct plait_reactor *r = new_reactor(SIGUSR1);

	for (unsigned long n = 0; n < 3; n++) {
		raise(SIGUSR1);
		fault_alloc_at(n, false);
		plait_reactor_iterate(r, 0);
		fault_alloc_off();
	}
	plait_reactor_free(&r);
}

TEST(dump_without_memory_says_that, ON_EACH_BACKEND)
{
	const char *said;

	ck_assert_int_eq(child_run(signal_without_memory, NULL, &said), 0);
	assert_begins(said, "plait: no memory to say what is pending\n");
}

TEST(error_that_cannot_be_written_is_let_be, ON_EACH_BACKEND)
{
	ck_assert_int_eq(plait_reactor_dump_on_signal(reactor, SIGUSR1), 0);
	raise(SIGUSR1);
	fault_call("write", 1, EPIPE);
	run_turns(reactor, 1);
	ck_assert(fault_used("write"));
}

static void nothing(int signo)
{
}

static bool has_handler(int signo, void (*handler)(int signo))
{
	struct sigaction now;

	sigaction(signo, NULL, &now);
	return now.sa_handler == handler;
}

TEST(signal_is_given_back, ON_EACH_BACKEND)
{
	ck_assert_int_eq(plait_reactor_dump_on_signal(reactor, SIGUSR1), 0);
	ck_assert(!has_handler(SIGUSR1, SIG_DFL));
	ck_assert_int_eq(plait_reactor_dump_on_signal(reactor, SIGUSR2), 0);
	ck_assert(has_handler(SIGUSR1, SIG_DFL));
	ck_assert(!has_handler(SIGUSR2, SIG_DFL));
	plait_reactor_free(&reactor);
	ck_assert(has_handler(SIGUSR2, SIG_DFL));
}

TEST(signal_that_somebody_else_took_since_is_left_alone, ON_EACH_BACKEND)
{
	ck_assert_int_eq(plait_reactor_dump_on_signal(reactor, SIGUSR1), 0);
	signal(SIGUSR1, nothing);
	plait_reactor_free(&reactor);
	ck_assert(has_handler(SIGUSR1, nothing));
	signal(SIGUSR1, SIG_DFL);
}

TEST(only_one_reactor_has_it, ON_EACH_BACKEND)
{
	struct plait_reactor *r = plait_reactor_new(backend);

	ck_assert_int_eq(plait_reactor_dump_on_signal(reactor, SIGUSR1), 0);
	ck_assert_int_eq(plait_reactor_dump_on_signal(r, SIGUSR2), -EBUSY);
	plait_reactor_free(&reactor);
	ck_assert_int_eq(plait_reactor_dump_on_signal(r, SIGUSR2), 0);
	plait_reactor_free(&r);
}

TEST(signals_that_cannot_be_caught_are_refused, ON_EACH_BACKEND)
{
	static const int wrong[] = { 0, -1, SIGKILL, SIGSTOP, 9999 };

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_int_eq(
			plait_reactor_dump_on_signal(reactor, wrong[i]),
			-EINVAL);
	fault_call("sigaction", 1, EINTR);
	ck_assert_int_eq(plait_reactor_dump_on_signal(reactor, SIGUSR1),
			 -EINTR);
	ck_assert_int_eq(plait_reactor_dump_on_signal(reactor, SIGUSR1), 0);
}

static void ask_in_a_fork(void *arg)
{
	if (plait_reactor_dump_on_signal(arg, SIGUSR1) != -ECHILD)
		abort();
}

static void raise_in_a_fork(void *arg)
{
	raise(SIGUSR1);
	abort();
}

TEST(forked_child_has_no_part_in_it, ON_EACH_BACKEND)
{
	const char *said;

	ck_assert_int_eq(child_run(ask_in_a_fork, reactor, &said), 0);
	ck_assert_int_eq(plait_reactor_dump_on_signal(reactor, SIGUSR1), 0);
	ck_assert_int_eq(child_run(raise_in_a_fork, NULL, &said), 128);
	ck_assert_str_eq(said, "");
}

TEST(signal_that_would_stop_can_be_had_too, ON_EACH_BACKEND)
{
	signal(SIGTERM, SIG_DFL);
	ck_assert_int_eq(plait_reactor_dump_on_signal(reactor, SIGTERM), 0);
	plait_call_later(reactor, 0, stop, reactor);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert(!has_handler(SIGTERM, SIG_DFL));
	plait_reactor_free(&reactor);
	ck_assert(has_handler(SIGTERM, SIG_DFL));
}

/* ---- PLAIT_DEBUG ------------------------------------------------------------
 */

static void ask_for(const char *words)
{
	setenv("PLAIT_DEBUG", words, 1);
	atomic_store(&plait_i_debug_flags, 0);
}

static void run_nothing(void *arg)
{
}

static void run_three_turns(void *arg)
{
	struct plait_reactor *r;
	struct plait_timer t = { 0 };

	ask_for(arg);
	r = plait_testing_reactor_new();
	plait_timer_start(r, &t, 0, run_nothing, NULL);
	plait_call_from_thread(r, run_nothing, NULL);
	plait_call_from_thread(r, run_nothing, NULL);
	plait_reactor_iterate(r, 0);
	plait_reactor_iterate(r, 0);
	plait_reactor_free(&r);
}

GROUP("environment");

TEST(turns_are_told, PURE)
{
	const char *said;
	char words[] = "failures,turns";

	ck_assert_int_eq(child_run(run_three_turns, words, &said), 0);
	ck_assert_str_eq(said, "plait: turn 1: 0 events, 1 timers, 2 calls\n"
			       "plait: turn 2: 0 events, 0 timers, 0 calls\n");
}

static void run_an_event(void *arg)
{
	struct plait_reactor *r;

	ask_for("turns");
	r = plait_reactor_new(backend);
	plait_call_from_thread(r, run_nothing, NULL);
	plait_reactor_iterate(r, 0);
	plait_reactor_free(&r);
}

TEST(events_are_told, ON_EACH_BACKEND)
{
	const char *said;

	ck_assert_int_eq(child_run(run_an_event, NULL, &said), 0);
	ck_assert_str_eq(said, "plait: turn 1: 1 events, 0 timers, 1 calls\n");
}

TEST(unknown_words_are_told_and_the_others_hold, PURE)
{
	const char *said;
	char words[] = "turn,,turns,x";

	ck_assert_int_eq(child_run(run_three_turns, words, &said), 0);
	assert_begins(said, "plait: PLAIT_DEBUG: there is no \"turn\"\n"
			    "plait: PLAIT_DEBUG: there is no \"x\"\n"
			    "plait: turn 1: ");
}

static void run_without_words(void *arg)
{
	char none[] = "";

	run_three_turns(none);
	unsetenv("PLAIT_DEBUG");
	ck_assert(!debug_is_on(DEBUG_TURNS));
	atomic_store(&plait_i_debug_flags, 0);
	ck_assert(!debug_is_on(DEBUG_TURNS));
}

TEST(nothing_is_told_unless_it_is_asked_for, PURE)
{
	const char *said;

	ck_assert_int_eq(child_run(run_without_words, NULL, &said), 0);
	ck_assert_str_eq(said, "");
}

static void leave_a_failure(void *arg)
{
	plait_value deep, cause;
	struct plait_deferred *d;

	ask_for(arg);
	deep = (plait_fail)("deep.c:1", &plait_error_os, "no ink");
	cause = (plait_fail_because)("mid.c:2", &plait_error_timeout,
				     plait_value_failure(&deep), "%s", "");
	d = plait_failed((plait_fail_because)("top.c:3", &plait_error_any,
					      plait_value_failure(&cause),
					      "no poem"));
	plait_value_free(&cause);
	plait_value_free(&deep);
	plait_deferred_free(&d);
}

TEST(failure_tells_its_causes, PURE)
{
	const char *said;
	char words[] = "failures", none[] = "";

	ck_assert_int_eq(child_run(leave_a_failure, words, &said), 0);
	ck_assert_str_eq(said, "Unhandled error in Deferred: Error: no poem, "
			       "caused by TimeoutError, "
			       "caused by OSError: no ink\n"
			       "  made at top.c:3\n"
			       "  caused by TimeoutError\n"
			       "  made at mid.c:2\n"
			       "  caused by OSError: no ink\n"
			       "  made at deep.c:1\n");
	ck_assert_int_eq(child_run(leave_a_failure, none, &said), 0);
	ck_assert_str_eq(said, "Unhandled error in Deferred: Error: no poem, "
			       "caused by TimeoutError, "
			       "caused by OSError: no ink\n");
}

static void leave_a_cancellation(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *d;

	ask_for("failures");
	d = make("made.c:1", &p);
	(plait_deferred_cancel_because)(d, "no more\npaper", "cancel.c:2");
	end(&d, &p);
}

TEST(failure_tells_who_cancelled, PURE)
{
	const char *said;

	ck_assert_int_eq(child_run(leave_a_cancellation, NULL, &said), 0);
	ck_assert_str_eq(said, "Unhandled error in Deferred: CancelledError\n"
			       "  made at cancel.c:2\n"
			       "  cancelled at cancel.c:2\n"
			       "  because no more\\x0apaper\n");
}

/* ---- quarantine ------------------------------------------------------- */

/* A deferred that has ended at both ends, and the handles of somebody who
   does not know. */
static struct plait_deferred *stale;
static struct plait_promise *stale_promise;

static void make_stale(void)
{
	struct plait_promise *p;
	struct plait_deferred *d;

	ask_for("quarantine");
	stale = d = make("made.c:1", &p);
	stale_promise = p;
	(plait_fire)(&p, PLAIT_NONE, "fired.c:2");
	(plait_deferred_free)(&d, "freed.c:3");
}

#define USES(USE)                                                              \
	USE("used.c:4", (plait_fire)(&stale_promise, PLAIT_NONE, "used.c:4"))  \
	USE("used.c:4", (plait_promise_drop)(&stale_promise, "used.c:4"))      \
	USE("plait_promise_is_cancelled()",                                    \
	    plait_promise_is_cancelled(stale_promise))                         \
	USE("used.c:4",                                                        \
	    (plait_deferred_cancel_because)(stale, NULL, "used.c:4"))          \
	USE("used.c:4", (plait_deferred_free)(&stale, "used.c:4"))             \
	USE("plait_deferred_detach()", plait_deferred_detach(&stale))          \
	USE("plait_deferred_add_callbacks()",                                  \
	    plait_deferred_add_both(stale, pass, NULL))                        \
	USE("plait_chain()", plait_value v = plait_chain(&stale);              \
	    plait_value_free(&v))                                              \
	USE("plait_deferred_pause()", plait_deferred_pause(stale))             \
	USE("plait_deferred_unpause()", plait_deferred_unpause(stale))         \
	USE("plait_deferred_is_fired()", plait_deferred_is_fired(stale))       \
	USE("plait_deferred_result()", plait_deferred_result(stale))           \
	USE("plait_deferred_result()",                                         \
	    plait_deferred_str(stale, text, sizeof(text)))

static const char *const uses[] = { USES(USE_WHERE) };

static void use_stale(void *arg)
{
	int n = *(const int *)arg;

	make_stale();
	USES(USE_DO)
}

GROUP("quarantine");

TEST(use_of_what_was_freed_aborts_and_names_all, PURE, EACH_OF(uses))
{
	char says[256];

	snprintf(says, sizeof(says),
		 "plait: %s: uses the deferred made at made.c:1 fired at "
		 "fired.c:2, which ended at freed.c:3\n",
		 uses[_i]);
	assert_aborts(use_stale, &_i, says);
}

static void use_what_another_took(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *outer;

	ask_for("quarantine");
	stale = make("inner.c:1", &p);
	(plait_fire)(&p, PLAIT_NONE, "fired.c:2");
	outer = (plait_succeed)(PLAIT_NONE, "outer.c:3");
	plait_deferred_add_callback(outer, return_deferred, stale);
	(plait_deferred_cancel_because)(stale, NULL, "used.c:4");
}

TEST(one_that_another_took_ended_there, PURE)
{
	assert_aborts(use_what_another_took, NULL,
		      "plait: used.c:4: uses the deferred made at inner.c:1 "
		      "fired at fired.c:2, which ended at outer.c:3\n");
}

static void free_many(void *arg)
{
	unsigned long before = heap_live();

	ask_for("quarantine");
	for (int i = 0; i < 5000; i++) {
		struct plait_deferred *d = plait_succeed(PLAIT_NONE);

		for (int j = 0; j < 9; j++)
			plait_deferred_add_both(d, pass, NULL);
		plait_deferred_free(&d);
	}
	if (heap_live() - before != 4096)
		abort();
}

TEST(quarantine_keeps_the_last_4096, PURE)
{
	const char *said;

	ck_assert_int_eq(child_run(free_many, NULL, &said), 0);
}
