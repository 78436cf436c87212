/*
 * The poetry proxy.  Its clients get the poem of another server.  The proxy
 * downloads the poem for the first client and keeps it in a cache for the
 * others.
 *
 * The poem of a client is a deferred.  If the poem is in the cache, the
 * deferred has already fired; if not, it is the deferred of a download.  It
 * belongs to the scope of the client's connection.  So when the client hangs
 * up, the download is cancelled, and the connection to the server is closed.
 *
 * --no-cancel shows the old way: the download goes on, although nobody waits
 * for it.  --share lets all clients that come while a download is under way
 * wait for this download; it is cancelled when the last of them has gone.
 */
#include <stdio.h>

#include "common/poetry.h"
#include "common/program.h"

struct service {
	struct plait_factory factory;
	struct plait_reactor *reactor;
	struct server server;
	struct plait_buf *poem; /* NULL: not cached */
	bool no_cancel, share;
	struct plait_shared *download; /* the last shared download, or NULL */
};

static plait_value keep_poem(plait_value *result, void *arg)
{
	struct service *self = arg;

	plait_buf_unref(&self->poem);
	self->poem = plait_buf_ref(plait_value_buf(result));
	return plait_value_take(result);
}

static plait_value say_why_not(plait_value *failure, void *arg)
{
	char text[1024];

	if (plait_failure_check(plait_value_failure(failure),
				&plait_error_cancelled)) {
		puts("Canceling poem download.");
	} else {
		plait_value_str(failure, text, sizeof(text));
		fprintf(stderr, "Poem download failed: %s\n", text);
	}
	return plait_value_take(failure);
}

static struct plait_deferred *download_poem(struct service *self)
{
	struct plait_deferred *d;

	puts("Fetching poem from server.");
	d = get_poetry(self->reactor, &self->server);
	return plait_deferred_add_callbacks(d, keep_poem, self, say_why_not,
					    self);
}

static plait_value say_nothing(plait_value *failure, void *arg)
{
	return PLAIT_NONE;
}

/* Gives a deferred that may be cancelled while the download goes on. */
static struct plait_deferred *download_regardless(struct service *self)
{
	struct plait_promise *promise;
	struct plait_deferred *d, *download = download_poem(self);

	d = plait_deferred_new(&promise, NULL, NULL);
	plait_deferred_forward(download, &promise);
	plait_deferred_detach(&download);
	return d;
}

/* Begins a download for all clients that come while it is under way. */
static void begin_download(struct service *self)
{
	struct plait_deferred *d = download_poem(self);

	plait_shared_free(&self->download);
	self->download = plait_shared_new(&d);
	if (self->download == NULL || !self->no_cancel)
		return;
	/* A further caller that waits to the end. */
	d = plait_shared_wait(self->download);
	plait_deferred_add_errback(d, say_nothing, NULL);
	plait_deferred_detach(&d);
}

static struct plait_deferred *share_download(struct service *self)
{
	if (self->download != NULL && !plait_shared_is_fired(self->download))
		puts("Sharing the poem download.");
	else
		begin_download(self);
	return self->download != NULL ? plait_shared_wait(self->download)
				      : plait_failed(plait_no_memory());
}

static struct plait_deferred *get_poem(struct service *self)
{
	if (self->poem != NULL) {
		puts("Using cached poem.");
		return plait_succeed(
			plait_buf_value(plait_buf_ref(self->poem)));
	}
	if (self->share)
		return share_download(self);
	return self->no_cancel ? download_regardless(self)
			       : download_poem(self);
}

static void client_made(struct plait_protocol *p)
{
	struct plait_deferred *d =
		get_poem(plait_self(p->factory, struct service));

	plait_deferred_add_callback(d, plait_then_write, p->transport);
	plait_deferred_add_both(d, plait_then_lose_connection, p->transport);
	plait_scope_own(plait_transport_scope(p->transport), &d);
}

static const struct plait_protocol_ops client_ops = {
	.name = "poetry-proxy",
	.connection_made = client_made,
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
			     .operands = "[HOST:]PORT|ENDPOINT",
			     .min_operands = 1,
			     .max_operands = 1,
			     .serves = true,
			     .options = options };
	char to[PLAIT_ADDRESS_SIZE];
	struct plait_address address;

	program_start(&p, argc, argv);
	read_server(p.operand[0], &self.server);
	self.reactor = program_reactor(&p);
	address = program_listen(&p, self.reactor, &self.factory);
	plait_address_str(&address, to, sizeof(to));
	program_run(self.reactor, "Proxying %s on %s.", self.server.text, to);

	plait_reactor_free(&self.reactor);
	plait_shared_free(&self.download);
	plait_buf_unref(&self.poem);
	server_done(&self.server);
	return 0;
}
