/*
 * Follows files, as "tail -F" does: prints their last lines, and then what is
 * appended to them.
 *
 * It goes by name.  When another file takes a name, as log files are rotated,
 * it reads the old file to its end and then follows the new one; when a file is
 * emptied, it begins at its beginning.  It says so on standard error.  Nothing
 * is polled: with nothing to print the program sleeps.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/program.h"

/* So much is read in a turn, for the files to take turns. */
enum { CHUNK = 65536 };

struct file {
	struct plait_file_watch watch;
	struct plait_timer reading;
	struct tail *tail;
	const char *name;
	int fd;	     /* -1: there is no file */
	int next_fd; /* of the file that has replaced it; -1: none */
	off_t at;
	bool was_there; /* it had a file at some time */
};

struct tail {
	struct plait_reactor *reactor;
	struct file *files;
	int n, left; /* that are followed */
	size_t lines;
	const struct file *printed; /* last; NULL: nothing was */
};

static void say_of(const struct file *f, const char *what)
{
	fflush(stdout);
	fprintf(stderr, "tail-f: %s %s\n", f->name, what);
}

/* ---- printing ------------------------------------------------------------ */

static void print_bytes(struct file *f, const char *bytes, size_t n)
{
	struct tail *t = f->tail;

	if (t->printed != f && t->n > 1)
		printf("%s==> %s <==\n", t->printed != NULL ? "\n" : "",
		       f->name);
	t->printed = f;
	fwrite(bytes, 1, n, stdout);
	fflush(stdout);
	if (ferror(stdout))
		plait_reactor_stop(t->reactor);
}

/* Returns where the last lines of the file begin. */
static off_t find_last_lines(int fd, off_t size, size_t lines)
{
	char bytes[CHUNK];
	off_t at = size;

	while (at > 0) {
		off_t from = at > CHUNK ? at - CHUNK : 0;
		ssize_t n = pread(fd, bytes, (size_t)(at - from), from);

		if (n < at - from)
			return from;
		while (n-- > 0) {
			at--;
			if (bytes[n] == '\n' && at + 1 < size && --lines == 0)
				return at + 1;
		}
	}
	return 0;
}

static void start_at_last_lines(struct file *f)
{
	struct stat st;

	if (fstat(f->fd, &st) == 0)
		f->at = find_last_lines(f->fd, st.st_size, f->tail->lines);
}

static void notice_cut(struct file *f)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0 || st.st_size >= f->at)
		return;
	say_of(f, "was cut off: starting at its beginning");
	f->at = 0;
}

static void go_on_with_next(struct file *f)
{
	close(f->fd);
	f->fd = f->next_fd;
	f->next_fd = -1;
	f->at = 0;
}

static void read_soon(struct file *f);

static void read_some(void *arg)
{
	struct file *f = arg;
	char bytes[CHUNK];
	ssize_t n;

	if (f->fd < 0)
		return;
	notice_cut(f);
	n = pread(f->fd, bytes, sizeof(bytes), f->at);
	if (n < 0)
		say_of(f, strerror(errno));
	if (n > 0) {
		f->at += n;
		print_bytes(f, bytes, (size_t)n);
	} else if (f->next_fd >= 0) {
		go_on_with_next(f);
	} else {
		return;
	}
	read_soon(f);
}

static void read_soon(struct file *f)
{
	plait_timer_start(f->tail->reactor, &f->reading, 0, read_some, f);
}

/* ---- following ----------------------------------------------------------- */

static bool is_same(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 &&
	       sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

static void open_file(struct file *f)
{
	int fd = open(f->name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0) {
		say_of(f, strerror(errno));
	} else if (f->fd < 0) {
		if (f->was_there)
			say_of(f, "is there: following it");
		f->fd = fd;
		f->at = 0;
	} else if (is_same(f->fd, fd) || is_same(f->next_fd, fd)) {
		close(fd);
	} else {
		say_of(f, "was replaced: following the new file");
		if (f->next_fd >= 0)
			close(f->next_fd);
		f->next_fd = fd;
	}
}

static void stop_following(struct file *f)
{
	say_of(f, "cannot be followed: its directory is gone");
	if (--f->tail->left == 0)
		plait_reactor_stop(f->tail->reactor);
}

static void changed(struct plait_file_watch *w,
		    const struct plait_file_change *c)
{
	struct file *f = plait_container(w, struct file, watch);

	if (c->what == PLAIT_FILE_GONE)
		stop_following(f);
	else if (c->what == PLAIT_FILE_REMOVED)
		say_of(f, "is gone: waiting for another one");
	else if (c->what == PLAIT_FILE_UNSEEN)
		say_of(f, strerror(-c->error));
	else if (c->what == PLAIT_FILE_CREATED)
		open_file(f);
	read_soon(f);
}

/* The watch begins before the file is opened, so nothing is missed. */
static void follow(struct tail *t, struct file *f, const char *name)
{
	const struct plait_file_watch_options options = {
		.what = PLAIT_FILE_CREATED | PLAIT_FILE_CHANGED |
			PLAIT_FILE_REMOVED,
	};
	int err;

	*f = (struct file){ .tail = t, .name = name, .fd = -1, .next_fd = -1 };
	err = plait_file_watch_start(t->reactor, &f->watch, name, &options,
				     changed);
	if (err < 0)
		die("%s: %s", name, strerror(-err));
	open_file(f);
	f->was_there = true;
	if (f->fd >= 0)
		start_at_last_lines(f);
	read_soon(f);
}

static void end(struct file *f)
{
	plait_file_watch_stop(&f->watch);
	plait_timer_stop(&f->reading);
	if (f->fd >= 0)
		close(f->fd);
	if (f->next_fd >= 0)
		close(f->next_fd);
}

int main(int argc, char **argv)
{
	struct tail t = { .lines = 10 };
	const struct program_option options[] = {
		{ "lines", "N", "print the last N lines first; default: 10",
		  read_count, &t.lines, NULL },
		{ 0 },
	};
	struct program p = { .about = "Prints what is appended to files.",
			     .operands = "FILE...",
			     .min_operands = 1,
			     .max_operands = argc,
			     .options = options };

	program_start(&p, argc, argv);
	t.n = t.left = p.n_operands;
	t.files = calloc((size_t)t.n, sizeof(*t.files));
	if (t.files == NULL)
		die("no memory");
	t.reactor = program_reactor(&p);
	for (int i = 0; i < t.n; i++)
		follow(&t, &t.files[i], p.operand[i]);
	plait_reactor_run(t.reactor);

	for (int i = 0; i < t.n; i++)
		end(&t.files[i]);
	plait_reactor_free(&t.reactor);
	free(t.files);
	return 0;
}
