/*
 * Strings after their length.  The length is compared with the maximum before
 * anything else is done with it, and memory is allocated only for bytes that
 * have come.
 */
#include <errno.h>

#include <plait/intn.h>

static const struct plait_intn_receiver_ops *
intn_ops_of(const struct plait_intn_receiver *p)
{
	return plait_self(p->base.ops, const struct plait_intn_receiver_ops);
}

static size_t prefix_of(const struct plait_intn_receiver *p)
{
	unsigned n = intn_ops_of(p)->prefix;

	plait_assert(n <= 4 && n != 3);
	return n > 0 ? n : 4;
}

static void intn_fail(struct plait_intn_receiver *p)
{
	p->failed = true;
	if (intn_ops_of(p)->length_limit_exceeded != NULL)
		intn_ops_of(p)->length_limit_exceeded(p, p->length);
	if (p->base.transport != NULL)
		plait_transport_lose_connection(p->base.transport);
}

/* Returns true if the length has come; false to wait, or if it is too long. */
static bool intn_take_length(struct plait_intn_receiver *p)
{
	size_t i, n = prefix_of(p);
	const void *data;

	if (p->has_length)
		return true;
	if (plait_input_take(&p->input, n, &data) < 0)
		return false;
	for (i = 0, p->length = 0; i < n; i++)
		p->length = p->length << 8 | ((const unsigned char *)data)[i];
	p->has_length = p->length <= (p->max_length ? p->max_length : 99999);
	if (!p->has_length)
		intn_fail(p);
	return p->has_length;
}

static bool intn_step(struct plait_protocol *base)
{
	struct plait_intn_receiver *p =
		plait_self(base, struct plait_intn_receiver);
	const void *data;

	if (!intn_take_length(p) ||
	    plait_input_take(&p->input, p->length, &data) < 0)
		return false;
	p->has_length = false;
	if (intn_ops_of(p)->string_received != NULL)
		intn_ops_of(p)->string_received(p, data, p->length);
	return true;
}

void plait_intn_receiver_pause(struct plait_intn_receiver *p)
{
	plait_input_pause(&p->input, &p->base);
}

void plait_intn_receiver_resume(struct plait_intn_receiver *p)
{
	plait_input_resume(&p->input, &p->base, intn_step);
}

int plait_intn_receiver_send(struct plait_intn_receiver *p, const void *data,
			     size_t len)
{
	size_t i, n = prefix_of(p);
	unsigned char length[4];
	const struct iovec pieces[] = {
		{ length, n },
		{ (void *)(uintptr_t)data, len },
	};

	if ((uint64_t)len >> 8 * n != 0)
		return -EMSGSIZE;
	for (i = 0; i < n; i++)
		length[i] = (unsigned char)(len >> 8 * (n - 1 - i));
	if (p->base.transport != NULL)
		plait_transport_write_sequence(p->base.transport, pieces, 2);
	return 0;
}

void plait_intn_receiver_data_received(struct plait_protocol *base,
				       const void *data, size_t len)
{
	struct plait_intn_receiver *p =
		plait_self(base, struct plait_intn_receiver);

	if (!p->failed)
		plait_input_receive(&p->input, base, intn_step, data, len);
}

void plait_intn_receiver_done(struct plait_protocol *base)
{
	plait_input_done(&plait_self(base, struct plait_intn_receiver)->input);
}
