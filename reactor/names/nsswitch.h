/*
 * What /etc/nsswitch.conf says of hosts: whether files or DNS come first, and
 * when the first answer is the last.
 *
 * The reader is pure.  A source that plait has not (mymachines, resolve, mdns)
 * is skipped as the C library skips a source that is not installed: it counts
 * as unavailable.  So `mdns4_minimal [NOTFOUND=return]' goes on to the next
 * source, and nothing behind `resolve [UNAVAIL=return]' is asked.
 */
#ifndef REACTOR_NSSWITCH_H
#define REACTOR_NSSWITCH_H

#include <stdbool.h>
#include <stddef.h>

enum nsswitch_source { NSSWITCH_FILES, NSSWITCH_DNS };

/* What has come of asking a source. */
enum nsswitch_status {
	NSSWITCH_SUCCESS,
	NSSWITCH_NOTFOUND, /* no such name, or nothing of that type */
	NSSWITCH_UNAVAIL,  /* it cannot be asked at all */
	NSSWITCH_TRYAGAIN, /* it could not find out this time */
	NSSWITCH_N_STATUS
};

enum { NSSWITCH_STEPS = 8 }; /* further ones are ignored */

struct nsswitch {
	struct nsswitch_step {
		enum nsswitch_source source;
		/* Whether a status ends the lookup.  Otherwise the next step
		   is asked, and if there is none, this status is the answer.
		 */
		bool ends[NSSWITCH_N_STATUS];
	} steps[NSSWITCH_STEPS]; /* in the order in which to ask */
	size_t n;		 /* may be 0: nobody is to be asked */
};

/*
 * Reads the line `hosts:' in text, borrowed for the call.  Without such a line
 * it is `files dns'.
 */
void plait_i_nsswitch_read(const char *text, size_t len, struct nsswitch *ret);

#endif
