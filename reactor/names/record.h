/*
 * What a message answers: the records that its question leads to, decoded for
 * programs (<plait/dns.h>), or that there are none, and for how long this is
 * true.
 */
#ifndef REACTOR_RECORD_H
#define REACTOR_RECORD_H

#include <plait/dns.h>

#include "reactor/names/message.h"

/*
 * The longest chain of CNAME records that is followed, and how many such
 * records an answer may have in all, so that looking for each link takes
 * bounded time.
 */
enum { MAX_ALIASES = 16, MAX_CNAMES = 64 };

/* In seconds: what is found and what is not is believed no longer. */
enum { MAX_TTL = 24 * 60 * 60, MAX_NEGATIVE_TTL = 3 * 60 * 60 };

enum dns_outcome { DNS_FOUND, DNS_NO_NAME, DNS_NO_DATA };

struct dns_reading {
	enum dns_outcome outcome;
	/* For how many seconds the outcome is true.  If nothing was found, 0
	   means that the server has not said so: it sent no SOA record. */
	uint32_t ttl;
	/* What the aliases led to: the name that has the records, or has not,
	   or is not. */
	struct dns_name end;
	struct plait_dns_answer *answer; /* given, if found; or else NULL */
};

/*
 * Reads what a whole message with the rcode RCODE_OK or RCODE_NO_NAME answers
 * to the question in it.  Records that the question does not lead to are
 * ignored.  age is how many seconds ago the message came: all times to live are
 * less by that, and at least 0.
 *
 * Returns 0; -EBADMSG if the message is not whole or has no question, if a
 * record that counts is malformed, or if the aliases are more than MAX_ALIASES
 * or lead in a circle; or -ENOMEM.  Then *ret is unchanged.
 */
int plait_i_answer_read(struct dns_reading *ret, const struct dns_message *m,
			uint32_t age);

/*
 * The same, for n messages, at most MAX_ALIASES + 1, that have come one after
 * the other: each but the first answers a question for the name to which the
 * aliases before it have led.  The answer is that to the first question.
 */
int plait_i_answer_read_parts(struct dns_reading *ret,
			      const struct dns_message *parts, size_t n,
			      uint32_t age);

/* Gives a further reference to a. */
struct plait_dns_answer *plait_i_answer_ref(struct plait_dns_answer *a);

/* Gives a value of the reference a, which is taken. */
plait_value plait_i_answer_value(struct plait_dns_answer *a);

/* Ends the reference *ap; *ap is NULL afterwards, and NULL does nothing. */
void plait_i_answer_unref(struct plait_dns_answer **ap);

#endif
