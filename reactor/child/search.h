/*
 * Where a program may be: the files to try, for its name.
 */
#ifndef REACTOR_SEARCH_H
#define REACTOR_SEARCH_H

/*
 * Returns the files that name may mean, in the order of the directories, which
 * are separated by ':' as in PATH; dirs may be NULL.  A name with a '/', or an
 * empty one, is the
 * file itself, and no other.  A NULL ends the array, which is one piece of
 * memory, given.  Returns NULL if there is no memory.
 */
const char **plait_i_search(const char *name, const char *dirs);

#endif
