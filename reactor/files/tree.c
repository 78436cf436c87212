/*
 * A watch on a directory, or on all that is below it: what events mean.
 *
 * The names that are told make a picture of the tree, and after all events it
 * has to be the tree.  Events of names come in the order in which it was, and
 * are told in that order.  What was found by looking into a directory is newer
 * than events that are still to come, so three things are compared with it:
 *
 * - In a young directory an event of a name is told if it changes what was told
 *   (entry_is_young()): all that was told of it is there as entries.
 * - A directory that was looked into after the event of its name may be another
 *   one than the event is about.  So the event is dropped if the directory is
 *   still the one that was found, and else it is looked for again
 *   (tree_look_again()).
 * - A directory that was not found where it should be is stuck, and is looked
 *   for again after each event of another one.
 *
 * If something does not fit together nevertheless, or there is no memory, it is
 * as if the kernel had lost events: the whole tree is looked at anew, and the
 * program is told so.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/files/look.h"
#include "reactor/files/tree.h"

enum { DEFAULT_MAX_DIRECTORIES = 8192 };

static struct file_tree *tree_of(struct plait_file_watched *w)
{
	return plait_container(w, struct file_tree, base);
}

static struct file_entry *tree_entry(struct file_user *u)
{
	return plait_container(u, struct file_entry, user);
}

static uint64_t tree_at(const struct file_tree *t)
{
	return notifier_at(t->base.notifier);
}

/* ---- telling ------------------------------------------------------------- */

/* Tells of that name in d.  False: the watch has ended by then. */
static bool tree_tell(const struct file_entry *d, const char *name,
		      struct plait_file_change *change)
{
	struct file_tree *t = d->tree;

	change->path = plait_i_entry_path(d, name, t->base.notifier->path);
	return change->path == NULL || plait_i_watched_tell(&t->base, change);
}

static bool tree_tell_what(const struct file_entry *d, const char *name,
			   unsigned what, bool is_directory)
{
	return tree_tell(d, name,
			 &(struct plait_file_change){
				 .what = what, .is_directory = is_directory });
}

static bool tree_tell_created(const struct file_entry *d, const char *name,
			      bool is_directory, bool existed)
{
	return tree_tell(
		d, name,
		&(struct plait_file_change){ .what = PLAIT_FILE_CREATED,
					     .is_directory = is_directory,
					     .existed = existed });
}

static bool tree_tell_found(struct file_entry *e)
{
	bool is_new = e->is_new;
	int error = e->error;

	e->is_new = false;
	e->error = 0;
	if (is_new &&
	    !tree_tell_created(e->parent, e->name, e->is_directory, true))
		return false;
	return error == 0 || e->parent == NULL ||
	       tree_tell(e->parent, e->name,
			 &(struct plait_file_change){ .what = PLAIT_FILE_UNSEEN,
						      .is_directory = true,
						      .error = error });
}

/* Tells all that is new in the subtree of e. */
static bool tree_tell_new(struct file_entry *e)
{
	struct file_entry *at = e;

	do {
		if (!tree_tell_found(at))
			return false;
		at = plait_i_entry_next(at, e);
	} while (at != NULL);
	return true;
}

/* ---- looking ------------------------------------------------------------- */

/* False: nothing can be told now, because the whole tree has to be looked at.
 */
static bool tree_goes_on(struct file_tree *t, int rc)
{
	if (rc == -ENOMEM)
		plait_i_watched_lose(&t->base);
	return rc != -ENOMEM;
}

/* An entry that says nothing any more. */
static void tree_tidy(struct file_entry *e)
{
	if (e->user.mark == NULL && !plait_list_is_linked(&e->looker) &&
	    !entry_is_young(e->parent, tree_at(e->tree)))
		plait_i_entry_drop(e);
}

/* A directory has moved, so those that were stuck may be found. */
static void tree_look_for_stuck(struct file_tree *t)
{
	if (plait_list_is_empty(&t->stuck) || watched_has_ended(&t->base))
		return;
	if (tree_goes_on(t, plait_i_look_again(t)))
		tree_tell_new(&t->root);
}

/* There is a directory of that name in d, which has no entry for it. */
static void tree_add_directory(struct file_entry *d, const char *name,
			       bool existed)
{
	struct file_tree *t = d->tree;
	struct file_entry *e = plait_i_entry_new(d, name, true);

	if (e == NULL) {
		tree_goes_on(t, -ENOMEM);
		return;
	}
	plait_i_look_want(e);
	if (!tree_goes_on(t, plait_i_look_into(t)))
		return;
	if (tree_tell_created(d, name, true, existed) && tree_tell_new(e))
		tree_tidy(e);
}

