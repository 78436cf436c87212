/*
 * The inside of a transport: what is the same for all kinds.
 *
 * struct transport is the state of one connection: what its program has asked
 * for, its unsent output, and how far its end is.  The base that kinds embed,
 * struct plait_transport of <plait/transport_ops.h>, is its last member, so
 * that one piece of memory holds first this, which outsiders do not see, and
 * then theirs.
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
#include "reactor/net/output.h"

/*
 * Told after the protocol that the connection is over: a connector's, or a
 * guest's.
 */
struct transport_owner {
	void (*lost)(struct transport_owner *o,
		     const struct plait_failure *why);
	/* In a forked child, instead.  NULL: there is nothing to do. */
	void (*abandon)(struct transport_owner *o);
};

/* What few have. */
struct transport_extra {
	struct transport *above; /* it wraps this one */
	struct transport *below; /* this one wraps it */
	struct plait_buf *held;	 /* has come, and nobody wants it yet */
};

struct transport {
	struct transport_owner *owner; /* NULL: nobody has to know */
	struct transport_extra *extra; /* mostly NULL */
	struct plait_producer *producer;
	struct plait_producer as_producer;
	struct transport *fed;	    /* the first that as_producer feeds */
	struct transport *next_fed; /* by the same producer */
	struct plait_scope *scope;  /* NULL: nobody has asked for it */
	struct output output;
	const struct plait_failure *why; /* it ends, for this reason */
	struct loop_member member;
	struct loop_task producing;  /* the producer is to be told something */
	struct loop_task settling;   /* a callback has changed something */
	struct loop_task answering;  /* at last: the burial */
	struct plait_timer deadline; /* of closing, draining, lingering */
	union {
		uint64_t active;  /* numbers when bytes last moved */
		size_t discarded; /* bytes of input, since it lingers */
	};
	uint32_t cause; /* the cancel that closed it; 0: none */
	/* Bits, as there may be many that are idle.  These are told apart from
	   the rest at each event (transport_is_plain()): */
	bool disconnecting : 1; /* the program has closed it */
	bool peer_left : 1;	/* the end of the input ends the connection */
	bool write_closed : 1;	/* nothing may be written any more */
	bool reading_paused : 1;
	bool end_waits : 1; /* the end of the input is known, and not told */
	bool eof : 1;	    /* it was told */
	bool inside : 1;    /* a callback of the protocol is on the stack */
	bool more : 1;	    /* it could send more, but others come first */
	/* The producer: */
	bool streaming : 1, producer_paused : 1;
	bool asked : 1; /* a pull producer, and nothing was written since */
	/* Sending: */
	bool sent : 1;		  /* anything, ever */
	bool blocked : 1;	  /* the kind of transport takes no more now */
	bool room : 1;		  /* it has just said that it does */
	bool odd_turn : 1;	  /* of the turn in which there was more */
	bool checked : 1;	  /* a close has asked for progress once */
	unsigned idle_checks : 2; /* ... in a row, in vain */
	unsigned wants : 3;	  /* what the kind of transport was told last */
	bool has_event : 1; /* one has come, and may be answered at once */
	bool hung_up : 1;   /* a stream knows it; input may be before it */
	/* The end: */
	bool aborted : 1;
	bool shut : 1;	   /* we send no more */
	bool shutting : 1; /* ... and the kind will say when that is done */
	bool reset : 1;	   /* the peer did not get all */
	bool draining : 1; /* input is delivered before why is told */
	bool ending : 1;   /* the kind was told to end, and will say when */
	bool ending_failed : 1; /* ... and not in order */
	bool over : 1;		/* the kind says that it is */
	bool leaving : 1; /* the reactor has lost it, and waits for nobody */
	bool hurried : 1; /* ... and does not let it linger */
	bool lost : 1;
	bool lingering : 1;
	bool dead : 1;
	bool done : 1; /* the kind's done() was called */
	bool kept : 1; /* its memory stays until the reactor goes: a recording
			  that a test may look at */

	_Alignas(max_align_t) struct plait_transport base;
};

