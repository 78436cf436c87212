/*
 * Memory for objects of which a program may have very many at the same time.
 * malloc() serves a few objects of a few hundred bytes fast, and slowly when
 * there are more.
 *
 * A thread has slabs of its own.  A slab is a mapping that holds objects of one
 * kind.  An object is freed in the thread that made it; freeing it in another
 * thread is safe, but its place is not used again before its whole slab is
 * free.  What an ended thread has left stays valid.
 *
 * Each object comes from malloc() instead, as long as PLAIT_DEBUG or something
 * that looks for mistakes in the use of memory asks for this: see lib/debug.h.
 */
#ifndef LIB_SLAB_H
#define LIB_SLAB_H

#include <stddef.h>

#include <plait/list.h>

#include "lib/owner.h"

/* What has slabs of its own. */
enum slab_kind { SLAB_DEFERRED, SLAB_JOB, SLAB_KINDS };

/* The size of a mapping.  A thread keeps at most so many bytes of empty slabs.
 */
enum { SLAB_SIZE = 64 * 1024, SLAB_MAX_EMPTY = 4 * 1024 * 1024 };

/* An object begins with this.  It is aligned as a pointer is. */
struct slab_object {
	union {
		struct slab *slab;	  /* NULL: it comes from malloc() */
		struct slab_object *next; /* of those that are free */
	};
};

/* What the fast ways of taking and freeing look at; the rest is in slab.c. */
struct slab {
	struct slab_object *free; /* objects that may be taken next */
	unsigned owner;		  /* the number of its thread */
	unsigned used;		  /* objects that are taken, and see slab.c */
};

extern _Thread_local struct slab *plait_i_slab_current[SLAB_KINDS]
	__attribute__((tls_model("initial-exec")));

void *plait_i_slab_get_more(enum slab_kind kind, size_t size);
void plait_i_slab_put_last(struct slab *s);
void plait_i_slab_put_elsewhere(struct slab_object *o);

/*
 * o is what will be taken next, or NULL.  If many objects are alive, it is in
 * no near cache: fetches its first lines meanwhile.
 */
static inline void slab_look_ahead(const struct slab_object *o)
{
	const char *line = (const char *)o;

	if (o == NULL)
		return;
	for (int i = 0; i < 4; i++)
		__builtin_prefetch(line + 64 * i, 1);
}

/* Returns an object, or NULL if there is none at hand. */
static inline void *slab_get_at_hand(enum slab_kind kind)
{
	struct slab *s = plait_i_slab_current[kind];
	struct slab_object *o;

	if (__builtin_expect(s == NULL || s->free == NULL, 0))
		return NULL;
	o = s->free;
	s->free = o->next;
	s->used++;
	o->slab = s;
	slab_look_ahead(s->free);
	return o;
}

/* Returns an object of this size, which its kind always has, or NULL. */
static inline void *slab_get(enum slab_kind kind, size_t size)
{
	void *o = slab_get_at_hand(kind);

	return o != NULL ? o : plait_i_slab_get_more(kind, size);
}

/* Another thread may ask, and be told that the owner has just ended. */
static inline bool slab_is_own(const struct slab *s)
{
	return owner_is_self(__atomic_load_n(&s->owner, __ATOMIC_RELAXED));
}

static inline void slab_put(struct slab_object *o)
{
	struct slab *s = o->slab;

	if (__builtin_expect(s == NULL || !slab_is_own(s), 0)) {
		plait_i_slab_put_elsewhere(o);
		return;
	}
	o->next = s->free;
	s->free = o;
	if (__builtin_expect(--s->used == 0 || o->next == NULL, 0))
		plait_i_slab_put_last(s);
}

#endif
