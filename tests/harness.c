/*
 * What every test program is linked with: see harness.h.
 *
 * Check runs each test in a child of its own and passes it one int.  Here it
 * says which test of a table and which of its loops is meant, so that one
 * function can wrap the checks for what is left around each test, and the
 * name says on which backend it ran.
 */
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include <plait/testing.h>

#include "tests/child.h"
#include "tests/harness.h"
#include "tests/model.h"
#include "tests/stranger.h"

enum { MAX_ENTRIES = 4096 };

/* Seconds to wait for what must come; Check ends a test after fifteen. */
enum { PATIENCE = 14 };

struct entry {
	TTest wrapped;
	const struct test *test;
	const struct group *group;
	const char *backend;
	int first; /* what Check passes for its first loop */
	int loops;
};

struct plait_reactor *reactor;
const char *backend;

/* In the order of their lines, whatever the order of constructors is. */
static struct test *tests;
static struct group *groups;

static struct entry entries[MAX_ENTRIES];
static int n_entries;
static int n_loops;

static struct {
	unsigned count;
	unsigned expected;
	char text[512];
} lost;

static bool faulty;
static bool in_torture; /* this is a child of attack() */

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ADDRESS_SANITIZER 1
#elif __has_feature(thread_sanitizer)
#define WITH_THREAD_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define WITH_ADDRESS_SANITIZER 1
#elif defined(__SANITIZE_THREAD__)
#define WITH_THREAD_SANITIZER 1
#endif
#if defined(WITH_ADDRESS_SANITIZER) || defined(WITH_THREAD_SANITIZER)
#define SLOW 4
#else
#define SLOW 1
#endif

/*
 * What the sanitizer's search for leaks costs is most of the time of a small
 * test.  The seam counts what the library allocates, in every test; the search
 * is for what others allocate, which does not depend on the backend.  So it is
 * not made whenever a process ends, but in the first run of each test.
 */
#ifdef WITH_ADDRESS_SANITIZER
int __lsan_do_recoverable_leak_check(void);
const char *__lsan_default_options(void);
const char *__lsan_default_options(void)
{
	return "leak_check_at_exit=0";
}

static void check_leaks(void)
{
	ck_assert_msg(__lsan_do_recoverable_leak_check() == 0,
		      "left: memory that the sanitizer has found");
}
#else
static void check_leaks(void)
{
}
#endif

double test_mult(void)
{
	const char *mult = getenv("PLAIT_TEST_MULT");

	return (mult != NULL ? atof(mult) : 1) * SLOW;
}

double test_patience(void)
{
	return PATIENCE * test_mult();
}

/* Check reads these when a case is created. */
static void set_timeouts(void)
{
	char mult[32];

	snprintf(mult, sizeof(mult), "%g", test_mult());
	setenv("CK_DEFAULT_TIMEOUT", "15", 0);
	setenv("CK_TIMEOUT_MULTIPLIER", mult, 0);
}

/*
 * Check writes down each assertion that holds, to say after a crash which one
 * was the last: a system call each, most of the time of a test that asserts
 * in a loop.  The first time that each line is reached has to do.  The
 * Makefile puts this function in the place of Check's.
 */
void __wrap__mark_point(const char *file, int line);
void __real__mark_point(const char *file, int line);
void __wrap__mark_point(const char *file, int line)
{
	static unsigned char seen[4096];
	unsigned char *s =
		&seen[((uintptr_t)file + (unsigned)line) % sizeof(seen)];

	if (*s)
		return;
	*s = 1;
	__real__mark_point(file, line);
}

static void note_unhandled(const struct plait_failure *why, void *arg)
{
	lost.count++;
	plait_failure_str(why, lost.text, sizeof(lost.text));
}

unsigned unhandled_count(void)
{
	return lost.count;
}

const char *unhandled_text(void)
{
	return lost.text;
}

void unhandled_expect(unsigned n)
{
	lost.expected = n;
}

