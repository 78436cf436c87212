/*
 * A queue of values between those who put and those who wait to get, bounded
 * both ways: in values that nobody got yet, and in gets that wait.
 */
#ifndef PLAIT_QUEUE_H
#define PLAIT_QUEUE_H

#include <plait/deferred.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_queue;

extern const struct plait_error plait_error_queue_underflow;
extern const struct plait_error plait_error_queue_shut_down;

/*
 * A new queue for so many values and so many waiting gets, SIZE_MAX for no
 * bound; given.  NULL with ENOMEM in errno.
 */
struct plait_queue *plait_queue_new(size_t size, size_t backlog);

/*
 * Closes it and frees it with the values that are left.  NULL does nothing; *qp
 * is NULL afterwards.
 */
void plait_queue_free(struct plait_queue **qp);
/* The same, for __attribute__((cleanup)). */
void plait_queue_cleanup(struct plait_queue **qp);

/*
 * Puts v, which is taken in any case.  The first get that waits has it before
 * this returns, but from inside a get's callback when that has returned; with
 * none it is queued.  0; -ENOBUFS if the queue is full, -ESHUTDOWN if it is
 * closed, -EINVAL if v is a deferred, -ENOMEM: then v was freed.
 */
int plait_queue_put(struct plait_queue *q, plait_value v);

/*
 * Gives a deferred that fires with the next value: at once if there is one.
 * Fails with QueueUnderflow if too many wait already, QueueShutDown if it is
 * closed and empty.  Cancelling it leaves the queue, and no value is lost.
 */
struct plait_deferred *plait_queue_get(struct plait_queue *q,
				       const char *where) PLAIT_MUST_USE;
#define plait_queue_get(...) (plait_queue_get)(__VA_ARGS__, PLAIT_HERE)

/*
 * Nothing more can be put; gets that wait fail with QueueShutDown, before this
 * returns.  What is queued can still be got.  Closing twice does nothing.
 */
void plait_queue_shutdown(struct plait_queue *q);

/* Values that nobody waits for; gets that wait for what is not there. */
size_t plait_queue_size(const struct plait_queue *q);
size_t plait_queue_waiting(const struct plait_queue *q);

#ifdef __cplusplus
}
#endif

#endif
