/*
 * A connector that tries a list of addresses, which may grow while it runs:
 * by the doors that are inside the library.
 */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <plait/testing.h>

#include "reactor/net/connector.h"
#include "reactor/net/tcp.h"
#include "tests/actor.h"

/* Who finds addresses, and what he is asked. */
struct finder {
	struct attempt_search base;
	void (*on_start)(struct finder *f);
	unsigned starts, stops, frees;
};

static struct actor client, server;
static struct finder finder;
static struct plait_connector *connector;
static struct plait_port *port;
static uint16_t refusing[3];
static int held[3];
static unsigned listening;

static void finder_start(struct attempt_search *s)
{
	struct finder *f = plait_self(s, struct finder);

	f->starts++;
	if (f->on_start != NULL)
		f->on_start(f);
}

static void finder_stop(struct attempt_search *s)
{
	plait_self(s, struct finder)->stops++;
}

static void finder_free(struct attempt_search *s)
{
	plait_self(s, struct finder)->frees++;
}

static void setup(void)
{
	actor_init(&client);
	actor_init(&server);
	finder = (struct finder){
		.base = { finder_start, finder_stop, finder_free },
	};
	connector = NULL;
	port = NULL;
}

static void open_addresses(void)
{
	for (int i = 0; i < 3; i++)
		held[i] = peer_hold_port(&refusing[i]);
	listening = actor_listen(&server, reactor, &port);
}

static void close_addresses(void)
{
	if (client.transport != NULL)
		plait_transport_abort(client.transport);
	actor_wait_idle(&client, reactor);
	if (server.made > server.lost)
		run_until_count(reactor, &server.lost, server.made);
	actor_stop(reactor, &port);
	plait_connector_unref(&connector);
	run_turns(reactor, 3);
	for (int i = 0; i < 3; i++)
		close(held[i]);
}

static void make(double timeout)
{
	struct plait_connector *c = plait_i_connector_new(
		reactor, "test", &plait_i_tcp_dial_ops.base, &client.base);

	c->timeout = timeout;
	connector = plait_connector_ref(c);
}

static void make_searching(double timeout)
{
	make(timeout);
	connector->attempts.search = &finder.base;
}

static int add(unsigned number)
{
	struct plait_address a;

	plait_address_parse(&a, "127.0.0.1", number);
	return plait_i_connector_add(connector, &a);
}

static void start(void)
{
	plait_i_connector_start(connector);
}

static bool is_idle(void *arg)
{
	return plait_i_attempts_trying(&connector->attempts) == NULL;
}

/* Turns until what was added has failed. */
static void wait_tried(void)
{
	run_until(reactor, is_idle, NULL);
}

/* The failures that it carries, as text, one a line. */
static size_t details(const struct plait_failure *why, char *text, size_t size)
{
	const plait_value *detail = plait_failure_detail(why);
	const struct plait_values *values;
	size_t len = 0;

	text[0] = '\0';
	if (plait_value_is_none(detail))
		return 0;
	values = plait_value_values(detail);
	for (size_t i = 0; i < values->count && len < size; i++) {
		plait_failure_str(plait_value_failure(&values->items[i]),
				  text + len, size - len);
		len = strlen(text);
		len += (size_t)snprintf(text + len, size - len, "\n");
	}
	return values->count;
}

/* Of the whole, kept when it is told. */
static const struct plait_failure *told;

static void keep(struct plait_factory *f, struct plait_connector *c,
		 const struct plait_failure *why)
{
	plait_failure_unref(&told);
	told = plait_failure_ref(why);
}

static void forget(void)
{
	plait_failure_unref(&told);
}

/* A factory that keeps what it is told. */
static const struct plait_factory_ops keeper_ops = {
	.name = "keeper",
	.connection_failed = keep,
};

static struct plait_factory keeper = { .ops = &keeper_ops };

static void make_for_keeper(double timeout)
{
	struct plait_connector *c = plait_i_connector_new(
		reactor, "test", &plait_i_tcp_dial_ops.base, &keeper);

	c->timeout = timeout;
	connector = plait_connector_ref(c);
}

static bool is_told(void *arg)
{
	return told != NULL;
}

