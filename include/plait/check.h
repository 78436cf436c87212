/*
 * What a check of many runs has found: plait_check_seeds() and others.
 */
#ifndef PLAIT_CHECK_H
#define PLAIT_CHECK_H

#include <plait/base.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How long the text of a report may be, with its NUL. */
#define PLAIT_CHECK_TEXT 4096

/* The memory is the caller's; nothing in it has to be freed. */
struct plait_check_report {
	size_t runs;   /* that were made */
	size_t points; /* cancel points that the scenario has */
	size_t missed; /* runs that had ended before they came to their point */
	uint64_t seed; /* of the run that failed, if it has a seed */
	size_t point;  /* ... the point; 0: it was not ended on purpose */
	unsigned how;  /* ... one of enum plait_cancel_how, or 0 */
	double seconds;		     /* ... the time on its reactor's clock */
	char text[PLAIT_CHECK_TEXT]; /* what went wrong; empty if nothing */
	uintptr_t reserved[8];	     /* zero */
};

#ifdef __cplusplus
}
#endif

#endif
