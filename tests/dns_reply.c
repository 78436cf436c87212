/*
 * Words to messages.  It shares with the library only how a name is read from
 * text.
 */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <plait/dns.h>

#include "reactor/names/name.h"
#include "tests/dns_reply.h"

enum { MAX_WORDS = 300, MAX_NAMES = 300, HEADER = 12, FAR = 0x3fff };

/* One that is in the message, from one of its labels to its end. */
struct tail {
	size_t at;
	unsigned char wire[NAME_SIZE];
};

struct maker {
	struct dns_reply *to;
	bool compress;
	unsigned flags, class, counts[4];
	size_t n_tails;
	struct tail tails[MAX_NAMES];
	char *statement; /* for who asks what was wrong */
	size_t n_words, next;
	char *words[MAX_WORDS];
};

/* ---- words --------------------------------------------------------------- */

static void maker_need(const struct maker *m, bool good)
{
	if (!good)
		(plait_die)("dns_reply", "what is `%s'?", m->statement);
}

static const char *maker_word(struct maker *m)
{
	maker_need(m, m->next < m->n_words);
	return m->words[m->next++];
}

static bool maker_has_more(const struct maker *m)
{
	return m->next < m->n_words;
}

static unsigned maker_number(struct maker *m)
{
	const char *word = maker_word(m);
	char *end;
	unsigned long n = strtoul(word, &end, 0);

	maker_need(m, *word != '\0' && *end == '\0');
	return (unsigned)n;
}

static unsigned maker_type(struct maker *m)
{
	unsigned type = 0;

	maker_need(m, plait_dns_type_from_str(&type, maker_word(m)) == 0);
	return type;
}

/* ---- bytes --------------------------------------------------------------- */

static void maker_bytes(struct maker *m, const void *bytes, size_t len)
{
	maker_need(m, len <= sizeof(m->to->bytes) - m->to->length);
	memcpy(m->to->bytes + m->to->length, bytes, len);
	m->to->length += len;
}

static void maker_16(struct maker *m, unsigned n)
{
	maker_bytes(m, (unsigned char[]){ n >> 8 & 0xff, n & 0xff }, 2);
}

static void maker_32(struct maker *m, unsigned n)
{
	maker_16(m, n >> 16);
	maker_16(m, n);
}

static void maker_16_at(struct maker *m, size_t at, unsigned n)
{
	m->to->bytes[at] = (unsigned char)(n >> 8);
	m->to->bytes[at + 1] = (unsigned char)n;
}

static void maker_hex(struct maker *m)
{
	const char *word = maker_word(m);
	char two[3] = "", *end;
	unsigned char byte;

	maker_need(m, strlen(word) % 2 == 0);
	for (; *word != '\0'; word += 2) {
		memcpy(two, word, 2);
		byte = (unsigned char)strtoul(two, &end, 16);
		maker_need(m, *end == '\0');
		maker_bytes(m, &byte, 1);
	}
}

/* Where what is left of a name is already; 0: nowhere. */
static size_t maker_find(const struct maker *m, const unsigned char *wire,
			 size_t len)
{
	for (size_t i = 0; i < m->n_tails; i++) {
		if (memcmp(m->tails[i].wire, wire, len) == 0)
			return m->tails[i].at;
	}
	return 0;
}

static void maker_remember(struct maker *m, const unsigned char *wire,
			   size_t len)
{
	struct tail *t = &m->tails[m->n_tails];

	if (m->n_tails == MAX_NAMES || m->to->length > FAR)
		return;
	m->n_tails++;
	t->at = m->to->length;
	memcpy(t->wire, wire, len);
}

