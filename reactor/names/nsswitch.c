/*
 * Reading /etc/nsswitch.conf: see nsswitch.h.
 *
 *	hosts: files mdns4_minimal [NOTFOUND=return] dns
 *
 * A source is a word; what is in brackets behind it says which status ends the
 * lookup there.  Brackets need no blanks around them.  A bracket where a source
 * should be ends the line, as it does for the C library; a `#' does not.
 */
#include <string.h>

#include "reactor/names/nsswitch.h"
#include "reactor/names/text.h"

static const struct nsswitch nsswitch_default = {
	.steps = {
		{ NSSWITCH_FILES, { [NSSWITCH_SUCCESS] = true } },
		{ NSSWITCH_DNS, { [NSSWITCH_SUCCESS] = true } },
	},
	.n = 2,
};

static const char *const nsswitch_statuses[NSSWITCH_N_STATUS] = {
	[NSSWITCH_SUCCESS] = "success",
	[NSSWITCH_NOTFOUND] = "notfound",
	[NSSWITCH_UNAVAIL] = "unavail",
	[NSSWITCH_TRYAGAIN] = "tryagain",
};

static bool nsswitch_is(const struct text *t, const char *word)
{
	struct text expected = plait_i_text(word);

	return plait_i_text_is_like(t, &expected);
}

/* Cuts the leading bytes up to one of stops from rest. */
static struct text nsswitch_cut(struct text *rest, const char *stops)
{
	struct text t = { rest->at, 0 };

	while (t.length < rest->length &&
	       strchr(stops, rest->at[t.length]) == NULL)
		t.length++;
	rest->at += t.length;
	rest->length -= t.length;
	return t;
}

static void nsswitch_skip(struct text *rest)
{
	while (rest->length > 0 && text_is_blank(*rest->at)) {
		rest->at++;
		rest->length--;
	}
}

/* Takes that byte from the beginning, behind blanks. */
static bool nsswitch_take(struct text *rest, char c)
{
	nsswitch_skip(rest);
	if (rest->length == 0 || *rest->at != c)
		return false;
	rest->at++;
	rest->length--;
	return true;
}

/* One of the statuses; NSSWITCH_N_STATUS: none of them. */
static enum nsswitch_status nsswitch_status(const struct text *word)
{
	enum nsswitch_status s = NSSWITCH_SUCCESS;

	while (s < NSSWITCH_N_STATUS &&
	       !nsswitch_is(word, nsswitch_statuses[s]))
		s++;
	return s;
}

/* `merge' is not for hosts: it counts as `return'. */
static bool nsswitch_read_verb(const struct text *word, bool *ends)
{
	*ends = nsswitch_is(word, "return") || nsswitch_is(word, "merge");
	return *ends || nsswitch_is(word, "continue");
}

/* Reads `NOTFOUND=return', or `!UNAVAIL=return' for all others.  Returns false
   if it is something else. */
static bool nsswitch_read_action(struct text *rest, struct nsswitch_step *step)
{
	bool is_others = nsswitch_take(rest, '!');
	struct text word = nsswitch_cut(rest, "= \t\r\f\v]");
	enum nsswitch_status status = nsswitch_status(&word);
	bool ends;

	if (status == NSSWITCH_N_STATUS || !nsswitch_take(rest, '='))
		return false;
	nsswitch_skip(rest);
	word = nsswitch_cut(rest, " \t\r\f\v]");
	if (!nsswitch_read_verb(&word, &ends))
		return false;
	for (enum nsswitch_status s = 0; s < NSSWITCH_N_STATUS; s++)
		if ((s == status) != is_others)
			step->ends[s] = ends;
	return true;
}

/* Reads what is in brackets, if a bracket is next. */
static bool nsswitch_read_actions(struct text *rest, struct nsswitch_step *step)
{
	if (!nsswitch_take(rest, '['))
		return true;
	do {
		if (!nsswitch_read_action(rest, step))
			return false;
	} while (!nsswitch_take(rest, ']'));
	return true;
}

/* Adds a step, if it is one of a source that there is.  Returns false if a
   source that there is not ends the lookup. */
static bool nsswitch_add(struct nsswitch *ret, const struct text *source,
			 struct nsswitch_step *step)
{
	if (plait_i_text_is(source, "files"))
		step->source = NSSWITCH_FILES;
	else if (plait_i_text_is(source, "dns"))
		step->source = NSSWITCH_DNS;
	else
		return !step->ends[NSSWITCH_UNAVAIL];
	if (ret->n < NSSWITCH_STEPS)
		ret->steps[ret->n++] = *step;
	return true;
}

/* Reads the rest of a line.  Returns false if it is malformed: such a line is
   skipped. */
static bool nsswitch_read_steps(struct text *rest, struct nsswitch *ret)
{
	struct nsswitch read = { .n = 0 };
	bool goes_on = true;

	while (goes_on) {
		struct nsswitch_step step = { .ends = { true } };
		struct text source;

		nsswitch_skip(rest);
		source = nsswitch_cut(rest, " \t\r\f\v[");
		if (source.length == 0)
			break;
		if (!nsswitch_read_actions(rest, &step))
			return false;
		goes_on = nsswitch_add(&read, &source, &step);
	}
	*ret = read;
	return true;
}

/* Cuts `hosts:' off.  Blanks around it do not matter, nor does a colon that
   is not there. */
static bool nsswitch_is_hosts(struct text *line)
{
	struct text name;

	nsswitch_skip(line);
	name = nsswitch_cut(line, ": \t\r\f\v");
	nsswitch_take(line, ':');
	return plait_i_text_is(&name, "hosts");
}

/* The last line counts, as it does for the C library. */
void plait_i_nsswitch_read(const char *text, size_t len, struct nsswitch *ret)
{
	struct text rest = { text, len }, line;

	*ret = nsswitch_default;
	while (plait_i_text_line(&rest, &line))
		if (nsswitch_is_hosts(&line))
			nsswitch_read_steps(&line, ret);
}
