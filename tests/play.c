/*
 * Stories of a connection: see play.h.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include "tests/child.h"
#include "tests/play.h"

/* Where the step came from, for what it says when it does not hold. */
static const char *now;

const char *play_block, *play_name;

static const struct play_verb *own_verbs;
static void (*own_end)(void);
static bool is_over;

void play_holds(bool it_does, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (it_does)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ck_abort_msg("\"%.*s\": %s", (int)strcspn(now, ";{}"), now, text);
}

bool play_begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

/* "8M": so many; *end is behind it. */
static size_t number(const char *s, const char **end)
{
	char *rest;
	double n = strtod(s, &rest);

	play_holds(rest != s, "no number");
	if (*rest == 'K' || *rest == 'M')
		n *= *rest++ == 'K' ? 1024 : 1024 * 1024;
	*end = rest;
	return (size_t)n;
}

/* "8M bytes" or "8M bytes, end"; false if it is text. */
static bool is_bytes(const char *s, size_t *n, bool *and_end)
{
	const char *rest;

	if (!isdigit((unsigned char)*s))
		return false;
	*n = number(s, &rest);
	*and_end = strcmp(rest, " bytes, end") == 0;
	return *and_end || strcmp(rest, " bytes") == 0;
}

#define E(name)                                                                \
	{                                                                      \
#name, name                                                    \
	}

static const struct {
	const char *name;
	int err;
} errnos[] = {
	{ "0", 0 },	 E(EACCES),	  E(EADDRINUSE), E(EADDRNOTAVAIL),
	E(EAGAIN),	 E(EALREADY),	  E(EBADF),	 E(ECHILD),
	E(ECONNABORTED), E(ECONNREFUSED), E(ECONNRESET), E(EHOSTDOWN),
	E(EHOSTUNREACH), E(EINPROGRESS),  E(EINTR),	 E(EINVAL),
	E(EIO),		 E(EISCONN),	  E(EMFILE),	 E(ENETDOWN),
	E(ENETUNREACH),	 E(ENFILE),	  E(ENOBUFS),	 E(ENOMEM),
	E(ENONET),	 E(ENOPROTOOPT),  E(ENOSPC),	 E(ENOTCONN),
	E(EOPNOTSUPP),	 E(EPERM),	  E(EPIPE),	 E(EPROTO),
	E(ESHUTDOWN),	 E(ETIMEDOUT),
};

int play_errno_of(const char *s)
{
	for (int i = 0; i < N_OF(errnos); i++)
		if (play_begins(s, errnos[i].name))
			return errnos[i].err;
	play_holds(false, "no errno");
	return 0;
}

/* What this end does. */
static void write_step(struct wire *w, const char *what)
{
	unsigned char *bytes;
	bool end;
	size_t n;

	if (!is_bytes(what, &n, &end)) {
		plait_transport_write(w->transport, what, strlen(what));
		return;
	}
	bytes = wire_bytes_from(w->written, n);
	plait_transport_write(w->transport, bytes, n);
	w->written += n;
	free(bytes);
}

/* In pieces of all sizes, copied and shared. */
static void mix(struct wire *w, const char *what)
{
	size_t n, at = 0, len;
	unsigned char *bytes;
	struct plait_buf *b;
	bool end;

	play_holds(is_bytes(what, &n, &end), "how many bytes?");
	bytes = wire_bytes(n);
	for (srand((unsigned)n); at < n; at += len) {
		len = (size_t)rand() % (rand() % 8 ? 3000 : 200000) + 1;
		if (len > n - at)
			len = n - at;
		if (rand() % 2) {
			plait_transport_write(w->transport, bytes + at, len);
		} else {
			b = plait_buf_copy(bytes + at, len);
			plait_transport_write_buf(w->transport, b);
			plait_buf_unref(&b);
		}
	}
	play_holds(plait_transport_pending(w->transport) == n, "not all");
	free(bytes);
}

