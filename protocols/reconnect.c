/*
 * Connecting again.
 *
 * Either nothing is going on, or an attempt or connection of `connector' is,
 * or its timer runs: a new attempt stops the timer, and the end of one starts
 * it.  Once stopped is set nothing starts it any more, whatever is still to be
 * told of the attempt that was given up.
 *
 * While there is a connection, the same timer says that the connection has
 * lived for min_uptime.
 */
#include <plait/reconnect.h>

static void reconnect_forget(struct plait_reconnecting_factory *f)
{
	plait_timer_stop(&f->timer);
	plait_connector_unref(&f->connector);
}

static void reconnect_remember(struct plait_reconnecting_factory *f,
			       struct plait_connector *c)
{
	plait_connector_ref(c);
	reconnect_forget(f);
	f->connector = c;
}

static void connect_again(void *arg)
{
	struct plait_reconnecting_factory *f = arg;

	plait_connector_connect(f->connector);
}

static bool may_retry(struct plait_reconnecting_factory *f)
{
	if (f->stopped)
		return false;
	if (f->max_retries > 0 && f->retries >= f->max_retries)
		return false;
	f->retries++;
	return true;
}

static void reconnect_retry(struct plait_reconnecting_factory *f,
			    struct plait_connector *c)
{
	struct plait_reactor *r;

	if (c == NULL || !may_retry(f)) {
		reconnect_forget(f);
		return;
	}
	reconnect_remember(f, c);
	r = plait_connector_reactor(c);
	f->wait = plait_backoff_next(&f->backoff, r);
	plait_timer_start(r, &f->timer, f->wait, connect_again, f);
}

static void reconnect_is_of_use(void *arg)
{
	struct plait_reconnecting_factory *f = arg;

	plait_backoff_reset(&f->backoff);
	f->retries = 0;
	if (plait_connector_state(f->connector) == PLAIT_CONNECTOR_CONNECTED)
		reconnect_forget(f);
}

void plait_reconnecting_factory_reset_delay(
	struct plait_reconnecting_factory *f)
{
	if (plait_connector_state(f->connector) != PLAIT_CONNECTOR_CONNECTED ||
	    !(f->backoff.min_uptime > 0)) {
		reconnect_is_of_use(f);
		return;
	}
	f->wait = 0;
	plait_timer_start(plait_connector_reactor(f->connector), &f->timer,
			  f->backoff.min_uptime, reconnect_is_of_use, f);
}

void plait_reconnecting_factory_stop_trying(
	struct plait_reconnecting_factory *f)
{
	f->stopped = true;
	plait_connector_stop_connecting(f->connector);
	reconnect_forget(f);
}

void plait_reconnecting_factory_start_trying(
	struct plait_reconnecting_factory *f)
{
	f->stopped = false;
	plait_reconnecting_factory_reset_delay(f);
}

double
plait_reconnecting_factory_delay(const struct plait_reconnecting_factory *f)
{
	return plait_timer_is_running(&f->timer) ? f->wait : 0;
}

void plait_reconnecting_factory_started_connecting(struct plait_factory *base,
						   struct plait_connector *c)
{
	struct plait_reconnecting_factory *f =
		plait_self(base, struct plait_reconnecting_factory);

	if (!f->stopped)
		reconnect_remember(f, c);
}

void plait_reconnecting_factory_connection_failed(
	struct plait_factory *base, struct plait_connector *c,
	const struct plait_failure *why)
{
	reconnect_retry(plait_self(base, struct plait_reconnecting_factory), c);
}

void plait_reconnecting_factory_connection_lost(struct plait_factory *base,
						struct plait_connector *c,
						const struct plait_failure *why)
{
	reconnect_retry(plait_self(base, struct plait_reconnecting_factory), c);
}
