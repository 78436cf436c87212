/*
 * throws NAME: a program in C++ in which the callback of that name throws, and
 * main() would catch it.  It must end with a message instead.  Without a name
 * it prints them all.  test_cxx.py runs it.
 */
#include <csignal>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>

#include <plait/plait.h>
#include <plait/simulation.h>
#include <plait/testing.h>

static const char *name;

static void boom()
{
	throw std::runtime_error(name);
}

/* ---- deferreds and values ------------------------------------------------ */

static plait_value throwing_callback(plait_value *, void *)
{
	boom();
	return PLAIT_NONE;
}

static void in_callback()
{
	plait_promise *p;
	plait_deferred *d = plait_deferred_new(&p, nullptr, nullptr);

	plait_deferred_add_callback(d, throwing_callback, nullptr);
	plait_fire(&p, PLAIT_NONE);
	plait_deferred_free(&d);
}

static void in_added_callback()
{
	plait_deferred *d = plait_succeed(PLAIT_NONE);

	plait_deferred_add_both(d, throwing_callback, nullptr);
	plait_deferred_free(&d);
}

static void in_canceller()
{
	plait_promise *p;
	plait_deferred *d = plait_deferred_new(
		&p,
		[](plait_deferred *, void *) -> plait_value {
			boom();
			return PLAIT_NONE;
		},
		nullptr);

	plait_deferred_cancel(d);
	plait_deferred_free(&d);
}

static const plait_type throwing_type = {
	.name = "throwing",
	.free = [](void *) { boom(); },
	.format = [](const void *, char *, size_t) -> int {
		boom();
		return 0;
	},
	.ref = [](void *) -> void * {
		boom();
		return nullptr;
	},
};

static void in_free()
{
	plait_value v = plait_value_make(&throwing_type, nullptr);

	plait_value_free(&v);
}

static void in_ref()
{
	plait_value v = plait_value_make(&throwing_type, nullptr);

	v = plait_value_ref(&v);
}

static void in_format()
{
	plait_value v = plait_value_make(&throwing_type, nullptr);
	char text[16];

	plait_value_str(&v, text, sizeof(text));
}

static void in_unhandled_hook()
{
	plait_deferred *d;

	plait_set_unhandled_hook([](const plait_failure *, void *) { boom(); },
				 nullptr);
	d = plait_failed(plait_fail(&plait_error_user, "unhandled"));
	plait_deferred_free(&d);
}

/* ---- the loop ------------------------------------------------------------ */

static void throwing_func(void *)
{
	boom();
}

static plait_value throwing_operation(void *)
{
	boom();
	return PLAIT_NONE;
}

/* A reactor for the length of a block. */
struct loop {
	plait_reactor *r = plait_reactor_new(nullptr);
	~loop()
	{
		plait_reactor_free(&r);
	}
	void run()
	{
		plait_reactor_run(r);
	}
};

static void in_timer()
{
	static plait_timer t;
	loop l;

	plait_timer_start(l.r, &t, 0, throwing_func, nullptr);
	l.run();
}

static void in_call_later()
{
	loop l;

	plait_call_later(l.r, 0, throwing_func, nullptr);
	l.run();
}

static void in_call_from_thread()
{
	loop l;

	plait_call_from_thread(l.r, throwing_func, nullptr);
	l.run();
}

static void in_job()
{
	loop l;
	plait_deferred *d = plait_defer_to_thread(
		l.r,
		[](plait_job *, void *) -> plait_value {
			boom();
			return PLAIT_NONE;
		},
		nullptr, nullptr);

	l.run();
	plait_deferred_free(&d);
}

static void in_progress()
{
	loop l;
	plait_deferred *d = plait_defer_to_thread(
		l.r,
		[](plait_job *job, void *) -> plait_value {
			plait_job_report(
				job,
				[](const plait_value *, void *) { boom(); },
				PLAIT_NONE);
			return PLAIT_NONE;
		},
		nullptr, nullptr);

	l.run();
	plait_deferred_free(&d);
}

static void in_free_arg()
{
	loop l;
	plait_deferred *d = plait_defer_to_thread(
		l.r,
		[](plait_job *, void *) -> plait_value { return PLAIT_NONE; },
		nullptr, throwing_func);

	l.run();
	plait_deferred_free(&d);
}

static void in_thread_call()
{
	static plait_thread_call c;
	loop l;

	plait_thread_call_queue(l.r, &c, throwing_func, nullptr);
	l.run();
}

static void in_call_when_running()
{
	loop l;

	plait_call_when_running(l.r, throwing_func, nullptr);
	l.run();
}

