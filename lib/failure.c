/*
 * Failures, and the kinds that need neither a clock nor a network; the other
 * kinds are in reactor/.
 *
 * A failure never changes after it was made, so it can be shared, and counts
 * its references.  A failure with a count of 0 is static and is never counted.
 * A failure holds a reference to its cause, and its detail may hold further
 * failures.  They are freed in a loop, so chains may have any length.
 *
 * A failure and its message are one allocation.  If it fails, the result is the
 * static no-memory failure: making a failure cannot fail.
 */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <plait/deferred_list.h>

#include "lib/failure.h"

/*
 * These functions are defined here.  Calls in this file say the place
 * themselves.
 */
#undef plait_fail
#undef plait_fail_errno
#undef plait_fail_because
#undef plait_fail_with
#undef plait_value_failure

/* That of the header, for who does not compile it in. */
extern inline bool plait_value_is_failure(const plait_value *v);

const struct plait_error plait_error_any = {
	.name = "Error",
	.text = "Something went wrong.",
};

const struct plait_error plait_error_cancelled = {
	.name = "CancelledError",
	.text = "The result was no longer wanted.",
	.parent = &plait_error_any,
};

const struct plait_error plait_error_abandoned = {
	.name = "AbandonedError",
	.text = "The operation was given up before it had a result.",
	.parent = &plait_error_any,
};

const struct plait_error plait_error_never_fired = {
	.name = "NeverFiredError",
	.text = "The promise was neither fired nor dropped.",
	.parent = &plait_error_any,
};

const struct plait_error plait_error_never_freed = {
	.name = "NeverFreedError",
	.text = "The deferred was neither freed nor detached.",
	.parent = &plait_error_any,
};

const struct plait_error plait_error_no_memory = {
	.name = "NoMemoryError",
	.text = "There was no memory left.",
	.parent = &plait_error_any,
};

const struct plait_error plait_error_os = {
	.name = "OSError",
	.text = "The operating system refused.",
	.parent = &plait_error_any,
};

const struct plait_failure plait_i_failure_cancelled = {
	.kind = &plait_error_cancelled,
	.where = "",
	FAILURE_SILENT,
};

const struct plait_failure plait_i_failure_no_memory = {
	.kind = &plait_error_no_memory,
	.where = "",
	FAILURE_SILENT,
};

static void failure_value_free(void *ptr)
{
	const struct plait_failure *f = ptr;

	plait_failure_unref(&f);
}

static void *failure_value_ref(void *ptr)
{
	return (void *)(uintptr_t)plait_failure_ref(ptr);
}

static int failure_value_format(const void *ptr, char *buf, size_t size)
{
	return plait_failure_str(ptr, buf, size);
}

const struct plait_type plait_failure_type = {
	.name = "failure",
	.free = failure_value_free,
	.format = failure_value_format,
	.ref = failure_value_ref,
};

void plait_i_failure_init(struct plait_failure *f,
			  const struct plait_error *kind, const char *where,
			  void (*release)(struct plait_failure *f))
{
	*f = (struct plait_failure){
		.refs = 1,
		.kind = kind,
		.where = where,
		.release = release,
		FAILURE_SILENT,
	};
}

/* Makes a value that takes the caller's reference. */
static plait_value failure_give(const struct plait_failure *f)
{
	return plait_value_make(&plait_failure_type, (void *)(uintptr_t)f);
}

/* Returns the length of the message; 0 if printf() cannot make it. */
static size_t failure_measure(const char *fmt, va_list ap)
{
	int len = vsnprintf(NULL, 0, fmt, ap);

	return len < 0 ? 0 : (size_t)len;
}

/* Makes a failure with this message, or returns NULL. */
static struct plait_failure *failure_make(const char *where,
					  const struct plait_error *kind,
					  const char *fmt, va_list ap)
{
	struct plait_failure *f;
	size_t len;
	char *message;
	va_list again;

	va_copy(again, ap);
	len = failure_measure(fmt, again);
	va_end(again);
	f = malloc(sizeof(*f) + len + 1);
	if (f == NULL)
		return NULL;
	plait_i_failure_init(f, kind, where, NULL);
	f->message = message = (char *)(f + 1);
	vsnprintf(message, len + 1, fmt, ap);
	message[len] = '\0';
	return f;
}

