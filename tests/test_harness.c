/*
 * The seam and the harness themselves: what they count, what they make fail,
 * and that they notice what a test leaves behind.  The functions of the seam
 * are called by hand here, as the library's code would.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#ifdef HAVE_EPOLL
#include <sys/epoll.h>
#endif

#include "tests/child.h"
#include "tests/flight.h"
#include "tests/story.h"
#include "tests/script.h"
#include "tests/stranger.h"

void *seam_malloc(size_t size);
void *seam_calloc(size_t n, size_t size);
void *seam_realloc(void *ptr, size_t size);
void *seam_reallocarray(void *ptr, size_t n, size_t size);
char *seam_strdup(const char *s);
char *seam_strndup(const char *s, size_t n);
void seam_free(void *ptr);
int seam_open(const char *path, int flags, ...);
int seam_close(int fd);
int seam_fcntl(int fd, int cmd, ...);
ssize_t seam_read(int fd, void *buf, size_t n);
ssize_t seam_write(int fd, const void *buf, size_t n);
ssize_t seam_readv(int fd, const struct iovec *iov, int n);
ssize_t seam_writev(int fd, const struct iovec *iov, int n);
ssize_t seam_sendmsg(int fd, const struct msghdr *msg, int flags);
int seam_connect(int fd, const struct sockaddr *sa, socklen_t len);
int seam_clock_gettime(clockid_t id, struct timespec *ts);
int seam_select(int n, fd_set *in, fd_set *out, fd_set *ex, struct timeval *tv);
int seam_pthread_sigmask(int how, const sigset_t *set, sigset_t *old);
#ifdef HAVE_EPOLL
int seam_epoll_wait(int fd, struct epoll_event *events, int n, int timeout);
int seam_epoll_create1(int flags);
#endif

GROUP("seam");

TEST(each_way_to_allocate_is_counted, PURE)
{
	unsigned long calls = heap_calls();
	void *m = seam_malloc(10);
	void *c = seam_calloc(3, 5);
	char *s = seam_strdup("four");
	char *n = seam_strndup("fourteen", 4);
	void *r = seam_realloc(NULL, 7);

	ck_assert_str_eq(s, n);
	ck_assert_uint_eq(heap_live(), 5);
	ck_assert_uint_eq(heap_live_bytes(), 10 + 15 + 5 + 5 + 7);
	r = seam_realloc(r, 700);
	r = seam_reallocarray(r, 100, 9);
	ck_assert_uint_eq(heap_live(), 5);
	ck_assert_uint_eq(heap_live_bytes(), 10 + 15 + 5 + 5 + 900);
	ck_assert_uint_eq(heap_calls() - calls, 7);
	ck_assert_ptr_null(seam_reallocarray(r, SIZE_MAX / 2, 3));
	seam_free(m);
	seam_free(c);
	seam_free(s);
	seam_free(n);
	seam_free(r);
	seam_free(NULL);
	ck_assert_uint_eq(heap_live(), 0);
	ck_assert_uint_eq(heap_live_bytes(), 0);
}

TEST(many_blocks_are_told_apart, PURE)
{
	enum { N = 20000 };
	static void *blocks[N];

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < N; i++)
			blocks[i] = seam_malloc(i % 50 + 1);
		ck_assert_uint_eq(heap_live(), N);
		for (size_t i = 0; i < N; i += 2)
			seam_free(blocks[i]);
		ck_assert_uint_eq(heap_live(), N / 2);
		for (size_t i = 1; i < N; i += 2)
			seam_free(blocks[i]);
		ck_assert_uint_eq(heap_live_bytes(), 0);
	}
}

TEST(foreign_memory_may_be_freed_through_the_seam, PURE)
{
	seam_free(strdup("the test's own"));
	ck_assert_uint_eq(heap_live(), 0);
}

TEST(one_allocation_is_refused, PURE)
{
	void *p[4];

	fault_alloc_at(2, false);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(fault_alloc_reached(), i > 2);
		errno = 0;
		p[i] = seam_malloc(1);
		ck_assert_int_eq(p[i] == NULL, i == 2);
		ck_assert_int_eq(errno, i == 2 ? ENOMEM : 0);
	}
	for (int i = 0; i < 4; i++)
		seam_free(p[i]);
}

TEST(all_later_allocations_are_refused, PURE)
{
	void *p = seam_malloc(1);
	void *q;

	fault_alloc_at(1, true);
	q = seam_malloc(1);
	ck_assert_ptr_nonnull(q);
	ck_assert_ptr_null(seam_malloc(1));
	ck_assert_ptr_null(seam_calloc(1, 1));
	ck_assert_ptr_null(seam_strdup("x"));
	ck_assert_ptr_null(seam_realloc(p, 100));
	ck_assert(fault_alloc_reached());
	fault_alloc_off();
	p = seam_realloc(p, 100);
	ck_assert_ptr_nonnull(p);
	seam_free(p);
	seam_free(q);
}

TEST(calls_fail_as_scripted, PURE)
{
	char c;
	int fd = seam_open("/dev/zero", O_RDONLY);

	fault_call("read", 2, EINTR);
	fault_pass("read", 1);
	fault_call("read", 1, EIO);
	ck_assert_int_eq(seam_read(fd, &c, 1), -1);
	ck_assert_int_eq(errno, EINTR);
	ck_assert_int_eq(seam_read(fd, &c, 1), -1);
	ck_assert_int_eq(seam_read(fd, &c, 1), 1);
	ck_assert(!fault_used("read"));
	ck_assert_int_eq(seam_read(fd, &c, 1), -1);
	ck_assert_int_eq(errno, EIO);
	ck_assert(fault_used("read"));
	ck_assert_int_eq(seam_read(fd, &c, 1), 1);
	ck_assert_uint_eq(calls_of("read"), 5);
	fault_call_forever("read", EBADF);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(seam_read(fd, &c, 1), -1);
	fault_off();
	ck_assert_int_eq(seam_read(fd, &c, 1), 1);
	calls_reset();
	ck_assert_uint_eq(calls_of("read"), 0);
	seam_close(fd);
}

TEST(reads_and_writes_are_cut_short, PURE)
{
	char a[3], b[5];
	char text[] = "abcdefgh";
	struct iovec out[] = { { text, 3 }, { text, 0 }, { text + 3, 5 } };
	struct iovec in[] = { { a, 3 }, { b, 5 } };
	struct msghdr msg = { .msg_iov = out, .msg_iovlen = 3 };
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	fault_short_forever("writev", 4);
	fault_short_forever("sendmsg", 1);
	fault_short_forever("readv", 2);
	fault_short("read", 1, 1);
	fault_short("write", 1, 1);
	ck_assert_int_eq(seam_writev(fds[0], out, 3), 4);
	ck_assert_int_eq(seam_readv(fds[1], in, 2), 2);
	ck_assert_mem_eq(a, "ab", 2);
	ck_assert_int_eq(seam_sendmsg(fds[0], &msg, 0), 1);
	ck_assert_int_eq(seam_read(fds[1], b, 5), 1);
	ck_assert_int_eq(seam_read(fds[1], b, 5), 2);
	ck_assert_mem_eq(b, "da", 2);
	ck_assert_int_eq(seam_write(fds[0], "xyz", 3), 1);
	ck_assert_int_eq(seam_write(fds[0], "xyz", 3), 3);
	close(fds[0]);
	close(fds[1]);
}

TEST(a_failing_close_closes, PURE)
{
	int fd = seam_open("/dev/null", O_RDONLY);

	fault_call("close", 1, EINTR);
	ck_assert_int_eq(seam_close(fd), -1);
	ck_assert_int_eq(errno, EINTR);
	ck_assert_int_eq(seam_fcntl(fd, F_GETFD), -1);
	ck_assert_int_eq(errno, EBADF);
}

TEST(pthread_functions_return_the_error, PURE)
{
	fault_call("pthread_sigmask", 1, EINVAL);
	ck_assert_int_eq(seam_pthread_sigmask(SIG_BLOCK, NULL, NULL), EINVAL);
	ck_assert_int_eq(seam_pthread_sigmask(SIG_BLOCK, NULL, NULL), 0);
}

static void bump(void *arg)
{
	++*(int *)arg;
}

TEST(a_hook_runs_inside_the_call, PURE)
{
	int n = 0;

	call_hook("close", bump, &n);
	seam_close(-1);
	seam_close(-1);
	call_hook("close", NULL, NULL);
	seam_close(-1);
	ck_assert_int_eq(n, 2);
}

static double seam_seconds(void)
{
	struct timespec ts;

	ck_assert_int_eq(seam_clock_gettime(CLOCK_MONOTONIC, &ts), 0);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

TEST(the_clock_jumps, PURE)
{
	double start = seam_seconds();

	clock_advance(100);
	ck_assert_double_ge(seam_seconds(), start + 100);
	ck_assert_double_lt(seam_seconds(), start + 200);
}

/* Returns when the machine's own clock has moved. */
static void let_real_time_pass(void)
{
	struct timespec before, now;

	clock_gettime(CLOCK_MONOTONIC, &before);
	do {
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec == before.tv_sec && now.tv_nsec == before.tv_nsec);
}

