/*
 * A program that was compiled before the library has grown: it is linked with
 * one whose structs have a member more each (scripts/check-growth).
 *
 * Each struct of its own lies at the end of a page with none behind it, and so
 * does each that the library allocates in the size that a table says, as this
 * program answers the library's calls of calloc().  So whoever looks beyond the
 * size that the program knows ends it.  And as the library keeps real members
 * in the reserved words, all this works only if those are the library's alone.
 *
 *	old BACKEND
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <plait/plait.h>
#include <plait/cancel_points.h>
#include <plait/simulation.h>
#include <plait/testing.h>

#include "at_end.h"

/* ---- what all use -------------------------------------------------------- */

static unsigned n_calls;

static void count(void *arg)
{
	n_calls++;
}

/* How often something was called since the last question. */
static unsigned calls(void)
{
	unsigned n = n_calls;

	n_calls = 0;
	return n;
}

static void connected(struct plait_protocol *p)
{
	n_calls++;
}

static void received(struct plait_protocol *p, const void *data, size_t len)
{
	n_calls += (unsigned)len;
}

static void lost(struct plait_protocol *p, const struct plait_failure *why)
{
	n_calls++;
}

/* A table, and a factory for it, that only count. */
static struct plait_factory *counting_factory(void)
{
	return NEW(struct plait_factory,
		   .protocol = NEW(
			   struct plait_protocol_ops, .name = "counting",
			   .size = sizeof(struct plait_protocol),
			   .connection_made = connected,
			   .data_received = received, .connection_lost = lost));
}

static void deliver(struct plait_transport *t, const char *text)
{
	plait_testing_deliver(t, text, strlen(text));
}

/* ---- values -------------------------------------------------------------- */

static void use_types(void)
{
	plait_value v =
		plait_value_make(NEW(struct plait_type, .name = "apple"), NULL);
	char text[20];

	plait_value_str(&v, text, sizeof(text));
	plait_assert(strcmp(text, "<apple>") == 0);
	plait_value_free(&v);
}

static void use_errors(void)
{
	const struct plait_error *rotten =
		NEW(struct plait_error, .name = "RottenError",
		    .text = "The apple is rotten.");
	plait_value v = plait_fail(rotten, "bah");

	plait_assert(plait_failure_check(plait_value_failure(&v), rotten));
	plait_assert(!plait_failure_check(plait_value_failure(&v),
					  &plait_error_any));
	plait_value_free(&v);
}

static void use_addresses(void)
{
	struct plait_address *a = ZEROED(struct plait_address);
	char text[PLAIT_ADDRESS_SIZE];

	plait_assert(plait_address_from_str(a, "[fe80::1%3]:80") == 0);
	plait_address_str(a, text, sizeof(text));
	plait_assert(strcmp(text, "[fe80::1%3]:80") == 0);
	plait_assert(plait_address_from_path(a, "/run/poem") == 0);
	plait_assert(strcmp(plait_address_path(a), "/run/poem") == 0);
}

static void use_resolvers(struct plait_reactor *r)
{
	struct plait_resolver *rs =
		plait_resolver_new(r, NEW(struct plait_resolver_options,
					  .hosts = "/dev/null", .timeout = 1));
	struct plait_deferred *d =
		plait_resolve(r, "127.0.0.1",
			      NEW(struct plait_resolve_options,
				  .family = AF_INET, .resolver = rs));
	const struct plait_addresses *a;

	plait_testing_advance(r, 0);
	plait_testing_advance(r, 0);
	a = plait_value_addresses(plait_deferred_result(d));
	plait_assert(a->count == 1);
	plait_assert(strcmp(a->name, "127.0.0.1") == 0);
	plait_deferred_free(&d);
	plait_resolver_free(&rs);
}

static void use_dns_records(void)
{
	const struct plait_dns_record *rec =
		NEW(struct plait_dns_record, .name = "a", .type = PLAIT_DNS_MX,
		    .data.mx = { .preference = 1, .host = "b" });
	char text[20];

	plait_dns_record_str(rec, text, sizeof(text));
	plait_assert(strcmp(text, "a 0 MX 1 b") == 0);
}

/* ---- time ---------------------------------------------------------------- */

static void use_timers(struct plait_reactor *r)
{
	struct plait_timer *a = ZEROED(struct plait_timer);
	struct plait_timer *b = ZEROED(struct plait_timer);

	plait_timer_start(r, a, 2, count, a);
	plait_timer_start(r, b, 1, count, b);
	plait_timer_start(r, a, 1, count, a);
	plait_testing_advance(r, 1);
	plait_assert(calls() == 2);
	plait_timer_start(r, a, 1, count, a);
	plait_timer_stop(a);
	plait_testing_advance(r, 1);
	plait_assert(calls() == 0);
}

