/*
 * Random races: see race.h.
 *
 * What is known of each address is kept beside the machine, so that the rules
 * are told without what the machine remembers.
 */
#include <sys/socket.h>

#include "lib/base.h"
#include "reactor/net/eyeballs.h"
#include "tests/race.h"

enum { MS = 1000000 };

enum fate { UNTRIED, UNDER_WAY, CONNECTED, FAILED, GIVEN_UP, GAVE_WAY };

struct address {
	int family;
	enum fate fate;
	unsigned place; /* among those that have begun */
	int64_t began;
};

struct race {
	struct eyeballs eyeballs;
	struct address addresses[EYEBALLS_ADDRESSES];
	unsigned known, of_family[2], begun, under_way;
	bool six_ended, four_ended;
	int64_t now, came, began, wake;
	int64_t resolution_delay, attempt_delay;
	unsigned last;	 /* the address that was tried last */
	bool has_failed; /* since then */
	bool may_settle; /* it waits for the turn to be over */
	bool turn_over;
	enum eyeballs_verb verb; /* of the last answer */
};

static bool race_has(const struct race *r, int family, enum fate fate)
{
	for (unsigned i = 0; i < r->known; i++) {
		if (r->addresses[i].fate == fate &&
		    (family == AF_UNSPEC || r->addresses[i].family == family))
			return true;
	}
	return false;
}

/* The number of the k-th address that is under way. */
static unsigned race_under_way(const struct race *r, unsigned k)
{
	unsigned i = 0;

	for (;; i++) {
		if (r->addresses[i].fate == UNDER_WAY && k-- == 0)
			return i;
	}
}

/* Section 3: did anything allow the first attempt? */
static void race_check_first(const struct race *r, const struct address *a)
{
	plait_assert(a->family == AF_INET6 || r->six_ended ||
		     race_has(r, AF_INET6, UNTRIED) ||
		     r->now >= r->came + r->resolution_delay);
}

/* Section 5: ... and any other? */
static void race_check_next(const struct race *r)
{
	int64_t since = r->now - r->began;

	plait_assert(since >= r->attempt_delay || r->has_failed);
	plait_assert(since >= 10 * MS || r->addresses[r->last].fate == FAILED);
}

/* Section 4: the best of its family, and the families take turns. */
static void race_check_order(const struct race *r, unsigned number)
{
	const struct address *a = &r->addresses[number];
	int other = a->family == AF_INET6 ? AF_INET : AF_INET6;

	for (unsigned i = 0; i < number; i++)
		plait_assert(r->addresses[i].family != a->family ||
			     r->addresses[i].fate != UNTRIED);
	if (r->begun > 0)
		plait_assert(r->addresses[r->last].family != a->family ||
			     !race_has(r, other, UNTRIED));
}

static void race_start(struct race *r, unsigned number)
{
	struct address *a = &r->addresses[number];

	plait_assert(number < r->known && a->fate == UNTRIED);
	plait_assert(r->under_way < EYEBALLS_AT_ONCE);
	plait_assert(!race_has(r, AF_UNSPEC, CONNECTED));
	if (r->begun == 0)
		race_check_first(r, a);
	else
		race_check_next(r);
	race_check_order(r, number);
	a->fate = UNDER_WAY;
	a->place = r->begun++;
	a->began = r->now;
	r->under_way++;
	r->began = r->now;
	r->last = number;
	r->has_failed = false;
}

/* The attempt under way that has begun first.  There is one. */
static struct address *race_oldest(struct race *r)
{
	struct address *oldest = NULL;

	for (unsigned i = 0; i < r->known; i++) {
		struct address *a = &r->addresses[i];

		if (a->fate == UNDER_WAY &&
		    (oldest == NULL || a->place < oldest->place))
			oldest = a;
	}
	return oldest;
}

/* When the next attempt is due, if there is an address. */
static int64_t race_due(struct race *r)
{
	int64_t due = r->began + r->attempt_delay, room;

	if (r->begun == 0)
		return r->came + r->resolution_delay;
	if (r->has_failed)
		due = r->began + 10 * MS;
	if (r->under_way < EYEBALLS_AT_ONCE)
		return due;
	room = race_oldest(r)->began + 2000 * MS;
	return due > room ? due : room;
}