TEST(a_virtual_clock_stands_still, PURE)
{
	double start;

	clock_virtual(true);
	start = seam_seconds();
	let_real_time_pass();
	ck_assert_double_eq(seam_seconds(), start);
	clock_advance(1.5);
	ck_assert_double_eq_tol(seam_seconds(), start + 1.5, 1e-6);
	clock_virtual(false);
	ck_assert_double_ge(seam_seconds(), start + 1.5);
	ck_assert_double_lt(seam_seconds(), start + 20);
}

TEST(a_virtual_wait_takes_no_time, PURE)
{
	struct timeval tv = { .tv_sec = 3600 };
	fd_set in;
	double start;
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	clock_virtual(true);
	start = seam_seconds();
	FD_ZERO(&in);
	FD_SET(fds[0], &in);
	ck_assert_int_eq(seam_select(fds[0] + 1, &in, NULL, NULL, &tv), 0);
	ck_assert(!FD_ISSET(fds[0], &in));
	ck_assert_double_eq_tol(seam_seconds(), start + 3600, 1e-6);
	ck_assert_double_eq(wait_timeout(), 3600);

	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	FD_SET(fds[0], &in);
	ck_assert_int_eq(seam_select(fds[0] + 1, &in, NULL, NULL, &tv), 1);
	ck_assert(FD_ISSET(fds[0], &in));
	ck_assert_double_eq_tol(seam_seconds(), start + 3600, 1e-6);
#ifdef HAVE_EPOLL
	struct epoll_event ev;
	int ep = seam_epoll_create1(EPOLL_CLOEXEC);

	ck_assert_int_eq(seam_epoll_wait(ep, &ev, 1, 60000), 0);
	ck_assert_double_eq_tol(seam_seconds(), start + 3660, 1e-6);
	close(ep);
#endif
	close(fds[0]);
	close(fds[1]);
}

