/*
 * A chat.  Each line is sent to all other clients, with the nick of its sender
 * in front, and the line "nick NAME" sets this nick.  The factory has a list of
 * all clients.  Control characters are shown as \xNN, so that no client can
 * command the terminal of another client.  A line of more than 16,384 bytes
 * closes the connection of its sender.  A client that does not read while
 * others talk loses its connection, too.
 */
#include <stdio.h>
#include <string.h>

#include "common/escape.h"
#include "common/program.h"

enum {
	MAX_LINE = 16384,
	MAX_UNREAD = 1024 * 1024,
	NICK_SIZE = 33,
};

struct room {
	struct plait_factory factory;
	struct plait_list clients;
	unsigned guests; /* so far */
};

struct client {
	struct plait_line_receiver base;
	struct plait_list link;
	char nick[NICK_SIZE];
};

static struct room *room_of(const struct client *self)
{
	return plait_self(self->base.base.factory, struct room);
}

static void client_made(struct plait_protocol *p)
{
	struct client *self = plait_self(p, struct client);
	struct room *room = room_of(self);

	/* People type "\n" and programs send "\r\n"; both are accepted. */
	self->base.delimiter = "\n";
	self->base.max_length = MAX_LINE + 1;
	snprintf(self->nick, sizeof(self->nick), "guest%u", ++room->guests);
	plait_list_append(&room->clients, &self->link);
}

static void client_lost(struct plait_protocol *p,
			const struct plait_failure *why)
{
	plait_list_remove(&plait_self(p, struct client)->link);
}

/* Returns "NICK: LINE", given, which all clients share; NULL without memory. */
static struct plait_buf *message(const struct client *from, const char *line,
				 size_t len)
{
	struct plait_buf *b = plait_buf_new(PLAIT_BUF_UNBOUNDED);

	if (b != NULL &&
	    (append_escaped(b, from->nick, strlen(from->nick), "") < 0 ||
	     plait_buf_append(b, ": ", 2) < 0 ||
	     append_escaped(b, line, len, "\t") < 0 ||
	     plait_buf_append(b, "\r\n", 2) < 0))
		plait_buf_unref(&b);
	return b;
}

/* If there is no memory for a message, its sender is disconnected. */
static void tell_others(struct client *self, const char *line, size_t len)
{
	struct plait_buf *b = message(self, line, len);
	struct plait_list *l;

	if (b == NULL) {
		plait_transport_lose_connection(self->base.base.transport);
		return;
	}
	plait_list_for_each (l, &room_of(self)->clients) {
		struct client *to = plait_container(l, struct client, link);

		if (to != self)
			plait_transport_write_buf(to->base.base.transport, b);
	}
	plait_buf_unref(&b);
}

static void client_line(struct plait_line_receiver *p, const char *line,
			size_t len)
{
	struct client *self = plait_self(p, struct client);

	if (len > 0 && line[len - 1] == '\r')
		len--;
	if (len > MAX_LINE)
		plait_transport_lose_connection(p->base.transport);
	else if (len > 5 && memcmp(line, "nick ", 5) == 0)
		snprintf(self->nick, sizeof(self->nick), "%.*s", (int)len - 5,
			 line + 5);
	else
		tell_others(self, line, len);
}

static const struct plait_line_receiver_ops client_ops = {
	.base = { .name = "chat",
		  .size = sizeof(struct client),
		  .connection_made = client_made,
		  PLAIT_LINE_RECEIVER,
		  .connection_lost = client_lost },
	.line_received = client_line,
};

int main(int argc, char **argv)
{
	const struct plait_limits limits = { .max_unsent = MAX_UNREAD };
	struct room self = { .factory.protocol = &client_ops.base };
	struct program p = { .about = "Lets people talk, by lines.",
			     .serves = true };
	struct plait_address address;
	char place[PLACE_SIZE];
	struct plait_reactor *r;

	program_start(&p, argc, argv);
	plait_list_init(&self.clients);
	r = program_reactor(&p);
	plait_reactor_set_limits(r, &limits);
	address = program_listen(&p, r, &self.factory);
	program_run(r, "Chatting on %s.", place_str(&address, place));

	plait_reactor_free(&r);
	return 0;
}
