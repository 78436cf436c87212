/*
 * Messages of the DNS: the questions that are asked, and what is read of any
 * bytes that come back.
 */
#include "reactor/names/message.h"
#include "tests/dns_reply.h"
#include "tests/harness.h"

#include <plait/dns.h>

static struct dns_name name_of(const char *text)
{
	struct dns_name n;

	ck_assert_int_eq(plait_i_name_parse(&n, text), 0);
	return n;
}

static struct dns_reply reply;

/* Makes a message and reads it. */
static int read_of(struct dns_message *ret, const char *words)
{
	dns_reply_make(&reply, words);
	return plait_i_message_parse(
		ret, dns_reply_at_end(reply.bytes, reply.length), reply.length);
}

static struct dns_message message_of(const char *words)
{
	struct dns_message m;

	ck_assert_int_eq(read_of(&m, words), 0);
	return m;
}

GROUP("ask");

static const unsigned char plain_question[] = {
	0x12, 0x34, 0x01, 0x00, 0, 1,	0,   0, 0, 0, 0, 0, 4,
	'p',  'o',  'e',  'm',	2, 'x', 'y', 0, 0, 1, 0, 1,
};

static const unsigned char edns_question[] = {
	0xff, 0xff, 0x01, 0x20, 0, 1,  0,    0,	   0, 0, 0, 1, 0, 0,
	28,   0,    1,	  0,	0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0,
};

TEST(a_question_is_written_byte_for_byte, PURE)
{
	unsigned char buf[MESSAGE_QUESTION_SIZE];
	struct dns_name n = name_of("poem.xy"), root = name_of(".");
	size_t len = plait_i_message_ask(buf, 0x1234, &n, PLAIT_DNS_A, 0);

	ck_assert_uint_eq(len, sizeof(plain_question));
	ck_assert_mem_eq(buf, plain_question, len);
	len = plait_i_message_ask(buf, 0xffff, &root, PLAIT_DNS_AAAA,
				  ASK_EDNS | ASK_TRUSTED);
	ck_assert_uint_eq(len, sizeof(edns_question));
	ck_assert_mem_eq(buf, edns_question, len);
}

TEST(a_question_of_the_longest_name_has_room, PURE)
{
	struct dns_name n = { .length = 0 }, part = name_of("a");
	unsigned char buf[MESSAGE_QUESTION_SIZE];
	struct dns_message m;

	n = part;
	while (plait_i_name_append(&n, &part) == 0)
		;
	ck_assert_uint_eq(n.length, NAME_SIZE);
	ck_assert_uint_eq(plait_i_message_ask(buf, 1, &n, 65535, ASK_EDNS),
			  sizeof(buf));
	ck_assert_int_eq(plait_i_message_parse(&m, buf, sizeof(buf)), 0);
	ck_assert(m.whole && m.has_edns && !m.is_answer && m.has_question);
	ck_assert(plait_i_name_equal(&m.name, &n));
	ck_assert_uint_eq(m.type, 65535);
}

GROUP("read");

TEST(the_header_and_the_question_are_read, PURE)
{
	struct dns_message m = message_of("id 4711; flags qr aa tc ad;"
					  "opcode 2; rcode 5; class 3;"
					  "question Poem.Example TXT");
	struct dns_name n = name_of("Poem.Example.");

	ck_assert_uint_eq(m.id, 4711);
	ck_assert(m.is_answer && m.authoritative && m.truncated);
	ck_assert(m.authentic && !m.recursion_available);
	ck_assert_uint_eq(m.opcode, 2);
	ck_assert_uint_eq(m.rcode, RCODE_REFUSED);
	ck_assert(m.has_question && m.whole && !m.has_edns);
	ck_assert_mem_eq(&m.name, &n, sizeof(n));
	ck_assert_uint_eq(m.type, PLAIT_DNS_TXT);
	ck_assert_uint_eq(m.dns_class, 3);
}