static void reset_unhandled(void)
{
	lost.count = lost.expected = 0;
	lost.text[0] = '\0';
	plait_set_unhandled_hook(note_unhandled, NULL);
}

static void check_unhandled(void)
{
	if (lost.count != lost.expected)
		ck_abort_msg("%u failures unhandled, %u expected; the last: %s",
			     lost.count, lost.expected, lost.text);
}

/* What there was before a test, and what must be left when it is over. */
struct before {
	struct fd_table *fds;
	unsigned long mark;
};

static void note_before(struct before *b)
{
	fault_off();
	calls_reset();
	stranger_forget();
	reset_unhandled();
	b->fds = fd_table_new();
	b->mark = heap_mark();
}

static void check_nothing_left(struct before *b)
{
	unsigned long blocks;
	unsigned fds;

	fault_off();
	blocks = heap_left_since(b->mark, stderr);
	fds = fd_table_check(&b->fds);
	if (blocks > 0 || fds > 0)
		ck_abort_msg("left: %lu blocks of memory, %u descriptors",
			     blocks, fds);
	check_unhandled();
}

static struct plait_reactor *test_reactor_on(const char *name)
{
	if (name != NULL && strcmp(name, MODEL) == 0)
		return model_reactor();
	return name != NULL ? plait_reactor_new(name)
			    : plait_testing_reactor_new();
}

struct plait_reactor *test_reactor_new(void)
{
	return test_reactor_on(backend);
}

static void run_test(const struct entry *e, int i)
{
	if (e->test->kind != PURE) {
		reactor = test_reactor_new();
		ck_assert_msg(reactor != NULL, "no reactor: %s",
			      strerror(errno));
	}
	if (e->test->kind == ON_EACH_REACTOR)
		clock_virtual(true);
	e->test->check.fn(i);
	plait_reactor_free(&reactor);
}

/* Fixtures are run here and not by Check, as they have to know on what the
   test runs. */
static void run_in_group(const struct entry *e, int i)
{
	const struct group *g = e->group;

	if (g != NULL && g->setup != NULL)
		g->setup();
	run_test(e, i);
	fault_off();
	if (g != NULL && g->teardown != NULL)
		g->teardown();
}

static void run_entry(int i)
{
	const struct entry *e = entries;
	struct before before;
	bool on_model;

	/* A failed assertion of a torture's child, with CK_FORK=no. */
	if (in_torture)
		_exit(1);
	while (i >= e->first + e->loops)
		e++;
	backend = e->backend;
	on_model = backend != NULL && strcmp(backend, MODEL) == 0;
	note_before(&before);
	if (on_model)
		model_begin();
	run_in_group(e, i - e->first + e->test->from);
	if (on_model)
		model_end();
	check_nothing_left(&before);
	if (i == e->first && (e == entries || e[-1].test != e->test))
		check_leaks();
}

static const struct group *group_of(const struct test *t)
{
	const struct group *found = NULL;

	for (const struct group *g = groups; g != NULL; g = g->next)
		if (g->line < t->check.line)
			found = g;
	return found;
}

static void add_entry(TCase *tc, const struct test *t, const char *on)
{
	struct entry *e = &entries[n_entries];
	int loops = t->to == 0 ? 1 : t->to - t->from;
	char *name;

	if (n_entries == MAX_ENTRIES ||
	    asprintf(&name, on ? "%s/%s" : "%s", t->check.name, on) < 0)
		abort();
	*e = (struct entry){ t->check, t, group_of(t), on, n_loops, loops };
	e->wrapped.name = name;
	e->wrapped.fn = run_entry;
	n_entries++;
	n_loops += loops;
	_tcase_add_test(tc, &e->wrapped, t->signal, 0, e->first, n_loops);
}

