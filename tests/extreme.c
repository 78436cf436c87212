/*
 * Little stack, no memory: see extreme.h.
 */
#include <pthread.h>

#include <plait/plait.h>

#include "tests/extreme.h"

enum { STACK = 256 * 1024 };

struct small {
	void (*run)(int i);
	int i;
};

static void *run_small(void *arg)
{
	const struct small *s = arg;

	s->run(s->i);
	return NULL;
}

void on_small_stack(void (*run)(int i), int i)
{
	struct small s = { run, i };
	pthread_attr_t attr;
	pthread_t thread;

	ck_assert_int_eq(pthread_attr_init(&attr), 0);
	ck_assert_int_eq(pthread_attr_setstacksize(&attr, STACK), 0);
	ck_assert_int_eq(pthread_create(&thread, &attr, run_small, &s), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	pthread_attr_destroy(&attr);
}

unsigned a_million(void)
{
	static unsigned n;

	if (n == 0)
		n = getenv("PLAIT_TEST_SMALL") != NULL ? MILLION / 10 : MILLION;
	return n;
}

/* False when the life needs no such allocation. */
static bool reaches(void (*life)(void), unsigned long n, bool persistent)
{
	unsigned long mark = heap_mark();
	bool reached;

	fault_alloc_at(n, persistent);
	life();
	reached = fault_alloc_reached();
	fault_alloc_off();
	ck_assert_uint_eq(heap_left_since(mark, stderr), 0);
	return reached;
}

void without_each_allocation(void (*life)(void))
{
	unsigned long n = 0;

	while (reaches(life, n, false)) {
		ck_assert(reaches(life, n, true));
		n++;
	}
	ck_assert_uint_gt(n, 0);
	unhandled_expect(unhandled_count());
}
