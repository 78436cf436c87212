/*
 * Receivers of prefixed strings: before each string the peer sends its length,
 * an unsigned number of 1, 2 or 4 bytes in network order.  A string is at most
 * max_length bytes long, by default 99,999, and not longer than a prefix of so
 * many bytes can say.  Memory for a string is allocated only when its bytes
 * come; if there is none, the connection is aborted.
 *
 * Make a receiver as in line.h: embed struct plait_intn_receiver first, and put
 * PLAIT_INTN_RECEIVER into the base table.
 */
#ifndef PLAIT_INTN_H
#define PLAIT_INTN_H

#include <plait/input.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_intn_receiver;

/*
 * string_received() gets each string, borrowed for the call.  If the peer
 * announces a string that is too long, length_limit_exceeded() is called once,
 * with the length that was announced; it may be NULL.  In both cases the
 * receiver then loses the connection.  After the connection has begun to be
 * lost, neither of these two functions is called.
 */
struct plait_intn_receiver_ops {
	struct plait_protocol_ops base;
	unsigned prefix; /* bytes of the length: 1, 2 or 4; 0: 4 */
	void (*string_received)(struct plait_intn_receiver *p, const void *data,
				size_t len);
	void (*length_limit_exceeded)(struct plait_intn_receiver *p,
				      size_t len);
	uintptr_t reserved[8]; /* zero */
};

#define PLAIT_INTN_RECEIVER                                                    \
	.data_received = plait_intn_receiver_data_received,                    \
	.done = plait_intn_receiver_done,                                      \
	.base_size = sizeof(struct plait_intn_receiver)

struct plait_intn_receiver {
	struct plait_protocol base;
	size_t max_length; /* 0: 99,999 */
	/* private */
	struct plait_input input;
	size_t length;
	bool has_length, failed;
	uintptr_t reserved[2]; /* zero */
};

/*
 * plait_intn_receiver_pause() pauses reading, and the delivery of strings that
 * have come already.  plait_intn_receiver_resume() delivers these strings
 * before it returns, or, if it is called in a callback, after that callback,
 * and resumes reading.
 */
void plait_intn_receiver_pause(struct plait_intn_receiver *p);
void plait_intn_receiver_resume(struct plait_intn_receiver *p);

/*
 * Writes the length len and then len bytes, copied.  Returns 0, or -EMSGSIZE if
 * len is too large for the prefix; then nothing is written.
 */
int plait_intn_receiver_send(struct plait_intn_receiver *p, const void *data,
			     size_t len);

/* For the table: see PLAIT_INTN_RECEIVER. */
void plait_intn_receiver_data_received(struct plait_protocol *p,
				       const void *data, size_t len);
void plait_intn_receiver_done(struct plait_protocol *p);

#ifdef __cplusplus
}
#endif

#endif