/* The directory e has left its name to another one, or to none. */
static void tree_replace(struct file_entry *e, bool by_another)
{
	struct file_entry *d = e->parent;
	char *name = e->name;

	e->name = NULL;
	plait_i_entry_drop(e);
	if (tree_tell_what(d, name, PLAIT_FILE_REMOVED, true) && by_another)
		tree_add_directory(d, name, true);
	free(name);
}

/* e was looked into after an event of its name.  Drops the event, unless it is
   another one now. */
static void tree_look_again(struct file_entry *e)
{
	struct file_tree *t = e->tree;
	struct look l;
	enum look_result found;

	if (!e->is_directory)
		return;
	found = plait_i_look_at(e, &l);
	/* Nobody knows what has become of it, and no event will say so. */
	if (found == LOOK_STALE) {
		plait_i_watched_lose(&t->base);
		return;
	}
	if (found == LOOK_FOUND) {
		plait_i_look_close(t, &l);
		if (plait_i_notifier_user(t->base.notifier, &t->base,
					  l.number) == &e->user) {
			e->seen = l.at;
			return;
		}
		plait_i_notifier_unused(t->base.notifier, l.number);
	}
	tree_replace(e, found != LOOK_ABSENT);
}

/* ---- events of names ----------------------------------------------------- */

static void tree_add_file(struct file_entry *d, const char *name, uint64_t at,
			  bool is_directory, bool existed)
{
	if (entry_is_young(d, at) &&
	    plait_i_entry_new(d, name, is_directory) == NULL)
		tree_goes_on(d->tree, -ENOMEM);
	else
		tree_tell_created(d, name, is_directory, existed);
}

/* d has that name now. */
static void tree_appeared(struct file_entry *d, const char *name, uint64_t at,
			  bool is_directory, bool existed)
{
	struct file_entry *e = plait_i_entry_find(d, name);

	if (entry_is_newer(e, at)) {
		tree_look_again(e);
		return;
	}
	if (e != NULL && e->is_directory == is_directory &&
	    entry_is_young(d, at))
		return;
	plait_i_entry_drop(e);
	if (is_directory && d->tree->is_deep)
		tree_add_directory(d, name, existed);
	else
		tree_add_file(d, name, at, is_directory, existed);
}

static void tree_vanished(struct file_entry *d, const char *name, uint64_t at,
			  bool is_directory)
{
	struct file_entry *e = plait_i_entry_find(d, name);

	if (entry_is_newer(e, at)) {
		tree_look_again(e);
		return;
	}
	if (e == NULL && entry_is_young(d, at))
		return;
	plait_i_entry_drop(e);
	tree_tell_what(d, name, PLAIT_FILE_REMOVED, is_directory);
}

static void tree_changed(struct file_entry *d, const struct file_event *e,
			 unsigned what)
{
	if (!entry_is_young(d, e->at) || plait_i_entry_find(d, e->name) != NULL)
		tree_tell_what(d, e->name, what, (e->mask & IN_ISDIR) != 0);
}

/* True if the event after one that was told can be told as well. */
static bool tree_still_tells(const struct file_tree *t)
{
	return !watched_has_ended(&t->base) && !t->base.lost;
}

/* That file of d was seen at that position: what is older is not told. */
static void tree_note_seen(struct file_entry *d, const char *name, uint64_t at)
{
	struct file_entry *e;

	if (at == UINT64_MAX || entry_is_young(d, at))
		return;
	e = plait_i_entry_new(d, name, false);
	if (e != NULL)
		plait_i_entry_keep_until(e, at);
}

/* It is not known where d is.  Of a young one this cannot be noted, as all that
   is there was told. */
static void tree_look_for_other_later(struct file_entry *d,
				      const struct file_event *event)
{
	struct file_entry *e = NULL;

	if (!entry_is_young(d, event->at) &&
	    plait_i_entry_find(d, event->name) == NULL)
		e = plait_i_entry_new(d, event->name, false);
	if (e != NULL)
		plait_i_look_for_later(e);
	else
		plait_i_watched_lose(&d->tree->base);
}

/* The name that a file has left may be that of another one, with which it has
   changed places. */
static void tree_look_for_other(struct file_entry *d,
				const struct file_event *e)
{
	struct file_tree *t = d->tree;
	enum look_result other;
	bool is_directory;
	uint64_t at;

	if (!e->is_back || !tree_still_tells(t))
		return;
	at = plait_i_notifier_now(t->base.notifier);
	other = plait_i_look_for(d, e->name, &is_directory);
	if (other == LOOK_STALE)
		tree_look_for_other_later(d, e);
	if (other != LOOK_FOUND)
		return;
	tree_appeared(d, e->name, e->at, is_directory, true);
	if (tree_still_tells(t) && plait_i_entry_find(d, e->name) == NULL)
		tree_note_seen(d, e->name, at);
}

static void tree_left(struct file_entry *d, const struct file_event *e)
{
	tree_vanished(d, e->name, e->at, (e->mask & IN_ISDIR) != 0);
	tree_look_for_other(d, e);
}

