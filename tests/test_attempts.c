/*
 * A connector whose addresses are searched, by the doors that are inside the
 * library.  What happy eyeballs do with them is in test_eyeballs.c.  The
 * stories have words for it:
 *
 *	search			a connector of the client's, with a finder of
 *				IPv4 addresses
 *	families		... of both
 *	finds refusing		an address, as soon as it is asked to start, and
 *				no more than those
 *	finds nothing
 *	start
 *	add 7, add 7 ENOTCONN	the address of that port: listening (the
 *				server's), refusing, full, or a number
 *	add6 7			the same in IPv6
 *	no-more, no-more ill	the finder's end
 *	tried			turns until what was added has failed
 *	tries nothing		no attempt is under way
 *	later 0.25		so much time passes, and a few turns
 *	finder starts 1		also stops, frees
 *	to 7, reaches 7		where it goes, where the client's protocol is
 *	close			ends all, and gives the connector back
 *	forget			only that
 *	refuse, complete, complete nothing, connect-last, advance 1	on a
 *				testing reactor; the third: the last attempt
 */
#include <stdio.h>
#include <sys/socket.h>

#include <plait/testing.h>

#include "reactor/net/connector.h"
#include "reactor/net/tcp.h"
#include "tests/child.h"
#include "tests/stage.h"

/* Who finds addresses, and what he is asked. */
struct finder {
	struct attempt_search base;
	unsigned found[EYEBALLS_ADDRESSES + 1], n; /* at the start */
	bool ends;				   /* there */
	unsigned starts, stops, frees;
};

static struct finder finder;
static struct plait_connector *connector;

static int add(unsigned number);

static void finder_start(struct attempt_search *s)
{
	struct finder *f = plait_self(s, struct finder);

	connector = plait_container(s->of, struct plait_connector, attempts);
	f->starts++;
	for (unsigned i = 0; i < f->n; i++)
		ck_assert_int_eq(add(f->found[i]), 0);
	if (f->ends)
		plait_i_connector_no_more(connector, AF_UNSPEC, NULL);
}

static void finder_stop(struct attempt_search *s)
{
	plait_self(s, struct finder)->stops++;
}

static void finder_free(struct attempt_search *s)
{
	plait_self(s, struct finder)->frees++;
}

/* Ends all there is. */
static void end_all(void)
{
	if (client.transport != NULL)
		plait_transport_abort_connection(client.transport);
	plait_connector_unref(&connector);
	stage_over();
	stage_close();
}

static void make_for(struct plait_factory *f, double timeout)
{
	struct plait_connector *c = plait_i_connector_new(
		reactor, "test", &plait_i_tcp_dial_ops.base, f);

	c->timeout = timeout;
	plait_i_attempts_search(&c->attempts, &finder.base);
	connector = plait_connector_ref(c);
}

static void make_searching(void)
{
	make_for(&client.base, 30);
}

static int add_at(const char *host, unsigned number)
{
	struct plait_address a;

	plait_address_parse(&a, host, number);
	return plait_i_connector_add(connector, &a);
}

static int add(unsigned number)
{
	return add_at("127.0.0.1", number);
}

