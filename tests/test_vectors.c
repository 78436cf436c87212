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
 * be, and has to give the same events.  A message says by its first byte what
 * is to be done when it comes: the same here as in make_protocols.py.
 */
#include <ctype.h>
#include <stdio.h>

#include <plait/testing.h>

#include "tests/harness.h"

enum { MAX_INPUTS = 2000, MAX_TEXT = 16384 };

/* One program.  An input without data is a resume. */
struct input {
	char data[2048];
	size_t len;
	bool resume;
};

static struct {
	char kind[16];
	size_t max;
	char delimiter[8];
	size_t delimiter_size;
	bool goes_on, differs;
	struct input inputs[MAX_INPUTS];
	size_t n_inputs;
	char expected[MAX_TEXT], twisted[MAX_TEXT];
} program;

/* What happened: "line 61\nraw 62\n". */
static struct {
	char text[MAX_TEXT];
	size_t len;
	bool in_raw; /* the last event was raw, and grows */
} trace;

static void add_hex(const void *data, size_t len)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < len; i++)
		trace.len += (size_t)sprintf(trace.text + trace.len, "%02x",
					     bytes[i]);
}

static void event(const char *name, const void *data, size_t len)
{
	ck_assert_uint_lt(trace.len + 2 * len + 20, MAX_TEXT);
	trace.len += (size_t)sprintf(trace.text + trace.len, "%s ", name);
	add_hex(data, len);
	trace.len += (size_t)sprintf(trace.text + trace.len, "\n");
	trace.in_raw = false;
}

static void raw_event(const void *data, size_t len)
{
	if (!trace.in_raw) {
		event("raw", data, len);
		trace.in_raw = true;
		return;
	}
	trace.len--;
	add_hex(data, len);
	strcpy(trace.text + trace.len, "\n");
	trace.len++;
}

/* What the first byte of a message asks for, in every receiver. */
static void act(struct plait_protocol *p, const char *message, size_t len)
{
	if (len > 0 && message[0] == 'C')
		plait_transport_lose_connection(p->transport);
	else if (len > 0 && message[0] == 'A')
		plait_transport_abort(p->transport);
}

/* The second byte as a number, if the first is that letter; else -1. */
static int argument(const char *message, size_t len, char letter)
{
	if (len < 2 || message[0] != letter ||
	    !isdigit((unsigned char)message[1]))
		return -1;
	return message[1] - '0';
}

struct line {
	struct plait_line_receiver base;
	size_t raw_left;
};

static void change_delimiter(struct plait_line_receiver *p, int which)
{
	static const char *const delimiters[] = { NULL, "\n", "\r\n", "aab" };

	if (which < 1 || which > 3)
		return;
	p->delimiter = delimiters[which];
	p->delimiter_size = 0;
}

static void line_received(struct plait_line_receiver *p, const char *line,
			  size_t len)
{
	struct line *self = plait_self(p, struct line);
	int n;

	event("line", line, len);
	act(&p->base, line, len);
	if (len > 0 && (line[0] == 'P' || line[0] == 'Q'))
		plait_line_receiver_pause(p);
	if (len > 0 && line[0] == 'Q')
		plait_line_receiver_resume(p);
	n = argument(line, len, 'R');
	if (n >= 0) {
		self->raw_left = 1 + (size_t)n;
		plait_line_receiver_set_raw_mode(p);
	}
	n = argument(line, len, 'M');
	if (n >= 0)
		p->max_length = 2 + (size_t)n;
	change_delimiter(p, argument(line, len, 'D'));
}

static void raw_data_received(struct plait_line_receiver *p, const void *data,
			      size_t len)
{
	struct line *self = plait_self(p, struct line);
	const char *bytes = data;
	size_t mine = len < self->raw_left ? len : self->raw_left;

	raw_event(data, mine);
	self->raw_left -= mine;
	if (self->raw_left > 0)
		return;
	if (bytes[mine - 1] == 'C')
		plait_transport_lose_connection(p->base.transport);
	else if (bytes[mine - 1] == 'P')
		plait_line_receiver_pause(p);
	plait_line_receiver_set_line_mode(p, bytes + mine, len - mine);
}

static void line_length_exceeded(struct plait_line_receiver *p,
				 const char *line, size_t len)
{
	event("long", line, len);
	if (!program.goes_on)
		plait_transport_lose_connection(p->base.transport);
}

static void line_made(struct plait_protocol *base)
{
	struct plait_line_receiver *p =
		plait_self(base, struct plait_line_receiver);

	p->max_length = program.max;
	p->delimiter = program.delimiter;
	p->delimiter_size = program.delimiter_size;
}

static void line_resume(struct plait_protocol *p)
{
	plait_line_receiver_resume(plait_self(p, struct plait_line_receiver));
}

