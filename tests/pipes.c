/*
 * A transport on two descriptors: see pipes.h.  Only public headers.
 */
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/pipes.h"

struct pipes {
	struct plait_transport base;
	struct plait_watch reading, writing;
	int in, out; /* -1: closed */
};

static ssize_t pipes_send(struct plait_transport *t, const struct iovec *pieces,
			  int n)
{
	ssize_t r = writev(plait_self(t, struct pipes)->out, pieces, n);

	return r < 0 ? -errno : r;
}

static int pipes_want(struct plait_transport *t, unsigned wants)
{
	struct pipes *p = plait_self(t, struct pipes);
	int r = plait_watch_change(
		&p->reading,
		wants & PLAIT_TRANSPORT_WANTS_INPUT ? PLAIT_WATCH_READ : 0);

	if (r == 0 && p->out >= 0)
		r = plait_watch_change(&p->writing,
				       wants & PLAIT_TRANSPORT_WANTS_ROOM
					       ? PLAIT_WATCH_WRITE
					       : 0);
	return r;
}

static void pipes_close(struct plait_watch *w, int *fd)
{
	plait_watch_stop(w);
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int pipes_shut(struct plait_transport *t)
{
	struct pipes *p = plait_self(t, struct pipes);

	pipes_close(&p->writing, &p->out);
	return 0;
}

static bool pipes_has_input(struct plait_transport *t)
{
	int n;

	return ioctl(plait_self(t, struct pipes)->in, FIONREAD, &n) == 0 &&
	       n > 0;
}

static ssize_t pipes_read(struct pipes *p)
{
	char buf[65536];
	ssize_t n = read(p->in, buf, sizeof(buf));

	if (n > 0)
		plait_transport_received(&p->base, buf, (size_t)n);
	return n < 0 ? -errno : n;
}

static bool pipes_drain(struct plait_transport *t)
{
	return pipes_read(plait_self(t, struct pipes)) > 0;
}

static void pipes_done(struct plait_transport *t)
{
	struct pipes *p = plait_self(t, struct pipes);

	pipes_close(&p->reading, &p->in);
	pipes_close(&p->writing, &p->out);
}

static const struct plait_transport_ops pipes_ops = {
	.name = "pipes",
	.size = sizeof(struct pipes),
	.send = pipes_send,
	.want = pipes_want,
	.shut = pipes_shut,
	.has_input = pipes_has_input,
	.drain = pipes_drain,
	.done = pipes_done,
};

static void pipes_readable(struct plait_watch *w, unsigned events)
{
	struct pipes *p = plait_container(w, struct pipes, reading);
	ssize_t n = pipes_read(p);
	plait_value why;

	if (n == 0) {
		plait_transport_read_lost(&p->base);
	} else if (n < 0 && n != -EAGAIN) {
		why = plait_fail_errno(&plait_error_connection_lost, (int)-n,
				       "read");
		plait_transport_lost(&p->base, plait_value_failure(&why));
		plait_value_free(&why);
	}
}

static void pipes_writable(struct plait_watch *w, unsigned events)
{
	plait_transport_writable(
		&plait_container(w, struct pipes, writing)->base);
}

struct plait_transport *pipes_new(struct plait_reactor *r, int in, int out)
{
	struct plait_transport *t = plait_transport_new(&pipes_ops, r, NULL);
	struct pipes *p;
	int err;

	if (t == NULL) {
		err = errno;
		close(in);
		close(out);
		errno = err;
		return NULL;
	}
	p = plait_self(t, struct pipes);
	p->in = in;
	p->out = out;
	err = -plait_watch_start(r, &p->reading, in, 0, pipes_readable);
	if (err == 0)
		err = -plait_watch_start(r, &p->writing, out, 0,
					 pipes_writable);
	if (err != 0) {
		plait_transport_free(&t);
		errno = err;
	}
	return t;
}