static void share(struct wire *w, const char *text)
{
	struct plait_buf *b = plait_buf_copy(text, strlen(text));

	ck_assert_ptr_nonnull(b);
	plait_transport_write_buf(w->transport, b);
	plait_buf_unref(&b);
}

static void lose(struct wire *w, const char *half)
{
	if (strcmp(half, "write") == 0)
		plait_transport_lose_write_connection(w->transport);
	else
		plait_transport_lose_connection(w->transport);
}

static void abort_it(struct wire *w, const char *nothing)
{
	plait_transport_abort(w->transport);
}

static void pause_it(struct wire *w, const char *nothing)
{
	plait_transport_pause_reading(w->transport);
}

static void resume_it(struct wire *w, const char *nothing)
{
	plait_transport_resume_reading(w->transport);
}

static void produce(struct wire *w, const char *nothing)
{
	wire_produce(w, true);
}

static void pull(struct wire *w, const char *nothing)
{
	wire_produce(w, false);
}

static void produce_for_itself(struct wire *w, const char *nothing)
{
	struct plait_producer *p = plait_transport_producer(w->transport);

	ck_assert_int_eq(
		plait_transport_register_producer(w->transport, p, true), 0);
}

static void unregister(struct wire *w, const char *nothing)
{
	plait_transport_unregister_producer(w->transport);
}

static void holds_unread(struct wire *w, const char *nothing)
{
	w->protocol->unread = true;
}

static void has_read(struct wire *w, const char *nothing)
{
	w->protocol->unread = false;
}

static void check_bytes(struct wire *w, const char *nothing)
{
	w->on_data = wire_check_bytes;
}

static void work(struct wire *w, const char *ended)
{
	if (*ended == '\0')
		wire_work(w);
	else
		play_holds(w->ended == (strcmp(ended, "ended") == 0), "not so");
}

/* The peer. */
static void peer_sends(struct wire *w, size_t n)
{
	unsigned char *bytes = wire_bytes(n);

	play_holds(peer_send(reactor, w->peer, bytes, n), "%s",
		   strerror(errno));
	free(bytes);
}

static void peer_gets_bytes(struct wire *w, size_t n, bool and_end)
{
	unsigned char *bytes = wire_bytes_from(w->taken, n);
	unsigned char *got = malloc(n + 1);
	ssize_t came = and_end ? peer_read_to_eof(reactor, w->peer, got, n)
			       : peer_read(reactor, w->peer, got, n);

	play_holds(came == (ssize_t)n, "%zd bytes came", came);
	play_holds(memcmp(got, bytes, n) == 0, "they are others");
	w->taken += n;
	free(bytes);
	free(got);
}

static void peer_gets_text(struct wire *w, const char *text)
{
	char got[256] = "";
	ssize_t n = peer_read(reactor, w->peer, got, strlen(text));

	play_holds(n == (ssize_t)strlen(text) && strcmp(got, text) == 0,
		   "it got \"%s\", %zd", got, n);
}

static void peer_gets(struct wire *w, const char *what)
{
	bool end;
	size_t n;

	if (is_bytes(what, &n, &end))
		peer_gets_bytes(w, n, end);
	else if (strcmp(what, "end") == 0)
		peer_gets_bytes(w, 0, true);
	else if (strcmp(what, "reset") == 0)
		play_holds(peer_read(reactor, w->peer, NULL, SIZE_MAX / 2) ==
				   -ECONNRESET,
			   "an end");
	else
		peer_gets_text(w, what);
}

static void peer_has(struct wire *w, bool gone)
{
	play_holds(plait_transport_peer_has_closed(w->transport) == gone,
		   "not so");
}

static void peer_cannot_send(struct wire *w)
{
	play_holds(peer_read_to_eof(reactor, w->peer, NULL, 0) < 1, "it gets");
	errno = 0;
	while (send(w->peer, "x", 1, MSG_NOSIGNAL) == 1)
		;
	play_holds(errno == EPIPE || errno == ECONNRESET, "%s",
		   strerror(errno));
}

