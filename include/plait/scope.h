/*
 * Scopes: work that ends together.  When a scope is cancelled, everything that
 * was started in it is cancelled, and so are the scopes inside it.  What is
 * started in a scope that was cancelled before is cancelled at once.  So
 * whoever ends a scope need not know what is under way in it.
 *
 * Every connection has a scope, plait_transport_scope(), which is cancelled
 * when the connection is lost.  A protocol that does its work in this scope
 * need not stop the work in connection_lost().
 *
 * These calls call back before they return: cancelling, freeing, closing and
 * leaving a scope, and starting something in a scope that was cancelled.
 *
 * A NULL scope stands for a scope that there was no memory for.  It counts as
 * cancelled, so nobody has to test for it; entering it returns -ENOMEM.
 */
#ifndef PLAIT_SCOPE_H
#define PLAIT_SCOPE_H

#include <plait/deferred.h>
#include <plait/list.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_reactor;
struct plait_scope;
struct plait_transport;

/*
 * Make a scope, given; the second makes it inside parent, and if parent was
 * cancelled, so is the new scope.  With no memory they return NULL with ENOMEM
 * in errno.  r is for deadlines; it may be NULL for a scope without deadlines.
 * When the reactor is freed, the deadlines of the scope end and the scope
 * stays.
 */
struct plait_scope *plait_scope_new(struct plait_reactor *r, const char *where);
#define plait_scope_new(...) (plait_scope_new)(__VA_ARGS__, PLAIT_HERE)
struct plait_scope *plait_scope_new_in(struct plait_scope *parent,
				       const char *where);
#define plait_scope_new_in(...) (plait_scope_new_in)(__VA_ARGS__, PLAIT_HERE)

/*
 * Starts d in the scope: from now on d is cancelled with the scope; at once,
 * if the scope was cancelled before.  The caller keeps the waiting end.
 *
 * The result of d passes through, with one exception: a cancellation that a
 * deadline has caused becomes TimeoutError, unless a scope around the one with
 * the deadline was cancelled by a call meanwhile.  d leaves the scope when its
 * chain reaches the callback pair that this function adds, or when d is freed.
 * With no memory d is cancelled at once.  Returns d.
 */
struct plait_deferred *plait_scope_start(struct plait_scope *s,
					 struct plait_deferred *d);

/*
 * Hands *dp over to the scope, with its callbacks, and sets *dp to NULL.  The
 * deferred runs on as if it were detached.  When the scope is cancelled, the
 * deferred is cancelled and freed: its callbacks see the cancellation during
 * the cancel, none of them runs after that, and nobody is told of a
 * cancellation that they have not handled.  With no memory the deferred is
 * cancelled and freed at once, and a cancellation that they have not handled
 * is reported.  A deferred that was started in one scope may be given to
 * another.
 */
void plait_scope_own(struct plait_scope *s, struct plait_deferred **dp);

/*
 * Cancels everything in the scope, and in the scopes inside it, and begins
 * with what was started last.  The failures tell reason and the place of the
 * call.  reason may be NULL; it must stay valid for ever, as a literal does.
 * Cancelling a scope again does nothing.
 *
 * If a deadline has cancelled a scope, and then a scope around it is cancelled
 * by a call, that call counts, for everything that has not ended yet.
 */
void plait_scope_cancel(struct plait_scope *s, const char *reason,
			const char *where);
#define plait_scope_cancel(...) (plait_scope_cancel)(__VA_ARGS__, PLAIT_HERE)

bool plait_scope_is_cancelled(const struct plait_scope *s);

/*
 * Returns the reason why the scope was cancelled, borrowed; "" if it was not.
 */
const char *plait_scope_reason(const struct plait_scope *s);

/*
 * Lets the loop cancel the scope in that many seconds.  Calling it again moves
 * the deadline, and INFINITY removes it.  Of the deadlines of a scope and of
 * the scopes around it, the earliest counts.  Does nothing if the scope has no
 * reactor or was cancelled.
 */
void plait_scope_set_deadline(struct plait_scope *s, double seconds);

/*
 * The earliest of these deadlines, in seconds on the reactor's clock; INFINITY
 * if there is none, or if the scope was cancelled.
 */
double plait_scope_deadline(const struct plait_scope *s);

/*
 * Shields the scope: when a scope around it is cancelled, this scope lives on
 * for that many seconds, to finish what must be finished, and is cancelled
 * then.  0 takes the shield away.  A scope without a reactor is cancelled at
 * once nevertheless.
 */
void plait_scope_shield(struct plait_scope *s, double seconds);

/*
 * Both end the scope: they cancel what is in it, as plait_scope_cancel() does,
 * and set *sp to NULL.  The memory of the scope is freed when everything that
 * was in it has ended, which may be later.  A NULL scope has ended already.
 *
 * plait_scope_free() is for a caller who does not wait for that: it tells
 * nobody.  plait_scope_close() gives a deferred that fires with none when
 * everything that was in the scope has ended, and every scope inside it was
 * freed or closed and has ended too.  Cancelling that deferred only ends the
 * wait.
 */
void plait_scope_free(struct plait_scope **sp, const char *where);
#define plait_scope_free(...) (plait_scope_free)(__VA_ARGS__, PLAIT_HERE)
/* The same, for __attribute__((cleanup)). */
void plait_scope_cleanup(struct plait_scope **sp);
struct plait_deferred *plait_scope_close(struct plait_scope **sp,
					 const char *where) PLAIT_MUST_USE;
#define plait_scope_close(...) (plait_scope_close)(__VA_ARGS__, PLAIT_HERE)

/* True if nothing is in the scope, and no scope is inside it. */
bool plait_scope_is_empty(const struct plait_scope *s);

/*
 * For work that is no deferred.  Embed an entry, zeroed.  The scope has not
 * ended while the entry is in it.  When the scope is cancelled, it calls
 * cancel(arg), once.  Call plait_scope_leave() when the work has ended, whether
 * it was cancelled or not; calling it again does nothing.  plait_scope_enter()
 * returns 0, or -ECANCELED if the scope was cancelled before, and then nothing
 * was entered.
 */
struct plait_scope_entry {
	/* private */
	struct plait_list link;
	struct plait_scope *scope;
	plait_func *cancel;
	void *arg;
	uintptr_t reserved[2]; /* zero */
};
int plait_scope_enter(struct plait_scope *s, struct plait_scope_entry *e,
		      plait_func *cancel, void *arg);
void plait_scope_leave(struct plait_scope_entry *e);

/*
 * Returns the scope of a connection, borrowed; it is valid as long as the
 * transport.  The first call makes it.  The library cancels it right before it
 * calls connection_lost(); the reason is the name of the kind of the loss.
 * Returns NULL with no memory, and if the first call comes after the loss.
 */
struct plait_scope *plait_transport_scope(struct plait_transport *t);

#ifdef __cplusplus
}
#endif

#endif
