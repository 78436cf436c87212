/*
 * PLAIT_DEBUG; what else watches over memory; and the quarantine: a ring of the
 * blocks that were freed last, by all threads.  malloc() does not use these
 * blocks again.  So code that still has the address of a block finds what was
 * there.
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
	unsigned flags;
} words[] = {
	{ "quarantine", DEBUG_QUARANTINE | DEBUG_MALLOC },
	{ "turns", DEBUG_TURNS },
	{ "failures", DEBUG_FAILURES },
	{ "malloc", DEBUG_MALLOC },
};

static void say_unknown(const char *word, size_t len)
{
	char line[128];
	int n = snprintf(line, sizeof(line),
			 "plait: PLAIT_DEBUG: there is no \"%.*s\"\n",
			 len < 64 ? (int)len : 64, word);

	plait_i_base_say(line, (size_t)n);
}

static unsigned flags_of(const char *word, size_t len)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strlen(words[i].name) == len &&
		    memcmp(words[i].name, word, len) == 0)
			return words[i].flags;
	}
	if (len > 0)
		say_unknown(word, len);
	return 0;
}

/* These are there if the program was compiled with a sanitizer. */
void __asan_init(void) __attribute__((weak));
void __lsan_do_leak_check(void) __attribute__((weak));
void __msan_init(void) __attribute__((weak));
void __hwasan_init(void) __attribute__((weak));
void __tsan_init(void) __attribute__((weak));

static bool has_sanitizer(void)
{
	return __asan_init != NULL || __lsan_do_leak_check != NULL ||
	       __msan_init != NULL || __hwasan_init != NULL ||
	       __tsan_init != NULL;
}

/* Valgrind preloads libraries.  One belongs to all of its tools; if there is
   another one, the tool follows what malloc() and free() do. */
static bool has_valgrind(void)
{
	static const char library[] = "vgpreload_";
	const char *word = getenv("LD_PRELOAD");

	while (word != NULL && (word = strstr(word, library)) != NULL) {
		word += strlen(library);
		if (strncmp(word, "core", strlen("core")) != 0)
			return true;
	}
	return false;
}

bool plait_i_debug_is_watched(void)
{
	return has_sanitizer() || has_valgrind();
}

/* Who looks for mistakes must see each object.  So must the tests, which count
   and refuse allocations. */
static unsigned flags_of_watchers(void)
{
#ifdef PLAIT_VERIFY
	return DEBUG_MALLOC;
#else
	return plait_i_debug_is_watched() ? DEBUG_MALLOC : 0;
#endif
}

/* Two threads may both find nothing and read; both read the same. */
unsigned plait_i_debug_read(void)
{
	const char *word = secure_getenv("PLAIT_DEBUG");
	unsigned flags = DEBUG_WAS_READ | flags_of_watchers();

	while (word != NULL) {
		size_t len = strcspn(word, ",");

		flags |= flags_of(word, len);
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
