/*
 * Connections under programs that a fuzzer writes: see dialogue.h.  Each two
 * bytes are one choice.  What is left in memory, LeakSanitizer finds.
 */
#include "tests/dialogue.h"
#include "tests/fuzz.h"

enum { MAX_STEPS = 200 };

static struct fuzz input;

static unsigned choose(unsigned n)
{
	unsigned high = fuzz_byte(&input);

	return (high << 8 | fuzz_byte(&input)) % n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	input = (struct fuzz){ data, size };
	dialogue_run(size % 2 ? "epoll" : "select", choose,
		     size < MAX_STEPS ? (unsigned)size : MAX_STEPS);
	return 0;
}
