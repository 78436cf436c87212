/*
 * What belongs to a thread, and what happens to who uses it in another.
 */
#include <pthread.h>
#include <stdio.h>

#include "tests/child.h"
#include "tests/harness.h"
#include "tests/steps.h"

/* Runs fn(arg) in a thread of its own, to its end. */
static void in_thread(void *(*fn)(void *arg), void *arg)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, fn, arg), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

/* ---- deferreds -------------------------------------------------------- */

static struct plait_deferred *shared;
static struct plait_promise *promise;

static void use_add(void)
{
	pass_both(shared, "a");
}

static void use_fire(void)
{
	plait_fire_at(&promise, PLAIT_NONE, "worker.c:2");
}

static void use_drop(void)
{
	plait_promise_drop_at(&promise, "worker.c:2");
}

static void use_cancel(void)
{
	plait_deferred_cancel_at(shared, NULL, "worker.c:2");
}

static void use_free(void)
{
	plait_deferred_free_at(&shared, "worker.c:2");
}

static void use_detach(void)
{
	plait_deferred_detach(&shared);
}

static void use_pause(void)
{
	plait_deferred_pause(shared);
}

static void use_chain(void)
{
	plait_value v = plait_chain(&shared);

	plait_value_free(&v);
}

static void use_result(void)
{
	plait_deferred_result(shared);
}

static void use_is_fired(void)
{
	plait_deferred_is_fired(shared);
}

static const struct {
	void (*use)(void);
	const char *where;
} uses[] = {
	{ use_add, "plait_deferred_add_callbacks()" },
	{ use_fire, "worker.c:2" },
	{ use_drop, "worker.c:2" },
	{ use_cancel, "worker.c:2" },
	{ use_free, "worker.c:2" },
	{ use_detach, "plait_deferred_detach()" },
	{ use_pause, "plait_deferred_pause()" },
	{ use_chain, "plait_chain()" },
	{ use_result, "plait_deferred_result()" },
	{ use_is_fired, "plait_deferred_is_fired()" },
};

enum { N_USES = sizeof(uses) / sizeof(uses[0]) };

static void *use_it(void *arg)
{
	uses[*(int *)arg].use();
	return NULL;
}

static void use_elsewhere(void *arg)
{
	shared = plait_deferred_new_at(&promise, NULL, NULL, "main.c:1");
	in_thread(use_it, arg);
}

START_TEST(using_the_deferred_of_another_thread_aborts_and_names_both)
{
	char says[256];

	snprintf(says, sizeof(says),
		 "plait: %s: thread 2 uses the deferred made at main.c:1, "
		 "which belongs to thread 1\n",
		 uses[_i].where);
	assert_aborts(use_elsewhere, &_i, says);
}
END_TEST

static bool frees = true;

static void *make_and_end(void *arg)
{
	struct plait_deferred *d =
		plait_deferred_new_at(&promise, NULL, NULL, "worker.c:1");

	plait_fire(&promise, PLAIT_NONE);
	shared = d;
	if (arg != NULL)
		plait_deferred_free(&shared);
	return NULL;
}

START_TEST(each_thread_has_deferreds_of_its_own)
{
	in_thread(make_and_end, &frees);
	ck_assert_ptr_null(shared);
	make_and_end(&frees);
}
END_TEST

static void free_of_a_dead_thread(void *arg)
{
	in_thread(make_and_end, NULL);
	plait_deferred_free_at(&shared, "main.c:3");
}

START_TEST(what_a_thread_has_left_behind_is_nobodys)
{
	assert_aborts(free_of_a_dead_thread, NULL,
		      "main.c:3: thread 2 uses the deferred made at "
		      "worker.c:1, which belongs to thread 1");
}
END_TEST

static void *use_no_memory(void *arg)
{
	struct plait_deferred *d = arg;

	plait_deferred_add_both(d, step, &(struct step){ .answers = true });
	plait_deferred_free(&d);
	return NULL;
}

START_TEST(the_deferred_without_memory_is_everybodys)
{
	struct plait_deferred *d;

	fault_alloc_at(0, false);
	d = plait_deferred_new(&promise, NULL, NULL);
	fault_alloc_off();
	ck_assert_ptr_null(promise);
	in_thread(use_no_memory, d);
	plait_deferred_free(&d);
}
END_TEST

/* ---- workers ---------------------------------------------------------- */

/* The only thing that a worker may do with a promise that is not its own. */
static void *work_until_cancelled(void *arg)
{
	unsigned *rounds = arg;

	while (!plait_promise_is_cancelled(promise))
		++*rounds;
	return NULL;
}

enum way { CANCEL, FREE, N_WAYS };

static void cancel_a_worker(enum way way)
{
	struct plait_deferred *d = plait_deferred_new(&promise, NULL, NULL);
	unsigned rounds = 0;
	pthread_t thread;

	pthread_create(&thread, NULL, work_until_cancelled, &rounds);
	handle_all(d);
	if (way == CANCEL)
		plait_deferred_cancel(d);
	else
		plait_deferred_free(&d);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(plait_fire(&promise, PLAIT_NONE), -ECANCELED);
	plait_deferred_free(&d);
}

START_TEST(a_worker_may_ask_whether_it_is_cancelled)
{
	for (int i = 0; i < 100; i++)
		cancel_a_worker(_i);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("owner");
	TCase *tc = tcase_create("deferreds");

	tcase_add_checked_fixture(tc, steps_setup, NULL);
	tcase_add_pure_loop_test(
		tc, using_the_deferred_of_another_thread_aborts_and_names_both,
		0, N_USES);
	tcase_add_pure_test(tc, each_thread_has_deferreds_of_its_own);
	tcase_add_pure_test(tc, what_a_thread_has_left_behind_is_nobodys);
	tcase_add_pure_test(tc, the_deferred_without_memory_is_everybodys);
	suite_add_tcase(s, tc);

	tc = tcase_create("workers");
	tcase_add_checked_fixture(tc, steps_setup, NULL);
	tcase_add_pure_loop_test(tc, a_worker_may_ask_whether_it_is_cancelled,
				 0, N_WAYS);
	suite_add_tcase(s, tc);
	return suite_main(s);
}
