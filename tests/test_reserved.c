/*
 * Reserved words: options and limits in which one is not zero are refused, as
 * this library does not know what a later one would do about it.
 */
#include <plait/plait.h>

#include "reactor/loop/loop.h"
#include "tests/actor.h"
#include "tests/harness.h"

enum { WORDS = 8, CONNECT_WORDS = 4 };

static struct actor a;

static void setup(void)
{
	actor_init(&a);
}

/* The last bit of a word counts as much as the first. */
static uintptr_t garbage(int i)
{
	return i % 2 == 0 ? 1 : ~(UINTPTR_MAX >> 1);
}

GROUP("options", .setup = setup);

TEST(every_reserved_word_of_listen_options_must_be_zero, ON_EACH_REACTOR,
     TIMES(2 * WORDS))
{
	struct plait_listen_options options = { .iface = "127.0.0.1" };
	struct plait_port *port = (struct plait_port *)&a;

	_Static_assert(sizeof(options.reserved) / sizeof(uintptr_t) == WORDS,
		       "each has a run");
	options.reserved[_i / 2] = garbage(_i);
	ck_assert_int_eq(plait_listen_tcp(reactor, 0, &a.base, &options, &port),
			 -EINVAL);
	ck_assert_ptr_eq(port, &a);
	run_turns(reactor, 2);
	ck_assert_str_eq(a.trace, "");
}

TEST(every_reserved_word_of_connect_options_must_be_zero, ON_EACH_REACTOR,
     TIMES(2 * CONNECT_WORDS))
{
	struct plait_connect_options options = { .timeout = 1 };

	_Static_assert(sizeof(options.reserved) / sizeof(uintptr_t) ==
			       CONNECT_WORDS,
		       "each has a run");
	options.reserved[_i / 2] = garbage(_i);
	plait_connect_tcp(reactor, "127.0.0.1", 9, &a.base, &options);
	ck_assert_str_eq(a.trace, "Sc");
	run_turns(reactor, 2);
	ck_assert_str_eq(a.trace, "ScFX");
	ck_assert_ptr_eq(a.kind, &plait_error_connect);
	ck_assert_int_eq(a.err, EINVAL);
	ck_assert_str_eq(a.why,
			 "ConnectError: connect to 127.0.0.1:9: reserved words "
			 "of the options are not zero: Invalid argument");
}

/* Nothing of it can be used, and least of all its pointers. */
TEST(options_and_limits_full_of_garbage_are_refused_unread, ON_EACH_REACTOR)
{
	struct plait_listen_options listen;
	struct plait_connect_options connect;
	struct plait_limits limits;

	memset(&listen, 0xa5, sizeof(listen));
	memset(&connect, 0xa5, sizeof(connect));
	memset(&limits, 0xa5, sizeof(limits));
	ck_assert_int_eq(plait_listen_tcp(reactor, 0, &a.base, &listen, NULL),
			 -EINVAL);
	ck_assert_int_eq(plait_reactor_set_limits(reactor, &limits), -EINVAL);
	plait_connect_tcp(reactor, "127.0.0.1", 9, &a.base, &connect);
	run_turns(reactor, 2);
	ck_assert_str_eq(a.trace, "ScFX");
	ck_assert_int_eq(a.err, EINVAL);
}

TEST(what_else_is_wrong_with_connecting_is_told_first, ON_EACH_REACTOR)
{
	struct plait_connect_options options = { .reserved = { 1 } };

	plait_connect_tcp(reactor, "127.0.0.1", 65536, &a.base, &options);
	run_turns(reactor, 2);
	ck_assert_str_eq(a.why, "ConnectError: connect to 127.0.0.1:65536: "
				"Invalid argument");
}

TEST(connecting_again_does_not_forget_it, ON_EACH_REACTOR)
{
	struct plait_connect_options options = { .reserved = { 1 } };
	struct plait_connector *c = plait_connector_ref(
		plait_connect_tcp(reactor, "127.0.0.1", 9, &a.base, &options));

	run_turns(reactor, 2);
	ck_assert_int_eq(plait_connector_connect(c), 0);
	run_turns(reactor, 2);
	ck_assert_str_eq(a.trace, "ScFXScFX");
	plait_connector_unref(&c);
}

static plait_value keep_errno(plait_value *why, void *arg)
{
	*(int *)arg = plait_failure_errno(plait_value_failure(why));
	return PLAIT_NONE;
}

TEST(a_client_fails_of_it, ON_EACH_REACTOR)
{
	static const struct plait_protocol_ops ops = { .name = "client" };
	struct plait_connect_options options = { .reserved = { 1 } };
	struct plait_deferred *d;
	int err = 0;

	d = plait_client_connect_tcp(reactor, "127.0.0.1", 9, &ops, NULL,
				     &options);
	plait_deferred_add_errback(d, keep_errno, &err);
	run_turns(reactor, 3);
	ck_assert_int_eq(err, EINVAL);
	plait_deferred_free(&d);
}

TEST(every_reserved_word_of_limits_must_be_zero, ON_EACH_REACTOR,
     TIMES(2 * WORDS))
{
	struct plait_limits limits = { .high_water = 7, .close_timeout = 7 };

	_Static_assert(sizeof(limits.reserved) / sizeof(uintptr_t) == WORDS,
		       "each has a run");
	limits.reserved[_i / 2] = garbage(_i);
	ck_assert_int_eq(plait_reactor_set_limits(reactor, &limits), -EINVAL);
	ck_assert_uint_eq(loop_limits(reactor)->high_water, 65536);
	ck_assert_double_eq(loop_limits(reactor)->close_timeout, 30);
	limits.reserved[_i / 2] = 0;
	ck_assert_int_eq(plait_reactor_set_limits(reactor, &limits), 0);
	ck_assert_uint_eq(loop_limits(reactor)->high_water, 7);
}
