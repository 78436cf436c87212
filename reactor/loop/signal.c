/*
 * Signals: what the loop tells of them, and what they do to a run.
 *
 * SIGINT and SIGTERM stop a running reactor; the second one stops it without
 * waiting for anybody.  SIGPIPE does nothing.  The signal of
 * plait_reactor_dump_on_signal() makes a reactor write what is pending.  A
 * watch of the program is told of any signal.
 *
 * Signals belong to the process, so the registry does, too.  For each number of
 * a signal it has a list of watches, and the action that the program had set.
 * The reactor's own watches are in it beside those of the program, and the kind
 * of a watch says what to do.  The first reactor that runs has SIGINT and
 * SIGTERM; another reactor that runs at the same time leaves them alone.  A run
 * takes only signals that have their default action, and what it does with them
 * takes the place of that action: it happens only if nothing else wants the
 * signal.
 *
 * There is one handler for all signals: it tells the watches of the signal.
 * When there is no watch any more, the signal gets back the action that the
 * program had set, never plait's, in whatever order reactors come and go.  If
 * the present action is not plait's, the program has set it since then, and it
 * is left alone.
 *
 * A handler must not act for a process that is not its reactor's process:
 * between fork() and the handlers of pthread_atfork(), and in a child made by
 * vfork(), which shares this memory.  There it lets the program's action
 * happen.
 *
 * A simulated host is no process: its watches are in no registry, and
 * plait_i_signal_arrive() takes the place of the handler.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <plait/debug.h>

#include "lib/exception.h"
#include "reactor/kernel/terminal.h"
#include "reactor/loop/parts.h"

struct plait_signal_kind {
	/* In a handler.  True if the signal was for w. */
	bool (*tell)(struct plait_signal_watch *w);
	bool is_of_run; /* comes last, and is told if no other kind was */
};

struct signal_slot {
	struct plait_signal_watch *first; /* handlers read it */
	struct sigaction own; /* the program's, while there are watches */
};

/* The lock is for all of these; handlers and forked children need none. */
static pthread_mutex_t signal_lock = PTHREAD_MUTEX_INITIALIZER;
static struct signal_slot signal_slots[NSIG];		  /* by number */
static struct plait_reactor *signal_stops, *signal_dumps; /* who has those */

/* Handlers that look at the registry: those that have begun in an even phase,
   and in an odd one. */
static atomic_int signal_handling[2];
static atomic_uint signal_phase;

enum { SAME_SIGNAL = 100000000 }; /* ns after the first one */

/* ---- handlers: nothing in here may change errno ------------------------ */

static struct plait_signal_watch *signal_at(struct plait_signal_watch **place)
{
	return __atomic_load_n(place, __ATOMIC_SEQ_CST);
}

static void signal_set(struct plait_signal_watch **place,
		       struct plait_signal_watch *w)
{
	__atomic_store_n(place, w, __ATOMIC_SEQ_CST);
}

/* No reactor of this process wants the signal: does what the program's action
   would do without plait. */
static void signal_leave_to_program(int number)
{
	int saved = errno;

	sigaction(number, &signal_slots[number].own, NULL);
	kill(getpid(), number);
	errno = saved;
}

/* Returns true if the signal was for one of the watches from w on. */
static bool signal_tell_all(struct plait_signal_watch *w)
{
	bool told = false, is_wanted = false;

	for (; w != NULL && !(w->kind->is_of_run && is_wanted);
	     w = signal_at(&w->next)) {
		if (!w->kind->tell(w))
			continue;
		told = true;
		is_wanted |= !w->kind->is_of_run;
	}
	return told;
}

static void signal_on_arrival(int number)
{
	atomic_int *handling = &signal_handling[atomic_load(&signal_phase) & 1];

	atomic_fetch_add(handling, 1);
	if (!signal_tell_all(signal_at(&signal_slots[number].first)))
		signal_leave_to_program(number);
	atomic_fetch_sub(handling, 1);
}

static bool signal_mark(struct plait_signal_watch *w, unsigned mark)
{
	atomic_fetch_or(&w->reactor->signals.marks, mark);
	plait_i_thread_wake(w->reactor);
	return true;
}

static bool signal_is_of_this_process(const struct plait_signal_watch *w)
{
	return w->reactor->signals.process == getpid();
}

/*
 * Terminals and supervisors often send a signal twice.  So a second one that
 * comes right after the first one does not count.
 */
static bool signal_tell_stop(struct plait_signal_watch *w)
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

static bool signal_tell_watch(struct plait_signal_watch *w)
{
	if (!signal_is_of_this_process(w))
		return false;
	__atomic_fetch_add(&w->times, 1, __ATOMIC_RELAXED);
	return signal_mark(w, SIGNAL_WATCHED);
}

