/*
 * Showing text that a stranger has sent: it must not command the terminal of
 * who reads it.
 */
#ifndef SAMPLES_COMMON_ESCAPE_H
#define SAMPLES_COMMON_ESCAPE_H

#include <plait/buf.h>

/*
 * Appends the text with its control characters, those of but excepted, shown
 * as \xNN.  UTF-8 stays.  0, or as plait_buf_append().
 */
int append_escaped(struct plait_buf *b, const char *text, size_t len,
		   const char *but);

#endif
