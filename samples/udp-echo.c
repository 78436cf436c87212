/*
 * Sends back each datagram to whom it came from, and from the address that it
 * came to.  Nothing is queued: a datagram that the system has no room for is
 * lost, as any datagram may be.
 */
#include <stdio.h>
#include <string.h>

#include "common/program.h"

static void echo_received(struct plait_datagram_protocol *p, const void *data,
			  size_t len, const struct plait_datagram_info *info)
{
	plait_datagram_reply(p, data, len, info);
}

static const struct plait_datagram_ops echo_ops = {
	.name = "udp-echo",
	.received = echo_received,
};

int main(int argc, char **argv)
{
	struct plait_datagram_protocol echo = { .ops = &echo_ops };
	struct program p = { .about = "Sends back the datagrams that it gets.",
			     .serves = true };
	struct plait_address address;
	struct plait_reactor *r;
	struct plait_port *port;
	int err;

	program_start(&p, argc, argv);
	const struct plait_udp_options options = { .iface = p.iface,
						   .max_size = 65535,
						   .tell_local = true };

	r = program_reactor(&p);
	err = plait_listen_udp(r, p.port, &echo, &options, &port);
	if (err < 0) {
		plait_reactor_free(&r);
		die("cannot serve on %s, port %u: %s", p.iface, p.port,
		    strerror(-err));
	}
	plait_port_host(port, &address);
	program_run(r, "Echoing datagrams on port %u.",
		    plait_address_port(&address));

	plait_reactor_free(&r);
	return 0;
}
