/*
 * Datagrams between hosts: the sample udp-echo, and programs that ask it.
 * Links lose datagrams, double them, let them overtake each other and cut them;
 * kernels have no room; hosts crash.
 *
 * What must hold: a port tells things in their order, and nothing when it has
 * ended; an answer is one to a question of this program, and has come whole;
 * and when all is healed, questions have their answers.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/sample.h"

enum {
	N_ASKERS = 3,
	PORT = 7,
	MOST_TOGETHER = 40,
	FEW = 5,
	MOST_BYTES = 3000,
	ENOUGH = 3 /* times that few questions had all their answers */
};

/* The beginning of a question, and of its answer. */
struct question {
	uint64_t salt; /* of a program and its port */
	uint32_t number, size;
};

enum stage { NEW, STARTED, STOPPED, DONE };

struct asker {
	struct node node;
	struct plait_datagram_protocol base;
	struct plait_port *port;
	struct plait_timer timer;
	struct plait_address server;
	enum stage stage;
	uint64_t salt;
	uint32_t asked, answered; /* of those since it began to wait */
	uint32_t first;		  /* of those that it waits for */
	bool is_connected, is_refused;
	unsigned successes;
};

static struct asker askers[N_ASKERS];
static bool is_calm;

static void asker_open(struct asker *a);

static struct asker *asker_of(struct plait_datagram_protocol *p)
{
	return plait_container(p, struct asker, base);
}

static unsigned char question_byte(const struct question *q, size_t at)
{
	return (unsigned char)((at * 2654435761u + q->salt + q->number) >> 9);
}

/* ---- asking ---------------------------------------------------------- */

/* Sizes repeat, so that an answer tells of a question which it was. */
static uint32_t question_size(const struct asker *a, uint32_t number)
{
	return (uint32_t)(sizeof(struct question) +
			  (number * 7919 + (uint32_t)a->salt) % MOST_BYTES);
}

static bool asker_asks(struct asker *a)
{
	struct question q = { .salt = a->salt,
			      .number = a->asked,
			      .size = question_size(a, a->asked) };
	unsigned char bytes[sizeof(q) + MOST_BYTES];
	int err;

	memcpy(bytes, &q, sizeof(q));
	for (size_t i = sizeof(q); i < q.size; i++)
		bytes[i] = question_byte(&q, i);
	err = plait_datagram_send(&a->base, bytes, q.size,
				  a->is_connected ? NULL : &a->server);
	MUST(err == 0 || err == -EAGAIN || err == -ENOMEM,
	     "a datagram cannot be sent: %s", strerror(-err));
	a->is_refused = err == -EAGAIN;
	a->asked += err == 0;
	return err == 0;
}

static void asker_goes_on(void *arg)
{
	struct asker *a = arg;
	unsigned n = is_calm ? FEW : 1 + dice(MOST_TOGETHER);

	if (a->port == NULL)
		return;

	if (is_calm && a->asked > a->first)
		a->successes += a->answered == a->asked - a->first;
	a->first = a->asked;
	a->answered = 0;
	/* Who was refused waits for room. */
	while (!a->is_refused && n > 0 && asker_asks(a))
		n--;
	if (!is_calm && dice_say(0.05))
		plait_port_free(&a->port);
	else
		plait_timer_start(a->node.reactor, &a->timer,
				  is_calm ? 1 : dice_seconds(0, 0.5),
				  asker_goes_on, a);
}

/* ---- what it is told -------------------------------------------------- */

static void asker_started(struct plait_datagram_protocol *p)
{
	MUST(asker_of(p)->stage == NEW, "a port begins twice");
	asker_of(p)->stage = STARTED;
}

/* In the time of an earlier port the same address may have asked, too. */
static void asker_received(struct plait_datagram_protocol *p, const void *data,
			   size_t len, const struct plait_datagram_info *info)
{
	struct asker *a = asker_of(p);
	struct question q;

	MUST(a->stage == STARTED && p->port != NULL,
	     "a datagram comes to a port that is not open");
	MUST(!info->truncated && info->size == len && len >= sizeof(q),
	     "a datagram was cut");
	memcpy(&q, data, sizeof(q));
	MUST(q.size == len && plait_address_equal(info->from, &a->server),
	     "a datagram is not what the server has sent");
	for (size_t i = sizeof(q); i < len; i++)
		MUST(((const unsigned char *)data)[i] == question_byte(&q, i),
		     "an answer is not the question");
	if (q.salt != a->salt)
		return;
	MUST(q.number < a->asked, "an answer to what nobody has asked");
	a->answered += q.number >= a->first;
	if (!is_calm && dice_say(0.001))
		plait_port_free(&a->port);
}