static void tree_named(struct file_user *u, const struct file_event *e)
{
	struct file_entry *d = tree_entry(u);
	struct file_tree *t = d->tree;
	bool is_directory = (e->mask & IN_ISDIR) != 0;

	if (e->mask & (IN_CREATE | IN_MOVED_TO))
		tree_appeared(d, e->name, e->at, is_directory,
			      (e->mask & IN_MOVED_TO) != 0);
	else if (e->mask & (IN_DELETE | IN_MOVED_FROM))
		tree_left(d, e);
	else if (e->mask & IN_MODIFY)
		tree_changed(d, e, PLAIT_FILE_CHANGED);
	else if (e->mask & IN_CLOSE_WRITE)
		tree_changed(d, e, PLAIT_FILE_WRITTEN);
	else if (e->mask & IN_ATTRIB)
		tree_changed(d, e, PLAIT_FILE_ATTRIBUTES);
	if (is_directory)
		tree_look_for_stuck(t);
}

/* ---- renames ------------------------------------------------------------- */

static bool tree_tell_renamed(const struct file_entry *from,
			      const struct file_entry *to,
			      const struct file_move *m)
{
	struct file_notifier *n = from->tree->base.notifier;
	struct plait_file_change change = {
		.what = PLAIT_FILE_RENAMED,
		.is_directory = m->is_directory,
		.from = plait_i_entry_path(from, m->from.name, n->from),
	};

	return change.from == NULL || tree_tell(to, m->to.name, &change);
}

/* Two events instead of one: the two halves are about different files, or the
   program does not want to know of renames. */
static void tree_moved_apart(struct file_entry *from, struct file_entry *to,
			     const struct file_move *m)
{
	struct file_tree *t = from->tree;

	tree_vanished(from, m->from.name, m->from.at, m->is_directory);
	if (tree_still_tells(t))
		tree_appeared(to, m->to.name, m->to.at, m->is_directory, true);
}

/* e has left from, and is a name in to; it may be NULL.  -ENOMEM. */
static int tree_move_entry(struct file_entry *e, struct file_entry *to,
			   const struct file_move *m)
{
	if (e != NULL && !e->is_unsure &&
	    (e->user.mark != NULL || plait_list_is_linked(&e->looker) ||
	     entry_is_young(to, m->to.at)))
		return plait_i_entry_move(e, to, m->to.name);
	plait_i_entry_drop(e);
	if (entry_is_young(to, m->to.at) &&
	    plait_i_entry_new(to, m->to.name, m->is_directory) == NULL)
		return -ENOMEM;
	return 0;
}

/* A directory has moved of which nothing is known: it was not found before. */
static void tree_look_into_moved(struct file_entry *to, const char *name)
{
	struct file_tree *t = to->tree;
	struct file_entry *e = plait_i_entry_find(to, name);

	if (e != NULL && e->user.mark != NULL)
		return;
	if (e == NULL)
		e = plait_i_entry_new(to, name, true);
	if (e != NULL)
		plait_i_look_want(e);
	if (tree_goes_on(t, e != NULL ? plait_i_look_into(t) : -ENOMEM) &&
	    tree_tell_new(e))
		tree_tidy(e);
}

static void tree_move(struct file_entry *from, struct file_entry *to,
		      const struct file_move *m)
{
	struct file_tree *t = from->tree;
	struct file_entry *e = plait_i_entry_find(from, m->from.name);

	plait_i_entry_drop(plait_i_entry_find(to, m->to.name));
	if (!tree_goes_on(t, tree_move_entry(e, to, m)) ||
	    !tree_tell_renamed(from, to, m))
		return;
	if (m->is_directory && t->is_deep)
		tree_look_into_moved(to, m->to.name);
}

/*
 * The rename before this was the other way.  Either a file has moved to and
 * fro; or two files have changed places, and the one that was thought to be
 * replaced is there.  So nothing is said about which file it is.
 */
static void tree_moved_back(struct file_entry *from, struct file_entry *to,
			    const struct file_move *m)
{
	struct file_tree *t = from->tree;

	tree_vanished(from, m->from.name, m->from.at,
		      m->from.other_is_directory);
	if (tree_still_tells(t))
		tree_appeared(to, m->to.name, m->to.at, m->is_directory, true);
	tree_look_for_other(from, &m->from);
}

/* Moves that the names forbid: what the tree knows is wrong. */
static bool tree_is_impossible(const struct file_entry *from,
			       const struct file_entry *to,
			       const struct file_move *m)
{
	const struct file_entry *e = plait_i_entry_find(from, m->from.name),
				*target = plait_i_entry_find(to, m->to.name);

	return (e != NULL && plait_i_entry_is_inside(to, e)) ||
	       (target != NULL && plait_i_entry_is_inside(from, target)) ||
	       (e != NULL && e == target);
}

