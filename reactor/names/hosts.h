/*
 * What /etc/hosts says: addresses of names, and names of addresses.
 *
 * The reader is pure: it takes text and gives a table, in time that is linear
 * in the text.  Lines that are malformed are skipped, and so is what is too
 * long for a name.  A lookup costs the same in a file of 100,000 lines as in
 * one of 10, unless one name has many lines.
 */
#ifndef REACTOR_HOSTS_H
#define REACTOR_HOSTS_H

#include <stddef.h>
#include <stdint.h>

#include <plait/address.h>

struct hosts;

/*
 * Gives the table, or NULL without memory.  text is borrowed for the call, and
 * may be NULL if len is 0.  seed is from the kernel's chance: lists of names
 * that others have written, to be blocked for example, are put into the file,
 * and nobody can choose names that are slow to find.
 */
struct hosts *plait_i_hosts_read(const char *text, size_t len, uint64_t seed);

/* Frees it.  *hp becomes NULL, and may be NULL. */
void plait_i_hosts_free(struct hosts **hp);

/*
 * Stores the addresses of a name, in the order of the file, each once and
 * without a port, up to room of them; returns how many.  family is AF_INET,
 * AF_INET6, or AF_UNSPEC for both.  Case does not matter, nor does one dot at
 * the end of name.
 */
size_t plait_i_hosts_find(const struct hosts *h, const char *name, int family,
			  struct plait_address *ret, size_t room);

/* Returns the first name of the first line with that name; borrowed from h.
   NULL: there is none. */
const char *plait_i_hosts_chief(const struct hosts *h, const char *name,
				int family);

/* Returns the first name of the first line with that address, whatever its
   port; borrowed from h.  NULL: there is none. */
const char *plait_i_hosts_name(const struct hosts *h,
			       const struct plait_address *a);

#endif
