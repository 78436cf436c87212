/*
 * Kinds of endpoints that a program brings: how their text is read, what their
 * functions are given, and which are refused.
 */
#include <plait/testing.h>

#include "tests/actor.h"
#include "tests/child.h"
#include "tests/harness.h"

static struct actor server, client;
static unsigned wraps, unwraps;
static struct plait_port *port;

/* ---- a kind with a key of each type, which listens and connects ---------- */

static const struct plait_endpoint_key all_keys[] = {
	{ "text", PLAIT_ENDPOINT_TEXT, PLAIT_ENDPOINT_NEEDED },
	{ "host", PLAIT_ENDPOINT_HOST, 0 },
	{ "address", PLAIT_ENDPOINT_ADDRESS, 0 },
	{ "path", PLAIT_ENDPOINT_PATH, 0 },
	{ "port", PLAIT_ENDPOINT_PORT, 0 },
	{ "count", PLAIT_ENDPOINT_COUNT, 0 },
	{ "number", PLAIT_ENDPOINT_NUMBER, 0 },
	{ "flag", PLAIT_ENDPOINT_FLAG, 0 },
	{ "mode", PLAIT_ENDPOINT_MODE, 0 },
	{ "seconds", PLAIT_ENDPOINT_SECONDS, 0 },
	{ "bytes", PLAIT_ENDPOINT_BYTES, 0 },
};

static const struct plait_endpoint *asked; /* of which no function is called */

static const char *all_check(const struct plait_endpoint *e)
{
	asked = e;
	return strcmp(plait_endpoint_text(e, "text"), "bad") == 0
		       ? "this text is bad"
		       : NULL;
}

static struct plait_connector *all_connect(const struct plait_endpoint *e,
					   struct plait_reactor *r,
					   struct plait_factory *f, char *why)
{
	snprintf(why, PLAIT_ENDPOINT_WHY_SIZE, "not today");
	errno = EDOM;
	return NULL;
}

static const struct plait_endpoint_kind all_kind = {
	.name = "all",
	.keys = all_keys,
	.n_keys = N_OF(all_keys),
	.plain = 1,
	.check = all_check,
	.connect = all_connect,
};

/* ---- a kind that wraps --------------------------------------------------- */

static const struct plait_endpoint_key wrap_keys[] = {
	{ "fails", PLAIT_ENDPOINT_FLAG, 0 },
};

static unsigned above; /* transports that wrap others */

static int above_init(struct plait_transport *t)
{
	above++;
	return 0;
}

/* What a transport needs until here may be a part of the factory. */
static void above_done(struct plait_transport *t)
{
	ck_assert_uint_eq(unwraps, 0);
	above--;
}

static const struct plait_transport_ops above_ops = {
	.name = "above",
	.init = above_init,
	.done = above_done,
};

static void wrap_done(struct plait_factory *f)
{
	ck_assert_uint_eq(above, 0);
	unwraps++;
	free(f);
}

static const struct plait_protocol_ops wrapper_ops = {
	.name = "wrapper",
	PLAIT_WRAPPER,
};

static struct plait_wrapping_factory *
wrap_factory(const struct plait_endpoint *e, struct plait_reactor *r,
	     struct plait_factory *inner)
{
	static const struct plait_factory_ops ops = {
		.name = "wrap",
		PLAIT_WRAPPING_FACTORY,
		.done = wrap_done,
	};
	struct plait_wrapping_factory *f = calloc(1, sizeof(*f));

	if (f == NULL || plait_endpoint_number(e, "fails") != 0) {
		free(f);
		errno = ENOTSUP;
		return NULL;
	}
	wraps++;
	f->base.ops = &ops;
	f->base.protocol = &wrapper_ops;
	f->inner = inner;
	f->transport = &above_ops;
	return f;
}

static const struct plait_endpoint_kind wrap_kind = {
	.name = "wrap",
	.keys = wrap_keys,
	.n_keys = N_OF(wrap_keys),
	.wrap_connecting = wrap_factory,
	.wrap_listening = wrap_factory,
};

/* ---- a kind that says why ------------------------------------------------ */

static int sour_listen(const struct plait_endpoint *e, struct plait_reactor *r,
		       struct plait_factory *f, struct plait_port **ret,
		       char *why)
{
	strcpy(why, "the grapes are sour");
	return -EACCES;
}

