/*
 * Memory that the connections of a reactor share, so that an idle connection
 * holds none: the buffer into which all read, and blocks for unsent output.
 *
 * What a callback writes out of the bytes that it was given is sent from where
 * it lies: the read buffer lends them (output.c), and whoever wants to read
 * while some are lent gets another buffer.
 *
 * Blocks have three sizes, so that a few unsent bytes do not hold a large
 * block.  They are cut from slabs, and each slab is a mapping of its own.  So a
 * slab of which no block is in use goes back to the kernel at once, whatever
 * else the program has in memory; free() does not promise that.  The pool keeps
 * a few empty slabs, and one block of each size, so that a connection that
 * writes and sends in turn takes nothing from a slab.
 *
 * Shared buffers come from malloc().  When many of them were queued and freed,
 * free() may keep their memory in the middle of the heap.  Half a second later
 * malloc_trim() gives it back, if the libc has that function.
 */
#include <stdlib.h>
#include <sys/mman.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "lib/chance.h"
#include "reactor/loop/parts.h"

struct pool_slab {
	struct plait_list link;	 /* of the slabs that have a free block */
	struct pool_block *free; /* blocks that were in use before */
	unsigned size;		 /* which of sizes[] */
	unsigned used;		 /* blocks that are in use */
	unsigned cut;		 /* blocks that ever were in use */
	_Alignas(16) unsigned char blocks[];
};

/* The kernel copies faster to where a line of the cache begins: a read of 64
   KiB takes 4 per cent less time. */
enum { INPUT_ALIGNMENT = 64 };

/* A buffer into which connections read. */
struct pool_input {
	unsigned char *bytes;
	size_t lent; /* how many of them */
	unsigned char memory[POOL_READ_SIZE + INPUT_ALIGNMENT - 1];
};

/* Of a slab, and of each of its blocks; a large block has a slab to itself. */
static const struct {
	size_t slab, block;
} sizes[POOL_SIZES] = {
	{ 64 * 1024, 1024 },
	{ 64 * 1024, 4096 },
	{ POOL_BLOCK_SIZE, POOL_BLOCK_SIZE - sizeof(struct pool_slab) },
};

/* At most so many bytes of empty slabs are kept. */
enum { MAX_SPARE = 1024 * 1024 };

/* After so many bytes of buffers were freed, malloc_trim() is called. */
enum { WORTH_TRIMMING = 2 * 1024 * 1024 };

static const double trim_seconds = 0.5;

static OUT_OF_LINE struct pool_input *pool_input_new(struct plait_reactor *r)
{
	struct pool_input *in = malloc(sizeof(*in));

	if (in == NULL)
		return NULL;
	in->lent = 0;
	in->bytes = in->memory + -(uintptr_t)in->memory % INPUT_ALIGNMENT;
	r->pool.input = in;
	return in;
}

void *plait_i_pool_read_buffer(struct plait_reactor *r)
{
	struct pool_input *in = r->pool.input;

	if (in == NULL || in->lent > 0)
		in = pool_input_new(r);
	return in != NULL ? in->bytes : NULL;
}

void *plait_i_pool_desk(struct plait_reactor *r, size_t size)
{
	if (r->pool.desk == NULL)
		r->pool.desk = calloc(1, size);
	return r->pool.desk;
}

struct pool_input *plait_i_pool_lend(struct plait_reactor *r, const void *data,
				     size_t len)
{
	struct pool_input *in = r->pool.input;
	uintptr_t at;

	if (in == NULL)
		return NULL;
	at = (uintptr_t)data - (uintptr_t)in->bytes;
	if (at >= POOL_READ_SIZE || len > POOL_READ_SIZE - at)
		return NULL;
	in->lent += len;
	r->base.unsent.held += len;
	return in;
}

void plait_i_pool_give_back(struct plait_reactor *r, struct pool_input *in,
			    size_t len)
{
	in->lent -= len;
	r->base.unsent.held -= len;
	if (in->lent == 0 && in != r->pool.input)
		free(in);
}

static unsigned pool_blocks_of(unsigned size)
{
	return (unsigned)((sizes[size].slab - sizeof(struct pool_slab)) /
			  sizes[size].block);
}

static struct pool_slab *slab_new(struct plait_reactor *r, unsigned size)
{
	struct pool_slab *s =
		mmap(NULL, sizes[size].slab, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (s == MAP_FAILED)
		return NULL;
	s->size = size;
	plait_list_append(&r->pool.slabs[size], &s->link);
	r->pool.spare += sizes[size].slab;
	return s;
}

static void slab_free(struct plait_reactor *r, struct pool_slab *s)
{
	plait_list_remove(&s->link);
	r->pool.spare -= sizes[s->size].slab;
	munmap(s, sizes[s->size].slab);
}

/* Takes a block that was in use before, because it is in the processor's cache;
   otherwise cuts a new block. */
static struct pool_block *slab_take(struct plait_reactor *r,
				    struct pool_slab *s)
{
	struct pool_block *b = s->free;
	size_t block = sizes[s->size].block;