static void add_entries(TCase *tc, const struct test *t)
{
	const char *only = getenv("PLAIT_REACTOR");
	bool has_model =
		t->kind == ON_EACH_KERNEL || t->kind == ON_EACH_REACTOR;
	const char *on;

	if (only != NULL && strcmp(only, MODEL) == 0) {
		if (has_model)
			add_entry(tc, t, MODEL);
		return;
	}
	if (t->kind == PURE || t->kind == ON_EACH_REACTOR)
		add_entry(tc, t, NULL);
	if (t->kind == PURE)
		return;
	for (size_t i = 0; (on = plait_backend_name(i)) != NULL; i++)
		if (only == NULL || strcmp(only, on) == 0)
			add_entry(tc, t, on);
	if (has_model && only == NULL)
		add_entry(tc, t, MODEL);
}

void test_add(struct test *t)
{
	struct test **at = &tests;

	while (*at != NULL && (*at)->check.line < t->check.line)
		at = &(*at)->next;
	t->next = *at;
	*at = t;
}

void group_add(struct group *g)
{
	struct group **at = &groups;

	while (*at != NULL && (*at)->line < g->line)
		at = &(*at)->next;
	g->next = *at;
	*at = g;
}

static TCase *new_case(Suite *s, const struct group *g, const char *suite)
{
	TCase *tc = tcase_create(g != NULL ? g->name : suite);

	if (g != NULL && g->timeout > 0)
		tcase_set_timeout(tc, g->timeout);
	suite_add_tcase(s, tc);
	return tc;
}

int tests_run(const char *suite, const struct test *first)
{
	const struct group *now = NULL, *before = NULL;
	Suite *s = suite_create(suite);
	SRunner *runner = srunner_create(s);
	TCase *tc = NULL;
	int failed;

	for (const struct test *t = first; t != NULL; t = t->next) {
		now = group_of(t);
		if (tc == NULL || now != before)
			tc = new_case(s, now, suite);
		before = now;
		add_entries(tc, t);
	}
	srunner_run_all(runner, CK_ENV);
	if (in_torture)
		_exit(1);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* The suite is called as the file is: tests/test_NAME.c. */
int main(int argc, char **argv)
{
	const char *file = basename(tests->check.file);
	char suite[64];

	if (test_begin != NULL)
		test_begin(argc, argv);
	set_timeouts();
	snprintf(suite, sizeof(suite), "%.*s", (int)strcspn(file + 5, "."),
		 file + 5);
	return tests_run(suite, tests);
}

/* Turning a reactor. */
double test_real_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void turn(struct plait_reactor *r, double seconds)
{
	int err = plait_reactor_iterate(r, seconds);

	ck_assert_msg(err == 0, "plait_reactor_iterate: %s", strerror(-err));
}

/* A faulty run may wait for what never comes: a minute, which is virtual. */
static bool run_faulty(struct plait_reactor *r, bool (*pred)(void *), void *arg)
{
	for (int i = 0; i < 100 && !pred(arg); i++)
		turn(r, i < 40 ? 0 : 1);
	return pred(arg);
}

/*
 * A wait ends when something happens; what happens elsewhere is looked for 20
 * times a second.  Virtual time does not pass while anything is to come, so it
 * may pass in large steps; before each there is a turn that takes no time, for
 * what can be done already.
 */
bool run_until(struct plait_reactor *r, bool (*pred)(void *arg), void *arg)
{
	double end = test_real_seconds() + test_patience();
	double step = clock_is_virtual() ? 1 : 0.05;

	if (faulty)
		return run_faulty(r, pred, arg);
	for (unsigned i = 0; !pred(arg); i++) {
		ck_assert_msg(test_real_seconds() < end, "it never comes true");
		turn(r, i % 2 == 0 ? 0 : step);
	}
	return true;
}

static bool is_set(void *flag)
{
	return *(const bool *)flag;
}

bool run_until_set(struct plait_reactor *r, const bool *flag)
{
	return run_until(r, is_set, (void *)flag);
}

struct count {
	const unsigned *n;
	unsigned least;
};

static bool is_reached(void *arg)
{
	const struct count *c = arg;

	return *c->n >= c->least;
}

bool run_until_count(struct plait_reactor *r, const unsigned *n, unsigned least)
{
	return run_until(r, is_reached, &(struct count){ n, least });
}

void run_turns(struct plait_reactor *r, unsigned n)
{
	while (n-- > 0)
		turn(r, 0);
}

void run_for(struct plait_reactor *r, double seconds)
{
	double end;

	clock_virtual(true);
	end = clock_now() + seconds;
	/* A nanosecond more, for a wait of less than one is none. */
	while (clock_now() < end)
		turn(r, end - clock_now() + 1e-9);
}

void call_stop(void *nothing)
{
	ck_assert_int_eq(plait_reactor_stop(reactor), 0);
}

void call_count(void *n)
{
	++*(unsigned *)n;
}

/* Descriptors. */
struct fd {
	int fd;
	bool seen;
	char what[128];
};

struct fd_table {
	size_t n;
	struct fd fds[];
};

/* What is behind it, as the kernel names it; "" if it is not open. */
static void describe(int fd, char *what, size_t size)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, what, size - 1);
	what[n < 0 ? 0 : n] = '\0';
}

