/*
 * The poetry proxy: clients that connect get the poem of another server, which
 * is downloaded for the first and cached for the rest.
 *
 * A client's poem is a deferred, whether it comes from the cache, where it has
 * fired already, or from the server.  When the client hangs up first, its
 * protocol frees the deferred; that cancels the download, and that closes the
 * connection to the server: nobody works for somebody who has gone.
 *
 * --no-cancel is how it was before: the download goes on for nobody.
 * --share lets clients that come while a download runs wait for that one; it
 * is cancelled when the last of them has gone.
 */
#include <stdio.h>

#include "common/poetry.h"
#include "common/program.h"

struct service {
	struct plait_factory factory;
	struct plait_reactor *reactor;
	struct plait_address server;
	struct plait_buf *poem; /* NULL: not cached */
	bool no_cancel, share;
	struct plait_deferred *download; /* that is shared, or NULL */
	struct plait_list waiting;	 /* the clients that share it */
};

struct client {
	struct plait_protocol base;
	struct plait_deferred *deferred;
	struct plait_promise *promise; /* while it shares a download ... */
	struct plait_list link;	       /* ... and waits for it */
};

static plait_value keep_poem(plait_value *result, void *arg)
{
	struct service *self = arg;

	plait_buf_unref(&self->poem);
	self->poem = plait_buf_ref(plait_value_buf(result));
	return plait_take(result);
}

static plait_value say_why_not(plait_value *failure, void *arg)
{
	char text[256];

	if (plait_failure_check(plait_value_failure(failure),
				&plait_error_cancelled)) {
		puts("Canceling poem download.");
	} else {
		plait_value_str(failure, text, sizeof(text));
		fprintf(stderr, "Poem download failed: %s\n", text);
	}
	return plait_take(failure);
}

static struct plait_deferred *download_poem(struct service *self)
{
	struct plait_deferred *d;

	puts("Fetching poem from server.");
	d = get_poetry(self->reactor, &self->server);
	return plait_deferred_add_callbacks(d, keep_poem, self, say_why_not,
					    self);
}

/* A deferred that may be cancelled while the download runs on. */
static struct plait_deferred *download_regardless(struct service *self)
{
	struct plait_promise *promise;
	struct plait_deferred *d, *download = download_poem(self);

	d = plait_deferred_new(&promise, NULL, NULL);
	plait_deferred_chain(download, &promise);
	plait_deferred_detach(&download);
	return d;
}

/* The shared download has ended: its result goes to all who wait for it. */
static plait_value share_result(plait_value *result, void *arg)
{
	struct service *self = arg;
	struct plait_list *l;

	plait_deferred_detach(&self->download);
	while ((l = plait_list_first(&self->waiting)) != NULL) {
		struct client *c = plait_container(l, struct client, link);

		plait_list_remove(l);
		plait_fire(&c->promise,
			   plait_value_is_failure(result)
				   ? plait_failure_value(
					     plait_value_failure(result))
				   : plait_buf_value(plait_buf_ref(
					     plait_value_buf(result))));
	}
	return PLAIT_NONE;
}

static plait_value leave_download(struct plait_deferred *d, void *arg)
{
	struct client *c = arg;
	struct service *self = plait_self(c->base.factory, struct service);

	plait_list_remove(&c->link);
	plait_promise_drop(&c->promise);
	if (plait_list_is_empty(&self->waiting) && !self->no_cancel)
		plait_deferred_cancel(self->download);
	return plait_cancelled();
}

static struct plait_deferred *share_download(struct service *self,
					     struct client *c)
{
	struct plait_deferred *d =
		plait_deferred_new(&c->promise, leave_download, c);

	if (c->promise == NULL)
		return d;
	plait_list_append(&self->waiting, &c->link);
	if (self->download != NULL) {
		puts("Sharing the poem download.");
		return d;
	}
	self->download = download_poem(self);
	plait_deferred_add_both(self->download, share_result, self);
	return d;
}

static struct plait_deferred *get_poem(struct service *self, struct client *c)
{
	if (self->poem != NULL) {
		puts("Using cached poem.");
		return plait_succeed(
			plait_buf_value(plait_buf_ref(self->poem)));
	}
	if (self->share)
		return share_download(self, c);
	return self->no_cancel ? download_regardless(self)
			       : download_poem(self);
}

static void client_made(struct plait_protocol *p)
{
	struct client *self = plait_self(p, struct client);

	self->deferred = get_poem(plait_self(p->factory, struct service), self);
	plait_deferred_add_callback(self->deferred, plait_then_write,
				    p->transport);
	plait_deferred_add_both(self->deferred, plait_then_lose_connection,
				p->transport);
}

static void client_lost(struct plait_protocol *p,
			const struct plait_failure *why)
{
	plait_deferred_free(&plait_self(p, struct client)->deferred);
}

static const struct plait_protocol_ops client_ops = {
	.name = "poetry-proxy",
	.size = sizeof(struct client),
	.connection_made = client_made,
	.connection_lost = client_lost,
};

int main(int argc, char **argv)
{
	struct service self = { .factory.protocol = &client_ops };
	const struct program_option options[] = {
		{ "no-cancel", NULL, "download to the end for nobody",
		  read_flag, &self.no_cancel, NULL },
		{ "share", NULL, "one download at a time, for all who wait",
		  read_flag, &self.share, NULL },
		{ 0 },
	};
	struct program p = { .about = "Serves the poem of another server.",
			     .operands = "[HOST:]PORT",
			     .min_operands = 1,
			     .max_operands = 1,
			     .serves = true,
			     .options = options };
	char from[PLAIT_ADDRESS_SIZE], to[PLAIT_ADDRESS_SIZE];
	struct plait_address address;

	program_start(&p, argc, argv);
	if (!read_server(p.operand[0], &self.server))
		die("%s: not [HOST:]PORT", p.operand[0]);
	plait_list_init(&self.waiting);
	self.reactor = program_reactor(&p);
	address = program_listen(&p, self.reactor, &self.factory);
	plait_address_str(&self.server, from, sizeof(from));
	plait_address_str(&address, to, sizeof(to));
	program_run(self.reactor, "Proxying %s on %s.", from, to);

	plait_reactor_free(&self.reactor);
	plait_buf_unref(&self.poem);
	return 0;
}
