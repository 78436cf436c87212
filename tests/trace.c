/*
 * The trace of a test: see trace.h.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/trace.h"

static char text[65536];
static size_t used;

const char *trace(void)
{
	return text;
}

void trace_clear(void)
{
	used = 0;
	text[0] = '\0';
}

void trace_add(const char *fmt, ...)
{
	va_list ap;

	if (used > 0)
		used += (size_t)snprintf(text + used, sizeof(text) - used, " ");
	va_start(ap, fmt);
	used += (size_t)vsnprintf(text + used, sizeof(text) - used, fmt, ap);
	va_end(ap);
	if (used >= sizeof(text))
		abort();
}

void trace_bytes(const char *name, const void *data, size_t len)
{
	trace_add("%s(%.*s)", name, (int)len, (const char *)data);
}
