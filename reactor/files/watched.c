/* What all watches have in common: see watched.h. */
#include "lib/exception.h"
#include "reactor/files/watched.h"

enum {
	ALWAYS_TOLD = PLAIT_FILE_UNSEEN | PLAIT_FILE_OVERFLOW | PLAIT_FILE_GONE
};

static OUT_OF_LINE void watched_call(struct plait_file_watch *outside,
				     const struct plait_file_change *change)
{
	outside->fn(outside, change);
	exception_barrier();
}

bool plait_i_watched_tell(struct plait_file_watched *w,
			  const struct plait_file_change *change)
{
	if (!watched_has_ended(w) && (change->what & (w->what | ALWAYS_TOLD)))
		watched_call(w->outside, change);
	return !watched_has_ended(w);
}

void plait_i_watched_release(struct plait_file_watched *w)
{
	if (--w->held == 0 && w->outside == NULL)
		w->ops->free(w);
}

void plait_i_watched_lose(struct plait_file_watched *w)
{
	w->lost = true;
	if (!plait_list_is_linked(&w->looking))
		plait_list_append(&w->notifier->looking, &w->looking);
	plait_i_notifier_wake(w->notifier);
}

void plait_i_watched_end(struct plait_file_watched *w)
{
	struct file_notifier *n = w->notifier;

	if (w->outside == NULL)
		return;
	watched_hold(w);
	w->outside->reactor = NULL;
	w->outside->inside = NULL;
	w->outside = NULL;
	plait_list_remove(&w->link);
	plait_list_remove(&w->looking);
	plait_i_notifier_settle(n);
	w->ops->end(w);
	plait_i_watched_release(w);
	plait_i_notifier_release(n);
}

/* It has ended before this is told, so the program may start it again. */
void plait_i_watched_gone(struct plait_file_watched *w)
{
	struct plait_file_watch *outside = w->outside;
	struct plait_file_change change = { .what = PLAIT_FILE_GONE,
					    .path = w->path };

	if (watched_has_ended(w))
		return;
	watched_hold(w);
	plait_i_watched_end(w);
	watched_call(outside, &change);
	plait_i_watched_release(w);
}

void plait_i_watched_look(struct file_notifier *n, struct plait_list *list)
{
	struct plait_list todo, *l;

	plait_list_init(&todo);
	plait_list_move(&todo, list);
	while ((l = plait_list_first(&todo)) != NULL) {
		struct plait_file_watched *w =
			plait_container(l, struct plait_file_watched, looking);

		plait_list_remove(l);
		watched_hold(w);
		if (!watched_has_ended(w))
			w->ops->look(w);
		plait_i_watched_release(w);
	}
}
