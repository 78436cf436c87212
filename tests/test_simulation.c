/*
 * The world of a simulation: time, hosts and their programs, links, chance.
 * What the sockets of its kernels do has tests of its own.
 */
#include <math.h>

#include <plait/chance.h>
#include <plait/simulation.h>

#include "tests/actor.h"
#include "tests/child.h"
#include "tests/harness.h"

enum { PORT = 7 };

static struct plait_simulation *sim;
static struct plait_host *alpha, *beta;

/* What happened when, to the microsecond: "a0 b1.5 ". */
static char story[256];

static void tell(const char *what)
{
	size_t len = strlen(story);

	snprintf(story + len, sizeof(story) - len, "%s%g ", what,
		 round(plait_simulation_seconds(sim) * 1e6) / 1e6);
}

static void tell_this(void *what)
{
	tell(what);
}

static const struct plait_simulation_options perfect;

static void begin_with(uint64_t seed,
		       const struct plait_simulation_options *options)
{
	story[0] = '\0';
	sim = plait_simulation_new(seed, options);
	alpha = plait_simulation_host(sim, "alpha");
	beta = plait_simulation_host(sim, "beta");
	ck_assert(sim != NULL && alpha != NULL && beta != NULL);
}

static void setup(void)
{
	begin_with(1, &perfect);
}

/* Each test ends with this: what it leaves then is a leak. */
static void end(void)
{
	plait_simulation_free(&sim);
	ck_assert_ptr_null(sim);
}

static plait_value for_ever(struct plait_reactor *r)
{
	struct plait_deferred *d = plait_defer_later(r, INFINITY, NULL, NULL);

	return plait_chain(&d);
}

/* ---- time ---------------------------------------------------------------- */

GROUP("time", .setup = setup);

static plait_value naps(struct plait_reactor *r, void *arg)
{
	struct plait_deferred *d;

	plait_call_later(r, 3, tell_this, (void *)"b");
	plait_call_later(r, 1.5, tell_this, (void *)"a");
	tell("main");
	d = plait_defer_later(r, 3600, NULL, NULL);
	return plait_chain(&d);
}

TEST(time_jumps_to_what_is_next, PURE)
{
	ck_assert_int_eq(plait_host_run(alpha, naps, NULL), 0);
	ck_assert_int_eq(plait_simulation_run(sim, 3), 0);
	ck_assert_str_eq(story, "main0 a1.5 b3 ");
	ck_assert_double_eq(plait_simulation_seconds(sim), 3);
	ck_assert_uint_eq(plait_host_programs(alpha), 1);
	plait_simulation_run(sim, 3597);
	ck_assert_uint_eq(plait_host_programs(alpha), 0);
	end();
}

TEST(a_run_ends_where_nothing_can_happen_any_more, PURE)
{
	plait_host_run(alpha, naps, NULL);
	ck_assert_int_eq(plait_simulation_run(sim, 1e6), -EDEADLK);
	ck_assert_double_eq(plait_simulation_seconds(sim), 3600);
	ck_assert_int_eq(plait_simulation_run(sim, INFINITY), -EDEADLK);
	ck_assert_double_eq(plait_simulation_seconds(sim), 3600);
	end();
}

static plait_value waits_for_ever(struct plait_reactor *r, void *arg)
{
	return for_ever(r);
}

TEST(an_infinite_time_never_comes, PURE)
{
	plait_host_run(alpha, waits_for_ever, NULL);
	ck_assert_int_eq(plait_simulation_run(sim, INFINITY), -EDEADLK);
	ck_assert_double_eq(plait_simulation_seconds(sim), 0);
	ck_assert_uint_eq(plait_host_programs(alpha), 1);
	end();
}

static void again(void *arg)
{
	plait_call_later(arg, 0, again, arg);
}

static plait_value spins(struct plait_reactor *r, void *arg)
{
	again(r);
	return for_ever(r);
}

TEST(what_goes_on_and_on_and_takes_no_time_is_a_loop, PURE)
{
	plait_host_run(alpha, spins, NULL);
	ck_assert_int_eq(plait_simulation_run(sim, 1), -ELOOP);
	ck_assert_double_eq(plait_simulation_seconds(sim), 0);
	end();
}

