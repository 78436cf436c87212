/*
 * The queue of unsent bytes of one connection: pieces, one after the other in a
 * list of blocks.  A piece is a copy, whose bytes follow the struct, and which
 * grows with each write while it is the last piece; or a reference to a shared
 * buffer, whose bytes are not copied; or borrowed: its bytes lie in the read
 * buffer, and are copied only if they cannot be sent at once.
 *
 * No piece and no block is ever empty, so an empty queue holds no memory.  Each
 * byte is copied once, into its block; and once more, if plait_i_output_keep()
 * finds it behind borrowed bytes.  The first block is small, and each
 * further block is about half as large as the queue, so a few unsent bytes hold
 * little memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/chance.h"
#include "reactor/kernel/file.h"
#include "reactor/net/output.h"

/* Two pieces refer to it while plait_i_output_keep() moves it. */
struct output_file {
	unsigned refs;
	int fd;
	uint64_t from; /* where the piece begins */
};

struct output_piece {
	struct plait_buf *buf; /* it refers to that; or ... */
	union {
		struct pool_input *input; /* is borrowed from that; or ... */
		struct output_file *file; /* is of that, and data is NULL */
	};				  /* NULL: is a copy */
	const unsigned char *data;
	size_t size;
};

struct output_block {
	struct pool_block base;
	struct output_block *next;	   /* of a ring */
	struct output_piece *first, *last; /* not yet sent */
	unsigned char *end;
	/* In the last block, of the whole output. */
	size_t blocks; /* their bytes */
	/* What buffers hold besides what is to be sent; less what is in files,
	   so it may be below zero, modulo SIZE_MAX + 1. */
	size_t overhead;
	size_t borrowed;
	_Alignas(struct output_piece) unsigned char data[];
};

enum {
	ALIGNMENT = _Alignof(struct output_piece),
	/* Up to this size a copy of a buffer is cheaper, and holds less. */
	SMALL_BUF = 256,
	/* A buffer needs a piece, and a copy after it needs another piece. */
	BUF_OVERHEAD = 2 * sizeof(struct output_piece),
	/* Behind so much nothing is borrowed: there is more than one send
	   takes, and what is borrowed would be in too many pieces. */
	MAX_BORROW = 64 * 1024,
};

static bool is_copy(const struct output_piece *p)
{
	return p->buf == NULL && p->input == NULL;
}

static unsigned char *limit_of(const struct output_block *b)
{
	return b->base.limit;
}

static bool is_of_file(const struct output_piece *p)
{
	return p->data == NULL;
}

static bool is_borrowed(const struct output_piece *p)
{
	return p->input != NULL && !is_of_file(p);
}

/* Returns where a piece may begin, at that address or after it. */
static unsigned char *output_align(const unsigned char *end)
{
	uintptr_t up = (uintptr_t)end + ALIGNMENT - 1;

	return (unsigned char *)(up - up % ALIGNMENT);
}

/* The piece behind p, in its block. */
static struct output_piece *next_in_block(struct output_piece *p)
{
	if (!is_copy(p))
		return p + 1;
	return (struct output_piece *)output_align(p->data + p->size);
}

/* The piece behind p, which is in *b; NULL at the end. */
static struct output_piece *next_piece(const struct output *o,
				       const struct output_block **b,
				       struct output_piece *p)
{
	if (p != (*b)->last)
		return next_in_block(p);
	if (*b == o->last)
		return NULL;
	*b = (*b)->next;
	return (*b)->first;
}

/* The block that is sent first; NULL: there is none. */
static struct output_block *first_block(const struct output *o)
{
	return o->last != NULL ? o->last->next : NULL;
}

static struct output_piece *first_piece(const struct output *o)
{
	return o->last != NULL ? o->last->next->first : NULL;
}

size_t plait_i_output_cost(const struct output *o)
{
	return o->size + (o->last != NULL ? o->last->overhead : 0);
}

