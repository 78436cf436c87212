/*
 * Input that was not handled yet: the part that all receivers share.
 *
 * The input is always the bytes of `unfinished' and then those at `next'.  The
 * latter lie in the chunk that is being received or, if they have to outlive
 * the chunk, in `held'.  If a take finds too few bytes, it moves all of them to
 * `unfinished'.  If a take finds its bytes in one piece, it copies nothing.  So
 * each byte is copied twice at most.
 *
 * Bytes that a take has given stay where they are until the next take or the
 * end of the step.  When their buffer is used for nothing else any more, it
 * becomes `taken'.
 */
#include <errno.h>
#include <string.h>

#include <plait/input.h>

#include "lib/exception.h"

static bool input_is_closing(const struct plait_protocol *p)
{
	return p->transport != NULL &&
	       plait_transport_is_disconnecting(p->transport);
}

/* Frees the buffer of held bytes, but not while a step has borrowed them. */
static void input_unhold(struct plait_input *in)
{
	if (in->busy && in->taken == NULL) {
		in->taken = in->held;
		in->held = NULL;
	}
	plait_buf_unref(&in->held);
}

static void input_drop(struct plait_input *in)
{
	plait_buf_unref(&in->unfinished);
	input_unhold(in);
	in->next = NULL;
	in->left = 0;
}

/* Without the lost bytes the rest of the stream means nothing. */
static void input_out_of_memory(struct plait_input *in,
				struct plait_protocol *p)
{
	input_drop(in);
	if (p->transport != NULL)
		plait_transport_abort_connection(p->transport);
}

/* The step does not use the bytes that it took any more. */
static void input_release(struct plait_input *in)
{
	if (in->taken != NULL)
		plait_buf_unref(&in->taken);
	in->handed = 0;
}

/* The rest of the input becomes these bytes. */
static void input_hold(struct plait_input *in, struct plait_buf *b)
{
	input_unhold(in);
	in->held = b;
	in->next = plait_buf_data(b);
	in->left = plait_buf_size(b);
	in->handed = 0;
}

static void hold_both(struct plait_input *in, struct plait_protocol *p,
		      const void *a, size_t a_len, const void *b, size_t b_len)
{
	struct plait_buf *buf = plait_buf_new(PLAIT_BUF_UNBOUNDED);

	if (buf == NULL || plait_buf_append(buf, a, a_len) < 0 ||
	    plait_buf_append(buf, b, b_len) < 0) {
		plait_buf_unref(&buf);
		input_out_of_memory(in, p);
		return;
	}
	input_hold(in, buf);
}

/* Appends bytes to the rest of the input. */
static void input_queue(struct plait_input *in, struct plait_protocol *p,
			const void *data, size_t len)
{
	if (in->busy) {
		hold_both(in, p, in->next, in->left, data, len);
		return;
	}
	/* Do not keep bytes that were handled as long as others are left. */
	plait_buf_consume(in->held, plait_buf_size(in->held) - in->left);
	if (plait_buf_append(in->held, data, len) < 0) {
		input_out_of_memory(in, p);
		return;
	}
	in->next = plait_buf_data(in->held);
	in->left += len;
}

/* After the last step: the chunk is freed, so the rest of it is copied. */
static void input_settle(struct plait_input *in, struct plait_protocol *p)
{
	input_release(in);
	if (input_is_closing(p))
		input_drop(in);
	else if (in->left == 0)
		plait_buf_unref(&in->held);
	else if (in->held == NULL)
		hold_both(in, p, in->next, in->left, NULL, 0);
	p->unread = in->left > 0;
}

static OUT_OF_LINE void input_run(struct plait_input *in,
				  struct plait_protocol *p,
				  plait_input_step *step)
{
	in->protocol = p;
	in->busy = true;
	while (in->left > 0 && !in->paused && !input_is_closing(p) && step(p))
		input_release(in);
	exception_barrier();
	in->busy = false;
	input_settle(in, p);
}

void plait_input_receive(struct plait_input *in, struct plait_protocol *p,
			 plait_input_step *step, const void *data, size_t len)
{
	if (len == 0)
		return;
	if (in->left > 0 || in->busy) {
		input_queue(in, p, data, len);
	} else {
		in->next = data;
		in->left = len;
	}
	if (!in->busy)
		input_run(in, p, step);
}

void plait_input_pause(struct plait_input *in, struct plait_protocol *p)
{
	in->paused = true;
	if (p->transport != NULL)
		plait_transport_pause_reading(p->transport);
}

