/*
 * SIGINT and SIGTERM stop a running reactor, at the second one without waiting
 * for anybody, and SIGPIPE never kills; one that the program names makes a
 * reactor say what is pending, as long as it lives.
 *
 * Signals belong to the process, so this holds the library's only state that
 * is not a reactor's, but for the count of forks: which reactor has the
 * signals, and what the program had set.  Of the reactors that run, the first
 * has those that stop; another that runs meanwhile leaves them alone.  Runs
 * take only what had its default action.
 *
 * Each signal that plait may have is a claim.  It knows who wants the signal,
 * and the action to give back when nobody does any more: always one that the
 * program has set, never a handler of plait's, in whatever order those who
 * want it come and go.  An action that is not plait's was set by the program
 * since, and is left alone.
 *
 * A handler must not act for a process that is not its reactor's: between
 * fork() and the handlers of pthread_atfork(), and in a child made by vfork(),
 * which shares this memory.  There it makes way for the program's action.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <plait/debug.h>

#include "reactor/loop/reactor.h"

typedef void handler(int signo);

struct signal_claim {
	int number;	      /* 0: of no signal */
	unsigned runs;	      /* that want it */
	bool dumps;	      /* wanted by the dumper, who comes first */
	struct sigaction own; /* the program's */
};

/* The last one is the dumper's, unless its signal is one of the others. */
enum { N_TAKEN = 3, N_CLAIMS };

enum { SAME_SIGNAL = 100000000 }; /* ns after the first one */

/* The lock is for all of these; handlers and forked children need none. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct signal_claim claims[N_CLAIMS] = {
	{ .number = SIGINT },
	{ .number = SIGTERM },
	{ .number = SIGPIPE },
};
static struct signal_claim *dumped; /* the dumper's; NULL: none */

static _Atomic(struct plait_reactor *) owner, dumper;
static atomic_int handling; /* handlers that may be looking at the owner */

/* ---- handlers: nothing in here may change errno ------------------------ */

/* Nobody here wants it: it does what it would do without plait. */
static void leave_to_program(int signo)
{
	int saved = errno;

	for (int i = 0; i < N_CLAIMS; i++) {
		if (claims[i].number == signo)
			sigaction(signo, &claims[i].own, NULL);
	}
	kill(getpid(), signo);
	errno = saved;
}

static bool is_of_this_process(const struct plait_reactor *r)
{
	return r != NULL && r->signals.process == getpid();
}

/*
 * Which mark a signal that stops has to set.  Terminals and supervisors often
 * send two, so one that comes right after the first counts as the same.
 */
static atomic_bool *stop_mark(struct plait_reactor *r)
{
	struct signals *s = &r->signals;
	int64_t now = plait_i_loop_clock(r), first = INT64_MIN;

	if (atomic_compare_exchange_strong(&s->first, &first, now) ||
	    now - first < SAME_SIGNAL)
		return &s->arrived;
	return &s->insisted;
}

static void on_signal(int signo)
{
	struct plait_reactor *r;

	atomic_fetch_add(&handling, 1);
	r = atomic_load(&owner);
	if (is_of_this_process(r)) {
		atomic_store(stop_mark(r), true);
		plait_i_thread_wake(r);
	} else {
		leave_to_program(signo);
	}
	atomic_fetch_sub(&handling, 1);
}

static void on_dump(int signo)
{
	struct plait_reactor *r;

	atomic_fetch_add(&handling, 1);
	r = atomic_load(&dumper);
	if (is_of_this_process(r)) {
		atomic_store(&r->signals.dump_arrived, true);
		plait_i_thread_wake(r);
	} else {
		leave_to_program(signo);
	}
	atomic_fetch_sub(&handling, 1);
}

/*
 * Instead of SIG_IGN, which a program that is executed would inherit: so it
 * has the default, as if there were no plait.
 */
static void on_broken_pipe(int signo)
{
}

/* A handler in another thread may have read the owner just before. */
static void wait_for_handlers(void)
{
	while (atomic_load(&handling) > 0)
		sched_yield();
}

/* ---- claims ------------------------------------------------------------- */

static bool is_plaits(const struct sigaction *a)
{
	return a->sa_handler == on_signal || a->sa_handler == on_dump ||
	       a->sa_handler == on_broken_pipe;
}

/* What plait wants to do with it; NULL: nothing. */
static handler *handler_of(const struct signal_claim *c)
{
	if (c->dumps)
		return on_dump;
	if (c->runs == 0)
		return NULL;
	return c->number == SIGPIPE ? on_broken_pipe : on_signal;
}

/* Sets what is wanted, or else the program's own action.  0 or -errno. */
static int claim_set(const struct signal_claim *c)
{
	struct sigaction plaits = { .sa_handler = handler_of(c),
				    .sa_flags = SA_RESTART };
	const struct sigaction *a =
		plaits.sa_handler != NULL ? &plaits : &c->own;

	return sigaction(c->number, a, NULL) < 0 ? -errno : 0;
}

/*
 * What the program has set is what it gets back; it has ended what others
 * wanted before.  0 or -errno.
 */
static int claim_look(struct signal_claim *c)
{
	struct sigaction now;

	if (sigaction(c->number, NULL, &now) < 0)
		return -errno;
	if (is_plaits(&now))
		return 0;
	c->own = now;
	c->runs = 0;
	c->dumps = false;
	return 0;
}

