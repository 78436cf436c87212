/*
 * The seam: see fault.h.  The Makefile renames the library's calls, so that
 * `recv' in the library is seam_recv() here, and recv() here is the real one.
 * To add a call: its name in wrap.list and in CALLS, and its function below.
 *
 * One lock guards all that is counted and scripted.  It is not held during
 * the real call, nor while a hook runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <math.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#ifdef HAVE_EPOLL
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include <check.h>

#include "tests/fault.h"
#include "tests/flight.h"
#include "tests/stranger.h"

/* clang-format off */
#define CALLS(X)                                                               \
	X(malloc) X(calloc) X(realloc) X(reallocarray) X(strdup) X(strndup)    \
	X(free) X(mmap) X(munmap) X(malloc_trim)                               \
	X(socket) X(socketpair) X(bind) X(listen) X(accept4) X(connect)                      \
	X(getsockopt) X(setsockopt) X(getsockname) X(getpeername) X(shutdown)  \
	X(send) X(sendto) X(sendmsg) X(recv) X(recvfrom) X(recvmsg)            \
	X(sendmmsg) X(recvmmsg) X(open) X(openat) X(close) X(read) X(write) X(readv) X(writev) X(fcntl) X(ioctl)         \
	X(pread) X(sendfile) X(preadv2) X(pwritev2)                            \
	X(tcgetattr) X(tcsetattr) X(tcgetpgrp)                                 \
	X(pipe2) X(dup) X(eventfd) X(epoll_create1) X(epoll_ctl)               \
	X(epoll_wait) X(epoll_pwait2) X(close_range)	       \
	X(inotify_init1) X(inotify_add_watch) X(inotify_rm_watch)              \
	X(getdents64) X(pidfd_open) X(pidfd_send_signal) X(setgroups)          \
	X(setgid) X(setuid) X(select) X(poll) X(fstat) X(stat)       \
	X(unlink) X(chmod) X(rename) X(flock) X(ftruncate) X(gethostname)      \
	X(clock_gettime) X(getrandom) X(sigaction) X(pthread_sigmask) X(kill)  \
	X(fork) X(clone) X(dup2) X(chdir) X(setsid) X(setpgid) X(prctl)        \
	X(sigtimedwait) X(execve) X(waitid) X(pthread_create) X(sched_yield)           \
	X(pthread_key_create) X(pthread_setspecific)                           \
	X(getaddrinfo) X(freeaddrinfo) X(getnameinfo)
/* clang-format on */

#define ID(name) CALL_##name,
enum call { CALLS(ID) N_CALLS };

enum { MAX_STEPS = 16 };
#define FOREVER (~0ul)

/* What is to happen to the next n calls. */
struct step {
	unsigned long n;
	int err;    /* not 0: fail with it */
	size_t max; /* not 0: move at most so many bytes */
};

struct script {
	const char *name;
	unsigned long calls;
	unsigned n_steps;
	struct step steps[MAX_STEPS];
	void (*hook)(void *arg);
	void *hook_arg;
};

#define NAMED(call) [CALL_##call] = { .name = #call },
static struct script scripts[N_CALLS] = { CALLS(NAMED) };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/*
 * How often this thread has taken the lock.  A handler of the library calls the
 * seam, too, to wake its loop or to read the clock.  If it has interrupted this
 * thread just here, it must not wait for this thread.
 */
static __thread volatile sig_atomic_t locks;

static void seam_lock(void)
{
	if (locks++ == 0)
		pthread_mutex_lock(&lock);
}

static void seam_unlock(void)
{
	if (locks == 1)
		pthread_mutex_unlock(&lock);
	locks--;
}

/* At most so many bytes in the call that fault() just let through. */
static __thread size_t limit;

static struct script *find(const char *name)
{
	for (int i = 0; i < N_CALLS; i++)
		if (strcmp(scripts[i].name, name) == 0)
			return &scripts[i];
	ck_abort_msg("%s is not in tests/wrap.list", name);
	return NULL;
}

static void add_step(const char *name, struct step step)
{
	struct script *s = find(name);

	if (step.n == 0)
		return;
	ck_assert_uint_lt(s->n_steps, MAX_STEPS);
	seam_lock();
	s->steps[s->n_steps++] = step;
	seam_unlock();
}

void fault_call(const char *name, unsigned long n, int err)
{
	add_step(name, (struct step){ .n = n, .err = err });
}

void fault_call_forever(const char *name, int err)
{
	fault_call(name, FOREVER, err);
}

void fault_pass(const char *name, unsigned long n)
{
	add_step(name, (struct step){ .n = n });
}

void fault_short(const char *name, unsigned long n, size_t max)
{
	add_step(name, (struct step){ .n = n, .max = max });
}

void fault_short_forever(const char *name, size_t max)
{
	fault_short(name, FOREVER, max);
}

bool fault_used(const char *name)
{
	return find(name)->n_steps == 0;
}

