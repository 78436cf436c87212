/* Watches of files, as the program sees them. */
#include <errno.h>
#include <string.h>

#include "lib/base.h"
#include "reactor/files/single.h"
#include "reactor/files/tree.h"

/* The changes that a program may choose among; all others are always told. */
enum { ALL = PLAIT_FILE_UNSEEN - 1 };

static int file_watch_check(const struct plait_reactor *r,
			    const struct plait_file_watch *w,
			    const struct plait_file_watch_options *options)
{
	if (loop_is_forked(r))
		return -ECHILD;
	if (w->inside != NULL)
		return -EBUSY;
	if (RESERVED_IN_USE(options))
		return -EINVAL;
	return loop_kernel(r)->calls->notify == NULL ? -ENOTSUP : 0;
}

/* Copies path without slashes at its end. */
static int file_watch_copy_path(char ret[PATH_MAX], const char *path)
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	if (len == 0)
		return -ENOENT;
	if (len >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(ret, path, len);
	ret[len] = '\0';
	return 0;
}

/* Finds out of what kind it is. */
static int file_watch_make(struct file_notifier *n, const char *path,
			   const struct plait_file_watch_options *options,
			   struct plait_file_watched **ret)
{
	struct kernel_file file;
	bool is_there = kernel_look(loop_kernel(n->reactor), path, &file) == 0;

	if (!is_there && (errno != ENOENT || options->tree))
		return -errno;
	if (is_there && file.is_directory)
		return plait_i_tree_new(n, path, options, ret);
	return options->tree ? -ENOTDIR
			     : plait_i_single_new(n, path, options, ret);
}

static void file_watch_begin(struct plait_file_watched *inside,
			     struct plait_file_watch *w)
{
	struct file_notifier *n = inside->notifier;

	inside->outside = w;
	plait_list_append(&n->watches, &inside->link);
	/* What is there already, or cannot be watched, is told by the loop. */
	plait_list_append(&n->looking, &inside->looking);
	plait_i_notifier_wake(n);
}

int plait_file_watch_start(struct plait_reactor *r, struct plait_file_watch *w,
			   const char *path,
			   const struct plait_file_watch_options *options,
			   plait_file_func *fn)
{
	static const struct plait_file_watch_options defaults;
	struct plait_file_watch_options o;
	struct plait_file_watched *inside = NULL;
	struct file_notifier *n;
	char copy[PATH_MAX];
	int rc;

	loop_check_given(r, "plait_file_watch_start()", NULL);
	o = options != NULL ? *options : defaults;
	o.what &= ALL;
	if (o.what == 0)
		o.what = ALL;
	rc = file_watch_check(r, w, &o);
	if (rc == 0)
		rc = file_watch_copy_path(copy, path);
	if (rc == 0)
		rc = plait_i_notifier_get(r, &n);
	if (rc < 0)
		return rc;
	rc = file_watch_make(n, copy, &o, &inside);
	if (rc < 0) {
		plait_i_notifier_settle(n);
		plait_i_notifier_release(n);
		return rc;
	}
	*w = (struct plait_file_watch){ .reactor = r,
					.fn = fn,
					.inside = inside };
	file_watch_begin(inside, w);
	return 0;
}

void plait_file_watch_stop(struct plait_file_watch *w)
{
	if (w->reactor == NULL)
		return;
	loop_check(w->reactor, "plait_file_watch_stop()");
	plait_i_watched_end(w->inside);
}
