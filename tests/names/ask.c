/*
 * Asks the library what it is told to, for the judges of check-names: reads
 * questions from standard input, a line each, words separated by tabs, and
 * answers each by a line, in the order in which they end.
 *
 *	address NAME FAMILY	0, 4 or 6
 *	record NAME TYPE
 *	reverse ADDRESS
 *
 * A word more is the number of seconds after which the question is cancelled.
 * The answer is the number of the question, from 0; the seconds that it took;
 * "ok" or the kind of the failure; then what was found, or the message: all
 * separated by tabs.
 *
 * usage: ask [AT-ONCE [TIMEOUT [system]]]
 *
 * It asks that many questions at once, and reads the next when one has ended.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <plait/plait.h>

struct asker {
	struct plait_reactor *reactor;
	struct plait_resolver *resolver;
	unsigned next, open, at_once;
	bool finished; /* there are no more questions */
};

struct question {
	struct asker *asker;
	struct plait_deferred *deferred;
	struct plait_timer cancel;
	struct plait_timer burial;
	unsigned number;
	double start;
};

static void ask_more(void *arg);

static void print_addresses(const struct plait_addresses *a)
{
	char text[PLAIT_ADDRESS_SIZE];

	printf("\tok");
	for (size_t i = 0; i < a->count; i++) {
		plait_address_host(&a->items[i], text, sizeof(text));
		printf("\t%s", text);
	}
}

static void print_names(const struct plait_names *n)
{
	printf("\tok");
	for (size_t i = 0; i < n->count; i++)
		printf("\t%s", n->items[i]);
}

static void print_records(const struct plait_dns_record *list, size_t n)
{
	static char text[400000];

	for (size_t i = 0; i < n; i++) {
		plait_dns_record_str(&list[i], text, sizeof(text));
		printf("\t%s", text);
	}
}

static void print_answer(const struct plait_dns_answer *a)
{
	printf("\tok");
	print_records(a->aliases, a->n_aliases);
	print_records(a->records, a->count);
}

static void print_failure(const struct plait_failure *f)
{
	printf("\t%s\t%s", plait_failure_kind(f)->name,
	       plait_failure_message(f));
}

/* Begins the next questions from the loop: the deferred may not be freed in
   its own callback, and the next question not be asked inside it. */
static void bury(void *arg)
{
	struct question *q = arg;
	struct asker *self = q->asker;

	plait_deferred_free(&q->deferred);
	free(q);
	self->open--;
	ask_more(self);
}

static plait_value ended(plait_value *result, void *arg)
{
	struct question *q = arg;
	struct plait_reactor *r = q->asker->reactor;

	printf("%u\t%.4f", q->number, plait_reactor_seconds(r) - q->start);
	if (plait_value_is_failure(result))
		print_failure(plait_value_failure(result));
	else if (result->type == &plait_addresses_type)
		print_addresses(plait_value_addresses(result));
	else if (result->type == &plait_names_type)
		print_names(plait_value_names(result));
	else
		print_answer(plait_value_dns_answer(result));
	putchar('\n');
	fflush(stdout);
	plait_timer_stop(&q->cancel);
	plait_timer_start(r, &q->burial, 0, bury, q);
	return PLAIT_NONE;
}

static void cancel(void *arg)
{
	struct question *q = arg;

	plait_deferred_cancel(q->deferred);
}

static const int families[] = { ['4' - '0'] = AF_INET, ['6' - '0'] = AF_INET6 };

static struct plait_deferred *ask_address(struct asker *self, const char *name,
					  const char *family)
{
	const struct plait_resolve_options options = {
		.family = families[(family[0] - '0') % 7],
		.resolver = self->resolver,
	};

	return plait_resolve(self->reactor, name, &options);
}

static struct plait_deferred *ask_record(struct asker *self, const char *name,
					 const char *type)
{
	unsigned number;

	if (plait_dns_type_from_str(&number, type) < 0)
		abort();
	return plait_dns_query(self->resolver, name, number);
}

static struct plait_deferred *ask_reverse(struct asker *self, const char *text)
{
	const struct plait_resolve_options options = {
		.resolver = self->resolver,
	};
	struct plait_address address;

	if (plait_address_parse(&address, text, 0) < 0)
		abort();
	return plait_resolve_address(self->reactor, &address, &options);
}

static void ask(struct question *q, char **word)
{
	struct asker *self = q->asker;
	const char *seconds = word[3];

	if (strcmp(word[0], "address") == 0) {
		q->deferred = ask_address(self, word[1], word[2]);
	} else if (strcmp(word[0], "record") == 0) {
		q->deferred = ask_record(self, word[1], word[2]);
	} else {
		q->deferred = ask_reverse(self, word[1]);
		seconds = word[2];
	}
	if (seconds != NULL)
		plait_timer_start(self->reactor, &q->cancel, atof(seconds),
				  cancel, q);
	plait_deferred_add_both(q->deferred, ended, q);
}

static bool ask_next(struct asker *self)
{
	char line[8192], *rest = line, *word[5] = { NULL };
	struct question *q;

	if (fgets(line, sizeof(line), stdin) == NULL)
		return false;
	line[strcspn(line, "\n")] = '\0';
	for (int i = 0; i < 4 && rest != NULL; i++)
		word[i] = strsep(&rest, "\t");
	q = calloc(1, sizeof(*q));
	if (q == NULL)
		abort();
	q->asker = self;
	q->number = self->next++;
	q->start = plait_reactor_seconds(self->reactor);
	self->open++;
	ask(q, word);
	return true;
}

static void ask_more(void *arg)
{
	struct asker *self = arg;

	while (!self->finished && self->open < self->at_once)
		self->finished = !ask_next(self);
	if (self->open == 0)
		plait_reactor_stop(self->reactor);
}

int main(int argc, char **argv)
{
	const struct plait_resolver_options options = {
		.timeout = argc > 2 ? atof(argv[2]) : 0,
		.system = argc > 3,
	};
	struct asker self = { .at_once = argc > 1 ? atoi(argv[1]) : 1 };

	self.reactor = plait_reactor_new(NULL);
	self.resolver = plait_resolver_new(self.reactor, &options);
	plait_call_when_running(self.reactor, ask_more, &self);
	plait_reactor_run(self.reactor);
	plait_resolver_free(&self.resolver);
	plait_reactor_free(&self.reactor);
	return 0;
}
