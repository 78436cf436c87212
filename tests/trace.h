/*
 * The trace: what has happened in a test, as one line of text, each event
 * after a blank.
 */
#ifndef TESTS_TRACE_H
#define TESTS_TRACE_H

#include <stddef.h>

#include <plait/base.h>

const char *trace(void);
void trace_clear(void);
void trace_add(const char *fmt, ...) PLAIT_PRINTF(1, 2);

/* An event with bytes that are text: "NAME(TEXT)". */
void trace_bytes(const char *name, const void *data, size_t len);

/* Compares what has happened since the last time, and forgets it. */
#define assert_trace(expected)                                                 \
	do {                                                                   \
		ck_assert_str_eq(trace(), expected);                           \
		trace_clear();                                                 \
	} while (0)

#endif
