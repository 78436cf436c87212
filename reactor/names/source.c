/*
 * Sources of addresses, remembered.  There are few, so they are searched from
 * the beginning.  Without memory for them the kernel is asked each time.
 */
#include <stdlib.h>

#include "reactor/names/source.h"

static const int64_t lifetime = 1000000000; /* nanoseconds */

/* The port does not decide from where. */
static struct plait_address source_key(const struct plait_address *a)
{
	struct plait_address key = *a;

	key.port = 0;
	return key;
}

static struct names_source *source_find(struct names_sources *s,
					const struct plait_address *key)
{
	for (size_t i = 0; i < s->n; i++) {
		if (plait_address_equal(&s->list[i].to, key))
			return &s->list[i];
	}
	return NULL;
}

/* Returns a place for another one, or NULL. */
static struct names_source *source_place(struct names_sources *s)
{
	if (s->list == NULL)
		s->list = calloc(NAMES_SOURCES, sizeof(*s->list));
	if (s->list == NULL)
		return NULL;
	if (s->n < NAMES_SOURCES)
		return &s->list[s->n++];
	s->next = (s->next + 1) % NAMES_SOURCES;
	return &s->list[s->next];
}

bool plait_i_source_ask(void *arg, const struct plait_address *a,
			struct sort_source *ret)
{
	struct plait_resolver *rs = arg;
	struct names_sources *s = &rs->sources;
	struct plait_address key = source_key(a);
	int64_t now = plait_i_clock_now(rs->reactor);
	struct names_source *known;
	bool is_there;

	if (now - s->since >= lifetime) {
		s->n = 0;
		s->since = now;
	}
	known = source_find(s, &key);
	if (known == NULL) {
		is_there = plait_i_sort_ask_kernel(loop_kernel(rs->reactor), a,
						   ret);
		known = source_place(s);
		if (known != NULL)
			*known = (struct names_source){ .to = key,
							.from = *ret,
							.is_there = is_there };
		return is_there;
	}
	*ret = known->from;
	return known->is_there;
}

void plait_i_source_forget(struct plait_resolver *rs)
{
	free(rs->sources.list);
	rs->sources = (struct names_sources){ .list = NULL };
}