static bool signal_tell_dump(struct plait_signal_watch *w)
{
	return signal_is_of_this_process(w) && signal_mark(w, SIGNAL_DUMP);
}

/*
 * A handler that does nothing, instead of SIG_IGN, which a program that is
 * executed would inherit: so that program has the default action.
 */
static bool signal_tell_broken_pipe(struct plait_signal_watch *w)
{
	return true;
}

static const struct plait_signal_kind signal_stop = { signal_tell_stop, true };
static const struct plait_signal_kind signal_pipe = { signal_tell_broken_pipe,
						      true };
static const struct plait_signal_kind signal_dump = { signal_tell_dump, false };
static const struct plait_signal_kind signal_watch = { signal_tell_watch,
						       false };

/* ---- the registry ------------------------------------------------------- */

/*
 * A handler in another thread may still use what was just taken out.  In a
 * storm of signals there is always one, so this waits only for those that have
 * begun before.  A handler that has looked at the phase may count itself late,
 * in a phase that is over; so there are two of them to wait for.
 */
static void signal_wait_for_handlers(void)
{
	for (int i = 0; i < 2; i++) {
		unsigned before = atomic_fetch_add(&signal_phase, 1);

		while (atomic_load(&signal_handling[before & 1]) > 0)
			sched_yield();
	}
}

static bool signal_is_plaits(const struct sigaction *a)
{
	return a->sa_handler == signal_on_arrival;
}

static void signal_drop_all(struct signal_slot *s)
{
	struct plait_signal_watch *w = signal_at(&s->first);

	signal_set(&s->first, NULL);
	for (; w != NULL; w = signal_at(&w->next))
		w->number = 0;
	/* Before any of these watches is put into another list. */
	signal_wait_for_handlers();
}

/*
 * Remembers the program's action, to give it back later.  If the program has
 * set an action since plait took the signal, the watches from before end.
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

static void signal_take_out(struct plait_signal_watch *w)
{
	struct plait_signal_watch **place = &signal_slots[w->number].first;

	while (signal_at(place) != w)
		place = &signal_at(place)->next;
	signal_set(place, signal_at(&w->next));
	w->number = 0;
}

/* Those of runs are behind all others. */
static void signal_put_in(struct plait_signal_watch *w, int number,
			  const struct plait_signal_kind *kind)
{
	struct plait_signal_watch **place = &signal_slots[number].first, *other;

	w->number = number;
	w->kind = kind;
	while ((other = signal_at(place)) != NULL &&
	       (kind->is_of_run || !other->kind->is_of_run))
		place = &other->next;
	signal_set(&w->next, other);
	signal_set(place, w);
}

/* Call signal_look() before.  Returns 0 or -errno. */
static int signal_want(struct plait_signal_watch *w, int number,
		       const struct plait_signal_kind *kind)
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

	if (sigaction(number, NULL, &now) < 0 || !signal_is_plaits(&now))
		return;
	sigaction(number, &signal_slots[number].own, NULL);
	plait_i_terminal_take_signal(number);
}

/* Does nothing if the program has ended the watch by an action of its own. */
static void signal_want_no_more(struct plait_signal_watch *w)
{
	int number = w->number;

	if (number == 0)
		return;
	signal_take_out(w);
	if (signal_at(&signal_slots[number].first) == NULL)
		signal_give_back(number);
	signal_wait_for_handlers();
}

void plait_i_signal_init(struct plait_reactor *r)
{
	struct signals *s = &r->signals;

	s->process = getpid();
	for (size_t i = 0; i < sizeof(s->wants) / sizeof(s->wants[0]); i++)
		s->wants[i].reactor = r;
	plait_list_init(&s->watches);
	plait_list_init(&s->untold);
}

/* ---- runs --------------------------------------------------------------- */

/* Gives a terminal its mode back, and then does what the default does. */
static bool signal_is_default(int number)
{
	const struct sigaction *own = &signal_slots[number].own;

	return own->sa_handler == SIG_DFL ||
	       plait_i_terminal_has_action(number, own);
}

/* Takes the signal for a run, if it has its default action.  0 or -errno. */
static int signal_want_default(struct plait_signal_watch *w, int number,
			       const struct plait_signal_kind *kind)
{
	int rc = signal_look(number);

	if (rc < 0 || !signal_is_default(number))
		return rc;
	return signal_want(w, number, kind);
}

