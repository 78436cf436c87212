/*
 * Shows text that a stranger has sent.
 */
#include <string.h>

#include "common/escape.h"

/*
 * Returns the length of the control character at the beginning of text, or 0.
 * UTF-8 has 32 more control characters, of two bytes each, which terminals
 * obey, too.
 */
static size_t control_length(const char *text, size_t len, const char *but)
{
	const unsigned char *c = (const unsigned char *)text;

	if (c[0] != '\0' && strchr(but, c[0]) != NULL)
		return 0;
	if (c[0] < 0x20 || c[0] == 0x7f)
		return 1;
	return len > 1 && c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0 ? 2 : 0;
}

int append_escaped(struct plait_buf *b, const char *text, size_t len,
		   const char *but)
{
	int e = 0;

	while (len > 0 && e == 0) {
		size_t n = 0, control = 0;

		while (n < len && control == 0) {
			control = control_length(text + n, len - n, but);
			n += control == 0;
		}
		e = plait_buf_append(b, text, n);
		for (size_t i = n; i < n + control && e == 0; i++)
			e = plait_buf_printf(b, "\\x%02x",
					     (unsigned char)text[i]);
		text += n + control;
		len -= n + control;
	}
	return e;
}
