/*
 * What a message answers: records and their text, chains of aliases, times to
 * live, and what is not.
 */
#include <sys/socket.h>

#include "reactor/names/record.h"
#include "tests/dns_reply.h"
#include "tests/harness.h"

static struct dns_reply reply;

/* Reads what the message that these words make answers. */
static int read_aged(struct dns_reading *ret, const char *words, uint32_t age)
{
	struct dns_message m;

	dns_reply_make(&reply, words);
	ck_assert_int_eq(plait_i_message_parse(
				 &m,
				 dns_reply_at_end(reply.bytes, reply.length),
				 reply.length),
			 0);
	return plait_i_answer_read(ret, &m, age);
}

static int read_of(struct dns_reading *ret, const char *words)
{
	return read_aged(ret, words, 0);
}

static void check_name(const struct dns_name *n, const char *expected)
{
	char text[NAME_TEXT_SIZE];

	plait_i_name_str(n, text, sizeof(text));
	ck_assert_str_eq(text, expected);
}

/* The records of an answer, a line each: its aliases, then the others. */
static void check_lines(const struct plait_dns_answer *a, const char *expected)
{
	char text[10000] = "";

	for (size_t i = 0; i < a->n_aliases + a->count; i++) {
		const struct plait_dns_record *rec =
			i < a->n_aliases ? &a->aliases[i]
					 : &a->records[i - a->n_aliases];
		size_t len = strlen(text);

		if (i > 0)
			text[len++] = '\n';
		plait_dns_record_str(rec, text + len, sizeof(text) - len);
	}
	ck_assert_str_eq(text, expected);
}

GROUP("types");

static const struct {
	unsigned type;
	const char *name;
} types[] = {
	{ PLAIT_DNS_A, "A" },
	{ PLAIT_DNS_AAAA, "AAAA" },
	{ PLAIT_DNS_CNAME, "CNAME" },
	{ PLAIT_DNS_NS, "NS" },
	{ PLAIT_DNS_SOA, "SOA" },
	{ PLAIT_DNS_PTR, "PTR" },
	{ PLAIT_DNS_MX, "MX" },
	{ PLAIT_DNS_TXT, "TXT" },
	{ PLAIT_DNS_SRV, "SRV" },
	{ PLAIT_DNS_ANY, "ANY" },
	{ 43, "DS" },
	{ 65, "HTTPS" },
	{ 257, "CAA" },
	{ 0, "TYPE0" },
	{ 731, "TYPE731" },
	{ 65535, "TYPE65535" },
};

TEST(a_type_has_a_name_or_a_number, PURE, EACH_OF(types))
{
	char text[20], lower[20];
	unsigned type = 70000;

	ck_assert_int_eq(plait_dns_type_str(types[_i].type, text, sizeof(text)),
			 (int)strlen(types[_i].name));
	ck_assert_str_eq(text, types[_i].name);
	ck_assert_int_eq(plait_dns_type_from_str(&type, text), 0);
	ck_assert_uint_eq(type, types[_i].type);
	for (size_t i = 0; i < sizeof(lower); i++)
		lower[i] = (char)(text[i] >= 'A' ? text[i] + 32 : text[i]);
	ck_assert_int_eq(plait_dns_type_from_str(&type, lower), 0);
	ck_assert_uint_eq(type, types[_i].type);
}

TEST(each_number_is_read_back_from_its_text, PURE)
{
	char text[20];
	unsigned back;

	for (unsigned type = 0; type < 65536; type++) {
		plait_dns_type_str(type, text, sizeof(text));
		ck_assert_int_eq(plait_dns_type_from_str(&back, text), 0);
		ck_assert_uint_eq(back, type);
	}
}

static const char *const no_types[] = {
	"",	     "POEM",   "A ",	 "TYPE",
	"TYPE65536", "TYPE-1", "TYPE1 ", "TYPE0x1",
	"1",	     "TYPES",  "TYP1",	 "TYPE99999999999999999999"
};