static const struct plait_line_receiver_ops line_ops = {
	.base = { PLAIT_LINE_RECEIVER, .name = "line",
		  .size = sizeof(struct line), .connection_made = line_made },
	.line_received = line_received,
	.raw_data_received = raw_data_received,
	.line_length_exceeded = line_length_exceeded,
};

static void only_line_received(struct plait_line_only_receiver *p,
			       const char *line, size_t len)
{
	int n = argument(line, len, 'M');

	event("line", line, len);
	act(&p->base, line, len);
	if (n >= 0)
		p->max_length = 2 + (size_t)n;
}

static void only_line_length_exceeded(struct plait_line_only_receiver *p,
				      const char *line, size_t len)
{
	event("long", line, len);
	if (!program.goes_on)
		plait_transport_lose_connection(p->base.transport);
}

static void only_made(struct plait_protocol *base)
{
	struct plait_line_only_receiver *p =
		plait_self(base, struct plait_line_only_receiver);

	p->max_length = program.max;
	p->delimiter = program.delimiter;
	p->delimiter_size = program.delimiter_size;
}

static const struct plait_line_only_receiver_ops only_ops = {
	.base = { PLAIT_LINE_ONLY_RECEIVER, .name = "line-only",
		  .size = sizeof(struct plait_line_only_receiver),
		  .connection_made = only_made },
	.line_received = only_line_received,
	.line_length_exceeded = only_line_length_exceeded,
};

static void netstring_received(struct plait_netstring_receiver *p,
			       const void *data, size_t len)
{
	event("string", data, len);
	act(&p->base, data, len);
}

static void parse_failed(struct plait_netstring_receiver *p)
{
	event("fail", NULL, 0);
}

static void netstring_made(struct plait_protocol *p)
{
	plait_self(p, struct plait_netstring_receiver)->max_length =
		program.max;
}

static const struct plait_netstring_receiver_ops netstring_ops = {
	.base = { PLAIT_NETSTRING_RECEIVER, .name = "netstring",
		  .size = sizeof(struct plait_netstring_receiver),
		  .connection_made = netstring_made },
	.string_received = netstring_received,
	.parse_failed = parse_failed,
};

static void intn_received(struct plait_intn_receiver *p, const void *data,
			  size_t len)
{
	event("string", data, len);
	act(&p->base, data, len);
	if (len > 0 && *(const char *)data == 'P')
		plait_intn_receiver_pause(p);
}

static void length_limit_exceeded(struct plait_intn_receiver *p, size_t len)
{
	const unsigned char bytes[4] = {
		(unsigned char)(len >> 24),
		(unsigned char)(len >> 16),
		(unsigned char)(len >> 8),
		(unsigned char)len,
	};

	event("limit", bytes, sizeof(bytes));
}

static void intn_made(struct plait_protocol *p)
{
	plait_self(p, struct plait_intn_receiver)->max_length = program.max;
}

static void intn_resume(struct plait_protocol *p)
{
	plait_intn_receiver_resume(plait_self(p, struct plait_intn_receiver));
}

#define INTN_OPS(n)                                                            \
	{                                                                      \
		.base = { PLAIT_INTN_RECEIVER, .name = "intn",                 \
			  .size = sizeof(struct plait_intn_receiver),          \
			  .connection_made = intn_made },                      \
		.prefix = (n), .string_received = intn_received,               \
		.length_limit_exceeded = length_limit_exceeded                 \
	}

static const struct plait_intn_receiver_ops intn_ops[] = { INTN_OPS(1),
							   INTN_OPS(2),
							   INTN_OPS(4) };

static const struct kind {
	const char *name;
	const struct plait_protocol_ops *ops;
	void (*resume)(struct plait_protocol *p);
	unsigned programs, departures;
} kinds[] = {
	{ "line", &line_ops.base, line_resume, 400, 100 },
	{ "line-only", &only_ops.base, NULL, 200, 50 },
	{ "netstring", &netstring_ops.base, NULL, 250, 20 },
	{ "int8", &intn_ops[0].base, intn_resume, 120, 20 },
	{ "int16", &intn_ops[1].base, intn_resume, 120, 20 },
	{ "int32", &intn_ops[2].base, intn_resume, 120, 20 },
};

enum { N_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

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

	ck_assert_int_eq(
		sscanf(text, "%15s max=%zu", program.kind, &program.max), 2);
	if (delimiter != NULL)
		program.delimiter_size =
			read_hex(program.delimiter, sizeof(program.delimiter),
				 delimiter + strlen("delimiter="));
	program.goes_on = strstr(text, "long=goes-on") != NULL;
}

static void read_input(const char *text)
{
	struct input *in = &program.inputs[program.n_inputs++];

	ck_assert_uint_le(program.n_inputs, MAX_INPUTS);
	in->resume = text[0] == '~';
	in->len =
		in->resume ? 0 : read_hex(in->data, sizeof(in->data), text + 2);
}

