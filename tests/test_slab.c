/*
 * Slabs: see lib/slab.h.  The tests' build of the library does not use them,
 * because each allocation must be seen; here they are turned on.  A thread
 * gives its slabs back when it ends, so each test is a thread of its own.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "lib/debug.h"
#include "lib/slab.h"
#include "tests/child.h"
#include "tests/harness.h"
#include "tests/steps.h"
#include "tests/tangle.h"

/* As large as a deferred, and a slab holds a few less than this. */
enum { SIZE = 392, IN_A_SLAB = SLAB_SIZE / SIZE };

struct thing {
	struct slab_object place;
	uint32_t stamp[(SIZE - sizeof(struct slab_object)) / 4];
};

static void use_slabs(void)
{
	atomic_store(&plait_i_debug_flags, DEBUG_WAS_READ);
	calls_reset();
}

static void *start(void *arg)
{
	void (*fn)(void) = *(void (**)(void))arg;

	fn();
	return NULL;
}

/*
 * In a thread of its own, to its end.  Where two threads are at work at the
 * same time, neither may use Check.
 */
static void in_thread(void (*fn)(void))
{
	pthread_t thread;

	plait_assert(pthread_create(&thread, NULL, start, &fn) == 0);
	plait_assert(pthread_join(thread, NULL) == 0);
}

static unsigned long mapped(void)
{
	return calls_of("mmap") - calls_of("munmap");
}

static struct thing *thing_new(uint32_t stamp)
{
	struct thing *t = slab_get(SLAB_DEFERRED, sizeof(*t));

	for (int i = 0; i < N_OF(t->stamp); i++)
		t->stamp[i] = stamp;
	return t;
}

/* Nobody else has written into it. */
static void thing_check(const struct thing *t, uint32_t stamp)
{
	for (int i = 0; i < N_OF(t->stamp); i++)
		plait_assert(t->stamp[i] == stamp);
}

static void thing_free(struct thing *t)
{
	slab_put(&t->place);
}

enum { MOST = 100 * IN_A_SLAB };

static struct thing *things[MOST];

static void things_new(int from, int to)
{
	for (int i = from; i < to; i++)
		things[i] = thing_new((uint32_t)i);
}

static void things_free(int from, int to)
{
	for (int i = from; i < to; i++) {
		thing_check(things[i], (uint32_t)i);
		thing_free(things[i]);
	}
}

/* ---- one thread --------------------------------------------------------- */

GROUP("one thread", .setup = use_slabs);

static void one_after_the_other(void)
{
	struct thing *t = thing_new(1), *again;

	thing_free(t);
	again = thing_new(2);
	ck_assert_ptr_eq(again, t);
	thing_free(again);
}

TEST(what_was_freed_is_used_next, PURE)
{
	in_thread(one_after_the_other);
	ck_assert_uint_eq(calls_of("mmap"), 1);
	ck_assert_uint_eq(mapped(), 0);
	ck_assert_uint_eq(calls_of("malloc"), 0);
}

static void many_twice(void)
{
	unsigned long first;

	things_new(0, MOST);
	first = calls_of("mmap");
	ck_assert_uint_ge(first, 100);
	ck_assert_uint_le(first, 103);
	things_free(0, MOST);
	/* The current one is empty, too. */
	ck_assert_uint_eq(mapped(), SLAB_MAX_EMPTY / SLAB_SIZE + 1);
	things_new(0, MOST);
	ck_assert_uint_eq(mapped(), first);
	things_free(0, MOST);
	ck_assert_uint_eq(mapped(), SLAB_MAX_EMPTY / SLAB_SIZE + 1);
}

TEST(empty_slabs_go_back_but_for_a_few_that_are_used_again, PURE)
{
	in_thread(many_twice);
	ck_assert_uint_eq(mapped(), 0);
}

static bool is_beside_what_is_left(const struct thing *t)
{
	for (int i = IN_A_SLAB / 2; i < 10 * IN_A_SLAB; i += IN_A_SLAB) {
		if (things[i]->place.slab == t->place.slab)
			return true;
	}
	return false;
}

