/*
 * Shows text that a stranger has sent, so that it cannot command the terminal
 * of its reader.
 */
#ifndef SAMPLES_COMMON_ESCAPE_H
#define SAMPLES_COMMON_ESCAPE_H

#include <plait/buf.h>

/*
 * Appends the text.  Control characters are shown as \xNN, except those in
 * but.  UTF-8 stays as it is.  Returns 0 or an error of plait_buf_append().
 */
int append_escaped(struct plait_buf *b, const char *text, size_t len,
		   const char *but);

#endif
