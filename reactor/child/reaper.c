/*
 * Waiting for orphans.
 *
 * The kernel does not tell an orphan from a child that the program has made
 * itself.  So a child that has ended is only noted at first, and is waited for
 * when it is still there after the patience of the reaper.  plait's own
 * children are known (family.h), and are left alone.
 *
 *   reaper_signalled()	a child has ended: looks
 *   reaper_look()	looks at each child that has ended, and, if there
 *			was any, again after the patience
 *   reaper_meet()	one of them: left alone, or waited for
 */
#include <errno.h>
#include <stdlib.h>

#include <plait/reaper.h>
#include <plait/signal.h>
#include <plait/timer.h>

#include "lib/exception.h"
#include "reactor/child/family.h"
#include "reactor/child/process.h"

static const double default_patience = 1; /* seconds */

/* A child that has ended. */
struct ended {
	pid_t pid;
	int64_t since; /* it is known to */
};

struct plait_reaping {
	struct plait_reactor *reactor;
	struct plait_reaper *reaper; /* NULL: it was stopped */
	struct plait_signal_watch signal;
	struct plait_timer timer;
	struct ended *left; /* alone, sorted as the kernel has them */
	size_t n_left;
	double patience;
	bool was_subreaper;
	struct loop_task reactor_freed, burial;
};

static const struct kernel_children *reaper_calls(const struct plait_reaping *s)
{
	return process_calls(s->reactor);
}

/* ---- one child ----------------------------------------------------------- */

static int64_t reaper_since(const struct plait_reaping *s, pid_t pid)
{
	for (size_t i = 0; i < s->n_left; i++) {
		if (s->left[i].pid == pid)
			return s->left[i].since;
	}
	return plait_i_clock_now(s->reactor);
}

static bool reaper_wait_for(struct plait_reaping *s, pid_t pid,
			    struct plait_process_exit *how)
{
	siginfo_t info;
	bool reaped;

	if (!plait_i_family_hold_stranger(pid))
		return false;
	reaped = reaper_calls(s)->reap_stranger(loop_kernel(s->reactor), pid,
						&info) == 0;
	plait_i_family_go_on();
	plait_i_process_exit_init(how);
	if (reaped)
		plait_i_process_exit_note(how, &info);
	return reaped;
}

static OUT_OF_LINE bool reaper_asks(struct plait_reaping *s, pid_t pid)
{
	bool is_ours = s->reaper->is_ours != NULL &&
		       s->reaper->is_ours(s->reaper, pid);

	exception_barrier();
	return is_ours;
}

static OUT_OF_LINE void reaper_tell(struct plait_reaping *s, pid_t pid,
				    const struct plait_process_exit *how)
{
	if (s->reaper != NULL && s->reaper->reaped != NULL)
		s->reaper->reaped(s->reaper, pid, how);
	exception_barrier();
}

/* Returns true if the child is left alone. */
static bool reaper_meet(struct plait_reaping *s, const struct ended *e)
{
	struct plait_process_exit how;

	if (plait_i_clock_now(s->reactor) - e->since <
	    plait_i_clock_delay(s->patience))
		return true;
	if (reaper_asks(s, e->pid) || s->reaper == NULL ||
	    !reaper_wait_for(s, e->pid, &how))
		return true;
	reaper_tell(s, e->pid, &how);
	return false;
}

/* ---- all of them --------------------------------------------------------- */

/* Returns false if the child is plait's. */
static bool reaper_note(struct plait_reaping *s, pid_t pid, struct ended *ret)
{
	if (plait_i_family_has(pid))
		return false;
	*ret = (struct ended){ .pid = pid, .since = reaper_since(s, pid) };
	return true;
}

/* Returns false if there is nobody, as far as is known. */
static bool reaper_note_all(struct plait_reaping *s)
{
	pid_t *pids = NULL;
	size_t n = reaper_calls(s)->ended(loop_kernel(s->reactor), &pids);
	struct ended *all = pids != NULL ? calloc(n, sizeof(*all)) : NULL;
	size_t n_all = 0;

	/* There is no memory: those who are known stay known. */
	if (n > 0 && all == NULL) {
		free(pids);
		return true;
	}
	for (size_t i = 0; i < n; i++)
		n_all += reaper_note(s, pids[i], &all[n_all]);
	free(pids);
	free(s->left);
	s->left = all;
	s->n_left = n_all;
	return n_all > 0;
}

