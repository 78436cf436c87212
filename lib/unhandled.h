/*
 * Tells about a failure that nobody handled.
 */
#ifndef LIB_UNHANDLED_H
#define LIB_UNHANDLED_H

#include <plait/failure.h>

/*
 * The same as plait_report_unhandled(), for a failure that does not come from a
 * deferred: the line of the default hook begins with these words instead.
 */
void plait_i_failure_unhandled(const struct plait_failure *f,
			       const char *words);

/* Replaces the hook and its arg by *hook and *arg, and gives those that were.
 */
void plait_i_failure_swap_hook(plait_unhandled_hook **hook, void **arg);

/*
 * As long as there is one, it gets the lines that the default hook would print
 * in this thread.  Returns the one before; NULL: none.
 */
struct unhandled_keeper {
	void (*keep)(struct unhandled_keeper *k, const char *text, size_t len);
};
struct unhandled_keeper *
plait_i_unhandled_keep(struct unhandled_keeper *keeper);

#endif
