/*
 * Protocols of strings that follow their length, an unsigned number of 1, 2
 * or 4 bytes in network order.  A string is at most 99,999 bytes long unless
 * max_length says otherwise, and never longer than its prefix can say.
 * Nothing is allocated for a string before its bytes come in.
 *
 * Made as a line receiver is (line.h): embed struct plait_intn_receiver
 * first, and put one of PLAIT_INT8_RECEIVER, PLAIT_INT16_RECEIVER and
 * PLAIT_INT32_RECEIVER into the base table.
 */
#ifndef PLAIT_INTN_H
#define PLAIT_INTN_H

#include <plait/protocol.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_intn_receiver;

/*
 * string_received() gets each string, borrowed for the call.
 * length_limit_exceeded() is told the length that was announced; left out,
 * the connection is lost; after it has returned, too.
 */
struct plait_intn_receiver_ops {
	struct plait_protocol_ops base;
	void (*string_received)(struct plait_intn_receiver *p, const void *data,
				size_t len);
	void (*length_limit_exceeded)(struct plait_intn_receiver *p,
				      size_t len);
};

#define PLAIT_INT8_RECEIVER                                                    \
	.data_received = plait_int8_receiver_data,                             \
	.done = plait_intn_receiver_done
#define PLAIT_INT16_RECEIVER                                                   \
	.data_received = plait_int16_receiver_data,                            \
	.done = plait_intn_receiver_done
#define PLAIT_INT32_RECEIVER                                                   \
	.data_received = plait_int32_receiver_data,                            \
	.done = plait_intn_receiver_done

struct plait_intn_receiver {
	struct plait_protocol base;
	size_t max_length; /* 0: 99,999 */
	/* private */
	struct plait_buf *unfinished;
	size_t length;
	unsigned have;
	bool failed;
};

/*
 * Writes it after its length.  0, or -EMSGSIZE if the prefix cannot say so
 * much: then nothing is written.
 */
int plait_intn_receiver_send(struct plait_intn_receiver *p, const void *data,
			     size_t len);

/* For the table: see PLAIT_INT8_RECEIVER and its like. */
void plait_int8_receiver_data(struct plait_protocol *p, const void *data,
			      size_t len);
void plait_int16_receiver_data(struct plait_protocol *p, const void *data,
			       size_t len);
void plait_int32_receiver_data(struct plait_protocol *p, const void *data,
			       size_t len);
void plait_intn_receiver_done(struct plait_protocol *p);

#ifdef __cplusplus
}
#endif

#endif
