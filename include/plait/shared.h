/*
 * One operation, many who wait for it.  Each waits on a deferred of its own,
 * which it may cancel alone; when the last one has gone, the operation is
 * cancelled.
 *
 * The result is shared: its type must be able to give further references
 * (struct plait_type's ref), as that of buffers and failures is, or have
 * nothing to free.  A value of another type has but one owner: it goes to the
 * first, and a second who asks for it aborts the program.
 */
#ifndef PLAIT_SHARED_H
#define PLAIT_SHARED_H

#include <plait/deferred.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_shared;

/*
 * Shares the deferred, whose waiting end is taken; *dp is NULL afterwards.
 * Given; NULL with ENOMEM in errno, and then the deferred was freed, or *dp was
 * NULL already.
 */
struct plait_shared *plait_shared_new(struct plait_deferred **dp);

/*
 * Gives a deferred that fires with the result, at once if it is there.
 * Whoever comes after all had gone gets what came of the cancelled operation,
 * mostly its cancellation.
 */
struct plait_deferred *plait_shared_wait(struct plait_shared *s,
					 const char *where) PLAIT_MUST_USE;
#define plait_shared_wait(...) (plait_shared_wait)(__VA_ARGS__, PLAIT_HERE)

/* Deferreds that wait now. */
size_t plait_shared_waiting(const struct plait_shared *s);

/* True once the result is there. */
bool plait_shared_is_fired(const struct plait_shared *s);

/*
 * Ends the handle.  Those who wait go on waiting; with nobody left the
 * operation is cancelled.  A failure that nobody has got is reported.  NULL
 * does nothing; *sp is NULL afterwards.
 */
void plait_shared_free(struct plait_shared **sp);
/* The same, for __attribute__((cleanup)). */
void plait_shared_cleanup(struct plait_shared **sp);

#ifdef __cplusplus
}
#endif

#endif
