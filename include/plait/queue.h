/*
 * A queue hands values from those who put to those who get.  It has two limits:
 * for values that nobody has got yet, and for gets that wait for a value.
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
 * Gives a new queue.  It keeps at most size values and at most backlog gets
 * that wait; SIZE_MAX means no limit.  NULL with ENOMEM in errno.
 */
struct plait_queue *plait_queue_new(size_t size, size_t backlog);

/*
 * Shuts the queue down, and frees it and the values that are left in it.  Does
 * nothing if *qp is NULL; *qp is NULL afterwards.
 */
void plait_queue_free(struct plait_queue **qp);
/* The same, for __attribute__((cleanup)). */
void plait_queue_cleanup(struct plait_queue **qp);

/*
 * Puts v, which is taken in any case.  If a get waits, the first one gets v
 * before this returns; if the callback of a get calls this, the next get has
 * its value when the callback has returned.  If no get waits, v is queued.
 * Returns 0; or -ENOBUFS if the queue is full, -ESHUTDOWN if it was shut down,
 * -EINVAL if v is a deferred, -ENOMEM: then v was freed.
 */
int plait_queue_put(struct plait_queue *q, plait_value v);

/*
 * Gives a deferred that fires with the next value, at once if the queue has
 * one.  It fails with QueueUnderflow if backlog gets wait already, and with
 * QueueShutDown if the queue was shut down and is empty.  Cancelling the
 * deferred ends the wait; no value is lost.
 */
struct plait_deferred *plait_queue_get(struct plait_queue *q,
				       const char *where) PLAIT_MUST_USE;
#define plait_queue_get(...) (plait_queue_get)(__VA_ARGS__, PLAIT_HERE)

/*
 * Refuses all later puts.  Gets that wait fail with QueueShutDown before this
 * returns.  Later gets still get the values that are queued.  Does nothing the
 * second time.
 */
void plait_queue_shutdown(struct plait_queue *q);

/* The number of values that no get waits for, and of gets without a value. */
size_t plait_queue_size(const struct plait_queue *q);
size_t plait_queue_waiting(const struct plait_queue *q);

#ifdef __cplusplus
}
#endif

#endif
