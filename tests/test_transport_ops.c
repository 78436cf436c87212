/*
 * Kinds of transports: the same is asked of the TCP one, of a stream on what
 * is read and written in another way, of the recording one, of one that a
 * stranger has made on two pipes, and of one that wraps that.
 */

#include <plait/limit.h>
#include <plait/testing.h>

#include "tests/child.h"
#include "tests/carrier.h"
#include "tests/child.h"

enum { MUCH = 8 << 20 }; /* more than the kernel takes by itself */

static struct carried c;

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	c = (struct carried){ .carrier = NULL };
}

static void open_kind(int i)
{
	c.carrier = &carriers[i];
	ck_assert(carried_open(&c, reactor));
}

static void write_much(void)
{
	unsigned char *bytes = wire_bytes(MUCH);

	plait_transport_write(c.w.transport, bytes, MUCH);
	free(bytes);
}

static void take_much(bool and_end)
{
	unsigned char *bytes = wire_bytes(MUCH), *came = malloc(MUCH + 1);

	if (and_end)
		ck_assert_uint_eq(carried_take_to_end(&c, came, MUCH), MUCH);
	else
		carried_take(&c, came, MUCH);
	ck_assert(memcmp(came, bytes, MUCH) == 0);
	free(came);
	free(bytes);
}

static void turns(void)
{
	run_turns(c.w.reactor, 5);
}

static void echo(struct wire *w, const void *data, size_t len)
{
	plait_transport_write(w->transport, data, len);
}

GROUP("kinds", .setup = setup);

TEST(bytes_go_both_ways, ON_EACH_BACKEND, TIMES(N_CARRIERS))
{
	char came[6] = "";

	c.w.on_data = echo;
	open_kind(_i);
	carried_say(&c, "hello");
	carried_take(&c, came, 5);
	ck_assert_str_eq(came, "hello");
	ck_assert_str_eq(c.w.text, "hello");
	ck_assert_uint_eq(plait_transport_unsent(c.w.transport), 0);
	carried_close(&c);
	ck_assert_str_eq(c.w.trace, "MDL");
	ck_assert_str_eq(c.w.why, "ConnectionDone");
}

TEST(what_a_slow_far_end_does_not_take_waits, ON_EACH_BACKEND,
     TIMES(N_CARRIERS))
{
	open_kind(_i);
	write_much();
	turns();
	ck_assert_uint_gt(plait_transport_unsent(c.w.transport), 0);
	take_much(false);
	turns();
	ck_assert_uint_eq(plait_transport_unsent(c.w.transport), 0);
	carried_close(&c);
}

TEST(the_far_end_may_close_its_half, ON_EACH_BACKEND, TIMES(N_CARRIERS))
{
	c.w.half_closeable = true;
	open_kind(_i);
	carried_say(&c, "last");
	carried_shut(&c);
	turns();
	ck_assert_str_eq(c.w.trace, "MDR");
	ck_assert(plait_transport_peer_has_closed(c.w.transport));
	plait_transport_write(c.w.transport, "late", 4);
	plait_transport_lose_connection(c.w.transport);
	ck_assert_uint_eq(carried_take_to_end(&c, NULL, 100), 4);
	carried_close(&c);
	ck_assert_str_eq(c.w.trace, "MDRL");
}

TEST(this_end_may_close_its_half, ON_EACH_BACKEND, TIMES(N_CARRIERS))
{
	c.w.half_closeable = true;
	open_kind(_i);
	write_much();
	plait_transport_lose_write_connection(c.w.transport);
	turns();
	ck_assert_str_eq(c.w.trace, "M");
	take_much(true);
	turns();
	ck_assert_str_eq(c.w.trace, "MW");
	plait_transport_write(c.w.transport, "ignored", 7);
	carried_say(&c, "late");
	turns();
	ck_assert_str_eq(c.w.trace, "MWD");
	plait_transport_lose_connection(c.w.transport);
	carried_close(&c);
	ck_assert_str_eq(c.w.trace, "MWDL");
	ck_assert_str_eq(c.w.why, "ConnectionDone");
}

TEST(a_close_sends_all_that_is_unsent, ON_EACH_BACKEND, TIMES(N_CARRIERS))
{
	open_kind(_i);
	write_much();
	plait_transport_lose_connection(c.w.transport);
	turns();
	ck_assert_uint_eq(c.w.lost, 0);
	take_much(true);
	carried_close(&c);
	ck_assert_str_eq(c.w.why, "ConnectionDone");
}

TEST(a_close_without_progress_is_given_up, ON_EACH_BACKEND, TIMES(N_CARRIERS))
{
	open_kind(_i);
	write_much();
	plait_transport_lose_connection(c.w.transport);
	turns();
	carried_wait(&c, 29);
	ck_assert_uint_eq(c.w.lost, 0);
	carried_wait(&c, 2);
	carried_close(&c);
	ck_assert_str_eq(c.w.why, "ConnectionAborted: closing made no progress "
				  "in 30 seconds");
}

TEST(aborting_drops_what_is_unsent, ON_EACH_BACKEND, TIMES(N_CARRIERS))
{
	open_kind(_i);
	write_much();
	turns();
	plait_transport_abort_connection(c.w.transport);
	ck_assert_uint_eq(c.w.lost, 0);
	ck_assert_uint_eq(plait_transport_unsent(c.w.transport), 0);
	plait_transport_write(c.w.transport, "ignored", 7);
	wire_wait_lost(&c.w);
	ck_assert_uint_lt(carried_take_to_end(&c, NULL, MUCH), MUCH);
	carried_close(&c);
	ck_assert_str_eq(c.w.why, "ConnectionAborted: by this end");
}

