/*
 * Receivers under input that a fuzzer writes.  Whatever comes, and whatever
 * the messages in it make the receiver do (receivers.h), the events are the
 * same in the chunks of the input, in single bytes, and in chunks as large as
 * can be.
 *
 *	byte 0	the kind of receiver
 *	byte 1	max_length; 0: the default
 *	byte 2	bits 0 and 1: the delimiter; bit 2: lines may be too long
 *	then	the length of a chunk and its bytes; length 0: a resume
 */
#include <string.h>

#include <plait/testing.h>

#include "tests/fuzz.h"
#include "tests/receivers.h"

/* Of the input: so much that all that happens has room in a trace. */
enum { MAX_SIZE = 1024, MAX_CHUNK = 64 };

static struct receiver_program program;

static void read_settings(struct fuzz *f)
{
	static const char *const delimiters[] = { "\r\n", "\n", "aab", "aa" };
	unsigned options;

	program.kind = &receiver_kinds[fuzz_byte(f) % N_RECEIVER_KINDS];
	program.max = fuzz_byte(f);
	options = fuzz_byte(f);
	strcpy(program.delimiter, delimiters[options & 3]);
	program.delimiter_size = strlen(program.delimiter);
	program.goes_on = (options & 4) != 0;
}

static void read_input(struct fuzz *f, struct receiver_input *ret)
{
	size_t len = fuzz_byte(f) % MAX_CHUNK;

	ret->resume = len == 0;
	ret->len = len < f->left ? len : f->left;
	for (size_t i = 0; i < ret->len; i++)
		ret->data[i] = (char)fuzz_byte(f);
}

static void read_program(struct fuzz *f)
{
	read_settings(f);
	program.n_inputs = 0;
	while (f->left > 1)
		read_input(f, &program.inputs[program.n_inputs++]);
}

static void check_cutting(struct plait_reactor *r, enum receiver_cutting how,
			  const char *expected)
{
	plait_assert(strcmp(receivers_run(r, &program, how), expected) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char expected[RECEIVERS_TEXT];
	struct fuzz f = { data, size < MAX_SIZE ? size : MAX_SIZE };
	struct plait_reactor *r = plait_testing_reactor_new();

	read_program(&f);
	strcpy(expected, receivers_run(r, &program, BYTES));
	check_cutting(r, AS_RECORDED, expected);
	check_cutting(r, LARGE, expected);
	plait_reactor_free(&r);
	return 0;
}
