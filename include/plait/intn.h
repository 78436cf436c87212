/*
 * Protocols of strings that follow their length, an unsigned number of 1, 2
 * or 4 bytes in network order.  A string is at most 99,999 bytes long unless
 * max_length says otherwise, and never longer than its prefix can say.
 * Nothing is allocated for a string before its bytes come in; with no memory
 * the connection is aborted.
 *
 * Made as a line receiver is (line.h): embed struct plait_intn_receiver
 * first, and put PLAIT_INTN_RECEIVER into the base table.
 */
#ifndef PLAIT_INTN_H
#define PLAIT_INTN_H

#include <plait/input.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_intn_receiver;

/*
 * string_received() gets each string, borrowed for the call.
 * length_limit_exceeded() is told once the length that was announced; left
 * out, or after it has returned, the connection is lost.  Nothing is
 * delivered any more once the connection is being lost.
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
 * Holds delivery, also of strings that have come in already, and reading; and
 * lets go.  What was held is delivered from inside resume, unless that is
 * called from inside a callback.
 */
void plait_intn_receiver_pause(struct plait_intn_receiver *p);
void plait_intn_receiver_resume(struct plait_intn_receiver *p);

/*
 * Writes it after its length, copied.  0, or -EMSGSIZE if the prefix cannot
 * say so much: then nothing is written.
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