TEST(what_is_no_type_is_refused, PURE, EACH_OF(no_types))
{
	unsigned type = 42;

	ck_assert_int_eq(plait_dns_type_from_str(&type, no_types[_i]), -EINVAL);
	ck_assert_uint_eq(type, 42);
}

TEST(a_number_that_is_no_type_can_be_asked_for_by_it, PURE)
{
	unsigned type;

	ck_assert_int_eq(plait_dns_type_from_str(&type, "type1"), 0);
	ck_assert_uint_eq(type, PLAIT_DNS_A);
}

GROUP("records");

/* Each is what is written of the record that it makes. */
static const char *const records[] = {
	"a.example 300 A 192.0.2.1",
	"a.example 0 A 0.0.0.0",
	"a.example 300 AAAA 2001:db8::1",
	"a.example 300 AAAA ::ffff:192.0.2.1",
	"a.example 300 CNAME b.example",
	"a.example 300 NS ns.a.example",
	". 300 NS a.root-servers.net",
	"a.example 300 SOA ns.example root\\.a.example 4294967295 1 2 3 0",
	"1.2.0.192.in-addr.arpa 300 PTR a.example",
	"a.example 300 MX 10 mail.a.example",
	"a.example 300 MX 65535 .",
	"a.example 300 TXT \"a poem\"",
	"a.example 300 TXT \"\"",
	"a.example 300 TXT \"a\" \"\" \"b;c\" \"\\\"\\\\\\000\\010\\200\"",
	"_ipp._tcp.a.example 300 SRV 1 2 631 printer.a.example",
	"a.example 300 SRV 65535 65535 65535 .",
	"a.example 300 TYPE731 \\# 3 abcdef",
	"a.example 300 TYPE731 \\# 0",
	"a.example 300 CAA \\# 2 0005",
	"a\\.b\\000.example 300 A 192.0.2.1",
};

static void check_record(const char *record, const char *compress)
{
	struct dns_reading got;
	char words[500], name[100], type[20];
	plait_value v;

	ck_assert_int_eq(sscanf(record, "%99s %*u %19s", name, type), 2);
	sprintf(words, "%squestion %s %s; answer %s", compress, name, type,
		record);
	ck_assert_int_eq(read_of(&got, words), 0);
	ck_assert_int_eq((int)got.outcome, DNS_FOUND);
	ck_assert_str_eq(got.answer->name, name);
	ck_assert_uint_eq(got.answer->count, 1);
	ck_assert_uint_eq(got.answer->n_aliases, 0);
	ck_assert_uint_eq(got.ttl, got.answer->records[0].ttl);
	check_lines(got.answer, record);
	v = plait_i_answer_value(got.answer);
	plait_value_free(&v);
}

TEST(a_record_is_decoded_and_written, PURE, EACH_OF(records))
{
	check_record(records[_i], "");
	check_record(records[_i], "compress; ");
}

TEST(the_text_of_a_record_is_cut_to_its_room, PURE)
{
	struct dns_reading got;
	char text[20];

	ck_assert_int_eq(read_of(&got, "question a TXT;"
				       "answer a 5 TXT \"a poem\" \"of two\""),
			 0);
	for (size_t size = 1; size <= sizeof(text); size++) {
		memset(text, 'x', sizeof(text));
		ck_assert_int_eq(
			plait_dns_record_str(got.answer->records, text, size),
			25);
		ck_assert_uint_eq(strlen(text), size - 1);
		ck_assert_int_eq(strncmp(text, "a 5 TXT \"a poem\" \"of two\"",
					 size - 1),
				 0);
	}
	ck_assert_int_eq(plait_dns_record_str(got.answer->records, NULL, 0),
			 25);
	plait_i_answer_unref(&got.answer);
}

