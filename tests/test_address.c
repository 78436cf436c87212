/*
 * Addresses: what is read, what is refused, and how they are written.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "reactor/kernel/address.h"
#include "tests/harness.h"

static const struct {
	const char *host;
	unsigned port;
	const char *text, *host_text;
} good[] = {
	{ "127.0.0.1", 80, "127.0.0.1:80", "127.0.0.1" },
	{ "0.0.0.0", 0, "0.0.0.0:0", "0.0.0.0" },
	{ "255.255.255.255", 65535, "255.255.255.255:65535",
	  "255.255.255.255" },
	{ NULL, 7, "0.0.0.0:7", "0.0.0.0" },
	{ "", 7, "0.0.0.0:7", "0.0.0.0" },
	{ "localhost", 10001, "127.0.0.1:10001", "127.0.0.1" },
	{ "::1", 80, "[::1]:80", "::1" },
	{ "::", 1, "[::]:1", "::" },
	{ "2001:db8::A", 443, "[2001:db8::a]:443", "2001:db8::a" },
	{ "::ffff:1.2.3.4", 5, "[::ffff:1.2.3.4]:5", "::ffff:1.2.3.4" },
	{ "fe80::1%3", 80, "[fe80::1%3]:80", "fe80::1%3" },
	{ "fe80::1%4294967295", 9, "[fe80::1%4294967295]:9",
	  "fe80::1%4294967295" },
	{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295", 65535,
	  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535",
	  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295" },
};

GROUP("text");

TEST(numeric_addresses_are_read_and_written, PURE, EACH_OF(good))
{
	struct plait_address a;
	char text[PLAIT_ADDRESS_SIZE];
	int len;

	ck_assert_int_eq(plait_address_parse(&a, good[_i].host, good[_i].port),
			 0);
	ck_assert_uint_eq(plait_address_port(&a), good[_i].port);
	len = plait_address_str(&a, text, sizeof(text));
	ck_assert_str_eq(text, good[_i].text);
	ck_assert_int_eq(len, (int)strlen(good[_i].text));
	len = plait_address_host(&a, text, sizeof(text));
	ck_assert_str_eq(text, good[_i].host_text);
	ck_assert_int_eq(len, (int)strlen(good[_i].host_text));
}

TEST(what_is_written_of_an_ip_is_read_back, PURE, EACH_OF(good))
{
	struct plait_address a, back;
	char text[PLAIT_ADDRESS_SIZE];

	plait_address_parse(&a, good[_i].host, good[_i].port);
	plait_address_str(&a, text, sizeof(text));
	ck_assert_int_eq(plait_address_from_str(&back, text), 0);
	ck_assert(plait_address_equal(&a, &back));
	ck_assert_ptr_null(plait_address_path(&a));
	ck_assert_ptr_null(plait_address_abstract(&a, &(size_t){ 0 }));
}

static const char *const names[] = {
	"example.org",
	"localhost.",
	"Localhost",
	"localhost ",
	" 127.0.0.1",
	"127.0.0.1 ",
	"127.0.0.1:80",
	"127.1",
	"1.2.3.4.5",
	"1.2.3.256",
	"0x7f.0.0.1",
	"[::1]",
	":::",
	"1::2::3",
	"fe80::1%",
	"fe80::1%eth0",
	"fe80::1%-1",
	"fe80::1%4294967296",
	"fe80::1%99999999999999999999",
	"127.0.0.1%1",
	"%1",
	"::ffff:255.255.255.255:255.255.255.255:255.255.255.255",
};

TEST(names_are_never_looked_up, PURE, EACH_OF(names))
{
	struct plait_address a = { .port = 42 };

	ck_assert_int_eq(plait_address_parse(&a, names[_i], 1), -EADDRNOTAVAIL);
	ck_assert_uint_eq(a.port, 42);
	ck_assert_uint_eq(a.family, 0);
}

TEST(a_host_of_any_length_is_read_safely, PURE)
{
	struct plait_address a;
	char host[4096];

	for (size_t n = 0; n < sizeof(host); n++) {
		memset(host, ':', n);
		host[n] = '\0';
		plait_address_parse(&a, host, 1);
		memset(host, '1', n);
		plait_address_parse(&a, host, 1);
		if (n > 1)
			host[n / 2] = '%';
		plait_address_parse(&a, host, 1);
	}
}

TEST(a_port_above_65535_is_refused, PURE)
{
	struct plait_address a = { .port = 42 };

	ck_assert_int_eq(plait_address_parse(&a, "::1", 65536), -EINVAL);
	ck_assert_int_eq(plait_address_parse(&a, "no name", (unsigned)-1),
			 -EINVAL);
	ck_assert_uint_eq(a.port, 42);
}

TEST(text_is_cut_to_its_room, PURE)
{
	struct plait_address a;
	char text[6] = "xxxxx";

	ck_assert_int_eq(plait_address_parse(&a, "127.0.0.1", 80), 0);
	ck_assert_int_eq(plait_address_str(&a, text, sizeof(text)), 12);
	ck_assert_str_eq(text, "127.0");
	ck_assert_int_eq(plait_address_host(&a, text, sizeof(text)), 9);
	ck_assert_int_eq(plait_address_str(&a, NULL, 0), 12);
}

TEST(a_zeroed_address_is_none, PURE)
{
	struct plait_address a = { .family = 0 };
	union kernel_address to;
	char text[PLAIT_ADDRESS_SIZE];

	plait_address_str(&a, text, sizeof(text));
	ck_assert_str_eq(text, "no address");
	ck_assert_int_eq(plait_address_host(&a, text, sizeof(text)), 0);
	ck_assert_str_eq(text, "");
	ck_assert_uint_eq(plait_i_address_to_kernel(&a, &to), 0);
}

GROUP("unix");

static const struct {
	const char *name;
	size_t len; /* of an abstract name; 0: it is a path */
	const char *text;
} local[] = {
	{ "/run/poem", 0, "unix:/run/poem" },
	{ "poem", 0, "unix:poem" },
	{ "unix:", 0, "unix:unix:" },
	{ "127.0.0.1:80", 0, "unix:127.0.0.1:80" },
	{ "with a space", 0, "unix:with a space" },
	{ "@poem", 0, "unix:\\x40poem" },
	{ "po@em", 0, "unix:po@em" },
	{ "a\\x41", 0, "unix:a\\x5cx41" },
	{ "\x1b[2J\r\n", 0, "unix:\\x1b[2J\\x0d\\x0a" },
	{ "\xc3\xa9\x7f\x80\xff", 0, "unix:\\xc3\\xa9\\x7f\\x80\\xff" },
	{ "poem", 4, "unix:@poem" },
	{ "@poem", 5, "unix:@@poem" },
	{ "\0a\0", 3, "unix:@\\x00a\\x00" },
	{ "\0", 1, "unix:@\\x00" },
	{ "/run/poem", 9, "unix:@/run/poem" },
	{ "\n\\\xff", 3, "unix:@\\x0a\\x5c\\xff" },
};

