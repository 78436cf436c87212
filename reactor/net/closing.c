/*
 * What the loop does with a transport, of whatever kind: sends what it has
 * unsent, tells what has come, and ends it in good order.
 *
 * The calls of the API change nothing but the state and the output; they queue
 * transport_settle(), which runs once when the callback has returned.  It sends
 * what there is, tells the kind of transport what is to be waited for, and owes
 * the protocol an answer if one is due.  So a callback that writes ten times
 * costs one send(), one that pauses and resumes costs nothing, and none of the
 * calls ever calls back: transport_answer() does, from the loop.
 *
 * A transport lives through these: open; draining, when nothing can be sent any
 * more and what had come by then is delivered; over, with a reason to tell
 * (why); lost, when the protocol has been told and is gone; lingering, if what
 * is on its way must not be destroyed; dead, waiting for its burial, which ends
 * what the kind of transport has.
 *
 * The loop comes in at these places:
 *
 *   plait_i_transport_...()	the kind tells something: received, read lost,
 *				writable, broken, over, gone
 *   transport_settle()		a callback has returned: flush, the deadline of
 *				a close, then arm or owe an answer
 *   transport_answer()		one turn later, or when an event has been
 *				settled: drain, finish, late input, half a close
 *   transport_out_of_time()	the deadline of closing, draining, lingering
 *   transport_member_...()	the reactor shuts down
 *
 * An end goes from broken (what has come is delivered first), fail (it is not)
 * or finish (all is sent) through linger or at once to die and bury.
 *
 * A transport that wraps another is no member of the reactor: the one below is,
 * and takes it along.
 */
#include <errno.h>
#include <stdlib.h>

#include "reactor/net/errors.h"
#include "reactor/net/transport.h"

enum {
	MAX_PIECES = 64,	 /* of one send */
	MAX_SENDS = 16,		 /* of one flush */
	MAX_FLUSH = 1024 * 1024, /* bytes of one flush, about */
};

/* A peer that has left is not kept waiting by a producer. */
static bool transport_is_finished(const struct transport *t)
{
	return transport_is_closing(t) &&
	       plait_i_transport_own_unsent(t) == 0 &&
	       (!transport_is_held(t) || t->peer_left);
}

static bool transport_is_write_finished(const struct transport *t)
{
	return t->write_closed && !t->shut &&
	       plait_i_transport_own_unsent(t) == 0;
}

/* Input that came when nobody wanted it, or its end, can be told now. */
static bool transport_has_late_input(const struct transport *t)
{
	bool holds = transport_held_input(t) != NULL;

	if ((!holds && !t->end_waits) || transport_is_closing(t) || t->inside)
		return false;
	if (holds)
		return !t->reading_paused;
	return !t->reading_paused || !plait_i_transport_has_unread(t);
}

static bool transport_owes_answer(const struct transport *t)
{
	return (transport_is_finished(t) && !t->ending) ||
	       transport_is_write_finished(t) || transport_has_late_input(t) ||
	       t->more;
}

/* ... or those above do. */
static bool transport_wants_no_more(const struct transport *t)
{
	for (; t != NULL; t = transport_above(t)) {
		if (transport_is_closing(t))
			return true;
	}
	return false;
}

/* A reader that is paused is waited for, unless the program has closed. */
static bool transport_waits_for_reader(const struct transport *t)
{
	return t->draining && t->reading_paused &&
	       !transport_wants_no_more(t) && !t->leaving;
}

static void transport_out_of_time(void *arg);
static void transport_die(struct transport *t);

/* ---- ending ---------------------------------------------------------- */

static void transport_end_done(struct transport *t)
{
	if (!t->done && t->base.ops->done != NULL)
		t->base.ops->done(&t->base);
	t->done = true;
}

