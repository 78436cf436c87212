/*
 * The story of one connection, told in steps: what this end, the peer and the
 * kernel do, and what has come of it.
 *
 *	STORY(the_halves_close_in_either_order,
 *	      "half-closeable; open; peer shuts; turn 3; trace MR;"
 *	      "write 100 bytes; lose write; peer gets 100 bytes, end; turn 3;"
 *	      "trace MRW; lose; end; trace MRWL");
 *
 * It is a TEST ON_EACH_BACKEND; one of several stories runs once with each.
 *
 *	half-closeable, pair	before open: as in wire.h
 *	check-bytes		what comes has to be wire_byte()
 *	limit close_timeout 7	of the reactor, for what is opened later
 *	open			connects
 *	D { lose; write x }	is what its protocol does on each D of the
 *				trace: M D R W L as in wire.h, E: done()
 *
 *	write TEXT		this end's calls
 *	write 8M bytes		... of wire_byte(), from where it was
 *	share TEXT		... as a plait_buf
 *	mix 8M bytes		... in pieces of all sizes, of both kinds
 *	lose, lose write, abort, pause, resume
 *	produce, pull, unregister	a producer that notes what it is told
 *	produce-for-itself	its reading stops while it cannot write
 *	holds-unread, has-read	what its protocol says of itself
 *	work			something begins in its scope
 *
 *	peer says TEXT, peer sends 5 bytes, peer shuts, peer closes
 *	peer resets
 *	peer gets TEXT		turns until it has come
 *	peer gets 5 bytes	... and are wire_byte(), from where it was
 *	peer gets 5 bytes, end	... and then the end; or: peer gets end
 *	peer gets reset		after whatever
 *	peer takes 5 bytes	which have come
 *	peer cannot-send	as this end has gone for good
 *	hold, let-go		a forked child has all descriptors meanwhile
 *	child { STEPS }		a forked child does them
 *
 *	turn, turn 3		turns that wait for nothing
 *	wait 4.9		that many seconds of virtual time
 *	sleeps 9		a turn finds nothing to do for that long
 *	quiet 0.2		that time passes in few turns
 *	until reads 1, until lost 1
 *	virtual, real-time	the clock
 *	epoll-only		the story ends here with any other backend
 *	run-and-stop, iterate-and-stop, free-reactor
 *	lost			turns until connection_lost(), and it is done
 *	end			the peer closes, lost, once each
 *
 *	fail recv EINTR, fail recv EINTR 3, fail recv EINTR forever
 *	short recv 9, short recv 9 forever	moves that many bytes
 *	pass recv 2		as fault.h says; wait is the backend's call
 *	faults-off
 *	no-memory, memory, used recv
 *	count			calls, from now on: calls recv 5
 *
 *	trace MDL, text TEXT, why TEXT, errno EPIPE, lost 0, done 1
 *	received 5, reads 2, unsent 9	bytes, and calls of data_received()
 *	is closing, is open, peer is gone, peer is there
 *	producer PRS		what it was told
 *	work ended, work goes-on
 *
 * play() does the same in the middle of another test.
 */
#ifndef TESTS_STORY_H
#define TESTS_STORY_H

#include "tests/play.h"
#include "tests/wire.h"

#define STORY(claim, ...) STORY_ON(claim, ON_EACH_KERNEL, __VA_ARGS__)
#define STORY_ON(claim, kind, ...)                                             \
	static const char *const claim##_told[] = { __VA_ARGS__ };             \
	TEST(claim, kind, EACH_OF(claim##_told))                               \
	{                                                                      \
		static struct wire w; /* it may outlive the story */           \
                                                                               \
		w = (struct wire){ .peer = -1 };                               \
		story_play(&w, claim##_told[_i]);                              \
	}

void play(struct wire *w, const char *story);

/* The same for a STORY: closes what is left open. */
void story_play(struct wire *w, const char *story);

/* For verbs: whose story it is. */
struct wire *story_wire(void);

/* ... and what that peer does, "says hello", is next in the step. */
void story_peer(struct wire *w);

#endif
