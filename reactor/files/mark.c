/*
 * The marks of a notifier, and its end: see notifier.h.
 *
 * In a forked child the descriptor is the parent's.  The child only closes it:
 * what it reads or removes would be missing there.
 */
#include <errno.h>
#include <stdlib.h>

#include "reactor/files/watched.h"

/* ---- marks --------------------------------------------------------------- */

static size_t mark_hash(int number)
{
	return (size_t)(unsigned)number * 0x9e3779b1u;
}

struct file_mark *plait_i_mark_find(const struct file_notifier *n, int number)
{
	struct file_link *l = file_table_find(&n->marks, mark_hash(number));

	for (; l != NULL; l = l->next) {
		struct file_mark *m =
			plait_container(l, struct file_mark, link);

		if (m->number == number)
			return m;
	}
	return NULL;
}

static struct file_mark *mark_new(struct file_notifier *n, int number)
{
	struct file_mark *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->number = number;
	plait_list_init(&m->users);
	plait_i_file_table_add(&n->marks, &m->link, mark_hash(number));
	return m;
}

static void mark_free(struct file_notifier *n, struct file_mark *m)
{
	plait_i_file_table_remove(&n->marks, &m->link);
	free(m);
}

/* Of a child, and of a notifier that is closed, the kernel's marks are not
   ours, or gone. */
static void mark_remove(struct file_notifier *n, int number)
{
	if (n->fd >= 0 && !loop_is_forked(n->reactor))
		notifier_calls(n)->remove(loop_kernel(n->reactor), n->fd,
					  number);
}

void plait_i_mark_release(struct file_notifier *n, struct file_mark *m)
{
	if (m->held > 0 || !plait_list_is_empty(&m->users))
		return;
	mark_remove(n, m->number);
	mark_free(n, m);
}

int plait_i_notifier_use(struct file_notifier *n, struct file_user *u,
			 int number)
{
	struct file_mark *m = plait_i_mark_find(n, number);

	if (m == NULL)
		m = mark_new(n, number);
	if (m == NULL) {
		mark_remove(n, number);
		return -ENOMEM;
	}
	if (u->mark == m)
		return 0;
	plait_i_notifier_leave(n, u);
	u->mark = m;
	plait_list_append(&m->users, &u->link);
	return 0;
}

void plait_i_notifier_unused(struct file_notifier *n, int number)
{
	if (plait_i_mark_find(n, number) == NULL)
		mark_remove(n, number);
}

void plait_i_notifier_leave(struct file_notifier *n, struct file_user *u)
{
	struct file_mark *m = u->mark;

	if (m == NULL)
		return;
	u->mark = NULL;
	plait_list_remove(&u->link);
	plait_i_mark_release(n, m);
}

struct file_user *plait_i_mark_user(const struct file_mark *m,
				    const struct plait_file_watched *w)
{
	struct plait_list *l;

	plait_list_for_each (l, &m->users) {
		struct file_user *u =
			plait_container(l, struct file_user, link);

		if (u->of == w)
			return u;
	}
	return NULL;
}

struct file_user *plait_i_notifier_user(const struct file_notifier *n,
					const struct plait_file_watched *w,
					int number)
{
	const struct file_mark *m = plait_i_mark_find(n, number);

	return m != NULL ? plait_i_mark_user(m, w) : NULL;
}

/* ---- the notifier -------------------------------------------------------- */

uint64_t plait_i_notifier_now(struct file_notifier *n)
{
	int waiting;

	return notifier_calls(n)->waiting(loop_kernel(n->reactor), n->fd,
					  &waiting) < 0
		       ? UINT64_MAX
		       : n->read + (uint64_t)waiting;
}

void plait_i_notifier_wake(struct file_notifier *n)
{
	if (!n->closed)
		plait_i_loop_next_turn(n->reactor, &n->going_on);
}

static void notifier_free(struct file_notifier *n)
{
	plait_i_file_table_done(&n->marks);
	plait_i_file_table_done(&n->entries);
	free(n);
}

static void notifier_close(struct file_notifier *n)
{
	*plait_i_loop_files(n->reactor) = NULL;
	plait_watch_stop(&n->watch);
	plait_timer_stop(&n->patience);
	plait_timer_stop(&n->again);
	loop_task_cancel(&n->going_on);
	loop_task_cancel(&n->keep);
	if (n->fd >= 0)
		kernel_close(loop_kernel(n->reactor), n->fd);
	n->fd = -1;
	n->closed = true;
}

void plait_i_notifier_settle(struct file_notifier *n)
{
	if (plait_list_is_empty(&n->watches) && !n->closed)
		notifier_close(n);
}

void plait_i_notifier_release(struct file_notifier *n)
{
	if (n->closed && !n->busy)
		notifier_free(n);
}
