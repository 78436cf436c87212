/*
 * A DNS server of a test that does what its script says, right or wrong.  It
 * has a UDP socket and a TCP listener on one port of 127.0.0.1.  They are
 * watched by the reactor under test, and no fault hits their calls.
 *
 * A script has a step for each question, whether it comes over UDP or TCP, with
 * ";" between them; the last step is for all questions that follow.  A step is
 * a row of messages with "," between them; a message is one of
 *
 *	drop			no message
 *	answer			an address record: 192.0.2.1 or 2001:db8::1
 *	no-data, no-name	with a SOA record
 *	empty			no record at all, but from one who looks things
 *up referral		the server of another zone format-error, server-failure,
 *not-implemented, refused, bad-version garbage			bytes that are
 *no message nothing			zero bytes huge			65,000
 *bytes; 65,535 over TCP half			TCP: a length, and half of what
 *it promises drip			TCP: a long message, a byte each 0.4
 *seconds hang-up, reset		TCP: the end
 *
 * after any of these words:
 *
 *	after 0.3		in that many seconds
 *	wrong-id, wrong-name, wrong-type, wrong-class
 *	other-case		the letters of the name are changed
 *	no-question		only the header, and the records
 *	query			it is not said to be an answer
 *	truncated		with TC
 *	authoritative		with AA, and looks up nothing for others
 *	cut 5			only its first 5 bytes are sent
 *	from-elsewhere		from another port; only over UDP
 *	lossy			or else drop, one time in twenty
 *	without-edns		or else format-error, if the question has EDNS0
 *
 * What must not be taken for the answer has another address, 203.0.113.66 or
 * 2001:db8:bad::1: whatever has a wrong id, name, type or class, is a query, or
 * comes from elsewhere.
 *
 * A server that begins with the script "absent" refuses datagrams and
 * connections, as if no server was there.  "no-tcp" in front of a script
 * refuses connections alone.
 */
#ifndef TESTS_NAMESERVER_H
#define TESTS_NAMESERVER_H

#include <plait/plait.h>

#include "tests/harness.h"

enum { NAMESERVER_SEEN = 64 };

/* A question as it was asked. */
struct nameserver_question {
	uint16_t id;
	uint16_t port; /* of who asks */
	uint16_t type;
	bool edns;
	unsigned edns_size;
	bool authentic; /* AD */
	bool tcp;
};

struct nameserver {
	struct plait_address address;
	/* What it has seen: questions over UDP and TCP, and connections. */
	unsigned datagrams, streamed, connections;
	struct nameserver_question seen[NAMESERVER_SEEN];
	unsigned n_seen; /* they are kept as far as there is room */
	/* private */
	struct plait_reactor *reactor;
	const char *script;
	int udp, tcp; /* -1: none */
	struct plait_watch udp_watch, tcp_watch;
	struct plait_list connected, delayed;
	uint64_t chance;
};

void nameserver_start(struct nameserver *ns, struct plait_reactor *r,
		      const char *script);
void nameserver_stop(struct nameserver *ns);

/* From the next question on. */
void nameserver_script(struct nameserver *ns, const char *script);

#endif