static void in_trigger()
{
	loop l;

	plait_reactor_add_trigger(l.r, PLAIT_TRIGGER_BEFORE,
				  PLAIT_TRIGGER_STARTUP, throwing_operation,
				  nullptr, nullptr);
	l.run();
}

static void in_watch()
{
	static plait_watch w;
	int ends[2];
	loop l;

	if (pipe(ends) == 0 && write(ends[1], "", 1) == 1)
		plait_watch_start(l.r, &w, ends[0], PLAIT_WATCH_READ,
				  [](plait_watch *, unsigned) { boom(); });
	l.run();
}

static void in_signal_watch()
{
	static plait_signal_watch w;
	loop l;

	plait_signal_watch_start(
		l.r, &w, SIGUSR1,
		[](plait_signal_watch *, unsigned) { boom(); });
	raise(SIGUSR1);
	l.run();
}

/* As the child that is made for it. */
static void in_process_job()
{
	static const plait_process_job jobs[] = {
		{ "boom",
		  [](const plait_buf *) -> plait_value {
			  boom();
			  return PLAIT_NONE;
		  },
		  {} },
		{ nullptr, nullptr, {} }
	};
	static char marker[] = "--plait-process-job", job[] = "boom";
	char *argv[] = { job, marker, job, nullptr };
	const char no_argument[16] = {};
	int ends[2];

	if (pipe(ends) == 0 && write(ends[1], no_argument, 16) == 16 &&
	    dup2(ends[1], 4) == 4 && dup2(ends[0], 3) == 3)
		plait_process_jobs_main(3, argv, jobs);
}

static void in_looping_call()
{
	loop l;
	plait_looping_call *call = plait_looping_call_new(
		l.r,
		[](size_t, void *) -> plait_value {
			boom();
			return PLAIT_NONE;
		},
		nullptr);
	plait_deferred *d = plait_looping_call_start(call, 1, true);

	plait_deferred_free(&d);
	plait_looping_call_free(&call);
}

static void in_react()
{
	plait_react(
		[](plait_reactor *, void *) -> plait_value {
			boom();
			return PLAIT_NONE;
		},
		nullptr);
}

static void in_simulation()
{
	plait_simulation *s = plait_simulation_new(1, nullptr);

	plait_simulation_call_later(
		s, 1, [](void *) { boom(); }, nullptr);
	plait_simulation_run(s, 2);
	plait_simulation_free(&s);
}

static void in_seeds()
{
	plait_check_seeds([](plait_simulation *, void *) { boom(); }, nullptr,
			  1, 1, nullptr);
}

static void in_host()
{
	plait_simulation *s = plait_simulation_new(1, nullptr);

	plait_host_run(
		plait_simulation_host(s, "host"),
		[](plait_reactor *, void *) -> plait_value {
			boom();
			return PLAIT_NONE;
		},
		nullptr);
	plait_simulation_run(s, 1);
	plait_simulation_free(&s);
}

static bool is_named(const char *what);

/* Each function of a scenario throws if it is named. */
static void in_scenario()
{
	plait_cancel_check check = {};

	check.start = [](plait_reactor *r, void *) {
		if (is_named("scenario"))
			boom();
		return plait_defer_later(r, 1, nullptr, nullptr);
	};
	check.after = [](void *) -> const char * {
		if (is_named("after"))
			boom();
		return nullptr;
	};
	check.open = [](void *) {
		if (is_named("open"))
			boom();
		return plait_testing_reactor_new();
	};
	check.close = [](plait_reactor *r, void *) {
		if (is_named("close"))
			boom();
		plait_reactor_free(&r);
	};
	plait_check_cancel_points(&check, nullptr);
}

/* ---- connections --------------------------------------------------------- */

static bool is_named(const char *what)
{
	return std::strcmp(name, what) == 0;
}

static void boom_if_named(const char *what)
{
	if (is_named(what))
		boom();
}

/* Every callback throws if it is named. */
static const plait_protocol_ops protocol_ops = {
	.name = "throwing",
	.init = [](plait_protocol *) -> int {
		boom_if_named("init");
		return 0;
	},
	.connection_made =
		[](plait_protocol *) { boom_if_named("connection_made"); },
	.data_received = [](plait_protocol *, const void *,
			    size_t) { boom_if_named("data_received"); },
	.done = [](plait_protocol *) { boom_if_named("done"); },
	.connection_lost =
		[](plait_protocol *, const plait_failure *) {
			boom_if_named("connection_lost");
		},
};

