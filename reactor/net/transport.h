/*
 * The inside of a transport: what is the same for all kinds.
 *
 * struct transport is the state of one connection: what its program has asked
 * for, its unsent output, and how far its end is.  Its last member is the base
 * that kinds embed, struct plait_transport of <plait/transport_ops.h>.  So one
 * piece of memory holds first the library's part, which kinds do not see, and
 * then the struct of the kind.
 *
 * transport.c and unsent.c have the calls of a protocol, which only change that
 * state and leave a mark; telling.c the callbacks to the protocol.  settling.c
 * acts on the state, from the loop, and closing.c ends it.  transport_ops.c is
 * the door for kinds of transports, which say how bytes leave and come.
 */
#ifndef REACTOR_TRANSPORT_H
#define REACTOR_TRANSPORT_H

#include <stddef.h>

#include <plait/transport_ops.h>

#include "reactor/loop/loop.h"
#include "reactor/net/handover.h"
#include "reactor/net/output.h"

/*
 * A connector or a guest, which is told after the protocol that the connection
 * is over.
 */
struct transport_owner {
	void (*lost)(struct transport_owner *o,
		     const struct plait_failure *why);
	/* In a forked child, instead.  NULL: there is nothing to do. */
	void (*abandon)(struct transport_owner *o);
	/* A handshake begins, or ends, without which the connection is of no
	   use.  NULL: nobody has to know. */
	void (*handshake)(struct transport_owner *o, bool begins);
};

/*
 * What few transports need, as most are idle and do nothing special: in memory
 * of its own, which is made when the first of it is needed.
 */
struct transport_extra {
	struct transport *transport; /* that it belongs to */
	struct transport *above;     /* it wraps this one */
	struct transport *below;     /* this one wraps it */
	/* Of the protocol below, whose transport this one is: what it needs may
	   be a part of that factory.  NULL: it has no done(). */
	struct plait_factory *maker;
	struct plait_buf *held; /* has come, and nobody wants it yet */
	/* It is told instead of ConnectionDone.  NULL: nothing is. */
	const struct plait_failure *farewell;
	struct handover *handover; /* descriptors in the unsent output */
	int send_error; /* of plait_transport_send_below(); 0: none */
	struct plait_scope *scope; /* NULL: nobody has asked for it */
	struct plait_producer *producer;
	struct loop_task producing; /* the producer is to be told something */
	struct plait_producer as_producer;
	struct transport *fed;	    /* the first that as_producer feeds */
	struct transport *next_fed; /* by the same producer */
};

/* Who has paused reading.  It goes on only when nobody holds it. */
enum reading_holder {
	READING_BY_PROGRAM = 1,	 /* plait_transport_pause_reading() */
	READING_BY_PRODUCER = 2, /* pause() of as_producer */
};