static void use_thread_calls(struct plait_reactor *r)
{
	struct plait_thread_call *c = ZEROED(struct plait_thread_call);

	for (unsigned i = 0; i < 2; i++) {
		plait_assert(plait_thread_call_queue(r, c, count, c) == 0);
		plait_assert(plait_thread_call_queue(r, c, count, c) ==
			     -EALREADY);
		plait_testing_advance(r, 0);
		plait_assert(calls() == 1);
	}
}

static void count_signal(struct plait_signal_watch *w, unsigned times)
{
	count(w);
}

static void use_signal_watches(struct plait_reactor *r)
{
	struct plait_signal_watch *a = ZEROED(struct plait_signal_watch);
	struct plait_signal_watch *b = ZEROED(struct plait_signal_watch);

	plait_assert(plait_signal_watch_start(r, a, SIGUSR1, count_signal) ==
		     0);
	plait_assert(plait_signal_watch_start(r, b, SIGUSR1, count_signal) ==
		     0);
	raise(SIGUSR1);
	plait_testing_advance(r, 0);
	plait_assert(calls() == 2);
	plait_signal_watch_stop(a);
	raise(SIGUSR1);
	plait_testing_advance(r, 0);
	plait_assert(calls() == 1);
	plait_signal_watch_stop(b);
}

static void use_scope_entries(struct plait_reactor *r)
{
	struct plait_scope_entry *a = ZEROED(struct plait_scope_entry);
	struct plait_scope_entry *b = ZEROED(struct plait_scope_entry);
	struct plait_scope *s = plait_scope_new(r);
	struct plait_deferred *d;

	plait_assert(plait_scope_enter(s, a, count, a) == 0);
	plait_assert(plait_scope_enter(s, b, count, b) == 0);
	plait_scope_leave(b);
	plait_scope_cancel(s, "enough");
	plait_assert(calls() == 1);
	plait_scope_leave(a);
	d = plait_scope_close(&s);
	plait_assert(plait_deferred_is_fired(d));
	plait_deferred_free(&d);
}

/* A connection that says nothing. */
struct silent {
	struct plait_protocol base;
	struct plait_idle_timeout idle;
};

static void start_to_wait(struct plait_protocol *p)
{
	plait_idle_timeout_start(&plait_self(p, struct silent)->idle, p, 5);
}

static void stop_to_wait(struct plait_protocol *p,
			 const struct plait_failure *why)
{
	plait_idle_timeout_stop(&plait_self(p, struct silent)->idle);
	n_calls++;
}

static void use_idle_timeouts(struct plait_reactor *r)
{
	struct plait_factory *f =
		NEW(struct plait_factory,
		    .protocol = NEW(struct plait_protocol_ops, .name = "silent",
				    .size = sizeof(struct silent),
				    .connection_made = start_to_wait,
				    .connection_lost = stop_to_wait));

	plait_testing_connect(r, f);
	plait_testing_advance(r, 4);
	plait_assert(calls() == 0);
	plait_testing_advance(r, 4);
	plait_assert(calls() == 1);
}

/* ---- receivers ----------------------------------------------------------- */

static void got_line(struct plait_line_receiver *p, const char *line,
		     size_t len)
{
	n_calls++;
	if (len == 3 && memcmp(line, "raw", 3) == 0)
		plait_line_receiver_set_raw_mode(p);
	if (len == 4 && memcmp(line, "hold", 4) == 0)
		plait_line_receiver_pause(p);
}

static void got_raw(struct plait_line_receiver *p, const void *data, size_t len)
{
	n_calls += 100;
	plait_line_receiver_set_line_mode(p, NULL, 0);
}

static void want_short_lines(struct plait_protocol *p)
{
	plait_self(p, struct plait_line_receiver)->max_length = 10;
}

