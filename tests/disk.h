/*
 * A directory of the disk for tests of files that change.  What is done to it
 * is written in words:
 *
 *	mkdir P, rmdir P, touch P (makes an empty file), put P (makes it or
 *	empties it, writes, closes), add P (appends a byte, closes),
 *	mv P Q, swap P Q (RENAME_EXCHANGE), ln P Q, symlink P Q (to P),
 *	rm P, chmod P, cut P, away P (rename to outside, under the same last
 *	name), back P (from there)
 *
 * Paths are below its directory "tree".  In the order of a text, separated by
 * "; ".  All of it is done by calls that no fault hits.
 */
#ifndef TESTS_DISK_H
#define TESTS_DISK_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* Makes the directory, in $TMPDIR, and removes it with all that is in it. */
void disk_make(void);
void disk_remove(void);

/* The path of that name below tree; "" is tree itself.  In static memory, of
   which the last four are kept. */
const char *disk_path(const char *name);

/* Does all steps; each has to succeed. */
void disk_do(const char *steps);

/* Does one step.  False: it failed, as it may if it is drawn by chance. */
bool disk_try(const char *step);

/* Paths; that of a directory has a '/' behind it. */
struct disk_paths {
	char **paths;
	size_t n;
};

void disk_paths_add(struct disk_paths *ps, const char *path, bool is_directory);
void disk_paths_clear(struct disk_paths *ps);

/* Them, and those below dir, as words in their order: "a/ a/b c".  free() it.
 */
char *disk_paths_text(struct disk_paths *ps);
char *disk_list(const char *dir);

#endif
