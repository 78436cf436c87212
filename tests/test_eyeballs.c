/*
 * Happy eyeballs without sockets and without a clock: RFC 8305, statement by
 * statement, and random races.
 *
 * A race is told in moments that are separated by `;'.  A moment is what
 * happens, then `>' and what the machine answers, until it only waits:
 *
 *	+6 +4		an address is added, which gets the next number
 *	.6 .4 .		no more come of that family, or at all
 *	prefer4		the best IPv4 address is better than the best IPv6 one
 *	fails0 connects0
 *	over		the turn is over
 *	@250		it is 250 ms; times are counted from the beginning
 *
 *	start0 wake250 giveup0 giveway0 turn won0 lost
 *
 * Each MUST and SHOULD of sections 3 to 8 has a test with its section in its
 * name.  These have none here, as they do not concern the machine:
 *
 *	3	AAAA is asked before A; 5: answers are waited for, for the
 *		cache, when an attempt has won: test_names_connect.c has these.
 *	3.1	servers by IPv6 first, and any number of them: the lookup asks
 *		those of resolv.conf, in their order.
 *	4	the sorting by RFC 6724 is that of the lookup.  Nothing is
 *		remembered of earlier connections, so the rules about history
 *		find nothing to do.
 *	6	answers never lose an address while a race is on.
 *	7	no address is made up for NAT64: the system does that (464XLAT).
 *	8	the delays grow as the years go by.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "reactor/net/eyeballs.h"
#include "tests/harness.h"
#include "tests/race.h"

enum { MS = 1000000 };

static struct eyeballs machine;
static int64_t now;
static char answers[512];

/* The number behind word, if text begins with word; or -1. */
static int number_behind(const char *text, const char *word)
{
	size_t len = strlen(word);

	return strncmp(text, word, len) == 0 ? atoi(text + len) : -1;
}

static int family_of(const char *digit)
{
	return *digit == '\0' ? AF_UNSPEC : *digit == '6' ? AF_INET6 : AF_INET;
}

static void happen(const char *what)
{
	int n;

	if (*what == '+')
		plait_i_eyeballs_add(&machine, family_of(what + 1), now);
	else if (*what == '.')
		plait_i_eyeballs_end(&machine, family_of(what + 1));
	else if ((n = number_behind(what, "@")) >= 0)
		now = (int64_t)n * MS;
	else if ((n = number_behind(what, "fails")) >= 0)
		plait_i_eyeballs_failed(&machine, (unsigned)n);
	else if ((n = number_behind(what, "connects")) >= 0)
		plait_i_eyeballs_connected(&machine, (unsigned)n);
	else if ((n = number_behind(what, "prefer")) >= 0)
		plait_i_eyeballs_prefer(&machine, n == 6 ? AF_INET6 : AF_INET);
	else if (strcmp(what, "over") == 0)
		plait_i_eyeballs_turn_over(&machine);
	else
		ck_abort_msg("what is %s?", what);
}

/* number is left out if it is negative. */
static void answer(const char *verb, long number)
{
	size_t len = strlen(answers);

	len += (size_t)snprintf(answers + len, sizeof(answers) - len, "%s%s",
				len > 0 ? " " : "", verb);
	if (number >= 0)
		snprintf(answers + len, sizeof(answers) - len, "%ld", number);
}

/* Adds what the machine answers.  True if it has to be asked again. */
static bool ask(void)
{
	struct eyeballs_step s = plait_i_eyeballs_next(&machine, now);

	switch (s.verb) {
	case EYEBALLS_START:
		answer("start", s.number);
		return true;
	case EYEBALLS_GIVE_UP:
		answer("giveup", s.number);
		return true;
	case EYEBALLS_GIVE_WAY:
		answer("giveway", s.number);
		return true;
	case EYEBALLS_WAKE:
		answer("wake", s.when / MS);
		break;
	case EYEBALLS_TURN:
		answer("turn", -1);
		break;
	case EYEBALLS_WON:
		answer("won", s.number);
		break;
	case EYEBALLS_LOST:
		answer("lost", -1);
		break;
	case EYEBALLS_WAIT:
		break;
	}
	return false;
}

