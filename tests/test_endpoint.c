/*
 * Endpoints as text: what is read, what is written, and what is refused with
 * which message.
 */
#include "tests/harness.h"

enum { SIZE = 1000 };

static struct plait_endpoint *read_it(const char *text)
{
	char why[PLAIT_ENDPOINT_WHY_SIZE] = "";
	struct plait_endpoint *e = NULL;
	int err = plait_endpoint_parse(text, &e, why, sizeof(why));

	ck_assert_msg(err == 0, "%s: %s", text, why);
	ck_assert_str_eq(why, "");
	return e;
}

/* It is written so, and read from that as the same. */
static void is_written(const char *text, const char *expected)
{
	struct plait_endpoint *e = read_it(text), *again;
	char buf[SIZE];

	ck_assert_int_eq(plait_endpoint_str(e, buf, sizeof(buf)),
			 (int)strlen(expected));
	ck_assert_str_eq(buf, expected);
	again = read_it(buf);
	ck_assert(plait_endpoint_equal(e, again));
	plait_endpoint_unref(&e);
	plait_endpoint_unref(&again);
}

/* ---- read and written ---------------------------------------------------- */

static const char *const canonical[] = {
	"tcp:0",
	"tcp:80",
	"tcp:65535",
	"tcp:localhost:80",
	"tcp:example.org:80",
	"tcp:_odd-name.example:80",
	"tcp:127.0.0.1:80",
	"tcp:[::1]:80",
	"tcp:[2001:db8::1]:80",
	"tcp:[fe80::1%3]:80",
	"tcp:[::ffff:192.0.2.1]:80",
	"tcp:8080:interface=127.0.0.1",
	"tcp:8080:interface=[::1]",
	"tcp:8080:interface=0.0.0.0",
	"tcp:8080:interface=[::]:backlog=50",
	"tcp:8080:backlog=1",
	"tcp:8080:backlog=2147483647",
	"tcp:example.org:80:timeout=5",
	"tcp:example.org:80:timeout=0.5",
	"tcp:example.org:80:timeout=2.25",
	"tcp:example.org:80:timeout=0.000001",
	"tcp:example.org:80:timeout=999999999.999999",
	"tcp:example.org:80:bindAddress=127.0.0.1",
	"tcp:example.org:80:timeout=5:bindAddress=[::1]",
	"tcp:h:1:interface=127.0.0.1:backlog=2:timeout=3:bindAddress=127.0.0.4",
	"tcp6:80",
	"tcp6:[::1]:80",
	"tcp6:example.org:80:timeout=1",
	"unix:/run/x.sock",
	"unix:relative",
	"unix:./@file",
	"unix:@abstract",
	"unix:@a b",
	"unix:/a\\:b",
	"unix:/a\\=b",
	"unix:/a\\\\b",
	"unix:\\[x]",
	"unix:/[x]",
	"unix:/run/x:mode=660",
	"unix:/run/x:mode=0",
	"unix:/run/x:mode=777",
	"unix:/run/x:mode=660:unlink=1:backlog=5:timeout=7",
	"unix:/run/x:unlink=0",
	"fd:0",
	"fd:3",
	"fd:2147483647",
	"throttle:in=1:tcp:80",
	"throttle:out=1000000:tcp:80",
	"throttle:in=16000000000:out=5:burst=10:unix:/x",
	"limit:total=1:tcp:80",
	"limit:address=20:tcp:80",
	"limit:total=100:address=20:wait=1:tcp:[::1]:80",
	"limit:total=1:wait=0:fd:3",
	"limit:total=1:throttle:in=5:tcp:h:80:timeout=3",
	"throttle:in=5:limit:total=1:throttle:out=6:unix:@x:mode=600",
};

TEST(an_endpoint_is_written_as_it_was_read, PURE, EACH_OF(canonical))
{
	is_written(canonical[_i], canonical[_i]);
}

