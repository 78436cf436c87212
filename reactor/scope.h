/*
 * Scopes that the library itself holds.
 */
#ifndef REACTOR_SCOPE_H
#define REACTOR_SCOPE_H

#include <plait/scope.h>

/* As plait_scope_free(), for one whose end nobody waits for. */
void scope_end(struct plait_scope **sp, const char *where);

/* In a forked child: cancels nothing.  It goes when what is in it has ended. */
void scope_abandon(struct plait_scope **sp);

#endif
