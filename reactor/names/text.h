/*
 * Pieces of text, for the readers of files: lines and words.  A piece is
 * borrowed, and need not end in a NUL.
 */
#ifndef REACTOR_TEXT_H
#define REACTOR_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	const char *at;
	size_t length;
};

/* As toupper() and the like depend on the locale. */
static inline char text_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static inline bool text_is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

struct text plait_i_text(const char *string);

/*
 * Cuts the next line from *rest, without its newline.  Returns false if nothing
 * is left.  A NUL ends what is said in a line, as it does for the C library.
 */
bool plait_i_text_line(struct text *rest, struct text *line);

/* Cuts the next word from *rest: bytes without blanks.  Returns false if there
   is none. */
bool plait_i_text_word(struct text *rest, struct text *word);

/* Cuts off what begins with that byte. */
void plait_i_text_cut(struct text *t, char at);

/* Are true if the texts are equal, or if t begins with string. */
bool plait_i_text_is(const struct text *t, const char *string);
bool plait_i_text_begins(const struct text *t, const char *string);

/* Is true if they differ at most in the case of ASCII letters. */
bool plait_i_text_is_like(const struct text *t, const struct text *other);

/*
 * Copies it into a buffer, with a NUL.  Returns false if it is too long for
 * that.
 */
bool plait_i_text_copy(const struct text *t, char *buf, size_t size);

/* Takes one dot from the end, if there is one. */
void plait_i_text_drop_dot(struct text *t);

/*
 * A hash (SipHash-1-3) of the text, whose letters count as small ones.  Nobody
 * who does not know the seed can choose texts whose hashes meet.
 */
uint64_t plait_i_text_hash(const struct text *t, uint64_t seed);

#endif
