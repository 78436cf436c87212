/*
 * A test on a simulated network: start yours from here.  plait_simulation(7)
 * tells more.
 *
 * Under test is a server that answers each client after a second, and serves
 * three clients at a time.  The test runs it with many seeds.  Each seed is a
 * network of its own, good or bad, on which ten clients ask.  Then all links
 * are good again, and one more client has to get its answer.
 *
 * --leak plants a mistake: a client that hangs up in the middle is counted for
 * ever.
 */
#include <plait/simulation.h>

#include <stdio.h>

#include "common/program.h"

/* ---- the server ---------------------------------------------------------- */

static bool leaks;
static unsigned busy;

struct request {
	struct plait_protocol base;
	struct plait_timer timer;
};

static void answer(void *arg)
{
	struct request *self = arg;

	plait_transport_write(self->base.transport, "42\n", 3);
	plait_transport_lose_connection(self->base.transport);
	busy--;
}

static void request_made(struct plait_protocol *p)
{
	struct request *self = plait_self(p, struct request);

	if (busy == 3) {
		plait_transport_abort_connection(p->transport);
		return;
	}
	busy++;
	plait_timer_start(plait_transport_reactor(p->transport), &self->timer,
			  1, answer, self);
}

static void request_lost(struct plait_protocol *p,
			 const struct plait_failure *why)
{
	struct request *self = plait_self(p, struct request);

	if (plait_timer_is_running(&self->timer) && !leaks)
		busy--;
	plait_timer_stop(&self->timer);
}

static const struct plait_protocol_ops request_ops = {
	.name = "request",
	.size = sizeof(struct request),
	.connection_made = request_made,
	.connection_lost = request_lost,
};

static plait_value serve(struct plait_reactor *r, void *arg)
{
	static struct plait_factory factory = { .protocol = &request_ops };

	busy = 0;
	plait_listen_tcp(r, 80, &factory, NULL, NULL);
	return plait_forever();
}

/* ---- the test ------------------------------------------------------------ */

static plait_value ask(struct plait_reactor *r, void *server)
{
	struct plait_deferred *d = plait_client_read_all(
		r, plait_host_address(server), 80, PLAIT_NONE, 100, NULL);

	plait_deferred_add_timeout(d, r, 2);
	return plait_chain(&d);
}

static void test(struct plait_simulation *s, void *arg)
{
	struct plait_host *server = plait_simulation_host(s, "server");
	struct plait_host *client = plait_simulation_host(s, "client");

	plait_host_run(server, serve, NULL);
	for (int i = 0; i < 10; i++)
		plait_host_run(client, ask, server);
	plait_simulation_run(s, 60);
	plait_simulation_heal(s);
	plait_host_run(client, ask, server);
	plait_simulation_run(s, 60);
	if (plait_host_status(client) != 0)
		plait_simulation_fail(s, "no answer on a perfect network");
}

int main(int argc, char **argv)
{
	size_t seeds = 1000;
	const struct program_option options[] = {
		{ "leak", NULL, "plant a mistake", read_flag, &leaks, NULL },
		{ "seeds", "N", "so many networks; default: 1000", read_count,
		  &seeds, NULL },
		{ 0 },
	};
	struct program p = { .about = "Tests a server on simulated networks.",
			     .options = options };

	program_start(&p, argc, argv);
	if (plait_check_seeds(test, NULL, 1, seeds, NULL) < 0)
		return 1;
	printf("%zu seeds passed\n", seeds);
	return 0;
}
