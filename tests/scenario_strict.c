/*
 * A network that breaks nothing: it is slow, and its kernels move less than
 * they could, are interrupted, and wake for nothing.  None of this may be seen
 * by a program, so here everything has one outcome.
 *
 * A scenario has a server and a client, with a connection between them.
 */
#include <string.h>

#include "tests/scenario.h"

enum {
	PORT = 7,
	ANSWER = 200000,
	QUESTION = 300000,
	LAST_WORDS = 1000,
	PIECE = 10000
};

static struct node server, client;
static struct plait_factory server_factory, client_factory;
static const struct plait_protocol_ops *server_ops, *client_ops;
static struct plait_limits server_limits;
static struct plait_port *port;
static unsigned port_number;
static bool port_is_paused;

/* Of the client's connection. */
struct end {
	struct plait_protocol base;
	struct plait_timer timer;
	size_t heard;
	bool paused;
};

static size_t client_heard, server_heard;
static unsigned made, ended, broken, failed; /* connections of the client */
static bool refused, released;

static void server_begin(struct node *n)
{
	const struct plait_listen_options options = { .iface = "0.0.0.0" };

	server_factory = (struct plait_factory){ .protocol = server_ops };
	plait_reactor_set_limits(n->reactor, &server_limits);
	MUST(plait_listen_tcp(n->reactor, PORT, &server_factory, &options,
			      &port) == 0,
	     "the server cannot listen");
	if (port_is_paused)
		plait_port_pause_accepting(port);
}

static void client_failed(struct plait_factory *f, struct plait_connector *c,
			  const struct plait_failure *why)
{
	failed++;
	refused = plait_failure_check(why, &plait_error_connection_refused);
}

static const struct plait_factory_ops client_factory_ops = {
	.name = "strict client",
	.connection_failed = client_failed,
};

static void client_connects(void *nothing)
{
	plait_connect_tcp(client.reactor, plait_host_address(server.host),
			  port_number, &client_factory, NULL);
}

static void client_begin(struct node *n)
{
	client_factory = (struct plait_factory){ .ops = &client_factory_ops,
						 .protocol = client_ops };
	witness_timer(&witness, n->reactor, 1, client_connects, NULL);
}

static void both_start(const struct plait_protocol_ops *serves,
		       const struct plait_protocol_ops *asks)
{
	double latency = dice_seconds(0, 0.2), jitter = dice_seconds(0, 0.02);
	const struct plait_link slow = { .latency = latency, .jitter = jitter };
	const struct plait_host_faults odd = { .short_read = 0.3,
					       .short_write = 0.3,
					       .interrupted = 0.3,
					       .spurious = 0.2 };

	server_ops = serves;
	client_ops = asks;
	server = (struct node){ .name = "server", .begin = server_begin };
	client = (struct node){ .name = "client", .begin = client_begin };
	node_start(&server);
	node_start(&client);
	plait_simulation_heal(simulation);
	plait_simulation_set_link(simulation, NULL, NULL, &slow);
	server.faults = client.faults = odd;
	client_heard = server_heard = 0;
	made = ended = broken = failed = 0;
	refused = released = false;
}

static void strict_begin(void)
{
	/* The client may take little at a time, on a slow link. */
	server_limits = (struct plait_limits){ .linger_timeout = 200,
					       .stop_timeout = 200 };
	port_number = PORT;
	port_is_paused = false;
}

static void say_bytes(struct plait_protocol *p, size_t n)
{
	static const char bytes[PIECE];

	for (; n > 0; n -= n < PIECE ? n : PIECE)
		plait_transport_write(p->transport, bytes,
				      n < PIECE ? n : PIECE);
}

static void end_made(struct plait_protocol *p)
{
	made++;
}

static void end_hears(struct plait_protocol *p, const void *data, size_t len)
{
	MUST(!plait_self(p, struct end)->paused, "data while it is paused");
	client_heard += len;
}

static void end_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	plait_timer_stop(&plait_self(p, struct end)->timer);
	if (plait_failure_check(why, &plait_error_connection_done))
		ended++;
	else
		broken++;
}

static void end_reads(void *arg)
{
	struct end *e = arg;

	e->paused = false;
	plait_transport_resume_reading(e->base.transport);
}

static void end_pauses(struct plait_protocol *p, double seconds)
{
	struct end *e = plait_self(p, struct end);

	e->paused = true;
	plait_transport_pause_reading(p->transport);
	plait_timer_start(plait_transport_reactor(p->transport), &e->timer,
			  seconds, end_reads, e);
}