static const struct plait_endpoint_kind sour_kind = {
	.name = "sour",
	.listen = sour_listen,
};

/* -------------------------------------------------------------------------- */

static void setup(void)
{
	actor_init(&server);
	actor_init(&client);
	wraps = unwraps = 0;
	ck_assert_int_eq(plait_endpoint_register(&all_kind), 0);
	ck_assert_int_eq(plait_endpoint_register(&wrap_kind), 0);
	ck_assert_int_eq(plait_endpoint_register(&sour_kind), 0);
}

static int parse(const char *text, struct plait_endpoint **ret, char *why)
{
	*why = '\0';
	return plait_endpoint_parse(text, ret, why, PLAIT_ENDPOINT_WHY_SIZE);
}

static struct plait_endpoint *read_it(const char *text)
{
	char why[PLAIT_ENDPOINT_WHY_SIZE];
	struct plait_endpoint *e = NULL;

	ck_assert_msg(parse(text, &e, why) == 0, "%s: %s", text, why);
	return e;
}

static struct plait_deferred *listen_on(const char *text)
{
	struct plait_endpoint *e = read_it(text);
	struct plait_deferred *d =
		plait_endpoint_listen(e, reactor, &server.base);

	plait_endpoint_unref(&e);
	return d;
}

static plait_value take_port(plait_value *result, void *arg)
{
	port = plait_port_take(result);
	return PLAIT_NONE;
}

static plait_value ignore(plait_value *result, void *arg)
{
	return PLAIT_NONE;
}

/* The deferred has failed with that errno, and says this. */
static void has_failed(struct plait_deferred *d, int err, const char *said)
{
	const struct plait_failure *f =
		plait_value_failure(plait_deferred_result(d));

	ck_assert_int_eq(plait_failure_errno(f), err);
	ck_assert_msg(strstr(plait_failure_message(f), said) != NULL, "%s",
		      plait_failure_message(f));
	plait_deferred_add_errback(d, ignore, NULL);
	plait_deferred_free(&d);
}

GROUP("keys", .setup = setup);

static const char every_key[] =
	"all:a\\:word:host=[\\:\\:1]:address=127.0.0.1:path=/a:port=5:count=6:"
	"number=7:flag=1:mode=640:seconds=1.5:bytes=2K";

TEST(the_functions_of_a_kind_find_what_was_read, PURE)
{
	struct plait_endpoint *e = read_it(every_key);

	ck_assert_ptr_eq(asked, e);
	ck_assert_str_eq(plait_endpoint_text(e, "text"), "a:word");
	ck_assert_str_eq(plait_endpoint_text(e, "host"), "::1");
	ck_assert_str_eq(plait_endpoint_text(e, "address"), "127.0.0.1");
	ck_assert_str_eq(plait_endpoint_text(e, "path"), "/a");
	ck_assert_uint_eq(plait_endpoint_number(e, "port"), 5);
	ck_assert_uint_eq(plait_endpoint_number(e, "count"), 6);
	ck_assert_uint_eq(plait_endpoint_number(e, "number"), 7);
	ck_assert_uint_eq(plait_endpoint_number(e, "flag"), 1);
	ck_assert_uint_eq(plait_endpoint_number(e, "mode"), 0640);
	ck_assert(plait_endpoint_seconds(e, "seconds") == 1.5);
	ck_assert_uint_eq(plait_endpoint_number(e, "bytes"), 2000);
	plait_endpoint_unref(&e);
}

TEST(what_was_not_written_is_not_there, PURE)
{
	struct plait_endpoint *e = read_it("all:word");

	ck_assert(plait_endpoint_has(e, "text"));
	for (int i = 1; i < N_OF(all_keys); i++) {
		ck_assert(!plait_endpoint_has(e, all_keys[i].name));
		ck_assert_ptr_null(plait_endpoint_text(e, all_keys[i].name));
		ck_assert_uint_eq(plait_endpoint_number(e, all_keys[i].name),
				  0);
	}
	plait_endpoint_unref(&e);
}

