/*
 * A failure says what went wrong: its kind, an errno, a message, where it was
 * made, the failure that caused it, and, for a cancellation, who cancelled.  A
 * failure never changes, and it counts its references.  It is a value: a
 * deferred that fires with a failure has failed.
 *
 * A kind is the address of a const struct plait_error, so a program defines
 * kinds of its own.  plait_failure_check() follows parents as Twisted follows
 * classes.
 *
 * Three failures are static: cancelled, connection done, and no memory.  They
 * need no allocation, and any thread may use them at any time.  If there is no
 * memory for a failure, the functions give the no-memory failure.
 *
 * A failure may be made in one thread and used in another, but two threads must
 * not use it at the same time.  The failure of a cancelled deferred, and a
 * failure that it caused, stay in the thread of the deferred.
 */
#ifndef PLAIT_FAILURE_H
#define PLAIT_FAILURE_H

#include <plait/value.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_buf;
struct plait_failure;

struct plait_error {
	const char *name;		  /* "ConnectionRefusedError" */
	const char *text;		  /* a sentence: what it means */
	const struct plait_error *parent; /* NULL: none */
	uintptr_t reserved[8];		  /* zero */
};

/*
 * The kinds of the library, each indented under its parent:
 *
 *	any
 *	  cancelled, timeout, abandoned, never_fired, never_freed, no_memory, os
 *	  connect
 *	    connection_refused, no_route, tcp_timed_out, bind, dns_lookup
 *	    user
 *	      connect_timeout
 *	  connection_closed
 *	    connection_done
 *	    connection_lost
 *	      connection_aborted, descriptors_lost
 *
 * Those below dns_lookup are in <plait/dns.h>.
 */
extern const struct plait_error plait_error_any;
extern const struct plait_error plait_error_cancelled;
extern const struct plait_error plait_error_timeout;
extern const struct plait_error plait_error_abandoned;
extern const struct plait_error plait_error_never_fired;
extern const struct plait_error plait_error_never_freed;
extern const struct plait_error plait_error_no_memory;
extern const struct plait_error plait_error_os;
extern const struct plait_error plait_error_connect;
extern const struct plait_error plait_error_connection_refused;
extern const struct plait_error plait_error_no_route;
extern const struct plait_error plait_error_tcp_timed_out;
extern const struct plait_error plait_error_bind;
extern const struct plait_error plait_error_dns_lookup;
extern const struct plait_error plait_error_user;
extern const struct plait_error plait_error_connect_timeout;
extern const struct plait_error plait_error_connection_closed;
extern const struct plait_error plait_error_connection_done;
extern const struct plait_error plait_error_connection_lost;
extern const struct plait_error plait_error_connection_aborted;
extern const struct plait_error plait_error_descriptors_lost;

/* The type of a value that is a failure. */
extern const struct plait_type plait_failure_type;

/*
 * Make a failure of this kind, with a message as printf() makes it, and give it
 * as a value.  where is the place where the failure is made, "file.c:42"; the
 * macros fill it in.  It must stay valid for ever, as a literal does.
 */
plait_value plait_fail(const char *where, const struct plait_error *kind,
		       const char *fmt, ...) PLAIT_PRINTF(3, 4);
#define plait_fail(...) (plait_fail)(PLAIT_HERE, __VA_ARGS__)

/*
 * Makes a failure with an errno.  plait_failure_str() writes the text of the
 * errno behind the message, so the message need not say it.
 */
plait_value plait_fail_errno(const char *where, const struct plait_error *kind,
			     int err, const char *fmt, ...) PLAIT_PRINTF(4, 5);
#define plait_fail_errno(...) (plait_fail_errno)(PLAIT_HERE, __VA_ARGS__)

/*
 * Makes a failure with the failure that caused it.  cause is borrowed, and the
 * new failure has a reference of its own.  cause may be NULL.
 */
plait_value plait_fail_because(const char *where,
			       const struct plait_error *kind,
			       const struct plait_failure *cause,
			       const char *fmt, ...) PLAIT_PRINTF(4, 5);
#define plait_fail_because(...) (plait_fail_because)(PLAIT_HERE, __VA_ARGS__)

