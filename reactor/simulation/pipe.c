/*
 * Pipes of a simulated kernel: see pipe.h.
 *
 * An end is a sim_socket, so that descriptors and waiting are as for sockets;
 * but it is not among the sockets of its host.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/simulation/pipe.h"
#include "reactor/simulation/world.h"

enum { PIPE_SIZE = 65536 };

struct sim_pipe {
	unsigned number;
	unsigned readers, writers;
	struct plait_list ends;
	size_t first, used; /* bytes, in a ring */
	unsigned char data[PIPE_SIZE];
};

struct pipe_end {
	struct sim_socket base;
	struct plait_list link; /* in pipe->ends */
	struct sim_pipe *pipe;
	bool is_writer;
};

static struct pipe_end *pipe_end_of(struct sim_socket *s)
{
	return plait_container(s, struct pipe_end, base);
}

static const struct pipe_end *pipe_end_of_const(const struct sim_socket *s)
{
	return plait_container(s, const struct pipe_end, base);
}

static void pipe_woken(struct sim_pipe *p)
{
	struct plait_list *l;

	plait_list_for_each (l, &p->ends)
		plait_i_socket_woken(
			&plait_container(l, struct pipe_end, link)->base);
}

/* ---- what it is ready for ------------------------------------------------ */

static size_t pipe_room(const struct sim_pipe *p)
{
	return PIPE_SIZE - p->used;
}

/* There is room if there is room for what is written as a whole. */
static unsigned pipe_readiness(const struct sim_socket *s)
{
	const struct pipe_end *e = pipe_end_of_const(s);
	const struct sim_pipe *p = e->pipe;

	if (e->is_writer)
		return (pipe_room(p) >= PIPE_BUF ? POLLOUT : 0) |
		       (p->readers == 0 ? POLLERR : 0);
	return (p->used > 0 ? POLLIN : 0) | (p->writers == 0 ? POLLHUP : 0);
}

static size_t pipe_input(const struct sim_socket *s)
{
	const struct pipe_end *e = pipe_end_of_const(s);

	return e->is_writer ? 0 : e->pipe->used;
}

static size_t pipe_end_room(const struct sim_socket *s)
{
	const struct pipe_end *e = pipe_end_of_const(s);

	return e->is_writer ? pipe_room(e->pipe) : 0;
}

/* ---- life ---------------------------------------------------------------- */

static void pipe_end_release(struct sim_socket *s)
{
	struct pipe_end *e = pipe_end_of(s);
	struct sim_pipe *p = e->pipe;

	plait_list_remove(&e->link);
	if (e->is_writer)
		p->writers--;
	else
		p->readers--;
	free(e);
	if (plait_list_is_empty(&p->ends))
		free(p);
	else
		pipe_woken(p);
}

static const struct socket_ops pipe_end_ops = {
	.readiness = pipe_readiness,
	.input = pipe_input,
	.room = pipe_end_room,
	.release = pipe_end_release,
};

static struct pipe_end *pipe_end_new(struct plait_host *h, struct sim_pipe *p,
				     bool is_writer)
{
	struct pipe_end *e = malloc(sizeof(*e));

	if (e == NULL)
		return NULL;
	*e = (struct pipe_end){
		.base = { .ops = &pipe_end_ops,
			  .host = h,
			  .family = AF_UNSPEC },
		.pipe = p,
		.is_writer = is_writer,
	};
	plait_list_init(&e->base.link);
	plait_list_append(&p->ends, &e->link);
	if (is_writer)
		p->writers++;
	else
		p->readers++;
	return e;
}

int plait_i_pipe_make(struct plait_host *h, struct sim_socket **reader,
		      struct sim_socket **writer)
{
	struct sim_pipe *p = malloc(sizeof(*p));
	struct pipe_end *r, *w;

