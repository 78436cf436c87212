/*
 * The player of scripts: see script.h.  It reads a step where it stands, so
 * that the steps of a callback are played when it runs, and may nest.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/script.h"
#include "tests/timed.h"

enum { MAX_PARTS = 16, MAX_CALLBACKS = 64, MAX_TIMERS = 8, MAX_TEXT = 2048 };

struct script_callback {
	const struct script_part *of; /* for a canceller */
	const char *name;
	const char *block;  /* after the brace */
	const char *answer; /* after the "=" */
};

static const char *whole, *at; /* the script, and where it is read */
static char text[MAX_TEXT];    /* words, one after the other */
static size_t text_used;
static struct script_part parts[MAX_PARTS];
static struct script_callback callbacks[MAX_CALLBACKS];
static struct plait_timer timers[MAX_TIMERS];
static unsigned n_parts, n_callbacks, n_timers;
static const struct script_verb *own_verbs;
static void (*own_end)(void);

static void script_fail(const char *what, const char *word)
{
	ck_abort_msg("script: %s `%s', before \"%s\" in \"%s\"", what, word, at,
		     whole);
}

/* ---- words ----------------------------------------------------------- */

static void skip_blanks(void)
{
	at += strspn(at, " ");
}

bool script_more(void)
{
	skip_blanks();
	return strchr(";|}", *at) == NULL; /* nor the end */
}

static bool next_is(const char *mark)
{
	skip_blanks();
	if (strncmp(at, mark, strlen(mark)) != 0)
		return false;
	at += strlen(mark);
	return true;
}

const char *script_word(void)
{
	char *word = text + text_used;
	size_t len;

	if (!script_more())
		script_fail("too short a step", "");
	len = *at == '\'' ? strcspn(at + 1, "'") + 2 : strcspn(at, " ,;|{}");
	ck_assert_uint_lt(text_used + len, sizeof(text));
	memcpy(word, at, len);
	word[len] = '\0';
	text_used += len + 1;
	at += len;
	return word;
}

double script_number(void)
{
	const char *word = script_word();
	char *end;
	double number = strtod(word, &end);

	if (*end != '\0')
		script_fail("not a number:", word);
	return number;
}

static struct script_part *find_part(const char *name)
{
	for (unsigned i = 0; i < n_parts; i++)
		if (strcmp(parts[i].name, name) == 0)
			return &parts[i];
	return NULL;
}

struct script_part *script_part(void)
{
	const char *name = script_word();
	struct script_part *part = find_part(name);

	if (part != NULL)
		return part;
	ck_assert_uint_lt(n_parts, MAX_PARTS);
	parts[n_parts] = (struct script_part){ .name = name };
	return &parts[n_parts++];
}

struct script_part *script_known(void)
{
	const char *name = script_word();
	struct script_part *part = find_part(name);

	if (part == NULL)
		script_fail("no deferred", name);
	return part;
}

struct plait_deferred *script_take(struct script_part *part)
{
	if (part == NULL || part->d == NULL || part->taken)
		script_fail("not to be given away:", part ? part->name : "");
	part->taken = true;
	return part->d;
}

plait_value script_value(void)
{
	char *word = (char *)(uintptr_t)script_word(), *end;
	intptr_t n = strtol(word, &end, 10);
	struct plait_deferred *d;

	if (*end == '\0')
		return plait_int(n);
	if (word[0] == '~')
		return tracked(word + 1);
	if (word[0] == '&')
		return owned_by_many(word + 1);
	if (word[0] == '\'') {
		word[strlen(word) - 1] = '\0';
		return plait_text(word + 1);
	}
	if (strncmp(word, "Error:", 6) == 0)
		return plait_fail(&plait_error_any, "%s", word + 6);
	if (strncmp(word, "Cancelled:", 10) == 0)
		return plait_fail(&plait_error_cancelled, "%s", word + 10);
	if (strcmp(word, "none") == 0)
		return PLAIT_NONE;
	if (find_part(word) == NULL)
		script_fail("not a value:", word);
	d = script_take(find_part(word));
	return plait_chain(&d);
}

void script_make_each(struct plait_deferred *(*make)(void))
{
	while (script_more()) {
		struct script_part *part = script_part();

		part->d = make();
		pass_both(part->d, part->name);
	}
}

/* ---- callbacks ----------------------------------------------------------- */

