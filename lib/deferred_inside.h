/*
 * The inside of a deferred, for the two files that may know it: deferred.c,
 * which changes deferreds, and deferred_look.c, which only looks at them.
 */
#ifndef LIB_DEFERRED_INSIDE_H
#define LIB_DEFERRED_INSIDE_H

#include <plait/list.h>

#include "lib/deferred.h"
#include "lib/failure.h"
#include "lib/fork.h"
#include "lib/slab.h"

enum { INLINE_PAIRS = 4 };

/*
 * The owner of what no thread owns: a deferred that has ended, and the one that
 * stands for the lack of memory.  So one comparison finds all that need a
 * closer look.
 */
#define DEFERRED_NOBODYS (~0u)

struct pair {
	plait_callback *callback; /* NULL: pass the result through */
	union {
		plait_callback *errback; /* likewise */
		deferred_feed *feed;	 /* if callback is feed_others */
	};
	void *callback_arg;
	union {
		void *errback_arg;
		deferred_drop *drop;	       /* if errback is guarded */
		deferred_feed_drop *feed_drop; /* if callback is feed_others */
	};
};

/*
 * A usual life touches the first four lines of the processor's cache alone:
 * what is rare stands last.
 */
struct plait_deferred {
	struct slab_object place;
	plait_value result;	/* if fired and not waiting */
	struct plait_list live; /* in the list of the thread, all its life */
	plait_canceller *canceller;
	deferred_rest *rest;
	void *arg; /* of both */
	const char *where;
	struct plait_deferred *inner, *outer, *resume;
	struct plait_deferred *held; /* they wait until this left the stack */
	struct pair *pairs;	     /* those from head to count still wait */
	unsigned head, count, room;
	unsigned kept;	 /* pairs that wait for the end of holds: the first */
	unsigned refs;	 /* 0: it has ended, and is in quarantine */
	unsigned pauses; /* by the program */
	unsigned holds;	 /* by what it stands for, while that is on the stack */
	bool waited;	 /* the waiting end is held, by the user or by outer */
	bool taken;	 /* by a list, a scope or a shared deferred */
	bool freeing; /* it is being freed: holds do not keep its callbacks */
	bool freed;   /* it was freed: no callback runs any more */
	bool handed;  /* outer has the result, and is held as long as this is */
	bool fired, cancelling, active;
	bool noted;	/* by plait_i_deferred_note_kept() */
	uint16_t forks; /* how many forks there had been when it was made */
	unsigned owner; /* the thread that has made it */
	struct deferred_home home;
	union {
		const char *fired_at; /* if fired */
		uint32_t cause;	      /* of a group: the cancel in the trace */
	};
	const char *ended_at; /* if not waited */
	int64_t made;	      /* nanoseconds; negative: nobody knows */
	struct pair inline_pairs[INLINE_PAIRS];
	struct plait_failure cancellation;
};

struct deferred_thread {
	struct plait_list live; /* oldest first; zeroed: none yet */
	struct deferred_time time;
};

/* Initial-exec, because every call with a deferred looks at it. */
extern _Thread_local struct deferred_thread plait_i_deferred_thread
	__attribute__((tls_model("initial-exec")));

/*
 * Returns the deferred whose promise the pair fires, if
 * plait_deferred_forward() made the pair.
 */
const struct plait_deferred *plait_i_deferred_chained(const struct pair *pair);

/*
 * Returns true in a child made by fork(), if the parent has made d: then only
 * the parent reports what becomes of d.
 */
static inline bool deferred_is_inherited(const struct plait_deferred *d)
{
	return d->forks != (uint16_t)fork_count();
}

#endif
