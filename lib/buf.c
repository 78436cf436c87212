/*
 * Bytes with a count of references and a maximum size.  The contents are size
 * bytes at bytes + start.  Before them are bytes that were consumed; behind
 * them is room.  The bytes lie right behind the struct (a copy) or in a block
 * of their own.  Both places have one byte more than the capacity, for the NUL
 * of printf().
 *
 * The cost is linear in the bytes that pass through.  Consuming moves an
 * offset.  Bytes are moved only into the place of at least as many consumed
 * bytes, or into a new block of twice the needed size.  So a buffer whose bytes
 * are consumed may take twice its maximum of memory, never more.
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include <plait/failure.h>

/*
 * These functions are defined here.  Calls in this file say the place
 * themselves.
 */
#undef plait_value_buf

struct plait_buf {
	size_t refs;
	size_t max;
	size_t capacity;
	size_t start, size;
	size_t reserved;    /* room promised to a commit */
	const void *holder; /* counts the buffer once; see plait_i_buf_hold() */
	size_t held;	    /* how many of its queues have the buffer */
	unsigned char *bytes;
	unsigned char own[];
};

static void buf_verify(const struct plait_buf *b)
{
#ifdef PLAIT_VERIFY
	plait_assert(b->refs > 0);
	plait_assert(b->size <= b->max);
	plait_assert(b->size > 0 || b->start == 0);
	plait_assert(b->start <= b->capacity);
	plait_assert(b->size <= b->capacity - b->start);
	plait_assert(b->reserved <= b->capacity - b->start - b->size);
	plait_assert(b->reserved <= b->max - b->size);
	plait_assert(b->reserved == 0 || b->refs == 1);
#endif
}

static struct plait_buf *new (size_t max, size_t capacity)
{
	struct plait_buf *b = malloc(sizeof(*b) + capacity + 1);

	if (b == NULL)
		return NULL;
	*b = (struct plait_buf){
		.refs = 1,
		.max = max < PLAIT_BUF_UNBOUNDED ? max : PLAIT_BUF_UNBOUNDED,
		.capacity = capacity,
	};
	b->bytes = b->own;
	buf_verify(b);
	return b;
}

struct plait_buf *plait_buf_new(size_t max)
{
	return new (max, 0);
}

struct plait_buf *plait_buf_copy(const void *data, size_t len)
{
	struct plait_buf *b;

	if (len > PLAIT_BUF_UNBOUNDED) {
		errno = ENOMEM;
		return NULL;
	}
	b = new (len, len);
	if (b != NULL)
		plait_buf_append(b, data, len);
	return b;
}

struct plait_buf *plait_buf_ref(struct plait_buf *b)
{
	if (b == NULL)
		return NULL;
	b->refs++;
	b->reserved = 0;
	buf_verify(b);
	return b;
}

static void free_bytes(struct plait_buf *b)
{
	if (b->bytes != b->own)
		free(b->bytes);
}

void plait_buf_unref(struct plait_buf **bp)
{
	struct plait_buf *b = bp != NULL ? *bp : NULL;

	if (b == NULL)
		return;
	*bp = NULL;
	if (--b->refs > 0)
		return;
	free_bytes(b);
	free(b);
}

void plait_buf_cleanup(struct plait_buf **bp)
{
	plait_buf_unref(bp);
}

/*
 * Returns twice the needed size.  While nothing was consumed, more than the
 * maximum would be useless.  needed is at most half of SIZE_MAX.
 */
static size_t next_capacity(const struct plait_buf *b, size_t needed)
{
	size_t capacity = 2 * needed;

	return b->start == 0 && capacity > b->max ? b->max : capacity;
}

static int buf_grow(struct plait_buf *b, size_t needed)
{
	size_t capacity = next_capacity(b, needed);
	unsigned char *bytes = malloc(capacity + 1);

	if (bytes == NULL)
		return -ENOMEM;
	memcpy(bytes, b->bytes + b->start, b->size);
	free_bytes(b);
	b->bytes = bytes;
	b->capacity = capacity;
	b->start = 0;
	return 0;
}

static int buf_make_room(struct plait_buf *b, size_t len)
{
	size_t needed = b->size + len;

	if (len <= b->capacity - b->start - b->size)
		return 0;
	if (needed > b->capacity || b->start < b->size)
		return buf_grow(b, needed);
	memmove(b->bytes, b->bytes + b->start, b->size);
	b->start = 0;
	return 0;
}

