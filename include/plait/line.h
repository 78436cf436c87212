/*
 * Line receivers are protocols whose input is lines.  A line ends in a
 * delimiter, by default "\r\n", and is at most 16,384 bytes long without it.
 * How the bytes of a line are divided into chunks makes no difference: the
 * callbacks are the same as if the peer had sent each byte alone.
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
 * A receiver keeps at most one unfinished line, of max_length bytes and a
 * delimiter; while it is paused, it also keeps the chunk in which it was
 *paused.  If there is no memory, the connection is aborted.
 */
#ifndef PLAIT_LINE_H
#define PLAIT_LINE_H

#include <plait/input.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_line_receiver;

/*
 * line_received() gets each line without its delimiter; line is borrowed for
 * the call, and no NUL follows it.  raw_data_received() gets the bytes that
 * come in raw mode, borrowed for the call.  line_length_exceeded() gets the
 * beginning of a line that is too long: max_length bytes and as many more as
 * the delimiter has.  The bytes after those are the beginning of the next line.
 * If it is NULL, the connection is lost.  After the connection has begun to be
 * lost, none of these three functions is called.
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

/* Members that the table of every line receiver must name. */
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
	size_t delimiter_size; /* 0: strlen(delimiter) */
	size_t max_length;     /* 0: 16,384 */
	/* private */
	struct plait_input input;
	bool raw;
	uintptr_t reserved[2]; /* zero */
};

/*
 * plait_line_receiver_set_raw_mode() changes to raw mode, from the next byte
 * on: raw_data_received() gets all bytes of a chunk at once.  The bytes of an
 * unfinished line become raw, too.  plait_line_receiver_set_line_mode() changes
 * back to lines.  Its extra bytes are received again, before what is not yet
 * delivered: pass the end of what raw_data_received() got, if it is not raw.
 * extra is copied, unless it is that end.
 *
 * Both may be called in the callbacks, which are not nested by that.  If
 * plait_line_receiver_set_line_mode() is called elsewhere and the receiver is
 * not paused, it delivers lines before it returns; after
 * plait_line_receiver_set_raw_mode() bytes are delivered with the next chunk.
 */
void plait_line_receiver_set_raw_mode(struct plait_line_receiver *p);
void plait_line_receiver_set_line_mode(struct plait_line_receiver *p,
				       const void *extra, size_t len);

/*
 * Moves all input that was not delivered to the end of buf: an unfinished line
 * and, in a callback, the rest of the chunk.  The caller keeps buf.  If buf is
 * NULL, the input is dropped.  Returns 0, or an error of plait_buf_append();
 * then nothing changes.
 */
int plait_line_receiver_clear_buffer(struct plait_line_receiver *p,
				     struct plait_buf *buf);

/*
 * plait_line_receiver_pause() pauses reading, and the delivery of lines that
 * have come already.  plait_line_receiver_resume() delivers these lines before
 * it returns, or, if it is called in a callback, after that callback, and
 * resumes reading.
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
 * Line-only receivers are for protocols that need neither raw mode nor pausing.
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
