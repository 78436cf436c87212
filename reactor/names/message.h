/*
 * Messages of the DNS, as they are on the wire: questions are written, answers
 * read.  Reading needs no memory, and time that is linear in the size of the
 * message, whatever the message claims.
 */
#ifndef REACTOR_MESSAGE_H
#define REACTOR_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reactor/names/name.h"

/* What answers to us may take in a datagram, as we tell servers. */
enum { MESSAGE_EDNS_SIZE = 1232 };

/* The most bytes of a question. */
enum { MESSAGE_QUESTION_SIZE = 12 + NAME_SIZE + 4 + 11 };

/* What a question asks for, besides. */
enum {
	ASK_EDNS = 1,	/* say how much a datagram may take */
	ASK_TRUSTED = 2 /* say whether the answer is authentic */
};

/*
 * Writes a question for the records of that type and name, of the class IN,
 * with recursion; buf has room for MESSAGE_QUESTION_SIZE bytes.  Returns its
 * length.
 */
size_t plait_i_message_ask(unsigned char *buf, unsigned id,
			   const struct dns_name *name, unsigned type,
			   unsigned flags);

enum { DNS_CLASS_IN = 1 };

enum dns_rcode {
	RCODE_OK = 0,
	RCODE_FORMAT_ERROR = 1,
	RCODE_SERVER_FAILURE = 2,
	RCODE_NO_NAME = 3,
	RCODE_NOT_IMPLEMENTED = 4,
	RCODE_REFUSED = 5,
	RCODE_BAD_VERSION = 16 /* of EDNS */
};

enum dns_section { SECTION_ANSWER, SECTION_AUTHORITY, SECTION_ADDITIONAL };

struct dns_message {
	const unsigned char *bytes; /* borrowed */
	size_t size;
	unsigned id, opcode;
	unsigned rcode; /* 12 bits, with those of EDNS */
	bool is_answer, authoritative, truncated, recursion_available;
	bool authentic; /* the server has verified it, it says */
	bool has_edns;
	/* The records are all there, and each lies where it should.  A message
	   that is not truncated and not whole is malformed. */
	bool whole;
	/* The question; servers leave it out when they do not understand it. */
	bool has_question;
	struct dns_name name; /* with the case that it came in */
	unsigned type, dns_class;
	/* Private: where the records begin, how many are said to follow. */
	size_t records;
	unsigned counts[3];
};

/*
 * Reads a message, which is borrowed as long as *ret is used: the header, the
 * question, and what the records say about the message.  Returns 0, or -EBADMSG
 * if it has no header, no whole question, or more than one question.
 */
int plait_i_message_parse(struct dns_message *ret, const void *bytes,
			  size_t len);

/* Is true if it is an answer with this id to exactly this question. */
bool plait_i_message_answers(const struct dns_message *m, unsigned id,
			     const struct dns_name *name, unsigned type);

/* A record, as far as all are alike; name and data are places in the message.
 */
struct dns_rr {
	enum dns_section section;
	size_t name;
	unsigned type, dns_class;
	uint32_t ttl; /* as sent */
	size_t data, length;
};

/* A place between two records; zeroed, it is before the first. */
struct dns_walk {
	size_t at;
	unsigned section, done; /* of the records of this section */
};

/*
 * Gives the next record.  Returns true, or false when there is none left, or
 * the next one is not whole.
 */
bool plait_i_message_next(const struct dns_message *m, struct dns_walk *w,
			  struct dns_rr *ret);

/*
 * Reads the name at *at, which may go on elsewhere, and moves *at behind it.
 * Returns 0, or -EBADMSG; then *ret and *at are unchanged.
 */
int plait_i_message_name(const struct dns_message *m, size_t *at,
			 struct dns_name *ret);

/* Is true if the name at this place is n, the case of letters aside. */
bool plait_i_message_name_is(const struct dns_message *m, size_t at,
			     const struct dns_name *n);

/* The number in the bytes at this place, of which the caller knows that they
   lie in the message. */
static inline unsigned message_get16(const struct dns_message *m, size_t at)
{
	return m->bytes[at] * 256u + m->bytes[at + 1];
}

static inline uint32_t message_get32(const struct dns_message *m, size_t at)
{
	return (uint32_t)message_get16(m, at) << 16 | message_get16(m, at + 2);
}

#endif
