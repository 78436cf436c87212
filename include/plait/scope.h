/*
 * Scopes: work that ends together.  What is started in a scope is cancelled
 * with it, and so are the scopes inside it; starting anything in a scope that
 * was cancelled is cancelled at once.  So whoever ends a scope need not know
 * what is under way in it.
 *
 * Every connection has one, plait_transport_scope(), which is cancelled when
 * the connection is lost: a protocol that starts its work in it needs no
 * connection_lost() of its own for that.
 */
#ifndef PLAIT_SCOPE_H
#define PLAIT_SCOPE_H

#include <plait/deferred.h>
#include <plait/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_scope;

/*
 * A new scope inside parent, or at the top if that is NULL; given.  NULL with
 * ENOMEM in errno.  Inside a scope that was cancelled it is cancelled too.
 */
struct plait_scope *plait_scope_new(struct plait_reactor *r,
				    struct plait_scope *parent);

/*
 * Starts d in the scope: it is cancelled with the scope, at once if that has
 * been.  The waiting end stays the caller's.  Its result passes through, but
 * for this: a cancellation that the scope's deadline caused becomes
 * TimeoutError, if d was cancelled by nobody else.  Ending d ends its place in
 * the scope.  With no memory d is cancelled at once.  Returns d.
 */
struct plait_deferred *plait_scope_start(struct plait_scope *s,
					 struct plait_deferred *d);

/*
 * Cancels all that is in the scope, and in the scopes inside it: the last
 * that was started first.  reason is borrowed for good; it and the place of
 * the call stand in the failures.  Cancelling twice is nothing, but from
 * outside outranks a deadline inside.
 *
 * void plait_scope_cancel(struct plait_scope *s, const char *reason);
 */
#define plait_scope_cancel(s, reason)                                          \
	plait_scope_cancel_at((s), (reason), PLAIT_HERE)
void plait_scope_cancel_at(struct plait_scope *s, const char *reason,
			   const char *where);

bool plait_scope_is_cancelled(const struct plait_scope *s);

/* Why, "" while it is not cancelled; borrowed for good. */
const char *plait_scope_reason(const struct plait_scope *s);

/*
 * Cancels the scope in that many seconds; again moves it, INFINITY takes it
 * back.  The tightest of a scope and its parents holds.
 */
void plait_scope_set_deadline(struct plait_scope *s, double seconds);

/* Seconds on the reactor's clock; INFINITY for none. */
double plait_scope_deadline(const struct plait_scope *s);

/*
 * Lets the scope live on for that many seconds after a scope around it was
 * cancelled, to finish what must be finished; then it is cancelled as well.
 */
void plait_scope_shield(struct plait_scope *s, double seconds);

/*
 * Ends the scope: cancels what is in it, and gives a deferred that fires with
 * none when all of that has really ended.  Cancelling that deferred is to
 * wait no more.  NULL has ended already.  *sp is NULL afterwards.
 */
struct plait_deferred *plait_scope_free(struct plait_scope **sp);

/* True if nothing is in the scope, and in the scopes inside it. */
bool plait_scope_is_empty(const struct plait_scope *s);

/*
 * Holds the scope open for something that is no deferred: what is to end is
 * told by cancel(arg), from inside the scope's cancelling, and says that it
 * has ended with plait_scope_leave().  0; -ECANCELED if the scope was
 * cancelled, and then nothing was entered.
 */
struct plait_scope_entry {
	/* private */
	struct plait_list link;
	struct plait_scope *scope;
	plait_func *cancel;
	void *arg;
};
int plait_scope_enter(struct plait_scope *s, struct plait_scope_entry *e,
		      plait_func *cancel, void *arg);
void plait_scope_leave(struct plait_scope_entry *e);

/* Of a connection, borrowed: good as long as the transport; made when first
   asked for, NULL with no memory for it. */
struct plait_scope *plait_transport_scope(struct plait_transport *t);

#ifdef __cplusplus
}
#endif

#endif