static void abort_it(struct wire *w, const void *data, size_t len)
{
	plait_transport_abort_connection(w->transport);
	ck_assert_uint_eq(w->lost, 0);
}

TEST(aborting_from_a_callback_is_answered_after_it, ON_EACH_BACKEND,
     TIMES(N_CARRIERS))
{
	c.w.on_data = abort_it;
	open_kind(_i);
	carried_say(&c, "go");
	wire_wait_lost(&c.w);
	ck_assert_str_eq(c.w.trace, "MDL");
	carried_close(&c);
}

TEST(a_close_may_turn_into_an_abort, ON_EACH_BACKEND, TIMES(N_CARRIERS))
{
	open_kind(_i);
	write_much();
	plait_transport_lose_connection(c.w.transport);
	turns();
	ck_assert_uint_eq(c.w.lost, 0);
	plait_transport_abort_connection(c.w.transport);
	wire_wait_lost(&c.w);
	carried_close(&c);
	ck_assert_str_eq(c.w.why, "ConnectionAborted: by this end");
}

TEST(a_far_end_that_goes_is_told, ON_EACH_BACKEND, TIMES(N_CARRIERS))
{
	open_kind(_i);
	write_much();
	turns();
	carried_say(&c, "last words");
	carried_hang_up(&c);
	wire_wait_lost(&c.w);
	ck_assert_str_eq(c.w.trace, "MDL");
	ck_assert_str_eq(c.w.text, "last words");
	carried_close(&c);
	ck_assert_ptr_nonnull(strstr(c.w.why, "ConnectionLost"));
}

TEST(nothing_is_delivered_while_reading_is_paused, ON_EACH_BACKEND,
     TIMES(N_CARRIERS))
{
	open_kind(_i);
	plait_transport_pause_reading(c.w.transport);
	carried_say(&c, "one, ");
	turns();
	plait_transport_resume_reading(c.w.transport);
	plait_transport_pause_reading(c.w.transport);
	carried_say(&c, "two");
	turns();
	ck_assert_str_eq(c.w.trace, "M");
	plait_transport_resume_reading(c.w.transport);
	turns();
	ck_assert_str_eq(c.w.text, "one, two");
	carried_close(&c);
}

TEST(an_end_waits_behind_what_is_not_read, ON_EACH_BACKEND, TIMES(N_CARRIERS))
{
	open_kind(_i);
	plait_transport_pause_reading(c.w.transport);
	carried_say(&c, "unread");
	carried_hang_up(&c);
	turns();
	ck_assert_str_eq(c.w.trace, "M");
	plait_transport_resume_reading(c.w.transport);
	carried_close(&c);
	ck_assert_str_eq(c.w.trace, "MDL");
	ck_assert_str_eq(c.w.text, "unread");
}

TEST(producers_follow_the_far_end, ON_EACH_BACKEND, TIMES(N_CARRIERS))
{
	open_kind(_i);
	wire_produce(&c.w, true);
	write_much();
	turns();
	ck_assert_str_eq(c.w.told, "P");
	take_much(false);
	turns();
	ck_assert_str_eq(c.w.told, "PR");
	carried_close(&c);
	ck_assert_str_eq(c.w.told, "PRS");
	ck_assert_str_eq(c.w.trace, "MSL");
}

enum { CHUNK = 10000, CHUNKS = 100 };

static void pull(struct wire *w)
{
	unsigned char *bytes = wire_bytes(CHUNK);

	plait_transport_write(w->transport, bytes, CHUNK);
	free(bytes);
	if (strlen(w->told) % CHUNKS == 20)
		plait_transport_unregister_producer(w->transport);
}

TEST(a_pull_producer_is_asked_whenever_all_is_sent, ON_EACH_BACKEND,
     TIMES(N_CARRIERS))
{
	c.w.on_resume = pull;
	open_kind(_i);
	wire_produce(&c.w, false);
	plait_transport_lose_connection(c.w.transport);
	ck_assert_uint_eq(carried_take_to_end(&c, NULL, 100 * CHUNK),
			  20 * CHUNK);
	carried_close(&c);
	ck_assert_str_eq(c.w.why, "ConnectionDone");
}

TEST(the_scope_is_cancelled_at_the_loss, ON_EACH_BACKEND, TIMES(N_CARRIERS))
{
	open_kind(_i);
	wire_work(&c.w);
	turns();
	ck_assert(!c.w.ended);
	carried_close(&c);
	ck_assert(c.w.ended);
}

static void free_the_reactor(void)
{
	if (c.own == NULL)
		plait_reactor_free(&reactor);
	plait_reactor_free(&c.own);
}

TEST(the_end_of_the_reactor_is_its_end, ON_EACH_BACKEND, TIMES(N_CARRIERS))
{
	open_kind(_i);
	wire_work(&c.w);
	write_much();
	free_the_reactor();
	ck_assert_str_eq(c.w.trace, "ML");
	ck_assert_uint_eq(c.w.done, 1);
	ck_assert(c.w.ended);
	ck_assert_str_eq(c.w.why, "ConnectionLost: the reactor was shut down");
	if (c.own == NULL && c.in >= 0)
		carried_hang_up(&c);
}

static void stop(void *arg)
{
	ck_assert_int_eq(plait_reactor_stop(arg), 0);
}

static void stop_the_reactor(void)
{
	plait_call_later(c.w.reactor, 0, stop, c.w.reactor);
	turns();
}