struct transport {
	struct transport_owner *owner; /* NULL: nobody has to know */
	struct transport_extra *extra; /* mostly NULL */
	struct output output;
	const struct plait_failure *why; /* it ends, for this reason */
	struct loop_member member;
	struct loop_task task; /* to settle, to answer; at last: the burial */
	struct loop_deadline deadline; /* of closing, draining, lingering */
	/* The end: */
	bool aborted : 1;
	bool shut : 1;	   /* we send no more */
	bool shutting : 1; /* ... and the kind will say when that is done */
	bool finned : 1;   /* a stream has shut its half with the last bytes */
	bool reset : 1;	   /* the peer did not get all */
	bool draining : 1; /* input is delivered before why is told */
	bool ending : 1;   /* the kind was told to end, and will say when */
	bool ending_failed : 1; /* ... and not in order */
	bool over : 1;		/* the kind says that it is */
	bool leaving : 1; /* the reactor has lost it, and waits for nobody */
	bool hurried : 1; /* ... and does not let it linger */
	bool lost : 1;
	bool lingering : 1;
	bool hung_up : 1; /* a stream knows of it; input may come first */
	bool done : 1;	  /* the kind's done() was called */
	bool kept : 1; /* its memory stays until the reactor goes: a recording
			  that a test may look at */
	/* Numbers when bytes last moved.  Since it lingers: how many bytes of
	   input were discarded. */
	uint64_t moved : 48;
	uint32_t cause; /* the cancel that closed it; 0: none */
	/* Bits, as there may be many that are idle.  These are asked for all at
	   once at each event (transport_is_plain()); of numbers, but not of
	   bools, compilers make one comparison: */
	unsigned disconnecting : 1;  /* the program has closed it */
	unsigned peer_left : 1;	     /* the end of the input ends it */
	unsigned write_closed : 1;   /* nothing may be written any more */
	unsigned reading_paused : 1; /* reading_held is not 0 */
	unsigned end_waits : 1;	     /* the end of the input is not told */
	unsigned eof : 1;	     /* it was told */
	unsigned inside : 1;	     /* in a callback of the protocol */
	unsigned more : 1;	     /* to send, but others come first */
	unsigned special : 1;	     /* is or was wrapped, wraps, held input */
	/* The producer: */
	bool streaming : 1, producer_paused : 1;
	bool asked : 1; /* a pull producer, and nothing was written since */
	unsigned reading_held : 2; /* by whom: enum reading_holder */
	/* Sending: */
	bool sent : 1;		  /* anything, ever */
	bool blocked : 1;	  /* the kind of transport takes no more now */
	bool room : 1;		  /* it has just said that it does */
	bool odd_turn : 1;	  /* of the turn in which there was more */
	bool checked : 1;	  /* a close has asked for progress once */
	unsigned idle_checks : 2; /* ... in a row, in vain */
	unsigned wants : 3;	  /* what the kind of transport was told last */
	bool has_event : 1;   /* one has come, and may be answered at once */
	bool answers_now : 1; /* its answer follows what is sent now */
	bool sends_last : 1;  /* what send() gets is all, and nothing follows */
	/* What task is queued for, if it is: */
	bool settles : 1;  /* a callback has changed something */
	bool owes : 1;	   /* an answer; it waits for the settling */
	bool odd_debt : 1; /* of the turn in which it began to owe it */
	bool dead : 1;	   /* its burial */

	_Alignas(max_align_t) struct plait_transport base;
};

static inline struct transport *transport_of(const struct plait_transport *t)
{
	return plait_container((struct plait_transport *)(uintptr_t)t,
			       struct transport, base);
}

/* Is true when it has its protocol, and the reactor owns it. */
static inline bool transport_is_made(const struct transport *t)
{
	return t->base.protocol != NULL;
}

static inline struct plait_reactor *transport_reactor(const struct transport *t)
{
	return t->base.reactor;
}

static inline const struct plait_limits *
transport_limits(const struct transport *t)
{
	return loop_limits(transport_reactor(t));
}

/* Returns the transport that t wraps, or NULL. */
static inline struct transport *transport_below(const struct transport *t)
{
	return t->extra != NULL ? t->extra->below : NULL;
}

static inline void transport_verify(const struct transport *t)
{
#ifdef PLAIT_VERIFY
	const struct plait_protocol *p = t->base.protocol;

	plait_assert(!t->aborted || t->disconnecting);
	plait_assert(!t->lost || t->disconnecting);
	plait_assert(t->streaming || !t->producer_paused);
	plait_assert(t->reading_paused == (t->reading_held != 0));
	plait_assert(!t->blocked || t->output.size > 0);
	plait_assert(!t->peer_left || t->eof);
	plait_assert(!t->draining || t->why != NULL);
	plait_assert(!t->lingering || (t->lost && t->output.size == 0));
	plait_assert(!t->dead || t->lost);
	plait_assert(p == NULL || p->transport == &t->base);
#endif
}

