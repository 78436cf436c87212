/*
 * What the rest of the library may ask of a buffer and a program may not.
 * Queues of buffers have to know how much memory a buffer keeps from being
 * freed, counted once however often it is queued.
 */
#ifndef LIB_BUF_H
#define LIB_BUF_H

#include <stdarg.h>
#include <stdbool.h>

#include <plait/buf.h>

/* The bytes that it takes, those without contents too. */
size_t plait_i_buf_footprint(const struct plait_buf *b);

/*
 * The holder, a reactor, has it in one more queue, or in one less.  True if
 * its bytes have to be added to what the holder counts, or taken off: for the
 * first and for the last queue.  A buffer remembers one holder.  If another
 * reactor queues it meanwhile, that has to count it for each of its queues.
 */
bool plait_i_buf_hold(struct plait_buf *b, const void *holder);
bool plait_i_buf_is_held(const struct plait_buf *b, const void *holder);
bool plait_i_buf_let_go(struct plait_buf *b, const void *holder);

/*
 * What plait_i_buf_let_go() would say, for several queues of the same buffers:
 * each call must be undone with plait_i_buf_take_back() before anything else is
 * done.
 */
bool plait_i_buf_try_let_go(struct plait_buf *b, const void *holder);
void plait_i_buf_take_back(struct plait_buf *b, const void *holder);

/* As plait_buf_printf(). */
int plait_i_buf_vprintf(struct plait_buf *b, const char *fmt, va_list ap)
	PLAIT_PRINTF(2, 0);

#endif
