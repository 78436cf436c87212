/*
 * Writes all that is known of a failure, as lines.
 *
 * A failure, its members and its causes are a tree.  The walk has a stack on
 * the heap, which is as deep as members lie in members.  A cause is written
 * after the members and replaces, on the stack, the failure that it caused.  So
 * a chain of causes needs no more of this stack.  A failure with two references
 * is written twice, so a small failure can have a very long text; hence the
 * limit.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <plait/buf.h>
#include <plait/deferred_list.h>

#include "lib/failure.h"
#include "lib/print.h"

/* How many failures of a tree are written, and how deep lines are indented. */
enum { MOST_FAILURES = 10000, DEEPEST_INDENT = 16 };

struct visit {
	const struct plait_failure *failure;
	size_t next; /* member */
};

struct explanation {
	struct print p;
	struct visit *visits;
	size_t depth, room;
	size_t left;
};

/* A byte that could end or forge a line is shown as its number. */
static void print_escaped(struct print *p, const char *text)
{
	while (*text != '\0') {
		int len = 0;

		while (print_is_visible(text[len]))
			len++;
		if (len > 0)
			plait_i_print(p, "%.*s", len, text);
		else
			plait_i_print(p, "\\x%02x", (unsigned char)*text);
		text += len > 0 ? len : 1;
	}
}

static void explain_indent(struct explanation *e)
{
	size_t depth = e->depth < DEEPEST_INDENT ? e->depth : DEEPEST_INDENT;

	plait_i_print(&e->p, "%*s", (int)(2 * depth), "");
}

/* Writes "WORDS TEXT", if there is a text. */
static void explain_detail(struct explanation *e, const char *words,
			   const char *text)
{
	if (text[0] == '\0')
		return;
	explain_indent(e);
	plait_i_print(&e->p, "%s", words);
	print_escaped(&e->p, text);
	plait_i_print(&e->p, "\n");
}

static void explain_head(struct explanation *e, const char *words,
			 const struct plait_failure *f)
{
	explain_indent(e);
	plait_i_print(&e->p, "%s", words);
	print_escaped(&e->p, f->kind->name);
	if (f->message[0] != '\0')
		plait_i_print(&e->p, ": ");
	print_escaped(&e->p, f->message);
	if (f->err != 0)
		plait_i_print(&e->p, ": %s", strerror(f->err));
	plait_i_print(&e->p, "\n");
}

static void explain_details(struct explanation *e,
			    const struct plait_failure *f)
{
	explain_detail(e, "made at ", f->where);
	explain_detail(e, "cancelled at ", plait_failure_cancel_where(f));
	explain_detail(e, "because ", plait_failure_cancel_reason(f));
}

/*
 * Returns true if there is room for one more visit.  If not, the printing
 * fails.
 */
static bool explain_make_room(struct explanation *e)
{
	size_t room = e->room != 0 ? 2 * e->room : 8;
	struct visit *visits;

	if (e->depth < e->room)
		return true;
	visits = realloc(e->visits, room * sizeof(*visits));
	if (visits == NULL) {
		e->p.error = -ENOMEM;
		return false;
	}
	e->visits = visits;
	e->room = room;
	return true;
}

/* Returns false if the limit is reached, which ends the walk. */
static bool explain_may_go_on(struct explanation *e)
{
	if (e->left > 0) {
		e->left--;
		return true;
	}
	explain_indent(e);
	plait_i_print(&e->p, "and more\n");
	e->depth = 0;
	return false;
}

static void explain_visit(struct explanation *e, const char *words,
			  const struct plait_failure *f)
{
	if (!explain_may_go_on(e) || !explain_make_room(e))
		return;
	explain_head(e, words, f);
	e->visits[e->depth++] = (struct visit){ .failure = f };
	explain_details(e, f);
}

/* The cause replaces the failure that it caused. */
static void explain_cause(struct explanation *e, struct visit *v)
{
	if (v->failure->cause == NULL) {
		e->depth--;
	} else if (explain_may_go_on(e)) {
		*v = (struct visit){ .failure = v->failure->cause };
		explain_head(e, "caused by ", v->failure);
		explain_details(e, v->failure);
	}
}

/*
 * Returns the value that f carries at this place, which may be no failure, and
 * stores its number.  NULL after the last value.
 */
static const plait_value *member_of(const struct plait_failure *f, size_t i,
				    size_t *number)
{
	const plait_value *detail = &f->detail;

	*number = i;
	if (plait_value_is(detail, &plait_values_type)) {
		const struct plait_values *values = plait_value_values(detail);

		return i < values->count ? &values->items[i] : NULL;
	}
	if (i > 0 || plait_value_is_none(detail))
		return NULL;
	if (!plait_value_is(detail, &plait_indexed_type))
		return detail;
	*number = plait_value_indexed(detail)->index;
	return &plait_value_indexed(detail)->value;
}

static void explain_next(struct explanation *e)
{
	struct visit *v = &e->visits[e->depth - 1];
	size_t number;
	const plait_value *m = member_of(v->failure, v->next++, &number);
	char words[64];

	if (m == NULL) {
		explain_cause(e, v);
	} else if (plait_value_is_failure(m)) {
		snprintf(words, sizeof(words), "member %zu: ", number);
		explain_visit(e, words, plait_value_failure(m));
	}
}

int plait_failure_explain(const struct plait_failure *f, struct plait_buf *b)
{
	struct explanation e = { .p.to = b, .left = MOST_FAILURES };

	if (f == NULL)
		return plait_buf_printf(b, "no failure\n");
	explain_visit(&e, "", f);
	while (e.depth > 0 && e.p.error == 0)
		explain_next(&e);
	free(e.visits);
	return e.p.error;
}
