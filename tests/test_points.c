/*
 * Cancel points of everything that returns a deferred: each starter, Twisted's
 * history, the poetry proxy, and compositions of starters, ended at each of
 * their points in each way, on a testing reactor, on a simulated network, and
 * on sockets.
 *
 * $PLAIT_SEEDS says how many compositions are tried; make check-long tries all
 * of them.  A failure names its seed.  The last test says how many points there
 * were.
 */
#include <stdio.h>
#include <sys/mman.h>

#include <plait/cancel_points.h>
#include <plait/simulation.h>
#include <plait/testing.h>

#include "tests/compositions.h"
#include "tests/harness.h"
#include "tests/history.h"
#include "tests/model.h"
#include "tests/proxy.h"

/* Of all tests, which are processes of their own. */
static struct {
	size_t scenarios, points, runs;
} * total;

__attribute__((constructor)) static void total_begins(void)
{
	total = mmap(NULL, sizeof(*total), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* ---- a scene as a scenario ----------------------------------------- */

enum world { TESTING, SOCKETS, SIMULATED };

struct subject {
	enum world world;
	struct scene *scene;
	const char *name;
	uint64_t seed;
	char wrong[400];   /* what was found in the last run */
	bool excuses;	   /* it may fail by itself */
	bool fires_late;   /* as struct starter says */
	bool ends_at_once; /* nothing that it waits for is pending then */
};

static void subject_note(struct subject *x, const char *why)
{
	if (why != NULL && x->wrong[0] == '\0')
		snprintf(x->wrong, sizeof(x->wrong), "%s", why);
}

static bool is_cancelled(const plait_value *result)
{
	return plait_value_is_failure(result) &&
	       plait_failure_check(plait_value_failure(result),
				   &plait_error_cancelled);
}

/* What it fails with by itself is not of interest; nor is its value. */
static plait_value subject_settled(plait_value *result, void *arg)
{
	struct subject *x = arg;

	if (x->excuses && plait_value_is_failure(result) &&
	    (!is_cancelled(result) || x->scene->starter->at_once))
		return PLAIT_NONE;
	return plait_value_take(result);
}

static struct plait_deferred *subject_start(struct plait_reactor *r, void *arg)
{
	struct subject *x = arg;

	subject_note(x, scene_stop(x->scene));
	return plait_deferred_add_both(scene_start(x->scene, r),
				       subject_settled, x);
}

static const char *subject_after(void *arg)
{
	struct subject *x = arg;

	subject_note(x, scene_stop(x->scene));
	return x->wrong[0] != '\0' ? x->wrong : NULL;
}

static struct plait_reactor *open_backend(void *arg)
{
	return plait_reactor_new(backend);
}

static void close_backend(struct plait_reactor *r, void *arg)
{
	plait_reactor_free(&r);
}

/*
 * A simulated network of two hosts, the second of which cannot be reached. With
 * every other seed the kernel does what kernels may: it moves less than it
 * could, is interrupted, and wakes for nothing.
 */
static struct plait_simulation *simulation;

static struct plait_reactor *open_simulation(void *arg)
{
	static const struct plait_host_faults small = {
		.short_read = 0.3,
		.short_write = 0.3,
		.interrupted = 0.1,
		.spurious = 0.1,
	};
	static const struct plait_link down = { .down = true };
	struct plait_simulation_options o = { .link.latency = 0.01 };
	const struct subject *x = arg;
	struct plait_host *here, *nowhere;

	if (x->seed % 2 == 1)
		o.faults = small;
	simulation = plait_simulation_new(x->seed, &o);
	here = plait_simulation_host(simulation, "here");
	nowhere = plait_simulation_host(simulation, "nowhere");
	plait_simulation_set_link(simulation, here, nowhere, &down);
	servers_on_host(here, nowhere);
	return plait_host_reactor(here);
}

static void close_simulation(struct plait_reactor *r, void *arg)
{
	plait_reactor_free(&r);
	plait_simulation_free(&simulation);
}

static struct plait_reactor *open_testing(void *arg)
{
	return plait_testing_reactor_new();
}

static const struct {
	plait_cancel_open *open;
	plait_cancel_close *close;
} worlds[] = {
	[TESTING] = { open_testing, NULL },
	[SOCKETS] = { open_backend, close_backend },
	[SIMULATED] = { open_simulation, close_simulation },
};

/* What a test of that kind runs on. */
static enum world this_world(void)
{
	if (model_is_on())
		return SIMULATED;
	return backend != NULL ? SOCKETS : TESTING;
}

static struct plait_cancel_check check_of(struct subject *x)
{
	const struct starter *s = x->scene->starter;

	return (struct plait_cancel_check){
		.start = subject_start,
		.after = subject_after,
		.open = worlds[x->world].open,
		.close = worlds[x->world].close,
		.arg = x,
		.answers = s->answers ? &plait_error_any : NULL,
		.accepts_value = s->answers,
		.ends_at_once = x->ends_at_once,
		.may_fire_late = x->fires_late,
	};
}

static void check_points(struct subject *x)
{
	struct plait_cancel_check check = check_of(x);
	struct plait_check_report report;

	ck_assert_msg(plait_check_cancel_points(&check, &report) > 0, "%s: %s",
		      x->name, report.text);
	total->scenarios++;
	total->points += report.points;
	total->runs += report.runs;
}

/* ---- the tests ----------------------------------------------------- */

static void points_begin(enum world world)
{
	clock_virtual(true);
	plait_reactor_free(&reactor);
	if (world == TESTING)
		servers_on_testing();
	if (world == SOCKETS)
		servers_on_sockets();
}

static void points_end(enum world world)
{
	if (world == SOCKETS)
		servers_gone();
}

static void check_starter(enum world world, const struct starter *s)
{
	struct scene scene = { .starter = s };
	struct subject x = { .world = world,
			     .scene = &scene,
			     .excuses = s->fails,
			     .ends_at_once = !s->goes_on && !s->others,
			     .fires_late = s->fires_late };
	char name[100];

	if ((s->needs_sockets && world == TESTING) ||
	    (s->has_threads && world == SOCKETS))
		return;
	snprintf(name, sizeof(name), "%s %s", s->name, s->state);
	x.name = name;
	points_begin(world);
	check_points(&x);
	points_end(world);
}

static void check_composition(enum world world, int seed)
{
	static struct composition c;
	struct subject x = { .world = world,
			     .scene = &c.scenes[0],
			     .seed = (uint64_t)seed,
			     .excuses = true };
	char name[4000];
	int n;

	points_begin(world);
	composition_make(&c, (uint64_t)seed);
	x.fires_late = c.fires_late;
	n = snprintf(name, sizeof(name), "seed %d: ", seed);
	composition_str(&c, name + n, sizeof(name) - (size_t)n);
	x.name = name;
	check_points(&x);
	points_end(world);
}

static int number_in(const char *variable, int otherwise)
{
	const char *n = getenv(variable);

	return n != NULL ? atoi(n) : otherwise;
}

static int first_seed(void)
{
	return number_in("PLAIT_SEED", 0);
}

static int last_seed(void)
{
	return number_in("PLAIT_SEED", number_in("PLAIT_SEEDS", 15) - 1);
}

GROUP("points", .timeout = 120);

TEST(every_function_ends_at_each_point_in_each_way, ON_EACH_REACTOR,
     TIMES(n_starters))
{
	check_starter(this_world(), &starters[_i]);
}

/* A cancel makes something else of it, unless it has fired or answers. */
TEST(every_function_can_be_stopped, PURE, TIMES(n_starters))
{
	const struct starter *s = &starters[_i];
	struct scene scene = { .starter = s };
	struct subject x = { .world = SIMULATED,
			     .scene = &scene,
			     .excuses = s->fails,
			     .fires_late = s->fires_late };
	struct plait_cancel_check check = check_of(&x);

	if (s->at_once || s->answers)
		return;
	points_begin(SIMULATED);
	ck_assert_msg(plait_check_is_cancellable(&check, NULL), "%s %s",
		      s->name, s->state);
}

TEST(what_went_wrong_in_twisted_ends_at_each_point, ON_EACH_REACTOR,
     TIMES(n_history))
{
	check_starter(this_world(), &history[_i]);
}

TEST(a_proxy_ends_at_each_point, ON_EACH_KERNEL)
{
	check_starter(this_world(), &proxy_starter);
	ck_assert_uint_eq(proxy_requests(), 0);
}

static const char *look_into_table(void *arg)
{
	const char *wrong = subject_after(arg);

	return wrong != NULL || proxy_requests() == 0
		       ? wrong
		       : "the table has a request";
}

static const struct {
	enum proxy_kind kind;
	const char *verdict;
} mistakes[] = {
	{ PROXY_FORGETS_A_TIMER, "timer that calls" },
	{ PROXY_LETS_GO, "connection with" },
	{ PROXY_KEEPS_A_REQUEST, "the table has a request" },
};

/* A second is less than the server takes. */
TEST(a_mistake_in_a_proxy_is_found, PURE, EACH_OF(mistakes))
{
	struct scene scene = { .starter = &proxy_starter };
	struct subject x = { .world = SIMULATED, .scene = &scene };
	struct plait_cancel_check check = check_of(&x);
	struct plait_check_report report;
	int saved = dup(2);

	points_begin(SIMULATED);
	proxy_kind = mistakes[_i].kind;
	check.after = look_into_table;
	check.grace = 0.1;
	check.how = PLAIT_CANCEL_CALL;
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
	ck_assert_uint_eq(plait_check_cancel_points(&check, &report), 0);
	dup2(saved, 2);
	close(saved);
	ck_assert_msg(strstr(report.text, mistakes[_i].verdict) != NULL, "%s",
		      report.text);
}

/* On sockets, where time is dear, every tenth. */
TEST(compositions_end_at_each_point_in_each_way, ON_EACH_REACTOR,
     FROM_TO(first_seed(), last_seed() + 1))
{
	if (this_world() != SOCKETS || _i % 10 == 0 ||
	    first_seed() == last_seed())
		check_composition(this_world(), _i);
}

TEST(there_are_points_enough, PURE)
{
	printf("%zu scenarios, %zu points, %zu runs\n", total->scenarios,
	       total->points, total->runs);
	if (last_seed() - first_seed() >= 399)
		ck_assert_uint_ge(total->points, 10000);
}
