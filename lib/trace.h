/*
 * What happens in this thread: the library notes it here, and two kinds of
 * readers may have asked for it.
 *
 * plait_trace_dump() needs what has happened lately: a ring of events, which is
 * empty until somebody starts it.  A listener is told of each event when it
 * happens; tests that follow a program are listeners.  A note costs one look at
 * a flag of the thread while nobody has asked.
 *
 * What is recorded while a cancel is under way has the number of this cancel as
 * its cause.  So a trace can show what a cancel has stopped.
 */
#ifndef LIB_TRACE_H
#define LIB_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum trace_kind {
	TRACE_MADE,   /* a deferred; text: where */
	TRACE_FIRED,  /* a deferred; text: where */
	TRACE_WAITS,  /* a deferred, for another; text: where that was made */
	TRACE_CANCEL, /* begins, of a deferred; text: where from */
	TRACE_CANCELLED, /* ... ends */
	TRACE_ENTER,	 /* a callback from the loop begins */
	TRACE_LEAVE,	 /* ... ends */
	TRACE_ATTEMPT,	 /* to connect begins; label: where to */
	TRACE_STOPPING,	 /* an attempt, by the program */
	TRACE_ENDED,	 /* an attempt */
	TRACE_LOOKUP,	 /* of a name begins; label: the name */
	TRACE_LOOKED_UP, /* ... ends */
	TRACE_OPENED,	 /* a connection; label: the peer */
	TRACE_READ,	 /* a connection, n bytes */
	TRACE_WRITTEN,	 /* a connection, n bytes */
	TRACE_CLOSING,	 /* a connection, by the program */
	TRACE_CLOSED,	 /* a connection */

	/* These are not recorded in the ring, listeners alone are told. */
	TRACE_FREED,	  /* a deferred: its memory; text: where it was made */
	TRACE_CALLS,	  /* a deferred, the next of its callbacks */
	TRACE_LATE,	  /* a deferred was fired after a cancel; text: where */
	TRACE_LOST,	  /* a failure, as nobody handled it */
	TRACE_LEAVING,	  /* a callback from the loop has returned; the loop has
			     not done yet what the callback asked for */
	TRACE_SET,	  /* a timer is started or moved; it says when */
	TRACE_UNSET,	  /* ... is stopped */
	TRACE_DUE,	  /* ... will run now, and is not started any more */
	TRACE_WATCHED,	  /* a watch is started */
	TRACE_UNWATCHED,  /* ... is stopped */
	TRACE_LISTENS,	  /* a port is open */
	TRACE_DEAF,	  /* ... accepts nobody any more */
	TRACE_PORT_FREED, /* ... its memory */
	TRACE_CONNECTOR,  /* a connector is made */
	TRACE_CONNECTOR_FREED,
	TRACE_PROTOCOL, /* a protocol will be told that its connection, other,
			   is made */
	TRACE_PROTOCOL_LOST, /* ... is lost */
	TRACE_SCOPE,	     /* a scope is made; text: where */
	TRACE_SCOPE_FREED
};

/* Is true if events of that kind are recorded in the ring. */
static inline bool trace_kind_is_recorded(enum trace_kind kind)
{
	return kind <= TRACE_CLOSED;
}

enum { TRACE_LABEL = 64 }; /* the beginning, if the label is longer */

struct trace_event {
	int64_t when; /* nanoseconds */
	const void *object;
	union {
		struct {
			const void *other;
			const char *text; /* must stay valid for ever */
			size_t n;
		};
		char label[TRACE_LABEL];
	};
	uint32_t cause; /* number of a cancel; 0: none */
	uint32_t kind;
};

/*
 * Who is told of each event.  Embedded.  other, text and n are what the kind
 * says, or NULL and 0; the text of an event with a label is valid during the
 * call.  tell() may do what a callback of the program may do only in the events
 * that callbacks of the loop begin and end with.
 */
struct trace_listener {
	void (*tell)(struct trace_listener *l, enum trace_kind kind,
		     const void *object, const void *other, const char *text,
		     size_t n);
	struct trace_listener *next;
};

struct trace_ring {
	bool on;		    /* there is a ring or a listener */
	struct trace_event *events; /* NULL: there is no ring */
	struct trace_listener *listeners;
	size_t room;
	uint64_t count; /* ever recorded */
	uint32_t cancels, cause;
	int64_t (*clock)(void);
};

extern _Thread_local struct trace_ring plait_i_trace_ring
	__attribute__((tls_model("initial-exec")));

static inline bool trace_is_on(void)
{
	return plait_i_trace_ring.on;
}

static inline bool trace_is_recording(void)
{
	return plait_i_trace_ring.events != NULL;
}

void plait_i_trace_record(enum trace_kind kind, const void *object,
			  const void *other, const char *text, size_t n);

static inline void trace_note(enum trace_kind kind, const void *object,
			      const void *other, const char *text, size_t n)
{
	if (__builtin_expect(trace_is_on(), 0))
		plait_i_trace_record(kind, object, other, text, n);
}

void plait_i_trace_record_label(enum trace_kind kind, const void *object,
				const char *label);

/*
 * plait_i_trace_ending() notes which cancel asked for the end, unless one has
 * asked before.  trace_record_end() later records the end, with this cancel as
 * its cause.
 */
uint32_t plait_i_trace_ending(enum trace_kind kind, const void *object,
			      uint32_t cause);
void plait_i_trace_record_end(enum trace_kind kind, const void *object,
			      uint32_t cause);

static inline void trace_end(enum trace_kind kind, const void *object,
			     uint32_t cause)
{
	if (__builtin_expect(trace_is_on(), 0))
		plait_i_trace_record_end(kind, object, cause);
}

/*
 * These stand around a cancel.  trace_cancel_begin() gives the cause before it,
 * which trace_cancel_end() restores.
 */
uint32_t plait_i_trace_record_cancel(const void *deferred, const char *where);
void plait_i_trace_record_cancelled(const void *deferred, uint32_t cause);

static inline uint32_t trace_cancel_begin(const void *deferred,
					  const char *where)
{
	return __builtin_expect(trace_is_on(), 0)
		       ? plait_i_trace_record_cancel(deferred, where)
		       : 0;
}

static inline void trace_cancel_end(const void *deferred, uint32_t cause)
{
	if (__builtin_expect(trace_is_on(), 0))
		plait_i_trace_record_cancelled(deferred, cause);
}

/*
 * Begins to record.  Returns 0 or -ENOMEM.  clock gives nanoseconds.  Starting
 * twice empties the ring.
 */
int plait_i_trace_start(size_t events, int64_t (*clock)(void));
void plait_i_trace_stop(void);

/*
 * From now on l, borrowed, is told of what happens in this thread, until it
 * listens no more.  Listeners are told in the order in which they began.  A
 * listener must not end another one while it is told.
 */
void plait_i_trace_listen(struct trace_listener *l);

/* The same, for one that only looks: it is told before those that may act, and
   so in the order in which things happen. */
void plait_i_trace_listen_first(struct trace_listener *l);
void plait_i_trace_listen_no_more(struct trace_listener *l);

#endif