size_t plait_i_output_cost_of_buf(const struct plait_buf *buf)
{
	if (plait_buf_size(buf) <= SMALL_BUF)
		return plait_buf_size(buf);
	return plait_i_buf_footprint(buf) + BUF_OVERHEAD;
}

size_t plait_i_output_adds_of_buf(const struct plait_buf *buf,
				  const struct plait_reactor *r)
{
	if (plait_buf_size(buf) > SMALL_BUF && plait_i_buf_is_held(buf, r))
		return BUF_OVERHEAD;
	return plait_i_output_cost_of_buf(buf);
}

/* What p counts, of all its bytes or of those that are left. */
static size_t piece_cost(const struct output_piece *p)
{
	if (is_of_file(p))
		return OUTPUT_FILE_COST;
	return p->buf != NULL ? plait_i_output_cost_of_buf(p->buf) : p->size;
}

static void output_verify(const struct output *o)
{
#ifdef PLAIT_VERIFY
	const struct output_block *b = first_block(o);
	struct output_piece *p;
	size_t size = 0, cost = 0, blocks = 0, borrowed = 0;

	for (p = first_piece(o); p != NULL; p = next_piece(o, &b, p)) {
		plait_assert(p->size > 0);
		size += p->size;
		cost += piece_cost(p);
		borrowed += is_borrowed(p) ? p->size : 0;
	}
	for (b = first_block(o); b != NULL; b = b != o->last ? b->next : NULL) {
		plait_assert(b->end <= limit_of(b));
		blocks += pool_block_size(&b->base);
	}
	plait_assert(size == o->size);
	plait_assert(cost == plait_i_output_cost(o));
	plait_assert(o->last == NULL || blocks == o->last->blocks);
	plait_assert(o->last == NULL || borrowed == o->last->borrowed);
#endif
}

/* Adds a block behind the last, if there is one, with room for a piece and so
   many bytes. */
static inline struct output_block *add_block(struct output *o,
					     struct plait_reactor *r,
					     struct output_block *last,
					     size_t room)
{
	struct pool_block *base =
		plait_i_pool_get(r, sizeof(struct output_block) +
					    sizeof(struct output_piece) + room);
	struct output_block *b;

	if (base == NULL)
		return NULL;
	b = plait_container(base, struct output_block, base);
	b->next = last != NULL ? last->next : b;
	b->first = b->last = NULL;
	b->end = b->data;
	b->blocks = pool_block_size(base) + (last != NULL ? last->blocks : 0);
	b->overhead = last != NULL ? last->overhead : 0;
	b->borrowed = last != NULL ? last->borrowed : 0;
	if (last != NULL)
		last->next = b;
	o->last = b;
	return b;
}

/* The same, with room for so many bytes if there are such blocks; or for more,
   so that a long output has few blocks. */
static struct output_block *add_large_block(struct output *o,
					    struct plait_reactor *r, size_t len)
{
	size_t room = o->last != NULL ? o->last->blocks / 2 : 0;

	if (room < len)
		room = len < POOL_BLOCK_SIZE ? len : POOL_BLOCK_SIZE;
	return add_block(o, r, o->last, room);
}

/*
 * Adds a piece at the end, with room for some of so many bytes after it.
 * Returns NULL if there is no memory.
 */
static struct output_piece *add_piece(struct output *o, struct plait_reactor *r,
				      size_t len)
{
	struct output_block *b = o->last;
	size_t least = sizeof(struct output_piece) + (len > 0);
	unsigned char *at = b != NULL ? output_align(b->end) : NULL;

	if (b == NULL || at >= limit_of(b) ||
	    (size_t)(limit_of(b) - at) < least) {
		b = add_large_block(o, r, len);
		if (b == NULL)
			return NULL;
		at = b->data;
	}
	b->last = (struct output_piece *)at;
	if (b->first == NULL)
		b->first = b->last;
	b->end = at + sizeof(struct output_piece);
	return b->last;
}

/* Returns by how many bytes the last piece can grow, if it is a copy. */
static size_t room_to_grow(const struct output_block *b)
{
	if (b == NULL || !is_copy(b->last))
		return 0;
	return (size_t)(limit_of(b) - b->end);
}

