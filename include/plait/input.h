/*
 * What has come in and is not handled yet: for protocols that find messages
 * in a stream.  The receivers of line.h, netstring.h and intn.h are made with
 * it.  Embed it, zeroed, in the protocol.
 *
 * A protocol hands what it receives to plait_input_receive() together with a
 * step: a function that takes one message and handles it.  The step runs as
 * long as there is input, however it was cut.  A message that lies within one
 * chunk is handed out of the chunk and never copied; only one that is cut is
 * gathered, in memory that grows with what has really come.
 *
 * A step may pause, change what later steps look for, and close: when the
 * connection is being lost, what is left is dropped and no step runs.  With
 * no memory the connection is aborted.  Nothing here recurses.
 */
#ifndef PLAIT_INPUT_H
#define PLAIT_INPUT_H

#include <plait/protocol.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_input {
	/* private */
	struct plait_protocol *protocol;
	struct plait_buf *unfinished; /* the beginning of a message */
	struct plait_buf *held;	      /* if next does not point into a chunk */
	struct plait_buf *taken;      /* what was handed out lies in it */
	const char *next;
	size_t left;
	size_t handed; /* bytes before next that may be put back in place */
	bool paused, busy;
	uintptr_t reserved[1]; /* zero */
};

/*
 * Takes one message and handles it: true to be called for another, false if
 * the input does not hold a whole one yet.
 */
typedef bool plait_input_step(struct plait_protocol *p);

/*
 * Bytes have come, borrowed for the call: runs the step.  From inside a step,
 * and while paused, they are copied and kept behind what is left.
 */
void plait_input_receive(struct plait_input *in, struct plait_protocol *p,
			 plait_input_step *step, const void *data, size_t len);

/*
 * Holds the steps, also for input that has come already, and reading; and
 * lets go.  What was held is handled from inside resume, unless a step is
 * running: then that goes on when it returns.
 */
void plait_input_pause(struct plait_input *in, struct plait_protocol *p);
void plait_input_resume(struct plait_input *in, struct plait_protocol *p,
			plait_input_step *step);

/*
 * For steps.  What is taken is borrowed until the next take or until the step
 * returns.  0, or -EAGAIN if it has not come yet; *ret is untouched then.
 *
 * The next n bytes; 0 of them are always there.
 */
int plait_input_take(struct plait_input *in, size_t n, const void **ret);

/*
 * The bytes before the delimiter, which is taken too.  -EMSGSIZE if there are
 * more than max: then the first max + delimiter_size bytes are taken instead,
 * and *ret and *len tell them.
 */
int plait_input_take_until(struct plait_input *in, const void *delimiter,
			   size_t delimiter_size, size_t max, const char **ret,
			   size_t *len);

/* All there is in one piece; -EAGAIN if there is nothing. */
int plait_input_take_all(struct plait_input *in, const void **ret, size_t *len);

/*
 * Puts bytes before what is left, to be taken next: copied, but for the end of
 * what plait_input_take_all() gave last, which is put back in place.  Outside
 * of a step this runs the step, unless paused.
 */
void plait_input_put_back(struct plait_input *in, struct plait_protocol *p,
			  plait_input_step *step, const void *data, size_t len);

/*
 * Moves all that was not taken to the end of buf, which may be NULL: then it
 * is dropped.  If the input is paused, an end of the connection that waited
 * behind it comes now, from the loop.  0, or an error of plait_buf_append():
 * then all is as it was.
 */
int plait_input_clear(struct plait_input *in, struct plait_buf *buf);

/*
 * Frees what it holds; for the protocol's done().  Calling it twice does
 * nothing.
 */
void plait_input_done(struct plait_input *in);

#ifdef __cplusplus
}
#endif

#endif