/* Returns the transport that wraps t, or NULL. */
static inline struct transport *transport_above(const struct transport *t)
{
	struct transport *above = t->extra != NULL ? t->extra->above : NULL;

	return above != NULL && transport_is_made(above) ? above : NULL;
}

/* Return the lowest and the topmost of the transports that wrap each other. */
static inline struct transport *transport_bottom(struct transport *t)
{
	while (transport_below(t) != NULL)
		t = transport_below(t);
	return t;
}

static inline struct transport *transport_top(struct transport *t)
{
	while (transport_above(t) != NULL)
		t = transport_above(t);
	return t;
}

static inline struct plait_buf *transport_held_input(const struct transport *t)
{
	return t->extra != NULL ? t->extra->held : NULL;
}

/* Returns what is told when t has been closed in order; or NULL. */
static inline const struct plait_failure *
transport_farewell(const struct transport *t)
{
	return t->extra != NULL ? t->extra->farewell : NULL;
}

static inline struct plait_scope *transport_scope(const struct transport *t)
{
	return t->extra != NULL ? t->extra->scope : NULL;
}

static inline struct plait_producer *
transport_producer(const struct transport *t)
{
	return t->extra != NULL ? t->extra->producer : NULL;
}

/* NULL: it has never handed descriptors over. */
static inline struct handover *transport_handover(const struct transport *t)
{
	return t->extra != NULL ? t->extra->handover : NULL;
}

/* Is true if descriptors wait in the unsent output. */
static inline bool transport_hands_over(const struct transport *t)
{
	const struct handover *h = transport_handover(t);

	return h != NULL && handover_waits(h);
}

/* Returns as how many unsent bytes the descriptors count that wait. */
static inline size_t transport_handover_cost(const struct transport *t)
{
	const struct handover *h = transport_handover(t);

	return h != NULL ? h->waiting * HANDOVER_COST : 0;
}

/* Is true if a timer says when to send again, and no event. */
static inline bool transport_waits_for_time(const struct transport *t)
{
	const struct handover *h = transport_handover(t);

	return h != NULL && plait_timer_is_running(&h->again);
}

/* Forgets the unsent output. */
static inline void transport_drop_output(struct transport *t)
{
	struct handover *h = transport_handover(t);

	plait_i_output_drop(&t->output, t->base.reactor);
	if (h != NULL)
		plait_i_handover_drop(h, loop_kernel(t->base.reactor));
}

/* Bytes have moved: t becomes the least idle transport. */
static inline void transport_is_active(struct transport *t)
{
	t->moved = loop_next_number(transport_reactor(t)) &
		   (((uint64_t)1 << 48) - 1);
}

/* From here on the reactor owns it. */
static inline void transport_join(struct transport *t)
{
	plait_i_loop_join(transport_reactor(t), &t->member);
}

/* See transport.c. */
void plait_i_transport_queue_settling(struct transport *t);
void plait_i_transport_cancel_settling(struct transport *t);

/*
 * The program has asked for something: settles t when the callback has
 * returned.  The code that has called the protocol of t settles it anyway.
 */
static inline void transport_touch(struct transport *t)
{
	if (!t->inside && !t->settles && !t->dead)
		plait_i_transport_queue_settling(t);
}

/* The protocol has to be told something: the loop does so. */
static inline void transport_owe_answer(struct transport *t)
{
	if (!t->owes)
		t->odd_debt = plait_i_loop_turn(transport_reactor(t)) & 1;
	t->owes = true;
	if (!t->settles)
		plait_i_loop_next_turn(transport_reactor(t), &t->task);
}

static inline bool transport_is_closing(const struct transport *t)
{
	return t->disconnecting || t->peer_left;
}

/* Is true if the program has closed t or a transport above it, or if the peer
   has. */
static inline bool transport_wants_no_more(const struct transport *t)
{
	for (; t != NULL; t = transport_above(t)) {
		if (transport_is_closing(t))
			return true;
	}
	return false;
}