static struct plait_address local_address(int i)
{
	struct plait_address a = { .port = 42 };
	int err = local[i].len == 0 ? plait_address_from_path(&a, local[i].name)
				    : plait_address_from_abstract(
					      &a, local[i].name, local[i].len);

	ck_assert_int_eq(err, 0);
	ck_assert_int_eq(plait_address_family(&a), AF_UNIX);
	ck_assert_uint_eq(plait_address_port(&a), 0);
	return a;
}

static void check_name(const struct plait_address *a, int i)
{
	size_t len = 42;
	const void *name = plait_address_abstract(a, &len);

	if (local[i].len == 0) {
		ck_assert_str_eq(plait_address_path(a), local[i].name);
		ck_assert_ptr_null(name);
		ck_assert_uint_eq(len, 42);
	} else {
		ck_assert_ptr_null(plait_address_path(a));
		ck_assert_uint_eq(len, local[i].len);
		ck_assert_mem_eq(name, local[i].name, len);
	}
}

TEST(unix_addresses_are_written_so_that_they_command_nothing, PURE,
     EACH_OF(local))
{
	struct plait_address a = local_address(_i), back;
	char text[PLAIT_ADDRESS_SIZE];
	int len = plait_address_str(&a, text, sizeof(text));

	check_name(&a, _i);
	ck_assert_str_eq(text, local[_i].text);
	ck_assert_int_eq(len, (int)strlen(text));
	ck_assert_int_eq(plait_address_from_str(&back, text), 0);
	ck_assert(plait_address_equal(&a, &back));
	check_name(&back, _i);
	len = plait_address_host(&a, text, sizeof(text));
	ck_assert_str_eq(text, local[_i].text + strlen("unix:"));
	ck_assert_int_eq(len, (int)strlen(text));
	ck_assert_int_eq(plait_address_str(&a, text, 4),
			 (int)strlen(local[_i].text));
	ck_assert_str_eq(text, "uni");
}