/* 0 or -errno. */
static int signal_take_for_run(struct plait_reactor *r)
{
	struct plait_signal_watch *w = r->signals.wants;
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

/* ---- watches of the program --------------------------------------------- */

/* After these the thread that has done something impossible would do it again.
 */
static bool signal_is_of_a_mistake(int number)
{
	return number == SIGSEGV || number == SIGBUS || number == SIGFPE ||
	       number == SIGILL;
}

static bool signal_is_simulated(const struct plait_reactor *r)
{
	return loop_kernel(r)->ops->is_simulated;
}

/* Without a registry.  0 or -errno. */
static int signal_watch_simulated(struct plait_signal_watch *w, int number)
{
	if (number == SIGKILL || number == SIGSTOP)
		return -EINVAL;
	w->number = number;
	return 0;
}

/* 0 or -errno. */
static int signal_watch_real(struct plait_signal_watch *w, int number)
{
	int rc;

	pthread_mutex_lock(&signal_lock);
	rc = signal_look(number);
	if (rc == 0)
		rc = signal_want(w, number, &signal_watch);
	pthread_mutex_unlock(&signal_lock);
	return rc;
}

int plait_signal_watch_start(struct plait_reactor *r,
			     struct plait_signal_watch *w, int number,
			     plait_signal_func *fn)
{
	int rc;

	loop_check_given(r, "plait_signal_watch_start()", NULL);
	if (loop_is_forked(r))
		return -ECHILD;
	if (w->reactor != NULL)
		return -EBUSY;
	if (number <= 0 || number >= NSIG || signal_is_of_a_mistake(number))
		return -EINVAL;
	w->reactor = r;
	w->fn = fn;
	w->times = 0;
	rc = signal_is_simulated(r) ? signal_watch_simulated(w, number)
				    : signal_watch_real(w, number);
	if (rc < 0)
		w->reactor = NULL;
	else
		plait_list_append(&r->signals.watches, &w->link);
	return rc;
}

/* The lock is held, unless the reactor is simulated. */
static void signal_watch_end(struct plait_signal_watch *w)
{
	if (!signal_is_simulated(w->reactor))
		signal_want_no_more(w);
	plait_list_remove(&w->link);
	w->reactor = NULL;
}

void plait_signal_watch_stop(struct plait_signal_watch *w)
{
	if (w->reactor == NULL)
		return;
	loop_check(w->reactor, "plait_signal_watch_stop()");
	pthread_mutex_lock(&signal_lock);
	signal_watch_end(w);
	pthread_mutex_unlock(&signal_lock);
}

static struct plait_signal_watch *signal_watch_of(struct plait_list *l)
{
	return plait_container(l, struct plait_signal_watch, link);
}

static OUT_OF_LINE void signal_watch_tell(struct plait_signal_watch *w)
{
	unsigned times = __atomic_exchange_n(&w->times, 0, __ATOMIC_RELAXED);

	if (times != 0)
		w->fn(w, times);
	exception_barrier();
}

/* A callback may stop any watch, and one that it starts is told later. */
void plait_i_signal_tell(struct plait_reactor *r)
{
	struct signals *s = &r->signals;
	struct plait_list *l;

	plait_list_move(&s->untold, &s->watches);
	while ((l = plait_list_first(&s->untold)) != NULL) {
		plait_list_remove(l);
		plait_list_append(&s->watches, l);
		if (loop_is_forked(r))
			continue;
		loop_enter(r);
		signal_watch_tell(signal_watch_of(l));
		loop_leave(r);
	}
}

bool plait_i_signal_arrive(struct plait_reactor *r, int number)
{
	struct plait_list *l;
	bool is_watched = false;

	plait_list_for_each (l, &r->signals.watches) {
		struct plait_signal_watch *w = signal_watch_of(l);

		if (w->number == number)
			is_watched = signal_tell_watch(w);
	}
	return is_watched;
}

static void signal_end_all(struct plait_list *watches)
{
	struct plait_list *l;

	while ((l = plait_list_first(watches)) != NULL)
		signal_watch_end(signal_watch_of(l));
}

/* ---- the end ------------------------------------------------------------- */

void plait_i_signal_done(struct plait_reactor *r)
{
	pthread_mutex_lock(&signal_lock);
	signal_stop_dumping(r);
	signal_end_all(&r->signals.watches);
	signal_end_all(&r->signals.untold);
	pthread_mutex_unlock(&signal_lock);
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
	atomic_store(&signal_handling[0], 0);
	atomic_store(&signal_handling[1], 0);
	for (int i = 1; i < NSIG; i++) {
		if (signal_at(&signal_slots[i].first) == NULL)
			continue;
		signal_drop_all(&signal_slots[i]);
		signal_give_back(i);
	}
	signal_stops = signal_dumps = NULL;
	pthread_mutex_unlock(&signal_lock);
}
