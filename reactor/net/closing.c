/*
 * How a transport of any kind ends, and the deadlines of that.
 *
 * A transport goes through these states; it may skip all but open, lost and
 * dead:
 *
 *   open
 *   closing	the program has closed it, or the peer has: what is unsent is
 *		sent, until nothing is left or the peer takes nothing any more
 *   draining	nothing can be sent any more, for a reason (why) that will be
 *		told; before that, what had come by then is delivered
 *   lost	the protocol has been told, and is gone
 *   lingering	lost, but what is on its way to the peer must not be destroyed
 *   dead	waits for its burial, where the kind closes what it has
 *
 * A step calls those above it in this file, so the last one comes first:
 *
 *   burial	transport_die(), at the end of the turn transport_bury()
 *   loss	closing_tell_lost(): the protocol is told, and is gone
 *   the kind	transport_end_kind(): it is told to end, and may take its time;
 *		then it says so, by plait_i_transport_over()
 *   the end	plait_i_closing_sent() when all is sent, and
 *		plait_i_closing_failed() when there is a reason: the kind ends,
 *		the loss is told, and the transport lingers or is dead
 *   deadlines	of closing (close_timeout), plait_i_closing_mind_deadline(); of
 *		draining (linger_timeout), plait_i_closing_wait_for_reader();
 *		of lingering (linger_timeout), transport_linger(): one deadline,
 *		for no two of them run at once
 *
 * settling.c decides when a transport ends.
 */
#include <stdlib.h>

#include "lib/chance.h"
#include "reactor/net/errors.h"
#include "reactor/net/protocol.h"
#include "reactor/net/transport.h"

/* ---- the burial ------------------------------------------------------- */

/* The transports above t may have to die with it. */
static void transport_die(struct transport *t);

static void transport_call_done(struct transport *t)
{
	if (!t->done && t->base.ops->done != NULL)
		t->base.ops->done(&t->base);
	t->done = true;
}

/* Takes t out of the stack of transports that wrap each other. */
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
	/* A transport above that lingers has nothing more to wait for.  Any
	   other is told of the loss when its callback has returned; until then
	   it is itself a member of the reactor. */
	if (above->lingering)
		transport_die(above);
	else if (transport_is_made(above) && !above->dead)
		transport_join(above);
}

void plait_i_transport_free(struct transport *t)
{
	struct plait_factory *maker = t->extra != NULL ? t->extra->maker : NULL;

	transport_call_done(t);
	plait_protocol_free(&t->base.protocol);
	transport_unstack(t);
	transport_stop_deadline(t);
	loop_task_cancel(&t->task);
	transport_drop_output(t);
	if (t->extra != NULL) {
		plait_failure_unref(&t->extra->farewell);
		plait_buf_unref(&t->extra->held);
		free(t->extra->handover);
	}
	free(t->extra);
	plait_failure_unref(&t->why);
	free(t);
	plait_i_factory_drop(maker);
}

static void transport_free_kept(struct loop_task *task)
{
	plait_i_transport_free(plait_container(task, struct transport, task));
}

/*
 * Between turns the kind closes what it has, so that no event of this turn can
 * reach a new descriptor of the same number.  (A transport that was never made
 * has had no event, and a forked child has none: then it may close earlier.)
 * The burial uses the task of the answers, because no answer can follow.
 */
static void transport_bury(struct loop_task *task)
{
	struct transport *t = plait_container(task, struct transport, task);

	/* The protocol of a wrapper, in a forked child.  It may give something
	   back to a port, and ports are freed after this. */
	plait_protocol_free(&t->base.protocol);
	if (!t->kept) {
		transport_call_done(t);
		trace_end(TRACE_CLOSED, &t->base, t->cause);
		plait_i_transport_free(t);
		return;
	}
	trace_end(TRACE_CLOSED, &t->base, t->cause);
	t->task.run = transport_free_kept;
	plait_i_loop_keep(transport_reactor(t), &t->task);
}

static void transport_queue_burial(struct transport *t)
{
	loop_task_cancel(&t->task);
	t->settles = t->owes = false;
	t->task.run = transport_bury;
	plait_i_loop_bury(transport_reactor(t), &t->task);
}

/* Nothing more can happen to the transport. */
static void transport_die(struct transport *t)
{
	/* In a child that a callback has forked it may be buried already. */
	if (loop_is_forked(transport_reactor(t)))
		return;
	plait_assert(!t->dead);
	t->dead = true;
	t->lingering = false;
	transport_unstack(t);
	transport_stop_deadline(t);
	loop_part(&t->member);
	transport_queue_burial(t);
	transport_verify(t);
}

