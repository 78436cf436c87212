/*
 * A port that counts its connections: how many there may be, who has been idle
 * longest, and how room is made for those who wait.
 *
 * The trace of an inn: a capital letter for each guest who comes, from A; the
 * small one when he is lost; ? and the idlest for port_full(), - if there is
 * none.
 */
#include <stdio.h>
#include <sys/socket.h>

#include <plait/testing.h>

#include "tests/child.h"
#include "tests/story.h"

enum { MAX_GUESTS = 16 };

struct inn {
	struct plait_factory base;

	/* What port_full() does. */
	void (*on_full)(struct inn *i, struct plait_protocol *idlest);

	struct plait_port *port;
	uint16_t number;
	struct plait_protocol *guests[MAX_GUESTS]; /* NULL: lost */
	unsigned made, lost;
	char trace[64];
	char why[128]; /* of the last who was lost */
};

struct visitor {
	struct plait_protocol base;
	char letter;
};

static struct inn inn;

static struct inn *inn_of(struct plait_protocol *p)
{
	return plait_self(p->factory, struct inn);
}

static void note(struct inn *i, char what)
{
	size_t n = strlen(i->trace);

	ck_assert_uint_lt(n + 1, sizeof(i->trace));
	i->trace[n] = what;
	i->trace[n + 1] = '\0';
}

static void visitor_made(struct plait_protocol *p)
{
	struct inn *i = inn_of(p);

	ck_assert_uint_lt(i->made, MAX_GUESTS);
	i->guests[i->made] = p;
	plait_self(p, struct visitor)->letter = (char)('a' + i->made);
	note(i, (char)('A' + i->made++));
}

static void visitor_lost(struct plait_protocol *p,
			 const struct plait_failure *why)
{
	struct inn *i = inn_of(p);
	char letter = plait_self(p, struct visitor)->letter;

	note(i, letter);
	i->guests[letter - 'a'] = NULL;
	i->lost++;
	plait_failure_str(why, i->why, sizeof(i->why));
}

static void visitor_data(struct plait_protocol *p, const void *data, size_t len)
{
}

static const struct plait_protocol_ops visitor_ops = {
	.name = "visitor",
	.size = sizeof(struct visitor),
	.connection_made = visitor_made,
	.connection_lost = visitor_lost,
	.data_received = visitor_data,
};

static void inn_full(struct plait_factory *f, struct plait_port *port,
		     struct plait_protocol *idlest)
{
	struct inn *i = plait_self(f, struct inn);

	ck_assert_ptr_eq(port, i->port);
	note(i, '?');
	note(i, idlest ? plait_self(idlest, struct visitor)->letter : '-');
	if (i->on_full != NULL)
		i->on_full(i, idlest);
}

static const struct plait_factory_ops with_hook = {
	.name = "inn",
	.port_full = inn_full,
};

static void open_inn(const struct plait_factory_ops *ops, unsigned max,
		     bool shed_idle)
{
	const struct plait_listen_options o = {
		.iface = "127.0.0.1",
		.max_connections = max,
		.shed_idle = shed_idle,
	};
	struct plait_address a;

	inn = (struct inn){ .base = { .ops = ops, .protocol = &visitor_ops } };
	if (backend == NULL)
		reactor = plait_testing_reactor_new();
	ck_assert_int_eq(plait_listen_tcp(reactor, 0, &inn.base, &o, &inn.port),
			 0);
	plait_port_host(inn.port, &a);
	inn.number = (uint16_t)plait_address_port(&a);
}

static void stop_listening(void)
{
	plait_port_free(&inn.port);
	run_turns(reactor, 3);
}

/* Ends all who are left, and the inn. */
static void close_inn(void)
{
	for (int i = 0; i < MAX_GUESTS; i++) {
		if (inn.guests[i] != NULL)
			plait_transport_abort_connection(
				inn.guests[i]->transport);
	}
	stop_listening();
	ck_assert_uint_eq(inn.lost, inn.made);
}

/* The words of these stories: a to f knock, A to F are the guests. */
static struct wire peers['f' - 'a' + 1];
static unsigned max_guests;
static bool sheds;
static const struct plait_factory_ops *ops;
static const char *when_full;
static struct plait_protocol *told_idlest;

static void full(struct inn *i, struct plait_protocol *idlest)
{
	static struct wire nobody;

	told_idlest = idlest;
	if (when_full != NULL)
		play(&nobody, when_full);
}

static void step_hook(void)
{
	ops = &with_hook;
}

static void step_shed(void)
{
	sheds = true;
}

static void step_max(void)
{
	max_guests = (unsigned)play_number();
}

static void step_full(void)
{
	when_full = play_block();
}

static void step_inn(void)
{
	open_inn(ops, max_guests, sheds);
	inn.on_full = full;
}

static struct wire *peer; /* whose verb it is */

static void step_comes(void)
{
	peer->peer = peer_connect(inn.number);
}

static void step_in(void)
{
	unsigned made = inn.made;

	step_comes();
	run_until_count(reactor, &inn.made, made + 1);
}

