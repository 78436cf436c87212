/*
 * Scopes: work that ends together.  What is started in a scope is cancelled
 * with it, and so are the scopes inside it; starting anything in a scope that
 * was cancelled is cancelled at once.  So whoever ends a scope need not know
 * what is under way in it.
 *
 * Every connection has one, plait_transport_scope(), which is cancelled when
 * the connection is lost: a protocol that does its work in it needs no
 * connection_lost() of its own for that.
 *
 * Cancelling calls back before it returns, and so do freeing and leaving, and
 * starting something in a scope that was cancelled.
 *
 * A NULL scope is one for which there was no memory.  It counts as cancelled,
 * so nobody has to test for it.
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
 * A new scope, given; one inside another, which is cancelled too if that
 * was.  NULL with ENOMEM in errno.  r may be NULL for one without deadlines.
 * When the reactor is freed, deadlines end; the scope stays.
 */
struct plait_scope *plait_scope_new(struct plait_reactor *r, const char *where);
#define plait_scope_new(...) (plait_scope_new)(__VA_ARGS__, PLAIT_HERE)
struct plait_scope *plait_scope_new_in(struct plait_scope *parent,
				       const char *where);
#define plait_scope_new_in(...) (plait_scope_new_in)(__VA_ARGS__, PLAIT_HERE)

/*
 * Starts d in the scope: it is cancelled with the scope, at once if that has
 * been.  The waiting end stays the caller's.  Its result passes through, but
 * for this: a cancellation that a deadline caused becomes TimeoutError,
 * unless a scope around that was cancelled from outside meanwhile.  d has
 * ended for the scope when its chain gets there, or with d.  With no memory d
 * is cancelled at once.  Returns d.
 */
struct plait_deferred *plait_scope_start(struct plait_scope *s,
					 struct plait_deferred *d);

/*
 * Hands d over to the scope, with its callbacks: it runs on as if detached,
 * until the scope is cancelled.  Then it is cancelled and freed, and none of
 * its callbacks runs any more; a cancellation that none of them handles is
 * not reported.  With no memory that happens at once, and is reported.  *dp is
 * NULL afterwards.
 */
void plait_scope_own(struct plait_scope *s, struct plait_deferred **dp);

/*
 * Cancels all that is in the scope, and in the scopes inside it: the last
 * that was started first.  reason is borrowed for good; it and the place of
 * the call stand in the failures.  Cancelling what was cancelled does nothing;
 * but cancelled from outside outranks a deadline inside, for all that has not
 * ended yet.
 */
void plait_scope_cancel(struct plait_scope *s, const char *reason,
			const char *where);
#define plait_scope_cancel(...) (plait_scope_cancel)(__VA_ARGS__, PLAIT_HERE)

bool plait_scope_is_cancelled(const struct plait_scope *s);

/* Why, "" while it is not cancelled; borrowed for good. */
const char *plait_scope_reason(const struct plait_scope *s);

/*
 * Cancels the scope in that many seconds; again moves it, INFINITY takes it
 * back.  The tightest of a scope and those around it holds.
 */
void plait_scope_set_deadline(struct plait_scope *s, double seconds);

/*
 * The tightest: seconds on the reactor's clock; INFINITY for none, or if the
 * scope was cancelled.
 */
double plait_scope_deadline(const struct plait_scope *s);

/*
 * Lets the scope live on for that many seconds after a scope around it was
 * cancelled, to finish what must be finished; then it is cancelled as well.
 * For when that comes; 0, as at first, is no shield.
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
struct plait_deferred *plait_scope_close(struct plait_scope **sp,
					 const char *where) PLAIT_MUST_USE;
#define plait_scope_close(...) (plait_scope_close)(__VA_ARGS__, PLAIT_HERE)

/* True if nothing is in the scope, and no other scope. */
bool plait_scope_is_empty(const struct plait_scope *s);

/*
 * Holds the scope open for something that is no deferred.  Embed an entry,
 * zeroed.  What is to end is told by cancel(arg), once, from inside the
 * scope's cancelling, and says that it has ended with plait_scope_leave(); to
 * leave twice does nothing.  0; -ECANCELED if the scope was cancelled, and then
 * nothing was entered.
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
 * The scope of a connection, made when it is first asked for: borrowed, good
 * as long as the transport.  It is cancelled right before connection_lost()
 * is called; the reason is the name of the kind of the loss.  NULL with no
 * memory, and when first asked for after that.
 */
struct plait_scope *plait_transport_scope(struct plait_transport *t);

#ifdef __cplusplus
}
#endif

#endif
