/*
 * Failures, and the kinds that the library brings.  A failure never changes
 * after it was made, so it is shared by counting references; one whose count
 * is 0 is static and is never counted.  A failure holds a reference to its
 * cause and may hold others in its detail; all are let go in a loop, so
 * chains may be of any length.
 *
 * A failure and its message are one allocation.  When that fails, the static
 * no-memory failure is the answer: making a failure cannot fail.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <plait/failure.h>

#include "lib/base.h"
#include "lib/debug.h"
#include "lib/failure.h"

const struct plait_error plait_error_any = {
	.name = "Error",
	.text = "Something went wrong.",
};

const struct plait_error plait_error_cancelled = {
	.name = "CancelledError",
	.text = "The result was no longer wanted.",
	.parent = &plait_error_any,
};

const struct plait_error plait_error_timeout = {
	.name = "TimeoutError",
	.text = "The result did not come in time.",
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

const struct plait_error plait_error_connect = {
	.name = "ConnectError",
	.text = "The connection could not be made.",
	.parent = &plait_error_any,
};

const struct plait_error plait_error_connection_refused = {
	.name = "ConnectionRefusedError",
	.text = "Nobody listens at that address.",
	.parent = &plait_error_connect,
};

const struct plait_error plait_error_no_route = {
	.name = "NoRouteError",
	.text = "No way leads to that address.",
	.parent = &plait_error_connect,
};

const struct plait_error plait_error_tcp_timed_out = {
	.name = "TCPTimedOutError",
	.text = "The system got no answer from that address.",
	.parent = &plait_error_connect,
};

const struct plait_error plait_error_bind = {
	.name = "ConnectBindError",
	.text = "The connection could not start from the wanted address.",
	.parent = &plait_error_connect,
};

const struct plait_error plait_error_dns_lookup = {
	.name = "DNSLookupError",
	.text = "The name has no address.",
	.parent = &plait_error_connect,
};

const struct plait_error plait_error_user = {
	.name = "UserError",
	.text = "The program itself stopped the attempt.",
	.parent = &plait_error_connect,
};

const struct plait_error plait_error_connect_timeout = {
	.name = "ConnectTimeoutError",
	.text = "The connection was not made in time.",
	.parent = &plait_error_user,
};

const struct plait_error plait_error_connection_closed = {
	.name = "ConnectionClosed",
	.text = "The connection is over.",
	.parent = &plait_error_any,
};

const struct plait_error plait_error_connection_done = {
	.name = "ConnectionDone",
	.text = "The connection was closed cleanly.",
	.parent = &plait_error_connection_closed,
};

const struct plait_error plait_error_connection_lost = {
	.name = "ConnectionLost",
	.text = "The connection broke off.",
	.parent = &plait_error_connection_closed,
};

const struct plait_error plait_error_connection_aborted = {
	.name = "ConnectionAborted",
	.text = "The program itself broke the connection off.",
	.parent = &plait_error_connection_lost,
};

/* What every failure has in common that has nothing more to say. */
#define SILENT .message = "", .cancelled_at = "", .reason = ""

const struct plait_failure failure_cancelled = {
	.kind = &plait_error_cancelled,
	.where = "",
	SILENT,
};

const struct plait_failure failure_connection_done = {
	.kind = &plait_error_connection_done,
	.where = "",
	SILENT,
};

const struct plait_failure failure_no_memory = {
	.kind = &plait_error_no_memory,
	.where = "",
	SILENT,
};

static void value_free(void *ptr)
{
	const struct plait_failure *f = ptr;

	plait_failure_unref(&f);
}

static void *value_ref(void *ptr)
{
	return (void *)(uintptr_t)plait_failure_ref(ptr);
}

static int value_format(const void *ptr, char *buf, size_t size)
{
	return plait_failure_str(ptr, buf, size);
}

const struct plait_type plait_failure_type = {
	.name = "failure",
	.free = value_free,
	.format = value_format,
	.ref = value_ref,
};

