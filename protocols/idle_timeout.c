/*
 * Idle timeouts.  A reset only notes the time.  When the timer runs, and there
 * was a reset meanwhile, it is started again for the time that is left.  So the
 * timer is started once a period, however much happens on the connection.
 */
#include <plait/idle_timeout.h>

static void run_out(void *arg);

static struct plait_reactor *
timeout_reactor_of(const struct plait_idle_timeout *t)
{
	return plait_transport_reactor(t->protocol->transport);
}

/* Until that many seconds have passed. */
static void timeout_wait_for(struct plait_idle_timeout *t, double seconds)
{
	t->armed = t->since;
	plait_timer_start(timeout_reactor_of(t), &t->timer, seconds, run_out,
			  t);
}

static void run_out(void *arg)
{
	struct plait_idle_timeout *t = arg;
	double rest = t->since + t->seconds -
		      plait_reactor_seconds(timeout_reactor_of(t));

	if (t->since > t->armed && rest > 0)
		timeout_wait_for(t, rest);
	else if (t->timed_out != NULL)
		t->timed_out(t->protocol);
	else
		plait_transport_lose_connection(t->protocol->transport);
}

void plait_idle_timeout_start(struct plait_idle_timeout *t,
			      struct plait_protocol *p, double seconds)
{
	plait_assert(p->transport != NULL);
	t->protocol = p;
	t->seconds = seconds;
	t->since = plait_reactor_seconds(timeout_reactor_of(t));
	timeout_wait_for(t, seconds);
}

void plait_idle_timeout_reset(struct plait_idle_timeout *t)
{
	if (plait_timer_is_running(&t->timer))
		t->since = plait_reactor_seconds(timeout_reactor_of(t));
}

void plait_idle_timeout_stop(struct plait_idle_timeout *t)
{
	plait_timer_stop(&t->timer);
}
