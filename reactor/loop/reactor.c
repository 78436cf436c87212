/*
 * The reactor: its life, its turns, its shutdown.  loop.h says what a turn is
 * and what the three promises are; the parts have files of their own.
 *
 * Tasks of three kinds wait in three lists.  Those of the next turn are taken
 * as a snapshot, so many at a time.  The others are run until none is left, so
 * they must end.
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base.h"
#include "lib/debug.h"
#include "lib/deferred.h"
#include "lib/fork.h"
#include "reactor/loop/reactor.h"

/* Best first. */
static const struct backend *const backends[] = {
#ifdef HAVE_EPOLL
	&plait_i_backend_epoll,
#endif
	&plait_i_backend_select,
};

_Static_assert(offsetof(struct plait_reactor, base) == 0,
	       "the functions of struct loop_base look there");

enum { N_BACKENDS = sizeof(backends) / sizeof(backends[0]) };

/* What is begun anew whenever it is lost has to come to an end some time. */
enum { MAX_REFUSALS = 100, MAX_BEGUN = 1000 };

static const struct plait_limits default_limits = {
	.max_unsent = 64 << 20,
	.max_unsent_total = 1 << 30,
	.high_water = 65536,
	.low_water = 16384,
	.close_timeout = 30,
	.linger_timeout = 5,
	.linger_bytes = 1 << 20,
	.stop_timeout = 5,
};

/* Once a process; 0 or -errno. */
static int watch_forks(void)
{
	static atomic_bool watching;
	int rc = plait_i_fork_watch();

	if (rc == 0 && !atomic_exchange(&watching, true)) {
		rc = -pthread_atfork(plait_i_signal_before_fork,
				     plait_i_signal_in_parent,
				     plait_i_signal_in_child);
		if (rc < 0)
			atomic_store(&watching, false);
	}
	return rc;
}

bool plait_i_loop_is_shared(const struct plait_reactor *r)
{
	return !loop_is_forked(r) && r->forks_begun != fork_begun_count();
}

void plait_i_loop_close(const struct plait_reactor *r, int fd)
{
	if (plait_i_loop_is_shared(r))
		kernel_shutdown(loop_kernel(r), fd, SHUT_RDWR);
	kernel_close(loop_kernel(r), fd);
}

/* Tasks. */

static void queue(struct plait_list *tasks, struct loop_task *task)
{
	if (!plait_list_is_linked(&task->link))
		plait_list_append(tasks, &task->link);
}

void plait_i_loop_after_callback(struct plait_reactor *r,
				 struct loop_task *task)
{
	queue(&r->after_callback, task);
}

void plait_i_loop_next_turn(struct plait_reactor *r, struct loop_task *task)
{
	queue(&r->next_turn, task);
}

void plait_i_loop_bury(struct plait_reactor *r, struct loop_task *task)
{
	queue(&r->burials, task);
}

void plait_i_loop_when_freed(struct plait_reactor *r, struct loop_task *task)
{
	if (!r->ending)
		queue(&r->when_freed, task);
	else if (plait_i_loop_tells_of_new(r))
		queue(&r->next_turn, task);
}

bool plait_i_loop_is_ending(const struct plait_reactor *r)
{
	return r->ending;
}

bool plait_i_loop_refuses(struct plait_reactor *r)
{
	return r->ending && r->refusals++ < MAX_REFUSALS;
}

bool plait_i_loop_tells_of_new(struct plait_reactor *r)
{
	if (r->last_begun != r->rounds)
		r->begun++;
	r->last_begun = r->rounds;
	return r->begun <= MAX_BEGUN;
}

void plait_i_loop_keep(struct plait_reactor *r, struct loop_task *task)
{
	queue(&r->kept, task);
}

static void unlink_all(struct plait_list *list)
{
	while (!plait_list_is_empty(list))
		plait_list_remove(list->next);
}

/*
 * Runs them all, and those that they queue in the same list.  What is left is
 * the parent's when a callback has forked, and the child returns from it: that
 * holds for everything here that calls back more than once.
 */