TEST(a_call_of_the_scenario_comes_at_its_time, PURE)
{
	plait_simulation_call_later(sim, 2, tell_this, (void *)"two");
	plait_simulation_call_later(sim, 1, tell_this, (void *)"one");
	plait_simulation_call_later(sim, 4, tell_this, (void *)"four");
	ck_assert_int_eq(plait_simulation_run(sim, 3), 0);
	ck_assert_str_eq(story, "one1 two2 ");
	end();
}

static int inside_run;

static void run_inside(void *arg)
{
	inside_run = plait_simulation_run(sim, 1);
}

TEST(a_run_cannot_be_run_inside_itself, PURE)
{
	plait_simulation_call_later(sim, 1, run_inside, NULL);
	plait_simulation_run(sim, 2);
	ck_assert_int_eq(inside_run, -EBUSY);
	end();
}

static plait_value busy(struct plait_reactor *r, void *arg)
{
	for (int i = 1; i <= 3; i++)
		plait_call_later(r, 0.001 * i, tell_this, (void *)"t");
	return for_ever(r);
}

TEST(a_turn_may_take_time, PURE)
{
	const struct plait_simulation_options slow = { .turn_time = 10 };

	plait_simulation_free(&sim);
	begin_with(1, &slow);
	plait_host_run(alpha, busy, NULL);
	plait_simulation_run(sim, 100);
	/* The timers came due in the first turn, and ran behind it. */
	ck_assert_ptr_nonnull(strstr(story, "t"));
	ck_assert_ptr_null(strstr(story, "t0.00"));
	end();
}

/* ---- programs ------------------------------------------------------------ */

GROUP("programs", .setup = setup);

static plait_value is_done(struct plait_reactor *r, void *arg)
{
	ck_assert(plait_reactor_is_running(r));
	ck_assert_ptr_eq(plait_simulation_of(r), sim);
	ck_assert_str_eq(plait_reactor_backend(r), "simulated");
	return PLAIT_NONE;
}

static plait_value exits_3(struct plait_reactor *r, void *arg)
{
	return plait_exit(3);
}

static plait_value fails(struct plait_reactor *r, void *arg)
{
	return plait_fail(&plait_error_timeout, "too slow");
}

static const struct {
	plait_react_main *main;
	int status;
} ends[] = { { is_done, 0 }, { exits_3, 3 }, { fails, 1 } };

TEST(a_program_ends_as_plait_react_does, PURE, EACH_OF(ends))
{
	ck_assert_int_eq(plait_host_status(alpha), -1);
	plait_host_run(alpha, ends[_i].main, NULL);
	ck_assert_int_eq(plait_simulation_run(sim, 1), -EDEADLK);
	ck_assert_int_eq(plait_host_status(alpha), ends[_i].status);
	ck_assert_uint_eq(plait_host_programs(alpha), 0);
	end();
}

TEST(hosts_are_found_by_their_names, PURE)
{
	ck_assert_ptr_eq(plait_simulation_host(sim, "alpha"), alpha);
	ck_assert_ptr_ne(alpha, beta);
	ck_assert_str_eq(plait_host_name(beta), "beta");
	ck_assert_str_eq(plait_host_address(alpha), "10.0.0.1");
	ck_assert_str_eq(plait_host_address(beta), "10.0.0.2");
	end();
}

static void stop_it(void *arg)
{
	plait_host_stop(arg);
}

TEST(a_program_may_be_asked_to_stop, PURE)
{
	plait_host_run(alpha, waits_for_ever, NULL);
	plait_host_run(alpha, waits_for_ever, NULL);
	plait_simulation_call_later(sim, 5, stop_it, alpha);
	ck_assert_int_eq(plait_simulation_run(sim, 10), -EDEADLK);
	ck_assert_uint_eq(plait_host_programs(alpha), 0);
	ck_assert_int_eq(plait_host_status(alpha), 0);
	end();
}

TEST(a_program_that_has_not_begun_stops_without_that, PURE)
{
	plait_host_run(alpha, naps, NULL);
	plait_host_stop(alpha);
	plait_simulation_run(sim, 10);
	ck_assert_uint_eq(plait_host_programs(alpha), 0);
	ck_assert_int_eq(plait_host_status(alpha), 0);
	ck_assert_str_eq(story, "");
	end();
}

static double shutdown_time;

static plait_value shuts_in_time(void *arg)
{
	struct plait_deferred *d =
		plait_defer_later(arg, shutdown_time, NULL, NULL);

	return plait_chain(&d);
}

