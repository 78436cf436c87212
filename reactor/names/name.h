/*
 * Names of the DNS.  Inside the library a name is a struct dns_name, which
 * holds its wire form; text is for programs, files and messages.
 */
#ifndef REACTOR_NAME_H
#define REACTOR_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include <plait/address.h>

/*
 * The most bytes of a name on the wire, with the lengths of its labels and the
 * root; the most bytes of a label; and the most labels, without the root.
 */
enum { NAME_SIZE = 255, LABEL_SIZE = 63, NAME_LABELS = 127 };

/*
 * The size of a buffer that has room for any name as text, with its NUL: 250
 * bytes in four labels, each of them written as \DDD.
 */
enum { NAME_TEXT_SIZE = 250 * 4 + 3 + 1 };

/*
 * A name: labels, each behind its length, then the root, which is a zero.  It
 * owns nothing and may be copied.  A zeroed struct is no name.
 */
struct dns_name {
	unsigned char length; /* of what is used of wire, with the root */
	unsigned char labels; /* without the root */
	bool absolute;	      /* its text ended in a dot: never search for it */
	unsigned char wire[NAME_SIZE];
};

/*
 * Reads text, borrowed for the call: labels with dots between them, and perhaps
 * a dot behind the last one; "." is the root.  As in the files of DNS servers,
 * \DDD is the byte with this decimal number, and \ before any other character
 * takes the meaning from it.  Control characters must be written as \DDD.
 *
 * Returns 0; -ENAMETOOLONG if a label or the name is too long; or -EINVAL if
 * the text is empty, has an empty label or a control character, or ends inside
 * an escape.  Then *ret is unchanged.
 */
int plait_i_name_parse(struct dns_name *ret, const char *text);

/*
 * Writes the name as plait_i_name_parse() reads it, without a dot at its end,
 * as snprintf() would.  The text is printable ASCII without a space: all other
 * bytes are escaped, so it can neither end nor forge a line.
 */
int plait_i_name_str(const struct dns_name *n, char *buf, size_t size);

/*
 * Writes the name as a hosts file has it: its bytes as they are, in NAME_SIZE
 * bytes at most.  Returns false if it cannot be there: it is the root, or has a
 * byte that ends a word or a label.
 */
bool plait_i_name_plain(const struct dns_name *n, char *buf);

/* Is true if the names differ at most in the case of ASCII letters. */
bool plait_i_name_equal(const struct dns_name *a, const struct dns_name *b);

/* Is true if n is domain, or lies below it; all names lie below the root. */
bool plait_i_name_is_under(const struct dns_name *n,
			   const struct dns_name *domain);

/*
 * Puts domain behind n, as a search list does.  Returns 0, or -ENAMETOOLONG;
 * then *n is unchanged.
 */
int plait_i_name_append(struct dns_name *n, const struct dns_name *domain);

/* Makes all letters small, so that equal names have equal bytes. */
void plait_i_name_fold(struct dns_name *n);

/* Is true if any byte is a control character, which no host name has. */
bool plait_i_name_has_control(const struct dns_name *n);

/*
 * The name below in-addr.arpa or ip6.arpa whose PTR record has the name of this
 * address; an IPv4 address inside an IPv6 address has that of the IPv4 address.
 * Returns 0, or -EAFNOSUPPORT if a is no IP address; then *ret is unchanged.
 */
int plait_i_name_reverse(struct dns_name *ret, const struct plait_address *a);

#endif