static void run_all(struct plait_reactor *r, struct plait_list *tasks)
{
	struct plait_list *l;

	while ((l = plait_list_first(tasks)) != NULL && !loop_is_forked(r)) {
		struct loop_task *task =
			plait_container(l, struct loop_task, link);

		plait_list_remove(l);
		task->run(task);
	}
}

/* In a forked child as well: of those that only give something back. */
static void run_each(struct plait_list *tasks)
{
	struct plait_list *l;

	while ((l = plait_list_first(tasks)) != NULL) {
		struct loop_task *task =
			plait_container(l, struct loop_task, link);

		plait_list_remove(l);
		task->run(task);
	}
}

/* Those that are left stay before those that are queued meanwhile. */
static void run_next_turn(struct plait_reactor *r)
{
	struct plait_list todo, *l;

	plait_list_init(&todo);
	plait_list_move(&todo, &r->next_turn);
	for (int i = 0; i < REACTOR_SHARE && !loop_is_forked(r) &&
			(l = plait_list_first(&todo)) != NULL;
	     i++) {
		struct loop_task *task =
			plait_container(l, struct loop_task, link);

		plait_list_remove(l);
		r->done.calls++;
		r->refusals = 0;
		plait_i_loop_enter(r);
		task->run(task);
		plait_i_loop_leave(r);
	}
	plait_list_move(&todo, &r->next_turn);
	plait_list_move(&r->next_turn, &todo);
}

void plait_i_loop_enter(struct plait_reactor *r)
{
	if (r->depth++ > 0)
		return;
	r->now_is_known = false;
	trace_note(TRACE_ENTER, r, NULL, NULL, 0);
}

void plait_i_loop_leave(struct plait_reactor *r)
{
	if (r->depth == 1)
		run_all(r, &r->after_callback);
	if (--r->depth > 0)
		return;
	r->now_is_known = false;
	trace_note(TRACE_LEAVE, r, NULL, NULL, 0);
}

void plait_i_loop_woke(struct plait_reactor *r)
{
	r->now_is_known = false;
	if (r->backend->is_virtual)
		plait_i_deferred_set_time(r->virtual_now);
	else
		plait_i_deferred_set_clock(plait_i_linux_clock);
}

void plait_i_loop_join(struct plait_reactor *r, struct loop_member *m)
{
	plait_list_append(&r->members, &m->link);
}

struct plait_list *plait_i_loop_members(struct plait_reactor *r)
{
	return &r->members;
}

struct plait_list *plait_i_loop_finishing(struct plait_reactor *r)
{
	return &r->finishing;
}

struct loop_untold *plait_i_loop_untold(struct plait_reactor *r)
{
	return &r->untold;
}

void plait_i_loop_set_network(struct plait_reactor *r,
			      const struct network_ops *network)
{
	r->network = network;
}

const struct network_ops *plait_i_loop_network(const struct plait_reactor *r)
{
	return r->network;
}

uint64_t plait_i_loop_next_number(struct plait_reactor *r)
{
	return ++r->numbers;
}

uint64_t plait_i_loop_turn(const struct plait_reactor *r)
{
	return r->turns;
}

/* Life. */

static const char backend_variable[] = "PLAIT_REACTOR";

static const struct backend *find_backend(const char *name)
{
	if (name == NULL)
		name = getenv(backend_variable);
	if (name == NULL || *name == '\0')
		return backends[0];
	for (int i = 0; i < N_BACKENDS; i++) {
		if (strcmp(backends[i]->name, name) == 0)
			return backends[i];
	}
	return NULL;
}

const char *plait_reactor_backend(size_t i)
{
	return i < N_BACKENDS ? backends[i]->name : NULL;
}

const char *plait_reactor_name(const struct plait_reactor *r)
{
	return r->backend->name;
}

bool plait_i_loop_unknown_backend(char *why, size_t size)
{
	if (find_backend(NULL) != NULL)
		return false;
	snprintf(why, size, "no backend \"%.64s\" (%s)",
		 getenv(backend_variable), backend_variable);
	return true;
}

