/*
 * Connections under random programs: see dialogue.h.  $PLAIT_SEEDS says how
 * many to run; a failure names its seed.
 */
#include <signal.h>
#include <stdio.h>

#include "tests/dialogue.h"
#include "tests/harness.h"

enum { STEPS = 150 };

static uint32_t state;

static unsigned chance(unsigned n)
{
	state = state * 1664525 + 1013904223;
	return (state >> 8) % n;
}

/* The kernel takes all; or little at a time, and every other time nothing. */
enum kernel { GENEROUS, MEAN, MOODY, N_KERNELS };

static void refuse_often(void *arg)
{
	static const char *const calls[] = { "send", "sendmsg" };

	for (int i = 0; i < 2; i++)
		if (fault_used(calls[i]) && chance(2) == 0)
			fault_call(calls[i], 1, EAGAIN);
}

static void set_kernel(enum kernel k)
{
	fault_off();
	if (k == MEAN) {
		fault_short_forever("send", 1 + chance(2000));
		fault_short_forever("sendmsg", 1 + chance(2000));
		fault_short_forever("recv", 1 + chance(5000));
	} else if (k == MOODY) {
		call_hook("send", refuse_often, NULL);
		call_hook("sendmsg", refuse_often, NULL);
	}
}

static unsigned seeds(void)
{
	const char *n = getenv("PLAIT_SEEDS");

	return n != NULL ? (unsigned)atoi(n) : 100;
}

static uint32_t running;

static void tell_seed(int sig)
{
	dprintf(STDERR_FILENO, "dialogue %u\n", running);
	signal(SIGABRT, SIG_DFL);
	abort();
}

static void run_seed(uint32_t seed, enum kernel k)
{
	unsigned long mark = heap_mark();

	state = running = seed;
	set_kernel(k);
	dialogue_run(backend, chance, STEPS);
	ck_assert_msg(heap_left_since(mark, stderr) == 0,
		      "memory left by dialogue %u", seed);
}

GROUP("random", .timeout = 60);

TEST(random_peers_get_what_was_sent_and_one_end_each, ON_EACH_BACKEND,
     TIMES(N_KERNELS))
{
	signal(SIGABRT, tell_seed);
	for (uint32_t i = 0; i < seeds(); i++)
		run_seed((uint32_t)_i * 1000000 + i, (enum kernel)_i);
	fault_off();
	unhandled_expect(unhandled_count());
}