static void play_moment(char *moment)
{
	char *expected = strchr(moment, '>'), *rest;

	ck_assert_msg(expected != NULL, "no answer: %s", moment);
	*expected++ = '\0';
	expected += strspn(expected, " ");
	for (char *w = strtok_r(moment, " ", &rest); w != NULL;
	     w = strtok_r(NULL, " ", &rest))
		happen(w);
	answers[0] = '\0';
	while (ask())
		;
	ck_assert_msg(strcmp(answers, expected) == 0,
		      "at %ld ms: \"%s\" instead of \"%s\"", (long)(now / MS),
		      answers, expected);
}

static void play_with(long resolution_delay, long attempt_delay,
		      const char *text)
{
	char copy[1024], *rest;

	ck_assert_uint_lt(strlen(text), sizeof(copy));
	strcpy(copy, text);
	plait_i_eyeballs_init(&machine, (int64_t)resolution_delay * MS,
			      (int64_t)attempt_delay * MS);
	now = 0;
	for (char *m = strtok_r(copy, ";", &rest); m != NULL;
	     m = strtok_r(NULL, ";", &rest))
		play_moment(m);
}

/* A test of races, with the recommended delays. */
#define RACE(claim, ...)                                                       \
	static const char *const claim##_races[] = { __VA_ARGS__ };            \
	TEST(claim, PURE, EACH_OF(claim##_races))                              \
	{                                                                      \
		play_with(50, 250, claim##_races[_i]);                         \
	}

GROUP("rfc8305");

RACE(section_3_does_not_wait_for_both_families, "+6 > start0",
     "+4 > wake50; @50 > start0", "+4 .6 > start0");

/* Answers and failures come in any order, between attempts. */
RACE(section_3_treats_the_lookup_as_asynchronous,
     "+6 > start0; fails0 > ; +4 > start1; connects1 > won1",
     "+6 > start0; @400 > ; +4 > start1; @401 connects0 > giveup1 won0",
     "+4 .4 > wake50; @50 > start0; fails0 > ; @900 +6 . > start1");

RACE(section_3_starts_at_once_when_ipv6_comes_first,
     "@7 +6 > start0; +4 > wake257");

RACE(section_3_waits_for_ipv6_if_ipv4_comes_first,
     "@10 +4 +4 > wake60; @59 > wake60; @60 > start0 wake310",
     /* ... from the first on. */
     "@10 +4 > wake60; @30 +4 > wake60");

RACE(section_3_starts_with_ipv6_that_comes_within_the_delay,
     "+4 > wake50; @20 +6 > start1 wake270; @270 > start0");

RACE(section_3_goes_on_at_once_when_there_is_no_ipv6,
     "+4 > wake50; @20 .6 > start0");

RACE(section_3_goes_on_when_the_delay_is_over,
     "+4 +4 > wake50; @50 > start0 wake300; @300 .6 > start1");

RACE(section_3_joins_ipv6_that_comes_during_attempts,
     "+4 +4 > wake50; @50 > start0 wake300; @60 +6 > wake300;"
     "@300 > start2 wake550; @550 > start1");

/* Where the resolver prefers IPv4, IPv4 begins.  Later this has no effect. */
RACE(section_4_begins_with_the_best_address,
     "+6 +4 prefer4 > start1 wake250; @250 > start0",
     "+6 +4 prefer6 > start0 wake250",
     "+6 > start0; prefer6 +4 > wake250;"
     "@250 > start1");

RACE(section_4_interleaves_the_families,
     "+6 +6 +6 +4 +4 > start0 wake250; @250 > start3 wake500;"
     "@500 > start1 wake750; @750 > start4 wake1000; @1000 > start2",
     "+6 +4 +4 +4 > start0 wake250; @250 > start1 wake500;"
     "@500 > start2 wake750; @750 > start3");

RACE(section_5_starts_one_attempt_at_a_time,
     "+6 +6 > start0 wake250; @249 > wake250; @250 > start1");

RACE(section_5_lets_earlier_attempts_go_on,
     "+6 +4 . > start0 wake250; @250 > start1; @700 connects0 >"
     "giveup1 won0");

RACE(section_5_cancels_the_others_when_one_has_succeeded,
     "+6 +6 +6 > start0 wake250; @250 > start1 wake500; @500 > start2;"
     "connects0 > giveup1 giveup2 won0");

RACE(section_5_ignores_what_was_not_tried_when_one_has_succeeded,
     "+6 +4 > start0 wake250; connects0 > won0; @250 > won0; +4 > won0");

TEST(section_5_delays_attempts_by_no_less_than_10_ms, PURE)
{
	play_with(50, 0, "+6 +6 > start0 wake10; @9 > wake10; @10 > start1");
}

RACE(section_5_starts_none_within_10_ms_of_one_that_is_under_way,
     "+6 +6 +6 > start0 wake250; @250 > start1 wake500; @251 fails0 >"
     "wake260; @260 > start2",
     "+6 +6 +6 > start0 wake250; @250 > start1 wake500; @260 fails0 >"
     "start2");

TEST(section_5_delays_attempts_by_no_more_than_2_s, PURE)
{
	play_with(50, 3000, "+6 +6 > start0 wake2000; @2000 > start1");
}

RACE(section_6_sorts_new_addresses_among_those_not_tried,
     "+6 +6 > start0 wake250; @100 +4 +4 > wake250; @250 > start2 wake500;"
     "@500 > start1 wake750; @750 > start3",
     /* An answer may come in parts. */
     "+6 > start0; +6 +4 > wake250; @250 > start2 wake500; @500 > start1");

TEST(section_8_recommends_these_values, PURE)
{
	ck_assert_int_eq(EYEBALLS_RESOLUTION_DELAY, 50 * MS);
	ck_assert_int_eq(EYEBALLS_ATTEMPT_DELAY, 250 * MS);
	ck_assert_int_eq(EYEBALLS_LEAST_DELAY, 10 * MS);
	ck_assert_int_eq(EYEBALLS_MOST_DELAY, 2000 * MS);
}

GROUP("eyeballs");

RACE(a_failed_attempt_starts_the_next_at_once,
     "+6 +4 > start0 wake250; @1 fails0 > start1",
     "+6 +4 +6 > start0 wake250; @1 fails0 > start1 wake251;"
     "@20 fails1 > start2",
     /* ... whichever it is, and whenever an address comes. */
     "+6 +6 +6 . > start0 wake250; @250 > start1 wake500; @300 fails0 >"
     "start2",
     "+6 > start0; @5 fails0 > ; @6 +6 > start1");

/* At once is one: the other addresses have their own times. */
RACE(two_that_fail_together_start_one,
     "+6 +6 +6 +6 > start0 wake250; @250 > start1 wake500;"
     "@400 fails0 fails1 > start2 wake650");

RACE(a_race_is_lost_when_all_have_failed_and_no_more_come,
     "+6 +4 > start0 wake250; fails0 > start1; fails1 > ; .6 > ; .4 > lost",
     "+6 . > start0; fails0 > lost", ". > lost",
     "+6 .6 > start0; fails0 > ;"
     ".4 > lost");

RACE(nothing_happens_before_an_address_comes, "> ; .6 > ; @9000 > ");

RACE(of_two_that_connect_in_one_turn_the_first_wins,
     "+6 +6 > start0 wake250; @250 > start1; connects1 > turn;"
     "connects0 > giveup1 won0",
     "+6 +4 > start0 wake250; @250 > start1; connects1 connects0 >"
     "giveup1 won0");

RACE(one_that_connects_alone_in_its_turn_wins,
     "+6 +6 > start0 wake250; @250 > start1; connects1 > turn; over >"
     "giveup0 won1",
     /* None is left that could come first. */
     "+6 +6 > start0 wake250; @250 > start1; connects1 > turn; fails0 >"
     "won1");

#define EIGHT                                                                  \
	"+6 +6 +6 +6 +6 +6 +6 +6 +6 +6 > start0 wake250; @250 > start1"        \
	" wake500; @500 > start2 wake750; @750 > start3 wake1000; @1000 >"     \
	"start4 wake1250; @1250 > start5 wake1500; @1500 > start6 wake1750;"   \
	"@1750 > start7 wake2000;"

RACE(so_many_are_under_way_at_once, EIGHT "@1900 fails3 > start8 wake2150",
     EIGHT "@1999 > wake2000");

RACE(the_oldest_gives_way_when_it_has_had_its_time,
     EIGHT "@2000 > giveway0 start8 wake2250; @2250 > giveway1 start9;"
	   "@9000 connects2 > giveup3 giveup4 giveup5 giveup6 giveup7 giveup8 "
	   "giveup9 won2",
     /* ... which is that of the next as well. */
     EIGHT "@1900 fails3 > start8 wake2150; @2150 > giveway0 start9");

TEST(an_attempt_has_2_s_however_many_wait, PURE)
{
	play_with(50, 10,
		  "+6 +6 +6 +6 +6 +6 +6 +6 +6 > start0 wake10; @10 > start1"
		  " wake20; @20 > start2 wake30; @30 > start3 wake40; @40 >"
		  "start4 wake50; @50 > start5 wake60; @60 > start6 wake70;"
		  "@70 > start7 wake2000; @80 > wake2000; @2000 > giveway0"
		  " start8");
}

RACE(all_that_never_answer_are_told_when_all_is_over,
     EIGHT "@2000 . > giveway0 start8 wake2250; @2250 > giveway1 start9;"
	   "fails2 fails3 fails4 fails5 fails6 fails7 fails8 > ; fails9 > "
	   "lost");

/* One family does not take the room of the other. */
TEST(so_many_addresses_of_each_family_are_taken, PURE)
{
	int n = 0;

	plait_i_eyeballs_init(&machine, 0, 0);
	for (int i = 0; i < EYEBALLS_OF_FAMILY; i++)
		ck_assert_int_eq(plait_i_eyeballs_add(&machine, AF_INET, 0),
				 n++);
	ck_assert_int_eq(plait_i_eyeballs_add(&machine, AF_INET, 0), -1);
	for (int i = 0; i < EYEBALLS_OF_FAMILY; i++)
		ck_assert_int_eq(plait_i_eyeballs_add(&machine, AF_INET6, 0),
				 n++);
	ck_assert_int_eq(plait_i_eyeballs_add(&machine, AF_INET6, 0), -1);
}

/* For ever: the clock has no end, either. */
TEST(an_endless_resolution_delay_waits_for_the_answer, PURE)
{
	plait_i_eyeballs_init(&machine, INT64_MAX, 0);
	plait_i_eyeballs_add(&machine, AF_INET, 1);
	ck_assert_int_eq(plait_i_eyeballs_next(&machine, 2).when, INT64_MAX);
	plait_i_eyeballs_end(&machine, AF_INET6);
	ck_assert_int_eq(plait_i_eyeballs_next(&machine, 2).verb,
			 EYEBALLS_START);
}

TEST(an_address_after_the_end_aborts, PURE, ABORTS)
{
	play_with(0, 0, ".6 > ; +6 > ");
}

/* Neither has it begun. */
static const char *const mistakes[] = { "+4 > wake50; fails0 > ",
					"+4 > wake50; connects0 > " };

TEST(what_is_not_under_way_cannot_end, PURE, ABORTS, EACH_OF(mistakes))
{
	play_with(50, 250, mistakes[_i]);
}

static uint32_t state;

static unsigned chance(unsigned n)
{
	state = state * 1664525 + 1013904223;
	return (state >> 8) % n;
}

TEST(random_races_keep_all_the_rules, PURE)
{
	const char *seeds = getenv("PLAIT_SEEDS");
	uint32_t n = seeds != NULL ? (uint32_t)atoi(seeds) : 3000;
	unsigned ends[2] = { 0 };

	for (uint32_t i = 0; i < n; i++) {
		state = i;
		ends[race_run(chance, 20 + i % 400)]++;
	}
	ck_assert_uint_gt(ends[RACE_WON], n / 10);
	ck_assert_uint_gt(ends[RACE_LOST], n / 10);
}
