/* Prints into a buffer in many small pieces: see print.h. */
#include "lib/buf.h"
#include "lib/print.h"

void plait_i_print(struct print *p, const char *fmt, ...)
{
	va_list ap;

	if (p->error != 0)
		return;
	va_start(ap, fmt);
	p->error = plait_i_buf_vprintf(p->to, fmt, ap);
	va_end(ap);
}

static bool is_plain(char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

void plait_i_print_plain(struct print *p, const char *text)
{
	while (*text != '\0') {
		int len = 0;

		while (is_plain(text[len]))
			len++;
		plait_i_print(p, "%.*s", len, text);
		text += len > 0 ? len : 1;
	}
}