static size_t list_fds(struct fd *fds, size_t room)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *d;
	size_t n = 0;

	ck_assert_ptr_nonnull(dir);
	while ((d = readdir(dir)) != NULL) {
		int fd = atoi(d->d_name);

		if (d->d_name[0] == '.' || fd == dirfd(dir))
			continue;
		if (n < room) {
			fds[n] = (struct fd){ .fd = fd };
			describe(fd, fds[n].what, sizeof(fds[n].what));
		}
		n++;
	}
	closedir(dir);
	return n;
}

struct fd_table *fd_table_new(void)
{
	size_t room = list_fds(NULL, 0) + 8;
	struct fd_table *t = calloc(1, sizeof(*t) + room * sizeof(t->fds[0]));

	if (t == NULL)
		abort();
	t->n = list_fds(t->fds, room);
	return t;
}

static struct fd *find_fd(struct fd_table *t, int fd)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->fds[i].fd == fd)
			return &t->fds[i];
	return NULL;
}

unsigned fd_table_check(struct fd_table **tp)
{
	struct fd_table *before = *tp;
	struct fd_table *now = fd_table_new();
	unsigned wrong = 0;

	for (size_t i = 0; i < now->n; i++) {
		struct fd *fd = &now->fds[i];
		struct fd *old = find_fd(before, fd->fd);

		if (old != NULL)
			old->seen = true;
		if (old != NULL && strcmp(old->what, fd->what) == 0)
			continue;
		fprintf(stderr, "descriptor %d is %s, was %s\n", fd->fd,
			fd->what, old != NULL ? old->what : "closed");
		wrong++;
	}
	for (size_t i = 0; i < before->n; i++) {
		if (before->fds[i].seen)
			continue;
		fprintf(stderr, "descriptor %d is closed, was %s\n",
			before->fds[i].fd, before->fds[i].what);
		wrong++;
	}
	free(now);
	free(before);
	*tp = NULL;
	return wrong;
}

void fd_close_behind(const char *name)
{
	char what[sizeof(((struct fd *)0)->what)] = "";
	int fd = STDERR_FILENO;

	while (strstr(what, name) == NULL) {
		ck_assert_int_lt(fd, FD_SETSIZE);
		describe(++fd, what, sizeof(what));
	}
	close(fd);
}

/*
 * Torture.  A child works through many faults, so it tells its parent through
 * shared memory which one it is at.
 */
enum mode { TRANSIENT, PERSISTENT, TO_THE_END, SYSCALL, N_MODES };

struct attack {
	scenario *run;
	const char *backend;
	enum mode mode;
	const char *call; /* NULL: allocations */
	int err;	  /* 0: it moves one byte */
};

struct progress {
	unsigned long at;
	bool reached; /* the last one was */
};

enum { BATCH = 32, MAX_FAULTS = 100000 };

static const char *const mode_names[N_MODES] = {
	[TRANSIENT] = "refused",
	[PERSISTENT] = "and all later ones refused",
	[TO_THE_END] = "and all until the end refused",
	[SYSCALL] = "failed",
};