#define CLIENT(called, made, hears)                                            \
	{                                                                      \
		.name = (called), .size = sizeof(struct end),                  \
		.connection_made = (made), .data_received = (hears),           \
		.connection_lost = end_lost,                                   \
	}

static bool client_is_over(void *nothing)
{
	return ended + broken + failed > 0;
}

static void client_must_end_with(size_t bytes)
{
	go_on_until(client_is_over, NULL, 120);
	MUST(ended == 1 && broken == 0, "ended %u times, broken %u", ended,
	     broken);
	MUST(client_heard == bytes, "%zu bytes came of %zu", client_heard,
	     bytes);
	nodes_end();
}

/* ---- answers --------------------------------------------------------- */

static void answerer_hears(struct plait_protocol *p, const void *data,
			   size_t len)
{
	say_bytes(p, ANSWER);
	plait_transport_lose_connection(p->transport);
}

static const struct plait_protocol_ops answerer_ops = {
	.name = "answerer",
	.data_received = answerer_hears,
};

static void asker_made(struct plait_protocol *p)
{
	made++;
	say_bytes(p, QUESTION);
}

static const struct plait_protocol_ops asker_ops =
	CLIENT("asker", asker_made, end_hears);

SCENARIO(an_answer_comes_whole_although_its_server_reads_no_more)
{
	strict_begin();
	both_start(&answerer_ops, &asker_ops);
	client_must_end_with(ANSWER);
}

static void half_hears(struct plait_protocol *p, const void *data, size_t len)
{
	server_heard += len;
}

static void half_ends(struct plait_protocol *p)
{
	MUST(server_heard == QUESTION, "the end comes after %zu bytes",
	     server_heard);
	say_bytes(p, ANSWER);
	plait_transport_lose_connection(p->transport);
}

static const struct plait_protocol_ops half_ops = {
	.name = "half",
	.data_received = half_hears,
	.read_connection_lost = half_ends,
};

static void half_asks(struct plait_protocol *p)
{
	asker_made(p);
	plait_transport_lose_write_connection(p->transport);
}

static const struct plait_protocol_ops half_asker_ops =
	CLIENT("half asker", half_asks, end_hears);

SCENARIO(the_end_of_a_question_is_heard_and_answered)
{
	strict_begin();
	both_start(&half_ops, &half_asker_ops);
	client_must_end_with(ANSWER);
}

SCENARIO(where_nobody_listens_a_connection_is_refused)
{
	strict_begin();
	port_number = PORT + 1;
	both_start(&answerer_ops, &asker_ops);
	go_on_until(client_is_over, NULL, 60);
	MUST(failed == 1 && refused && made == 0, "failed %u, made %u", failed,
	     made);
	nodes_end();
}

/* ---- producers and pauses -------------------------------------------- */

static void echo_made(struct plait_protocol *p)
{
	plait_transport_register_producer(
		p->transport, plait_transport_producer(p->transport), true);
}

static void echo_hears(struct plait_protocol *p, const void *data, size_t len)
{
	MUST(!plait_self(p, struct end)->paused, "data while it is paused");
	plait_transport_write(p->transport, data, len);
	if (dice_say(0.1))
		end_pauses(p, dice_seconds(0, 3));
}

static void echo_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	plait_timer_stop(&plait_self(p, struct end)->timer);
}

static const struct plait_protocol_ops pausing_echo_ops = {
	.name = "pausing echo",
	.size = sizeof(struct end),
	.connection_made = echo_made,
	.data_received = echo_hears,
	.connection_lost = echo_lost,
};

static void late_reader_made(struct plait_protocol *p)
{
	made++;
	say_bytes(p, QUESTION);
	end_pauses(p, 5);
}

static void late_reader_hears(struct plait_protocol *p, const void *data,
			      size_t len)
{
	end_hears(p, data, len);
	if (client_heard == QUESTION)
		plait_transport_lose_connection(p->transport);
}

static const struct plait_protocol_ops late_reader_ops =
	CLIENT("late reader", late_reader_made, late_reader_hears);

SCENARIO(a_producer_waits_for_who_reads_late_and_for_who_pauses)
{
	strict_begin();
	server_limits = (struct plait_limits){ .max_unsent = 200000,
					       .high_water = 8000,
					       .low_water = 2000 };
	both_start(&pausing_echo_ops, &late_reader_ops);
	client_must_end_with(QUESTION);
}

/* ---- ends ------------------------------------------------------------ */