static const plait_factory_ops factory_ops = {
	.name = "throwing",
	.start = [](plait_factory *) { boom_if_named("start"); },
	.stop = [](plait_factory *) { boom_if_named("stop"); },
	.build_protocol = [](plait_factory *f,
			     const plait_address *) -> plait_protocol * {
		boom_if_named("build_protocol");
		return plait_protocol_new(f->protocol);
	},
	.started_connecting =
		[](plait_factory *, plait_connector *) {
			boom_if_named("started_connecting");
		},
	.connection_failed =
		[](plait_factory *f, plait_connector *, const plait_failure *) {
			boom_if_named("connection_failed");
		},
	.port_opened = [](plait_factory *,
			  plait_port *) { boom_if_named("port_opened"); },
	.port_closed = [](plait_factory *,
			  plait_port *) { boom_if_named("port_closed"); },
	.done = [](plait_factory *) { boom_if_named("factory_done"); },
};

static plait_factory factory = { .ops = &factory_ops,
				 .protocol = &protocol_ops };

/* Both ends of a pair, one of which hands a descriptor over. */
static const plait_protocol_ops handing_ops = {
	.name = "handing",
	.connection_made =
		[](plait_protocol *p) {
			int fd = dup(STDERR_FILENO);

			plait_transport_send_fds(p->transport, "x", 1, &fd, 1);
		},
	.fds_received = [](plait_protocol *, const int *, size_t) { boom(); },
};

static void in_fds_received()
{
	plait_reactor *r = plait_reactor_new(nullptr);

	plait_socketpair(r, plait_protocol_new(&handing_ops),
			 plait_protocol_new(&handing_ops));
	plait_reactor_run(r);
}

static void in_connection()
{
	plait_reactor *r = plait_testing_reactor_new();
	plait_transport *t = plait_testing_connect(r, &factory);

	plait_testing_deliver(t, "bytes", 5);
	plait_transport_lose_connection(t);
	plait_testing_advance(r, 1);
	plait_reactor_free(&r);
}

static void in_port()
{
	loop l;
	plait_port *port;

	if (plait_listen_tcp(l.r, 0, &factory, nullptr, &port) == 0)
		plait_port_free(&port);
	plait_reactor_iterate(l.r, 0);
}

/* Nobody is asked to connect: the name is no address. */
static void in_connector()
{
	loop l;

	plait_connect_tcp(l.r, "256.0.0.1", 1, &factory, nullptr);
	plait_reactor_iterate(l.r, 0);
}

static void in_client()
{
	loop l;
	plait_deferred *d = plait_client_connect(
		l.r,
		[](plait_reactor *, plait_factory *,
		   void *) -> plait_connector * {
			boom();
			return nullptr;
		},
		nullptr, &protocol_ops, nullptr);

	plait_deferred_free(&d);
}

static const plait_endpoint_kind throwing_kind = {
	.name = "throwing",
	.keys = nullptr,
	.n_keys = 0,
	.plain = 0,
	.check = [](const plait_endpoint *) -> const char * {
		boom_if_named("endpoint check");
		return nullptr;
	},
	.connect = [](const plait_endpoint *, plait_reactor *, plait_factory *,
		      char *) -> plait_connector * {
		boom_if_named("endpoint connect");
		return nullptr;
	},
	.listen = [](const plait_endpoint *, plait_reactor *, plait_factory *,
		     plait_port **, char *) -> int {
		boom_if_named("endpoint listen");
		return -1;
	},
};

static const plait_factory_ops wrapping_ops = {
	.name = "throwing",
	PLAIT_WRAPPING_FACTORY,
	.done = [](plait_factory *) { boom_if_named("endpoint unwrap"); },
};

static plait_wrapping_factory wrapping = { .base = { .ops = &wrapping_ops } };

static const plait_endpoint_kind wrapping_kind = {
	.name = "wrapping",
	.wrap_listening = [](const plait_endpoint *, plait_reactor *,
			     plait_factory *inner) -> plait_wrapping_factory * {
		boom_if_named("endpoint wrap");
		wrapping.inner = inner;
		return &wrapping;
	},
};

static void use_endpoint(const char *text, bool listens)
{
	loop l;
	plait_endpoint *e = nullptr;
	plait_deferred *d;

	plait_endpoint_register(&throwing_kind);
	plait_endpoint_register(&wrapping_kind);
	if (plait_endpoint_parse(text, &e, nullptr, 0) < 0)
		return;
	d = listens ? plait_endpoint_listen(e, l.r, &factory)
		    : plait_endpoint_connect(e, l.r, &protocol_ops, nullptr);
	plait_deferred_detach(&d);
	plait_endpoint_unref(&e);
}

static void in_endpoint_connect()
{
	use_endpoint("throwing", false);
}