void failure_init(struct plait_failure *f, const struct plait_error *kind,
		  const char *where, void (*release)(struct plait_failure *f))
{
	*f = (struct plait_failure){
		.refs = 1,
		.kind = kind,
		.where = where,
		.release = release,
		SILENT,
	};
}

/* A value that takes over the caller's reference. */
static plait_value give(const struct plait_failure *f)
{
	return plait_value_make(&plait_failure_type, (void *)(uintptr_t)f);
}

/* The length of the message; 0 if printf() can't make it. */
static size_t measure(const char *fmt, va_list ap)
{
	int len = vsnprintf(NULL, 0, fmt, ap);

	return len < 0 ? 0 : (size_t)len;
}

/* A failure with that message, or NULL. */
static struct plait_failure *make(const char *where,
				  const struct plait_error *kind,
				  const char *fmt, va_list ap)
{
	struct plait_failure *f;
	size_t len;
	char *message;
	va_list again;

	va_copy(again, ap);
	len = measure(fmt, again);
	va_end(again);
	f = malloc(sizeof(*f) + len + 1);
	if (f == NULL)
		return NULL;
	failure_init(f, kind, where, NULL);
	f->message = message = (char *)(f + 1);
	vsnprintf(message, len + 1, fmt, ap);
	message[len] = '\0';
	return f;
}

plait_value plait_fail_at(const char *where, const struct plait_error *kind,
			  int err, const struct plait_failure *cause,
			  const char *fmt, ...)
{
	struct plait_failure *f;
	va_list ap;

	va_start(ap, fmt);
	f = make(where, kind, fmt, ap);
	va_end(ap);
	if (f == NULL)
		return plait_no_memory();
	f->err = err;
	f->cause = plait_failure_ref(cause);
	return give(f);
}

plait_value plait_fail_with_at(const char *where,
			       const struct plait_error *kind,
			       plait_value detail, const char *fmt, ...)
{
	struct plait_failure *f;
	va_list ap;

	va_start(ap, fmt);
	f = make(where, kind, fmt, ap);
	va_end(ap);
	if (f == NULL) {
		plait_value_free(&detail);
		return plait_no_memory();
	}
	f->detail = detail;
	return give(f);
}

plait_value plait_cancelled(void)
{
	return give(&failure_cancelled);
}

plait_value failure_cancelled_by(const char *reason, const char *where)
{
	struct plait_failure *f = malloc(sizeof(*f));

	if (f == NULL)
		return plait_no_memory();
	failure_init(f, &plait_error_cancelled, where, NULL);
	f->cancelled_at = where;
	f->reason = reason;
	return give(f);
}

plait_value plait_connection_done(void)
{
	return give(&failure_connection_done);
}

plait_value plait_no_memory(void)
{
	return give(&failure_no_memory);
}

const struct plait_failure *plait_value_failure_at(const plait_value *v,
						   const char *where)
{
	return plait_value_get_at(v, &plait_failure_type, where);
}

plait_value plait_failure_value(const struct plait_failure *f)
{
	return give(plait_failure_ref(f));
}

/* Only the count of a failure ever changes, so everybody else has it const. */
static struct plait_failure *counted(const struct plait_failure *f)
{
	return f != NULL && f->refs > 0 ? (struct plait_failure *)(uintptr_t)f
					: NULL;
}

const struct plait_failure *plait_failure_ref(const struct plait_failure *f)
{
	struct plait_failure *c = counted(f);

	if (c != NULL)
		c->refs++;
	return f;
}

/* Those that nobody refers to, by their cause, until they are buried. */
static _Thread_local const struct plait_failure *dead;

static void bury(void)
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
	struct plait_failure *f = counted(*fp);
	const struct plait_failure *cause;

	*fp = NULL;
	while (f != NULL && --f->refs == 0) {
		cause = f->cause;
		f->cause = dead;
		dead = f;
		f = counted(cause);
	}
	bury();
}

