/*
 * Names of the DNS: what is read, what is refused, how they are written, and
 * what is below what.
 */
#include "reactor/names/name.h"
#include "tests/harness.h"

/* As long as a label may be. */
static const char label63[] =
	"abcdefghijklmnopqrstuvwxyz-0123456789_abcdefghijklmnopqrstuvwxy";

_Static_assert(sizeof(label63) - 1 == LABEL_SIZE, "not one byte less");

GROUP("text");

static const struct {
	const char *text;
	const char *written; /* NULL: as it was read */
	unsigned labels, length;
	bool absolute;
} good[] = {
	{ ".", NULL, 0, 1, true },
	{ "a", NULL, 1, 3, false },
	{ "a.", "a", 1, 3, true },
	{ "poetry.example", NULL, 2, 16, false },
	{ "Poetry.EXAMPLE.", "Poetry.EXAMPLE", 2, 16, true },
	{ "_ldap._tcp.dc-1.example", NULL, 4, 25, false },
	{ "-", NULL, 1, 3, false },
	{ "1.0.0.127.in-addr.arpa", NULL, 6, 24, false },
	{ "a\\.b.example", NULL, 2, 13, false },
	{ "a\\.", NULL, 1, 4, false },
	{ "a\\..", "a\\.", 1, 4, true },
	{ "\\\\", NULL, 1, 3, false },
	{ "\\a\\b", "ab", 1, 4, false },
	{ "\\097", "a", 1, 3, false },
	{ "\\046", "\\.", 1, 3, false },
	{ "\\000.x", NULL, 2, 5, false },
	{ "\\0001", NULL, 1, 4, false },
	{ "\\010\\127\\255", NULL, 1, 5, false },
	{ "My printer._ipp._tcp.example", "My\\032printer._ipp._tcp.example", 4,
	  30, false },
	{ "\xc3\xa9.example", "\\195\\169.example", 2, 12, false },
	{ "a;b(c)d\"e@f$g", "a\\;b\\(c\\)d\\\"e\\@f\\$g", 1, 15, false },
	{ "*.example", NULL, 2, 11, false },
};

TEST(names_are_read_and_written, PURE, EACH_OF(good))
{
	const char *written =
		good[_i].written != NULL ? good[_i].written : good[_i].text;
	struct dns_name n;
	char text[NAME_TEXT_SIZE];

	ck_assert_int_eq(plait_i_name_parse(&n, good[_i].text), 0);
	ck_assert_uint_eq(n.labels, good[_i].labels);
	ck_assert_uint_eq(n.length, good[_i].length);
	ck_assert(n.absolute == good[_i].absolute);
	ck_assert_uint_eq(n.wire[n.length - 1], 0);
	ck_assert_int_eq(plait_i_name_str(&n, text, sizeof(text)),
			 (int)strlen(written));
	ck_assert_str_eq(text, written);
}

static const char *const bad[] = {
	"",	"..",	  ".a",	   "a..b",    "a..",	    "a\n",
	"\n",	"a\tb",	  "a\x7f", "\x1b[2J", "\\",	    "a\\",
	"\\1",	"\\12",	  "\\12a", "\\256",   "\\999",	    "\\1.2",
	"\\\n", ".\\046", "a.\\",  "...",     "example.\r",
};

TEST(what_is_no_name_is_refused, PURE, EACH_OF(bad))
{
	struct dns_name n = { .length = 42 };

	ck_assert_int_eq(plait_i_name_parse(&n, bad[_i]), -EINVAL);
	ck_assert_uint_eq(n.length, 42);
}

/* Four labels; the last one has as many bytes as are asked for. */
static void long_name(char *text, size_t last, const char *end)
{
	sprintf(text, "%s.%s.%s.%.*s%s", label63, label63, label63, (int)last,
		label63, end);
}

