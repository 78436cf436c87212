/*
 * The random programs of the suite (machine.h, dialogue.h), on a simulated
 * host: the same programs, another kernel, which refuses what kernels refuse.
 */
#include "tests/dialogue.h"
#include "tests/machine.h"
#include "tests/scenario.h"
#include "tests/wrapped.h"

enum { STEPS = 300 };

static struct plait_host *host;

static struct plait_reactor *make_reactor(void)
{
	return plait_host_reactor(host);
}

static const char *host_begin(const char *name)
{
	enum wrapped_kind kind;

	host = plait_simulation_host(simulation, name);
	plait_assert(host != NULL);
	kind = (enum wrapped_kind)dice(N_WRAPPED);
	wrapped_as(kind, 1 + dice(100000));
	return plait_host_address(host);
}

SCENARIO(random_programs_of_all_objects_leave_nothing)
{
	const struct machine_world world = {
		.make = make_reactor,
		.wait = dice_seconds(0, 1),
		.choose = dice,
	};

	host_begin("machine");
	machine_run(&world, STEPS);
	wrapped_as(0, 0);
}

SCENARIO(two_peers_get_what_was_sent_and_one_end_each)
{
	struct plait_host_faults faults =
		plait_simulation_drawn_options(simulation)->faults;
	const char *address = host_begin("peers");

	/* Who is turned away was never connected. */
	faults.no_descriptors = faults.no_memory = 0;
	plait_host_set_faults(host, &faults);
	dialogue_run_on(make_reactor(), address, dice, STEPS);
	wrapped_as(0, 0);
}
