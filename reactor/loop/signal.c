/*
 * SIGINT and SIGTERM stop a running reactor; the second one stops it without
 * waiting for anybody.  SIGPIPE does nothing.  The signal of
 * plait_reactor_dump_on_signal() makes a reactor write what is pending.
 *
 * Signals belong to the process, so the registry does, too.  For each number of
 * a signal it has a list of wants, and the action that the program had set. The
 * first reactor that runs has SIGINT and SIGTERM; another reactor that runs at
 * the same time leaves them alone.  A run takes only signals that have their
 * default action.
 *
 * A reactor that wants a signal has a struct signal_want, with a kind that says
 * what to do.  There is one handler for all signals: it tells all wants of the
 * signal, or only the first if that want is alone.  When no reactor wants the
 * signal any more, the signal gets back the action that the program had set,
 * never plait's, in whatever order reactors come and go.  If the present action
 * is not plait's, the program has set it since then, and it is left alone.
 *
 * A handler must not act for a process that is not its reactor's process:
 * between fork() and the handlers of pthread_atfork(), and in a child made by
 * vfork(), which shares this memory.  There it lets the program's action
 * happen.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <plait/debug.h>

#include "reactor/loop/parts.h"

struct signal_kind {
	/* In a handler.  True if the signal was for w. */
	bool (*tell)(struct signal_want *w);
	bool alone; /* comes first, and nobody else is told */
};

struct signal_slot {
	_Atomic(struct signal_want *) first;
	struct sigaction own; /* the program's, while anybody wants it */
};

/* The lock is for all of these; handlers and forked children need none. */
static pthread_mutex_t signal_lock = PTHREAD_MUTEX_INITIALIZER;
static struct signal_slot signal_slots[NSIG];		  /* by number */
static struct plait_reactor *signal_stops, *signal_dumps; /* who has those */

static atomic_int signal_handling; /* handlers that look at the registry */

enum { SAME_SIGNAL = 100000000 }; /* ns after the first one */

/* ---- handlers: nothing in here may change errno ------------------------ */

/* No reactor of this process wants the signal: does what the program's action
   would do without plait. */
static void signal_leave_to_program(int number)
{
	int saved = errno;

	sigaction(number, &signal_slots[number].own, NULL);
	kill(getpid(), number);
	errno = saved;
}

static void signal_on_arrival(int number)
{
	struct signal_want *w;
	bool told = false;

	atomic_fetch_add(&signal_handling, 1);
	w = atomic_load(&signal_slots[number].first);
	for (; w != NULL; w = atomic_load(&w->next)) {
		if (!w->kind->tell(w))
			continue;
		told = true;
		if (w->kind->alone)
			break;
	}
	if (!told)
		signal_leave_to_program(number);
	atomic_fetch_sub(&signal_handling, 1);
}

static bool signal_mark(struct signal_want *w, unsigned mark)
{
	atomic_fetch_or(&w->reactor->signals.marks, mark);
	plait_i_thread_wake(w->reactor);
	return true;
}

static bool signal_is_of_this_process(const struct signal_want *w)
{
	return w->reactor->signals.process == getpid();
}

/*
 * Terminals and supervisors often send a signal twice.  So a second one that
 * comes right after the first one does not count.
 */
static bool signal_tell_stop(struct signal_want *w)
{
	struct signals *s = &w->reactor->signals;
	int64_t now, first = INT64_MIN;

	if (!signal_is_of_this_process(w))
		return false;
	now = plait_i_clock_read(w->reactor);
	if (atomic_compare_exchange_strong(&s->first, &first, now) ||
	    now - first < SAME_SIGNAL)
		return signal_mark(w, SIGNAL_STOP);
	return signal_mark(w, SIGNAL_STOP_NOW);
}

static bool signal_tell_dump(struct signal_want *w)
{
	return signal_is_of_this_process(w) && signal_mark(w, SIGNAL_DUMP);
}

/*
 * A handler that does nothing, instead of SIG_IGN, which a program that is
 * executed would inherit: so that program has the default action.
 */
