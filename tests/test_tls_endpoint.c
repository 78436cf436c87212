/*
 * Endpoints of the kind tls.
 */
#include <stdio.h>

#include <plait/endpoint.h>

#include "tests/harness.h"
#include "tests/model.h"
#include "tests/tls_ends.h"
#include "tests/trace.h"

static struct plait_endpoint *endpoint;

static void setup(void)
{
	tls_ends_setup();
	ck_assert_int_eq(plait_tls_register_endpoints(), 0);
	ck_assert_int_eq(plait_tls_register_endpoints(), 0);
}

static void teardown(void)
{
	plait_endpoint_unref(&endpoint);
	tls_ends_teardown();
}

static struct plait_endpoint *parse(const char *text)
{
	char why[PLAIT_ENDPOINT_WHY_SIZE] = "";

	plait_endpoint_unref(&endpoint);
	ck_assert_msg(plait_endpoint_parse(text, &endpoint, why, sizeof(why)) ==
			      0,
		      "%s", why);
	return endpoint;
}

static plait_value keep_port(plait_value *result, void *arg)
{
	tls_port = plait_port_take(result);
	return PLAIT_NONE;
}

/* Its text has %s for the folder of the certificates. */
static void listen_on(const char *text)
{
	struct plait_deferred *d;
	char all[500];

	snprintf(all, sizeof(all), text, CERTIFICATES, CERTIFICATES,
		 CERTIFICATES);
	d = plait_endpoint_listen(parse(all), reactor, &at_server.factory);
	plait_deferred_add_callback(d, keep_port, NULL);
	ck_assert_ptr_nonnull(tls_port);
	plait_deferred_free(&d);
}

static void connect_to(const char *text)
{
	struct plait_address at;
	char all[500];

	plait_port_host(tls_port, &at);
	snprintf(all, sizeof(all), text, plait_address_port(&at), CERTIFICATES,
		 CERTIFICATES, CERTIFICATES);
	at_client.connector = plait_endpoint_connect_factory(
		parse(all), reactor, &at_client.factory);
	ck_assert_ptr_nonnull(at_client.connector);
}

static void meet_and_part(void)
{
	run_until(reactor, tls_client_has_outcome, NULL);
	ck_assert_uint_eq(at_client.failed, 0);
	run_until_count(reactor, &at_server.made, 1);
	plait_transport_lose_connection(tls_end_transport(&at_client));
	tls_end_all();
}

GROUP("endpoints", .setup = setup, .teardown = teardown);

TEST(a_text_is_a_server_or_a_client, ON_EACH_KERNEL)
{
	listen_on("tls:0:interface=127.0.0.1:cert=%sgood.pem:key=%sgood.key");
	connect_to("tls:127.0.0.1:%u:ca=%sauthority.pem");
	meet_and_part();
}

TEST(a_name_may_be_another_than_the_hosts, ON_EACH_KERNEL)
{
	listen_on("tls:0:interface=127.0.0.1:cert=%srsa.pem:key=%srsa.key");
	connect_to("tls:127.0.0.1:%u:ca=%sauthority.pem:name=poetry.example");
	meet_and_part();
}

TEST(protocols_are_agreed_on, ON_EACH_KERNEL)
{
	struct plait_tls_info info;

	listen_on("tls:0:interface=127.0.0.1:alpn=h2,http/1.1:"
		  "cert=%sgood.pem:key=%sgood.key");
	connect_to("tls:127.0.0.1:%u:ca=%sauthority.pem:alpn=http/1.1");
	run_until(reactor, tls_client_has_outcome, NULL);
	ck_assert_int_eq(
		plait_transport_tls_info(tls_end_transport(&at_client), &info),
		0);
	ck_assert_str_eq(info.alpn, "http/1.1");
	meet_and_part();
}

