/*
 * Stories of a connection: see story.h.
 */
#include <stdio.h>
#include <sys/socket.h>

#include "tests/child.h"
#include "tests/story.h"

static struct wire *w; /* whose story it is */

/* What this end does. */
static void write_step(void)
{
	unsigned char *bytes;
	const char *text;
	size_t n;

	if (!play_bytes(&n)) {
		text = play_text();
		plait_transport_write(w->transport, text, strlen(text));
		return;
	}
	bytes = wire_bytes_from(w->written, n);
	plait_transport_write(w->transport, bytes, n);
	w->written += n;
	free(bytes);
}

/* In pieces of all sizes, copied and shared. */
static void mix(void)
{
	size_t n, at = 0, len;
	unsigned char *bytes;
	struct plait_buf *b;

	play_holds(play_bytes(&n), "how many bytes?");
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
	play_holds(plait_transport_unsent(w->transport) == n, "not all");
	free(bytes);
}

static void share(void)
{
	const char *text = play_text();
	struct plait_buf *b = plait_buf_copy(text, strlen(text));

	ck_assert_ptr_nonnull(b);
	plait_transport_write_buf(w->transport, b);
	plait_buf_unref(&b);
}

static void lose(void)
{
	if (play_mark("write"))
		plait_transport_lose_write_connection(w->transport);
	else
		plait_transport_lose_connection(w->transport);
}

static void abort_it(void)
{
	plait_transport_abort_connection(w->transport);
}

static void pause_it(void)
{
	plait_transport_pause_reading(w->transport);
}

static void resume_it(void)
{
	plait_transport_resume_reading(w->transport);
}

static void produce(void)
{
	wire_produce(w, true);
}

static void pull(void)
{
	wire_produce(w, false);
}

static void produce_for_itself(void)
{
	struct plait_producer *p = plait_transport_producer(w->transport);

	ck_assert_int_eq(
		plait_transport_register_producer(w->transport, p, true), 0);
}

static void unregister(void)
{
	plait_transport_unregister_producer(w->transport);
}

static void holds_unread(void)
{
	w->protocol->unread = true;
}

static void has_read(void)
{
	w->protocol->unread = false;
}

static void check_bytes(void)
{
	w->on_data = wire_check_bytes;
}

static void work(void)
{
	if (play_more())
		play_holds(w->ended == play_either("ended", "goes-on"),
			   "not so");
	else
		wire_work(w);
}

/* The peer. */
static void peer_says(void)
{
	peer_say(w->peer, play_text());
}

static void peer_sends(void)
{
	unsigned char *bytes;
	size_t n;

	play_holds(play_bytes(&n), "how many bytes?");
	bytes = wire_bytes(n);
	play_holds(peer_send(reactor, w->peer, bytes, n), "%s",
		   strerror(errno));
	free(bytes);
}

static void peer_gets_bytes(size_t n, bool and_end)
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

static void peer_gets_text(const char *text)
{
	char got[256] = "";
	ssize_t n = peer_read(reactor, w->peer, got, strlen(text));

	play_holds(n == (ssize_t)strlen(text) && strcmp(got, text) == 0,
		   "it got \"%s\", %zd", got, n);
}

static void peer_gets(void)
{
	const char *text;
	size_t n;

	if (play_bytes(&n)) {
		peer_gets_bytes(n, play_mark(", end"));
		return;
	}
	text = play_text();
	if (strcmp(text, "end") == 0)
		peer_gets_bytes(0, true);
	else if (strcmp(text, "reset") == 0)
		play_holds(peer_read(reactor, w->peer, NULL, SIZE_MAX / 2) ==
				   -ECONNRESET,
			   "an end");
	else
		peer_gets_text(text);
}

static void peer_takes(void)
{
	size_t n;

	play_holds(play_bytes(&n), "how many bytes?");
	play_holds(peer_read(NULL, w->peer, NULL, n) == (ssize_t)n, "less");
}

static void peer_is(void)
{
	play_holds(plait_transport_peer_has_closed(w->transport) ==
			   play_either("gone", "there"),
		   "not so");
}

static void peer_cannot_send(void)
{
	play_holds(peer_read_to_eof(reactor, w->peer, NULL, 0) < 1, "it gets");
	errno = 0;
	while (peer_send_some(w->peer, "x", 1) == 1)
		;
	play_holds(errno == EPIPE || errno == ECONNRESET, "%s",
		   strerror(errno));
}

static void peer_shuts(void)
{
	peer_shut(w->peer);
}

static void peer_closes(void)
{
	wire_hang_up(w);
}

static void peer_resets(void)
{
	wire_reset(w);
}

static const struct play_verb peer_verbs[] = {
	{ "cannot-send", peer_cannot_send },
	{ "closes", peer_closes },
	{ "gets", peer_gets },
	{ "is", peer_is },
	{ "resets", peer_resets },
	{ "says", peer_says },
	{ "sends", peer_sends },
	{ "shuts", peer_shuts },
	{ "takes", peer_takes },
	{ NULL, NULL },
};

void story_peer(struct wire *wire)
{
	struct wire *before = w;

	w = wire;
	play_holds(play_act(peer_verbs), "no peer does that");
	w = before;
}

static void peer(void)
{
	story_peer(w);
}

/* Time. */
static void turn(void)
{
	run_turns(reactor, (unsigned)play_count(1));
}

static void wait_step(void)
{
	run_for(reactor, play_number());
}

static void sleeps(void)
{
	double s = play_number();

	clock_virtual(true);
	ck_assert_int_eq(plait_reactor_iterate(reactor, s), 0);
	play_holds(wait_timeout() >= 0.9 * s, "only %g", wait_timeout());
}

