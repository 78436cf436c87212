/*
 * The world, as the simulated kernel sees it (socket.c, tcp.c, udp.c,
 * calls.c), and as its own files do.
 *
 *	random.c future.c	chance, and what is to happen
 *	record.c		what has happened: the digest
 *	wire.c			packets between hosts
 *	socket.c tcp.c udp.c	the sockets of a host
 *	pipe.c process.c	pipes and children
 *	frame.c calls.c		the two tables of a kernel: kernel.h
 *	children.c		... and those for children: child.h, end.h
 *	netstat.c		looking at sockets
 *	disk.c			the files of a host
 *	host.c			hosts, their programs, crash and restart
 *	turns.c			time, and whose turn it is
 *	simulation.c		the life of a simulation, and what it is asked
 *	seeds.c			running it with many seeds
 *
 * A turn of the world takes the next of: a reactor that has work now, or the
 * next thing of the future; if there are several, chance picks one.  Time moves
 * between turns only, when nothing is left to do at this moment.
 */
#ifndef REACTOR_SIMULATION_WORLD_H
#define REACTOR_SIMULATION_WORLD_H

#include <plait/simulation.h>

#include "lib/chance.h"
#include "lib/trace.h"
#include "reactor/kernel/kernel.h"
#include "reactor/loop/loop.h"
#include "reactor/simulation/future.h"
#include "reactor/simulation/random.h"
#include "reactor/simulation/socket.h"
#include "reactor/simulation/wire.h"

struct host_binary;
struct process;
struct program;
struct record;

/*
 * The kernel of one program: state in the struct kernel of its reactor.
 *
 * host.c allocates it, with all but descriptors set, and gives it to
 * kernel_init().  init() begins the descriptors.  done() closes those that are
 * open and sets ended, and touches nothing else: the clock is asked until the
 * memory of the reactor is freed.
 */
struct host_kernel {
	struct plait_host *host;
	struct plait_list link;		/* in host->kernels */
	struct plait_reactor *reactor;	/* NULL while it is being made */
	struct program *program;	/* NULL: a reactor beside them */
	struct process *process;	/* NULL: it is nobody's child */
	struct plait_list children;	/* process.h */
	unsigned number;		/* of those of the host: 1, 2, ... */
	struct descriptors descriptors; /* socket.h */
	struct random_stream chance;	/* faults, kernel->random */
	int64_t busy_until;		/* its turn takes until then */
	bool woken;			/* wake() was called, until drain() */
	bool has_begun;			/* its program: a turn was */
	bool dead; /* its program is gone: all calls fail, and change nothing */
	bool ended;		/* done() was called */
	struct loop_task dying; /* when the present callback has returned */
};

struct plait_host {
	struct plait_simulation *simulation;
	struct plait_list link;
	char *name;
	char text[16];	 /* its IPv4 address */
	unsigned number; /* 1, 2, ...: 10.0.0.1, fd00::1 */
	bool down;
	struct plait_list kernels; /* of its reactors */
	unsigned n_kernels;	   /* ever */
	struct plait_list programs;
	unsigned fate;	  /* what was asked of it and is not done yet: host.c */
	bool is_settling; /* its programs are being ended by that */
	int status;	  /* of the last program that has ended; -1: none */
	struct host_sockets sockets; /* socket.h */
	struct wire_paths paths;     /* wire.h */
	struct plait_host_faults faults;
	bool has_own_faults;
	struct random_stream chance;
	struct plait_list disk; /* its files: disk.c */
	unsigned n_files;	/* that were ever made */
	/* Programs that its programs can run, processes that do, and their
	   programs: process.h, host.c. */
	struct plait_list binaries, processes, children;
	pid_t last_pid;
	unsigned n_pipes; /* that were ever made */
};

/* What sees to it that the contract is kept: witness.c. */
enum { WITNESS_FEW = 256, WITNESS_DEPTH = 16 };

struct witness {
	struct trace_listener listener;
	struct plait_simulation *simulation;
	struct witness_thing **buckets, *few[WITNESS_FEW], *unused;
	size_t n_buckets, n_things; /* a power of two; those that live */
	struct witness_chunk *chunks;
	const struct plait_reactor *inside[WITNESS_DEPTH]; /* callbacks */
	unsigned depth;
	const struct plait_reactor *turning; /* the last that called back */
	uint64_t turn;
	unsigned callbacks; /* in that turn of it */
};

enum { FAILURE_SIZE = 512 };

