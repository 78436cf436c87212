/*
 * A throttled factory wraps any other factory and limits how many bytes a
 *second the connections of that factory receive and send.  It is Twisted's
 * ThrottlingFactory.
 *
 *	struct plait_bucket out = { .rate = 100000, .burst = 20000 };
 *	struct plait_throttled_factory throttled = { .out = &out };
 *
 *	plait_throttled_factory_init(&throttled, &echo);
 *	plait_listen_tcp(r, 10000, &throttled.base.base, NULL, NULL);
 *
 * Here all connections of the factory together send 100,000 bytes a second.
 * Several factories may use one bucket, for both directions.  For a limit of
 * one connection, make a factory for that connection alone.
 */
#ifndef PLAIT_THROTTLE_H
#define PLAIT_THROTTLE_H

#include <plait/timer.h>
#include <plait/wrap.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A bucket holds up to burst bytes.  It is full at first, and gets rate bytes a
 * second.  Each byte that passes is taken out of the bucket.  So in any time at
 * most rate times the seconds, plus burst, bytes pass; this is exact.
 *
 * A connection for which the bucket has too few bytes waits.  At most ten times
 * a second the bucket gives what it has in equal shares to the connections that
 * wait.  So if burst is less than a tenth of rate, busy connections get less
 * than rate.
 *
 * Embed or declare a bucket, set rate and burst, and zero the rest.  It must
 * stay valid until the last connection that uses it is gone.  It serves the
 * connections of one reactor: it aborts if a connection of another reactor asks
 * while a connection waits.
 */
struct plait_bucket {
	size_t rate;  /* bytes a second; 0: 1; at most 16,000,000,000 */
	size_t burst; /* bytes; 0: as many as rate */
	/* Only read these: how many bytes have passed, and how often a
	   connection had to wait. */
	uint64_t passed, waits;
	/* private */
	struct plait_reactor *reactor; /* NULL: nobody has asked yet */
	pid_t process;		       /* that has asked */
	size_t room;		       /* bytes that may pass */
	uint64_t fraction;	       /* of a byte, in 1/1,000,000,000 */
	int64_t filled, served_last;   /* ns */
	struct plait_list waiting, served;
	size_t n_waiting;
	struct plait_timer timer;
	uintptr_t reserved[4]; /* zero */
};

/*
 * The bucket in limits what the inner protocols receive, and the bucket out
 * limits what they send; NULL means no limit.  Both are borrowed as long as f
 * is in use, and may be the same bucket.
 */
struct plait_throttled_factory {
	struct plait_wrapping_factory base;
	struct plait_bucket *in, *out;
	uintptr_t reserved[4]; /* zero */
};

/*
 * Makes f ready to wrap inner.  Before the call, set the buckets and zero the
 * rest.  inner is borrowed as long as f is in use.  f need not be freed.
 *
 * What the inner protocol writes counts as unsent, for its producer and for the
 * limits of plait_reactor_set_limits(), until the bucket has let it pass and
 * the kernel has taken it.  What the peer sends is read no faster than the
 * bucket allows; until it may pass, up to 131,072 bytes of a connection are
 * held in memory.  The protocol is told of the end of the peer's sending after
 * it has received them.
 */
void plait_throttled_factory_init(struct plait_throttled_factory *f,
				  struct plait_factory *inner);

#ifdef __cplusplus
}
#endif

#endif