/* Some of the keys of a kind, as the bits of which say. */
static void put_keys(char *text, size_t size, const char *const *keys,
		     unsigned n, unsigned which)
{
	for (unsigned i = 0; i < n; i++)
		if ((which >> i & 1) != 0)
			snprintf(text + strlen(text), size - strlen(text),
				 ":%s", keys[i]);
}

TEST(every_combination_of_keys_is_written_as_it_was_read, PURE, TIMES(64))
{
	static const char *const tcp[] = {
		"interface=[::1]",
		"backlog=5",
		"timeout=0.25",
		"bindAddress=127.0.0.1",
	};
	static const char *const unix_keys[] = { "mode=600", "unlink=1",
						 "backlog=7", "timeout=3" };
	static const char *const wrappers[] = { "limit:total=3:address=1",
						"throttle:in=1:burst=2" };
	static const char *const kinds[] = { "tcp:80", "tcp6:h:80", "unix:@x",
					     "unix:/a\\:b" };
	char text[SIZE] = "";

	for (int kind = 0; kind < N_OF(kinds); kind++) {
		text[0] = '\0';
		put_keys(text, sizeof(text), wrappers, 2, (unsigned)_i >> 4);
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 ":%s", kinds[kind]);
		put_keys(text, sizeof(text), kind < 2 ? tcp : unix_keys, 4,
			 (unsigned)_i & 15);
		is_written(text + 1, text + 1);
	}
}

static const struct {
	const char *text, *written;
} others[] = {
	/* Keys for what needs none, in any order. */
	{ "tcp:port=80", "tcp:80" },
	{ "tcp:host=h:port=80", "tcp:h:80" },
	{ "tcp:port=80:host=h", "tcp:h:80" },
	{ "tcp:80:host=h", "tcp:h:80" },
	{ "tcp:timeout=5:port=80", "tcp:80:timeout=5" },
	{ "tcp:8080:backlog=50:interface=127.0.0.1",
	  "tcp:8080:interface=127.0.0.1:backlog=50" },
	{ "unix:path=/x", "unix:/x" },
	{ "unix:mode=600:path=/x", "unix:/x:mode=600" },
	{ "fd:number=3", "fd:3" },
	{ "limit:address=2:total=1:tcp:80", "limit:total=1:address=2:tcp:80" },
	/* Backslashes. */
	{ "tcp:\\:\\:1:80", "tcp:[::1]:80" },
	{ "tcp:[2001\\:db8\\:\\:1]:80", "tcp:[2001:db8::1]:80" },
	{ "tcp:host=\\:\\:1:port=80", "tcp:[::1]:80" },
	{ "tcp:8080:interface=\\:\\:1", "tcp:8080:interface=[::1]" },
	{ "\\tcp:80", "tcp:80" },
	{ "tcp:p\\ort=80", "tcp:80" },
	{ "tcp:8\\0", "tcp:80" },
	{ "tcp:ex\\ample.org:80", "tcp:example.org:80" },
	{ "unix:path=/a=b", "unix:/a\\=b" },
	{ "unix:path=/a\\:b", "unix:/a\\:b" },
	{ "unix:/a\\b", "unix:/ab" },
	{ "unix:\\@x", "unix:@x" },
	{ "unix:[a:b]", "unix:\\[a\\:b]" },
	/* Brackets. */
	{ "tcp:host=[::1]:port=80", "tcp:[::1]:80" },
	{ "tcp:port=80:host=[fe80::1%7]", "tcp:[fe80::1%7]:80" },
	/* Numbers. */
	{ "tcp:0080", "tcp:80" },
	{ "tcp:h:80:timeout=5.0", "tcp:h:80:timeout=5" },
	{ "tcp:h:80:timeout=05.50", "tcp:h:80:timeout=5.5" },
	{ "unix:/x:mode=0660", "unix:/x:mode=660" },
	{ "throttle:in=1K:tcp:80", "throttle:in=1000:tcp:80" },
	{ "throttle:in=2M:tcp:80", "throttle:in=2000000:tcp:80" },
	{ "throttle:in=16G:tcp:80", "throttle:in=16000000000:tcp:80" },
	{ "throttle:in=007:tcp:port=80", "throttle:in=7:tcp:80" },
};

