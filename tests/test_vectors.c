/*
 * The receivers against Twisted's.  tests/vectors/protocols.txt holds random
 * programs and what Twisted 22.4 made of them, recorded by make_protocols.py
 * beside it:
 *
 *	line max=6 delimiter=0d0a long=closes	the receiver
 *	> 610d					a chunk comes, in hex
 *	~					the receiver is resumed
 *	= line 61				what Twisted delivers byte by
 *						byte: what plait delivers
 *	! line 61				what Twisted delivers in these
 *						chunks, if that is different
 *	.					the end; `?' if different
 *
 * Each is run in its chunks, in single bytes and in chunks as large as can
 * be, and has to give the same events.  What the messages ask for stands in
 * receivers.h.
 */
#include <ctype.h>
#include <stdio.h>

#include <plait/testing.h>

#include "tests/harness.h"
#include "tests/receivers.h"

enum { MAX_TEXT = RECEIVERS_TEXT };

static struct receiver_program program;

/* What is recorded of it. */
static char kind_name[16];
static char expected[MAX_TEXT], twisted[MAX_TEXT];
static bool differs;

/* How many there are of each kind, and in how many Twisted differs. */
static const struct {
	unsigned programs, departures;
} counts[N_RECEIVER_KINDS] = { { 400, 100 }, { 200, 50 }, { 250, 20 },
			       { 120, 20 },  { 120, 20 }, { 120, 20 } };

static size_t read_hex(char *ret, size_t size, const char *hex)
{
	unsigned byte;
	size_t n = 0;

	while (sscanf(hex + 2 * n, "%2x", &byte) == 1) {
		ck_assert_uint_lt(n, size);
		ret[n++] = (char)byte;
	}
	return n;
}

static void read_settings(const char *text)
{
	const char *delimiter = strstr(text, "delimiter=");

	ck_assert_int_eq(sscanf(text, "%15s max=%zu", kind_name, &program.max),
			 2);
	if (delimiter != NULL)
		program.delimiter_size =
			read_hex(program.delimiter, sizeof(program.delimiter),
				 delimiter + strlen("delimiter="));
	program.goes_on = strstr(text, "long=goes-on") != NULL;
}

static void read_input(const char *text)
{
	struct receiver_input *in = &program.inputs[program.n_inputs++];

	ck_assert_uint_le(program.n_inputs, RECEIVERS_INPUTS);
	in->resume = text[0] == '~';
	in->len =
		in->resume ? 0 : read_hex(in->data, sizeof(in->data), text + 2);
}

/* Reads the next program; false at the end of the file. */
static bool read_program(FILE *file)
{
	static char line[MAX_TEXT];

	program.n_inputs = program.delimiter_size = 0;
	expected[0] = twisted[0] = '\0';
	while (fgets(line, sizeof(line), file) != NULL) {
		if (line[0] == '>' || line[0] == '~')
			read_input(line);
		else if (line[0] == '=')
			strcat(expected, line + 2);
		else if (line[0] == '!')
			strcat(twisted, line + 2);
		else if (islower((unsigned char)line[0]))
			read_settings(line);
		else if (line[0] != '#')
			break;
	}
	differs = line[0] == '?';
	return !feof(file);
}

/*
 * plait departs from what Twisted does in chunks in two ways: nothing comes
 * any more after a close; and of a line that is too long,
 * line_length_exceeded() gets the beginning, not all that came with it.
 */
static bool is_known_departure(void)
{
	return strncmp(twisted, expected, strlen(expected)) == 0 ||
	       strstr(expected, "long ") != NULL ||
	       strstr(twisted, "long ") != NULL;
}

/* Runs the program in all cuttings; true if Twisted does something else. */
static bool check_program(struct plait_reactor *r,
			  const struct receiver_kind *kind, unsigned number)
{
	const char *events;

	program.kind = kind;
	for (enum receiver_cutting c = 0; c < N_CUTTINGS; c++) {
		events = receivers_run(r, &program, c);
		ck_assert_msg(strcmp(events, expected) == 0,
			      "%s %u, cutting %d: is\n%sshould be\n%s",
			      kind->name, number, (int)c, events, expected);
	}
	if (differs)
		ck_assert_msg(is_known_departure(), "%s %u: Twisted has\n%s",
			      kind->name, number, twisted);
	return differs;
}

GROUP("twisted");

TEST(events_are_those_of_twisted_byte_by_byte, PURE, TIMES(N_RECEIVER_KINDS))
{
	const struct receiver_kind *kind = &receiver_kinds[_i];
	struct plait_reactor *r = plait_testing_reactor_new();
	FILE *file = fopen("tests/vectors/protocols.txt", "r");
	unsigned programs = 0, departures = 0;

	ck_assert_ptr_nonnull(file);
	while (read_program(file))
		if (strcmp(kind_name, kind->name) == 0)
			departures += check_program(r, kind, programs++);
	fclose(file);
	ck_assert_uint_eq(programs, counts[_i].programs);
	ck_assert_uint_ge(departures, counts[_i].departures);
	plait_reactor_free(&r);
}
