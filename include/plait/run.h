/*
 * Running a program for what it writes, as a deferred.
 *
 *	static const char *const argv[] = { "sort", NULL };
 *
 *	d = plait_run(r, argv, plait_text("b\na\n"), NULL);
 *	plait_deferred_add_callback(d, sorted, self);
 *
 *	static plait_value sorted(plait_value *result, void *arg)
 *	{
 *		const struct plait_output *o = plait_value_output(result);
 *		...
 */
#ifndef PLAIT_RUN_H
#define PLAIT_RUN_H

#include <plait/buf.h>
#include <plait/deferred.h>
#include <plait/process.h>
#include <plait/scope.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a program has written, to 1 and to 2, and how it has ended. */
struct plait_output {
	struct plait_buf *out, *err; /* borrowed from the value */
	struct plait_process_exit how;
	uintptr_t reserved[2]; /* zero */
};

/* The type of a value that is such an output. */
extern const struct plait_type plait_output_type;

/* The output that is in the slot, borrowed.  Another type aborts. */
const struct plait_output *plait_value_output(const plait_value *v,
					      const char *where);
#define plait_value_output(...) (plait_value_output)(__VA_ARGS__, PLAIT_HERE)

/*
 * A program has given another number than 0, or a signal has ended it:
 * Twisted's ProcessTerminated.  The detail of the failure is its output, and
 * the message ends with the last line that it has written to 2.
 */
extern const struct plait_error plait_error_process;

/* Zero means the default. */
struct plait_run_options {
	/* How the child is made.  Its fds have to be NULL, and pty false: 0, 1
	   and 2 are pipes. */
	struct plait_process_options process;
	size_t max_output; /* bytes, of 1 and of 2 each; 0: 1 MiB */
	/* It is cancelled with this scope, which has not ended before the child
	   is gone; NULL: none.  Borrowed for the call. */
	struct plait_scope *scope;
	uintptr_t reserved[8]; /* zero */
};

/*
 * Runs a program as plait_spawn() does, writes input to it, and collects what
 * it writes.  argv and options are borrowed for the call.  input is a text, a
 * buffer, or none, and is taken; a text must stay valid until it was written.
 *
 * Gives a deferred, never NULL.  When the program has ended and its pipes are
 * closed, the deferred fires with its output, if it has given 0; else it fails
 * with plait_error_process.  It fails with plait_error_os and an errno if the
 * program could not be run; with plait_error_os and EMSGSIZE if it writes more
 * than max_output, and then the program is stopped; with plait_error_no_memory;
 * and with input, if that is a failure.
 *
 * Cancelling it closes the program's input and stops the program, as
 * plait_process_stop() does.
 */
struct plait_deferred *plait_run(struct plait_reactor *r,
				 const char *const *argv, plait_value input,
				 const struct plait_run_options *options,
				 const char *where) PLAIT_MUST_USE;
#define plait_run(...) (plait_run)(__VA_ARGS__, PLAIT_HERE)

#ifdef __cplusplus
}
#endif

#endif
