/* Pieces of text: see text.h. */
#include <string.h>

#include "reactor/names/text.h"

struct text plait_i_text(const char *string)
{
	return (struct text){ string, string != NULL ? strlen(string) : 0 };
}

bool plait_i_text_line(struct text *rest, struct text *line)
{
	const char *end;
	size_t n;

	if (rest->length == 0)
		return false;
	end = memchr(rest->at, '\n', rest->length);
	n = end != NULL ? (size_t)(end - rest->at) : rest->length;
	*line = (struct text){ rest->at, n };
	n += end != NULL;
	*rest = (struct text){ rest->at + n, rest->length - n };
	plait_i_text_cut(line, '\0');
	return true;
}

bool plait_i_text_word(struct text *rest, struct text *word)
{
	const char *at = rest->at, *end;

	if (rest->length == 0)
		return false;
	end = at + rest->length;
	while (at < end && text_is_blank(*at))
		at++;
	word->at = at;
	while (at < end && !text_is_blank(*at))
		at++;
	word->length = (size_t)(at - word->at);
	*rest = (struct text){ at, (size_t)(end - at) };
	return word->length > 0;
}

void plait_i_text_cut(struct text *t, char at)
{
	const char *found = t->length > 0 ? memchr(t->at, at, t->length) : NULL;

	if (found != NULL)
		t->length = (size_t)(found - t->at);
}

bool plait_i_text_begins(const struct text *t, const char *string)
{
	size_t n = strlen(string);

	return t->length >= n && memcmp(t->at, string, n) == 0;
}

bool plait_i_text_is(const struct text *t, const char *string)
{
	return t->length == strlen(string) && plait_i_text_begins(t, string);
}

bool plait_i_text_is_like(const struct text *t, const struct text *other)
{
	if (t->length != other->length)
		return false;
	for (size_t i = 0; i < t->length; i++)
		if (text_lower(t->at[i]) != text_lower(other->at[i]))
			return false;
	return true;
}

bool plait_i_text_copy(const struct text *t, char *buf, size_t size)
{
	if (t->length >= size)
		return false;
	memcpy(buf, t->at, t->length);
	buf[t->length] = '\0';
	return true;
}

void plait_i_text_drop_dot(struct text *t)
{
	if (t->length > 0 && t->at[t->length - 1] == '.')
		t->length--;
}

/* ---- the hash ------------------------------------------------------------ */

enum { WORD_SIZE = 8, LAST_ROUNDS = 3 };

struct hash_state {
	uint64_t a, b, c, d;
};

static uint64_t hash_rotate(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static void hash_round(struct hash_state *s)
{
	s->a += s->b;
	s->c += s->d;
	s->b = hash_rotate(s->b, 13) ^ s->a;
	s->d = hash_rotate(s->d, 16) ^ s->c;
	s->a = hash_rotate(s->a, 32);
	s->c += s->b;
	s->a += s->d;
	s->b = hash_rotate(s->b, 17) ^ s->c;
	s->d = hash_rotate(s->d, 21) ^ s->a;
	s->c = hash_rotate(s->c, 32);
}

static void hash_word(struct hash_state *s, uint64_t word)
{
	s->d ^= word;
	hash_round(s);
	s->a ^= word;
}

/* Up to eight bytes as a number, the first lowest. */
static uint64_t hash_load(const char *at, size_t n)
{
	uint64_t word = 0;

	for (size_t i = 0; i < n; i++)
		word |= (uint64_t)(unsigned char)text_lower(at[i]) << 8 * i;
	return word;
}

uint64_t plait_i_text_hash(const struct text *t, uint64_t seed)
{
	struct hash_state s = {
		.a = seed ^ 0x736f6d6570736575,
		.b = ~seed ^ 0x646f72616e646f6d,
		.c = seed ^ 0x6c7967656e657261,
		.d = ~seed ^ 0x7465646279746573,
	};
	size_t i;

	for (i = 0; t->length - i >= WORD_SIZE; i += WORD_SIZE)
		hash_word(&s, hash_load(t->at + i, WORD_SIZE));
	hash_word(&s, hash_load(t->at + i, t->length - i) | (uint64_t)t->length
								    << 56);
	s.c ^= 0xff;
	for (i = 0; i < LAST_ROUNDS; i++)
		hash_round(&s);
	return s.a ^ s.b ^ s.c ^ s.d;
}