static plait_value has_a_slow_end(struct plait_reactor *r, void *arg)
{
	plait_reactor_add_trigger(r, PLAIT_TRIGGER_BEFORE,
				  PLAIT_TRIGGER_SHUTDOWN, shuts_in_time, r,
				  NULL);
	return for_ever(r);
}

TEST(stopping_all_waits_a_minute, PURE, TIMES(2))
{
	shutdown_time = _i == 0 ? 30 : 90;
	plait_host_run(alpha, has_a_slow_end, NULL);
	plait_host_run(beta, waits_for_ever, NULL);
	plait_simulation_run(sim, 1);
	ck_assert_int_eq(plait_simulation_stop(sim), _i == 0 ? 0 : -ETIMEDOUT);
	ck_assert_double_eq(plait_simulation_seconds(sim), _i == 0 ? 30 : 60);
	ck_assert_uint_eq(plait_host_programs(alpha), 0);
	end();
}

TEST(what_still_runs_ends_with_the_simulation, PURE)
{
	plait_host_run(alpha, waits_for_ever, NULL);
	plait_host_run(beta, naps, NULL);
	plait_simulation_run(sim, 1);
	end();
}

/* ---- further reactors ---------------------------------------------------- */

GROUP("reactors", .setup = setup);

TEST(the_simulation_turns_further_reactors, PURE)
{
	struct plait_reactor *r = plait_host_reactor(alpha);

	plait_call_later(r, 2, tell_this, (void *)"a");
	plait_simulation_run(sim, 3);
	ck_assert_str_eq(story, "a2 ");
	plait_reactor_free(&r);
	end();
}

TEST(to_iterate_a_reactor_runs_the_simulation_meanwhile, PURE)
{
	struct plait_reactor *r = plait_host_reactor(alpha);

	plait_host_run(beta, naps, NULL);
	ck_assert_int_eq(plait_reactor_iterate(r, 2), 0);
	ck_assert_str_eq(story, "main0 a1.5 ");
	ck_assert_double_eq(plait_simulation_seconds(sim), 2);
	plait_reactor_free(&r);
	end();
}

TEST(to_run_a_reactor_runs_the_simulation_meanwhile, PURE)
{
	struct plait_reactor *r = plait_host_reactor(alpha);

	plait_host_run(beta, naps, NULL);
	plait_call_later(r, 2, call_stop, r);
	reactor = r;
	ck_assert_int_eq(plait_reactor_run(r), 0);
	ck_assert_str_eq(story, "main0 a1.5 ");
	ck_assert_double_eq(plait_simulation_seconds(sim), 2);
	plait_reactor_free(&reactor);
	end();
}

TEST(a_reactor_that_waits_for_nothing_ends_its_run, PURE)
{
	struct plait_reactor *r = plait_host_reactor(alpha);

	ck_assert_int_eq(plait_reactor_run(r), -EDEADLK);
	plait_reactor_free(&r);
	end();
}

static void iterate_it(void *arg)
{
	ck_assert_int_eq(plait_reactor_iterate(arg, 5), 0);
	tell("iterated");
}

static plait_value iterates_another(struct plait_reactor *r, void *arg)
{
	plait_call_later(r, 1, iterate_it, arg);
	return for_ever(r);
}

TEST(a_callback_may_iterate_another_reactor, PURE)
{
	struct plait_reactor *r = plait_host_reactor(alpha);

	plait_call_later(r, 3, tell_this, (void *)"call");
	plait_host_run(alpha, iterates_another, r);
	plait_host_run(beta, naps, NULL);
	plait_simulation_run(sim, 10);
	ck_assert_str_eq(story, "main0 a1.5 iterated3 b3 call3 ");
	plait_reactor_free(&r);
	end();
}

static void leave_one(void *arg)
{
	plait_host_reactor(alpha);
	plait_simulation_free(&sim);
}

TEST(a_reactor_that_is_left_over_aborts, PURE)
{
	assert_aborts(leave_one, NULL,
		      "a reactor of the host alpha was not freed");
	end();
}

TEST(other_reactors_belong_to_no_simulation, PURE)
{
	struct plait_reactor *r = plait_reactor_new(NULL);

	ck_assert_ptr_null(plait_simulation_of(r));
	plait_reactor_free(&r);
	end();
}

/* ---- signals ------------------------------------------------------------- */

GROUP("signals", .setup = setup);

static void hear_signal(struct plait_signal_watch *w, unsigned times)
{
	tell(times == 1 ? "s" : "S");
}

static const int not_watched[] = { 0, NSIG, SIGKILL, SIGSTOP };