void plait_input_resume(struct plait_input *in, struct plait_protocol *p,
			plait_input_step *step)
{
	in->paused = false;
	if (p->transport != NULL)
		plait_transport_resume_reading(p->transport);
	if (!in->busy)
		input_run(in, p, step);
}

/* Takes the first bytes of the piece at `next', without a copy. */
static const char *input_advance(struct plait_input *in, size_t n)
{
	const char *data = in->next;

	in->next += n;
	in->left -= n;
	in->handed = n;
	in->protocol->unread = in->left > 0;
	return data;
}

static size_t input_gathered(const struct plait_input *in)
{
	return in->unfinished == NULL ? 0 : plait_buf_size(in->unfinished);
}

/* Makes `unfinished' such that it may hold up to total bytes. */
static int input_make_room(struct plait_input *in, size_t total)
{
	struct plait_buf *b;

	if (in->unfinished != NULL && plait_buf_max(in->unfinished) >= total)
		return 0;
	b = plait_buf_new(total);
	if (b == NULL)
		return -ENOMEM;
	if (in->unfinished != NULL &&
	    plait_buf_append(b, plait_buf_data(in->unfinished),
			     plait_buf_size(in->unfinished)) < 0) {
		plait_buf_unref(&b);
		return -ENOMEM;
	}
	plait_buf_unref(&in->unfinished);
	in->unfinished = b;
	return 0;
}

/* Moves n bytes to `unfinished', for a message of at most total bytes. */
static int input_gather(struct plait_input *in, size_t n, size_t total)
{
	if (n == 0)
		return 0;
	if (input_make_room(in, total) < 0 ||
	    plait_buf_append(in->unfinished, in->next, n) < 0) {
		input_out_of_memory(in, in->protocol);
		return -EAGAIN;
	}
	input_advance(in, n);
	return 0;
}

/* Bytes that were gathered for another message become normal input again. */
static void input_ungather(struct plait_input *in)
{
	hold_both(in, in->protocol, plait_buf_data(in->unfinished),
		  plait_buf_size(in->unfinished), in->next, in->left);
	plait_buf_unref(&in->unfinished);
}

/* Gives the bytes that were gathered. */
static const char *input_finish(struct plait_input *in)
{
	in->taken = in->unfinished;
	in->unfinished = NULL;
	in->handed = 0;
	in->protocol->unread = in->left > 0;
	return plait_buf_data(in->taken);
}

static size_t smaller_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

int plait_input_take(struct plait_input *in, size_t n, const void **ret)
{
	input_release(in);
	if (input_gathered(in) > n)
		input_ungather(in);
	if (input_gathered(in) == 0 && in->left >= n) {
		*ret = n > 0 ? input_advance(in, n) : "";
		return 0;
	}
	if (input_gather(in, smaller_size(n - input_gathered(in), in->left),
			 n) < 0 ||
	    input_gathered(in) < n)
		return -EAGAIN;
	*ret = input_finish(in);
	return 0;
}

/* Its first byte is there: is it the delimiter?  Mostly that has two bytes. */
static inline bool is_delimiter(const char *found, const char *delimiter,
				size_t size)
{
	return found[size - 1] == delimiter[size - 1] &&
	       (size <= 2 || memcmp(found, delimiter, size - 1) == 0);
}

/*
 * Returns the end of the first delimiter in these bytes, or 0.  The first byte
 * of a delimiter is rare elsewhere, and memchr() looks at many bytes at a time.
 */
static inline size_t find_end(const char *data, size_t len,
			      const char *delimiter, size_t size)
{
	const char *found = NULL;

	if (len >= size)
		found = memchr(data, *delimiter, len - size + 1);
	if (found != NULL && !is_delimiter(found, delimiter, size))
		found = memmem(found, len - (size_t)(found - data), delimiter,
			       size);
	return found == NULL ? 0 : (size_t)(found - data) + size;
}

/*
 * The line began in an earlier chunk.  Gathers bytes up to the first delimiter
 * of this chunk, and then looks for a delimiter that lies in both chunks; there
 * is none before, because the earlier chunk was searched when it came.  *end is
 * the end of the line in `unfinished'.
 */
