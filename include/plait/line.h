/*
 * Protocols of lines.  A line ends in a delimiter, by default "\r\n", and is
 * at most 16,384 bytes long without it.  How its bytes are cut makes no
 * difference: the events are those of a peer that sends byte by byte.
 *
 *	struct chat {
 *		struct plait_line_receiver base;
 *		...
 *	};
 *
 *	static const struct plait_line_receiver_ops chat_ops = {
 *		.base = { .name = "chat",
 *			  .size = sizeof(struct chat),
 *			  PLAIT_LINE_RECEIVER },
 *		.line_received = chat_line_received,
 *	};
 *
 * A factory names &chat_ops.base as its protocol.  A protocol that needs a
 * data_received() or done() of its own names these in place of the macro, and
 * calls plait_line_receiver_data_received() and plait_line_receiver_done() from
 *them.
 *
 * A receiver keeps at most the unfinished line, max_length and a delimiter;
 * while it is paused, also the chunk that it was paused in.  With no memory
 * the connection is aborted.
 */
#ifndef PLAIT_LINE_H
#define PLAIT_LINE_H

#include <plait/input.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_line_receiver;

/*
 * line_received() gets each line without its delimiter, borrowed for the
 * call and followed by no NUL.  raw_data_received() gets what comes in raw
 * mode.  line_length_exceeded() gets the beginning of a line that is too
 * long: max_length bytes and as many more as a delimiter has; what follows
 * them is taken for the next line.  Left out, the connection is lost.
 * Nothing is delivered any more once the connection is being lost.
 */
struct plait_line_receiver_ops {
	struct plait_protocol_ops base;
	void (*line_received)(struct plait_line_receiver *p, const char *line,
			      size_t len);
	void (*raw_data_received)(struct plait_line_receiver *p,
				  const void *data, size_t len);
	void (*line_length_exceeded)(struct plait_line_receiver *p,
				     const char *line, size_t len);
	uintptr_t reserved[8]; /* zero */
};

/* The functions that the table of every line receiver must name. */
#define PLAIT_LINE_RECEIVER                                                    \
	.data_received = plait_line_receiver_data_received,                    \
	.done = plait_line_receiver_done,                                      \
	.base_size = sizeof(struct plait_line_receiver)

/*
 * The public fields may be set in connection_made(), and changed in any
 * callback of the receiver.
 */
struct plait_line_receiver {
	struct plait_protocol base;
	const char *delimiter; /* borrowed; NULL: "\r\n" */
	size_t delimiter_size; /* 0: as strlen() says */
	size_t max_length;     /* 0: 16,384 */
	/* private */
	struct plait_input input;
	bool raw;
	uintptr_t reserved[2]; /* zero */
};

/*
 * Raw mode, from the next byte on; and back to lines.  In raw mode all that
 * there is of a chunk is delivered at once.  extra, copied, is taken for input
 * that comes before what is still to be delivered: the end of what
 * raw_data_received() got and is not meant for it, which costs no copy.
 *
 * May be called from inside the callbacks: nothing recurses.  Called from
 * outside of them, set_line_mode() delivers from inside, unless it is paused;
 * set_raw_mode() waits for the next chunk, and what has come of an unfinished
 * line is raw, too.
 */
void plait_line_receiver_set_raw_mode(struct plait_line_receiver *p);
void plait_line_receiver_set_line_mode(struct plait_line_receiver *p,
				       const void *extra, size_t len);

/*
 * Moves all that has come in and was not delivered, an unfinished line and in
 * a callback also the rest of the chunk, to the end of buf, which may be NULL:
 * then it is dropped.  0, or an error of plait_buf_append(): then all is as it
 * was.
 */
int plait_line_receiver_clear_buffer(struct plait_line_receiver *p,
				     struct plait_buf *buf);

/*
 * Holds delivery, also of lines that have come in already, and reading; and
 * lets go.  What was held is delivered from inside resume, unless that is
 * called from inside a callback.
 */
void plait_line_receiver_pause(struct plait_line_receiver *p);
void plait_line_receiver_resume(struct plait_line_receiver *p);

/* Writes the line and its delimiter, copied. */
void plait_line_receiver_send_line(struct plait_line_receiver *p,
				   const char *line, size_t len);

/* For the table: see PLAIT_LINE_RECEIVER. */
void plait_line_receiver_data_received(struct plait_protocol *p,
				       const void *data, size_t len);
void plait_line_receiver_done(struct plait_protocol *p);

/*
 * The same for protocols that have nothing but lines: no raw mode, no pause.
 * Put PLAIT_LINE_ONLY_RECEIVER into the base table.
 */
struct plait_line_only_receiver;

/* As in struct plait_line_receiver_ops. */
struct plait_line_only_receiver_ops {
	struct plait_protocol_ops base;
	void (*line_received)(struct plait_line_only_receiver *p,
			      const char *line, size_t len);
	void (*line_length_exceeded)(struct plait_line_only_receiver *p,
				     const char *line, size_t len);
	uintptr_t reserved[8]; /* zero */
};

#define PLAIT_LINE_ONLY_RECEIVER                                               \
	.data_received = plait_line_only_receiver_data_received,               \
	.done = plait_line_only_receiver_done,                                 \
	.base_size = sizeof(struct plait_line_only_receiver)

/* As in struct plait_line_receiver. */
struct plait_line_only_receiver {
	struct plait_protocol base;
	const char *delimiter;
	size_t delimiter_size;
	size_t max_length;
	/* private */
	struct plait_input input;
	uintptr_t reserved[2]; /* zero */
};

/* Writes the line and its delimiter, copied. */
void plait_line_only_receiver_send_line(struct plait_line_only_receiver *p,
					const char *line, size_t len);

/* For the table: see PLAIT_LINE_ONLY_RECEIVER. */
void plait_line_only_receiver_data_received(struct plait_protocol *p,
					    const void *data, size_t len);
void plait_line_only_receiver_done(struct plait_protocol *p);

#ifdef __cplusplus
}
#endif

#endif
