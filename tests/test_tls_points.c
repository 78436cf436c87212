/*
 * Handshakes, ended at each of their points in each way, on a simulated network
 * and on sockets; and with each allocation refused.
 */
#include <stdio.h>

#include <openssl/ssl.h>

#include <plait/cancel_points.h>

#include "tests/harness.h"
#include "tests/model.h"
#include "tests/tls_starters.h"

static struct plait_deferred *start(struct plait_reactor *r, void *arg)
{
	const struct tls_starter *s = arg;

	return s->start(r);
}

static const char *after(void *arg)
{
	tls_starter_stop();
	return NULL;
}

static struct plait_reactor *open_backend(void *arg)
{
	return plait_reactor_new(backend);
}

static void close_backend(struct plait_reactor *r, void *arg)
{
	plait_reactor_free(&r);
}

static void check(const struct tls_starter *s, bool on_sockets)
{
	struct plait_cancel_check c = { .start = start,
					.after = after,
					.arg = (void *)s };
	struct plait_check_report report;

	if (on_sockets) {
		c.open = open_backend;
		c.close = close_backend;
	}
	ck_assert_msg(plait_check_cancel_points(&c, &report) > 0, "%s %s: %s",
		      s->name, s->state, report.text);
	/* As many as a handshake has steps, at least. */
	ck_assert_uint_gt(report.points, 5);
}

GROUP("points", .setup = tls_starters_begin, .teardown = tls_starters_end,
      .timeout = 120);

TEST(a_handshake_ends_at_each_point_in_each_way, ON_EACH_KERNEL,
     TIMES(n_tls_starters))
{
	clock_virtual(true);
	plait_reactor_free(&reactor);
	check(&tls_starters[_i], !model_is_on());
}

/* ---- without memory ---------------------------------------------------------
 */

GROUP("torture", .setup = tls_starters_begin, .teardown = tls_starters_end,
      .timeout = 120);

static const struct tls_starter *tortured;
static bool has_settled, has_failed;

static plait_value settle(plait_value *result, void *arg)
{
	has_settled = true;
	has_failed = plait_value_is_failure(result);
	return PLAIT_NONE;
}

static void run_it(struct plait_reactor *r)
{
	struct plait_deferred *d;

	has_settled = has_failed = false;
	d = plait_deferred_add_both(tortured->start(r), settle, NULL);
	run_until_set(r, &has_settled);
	ck_assert(torture_faulty() || !has_failed);
	plait_deferred_free(&d);
	tls_starter_stop();
	run_for(r, 30);
}

TEST(a_handshake_survives_every_refused_allocation, ON_EACH_BACKEND,
     TIMES(n_tls_starters))
{
	tortured = &tls_starters[_i];
	torture(run_it, backend);
}