/* Of those that stand over each other, this one goes. */
static void transport_unstack(struct transport *t)
{
	struct transport *above;

	if (t->extra == NULL)
		return;
	if (t->extra->below != NULL)
		t->extra->below->extra->above = NULL;
	above = t->extra->above;
	t->extra->above = t->extra->below = NULL;
	if (above == NULL)
		return;
	above->extra->below = NULL;
	if (above->lingering)
		transport_die(above); /* nothing is on its way any more */
	else if (transport_is_made(above) && !above->dead)
		plait_i_closing_join(above); /* a callback is to return first */
}

void plait_i_transport_free(struct transport *t)
{
	transport_end_done(t);
	plait_protocol_free(&t->base.protocol);
	transport_unstack(t);
	plait_timer_stop(&t->deadline);
	loop_task_cancel(&t->settling);
	loop_task_cancel(&t->answering);
	plait_i_output_drop(&t->output, transport_reactor(t));
	if (t->extra != NULL)
		plait_buf_unref(&t->extra->held);
	free(t->extra);
	plait_failure_unref(&t->why);
	free(t);
}

static void transport_free_kept(struct loop_task *task)
{
	plait_i_transport_free(
		plait_container(task, struct transport, answering));
}

/*
 * The end: what the kind has is closed here and nowhere else, between turns, so
 * that no event of the turn can meet another's descriptor.
 */
static void transport_bury(struct loop_task *task)
{
	struct transport *t =
		plait_container(task, struct transport, answering);

	/* A wrapper, in a forked child: it may know a port, which goes next. */
	plait_protocol_free(&t->base.protocol);
	if (!t->kept) {
		transport_end_done(t);
		trace_end(TRACE_CLOSED, &t->base, t->cause);
		plait_i_transport_free(t);
		return;
	}
	trace_end(TRACE_CLOSED, &t->base, t->cause);
	t->answering.run = transport_free_kept;
	plait_i_loop_keep(transport_reactor(t), &t->answering);
}

static void transport_die(struct transport *t)
{
	/* In a child that a callback has forked it may be buried already. */
	if (loop_is_forked(transport_reactor(t)))
		return;
	plait_assert(!t->dead);
	t->dead = true;
	t->lingering = false;
	transport_unstack(t);
	plait_timer_stop(&t->deadline);
	loop_part(&t->member);
	loop_task_cancel(&t->settling);
	loop_task_cancel(&t->answering);
	t->answering.run = transport_bury;
	plait_i_loop_bury(transport_reactor(t), &t->answering);
	transport_verify(t);
}

static void transport_lose(struct transport *t, const struct plait_failure *why)
{
	plait_timer_stop(&t->deadline);
	loop_task_cancel(&t->settling);
	plait_i_output_drop(&t->output, transport_reactor(t));
	plait_i_transport_tell_lost(t, why, plait_i_transport_over);
}

void plait_i_transport_over(struct transport *t,
			    const struct plait_failure *why)
{
	if (t->lost)
		return;
	t->over = true;
	plait_i_transport_fail(t, plait_failure_ref(why));
	if (t->inside)
		return;
	transport_lose(t, t->why);
	transport_die(t);
}

static enum plait_transport_ended
transport_end_below(struct transport *t, enum plait_transport_end how)
{
	struct transport *below = transport_below(t);

	if (below == NULL)
		return PLAIT_ENDED;
	switch (how) {
	case PLAIT_END_SENT:
		plait_transport_lose_connection(&below->base);
		break;
	case PLAIT_END_FAILED:
		plait_i_transport_end_now(below, plait_failure_ref(t->why),
					  false);
		break;
	case PLAIT_END_RESET:
		plait_i_transport_end_now(below, plait_failure_ref(t->why),
					  true);
		break;
	}
	return PLAIT_ENDS_LATER;
}

/* Tells the kind of transport to end; again only if it has got worse. */
static enum plait_transport_ended transport_end(struct transport *t,
						enum plait_transport_end how)
{
	enum plait_transport_ended ret;

