/*
 * Whole scenarios under every single fault: each allocation refused, once and
 * from then on, and each system call failing in each way.  Nothing may crash,
 * hang or be left, and the same reactor must then do the scenario without a
 * fault.
 *
 * So a scenario asks at each step whether there is something to go on with,
 * and asserts the outcome in the clean run only.
 */
#include <stdio.h>
#include <sys/socket.h>

#include <plait/testing.h>

#include "tests/actor.h"

/* In the clean run, this must be so; what it calls is called in any. */
#define check(condition) ck_assert((condition) || torture_faulty())
#define check_trace(actor, wanted) check(strcmp((actor)->trace, (wanted)) == 0)

/* A server, a client, and what they have. */
struct scene {
	struct plait_reactor *reactor;
	struct actor server, client;
	struct plait_port *port;
	struct plait_connector *connector; /* a reference */
	unsigned number;
};

static void open_scene(struct scene *s, struct plait_reactor *r)
{
	*s = (struct scene){ .reactor = r };
	actor_init(&s->server);
	actor_init(&s->client);
	s->server.arg = s->client.arg = s;
}

static void listen_in(struct scene *s)
{
	s->number = actor_listen(&s->server, s->reactor, &s->port);
}

static void connect_in(struct scene *s)
{
	struct plait_connector *c =
		actor_connect(&s->client, s->reactor, s->number);

	s->connector = plait_connector_ref(c);
}

/* What is left goes, whatever has happened to it. */
static void close_scene(struct scene *s)
{
	plait_connector_disconnect(s->connector);
	if (s->client.transport != NULL)
		plait_transport_abort_connection(s->client.transport);
	if (s->server.transport != NULL)
		plait_transport_abort_connection(s->server.transport);
	actor_stop(s->reactor, &s->port);
	actor_wait_idle(&s->client, s->reactor);
	actor_wait_idle(&s->server, s->reactor);
	plait_connector_unref(&s->connector);
	run_turns(s->reactor, 4);
}

/* A word goes to the server and comes back. */
static void say_hello(struct actor *a, struct plait_protocol *p)
{
	plait_transport_write(p->transport, "hello", 5);
}

static void lose_after_five(struct actor *a, struct plait_protocol *p,
			    const void *data, size_t len)
{
	if (a->received >= 5)
		plait_transport_lose_connection(p->transport);
}

static void echo(struct plait_reactor *r)
{
	struct scene s;

	open_scene(&s, r);
	s.server.on_data = actor_echo;
	s.client.on_made = say_hello;
	s.client.on_data = lose_after_five;
	listen_in(&s);
	connect_in(&s);
	actor_wait_idle(&s.client, r);
	check_trace(&s.client, "ScBMDLCX");
	check(strcmp(s.client.text, "hello") == 0);
	close_scene(&s);
	check_trace(&s.server, "SBMDLX");
}

static void refused(struct plait_reactor *r)
{
	struct scene s;
	uint16_t number;
	int held = peer_hold_port(&number);

	open_scene(&s, r);
	s.number = number;
	connect_in(&s);
	actor_wait_idle(&s.client, r);
	check_trace(&s.client, "ScFX");
	check(s.client.kind == &plait_error_connection_refused);
	close_scene(&s);
	close(held);
}

/* Nobody answers: the queue of the listener is full. */
static void timed_out(struct plait_reactor *r)
{
	struct scene s;
	uint16_t number;
	int listener = peer_listen(&number, 0);
	int waiting = peer_connect(number);

	open_scene(&s, r);
	s.number = number;
	connect_in(&s);
	actor_wait_idle(&s.client, r);
	check_trace(&s.client, "ScFX");
	check(s.client.kind == &plait_error_connect_timeout);
	close_scene(&s);
	close(waiting);
	close(listener);
}

static void not_an_address(struct plait_reactor *r)
{
	struct scene s;

	open_scene(&s, r);
	plait_connect_tcp(r, "poetry.invalid", 1, &s.client.base, NULL);
	actor_wait_idle(&s.client, r);
	check_trace(&s.client, "ScFX");
	check(s.client.kind == &plait_error_dns_no_name);
	close_scene(&s);
}

static void stop_reactor(void *arg)
{
	plait_reactor_stop(arg);
}

static bool is_connected(void *arg)
{
	const struct scene *s = arg;

	return s->client.made > 0 && s->server.made > 0;
}