bool torture_faulty(void)
{
	return faulty;
}

static void arm(const struct attack *a, unsigned long at)
{
	if (a->call == NULL) {
		fault_alloc_at(at, a->mode != TRANSIENT);
		return;
	}
	fault_pass(a->call, at);
	if (a->err != 0)
		fault_call(a->call, 1, a->err);
	else
		fault_short(a->call, 1, 1);
}

static bool disarm(const struct attack *a)
{
	bool reached = a->call ? fault_used(a->call) : fault_alloc_reached();

	fault_off();
	clock_virtual(true);
	return reached;
}

/* Without a fault nothing may go wrong, on the very same reactor. */
static void run_clean(const struct attack *a, struct plait_reactor **rp)
{
	faulty = false;
	reset_unhandled();
	if (*rp == NULL)
		*rp = test_reactor_on(a->backend);
	ck_assert_ptr_nonnull(*rp);
	a->run(*rp);
	check_unhandled();
}

/* True if the fault was reached. */
static bool torture_once(const struct attack *a, unsigned long at)
{
	struct plait_reactor *r;
	struct before before;
	bool reached;

	note_before(&before);
	clock_virtual(true);
	faulty = true;
	arm(a, at);
	r = test_reactor_on(a->backend);
	if (r != NULL)
		a->run(r);
	if (a->mode == TO_THE_END)
		plait_reactor_free(&r);
	reached = disarm(a);
	if (a->mode != TO_THE_END)
		run_clean(a, &r);
	faulty = false;
	plait_reactor_free(&r);
	lost.count = lost.expected = 0;
	check_nothing_left(&before);
	return reached;
}

static _Noreturn void torture_child(const struct attack *a,
				    volatile struct progress *p)
{
	in_torture = true;
	prctl(PR_SET_TIMERSLACK, 1ul);
	for (unsigned long i = 0; i < BATCH; i++) {
		alarm((unsigned)(60 * test_mult()));
		p->reached = torture_once(a, p->at);
		if (!p->reached)
			break;
		p->at++;
	}
	child_leave(0);
}