static void maker_name(struct maker *m)
{
	struct dns_name n;
	size_t at = 0, found = 0, left;

	maker_need(m, plait_i_name_parse(&n, maker_word(m)) == 0);
	while (n.wire[at] != 0 && found == 0) {
		left = n.length - at;
		found = m->compress ? maker_find(m, n.wire + at, left) : 0;
		if (found == 0) {
			maker_remember(m, n.wire + at, left);
			maker_bytes(m, n.wire + at, 1u + n.wire[at]);
			at += 1u + n.wire[at];
		}
	}
	if (found != 0)
		maker_16(m, 0xc000 | (unsigned)found);
	else
		maker_bytes(m, "", 1);
}

/* ---- data ---------------------------------------------------------------- */

static void maker_address(struct maker *m, int family, size_t len)
{
	unsigned char ip[16];

	maker_need(m, inet_pton(family, maker_word(m), ip) == 1);
	maker_bytes(m, ip, len);
}

static void maker_soa(struct maker *m)
{
	maker_name(m);
	maker_name(m);
	for (unsigned i = 0; i < 5; i++)
		maker_32(m, maker_number(m));
}

/* Each word is a string, in quotes or not; \DDD and \X are bytes. */
static void maker_strings(struct maker *m)
{
	while (maker_has_more(m)) {
		const char *s = maker_word(m);
		size_t at = m->to->length;

		maker_bytes(m, "", 1);
		for (; *s != '\0'; s++) {
			unsigned char c = (unsigned char)*s;

			if (c == '"')
				continue;
			if (c == '\\' && s[1] >= '0' && s[1] <= '9') {
				c = (unsigned char)((s[1] - '0') * 100 +
						    (s[2] - '0') * 10 + s[3] -
						    '0');
				s += 3;
			} else if (c == '\\') {
				c = (unsigned char)*++s;
			}
			maker_bytes(m, &c, 1);
		}
		m->to->bytes[at] = (unsigned char)(m->to->length - at - 1);
	}
}

static void maker_unknown(struct maker *m)
{
	maker_word(m);
	maker_number(m);
	if (maker_has_more(m))
		maker_hex(m);
}

static void maker_data(struct maker *m, unsigned type)
{
	unsigned numbers = type == PLAIT_DNS_SRV ? 3 : type == PLAIT_DNS_MX;

	if (maker_has_more(m) && strcmp(m->words[m->next], "\\#") == 0) {
		maker_unknown(m);
		return;
	}
	switch (type) {
	case PLAIT_DNS_A:
		maker_address(m, AF_INET, 4);
		break;
	case PLAIT_DNS_AAAA:
		maker_address(m, AF_INET6, 16);
		break;
	case PLAIT_DNS_SOA:
		maker_soa(m);
		break;
	case PLAIT_DNS_TXT:
		maker_strings(m);
		break;
	default:
		while (numbers-- > 0)
			maker_16(m, maker_number(m));
		maker_name(m);
	}
}

/* ---- statements ---------------------------------------------------------- */

static const char *const sections[] = { "question", "answer", "authority",
					"additional" };

static unsigned maker_section(const struct maker *m, const char *word)
{
	for (unsigned i = 0; i < 4; i++) {
		if (strcmp(sections[i], word) == 0)
			return i;
	}
	maker_need(m, false);
	return 0;
}

static void maker_flags(struct maker *m)
{
	static const char *const names[] = {
		"qr", "aa", "tc", "rd", "ra", "ad"
	};
	static const unsigned bits[] = {
		0x8000, 0x400, 0x200, 0x100, 0x80, 0x20
	};

	m->flags &= ~0x87a0u;
	while (maker_has_more(m)) {
		const char *word = maker_word(m);
		size_t i = 0;

		while (i < 6 && strcmp(names[i], word) != 0)
			i++;
		maker_need(m, i < 6);
		m->flags |= bits[i];
	}
}

static void maker_record(struct maker *m)
{
	unsigned ttl, type;
	size_t at;

	maker_name(m);
	ttl = maker_number(m);
	type = maker_type(m);
	maker_16(m, type);
	maker_16(m, m->class);
	maker_32(m, ttl);
	at = m->to->length;
	maker_16(m, 0);
	maker_data(m, type);
	maker_16_at(m, at, (unsigned)(m->to->length - at - 2));
}

