/*
 * The attempts of a connector: see attempts.h.
 *
 * When an address is added, it gets the struct of its attempt.  So only adding
 * needs memory, and starting an attempt cannot fail for want of it.  The
 * structs are kept until the connector is freed, and used again when addresses
 * are searched anew.  Their numbers are those of the happy eyeballs.
 *
 * What an attempt has left is closed in a burial, as an event of this turn may
 * refer to its descriptor.  If the attempt is started anew meanwhile, it opens
 * nothing before the next turn, so the burial closes only what is old.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/chance.h"
#include "lib/failure.h"
#include "lib/value.h"
#include "reactor/net/attempts.h"

static struct attempt *attempt_of(struct plait_list *l)
{
	return plait_container(l, struct attempt, link);
}

static void attempt_run_burial(struct loop_task *task)
{
	struct attempt *a = plait_container(task, struct attempt, burial);

	a->of->ops->close(a);
}

static size_t attempts_count(const struct attempts *s)
{
	struct plait_list *l;
	size_t n = 0;

	plait_list_for_each (l, &s->all)
		n++;
	return n;
}

static void attempts_append(struct attempts *s, struct attempt *a)
{
	a->of = s;
	a->number = (unsigned)attempts_count(s);
	a->burial.run = attempt_run_burial;
	plait_list_append(&s->all, &a->link);
	if (s->ops->init != NULL)
		s->ops->init(a);
}

void plait_i_attempts_init(struct attempts *s, struct plait_reactor *r,
			   const struct attempt_ops *ops, struct attempt *first)
{
	s->reactor = r;
	s->ops = ops;
	s->first = first;
	plait_list_init(&s->all);
	attempts_append(s, first);
}

void plait_i_attempts_done(struct attempts *s)
{
	struct plait_list *l;
	struct attempt *a;

	while ((l = plait_list_first(&s->all)) != NULL) {
		a = attempt_of(l);
		plait_list_remove(l);
		/* The burial of the connector may come first. */
		if (plait_list_is_linked(&a->burial.link)) {
			loop_task_cancel(&a->burial);
			s->ops->close(a);
		}
		plait_failure_unref(&a->why);
		plait_i_address_drop(&a->to);
		if (a != s->first)
			free(a);
	}
	plait_failure_unref(&s->why);
	plait_i_address_drop(&s->bind);
	if (s->search != NULL)
		s->search->free(s->search);
}

/* The first attempt in that state.  NULL: there is none. */
static struct attempt *attempts_find(const struct attempts *s,
				     enum attempt_state state)
{
	struct plait_list *l;

	plait_list_for_each (l, &s->all) {
		if (attempt_of(l)->state == state)
			return attempt_of(l);
	}
	return NULL;
}

struct attempt *plait_i_attempts_trying(const struct attempts *s)
{
	return attempts_find(s, ATTEMPT_TRYING);
}

/* The attempt of that number.  There is one. */
static struct attempt *attempts_numbered(const struct attempts *s,
					 unsigned number)
{
	struct plait_list *l = plait_list_first(&s->all);

	while (attempt_of(l)->number != number)
		l = l->next;
	return attempt_of(l);
}

/* The attempt that has begun as the i-th, from 0 on.  NULL: none has. */
static struct attempt *attempts_tried(const struct attempts *s, unsigned i)
{
	const struct eyeballs *e;

	if (s->search == NULL)
		return i == 0 ? s->first : NULL;
	e = &s->search->eyeballs;
	return i < e->attempts ? attempts_numbered(s, e->tried[i]) : NULL;
}

const struct attempt *plait_i_attempts_leader(const struct attempts *s)
{
	const struct attempt *a = attempts_tried(s, 0);

	return a != NULL ? a : s->first;
}

/* a is an unused attempt, or NULL. */
static bool attempts_have_room(const struct attempts *s,
			       const struct attempt *a, int family)
{
	return s->search != NULL ? plait_i_eyeballs_have_room(
					   &s->search->eyeballs, family)
				 : a != NULL;
}