/* Of the first slabs one object each is left. */
static void few_in_each(void)
{
	unsigned long before;
	int n = 10 * IN_A_SLAB, beside = 0;

	things_new(0, 2 * n);
	before = calls_of("mmap");
	things_free(n, 2 * n);
	for (int i = 0; i < n; i++) {
		if (i % IN_A_SLAB != IN_A_SLAB / 2)
			things_free(i, i + 1);
	}
	/* These fit beside what is left. */
	things_new(2 * n, 2 * n + 9 * (IN_A_SLAB - 2));
	ck_assert_uint_eq(calls_of("mmap"), before);
	for (int i = 2 * n; i < 2 * n + 9 * (IN_A_SLAB - 2); i++)
		beside += is_beside_what_is_left(things[i]);
	/* The first ones are in the slab that was the current one. */
	ck_assert_int_ge(beside, 7 * IN_A_SLAB);
	for (int i = 0; i < n; i++) {
		if (i % IN_A_SLAB == IN_A_SLAB / 2)
			things_free(i, i + 1);
	}
	things_free(2 * n, 2 * n + 9 * (IN_A_SLAB - 2));
}

TEST(room_beside_others_is_used_before_more_is_mapped, PURE)
{
	in_thread(few_in_each);
	ck_assert_uint_eq(mapped(), 0);
}

static uint32_t state;

static unsigned chance(unsigned n)
{
	state = state * 1664525 + 1013904223;
	return (state >> 8) % n;
}

/* The more there are, the more are freed, as long as it ebbs. */
static void at_random(void)
{
	static bool is_there[MOST];
	bool ebbs = false;

	for (int step = 0; step < 200000; step++) {
		unsigned i = chance(MOST);

		if (chance(40000) == 0)
			ebbs = !ebbs;
		if (is_there[i] && (ebbs || chance(4) == 0)) {
			things_free((int)i, (int)i + 1);
			is_there[i] = false;
		} else if (!is_there[i] && (!ebbs || chance(4) == 0)) {
			things_new((int)i, (int)i + 1);
			is_there[i] = true;
		}
	}
	for (int i = 0; i < MOST; i++) {
		if (is_there[i])
			things_free(i, i + 1);
		is_there[i] = false;
	}
	ck_assert_uint_le(mapped(), SLAB_MAX_EMPTY / SLAB_SIZE + 1);
}

TEST(no_two_objects_lie_in_one_place, PURE, TIMES(4))
{
	state = (uint32_t)_i;
	in_thread(at_random);
	ck_assert_uint_eq(mapped(), 0);
}

static void run_tangles(void)
{
	for (state = 0; state < 200; state++) {
		uint32_t seed = state;

		tangle_run(chance, 200);
		state = seed;
	}
	ck_assert_uint_eq(plait_deferred_report_pending(), 0);
}

TEST(deferreds_lie_in_slabs, PURE)
{
	steps_setup();
	in_thread(run_tangles);
	ck_assert_uint_ge(calls_of("mmap"), 1);
	ck_assert_uint_eq(mapped(), 0);
	unhandled_expect(unhandled_count());
}

/* ---- no slabs ----------------------------------------------------------- */

GROUP("no slabs", .setup = use_slabs);

static void ten(void)
{
	things_new(0, 10);
	things_free(0, 10);
}

TEST(who_asks_for_it_gets_each_object_from_malloc, PURE)
{
	setenv("PLAIT_DEBUG", "turns,malloc", 1);
	atomic_store(&plait_i_debug_flags, 0);
	ten();
	ck_assert_uint_eq(calls_of("malloc"), 10);
	ck_assert_uint_eq(calls_of("free"), 10);
	ck_assert_uint_eq(calls_of("mmap"), 0);
}

static void made_before(void)
{
	things_new(0, 10);
	atomic_store(&plait_i_debug_flags, DEBUG_WAS_READ | DEBUG_MALLOC);
	things_new(10, 10 + IN_A_SLAB);
	atomic_store(&plait_i_debug_flags, DEBUG_WAS_READ);
	things_free(0, 10 + IN_A_SLAB);
}