TEST(what_is_written_in_other_ways_means_the_same, PURE, EACH_OF(others))
{
	is_written(others[_i].text, others[_i].written);
}

/* ---- refused ------------------------------------------------------------- */

static const struct {
	const char *text, *why;
} refused[] = {
	/* Kinds. */
	{ "", "column 1: a value is empty" },
	{ ":80", "column 1: a value is empty" },
	{ "80", "column 1: there is no kind `80'" },
	{ "tpc:80", "column 1: there is no kind `tpc'" },
	{ "TCP:80", "column 1: there is no kind `TCP'" },
	{ " tcp:80", "column 1: there is no kind ` tcp'" },
	{ "tcp=80", "column 1: there is no kind `tcp'" },
	{ "port=80:tcp", "column 1: there is no kind `port'" },
	{ "udp:53", "column 1: there is no kind `udp'" },
	{ "a\tb\x80:1", "column 1: there is no kind `a?b?'" },
	/* Parts. */
	{ "tcp:", "column 5: a value is empty" },
	{ "tcp::80", "column 5: a value is empty" },
	{ "tcp:80:", "column 8: a value is empty" },
	{ "tcp:port=", "column 10: a value is empty" },
	{ "tcp:80:timeout=:backlog=1", "column 16: a value is empty" },
	{ "tcp:80\\", "column 7: nothing follows `\\'" },
	{ "\\", "column 1: nothing follows `\\'" },
	{ "tcp:port=\\", "column 10: nothing follows `\\'" },
	{ "tcp:[::1:80", "column 5: `[' without `]'" },
	{ "tcp:80:interface=[::1", "column 18: `[' without `]'" },
	{ "[", "column 1: `[' without `]'" },
	/* Keys. */
	{ "tcp:80:prot=1", "column 8: tcp has no key `prot'" },
	{ "tcp:80:=1", "column 8: tcp has no key `'" },
	{ "tcp:80:Port=1", "column 8: tcp has no key `Port'" },
	{ "tcp:80: backlog=1", "column 8: tcp has no key ` backlog'" },
	{ "tcp:80:mode=660", "column 8: tcp has no key `mode'" },
	{ "unix:/x:port=80", "column 9: unix has no key `port'" },
	{ "unix:/a=b", "column 6: unix has no key `/a'" },
	{ "fd:3:timeout=1", "column 6: fd has no key `timeout'" },
	{ "limit:rate=1:tcp:80", "column 7: limit has no key `rate'" },
	{ "throttle:total=1:tcp:80", "column 10: throttle has no key `total'" },
	{ "tcp:80:backlog=1:backlog=1", "column 18: backlog is there twice" },
	{ "tcp:port=80:port=80", "column 13: port is there twice" },
	{ "tcp:80:port=80", "column 5: port is there twice" },
	{ "tcp:h:80:host=h", "column 5: host is there twice" },
	{ "tcp:a:b:80", "column 9: `80' is too much for tcp" },
	{ "unix:/x:/y", "column 9: `/y' is too much for unix" },
	{ "fd:3:4", "column 6: `4' is too much for fd" },
	{ "tcp:backlog=1:80",
	  "column 15: `80' has no key, but comes behind one" },
	{ "tcp", "column 1: tcp has no port" },
	{ "tcp:host=h", "column 1: tcp has no port" },
	{ "tcp6:timeout=1", "column 1: tcp6 has no port" },
	{ "unix", "column 1: unix has no path" },
	{ "unix:mode=660", "column 1: unix has no path" },
	{ "fd", "column 1: fd has no number" },
	/* Wrappers. */
	{ "limit", "column 6: limit wraps nothing" },
	{ "limit:total=1", "column 14: limit wraps nothing" },
	{ "limit:tcp:80", "column 1: limit limits nothing" },
	{ "throttle:tcp:80", "column 1: throttle limits nothing" },
	{ "limit:total=1:tpc:80", "column 15: there is no kind `tpc'" },
	{ "limit:total=1:tcp", "column 15: tcp has no port" },
	{ "limit:total=1:tcp:80:total=2", "column 22: tcp has no key `total'" },
	{ "throttle:in=1:limit:tcp:80", "column 15: limit limits nothing" },
	{ "throttle:in=1:in=2:tcp:80", "column 15: in is there twice" },
	/* Numbers. */
	{ "tcp:http",
	  "column 5: port is `http', and must be a number from 0 to 65535" },
	{ "tcp:65536",
	  "column 5: port is `65536', and must be a number from 0 to 65535" },
	{ "tcp:-1",
	  "column 5: port is `-1', and must be a number from 0 to 65535" },
	{ "tcp: 80",
	  "column 5: port is ` 80', and must be a number from 0 to 65535" },
	{ "tcp:80 ",
	  "column 5: port is `80 ', and must be a number from 0 to 65535" },
	{ "tcp:0x50",
	  "column 5: port is `0x50', and must be a number from 0 to 65535" },
	{ "tcp:18446744073709551696",
	  "column 5: port is `18446744073709551696', and must be a number "
	  "from 0 to 65535" },
	{ "tcp:80:backlog=0", "column 16: backlog is `0', and must be a number "
			      "from 1 to 2147483647" },
	{ "limit:total=0:tcp:80",
	  "column 13: total is `0', and must be a number from 1 to "
	  "2147483647" },
	{ "limit:wait=yes:tcp:80",
	  "column 12: wait is `yes', and must be a number from 0 to 1" },
	{ "unix:/x:mode=668", "column 14: mode is `668', and must be an octal "
			      "number from 0 to 777" },
	{ "unix:/x:mode=1777", "column 14: mode is `1777', and must be an "
			       "octal number from 0 to 777" },
	{ "unix:/x:mode=rw", "column 14: mode is `rw', and must be an octal "
			     "number from 0 to 777" },
	{ "tcp:80:timeout=0",
	  "column 16: timeout is `0', and must be more than 0 seconds" },
	{ "tcp:80:timeout=0.000",
	  "column 16: timeout is `0.000', and must be more than 0 seconds" },
	{ "tcp:80:timeout=5s", "column 16: timeout is `5s', and must be "
			       "seconds, with six decimals at most" },
	{ "tcp:80:timeout=5.", "column 16: timeout is `5.', and must be "
			       "seconds, with six decimals at most" },
	{ "tcp:80:timeout=.5", "column 16: timeout is `.5', and must be "
			       "seconds, with six decimals at most" },
	{ "tcp:80:timeout=0.0000001",
	  "column 16: timeout is `0.0000001', and must be seconds, with six "
	  "decimals at most" },
	{ "tcp:80:timeout=1000000000",
	  "column 16: timeout is `1000000000', and must be seconds, with six "
	  "decimals at most" },
	{ "throttle:in=0:tcp:80",
	  "column 13: in is `0', and must be bytes from 1 to 16G, such as "
	  "100, 100K or 1M" },
	{ "throttle:in=17G:tcp:80",
	  "column 13: in is `17G', and must be bytes from 1 to 16G, such as "
	  "100, 100K or 1M" },
	{ "throttle:in=1k:tcp:80",
	  "column 13: in is `1k', and must be bytes from 1 to 16G, such as "
	  "100, 100K or 1M" },
	{ "throttle:in=1KK:tcp:80",
	  "column 13: in is `1KK', and must be bytes from 1 to 16G, such as "
	  "100, 100K or 1M" },
	{ "throttle:in=K:tcp:80",
	  "column 13: in is `K', and must be bytes from 1 to 16G, such as "
	  "100, 100K or 1M" },
	{ "throttle:in=99999999999999999999G:tcp:80",
	  "column 13: in is `99999999999999999999G', and must be bytes from "
	  "1 to 16G, such as 100, 100K or 1M" },
	/* Hosts, addresses and paths. */
	{ "tcp:::1:80", "column 5: a value is empty" },
	{ "tcp:a b:80", "column 5: host is `a b', and must be a name or an "
			"address; an IPv6 address is in brackets" },
	{ "tcp:[h]:80", "column 5: host is `[h]', and must be a name or an "
			"address; an IPv6 address is in brackets" },
	{ "tcp:[127.0.0.1]:80",
	  "column 5: host is `[127.0.0.1]', and must be a name or an address; "
	  "an IPv6 address is in brackets" },
	{ "tcp:[]:80", "column 5: host is `[]', and must be a name or an "
		       "address; an IPv6 address is in brackets" },
	{ "tcp:[::1]x:80", "column 5: host is `[::1]x', and must be a name or "
			   "an address; an IPv6 address is in brackets" },
	{ "tcp:\\[::1]:80", "column 8: a value is empty" },
	{ "tcp:[::g]:80", "column 5: host is `[::g]', and must be a name or "
			  "an address; an IPv6 address is in brackets" },
	{ "tcp:80:interface=lo",
	  "column 18: interface is `lo', and must be an address, such as "
	  "127.0.0.1 or [::1]" },
	{ "tcp:80:interface=localhost",
	  "column 18: interface is `localhost', and must be an address, such "
	  "as 127.0.0.1 or [::1]" },
	{ "tcp:80:interface=[127.0.0.1]",
	  "column 18: interface is `[127.0.0.1]', and must be an address, "
	  "such as 127.0.0.1 or [::1]" },
	{ "tcp:80:interface=\\[\\:\\:1]",
	  "column 18: interface is `[::1]', and must be an address, such as "
	  "127.0.0.1 or [::1]" },
	{ "tcp:80:bindAddress=1.2.3",
	  "column 20: bindAddress is `1.2.3', and must be an address, such as "
	  "127.0.0.1 or [::1]" },
	{ "unix:@", "column 6: path is `@', and must be `@' and 1 to 107 "
		    "bytes" },
};