/* The program knows the name that it gave itself. */
static void say_unknown_backend(void)
{
	char why[LOOP_UNKNOWN_BACKEND], line[LOOP_UNKNOWN_BACKEND + 16];
	int len;

	if (!plait_i_loop_unknown_backend(why, sizeof(why)))
		return;
	len = snprintf(line, sizeof(line), "plait: %s\n", why);
	plait_i_base_say(line, (size_t)len);
}

struct plait_reactor *plait_reactor_new(const char *name)
{
	const struct backend *backend = find_backend(name);

	if (backend == NULL) {
		if (name == NULL)
			say_unknown_backend();
		errno = EINVAL;
		return NULL;
	}
	return plait_i_loop_new(backend);
}

static void init(struct plait_reactor *r, const struct backend *backend)
{
	r->base.kernel.calls = &plait_i_linux_calls;
	r->backend = backend;
	r->base.owner.forks = fork_count();
	r->forks_begun = fork_begun_count();
	plait_i_signal_init(r);
	r->limits = default_limits;
	plait_list_init(&r->after_callback);
	plait_list_init(&r->next_turn);
	plait_list_init(&r->arrivals);
	plait_list_init(&r->burials);
	plait_list_init(&r->members);
	plait_list_init(&r->finishing);
	plait_list_init(&r->leaving);
	plait_list_init(&r->when_freed);
	plait_list_init(&r->kept);
	plait_list_init(&r->untold.list);
	r->untold.reactor = r;
	plait_i_watch_init(r);
	plait_i_trigger_init(r);
	plait_i_pool_init(r);
	plait_i_loop_unsent(r)->max = r->limits.max_unsent_total;
}

/*
 * How many reactors there are that this thread has made.  A deferred that has
 * fired may be kept for another of them, with good reason.
 */
static _Thread_local unsigned reactors;

static void count_reactor(struct plait_reactor *r)
{
	reactors++;
	r->counted_in = &reactors;
}

/* True if it was the last of this thread, or another thread's. */
static bool uncount_reactor(const struct plait_reactor *r)
{
	if (r->counted_in == &reactors && reactors > 0)
		reactors--;
	return reactors == 0;
}

struct plait_reactor *plait_i_loop_new(const struct backend *backend)
{
	struct plait_reactor *r;
	int rc = watch_forks();

	if (rc < 0)
		goto err;
	r = calloc(1, sizeof(*r));
	if (r == NULL) {
		rc = -ENOMEM;
		goto err;
	}
	init(r, backend);
	rc = backend->init(r);
	if (rc < 0)
		goto err_free;
	rc = plait_i_thread_init(r);
	if (rc < 0)
		goto err_backend;
	plait_i_loop_woke(r);
	plait_i_loop_trace_start(r);
	count_reactor(r);
	return r;

err_backend:
	backend->done(r);
	plait_i_watch_done(r);
err_free:
	free(r);
err:
	errno = -rc;
	return NULL;
}

static bool has_tasks(const struct plait_reactor *r)
{
	return !plait_list_is_empty(&r->after_callback) ||
	       !plait_list_is_empty(&r->next_turn) ||
	       !plait_list_is_empty(&r->burials);
}

static void bury(struct plait_reactor *r)
{
	if (!plait_list_is_empty(&r->burials))
		run_all(r, &r->burials);
}

static void lose_member(struct plait_reactor *r, struct loop_member *m)
{
	plait_list_remove(&m->link);
	if (r->waits && m->ops->is_closing != NULL && m->ops->is_closing(m)) {
		plait_list_append(&r->finishing, &m->link);
	} else {
		plait_list_append(&r->leaving, &m->link);
		m->ops->lose(m);
	}
}

static void lose_members(struct plait_reactor *r)
{
	struct plait_list *l;

	/* Losing one sends what is left, which a forked child must not. */
	while (!loop_is_forked(r) &&
	       (l = plait_list_first(&r->members)) != NULL)
		lose_member(r, plait_container(l, struct loop_member, link));
}