/* Makes a failure that carries a value, detail, which is taken. */
plait_value plait_fail_with(const char *where, const struct plait_error *kind,
			    plait_value detail, const char *fmt, ...)
	PLAIT_PRINTF(4, 5);
#define plait_fail_with(...) (plait_fail_with)(PLAIT_HERE, __VA_ARGS__)

/* Give the static failures, as values.  Freeing them does nothing. */
plait_value plait_cancelled(void);
plait_value plait_connection_done(void);
plait_value plait_no_memory(void);

PLAIT_INLINE bool plait_value_is_failure(const plait_value *v)
{
	return v->type == &plait_failure_type;
}

/*
 * Returns the failure that the value is, borrowed.  Aborts if the value is no
 * failure.
 */
const struct plait_failure *plait_value_failure(const plait_value *v,
						const char *where);
#define plait_value_failure(...) (plait_value_failure)(__VA_ARGS__, PLAIT_HERE)

/* Gives a value with a further reference to f; f stays the caller's. */
plait_value plait_failure_value(const struct plait_failure *f);

/* Gives a further reference to f; a static failure has no count. */
const struct plait_failure *plait_failure_ref(const struct plait_failure *f);

/* Ends the reference *fp; *fp is NULL afterwards.  NULL does nothing. */
void plait_failure_unref(const struct plait_failure **fp);
/* The same, for __attribute__((cleanup)). */
void plait_failure_cleanup(const struct plait_failure **fp);

/* Returns true if f is of this kind or of a kind that descends from it. */
bool plait_failure_check(const struct plait_failure *f,
			 const struct plait_error *kind);

/* What the failure says.  All that these functions return is borrowed from f.
 */
const struct plait_error *plait_failure_kind(const struct plait_failure *f);
int plait_failure_errno(const struct plait_failure *f);		  /* 0: none */
const char *plait_failure_message(const struct plait_failure *f); /* or "" */
const char *plait_failure_where(const struct plait_failure *f);	  /* or "" */
const struct plait_failure *plait_failure_cause(const struct plait_failure *f);

/* Returns the value that f carries, borrowed from f; none if there is none. */
const plait_value *plait_failure_detail(const struct plait_failure *f);

/*
 * Of a cancellation: the place of the call that cancelled, "file.c:42", and the
 * reason that this call gave.  "" if this is not known.  Borrowed from f.
 */
const char *plait_failure_cancel_where(const struct plait_failure *f);
const char *plait_failure_cancel_reason(const struct plait_failure *f);

/*
 * Writes what went wrong in one line, as snprintf() would: "Kind: message:
 * text of the errno", without the parts that f does not have.  If f carries a
 * list of values, the failures in the list follow after ": ", with "; " between
 * them.  If f has a cause, ", caused by " and the same text of the cause
 * follow, and so on; causes that are cancellations are left out.  The line
 * names at most 8 failures; "..." stands for the others.
 */
int plait_failure_str(const struct plait_failure *f, char *buf, size_t size);

/*
 * Appends all that is known of f to b, in lines: its text, where it was made,
 * who cancelled and why.  The same of each failure that f carries follows,
 * indented, and then the same of its causes.  Bytes that are not printable
 * ASCII are shown as \xNN.  After 10,000 failures a line says that there are
 * more.  Returns 0, or an error of plait_buf_append(), and then b has the
 * beginning of the text.
 */
int plait_failure_explain(const struct plait_failure *f, struct plait_buf *b);

/*
 * Is called for every failure that nobody handled, at the moment when the
 * failure is lost, in the thread that loses it.  why is borrowed for the call.
 * There is one hook for the process; set it before other threads use the
 * library.
 */
typedef void plait_unhandled_hook(const struct plait_failure *why, void *arg);

/*
 * Replaces the default hook, which prints one line on standard error:
 * "Unhandled error in Deferred: " and the text of plait_failure_str().  The
 * line of a failure that does not come from a deferred begins with other words.
 * NULL brings the default hook back.  arg is handed to the hook, and is
 * borrowed until the hook is replaced.
 */
void plait_set_unhandled_hook(plait_unhandled_hook *hook, void *arg);

/*
 * Calls the hook with f, which is borrowed for the call.  It is for code that
 * has a failure and nobody else to tell.
 */
void plait_report_unhandled(const struct plait_failure *f);

#ifdef __cplusplus
}
#endif

#endif