int plait_i_attempts_add(struct attempts *s, const struct plait_address *to)
{
	struct attempt *a = attempts_find(s, ATTEMPT_UNUSED);
	int err;

	if (!attempts_have_room(s, a, to->family))
		return -E2BIG;
	if (a == NULL) {
		a = calloc(1, s->ops->size);
		if (a == NULL)
			return -ENOMEM;
		attempts_append(s, a);
	}
	err = plait_i_address_keep(&a->to, to);
	if (err != 0)
		return err;
	a->state = ATTEMPT_UNTRIED;
	if (s->search != NULL)
		plait_i_eyeballs_add(&s->search->eyeballs, to->family,
				     plait_i_clock_now(s->reactor));
	return 0;
}

void plait_i_attempts_no_more(struct attempts *s, int family,
			      const struct plait_failure *why)
{
	plait_i_eyeballs_end(&s->search->eyeballs, family);
	if (why != NULL) {
		plait_failure_unref(&s->why);
		s->why = why;
	}
}

static void attempts_search_anew(struct attempt_search *search)
{
	int family = search->family;

	plait_i_eyeballs_init(&search->eyeballs, search->resolution_delay,
			      search->attempt_delay);
	if (family != AF_UNSPEC)
		plait_i_eyeballs_end(&search->eyeballs,
				     family == AF_INET ? AF_INET6 : AF_INET);
	search->began = plait_i_clock_now(search->of->reactor);
}

void plait_i_attempts_reset(struct attempts *s)
{
	struct plait_list *l;

	plait_list_for_each (l, &s->all) {
		struct attempt *a = attempt_of(l);

		plait_failure_unref(&a->why);
		if (s->search != NULL) {
			a->state = ATTEMPT_UNUSED;
			plait_i_address_drop(&a->to);
		} else if (a->state != ATTEMPT_UNUSED) {
			a->state = ATTEMPT_UNTRIED;
		}
	}
	plait_failure_unref(&s->why);
	if (s->search != NULL)
		attempts_search_anew(s->search);
}

/* An attempt of several has a span of its own in a trace. */
static void attempt_start(struct attempt *a)
{
	struct plait_address to;

	a->state = ATTEMPT_TRYING;
	if (a->of->search != NULL && trace_is_on()) {
		plait_i_address_get(&a->to, &to);
		plait_i_address_trace(&to, TRACE_ATTEMPT, a);
	}
	a->of->ops->start(a);
}

static void attempt_stop(struct attempt *a)
{
	if (a->of->search != NULL)
		trace_end(TRACE_ENDED, a, 0);
	a->of->ops->stop(a);
	a->state = ATTEMPT_OVER;
	plait_i_loop_bury(a->of->reactor, &a->burial);
}

static plait_value attempt_unanswered(const struct attempt *a,
				      const struct plait_error *kind);

/* The system would wait for its peer for much longer. */
static void attempt_give_way(struct attempt *a)
{
	REACHED("an attempt gives way to the next");
	attempt_stop(a);
	a->why = failure_in(attempt_unanswered(a, &plait_error_tcp_timed_out));
}

static void attempts_wake(void *arg);

static void attempts_sleep(struct attempts *s, int64_t until)
{
	int64_t ns = until - plait_i_clock_now(s->reactor);

	plait_timer_start(s->reactor, &s->search->timer, (double)ns / 1e9,
			  attempts_wake, s);
}

/* Does what the race asks for.  False if it is lost. */
static bool attempts_race(struct attempts *s)
{
	struct eyeballs *e = &s->search->eyeballs;
	struct eyeballs_step step;

	for (;;) {
		step = plait_i_eyeballs_next(e, plait_i_clock_now(s->reactor));
		switch (step.verb) {
		case EYEBALLS_START:
			attempt_start(attempts_numbered(s, step.number));
			continue;
		case EYEBALLS_GIVE_UP:
			attempt_stop(attempts_numbered(s, step.number));
			continue;
		case EYEBALLS_GIVE_WAY:
			attempt_give_way(attempts_numbered(s, step.number));
			continue;
		case EYEBALLS_WON:
			if (s->search->leave != NULL)
				s->search->leave(s->search);
			s->won(s, attempts_numbered(s, step.number));
			break;
		case EYEBALLS_WAKE:
			attempts_sleep(s, step.when);
			break;
		case EYEBALLS_TURN:
			plait_i_loop_next_turn(s->reactor, &s->search->turn);
			break;
		case EYEBALLS_WAIT:
			break;
		case EYEBALLS_LOST:
			return false;
		}
		return true;
	}
}