TEST(what_is_wrong_is_refused_and_named, PURE, EACH_OF(refused))
{
	struct plait_endpoint *e = NULL;
	char why[PLAIT_ENDPOINT_WHY_SIZE];

	ck_assert_int_eq(
		plait_endpoint_parse(refused[_i].text, &e, why, sizeof(why)),
		-EINVAL);
	ck_assert_str_eq(why, refused[_i].why);
	ck_assert_ptr_null(e);
}

static void is_refused(const char *text, const char *why)
{
	struct plait_endpoint *e = NULL;
	char buf[PLAIT_ENDPOINT_WHY_SIZE];

	ck_assert_int_eq(plait_endpoint_parse(text, &e, buf, sizeof(buf)),
			 -EINVAL);
	ck_assert_str_eq(buf, why);
}

TEST(what_is_too_long_is_refused, PURE)
{
	char text[SIZE] = "unix:/";

	memset(text + 6, 'x', 106);
	is_written(text, text);
	text[112] = 'x';
	is_refused(text, "column 6: path is `/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
			 "xxxxxxx', and must be 107 bytes at most");
	strcpy(text, "tcp:");
	memset(text + 4, 'h', 255);
	strcpy(text + 259, ":80");
	is_written(text, text);
	memset(text + 4, 'h', 256);
	strcpy(text + 260, ":80");
	is_refused(text, "column 5: host is `hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh"
			 "hhhhhhh', and must be a name or an address; an IPv6 "
			 "address is in brackets");
}