unsigned long calls_of(const char *name)
{
	unsigned long calls;

	seam_lock();
	calls = find(name)->calls;
	seam_unlock();
	return calls;
}

void calls_reset(void)
{
	seam_lock();
	for (int i = 0; i < N_CALLS; i++)
		scripts[i].calls = 0;
	seam_unlock();
}

void call_hook(const char *name, void (*fn)(void *arg), void *arg)
{
	struct script *s = find(name);

	seam_lock();
	s->hook = fn;
	s->hook_arg = arg;
	seam_unlock();
}

static size_t send_room = SIZE_MAX;

void fault_room(size_t bytes)
{
	send_room = bytes;
}

void fault_off(void)
{
	fault_alloc_off();
	fault_room(SIZE_MAX);
	clock_virtual(false);
	seam_lock();
	for (int i = 0; i < N_CALLS; i++) {
		scripts[i].n_steps = 0;
		scripts[i].hook = NULL;
	}
	seam_unlock();
}

/* Takes the next step of a script that has one. */
static struct step take_step(struct script *s)
{
	struct step step = s->steps[0];

	if (step.n == FOREVER)
		return step;
	if (--s->steps[0].n == 0)
		memmove(s->steps, s->steps + 1,
			--s->n_steps * sizeof(s->steps[0]));
	return step;
}

/*
 * Called first by every function of the seam: counts, runs the hook, and says
 * with which errno the call has to fail, 0 for none.  A call of a handler that
 * has interrupted the seam is let through.
 */
static int fault(enum call call)
{
	struct script *s = &scripts[call];
	struct step step = { 0 };
	void (*hook)(void *arg);
	void *arg;

	if (locks > 0) {
		limit = 0;
		return 0;
	}
	seam_lock();
	s->calls++;
	if (s->n_steps > 0)
		step = take_step(s);
	hook = s->hook;
	arg = s->hook_arg;
	seam_unlock();
	if (hook != NULL)
		hook(arg);
	limit = step.max;
	return step.err;
}

static size_t at_most(size_t n)
{
	return limit != 0 && n > limit ? limit : n;
}

static int failed(int err)
{
	errno = err;
	return -1;
}

/*
 * Allocations.  A hash table of those that are live, open addressing, with
 * tombstones that are swept when it grows.
 */
struct block {
	void *ptr; /* NULL: never used; TOMB: freed */
	size_t size;
	unsigned long serial;
	void *caller;
};

#define TOMB ((void *)-1)

static struct {
	struct block *blocks;
	size_t room; /* a power of two */
	size_t used; /* tombstones, too */
	size_t live;
	size_t bytes;
	unsigned long calls;
} heap;

static struct {
	bool armed;
	bool persistent;
	bool reached;
	unsigned long countdown;
} refusal;

void fault_alloc_at(unsigned long n, bool persistent)
{
	seam_lock();
	refusal.armed = true;
	refusal.persistent = persistent;
	refusal.reached = false;
	refusal.countdown = n;
	seam_unlock();
}

bool fault_alloc_reached(void)
{
	bool reached;

	seam_lock();
	reached = refusal.reached;
	seam_unlock();
	return reached;
}

void fault_alloc_off(void)
{
	seam_lock();
	refusal.armed = false;
	seam_unlock();
}

unsigned long heap_live(void)
{
	unsigned long live;

	seam_lock();
	live = heap.live;
	seam_unlock();
	return live;
}

size_t heap_live_bytes(void)
{
	size_t bytes;

	seam_lock();
	bytes = heap.bytes;
	seam_unlock();
	return bytes;
}

/* Beside what may be used of a block, malloc() has its size. */
size_t heap_held_bytes(void)
{
	size_t bytes = 0;

	seam_lock();
	for (size_t i = 0; i < heap.room; i++) {
		void *ptr = heap.blocks[i].ptr;

		if (ptr != NULL && ptr != TOMB)
			bytes += malloc_usable_size(ptr) + sizeof(size_t);
	}
	seam_unlock();
	return bytes;
}

unsigned long heap_calls(void)
{
	unsigned long calls;

	seam_lock();
	calls = heap.calls;
	seam_unlock();
	return calls;
}

unsigned long heap_mark(void)
{
	return heap_calls();
}

/* The address as addr2line wants it: in the file, and inside the call. */
static unsigned long in_file(void *caller)
{
	extern char __executable_start[];

	return (unsigned long)((char *)caller - __executable_start) - 1;
}

unsigned long heap_left_since(unsigned long mark, FILE *to)
{
	unsigned long left = 0;

	seam_lock();
	for (size_t i = 0; i < heap.room; i++) {
		struct block *b = &heap.blocks[i];

		if (b->ptr == NULL || b->ptr == TOMB || b->serial < mark)
			continue;
		left++;
		if (to != NULL)
			fprintf(to, "%zu bytes left: addr2line -fie %s 0x%lx\n",
				b->size, program_invocation_name,
				in_file(b->caller));
	}
	seam_unlock();
	return left;
}

