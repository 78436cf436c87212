/*
 * Programs of all objects that a fuzzer writes: see machine.h.  The first byte
 * chooses the reactor, each other one is a choice.  What is left in memory,
 * LeakSanitizer finds.
 */
#include <plait/plait.h>

#include "tests/fuzz.h"
#include "tests/machine.h"

enum { MAX_STEPS = 300 };

static struct fuzz input;

static unsigned choose(unsigned n)
{
	return fuzz_byte(&input) % n;
}

/* The programs fail all the time, and nobody handles it. */
static void ignore(const struct plait_failure *why, void *arg)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const backends[] = { NULL, NULL, "epoll", "select" };
	struct machine_world world = { .choose = choose };
	unsigned i;

	plait_set_unhandled_hook(ignore, NULL);
	input = (struct fuzz){ data, size };
	i = choose(4);
	world.backend = backends[i];
	world.fakes_inside = i == 1;
	machine_run(&world, size < MAX_STEPS ? (unsigned)size : MAX_STEPS);
	plait_assert(plait_deferred_report_pending() == 0);
	return 0;
}
