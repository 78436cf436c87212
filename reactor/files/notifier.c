/*
 * The inotify descriptor of a reactor: see notifier.h.
 *
 * A turn reads what there is room for, and handles a share of it; notifier_go()
 * is the loop over events.  An event of a mark that nobody uses any more is
 * dropped: the kernel gives a number to another inode only after all other
 * numbers, so it can have no other meaning.
 *
 * Nothing of it runs in a forked child, in which a callback may have returned:
 * what the child read would be missing in the parent.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/files/watched.h"

enum {
	NOTIFIER_SHARE = 256, /* events in one turn */
	NAMES = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO
};

/* How long the first half of a rename waits for the second; and how long it
   takes to try again what there was no memory for. */
static const double patience = 0.01, no_memory = 1;

/* ---- events, as they were read ------------------------------------------- */

static struct inotify_event *notifier_event(struct file_notifier *n, size_t at)
{
	return (struct inotify_event *)(void *)(n->events + at);
}

static size_t notifier_after(struct file_notifier *n, size_t at)
{
	return at + sizeof(struct inotify_event) + notifier_event(n, at)->len;
}

static struct file_event notifier_describe(struct file_notifier *n, size_t at)
{
	const struct inotify_event *e = notifier_event(n, at);

	return (struct file_event){ .mask = e->mask,
				    .name = e->len > 0 ? e->name : "",
				    .at = n->read - (n->end - at) };
}

/* Moves what is left to the beginning of the buffer, and reads on behind it.
   Returns false if nothing was read. */
static bool notifier_read(struct file_notifier *n)
{
	size_t least = sizeof(struct inotify_event) + NOTIFIER_NAME;
	ssize_t got;

	memmove(n->events, n->events + n->begin, n->end - n->begin);
	n->end -= n->begin;
	n->begin = 0;
	if (n->fd < 0 || sizeof(n->events) - n->end < least)
		return false;
	got = notifier_calls(n)->read(loop_kernel(n->reactor), n->fd,
				      n->events + n->end,
				      sizeof(n->events) - n->end);
	if (got <= 0)
		return false;
	n->end += (size_t)got;
	n->read += (size_t)got;
	return true;
}

/* ---- telling the users of a mark ----------------------------------------- */

typedef void mark_tell_func(struct file_user *u, const void *what);

/* Each user that the mark has now, and that it still has when its turn comes.
   They are in a list of their own until then. */
static void mark_tell(struct file_notifier *n, struct file_mark *m,
		      mark_tell_func *tell, const void *what)
{
	struct plait_list todo, *l;

	plait_list_init(&todo);
	plait_list_move(&todo, &m->users);
	m->held++;
	while ((l = plait_list_first(&todo)) != NULL &&
	       !loop_is_forked(n->reactor)) {
		struct file_user *u =
			plait_container(l, struct file_user, link);
		struct plait_file_watched *w = u->of;

		plait_list_remove(l);
		plait_list_append(&m->users, l);
		watched_hold(w);
		tell(u, what);
		plait_i_watched_release(w);
	}
	plait_list_move(&m->users, &todo);
	m->held--;
	plait_i_mark_release(n, m);
}

static void mark_tell_named(struct file_user *u, const void *what)
{
	u->ops->named(u, what);
}

static void mark_tell_self(struct file_user *u, const void *what)
{
	u->ops->self(u, what);
}

/* The kernel has removed the mark. */
static void mark_tell_ignored(struct file_user *u, const void *what)
{
	u->mark = NULL;
	plait_list_remove(&u->link);
	u->ops->self(u, what);
}

static void notifier_tell(struct file_notifier *n, struct file_mark *m,
			  const struct file_event *e)
{
	mark_tell_func *tell = mark_tell_named;

	if (*e->name == '\0')
		tell = mark_tell_self;
	if (e->mask & IN_IGNORED)
		tell = mark_tell_ignored;
	mark_tell(n, m, tell, e);
}

/* ---- renames ------------------------------------------------------------- */

struct mark_move {
	struct file_move move;
	struct file_mark *to;
};

static void mark_tell_from(struct file_user *u, const void *what)
{
	const struct mark_move *mm = what;
	struct file_user *to = plait_i_mark_user(mm->to, u->of);

	if (to == NULL) {
		u->ops->named(u, &mm->move.from);
		return;
	}
	u->of->moved = mm->move.to.at;
	u->ops->moved(u, to, &mm->move);
}

/* Whoever was told of both halves was told of this one. */
static void mark_tell_to(struct file_user *u, const void *what)
{
	const struct mark_move *mm = what;

	if (u->of->moved != mm->move.to.at)
		u->ops->named(u, &mm->move.to);
}

/* Was the last rename to that name? */
static bool notifier_was_to(const struct file_notifier *n, int number,
			    const char *name)
{
	return n->last.to == number && strcmp(n->last.to_name, name) == 0;
}

static bool notifier_was_from(const struct file_notifier *n, int number,
			      const char *name)
{
	return n->last.from == number && strcmp(n->last.from_name, name) == 0;
}