static unsigned long waits(void)
{
	return calls_of("epoll_wait") + calls_of("select");
}

/* Time passes, and the loop does not spin. */
static void quiet(void)
{
	unsigned long before = waits();

	run_for(reactor, play_number());
	play_holds(waits() - before <= 3, "%lu waits", waits() - before);
}

static void until(void)
{
	const unsigned *n = play_either("lost", "reads") ? &w->lost : &w->calls;

	run_until_count(reactor, n, (unsigned)play_number());
}

static void real_time(void)
{
	clock_virtual(false);
}

static void run_and_stop(void)
{
	plait_call_when_running(reactor, call_stop, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
}

static void iterate_and_stop(void)
{
	plait_call_later(reactor, 0, call_stop, NULL);
	run_turns(reactor, 2);
}

static void virtual_time(void)
{
	clock_virtual(true);
}

static void epoll_only(void)
{
	if (strcmp(backend, "epoll") != 0)
		play_no_further();
}

/* The kernel and the allocator. */
static const char *system_call(void)
{
	const char *name = play_word();

	if (strcmp(name, "wait") != 0)
		return name;
	return strcmp(backend, "select") == 0 ? "select" : "epoll_wait";
}

static void fail_call(void)
{
	const char *call = system_call();
	int err = play_errno();

	if (play_mark("forever"))
		fault_call_forever(call, err);
	else
		fault_call(call, play_count(1), err);
}

static void cut_short(void)
{
	const char *call = system_call();
	size_t n = (size_t)play_number();

	if (play_mark("forever"))
		fault_short_forever(call, n);
	else
		fault_short(call, 1, n);
}

static void pass(void)
{
	const char *call = system_call();

	fault_pass(call, play_count(1));
}

static void faults_off(void)
{
	fault_off();
}

static void no_memory(void)
{
	fault_alloc_at(0, true);
}

static void memory(void)
{
	fault_alloc_off();
}

static void used(void)
{
	play_holds(fault_used(play_word()), "it is not");
}

static void count(void)
{
	calls_reset();
}

/* What has come of it. */
static void calls(void)
{
	play_number_is(calls_of(system_call()));
}

static void trace_step(void)
{
	play_text_is(w->trace, play_text());
}

static void text_step(void)
{
	play_text_is(w->text, play_text());
}

static void why(void)
{
	play_text_is(w->why, play_text());
}

static void errno_step(void)
{
	play_holds(w->err == play_errno(), "it is %s", strerror(w->err));
}

static void lost(void)
{
	if (play_more())
		play_number_is(w->lost);
	else
		wire_wait_lost(w);
}

static void done(void)
{
	play_number_is(w->done);
}

static void received(void)
{
	play_number_is(w->received);
}

static void reads(void)
{
	play_number_is(w->calls);
}

static void unsent(void)
{
	play_number_is(plait_transport_unsent(w->transport));
}

static void is(void)
{
	play_holds(plait_transport_is_disconnecting(w->transport) ==
			   play_either("closing", "open"),
		   "not so");
}

static void producer(void)
{
	play_text_is(w->told, play_text());
}

static void end(void)
{
	wire_close(w);
}

/* A forked child has all descriptors. */
static void hold(void)
{
	w->child = child_hold();
}

static void let_go(void)
{
	child_let_go(w->child);
}

static void child(void)
{
	const char *steps = play_block();
	pid_t pid;

	play_holds(steps != NULL, "no {");
	pid = fork();
	if (pid == 0) {
		play(w, steps);
		child_leave(0);
	}
	child_ends(pid);
}

/* The beginning, and the end of all. */
static void free_reactor(void)
{
	plait_reactor_free(&reactor);
}

static void half_closeable(void)
{
	w->half_closeable = true;
}

static void pair(void)
{
	w->unix_pair = true;
}

static void open_step(void)
{
	play_holds(wire_open(w, reactor), "%s", strerror(errno));
}

static void limit(void)
{
	const char *which = play_word();
	double n = play_number();
	size_t size = n >= 1e18 ? SIZE_MAX : (size_t)n;

	if (strcmp(which, "close_timeout") == 0)
		w->limits.close_timeout = n;
	else if (strcmp(which, "linger_timeout") == 0)
		w->limits.linger_timeout = n;
	else if (strcmp(which, "linger_bytes") == 0)
		w->limits.linger_bytes = size;
	else if (strcmp(which, "max_unsent") == 0)
		w->limits.max_unsent = size;
	else
		play_holds(false, "no such limit");
	plait_reactor_set_limits(reactor, &w->limits);
}

/* On a letter of the trace. */
static void on_event(void)
{
	const char *steps = play_block();

	play_holds(steps != NULL, "no {");
	w->plays[(unsigned char)*play_name] = steps;
}

static const struct play_verb verbs[] = {
	{ "D", on_event },
	{ "E", on_event },
	{ "L", on_event },
	{ "M", on_event },
	{ "R", on_event },
	{ "W", on_event },
	{ "abort", abort_it },
	{ "calls", calls },
	{ "check-bytes", check_bytes },
	{ "child", child },
	{ "count", count },
	{ "done", done },
	{ "end", end },
	{ "errno", errno_step },
	{ "epoll-only", epoll_only },
	{ "fail", fail_call },
	{ "faults-off", faults_off },
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
	{ "peer", peer },
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

struct wire *story_wire(void)
{
	return w;
}

void play(struct wire *wire, const char *steps)
{
	struct wire *before = w;

	w = wire;
	play_steps(verbs, steps);
	w = before;
}

void story_play(struct wire *wire, const char *story)
{
	play_begin();
	play(wire, story);
	wire_hang_up(wire);
	play_end();
}
