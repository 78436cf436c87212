/*
 * The trace: what is recorded, what the ring forgets, that what is written
 * is JSON, and the arrow from a cancel to the connection that it closed.
 */
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <plait/testing.h>

#include "lib/trace.h"
#include "tests/actor.h"
#include "tests/child.h"
#include "tests/extreme.h"
#include "tests/harness.h"
#include "tests/trace.h"

/* ---- a file for each test ------------------------------------------- */

static char path[64];

static void setup(void)
{
	int fd;

	strcpy(path, "/tmp/plait-trace-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void teardown(void)
{
	char later[80];

	unlink(path);
	snprintf(later, sizeof(later), "%s.2", path);
	unlink(later);
}

static char text[1 << 20];

static const char *read_back(void)
{
	FILE *f = fopen(path, "r");
	size_t n;

	ck_assert_ptr_nonnull(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	return text;
}

/* ---- is it JSON? ------------------------------------------------------ */

static const char *value(const char *s);

/* After the string that begins at s, or NULL; plain ASCII is all we write. */
static const char *string(const char *s)
{
	if (s == NULL || *s++ != '"')
		return NULL;
	for (; *s != '"'; s++) {
		if (*s < 0x20 || *s > 0x7e || *s == '\\')
			return NULL;
	}
	return s + 1;
}

static const char *expect(const char *s, char c)
{
	if (s == NULL)
		return NULL;
	s += strspn(s, "\n");
	return *s == c ? s + 1 : NULL;
}

/* Members up to the closing bracket; of an object, with names. */
static const char *members(const char *s, char end)
{
	do {
		s += strspn(s, "\n");
		if (end == '}')
			s = expect(string(s), ':');
		s = s != NULL ? value(s) : NULL;
	} while (s != NULL && *s == ',' && s++);
	return expect(s, end);
}

static const char *value(const char *s)
{
	size_t digits;

	if (*s == '"')
		return string(s);
	if (*s == '{')
		return members(s + 1, '}');
	if (*s == '[')
		return members(s + 1, ']');
	digits = strspn(s, "0123456789.");
	return digits > 0 ? s + digits : NULL;
}

static void assert_json(const char *s)
{
	const char *end = value(s);

	ck_assert_msg(end != NULL && strcmp(end, "\n") == 0, "not JSON: %s", s);
}

/* ---- what is in it ------------------------------------------------------ */

static unsigned count(const char *needle)
{
	const char *s = text;
	unsigned n = 0;

	while ((s = strstr(s, needle)) != NULL) {
		s += strlen(needle);
		n++;
	}
	return n;
}

static unsigned count_of(char phase, const char *name)
{
	char needle[128];

	snprintf(needle, sizeof(needle), "{\"ph\":\"%c\",\"name\":\"%s\"",
		 phase, name);
	return count(needle);
}

static void dump(void)
{
	ck_assert_int_eq(plait_trace_dump(path), 0);
	assert_json(read_back());
}

static void dump_at_last(void)
{
	dump();
	plait_trace_stop();
}

static plait_value return_deferred(plait_value *result, void *arg)
{
	struct plait_deferred *inner = arg;

	return plait_chain(&inner);
}

/* ---- recording ---------------------------------------------------------- */

GROUP("recording", .setup = setup, .teardown = teardown);

TEST(nothing_is_recorded_unless_it_was_started, PURE)
{
	struct plait_deferred *d = plait_succeed(plait_int(1));

	plait_deferred_free(&d);
	ck_assert_int_eq(plait_trace_dump(path), -EINVAL);
	plait_trace_stop();
	ck_assert_str_eq(read_back(), "");
}

TEST(empty_trace_is_json_too, PURE)
{
	ck_assert_int_eq(plait_trace_start(0), 0);
	dump_at_last();
	ck_assert_uint_eq(count("\"ph\""), 1);
}

TEST(deferred_is_a_span_from_made_to_fired, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d;

	plait_trace_start(0);
	d = plait_deferred_new(&p, NULL, NULL);
	dump();
	ck_assert_uint_eq(count_of('b', "deferred"), 1);
	ck_assert_uint_eq(count_of('e', "deferred"), 0);
	plait_fire(&p, PLAIT_NONE);
	plait_deferred_free(&d);
	dump_at_last();
	ck_assert_uint_eq(count_of('e', "deferred"), 1);
	ck_assert_uint_eq(count_of('B', "cancel"), 0);
	ck_assert_ptr_nonnull(strstr(text, "\"at\":\"tests/test_trace.c:"));
}

TEST(waiting_names_both, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *inner, *outer;
	char needle[64];

	plait_trace_start(0);
	inner = plait_deferred_new(&p, NULL, NULL);
	snprintf(needle, sizeof(needle), "\"other\":\"%p\"", (void *)inner);
	outer = plait_succeed(PLAIT_NONE);
	plait_deferred_add_callback(outer, return_deferred, inner);
	plait_fire(&p, PLAIT_NONE);
	plait_deferred_free(&outer);
	dump_at_last();
	ck_assert_uint_eq(count_of('i', "waits"), 1);
	ck_assert_uint_eq(count(needle), 1);
}

static plait_value cancel_another(struct plait_deferred *d, void *arg)
{
	plait_deferred_cancel(arg);
	return plait_cancelled();
}

TEST(cancels_nest_and_each_has_a_number, PURE)
{
	struct plait_promise *p, *q;
	struct plait_deferred *a, *b;

	plait_trace_start(0);
	a = plait_deferred_new(&p, NULL, NULL);
	b = plait_deferred_new(&q, cancel_another, a);
	plait_deferred_free(&b);
	plait_deferred_free(&a);
	plait_promise_drop(&p);
	plait_promise_drop(&q);
	dump_at_last();
	ck_assert_uint_eq(count_of('B', "cancel"), 2);
	ck_assert_uint_eq(count_of('E', "cancel"), 2);
	/* begins, lets it fire, ends */
	ck_assert_uint_eq(count("\"cancel\":1"), 3);
	ck_assert_uint_eq(count("\"cancel\":2"), 3);
	unhandled_expect(1);
}

TEST(cancelling_what_has_fired_is_no_cancel, PURE)
{
	struct plait_deferred *d;

	plait_trace_start(0);
	d = plait_succeed(PLAIT_NONE);
	plait_deferred_cancel(d);
	plait_deferred_free(&d);
	dump_at_last();
	ck_assert_uint_eq(count_of('B', "cancel"), 0);
}

TEST(ring_keeps_the_newest, PURE)
{
	struct plait_deferred *d;

	plait_trace_start(4);
	for (int i = 0; i < 10; i++) {
		d = plait_succeed(PLAIT_NONE);
		plait_deferred_free(&d);
	}
	dump_at_last();
	ck_assert_uint_eq(count_of('b', "deferred"), 2);
	ck_assert_uint_eq(count_of('e', "deferred"), 2);
}

TEST(slice_whose_beginning_is_forgotten_does_not_end, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d;

	plait_trace_start(1);
	d = plait_deferred_new(&p, NULL, NULL);
	plait_deferred_free(&d);
	plait_promise_drop(&p);
	dump_at_last();
	ck_assert_uint_eq(count("\"ph\""), 1);
}

TEST(starting_again_forgets, PURE)
{
	struct plait_deferred *d;

	plait_trace_start(0);
	d = plait_succeed(PLAIT_NONE);
	plait_trace_start(0);
	plait_deferred_free(&d);
	dump_at_last();
	ck_assert_uint_eq(count("\"ph\""), 1);
}

/* One that starts or stops in the middle of a cancel sees half of it. */
static plait_value start_now(struct plait_deferred *d, void *arg)
{
	plait_trace_start(0);
	return plait_cancelled();
}

static plait_value stop_now(struct plait_deferred *d, void *arg)
{
	plait_trace_stop();
	return plait_cancelled();
}

TEST(starting_and_stopping_inside_a_cancel, PURE)
{
	struct plait_promise *p, *q;
	struct plait_deferred *a = plait_deferred_new(&p, start_now, NULL);
	struct plait_deferred *b = plait_deferred_new(&q, stop_now, NULL);

	plait_deferred_free(&a);
	dump_at_last();
	ck_assert_uint_eq(count_of('B', "cancel"), 0);
	ck_assert_uint_eq(count_of('E', "cancel"), 0);
	plait_deferred_free(&b);
	ck_assert_int_eq(plait_trace_dump(path), -EINVAL);
	plait_promise_drop(&p);
	plait_promise_drop(&q);
}

TEST(text_that_is_no_json_is_left_out, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d;

	plait_trace_start(0);
	d = (plait_deferred_new)(&p, NULL, NULL, "a\"b\\c\nd\xc3:1");
	plait_deferred_free(&d);
	plait_promise_drop(&p);
	dump_at_last();
	ck_assert_ptr_nonnull(strstr(text, "\"abcd:1\""));
}

/* ---- listening ---------------------------------------------------------- */

/* What a listener writes for each event; it hears no others. */
static const char *const heard[] = {
	[TRACE_MADE] = "made",
	[TRACE_FIRED] = "fired",
	[TRACE_WAITS] = "waits",
	[TRACE_CANCEL] = "cancel",
	[TRACE_CANCELLED] = "cancelled",
	[TRACE_ENTER] = "[",
	[TRACE_LEAVE] = "]",
	[TRACE_ATTEMPT] = "attempt",
	[TRACE_ENDED] = "ended",
	[TRACE_LOOKUP] = "lookup",
	[TRACE_LOOKED_UP] = "looked-up",
	[TRACE_OPENED] = "opened",
	[TRACE_READ] = "read",
	[TRACE_WRITTEN] = "written",
	[TRACE_CLOSING] = "closing",
	[TRACE_CLOSED] = "closed",
	[TRACE_FREED] = "freed",
	[TRACE_CALLS] = "calls",
	[TRACE_LATE] = "late",
	[TRACE_LOST] = "lost",
	[TRACE_LEAVING] = "leaving",
	[TRACE_SET] = "set",
	[TRACE_UNSET] = "unset",
	[TRACE_DUE] = "due",
	[TRACE_WATCHED] = "watched",
	[TRACE_UNWATCHED] = "unwatched",
	[TRACE_LISTENS] = "listens",
	[TRACE_DEAF] = "deaf",
	[TRACE_PORT_FREED] = "port-freed",
	[TRACE_CONNECTOR] = "connector",
	[TRACE_CONNECTOR_FREED] = "connector-freed",
	[TRACE_PROTOCOL] = "protocol",
	[TRACE_PROTOCOL_LOST] = "protocol-lost",
	[TRACE_SCOPE] = "scope",
	[TRACE_SCOPE_FREED] = "scope-freed",
};

static void hear_event(struct trace_listener *l, enum trace_kind kind,
		       const void *object, const void *other, const char *where,
		       size_t n)
{
	trace_add("%s", heard[kind]);
}

static struct trace_listener ear = { .tell = hear_event };

static void listen_teardown(void)
{
	plait_i_trace_listen_no_more(&ear);
	teardown();
}

static void listen_setup(void)
{
	setup();
	plait_i_trace_listen(&ear);
}

static plait_value fail_now(plait_value *result, void *arg)
{
	return plait_fail(&plait_error_any, "as planned");
}

GROUP("listening", .setup = listen_setup, .teardown = listen_teardown);

TEST(listener_hears_the_life_of_a_deferred, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *inner = plait_deferred_new(&p, NULL, NULL);
	struct plait_deferred *d = plait_succeed(PLAIT_NONE);

	assert_trace("made made fired");
	plait_deferred_add_callback(d, return_deferred, inner);
	assert_trace("calls waits");
	plait_deferred_add_callback(d, fail_now, NULL);
	plait_fire(&p, PLAIT_NONE);
	assert_trace("fired calls freed");
	plait_deferred_free(&d);
	assert_trace("lost freed");
	unhandled_expect(1);
}

TEST(listener_hears_what_is_fired_after_its_cancel, PURE)
{
	struct plait_promise *p, *q;
	struct plait_deferred *d = plait_deferred_new(&p, NULL, NULL);
	struct plait_deferred *e = plait_deferred_new(&q, NULL, NULL);

	trace_clear();
	plait_deferred_free(&d);
	assert_trace("cancel fired cancelled");
	plait_fire(&p, PLAIT_NONE);
	assert_trace("late freed");
	plait_deferred_free(&e);
	trace_clear();
	plait_promise_drop(&q);
	assert_trace("freed");
}

static void nothing(void *arg)
{
}

TEST(listener_hears_timers, PURE)
{
	struct plait_reactor *r = plait_testing_reactor_new();
	struct plait_timer t = { 0 }, u = { 0 };

	plait_timer_start(r, &t, 1, nothing, NULL);
	plait_timer_start(r, &t, 2, nothing, NULL);
	assert_trace("set set");
	plait_timer_stop(&t);
	plait_timer_stop(&t);
	assert_trace("unset");
	plait_timer_start(r, &t, 1, nothing, NULL);
	plait_testing_advance(r, 1);
	assert_trace("set due [ leaving ]");
	plait_timer_start(r, &u, 1, nothing, NULL);
	plait_reactor_free(&r);
	assert_trace("set unset");
}

static void see_nothing(struct plait_watch *w, unsigned events)
{
}

TEST(listener_hears_watches, ON_EACH_BACKEND)
{
	struct plait_watch w = { 0 };
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	trace_clear();
	plait_watch_start(reactor, &w, fds[0], PLAIT_WATCH_READ, see_nothing);
	plait_watch_stop(&w);
	assert_trace("watched unwatched");
	close(fds[0]);
	close(fds[1]);
}

static const struct plait_protocol_ops silent_ops = { .name = "silent" };

TEST(listener_hears_ports_and_connections, PURE)
{
	struct plait_reactor *r = plait_testing_reactor_new();
	struct plait_factory f = { .protocol = &silent_ops };
	struct plait_port *port;
	struct plait_transport *t;

	ck_assert_int_eq(plait_listen_tcp(r, 0, &f, NULL, &port), 0);
	assert_trace("listens [ leaving ]");
	t = plait_testing_accept(port);
	assert_trace("[ leaving ] [ opened protocol leaving ]");
	plait_port_free(&port);
	plait_transport_abort_connection(t);
	plait_testing_advance(r, 0);
	assert_trace("deaf closing [ leaving ]"
		     " [ protocol-lost leaving ] port-freed closed");
	plait_reactor_free(&r);
}

TEST(listener_hears_connectors, PURE)
{
	struct plait_reactor *r = plait_testing_reactor_new();
	struct plait_factory f = { .protocol = &silent_ops };
	struct plait_connector *c =
		plait_connect_tcp(r, "localhost", 1, &f, NULL);

	assert_trace("connector [ attempt set leaving ]");
	plait_testing_refuse(c, NULL);
	plait_testing_advance(r, 0);
	assert_trace("[ unset ended leaving ] connector-freed");
	plait_reactor_free(&r);
}

TEST(listener_hears_scopes, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);

	plait_scope_free(&s);
	assert_trace("scope scope-freed");
}

TEST(ring_has_no_more_because_of_a_listener, PURE)
{
	struct plait_reactor *r;

	ck_assert_int_eq(plait_trace_dump(path), -EINVAL);
	plait_trace_start(0);
	r = plait_testing_reactor_new();
	plait_call_later(r, 0, nothing, NULL);
	plait_testing_advance(r, 0);
	plait_reactor_free(&r);
	dump_at_last();
	ck_assert_uint_eq(count("\"ph\""), 3);
	ck_assert_uint_eq(count_of('B', "callback"), 1);
	assert_trace("set due [ leaving ]");
}

TEST(listeners_hear_in_the_order_in_which_they_began, PURE)
{
	struct trace_listener second = { .tell = hear_event };
	struct plait_deferred *d;

	plait_i_trace_listen(&second);
	d = plait_succeed(PLAIT_NONE);
	assert_trace("made made fired fired");
	plait_i_trace_listen_no_more(&second);
	plait_deferred_free(&d);
	assert_trace("freed");
}

/* ---- connections -------------------------------------------------------- */

static struct plait_promise *answer;

static void hear(struct actor *a, struct plait_protocol *p, const void *data,
		 size_t len)
{
	plait_fire(&answer, PLAIT_NONE);
}

/* The work of a deferred is a connection. */
static plait_value disconnect(struct plait_deferred *d, void *arg)
{
	plait_connector_disconnect(arg);
	return plait_cancelled();
}

GROUP("connections", .setup = setup, .teardown = teardown);

TEST(connection_is_opened_read_written_and_closed, ON_EACH_BACKEND)
{
	struct actor a, b;
	struct plait_port *port;
	unsigned number;

	plait_trace_start(0);
	actor_init(&a);
	actor_init(&b);
	a.on_data = actor_echo;
	number = actor_listen(&a, reactor, &port);
	actor_connect(&b, reactor, number);
	run_until_count(reactor, &b.made, 1);
	plait_transport_write(b.transport, "hello", 5);
	while (b.received < 5)
		plait_reactor_iterate(reactor, 1);
	plait_transport_lose_connection(b.transport);
	actor_stop(reactor, &port);
	actor_wait_idle(&a, reactor);
	actor_wait_idle(&b, reactor);
	run_turns(reactor, 2);
	dump_at_last();
	ck_assert_uint_eq(count_of('b', "attempt"), 1);
	ck_assert_uint_eq(count_of('e', "attempt"), 1);
	ck_assert_uint_eq(count_of('b', "connection"), 2);
	ck_assert_uint_eq(count_of('e', "connection"), 2);
	ck_assert_uint_eq(count_of('i', "closing"), 1);
	ck_assert_uint_eq(count_of('i', "written"), 2);
	ck_assert_uint_eq(count("\"bytes\":5"), 4);
	ck_assert_uint_ge(count("\"address\":\"127.0.0.1:"), 3);
	ck_assert_uint_eq(count_of('s', "stops"), 0);
	ck_assert_uint_eq(count_of('f', "stops"), 0);
	ck_assert_uint_gt(count_of('B', "callback"), 0);
	ck_assert_uint_eq(count_of('B', "callback"), count_of('E', "callback"));
}

/* Connects as work for a deferred, waits for what, and cancels. */
static void cancel_connection(struct actor *b, unsigned number,
			      const unsigned *what)
{
	struct plait_deferred *d;
	struct plait_connector *c = actor_connect(b, reactor, number);

	d = plait_deferred_new(&answer, disconnect, c);
	if (what != NULL)
		run_until_count(reactor, what, 1);
	plait_deferred_free(&d);
	plait_promise_drop(&answer);
	actor_wait_idle(b, reactor);
	run_turns(reactor, 2);
}

static void assert_arrow(void)
{
	ck_assert_uint_eq(count_of('B', "cancel"), 1);
	ck_assert_uint_eq(count_of('s', "stops"), 1);
	ck_assert_uint_eq(count_of('X', "closed"), 1);
	ck_assert_uint_eq(count_of('f', "stops"), 1);
	ck_assert_uint_eq(count("\"bp\":\"e\",\"id\":1}"), 2);
}

TEST(arrow_goes_from_a_cancel_to_the_connection_it_closed, ON_EACH_BACKEND)
{
	struct actor a, b;
	struct plait_port *port;
	unsigned number;

	plait_trace_start(0);
	actor_init(&a);
	actor_init(&b);
	b.on_data = hear;
	number = actor_listen(&a, reactor, &port);
	cancel_connection(&b, number, &b.made);
	actor_stop(reactor, &port);
	actor_wait_idle(&a, reactor);
	run_turns(reactor, 2);
	dump_at_last();
	assert_arrow();
	ck_assert_uint_eq(count_of('i', "closing"), 1);
}

TEST(arrow_goes_to_an_attempt_that_was_stopped, ON_EACH_BACKEND)
{
	uint16_t number;
	int holder = peer_hold_port(&number);
	struct actor b;

	plait_trace_start(0);
	actor_init(&b);
	cancel_connection(&b, number, NULL);
	close(holder);
	dump_at_last();
	assert_arrow();
	ck_assert_uint_eq(count_of('i', "stopping"), 1);
	ck_assert_uint_eq(count_of('e', "attempt"), 1);
	ck_assert_uint_eq(count_of('b', "connection"), 0);
}

/* The same connector connects again, which nobody cancels. */
TEST(arrow_goes_to_no_later_attempt, ON_EACH_BACKEND)
{
	uint16_t number;
	int holder = peer_hold_port(&number);
	struct plait_connector *c;
	struct plait_deferred *d;
	struct actor b;

	plait_trace_start(0);
	actor_init(&b);
	c = plait_connector_ref(actor_connect(&b, reactor, number));
	d = plait_deferred_new(&answer, disconnect, c);
	plait_deferred_free(&d);
	plait_promise_drop(&answer);
	actor_wait_idle(&b, reactor);
	ck_assert_int_eq(plait_connector_connect(c), 0);
	actor_wait_idle(&b, reactor);
	plait_connector_unref(&c);
	close(holder);
	dump_at_last();
	ck_assert_uint_eq(count_of('e', "attempt"), 2);
	ck_assert_uint_eq(count_of('f', "stops"), 1);
}

static void record_cancel(void)
{
	trace_cancel_end(path, trace_cancel_begin(path, "where"));
}

TEST(arrow_whose_start_is_forgotten_is_none, PURE)
{
	plait_trace_start(2);
	record_cancel();
	trace_end(TRACE_CLOSED, text, 1);
	dump();
	ck_assert_uint_eq(count_of('e', "connection"), 1);
	ck_assert_uint_eq(count_of('f', "stops"), 0);

	/* A later one is there. */
	plait_trace_start(3);
	record_cancel();
	record_cancel();
	trace_end(TRACE_CLOSED, text, 1);
	dump();
	ck_assert_uint_eq(count_of('s', "stops"), 1);
	ck_assert_uint_eq(count_of('f', "stops"), 0);
	plait_trace_stop();
}

TEST(attempt_that_fails_by_itself_has_no_cause, ON_EACH_BACKEND)
{
	uint16_t number;
	int holder = peer_hold_port(&number);
	struct actor b;

	plait_trace_start(0);
	actor_init(&b);
	actor_connect(&b, reactor, number);
	actor_wait_idle(&b, reactor);
	close(holder);
	dump_at_last();
	ck_assert_uint_eq(count_of('e', "attempt"), 1);
	ck_assert_uint_eq(count_of('f', "stops"), 0);
}

/* ---- what can go wrong -------------------------------------------------- */

GROUP("faults", .setup = setup, .teardown = teardown);

TEST(no_memory_to_start_leaves_what_was, PURE)
{
	fault_alloc_at(0, false);
	ck_assert_int_eq(plait_trace_start(0), -ENOMEM);
	ck_assert_int_eq(plait_trace_dump(path), -EINVAL);
	ck_assert_int_eq(plait_trace_start(0), 0);
	fault_alloc_at(0, false);
	ck_assert_int_eq(plait_trace_start(0), -ENOMEM);
	fault_alloc_off();
	dump_at_last();
}

TEST(more_than_there_can_be_is_no_memory, PURE)
{
	ck_assert_int_eq(plait_trace_start(SIZE_MAX), -ENOMEM);
	ck_assert_int_eq(plait_trace_start(SIZE_MAX / 8), -ENOMEM);
}

static void record_and_dump(void)
{
	struct plait_deferred *d;
	int started = plait_trace_start(64);
	int r;

	d = plait_succeed(PLAIT_NONE);
	plait_deferred_free(&d);
	r = plait_trace_dump(path);
	ck_assert_int_eq(r == -EINVAL, started == -ENOMEM);
	ck_assert(r == 0 || r == -EINVAL || r == -ENOMEM);
	if (r == 0)
		assert_json(read_back());
	plait_trace_stop();
}

TEST(no_memory_anywhere, PURE)
{
	without_each_allocation(record_and_dump);
}

static void record_some(void)
{
	struct plait_deferred *d;

	plait_trace_start(0);
	for (int i = 0; i < 100; i++) {
		d = plait_succeed(PLAIT_NONE);
		plait_deferred_free(&d);
	}
}

TEST(file_that_cannot_be_opened, PURE)
{
	record_some();
	ck_assert_int_eq(plait_trace_dump("/nowhere/at/all"), -ENOENT);
	ck_assert_int_eq(plait_trace_dump("/"), -EISDIR);
	fault_call("open", 1, EMFILE);
	ck_assert_int_eq(plait_trace_dump(path), -EMFILE);
	dump_at_last();
}

TEST(file_that_cannot_be_written, PURE)
{
	record_some();
	fault_call("write", 1, ENOSPC);
	ck_assert_int_eq(plait_trace_dump(path), -ENOSPC);
	fault_call("close", 1, EIO);
	ck_assert_int_eq(plait_trace_dump(path), -EIO);
	fault_call("write", 1, ENOSPC);
	fault_call("close", 1, EIO);
	ck_assert_int_eq(plait_trace_dump(path), -ENOSPC);
	dump_at_last();
}

TEST(writing_goes_on_after_a_signal_and_a_piece, PURE)
{
	record_some();
	fault_call("write", 1, EINTR);
	fault_short("write", 5, 7);
	dump_at_last();
	ck_assert(fault_used("write"));
	ck_assert_uint_eq(count_of('b', "deferred"), 100);
}

/* ---- the environment ---------------------------------------------------- */

static void run_a_reactor(void *arg)
{
	struct plait_reactor *r;
	struct plait_deferred *d;

	setenv("PLAIT_TRACE", arg, 1);
	r = plait_reactor_new(NULL);
	d = plait_succeed(PLAIT_NONE);
	plait_deferred_free(&d);
	plait_reactor_free(&r);
	if (trace_is_on())
		abort();
}

GROUP("environment", .setup = setup, .teardown = teardown);

TEST(environment_names_the_file, PURE)
{
	const char *said;

	ck_assert_int_eq(child_run(run_a_reactor, path, &said), 0);
	ck_assert_str_eq(said, "");
	assert_json(read_back());
	ck_assert_uint_eq(count_of('b', "deferred"), 1);
}

TEST(environment_that_names_no_file_is_told, PURE)
{
	const char *said;
	char wrong[] = "/nowhere/at/all";

	ck_assert_int_eq(child_run(run_a_reactor, wrong, &said), 0);
	ck_assert_str_eq(said, "plait: PLAIT_TRACE: /nowhere/at/all: "
			       "No such file or directory\n");
}

/* What is not a file of ours alone, at a further path; 0 or errno. */
static char strange[80];

static int make_strange(int kind)
{
	int rc = -1;

	snprintf(strange, sizeof(strange), "%s-strange", path);
	switch (kind) {
	case 0:
		rc = symlink(path, strange);
		break;
	case 1:
		rc = link(path, strange);
		break;
	case 2:
		rc = mkfifo(strange, 0600);
		break;
	case 3:
		rc = mkdir(strange, 0700);
		break;
	case 4:
		snprintf(strange, sizeof(strange), "/dev/null");
		rc = 0;
		break;
	case 5: /* a link to nothing, which must not be made */
		rc = symlink("/tmp/plait-trace-nothing", strange);
		break;
	case 6:
		rc = mknod(strange, S_IFREG | 0666, 0);
		if (rc == 0)
			rc = chown(strange, 12345, 12345);
		break;
	}
	return rc == 0 ? 0 : errno;
}

enum { N_STRANGE = 7 };

TEST(environment_names_only_a_file_that_is_ours_alone, PURE, TIMES(N_STRANGE))
{
	FILE *f = fopen(path, "w");
	const char *said;
	int err;

	fputs("precious", f);
	fclose(f);
	err = make_strange(_i);
	if (err == 0) {
		ck_assert_int_eq(child_run(run_a_reactor, strange, &said), 0);
		ck_assert_msg(strncmp(said, "plait: PLAIT_TRACE: ", 20) == 0,
			      "%s", said);
	} else {
		/* Only root may give a file away. */
		ck_assert(_i == 6 && err == EPERM);
	}
	ck_assert_str_eq(read_back(), "precious");
	ck_assert(access("/tmp/plait-trace-nothing", F_OK) < 0);
	if (_i != 4 && (_i == 3 ? rmdir(strange) : unlink(strange)) < 0)
		ck_abort_msg("%s: %s", strange, strerror(errno));
}

TEST(environment_empties_the_file, PURE)
{
	FILE *f = fopen(path, "w");
	const char *said;

	for (int i = 0; i < 10000; i++)
		fputs("old ", f);
	fclose(f);
	ck_assert_int_eq(child_run(run_a_reactor, path, &said), 0);
	assert_json(read_back());
}

static const char *const failing[] = { "fstat", "ftruncate", "write" };

static void run_and_fail(void *arg)
{
	struct plait_reactor *r;

	setenv("PLAIT_TRACE", path, 1);
	r = plait_reactor_new(NULL);
	fault_call(arg, 1, EIO);
	plait_reactor_free(&r);
}

TEST(environment_whose_file_fails_is_told, PURE, TIMES(3))
{
	const char *said;
	char name[16], line[128];

	snprintf(name, sizeof(name), "%s", failing[_i]);
	snprintf(line, sizeof(line), "plait: PLAIT_TRACE: %s: %s\n", path,
		 strerror(EIO));
	ck_assert_int_eq(child_run(run_and_fail, name, &said), 0);
	ck_assert_str_eq(said, line);
}

static void must_be_there(const char *name)
{
	if (unlink(name) < 0)
		abort();
}

static void name_the_process(void *arg)
{
	char name[128];

	snprintf(name, sizeof(name), "%s-%%p-%%p.json%%", path);
	run_a_reactor(name);
	snprintf(name, sizeof(name), "%s-%d-%d.json%%", path, (int)getpid(),
		 (int)getpid());
	must_be_there(name);
}

TEST(environment_may_name_the_process, PURE)
{
	const char *said;

	ck_assert_int_eq(child_run(name_the_process, NULL, &said), 0);
	ck_assert_str_eq(said, "");
}

/* One after the other, and two at once, in the order in which they began. */
static void run_four(void *arg)
{
	struct plait_reactor *r, *inner;
	char name[80];

	run_a_reactor(arg);
	run_a_reactor(arg);
	r = plait_reactor_new(NULL);
	inner = plait_reactor_new(NULL);
	plait_reactor_free(&inner);
	plait_reactor_free(&r);
	for (int i = 2; i <= 4; i++) {
		snprintf(name, sizeof(name), "%s.%d", path, i);
		must_be_there(name);
	}
}

TEST(later_reactors_write_files_of_their_own, PURE)
{
	const char *said;

	ck_assert_int_eq(child_run(run_four, path, &said), 0);
	ck_assert_str_eq(said, "");
	assert_json(read_back());
	ck_assert_uint_eq(count_of('b', "deferred"), 1);
}

static void run_two_reactors(void *arg)
{
	struct plait_reactor *r;

	setenv("PLAIT_TRACE", arg, 1);
	r = plait_reactor_new(NULL);
	run_a_reactor(arg);
	plait_reactor_free(&r);
}

/* The first to go must not end what the other still records. */
static void run_one_inside_another(void *arg)
{
	struct plait_reactor *r, *inner;
	struct plait_deferred *d;

	setenv("PLAIT_TRACE", arg, 1);
	r = plait_reactor_new(NULL);
	inner = plait_reactor_new(NULL);
	plait_reactor_free(&inner);
	d = plait_succeed(PLAIT_NONE);
	plait_deferred_free(&d);
	plait_reactor_free(&r);
	if (trace_is_on())
		abort();
}

TEST(second_reactor_of_a_thread_shares_the_trace, PURE)
{
	const char *said;

	child_run(run_two_reactors, path, &said);
	ck_assert_int_eq(child_run(run_one_inside_another, path, &said), 0);
	assert_json(read_back());
	ck_assert_uint_eq(count_of('b', "deferred"), 1);
}

static void trace_by_hand(void *arg)
{
	struct plait_reactor *r;

	if (plait_trace_start(0) != 0)
		abort();
	setenv("PLAIT_TRACE", arg, 1);
	r = plait_reactor_new(NULL);
	plait_reactor_free(&r);
	if (!trace_is_on())
		abort();
	plait_trace_stop();
}

TEST(environment_does_not_end_what_the_program_began, PURE)
{
	const char *said;

	ck_assert_int_eq(child_run(trace_by_hand, path, &said), 0);
	assert_json(read_back());
}

static void trace_by_hand_later(void *arg)
{
	struct plait_reactor *r;

	setenv("PLAIT_TRACE", arg, 1);
	r = plait_reactor_new(NULL);
	plait_reactor_free(&r);
	plait_trace_start(0);
	r = plait_reactor_new(NULL);
	plait_reactor_free(&r);
	_exit(plait_trace_dump(arg) != 0);
}

/* Also if an earlier reactor has begun and ended a trace for the file. */
TEST(environment_does_not_end_what_the_program_began_later, PURE)
{
	const char *said;

	ck_assert_int_eq(child_run(trace_by_hand_later, path, &said), 0);
	assert_json(read_back());
}

static void free_in_a_fork(void *arg)
{
	struct plait_reactor *r;
	pid_t pid;

	setenv("PLAIT_TRACE", arg, 1);
	r = plait_reactor_new(NULL);
	pid = fork();
	if (pid == 0) {
		plait_reactor_free(&r);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	_exit(0);
}

TEST(forked_child_writes_nothing, PURE)
{
	const char *said;

	ck_assert_int_eq(child_run(free_in_a_fork, path, &said), 0);
	ck_assert_str_eq(read_back(), "");
}

static void start_without_memory(void *arg)
{
	struct plait_reactor *r;

	setenv("PLAIT_TRACE", arg, 1);
	for (unsigned long n = 0; n < 20; n++) {
		fault_alloc_at(n, false);
		r = plait_reactor_new(NULL);
		fault_alloc_off();
		if (r != NULL && !trace_is_on())
			break;
		plait_reactor_free(&r);
	}
	if (r == NULL)
		abort();
	plait_reactor_free(&r);
}

TEST(reactor_without_memory_for_a_trace_goes_untraced, PURE)
{
	const char *said;

	ck_assert_int_eq(child_run(start_without_memory, path, &said), 0);
}