/* Tests that have to fail; each runs as a suite of its own. */
static void leaves_memory(int _i)
{
	ck_assert_ptr_nonnull(seam_malloc(42));
}

static void leaves_a_descriptor(int _i)
{
	ck_assert_int_ge(eventfd(0, 0), 0);
}

static void closes_what_was_open(int _i)
{
	close(0);
}

static void swaps_a_descriptor(int _i)
{
	int fd = eventfd(0, 0);

	dup2(fd, 0);
	close(fd);
}

static void leaves_a_failure_unhandled(int _i)
{
	plait_value v = plait_cancelled();

	plait_report_unhandled(plait_value_failure(&v));
}

static void misses_a_failure(int _i)
{
	unhandled_expect(1);
}

static void scripts_an_unknown_call(int _i)
{
	fault_call("no_such_call", 1, EINTR);
}

/* A scenario that copes with everything ... */
static void careful(struct plait_reactor *r)
{
	char *a = seam_malloc(1);
	char *b = a ? seam_malloc(1) : NULL;
	int fd = seam_open("/dev/null", O_RDONLY);

	ck_assert(torture_faulty() || (b != NULL && fd >= 0));
	seam_free(a);
	seam_free(b);
	if (fd >= 0)
		seam_close(fd);
}

/* ... and some that have one fault each. */
static void forgetful(struct plait_reactor *r)
{
	char *a = seam_malloc(1);
	char *b = seam_malloc(1);

	if (b == NULL)
		return;
	seam_free(a);
	seam_free(b);
}

static void crashing(struct plait_reactor *r)
{
	char *volatile a = seam_malloc(1);

	if (a == NULL)
		raise(SIGKILL);
	seam_free(a);
}

static void never_well_again(struct plait_reactor *r)
{
	static bool ill;
	char *a = seam_malloc(1);

	if (a == NULL)
		ill = true;
	seam_free(a);
	ck_assert(torture_faulty() || !ill);
}

static void trusts_open(struct plait_reactor *r)
{
	int fd = seam_open("/dev/null", O_RDONLY);

	if (fd < 0 && errno == ENFILE)
		abort();
	if (fd >= 0)
		seam_close(fd);
}

static scenario *const bad_scenarios[] = {
	forgetful,
	crashing,
	never_well_again,
};

static void is_tortured_to_death(int _i)
{
	torture(bad_scenarios[_i], plait_backend_name(0));
}

static void is_tortured_to_death_by_calls(int _i)
{
	torture_syscalls(trusts_open, plait_backend_name(0));
}

