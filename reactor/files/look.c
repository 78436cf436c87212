/* Looking at the directories of a tree: see look.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/files/look.h"

static struct kernel *look_kernel(const struct file_tree *t)
{
	return loop_kernel(t->base.notifier->reactor);
}

static const struct kernel_notify *look_calls(const struct file_tree *t)
{
	return notifier_calls(t->base.notifier);
}

static bool look_is_absent(int err)
{
	return err == ENOENT || err == ENOTDIR || err == ELOOP;
}

/* ---- opening ------------------------------------------------------------- */

/* Opens the directory d, if it still is where the tree has it. */
static enum look_result look_open_known(const struct file_entry *d,
					struct kernel_directory *ret,
					int *error)
{
	struct file_tree *t = d->tree;
	const char *path = plait_i_entry_path(d, "", t->base.notifier->work);

	if (path == NULL) {
		*error = -ENAMETOOLONG;
		return LOOK_FAILED;
	}
	if (look_calls(t)->open_directory(look_kernel(t), AT_FDCWD, path, ret) <
	    0) {
		*error = -errno;
		return look_is_absent(errno) ? LOOK_STALE : LOOK_FAILED;
	}
	/* The root is known only when it was opened for the first time. */
	if ((d->user.mark == NULL && d->parent == NULL) ||
	    (ret->device == d->device && ret->inode == d->inode))
		return LOOK_FOUND;
	kernel_close(look_kernel(t), ret->fd);
	return LOOK_STALE;
}

static enum look_result look_open(const struct file_entry *e,
				  struct kernel_directory *ret, int *error)
{
	struct kernel *k = look_kernel(e->tree);
	struct kernel_directory parent;
	enum look_result found;
	int rc;

	if (e->parent == NULL)
		return look_open_known(e, ret, error);
	found = look_open_known(e->parent, &parent, error);
	if (found != LOOK_FOUND)
		return found;
	rc = look_calls(e->tree)->open_directory(k, parent.fd, e->name, ret);
	*error = -errno;
	kernel_close(k, parent.fd);
	if (rc < 0)
		return look_is_absent(-*error) ? LOOK_ABSENT : LOOK_FAILED;
	return LOOK_FOUND;
}

enum look_result plait_i_look_for(const struct file_entry *d, const char *name,
				  bool *is_directory)
{
	struct kernel *k = look_kernel(d->tree);
	struct kernel_directory place;
	enum kernel_kind kind;
	int error;

	if (look_open_known(d, &place, &error) != LOOK_FOUND)
		return LOOK_STALE;
	kind = look_calls(d->tree)->kind(k, place.fd, name);
	kernel_close(k, place.fd);
	*is_directory = kind == KIND_DIRECTORY;
	return kind != KIND_NONE ? LOOK_FOUND : LOOK_ABSENT;
}

void plait_i_look_close(const struct file_tree *t, struct look *l)
{
	kernel_close(look_kernel(t), l->directory.fd);
}

/* What the kernel has to tell of a directory, for what the program wants to
   know; and all names, if they are compared with what was found. */
static uint32_t look_events(const struct file_entry *e)
{
	const struct file_tree *t = e->tree;
	unsigned what = t->base.what;
	bool needs_names = t->is_deep || t->base.existing;
	uint32_t events = 0;

	if ((what & PLAIT_FILE_CREATED) || needs_names)
		events |= IN_CREATE | IN_MOVED_TO;
	if ((what & PLAIT_FILE_REMOVED) || needs_names)
		events |= IN_DELETE | IN_MOVED_FROM;
	if (what & PLAIT_FILE_RENAMED)
		events |= IN_MOVED_FROM | IN_MOVED_TO;
	if (what & PLAIT_FILE_CHANGED)
		events |= IN_MODIFY;
	if (what & PLAIT_FILE_WRITTEN)
		events |= IN_CLOSE_WRITE;
	if (what & PLAIT_FILE_ATTRIBUTES)
		events |= IN_ATTRIB;
	if (e->parent == NULL)
		events |= IN_DELETE_SELF | IN_MOVE_SELF;
	return events;
}

enum look_result plait_i_look_at(const struct file_entry *e, struct look *ret)
{
	struct file_tree *t = e->tree;
	struct file_notifier *n = t->base.notifier;
	enum look_result found = look_open(e, &ret->directory, &ret->error);

