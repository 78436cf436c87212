/*
 * A simulated network: hosts, links and time that one seed decides.
 *
 * Programs run on it unchanged.  Their reactors, ports, connectors and
 * connections are the real ones; only what they ask the kernel is answered by
 * a simulated kernel.  Everything is in one thread, and time is virtual: it
 * jumps to the next moment at which anything can happen.
 *
 *	struct plait_simulation *s = plait_simulation_new(42, NULL);
 *	struct plait_host *server = plait_simulation_host(s, "server");
 *	struct plait_host *client = plait_simulation_host(s, "client");
 *
 *	plait_host_run(server, serve, NULL);
 *	plait_host_run(client, ask, server);
 *	plait_simulation_run(s, 60);
 *	plait_simulation_free(&s);
 *
 * The same seed gives the same run, whatever the compiler and the machine.
 * plait_check_seeds() runs a scenario with many seeds.
 */
#ifndef PLAIT_SIMULATION_H
#define PLAIT_SIMULATION_H

#include <plait/address.h>
#include <plait/check.h>
#include <plait/react.h>
#include <plait/reactor.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_simulation;
struct plait_host;

/*
 * How packets travel from one host to another.  Zeroed, a link is perfect: it
 * takes no time and loses nothing.  Probabilities are from 0 to 1.
 *
 * TCP sends a packet that was lost again, and keeps the order.  A datagram of
 * UDP that was lost does not come, and jitter lets datagrams overtake others.
 */
struct plait_link {
	double latency;	  /* seconds that each packet takes */
	double jitter;	  /* up to so many seconds more */
	double rate;	  /* bytes a second; 0: no limit */
	double loss;	  /* the probability that a packet is lost */
	double reset;	  /* ... that a packet resets its connection */
	bool down;	  /* all packets are lost, until the link is changed */
	bool unreachable; /* a router says that the host cannot be reached */
	double duplicate; /* the probability that a datagram comes twice */
	/* Bytes that a packet has at most, with its headers; 0: any.  A larger
	   datagram travels in pieces, and is lost if any piece is. */
	size_t mtu;
	uintptr_t reserved[2]; /* zero */
};

/*
 * What the kernel of a host refuses, as kernels do.  Each member is the
 * probability that a call does so, from 0 to 1.  Zeroed, it refuses nothing.
 */
struct plait_host_faults {
	double short_read;     /* recv() gives less than there is */
	double short_write;    /* send() takes less than there is room for */
	double interrupted;    /* a call fails with EINTR */
	double spurious;       /* an event comes, and the call would block */
	double no_descriptors; /* socket() and accept() fail with EMFILE */
	double no_memory;      /* ... with ENOBUFS and ENOMEM; so do sends */
	double no_processes;   /* plait_spawn() fails with EAGAIN */
	uintptr_t reserved[3]; /* zero */
};

struct plait_simulation_options {
	struct plait_link link;		 /* between all hosts */
	struct plait_host_faults faults; /* of all hosts */
	size_t max_descriptors;		 /* of each program; 0: 1024 */
	double turn_time;  /* seconds that a turn of a reactor takes, at most */
	double start_time; /* ... and that a child takes to start */
	uintptr_t reserved[7]; /* zero */
};

/*
 * Gives a simulation, or NULL with errno set to ENOMEM, or to EINVAL if a
 * reserved word of options is not zero.  The caller frees it.  options is
 * copied.  If options is NULL, the seed draws all options first, and then what
 * happens.  Faults that the seed has drawn hold from the moment when time first
 * passes, so that programs can start.
 */
struct plait_simulation *
plait_simulation_new(uint64_t seed,
		     const struct plait_simulation_options *options);

/*
 * Ends the programs that still run, as a crash ends them, and frees the
 * simulation with its hosts.  Then *sp is set to NULL.
 */
void plait_simulation_free(struct plait_simulation **sp);
/* The same, for __attribute__((cleanup)). */
void plait_simulation_cleanup(struct plait_simulation **sp);

/* The seed; the virtual time in seconds; the options, as they were given or as
   the seed has drawn them, borrowed. */
uint64_t plait_simulation_seed(const struct plait_simulation *s);
double plait_simulation_seconds(const struct plait_simulation *s);
const struct plait_simulation_options *
plait_simulation_drawn_options(const struct plait_simulation *s);

/*
 * Returns the host of that name, borrowed until the simulation is freed; if
 * there is none, it is made, with an IPv4 and an IPv6 address of its own.  NULL
 * without memory.  The name is copied.
 */
struct plait_host *plait_simulation_host(struct plait_simulation *s,
					 const char *name);