/* Takes detail. */
static plait_value failure_of(const char *where, const struct plait_error *kind,
			      int err, const struct plait_failure *cause,
			      plait_value detail, const char *fmt, va_list ap)
{
	struct plait_failure *f = failure_make(where, kind, fmt, ap);

	if (f == NULL) {
		plait_value_free(&detail);
		return plait_no_memory();
	}
	f->err = err;
	f->cause = plait_failure_ref(cause);
	f->detail = detail;
	return failure_give(f);
}

plait_value plait_fail(const char *where, const struct plait_error *kind,
		       const char *fmt, ...)
{
	plait_value v;
	va_list ap;

	va_start(ap, fmt);
	v = failure_of(where, kind, 0, NULL, PLAIT_NONE, fmt, ap);
	va_end(ap);
	return v;
}

plait_value plait_fail_errno(const char *where, const struct plait_error *kind,
			     int err, const char *fmt, ...)
{
	plait_value v;
	va_list ap;

	va_start(ap, fmt);
	v = failure_of(where, kind, err, NULL, PLAIT_NONE, fmt, ap);
	va_end(ap);
	return v;
}

plait_value plait_fail_because(const char *where,
			       const struct plait_error *kind,
			       const struct plait_failure *cause,
			       const char *fmt, ...)
{
	plait_value v;
	va_list ap;

	va_start(ap, fmt);
	v = failure_of(where, kind, 0, cause, PLAIT_NONE, fmt, ap);
	va_end(ap);
	return v;
}

plait_value plait_fail_with(const char *where, const struct plait_error *kind,
			    plait_value detail, const char *fmt, ...)
{
	plait_value v;
	va_list ap;

	va_start(ap, fmt);
	v = failure_of(where, kind, 0, NULL, detail, fmt, ap);
	va_end(ap);
	return v;
}

plait_value plait_i_failure_of(const char *where,
			       const struct plait_error *kind, int err,
			       const struct plait_failure *cause,
			       plait_value detail, const char *fmt, ...)
{
	plait_value v;
	va_list ap;

	va_start(ap, fmt);
	v = failure_of(where, kind, err, cause, detail, fmt, ap);
	va_end(ap);
	return v;
}

plait_value plait_cancelled(void)
{
	return failure_give(&plait_i_failure_cancelled);
}

plait_value plait_i_failure_cancelled_by(const char *reason, const char *where)
{
	struct plait_failure *f = malloc(sizeof(*f));

	if (f == NULL)
		return plait_no_memory();
	plait_i_failure_init(f, &plait_error_cancelled, where, NULL);
	f->reason = reason;
	return failure_give(f);
}

plait_value plait_no_memory(void)
{
	return failure_give(&plait_i_failure_no_memory);
}

const struct plait_failure *plait_value_failure(const plait_value *v,
						const char *where)
{
	return (plait_value_get)(v, &plait_failure_type, where);
}

plait_value plait_failure_value(const struct plait_failure *f)
{
	return f != NULL ? failure_give(plait_failure_ref(f))
			 : plait_no_memory();
}

/* Only the count of a failure ever changes, so all other code has it const. */
static struct plait_failure *failure_counted(const struct plait_failure *f)
{
	return f != NULL && f->refs > 0 ? (struct plait_failure *)(uintptr_t)f
					: NULL;
}

const struct plait_failure *plait_failure_ref(const struct plait_failure *f)
{
	struct plait_failure *c = failure_counted(f);

	if (c != NULL)
		c->refs++;
	return f;
}

/* Failures without a reference, linked by their cause, until they are freed. */
static _Thread_local const struct plait_failure *dead;

static void failure_bury(void)
{
	static _Thread_local bool burying;

	if (burying)
		return;
	burying = true;
	while (dead != NULL) {
		struct plait_failure *f = (void *)(uintptr_t)dead;

		dead = f->cause;
		plait_value_free(&f->detail);
		if (f->release != NULL)
			f->release(f);
		else
			free(f);
	}
	burying = false;
}

void plait_failure_unref(const struct plait_failure **fp)
{
	struct plait_failure *f;
	const struct plait_failure *cause;

	if (fp == NULL || *fp == NULL)
		return;
	f = failure_counted(*fp);
	*fp = NULL;
	while (f != NULL && --f->refs == 0) {
		cause = f->cause;
		f->cause = dead;
		dead = f;
		f = failure_counted(cause);
	}
	failure_bury();
}