	if (p == NULL)
		return -ENOMEM;
	p->number = ++h->n_pipes;
	p->readers = p->writers = 0;
	p->first = p->used = 0;
	plait_list_init(&p->ends);
	r = pipe_end_new(h, p, false);
	if (r == NULL) {
		free(p);
		return -ENOMEM;
	}
	w = pipe_end_new(h, p, true);
	if (w == NULL) {
		pipe_end_release(&r->base);
		return -ENOMEM;
	}
	*reader = &r->base;
	*writer = &w->base;
	return 0;
}

struct sim_socket *plait_i_pipe_copy(const struct sim_socket *s)
{
	const struct pipe_end *e = pipe_end_of_const(s);
	struct pipe_end *copy = pipe_end_new(s->host, e->pipe, e->is_writer);

	return copy != NULL ? &copy->base : NULL;
}

unsigned plait_i_pipe_number(const struct sim_socket *s)
{
	return pipe_end_of_const(s)->pipe->number;
}

bool plait_i_pipe_is_writer(const struct sim_socket *s)
{
	return pipe_end_of_const(s)->is_writer;
}

/* ---- bytes --------------------------------------------------------------- */

/* How many bytes lie in one piece from that place on, of so many. */
static size_t pipe_piece(size_t place, size_t len)
{
	size_t most = PIPE_SIZE - place;

	return len < most ? len : most;
}

static void pipe_take(struct sim_pipe *p, unsigned char *to, size_t len)
{
	while (len > 0) {
		size_t n = pipe_piece(p->first, len);

		memcpy(to, p->data + p->first, n);
		p->first = (p->first + n) % PIPE_SIZE;
		p->used -= n;
		to += n;
		len -= n;
	}
}

static void pipe_put(struct sim_pipe *p, const unsigned char *from, size_t len)
{
	while (len > 0) {
		size_t end = (p->first + p->used) % PIPE_SIZE;
		size_t n = pipe_piece(end, len);

		memcpy(p->data + end, from, n);
		p->used += n;
		from += n;
		len -= n;
	}
}

ssize_t plait_i_pipe_peek(const struct sim_socket *s)
{
	const struct pipe_end *e = pipe_end_of_const(s);

	if (e->is_writer)
		return -EBADF;
	if (e->pipe->used > 0)
		return 1;
	return e->pipe->writers == 0 ? 0 : -EAGAIN;
}

ssize_t plait_i_pipe_read(struct sim_socket *s, void *buf, size_t most)
{
	struct sim_pipe *p = pipe_end_of(s)->pipe;
	ssize_t there = plait_i_pipe_peek(s);

	if (there <= 0)
		return there;
	if (most > p->used)
		most = p->used;
	pipe_take(p, buf, most);
	pipe_woken(p);
	return (ssize_t)most;
}

static int pipe_may_write(const struct pipe_end *e, size_t len)
{
	size_t room = pipe_room(e->pipe);

	if (!e->is_writer)
		return -EBADF;
	if (e->pipe->readers == 0)
		return -EPIPE;
	return room == 0 || (len <= PIPE_BUF && room < len) ? -EAGAIN : 0;
}

ssize_t plait_i_pipe_write(struct sim_socket *s, const struct iovec *pieces,
			   size_t n, size_t most)
{
	const struct pipe_end *e = pipe_end_of(s);
	struct sim_pipe *p = e->pipe;
	int err = pipe_may_write(e, most);
	size_t done = 0;

	if (err < 0)
		return err;
	if (most > pipe_room(p))
		most = pipe_room(p);
	for (size_t i = 0; i < n && done < most; i++) {
		size_t len = pieces[i].iov_len;

		if (len > most - done)
			len = most - done;
		pipe_put(p, pieces[i].iov_base, len);
		done += len;
	}
	pipe_woken(p);
	return (ssize_t)done;
}

bool plait_i_pipe_is_broken(const struct sim_socket *s)
{
	const struct pipe_end *e = pipe_end_of_const(s);

	return e->is_writer && e->pipe->readers == 0;
}