/*
 * Where the search for ptr begins.  Neighbours in memory are neighbours in the
 * table, which is larger than the cache when a test has millions of blocks.
 */
static size_t first_slot(const void *ptr)
{
	enum { STRETCH_BITS = 16, LEAST_BITS = 4 };
	uintptr_t at = (uintptr_t)ptr;
	uintptr_t stretch = at >> STRETCH_BITS;
	uintptr_t in_stretch = at & ((1 << STRETCH_BITS) - 1);

	return (stretch * 0x9e3779b97f4a7c15u >> 20) +
	       (in_stretch >> LEAST_BITS);
}

/* The slot of ptr, or else the first that ends the search or is also. */
static struct block *find_slot(const struct block *blocks, size_t room,
			       const void *ptr, const void *also)
{
	size_t i = first_slot(ptr);

	for (;; i++) {
		const struct block *b = &blocks[i & (room - 1)];

		if (b->ptr == ptr || b->ptr == NULL || b->ptr == also)
			return (struct block *)b;
	}
}

static struct block *slot_of(const struct block *blocks, size_t room,
			     const void *ptr)
{
	return find_slot(blocks, room, ptr, NULL);
}

/*
 * For a new one.  A tomb will do: memory is mostly had again at the same
 * address, which would be surrounded by tombs otherwise.
 */
static struct block *new_slot(const void *ptr)
{
	struct block *b = find_slot(heap.blocks, heap.room, ptr, TOMB);

	if (b->ptr == NULL)
		heap.used++;
	return b;
}

static void heap_grow(void)
{
	size_t room = heap.live * 4 < 1024 ? 1024 : heap.room * 2;
	struct block *blocks = calloc(room, sizeof(*blocks));

	if (blocks == NULL)
		abort();
	for (size_t i = 0; i < heap.room; i++) {
		struct block *b = &heap.blocks[i];

		if (b->ptr != NULL && b->ptr != TOMB)
			*slot_of(blocks, room, b->ptr) = *b;
	}
	free(heap.blocks);
	heap.blocks = blocks;
	heap.room = room;
	heap.used = heap.live;
}

/* What is allocated now is none of the library's. */
static __thread bool outside;

void fault_outside(bool is_outside)
{
	outside = is_outside;
}

/* Counts one more request; true if it has to be refused. */
static bool refused(enum call call)
{
	bool refuse;

	if (outside)
		return false;
	refuse = fault(call) != 0;

	seam_lock();
	heap.calls++;
	if (refusal.armed) {
		if (refusal.countdown == 0)
			refuse = refusal.reached = true;
		if (refusal.countdown > 0)
			refusal.countdown--;
		else if (!refusal.persistent)
			refusal.armed = false;
	}
	seam_unlock();
	if (refuse)
		errno = ENOMEM;
	return refuse;
}

static void *added(void *ptr, size_t size, void *caller)
{
	struct block *b;

	if (ptr == NULL || outside)
		return ptr;
	seam_lock();
	if (heap.used * 2 >= heap.room)
		heap_grow();
	b = new_slot(ptr);
	*b = (struct block){ ptr, size, heap.calls - 1, caller };
	heap.live++;
	heap.bytes += size;
	seam_unlock();
	return ptr;
}

/* Memory that the seam has not seen is somebody else's: nothing to forget. */
static void forgotten(void *ptr)
{
	struct block *b;

	seam_lock();
	b = heap.room > 0 && ptr != NULL ? slot_of(heap.blocks, heap.room, ptr)
					 : NULL;
	if (b != NULL && b->ptr == ptr) {
		b->ptr = TOMB;
		heap.live--;
		heap.bytes -= b->size;
	}
	seam_unlock();
}

#define CALLER __builtin_return_address(0)

void *seam_malloc(size_t size);
void *seam_malloc(size_t size)
{
	if (refused(CALL_malloc))
		return NULL;
	return added(malloc(size), size, CALLER);
}

void *seam_calloc(size_t n, size_t size);
void *seam_calloc(size_t n, size_t size)
{
	if (refused(CALL_calloc))
		return NULL;
	return added(calloc(n, size), n * size, CALLER);
}

/* The old block is forgotten first: another thread may be given it next. */
static void *resized(void *old, size_t size, void *caller)
{
	void *ptr;

	forgotten(old);
	ptr = realloc(old, size);
	if (ptr == NULL && size > 0)
		abort();
	return added(ptr, size, caller);
}

void *seam_realloc(void *old, size_t size);
void *seam_realloc(void *old, size_t size)
{
	if (refused(CALL_realloc))
		return NULL;
	return resized(old, size, CALLER);
}

void *seam_reallocarray(void *old, size_t n, size_t size);
void *seam_reallocarray(void *old, size_t n, size_t size)
{
	size_t bytes;

	if (refused(CALL_reallocarray))
		return NULL;
	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return resized(old, bytes, CALLER);
}

