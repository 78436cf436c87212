/*
 * Happy eyeballs: see eyeballs.h.
 *
 * An address is untried, under way, connected or over.  It is in the queue of
 * its family until it is tried, and from then on in the list of what was tried.
 */
#include <sys/socket.h>

#include "lib/base.h"
#include "reactor/net/eyeballs.h"

enum { UNTRIED, UNDER_WAY, CONNECTED, OVER };

static enum eyeballs_family eyeballs_index(int family)
{
	return family == AF_INET6 ? EYEBALLS_IPV6 : EYEBALLS_IPV4;
}

static bool eyeballs_has(const struct eyeballs *e, enum eyeballs_family family)
{
	return e->queues[family].next < e->queues[family].count;
}

static enum eyeballs_family eyeballs_other(enum eyeballs_family family)
{
	return family == EYEBALLS_IPV6 ? EYEBALLS_IPV4 : EYEBALLS_IPV6;
}

void plait_i_eyeballs_init(struct eyeballs *e, int64_t resolution_delay,
			   int64_t attempt_delay)
{
	if (attempt_delay < EYEBALLS_LEAST_DELAY)
		attempt_delay = EYEBALLS_LEAST_DELAY;
	if (attempt_delay > EYEBALLS_MOST_DELAY)
		attempt_delay = EYEBALLS_MOST_DELAY;
	*e = (struct eyeballs){
		.resolution_delay = resolution_delay,
		.attempt_delay = attempt_delay,
		.turn = EYEBALLS_IPV6,
	};
}

bool plait_i_eyeballs_have_room(const struct eyeballs *e, int family)
{
	return e->queues[eyeballs_index(family)].count < EYEBALLS_OF_FAMILY;
}

int plait_i_eyeballs_add(struct eyeballs *e, int family, int64_t now)
{
	struct eyeballs_queue *q = &e->queues[eyeballs_index(family)];

	plait_assert(!q->ended);
	if (!plait_i_eyeballs_have_room(e, family))
		return -1;
	if (e->addresses == 0)
		e->came = now;
	q->numbers[q->count++] = e->addresses;
	return e->addresses++;
}

void plait_i_eyeballs_end(struct eyeballs *e, int family)
{
	if (family != AF_INET)
		e->queues[EYEBALLS_IPV6].ended = true;
	if (family != AF_INET6)
		e->queues[EYEBALLS_IPV4].ended = true;
}

void plait_i_eyeballs_prefer(struct eyeballs *e, int family)
{
	if (e->attempts == 0)
		e->turn = eyeballs_index(family);
}

void plait_i_eyeballs_failed(struct eyeballs *e, unsigned number)
{
	plait_assert(e->states[number] == UNDER_WAY);
	e->states[number] = OVER;
	e->under_way--;
	e->hurries = true;
}

void plait_i_eyeballs_connected(struct eyeballs *e, unsigned number)
{
	plait_assert(e->states[number] == UNDER_WAY);
	e->states[number] = CONNECTED;
	e->under_way--;
	e->connected++;
}

void plait_i_eyeballs_turn_over(struct eyeballs *e)
{
	e->turn_over = true;
}

/* Which attempt in that state has begun first: its place in the list of what
   was tried.  There is one. */
static unsigned eyeballs_first(const struct eyeballs *e, int state)
{
	unsigned i = 0;

	while (e->states[e->tried[i]] != state)
		i++;
	return i;
}

/* Is an attempt under way that has begun before the one of that number? */
static bool eyeballs_is_behind(const struct eyeballs *e, unsigned number)
{
	for (unsigned i = 0; e->tried[i] != number; i++) {
		if (e->states[e->tried[i]] == UNDER_WAY)
			return true;
	}
	return false;
}

/* An attempt is connected. */
static struct eyeballs_step eyeballs_finish(struct eyeballs *e)
{
	unsigned winner = e->tried[eyeballs_first(e, CONNECTED)];
	struct eyeballs_step step = { .number = winner };