static void shut_down_alive(struct plait_reactor *r)
{
	struct plait_timer timer = { .reactor = NULL };
	struct scene s;

	open_scene(&s, r);
	listen_in(&s);
	connect_in(&s);
	run_until(r, is_connected, &s);
	plait_timer_start(r, &timer, 0, stop_reactor, r);
	run_turns(r, 2);
	check_trace(&s.client, "ScBMLCX");
	check(s.client.kind == &plait_error_connection_lost);
	check(s.server.lost == 1 && s.server.stops == 1);
	close_scene(&s);
}

static void listen_twice(struct plait_reactor *r)
{
	const struct plait_listen_options o = {
		.iface = "127.0.0.1",
		.no_delay = true,
		.keep_alive = true,
	};
	struct plait_port *second = NULL;
	struct scene s;

	open_scene(&s, r);
	listen_in(&s);
	check(plait_listen_tcp(r, 0, &s.server.base, &o, &second) == 0);
	actor_stop(r, &second);
	close_scene(&s);
	check_trace(&s.server, "SX");
}

/* Each closes its half when it has said what it had to say. */
static void ask(struct actor *a, struct plait_protocol *p)
{
	plait_transport_write(p->transport, "who?", 4);
	plait_transport_lose_write_connection(p->transport);
}

static void answer_and_lose(struct actor *a, struct plait_protocol *p)
{
	plait_transport_write(p->transport, "me", 2);
	plait_transport_lose_connection(p->transport);
}

static void half_close(struct plait_reactor *r)
{
	struct scene s;

	open_scene(&s, r);
	s.server.half_closeable = s.client.half_closeable = true;
	s.client.on_made = ask;
	s.client.on_read_lost = actor_lose;
	s.server.on_read_lost = answer_and_lose;
	listen_in(&s);
	connect_in(&s);
	actor_wait_idle(&s.client, r);
	check(strcmp(s.server.text, "who?") == 0);
	check(strcmp(s.client.text, "me") == 0);
	close_scene(&s);
}

static void abort_it(struct actor *a, struct plait_protocol *p,
		     const void *data, size_t len)
{
	plait_transport_abort_connection(p->transport);
}

static void aborted(struct plait_reactor *r)
{
	struct scene s;

	open_scene(&s, r);
	s.client.on_made = say_hello;
	s.server.on_data = abort_it;
	listen_in(&s);
	connect_in(&s);
	actor_wait_idle(&s.client, r);
	check(s.client.kind == &plait_error_connection_lost);
	check(s.server.lost_kind == &plait_error_connection_aborted);
	close_scene(&s);
}

/* A producer that makes a megabyte, as fast as the peer reads it. */
enum { CHUNK = 50000, CHUNKS = 20 };

struct puller {
	struct plait_producer base;
	struct plait_transport *transport;
	unsigned left;
};

static void puller_resume(struct plait_producer *base)
{
	static const char chunk[CHUNK];
	struct puller *p = plait_self(base, struct puller);

	if (p->left-- > 0) {
		plait_transport_write(p->transport, chunk, sizeof(chunk));
		return;
	}
	plait_transport_unregister_producer(p->transport);
	plait_transport_lose_connection(p->transport);
}

static void puller_stop(struct plait_producer *base)
{
	plait_self(base, struct puller)->left = 0;
}

static const struct plait_producer_ops puller_ops = {
	.name = "puller",
	.resume = puller_resume,
	.stop = puller_stop,
};

struct pulling {
	struct scene scene;
	struct puller puller;
};

static void start_pulling(struct actor *a, struct plait_protocol *p)
{
	struct puller *puller = &plait_self(a->arg, struct pulling)->puller;

	puller->transport = p->transport;
	plait_transport_register_producer(p->transport, &puller->base, false);
}

static void big_write(struct plait_reactor *r)
{
	struct pulling p;
	ssize_t n;
	int fd;

	open_scene(&p.scene, r);
	p.puller = (struct puller){ .base.ops = &puller_ops, .left = CHUNKS };
	p.scene.server.on_made = start_pulling;
	listen_in(&p.scene);
	fd = p.scene.number > 0 ? peer_connect((uint16_t)p.scene.number) : -1;
	n = peer_read_to_eof(r, fd, NULL, 0);
	check(n == CHUNK * CHUNKS);
	if (fd >= 0)
		close(fd);
	close_scene(&p.scene);
}

/* One buffer, shared by all who are served. */
static void share(struct actor *a, struct plait_protocol *p)
{
	struct plait_buf *b = plait_buf_copy("a poem", 6);

	if (b != NULL)
		plait_transport_write_buf(p->transport, b);
	plait_buf_unref(&b);
	plait_transport_lose_connection(p->transport);
}

