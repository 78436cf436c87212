/*
 * The order in which to try addresses: the rules of RFC 6724, 6, and its
 * examples, 10.2.
 */
#include <stdio.h>

#include "reactor/loop/loop.h"
#include "reactor/names/sort.h"
#include "tests/harness.h"

enum { MOST = 4 };

/* A destination, and from where this host would talk to it. */
struct way {
	const char *to, *from; /* NULL: there is no way */
	unsigned prefix;
	bool is_deprecated, is_home, is_encapsulated;
};

/* Behind both may stand what else is to be set. */
#define WAY(destination, ...)                                                  \
	{                                                                      \
		.to = (destination), .from = __VA_ARGS__                       \
	}

static const struct way *ways; /* MOST at most, the last followed by zeros */
static unsigned asked;

static void address_of(struct plait_address *ret, const char *ip)
{
	ck_assert_int_eq(plait_address_parse(ret, ip, 80), 0);
}

static bool ask(void *arg, const struct plait_address *a,
		struct sort_source *ret)
{
	const struct way *w = ways;
	struct plait_address to;

	ck_assert_ptr_eq(arg, &asked);
	asked++;
	for (address_of(&to, w->to); !plait_address_equal(&to, a); w++)
		address_of(&to, w[1].to);
	if (w->from == NULL)
		return false;
	address_of(&ret->address, w->from);
	ret->prefix = w->prefix;
	ret->is_deprecated = w->is_deprecated;
	ret->is_home = w->is_home;
	ret->is_encapsulated = w->is_encapsulated;
	return true;
}

/* Sorts the destinations, backwards if so asked; they are in the order of the
   table afterwards. */
static void sorts(const struct way *table, bool backwards)
{
	struct plait_address list[MOST], expected;
	size_t n = 0;

	while (n < MOST && table[n].to != NULL)
		n++;
	for (size_t i = 0; i < n; i++)
		address_of(&list[i], table[backwards ? n - 1 - i : i].to);
	ways = table;
	asked = 0;
	plait_i_sort(list, n, ask, &asked);
	ck_assert_uint_eq(asked, n);
	for (size_t i = 0; i < n; i++) {
		address_of(&expected, table[i].to);
		ck_assert(plait_address_equal(&list[i], &expected));
	}
}

/* Each table is in its order already, whichever way it is given. */
#define SORTED(claim, ...)                                                     \
	TEST(claim, PURE, TIMES(2))                                            \
	{                                                                      \
		static const struct way table[MOST + 1] = { __VA_ARGS__ };     \
                                                                               \
		sorts(table, _i == 1);                                         \
	}

/* ---- the rules ----------------------------------------------------------- */

SORTED(rule_1_avoids_what_cannot_be_reached, WAY("192.0.2.1", "192.0.2.9"),
       WAY("2001:db8::1", NULL))

SORTED(rule_1_keeps_what_cannot_be_reached_in_order_of_precedence,
       WAY("2001:db8::1", NULL), WAY("192.0.2.1", NULL), WAY("fc00::1", NULL))

SORTED(rule_1_comes_before_all_others, WAY("2002:c000:201::1", "fe80::2"),
       WAY("2001:db8::1", NULL))

SORTED(rule_2_prefers_a_matching_scope, WAY("192.0.2.1", "192.0.2.9"),
       WAY("2001:db8::1", "fe80::2"))

SORTED(rule_2_knows_the_scope_of_ipv4, WAY("2001:db8::1", "2001:db8::2"),
       WAY("192.0.2.1", "169.254.1.1"))

SORTED(rule_2_takes_private_addresses_for_global,
       WAY("2001:db8::1", "2001:db8::2"), WAY("10.0.0.1", "192.168.0.1"))

SORTED(rule_3_avoids_deprecated_sources, WAY("192.0.2.1", "192.0.2.9"),
       WAY("2001:db8::1", "2001:db8::2", .is_deprecated = true))

SORTED(rule_4_prefers_home_addresses,
       WAY("192.0.2.1", "192.0.2.9", .is_home = true),
       WAY("2001:db8::1", "2001:db8::2"))

SORTED(rule_5_prefers_a_matching_label, WAY("192.0.2.1", "192.0.2.9"),
       WAY("2001:db8::1", "2002:c000:201::1"))

SORTED(rule_6_prefers_the_precedence_of_the_policy_table,
       WAY("2001:db8::1", "2001:db8::2"), WAY("192.0.2.1", "192.0.2.9"),
       WAY("2002:c000:201::1", "2002:c000:201::2"), WAY("2001::1", "2001::2"))

