/*
 * The receivers and what they do: see receivers.h.
 *
 * What a message asks for depends on its bytes alone and not on the chunk
 * that it came in, so neither do the events.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <plait/intn.h>
#include <plait/line.h>
#include <plait/netstring.h>
#include <plait/testing.h>

#include "tests/receivers.h"

/* The one that runs. */
static const struct receiver_program *program;

/* What happened: "line 61\nraw 62\n". */
static struct {
	char text[RECEIVERS_TEXT];
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
	plait_assert(trace.len + 2 * len + 20 < RECEIVERS_TEXT);
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
		plait_transport_abort_connection(p->transport);
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
	if (!program->goes_on)
		plait_transport_lose_connection(p->base.transport);
}

static void line_made(struct plait_protocol *base)
{
	struct plait_line_receiver *p =
		plait_self(base, struct plait_line_receiver);

	p->max_length = program->max;
	p->delimiter = program->delimiter;
	p->delimiter_size = program->delimiter_size;
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
	if (!program->goes_on)
		plait_transport_lose_connection(p->base.transport);
}

static void only_made(struct plait_protocol *base)
{
	struct plait_line_only_receiver *p =
		plait_self(base, struct plait_line_only_receiver);

	p->max_length = program->max;
	p->delimiter = program->delimiter;
	p->delimiter_size = program->delimiter_size;
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
	if (len > 0 && *(const char *)data == 'H')
		plait_netstring_receiver_pause(p);
}

static void parse_failed(struct plait_netstring_receiver *p)
{
	event("fail", NULL, 0);
}

static void netstring_made(struct plait_protocol *p)
{
	plait_self(p, struct plait_netstring_receiver)->max_length =
		program->max;
}

static void netstring_resume(struct plait_protocol *p)
{
	plait_netstring_receiver_resume(
		plait_self(p, struct plait_netstring_receiver));
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
	plait_self(p, struct plait_intn_receiver)->max_length = program->max;
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

const struct receiver_kind receiver_kinds[N_RECEIVER_KINDS] = {
	{ "line", &line_ops.base, line_resume },
	{ "line-only", &only_ops.base, NULL },
	{ "netstring", &netstring_ops.base, netstring_resume },
	{ "int8", &intn_ops[0].base, intn_resume },
	{ "int16", &intn_ops[1].base, intn_resume },
	{ "int32", &intn_ops[2].base, intn_resume },
};

static void deliver_bytes(struct plait_transport *t,
			  const struct receiver_input *in)
{
	for (size_t i = 0; i < in->len; i++)
		plait_testing_deliver(t, in->data + i, 1);
}

/* Delivers what came so far with the last chunk before a resume. */
static void deliver_large(struct plait_transport *t,
			  const struct receiver_input *in, bool is_last)
{
	static char chunk[65536];
	static size_t len;

	plait_assert(len + in->len <= sizeof(chunk));
	memcpy(chunk + len, in->data, in->len);
	len += in->len;
	if (is_last || in[1].resume) {
		plait_testing_deliver(t, chunk, len);
		len = 0;
	}
}

static void deliver(struct plait_transport *t, size_t i,
		    enum receiver_cutting cutting)
{
	const struct receiver_input *in = &program->inputs[i];

	if (cutting == BYTES)
		deliver_bytes(t, in);
	else if (cutting == LARGE)
		deliver_large(t, in, i + 1 == program->n_inputs);
	else
		plait_testing_deliver(t, in->data, in->len);
}

static void resume(struct plait_transport *t)
{
	struct plait_protocol *p = plait_testing_protocol(t);

	if (p != NULL && program->kind->resume != NULL &&
	    plait_testing_is_paused(t))
		program->kind->resume(p);
}

static void take(struct plait_transport *t, size_t i,
		 enum receiver_cutting cutting)
{
	if (program->inputs[i].resume)
		resume(t);
	else
		deliver(t, i, cutting);
}

const char *receivers_run(struct plait_reactor *r,
			  const struct receiver_program *p,
			  enum receiver_cutting cutting)
{
	struct plait_factory f = { .protocol = p->kind->ops };
	plait_value done = plait_connection_done();
	struct plait_transport *t;

	program = p;
	trace.len = 0;
	trace.text[0] = '\0';
	trace.in_raw = false;
	t = plait_testing_connect(r, &f);
	for (size_t i = 0; i < p->n_inputs; i++) {
		take(t, i, cutting);
		plait_testing_advance(r, 0);
	}
	plait_testing_lose(t, plait_value_failure(&done));
	/* A receiver that is paused and holds input is waited for. */
	plait_testing_advance(r, 5);
	plait_assert(!plait_testing_is_connected(t));
	return trace.text;
}