static bool signal_tell_broken_pipe(struct signal_want *w)
{
	return true;
}

static const struct signal_kind signal_stop = { signal_tell_stop, false };
static const struct signal_kind signal_dump = { signal_tell_dump, true };
static const struct signal_kind signal_pipe = { signal_tell_broken_pipe,
						false };

/* ---- the registry ------------------------------------------------------- */

/* A handler in another thread may still use a want that was just taken out. */
static void signal_wait_for_handlers(void)
{
	while (atomic_load(&signal_handling) > 0)
		sched_yield();
}

static bool signal_is_plaits(const struct sigaction *a)
{
	return a->sa_handler == signal_on_arrival;
}

static void signal_drop_all(struct signal_slot *s)
{
	struct signal_want *w = atomic_exchange(&s->first, NULL);

	for (; w != NULL; w = atomic_load(&w->next))
		w->number = 0;
	/* Before any of these wants is put into another list. */
	signal_wait_for_handlers();
}

/*
 * Remembers the program's action, to give it back later.  If the program has
 * set an action since plait took the signal, the wants from before end.
 * Returns 0 or -errno.
 */
static int signal_look(int number)
{
	struct signal_slot *s = &signal_slots[number];
	struct sigaction now;

	if (sigaction(number, NULL, &now) < 0)
		return -errno;
	if (signal_is_plaits(&now))
		return 0;
	signal_drop_all(s);
	s->own = now;
	return 0;
}

static void signal_take_out(struct signal_want *w)
{
	_Atomic(struct signal_want *) *place = &signal_slots[w->number].first;

	while (atomic_load(place) != w)
		place = &atomic_load(place)->next;
	atomic_store(place, atomic_load(&w->next));
	w->number = 0;
}

static void signal_put_in(struct signal_want *w, int number,
			  const struct signal_kind *kind)
{
	_Atomic(struct signal_want *) *place = &signal_slots[number].first;

	w->number = number;
	w->kind = kind;
	while (!kind->alone && atomic_load(place) != NULL)
		place = &atomic_load(place)->next;
	atomic_store(&w->next, atomic_load(place));
	atomic_store(place, w);
}

/* Call signal_look() before.  Returns 0 or -errno. */
static int signal_want(struct signal_want *w, int number,
		       const struct signal_kind *kind)
{
	struct sigaction plaits = { .sa_handler = signal_on_arrival,
				    .sa_flags = SA_RESTART };
	int rc;

	signal_put_in(w, number, kind);
	if (sigaction(number, &plaits, NULL) == 0)
		return 0;
	rc = -errno;
	signal_take_out(w);
	signal_wait_for_handlers();
	return rc;
}

/* Gives the program's action back, unless the program has set another since. */
static void signal_give_back(int number)
{
	struct sigaction now;

	if (sigaction(number, NULL, &now) == 0 && signal_is_plaits(&now))
		sigaction(number, &signal_slots[number].own, NULL);
}

/* Does nothing if the program has ended the want by an action of its own. */
static void signal_want_no_more(struct signal_want *w)
{
	int number = w->number;

	if (number == 0)
		return;
	signal_take_out(w);
	if (atomic_load(&signal_slots[number].first) == NULL)
		signal_give_back(number);
	signal_wait_for_handlers();
}

void plait_i_signal_init(struct plait_reactor *r)
{
	struct signals *s = &r->signals;

	s->process = getpid();
	for (size_t i = 0; i < sizeof(s->wants) / sizeof(s->wants[0]); i++)
		s->wants[i].reactor = r;
}

/* ---- runs --------------------------------------------------------------- */

/* Takes the signal for a run, if it has its default action.  0 or -errno. */
static int signal_want_default(struct signal_want *w, int number,
			       const struct signal_kind *kind)
{
	int rc = signal_look(number);

	if (rc < 0 || signal_slots[number].own.sa_handler != SIG_DFL)
		return rc;
	return signal_want(w, number, kind);
}

