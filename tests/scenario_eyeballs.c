/*
 * Connecting to a name with several addresses, of which some are dead: their
 * host drops all packets, or cannot be reached, or nobody listens there.  The
 * families are told in any order and late, or not at all.  Who tells them is a
 * search of this file; a name server on another host, whose answers are late,
 * and to which questions are lost; or the hosts file.
 *
 * What must hold: the client is connected if and only if an address works, and
 * in the time that happy eyeballs give: when all was told, a quarter of a
 * second for each other address, and what the packets of the fastest host take.
 * If the client gives up, it is told that, once.  Nothing is left.
 */
#include <math.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <plait/dns.h>

#include "reactor/net/connector.h"
#include "reactor/net/tcp.h"
#include "tests/scenario.h"
#include "tests/scenario_names.h"

enum { PORT = 7100, PLACES = 12, ROUNDS = 6, TIMEOUT = 20, TURNS = 60 };

/* What resolv.conf says: a question that is lost is asked again within that
   many seconds, and so often in all. */
enum { ASKED_AGAIN = 1, ATTEMPTS = 3 };

enum health { WORKS, REFUSES, DROPS, UNREACHABLE, HEALTHS };

/* A host that has one of the addresses. */
struct place {
	struct node node;
	enum health health;
	struct plait_address address;
	double latency;
};

/* Who tells the addresses, instead of a lookup. */
struct answers {
	struct attempt_search base;
	struct plait_timer timers[2]; /* of IPv6 and IPv4 */
};

static struct place places[PLACES];
static unsigned n_places;
static struct node client;

enum way { BY_SEARCH, BY_FILE, BY_SERVER, WAYS };

/* A round: the client connects once. */
static struct {
	struct plait_factory factory;
	struct witness_factory seen;
	struct plait_connector *connector;
	struct answers answers;
	struct plait_timer next, patience;
	unsigned number;
	enum way way;		   /* who tells of addresses */
	bool is_told[2];	   /* of IPv6 and IPv4 */
	double delays[2];	   /* until then, or of an answer */
	bool is_denied[2];	   /* or else it is told that there is none */
	unsigned lost_at_first[2]; /* so many questions are lost */
	unsigned lost[2];	   /* ... from now on */
	double began, gives_up;	   /* 0: it does not */
	unsigned made, failed;
} trial;

static int family_at(unsigned i)
{
	return i == 0 ? AF_INET6 : AF_INET;
}

static unsigned index_of(const struct place *p)
{
	return plait_address_family(&p->address) == AF_INET6 ? 0 : 1;
}

/* ---- what is told ------------------------------------------------------- */

static void answers_tell(unsigned i)
{
	for (unsigned k = 0; k < n_places; k++) {
		if (trial.is_told[i] && index_of(&places[k]) == i)
			MUST(plait_i_connector_add(trial.connector,
						   &places[k].address) == 0,
			     "an address is refused");
	}
	plait_i_connector_no_more(trial.connector, family_at(i), NULL);
}

static void answers_tell_ipv6(void *arg)
{
	answers_tell(0);
}

static void answers_tell_ipv4(void *arg)
{
	answers_tell(1);
}

static void answers_start(struct attempt_search *s)
{
	struct answers *a = plait_self(s, struct answers);

	plait_timer_start(client.reactor, &a->timers[0], trial.delays[0],
			  answers_tell_ipv6, NULL);
	plait_timer_start(client.reactor, &a->timers[1], trial.delays[1],
			  answers_tell_ipv4, NULL);
}

static void answers_stop(struct attempt_search *s)
{
	struct answers *a = plait_self(s, struct answers);

	plait_timer_stop(&a->timers[0]);
	plait_timer_stop(&a->timers[1]);
}

static void answers_free(struct attempt_search *s)
{
}

/* ---- the name server ---------------------------------------------------- */

enum { MAX_ANSWERS = 16 };

static struct name_server dns;
static double names_latency;

/* An answer that is late.  It is on its way if its timer runs. */
struct late {
	struct plait_timer timer;
	struct sockaddr_in to;
	unsigned id, family;
};

static struct late late[MAX_ANSWERS];