static void use_line_receivers(struct plait_reactor *r)
{
	struct plait_line_receiver_ops *ops =
		NEW(struct plait_line_receiver_ops,
		    .base = { PLAIT_LINE_RECEIVER,
			      .connection_made = want_short_lines },
		    .line_received = got_line, .raw_data_received = got_raw);
	struct plait_factory *f =
		NEW(struct plait_factory, .protocol = &ops->base);
	struct plait_transport *t = plait_testing_connect(r, f);

	deliver(t, "one\r\nra");
	deliver(t, "w\r\n");
	deliver(t, "rawdata");
	plait_assert(calls() == 102);
	deliver(t, "hold\r\ntwo\r\nthr");
	plait_assert(calls() == 1);
	plait_line_receiver_resume(
		(struct plait_line_receiver *)plait_testing_protocol(t));
	plait_assert(calls() == 1);
	deliver(t, "ee that is too long");
	plait_testing_advance(r, 0);
	plait_assert(!plait_testing_is_connected(t));
}

static void got_only_line(struct plait_line_only_receiver *p, const char *line,
			  size_t len)
{
	n_calls++;
}

static void use_line_only_receivers(struct plait_reactor *r)
{
	struct plait_line_only_receiver_ops *ops =
		NEW(struct plait_line_only_receiver_ops,
		    .base = { PLAIT_LINE_ONLY_RECEIVER },
		    .line_received = got_only_line);
	struct plait_factory *f =
		NEW(struct plait_factory, .protocol = &ops->base);
	struct plait_transport *t = plait_testing_connect(r, f);
	char line[20000];

	deliver(t, "one\r\ntwo\r\nthree");
	plait_assert(calls() == 2);
	memset(line, 'x', sizeof(line));
	plait_testing_deliver(t, line, sizeof(line));
	plait_testing_advance(r, 0);
	plait_assert(!plait_testing_is_connected(t));
}

static void got_netstring(struct plait_netstring_receiver *p, const void *data,
			  size_t len)
{
	n_calls++;
}

static void use_netstring_receivers(struct plait_reactor *r)
{
	struct plait_netstring_receiver_ops *ops =
		NEW(struct plait_netstring_receiver_ops,
		    .base = { PLAIT_NETSTRING_RECEIVER },
		    .string_received = got_netstring);
	struct plait_factory *f =
		NEW(struct plait_factory, .protocol = &ops->base);
	struct plait_transport *t = plait_testing_connect(r, f);

	deliver(t, "5:apple,4:pe");
	deliver(t, "ar,");
	plait_assert(calls() == 2);
	deliver(t, "no netstring");
	plait_testing_advance(r, 0);
	plait_assert(!plait_testing_is_connected(t));
}

static void got_string(struct plait_intn_receiver *p, const void *data,
		       size_t len)
{
	n_calls++;
}

static void use_intn_receivers(struct plait_reactor *r)
{
	struct plait_intn_receiver_ops *ops = NEW(
		struct plait_intn_receiver_ops, .base = { PLAIT_INTN_RECEIVER },
		.prefix = 1, .string_received = got_string);
	struct plait_factory *f =
		NEW(struct plait_factory, .protocol = &ops->base);
	struct plait_transport *t = plait_testing_connect(r, f);

	deliver(t, "\005apple\004pe");
	deliver(t, "ar");
	plait_assert(calls() == 2);
	plait_self(plait_testing_protocol(t), struct plait_intn_receiver)
		->max_length = 3;
	deliver(t, "\004");
	plait_testing_advance(r, 0);
	plait_assert(!plait_testing_is_connected(t));
}

/* A protocol of messages of three bytes. */
struct threes {
	struct plait_protocol base;
	struct plait_input input;
};

static bool take_three(struct plait_protocol *p)
{
	const void *three;

	if (plait_input_take(&plait_self(p, struct threes)->input, 3, &three) <
	    0)
		return false;
	if (n_calls++ == 0)
		plait_input_pause(&plait_self(p, struct threes)->input, p);
	return true;
}

static void threes_received(struct plait_protocol *p, const void *data,
			    size_t len)
{
	plait_input_receive(&plait_self(p, struct threes)->input, p, take_three,
			    data, len);
}

static void threes_done(struct plait_protocol *p)
{
	plait_input_done(&plait_self(p, struct threes)->input);
}

static void use_inputs(struct plait_reactor *r)
{
	struct plait_factory *f =
		NEW(struct plait_factory,
		    .protocol = NEW(struct plait_protocol_ops, .name = "threes",
				    .size = sizeof(struct threes),
				    .data_received = threes_received,
				    .done = threes_done));
	struct plait_transport *t = plait_testing_connect(r, f);
	struct threes *p = plait_self(plait_testing_protocol(t), struct threes);

	deliver(t, "onetwot");
	plait_input_resume(&p->input, &p->base, take_three);
	deliver(t, "en");
	plait_assert(calls() == 3);
	plait_transport_lose_connection(t);
	plait_testing_advance(r, 60);
}