/* 0 or -errno. */
static int signal_take_for_run(struct plait_reactor *r)
{
	struct signal_want *w = r->signals.wants;
	int rc = 0;

	if (signal_stops == NULL)
		signal_stops = r;
	if (signal_stops == r)
		rc = signal_want_default(&w[WANT_INT], SIGINT, &signal_stop);
	if (signal_stops == r && rc == 0)
		rc = signal_want_default(&w[WANT_TERM], SIGTERM, &signal_stop);
	/* SIGPIPE must not kill until the last run has ended. */
	if (rc == 0)
		rc = signal_want_default(&w[WANT_PIPE], SIGPIPE, &signal_pipe);
	return rc;
}

int plait_i_signal_take(struct plait_reactor *r)
{
	int rc;

	atomic_fetch_and(&r->signals.marks, ~(SIGNAL_STOP | SIGNAL_STOP_NOW));
	atomic_store(&r->signals.first, INT64_MIN);
	pthread_mutex_lock(&signal_lock);
	rc = signal_take_for_run(r);
	pthread_mutex_unlock(&signal_lock);
	if (rc < 0)
		plait_i_signal_release(r);
	return rc;
}

void plait_i_signal_release(struct plait_reactor *r)
{
	if (loop_is_forked(r))
		return;
	pthread_mutex_lock(&signal_lock);
	for (int i = WANT_INT; i <= WANT_PIPE; i++)
		signal_want_no_more(&r->signals.wants[i]);
	if (signal_stops == r)
		signal_stops = NULL;
	pthread_mutex_unlock(&signal_lock);
}

unsigned plait_i_signal_take_marks(struct plait_reactor *r)
{
	return atomic_exchange(&r->signals.marks, 0);
}

/* ---- the dumper --------------------------------------------------------- */

static void signal_stop_dumping(struct plait_reactor *r)
{
	if (signal_dumps != r)
		return;
	signal_want_no_more(&r->signals.wants[WANT_DUMP]);
	signal_dumps = NULL;
}

void plait_i_signal_done(struct plait_reactor *r)
{
	pthread_mutex_lock(&signal_lock);
	signal_stop_dumping(r);
	pthread_mutex_unlock(&signal_lock);
}

/* 0 or -errno. */
static int signal_take_for_dump(struct plait_reactor *r, int number)
{
	int rc;

	signal_stop_dumping(r);
	if (signal_dumps != NULL)
		return -EBUSY;
	if (number <= 0 || number >= NSIG)
		return -EINVAL;
	rc = signal_look(number);
	if (rc == 0)
		rc = signal_want(&r->signals.wants[WANT_DUMP], number,
				 &signal_dump);
	if (rc == 0)
		signal_dumps = r;
	return rc;
}

int plait_reactor_dump_on_signal(struct plait_reactor *r, int signal)
{
	int rc;

	loop_check_null(r, "plait_reactor_dump_on_signal()", NULL);
	if (loop_is_forked(r))
		return -ECHILD;
	pthread_mutex_lock(&signal_lock);
	rc = signal_take_for_dump(r, signal);
	pthread_mutex_unlock(&signal_lock);
	return rc;
}

/* ---- forks -------------------------------------------------------------- */

void plait_i_signal_before_fork(void)
{
	pthread_mutex_lock(&signal_lock);
}

void plait_i_signal_in_parent(void)
{
	pthread_mutex_unlock(&signal_lock);
}

/* So that a reactor of the child finds the actions that the program had set. */
void plait_i_signal_in_child(void)
{
	/* The other threads, and the handlers in them, are in the parent only.
	 */
	atomic_store(&signal_handling, 0);
	for (int i = 1; i < NSIG; i++) {
		if (atomic_load(&signal_slots[i].first) == NULL)
			continue;
		signal_drop_all(&signal_slots[i]);
		signal_give_back(i);
	}
	signal_stops = signal_dumps = NULL;
	pthread_mutex_unlock(&signal_lock);
}