/* The records, as words of dns_reply.h. */
static void late_records(const struct late *l, char *to, size_t size)
{
	size_t len = 0;
	char host[PLAIT_ADDRESS_SIZE];

	to[0] = '\0';
	for (unsigned k = 0; k < n_places; k++) {
		if (!trial.is_told[l->family] ||
		    index_of(&places[k]) != l->family)
			continue;
		plait_address_host(&places[k].address, host, sizeof(host));
		len += (size_t)snprintf(to + len, size - len,
					"; answer asked.example 0 %s %s",
					l->family == 0 ? "AAAA" : "A", host);
	}
	if (len == 0)
		snprintf(to, size, "; authority example 0 SOA a. b. 1 2 3 4 0");
}

static void late_send(void *arg)
{
	const struct late *l = arg;
	char records[1024], words[1200];

	late_records(l, records, sizeof(records));
	snprintf(words, sizeof(words), "question asked.example %s%s",
		 l->family == 0 ? "AAAA" : "A", records);
	names_answer(&dns, &l->to, l->id, words);
}

/* The type, of two bytes, stands behind the name. */
static unsigned question_family(const unsigned char *bytes)
{
	size_t type = 12 + sizeof("5asked7example");

	return bytes[type] * 256u + bytes[type + 1] == PLAIT_DNS_AAAA ? 0 : 1;
}

static void names_are_asked(const struct name_question *q)
{
	unsigned family = question_family(q->bytes), i = 0;

	if (trial.lost[family] > 0) {
		trial.lost[family]--;
		return;
	}
	if (!trial.is_told[family] && !trial.is_denied[family])
		return;
	while (i < MAX_ANSWERS && plait_timer_is_running(&late[i].timer))
		i++;
	MUST(i < MAX_ANSWERS, "so many questions at once");
	late[i].to = q->from;
	late[i].id = q->id;
	late[i].family = family;
	plait_timer_start(dns.node.reactor, &late[i].timer,
			  trial.delays[family], late_send, &late[i]);
}

static void late_stop(struct node *n)
{
	for (unsigned i = 0; i < MAX_ANSWERS; i++)
		plait_timer_stop(&late[i].timer);
}

/* ---- what must come of it ------------------------------------------------ */

static bool is_expected(const struct place *p)
{
	return p->health == WORKS && trial.is_told[index_of(p)];
}

static bool any_works(void)
{
	for (unsigned i = 0; i < n_places; i++) {
		if (is_expected(&places[i]))
			return true;
	}
	return false;
}

/* When it is told of that family. */
static double time_told(unsigned i)
{
	double asked = trial.way == BY_SERVER
			       ? trial.lost_at_first[i] * ASKED_AGAIN +
					 2 * names_latency
			       : 0;

	return asked + trial.delays[i];
}

/* How long the rules give, at most. */
static double time_given(void)
{
	double turn = plait_simulation_drawn_options(simulation)->turn_time;
	double fastest = INFINITY, told = EYEBALLS_RESOLUTION_DELAY / 1e9;

	for (unsigned i = 0; i < 2; i++) {
		if (trial.is_told[i] && time_told(i) > told)
			told = time_told(i);
	}
	for (unsigned i = 0; i < n_places; i++) {
		if (is_expected(&places[i]) && places[i].latency < fastest)
			fastest = places[i].latency;
	}
	return told + EYEBALLS_RESOLUTION_DELAY / 1e9 +
	       (n_places - 1) * EYEBALLS_ATTEMPT_DELAY / 1e9 + 2 * fastest +
	       TURNS * turn + 1e-6;
}

static double time_taken(void)
{
	return plait_simulation_seconds(simulation) - trial.began;
}

static void round_begin(void *arg);

static void round_is_over(void)
{
	MUST(trial.made + trial.failed == 1, "%u connections, %u failures",
	     trial.made, trial.failed);
	plait_timer_stop(&trial.patience);
	if (++trial.number < ROUNDS)
		plait_timer_start(client.reactor, &trial.next, 1.5, round_begin,
				  NULL);
}

static void client_made(struct plait_protocol *p)
{
	struct plait_address to;

	trial.made++;
	MUST(any_works(), "connected, and no address works");
	MUST(time_taken() <= time_given(), "%g s, and the rules give %g s",
	     time_taken(), time_given());
	plait_connector_destination(trial.connector, &to);
	for (unsigned i = 0; i < n_places; i++) {
		if (plait_address_equal(&to, &places[i].address))
			MUST(is_expected(&places[i]), "that one is dead");
	}
	plait_transport_lose_connection(p->transport);
}

