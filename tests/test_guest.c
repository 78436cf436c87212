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
#include <sys/wait.h>

#include <plait/testing.h>

#include "tests/harness.h"

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
	plait_port_address(inn.port, &a);
	inn.number = (uint16_t)plait_address_port(&a);
}

static void stop_listening(void)
{
	struct plait_deferred *d = plait_port_stop_listening(&inn.port);

	plait_deferred_detach(&d);
	run_turns(reactor, 3);
}

/* Somebody who is let in, in a turn of his own. */
static int let_in(void)
{
	unsigned made = inn.made;
	int fd = peer_connect(inn.number);

	run_until_count(reactor, &inn.made, made + 1);
	return fd;
}

/* Somebody else, who may have to wait. */
static int knock(void)
{
	int fd = peer_connect(inn.number);

	run_turns(reactor, 6);
	return fd;
}

static void leave(int fd)
{
	unsigned lost = inn.lost;

	close(fd);
	run_until_count(reactor, &inn.lost, lost + 1);
	run_turns(reactor, 3);
}

/* Ends all who are left, and the inn. */
static void close_inn(void)
{
	for (int i = 0; i < MAX_GUESTS; i++) {
		if (inn.guests[i] != NULL)
			plait_transport_abort(inn.guests[i]->transport);
	}
	stop_listening();
	ck_assert_uint_eq(inn.lost, inn.made);
}