/* Somebody wants it no more; the program may have set another since. */
static void claim_give_back(const struct signal_claim *c)
{
	struct sigaction now;

	if (sigaction(c->number, NULL, &now) == 0 && is_plaits(&now))
		claim_set(c);
}

/* ---- runs --------------------------------------------------------------- */

void plait_i_signal_init(struct plait_reactor *r)
{
	r->signals.process = getpid();
}

/* Takes it for a run, if it has its default action.  0 or -errno. */
static int take(struct plait_reactor *r, int i)
{
	struct signal_claim *c = &claims[i];
	int rc = claim_look(c);

	if (rc < 0 || c->own.sa_handler != SIG_DFL)
		return rc;
	c->runs++;
	rc = claim_set(c);
	if (rc < 0)
		c->runs--;
	else
		r->signals.taken |= 1u << i;
	return rc;
}

static void release(struct plait_reactor *r)
{
	for (int i = 0; i < N_TAKEN; i++) {
		struct signal_claim *c = &claims[i];

		if (!(r->signals.taken & 1u << i) || c->runs == 0)
			continue;
		c->runs--;
		claim_give_back(c);
	}
	r->signals.taken = 0;
}

int plait_i_signal_take(struct plait_reactor *r)
{
	struct plait_reactor *nobody = NULL;
	bool first;
	int rc = 0;

	atomic_store(&r->signals.arrived, false);
	atomic_store(&r->signals.insisted, false);
	atomic_store(&r->signals.first, INT64_MIN);
	first = atomic_compare_exchange_strong(&owner, &nobody, r);
	pthread_mutex_lock(&lock);
	for (int i = 0; i < N_TAKEN && rc == 0; i++) {
		/* Whoever runs last keeps SIGPIPE from killing. */
		if (first || claims[i].number == SIGPIPE)
			rc = take(r, i);
	}
	pthread_mutex_unlock(&lock);
	if (rc < 0)
		plait_i_signal_release(r);
	return rc;
}

void plait_i_signal_release(struct plait_reactor *r)
{
	if (loop_is_forked(r))
		return;
	pthread_mutex_lock(&lock);
	release(r);
	pthread_mutex_unlock(&lock);
	if (atomic_load(&owner) != r)
		return;
	atomic_store(&owner, NULL);
	wait_for_handlers();
}

static bool take_mark(atomic_bool *arrived)
{
	return atomic_load_explicit(arrived, memory_order_relaxed) &&
	       atomic_exchange(arrived, false);
}

bool plait_i_signal_take_arrived(struct plait_reactor *r)
{
	return take_mark(&r->signals.arrived);
}

bool plait_i_signal_take_insisted(struct plait_reactor *r)
{
	return take_mark(&r->signals.insisted);
}

bool plait_i_signal_take_dump(struct plait_reactor *r)
{
	return take_mark(&r->signals.dump_arrived);
}

/* ---- the dumper --------------------------------------------------------- */

void plait_i_signal_done(struct plait_reactor *r)
{
	if (atomic_load(&dumper) != r)
		return;
	pthread_mutex_lock(&lock);
	if (dumped != NULL) {
		dumped->dumps = false;
		claim_give_back(dumped);
		dumped = NULL;
	}
	pthread_mutex_unlock(&lock);
	atomic_store(&dumper, NULL);
	wait_for_handlers();
}

static struct signal_claim *claim_of(int signal)
{
	struct signal_claim *c = claims;

	while (c < &claims[N_TAKEN] && c->number != signal)
		c++;
	if (c->number != signal)
		*c = (struct signal_claim){ .number = signal };
	return c;
}

/* 0 or -errno. */
static int take_for_dump(int signal)
{
	struct signal_claim *c = claim_of(signal);
	int rc = claim_look(c);

	if (rc < 0)
		return rc;
	c->dumps = true;
	rc = claim_set(c);
	if (rc < 0)
		c->dumps = false;
	else
		dumped = c;
	return rc;
}

int plait_reactor_dump_on_signal(struct plait_reactor *r, int signal)
{
	struct plait_reactor *nobody = NULL;
	int rc;

	if (loop_is_forked(r))
		return -ECHILD;
	plait_i_signal_done(r);
	if (!atomic_compare_exchange_strong(&dumper, &nobody, r))
		return -EBUSY;
	pthread_mutex_lock(&lock);
	rc = take_for_dump(signal);
	pthread_mutex_unlock(&lock);
	if (rc < 0)
		plait_i_signal_done(r);
	return rc;
}

/* ---- forks -------------------------------------------------------------- */

void plait_i_signal_before_fork(void)
{
	pthread_mutex_lock(&lock);
}

void plait_i_signal_in_parent(void)
{
	pthread_mutex_unlock(&lock);
}

/* A reactor of the child's own shall find what the program had set. */
void plait_i_signal_in_child(void)
{
	for (int i = 0; i < N_CLAIMS; i++) {
		struct signal_claim *c = &claims[i];

		c->runs = 0;
		c->dumps = false;
		claim_give_back(c);
	}
	dumped = NULL;
	atomic_store(&owner, NULL);
	atomic_store(&dumper, NULL);
	/* Other threads, and what they were in, are the parent's. */
	atomic_store(&handling, 0);
	pthread_mutex_unlock(&lock);
}