TEST(a_shutdown_waits_for_one_that_closes, ON_EACH_BACKEND, TIMES(N_CARRIERS))
{
	open_kind(_i);
	write_much();
	plait_transport_lose_connection(c.w.transport);
	stop_the_reactor();
	ck_assert_uint_eq(c.w.lost, 0);
	take_much(true);
	carried_close(&c);
	ck_assert_str_eq(c.w.why, "ConnectionDone");
}

TEST(a_shutdown_does_not_wait_for_ever, ON_EACH_BACKEND, TIMES(N_CARRIERS))
{
	open_kind(_i);
	write_much();
	plait_transport_lose_connection(c.w.transport);
	stop_the_reactor();
	carried_wait(&c, 6);
	carried_close(&c);
	ck_assert_str_eq(c.w.why, "ConnectionLost: the reactor was shut down");
}

/* The child closes what it has, and the connection is the parent's. */
TEST(a_forked_child_leaves_it_alone, ON_EACH_BACKEND, TIMES(N_CARRIERS))
{
	char came[6] = "";
	pid_t pid;

	c.w.on_data = echo;
	open_kind(_i);
	pid = fork();
	if (pid == 0) {
		free_the_reactor();
		_exit(c.w.lost == 0 && c.w.protocol->transport == NULL ? 0 : 1);
	}
	child_ends(pid);
	carried_say(&c, "hello");
	carried_take(&c, came, 5);
	ck_assert_str_eq(came, "hello");
	carried_close(&c);
}

/* The one that wraps another, on pipes, which take little by themselves. */
enum { PASSING = 4, MIB = 1 << 20, MOST = 700 << 10 };

static void write_most(void)
{
	unsigned char *bytes = wire_bytes(MOST);

	plait_transport_write(c.w.transport, bytes, MOST);
	free(bytes);
	turns();
}

TEST(what_waits_below_counts_above, ON_EACH_BACKEND)
{
	struct plait_limits limits = { .max_unsent = MIB };

	plait_reactor_set_limits(reactor, &limits);
	open_kind(PASSING);
	write_most();
	ck_assert_uint_gt(plait_transport_unsent(c.w.transport), MOST / 2);
	ck_assert_uint_eq(c.w.lost, 0);
	write_most();
	carried_close(&c);
	ck_assert_str_eq(c.w.why,
			 "ConnectionAborted: more than 1048576 bytes unsent");
}

TEST(what_waits_below_counts_once, ON_EACH_BACKEND)
{
	struct plait_limits limits = { .max_unsent_total = MIB };

	plait_reactor_set_limits(reactor, &limits);
	open_kind(PASSING);
	write_most();
	ck_assert_uint_gt(plait_transport_unsent(c.w.transport), MOST / 2);
	carried_take(&c, NULL, MOST);
	carried_close(&c);
	ck_assert_str_eq(c.w.why, "ConnectionDone");
}

TEST(it_says_what_it_is, ON_EACH_BACKEND, TIMES(N_CARRIERS))
{
	char text[128];

	open_kind(_i);
	plait_transport_str(c.w.transport, text, sizeof(text));
	ck_assert_ptr_eq(strstr(text, c.carrier->name), text);
	ck_assert_ptr_nonnull(strstr(text, ", connected, "));
	carried_close(&c);
}

/* ---- the door --------------------------------------------------------- */

/* Does as it is told, and notes what it is asked. */
struct puppet {
	struct plait_transport base;
	bool deaf;    /* the far end: it takes nothing */
	bool aborts;  /* in send() */
	size_t boast; /* more than send() takes */
	bool loses;   /* in end() */
	int error;    /* of send(), want() */
	size_t unsent;
	bool shuts_later;
	enum plait_transport_ended ended;
	const char *input; /* of drain() */
	char sent[32];
	char asked[32]; /* I N E: wants; h: shut; S F R: end */
};

static struct puppet *puppet;
static struct wire w;
static unsigned puppets_done;

static void puppet_note(struct plait_transport *t, char what)
{
	struct puppet *p = plait_self(t, struct puppet);

	p->asked[strlen(p->asked)] = what;
}

static ssize_t puppet_send(struct plait_transport *t,
			   const struct iovec *pieces, int n)
{
	struct puppet *p = plait_self(t, struct puppet);

	if (p->aborts)
		plait_transport_abort_connection(t);
	if (p->error != 0)
		return -p->error;
	if (p->deaf)
		return -EAGAIN;
	strncat(p->sent, pieces->iov_base, pieces->iov_len);
	return (ssize_t)(pieces->iov_len + p->boast);
}

static int puppet_want(struct plait_transport *t, unsigned wants)
{
	puppet_note(t, wants & PLAIT_TRANSPORT_WANTS_INPUT ? 'I'
		       : wants & PLAIT_TRANSPORT_WANTS_END ? 'E'
							   : 'N');
	if (wants & PLAIT_TRANSPORT_WANTS_ROOM)
		puppet_note(t, '+');
	return -plait_self(t, struct puppet)->error;
}

static size_t puppet_unsent(const struct plait_transport *t)
{
	return plait_container(t, const struct puppet, base)->unsent;
}

static int puppet_shut(struct plait_transport *t)
{
	puppet_note(t, 'h');
	return plait_self(t, struct puppet)->shuts_later ? -EINPROGRESS : 0;
}

static void lose_puppet(const char *text)
{
	plait_value why = plait_fail(&plait_error_connection_lost, "%s", text);

	plait_transport_lost(&puppet->base, plait_value_failure(&why));
	plait_value_free(&why);
}

static enum plait_transport_ended puppet_end(struct plait_transport *t,
					     enum plait_transport_end how)
{
	if (plait_self(t, struct puppet)->loses)
		lose_puppet("at once");
	puppet_note(t, how == PLAIT_TRANSPORT_END_SENT	   ? 'S'
		       : how == PLAIT_TRANSPORT_END_FAILED ? 'F'
							   : 'R');
	return plait_self(t, struct puppet)->ended;
}

