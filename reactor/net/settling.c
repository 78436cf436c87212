/*
 * What the loop does with a transport of any kind: it delivers what has come,
 * sends what is unsent, and does what the program has asked for.
 *
 * The calls of the API change only the state and the output; they queue
 * transport_settle(), which runs once when the callback has returned.  It sends
 * the output, tells the kind of transport what to wait for, and queues an
 *answer if the protocol has to be told something.  So a callback that writes
 *ten times costs one send(), a callback that pauses and resumes costs nothing,
 *and no call of the API calls a callback: transport_answer() does, from the
 *loop.
 *
 * In the order of this file:
 *
 *   input	the kind tells what has come, or that no more will; what
 *		nobody wants now is held
 *   settling	transport_settle(), after a callback
 *   answering	transport_answer(), in the next turn; or at once, when an
 *		event has been told
 *   shutdown	what the reactor asks of a transport that is its member
 *
 * An answer ends it (closing.c), goes on draining it, tells input that was
 * held, or shuts our half.
 *
 * A transport that wraps another is no member of the reactor: the one below is,
 * and takes it along.
 */
#include <errno.h>

#include "lib/chance.h"
#include "reactor/net/errors.h"
#include "reactor/net/transport.h"

/* ---- what is due ------------------------------------------------------ */

static bool transport_must_shut(const struct transport *t)
{
	return t->write_closed && !t->shut &&
	       plait_i_transport_own_unsent(t) == 0;
}

/* Is true if input that nobody wanted before, or its end, can be told now. */
static bool transport_has_late_input(const struct transport *t)
{
	bool holds = transport_held_input(t) != NULL;

	if ((!holds && !t->end_waits) || transport_is_closing(t) || t->inside ||
	    !transport_is_made(t))
		return false;
	if (holds)
		return !t->reading_paused;
	/* A paused reader is told of the end, too, unless input is unread. */
	return !t->reading_paused || !plait_i_transport_has_unread(t);
}

static bool transport_owes_answer(const struct transport *t)
{
	return (transport_is_finished(t) && !t->ending) ||
	       transport_must_shut(t) || transport_has_late_input(t) || t->more;
}

/* Is true if a paused reader is waited for: as long as input may be wanted. */
static bool transport_waits_for_reader(const struct transport *t)
{
	return t->draining && t->reading_paused &&
	       !transport_wants_no_more(t) && !t->leaving;
}

/* ---- input ------------------------------------------------------------ */

static OUT_OF_LINE void transport_hold(struct transport *t, const void *data,
				       size_t len)
{
	struct transport_extra *e = plait_i_transport_extra(t);

	REACHED("input is held for a reader");
	t->special = true;
	if (e != NULL && e->held == NULL)
		e->held = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	if (e == NULL || e->held == NULL ||
	    plait_buf_append(e->held, data, len) < 0)
		plait_i_transport_abort(&t->base, &plait_i_failure_no_memory);
}

/* The protocol may not want the input any more, or not now. */
static OUT_OF_LINE void transport_receive_special(struct transport *t,
						  const void *data, size_t len)
{
	if (t->disconnecting || t->eof || t->end_waits ||
	    (t->why != NULL && !t->draining))
		return;
	if (t->reading_paused || t->inside || !transport_is_made(t) ||
	    transport_held_input(t) != NULL)
		transport_hold(t, data, len);
	else
		plait_i_transport_data(t, data, len);
}

void plait_i_transport_received(struct transport *t, const void *data,
				size_t len)
{
	/* After the loss a kind may tell what it likes: nobody reads it. */
	if (!t->lost)
		trace_note(TRACE_READ, &t->base, NULL, NULL, len);
	transport_is_active(t);
	if (transport_is_plain(t) && transport_is_made(t))
		plait_i_transport_data(t, data, len);
	else
		transport_receive_special(t, data, len);
}

/* A piece of it, as large as a read gives at most. */
static void transport_deliver_held(struct transport *t)
{
	struct plait_buf **held = &t->extra->held;
	struct plait_buf *piece = *held;

	if (plait_buf_size(piece) <= POOL_READ_SIZE) {
		*held = NULL;
	} else {
		piece = plait_buf_copy(plait_buf_data(piece), POOL_READ_SIZE);
		if (piece == NULL) {
			plait_i_transport_abort(&t->base,
						&plait_i_failure_no_memory);
			return;
		}
		plait_buf_consume(*held, POOL_READ_SIZE);
	}
	plait_i_transport_data(t, plait_buf_data(piece), plait_buf_size(piece));
	plait_buf_unref(&piece);
}

static void transport_tell_late_input(struct transport *t)
{
	if (transport_held_input(t) != NULL) {
		transport_deliver_held(t);
		return;
	}
	t->end_waits = false;
	t->eof = true;
	if (!plait_i_transport_tell_read_lost(t))
		t->peer_left = true;
}

void plait_i_transport_read_lost(struct transport *t)
{
	if (t->eof || t->lost || t->why != NULL)
		return;
	t->end_waits = true;
	if (transport_held_input(t) == NULL && transport_has_late_input(t))
		transport_tell_late_input(t);
}