const char *plait_host_name(const struct plait_host *h);

/* The IPv4 address of h as text, "10.0.0.1", borrowed: for
   plait_connect_tcp(). */
const char *plait_host_address(const struct plait_host *h);

/*
 * Gives a further reactor that runs on h, or NULL with errno set.  The caller
 * frees it before the simulation; plait_simulation_free() aborts otherwise.
 * The simulation turns it, so that the program need not run it.  If the
 * program runs it, or iterates it, that runs the simulation meanwhile.
 */
struct plait_reactor *plait_host_reactor(struct plait_host *h);

/*
 * Runs a program on h, as plait_react() runs it: makes a reactor, which is the
 * simulation's, and calls main(r, arg) in it, from plait_simulation_run().  The
 * program ends when the deferred of main has fired, and then its reactor is
 * freed.  What main fails with is not reported: it is only the status.  arg is
 * borrowed until the simulation is freed.
 *
 * Returns 0, -ENOMEM, or -EHOSTDOWN if the host has crashed.
 */
int plait_host_run(struct plait_host *h, plait_react_main *main, void *arg);

/*
 * Makes or replaces the program of that path on h: what plait_spawn() and
 * plait_run() of its programs run for it.  A path without a '/' is found by its
 * name alone.  The child is main(r, arg), as plait_react() runs it, with a
 * reactor of its own, which is the simulation's.  It ends with the status that
 * plait_react() gives.  Its descriptors are for plait_stdio() and
 * plait_pipe_transport().
 *
 * If main is NULL, there is no such program any more; those that run, run on.
 * path is copied, and arg is borrowed until the simulation is freed.  A crash
 * does not lose programs.  Returns 0 or -ENOMEM.
 */
int plait_host_set_program(struct plait_host *h, const char *path,
			   plait_react_main *main, void *arg);

/* The argv with which r's program was spawned, borrowed until r is freed; NULL
   if it is no child in a simulation. */
const char *const *plait_simulation_argv(const struct plait_reactor *r);

/*
 * Sends a signal to r's program, which is a child, as raise() does: so SIGSEGV
 * ends it, when its callback has returned.  Returns 0; -ESRCH if r is no
 * child's, or it has ended; or -EINVAL if there is no such signal.
 */
int plait_simulation_raise(struct plait_reactor *r, int number);

/* How many programs of h have not ended, and the exit status of the last that
   has, as plait_react() gives it; -1: none.  Children do not count. */
size_t plait_host_programs(const struct plait_host *h);
int plait_host_status(const struct plait_host *h);

/*
 * Asks the programs of h to stop, as SIGTERM does: see plait_react().
 * plait_simulation_stop() asks all programs, and runs until they have ended.
 * Programs that have not ended after 60 virtual seconds, or when the run has
 * failed, are killed.  So when it has returned, no program runs any more.
 * Returns 0; -ETIMEDOUT if a program has taken too long; -EBUSY if it is called
 * in a callback of the simulation, and then it only asks; or an error of
 * plait_simulation_run().
 */
void plait_host_stop(struct plait_host *h);
int plait_simulation_stop(struct plait_simulation *s);

/*
 * Sends a signal to the programs of h.  All watches of it are told.  If there
 * is none, SIGINT and SIGTERM do what plait_host_stop() does; SIGCHLD, SIGCONT,
 * SIGPIPE, SIGURG and SIGWINCH do nothing; any other signal does what
 * plait_host_kill() does.  Returns 0; -EINVAL if there is no such signal; or
 * -ENOMEM if h is NULL.
 */
int plait_host_signal(struct plait_host *h, int number);

/*
 * plait_host_crash() takes the power from h: its programs are gone, and nobody
 * on other hosts is told.  plait_host_kill() ends the programs alone: their
 * kernel lives, and closes their sockets.  plait_host_restart() starts h again,
 * and all programs that it had, from their beginning; if h has not crashed, it
 * crashes first.
 *
 * From that moment on nothing that the programs do gets out.  Then, so that
 * they can free what they have, their main deferreds are freed and their
 * reactors, too: connections are lost, and cancellers and callbacks are called,
 * in a world that does not hear of it any more.  plait_host_is_up() tells such
 * a callback so: what is to be on a disk must not be written then.
 *
 * A crash that a program of h asks for itself comes after its callback.
 */
void plait_host_crash(struct plait_host *h);
void plait_host_kill(struct plait_host *h);
int plait_host_restart(struct plait_host *h);
bool plait_host_is_up(const struct plait_host *h);

/* What the kernel of h refuses from now on; copied. */
void plait_host_set_faults(struct plait_host *h,
			   const struct plait_host_faults *faults);

