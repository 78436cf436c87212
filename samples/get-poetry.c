/*
 * Downloads poems from many servers at the same time, with one deferred for
 * each poem, and prints each poem when it has come.  The deferred of a poem is
 * a chain: the download; then the transformation, if there is one, which is a
 * deferred, too; then the poem or the failure is printed.  --timeout cancels
 * each poem that has not come in time, wherever in its chain it is, and this
 * closes its connection.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/escape.h"
#include "common/poetry.h"
#include "common/program.h"

struct client {
	struct plait_reactor *reactor;
	double timeout; /* 0: none */
	struct server transformer;
	const char *transformation; /* NULL: none */
	struct poem *poems;
	int n, unfinished, failed;
};

struct poem {
	struct client *client;
	struct server server;
	struct plait_deferred *deferred;
};

static plait_value transform(plait_value *result, void *arg)
{
	struct client *self = arg;
	struct plait_deferred *d =
		transform_poetry(self->reactor, &self->transformer,
				 self->transformation, plait_value_buf(result));

	return plait_chain(&d);
}

static plait_value name_timeout(plait_value *result, double seconds, void *arg)
{
	const struct poem *poem = arg;

	return plait_fail(&plait_error_timeout, "no poem from %s in %g s",
			  poem->server.text, seconds);
}

/*
 * Makes the text of the poem that is safe for a terminal; given, NULL without
 * memory.
 */
static struct plait_buf *shown_poem(const struct plait_buf *poem)
{
	struct plait_buf *b = plait_buf_new(PLAIT_BUF_UNBOUNDED);

	if (b != NULL && append_escaped(b, plait_buf_data(poem),
					plait_buf_size(poem), "\t\n") < 0)
		plait_buf_unref(&b);
	return b;
}

/*
 * A file gets the poem as it is.  A terminal would obey its control characters.
 */
static plait_value print_poem(plait_value *result, void *arg)
{
	struct client *self = arg;
	struct plait_buf *poem =
		isatty(STDOUT_FILENO) ? shown_poem(plait_value_buf(result))
				      : plait_buf_ref(plait_value_buf(result));

	if (poem != NULL) {
		fwrite(plait_buf_data(poem), 1, plait_buf_size(poem), stdout);
	} else {
		self->failed++;
		fputs("no memory to show the poem\n", stderr);
	}
	plait_buf_unref(&poem);
	return PLAIT_NONE;
}

static plait_value print_failure(plait_value *failure, void *arg)
{
	struct client *self = arg;
	char text[1024];

	/* When a signal ends the program, this is no failure. */
	if (!plait_reactor_is_running(self->reactor))
		return PLAIT_NONE;
	self->failed++;
	plait_value_str(failure, text, sizeof(text));
	fprintf(stderr, "%s\n", text);
	return PLAIT_NONE;
}

static plait_value finished(plait_value *result, void *arg)
{
	struct client *self = arg;

	if (--self->unfinished == 0)
		plait_reactor_stop(self->reactor);
	return PLAIT_NONE;
}

static void get_poem(struct poem *poem)
{
	struct client *self = poem->client;

	poem->deferred = get_poetry(self->reactor, &poem->server);
	if (self->transformation != NULL)
		plait_deferred_add_callback(poem->deferred, transform, self);
	if (self->timeout > 0)
		plait_deferred_add_timeout_with(poem->deferred, self->reactor,
						self->timeout, name_timeout,
						poem);
	plait_deferred_add_callbacks(poem->deferred, print_poem, self,
				     print_failure, self);
	plait_deferred_add_both(poem->deferred, finished, self);
}

static void start(void *arg)
{
	struct client *self = arg;

	for (int i = 0; i < self->n; i++)
		get_poem(&self->poems[i]);
}

static void read_servers(struct client *self, const struct program *p)
{
	self->n = self->unfinished = p->n_operands;
	self->poems = calloc(self->n, sizeof(*self->poems));
	if (self->poems == NULL)
		die("no memory");
	for (int i = 0; i < self->n; i++) {
		self->poems[i].client = self;
		read_server(p->operand[i], &self->poems[i].server);
	}
}

int main(int argc, char **argv)
{
	struct client self = { .timeout = 0 };
	const struct program_option options[] = {
		{ "timeout", "SECONDS", "cancel what has not come by then",
		  read_positive, &self.timeout, NULL },
		{ "transform", "SERVER NAME", "by transformedpoetry",
		  read_server, &self.transformer, &self.transformation },
		{ 0 },
	};
	struct program p = { .about = "Downloads poems, all at once.",
			     .operands = "[HOST:]PORT|ENDPOINT...",
			     .min_operands = 1,
			     .max_operands = argc,
			     .options = options };

	program_start(&p, argc, argv);
	read_servers(&self, &p);
	self.reactor = program_reactor(&p);
	plait_call_when_running(self.reactor, start, &self);
	plait_reactor_run(self.reactor);

	for (int i = 0; i < self.n; i++) {
		plait_deferred_free(&self.poems[i].deferred);
		server_done(&self.poems[i].server);
	}
	server_done(&self.transformer);
	plait_reactor_free(&self.reactor);
	free(self.poems);
	return self.failed > 0;
}