void plait_i_transport_gone(struct transport *t)
{
	if (t->lingering)
		transport_die(t);
}

/* ---- the loss --------------------------------------------------------- */

static void closing_tell_lost(struct transport *t,
			      const struct plait_failure *why)
{
	transport_stop_deadline(t);
	plait_i_transport_cancel_settling(t);
	transport_drop_output(t);
	plait_i_transport_tell_lost(t, why, plait_i_transport_over);
}

/* The program has said why it closes t; the kind only knows that all is sent.
 */
static const struct plait_failure *
closing_reason(const struct transport *t, const struct plait_failure *why)
{
	const struct plait_failure *farewell = transport_farewell(t);

	return farewell != NULL && plait_failure_check(
					   why, &plait_error_connection_done)
		       ? farewell
		       : why;
}

void plait_i_transport_over(struct transport *t,
			    const struct plait_failure *why)
{
	if (t->lost)
		return;
	why = closing_reason(t, why);
	t->over = true;
	plait_i_transport_fail(t, plait_failure_ref(why));
	if (t->inside || !transport_is_made(t))
		return;
	closing_tell_lost(t, t->why);
	transport_die(t);
}

void plait_i_closing_abandon(struct transport *t)
{
	struct transport *above = t->extra != NULL ? t->extra->above : NULL;

	if (above != NULL && (transport_is_made(above) || above->lingering))
		plait_i_closing_abandon(above);
	plait_i_transport_abandon(t);
	transport_stop_deadline(t);
	t->lingering = false;
	t->dead = true;
	if (!t->kept)
		transport_call_done(t);
	transport_queue_burial(t);
}

/* ---- the kind is told ------------------------------------------------- */

/* t was closed in order, for a reason or for none. */
static void transport_lose_below(const struct transport *t,
				 struct transport *below)
{
	if (transport_farewell(t) != NULL)
		plait_transport_lose_connection_because(&below->base,
							transport_farewell(t));
	else
		plait_transport_lose_connection(&below->base);
}

/* A wrapper without an end() of its own: the transport below ends, and tells.
 */
enum plait_transport_ended
plait_transport_end_below(struct plait_transport *base,
			  enum plait_transport_end how)
{
	struct transport *t = base != NULL ? transport_of(base) : NULL;
	struct transport *below = t != NULL ? transport_below(t) : NULL;

	if (below == NULL)
		return PLAIT_TRANSPORT_ENDED;
	switch (how) {
	case PLAIT_TRANSPORT_END_SENT:
		transport_lose_below(t, below);
		break;
	case PLAIT_TRANSPORT_END_FAILED:
		plait_i_transport_end_now(below, plait_failure_ref(t->why),
					  false);
		break;
	case PLAIT_TRANSPORT_END_RESET:
		plait_i_transport_end_now(below, plait_failure_ref(t->why),
					  true);
		break;
	}
	return PLAIT_TRANSPORT_ENDS_LATER;
}

/*
 * Tells the kind to end.  A kind that ends later may be told once more: when an
 * orderly end has become a failed one.
 */
static enum plait_transport_ended
transport_end_kind(struct transport *t, enum plait_transport_end how)
{
	enum plait_transport_ended ret;

	if (t->ending && (how == PLAIT_TRANSPORT_END_SENT || t->ending_failed))
		return PLAIT_TRANSPORT_ENDS_LATER;
	t->ending_failed = how != PLAIT_TRANSPORT_END_SENT;
	if (t->base.ops->end != NULL)
		ret = t->base.ops->end(&t->base, how);
	else
		ret = plait_transport_end_below(&t->base, how);
	if (t->lost)
		plait_die(t->base.ops->name,
			  "its end() calls plait_transport_lost()");
	t->ending = ret == PLAIT_TRANSPORT_ENDS_LATER;
	return ret;
}

/*
 * Is true if a kind that ends later is waited for.  When the reactor is freed
 * it is not, unless it wraps another transport, which is freed and ends it,
 * too.
 */
static bool transport_waits_for_kind(const struct transport *t,
				     enum plait_transport_ended ended)
{
	return ended == PLAIT_TRANSPORT_ENDS_LATER &&
	       (!t->leaving || transport_below(t) != NULL);
}

static enum plait_transport_end transport_how_failed(const struct transport *t)
{
	return t->reset ? PLAIT_TRANSPORT_END_RESET
			: PLAIT_TRANSPORT_END_FAILED;
}

