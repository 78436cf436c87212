/*
 * Chance: one source of it, the reactor's kernel, and the marks that a
 * simulation acts on.
 */
#include <sys/wait.h>

#include <plait/testing.h>

#include "lib/chance.h"
#include "tests/harness.h"

GROUP("random bits");

TEST(random_bits_differ_each_time, ON_EACH_REACTOR)
{
	uint64_t first = plait_reactor_random(reactor);

	for (int i = 0; i < 100; i++)
		ck_assert(plait_reactor_random(reactor) != first);
}

/* The numbers are those that are published for splitmix64. */
TEST(those_of_a_testing_reactor_are_the_same_each_time, PURE, TIMES(2))
{
	struct plait_reactor *r = plait_testing_reactor_new();

	ck_assert_uint_eq(plait_reactor_random(r), 0xe220a8397b1dcdaf);
	ck_assert_uint_eq(plait_reactor_random(r), 0x6e789e6aa1b965f4);
	ck_assert_uint_eq(plait_reactor_random(r), 0x06c45d188009454f);
	plait_reactor_free(&r);
}

static const int refusals[] = { ENOSYS, EAGAIN, EINTR, EPERM };

TEST(a_system_without_randomness_leaves_it_to_the_clock, ON_EACH_BACKEND,
     EACH_OF(refusals))
{
	struct plait_reactor *other = plait_reactor_new(NULL);
	uint64_t bits;

	fault_call_forever("getrandom", refusals[_i]);
	bits = plait_reactor_random(reactor);
	ck_assert(plait_reactor_random(reactor) != bits);
	ck_assert(plait_reactor_random(other) != bits);
	plait_reactor_free(&other);
}

TEST(a_system_that_is_booting_gives_the_randomness_that_it_has, ON_EACH_BACKEND)
{
	fault_call("getrandom", 1, EAGAIN);
	calls_reset();
	plait_reactor_random(reactor);
	ck_assert_uint_eq(calls_of("getrandom"), 2);
	ck_assert_uint_eq(calls_of("clock_gettime"), 0);
}

TEST(without_randomness_a_fork_still_draws_something_else, ON_EACH_BACKEND)
{
	uint64_t bits, theirs = 0;
	int fds[2], status;
	pid_t child;

	fault_call_forever("getrandom", ENOSYS);
	ck_assert_int_eq(pipe(fds), 0);
	plait_reactor_random(reactor);
	child = fork();
	bits = plait_reactor_random(reactor);
	if (child == 0) {
		ck_assert(write(fds[1], &bits, sizeof(bits)) == sizeof(bits));
		_exit(0);
	}
	ck_assert(read(fds[0], &theirs, sizeof(theirs)) == sizeof(theirs));
	ck_assert(theirs != bits);
	waitpid(child, &status, 0);
	close(fds[0]);
	close(fds[1]);
}

TEST(backoffs_of_two_testing_reactors_move_in_step, PURE)
{
	struct plait_reactor *r[2] = { plait_testing_reactor_new(),
				       plait_testing_reactor_new() };
	struct plait_backoff b[2] = { { .factor = 2 }, { .factor = 2 } };

	plait_testing_advance(r[1], 17);
	for (int i = 0; i < 5; i++)
		ck_assert_double_eq(plait_backoff_next(&b[0], r[0]),
				    plait_backoff_next(&b[1], r[1]));
	plait_reactor_free(&r[0]);
	plait_reactor_free(&r[1]);
}

/* ---- marks ---------------------------------------------------------- */

/* A simulation of the test's own, which writes down what it is told. */
struct written {
	struct chance_hook base;
	double probability;
	bool condition;
	const char *what, *where;
};

static bool written_maybe(struct chance_hook *h, double probability,
			  const char *where)
{
	struct written *w = plait_self(h, struct written);

	w->probability = probability;
	w->where = where;
	return true;
}

static bool written_never(struct chance_hook *h, double probability,
			  const char *where)
{
	return false;
}

