/*
 * Pipes of a simulated kernel: see pipe.h.
 *
 * An end is a sim_socket, so that descriptors and waiting are as for sockets;
 * but it is not among the sockets of its host.
 *
 * As in Linux, a pipe is not so many bytes, but so many pages.  A write has
 * pages of its own, but for what fits behind the last one as a whole; a page is
 * there for others when all of it was read.  So many small writes may fill a
 * pipe that has little in it.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/simulation/pipe.h"
#include "reactor/simulation/world.h"

enum { PAGES = 16, PAGE_BYTES = 4096 };

/* What is in it: len bytes from there on. */
struct pipe_page {
	size_t from, len;
	unsigned char data[PAGE_BYTES];
};

struct sim_pipe {
	unsigned number;
	unsigned readers, writers;
	struct plait_list ends;
	size_t first, used; /* pages, in a ring */
	struct pipe_page pages[PAGES];
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

static struct pipe_page *pipe_page(struct sim_pipe *p, size_t n)
{
	return &p->pages[(p->first + n) % PAGES];
}

static unsigned pipe_readiness(const struct sim_socket *s)
{
	const struct pipe_end *e = pipe_end_of_const(s);
	const struct sim_pipe *p = e->pipe;

	if (e->is_writer)
		return (p->used < PAGES ? POLLOUT : 0) |
		       (p->readers == 0 ? POLLERR : 0);
	return (p->used > 0 ? POLLIN : 0) | (p->writers == 0 ? POLLHUP : 0);
}

static size_t pipe_input(const struct sim_socket *s)
{
	const struct pipe_end *e = pipe_end_of_const(s);
	size_t bytes = 0;

	for (size_t i = 0; !e->is_writer && i < e->pipe->used; i++)
		bytes += pipe_page(e->pipe, i)->len;
	return bytes;
}

static size_t pipe_end_room(const struct sim_socket *s)
{
	const struct pipe_end *e = pipe_end_of_const(s);

	return e->is_writer ? (PAGES - e->pipe->used) * PAGE_BYTES : 0;
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

ssize_t plait_i_pipe_peek(const struct sim_socket *s)
{
	const struct pipe_end *e = pipe_end_of_const(s);

	if (e->is_writer)
		return -EBADF;
	if (e->pipe->used > 0)
		return 1;
	return e->pipe->writers == 0 ? 0 : -EAGAIN;
}

/* Takes bytes out of the first page, which is there; returns how many. */
static size_t pipe_take(struct sim_pipe *p, unsigned char *to, size_t most)
{
	struct pipe_page *page = pipe_page(p, 0);
	size_t n = most < page->len ? most : page->len;

	memcpy(to, page->data + page->from, n);
	page->from += n;
	page->len -= n;
	if (page->len == 0) {
		p->first = (p->first + 1) % PAGES;
		p->used--;
	}
	return n;
}

ssize_t plait_i_pipe_read(struct sim_socket *s, void *buf, size_t most)
{
	struct sim_pipe *p = pipe_end_of(s)->pipe;
	ssize_t there = plait_i_pipe_peek(s);
	size_t done = 0;

	if (there == -EBADF)
		return there;
	if (most == 0)
		return 0;
	while (done < most && p->used > 0)
		done += pipe_take(p, (unsigned char *)buf + done, most - done);
	if (done == 0)
		return there;
	pipe_woken(p);
	return (ssize_t)done;
}

/* How much of so many bytes goes behind the last page: what does not fill a
   page, as a whole or not at all. */
static size_t pipe_fits_behind(struct sim_pipe *p, size_t len)
{
	size_t rest = len % PAGE_BYTES;
	const struct pipe_page *last;

	if (p->used == 0)
		return 0;
	last = pipe_page(p, p->used - 1);
	return last->from + last->len + rest <= PAGE_BYTES ? rest : 0;
}

/* Takes n bytes of the pieces, from that place on, to the end of the page. */
static void pipe_fill(struct pipe_page *page, const struct iovec *pieces,
		      size_t n_pieces, size_t at, size_t n)
{
	size_t end = page->from + page->len;

	page->len +=
		plait_i_pieces_take(pieces, n_pieces, at, page->data + end, n);
}

ssize_t plait_i_pipe_write(struct sim_socket *s, const struct iovec *pieces,
			   size_t n, size_t most)
{
	const struct pipe_end *e = pipe_end_of(s);
	struct sim_pipe *p = e->pipe;
	size_t done;

	if (!e->is_writer)
		return -EBADF;
	if (most == 0)
		return 0;
	if (p->readers == 0)
		return -EPIPE;
	done = pipe_fits_behind(p, most);
	if (done > 0)
		pipe_fill(pipe_page(p, p->used - 1), pieces, n, 0, done);
	while (done < most && p->used < PAGES) {
		struct pipe_page *page = pipe_page(p, p->used++);
		size_t len =
			most - done < PAGE_BYTES ? most - done : PAGE_BYTES;

		page->from = page->len = 0;
		pipe_fill(page, pieces, n, done, len);
		done += len;
	}
	if (done == 0)
		return -EAGAIN;
	pipe_woken(p);
	return (ssize_t)done;
}

bool plait_i_pipe_is_broken(const struct sim_socket *s)
{
	const struct pipe_end *e = pipe_end_of_const(s);

	return e->is_writer && e->pipe->readers == 0;
}
