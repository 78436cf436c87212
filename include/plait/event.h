/*
 * Events: something happens, and all who wait for it go on, each with a value.
 *
 * An event that happens again and again, as "the configuration was reloaded",
 * wakes those who wait at that moment.  An event that has happened for good, as
 * "the server is ready", is set: whoever waits later goes on at once.
 *
 * Many get the value, so its type must be able to give further references
 * (struct plait_type's ref), as the types of buffers and failures are, or have
 * nothing to free.  A value of another type is refused.
 */
#ifndef PLAIT_EVENT_H
#define PLAIT_EVENT_H

#include <plait/deferred.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_event;

/* Gives a new event, which is not set; NULL with ENOMEM in errno. */
struct plait_event *plait_event_new(void);

/*
 * Frees the event.  Those who wait fail with AbandonedError before this
 * returns.  Does nothing if *ep is NULL; *ep is NULL afterwards.
 */
void plait_event_free(struct plait_event **ep);
/* The same, for __attribute__((cleanup)). */
void plait_event_cleanup(struct plait_event **ep);

/*
 * Gives a deferred that fires with the value of the next wake, or at once with
 * the value of the event if the event is set.  Cancelling it ends this wait
 * alone.
 */
struct plait_deferred *plait_event_wait(struct plait_event *e,
					const char *where) PLAIT_MUST_USE;
#define plait_event_wait(...) (plait_event_wait)(__VA_ARGS__, PLAIT_HERE)

/*
 * Wakes all who wait now, with v, in the order in which they came, before this
 * returns.  If a callback of one of them calls this, those who have come since
 * are woken when that callback and the others of the first wake have returned.
 *
 * A failure makes the waits fail.  v is taken in any case, and freed if nobody
 * waits.  Returns 0; or -EINVAL if v is a deferred, or of a type with one owner
 * only: then nobody is woken.
 */
int plait_event_wake(struct plait_event *e, plait_value v);

/*
 * The same, and from now on each wait fires at once with v, until the event is
 * cleared.  Setting an event again replaces its value.
 */
int plait_event_set(struct plait_event *e, plait_value v);

/* Ends that: later waits wait for the next wake again.  Frees the value. */
void plait_event_clear(struct plait_event *e);

bool plait_event_is_set(const struct plait_event *e);

/* The number of those whom the next wake will wake. */
size_t plait_event_waiting(const struct plait_event *e);

#ifdef __cplusplus
}
#endif

#endif
