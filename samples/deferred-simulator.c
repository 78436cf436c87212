/*
 * Draws how a result or a failure runs through the pairs of a deferred.  The
 * callbacks, which values go through, stand on the left.  The errbacks, which
 * failures go through, stand on the right.
 *
 * The chain is a real one.  Its callbacks do what the words of the command
 * line, or of standard input, say: RESULT CALLBACK ERRBACK CALLBACK ERRBACK...
 * The callbacks make the drawing while they run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/program.h"

enum { LEFT = 6, RIGHT = 32, WIDTH = 22, MAX_WORDS = 201 };

enum act { PASS, RETURN, FAIL };
enum when { AT_ONCE, NOW, LATER }; /* NOW and LATER: in a deferred */

/* One word: what a callback does. */
struct action {
	const char *word;
	enum act act;
	enum when when;
	const char *text;
	struct simulator *simulator;
	const struct pair *pair; /* the pair that it belongs to */
};

struct pair {
	struct action callback, errback;
	int number;
};

struct simulator {
	struct action start;
	struct pair *pairs;
	int n_pairs;
	bool cancel;
	struct plait_promise
		*later; /* what a callback made the chain wait for */
	const struct action *answer; /* what it will fire with */
	int column;		     /* where the result left the last box */
};

/* ---- drawing -------------------------------------------------------- */

static int column_of(const plait_value *result)
{
	return plait_value_is_failure(result) ? RIGHT : LEFT;
}

/* Draws the line from the side of the last box to the side of the next box. */
static void draw_crossing(int from, int to)
{
	int n = RIGHT - LEFT - 1;

	if (from < to)
		printf("%*s\\%.*s\n", LEFT, "", n,
		       "________________________________");
	else if (from > to)
		printf("%*s%.*s/\n", LEFT + 1, "", n,
		       "________________________________");
}

static void draw_result(struct simulator *self, const plait_value *result)
{
	int column = column_of(result);
	char text[256];

	plait_value_str(result, text, sizeof(text));
	draw_crossing(self->column, column);
	printf("%*s|\n%*s| %s\n%*sv\n", column, "", column, "", text, column,
	       "");
	self->column = column;
}

/* The function that runs stands in brackets. */
static void draw_pair(const struct pair *pair, int column)
{
	bool left = column == LEFT;
	char half[WIDTH + 1];

	snprintf(half, sizeof(half), "%s %.*s %s", left ? "[" : " ", WIDTH - 4,
		 pair->callback.word, left ? "]" : " ");
	printf("%3d %-*s", pair->number, RIGHT - LEFT, half);
	printf("%s %.*s%s\n", left ? " " : "[", WIDTH - 4, pair->errback.word,
	       left ? "" : " ]");
}

static void draw_note(const struct simulator *self, const char *note)
{
	printf("%*s: %s\n", self->column, "", note);
}

/* ---- doing what the words say ---------------------------------------- */

static plait_value result_of(const struct action *a)
{
	if (a->act == FAIL)
		return plait_fail(&plait_error_any, "%s", a->text);
	return plait_text(a->text);
}

static plait_value in_a_deferred(struct simulator *self, const struct action *a)
{
	struct plait_deferred *d;

	if (a->when == NOW) {
		draw_note(self, "a deferred, which has fired");
		d = plait_maybe_deferred(result_of(a));
	} else {
		draw_note(self, "a deferred, which has not fired");
		d = plait_deferred_new(&self->later, NULL, NULL);
		self->answer = a;
	}
	return plait_chain(&d);
}

static plait_value act(plait_value *result, void *arg)
{
	const struct action *a = arg;
	struct simulator *self = a->simulator;

	draw_result(self, result);
	draw_pair(a->pair, self->column);
	if (a->act == PASS)
		return plait_value_take(result);
	return a->when == AT_ONCE ? result_of(a) : in_a_deferred(self, a);
}

static plait_value end(plait_value *result, void *arg)
{
	draw_result(arg, result);
	puts(plait_value_is_failure(result)
		     ? "A failure is left, and nobody has handled it."
		     : "A value is left.");
	return PLAIT_NONE;
}

/*
 * Fires or cancels what the chain waits for; after that the chain may wait
 * again.
 */
static void answer(struct simulator *self, struct plait_deferred *d)
{
	struct plait_promise *p = self->later;

	self->later = NULL;
	if (self->cancel) {
		draw_note(self, "cancelled");
		plait_deferred_cancel(d);
		plait_promise_drop(&p);
	} else {
		draw_note(self, "it fires");
		plait_fire(&p, result_of(self->answer));
	}
}

