/*
 * Netstring receivers are protocols whose input is netstrings, "LENGTH:BYTES,".
 * A length has no sign, no blank and no leading zero.  A string is at most
 * max_length bytes long, by default 99,999.  If the peer sends something that
 * is not a netstring, or a longer one, the connection is lost.  Memory for a
 * string is allocated only when its bytes come; if there is none, the
 * connection is aborted.
 *
 * Make a receiver as in line.h: embed struct plait_netstring_receiver first,
 * and put PLAIT_NETSTRING_RECEIVER into the base table.
 */
#ifndef PLAIT_NETSTRING_H
#define PLAIT_NETSTRING_H

#include <plait/input.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_netstring_receiver;

/*
 * string_received() gets each string, borrowed for the call.  parse_failed() is
 * called once if the peer sends something that is not a netstring, or a
 * netstring that is too long; it may be NULL.  In both cases the receiver then
 * loses the connection.  After the connection has begun to be lost, neither of
 * these two functions is called.
 */
struct plait_netstring_receiver_ops {
	struct plait_protocol_ops base;
	void (*string_received)(struct plait_netstring_receiver *p,
				const void *data, size_t len);
	void (*parse_failed)(struct plait_netstring_receiver *p);
	uintptr_t reserved[8]; /* zero */
};

#define PLAIT_NETSTRING_RECEIVER                                               \
	.data_received = plait_netstring_receiver_data_received,               \
	.done = plait_netstring_receiver_done,                                 \
	.base_size = sizeof(struct plait_netstring_receiver)

struct plait_netstring_receiver {
	struct plait_protocol base;
	size_t max_length; /* 0: 99,999 */
	/* private */
	struct plait_input input;
	size_t length;
	bool has_digit, has_length, failed;
	uintptr_t reserved[2]; /* zero */
};

/*
 * plait_netstring_receiver_pause() pauses reading, and the delivery of strings
 * that have come already.  plait_netstring_receiver_resume() delivers these
 * strings before it returns, or, if it is called in a callback, after that
 * callback, and resumes reading.
 */
void plait_netstring_receiver_pause(struct plait_netstring_receiver *p);
void plait_netstring_receiver_resume(struct plait_netstring_receiver *p);

/* Writes len bytes as a netstring, copied. */
void plait_netstring_receiver_send(struct plait_netstring_receiver *p,
				   const void *data, size_t len);

/* For the table: see PLAIT_NETSTRING_RECEIVER. */
void plait_netstring_receiver_data_received(struct plait_protocol *p,
					    const void *data, size_t len);
void plait_netstring_receiver_done(struct plait_protocol *p);

#ifdef __cplusplus
}
#endif

#endif
