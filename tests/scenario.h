/*
 * Scenarios: programs on a simulated network, for any seed.
 *
 *	SCENARIO(echo_gives_back_what_it_gets)
 *	{
 *		... simulation is a new one, on which nothing runs yet ...
 *	}
 *
 * A scenario has two halves.  In the first it lets weather_begin() break
 * whatever it likes: links, hosts, kernels; the contract must hold meanwhile.
 * Then weather_clear() heals everything, and the scenario demands that the
 * programs get on with what they are for.  What is wrong fails the simulation.
 *
 * A scenario registers itself; test_scenarios.c runs all of them.
 */
#ifndef TESTS_SCENARIO_H
#define TESTS_SCENARIO_H

#include <stdio.h>

#include <plait/plait.h>
#include <plait/simulation.h>

#include "tests/witness.h"

struct scenario {
	const char *name;
	void (*run)(void);
	struct scenario *next;
};

#define SCENARIO(called)                                                       \
	static void called(void);                                              \
	__attribute__((constructor)) static void called##_registers(void)      \
	{                                                                      \
		static struct scenario s = { .name = #called, .run = called }; \
                                                                               \
		scenario_add(&s);                                              \
	}                                                                      \
	static void called(void)

void scenario_add(struct scenario *s);

/* All of them, in the order of their names. */
const struct scenario *scenario_first(void);
unsigned scenario_count(void);

/* Runs it on a new simulation; what is wrong fails that. */
void scenario_run(const struct scenario *scenario, struct plait_simulation *s);

/* Those of the scenario that runs. */
extern struct plait_simulation *simulation;
extern struct eyewitness witness;

/* What the seed draws for the scenario: a number below n, or yes. */
unsigned dice(unsigned n);
bool dice_say(double probability);
double dice_seconds(double from, double to);

/* Says that something is wrong, if the condition is false. */
#define MUST(condition, ...)                                                   \
	do {                                                                   \
		if (!(condition))                                              \
			witness_fail(&witness, __VA_ARGS__);                   \
	} while (0)

/* True after that: then the rest of a scenario makes no sense. */
bool has_failed(void);

/* Runs the simulation for that many seconds.  Returns false if it has failed,
   or nothing can ever happen any more. */
bool go_on(double seconds);

/* Runs it until yes(arg), at most that long.  Returns whether it has come. */
bool go_on_until(bool (*yes)(void *arg), void *arg, double seconds);

/* ---- hosts and programs ------------------------------------------------- */

enum { MAX_NODES = 16 };

/*
 * A program of a scenario, on a host of its own.  begin() is its main(); it
 * runs until somebody calls node_stop().  end() frees what begin() has made:
 * it is called when the reactor is gone, before the program begins again or
 * when the scenario ends.
 */
struct node {
	const char *name;
	void (*begin)(struct node *n);
	void (*end)(struct node *n);
	/* What the node has. */
	struct plait_host *host;
	struct plait_reactor *reactor;	 /* while it runs */
	struct plait_host_faults faults; /* of the host */
	struct plait_promise *stopped;
	bool begun;	 /* and not ended */
	unsigned starts; /* how often it has begun */
};

/* Makes the host and starts the program.  While it begins its kernel refuses
   nothing, as a program that cannot even begin shows nothing. */
void node_start(struct node *n);
/* Asks the program to end. */
void node_stop(struct node *n);

/* What there is of them, and of their sockets. */
void nodes_print(FILE *to);

/* Ends all nodes, and demands that nothing is left on any host. */
void nodes_end(void);

/* ---- weather ------------------------------------------------------------- */

/*
 * From now on, for that many seconds, what the network and the hosts do is
 * drawn: partitions, links that change, kernels that refuse, hosts that crash
 * and start again.
 */
enum weather {
	WEATHER_LINKS = 1,   /* partitions, slow and lossy links */
	WEATHER_KERNELS = 2, /* what kernels refuse */
	WEATHER_CRASHES = 4, /* hosts crash, and start again */
	WEATHER_KILLS = 8,   /* programs are killed, and start again */
	WEATHER_ALL = 15
};
void weather_begin(unsigned kinds, double seconds);

/* Everything is healed, and every host is up. */
void weather_clear(void);

#endif