static void reaper_meet_all(struct plait_reaping *s)
{
	size_t n = s->n_left;

	s->n_left = 0;
	for (size_t i = 0; i < n && s->reaper != NULL; i++) {
		if (reaper_meet(s, &s->left[i]))
			s->left[s->n_left++] = s->left[i];
		if (loop_is_forked(s->reactor))
			return;
	}
}

static void reaper_look(void *arg)
{
	struct plait_reaping *s = arg;

	bool any = reaper_note_all(s);

	reaper_meet_all(s);
	/* Also if nobody is left: some may not have been found. */
	if (any && s->reaper != NULL && !loop_is_forked(s->reactor))
		plait_timer_start(s->reactor, &s->timer,
				  s->patience > 0 ? s->patience
						  : default_patience,
				  reaper_look, s);
}

static void reaper_signalled(struct plait_signal_watch *w, unsigned times)
{
	reaper_look(plait_container(w, struct plait_reaping, signal));
}

/* ---- its life ------------------------------------------------------------ */

static void reaper_free(struct plait_reaping *s)
{
	free(s->left);
	free(s);
}

static void reaper_run_burial(struct loop_task *task)
{
	reaper_free(plait_container(task, struct plait_reaping, burial));
}

/* Leaves the memory, which a look may still use. */
static void reaper_end(struct plait_reaping *s)
{
	plait_signal_watch_stop(&s->signal);
	plait_timer_stop(&s->timer);
	loop_task_cancel(&s->reactor_freed);
	if (s->reaper->subreaper && !loop_is_forked(s->reactor))
		reaper_calls(s)->adopt_orphans(loop_kernel(s->reactor),
					       s->was_subreaper, NULL);
	s->reaper->reaping = NULL;
	s->reaper = NULL;
	plait_i_loop_bury(s->reactor, &s->burial);
}

static void reaper_run_reactor_freed(struct loop_task *task)
{
	reaper_end(plait_container(task, struct plait_reaping, reactor_freed));
}

/* Returns 0 or -errno. */
static int reaper_begin(struct plait_reaping *s)
{
	struct plait_reactor *r = s->reactor;
	int err;

	if (s->reaper->subreaper &&
	    reaper_calls(s)->adopt_orphans(loop_kernel(r), true,
					   &s->was_subreaper) < 0)
		return -errno;
	err = plait_signal_watch_start(r, &s->signal, SIGCHLD,
				       reaper_signalled);
	if (err < 0 && s->reaper->subreaper)
		reaper_calls(s)->adopt_orphans(loop_kernel(r), s->was_subreaper,
					       NULL);
	return err;
}

static double reaper_patience(const struct plait_reaper *reaper)
{
	if (reaper->patience < 0)
		return 0;
	return reaper->patience > 0 ? reaper->patience : default_patience;
}

static int reaper_new(struct plait_reactor *r, struct plait_reaper *reaper)
{
	struct plait_reaping *s = calloc(1, sizeof(*s));
	int err;

	if (s == NULL)
		return -ENOMEM;
	s->reactor = r;
	s->reaper = reaper;
	s->patience = reaper_patience(reaper);
	s->reactor_freed.run = reaper_run_reactor_freed;
	s->burial.run = reaper_run_burial;
	err = reaper_begin(s);
	if (err < 0) {
		free(s);
		return err;
	}
	reaper->reaping = s;
	plait_i_loop_when_freed(r, &s->reactor_freed);
	/* Some may have ended before. */
	plait_timer_start(r, &s->timer, 0, reaper_look, s);
	return 0;
}

int plait_reaper_start(struct plait_reactor *r, struct plait_reaper *reaper)
{
	loop_check_given(r, "plait_reaper_start()", NULL);
	if (loop_is_forked(r))
		return -ECHILD;
	if (reaper->reaping != NULL)
		return -EBUSY;
	if (RESERVED_IN_USE(reaper))
		return -EINVAL;
	if (loop_kernel(r)->calls->children == NULL ||
	    process_calls(r)->ended == NULL)
		return -ENOTSUP;
	return reaper_new(r, reaper);
}

void plait_reaper_stop(struct plait_reaper *reaper)
{
	if (reaper == NULL || reaper->reaping == NULL)
		return;
	loop_check(reaper->reaping->reactor, "plait_reaper_stop()");
	reaper_end(reaper->reaping);
}