static plait_value watch_hangups(struct plait_reactor *r, void *w)
{
	for (int i = 0; i < N_OF(not_watched); i++)
		ck_assert_int_eq(plait_signal_watch_start(r, w, not_watched[i],
							  hear_signal),
				 -EINVAL);
	ck_assert_int_eq(plait_signal_watch_start(r, w, SIGHUP, hear_signal),
			 0);
	return for_ever(r);
}

static void send_signal(void *number)
{
	ck_assert_int_eq(plait_host_signal(alpha, *(const int *)number), 0);
}

TEST(a_signal_is_told_to_those_who_watch_it, PURE)
{
	static const int hup = SIGHUP, term = SIGTERM;
	struct plait_signal_watch w = { .fn = NULL };
	struct sigaction before, now;

	ck_assert_int_eq(sigaction(SIGHUP, NULL, &before), 0);
	plait_host_run(alpha, watch_hangups, &w);
	plait_simulation_call_later(sim, 1, send_signal, (void *)&hup);
	plait_simulation_call_later(sim, 2, send_signal, (void *)&hup);
	plait_simulation_call_later(sim, 2, send_signal, (void *)&hup);
	plait_simulation_call_later(sim, 3, send_signal, (void *)&term);
	plait_simulation_run(sim, 10);
	ck_assert_str_eq(story, "s1 S2 ");
	ck_assert_uint_eq(plait_host_programs(alpha), 0);
	ck_assert_int_eq(plait_host_status(alpha), 0);
	/* This process has nothing to do with it. */
	ck_assert_int_eq(sigaction(SIGHUP, NULL, &now), 0);
	ck_assert_ptr_eq(now.sa_handler, before.sa_handler);
	end();
}

static const struct {
	int number;
	size_t left;
} unwatched[] = { { SIGTERM, 0 }, { SIGINT, 0 },  { SIGUSR1, 0 },
		  { SIGKILL, 0 }, { SIGCHLD, 1 }, { SIGCONT, 1 },
		  { SIGPIPE, 1 }, { SIGURG, 1 },  { SIGWINCH, 1 } };

TEST(a_signal_that_nobody_watches_does_what_it_does_by_default, PURE,
     EACH_OF(unwatched))
{
	struct plait_signal_watch w = { .fn = NULL };

	plait_host_run(alpha, watch_hangups, &w);
	plait_simulation_call_later(sim, 1, send_signal,
				    (void *)&unwatched[_i].number);
	plait_simulation_run(sim, 10);
	ck_assert_str_eq(story, "");
	ck_assert_uint_eq(plait_host_programs(alpha), unwatched[_i].left);
	ck_assert_int_eq(plait_host_signal(alpha, 0), -EINVAL);
	ck_assert_int_eq(plait_host_signal(alpha, NSIG), -EINVAL);
	ck_assert_int_eq(plait_simulation_stop(sim), 0);
	end();
}

/* ---- crash, kill, restart ------------------------------------------------ */

static struct actor server, client;

static plait_value serves(struct plait_reactor *r, void *arg)
{
	actor_init(&server);
	server.on_data = actor_echo;
	tell("serve");
	if (plait_listen_tcp(r, PORT, &server.base, NULL, NULL) < 0)
		return plait_exit(9);
	return for_ever(r);
}

static void say_hello(struct actor *a, struct plait_protocol *p)
{
	plait_transport_write(p->transport, "hello", 5);
}

static plait_value asks(struct plait_reactor *r, void *arg)
{
	actor_init(&client);
	client.on_made = say_hello;
	plait_connect_tcp(r, plait_host_address(alpha), PORT, &client.base,
			  NULL);
	return for_ever(r);
}

static void begin_talk(void)
{
	plait_host_run(alpha, serves, NULL);
	plait_simulation_run(sim, 1);
	plait_host_run(beta, asks, NULL);
	plait_simulation_run(sim, 1);
}

GROUP("crash", .setup = setup);

TEST(programs_talk, PURE)
{
	begin_talk();
	ck_assert_str_eq(client.text, "hello");
	ck_assert_uint_eq(server.open, 1);
	end();
}

TEST(the_sockets_of_a_host_can_be_seen, PURE)
{
	struct plait_buf *b = plait_buf_new(1000);

	begin_talk();
	ck_assert_int_eq(plait_host_netstat(alpha, b), 0);
	ck_assert_int_eq(plait_buf_append(b, "", 1), 0);
	ck_assert_str_eq((const char *)plait_buf_data(b),
			 "tcp 0 0 0.0.0.0:7 0.0.0.0:* LISTEN\n"
			 "tcp 0 0 10.0.0.1:7 10.0.0.2:59022 ESTABLISHED\n");
	plait_buf_unref(&b);
	end();
}

