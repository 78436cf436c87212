/*
 * /etc/hosts: addresses of names and names of addresses.  Where the expectation
 * is not obvious, it is what getent of the GNU C library 2.36 does.
 */
#include <sys/socket.h>
#include <time.h>

#include "reactor/names/hosts.h"
#include "tests/harness.h"

enum { ROOM = 8, SEED = 0x5eed };

static struct hosts *h;

static void begin(const char *text)
{
	h = plait_i_hosts_read(text, strlen(text), SEED);
	ck_assert_ptr_nonnull(h);
}

static void end(void)
{
	plait_i_hosts_free(&h);
	ck_assert_ptr_null(h);
}

/* The addresses of that name, with blanks between them. */
static const char *of_family(const char *name, int family)
{
	static char found[1000];
	struct plait_address list[ROOM];
	size_t n = plait_i_hosts_find(h, name, family, list, ROOM);
	char host[PLAIT_ADDRESS_SIZE], *at = found;

	*at = '\0';
	for (size_t i = 0; i < n; i++) {
		plait_address_host(&list[i], host, sizeof(host));
		at += sprintf(at, "%s%s", i > 0 ? " " : "", host);
		ck_assert_uint_eq(plait_address_port(&list[i]), 0);
	}
	return found;
}

static const char *all_of(const char *name)
{
	return of_family(name, AF_UNSPEC);
}

static const char *name_of(const char *ip)
{
	struct plait_address a;

	ck_assert_int_eq(plait_address_parse(&a, ip, 80), 0);
	return plait_i_hosts_name(h, &a);
}

/* ---- finding ------------------------------------------------------------- */

TEST(each_name_of_a_line_has_its_address, PURE)
{
	begin("127.0.0.1 localhost\n10.0.0.1\tcanon  alias1 alias2\n");
	ck_assert_str_eq(all_of("canon"), "10.0.0.1");
	ck_assert_str_eq(all_of("alias1"), "10.0.0.1");
	ck_assert_str_eq(all_of("alias2"), "10.0.0.1");
	ck_assert_str_eq(all_of("localhost"), "127.0.0.1");
	ck_assert_str_eq(all_of("alias"), "");
	ck_assert_str_eq(all_of("alias12"), "");
	ck_assert_str_eq(all_of(""), "");
	end();
}

TEST(a_name_has_the_addresses_of_all_its_lines_in_order, PURE)
{
	begin("10.0.0.2 m\n::2 other m\n10.0.0.1 m\n::1 m\n10.0.0.9 n\n");
	ck_assert_str_eq(all_of("m"), "10.0.0.2 ::2 10.0.0.1 ::1");
	ck_assert_str_eq(of_family("m", AF_INET), "10.0.0.2 10.0.0.1");
	ck_assert_str_eq(of_family("m", AF_INET6), "::2 ::1");
	ck_assert_str_eq(of_family("n", AF_INET6), "");
	end();
}

TEST(each_address_is_given_once, PURE)
{
	begin("10.0.0.1 d d D\n10.0.0.1 d\n10.0.0.2 d\n");
	ck_assert_str_eq(all_of("d"), "10.0.0.1 10.0.0.2");
	end();
}

TEST(no_more_are_given_than_there_is_room_for, PURE)
{
	char text[1000] = "";
	struct plait_address list[ROOM];

	for (int i = 0; i < 2 * ROOM; i++)
		sprintf(text + strlen(text), "10.0.0.%d n\n", i);
	begin(text);
	ck_assert_uint_eq(plait_i_hosts_find(h, "n", AF_UNSPEC, list, ROOM),
			  ROOM);
	ck_assert_uint_eq(plait_i_hosts_find(h, "n", AF_UNSPEC, list, 0), 0);
	end();
}

TEST(case_does_not_matter, PURE)
{
	begin("10.0.0.1 UPPER lower\n");
	ck_assert_str_eq(all_of("upper"), "10.0.0.1");
	ck_assert_str_eq(all_of("LoWeR"), "10.0.0.1");
	end();
}