SORTED(rule_6_has_site_local_and_6bone_last, WAY("fd00::1", "fd00::2"),
       WAY("fec0::1", "fec0::2"))

SORTED(rule_6_has_the_loopback_first, WAY("::1", "::1"),
       WAY("2001:db8::1", "2001:db8::2"), WAY("127.0.0.1", "127.0.0.1"))

SORTED(rule_6_takes_a_mapped_address_for_ipv4,
       WAY("2001:db8::1", "2001:db8::2"), WAY("::ffff:192.0.2.1", "192.0.2.9"))

SORTED(rule_7_prefers_native_transport, WAY("2001:db8:1::1", "2001:db8:1::2"),
       WAY("2001:db8:2::1", "2001:db8:2::2", .is_encapsulated = true))

SORTED(rule_8_prefers_a_smaller_scope, WAY("fe80::1", "fe80::2"),
       WAY("2001:db8::1", "2001:db8::2"))

SORTED(rule_8_takes_the_loopback_for_link_local, WAY("127.0.0.1", "127.0.0.1"),
       WAY("192.0.2.1", "192.0.2.9"))

SORTED(rule_2_knows_the_scope_of_the_ipv6_loopback,
       WAY("2001:db8::1", "2002:c000:201::2"), WAY("::1", "2001:db8::2"))

SORTED(rule_8_knows_the_scope_of_multicast, WAY("ff01::1", "ff01::2"),
       WAY("ff02::1", "fe80::2"), WAY("ff0e::1", "2001:db8::2"))

SORTED(rule_9_prefers_the_longest_matching_prefix,
       WAY("2001:db8:1::1", "2001:db8:1::2"),
       WAY("2001:db8:8000::1", "2001:db8:1::2"))

SORTED(rule_9_compares_ipv4_in_its_own_network,
       WAY("192.0.2.1", "192.0.2.9", .prefix = 24),
       WAY("192.0.130.1", "192.0.2.9", .prefix = 24))

/* ---- ... and where they do not decide ------------------------------------ */

static const struct way undecided[][MOST + 1] = {
	/* Rule 9 looks at no more than the prefix of the source, ... */
	{ WAY("2001:db8::9", "2001:db8::8"),
	  WAY("2001:db8::1", "2001:db8::8") },
	{ WAY("2001:db8:1::1", "2001:db8::8", .prefix = 32),
	  WAY("2001:db8::1", "2001:db8::8", .prefix = 32) },
	/* ... and not at IPv4 if that is unknown. */
	{ WAY("198.51.100.1", "192.0.2.9"), WAY("192.0.2.1", "192.0.2.9") },
	{ WAY("192.0.2.3", "192.0.2.9"), WAY("192.0.2.1", "192.0.2.9"),
	  WAY("192.0.2.2", "192.0.2.9") },
	{ WAY("192.0.2.3", NULL), WAY("192.0.2.1", NULL) },
};

TEST(rule_10_leaves_the_order_as_it_is, PURE, EACH_OF(undecided))
{
	sorts(undecided[_i], false);
}

/* ---- the examples of the RFC --------------------------------------------- */

SORTED(rfc_6724_10_2_example_1, WAY("2001:db8:1::1", "2001:db8:1::2"),
       WAY("198.51.100.121", "169.254.13.78"))

SORTED(rfc_6724_10_2_example_2, WAY("198.51.100.121", "198.51.100.117"),
       WAY("2001:db8:1::1", "fe80::1"))

SORTED(rfc_6724_10_2_example_3, WAY("2001:db8:1::1", "2001:db8:1::2"),
       WAY("10.1.2.3", "10.1.2.4"))

SORTED(rfc_6724_10_2_example_4, WAY("fe80::1", "fe80::2"),
       WAY("2001:db8:1::1", "2001:db8:1::2"))

SORTED(rfc_6724_10_2_example_5,
       WAY("2001:db8:1::1", "2001:db8:3::1", .is_home = true),
       WAY("fe80::1", "fe80::2"))

SORTED(rfc_6724_10_2_example_6, WAY("2001:db8:1::1", "2001:db8:1::2"),
       WAY("fe80::1", "fe80::2", .is_deprecated = true))

SORTED(rfc_6724_10_2_example_7, WAY("2001:db8:1::1", "2001:db8:1::2"),
       WAY("2001:db8:3ffe::1", "2001:db8:3f44::2"))