/* Returns the last block, with room for a copy; NULL if there is no memory. */
static struct output_block *growing_block(struct output *o,
					  struct plait_reactor *r, size_t len)
{
	struct output_piece *p;

	if (room_to_grow(o->last) > 0)
		return o->last;
	p = add_piece(o, r, len);
	if (p == NULL)
		return NULL;
	*p = (struct output_piece){ .data = o->last->end };
	return o->last;
}

int plait_i_output_add(struct output *o, struct plait_reactor *r,
		       const void *data, size_t len)
{
	const unsigned char *from = data;
	struct output_block *b;
	size_t room;

	while (len > 0) {
		b = growing_block(o, r, len);
		if (b == NULL)
			return -ENOMEM;
		room = (size_t)(limit_of(b) - b->end);
		if (room > len)
			room = len;
		memcpy(b->end, from, room);
		b->end += room;
		b->last->size += room;
		o->size += room;
		from += room;
		len -= room;
	}
	output_verify(o);
	return 0;
}

/* Copies pieces to where there is room, and returns the end of them there. */
static inline unsigned char *copy_pieces(unsigned char *end,
					 const struct iovec *pieces, int n)
{
	for (const struct iovec *p = pieces; p < pieces + n; p++) {
		if (p->iov_len > 0)
			memcpy(end, p->iov_base, p->iov_len);
		end += p->iov_len;
	}
	return end;
}

int plait_i_output_begin(struct output *o, struct plait_reactor *r,
			 const struct iovec *pieces, int n, size_t len)
{
	struct output_block *b = add_block(o, r, NULL, len);
	struct output_piece *p;

	if (b == NULL)
		return -ENOMEM;
	p = b->first = b->last = (struct output_piece *)b->data;
	*p = (struct output_piece){ .data = (void *)(p + 1), .size = len };
	b->end = copy_pieces((void *)(p + 1), pieces, n);
	o->size = len;
	output_verify(o);
	return 0;
}

bool plait_i_output_append(struct output *o, const struct iovec *pieces, int n,
			   size_t len, size_t max)
{
	struct output_block *b = o->last;

	if (room_to_grow(b) < len || len > max ||
	    o->size + b->overhead > max - len)
		return false;
	b->end = copy_pieces(b->end, pieces, n);
	b->last->size += len;
	o->size += len;
	output_verify(o);
	return true;
}

/* Adds a reference to a buffer, for those of its bytes. */
static int add_reference(struct output *o, struct plait_reactor *r,
			 struct plait_buf *buf, const unsigned char *data,
			 size_t size)
{
	struct output_piece *p = add_piece(o, r, 0);

	if (p == NULL)
		return -ENOMEM;
	*p = (struct output_piece){
		.buf = plait_buf_ref(buf),
		.data = data,
		.size = size,
	};
	if (plait_i_buf_hold(buf, r))
		plait_i_pool_hold(r, plait_i_buf_footprint(buf));
	o->size += size;
	o->last->overhead += plait_i_output_cost_of_buf(buf) - size;
	output_verify(o);
	return 0;
}

int plait_i_output_add_buf(struct output *o, struct plait_reactor *r,
			   struct plait_buf *buf)
{
	const unsigned char *data = plait_buf_data(buf);
	size_t size = plait_buf_size(buf);

	if (size <= SMALL_BUF)
		return plait_i_output_add(o, r, data, size);
	return add_reference(o, r, buf, data, size);
}

static int add_file(struct output *o, struct plait_reactor *r,
		    struct output_file *file, size_t size)
{
	struct output_piece *p = add_piece(o, r, 0);

	if (p == NULL)
		return -ENOMEM;
	*p = (struct output_piece){ .file = file, .size = size };
	file->refs++;
	o->size += size;
	o->last->overhead += OUTPUT_FILE_COST - size;
	output_verify(o);
	return 0;
}

