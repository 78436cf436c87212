/*
 * The bottom of the loop: tasks, the frame around callbacks, the members that a
 * shutdown has to end, and which thread may use the reactor.  loop.h says what
 * a turn is and what the three promises are.
 *
 * There are three lists of tasks.  Of the tasks for the next turn, a turn takes
 * a snapshot, and runs a limited number.  The tasks of the other two lists are
 * run until none is left, so they must not queue each other for ever.
 */
#include "lib/chance.h"
#include "lib/exception.h"
#include "reactor/loop/parts.h"

/* If the program begins something new each time it is told of a loss, the end
   of a reactor gives up after so many rounds. */
enum { MAX_REFUSALS = 100, MAX_BEGUN = 1000 };

/* ---- whose it is --------------------------------------------------------- */

void plait_i_loop_check_thread(const struct plait_reactor *r, const char *where)
{
	unsigned thread =
		__atomic_load_n(&r->base.owner.thread, __ATOMIC_RELAXED);

	if (thread == 0 || loop_is_forked(r))
		return;
	plait_die(where, "thread %u uses the reactor that thread %u runs at %s",
		  owner_number(), thread, r->base.owner.where);
}

void plait_i_loop_die_of_null(const char *function, const char *where)
{
	if (where != NULL)
		plait_die(where, "%s was given a NULL reactor", function);
	plait_die(function, "was given a NULL reactor");
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

/* ---- tasks --------------------------------------------------------------- */

static void loop_queue(struct plait_list *tasks, struct loop_task *task)
{
	if (!plait_list_is_linked(&task->link))
		plait_list_append(tasks, &task->link);
}

void plait_i_loop_after_callback(struct plait_reactor *r,
				 struct loop_task *task)
{
	loop_queue(&r->after_callback, task);
}

bool plait_i_loop_has_after_callback(const struct plait_reactor *r)
{
	return !plait_list_is_empty(&r->after_callback);
}

void plait_i_loop_next_turn(struct plait_reactor *r, struct loop_task *task)
{
	loop_queue(&r->next_turn, task);
}

void plait_i_loop_bury(struct plait_reactor *r, struct loop_task *task)
{
	loop_queue(&r->burials, task);
}

void plait_i_loop_when_freed(struct plait_reactor *r, struct loop_task *task)
{
	if (!r->ending)
		loop_queue(&r->when_freed, task);
	else if (plait_i_loop_tells_of_new(r))
		loop_queue(&r->next_turn, task);
}

void plait_i_loop_keep(struct plait_reactor *r, struct loop_task *task)
{
	loop_queue(&r->kept, task);
}

/*
 * Runs all tasks of the list, and those that they add to the same list.  If a
 * callback has forked and returns in the child, the rest belongs to the parent.
 * So everything in this file that calls callbacks in a loop stops in the child.
 */
static OUT_OF_LINE void loop_run_all(struct plait_reactor *r,
				     struct plait_list *tasks)
{
	struct plait_list *l;

	while ((l = plait_list_first(tasks)) != NULL && !loop_is_forked(r)) {
		struct loop_task *task =
			plait_container(l, struct loop_task, link);

		plait_list_remove(l);
		task->run(task);
	}
	exception_barrier();
}

/* For tasks that only free something: runs them in a forked child as well. */
void plait_i_loop_run_each(struct plait_list *tasks)
{
	struct plait_list *l;

	while ((l = plait_list_first(tasks)) != NULL) {
		struct loop_task *task =
			plait_container(l, struct loop_task, link);

		plait_list_remove(l);
		task->run(task);
	}
}

/* Tasks that are left stay before tasks that were queued during the run. */
OUT_OF_LINE void plait_i_loop_run_next_turn(struct plait_reactor *r)
{
	struct plait_list todo, *l;

	plait_list_init(&todo);
	plait_list_move(&todo, &r->next_turn);
	for (int i = 0;
	     i < REACTOR_SHARE && !loop_is_forked(r) &&
	     (l = plait_list_first(&todo)) != NULL && !(i > 0 && MAYBE(0.02));
	     i++) {
		struct loop_task *task =
			plait_container(l, struct loop_task, link);

		plait_list_remove(l);
		r->counts.calls++;
		r->refusals = 0;
		loop_enter(r);
		task->run(task);
		loop_leave(r);
	}
	if (!plait_list_is_empty(&todo))
		REACHED("the next turn goes on with the tasks of this one");
	plait_list_move(&todo, &r->next_turn);
	plait_list_move(&r->next_turn, &todo);
	exception_barrier();
}

void plait_i_loop_run_burials(struct plait_reactor *r)
{
	loop_run_all(r, &r->burials);
}

static void loop_unlink_all(struct plait_list *list)
{
	while (!plait_list_is_empty(list))
		plait_list_remove(list->next);
}

/* In a forked child there may be members that were not lost. */
void plait_i_loop_forget_all(struct plait_reactor *r)
{
	loop_unlink_all(&r->members);
	loop_unlink_all(&r->finishing);
	loop_unlink_all(&r->leaving);
	loop_unlink_all(&r->after_callback);
	loop_unlink_all(&r->next_turn);
	loop_unlink_all(&r->arrivals);
	loop_unlink_all(&r->when_freed);
	loop_unlink_all(&r->burials);
	loop_unlink_all(&r->process_jobs.waiting);
}

/* ---- callbacks ----------------------------------------------------------- */

void plait_i_loop_enter(struct plait_reactor *r)
{
	loop_enter(r);
}

bool plait_i_loop_is_entered(const struct plait_reactor *r)
{
	return r->depth > 0;
}

/* Whoever listens is told of the end twice: before and after the loop does what
   the callback asked for. */
OUT_OF_LINE void plait_i_loop_leave_busy(struct plait_reactor *r)
{
	if (r->depth == 1) {
		trace_note(TRACE_LEAVING, r, NULL, NULL, 0);
		loop_run_all(r, &r->after_callback);
	}
	if (--r->depth > 0)
		return;
	r->now_is_known = false;
	trace_note(TRACE_LEAVE, r, NULL, NULL, 0);
}

void plait_i_loop_leave(struct plait_reactor *r)
{
	loop_leave(r);
}

/* Runs the tasks that callbacks have queued to be run after them. */
void plait_i_loop_run_after_callback(struct plait_reactor *r)
{
	loop_enter(r);
	loop_leave(r);
}

void plait_i_loop_arrive(struct plait_reactor *r, struct loop_task *task)
{
	loop_queue(&r->arrivals, task);
}

void plait_i_loop_run_arrivals(struct plait_reactor *r)
{
	struct plait_list todo, *l;

	plait_list_init(&todo);
	plait_list_move(&todo, &r->arrivals);
	while ((l = plait_list_first(&todo)) != NULL) {
		struct loop_task *task =
			plait_container(l, struct loop_task, link);

		plait_list_remove(l);
		/* In a forked child no more tasks run. */
		if (loop_is_forked(r))
			continue;
		r->counts.events++;
		loop_enter(r);
		task->run(task);
		loop_leave(r);
	}
}

/* ---- the end ------------------------------------------------------------- */

bool plait_i_loop_is_ending(const struct plait_reactor *r)
{
	return r->ending;
}

bool plait_i_loop_is_closing(const struct plait_reactor *r)
{
	return r->shutdown == SHUTDOWN_CLOSING;
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

/* ---- what others may know of it ------------------------------------------ */

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

struct plait_resolver **plait_i_loop_resolver(struct plait_reactor *r)
{
	return &r->resolver;
}

struct file_notifier **plait_i_loop_files(struct plait_reactor *r)
{
	return &r->files;
}

struct plait_pool **plait_i_loop_pool(struct plait_reactor *r)
{
	return &r->threads;
}

struct loop_process_jobs *plait_i_loop_process_jobs(struct plait_reactor *r)
{
	return &r->process_jobs;
}

uint64_t plait_i_loop_turn(const struct plait_reactor *r)
{
	return r->turns;
}
