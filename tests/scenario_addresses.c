/*
 * Addresses that programs tell each other.  A client makes up an address, of
 * any family, writes it as text and sends it; the server reads the text and
 * sends back what it has understood, as text.  Some texts are spoilt on
 * purpose.
 *
 * What must hold: a text that plait has written is understood, and means the
 * same address; any other text is refused, or means an address whose text
 * means itself.
 */
#include <string.h>
#include <sys/socket.h>

#include <plait/chance.h>
#include <plait/idle_timeout.h>

#include "tests/scenario.h"

enum { PORT = 7006, ENOUGH = 40, HOST_SIZE = 64, NAME_SIZE = 107 };

static const char refused[] = "?";

/* ---- the server ------------------------------------------------------ */

static struct node server;
static struct plait_factory server_factory;

static void server_hears(struct plait_netstring_receiver *p, const void *data,
			 size_t len)
{
	char text[PLAIT_ADDRESS_SIZE + 8], again[PLAIT_ADDRESS_SIZE];
	struct plait_address a = { .port = 4711 };

	snprintf(text, sizeof(text), "%.*s", (int)len, (const char *)data);
	if (plait_address_from_str(&a, text) == 0) {
		plait_address_str(&a, again, sizeof(again));
	} else {
		MUST(a.port == 4711, "who reads no address has changed it");
		snprintf(again, sizeof(again), "%s", refused);
	}
	plait_netstring_receiver_send(p, again, strlen(again));
}

static const struct plait_netstring_receiver_ops server_ops = {
	.base = { .name = "reader", PLAIT_NETSTRING_RECEIVER },
	.string_received = server_hears,
};

static void server_begin(struct node *n)
{
	const struct plait_listen_options options = { .iface = "" };

	server_factory = (struct plait_factory){ .protocol = &server_ops.base };
	MUST(plait_listen_tcp(n->reactor, PORT, &server_factory, &options,
			      NULL) == 0,
	     "the server cannot listen");
}

/* ---- making up addresses --------------------------------------------- */

/*
 * One draw a statement: a compiler may take the arguments of a call in any
 * order, and a seed shall be the same run for all of them.
 */
static void draw_ipv4(char *text, size_t size)
{
	unsigned word = 0;

	for (int i = 0; i < 4; i++)
		word = word << 8 | dice(256);
	snprintf(text, size, "%u.%u.%u.%u", word >> 24, word >> 16 & 255,
		 word >> 8 & 255, word & 255);
}

static void draw_ipv6(char *text, size_t size)
{
	unsigned last = dice(65536), last_but_one = dice(65536);
	const char *zone = dice_say(0.3) ? "%17" : "";

	snprintf(text, size, "2001:db8::%x:%x%s", last_but_one, last, zone);
}

static void draw_ip(struct plait_address *a)
{
	static const char *const hosts[] = { "",    "localhost",
					     "::1", "fe80::1%3",
					     "::",  "::ffff:192.0.2.1" };
	const char *host = hosts[dice(sizeof(hosts) / sizeof(*hosts))];
	char text[HOST_SIZE];

	if (dice_say(0.3)) {
		draw_ipv4(text, sizeof(text));
		host = text;
	} else if (dice_say(0.3)) {
		draw_ipv6(text, sizeof(text));
		host = text;
	}
	MUST(plait_address_parse(a, host, dice(65536)) == 0, "no address: %s",
	     host);
}

/* Of a path no byte is 0, and a name may have any. */
static void draw_unix(struct plait_address *a)
{
	char name[NAME_SIZE + 1];
	size_t len = 1 + dice(dice_say(0.5) ? 8 : NAME_SIZE);
	bool is_path = dice_say(0.5);
	int rc;

	for (size_t i = 0; i < len; i++) {
		name[i] = (char)(dice_say(0.7) ? ' ' + dice(95) : dice(256));
		if (is_path && name[i] == '\0')
			name[i] = '@';
	}
	name[len] = '\0';
	rc = is_path ? plait_address_from_path(a, name)
		     : plait_address_from_abstract(a, name, len);
	MUST(rc == 0, "a name of %zu bytes is none", len);
	MUST((plait_address_path(a) != NULL) == is_path, "the other kind");
	MUST((plait_address_abstract(a, &len) != NULL) != is_path,
	     "both kinds, or none");
}

/* A network is the network of itself. */
static void check_network(const struct plait_address *a)
{
	unsigned four = dice(33), six = dice(129);
	struct plait_address net, again;

	plait_address_network(a, four, six, &net);
	if (plait_address_family(a) == AF_UNIX) {
		MUST(plait_address_family(&net) == AF_UNSPEC,
		     "a name is in a network");
		return;
	}
	plait_address_network(&net, four, six, &again);
	MUST(plait_address_equal(&net, &again),
	     "the network of a network is another");
	MUST(plait_address_port(&net) == 0, "a network has a port");
}

