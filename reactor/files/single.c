/*
 * A watch on whichever file has a path.
 *
 * It has two marks.  That of the directory says when a name may stand for
 * another file than before, and that of the file says what is done to the file.
 * To find out whether it is another file, the path is added again: the kernel
 * gives the same number only for the same file.  This follows symbolic links,
 * so it also notices when a link in the same directory leads elsewhere.  It is
 * done once for all events that were read together.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/files/single.h"

enum {
	NAMES = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO,
	DIRECTORY_GONE =
		IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED,
	/* A name less, or the file has another one. */
	FILE_MAY_BE_ANOTHER = IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF |
			      IN_UNMOUNT | IN_IGNORED
};

struct file_single {
	struct plait_file_watched base;
	struct file_user directory, file;
	bool is_there; /* as it was told */
	bool is_directory;
	bool is_unseen; /* it was told that the file cannot be watched */
	char path[];
};

static struct file_single *single_of(struct plait_file_watched *w)
{
	return plait_container(w, struct file_single, base);
}

static void single_tell(struct file_single *s, unsigned what, int error)
{
	plait_i_watched_tell(&s->base,
			     &(struct plait_file_change){
				     .what = what,
				     .path = s->path,
				     .is_directory = s->is_directory,
				     .existed = what == PLAIT_FILE_CREATED,
				     .error = error });
}

/* ---- which file it is ---------------------------------------------------- */

static uint32_t single_events(unsigned what)
{
	uint32_t events = IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF;

	if (what & PLAIT_FILE_CHANGED)
		events |= IN_MODIFY;
	if (what & PLAIT_FILE_WRITTEN)
		events |= IN_CLOSE_WRITE;
	return events;
}

/* Makes the file that has the path now that of the watch.  1: it was that
   already; 0: it was another one, or none; or -errno. */
static int single_look(struct file_single *s)
{
	struct file_notifier *n = s->base.notifier;
	struct kernel *k = loop_kernel(n->reactor);
	struct kernel_file file;
	int number = notifier_calls(n)->add(k, n->fd, s->path,
					    single_events(s->base.what));

	if (number < 0)
		return -errno;
	if (s->file.mark != NULL && s->file.mark->number == number)
		return 1;
	if (plait_i_notifier_use(n, &s->file, number) < 0)
		return -ENOMEM;
	s->is_directory =
		kernel_look(k, s->path, &file) == 0 && file.is_directory;
	return 0;
}

static bool single_is_absent(int error)
{
	return error == -ENOENT || error == -ENOTDIR || error == -ELOOP;
}

static void single_vanished(struct file_single *s)
{
	bool was_there = s->is_there;

	plait_i_notifier_leave(s->base.notifier, &s->file);
	s->is_there = s->is_unseen = false;
	if (was_there)
		single_tell(s, PLAIT_FILE_REMOVED, 0);
}

/* There is a file that cannot be watched. */
static void single_unseen(struct file_single *s, int error)
{
	bool was_unseen = s->is_unseen;

	plait_i_notifier_leave(s->base.notifier, &s->file);
	s->is_there = s->is_unseen = true;
	if (!was_unseen)
		single_tell(s, PLAIT_FILE_UNSEEN, error);
}

/* Tells what single_look() has found. */
static void single_tell_found(struct file_single *s, int found)
{
	if (single_is_absent(found)) {
		single_vanished(s);
	} else if (found < 0) {
		single_unseen(s, found);
	} else if (found == 0) {
		s->is_there = true;
		s->is_unseen = false;
		single_tell(s, PLAIT_FILE_CREATED, 0);
	}
}

static void single_check_soon(struct file_single *s)
{
	if (!plait_list_is_linked(&s->base.looking))
		plait_list_append(&s->base.notifier->unsure, &s->base.looking);
}

/* Is it another file?  After changes were lost, and at the beginning, the
   program may want to be told of the same one. */
static void single_run_look(struct plait_file_watched *w)
{
	struct file_single *s = single_of(w);
	int found = single_look(s);

	if (found == -ENOMEM) {
		plait_i_watched_lose(w);
		return;
	}
	if (found == 1 && w->existing && (w->lost || !s->is_there))
		found = 0;
	if (w->lost &&
	    !plait_i_watched_tell(
		    w, &(struct plait_file_change){ .what = PLAIT_FILE_OVERFLOW,
						    .path = s->path }))
		return;
	w->lost = false;
	single_tell_found(s, found);
}