	if (!e->turn_over && eyeballs_is_behind(e, winner)) {
		step.verb = EYEBALLS_TURN;
		return step;
	}
	for (unsigned i = 0; i < e->attempts; i++) {
		if (e->tried[i] == winner || e->states[e->tried[i]] == OVER)
			continue;
		e->states[e->tried[i]] = OVER;
		step.verb = EYEBALLS_GIVE_UP;
		step.number = e->tried[i];
		return step;
	}
	step.verb = EYEBALLS_WON;
	return step;
}

static int64_t eyeballs_after(int64_t when, int64_t delay)
{
	int64_t sum;

	return __builtin_add_overflow(when, delay, &sum) ? INT64_MAX : sum;
}

/* When the first attempt may begin.  There is an address. */
static int64_t eyeballs_first_due(const struct eyeballs *e)
{
	bool waits = !eyeballs_has(e, EYEBALLS_IPV6) &&
		     !e->queues[EYEBALLS_IPV6].ended;

	return waits ? eyeballs_after(e->came, e->resolution_delay) : INT64_MIN;
}

/* When the next attempt may begin, if there is room for it. */
static int64_t eyeballs_next_due(const struct eyeballs *e)
{
	unsigned last = e->attempts - 1u;

	if (e->attempts == 0)
		return eyeballs_first_due(e);
	if (!e->hurries)
		return eyeballs_after(e->began[last], e->attempt_delay);
	return e->states[e->tried[last]] == UNDER_WAY
		       ? eyeballs_after(e->began[last], EYEBALLS_LEAST_DELAY)
		       : INT64_MIN;
}

static int64_t eyeballs_due(const struct eyeballs *e)
{
	int64_t due = eyeballs_next_due(e), room;

	if (e->under_way < EYEBALLS_AT_ONCE)
		return due;
	room = eyeballs_after(e->began[eyeballs_first(e, UNDER_WAY)],
			      EYEBALLS_MOST_DELAY);
	return due > room ? due : room;
}

static struct eyeballs_step
eyeballs_start(struct eyeballs *e, enum eyeballs_family family, int64_t now)
{
	struct eyeballs_queue *q = &e->queues[family];
	unsigned char number = q->numbers[q->next++];

	e->states[number] = UNDER_WAY;
	e->tried[e->attempts] = number;
	e->began[e->attempts++] = now;
	e->under_way++;
	e->hurries = false;
	e->turn = eyeballs_other(family);
	return (struct eyeballs_step){ EYEBALLS_START, .number = number };
}

/* The next attempt is due, and there is no room for it. */
static struct eyeballs_step eyeballs_give_way(struct eyeballs *e)
{
	unsigned number = e->tried[eyeballs_first(e, UNDER_WAY)];

	e->states[number] = OVER;
	e->under_way--;
	return (struct eyeballs_step){ EYEBALLS_GIVE_WAY, .number = number };
}

/* No address is left to be tried, until more come. */
static struct eyeballs_step eyeballs_run_out(const struct eyeballs *e)
{
	bool ended = e->queues[EYEBALLS_IPV6].ended &&
		     e->queues[EYEBALLS_IPV4].ended;

	return (struct eyeballs_step){
		.verb = ended && e->under_way == 0 ? EYEBALLS_LOST
						   : EYEBALLS_WAIT,
	};
}

struct eyeballs_step plait_i_eyeballs_next(struct eyeballs *e, int64_t now)
{
	enum eyeballs_family family = e->turn;
	int64_t due;

	if (e->connected > 0)
		return eyeballs_finish(e);
	if (!eyeballs_has(e, family))
		family = eyeballs_other(family);
	if (!eyeballs_has(e, family))
		return eyeballs_run_out(e);
	due = eyeballs_due(e);
	if (now < due)
		return (struct eyeballs_step){ EYEBALLS_WAKE, .when = due };
	if (e->under_way == EYEBALLS_AT_ONCE)
		return eyeballs_give_way(e);
	return eyeballs_start(e, family, now);
}