static void torture_failed(const struct attack *a, unsigned long at, int status)
{
	char how[64];

	snprintf(how, sizeof(how), "%s%s%s%s", a->call ? a->call : "allocation",
		 a->err ? " " : "", a->err ? strerror(a->err) : "",
		 a->call && !a->err ? " one byte" : "");
	fprintf(stderr, "torture on %s: %s, number %lu %s\n", a->backend, how,
		at, mode_names[a->mode]);
	ck_abort_msg(
		"torture on %s: %s, number %lu %s: %s %d", a->backend, how, at,
		mode_names[a->mode], WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

/* One kind of fault, at the first possible moment, the second and so on. */
static unsigned long attack(const struct attack *a)
{
	volatile struct progress *p;
	unsigned long n;
	int status;
	pid_t pid;

	p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne((void *)p, MAP_FAILED);
	do {
		fflush(NULL);
		pid = fork();
		ck_assert_int_ge(pid, 0);
		if (pid == 0)
			torture_child(a, p);
		while (waitpid(pid, &status, 0) < 0)
			ck_assert_int_eq(errno, EINTR);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			torture_failed(a, p->at, status);
		ck_assert_uint_lt(p->at, MAX_FAULTS);
	} while (p->reached);
	n = p->at;
	munmap((void *)p, sizeof(*p));
	return n;
}

void torture(scenario *run, const char *on)
{
	struct attack a = { .run = run, .backend = on };
	unsigned long n = 0;

	for (a.mode = TRANSIENT; a.mode <= TO_THE_END; a.mode++)
		n += attack(&a);
	printf("torture on %s: %lu refused allocations survived\n", on, n);
}

enum { MAX_ERRS = 12 };

/* What each call may fail with, and does in the real world; 0: short. */
static const struct {
	const char *call;
	int n;
	int errs[MAX_ERRS];
} syscall_table[] = {
	{ "socket", 3, { EMFILE, ENFILE, ENOBUFS } },
	{ "socketpair", 3, { EMFILE, ENFILE, ENOBUFS } },
	{ "bind", 2, { EADDRINUSE, EACCES } },
	{ "listen", 1, { EADDRINUSE } },
	{ "accept4",
	  12,
	  { EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EPROTO, EPERM, EINTR,
	    EAGAIN, ENETDOWN, EHOSTUNREACH, EOPNOTSUPP } },
	{ "connect",
	  10,
	  { ECONNREFUSED, ETIMEDOUT, ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL,
	    EACCES, EAGAIN, EINTR, EINPROGRESS, ENOBUFS } },
	{ "getsockopt", 2, { ENOBUFS, ENOMEM } },
	{ "setsockopt", 2, { ENOBUFS, EINVAL } },
	{ "getsockname", 2, { ENOBUFS, EINVAL } },
	{ "getpeername", 2, { ENOTCONN, ENOBUFS } },
	{ "shutdown", 1, { ENOTCONN } },
	{ "send", 7, { EAGAIN, EINTR, ENOBUFS, ENOMEM, EPIPE, ECONNRESET, 0 } },
	{ "sendmsg",
	  7,
	  { EAGAIN, EINTR, ENOBUFS, ENOMEM, EPIPE, ECONNRESET, 0 } },
	{ "write", 5, { EAGAIN, EINTR, EPIPE, ECONNRESET, 0 } },
	{ "writev", 5, { EAGAIN, EINTR, EPIPE, ECONNRESET, 0 } },
	{ "pread", 3, { EINTR, EIO, 0 } },
	{ "sendfile",
	  8,
	  { EAGAIN, EINTR, ENOMEM, EPIPE, ECONNRESET, EINVAL, EIO, 0 } },
	{ "preadv2", 5, { EAGAIN, EINTR, EIO, EOPNOTSUPP, 0 } },
	{ "pwritev2", 6, { EAGAIN, EINTR, EPIPE, ENOSPC, EOPNOTSUPP, 0 } },
	{ "poll", 1, { EINTR } },
	{ "recv", 6, { EAGAIN, EINTR, ECONNRESET, ETIMEDOUT, ENOMEM, 0 } },
	{ "recvmsg", 6, { EAGAIN, EINTR, ECONNRESET, ETIMEDOUT, ENOMEM, 0 } },
	{ "read", 5, { EAGAIN, EINTR, ECONNRESET, EIO, 0 } },
	{ "readv", 5, { EAGAIN, EINTR, ECONNRESET, EIO, 0 } },
	{ "open", 3, { EMFILE, ENFILE, ENOENT } },
	{ "close", 2, { EINTR, EIO } },
	{ "fcntl", 2, { EMFILE, EINVAL } },
	{ "pipe2", 2, { EMFILE, ENFILE } },
	{ "dup", 1, { EMFILE } },
	{ "eventfd", 3, { EMFILE, ENFILE, ENOMEM } },
	{ "epoll_create1", 2, { EMFILE, ENOMEM } },
	{ "epoll_ctl", 3, { ENOMEM, ENOSPC, EEXIST } },
	{ "epoll_wait", 1, { EINTR } },
	{ "epoll_pwait2", 3, { EINTR, ENOSYS, EACCES } },
	{ "select", 2, { EINTR, ENOMEM } },
	{ "getrandom", 2, { EINTR, ENOSYS } },
	{ "sigaction", 1, { EINVAL } },
	{ "pthread_sigmask", 1, { EINVAL } },
};

void torture_syscalls(scenario *run, const char *on)
{
	struct attack a = { .run = run, .backend = on, .mode = SYSCALL };
	unsigned long n = 0;

	for (size_t i = 0; i < sizeof(syscall_table) / sizeof(*syscall_table);
	     i++) {
		a.call = syscall_table[i].call;
		for (int j = 0; j < syscall_table[i].n; j++) {
			a.err = syscall_table[i].errs[j];
			n += attack(&a);
		}
	}
	printf("torture on %s: %lu failed system calls survived\n", on, n);
}