static void client_failed(struct plait_factory *f, struct plait_connector *c,
			  const struct plait_failure *why)
{
	const struct plait_error *kind = plait_failure_kind(why);

	trial.failed++;
	if (trial.gives_up > 0 && kind == &plait_error_user)
		return;
	MUST(!any_works(), "an address works: %s: %s", kind->name,
	     plait_failure_message(why));
	MUST(kind != &plait_error_connect_timeout ||
		     time_taken() >= TIMEOUT - 1e-6,
	     "it is not so late");
}

/* It has ended, either way. */
static void client_stop(struct plait_factory *f)
{
	if (client.begun)
		round_is_over();
}

static const struct plait_protocol_ops client_ops = {
	.name = "caller",
	.connection_made = client_made,
};

static const struct plait_factory_ops callers_ops = {
	.name = "callers",
	.stop = client_stop,
	.connection_failed = client_failed,
};

/* ---- a round ------------------------------------------------------------ */

static void give_up(void *arg)
{
	plait_connector_stop_connecting(trial.connector);
}

static void round_draw(void)
{
	bool at_once;

	trial.way = dice(WAYS);
	for (unsigned i = 0; i < 2; i++) {
		trial.is_told[i] = trial.way == BY_FILE || dice_say(0.8);
		trial.is_denied[i] = dice_say(0.5);
		at_once = trial.way == BY_FILE || dice_say(0.4);
		trial.delays[i] = at_once ? 0 : dice_seconds(0, 0.4);
		trial.lost_at_first[i] = dice_say(0.7) ? 0 : dice(ATTEMPTS);
		trial.lost[i] = trial.lost_at_first[i];
	}
	trial.gives_up = dice_say(0.2) ? dice_seconds(0.001, 1) : 0;
}

static struct plait_connector *round_connect_to(const char *name)
{
	return plait_connect_tcp(
		client.reactor, name, PORT, &trial.seen.base,
		&(struct plait_connect_options){ .timeout = TIMEOUT });
}

static struct plait_connector *round_connect_by_search(void)
{
	struct plait_connector *c = plait_i_connector_new(
		client.reactor, "scenario", &plait_i_tcp_dial_ops.base,
		&trial.seen.base);

	trial.answers.base = (struct attempt_search){
		.start = answers_start,
		.stop = answers_stop,
		.free = answers_free,
		.name = "many.example:7100",
		.attempt_delay = EYEBALLS_ATTEMPT_DELAY,
		.resolution_delay = EYEBALLS_RESOLUTION_DELAY,
	};
	c->timeout = TIMEOUT;
	plait_i_attempts_search(&c->attempts, &trial.answers.base);
	plait_i_connector_start(c);
	return c;
}

static struct plait_connector *round_connect(void)
{
	switch (trial.way) {
	case BY_FILE:
		return round_connect_to("many.example");
	case BY_SERVER:
		return round_connect_to("asked.example");
	default:
		return round_connect_by_search();
	}
}

static void round_begin(void *arg)
{
	round_draw();
	trial.made = trial.failed = 0;
	trial.factory = (struct plait_factory){ .ops = &callers_ops,
						.protocol = &client_ops };
	witness_factory_init(&trial.seen, &witness, &trial.factory, false);
	trial.began = plait_simulation_seconds(simulation);
	plait_connector_unref(&trial.connector);
	trial.connector = plait_connector_ref(round_connect());
	if (trial.gives_up > 0)
		plait_timer_start(client.reactor, &trial.patience,
				  trial.gives_up, give_up, NULL);
}

/* By then all others have begun. */
static void client_begin(struct node *n)
{
	plait_timer_start(n->reactor, &trial.next, 1, round_begin, NULL);
}

static void client_end(struct node *n)
{
	plait_timer_stop(&trial.next);
	plait_timer_stop(&trial.patience);
	plait_connector_unref(&trial.connector);
}

/* ---- the places ---------------------------------------------------------- */

static void place_made(struct plait_protocol *p)
{
	plait_transport_lose_connection(p->transport);
}

static const struct plait_protocol_ops place_ops = {
	.name = "place",
	.connection_made = place_made,
};