enum { CROWD = 5 };

static void crowd(struct plait_reactor *r)
{
	struct scene s;
	int fds[CROWD];

	open_scene(&s, r);
	s.server.on_made = share;
	listen_in(&s);
	for (int i = 0; i < CROWD; i++)
		fds[i] = s.number > 0 ? peer_connect((uint16_t)s.number) : -1;
	for (int i = 0; i < CROWD; i++) {
		ssize_t n = peer_read_to_eof(r, fds[i], NULL, 0);

		check(n == 6);
		if (fds[i] >= 0)
			close(fds[i]);
	}
	close_scene(&s);
}

static void connect_thrice(struct actor *a)
{
	if (a->started < 3)
		plait_connector_connect(a->connector);
}

/* Each of a crowd ends the one before, who has been idle longer. */
static void shed(struct plait_reactor *r)
{
	const struct plait_listen_options o = {
		.iface = "127.0.0.1",
		.max_connections = 1,
		.shed_idle = true,
	};
	struct plait_address a;
	struct scene s;
	int fds[3];

	open_scene(&s, r);
	check(plait_listen_tcp(r, 0, &s.server.base, &o, &s.port) == 0);
	if (s.port != NULL) {
		plait_port_host(s.port, &a);
		s.number = plait_address_port(&a);
	}
	for (int i = 0; i < 3; i++)
		fds[i] = s.number > 0 ? peer_connect((uint16_t)s.number) : -1;
	run_until_count(r, &s.server.made, 3);
	run_until_count(r, &s.server.lost, 2);
	check_trace(&s.server, "SBMLBMLBM");
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	close_scene(&s);
}

static void reconnect(struct plait_reactor *r)
{
	struct scene s;

	open_scene(&s, r);
	s.client.on_client_lost = s.client.on_failed = connect_thrice;
	s.server.on_made = actor_lose;
	listen_in(&s);
	connect_in(&s);
	actor_wait_idle(&s.client, r);
	check_trace(&s.client, "ScBMLCcBMLCcBMLCX");
	close_scene(&s);
}

/* Timers, embedded and not. */
struct ticks {
	struct plait_reactor *reactor;
	struct plait_timer timer;
	unsigned n, calls;
};

static void tick(void *arg)
{
	struct ticks *t = arg;

	if (++t->n < 5)
		plait_timer_start(t->reactor, &t->timer, 1, tick, t);
}

static void count_call(void *arg)
{
	((struct ticks *)arg)->calls++;
}

static void timers(struct plait_reactor *r)
{
	struct ticks t = { .reactor = r };
	struct plait_call calls[4];

	plait_timer_start(r, &t.timer, 1, tick, &t);
	for (int i = 0; i < 4; i++)
		calls[i] = plait_call_later(r, i, count_call, &t);
	plait_call_reset(calls[0], 2);
	plait_call_delay(calls[1], 100);
	plait_call_cancel(calls[1]);
	run_for(r, 10);
	check(t.n == 5 && t.calls == 3);
	plait_timer_stop(&t.timer);
	for (int i = 0; i < 4; i++)
		plait_call_cancel(calls[i]);
}

/*
 * The poetry proxy: a client asks, the proxy downloads with a deferred, and
 * what comes goes to the client.  If the client hangs up, its deferred is
 * freed, which cancels the download.
 */
struct proxy {
	struct scene upstream; /* poem server, and the proxy's client of it */
	struct actor front;
	struct plait_port *port;
	struct plait_deferred *waiting;
	struct plait_promise *promise;
	struct plait_buf *poem;
};

static struct proxy *proxy_of(struct actor *a)
{
	return plait_container(a->arg, struct proxy, upstream);
}

static plait_value cancel_download(struct plait_deferred *d, void *arg)
{
	plait_connector_disconnect(((struct proxy *)arg)->upstream.connector);
	return plait_cancelled();
}

static void start_download(struct actor *a, struct plait_protocol *p)
{
	struct proxy *x = proxy_of(a);

	x->waiting = plait_deferred_new(&x->promise, cancel_download, x);
	plait_deferred_add_callback(x->waiting, plait_then_write, p->transport);
	plait_deferred_add_both(x->waiting, plait_then_lose_connection,
				p->transport);
	connect_in(&x->upstream);
}

static void end_download(struct actor *a, struct plait_protocol *p)
{
	plait_deferred_free(&proxy_of(a)->waiting);
}

