/*
 * Values that the library makes, and how many can have a value.
 */
#ifndef LIB_VALUE_H
#define LIB_VALUE_H

#include <plait/deferred_list.h>

/* Makes this many values, which are all none; NULL with no memory. */
struct plait_values *plait_i_values_new(size_t count);

/* True if the value holds something that its type frees. */
static inline bool value_is_freed(const plait_value *v)
{
	return v->type != NULL && v->type->free != NULL;
}

/* True if the value cannot be given to many. */
static inline bool value_has_one_owner(const plait_value *v)
{
	return value_is_freed(v) && v->type->ref == NULL;
}

#endif