void plait_i_closing_tell_below(struct transport *t)
{
	if (transport_below(t) != NULL && !t->draining && !t->over)
		transport_end_kind(t, transport_how_failed(t));
}

/* ---- the end ---------------------------------------------------------- */

static void transport_stop_waiting(struct loop_deadline *d);

static void transport_linger(struct transport *t)
{
	t->lingering = true;
	t->moved = 0;
	plait_i_deadline_start(
		transport_reactor(t), DEADLINE_OF_WAITING, &t->deadline,
		transport_limits(t)->linger_timeout, transport_stop_waiting);
	transport_verify(t);
}

void plait_i_closing_sent(struct transport *t)
{
	enum plait_transport_ended ended =
		transport_end_kind(t, PLAIT_TRANSPORT_END_SENT);

	transport_stop_deadline(t);
	if (transport_waits_for_kind(t, ended)) {
		/* Nothing may be written after that, and nothing is shut. */
		t->write_closed = t->shut = true;
		return;
	}
	closing_tell_lost(t,
			  closing_reason(t, &plait_i_failure_connection_done));
	if (ended == PLAIT_TRANSPORT_LINGERS && !t->hurried &&
	    !loop_is_forked(transport_reactor(t)))
		transport_linger(t);
	else
		transport_die(t);
}

void plait_i_closing_failed(struct transport *t)
{
	if (!t->over &&
	    transport_waits_for_kind(
		    t, transport_end_kind(t, transport_how_failed(t))))
		return;
	closing_tell_lost(t, t->why);
	transport_die(t);
}

/* ---- the deadlines of draining and closing ------------------------------ */

/* A reader that is paused may keep what has come as long as a peer may linger.
 */
static void transport_stop_draining(struct transport *t)
{
	REACHED("a reader that is paused is not waited for any longer");
	t->draining = false;
	transport_owe_answer(t);
}

static void transport_stop_waiting(struct loop_deadline *d)
{
	struct transport *t = plait_container(d, struct transport, deadline);

	if (!t->lingering) {
		transport_stop_draining(t);
		return;
	}
	REACHED("lingering is cut by linger_timeout");
	transport_die(t);
}

void plait_i_closing_wait_for_reader(struct transport *t)
{
	if (!deadline_is_running(&t->deadline))
		plait_i_deadline_start(transport_reactor(t),
				       DEADLINE_OF_WAITING, &t->deadline,
				       transport_limits(t)->linger_timeout,
				       transport_stop_waiting);
}

/*
 * Half of close_timeout has passed, and nobody has told of progress.  A kind
 * may call itself writable only when much of its buffer is free, as sockets do.
 * So a slow peer may have made room without an event; the only way to know is
 * to send.
 *
 * If the first check of a close finds room, that says nothing about the peer:
 * its kernel takes bytes that nobody reads, as long as it has memory for them.
 * After two checks in a row without progress the close is given up.  The second
 * check is made when close_timeout has passed, even if the first was late.
 */
static void transport_check_progress(struct loop_deadline *d)
{
	struct transport *t = plait_container(d, struct transport, deadline);
	struct plait_reactor *r = transport_reactor(t);
	double late = (double)(plait_i_clock_now(r) - d->when) / 1e9;
	double left = transport_limits(t)->close_timeout / 2 - late;

	t->blocked = false;
	if (plait_i_unsent_flush(t) > 0 && t->checked) {
		REACHED("a close goes on, as its peer has made room");
		t->idle_checks = 0;
	} else {
		t->idle_checks++;
	}
	t->checked = true;
	if (t->idle_checks < 2) {
		plait_i_deadline_start(r, DEADLINE_OF_CLOSING, d,
				       left > 0 ? left : 0,
				       transport_check_progress);
		/* Room that was found by asking was not told by the kind. */
		t->room = false;
		transport_touch(t);
	} else if (t->why == NULL) {
		REACHED("a close is given up");
		plait_i_transport_give_up(t);
	}
}

void plait_i_closing_mind_deadline(struct transport *t, bool progress)
{
	if (!transport_is_closing(t) || transport_is_finished(t)) {
		transport_stop_deadline(t);
	} else if (progress || !deadline_is_running(&t->deadline)) {
		t->idle_checks = 0;
		plait_i_deadline_start(transport_reactor(t),
				       DEADLINE_OF_CLOSING, &t->deadline,
				       transport_limits(t)->close_timeout / 2,
				       transport_check_progress);
	}
}