void plait_i_transport_write_lost(struct transport *t)
{
	if (!t->shutting || t->why != NULL)
		return;
	t->shutting = false;
	plait_i_transport_tell_write_lost(t);
}

/* ---- settling --------------------------------------------------------- */

static OUT_OF_LINE void transport_tell_wants(struct transport *t,
					     unsigned wants)
{
	const struct plait_transport_ops *ops = t->base.ops;
	struct transport *below = transport_below(t);
	plait_value v;
	int r = 0;

	if (ops->want != NULL)
		r = ops->want(&t->base, wants);
	else if (below != NULL && (wants & PLAIT_TRANSPORT_WANTS_INPUT))
		plait_transport_resume_reading(&below->base);
	else if (below != NULL)
		plait_transport_pause_reading(&below->base);
	t->wants = wants;
	if (r == 0)
		return;
	v = plait_fail_errno(&plait_error_connection_lost, -r, "watch");
	plait_i_transport_fail(t, plait_value_failure(&v));
}

static inline void transport_arm(struct transport *t)
{
	unsigned wants = transport_wants(t);

	if (wants != t->wants)
		transport_tell_wants(t, wants);
}

/*
 * The transport ends for a reason, which is told in the next turn.  If input is
 * left and the reader has paused, the transport waits for the reader, but not
 * for ever.
 */
static OUT_OF_LINE void transport_settle_ending(struct transport *t)
{
	plait_i_closing_tell_below(t);
	if (!transport_waits_for_reader(t)) {
		transport_owe_answer(t);
		return;
	}
	plait_i_closing_wait_for_reader(t);
	transport_arm(t);
}

/* For a transport that may have a deadline, an end, or an answer. */
static OUT_OF_LINE void transport_settle_special(struct transport *t,
						 bool progress)
{
	if (t->why == NULL)
		plait_i_closing_mind_deadline(t, progress);
	/* Bytes that the transports above have passed down were sent, so they
	   make progress, too. */
	for (struct transport *a = transport_above(t); a != NULL && progress;
	     a = transport_above(a)) {
		if (a->why == NULL && !a->lost)
			plait_i_closing_mind_deadline(a, true);
	}
	/* An answer may change everything, and comes before the next wait. */
	if (t->why != NULL)
		transport_settle_ending(t);
	else if (transport_owes_answer(t))
		transport_owe_answer(t);
	else
		transport_arm(t);
}

/*
 * Tells the kind of transport what the program has asked for.  If the kind has
 * just said that there is room, the peer has taken something: then it is
 * progress to be able to send.
 */
static void transport_settle(struct transport *t)
{
	bool room = t->room;
	size_t sent;

	if (t->settles)
		plait_i_transport_cancel_settling(t);
	/* In a forked child the connection is still the parent's. */
	if (t->lost || loop_is_forked(transport_reactor(t)))
		return;
	t->room = false;
	sent = t->why == NULL ? plait_i_unsent_flush(t) : 0;
	if (transport_is_plain(t))
		transport_arm(t);
	else
		transport_settle_special(t, room && sent > 0);
	/* It is queued after the answer: if the answer ends the transport, the
	   producer is only told of the end. */
	transport_output_changed(t);
	transport_verify(t);
}

/* ---- answering -------------------------------------------------------- */

static bool transport_drain_some(struct transport *t)
{
	if (transport_held_input(t) == NULL)
		return t->base.ops->drain != NULL &&
		       t->base.ops->drain(&t->base);
	transport_deliver_held(t);
	return true;
}

/* Delivers a part of the input that is left.  The transport is over when no
   input is left, or nobody reads it. */
static void transport_drain(struct transport *t)
{
	plait_i_transport_cancel_scope(t);
	if (!transport_wants_no_more(t) && !t->reading_paused) {
		transport_stop_deadline(t);
		if (!transport_drain_some(t))
			t->draining = false;
	} else if (!transport_waits_for_reader(t)) {
		t->draining = false;
	}
	transport_settle_ending(t);
}

static void transport_shut(struct transport *t)
{
	const struct plait_transport_ops *ops = t->base.ops;
	struct transport *below = transport_below(t);

	t->shut = true;
	if (ops->shut != NULL) {
		t->shutting = ops->shut(&t->base) == -EINPROGRESS;
	} else if (below != NULL) {
		plait_transport_lose_write_connection(&below->base);
		t->shutting = true;
	}
	if (!t->shutting)
		plait_i_transport_tell_write_lost(t);
}

static void transport_shut_down(struct transport *t)
{
	plait_value v = plait_fail(&plait_error_connection_lost,
				   "the reactor was shut down");

	plait_i_transport_fail(t, plait_value_failure(&v));
}

/* The transport could send more, but has sent much in this turn already. */
static bool transport_has_had_its_turn(const struct transport *t)
{
	return t->more &&
	       t->odd_turn ==
		       (bool)(plait_i_loop_turn(transport_reactor(t)) & 1);
}

/*
 * The program has closed the transport above, which has passed down all that it
 * had, and has not ended yet: its end closes t, and may have something to say.
 */