TEST(a_kind_is_written_as_it_is_read, PURE)
{
	struct plait_endpoint *e = read_it(every_key), *again;
	char text[300];

	plait_endpoint_str(e, text, sizeof(text));
	ck_assert_str_eq(text, "all:a\\:word:host=[::1]:address=127.0.0.1:"
			       "path=/a:port=5:count=6:number=7:flag=1:"
			       "mode=640:seconds=1.5:bytes=2000");
	again = read_it(text);
	ck_assert(plait_endpoint_equal(e, again));
	plait_endpoint_unref(&e);
	plait_endpoint_unref(&again);
}

static const struct {
	const char *text, *why;
} wrong[] = {
	{ "all", "column 1: all has no text" },
	{ "all:bad", "column 1: this text is bad" },
	{ "all:a:flag=2", "column 12: flag is `2', and must be a number from "
			  "0 to 1" },
	{ "wrap:fails=1:all:bad", "column 14: this text is bad" },
	{ "wrap", "column 5: wrap wraps nothing" },
};

TEST(a_text_of_a_kind_is_refused_with_its_reason, PURE, EACH_OF(wrong))
{
	char why[PLAIT_ENDPOINT_WHY_SIZE];
	struct plait_endpoint *e = NULL;

	ck_assert_int_eq(parse(wrong[_i].text, &e, why), -EINVAL);
	ck_assert_str_eq(why, wrong[_i].why);
	ck_assert_ptr_null(e);
}

static void ask_for_no_key(void *arg)
{
	plait_endpoint_number(arg, "prot");
}

TEST(a_key_that_a_kind_has_not_aborts, PURE)
{
	struct plait_endpoint *e = read_it("all:a");

	assert_aborts(ask_for_no_key, e, "of kind all has no key prot");
	plait_endpoint_unref(&e);
}

GROUP("registering", .setup = setup);

#define BAD(...)                                                               \
	{                                                                      \
		__VA_ARGS__                                                    \
	}
static const struct plait_endpoint_key bad_key[] = { { "a=b", 0, 0 } };
static const struct plait_endpoint_kind bad_kinds[] = {
	BAD(.name = NULL, .listen = sour_listen),
	BAD(.name = "", .listen = sour_listen),
	BAD(.name = "a:b", .listen = sour_listen),
	BAD(.name = "a b", .listen = sour_listen),
	BAD(.name = "nothing"),
	BAD(.name = "both", .listen = sour_listen,
	    .wrap_listening = wrap_factory),
	BAD(.name = "plain", .listen = sour_listen, .plain = 1),
	BAD(.name = "many", .keys = all_keys, .n_keys = N_OF(all_keys),
	    .plain = 5, .listen = sour_listen),
	BAD(.name = "key", .keys = bad_key, .n_keys = 1, .listen = sour_listen),
	BAD(.name = "reserved", .listen = sour_listen, .reserved = { 1 }),
	BAD(.name = "reserved", .listen = sour_listen,
	    .reserved = { 0, 0, 0, 1 }),
};

TEST(a_kind_that_makes_no_sense_is_refused, PURE, EACH_OF(bad_kinds))
{
	ck_assert_int_eq(plait_endpoint_register(&bad_kinds[_i]), -EINVAL);
}

TEST(a_name_means_one_kind, PURE)
{
	struct plait_endpoint_kind other = sour_kind;

	ck_assert_int_eq(plait_endpoint_register(&sour_kind), 0);
	ck_assert_int_eq(plait_endpoint_register(&other), -EEXIST);
	other.name = "tcp";
	ck_assert_int_eq(plait_endpoint_register(&other), -EEXIST);
}

TEST(there_may_be_sixty_four_kinds, PURE)
{
	static struct plait_endpoint_kind kinds[64];
	static char names[64][8];
	int i;

	for (i = 3; i < 64; i++) {
		snprintf(names[i], sizeof(names[i]), "k%d", i);
		kinds[i] = sour_kind;
		kinds[i].name = names[i];
		ck_assert_int_eq(plait_endpoint_register(&kinds[i]), 0);
	}
	kinds[0] = sour_kind;
	kinds[0].name = "last";
	ck_assert_int_eq(plait_endpoint_register(&kinds[0]), -ENOSPC);
	ck_assert_int_eq(plait_endpoint_register(&kinds[63]), 0);
}

GROUP("using", .setup = setup);