	if (found != LOOK_FOUND)
		return found;
	ret->number = look_calls(t)->add_open(
		look_kernel(t), n->fd, ret->directory.fd, look_events(e));
	if (ret->number >= 0) {
		ret->at = plait_i_notifier_now(n);
		return LOOK_FOUND;
	}
	ret->error = -errno;
	plait_i_look_close(t, ret);
	return ret->error == -ENOENT ? LOOK_ABSENT : LOOK_FAILED;
}

/* ---- listing ------------------------------------------------------------- */

void plait_i_look_want(struct file_entry *e)
{
	plait_list_remove(&e->looker);
	plait_list_append(&e->tree->lookers, &e->looker);
}

/* Not all file systems say what a file is. */
static bool look_is_directory(const struct file_tree *t, int fd,
			      const struct kernel_name *name)
{
	struct kernel_directory d;

	if (name->type != DT_UNKNOWN)
		return name->type == DT_DIR;
	if (look_calls(t)->open_directory(look_kernel(t), fd, name->name, &d) <
	    0)
		return !look_is_absent(errno);
	kernel_close(look_kernel(t), d.fd);
	return true;
}

static int look_note_name(struct file_entry *d, int fd,
			  const struct kernel_name *name)
{
	struct file_tree *t = d->tree;
	bool is_directory;
	struct file_entry *e;

	if (strcmp(name->name, ".") == 0 || strcmp(name->name, "..") == 0 ||
	    plait_i_entry_find(d, name->name) != NULL)
		return 0;
	is_directory = look_is_directory(t, fd, name);
	if (!t->tells_found && !is_directory)
		return 0;
	e = plait_i_entry_new(d, name->name, is_directory);
	if (e == NULL)
		return -ENOMEM;
	e->is_new = t->tells_found;
	if (is_directory && t->is_deep)
		plait_i_look_want(e);
	return 0;
}

/* Notes what is in d, which is open as fd. */
static int look_list(struct file_entry *d, int fd)
{
	struct file_tree *t = d->tree;
	char *buf = t->base.notifier->listing;
	ssize_t len;
	int rc = 0;

	while ((len = look_calls(t)->list(look_kernel(t), fd, buf,
					  NOTIFIER_BUFFER)) > 0) {
		for (ssize_t at = 0; at < len && rc == 0;) {
			const struct kernel_name *name =
				(const void *)(buf + at);

			at += name->size;
			rc = look_note_name(d, fd, name);
		}
		if (rc < 0)
			return rc;
	}
	/* A directory that was removed meanwhile cannot be read. */
	rc = len < 0 && errno != ENOENT ? -errno : 0;
	if (t->tells_found)
		plait_i_entry_begin_youth(d);
	return rc;
}

/* ---- looking into -------------------------------------------------------- */

/* Takes the mark of a directory that has no place: see plait_i_look_at_all().
 */
static void look_take_over(struct file_entry *homeless)
{
	plait_i_notifier_leave(homeless->tree->base.notifier, &homeless->user);
}

static bool look_is_homeless(const struct file_entry *e)
{
	return e->parent == NULL && e != &e->tree->root;
}

/*
 * The directory e was found.  0, 1 if the tree has the same directory elsewhere
 * already, or -errno.  It will leave that place, as soon as the event is
 * handled that says so; or it has two places, as mount(2) can do.
 */
static int look_bind(struct file_entry *e, const struct look *l)
{
	struct file_tree *t = e->tree;
	struct file_notifier *n = t->base.notifier;
	struct file_user *u = plait_i_notifier_user(n, &t->base, l->number);
	struct file_entry *other =
		u != NULL ? plait_container(u, struct file_entry, user) : NULL;
	bool had = e->user.mark != NULL;

	if (other != NULL && other != e && !look_is_homeless(other))
		return 1;
	if (plait_i_notifier_use(n, &e->user, l->number) < 0)
		return -ENOMEM;
	if (other != NULL && other != e)
		look_take_over(other);
	t->n_directories += !had;
	e->error = 0;
	e->is_directory = true;
	e->device = l->directory.device;
	e->inode = l->directory.inode;
	e->seen = l->at;
	return 0;
}

static bool look_is_full(const struct file_entry *e)
{
	return e->user.mark == NULL &&
	       e->tree->n_directories >= e->tree->max_directories;
}

