/*
 * The shutdown.  It may take several turns.
 *
 * In SHUTDOWN_ASKED the triggers PLAIT_TRIGGER_BEFORE are called.  In
 * SHUTDOWN_WAITING the deferreds that they have returned are waited for.  In
 * SHUTDOWN_CLOSING the members are lost; members that are closing already move
 * to the list finishing, and have stop_timeout.  When that list is empty, the
 * triggers PLAIT_TRIGGER_DURING and PLAIT_TRIGGER_AFTER are called, and the
 * shutdown is over.  plait_reactor_free() loses all members, too, without a
 * turn.
 */
#include <errno.h>

#include "lib/base.h"
#include "lib/chance.h"
#include "reactor/loop/parts.h"

static void shutdown_lose(struct plait_reactor *r, struct loop_member *m)
{
	plait_list_remove(&m->link);
	if (r->waits && m->ops->is_closing != NULL && m->ops->is_closing(m)) {
		plait_list_append(&r->finishing, &m->link);
	} else {
		plait_list_append(&r->leaving, &m->link);
		m->ops->lose(m);
	}
}

static void shutdown_lose_members(struct plait_reactor *r)
{
	struct plait_list *l;

	/* To lose a member sends its output, which a forked child must not. */
	while (!loop_is_forked(r) &&
	       (l = plait_list_first(&r->members)) != NULL)
		shutdown_lose(r, plait_container(l, struct loop_member, link));
}

/* From here on members that are closing are lost like all others. */
void plait_i_shutdown_wait_no_longer(struct plait_reactor *r)
{
	r->waits = false;
	plait_timer_stop(&r->time_to_finish);
	plait_list_move(&r->members, &r->finishing);
}

/*
 * When a member is lost the user is told, and may begin something new; that is
 * lost in the next round.
 */
void plait_i_shutdown_lose_everything(struct plait_reactor *r)
{
	while (!loop_is_forked(r) &&
	       (loop_has_tasks(r) || !plait_list_is_empty(&r->members))) {
		r->rounds++;
		shutdown_lose_members(r);
		loop_run_after_callback(r);
		plait_i_loop_run_next_turn(r);
		loop_run_burials(r);
	}
}

void plait_i_shutdown_abandon(struct plait_list *members)
{
	struct plait_list *l;

	while ((l = plait_list_first(members)) != NULL) {
		struct loop_member *m =
			plait_container(l, struct loop_member, link);

		plait_list_remove(l);
		m->ops->abandon(m);
	}
}

/* ---- asking for it ------------------------------------------------------- */

/*
 * A run can be stopped before it counts as running, because something may fail
 * in the startup.  A turn of plait_reactor_iterate() can be stopped in a
 * program that never runs the reactor.
 */
static bool shutdown_can_begin(const struct plait_reactor *r)
{
	return r->shutdown == SHUTDOWN_NONE && (r->in_turn || r->in_steps);
}

int plait_reactor_stop(struct plait_reactor *r)
{
	loop_check_given(r, "plait_reactor_stop()", NULL);
	if (loop_is_forked(r))
		return -ECHILD;
	if (!shutdown_can_begin(r))
		return -EALREADY;
	r->shutdown = SHUTDOWN_ASKED;
	return 0;
}

int plait_reactor_stop_now(struct plait_reactor *r)
{
	bool is_stopping;

	loop_check_given(r, "plait_reactor_stop_now()", NULL);
	is_stopping = r->shutdown == SHUTDOWN_ASKED ||
		      r->shutdown == SHUTDOWN_WAITING ||
		      (r->shutdown == SHUTDOWN_CLOSING && r->waits);
	if (loop_is_forked(r))
		return -ECHILD;
	if (r->hurried || (!is_stopping && plait_reactor_stop(r) < 0))
		return -EALREADY;
	r->hurried = true;
	return 0;
}

/* ---- going on with it ---------------------------------------------------- */

static void shutdown_out_of_time(void *arg)
{
	REACHED("a shutdown waits no longer for what is closing");
	plait_i_shutdown_wait_no_longer(arg);
}

/*
 * Loses all members except connections that are closing: they may still send
 * their output, if the peer takes it in time.
 */
static void shutdown_begin_closing(struct plait_reactor *r)
{
	r->shutdown = SHUTDOWN_CLOSING;
	r->running = false;
	r->waits = !r->hurried;
	r->begun = 0;
	shutdown_lose_members(r);
	if (!plait_list_is_empty(&r->finishing))
		REACHED("a shutdown waits for what is closing");
	if (!plait_list_is_empty(&r->finishing))
		plait_timer_start(r, &r->time_to_finish,
				  r->base.limits.stop_timeout,
				  shutdown_out_of_time, r);
}

static void shutdown_end_closing(struct plait_reactor *r)
{
	plait_i_shutdown_wait_no_longer(r);
	plait_i_shutdown_lose_everything(r);
	plait_i_trigger_fire(r, PLAIT_TRIGGER_SHUTDOWN, PLAIT_TRIGGER_DURING);
	plait_i_trigger_fire(r, PLAIT_TRIGGER_SHUTDOWN, PLAIT_TRIGGER_AFTER);
	plait_i_shutdown_lose_everything(r);
	r->shutdown = SHUTDOWN_DONE;
	r->hurried = false;
}

/* After plait_reactor_stop_now() the shutdown waits for nobody. */
static void shutdown_hurry(struct plait_reactor *r)
{
	plait_i_loop_enter(r);
	plait_i_trigger_stop_waiting(r);
	plait_i_loop_leave(r);
	plait_i_shutdown_wait_no_longer(r);
}

/* Does as much of the shutdown as can be done in this turn. */
OUT_OF_LINE void plait_i_shutdown_go_on(struct plait_reactor *r)
{
	if (r->shutdown == SHUTDOWN_ASKED) {
		r->shutdown = SHUTDOWN_WAITING;
		plait_i_trigger_fire(r, PLAIT_TRIGGER_SHUTDOWN,
				     PLAIT_TRIGGER_BEFORE);
	}
	if (r->hurried)
		shutdown_hurry(r);
	if (r->shutdown == SHUTDOWN_WAITING && r->triggers.waiting == 0)
		shutdown_begin_closing(r);
	if (r->shutdown == SHUTDOWN_CLOSING) {
		r->rounds++;
		shutdown_lose_members(r);
		if (plait_list_is_empty(&r->finishing))
			shutdown_end_closing(r);
	}
}

OUT_OF_LINE bool plait_i_shutdown_is_due(const struct plait_reactor *r)
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
