/*
 * Sends the whole poem at once and closes the connection.  All clients share
 * one buffer, so a thousand clients that read slowly need no copy of the poem.
 * Losing the connection first sends what is queued, and what the client sends
 * cannot destroy this output.
 */
#include <stdint.h>
#include <stdio.h>

#include "common/program.h"

struct poet {
	struct plait_factory factory;
	struct plait_buf *poem;
};

static void listener_made(struct plait_protocol *p)
{
	struct poet *poet = plait_self(p->factory, struct poet);

	plait_transport_write_buf(p->transport, poet->poem);
	plait_transport_lose_connection(p->transport);
}

static const struct plait_protocol_ops listener_ops = {
	.name = "fastpoetry",
	.connection_made = listener_made,
};

int main(int argc, char **argv)
{
	/* Only the poem is ever unsent, and it is in memory anyway. */
	const struct plait_limits limits = { .max_unsent = SIZE_MAX };
	struct poet self = { .factory.protocol = &listener_ops };
	struct program p = { .about = "Serves a poem fast.",
			     .operands = "FILE",
			     .min_operands = 1,
			     .max_operands = 1,
			     .serves = true };
	struct plait_address address;
	char place[PLACE_SIZE];
	struct plait_reactor *r;

	program_start(&p, argc, argv);
	self.poem = program_file(p.operand[0]);
	r = program_reactor(&p);
	plait_reactor_set_limits(r, &limits);
	address = program_listen(&p, r, &self.factory);
	program_run(r, "Serving %s on %s.", p.operand[0],
		    place_str(&address, place));

	plait_reactor_free(&r);
	plait_buf_unref(&self.poem);
	return 0;
}