static void parting_made(struct plait_protocol *p)
{
	say_bytes(p, ANSWER);
	plait_transport_lose_connection(p->transport);
	node_stop(&server);
}

static const struct plait_protocol_ops parting_ops = {
	.name = "parting",
	.connection_made = parting_made,
};

static void patient_made(struct plait_protocol *p)
{
	made++;
	end_pauses(p, 1);
}

static const struct plait_protocol_ops patient_ops =
	CLIENT("patient", patient_made, end_hears);

SCENARIO(a_server_that_stops_sends_what_it_closes_with)
{
	strict_begin();
	both_start(&parting_ops, &patient_ops);
	client_must_end_with(ANSWER);
}

static double stopped_at;

static void hoarding_made(struct plait_protocol *p)
{
	for (int i = 0; i < 20; i++)
		say_bytes(p, ANSWER);
	plait_transport_lose_connection(p->transport);
	stopped_at = plait_simulation_seconds(simulation);
	node_stop(&server);
}

static const struct plait_protocol_ops hoarding_ops = {
	.name = "hoarding",
	.connection_made = hoarding_made,
};

static void deaf_made(struct plait_protocol *p)
{
	made++;
	plait_transport_pause_reading(p->transport);
}

static const struct plait_protocol_ops deaf_ops =
	CLIENT("deaf", deaf_made, end_hears);

static bool server_has_stopped(void *nothing)
{
	return stopped_at > 0 && plait_host_programs(server.host) == 0;
}

SCENARIO(a_stop_waits_for_who_takes_nothing_and_not_for_ever)
{
	double took;

	strict_begin();
	server_limits.stop_timeout = 1 + dice(20);
	stopped_at = 0;
	both_start(&hoarding_ops, &deaf_ops);
	MUST(go_on_until(server_has_stopped, NULL, 500),
	     "a stop waits for ever for who takes nothing");
	/* The clock is read once a second. */
	took = plait_simulation_seconds(simulation) - stopped_at;
	MUST(took >= server_limits.stop_timeout,
	     "a stop has waited for %g s only", took);
	MUST(took <= server_limits.stop_timeout + 2,
	     "a stop has waited for %g s", took);
}

/* ---- last words ------------------------------------------------------- */

/* Sends all the time, and reads late what has come. */
struct speaker {
	struct plait_protocol base;
	struct plait_timer next, reads;
	double pause;
};

static bool speaker_lost;

static void speaker_says(void *arg)
{
	struct speaker *s = arg;

	say_bytes(&s->base, 100);
	plait_timer_start(plait_transport_reactor(s->base.transport), &s->next,
			  s->pause, speaker_says, s);
}

static void speaker_reads(void *arg)
{
	struct speaker *s = arg;

	plait_transport_resume_reading(s->base.transport);
}

static void speaker_made(struct plait_protocol *p)
{
	struct speaker *s = plait_self(p, struct speaker);

	s->pause = dice_seconds(0.001, 0.01);
	plait_transport_pause_reading(p->transport);
	plait_timer_start(plait_transport_reactor(p->transport), &s->reads, 10,
			  speaker_reads, s);
	speaker_says(s);
}

static void speaker_hears(struct plait_protocol *p, const void *data,
			  size_t len)
{
	server_heard += len;
}

static void speaker_is_lost(struct plait_protocol *p,
			    const struct plait_failure *why)
{
	struct speaker *s = plait_self(p, struct speaker);

	speaker_lost = true;
	plait_timer_stop(&s->next);
	plait_timer_stop(&s->reads);
}

static const struct plait_protocol_ops speaker_ops = {
	.name = "speaker",
	.size = sizeof(struct speaker),
	.connection_made = speaker_made,
	.data_received = speaker_hears,
	.connection_lost = speaker_is_lost,
};

static void dying_dies(void *arg)
{
	struct end *e = arg;

	plait_transport_abort_connection(e->base.transport);
}

static void dying_made(struct plait_protocol *p)
{
	struct end *e = plait_self(p, struct end);

	say_bytes(p, LAST_WORDS);
	/* The kernel may send them in many small pieces, each of which waits
	   for the one before, which takes 0.44 s at most. */
	plait_timer_start(plait_transport_reactor(p->transport), &e->timer, 8,
			  dying_dies, e);
}

static const struct plait_protocol_ops dying_ops =
	CLIENT("dying", dying_made, end_hears);

static bool speaker_has_lost(void *nothing)
{
	return speaker_lost;
}

