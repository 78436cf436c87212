/*
 * A program that looks names up, and a name server on another host: links lose,
 * delay and double datagrams, kernels refuse, hosts crash.  The program cancels
 * some of its lookups, and gives some of them little time.
 *
 * What must hold: each lookup ends, in its time; an address that is told is
 * that of the name; that a name does not exist is told only of those that do
 * not; and when all is healed, each name has its address.
 */
#include <stdlib.h>
#include <string.h>

#include <plait/dns.h>

#include "reactor/loop/loop.h"
#include "tests/scenario.h"
#include "tests/scenario_names.h"

enum { N_NAMES = 40, IN_FLIGHT = 8, ENOUGH = 30, NAME_MOST = 64 };

/* ---- the server ------------------------------------------------------ */

static struct name_server server;

/* Reads "nN.example" of a question; returns N, or -1 if it asks for less. */
static int question_number(const unsigned char *bytes, size_t len)
{
	char label[NAME_MOST];

	if (len < 30 || bytes[12] >= sizeof(label) || bytes[13] != 'n')
		return -1;
	memcpy(label, bytes + 14, bytes[12] - 1u);
	label[bytes[12] - 1] = '\0';
	return atoi(label);
}

/* The number in the address of a name.  Names that end in 8 are aliases. */
static int number_behind(int n)
{
	return n % 10 == 8 ? n - 6 : n;
}

/*
 * What the server says of a name.  A name with an odd number does not exist,
 * and an alias is all that there is of its name.
 */
static const char *words_of(int n)
{
	static char words[200];

	if (n % 2 != 0)
		return "rcode 3; authority example 5 SOA a. b. 1 2 3 4 5";
	if (number_behind(n) != n)
		snprintf(words, sizeof(words),
			 "answer n%d.example 5 CNAME n%d.example", n,
			 number_behind(n));
	else
		snprintf(words, sizeof(words),
			 "answer n%d.example %u A 10.1.0.%d", n, 1 + dice(20),
			 n);
	return words;
}

static void server_is_asked(const struct name_question *q)
{
	int n = question_number(q->bytes, q->length);
	char words[300];

	if (n < 0)
		return;
	snprintf(words, sizeof(words), "question n%d.example A; %s", n,
		 words_of(n));
	names_answer(&server, &q->from, q->id, words);
}

/* ---- the program ------------------------------------------------------ */

struct search {
	struct plait_deferred *d;
	struct plait_timer timer; /* cancels it, or begins the next */
	double begun, timeout;
	int number;
};

static struct node client;
static struct search searches[IN_FLIGHT];
static unsigned known, absent;
static bool is_calm;

static void search_begin(void *arg);

/* It has ended: another one begins in a while. */
static void search_over(struct search *s)
{
	plait_timer_start(client.reactor, &s->timer, dice_seconds(0, 1),
			  search_begin, s);
}

static void search_found(const struct search *s,
			 const struct plait_addresses *a)
{
	char text[PLAIT_ADDRESS_SIZE], right[20];

	plait_address_host(&a->items[0], text, sizeof(text));
	snprintf(right, sizeof(right), "10.1.0.%d", number_behind(s->number));
	MUST(a->count == 1 && strcmp(text, right) == 0,
	     "%s is the address of n%d", text, s->number);
	known++;
}

static void search_failed(const struct search *s,
			  const struct plait_failure *why)
{
	bool is_absent = plait_failure_check(why, &plait_error_dns_no_name);

	MUST(!is_absent || s->number % 2 != 0, "n%d does not exist", s->number);
	absent += is_absent;
}

static plait_value search_ended(plait_value *result, void *arg)
{
	struct search *s = arg;
	double took = plait_reactor_seconds(client.reactor) - s->begun;

	MUST(took < s->timeout + 1, "a lookup took %g s of %g", took,
	     s->timeout);
	plait_timer_stop(&s->timer);
	if (plait_value_is_failure(result))
		search_failed(s, plait_value_failure(result));
	else
		search_found(s, plait_value_addresses(result));
	plait_deferred_detach(&s->d);
	search_over(s);
	return PLAIT_NONE;
}

static void search_cancel(void *arg)
{
	struct search *s = arg;

	(void)PLAIT_SOMETIMES(s->d != NULL);
	plait_deferred_cancel(s->d);
}

static void search_begin(void *arg)
{
	struct search *s = arg;
	struct plait_resolve_options options = { .family = AF_INET };
	char name[NAME_MOST];
	struct plait_deferred *d;

	s->number = (int)dice(N_NAMES);
	s->timeout = is_calm ? 60 : dice_seconds(0.1, 40);
	s->begun = plait_reactor_seconds(client.reactor);
	options.timeout = s->timeout;
	snprintf(name, sizeof(name), "n%d.example", s->number);
	d = plait_resolve(client.reactor, name, &options);
	s->d = d;
	if (!is_calm && dice_say(0.2))
		plait_timer_start(client.reactor, &s->timer,
				  dice_seconds(0, 10), search_cancel, s);
	plait_deferred_add_both(d, search_ended, s);
}

static void client_begin(struct node *n)
{
	for (int i = 0; i < IN_FLIGHT; i++) {
		searches[i] = (struct search){ .number = 0 };
		search_over(&searches[i]);
	}
}

/* The reactor is gone, and with it what was looked up. */
static void client_end(struct node *n)
{
}

static bool all_is_known(void *nothing)
{
	return known >= ENOUGH && absent >= ENOUGH;
}

SCENARIO(a_name_has_its_address_or_none)
{
	char resolv_conf[100];

	is_calm = false;
	server = NAME_SERVER("server", server_is_asked);
	client = (struct node){ .name = "client",
				.begin = client_begin,
				.end = client_end };
	snprintf(resolv_conf, sizeof(resolv_conf), "nameserver %s\n",
		 plait_host_address(
			 plait_simulation_host(simulation, "server")));
	plait_host_set_file(plait_simulation_host(simulation, "client"),
			    "/etc/resolv.conf", resolv_conf);
	node_start(&server.node);
	node_start(&client);
	weather_begin(WEATHER_ALL, 60);
	go_on(60);
	weather_clear();
	/* What was lost may be waited for until now. */
	go_on(50);
	is_calm = true;
	known = absent = 0;
	MUST(go_on_until(all_is_known, NULL, 1000),
	     "all is healed, and %u names are known", known);
	node_stop(&client);
	node_stop(&server.node);
	nodes_end();
}
