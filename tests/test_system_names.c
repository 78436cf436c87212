/*
 * A resolver that looks up as the C library does, in a thread: nobody waits
 * for it, and what comes too late is freed.
 */
#include <netdb.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/socket.h>

#include <plait/testing.h>

#include "reactor/names/names.h"
#include "reactor/task/worker.h"
#include "tests/child.h"
#include "tests/harness.h"

/* No address for plait, which asks; the C library reads it as 127.0.0.1. */
static const char name[] = "127.1";

static struct plait_resolver *system_resolver(void)
{
	struct plait_resolver *rs = plait_resolver_new(
		reactor, &(struct plait_resolver_options){ .system = true });

	ck_assert_ptr_nonnull(rs);
	return rs;
}

static struct plait_deferred *look_up(struct plait_resolver *rs,
				      const char *what)
{
	return plait_resolve(
		reactor, what,
		&(struct plait_resolve_options){ .resolver = rs, .port = 7 });
}

static plait_value note_text(plait_value *result, void *arg)
{
	char *text = arg;

	if (plait_value_is_failure(result))
		strcpy(text,
		       plait_failure_kind(plait_value_failure(result))->name);
	else
		plait_value_str(result, text, 100);
	return PLAIT_NONE;
}

static bool is_noted(void *text)
{
	return *(char *)text != '\0';
}

static void expect_text(struct plait_deferred *d, const char *expected)
{
	char text[100] = "";

	plait_deferred_add_both(d, note_text, text);
	ck_assert_str_eq(text, "");
	run_until(reactor, is_noted, text);
	ck_assert_str_eq(text, expected);
	plait_deferred_free(&d);
}

/* The same for one of many: it may be there already. */
static void expect_found(struct plait_deferred *d)
{
	char text[100] = "";

	plait_deferred_add_both(d, note_text, text);
	run_until(reactor, is_noted, text);
	ck_assert_str_eq(text, "127.0.0.1");
	plait_deferred_free(&d);
}

/* ---- a C library that takes its time ------------------------------------- */

enum { THREADS = 4 };

static sem_t entered, leave;

static void block(void *arg)
{
	sem_post(&entered);
	sem_wait(&leave);
}

static void setup(void)
{
	sem_init(&entered, 0, 0);
	sem_init(&leave, 0, 0);
}

/* All is freed but what is the thread's, which it frees. */
static void await_thread(void)
{
	while (heap_live() > 0)
		sched_yield();
}

GROUP("system", .setup = setup);

TEST(the_c_library_finds_addresses, ON_EACH_BACKEND)
{
	struct plait_resolver *rs = system_resolver();
	struct plait_deferred *d = look_up(rs, name);
	const struct plait_addresses *a;

	while (plait_deferred_result(d) == NULL)
		plait_reactor_iterate(reactor, 1);
	a = plait_value_addresses(plait_deferred_result(d));
	ck_assert_uint_eq(a->count, 1);
	ck_assert_uint_eq(plait_address_port(&a->items[0]), 7);
	ck_assert(a->ttl == 0);
	plait_deferred_free(&d);
	expect_text(look_up(rs, name), "127.0.0.1");
	plait_resolver_free(&rs);
}

TEST(it_finds_names, ON_EACH_BACKEND)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct plait_resolver *rs = system_resolver();
	const struct plait_resolve_options o = { .resolver = rs };
	struct plait_address a;
	char host[NI_MAXHOST];

	ck_assert_int_eq(plait_address_parse(&a, "127.0.0.1", 0), 0);
	if (getnameinfo((struct sockaddr *)&sa, sizeof(sa), host, sizeof(host),
			NULL, 0, NI_NAMEREQD) != 0)
		strcpy(host, "DNSNoNameError");
	expect_text(plait_resolve_address(reactor, &a, &o), host);
	fault_call("getnameinfo", 1, EAI_NONAME);
	expect_text(plait_resolve_address(reactor, &a, &o), "DNSNoNameError");
	plait_resolver_free(&rs);
}