int plait_buf_reserve(struct plait_buf *b, size_t len, void **ret)
{
	int r;

	if (b == NULL)
		return -ENOMEM;
	if (b->refs > 1)
		return -EBUSY;
	if (len > b->max - b->size)
		return -EMSGSIZE;
	r = buf_make_room(b, len);
	if (r < 0)
		return r;
	b->reserved = len;
	buf_verify(b);
	*ret = b->bytes + b->start + b->size;
	return 0;
}

void plait_buf_commit(struct plait_buf *b, size_t len)
{
	if (b == NULL)
		return;
	plait_assert(len <= b->reserved);
	b->size += len;
	b->reserved = 0;
	buf_verify(b);
}

int plait_buf_append(struct plait_buf *b, const void *data, size_t len)
{
	void *room;
	int r = plait_buf_reserve(b, len, &room);

	if (r < 0)
		return r;
	if (len > 0)
		memcpy(room, data, len);
	plait_buf_commit(b, len);
	return 0;
}

int plait_i_buf_vprintf(struct plait_buf *b, const char *fmt, va_list ap)
{
	va_list again;
	void *room;
	int len, r;

	va_copy(again, ap);
	len = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (len < 0)
		return -EINVAL;
	r = plait_buf_reserve(b, (size_t)len, &room);
	if (r < 0)
		return r;
	vsnprintf(room, (size_t)len + 1, fmt, ap);
	plait_buf_commit(b, (size_t)len);
	return 0;
}

int plait_buf_printf(struct plait_buf *b, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = plait_i_buf_vprintf(b, fmt, ap);
	va_end(ap);
	return r;
}

int plait_buf_consume(struct plait_buf *b, size_t len)
{
	if (b == NULL)
		return -ENOMEM;
	if (b->refs > 1)
		return -EBUSY;
	if (len > b->size)
		return -EINVAL;
	b->size -= len;
	b->start = b->size > 0 ? b->start + len : 0;
	b->reserved = 0;
	buf_verify(b);
	return 0;
}

const void *plait_buf_data(const struct plait_buf *b)
{
	return b != NULL ? b->bytes + b->start : NULL;
}

size_t plait_buf_size(const struct plait_buf *b)
{
	return b != NULL ? b->size : 0;
}

size_t plait_buf_max(const struct plait_buf *b)
{
	return b != NULL ? b->max : 0;
}

size_t plait_i_buf_footprint(const struct plait_buf *b)
{
	return sizeof(*b) + b->capacity + 1;
}

bool plait_i_buf_hold(struct plait_buf *b, const void *holder)
{
	if (b->holder != NULL && b->holder != holder)
		return true;
	b->holder = holder;
	return b->held++ == 0;
}

bool plait_i_buf_is_held(const struct plait_buf *b, const void *holder)
{
	return b->holder == holder;
}

bool plait_i_buf_let_go(struct plait_buf *b, const void *holder)
{
	if (b->holder != holder)
		return true;
	if (--b->held > 0)
		return false;
	b->holder = NULL;
	return true;
}

bool plait_i_buf_try_let_go(struct plait_buf *b, const void *holder)
{
	return b->holder != holder || --b->held == 0;
}

void plait_i_buf_take_back(struct plait_buf *b, const void *holder)
{
	if (b->holder == holder)
		b->held++;
}

static void buf_value_free(void *ptr)
{
	struct plait_buf *b = ptr;

	plait_buf_unref(&b);
}

static void *buf_value_ref(void *ptr)
{
	return plait_buf_ref(ptr);
}

static int buf_value_format(const void *ptr, char *buf, size_t size)
{
	const struct plait_buf *b = ptr;
	size_t len;

	if (size > 0) {
		len = b->size < size ? b->size : size - 1;
		memcpy(buf, plait_buf_data(b), len);
		buf[len] = '\0';
	}
	return b->size < INT_MAX ? (int)b->size : INT_MAX;
}

const struct plait_type plait_buf_type = {
	.name = "buf",
	.free = buf_value_free,
	.format = buf_value_format,
	.ref = buf_value_ref,
};

plait_value plait_buf_value(struct plait_buf *b)
{
	if (b == NULL)
		return plait_no_memory();
	return plait_value_make(&plait_buf_type, b);
}

struct plait_buf *plait_value_buf(const plait_value *v, const char *where)
{
	return (plait_value_get)(v, &plait_buf_type, where);
}