static void keep_poem(struct actor *a, struct plait_protocol *p,
		      const void *data, size_t len)
{
	struct proxy *x = proxy_of(a);

	if (x->poem == NULL)
		x->poem = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	if (x->poem == NULL || plait_buf_append(x->poem, data, len) < 0)
		plait_transport_abort_connection(p->transport);
}

static void fire_poem(struct actor *a)
{
	struct proxy *x = proxy_of(a);

	if (x->poem != NULL && a->kind == &plait_error_connection_done)
		plait_fire(&x->promise, plait_buf_value(x->poem));
	else
		plait_fire(&x->promise, plait_fail(a->kind, "no poem"));
	if (a->kind != &plait_error_connection_done)
		plait_buf_unref(&x->poem);
	x->poem = NULL;
}

static void open_proxy(struct proxy *x, struct plait_reactor *r)
{
	*x = (struct proxy){ .port = NULL };
	open_scene(&x->upstream, r);
	x->upstream.client.on_data = keep_poem;
	x->upstream.client.on_client_lost = fire_poem;
	x->upstream.client.on_failed = fire_poem;
	actor_init(&x->front);
	x->front.arg = &x->upstream;
	x->front.on_made = start_download;
	x->front.on_lost = end_download;
}

/* A client of the proxy; -1 if there is none to connect to. */
static int ask_proxy(struct proxy *x)
{
	unsigned number =
		actor_listen(&x->front, x->upstream.reactor, &x->port);

	return number > 0 ? peer_connect((uint16_t)number) : -1;
}

static void close_proxy(struct proxy *x)
{
	struct plait_reactor *r = x->upstream.reactor;

	actor_stop(r, &x->port);
	actor_wait_idle(&x->front, r);
	close_scene(&x->upstream);
	plait_promise_drop(&x->promise);
	plait_buf_unref(&x->poem);
}

static void proxy_with_hang_up(struct plait_reactor *r)
{
	struct proxy x;
	int fd;

	open_proxy(&x, r);
	listen_in(&x.upstream);
	fd = ask_proxy(&x);
	run_until(r, is_connected, &x.upstream);
	if (fd >= 0)
		close(fd);
	actor_wait_idle(&x.upstream.client, r);
	/* The poem server sees it, and sends no more. */
	run_until_count(r, &x.upstream.server.lost, 1);
	check(x.front.lost == 1 && x.upstream.client.client_lost == 1);
	check(x.upstream.server.lost_kind == &plait_error_connection_done);
	close_proxy(&x);
}

static void proxy_to_the_end(struct plait_reactor *r)
{
	struct proxy x;
	char poem[16] = "";
	int fd;

	open_proxy(&x, r);
	x.upstream.server.on_made = share;
	listen_in(&x.upstream);
	fd = ask_proxy(&x);
	peer_read_to_eof(r, fd, poem, sizeof(poem) - 1);
	check(strcmp(poem, "a poem") == 0);
	if (fd >= 0)
		close(fd);
	close_proxy(&x);
}

static void proxy_without_upstream(struct plait_reactor *r)
{
	struct proxy x;
	uint16_t number;
	int held = peer_hold_port(&number), fd;
	ssize_t n;

	open_proxy(&x, r);
	x.upstream.number = number;
	fd = ask_proxy(&x);
	n = peer_read_to_eof(r, fd, NULL, 0);
	check(n == 0);
	check(x.upstream.client.kind == &plait_error_connection_refused);
	if (fd >= 0)
		close(fd);
	close_proxy(&x);
	close(held);
}

/* A port and a client behind wrappers, as endpoints name them. */
static plait_value take_port(plait_value *result, void *arg)
{
	*(struct plait_port **)arg = plait_port_take(result);
	return PLAIT_NONE;
}

static plait_value count_client(plait_value *result, void *arg)
{
	++*(unsigned *)arg;
	return PLAIT_NONE;
}

static plait_value forget_failure(plait_value *failure, void *arg)
{
	check(false);
	return PLAIT_NONE;
}

static struct plait_endpoint *endpoint_at(const char *kind, unsigned at)
{
	struct plait_endpoint *e = NULL;
	char text[100];

	snprintf(text, sizeof(text), "%s:%u", kind, at);
	check(plait_endpoint_parse(text, &e, NULL, 0) == 0);
	return e;
}

static struct plait_port *listen_at_endpoint(struct plait_reactor *r,
					     struct plait_factory *f)
{
	struct plait_endpoint *e =
		endpoint_at("limit:total=2:address=2:throttle:in=1K:tcp", 0);
	struct plait_deferred *d = plait_endpoint_listen(e, r, f);
	struct plait_port *port = NULL;