	if (t->ending && (how == PLAIT_END_SENT || t->ending_failed))
		return PLAIT_ENDS_LATER;
	t->ending_failed = how != PLAIT_END_SENT;
	if (t->base.ops->end != NULL)
		ret = t->base.ops->end(&t->base, how);
	else
		ret = transport_end_below(t, how);
	t->ending = ret == PLAIT_ENDS_LATER;
	return ret;
}

/* One that ends later is waited for, but not by the end of the reactor. */
static bool transport_ends_later(const struct transport *t,
				 enum plait_transport_ended ended)
{
	return ended == PLAIT_ENDS_LATER &&
	       (!t->leaving || transport_below(t) != NULL);
}

static enum plait_transport_ended transport_end_failed(struct transport *t)
{
	return transport_end(t, t->reset ? PLAIT_END_RESET : PLAIT_END_FAILED);
}

static void transport_linger(struct transport *t)
{
	t->lingering = true;
	plait_timer_start(transport_reactor(t), &t->deadline,
			  t->limits.linger_timeout, transport_out_of_time, t);
	transport_verify(t);
}

/* All is sent. */
static void transport_finish(struct transport *t)
{
	enum plait_transport_ended ended = transport_end(t, PLAIT_END_SENT);

	plait_timer_stop(&t->deadline);
	if (transport_ends_later(t, ended)) {
		t->write_closed = t->shut = true;
		return;
	}
	transport_lose(t, &plait_i_failure_connection_done);
	if (ended == PLAIT_LINGERS && !t->hurried &&
	    !loop_is_forked(transport_reactor(t)))
		transport_linger(t);
	else
		transport_die(t);
}

/*
 * Nothing can be sent any more.  That says nothing about what the peer has
 * sent before: it is delivered first, if somebody wants it.  why is taken.
 */
OUT_OF_LINE void plait_i_transport_broken(struct transport *t,
					  const struct plait_failure *why)
{
	const struct plait_transport_ops *ops = t->base.ops;

	plait_i_transport_fail(t, why);
	for (struct transport *a = t; a != NULL; a = transport_above(a)) {
		a->write_closed = a->shut = true;
		plait_i_output_drop(&a->output, transport_reactor(a));
		a->blocked = false;
	}
	t->draining = !transport_wants_no_more(t) &&
		      (!t->reading_paused || plait_i_transport_has_unread(t) ||
		       (ops->has_input != NULL && ops->has_input(&t->base)));
	transport_verify(t);
}

/* ---- sending --------------------------------------------------------- */

static OUT_OF_LINE void transport_cannot_send(struct transport *t, int err)
{
	plait_value v;

	if (err == ENOMEM) {
		plait_i_transport_abort(&t->base, &plait_i_failure_no_memory);
		return;
	}
	v = plait_fail_errno(&plait_error_connection_lost, err, "send");
	plait_i_transport_broken(t, plait_value_failure(&v));
}

/*
 * One send of all there is, in as many pieces as fit; how many bytes went, or
 * -errno.  Less than all means that there is no room left.
 */
static inline ssize_t transport_send_some(struct transport *t)
{
	struct iovec iov[MAX_PIECES];
	size_t want;
	ssize_t n;
	int pieces;

	pieces = plait_i_output_gather(&t->output, iov, MAX_PIECES, &want);
	plait_assert(pieces > 0);
	n = t->base.ops->send(&t->base, iov, pieces);
	if (n < 0)
		return n;
	t->blocked = (size_t)n < want && t->why == NULL;
	trace_note(TRACE_WRITTEN, &t->base, NULL, NULL, (size_t)n);
	return n;
}