static void notifier_forget_move(struct file_notifier *n)
{
	n->last.from = n->last.to = 0;
}

/* from is 0 if nobody watches it. */
static void notifier_note_move(struct file_notifier *n, int from,
			       const char *from_name, int to,
			       const struct file_event *e)
{
	struct file_last_move *last = &n->last;
	size_t from_size = strlen(from_name) + 1, to_size = strlen(e->name) + 1;

	notifier_forget_move(n);
	if (from_size > NOTIFIER_NAME || to_size > NOTIFIER_NAME)
		return;
	last->from = from;
	last->to = to;
	last->is_directory = (e->mask & IN_ISDIR) != 0;
	memcpy(last->from_name, from_name, from_size);
	memcpy(last->to_name, e->name, to_size);
}

/* Notes what the event says about the last rename. */
static void notifier_note_name(struct file_notifier *n, int number,
			       struct file_event *e)
{
	if ((e->mask & IN_MOVED_FROM) && notifier_was_to(n, number, e->name)) {
		e->is_back = true;
		e->other_is_directory = n->last.is_directory;
	}
	if (e->mask & IN_MOVED_TO)
		notifier_note_move(n, 0, "", number, e);
	else if ((e->mask & NAMES) &&
		 (number == n->last.from || number == n->last.to))
		notifier_forget_move(n);
}

/* The event at n->begin has its second half at second. */
static void notifier_move(struct file_notifier *n, struct file_mark *from,
			  size_t second)
{
	struct inotify_event *e = notifier_event(n, second);
	struct mark_move mm = {
		.move = { .from = notifier_describe(n, n->begin),
			  .to = notifier_describe(n, second),
			  .is_directory = (e->mask & IN_ISDIR) != 0 },
		.to = plait_i_mark_find(n, e->wd),
	};
	struct file_move *m = &mm.move;

	e->mask = 0; /* it is told here */
	m->is_back = notifier_was_to(n, from->number, m->from.name) &&
		     notifier_was_from(n, e->wd, m->to.name);
	notifier_note_name(n, from->number, &m->from);
	if (mm.to == NULL) {
		notifier_tell(n, from, &m->from);
		return;
	}
	notifier_note_move(n, from->number, m->from.name, e->wd, &m->to);
	mm.to->held++;
	mark_tell(n, from, mark_tell_from, &mm);
	mm.to->held--;
	mark_tell(n, mm.to, mark_tell_to, &mm);
}

/* Returns where the second half of the rename at n->begin is; 0: nowhere. */
static size_t notifier_find_second(struct file_notifier *n)
{
	uint32_t cookie = notifier_event(n, n->begin)->cookie;

	for (size_t at = notifier_after(n, n->begin); at < n->end;
	     at = notifier_after(n, at)) {
		const struct inotify_event *e = notifier_event(n, at);

		if ((e->mask & IN_MOVED_TO) && e->cookie == cookie)
			return at;
	}
	return 0;
}

static void notifier_lose_patience(void *arg)
{
	struct file_notifier *n = arg;

	n->settled = n->settling;
	plait_i_notifier_wake(n);
}

/* True if the first half at n->begin has to wait for the second. */
static bool notifier_has_to_wait(struct file_notifier *n)
{
	if (notifier_at(n) < n->settled)
		return false;
	/* What does not fit into the buffer is not waited for. */
	if (n->end - n->begin > sizeof(n->events) / 2)
		return false;
	if (!plait_timer_is_running(&n->patience)) {
		n->settling = n->read;
		plait_timer_start(n->reactor, &n->patience, patience,
				  notifier_lose_patience, n);
	}
	return true;
}

/* ---- the loop ------------------------------------------------------------ */

static void notifier_overflow(struct file_notifier *n)
{
	struct plait_list *l;

	notifier_forget_move(n);
	plait_list_for_each (l, &n->watches)
		plait_i_watched_lose(
			plait_container(l, struct plait_file_watched, link));
}

static void notifier_handle_single(struct file_notifier *n, struct file_mark *m)
{
	struct file_event e = notifier_describe(n, n->begin);

	notifier_note_name(n, m->number, &e);
	notifier_tell(n, m, &e);
}

/* Handles the event at n->begin.  False: it has to wait. */
static bool notifier_handle(struct file_notifier *n)
{
	const struct inotify_event *e = notifier_event(n, n->begin);
	struct file_mark *m = plait_i_mark_find(n, e->wd);
	size_t second;

	if (e->mask & IN_Q_OVERFLOW) {
		notifier_overflow(n);
		return true;
	}
	if (m == NULL || e->mask == 0)
		return true;
	if (!(e->mask & IN_MOVED_FROM)) {
		notifier_handle_single(n, m);
		return true;
	}
	second = notifier_find_second(n);
	if (second == 0 && notifier_read(n))
		second = notifier_find_second(n);
	if (second == 0 && notifier_has_to_wait(n))
		return false;
	if (second == 0)
		notifier_handle_single(n, m);
	else
		notifier_move(n, m, second);
	return true;
}