static void wait_told(void)
{
	run_until(reactor, is_told, NULL);
	run_turns(reactor, 2);
	plait_connector_unref(&connector);
}

/* A port whose queue is full: connecting to it takes for ever. */
struct hanging {
	uint16_t number;
	int listener, waiting;
};

static void hang(struct hanging *h)
{
	h->listener = peer_listen(&h->number, 0);
	h->waiting = peer_connect(h->number);
}

static void hang_no_more(struct hanging *h)
{
	close(h->waiting);
	close(h->listener);
}

GROUP("list", .setup = setup);

TEST(the_next_address_is_tried_when_one_fails, ON_EACH_BACKEND)
{
	struct plait_address to;

	open_addresses();
	make(30);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(add(refusing[i]), 0);
	ck_assert_int_eq(add(listening), 0);
	plait_connector_destination(connector, &to);
	ck_assert_uint_eq(plait_address_port(&to), refusing[0]);
	calls_reset();
	start();
	ck_assert_str_eq(client.trace, "Sc");
	run_until_count(reactor, &client.made, 1);
	ck_assert_str_eq(client.trace, "ScBM");
	ck_assert_uint_eq(calls_of("connect"), 4);
	plait_connector_destination(connector, &to);
	ck_assert_uint_eq(plait_address_port(&to), listening);
	ck_assert_uint_eq(plait_address_port(&client.peer), listening);
	close_addresses();
	ck_assert_str_eq(client.trace, "ScBMLCX");
}

/* What the attempts fail with, and what is told of them. */
static const struct {
	int first, second;
	const struct plait_error *kind;
	int err;
} tellings[] = {
	{ ECONNREFUSED, ECONNREFUSED, &plait_error_connection_refused,
	  ECONNREFUSED },
	{ EHOSTUNREACH, ECONNREFUSED, &plait_error_connection_refused,
	  ECONNREFUSED },
	{ ECONNREFUSED, ETIMEDOUT, &plait_error_connection_refused,
	  ECONNREFUSED },
	{ ENETUNREACH, ETIMEDOUT, &plait_error_tcp_timed_out, ETIMEDOUT },
	{ EACCES, ENETUNREACH, &plait_error_no_route, ENETUNREACH },
	{ ENETUNREACH, EHOSTUNREACH, &plait_error_no_route, ENETUNREACH },
	{ EACCES, EADDRNOTAVAIL, &plait_error_connect, EACCES },
};

TEST(the_most_telling_failure_is_told_and_carries_each, ON_EACH_BACKEND,
     EACH_OF(tellings))
{
	char text[256];
	const char *first, *second;

	make_for_keeper(30);
	ck_assert_int_eq(add(1), 0);
	ck_assert_int_eq(add(2), 0);
	fault_call("connect", 1, tellings[_i].first);
	fault_call("connect", 1, tellings[_i].second);
	start();
	wait_told();
	ck_assert_ptr_eq(plait_failure_kind(told), tellings[_i].kind);
	ck_assert_int_eq(plait_failure_errno(told), tellings[_i].err);
	ck_assert_str_eq(plait_failure_message(told), "2 addresses failed");
	ck_assert_uint_eq(details(told, text, sizeof(text)), 2);
	first = strstr(text, "connect to 127.0.0.1:1: ");
	second = strstr(text, "connect to 127.0.0.1:2: ");
	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_nonnull(second);
	ck_assert(first < second);
	ck_assert_ptr_nonnull(strstr(first, strerror(tellings[_i].first)));
	ck_assert_ptr_nonnull(strstr(second, strerror(tellings[_i].second)));
	forget();
}

TEST(of_a_single_address_its_failure_is_told, ON_EACH_BACKEND)
{
	char text[256];

	make_for_keeper(30);
	ck_assert_int_eq(add(1), 0);
	fault_call("connect", 1, EHOSTUNREACH);
	start();
	wait_told();
	ck_assert_str_eq(plait_failure_message(told), "connect to 127.0.0.1:1");
	ck_assert_uint_eq(details(told, text, sizeof(text)), 0);
	forget();
}