/* ---- producers and transports -------------------------------------------- */

static void note_order(struct plait_producer *p)
{
	n_calls++;
}

static void use_producers(struct plait_reactor *r)
{
	struct plait_producer *p =
		NEW(struct plait_producer,
		    .ops = NEW(struct plait_producer_ops, .name = "spring",
			       .pause = note_order, .resume = note_order,
			       .stop = note_order));
	struct plait_transport *t =
		plait_testing_connect(r, counting_factory());
	static char water[100000];

	plait_assert(calls() == 1);
	plait_testing_set_window(t, 0);
	plait_assert(plait_transport_register_producer(t, p, true) == 0);
	plait_transport_write(t, water, sizeof(water));
	plait_testing_advance(r, 0);
	plait_testing_set_window(t, SIZE_MAX);
	plait_testing_advance(r, 0);
	plait_assert(calls() == 2);
	plait_transport_unregister_producer(t);
	plait_assert(plait_transport_register_producer(t, p, true) == 0);
	plait_transport_abort_connection(t);
	plait_testing_advance(r, 0);
	plait_assert(calls() == 2);
}

static ssize_t send_nowhere(struct plait_transport *t,
			    const struct iovec *pieces, int n)
{
	n_calls++;
	return (ssize_t)pieces[0].iov_len;
}

static void use_transports(struct plait_reactor *r)
{
	struct plait_transport *t = plait_transport_new(
		NEW(struct plait_transport_ops, .name = "void",
		    .size = sizeof(struct plait_transport),
		    .send = send_nowhere),
		r, NULL);
	struct plait_factory *f = counting_factory();

	plait_transport_made(t, plait_protocol_new(f->protocol));
	plait_transport_received(t, "hello", 5);
	plait_assert(calls() == 6);
	plait_transport_write(t, "hello", 5);
	plait_assert(plait_transport_unsent(t) == 5);
	plait_testing_advance(r, 0);
	plait_assert(calls() == 1);
	plait_assert(plait_transport_unsent(t) == 0);
	plait_transport_lose_connection(t);
	plait_testing_advance(r, 0);
	plait_assert(calls() == 1);
}

/* ---- factories ----------------------------------------------------------- */

static void use_reconnecting_factories(struct plait_reactor *r)
{
	struct plait_reconnecting_factory *f =
		NEW(struct plait_reconnecting_factory,
		    .base = { .ops = NEW(struct plait_factory_ops,
					 PLAIT_RECONNECTING_FACTORY,
					 .name = "again"),
			      .protocol = counting_factory()->protocol },
		    .backoff.jitter = -1);
	plait_value no = plait_fail(&plait_error_connection_refused, "no");
	struct plait_connector *c = plait_connect_tcp(
		r, "127.0.0.1", 9, &f->base,
		NEW(struct plait_connect_options, .timeout = 3));

	plait_testing_refuse(c, plait_value_failure(&no));
	plait_testing_advance(r, 3);
	plait_assert(plait_connector_state(c) == PLAIT_CONNECTOR_CONNECTING);
	plait_testing_complete(c);
	plait_assert(calls() == 1);
	plait_reconnecting_factory_stop_trying(f);
	plait_connector_disconnect(c);
	plait_testing_advance(r, 0);
	plait_assert(calls() == 1);
	plait_value_free(&no);
}

static plait_value fail_counted(void *arg)
{
	n_calls++;
	return plait_fail(&plait_error_any, "no");
}

static plait_value forget(plait_value *result, void *arg)
{
	return PLAIT_NONE;
}

static bool retry_once(const struct plait_failure *why, unsigned attempts,
		       void *arg)
{
	return attempts < 2;
}

static void use_retries(struct plait_reactor *r)
{
	struct plait_backoff *b =
		NEW(struct plait_backoff, .factor = 2, .jitter = -1);
	struct plait_deferred *d = plait_retry(r, fail_counted, NULL,
					       NEW(struct plait_retry_options,
						   .backoff.jitter = -1,
						   .should_retry = retry_once));

	plait_deferred_add_errback(d, forget, NULL);
	plait_testing_advance(r, 3);
	plait_testing_advance(r, 99);
	plait_assert(calls() == 2);
	plait_deferred_free(&d);
	plait_assert(plait_backoff_next(b, r) == 2);
	plait_assert(plait_backoff_next(b, r) == 4);
	plait_backoff_reset(b);
	plait_assert(plait_backoff_next(b, r) == 2);
}