char *seam_strdup(const char *s);
char *seam_strdup(const char *s)
{
	if (refused(CALL_strdup))
		return NULL;
	return added(strdup(s), strlen(s) + 1, CALLER);
}

char *seam_strndup(const char *s, size_t n);
char *seam_strndup(const char *s, size_t n)
{
	if (refused(CALL_strndup))
		return NULL;
	return added(strndup(s, n), strnlen(s, n) + 1, CALLER);
}

void seam_free(void *ptr);
void seam_free(void *ptr)
{
	int saved = errno;

	if (!outside)
		fault(CALL_free);
	forgotten(ptr);
	free(ptr);
	errno = saved;
}

/* A mapping is an allocation, too. */
void *seam_mmap(void *at, size_t size, int prot, int flags, int fd, off_t off);
void *seam_mmap(void *at, size_t size, int prot, int flags, int fd, off_t off)
{
	void *ptr;

	if (refused(CALL_mmap))
		return MAP_FAILED;
	ptr = mmap(at, size, prot, flags, fd, off);
	return ptr == MAP_FAILED ? ptr : added(ptr, size, CALLER);
}

int seam_munmap(void *ptr, size_t size);
int seam_munmap(void *ptr, size_t size)
{
	fault(CALL_munmap);
	forgotten(ptr);
	return munmap(ptr, size);
}

int seam_malloc_trim(size_t pad);
int seam_malloc_trim(size_t pad)
{
	fault(CALL_malloc_trim);
	return malloc_trim(pad);
}

/*
 * The clock.  Real time plus an offset; while it is virtual the time at which
 * it was stopped, plus the offset.
 */
static struct {
	bool is_virtual;
	int64_t stopped;
	int64_t offset;
	_Atomic double wait;	  /* each thread may have a reactor */
	double (*followed)(void); /* not NULL: another clock */
	void (*advanced)(double seconds);
} clk;

static int64_t real_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* Its time stays what it is when it is stopped and when it goes on. */
void clock_virtual(bool on)
{
	int64_t now = real_now();

	seam_lock();
	if (on && !clk.is_virtual)
		clk.stopped = now;
	else if (!on && clk.is_virtual)
		clk.offset += clk.stopped - now;
	clk.is_virtual = on;
	seam_unlock();
}

bool clock_is_virtual(void)
{
	return clk.is_virtual;
}

void clock_advance(double seconds)
{
	if (clk.advanced != NULL) {
		clk.advanced(seconds);
		return;
	}
	seam_lock();
	clk.offset += llround(seconds * 1e9);
	seam_unlock();
}

static int64_t seam_now(void)
{
	int64_t now = real_now();

	seam_lock();
	now = (clk.is_virtual ? clk.stopped : now) + clk.offset;
	seam_unlock();
	return now;
}

double clock_now(void)
{
	return clk.followed != NULL ? clk.followed() : (double)seam_now() / 1e9;
}

void fault_follow_clock(double (*now)(void), void (*advance)(double seconds))
{
	clk.followed = now;
	clk.advanced = advance;
}

void fault_waits(double seconds)
{
	clk.wait = seconds;
}

double wait_timeout(void)
{
	return clk.wait;
}

int seam_clock_gettime(clockid_t id, struct timespec *ts);
int seam_clock_gettime(clockid_t id, struct timespec *ts)
{
	int err = fault(CALL_clock_gettime);
	int64_t now;

	if (err != 0)
		return failed(err);
	if (id == CLOCK_REALTIME)
		return clock_gettime(id, ts);
	now = seam_now();
	ts->tv_sec = now / 1000000000;
	ts->tv_nsec = now % 1000000000;
	return 0;
}

/* Notes a wait of that many seconds; true if it has to be skipped. */
static bool skips(double seconds)
{
	clk.wait = seconds;
	return clk.is_virtual && seconds > 0;
}

#ifdef HAVE_EPOLL
struct epoll_call {
	int fd;
	struct epoll_event *events;
	int n;
};

static int epoll_again(void *arg, int milliseconds)
{
	struct epoll_call *c = arg;

	return epoll_wait(c->fd, c->events, c->n, milliseconds);
}

int seam_epoll_wait(int fd, struct epoll_event *events, int n, int timeout);
int seam_epoll_wait(int fd, struct epoll_event *events, int n, int timeout)
{
	int err = fault(CALL_epoll_wait);
	int r;

	if (err != 0)
		return failed(err);
	if (!skips(timeout < 0 ? -1 : timeout / 1e3))
		return epoll_wait(fd, events, n, timeout);
	r = flight_wait(epoll_again, &(struct epoll_call){ fd, events, n });
	if (r == 0)
		clock_advance(timeout / 1e3);
	return r;
}

#ifdef SYS_epoll_pwait2
/* Another form of epoll_wait(): what happens to a wait happens to both, and
   both are counted as one. */