/*
 * Makes or replaces the file of that path on h: its programs read "/etc/hosts",
 * "/etc/resolv.conf" and "/etc/nsswitch.conf" when they look up names.  If text
 * is NULL, there is no such file any more.  Both are copied.  Hosts begin
 * without files; a crash does not lose them.  Returns 0 or -ENOMEM.
 */
int plait_host_set_file(struct plait_host *h, const char *path,
			const char *text);

/*
 * From now on packets from one host to the other travel so.  NULL for a host
 * means all hosts, also those that are made later.  link is copied; NULL means
 * a perfect link.  What a host sends to itself always travels perfectly.
 */
void plait_simulation_set_link(struct plait_simulation *s,
			       struct plait_host *from, struct plait_host *to,
			       const struct plait_link *link);

/* All links are perfect from now on, and no kernel refuses anything: what is
   waited for must come. */
void plait_simulation_heal(struct plait_simulation *s);

/*
 * Calls fn(arg) after so many seconds, outside of all programs: for a scenario
 * that breaks links and hosts.  Returns 0 or -ENOMEM.
 */
int plait_simulation_call_later(struct plait_simulation *s, double seconds,
				plait_func *fn, void *arg);

/*
 * Chance that depends on the seed alone: a number below n; true with that
 * probability.  Each name has numbers of its own, so that a further draw for
 * one name changes nothing for the others.
 */
uint64_t plait_simulation_below(struct plait_simulation *s, const char *name,
				uint64_t n);
bool plait_simulation_chance(struct plait_simulation *s, const char *name,
			     double probability);

/*
 * Runs everything for that many seconds of virtual time.  Returns 0; -EBUSY if
 * it is called in a callback of the same simulation; -EDEADLK if nothing can
 * ever happen any more, which is the end of a scenario that is over, and then
 * the clock stays where it is; -ELOOP if something happens again and again and
 * no time passes; or -EIO if plait_simulation_fail() was called.
 */
int plait_simulation_run(struct plait_simulation *s, double seconds);

/*
 * Says that the run has failed, with a text as printf() makes it.  The first
 * failure counts, and ends plait_simulation_run() after this callback.
 * plait_simulation_failure() returns its text, borrowed; NULL if there is none.
 * The simulation itself fails a run that breaks the contract of plait(7).
 */
void plait_simulation_fail(struct plait_simulation *s, const char *fmt, ...)
	PLAIT_PRINTF(2, 3);
const char *plait_simulation_failure(const struct plait_simulation *s);

/* The simulation that r belongs to, borrowed; NULL if r is not simulated. */
struct plait_simulation *plait_simulation_of(const struct plait_reactor *r);

/* A number that stands for all that has happened: equal runs have equal
   numbers. */
uint64_t plait_simulation_digest(const struct plait_simulation *s);

/*
 * Appends a line to b for each socket of h, as netstat(8) does: what is unread,
 * or how many connections wait to be accepted; what the peer has not
 * acknowledged; both addresses; and the state.  Returns 0, or an error of
 * plait_buf_append().
 */
int plait_host_netstat(const struct plait_host *h, struct plait_buf *b);

/*
 * A scenario makes hosts, runs programs on them, breaks what it likes, lets the
 * simulation run, and calls plait_simulation_fail() if something is wrong.
 */
typedef void plait_scenario(struct plait_simulation *s, void *arg);

/*
 * Calls fn(s, arg) count times, each time with a new simulation, of the seeds
 * first, first + 1 and so on.  When fn has returned, nothing that it has asked
 * for with plait_simulation_call_later() is called any more, the programs that
 * still run are stopped as by plait_simulation_stop(), and the simulation is
 * freed.
 *
 * A seed fails if plait_simulation_fail() was called, if the run has broken the
 * contract of plait(7), if a program does not stop, if something is left over,
 * or if the process aborts or exits meanwhile.  One seed in a hundred is run a
 * second time; it fails if something else happens then.  The first seed that
 * fails ends the check.  It is told on standard error, and how to repeat it:
 * with PLAIT_SEED in the environment only that seed is run.  PLAIT_SEEDS sets
 * count.
 *
 * At the end the check fails if a PLAIT_SOMETIMES() was false each time.
 *
 * What the default hook would say of failures that nobody handled is said only
 * of the seed that fails.  Returns 0; -EIO if a seed or a mark has failed, and
 * then *ret, if ret is not NULL, says more; or -ENOMEM.
 */
int plait_check_seeds(plait_scenario *fn, void *arg, uint64_t first,
		      size_t count, struct plait_check_report *ret);

#ifdef __cplusplus
}
#endif

#endif