static bool puppet_has_input(struct plait_transport *t)
{
	return plait_self(t, struct puppet)->input != NULL;
}

static bool puppet_drain(struct plait_transport *t)
{
	struct puppet *p = plait_self(t, struct puppet);
	const char *text = p->input;

	p->input = NULL;
	if (text != NULL)
		plait_transport_received(t, text, strlen(text));
	return text != NULL;
}

static void puppet_done(struct plait_transport *t)
{
	puppets_done++;
}

static const struct plait_transport_ops puppet_ops = {
	.name = "puppet",
	.size = sizeof(struct puppet),
	.send = puppet_send,
	.want = puppet_want,
	.unsent = puppet_unsent,
	.shut = puppet_shut,
	.end = puppet_end,
	.has_input = puppet_has_input,
	.drain = puppet_drain,
	.done = puppet_done,
};

static void open_puppet(void)
{
	w.transport = plait_transport_new(&puppet_ops, reactor, NULL);
	ck_assert_ptr_nonnull(w.transport);
	puppet = plait_self(w.transport, struct puppet);
	w.reactor = reactor;
	w.peer = -1;
	w.protocol = wire_protocol_new(&w);
	plait_transport_made(w.transport, w.protocol);
}

static void puppet_turns(void)
{
	run_turns(reactor, 4);
}

static void receive(const char *text)
{
	plait_transport_received(&puppet->base, text, strlen(text));
}

static void puppet_setup(void)
{
	w = (struct wire){ .peer = -1 };
	puppets_done = 0;
}

static void is_buried(const char *why)
{
	puppet_turns();
	ck_assert_uint_eq(w.lost, 1);
	ck_assert_uint_eq(w.done, 1);
	ck_assert_str_eq(w.why, why);
	ck_assert_uint_eq(puppets_done, 1);
}

GROUP("door", .setup = puppet_setup);

TEST(a_kind_is_told_what_is_wanted_when_that_changes, ON_EACH_REACTOR)
{
	open_puppet();
	ck_assert_str_eq(puppet->asked, "I");
	plait_transport_pause_reading(w.transport);
	plait_transport_resume_reading(w.transport);
	puppet_turns();
	ck_assert_str_eq(puppet->asked, "I");
	plait_transport_pause_reading(w.transport);
	puppet_turns();
	ck_assert_str_eq(puppet->asked, "IE");
	plait_transport_resume_reading(w.transport);
	puppet->deaf = true;
	plait_transport_write(w.transport, "x", 1);
	puppet_turns();
	ck_assert_str_eq(puppet->asked, "IEI+");
	puppet->deaf = false;
	plait_transport_writable(w.transport);
	ck_assert_str_eq(puppet->asked, "IEI+I");
	ck_assert_str_eq(puppet->sent, "x");
	plait_transport_lose_connection(w.transport);
	is_buried("ConnectionDone");
}

TEST(input_that_nobody_wants_is_kept, ON_EACH_REACTOR)
{
	open_puppet();
	plait_transport_pause_reading(w.transport);
	receive("once ");
	receive("more");
	plait_transport_read_lost(&puppet->base);
	receive(", never");
	puppet_turns();
	ck_assert_str_eq(w.trace, "M");
	plait_transport_resume_reading(w.transport);
	is_buried("ConnectionDone");
	ck_assert_str_eq(w.trace, "MDL");
	ck_assert_str_eq(w.text, "once more");
}

TEST(kept_input_comes_in_pieces_of_a_read, ON_EACH_REACTOR)
{
	enum { N = 300000 };
	unsigned char *bytes = wire_bytes(N);

	w.on_data = wire_check_bytes;
	open_puppet();
	plait_transport_pause_reading(w.transport);
	plait_transport_received(&puppet->base, bytes, N);
	free(bytes);
	plait_transport_resume_reading(w.transport);
	puppet_turns();
	ck_assert_uint_eq(w.received, N);
	ck_assert_uint_le(w.most, 131072);
	plait_transport_abort_connection(w.transport);
	is_buried("ConnectionAborted: by this end");
}

static void receive_inside(struct wire *wire, const void *data, size_t len)
{
	wire->on_data = NULL;
	receive("second");
	ck_assert_str_eq(wire->text, "first ");
}

TEST(what_comes_inside_a_callback_is_told_after_it, ON_EACH_REACTOR)
{
	w.on_data = receive_inside;
	open_puppet();
	receive("first ");
	puppet_turns();
	ck_assert_str_eq(w.text, "first second");
	lose_puppet("gone");
	is_buried("ConnectionLost: gone");
}

static void lose_inside(struct wire *wire, const void *data, size_t len)
{
	lose_puppet("gone");
	ck_assert_uint_eq(wire->lost, 0);
	receive("never");
}

TEST(a_loss_inside_a_callback_is_told_after_it, ON_EACH_REACTOR)
{
	w.on_data = lose_inside;
	open_puppet();
	receive("x");
	is_buried("ConnectionLost: gone");
	ck_assert_str_eq(w.trace, "MDL");
	ck_assert_uint_eq(w.received, 1);
}

static void tell_all(struct wire *wire)
{
	receive("never");
	plait_transport_read_lost(&puppet->base);
	plait_transport_write_lost(&puppet->base);
	plait_transport_writable(&puppet->base);
	plait_transport_gone(&puppet->base);
	lose_puppet("again");
}

