/*
 * Wrappers in front of any factory: see wrapped.h.
 */
#include "tests/wrapped.h"

enum { MAX_WRAPPED = 32 };

/* Of one factory, all that it may be wrapped in. */
struct stack {
	struct plait_factory *inner;
	struct plait_wrapping_factory passing;
	struct plait_limited_factory limited;
	struct plait_throttled_factory throttled;
	struct plait_bucket in, out;
};

static const struct plait_protocol_ops passing_protocol_ops = {
	PLAIT_WRAPPER,
	.name = "passing",
};

static const struct plait_factory_ops passing_ops = {
	PLAIT_WRAPPING_FACTORY,
	.name = "passing",
};

static struct stack stacks[MAX_WRAPPED];
static enum wrapped_kind kind;
static size_t burst;

void wrapped_as(enum wrapped_kind new_kind, size_t new_burst)
{
	kind = new_kind;
	burst = new_burst;
	for (int i = 0; i < MAX_WRAPPED && stacks[i].inner != NULL; i++) {
		plait_limited_factory_done(&stacks[i].limited);
		stacks[i] = (struct stack){ .inner = NULL };
	}
}

static struct plait_factory *pass(struct stack *s, struct plait_factory *f)
{
	s->passing.base.ops = &passing_ops;
	s->passing.base.protocol = &passing_protocol_ops;
	s->passing.inner = f;
	return &s->passing.base;
}

/* Nobody is refused: that is not what is to be shown. */
static struct plait_factory *limit(struct stack *s, struct plait_factory *f)
{
	s->limited.max_connections = s->limited.max_per_address = 10000;
	s->limited.wait = true;
	plait_limited_factory_init(&s->limited, f);
	return &s->limited.base.base;
}

/* Time passes, or is virtual. */
static struct plait_factory *throttle(struct stack *s, struct plait_factory *f)
{
	s->in = (struct plait_bucket){ .rate = 1000000, .burst = burst };
	s->out = (struct plait_bucket){ .rate = 1000000, .burst = burst };
	s->throttled.in = &s->in;
	s->throttled.out = &s->out;
	plait_throttled_factory_init(&s->throttled, f);
	return &s->throttled.base.base;
}

static struct plait_factory *wrap(struct stack *s, struct plait_factory *f)
{
	switch (kind) {
	case WRAPPED_PASSING:
		return pass(s, f);
	case WRAPPED_LIMITED:
		return limit(s, f);
	case WRAPPED_THROTTLED:
		return throttle(s, f);
	case WRAPPED_ALL:
		return limit(s, throttle(s, pass(s, f)));
	default:
		return f;
	}
}

static struct plait_factory *outermost(struct stack *s)
{
	switch (kind) {
	case WRAPPED_PASSING:
		return &s->passing.base;
	case WRAPPED_THROTTLED:
		return &s->throttled.base.base;
	default:
		return &s->limited.base.base;
	}
}

struct plait_factory *wrapped(struct plait_factory *f)
{
	struct stack *s = stacks;

	if (kind == WRAPPED_NOT)
		return f;
	while (s->inner != NULL && s->inner != f)
		s++;
	plait_assert(s < stacks + MAX_WRAPPED);
	if (s->inner == f)
		return outermost(s);
	s->inner = f;
	return wrap(s, f);
}