	if (b != NULL) {
		s->free = b->next_free;
	} else {
		b = (struct pool_block *)(s->blocks + s->cut++ * block);
		b->slab = s;
		b->limit = (unsigned char *)b + block;
	}
	if (s->used++ == 0)
		r->pool.spare -= sizes[s->size].slab;
	if (s->used == pool_blocks_of(s->size))
		plait_list_remove(&s->link);
	return b;
}

static OUT_OF_LINE struct pool_block *pool_take(struct plait_reactor *r,
						unsigned size)
{
	struct plait_list *l = plait_list_first(&r->pool.slabs[size]);
	struct pool_slab *s =
		l != NULL ? plait_container(l, struct pool_slab, link)
			  : slab_new(r, size);
	struct pool_block *b = s != NULL ? slab_take(r, s) : NULL;

	if (b != NULL)
		r->base.unsent.held += pool_block_size(b);
	return b;
}

/* Frees a slab of which no block is in use, or keeps it as the last to be used.
 */
static void slab_emptied(struct plait_reactor *r, struct pool_slab *s)
{
	r->pool.spare += sizes[s->size].slab;
	if (r->pool.spare > MAX_SPARE) {
		slab_free(r, s);
	} else if (s->cut > 1) {
		plait_list_remove(&s->link);
		plait_list_append(&r->pool.slabs[s->size], &s->link);
	}
}

static void pool_put_back(struct plait_reactor *r, struct pool_block *b)
{
	struct pool_slab *s = b->slab;

	b->next_free = s->free;
	s->free = b;
	if (s->used-- == pool_blocks_of(s->size))
		plait_list_insert(r->pool.slabs[s->size].next, &s->link);
	if (s->used == 0)
		slab_emptied(r, s);
}

struct pool_block *plait_i_pool_get(struct plait_reactor *r, size_t size)
{
	struct pool_block *b;
	unsigned i = 0;

	while (i < POOL_SIZES - 1 && size > sizes[i].block)
		i++;
	b = r->pool.recent[i];
	if (b == NULL)
		return pool_take(r, i);
	r->pool.recent[i] = NULL;
	r->base.unsent.held += pool_block_size(b);
	return b;
}

void plait_i_pool_put(struct plait_reactor *r, struct pool_block *b)
{
	struct pool_block **recent = &r->pool.recent[b->slab->size];

	r->base.unsent.held -= pool_block_size(b);
	if (*recent == NULL)
		*recent = b;
	else
		pool_put_back(r, b);
}

static bool pool_has_fallen(const struct pool *p)
{
	return p->bufs < p->bufs_peak &&
	       p->bufs_peak - p->bufs >= WORTH_TRIMMING;
}

static void pool_trim(void *arg)
{
	struct plait_reactor *r = arg;

	if (!pool_has_fallen(&r->pool))
		return;
	REACHED("memory of large buffers goes back to the system");
	r->pool.bufs_peak = r->pool.bufs;
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

void plait_i_pool_hold(struct plait_reactor *r, size_t bytes)
{
	struct pool *p = &r->pool;

	r->base.unsent.held += bytes;
	p->bufs += bytes;
	if (p->bufs_peak < p->bufs)
		p->bufs_peak = p->bufs;
}

void plait_i_pool_let_go(struct plait_reactor *r, size_t bytes)
{
	struct pool *p = &r->pool;

	r->base.unsent.held -= bytes;
	p->bufs -= bytes;
	if (pool_has_fallen(p) && !plait_timer_is_running(&p->trimming))
		plait_timer_start(r, &p->trimming, trim_seconds, pool_trim, r);
}

void plait_i_pool_init(struct plait_reactor *r)
{
	for (unsigned i = 0; i < POOL_SIZES; i++)
		plait_list_init(&r->pool.slabs[i]);
}

void plait_i_pool_done(struct plait_reactor *r)
{
	struct plait_list *l;

	free(r->pool.input);
	free(r->pool.desk);
	for (unsigned i = 0; i < POOL_SIZES; i++) {
		if (r->pool.recent[i] != NULL)
			pool_put_back(r, r->pool.recent[i]);
		while ((l = plait_list_first(&r->pool.slabs[i])) != NULL)
			slab_free(r,
				  plait_container(l, struct pool_slab, link));
	}
}
