/*
 * A child that runs another program.
 *
 * The child shares the memory of this process until it runs that program, and
 * the thread that makes it stands still until then.  So it costs the same
 * however much memory the process has; fork() would copy its page tables.  And
 * the child says itself, in that memory, what has failed.
 */
#ifndef REACTOR_SPAWN_H
#define REACTOR_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Descriptor `to' of the child is `from' of this process. */
struct spawn_move {
	int from, to;
	int copy; /* private: the child's */
};

/* All of it is borrowed for the call. */
struct spawn {
	const char *const *paths; /* which file to run: the first that there is;
				     a NULL ends them */
	char *const *argv, *const *envp;
	const char *cwd; /* NULL: the directory of this process */
	/* The child has these descriptors and no others. */
	struct spawn_move *moves;
	size_t n_moves;
	bool new_group, new_session;
	int terminal; /* which of the child's descriptors is the terminal of its
			 new session; -1: none */
	bool die_with_parent;
	bool set_ids; /* to these, and to no other groups */
	uid_t uid;
	gid_t gid;
	/* What has failed, if anything has; static text. */
	const char *step;
	int err;      /* private */
	pid_t parent; /* private */
};

/*
 * Makes the child.  It has no signal blocked, and each has its default action.
 * *pidfd is a descriptor of the child, given, which is closed when a program is
 * executed; pidfd may be NULL.  Returns the child's pid; or -1 with errno, and
 * *step says what failed: then there is no child.
 */
pid_t plait_i_spawn(struct spawn *s, int *pidfd);

#endif