int plait_i_output_add_file(struct output *o, struct plait_reactor *r, int fd,
			    uint64_t from, size_t size)
{
	struct output_file *file = malloc(sizeof(*file));
	int err;

	if (file == NULL)
		return -ENOMEM;
	*file = (struct output_file){ .fd = fd, .from = from };
	err = add_file(o, r, file, size);
	if (err < 0)
		free(file);
	return err;
}

/* Returns the last piece, if the bytes at that address can be added to it. */
static struct output_piece *piece_before(const struct output *o,
					 const struct pool_input *in,
					 const unsigned char *data)
{
	struct output_piece *p = o->last != NULL ? o->last->last : NULL;

	return p != NULL && is_borrowed(p) && p->input == in &&
			       p->data + p->size == data
		       ? p
		       : NULL;
}

int plait_i_output_borrow(struct output *o, struct plait_reactor *r,
			  const void *data, size_t len)
{
	struct pool_input *in =
		o->size < MAX_BORROW ? plait_i_pool_lend(r, data, len) : NULL;
	struct output_piece *p;

	if (in == NULL)
		return plait_i_output_add(o, r, data, len);
	p = piece_before(o, in, data);
	if (p == NULL) {
		p = add_piece(o, r, 0);
		if (p == NULL) {
			plait_i_pool_give_back(r, in, len);
			return -ENOMEM;
		}
		*p = (struct output_piece){ .input = in, .data = data };
	}
	p->size += len;
	o->size += len;
	o->last->borrowed += len;
	output_verify(o);
	return 0;
}

int plait_i_output_keep(struct output *o, struct plait_reactor *r)
{
	struct output from = *o;
	const struct output_piece *p;
	int err = 0;

	if (o->last == NULL || o->last->borrowed == 0)
		return 0;
	REACHED("what was borrowed is copied, as it was not sent");
	*o = (struct output){ .size = 0 };
	while (err == 0 && from.size > 0) {
		p = first_piece(&from);
		if (p->buf != NULL)
			err = add_reference(o, r, p->buf, p->data, p->size);
		else if (is_of_file(p))
			err = add_file(o, r, p->file, p->size);
		else
			err = plait_i_output_add(o, r, p->data, p->size);
		plait_i_output_consume(&from, r, p->size);
	}
	plait_i_output_drop(&from, r);
	return err;
}

/* Counts the references to each buffer, to see which nobody else has. */
size_t plait_i_output_gives_back(const struct output *o,
				 struct plait_reactor *r)
{
	size_t bytes =
		o->last != NULL ? o->last->blocks + o->last->borrowed : 0;
	const struct output_block *b = first_block(o);
	struct output_piece *p;

	for (p = first_piece(o); p != NULL; p = next_piece(o, &b, p)) {
		if (p->buf != NULL && plait_i_buf_try_let_go(p->buf, r))
			bytes += plait_i_buf_footprint(p->buf);
	}
	b = first_block(o);
	for (p = first_piece(o); p != NULL; p = next_piece(o, &b, p)) {
		if (p->buf != NULL)
			plait_i_buf_take_back(p->buf, r);
	}
	return bytes;
}

int plait_i_output_gather(const struct output *o, struct iovec *iov, int max,
			  size_t *ret)
{
	const struct output_block *b = first_block(o);
	struct output_piece *p = first_piece(o);
	size_t len = 0;
	int n = 0;

	while (p != NULL && n < max && !is_of_file(p)) {
		iov[n].iov_base = (void *)(uintptr_t)p->data;
		iov[n++].iov_len = p->size;
		len += p->size;
		p = next_piece(o, &b, p);
	}
	*ret = len;
	return n;
}

bool plait_i_output_first_file(const struct output *o, int *fd, uint64_t *from,
			       size_t *size)
{
	const struct output_piece *p = first_piece(o);

	if (p == NULL || !is_of_file(p))
		return false;
	*fd = p->file->fd;
	*from = p->file->from;
	*size = p->size;
	return true;
}

static void drop_file(struct output_file *file)
{
	if (--file->refs > 0)
		return;
	plait_i_given_file_close(file->fd);
	free(file);
}