static void attempts_race_on(struct attempts *s)
{
	if (!attempts_race(s))
		s->lost(s);
}

static void attempts_wake(void *arg)
{
	attempts_race_on(arg);
}

/* Others may have connected in the turn that is over. */
static void attempts_run_turn(struct loop_task *task)
{
	struct attempt_search *search =
		plait_container(task, struct attempt_search, turn);

	REACHED("an attempt has waited for the end of its turn");
	plait_i_eyeballs_turn_over(&search->eyeballs);
	attempts_race_on(search->of);
}

void plait_i_attempts_search(struct attempts *s, struct attempt_search *search)
{
	search->of = s;
	search->turn.run = attempts_run_turn;
	s->search = search;
}

bool plait_i_attempts_go_on(struct attempts *s)
{
	if (s->search != NULL)
		return attempts_race(s);
	if (s->first->state == ATTEMPT_UNTRIED)
		attempt_start(s->first);
	return s->first->state == ATTEMPT_TRYING;
}

void plait_i_attempts_stop(struct attempts *s)
{
	struct attempt *a;

	if (s->search != NULL) {
		s->search->stop(s->search);
		plait_timer_stop(&s->search->timer);
		loop_task_cancel(&s->search->turn);
	}
	while ((a = plait_i_attempts_trying(s)) != NULL)
		attempt_stop(a);
}

void plait_i_attempts_close(struct attempts *s)
{
	struct plait_list *l;

	plait_list_for_each (l, &s->all) {
		loop_task_cancel(&attempt_of(l)->burial);
		s->ops->close(attempt_of(l));
	}
}

/* If it has to wait for the end of the turn, no event comes before that. */
void plait_i_attempt_connected(struct attempt *a)
{
	struct attempts *s = a->of;

	if (s->search == NULL) {
		s->won(s, a);
		return;
	}
	plait_i_eyeballs_connected(&s->search->eyeballs, a->number);
	attempts_race_on(s);
}

void plait_i_attempt_failed(struct attempt *a, const struct plait_failure *why)
{
	struct attempts *s = a->of;

	attempt_stop(a);
	a->why = why;
	REACHED("an attempt fails");
	if (s->search == NULL) {
		s->lost(s);
		return;
	}
	plait_i_eyeballs_failed(&s->search->eyeballs, a->number);
	attempts_race_on(s);
}

/* A port at any address is one of the family of the peer. */
void plait_i_attempt_bind(const struct attempt *a, struct plait_address *ret)
{
	plait_i_address_get(&a->of->bind, ret);
	if (a->of->binds_port &&
	    plait_i_address_kept_family(&a->to) == AF_INET6)
		plait_address_parse(ret, "::", ret->port);
}

/* ---- failures --------------------------------------------------------- */

static const struct plait_error *attempt_kind_of(int err)
{
	switch (err) {
	case ECONNREFUSED:
		return &plait_error_connection_refused;
	case ENETUNREACH:
	case EHOSTUNREACH:
		return &plait_error_no_route;
	case ETIMEDOUT:
		return &plait_error_tcp_timed_out;
	default:
		return &plait_error_connect;
	}
}

int plait_i_attempt_where(const struct attempt *a, char *buf, size_t size)
{
	const struct attempt_ops *ops = a->of->ops;
	struct plait_address to;

	if (ops->where != NULL)
		return ops->where(a, buf, size);
	plait_i_address_get(&a->to, &to);
	return plait_address_str(&to, buf, size);
}

/* Seconds since the connector has started. */
static double attempts_time(const struct attempts *s)
{
	return (double)(plait_i_clock_now(s->reactor) - s->search->began) / 1e9;
}

