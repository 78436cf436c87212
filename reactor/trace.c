/*
 * Recording what happens, and writing it down as Chrome trace JSON.
 *
 * A callback from the loop, and a cancel, are slices of the thread; what
 * happens in them are instants.  A deferred and a connection are spans of
 * their own, from being made to being fired, from opened to closed.  An arrow
 * starts in the slice of a cancel and ends where a connection that it made the
 * program close was closed; it is found while writing: the cause stands at
 * the closing, so each closed connection looks back for its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <plait/debug.h>

#include "lib/print.h"
#include "lib/trace.h"
#include "reactor/loop.h"

enum { DEFAULT_EVENTS = 65536 };

/* What an event becomes: its phase, as the format has it, and its name. */
struct shape {
	char phase;
	const char *name, *category;
};

static const struct shape shapes[] = {
	[TRACE_MADE] = { 'b', "deferred", "deferred" },
	[TRACE_FIRED] = { 'e', "deferred", "deferred" },
	[TRACE_WAITS] = { 'i', "waits", "deferred" },
	[TRACE_CANCEL] = { 'B', "cancel", "deferred" },
	[TRACE_CANCELLED] = { 'E', "cancel", "deferred" },
	[TRACE_ENTER] = { 'B', "callback", "loop" },
	[TRACE_LEAVE] = { 'E', "callback", "loop" },
	[TRACE_OPENED] = { 'b', "connection", "connection" },
	[TRACE_READ] = { 'i', "read", "connection" },
	[TRACE_WRITTEN] = { 'i', "written", "connection" },
	[TRACE_CLOSING] = { 'i', "closing", "connection" },
	[TRACE_CLOSED] = { 'e', "connection", "connection" },
};

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int plait_trace_start(size_t events)
{
	return trace_start(events != 0 ? events : DEFAULT_EVENTS, now);
}

void plait_trace_stop(void)
{
	trace_stop();
}

/* ---- writing it down ------------------------------------------------ */

/* The oldest event that is left, and the i-th after it. */
static uint64_t oldest(void)
{
	return trace_ring.count > trace_ring.room
		       ? trace_ring.count - trace_ring.room
		       : 0;
}

static const struct trace_event *event(uint64_t i)
{
	return &trace_ring.events[i % trace_ring.room];
}

/* Text as JSON has it: what could end or break a string is left out. */
static void print_text(struct print *p, const char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\')
			print(p, "%c", c);
	}
}

static void print_head(struct print *p, const struct trace_event *e, char phase,
		       const char *name, const char *category)
{
	print(p,
	      ",\n{\"ph\":\"%c\",\"name\":\"%s\",\"cat\":\"%s\",\"pid\":1,"
	      "\"tid\":1,\"ts\":%" PRId64 ".%03d",
	      phase, name, category, e->when / 1000, (int)(e->when % 1000));
}

static void print_args(struct print *p, const struct trace_event *e)
{
	print(p, ",\"args\":{\"object\":\"%p\"", e->object);
	if (e->other != NULL)
		print(p, ",\"other\":\"%p\"", e->other);
	if (e->n != 0)
		print(p, ",\"bytes\":%zu", e->n);
	if (e->cause != 0)
		print(p, ",\"cancel\":%" PRIu32, e->cause);
	if (e->text != NULL) {
		print(p, ",\"text\":\"");
		print_text(p, e->text);
		print(p, "\"");
	}
	print(p, "}}");
}

static void print_event(struct print *p, const struct trace_event *e)
{
	const struct shape *s = &shapes[e->kind];

	print_head(p, e, s->phase, s->name, s->category);
	if (s->phase == 'b' || s->phase == 'e')
		print(p, ",\"id\":\"%p\"", e->object);
	if (s->phase == 'i')
		print(p, ",\"s\":\"t\"");
	print_args(p, e);
}

/* One end of an arrow: 's' where it starts, 'f' where it ends. */
static void print_arrow(struct print *p, const struct trace_event *e,
			char phase, uint32_t cause)
{
	print_head(p, e, phase, "stops", "cancel");
	print(p, ",\"bp\":\"e\",\"id\":%" PRIu32 "}", cause);
}

/* The cancel that made the program close the connection that ends at i. */
static uint32_t cause_of_end(uint64_t i)
{
	const struct trace_event *end = event(i);

	while (i-- > oldest()) {
		const struct trace_event *e = event(i);

		if (e->object != end->object)
			continue;
		if (e->kind == TRACE_CLOSING && e->cause != 0)
			return e->cause;
		if (e->kind == TRACE_OPENED)
			break;
	}
	return 0;
}

/* An arrow must end in a slice, so a closed connection is one as well. */
static void print_end(struct print *p, uint64_t i)
{
	const struct trace_event *e = event(i);
	uint32_t cause = cause_of_end(i);

	print_head(p, e, 'X', "closed", "connection");
	print(p, ",\"dur\":1");
	print_args(p, e);
	if (cause != 0)
		print_arrow(p, e, 'f', cause);
}

static void print_all(struct print *p)
{
	print(p, "{\"traceEvents\":[\n{\"ph\":\"M\",\"name\":\"process_name\","
		 "\"pid\":1,\"args\":{\"name\":\"plait\"}}");
	for (uint64_t i = oldest(); i < trace_ring.count; i++) {
		const struct trace_event *e = event(i);

		print_event(p, e);
		if (e->kind == TRACE_CANCEL)
			print_arrow(p, e, 's', e->cause);
		if (e->kind == TRACE_CLOSED)
			print_end(p, i);
	}
	print(p, "\n]}\n");
}

static int write_all(int fd, const char *data, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_file(const char *path, const struct plait_buf *b)
{
	int fd, r;

	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return -errno;
	r = write_all(fd, plait_buf_data(b), plait_buf_size(b));
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

int plait_trace_dump(const char *path)
{
	struct print p = { .to = plait_buf_new(PLAIT_BUF_UNBOUNDED) };

	if (p.to == NULL)
		return -ENOMEM;
	if (trace_is_on())
		print_all(&p);
	else
		p.error = -EINVAL;
	if (p.error == 0)
		p.error = write_file(path, p.to);
	plait_buf_unref(&p.to);
	return p.error;
}

/* ---- asked for by the environment ------------------------------------ */

void loop_trace_start(void)
{
	if (getenv("PLAIT_TRACE") != NULL && !trace_is_on())
		plait_trace_start(0);
}

void loop_trace_end(bool forked)
{
	const char *path = getenv("PLAIT_TRACE");

	if (path != NULL && trace_is_on())
		plait_trace_dump(path);
}
