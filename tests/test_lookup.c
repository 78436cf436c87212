/*
 * Lookups as what connects by name sees them: each family is told as it comes.
 */
#include <stdio.h>
#include <sys/socket.h>

#include "reactor/names/lookup.h"
#include "tests/zone.h"

static struct zone zone;
static struct plait_resolver *resolver;
static struct names_lookup lookup;
static bool has_ended, cancels;
static char heard[400]; /* what was told: "4 192.0.2.1:80 6 none end" */

static void hear(const char *event)
{
	size_t len = strlen(heard);

	snprintf(heard + len, sizeof(heard) - len, "%s%s", len > 0 ? " " : "",
		 event);
}

static void note_family(struct names_lookup *l, int family,
			const struct plait_address *list, size_t n)
{
	char text[PLAIT_ADDRESS_SIZE] = "none";

	if (n > 0)
		plait_address_str(&list[0], text, sizeof(text));
	hear(family == AF_INET ? "4" : "6");
	hear(text);
	if (cancels)
		plait_i_lookup_cancel(l);
}

static void note_end(struct names_lookup *l, const struct plait_failure *why)
{
	hear(why != NULL ? plait_failure_kind(why)->name : "end");
	has_ended = true;
	/* It may be freed in here. */
	memset(l, 0xa5, sizeof(*l));
}

static void begin(const char *known, const char *name)
{
	struct plait_resolver_options options = {
		.hosts = "/dev/null",
		.resolv_conf = "/dev/null",
		.nsswitch_conf = "/dev/null",
		.servers = &zone.address,
		.server_count = 1,
	};

	zone_start(&zone, reactor, known);
	resolver = plait_resolver_new(reactor, &options);
	has_ended = cancels = false;
	lookup = (struct names_lookup){ .found = note_family,
					.ended = note_end };
	plait_i_lookup_start(&lookup, reactor, resolver,
			     &(struct lookup_wish){ .name = name, .port = 80 });
	ck_assert_str_eq(heard, "");
}

static void end(void)
{
	plait_resolver_free(&resolver);
	zone_stop(&zone);
	run_turns(reactor, 2);
}

static void setup(void)
{
	heard[0] = '\0';
}

#define IPV4 "a.example A: answer a.example 60 A 192.0.2.1"
#define IPV6 "a.example AAAA: answer a.example 60 AAAA 2001:db8::1"

GROUP("lookup", .setup = setup);

static const struct {
	const char *known, *name, *heard;
	const char *or_heard; /* if the other answer comes first */
} ends[] = {
	{ "", "192.0.2.1", "6 none 4 192.0.2.1:80 end", NULL },
	{ "", "::1", "6 [::1]:80 4 none end", NULL },
	{ "", "localhost", "6 [::1]:80 4 127.0.0.1:80 end", NULL },
	{ IPV4, "a.example", "6 none 4 192.0.2.1:80 end",
	  "4 192.0.2.1:80 6 none end" },
	{ IPV6, "a.example", "6 [2001:db8::1]:80 4 none end",
	  "4 none 6 [2001:db8::1]:80 end" },
	{ "", "a.example", "DNSNoNameError", NULL },
	{ "", "a..example", "DNSBadNameError", NULL },
};

TEST(a_lookup_tells_each_family_once_and_its_end, ON_EACH_KERNEL, EACH_OF(ends))
{
	begin(ends[_i].known, ends[_i].name);
	run_until_set(reactor, &has_ended);
	if (ends[_i].or_heard == NULL || strcmp(heard, ends[_i].or_heard) != 0)
		ck_assert_str_eq(heard, ends[_i].heard);
	end();
}

TEST(a_family_is_told_while_the_other_is_asked_for, ON_EACH_KERNEL)
{
	begin(IPV4 "|a.example AAAA: drop", "a.example");
	while (*heard == '\0')
		run_turns(reactor, 1);
	ck_assert_str_eq(heard, "4 192.0.2.1:80");
	plait_i_lookup_cancel(&lookup);
	ck_assert_str_eq(heard, "4 192.0.2.1:80");
	end();
	ck_assert_str_eq(heard, "4 192.0.2.1:80");
}

TEST(whoever_is_told_of_a_family_may_cancel, ON_EACH_KERNEL, TIMES(2))
{
	char first[sizeof(heard)];

	begin(IPV4 "|" IPV6, _i == 0 ? "localhost" : "a.example");
	cancels = true;
	while (*heard == '\0')
		run_turns(reactor, 1);
	strcpy(first, heard);
	ck_assert(strcmp(first, "6 [::1]:80") == 0 ||
		  strcmp(first, "4 192.0.2.1:80") == 0 ||
		  strcmp(first, "6 [2001:db8::1]:80") == 0);
	run_turns(reactor, 3);
	ck_assert_str_eq(heard, first);
	end();
}

TEST(freeing_the_resolver_ends_a_lookup, ON_EACH_KERNEL)
{
	begin("a.example *: drop", "a.example");
	run_turns(reactor, 2);
	end();
	ck_assert_str_eq(heard, "AbandonedError");
}

TEST(without_a_resolver_there_was_no_memory, ON_EACH_KERNEL)
{
	lookup = (struct names_lookup){ .found = note_family,
					.ended = note_end };
	has_ended = false;
	plait_i_lookup_start(&lookup, reactor, NULL,
			     &(struct lookup_wish){ .name = "a.example" });
	ck_assert_str_eq(heard, "");
	run_until_set(reactor, &has_ended);
	ck_assert_str_eq(heard, "NoMemoryError");
}

TEST(a_cancelled_lookup_may_begin_again, ON_EACH_KERNEL)
{
	begin(IPV4, "a.example");
	plait_i_lookup_cancel(&lookup);
	plait_i_lookup_cancel(&lookup);
	lookup = (struct names_lookup){ .found = note_family,
					.ended = note_end };
	plait_i_lookup_start(&lookup, reactor, resolver,
			     &(struct lookup_wish){ .name = "a.example",
						    .family = AF_INET });
	run_until_set(reactor, &has_ended);
	ck_assert_str_eq(heard, "4 192.0.2.1:0 end");
	end();
}
