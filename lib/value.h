/*
 * Values that the library itself makes.
 */
#ifndef LIB_VALUE_H
#define LIB_VALUE_H

#include <plait/deferred_list.h>

/* That many values, all of them none; NULL with no memory. */
struct plait_values *plait_i_values_new(size_t count);

#endif