TEST(what_is_in_a_record_is_there_for_programs, PURE)
{
	struct dns_reading got;
	const struct plait_dns_record *rec;

	ck_assert_int_eq(read_of(&got,
				 "question a ANY; flags qr ad;"
				 "answer a 1 SOA b c 1 2 3 4 5;"
				 "answer a 2 MX 6 d; answer a 3 SRV 7 8 9 e;"
				 "answer a 4 TXT \"one\" \"t\\000o\";"
				 "answer a 5 AAAA ::2;"
				 "answer a 6 TYPE731 \\# 1 00"),
			 0);
	ck_assert(got.answer->authentic && !got.answer->cached);
	ck_assert_uint_eq(got.answer->type, PLAIT_DNS_ANY);
	ck_assert_uint_eq(got.answer->count, 6);
	ck_assert_uint_eq(got.answer->ttl, 1);
	ck_assert_int_eq(plait_address_family(&got.answer->server), AF_UNSPEC);
	rec = got.answer->records;
	ck_assert_str_eq(rec[0].data.soa.server, "b");
	ck_assert_str_eq(rec[0].data.soa.mailbox, "c");
	ck_assert_uint_eq(rec[0].data.soa.serial, 1);
	ck_assert_uint_eq(rec[0].data.soa.minimum, 5);
	ck_assert_uint_eq(rec[1].data.mx.preference, 6);
	ck_assert_str_eq(rec[1].data.mx.host, "d");
	ck_assert_uint_eq(rec[2].data.srv.priority, 7);
	ck_assert_uint_eq(rec[2].data.srv.weight, 8);
	ck_assert_uint_eq(rec[2].data.srv.port, 9);
	ck_assert_uint_eq(rec[3].data.txt.count, 2);
	ck_assert_str_eq(rec[3].data.txt.strings[0].data, "one");
	ck_assert_uint_eq(rec[3].data.txt.strings[1].length, 3);
	ck_assert_mem_eq(rec[3].data.txt.strings[1].data, "t\0o", 4);
	ck_assert_int_eq(plait_address_family(&rec[4].data.address), AF_INET6);
	ck_assert_uint_eq(plait_address_port(&rec[4].data.address), 0);
	ck_assert_uint_eq(rec[5].data.bytes.length, 1);
	ck_assert_uint_eq(rec[5].type, 731);
	plait_i_answer_unref(&got.answer);
}

/* Data that is too short, too long, or leads astray. */
static const char *const broken[] = {
	"A \\# 3 010203",
	"A \\# 5 0102030405",
	"A \\# 0",
	"AAAA \\# 15 000000000000000000000000000000",
	"AAAA \\# 4 01020304",
	"NS \\# 0",
	"NS \\# 1 01",
	"NS \\# 2 0161",
	"NS \\# 4 01610000",
	"NS \\# 2 ffff",
	"PTR \\# 2 c0ff",
	"CNAME \\# 0",
	"MX \\# 2 0001",
	"MX \\# 1 00",
	"MX \\# 4 00010000",
	"SRV \\# 6 000000000000",
	"SRV \\# 5 0000000000",
	"TXT \\# 0",
	"TXT \\# 1 01",
	"TXT \\# 3 016101",
	"SOA \\# 0",
	"SOA \\# 21 000000000000000000000000000000000000000000",
	"SOA \\# 23 0000000000000000000000000000000000000000000000",
};

TEST(a_record_that_counts_and_is_malformed_spoils_all, PURE, EACH_OF(broken))
{
	struct dns_reading got = { .ttl = 42 };
	char words[300], type[10];

	sscanf(broken[_i], "%9s", type);
	sprintf(words, "question a %s; answer a 5 %s; answer a 5 A 1.2.3.4",
		type, broken[_i]);
	ck_assert_int_eq(read_of(&got, words), -EBADMSG);
	ck_assert_uint_eq(got.ttl, 42);
	sprintf(words, "question a ANY; answer a 5 A 1.2.3.4; answer a 5 %s",
		broken[_i]);
	ck_assert_int_eq(read_of(&got, words), -EBADMSG);
}

/* The data is one byte, the name in it three: up to the end of the message. */
TEST(a_name_that_is_longer_than_the_data_is_malformed, PURE)
{
	struct dns_reading got;

	ck_assert_int_eq(read_of(&got,
				 "question a SOA; answer a 5 SOA \\# 1 01;"
				 "bytes 6100"),
			 -EBADMSG);
	ck_assert_int_eq(read_of(&got, "question a NS; answer a 5 NS \\# 1 01;"
				       "bytes 6100"),
			 -EBADMSG);
}