static const struct {
	int error;
	const char *kind;
} errors[] = {
	{ EAI_NONAME, "DNSNoNameError" },
	{ EAI_NODATA, "DNSNoDataError" },
	{ EAI_AGAIN, "DNSServerFailureError" },
	{ EAI_FAIL, "DNSServerFailureError" },
	{ EAI_MEMORY, "NoMemoryError" },
	{ EAI_SYSTEM, "DNSLookupError" },
};

TEST(its_errors_have_kinds, ON_EACH_BACKEND, EACH_OF(errors))
{
	struct plait_resolver *rs = system_resolver();

	fault_call("getaddrinfo", 1, errors[_i].error);
	expect_text(look_up(rs, name), errors[_i].kind);
	expect_text(look_up(rs, name), "127.0.0.1");
	plait_resolver_free(&rs);
}

TEST(without_a_thread_the_lookup_fails, ON_EACH_BACKEND)
{
	struct plait_resolver *rs = system_resolver();

	fault_call("pthread_create", 1, EAGAIN);
	expect_text(look_up(rs, name), "DNSLookupError");
	expect_text(look_up(rs, name), "127.0.0.1");
	plait_resolver_free(&rs);
}

TEST(what_needs_nobody_needs_no_thread, ON_EACH_BACKEND)
{
	struct plait_resolver *rs = system_resolver();

	calls_reset();
	expect_text(look_up(rs, "localhost"), "::1, 127.0.0.1");
	expect_text(look_up(rs, "192.0.2.1"), "192.0.2.1");
	ck_assert_uint_eq(calls_of("pthread_create"), 0);
	plait_resolver_free(&rs);
}

/* As many lookups as there are threads, all in the C library. */
static void block_all_threads(struct plait_resolver *rs,
			      struct plait_deferred **lookups)
{
	call_hook("getaddrinfo", block, NULL);
	calls_reset();
	for (int i = 0; i < THREADS; i++)
		lookups[i] = look_up(rs, name);
	for (int i = 0; i < THREADS; i++)
		sem_wait(&entered);
}

static void let_go_all_threads(void)
{
	call_hook("getaddrinfo", NULL, NULL);
	for (int i = 0; i < THREADS; i++)
		sem_post(&leave);
}

TEST(a_cancel_does_not_wait_for_the_threads, ON_EACH_BACKEND)
{
	struct plait_resolver *rs = system_resolver();
	struct plait_deferred *running[THREADS], *queued;

	block_all_threads(rs, running);
	queued = look_up(rs, name);
	for (int i = 0; i < THREADS; i++)
		plait_deferred_free(&running[i]);
	plait_deferred_free(&queued);
	let_go_all_threads();
	expect_text(look_up(rs, name), "127.0.0.1");
	plait_resolver_free(&rs);
	plait_reactor_free(&reactor);
	await_thread();
	/* The one that waited was never begun. */
	ck_assert_uint_eq(calls_of("getaddrinfo"), THREADS + 1);
	ck_assert_uint_eq(calls_of("freeaddrinfo"), THREADS + 1);
}

TEST(there_are_four_threads, ON_EACH_BACKEND)
{
	struct plait_resolver *rs = system_resolver();
	struct plait_deferred *running[THREADS], *queued;

	block_all_threads(rs, running);
	queued = look_up(rs, name);
	ck_assert_uint_eq(calls_of("pthread_create"), THREADS);
	let_go_all_threads();
	for (int i = 0; i < THREADS; i++)
		expect_found(running[i]);
	expect_found(queued);
	plait_resolver_free(&rs);
}

