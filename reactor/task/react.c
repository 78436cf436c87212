/*
 * plait_react().  The last callback pair of main's deferred notes the exit
 * status and stops the reactor.  If something else stops the reactor, the
 * shutdown first cancels the deferred, and the same pair then ends the waiting
 * of the shutdown.
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/deferred.h"
#include "lib/unhandled.h"
#include "reactor/loop/loop.h"
#include "reactor/task/react.h"

/* They are defined in this file, and their calls here pass the place. */
#undef plait_exit
#undef plait_forever

const struct plait_error plait_error_exit = {
	.name = "ExitError",
	.text = "The program ends with that status.",
	.parent = &plait_error_any,
};

plait_value plait_exit(int status, const char *where)
{
	return (plait_fail_with)(where, &plait_error_exit, plait_int(status),
				 "status %d", status);
}

static plait_value cancel_forever(struct plait_deferred *d, void *arg)
{
	struct plait_promise **promise = arg;

	plait_promise_drop(promise);
	free(promise);
	return plait_cancelled();
}

plait_value plait_forever(const char *where)
{
	struct plait_promise **promise =
		calloc(1, sizeof(struct plait_promise *));
	struct plait_deferred *d;

	if (promise == NULL)
		return plait_no_memory();
	d = (plait_deferred_new)(promise, cancel_forever, promise, where);
	if (*promise == NULL)
		free(promise);
	return plait_chain(&d);
}

static int status_of(const struct react *self, const plait_value *result)
{
	const struct plait_failure *f;
	const plait_value *detail;

	if (!plait_value_is_failure(result))
		return 0;
	f = plait_value_failure(result);
	detail = plait_failure_detail(f);
	if (plait_failure_check(f, &plait_error_exit) &&
	    plait_value_is(detail, &plait_int_type))
		return (int)plait_value_int(detail);
	if (self->stopping && plait_failure_check(f, &plait_error_cancelled))
		return 0;
	if (!self->is_quiet)
		plait_report_unhandled(f);
	return 1;
}

static plait_value take_status(plait_value *result, void *arg)
{
	struct react *self = arg;

	self->done = true;
	self->status = status_of(self, result);
	plait_reactor_stop(self->reactor);
	plait_fire(&self->ended, PLAIT_NONE);
	return PLAIT_NONE;
}

static void call_main(void *arg)
{
	struct react *self = arg;
	plait_value v = self->main(self->reactor, self->arg);

	self->deferred = plait_i_deferred_take_value(v, PLAIT_HERE);
	plait_deferred_add_both(self->deferred, take_status, self);
}

/* Before the shutdown: cancels the deferred, unless it has ended. */
static plait_value cancel_main(void *arg)
{
	struct react *self = arg;
	struct plait_deferred *ended;

	if (self->done || self->deferred == NULL)
		return PLAIT_NONE;
	self->stopping = true;
	ended = plait_deferred_new(&self->ended, NULL, NULL);
	plait_deferred_cancel_because(self->deferred, "the program is to end");
	return plait_chain(&ended);
}

int plait_i_react_begin(struct react *self)
{
	int rc = plait_reactor_add_trigger(self->reactor, PLAIT_TRIGGER_BEFORE,
					   PLAIT_TRIGGER_SHUTDOWN, cancel_main,
					   self, NULL);

	if (rc == 0)
		rc = plait_call_when_running(self->reactor, call_main, self);
	return rc;
}

/* Reports why there is no run, by the errno or the words; returns the status.
 */
static int react_complain(int err, const char *why)
{
	plait_value v = plait_fail_errno(&plait_error_os, err,
					 "the reactor cannot run%s", why);

	plait_i_failure_unhandled(plait_value_failure(&v),
				  "Error in plait_react()");
	plait_value_free(&v);
	return 1;
}

int plait_i_react_end(struct react *self, int rc)
{
	/*
	 * If the reactor could not run, that is what went wrong, and not what
	 * follows from it.  If it ran, and main's deferred is freed before it
	 * has ended, then that went wrong.
	 */
	self->stopping = rc < 0;
	plait_deferred_free(&self->deferred);
	plait_promise_drop(&self->ended);
	/* In a forked child, the parent reports what was pending. */
	if (rc < 0)
		self->status = rc == -ECHILD ? 1 : react_complain(-rc, "");
	plait_reactor_free(&self->reactor);
	return self->status;
}

static int make_reactor(struct react *self)
{
	char why[2 + REACTOR_UNKNOWN_BACKEND] = ": ";

	if (plait_i_reactor_unknown_backend(why + 2, REACTOR_UNKNOWN_BACKEND))
		return react_complain(0, why);
	self->reactor = plait_reactor_new(NULL);
	return self->reactor != NULL ? 0 : react_complain(errno, "");
}

int plait_react(plait_react_main *main, void *arg)
{
	struct react self = { .main = main, .arg = arg };
	int rc;

	self.status = make_reactor(&self);
	if (self.reactor == NULL)
		return self.status;
	rc = plait_i_react_begin(&self);
	if (rc == 0)
		rc = plait_reactor_run(self.reactor);
	return plait_i_react_end(&self, rc);
}
