/*
 * Slabs: see slab.h.
 *
 * Of each kind, a thread takes from one slab, its current one, until nothing is
 * free there.  Then this slab is full, and another slab with room is the
 * current one.  A slab that is empty, and not the current one, goes back to the
 * kernel, but for a few: a page that is touched for the first time costs as
 * much as many objects.
 *
 * used counts the objects that the owner has not freed itself, and one more for
 * the current slab, so that it is never empty.  gone counts the objects that
 * others have freed.  When the thread ends, nobody is the owner any more, and
 * used is taken from gone: then gone is negative, and who brings it to 0 has
 * freed the last object of the slab.  So no lock is needed, which another
 * thread could hold in a forked child.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "lib/base.h"
#include "lib/debug.h"
#include "lib/slab.h"

/* So many objects are cut at a time from what was never used. */
enum { BATCH = 8 };

#define NOBODY (~0u)

struct whole_slab {
	struct slab fast;
	struct plait_list link; /* of those with room, or of the full ones */
	size_t size;		/* of an object */
	unsigned cut;		/* objects that ever were free */
	enum slab_kind kind;
	atomic_int gone;
	_Alignas(64) unsigned char objects[]; /* at a line of the cache */
};

struct slab_lists {
	struct plait_list room; /* empty slabs last; without the current slab */
	struct plait_list full;
};

static _Thread_local struct slab_thread {
	struct slab_lists lists[SLAB_KINDS];
	size_t empty; /* bytes in empty slabs */
	bool ends;    /* slabs_end() will be called when the thread ends */
} slabs;

_Thread_local struct slab *plait_i_slab_current[SLAB_KINDS]
	__attribute__((tls_model("initial-exec")));

static struct whole_slab *slab_whole(struct slab *s)
{
	return plait_container(s, struct whole_slab, fast);
}

static struct whole_slab *slab_first(struct plait_list *list)
{
	struct plait_list *l = plait_list_first(list);

	return l != NULL ? plait_container(l, struct whole_slab, link) : NULL;
}

static void slab_unmap(struct whole_slab *s)
{
	munmap(s, SLAB_SIZE);
}

/* ---- the end of a thread ------------------------------------------------ */

static pthread_key_t key;
static atomic_bool has_key;

/* Its thread ends: the slab lives as long as its objects. */
static void slab_leave(struct whole_slab *s)
{
	int used = (int)s->fast.used;

	plait_list_remove(&s->link);
	__atomic_store_n(&s->fast.owner, NOBODY, __ATOMIC_RELAXED);
	if (atomic_fetch_sub(&s->gone, used) == used)
		slab_unmap(s);
}

static void slabs_leave(struct plait_list *list)
{
	struct whole_slab *s;

	while ((s = slab_first(list)) != NULL)
		slab_leave(s);
}

/*
 * Other destructors of the thread may make and free objects later.  Then the
 * thread has slabs again, and this is called again.
 */
static void slabs_end(void *arg)
{
	for (int i = 0; i < SLAB_KINDS; i++) {
		struct slab *current = plait_i_slab_current[i];

		plait_i_slab_current[i] = NULL;
		if (current != NULL) {
			current->used--;
			slab_leave(slab_whole(current));
		}
		slabs_leave(&slabs.lists[i].room);
		slabs_leave(&slabs.lists[i].full);
	}
	slabs.empty = 0;
	slabs.ends = false;
}

static void key_make(void)
{
	atomic_store(&has_key, pthread_key_create(&key, slabs_end) == 0);
}

/* Returns false if the thread cannot have slabs, because nobody would end them.
 */
static bool slabs_begin(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (slabs.ends)
		return true;
	pthread_once(&once, key_make);
	if (!atomic_load(&has_key) || pthread_setspecific(key, &slabs) != 0)
		return false;
	for (int i = 0; i < SLAB_KINDS; i++) {
		plait_list_init(&slabs.lists[i].room);
		plait_list_init(&slabs.lists[i].full);
	}
	slabs.ends = true;
	return true;
}