TEST(a_malformed_record_that_does_not_count_is_ignored, PURE, EACH_OF(broken))
{
	struct dns_reading got;
	char words[300];

	sprintf(words,
		"question a A; answer b 5 %s; answer a 5 A 1.2.3.4;"
		"additional a 5 %s",
		broken[_i], broken[_i]);
	ck_assert_int_eq(read_of(&got, words), 0);
	check_lines(got.answer, "a 5 A 1.2.3.4");
	plait_i_answer_unref(&got.answer);
}

GROUP("chains");

static const struct {
	const char *words, *end, *lines; /* NULL: no data */
} chains[] = {
	{ "question a A; answer a 5 A 1.2.3.4; answer a 6 A 1.2.3.5", "a",
	  "a 5 A 1.2.3.4\na 6 A 1.2.3.5" },
	{ "question a A; answer a 5 CNAME b; answer b 6 A 1.2.3.4", "b",
	  "a 5 CNAME b\nb 6 A 1.2.3.4" },
	{ "question a A; answer A 5 CNAME B; answer b 6 A 1.2.3.4", "B",
	  "a 5 CNAME B\nB 6 A 1.2.3.4" },
	{ "question a A; answer c 7 A 1.2.3.4; answer b 6 CNAME c;"
	  "answer a 5 CNAME b",
	  "c", "a 5 CNAME b\nb 6 CNAME c\nc 7 A 1.2.3.4" },
	{ "question a A; answer b 6 CNAME c; answer c 7 A 1.2.3.4;"
	  "answer a 5 CNAME b",
	  "c", "a 5 CNAME b\nb 6 CNAME c\nc 7 A 1.2.3.4" },
	{ "question a AAAA; answer a 5 CNAME b; answer b 6 A 1.2.3.4", "b",
	  NULL },
	{ "question a A; answer a 5 CNAME b", "b", NULL },
	{ "question a A; answer a 5 CNAME b; additional b 5 A 1.2.3.4", "b",
	  NULL },
	{ "question a A; answer b 5 A 1.2.3.4; authority a 5 CNAME b", "a",
	  NULL },
	{ "question a A; answer evil 5 A 6.6.6.6; answer a 5 A 1.2.3.4;"
	  "answer a 5 AAAA ::6; answer evil 5 CNAME a",
	  "a", "a 5 A 1.2.3.4" },
	{ "question a A; class 3; answer a 5 CNAME b; answer a 5 A 6.6.6.6;"
	  "class 1; answer a 5 A 1.2.3.4; answer b 5 A 6.6.6.6",
	  "a", "a 5 A 1.2.3.4" },
	{ "question a A; answer a 5 CNAME b; answer a 5 CNAME evil;"
	  "answer evil 5 A 6.6.6.6; answer b 5 A 1.2.3.4",
	  "b", "a 5 CNAME b\nb 5 A 1.2.3.4" },
	{ "question a CNAME; answer a 5 CNAME b; answer b 5 CNAME c", "a",
	  "a 5 CNAME b" },
	{ "question a CNAME; answer a 5 CNAME a", "a", "a 5 CNAME a" },
	{ "question a ANY; answer a 5 CNAME b; answer b 5 A 1.2.3.4;"
	  "answer a 6 TXT x",
	  "a", "a 5 CNAME b\na 6 TXT \"x\"" },
	{ "question x.d A; answer d 5 TYPE39 \\# 3 016500;"
	  "answer x.d 0 CNAME x.e; answer x.e 5 A 1.2.3.4",
	  "x.e", "x.d 0 CNAME x.e\nx.e 5 A 1.2.3.4" },
	{ "question a A", "a", NULL },
};

TEST(an_answer_is_what_the_question_leads_to, PURE, EACH_OF(chains))
{
	struct dns_reading got;

	ck_assert_int_eq(read_of(&got, chains[_i].words), 0);
	check_name(&got.end, chains[_i].end);
	if (chains[_i].lines == NULL) {
		ck_assert_int_eq((int)got.outcome, DNS_NO_DATA);
		ck_assert_ptr_null(got.answer);
		return;
	}
	ck_assert_int_eq((int)got.outcome, DNS_FOUND);
	check_lines(got.answer, chains[_i].lines);
	plait_i_answer_unref(&got.answer);
}

