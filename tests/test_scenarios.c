/*
 * All scenarios, with many seeds.  A seed decides which of them it runs.
 *
 *	PLAIT_SEEDS=20000 build/tests/test_scenarios	that many seeds
 *	PLAIT_SEED=4711 build/tests/test_scenarios	this seed alone
 *
 * With PLAIT_SCENARIO=NAME each seed runs that scenario.
 *
 * With PLAIT_DIGESTS=FILE a line for each seed goes to FILE: the seed, its
 * digest and the scenario.  The files of two builds must be equal
 * (scripts/check-digests).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/chance.h"
#include "tests/harness.h"
#include "tests/scenario.h"

enum {
	SEEDS = 400,
	ENOUGH = 5000 /* runs to have seen everything that is rare */
};

/* NULL: the seed chooses. */
static const struct scenario *scenario_wished(void)
{
	const char *name = getenv("PLAIT_SCENARIO");
	const struct scenario *s = name != NULL ? scenario_first() : NULL;

	while (s != NULL && strcmp(s->name, name) != 0)
		s = s->next;
	ck_assert_msg(name == NULL || s != NULL, "no scenario %s", name);
	return s;
}

static const struct scenario *scenario_of(uint64_t seed)
{
	const struct scenario *s = scenario_wished();

	if (s != NULL)
		return s;
	s = scenario_first();
	for (uint64_t n = seed % scenario_count(); n > 0; n--)
		s = s->next;
	return s;
}

/* Some seeds are run twice, and have one line. */
static void note_digest(const struct plait_simulation *s, const char *name,
			FILE *digests)
{
	static uint64_t noted = UINT64_MAX;
	uint64_t seed = plait_simulation_seed(s);

	if (seed != noted)
		fprintf(digests, "%" PRIu64 " %016" PRIx64 " %s\n", seed,
			plait_simulation_digest(s), name);
	noted = seed;
}

static void run_seed(struct plait_simulation *s, void *digests)
{
	const struct scenario *chosen = scenario_of(plait_simulation_seed(s));

	scenario_run(chosen, s);
	if (plait_simulation_failure(s) != NULL)
		fprintf(stderr, "%s:\n", chosen->name);
	else if (digests != NULL)
		note_digest(s, chosen->name, digests);
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

GROUP("scenarios", .timeout = 3600);

TEST(scenarios_hold_with_each_seed_and_see_what_is_rare, PURE)
{
	const char *file = getenv("PLAIT_DIGESTS");
	FILE *digests = file != NULL ? fopen(file, "w") : NULL;
	struct plait_check_report report;
	int rc;

	if (digests != NULL)
		setvbuf(digests, NULL, _IOLBF, 0);
	rc = plait_check_seeds(run_seed, digests, 0, SEEDS, &report);
	ck_assert_msg(rc == 0, "seed %" PRIu64 ": %s", report.seed,
		      report.text);
	if (digests != NULL)
		fclose(digests);
	if (report.runs >= ENOUGH && scenario_wished() == NULL)
		ck_assert_uint_eq(places_missed(), 0);
	unhandled_expect(unhandled_count());
}