static bool transport_is_closed_from_above(const struct transport *t)
{
	const struct transport *above = transport_above(t);

	return above != NULL && above->why == NULL && !above->lost &&
	       !above->ending && transport_is_finished(above);
}

static void transport_answer(struct transport *t)
{
	t->owes = false;
	if (!t->settles)
		loop_task_cancel(&t->task);
	if (t->draining) {
		transport_drain(t);
	} else if (t->why != NULL) {
		plait_i_closing_failed(t);
	} else if (t->leaving && transport_is_closed_from_above(t)) {
		transport_owe_answer(t);
	} else if (transport_is_finished(t) && !t->ending) {
		plait_i_closing_sent(t);
	} else if (transport_has_had_its_turn(t)) {
		transport_owe_answer(t);
	} else {
		if (transport_has_late_input(t))
			transport_tell_late_input(t);
		else if (transport_must_shut(t))
			transport_shut(t);
		transport_settle(t);
		/* What the end of a transport above had to say was not taken.
		 */
		if (t->leaving && t->why == NULL && !t->lost &&
		    !transport_is_finished(t))
			transport_shut_down(t);
	}
}

/* The callbacks have returned, so the answer need not wait. */
static void transport_answer_now(struct transport *t)
{
	if (t->owes && !t->dead && !t->more && !t->inside &&
	    !loop_is_forked(transport_reactor(t)))
		transport_answer(t);
}

void plait_i_transport_settle_event(struct transport *t)
{
	t->has_event = false;
	t->answers_now = !t->inside;
	transport_settle(t);
	t->answers_now = false;
	transport_answer_now(t);
}

/*
 * Its answer has lost its place to the settling.  If it was due in this turn,
 * it comes now: otherwise whoever asks for something in each turn would put it
 * off for ever.
 */
static void transport_settle_debt(struct transport *t)
{
	bool due = t->owes &&
		   t->odd_debt !=
			   (bool)(plait_i_loop_turn(transport_reactor(t)) & 1);

	transport_settle(t);
	if (due)
		transport_answer_now(t);
}

static void transport_run_task(struct loop_task *task)
{
	struct transport *t = plait_container(task, struct transport, task);

	if (!t->settles)
		transport_answer(t);
	else if (t->has_event)
		plait_i_transport_settle_event(t);
	else
		transport_settle_debt(t);
}

/* ---- shutdown: as a member of the reactor ------------------------------ */

static bool transport_member_is_closing(const struct loop_member *m)
{
	const struct transport *t =
		plait_container(m, const struct transport, member);

	if (t->lingering)
		return true;
	for (; t != NULL; t = transport_above(t)) {
		if (transport_is_closing(t) && t->why == NULL && !t->lost)
			return true;
	}
	return false;
}

/* Sends as much as the kind takes now; no other connection has to be served. */
static void transport_send_the_rest(struct transport *t)
{
	do
		t->blocked = false;
	while (plait_i_unsent_flush(t) > 0);
	t->more = false;
}

/* The reactor shuts down. */
static void transport_leave_now(struct transport *t)
{
	bool from_above;

	if (transport_above(t) != NULL)
		transport_leave_now(transport_above(t));
	from_above = transport_is_closed_from_above(t);
	if (t->lost) {
		/* The protocol was told before; end the lingering. */
		t->hurried = t->lingering;
		plait_i_transport_gone(t);
		return;
	}
	if (t->why == NULL) {
		transport_send_the_rest(t);
		t->hurried = true;
		t->disconnecting |= from_above;
	}
	/* A kind that ends later would end too late, unless it wraps another
	   transport, which ends it. */
	if (t->why == NULL && (!transport_is_finished(t) ||
			       (t->ending && transport_below(t) == NULL)))
		transport_shut_down(t);
	t->leaving = true;
	t->write_closed |= !from_above;
	transport_owe_answer(t);
}

static void transport_member_leave(struct loop_member *m)
{
	transport_leave_now(plait_container(m, struct transport, member));
}

static void transport_member_abandon(struct loop_member *m)
{
	plait_i_closing_abandon(plait_container(m, struct transport, member));
}

static struct plait_transport *transport_member(struct loop_member *m)
{
	return &plait_container(m, struct transport, member)->base;
}

/* A producer that waits would learn of other marks only from the peer. */
static void transport_member_limits(struct loop_member *m)
{
	plait_i_transport_output_changed(
		plait_container(m, struct transport, member));
}

static const struct loop_member_ops transport_member_ops = {
	.lose = transport_member_leave,
	.is_closing = transport_member_is_closing,
	.abandon = transport_member_abandon,
	.transport = transport_member,
	.limits = transport_member_limits,
};

static void transport_ignore_task(struct loop_task *task)
{
	struct transport *t = plait_container(task, struct transport, task);

	t->settles = t->owes = false;
}

/* Until a transport is made, its maker owns it and the loop leaves it alone. */
void plait_i_settling_init(struct transport *t)
{
	t->member.ops = &transport_member_ops;
	t->task.run = transport_ignore_task;
}

void plait_i_settling_begin(struct transport *t)
{
	t->task.run = transport_run_task;
}