static const char *skip_block(void)
{
	const char *block = at;

	for (int depth = 1; depth > 0; at++) {
		if (*at == '\0')
			script_fail("no end of", block);
		depth += (*at == '{') - (*at == '}');
	}
	return block;
}

struct script_callback *script_callback(void)
{
	struct script_callback *cb = &callbacks[n_callbacks++];

	ck_assert_uint_le(n_callbacks, MAX_CALLBACKS);
	*cb = (struct script_callback){ .name = NULL };
	skip_blanks();
	if (script_more() && strchr("{=", *at) == NULL)
		cb->name = script_word();
	if (next_is("{"))
		cb->block = skip_block();
	if (next_is("=")) {
		cb->answer = at;
		script_word();
	}
	return cb;
}

static void play_from(const char *steps);

static void play_block(const struct script_callback *cb)
{
	const char *after = at;

	if (cb->block != NULL)
		play_from(cb->block);
	at = after;
}

static plait_value answer_of(const struct script_callback *cb)
{
	const char *after = at;
	plait_value v;

	at = cb->answer;
	v = script_value();
	at = after;
	return v;
}

plait_value script_call(plait_value *result, void *arg)
{
	const struct script_callback *cb = arg;

	if (cb->name != NULL)
		trace_value(cb->name, result);
	play_block(cb);
	return cb->answer != NULL ? answer_of(cb) : *result;
}

plait_value script_operation(void *cb)
{
	return script_call(&(plait_value){ NULL, NULL }, cb);
}

static plait_value canceller(struct plait_deferred *d, void *arg)
{
	const struct script_callback *cb = arg;

	ck_assert(d == cb->of->d || cb->of->d == NULL);
	trace_add("!%s", cb->name);
	play_block(cb);
	return cb->answer != NULL ? answer_of(cb) : plait_cancelled();
}

/* ---- verbs ----------------------------------------------------------- */

static void do_new(void)
{
	struct script_part *part = script_part();
	struct script_callback *cb = NULL;

	plait_promise_drop(&part->p);
	if (next_is("!")) {
		cb = script_callback();
		cb->of = part;
	}
	part->taken = false;
	part->d = plait_deferred_new(&part->p, cb ? canceller : NULL, cb);
}

static void do_fired(void)
{
	struct script_part *part = script_part();
	plait_value v = script_value();

	part->taken = false;
	if (plait_value_is_failure(&v))
		part->d = plait_failed(v);
	else
		part->d = plait_succeed(v);
}

static plait_value chain_to(plait_value *result, void *arg)
{
	struct plait_deferred *inner = script_take(arg);

	return plait_chain(&inner);
}

static void do_waiting(void)
{
	struct script_part *part = script_part();

	part->d = plait_deferred_add_both(plait_succeed(PLAIT_NONE), chain_to,
					  script_known());
}

static unsigned script_flags(void)
{
	unsigned flags = 0;

	for (;;) {
		if (next_is("+consume"))
			flags |= PLAIT_CONSUME_ERRORS;
		else if (next_is("+callback"))
			flags |= PLAIT_FIRE_ON_ONE_CALLBACK;
		else if (next_is("+errback"))
			flags |= PLAIT_FIRE_ON_ONE_ERRBACK;
		else
			return flags;
	}
}

static size_t script_members(struct plait_deferred **members)
{
	size_t n = 0;

	while (script_more())
		members[n++] = script_take(script_known());
	return n;
}

static void do_list(void)
{
	struct plait_deferred *members[MAX_PARTS];
	struct script_part *part = script_part();
	unsigned flags = script_flags();

	part->d = plait_deferred_list(members, script_members(members), flags);
}

static void do_gather(void)
{
	struct plait_deferred *members[MAX_PARTS];
	struct script_part *part = script_part();
	unsigned flags = script_flags();

	part->d = plait_gather(members, script_members(members), flags);
}

static void do_race(void)
{
	struct plait_deferred *members[MAX_PARTS];
	struct script_part *part = script_part();

	part->d = plait_race(members, script_members(members));
}

static void do_both(void)
{
	struct plait_deferred *d = script_known()->d;

	plait_deferred_add_both(d, script_call, script_callback());
}

static void do_pair(void)
{
	struct plait_deferred *d = script_known()->d;
	struct script_callback *callback = NULL, *errback = NULL;

	if (!next_is(",")) {
		callback = script_callback();
		next_is(",");
	}
	if (script_more())
		errback = script_callback();
	plait_deferred_add_callbacks(d, callback ? script_call : NULL, callback,
				     errback ? script_call : NULL, errback);
}

