/*
 * Requests: a server that answers numbers with the same numbers, after some
 * time, and clients that ask again and again.  A question is a connection, with
 * a time-out, in a scope with a deadline, and it is repeated when it fails.
 *
 * What must hold: each deferred fires once; an answer is the answer to its
 * question; when all is healed, each client gets an answer.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/scenario.h"

enum { N_CLIENTS = 3, PORT = 7005 };

static bool calm;

/* ---- the server ------------------------------------------------------ */

/* An answer that waits for its time, in the scope of its connection. */
struct answer {
	struct plait_netstring_receiver *to;
	size_t len;
	char text[32];
};

static struct node server;
static struct plait_factory server_factory;
static struct witness_factory server_seen;

static plait_value answer_send(plait_value *result, void *arg)
{
	struct answer *a = arg;

	if (!plait_value_is_failure(result))
		plait_netstring_receiver_send(a->to, a->text, a->len);
	free(a);
	return PLAIT_NONE;
}

static void server_hears(struct plait_netstring_receiver *p, const void *data,
			 size_t len)
{
	struct plait_transport *t = p->base.transport;
	struct answer *a = calloc(1, sizeof(*a));
	struct plait_deferred *d;

	MUST(len <= sizeof(a->text), "a question of %zu bytes", len);
	*a = (struct answer){ .to = p, .len = len };
	memcpy(a->text, data, len);
	d = plait_defer_later(plait_transport_reactor(t),
			      calm ? 0 : dice_seconds(0, 5), NULL, NULL);
	plait_deferred_add_both(d, answer_send, a);
	plait_scope_own(plait_transport_scope(t), &d);
}

static const struct plait_netstring_receiver_ops answers_ops = {
	.base = { .name = "answers", PLAIT_NETSTRING_RECEIVER },
	.string_received = server_hears,
};

static void server_begin(struct node *n)
{
	const struct plait_listen_options options = { .iface = "0.0.0.0" };

	server_factory =
		(struct plait_factory){ .protocol = &answers_ops.base };
	witness_factory_init(&server_seen, &witness, &server_factory, false);
	MUST(plait_listen_tcp(n->reactor, PORT, &server_seen.base, &options,
			      NULL) == 0,
	     "the server cannot listen");
}

/* ---- clients --------------------------------------------------------- */

struct client {
	struct node node;
	struct plait_timer next;
	struct plait_scope *scope;
	struct plait_deferred *asking; /* NULL: nothing is asked */
	struct plait_promise *answered;
	struct plait_protocol *connection; /* of the question */
	unsigned asked;			   /* the last number */
	unsigned answers;
};

static struct client clients[N_CLIENTS];

static plait_value question_cancelled(struct plait_deferred *d, void *arg)
{
	struct client *self = arg;

	if (self->connection != NULL)
		plait_transport_abort_connection(self->connection->transport);
	return plait_cancelled();
}

static void question_made(struct plait_protocol *p)
{
	struct client *self = plait_client_arg(p);

	self->connection = p;
}

static void question_hears(struct plait_netstring_receiver *p, const void *data,
			   size_t len)
{
	struct client *self = plait_client_arg(&p->base);
	char text[32];

	snprintf(text, sizeof(text), "%u", self->asked);
	MUST(strlen(text) == len && memcmp(text, data, len) == 0,
	     "the answer to %s is %.*s", text, (int)len, (const char *)data);
	plait_fire(&self->answered, PLAIT_NONE);
	plait_transport_lose_connection(p->base.transport);
}

static void question_lost(struct plait_protocol *p,
			  const struct plait_failure *why)
{
	struct client *self = plait_client_arg(p);

	self->connection = NULL;
	plait_fire(&self->answered, plait_failure_value(why));
}

static const struct plait_netstring_receiver_ops question_ops = {
	.base = { .name = "question",
		  .connection_made = question_made,
		  PLAIT_NETSTRING_RECEIVER,
		  .connection_lost = question_lost },
	.string_received = question_hears,
};