/* Is true if t is open and has nothing to answer, as most are. */
static inline bool transport_is_plain(const struct transport *t)
{
	return !(t->disconnecting || t->peer_left || t->write_closed ||
		 t->reading_paused || t->end_waits || t->eof || t->inside ||
		 t->more || t->special) &&
	       t->why == NULL;
}

/*
 * Is true if a close waits for the producer, because it may make more output.
 * A connection that is its own producer makes none: while it closes it receives
 * nothing.
 */
static inline bool transport_is_held(const struct transport *t)
{
	const struct transport_extra *e = t->extra;

	return e != NULL && e->producer != NULL &&
	       e->producer != &e->as_producer && !t->leaving;
}

static inline bool transport_may_write(const struct transport *t)
{
	return !t->lost && !t->aborted && !t->write_closed;
}

/* Returns what the kind of transport should tell from now on. */
static inline unsigned transport_wants(const struct transport *t)
{
	unsigned wants = t->blocked && !transport_waits_for_time(t)
				 ? PLAIT_TRANSPORT_WANTS_ROOM
				 : 0;

	if (t->why != NULL)
		return 0;
	if (transport_is_closing(t))
		return wants;
	if (!t->eof && !t->reading_paused)
		return wants | PLAIT_TRANSPORT_WANTS_INPUT;
	return wants | PLAIT_TRANSPORT_WANTS_END;
}

/* ---- transport.c: the calls, and producers ---------------------------- */

void plait_i_transport_init(struct transport *t,
			    const struct plait_transport_ops *ops,
			    struct plait_reactor *r);

/* Return what few have, and make it if there is none; NULL if there is no
   memory. */
struct transport_extra *plait_i_transport_extra(struct transport *t);
struct handover *plait_i_transport_handover(struct transport *t);

/* Returns the number of unsent bytes, without those of transports below. */
size_t plait_i_transport_own_unsent(const struct transport *t);

/* Unregisters the producer and tells it to stop; it may register again. */
void plait_i_transport_stop_producer(struct transport *t);

/*
 * Unsent output grew or shrank: pauses or resumes the producer, and those of
 * the transports above, in the next turn.
 */
void plait_i_transport_output_changed(struct transport *t);

/*
 * Is true if t is closing, all is sent, and no more output comes.  A close
 * waits for the producer, unless the peer has left.
 */
static inline bool transport_is_finished(const struct transport *t)
{
	return transport_is_closing(t) &&
	       plait_i_transport_own_unsent(t) == 0 &&
	       (!transport_is_held(t) || t->peer_left);
}

static inline void transport_output_changed(struct transport *t)
{
	if (t->extra != NULL)
		plait_i_transport_output_changed(t);
}

/*
 * Ends t for that reason, which is taken: nothing more is sent, and the next
 * turn tells the protocol.  If there was a reason before, that is told.
 */
void plait_i_transport_fail(struct transport *t,
			    const struct plait_failure *why);

/*
 * Nothing can be sent any more, for that reason, which is taken.  What the peer
 * has sent before is still delivered, if the protocol wants it; then the reason
 * is told.
 */
void plait_i_transport_broken(struct transport *t,
			      const struct plait_failure *why);

/* Is true if the protocol, or one above, holds input that it has not handled.
 */
bool plait_i_transport_has_unread(const struct transport *t);

/*
 * Ends t in the next turn, for that reason, which is taken.  Nothing more is
 * sent.  It is for aborts, and for code that finds that t cannot go on.
 */
void plait_i_transport_abort(struct plait_transport *t,
			     const struct plait_failure *why);

/* The same, but resets the connection only if the peer did not get all. */
void plait_i_transport_end_now(struct transport *t,
			       const struct plait_failure *why, bool reset);

/* The same, for all transports above t: the peer may see an orderly end. */
void plait_i_transport_shed(struct plait_transport *t,
			    const struct plait_failure *why);

/* The same as abort, for a close that took too long. */
void plait_i_transport_give_up(struct transport *t);

/* ---- unsent.c: writing and sending ------------------------------------ */

