/*
 * The one way in which the library speaks to the person at the terminal.
 */
#ifndef LIB_BASE_H
#define LIB_BASE_H

#include <plait/base.h>

/*
 * Puts a line on standard error in one write, so that lines of several
 * threads or processes don't mix.  Leaves errno alone; there is nobody to
 * tell if it fails.
 */
void base_say(const char *line, size_t len);

#endif
