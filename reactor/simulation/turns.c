/*
 * The world: time, and whose turn it is.
 *
 * Of all that can happen at this moment, turns of reactors and the next of the
 * future, chance picks one; it happens, and everybody is looked at again.  If
 * nothing can happen now, time jumps to the first moment at which something
 * can.  A reactor that is in a turn already, because its program runs it, is
 * left alone: so that the world can go on inside its wait.
 */
#include <errno.h>

#include "reactor/simulation/world.h"

enum { MAX_TURNS_OF_A_MOMENT = 200000 };

enum { PATIENCE = 60 }; /* seconds to stop in */

int64_t plait_i_world_after(const struct plait_simulation *s, double seconds)
{
	int64_t when;

	return __builtin_add_overflow(s->now, plait_i_clock_delay(seconds),
				      &when)
		       ? INT64_MAX - 1
		       : when;
}

/* ---- turns of the world -------------------------------------------------- */

/* What can happen now.  If nothing can, next is the first time at which
   something can. */
struct world_choice {
	struct host_kernel *kernel;
	struct future_event *event;
	size_t n; /* among how many this was drawn */
	int64_t next;
};

/* Returns true if the one that is due then is to be the choice. */
static bool world_draw(struct plait_simulation *s, struct world_choice *c,
		       int64_t due)
{
	if (due > s->now) {
		c->next = due < c->next ? due : c->next;
		return false;
	}
	c->n++;
	return c->n == 1 || plait_i_random_below(&s->chance, c->n) == 0;
}

static void world_draw_host(struct plait_host *h, struct world_choice *c)
{
	struct plait_list *l;

	plait_list_for_each (l, &h->kernels) {
		struct host_kernel *k =
			plait_container(l, struct host_kernel, link);

		if (world_draw(h->simulation, c, plait_i_host_kernel_due(k)))
			c->kernel = k;
	}
}

static struct world_choice world_choose(struct plait_simulation *s)
{
	struct world_choice c = { .next = INT64_MAX };
	struct future_event *e = plait_i_future_next(&s->future);
	struct plait_list *l;

	plait_list_for_each (l, &s->hosts)
		world_draw_host(plait_container(l, struct plait_host, link),
				&c);
	if (e != NULL && world_draw(s, &c, e->when))
		c.event = e;
	return c;
}

static void world_turn(struct plait_simulation *s, const struct world_choice *c)
{
	s->turns++;
	if (c->event != NULL) {
		plait_i_future_cancel(&s->future, c->event);
		c->event->happen(c->event);
	} else {
		plait_i_host_kernel_turn(c->kernel);
	}
}

/* So that programs can begin, what the seed has drawn is not refused before. */
static void world_begin_faults(struct plait_simulation *s)
{
	struct plait_list *l;

	s->faults_are_to_begin = false;
	s->faults = s->options.faults;
	plait_list_for_each (l, &s->hosts) {
		struct plait_host *h =
			plait_container(l, struct plait_host, link);

		if (!h->has_own_faults)
			h->faults = s->faults;
	}
}

static void world_jump(struct plait_simulation *s, int64_t when)
{
	if (s->faults_are_to_begin && when > s->now)
		world_begin_faults(s);
	s->now = when;
}

/*
 * Does what comes next and returns true.  If nothing comes until that time, it
 * returns false, and sets *ret to an error of plait_simulation_run(), or 0.
 */
static bool world_goes_on(struct plait_simulation *s, int64_t until,
			  unsigned *turns, int *ret)
{
	struct world_choice c = world_choose(s);

	if (c.n > 0 && ++*turns <= MAX_TURNS_OF_A_MOMENT) {
		world_turn(s, &c);
		return true;
	}
	if (c.n == 0 && c.next <= until && c.next != INT64_MAX) {
		world_jump(s, c.next);
		*turns = 0;
		return true;
	}
	*ret = c.n > 0 ? -ELOOP : c.next == INT64_MAX ? -EDEADLK : 0;
	return false;
}

/* Does what is overdue, and returns true if the world may go on. */
static bool world_may_go_on(struct plait_simulation *s)
{
	if (s->doomed > 0)
		plait_i_hosts_settle(s);
	return !s->failed;
}

/*
 * Returns true if k need not wait any longer; else *until is the time until
 * which it waits, if that is sooner.
 */
static bool world_is_awaited_by(struct host_kernel *k, int64_t *until)
{
	int64_t due = plait_i_reactor_due(k->reactor);

	if (k->dead || k->host->fate != 0 || due <= k->host->simulation->now ||
	    plait_i_host_kernel_is_ready(k))
		return true;
	*until = due < *until ? due : *until;
	return false;
}

/* The marks of this thread are this simulation's now; gives whose they were.
 */
static struct chance_hook *world_enter(struct plait_simulation *s)
{
	struct chance_hook *before = plait_i_chance_hook;

	plait_i_chance_hook = &s->hook;
	return before;
}

/* Until k need not wait any longer, or for no longer than it wants to, which is
   no deadlock. */
static int world_wait(struct plait_simulation *s, struct host_kernel *k,
		      int64_t until)
{
	unsigned turns = 0;
	int rc = 0;

	do {
		if (world_is_awaited_by(k, &until))
			return 0;
	} while (world_may_go_on(s) && world_goes_on(s, until, &turns, &rc));
	if (s->failed)
		return -EIO;
	if (rc == -ELOOP || until == INT64_MAX)
		return rc;
	world_jump(s, until);
	return 0;
}

int plait_i_world_drive(struct plait_simulation *s, struct host_kernel *k,
			int64_t until)
{
	struct chance_hook *before = world_enter(s);
	int rc = world_wait(s, k, until < 0 ? INT64_MAX : until);

	plait_i_chance_hook = before;
	return rc;
}

/* At most until that time, and while *left is not 0. */
static int world_run(struct plait_simulation *s, int64_t until,
		     const unsigned *left)
{
	struct chance_hook *before;
	unsigned turns = 0;
	int rc = 0;

	if (s->driving)
		return -EBUSY;
	before = world_enter(s);
	s->driving = true;
	while (world_may_go_on(s) && *left != 0 &&
	       world_goes_on(s, until, &turns, &rc))
		;
	s->driving = false;
	plait_i_chance_hook = before;
	if (rc == 0 && !s->failed && *left != 0)
		world_jump(s, until);
	return s->failed ? -EIO : rc;
}

int plait_simulation_run(struct plait_simulation *s, double seconds)
{
	static const unsigned always = 1;

	return s != NULL
		       ? world_run(s, plait_i_world_after(s, seconds), &always)
		       : -ENOMEM;
}

int plait_simulation_stop(struct plait_simulation *s)
{
	struct plait_list *l;
	int rc;

	if (s == NULL)
		return -ENOMEM;
	plait_list_for_each (l, &s->hosts)
		plait_host_stop(plait_container(l, struct plait_host, link));
	rc = world_run(s, plait_i_world_after(s, PATIENCE), &s->n_programs);
	if (rc == 0 && s->n_programs > 0)
		rc = -ETIMEDOUT;
	if (!s->driving)
		plait_i_hosts_kill_programs(s);
	return rc;
}
