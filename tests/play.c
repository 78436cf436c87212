/*
 * The player of steps: see play.h.  It reads a step where it stands, so that
 * the steps of a block are played when it is their time, in the middle of
 * others.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include "tests/play.h"
#include "tests/trace.h"

enum { MAX_TEXT = 8192 };

static const char *whole, *step, *at; /* what is played, and where it is */
static char text[MAX_TEXT];	      /* words, one after the other */
static size_t text_used;
static bool is_over;
static const struct play_verb *own_verbs, *added_verbs;
static void (*own_end)(void), (*added_end)(void);

const char *play_name;

void play_words(const struct play_verb *own, void (*end)(void))
{
	own_verbs = own;
	own_end = end;
}

void play_add_words(const struct play_verb *verbs, void (*end)(void))
{
	added_verbs = verbs;
	added_end = end;
}

void play_no_further(void)
{
	is_over = true;
}

/* ---- expectations ---------------------------------------------------- */

void play_holds(bool it_does, const char *fmt, ...)
{
	char what[512];
	va_list ap;

	if (it_does)
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	ck_abort_msg("\"%.*s\": %s; in \"%s\"", (int)strcspn(step, ";|{}"),
		     step, what, whole);
}

void play_text_is(const char *s, const char *expected)
{
	const char *gap = strstr(expected, "...");
	const char *rest = gap != NULL ? gap + 3 : "";
	size_t n = strlen(s), begin = 0, end = strlen(rest);

	if (strcmp(expected, "-") == 0)
		expected = "";
	begin = gap != NULL ? (size_t)(gap - expected) : n + 1;
	play_holds(gap == NULL ? strcmp(s, expected) == 0
			       : n >= begin + end &&
					 strncmp(s, expected, begin) == 0 &&
					 strcmp(s + n - end, rest) == 0,
		   "it is \"%s\"", s);
}

void play_number_is(size_t n)
{
	bool less = play_mark("<"), more = play_mark(">");
	size_t than = (size_t)play_number();

	play_holds(less	  ? n < than
		   : more ? n > than
			  : n == than,
		   "it is %zu", n);
}

/* ---- words ----------------------------------------------------------- */

bool play_more(void)
{
	at += strspn(at, " ");
	return strchr(";|}", *at) == NULL; /* nor the end */
}

bool play_mark(const char *mark)
{
	const char *next = at + strspn(at, " ");

	if (strncmp(next, mark, strlen(mark)) != 0)
		return false;
	at = next + strlen(mark);
	return true;
}

/* Each word once, as blocks are played again and again. */
static const char *keep(const char *s, size_t len)
{
	char *word = text;

	for (; word < text + text_used; word += strlen(word) + 1)
		if (strncmp(word, s, len) == 0 && word[len] == '\0')
			return word;
	ck_assert_uint_lt(text_used + len, sizeof(text));
	memcpy(word, s, len);
	word[len] = '\0';
	text_used += len + 1;
	return word;
}

static const char *take(size_t len)
{
	const char *s = at;

	play_holds(len > 0, "too short a step");
	at += len;
	while (s[len - 1] == ' ')
		len--;
	return keep(s, len);
}

const char *play_word(void)
{
	play_more();
	return take(strcspn(at, " ,;|{}"));
}

const char *play_text(void)
{
	play_more();
	return take(strcspn(at, ";|{}"));
}

double play_number(void)
{
	const char *word = play_word();
	char *end;
	double n = strtod(word, &end);

	if (end != word && (*end == 'K' || *end == 'M'))
		n *= *end++ == 'K' ? 1024 : 1024 * 1024;
	play_holds(*end == '\0', "not a number: %s", word);
	return n;
}

unsigned long play_count(unsigned long otherwise)
{
	return play_more() ? (unsigned long)play_number() : otherwise;
}

bool play_bytes(size_t *n)
{
	const char *before = at;

	if (play_more() && isdigit((unsigned char)*at)) {
		*n = (size_t)play_number();
		if (play_mark("bytes"))
			return true;
	}
	at = before;
	return false;
}

bool play_either(const char *yes, const char *no)
{
	const char *word = play_word();
	bool it_is = strcmp(word, yes) == 0;

	play_holds(it_is || strcmp(word, no) == 0, "neither %s nor %s", yes,
		   no);
	return it_is;
}

const char *play_block(void)
{
	const char *block;

	if (!play_mark("{"))
		return NULL;
	block = at;
	for (int depth = 1; depth > 0; at++) {
		play_holds(*at != '\0', "no }");
		depth += (*at == '{') - (*at == '}');
	}
	return block;
}

#define E(name)                                                                \
	{                                                                      \
#name, name                                                    \
	}

static const struct {
	const char *name;
	int err;
} errnos[] = {
	{ "0", 0 },   E(EACCES),       E(EADDRINUSE),	E(EADDRNOTAVAIL),
	E(EAGAIN),    E(EALREADY),     E(EBADF),	E(ECANCELED),
	E(ECHILD),    E(ECONNABORTED), E(ECONNREFUSED), E(ECONNRESET),
	E(EHOSTDOWN), E(EHOSTUNREACH), E(EINPROGRESS),	E(EINTR),
	E(EINVAL),    E(EIO),	       E(EISCONN),	E(EMFILE),
	E(ENETDOWN),  E(ENETUNREACH),  E(ENFILE),	E(ENOBUFS),
	E(ENOENT),    E(ENOMEM),       E(ENONET),	E(ENOPROTOOPT),
	E(ENOSPC),    E(ENOTCONN),     E(EOPNOTSUPP),	E(EPERM),
	E(EPIPE),     E(EPROTO),       E(ESHUTDOWN),	E(ETIMEDOUT),
};

int play_errno(void)
{
	const char *word = play_word();

	for (int i = 0; i < N_OF(errnos); i++)
		if (strcmp(word, errnos[i].name) == 0)
			return errnos[i].err;
	play_holds(false, "no errno: %s", word);
	return 0;
}

const char *play_errno_name(int err)
{
	for (int i = 0; i < N_OF(errnos); i++)
		if (err == errnos[i].err)
			return errnos[i].name;
	return strerror(err);
}

/* ---- the play -------------------------------------------------------- */

bool play_act(const struct play_verb *verbs)
{
	const char *before = at, *name = play_word();

	for (; verbs != NULL && verbs->name != NULL; verbs++) {
		if (strcmp(verbs->name, name) != 0)
			continue;
		play_name = name;
		verbs->act();
		return true;
	}
	at = before;
	return false;
}

static void play_step(const struct play_verb *verbs)
{
	step = at;
	play_holds(play_act(own_verbs) || play_act(added_verbs) ||
			   play_act(verbs),
		   "no such step");
	play_holds(at[-1] == '}' || !play_more(), "too long a step");
}

void play_steps(const struct play_verb *verbs, const char *steps)
{
	const char *outer_at = at, *outer_step = step, *outer = whole;

	if (outer == NULL)
		whole = steps;
	at = steps;
	while (!is_over && *at != '\0' && *at != '}') {
		if (play_more())
			play_step(verbs);
		if (*at == '|')
			trace_add("|");
		at += *at == '|' || *at == ';';
	}
	at = outer_at;
	step = outer_step;
	whole = outer;
}

void play_begin(void)
{
	text_used = 0;
	is_over = false;
	whole = NULL;
}

void play_end(void)
{
	if (own_end != NULL)
		own_end();
	if (added_end != NULL)
		added_end();
}
