/*
 * What the rest of the library may ask a buffer, and a program may not.  Queues
 * of buffers must know how much memory a buffer keeps from being freed.  This
 * memory counts once, however often the buffer is queued.
 */
#ifndef LIB_BUF_H
#define LIB_BUF_H

#include <stdarg.h>
#include <stdbool.h>

#include <plait/buf.h>

/*
 * Returns the bytes of memory that the buffer takes, with those that hold no
 * contents.
 */
size_t plait_i_buf_footprint(const struct plait_buf *b);

/*
 * The holder, a reactor, has put the buffer into one more of its queues, or has
 * taken it out of a queue.  Returns true if the holder must add the bytes of
 * the buffer to its count, or subtract them: for the first and for the last
 * queue.  A buffer remembers one holder.  If another reactor queues the buffer
 * meanwhile, this reactor must count it for each of its queues.
 */
bool plait_i_buf_hold(struct plait_buf *b, const void *holder);
bool plait_i_buf_is_held(const struct plait_buf *b, const void *holder);
bool plait_i_buf_let_go(struct plait_buf *b, const void *holder);

/*
 * Returns what plait_i_buf_let_go() would return, for several queues of the
 * same buffers.  Each call must be undone with plait_i_buf_take_back() before
 * anything else is done.
 */
bool plait_i_buf_try_let_go(struct plait_buf *b, const void *holder);
void plait_i_buf_take_back(struct plait_buf *b, const void *holder);

/* The same as plait_buf_printf(). */
int plait_i_buf_vprintf(struct plait_buf *b, const char *fmt, va_list ap)
	PLAIT_PRINTF(2, 0);

#endif