TEST(unix_addresses_go_to_the_kernel_and_come_back, PURE, EACH_OF(local))
{
	struct plait_address a = local_address(_i), back;
	union kernel_address to;
	socklen_t len = plait_i_address_to_kernel(&a, &to);

	ck_assert_int_eq(to.any.sa_family, AF_UNIX);
	plait_i_address_from_kernel(&back, &to, len);
	ck_assert(plait_address_equal(&a, &back));
	/* As it is written into a larger room. */
	if (local[_i].len == 0) {
		plait_i_address_from_kernel(&back, &to, sizeof(to.un));
		ck_assert(plait_address_equal(&a, &back));
	}
}

TEST(each_unix_address_differs_from_each_other, PURE, EACH_OF(local))
{
	struct plait_address a = local_address(_i), b;

	for (int i = 0; i < (int)(sizeof(local) / sizeof(local[0])); i++) {
		b = local_address(i);
		ck_assert_int_eq(plait_address_equal(&a, &b), i == _i);
	}
	plait_address_parse(&b, "127.0.0.1", 80);
	ck_assert(!plait_address_equal(&a, &b));
	b = (struct plait_address){ 0 };
	ck_assert(!plait_address_equal(&a, &b));
}

TEST(a_unix_address_is_in_no_network, PURE, EACH_OF(local))
{
	static const struct plait_address none;
	struct plait_address a = local_address(_i);

	plait_address_network(&a, 32, 128, &a);
	ck_assert(plait_address_equal(&a, &none));
}

TEST(a_name_is_107_bytes_at_most, PURE)
{
	struct plait_address a = { .port = 42 };
	char name[200];

	memset(name, 'n', sizeof(name));
	name[108] = '\0';
	ck_assert_int_eq(plait_address_from_path(&a, name), -ENAMETOOLONG);
	ck_assert_int_eq(plait_address_from_abstract(&a, name, 108),
			 -ENAMETOOLONG);
	ck_assert_int_eq(plait_address_from_abstract(&a, name, SIZE_MAX),
			 -ENAMETOOLONG);
	ck_assert_int_eq(plait_address_from_path(&a, ""), -EINVAL);
	ck_assert_int_eq(plait_address_from_abstract(&a, "", 0), -EINVAL);
	ck_assert_uint_eq(a.port, 42);
	name[107] = '\0';
	ck_assert_int_eq(plait_address_from_path(&a, name), 0);
	ck_assert_str_eq(plait_address_path(&a), name);
	ck_assert_int_eq(plait_address_from_abstract(&a, name, 107), 0);
}

/* A path from the kernel may fill all of its room, without a NUL. */
TEST(the_longest_text_has_room, PURE)
{
	union kernel_address from = { .un.sun_family = AF_UNIX };
	struct plait_address a;
	char text[PLAIT_ADDRESS_SIZE];

	memset(from.un.sun_path, 0xff, sizeof(from.un.sun_path));
	plait_i_address_from_kernel(&a, &from, sizeof(from.un));
	ck_assert_uint_eq(strlen(plait_address_path(&a)), 108);
	ck_assert_int_eq(plait_address_str(&a, text, sizeof(text)), 437);
	ck_assert_uint_eq(strlen(text), 437);
	ck_assert_uint_eq(plait_i_address_to_kernel(&a, &from),
			  sizeof(from.un));
	from.un.sun_path[0] = '\0';
	plait_i_address_from_kernel(&a, &from, sizeof(from.un));
	ck_assert_int_eq(plait_address_str(&a, text, sizeof(text)), 434);
}