TEST(nobody_is_told_of_a_crash, PURE)
{
	begin_talk();
	plait_host_crash(alpha);
	ck_assert(!plait_host_is_up(alpha));
	ck_assert_uint_eq(plait_host_programs(alpha), 0);
	plait_simulation_run(sim, 10);
	ck_assert_uint_eq(client.open, 1);
	ck_assert_uint_eq(server.open, 0);
	ck_assert_int_eq(plait_host_run(alpha, serves, NULL), -EHOSTDOWN);
	end();
}

TEST(a_kill_is_told_by_the_kernel, PURE)
{
	begin_talk();
	plait_host_kill(alpha);
	ck_assert(plait_host_is_up(alpha));
	ck_assert_uint_eq(plait_host_programs(alpha), 0);
	plait_simulation_run(sim, 10);
	ck_assert_uint_eq(client.open, 0);
	ck_assert_int_eq(plait_host_run(alpha, serves, NULL), 0);
	end();
}

TEST(a_restart_runs_all_programs_from_their_beginning, PURE)
{
	begin_talk();
	ck_assert_int_eq(plait_host_restart(alpha), 0);
	plait_simulation_run(sim, 1);
	ck_assert(plait_host_is_up(alpha));
	ck_assert_str_eq(story, "serve0 serve0 ");
	ck_assert_int_eq(plait_host_restart(beta), 0);
	plait_simulation_run(sim, 1);
	ck_assert_str_eq(client.text, "hello");
	end();
}

TEST(a_crashed_host_may_start_later, PURE)
{
	plait_host_run(alpha, serves, NULL);
	plait_simulation_run(sim, 1);
	plait_host_crash(alpha);
	plait_host_crash(alpha);
	plait_simulation_run(sim, 9);
	ck_assert_int_eq(plait_host_restart(alpha), 0);
	plait_simulation_run(sim, 1);
	ck_assert_str_eq(story, "serve0 serve0 ");
	end();
}

static void lost_when_down(struct actor *a, struct plait_protocol *p)
{
	tell(plait_host_is_up(alpha) ? "up" : "down");
}

TEST(what_a_program_has_is_freed_in_a_world_that_does_not_hear, PURE, TIMES(2))
{
	begin_talk();
	server.on_lost = lost_when_down;
	if (_i == 0)
		plait_host_crash(alpha);
	else
		plait_host_kill(alpha);
	ck_assert_str_eq(story, "serve0 down0 ");
	end();
}

static void restart_now(struct actor *a, struct plait_protocol *p,
			const void *data, size_t len)
{
	ck_assert_int_eq(plait_host_restart(alpha), 0);
	tell("after");
	plait_transport_write(p->transport, "never", 5);
}

TEST(a_crash_that_is_asked_for_inside_comes_after_the_callback, PURE)
{
	plait_host_run(alpha, serves, NULL);
	plait_simulation_run(sim, 1);
	server.on_data = restart_now;
	plait_host_run(beta, asks, NULL);
	plait_simulation_run(sim, 1);
	ck_assert_str_eq(story, "serve0 after0 serve0 ");
	end();
}

static void crash_host(void *arg)
{
	plait_host_crash(arg);
}

TEST(a_crash_ends_the_run_of_a_further_reactor, PURE)
{
	struct plait_reactor *r = plait_host_reactor(alpha);

	plait_simulation_call_later(sim, 1, crash_host, alpha);
	ck_assert_int_eq(plait_reactor_run(r), -EHOSTDOWN);
	plait_reactor_free(&r);
	ck_assert_ptr_null(plait_host_reactor(alpha));
	ck_assert_int_eq(errno, EHOSTDOWN);
	end();
}

/* ---- links --------------------------------------------------------------- */

GROUP("links", .setup = setup);

static void told_data(struct actor *a, struct plait_protocol *p,
		      const void *data, size_t len)
{
	tell("data");
}

static void told_open(struct actor *a, struct plait_protocol *p)
{
	tell("open");
	say_hello(a, p);
}

static void told_failed(struct actor *a)
{
	tell("failed");
}