TEST(each_flag_is_its_own, PURE)
{
	struct dns_message m = message_of("flags ra");

	ck_assert(!m.is_answer && !m.authoritative && !m.truncated);
	ck_assert(m.recursion_available && !m.authentic);
	ck_assert(!m.has_question);
	ck_assert_uint_eq(m.rcode | m.opcode, 0);
}

static const struct {
	const char *words;
	unsigned rcode;
	bool whole, has_edns;
} codes[] = {
	{ "edns 1232 0", 0, true, true },
	{ "edns 1232 1; rcode 0", RCODE_BAD_VERSION, true, true },
	{ "edns 1232 255; rcode 15", 4095, true, true },
	{ "rcode 3; edns 512 0", RCODE_NO_NAME, true, true },
	{ "rcode 3; edns 512 0; edns 512 0", RCODE_NO_NAME, false, true },
	{ "answer . 16777216 OPT \\# 0", 0, true, false },
	{ "authority . 16777216 OPT \\# 0", 0, true, false },
	{ "additional a.b 16777216 A 1.2.3.4", 0, true, false },
};

TEST(the_code_has_the_bits_of_edns, PURE, EACH_OF(codes))
{
	struct dns_message m = message_of(codes[_i].words);

	ck_assert_uint_eq(m.rcode, codes[_i].rcode);
	ck_assert(m.whole == codes[_i].whole);
	ck_assert(m.has_edns == codes[_i].has_edns);
}

static const struct {
	const char *words;
	bool answers;
} matches[] = {
	{ "id 7; question poem.example A", true },
	{ "id 7; question POEM.example. A", true },
	{ "id 7; question poem.example A; rcode 2", true },
	{ "id 8; question poem.example A", false },
	{ "id 7; question poem.example AAAA", false },
	{ "id 7; question poems.example A", false },
	{ "id 7; class 3; question poem.example A", false },
	{ "id 7; flags rd; question poem.example A", false },
	{ "id 7; opcode 1; question poem.example A", false },
	{ "id 7", false },
	{ "id 7; answer poem.example 5 A 1.2.3.4", false },
};

TEST(only_what_answers_the_very_question_does, PURE, EACH_OF(matches))
{
	struct dns_message m = message_of(matches[_i].words);
	struct dns_name n = name_of("poem.example");

	ck_assert(plait_i_message_answers(&m, 7, &n, PLAIT_DNS_A) ==
		  matches[_i].answers);
}

TEST(records_are_walked_in_order, PURE)
{
	static const struct {
		enum dns_section section;
		unsigned type, ttl, length;
		const char *name;
	} expected[] = {
		{ SECTION_ANSWER, PLAIT_DNS_A, 300, 4, "poem.example" },
		{ SECTION_ANSWER, PLAIT_DNS_NS, 0xffffffff, 2, "b.example" },
		{ SECTION_AUTHORITY, 731, 0, 0, "." },
		{ SECTION_ADDITIONAL, 41, 0, 0, "." },
	};
	struct dns_message m =
		message_of("compress; question poem.example A;"
			   "answer poem.example 300 A 1.2.3.4;"
			   "answer b.example 0xffffffff NS poem.example;"
			   "authority . 0 TYPE731 \\# 0; edns 1232 0");
	struct dns_walk w = { .at = 0 };
	struct dns_rr rr;
	struct dns_name n;

	for (size_t i = 0; i < 4; i++) {
		ck_assert(plait_i_message_next(&m, &w, &rr));
		ck_assert_int_eq((int)rr.section, (int)expected[i].section);
		ck_assert_uint_eq(rr.type, expected[i].type);
		ck_assert_uint_eq(rr.ttl, expected[i].ttl);
		ck_assert_uint_eq(rr.length, expected[i].length);
		n = name_of(expected[i].name);
		ck_assert(plait_i_message_name_is(&m, rr.name, &n));
	}
	ck_assert(!plait_i_message_next(&m, &w, &rr));
	ck_assert(!plait_i_message_next(&m, &w, &rr));
	ck_assert(m.whole);
}