void plait_failure_cleanup(const struct plait_failure **fp)
{
	plait_failure_unref(fp);
}

bool plait_failure_check(const struct plait_failure *f,
			 const struct plait_error *kind)
{
	const struct plait_error *k = plait_failure_kind(f);

	while (k != NULL && k != kind)
		k = k->parent;
	return k != NULL;
}

const struct plait_error *plait_failure_kind(const struct plait_failure *f)
{
	return f != NULL ? f->kind : NULL;
}

int plait_failure_errno(const struct plait_failure *f)
{
	return f != NULL ? f->err : 0;
}

const char *plait_failure_message(const struct plait_failure *f)
{
	return f != NULL ? f->message : "";
}

const char *plait_failure_where(const struct plait_failure *f)
{
	return f != NULL ? f->where : "";
}

const struct plait_failure *plait_failure_cause(const struct plait_failure *f)
{
	return f != NULL ? f->cause : NULL;
}

const plait_value *plait_failure_detail(const struct plait_failure *f)
{
	static const plait_value none;

	return f != NULL ? &f->detail : &none;
}

const char *plait_failure_cancel_where(const struct plait_failure *f)
{
	return f != NULL && f->reason != NULL ? f->where : "";
}

const char *plait_failure_cancel_reason(const struct plait_failure *f)
{
	return f != NULL && f->reason != NULL ? f->reason : "";
}

/* ---- the text -------------------------------------------------------- */

/* The most failures in a text, with causes and members. */
enum { TEXT_FAILURES = 8 };

/* len counts what has no room, too, as snprintf() does. */
struct text {
	char *to;
	size_t size, len;
	unsigned left; /* how many more failures it may name */
	bool cut;
};

static void text_add(struct text *t, const char *more)
{
	if (t->len < t->size)
		snprintf(t->to + t->len, t->size - t->len, "%s", more);
	t->len += strlen(more);
}

static void text_add_part(struct text *t, const char *more)
{
	if (more[0] == '\0')
		return;
	text_add(t, ": ");
	text_add(t, more);
}

/* What this failure alone says. */
static void text_add_one(struct text *t, const struct plait_failure *f)
{
	text_add(t, f->kind->name);
	text_add_part(t, f->message);
	if (f->err != 0)
		text_add_part(t, strerror(f->err));
}

/*
 * Returns true if one more failure may be named, and writes these words before
 * it.
 */
static bool text_goes_on(struct text *t, const char *words)
{
	if (t->cut)
		return false;
	text_add(t, words);
	t->cut = t->left == 0;
	if (t->cut)
		text_add(t, "...");
	else
		t->left--;
	return !t->cut;
}

static void text_add_failure(struct text *t, const struct plait_failure *f);

static void text_add_members(struct text *t, const struct plait_failure *f)
{
	const struct plait_values *values;
	const char *words = ": ";

	if (!plait_value_is(&f->detail, &plait_values_type))
		return;
	values = plait_value_values(&f->detail);
	for (size_t i = 0; i < values->count && !t->cut; i++) {
		if (!plait_value_is_failure(&values->items[i]))
			continue;
		if (text_goes_on(t, words))
			text_add_failure(t, values->items[i].ptr);
		words = "; ";
	}
}

/* A cancellation explains nothing: it says only that the work was stopped. */
static void text_add_causes(struct text *t, const struct plait_failure *f)
{
	for (f = f->cause; f != NULL && !t->cut; f = f->cause) {
		if (plait_failure_check(f, &plait_error_cancelled))
			continue;
		if (text_goes_on(t, ", caused by ")) {
			text_add_one(t, f);
			text_add_members(t, f);
		}
	}
}

static void text_add_failure(struct text *t, const struct plait_failure *f)
{
	text_add_one(t, f);
	text_add_members(t, f);
	text_add_causes(t, f);
}

int plait_failure_str(const struct plait_failure *f, char *buf, size_t size)
{
	struct text t = { .to = buf, .size = size, .left = TEXT_FAILURES - 1 };

	if (f == NULL)
		return snprintf(buf, size, "no failure");
	text_add_failure(&t, f);
	return t.len < INT_MAX ? (int)t.len : INT_MAX;
}
