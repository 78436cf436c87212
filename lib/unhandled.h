/*
 * What is said of a failure that nobody handled.
 */
#ifndef LIB_UNHANDLED_H
#define LIB_UNHANDLED_H

#include <plait/failure.h>

/*
 * As plait_report_unhandled(), for what is no deferred's: the default hook
 * begins its line with these words instead.
 */
void plait_i_failure_unhandled(const struct plait_failure *f,
			       const char *words);

#endif
