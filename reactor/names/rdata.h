/*
 * The data of records, from a message to what programs see.
 */
#ifndef REACTOR_RDATA_H
#define REACTOR_RDATA_H

#include <plait/dns.h>

#include "reactor/names/message.h"

/*
 * Where records are put, with their strings and all text, and how much of it is
 * used.  The pointers are NULL as long as nobody knows how much will be needed:
 * then putting only counts.
 */
struct room {
	size_t n_records, n_strings, n_text;
	struct plait_dns_record *records;
	struct plait_dns_bytes *strings;
	char *text;
};

/* Puts a name, as text, and returns where it is; NULL if there is no room. */
const char *plait_i_room_put_name(struct room *r, const struct dns_name *n);

/*
 * Puts a record, decoded, with the name and the time to live that it is to
 * have; owner is borrowed as long as the room is used.  Returns 0, or -EBADMSG
 * if the record is not as its type says; then the room may have parts of it.
 */
int plait_i_rdata_decode(struct room *r, const struct dns_message *m,
			 const struct dns_rr *rr, const char *owner,
			 uint32_t ttl);

#endif