TEST(what_is_told_of_a_lost_one_is_nothing, ON_EACH_REACTOR)
{
	w.on_lost = tell_all;
	open_puppet();
	lose_puppet("gone");
	tell_all(&w);
	is_buried("ConnectionLost: gone");
	ck_assert_str_eq(w.trace, "ML");
}

TEST(the_first_reason_is_told, ON_EACH_REACTOR)
{
	open_puppet();
	plait_transport_abort_connection(w.transport);
	lose_puppet("gone");
	is_buried("ConnectionAborted: by this end");
}

TEST(one_that_ends_later_is_waited_for, ON_EACH_REACTOR)
{
	open_puppet();
	puppet->ended = PLAIT_TRANSPORT_ENDS_LATER;
	plait_transport_write(w.transport, "bye", 3);
	plait_transport_lose_connection(w.transport);
	puppet_turns();
	ck_assert_str_eq(puppet->asked, "IS");
	plait_transport_write(w.transport, "too late", 8);
	puppet_turns();
	ck_assert_str_eq(puppet->sent, "bye");
	ck_assert_uint_eq(w.lost, 0);
	lose_puppet("as it said");
	is_buried("ConnectionLost: as it said");
}

TEST(an_abort_is_told_to_one_that_ends_later, ON_EACH_REACTOR)
{
	open_puppet();
	puppet->ended = PLAIT_TRANSPORT_ENDS_LATER;
	plait_transport_lose_connection(w.transport);
	puppet_turns();
	plait_transport_abort_connection(w.transport);
	plait_transport_abort_connection(w.transport);
	puppet_turns();
	ck_assert_str_eq(puppet->asked, "ISR");
	ck_assert_uint_eq(w.lost, 0);
	lose_puppet("now");
	is_buried("ConnectionAborted: by this end");
}

TEST(the_end_of_the_reactor_does_not_wait_for_it, ON_EACH_REACTOR)
{
	open_puppet();
	puppet->ended = PLAIT_TRANSPORT_ENDS_LATER;
	plait_transport_lose_connection(w.transport);
	puppet_turns();
	plait_reactor_free(&reactor);
	ck_assert_str_eq(w.trace, "ML");
	ck_assert_uint_eq(puppets_done, 1);
}

TEST(one_that_lingers_stays_until_it_is_gone, ON_EACH_REACTOR, TIMES(2))
{
	open_puppet();
	puppet->ended = PLAIT_TRANSPORT_LINGERS;
	plait_transport_lose_connection(w.transport);
	puppet_turns();
	ck_assert_uint_eq(w.done, 1);
	ck_assert_uint_eq(puppets_done, 0);
	if (_i == 0)
		plait_transport_gone(&puppet->base);
	else if (backend != NULL)
		run_for(reactor, 6);
	else
		plait_testing_advance(reactor, 6);
	is_buried("ConnectionDone");
}

TEST(half_a_close_may_take_time, ON_EACH_REACTOR)
{
	w.half_closeable = true;
	open_puppet();
	puppet->shuts_later = true;
	plait_transport_write_lost(&puppet->base);
	plait_transport_lose_write_connection(w.transport);
	puppet_turns();
	ck_assert_str_eq(puppet->asked, "Ih");
	ck_assert_str_eq(w.trace, "M");
	plait_transport_write_lost(&puppet->base);
	plait_transport_write_lost(&puppet->base);
	ck_assert_str_eq(w.trace, "MW");
	plait_transport_lose_connection(w.transport);
	is_buried("ConnectionDone");
}

TEST(what_a_kind_has_in_its_hands_holds_up_a_close, ON_EACH_REACTOR)
{
	open_puppet();
	puppet->unsent = 5;
	ck_assert_uint_eq(plait_transport_unsent(w.transport), 5);
	plait_transport_lose_connection(w.transport);
	puppet_turns();
	ck_assert_uint_eq(w.lost, 0);
	puppet->unsent = 0;
	plait_transport_writable(w.transport);
	is_buried("ConnectionDone");
}

TEST(what_has_come_is_delivered_when_sending_fails, ON_EACH_REACTOR)
{
	open_puppet();
	wire_work(&w);
	puppet->error = EPIPE;
	puppet->input = "last words";
	plait_transport_write(w.transport, "x", 1);
	is_buried("ConnectionLost: send: Broken pipe");
	ck_assert_str_eq(w.text, "last words");
	ck_assert_int_eq(w.err, EPIPE);
	ck_assert(w.ended);
}

TEST(a_kind_may_abort_itself_while_it_sends, ON_EACH_REACTOR)
{
	open_puppet();
	puppet->aborts = true;
	plait_transport_write(w.transport, "x", 1);
	is_buried("ConnectionAborted: by this end");
}

TEST(a_kind_may_say_that_it_is_broken, ON_EACH_REACTOR)
{
	plait_value why = plait_fail(&plait_error_connection_lost, "cut");

	open_puppet();
	wire_produce(&w, true);
	plait_transport_pause_reading(w.transport);
	puppet->input = "last words";
	plait_transport_broken(w.transport, plait_value_failure(&why));
	plait_value_free(&why);
	puppet_turns();
	ck_assert_str_eq(w.trace, "MS");
	plait_transport_resume_reading(w.transport);
	is_buried("ConnectionLost: cut");
	ck_assert_str_eq(w.trace, "MSDL");
}

TEST(a_kind_that_cannot_watch_is_lost, ON_EACH_REACTOR)
{
	open_puppet();
	puppet->error = EMFILE;
	plait_transport_pause_reading(w.transport);
	is_buried("ConnectionLost: watch: Too many open files");
}