GROUP("hostile");

static const char everything[] =
	"compress; id 7; question www.poem.example A;"
	"answer www.poem.example 60 CNAME poem.example;"
	"answer poem.example 60 A 192.0.2.1;"
	"answer poem.example 60 AAAA 2001:db8::1;"
	"authority poem.example 60 SOA ns.poem.example root.poem.example 1 2 3 "
	"4 5;"
	"additional ns.poem.example 60 TXT \"a poem\" \"\";"
	"edns 1232 0";

/* Walks all that can be walked; returns how many records that are. */
static unsigned walk(const struct dns_message *m)
{
	struct dns_walk w = { .at = 0 };
	struct dns_rr rr;
	struct dns_name n;
	unsigned count = 0;

	for (; plait_i_message_next(m, &w, &rr); count++) {
		ck_assert_uint_le(rr.data + rr.length, m->size);
		ck_assert_int_eq(plait_i_message_name(m, &rr.name, &n), 0);
		ck_assert_uint_le(rr.name, rr.data);
	}
	return count;
}

TEST(a_message_may_end_at_each_byte, PURE)
{
	struct dns_message m;
	unsigned records = 0, n;

	dns_reply_make(&reply, everything);
	for (size_t len = 0; len <= reply.length; len++) {
		int err = plait_i_message_parse(
			&m, dns_reply_at_end(reply.bytes, len), len);

		ck_assert(err == 0 || err == -EBADMSG);
		ck_assert((err == 0) == (len >= 12 + 18 + 4));
		if (err == 0) {
			ck_assert(m.whole == (len == reply.length));
			n = walk(&m);
			ck_assert(n == records || n == records + 1);
			records = n;
		}
	}
	ck_assert_uint_eq(records, 6);
}

TEST(any_one_byte_may_be_wrong, PURE)
{
	struct dns_message m;
	unsigned char was;

	dns_reply_make(&reply, everything);
	for (size_t at = 0; at < reply.length; at++) {
		was = reply.bytes[at];
		for (unsigned value = 0; value < 256; value++) {
			reply.bytes[at] = (unsigned char)value;
			if (plait_i_message_parse(
				    &m,
				    dns_reply_at_end(reply.bytes, reply.length),
				    reply.length) == 0)
				walk(&m);
		}
		reply.bytes[at] = was;
	}
}

/* A question whose name is at the twelfth byte, and these bytes before it. */
static const struct {
	const char *claim, *words;
	bool good;
} names[] = {
	{ "itself", "bytes c00c00010001", false },
	{ "forward", "bytes c00e00010001", false },
	{ "into the header", "bytes c00b00010001", false },
	{ "to the id", "bytes c00000010001", false },
	{ "beyond the end", "bytes ffff00010001", false },
	{ "half a pointer", "bytes c0", false },
	{ "a label, then its own beginning", "bytes 0161c00c00010001", false },
	{ "a label, then itself", "bytes 0161c00e00010001", false },
	{ "a length of the third kind", "bytes 4061610000010001", false },
	{ "a length of the fourth kind", "bytes 8061610000010001", false },
	{ "a long label of the third kind",
	  "bytes "
	  "406161616161616161616161616161616161616161616161616161616161"
	  "616161616161616161616161616161616161616161616161616161616161"
	  "61616161610000010001",
	  false },
	{ "a label beyond the end", "bytes 05616161", false },
	{ "a label and one byte less", "bytes 0261", false },
	{ "no root", "bytes 0161", false },
	{ "no type", "bytes 016100", false },
	{ "half a class", "bytes 016100000100", false },
	{ "a plain name", "bytes 01610000010001", true },
	{ "the root", "bytes 0000010001", true },
};

