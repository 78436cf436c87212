/*
 * Orphans: processes whose parents have ended before them.
 *
 * An orphan becomes a child of process 1 of its namespace, or of the nearest
 * ancestor that has made itself a subreaper.  When it ends, that process has to
 * wait for it; or else it stays in the table of processes for good.  A program
 * that is process 1 of a container, or that wants to see its children's
 * children, has a reaper:
 *
 *	struct plait_reaper reaper = { .subreaper = true };
 *
 *	plait_reaper_start(r, &reaper);
 *
 * A reaper never takes the status of a child that plait has made, in whatever
 * reactor.  For the kernel, the other children of the program are like orphans;
 * so the reaper leaves each time to whoever may wait for it: see patience.
 */
#ifndef PLAIT_REAPER_H
#define PLAIT_REAPER_H

#include <plait/process.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_reaper;

/* Embed it, zeroed, and set what is to differ from the defaults.  Stop it
   before you free the struct around it. */
struct plait_reaper {
	/* Make this process a subreaper as long as this is started. */
	bool subreaper;
	/*
	 * For how many seconds a child that has ended must have been left alone
	 * before it is waited for; 0: 1 second; < 0: none, for programs that
	 * make children only with plait.  system() waits at once, but
	 * pclose() may be called much later: see is_ours.
	 */
	double patience;
	/* Will somebody in this program wait for that child?  Then it is left
	   alone, and asked for again later.  NULL: nobody will. */
	bool (*is_ours)(struct plait_reaper *reaper, pid_t pid);
	/* An orphan has ended, and was waited for.  how is borrowed.  May stop
	   the reaper, and free the struct around it.  NULL: nobody is told. */
	void (*reaped)(struct plait_reaper *reaper, pid_t pid,
		       const struct plait_process_exit *how);
	/* private */
	struct plait_reaping *reaping; /* NULL: it is not started */
	uintptr_t reserved[3];	       /* zero */
};

/*
 * Waits for orphans from now on.  r borrows the reaper until it is stopped, or
 * r is freed.  It has the signal SIGCHLD as a struct plait_signal_watch has it.
 *
 * Returns 0; -EBUSY if it is started; -EINVAL if a reserved word is not zero;
 * -ENOTSUP if r is a testing or a simulated reactor; -ENOMEM; -ECHILD in a
 * child made by fork(); or another errno, if the process cannot be a subreaper.
 */
int plait_reaper_start(struct plait_reactor *r, struct plait_reaper *reaper);

/* Waits for no more orphans.  If it is not started, the call does nothing. */
void plait_reaper_stop(struct plait_reaper *reaper);

#ifdef __cplusplus
}
#endif

#endif