static void written_sometimes(struct chance_hook *h, bool condition,
			      const char *what, const char *where)
{
	struct written *w = plait_self(h, struct written);

	w->condition = condition;
	w->what = what;
	w->where = where;
}

static bool yes(unsigned *asked)
{
	++*asked;
	return true;
}

GROUP("marks");

TEST(outside_of_a_simulation_nothing_is_provoked, PURE)
{
	for (int i = 0; i < 100; i++)
		ck_assert(!PLAIT_MAYBE(1));
}

TEST(a_mark_gives_its_condition_back_evaluated_once, PURE)
{
	unsigned asked = 0;

	ck_assert(PLAIT_SOMETIMES(yes(&asked)));
	ck_assert_uint_eq(asked, 1);
	ck_assert(!PLAIT_SOMETIMES(!yes(&asked)));
	ck_assert_uint_eq(asked, 2);
}

TEST(a_simulation_hears_of_each_mark_and_where_it_is, PURE)
{
	struct written w = { .base = { written_maybe, written_sometimes } };
	const char *here;

	plait_i_chance_hook = &w.base;
	/* clang-format off */
	here = PLAIT_HERE; ck_assert(PLAIT_MAYBE(0.25));
	/* clang-format on */
	ck_assert_double_eq(w.probability, 0.25);
	ck_assert_str_eq(w.where, here);
	ck_assert(PLAIT_SOMETIMES(w.probability > 0));
	ck_assert(w.condition);
	ck_assert_str_eq(w.what, "w.probability > 0");
	ck_assert(!plait_sometimes(false, "by name", "elsewhere:1"));
	ck_assert(!w.condition);
	ck_assert_str_eq(w.what, "by name");
	ck_assert_str_eq(w.where, "elsewhere:1");
	plait_i_chance_hook = NULL;
}

GROUP("places of the library");

/* They are in a section of their own; the linker knows where it is. */
extern struct chance_place *const __start_plait_i_places[];
extern struct chance_place *const __stop_plait_i_places[];

static const struct chance_place *place_named(const char *what)
{
	for (struct chance_place *const *p = __start_plait_i_places;
	     p < __stop_plait_i_places; p++) {
		if (strcmp((*p)->what, what) == 0)
			return *p;
	}
	ck_abort_msg("no place is called \"%s\"", what);
	return NULL;
}

TEST(a_place_counts_how_often_simulations_reach_it, PURE, TIMES(2))
{
	const struct chance_place *place = place_named("a timer was put off");
	struct written w = { .base = { written_never, written_sometimes } };
	struct plait_reactor *r = plait_testing_reactor_new();
	struct plait_timer t = { 0 };
	unsigned n = 0;

	plait_i_chance_hook = _i == 1 ? &w.base : NULL;
	plait_timer_start(r, &t, 1, call_count, &n);
	plait_timer_start(r, &t, 2, call_count, &n);
	plait_testing_advance(r, 2);
	plait_i_chance_hook = NULL;
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(place->reached, (unsigned)_i);
	plait_reactor_free(&r);
}

/* Each has a name of its own, by which a report calls it. */
TEST(no_two_places_have_one_name, PURE)
{
	for (struct chance_place *const *p = __start_plait_i_places;
	     p < __stop_plait_i_places; p++)
		ck_assert_ptr_eq(place_named((*p)->what), *p);
}

/* More timers than are due in one turn, when chance ends the turn's share. */
TEST(a_turn_may_end_its_share_early_in_a_simulation, PURE)
{
	struct written w = { .base = { written_maybe, written_sometimes } };
	struct plait_reactor *r = plait_testing_reactor_new();
	struct plait_timer t[3] = { { 0 } };
	unsigned n = 0;

	for (int i = 0; i < 3; i++)
		plait_timer_start(r, &t[i], 0, call_count, &n);
	plait_i_chance_hook = &w.base;
	for (unsigned i = 1; i <= 3; i++) {
		plait_reactor_iterate(r, 0);
		ck_assert_uint_eq(n, i);
	}
	plait_i_chance_hook = NULL;
	plait_reactor_free(&r);
}
