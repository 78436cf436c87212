/*
 * Netstrings.  The length is read byte by byte.  It is compared with the
 * maximum before a digit is added, so it cannot overflow.  The comma is taken
 * together with the string: a string is not delivered before its end was
 * checked.
 */
#include <stdio.h>

#include <plait/netstring.h>

static const struct plait_netstring_receiver_ops *
netstring_ops_of(const struct plait_netstring_receiver *p)
{
	return plait_self(p->base.ops,
			  const struct plait_netstring_receiver_ops);
}

static void netstring_fail(struct plait_netstring_receiver *p)
{
	p->failed = true;
	if (netstring_ops_of(p)->parse_failed != NULL)
		netstring_ops_of(p)->parse_failed(p);
	if (p->base.transport != NULL)
		plait_transport_lose_connection(p->base.transport);
}

/* Returns the maximum; a buffer must be able to hold a string and its comma. */
static size_t max_length(const struct plait_netstring_receiver *p)
{
	size_t max = p->max_length > 0 ? p->max_length : 99999;

	return max < PLAIT_BUF_UNBOUNDED ? max : PLAIT_BUF_UNBOUNDED - 1;
}

/* Returns false if this byte is wrong here. */
static bool add_to_length(struct plait_netstring_receiver *p, char c)
{
	size_t max = max_length(p);
	size_t digit = (size_t)(c - '0');

	if (c == ':' && p->has_digit) {
		p->has_length = true;
		return true;
	}
	if (c < '0' || c > '9' || (p->has_digit && p->length == 0))
		return false;
	if (digit > max || p->length > (max - digit) / 10)
		return false;
	p->length = p->length * 10 + digit;
	p->has_digit = true;
	return true;
}

/* Returns true if the length has come; false to wait, or if it is wrong. */
static bool netstring_take_length(struct plait_netstring_receiver *p)
{
	const void *c;

	while (!p->has_length) {
		if (plait_input_take(&p->input, 1, &c) < 0)
			return false;
		if (!add_to_length(p, *(const char *)c)) {
			netstring_fail(p);
			return false;
		}
	}
	return true;
}

static bool netstring_step(struct plait_protocol *base)
{
	struct plait_netstring_receiver *p =
		plait_self(base, struct plait_netstring_receiver);
	size_t len;
	const void *data;

	if (!netstring_take_length(p))
		return false;
	len = p->length;
	if (plait_input_take(&p->input, len + 1, &data) < 0)
		return false;
	p->length = 0;
	p->has_digit = p->has_length = false;
	if (((const char *)data)[len] != ',')
		netstring_fail(p);
	else if (netstring_ops_of(p)->string_received != NULL)
		netstring_ops_of(p)->string_received(p, data, len);
	return true;
}

void plait_netstring_receiver_pause(struct plait_netstring_receiver *p)
{
	plait_input_pause(&p->input, &p->base);
}

void plait_netstring_receiver_resume(struct plait_netstring_receiver *p)
{
	plait_input_resume(&p->input, &p->base, netstring_step);
}

void plait_netstring_receiver_send(struct plait_netstring_receiver *p,
				   const void *data, size_t len)
{
	char length[32];
	const struct iovec pieces[] = {
		{ length,
		  (size_t)snprintf(length, sizeof(length), "%zu:", len) },
		{ (void *)(uintptr_t)data, len },
		{ (void *)(uintptr_t) ",", 1 },
	};

	if (p->base.transport != NULL)
		plait_transport_write_sequence(p->base.transport, pieces, 3);
}

void plait_netstring_receiver_data_received(struct plait_protocol *base,
					    const void *data, size_t len)
{
	struct plait_netstring_receiver *p =
		plait_self(base, struct plait_netstring_receiver);

	if (!p->failed)
		plait_input_receive(&p->input, base, netstring_step, data, len);
}

void plait_netstring_receiver_done(struct plait_protocol *base)
{
	plait_input_done(
		&plait_self(base, struct plait_netstring_receiver)->input);
}
