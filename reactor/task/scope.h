/*
 * Scopes that the library itself holds.
 */
#ifndef REACTOR_SCOPE_H
#define REACTOR_SCOPE_H

#include <plait/scope.h>

/* As plait_scope_free(), by the library: in whatever thread it runs. */
void plait_i_scope_end(struct plait_scope **sp, const char *where);

/* As plait_scope_cancel(), by the library: in whatever thread it runs. */
void plait_i_scope_cancel(struct plait_scope *s, const char *reason,
			  const char *where);

/*
 * In a forked child: cancels nothing.  The scope is freed when what is in it
 * has ended.
 */
void plait_i_scope_abandon(struct plait_scope **sp);

#endif
