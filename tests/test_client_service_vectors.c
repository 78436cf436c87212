/*
 * Client services against Twisted's.  tests/vectors/client_service.txt holds
 * random programs and what Twisted 22.4 made of them, recorded by
 * make_client_service.py beside it, which describes the format.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include <plait/client_service.h>
#include <plait/testing.h>

#include "tests/harness.h"
#include "tests/steps.h"

enum { MAX_WAITS = 32, N_PROGRAMS = 150 };

static struct plait_client_service *service;
static struct plait_transport *transport; /* NULL: no connection is open */
static int made;
static unsigned waits, stops, line_number;
static struct plait_deferred *pending[2 * MAX_WAITS];
static unsigned n_pending;
static char results[1000];

struct numbered {
	struct plait_protocol base;
	int number;
};

static void note_made(struct plait_protocol *p)
{
	ck_assert_ptr_null(transport);
	transport = p->transport;
	((struct numbered *)p)->number = ++made;
}

static void note_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	transport = NULL;
}

static const struct plait_protocol_ops client_ops = {
	.name = "client",
	.size = sizeof(struct numbered),
	.connection_made = note_made,
	.connection_lost = note_lost,
};

static void begin_program(void)
{
	static const struct plait_client_service_options o = {
		.backoff = { .factor = 2, .jitter = -1 },
		.timeout = INFINITY,
	};
	struct plait_endpoint *e;

	made = 0;
	waits = stops = n_pending = 0;
	reactor = plait_testing_reactor_new();
	ck_assert_int_eq(plait_endpoint_parse("tcp:127.0.0.1:7:timeout=99999",
					      &e, NULL, 0),
			 0);
	service = plait_client_service_new(reactor, e, &client_ops, NULL, &o);
	plait_endpoint_unref(&e);
}

static void end_program(void)
{
	plait_client_service_free(&service);
	while (n_pending > 0)
		plait_deferred_free(&pending[--n_pending]);
	if (transport != NULL)
		plait_testing_set_window(transport, SIZE_MAX);
	plait_testing_advance(reactor, 0);
	ck_assert_ptr_null(transport);
	plait_reactor_free(&reactor);
}

/* ---- results --------------------------------------------------------- */

static void add_result(const char *fmt, ...) PLAIT_PRINTF(1, 2);
static void add_result(const char *fmt, ...)
{
	size_t n = strlen(results);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(results + n, sizeof(results) - n, fmt, ap);
	va_end(ap);
}

static plait_value note_wait(plait_value *result, void *arg)
{
	unsigned n = (unsigned)(uintptr_t)arg;
	const struct plait_failure *f;

	if (!plait_value_is_failure(result)) {
		add_result(" w%u=%d", n,
			   ((const struct numbered *)
				    plait_value_borrowed_client(result))
				   ->number);
		return PLAIT_NONE;
	}
	f = plait_value_failure(result);
	if (!plait_failure_check(f, &plait_error_abandoned))
		add_result(" w%u=%s", n,
			   plait_failure_check(f, &plait_error_cancelled)
				   ? "cancelled"
				   : "refused");
	return PLAIT_NONE;
}

static plait_value note_stop(plait_value *result, void *arg)
{
	add_result(" s%u", (unsigned)(uintptr_t)arg);
	return PLAIT_NONE;
}

static void keep(struct plait_deferred *d, plait_callback *note, unsigned n)
{
	ck_assert_uint_lt(n, MAX_WAITS);
	pending[n_pending++] =
		plait_deferred_add_both(d, note, (void *)(uintptr_t)n);
}

/* ---- steps ------------------------------------------------------------ */

static void refuse(void)
{
	plait_value why = plait_fail(&plait_error_connection_refused, "no");

	plait_testing_refuse(plait_testing_connector(reactor),
			     plait_value_failure(&why));
	plait_value_free(&why);
}

static void lose(void)
{
	plait_value why = plait_connection_done();

	plait_testing_lose(transport, plait_value_failure(&why));
}

static void stick(void)
{
	plait_testing_set_window(transport, 0);
	plait_transport_write(transport, "x", 1);
}

static void do_step(const char *step, double number)
{
	if (strcmp(step, "start") == 0)
		plait_client_service_start(service);
	else if (strcmp(step, "stop") == 0)
		keep(plait_client_service_stop(service), note_stop, stops++);
	else if (strcmp(step, "wait") == 0)
		keep(plait_client_service_when_connected(service,
							 (unsigned)number),
		     note_wait, waits++);
	else if (strcmp(step, "accept") == 0)
		plait_testing_complete(plait_testing_connector(reactor));
	else if (strcmp(step, "refuse") == 0)
		refuse();
	else if (strcmp(step, "lose") == 0)
		lose();
	else if (strcmp(step, "stick") == 0)
		stick();
	else if (strcmp(step, "unstick") == 0)
		plait_testing_set_window(transport, SIZE_MAX);
	else if (strcmp(step, "advance") == 0)
		plait_testing_advance(reactor, number);
	else
		ck_abort_msg("line %u: what is %s?", line_number, step);
	plait_testing_advance(reactor, 0);
}

static char state_now(void)
{
	if (plait_testing_connector(reactor) != NULL)
		return 'c';
	return transport != NULL ? 'o' : '-';
}

/* STEP [NUMBER] > STATE RESULT... */
static void play_line(char *line)
{
	char *expected = strstr(line, " > "), step[16], got[1100];
	double number = 0;

	ck_assert_ptr_nonnull(expected);
	*expected = '\0';
	expected += 3;
	expected[strcspn(expected, "\n")] = '\0';
	ck_assert_int_ge(sscanf(line, "%15s %lf", step, &number), 1);
	results[0] = '\0';
	do_step(step, number);
	snprintf(got, sizeof(got), "%c%s", state_now(), results);
	ck_assert_msg(strcmp(got, expected) == 0,
		      "line %u: %s: Twisted \"%s\", plait \"%s\"", line_number,
		      line, expected, got);
}

TEST(random_programs_do_what_twisteds_do, PURE)
{
	FILE *f = fopen("tests/vectors/client_service.txt", "re");
	unsigned programs = 0;
	char line[1000];

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		line_number++;
		if (line[0] == '#')
			continue;
		if (line[0] != '\n') {
			play_line(line);
			continue;
		}
		if (programs++ > 0)
			end_program();
		begin_program();
	}
	end_program();
	fclose(f);
	ck_assert_uint_eq(programs, N_PROGRAMS);
}