/* Whether the loss is found by an event or by a send that fails. */
SCENARIO(last_words_are_heard_although_the_speaker_has_gone)
{
	strict_begin();
	speaker_lost = false;
	both_start(&speaker_ops, &dying_ops);
	MUST(go_on_until(speaker_has_lost, NULL, 200),
	     "who speaks on does not notice that nobody is there");
	MUST(server_heard == LAST_WORDS, "of %d bytes %zu were heard",
	     LAST_WORDS, server_heard);
	nodes_end();
}

static void aborting_aborts(void *arg)
{
	struct end *e = arg;

	plait_transport_abort_connection(e->base.transport);
}

static void aborting_made(struct plait_protocol *p)
{
	struct end *e = plait_self(p, struct end);

	for (int i = 0; i < 20; i++)
		say_bytes(p, ANSWER);
	plait_timer_start(plait_transport_reactor(p->transport), &e->timer, 2,
			  aborting_aborts, e);
}

static const struct plait_protocol_ops aborting_ops = {
	.name = "aborting",
	.size = sizeof(struct end),
	.connection_made = aborting_made,
	.connection_lost = echo_lost,
};

static void slow_made(struct plait_protocol *p)
{
	made++;
	end_pauses(p, 20);
}

static const struct plait_protocol_ops slow_ops =
	CLIENT("slow", slow_made, end_hears);

SCENARIO(output_that_was_cut_does_not_end_well)
{
	strict_begin();
	both_start(&aborting_ops, &slow_ops);
	go_on_until(client_is_over, NULL, 60);
	MUST(broken == 1 && ended == 0, "ended %u times, broken %u", ended,
	     broken);
	nodes_end();
}

/* Its scope ends while it is paused, as the other end has gone. */
static plait_value note_release(plait_value *result, void *arg)
{
	struct end *e = arg;

	MUST(e->paused, "the scope ends when it reads again");
	released = true;
	return PLAIT_NONE;
}

static void watchful_made(struct plait_protocol *p)
{
	struct end *e = plait_self(p, struct end);
	struct plait_deferred *d = plait_deferred_add_both(
		plait_defer_later(plait_transport_reactor(p->transport), 100,
				  NULL, NULL),
		note_release, e);

	made++;
	end_pauses(p, 15);
	plait_scope_own(plait_transport_scope(p->transport), &d);
}

static const struct plait_protocol_ops watchful_ops =
	CLIENT("watchful", watchful_made, end_hears);

static void leaving_made(struct plait_protocol *p)
{
	plait_transport_lose_connection(p->transport);
}

static const struct plait_protocol_ops leaving_ops = {
	.name = "leaving",
	.connection_made = leaving_made,
};

SCENARIO(who_is_paused_notices_that_the_other_end_has_gone)
{
	strict_begin();
	both_start(&leaving_ops, &watchful_ops);
	go_on(12);
	MUST(released, "nobody noticed");
	client_must_end_with(0);
}

/* ---- ports ----------------------------------------------------------- */

static void greeter_made(struct plait_protocol *p)
{
	say_bytes(p, 100);
	plait_transport_lose_connection(p->transport);
}

static const struct plait_protocol_ops greeter_ops = {
	.name = "greeter",
	.connection_made = greeter_made,
};

static const struct plait_protocol_ops guest_ops =
	CLIENT("guest", end_made, end_hears);

SCENARIO(who_waits_at_a_port_that_drains_is_served)
{
	struct plait_deferred *d;

	strict_begin();
	port_is_paused = true;
	both_start(&greeter_ops, &guest_ops);
	go_on(1.5);
	client_connects(NULL);
	client_connects(NULL);
	go_on(4);
	plait_port_resume_accepting(port);
	d = plait_port_drain(&port);
	plait_deferred_detach(&d);
	go_on(30);
	MUST(ended == 3 && broken == 0, "%u were served, %u broken", ended,
	     broken);
	nodes_end();
}

SCENARIO(without_descriptors_time_passes_and_then_all_is_well)
{
	const struct plait_host_faults full = { .no_descriptors = 1 };

	strict_begin();
	both_start(&greeter_ops, &guest_ops);
	go_on(0.5);
	plait_host_set_faults(server.host, &full);
	go_on(20);
	plait_host_set_faults(server.host, &(struct plait_host_faults){ 0 });
	ended = broken = failed = 0;
	client_connects(NULL);
	go_on_until(client_is_over, NULL, 30);
	MUST(ended > 0, "nobody is served any more");
	nodes_end();
}
