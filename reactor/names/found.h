/*
 * What lookups find, as programs get it: the types of <plait/resolver.h>.
 */
#ifndef REACTOR_FOUND_H
#define REACTOR_FOUND_H

#include <plait/resolver.h>

/*
 * Makes n addresses of that name, with one reference, for a value of
 * plait_addresses_type.  The caller sets them all: they are at *ret.  Returns
 * NULL without memory.
 */
struct plait_addresses *plait_i_found_new(size_t n, const char *name,
					  double ttl,
					  struct plait_address **ret);

/* Gives a value of n names, which are copied; without memory that failure. */
plait_value plait_i_found_names(const char *const *list, size_t n, double ttl);

#endif
