/*
 * The attempts of a connector: see attempts.h.
 *
 * When an address is added, it gets the struct of its attempt.  So only adding
 * needs memory, and starting an attempt cannot fail for want of it.  The
 * structs are kept until the connector is freed, and used again when addresses
 * are searched anew.
 *
 * What an attempt has left is closed in a burial, as an event of this turn may
 * refer to its descriptor.  If the attempt is started anew meanwhile, it opens
 * nothing before the next turn, so the burial closes only what is old.
 */
#include <errno.h>
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

static void attempts_append(struct attempts *s, struct attempt *a)
{
	a->of = s;
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

static size_t attempts_count(const struct attempts *s)
{
	struct plait_list *l;
	size_t n = 0;

	plait_list_for_each (l, &s->all)
		n++;
	return n;
}

int plait_i_attempts_add(struct attempts *s, const struct plait_address *to)
{
	struct attempt *a = attempts_find(s, ATTEMPT_UNUSED);
	int err;

	if (a == NULL) {
		if (attempts_count(s) == ATTEMPTS_MAX)
			return -E2BIG;
		a = calloc(1, s->ops->size);
		if (a == NULL)
			return -ENOMEM;
		attempts_append(s, a);
	}
	err = plait_i_address_keep(&a->to, to);
	if (err == 0)
		a->state = ATTEMPT_UNTRIED;
	return err;
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
	s->complete = s->search == NULL;
}

bool plait_i_attempts_try_next(struct attempts *s)
{
	struct attempt *a = attempts_find(s, ATTEMPT_UNTRIED);

	if (a == NULL)
		return false;
	a->state = ATTEMPT_TRYING;
	s->ops->start(a);
	return true;
}

bool plait_i_attempts_go_on(struct attempts *s)
{
	return plait_i_attempts_trying(s) != NULL ||
	       plait_i_attempts_try_next(s) || !s->complete;
}

static void attempt_stop(struct attempt *a)
{
	a->of->ops->stop(a);
	a->state = ATTEMPT_OVER;
	plait_i_loop_bury(a->of->reactor, &a->burial);
}

void plait_i_attempts_stop(struct attempts *s)
{
	struct attempt *a;

	if (s->search != NULL)
		s->search->stop(s->search);
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

void plait_i_attempt_connected(struct attempt *a)
{
	a->of->won(a->of, a);
}

void plait_i_attempt_failed(struct attempt *a, const struct plait_failure *why)
{
	struct attempts *s = a->of;

	attempt_stop(a);
	a->why = why;
	REACHED("an attempt fails");
	if (!plait_i_attempts_try_next(s) && !plait_i_attempts_go_on(s))
		s->lost(s);
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

const struct plait_failure *
plait_i_attempt_failure(const struct attempt *a, const struct plait_error *kind,
			int err)
{
	char text[ATTEMPT_WHERE_SIZE];

	plait_i_attempt_where(a, text, sizeof(text));
	if (kind == NULL)
		kind = attempt_kind_of(err);
	return failure_in(plait_fail_errno(kind, err, "connect to %s", text));
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

/* How many have failed until now; and the most telling failure, or NULL. */
static size_t attempts_failed(const struct attempts *s,
			      const struct plait_failure **ret)
{
	size_t n = 0;
	int distance, most = 0;
	struct plait_list *l;

	*ret = s->why;
	plait_list_for_each (l, &s->all) {
		const struct plait_failure *why = attempt_of(l)->why;

		if (why == NULL)
			continue;
		n++;
		distance = attempt_distance(why);
		if (distance > most) {
			most = distance;
			*ret = why;
		}
	}
	return n + (s->why != NULL);
}

/* All failures as a list; none if there is no memory. */
static plait_value attempts_all_failures(const struct attempts *s, size_t n)
{
	struct plait_values *values = plait_i_values_new(n);
	struct plait_list *l;
	size_t i = 0;

	if (values == NULL)
		return PLAIT_NONE;
	plait_list_for_each (l, &s->all) {
		if (attempt_of(l)->why != NULL)
			values->items[i++] =
				plait_failure_value(attempt_of(l)->why);
	}
	if (s->why != NULL)
		values->items[i] = plait_failure_value(s->why);
	return plait_value_make(&plait_values_type, values);
}

const struct plait_failure *plait_i_attempts_failure(const struct attempts *s)
{
	const struct plait_failure *why;
	size_t n = attempts_failed(s, &why);

	if (n == 0)
		return failure_in(plait_fail(&plait_error_dns_lookup,
					     "there is no address"));
	if (n == 1)
		return plait_failure_ref(why);
	return failure_in(plait_i_failure_of(
		PLAIT_HERE, plait_failure_kind(why), plait_failure_errno(why),
		NULL, attempts_all_failures(s, n), "%zu addresses failed", n));
}

const struct plait_failure *
plait_i_attempts_failure_of(const struct attempts *s,
			    const struct plait_error *kind)
{
	const struct plait_failure *why;
	size_t n = attempts_failed(s, &why);
	char text[ATTEMPT_WHERE_SIZE];

	if (n == 0)
		return plait_i_attempt_failure(s->first, kind, 0);
	plait_i_attempt_where(s->first, text, sizeof(text));
	return failure_in(plait_i_failure_of(PLAIT_HERE, kind, 0, NULL,
					     attempts_all_failures(s, n),
					     "connect to %s", text));
}
