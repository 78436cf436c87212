/*
 * Sends back what it receives.  The receiving half of the connection is
 * registered as the producer of its sending half.  So if a peer never reads,
 * the server does not read from it either, and its memory cannot grow.
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

int main(int argc, char **argv)
{
	struct plait_factory factory = { .protocol = &echo_ops };
	struct program p = { .about = "Sends back what it gets.",
			     .serves = true };
	struct plait_address address;
	char place[PLACE_SIZE];
	struct plait_reactor *r;

	program_start(&p, argc, argv);
	r = program_reactor(&p);
	address = program_listen(&p, r, &factory);
	program_run(r, "Echoing on %s.", place_str(&address, place));

	plait_reactor_free(&r);
	return 0;
}