static plait_value count_prepared(struct plait_protocol *p, void *arg)
{
	n_calls++;
	return PLAIT_NONE;
}

static void use_client_services(struct plait_reactor *r)
{
	struct plait_protocol_ops *ops =
		NEW(struct plait_protocol_ops, .name = "kept",
		    .size = sizeof(struct plait_protocol));
	struct plait_client_service *s;
	struct plait_endpoint *e;

	plait_assert(plait_endpoint_parse("tcp:127.0.0.1:7", &e, NULL, 0) == 0);
	s = plait_client_service_new(r, e, ops, NULL,
				     NEW(struct plait_client_service_options,
					 .backoff.jitter = -1,
					 .prepare = count_prepared));
	plait_endpoint_unref(&e);
	plait_client_service_start(s);
	plait_testing_advance(r, 30);
	plait_testing_advance(r, 1.5);
	plait_testing_complete(plait_testing_connector(r));
	plait_testing_advance(r, 0);
	plait_assert(calls() == 1);
	plait_client_service_free(&s);
	plait_testing_advance(r, 0);
}

static plait_value one_job(struct plait_job *job, void *arg)
{
	return PLAIT_NONE;
}

/* One job may run, and one may wait. */
static void use_pools(struct plait_reactor *r)
{
	struct plait_pool *pool =
		plait_pool_new(r, "old",
			       NEW(struct plait_pool_options, .max_threads = 1,
				   .max_queue = 1, .grace = 2));
	struct plait_deferred *d[3];

	for (int i = 0; i < 3; i++) {
		d[i] = plait_defer_to_pool(pool, one_job, NULL, NULL);
		plait_deferred_add_errback(d[i], forget, NULL);
	}
	plait_assert(!plait_deferred_is_fired(d[1]));
	plait_assert(plait_deferred_is_fired(d[2]));
	for (int i = 0; i < 3; i++)
		plait_deferred_free(&d[i]);
	plait_pool_free(&pool);
}

/* What it does as a job: this program once more. */
static plait_value give_back(const struct plait_buf *argument)
{
	return plait_buf_value(plait_buf_copy(plait_buf_data(argument),
					      plait_buf_size(argument)));
}

static struct plait_process_job *make_jobs(void)
{
	static struct plait_process_job jobs[2];

	jobs[0] = (struct plait_process_job){ .name = "give back",
					      .fn = give_back };
	return copy_at_end(jobs, sizeof(jobs));
}

static plait_value note_job(plait_value *result, void *done)
{
	plait_assert(plait_buf_size(plait_value_buf(result)) == 4);
	*(bool *)done = true;
	return PLAIT_NONE;
}

/* A reactor of its own, which may have children. */
static void use_process_jobs(void)
{
	struct plait_reactor *r = plait_reactor_new(NULL);
	struct plait_deferred *d = plait_defer_to_process(
		r, "give back", plait_text("poem"),
		NEW(struct plait_process_job_options, .max_processes = 1,
		    .max_result = 4));
	bool done = false;

	plait_deferred_add_callback(d, note_job, &done);
	while (!done)
		plait_reactor_iterate(r, 1);
	plait_deferred_free(&d);
	plait_reactor_free(&r);
}

static void use_unix_ports(struct plait_reactor *r)
{
	struct plait_factory *f = counting_factory();
	struct plait_port *port;

	plait_assert(plait_listen_unix(r, "@old", f,
				       NEW(struct plait_listen_unix_options,
					   .max_connections = 1),
				       &port) == 0);
	plait_assert(plait_testing_accept(port) != NULL);
	plait_assert(plait_transport_peer_credentials(
			     NULL, ZEROED(struct plait_credentials)) ==
		     -ENOMEM);
	plait_port_free(&port);
	plait_testing_advance(r, 0);
	calls();
}

static int listen_old(const struct plait_endpoint *e, struct plait_reactor *r,
		      struct plait_factory *f, struct plait_port **ret,
		      char *why)
{
	return plait_listen_tcp(r, (unsigned)plait_endpoint_number(e, "port"),
				f, NULL, ret);
}

static void use_endpoint_kinds(struct plait_reactor *r)
{
	static const struct plait_endpoint_key keys[] = {
		{ "port", PLAIT_ENDPOINT_PORT, PLAIT_ENDPOINT_NEEDED },
	};
	struct plait_factory *f = counting_factory();
	struct plait_endpoint *e = NULL;
	struct plait_deferred *d;

	plait_assert(plait_endpoint_register(NEW(struct plait_endpoint_kind,
						 .name = "old", .keys = keys,
						 .n_keys = 1, .plain = 1,
						 .listen = listen_old)) == 0);
	plait_assert(plait_endpoint_parse("old:5", &e, NULL, 0) == 0);
	d = plait_endpoint_listen(e, r, f);
	plait_assert(plait_value_port(plait_deferred_result(d)) != NULL);
	plait_deferred_free(&d);
	plait_endpoint_unref(&e);
	plait_testing_advance(r, 0);
	calls();
}