/* One character goes, comes, or is another. */
static void spoil(char *text)
{
	static const char marks[] = "0:[]%@\\x/ .9afAFunix";
	size_t len = strlen(text), at = dice((unsigned)len);
	char mark = dice_say(0.8) ? marks[dice(sizeof(marks) - 1)]
				  : (char)(1 + dice(255));

	switch (dice(4)) {
	case 0:
		memmove(text + at, text + at + 1, len - at);
		break;
	case 1:
		memmove(text + at + 1, text + at, len - at + 1);
		text[at] = mark;
		break;
	case 2:
		text[at] = '\0';
		break;
	default:
		text[at] = mark;
	}
}

/* ---- the client ------------------------------------------------------ */

static struct node client;
static struct plait_reconnecting_factory client_factory;
static struct plait_address meant;
static char told[PLAIT_ADDRESS_SIZE + 8];
static bool is_spoilt;
static unsigned understood, sent_back;

static void client_draw(void)
{
	if (dice_say(0.5))
		draw_ip(&meant);
	else
		draw_unix(&meant);
	check_network(&meant);
	plait_address_str(&meant, told, PLAIT_ADDRESS_SIZE);
	is_spoilt = dice_say(0.5);
	for (unsigned n = is_spoilt ? 1 + dice(3) : 0; n > 0; n--) {
		if (told[0] != '\0')
			spoil(told);
	}
}

/* The other end may be gone, and nobody is there to say so. */
static struct plait_idle_timeout patience;

static void client_asks(struct plait_netstring_receiver *p)
{
	plait_idle_timeout_reset(&patience);
	plait_netstring_receiver_send(p, told, strlen(told));
}

static void client_made(struct plait_protocol *p)
{
	plait_reconnecting_factory_reset_delay(
		plait_self(p->factory, struct plait_reconnecting_factory));
	plait_idle_timeout_start(&patience, p, 60);
	client_asks(plait_self(p, struct plait_netstring_receiver));
}

static void check_answer(const char *text)
{
	char again[PLAIT_ADDRESS_SIZE];
	struct plait_address a;

	if (strcmp(text, refused) == 0) {
		MUST(is_spoilt, "%s is refused", told);
		sent_back++;
		return;
	}
	MUST(plait_address_from_str(&a, text) == 0, "%s is not read", text);
	plait_address_str(&a, again, sizeof(again));
	MUST(strcmp(text, again) == 0, "%s means %s", text, again);
	MUST(is_spoilt || plait_address_equal(&a, &meant), "%s is not %s", text,
	     told);
	(void)PLAIT_SOMETIMES(is_spoilt && strcmp(text, told) != 0);
	understood++;
}

static void client_hears(struct plait_netstring_receiver *p, const void *data,
			 size_t len)
{
	char text[PLAIT_ADDRESS_SIZE];

	snprintf(text, sizeof(text), "%.*s", (int)len, (const char *)data);
	check_answer(text);
	client_draw();
	if (understood < ENOUGH || sent_back == 0)
		client_asks(p);
}

static void client_lost(struct plait_protocol *p,
			const struct plait_failure *why)
{
	plait_idle_timeout_stop(&patience);
}

static const struct plait_netstring_receiver_ops client_ops = {
	.base = { .name = "writer",
		  .connection_made = client_made,
		  PLAIT_NETSTRING_RECEIVER,
		  .connection_lost = client_lost },
	.string_received = client_hears,
};

static const struct plait_factory_ops client_factory_ops = {
	.name = "writers",
	PLAIT_RECONNECTING_FACTORY,
};

static void client_begin(struct node *n)
{
	patience = (struct plait_idle_timeout){ .protocol = NULL };
	client_factory = (struct plait_reconnecting_factory){
		.base = { .ops = &client_factory_ops,
			  .protocol = &client_ops.base },
		.backoff.max_delay = 3,
	};
	plait_connect_tcp(n->reactor, plait_host_address(server.host), PORT,
			  &client_factory.base, NULL);
}

static void client_end(struct node *n)
{
	plait_reconnecting_factory_stop_trying(&client_factory);
}

static bool enough_is_understood(void *nothing)
{
	return understood >= ENOUGH && sent_back > 0;
}

SCENARIO(an_address_that_is_told_means_the_same)
{
	understood = sent_back = 0;
	client_draw();
	server = (struct node){ .name = "server", .begin = server_begin };
	client = (struct node){ .name = "client",
				.begin = client_begin,
				.end = client_end };
	node_start(&server);
	node_start(&client);
	weather_begin(WEATHER_KERNELS, 10);
	go_on(10);
	weather_clear();
	MUST(go_on_until(enough_is_understood, NULL, 1000),
	     "all is healed, and %u addresses are understood", understood);
	client_end(&client);
}