/*
 * Sends what the kind takes now, of t's own output, and returns how many bytes
 * it took.  If there is much output, it sends a part, so that other connections
 * do not wait.
 */
size_t plait_i_unsent_flush(struct transport *t);

/* Sends what can be sent now, from the topmost transport down. */
void plait_i_unsent_flush_all(struct transport *t);

/* ---- telling.c: the callbacks ----------------------------------------- */

/* Takes the protocol, connects it and calls connection_made(). */
void plait_i_transport_connect(struct transport *t, struct plait_protocol *p);

/* Delivers bytes; t must have a protocol. */
void plait_i_transport_data(struct transport *t, const void *data, size_t len);

/* Gives descriptors that came with the bytes that follow. */
void plait_i_transport_fds(struct transport *t, const int *fds, size_t n);

/* The peer has closed its half: tells a protocol that has
   read_connection_lost(), and returns true if it has. */
bool plait_i_transport_tell_read_lost(struct transport *t);
void plait_i_transport_tell_write_lost(struct transport *t);

/*
 * The connection is broken, but is not lost before what has come is delivered:
 * ends the scope now, also those of transports above.
 */
void plait_i_transport_cancel_scope(struct transport *t);

/*
 * Stops the producer, calls connection_lost() and the owner, and frees the
 * protocol.  Once.  why is borrowed.  over() is called for the transport above,
 * after the protocol of this one has been told.
 */
typedef void transport_over(struct transport *t,
			    const struct plait_failure *why);
void plait_i_transport_tell_lost(struct transport *t,
				 const struct plait_failure *why,
				 transport_over *over);

/*
 * Is called instead in a forked child that frees the reactor; it tells nobody.
 * From here on the program owns the protocol.
 */
void plait_i_transport_abandon(struct transport *t);

/* ---- closing.c: the end ------------------------------------------------ */

/* The two ways to end: all is sent; or there is a reason (why) to be told. */
void plait_i_closing_sent(struct transport *t);
void plait_i_closing_failed(struct transport *t);

/* Ends for a reason; if t wraps a transport, that one ends in this turn, too.
 */
void plait_i_closing_tell_below(struct transport *t);

static inline void transport_stop_deadline(struct transport *t)
{
	if (deadline_is_running(&t->deadline))
		plait_i_deadline_stop(transport_reactor(t), &t->deadline);
}

/* Starts, restarts after progress, or stops the deadline of a close. */
void plait_i_closing_mind_deadline(struct transport *t, bool progress);

/* Starts the deadline of input that waits for a paused reader. */
void plait_i_closing_wait_for_reader(struct transport *t);

/* What kinds tell: the connection is over, why is borrowed; lingering has
 * ended.
 */
void plait_i_transport_over(struct transport *t,
			    const struct plait_failure *why);
void plait_i_transport_gone(struct transport *t);

/*
 * In a forked child that frees the reactor: closes the child's descriptor, also
 * for the transports above.  The connection belongs to the parent.
 */
void plait_i_closing_abandon(struct transport *t);

/* Calls done() of the kind, and frees the memory if t was not made. */
void plait_i_transport_free(struct transport *t);

/* ---- settling.c: what the loop does with it ----------------------------- */

/* For a new transport, and for one that gets its protocol. */
void plait_i_settling_init(struct transport *t);
void plait_i_settling_begin(struct transport *t);

/* What kinds tell, as transport_ops.h says; in a frame of the loop. */
void plait_i_transport_received(struct transport *t, const void *data,
				size_t len);
void plait_i_transport_read_lost(struct transport *t);
void plait_i_transport_write_lost(struct transport *t);

static inline void transport_writable(struct transport *t)
{
	t->blocked = false;
	t->room = true;
}

/*
 * An event has come, and its callbacks have returned: tells the kind of
 * transport what they have asked for, and answers at once.
 */
void plait_i_transport_settle_event(struct transport *t);

#endif