TEST(a_kind_says_why_it_does_not_listen, ON_EACH_REACTOR)
{
	has_failed(listen_on("wrap:wrap:sour"), EACCES,
		   "listen on wrap:wrap:sour: the grapes are sour");
	ck_assert_uint_eq(wraps, 2);
	ck_assert_uint_eq(unwraps, 2);
}

/* The outer has been made by then, and the inner fails. */
TEST(a_wrapper_that_fails_leaves_nothing, ON_EACH_REACTOR)
{
	has_failed(listen_on("wrap:wrap:fails=1:tcp:0"), ENOTSUP,
		   "listen on wrap:wrap:fails=1:tcp:0");
	ck_assert_uint_eq(wraps, 1);
	ck_assert_uint_eq(unwraps, 1);
	ck_assert_str_eq(server.trace, "");
}

static const struct plait_protocol_ops client_ops = { .name = "client" };

TEST(a_kind_that_does_not_begin_is_a_failure, ON_EACH_REACTOR, TIMES(2))
{
	struct plait_endpoint *e =
		read_it(_i == 0 ? "wrap:all:a" : "wrap:wrap:fails=1:all:a");
	struct plait_deferred *d =
		plait_endpoint_connect(e, reactor, &client_ops, NULL);

	plait_endpoint_unref(&e);
	has_failed(d, _i == 0 ? EDOM : ENOTSUP,
		   _i == 0 ? "connect to wrap:all:a: not today"
			   : "connect to wrap:wrap:fails=1:all:a");
	ck_assert_uint_eq(wraps, 1);
	ck_assert_uint_eq(unwraps, 1);
}

/* The port ends first, and the connection keeps the wrapper. */
TEST(a_wrapper_ends_with_its_port_and_its_last_connection, ON_EACH_KERNEL)
{
	struct plait_deferred *d = listen_on("wrap:tcp:0");
	struct plait_address at;

	plait_deferred_add_callback(d, take_port, NULL);
	plait_deferred_free(&d);
	plait_port_host(port, &at);
	actor_connect(&client, reactor, plait_address_port(&at));
	run_until_count(reactor, &server.made, 1);
	ck_assert_uint_eq(above, 1);
	plait_port_free(&port);
	run_until_count(reactor, &server.stops, 1);
	ck_assert_uint_eq(unwraps, 0);
	plait_transport_lose_connection(server.transport);
	actor_wait_idle(&client, reactor);
	run_until_count(reactor, &unwraps, 1);
}

GROUP("without a text");

static const struct {
	const char *host;
	unsigned port;
	const char *text;
} tcp_endpoints[] = {
	{ NULL, 80, "tcp:80" },
	{ "example.org", 80, "tcp:example.org:80" },
	{ "::1", 65535, "tcp:[::1]:65535" },
	{ "fe80::1%3", 1, "tcp:[fe80::1%3]:1" },
	{ "a=b", 1, "tcp:a\\=b:1" },
	{ "a:b", 1, NULL },
	{ "", 1, NULL },
	{ "a b", 1, NULL },
	{ "example.org", 65536, NULL },
};

static void is_written_or_refused(struct plait_endpoint *e, const char *text)
{
	char buf[300];

	if (text == NULL) {
		ck_assert_ptr_null(e);
		ck_assert_int_eq(errno, EINVAL);
		return;
	}
	plait_endpoint_str(e, buf, sizeof(buf));
	ck_assert_str_eq(buf, text);
	plait_endpoint_unref(&e);
}

TEST(tcp_needs_no_text, PURE, EACH_OF(tcp_endpoints))
{
	is_written_or_refused(plait_endpoint_tcp(tcp_endpoints[_i].host,
						 tcp_endpoints[_i].port),
			      tcp_endpoints[_i].text);
}

static const struct {
	const char *path, *text;
} unix_endpoints[] = {
	{ "/run/poem", "unix:/run/poem" },
	{ "@poem", "unix:@poem" },
	{ "/a:b=c\\d", "unix:/a\\:b\\=c\\\\d" },
	{ "[poem]", "unix:\\[poem]" },
	{ "", NULL },
	{ "@", NULL },
};

TEST(unix_needs_no_text, PURE, EACH_OF(unix_endpoints))
{
	is_written_or_refused(plait_endpoint_unix(unix_endpoints[_i].path),
			      unix_endpoints[_i].text);
}