/* Reads the next program; false at the end of the file. */
static bool read_program(FILE *file)
{
	static char line[MAX_TEXT];

	program.n_inputs = program.delimiter_size = 0;
	program.expected[0] = program.twisted[0] = '\0';
	while (fgets(line, sizeof(line), file) != NULL) {
		if (line[0] == '>' || line[0] == '~')
			read_input(line);
		else if (line[0] == '=')
			strcat(program.expected, line + 2);
		else if (line[0] == '!')
			strcat(program.twisted, line + 2);
		else if (islower((unsigned char)line[0]))
			read_settings(line);
		else if (line[0] != '#')
			break;
	}
	program.differs = line[0] == '?';
	return !feof(file);
}

/* How the chunks are cut anew; large: all that come before a resume. */
enum cutting { AS_RECORDED, BYTES, LARGE, N_CUTTINGS };

static void deliver_bytes(struct plait_transport *t, const struct input *in)
{
	for (size_t i = 0; i < in->len; i++)
		plait_testing_deliver(t, in->data + i, 1);
}

/* Delivers what came so far with the last chunk before a resume. */
static void deliver_large(struct plait_transport *t, const struct input *in,
			  bool is_last)
{
	static char chunk[65536];
	static size_t len;

	ck_assert_uint_lt(len + in->len, sizeof(chunk));
	memcpy(chunk + len, in->data, in->len);
	len += in->len;
	if (is_last || in[1].resume) {
		plait_testing_deliver(t, chunk, len);
		len = 0;
	}
}

static void deliver(struct plait_transport *t, size_t i, enum cutting cutting)
{
	const struct input *in = &program.inputs[i];

	if (cutting == BYTES)
		deliver_bytes(t, in);
	else if (cutting == LARGE)
		deliver_large(t, in, i + 1 == program.n_inputs);
	else
		plait_testing_deliver(t, in->data, in->len);
}

static void resume(struct plait_transport *t, const struct kind *kind)
{
	struct plait_protocol *p = plait_testing_protocol(t);

	if (p != NULL && kind->resume != NULL && plait_testing_is_paused(t))
		kind->resume(p);
}

static void run_program(struct plait_reactor *r, const struct kind *kind,
			enum cutting cutting)
{
	struct plait_factory f = { .protocol = kind->ops };
	struct plait_transport *t = plait_testing_connect(r, &f);
	plait_value done = plait_connection_done();

	trace.len = 0;
	trace.text[0] = '\0';
	trace.in_raw = false;
	for (size_t i = 0; i < program.n_inputs; i++) {
		if (program.inputs[i].resume)
			resume(t, kind);
		else
			deliver(t, i, cutting);
		plait_testing_advance(r, 0);
	}
	plait_testing_lose(t, plait_value_failure(&done));
}

/*
 * plait departs from what Twisted does in chunks in two ways: nothing comes
 * any more after a close; and of a line that is too long,
 * line_length_exceeded() gets the beginning, not all that came with it.
 */
static bool is_known_departure(void)
{
	return strncmp(program.twisted, program.expected,
		       strlen(program.expected)) == 0 ||
	       strstr(program.expected, "long ") != NULL ||
	       strstr(program.twisted, "long ") != NULL;
}

/* Runs the program in all cuttings; true if Twisted does something else. */
static bool check_program(struct plait_reactor *r, const struct kind *kind,
			  unsigned number)
{
	for (enum cutting c = 0; c < N_CUTTINGS; c++) {
		run_program(r, kind, c);
		ck_assert_msg(strcmp(trace.text, program.expected) == 0,
			      "%s %u, cutting %d: is\n%sshould be\n%s",
			      kind->name, number, (int)c, trace.text,
			      program.expected);
	}
	if (program.differs)
		ck_assert_msg(is_known_departure(), "%s %u: Twisted has\n%s",
			      kind->name, number, program.twisted);
	return program.differs;
}

START_TEST(events_are_those_of_twisted_byte_by_byte)
{
	const struct kind *kind = &kinds[_i];
	struct plait_reactor *r = plait_testing_reactor_new();
	FILE *file = fopen("tests/vectors/protocols.txt", "r");
	unsigned programs = 0, departures = 0;

	ck_assert_ptr_nonnull(file);
	while (read_program(file))
		if (strcmp(program.kind, kind->name) == 0)
			departures += check_program(r, kind, programs++);
	fclose(file);
	ck_assert_uint_eq(programs, kind->programs);
	ck_assert_uint_ge(departures, kind->departures);
	plait_reactor_free(&r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vectors");
	TCase *tc = tcase_create("twisted");

	tcase_add_pure_loop_test(tc, events_are_those_of_twisted_byte_by_byte,
				 0, N_KINDS);
	suite_add_tcase(s, tc);
	return suite_main(s);
}