static plait_value asks_and_tells(struct plait_reactor *r, void *arg)
{
	plait_value v = asks(r, arg);

	client.on_made = told_open;
	client.on_data = told_data;
	client.on_failed = told_failed;
	return v;
}

/* As far as a second by what the link is from alpha to beta and back. */
static void talk_over(const struct plait_link *there,
		      const struct plait_link *back)
{
	plait_host_run(alpha, serves, NULL);
	plait_simulation_run(sim, 0);
	story[0] = '\0';
	plait_simulation_set_link(sim, beta, alpha, there);
	plait_simulation_set_link(sim, alpha, beta, back);
	plait_host_run(beta, asks_and_tells, NULL);
	plait_simulation_run(sim, 100);
}

TEST(a_perfect_link_takes_no_time, PURE)
{
	talk_over(NULL, NULL);
	ck_assert_str_eq(story, "open0 data0 ");
	end();
}

TEST(latency_is_that_of_each_direction, PURE)
{
	const struct plait_link there = { .latency = 0.25 };
	const struct plait_link back = { .latency = 1 };

	talk_over(&there, &back);
	ck_assert_str_eq(story, "open1.25 data2.5 ");
	end();
}

TEST(a_link_that_is_down_loses_all, PURE)
{
	const struct plait_link down = { .down = true };

	talk_over(NULL, &down);
	ck_assert_ptr_null(strstr(story, "open"));
	end();
}

TEST(a_healed_link_carries_again, PURE)
{
	const struct plait_link down = { .down = true };

	plait_simulation_set_link(sim, NULL, NULL, &down);
	plait_host_run(alpha, serves, NULL);
	plait_host_run(beta, asks_and_tells, NULL);
	plait_simulation_run(sim, 5);
	ck_assert_str_eq(story, "serve0 ");
	plait_simulation_heal(sim);
	plait_simulation_run(sim, 100);
	ck_assert_ptr_nonnull(strstr(story, "open"));
	ck_assert_ptr_nonnull(strstr(story, "data"));
	end();
}

TEST(a_router_may_say_that_there_is_no_way, PURE)
{
	const struct plait_link none = { .unreachable = true };

	talk_over(&none, NULL);
	ck_assert_str_eq(story, "failed0 ");
	ck_assert_int_eq(client.err, EHOSTUNREACH);
	end();
}

TEST(a_reset_on_the_way_breaks_the_connection, PURE)
{
	const struct plait_link bad = { .reset = 1 };

	begin_talk();
	plait_simulation_set_link(sim, NULL, beta, &bad);
	plait_transport_write(server.transport, "more", 4);
	plait_simulation_run(sim, 10);
	ck_assert_uint_eq(client.lost, 1);
	end();
}

TEST(what_is_lost_comes_late, PURE)
{
	const struct plait_link lossy = { .loss = 0.5, .latency = 0.01 };

	talk_over(&lossy, &lossy);
	ck_assert_str_eq(client.text, "hello");
	end();
}

static char much[100000];

static void send_much(struct actor *a, struct plait_protocol *p)
{
	plait_transport_write(p->transport, much, sizeof(much));
}

static plait_value serves_much(struct plait_reactor *r, void *arg)
{
	plait_value v = serves(r, arg);

	server.on_made = send_much;
	return v;
}

TEST(a_slow_link_takes_its_time, PURE)
{
	const struct plait_link slow = { .rate = 10000 };

	plait_simulation_set_link(sim, NULL, NULL, &slow);
	plait_host_run(alpha, serves_much, NULL);
	plait_host_run(beta, asks, NULL);
	plait_simulation_run(sim, 5);
	ck_assert_uint_gt(client.received, 30000);
	ck_assert_uint_lt(client.received, 50000);
	plait_simulation_run(sim, 10);
	ck_assert_uint_eq(client.received, sizeof(much) + 5);
	end();
}

TEST(a_link_of_all_holds_for_hosts_that_are_made_later, PURE)
{
	const struct plait_link far = { .latency = 1 };
	struct plait_host *gamma;

	plait_simulation_set_link(sim, NULL, NULL, &far);
	gamma = plait_simulation_host(sim, "gamma");
	plait_host_run(alpha, serves, NULL);
	plait_host_run(gamma, asks_and_tells, NULL);
	plait_simulation_run(sim, 10);
	ck_assert_ptr_nonnull(strstr(story, "open2 "));
	end();
}

/* ---- chance -------------------------------------------------------------- */