TEST(an_object_goes_back_to_where_it_came_from, PURE)
{
	in_thread(made_before);
	ck_assert_uint_gt(calls_of("malloc"), 0);
	ck_assert_uint_eq(calls_of("free"), calls_of("malloc"));
	ck_assert_uint_eq(mapped(), 0);
}

static void ten_with_a_fault(void)
{
	ten();
	ck_assert_uint_eq(calls_of("malloc"), 1);
}

TEST(without_a_mapping_malloc_serves, PURE)
{
	fault_call("mmap", 1, ENOMEM);
	in_thread(ten_with_a_fault);
	ck_assert_uint_eq(calls_of("mmap"), 2);
	ck_assert_uint_eq(mapped(), 1); /* the first one was none */
}

TEST(where_nobody_would_hear_of_the_end_of_the_thread_malloc_serves, PURE)
{
	fault_call("pthread_setspecific", 1, ENOMEM);
	in_thread(ten_with_a_fault);
	ck_assert_uint_eq(calls_of("mmap"), 1);
	ck_assert_uint_eq(mapped(), 0);
}

TEST(without_a_key_malloc_serves_for_good, PURE)
{
	fault_call("pthread_key_create", 1, EAGAIN);
	in_thread(ten);
	in_thread(ten);
	ck_assert_uint_eq(calls_of("malloc"), 20);
	ck_assert_uint_eq(calls_of("mmap"), 0);
}

static void get_nothing(void)
{
	fault_alloc_at(0, true);
	ck_assert_ptr_null(slab_get(SLAB_DEFERRED, SIZE));
	fault_alloc_off();
}

TEST(without_any_memory_there_is_no_object, PURE)
{
	in_thread(get_nothing);
}

static void get_no_further_slab(void)
{
	int n = 0;

	things_new(0, 1);
	fault_alloc_at(0, true);
	while ((things[++n] = slab_get(SLAB_DEFERRED, SIZE)) != NULL)
		;
	fault_alloc_off();
	ck_assert_int_le(n, IN_A_SLAB);
	ck_assert_int_ge(n, IN_A_SLAB - 1);
	things_new(n, n + 1);
	ck_assert_uint_eq(mapped(), 2 + 1); /* one was refused */
	while (n >= 0)
		thing_free(things[n--]);
}

TEST(a_full_slab_stays_full_until_there_is_another, PURE)
{
	in_thread(get_no_further_slab);
	ck_assert_uint_eq(mapped(), 1);
}

TEST(valgrind_is_seen_if_it_follows_memory, PURE)
{
	static const struct {
		const char *preload;
		bool watched;
	} cases[] = {
		{ "", false },
		{ "/usr/lib/libfoo.so", false },
		{ "/usr/libexec/valgrind/vgpreload_core-amd64-linux.so",
		  false },
		{ "/usr/libexec/valgrind/vgpreload_core-amd64-linux.so:"
		  "/usr/libexec/valgrind/vgpreload_memcheck-amd64-linux.so",
		  true },
	};
	bool sanitized;

	unsetenv("LD_PRELOAD");
	sanitized = plait_i_debug_is_watched();
	for (int i = 0; i < N_OF(cases); i++) {
		setenv("LD_PRELOAD", cases[i].preload, 1);
		ck_assert_int_eq(plait_i_debug_is_watched(),
				 cases[i].watched || sanitized);
	}
	unsetenv("LD_PRELOAD");
}

/* ---- threads ------------------------------------------------------------ */

GROUP("threads", .setup = use_slabs);

static void make_for_others(void)
{
	things_new(0, 3 * IN_A_SLAB);
}

static void free_of_others(void)
{
	things_free(0, 3 * IN_A_SLAB);
}

TEST(what_a_thread_has_left_stays_and_the_last_one_takes_the_slab_along, PURE)
{
	unsigned long before;

	in_thread(make_for_others);
	before = mapped();
	ck_assert_uint_ge(before, 3);
	things_free(0, 1);
	ck_assert_uint_eq(mapped(), before);
	things_free(1, 3 * IN_A_SLAB);
	ck_assert_uint_eq(mapped(), 0);
}