static void use_limited_factories(struct plait_reactor *r)
{
	struct plait_limited_factory *f =
		NEW(struct plait_limited_factory, .max_per_address = 1);
	struct plait_factory *inner = counting_factory();
	struct plait_deferred *d;
	struct plait_port *port;

	plait_limited_factory_init(f, inner);
	plait_assert(plait_listen_tcp(r, 0, &f->base.base, NULL, &port) == 0);
	plait_assert(plait_testing_accept(port) != NULL);
	plait_assert(plait_testing_accept(port) == NULL);
	plait_assert(f->connections == 1 && f->refused_address == 1);
	d = plait_port_stop_listening(&port);
	plait_testing_advance(r, 0);
	plait_assert(plait_deferred_is_fired(d));
	plait_deferred_free(&d);
	calls();
}

static void doubles(struct plait_datagram_protocol *p, const void *data,
		    size_t len, const struct plait_datagram_info *info)
{
	plait_assert(info->size == len && !info->truncated && !info->more);
	plait_assert(plait_datagram_reply(p, "xx", 2, info) == 0);
}

static void note_end(struct plait_process_protocol *p,
		     const struct plait_process_exit *how)
{
	plait_assert(how->code == 3);
	p->process = NULL;
}

static plait_value note_output(plait_value *result, void *done)
{
	const struct plait_output *o = plait_value_output(result);

	plait_assert(plait_buf_size(o->out) == 5 && o->how.code == 0);
	*(bool *)done = true;
	return PLAIT_NONE;
}

static void use_runs(struct plait_reactor *r)
{
	static const char *const argv[] = { "/bin/echo", "poem", NULL };
	struct plait_deferred *d =
		plait_run(r, argv, PLAIT_NONE,
			  NEW(struct plait_run_options, .process.grace = 1));
	bool done = false;

	plait_deferred_add_callback(d, note_output, &done);
	while (!done)
		plait_reactor_iterate(r, 1);
	plait_deferred_free(&d);
}

static void use_reaper(struct plait_reactor *r)
{
	struct plait_reaper *reaper = NEW(struct plait_reaper, .patience = -1);

	plait_assert(plait_reaper_start(r, reaper) == 0);
	plait_reactor_iterate(r, 0);
	plait_reaper_stop(reaper);
	plait_assert(reaper->reaping == NULL);
}

static void note_file(struct plait_file_watch *w,
		      const struct plait_file_change *c)
{
	plait_assert(c->existed && c->what == PLAIT_FILE_CREATED);
	plait_file_watch_stop(w);
}

static void use_files(struct plait_reactor *r)
{
	struct plait_file_watch *w = ZEROED(struct plait_file_watch);

	plait_assert(plait_file_watch_start(r, w, "/",
					    NEW(struct plait_file_watch_options,
						.existing = true,
						.max_directories = 1),
					    note_file) == 0);
	while (w->reactor != NULL)
		plait_reactor_iterate(r, 1);
}

static void use_pipes(struct plait_reactor *r)
{
	int fds[2];

	plait_assert(pipe(fds) == 0);
	plait_assert(plait_pipe_transport(
			     r, fds[0], -1, NULL,
			     NEW(struct plait_pipe_options,
				 .terminal = PLAIT_TERMINAL_RAW)) == -ENOMEM);
	close(fds[1]);
}

/* A reactor of its own: that of the others has no children. */
static void use_processes(void)
{
	static const char *const argv[] = { "/bin/sh", "-c", "exit 3", NULL };
	struct plait_reactor *r = plait_reactor_new(NULL);
	struct plait_process_protocol *p =
		NEW(struct plait_process_protocol,
		    .ops = NEW(struct plait_process_ops, .name = "child",
			       .ended = note_end));
	struct plait_process_fd *fd = NEW(struct plait_process_fd, .fd = 1);

	plait_assert(r != NULL);
	plait_assert(plait_spawn(r, argv, p,
				 NEW(struct plait_process_options, .fds = fd,
				     .n_fds = 1, .grace = 1),
				 NULL) == 0);
	while (p->process != NULL)
		plait_reactor_iterate(r, 1);
	use_runs(r);
	use_reaper(r);
	use_files(r);
	use_pipes(r);
	plait_reactor_free(&r);
}