SORTED(rfc_6724_10_2_example_8, WAY("2002:c633:6401::1", "2002:c633:6401::2"),
       WAY("2001:db8:1::1", "2002:c633:6401::2"))

SORTED(rfc_6724_10_2_example_9, WAY("2001:db8:1::1", "2001:db8:1::2"),
       WAY("2002:c633:6401::1", "2002:c633:6401::2"))

/* ---- many, and none ------------------------------------------------------ */

enum { MANY = 4000 };

/* Every third has no way; the others come first, in their order. */
static bool ask_third(void *arg, const struct plait_address *a,
		      struct sort_source *ret)
{
	address_of(&ret->address, "192.0.2.9");
	return plait_address_port(a) % 3 != 0;
}

TEST(thousands_are_sorted_and_stay_in_order, PURE)
{
	struct plait_address *list = calloc(MANY, sizeof(*list));
	unsigned expected = 1;

	for (unsigned i = 0; i < MANY; i++)
		plait_address_parse(&list[i], "192.0.2.1", i);
	plait_i_sort(list, MANY, ask_third, NULL);
	for (unsigned i = 0; i < MANY; i++) {
		if (expected >= MANY)
			expected = 0;
		ck_assert_uint_eq(plait_address_port(&list[i]), expected);
		expected += expected % 3 == 0 ? 3 : expected % 3;
	}
	free(list);
}

TEST(one_address_needs_no_question, PURE)
{
	struct plait_address a;

	address_of(&a, "192.0.2.1");
	plait_i_sort(&a, 1, NULL, NULL);
	plait_i_sort(&a, 0, NULL, NULL);
}

TEST(without_memory_the_order_stays, PURE)
{
	static const struct way table[MOST + 1] = { WAY("192.0.2.1", NULL),
						    WAY("::1", "::1") };
	struct plait_address list[2], first;

	address_of(&list[0], table[0].to);
	address_of(&list[1], table[1].to);
	first = list[0];
	fault_alloc_at(0, false);
	plait_i_sort(list, 2, ask, &asked);
	ck_assert(fault_alloc_reached());
	ck_assert(plait_address_equal(&list[0], &first));
}

/* ---- asking the kernel --------------------------------------------------- */

static struct kernel linux_kernel = { .calls = &plait_i_linux_calls };

static const char *source_of(const char *ip, unsigned port)
{
	static char text[PLAIT_ADDRESS_SIZE];
	struct sort_source from = { .prefix = 0 };
	struct plait_address a;

	ck_assert_int_eq(plait_address_parse(&a, ip, port), 0);
	if (!plait_i_sort_ask_kernel(&linux_kernel, &a, &from))
		return NULL;
	plait_address_host(&from.address, text, sizeof(text));
	return text;
}

TEST(the_kernel_says_from_where_it_would_talk, PURE)
{
	ck_assert_str_eq(source_of("127.0.0.1", 80), "127.0.0.1");
	ck_assert_str_eq(source_of("127.0.0.1", 0), "127.0.0.1");
	ck_assert_str_eq(source_of("127.1.2.3", 0), "127.0.0.1");
	ck_assert_uint_eq(calls_of("send"), 0);
	ck_assert_uint_eq(calls_of("sendmsg"), 0);
}

static const struct {
	const char *call;
	int err;
} failing[] = {
	{ "socket", EMFILE },	    { "socket", EAFNOSUPPORT },
	{ "connect", ENETUNREACH }, { "connect", EACCES },
	{ "getsockname", ENOBUFS },
};

/* That no descriptor is left is checked behind each test. */
TEST(if_a_call_fails_there_is_no_way, PURE, EACH_OF(failing))
{
	fault_call(failing[_i].call, 1, failing[_i].err);
	ck_assert_ptr_null(source_of("127.0.0.1", 80));
	ck_assert_str_eq(source_of("127.0.0.1", 80), "127.0.0.1");
}

TEST(there_is_no_way_to_what_is_no_ip, PURE)
{
	struct plait_address a = { .port = 0 };
	struct sort_source from;

	ck_assert(!plait_i_sort_ask_kernel(&linux_kernel, &a, &from));
	plait_address_from_path(&a, "/run/poem");
	ck_assert(!plait_i_sort_ask_kernel(&linux_kernel, &a, &from));
	ck_assert_uint_eq(calls_of("socket"), 0);
}