static void tree_moved(struct file_user *u, struct file_user *v,
		       const struct file_move *m)
{
	struct file_entry *from = tree_entry(u), *to = tree_entry(v);
	struct file_tree *t = from->tree;
	struct file_entry *e = plait_i_entry_find(from, m->from.name),
			  *target = plait_i_entry_find(to, m->to.name);

	if (tree_is_impossible(from, to, m))
		plait_i_watched_lose(&t->base);
	else if (m->is_back)
		tree_moved_back(from, to, m);
	else if (!(t->base.what & PLAIT_FILE_RENAMED) ||
		 entry_is_newer(e, m->from.at) ||
		 (e == NULL && entry_is_young(from, m->from.at)) ||
		 (e != NULL && e->is_directory != m->is_directory) ||
		 entry_is_newer(target, m->to.at))
		tree_moved_apart(from, to, m);
	else
		tree_move(from, to, m);
	tree_look_for_stuck(t);
}

/* ---- events of a directory itself ---------------------------------------- */

static void tree_root_self(struct file_tree *t, const struct file_event *e)
{
	if (e->mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT))
		plait_i_watched_gone(&t->base);
	else if (e->mask & IN_ATTRIB)
		tree_tell_what(&t->root, "", PLAIT_FILE_ATTRIBUTES, true);
}

/* What happens to others is told where their names are.  But a file system that
   is unmounted takes a directory away, and another one is there. */
static void tree_self(struct file_user *u, const struct file_event *e)
{
	struct file_entry *d = tree_entry(u);
	struct file_tree *t = d->tree;

	if (e->mask & IN_IGNORED)
		t->n_directories--;
	if (d->parent == NULL)
		tree_root_self(t, e);
	else if (e->mask & IN_UNMOUNT)
		tree_look_again(d);
}

static const struct file_user_ops tree_user_ops = {
	.named = tree_named,
	.self = tree_self,
	.moved = tree_moved,
};

/* ---- the watch ----------------------------------------------------------- */

/* Looks at all, because changes were lost, and tells that.  Returns true if the
   watch goes on: then what is new has to be told. */
static bool tree_look_at_all(struct file_tree *t)
{
	int rc;

	t->tells_found = t->base.existing;
	rc = plait_i_look_at_all(t);
	t->tells_found = true;
	if (rc == 0)
		t->base.lost = false;
	else if (rc == -ENOENT || rc == -ENOTDIR)
		plait_i_watched_gone(&t->base);
	else
		plait_i_watched_lose(&t->base);
	return rc == 0 &&
	       tree_tell_what(&t->root, "", PLAIT_FILE_OVERFLOW, true);
}

static void tree_look(struct plait_file_watched *w)
{
	struct file_tree *t = tree_of(w);

	if (!w->lost || tree_look_at_all(t))
		tree_tell_new(&t->root);
}

static void tree_end(struct plait_file_watched *w)
{
	struct file_tree *t = tree_of(w);

	plait_i_entry_drop(&t->root);
}

static void tree_free(struct plait_file_watched *w)
{
	free(tree_of(w));
}

static const struct watched_ops tree_ops = {
	.look = tree_look,
	.end = tree_end,
	.free = tree_free,
};

static struct file_tree *tree_make(struct file_notifier *n, const char *path,
				   const struct plait_file_watch_options *o)
{
	size_t size = strlen(path) + 1;
	struct file_tree *t = calloc(1, sizeof(*t) + size);

	if (t == NULL)
		return NULL;
	t->base.ops = &tree_ops;
	t->base.path = memcpy(t->path, path, size);
	t->base.notifier = n;
	t->base.what = o->what;
	t->base.existing = o->existing;
	t->user_ops = &tree_user_ops;
	t->is_deep = o->tree;
	t->max_directories = o->max_directories > 0 ? o->max_directories
						    : DEFAULT_MAX_DIRECTORIES;
	plait_list_init(&t->lookers);
	plait_list_init(&t->stuck);
	plait_i_entry_init_root(t);
	return t;
}

/* Looks into all directories for the first time. */
static int tree_begin(struct file_tree *t)
{
	int rc;

	plait_i_look_want(&t->root);
	t->tells_found = t->base.existing;
	rc = plait_i_look_into(t);
	t->tells_found = true;
	return rc;
}

int plait_i_tree_new(struct file_notifier *n, const char *path,
		     const struct plait_file_watch_options *options,
		     struct plait_file_watched **ret)
{
	struct file_tree *t = tree_make(n, path, options);
	int rc = t != NULL ? tree_begin(t) : -ENOMEM;

	if (rc == 0) {
		*ret = &t->base;
	} else if (t != NULL) {
		plait_i_entry_drop(&t->root);
		free(t);
	}
	return rc;
}
