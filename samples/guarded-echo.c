/*
 * The echo server with limits: on the number of clients, on the number of
 * clients of one address, and on the bytes a second of all clients together.
 * The protocol is the same as without limits; two factories stand in front of
 * it.
 */
#include <stdio.h>

#include "common/program.h"

static void echo_made(struct plait_protocol *p)
{
	plait_transport_register_producer(
		p->transport, plait_transport_producer(p->transport), true);
}

static void echo_received(struct plait_protocol *p, const void *data,
			  size_t len)
{
	plait_transport_write(p->transport, data, len);
}

static const struct plait_protocol_ops echo_ops = {
	.name = "echo",
	.connection_made = echo_made,
	.data_received = echo_received,
};

static void limited(struct plait_limited_factory *f, enum plait_limited what,
		    const struct plait_address *peer)
{
	char who[PLAIT_ADDRESS_SIZE];

	plait_address_host(peer, who, sizeof(who));
	if (what == PLAIT_LIMITED_PORTS)
		printf("Full: whoever comes has to wait.\n");
	else
		printf("Refused %s, which has %u.\n", who,
		       plait_limited_factory_connections_of(f, peer));
}

int main(int argc, char **argv)
{
	struct plait_factory echo = { .protocol = &echo_ops };
	struct plait_bucket bytes = { .rate = 1000, .burst = 0 };
	struct plait_throttled_factory throttled = { .out = &bytes };
	struct plait_limited_factory guard = { .wait = true,
					       .limited = limited };
	size_t clients = 100, per_address = 10;
	const struct program_option options[] = {
		{ "clients", "N", "at a time, others wait; default: 100",
		  read_count, &clients, NULL },
		{ "per-address", "N", "of one address; default: 10", read_count,
		  &per_address, NULL },
		{ "rate", "N", "bytes a second in all; default: 1000",
		  read_count, &bytes.rate, NULL },
		{ 0 },
	};
	struct program p = { .about = "Sends back what it gets, within limits.",
			     .serves = true,
			     .options = options };
	struct plait_address address;
	char place[PLACE_SIZE];
	struct plait_reactor *r;

	program_start(&p, argc, argv);
	guard.max_connections = (unsigned)clients;
	guard.max_per_address = (unsigned)per_address;
	plait_throttled_factory_init(&throttled, &echo);
	plait_limited_factory_init(&guard, &throttled.base.base);
	r = program_reactor(&p);
	address = program_listen(&p, r, &guard.base.base);
	program_run(r, "Echoing on %s.", place_str(&address, place));

	plait_reactor_free(&r);
	return 0;
}
