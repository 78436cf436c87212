/*
 * Signals, told by the loop.
 *
 * A handler of signals may call almost nothing.  A watch is told of a signal in
 * a turn of its reactor instead, where it may call anything:
 *
 *	static void reload(struct plait_signal_watch *w, unsigned times)
 *	{
 *		struct server *s = plait_container(w, struct server, hup);
 *		...
 *	}
 *
 *	plait_signal_watch_start(r, &s->hup, SIGHUP, reload);
 *
 * A signal is watched in all of the process: many watches may have the same
 * number, in many reactors and threads, and all of them are told.  As long as
 * there is a watch, the action that the program had set does not happen, and no
 * SIGINT or SIGTERM that is watched stops a reactor.  When the last watch of a
 * number is stopped, the program's action is back.
 */
#ifndef PLAIT_SIGNAL_H
#define PLAIT_SIGNAL_H

#include <plait/deferred.h>
#include <plait/reactor.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_signal_watch;

/*
 * The signal has come that many times since w was told last: at least once.
 * Signals that come while one of the same number waits for the process are one,
 * for the kernel.  fn may stop w, and free the struct around it.
 */
typedef void plait_signal_func(struct plait_signal_watch *w, unsigned times);

/* Embed it, zeroed.  Stop the watch before you free the struct around it. */
struct plait_signal_watch {
	/* private */
	struct plait_reactor *reactor; /* NULL: it is not started */
	plait_signal_func *fn;
	struct plait_list link;
	/* What handlers read. */
	struct plait_signal_watch *next;
	const struct plait_signal_kind *kind;
	int number; /* 0: the signal is not its own any more */
	unsigned times;
	uintptr_t reserved[2]; /* zero */
};

/*
 * Has fn(w, times) called in the loop of r when the process gets the signal of
 * that number.  r borrows w until the watch is stopped, or r is freed.
 *
 * Returns 0; -EBUSY if w is started already; -EINVAL if there is no such
 * signal, if it cannot be caught, or if it is SIGSEGV, SIGBUS, SIGFPE or
 * SIGILL, after which the thread cannot go on; -ECHILD.
 */
int plait_signal_watch_start(struct plait_reactor *r,
			     struct plait_signal_watch *w, int number,
			     plait_signal_func *fn);

/*
 * Stops the watch: fn is not called any more, not even for a signal that has
 * come already.  If w is not started, the call does nothing.
 */
void plait_signal_watch_stop(struct plait_signal_watch *w);

/*
 * Gives a deferred, never NULL, that fires from the loop with that number, an
 * int, when the process gets the signal next.  Until then this is a watch.
 *
 * Cancelling it ends the watch.  It fails with OSError and EINVAL if the signal
 * cannot be watched, and with AbandonedError if r is freed.
 */
struct plait_deferred *plait_signal_wait(struct plait_reactor *r, int number,
					 const char *where) PLAIT_MUST_USE;
#define plait_signal_wait(...) (plait_signal_wait)(__VA_ARGS__, PLAIT_HERE)

#ifdef __cplusplus
}
#endif

#endif