/* With no memory to list them, the most telling one is told. */
TEST(without_memory_the_list_of_failures_is_left_out, ON_EACH_BACKEND)
{
	char text[256];

	make_for_keeper(30);
	ck_assert_int_eq(add(1), 0);
	ck_assert_int_eq(add(2), 0);
	fault_call("connect", 2, ECONNREFUSED);
	start();
	run_turns(reactor, 1);
	/* The second failure itself, then the list. */
	fault_alloc_at(1, false);
	wait_told();
	ck_assert(fault_alloc_reached());
	fault_alloc_off();
	ck_assert_ptr_eq(plait_failure_kind(told),
			 &plait_error_connection_refused);
	ck_assert_uint_eq(details(told, text, sizeof(text)), 0);
	forget();
}

TEST(connecting_again_tries_all_from_the_first, ON_EACH_BACKEND)
{
	open_addresses();
	make(30);
	add(refusing[0]);
	add(refusing[1]);
	calls_reset();
	start();
	run_until_count(reactor, &client.failed, 1);
	ck_assert_uint_eq(calls_of("connect"), 2);
	ck_assert_int_eq(plait_connector_connect(connector), 0);
	run_until_count(reactor, &client.failed, 2);
	ck_assert_uint_eq(calls_of("connect"), 4);
	close_addresses();
}

static void connect_again(struct actor *a)
{
	if (a->started < 3)
		ck_assert_int_eq(plait_connector_connect(connector), 0);
}

/* The descriptor of the last attempt is closed after it began anew. */
TEST(connecting_again_at_once_leaves_nothing_open, ON_EACH_BACKEND)
{
	open_addresses();
	client.on_failed = connect_again;
	make(30);
	add(refusing[0]);
	add(refusing[1]);
	start();
	run_until_count(reactor, &client.failed, 3);
	ck_assert_str_eq(client.trace, "ScFcFcFX");
	close_addresses();
}

TEST(so_many_addresses_are_tried_and_no_more, PURE)
{
	reactor = plait_testing_reactor_new();
	make(30);
	for (int i = 1; i <= ATTEMPTS_MAX; i++)
		ck_assert_int_eq(add((unsigned)i), 0);
	ck_assert_int_eq(add(1), -E2BIG);
	plait_connector_unref(&connector);
	plait_reactor_free(&reactor);
}

TEST(the_first_address_needs_no_memory, ON_EACH_REACTOR)
{
	make(30);
	fault_alloc_at(0, true);
	ck_assert_int_eq(add(1), 0);
	ck_assert_int_eq(add(2), -ENOMEM);
	fault_alloc_off();
	ck_assert_int_eq(add(2), 0);
	plait_connector_unref(&connector);
}

GROUP("search", .setup = setup);

TEST(a_list_may_grow_after_all_of_it_has_failed, ON_EACH_BACKEND)
{
	open_addresses();
	make_searching(30);
	start();
	ck_assert_uint_eq(finder.starts, 1);
	run_turns(reactor, 2);
	ck_assert_str_eq(client.trace, "Sc");
	add(refusing[0]);
	wait_tried();
	add(refusing[1]);
	wait_tried();
	ck_assert_str_eq(client.trace, "Sc");
	ck_assert_uint_eq(finder.stops, 0);
	add(listening);
	run_until_count(reactor, &client.made, 1);
	ck_assert_uint_gt(finder.stops, 0);
	ck_assert_int_eq(add(refusing[2]), -ENOTCONN);
	close_addresses();
	ck_assert_str_eq(client.trace, "ScBMLCX");
	ck_assert_uint_eq(finder.frees, 1);
}

TEST(an_address_that_comes_during_an_attempt_waits_for_that, ON_EACH_BACKEND)
{
	open_addresses();
	make_searching(30);
	start();
	add(refusing[0]);
	calls_reset();
	add(listening);
	run_turns(reactor, 1);
	ck_assert_uint_eq(calls_of("connect"), 1);
	run_until_count(reactor, &client.made, 1);
	ck_assert_uint_eq(calls_of("connect"), 2);
	close_addresses();
}

