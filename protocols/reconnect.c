/*
 * Connecting again.
 *
 * Either nothing is going on, or an attempt or connection of `connector' is,
 * or its timer runs: a new attempt stops the timer, and the end of one starts
 * it.  Once stopped is set nothing starts it any more, whatever is still to be
 * told of the attempt that was given up.
 *
 * The delay grows without its jitter, which is added to a copy: so neither can
 * a run of small random numbers bring it near zero, nor a run of large ones
 * above the maximum.
 */
#include <plait/reconnect.h>

static double positive_or(double value, double otherwise)
{
	return value > 0 ? value : otherwise;
}

static double smaller_delay(double a, double b)
{
	return a < b ? a : b;
}

/* In force; a delay of more than thirty years is as good as any longer one. */
static double max_delay(const struct plait_reconnecting_factory *f)
{
	return smaller_delay(positive_or(f->max_delay, 3600), 1e9);
}

/* Of the address, for factories that begin in the same moment, and the time. */
static uint64_t reconnect_seed(const struct plait_reconnecting_factory *f)
{
	double now =
		plait_reactor_seconds(plait_connector_reactor(f->connector));

	return (uint64_t)(uintptr_t)f ^ (uint64_t)(now * 1e9);
}

/*
 * Evenly from 0 to 1, by splitmix64: any seed is as good as any other.
 * Different in every factory, so that the clients of a server that went away
 * do not all come back at once.
 */
static double reconnect_draw(struct plait_reconnecting_factory *f)
{
	uint64_t z;

	if (f->random == 0)
		f->random = reconnect_seed(f);
	z = f->random += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (double)((z ^ z >> 31) >> 11) / 9007199254740992.0;
}

/* Normally distributed, as near as the sum of twelve comes to it: -6 to 6. */
static double draw_normal(struct plait_reconnecting_factory *f)
{
	double sum = -6;
	int i;

	for (i = 0; i < 12; i++)
		sum += reconnect_draw(f);
	return sum;
}

/*
 * What would lie beyond the maximum, or before now, is folded back: heaped
 * upon the border, it would let many clients come at once.
 */
static double with_jitter(struct plait_reconnecting_factory *f, double delay)
{
	double share = f->jitter != 0 ? f->jitter : 0.119626565582;
	double max = max_delay(f);

	if (share > 0)
		delay += delay * smaller_delay(share, 1) * draw_normal(f);
	while (delay < 0 || delay > max)
		delay = delay < 0 ? -delay : 2 * max - delay;
	return delay;
}

static double next_delay(const struct plait_reconnecting_factory *f)
{
	double last =
		f->delay > 0 ? f->delay : positive_or(f->initial_delay, 1);

	return smaller_delay(last * positive_or(f->factor, 2.7182818284590451),
			     max_delay(f));
}

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
	if (c == NULL || !may_retry(f)) {
		reconnect_forget(f);
		return;
	}
	reconnect_remember(f, c);
	f->delay = next_delay(f);
	f->wait = with_jitter(f, f->delay);
	plait_timer_start(plait_connector_reactor(c), &f->timer, f->wait,
			  connect_again, f);
}

void plait_reconnecting_factory_reset_delay(
	struct plait_reconnecting_factory *f)
{
	f->delay = 0;
	f->retries = 0;
	if (plait_connector_state(f->connector) == PLAIT_CONNECTOR_CONNECTED)
		reconnect_forget(f);
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