static inline struct transport *transport_of(const struct plait_transport *t)
{
	return plait_container((struct plait_transport *)(uintptr_t)t,
			       struct transport, base);
}

/* It has its protocol, and is the reactor's. */
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

/* The one that it wraps, or NULL. */
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
	plait_assert(!t->blocked || t->output.size > 0);
	plait_assert(!t->peer_left || t->eof);
	plait_assert(!t->draining || t->why != NULL);
	plait_assert(!t->lingering || (t->lost && t->output.size == 0));
	plait_assert(!t->dead || t->lost);
	plait_assert(p == NULL || p->transport == &t->base);
#endif
}

/* The one that wraps it, or NULL. */
static inline struct transport *transport_above(const struct transport *t)
{
	struct transport *above = t->extra != NULL ? t->extra->above : NULL;

	return above != NULL && transport_is_made(above) ? above : NULL;
}

/* The first and the last of all that stand on each other. */
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

/* Bytes have moved: of all transports it is the one that is least idle. */
static inline void transport_is_active(struct transport *t)
{
	t->active = plait_i_loop_next_number(transport_reactor(t));
}

/* From here on it is the reactor's. */
static inline void transport_join(struct transport *t)
{
	plait_i_loop_join(transport_reactor(t), &t->member);
}

/*
 * Something was asked for: settle it when the callback has returned.  Whoever
 * has called the protocol does so anyway.
 */
static inline void transport_touch(struct transport *t)
{
	if (!t->inside)
		plait_i_loop_after_callback(transport_reactor(t), &t->settling);
}

/* The protocol is to be told something, but not from here. */
static inline void transport_owe_answer(struct transport *t)
{
	plait_i_loop_next_turn(transport_reactor(t), &t->answering);
}

static inline bool transport_is_closing(const struct transport *t)
{
	return t->disconnecting || t->peer_left;
}

/* The program has closed it, or one that stands over it, or the peer has. */
static inline bool transport_wants_no_more(const struct transport *t)
{
	for (; t != NULL; t = transport_above(t)) {
		if (transport_is_closing(t))
			return true;
	}
	return false;
}

/* Open, with nothing to answer: as most are, most of the time. */
static inline bool transport_is_plain(const struct transport *t)
{
	return !(t->disconnecting || t->peer_left || t->write_closed ||
		 t->reading_paused || t->end_waits || t->eof || t->inside ||
		 t->more) &&
	       t->extra == NULL && t->why == NULL;
}

/*
 * True if a producer holds up a close, as it may yet make output.  A connection
 * that is its own producer does not: while it closes it receives no more.
 */
static inline bool transport_is_held(const struct transport *t)
{
	return t->producer != NULL && t->producer != &t->as_producer &&
	       !t->leaving;
}

static inline bool transport_may_write(const struct transport *t)
{
	return !t->lost && !t->aborted && !t->write_closed;
}

