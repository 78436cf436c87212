/*
 * Connects this terminal to a server: what is typed goes there, line by line,
 * and what comes from there is shown.  The terminal edits the lines, as it
 * does for each program.  With pipes and files it is a small netcat:
 *
 *	console poetry.example 10000 <request >answer
 *
 * Standard input and output are one connection, and the server is the other.
 * Each is the producer of the other, so neither is read faster than the other
 * takes it.  The end of the input ends only what is sent to the server, whose
 * answer may come after that.  The end of the server ends the program: nobody
 * answers any more to what is typed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/program.h"

struct end {
	struct plait_protocol base;
	struct end *other; /* NULL: not there yet, or gone */
	bool has_ended;	   /* the terminal: no more is typed */
};

struct console {
	struct plait_endpoint *server;
	struct plait_reactor *reactor;
	int status;
};

static struct console console;

static struct end *end_of(struct plait_protocol *p)
{
	return plait_self(p, struct end);
}

static struct plait_transport *transport_of(const struct end *e)
{
	return e->base.transport;
}

static void end_received(struct plait_protocol *p, const void *data, size_t len)
{
	plait_transport_write(transport_of(end_of(p)->other), data, len);
}

/* Nothing more is typed, so the server need not wait for the terminal. */
static void send_end(struct end *server)
{
	plait_transport_unregister_producer(transport_of(server));
	plait_transport_lose_write_connection(transport_of(server));
}

static void terminal_ended(struct plait_protocol *p)
{
	end_of(p)->has_ended = true;
	if (end_of(p)->other != NULL)
		send_end(end_of(p)->other);
}

/* Nothing more is answered, so the terminal need not wait for the server. */
static void server_ended(struct plait_protocol *p)
{
	struct plait_transport *terminal = transport_of(end_of(p)->other);

	plait_transport_unregister_producer(terminal);
	plait_transport_lose_connection(terminal);
}

static void fail(const struct plait_failure *why)
{
	char text[1024];

	plait_failure_str(why, text, sizeof(text));
	fprintf(stderr, "%s\n", text);
	console.status = 1;
}

/* What breaks one end ends the other.  A reader of the output that has seen
   enough, as `head' does, is no failure. */
static void end_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	struct end *other = end_of(p)->other;
	bool in_order = plait_failure_check(why, &plait_error_connection_done);

	if (!in_order && plait_failure_errno(why) != EPIPE &&
	    !plait_failure_check(why, &plait_error_connection_aborted))
		fail(why);
	if (other == NULL) {
		plait_reactor_stop(console.reactor);
		return;
	}
	other->other = NULL;
	if (in_order)
		plait_transport_lose_connection(transport_of(other));
	else
		plait_transport_abort_connection(transport_of(other));
}

static void server_made(struct plait_protocol *p)
{
	plait_transport_pause_reading(p->transport);
}

static const struct plait_protocol_ops server_ops = {
	.name = "server",
	.size = sizeof(struct end),
	.connection_made = server_made,
	.data_received = end_received,
	.read_connection_lost = server_ended,
	.connection_lost = end_lost,
};

static void feed(struct end *to, struct end *from)
{
	to->other = from;
	plait_transport_register_producer(
		transport_of(to), plait_transport_producer(transport_of(from)),
		true);
}

static plait_value connected(plait_value *result, void *arg)
{
	struct end *terminal = arg;
	struct plait_protocol *p = plait_client_take(result);

	if (p == NULL)
		return plait_no_memory();
	feed(terminal, end_of(p));
	feed(end_of(p), terminal);
	plait_transport_resume_reading(transport_of(terminal));
	plait_transport_resume_reading(p->transport);
	if (terminal->has_ended)
		send_end(end_of(p));
	return PLAIT_NONE;
}

static plait_value not_connected(plait_value *failure, void *arg)
{
	struct end *terminal = arg;

	if (!plait_failure_check(plait_value_failure(failure),
				 &plait_error_cancelled))
		fail(plait_value_failure(failure));
	plait_transport_lose_connection(transport_of(terminal));
	return PLAIT_NONE;
}

/* Nothing is read before there is somebody to send it to. */
static void terminal_made(struct plait_protocol *p)
{
	struct plait_deferred *d;

	plait_transport_pause_reading(p->transport);
	d = plait_endpoint_connect(console.server, console.reactor, &server_ops,
				   NULL);
	plait_deferred_add_callbacks(d, connected, end_of(p), not_connected,
				     end_of(p));
	plait_scope_own(plait_transport_scope(p->transport), &d);
}

static const struct plait_protocol_ops terminal_ops = {
	.name = "terminal",
	.size = sizeof(struct end),
	.connection_made = terminal_made,
	.data_received = end_received,
	.read_connection_lost = terminal_ended,
	.connection_lost = end_lost,
};

int main(int argc, char **argv)
{
	struct program p = { .about = "Connects this terminal, or a pipe, to a "
				      "server.",
			     .operands = "HOST PORT",
			     .min_operands = 2,
			     .max_operands = 2 };
	unsigned port;
	int err;

	program_start(&p, argc, argv);
	if (!read_port(p.operand[1], &port))
		die("%s is no port", p.operand[1]);
	console.server = plait_endpoint_tcp(p.operand[0], port);
	if (console.server == NULL)
		die("%s is no host", p.operand[0]);
	console.reactor = program_reactor(&p);
	err = plait_stdio(console.reactor, plait_protocol_new(&terminal_ops),
			  NULL);
	if (err < 0)
		die("standard input and output: %s", strerror(-err));
	plait_reactor_run(console.reactor);
	plait_reactor_free(&console.reactor);
	plait_endpoint_unref(&console.server);
	return console.status;
}