static long call_epoll_pwait2(const long *args)
{
	struct epoll_call c = { (int)args[0], (void *)args[1], (int)args[2] };
	int err = fault(CALL_epoll_pwait2);
	const int64_t *ts = (void *)args[3];
	double seconds = (double)ts[0] + (double)ts[1] / 1e9;
	int r;

	if (err == 0)
		err = fault(CALL_epoll_wait);
	if (err != 0)
		return failed(err);
	if (!skips(seconds))
		return syscall(SYS_epoll_pwait2, c.fd, c.events, c.n, ts, NULL,
			       (size_t)0);
	r = flight_wait(epoll_again, &c);
	if (r == 0)
		clock_advance(seconds);
	return r;
}
#endif

int seam_epoll_create1(int flags);
int seam_epoll_create1(int flags)
{
	int err = fault(CALL_epoll_create1);

	return err != 0 ? failed(err) : epoll_create1(flags);
}

int seam_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
int seam_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	int err = fault(CALL_epoll_ctl);

	return err != 0 ? failed(err) : epoll_ctl(epfd, op, fd, event);
}
#endif

struct select_call {
	int n;
	fd_set *const *sets;
};

/* With copies of the sets, which stay as they are if nothing is ready. */
static int select_again(void *arg, int milliseconds)
{
	struct timeval tv = { .tv_usec = milliseconds * 1000 };
	const struct select_call *c = arg;
	fd_set copies[3];
	fd_set *sets[3];
	int r;

	for (int i = 0; i < 3; i++) {
		sets[i] = c->sets[i] != NULL ? &copies[i] : NULL;
		if (sets[i] != NULL)
			copies[i] = *c->sets[i];
	}
	r = select(c->n, sets[0], sets[1], sets[2], &tv);
	for (int i = 0; i < 3 && r > 0; i++)
		if (sets[i] != NULL)
			*c->sets[i] = copies[i];
	return r;
}

int seam_select(int n, fd_set *in, fd_set *out, fd_set *ex, struct timeval *tv);
int seam_select(int n, fd_set *in, fd_set *out, fd_set *ex, struct timeval *tv)
{
	fd_set *const sets[3] = { in, out, ex };
	int err = fault(CALL_select);
	double seconds = tv ? (double)tv->tv_sec + tv->tv_usec / 1e6 : -1;
	int r;

	if (err != 0)
		return failed(err);
	if (!skips(seconds))
		return select(n, in, out, ex, tv);
	r = flight_wait(select_again, &(struct select_call){ n, sets });
	if (r == 0)
		clock_advance(seconds);
	for (int i = 0; i < 3 && r == 0; i++)
		if (sets[i] != NULL)
			FD_ZERO(sets[i]);
	return r;
}

