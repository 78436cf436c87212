/*
 * The queue of unsent bytes of one connection: a list of pieces.  A piece is
 * a block of the reactor's that holds copies, filled by one write after the
 * other, or a reference to a shared buffer, of which nothing is copied.
 *
 * No piece is ever empty, so an empty queue holds no memory; only the last
 * block is ever filled further.  Every byte is moved once: into its block.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/output.h"

/* A block begins with its piece; the one of a buffer is malloc'ed. */
struct output_piece {
	struct output_piece *next;
	struct plait_buf *buf; /* NULL: a block */
	const unsigned char *data;
	size_t size;
};

enum { BLOCK_ROOM = LOOP_BLOCK_SIZE - sizeof(struct output_piece) };

static void verify(const struct output *o)
{
#ifdef PLAIT_VERIFY
	const struct output_piece *p, *last = NULL;
	size_t size = 0;

	for (p = o->first; p != NULL; last = p, p = p->next) {
		plait_assert(p->size > 0);
		size += p->size;
	}
	plait_assert(size == o->size);
	plait_assert(last == o->last);
#endif
}

static void append(struct output *o, struct output_piece *p)
{
	if (o->last != NULL)
		o->last->next = p;
	else
		o->first = p;
	o->last = p;
}

static unsigned char *block_start(struct output_piece *p)
{
	return (unsigned char *)(p + 1);
}

/* The end of the bytes in the last block, and what it has room for. */
static unsigned char *block_end(const struct output *o, size_t *room)
{
	struct output_piece *p = o->last;
	size_t used;

	*room = 0;
	if (p == NULL || p->buf != NULL)
		return NULL;
	used = (size_t)(p->data - block_start(p)) + p->size;
	*room = BLOCK_ROOM - used;
	return block_start(p) + used;
}

static bool add_block(struct output *o, struct plait_reactor *r)
{
	struct output_piece *p = loop_block_get(r);

	if (p == NULL)
		return false;
	*p = (struct output_piece){ .data = block_start(p) };
	append(o, p);
	return true;
}

int output_add(struct output *o, struct plait_reactor *r, const void *data,
	       size_t len)
{
	const unsigned char *from = data;
	unsigned char *to;
	size_t room;

	while (len > 0) {
		to = block_end(o, &room);
		if (room == 0) {
			if (!add_block(o, r))
				return -ENOMEM;
			continue;
		}
		if (room > len)
			room = len;
		memcpy(to, from, room);
		from += room;
		len -= room;
		o->last->size += room;
		o->size += room;
	}
	verify(o);
	return 0;
}

int output_add_buf(struct output *o, struct plait_buf *buf)
{
	struct output_piece *p = malloc(sizeof(*p));

	if (p == NULL)
		return -ENOMEM;
	*p = (struct output_piece){
		.buf = plait_buf_ref(buf),
		.data = plait_buf_data(buf),
		.size = plait_buf_size(buf),
	};
	append(o, p);
	o->size += p->size;
	verify(o);
	return 0;
}

int output_gather(const struct output *o, struct iovec *iov, int max,
		  size_t *ret)
{
	const struct output_piece *p;
	size_t len = 0;
	int n = 0;

	for (p = o->first; p != NULL && n < max; p = p->next, n++) {
		iov[n].iov_base = (void *)(uintptr_t)p->data;
		iov[n].iov_len = p->size;
		len += p->size;
	}
	*ret = len;
	return n;
}

static void drop_first(struct output *o, struct plait_reactor *r)
{
	struct output_piece *p = o->first;

	o->first = p->next;
	if (o->first == NULL)
		o->last = NULL;
	o->size -= p->size;
	if (p->buf == NULL) {
		loop_block_put(r, p);
		return;
	}
	plait_buf_unref(&p->buf);
	free(p);
}

void output_consume(struct output *o, struct plait_reactor *r, size_t len)
{
	plait_assert(len <= o->size);
	while (o->first != NULL && len >= o->first->size) {
		len -= o->first->size;
		drop_first(o, r);
	}
	if (len > 0) {
		o->first->data += len;
		o->first->size -= len;
		o->size -= len;
	}
	verify(o);
}

void output_drop(struct output *o, struct plait_reactor *r)
{
	while (o->first != NULL)
		drop_first(o, r);
}