static int look_into_found(struct file_entry *e, struct look *l)
{
	struct file_tree *t = e->tree;
	int rc = look_is_full(e) ? -E2BIG : look_bind(e, l);

	if (rc != 0)
		plait_i_notifier_unused(t->base.notifier, l->number);
	if (rc > 0) {
		plait_list_append(&t->stuck, &e->looker);
		return 0;
	}
	if (rc == 0 && (t->is_deep || t->tells_found))
		rc = look_list(e, l->directory.fd);
	if (rc < 0 && rc != -ENOMEM)
		e->error = rc;
	return rc;
}

void plait_i_look_for_later(struct file_entry *e)
{
	e->is_unsure = true;
	plait_list_append(&e->tree->stuck, &e->looker);
}

static void look_for_again(struct file_entry *e)
{
	uint64_t at = plait_i_notifier_now(e->tree->base.notifier);

	switch (plait_i_look_for(e->parent, e->name, &e->is_directory)) {
	case LOOK_FOUND:
		e->is_unsure = false;
		e->is_new = true;
		if (e->is_directory && e->tree->is_deep)
			plait_i_look_want(e);
		else
			plait_i_entry_keep_until(e, at);
		break;
	case LOOK_ABSENT:
		plait_i_entry_drop(e);
		break;
	default:
		plait_i_look_for_later(e);
	}
}

static int look_into(struct file_entry *e)
{
	struct look l;
	int rc;

	if (e->is_unsure) {
		look_for_again(e);
		return 0;
	}
	switch (plait_i_look_at(e, &l)) {
	case LOOK_FOUND:
		rc = look_into_found(e, &l);
		plait_i_look_close(e->tree, &l);
		return rc;
	case LOOK_FAILED:
		if (l.error != -ENOMEM)
			e->error = l.error;
		return l.error;
	case LOOK_STALE:
		if (e->parent == NULL)
			return -ENOENT;
		plait_list_append(&e->tree->stuck, &e->looker);
		return 0;
	case LOOK_ABSENT:
		break;
	}
	return 0;
}

/* Is the same error to be expected everywhere? */
static bool look_is_general(int error)
{
	return error == -ENOSPC || error == -EMFILE || error == -ENFILE ||
	       error == -E2BIG || error == -ENOTSUP;
}

int plait_i_look_into(struct file_tree *t)
{
	struct plait_list *l;
	int rc = 0, error;
	bool is_root;

	while ((l = plait_list_first(&t->lookers)) != NULL) {
		struct file_entry *e =
			plait_container(l, struct file_entry, looker);

		plait_list_remove(l);
		is_root = e->parent == NULL;
		error = look_into(e);
		if (error == -ENOMEM || (error < 0 && is_root))
			return error;
		if (look_is_general(error) && rc == 0)
			rc = error;
	}
	return rc;
}

int plait_i_look_again(struct file_tree *t)
{
	plait_list_move(&t->lookers, &t->stuck);
	return plait_i_look_into(t);
}

/* ---- all anew ------------------------------------------------------------ */

/* Takes all entries out of their places.  Those that have marks are left in the
   list. */
static void look_make_homeless(struct file_tree *t, struct plait_list *homeless)
{
	struct file_entry *e = &t->root, *parent;

	for (;;) {
		while (!plait_list_is_empty(&e->children))
			e = plait_container(e->children.next, struct file_entry,
					    sibling);
		parent = e->parent;
		if (parent == NULL)
			return;
		if (e->user.mark == NULL) {
			plait_i_entry_drop(e);
		} else {
			plait_i_entry_take(e);
			plait_list_append(homeless, &e->sibling);
		}
		e = parent;
	}
}

int plait_i_look_at_all(struct file_tree *t)
{
	struct plait_list homeless, *l;
	int rc;

	plait_list_init(&homeless);
	look_make_homeless(t, &homeless);
	plait_i_entry_end_youth(&t->root);
	t->n_directories = t->root.user.mark != NULL;
	plait_i_look_want(&t->root);
	rc = plait_i_look_into(t);
	while ((l = plait_list_first(&homeless)) != NULL)
		plait_i_entry_free_homeless(
			plait_container(l, struct file_entry, sibling));
	return look_is_general(rc) ? 0 : rc;
}