/* n aliases from c0 on, in order or backwards, and an address at their end. */
static void chain_of(char *words, unsigned n, bool backwards)
{
	char *to = words + sprintf(words, "question c0 A; ");

	for (unsigned i = 0; i < n; i++) {
		unsigned k = backwards ? n - 1 - i : i;

		to += sprintf(to, "answer c%u 5 CNAME c%u; ", k, k + 1);
	}
	sprintf(to, "answer c%u 5 A 1.2.3.4", n);
}

TEST(sixteen_aliases_are_followed_and_no_more, PURE, TIMES(2))
{
	struct dns_reading got = { .ttl = 42 };
	char words[2000];

	chain_of(words, MAX_ALIASES, _i);
	ck_assert_int_eq(read_of(&got, words), 0);
	ck_assert_uint_eq(got.answer->n_aliases, MAX_ALIASES);
	ck_assert_str_eq(got.answer->aliases[3].name, "c3");
	ck_assert_str_eq(got.answer->aliases[3].data.host, "c4");
	check_name(&got.end, "c16");
	plait_i_answer_unref(&got.answer);
	chain_of(words, MAX_ALIASES + 1, _i);
	got.ttl = 42;
	ck_assert_int_eq(read_of(&got, words), -EBADMSG);
	ck_assert_uint_eq(got.ttl, 42);
}

/* An address, and n aliases that have nothing to do with it. */
TEST(an_answer_has_so_many_aliases_at_most, PURE)
{
	struct dns_reading got;
	char words[3000] = "question a A; answer a 5 A 1.2.3.4";

	for (unsigned i = 0; i < MAX_CNAMES; i++)
		strcat(words, "; answer b 5 CNAME c");
	ck_assert_int_eq(read_of(&got, words), 0);
	check_lines(got.answer, "a 5 A 1.2.3.4");
	plait_i_answer_unref(&got.answer);
	strcat(words, "; answer b 5 CNAME c");
	ck_assert_int_eq(read_of(&got, words), -EBADMSG);
}

static const char *const circles[] = {
	"question a A; answer a 5 CNAME a",
	"question a A; answer a 5 CNAME b; answer b 5 CNAME a",
	("question a A; answer a 5 CNAME b; answer b 5 CNAME b;"
	 "answer a 5 A 1.2.3.4"),
	"question a A; rcode 3; answer a 5 CNAME A",
};

TEST(aliases_in_a_circle_are_an_error, PURE, EACH_OF(circles))
{
	struct dns_reading got;

	ck_assert_int_eq(read_of(&got, circles[_i]), -EBADMSG);
}

TEST(a_chain_may_end_in_a_name_that_is_not, PURE)
{
	struct dns_reading got;

	ck_assert_int_eq(read_of(&got, "question a A; rcode 3;"
				       "answer a 5 CNAME b.c;"
				       "authority c 9 SOA x y 1 2 3 4 8"),
			 0);
	ck_assert_int_eq((int)got.outcome, DNS_NO_NAME);
	ck_assert_uint_eq(got.ttl, 5);
	check_name(&got.end, "b.c");
}

TEST(a_name_that_is_not_has_no_records, PURE)
{
	struct dns_reading got;

	ck_assert_int_eq(read_of(&got, "question a A; rcode 3;"
				       "answer a 5 A 1.2.3.4"),
			 0);
	ck_assert_int_eq((int)got.outcome, DNS_NO_NAME);
	ck_assert_ptr_null(got.answer);
}

static const char *const no_message[] = {
	"answer a 5 A 1.2.3.4",
	"question a A; count answer 1",
	"question a A; answer a 5 A 1.2.3.4; count answer 2",
	"question a A; answer a 5 A 1.2.3.4; edns 512 0; edns 512 0",
};

