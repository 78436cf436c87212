/*
 * Runs a command and starts it again whenever it ends.  After a run that was
 * short the next one waits, longer each time.  A signal stops the command: it
 * is sent SIGTERM, and SIGKILL if it has not ended when the grace has passed,
 * and so is whoever it has started.  Then the program ends.  A second signal, a
 * tenth of a second later or more, waits for no grace.  If somebody kills this
 * program, the command dies with it.
 *
 * As process 1 of a container it also waits for the orphans there.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/program.h"

struct supervisor {
	struct plait_process_protocol child;
	struct plait_reactor *reactor;
	struct plait_reaper reaper;
	const char *const *argv;
	double grace;
	struct plait_backoff backoff;
	struct plait_timer again;  /* the next run begins */
	struct plait_timer steady; /* this run was long enough */
	bool stopping;
};

static void start(void *arg);

/* It works: whatever ends it later is no reason to wait long. */
static void forgive(void *arg)
{
	struct supervisor *self = arg;

	plait_backoff_reset(&self->backoff);
}

static void start_later(struct supervisor *self)
{
	double delay = plait_backoff_next(&self->backoff, self->reactor);

	printf("again in %.2f s\n", delay);
	plait_timer_start(self->reactor, &self->again, delay, start, self);
}

static void started(struct plait_process_protocol *p)
{
	struct supervisor *self = plait_self(p, struct supervisor);

	printf("started as %ld\n", (long)plait_process_pid(p));
	plait_timer_start(self->reactor, &self->steady,
			  self->backoff.min_uptime, forgive, self);
}

static void exited(struct plait_process_protocol *p,
		   const struct plait_process_exit *how)
{
	if (how->unknown)
		printf("ended\n");
	else if (how->signal != 0)
		printf("ended by signal %d\n", how->signal);
	else
		printf("ended with %d\n", how->code);
	/* Who is left of its group must not meet the next run. */
	plait_process_stop(p);
}

static void done(struct plait_process_protocol *p)
{
	struct supervisor *self = plait_self(p, struct supervisor);

	plait_timer_stop(&self->steady);
	if (!self->stopping)
		start_later(self);
}

static const struct plait_process_ops child_ops = {
	.name = "supervised",
	.started = started,
	.exited = exited,
	.done = done,
};

static void start(void *arg)
{
	struct supervisor *self = arg;
	static const struct plait_process_fd fds[] = {
		{ .fd = 0, .kind = PLAIT_PROCESS_INHERIT, .from = 0 },
		{ .fd = 1, .kind = PLAIT_PROCESS_INHERIT, .from = 1 },
		{ .fd = 2, .kind = PLAIT_PROCESS_INHERIT, .from = 2 },
	};
	const struct plait_process_options o = {
		.fds = fds,
		.n_fds = 3,
		.new_group = true,
		.die_with_parent = true,
		.grace = self->grace,
	};
	const char *step;
	int err =
		plait_spawn(self->reactor, self->argv, &self->child, &o, &step);

	if (err == 0)
		return;
	printf("cannot start: %s: %s\n", step, strerror(-err));
	start_later(self);
}

/* The reactor then stops the child, and waits for its end. */
static plait_value stop(void *arg)
{
	struct supervisor *self = arg;

	self->stopping = true;
	plait_timer_stop(&self->again);
	return PLAIT_NONE;
}

static void reaped(struct plait_reaper *reaper, pid_t pid,
		   const struct plait_process_exit *how)
{
	printf("orphan %ld has ended\n", (long)pid);
}

static void reap_orphans(struct supervisor *self, bool subreaper)
{
	int err;

	if (!subreaper && getpid() != 1)
		return;
	self->reaper = (struct plait_reaper){ .subreaper = subreaper,
					      .patience = -1,
					      .reaped = reaped };
	err = plait_reaper_start(self->reactor, &self->reaper);
	if (err < 0)
		die("orphans: %s", strerror(-err));
}

int main(int argc, char **argv)
{
	struct supervisor self = { .child.ops = &child_ops,
				   .grace = 5,
				   .backoff = { .initial_delay = 0.1,
						.factor = 2,
						.max_delay = 30,
						.min_uptime = 10 } };
	bool subreaper = false;
	const struct program_option options[] = {
		{ "grace", "SECONDS", "from SIGTERM to SIGKILL; default: 5",
		  read_positive, &self.grace, NULL },
		{ "uptime", "SECONDS",
		  "a run of this length ends all waiting; default: 10",
		  read_positive, &self.backoff.min_uptime, NULL },
		{ "max-delay", "SECONDS", "between two runs; default: 30",
		  read_positive, &self.backoff.max_delay, NULL },
		{ "orphans", NULL, "wait for orphans, as process 1 does",
		  read_flag, &subreaper, NULL },
		{ 0 },
	};
	struct program p = { .about = "Runs a command again and again.",
			     .operands = "COMMAND...",
			     .min_operands = 1,
			     .max_operands = argc,
			     .is_command = true,
			     .options = options };

	program_start(&p, argc, argv);
	self.argv = (const char *const *)p.operand;
	self.reactor = program_reactor(&p);
	reap_orphans(&self, subreaper);
	plait_reactor_add_trigger(self.reactor, PLAIT_TRIGGER_BEFORE,
				  PLAIT_TRIGGER_SHUTDOWN, stop, &self, NULL);
	plait_call_when_running(self.reactor, start, &self);
	plait_reactor_run(self.reactor);

	plait_reaper_stop(&self.reaper);
	plait_reactor_free(&self.reactor);
	return 0;
}