static void step_knocks(void)
{
	step_comes();
	run_turns(reactor, 6);
}

static void step_leaves(void)
{
	unsigned lost = inn.lost;

	wire_hang_up(peer);
	run_until_count(reactor, &inn.lost, lost + 1);
	run_turns(reactor, 3);
}

/* In good order, as nothing is lost. */
static bool is_out(void)
{
	char c;

	return peer_peek(peer->peer, &c, 1) == 0;
}

static void step_is_out(void)
{
	play_holds(is_out(), "it is not");
}

static void step_is_in(void)
{
	play_holds(!is_out(), "it is not");
}

static const struct play_verb peer_verbs[] = {
	{ "comes", step_comes },
	{ "in", step_in },
	{ "is-in", step_is_in },
	{ "is-out", step_is_out },
	{ "knocks", step_knocks },
	{ "leaves", step_leaves },
	{ NULL, NULL },
};

static void step_peer(void)
{
	peer = &peers[*play_name - 'a'];
	if (!play_act(peer_verbs))
		story_peer(peer);
}

static void step_guest(void)
{
	struct plait_protocol *p =
		*play_name == 'i' ? told_idlest : inn.guests[*play_name - 'A'];

	if (play_mark("aborts"))
		plait_transport_abort_connection(p->transport);
	else if (play_mark("loses"))
		plait_transport_lose_connection(p->transport);
	else if (play_mark("writes x"))
		plait_transport_write(p->transport, "x", 1);
}

static void step_guests(void)
{
	play_text_is(inn.trace, play_text());
}

static void step_why(void)
{
	play_text_is(inn.why, play_text());
}

static void step_until_made(void)
{
	run_until_count(reactor, &inn.made, (unsigned)play_number());
}

static void step_stop(void)
{
	plait_port_free(&inn.port);
}

static void step_closed(void)
{
	play_holds(inn.port == NULL, "it is not");
}

static void step_unhandled(void)
{
	unhandled_expect((unsigned)play_number());
}

static const struct play_verb words[] = {
	{ "A", step_guest },
	{ "B", step_guest },
	{ "C", step_guest },
	{ "D", step_guest },
	{ "a", step_peer },
	{ "b", step_peer },
	{ "c", step_peer },
	{ "close", close_inn },
	{ "closed", step_closed },
	{ "d", step_peer },
	{ "e", step_peer },
	{ "f", step_peer },
	{ "full", step_full },
	{ "guest-why", step_why },
	{ "guests", step_guests },
	{ "hook", step_hook },
	{ "idlest", step_guest },
	{ "inn", step_inn },
	{ "max", step_max },
	{ "shed", step_shed },
	{ "stop-listening", step_stop },
	{ "unhandled", step_unhandled },
	{ "until-made", step_until_made },
	{ NULL, NULL },
};

static void hang_up_all(void)
{
	for (int i = 0; i < N_OF(peers); i++)
		wire_hang_up(&peers[i]);
}

static void setup(void)
{
	for (int i = 0; i < N_OF(peers); i++)
		peers[i] = (struct wire){ .peer = -1 };
	max_guests = 0;
	sheds = false;
	ops = NULL;
	when_full = NULL;
	play_words(words, hang_up_all);
}

GROUP("number", .setup = setup);

STORY(no_more_are_accepted_than_may_be_and_the_next_waits,
      "max 2; inn; a in; b in; c knocks; d knocks; guests AB; a leaves;"
      "guests ABaC; b leaves; guests ABaCbD; d leaves; a in; a closes; close");

/* Nobody looks for one who waits, until somebody has left. */
STORY(a_full_port_costs_nothing,
      "hook; max 1; inn; a in; b knocks; guests A?a; count; turn; sleeps 0.01;"
      "calls accept4 0; calls epoll_ctl 0; guests A?a; a leaves;"
      "guests A?aaB; close");

STORY(the_idlest_is_shed_and_the_new_one_let_in,
      "max 2; shed; inn; a in; b in; c knocks; guests ABaC;"
      "guest-why ConnectionAborted: idle longest when another came;"
      "a is-out; d knocks; guests ABaCbD; b is-out; c is-in; d is-in; close");

STORY(several_who_wait_are_let_in_one_after_the_other,
      "max 2; shed; inn; a comes; b comes; c comes; d comes; e comes; f comes;"
      "until-made 6; turn 3; guests ABaCbDcEdF; close");

/* Also if the protocol does not hear of it. */
STORY(bytes_read_or_written_are_no_idleness,
      "hook; max 3; shed; inn; a in; b in; c in; a says x; turn 2; b says x;"
      "turn 2; a says x; turn 2; d knocks; guests ABC?ccD; d says x; turn 2;"
      "e knocks; guests ABC?ccD?bbE; close",
      "hook; max 3; shed; inn; a in; b in; c in; A writes x; turn; a gets x;"
      "B writes x; turn; b gets x; A writes x; turn; a gets x; d knocks;"
      "guests ABC?ccD; D writes x; turn; d gets x; e knocks;"
      "guests ABC?ccD?bbE; close");