TEST(when_no_more_come_what_has_failed_is_told, ON_EACH_BACKEND, TIMES(2))
{
	open_addresses();
	make_searching(30);
	start();
	add(refusing[0]);
	if (_i == 0)
		wait_tried();
	plait_i_connector_no_more(connector, NULL);
	ck_assert_str_eq(client.trace, "Sc");
	run_until_count(reactor, &client.failed, 1);
	ck_assert_ptr_eq(client.kind, &plait_error_connection_refused);
	close_addresses();
	ck_assert_str_eq(client.trace, "ScFX");
}

static void find_nothing(struct finder *f)
{
	plait_i_connector_no_more(connector, NULL);
}

/* Nothing is told from inside, neither of the call nor of the start. */
TEST(no_address_at_all_is_told_from_the_loop, ON_EACH_REACTOR, TIMES(2))
{
	if (_i == 0)
		finder.on_start = find_nothing;
	make_searching(30);
	start();
	if (_i == 1)
		plait_i_connector_no_more(connector, NULL);
	ck_assert_str_eq(client.trace, "Sc");
	run_turns(reactor, 1);
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_eq(client.kind, &plait_error_dns_lookup);
	plait_connector_unref(&connector);
}

TEST(a_list_without_an_address_fails_from_the_loop, ON_EACH_REACTOR)
{
	make(30);
	start();
	ck_assert_str_eq(client.trace, "Sc");
	run_turns(reactor, 1);
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_eq(client.kind, &plait_error_dns_lookup);
	plait_connector_unref(&connector);
}

static const struct plait_failure *search_failure(void)
{
	plait_value v =
		plait_fail(&plait_error_dns_lookup, "the server is ill");

	return plait_value_failure(&v);
}

TEST(a_search_that_failed_is_told, ON_EACH_REACTOR)
{
	make_searching(30);
	start();
	plait_i_connector_no_more(connector, search_failure());
	run_turns(reactor, 1);
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_str_eq(client.why, "DNSLookupError: the server is ill");
	plait_connector_unref(&connector);
}

/* Half of a search may have failed: what was tried tells more. */
TEST(a_search_that_failed_tells_less_than_an_attempt, ON_EACH_BACKEND)
{
	char text[256];

	make_for_keeper(30);
	connector->attempts.search = &finder.base;
	fault_call("connect", 1, EACCES);
	start();
	add(1);
	plait_i_connector_no_more(connector, search_failure());
	wait_told();
	ck_assert_ptr_eq(plait_failure_kind(told), &plait_error_connect);
	ck_assert_int_eq(plait_failure_errno(told), EACCES);
	ck_assert_uint_eq(details(told, text, sizeof(text)), 2);
	ck_assert_ptr_nonnull(strstr(text, "\nDNSLookupError: the server"));
	forget();
}

TEST(an_attempt_goes_on_when_its_search_has_failed, ON_EACH_BACKEND)
{
	open_addresses();
	make_searching(30);
	start();
	add(listening);
	plait_i_connector_no_more(connector, search_failure());
	run_until_count(reactor, &client.made, 1);
	close_addresses();
	ck_assert_str_eq(client.trace, "ScBMLCX");
}

TEST(what_a_search_says_too_late_does_nothing, ON_EACH_BACKEND)
{
	open_addresses();
	make_searching(30);
	start();
	plait_i_connector_no_more(connector, NULL);
	plait_i_connector_no_more(connector, search_failure());
	ck_assert_int_eq(add(listening), -ENOTCONN);
	run_turns(reactor, 1);
	ck_assert_str_eq(client.why, "DNSLookupError: there is no address");
	plait_i_connector_no_more(connector, search_failure());
	ck_assert_int_eq(add(listening), -ENOTCONN);
	ck_assert(!plait_i_connector_try_next(connector));
	close_addresses();
	ck_assert_str_eq(client.trace, "ScFX");
}

TEST(connecting_again_searches_again, ON_EACH_BACKEND)
{
	open_addresses();
	make_searching(30);
	start();
	add(refusing[0]);
	add(refusing[1]);
	plait_i_connector_no_more(connector, NULL);
	run_until_count(reactor, &client.failed, 1);
	calls_reset();
	ck_assert_int_eq(plait_connector_connect(connector), 0);
	ck_assert_uint_eq(finder.starts, 2);
	run_turns(reactor, 3);
	ck_assert_uint_eq(calls_of("connect"), 0);
	add(listening);
	run_until_count(reactor, &client.made, 1);
	ck_assert_uint_eq(calls_of("connect"), 1);
	close_addresses();
	ck_assert_str_eq(client.trace, "ScFXScBMLCX");
}

