/* Printing into a buffer in many small pieces: see print.h. */
#include "lib/print.h"

void print(struct print *p, const char *fmt, ...)
{
	va_list ap;

	if (p->error != 0)
		return;
	va_start(ap, fmt);
	p->error = buf_vprintf(p->to, fmt, ap);
	va_end(ap);
}
