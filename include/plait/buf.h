/*
 * A buffer holds bytes, counts its references, and has a maximum size.  It
 * grows geometrically up to this size.  While it has one reference, it may be
 * changed. While it has more references, it is read-only.  So bytes that were
 * handed to a transport, or are cached for a thousand clients, stay as they
 * are.
 *
 * A buffer may be made in one thread and used in another, but two threads must
 * not use references to the same buffer at the same time: the count is not
 * atomic.
 */
#ifndef PLAIT_BUF_H
#define PLAIT_BUF_H

#include <plait/value.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_buf;

/* The type of a value that is a buffer. */
extern const struct plait_type plait_buf_type;

/* The maximum size of a buffer that only memory limits. */
#define PLAIT_BUF_UNBOUNDED ((size_t)-1 / 2)

/*
 * Makes an empty buffer that will hold at most max bytes; given.  Returns NULL
 * with ENOMEM in errno.  The buffer has no memory for bytes until the first
 * byte comes.
 */
struct plait_buf *plait_buf_new(size_t max);

/*
 * Makes a buffer that holds a copy of these bytes and has no room for more;
 * given.  Returns NULL with ENOMEM in errno.
 */
struct plait_buf *plait_buf_copy(const void *data, size_t len);

/*
 * plait_buf_ref() gives a further reference.  plait_buf_unref() ends the
 * reference *bp; *bp is NULL afterwards, and NULL does nothing.
 */
struct plait_buf *plait_buf_ref(struct plait_buf *b);
void plait_buf_unref(struct plait_buf **bp);
/* The same, for __attribute__((cleanup)). */
void plait_buf_cleanup(struct plait_buf **bp);

/*
 * Copies bytes to the end.  Returns 0; -EMSGSIZE if the buffer would exceed its
 * maximum; -ENOMEM; or -EBUSY if the buffer has more than one reference.  After
 * an error the buffer is as it was.  data must not point into b.
 */
int plait_buf_append(struct plait_buf *b, const void *data, size_t len);

/*
 * Appends text as printf() makes it, without its NUL.  Errors as
 * plait_buf_append(), and -EINVAL if printf() refuses the format.
 */
int plait_buf_printf(struct plait_buf *b, const char *fmt, ...)
	PLAIT_PRINTF(2, 3);

/*
 * plait_buf_reserve() makes room for len bytes at the end and stores its
 * address in *ret, borrowed until the buffer is used again.  Errors as
 * plait_buf_append().  plait_buf_commit() then says how many of these bytes
 * were written; it aborts if they are more than were reserved.
 */
int plait_buf_reserve(struct plait_buf *b, size_t len, void **ret);
void plait_buf_commit(struct plait_buf *b, size_t len);

/*
 * Removes bytes at the front.  Returns 0; -EBUSY if the buffer has more than
 * one reference; or -EINVAL if it has fewer bytes.
 */
int plait_buf_consume(struct plait_buf *b, size_t len);

/*
 * Return the bytes, borrowed until the buffer is changed, and NULL only if b
 * is; how many bytes there are; how many there may be.
 */
const void *plait_buf_data(const struct plait_buf *b);
size_t plait_buf_size(const struct plait_buf *b);
size_t plait_buf_max(const struct plait_buf *b);

/*
 * Makes a value of the reference b, which is taken: the value ends it.  If b is
 * NULL, gives the no-memory failure, so a program need not check what
 * plait_buf_copy() returned.
 */
plait_value plait_buf_value(struct plait_buf *b);

/* Returns the buffer that the value is, borrowed.  Aborts if it is no buffer.
 */
struct plait_buf *plait_value_buf(const plait_value *v, const char *where);
#define plait_value_buf(...) (plait_value_buf)(__VA_ARGS__, PLAIT_HERE)

#ifdef __cplusplus
}
#endif

#endif