/* Sixty-four lookups that do not end, and an address that needs none. */
TEST(blocked_lookups_do_not_hold_up_a_numeric_address, ON_EACH_BACKEND)
{
	enum { LOOKUPS = 64 };
	struct plait_resolver *rs = system_resolver();
	const struct plait_connect_options options = { .resolver = rs };
	struct plait_deferred *lookups[LOOKUPS], *d;
	uint16_t port;
	int listener = peer_listen(&port, 1), fd;

	block_all_threads(rs, lookups);
	for (int i = THREADS; i < LOOKUPS; i++)
		lookups[i] = look_up(rs, name);
	expect_text(look_up(rs, "192.0.2.1"), "192.0.2.1");
	d = plait_client_read_all(reactor, "127.0.0.1", port, PLAIT_NONE, 100,
				  &options);
	run_turns(reactor, 3);
	fd = peer_accept(listener);
	peer_say(fd, "hello");
	peer_close(fd);
	expect_text(d, "hello");
	for (int i = 0; i < LOOKUPS; i++)
		plait_deferred_free(&lookups[i]);
	let_go_all_threads();
	peer_close(listener);
	plait_resolver_free(&rs);
	plait_reactor_free(&reactor);
	await_thread();
	ck_assert_uint_eq(calls_of("getaddrinfo"), THREADS);
}

/* A shutdown leaves lookups alone, as it does those that ask the DNS. */
TEST(a_shutdown_does_not_wait_for_a_lookup, ON_EACH_BACKEND)
{
	struct plait_resolver *rs = system_resolver();
	struct plait_deferred *running[THREADS], *queued;
	double before;

	clock_virtual(true);
	block_all_threads(rs, running);
	queued = look_up(rs, name);
	plait_call_later(reactor, 0, call_stop, NULL);
	before = clock_now();
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert(clock_now() - before < 1);
	/* They go on in the next run. */
	clock_virtual(false);
	let_go_all_threads();
	for (int i = 0; i < THREADS; i++)
		expect_found(running[i]);
	expect_found(queued);
	plait_resolver_free(&rs);
}

TEST(the_time_is_up_while_the_thread_works, ON_EACH_BACKEND)
{
	struct plait_resolver *rs = system_resolver();
	struct plait_deferred *d;
	char text[100] = "";

	clock_virtual(true);
	call_hook("getaddrinfo", block, NULL);
	d = look_up(rs, name);
	plait_deferred_add_both(d, note_text, text);
	sem_wait(&entered);
	run_for(reactor, 31);
	ck_assert_str_eq(text, "DNSTimeoutError");
	plait_deferred_free(&d);
	plait_resolver_free(&rs);
	plait_reactor_free(&reactor);
	sem_post(&leave);
	await_thread();
}

/* Ends the resolver, or the reactor. */
static void end_one(struct plait_resolver **rs, bool is_reactor)
{
	if (is_reactor)
		plait_reactor_free(&reactor);
	plait_resolver_free(rs);
	if (!is_reactor)
		plait_reactor_free(&reactor);
}

TEST(no_end_waits_for_the_thread, ON_EACH_BACKEND, TIMES(2))
{
	struct plait_resolver *rs = system_resolver();
	struct plait_deferred *d;
	char text[100] = "";

	call_hook("getaddrinfo", block, NULL);
	d = look_up(rs, name);
	plait_deferred_add_both(d, note_text, text);
	plait_deferred_detach(&d);
	sem_wait(&entered);
	end_one(&rs, _i == 1);
	ck_assert_str_eq(text, "AbandonedError");
	sem_post(&leave);
	await_thread();
	ck_assert_uint_eq(calls_of("freeaddrinfo"), 1);
}

/* The answer is there, and the loop was not told yet. */
TEST(an_answer_that_was_not_told_is_freed, ON_EACH_BACKEND, TIMES(2))
{
	struct plait_resolver *rs = system_resolver();
	struct plait_deferred *d;
	char text[100] = "";

	calls_reset();
	d = look_up(rs, name);
	plait_deferred_add_both(d, note_text, text);
	plait_deferred_detach(&d);
	while (calls_of("write") == 0)
		sched_yield();
	end_one(&rs, _i == 1);
	ck_assert_str_eq(text, "AbandonedError");
	await_thread();
}

/* What a child has inherited while the thread works. */
struct held {
	struct plait_deferred *d;
	struct plait_resolver *rs;
};

static void free_all(void *arg)
{
	struct held *held = arg;

	plait_deferred_free(&held->d);
	plait_resolver_free(&held->rs);
	plait_reactor_free(&reactor);
}