/* Nobody waits who could begin, and nobody sleeps too long. */
static void race_check_wait(struct race *r, const struct eyeballs_step *s)
{
	plait_assert(!race_has(r, AF_UNSPEC, CONNECTED));
	plait_assert(race_has(r, AF_UNSPEC, UNTRIED) ==
		     (s->verb == EYEBALLS_WAKE));
	if (s->verb != EYEBALLS_WAKE)
		return;
	plait_assert(s->when > r->now);
	if (r->under_way == EYEBALLS_AT_ONCE && r->has_failed &&
	    r->addresses[r->last].fate == FAILED)
		plait_assert(s->when == race_oldest(r)->began + 2000 * MS);
	else
		plait_assert(s->when == race_due(r));
}

/* There is no room for the next, and its time has come. */
static void race_give_way(struct race *r, unsigned number)
{
	struct address *a = &r->addresses[number];

	plait_assert(r->under_way == EYEBALLS_AT_ONCE);
	plait_assert(race_has(r, AF_UNSPEC, UNTRIED));
	plait_assert(!race_has(r, AF_UNSPEC, CONNECTED));
	plait_assert(a == race_oldest(r) && r->now >= a->began + 2000 * MS);
	race_check_next(r);
	a->fate = GAVE_WAY;
	r->under_way--;
}

static bool race_may_yet_go_on(const struct race *r)
{
	return !r->six_ended || !r->four_ended || r->under_way > 0 ||
	       race_has(r, AF_UNSPEC, UNTRIED);
}

/* Of those that were connected when the turn was over, the first. */
static void race_check_won(const struct race *r, unsigned number)
{
	const struct address *winner = &r->addresses[number];

	plait_assert(winner->fate == CONNECTED);
	for (unsigned i = 0; i < r->known; i++) {
		const struct address *a = &r->addresses[i];

		plait_assert(a->fate != UNDER_WAY);
		plait_assert(i == number || a->fate != CONNECTED);
	}
}

/* Of those that are connected, the one that has begun first. */
static const struct address *race_winner(const struct race *r)
{
	const struct address *winner = NULL;

	for (unsigned i = 0; i < r->known; i++) {
		const struct address *a = &r->addresses[i];

		if (a->fate == CONNECTED &&
		    (winner == NULL || a->place < winner->place))
			winner = a;
	}
	return winner;
}

/* Who has begun before the winner was given the rest of the turn. */
static void race_give_up(struct race *r, unsigned number)
{
	struct address *a = &r->addresses[number];
	const struct address *winner = race_winner(r);

	plait_assert(winner != NULL && a != winner);
	plait_assert(a->fate == UNDER_WAY || a->fate == CONNECTED);
	plait_assert(winner->place < a->place || r->turn_over);
	a->fate = GIVEN_UP;
}

/* Asks once.  True if it has to be asked again. */
static bool race_ask(struct race *r)
{
	struct eyeballs_step s = plait_i_eyeballs_next(&r->eyeballs, r->now);

	r->verb = s.verb;
	switch (s.verb) {
	case EYEBALLS_START:
		race_start(r, s.number);
		return true;
	case EYEBALLS_GIVE_UP:
		race_give_up(r, s.number);
		return true;
	case EYEBALLS_GIVE_WAY:
		race_give_way(r, s.number);
		return true;
	case EYEBALLS_WON:
		race_check_won(r, s.number);
		break;
	case EYEBALLS_LOST:
		plait_assert(!race_may_yet_go_on(r));
		break;
	case EYEBALLS_TURN:
		plait_assert(race_has(r, AF_UNSPEC, CONNECTED));
		plait_assert(!r->turn_over && r->under_way > 0);
		break;
	default:
		race_check_wait(r, &s);
		plait_assert(race_may_yet_go_on(r));
		r->wake = s.when;
	}
	return false;
}