static int gather_line(struct plait_input *in, const void *delimiter,
		       size_t size, size_t limit, size_t *end)
{
	size_t old = input_gathered(in),
	       from = old < size ? 0 : old - (size - 1);
	size_t room = smaller_size(in->left, limit - old);
	size_t n = find_end(in->next, room, delimiter, size);

	if (input_gather(in, n > 0 ? n : room, limit) < 0)
		return -EAGAIN;
	*end = find_end((const char *)plait_buf_data(in->unfinished) + from,
			input_gathered(in) - from, delimiter, size);
	if (*end == 0)
		return input_gathered(in) < limit ? -EAGAIN : -EMSGSIZE;
	*end += from;
	/* After a delimiter in both chunks there are bytes of the next line. */
	in->next -= input_gathered(in) - *end;
	in->left += input_gathered(in) - *end;
	return 0;
}

/* The whole line lies in the piece at `next', or only its beginning. */
static inline int take_line_in_place(struct plait_input *in,
				     const void *delimiter, size_t size,
				     size_t limit, const char **ret,
				     size_t *len)
{
	size_t end = find_end(in->next, smaller_size(in->left, limit),
			      delimiter, size);

	if (end == 0 && in->left < limit) {
		input_gather(in, in->left, limit);
		return -EAGAIN;
	}
	*len = end > 0 ? end - size : limit;
	*ret = input_advance(in, end > 0 ? end : limit);
	return end > 0 ? 0 : -EMSGSIZE;
}

static OUT_OF_LINE int take_gathered_line(struct plait_input *in,
					  const void *delimiter, size_t size,
					  size_t limit, const char **ret,
					  size_t *len)
{
	size_t end = 0;
	int r;

	if (input_gathered(in) >= limit)
		input_ungather(in);
	if (input_gathered(in) == 0)
		return take_line_in_place(in, delimiter, size, limit, ret, len);
	r = gather_line(in, delimiter, size, limit, &end);
	if (r == -EAGAIN)
		return r;
	*len = r == 0 ? end - size : input_gathered(in);
	*ret = input_finish(in);
	return r;
}

int plait_input_take_until(struct plait_input *in, const void *delimiter,
			   size_t delimiter_size, size_t max, const char **ret,
			   size_t *len)
{
	size_t limit;

	plait_assert(delimiter_size > 0);
	input_release(in);
	limit = smaller_size(max, PLAIT_BUF_UNBOUNDED - delimiter_size) +
		delimiter_size;
	if (in->unfinished != NULL)
		return take_gathered_line(in, delimiter, delimiter_size, limit,
					  ret, len);
	return take_line_in_place(in, delimiter, delimiter_size, limit, ret,
				  len);
}

int plait_input_take_all(struct plait_input *in, const void **ret, size_t *len)
{
	input_release(in);
	if (input_gathered(in) > 0) {
		*len = input_gathered(in);
		*ret = input_finish(in);
		return 0;
	}
	if (in->left == 0)
		return -EAGAIN;
	*len = in->left;
	*ret = input_advance(in, in->left);
	return 0;
}

void plait_input_put_back(struct plait_input *in, struct plait_protocol *p,
			  plait_input_step *step, const void *data, size_t len)
{
	if (len == 0 || input_is_closing(p))
		return;
	if (len <= in->handed && (const char *)data + len == in->next) {
		in->next -= len;
		in->left += len;
		in->handed -= len;
	} else {
		hold_both(in, p, data, len, in->next, in->left);
	}
	if (!in->busy)
		input_run(in, p, step);
}

/*
 * No input is unread any more, so the protocol can be told of the end of the
 * input.  A transport looks for the end when reading is paused.
 */
static void let_the_end_come(struct plait_input *in, struct plait_protocol *p)
{
	p->unread = false;
	if (!in->paused || p->transport == NULL)
		return;
	plait_transport_resume_reading(p->transport);
	plait_transport_pause_reading(p->transport);
}

int plait_input_clear(struct plait_input *in, struct plait_buf *buf)
{
	void *room;
	int r;

	if (buf != NULL) {
		r = plait_buf_reserve(buf, input_gathered(in) + in->left,
				      &room);
		if (r < 0)
			return r;
		if (input_gathered(in) > 0)
			plait_buf_append(buf, plait_buf_data(in->unfinished),
					 input_gathered(in));
		plait_buf_append(buf, in->next, in->left);
	}
	plait_buf_unref(&in->unfinished);
	input_unhold(in);
	in->left = 0;
	in->handed = 0;
	if (in->protocol != NULL)
		let_the_end_come(in, in->protocol);
	return 0;
}

void plait_input_done(struct plait_input *in)
{
	input_drop(in);
	input_release(in);
}
