/*
 * Protocols of netstrings, "LENGTH:BYTES,".  A string is at most 99,999 bytes
 * long unless max_length says otherwise; whatever is no netstring, or too
 * long, loses the connection.  A length has no sign, no blank and no needless
 * zero.  Nothing is allocated for a string before its bytes come in; with no
 * memory the connection is aborted.
 *
 * Made as a line receiver is (line.h): embed struct plait_netstring_receiver
 * first, and put PLAIT_NETSTRING_RECEIVER into the base table.
 */
#ifndef PLAIT_NETSTRING_H
#define PLAIT_NETSTRING_H

#include <plait/input.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_netstring_receiver;

/*
 * string_received() gets each string, borrowed for the call.
 * parse_failed() is told once that the peer sent no netstring; left out, or
 * after it has returned, the connection is lost.  Nothing is delivered any
 * more once the connection is being lost.
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
 * Holds delivery, also of strings that have come in already, and reading; and
 * lets go.  What was held is delivered from inside resume, unless that is
 * called from inside a callback.
 */
void plait_netstring_receiver_pause(struct plait_netstring_receiver *p);
void plait_netstring_receiver_resume(struct plait_netstring_receiver *p);

/* Writes it as a netstring, copied. */
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