static void drop_buf(struct plait_reactor *r, struct plait_buf *buf)
{
	if (plait_i_buf_let_go(buf, r))
		plait_i_pool_let_go(r, plait_i_buf_footprint(buf));
	plait_buf_unref(&buf);
}

/* Lets go of what p refers to. */
static OUT_OF_LINE void piece_let_go(struct plait_reactor *r,
				     const struct output_piece *p)
{
	if (p->buf != NULL)
		drop_buf(r, p->buf);
	else if (is_of_file(p))
		drop_file(p->file);
	else
		plait_i_pool_give_back(r, p->input, p->size);
}

/* Another is behind it. */
static void drop_first_block(struct output *o, struct plait_reactor *r)
{
	struct output_block *b = o->last->next;

	o->last->next = b->next;
	o->last->blocks -= pool_block_size(&b->base);
	plait_i_pool_put(r, &b->base);
}

/* Another is behind it. */
static void drop_first_piece(struct output *o, struct plait_reactor *r)
{
	struct output_block *b = o->last->next;
	struct output_piece *p = b->first;

	o->size -= p->size;
	o->last->overhead -= piece_cost(p) - p->size;
	if (is_borrowed(p))
		o->last->borrowed -= p->size;
	if (p != b->last)
		b->first = next_in_block(p);
	if (!is_copy(p))
		piece_let_go(r, p);
	if (p == b->last)
		drop_first_block(o, r);
}

/* Less than there is. */
static OUT_OF_LINE void consume_some(struct output *o, struct plait_reactor *r,
				     size_t len)
{
	struct output_piece *p;

	for (p = first_piece(o); len >= p->size; p = first_piece(o)) {
		len -= p->size;
		drop_first_piece(o, r);
	}
	p->size -= len;
	o->size -= len;
	/* Even if few bytes of a buffer are left, the whole buffer is held, and
	   so is a file. */
	if (p->buf != NULL || is_of_file(p))
		o->last->overhead += len;
	if (is_borrowed(p)) {
		o->last->borrowed -= len;
		plait_i_pool_give_back(r, p->input, len);
	}
	if (is_of_file(p))
		p->file->from += len;
	else
		p->data += len;
	output_verify(o);
}

static void drop_block(struct plait_reactor *r, struct output_block *b)
{
	struct output_piece *p = b->first;

	for (;; p = next_in_block(p)) {
		if (!is_copy(p))
			piece_let_go(r, p);
		if (p == b->last)
			break;
	}
	plait_i_pool_put(r, &b->base);
}

void plait_i_output_drop(struct output *o, struct plait_reactor *r)
{
	struct output_block *b = first_block(o), *next;

	while (b != NULL) {
		next = b != o->last ? b->next : NULL;
		drop_block(r, b);
		b = next;
	}
	*o = (struct output){ .size = 0 };
}

/* Nothing but one copy, as what is written in answer to something mostly is. */
static inline bool is_one_copy(const struct output_block *b)
{
	return b->next == b && b->first == b->last && is_copy(b->last);
}

void plait_i_output_consume(struct output *o, struct plait_reactor *r,
			    size_t len)
{
	struct output_block *b = o->last;

	plait_assert(len <= o->size);
	if (len < o->size) {
		consume_some(o, r, len);
	} else if (b != NULL && is_one_copy(b)) {
		*o = (struct output){ .size = 0 };
		plait_i_pool_put(r, &b->base);
	} else {
		plait_i_output_drop(o, r);
	}
}

void plait_i_output_move(struct output *o, struct output *from)
{
	struct output_block *first = first_block(o);

	if (from->last == NULL)
		return;
	if (first != NULL) {
		o->last->next = from->last->next;
		from->last->next = first;
		from->last->blocks += o->last->blocks;
		from->last->overhead += o->last->overhead;
		from->last->borrowed += o->last->borrowed;
	}
	o->last = from->last;
	o->size += from->size;
	*from = (struct output){ .size = 0 };
	output_verify(o);
}