struct plait_simulation {
	uint64_t seed;
	int64_t now;	/* nanoseconds */
	uint64_t turns; /* of the world */
	struct plait_simulation_options options;
	struct plait_link link;		 /* of hosts that are to be made */
	struct plait_host_faults faults; /* ... and theirs */
	/* The seed has drawn faults, which begin when time first passes. */
	bool faults_are_to_begin;
	struct future future;
	struct plait_list hosts, calls, streams;
	unsigned n_hosts;
	unsigned doomed; /* hosts with a fate, and children that were killed */
	unsigned n_programs; /* that run, children not among them */
	/*
	 * wait() of a kernel that may wait: everything goes on until k is ready
	 * (plait_i_host_kernel_is_ready()), or its reactor has other work, or
	 * until that time has come; negative: never.  Returns 0, or -EDEADLK if
	 * nothing can ever happen any more.
	 */
	int (*drive)(struct plait_simulation *s, struct host_kernel *k,
		     int64_t until);
	/* Lets a child run that program, in a reactor of its own; 0 or -errno.
	 */
	int (*spawn)(struct process *p, const struct host_binary *binary);
	bool driving; /* plait_simulation_run() is on the stack */
	struct random_stream chance; /* of order, and of what turns take */
	struct chance_hook hook;     /* while it runs: <plait/chance.h> */
	struct marks *marks;	     /* seeds.c; NULL: nobody asks */
	struct witness witness;
	/* For the check against the real kernel: what is sent on the loopback
	   arrives within the call, as on Linux. */
	bool immediate;
	uint64_t digest;
	struct record *record; /* NULL: the digest is enough */
	bool is_traced;
	bool failed;
	char failure[FAILURE_SIZE];
};

/* ---- record.c ------------------------------------------------------------ */

/*
 * Notes that something has happened.  what is static text; the numbers must
 * not depend on the machine: no pointers, no times of the real clock.
 */
void plait_i_record(struct plait_simulation *s, const char *what, uint64_t a,
		    uint64_t b);
void plait_i_record_bytes(struct plait_simulation *s, const void *data,
			  size_t len);

/* All that a run has noted, to compare it with another run. */
struct record_entry {
	const char *what;
	uint64_t a, b;
	int64_t when;
	uint64_t turn;
};

struct record {
	struct record_entry *entries;
	size_t n, room;
	bool is_cut; /* there was no memory for the rest */
};

/* The first in which they differ, or the length of both. */
size_t plait_i_record_compare(const struct record *a, const struct record *b);
void plait_i_record_done(struct record *r);

/* ---- marks.c ------------------------------------------------------------- */

/* The PLAIT_SOMETIMES() that were met, and whether they were ever true. */
struct mark {
	const char *what, *where;
	bool was_true;
};

struct marks {
	struct mark *items;
	size_t n, room;
};

void plait_i_marks_note(struct marks *m, bool condition, const char *what,
			const char *where);

/* The first, or NULL. */
const struct mark *plait_i_marks_never_true(const struct marks *m);
void plait_i_marks_done(struct marks *m);

/* ---- witness.c ----------------------------------------------------------- */

/* From now on until its end it fails s when the contract is broken. */
void plait_i_witness_begin(struct witness *w, struct plait_simulation *s);
void plait_i_witness_end(struct witness *w);

/* ---- turns.c ------------------------------------------------------------- */

/* The time in so many seconds. */
int64_t plait_i_world_after(const struct plait_simulation *s, double seconds);

/* What s->drive is. */
int plait_i_world_drive(struct plait_simulation *s, struct host_kernel *k,
			int64_t until);

/* ---- simulation.c -------------------------------------------------------- */

/* From now on until the simulation is freed its events are recorded for the
   file of PLAIT_TRACE, if there is one. */
void plait_i_simulation_trace(struct plait_simulation *s);
void plait_i_simulation_end_trace(struct plait_simulation *s);
/* What the scenario has asked for with plait_simulation_call_later() does not
   come. */
void plait_i_simulation_drop_calls(struct plait_simulation *s);
struct plait_simulation *
plait_i_simulation_new(uint64_t seed,
		       const struct plait_simulation_options *options);

/* ---- disk.c -------------------------------------------------------------- */

/* A file of a host.  Whoever replaces it makes another. */
struct host_file {
	struct plait_list link; /* in host->disk */
	char *path;
	unsigned number; /* 1, 2, ... of those of its host */
	bool is_socket;	 /* local_names.c says whose it is */
	int64_t written;
	size_t size;
	char data[];
};

/* Borrowed; NULL: there is none. */
const struct host_file *plait_i_disk_find(const struct plait_host *h,
					  const char *path);
void plait_i_disk_free(struct plait_host *h);

/* Makes the file of a socket, where none is.  Returns its number or -ENOMEM. */
int plait_i_disk_make_socket(struct plait_host *h, const char *path);

/* Takes the place of a file that is there.  0, -ENOENT or -ENOMEM. */
int plait_i_disk_rename(struct plait_host *h, const char *from, const char *to);

/* ---- calls.c ------------------------------------------------------------- */

extern const struct kernel_ops plait_i_kernel_simulated;

/* True if wait() of that kernel has an event to give now. */
bool plait_i_host_kernel_is_ready(struct host_kernel *k);

/* ---- host.c -------------------------------------------------------------- */

/* When k's reactor has something to do; INT64_MAX: never. */
int64_t plait_i_host_kernel_due(struct host_kernel *k);

/* A turn of the reactor of k. */
void plait_i_host_kernel_turn(struct host_kernel *k);

/* What s->spawn is. */
int plait_i_host_spawn(struct process *p, const struct host_binary *binary);

/* Does what was asked of hosts, and of children, while their callbacks ran. */
void plait_i_hosts_settle(struct plait_simulation *s);

/* Ends all programs, as plait_react() ends if its run fails. */
void plait_i_hosts_end_programs(struct plait_simulation *s);
void plait_i_hosts_kill_programs(struct plait_simulation *s);
void plait_i_host_free(struct plait_host *h);

#endif