TEST(a_name_has_253_bytes_and_no_more, PURE)
{
	struct dns_name n, longer = { .length = 42 };
	char text[NAME_TEXT_SIZE], back[NAME_TEXT_SIZE];

	long_name(text, 61, "");
	ck_assert_uint_eq(strlen(text), 253);
	ck_assert_int_eq(plait_i_name_parse(&n, text), 0);
	ck_assert_uint_eq(n.length, NAME_SIZE);
	plait_i_name_str(&n, back, sizeof(back));
	ck_assert_str_eq(back, text);
	long_name(text, 61, ".");
	ck_assert_int_eq(plait_i_name_parse(&n, text), 0);
	ck_assert(n.absolute);
	long_name(text, 62, "");
	ck_assert_int_eq(plait_i_name_parse(&longer, text), -ENAMETOOLONG);
	long_name(text, 61, ".a");
	ck_assert_int_eq(plait_i_name_parse(&longer, text), -ENAMETOOLONG);
	ck_assert_uint_eq(longer.length, 42);
}

TEST(a_label_has_63_bytes_and_no_more, PURE)
{
	struct dns_name n;
	char text[100];

	ck_assert_int_eq(plait_i_name_parse(&n, label63), 0);
	sprintf(text, "a.%s.b", label63);
	ck_assert_int_eq(plait_i_name_parse(&n, text), 0);
	sprintf(text, "a.%sz.b", label63);
	ck_assert_int_eq(plait_i_name_parse(&n, text), -ENAMETOOLONG);
}

TEST(a_name_has_127_labels_at_most, PURE)
{
	struct dns_name n;
	char text[2 * 128 + 1] = "";

	for (unsigned i = 0; i < 127; i++)
		strcat(text, i == 0 ? "a" : ".a");
	ck_assert_int_eq(plait_i_name_parse(&n, text), 0);
	ck_assert_uint_eq(n.labels, NAME_LABELS);
	strcat(text, ".a");
	ck_assert_int_eq(plait_i_name_parse(&n, text), -ENAMETOOLONG);
}

TEST(the_longest_text_has_room, PURE)
{
	struct dns_name n, back;
	char text[2 * NAME_TEXT_SIZE] = "", again[NAME_TEXT_SIZE];

	for (unsigned i = 0; i < 250; i++)
		strcat(text, i > 0 && i % 63 == 0 ? ".\\255" : "\\255");
	ck_assert_int_eq(plait_i_name_parse(&n, text), 0);
	ck_assert_int_eq(plait_i_name_str(&n, again, sizeof(again)),
			 NAME_TEXT_SIZE - 1);
	ck_assert_str_eq(again, text);
	ck_assert_int_eq(plait_i_name_parse(&back, again), 0);
	ck_assert_mem_eq(&n, &back, sizeof(n));
}

TEST(each_byte_is_read_as_it_was_written, PURE, TIMES(256))
{
	struct dns_name n = { .length = 5, .labels = 1 }, back;
	char text[NAME_TEXT_SIZE];

	memcpy(n.wire, (unsigned char[]){ 3, 'a', (unsigned char)_i, 'b', 0 },
	       5);
	plait_i_name_str(&n, text, sizeof(text));
	for (const char *p = text; *p != '\0'; p++)
		ck_assert(*p > 0x20 && *p < 0x7f);
	ck_assert_int_eq(plait_i_name_parse(&back, text), 0);
	ck_assert_mem_eq(&n, &back, sizeof(n));
	ck_assert(plait_i_name_has_control(&n) == (_i < 0x20 || _i == 0x7f));
}

TEST(text_is_cut_to_its_room, PURE)
{
	struct dns_name n;
	char text[6] = "xxxxx";

	ck_assert_int_eq(plait_i_name_parse(&n, "poetry.example"), 0);
	ck_assert_int_eq(plait_i_name_str(&n, text, sizeof(text)), 14);
	ck_assert_str_eq(text, "poetr");
	ck_assert_int_eq(plait_i_name_str(&n, NULL, 0), 14);
}

GROUP("compare");

static struct dns_name name_of(const char *text)
{
	struct dns_name n;

	ck_assert_int_eq(plait_i_name_parse(&n, text), 0);
	return n;
}

