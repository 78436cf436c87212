/*
 * Lines: the receiver with a raw mode, and the one without.
 *
 * Both take their lines in the same way, so the limit of a line does not depend
 * on the chunks: a line is too long as soon as no delimiter can end it in time.
 * Each step looks at the mode, so a callback switches it by a flag.
 */
#include <errno.h>
#include <string.h>

#include <plait/line.h>

/* The delimiter and the limit of a line, with the defaults filled in. */
struct ending {
	const char *delimiter;
	size_t size, max;
};

/* Its size is asked for twice a line, and mostly it has one byte or two. */
static inline size_t delimiter_length(const char *delimiter)
{
	if (delimiter[0] == '\0' || delimiter[1] == '\0')
		return delimiter[0] != '\0';
	return delimiter[2] == '\0' ? 2 : strlen(delimiter);
}

static inline struct ending make_ending(const char *delimiter, size_t size,
					size_t max)
{
	if (max == 0)
		max = 16384;
	if (delimiter != NULL && size == 0)
		size = delimiter_length(delimiter);
	if (delimiter == NULL || size == 0)
		return (struct ending){ "\r\n", 2, max };
	return (struct ending){ delimiter, size, max };
}

static inline int take_line(struct plait_input *in, struct ending e,
			    const char **line, size_t *len)
{
	return plait_input_take_until(in, e.delimiter, e.size, e.max, line,
				      len);
}

static inline void write_line(struct plait_protocol *p, struct ending e,
			      const char *line, size_t len)
{
	const struct iovec pieces[] = {
		{ (void *)(uintptr_t)line, len },
		{ (void *)(uintptr_t)e.delimiter, e.size },
	};

	if (p->transport != NULL)
		plait_transport_write_sequence(p->transport, pieces, 2);
}

/* There may be no connection, for example in a test. */
static void line_lose(struct plait_protocol *p)
{
	if (p->transport != NULL)
		plait_transport_lose_connection(p->transport);
}

static const struct plait_line_receiver_ops *
line_ops_of(const struct plait_line_receiver *p)
{
	return plait_self(p->base.ops, const struct plait_line_receiver_ops);
}

static inline struct ending ending_of(const struct plait_line_receiver *p)
{
	return make_ending(p->delimiter, p->delimiter_size, p->max_length);
}

static void take_raw(struct plait_line_receiver *p)
{
	const void *data;
	size_t len;

	if (plait_input_take_all(&p->input, &data, &len) == 0 &&
	    line_ops_of(p)->raw_data_received != NULL)
		line_ops_of(p)->raw_data_received(p, data, len);
}

static bool line_step(struct plait_protocol *base)
{
	struct plait_line_receiver *p =
		plait_self(base, struct plait_line_receiver);
	const struct plait_line_receiver_ops *ops = line_ops_of(p);
	const char *line;
	size_t len;
	int r;

	if (p->raw) {
		take_raw(p);
		return true;
	}
	r = take_line(&p->input, ending_of(p), &line, &len);
	if (r == 0 && ops->line_received != NULL)
		ops->line_received(p, line, len);
	else if (r == -EMSGSIZE && ops->line_length_exceeded != NULL)
		ops->line_length_exceeded(p, line, len);
	else if (r == -EMSGSIZE)
		line_lose(base);
	return r != -EAGAIN;
}

void plait_line_receiver_set_raw_mode(struct plait_line_receiver *p)
{
	p->raw = true;
}

void plait_line_receiver_set_line_mode(struct plait_line_receiver *p,
				       const void *extra, size_t len)
{
	p->raw = false;
	plait_input_put_back(&p->input, &p->base, line_step, extra, len);
}

int plait_line_receiver_clear_buffer(struct plait_line_receiver *p,
				     struct plait_buf *buf)
{
	return plait_input_clear(&p->input, buf);
}

void plait_line_receiver_pause(struct plait_line_receiver *p)
{
	plait_input_pause(&p->input, &p->base);
}

void plait_line_receiver_resume(struct plait_line_receiver *p)
{
	plait_input_resume(&p->input, &p->base, line_step);
}

void plait_line_receiver_send_line(struct plait_line_receiver *p,
				   const char *line, size_t len)
{
	write_line(&p->base, ending_of(p), line, len);
}

void plait_line_receiver_data_received(struct plait_protocol *base,
				       const void *data, size_t len)
{
	struct plait_line_receiver *p =
		plait_self(base, struct plait_line_receiver);

	plait_input_receive(&p->input, base, line_step, data, len);
}

void plait_line_receiver_done(struct plait_protocol *base)
{
	plait_input_done(&plait_self(base, struct plait_line_receiver)->input);
}

static const struct plait_line_only_receiver_ops *
only_ops_of(const struct plait_line_only_receiver *p)
{
	return plait_self(p->base.ops,
			  const struct plait_line_only_receiver_ops);
}

static inline struct ending
only_ending_of(const struct plait_line_only_receiver *p)
{
	return make_ending(p->delimiter, p->delimiter_size, p->max_length);
}

static bool only_step(struct plait_protocol *base)
{
	struct plait_line_only_receiver *p =
		plait_self(base, struct plait_line_only_receiver);
	const struct plait_line_only_receiver_ops *ops = only_ops_of(p);
	const char *line;
	size_t len;
	int r = take_line(&p->input, only_ending_of(p), &line, &len);

	if (r == 0 && ops->line_received != NULL)
		ops->line_received(p, line, len);
	else if (r == -EMSGSIZE && ops->line_length_exceeded != NULL)
		ops->line_length_exceeded(p, line, len);
	else if (r == -EMSGSIZE)
		line_lose(base);
	return r != -EAGAIN;
}

void plait_line_only_receiver_send_line(struct plait_line_only_receiver *p,
					const char *line, size_t len)
{
	write_line(&p->base, only_ending_of(p), line, len);
}

void plait_line_only_receiver_data_received(struct plait_protocol *base,
					    const void *data, size_t len)
{
	struct plait_line_only_receiver *p =
		plait_self(base, struct plait_line_only_receiver);

	plait_input_receive(&p->input, base, only_step, data, len);
}

void plait_line_only_receiver_done(struct plait_protocol *base)
{
	plait_input_done(
		&plait_self(base, struct plait_line_only_receiver)->input);
}