TEST(whatever_length_the_kernel_says_is_safe, PURE)
{
	union kernel_address from = { .un.sun_family = AF_UNIX };
	struct plait_address a;
	char text[PLAIT_ADDRESS_SIZE];

	for (socklen_t len = 0; len < 300; len++) {
		memset(from.un.sun_path, 'p', sizeof(from.un.sun_path));
		plait_i_address_from_kernel(&a, &from, len);
		ck_assert_int_eq(plait_address_family(&a), AF_UNIX);
		ck_assert_int_le(plait_address_str(&a, text, sizeof(text)),
				 (int)(len > 2 ? len + 3 : 19));
	}
	from.un.sun_path[3] = '\0';
	plait_i_address_from_kernel(&a, &from, 50);
	ck_assert_str_eq(plait_address_path(&a), "ppp");
}

TEST(a_client_without_a_name_has_an_address_without_one, PURE)
{
	union kernel_address from = { .un.sun_family = AF_UNIX };
	struct plait_address a, back;
	char text[PLAIT_ADDRESS_SIZE];

	plait_i_address_from_kernel(&a, &from, sizeof(sa_family_t));
	ck_assert_int_eq(plait_address_family(&a), AF_UNIX);
	ck_assert_ptr_null(plait_address_path(&a));
	ck_assert_ptr_null(plait_address_abstract(&a, &(size_t){ 0 }));
	plait_address_str(&a, text, sizeof(text));
	ck_assert_str_eq(text, "unnamed UNIX socket");
	ck_assert_int_eq(plait_address_from_str(&back, text), -EINVAL);
	ck_assert_int_eq(plait_address_host(&a, text, sizeof(text)), 0);
	/* Else bind() would make a name up. */
	ck_assert_uint_eq(plait_i_address_to_kernel(&a, &from), 0);
}

static const struct {
	const char *text;
	int err;
} bad[] = {
	{ "", -EINVAL },
	{ "unix:", -EINVAL },
	{ "unix:@", -EINVAL },
	{ "UNIX:/run/poem", -EINVAL },
	{ "/run/poem", -EINVAL },
	{ "@poem", -EINVAL },
	{ "unix:a\\", -EINVAL },
	{ "unix:a\\x", -EINVAL },
	{ "unix:a\\x4", -EINVAL },
	{ "unix:a\\x4g", -EINVAL },
	{ "unix:a\\n", -EINVAL },
	{ "unix:a\\x00b", -EINVAL },
	{ "unix:\\x00poem", -EINVAL },
	{ "127.0.0.1", -EINVAL },
	{ "127.0.0.1:", -EINVAL },
	{ "127.0.0.1:x", -EINVAL },
	{ "127.0.0.1:+80", -EINVAL },
	{ "127.0.0.1: 80", -EINVAL },
	{ "127.0.0.1:80 ", -EINVAL },
	{ "127.0.0.1:-1", -EINVAL },
	{ "127.0.0.1:65536", -EINVAL },
	{ "127.0.0.1:4294967376", -EINVAL },
	{ "127.0.0.1:99999999999999999999", -EINVAL },
	{ ":80", -EINVAL },
	{ "[]:80", -EINVAL },
	{ "[:80", -EINVAL },
	{ "]:80", -EADDRNOTAVAIL },
	{ "[::1:80", -EINVAL },
	{ "::1:80", -EINVAL },
	{ "[::1]80", -EINVAL },
	{ "[::1]", -EINVAL },
	{ "[127.0.0.1]:80", -EINVAL },
	{ "[localhost]:80", -EINVAL },
	{ "poetry.example:80", -EADDRNOTAVAIL },
	{ "no address", -EINVAL },
};

TEST(what_is_no_address_is_not_read, PURE, EACH_OF(bad))
{
	struct plait_address a = { .port = 42 };

	ck_assert_int_eq(plait_address_from_str(&a, bad[_i].text), bad[_i].err);
	ck_assert_uint_eq(a.port, 42);
	ck_assert_int_eq(plait_address_family(&a), AF_UNSPEC);
}