/* Calls that are counted, and made or not. */
#define SEAM(type, name, params, args)                                         \
	type seam_##name params;                                               \
	type seam_##name params                                                \
	{                                                                      \
		int err = fault(CALL_##name);                                  \
                                                                               \
		return err != 0 ? failed(err) : name args;                     \
	}

SEAM(int, socket, (int family, int type, int protocol),
     (family, type, protocol))
SEAM(int, socketpair, (int family, int type, int protocol, int *fds),
     (family, type, protocol, fds))
SEAM(int, bind, (int fd, const struct sockaddr *sa, socklen_t len),
     (fd, sa, len))
SEAM(int, listen, (int fd, int backlog), (fd, backlog))
SEAM(int, getsockopt, (int fd, int level, int name, void *v, socklen_t *len),
     (fd, level, name, v, len))
SEAM(int, setsockopt,
     (int fd, int level, int name, const void *v, socklen_t len),
     (fd, level, name, v, len))
SEAM(int, getsockname, (int fd, struct sockaddr *sa, socklen_t *len),
     (fd, sa, len))
SEAM(int, getpeername, (int fd, struct sockaddr *sa, socklen_t *len),
     (fd, sa, len))
SEAM(int, shutdown, (int fd, int how), (fd, how))
SEAM(int, pipe2, (int *fds, int flags), (fds, flags))
SEAM(int, dup, (int fd), (fd))
SEAM(int, tcgetattr, (int fd, struct termios *t), (fd, t))
SEAM(int, tcsetattr, (int fd, int when, const struct termios *t), (fd, when, t))
SEAM(pid_t, tcgetpgrp, (int fd), (fd))
SEAM(int, fstat, (int fd, struct stat *st), (fd, st))
SEAM(int, stat, (const char *path, struct stat *st), (path, st))
SEAM(int, unlink, (const char *path), (path))
SEAM(int, chmod, (const char *path, mode_t mode), (path, mode))
SEAM(int, rename, (const char *from, const char *to), (from, to))
SEAM(int, flock, (int fd, int operation), (fd, operation))
SEAM(int, gethostname, (char *buf, size_t size), (buf, size))
SEAM(int, ftruncate, (int fd, off_t length), (fd, length))
SEAM(int, poll, (struct pollfd * p, nfds_t n, int timeout), (p, n, timeout))
SEAM(int, eventfd, (unsigned value, int flags), (value, flags))
SEAM(int, inotify_init1, (int flags), (flags))
SEAM(int, inotify_add_watch, (int fd, const char *path, uint32_t events),
     (fd, path, events))
SEAM(int, inotify_rm_watch, (int fd, int number), (fd, number))
SEAM(int, sched_yield, (void), ())
SEAM(ssize_t, getrandom, (void *buf, size_t n, unsigned flags), (buf, n, flags))
SEAM(int, sigaction,
     (int sig, const struct sigaction *sa, struct sigaction *old),
     (sig, sa, old))
SEAM(int, kill, (pid_t pid, int sig), (pid, sig))
SEAM(int, dup2, (int fd, int to), (fd, to))
SEAM(int, chdir, (const char *path), (path))
SEAM(pid_t, setsid, (void), ())
SEAM(int, setpgid, (pid_t pid, pid_t group), (pid, group))
SEAM(int, sigtimedwait,
     (const sigset_t *set, siginfo_t *info, const struct timespec *ts),
     (set, info, ts))
SEAM(pid_t, fork, (void), ())
SEAM(int, execve, (const char *path, char *const *argv, char *const *env),
     (path, argv, env))
SEAM(int, waitid, (idtype_t type, id_t id, siginfo_t *info, int options),
     (type, id, info, options))

/* Calls that move bytes, and may be made to move fewer. */
SEAM(ssize_t, read, (int fd, void *buf, size_t n), (fd, buf, at_most(n)))
SEAM(ssize_t, write, (int fd, const void *buf, size_t n), (fd, buf, at_most(n)))
SEAM(ssize_t, recv, (int fd, void *buf, size_t n, int flags),
     (fd, buf, at_most(n), flags))

/* What a send may move, as there is only so much room. */
static int take_room(int err)
{
	if (err == 0 && send_room == 0)
		return EAGAIN;
	if (limit == 0 || limit > send_room)
		limit = send_room == SIZE_MAX ? limit : send_room;
	return err;
}

static ssize_t used_room(ssize_t n)
{
	if (n > 0 && send_room != SIZE_MAX)
		send_room -= (size_t)n;
	return n;
}

int fault_next(const char *name, size_t *most)
{
	enum call call = (enum call)(find(name) - scripts);
	int err = fault(call);

	if (call == CALL_send || call == CALL_sendmsg || call == CALL_sendfile)
		err = take_room(err);
	*most = limit;
	return err;
}

void fault_sent(size_t n)
{
	used_room((ssize_t)n);
}

ssize_t seam_send(int fd, const void *buf, size_t n, int flags);
ssize_t seam_send(int fd, const void *buf, size_t n, int flags)
{
	int err = take_room(fault(CALL_send));

	if (err != 0)
		return failed(err);
	return used_room(send(fd, buf, at_most(n), flags));
}

SEAM(ssize_t, recvfrom,
     (int fd, void *buf, size_t n, int flags, struct sockaddr *sa,
      socklen_t *len),
     (fd, buf, at_most(n), flags, sa, len))
SEAM(ssize_t, sendto,
     (int fd, const void *buf, size_t n, int flags, const struct sockaddr *sa,
      socklen_t len),
     (fd, buf, at_most(n), flags, sa, len))

enum { MAX_IOV = 1024 };

/* As many of the pieces as hold the bytes that may be moved: copied. */
static int shortened(struct iovec *copy, const struct iovec *iov, size_t n)
{
	size_t left = limit;
	size_t i = 0;

	while (i < n && i < MAX_IOV && left > 0) {
		copy[i] = iov[i];
		if (copy[i].iov_len > left)
			copy[i].iov_len = left;
		left -= copy[i++].iov_len;
	}
	return (int)i;
}

#define SEAM_IOV(name)                                                         \
	ssize_t seam_##name(int fd, const struct iovec *iov, int n);           \
	ssize_t seam_##name(int fd, const struct iovec *iov, int n)            \
	{                                                                      \
		struct iovec copy[MAX_IOV];                                    \
		int err = fault(CALL_##name);                                  \
                                                                               \
		if (err != 0)                                                  \
			return failed(err);                                    \
		if (limit == 0)                                                \
			return name(fd, iov, n);                               \
		return name(fd, copy, shortened(copy, iov, (size_t)n));        \
	}

SEAM_IOV(readv)
SEAM_IOV(writev)

ssize_t seam_pread(int fd, void *buf, size_t len, off_t from);
ssize_t seam_pread(int fd, void *buf, size_t len, off_t from)
{
	int err = fault(CALL_pread);

	return err != 0 ? failed(err) : pread(fd, buf, at_most(len), from);
}

/* As far as a peer is concerned it is a send(). */
ssize_t seam_sendfile(int to, int from, off_t *at, size_t len);
ssize_t seam_sendfile(int to, int from, off_t *at, size_t len)
{
	int err = take_room(fault(CALL_sendfile));

	if (err != 0)
		return failed(err);
	return used_room(sendfile(to, from, at, at_most(len)));
}

/* What came beside the bytes is told of the whole message. */
ssize_t seam_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t seam_recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct iovec copy[MAX_IOV], *pieces = msg->msg_iov;
	size_t n = msg->msg_iovlen;
	int err = fault(CALL_recvmsg);
	ssize_t r;

	if (err != 0)
		return failed(err);
	if (limit == 0)
		return recvmsg(fd, msg, flags);
	msg->msg_iovlen = (size_t)shortened(copy, pieces, n);
	msg->msg_iov = copy;
	r = recvmsg(fd, msg, flags);
	msg->msg_iov = pieces;
	msg->msg_iovlen = n;
	return r;
}

ssize_t seam_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t seam_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct iovec copy[MAX_IOV];
	struct msghdr m = *msg;
	int err = take_room(fault(CALL_sendmsg));

	if (err != 0)
		return failed(err);
	if (limit == 0)
		return used_room(sendmsg(fd, msg, flags));
	m.msg_iovlen = (size_t)shortened(copy, m.msg_iov, m.msg_iovlen);
	m.msg_iov = copy;
	return used_room(sendmsg(fd, &m, flags));
}