/* From here on those that close are lost like all others. */
static void wait_no_longer(struct plait_reactor *r)
{
	r->waits = false;
	plait_timer_stop(&r->time_to_finish);
	plait_list_move(&r->members, &r->finishing);
}

/* Runs what the callbacks before it left to be done after them. */
static void run_after_callback(struct plait_reactor *r)
{
	if (plait_list_is_empty(&r->after_callback))
		return;
	plait_i_loop_enter(r);
	plait_i_loop_leave(r);
}

/*
 * What is lost may tell the user, who may begin something new; that is told in
 * the next round.
 */
static void lose_everything(struct plait_reactor *r)
{
	while (!loop_is_forked(r) &&
	       (has_tasks(r) || !plait_list_is_empty(&r->members))) {
		r->rounds++;
		lose_members(r);
		run_after_callback(r);
		run_next_turn(r);
		bury(r);
	}
}

bool plait_i_loop_is_closing(const struct plait_reactor *r)
{
	return r->shutdown == SHUTDOWN_CLOSING;
}

/* Also in a callback of a call that was made outside of all turns. */
static bool is_busy(const struct plait_reactor *r)
{
	return r->in_turn || r->depth > 0;
}

/* A turn begins, or what else calls back. */
static void return_to_here(struct plait_reactor *r, const char *where)
{
	r->in_turn = true;
	r->runner = pthread_self();
	r->base.owner.where = where;
	__atomic_store_n(&r->base.owner.thread, owner_number(),
			 __ATOMIC_RELAXED);
}

static void set_runner_free(struct plait_reactor *r)
{
	__atomic_store_n(&r->base.owner.thread, 0, __ATOMIC_RELAXED);
}

void plait_i_loop_check_thread(const struct plait_reactor *r, const char *where)
{
	unsigned thread =
		__atomic_load_n(&r->base.owner.thread, __ATOMIC_RELAXED);

	if (thread == 0 || loop_is_forked(r))
		return;
	plait_die(where, "thread %u uses the reactor that thread %u runs at %s",
		  owner_number(), thread, r->base.owner.where);
}

/* Everything that calls the user for the last time. */
static void end(struct plait_reactor *r, bool is_last)
{
	loop_check(r, "plait_reactor_free()");
	plait_assert(!is_busy(r));
	return_to_here(r, "plait_reactor_free()");
	r->ending = true;
	r->begun = 0;
	r->shutdown = SHUTDOWN_CLOSING;
	wait_no_longer(r);
	plait_i_trigger_stop_waiting(r);
	plait_list_move(&r->next_turn, &r->when_freed);
	lose_everything(r);
	if (!loop_is_forked(r))
		plait_i_deferred_report(is_last);
	/* What the hook for failures has begun. */
	lose_everything(r);
	r->in_turn = false;
	set_runner_free(r);
}

/* In a forked child there may be some that were not lost. */
static void forget_all(struct plait_reactor *r)
{
	unlink_all(&r->members);
	unlink_all(&r->finishing);
	unlink_all(&r->leaving);
	unlink_all(&r->after_callback);
	unlink_all(&r->next_turn);
	unlink_all(&r->arrivals);
	unlink_all(&r->when_freed);
	unlink_all(&r->burials);
}

/* Nothing reaches it from outside any more, and no descriptor is left. */
static void detach(struct plait_reactor *r)
{
	plait_i_signal_done(r);
	plait_i_timer_done(r);
	plait_i_thread_done(r);
	plait_i_watch_done(r);
	r->backend->done(r);
}

static void release(struct plait_reactor *r)
{
	forget_all(r);
	plait_i_trigger_done(r);
	plait_i_call_done(r);
	run_each(&r->kept);
	plait_i_pool_done(r);
	free(r);
}

static void abandon_members(struct plait_list *members)
{
	struct plait_list *l;

	while ((l = plait_list_first(members)) != NULL) {
		struct loop_member *m =
			plait_container(l, struct loop_member, link);

		plait_list_remove(l);
		m->ops->abandon(m);
	}
}