TEST(text_of_any_length_is_read_safely, PURE)
{
	static const char *const starts[] = { "unix:", "unix:@", "[", "" };
	struct plait_address a;
	char text[2000];

	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		for (size_t n = strlen(starts[i]); n < sizeof(text); n++) {
			memset(text, n % 2 == 0 ? ':' : '1', n);
			memcpy(text, starts[i], strlen(starts[i]));
			text[n] = '\0';
			plait_address_from_str(&a, text);
		}
	}
	ck_assert_int_eq(plait_address_from_str(&a, "localhost:080"), 0);
	ck_assert_uint_eq(plait_address_port(&a), 80);
}

TEST(any_text_that_is_read_is_written_and_read_as_the_same, PURE)
{
	static const char letters[] = "unix:@\\x4041af09[]:.\n\xff";
	struct plait_address a, back;
	char text[24], again[PLAIT_ADDRESS_SIZE];
	unsigned n_read = 0;

	srand(8);
	for (int i = 0; i < 200000; i++) {
		size_t n = (size_t)rand() % (sizeof(text) - 1);

		for (size_t k = 0; k < n; k++)
			text[k] =
				letters[(size_t)rand() % (sizeof(letters) - 1)];
		if (i % 2 == 0 && n > 5)
			memcpy(text, "unix:", 5);
		text[n] = '\0';
		if (plait_address_from_str(&a, text) < 0)
			continue;
		n_read++;
		plait_address_str(&a, again, sizeof(again));
		ck_assert_int_eq(plait_address_from_str(&back, again), 0);
		ck_assert(plait_address_equal(&a, &back));
	}
	ck_assert_uint_gt(n_read, 1000);
}

GROUP("kept");

/* IPv6 addresses need memory: there are fewer of them. */
TEST(an_ipv4_address_is_kept_without_memory, PURE, EACH_OF(good))
{
	struct kept_address k = { .word = 0 };
	struct plait_address a, back;
	unsigned long live = heap_live();

	plait_address_parse(&a, good[_i].host, good[_i].port);
	ck_assert(kept_address_is_none(&k));
	ck_assert_int_eq(plait_i_address_keep(&k, &a), 0);
	ck_assert(!kept_address_is_none(&k));
	ck_assert_int_eq(plait_i_address_kept_family(&k),
			 plait_address_family(&a));
	ck_assert_uint_eq(plait_i_address_kept_port(&k), good[_i].port);
	ck_assert_uint_eq(heap_live() - live,
			  plait_address_family(&a) == AF_INET6);
	plait_i_address_get(&k, &back);
	ck_assert(plait_address_equal(&a, &back));
	ck_assert_mem_eq(&a, &back, sizeof(a));
	plait_i_address_drop(&k);
	plait_i_address_get(&k, &back);
	ck_assert_int_eq(plait_address_family(&back), AF_UNSPEC);
}

TEST(a_name_is_kept_in_memory_of_its_own, PURE, EACH_OF(local))
{
	struct kept_address k = { .word = 0 };
	struct plait_address a = local_address(_i), back;

	fault_alloc_at(0, false);
	ck_assert_int_eq(plait_i_address_keep(&k, &a), -ENOMEM);
	fault_alloc_off();
	plait_i_address_drop(&k);
	ck_assert_int_eq(plait_i_address_keep(&k, &a), 0);
	plait_i_address_get(&k, &back);
	ck_assert(plait_address_equal(&a, &back));
	plait_i_address_drop(&k);
	plait_i_address_drop(&k);
}

GROUP("kernel");

TEST(what_the_kernel_gets_comes_back, PURE, EACH_OF(good))
{
	struct plait_address a, back;
	union kernel_address to;
	socklen_t len;

	plait_address_parse(&a, good[_i].host, good[_i].port);
	len = plait_i_address_to_kernel(&a, &to);
	ck_assert_uint_gt(len, 0);
	ck_assert_int_eq(to.any.sa_family, plait_address_family(&a));
	plait_i_address_from_kernel(&back, &to, len);
	ck_assert(plait_address_equal(&a, &back));
}

