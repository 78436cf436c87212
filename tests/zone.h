/*
 * A DNS server of a test that knows names: what it answers depends on what it
 * is asked for.  It is watched by the reactor under test, and no fault hits its
 * calls.  nameserver.h has the server that does everything wrong.
 *
 * What it knows is a list with '|' between its items, each of them
 *
 *	NAME TYPE: WORDS
 *
 * where TYPE may be *, and WORDS are those of dns_reply.h, without id and
 * question; or "drop": then it says nothing; or "address": 192.0.2.1.  With
 * "later" before the words it says them when zone_answer_later() is called.  A
 * NAME may end in **, for all names that begin so.  A name that is not in the
 * list does not exist; a type that is not, for a name that is, has no data.
 */
#ifndef TESTS_ZONE_H
#define TESTS_ZONE_H

#include <netinet/in.h>

#include <plait/plait.h>

#include "tests/harness.h"

struct zone {
	struct plait_address address;
	unsigned asked;	   /* how often */
	char log[4096];	   /* what for: "A a.example AAAA a.example" */
	const char *known; /* may be changed at any time */
	unsigned lost; /* each question of so many gets no answer; 0: none */
	/* private */
	struct plait_reactor *reactor;
	struct plait_watch watch;
	int fd;
	char late[4500]; /* the last answer that is to come later */
	struct sockaddr_in late_to;
};

void zone_start(struct zone *z, struct plait_reactor *r, const char *known);
void zone_stop(struct zone *z);

/* Sends the last answer that was to come later. */
void zone_answer_later(struct zone *z);

/* What was asked for since the last call of this. */
const char *zone_log(struct zone *z);

#endif
