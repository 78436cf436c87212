/*
 * Deferreds under programs that a fuzzer writes: see tangle.h.  Each byte is
 * one choice.  What is left in memory, LeakSanitizer finds.
 */
#include <plait/deferred.h>

#include "tests/fuzz.h"
#include "tests/tangle.h"

enum { MAX_STEPS = 200 };

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
	plait_set_unhandled_hook(ignore, NULL);
	input = (struct fuzz){ data, size };
	tangle_run(choose, size < MAX_STEPS ? (unsigned)size : MAX_STEPS);
	plait_assert(plait_deferred_report_pending() == 0);
	return 0;
}
