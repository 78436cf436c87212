/*
 * A failure says what went wrong: its kind, an errno, a message, where it was
 * made, the failure that caused it, and for a cancellation who asked.  It is
 * immutable and refcounted, and it is a value: a deferred that fires with one
 * has failed.
 *
 * A kind is the address of a const struct plait_error, so a program adds its
 * own; plait_failure_check() follows parents as Twisted follows classes.
 *
 * The common failures (cancelled, connection done, no memory) are static:
 * they cost no allocation, and making any failure when memory has run out
 * gives the no-memory one.
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
	const char *text;		  /* what it means, a sentence */
	const struct plait_error *parent; /* NULL: none */
	uintptr_t reserved[8];		  /* zero */
};

/*
 * The kinds of the library.  All descend from plait_error_any: those from
 * refused to user through plait_error_connect, connect_timeout through user;
 * done and lost through plait_error_connection_closed, aborted through lost.
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

/* The type of a value that is a failure. */
extern const struct plait_type plait_failure_type;

/*
 * Make a failure of that kind, with a message as printf() makes it, and give
 * it as a value: "raise".  where is the place that made it, "file.c:42", which
 * the macros fill in; it must stay valid for ever, as a literal does.
 */
plait_value plait_fail(const char *where, const struct plait_error *kind,
		       const char *fmt, ...) PLAIT_PRINTF(3, 4);
#define plait_fail(...) (plait_fail)(PLAIT_HERE, __VA_ARGS__)

/*
 * With an errno.  plait_failure_str() adds its text behind the message, so the
 * message need not say it.
 */
plait_value plait_fail_errno(const char *where, const struct plait_error *kind,
			     int err, const char *fmt, ...) PLAIT_PRINTF(4, 5);
#define plait_fail_errno(...) (plait_fail_errno)(PLAIT_HERE, __VA_ARGS__)

/*
 * With the failure that caused it: cause is borrowed, and the new failure
 * takes a reference of its own.  NULL: no cause.
 */
plait_value plait_fail_because(const char *where,
			       const struct plait_error *kind,
			       const struct plait_failure *cause,
			       const char *fmt, ...) PLAIT_PRINTF(4, 5);
#define plait_fail_because(...) (plait_fail_because)(PLAIT_HERE, __VA_ARGS__)

/* With a value that it carries, detail, which is taken. */
plait_value plait_fail_with(const char *where, const struct plait_error *kind,
			    plait_value detail, const char *fmt, ...)
	PLAIT_PRINTF(4, 5);
#define plait_fail_with(...) (plait_fail_with)(PLAIT_HERE, __VA_ARGS__)

/* The static failures, as values.  Freeing them does nothing. */
plait_value plait_cancelled(void);
plait_value plait_connection_done(void);
plait_value plait_no_memory(void);

static inline bool plait_value_is_failure(const plait_value *v)
{
	return v->type == &plait_failure_type;
}

/* The failure that the value is: borrowed.  Aborts if it is none. */
const struct plait_failure *plait_value_failure(const plait_value *v,
						const char *where);
#define plait_value_failure(...) (plait_value_failure)(__VA_ARGS__, PLAIT_HERE)

/* A value that is f: a reference of its own, f stays the caller's. */
plait_value plait_failure_value(const struct plait_failure *f);

/* One more reference to f, given; f itself for a static one. */
const struct plait_failure *plait_failure_ref(const struct plait_failure *f);

/* Ends a reference; NULL does nothing. */
void plait_failure_unref(const struct plait_failure **fp);

/* True if f is of that kind or of one that descends from it. */
bool plait_failure_check(const struct plait_failure *f,
			 const struct plait_error *kind);

/* What it says.  All that is returned is borrowed from f. */
const struct plait_error *plait_failure_kind(const struct plait_failure *f);
int plait_failure_errno(const struct plait_failure *f);		  /* 0: none */
const char *plait_failure_message(const struct plait_failure *f); /* or "" */
const char *plait_failure_where(const struct plait_failure *f);	  /* or "" */
const struct plait_failure *plait_failure_cause(const struct plait_failure *f);

/* What it carries, borrowed: none if nothing. */
const plait_value *plait_failure_detail(const struct plait_failure *f);

/*
 * Of a cancellation: "file.c:42" of the call that cancelled, and the reason
 * that it gave; "" if unknown.  Borrowed from f.
 */
const char *plait_failure_cancel_where(const struct plait_failure *f);
const char *plait_failure_cancel_reason(const struct plait_failure *f);

/*
 * Writes what went wrong in one line, as snprintf() would: "Kind: message:
 * text of the errno", and leaves out the parts that f does not have.  If f
 * carries a list of values, the failures in it follow after ": ", with "; "
 * between them.  If f has a cause, ", caused by " follows, and the same of the
 * cause, and so on; causes that are cancellations are left out.  The line names
 * 8 failures at most; "..." stands for the others.
 */
int plait_failure_str(const struct plait_failure *f, char *buf, size_t size);

/*
 * Appends all that is known of f, in lines: its text, where it was made, who
 * cancelled and why; then the same of each failure that it carries, indented,
 * and of its causes.  Bytes that are not printable ASCII are shown as \xNN.  At
 * most 10,000 failures; then a line says that there are more.  0, or as
 * plait_buf_append(); then b has the beginning.
 */
int plait_failure_explain(const struct plait_failure *f, struct plait_buf *b);

/*
 * Told of every failure that nobody handled, at the moment when it is lost.
 * why is borrowed.  Process-wide; set it before other threads use plait.
 */
typedef void plait_unhandled_hook(const struct plait_failure *why, void *arg);

/*
 * Replaces the default, which prints one line on standard error: "Unhandled
 * error in Deferred: " and the text of plait_failure_str().  The line of a
 * failure that does not come from a deferred begins with other words.  NULL
 * brings the default back.
 */
void plait_set_unhandled_hook(plait_unhandled_hook *hook, void *arg);

/* Tells the hook; for code that has nobody else to tell.  f is borrowed. */
void plait_report_unhandled(const struct plait_failure *f);

#ifdef __cplusplus
}
#endif

#endif