static struct plait_factory server;

static void place_begin(struct node *n)
{
	const struct plait_listen_options options = { .iface = "::" };

	if (plait_self(n, struct place)->health == WORKS)
		MUST(plait_listen_tcp(n->reactor, PORT, &server, &options,
				      NULL) == 0,
		     "it cannot listen");
}

/* Of the two addresses of its host it has one. */
static void place_set_address(struct place *p)
{
	const char *ipv4 = plait_host_address(p->node.host);
	char ipv6[32];

	snprintf(ipv6, sizeof(ipv6), "fd00::%x", atoi(strrchr(ipv4, '.') + 1));
	plait_address_parse(&p->address, dice_say(0.5) ? ipv4 : ipv6, PORT);
}

static void place_set_link(const struct place *p)
{
	const struct plait_link link = {
		.latency = p->latency,
		.down = p->health == DROPS,
		.unreachable = p->health == UNREACHABLE,
	};

	plait_simulation_set_link(simulation, client.host, p->node.host, &link);
	plait_simulation_set_link(simulation, p->node.host, client.host, &link);
}

/* Its kernel refuses nothing: what is lost by that is seen elsewhere. */
static void place_start(struct node *n)
{
	node_start(n);
	n->faults = (struct plait_host_faults){ .short_read = 0 };
}

/* Where few work, most drop. */
static enum health health_draw(double works)
{
	if (dice_say(works))
		return WORKS;
	return works < 0.3 ? DROPS : dice(HEALTHS);
}

static void places_begin(void)
{
	static const char *const names[PLACES] = { "ann", "ben", "cat", "dan",
						   "eve", "fay", "gus", "hal",
						   "ian", "jim", "kay", "lou" };
	double works = dice_say(0.2) ? 0.05 : 0.3;

	server = (struct plait_factory){ .protocol = &place_ops };
	n_places = 1 + dice(dice_say(0.3) ? PLACES : PLACES / 2);
	for (unsigned i = 0; i < n_places; i++) {
		struct place *p = &places[i];

		*p = (struct place){ .health = health_draw(works) };
		p->node =
			(struct node){ .name = names[i], .begin = place_begin };
		p->latency = dice_say(0.3) ? 0 : dice_seconds(0.001, 0.5);
		place_start(&p->node);
		place_set_address(p);
	}
}

/* The files of the client. */
static void places_write(void)
{
	char text[1024] = "", host[PLAIT_ADDRESS_SIZE];
	size_t len = 0;

	for (unsigned i = 0; i < n_places; i++) {
		plait_address_host(&places[i].address, host, sizeof(host));
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"%s many.example\n", host);
	}
	MUST(plait_host_set_file(client.host, "/etc/hosts", text) == 0,
	     "no file");
	snprintf(text, sizeof(text),
		 "nameserver %s\noptions timeout:%d attempts:%d\n",
		 plait_host_address(dns.node.host), ASKED_AGAIN, ATTEMPTS);
	MUST(plait_host_set_file(client.host, "/etc/resolv.conf", text) == 0,
	     "no file");
}

static void names_set_link(void)
{
	const struct plait_link link = { .latency = names_latency };

	plait_simulation_set_link(simulation, client.host, dns.node.host,
				  &link);
	plait_simulation_set_link(simulation, dns.node.host, client.host,
				  &link);
}

static bool rounds_are_over(void *nothing)
{
	return trial.number >= ROUNDS;
}

SCENARIO(a_name_is_reached_if_any_of_its_addresses_works)
{
	trial.number = 0;
	places_begin();
	client = (struct node){ .name = "client",
				.begin = client_begin,
				.end = client_end };
	dns = NAME_SERVER("names", names_are_asked);
	dns.node.end = late_stop;
	place_start(&dns.node);
	place_start(&client);
	plait_simulation_heal(simulation);
	names_latency = dice_say(0.5) ? 0 : dice_seconds(0, 0.05);
	names_set_link();
	for (unsigned i = 0; i < n_places; i++)
		place_set_link(&places[i]);
	places_write();
	MUST(go_on_until(rounds_are_over, NULL, ROUNDS * (TIMEOUT + 10)),
	     "round %u does not end", trial.number);
	plait_simulation_heal(simulation);
	client_end(&client);
}
