/*
 * The processes of a simulated host: children of its programs.
 *
 * A process runs, until it has ended; then its parent may ask how, once, and
 * then it is gone.  Its memory stays as long as a descriptor stands for it, or
 * its program has to be freed.
 *
 *   plait_i_process_new()	with copies of the descriptors that it is given
 *   plait_i_process_begin()	its kernel is made, and has them now
 *   plait_i_process_end()	it has ended: its parent is told
 *   plait_i_process_reap()	its parent has asked how
 *
 * A process that a signal ends is dead at once, as a kernel sees it: its
 * descriptors are closed.  host.c frees what its program has, later.
 */
#ifndef REACTOR_SIMULATION_PROCESS_H
#define REACTOR_SIMULATION_PROCESS_H

#include "reactor/kernel/child.h"
#include "reactor/simulation/world.h"

/* A program that programs of a host can run. */
struct host_binary {
	struct plait_list link; /* in host->binaries */
	plait_react_main *main;
	void *arg;
	char path[];
};

/* What a process is given: a pipe's end, or NULL for /dev/null. */
struct process_gift {
	int fd;
	struct sim_socket *end;
};

enum process_state { PROCESS_RUNS, PROCESS_HAS_ENDED, PROCESS_IS_GONE };

struct process {
	struct plait_list link;	   /* in host->processes */
	struct plait_list sibling; /* in parent->children */
	struct plait_host *host;
	struct host_kernel *parent; /* NULL: nobody will ask how it ended */
	struct host_kernel *kernel; /* NULL: it has none yet, or none more */
	pid_t pid, group;
	enum process_state state;
	int code, status;	 /* as in siginfo_t */
	struct plait_list files; /* descriptors that stand for it */
	bool has_program;	 /* which host.c frees */
	bool is_doomed;		 /* and is to be freed: a signal has ended it */
	bool is_stopped;	 /* by SIGSTOP */
	bool dies_with_parent;
	int fatal;		  /* the signal that ends it ... */
	struct loop_task killing; /* ... when its callback has returned */
	struct process_gift *gifts;
	size_t n_gifts;
	char **argv;
};

/* Makes the process that s asks for, a child of k; NULL with *err -errno.  It
   does not run yet; plait_i_process_drop() takes it back. */
struct process *plait_i_process_new(struct host_kernel *k,
				    const struct spawn *s, int *err);
void plait_i_process_drop(struct process *p);

/* Its kernel has the descriptors now; 0 or -errno. */
int plait_i_process_begin(struct process *p);

/* A descriptor of it, for who waits for its end; NULL without memory. */
struct sim_socket *plait_i_process_file(struct process *p);
struct process *plait_i_process_of(struct sim_socket *file);

/* The process of that number, or NULL. */
struct process *plait_i_process_find(const struct plait_host *h, pid_t pid);

/* It has ended so; nothing if it has ended before. */
void plait_i_process_end(struct process *p, int code, int status);

/* Its program is freed. */
void plait_i_process_lose_program(struct process *p);

/* Its parent has asked how it has ended. */
void plait_i_process_reap(struct process *p);

/* Does what that signal does to it; 0 does nothing. */
void plait_i_process_signal(struct process *p, int number);

/* k is no more: its children are nobody's. */
void plait_i_processes_orphan(struct host_kernel *k);

/* All processes of h are gone, and nobody is told. */
void plait_i_processes_vanish(struct plait_host *h);

/* The program that the first of these paths means; 0, -ENOENT or -EACCES. */
int plait_i_binary_look(const struct plait_host *h, const char *const *paths,
			const struct host_binary **ret);
void plait_i_binaries_free(struct plait_host *h);

#endif
