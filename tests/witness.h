/*
 * A witness stands between a factory and its protocols, on ports and on
 * connectors, and sees whether plait keeps its contract with them (plait(7)):
 *
 * - a protocol is made once, then gets its data, is lost once, and is done
 *   once; nothing comes after that, and nothing while reading is paused;
 * - unsent output stays below its limit.
 *
 * If both ends of its connections speak (witness_say()), it compares what comes
 * with what was said:
 *
 * - what comes is the beginning of what was said at the other end, in order and
 *   nothing twice, and of one connection alone;
 * - if the connection ends cleanly, everything has come.
 *
 * Timers and deferreds that are put under a witness are seen, too: a timer is
 * never early and comes once, a deferred fires once.
 *
 * Whatever is wrong fails the simulation; without a simulation, it aborts.
 */
#ifndef TESTS_WITNESS_H
#define TESTS_WITNESS_H

#include <plait/plait.h>
#include <plait/simulation.h>

struct eyewitness {
	struct plait_simulation *simulation; /* NULL: it aborts */
	struct plait_list connections;	     /* each end of them */
	struct plait_list voices;	     /* what was said at each end */
	struct plait_list waits;	     /* for timers and deferreds */
	uint64_t next_voice;
	/* Of all its connections, so far. */
	unsigned made, lost, done;
	size_t heard; /* bytes */
};

/* Zeroed but for its name and what the comment asks for. */
struct witness_factory {
	struct plait_factory base;
	struct eyewitness *witness;
	struct plait_factory *inner;
	bool speaks;
	unsigned open; /* connections that were made and not lost */
};

void witness_begin(struct eyewitness *w, struct plait_simulation *s);

/* The scenario is over: nothing may be left.  Frees what the witness has. */
void witness_end(struct eyewitness *w);

/* Says that something is wrong. */
void witness_fail(struct eyewitness *w, const char *fmt, ...)
	PLAIT_PRINTF(2, 3);

/*
 * f is to be used in place of inner.  If it speaks, both ends of all its
 * connections are under the same witness.
 */
void witness_factory_init(struct witness_factory *f, struct eyewitness *w,
			  struct plait_factory *inner, bool speaks);

/* Of an inner protocol: the connection that is under the witness. */
struct witnessed;
struct witnessed *witnessed_of(struct plait_protocol *inner);

/*
 * Writes that many bytes of what an inner protocol has to say, if the
 * connection takes them.  Returns how many it took.
 */
size_t witness_say(struct plait_protocol *inner, size_t n);

/* How many bytes an inner protocol has said, and heard of the other end. */
size_t witness_said(struct plait_protocol *inner);
size_t witness_heard(struct plait_protocol *inner);

/* A timer that calls fn(arg) once, and no earlier than in that many seconds.
   The witness has its memory. */
void witness_timer(struct eyewitness *w, struct plait_reactor *r,
		   double seconds, plait_func *fn, void *arg);

/* d, which is returned, has to fire before witness_end(). */
struct plait_deferred *witness_deferred(struct eyewitness *w,
					struct plait_deferred *d);

#endif