static void asker_failed(struct plait_datagram_protocol *p,
			 const struct plait_failure *why,
			 const struct plait_address *to)
{
	struct asker *a = asker_of(p);

	MUST(a->stage == STARTED, "a port that is not open tells of failures");
	MUST(plait_failure_errno(why) != 0 &&
		     (plait_address_family(to) == AF_UNSPEC ||
		      plait_address_equal(to, &a->server)),
	     "a failure of what was not sent");
	a->is_refused |= plait_failure_errno(why) == EAGAIN;
}

static void asker_has_room(struct plait_datagram_protocol *p)
{
	struct asker *a = asker_of(p);

	MUST(a->stage == STARTED, "a port that is not open has room");
	a->is_refused = false;
	asker_asks(a);
}

static void asker_stopped(struct plait_datagram_protocol *p,
			  const struct plait_failure *why)
{
	MUST(asker_of(p)->stage == STARTED, "a port ends that had not begun");
	MUST(plait_failure_check(why, &plait_error_connection_done),
	     "a port is broken");
	asker_of(p)->stage = STOPPED;
}

static void asker_done(struct plait_datagram_protocol *p)
{
	struct asker *a = asker_of(p);

	MUST(a->stage != DONE && p->port == NULL, "a port ends twice");
	(void)PLAIT_SOMETIMES(a->stage == NEW);
	a->stage = DONE;
	if (a->port == NULL)
		asker_open(a);
}

static const struct plait_datagram_ops asker_ops = {
	.name = "asker",
	.started = asker_started,
	.received = asker_received,
	.failed = asker_failed,
	.room = asker_has_room,
	.stopped = asker_stopped,
	.done = asker_done,
};

/* ---- the programs ----------------------------------------------------- */

static void asker_try_again(void *arg)
{
	asker_open(arg);
}

/* Without descriptors, or memory, it tries again. */
static void asker_open(struct asker *a)
{
	struct plait_udp_options o = {
		.max_size = dice_say(0.3) ? 65535 : 0,
		.queue_bytes = dice_say(0.5) ? dice(50000) : 0,
		.send_buffer = dice_say(0.5) ? 3000 : 0,
		.iface = "0.0.0.0",
	};
	char host[PLAIT_ADDRESS_SIZE];
	int err;

	a->stage = NEW;
	a->salt = dice(1u << 30);
	a->asked = a->answered = a->first = 0;
	a->is_refused = false;
	a->is_connected = dice_say(0.5);
	plait_address_host(&a->server, host, sizeof(host));
	err = a->is_connected ? plait_connect_udp(a->node.reactor, host, PORT,
						  &a->base, &o, &a->port)
			      : plait_listen_udp(a->node.reactor, 0, &a->base,
						 &o, &a->port);
	if (err == 0 && !is_calm && dice_say(0.05))
		plait_port_free(&a->port);
	else if (err != -ESHUTDOWN)
		plait_timer_start(
			a->node.reactor, &a->timer, dice_seconds(0, 1),
			err == 0 ? asker_goes_on : asker_try_again, a);
}

static void asker_begin(struct node *n)
{
	struct asker *a = plait_self(n, struct asker);

	a->base = (struct plait_datagram_protocol){ .ops = &asker_ops };
	asker_open(a);
}

static void asker_end(struct node *n)
{
	struct asker *a = plait_self(n, struct asker);

	a->port = NULL;
}

static bool all_have_their_answers(void *nothing)
{
	for (int i = 0; i < N_ASKERS; i++) {
		if (askers[i].successes < ENOUGH)
			return false;
	}
	return true;
}

SCENARIO(a_datagram_comes_whole_or_not_at_all)
{
	static const char *const names[N_ASKERS] = { "anna", "anton", "asta" };
	static const char *const argv[] = { "udp-echo", "--iface", "0.0.0.0",
					    "--port",	"7",	   NULL };
	const char *host;
	struct sample echo;

	is_calm = false;
	sample_start(&echo, "echo", sample_udp_echo, argv);
	host = plait_host_address(plait_simulation_host(simulation, "echo"));
	for (int i = 0; i < N_ASKERS; i++) {
		askers[i] = (struct asker){ .node = { .name = names[i],
						      .begin = asker_begin,
						      .end = asker_end } };
		plait_address_parse(&askers[i].server, host, PORT);
		node_start(&askers[i].node);
	}
	weather_begin(WEATHER_ALL, 60);
	go_on(60);
	weather_clear();
	go_on(10);
	is_calm = true;
	MUST(go_on_until(all_have_their_answers, NULL, 1000),
	     "all is healed, and questions have no answers");
	for (int i = 0; i < N_ASKERS; i++)
		node_stop(&askers[i].node);
	nodes_end();
}