void play_peer(struct wire *w, const char *does)
{
	const char *what = strchr(does, ' ');
	bool end;
	size_t n;

	what = what != NULL ? what + 1 : "";
	if (play_begins(does, "says "))
		peer_say(w->peer, what);
	else if (play_begins(does, "sends ") && is_bytes(what, &n, &end))
		peer_sends(w, n);
	else if (play_begins(does, "gets "))
		peer_gets(w, what);
	else if (play_begins(does, "takes ") && is_bytes(what, &n, &end))
		play_holds(peer_read(NULL, w->peer, NULL, n) == (ssize_t)n,
			   "less");
	else if (strcmp(does, "cannot send") == 0)
		peer_cannot_send(w);
	else if (strcmp(does, "shuts") == 0)
		shutdown(w->peer, SHUT_WR);
	else if (strcmp(does, "closes") == 0)
		wire_hang_up(w);
	else if (strcmp(does, "resets") == 0)
		wire_reset(w);
	else if (play_begins(does, "is "))
		peer_has(w, strcmp(what, "gone") == 0);
	else
		play_holds(false, "no peer does that");
}

/* Time. */
static void turn(struct wire *w, const char *n)
{
	run_turns(reactor, *n == '\0' ? 1 : (unsigned)atoi(n));
}

static void wait_step(struct wire *w, const char *seconds)
{
	run_for(reactor, atof(seconds));
}

static void sleeps(struct wire *w, const char *seconds)
{
	double s = atof(seconds);

	clock_virtual(true);
	ck_assert_int_eq(plait_reactor_iterate(reactor, s), 0);
	play_holds(wait_timeout() >= 0.9 * s, "only %g", wait_timeout());
}

static unsigned long waits(void)
{
	return calls_of("epoll_wait") + calls_of("select");
}

/* Time passes, and the loop does not spin. */
static void quiet(struct wire *w, const char *seconds)
{
	unsigned long before = waits();

	run_for(reactor, atof(seconds));
	play_holds(waits() - before <= 3, "%lu waits", waits() - before);
}

static void until(struct wire *w, const char *what)
{
	unsigned n = (unsigned)atoi(what + strcspn(what, " "));

	run_until_count(reactor,
			play_begins(what, "lost") ? &w->lost : &w->calls, n);
}

static void real_time(struct wire *w, const char *nothing)
{
	clock_virtual(false);
}

