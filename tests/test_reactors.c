/*
 * Several reactors in one thread, which take turns: each has its own clock,
 * its own descriptors and its own deferreds, and none gets anything of
 * another's.
 */
#include <pthread.h>
#include <sys/eventfd.h>

#include <plait/debug.h>
#include <plait/testing.h>

#include "tests/harness.h"

/* ---- deferreds ----------------------------------------------------------- */

/* A deferred that a reactor makes in a turn. */
struct made {
	const char *where;
	struct plait_deferred *d;
	struct plait_promise *promise;
};

static void make(void *arg)
{
	struct made *m = arg;

	m->d = (plait_deferred_new)(&m->promise, NULL, NULL, m->where);
}

static void make_in_turn_of(struct plait_reactor *r, struct made *m)
{
	plait_call_later(r, 0, make, m);
	while (m->d == NULL)
		plait_reactor_iterate(r, 0);
}

static void end(struct made *m)
{
	plait_deferred_free(&m->d);
	plait_promise_drop(&m->promise);
}

static char text[4096];

static const char *dump(void)
{
	struct plait_buf *b = plait_buf_new(PLAIT_BUF_UNBOUNDED);

	ck_assert_int_eq(plait_deferred_dump(b), 0);
	snprintf(text, sizeof(text), "%.*s", (int)plait_buf_size(b),
		 (const char *)plait_buf_data(b));
	plait_buf_unref(&b);
	return text;
}

static void dump_in_turn(void *arg)
{
	dump();
}

static const char *dump_in_turn_of(struct plait_reactor *r)
{
	text[0] = '\0';
	plait_call_later(r, 0, dump_in_turn, NULL);
	while (text[0] == '\0')
		plait_reactor_iterate(r, 0);
	return text;
}

GROUP("ages");

TEST(each_tells_ages_by_its_own_clock, PURE)
{
	struct plait_reactor *r[2] = { plait_testing_reactor_new(),
				       plait_testing_reactor_new() };
	struct made a = { .where = "a" }, b = { .where = "b" };

	plait_testing_advance(r[1], 1000);
	make_in_turn_of(r[0], &a);
	make_in_turn_of(r[1], &b);
	for (int i = 0; i < 3; i++) {
		plait_testing_advance(r[0], 1);
		plait_testing_advance(r[1], 10);
	}
	dump_in_turn_of(r[0]);
	ck_assert_ptr_nonnull(strstr(text, "made at a, age 3.000 s"));
	ck_assert_ptr_nonnull(strstr(text, "made at b, age unknown"));
	dump_in_turn_of(r[1]);
	ck_assert_ptr_nonnull(strstr(text, "made at a, age unknown"));
	ck_assert_ptr_nonnull(strstr(text, "made at b, age 30.000 s"));
	end(&a);
	end(&b);
	plait_reactor_free(&r[0]);
	plait_reactor_free(&r[1]);
}

TEST(those_on_descriptors_have_the_same_clock, ON_EACH_KERNEL)
{
	struct plait_reactor *other = test_reactor_new();
	struct made m = { .where = "a" };

	clock_virtual(true);
	make_in_turn_of(reactor, &m);
	clock_advance(3);
	dump_in_turn_of(other);
	ck_assert_ptr_nonnull(strstr(text, "made at a, age 3.000 s"));
	end(&m);
	plait_reactor_free(&other);
}

struct inner {
	struct plait_reactor *r;
	struct made before, inside, after;
};

static void turn_another(void *arg)
{
	struct inner *in = arg;

	make(&in->before);
	make_in_turn_of(in->r, &in->inside);
	make(&in->after);
}

TEST(a_turn_in_a_callback_of_another_gives_the_clock_back, PURE)
{
	struct plait_reactor *r = plait_testing_reactor_new();
	struct inner in = { plait_reactor_new(NULL),
			    { .where = "before" },
			    { .where = "inside" },
			    { .where = "after" } };

	plait_testing_advance(r, 1);
	plait_call_later(r, 1, turn_another, &in);
	plait_testing_advance(r, 1);
	plait_testing_advance(r, 5);
	dump_in_turn_of(r);
	ck_assert_ptr_nonnull(strstr(text, "made at before, age 5.000 s"));
	ck_assert_ptr_nonnull(strstr(text, "made at inside, age unknown"));
	ck_assert_ptr_nonnull(strstr(text, "made at after, age 5.000 s"));
	end(&in.before);
	end(&in.inside);
	end(&in.after);
	plait_reactor_free(&in.r);
	plait_reactor_free(&r);
}

static void advance_another(void *arg)
{
	struct inner *in = arg;

	plait_testing_advance(in->r, 100);
	make(&in->after);
}