/* ---- events -------------------------------------------------------------- */

static void single_directory_named(struct file_user *u,
				   const struct file_event *e)
{
	if (e->mask & NAMES)
		single_check_soon(single_of(u->of));
}

static void single_directory_self(struct file_user *u,
				  const struct file_event *e)
{
	if (e->mask & DIRECTORY_GONE)
		plait_i_watched_gone(u->of);
}

static void single_directory_moved(struct file_user *u, struct file_user *to,
				   const struct file_move *m)
{
	single_check_soon(single_of(u->of));
}

static const struct file_user_ops single_directory_ops = {
	.named = single_directory_named,
	.self = single_directory_self,
	.moved = single_directory_moved,
};

static void single_file_self(struct file_user *u, const struct file_event *e)
{
	struct file_single *s = single_of(u->of);

	if (e->mask & FILE_MAY_BE_ANOTHER)
		single_check_soon(s);
	if (e->mask & IN_MODIFY)
		single_tell(s, PLAIT_FILE_CHANGED, 0);
	else if (e->mask & IN_CLOSE_WRITE)
		single_tell(s, PLAIT_FILE_WRITTEN, 0);
	else if (e->mask & IN_ATTRIB)
		single_tell(s, PLAIT_FILE_ATTRIBUTES, 0);
}

/* It is a directory, and somebody else watches that. */
static void single_file_named(struct file_user *u, const struct file_event *e)
{
}

static void single_file_moved(struct file_user *u, struct file_user *to,
			      const struct file_move *m)
{
}

static const struct file_user_ops single_file_ops = {
	.named = single_file_named,
	.self = single_file_self,
	.moved = single_file_moved,
};

/* ---- the watch ----------------------------------------------------------- */

static void single_end(struct plait_file_watched *w)
{
	struct file_single *s = single_of(w);

	plait_i_notifier_leave(w->notifier, &s->directory);
	plait_i_notifier_leave(w->notifier, &s->file);
}

static void single_free(struct plait_file_watched *w)
{
	free(single_of(w));
}

static const struct watched_ops single_ops = {
	.look = single_run_look,
	.end = single_end,
	.free = single_free,
};

static struct file_single *single_make(struct file_notifier *n,
				       const char *path,
				       const struct plait_file_watch_options *o)
{
	size_t size = strlen(path) + 1;
	struct file_single *s = calloc(1, sizeof(*s) + size);

	if (s == NULL)
		return NULL;
	s->base.ops = &single_ops;
	s->base.path = memcpy(s->path, path, size);
	s->base.notifier = n;
	s->base.what = o->what;
	s->base.existing = o->existing;
	s->directory = (struct file_user){ .of = &s->base,
					   .ops = &single_directory_ops };
	s->file = (struct file_user){ .of = &s->base, .ops = &single_file_ops };
	return s;
}

static int single_add_directory(struct file_single *s)
{
	struct file_notifier *n = s->base.notifier;
	const char *slash = strrchr(s->path, '/');
	size_t len = slash == s->path ? 1 : (size_t)(slash - s->path);
	int number;

	strcpy(n->work, ".");
	if (slash != NULL) {
		memcpy(n->work, s->path, len);
		n->work[len] = '\0';
	}
	number = notifier_calls(n)->add(loop_kernel(n->reactor), n->fd, n->work,
					NAMES | IN_DELETE_SELF | IN_MOVE_SELF |
						IN_ONLYDIR);
	return number < 0 ? -errno
			  : plait_i_notifier_use(n, &s->directory, number);
}

/* The directory first, so that no change of the name is missed. */
static int single_begin(struct file_single *s)
{
	int rc = single_add_directory(s);

	if (rc < 0)
		return rc;
	rc = single_look(s);
	s->is_there = rc == 0 && !s->base.existing;
	return single_is_absent(rc) ? 0 : rc;
}

int plait_i_single_new(struct file_notifier *n, const char *path,
		       const struct plait_file_watch_options *options,
		       struct plait_file_watched **ret)
{
	struct file_single *s = single_make(n, path, options);
	int rc = s != NULL ? single_begin(s) : -ENOMEM;

	if (rc == 0) {
		*ret = &s->base;
	} else if (s != NULL) {
		single_end(&s->base);
		free(s);
	}
	return rc;
}
