/*
 * All scenarios, with many seeds.  A seed decides which of them it runs.
 *
 *	PLAIT_SEEDS=20000 build/tests/test_scenarios	that many seeds
 *	PLAIT_SEED=4711 build/tests/test_scenarios	this seed alone
 *
 * With PLAIT_DIGESTS=FILE a line for each seed goes to FILE: the seed, its
 * digest and the scenario.  The files of two builds must be equal
 * (scripts/check-digests).
 */
#include <inttypes.h>
#include <stdio.h>

#include "lib/chance.h"
#include "tests/harness.h"
#include "tests/scenario.h"

enum {
	SEEDS = 400,
	ENOUGH = 5000, /* seeds to have seen everything that is rare */
	TWICE = 100    /* one in so many is run again, and is to be the same */
};

static uint64_t seed;

static const struct scenario *scenario_of_seed(void)
{
	const struct scenario *s = scenario_first();

	for (uint64_t n = seed % scenario_count(); n > 0; n--)
		s = s->next;
	return s;
}

static void say(const char *what)
{
	fprintf(stderr, "%s: %s\nPLAIT_SEED=%" PRIu64 " repeats it\n",
		scenario_of_seed()->name, what, seed);
}

static void say_signal(int number)
{
	say("the process ends by a signal");
	signal(number, SIG_DFL);
	raise(number);
}

/* Returns the digest. */
static uint64_t run_seed(void)
{
	struct plait_simulation *s = plait_simulation_new(seed, NULL);
	uint64_t digest;

	ck_assert(s != NULL);
	scenario_run(scenario_of_seed(), s);
	if (plait_simulation_failure(s) != NULL) {
		say(plait_simulation_failure(s));
		ck_abort_msg("seed %" PRIu64, seed);
	}
	digest = plait_simulation_digest(s);
	plait_simulation_free(&s);
	return digest;
}

/* What has never happened, although it should have: REACHED(). */
static unsigned places_missed(void)
{
	extern struct chance_place *const __start_plait_i_places[];
	extern struct chance_place *const __stop_plait_i_places[];
	unsigned n = 0;

	for (struct chance_place *const *p = __start_plait_i_places;
	     p < __stop_plait_i_places; p++) {
		if ((*p)->reached > 0)
			continue;
		fprintf(stderr, "never: %s (%s)\n", (*p)->what, (*p)->where);
		n++;
	}
	return n;
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}

static void run_seeds(uint64_t count, FILE *digests)
{
	for (; count > 0; count--, seed++) {
		uint64_t digest = run_seed();

		if (seed % TWICE == 0 && run_seed() != digest)
			ck_abort_msg("seed %" PRIu64 " is not the same twice",
				     seed);
		if (digests != NULL)
			fprintf(digests, "%" PRIu64 " %016" PRIx64 " %s\n",
				seed, digest, scenario_of_seed()->name);
	}
}

GROUP("scenarios", .timeout = 3600);

TEST(scenarios_hold_with_each_seed_and_see_what_is_rare, PURE)
{
	const char *file = getenv("PLAIT_DIGESTS");
	FILE *digests = file != NULL ? fopen(file, "w") : NULL;
	bool is_alone = getenv("PLAIT_SEED") != NULL;
	uint64_t count = is_alone ? 1 : from_environment("PLAIT_SEEDS", SEEDS);

	if (digests != NULL)
		setvbuf(digests, NULL, _IOLBF, 0);
	signal(SIGABRT, say_signal);
	signal(SIGSEGV, say_signal);
	seed = from_environment("PLAIT_SEED", 0);
	run_seeds(count, digests);
	if (digests != NULL)
		fclose(digests);
	if (count >= ENOUGH)
		ck_assert_uint_eq(places_missed(), 0);
	unhandled_expect(unhandled_count());
}
