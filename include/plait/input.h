/*
 * A struct plait_input holds the bytes that a protocol has received and not yet
 * handled.  It is for protocols that find messages in a stream; the receivers
 * of line.h, netstring.h and intn.h use it.  Embed it, zeroed, in the protocol.
 *
 * A protocol passes what it receives to plait_input_receive(), together with a
 * step: a function that takes one message and handles it.  The step is called
 * as long as there is input.  A message that lies within one chunk is not
 * copied; only a message that is divided into several chunks is copied, into
 * memory that grows with the bytes that have come.
 *
 * A step may pause the input, change what later steps look for, and close the
 * connection.  After the connection has begun to be lost, the rest of the input
 * is dropped and no step is called.  If there is no memory, the connection is
 * aborted.  Steps are never nested.
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
 * A step takes one message and handles it.  It returns true to be called for
 * the next message, or false if the input does not hold a whole message yet.
 */
typedef bool plait_input_step(struct plait_protocol *p);

/*
 * Adds len bytes, borrowed for the call, and calls the step.  In a step, and
 * while the input is paused, it copies the bytes and calls no step.
 */
void plait_input_receive(struct plait_input *in, struct plait_protocol *p,
			 plait_input_step *step, const void *data, size_t len);

/*
 * plait_input_pause() pauses reading, and the steps for input that has come
 * already.  plait_input_resume() calls the step for that input before it
 * returns, or, if it is called in a step, after that step, and resumes reading.
 */
void plait_input_pause(struct plait_input *in, struct plait_protocol *p);
void plait_input_resume(struct plait_input *in, struct plait_protocol *p,
			plait_input_step *step);

/*
 * The next three functions are for steps.  They take bytes out of the input and
 * set *ret to them.  The bytes are borrowed from the input, until the next take
 * or until the step returns.  They return 0, or -EAGAIN if the bytes have not
 * come yet; then *ret is unchanged.
 *
 * plait_input_take() takes the next n bytes; it always succeeds if n is 0.
 */
int plait_input_take(struct plait_input *in, size_t n, const void **ret);

/*
 * Takes the bytes before the delimiter, and the delimiter; *ret and *len are
 * the bytes without the delimiter.  If more than max bytes come before the
 * delimiter, it returns -EMSGSIZE, and takes the first max + delimiter_size
 * bytes instead; *ret and *len are those bytes.
 */
int plait_input_take_until(struct plait_input *in, const void *delimiter,
			   size_t delimiter_size, size_t max, const char **ret,
			   size_t *len);

/* Takes all bytes, in one piece.  Returns 0, or -EAGAIN if none has come. */
int plait_input_take_all(struct plait_input *in, const void **ret, size_t *len);

/*
 * Puts len bytes back, before the rest of the input, to be taken next.  They
 * are copied, unless they are the end of what plait_input_take_all() gave last.
 * Outside a step, it calls the step before it returns, unless the input is
 * paused.
 */
void plait_input_put_back(struct plait_input *in, struct plait_protocol *p,
			  plait_input_step *step, const void *data, size_t len);

/*
 * Moves everything that was not taken to the end of buf, which the caller
 * keeps. If buf is NULL, everything is dropped.  If the input is paused and the
 * peer has closed its sending half, the loop now tells the protocol of that.
 * Returns 0, or an error of plait_buf_append(); then nothing changes.
 */
int plait_input_clear(struct plait_input *in, struct plait_buf *buf);

/*
 * Frees what the input holds.  Call it in the protocol's done().  A second call
 * does nothing.
 */
void plait_input_done(struct plait_input *in);

#ifdef __cplusplus
}
#endif

#endif
