/*
 * A cache of answers: bounded in bytes; what was not used for longest goes
 * first.
 *
 * It is pure: the caller says what time it is, and what an answer is.  To the
 * cache an answer is bytes.  Its key is name, type and class; the case of the
 * name does not matter, nor does one dot at its end.
 *
 * An answer of the kind CACHE_NO_NAME stands for all types of its name and
 * class.  What is put later replaces it, and it replaces what was put before.
 */
#ifndef REACTOR_CACHE_H
#define REACTOR_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cache_kind {
	CACHE_ANSWER,  /* records */
	CACHE_NO_NAME, /* NXDOMAIN */
	CACHE_NO_DATA,
	CACHE_FAILURE, /* of the servers */
};

struct cache;

struct cache_key {
	const char *name;
	unsigned type, class;
};

struct cache_found {
	enum cache_kind kind;
	const void *data; /* borrowed until the cache is used again */
	size_t length;
	unsigned age;  /* whole seconds since it was put */
	unsigned left; /* whole seconds for which it is good, rounded up */
};

/*
 * Gives a cache that holds so many bytes at most, all that it needs counted, or
 * NULL without memory.  seed is from the kernel's chance: so that nobody can
 * choose names that are slow to find.
 */
struct cache *plait_i_cache_new(size_t most, uint64_t seed);

/* Frees it.  *cp becomes NULL, and may be NULL. */
void plait_i_cache_free(struct cache **cp);

/*
 * Keeps a copy of an answer for ttl seconds: record.h has the limits of that.
 * What was known of the key is forgotten in any case, also if the answer is not
 * kept because its ttl is 0, because it is too large, or because there is no
 * memory.  now is in nanoseconds.
 */
void plait_i_cache_put(struct cache *c, const struct cache_key *key,
		       enum cache_kind kind, uint32_t ttl, const void *data,
		       size_t len, int64_t now);

/* Returns true and the answer, or false if there is none that is good. */
bool plait_i_cache_get(struct cache *c, const struct cache_key *key,
		       int64_t now, struct cache_found *ret);

/* Forgets everything. */
void plait_i_cache_flush(struct cache *c);

/* How many answers it keeps, and in how many bytes. */
size_t plait_i_cache_count(const struct cache *c);
size_t plait_i_cache_bytes(const struct cache *c);

#endif
