/*
 * A poet who takes his time.  He sends a poem in small pieces, to any number of
 * clients at the same time, to each at its own pace.  One process and one
 * thread can do this because the pause between two pieces is only a timer,
 * inside the struct of the client.  When a client has gone, its timer is
 * stopped.
 */
#include <stdio.h>

#include "common/program.h"

struct poet {
	struct plait_factory factory;
	struct plait_buf *poem;
	double delay;
	size_t num_bytes;
};

struct listener {
	struct plait_protocol base;
	struct plait_timer timer;
	size_t sent;
};

static void send_piece(void *arg)
{
	struct listener *self = arg;
	struct plait_transport *t = self->base.transport;
	struct poet *poet = plait_self(self->base.factory, struct poet);
	const char *poem = plait_buf_data(poet->poem);
	size_t left = plait_buf_size(poet->poem) - self->sent;
	size_t n = left < poet->num_bytes ? left : poet->num_bytes;

	if (n == 0) {
		plait_transport_lose_connection(t);
		return;
	}
	printf("Sending %zu bytes\n", n);
	plait_transport_write(t, poem + self->sent, n);
	self->sent += n;
	plait_timer_start(plait_transport_reactor(t), &self->timer, poet->delay,
			  send_piece, self);
}

static void listener_made(struct plait_protocol *p)
{
	struct plait_address peer;
	char who[PLAIT_ADDRESS_SIZE] = "nowhere";

	if (plait_transport_peer(p->transport, &peer) == 0)
		plait_address_str(&peer, who, sizeof(who));
	printf("Somebody at %s wants poetry!\n", who);
	send_piece(plait_self(p, struct listener));
}

static void listener_lost(struct plait_protocol *p,
			  const struct plait_failure *why)
{
	plait_timer_stop(&plait_self(p, struct listener)->timer);
}

static const struct plait_protocol_ops listener_ops = {
	.name = "slowpoetry",
	.size = sizeof(struct listener),
	.connection_made = listener_made,
	.connection_lost = listener_lost,
};

int main(int argc, char **argv)
{
	struct poet self = { .factory.protocol = &listener_ops,
			     .delay = .7,
			     .num_bytes = 10 };
	const struct program_option options[] = {
		{ "delay", "SECONDS", "between two pieces; default: .7",
		  read_seconds, &self.delay, NULL },
		{ "num-bytes", "N", "in a piece; default: 10", read_count,
		  &self.num_bytes, NULL },
		{ 0 },
	};
	struct program p = { .about = "Serves a poem slowly.",
			     .operands = "FILE",
			     .min_operands = 1,
			     .max_operands = 1,
			     .serves = true,
			     .options = options };
	struct plait_address address;
	char place[PLACE_SIZE];
	struct plait_reactor *r;

	program_start(&p, argc, argv);
	self.poem = program_file(p.operand[0]);
	r = program_reactor(&p);
	address = program_listen(&p, r, &self.factory);
	program_run(r, "Serving %s on %s.", p.operand[0],
		    place_str(&address, place));

	plait_reactor_free(&r);
	plait_buf_unref(&self.poem);
	return 0;
}