/* Of several messages so many may be moved, where others move bytes. */
int seam_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags);
int seam_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
	int err = fault(CALL_sendmmsg);

	if (err != 0)
		return failed(err);
	return sendmmsg(fd, msgs, (unsigned)at_most(n), flags);
}

int seam_recvmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags,
		  struct timespec *timeout);
int seam_recvmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags,
		  struct timespec *timeout)
{
	int err = fault(CALL_recvmmsg);

	if (err != 0)
		return failed(err);
	return recvmmsg(fd, msgs, (unsigned)at_most(n), flags, timeout);
}

/* Calls that are made even when they fail. */
int seam_close(int fd);
int seam_close(int fd)
{
	int err = fault(CALL_close);
	int r = close(fd);

	return err != 0 ? failed(err) : r;
}

int seam_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags);
int seam_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
	int err = fault(CALL_accept4);

	return err != 0 ? failed(err) : stranger_accept(fd, sa, len, flags);
}

int seam_connect(int fd, const struct sockaddr *sa, socklen_t len);
int seam_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	int err = fault(CALL_connect);
	int r = 0;

	if (err == 0 || err == EINTR || err == EINPROGRESS) {
		r = connect(fd, sa, len);
		stranger_is_not(fd);
	}
	return err != 0 ? failed(err) : r;
}

/* Calls with an argument that may not be there. */
int seam_open(const char *path, int flags, ...);
int seam_open(const char *path, int flags, ...)
{
	int err = fault(CALL_open);
	unsigned mode = 0;
	va_list ap;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, unsigned);
	va_end(ap);
	return err != 0 ? failed(err) : open(path, flags, mode);
}

/* The library makes no files with it. */
int seam_openat(int at, const char *path, int flags, ...);
int seam_openat(int at, const char *path, int flags, ...)
{
	int err = fault(CALL_openat);

	return err != 0 ? failed(err) : openat(at, path, flags);
}

/* Of these the library uses only what takes an int, a pointer or nothing. */
/* The second is another name of the first: see reactor/kernel/spawn.c. */
int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);
#define SEAM_CLONE(name)                                                       \
	int seam_##name(int (*fn)(void *), void *stack, int flags, void *arg,  \
			...);                                                  \
	int seam_##name(int (*fn)(void *), void *stack, int flags, void *arg,  \
			...)                                                   \
	{                                                                      \
		int err = fault(CALL_clone);                                   \
		va_list ap;                                                    \
		int *pidfd;                                                    \
                                                                               \
		va_start(ap, arg);                                             \
		pidfd = va_arg(ap, int *);                                     \
		va_end(ap);                                                    \
		return err != 0 ? failed(err)                                  \
				: name(fn, stack, flags, arg, pidfd);          \
	}

SEAM_CLONE(clone)
SEAM_CLONE(__clone)