static uint64_t digest_of(uint64_t seed)
{
	uint64_t digest;

	if (sim != NULL)
		plait_simulation_free(&sim);
	begin_with(seed, NULL);
	plait_host_run(alpha, serves_much, NULL);
	plait_host_run(beta, asks, NULL);
	plait_simulation_run(sim, 100);
	digest = plait_simulation_digest(sim);
	plait_simulation_free(&sim);
	return digest;
}

/* Faults are what these seeds are about, and plait reports some of them. */
static void ignore(const struct plait_failure *why, void *arg)
{
}

static void ignore_call(void *arg)
{
}

GROUP("chance");

TEST(the_same_seed_gives_the_same_digest, PURE, TIMES(50))
{
	uint64_t digest;

	plait_set_unhandled_hook(ignore, NULL);
	digest = digest_of((uint64_t)_i);
	ck_assert_uint_ne(digest, 0);
	ck_assert_uint_eq(digest, digest_of((uint64_t)_i));
	ck_assert_uint_ne(digest, digest_of((uint64_t)_i + 1000));
}

TEST(a_seed_draws_what_goes_wrong_at_all, PURE)
{
	unsigned lossy = 0, resets = 0, both = 0;

	for (uint64_t seed = 0; seed < 1000; seed++) {
		const struct plait_simulation_options *o;

		sim = plait_simulation_new(seed, NULL);
		o = plait_simulation_drawn_options(sim);
		ck_assert(o->link.loss >= 0 && o->link.loss < 1);
		lossy += o->link.loss > 0;
		resets += o->link.reset > 0;
		both += o->link.loss > 0 && o->link.reset > 0;
		plait_simulation_free(&sim);
	}
	ck_assert_uint_gt(lossy, 300);
	ck_assert_uint_lt(lossy, 700);
	ck_assert_uint_gt(resets, 100);
	ck_assert_uint_lt(resets, 500);
	ck_assert_uint_gt(both, 50);
}

TEST(each_name_has_numbers_of_its_own, PURE)
{
	uint64_t a[4], b;

	begin_with(5, &perfect);
	for (int i = 0; i < 4; i++)
		a[i] = plait_simulation_below(sim, "a", UINT64_MAX);
	plait_simulation_free(&sim);
	begin_with(5, &perfect);
	for (int i = 0; i < 4; i++) {
		b = plait_simulation_below(sim, "b", UINT64_MAX);
		ck_assert_uint_ne(b, a[i]);
		ck_assert_uint_eq(plait_simulation_below(sim, "a", UINT64_MAX),
				  a[i]);
	}
	ck_assert_uint_lt(plait_simulation_below(sim, "a", 10), 10);
	ck_assert_uint_eq(plait_simulation_below(sim, "a", 0), 0);
	ck_assert(plait_simulation_chance(sim, "a", 1));
	ck_assert(!plait_simulation_chance(sim, "a", 0));
	plait_simulation_free(&sim);
}

static unsigned marks;

static void pass_marks(void *arg)
{
	for (int i = 0; i < 1000; i++)
		marks += PLAIT_MAYBE(0.5);
}

TEST(marks_act_while_a_simulation_runs, PURE)
{
	begin_with(1, &perfect);
	pass_marks(NULL);
	ck_assert_uint_eq(marks, 0);
	plait_simulation_call_later(sim, 1, pass_marks, NULL);
	plait_simulation_run(sim, 2);
	ck_assert_uint_gt(marks, 400);
	ck_assert_uint_lt(marks, 600);
	plait_simulation_free(&sim);
}

/* The server listens at once, whatever the seed has drawn. */
TEST(faults_of_the_seed_begin_when_time_passes, PURE)
{
	bool has_failed = false;

	plait_set_unhandled_hook(ignore, NULL);
	for (uint64_t seed = 0; seed < 100; seed++) {
		begin_with(seed, NULL);
		plait_host_run(alpha, serves, NULL);
		plait_simulation_run(sim, 0);
		ck_assert_int_eq(plait_host_status(alpha), -1);
		for (int i = 0; i < 20 && plait_host_status(alpha) < 0; i++) {
			plait_host_restart(alpha);
			plait_simulation_call_later(sim, 1, ignore_call, NULL);
			plait_simulation_run(sim, 1);
		}
		has_failed = has_failed || plait_host_status(alpha) == 9;
		plait_simulation_free(&sim);
	}
	ck_assert(has_failed);
}

static const struct plait_host_faults no_descriptors = { .no_descriptors = 1 };