static void maker_edns(struct maker *m)
{
	maker_bytes(m, "", 1);
	maker_16(m, 41);
	maker_16(m, maker_number(m));
	maker_32(m, maker_number(m) << 24);
	maker_16(m, 0);
	m->counts[3]++;
}

static void maker_question(struct maker *m)
{
	maker_name(m);
	maker_16(m, maker_type(m));
	maker_16(m, m->class);
	m->counts[0]++;
}

static void maker_statement(struct maker *m)
{
	const char *verb = maker_word(m);

	if (strcmp(verb, "id") == 0) {
		maker_16_at(m, 0, maker_number(m));
	} else if (strcmp(verb, "flags") == 0) {
		maker_flags(m);
	} else if (strcmp(verb, "opcode") == 0) {
		m->flags = (m->flags & ~0x7800u) | maker_number(m) << 11;
	} else if (strcmp(verb, "rcode") == 0) {
		m->flags = (m->flags & ~0xfu) | maker_number(m);
	} else if (strcmp(verb, "compress") == 0) {
		m->compress = true;
	} else if (strcmp(verb, "class") == 0) {
		m->class = maker_number(m);
	} else if (strcmp(verb, "edns") == 0) {
		maker_edns(m);
	} else if (strcmp(verb, "bytes") == 0) {
		maker_hex(m);
	} else if (strcmp(verb, "count") == 0) {
		unsigned section = maker_section(m, maker_word(m));

		m->counts[section] = maker_number(m);
	} else if (strcmp(verb, "question") == 0) {
		maker_question(m);
	} else {
		m->counts[maker_section(m, verb)]++;
		maker_record(m);
	}
	maker_need(m, !maker_has_more(m));
}

/* ---- all of it ----------------------------------------------------------- */

/* The end of a part of text: a stop that is neither quoted nor escaped. */
static char *part_end(char *text, char stop)
{
	bool quoted = false;

	for (; *text != '\0' && (quoted || *text != stop); text++) {
		if (*text == '"')
			quoted = !quoted;
		else if (*text == '\\' && text[1] != '\0')
			text++;
	}
	return text;
}

/* Cuts a statement into words. */
static void maker_split(struct maker *m, char *text)
{
	m->n_words = m->next = 0;
	while (*text != '\0') {
		char *end = part_end(text, ' ');
		bool last = *end == '\0';

		*end = '\0';
		if (end != text) {
			maker_need(m, m->n_words < MAX_WORDS);
			m->words[m->n_words++] = text;
		}
		text = last ? end : end + 1;
	}
}

void dns_reply_make(struct dns_reply *r, const char *words)
{
	struct maker *m = calloc(1, sizeof(*m));
	char *copy = strdup(words), *at = copy;

	plait_assert(m != NULL && copy != NULL);
	*m = (struct maker){ .to = r, .flags = 0x8180, .class = 1 };
	memset(r->bytes, 0, HEADER);
	r->length = HEADER;
	while (*at != '\0') {
		char *end = part_end(at, ';');
		bool last = *end == '\0';

		*end = '\0';
		m->statement = at;
		maker_split(m, at);
		if (m->n_words > 0)
			maker_statement(m);
		at = last ? end : end + 1;
	}
	maker_16_at(m, 2, m->flags);
	for (size_t i = 0; i < 4; i++)
		maker_16_at(m, 4 + 2 * i, m->counts[i]);
	free(copy);
	free(m);
}

const void *dns_reply_at_end(const void *bytes, size_t len)
{
	enum { ROOM = 1 << 16, GUARD = 1 << 16 };
	static char *room;

	if (room == NULL) {
		room = mmap(NULL, ROOM + GUARD, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		plait_assert(room != MAP_FAILED);
		plait_assert(mprotect(room + ROOM, GUARD, PROT_NONE) == 0);
	}
	plait_assert(len <= ROOM);
	return memcpy(room + ROOM - len, bytes, len);
}