	plait_endpoint_unref(&e);
	plait_deferred_add_callbacks(d, take_port, &port, forget_failure, NULL);
	plait_deferred_free(&d);
	return port;
}

static void endpoints(struct plait_reactor *r)
{
	static const struct plait_protocol_ops ops = { .name = "client" };
	unsigned connected = 0;
	struct plait_endpoint *e;
	struct plait_deferred *d;
	struct plait_address at;
	struct scene s;

	open_scene(&s, r);
	s.port = listen_at_endpoint(r, &s.server.base);
	plait_port_host(s.port, &at);
	e = endpoint_at("throttle:out=1K:tcp:127.0.0.1",
			plait_address_port(&at));
	d = plait_endpoint_connect(e, r, &ops, NULL);
	plait_endpoint_unref(&e);
	plait_deferred_add_callbacks(d, count_client, &connected,
				     forget_failure, NULL);
	for (int i = 0; i < 100 && plait_deferred_result(d) == NULL; i++)
		run_turns(r, 1);
	check(connected == 1);
	for (int i = 0; i < 100 && s.server.lost == 0; i++)
		run_turns(r, 1);
	plait_deferred_free(&d);
	close_scene(&s);
	check_trace(&s.server, "SBMLX");
}

/* A whole run, with triggers and a shutdown that waits. */
struct life {
	struct plait_reactor *reactor;
	struct plait_timer timer;
	struct plait_promise *promise;
	unsigned calls;
};

static void let_go(void *arg)
{
	plait_fire(&((struct life *)arg)->promise, PLAIT_NONE);
}

static plait_value hold_up(void *arg)
{
	struct life *l = arg;
	struct plait_deferred *d = plait_deferred_new(&l->promise, NULL, NULL);

	plait_timer_start(l->reactor, &l->timer, 1, let_go, l);
	return plait_chain(&d);
}

static void count_life(void *arg)
{
	((struct life *)arg)->calls++;
}

static void lifecycle(struct plait_reactor *r)
{
	struct life l = { .reactor = r };
	uint64_t id = 0;

	check(plait_reactor_add_trigger(r, PLAIT_TRIGGER_BEFORE,
					PLAIT_TRIGGER_SHUTDOWN, hold_up, &l,
					&id) == 0);
	check(plait_call_from_thread(r, count_life, &l) == 0);
	if (plait_call_when_running(r, stop_reactor, r) == 0)
		check(plait_reactor_run(r) == 0);
	check(l.calls == 1 && l.promise == NULL);
	plait_timer_stop(&l.timer);
	plait_promise_drop(&l.promise);
	plait_reactor_remove_trigger(r, id);
	run_turns(r, 2);
}

/* Nothing of the system's, on a testing reactor of its own. */
static void testing_network(struct plait_reactor *unused)
{
	struct plait_reactor *r = plait_testing_reactor_new();
	struct plait_transport *a = NULL, *b = NULL;
	struct plait_connector *c;
	struct scene s;

	check(r != NULL);
	if (r == NULL)
		return;
	open_scene(&s, r);
	s.server.on_data = actor_echo;
	s.client.on_made = say_hello;
	s.client.on_data = lose_after_five;
	listen_in(&s);
	c = actor_connect(&s.client, r, 80);
	if (s.port != NULL)
		a = plait_testing_accept(s.port);
	if (c != NULL)
		b = plait_testing_complete(c);
	if (a != NULL && b != NULL)
		plait_testing_pump(a, b);
	check_trace(&s.client, "ScBMDLCX");
	plait_reactor_free(&r);
	check_trace(&s.server, "SBMDLX");
}

static scenario *const scenarios[] = {
	echo,
	refused,
	timed_out,
	not_an_address,
	shut_down_alive,
	listen_twice,
	half_close,
	aborted,
	big_write,
	crowd,
	shed,
	reconnect,
	timers,
	proxy_with_hang_up,
	proxy_to_the_end,
	proxy_without_upstream,
	lifecycle,
	endpoints,
	testing_network,
};

enum { N_SCENARIOS = sizeof(scenarios) / sizeof(scenarios[0]) };

GROUP("memory", .timeout = 120 * test_mult());

TEST(survives_any_refused_allocation, ON_EACH_BACKEND, TIMES(N_SCENARIOS))
{
	torture(scenarios[_i], backend);
}

GROUP("system", .timeout = 120 * test_mult());

TEST(survives_any_failed_system_call, ON_EACH_BACKEND, TIMES(N_SCENARIOS))
{
	torture_syscalls(scenarios[_i], backend);
}