TEST(a_foreign_family_is_no_address, PURE)
{
	union kernel_address from = { .room.ss_family = AF_NETLINK };
	struct plait_address a = { .port = 42 };

	plait_i_address_from_kernel(&a, &from, sizeof(from));
	ck_assert_uint_eq(a.family, 0);
	ck_assert_uint_eq(a.port, 0);
}

TEST(equal_means_the_same_end, PURE)
{
	static const struct {
		const char *host;
		unsigned port;
	} others[] = {
		{ "fe80::1%2", 81 },
		{ "fe80::1%3", 80 },
		{ "fe80::2%2", 80 },
		{ "127.0.0.1", 80 },
	};
	struct plait_address a, b;

	plait_address_parse(&a, "fe80::1%2", 80);
	plait_address_parse(&b, "fe80:0::1%2", 80);
	ck_assert(plait_address_equal(&a, &b));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		plait_address_parse(&b, others[i].host, others[i].port);
		ck_assert(!plait_address_equal(&a, &b));
	}
}

static const struct {
	const char *host;
	unsigned ipv4_bits, ipv6_bits;
	const char *network;
} networks[] = {
	{ "192.0.2.255", 32, 64, "192.0.2.255" },
	{ "192.0.2.255", 31, 64, "192.0.2.254" },
	{ "192.0.2.255", 24, 64, "192.0.2.0" },
	{ "192.255.2.1", 9, 64, "192.128.0.0" },
	{ "192.0.2.255", 0, 64, "0.0.0.0" },
	{ "192.0.2.255", 400, 64, "192.0.2.255" },
	{ "2001:db8:1:2:3:4:5:6", 32, 64, "2001:db8:1:2::" },
	{ "2001:db8:1:2:3:4:5:6", 32, 128, "2001:db8:1:2:3:4:5:6" },
	{ "2001:db8:1:2:3:4:5:6", 32, 127, "2001:db8:1:2:3:4:5:6" },
	{ "2001:db8:1:2:3:4:5:7", 32, 127, "2001:db8:1:2:3:4:5:6" },
	{ "2001:db8:ffff::1", 32, 33, "2001:db8:8000::" },
	{ "2001:db8::1", 32, 0, "::" },
	{ "fe80::1%3", 32, 64, "fe80::%3" },
	{ "::ffff:192.0.2.255", 24, 64, "192.0.2.0" },
	{ "::ffff:0:0", 32, 64, "0.0.0.0" },
	{ "::fffe:192.0.2.255", 24, 64, "::" },
	{ "::1:ffff:192.0.2.255", 24, 128, "::1:ffff:c000:2ff" },
};

TEST(network_is_the_leading_bits, PURE, EACH_OF(networks))
{
	struct plait_address a, net, expected;

	plait_address_parse(&a, networks[_i].host, 80);
	plait_address_parse(&expected, networks[_i].network, 0);
	plait_address_network(&a, networks[_i].ipv4_bits,
			      networks[_i].ipv6_bits, &net);
	ck_assert(plait_address_equal(&net, &expected));
	ck_assert_uint_eq(plait_address_port(&a), 80);
	plait_address_network(&a, networks[_i].ipv4_bits,
			      networks[_i].ipv6_bits, &a);
	ck_assert(plait_address_equal(&a, &expected));
}

TEST(network_of_no_address_is_none, PURE)
{
	static const struct plait_address none;
	struct plait_address net = { .port = 42 };

	plait_address_network(&none, 32, 64, &net);
	ck_assert(plait_address_equal(&net, &none));
}

TEST(a_socket_without_address_says_so, PURE)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct kernel k = { .calls = &plait_i_linux_calls };
	struct plait_address a = { .port = 42 };

	ck_assert_int_eq(plait_i_address_of_peer(&k, fd, &a), -ENOTCONN);
	ck_assert_uint_eq(a.port, 42);
	ck_assert_int_eq(plait_i_address_of_socket(&k, fd, &a), 0);
	close(fd);
	ck_assert_int_eq(plait_i_address_of_socket(&k, fd, &a), -ENOTCONN);
}
