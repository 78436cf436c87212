/*
 * The cache of answers: see cache.h.
 *
 * Entries are in a hash table by name and class, whatever their type, so that
 * all types of a name are in one list: what stands for all types is found, and
 * takes the others away, without a search.  They are in a list by use as well,
 * the last used at its end, from whose front they are dropped.
 *
 * The table grows with the entries, and never shrinks: it is a small part of
 * what they need.
 */
#include <stdlib.h>
#include <string.h>

#include <plait/list.h>

#include "reactor/names/cache.h"
#include "reactor/names/text.h"

enum {
	FIRST_LISTS = 16,
};

static const int64_t cache_second = 1000000000;

struct cache_entry {
	struct plait_list use;
	struct cache_entry *next; /* in the list of its hash */
	uint64_t hash;
	int64_t put, good_until;
	size_t length; /* of the data */
	enum cache_kind kind;
	uint16_t type, class;
	uint32_t name_length;
	char bytes[]; /* the data, then the name */
};

struct cache {
	struct plait_list uses;
	struct cache_entry **lists; /* mask + 1 */
	size_t mask, count, bytes, most;
	uint64_t seed;
};

/* A key whose name has been looked at. */
struct cache_place {
	struct text name;
	unsigned type, class;
	uint64_t hash;
};

/* ---- memory -------------------------------------------------------------- */

static size_t cache_lists_size(size_t n)
{
	return n * sizeof(struct cache_entry *);
}

struct cache *plait_i_cache_new(size_t most, uint64_t seed)
{
	struct cache *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->lists = calloc(FIRST_LISTS, sizeof(*c->lists));
	if (c->lists == NULL) {
		free(c);
		return NULL;
	}
	plait_list_init(&c->uses);
	c->mask = FIRST_LISTS - 1;
	c->bytes = sizeof(*c) + cache_lists_size(FIRST_LISTS);
	c->most = most;
	c->seed = seed;
	return c;
}

void plait_i_cache_free(struct cache **cp)
{
	struct cache *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	plait_i_cache_flush(c);
	free(c->lists);
	free(c);
}

static size_t cache_entry_size(size_t name, size_t data)
{
	return sizeof(struct cache_entry) + name + data;
}

static bool cache_has_room(const struct cache *c, size_t name, size_t data)
{
	return sizeof(*c) + cache_lists_size(c->mask + 1) +
		       cache_entry_size(name, data) <=
	       c->most;
}

/* Without memory the lists stay as long as they are.  The next to be put makes
   room for what they need. */
static void cache_grow(struct cache *c)
{
	size_t n = 2 * (c->mask + 1);
	struct cache_entry **lists = calloc(n, sizeof(*lists));

	if (lists == NULL)
		return;
	for (size_t i = 0; i <= c->mask; i++) {
		struct cache_entry *e, *next;

		for (e = c->lists[i]; e != NULL; e = next) {
			next = e->next;
			e->next = lists[e->hash & (n - 1)];
			lists[e->hash & (n - 1)] = e;
		}
	}
	free(c->lists);
	c->lists = lists;
	c->bytes += cache_lists_size(n) - cache_lists_size(c->mask + 1);
	c->mask = n - 1;
}

/* ---- entries ------------------------------------------------------------- */

static struct cache_place cache_find_place(const struct cache *c,
					   const struct cache_key *key)
{
	struct cache_place p = { .name = plait_i_text(key->name),
				 .type = key->type,
				 .class = key->class };

	plait_i_text_drop_dot(&p.name);
	p.hash = plait_i_text_hash(&p.name, c->seed ^ key->class);
	return p;
}

static struct text cache_name(const struct cache_entry *e)
{
	return (struct text){ e->bytes + e->length, e->name_length };
}

/* Is true if the entry is of that name, whatever its type. */
static bool cache_is_of(const struct cache_entry *e,
			const struct cache_place *p)
{
	struct text name = cache_name(e);

	return e->hash == p->hash && e->class == p->class &&
	       plait_i_text_is_like(&name, &p->name);
}

/* Takes away the entry that *link points to. */
static void cache_drop(struct cache *c, struct cache_entry **link)
{
	struct cache_entry *e = *link;

	*link = e->next;
	plait_list_remove(&e->use);
	c->count--;
	c->bytes -= cache_entry_size(e->name_length, e->length);
	free(e);
}