/* However many there are. */
TEST(the_last_of_many_protocols_counts, ON_EACH_KERNEL)
{
	enum { MANY = 40 };
	char text[1000];
	struct plait_tls_info info;
	int len = snprintf(text, sizeof(text),
			   "tls:127.0.0.1:%%u:ca=%%sauthority.pem:alpn=");

	for (int i = 1; i <= MANY; i++)
		len += snprintf(text + len, sizeof(text) - (size_t)len, "%sp%d",
				i == 1 ? "" : ",", i);
	listen_on("tls:0:interface=127.0.0.1:alpn=p40:"
		  "cert=%sgood.pem:key=%sgood.key");
	connect_to(text);
	run_until(reactor, tls_client_has_outcome, NULL);
	ck_assert_int_eq(
		plait_transport_tls_info(tls_end_transport(&at_client), &info),
		0);
	ck_assert_str_eq(info.alpn, "p40");
	meet_and_part();
}

TEST(both_ends_may_show_certificates, ON_EACH_KERNEL)
{
	listen_on("tls:0:interface=127.0.0.1:cert=%sgood.pem:key=%sgood.key:"
		  "ca=%sauthority.pem");
	connect_to("tls:127.0.0.1:%u:ca=%sauthority.pem:cert=%sclient.pem:"
		   "key=%sclient.key");
	meet_and_part();
}

static const struct {
	const char *text;
	bool is_good;
} any[] = {
	{ "tls:127.0.0.1:%u:ca=%sauthority.pem", false },
	{ "tls:127.0.0.1:%u:ca=%sauthority.pem:acceptAnyName=1", true },
	{ "tls:127.0.0.1:%u:acceptAnyName=1", false },
	{ "tls:127.0.0.1:%u:acceptAnyCertificate=1", true },
};

TEST(what_is_not_checked_is_said_in_so_many_words, ON_EACH_BACKEND,
     EACH_OF(any))
{
	listen_on("tls:0:interface=127.0.0.1:cert=%swrong-name.pem:"
		  "key=%swrong-name.key");
	connect_to(any[_i].text);
	if (any[_i].is_good) {
		meet_and_part();
		return;
	}
	run_until(reactor, tls_client_has_outcome, NULL);
	tls_end_all();
	ck_assert_uint_eq(at_client.failed, 1);
	ck_assert_ptr_eq(plait_failure_kind(at_client.why),
			 &plait_error_tls_verify);
}

enum { protocol_version = 70 }; /* an alert */

/* The other end speaks TLS 1.2 alone. */
TEST(an_end_may_want_a_new_version, ON_EACH_KERNEL, TIMES(4))
{
	bool is_server = _i & 1, wants_new = _i & 2;
	struct plait_tls_context *old = NULL;

	if (is_server) {
		listen_on(wants_new ? "tls:0:interface=127.0.0.1:"
				      "minVersion=TLSv1.3:cert=%sgood.pem:"
				      "key=%sgood.key"
				    : "tls:0:interface=127.0.0.1:"
				      "minVersion=TLSv1.2:cert=%sgood.pem:"
				      "key=%sgood.key");
		tls_ends_are_old = true;
		tls_connect(tls_client(NULL), "127.0.0.1");
	} else {
		tls_ends_are_old = true;
		old = tls_server(NULL);
		tls_listen(old);
		connect_to(wants_new ? "tls:127.0.0.1:%u:minVersion=TLSv1.3:"
				       "ca=%sauthority.pem"
				     : "tls:127.0.0.1:%u:minVersion=TLSv1.2:"
				       "ca=%sauthority.pem");
	}
	if (!wants_new) {
		meet_and_part();
		return;
	}
	run_until(reactor, tls_client_has_outcome, NULL);
	tls_end_all();
	ck_assert_uint_eq(at_client.failed, 1);
	ck_assert_int_eq(plait_tls_failure_alert(at_client.why),
			 protocol_version);
}

TEST(limits_and_throttles_stand_around_it, ON_EACH_KERNEL)
{
	listen_on("limit:total=10:throttle:in=1M:tls:0:interface=127.0.0.1:"
		  "cert=%sgood.pem:key=%sgood.key");
	connect_to("throttle:out=1M:tls:127.0.0.1:%u:ca=%sauthority.pem");
	meet_and_part();
}

/* ---- what is wrong ------------------------------------------------------- */