TEST(any_message_fits_into_its_buffer, PURE)
{
	struct plait_endpoint *e;
	char why[PLAIT_ENDPOINT_WHY_SIZE], *text = malloc(2 * SIZE + 1);

	memset(text, 'x', 2 * SIZE);
	text[2 * SIZE] = '\0';
	memcpy(text, "tcp:80:bindAddress=", 19);
	ck_assert_int_eq(plait_endpoint_parse(text, &e, why, sizeof(why)),
			 -EINVAL);
	ck_assert_int_lt(strlen(why), sizeof(why) - 1);
	ck_assert_int_eq(plait_endpoint_parse(text, &e, why, 8), -EINVAL);
	ck_assert_str_eq(why, "column ");
	ck_assert_int_eq(plait_endpoint_parse(text, &e, NULL, 0), -EINVAL);
	free(text);
}

/* ---- comparing ----------------------------------------------------------- */

static const char *const different[] = {
	"tcp:80",
	"tcp:81",
	"tcp:h:80",
	"tcp:i:80",
	"tcp6:80",
	"tcp:80:backlog=5",
	"tcp:80:timeout=5",
	"unix:80",
	"fd:80",
	"limit:total=1:tcp:80",
	"limit:address=1:tcp:80",
	"limit:total=1:tcp:81",
	"limit:total=1:limit:total=1:tcp:80",
};

