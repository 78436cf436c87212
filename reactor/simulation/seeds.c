/*
 * plait_check_seeds(): a scenario with many seeds.
 *
 * What it says of a seed that fails must also be said if the process aborts
 * within a seed.  So handlers of the signals that end a process are in force
 * meanwhile.  They say it and let the signal do what it would have done.  A
 * process that exits within a seed is told of, too.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/exception.h"
#include "lib/print.h"
#include "lib/unhandled.h"
#include "reactor/simulation/live.h"
#include "reactor/simulation/world.h"

enum {
	NS_PER_MS = 1000000,
	MS_PER_S = 1000,
	PATIENCE = 2 * 3600, /* seconds */
	TWICE = 100,	     /* one seed of so many is run a second time */
	SEEDS_LINE = 2048,
	SEEDS_KEPT = 8 /* lines about failures that nobody handled */
};

static const char seeds_only[] = "PLAIT_SEED", seeds_count[] = "PLAIT_SEEDS";

/* The last lines that the default hook has had to say in this run. */
struct kept_lines {
	struct unhandled_keeper base;
	char lines[SEEDS_KEPT][256];
	size_t n; /* ever */
};

struct seeds {
	plait_scenario *fn;
	void *arg;
	uint64_t seed;
	struct marks marks;
	struct kept_lines kept;
	struct live live; /* what is alive: nothing of a run must be, later */
	bool is_alone;	  /* it is the only seed: PLAIT_SEED */
	bool failed;
	struct plait_check_report report;
};

/* ---- saying it ----------------------------------------------------------- */

/* The run that is under way in this thread: for signals and exit(). */
static _Thread_local struct plait_simulation *seeds_run;

static void seeds_say(const char *fmt, ...) PLAIT_PRINTF(1, 2);
static void seeds_say(const char *fmt, ...)
{
	char line[SEEDS_LINE];
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if ((size_t)len >= sizeof(line))
		len = sizeof(line) - 1;
	plait_i_base_say(line, (size_t)len);
}

/* Without floating point, so that handlers of signals may use it.  what may
   be lines. */
static void seeds_say_what(const struct plait_simulation *s, const char *what)
{
	int64_t ms = s->now / NS_PER_MS;
	size_t len = strlen(what);
	bool is_lines = len > 0 && what[len - 1] == '\n';

	seeds_say("plait: seed 0x%" PRIx64 ", turn %" PRIu64 ", at %" PRId64
		  ".%03d s: %s%s",
		  s->seed, s->turns, ms / MS_PER_S, (int)(ms % MS_PER_S), what,
		  is_lines ? "" : "\n");
}

static void seeds_say_how_to_repeat(uint64_t seed)
{
	seeds_say("plait: %s=0x%" PRIx64 " repeats it\n", seeds_only, seed);
}

static void seeds_keep(struct unhandled_keeper *base, const char *text,
		       size_t len)
{
	struct kept_lines *k = plait_container(base, struct kept_lines, base);

	snprintf(k->lines[k->n++ % SEEDS_KEPT], sizeof(k->lines[0]), "%.*s",
		 (int)(len > 0 && text[len - 1] == '\n' ? len - 1 : len), text);
}

static void seeds_say_kept(const struct kept_lines *k)
{
	size_t first = k->n > SEEDS_KEPT ? k->n - SEEDS_KEPT : 0;

	for (size_t i = first; i < k->n; i++)
		seeds_say("plait: unhandled: %s\n", k->lines[i % SEEDS_KEPT]);
}

/* ---- a process that ends ------------------------------------------------- */

static const int seeds_signals[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL };
enum { SEEDS_SIGNALS = sizeof(seeds_signals) / sizeof(seeds_signals[0]) };

/* What the program had set. */
static struct sigaction seeds_actions[SEEDS_SIGNALS];

static void seeds_say_end(const char *how)
{
	struct plait_simulation *s = seeds_run;

	if (s == NULL)
		return;
	seeds_run = NULL;
	seeds_say_what(s, how);
	seeds_say_how_to_repeat(s->seed);
	/* It needs memory.  Who asks for a trace wants it in spite of the small
	   danger that it is malloc() that aborts. */
	plait_i_simulation_end_trace(s);
}

/* The signal comes again when this returns: the mistake is made again, or
   kill() has sent it. */
static void seeds_on_signal(int number)
{
	int saved = errno;
	char how[64];

	snprintf(how, sizeof(how), "the process ends by signal %d", number);
	seeds_say_end(how);
	for (int i = 0; i < SEEDS_SIGNALS; i++) {
		if (seeds_signals[i] == number)
			sigaction(number, &seeds_actions[i], NULL);
	}
	if (number == SIGABRT)
		kill(getpid(), number);
	errno = saved;
}