GROUP("ending", .setup = setup);

/* While it searches; an attempt hangs; two do; one has failed, one hangs. */
TEST(stopping_ends_all, ON_EACH_BACKEND, TIMES(4))
{
	struct hanging h;

	open_addresses();
	hang(&h);
	make_searching(30);
	start();
	if (_i == 3) {
		add(refusing[0]);
		wait_tried();
	}
	if (_i > 0)
		add(h.number);
	if (_i == 2) {
		add(h.number);
		ck_assert(plait_i_connector_try_next(connector));
	}
	run_turns(reactor, 2);
	ck_assert_int_eq(plait_connector_stop_connecting(connector), 0);
	ck_assert_str_eq(client.trace, "Sc");
	ck_assert_uint_gt(finder.stops, 0);
	run_turns(reactor, 1);
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_eq(client.kind, &plait_error_user);
	hang_no_more(&h);
	close_addresses();
}

/* One fails in time, the next hangs; or none comes. */
TEST(the_timeout_is_for_all_together, ON_EACH_BACKEND, TIMES(2))
{
	char text[256], wanted[128];
	struct hanging h;

	clock_virtual(true);
	open_addresses();
	hang(&h);
	make_for_keeper(10);
	connector->attempts.search = &finder.base;
	start();
	run_for(reactor, 6);
	add(refusing[0]);
	wait_tried();
	if (_i == 0)
		add(h.number);
	run_for(reactor, 3.9);
	ck_assert_ptr_null(told);
	run_for(reactor, 0.2);
	ck_assert_ptr_nonnull(told);
	ck_assert_ptr_eq(plait_failure_kind(told),
			 &plait_error_connect_timeout);
	ck_assert_uint_eq(details(told, text, sizeof(text)), 1);
	snprintf(wanted, sizeof(wanted),
		 "ConnectionRefusedError: connect to 127.0.0.1:%u: ",
		 refusing[0]);
	ck_assert_ptr_nonnull(strstr(text, wanted));
	forget();
	hang_no_more(&h);
	close_addresses();
}

/* While it searches, while attempts are under way. */
TEST(freeing_the_reactor_ends_all, ON_EACH_BACKEND, TIMES(2))
{
	struct hanging h;

	hang(&h);
	make_searching(30);
	start();
	if (_i == 1) {
		add(h.number);
		add(h.number);
		ck_assert(plait_i_connector_try_next(connector));
	}
	run_turns(reactor, 2);
	plait_reactor_free(&reactor);
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_eq(client.kind, &plait_error_connection_lost);
	ck_assert_int_eq(add(h.number), -ENOTCONN);
	plait_connector_unref(&connector);
	ck_assert_uint_eq(finder.frees, 1);
	hang_no_more(&h);
}

