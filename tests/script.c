/*
 * The words for deferreds: see script.h.
 */
#include <stdio.h>

#include "tests/script.h"
#include "tests/timed.h"

enum { MAX_PARTS = 16, MAX_CALLBACKS = 64, MAX_TIMERS = 8 };

struct script_callback {
	const struct script_part *of; /* for a canceller */
	const char *name;
	const char *block, *answer; /* NULL: none */
};

static struct script_part parts[MAX_PARTS];
static struct script_callback callbacks[MAX_CALLBACKS];
static struct plait_timer timers[MAX_TIMERS];
static unsigned n_parts, n_callbacks, n_timers;

static struct script_part *find_part(const char *name)
{
	for (unsigned i = 0; i < n_parts; i++)
		if (strcmp(parts[i].name, name) == 0)
			return &parts[i];
	return NULL;
}

struct script_part *script_part(void)
{
	const char *name = play_word();
	struct script_part *part = find_part(name);

	if (part != NULL)
		return part;
	ck_assert_uint_lt(n_parts, MAX_PARTS);
	parts[n_parts] = (struct script_part){ .name = name };
	return &parts[n_parts++];
}

struct script_part *script_known(void)
{
	const char *name = play_word();
	struct script_part *part = find_part(name);

	play_holds(part != NULL, "no deferred %s", name);
	return part;
}

struct plait_deferred *script_take(struct script_part *part)
{
	play_holds(part->d != NULL && !part->taken, "%s is not to be given",
		   part->name);
	part->taken = true;
	return part->d;
}

static plait_value value_of(const char *word)
{
	char *end;
	intptr_t n = strtol(word, &end, 10);
	struct script_part *part;
	struct plait_deferred *d;

	if (*end == '\0')
		return plait_int(n);
	if (word[0] == '~')
		return tracked(word + 1);
	if (word[0] == '&')
		return owned_by_many(word + 1);
	if (word[0] == '\'')
		return plait_text(word + 1);
	if (strncmp(word, "Error:", 6) == 0)
		return plait_fail(&plait_error_any, "%s", word + 6);
	if (strncmp(word, "Cancelled:", 10) == 0)
		return plait_fail(&plait_error_cancelled, "%s", word + 10);
	if (strcmp(word, "none") == 0)
		return PLAIT_NONE;
	part = find_part(word);
	play_holds(part != NULL, "not a value: %s", word);
	d = script_take(part);
	return plait_chain(&d);
}

plait_value script_value(void)
{
	return value_of(play_word());
}

void script_make_each(struct plait_deferred *(*make)(void))
{
	while (play_more()) {
		struct script_part *part = script_part();

		part->d = make();
		pass_both(part->d, part->name);
	}
}

/* ---- callbacks ----------------------------------------------------------- */

struct script_callback *script_callback(void)
{
	struct script_callback *cb = &callbacks[n_callbacks++];
	bool answers = play_mark("=");

	ck_assert_uint_le(n_callbacks, MAX_CALLBACKS);
	*cb = (struct script_callback){ .name = NULL };
	if (!answers) {
		cb->block = play_block();
		if (cb->block == NULL && play_more()) {
			cb->name = play_word();
			cb->block = play_block();
		}
		answers = play_mark("=");
	}
	if (answers)
		cb->answer = play_word();
	return cb;
}

static void script_steps(const char *steps);

static plait_value play_callback(const struct script_callback *cb,
				 plait_value otherwise)
{
	if (cb->block != NULL)
		script_steps(cb->block);
	return cb->answer != NULL ? value_of(cb->answer) : otherwise;
}

plait_value script_call(plait_value *result, void *arg)
{
	const struct script_callback *cb = arg;

	if (cb->name != NULL)
		trace_value(cb->name, result);
	return play_callback(cb, *result);
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
	return play_callback(cb, plait_cancelled());
}

/* ---- verbs ----------------------------------------------------------- */

static void do_new(void)
{
	struct script_part *part = script_part();
	struct script_callback *cb = NULL;

	plait_promise_drop(&part->p);
	if (play_mark("!")) {
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
		if (play_mark("+consume"))
			flags |= PLAIT_DEFERRED_LIST_CONSUME_ERRORS;
		else if (play_mark("+callback"))
			flags |= PLAIT_DEFERRED_LIST_FIRE_ON_ONE_CALLBACK;
		else if (play_mark("+errback"))
			flags |= PLAIT_DEFERRED_LIST_FIRE_ON_ONE_ERRBACK;
		else
			return flags;
	}
}

static size_t script_members(struct plait_deferred **members)
{
	size_t n = 0;

	while (play_more())
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

	if (!play_mark(",")) {
		callback = script_callback();
		play_mark(",");
	}
	if (play_more())
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
	if (r < 0)
		trace_add("%s", play_errno_name(-r));
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

	plait_deferred_forward(d, &next->p);
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

	if (play_more())
		plait_deferred_cancel_because(d, play_word());
	else
		plait_deferred_cancel(d);
}

static void do_why(void)
{
	const struct script_part *part = script_known();
	const plait_value *v = plait_deferred_result(part->d);
	const struct plait_failure *f = plait_value_failure(v);

	trace_add("%s=%s(%s)", part->name, plait_failure_kind(f)->name,
		  plait_failure_cancel_reason(f));
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
	trace_add("%s", play_word());
}

static void do_live(void)
{
	trace_add("%u live", tracked_live());
}

static void do_advance(void)
{
	advance(play_number());
}

static void run_callback(void *cb)
{
	script_operation(cb);
}

static void do_after(void)
{
	double seconds = play_number();

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
	unsigned which = (unsigned)play_number();
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
	unsigned long more = (unsigned long)play_number();
	unsigned long held = heap_live();

	script_operation(script_callback());
	ck_assert_uint_eq(heap_live(), held + more);
}

static void do_allocates(void)
{
	unsigned long calls = (unsigned long)play_number() + heap_calls();

	script_operation(script_callback());
	ck_assert_uint_eq(heap_calls(), calls);
}

static const struct play_verb verbs[] = {
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

static void script_steps(const char *steps)
{
	play_steps(verbs, steps);
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
	play_end();
	ck_assert_ptr_null(strchr(trace(), '?'));
	ck_assert_uint_eq(tracked_live(), 0);
}

void script_play(const struct script *s)
{
	n_parts = n_callbacks = n_timers = 0;
	play_begin();
	plait_set_unhandled_hook(script_unhandled, NULL);
	if (reactor != NULL)
		timed_start();
	script_steps(s->steps);
	if (strcmp(trace(), s->trace) != 0)
		ck_abort_msg("\n  script   \"%s\"\n  expected \"%s\"\n"
			     "  traced   \"%s\"",
			     s->steps, s->trace, trace());
	end_all();
}