/*
 * In a forked child: gives the descriptors back, which would keep peers
 * waiting, and tells nobody.  Frees nothing that a caller of the callback that
 * the child may be in could look at.
 */
static void abandon(struct plait_reactor *r)
{
	if (r->abandoned)
		return;
	r->abandoned = true;
	wait_no_longer(r);
	abandon_members(&r->members);
	abandon_members(&r->leaving);
	run_each(&r->when_freed);
	detach(r);
}

static void release_in_child(struct plait_reactor *r)
{
	run_each(&r->burials);
	release(r);
}

/* A turn that another thread was in is in the parent only. */
static bool will_return_to(const struct plait_reactor *r)
{
	return r->in_turn ? pthread_equal(r->runner, pthread_self())
			  : r->depth > 0;
}

static void free_in_child(struct plait_reactor *r)
{
	abandon(r);
	if (will_return_to(r))
		r->unwanted = true;
	else
		release_in_child(r);
}

void plait_reactor_free(struct plait_reactor **rp)
{
	struct plait_reactor *r = *rp;
	unsigned number;
	bool last;

	/* From inside a callback that is told of the end it does nothing. */
	if (r == NULL || (r->ending && !loop_is_forked(r))) {
		*rp = NULL;
		return;
	}
	number = r->trace_number;
	/* What only fires from here on nobody can have freed before. */
	last = uncount_reactor(r);
	plait_i_deferred_note_kept();
	if (!loop_is_forked(r))
		end(r, last);
	*rp = NULL;
	/* A callback of the end may have forked. */
	if (loop_is_forked(r)) {
		free_in_child(r);
		plait_i_base_say_lost();
		plait_i_loop_trace_end(number, true);
		return;
	}
	detach(r);
	release(r);
	plait_i_base_say_lost();
	plait_i_loop_trace_end(number, false);
}

const struct plait_limits *plait_i_loop_limits(const struct plait_reactor *r)
{
	return &r->limits;
}

static void set_size(size_t *limit, size_t size, size_t if_zero)
{
	*limit = size != 0 ? size : if_zero;
}

static void set_seconds(double *limit, double seconds, double if_zero)
{
	plait_assert(seconds >= 0);
	*limit = seconds > 0 ? seconds : if_zero;
}

void plait_reactor_set_limits(struct plait_reactor *r,
			      const struct plait_limits *l)
{
	const struct plait_limits *d = &default_limits;

	loop_check(r, "plait_reactor_set_limits()");
	set_size(&r->limits.max_unsent, l->max_unsent, d->max_unsent);
	set_size(&r->limits.max_unsent_total, l->max_unsent_total,
		 d->max_unsent_total);
	set_size(&r->limits.high_water, l->high_water, d->high_water);
	set_size(&r->limits.low_water, l->low_water, d->low_water);
	set_size(&r->limits.linger_bytes, l->linger_bytes, d->linger_bytes);
	plait_i_loop_unsent(r)->max = r->limits.max_unsent_total;
	set_seconds(&r->limits.close_timeout, l->close_timeout,
		    d->close_timeout);
	set_seconds(&r->limits.linger_timeout, l->linger_timeout,
		    d->linger_timeout);
	set_seconds(&r->limits.stop_timeout, l->stop_timeout, d->stop_timeout);
}

/* Turns. */

/*
 * A run can be stopped before it counts as running, as something of the startup
 * may fail; and so can a turn of plait_reactor_iterate() in a program that
 * never runs.
 */
static bool can_stop(const struct plait_reactor *r)
{
	return r->shutdown == SHUTDOWN_NONE && r->in_turn;
}

int plait_reactor_stop(struct plait_reactor *r)
{
	loop_check(r, "plait_reactor_stop()");
	if (loop_is_forked(r))
		return -ECHILD;
	if (!can_stop(r))
		return -EALREADY;
	r->shutdown = SHUTDOWN_ASKED;
	return 0;
}