static const struct {
	const char *name, *domain;
	bool equal, under;
} pairs[] = {
	{ "poetry.example", "poetry.example", true, true },
	{ "poetry.example", "POETRY.Example.", true, true },
	{ "poetry.example", "example", false, true },
	{ "example", "poetry.example", false, false },
	{ "notpoetry.example", "poetry.example", false, false },
	{ "poetry.example", "examples", false, false },
	{ "poetry.example", ".", false, true },
	{ ".", ".", true, true },
	{ ".", "example", false, false },
	{ "a.b", "a\\.b", false, false },
	{ "x\\007example", "example", false, false },
	{ "[", "{", false, false },
	{ "@", "`", false, false },
	{ "\\193", "\\225", false, false },
	{ "a1", "aQ", false, false },
};

TEST(names_are_compared_without_case_and_by_labels, PURE, EACH_OF(pairs))
{
	struct dns_name n = name_of(pairs[_i].name);
	struct dns_name domain = name_of(pairs[_i].domain);

	ck_assert(plait_i_name_equal(&n, &domain) == pairs[_i].equal);
	ck_assert(plait_i_name_equal(&domain, &n) == pairs[_i].equal);
	ck_assert(plait_i_name_is_under(&n, &domain) == pairs[_i].under);
}

TEST(folded_names_that_are_equal_have_equal_bytes, PURE)
{
	struct dns_name a = name_of("Poetry.EXAMPLE\\255Z");
	struct dns_name b = name_of("pOETRY.example\\255z");

	plait_i_name_fold(&a);
	plait_i_name_fold(&b);
	ck_assert_mem_eq(&a, &b, sizeof(a));
}

GROUP("make");

TEST(a_domain_is_put_behind, PURE)
{
	struct dns_name n = name_of("www"), expected = name_of("www.example.");
	struct dns_name domain = name_of("example."), root = name_of(".");

	ck_assert_int_eq(plait_i_name_append(&n, &domain), 0);
	ck_assert_mem_eq(&n, &expected, sizeof(n));
	ck_assert_int_eq(plait_i_name_append(&n, &root), 0);
	ck_assert_mem_eq(&n, &expected, sizeof(n));
}

TEST(a_domain_for_which_there_is_no_room_changes_nothing, PURE)
{
	char text[NAME_TEXT_SIZE];
	struct dns_name n, before, fits = name_of("a"), domain = name_of("ab");

	long_name(text, 59, "");
	n = before = name_of(text);
	ck_assert_int_eq(plait_i_name_append(&n, &domain), -ENAMETOOLONG);
	ck_assert_mem_eq(&n, &before, sizeof(n));
	ck_assert_int_eq(plait_i_name_append(&n, &fits), 0);
	ck_assert_uint_eq(n.length, NAME_SIZE);
}

static const struct {
	const char *address, *name;
} reversed[] = {
	{ "192.0.2.1", "1.2.0.192.in-addr.arpa" },
	{ "255.254.253.252", "252.253.254.255.in-addr.arpa" },
	{ "2001:db8::567:89ab",
	  "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2."
	  "ip6.arpa" },
	{ "::1", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
		 "0.0.ip6.arpa" },
	{ "fe80::1%3", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
		       "0.0.8.e.f.ip6.arpa" },
	{ "::ffff:192.0.2.1", "1.2.0.192.in-addr.arpa" },
};

TEST(an_address_has_a_name_under_arpa, PURE, EACH_OF(reversed))
{
	struct plait_address a;
	struct dns_name n;
	char text[NAME_TEXT_SIZE];

	ck_assert_int_eq(plait_address_parse(&a, reversed[_i].address, 80), 0);
	ck_assert_int_eq(plait_i_name_reverse(&n, &a), 0);
	plait_i_name_str(&n, text, sizeof(text));
	ck_assert_str_eq(text, reversed[_i].name);
}

TEST(what_is_no_ip_has_no_name_under_arpa, PURE)
{
	struct plait_address a = { .family = 0 };
	struct dns_name n = { .length = 42 };

	ck_assert_int_eq(plait_i_name_reverse(&n, &a), -EAFNOSUPPORT);
	plait_address_from_path(&a, "/run/poem");
	ck_assert_int_eq(plait_i_name_reverse(&n, &a), -EAFNOSUPPORT);
	ck_assert_uint_eq(n.length, 42);
}