TEST(one_that_is_not_made_is_given_up, ON_EACH_REACTOR)
{
	struct plait_transport *t =
		plait_transport_new(&puppet_ops, reactor, NULL);

	plait_transport_writable(t);
	plait_transport_free(&t);
	ck_assert_ptr_null(t);
	plait_transport_free(&t);
	ck_assert_uint_eq(puppets_done, 1);
}

static void make_early(void)
{
	w.transport = plait_transport_new(&puppet_ops, reactor, NULL);
	ck_assert_ptr_nonnull(w.transport);
	puppet = plait_self(w.transport, struct puppet);
	w.protocol = wire_protocol_new(&w);
	receive("early");
	plait_transport_read_lost(w.transport);
	plait_transport_write(w.transport, "x", 1);
}

TEST(what_is_told_before_it_is_made_waits_for_that, ON_EACH_REACTOR, TIMES(2))
{
	make_early();
	if (_i == 1)
		lose_puppet("early");
	puppet_turns();
	ck_assert_str_eq(puppet->sent, "");
	ck_assert_str_eq(w.trace, "");
	ck_assert_uint_eq(puppets_done, 0);
	plait_transport_made(w.transport, w.protocol);
	is_buried(_i == 1 ? "ConnectionLost: early" : "ConnectionDone");
	ck_assert_str_eq(w.trace, _i == 1 ? "ML" : "MDL");
}

TEST(one_that_is_lost_and_not_made_is_its_makers, ON_EACH_REACTOR)
{
	static struct wire other;

	make_early();
	wire_produce(&w, true);
	plait_transport_scope(w.transport);
	lose_puppet("early");
	plait_transport_abort_connection(w.transport);
	puppet_turns();
	other = w;
	open_puppet();
	plait_transport_register_producer(
		w.transport, plait_transport_producer(other.transport), true);
	plait_transport_free(&other.transport);
	ck_assert_uint_eq(puppets_done, 1);
	ck_assert_str_eq(w.told, "S");
	plait_protocol_free(&other.protocol);
	puppet->deaf = true;
	plait_transport_write(w.transport, (char[100000]){ 0 }, 100000);
	puppet_turns();
	plait_transport_abort_connection(w.transport);
	puppet_turns();
	ck_assert_uint_eq(puppets_done, 2);
}

static const struct plait_transport_ops over_ops = { .name = "over" };

TEST(without_memory_there_is_none, ON_EACH_REACTOR, TIMES(3))
{
	struct plait_transport *t;

	open_puppet();
	fault_alloc_at((unsigned long)_i, false);
	t = plait_transport_new(&over_ops, reactor, w.transport);
	ck_assert_ptr_null(t);
	ck_assert_int_eq(errno, ENOMEM);
	t = plait_transport_new(&over_ops, reactor, w.transport);
	ck_assert_ptr_nonnull(t);
	ck_assert_ptr_eq(plait_transport_below(t), w.transport);
	plait_transport_free(&t);
	plait_transport_abort_connection(w.transport);
	is_buried("ConnectionAborted: by this end");
}

struct built {
	struct plait_transport base;
	int n;
};

static int built_error;
static unsigned n_built_done;

/* As a C++ constructor does, it leaves nothing of the base. */
static int build(struct plait_transport *t)
{
	ck_assert_int_eq(plait_self(t, struct built)->n, 0);
	memset(t, 0xff, sizeof(*t));
	plait_self(t, struct built)->n = 3;
	return built_error;
}

static void built_done(struct plait_transport *t)
{
	ck_assert_int_eq(plait_self(t, struct built)->n, 3);
	n_built_done++;
}

static const struct plait_transport_ops built_ops = {
	.name = "built",
	.size = sizeof(struct built),
	.init = build,
	.done = built_done,
};

TEST(the_base_of_one_is_filled_after_init, ON_EACH_REACTOR)
{
	struct plait_transport *t;

	open_puppet();
	t = plait_transport_new(&built_ops, reactor, w.transport);
	ck_assert_ptr_eq(t->ops, &built_ops);
	ck_assert_ptr_eq(t->reactor, reactor);
	ck_assert_ptr_null(t->protocol);
	ck_assert_ptr_eq(plait_transport_below(t), w.transport);
	plait_transport_free(&t);
	ck_assert_uint_eq(n_built_done, 1);
	plait_transport_abort_connection(w.transport);
	is_buried("ConnectionAborted: by this end");
}

TEST(one_whose_init_fails_wraps_nothing, ON_EACH_REACTOR)
{
	open_puppet();
	built_error = -EPERM;
	ck_assert_ptr_null(
		plait_transport_new(&built_ops, reactor, w.transport));
	ck_assert_int_eq(errno, EPERM);
	ck_assert_uint_eq(n_built_done, 0);
	ck_assert_ptr_null(plait_transport_above(w.transport));
	plait_transport_abort_connection(w.transport);
	is_buried("ConnectionAborted: by this end");
}

static void wrap_it(struct wire *wire)
{
	ck_assert_ptr_null(
		plait_transport_new(&over_ops, reactor, wire->transport));
	ck_assert_int_eq(errno, ENOTCONN);
}

TEST(a_lost_one_cannot_be_wrapped, ON_EACH_REACTOR)
{
	w.on_lost = wrap_it;
	open_puppet();
	plait_transport_lose_connection(w.transport);
	is_buried("ConnectionDone");
}

TEST(one_that_can_not_send_aborts, ON_EACH_BACKEND, ABORTS)
{
	plait_transport_new(&over_ops, reactor, NULL);
}

