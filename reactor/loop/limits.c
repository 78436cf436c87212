/*
 * The limits of a reactor's connections, as numbers: what a field that is 0
 * means, and changing them.  net/unsent.c, net/closing.c and loop/shutdown.c
 * enforce them.
 */
#include <errno.h>

#include "lib/base.h"
#include "reactor/loop/parts.h"

static const struct plait_limits limits_default = {
	.max_unsent = 64 << 20,
	.max_unsent_total = 1 << 30,
	.high_water = 65536,
	.low_water = 16384,
	.close_timeout = 30,
	.linger_timeout = 5,
	.linger_bytes = 1 << 20,
	.stop_timeout = 5,
};

void plait_i_limits_init(struct plait_reactor *r)
{
	r->base.limits = limits_default;
	pool_unsent(r)->max = limits_default.max_unsent_total;
}

static void limits_set_size(size_t *limit, size_t size, size_t if_zero)
{
	*limit = size != 0 ? size : if_zero;
}

static void limits_set_seconds(double *limit, double seconds, double if_zero)
{
	plait_assert(seconds >= 0);
	*limit = seconds > 0 ? seconds : if_zero;
}

static void limits_tell(struct plait_list *members)
{
	struct loop_member *m;
	struct plait_list *l;

	plait_list_for_each (l, members) {
		m = plait_container(l, struct loop_member, link);
		if (m->ops->limits != NULL)
			m->ops->limits(m);
	}
}

int plait_reactor_set_limits(struct plait_reactor *r,
			     const struct plait_limits *l)
{
	const struct plait_limits *d = &limits_default;
	struct plait_limits *to;

	loop_check_given(r, "plait_reactor_set_limits()", NULL);
	to = &r->base.limits;
	if (RESERVED_IN_USE(l))
		return -EINVAL;
	limits_set_size(&to->max_unsent, l->max_unsent, d->max_unsent);
	limits_set_size(&to->max_unsent_total, l->max_unsent_total,
			d->max_unsent_total);
	limits_set_size(&to->high_water, l->high_water, d->high_water);
	limits_set_size(&to->low_water, l->low_water, d->low_water);
	/* Above the high mark it would resume what that has just paused. */
	if (to->low_water > to->high_water)
		to->low_water = to->high_water;
	limits_set_size(&to->linger_bytes, l->linger_bytes, d->linger_bytes);
	limits_set_seconds(&to->close_timeout, l->close_timeout,
			   d->close_timeout);
	limits_set_seconds(&to->linger_timeout, l->linger_timeout,
			   d->linger_timeout);
	limits_set_seconds(&to->stop_timeout, l->stop_timeout, d->stop_timeout);
	pool_unsent(r)->max = to->max_unsent_total;
	/* In a forked child the connections are the parent's. */
	if (!loop_is_forked(r)) {
		limits_tell(plait_i_loop_members(r));
		limits_tell(plait_i_loop_finishing(r));
	}
	return 0;
}