/* The owner makes, another thread frees; then the owner goes on. */
static void make_and_let_free(void)
{
	make_for_others();
	in_thread(free_of_others);
	plait_assert(calls_of("munmap") == 0);
	things_new(0, IN_A_SLAB);
	things_free(0, IN_A_SLAB);
}

TEST(what_others_have_freed_goes_back_at_the_end_of_the_owner, PURE)
{
	in_thread(make_and_let_free);
	ck_assert_uint_eq(mapped(), 0);
}

/* A race that a sanitizer for threads looks at: of each slab some is freed by
   its owner, some by another thread, while the owner ends. */
static pthread_barrier_t made;

static void *free_odd(void *arg)
{
	pthread_barrier_wait(&made);
	for (int i = 1; i < 5 * IN_A_SLAB; i += 2)
		things_free(i, i + 1);
	return NULL;
}

static void free_even_and_end(void)
{
	things_new(0, 5 * IN_A_SLAB);
	pthread_barrier_wait(&made);
	for (int i = 0; i < 5 * IN_A_SLAB; i += 2)
		things_free(i, i + 1);
}

TEST(owner_may_end_while_others_free, PURE, TIMES(20))
{
	pthread_t other;

	pthread_barrier_init(&made, NULL, 2);
	ck_assert_int_eq(pthread_create(&other, NULL, free_odd, NULL), 0);
	in_thread(free_even_and_end);
	ck_assert_int_eq(pthread_join(other, NULL), 0);
	ck_assert_uint_eq(mapped(), 0);
	pthread_barrier_destroy(&made);
}

/* When everything else has ended. */
static bool looks_at_the_end;

__attribute__((destructor(101))) static void look(void)
{
	if (looks_at_the_end && mapped() != 0)
		_exit(3);
}

static void use_and_exit(void *arg)
{
	ten();
	looks_at_the_end = true;
	exit(0);
}

TEST(the_first_thread_gives_back_what_is_empty_when_the_program_ends, PURE)
{
	const char *said;

	ck_assert_int_eq(child_run(use_and_exit, NULL, &said), 0);
}

static pthread_key_t late;

static void end_late(void *arg)
{
	struct thing *t = arg;

	thing_free(t);
	for (int i = 0; i < 10; i++)
		things[i] = thing_new((uint32_t)i);
	things_free(0, 10);
}

static void leave_for_a_destructor(void)
{
	ck_assert_int_eq(pthread_setspecific(late, thing_new(0)), 0);
}

/* The key of the slabs is made first, so that it ends first. */
TEST(destructors_of_the_thread_may_use_objects_when_slabs_have_ended, PURE)
{
	in_thread(ten);
	ck_assert_int_eq(pthread_key_create(&late, end_late), 0);
	in_thread(leave_for_a_destructor);
	ck_assert_uint_eq(mapped(), 0);
	ck_assert_uint_eq(calls_of("mmap"), 3);
}

/* The child has what the other thread of its parent was using. */
static pthread_barrier_t forked;

static void *make_and_wait(void *arg)
{
	things_new(0, IN_A_SLAB);
	pthread_barrier_wait(&forked);
	pthread_barrier_wait(&forked);
	things_free(0, IN_A_SLAB);
	return NULL;
}

static void free_inherited(void)
{
	things_free(0, 2 * IN_A_SLAB);
	things_new(0, MOST);
	things_free(0, MOST);
}

static void fork_beside_another(void)
{
	pthread_t other;
	pid_t pid;

	pthread_barrier_init(&forked, NULL, 2);
	ck_assert_int_eq(pthread_create(&other, NULL, make_and_wait, NULL), 0);
	pthread_barrier_wait(&forked);
	things_new(IN_A_SLAB, 2 * IN_A_SLAB);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		free_inherited();
		child_leave(0);
	}
	child_ends(pid);
	pthread_barrier_wait(&forked);
	ck_assert_int_eq(pthread_join(other, NULL), 0);
	things_free(IN_A_SLAB, 2 * IN_A_SLAB);
	pthread_barrier_destroy(&forked);
}

TEST(child_frees_what_each_thread_of_its_parent_has_made, PURE)
{
	in_thread(fork_beside_another);
	ck_assert_uint_eq(mapped(), 0);
}
