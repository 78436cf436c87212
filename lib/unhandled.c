/*
 * Tells about a failure that nobody handled: calls the hook, which by default
 * writes to standard error.
 */
#include <stdio.h>
#include <string.h>

#include <plait/buf.h>

#include "lib/base.h"
#include "lib/debug.h"
#include "lib/exception.h"
#include "lib/print.h"
#include "lib/trace.h"
#include "lib/unhandled.h"

/*
 * A line that is being made.  There is always room for its end: the mark that
 * it was cut, and the newline.
 */
struct line {
	char text[1024];
	size_t len;
	bool cut;
};

static const char cut_end[] = "...\n";

static void unhandled_add_byte(struct line *l, char c)
{
	size_t room = sizeof(l->text) - sizeof(cut_end) - l->len;
	int len = snprintf(l->text + l->len, room,
			   print_is_visible(c) ? "%c" : "\\x%02x",
			   (unsigned char)c);

	l->cut = (size_t)len >= room;
	if (!l->cut)
		l->len += (size_t)len;
}

static void unhandled_add(struct line *l, const char *text)
{
	for (; *text != '\0' && !l->cut; text++)
		unhandled_add_byte(l, *text);
}

static _Thread_local struct unhandled_keeper *unhandled_keeper;

struct unhandled_keeper *plait_i_unhandled_keep(struct unhandled_keeper *keeper)
{
	struct unhandled_keeper *before = unhandled_keeper;

	unhandled_keeper = keeper;
	return before;
}

static void unhandled_write(const char *text, size_t len)
{
	if (unhandled_keeper != NULL)
		unhandled_keeper->keep(unhandled_keeper, text, len);
	else
		plait_i_base_say(text, len);
}

static void unhandled_say(struct line *l)
{
	const char *end = l->cut ? cut_end : "\n";
	size_t len = strlen(end);

	memcpy(l->text + l->len, end, len);
	unhandled_write(l->text, l->len + len);
}

/*
 * Writes everything that the failure knows, except the first line, which was
 * written.
 */
static void unhandled_explain(const struct plait_failure *f)
{
	static const char no_memory[] = "  no memory to say more\n";
	struct plait_buf *b = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	const char *text, *rest;

	if (b != NULL && plait_failure_explain(f, b) == 0) {
		text = plait_buf_data(b);
		rest = (const char *)memchr(text, '\n', plait_buf_size(b)) + 1;
		unhandled_write(rest,
				plait_buf_size(b) - (size_t)(rest - text));
	} else {
		unhandled_write(no_memory, sizeof(no_memory) - 1);
	}
	plait_buf_unref(&b);
}

/* The words at the beginning of the line that the default hook prints. */
static _Thread_local const char *unhandled_words;

static void unhandled_print(const struct plait_failure *why, void *arg)
{
	struct line l = { .len = 0 };
	char text[sizeof(l.text)];

	plait_failure_str(why, text, sizeof(text));
	unhandled_add(&l, unhandled_words);
	unhandled_add(&l, ": ");
	unhandled_add(&l, text);
	unhandled_say(&l);
	if (debug_is_on(DEBUG_FAILURES))
		unhandled_explain(why);
}

static plait_unhandled_hook *unhandled_hook = unhandled_print;
static void *unhandled_arg;

void plait_set_unhandled_hook(plait_unhandled_hook *hook, void *arg)
{
	unhandled_hook = hook != NULL ? hook : unhandled_print;
	unhandled_arg = arg;
}

void plait_i_failure_swap_hook(plait_unhandled_hook **hook, void **arg)
{
	plait_unhandled_hook *hook_before = unhandled_hook;
	void *arg_before = unhandled_arg;

	unhandled_hook = *hook;
	unhandled_arg = *arg;
	*hook = hook_before;
	*arg = arg_before;
}

OUT_OF_LINE void plait_i_failure_unhandled(const struct plait_failure *f,
					   const char *words)
{
	const char *outer = unhandled_words;

	trace_note(TRACE_LOST, f, NULL, words, 0);
	unhandled_words = words;
	unhandled_hook(f, unhandled_arg);
	exception_barrier();
	unhandled_words = outer;
}

void plait_report_unhandled(const struct plait_failure *f)
{
	if (f != NULL)
		plait_i_failure_unhandled(f, "Unhandled error in Deferred");
}