TEST(a_dot_at_the_end_does_not_matter, PURE)
{
	begin("10.0.0.1 plain\n10.0.0.2 dot.\n10.0.0.3 .\n");
	ck_assert_str_eq(all_of("plain."), "10.0.0.1");
	ck_assert_str_eq(all_of("dot"), "10.0.0.2");
	ck_assert_str_eq(all_of("dot."), "10.0.0.2");
	ck_assert_str_eq(all_of("dot.."), "");
	ck_assert_str_eq(all_of("."), "");
	end();
}

/* An address that is written as IPv6 stays one. */
TEST(a_mapped_address_is_of_the_family_it_is_written_in, PURE)
{
	begin("::ffff:1.2.3.4 mapped\n");
	ck_assert_str_eq(of_family("mapped", AF_INET6), "::ffff:1.2.3.4");
	ck_assert_str_eq(of_family("mapped", AF_INET), "");
	end();
}

/* ---- the other way ------------------------------------------------------- */

TEST(an_address_has_the_first_name_of_its_first_line, PURE)
{
	begin("10.0.0.1 First second\n10.0.0.1 third\n::1 six\n");
	ck_assert_str_eq(name_of("10.0.0.1"), "First");
	ck_assert_str_eq(name_of("::1"), "six");
	ck_assert_ptr_null(name_of("10.0.0.2"));
	end();
}

TEST(a_line_without_a_name_gives_its_address_none, PURE)
{
	begin("10.0.0.1\n10.0.0.2 a\n");
	ck_assert_ptr_null(name_of("10.0.0.1"));
	ck_assert_str_eq(name_of("10.0.0.2"), "a");
	end();
}

TEST(a_mapped_address_has_the_name_of_the_ipv4_address, PURE)
{
	begin("10.0.0.1 four\n::ffff:10.0.0.2 six\n");
	ck_assert_str_eq(name_of("::ffff:10.0.0.1"), "four");
	ck_assert_str_eq(name_of("10.0.0.2"), "six");
	end();
}

TEST(what_is_no_ip_has_no_name, PURE)
{
	struct plait_address a;

	begin("0.0.0.0 zero\n");
	plait_address_from_path(&a, "/run/poem");
	ck_assert_ptr_null(plait_i_hosts_name(h, &a));
	ck_assert_str_eq(name_of("0.0.0.0"), "zero");
	end();
}

/* ---- lines --------------------------------------------------------------- */

static const struct {
	const char *text, *addresses; /* of `a' */
} lines[] = {
	{ "10.0.0.1 a", "10.0.0.1" },
	{ "  \t10.0.0.1 a\n", "10.0.0.1" },
	{ "10.0.0.1\va\f b\n", "10.0.0.1" },
	{ "10.0.0.1 a\r\n", "10.0.0.1" },
	{ "10.0.0.1 b\r10.0.0.2 a\n", "10.0.0.1" },
	{ "10.0.0.1 a#b\n", "10.0.0.1" },
	{ "10.0.0.1 b # a\n", "" },
	{ "10.0.0.1#a\n", "" },
	{ "#10.0.0.1 a\n", "" },
	{ "10.0.0.1\na\n", "" },
	{ "10.0.0.1\n10.0.0.2 a\n", "10.0.0.2" },
	{ "\n\n\n10.0.0.1 a\n\n", "10.0.0.1" },
};

TEST(words_are_between_blanks_and_comments_end_lines, PURE, EACH_OF(lines))
{
	begin(lines[_i].text);
	ck_assert_str_eq(all_of("a"), lines[_i].addresses);
	end();
}

static const char *const malformed[] = {
	"10.0.0 bad\n",	    "10.0.0.256 bad\n",
	"0x7f.1 bad\n",	    "1.2.3.4.5 bad\n",
	"localhost bad\n",  "::g bad\n",
	"1 bad\n",	    "bad\n",
	"10.0.0.1,bad\n",   "[::1] bad\n",
	"10.0.0.1/8 bad\n", "fe80::1%lo bad\n",
	"::1%% bad\n",	    "010.0.0.1x bad\n",
	"bad 10.0.0.1\n",   ":::: bad\n",
	"10.0.0.1. bad\n",
};