/* Its struct would be written behind its end. */
TEST(one_whose_struct_is_too_small_aborts, ON_EACH_BACKEND, ABORTS)
{
	static const struct plait_transport_ops small_ops = {
		.name = "small",
		.size = sizeof(struct plait_transport) - 1,
		.send = puppet_send,
	};

	plait_transport_new(&small_ops, reactor, NULL);
}

/* ... but it need not have anything of its own. */
TEST(one_whose_struct_is_the_base_alone_can_be_made, ON_EACH_BACKEND)
{
	static const struct plait_transport_ops bare_ops = {
		.name = "bare",
		.size = sizeof(struct plait_transport),
		.send = puppet_send,
	};
	struct plait_transport *t =
		plait_transport_new(&bare_ops, reactor, NULL);

	ck_assert_ptr_nonnull(t);
	plait_transport_free(&t);
}

static void wrap_another_reactors(void *arg)
{
	plait_transport_new(&over_ops, arg, w.transport);
}

TEST(wrapping_one_of_another_reactor_aborts, ON_EACH_REACTOR)
{
	struct plait_reactor *other = plait_testing_reactor_new();

	open_puppet();
	assert_aborts(wrap_another_reactors, other, "below->reactor == r");
	plait_reactor_free(&other);
	plait_transport_abort_connection(w.transport);
	is_buried("ConnectionAborted: by this end");
}

TEST(one_that_is_not_made_cannot_be_wrapped, ON_EACH_REACTOR)
{
	struct plait_transport *t =
		plait_transport_new(&puppet_ops, reactor, NULL);

	ck_assert_ptr_null(plait_transport_new(&over_ops, reactor, t));
	ck_assert_int_eq(errno, ENOTCONN);
	plait_transport_free(&t);
}

static void make_twice(void)
{
	plait_transport_made(w.transport, wire_protocol_new(&w));
}

static void make_with_anothers_protocol(void)
{
	plait_transport_made(plait_transport_new(&puppet_ops, reactor, NULL),
			     w.protocol);
}

static void make_with_no_protocol(void)
{
	plait_transport_made(plait_transport_new(&puppet_ops, reactor, NULL),
			     NULL);
}

static void free_what_was_made(void)
{
	plait_transport_free(&w.transport);
}

static void wrap_twice(void)
{
	plait_transport_new(&over_ops, reactor, w.transport);
	plait_transport_new(&over_ops, reactor, w.transport);
}

static void send_more_than_there_is(void)
{
	puppet->boast = 5;
	plait_transport_write(w.transport, "x", 1);
	puppet_turns();
}

static void lose_while_it_ends(void)
{
	puppet->loses = true;
	plait_transport_lose_connection(w.transport);
	puppet_turns();
}

static void (*const mistakes[])(void) = {
	make_twice,
	make_with_anothers_protocol,
	make_with_no_protocol,
	free_what_was_made,
	wrap_twice,
	send_more_than_there_is,
	lose_while_it_ends,
};

TEST(mistakes_at_the_door_abort, ON_EACH_BACKEND, ABORTS, EACH_OF(mistakes))
{
	open_puppet();
	mistakes[_i]();
}

TEST(a_forked_child_makes_none, ON_EACH_BACKEND)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(plait_transport_new(&puppet_ops, reactor, NULL) == NULL &&
				      errno == ECHILD
			      ? 0
			      : 1);
	child_ends(pid);
}

/* ---- one over another --------------------------------------------------- */

/* puppet is the one above. */
static struct puppet *below;

static struct plait_protocol *build_wire(struct plait_factory *f,
					 const struct plait_address *peer)
{
	return wire_protocol_new(&w);
}

static void open_stack(void)
{
	static const struct plait_factory_ops wire_ops = {
		.build_protocol = build_wire,
	};
	static const struct plait_factory_ops stacking_ops = {
		PLAIT_WRAPPING_FACTORY,
	};
	static const struct plait_protocol_ops stacked_ops = { PLAIT_WRAPPER };
	static struct plait_factory inner = { .ops = &wire_ops };
	static struct plait_wrapping_factory stacking = {
		.base = { .ops = &stacking_ops, .protocol = &stacked_ops },
		.inner = &inner,
		.transport = &puppet_ops,
	};
	static const struct plait_address nobody;
	struct plait_transport *t =
		plait_transport_new(&puppet_ops, reactor, NULL);

	ck_assert_ptr_nonnull(t);
	w.reactor = reactor;
	below = plait_self(t, struct puppet);
	plait_transport_made(
		t, plait_factory_build_protocol(&stacking.base, &nobody));
	w.transport = plait_transport_above(t);
	puppet = plait_self(w.transport, struct puppet);
}

TEST(a_wrapper_may_outlive_the_transport_above, ON_EACH_REACTOR)
{
	open_stack();
	lose_puppet("cut");
	puppet_turns();
	ck_assert_str_eq(w.why, "ConnectionLost: cut");
	ck_assert_uint_eq(puppets_done, 1);
	ck_assert_ptr_null(plait_transport_above(&below->base));
	plait_transport_received(&below->base, "never", 5);
	plait_transport_read_lost(&below->base);
	plait_transport_lose_write_connection(&below->base);
	puppet_turns();
	plait_transport_abort_connection(&below->base);
	puppet_turns();
	ck_assert_str_eq(w.trace, "ML");
	ck_assert_uint_eq(puppets_done, 2);
}

static void free_in_child(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		plait_reactor_free(&reactor);
		_exit(puppets_done == 2 ? 0 : 1);
	}
	child_ends(pid);
}

