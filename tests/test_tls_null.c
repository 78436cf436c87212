/*
 * The functions of libplait-tls, each called with its handles NULL, as
 * test_null.c does it for libplait; scripts/check-null reads the rows.
 */
#include <plait/testing.h>
#include <plait/tls.h>

#include "tests/child.h"
#include "tests/harness.h"

static void has_no_memory(struct plait_deferred *d);
static bool is_no_memory(plait_value v);

#define NOTHING(function, parameter, ...) __VA_ARGS__
#define ENDED(function, parameter, type)                                       \
	do {                                                                   \
		type *none = NULL;                                             \
                                                                               \
		function(NULL);                                                \
		function(&none);                                               \
		ck_assert_ptr_null(none);                                      \
	} while (0)
#define FAILS(function, parameter, ...)                                        \
	ck_assert_msg(is_no_memory(__VA_ARGS__), "%s", #function)
#define FIRES(function, parameter, ...) has_no_memory(__VA_ARGS__)
#define DIFFERS(function, parameter, value, ...)                               \
	ck_assert_msg((__VA_ARGS__) != (value), "%s", #function)
#define GIVES(function, parameter, value, ...)                                 \
	ck_assert_msg((__VA_ARGS__) == (value), "%s", #function)

TEST(a_null_failure_has_no_numbers, PURE)
{
	GIVES(plait_tls_failure_alert, f, -1, plait_tls_failure_alert(NULL));
	GIVES(plait_tls_failure_verify_error, f, 0,
	      plait_tls_failure_verify_error(NULL));
}

TEST(a_null_context_is_none, PURE)
{
	struct plait_tls_context *missing = NULL;
	char why[PLAIT_TLS_WHY_SIZE] = "";

	GIVES(plait_tls_context_ref, c, NULL, plait_tls_context_ref(NULL));
	ENDED(plait_tls_context_unref, cp, struct plait_tls_context);
	ENDED(plait_tls_context_cleanup, cp, struct plait_tls_context);
	GIVES(plait_tls_context_reload, c, -ENOMEM,
	      plait_tls_context_reload(NULL, NULL, NULL, why, sizeof(why)));
	ck_assert_str_eq(why, "context: Cannot allocate memory");
	GIVES(plait_tls_context_set_ticket_keys, c, -ENOMEM,
	      plait_tls_context_set_ticket_keys(NULL, NULL, 0));
	FAILS(plait_tls_context_value, cp, plait_tls_context_value(&missing));
}

static struct plait_factory factory;

TEST(a_null_context_makes_no_connection, ON_EACH_BACKEND)
{
	struct plait_factory *f = NULL;

	plait_tls_factory_free(NULL);
	plait_tls_factory_free(&f);
	plait_tls_factory_cleanup(&f);
	GIVES(plait_listen_tls, c, -ENOMEM,
	      plait_listen_tls(reactor, 0, &factory, NULL, NULL, NULL));
	GIVES(plait_connect_tls, c, NULL,
	      plait_connect_tls(reactor, "x", 1, &factory, NULL, NULL));
	ck_assert_int_eq(errno, ENOMEM);
	/* It begins in the clear. */
	DIFFERS(plait_tls_wrap_factory, c, NULL,
		f = plait_tls_wrap_factory(NULL, &factory, NULL));
	plait_tls_factory_cleanup(&f);
	ck_assert_ptr_null(f);
}

static bool is_no_memory(plait_value v)
{
	return plait_value_is_failure(&v) &&
	       plait_failure_check(plait_value_failure(&v),
				   &plait_error_no_memory);
}

static void has_no_memory(struct plait_deferred *d)
{
	const plait_value *v = plait_deferred_result(d);

	ck_assert(plait_failure_check(plait_value_failure(v),
				      &plait_error_no_memory));
	unhandled_expect(unhandled_count() + 1);
	plait_deferred_free(&d);
}

/* Made when it is needed, and not freed. */
static struct plait_transport *some_transport(void)
{
	return plait_testing_connect(reactor, &factory);
}

static const struct plait_protocol_ops nothing = { .name = "null" };

TEST(a_null_transport_has_no_tls, PURE)
{
	struct plait_tls_info info;

	reactor = plait_testing_reactor_new();
	factory.protocol = &nothing;
	GIVES(plait_transport_tls_info, t, -ENOMEM,
	      plait_transport_tls_info(NULL, &info));
	FIRES(plait_tls_start, t, plait_tls_start(NULL, NULL, NULL));
	FIRES(plait_tls_start, c,
	      plait_tls_start(some_transport(), NULL, NULL));
	plait_reactor_free(&reactor);
}

static struct plait_tls_context *context_new(bool serves)
{
	struct plait_tls_server_options o = {
		.certificate.file = CERTIFICATES "good.pem",
		.key.file = CERTIFICATES "good.key",
	};

	return serves ? plait_tls_server_new(&o, NULL, 0)
		      : plait_tls_client_new(NULL, NULL, 0);
}

static void use_null_reactor(void *arg)
{
	struct plait_tls_context *c = context_new(arg == NULL);

	if (arg == NULL)
		NOTHING(plait_listen_tls, r,
			plait_listen_tls(NULL, 0, &factory, c, NULL, NULL));
	else
		NOTHING(plait_connect_tls, r,
			plait_connect_tls(NULL, "x", 1, &factory, c, NULL));
}

TEST(a_null_reactor_aborts_and_names_the_function, PURE, TIMES(2))
{
	const char *said;

	ck_assert_int_eq(
		child_run(use_null_reactor, _i == 0 ? NULL : &_i, &said),
		CHILD_ABORTED);
	ck_assert_ptr_nonnull(strstr(said, _i == 0 ? "plait_listen_tls()"
						   : "plait_connect_tls()"));
}