/* Scripts of which only the first is right. */
static const struct script scripts[] = {
	{ "new d; both d a | fire d ~v; free d", "| a:v ~v" },
	{ "new d; both d a | fire d ~v; free d", "a:v ~v" },
	{ "new d; both d a | fire d ~v; free d", "| a:v ~v b:v" },
	{ "now d", "" },
	{ "new", "" },
	{ "new d e", "" },
	{ "new d; free e", "" },
	{ "new d; fire d one", "" },
	{ "new d; both d { fire d 1", "" },
	{ "new d; heap all { fire d 1 }", "" },
	{ "new d; list l d d", "" },
	{ "heap 0 { new d }", "" },
	{ "refuse 9 { new d }", "" },
	{ "new d !c = Error:reported_after_it; list l d", "" },
};

static void plays(int _i)
{
	steps_setup();
	script_play(&scripts[_i]);
}

static void passes(int _i)
{
}

/* True if a suite of that one test passes, run in a process of its own. */
static bool suite_passes(void (*body)(int _i), int i)
{
	struct test t = { .check = { "inner", body, __FILE__, 0 },
			  FROM_TO(i, i + 1) };
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		setenv("CK_VERBOSITY", "silent", 1);
		dup2(open("/dev/null", O_WRONLY), 2);
		_exit(tests_run("inner", &t));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status) == 0;
}

GROUP("harness", .timeout = 60);

TEST(what_is_left_is_noticed, PURE)
{
	ck_assert(suite_passes(passes, 0));
	ck_assert(!suite_passes(leaves_memory, 0));
	ck_assert(!suite_passes(leaves_a_descriptor, 0));
	ck_assert(!suite_passes(closes_what_was_open, 0));
	ck_assert(!suite_passes(swaps_a_descriptor, 0));
	ck_assert(!suite_passes(leaves_a_failure_unhandled, 0));
	ck_assert(!suite_passes(misses_a_failure, 0));
	ck_assert(!suite_passes(scripts_an_unknown_call, 0));
}

TEST(script_that_is_wrong_in_anything_fails, PURE)
{
	ck_assert(suite_passes(plays, 0));
	for (int i = 1; i < N_OF(scripts); i++)
		ck_assert_msg(!suite_passes(plays, i), "passes: \"%s\"",
			      scripts[i].steps);
}

TEST(torture_finds_what_is_wrong, PURE)
{
	for (size_t i = 0; i < sizeof(bad_scenarios) / sizeof(*bad_scenarios);
	     i++)
		ck_assert(!suite_passes(is_tortured_to_death, (int)i));
	ck_assert(!suite_passes(is_tortured_to_death_by_calls, 0));
}

static const char *const stories[] = {
	"trace -", /* the one that holds */
	"no-such-step", "trace M",	     "text a...b", "errno EXYZ",
	"D { lose",	"limit high_tide 7", "peer sings", "lost 1; trace -",
	"errno",	"lost 0 times",	     "turn often", "is ajar",
};

static void tells(int _i)
{
	struct wire w = { .peer = -1 };

	play(&w, stories[_i]);
}

TEST(a_story_that_does_not_hold_fails, PURE)
{
	for (int i = 0; i < N_OF(stories); i++)
		ck_assert_int_eq(suite_passes(tells, i), i == 0);
}

TEST(torture_passes_the_careful, ON_EACH_BACKEND)
{
	torture(careful, backend);
	torture_syscalls(careful, backend);
}

TEST(unhandled_failures_are_counted, PURE)
{
	plait_value v = plait_cancelled();

	unhandled_expect(2);
	plait_report_unhandled(plait_value_failure(&v));
	plait_report_unhandled(plait_value_failure(&v));
	ck_assert_uint_eq(unhandled_count(), 2);
	ck_assert_str_eq(unhandled_text(), "CancelledError");
}

TEST(loops_are_counted_from_their_start, ON_EACH_BACKEND, FROM_TO(3, 6))
{
	ck_assert_int_ge(_i, 3);
	ck_assert_int_lt(_i, 6);
}

TEST(each_backend_has_its_reactor, ON_EACH_BACKEND)
{
	ck_assert_str_eq(plait_reactor_backend(reactor), backend);
	run_turns(reactor, 3);
}

TEST(virtual_time_passes_in_turns, ON_EACH_BACKEND)
{
	double start = clock_now();

	run_for(reactor, 100);
	ck_assert_double_ge(clock_now(), start + 100);
	ck_assert_double_lt(clock_now(), start + 101);
}

static bool third_time(void *arg)
{
	return ++*(int *)arg == 3;
}

TEST(run_until_ends_when_it_is_true, ON_EACH_BACKEND)
{
	int n = 0;

	ck_assert(run_until(reactor, third_time, &n));
	ck_assert_int_eq(n, 3);
}