TEST(endpoints_are_equal_if_all_is_equal, PURE,
     EACH_PAIR(N_OF(different), N_OF(different)))
{
	int i = _i / N_OF(different), k = _i % N_OF(different);
	struct plait_endpoint *a = read_it(different[i]);
	struct plait_endpoint *b = read_it(different[k]);

	ck_assert_int_eq(plait_endpoint_equal(a, b), i == k);
	plait_endpoint_unref(&a);
	plait_endpoint_unref(&b);
}

/* ---- life ---------------------------------------------------------------- */

TEST(an_endpoint_lasts_as_long_as_anybody_holds_it, PURE)
{
	struct plait_endpoint *e = read_it("limit:total=1:tcp:80");
	struct plait_endpoint *other = plait_endpoint_ref(e);
	char text[SIZE];

	ck_assert_ptr_eq(other, e);
	plait_endpoint_unref(&e);
	ck_assert_ptr_null(e);
	plait_endpoint_str(other, text, sizeof(text));
	ck_assert_str_eq(text, "limit:total=1:tcp:80");
	plait_endpoint_cleanup(&other);
	ck_assert_ptr_null(other);
}

TEST(it_is_written_into_whatever_room_there_is, PURE)
{
	struct plait_endpoint *e = read_it("tcp:example.org:80:timeout=5");
	char text[SIZE], whole[SIZE];
	int n = plait_endpoint_str(e, whole, sizeof(whole));

	for (int size = 1; size <= n + 1; size++) {
		memset(text, 'x', sizeof(text));
		ck_assert_int_eq(plait_endpoint_str(e, text, (size_t)size), n);
		ck_assert_int_eq(strlen(text), size - 1);
		ck_assert_mem_eq(text, whole, (size_t)size - 1);
		ck_assert_int_eq(text[size], 'x');
	}
	ck_assert_int_eq(plait_endpoint_str(e, NULL, 0), n);
	plait_endpoint_unref(&e);
}

enum { ALLOCATIONS = 6 }; /* the buffer, two endpoints, three texts */

TEST(without_memory_it_is_refused, PURE, TIMES(ALLOCATIONS))
{
	struct plait_endpoint *e = NULL;
	char why[PLAIT_ENDPOINT_WHY_SIZE];
	int err;

	fault_alloc_at((unsigned long)_i, false);
	err = plait_endpoint_parse("limit:total=1:tcp:h:80:interface=[::1]:"
				   "bindAddress=1.2.3.4",
				   &e, why, sizeof(why));
	ck_assert(fault_alloc_reached());
	ck_assert_int_eq(err, -ENOMEM);
	ck_assert_str_eq(why, "there is no memory");
	ck_assert_ptr_null(e);
}

enum { DEEP = 100000 };

TEST(wrappers_may_be_any_number, PURE)
{
	static const char one[] = "limit:total=1:";
	char *text = malloc(DEEP * sizeof(one) + 10), *at = text;
	struct plait_endpoint *e;

	for (int i = 0; i < DEEP; i++)
		at = stpcpy(at, one);
	strcpy(at, "tcp:80");
	e = read_it(text);
	ck_assert_int_eq(plait_endpoint_str(e, NULL, 0), (int)strlen(text));
	plait_endpoint_unref(&e);
	free(text);
}