static void use_datagrams(struct plait_reactor *r)
{
	struct plait_datagram_protocol *p =
		NEW(struct plait_datagram_protocol,
		    .ops = NEW(struct plait_datagram_ops, .name = "doubles",
			       .received = doubles));
	struct plait_address *from = ZEROED(struct plait_address);
	struct plait_port *port;
	struct plait_buf *b;

	plait_assert(plait_listen_udp(r, 0, p,
				      NEW(struct plait_udp_options,
					  .max_size = 10, .tell_local = true),
				      &port) == 0);
	plait_assert(plait_address_parse(from, "192.0.2.1", 9) == 0);
	plait_testing_datagram(port, "x", 1, from);
	b = plait_testing_datagram_sent(port, NULL);
	plait_assert(b != NULL && plait_buf_size(b) == 2);
	plait_buf_unref(&b);
	plait_port_free(&port);
	plait_testing_advance(r, 0);
	plait_assert(p->port == NULL);
	plait_assert(
		plait_listen_unix_datagrams(
			r, "@old", p,
			NEW(struct plait_unix_datagram_options, .max_size = 10),
			&port) == 0);
	plait_port_free(&port);
	plait_testing_advance(r, 0);
	plait_assert(p->port == NULL);
}

static void use_throttled_factories(struct plait_reactor *r)
{
	struct plait_throttled_factory *f =
		NEW(struct plait_throttled_factory,
		    .in = NEW(struct plait_bucket, .rate = 10, .burst = 2));
	struct plait_transport *t;

	plait_throttled_factory_init(f, counting_factory());
	t = plait_testing_connect(r, &f->base.base);
	plait_assert(calls() == 1);
	deliver(t, "slowly");
	plait_assert(calls() == 2);
	plait_testing_advance(r, 1);
	plait_testing_advance(r, 1);
	plait_assert(calls() == 4);
	plait_transport_write(t, "hello", 5);
	plait_transport_lose_connection(t);
	plait_testing_advance(r, 60);
	plait_assert(calls() == 1);
}

static void use_wrappers(struct plait_reactor *r)
{
	struct plait_wrapping_factory *f =
		NEW(struct plait_wrapping_factory,
		    .base = { .ops = NEW(struct plait_factory_ops,
					 PLAIT_WRAPPING_FACTORY,
					 .name = "wrapping"),
			      .protocol = NEW(
				      struct plait_protocol_ops, PLAIT_WRAPPER,
				      .name = "wrapper",
				      .size = sizeof(struct plait_wrapper)) },
		    .inner = counting_factory());
	struct plait_transport *t = plait_testing_connect(r, &f->base);

	deliver(t, "hello");
	plait_assert(calls() == 6);
	plait_testing_deliver_eof(t);
	plait_testing_advance(r, 60);
	plait_assert(calls() == 1);
}

/* ---- on sockets ---------------------------------------------------------- */

static void watch_ready(struct plait_watch *w, unsigned events)
{
	n_calls += events;
}

static plait_value wait_a_second(struct plait_reactor *r, void *arg)
{
	struct plait_deferred *d = plait_defer_later(r, 1, NULL, NULL);

	return plait_chain(&d);
}

static void use_simulations(void)
{
	struct plait_link *link = NEW(struct plait_link, .latency = 1);
	struct plait_simulation *s = plait_simulation_new(
		1, NEW(struct plait_simulation_options, .link = *link));
	struct plait_host *h = plait_simulation_host(s, "host");

	plait_host_set_faults(
		h, NEW(struct plait_host_faults, .interrupted = 0.5));
	plait_simulation_set_link(s, h, NULL, link);
	plait_host_run(h, wait_a_second, NULL);
	plait_assert(plait_simulation_run(s, 2) == -EDEADLK);
	plait_assert(plait_host_status(h) == 0);
	plait_simulation_free(&s);
}

static void wait_twice(struct plait_simulation *s, void *arg)
{
	plait_host_run(plait_simulation_host(s, "host"), wait_a_second, NULL);
	plait_simulation_run(s, 2);
}

static void use_seeds(void)
{
	struct plait_check_report *ret = ZEROED(struct plait_check_report);

	plait_assert(plait_check_seeds(wait_twice, NULL, 1, 3, ret) == 0);
	plait_assert(ret->runs == 3 && ret->text[0] == '\0');
}