static void fails(struct plait_deferred *d, int err, const char *text)
{
	const struct plait_failure *f =
		plait_value_failure(plait_deferred_result(d));
	char all[500];

	plait_failure_str(f, all, sizeof(all));
	ck_assert_int_eq(plait_failure_errno(f), err);
	ck_assert_msg(strstr(all, text) != NULL, "%s", all);
	ck_assert_msg(strstr(all, ": No such file or directory: ") == NULL,
		      "%s", all);
	unhandled_expect(unhandled_count() + 1);
	plait_deferred_free(&d);
}

TEST(a_server_says_what_is_wrong, ON_EACH_BACKEND)
{
	fails(plait_endpoint_listen(parse("tls:0:cert=/nonexistent"), reactor,
				    &at_server.factory),
	      ENOENT, "certificate /nonexistent: No such file");
	fails(plait_endpoint_listen(parse("tls:0"), reactor,
				    &at_server.factory),
	      EINVAL, "a server needs a certificate");
	ck_assert(!plait_factory_is_used(&at_server.factory));
}

TEST(a_client_says_what_is_wrong, ON_EACH_BACKEND)
{
	static const struct plait_protocol_ops ops = { .name = "client" };

	fails(plait_endpoint_connect(parse("tls:localhost:1:ca=/nonexistent"),
				     reactor, &ops, NULL),
	      ENOENT,
	      "connect to tls:localhost:1:ca=/nonexistent: "
	      "authorities /nonexistent: No such file");
}

TEST(a_client_that_cannot_begin_does_not, ON_EACH_BACKEND)
{
	ck_assert_ptr_null(plait_endpoint_connect_factory(
		parse("tls:localhost:1:ca=/nonexistent"), reactor,
		&at_client.factory));
	ck_assert_int_eq(errno, ENOENT);
	ck_assert(!plait_factory_is_used(&at_client.factory));
}

TEST(an_unknown_version_is_refused_when_it_is_read, PURE)
{
	char why[PLAIT_ENDPOINT_WHY_SIZE];

	ck_assert_int_eq(plait_endpoint_parse("tls:a.example:1:minVersion=1.3",
					      &endpoint, why, sizeof(why)),
			 -EINVAL);
	ck_assert_ptr_nonnull(
		strstr(why, "minVersion is neither TLSv1.2 nor TLSv1.3"));
}

TEST(protocols_that_cannot_be_sent_are_refused_when_they_are_read, PURE)
{
	static const char *const lists[] = { "", ",", "h2,", ",h2", "h2,,h3" };
	char why[PLAIT_ENDPOINT_WHY_SIZE], text[400];

	for (int i = 0; i < N_OF(lists); i++) {
		snprintf(text, sizeof(text), "tls:a.example:1:alpn=%s",
			 lists[i]);
		ck_assert_int_eq(
			plait_endpoint_parse(text, &endpoint, why, sizeof(why)),
			-EINVAL);
	}
	ck_assert_ptr_nonnull(strstr(why, "a name of alpn has no or too many"));
	memset(text, 'x', sizeof(text));
	memcpy(text, "tls:a.example:1:alpn=", 21);
	text[21 + 256] = '\0';
	ck_assert_int_eq(
		plait_endpoint_parse(text, &endpoint, why, sizeof(why)),
		-EINVAL);
	text[21 + 255] = '\0';
	ck_assert_ptr_nonnull(parse(text));
}

TEST(a_text_is_what_it_was_read_from, PURE)
{
	static const char *const texts[] = {
		"tls:poetry.example:443",
		"tls:b.example:443:timeout=5:ca=a.pem:alpn=h2:name=c.example",
		"tls:b.example:443:alpn=h2,http/1.1:acceptAnyName=1",
		"tls:443:interface=127.0.0.1:backlog=5:cert=a:key=b",
		"tls:443:cert=a:minVersion=TLSv1.3",
	};
	char text[300];

	for (int i = 0; i < N_OF(texts); i++) {
		plait_endpoint_str(parse(texts[i]), text, sizeof(text));
		ck_assert_str_eq(text, texts[i]);
	}
}