TEST(faults_that_are_set_hold_at_once, PURE)
{
	begin_with(1, NULL);
	plait_host_set_faults(alpha, &no_descriptors);
	plait_host_run(alpha, serves, NULL);
	plait_simulation_run(sim, 0);
	ck_assert_int_eq(plait_host_status(alpha), 9);
	plait_simulation_heal(sim);
	plait_host_restart(alpha);
	plait_simulation_run(sim, 0);
	ck_assert_uint_eq(plait_host_programs(alpha), 1);
	end();
}

/* ---- failure ------------------------------------------------------------- */

GROUP("failure", .setup = setup);

static void fail_it(void *arg)
{
	plait_simulation_fail(sim, "%s is wrong", (const char *)arg);
}

TEST(the_first_failure_counts_and_ends_the_run, PURE)
{
	ck_assert_ptr_null(plait_simulation_failure(sim));
	plait_simulation_call_later(sim, 1, fail_it, (void *)"this");
	plait_simulation_call_later(sim, 2, fail_it, (void *)"that");
	ck_assert_int_eq(plait_simulation_run(sim, 10), -EIO);
	ck_assert_double_eq(plait_simulation_seconds(sim), 1);
	ck_assert_int_eq(plait_simulation_run(sim, 10), -EIO);
	fail_it((void *)"more");
	ck_assert_str_eq(plait_simulation_failure(sim), "this is wrong");
	end();
}

/* Or what they use would have to outlive the scenario. */
TEST(no_program_runs_when_all_were_stopped_even_after_a_failure, PURE)
{
	plait_host_run(alpha, waits_for_ever, NULL);
	plait_host_run(beta, has_a_slow_end, NULL);
	plait_simulation_run(sim, 1);
	fail_it((void *)"this");
	ck_assert_int_eq(plait_simulation_stop(sim), -EIO);
	ck_assert_uint_eq(plait_host_programs(alpha), 0);
	ck_assert_uint_eq(plait_host_programs(beta), 0);
	end();
}

static void stop_all(void *arg)
{
	ck_assert_int_eq(plait_simulation_stop(sim), -EBUSY);
	ck_assert_uint_eq(plait_host_programs(alpha), 1);
}

TEST(all_may_be_asked_to_stop_inside_a_run, PURE)
{
	plait_host_run(alpha, waits_for_ever, NULL);
	plait_simulation_call_later(sim, 1, stop_all, NULL);
	plait_simulation_run(sim, 10);
	ck_assert_uint_eq(plait_host_programs(alpha), 0);
	ck_assert_int_eq(plait_host_status(alpha), 0);
	end();
}

TEST(a_failure_ends_the_run_of_a_reactor, PURE)
{
	struct plait_reactor *r = plait_host_reactor(alpha);

	plait_simulation_call_later(sim, 1, fail_it, (void *)"this");
	ck_assert_int_eq(plait_reactor_run(r), -EIO);
	plait_reactor_free(&r);
	end();
}

TEST(reserved_words_have_to_be_zero, PURE, TIMES(3))
{
	struct plait_simulation_options o = { .turn_time = 0 };

	if (_i == 0)
		o.reserved[0] = 1;
	else if (_i == 1)
		o.link.reserved[1] = 1;
	else
		o.faults.reserved[1] = 1;
	ck_assert_ptr_null(plait_simulation_new(1, &o));
	ck_assert_int_eq(errno, EINVAL);
	end();
}

/* Whatever has no memory, nothing is left, and without that it works. */
TEST(without_memory_there_is_less_of_it, PURE)
{
	bool refused = true;

	plait_set_unhandled_hook(ignore, NULL);
	plait_simulation_free(&sim);
	for (unsigned long n = 0; refused; n++) {
		fault_alloc_at(n, false);
		sim = plait_simulation_new(3, NULL);
		alpha = plait_simulation_host(sim, "alpha");
		beta = plait_simulation_host(sim, "beta");
		plait_simulation_call_later(sim, 1, tell_this, (void *)"a");
		plait_simulation_below(sim, "x", 10);
		plait_host_run(alpha, waits_for_ever, NULL);
		plait_simulation_run(sim, 1);
		plait_host_restart(alpha);
		plait_simulation_run(sim, 1);
		refused = fault_alloc_reached();
		fault_alloc_off();
		ck_assert(refused || plait_host_programs(alpha) == 1);
		plait_simulation_free(&sim);
	}
	end();
}
