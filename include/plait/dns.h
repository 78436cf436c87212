/*
 * Records of the DNS, as lookups give them, and what may go wrong with a
 * lookup.
 *
 * Names are text without a dot at the end; "." is the root.  As in the files of
 * DNS servers, \. is a dot inside a label, and \DDD the byte with this decimal
 * number.  All bytes that are not visible ASCII are written so, and thus a name
 * can neither end a line nor command a terminal.
 */
#ifndef PLAIT_DNS_H
#define PLAIT_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <plait/address.h>
#include <plait/failure.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The kinds of failures of a lookup.  All descend from plait_error_dns_lookup
 * of <plait/failure.h>.  Only after the first two is it known that nothing was
 * to be found; after the others nothing is known.
 *
 *	dns_lookup
 *	  dns_no_name, dns_no_data
 *	  dns_server_failure, dns_refused, dns_timeout, dns_malformed
 *	  dns_bad_name
 */
extern const struct plait_error plait_error_dns_no_name;
extern const struct plait_error plait_error_dns_no_data;
extern const struct plait_error plait_error_dns_server_failure;
extern const struct plait_error plait_error_dns_refused;
extern const struct plait_error plait_error_dns_timeout;
extern const struct plait_error plait_error_dns_malformed;
extern const struct plait_error plait_error_dns_bad_name;

/* The types of records that the library decodes, and "any type". */
enum plait_dns_type {
	PLAIT_DNS_A = 1,
	PLAIT_DNS_NS = 2,
	PLAIT_DNS_CNAME = 5,
	PLAIT_DNS_SOA = 6,
	PLAIT_DNS_PTR = 12,
	PLAIT_DNS_MX = 15,
	PLAIT_DNS_TXT = 16,
	PLAIT_DNS_AAAA = 28,
	PLAIT_DNS_SRV = 33,
	PLAIT_DNS_ANY = 255
};

/*
 * Writes the name of a type as snprintf() would: "A", "MX", and so on, or
 * "TYPE731" if the type has no name that the library knows.  Returns the
 * length of the whole text, without the NUL.
 */
int plait_dns_type_str(unsigned type, char *buf, size_t size);

/*
 * Reads the name of a type, in any case, or TYPE731, borrowed for the call.
 * Returns 0, or -EINVAL if the text is neither; then *ret is unchanged.
 */
int plait_dns_type_from_str(unsigned *ret, const char *text);

/* Bytes of a record, with a NUL behind them that does not count. */
struct plait_dns_bytes {
	const char *data;
	size_t length;
};

struct plait_dns_soa {
	const char *server;  /* the first of the zone */
	const char *mailbox; /* of who is responsible; '.' stands for '@' */
	uint32_t serial, refresh, retry, expire, minimum;
};

struct plait_dns_mx {
	unsigned preference; /* the lowest is tried first */
	const char *host;
};

struct plait_dns_txt {
	size_t count;
	const struct plait_dns_bytes *strings;
};

struct plait_dns_srv {
	unsigned priority; /* the lowest is tried first */
	unsigned weight, port;
	const char *host;
};

/* One record.  Everything in it is borrowed from its answer. */
struct plait_dns_record {
	const char *name;
	unsigned type;
	uint32_t ttl; /* in seconds, a day at most */
	/* What is in it, by its type. */
	union {
		struct plait_address address; /* A, AAAA: with port 0 */
		const char *host;	      /* CNAME, NS, PTR */
		struct plait_dns_soa soa;
		struct plait_dns_mx mx;
		struct plait_dns_txt txt;
		struct plait_dns_srv srv;
		struct plait_dns_bytes bytes; /* all other types: as sent */
	} data;
	uintptr_t reserved[4]; /* zero */
};

/*
 * Writes a record in one line, as snprintf() would: name, time to live, type,
 * and what is in it, as in the files of DNS servers.  What has a type that is
 * not decoded looks as in RFC 3597: "\# 3 abcdef".  Returns the length of the
 * whole text, without the NUL.
 */
int plait_dns_record_str(const struct plait_dns_record *rec, char *buf,
			 size_t size);

/*
 * The answer to a question: at least one record.  Everything in it is borrowed
 * from it, and lives as long as the value that it came as.
 */
struct plait_dns_answer {
	const char *name; /* what was asked for, in full */
	unsigned type;
	uint32_t ttl; /* seconds: the least of records and aliases */
	/* Records of that type, in the order in which they came. */
	size_t count;
	const struct plait_dns_record *records;
	/* The CNAME records that led from name to the name of the records. */
	size_t n_aliases;
	const struct plait_dns_record *aliases;
	/* The server that has given the answer; no address if it was none. */
	struct plait_address server;
	bool cached;	/* it was given earlier, and remembered */
	bool authentic; /* the server says that it has verified signatures */
	uintptr_t reserved[4]; /* zero */
};

/* The type of a value that is an answer. */
extern const struct plait_type plait_dns_answer_type;

/* Returns the answer that the value is, borrowed.  Aborts if it is none. */
const struct plait_dns_answer *plait_value_dns_answer(const plait_value *v,
						      const char *where);
#define plait_value_dns_answer(...)                                            \
	(plait_value_dns_answer)(__VA_ARGS__, PLAIT_HERE)

#ifdef __cplusplus
}
#endif

#endif