/* What it finds as soon as it starts, and nothing else. */
static void find(unsigned number)
{
	finder.found[finder.n++] = number;
	finder.ends = true;
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

static unsigned number_of(const char *word)
{
	if (strcmp(word, "listening") == 0)
		return server_number;
	if (strcmp(word, "refusing") == 0)
		return refusing;
	if (strcmp(word, "full") == 0)
		return stage_full();
	return (unsigned)atoi(word);
}

static const struct plait_failure *search_failure(void)
{
	plait_value v =
		plait_fail(&plait_error_dns_lookup, "the server is ill");

	return plait_value_failure(&v);
}

static void step_finds(void)
{
	finder.ends = true;
	if (!play_mark("nothing"))
		find(number_of(play_word()));
}

static void step_families(void)
{
	finder.base.family = AF_UNSPEC;
}

static void add_step(const char *host)
{
	int r = add_at(host, number_of(play_word()));
	int expected = play_more() ? play_errno() : 0;

	play_holds(r == -expected, "%s", play_errno_name(-r));
}

static void step_add(void)
{
	add_step("127.0.0.1");
}

static void step_add6(void)
{
	add_step("::1");
}

static void step_no_more(void)
{
	plait_i_connector_no_more(connector, AF_UNSPEC,
				  play_mark("ill") ? search_failure() : NULL);
}

static void step_later(void)
{
	clock_virtual(true);
	run_for(reactor, play_number());
	run_turns(reactor, 2);
}

static void step_tries(void)
{
	play_holds(play_mark("nothing") && is_idle(NULL), "it does");
}

static void step_finder(void)
{
	const char *what = play_word();

	play_number_is(strcmp(what, "starts") == 0  ? finder.starts
		       : strcmp(what, "stops") == 0 ? finder.stops
						    : finder.frees);
}

static void step_to(void)
{
	struct plait_address to;

	plait_connector_destination(connector, &to);
	play_holds(plait_address_port(&to) == number_of(play_word()),
		   "elsewhere");
}

static void step_reaches(void)
{
	play_holds(plait_address_port(&client.peer) == number_of(play_word()),
		   "elsewhere");
}

static void step_forget(void)
{
	plait_connector_unref(&connector);
}

static void step_refuse(void)
{
	plait_value v = plait_fail(&plait_error_connection_refused, "by me");

	plait_testing_refuse(connector, plait_value_failure(&v));
	plait_value_free(&v);
}

static void step_complete(void)
{
	bool done = plait_testing_complete(connector) != NULL;

	play_holds(done != play_mark("nothing"), "not so");
}

static void step_connect_last(void)
{
	struct plait_list *l = connector->attempts.all.prev;
	struct attempt *a = plait_container(l, struct attempt, link);

	while (a->state != ATTEMPT_TRYING) {
		l = l->prev;
		a = plait_container(l, struct attempt, link);
	}
	plait_i_attempt_connected(a);
}

static void step_advance(void)
{
	plait_testing_advance(reactor, play_number());
}

static const struct play_verb words[] = {
	{ "add", step_add },
	{ "add6", step_add6 },
	{ "advance", step_advance },
	{ "close", end_all },
	{ "complete", step_complete },
	{ "connect-last", step_connect_last },
	{ "families", step_families },
	{ "finder", step_finder },
	{ "finds", step_finds },
	{ "forget", step_forget },
	{ "later", step_later },
	{ "no-more", step_no_more },
	{ "reaches", step_reaches },
	{ "refuse", step_refuse },
	{ "search", make_searching },
	{ "start", start },
	{ "to", step_to },
	{ "tried", wait_tried },
	{ "tries", step_tries },
	{ NULL, NULL },
};

static void setup(void)
{
	stage_setup();
	play_words(words, NULL);
	finder = (struct finder){
		.base = {
			.start = finder_start,
			.stop = finder_stop,
			.free = finder_free,
			.name = "poetry.example:1",
			.family = AF_INET,
			.attempt_delay = EYEBALLS_ATTEMPT_DELAY,
			.resolution_delay = EYEBALLS_RESOLUTION_DELAY,
		},
	};
	connector = NULL;
}

static void setup_testing(void)
{
	setup();
	reactor = plait_testing_reactor_new();
}

GROUP("list", .setup = setup, .teardown = stage_teardown);

STORY(the_next_address_is_tried_when_one_fails,
      "server listens; finds refusing; finds refusing; finds refusing;"
      "finds listening; search; to 0; count; start; client trace Sc;"
      "to refusing; until client made 1; client trace ScBM; calls connect 4;"
      "to listening; reaches listening; close; client trace ScBMLCX");

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

TEST(the_most_telling_failure_is_told_and_carries_each, ON_EACH_KERNEL,
     EACH_OF(tellings))
{
	char text[256];
	const char *first, *second;

	clock_virtual(true);
	make_for(&keeper, 30);
	find(1);
	find(2);
	fault_call("connect", 1, tellings[_i].first);
	fault_call("connect", 1, tellings[_i].second);
	start();
	wait_told();
	ck_assert_ptr_eq(plait_failure_kind(told), tellings[_i].kind);
	ck_assert_int_eq(plait_failure_errno(told), tellings[_i].err);
	ck_assert_str_eq(plait_failure_message(told),
			 "connect to poetry.example:1");
	ck_assert_uint_eq(details(told, text, sizeof(text)), 2);
	first = strstr(text, "connect to 127.0.0.1:1 at 0.000 s: ");
	second = strstr(text, "connect to 127.0.0.1:2 at 0.000 s: ");
	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_nonnull(second);
	ck_assert(first < second);
	ck_assert_ptr_nonnull(strstr(first, strerror(tellings[_i].first)));
	ck_assert_ptr_nonnull(strstr(second, strerror(tellings[_i].second)));
	forget();
}

TEST(of_a_single_address_its_failure_is_told_with_the_name, ON_EACH_KERNEL)
{
	char text[256];

	clock_virtual(true);
	make_for(&keeper, 30);
	find(1);
	fault_call("connect", 1, EHOSTUNREACH);
	start();
	wait_told();
	ck_assert_str_eq(plait_failure_message(told),
			 "connect to poetry.example:1");
	ck_assert_uint_eq(details(told, text, sizeof(text)), 1);
	ck_assert_str_eq(text, "NoRouteError: connect to 127.0.0.1:1 at 0.000 "
			       "s: No route to host\n");
	forget();
}

/* Each has its time; one that is under way has the reason of the end. */
TEST(each_attempt_is_told_with_its_time, ON_EACH_KERNEL)
{
	char text[512], expected[512];

	clock_virtual(true);
	make_for(&keeper, 3);
	finder.base.family = AF_UNSPEC;
	start();
	run_for(reactor, 1);
	fault_call("connect", 1, ENETUNREACH);
	add_at("::1", 7);
	wait_tried();
	run_for(reactor, 0.5);
	add(stage_full());
	run_for(reactor, 2);
	ck_assert_ptr_eq(plait_failure_kind(told),
			 &plait_error_connect_timeout);
	ck_assert_uint_eq(details(told, text, sizeof(text)), 2);
	snprintf(expected, sizeof(expected),
		 "NoRouteError: connect to [::1]:7 at 1.000 s: Network is "
		 "unreachable\nConnectTimeoutError: connect to 127.0.0.1:%u at "
		 "3.000 s: no answer\n",
		 stage_full());
	ck_assert_str_eq(text, expected);
	forget();
	end_all();
}

/* With no memory to list them, the most telling one is told. */
TEST(without_memory_the_list_of_failures_is_left_out, ON_EACH_KERNEL)
{
	char text[256];

	make_for(&keeper, 30);
	find(1);
	find(2);
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

STORY(connecting_again_tries_all_from_the_first,
      "finds refusing; finds refusing; search; count; start;"
      "until client failed 1;"
      "calls connect 2; client again; until client failed 2; calls connect 4;"
      "close");

/* The descriptor of the last attempt is closed after it began anew. */
STORY(connecting_again_at_once_leaves_nothing_open,
      "client F { client F { client F { } client again } client again }"
      "finds refusing; finds refusing; search; start; until client failed 3;"
      "client trace ScFcFcFX; close");

TEST(so_many_addresses_of_a_family_are_tried_and_no_more, PURE)
{
	reactor = plait_testing_reactor_new();
	for (unsigned i = 1; i <= EYEBALLS_OF_FAMILY; i++)
		find(i);
	finder.ends = false;
	make_searching();
	start();
	ck_assert_int_eq(add(1), -E2BIG);
	plait_reactor_free(&reactor);
	plait_connector_unref(&connector);
}

TEST(without_a_search_there_is_one_address, PURE)
{
	reactor = plait_testing_reactor_new();
	connector = plait_connector_ref(plait_i_connector_new(
		reactor, "test", &plait_i_tcp_dial_ops.base, &client.base));
	ck_assert_int_eq(add(1), 0);
	ck_assert_int_eq(add(2), -E2BIG);
	plait_connector_unref(&connector);
	plait_reactor_free(&reactor);
}

STORY_ON(the_first_address_needs_no_memory, ON_EACH_REACTOR,
	 "search; start; no-memory; add 1; add 2 ENOMEM; memory; add 2;"
	 "client gives-up; turn; forget");

GROUP("search", .setup = setup, .teardown = stage_teardown);

STORY(a_list_may_grow_after_all_of_it_has_failed,
      "server listens; search; start; finder starts 1; turn 2;"
      "client trace Sc; add refusing; tried; add refusing; tried;"
      "client trace Sc; finder stops 0; add listening; until client made 1;"
      "finder stops >0; add refusing ENOTCONN; close; client trace ScBMLCX;"
      "finder frees 1");

STORY(an_address_that_comes_during_an_attempt_waits_for_that,
      "server listens; search; start; add refusing; count; add listening;"
      "turn; calls connect 1; until client made 1; calls connect 2; close");

#define TOLD                                                                   \
	"no-more; client trace Sc; until client failed 1;"                     \
	"client kind ConnectionRefusedError; close; client trace ScFX"

STORY(when_no_more_come_what_has_failed_is_told,
      "search; start; add refusing; tried;" TOLD,
      "search; start; add refusing;" TOLD);

/* Nothing is told from inside, neither of the call nor of the start. */
#define NONE                                                                   \
	"client trace Sc; turn; client trace ScFX;"                            \
	"client kind DNSLookupError; forget"

STORY_ON(no_address_at_all_is_told_from_the_loop, ON_EACH_REACTOR,
	 "finds nothing; search; start;" NONE, "search; start; no-more;" NONE);

TEST(a_connector_without_an_address_fails_from_the_loop, ON_EACH_KERNEL)
{
	connector = plait_connector_ref(plait_i_connector_new(
		reactor, "test", &plait_i_tcp_dial_ops.base, &client.base));
	start();
	ck_assert_str_eq(client.trace, "Sc");
	run_turns(reactor, 1);
	ck_assert_str_eq(client.why, "DNSLookupError: there is no address");
	plait_connector_unref(&connector);
}

STORY_ON(a_search_that_failed_is_told, ON_EACH_REACTOR,
	 "search; start; no-more ill; turn; client trace ScFX;"
	 "client why DNSLookupError: the server is ill; forget",
	 /* ... again, and nothing is left of the first time. */
	 "search; start; no-more ill; turn; client again; turn;"
	 "no-more; turn; client trace ScFXScFX;"
	 "client why DNSLookupError: there is no address; forget");

/* Half of a search may have failed: what was tried tells more. */
TEST(a_search_that_failed_tells_less_than_an_attempt, ON_EACH_KERNEL)
{
	char text[256];

	make_for(&keeper, 30);
	fault_call("connect", 1, EACCES);
	start();
	add(1);
	plait_i_connector_no_more(connector, AF_UNSPEC, search_failure());
	wait_told();
	ck_assert_ptr_eq(plait_failure_kind(told), &plait_error_connect);
	ck_assert_int_eq(plait_failure_errno(told), EACCES);
	ck_assert_uint_eq(details(told, text, sizeof(text)), 2);
	ck_assert_ptr_nonnull(strstr(text, "\nDNSLookupError: the server"));
	forget();
}

STORY(an_attempt_goes_on_when_its_search_has_failed,
      "server listens; search; start; add listening; no-more ill;"
      "until client made 1; close; client trace ScBMLCX");

STORY(what_a_search_says_too_late_does_nothing,
      "server listens; search; start; no-more; no-more ill;"
      "add listening ENOTCONN; turn;"
      "client why DNSLookupError: there is no address; no-more ill;"
      "add listening ENOTCONN; close; client trace ScFX");

STORY(connecting_again_searches_again,
      "server listens; search; start; add refusing; add refusing; no-more;"
      "until client failed 1; count; client again; finder starts 2; turn 3;"
      "calls connect 0; add listening; until client made 1; calls connect 1;"
      "close; client trace ScFXScBMLCX");

GROUP("ending", .setup = setup, .teardown = stage_teardown);

/* While it searches; an attempt hangs; two do; one has failed, one hangs. */
#define STOPS                                                                  \
	"turn 2; client gives-up; client trace Sc; finder stops >0; turn;"     \
	"client trace ScFX; client kind UserError; close"

STORY(stopping_ends_all, "search; start;" STOPS,
      "search; start; add full;" STOPS,
      "search; start; add full; add full; later 0.25;" STOPS,
      "search; start; add refusing; tried; add full;" STOPS);

/* It had an address left, and a time for it. */
STORY(nothing_is_tried_after_the_end,
      "search; start; add full; add full; turn 2; count; client gives-up;"
      "later 1; calls connect 0; client trace ScFX; close",
      "server listens; search; start; add listening; add full; count;"
      "until client made 1; later 1; calls connect 1; client trace ScBM;"
      "close");

/* One fails in time, the next hangs; or none comes. */
TEST(the_timeout_is_for_all_together, ON_EACH_KERNEL, TIMES(2))
{
	char text[256], wanted[128];

	clock_virtual(true);
	make_for(&keeper, 10);
	start();
	run_for(reactor, 6);
	add(refusing);
	wait_tried();
	if (_i == 0)
		add(stage_full());
	run_for(reactor, 3.9);
	ck_assert_ptr_null(told);
	run_for(reactor, 0.2);
	ck_assert_ptr_nonnull(told);
	ck_assert_ptr_eq(plait_failure_kind(told),
			 &plait_error_connect_timeout);
	ck_assert_uint_eq(details(told, text, sizeof(text)), _i == 0 ? 2 : 1);
	snprintf(wanted, sizeof(wanted),
		 "ConnectionRefusedError: connect to 127.0.0.1:%u at 6.000 s: ",
		 refusing);
	ck_assert_ptr_nonnull(strstr(text, wanted));
	forget();
	end_all();
}

/* While it searches, while attempts are under way. */
#define FREED                                                                  \
	"turn 2; free-reactor; client trace ScFX; client kind ConnectionLost;" \
	"add full ENOTCONN; forget; finder frees 1"

STORY(freeing_the_reactor_ends_all, "search; start;" FREED,
      "search; start; add full; add full; later 0.25;" FREED);

/* It has one attempt that has failed and two that are under way. */
TEST(a_forked_child_leaves_the_attempts_to_the_parent, ON_EACH_BACKEND)
{
	pid_t pid;

	stage_play("server listens; search; start; add refusing; tried;"
		   "add full; add full; later 0.25");
	pid = fork();
	if (pid == 0) {
		plait_reactor_free(&reactor);
		plait_connector_unref(&connector);
		_exit(client.failed > 0 || heap_left_since(0, stderr) > 0 ||
		      finder.frees != 1);
	}
	child_ends(pid);
	stage_play("add listening; later 0.5; until client made 1; close");
}

GROUP("overlap", .setup = setup, .teardown = stage_teardown);

STORY(attempts_may_overlap_and_the_first_that_succeeds_wins,
      "server listens; search; start; add full; add listening; later 0.24;"
      "client trace Sc; later 0.01; until client made 1; tries nothing;"
      "reaches listening; close; client trace ScBMLCX");

STORY(one_that_fails_beside_another_starts_the_next,
      "server listens; finds full; finds refusing; finds listening; search;"
      "start; later 0.25; until client made 1; reaches listening; close;"
      "client trace ScBMLCX");

STORY(ipv6_is_awaited_for_a_moment,
      "server listens; families; search; start; add listening; later 0.04;"
      "client trace Sc; later 0.01; until client made 1; close",
      /* ... and tried first, if it comes. */
      "server listens; families; search; start; add listening; later 0.04;"
      "count; add6 refusing; until client made 1; calls connect 2; close");

/* Both are connected before the loop looks. */
TEST(of_two_that_succeed_together_the_other_is_closed_unseen, ON_EACH_BACKEND)
{
	uint16_t numbers[2];
	int listeners[2], fds[2];

	for (int i = 0; i < 2; i++)
		listeners[i] = peer_listen(&numbers[i], 4);
	clock_virtual(true);
	find(numbers[0]);
	find(numbers[1]);
	make_searching();
	fault_call("connect", 2, EINPROGRESS);
	start();
	stage_attempt();
	clock_advance(0.25);
	stage_attempt();
	run_until_count(reactor, &client.made, 1);
	run_turns(reactor, 2);
	ck_assert_str_eq(client.trace, "ScBM");
	for (int i = 0; i < 2; i++)
		fds[i] = peer_accept(listeners[i]);
	plait_transport_abort_connection(client.transport);
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
GROUP("testing", .setup = setup_testing, .teardown = stage_teardown);

STORY_ON(on_a_testing_reactor_the_test_decides_on_each_attempt, PURE,
	 "finds 1; finds 2; search; start; refuse; client trace Sc; complete;"
	 "client trace ScBM; reaches 2; client aborts; advance 0; forget");

/* The event of an attempt that has begun later comes first. */
STORY_ON(of_two_in_one_turn_the_first_in_order_wins, PURE,
	 "finds 1; finds 2; finds 3; search; start; advance 0.25; connect-last;"
	 "client trace Sc; complete; client trace ScBM; reaches 1;"
	 "client aborts; advance 0; forget",
	 /* ... and in the next turn it would be late. */
	 "finds 1; finds 2; finds 3; search; start; advance 0.25; connect-last;"
	 "client trace Sc; advance 0; client trace ScBM; reaches 2;"
	 "client aborts; advance 0; forget",
	 "finds 1; finds 2; search; start; advance 0.25; connect-last;"
	 "client gives-up; advance 0; client trace ScFX; forget");

/* start() of the factory has its say before the factory has heard of it. */
STORY_ON(on_a_testing_reactor_start_may_decide_on_all, PURE,
	 "client S { refuse; complete nothing } finds 1; finds 2; search;"
	 "start; client trace Sc; advance 0; client trace ScBM; client aborts;"
	 "advance 0; forget");

/* Its burial waits already when the last attempt ends. */
TEST(a_connector_that_fails_again_before_its_burial_is_buried_once, PURE)
{
	plait_value v = plait_fail(&plait_error_connection_refused, "by me");
	struct plait_connector *c;
	struct plait_transport *t;

	find(1);
	make_searching();
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
	connector = NULL;
	plait_value_free(&v);
}

STORY_ON(on_a_testing_reactor_a_list_grows_too, PURE,
	 "search; start; complete nothing; add 1; refuse; advance 1;"
	 "client trace Sc; add 2; refuse; no-more; advance 0;"
	 "client trace ScFX; client kind ConnectionRefusedError; forget");

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

GROUP("kind", .setup = setup, .teardown = stage_teardown);

TEST(a_kind_without_an_address_says_where_it_goes, ON_EACH_KERNEL)
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
GROUP("memory", .setup = setup, .teardown = stage_teardown, .timeout = 60);

static void scene(struct plait_reactor *r)
{
	actor_init(&client);
	actor_init(&server);
	reactor = r;
	stage_listen();
	connector = plait_connector_ref(plait_i_connector_new(
		r, "test", &plait_i_tcp_dial_ops.base, &client.base));
	if (connector != NULL) {
		finder.n = 0;
		finder.ends = false;
		plait_i_attempts_search(&connector->attempts, &finder.base);
		connector->timeout = 30;
		start();
		add(refusing);
		add(refusing);
		add(server_number);
		plait_i_connector_no_more(connector, AF_UNSPEC, NULL);
	}
	run_until_count(r, client.failed > 0 ? &client.failed : &client.made,
			1);
	ck_assert(torture_faulty() || strcmp(client.trace, "ScBM") == 0);
	plait_connector_disconnect(connector);
	end_all();
}

TEST(trying_a_list_survives_any_refused_allocation, ON_EACH_BACKEND)
{
	torture(scene, backend);
}