static void simulate(struct simulator *self)
{
	struct plait_promise *p;
	struct plait_deferred *d = plait_deferred_new(&p, NULL, NULL);

	for (int i = 0; i < self->n_pairs; i++)
		plait_deferred_add_callbacks(d, act, &self->pairs[i].callback,
					     act, &self->pairs[i].errback);
	plait_deferred_add_both(d, end, self);
	self->column = self->start.act == FAIL ? RIGHT : LEFT;
	printf("%*s%-*s%s\n", LEFT, "", RIGHT - LEFT, "callbacks", "errbacks");
	plait_fire(&p, result_of(&self->start));
	while (self->later != NULL)
		answer(self, d);
	plait_deferred_free(&d);
}

/* ---- reading the words ------------------------------------------------ */

/* Returns what follows this word and a colon in text, or NULL. */
static const char *after(const char *text, const char *word)
{
	size_t len = strlen(word);

	return strncmp(text, word, len) == 0 && text[len] == ':'
		       ? text + len + 1
		       : NULL;
}

static bool read_result(const char *text, struct action *a)
{
	const char *value = after(text, "return"), *why = after(text, "fail");

	a->act = value != NULL ? RETURN : FAIL;
	a->text = value != NULL ? value : why;
	return a->text != NULL;
}

static bool read_action(const char *text, struct action *a)
{
	const char *now = after(text, "now"), *later = after(text, "later");

	if (strcmp(text, "pass") == 0)
		return true;
	a->when = now != NULL ? NOW : later != NULL ? LATER : AT_ONCE;
	return read_result(now != NULL ? now : later != NULL ? later : text, a);
}

static struct action new_action(struct simulator *self, const struct pair *pair,
				const char *word)
{
	struct action a = { .word = word, .simulator = self, .pair = pair };

	if (pair == NULL ? !read_result(word, &a) : !read_action(word, &a))
		die("%s: not %s", word,
		    pair == NULL ? "return:VALUE or fail:MESSAGE"
				 : "pass, or [now:|later:]return:VALUE or "
				   "[now:|later:]fail:MESSAGE");
	return a;
}

static void read_words(struct simulator *self, char **words, int n)
{
	if (n == 0)
		die("there is no RESULT");
	if (n % 2 == 0)
		die("the last CALLBACK has no ERRBACK");
	self->start = new_action(self, NULL, words[0]);
	self->n_pairs = n / 2;
	for (int i = 0; i < self->n_pairs; i++) {
		struct pair *pair = &self->pairs[i];

		pair->number = i + 1;
		pair->callback = new_action(self, pair, words[1 + 2 * i]);
		pair->errback = new_action(self, pair, words[2 + 2 * i]);
	}
}

/* Splits text in place, and returns the number of words. */
static int split(char *text, char **words)
{
	int n = 0;

	for (char *w = strtok(text, " \t\n"); w != NULL;
	     w = strtok(NULL, " \t\n")) {
		if (n == MAX_WORDS)
			die("more than %d words", MAX_WORDS);
		words[n++] = w;
	}
	return n;
}

/* Reads standard input as a text, which the caller frees with free(). */
static char *read_input(void)
{
	struct plait_buf *b = program_file("/dev/stdin");
	size_t n = plait_buf_size(b);
	char *text = malloc(n + 1);

	if (text == NULL)
		die("no memory");
	memcpy(text, plait_buf_data(b), n);
	text[n] = '\0';
	plait_buf_unref(&b);
	return text;
}

int main(int argc, char **argv)
{
	static struct pair pairs[MAX_WORDS / 2];
	struct simulator self = { .pairs = pairs };
	const struct program_option options[] = {
		{ "cancel", NULL, "what has not fired is cancelled instead",
		  read_flag, &self.cancel, NULL },
		{ 0 },
	};
	struct program p = {
		.about = "Draws how a result runs through a deferred.\n\n"
			 "A RESULT is return:VALUE or fail:MESSAGE.  CALLBACK "
			 "and ERRBACK are pass,\na RESULT, now:RESULT or "
			 "later:RESULT, which return a deferred.  Without\n"
			 "operands they are read from standard input.",
		.operands = "[RESULT [CALLBACK ERRBACK]...]",
		.max_operands = MAX_WORDS,
		.options = options
	};
	char *words[MAX_WORDS], *input = NULL;

	program_start(&p, argc, argv);
	if (p.n_operands > 0) {
		read_words(&self, p.operand, p.n_operands);
	} else {
		input = read_input();
		read_words(&self, words, split(input, words));
	}
	simulate(&self);
	free(input);
	return 0;
}
