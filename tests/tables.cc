/*
 * Tables as a C++20 program writes them, where the members stand in the order
 * of their declaration: each macro between members that a program adds itself.
 * check-headers compiles this and runs nothing.
 */
#include <plait/plait.h>

static void made(plait_protocol *)
{
}

static void lost(plait_protocol *, const plait_failure *)
{
}

static void data_received(plait_protocol *, const void *, size_t)
{
}

static void half_lost(plait_protocol *)
{
}

static void start(plait_factory *)
{
}

static void opened(plait_factory *, plait_port *)
{
}

struct chat {
	plait_line_receiver base;
	unsigned lines;
};

#define RECEIVER(ops, macro, type)                                             \
	extern const struct ops table_of_##ops;                                \
	const struct ops table_of_##ops = {                                    \
		.base = { .name = "receiver",                                  \
			  .size = sizeof(type),                                \
			  .connection_made = made,                             \
			  macro,                                               \
			  .read_connection_lost = half_lost,                   \
			  .write_connection_lost = half_lost,                  \
			  .connection_lost = lost }                            \
	}

RECEIVER(plait_line_receiver_ops, PLAIT_LINE_RECEIVER, chat);
RECEIVER(plait_line_only_receiver_ops, PLAIT_LINE_ONLY_RECEIVER,
	 plait_line_only_receiver);
RECEIVER(plait_intn_receiver_ops, PLAIT_INTN_RECEIVER, plait_intn_receiver);
RECEIVER(plait_netstring_receiver_ops, PLAIT_NETSTRING_RECEIVER,
	 plait_netstring_receiver);

extern const plait_protocol_ops wrapper;
const plait_protocol_ops wrapper = {
	.name = "wrapper",
	.size = sizeof(plait_wrapper),
	PLAIT_WRAPPER,
	.connection_lost = lost,
};

/* With a callback of its own it names all, as the macro does. */
extern const plait_protocol_ops counter;
const plait_protocol_ops counter = {
	.name = "counter",
	.size = sizeof(plait_wrapper),
	.connection_made = plait_wrapper_connection_made,
	.data_received = data_received,
	.done = plait_wrapper_done,
	.base_size = sizeof(plait_wrapper),
	.read_connection_lost = plait_wrapper_read_connection_lost,
	.write_connection_lost = plait_wrapper_write_connection_lost,
	.connection_lost = lost,
};

extern const plait_factory_ops wrapping;
const plait_factory_ops wrapping = {
	.name = "wrapping",
	PLAIT_WRAPPING_FACTORY,
};

extern const plait_factory_ops reconnecting;
const plait_factory_ops reconnecting = {
	.name = "reconnecting",
	.start = start,
	PLAIT_RECONNECTING_FACTORY,
	.port_opened = opened,
};
