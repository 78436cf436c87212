/*
 * What has happened in a run, and whether it has failed.
 *
 * The digest is a hash of everything that was noted, in its order, with the
 * time of each.  Texts are hashed by what they say, as their addresses differ.
 */
#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/simulation/world.h"

static uint64_t record_mix(uint64_t digest, uint64_t x)
{
	digest = (digest ^ x) * UINT64_C(0x9fb21c651e98df25);
	return digest ^ digest >> 32;
}

static uint64_t record_mix_bytes(uint64_t digest, const unsigned char *data,
				 size_t len)
{
	uint64_t word = 0;

	for (; len >= sizeof(word); len -= sizeof(word), data += sizeof(word)) {
		memcpy(&word, data, sizeof(word));
		digest = record_mix(digest, le64toh(word));
	}
	word = 0;
	memcpy(&word, data, len);
	return record_mix(digest, le64toh(word));
}

/* Returns false if there is no memory. */
static bool record_make_room(struct record *r)
{
	size_t room = r->room != 0 ? 2 * r->room : 1024;
	struct record_entry *entries;

	if (r->n < r->room)
		return true;
	entries = realloc(r->entries, room * sizeof(*entries));
	if (entries == NULL)
		return false;
	r->entries = entries;
	r->room = room;
	return true;
}

static void record_add(struct plait_simulation *s, const char *what, uint64_t a,
		       uint64_t b)
{
	struct record *r = s->record;

	r->is_cut = r->is_cut || !record_make_room(r);
	if (!r->is_cut)
		r->entries[r->n++] = (struct record_entry){
			.what = what,
			.a = a,
			.b = b,
			.when = s->now,
			.turn = s->turns,
		};
}

void plait_i_record(struct plait_simulation *s, const char *what, uint64_t a,
		    uint64_t b)
{
	uint64_t digest = record_mix(s->digest, (uint64_t)s->now);

	digest = record_mix_bytes(digest, (const unsigned char *)what,
				  strlen(what));
	s->digest = record_mix(record_mix(digest, a), b);
	if (s->record != NULL)
		record_add(s, what, a, b);
}

void plait_i_record_bytes(struct plait_simulation *s, const void *data,
			  size_t len)
{
	uint64_t sum = record_mix_bytes(0, data, len);

	plait_i_record(s, "bytes", len, sum);
}

static bool record_entries_match(const struct record_entry *a,
				 const struct record_entry *b)
{
	return strcmp(a->what, b->what) == 0 && a->a == b->a && a->b == b->b &&
	       a->when == b->when && a->turn == b->turn;
}

size_t plait_i_record_compare(const struct record *a, const struct record *b)
{
	size_t n = a->n < b->n ? a->n : b->n, i = 0;

	while (i < n && record_entries_match(&a->entries[i], &b->entries[i]))
		i++;
	return i;
}

void plait_i_record_done(struct record *r)
{
	free(r->entries);
	*r = (struct record){ .entries = NULL };
}

/* ---- failure ------------------------------------------------------------- */

void plait_simulation_fail(struct plait_simulation *s, const char *fmt, ...)
{
	va_list args;

	if (s == NULL || s->failed)
		return;
	s->failed = true;
	va_start(args, fmt);
	vsnprintf(s->failure, sizeof(s->failure), fmt, args);
	va_end(args);
}

const char *plait_simulation_failure(const struct plait_simulation *s)
{
	return s != NULL && s->failed ? s->failure : NULL;
}
