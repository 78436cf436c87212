/*
 * Queues of values, bounded both ways.
 *
 * Values and waiting gets are both there only while serve() is at work
 * further up the stack: it gives the first value to the first get until one
 * side is empty.  So a put from inside a get's callback does not recurse, and
 * a get never overtakes another.
 */
#include <errno.h>
#include <stdlib.h>

#include <plait/list.h>
#include <plait/queue.h>

const struct plait_error plait_error_queue_underflow = {
	"QueueUnderflow", "Too many wait for a value already.",
	&plait_error_any
};
const struct plait_error plait_error_queue_closed = {
	"QueueClosed", "Nothing more will come out of the queue.",
	&plait_error_any
};

struct plait_queue {
	struct plait_list values, waiters;
	size_t queued, waiting;
	size_t size, backlog;
	unsigned refs;
	bool serving, closed;
};

struct queued {
	struct plait_list link;
	plait_value value;
};

struct waiter {
	struct plait_list link;
	struct plait_queue *queue;
	struct plait_promise *promise;
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
	plait_list_init(&q->waiters);
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

static void forget(struct waiter *w)
{
	plait_list_remove(&w->link);
	w->queue->waiting--;
	free(w);
}

static struct plait_promise *pop_waiter(struct plait_queue *q)
{
	struct plait_list *l = plait_list_first(&q->waiters);
	struct waiter *w = plait_container(l, struct waiter, link);
	struct plait_promise *p = w->promise;

	forget(w);
	return p;
}

static void unref(struct plait_queue *q)
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
	struct plait_queue *q = *qp;

	*qp = NULL;
	if (q == NULL)
		return;
	plait_queue_close(q);
	unref(q);
}

static void serve(struct plait_queue *q)
{
	if (q->serving)
		return;
	q->serving = true;
	q->refs++;
	while (q->queued > 0 && q->waiting > 0) {
		struct plait_promise *p = pop_waiter(q);

		plait_fire(&p, pop_value(q));
	}
	q->serving = false;
	unref(q);
}

static int append(struct plait_queue *q, plait_value v)
{
	struct queued *n;

	if (q->closed)
		return -ESHUTDOWN;
	if (q->queued >= q->waiting && q->queued - q->waiting >= q->size)
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
	int r = append(q, v);

	if (r < 0)
		plait_value_free(&v);
	else
		serve(q);
	return r;
}

static plait_value leave_queue(struct plait_deferred *d, void *arg)
{
	struct waiter *w = arg;

	plait_promise_drop(&w->promise);
	forget(w);
	return plait_cancelled();
}

static struct plait_deferred *wait_for_value(struct plait_queue *q)
{
	struct waiter *w = malloc(sizeof(*w));
	struct plait_deferred *d;

	if (w == NULL)
		return plait_failed(plait_no_memory());
	*w = (struct waiter){ .queue = q };
	d = plait_deferred_new(&w->promise, leave_queue, w);
	if (w->promise == NULL) {
		free(w);
		return d;
	}
	plait_list_append(&q->waiters, &w->link);
	q->waiting++;
	return d;
}

/* The deferred comes first, so that no value is lost if there is none. */
static struct plait_deferred *get_queued(struct plait_queue *q)
{
	struct plait_promise *p;
	struct plait_deferred *d = plait_deferred_new(&p, NULL, NULL);

	if (p != NULL)
		plait_fire(&p, pop_value(q));
	return d;
}

struct plait_deferred *plait_queue_get(struct plait_queue *q)
{
	if (q->queued > q->waiting)
		return q->waiting == 0 ? get_queued(q) : wait_for_value(q);
	if (q->closed)
		return plait_failed(plait_fail(&plait_error_queue_closed,
					       "the queue is closed"));
	if (q->waiting >= q->backlog)
		return plait_failed(plait_fail(&plait_error_queue_underflow,
					       "%zu wait already",
					       q->waiting));
	return wait_for_value(q);
}

void plait_queue_close(struct plait_queue *q)
{
	if (q->closed)
		return;
	q->closed = true;
	q->refs++;
	while (q->waiting > q->queued) {
		struct plait_promise *p = pop_waiter(q);

		plait_fire(&p, plait_fail(&plait_error_queue_closed,
					  "the queue is closed"));
	}
	unref(q);
}

size_t plait_queue_size(const struct plait_queue *q)
{
	return q->queued;
}

size_t plait_queue_waiting(const struct plait_queue *q)
{
	return q->waiting;
}
