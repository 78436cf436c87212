/*
 * Queues of values, with limits for values and for gets that wait.
 *
 * A queue has values and waiting gets at the same time only while
 * queue_serve() is at work further up the stack, which gives the first value
 * to the first get until one side is empty.  So a put from inside the callback
 * of a get does not recurse, and no get overtakes another.  A value and a get
 * that will meet in this way count for neither limit: as the program sees it,
 * they have met.
 */
#include <errno.h>
#include <stdlib.h>

#include <plait/list.h>
#include <plait/queue.h>

#include "lib/waiters.h"

/* Defined here; whoever calls them here says the place. */
#undef plait_queue_get

const struct plait_error plait_error_queue_underflow = {
	.name = "QueueUnderflow",
	.text = "Too many wait for a value already.",
	.parent = &plait_error_any,
};
const struct plait_error plait_error_queue_shut_down = {
	.name = "QueueShutDown",
	.text = "Nothing more will come out of the queue.",
	.parent = &plait_error_any,
};

struct plait_queue {
	struct plait_list values;
	size_t queued;
	struct waiters waiters;
	size_t size, backlog;
	unsigned refs;
	bool serving, closed;
};

struct queued {
	struct plait_list link;
	plait_value value;
};

struct plait_queue *plait_queue_new(size_t size, size_t backlog)
{
	struct plait_queue *q = malloc(sizeof(*q));

	if (q == NULL)
		return NULL;
	*q = (struct plait_queue){ .size = size,
				   .backlog = backlog,
				   .refs = 1 };
	plait_list_init(&q->values);
	plait_i_waiters_init(&q->waiters);
	return q;
}

static plait_value pop_value(struct plait_queue *q)
{
	struct plait_list *l = plait_list_first(&q->values);
	struct queued *n = plait_container(l, struct queued, link);
	plait_value v = n->value;

	plait_list_remove(l);
	free(n);
	q->queued--;
	return v;
}

static void queue_unref(struct plait_queue *q)
{
	if (--q->refs > 0)
		return;
	while (q->queued > 0) {
		plait_value v = pop_value(q);

		plait_value_free(&v);
	}
	free(q);
}

void plait_queue_free(struct plait_queue **qp)
{
	struct plait_queue *q = qp != NULL ? *qp : NULL;

	if (q == NULL)
		return;
	*qp = NULL;
	plait_queue_shutdown(q);
	queue_unref(q);
}

void plait_queue_cleanup(struct plait_queue **qp)
{
	plait_queue_free(qp);
}

/* Values and gets that will meet do not count. */
size_t plait_queue_size(const struct plait_queue *q)
{
	size_t waiting;

	if (q == NULL)
		return 0;
	waiting = q->waiters.count;
	return q->queued > waiting ? q->queued - waiting : 0;
}

size_t plait_queue_waiting(const struct plait_queue *q)
{
	size_t waiting;

	if (q == NULL)
		return 0;
	waiting = q->waiters.count;
	return waiting > q->queued ? waiting - q->queued : 0;
}

/* Gives v to the first get, and values that are put meanwhile to the next. */
static void queue_serve(struct plait_queue *q, plait_value v)
{
	struct plait_promise *p = plait_i_waiters_pop(&q->waiters);

	q->serving = true;
	q->refs++;
	plait_fire(&p, v);
	while (q->queued > 0 && q->waiters.count > 0) {
		p = plait_i_waiters_pop(&q->waiters);
		plait_fire(&p, pop_value(q));
	}
	q->serving = false;
	queue_unref(q);
}

static int queue_append(struct plait_queue *q, plait_value v)
{
	struct queued *n;

	if (plait_queue_waiting(q) == 0 && plait_queue_size(q) >= q->size)
		return -ENOBUFS;
	n = malloc(sizeof(*n));
	if (n == NULL)
		return -ENOMEM;
	*n = (struct queued){ .value = v };
	plait_list_append(&q->values, &n->link);
	q->queued++;
	return 0;
}

int plait_queue_put(struct plait_queue *q, plait_value v)
{
	int r = 0;

	if (q == NULL)
		r = -ENOMEM;
	else if (plait_value_is(&v, &plait_deferred_type))
		r = -EINVAL;
	else if (q->closed)
		r = -ESHUTDOWN;
	else if (q->waiters.count > 0 && !q->serving)
		queue_serve(q, v);
	else
		r = queue_append(q, v);
	if (r < 0)
		plait_value_free(&v);
	return r;
}

/* Makes the deferred first: with no memory for it, the value stays. */
static struct plait_deferred *get_queued(struct plait_queue *q,
					 const char *where)
{
	struct plait_promise *p;
	struct plait_deferred *d = (plait_deferred_new)(&p, NULL, NULL, where);

	if (p != NULL)
		plait_fire(&p, pop_value(q));
	return d;
}

static plait_value closed_failure(void)
{
	return plait_fail(&plait_error_queue_shut_down,
			  "nothing more will come");
}

struct plait_deferred *plait_queue_get(struct plait_queue *q, const char *where)
{
	if (q == NULL)
		return (plait_failed)(plait_no_memory(), where);
	if (plait_queue_size(q) > 0)
		return q->waiters.count == 0
			       ? get_queued(q, where)
			       : plait_i_waiters_add(&q->waiters, where);
	if (q->closed)
		return (plait_failed)(closed_failure(), where);
	if (plait_queue_waiting(q) >= q->backlog)
		return (plait_failed)(plait_fail(&plait_error_queue_underflow,
						 "%zu wait already",
						 plait_queue_waiting(q)),
				      where);
	return plait_i_waiters_add(&q->waiters, where);
}

/* Gets for which a value is queued already still get it. */
void plait_queue_shutdown(struct plait_queue *q)
{
	plait_value closed;

	if (q == NULL || q->closed)
		return;
	q->closed = true;
	q->refs++;
	closed = closed_failure();
	while (q->waiters.count > 0) {
		struct plait_promise *p = plait_i_waiters_pop(&q->waiters);

		plait_fire(&p, q->queued > 0 ? pop_value(q)
					     : plait_value_ref(&closed));
	}
	plait_value_free(&closed);
	queue_unref(q);
}
