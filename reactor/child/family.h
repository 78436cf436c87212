/*
 * Which children of this process are plait's, of whatever reactor and thread.
 */
#ifndef REACTOR_FAMILY_H
#define REACTOR_FAMILY_H

#include <stdbool.h>
#include <sys/types.h>

#include <plait/list.h>

/* Embedded, zeroed, in what lives as long as the child is not waited for. */
struct family_member {
	struct plait_list link;
	pid_t pid;
};

/* Around the making of a child: nobody takes it for a stranger's, although its
   number is not known before the end.  The first returns 0 or -errno.  pid: -1
   if there is no child. */
int plait_i_family_expect(void);
void plait_i_family_join(struct family_member *m, pid_t pid);

/* It was waited for.  Does nothing if m has not joined. */
void plait_i_family_leave(struct family_member *m);

bool plait_i_family_has(pid_t pid);

/*
 * Is that child somebody else's?  If this returns true, no child can join until
 * plait_i_family_go_on() was called; so whoever has that number stays a
 * stranger.
 */
bool plait_i_family_hold_stranger(pid_t pid);
void plait_i_family_go_on(void);

#endif