static void in_endpoint_listen()
{
	use_endpoint("wrapping:throwing", true);
}

static plait_value throwing_prepare(plait_protocol *, void *)
{
	boom();
	return PLAIT_NONE;
}

static void in_prepare()
{
	static const plait_protocol_ops ops = { .name = "kept" };
	plait_client_service_options o = {};
	plait_reactor *r = plait_testing_reactor_new();
	plait_client_service *s;
	plait_endpoint *e;

	o.prepare = throwing_prepare;
	if (plait_endpoint_parse("tcp:127.0.0.1:7", &e, nullptr, 0) < 0)
		return;
	s = plait_client_service_new(r, e, &ops, nullptr, &o);
	plait_client_service_start(s);
	plait_testing_complete(plait_testing_connector(r));
	plait_testing_advance(r, 0);
	plait_client_service_free(&s);
	plait_endpoint_unref(&e);
	plait_reactor_free(&r);
}

static const plait_datagram_ops datagram_ops = {
	.name = "throwing",
	.started = [](plait_datagram_protocol *) { boom_if_named("started"); },
	.received =
		[](plait_datagram_protocol *, const void *, size_t,
		   const plait_datagram_info *) { boom_if_named("received"); },
	.failed = [](plait_datagram_protocol *, const plait_failure *,
		     const plait_address *) { boom_if_named("failed"); },
	.room = [](plait_datagram_protocol *) { boom_if_named("room"); },
	.stopped = [](plait_datagram_protocol *,
		      const plait_failure *) { boom_if_named("stopped"); },
	.done = [](plait_datagram_protocol *) { boom_if_named("released"); },
};

static void in_datagrams()
{
	plait_reactor *r = plait_testing_reactor_new();
	plait_datagram_protocol p = { .ops = &datagram_ops };
	plait_address from;
	plait_port *port;

	if (plait_listen_udp(r, 0, &p, nullptr, &port) < 0)
		return;
	plait_testing_advance(r, 0);
	plait_address_parse(&from, "192.0.2.1", 1);
	plait_testing_datagram(port, "x", 1, &from);
	plait_testing_datagram_failed(port, 111, &from);
	plait_testing_datagram_full(port, true);
	plait_datagram_send(&p, "x", 1, &from);
	plait_testing_advance(r, 0);
	plait_testing_datagram_full(port, false);
	plait_port_free(&port);
	plait_testing_advance(r, 0);
	plait_reactor_free(&r);
}

static const plait_process_ops process_ops = {
	.name = "child",
	.started = [](plait_process_protocol *) { boom_if_named("begun"); },
	.received = [](plait_process_protocol *, int, const void *,
		       size_t) { boom_if_named("read"); },
	.closed = [](plait_process_protocol *, int,
		     const plait_failure *) { boom_if_named("closed"); },
	.exited = [](plait_process_protocol *,
		     const plait_process_exit *) { boom_if_named("exited"); },
	.ended = [](plait_process_protocol *,
		    const plait_process_exit *) { boom_if_named("ended"); },
	.done = [](plait_process_protocol *) { boom_if_named("buried"); },
};

static void in_process()
{
	static const char *const argv[] = { "/bin/echo", "x", nullptr };
	static const plait_process_fd fds[] = {
		{ .fd = 1, .kind = PLAIT_PROCESS_WRITES },
	};
	const plait_process_options o = { .fds = fds, .n_fds = 1 };
	plait_reactor *r = plait_reactor_new(nullptr);
	plait_process_protocol p = { .ops = &process_ops };

	if (plait_spawn(r, argv, &p, &o, nullptr) < 0)
		return;
	while (p.process != nullptr)
		plait_reactor_iterate(r, 1);
	plait_reactor_free(&r);
}

/* A child of the program's own is one for a reaper, too. */
static void in_reaper()
{
	static plait_reaper reaper = {
		.patience = -1,
		.is_ours =
			[](plait_reaper *, pid_t) {
				boom_if_named("asked");
				return false;
			},
		.reaped =
			[](plait_reaper *, pid_t, const plait_process_exit *) {
				boom_if_named("reaped");
			},
	};
	plait_reactor *r = plait_reactor_new(nullptr);
	siginfo_t info;
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
	plait_reaper_start(r, &reaper);
	for (int i = 0; i < 3; i++)
		plait_reactor_iterate(r, 0);
	plait_reactor_free(&r);
}

static void in_file_watch()
{
	plait_reactor *r = plait_reactor_new(nullptr);
	plait_file_watch watch = {};
	plait_file_watch_options o = {};

	o.existing = true;
	if (plait_file_watch_start(r, &watch, "/", &o,
				   [](plait_file_watch *,
				      const plait_file_change *) { boom(); }) <
	    0)
		return;
	plait_reactor_iterate(r, 1);
	plait_reactor_iterate(r, 1);
	plait_file_watch_stop(&watch);
	plait_reactor_free(&r);
}