/* What is told from here on is newer than these. */
static void notifier_end_youths(struct file_notifier *n)
{
	struct plait_list *l;

	while ((l = plait_list_first(&n->young)) != NULL) {
		struct file_youth *y =
			plait_container(l, struct file_youth, link);

		if (y->until > notifier_at(n))
			return;
		plait_list_remove(l);
		y->end(y);
	}
}

static void notifier_handle_some(struct file_notifier *n)
{
	n->waits = false;
	for (int i = 0; i < NOTIFIER_SHARE && n->begin < n->end && !n->closed &&
			!loop_is_forked(n->reactor);
	     i++) {
		if (!notifier_handle(n)) {
			n->waits = true;
			return;
		}
		n->begin = notifier_after(n, n->begin);
		plait_i_watched_look(n, &n->looking);
		notifier_end_youths(n);
	}
}

static void notifier_try_again(void *arg)
{
	plait_i_notifier_wake(arg);
}

/* Whoever is still in a list had no memory. */
static void notifier_end_turn(struct file_notifier *n)
{
	if (n->begin < n->end && !n->waits)
		plait_i_notifier_wake(n);
	if (plait_list_is_empty(&n->looking))
		return;
	loop_task_cancel(&n->going_on);
	if (!plait_timer_is_running(&n->again))
		plait_timer_start(n->reactor, &n->again, no_memory,
				  notifier_try_again, n);
}

static void notifier_go(struct file_notifier *n)
{
	/* While the reactor is freed nothing is told any more. */
	if (plait_i_loop_is_ending(n->reactor))
		return;
	n->busy = true;
	plait_i_watched_look(n, &n->looking);
	if (n->begin == n->end)
		notifier_read(n);
	notifier_handle_some(n);
	plait_i_watched_look(n, &n->unsure);
	notifier_end_youths(n);
	n->busy = false;
	if (!n->closed && !loop_is_forked(n->reactor))
		notifier_end_turn(n);
	plait_i_notifier_release(n);
}

static void notifier_run_going_on(struct loop_task *task)
{
	notifier_go(plait_container(task, struct file_notifier, going_on));
}

/* ---- its life ------------------------------------------------------------ */

static void notifier_end_watches(struct file_notifier *n,
				 void (*end)(struct plait_file_watched *w))
{
	while (!plait_list_is_empty(&n->watches) &&
	       !(end == plait_i_watched_gone && loop_is_forked(n->reactor)))
		end(plait_container(n->watches.next, struct plait_file_watched,
				    link));
}

static void notifier_ready(struct plait_watch *w, unsigned events)
{
	struct file_notifier *n =
		plait_container(w, struct file_notifier, watch);

	if (events & PLAIT_WATCH_READ) {
		notifier_go(n);
		return;
	}
	/* Somebody has closed the descriptor. */
	n->fd = -1;
	n->busy = true;
	notifier_end_watches(n, plait_i_watched_gone);
	n->busy = false;
	plait_i_notifier_release(n);
}

/* The reactor is freed: the watches just end. */
static void notifier_run_keep(struct loop_task *task)
{
	struct file_notifier *n =
		plait_container(task, struct file_notifier, keep);

	n->busy = true;
	notifier_end_watches(n, plait_i_watched_end);
	n->busy = false;
	plait_i_notifier_release(n);
}

static struct file_notifier *notifier_new(struct plait_reactor *r)
{
	struct file_notifier *n = malloc(sizeof(*n));

	if (n == NULL)
		return NULL;
	/* Not the buffers, which are large. */
	memset(n, 0, offsetof(struct file_notifier, path));
	n->reactor = r;
	n->going_on.run = notifier_run_going_on;
	n->keep.run = notifier_run_keep;
	plait_list_init(&n->watches);
	plait_list_init(&n->looking);
	plait_list_init(&n->unsure);
	plait_list_init(&n->young);
	return n;
}

static int notifier_open(struct file_notifier *n)
{
	struct kernel *k = loop_kernel(n->reactor);
	int rc;

	n->fd = notifier_calls(n)->open(k);
	if (n->fd < 0)
		return -errno;
	rc = plait_i_watch_start(n->reactor, &n->watch, n->fd, PLAIT_WATCH_READ,
				 notifier_ready);
	if (rc < 0)
		kernel_close(k, n->fd);
	return rc;
}

int plait_i_notifier_get(struct plait_reactor *r, struct file_notifier **ret)
{
	struct file_notifier **slot = plait_i_loop_files(r), *n = *slot;
	int rc;

	if (n == NULL) {
		n = notifier_new(r);
		if (n == NULL)
			return -ENOMEM;
		rc = notifier_open(n);
		if (rc < 0) {
			free(n);
			return rc;
		}
		plait_i_loop_keep(r, &n->keep);
		*slot = n;
	}
	*ret = n;
	return 0;
}