static void do_then(void)
{
	struct plait_deferred *d = script_known()->d;

	plait_deferred_add_callback(d, script_call, script_callback());
}

static void do_catch(void)
{
	struct plait_deferred *d = script_known()->d;

	plait_deferred_add_errback(d, script_call, script_callback());
}

void script_errno(int r)
{
	static const struct {
		int err;
		const char *name;
	} names[] = {
		{ ECANCELED, "ECANCELED" }, { EALREADY, "EALREADY" },
		{ EINVAL, "EINVAL" },	    { ENOENT, "ENOENT" },
		{ ENOBUFS, "ENOBUFS" },	    { ESHUTDOWN, "ESHUTDOWN" },
		{ ENOMEM, "ENOMEM" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (r == -names[i].err)
			trace_add("%s", names[i].name);
}

static void do_fire(void)
{
	struct script_part *part = script_known();
	plait_value v = script_value();
	int r = plait_fire(&part->p, v);

	ck_assert(r == -EINVAL || part->p == NULL);
	script_errno(r);
}

static void do_chain(void)
{
	struct plait_deferred *d = script_known()->d;
	struct script_part *next = script_known();

	plait_deferred_chain(d, &next->p);
	ck_assert_ptr_null(next->p);
}

static void do_drop(void)
{
	struct script_part *part = script_known();

	plait_promise_drop(&part->p);
	ck_assert_ptr_null(part->p);
}

static void do_cancel(void)
{
	struct plait_deferred *d = script_known()->d;

	if (script_more())
		plait_deferred_cancel_because(d, script_word());
	else
		plait_deferred_cancel(d);
}

static void do_why(void)
{
	const struct script_part *part = script_known();
	const plait_value *v = plait_deferred_result(part->d);
	const struct plait_failure *f = plait_value_failure(v);

	trace_add("%s=%s(%s)", part->name, plait_failure_kind(f)->name,
		  plait_failure_reason(f));
}

static void do_free(void)
{
	struct script_part *part = script_known();

	plait_deferred_free(&part->d);
	ck_assert_ptr_null(part->d);
}

static void do_detach(void)
{
	struct script_part *part = script_known();

	plait_deferred_detach(&part->d);
	ck_assert_ptr_null(part->d);
}

static void do_pause(void)
{
	plait_deferred_pause(script_known()->d);
}

static void do_unpause(void)
{
	plait_deferred_unpause(script_known()->d);
}

/* Values as "[VALUE VALUE]". */
static const char *script_text(const plait_value *v)
{
	static char buf[512];
	const struct plait_values *values;
	size_t len = 1;

	if (!plait_value_is(v, &plait_values_type)) {
		plait_value_str(v, buf, sizeof(buf));
		return buf;
	}
	values = plait_value_values(v);
	strcpy(buf, "[");
	for (size_t i = 0; i < values->count; i++) {
		len += (size_t)plait_value_str(&values->items[i], buf + len,
					       sizeof(buf) - len);
		ck_assert_uint_lt(len + 2, sizeof(buf));
		strcpy(buf + len, i + 1 < values->count ? " " : "");
		len += strlen(buf + len);
	}
	strcpy(buf + len, "]");
	return buf;
}

static void do_show(void)
{
	const struct script_part *part = script_known();
	const plait_value *v = plait_deferred_result(part->d);

	if (!plait_deferred_is_fired(part->d)) {
		trace_add("%s pending", part->name);
	} else if (v == NULL) {
		trace_add("%s waits", part->name);
	} else {
		trace_add("%s=%s", part->name, script_text(v));
	}
}

static void do_wanted(void)
{
	const struct script_part *part = script_known();

	trace_add("%s %s", part->name,
		  plait_promise_is_cancelled(part->p) ? "unwanted" : "wanted");
}

static void do_say(void)
{
	trace_add("%s", script_word());
}

static void do_live(void)
{
	trace_add("%u live", tracked_live());
}

static void do_advance(void)
{
	advance(script_number());
}

static void run_callback(void *cb)
{
	script_operation(cb);
}

static void do_after(void)
{
	double seconds = script_number();

	ck_assert_uint_lt(n_timers, MAX_TIMERS);
	plait_timer_start(reactor, &timers[n_timers++], seconds, run_callback,
			  script_callback());
}

static void do_free_reactor(void)
{
	plait_reactor_free(&reactor);
}

/* Does the steps of a callback without that allocation of the library's. */
static void refuse(bool and_later)
{
	unsigned which = (unsigned)script_number();
	struct script_callback *cb = script_callback();

	fault_alloc_at(which, and_later);
	script_operation(cb);
	ck_assert(fault_alloc_reached());
	fault_alloc_off();
}

static void do_refuse(void)
{
	refuse(false);
}

static void do_refuse_all(void)
{
	refuse(true);
}

static void do_heap(void)
{
	unsigned long more = (unsigned long)script_number();
	unsigned long held = heap_live();

	script_operation(script_callback());
	ck_assert_uint_eq(heap_live(), held + more);
}

static void do_allocates(void)
{
	unsigned long calls = (unsigned long)script_number() + heap_calls();

	script_operation(script_callback());
	ck_assert_uint_eq(heap_calls(), calls);
}

static const struct script_verb verbs[] = {
	{ "new", do_new },
	{ "fired", do_fired },
	{ "waiting", do_waiting },
	{ "list", do_list },
	{ "gather", do_gather },
	{ "race", do_race },
	{ "both", do_both },
	{ "pair", do_pair },
	{ "then", do_then },
	{ "catch", do_catch },
	{ "fire", do_fire },
	{ "chain", do_chain },
	{ "drop", do_drop },
	{ "cancel", do_cancel },
	{ "free", do_free },
	{ "detach", do_detach },
	{ "pause", do_pause },
	{ "unpause", do_unpause },
	{ "show", do_show },
	{ "wanted", do_wanted },
	{ "say", do_say },
	{ "live?", do_live },
	{ "advance", do_advance },
	{ "after", do_after },
	{ "free_reactor", do_free_reactor },
	{ "refuse", do_refuse },
	{ "refuse_all", do_refuse_all },
	{ "why", do_why },
	{ "heap", do_heap },
	{ "allocates", do_allocates },
	{ NULL, NULL },
};

void script_words(const struct script_verb *own, void (*end)(void))
{
	own_verbs = own;
	own_end = end;
}

/* Where a promise was made, and when, says nothing of the script. */
static void script_unhandled(const struct plait_failure *why, void *arg)
{
	char buf[256];

	if (plait_failure_check(why, &plait_error_never_fired) ||
	    plait_failure_check(why, &plait_error_never_freed))
		snprintf(buf, sizeof(buf), "%s", plait_failure_kind(why)->name);
	else
		plait_failure_str(why, buf, sizeof(buf));
	trace_add("?%s", buf);
}

/* ---- the play -------------------------------------------------------- */

static const struct script_verb *find_verb(const struct script_verb *verb,
					   const char *name)
{
	while (verb != NULL && verb->name != NULL) {
		if (strcmp(verb->name, name) == 0)
			return verb;
		verb++;
	}
	return NULL;
}

static void play_step(void)
{
	const char *name = script_word();
	const struct script_verb *verb = find_verb(own_verbs, name);

	if (verb == NULL)
		verb = find_verb(verbs, name);
	if (verb == NULL)
		script_fail("no verb", name);
	verb->act();
	if (script_more())
		script_fail("too long a step:", name);
}

static void play_from(const char *steps)
{
	at = steps;
	for (;;) {
		if (script_more())
			play_step();
		if (*at == '\0' || *at == '}')
			return;
		if (*at++ == '|')
			trace_add("|");
	}
}

/* A failure that comes up only now is one that the trace should have had. */
static void end_all(void)
{
	trace_clear();
	for (unsigned i = 0; i < n_parts; i++) {
		if (parts[i].d == NULL || parts[i].taken)
			continue;
		handle_all(parts[i].d);
		plait_deferred_free(&parts[i].d);
	}
	for (unsigned i = 0; i < n_parts; i++)
		plait_promise_drop(&parts[i].p);
	if (own_end != NULL)
		own_end();
	ck_assert_ptr_null(strchr(trace(), '?'));
	ck_assert_uint_eq(tracked_live(), 0);
}

void script_play(const struct script *s)
{
	n_parts = n_callbacks = n_timers = 0;
	text_used = 0;
	whole = s->steps;
	plait_set_unhandled(script_unhandled, NULL);
	if (reactor != NULL)
		timed_start();
	play_from(whole);
	if (strcmp(trace(), s->trace) != 0)
		ck_abort_msg("\n  script   \"%s\"\n  expected \"%s\"\n"
			     "  traced   \"%s\"",
			     s->steps, s->trace, trace());
	end_all();
}