static bool race_is_over(const struct race *r)
{
	return r->verb == EYEBALLS_WON || r->verb == EYEBALLS_LOST;
}

static void race_go_on(struct race *r)
{
	while (race_ask(r))
		;
}

static void race_add(struct race *r, int family)
{
	int number;

	if (family == AF_INET6 ? r->six_ended : r->four_ended)
		return;
	number = plait_i_eyeballs_add(&r->eyeballs, family, r->now);
	if (r->of_family[family == AF_INET6] == EYEBALLS_OF_FAMILY) {
		plait_assert(number == -1);
		return;
	}
	r->of_family[family == AF_INET6]++;
	plait_assert(number == (int)r->known);
	if (r->known == 0)
		r->came = r->now;
	r->addresses[r->known++].family = family;
}

static void race_end_of(struct race *r, int family)
{
	r->six_ended |= family != AF_INET;
	r->four_ended |= family != AF_INET6;
	plait_i_eyeballs_end(&r->eyeballs, family);
}

static void race_fail(struct race *r, unsigned number)
{
	r->addresses[number].fate = FAILED;
	r->under_way--;
	r->has_failed = true;
	plait_i_eyeballs_failed(&r->eyeballs, number);
}

static void race_connect(struct race *r, unsigned number)
{
	r->addresses[number].fate = CONNECTED;
	r->under_way--;
	plait_i_eyeballs_connected(&r->eyeballs, number);
}

static void race_finish_turn(struct race *r)
{
	if (r->verb != EYEBALLS_TURN)
		return;
	r->turn_over = true;
	plait_i_eyeballs_turn_over(&r->eyeballs);
}

/* One thing happens; then maybe another before anybody asks. */
static void race_step(struct race *r, unsigned (*choose)(unsigned n))
{
	int family = choose(2) == 0 ? AF_INET6 : AF_INET;

	switch (choose(10)) {
	case 0:
	case 1:
	case 2:
		race_add(r, family);
		break;
	case 3:
		if (choose(8) == 0)
			race_end_of(r, choose(3) == 0 ? AF_UNSPEC : family);
		break;
	case 4:
		plait_i_eyeballs_prefer(&r->eyeballs, family);
		break;
	case 5:
		if (r->under_way > 0)
			race_fail(r, race_under_way(r, choose(r->under_way)));
		break;
	case 6:
		if (r->under_way > 0 && choose(6) == 0)
			race_connect(r,
				     race_under_way(r, choose(r->under_way)));
		break;
	case 7:
		if (r->verb == EYEBALLS_WAKE)
			r->now = r->wake;
		break;
	case 8:
		race_finish_turn(r);
		break;
	default:
		r->now += choose(120) * MS;
	}
	if (choose(4) != 0)
		race_go_on(r);
}

/* Nothing more is found, and whoever is under way fails in the end. */
static void race_run_out(struct race *r)
{
	race_end_of(r, AF_UNSPEC);
	for (race_go_on(r); !race_is_over(r); race_go_on(r)) {
		if (r->verb == EYEBALLS_TURN)
			race_finish_turn(r);
		else if (r->verb == EYEBALLS_WAKE)
			r->now = r->wake;
		else
			race_fail(r, race_under_way(r, 0));
	}
}

enum race_end race_run(unsigned (*choose)(unsigned n), unsigned steps)
{
	static const int64_t delays[] = { 0, 10, 50, 250, 2000, 9000 };
	struct race r = { .verb = EYEBALLS_WAIT };
	int64_t asked = delays[choose(6)] * MS;

	r.resolution_delay = delays[choose(6)] * MS;
	r.attempt_delay = asked < 10 * MS     ? 10 * MS
			  : asked > 2000 * MS ? 2000 * MS
					      : asked;
	plait_i_eyeballs_init(&r.eyeballs, r.resolution_delay, asked);
	for (unsigned i = 0; i < steps && !race_is_over(&r); i++)
		race_step(&r, choose);
	if (!race_is_over(&r))
		race_run_out(&r);
	return r.verb == EYEBALLS_WON ? RACE_WON : RACE_LOST;
}
