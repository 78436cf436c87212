/*
 * Looks up names, all at the same time: their addresses, their records of a
 * type, or, for addresses, their names.  Each name has a deferred, which is a
 * chain: the lookup; then what it found, or why it found nothing, is printed.
 * With --twice, the chain goes on with the same lookup once more, which the
 * cache answers.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/program.h"

struct client {
	struct plait_reactor *reactor;
	struct plait_resolver *resolver;
	struct plait_address server; /* a zeroed one: those of resolv.conf */
	unsigned type;		     /* of records; 0: addresses */
	bool reverse, system, time, twice;
	double timeout; /* 0: the resolver's own */
	struct question *questions;
	int n, unfinished, failed;
};

struct question {
	struct client *client;
	const char *name;
	struct plait_address address; /* --reverse: instead of name */
	struct plait_deferred *deferred;
	double start;
};

static struct plait_deferred *look_up(struct question *q)
{
	struct client *self = q->client;
	const struct plait_resolve_options options = {
		.resolver = self->resolver,
	};

	q->start = plait_reactor_seconds(self->reactor);
	if (self->reverse)
		return plait_resolve_address(self->reactor, &q->address,
					     &options);
	if (self->type != 0)
		return plait_dns_query(self->resolver, q->name, self->type);
	return plait_resolve(self->reactor, q->name, &options);
}

static size_t print_addresses(const char *name,
			      const struct plait_addresses *found)
{
	char text[PLAIT_ADDRESS_SIZE];

	for (size_t i = 0; i < found->count; i++) {
		plait_address_host(&found->items[i], text, sizeof(text));
		printf("%s %s\n", name, text);
	}
	return found->count;
}

static size_t print_names(const char *address, const struct plait_names *found)
{
	for (size_t i = 0; i < found->count; i++)
		printf("%s %s\n", address, found->items[i]);
	return found->count;
}

static void print_record(const struct plait_dns_record *record)
{
	int length = plait_dns_record_str(record, NULL, 0);
	char *text = malloc(length + 1);

	if (text == NULL)
		die("no memory");
	plait_dns_record_str(record, text, length + 1);
	puts(text);
	free(text);
}

static size_t print_records(const struct plait_dns_answer *found)
{
	for (size_t i = 0; i < found->n_aliases; i++)
		print_record(&found->aliases[i]);
	for (size_t i = 0; i < found->count; i++)
		print_record(&found->records[i]);
	return found->n_aliases + found->count;
}

static size_t print_found(const struct question *q, const plait_value *found)
{
	if (q->client->reverse)
		return print_names(q->name, plait_value_names(found));
	if (q->client->type != 0)
		return print_records(plait_value_dns_answer(found));
	return print_addresses(q->name, plait_value_addresses(found));
}

/* What is in a file, or in the name itself, comes from no server. */
static void print_server(const struct plait_address *server, bool cached)
{
	char text[PLAIT_ADDRESS_SIZE];

	if (plait_address_family(server) == 0)
		return;
	plait_address_str(server, text, sizeof(text));
	printf(", %s %s", cached ? "remembered from" : "by", text);
}

static void print_time(const struct question *q, size_t n,
		       const plait_value *found)
{
	printf("%s: %zu found in %.4f s", q->name, n,
	       plait_reactor_seconds(q->client->reactor) - q->start);
	if (plait_value_is(found, &plait_dns_answer_type)) {
		const struct plait_dns_answer *a =
			plait_value_dns_answer(found);

		print_server(&a->server, a->cached);
	} else if (plait_value_is(found, &plait_addresses_type)) {
		const struct plait_addresses *a = plait_value_addresses(found);

		print_server(&a->server, a->cached);
	}
	putchar('\n');
}

static plait_value print_result(plait_value *found, void *arg)
{
	struct question *q = arg;
	size_t n = print_found(q, found);

	if (q->client->time)
		print_time(q, n, found);
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

static plait_value look_up_again(plait_value *result, void *arg)
{
	struct question *q = arg;
	struct plait_deferred *d = look_up(q);

	plait_deferred_add_callbacks(d, print_result, q, print_failure,
				     q->client);
	return plait_chain(&d);
}

static plait_value finished(plait_value *result, void *arg)
{
	struct client *self = arg;

	if (--self->unfinished == 0)
		plait_reactor_stop(self->reactor);
	return PLAIT_NONE;
}

static void start(void *arg)
{
	struct client *self = arg;

	for (int i = 0; i < self->n; i++) {
		struct question *q = &self->questions[i];

		q->deferred = look_up(q);
		plait_deferred_add_callbacks(q->deferred, print_result, q,
					     print_failure, self);
		if (self->twice)
			plait_deferred_add_callback(q->deferred, look_up_again,
						    q);
		plait_deferred_add_both(q->deferred, finished, self);
	}
}

static void read_questions(struct client *self, const struct program *p)
{
	self->n = self->unfinished = p->n_operands;
	self->questions = calloc(self->n, sizeof(*self->questions));
	if (self->questions == NULL)
		die("no memory");
	for (int i = 0; i < self->n; i++) {
		struct question *q = &self->questions[i];

		q->client = self;
		q->name = p->operand[i];
		if (self->reverse &&
		    plait_address_parse(&q->address, q->name, 0) < 0)
			die("%s: not an address", q->name);
	}
}

static void make_resolver(struct client *self)
{
	const struct plait_resolver_options options = {
		.servers = &self->server,
		.server_count = plait_address_port(&self->server) != 0,
		.timeout = self->timeout,
		.system = self->system,
	};

	self->resolver = plait_resolver_new(self->reactor, &options);
	if (self->resolver == NULL)
		die("no memory");
}

/* A resolver is given addresses: a name of a server it could not look up. */
static bool read_name_server(const char *text, void *into)
{
	struct plait_address *server = into;

	return plait_address_from_str(server, text) == 0 &&
	       plait_address_port(server) != 0;
}

static bool read_type(const char *text, void *into)
{
	return plait_dns_type_from_str(into, text) == 0;
}

int main(int argc, char **argv)
{
	struct client self = { .timeout = 0 };
	const struct program_option options[] = {
		{ "type", "TYPE", "records of that type, such as MX", read_type,
		  &self.type, NULL },
		{ "reverse", NULL, "the names of addresses", read_flag,
		  &self.reverse, NULL },
		{ "time", NULL, "say how long it took, and who answered",
		  read_flag, &self.time, NULL },
		{ "twice", NULL, "look up each once more", read_flag,
		  &self.twice, NULL },
		{ "server", "IP:PORT", "ask this server only", read_name_server,
		  &self.server, NULL },
		{ "system", NULL, "ask the C library, in a thread", read_flag,
		  &self.system, NULL },
		{ "timeout", "SECONDS", "give up after that time",
		  read_positive, &self.timeout, NULL },
		{ 0 },
	};
	struct program p = { .about = "Looks up names, all at once.",
			     .operands = "NAME...",
			     .min_operands = 1,
			     .max_operands = argc,
			     .options = options };

	program_start(&p, argc, argv);
	if (self.reverse && self.type != 0)
		die("--reverse asks for names: --type has no use");
	read_questions(&self, &p);
	self.reactor = program_reactor(&p);
	make_resolver(&self);
	plait_call_when_running(self.reactor, start, &self);
	plait_reactor_run(self.reactor);

	for (int i = 0; i < self.n; i++)
		plait_deferred_free(&self.questions[i].deferred);
	plait_resolver_free(&self.resolver);
	plait_reactor_free(&self.reactor);
	free(self.questions);
	return self.failed > 0;
}