/* It has one attempt that has failed and two that are under way. */
TEST(a_forked_child_leaves_the_attempts_to_the_parent, ON_EACH_BACKEND)
{
	struct hanging h;
	int status;
	pid_t pid;

	open_addresses();
	hang(&h);
	make_searching(30);
	start();
	add(refusing[0]);
	wait_tried();
	add(h.number);
	add(h.number);
	ck_assert(plait_i_connector_try_next(connector));
	run_turns(reactor, 1);
	pid = fork();
	if (pid == 0) {
		plait_reactor_free(&reactor);
		plait_connector_unref(&connector);
		_exit(client.failed > 0 || heap_left_since(0, stderr) > 0 ||
		      finder.frees != 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	add(listening);
	ck_assert(plait_i_connector_try_next(connector));
	run_until_count(reactor, &client.made, 1);
	hang_no_more(&h);
	close_addresses();
}

GROUP("overlap", .setup = setup);

TEST(attempts_may_overlap_and_the_first_that_succeeds_wins, ON_EACH_BACKEND)
{
	struct hanging h;

	open_addresses();
	hang(&h);
	make_searching(30);
	start();
	add(h.number);
	run_turns(reactor, 1);
	ck_assert(!plait_i_connector_try_next(connector));
	add(listening);
	run_turns(reactor, 2);
	ck_assert_str_eq(client.trace, "Sc");
	ck_assert(plait_i_connector_try_next(connector));
	run_until_count(reactor, &client.made, 1);
	ck_assert_ptr_null(plait_i_attempts_trying(&connector->attempts));
	hang_no_more(&h);
	close_addresses();
	ck_assert_str_eq(client.trace, "ScBMLCX");
}

TEST(one_that_fails_beside_another_starts_the_next, ON_EACH_BACKEND)
{
	struct hanging h;

	open_addresses();
	hang(&h);
	make(30);
	add(h.number);
	add(refusing[0]);
	add(listening);
	start();
	ck_assert(plait_i_connector_try_next(connector));
	run_until_count(reactor, &client.made, 1);
	ck_assert_uint_eq(plait_address_port(&client.peer), listening);
	hang_no_more(&h);
	close_addresses();
	ck_assert_str_eq(client.trace, "ScBMLCX");
}

TEST(all_have_failed_when_the_last_beside_has, ON_EACH_BACKEND)
{
	open_addresses();
	make(30);
	for (int i = 0; i < 3; i++)
		add(refusing[i]);
	start();
	ck_assert(plait_i_connector_try_next(connector));
	ck_assert(plait_i_connector_try_next(connector));
	ck_assert(!plait_i_connector_try_next(connector));
	run_until_count(reactor, &client.failed, 1);
	close_addresses();
	ck_assert_str_eq(client.trace, "ScFX");
}

/* Both are connected before the loop looks. */
TEST(of_two_that_succeed_together_the_other_is_closed_unseen, ON_EACH_BACKEND)
{
	uint16_t numbers[2];
	int listeners[2], fds[2];

	for (int i = 0; i < 2; i++)
		listeners[i] = peer_listen(&numbers[i], 4);
	make(30);
	add(numbers[0]);
	add(numbers[1]);
	fault_call("connect", 2, EINPROGRESS);
	start();
	ck_assert(plait_i_connector_try_next(connector));
	run_until_count(reactor, &client.made, 1);
	run_turns(reactor, 2);
	ck_assert_str_eq(client.trace, "ScBM");
	for (int i = 0; i < 2; i++)
		fds[i] = peer_accept(listeners[i]);
	plait_transport_abort(client.transport);
	actor_wait_idle(&client, reactor);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_le(peer_read_to_eof(reactor, fds[i], NULL, 0), 0);
		close(fds[i]);
		close(listeners[i]);
	}
	plait_connector_unref(&connector);
	run_turns(reactor, 2);
	ck_assert_str_eq(client.trace, "ScBMLCX");
}

/* The network that is the test has the same list. */
GROUP("testing", .setup = setup);

TEST(on_a_testing_reactor_the_test_decides_on_each_attempt, PURE)
{
	plait_value v = plait_fail(&plait_error_connection_refused, "by me");
	struct plait_transport *t;

	reactor = plait_testing_reactor_new();
	make(30);
	add(1);
	add(2);
	start();
	plait_testing_refuse(connector, plait_value_failure(&v));
	ck_assert_str_eq(client.trace, "Sc");
	t = plait_testing_complete(connector);
	ck_assert_ptr_nonnull(t);
	ck_assert_str_eq(client.trace, "ScBM");
	ck_assert_uint_eq(plait_address_port(&client.peer), 2);
	plait_transport_abort(t);
	plait_testing_advance(reactor, 0);
	plait_connector_unref(&connector);
	plait_reactor_free(&reactor);
	plait_value_free(&v);
}

/* start() of the factory has its say before the factory has heard of it. */
static void refuse_first(struct actor *a)
{
	plait_value v = plait_fail(&plait_error_connection_refused, "by me");

	plait_testing_refuse(connector, plait_value_failure(&v));
	ck_assert_ptr_null(plait_testing_complete(connector));
	plait_value_free(&v);
}

TEST(on_a_testing_reactor_start_may_decide_on_all, PURE)
{
	reactor = plait_testing_reactor_new();
	client.on_start = refuse_first;
	make(30);
	add(1);
	add(2);
	start();
	ck_assert_str_eq(client.trace, "Sc");
	plait_testing_advance(reactor, 0);
	ck_assert_str_eq(client.trace, "ScBM");
	plait_transport_abort(client.transport);
	plait_testing_advance(reactor, 0);
	plait_connector_unref(&connector);
	plait_reactor_free(&reactor);
}

/* Its burial waits already when the last attempt ends. */
TEST(a_connector_that_fails_again_before_its_burial_is_buried_once, PURE)
{
	plait_value v = plait_fail(&plait_error_connection_refused, "by me");
	struct plait_connector *c;
	struct plait_transport *t;

	reactor = plait_testing_reactor_new();
	make(30);
	add(1);
	start();
	c = connector;
	plait_connector_unref(&connector);
	t = plait_testing_complete(c);
	plait_testing_advance(reactor, 0);
	plait_testing_lose(t, plait_value_failure(&v));
	ck_assert_int_eq(plait_connector_connect(c), 0);
	plait_testing_refuse(c, plait_value_failure(&v));
	ck_assert_str_eq(client.trace, "ScBMLCXScFX");
	plait_testing_advance(reactor, 0);
	plait_reactor_free(&reactor);
	plait_value_free(&v);
}

TEST(on_a_testing_reactor_a_list_grows_too, PURE)
{
	plait_value v = plait_fail(&plait_error_connection_refused, "by me");

	reactor = plait_testing_reactor_new();
	make_searching(30);
	start();
	ck_assert_ptr_null(plait_testing_complete(connector));
	add(1);
	plait_testing_refuse(connector, plait_value_failure(&v));
	plait_testing_advance(reactor, 1);
	ck_assert_str_eq(client.trace, "Sc");
	add(2);
	plait_testing_refuse(connector, plait_value_failure(&v));
	plait_i_connector_no_more(connector, NULL);
	plait_testing_advance(reactor, 0);
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_eq(client.kind, &plait_error_connection_refused);
	plait_connector_unref(&connector);
	plait_reactor_free(&reactor);
	plait_value_free(&v);
}

/* A kind of the test's own, which never has an outcome. */
static void idle(struct attempt *a)
{
}

static int moon(const struct attempt *a, char *buf, size_t size)
{
	return snprintf(buf, size, "the moon");
}

static const struct attempt_ops moon_ops = {
	.size = sizeof(struct attempt),
	.start = idle,
	.stop = idle,
	.close = idle,
	.where = moon,
};

GROUP("kind", .setup = setup);

TEST(a_kind_without_an_address_says_where_it_goes, ON_EACH_BACKEND)
{
	const struct plait_address nowhere = { 0 };
	char text[64];

	connector = plait_connector_ref(plait_i_connector_new(
		reactor, "test", &moon_ops, &client.base));
	ck_assert_int_eq(plait_i_connector_add(connector, &nowhere), 0);
	start();
	plait_connector_str(connector, text, sizeof(text));
	ck_assert_str_eq(text, "connector to the moon, connecting");
	plait_connector_stop_connecting(connector);
	run_turns(reactor, 1);
	ck_assert_str_eq(client.why, "UserError: connect to the moon");
	plait_connector_unref(&connector);
}

/* Whatever is refused, nothing is left. */
GROUP("memory", .setup = setup, .timeout = 60);

static void scene(struct plait_reactor *r)
{
	actor_init(&client);
	actor_init(&server);
	reactor = r;
	open_addresses();
	connector = plait_connector_ref(plait_i_connector_new(
		r, "test", &plait_i_tcp_dial_ops.base, &client.base));
	if (connector != NULL) {
		finder.on_start = NULL;
		connector->attempts.search = &finder.base;
		connector->timeout = 30;
		start();
		add(refusing[0]);
		add(refusing[1]);
		add(listening);
		plait_i_connector_no_more(connector, NULL);
	}
	run_until_count(r, client.failed > 0 ? &client.failed : &client.made,
			1);
	ck_assert(torture_faulty() || strcmp(client.trace, "ScBM") == 0);
	plait_connector_disconnect(connector);
	close_addresses();
}

TEST(trying_a_list_survives_any_refused_allocation, ON_EACH_BACKEND)
{
	torture(scene, backend);
}
