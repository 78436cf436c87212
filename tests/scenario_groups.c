/*
 * A program asks a group who is there, and each member answers.  Links break,
 * kernels refuse, hosts crash; then all is healed, and who asks hears of all
 * members, and of nobody else.
 */
#include <string.h>

#include "tests/scenario.h"

enum { N_MEMBERS = 3, PORT = 9 };

static const char group_name[] = "239.7.7.7";

struct member {
	struct node node;
	struct plait_datagram_protocol base;
	struct plait_timer timer; /* runs while it cannot join */
};

struct seeker {
	struct node node;
	struct plait_datagram_protocol base;
	struct plait_timer timer;
	struct plait_address members[N_MEMBERS];
	unsigned found;	    /* a bit for each since it asked last */
	unsigned successes; /* how often it has found all */
};

static struct member members[N_MEMBERS];
static struct seeker seeker;

static void group_address(struct plait_address *ret)
{
	plait_address_parse(ret, group_name, PORT);
}

/* ---- members ---------------------------------------------------------- */

static void member_is_asked(struct plait_datagram_protocol *p, const void *data,
			    size_t len, const struct plait_datagram_info *info)
{
	MUST(len == 4 && memcmp(data, "who?", 4) == 0, "a strange question");
	plait_datagram_reply(p, "me", 2, info);
}

static const struct plait_datagram_ops member_ops = {
	.name = "member",
	.received = member_is_asked,
};

/* Until it has a port, and has joined. */
static void member_tries(void *arg)
{
	struct member *m = arg;
	const struct plait_udp_options o = { .tell_local = true,
					     .no_loop = true };
	struct plait_address group;
	int err = 0;

	group_address(&group);
	if (m->base.port == NULL)
		err = plait_listen_udp(m->node.reactor, PORT, &m->base, &o,
				       NULL);
	if (err == 0)
		err = plait_datagram_join(&m->base, &group, 0, NULL);
	if (err < 0)
		plait_timer_start(m->node.reactor, &m->timer, 0.5, member_tries,
				  m);
}

static void member_begin(struct node *n)
{
	struct member *m = plait_self(n, struct member);

	m->base = (struct plait_datagram_protocol){ .ops = &member_ops };
	member_tries(m);
}

/* ---- who asks --------------------------------------------------------- */

static void seeker_asks(void *arg)
{
	struct plait_address group;

	group_address(&group);
	seeker.successes += seeker.found == (1u << N_MEMBERS) - 1;
	seeker.found = 0;
	if (seeker.base.port == NULL)
		plait_listen_udp(seeker.node.reactor, 0, &seeker.base, NULL,
				 NULL);
	plait_datagram_send(&seeker.base, "who?", 4, &group);
	plait_timer_start(seeker.node.reactor, &seeker.timer, 1, seeker_asks,
			  NULL);
}

static void seeker_hears(struct plait_datagram_protocol *p, const void *data,
			 size_t len, const struct plait_datagram_info *info)
{
	unsigned i = 0;

	MUST(len == 2 && memcmp(data, "me", 2) == 0, "a strange answer");
	while (i < N_MEMBERS &&
	       !plait_address_equal(info->from, &seeker.members[i]))
		i++;
	MUST(i < N_MEMBERS, "somebody answers who is no member");
	seeker.found |= 1u << i;
}

static const struct plait_datagram_ops seeker_ops = {
	.name = "seeker",
	.received = seeker_hears,
};

static void seeker_begin(struct node *n)
{
	seeker.base = (struct plait_datagram_protocol){ .ops = &seeker_ops };
	seeker_asks(NULL);
}

static void nothing_ends(struct node *n)
{
}

static bool all_are_found(void *nothing)
{
	return seeker.successes > 0;
}

SCENARIO(who_asks_a_group_hears_of_its_members)
{
	static const char *const names[N_MEMBERS] = { "mia", "milo", "moss" };

	seeker = (struct seeker){ .node = { .name = "seeker",
					    .begin = seeker_begin,
					    .end = nothing_ends } };
	for (int i = 0; i < N_MEMBERS; i++) {
		members[i] = (struct member){ .node = { .name = names[i],
							.begin = member_begin,
							.end = nothing_ends } };
		plait_address_parse(&seeker.members[i],
				    plait_host_address(plait_simulation_host(
					    simulation, names[i])),
				    PORT);
		node_start(&members[i].node);
	}
	node_start(&seeker.node);
	weather_begin(WEATHER_ALL, 60);
	go_on(60);
	weather_clear();
	go_on(10);
	seeker.successes = 0;
	MUST(go_on_until(all_are_found, NULL, 100),
	     "all is healed, and not all members are found");
	node_stop(&seeker.node);
	for (int i = 0; i < N_MEMBERS; i++)
		node_stop(&members[i].node);
	nodes_end();
}
