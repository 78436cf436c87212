/*
 * Races of happy eyeballs that a fuzzer writes: see race.h.  Each byte is a
 * choice.
 */
#include "tests/fuzz.h"
#include "tests/race.h"

static struct fuzz input;

static unsigned choose(unsigned n)
{
	return fuzz_byte(&input) % n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { MAX_STEPS = 1000 };

	input = (struct fuzz){ data, size };
	race_run(choose, size < MAX_STEPS ? (unsigned)size : MAX_STEPS);
	return 0;
}