static void use_watches(struct plait_reactor *r)
{
	struct plait_watch *w = ZEROED(struct plait_watch);
	int fds[2];

	plait_assert(pipe(fds) == 0);
	plait_assert(plait_watch_start(r, w, fds[0], PLAIT_WATCH_READ,
				       watch_ready) == 0);
	plait_assert(write(fds[1], "x", 1) == 1);
	plait_assert(plait_reactor_iterate(r, 10) == 0);
	plait_assert(calls() == PLAIT_WATCH_READ);
	plait_watch_stop(w);
	close(fds[0]);
	close(fds[1]);
}

static void echo_received(struct plait_protocol *p, const void *data,
			  size_t len)
{
	plait_transport_write(p->transport, data, len);
}

static void greet(struct plait_protocol *p)
{
	plait_transport_write(p->transport, "hello", 5);
	plait_transport_lose_write_connection(p->transport);
}

static void hang_up(struct plait_factory *f, struct plait_connector *c,
		    const struct plait_failure *why)
{
	n_calls += 100;
	plait_reactor_stop(plait_connector_reactor(c));
}

static void converse(struct plait_reactor *r)
{
	struct plait_factory *server =
		NEW(struct plait_factory,
		    .protocol = NEW(struct plait_protocol_ops, .name = "echo",
				    .size = sizeof(struct plait_protocol),
				    .data_received = echo_received),
		    .ops = NEW(struct plait_factory_ops, .name = "server"));
	struct plait_factory *client =
		NEW(struct plait_factory,
		    .protocol = NEW(struct plait_protocol_ops, .name = "client",
				    .size = sizeof(struct plait_protocol),
				    .connection_made = greet,
				    .data_received = received,
				    .connection_lost = lost),
		    .ops = NEW(struct plait_factory_ops, .name = "client",
			       .connection_lost = hang_up));
	struct plait_address *a = ZEROED(struct plait_address);
	struct plait_port *port;

	plait_assert(plait_reactor_set_limits(
			     r, NEW(struct plait_limits, .high_water = 3,
				    .close_timeout = 10)) == 0);
	plait_assert(plait_listen_tcp(r, 0, server,
				      NEW(struct plait_listen_options,
					  .backlog = 3, .no_delay = true),
				      &port) == 0);
	plait_port_host(port, a);
	plait_connect_tcp(r, "127.0.0.1", plait_address_port(a), client,
			  NEW(struct plait_connect_options, .timeout = 10));
	plait_assert(plait_reactor_run(r) == 0);
	plait_assert(calls() == 5 + 1 + 100);
}

/* ---- cancel points -------------------------------------------------- */

static struct plait_deferred *nap_a_second(struct plait_reactor *r, void *arg)
{
	return plait_defer_later(r, 1, NULL, NULL);
}

static void use_cancel_points(void)
{
	struct plait_check_report *report =
		NEW(struct plait_check_report, .runs = 0);

	plait_assert(
		plait_check_cancel_points(
			NEW(struct plait_cancel_check, .start = nap_a_second,
			    .how = PLAIT_CANCEL_CALL | PLAIT_CANCEL_FREE),
			report) == 2);
	plait_assert(report->runs == 5 && report->points == 2);
}

int main(int argc, char **argv)
{
	struct plait_reactor *r;

	plait_process_jobs_main(argc, argv, make_jobs());
	r = plait_testing_reactor_new();
	plait_assert(r != NULL && argc == 2);
	use_types();
	use_errors();
	use_addresses();
	use_dns_records();
	use_timers(r);
	use_thread_calls(r);
	use_signal_watches(r);
	use_scope_entries(r);
	use_idle_timeouts(r);
	use_line_receivers(r);
	use_line_only_receivers(r);
	use_netstring_receivers(r);
	use_intn_receivers(r);
	use_inputs(r);
	use_producers(r);
	use_transports(r);
	use_reconnecting_factories(r);
	use_retries(r);
	use_client_services(r);
	use_pools(r);
	use_process_jobs();
	use_resolvers(r);
	use_unix_ports(r);
	use_endpoint_kinds(r);
	use_limited_factories(r);
	use_datagrams(r);
	use_processes();
	use_throttled_factories(r);
	use_wrappers(r);
	use_simulations();
	use_seeds();
	plait_reactor_free(&r);
	use_cancel_points();
	calls();
	r = plait_reactor_new(argv[1]);
	plait_assert(r != NULL);
	use_watches(r);
	converse(r);
	plait_reactor_free(&r);
	return 0;
}