const struct plait_failure *
plait_i_attempt_failure(const struct attempt *a, const struct plait_error *kind,
			int err)
{
	char text[ATTEMPT_WHERE_SIZE];

	plait_i_attempt_where(a, text, sizeof(text));
	if (kind == NULL)
		kind = attempt_kind_of(err);
	if (a->of->search == NULL)
		return failure_in(
			plait_fail_errno(kind, err, "connect to %s", text));
	return failure_in(plait_fail_errno(kind, err, "connect to %s at %.3f s",
					   text, attempts_time(a->of)));
}

/* Of an attempt that has no outcome, for that reason. */
static plait_value attempt_unanswered(const struct attempt *a,
				      const struct plait_error *kind)
{
	char text[ATTEMPT_WHERE_SIZE];

	plait_i_attempt_where(a, text, sizeof(text));
	return plait_fail(kind, "connect to %s at %.3f s: no answer", text,
			  attempts_time(a->of));
}

/* How far an attempt came, by its failure. */
static int attempt_distance(const struct plait_failure *why)
{
	if (plait_failure_check(why, &plait_error_connection_refused))
		return 4;
	if (plait_failure_check(why, &plait_error_tcp_timed_out))
		return 3;
	if (plait_failure_check(why, &plait_error_no_route))
		return 2;
	return 1;
}

/* The most telling failure until now, or NULL. */
static const struct plait_failure *attempts_telling(const struct attempts *s)
{
	const struct plait_failure *telling = s->why;
	const struct attempt *a;
	int distance, most = 0;

	for (unsigned i = 0; (a = attempts_tried(s, i)) != NULL; i++) {
		if (a->why == NULL)
			continue;
		distance = attempt_distance(a->why);
		if (distance > most) {
			most = distance;
			telling = a->why;
		}
	}
	return telling;
}

/*
 * Gives a list of the failures of all attempts, and behind them that of the
 * search.  An attempt that is under way gets a failure of that kind.  Without
 * attempts, or without memory, there is no list.
 */
static plait_value attempts_all_failures(const struct attempts *s,
					 const struct plait_error *kind)
{
	size_t n = s->search->eyeballs.attempts, i;
	struct plait_values *values = NULL;
	const struct attempt *a;

	if (n + (s->why != NULL) > 0)
		values = plait_i_values_new(n + (s->why != NULL));
	if (values == NULL)
		return PLAIT_NONE;
	for (i = 0; i < n; i++) {
		a = attempts_tried(s, (unsigned)i);
		values->items[i] = a->why != NULL ? plait_failure_value(a->why)
						  : attempt_unanswered(a, kind);
	}
	if (s->why != NULL)
		values->items[n] = plait_failure_value(s->why);
	return plait_value_make(&plait_values_type, values);
}

int plait_i_attempts_where(const struct attempts *s, char *buf, size_t size)
{
	if (s->search != NULL)
		return snprintf(buf, size, "%s", s->search->name);
	return plait_i_attempt_where(s->first, buf, size);
}

static const struct plait_failure *
attempts_failure(const struct attempts *s, const struct plait_error *kind,
		 int err)
{
	char name[ATTEMPT_WHERE_SIZE];

	plait_i_attempts_where(s, name, sizeof(name));
	return failure_in(plait_i_failure_of(PLAIT_HERE, kind, err, NULL,
					     attempts_all_failures(s, kind),
					     "connect to %s", name));
}

const struct plait_failure *plait_i_attempts_failure(const struct attempts *s)
{
	const struct plait_failure *why = attempts_telling(s);

	if (why == NULL)
		return failure_in(plait_fail(&plait_error_dns_lookup,
					     "there is no address"));
	if (s->search == NULL || why == s->why)
		return plait_failure_ref(why);
	return attempts_failure(s, plait_failure_kind(why),
				plait_failure_errno(why));
}

const struct plait_failure *
plait_i_attempts_failure_of(const struct attempts *s,
			    const struct plait_error *kind)
{
	if (s->search == NULL)
		return plait_i_attempt_failure(s->first, kind, 0);
	return attempts_failure(s, kind, 0);
}