TEST(a_name_leads_nowhere_but_back, PURE, EACH_OF(names))
{
	struct dns_message m = { .id = 42 };
	char words[400];
	int err;

	sprintf(words, "count question 1; id 1; %s", names[_i].words);
	err = read_of(&m, words);
	ck_assert_msg(err == (names[_i].good ? 0 : -EBADMSG), "%s",
		      names[_i].claim);
	ck_assert_uint_eq(m.id, names[_i].good ? 1 : 42);
}

TEST(a_name_may_be_in_many_pieces, PURE)
{
	struct dns_message m =
		message_of("count question 1; count answer 1;"
			   "bytes 036162630000010001;" /* at 12: abc */
			   "bytes 026465c00c0001000100000005000401020304");
	struct dns_name n = name_of("de.abc");

	ck_assert(m.whole);
	ck_assert(plait_i_message_name_is(&m, 21, &n));
}

TEST(a_name_leads_back_from_each_piece, PURE)
{
	/* At 16 a pointer to 12, where there is one to 14: the root. */
	static const unsigned char bytes[] = {
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xc0, 14, 0, 0, 0xc0, 12
	};
	struct dns_message m = { .bytes = bytes, .size = sizeof(bytes) };
	struct dns_name n;
	size_t at = 16;

	ck_assert_int_eq(plait_i_message_name(&m, &at, &n), -EBADMSG);
	ck_assert_uint_eq(at, 16);
}

/* A question with a name of three labels of 63 bytes and one of `last' ones. */
static int read_long_name(struct dns_message *ret, unsigned last)
{
	unsigned char *to = reply.bytes + 12;

	dns_reply_make(&reply, "count question 1");
	for (unsigned i = 0; i < 4; i++) {
		unsigned len = i < 3 ? LABEL_SIZE : last;

		*to++ = (unsigned char)len;
		memset(to, 'a', len);
		to += len;
	}
	memcpy(to, "\0\0\1\0\1", 5);
	return plait_i_message_parse(ret, reply.bytes,
				     (size_t)(to + 5 - reply.bytes));
}

TEST(a_name_of_255_bytes_is_read_and_none_of_256, PURE)
{
	struct dns_message m;

	ck_assert_int_eq(read_long_name(&m, 61), 0);
	ck_assert_uint_eq(m.name.length, NAME_SIZE);
	ck_assert_int_eq(read_long_name(&m, 62), -EBADMSG);
	ck_assert_int_eq(read_long_name(&m, 63), -EBADMSG);
}

/* Writes n pointers at 12, each to the one before it, and the root first. */
static size_t put_links(unsigned char *to, size_t n)
{
	to[0] = 0;
	for (size_t i = 0; i < n; i++) {
		size_t before = i == 0 ? 12 : 11 + 2 * i;

		to[1 + 2 * i] = (unsigned char)(0xc0 | before >> 8);
		to[2 + 2 * i] = (unsigned char)before;
	}
	return 1 + 2 * n;
}

TEST(a_name_has_at_most_so_many_pieces, PURE)
{
	struct dns_message m = { .bytes = reply.bytes };
	struct dns_name n, root = name_of(".");
	size_t at;

	memset(reply.bytes, 0, 12);
	m.size = 12 + put_links(reply.bytes + 12, 8000);
	at = 11 + 2 * NAME_LABELS;
	ck_assert(plait_i_message_name_is(&m, at, &root));
	ck_assert_int_eq(plait_i_message_name(&m, &at, &n), 0);
	ck_assert_uint_eq(at, 13 + 2 * NAME_LABELS);
	ck_assert_uint_eq(n.length, 1);
	ck_assert_int_eq(plait_i_message_name(&m, &at, &n), -EBADMSG);
	ck_assert_uint_eq(at, 13 + 2 * NAME_LABELS);
	ck_assert(!plait_i_message_name_is(&m, at, &root));
	at = m.size - 2;
	ck_assert_int_eq(plait_i_message_name(&m, &at, &n), -EBADMSG);
}

