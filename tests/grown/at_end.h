/*
 * Memory at the end of a page with none behind it, for programs that were
 * compiled before the library has grown (scripts/check-growth): for structs of
 * their own, and for what the library allocates with calloc().
 */
#ifndef TESTS_GROWN_AT_END_H
#define TESTS_GROWN_AT_END_H

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <plait/plait.h>

void *__wrap_calloc(size_t n, size_t size);
void __wrap_free(void *ptr);
void __real_free(void *ptr);

/* Zeroed memory of that size, behind which nothing may be looked at. */
static void *at_end(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t room = (size / page + 1) * page;
	size_t used = (size + sizeof(void *) - 1) & ~(sizeof(void *) - 1);
	char *m = mmap(NULL, room + page, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	plait_assert(m != MAP_FAILED);
	plait_assert(mprotect(m + room, page, PROT_NONE) == 0);
	return m + room - used;
}

static void *copy_at_end(const void *from, size_t size)
{
	return memcpy(at_end(size), from, size);
}

/* A struct with these members, and one with none. */
#define NEW(type, ...)                                                         \
	((type *)copy_at_end(&(type){ __VA_ARGS__ }, sizeof(type)))
#define ZEROED(type) ((type *)at_end(sizeof(type)))

/* What the library has allocated so. */
static void *blocks[1000];
static size_t n_blocks;

void *__wrap_calloc(size_t n, size_t size)
{
	plait_assert(n_blocks < sizeof(blocks) / sizeof(blocks[0]));
	blocks[n_blocks] = at_end(n * size);
	return blocks[n_blocks++];
}

/* The mapping stays: it is not used for anything else. */
void __wrap_free(void *ptr)
{
	for (size_t i = 0; ptr != NULL && i < n_blocks; i++) {
		if (blocks[i] == ptr) {
			blocks[i] = blocks[--n_blocks];
			return;
		}
	}
	__real_free(ptr);
}

#endif
