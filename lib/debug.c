/*
 * PLAIT_DEBUG, and the quarantine: a ring of the blocks that were freed last,
 * by all threads.  malloc() does not use these blocks again.  So code that
 * still has the address of a block finds what was there.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base.h"
#include "lib/debug.h"

enum { QUARANTINE = 4096 };

atomic_uint plait_i_debug_flags;

static const struct {
	const char *name;
	enum debug_flag flag;
} words[] = {
	{ "quarantine", DEBUG_QUARANTINE },
	{ "turns", DEBUG_TURNS },
	{ "failures", DEBUG_FAILURES },
};

static void say_unknown(const char *word, size_t len)
{
	char line[128];
	int n = snprintf(line, sizeof(line),
			 "plait: PLAIT_DEBUG: there is no \"%.*s\"\n",
			 len < 64 ? (int)len : 64, word);

	plait_i_base_say(line, (size_t)n);
}

static unsigned flag_of(const char *word, size_t len)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strlen(words[i].name) == len &&
		    memcmp(words[i].name, word, len) == 0)
			return words[i].flag;
	}
	if (len > 0)
		say_unknown(word, len);
	return 0;
}

/* Two threads may both find nothing and read; both read the same. */
unsigned plait_i_debug_read(void)
{
	const char *word = secure_getenv("PLAIT_DEBUG");
	unsigned flags = DEBUG_WAS_READ;

	while (word != NULL) {
		size_t len = strcspn(word, ",");

		flags |= flag_of(word, len);
		word = word[len] == ',' ? word + len + 1 : NULL;
	}
	atomic_store_explicit(&plait_i_debug_flags, flags,
			      memory_order_relaxed);
	return flags;
}

void plait_i_debug_quarantine(void *block)
{
	static _Atomic(void *) ring[QUARANTINE];
	static atomic_size_t next;
	size_t i = atomic_fetch_add(&next, 1) % QUARANTINE;

	/*
	 * There is no lock, because another thread could hold it in a forked
	 * child.
	 */
	free(atomic_exchange(&ring[i], block));
}