static const plait_line_receiver_ops line_ops = {
	.base = { .name = "lines", PLAIT_LINE_RECEIVER },
	.line_received = [](plait_line_receiver *, const char *,
			    size_t) { boom(); },
};

/* From inside a call of the program's, without a connection. */
static void in_line_received()
{
	plait_protocol *p = plait_protocol_new(&line_ops.base);

	plait_line_receiver_data_received(p, "line\r\n", 6);
	plait_protocol_free(&p);
}

static void in_producer()
{
	static const plait_producer_ops ops = {
		.pause = [](plait_producer *) {},
		.resume = [](plait_producer *) { boom(); },
		.stop = [](plait_producer *) {},
	};
	static plait_producer producer = { .ops = &ops };
	plait_reactor *r = plait_testing_reactor_new();
	plait_transport *t = plait_testing_connect(r, &factory);

	plait_transport_register_producer(t, &producer, false);
	plait_testing_advance(r, 1);
	plait_reactor_free(&r);
}

static void in_transport_init()
{
	static const plait_transport_ops ops = {
		.name = "throwing",
		.init = [](plait_transport *) -> int {
			boom();
			return 0;
		},
		.send = [](plait_transport *, const iovec *, int) -> ssize_t {
			return -EAGAIN;
		},
	};
	loop l;
	plait_transport *t = plait_transport_new(&ops, l.r, nullptr);

	plait_transport_free(&t);
}

static const struct {
	const char *name;
	void (*run)();
} throwers[] = {
	{ "callback", in_callback },
	{ "added callback", in_added_callback },
	{ "canceller", in_canceller },
	{ "free", in_free },
	{ "ref", in_ref },
	{ "format", in_format },
	{ "unhandled hook", in_unhandled_hook },
	{ "timer", in_timer },
	{ "call_later", in_call_later },
	{ "call_from_thread", in_call_from_thread },
	{ "thread_call", in_thread_call },
	{ "job", in_job },
	{ "progress", in_progress },
	{ "free_arg", in_free_arg },
	{ "call_when_running", in_call_when_running },
	{ "trigger", in_trigger },
	{ "watch", in_watch },
	{ "signal watch", in_signal_watch },
	{ "process job", in_process_job },
	{ "looping call", in_looping_call },
	{ "react", in_react },
	{ "simulation", in_simulation },
	{ "seeds", in_seeds },
	{ "host", in_host },
	{ "scenario", in_scenario },
	{ "after", in_scenario },
	{ "open", in_scenario },
	{ "close", in_scenario },
	{ "init", in_connection },
	{ "connection_made", in_connection },
	{ "data_received", in_connection },
	{ "done", in_connection },
	{ "connection_lost", in_connection },
	{ "fds_received", in_fds_received },
	{ "start", in_port },
	{ "stop", in_port },
	{ "build_protocol", in_connection },
	{ "started_connecting", in_connector },
	{ "prepare", in_prepare },
	{ "connection_failed", in_connector },
	{ "port_opened", in_port },
	{ "port_closed", in_port },
	{ "factory_done", in_connection },
	{ "client connect", in_client },
	{ "endpoint check", in_endpoint_listen },
	{ "endpoint connect", in_endpoint_connect },
	{ "endpoint listen", in_endpoint_listen },
	{ "endpoint wrap", in_endpoint_listen },
	{ "endpoint unwrap", in_endpoint_listen },
	{ "started", in_datagrams },
	{ "received", in_datagrams },
	{ "failed", in_datagrams },
	{ "room", in_datagrams },
	{ "stopped", in_datagrams },
	{ "released", in_datagrams },
	{ "begun", in_process },
	{ "read", in_process },
	{ "closed", in_process },
	{ "exited", in_process },
	{ "ended", in_process },
	{ "buried", in_process },
	{ "asked", in_reaper },
	{ "reaped", in_reaper },
	{ "file watch", in_file_watch },
	{ "line_received", in_line_received },
	{ "producer", in_producer },
	{ "transport init", in_transport_init },
};

int main(int argc, char **argv)
{
	for (const auto &t : throwers) {
		name = t.name;
		if (argc < 2)
			std::puts(name);
		else if (is_named(argv[1]))
			try {
				t.run();
				std::puts("did not throw");
			} catch (const std::exception &e) {
				std::printf("passed: %s\n", e.what());
			}
	}
	return 0;
}