/* What the program wrote and the peer did not take. */
STORY(unsent_output_is_no_activity,
      "max 2; shed; inn; a in; b in; fail send EAGAIN forever; turn; A writes "
      "x;"
      "c knocks; guests ABaC; a gets reset; close");

/* And then none is shed. */
STORY(the_hook_may_end_whom_it_likes,
      "hook; max 2; shed; full { idlest aborts } inn; a in; b in; c knocks;"
      "guests AB?aaC; close",
      "hook; max 2; shed; full { A aborts; B aborts } inn; a in; b in; c "
      "knocks;"
      "guests AB?aabC; close",
      "hook; max 2; full { idlest loses } inn; a in; b in; c knocks;"
      "guests AB?aaC; close",
      "hook; max 2; shed; full { B aborts } inn; a in; b in; c knocks;"
      "guests AB?abC; close");

STORY(the_hook_may_stop_the_port,
      "hook; max 1; shed; full { stop-listening } inn; a in; b knocks;"
      "guests A?a; closed; close");

STORY(guests_outlive_their_port,
      "hook; max 1; shed; inn; a in; b knocks; stop-listening; turn 3;"
      "guests A?aaB; b leaves; close");

STORY(one_who_ends_just_then_makes_room,
      "hook; max 1; shed; inn; a in; b comes; A aborts; turn 6; guests AaB;"
      "guest-why ConnectionAborted: by this end; close");

/* Out of descriptors. */

GROUP("missing", .setup = setup);

STORY(without_descriptors_the_idlest_is_shed,
      "hook; shed; inn; a in; fail accept4 ENFILE; b knocks; guests A?aaB;"
      "a is-out; b is-in; close",
      "hook; shed; inn; a in; fail accept4 EMFILE; b knocks; guests A?aaB;"
      "a is-out; b is-in; close");

STORY(without_descriptors_the_hook_may_make_room,
      "hook; full { idlest aborts } inn; a in; fail accept4 EMFILE; b knocks;"
      "guests A?aaB; close");

/* The reserve is what is left. */
STORY(without_room_or_guests_the_new_one_is_refused,
      "unhandled 1; hook; inn; fail accept4 EMFILE; a knocks; guests ?-;"
      "a is-out; b in; fail accept4 EMFILE; c knocks; guests ?-A?a; c is-out;"
      "close",
      "unhandled 1; hook; shed; inn; fail accept4 EMFILE; a knocks; guests ?-;"
      "a is-out; close");

/* The protocol, then the guest. */
STORY(without_memory_for_a_guest_he_is_refused,
      "unhandled 1; max 1; inn; pass malloc 0; fail malloc ENOMEM; a knocks;"
      "a is-out; b in; guests A; close");

STORY(freeing_the_reactor_loses_the_guests,
      "hook; max 1; inn; a in; b knocks; free-reactor; guests A?aa");

TEST(a_forked_child_gives_them_back, ON_EACH_BACKEND)
{
	struct wire none = { .peer = -1 };
	unsigned long left;
	pid_t pid;

	play(&none, "hook; max 1; inn; a in; b knocks");
	pid = fork();
	if (pid == 0) {
		plait_reactor_free(&reactor);
		left = heap_left_since(0, stderr);
		/* The protocol stays, as nobody is told of anything. */
		_exit(left > 1);
	}
	child_ends(pid);
	play(&none, "a leaves; guests A?aaB; close");
	hang_up_all();
}

/* On a testing reactor. */

GROUP("testing", .setup = setup);

TEST(the_ports_of_a_testing_reactor_do_the_same, PURE)
{
	struct plait_transport *a, *b;

	open_inn(&with_hook, 2, true);
	a = plait_testing_accept(inn.port);
	plait_testing_advance(reactor, 1);
	b = plait_testing_accept(inn.port);
	plait_testing_advance(reactor, 1);
	plait_testing_deliver(a, "x", 1);
	ck_assert_ptr_null(plait_testing_accept(inn.port));
	ck_assert_str_eq(inn.trace, "AB?b");
	plait_testing_advance(reactor, 0);
	ck_assert_str_eq(inn.trace, "AB?bb");
	ck_assert(plait_testing_is_aborted(b));
	ck_assert_ptr_nonnull(plait_testing_accept(inn.port));
	ck_assert_str_eq(inn.trace, "AB?bbC");
	plait_testing_advance(reactor, 1);
	plait_transport_write(a, "x", 1);
	ck_assert_ptr_null(plait_testing_accept(inn.port));
	plait_testing_advance(reactor, 0);
	ck_assert_str_eq(inn.trace, "AB?bbC?cc");
	close_inn();
}

TEST(without_memory_no_guest_is_accepted_there, PURE)
{
	open_inn(NULL, 1, false);
	for (unsigned n = 0; n < 4; n++) {
		fault_alloc_at(n, false);
		ck_assert_ptr_null(plait_testing_accept(inn.port));
		fault_alloc_off();
	}
	ck_assert_ptr_nonnull(plait_testing_accept(inn.port));
	close_inn();
}
