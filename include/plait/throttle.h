/*
 * A factory that limits how many bytes a second its connections receive and
 * send, for any factory that it wraps: Twisted's ThrottlingFactory.
 *
 *	struct plait_bucket out = { .rate = 100000, .burst = 20000 };
 *	struct plait_throttled_factory throttled = { .out = &out };
 *
 *	plait_throttled_factory_init(&throttled, &echo);
 *	plait_listen_tcp(r, 10000, &throttled.base.base, NULL, NULL);
 *
 * All connections of that factory together send 100,000 bytes a second here.
 * A bucket may be in several factories, in both directions, and a factory may
 * be made for a single connector.
 */
#ifndef PLAIT_THROTTLE_H
#define PLAIT_THROTTLE_H

#include <plait/timer.h>
#include <plait/wrap.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A bucket holds up to burst bytes, is full at first, and gets rate bytes a
 * second.  What passes is taken out of it.  So over any time the bytes that
 * have passed are at most rate times the seconds, plus burst: exactly.
 *
 * Who finds too little waits.  Those who wait share what comes evenly, ten
 * times a second at most; so a burst of less than a tenth of the rate makes
 * busy connections slower than the rate.
 *
 * Embed or declare it, zeroed but for its settings.  It serves connections of
 * one reactor at a time, or it aborts, and must outlive them.
 */
struct plait_bucket {
	size_t rate;  /* bytes a second; 0: 1; at most 16,000,000,000 */
	size_t burst; /* bytes; 0: as many as rate */
	/* Read only: bytes that have passed; how often somebody had to wait. */
	uint64_t passed, waits;
	/* private */
	struct plait_reactor *reactor; /* NULL: nobody has asked yet */
	pid_t process;		       /* that has asked */
	size_t room;		       /* bytes that may pass */
	uint64_t fraction;	       /* of the next one, in 1/1,000,000,000 */
	int64_t filled, served_last;   /* ns */
	struct plait_list waiting, served;
	size_t n_waiting;
	struct plait_timer timer;
	uintptr_t reserved[4]; /* zero */
};

/*
 * in limits what the inner protocols receive, out what they send; NULL: no
 * limit.  Both are borrowed, and may be the same one.
 */
struct plait_throttled_factory {
	struct plait_wrapping_factory base;
	struct plait_bucket *in, *out;
	uintptr_t reserved[4]; /* zero */
};

/*
 * Makes f, zeroed but for its buckets, ready to wrap inner, which is borrowed
 * for as long as f is in use.  It needs no end.
 *
 * What the inner protocol writes counts as unsent, for its producer and for the
 * limits of plait_reactor_set_limits(), until the bucket lets it pass and the
 * kernel has taken it.  What comes in is read no faster than the bucket allows;
 * up to 131,072 bytes of a connection are held in memory meanwhile.  The end of
 * the peer's sending comes after them.
 */
void plait_throttled_factory_init(struct plait_throttled_factory *f,
				  struct plait_factory *inner);

#ifdef __cplusplus
}
#endif

#endif
