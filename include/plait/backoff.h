/*
 * How long to wait before the next attempt: a delay that grows from one
 * failure to the next up to a maximum, with jitter, so that many clients of a
 * server that went away do not all come back at once.
 *
 *	plait_timer_start(r, &self->timer,
 *			  plait_backoff_next(&self->backoff, r), try_again,
 *			  self);
 *
 * plait_retry() and struct plait_reconnecting_factory have one each.
 */
#ifndef PLAIT_BACKOFF_H
#define PLAIT_BACKOFF_H

#include <plait/reactor.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Embed it, zeroed, and set what is to differ from the defaults, which are
 * Twisted's.  The n-th delay is initial_delay times factor to the power of n,
 * but at most max_delay; so the first one is initial_delay times factor.  The
 * jitter then adds or subtracts a random share of
 * that: jitter is the standard deviation of the share.  No delay is above
 * max_delay, with jitter or without.  A setting that is negative or no number
 * counts as 0, which stands for the default; only a negative jitter means that
 * there is none.
 */
struct plait_backoff {
	double initial_delay; /* seconds; 0: 1 */
	double max_delay;     /* seconds; 0: 3600 */
	double factor;	      /* 0: e, 2.718... */
	double jitter;	      /* a share; 0: 0.1196; < 0: none */
	/*
	 * The random numbers start from this.  0: from a number that
	 * plait_reactor_random() gives.  Two backoffs that start from the same
	 * number give the same delays.
	 */
	uint64_t random;
	/*
	 * How many seconds what was begun must go on until the next delay is
	 * the first one again.  0, or a setting as above: see who uses the
	 * delays.
	 */
	double min_uptime;
	/* private */
	double delay;	       /* the last, without its jitter */
	uintptr_t reserved[3]; /* zero */
};

/* The next delay, in seconds. */
double plait_backoff_next(struct plait_backoff *b, struct plait_reactor *r);

/* It worked: the next delay is the first one again. */
void plait_backoff_reset(struct plait_backoff *b);

#ifdef __cplusplus
}
#endif

#endif
