/*
 * One operation that many callers wait for.  Each caller has a deferred of its
 * own, and may cancel it alone.  When the last of these deferreds is cancelled,
 * the operation is cancelled.
 *
 * All callers get the same result.  So its type must be able to give further
 * references (struct plait_type's ref), as the types of buffers and failures
 * are, or have nothing to free.  A value of another type can have one owner
 * only: the first caller gets it, and a second caller aborts the program.
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
 * Gives the handle; or NULL with ENOMEM in errno: then the deferred was freed,
 * or *dp was NULL already.
 */
struct plait_shared *plait_shared_new(struct plait_deferred **dp);

/*
 * Gives a deferred that fires with the result, at once if the operation has
 * finished.  If all callers had gone before, this is the result of the
 * cancelled operation, usually CancelledError.
 */
struct plait_deferred *plait_shared_wait(struct plait_shared *s,
					 const char *where) PLAIT_MUST_USE;
#define plait_shared_wait(...) (plait_shared_wait)(__VA_ARGS__, PLAIT_HERE)

/* The number of deferreds that wait now. */
size_t plait_shared_waiting(const struct plait_shared *s);

/* True once the operation has finished. */
bool plait_shared_is_fired(const struct plait_shared *s);

/*
 * Ends the handle.  Deferreds that wait go on waiting.  If none waits, the
 * operation is cancelled.  A failure that no caller has got is reported.  Does
 * nothing if *sp is NULL; *sp is NULL afterwards.
 */
void plait_shared_free(struct plait_shared **sp);
/* The same, for __attribute__((cleanup)). */
void plait_shared_cleanup(struct plait_shared **sp);

#ifdef __cplusplus
}
#endif

#endif