/* Returns how many bytes went. */
static size_t transport_flush(struct transport *t)
{
	size_t sent = 0;
	ssize_t n;

	t->more = false;
	for (int i = 0; t->output.size > 0 && !t->blocked; i++) {
		if (t->base.ops->send == NULL) {
			plait_i_transport_pass_down(t);
			break;
		}
		if (i == MAX_SENDS || sent >= MAX_FLUSH) {
			/* Others first; there will be room in the next turn. */
			t->more = t->room = true;
			t->odd_turn =
				plait_i_loop_turn(transport_reactor(t)) & 1;
			break;
		}
		n = transport_send_some(t);
		/* It may have come to a limit below, and be aborted. */
		if (t->why != NULL)
			break;
		if (n >= 0) {
			plait_i_output_consume(&t->output, transport_reactor(t),
					       (size_t)n);
			sent += (size_t)n;
			t->sent = true;
			transport_is_active(t);
		} else if (n == -EAGAIN) {
			t->blocked = true;
		} else {
			transport_cannot_send(t, (int)-n);
		}
	}
	return sent;
}

void plait_i_transport_flush(struct transport *t)
{
	if (transport_above(t) != NULL)
		plait_i_transport_flush(transport_above(t));
	if (t->why == NULL && !t->lost)
		transport_flush(t);
}

/* ---- settling -------------------------------------------------------- */

