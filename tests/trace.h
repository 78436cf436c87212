/*
 * What happened, as one line of text, for tests of protocols: each event and
 * a blank.  Included by one file of a program.
 */
#ifndef TESTS_TRACE_H
#define TESTS_TRACE_H

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char trace_text[65536];
static size_t trace_len;

static inline void trace_add(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	trace_len += (size_t)vsnprintf(trace_text + trace_len,
				       sizeof(trace_text) - trace_len, fmt, ap);
	va_end(ap);
	ck_assert_uint_lt(trace_len + 1, sizeof(trace_text));
	trace_text[trace_len++] = ' ';
	trace_text[trace_len] = '\0';
}

/* An event with bytes that are text: NAME(TEXT). */
static inline void trace_bytes(const char *name, const void *data, size_t len)
{
	trace_add("%s(%.*s)", name, (int)len, (const char *)data);
}

/* Compares what happened since the last time, and forgets it. */
static inline void assert_trace(const char *expected)
{
	ck_assert_str_eq(trace_text, expected);
	trace_len = 0;
	trace_text[0] = '\0';
}

#endif