static void seeds_at_exit(void)
{
	seeds_say_end("the process exits");
}

/* Several threads may check seeds; the first sets the handlers, and the last
   gives back what the program had set. */
static pthread_mutex_t seeds_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned seeds_checks;

static void seeds_catch_signals(void)
{
	struct sigaction action = { .sa_handler = seeds_on_signal };
	static bool exits;

	pthread_mutex_lock(&seeds_lock);
	for (int i = 0; i < SEEDS_SIGNALS && seeds_checks == 0; i++)
		sigaction(seeds_signals[i], &action, &seeds_actions[i]);
	seeds_checks++;
	exits = exits || atexit(seeds_at_exit) == 0;
	pthread_mutex_unlock(&seeds_lock);
}

static void seeds_leave_signals(void)
{
	pthread_mutex_lock(&seeds_lock);
	seeds_checks--;
	for (int i = 0; i < SEEDS_SIGNALS && seeds_checks == 0; i++)
		sigaction(seeds_signals[i], &seeds_actions[i], NULL);
	pthread_mutex_unlock(&seeds_lock);
}

/* ---- a run --------------------------------------------------------------- */

/* A kernel needs minutes to give a connection up whose other end is gone. */
static void seeds_check_sockets(struct plait_simulation *s)
{
	struct plait_list *l;

	if (plait_simulation_run(s, PATIENCE) == -ELOOP)
		plait_simulation_fail(s, "after the end something goes on");
	plait_list_for_each (l, &s->hosts) {
		struct plait_host *h =
			plait_container(l, struct plait_host, link);
		size_t n = plait_i_sockets_count(h);

		if (n > 0)
			plait_simulation_fail(s, "%zu sockets of %s are left",
					      n, h->name);
	}
}

/* What the scenario wanted to do later may use what is gone when it has
   returned. */
static void seeds_stop(struct plait_simulation *s)
{
	int rc;

	plait_i_simulation_drop_calls(s);
	rc = plait_simulation_stop(s);
	if (rc == -ETIMEDOUT || rc == -EDEADLK)
		plait_simulation_fail(s, "a program does not stop");
	else if (rc == -ELOOP)
		plait_simulation_fail(s, "to stop the programs has no end");
	if (!s->failed)
		seeds_check_sockets(s);
}

static OUT_OF_LINE void seeds_call(struct seeds *c, struct plait_simulation *s)
{
	c->fn(s, c->arg);
	exception_barrier();
}

static void seeds_fail(struct seeds *c, const struct plait_simulation *at,
		       const char *text)
{
	c->failed = true;
	snprintf(c->report.text, sizeof(c->report.text), "%s", text);
	c->report.seed = at->seed;
	c->report.seconds = plait_simulation_seconds(at);
	seeds_say_what(at, text);
	seeds_say_kept(&c->kept);
	seeds_say_how_to_repeat(at->seed);
}

/* Behind the end of the simulation: what is there now was not there before. */
static void seeds_check_left(struct seeds *c, const struct plait_simulation *at)
{
	struct print p = { .to = plait_buf_new(PLAIT_CHECK_TEXT) };

	plait_i_print(&p, "something is left over\n");
	plait_i_live_print_left(&c->live, &p);
	if (p.error == 0)
		p.error = plait_buf_append(p.to, "", 1);
	seeds_fail(c, at,
		   p.error == 0 ? plait_buf_data(p.to)
				: "something is left over");
	plait_buf_unref(&p.to);
}

/* Returns 0 and the digest, or -ENOMEM. */
static int seeds_run_once(struct seeds *c, struct record *record, uint64_t *ret)
{
	struct plait_simulation *s, at = { .seed = c->seed };

	plait_i_live_mark(&c->live);
	s = plait_i_simulation_new(c->seed, NULL);
	if (s == NULL)
		return -ENOMEM;
	if (c->is_alone)
		plait_i_simulation_trace(s);
	s->marks = &c->marks;
	s->record = record;
	c->kept.n = 0;
	c->report.runs++;
	seeds_run = s;
	seeds_call(c, s);
	seeds_stop(s);
	plait_i_hosts_settle(s);
	plait_i_hosts_end_programs(s);
	if (s->failed)
		seeds_fail(c, s, s->failure);
	*ret = s->digest;
	at.now = s->now;
	at.turns = s->turns;
	plait_simulation_free(&s);
	seeds_run = NULL;
	if (!c->failed && c->live.left > 0)
		seeds_check_left(c, &at);
	return 0;
}