static OUT_OF_LINE void transport_tell_wants(struct transport *t,
					     unsigned wants)
{
	const struct plait_transport_ops *ops = t->base.ops;
	struct transport *below = transport_below(t);
	plait_value v;
	int r = 0;

	if (ops->want != NULL)
		r = ops->want(&t->base, wants);
	else if (below != NULL && (wants & PLAIT_WANTS_INPUT))
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
 * A close is given up after two looks in a row that found no progress.  The
 * second comes at its time even if the first was late.
 */
static void transport_wait_for_look(struct transport *t, double late)
{
	double seconds = t->limits.close_timeout / 2 - late;

	plait_timer_start(transport_reactor(t), &t->deadline,
			  seconds > 0 ? seconds : 0, transport_out_of_time, t);
}

static void transport_mind_deadline(struct transport *t, bool progress)
{
	if (!transport_is_closing(t) || transport_is_finished(t)) {
		plait_timer_stop(&t->deadline);
	} else if (progress || !plait_timer_is_running(&t->deadline)) {
		t->idle_looks = 0;
		transport_wait_for_look(t, 0);
	}
}

/* What is left to be delivered waits for its reader, but not for ever. */
static OUT_OF_LINE void transport_settle_end(struct transport *t)
{
	/* One below ends in this turn. */
	if (transport_below(t) != NULL && !t->draining && !t->over)
		transport_end_failed(t);
	if (!transport_waits_for_reader(t)) {
		transport_owe_answer(t);
		return;
	}
	if (!plait_timer_is_running(&t->deadline))
		plait_timer_start(transport_reactor(t), &t->deadline,
				  t->limits.linger_timeout,
				  transport_out_of_time, t);
	transport_arm(t);
}

/* The same, of one that is not plain. */
static OUT_OF_LINE void transport_settle_slowly(struct transport *t,
						bool progress)
{
	if (t->why == NULL)
		transport_mind_deadline(t, progress);
	/* An answer may change all, and comes before the next wait. */
	if (t->why != NULL)
		transport_settle_end(t);
	else if (transport_owes_answer(t))
		transport_owe_answer(t);
	else
		transport_arm(t);
}

/*
 * Brings the kind of transport into line with what was asked for.  room: it has
 * just said that there is some, so what can be sent now the peer has taken.
 */
static void transport_settle(struct transport *t)
{
	bool room = t->room;
	size_t sent;

	loop_task_cancel(&t->settling);
	/* In a forked child the connection is still the parent's. */
	if (t->lost || loop_is_forked(transport_reactor(t)))
		return;
	t->room = false;
	sent = t->why == NULL ? transport_flush(t) : 0;
	if (transport_is_plain(t))
		transport_arm(t);
	else
		transport_settle_slowly(t, room && sent > 0);
	/* Behind the answer, which may be the last. */
	transport_output_changed(t);
	transport_verify(t);
}

/*
 * A kind of transport may call itself writable only when much of its buffer is
 * free, as sockets do; so a peer that is slow, but not dead, may have made room
 * without an event.  Room that the first look finds is no sign of the peer: its
 * kernel takes bytes that nobody reads, as long as it has memory for them.
 */
static void transport_look_for_progress(struct transport *t)
{
	int64_t late =
		plait_i_clock_now(transport_reactor(t)) - t->deadline.when;

	t->blocked = false;
	if (transport_flush(t) > 0 && t->looked)
		t->idle_looks = 0;
	else
		t->idle_looks++;
	t->looked = true;
	if (t->idle_looks < 2) {
		transport_wait_for_look(t, (double)late / 1e9);
		t->room = false;
		transport_settle(t);
	} else if (t->why == NULL) {
		plait_i_transport_give_up(t);
	}
}

static void transport_out_of_time(void *arg)
{
	struct transport *t = arg;

	if (t->lingering) {
		transport_die(t);
	} else if (t->draining) {
		t->draining = false;
		transport_owe_answer(t);
	} else {
		transport_look_for_progress(t);
	}
}

/* ---- input ----------------------------------------------------------- */

static OUT_OF_LINE void transport_hold(struct transport *t, const void *data,
				       size_t len)
{
	struct transport_extra *e = plait_i_transport_extra(t);

	if (e != NULL && e->held == NULL)
		e->held = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	if (e == NULL || e->held == NULL ||
	    plait_buf_append(e->held, data, len) < 0)
		plait_i_transport_abort(&t->base, &plait_i_failure_no_memory);
}

/* It may be that nobody listens any more, or not now. */
static OUT_OF_LINE void transport_receive_slowly(struct transport *t,
						 const void *data, size_t len)
{
	if (t->disconnecting || t->eof || t->end_waits ||
	    (t->why != NULL && !t->draining) || !transport_is_made(t))
		return;
	if (t->reading_paused || t->inside || transport_held_input(t) != NULL)
		transport_hold(t, data, len);
	else
		plait_i_transport_data(t, data, len);
}

void plait_i_transport_received(struct transport *t, const void *data,
				size_t len)
{
	trace_note(TRACE_READ, &t->base, NULL, NULL, len);
	transport_is_active(t);
	if (transport_is_plain(t) && transport_is_made(t))
		plait_i_transport_data(t, data, len);
	else
		transport_receive_slowly(t, data, len);
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

void plait_i_transport_gone(struct transport *t)
{
	if (t->lingering)
		transport_die(t);
}

/* ---- answering ------------------------------------------------------- */

static bool transport_drain_some(struct transport *t)
{
	if (transport_held_input(t) == NULL)
		return t->base.ops->drain != NULL &&
		       t->base.ops->drain(&t->base);
	transport_deliver_held(t);
	return true;
}

/* A part of what is left, until there is none or nobody to read it. */
static void transport_drain(struct transport *t)
{
	plait_i_transport_cancel_scope(t);
	if (!transport_wants_no_more(t) && !t->reading_paused) {
		plait_timer_stop(&t->deadline);
		if (!transport_drain_some(t))
			t->draining = false;
	} else if (!transport_waits_for_reader(t)) {
		t->draining = false;
	}
	transport_settle_end(t);
}

static void transport_end_with_reason(struct transport *t)
{
	if (!t->over && transport_ends_later(t, transport_end_failed(t)))
		return;
	transport_lose(t, t->why);
	transport_die(t);
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

/* It could send more, but has flushed in this turn already. */
static bool transport_has_had_its_turn(const struct transport *t)
{
	return t->more &&
	       t->odd_turn ==
		       (bool)(plait_i_loop_turn(transport_reactor(t)) & 1);
}

static void transport_answer(struct transport *t)
{
	loop_task_cancel(&t->answering);
	if (t->draining) {
		transport_drain(t);
	} else if (t->why != NULL) {
		transport_end_with_reason(t);
	} else if (transport_is_finished(t) && !t->ending) {
		transport_finish(t);
	} else if (transport_has_had_its_turn(t)) {
		transport_owe_answer(t);
	} else {
		if (transport_has_late_input(t))
			transport_tell_late_input(t);
		else if (transport_is_write_finished(t))
			transport_shut(t);
		transport_settle(t);
	}
}

static void transport_answer_task(struct loop_task *task)
{
	transport_answer(plait_container(task, struct transport, answering));
}

void plait_i_transport_settle(struct transport *t)
{
	t->unsettled = false;
	transport_settle(t);
	/* The callbacks have returned, so their answer need not wait. */
	if (plait_list_is_linked(&t->answering.link) && !t->dead && !t->more &&
	    !t->inside && !loop_is_forked(transport_reactor(t)))
		transport_answer(t);
}

static void transport_settle_task(struct loop_task *task)
{
	struct transport *t = plait_container(task, struct transport, settling);

	if (t->unsettled)
		plait_i_transport_settle(t);
	else
		transport_settle(t);
}

/* ---- as a member of the reactor -------------------------------------- */

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

/* As much as it takes at once; there are no others to be served. */
static void transport_send_the_rest(struct transport *t)
{
	do
		t->blocked = false;
	while (transport_flush(t) > 0);
	t->more = false;
}

/* The reactor shuts down. */
static void transport_leave_now(struct transport *t)
{
	plait_value v;

	if (transport_above(t) != NULL)
		transport_leave_now(transport_above(t));
	if (t->lost) {
		t->hurried = t->lingering;
		if (t->lingering)
			transport_die(t);
		return;
	}
	if (t->why == NULL) {
		transport_send_the_rest(t);
		t->hurried = true;
	}
	/* One that ends later would come too late, but for one that is taken
	   along. */
	if (t->why == NULL && (!transport_is_finished(t) ||
			       (t->ending && transport_below(t) == NULL))) {
		v = plait_fail(&plait_error_connection_lost,
			       "the reactor was shut down");
		plait_i_transport_fail(t, plait_value_failure(&v));
	}
	t->leaving = t->write_closed = true;
	transport_owe_answer(t);
}

static void transport_member_lose(struct loop_member *m)
{
	transport_leave_now(plait_container(m, struct transport, member));
}

/* The connection is the parent's; what the child has of it is a descriptor. */
static void transport_leave_to_parent(struct transport *t)
{
	struct transport *above = t->extra != NULL ? t->extra->above : NULL;

	if (above != NULL && (transport_is_made(above) || above->lingering))
		transport_leave_to_parent(above);
	plait_i_transport_abandon(t);
	plait_timer_stop(&t->deadline);
	loop_task_cancel(&t->settling);
	loop_task_cancel(&t->answering);
	t->lingering = false;
	t->dead = true;
	if (!t->kept)
		transport_end_done(t);
	t->answering.run = transport_bury;
	plait_i_loop_bury(transport_reactor(t), &t->answering);
}

static void transport_member_abandon(struct loop_member *m)
{
	transport_leave_to_parent(plait_container(m, struct transport, member));
}

static struct plait_transport *transport_member(struct loop_member *m)
{
	return &plait_container(m, struct transport, member)->base;
}

static const struct loop_member_ops transport_member_ops = {
	.lose = transport_member_lose,
	.is_closing = transport_member_is_closing,
	.abandon = transport_member_abandon,
	.transport = transport_member,
};

void plait_i_closing_init(struct transport *t)
{
	t->member.ops = &transport_member_ops;
	t->settling.run = transport_settle_task;
	t->answering.run = transport_answer_task;
}

void plait_i_closing_join(struct transport *t)
{
	plait_i_loop_join(transport_reactor(t), &t->member);
}
