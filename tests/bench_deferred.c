/*
 * What a deferred costs: made, given two callbacks, fired and freed; next to
 * what malloc and free of 200 bytes cost on the same machine, because that is
 * the yardstick.  Takes the best of several rounds: the others tell of what
 * else the machine did.
 *
 * With a count as argument it only makes that many deferreds, for
 * `valgrind --tool=callgrind build/tests/bench_deferred 100000`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <plait/plait.h>

enum { ROUNDS = 10, ROUND = 200000, YARDSTICK = 200 };

static plait_value increase(plait_value *result, void *arg)
{
	return plait_int(plait_value_int(result) + 1);
}

static void use_deferreds(long n)
{
	struct plait_promise *p;
	struct plait_deferred *d;

	while (n-- > 0) {
		d = plait_deferred_new(&p, NULL, NULL);
		plait_deferred_add_callback(d, increase, NULL);
		plait_deferred_add_callback(d, increase, NULL);
		plait_fire(&p, plait_int(n));
		plait_deferred_free(&d);
	}
}

/* Through a volatile pointer, or the compiler would leave both out. */
static void use_malloc(long n)
{
	void *volatile block;

	while (n-- > 0) {
		block = malloc(YARDSTICK);
		free(block);
	}
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* Nanoseconds for one, in the best round. */
static double measure(void (*use)(long n))
{
	double best = 0, start, each;

	for (int i = 0; i < ROUNDS; i++) {
		start = now();
		use(ROUND);
		each = (now() - start) / ROUND;
		if (i == 0 || each < best)
			best = each;
	}
	return best;
}

int main(int argc, char **argv)
{
	double deferred, yardstick;

	if (argc > 1) {
		use_deferreds(atol(argv[1]));
		return 0;
	}
	yardstick = measure(use_malloc);
	deferred = measure(use_deferreds);
	printf("malloc and free of %d bytes: %.1f ns\n", YARDSTICK, yardstick);
	printf("deferred with two callbacks, fired and freed: %.1f ns\n",
	       deferred);
	printf("ratio: %.1f\n", deferred / yardstick);
	return 0;
}