TEST(half_a_message_answers_nothing, PURE, EACH_OF(no_message))
{
	struct dns_reading got;

	ck_assert_int_eq(read_of(&got, no_message[_i]), -EBADMSG);
}

GROUP("time to live");

static const struct {
	const char *words;
	uint32_t age, ttl;
} times[] = {
	{ "answer a 300 A 1.2.3.4", 0, 300 },
	{ "answer a 300 A 1.2.3.4; answer a 200 A 1.2.3.5", 0, 200 },
	{ "answer a 100 CNAME b; answer b 300 A 1.2.3.4", 0, 100 },
	{ "answer a 300 CNAME b; answer b 100 A 1.2.3.4", 0, 100 },
	{ "answer a 300 A 1.2.3.4; answer b 1 A 1.2.3.4", 0, 300 },
	{ "answer a 0 A 1.2.3.4", 0, 0 },
	{ "answer a 86400 A 1.2.3.4", 0, 86400 },
	{ "answer a 86401 A 1.2.3.4", 0, 86400 },
	{ "answer a 2147483647 A 1.2.3.4", 0, 86400 },
	{ "answer a 2147483648 A 1.2.3.4", 0, 0 },
	{ "answer a 4294967295 A 1.2.3.4", 0, 0 },
	{ "answer a 4294967295 CNAME b; answer b 5 A 1.2.3.4", 0, 0 },
	{ "answer a 300 A 1.2.3.4", 299, 1 },
	{ "answer a 300 A 1.2.3.4", 300, 0 },
	{ "answer a 300 A 1.2.3.4", UINT32_MAX, 0 },
	{ "answer a 2147483647 A 1.2.3.4", 400, 86000 },
};

TEST(an_answer_is_true_for_the_least_of_its_times, PURE, EACH_OF(times))
{
	struct dns_reading got;
	char words[200];

	sprintf(words, "question a A; %s", times[_i].words);
	ck_assert_int_eq(read_aged(&got, words, times[_i].age), 0);
	ck_assert_uint_eq(got.ttl, times[_i].ttl);
	ck_assert_uint_eq(got.answer->ttl, times[_i].ttl);
	plait_i_answer_unref(&got.answer);
}

static const struct {
	const char *words;
	uint32_t age, ttl;
} negative[] = {
	{ "", 0, 0 },
	{ "authority a.example 60 SOA x y 1 2 3 4 5", 0, 5 },
	{ "authority example 60 SOA x y 1 2 3 4 500", 0, 60 },
	{ "authority . 60 SOA x y 1 2 3 4 500", 50, 10 },
	{ "authority example 60 SOA x y 1 2 3 4 5", 6, 0 },
	{ "authority EXAMPLE 86400 SOA x y 1 2 3 4 86400", 0, 10800 },
	{ "authority example 2147483648 SOA x y 1 2 3 4 5", 0, 0 },
	{ "authority example 60 SOA x y 1 2 3 4 2147483648", 0, 0 },
	{ "authority poem.example 60 SOA x y 1 2 3 4 5", 0, 0 },
	{ "authority poem.example 60 SOA x y 1 2 3 4 5;"
	  "authority example 70 SOA x y 1 2 3 4 60",
	  0, 60 },
	{ "additional example 60 SOA x y 1 2 3 4 5", 0, 0 },
	{ "answer example 60 SOA x y 1 2 3 4 5", 0, 0 },
	{ "authority example 60 SOA \\# 3 010203", 0, 0 },
	{ "authority example 60 NS x", 0, 0 },
	{ "class 3; authority example 60 SOA x y 1 2 3 4 5", 0, 0 },
};

TEST(what_is_not_is_so_for_as_long_as_the_zone_says, PURE,
     EACH_PAIR(N_OF(negative), 2))
{
	int i = _i / 2;
	bool is_no_name = _i % 2;
	struct dns_reading got;
	char words[200];

	sprintf(words, "question a.example A; rcode %d; %s", is_no_name ? 3 : 0,
		negative[i].words);
	ck_assert_int_eq(read_aged(&got, words, negative[i].age), 0);
	ck_assert_int_eq((int)got.outcome,
			 is_no_name ? DNS_NO_NAME : DNS_NO_DATA);
	ck_assert_uint_eq(got.ttl, negative[i].ttl);
	check_name(&got.end, "a.example");
}