static bool is_ended(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

GROUP("number");

TEST(no_more_are_accepted_than_may_be_and_the_next_waits, ON_EACH_BACKEND)
{
	int a, b, c, d;

	open_inn(NULL, 2, false);
	a = let_in();
	b = let_in();
	c = knock();
	d = knock();
	ck_assert_str_eq(inn.trace, "AB");
	leave(a);
	ck_assert_str_eq(inn.trace, "ABaC");
	leave(b);
	ck_assert_str_eq(inn.trace, "ABaCbD");
	leave(d);
	close(let_in());
	close_inn();
	close(c);
}

/* Nobody looks for one who waits, until somebody has left. */
TEST(a_full_port_costs_nothing, ON_EACH_BACKEND)
{
	int a, b;

	open_inn(&with_hook, 1, false);
	a = let_in();
	b = knock();
	ck_assert_str_eq(inn.trace, "A?a");
	calls_reset();
	run_turns(reactor, 1);
	plait_reactor_iterate(reactor, 0.01);
	ck_assert_uint_eq(calls_of("accept4") + calls_of("epoll_ctl"), 0);
	ck_assert_str_eq(inn.trace, "A?a");
	leave(a);
	ck_assert_str_eq(inn.trace, "A?aaB");
	close_inn();
	close(b);
}

TEST(the_idlest_is_shed_and_the_new_one_let_in, ON_EACH_BACKEND)
{
	int a, b, c, d;

	open_inn(NULL, 2, true);
	a = let_in();
	b = let_in();
	c = knock();
	ck_assert_str_eq(inn.trace, "ABaC");
	ck_assert_str_eq(inn.why, "ConnectionAborted: idle longest when "
				  "another came");
	/* In good order, as nothing is lost. */
	ck_assert(is_ended(a));
	d = knock();
	ck_assert_str_eq(inn.trace, "ABaCbD");
	ck_assert(is_ended(b) && !is_ended(c) && !is_ended(d));
	close_inn();
	close(a);
	close(b);
	close(c);
	close(d);
}

TEST(several_who_wait_are_let_in_one_after_the_other, ON_EACH_BACKEND)
{
	int fds[6];

	open_inn(NULL, 2, true);
	for (int i = 0; i < 6; i++)
		fds[i] = peer_connect(inn.number);
	run_until_count(reactor, &inn.made, 6);
	run_turns(reactor, 3);
	ck_assert_str_eq(inn.trace, "ABaCbDcEdF");
	close_inn();
	for (int i = 0; i < 6; i++)
		close(fds[i]);
}

static void hear(int fd, unsigned guest)
{
	peer_say(fd, "x");
	run_turns(reactor, 2);
}

static void tell(int fd, unsigned guest)
{
	plait_transport_write(inn.guests[guest]->transport, "x", 1);
	run_turns(reactor, 1);
	ck_assert_int_eq(peer_read(reactor, fd, NULL, 1), 1);
}

/* Also if the protocol does not hear of it. */
TEST(bytes_read_or_written_are_no_idleness, ON_EACH_BACKEND, TIMES(2))
{
	void (*const active[])(int fd, unsigned guest) = { hear, tell };
	int fds[5];

	open_inn(&with_hook, 3, true);
	for (int i = 0; i < 3; i++)
		fds[i] = let_in();
	active[_i](fds[0], 0);
	active[_i](fds[1], 1);
	active[_i](fds[0], 0);
	fds[3] = knock();
	ck_assert_str_eq(inn.trace, "ABC?ccD");
	active[_i](fds[3], 3);
	fds[4] = knock();
	ck_assert_str_eq(inn.trace, "ABC?ccD?bbE");
	close_inn();
	for (int i = 0; i < 5; i++)
		close(fds[i]);
}

/* What the program wrote and the peer did not take. */
TEST(unsent_output_is_no_activity, ON_EACH_BACKEND)
{
	int a, b, c;

	open_inn(NULL, 2, true);
	a = let_in();
	b = let_in();
	fault_call_forever("send", EAGAIN);
	run_turns(reactor, 1);
	plait_transport_write(inn.guests[0]->transport, "x", 1);
	c = knock();
	ck_assert_str_eq(inn.trace, "ABaC");
	/* It must not believe that all has come. */
	ck_assert_int_eq(peer_read(NULL, a, NULL, 1), -ECONNRESET);
	close_inn();
	close(a);
	close(b);
	close(c);
}

static void abort_it(struct inn *i, struct plait_protocol *idlest)
{
	plait_transport_abort(idlest->transport);
}

static void abort_all(struct inn *i, struct plait_protocol *idlest)
{
	for (unsigned n = 0; n < i->made; n++) {
		if (i->guests[n] != NULL)
			plait_transport_abort(i->guests[n]->transport);
	}
}

static void lose_it(struct inn *i, struct plait_protocol *idlest)
{
	plait_transport_lose_connection(idlest->transport);
}

static void abort_last(struct inn *i, struct plait_protocol *idlest)
{
	plait_transport_abort(i->guests[i->made - 1]->transport);
}

/* And then none is shed. */
TEST(the_hook_may_end_whom_it_likes, ON_EACH_BACKEND, TIMES(4))
{
	static const struct {
		void (*on_full)(struct inn *i, struct plait_protocol *idlest);
		const char *trace;
	} hooks[] = {
		{ abort_it, "AB?aaC" },
		{ abort_all, "AB?aabC" },
		{ lose_it, "AB?aaC" },
		{ abort_last, "AB?abC" },
	};
	int a, b, c;

	/* To lose a connection may take time; so it is not counted on. */
	open_inn(&with_hook, 2, hooks[_i].on_full != lose_it);
	inn.on_full = hooks[_i].on_full;
	a = let_in();
	b = let_in();
	c = knock();
	ck_assert_str_eq(inn.trace, hooks[_i].trace);
	close_inn();
	close(a);
	close(b);
	close(c);
}

static void stop_it(struct inn *i, struct plait_protocol *idlest)
{
	struct plait_deferred *d = plait_port_stop_listening(&i->port);

	plait_deferred_detach(&d);
}

TEST(the_hook_may_stop_the_port, ON_EACH_BACKEND)
{
	int a, b;

	open_inn(&with_hook, 1, true);
	inn.on_full = stop_it;
	a = let_in();
	b = knock();
	ck_assert_str_eq(inn.trace, "A?a");
	ck_assert_ptr_null(inn.port);
	close_inn();
	close(a);
	close(b);
}

TEST(guests_outlive_their_port, ON_EACH_BACKEND)
{
	int a, b;

	open_inn(&with_hook, 1, true);
	a = let_in();
	b = knock();
	stop_listening();
	ck_assert_str_eq(inn.trace, "A?aaB");
	leave(b);
	close_inn();
	close(a);
}

TEST(one_who_ends_just_then_makes_room, ON_EACH_BACKEND)
{
	int a, b;

	open_inn(&with_hook, 1, true);
	a = let_in();
	b = peer_connect(inn.number);
	plait_transport_abort(inn.guests[0]->transport);
	run_turns(reactor, 6);
	ck_assert_str_eq(inn.trace, "AaB");
	ck_assert_ptr_null(strstr(inn.why, "idle"));
	close_inn();
	close(a);
	close(b);
}

/* Out of descriptors. */

GROUP("missing");

TEST(without_descriptors_the_idlest_is_shed, ON_EACH_BACKEND, TIMES(2))
{
	int a, b;

	open_inn(&with_hook, 0, true);
	a = let_in();
	fault_call("accept4", 1, _i ? EMFILE : ENFILE);
	b = knock();
	ck_assert_str_eq(inn.trace, "A?aaB");
	ck_assert(is_ended(a) && !is_ended(b));
	close_inn();
	close(a);
	close(b);
}

TEST(without_descriptors_the_hook_may_make_room, ON_EACH_BACKEND)
{
	int a, b;

	open_inn(&with_hook, 0, false);
	inn.on_full = abort_it;
	a = let_in();
	fault_call("accept4", 1, EMFILE);
	b = knock();
	ck_assert_str_eq(inn.trace, "A?aaB");
	close_inn();
	close(a);
	close(b);
}

/* The reserve is what is left. */
TEST(without_room_or_guests_the_new_one_is_refused, ON_EACH_BACKEND, TIMES(2))
{
	int a, b;

	unhandled_expect(1);
	open_inn(&with_hook, 0, _i);
	fault_call("accept4", 1, EMFILE);
	a = knock();
	ck_assert_str_eq(inn.trace, "?-");
	ck_assert(is_ended(a));
	close(a);
	if (_i == 0) {
		a = let_in();
		fault_call("accept4", 1, EMFILE);
		b = knock();
		ck_assert_str_eq(inn.trace, "?-A?a");
		ck_assert(is_ended(b));
		close(a);
		close(b);
	}
	close_inn();
}

TEST(without_memory_for_a_guest_he_is_refused, ON_EACH_BACKEND)
{
	int a, b;

	unhandled_expect(1);
	open_inn(NULL, 1, false);
	/* The protocol, then the guest. */
	fault_pass("malloc", 0);
	fault_call("malloc", 1, ENOMEM);
	a = knock();
	ck_assert(is_ended(a));
	b = let_in();
	ck_assert_str_eq(inn.trace, "A");
	close_inn();
	close(a);
	close(b);
}

TEST(freeing_the_reactor_loses_the_guests, ON_EACH_BACKEND)
{
	int a, b;

	open_inn(&with_hook, 1, false);
	a = let_in();
	b = knock();
	plait_reactor_free(&reactor);
	ck_assert_str_eq(inn.trace, "A?aa");
	close(a);
	close(b);
}

TEST(a_forked_child_gives_them_back, ON_EACH_BACKEND)
{
	unsigned long left;
	int a, b, status;
	pid_t pid;

	open_inn(&with_hook, 1, false);
	a = let_in();
	b = knock();
	pid = fork();
	if (pid == 0) {
		plait_reactor_free(&reactor);
		left = heap_left_since(0, stderr);
		/* The protocol stays, as nobody is told of anything. */
		_exit(left > 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	leave(a);
	ck_assert_str_eq(inn.trace, "A?aaB");
	close_inn();
	close(b);
}

/* On a testing reactor. */

GROUP("testing");

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
