/*
 * Addresses: what is read, what is refused, and how they are written.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "reactor/net/address.h"
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

GROUP("kernel");

TEST(what_the_kernel_gets_comes_back, PURE, EACH_OF(good))
{
	struct plait_address a, back;
	union kernel_address to;

	plait_address_parse(&a, good[_i].host, good[_i].port);
	ck_assert_uint_gt(plait_i_address_to_kernel(&a, &to), 0);
	ck_assert_int_eq(to.any.sa_family, a.family);
	plait_i_address_from_kernel(&back, &to);
	ck_assert(plait_address_equal(&a, &back));
}

TEST(a_foreign_family_is_no_address, PURE)
{
	union kernel_address from = { .room.ss_family = AF_UNIX };
	struct plait_address a = { .port = 42 };

	plait_i_address_from_kernel(&a, &from);
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