/* What the kind of transport should tell from now on. */
static inline unsigned transport_wants(const struct transport *t)
{
	unsigned wants = t->blocked ? PLAIT_TRANSPORT_WANTS_ROOM : 0;

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

/* Makes extra, if there is none.  NULL with no memory. */
struct transport_extra *plait_i_transport_extra(struct transport *t);

/* Unsent bytes, without those of the transports below. */
size_t plait_i_transport_own_unsent(const struct transport *t);

/* Forgets the producer, which may register anew, and tells it to stop. */
void plait_i_transport_stop_producer(struct transport *t);

/*
 * Unsent output grew or shrank.  Tells the producer, in the next turn, what
 * follows from it, and those of the transports above.
 */
void plait_i_transport_output_changed(struct transport *t);

/*
 * It is to close, all is sent, and no more is to come: a producer may make some
 * yet, but a peer that has left is not kept waiting for it.
 */
static inline bool transport_is_finished(const struct transport *t)
{
	return transport_is_closing(t) &&
	       plait_i_transport_own_unsent(t) == 0 &&
	       (!transport_is_held(t) || t->peer_left);
}

static inline void transport_output_changed(struct transport *t)
{
	if (t->producer != NULL || t->extra != NULL)
		plait_i_transport_output_changed(t);
}

/*
 * It ends for that reason, which is taken: nothing more is sent, and the next
 * turn tells.  The first reason is the one that is told.
 */
void plait_i_transport_fail(struct transport *t,
			    const struct plait_failure *why);

/*
 * Nothing can be sent any more, for that reason, which is taken.  That says
 * nothing about what the peer has sent before: it is delivered first, if
 * somebody wants it; then the reason is told.
 */
void plait_i_transport_broken(struct transport *t,
			      const struct plait_failure *why);

/* True if the protocol, or one above, holds input that it has not handled. */
bool plait_i_transport_has_unread(const struct transport *t);

/*
 * Ends it in the next turn, for that reason, which is taken: what abort()
 * does, and whoever finds that it cannot go on.  Nothing more is sent.
 */
void plait_i_transport_abort(struct plait_transport *t,
			     const struct plait_failure *why);

/* The same, and resets the connection only if something is unsent, or so. */
void plait_i_transport_end_now(struct transport *t,
			       const struct plait_failure *why, bool reset);

/* The same, of all that stand over t: the peer may see an orderly end. */
void plait_i_transport_shed(struct plait_transport *t,
			    const struct plait_failure *why);

/* The same as abort, for a close that took too long. */
void plait_i_transport_give_up(struct transport *t);

/* ---- unsent.c: writing and sending ------------------------------------ */

/*
 * Sends what the kind takes now, of its own output; how many bytes went.  A
 * part of it if there is much: others first.
 */
size_t plait_i_unsent_flush(struct transport *t);

/* Sends what can be sent now, from the topmost transport down. */
void plait_i_unsent_flush_all(struct transport *t);

/* ---- telling.c: the callbacks ----------------------------------------- */

/* Takes the protocol, connects it and calls connection_made(). */
void plait_i_transport_connect(struct transport *t, struct plait_protocol *p);

/* Delivers; there is a protocol. */
void plait_i_transport_data(struct transport *t, const void *data, size_t len);

/* The peer closed its half: true if the protocol was half-closeable. */
bool plait_i_transport_tell_read_lost(struct transport *t);
void plait_i_transport_tell_write_lost(struct transport *t);

/*
 * The connection is broken, but is not lost before what has come is
 * delivered: what it works for ends now, also above.
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
 * In a forked child that frees the reactor, instead: tells nobody.  The
 * protocol is the program's from here on.
 */
void plait_i_transport_abandon(struct transport *t);

/* ---- closing.c: the end ------------------------------------------------ */

/* The two ways to end: all is sent; or there is a reason (why) to be told. */
void plait_i_closing_sent(struct transport *t);
void plait_i_closing_failed(struct transport *t);

/* There is a reason: if it wraps another, that one is to end in this turn. */
void plait_i_closing_tell_below(struct transport *t);

/* Starts, restarts after progress, or stops the deadline of a close. */
void plait_i_closing_mind_deadline(struct transport *t, bool progress);

/* What is left waits for a reader who has paused, and no longer than that. */
void plait_i_closing_wait_for_reader(struct transport *t);

/* What kinds tell: it is over, why is borrowed; the other end has gone. */
void plait_i_transport_over(struct transport *t,
			    const struct plait_failure *why);
void plait_i_transport_gone(struct transport *t);

/*
 * In a forked child that frees the reactor: the connection is the parent's;
 * what the child has of it is a descriptor.  Also of those above.
 */
void plait_i_closing_abandon(struct transport *t);

/* Ends what the kind has, and the memory of one that was not made. */
void plait_i_transport_free(struct transport *t);

/* ---- settling.c: what the loop does with it ----------------------------- */

/* Of a new one, and of one that gets its protocol. */
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
 * An event has come, and its callbacks have returned: brings the kind of
 * transport into line with what they asked for, and answers at once.
 */
void plait_i_transport_settle_event(struct transport *t);

#endif
