/*
 * The same on a socket and on the testing reactor: random scripts of what a
 * program, its producer and its peer do, each played on both.  What the
 * program is told, and in which order, must be the same.
 *
 * A script is played in steps.  In each the program does a few things, from
 * outside of all callbacks; when they have had their effect the peer does
 * one.  What the program does inside its callbacks comes from the same
 * numbers, so the first difference shows.
 */
#include <stdio.h>
#include <sys/socket.h>

#include <plait/testing.h>

#include "reactor/net/protocol.h"
#include "reactor/net/tcp.h"
#include "tests/wire.h"

enum { HIGH = 3000, LOW = 1000, STEPS = 12, SCRIPTS = 750 };

struct player {
	struct plait_producer producer;
	struct plait_transport *t; /* NULL: lost */
	uint64_t numbers;	   /* of the generator */
	unsigned depth;		   /* of what callbacks do by themselves */
	char trace[1024];
};

struct play_protocol {
	struct plait_protocol base;
	struct player *player;
};

static struct player *playing; /* whose protocol is made next */

static void note(struct player *pl, char what)
{
	size_t n = strlen(pl->trace);

	if (n + 1 < sizeof(pl->trace))
		pl->trace[n] = what;
}

static unsigned choose(struct player *pl, unsigned n)
{
	pl->numbers = pl->numbers * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(pl->numbers >> 33) % n;
}

static void write_some(struct player *pl)
{
	static const size_t sizes[] = { 1, 900, 1200, 2500, 5000 };
	static const char bytes[5000];

	plait_transport_write(pl->t, bytes, sizes[choose(pl, 5)]);
}

/* What a program may do at any moment. */
static void act(struct player *pl)
{
	unsigned what = choose(pl, 20);

	if (pl->t == NULL)
		return;
	if (what < 7)
		write_some(pl);
	else if (what < 11)
		plait_transport_register_producer(pl->t, &pl->producer,
						  choose(pl, 2));
	else if (what < 13)
		plait_transport_unregister_producer(pl->t);
	else if (what < 14)
		plait_transport_register_producer(
			pl->t, plait_transport_producer(pl->t), true);
	else if (what < 16)
		plait_transport_pause_reading(pl->t);
	else if (what < 18)
		plait_transport_resume_reading(pl->t);
	else if (choose(pl, 4) == 0)
		plait_transport_lose_write_connection(pl->t);
	else if (choose(pl, 3) == 0)
		plait_transport_lose_connection(pl->t);
	else if (choose(pl, 4) == 0)
		plait_transport_abort_connection(pl->t);
}

/* A callback does a few things; what those bring about does none. */
static void react(struct player *pl)
{
	unsigned n = choose(pl, 3);

	while (n-- > 0)
		act(pl);
}

static struct player *player_of(struct plait_producer *p)
{
	return plait_container(p, struct player, producer);
}

static void on_pause(struct plait_producer *p)
{
	note(player_of(p), 'P');
	react(player_of(p));
}

static void on_resume(struct plait_producer *p)
{
	struct player *pl = player_of(p);

	note(pl, 'R');
	/* A pull producer that goes on for ever would never settle. */
	if (pl->depth++ < 50)
		react(pl);
}

static void on_stop(struct plait_producer *p)
{
	struct player *pl = player_of(p);

	note(pl, 'S');
	if (pl->depth++ < 50)
		react(pl);
}

static const struct plait_producer_ops producer_ops = {
	.name = "random",
	.pause = on_pause,
	.resume = on_resume,
	.stop = on_stop,
};

static struct player *self_of(struct plait_protocol *p)
{
	return plait_self(p, struct play_protocol)->player;
}

static void made(struct plait_protocol *p)
{
	plait_self(p, struct play_protocol)->player = playing;
	playing->t = p->transport;
	note(playing, 'M');
	react(playing);
}

static void data_received(struct plait_protocol *p, const void *data,
			  size_t len)
{
	note(self_of(p), 'D');
	react(self_of(p));
}

static void lost(struct plait_protocol *p, const struct plait_failure *why)
{
	struct player *pl = self_of(p);

	note(pl, 'L');
	note(pl, plait_failure_kind(why)->name[10]);
	react(pl);
	pl->t = NULL;
}

static void read_lost(struct plait_protocol *p)
{
	note(self_of(p), 'E');
	react(self_of(p));
}

static void write_lost(struct plait_protocol *p)
{
	note(self_of(p), 'W');
	react(self_of(p));
}

#define COMMON                                                                 \
	.name = "random", .size = sizeof(struct play_protocol),                \
	.connection_made = made, .data_received = data_received,               \
	.connection_lost = lost