bool plait_failure_check(const struct plait_failure *f,
			 const struct plait_error *kind)
{
	const struct plait_error *k = f->kind;

	while (k != NULL && k != kind)
		k = k->parent;
	return k != NULL;
}

const struct plait_error *plait_failure_kind(const struct plait_failure *f)
{
	return f->kind;
}

int plait_failure_errno(const struct plait_failure *f)
{
	return f->err;
}

const char *plait_failure_message(const struct plait_failure *f)
{
	return f->message;
}

const char *plait_failure_where(const struct plait_failure *f)
{
	return f->where;
}

const struct plait_failure *plait_failure_cause(const struct plait_failure *f)
{
	return f->cause;
}

const plait_value *plait_failure_detail(const struct plait_failure *f)
{
	return &f->detail;
}

const char *plait_failure_cancelled_at(const struct plait_failure *f)
{
	return f->cancelled_at;
}

const char *plait_failure_reason(const struct plait_failure *f)
{
	return f->reason;
}

int plait_failure_str(const struct plait_failure *f, char *buf, size_t size)
{
	return snprintf(buf, size, "%s%s%s", f->kind->name,
			f->message[0] != '\0' ? ": " : "", f->message);
}

/*
 * One line being made.  Space for its end is never given away: the mark that
 * it was cut, and the newline.
 */
struct line {
	char text[1024];
	size_t len;
	bool cut;
};

static const char cut_end[] = "...\n";

/* A byte that could end or forge a line is shown by its number instead. */
static void line_add_byte(struct line *l, unsigned char c)
{
	size_t room = sizeof(l->text) - sizeof(cut_end) - l->len;
	bool plain = c >= 0x20 && c <= 0x7e;
	int len = snprintf(l->text + l->len, room, plain ? "%c" : "\\x%02x", c);

	l->cut = (size_t)len >= room;
	if (!l->cut)
		l->len += (size_t)len;
}

static void line_add(struct line *l, const char *text)
{
	for (; *text != '\0' && !l->cut; text++)
		line_add_byte(l, (unsigned char)*text);
}

static void line_say(struct line *l)
{
	const char *end = l->cut ? cut_end : "\n";
	size_t len = strlen(end);

	memcpy(l->text + l->len, end, len);
	base_say(l->text, l->len + len);
}

static void line_add_failure(struct line *l, const struct plait_failure *f)
{
	line_add(l, f->kind->name);
	line_add(l, f->message[0] != '\0' ? ": " : "");
	line_add(l, f->message);
}

/* "  WORDS TEXT", if there is a text. */
static void say_detail(const char *words, const char *text)
{
	struct line l = { .len = 0 };

	if (text[0] == '\0')
		return;
	line_add(&l, "  ");
	line_add(&l, words);
	line_add(&l, text);
	line_say(&l);
}

/* All that it knows, and then the same of what caused it. */
static void say_history(const struct plait_failure *f)
{
	struct line l;

	for (;;) {
		say_detail("made at ", f->where);
		say_detail("cancelled at ", f->cancelled_at);
		say_detail("because ", f->reason);
		f = f->cause;
		if (f == NULL)
			return;
		l = (struct line){ .len = 0 };
		line_add(&l, "  caused by ");
		line_add_failure(&l, f);
		line_say(&l);
	}
}

static void print_unhandled(const struct plait_failure *why, void *arg)
{
	struct line l = { .len = 0 };

	line_add(&l, "Unhandled error in Deferred: ");
	line_add_failure(&l, why);
	line_say(&l);
	if (debug_is_on(DEBUG_FAILURES))
		say_history(why);
}

static plait_unhandled_hook *unhandled_hook = print_unhandled;
static void *unhandled_arg;

void plait_set_unhandled(plait_unhandled_hook *hook, void *arg)
{
	unhandled_hook = hook != NULL ? hook : print_unhandled;
	unhandled_arg = arg;
}

void plait_unhandled(const struct plait_failure *f)
{
	unhandled_hook(f, unhandled_arg);
}