static void free_reactor_first(void *arg)
{
	struct held *held = arg;

	plait_reactor_free(&reactor);
	plait_resolver_free(&held->rs);
	plait_deferred_free(&held->d);
}

TEST(a_forked_child_frees_what_it_has_and_the_parent_goes_on, ON_EACH_BACKEND,
     TIMES(2))
{
	struct held held = { .rs = system_resolver() };
	const char *said; /* a leak checker speaks of the thread that is gone */
	char text[100] = "";

	call_hook("getaddrinfo", block, NULL);
	held.d = look_up(held.rs, name);
	plait_deferred_add_both(held.d, note_text, text);
	sem_wait(&entered);
	ck_assert_int_eq(child_run(_i == 0 ? free_all : free_reactor_first,
				   &held, &said),
			 0);
	sem_post(&leave);
	run_until(reactor, is_noted, text);
	ck_assert_str_eq(text, "127.0.0.1");
	plait_deferred_free(&held.d);
	plait_resolver_free(&held.rs);
}

/* The lock of the threads is held for ever in a child that was forked at the
   wrong moment. */
static void look_up_in_child(void *arg)
{
	struct held *held = arg;
	struct plait_deferred *d = look_up(held->rs, name);
	char text[100] = "";

	plait_deferred_add_both(d, note_text, text);
	ck_assert_str_eq(text, "");
	plait_deferred_free(&d);
	free_all(held);
	if (!child_may_have_threads())
		return;
	reactor = plait_reactor_new(backend);
	held->rs = system_resolver();
	expect_text(look_up(held->rs, name), "127.0.0.1");
	plait_resolver_free(&held->rs);
	plait_reactor_free(&reactor);
}

TEST(a_child_waits_for_no_lock_and_begins_anew, ON_EACH_BACKEND)
{
	struct held held = { .rs = system_resolver() };
	const char *said;

	expect_text(look_up(held.rs, name), "127.0.0.1");
	call_hook("getaddrinfo", block, NULL);
	held.d = look_up(held.rs, name);
	sem_wait(&entered);
	call_hook("getaddrinfo", NULL, NULL);
	pthread_mutex_lock(&held.rs->system->lock);
	ck_assert_int_eq(child_run(look_up_in_child, &held, &said), 0);
	pthread_mutex_unlock(&held.rs->system->lock);
	sem_post(&leave);
	expect_text(held.d, "127.0.0.1");
	plait_resolver_free(&held.rs);
}

/* A thread that has an answer for a reactor that is gone. */
TEST(nothing_is_queued_at_a_reactor_that_was_freed, ON_EACH_BACKEND, TIMES(2))
{
	struct plait_resolver *rs = system_resolver();
	struct plait_deferred *d;

	call_hook("getaddrinfo", block, NULL);
	d = look_up(rs, name);
	sem_wait(&entered);
	plait_deferred_free(&d);
	calls_reset();
	end_one(&rs, _i == 1);
	sem_post(&leave);
	await_thread();
	ck_assert_uint_eq(calls_of("write"), 0);
	ck_assert_uint_eq(calls_of("freeaddrinfo"), 1);
}

/* An answer that is being told may be what has freed it. */
TEST(the_memory_of_a_resolver_stays_until_its_turn_ends, ON_EACH_BACKEND)
{
	struct plait_resolver *rs = system_resolver();
	unsigned long before;

	expect_text(look_up(rs, name), "127.0.0.1");
	before = heap_live();
	plait_resolver_free(&rs);
	ck_assert_uint_eq(heap_live(), before);
	run_turns(reactor, 1);
	ck_assert_uint_lt(heap_live(), before);
}

TEST(a_virtual_reactor_has_no_thread, PURE)
{
	struct plait_reactor *r = plait_testing_reactor_new();

	ck_assert_ptr_null(plait_resolver_new(
		r, &(struct plait_resolver_options){ .system = true }));
	ck_assert_int_eq(errno, ENOTSUP);
	plait_reactor_free(&r);
}