static void run_and_stop(struct wire *w, const char *nothing)
{
	plait_call_when_running(reactor, call_stop, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
}

static void iterate_and_stop(struct wire *w, const char *nothing)
{
	plait_call_later(reactor, 0, call_stop, NULL);
	run_turns(reactor, 2);
}

static void virtual_time(struct wire *w, const char *nothing)
{
	clock_virtual(true);
}

/* The kernel and the allocator. */
static void script_call(const char *what, bool fails)
{
	char call[32] = "", how[32] = "", times[32] = "1";
	bool forever;

	sscanf(what, "%31s %31s %31s", call, how, times);
	forever = strcmp(times, "forever") == 0;
	if (fails && forever)
		fault_call_forever(call, play_errno_of(how));
	else if (fails)
		fault_call(call, strtoul(times, NULL, 10), play_errno_of(how));
	else if (forever)
		fault_short_forever(call, strtoul(how, NULL, 10));
	else
		fault_short(call, 1, strtoul(how, NULL, 10));
}

static void fail_call(struct wire *w, const char *what)
{
	script_call(what, true);
}

static void cut_short(struct wire *w, const char *what)
{
	script_call(what, false);
}

static void pass(struct wire *w, const char *what)
{
	char call[32] = "";
	unsigned long n = 1;

	sscanf(what, "%31s %lu", call, &n);
	fault_pass(call, n);
}

static void no_memory(struct wire *w, const char *nothing)
{
	fault_alloc_at(0, true);
}

static void memory(struct wire *w, const char *nothing)
{
	fault_alloc_off();
}

static void used(struct wire *w, const char *call)
{
	play_holds(fault_used(call), "it is not");
}

static void count(struct wire *w, const char *nothing)
{
	calls_reset();
}

/* What has come of it. */
/* "5", "<5" or ">5" */
void play_is_number(size_t n, const char *expected)
{
	const char *end, *digits = expected + strspn(expected, "<>");
	size_t than = number(digits, &end);

	play_holds(*expected == '<'   ? n < than
		   : *expected == '>' ? n > than
				      : n == than,
		   "it is %zu", n);
}

static void calls(struct wire *w, const char *what)
{
	char call[32] = "", n[16] = "";

	sscanf(what, "%31s %15s", call, n);
	play_is_number(calls_of(call), n);
}

void play_text_is(const char *text, const char *expected)
{
	const char *gap = strstr(expected, "...");
	const char *rest = gap != NULL ? gap + 3 : "";
	size_t n = strlen(text), begin = 0, end = strlen(rest);

	if (strcmp(expected, "-") == 0)
		expected = "";
	begin = gap != NULL ? (size_t)(gap - expected) : n + 1;
	play_holds(gap == NULL ? strcmp(text, expected) == 0
			       : n >= begin + end &&
					 strncmp(text, expected, begin) == 0 &&
					 strcmp(text + n - end, rest) == 0,
		   "it is \"%s\"", text);
}

static void trace_step(struct wire *w, const char *expected)
{
	play_text_is(w->trace, expected);
}

static void text_step(struct wire *w, const char *expected)
{
	play_text_is(w->text, expected);
}

static void why(struct wire *w, const char *expected)
{
	play_text_is(w->why, expected);
}

static void errno_step(struct wire *w, const char *name)
{
	play_holds(w->err == play_errno_of(name), "it is %s", strerror(w->err));
}

static void lost(struct wire *w, const char *times)
{
	if (*times == '\0')
		wire_wait_lost(w);
	else
		play_is_number(w->lost, times);
}

static void done(struct wire *w, const char *times)
{
	play_is_number(w->done, times);
}

static void received(struct wire *w, const char *n)
{
	play_is_number(w->received, n);
}

static void reads(struct wire *w, const char *n)
{
	play_is_number(w->calls, n);
}

static void unsent(struct wire *w, const char *n)
{
	play_is_number(plait_transport_pending(w->transport), n);
}

static void is(struct wire *w, const char *what)
{
	play_holds(plait_transport_is_disconnecting(w->transport) ==
			   (strcmp(what, "closing") == 0),
		   "not so");
}

static void producer(struct wire *w, const char *told)
{
	play_text_is(w->told, told);
}

static void end(struct wire *w, const char *nothing)
{
	wire_close(w);
}

/* A forked child has all descriptors. */
static void hold(struct wire *w, const char *nothing)
{
	w->child = child_hold();
}

static void let_go(struct wire *w, const char *nothing)
{
	child_let_go(w->child);
}

/* The beginning, and the end of all. */
static void free_reactor(struct wire *w, const char *nothing)
{
	plait_reactor_free(&reactor);
}

static void half_closeable(struct wire *w, const char *nothing)
{
	w->half_closeable = true;
}

static void pair(struct wire *w, const char *nothing)
{
	w->unix_pair = true;
}

static void open_step(struct wire *w, const char *nothing)
{
	play_holds(wire_open(w, reactor), "%s", strerror(errno));
}

static void limit(struct wire *w, const char *what)
{
	double n = atof(what + strcspn(what, " "));
	size_t size = n >= 1e18 ? SIZE_MAX : (size_t)n;

	if (play_begins(what, "close_timeout "))
		w->limits.close_timeout = n;
	else if (play_begins(what, "linger_timeout "))
		w->limits.linger_timeout = n;
	else if (play_begins(what, "linger_bytes "))
		w->limits.linger_bytes = size;
	else if (play_begins(what, "max_unsent "))
		w->limits.max_unsent = size;
	else
		play_holds(false, "no such limit");
	plait_reactor_set_limits(reactor, &w->limits);
}

static const struct play_verb verbs[] = {
	{ "abort", abort_it },
	{ "calls", calls },
	{ "check-bytes", check_bytes },
	{ "count", count },
	{ "done", done },
	{ "end", end },
	{ "errno", errno_step },
	{ "fail", fail_call },
	{ "free-reactor", free_reactor },
	{ "half-closeable", half_closeable },
	{ "has-read", has_read },
	{ "hold", hold },
	{ "holds-unread", holds_unread },
	{ "is", is },
	{ "iterate-and-stop", iterate_and_stop },
	{ "let-go", let_go },
	{ "limit", limit },
	{ "lose", lose },
	{ "lost", lost },
	{ "memory", memory },
	{ "mix", mix },
	{ "no-memory", no_memory },
	{ "open", open_step },
	{ "pair", pair },
	{ "pass", pass },
	{ "pause", pause_it },
	{ "peer", play_peer },
	{ "produce", produce },
	{ "produce-for-itself", produce_for_itself },
	{ "producer", producer },
	{ "pull", pull },
	{ "quiet", quiet },
	{ "reads", reads },
	{ "real-time", real_time },
	{ "received", received },
	{ "resume", resume_it },
	{ "run-and-stop", run_and_stop },
	{ "share", share },
	{ "short", cut_short },
	{ "sleeps", sleeps },
	{ "text", text_step },
	{ "trace", trace_step },
	{ "turn", turn },
	{ "unregister", unregister },
	{ "unsent", unsent },
	{ "until", until },
	{ "used", used },
	{ "virtual", virtual_time },
	{ "wait", wait_step },
	{ "why", why },
	{ "work", work },
	{ "write", write_step },
	{ NULL, NULL },
};

void play_words(const struct play_verb *own, void (*at_the_end)(void))
{
	own_verbs = own;
	own_end = at_the_end;
}

void play_end(void)
{
	is_over = true;
}

static bool run_verb(const struct play_verb *v, struct wire *w,
		     const char *name, const char *rest)
{
	while (v != NULL && v->name != NULL && strcmp(v->name, name) != 0)
		v++;
	if (v == NULL || v->name == NULL)
		return false;
	v->run(w, rest);
	return true;
}

/* A verb, and after the first blank what it is to do that with. */
static void run_step(struct wire *w, char *step)
{
	char *rest = step + strcspn(step, " ");

	if (*rest != '\0')
		*rest++ = '\0';
	play_name = step;
	if (play_block != NULL && step[1] == '\0')
		w->plays[(unsigned char)*step] = play_block;
	else if (!run_verb(own_verbs, w, step, rest) &&
		 !run_verb(verbs, w, step, rest))
		play_holds(false, "no such step");
}

static const char *behind_block(const char *s)
{
	for (int depth = 1; depth > 0; s++) {
		play_holds(*s != '\0', "no }");
		depth += (*s == '{') - (*s == '}');
	}
	return s;
}

/* Cuts the step off at s, and its { block }; returns what is behind. */
static const char *next_step(const char *s, char *step, size_t size)
{
	size_t len = strcspn(s, ";{}");
	const char *end = s + len;

	ck_assert_uint_lt(len, size);
	play_block = NULL;
	if (*end == '{') {
		play_block = end + 1;
		end = behind_block(play_block);
	}
	while (len > 0 && s[len - 1] == ' ')
		len--;
	memcpy(step, s, len);
	step[len] = '\0';
	return end;
}

void play(struct wire *w, const char *story)
{
	const char *s = story, *before = now;
	char step[256];

	while (!is_over && *(s += strspn(s, " ;")) != '\0' && *s != '}') {
		now = s;
		s = next_step(s, step, sizeof(step));
		run_step(w, step);
	}
	now = before;
}

void play_story(struct wire *w, const char *story)
{
	is_over = false;
	play(w, story);
	wire_hang_up(w);
	if (own_end != NULL)
		own_end();
}