GROUP("memory");

static const char many[] =
	"compress; question a.example ANY; answer a.example 5 A 1.2.3.4;"
	"answer a.example 5 TXT \"one\" \"two\"; answer a.example 5 MX 1 b";

TEST(an_answer_is_one_allocation, PURE)
{
	unsigned long calls;
	struct dns_reading got;
	size_t before = heap_live_bytes(), size;

	calls = heap_calls();
	ck_assert_int_eq(read_of(&got, many), 0);
	ck_assert_uint_eq(heap_calls(), calls + 1);
	size = heap_live_bytes() - before;
	ck_assert_uint_lt(size, 4 * (sizeof(struct plait_dns_record) + 100));
	plait_i_answer_unref(&got.answer);
	ck_assert_ptr_null(got.answer);
	plait_i_answer_unref(&got.answer);
}

TEST(without_memory_there_is_no_answer, PURE)
{
	struct dns_reading got = { .ttl = 42 };

	fault_alloc_at(0, false);
	ck_assert_int_eq(read_of(&got, many), -ENOMEM);
	ck_assert(fault_alloc_reached());
	ck_assert_uint_eq(got.ttl, 42);
	ck_assert_int_eq(read_of(&got, many), 0);
	plait_i_answer_unref(&got.answer);
}

TEST(what_is_not_needs_no_memory, PURE)
{
	struct dns_reading got;

	fault_alloc_at(0, true);
	ck_assert_int_eq(read_of(&got, "question a A"), 0);
	ck_assert_int_eq(read_of(&got, "question a A; rcode 3"), 0);
	ck_assert(!fault_alloc_reached());
	fault_alloc_off();
}

TEST(a_value_of_an_answer_has_references, PURE)
{
	struct dns_reading got;
	plait_value v, again;

	ck_assert_int_eq(read_of(&got, many), 0);
	v = plait_i_answer_value(got.answer);
	again = plait_value_ref(&v);
	ck_assert_ptr_eq(plait_value_dns_answer(&v), got.answer);
	plait_value_free(&v);
	ck_assert_str_eq(plait_value_dns_answer(&again)->name, "a.example");
	plait_value_free(&again);
}

TEST(another_value_is_no_answer, PURE, ABORTS)
{
	plait_value v = plait_int(1);

	plait_value_dns_answer(&v);
}

/* 64 KiB of records that all have the name at 12, of 255 bytes. */
TEST(the_largest_message_is_read, PURE)
{
	struct dns_message m;
	struct dns_reading got;
	size_t n = 0;

	dns_reply_make(&reply, "count question 1");
	for (size_t i = 0; i < NAME_LABELS; i++) {
		reply.bytes[12 + 2 * i] = 1;
		reply.bytes[13 + 2 * i] = 0xff;
	}
	memcpy(reply.bytes + 12 + NAME_SIZE - 1, "\0\0\x0c\0\x01", 5);
	for (reply.length = 12 + NAME_SIZE + 4;
	     sizeof(reply.bytes) - reply.length >= 14; n++) {
		memcpy(reply.bytes + reply.length,
		       "\xc0\x0c\0\x0c\0\x01\0\0\0\x05\0\x02\xc0\x0c", 14);
		reply.length += 14;
	}
	reply.bytes[6] = (unsigned char)(n >> 8);
	reply.bytes[7] = (unsigned char)n;
	ck_assert_int_eq(plait_i_message_parse(&m, reply.bytes, reply.length),
			 0);
	ck_assert_int_eq(plait_i_answer_read(&got, &m, 0), 0);
	ck_assert_uint_eq(got.answer->count, n);
	ck_assert_ptr_eq(got.answer->records[0].name,
			 got.answer->records[n - 1].name);
	ck_assert_uint_eq(strlen(got.answer->records[n - 1].data.host),
			  NAME_LABELS * 5 - 1);
	plait_i_answer_unref(&got.answer);
}