/* An entry of a record, or its end. */
static void seeds_show(const struct record *r, size_t i, char *ret, size_t size)
{
	const struct record_entry *e = &r->entries[i];

	if (i >= r->n)
		snprintf(ret, size, "the end");
	else
		snprintf(ret, size,
			 "%s(%" PRIu64 ", %" PRIu64 ") at %" PRId64 " ns",
			 e->what, e->a, e->b, e->when);
}

static void seeds_note_difference(struct seeds *c, const struct record *first,
				  const struct record *second)
{
	size_t i = plait_i_record_compare(first, second);
	const struct record *longer = first->n > i ? first : second;
	struct plait_simulation at = { .seed = c->seed };
	char one[96], other[96], text[320];

	if (i < longer->n) {
		at.turns = longer->entries[i].turn;
		at.now = longer->entries[i].when;
	}
	seeds_show(first, i, one, sizeof(one));
	seeds_show(second, i, other, sizeof(other));
	snprintf(text, sizeof(text),
		 "a second run of the seed is another: event %zu was %s, and "
		 "then it was %s",
		 i, one, other);
	seeds_fail(c, &at, text);
}

static int seeds_run_twice(struct seeds *c)
{
	struct record first = { .n = 0 }, second = { .n = 0 };
	uint64_t digest, again;
	int rc = seeds_run_once(c, &first, &digest);

	if (rc == 0 && !c->failed) {
		rc = seeds_run_once(c, &second, &again);
		if (rc == 0 && !c->failed && digest != again)
			seeds_note_difference(c, &first, &second);
	}
	plait_i_record_done(&first);
	plait_i_record_done(&second);
	return rc;
}

/* 0, -EIO or -ENOMEM. */
static int seeds_run_seed(struct seeds *c)
{
	uint64_t digest;
	int rc = c->seed % TWICE == 0 ? seeds_run_twice(c)
				      : seeds_run_once(c, NULL, &digest);

	return c->failed ? -EIO : rc;
}

/* ---- what is alive --------------------------------------------------------
 */

static void seeds_hear(struct live *l, enum trace_kind kind, const void *object,
		       const char *text)
{
}

static int64_t seeds_clock(struct live *l)
{
	return seeds_run != NULL ? seeds_run->now : 0;
}

/* ---- all of them --------------------------------------------------------- */

static bool seeds_ask(const char *variable, uint64_t *ret)
{
	const char *text = secure_getenv(variable);
	char *end;
	unsigned long long n;

	if (text == NULL || *text == '\0')
		return false;
	n = strtoull(text, &end, 0);
	if (*end != '\0')
		plait_die(variable, "\"%s\" is no number", text);
	*ret = n;
	return true;
}

static int seeds_check_marks(struct seeds *c)
{
	const struct mark *mark = plait_i_marks_never_true(&c->marks);

	if (mark == NULL)
		return 0;
	snprintf(c->report.text, sizeof(c->report.text),
		 "%s: %s was false each time", mark->where, mark->what);
	seeds_say("plait: %s\n", c->report.text);
	return -EIO;
}

static int seeds_check(struct seeds *c, uint64_t count)
{
	struct unhandled_keeper *before;
	int rc = 0;

	c->is_alone = seeds_ask(seeds_only, &c->seed);
	if (c->is_alone)
		count = 1;
	else
		seeds_ask(seeds_count, &count);
	before = plait_i_unhandled_keep(&c->kept.base);
	plait_i_live_begin(&c->live);
	seeds_catch_signals();
	for (; count > 0 && rc == 0; count--, c->seed++)
		rc = seeds_run_seed(c);
	if (rc == 0 && !c->is_alone)
		rc = seeds_check_marks(c);
	seeds_leave_signals();
	plait_i_live_end(&c->live);
	plait_i_unhandled_keep(before);
	return rc;
}

int plait_check_seeds(plait_scenario *fn, void *arg, uint64_t first,
		      size_t count, struct plait_check_report *ret)
{
	struct seeds *c = calloc(1, sizeof(*c));
	int rc;

	if (c == NULL)
		return -ENOMEM;
	c->fn = fn;
	c->arg = arg;
	c->seed = first;
	c->kept.base.keep = seeds_keep;
	c->live.tell = seeds_hear;
	c->live.clock = seeds_clock;
	rc = seeds_check(c, count);
	if (ret != NULL)
		*ret = c->report;
	plait_i_marks_done(&c->marks);
	free(c);
	return rc;
}