/*
 * The program ends, or unloads the library: then nobody may call slabs_end()
 * any more.
 */
static void __attribute__((destructor)) slabs_unload(void)
{
	if (!atomic_exchange(&has_key, false))
		return;
	pthread_key_delete(key);
	if (slabs.ends)
		slabs_end(&slabs);
}

/* ---- taking ------------------------------------------------------------- */

static struct whole_slab *slab_map(enum slab_kind kind, size_t size)
{
	struct whole_slab *s = mmap(NULL, SLAB_SIZE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (s == MAP_FAILED)
		return NULL;
	s->fast.owner = owner_number();
	s->kind = kind;
	s->size = size;
	plait_list_init(&s->link);
	return s;
}

static bool slab_is_cut(const struct whole_slab *s)
{
	return (s->cut + 1) * s->size > SLAB_SIZE - sizeof(*s);
}

static void slab_cut(struct whole_slab *s)
{
	for (int i = 0; i < BATCH && !slab_is_cut(s); i++) {
		void *place = s->objects + s->cut++ * s->size;
		struct slab_object *o = place;

		o->next = s->fast.free;
		s->fast.free = o;
	}
}

/* Makes a slab with room the current one, and returns it, or NULL. */
static struct slab *slabs_next(enum slab_kind kind, size_t size)
{
	struct slab *full = plait_i_slab_current[kind];
	struct whole_slab *s;

	if (!slabs_begin())
		return NULL;
	s = slab_first(&slabs.lists[kind].room);
	if (s == NULL)
		s = slab_map(kind, size);
	else if (s->fast.used == 0)
		slabs.empty -= SLAB_SIZE;
	if (s == NULL)
		return NULL;
	if (full != NULL) {
		full->used--;
		plait_list_append(&slabs.lists[kind].full,
				  &slab_whole(full)->link);
	}
	plait_list_remove(&s->link);
	s->fast.used++;
	return plait_i_slab_current[kind] = &s->fast;
}

static void *slab_malloc(size_t size)
{
	struct slab_object *o = malloc(size);

	if (o != NULL)
		o->slab = NULL;
	return o;
}

/* Nothing is free in the current slab, or there is none. */
OUT_OF_LINE void *plait_i_slab_get_more(enum slab_kind kind, size_t size)
{
	struct slab *s = plait_i_slab_current[kind];

	if (debug_is_on(DEBUG_MALLOC))
		return slab_malloc(size);
	if (s == NULL || slab_is_cut(slab_whole(s)))
		s = slabs_next(kind, size);
	if (s == NULL)
		return slab_malloc(size);
	if (s->free == NULL)
		slab_cut(slab_whole(s));
	return slab_get_at_hand(kind);
}

/* ---- freeing ------------------------------------------------------------ */

/*
 * An object of s was freed, and s is empty, or was full.  Slabs that have
 * objects are taken from first, so that others become empty.
 */
OUT_OF_LINE void plait_i_slab_put_last(struct slab *slab)
{
	struct whole_slab *s = slab_whole(slab);
	struct plait_list *room = &slabs.lists[s->kind].room;

	if (slab == plait_i_slab_current[s->kind])
		return;
	plait_list_remove(&s->link);
	if (slab->used > 0) {
		plait_list_insert(room->next, &s->link);
	} else if (slabs.empty < SLAB_MAX_EMPTY) {
		slabs.empty += SLAB_SIZE;
		plait_list_append(room, &s->link);
	} else {
		slab_unmap(s);
	}
}

/* o comes from malloc(), or another thread has made it. */
OUT_OF_LINE void plait_i_slab_put_elsewhere(struct slab_object *o)
{
	if (o->slab != NULL) {
		struct whole_slab *s = slab_whole(o->slab);

		if (atomic_fetch_add(&s->gone, 1) == -1)
			slab_unmap(s);
	} else if (debug_is_on(DEBUG_QUARANTINE)) {
		plait_i_debug_quarantine(o);
	} else {
		free(o);
	}
}