static void cache_drop_oldest(struct cache *c)
{
	struct cache_entry *e = plait_container(plait_list_first(&c->uses),
						struct cache_entry, use);
	struct cache_entry **link = &c->lists[e->hash & c->mask];

	while (*link != e)
		link = &(*link)->next;
	cache_drop(c, link);
}

/* What is put for all types, or for one type, replaces this. */
static bool cache_is_replaced(const struct cache_entry *e, unsigned type,
			      enum cache_kind kind)
{
	return kind == CACHE_NO_NAME || e->kind == CACHE_NO_NAME ||
	       e->type == type;
}

static void cache_forget(struct cache *c, const struct cache_place *p,
			 enum cache_kind kind)
{
	struct cache_entry **link = &c->lists[p->hash & c->mask];

	while (*link != NULL)
		if (cache_is_of(*link, p) &&
		    cache_is_replaced(*link, p->type, kind))
			cache_drop(c, link);
		else
			link = &(*link)->next;
}

/* ---- putting and getting ------------------------------------------------- */

static struct cache_entry *cache_entry_new(const struct cache_place *p,
					   const void *data, size_t len)
{
	struct cache_entry *e = malloc(cache_entry_size(p->name.length, len));

	if (e == NULL)
		return NULL;
	*e = (struct cache_entry){
		.hash = p->hash,
		.length = len,
		.type = (uint16_t)p->type,
		.class = (uint16_t)p->class,
		.name_length = (uint32_t)p->name.length,
	};
	if (len > 0)
		memcpy(e->bytes, data, len);
	memcpy(e->bytes + len, p->name.at, p->name.length);
	return e;
}

/* Puts it in, and makes room for it: it fits. */
static void cache_insert(struct cache *c, struct cache_entry *e)
{
	struct cache_entry **list = &c->lists[e->hash & c->mask];

	c->bytes += cache_entry_size(e->name_length, e->length);
	while (c->bytes > c->most)
		cache_drop_oldest(c);
	e->next = *list;
	*list = e;
	plait_list_append(&c->uses, &e->use);
	c->count++;
}

void plait_i_cache_put(struct cache *c, const struct cache_key *key,
		       enum cache_kind kind, uint32_t ttl, const void *data,
		       size_t len, int64_t now)
{
	struct cache_place p = cache_find_place(c, key);
	struct cache_entry *e;

	cache_forget(c, &p, kind);
	if (ttl == 0)
		return;
	if (c->count > c->mask)
		cache_grow(c);
	if (!cache_has_room(c, p.name.length, len))
		return;
	e = cache_entry_new(&p, data, len);
	if (e == NULL)
		return;
	e->kind = kind;
	e->put = now;
	e->good_until = now + ttl * cache_second;
	cache_insert(c, e);
}

static void cache_use(struct cache *c, struct cache_entry *e)
{
	plait_list_remove(&e->use);
	plait_list_append(&c->uses, &e->use);
}

bool plait_i_cache_get(struct cache *c, const struct cache_key *key,
		       int64_t now, struct cache_found *ret)
{
	struct cache_place p = cache_find_place(c, key);
	struct cache_entry **link = &c->lists[p.hash & c->mask], *e;

	while ((e = *link) != NULL &&
	       (!cache_is_of(e, &p) ||
		(e->kind != CACHE_NO_NAME && e->type != p.type)))
		link = &e->next;
	if (e == NULL)
		return false;
	if (e->good_until <= now) {
		cache_drop(c, link);
		return false;
	}
	cache_use(c, e);
	*ret = (struct cache_found){
		.kind = e->kind,
		.data = e->bytes,
		.length = e->length,
		.age = (unsigned)((now - e->put) / cache_second),
		.left = (unsigned)((e->good_until - now + cache_second - 1) /
				   cache_second),
	};
	return true;
}

void plait_i_cache_flush(struct cache *c)
{
	while (c->count > 0)
		cache_drop_oldest(c);
}

size_t plait_i_cache_count(const struct cache *c)
{
	return c->count;
}

size_t plait_i_cache_bytes(const struct cache *c)
{
	return c->bytes;
}
