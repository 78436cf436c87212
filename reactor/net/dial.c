/*
 * Attempts to connect a stream socket: see dial.h.
 *
 * Everything happens from the loop.  The socket is made in the turn after the
 * attempt has begun.  It is not watched before connect() was called, as epoll
 * would report a hang-up.  It is closed at the burial of the attempt, unless a
 * stream has taken it; so the kernel is not told that the watch has stopped: it
 * learns of the close, or of what the stream waits for.  An attempt that was
 * stopped has no task and no watch, so a socket that connects too late is
 * closed, and nobody hears of it.
 */
#include <errno.h>

#include "lib/chance.h"
#include "reactor/net/dial.h"

static struct dial *dial(struct attempt *a)
{
	return plait_self(a, struct dial);
}

static const struct dial_ops *dial_ops(const struct dial *d)
{
	return (const struct dial_ops *)(const void *)d->base.of->ops;
}

static void dial_fail(struct dial *d, const struct plait_error *kind, int err)
{
	plait_i_attempt_failed(&d->base,
			       plait_i_attempt_failure(&d->base, kind, err));
}

static void dial_succeed(struct dial *d)
{
	const struct dial_ops *ops = dial_ops(d);
	int err = ops->check != NULL ? ops->check(d) : 0;

	if (err != 0)
		dial_fail(d, NULL, err);
	else
		plait_i_attempt_connected(&d->base);
}

/* The outcome of a connect() that was in progress: 0 or an errno. */
static int dial_outcome(struct dial *d, unsigned events)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (events & PLAIT_WATCH_LOST) {
		/* Somebody else has closed it, and may use its number again. */
		d->fd = -1;
		return EBADF;
	}
	if (kernel_getsockopt(dial_kernel(d), d->fd, SOL_SOCKET, SO_ERROR, &err,
			      &len) < 0)
		return errno;
	return err;
}

/*
 * If a peer that is gone has sent something, it had accepted the connection,
 * and what it has sent is delivered.  If it has sent nothing, the attempt
 * fails, as if the peer had refused.
 */
static bool dial_has_spoken(const struct dial *d)
{
	char byte;

	return kernel_recv(dial_kernel(d), d->fd, &byte, sizeof(byte),
			   MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* A socket that has room and no hang-up, as which an error is told, too, is
   connected.  Any other is asked. */
static void dial_on_ready(struct plait_watch *w, unsigned events)
{
	struct dial *d = plait_container(w, struct dial, watch);
	int err = events != PLAIT_WATCH_WRITE ? dial_outcome(d, events) : 0;

	if (err != 0 && dial_has_spoken(d)) {
		REACHED("a peer has spoken and is gone before the connection");
		d->gone = err;
		err = 0;
	}
	if (err != 0)
		dial_fail(d, NULL, err);
	else
		dial_succeed(d);
}

static void dial_wait(struct dial *d)
{
	int r = plait_i_watch_start(d->base.of->reactor, &d->watch, d->fd,
				    PLAIT_WATCH_WRITE | WATCH_HANGUP,
				    dial_on_ready);

	if (r < 0)
		dial_fail(d, NULL, -r);
}

static int dial_call_connect(struct dial *d)
{
	union kernel_address to;
	socklen_t len = dial_ops(d)->name(d, &to);

	if (kernel_connect(dial_kernel(d), d->fd, &to.any, len) < 0)
		return errno;
	return 0;
}

void plait_i_dial_connect(struct dial *d)
{
	int err = dial_call_connect(d);

	/* A connect() that was interrupted goes on. */
	if (err == EINTR)
		REACHED("connect() is interrupted and goes on");
	if (err == EINPROGRESS || err == EINTR)
		dial_wait(d);
	else if (err == EAGAIN && dial_ops(d)->again != NULL)
		dial_ops(d)->again(d);
	else if (err != 0)
		dial_fail(d, NULL, err);
	else
		dial_succeed(d);
}

static void dial_run(struct loop_task *task)
{
	struct dial *d = plait_container(task, struct dial, begin);
	const struct plait_error *kind = NULL;
	int err = dial_ops(d)->open(d, &kind);

	if (err != 0)
		dial_fail(d, kind, err);
	else
		plait_i_dial_connect(d);
}

void plait_i_dial_init(struct attempt *a)
{
	dial(a)->begin.run = dial_run;
	dial(a)->fd = -1;
}

void plait_i_dial_start(struct attempt *a)
{
	plait_i_loop_next_turn(a->of->reactor, &dial(a)->begin);
}

void plait_i_dial_stop(struct attempt *a)
{
	loop_task_cancel(&dial(a)->begin);
	dial(a)->armed |= plait_i_watch_forget(&dial(a)->watch);
}

void plait_i_dial_close(struct attempt *a)
{
	if (dial(a)->fd >= 0)
		plait_i_loop_close(a->of->reactor, dial(a)->fd);
	dial(a)->fd = -1;
	dial(a)->gone = 0;
	dial(a)->armed = 0;
}

struct plait_transport *plait_i_dial_transport(struct attempt *a,
					       struct transport_owner *owner)
{
	struct plait_address peer;
	struct plait_transport *t;
	int fd = dial(a)->fd, gone = dial(a)->gone;

	dial(a)->fd = -1;
	plait_i_address_get(&a->to, &peer);
	t = plait_i_stream_go_on(dial_ops(dial(a))->io, a->of->reactor, fd,
				 dial(a)->armed, &peer, owner);
	if (t != NULL && gone != 0)
		plait_i_stream_break_off(t, gone);
	return t;
}
