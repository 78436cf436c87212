/*
 * Deadlines: for what many have and few reach, as the end of a close.
 *
 * A deadline takes a quarter of the memory of a timer.  Those of one kind
 * mostly last equally long.  So they stand in a row, the earliest first, and a
 * new one goes to the end.  If a limit was made shorter meanwhile, a new one
 * has to pass others; it begins to look where the last such went.  Each row has
 * a timer, which is due with the first of the row, and stopped if the row is
 * empty.
 *
 * Those that are due are taken out of the row together, so that a deadline
 * which is started again for the present time runs in the next turn, as a timer
 * does.
 */
#include "reactor/loop/parts.h"

static struct loop_deadline *deadline_of(struct plait_list *l)
{
	return plait_container(l, struct loop_deadline, link);
}

static void deadline_run_due(void *arg);

/* The timer is due with the first of the row.  It may be a nanosecond early
   after weeks, for its time is a double; then it is started again. */
static void deadline_arm(struct plait_reactor *r, struct deadline_row *row)
{
	struct plait_list *first = plait_list_first(&row->list);
	int64_t now, when;

	if (first == NULL) {
		plait_timer_stop(&row->timer);
		return;
	}
	when = deadline_of(first)->when;
	if (plait_timer_is_running(&row->timer) && row->due == when)
		return;
	now = plait_i_clock_now(r);
	row->due = when;
	plait_timer_start(r, &row->timer,
			  when > now ? (double)(when - now) / NS_PER_S : 0,
			  deadline_run_due, row);
}

/* Who has to pass others goes to where the last such went. */
static void deadline_insert(struct deadline_row *row, struct loop_deadline *d)
{
	struct plait_list *before = &row->list;

	if (before->prev != &row->list &&
	    deadline_of(before->prev)->when > d->when) {
		before = row->passed;
		while (before != &row->list &&
		       deadline_of(before)->when > d->when)
			before = before->prev;
		do
			before = before->next;
		while (deadline_of(before)->when <= d->when);
		row->passed = &d->link;
	}
	plait_list_insert(before, &d->link);
}

void plait_i_deadline_start(struct plait_reactor *r, enum deadline_kind kind,
			    struct loop_deadline *d, double seconds,
			    deadline_func *fn)
{
	struct deadline_row *row = &r->deadlines[kind];

	plait_i_deadline_stop(r, d);
	d->when = plait_i_clock_after(r, seconds);
	row->fn = fn;
	deadline_insert(row, d);
	if (row->list.next == &d->link)
		deadline_arm(r, row);
}

void plait_i_deadline_stop(struct plait_reactor *r, struct loop_deadline *d)
{
	struct plait_list *before = d->link.prev;

	if (!deadline_is_running(d))
		return;
	plait_list_remove(&d->link);
	for (int i = 0; i < DEADLINE_KINDS && !loop_is_forked(r); i++) {
		if (r->deadlines[i].passed == &d->link)
			r->deadlines[i].passed = before;
		if (before == &r->deadlines[i].list)
			deadline_arm(r, &r->deadlines[i]);
	}
}

/* Moves those that are due, a turn's share at most, to another list. */
static void deadline_take_due(struct deadline_row *row, int64_t now,
			      struct plait_list *ret)
{
	struct plait_list *l;

	plait_list_init(ret);
	for (int i = 0;
	     i < REACTOR_SHARE && (l = plait_list_first(&row->list)) != NULL &&
	     deadline_of(l)->when <= now;
	     i++) {
		if (row->passed == l)
			row->passed = &row->list;
		plait_list_remove(l);
		plait_list_append(ret, l);
	}
}

static void deadline_run_due(void *arg)
{
	struct deadline_row *row = arg;
	struct plait_reactor *r = row->reactor;
	struct plait_list due, *l;

	deadline_take_due(row, plait_i_clock_now(r), &due);
	while ((l = plait_list_first(&due)) != NULL) {
		plait_list_remove(l);
		row->fn(deadline_of(l));
	}
	deadline_arm(r, row);
}

void plait_i_deadline_init(struct plait_reactor *r)
{
	for (int i = 0; i < DEADLINE_KINDS; i++) {
		r->deadlines[i].reactor = r;
		plait_list_init(&r->deadlines[i].list);
		r->deadlines[i].passed = &r->deadlines[i].list;
	}
}