TEST(a_name_in_pieces_is_no_longer_than_a_name_may_be, PURE)
{
	struct dns_message m;
	struct dns_name n;
	size_t at, longest = 0;

	/* At 12 the root, then labels of 10 bytes, each behind a longer name.
	 */
	memset(reply.bytes, 0, 13);
	reply.length = 13;
	for (at = 12; reply.length < 1000; at = reply.length - 13) {
		reply.bytes[reply.length] = 10;
		memset(reply.bytes + reply.length + 1, 'a', 10);
		reply.bytes[reply.length + 11] =
			(unsigned char)(0xc0 | at >> 8);
		reply.bytes[reply.length + 12] = (unsigned char)at;
		reply.length += 13;
	}
	m = (struct dns_message){ .bytes = reply.bytes, .size = reply.length };
	for (size_t i = 13; i < reply.length; i += 13) {
		at = i;
		if (plait_i_message_name(&m, &at, &n) != 0)
			break;
		longest = n.length;
	}
	ck_assert_uint_eq(longest, 11 * 23 + 1);
}

TEST(counts_that_lie_say_only_when_to_stop, PURE)
{
	struct dns_message m = message_of(
		"question a A; answer a 5 A 1.2.3.4; answer a 5 A 1.2.3.5;"
		"count answer 1; count additional 0");

	/* What lies behind the last record is nothing. */
	ck_assert(m.whole);
	ck_assert_uint_eq(walk(&m), 1);
	m = message_of("question a A; answer a 5 A 1.2.3.4;"
		       "count answer 65535; count authority 65535;"
		       "count additional 65535");
	ck_assert(!m.whole);
	ck_assert_uint_eq(walk(&m), 1);
	m = message_of("count authority 65535");
	ck_assert(!m.whole && !m.has_question);
}

TEST(more_than_one_question_is_none, PURE)
{
	struct dns_message m;

	ck_assert_int_eq(read_of(&m, "question a A; question b A"), -EBADMSG);
	ck_assert_int_eq(read_of(&m, "question a A; count question 65535"),
			 -EBADMSG);
	ck_assert_int_eq(read_of(&m, "count question 1"), -EBADMSG);
}

static const char *const broken[] = {
	"bytes 00",
	"bytes 0000010001",
	"bytes 000001000100000005",
	"bytes 00000100010000000500040102",
	"bytes 0000010001000000050004010203",
	"bytes 00000100010000000500ff01020304",
	"bytes c00c00010001000000050000",
};

TEST(a_record_that_is_not_whole_ends_the_walk, PURE, EACH_OF(broken))
{
	char words[200];
	struct dns_message m;

	sprintf(words, "count answer 1; %s", broken[_i]);
	m = message_of(words);
	ck_assert(!m.whole);
	ck_assert_uint_eq(walk(&m), 0);
}

TEST(a_message_of_64_kib_is_walked_to_its_end, PURE)
{
	struct dns_message m;
	unsigned count = 0;

	memset(reply.bytes, 0, sizeof(reply.bytes));
	for (size_t at = 12; at + 11 <= sizeof(reply.bytes); at += 11)
		count++;
	reply.bytes[6] = (unsigned char)(count >> 8);
	reply.bytes[7] = (unsigned char)count;
	ck_assert_int_eq(
		plait_i_message_parse(&m, reply.bytes, sizeof(reply.bytes)), 0);
	ck_assert(m.whole);
	ck_assert_uint_eq(walk(&m), count);
}

TEST(no_bytes_are_no_message, PURE)
{
	struct dns_message m;

	ck_assert_int_eq(plait_i_message_parse(&m, NULL, 0), -EBADMSG);
	ck_assert_int_eq(plait_i_message_parse(&m, "short", 5), -EBADMSG);
}
