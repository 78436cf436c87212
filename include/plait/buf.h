/*
 * Bytes, refcounted and bounded.  A buffer grows geometrically up to the
 * maximum that it was made with.  While it has one reference it may be
 * changed; shared, it is read-only, so what was handed to a transport or
 * cached for a thousand clients stays as it was.
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

/* The maximum of a buffer that is bounded by memory alone. */
#define PLAIT_BUF_UNBOUNDED ((size_t)-1 / 2)

/*
 * An empty buffer that holds at most max bytes, given; NULL with ENOMEM in
 * errno.  Holds no memory for bytes until the first comes.
 */
struct plait_buf *plait_buf_new(size_t max);

/* A buffer that holds a copy of these bytes and no room for more. */
struct plait_buf *plait_buf_copy(const void *data, size_t len);

/* One more reference, given; ends one (NULL does nothing). */
struct plait_buf *plait_buf_ref(struct plait_buf *b);
void plait_buf_unref(struct plait_buf **bp);

/*
 * Copies bytes to the end.  0, or -EMSGSIZE beyond the maximum, -ENOMEM, or
 * -EBUSY if it is shared; then nothing was added.  data may not lie in b.
 */
int plait_buf_append(struct plait_buf *b, const void *data, size_t len);

/* The same for text as printf() makes it; -EINVAL if printf() refuses. */
int plait_buf_printf(struct plait_buf *b, const char *fmt, ...)
	PLAIT_PRINTF(2, 3);

/*
 * Makes room for len bytes at the end and points *ret at it (borrowed until
 * the buffer is used again); plait_buf_commit() then says how many of them
 * were written; more than was reserved aborts.  Errors as plait_buf_append().
 */
int plait_buf_reserve(struct plait_buf *b, size_t len, void **ret);
void plait_buf_commit(struct plait_buf *b, size_t len);

/* Drops bytes at the front; -EBUSY if shared, -EINVAL if there are fewer. */
int plait_buf_consume(struct plait_buf *b, size_t len);

/* The bytes, borrowed until the buffer is changed; never NULL. */
const void *plait_buf_data(const struct plait_buf *b);
size_t plait_buf_size(const struct plait_buf *b);
size_t plait_buf_max(const struct plait_buf *b);

/*
 * The reference as a value: taken, so the value ends it.  NULL gives the
 * no-memory failure, so that what plait_buf_copy() returned need not be
 * checked.
 */
plait_value plait_buf_value(struct plait_buf *b);

/* The buffer that the value is: borrowed.  Aborts if it is none. */
struct plait_buf *plait_value_buf(const plait_value *v, const char *where);
#define plait_value_buf(...) (plait_value_buf)(__VA_ARGS__, PLAIT_HERE)

#ifdef __cplusplus
}
#endif

#endif