TEST(one_that_lingers_goes_with_the_one_below, ON_EACH_REACTOR, TIMES(3))
{
	open_stack();
	puppet->ended = PLAIT_TRANSPORT_LINGERS;
	plait_transport_lose_connection(w.transport);
	puppet_turns();
	ck_assert_uint_eq(w.done, 1);
	ck_assert_uint_eq(puppets_done, 0);
	if (_i == 1)
		free_in_child();
	if (_i == 2) {
		plait_reactor_free(&reactor);
	} else {
		plait_transport_abort_connection(&below->base);
		puppet_turns();
	}
	ck_assert_uint_eq(puppets_done, 2);
}

/* ---- the end of the reactor, without a turn ------------------------------ */

static const struct plait_error *told;

static void note_told(struct plait_protocol *p, const struct plait_failure *why)
{
	told = plait_failure_kind(why);
}

static const struct plait_protocol_ops told_ops = {
	.name = "told",
	.connection_lost = note_told,
};

/* Twice wrapped; what cannot be sent is a loss. */
TEST(what_is_closed_ends_as_closed_when_the_reactor_is_freed, PURE, TIMES(4))
{
	struct plait_factory f = { .protocol = &told_ops };
	struct plait_limited_factory inner = { .max_connections = 5 };
	struct plait_limited_factory outer = { .max_connections = 5 };
	struct plait_reactor *r = plait_testing_reactor_new();
	struct plait_transport *t;

	plait_limited_factory_init(&inner, &f);
	plait_limited_factory_init(&outer, &inner.base.base);
	t = plait_testing_connect(r, _i / 2 == 0 ? &f : &outer.base.base);
	if (_i % 2 == 1)
		plait_testing_set_window(t, 2);
	while (plait_transport_above(t) != NULL)
		t = plait_transport_above(t);
	plait_transport_write(t, "good bye", 8);
	plait_transport_lose_connection(t);
	plait_reactor_free(&r);
	ck_assert_ptr_eq(told, _i % 2 == 0 ? &plait_error_connection_done
					   : &plait_error_connection_lost);
	plait_limited_factory_done(&inner);
	plait_limited_factory_done(&outer);
}

/* ---- sending below at once ------------------------------------------- */

GROUP("below", .setup = setup);

static unsigned long sends(void)
{
	return calls_of("send") + calls_of("sendmsg");
}

TEST(many_bytes_are_sent_below_at_once, ON_EACH_BACKEND)
{
	unsigned char *bytes = wire_bytes(21484), came[21484];
	unsigned long before;

	open_kind(REUSING_CARRIER);
	before = sends();
	plait_transport_write(c.w.transport, bytes, 100);
	plait_transport_write(c.w.transport, bytes + 100, 21384);
	turns();
	ck_assert_uint_eq(reusing_unsent, 0);
	ck_assert_uint_eq(sends() - before, 1);
	carried_take(&c, came, sizeof(came));
	ck_assert(memcmp(came, bytes, sizeof(came)) == 0);
	free(bytes);
	carried_close(&c);
}

TEST(few_bytes_wait_below, ON_EACH_BACKEND)
{
	unsigned long before;

	open_kind(REUSING_CARRIER);
	before = sends();
	plait_transport_write(c.w.transport, "hello", 5);
	turns();
	ck_assert_uint_eq(reusing_unsent, 5);
	ck_assert_uint_eq(sends() - before, 1);
	carried_take(&c, NULL, 5);
	carried_close(&c);
}

/* The first send takes nothing, or a part. */
TEST(what_is_not_taken_at_once_waits_below, ON_EACH_BACKEND, TIMES(2))
{
	unsigned char *bytes = wire_bytes(8000), came[8000];

	open_kind(REUSING_CARRIER);
	if (_i == 0)
		fault_call("send", 1, EAGAIN);
	else
		fault_short("send", 1, 3000);
	plait_transport_write(c.w.transport, bytes, 8000);
	turns();
	ck_assert_uint_eq(reusing_unsent, _i == 0 ? 8000 : 5000);
	carried_take(&c, came, sizeof(came));
	ck_assert(memcmp(came, bytes, sizeof(came)) == 0);
	free(bytes);
	carried_close(&c);
}

/* Input that has come before is told first. */
TEST(an_error_below_is_told_as_always, ON_EACH_BACKEND)
{
	unsigned char *bytes = wire_bytes(8000);

	open_kind(REUSING_CARRIER);
	plait_transport_pause_reading(c.w.transport);
	c.carrier->say(&c, "last", 4);
	turns();
	fault_call("send", 1, ECONNRESET);
	plait_transport_write(c.w.transport, bytes, 8000);
	plait_transport_resume_reading(c.w.transport);
	turns();
	ck_assert(fault_used("send"));
	carried_close(&c);
	free(bytes);
	ck_assert_str_eq(c.w.text, "last");
	ck_assert_str_eq(c.w.trace, "MDL");
	ck_assert_str_eq(c.w.why,
			 "ConnectionLost: send: Connection reset by peer");
}

GROUP("torture", .setup = setup, .timeout = 60);

static int tortured;

static void converse(struct plait_reactor *r)
{
	c = (struct carried){ .carrier = &carriers[tortured],
			      .w.on_data = echo };
	if (!carried_open(&c, r)) {
		ck_assert(torture_faulty());
		run_turns(r, 3);
		return;
	}
	plait_transport_write(c.w.transport, "welcome ", 8);
	carried_say(&c, "hello");
	carried_take(&c, NULL, 13);
	if (c.w.transport != NULL)
		plait_transport_lose_connection(c.w.transport);
	carried_take_to_end(&c, NULL, 100);
	carried_close(&c);
}

TEST(a_conversation_survives_every_refused_allocation, ON_EACH_BACKEND,
     TIMES(N_CARRIERS))
{
	tortured = _i;
	torture(converse, backend);
}