static plait_value question_asked(plait_value *result, void *arg)
{
	struct client *self = arg;
	struct plait_protocol *p = plait_client_take(result);
	struct plait_deferred *d;
	char text[32];
	int len;

	if (p == NULL)
		return plait_fail(&plait_error_connection_lost, "at once");
	len = snprintf(text, sizeof(text), "%u", ++self->asked);
	plait_promise_drop(&self->answered);
	d = plait_deferred_new(&self->answered, question_cancelled, self);
	plait_netstring_receiver_send(
		plait_self(p, struct plait_netstring_receiver), text,
		(size_t)len);
	return plait_chain(&d);
}

/* One attempt. */
static plait_value question_begin(void *arg)
{
	struct client *self = arg;
	struct plait_deferred *d = plait_client_connect_tcp(
		self->node.reactor, plait_host_address(server.host), PORT,
		&question_ops.base, self, NULL);

	plait_deferred_add_callback(d, question_asked, self);
	plait_deferred_add_timeout(d, self->node.reactor,
				   calm ? 20 : dice_seconds(0, 10));
	return plait_chain(&d);
}

static bool question_is_worth_it(const struct plait_failure *why,
				 unsigned attempts, void *arg)
{
	return calm || dice_say(0.9);
}

static plait_value question_over(plait_value *result, void *arg)
{
	struct client *self = arg;

	self->answers += !plait_value_is_failure(result);
	return PLAIT_NONE;
}

static void client_next(void *arg)
{
	const struct plait_retry_options options = {
		.max_attempts = calm ? 10 : 1 + dice(4),
		.should_retry = question_is_worth_it,
		.backoff.max_delay = 3,
	};
	struct client *self = arg;
	struct plait_reactor *r = self->node.reactor;

	plait_deferred_free(&self->asking);
	plait_scope_free(&self->scope);
	if (calm && self->answers > 0)
		return;
	self->scope = plait_scope_new(r);
	if (dice_say(0.3))
		plait_scope_shield(self->scope, dice_seconds(0, 3));
	if (!calm && dice_say(0.5))
		plait_scope_set_deadline(self->scope, dice_seconds(0, 20));
	self->asking = plait_retry(r, question_begin, self, &options);
	plait_scope_start(self->scope, self->asking);
	witness_deferred(&witness, self->asking);
	plait_deferred_add_both(self->asking, question_over, self);
	plait_timer_start(r, &self->next, calm ? 100 : dice_seconds(0, 30),
			  client_next, self);
	if (!calm && dice_say(0.1))
		plait_scope_cancel(self->scope, "a change of mind");
}

static void client_begin(struct node *n)
{
	struct client *self = plait_self(n, struct client);

	self->next = (struct plait_timer){ 0 };
	client_next(self);
}

static void client_end(struct node *n)
{
	struct client *self = plait_self(n, struct client);

	plait_deferred_free(&self->asking);
	plait_scope_free(&self->scope);
	plait_promise_drop(&self->answered);
}

static bool all_have_answers(void *nothing)
{
	for (int i = 0; i < N_CLIENTS; i++) {
		if (clients[i].answers == 0)
			return false;
	}
	return true;
}

SCENARIO(questions_are_answered_in_the_end)
{
	static const char *const names[N_CLIENTS] = { "klaus", "kurt",
						      "karla" };

	calm = false;
	server = (struct node){ .name = "server", .begin = server_begin };
	node_start(&server);
	for (int i = 0; i < N_CLIENTS; i++) {
		clients[i] = (struct client){
			.node = { .name = names[i],
				  .begin = client_begin,
				  .end = client_end },
		};
		node_start(&clients[i].node);
	}
	weather_begin(WEATHER_ALL, 60);
	go_on(60);
	weather_clear();
	calm = true;
	for (int i = 0; i < N_CLIENTS; i++)
		clients[i].answers = 0;
	MUST(go_on_until(all_have_answers, NULL, 1000),
	     "all is healed, and a question has no answer");
}