TEST(peers_talk, PURE)
{
	char text[10];
	uint16_t port;
	int listener = peer_listen(&port, 5);
	int a = peer_connect(port);
	int b = peer_accept(listener);

	peer_say(a, "one");
	peer_say(a, "two");
	ck_assert_int_eq(peer_read(NULL, b, text, 4), 4);
	ck_assert_mem_eq(text, "onet", 4);
	close(a);
	ck_assert_int_eq(peer_read_to_eof(NULL, b, text, sizeof(text)), 2);
	ck_assert_mem_eq(text, "wo", 2);
	close(b);
	a = peer_connect(port);
	b = peer_accept(listener);
	peer_reset(a);
	ck_assert_int_eq(peer_read(NULL, b, text, 1), -ECONNRESET);
	close(b);
	close(listener);
}

TEST(a_held_port_refuses, PURE)
{
	uint16_t port;
	int held = peer_hold_port(&port);
	int fd = peer_connect_start(port);
	char c;

	ck_assert_int_eq(peer_read(NULL, fd, &c, 1), -ECONNREFUSED);
	close(fd);
	close(held);
}

/* As some machines have a program that looks at every port. */
TEST(who_is_a_stranger_is_turned_away, PURE)
{
	uint16_t port;
	int listener = peer_listen(&port, 5);
	int stranger = peer_connect(port), own, accepted;
	char c;

	stranger_forget();
	own = peer_connect(port);
	accepted = peer_accept(listener);
	peer_say(own, "x");
	ck_assert_int_eq(peer_read(NULL, accepted, &c, 1), 1);
	ck_assert_int_le(peer_read(NULL, stranger, &c, 1), 0);
	close(stranger);
	close(own);
	close(accepted);
	close(listener);
}

/* A connection of this process alone. */
struct pair {
	int listener, near, far;
	uint16_t port;
};

static void open_pair(struct pair *p)
{
	p->listener = peer_listen(&p->port, 1);
	p->near = peer_connect(p->port);
	p->far = peer_accept(p->listener);
}

static void close_pair(struct pair *p)
{
	close(p->near);
	close(p->far);
	close(p->listener);
}

TEST(nothing_is_on_its_way_when_all_has_come, PURE)
{
	struct pair p;
	int waiting;

	ck_assert(!flight_is_on());
	open_pair(&p);
	ck_assert(!flight_is_on());
	peer_say(p.near, "unread");
	ck_assert_int_eq(peer_read(NULL, p.far, NULL, 1), 1);
	ck_assert(!flight_is_on());
	/* In the queue of the listener, which is full, and behind it. */
	waiting = peer_connect(p.port);
	ck_assert(!flight_is_on());
	close(waiting);
	close_pair(&p);
}

TEST(who_waits_behind_a_connection_that_has_ended_is_not_on_his_way, PURE)
{
	struct pair p;
	int waiting;

	open_pair(&p);
	waiting = peer_connect(p.port);
	close(p.far);
	ck_assert_int_eq(peer_read(NULL, p.near, NULL, 1), 0);
	ck_assert(!flight_is_on());
	close(waiting);
	close(p.near);
	close(p.listener);
}

TEST(who_knocks_at_a_full_queue_is_not_on_his_way, PURE)
{
	uint16_t port;
	int listener = peer_listen(&port, 0), first = peer_connect(port);
	int second = peer_connect_start(port);

	ck_assert(!flight_is_on());
	close(second);
	close(first);
	close(listener);
}

static void see_it(struct plait_watch *w, unsigned events)
{
	plait_watch_stop(w);
}

/*
 * The end of a connection takes its time, as another process holds it.  It is
 * seen before any of the virtual time has passed.
 */
TEST(what_is_on_its_way_comes_before_time_passes, ON_EACH_BACKEND)
{
	struct plait_watch watch = { .reactor = NULL };
	double before;
	struct pair p;
	pid_t child;

	open_pair(&p);
	clock_virtual(true);
	child = child_hold();
	close(p.far);
	ck_assert(flight_is_on());
	ck_assert_int_eq(plait_watch_start(reactor, &watch, p.near,
					   PLAIT_WATCH_READ, see_it),
			 0);
	before = clock_now();
	kill(child, SIGKILL);
	ck_assert_int_eq(plait_reactor_iterate(reactor, 30), 0);
	ck_assert_double_eq(clock_now(), before);
	ck_assert_ptr_null(watch.reactor);
	child_let_go(child);
	close(p.near);
	close(p.listener);
}
