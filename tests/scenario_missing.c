/*
 * A program that checks nothing: for want of memory some of what it makes is
 * not there, and it does with all of it what it would do with what is there.
 *
 * What must hold: what is not there says that it is not, and disturbs nothing.
 * So the program's conversation goes on, the task and the loop that it did get
 * come as far as they are told to, and all of it ends when it is asked to.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "tests/scenario.h"

enum { PORT = 7007, ENOUGH = 60, TEXT_SIZE = 1000 };

/* What the program has.  While a deed is done each thing may be missing. */
static struct {
	struct node node;
	struct plait_timer next;
	struct plait_factory server;
	struct plait_reconnecting_factory client;
	struct plait_port *port;
	struct plait_connector *connector;
	struct plait_transport *transport; /* of the client */
	struct plait_looping_call *loop;
	struct plait_cooperator *cooperator;
	struct plait_coiterator *task;
	struct plait_scope *scope;
	struct plait_producer *producer;
	unsigned said, heard, rounds, steps, deeds;
} poor;

static bool is_missing;

#define THE(thing) (is_missing ? NULL : poor.thing)

/* What is missing says so; of what is there nothing is asked. */
#define SAYS(expected, ...)                                                    \
	do {                                                                   \
		bool says = (__VA_ARGS__) == (expected);                       \
                                                                               \
		MUST(!is_missing || says, "%s", #__VA_ARGS__);                 \
	} while (0)

/* A deferred of what is missing has failed, or it has fired. */
static void ends_at_once(struct plait_deferred *d)
{
	MUST(!is_missing || plait_deferred_is_fired(d),
	     "what is missing is waited for");
	plait_deferred_free(&d);
}

/* ---- deeds ----------------------------------------------------------- */

static void use_port(void)
{
	char text[TEXT_SIZE];
	struct plait_address a;
	struct plait_port *port = THE(port);

	plait_port_host(port, &a);
	SAYS(0u, plait_address_port(&a));
	plait_port_pause_accepting(port);
	plait_port_str(port, text, sizeof(text));
	plait_port_resume_accepting(port);
	if (!is_missing)
		return;
	plait_port_free(NULL);
	plait_port_free(&port);
	ends_at_once(plait_port_stop_listening(&port));
	ends_at_once(plait_port_drain(&port));
}

static void use_connector(void)
{
	char text[TEXT_SIZE];
	struct plait_address a;
	struct plait_connector *c = plait_connector_ref(THE(connector));

	SAYS(NULL, plait_connector_reactor(c));
	SAYS(PLAIT_CONNECTOR_DISCONNECTED, plait_connector_state(c));
	plait_connector_destination(c, &a);
	plait_connector_str(c, text, sizeof(text));
	if (is_missing) {
		SAYS(-ENOMEM, plait_connector_connect(c));
		SAYS(-ENOMEM, plait_connector_stop_connecting(c));
		plait_connector_disconnect(c);
	}
	plait_connector_unref(&c);
}

static void ask_transport(struct plait_transport *t)
{
	char text[TEXT_SIZE];
	struct plait_address a;

	SAYS(-ENOMEM, plait_transport_host(t, &a));
	SAYS(-ENOMEM, plait_transport_peer(t, &a));
	SAYS(0u, plait_transport_unsent(t));
	SAYS(false, plait_transport_is_disconnecting(t));
	SAYS(false, plait_transport_peer_has_closed(t));
	SAYS(NULL, plait_transport_reactor(t));
	SAYS(NULL, plait_transport_scope(t));
	SAYS(NULL, plait_transport_producer(t));
	SAYS(NULL, plait_transport_below(t));
	SAYS(NULL, plait_transport_above(t));
	plait_transport_str(t, text, sizeof(text));
}

static void use_transport(void)
{
	struct plait_transport *t = THE(transport);

	if (t == NULL && !is_missing)
		return;
	ask_transport(t);
	SAYS(-ENOMEM, plait_transport_set_tcp_no_delay(t, dice_say(0.5)));
	SAYS(-ENOMEM, plait_transport_set_tcp_keep_alive(t, dice_say(0.5)));
	plait_transport_pause_reading(t);
	plait_transport_resume_reading(t);
	plait_transport_unregister_producer(t);
	plait_transport_write(t, "", 0);
	if (!is_missing)
		return;
	SAYS(-ENOMEM,
	     plait_transport_register_producer(t, poor.producer, true));
	plait_transport_write(t, "lost", 4);
	plait_transport_write_buf(t, NULL);
	plait_transport_printf(t, "%s", "lost");
	plait_transport_lose_write_connection(t);
	plait_transport_lose_connection(t);
	plait_transport_abort_connection(t);
}

/* A transport of the program's own kind that was not made. */
static void tell_transport(void)
{
	struct plait_transport *t = NULL;

	if (!is_missing)
		return;
	plait_transport_made(t, NULL);
	plait_transport_received(t, "x", 1);
	plait_transport_read_lost(t);
	plait_transport_write_lost(t);
	plait_transport_writable(t);
	plait_transport_broken(t, NULL);
	plait_transport_lost(t, NULL);
	plait_transport_gone(t);
	plait_transport_free(&t);
	plait_transport_free(NULL);
}

static plait_value loop_round(size_t count, void *arg)
{
	poor.rounds++;
	return PLAIT_NONE;
}

static void use_loop(void)
{
	struct plait_looping_call *l = THE(loop);

	if (!plait_looping_call_is_running(l)) {
		struct plait_deferred *d =
			plait_looping_call_start(l, 0.1, dice_say(0.5));

		MUST(is_missing == plait_deferred_is_fired(d),
		     "a loop that is there has ended, or one that is not "
		     "goes on");
		plait_deferred_detach(&d);
	}
	plait_looping_call_reset(l);
	if (dice_say(0.3))
		plait_looping_call_stop(l);
	SAYS(false, plait_looping_call_is_running(l));
	l = NULL;
	plait_looping_call_free(&l);
	plait_looping_call_free(NULL);
}

static bool task_step(plait_value *ret, void *arg)
{
	struct plait_deferred *d;

	poor.steps++;
	if (poor.steps % 2 == 0) {
		d = plait_defer_later(poor.node.reactor, 0.1, NULL, NULL);
		*ret = plait_chain(&d);
	}
	return poor.steps % 20 != 0;
}

static void use_cooperator(void)
{
	struct plait_coiterator *t;
	struct plait_cooperator *c = NULL;

	if (is_missing)
		SAYS(NULL, plait_cooperate(c, task_step, NULL));
	else if (poor.task == NULL)
		poor.task = plait_cooperate(poor.cooperator, task_step, NULL);
	t = THE(task);
	ends_at_once(plait_coiterator_when_done(t));
	if (plait_coiterator_pause(t) == 0)
		plait_coiterator_resume(t);
	else
		SAYS(-ENOMEM, plait_coiterator_resume(t));
	if (is_missing || dice_say(0.1)) {
		SAYS(-ENOMEM, plait_coiterator_stop(t));
		plait_coiterator_free(is_missing ? &t : &poor.task);
	}
	plait_cooperator_stop(c);
	plait_cooperator_free(&c);
	plait_cooperator_free(NULL);
	plait_coiterator_free(NULL);
}

/* A scope that is not there has ended: what is started in it is cancelled or
   has failed, and nothing waits for it. */
static void use_scope(void)
{
	struct plait_scope *s = THE(scope), *inner = plait_scope_new_in(s);
	struct plait_deferred *d = plait_defer_later(
		poor.node.reactor, dice_seconds(0, 1), NULL, NULL);

	SAYS(NULL, inner);
	SAYS(true, plait_scope_is_cancelled(s));
	SAYS(true, plait_scope_is_empty(s));
	SAYS((double)INFINITY, plait_scope_deadline(s));
	MUST(!is_missing || plait_scope_reason(s)[0] == '\0', "a reason");
	plait_scope_shield(inner, dice_seconds(0, 1));
	plait_scope_set_deadline(inner, dice_seconds(0, 1));
	plait_scope_start(inner, d);
	plait_scope_own(inner, &d);
	if (dice_say(0.3))
		plait_scope_cancel(inner, "a change of mind");
	if (dice_say(0.5))
		plait_scope_free(&inner);
	else
		ends_at_once(plait_scope_close(&inner));
	plait_deferred_free(&d);
	plait_scope_own(s, &d);
	ends_at_once(plait_scope_start(s, NULL));
}

static void use_deferred(void)
{
	struct plait_deferred *d =
		is_missing
			? NULL
			: plait_defer_later(poor.node.reactor, 1, NULL, NULL);

	ends_at_once(plait_deferred_add_timeout(d, poor.node.reactor,
						dice_seconds(0, 2)));
}

static void (*const deeds[])(void) = {
	use_port, use_connector,  use_transport, tell_transport,
	use_loop, use_cooperator, use_scope,	 use_deferred,
};

/* The conversation: a byte more after each echo. */
static void say_something(void)
{
	unsigned char c = (unsigned char)poor.said;

	if (poor.transport == NULL || poor.said != poor.heard)
		return;
	poor.said++;
	plait_transport_write(poor.transport, &c, 1);
}

static void do_deeds(void *arg)
{
	say_something();
	for (unsigned n = dice(4); n > 0; n--) {
		is_missing = dice_say(0.5);
		deeds[dice(sizeof(deeds) / sizeof(*deeds))]();
		poor.deeds++;
	}
	plait_timer_start(poor.node.reactor, &poor.next, dice_seconds(0, 0.3),
			  do_deeds, NULL);
}

/* ---- the conversation ------------------------------------------------ */

static void server_hears(struct plait_protocol *p, const void *data, size_t len)
{
	plait_transport_write(p->transport, data, len);
}

static const struct plait_protocol_ops server_ops = {
	.name = "echo",
	.data_received = server_hears,
};

static void client_made(struct plait_protocol *p)
{
	poor.transport = p->transport;
	poor.said = poor.heard = 0;
	plait_reconnecting_factory_reset_delay(&poor.client);
}

static void client_hears(struct plait_protocol *p, const void *data, size_t len)
{
	const unsigned char *c = data;

	for (size_t i = 0; i < len; i++)
		MUST(c[i] == (unsigned char)poor.heard++, "another echo");
}

static void client_lost(struct plait_protocol *p,
			const struct plait_failure *why)
{
	poor.transport = NULL;
}

static const struct plait_protocol_ops client_ops = {
	.name = "who talks to itself",
	.connection_made = client_made,
	.data_received = client_hears,
	.connection_lost = client_lost,
};

static const struct plait_factory_ops client_factory_ops = {
	.name = "who talk to themselves",
	PLAIT_RECONNECTING_FACTORY,
};

/* ---- the program ----------------------------------------------------- */

static void poor_begin(struct node *n)
{
	const struct plait_listen_options options = { .iface = "127.0.0.1" };

	poor.server = (struct plait_factory){ .protocol = &server_ops };
	poor.client = (struct plait_reconnecting_factory){
		.base = { .ops = &client_factory_ops, .protocol = &client_ops },
		.backoff.max_delay = 3,
	};
	MUST(plait_listen_tcp(n->reactor, PORT, &poor.server, &options,
			      &poor.port) == 0,
	     "it cannot listen");
	poor.connector = plait_connector_ref(plait_connect_tcp(
		n->reactor, "127.0.0.1", PORT, &poor.client.base, NULL));
	poor.loop = plait_looping_call_new(n->reactor, loop_round, NULL);
	poor.cooperator = plait_cooperator_new(n->reactor, 0.01);
	poor.scope = plait_scope_new(n->reactor);
	poor.next = (struct plait_timer){ 0 };
	do_deeds(NULL);
}

static void poor_end(struct node *n)
{
	plait_reconnecting_factory_stop_trying(&poor.client);
	plait_connector_unref(&poor.connector);
	plait_coiterator_free(&poor.task);
	plait_cooperator_free(&poor.cooperator);
	plait_looping_call_free(&poor.loop);
	plait_scope_free(&poor.scope);
	poor.port = NULL; /* it has gone with the reactor */
}

static bool has_come_far(void *nothing)
{
	return poor.heard >= ENOUGH && poor.rounds > 0 && poor.steps > 0 &&
	       poor.deeds >= ENOUGH;
}

SCENARIO(what_could_not_be_made_disturbs_nothing)
{
	memset(&poor, 0, sizeof(poor));
	poor.node = (struct node){ .name = "poor",
				   .begin = poor_begin,
				   .end = poor_end };
	node_start(&poor.node);
	weather_begin(WEATHER_KERNELS | WEATHER_KILLS, 20);
	go_on(20);
	weather_clear();
	MUST(go_on_until(has_come_far, NULL, 1000),
	     "it does not come far: heard %u, %u rounds, %u steps", poor.heard,
	     poor.rounds, poor.steps);
}