static const struct plait_protocol_ops plain_ops = { COMMON };
static const struct plait_protocol_ops half_closeable_ops = {
	COMMON,
	.read_connection_lost = read_lost,
	.write_connection_lost = write_lost,
};

/* How the two worlds do what the peer does, and what the loop does. */
struct world {
	void (*open)(struct plait_factory *f);
	void (*settle)(void);
	void (*take)(size_t bytes); /* that many more, then none */
	void (*say)(void);
	void (*fin)(void);
};

static struct plait_reactor *fake_reactor;
static struct plait_transport *fake;

static void fake_open(struct plait_factory *f)
{
	fake = plait_testing_connect(fake_reactor, f);
}

static void fake_settle(void)
{
	plait_testing_advance(fake_reactor, 0);
}

static void fake_take(size_t bytes)
{
	plait_testing_set_window(fake, bytes);
}

static void fake_say(void)
{
	plait_testing_deliver(fake, "x", 1);
}

static void fake_fin(void)
{
	plait_testing_deliver_eof(fake);
}

static const struct world fake_world = {
	.open = fake_open,
	.settle = fake_settle,
	.take = fake_take,
	.say = fake_say,
	.fin = fake_fin,
};

static int peer;

static void real_open(struct plait_factory *f)
{
	struct plait_address nobody = { .family = AF_UNSPEC };
	struct plait_protocol *p = plait_protocol_new(f->protocol);
	struct plait_transport *t;
	int fds[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	peer = fds[1];
	p->factory = f;
	t = plait_i_stream_new(&plait_i_tcp_stream_io, reactor, fds[0], &nobody,
			       NULL);
	ck_assert_ptr_nonnull(t);
	plait_transport_made(t, p);
}

/* The kernel always has room: how much is taken the seam decides. */
static void real_settle(void)
{
	char bytes[8192];

	run_turns(reactor, 10);
	while (recv(peer, bytes, sizeof(bytes), 0) > 0)
		;
	run_turns(reactor, 10);
}

static void real_take(size_t bytes)
{
	fault_room(bytes);
}

static void real_say(void)
{
	send(peer, "x", 1, MSG_NOSIGNAL);
}

static void real_fin(void)
{
	shutdown(peer, SHUT_WR);
}

static const struct world real_world = {
	.open = real_open,
	.settle = real_settle,
	.take = real_take,
	.say = real_say,
	.fin = real_fin,
};

/* The peer's numbers are its own, as it is not told what happens. */
static void play(struct player *pl, const struct world *world, unsigned seed)
{
	struct player script = { .numbers = seed * 2 + 1 };
	struct plait_factory f = { .protocol = choose(&script, 2)
						       ? &plain_ops
						       : &half_closeable_ops };

	*pl = (struct player){ .producer.ops = &producer_ops, .numbers = seed };
	playing = pl;
	world->open(&f);
	world->settle();
	world->take(choose(&script, 2) ? SIZE_MAX : 0);
	world->settle();
	for (int i = 0; i < STEPS && pl->t != NULL; i++) {
		unsigned n = choose(&script, 3);

		note(pl, '.');
		while (n-- > 0)
			act(pl);
		world->settle();
		note(pl, ',');
		switch (choose(&script, 8)) {
		case 0:
			world->fin();
			break;
		case 1:
		case 2:
			world->say();
			break;
		case 3:
			world->take(SIZE_MAX);
			break;
		default:
			world->take(choose(&script, 4000));
		}
		world->settle();
	}
	if (pl->t != NULL)
		plait_transport_abort_connection(pl->t);
	world->settle();
}

static void play_on_both(unsigned seed)
{
	static struct player on_fake, on_socket;

	play(&on_fake, &fake_world, seed);
	play(&on_socket, &real_world, seed);
	close(peer);
	fault_room(SIZE_MAX);
	run_turns(reactor, 3);
	ck_assert_msg(strcmp(on_fake.trace, on_socket.trace) == 0,
		      "script %u:\n  fake   %s\n  socket %s", seed,
		      on_fake.trace, on_socket.trace);
}

GROUP("random", .timeout = 60);

TEST(what_is_told_is_the_same_on_a_socket_and_in_a_test, ON_EACH_BACKEND,
     TIMES(2))
{
	unsigned first = (unsigned)_i * SCRIPTS;

	fake_reactor = plait_testing_reactor_new();
	plait_reactor_set_limits(
		fake_reactor,
		&(struct plait_limits){ .high_water = HIGH, .low_water = LOW });
	plait_reactor_set_limits(
		reactor,
		&(struct plait_limits){ .high_water = HIGH, .low_water = LOW });
	for (unsigned seed = first; seed < first + SCRIPTS; seed++)
		play_on_both(seed);
	plait_reactor_free(&fake_reactor);
}