TEST(a_clock_that_is_moved_in_a_callback_of_another_is_not_lent, PURE)
{
	struct plait_reactor *r = plait_testing_reactor_new();
	struct inner in = { .r = plait_testing_reactor_new(),
			    .after = { .where = "after" } };

	plait_call_later(r, 1, advance_another, &in);
	plait_testing_advance(r, 1);
	plait_testing_advance(r, 5);
	ck_assert_ptr_nonnull(strstr(dump(), "made at after, age 5.000 s"));
	end(&in.after);
	plait_reactor_free(&in.r);
	plait_reactor_free(&r);
}

GROUP("what never ended");

TEST(what_another_has_made_is_not_reported, ON_EACH_REACTOR)
{
	struct plait_reactor *other = plait_testing_reactor_new();
	struct made m = { .where = "a" }, outside = { .where = "b" };

	make_in_turn_of(other, &m);
	make(&outside);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(unhandled_count(), 0);
	end(&m);
	end(&outside);
	plait_reactor_free(&other);
}

TEST(what_one_has_made_is_reported_when_it_is_freed, ON_EACH_REACTOR)
{
	struct plait_reactor *other = plait_testing_reactor_new();
	struct made m = { .where = "a" };

	make_in_turn_of(reactor, &m);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(unhandled_count(), 1);
	ck_assert_ptr_nonnull(strstr(unhandled_text(), "promise made at a"));
	unhandled_expect(1);
	end(&m);
	plait_reactor_free(&other);
}

TEST(the_last_one_reports_all_that_is_left, ON_EACH_REACTOR)
{
	struct plait_reactor *other = plait_testing_reactor_new();
	struct made m = { .where = "a" };

	make(&m);
	plait_reactor_free(&other);
	ck_assert_uint_eq(unhandled_count(), 0);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(unhandled_count(), 1);
	unhandled_expect(1);
	end(&m);
}

static void *free_it(void *arg)
{
	plait_reactor_free(arg);
	return NULL;
}

TEST(one_that_another_thread_has_freed_is_none_any_more, ON_EACH_REACTOR)
{
	struct plait_reactor *other = plait_testing_reactor_new();
	struct made m = { .where = "a" };
	pthread_t thread;

	make(&m);
	ck_assert_int_eq(pthread_create(&thread, NULL, free_it, &other), 0);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(unhandled_count(), 0);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(unhandled_count(), 1);
	unhandled_expect(1);
	end(&m);
}

/* ---- events -------------------------------------------------------------- */

struct ear {
	struct plait_reactor *r;
	struct plait_watch watch;
	struct plait_timer timer;
	unsigned heard, due, called;
};

static void ear_hears(struct plait_watch *w, unsigned events)
{
	plait_container(w, struct ear, watch)->heard++;
}

static void ear_is_due(void *arg)
{
	struct ear *e = arg;

	e->due++;
	plait_timer_start(e->r, &e->timer, 1, ear_is_due, e);
}

static void ear_is_called(void *arg)
{
	((struct ear *)arg)->called++;
}

GROUP("taking turns");

TEST(each_gets_its_own_events_timers_and_calls, ON_EACH_BACKEND)
{
	struct ear ears[2] = { { .r = reactor }, { .r = test_reactor_new() } };
	int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

	clock_virtual(true);
	for (int i = 0; i < 2; i++) {
		struct ear *e = &ears[i];

		/* The same number in both. */
		ck_assert_int_eq(plait_watch_start(e->r, &e->watch, fd,
						   PLAIT_WATCH_READ, ear_hears),
				 0);
		plait_timer_start(e->r, &e->timer, 1, ear_is_due, e);
	}
	for (unsigned turn = 1; turn <= 3; turn++) {
		clock_advance(1);
		for (int i = 0; i < 2; i++) {
			struct ear *e = &ears[i], *other = &ears[1 - i];

			ck_assert_int_eq(
				plait_call_from_thread(e->r, ear_is_called, e),
				0);
			ck_assert_int_eq(plait_reactor_iterate(e->r, 0), 0);
			ck_assert_uint_eq(e->heard, turn);
			ck_assert_uint_eq(e->due, turn);
			ck_assert_uint_eq(e->called, turn);
			ck_assert_uint_eq(other->heard, turn - (i == 0));
			ck_assert_uint_eq(other->due, turn - (i == 0));
		}
	}
	for (int i = 0; i < 2; i++) {
		plait_watch_stop(&ears[i].watch);
		plait_timer_stop(&ears[i].timer);
	}
	close(fd);
	plait_reactor_free(&ears[1].r);
}