#define SEAM_CONTROL(name, type)                                               \
	int seam_##name(int fd, type request, ...);                            \
	int seam_##name(int fd, type request, ...)                             \
	{                                                                      \
		int err = fault(CALL_##name);                                  \
		va_list ap;                                                    \
		void *arg;                                                     \
                                                                               \
		va_start(ap, request);                                         \
		arg = va_arg(ap, void *);                                      \
		va_end(ap);                                                    \
		return err != 0 ? failed(err) : name(fd, request, arg);        \
	}

/* The second argument is one of the size of a pointer. */
int seam_prctl(int option, ...);
int seam_prctl(int option, ...)
{
	int err = fault(CALL_prctl);
	va_list ap;
	unsigned long arg;

	va_start(ap, option);
	arg = va_arg(ap, unsigned long);
	va_end(ap);
	return err != 0 ? failed(err) : prctl(option, arg);
}

SEAM_CONTROL(fcntl, int)
SEAM_CONTROL(ioctl, unsigned long)

/* Calls that the library makes by their number. */
static const struct {
	long number;
	enum call call;
} numbered[] = {
	{ SYS_execve, CALL_execve },
	{ SYS_dup3, CALL_dup2 },
	{ SYS_openat, CALL_open },
	{ SYS_preadv2, CALL_preadv2 },
	{ SYS_pwritev2, CALL_pwritev2 },
	{ SYS_close_range, CALL_close_range },
	{ SYS_getdents64, CALL_getdents64 },
	{ SYS_pidfd_open, CALL_pidfd_open },
	{ SYS_pidfd_send_signal, CALL_pidfd_send_signal },
	{ SYS_rt_sigaction, CALL_sigaction },
	{ SYS_setgroups, CALL_setgroups },
	{ SYS_setresgid, CALL_setgid },
	{ SYS_setresuid, CALL_setuid },
};

static int numbered_fault(long number)
{
	for (size_t i = 0; i < sizeof(numbered) / sizeof(*numbered); i++) {
		if (numbered[i].number == number)
			return fault(numbered[i].call);
	}
	ck_abort_msg("no name for call %ld", number);
}

static long call_shortened(long number, const long *args)
{
	struct iovec copy[MAX_IOV];
	int n = shortened(copy, (const struct iovec *)args[1], (size_t)args[2]);

	return syscall(number, args[0], copy, (long)n, args[3], args[4],
		       args[5]);
}

/* Whoever gives less has nothing on the stack for the sixth. */
static bool takes_six(long number)
{
#ifdef SYS_epoll_pwait2
	if (number == SYS_epoll_pwait2)
		return true;
#endif
	return number == SYS_preadv2 || number == SYS_pwritev2;
}

/* It runs in children, too, which must not use what sanitizers know of this
   thread. */
long seam_syscall(long number, ...);
long seam_syscall(long number, ...)
{
	long args[6] = { 0 };
	va_list ap;
	int err;

	va_start(ap, number);
	for (int i = 0; i < (takes_six(number) ? 6 : 5); i++)
		args[i] = va_arg(ap, long);
	va_end(ap);
#ifdef SYS_epoll_pwait2
	if (number == SYS_epoll_pwait2)
		return call_epoll_pwait2(args);
#endif
	err = numbered_fault(number);
	if (err == 0 && limit != 0 &&
	    (number == SYS_preadv2 || number == SYS_pwritev2))
		return call_shortened(number, args);
	return err != 0 ? failed(err)
			: syscall(number, args[0], args[1], args[2], args[3],
				  args[4], args[5]);
}

/* Calls that return what went wrong. */
int seam_pthread_sigmask(int how, const sigset_t *set, sigset_t *old);
int seam_pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	int err = fault(CALL_pthread_sigmask);

	return err != 0 ? err : pthread_sigmask(how, set, old);
}

int seam_pthread_create(pthread_t *ret, const pthread_attr_t *attr,
			void *(*fn)(void *), void *arg);
int seam_pthread_create(pthread_t *ret, const pthread_attr_t *attr,
			void *(*fn)(void *), void *arg)
{
	int err = fault(CALL_pthread_create);

	return err != 0 ? err : pthread_create(ret, attr, fn, arg);
}

int seam_pthread_key_create(pthread_key_t *ret, void (*end)(void *));
int seam_pthread_key_create(pthread_key_t *ret, void (*end)(void *))
{
	int err = fault(CALL_pthread_key_create);

	return err != 0 ? err : pthread_key_create(ret, end);
}

int seam_pthread_setspecific(pthread_key_t key, const void *value);
int seam_pthread_setspecific(pthread_key_t key, const void *value)
{
	int err = fault(CALL_pthread_setspecific);

	return err != 0 ? err : pthread_setspecific(key, value);
}

int seam_getaddrinfo(const char *host, const char *service,
		     const struct addrinfo *hints, struct addrinfo **ret);
int seam_getaddrinfo(const char *host, const char *service,
		     const struct addrinfo *hints, struct addrinfo **ret)
{
	int err = fault(CALL_getaddrinfo);

	return err != 0 ? err : getaddrinfo(host, service, hints, ret);
}

int seam_getnameinfo(const struct sockaddr *sa, socklen_t len, char *host,
		     socklen_t hostlen, char *serv, socklen_t servlen,
		     int flags);
int seam_getnameinfo(const struct sockaddr *sa, socklen_t len, char *host,
		     socklen_t hostlen, char *serv, socklen_t servlen,
		     int flags)
{
	int err = fault(CALL_getnameinfo);

	return err != 0 ? err
			: getnameinfo(sa, len, host, hostlen, serv, servlen,
				      flags);
}

void seam_freeaddrinfo(struct addrinfo *ai);
void seam_freeaddrinfo(struct addrinfo *ai)
{
	fault(CALL_freeaddrinfo);
	freeaddrinfo(ai);
}
