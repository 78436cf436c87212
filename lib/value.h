/*
 * Values that the library makes.
 */
#ifndef LIB_VALUE_H
#define LIB_VALUE_H

#include <plait/deferred_list.h>

/* Makes this many values, which are all none; NULL with no memory. */
struct plait_values *plait_i_values_new(size_t count);

#endif
