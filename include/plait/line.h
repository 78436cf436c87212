/*
 * Protocols of lines.  A line ends in a delimiter, by default "\r\n", and is
 * at most 16,384 bytes long without it, however its bytes come in.
 *
 *	struct chat {
 *		struct plait_line_receiver base;
 *		...
 *	};
 *
 *	static const struct plait_line_receiver_ops chat_ops = {
 *		.base = { PLAIT_LINE_RECEIVER,
 *			  .name = "chat",
 *			  .size = sizeof(struct chat) },
 *		.line_received = chat_line_received,
 *	};
 *
 * A factory names &chat_ops.base as its protocol.
 */
#ifndef PLAIT_LINE_H
#define PLAIT_LINE_H

#include <plait/protocol.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_line_receiver;

/*
 * line_received() gets each line without its delimiter, borrowed for the
 * call and followed by no NUL.  raw_data_received() gets what comes in raw
 * mode.  line_length_exceeded() gets what there is of a line that is too
 * long; left out, the connection is lost.  Nothing is delivered any more
 * once the connection is being lost.
 */
struct plait_line_receiver_ops {
	struct plait_protocol_ops base;
	void (*line_received)(struct plait_line_receiver *p, const char *line,
			      size_t len);
	void (*raw_data_received)(struct plait_line_receiver *p,
				  const void *data, size_t len);
	void (*line_length_exceeded)(struct plait_line_receiver *p,
				     const char *line, size_t len);
};

/* The functions that the table of every line receiver must name. */
#define PLAIT_LINE_RECEIVER                                                    \
	.data_received = plait_line_receiver_data,                             \
	.done = plait_line_receiver_done

struct plait_line_receiver {
	struct plait_protocol base;
	const char *delimiter; /* borrowed; NULL: "\r\n" */
	size_t max_length;     /* 0: 16,384 */
	/* private */
	struct plait_buf *unfinished;
	size_t searched;
	bool raw, paused, busy;
};

/*
 * Raw mode, from the next byte on; and back to lines.  extra, copied, is
 * taken for input that comes before what is still to be delivered; it may be
 * what raw_data_received() got and is not meant for it.  May be called from
 * inside the callbacks: nothing recurses.
 */
void plait_line_receiver_set_raw_mode(struct plait_line_receiver *p);
void plait_line_receiver_set_line_mode(struct plait_line_receiver *p,
				       const void *extra, size_t len);

/* Drops what came of an unfinished line; it is written to buf's end. */
int plait_line_receiver_clear_buffer(struct plait_line_receiver *p,
				     struct plait_buf *buf);

/*
 * Holds delivery, also of lines that have come in already, and reading; and
 * lets go.  What was held is delivered from inside resume, unless that is
 * called from inside a callback.
 */
void plait_line_receiver_pause(struct plait_line_receiver *p);
void plait_line_receiver_resume(struct plait_line_receiver *p);

/* Writes the line and its delimiter. */
void plait_line_receiver_send_line(struct plait_line_receiver *p,
				   const char *line, size_t len);

/* For the table: see PLAIT_LINE_RECEIVER. */
void plait_line_receiver_data(struct plait_protocol *p, const void *data,
			      size_t len);
void plait_line_receiver_done(struct plait_protocol *p);

#ifdef __cplusplus
}
#endif

#endif