TEST(a_malformed_line_is_skipped, PURE, EACH_OF(malformed))
{
	char text[100] = "";

	begin(strcat(strcat(text, malformed[_i]), "10.0.0.1 good\n"));
	ck_assert_str_eq(all_of("bad"), "");
	ck_assert_str_eq(all_of("good"), "10.0.0.1");
	end();
}

TEST(a_nul_ends_its_line, PURE)
{
	static const char text[] = "10.0.0.1 a\0b c\n10.0.0.2 next\n";

	h = plait_i_hosts_read(text, sizeof(text) - 1, SEED);
	ck_assert_str_eq(all_of("a"), "10.0.0.1");
	ck_assert_str_eq(all_of("b"), "");
	ck_assert_str_eq(all_of("c"), "");
	ck_assert_str_eq(all_of("next"), "10.0.0.2");
	end();
}

TEST(a_name_that_is_too_long_is_skipped, PURE)
{
	char text[1000] = "10.0.0.1 ", name[300];

	memset(name, 'a', sizeof(name));
	name[255] = '\0';
	begin(strcat(strcat(strcat(text, name), "a short "), name));
	ck_assert_str_eq(all_of("short"), "10.0.0.1");
	ck_assert_str_eq(all_of(name), "10.0.0.1");
	ck_assert_str_eq(name_of("10.0.0.1"), "short");
	name[255] = 'a';
	name[256] = '\0';
	ck_assert_str_eq(all_of(name), "");
	end();
}

TEST(an_empty_file_has_no_names, PURE)
{
	h = plait_i_hosts_read(NULL, 0, SEED);
	ck_assert_str_eq(all_of("localhost"), "");
	ck_assert_ptr_null(name_of("127.0.0.1"));
	end();
	end();
}

/* ---- size ---------------------------------------------------------------- */

enum { MANY = 100000, NAMES = 20000 };

/* Of which none is longer than that. */
enum { LINE_SIZE = 40 };

TEST(a_hundred_thousand_lines_are_found_at_once, PURE)
{
	char *text = malloc(MANY * LINE_SIZE), *at = text, name[LINE_SIZE];

	for (int i = 0; i < MANY; i++)
		at += sprintf(at, "10.%d.%d.%d host%d.example\n", i >> 16,
			      i >> 8 & 255, i & 255, i);
	begin(text);
	for (int i = 0; i < MANY; i++) {
		struct plait_address a;

		sprintf(name, "HOST%d.example", i);
		ck_assert_uint_eq(plait_i_hosts_find(h, name, AF_INET, &a, 1),
				  1);
		ck_assert_str_eq(plait_i_hosts_name(h, &a) + 4, name + 4);
	}
	ck_assert_str_eq(all_of("host100000.example"), "");
	end();
	free(text);
}

TEST(a_line_may_have_any_number_of_names, PURE)
{
	char *text = malloc(NAMES * LINE_SIZE), *at = text;

	at += sprintf(at, "10.0.0.1");
	for (int i = 0; i < NAMES; i++)
		at += sprintf(at, " n%d", i);
	begin(text);
	ck_assert_str_eq(all_of("n0"), "10.0.0.1");
	ck_assert_str_eq(all_of("n19999"), "10.0.0.1");
	end();
	free(text);
}

/* Neither lines without names nor words without a line need much. */
static const char *const useless[] = { "\n", "#\n", "1\n", "a " };

TEST(a_table_is_little_larger_than_its_names, PURE, EACH_OF(useless))
{
	char *text = malloc(MANY * LINE_SIZE);
	size_t len = strlen(useless[_i]);

	for (int i = 0; i < MANY; i++)
		memcpy(text + (size_t)i * len, useless[_i], len);
	h = plait_i_hosts_read(text, MANY * len, SEED);
	ck_assert_uint_le(heap_live_bytes(), MANY * len + 1024);
	end();
	free(text);
}

TEST(one_allocation_is_enough_and_may_fail, PURE)
{
	unsigned long before = heap_calls();

	begin("10.0.0.1 a b\n10.0.0.2 c\n");
	ck_assert_uint_eq(heap_calls(), before + 1);
	end();
	fault_alloc_at(0, false);
	ck_assert_ptr_null(plait_i_hosts_read("10.0.0.1 a", 10, SEED));
}