int plait_reactor_stop_now(struct plait_reactor *r)
{
	bool is_stopping = r->shutdown == SHUTDOWN_ASKED ||
			   r->shutdown == SHUTDOWN_WAITING ||
			   (r->shutdown == SHUTDOWN_CLOSING && r->waits);

	loop_check(r, "plait_reactor_stop_now()");
	if (loop_is_forked(r))
		return -ECHILD;
	if (r->hurried || (!is_stopping && plait_reactor_stop(r) < 0))
		return -EALREADY;
	r->hurried = true;
	return 0;
}

bool plait_reactor_is_running(const struct plait_reactor *r)
{
	return r->running && !loop_is_forked(r);
}

static void time_is_up(void *arg)
{
	wait_no_longer(arg);
}

/*
 * Loses what is there, but for the connections that close: what was promised
 * to them is kept, if the peer takes it in time.
 */
static void begin_closing(struct plait_reactor *r)
{
	r->shutdown = SHUTDOWN_CLOSING;
	r->running = false;
	r->waits = !r->hurried;
	r->begun = 0;
	lose_members(r);
	if (!plait_list_is_empty(&r->finishing))
		plait_timer_start(r, &r->time_to_finish, r->limits.stop_timeout,
				  time_is_up, r);
}

static void end_closing(struct plait_reactor *r)
{
	wait_no_longer(r);
	lose_everything(r);
	plait_i_trigger_fire(r, PLAIT_SHUTDOWN, PLAIT_DURING);
	plait_i_trigger_fire(r, PLAIT_SHUTDOWN, PLAIT_AFTER);
	lose_everything(r);
	r->shutdown = SHUTDOWN_DONE;
	r->hurried = false;
}

/* plait_reactor_stop_now(): nobody is waited for. */
static void hurry(struct plait_reactor *r)
{
	plait_i_loop_enter(r);
	plait_i_trigger_stop_waiting(r);
	plait_i_loop_leave(r);
	wait_no_longer(r);
}

/* As far as it goes in this turn. */
static OUT_OF_LINE void shut_down(struct plait_reactor *r)
{
	if (r->shutdown == SHUTDOWN_ASKED) {
		r->shutdown = SHUTDOWN_WAITING;
		plait_i_trigger_fire(r, PLAIT_SHUTDOWN, PLAIT_BEFORE);
	}
	if (r->hurried)
		hurry(r);
	if (r->shutdown == SHUTDOWN_WAITING && r->triggers.waiting == 0)
		begin_closing(r);
	if (r->shutdown == SHUTDOWN_CLOSING) {
		r->rounds++;
		lose_members(r);
		if (plait_list_is_empty(&r->finishing))
			end_closing(r);
	}
}

static OUT_OF_LINE bool must_shut_down(const struct plait_reactor *r)
{
	switch (r->shutdown) {
	case SHUTDOWN_ASKED:
		return true;
	case SHUTDOWN_WAITING:
		return r->triggers.waiting == 0 || r->hurried;
	case SHUTDOWN_CLOSING:
		return plait_list_is_empty(&r->finishing) ||
		       !plait_list_is_empty(&r->members) || r->hurried;
	default:
		return false;
	}
}

/* Something to do now, whatever the time is. */
static bool has_work_at_hand(const struct plait_reactor *r)
{
	return has_tasks(r) || !plait_list_is_empty(&r->arrivals) ||
	       thread_has_work(r) || watch_has_work(r) ||
	       (r->shutdown != SHUTDOWN_NONE && must_shut_down(r));
}

bool plait_i_loop_has_work(const struct plait_reactor *r)
{
	int64_t when;

	return has_work_at_hand(r) ||
	       (plait_i_timer_next(r, &when) && when <= plait_i_loop_now(r));
}

/* How long the wait of this turn may be; negative: for ever. */
static int64_t waiting_time(struct plait_reactor *r, int64_t limit)
{
	int64_t when, now, left;

	if (has_work_at_hand(r))
		return 0;
	if (!plait_i_timer_next(r, &when))
		return limit;
	now = plait_i_loop_now(r);
	left = when > now ? when - now : 0;
	return limit >= 0 && limit < left ? limit : left;
}

