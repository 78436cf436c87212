/*
 * Happy eyeballs, RFC 8305: which address of a name is tried when.
 *
 * It is pure: it has no descriptor and no clock.  Its owner says what has
 * happened, and then asks what to do until the answer is to wait.  Addresses
 * have numbers, which count from 0 in the order in which they were added; of
 * each family the best comes first.
 *
 * The rules:
 *
 *  - IPv6 begins.  If the first addresses are IPv4 ones, they wait for those of
 *    IPv6, at most for the resolution delay (3).
 *  - Families take turns, as long as both have addresses (4).
 *  - The next attempt begins when the attempt delay has passed since the last
 *    one began, or when any attempt has failed since then.  Earlier attempts go
 *    on.  While the last attempt is under way, none begins within 10 ms of it
 *    (5).
 *  - If so many are under way that there is no room for the next, the attempt
 *    that has begun first gives way to it, as soon as it has had 2 s: so
 *    addresses that never answer do not keep any other from its attempt.
 *  - Addresses that are added later take their places among those that were
 *    not tried yet (6).
 *  - The first attempt that is connected wins.  Of several in one turn of the
 *    loop, it is the attempt that has begun first.
 *
 * RFC 8305 lets 10 ms pass before an attempt even if the attempt before it has
 * failed.  Here the next attempt begins at once then: an attempt that has ended
 * sends nothing any more, so there is no congestion to avoid.
 */
#ifndef REACTOR_EYEBALLS_H
#define REACTOR_EYEBALLS_H

#include <stdbool.h>
#include <stdint.h>

enum {
	EYEBALLS_OF_FAMILY = 64, /* addresses; more are refused */
	EYEBALLS_ADDRESSES = 2 * EYEBALLS_OF_FAMILY,
	EYEBALLS_AT_ONCE = 8 /* so many attempts are under way at most */
};

/* Nanoseconds.  The last two are the bounds of the attempt delay; and no
   attempt gives way before the last one has passed. */
enum {
	EYEBALLS_RESOLUTION_DELAY = 50000000,
	EYEBALLS_ATTEMPT_DELAY = 250000000,
	EYEBALLS_LEAST_DELAY = 10000000,
	EYEBALLS_MOST_DELAY = 2000000000
};

/* The addresses of a family that are not tried yet are numbers[next] and all
   behind it. */
struct eyeballs_queue {
	unsigned char numbers[EYEBALLS_OF_FAMILY];
	unsigned char count, next;
	bool ended; /* no more addresses come */
};

enum eyeballs_family { EYEBALLS_IPV6, EYEBALLS_IPV4, EYEBALLS_FAMILIES };

struct eyeballs {
	int64_t resolution_delay, attempt_delay;
	int64_t came; /* when the first address came */
	struct eyeballs_queue queues[EYEBALLS_FAMILIES];
	unsigned char states[EYEBALLS_ADDRESSES];
	unsigned char tried[EYEBALLS_ADDRESSES]; /* in the order of their
						    beginning */
	int64_t began[EYEBALLS_ADDRESSES];	 /* when each of these has */
	unsigned char addresses, attempts, under_way, connected;
	bool hurries;	/* an attempt has failed since the last one began */
	bool turn_over; /* since an attempt was connected */
	enum eyeballs_family turn; /* whose address is next, if it has any */
};

enum eyeballs_verb {
	EYEBALLS_START,	   /* the attempt of that number */
	EYEBALLS_GIVE_UP,  /* the attempt of that number: another has won */
	EYEBALLS_GIVE_WAY, /* the attempt of that number has had its time */
	EYEBALLS_WAIT,	   /* until something happens */
	EYEBALLS_WAKE,	   /* ... or until that time; then ask again */
	EYEBALLS_TURN,	   /* ... or until this turn is over, and say so */
	EYEBALLS_WON,	   /* by the attempt of that number; nothing follows */
	EYEBALLS_LOST	   /* all have failed and no more come */
};

struct eyeballs_step {
	enum eyeballs_verb verb;
	unsigned number;
	int64_t when;
};

/* Begins anew.  The attempt delay is moved into its bounds. */
void plait_i_eyeballs_init(struct eyeballs *e, int64_t resolution_delay,
			   int64_t attempt_delay);

/*
 * What has happened.  family is AF_INET or AF_INET6.
 *
 * The first adds an address and returns its number, or -1 if there is no room
 * for more of its family, which the second says beforehand.  The third says
 * that no more come of a family; AF_UNSPEC: of any.  The fourth says whose best
 * address is better, by RFC 6724, than the best one of the other family; this
 * counts until the first attempt.
 */
int plait_i_eyeballs_add(struct eyeballs *e, int family, int64_t now);
bool plait_i_eyeballs_have_room(const struct eyeballs *e, int family);
void plait_i_eyeballs_end(struct eyeballs *e, int family);
void plait_i_eyeballs_prefer(struct eyeballs *e, int family);

/* An attempt that is under way has failed, or is connected. */
void plait_i_eyeballs_failed(struct eyeballs *e, unsigned number);
void plait_i_eyeballs_connected(struct eyeballs *e, unsigned number);

/* The turn in which the answer was EYEBALLS_TURN is over. */
void plait_i_eyeballs_turn_over(struct eyeballs *e);

/* What is to be done now. */
struct eyeballs_step plait_i_eyeballs_next(struct eyeballs *e, int64_t now);

#endif
