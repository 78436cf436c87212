/*
 * DNS messages for tests, made from words: what a server sends, or might.
 */
#ifndef TESTS_DNS_REPLY_H
#define TESTS_DNS_REPLY_H

#include <stddef.h>

struct dns_reply {
	size_t length;
	unsigned char bytes[65535];
};

/*
 * Makes a message from statements with `;' between them, in their order:
 *
 *	id N			its id, 0 if this is not said
 *	flags WORD...		qr aa tc rd ra ad; `qr rd ra' if not said
 *	opcode N, rcode N	the lower four bits of the code
 *	compress		from here on a name refers to earlier ones
 *	class N			from here on records have this class
 *	question NAME TYPE
 *	answer NAME TTL TYPE DATA
 *	authority, additional	the same; each section behind the one before
 *	edns SIZE N		an OPT record with the upper bits of the code
 *	bytes HEX		as they are, and they are counted nowhere
 *	count SECTION N		what the header says: question, answer ...
 *
 * DATA is what plait_dns_record_str() writes of that type; of any type it may
 * also be `\# LENGTH HEX'.  Ends the test if it does not understand a word.
 */
void dns_reply_make(struct dns_reply *r, const char *words);

/*
 * Copies bytes to the end of a page with none behind it, so that whoever looks
 * beyond them ends the test.  The copy is there until the next call.
 */
const void *dns_reply_at_end(const void *bytes, size_t len);

#endif