static OUT_OF_LINE void heed_signals(struct plait_reactor *r)
{
	if (plait_i_signal_take_arrived(r))
		plait_reactor_stop(r);
	if (plait_i_signal_take_insisted(r))
		plait_reactor_stop_now(r);
	if (plait_i_signal_take_dump(r))
		plait_i_report_pending();
}

static void run_due(struct plait_reactor *r)
{
	r->now_is_known = false;
	plait_i_timer_hold(r);
	run_after_callback(r);
	if (thread_has_work(r))
		plait_i_thread_run(r);
	if (!plait_list_is_empty(&r->next_turn))
		run_next_turn(r);
	plait_i_timer_run_due(r);
	if (signal_has_come(r) && !loop_is_forked(r))
		heed_signals(r);
}

/* 0, or -errno if the backend cannot wait. */
static int turn(struct plait_reactor *r, int64_t limit)
{
	int rc = 0;

	r->turns++;
	r->done = (struct done){ 0 };
	run_due(r);
	if (r->shutdown != SHUTDOWN_NONE && !loop_is_forked(r))
		shut_down(r);
	/* Nothing refers to the dead yet, so they need not wait with us. */
	bury(r);
	if (r->shutdown != SHUTDOWN_DONE && !loop_is_forked(r))
		rc = plait_i_watch_poll(r, waiting_time(r, limit));
	bury(r);
	if (loop_is_forked(r))
		return -ECHILD;
	if (debug_is_on(DEBUG_TURNS))
		plait_i_report_turn(r);
	return rc;
}

/* The last step of a run or a turn: in a child, what was freed inside goes. */
static int return_from(struct plait_reactor *r, int rc)
{
	r->in_turn = r->in_run = false;
	set_runner_free(r);
	if (r->unwanted)
		release_in_child(r);
	return rc;
}

int plait_reactor_iterate_at(struct plait_reactor *r, double seconds,
			     const char *where)
{
	int64_t limit = plait_i_loop_nanoseconds(seconds);
	int rc;

	loop_check(r, where);
	if (loop_is_forked(r))
		return -ECHILD;
	if (is_busy(r))
		return -EBUSY;
	return_to_here(r, where);
	rc = turn(r, limit);
	if (r->shutdown == SHUTDOWN_DONE)
		r->shutdown = SHUTDOWN_NONE;
	return return_from(r, rc);
}

static void start_up(struct plait_reactor *r)
{
	plait_i_trigger_fire(r, PLAIT_STARTUP, PLAIT_BEFORE);
	r->running = true;
	plait_i_trigger_fire(r, PLAIT_STARTUP, PLAIT_DURING);
	plait_i_trigger_fire(r, PLAIT_STARTUP, PLAIT_AFTER);
	plait_i_trigger_fire_when_running(r);
}

static int run(struct plait_reactor *r)
{
	int rc = 0;

	start_up(r);
	while (rc == 0 && r->shutdown != SHUTDOWN_DONE && !loop_is_forked(r))
		rc = turn(r, -1);
	/* Of a run that could not go on, nothing is left but what it made. */
	r->running = r->hurried = false;
	if (loop_is_forked(r))
		return -ECHILD;
	plait_i_trigger_stop_waiting(r);
	wait_no_longer(r);
	r->shutdown = SHUTDOWN_NONE;
	return rc;
}

int plait_reactor_run_at(struct plait_reactor *r, const char *where)
{
	int rc;

	loop_check(r, where);
	if (loop_is_forked(r))
		return -ECHILD;
	if (is_busy(r))
		return -EBUSY;
	rc = plait_i_signal_take(r);
	if (rc < 0)
		return rc;
	return_to_here(r, where);
	r->in_run = true;
	rc = run(r);
	plait_i_signal_release(r);
	return return_from(r, rc);
}
