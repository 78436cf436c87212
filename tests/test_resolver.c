/*
 * Resolvers: from names to addresses, from addresses to names, and records of
 * any type, with a DNS server of the test (zone.h) and files of its own.
 */
#include <math.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "reactor/names/names.h"
#include "tests/child.h"
#include "tests/model.h"
#include "tests/zone.h"

/* ---- files --------------------------------------------------------------- */

enum { MAX_FILES = 8 };

static char paths[MAX_FILES][40];
static int n_files;

static void file_write(const char *path, const char *text)
{
	FILE *f;

	if (model_is_on()) {
		model_set_file(path, text);
	} else if (text == NULL) {
		unlink(path);
	} else {
		f = fopen(path, "w");
		ck_assert_ptr_nonnull(f);
		fputs(text, f);
		fclose(f);
	}
}

/* A file with this text, until the test ends; NULL gives none at all. */
static const char *file_of(const char *text)
{
	char *path = paths[n_files++];
	int fd;

	strcpy(path, "/tmp/plait-names-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
	file_write(path, text);
	return path;
}

static void remove_files(void)
{
	while (n_files > 0)
		unlink(paths[--n_files]);
}

/* ---- a resolver, and what comes of it ------------------------------------ */

static struct zone zone;
static struct plait_resolver *resolver;

/* Zeroed: no files at all. */
struct world {
	const char *known; /* by the server */
	const char *resolv_conf, *hosts, *nsswitch;
};

static struct plait_resolver_options options_of(const struct world *w)
{
	return (struct plait_resolver_options){
		.hosts = file_of(w->hosts),
		.resolv_conf = file_of(w->resolv_conf),
		.nsswitch_conf = file_of(w->nsswitch),
		.servers = &zone.address,
		.server_count = 1,
	};
}

static void world_begin(const struct world *w)
{
	struct plait_resolver_options o;

	zone_start(&zone, reactor, w->known != NULL ? w->known : "");
	o = options_of(w);
	resolver = plait_resolver_new(reactor, &o);
	ck_assert_ptr_nonnull(resolver);
}

static void world_end(void)
{
	plait_resolver_free(&resolver);
	zone_stop(&zone);
	run_turns(reactor, 2);
	remove_files();
}

/*
 * What a deferred has fired with, as text.  Which family comes first depends on
 * where the machine is; here it is IPv6.
 */
struct outcome {
	struct plait_resolver *resolver; /* for what is begun then */
	bool fired;
	char text[600];
};

static void add_family(char *text, size_t size, const struct plait_addresses *a,
		       int family)
{
	for (size_t i = 0; i < a->count; i++) {
		size_t len = strlen(text);

		if (plait_address_family(&a->items[i]) != family)
			continue;
		if (len > 0)
			len += (size_t)snprintf(text + len, size - len, ", ");
		plait_address_host(&a->items[i], text + len, size - len);
	}
}

static plait_value note_outcome(plait_value *result, void *arg)
{
	struct outcome *o = arg;

	ck_assert(!o->fired);
	o->fired = true;
	if (plait_value_is_failure(result)) {
		strcpy(o->text,
		       plait_failure_kind(plait_value_failure(result))->name);
	} else if (plait_value_is(result, &plait_addresses_type)) {
		const struct plait_addresses *a = plait_value_addresses(result);

		add_family(o->text, sizeof(o->text), a, AF_INET6);
		add_family(o->text, sizeof(o->text), a, AF_INET);
	} else {
		plait_value_str(result, o->text, sizeof(o->text));
	}
	return PLAIT_NONE;
}

static void expect_outcome(struct plait_deferred *d, const char *text)
{
	struct outcome o = { .fired = false };

	plait_deferred_add_both(d, note_outcome, &o);
	ck_assert_msg(!o.fired, "from inside the call");
	run_until_set(reactor, &o.fired);
	ck_assert_str_eq(o.text, text);
	plait_deferred_free(&d);
}

static struct plait_deferred *resolve_as(const char *name, int family)
{
	return plait_resolve(reactor, name,
			     &(struct plait_resolve_options){
				     .family = family,
				     .resolver = resolver,
			     });
}

static struct plait_deferred *resolve(const char *name)
{
	return resolve_as(name, 0);
}

#define BOTH(name)                                                             \
	name " A: answer " name " 60 A 192.0.2.1 |" name " AAAA: answer " name \
	     " 60 AAAA 2001:db8::1 |"

/* ---- names that say themselves what they mean ---------------------------- */

GROUP("special");

static const struct {
	const char *name, *outcome;
	int family;
} specials[] = {
	{ "192.0.2.7", "192.0.2.7", 0 },
	{ "192.0.2.7", "192.0.2.7", AF_INET },
	{ "192.0.2.7", "DNSNoDataError", AF_INET6 },
	{ "2001:db8::7", "2001:db8::7", 0 },
	{ "2001:db8::7", "DNSNoDataError", AF_INET },
	{ "fe80::1%1", "fe80::1%1", 0 },
	{ "localhost", "::1, 127.0.0.1", 0 },
	{ "localhost", "127.0.0.1", AF_INET },
	{ "localhost.", "::1, 127.0.0.1", 0 },
	{ "a.b.LOCALHOST", "::1, 127.0.0.1", 0 },
	{ "a.onion", "DNSRefusedError", 0 },
	{ "onion", "DNSRefusedError", 0 },
	{ "a.invalid", "DNSNoNameError", 0 },
	{ "", "DNSBadNameError", 0 },
	{ "a..b", "DNSBadNameError", 0 },
	{ ".a", "DNSBadNameError", 0 },
	{ "a\nb", "DNSBadNameError", 0 },
};

TEST(special_names_are_never_asked_for, ON_EACH_KERNEL, EACH_OF(specials))
{
	world_begin(&(struct world){ .resolv_conf = "search example\n" });
	expect_outcome(resolve_as(specials[_i].name, specials[_i].family),
		       specials[_i].outcome);
	ck_assert_uint_eq(zone.asked, 0);
	world_end();
}

TEST(a_name_that_is_too_long_is_no_name, ON_EACH_KERNEL)
{
	char name[256 + 1];

	for (int i = 0; i < 256; i++)
		name[i] = i % 10 == 9 ? '.' : 'a';
	name[256] = '\0';
	world_begin(&(struct world){ .known = "" });
	expect_outcome(resolve(name), "DNSBadNameError");
	memset(name, 'a', 64);
	name[64] = '\0';
	expect_outcome(resolve(name), "DNSBadNameError");
	ck_assert_uint_eq(zone.asked, 0);
	world_end();
}

#define TEN "aaaaaaaaaa"
#define SIXTY TEN TEN TEN TEN TEN TEN
#define BAD " is empty, or has an empty label or a control character"

static const struct {
	const char *name, *message;
} bad_names[] = {
	{ "", "\"\"" BAD },
	{ "a..b", "\"a..b\"" BAD },
	{ "a\033[2Jb\377", "\"a\\027[2Jb\\255\"" BAD },
	{ SIXTY TEN, "\"" SIXTY "...\" is too long, or a label of it is" },
	{ TEN ".." SIXTY, "\"" TEN ".." TEN TEN TEN TEN "aaaaaaaa...\"" BAD },
};

/* In a form that can neither command a terminal nor fill a log. */
TEST(a_bad_name_is_named, ON_EACH_KERNEL, EACH_OF(bad_names))
{
	struct plait_deferred *d[2];

	world_begin(&(struct world){ .known = "" });
	d[0] = resolve(bad_names[_i].name);
	d[1] = plait_dns_query(resolver, bad_names[_i].name, PLAIT_DNS_A);
	run_turns(reactor, 2);
	for (int i = 0; i < 2; i++) {
		const struct plait_failure *why =
			plait_value_failure(plait_deferred_result(d[i]));

		ck_assert_ptr_eq(plait_failure_kind(why),
				 &plait_error_dns_bad_name);
		ck_assert_str_eq(plait_failure_message(why),
				 bad_names[_i].message);
		plait_deferred_add_errback(d[i], note_outcome,
					   &(struct outcome){ .text = "" });
		plait_deferred_free(&d[i]);
	}
	world_end();
}

TEST(a_numeric_address_is_good_for_ever, ON_EACH_KERNEL)
{
	struct plait_deferred *d;
	const struct plait_addresses *a;
	plait_value v;

	world_begin(&(struct world){ .known = "" });
	d = plait_resolve(reactor, "192.0.2.7",
			  &(struct plait_resolve_options){
				  .port = 80, .resolver = resolver });
	run_turns(reactor, 2);
	v = plait_value_ref(plait_deferred_result(d));
	plait_deferred_free(&d);
	a = plait_value_addresses(&v);
	ck_assert(isinf(a->ttl));
	ck_assert_uint_eq(a->count, 1);
	ck_assert_uint_eq(plait_address_port(&a->items[0]), 80);
	ck_assert_str_eq(a->name, "192.0.2.7");
	plait_value_free(&v);
	world_end();
}

/* ---- what is asked, and what comes of it --------------------------------- */

GROUP("lookup");

/* With any name before it this is too long. */
#define LABEL "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghij"
#define LONG LABEL "." LABEL "." LABEL "." LABEL ".abcdefgh"

/* Nine in a row. */
#define ALIASES(c)                                                             \
	"answer " c "1 60 CNAME " c "2; answer " c "2 60 CNAME " c "3;"        \
	"answer " c "3 60 CNAME " c "4; answer " c "4 60 CNAME " c "5;"        \
	"answer " c "5 60 CNAME " c "6; answer " c "6 60 CNAME " c "7;"        \
	"answer " c "7 60 CNAME " c "8; answer " c "8 60 CNAME " c "9;"        \
	"answer " c "9 60 CNAME " c "10"

#define LINK(from, to) from " A: answer " from " 60 CNAME " to "|"

#define HOSTS "192.0.2.9 a.example alias\n2001:db8::9 six.example\n"

static const struct {
	struct world world;
	const char *name;
	int family;
	const char *outcome, *log;
} lookups[] = {
	/* Both families. */
	{ { .known = BOTH("a.example") },
	  "a.example",
	  0,
	  "2001:db8::1, 192.0.2.1",
	  "AAAA a.example A a.example" },
	{ { .known = BOTH("a.example") },
	  "a.example",
	  AF_INET,
	  "192.0.2.1",
	  "A a.example" },
	{ { .known = BOTH("a.example") },
	  "a.example",
	  AF_INET6,
	  "2001:db8::1",
	  "AAAA a.example" },
	{ { .known = BOTH("a.example"), .resolv_conf = "options no-aaaa\n" },
	  "a.example",
	  0,
	  "192.0.2.1",
	  "A a.example" },
	{ { .known = BOTH("a.example"), .resolv_conf = "options no-aaaa\n" },
	  "a.example",
	  AF_INET6,
	  "DNSNoDataError",
	  "" },
	{ { .known = BOTH("a.example"),
	    .resolv_conf = "options single-request\n" },
	  "a.example",
	  0,
	  "2001:db8::1, 192.0.2.1",
	  "A a.example AAAA a.example" },
	/* One of them, none, or an error. */
	{ { .known = "a.example A: answer a.example 60 A 192.0.2.1" },
	  "a.example",
	  0,
	  "192.0.2.1",
	  "AAAA a.example A a.example" },
	{ { .known = "a.example A: answer a.example 60 A 192.0.2.1 |"
		     "a.example AAAA: rcode 2" },
	  "a.example",
	  0,
	  "192.0.2.1",
	  "AAAA a.example A a.example" },
	{ { .known = "a.example A: rcode 2 |"
		     "a.example AAAA: answer a.example 60 AAAA 2001:db8::1" },
	  "a.example",
	  0,
	  "2001:db8::1",
	  "AAAA a.example A a.example" },
	{ { .known = "a.example MX: answer a.example 60 MX 1 b.example" },
	  "a.example",
	  0,
	  "DNSNoDataError",
	  "AAAA a.example A a.example" },
	{ { .known = "" },
	  "a.example",
	  0,
	  "DNSNoNameError",
	  "AAAA a.example A a.example" },
	{ { .known = "a.example *: rcode 2" },
	  "a.example",
	  0,
	  "DNSServerFailureError",
	  "AAAA a.example A a.example" },
	{ { .known = "a.example *: rcode 5" },
	  "a.example",
	  0,
	  "DNSRefusedError",
	  "AAAA a.example A a.example" },
	{ { .known = "a.example AAAA: rcode 2" },
	  "a.example",
	  0,
	  "DNSServerFailureError",
	  "AAAA a.example A a.example" },
	/* Aliases. */
	{ { .known = "b.example A: answer b.example 60 CNAME a.example; "
		     "answer a.example 60 A 192.0.2.1" },
	  "b.example",
	  AF_INET,
	  "192.0.2.1",
	  "A b.example" },
	{ { .known = "b.example A: answer b.example 60 CNAME a.example |" BOTH(
		    "a.example") },
	  "b.example",
	  AF_INET,
	  "192.0.2.1",
	  "A b.example A a.example" },
	{ { .known = "b.example A: answer b.example 60 CNAME a.example |"
		     "a.example A: answer a.example 60 CNAME b.example |" },
	  "b.example",
	  AF_INET,
	  "DNSMalformedError",
	  "A b.example A a.example" },
	/* ... each in its own answer. */
	{ { .known = LINK("n1", "n2") LINK("n2", "n3") LINK("n3", "n4") LINK(
		    "n4", "n5") LINK("n5", "n6") LINK("n6", "n7") LINK("n7",
								       "n8")
		    LINK("n8", "n9") LINK("n9", "n10") LINK("n10", "n11") LINK(
			    "n11", "n12") LINK("n12",
					       "n13") LINK("n13",
							   "n14") LINK("n14",
								       "n15")
			    LINK("n15", "n16") LINK("n16", "n17") LINK(
				    "n17",
				    "n18") "n18 A: answer n18 60 A 192.0.2.1" },
	  "n1.",
	  AF_INET,
	  "DNSMalformedError",
	  "A n1 A n2 A n3 A n4 A n5 A n6 A n7 A n8 A n9 A n10 A n11 A n12 A "
	  "n13 A n14 A n15 A n16 A n17" },
	/* ... that leads into a circle. */
	{ { .known = "b.example A: answer b.example 60 CNAME a.example |"
		     "a.example A: answer a.example 60 CNAME c.example |"
		     "c.example A: answer c.example 60 CNAME A.EXAMPLE |" },
	  "b.example",
	  AF_INET,
	  "DNSMalformedError",
	  "A b.example A a.example A c.example" },
	/* ... more than are followed, in two answers. */
	{ { .known = "b.example A: answer b.example 60 CNAME c1;" ALIASES(
		    "c") "|c10 A: answer c10 60 CNAME "
			 "d1;" ALIASES("d") ";"
					    "answer d10 60 A "
					    "192.0.2.1" },
	  "b.example",
	  AF_INET,
	  "DNSMalformedError",
	  "A b.example A c10" },
	{ { .known = "b.example A: answer b.example 60 CNAME no.example |" },
	  "b.example",
	  AF_INET,
	  "DNSNoNameError",
	  "A b.example A no.example" },
	/* The search list. */
	{ { .known = BOTH("a.example"), .resolv_conf = "search x example\n" },
	  "a",
	  AF_INET,
	  "192.0.2.1",
	  "A a.x A a.example" },
	{ { .known = BOTH("a"), .resolv_conf = "search x example\n" },
	  "a",
	  AF_INET,
	  "192.0.2.1",
	  "A a.x A a.example A a" },
	{ { .known = BOTH("a.b"), .resolv_conf = "search x\n" },
	  "a.b",
	  AF_INET,
	  "192.0.2.1",
	  "A a.b" },
	{ { .known = BOTH("a.b.x"), .resolv_conf = "search x\n" },
	  "a.b",
	  AF_INET,
	  "192.0.2.1",
	  "A a.b A a.b.x" },
	{ { .known = BOTH("a.b"),
	    .resolv_conf = "search x\noptions ndots:2\n" },
	  "a.b",
	  AF_INET,
	  "192.0.2.1",
	  "A a.b.x A a.b" },
	{ { .known = BOTH("a"), .resolv_conf = "search x\n" },
	  "a.",
	  AF_INET,
	  "192.0.2.1",
	  "A a" },
	{ { .known = BOTH("a.y"), .resolv_conf = "search " LONG " y\n" },
	  "a",
	  AF_INET,
	  "192.0.2.1",
	  "A a.y" },
	/* ... of domains that are none, of which the first is the root. */
	{ { .known = BOTH("a.example"),
	    .resolv_conf = "search .. a..b \\ x\\256 \001 example\n" },
	  "a",
	  AF_INET,
	  "192.0.2.1",
	  "A a A a.example" },
	/* A name without data is remembered; an error ends the search. */
	{ { .known = "a.x MX: answer a.x 60 MX 1 b",
	    .resolv_conf = "search x y\n" },
	  "a",
	  AF_INET,
	  "DNSNoDataError",
	  "A a.x A a.y A a" },
	{ { .known = "a.x MX: answer a.x 60 MX 1 b |" BOTH("a.y"),
	    .resolv_conf = "search x y\n" },
	  "a",
	  AF_INET,
	  "192.0.2.1",
	  "A a.x A a.y" },
	{ { .known = "a.x A: rcode 2 |" BOTH("a.y"),
	    .resolv_conf = "search x y\n" },
	  "a",
	  AF_INET,
	  "DNSServerFailureError",
	  "A a.x" },
	/* Files. */
	{ { .hosts = HOSTS }, "a.example", 0, "192.0.2.9", "" },
	{ { .hosts = HOSTS }, "ALIAS", 0, "192.0.2.9", "" },
	{ { .hosts = HOSTS }, "six.example", 0, "2001:db8::9", "" },
	/* ... as its bytes are there. */
	{ { .hosts = "192.0.2.9 b\303\274cher a$b @(c)\n" },
	  "B\303\274cher",
	  0,
	  "192.0.2.9",
	  "" },
	{ { .hosts = "192.0.2.9 b\303\274cher a$b @(c)\n" },
	  "a$b",
	  0,
	  "192.0.2.9",
	  "" },
	{ { .hosts = "192.0.2.9 b\303\274cher a$b @(c)\n" },
	  "@(c).",
	  0,
	  "192.0.2.9",
	  "" },
	{ { .hosts = "192.0.2.9 a.b a\\.b a\\\n",
	    .nsswitch = "hosts: files\n" },
	  "a\\.b",
	  0,
	  "DNSNoNameError",
	  "" },
	{ { .known = BOTH("a.example"), .hosts = HOSTS },
	  "a.example",
	  AF_INET6,
	  "2001:db8::1",
	  "AAAA a.example" },
	{ { .known = BOTH("a.example"),
	    .hosts = HOSTS,
	    .nsswitch = "hosts: dns files\n" },
	  "a.example",
	  AF_INET,
	  "192.0.2.1",
	  "A a.example" },
	{ { .hosts = HOSTS, .nsswitch = "hosts: dns files\n" },
	  "alias",
	  AF_INET,
	  "192.0.2.9",
	  "A alias" },
	{ { .hosts = HOSTS,
	    .nsswitch = "hosts: dns [NOTFOUND=return] files\n" },
	  "alias",
	  AF_INET,
	  "DNSNoNameError",
	  "A alias" },
	{ { .known = BOTH("a.example"), .nsswitch = "hosts: files\n" },
	  "a.example",
	  0,
	  "DNSNoNameError",
	  "" },
	{ { .known = BOTH("a.example"), .nsswitch = "hosts: ldap\n" },
	  "a.example",
	  0,
	  "DNSLookupError",
	  "" },
};

TEST(a_lookup_asks_as_the_files_say, ON_EACH_KERNEL, EACH_OF(lookups))
{
	world_begin(&lookups[_i].world);
	expect_outcome(resolve_as(lookups[_i].name, lookups[_i].family),
		       lookups[_i].outcome);
	ck_assert_str_eq(zone_log(&zone), lookups[_i].log);
	world_end();
}

TEST(no_domain_is_added_to_a_whole_name, ON_EACH_KERNEL)
{
	world_begin(&(struct world){ .known = BOTH("a.x"),
				     .resolv_conf = "search x\n" });
	expect_outcome(plait_resolve(reactor, "a",
				     &(struct plait_resolve_options){
					     .no_search = true,
					     .family = AF_INET,
					     .resolver = resolver }),
		       "DNSNoNameError");
	ck_assert_str_eq(zone_log(&zone), "A a");
	world_end();
}

/* Who has the addresses, and for how long. */
static const struct {
	struct world world;
	const char *asked, *name;
	int family;
	double ttl;
} named[] = {
	{ { .known = "b.example A: answer b.example 30 CNAME a.example; "
		     "answer a.example 60 A 192.0.2.1" },
	  "b.example",
	  "a.example",
	  AF_INET,
	  30 },
	/* In the hosts file it is the first name of the line. */
	{ { .hosts = HOSTS }, "ALIAS", "a.example", 0, 1 },
	{ { .hosts = HOSTS }, "a.example", "a.example", 0, 1 },
	{ { .hosts = "::1 six alias\n192.0.2.9 four alias\n" },
	  "alias",
	  "six",
	  0,
	  1 },
	{ { .hosts = "::1 six alias\n192.0.2.9 four alias\n" },
	  "alias",
	  "four",
	  AF_INET,
	  1 },
	/* ... unless that cannot be a name. */
	{ { .hosts = "192.0.2.9 a..b alias\n" }, "alias", "alias", 0, 1 },
};

TEST(the_name_behind_the_aliases_is_told, ON_EACH_KERNEL, EACH_OF(named))
{
	struct plait_deferred *d;
	const struct plait_addresses *a;

	world_begin(&named[_i].world);
	d = resolve_as(named[_i].asked, named[_i].family);
	while (plait_deferred_result(d) == NULL)
		run_turns(reactor, 1);
	a = plait_value_addresses(plait_deferred_result(d));
	ck_assert_str_eq(a->name, named[_i].name);
	ck_assert_double_eq(a->ttl, named[_i].ttl);
	/* The server is named if it has told. */
	ck_assert(!a->cached);
	ck_assert_int_eq(plait_address_family(&a->server),
			 named[_i].world.known != NULL ? AF_INET : AF_UNSPEC);
	ck_assert_uint_eq(plait_address_port(&a->server),
			  named[_i].world.known != NULL
				  ? plait_address_port(&zone.address)
				  : 0);
	plait_deferred_free(&d);
	world_end();
}

/* ---- remembering --------------------------------------------------------- */

GROUP("cache");

TEST(that_addresses_were_remembered_is_told, ON_EACH_KERNEL)
{
	world_begin(&(struct world){ .known = BOTH("a.example") });
	for (int i = 0; i < 2; i++) {
		struct plait_deferred *d = resolve("a.example");
		const struct plait_addresses *a;

		while (plait_deferred_result(d) == NULL)
			run_turns(reactor, 1);
		a = plait_value_addresses(plait_deferred_result(d));
		ck_assert(a->cached == (i == 1));
		ck_assert(plait_address_equal(&a->server, &zone.address));
		plait_deferred_free(&d);
	}
	world_end();
}

TEST(what_was_answered_is_not_asked_again, ON_EACH_KERNEL)
{
	world_begin(&(struct world){ .known = BOTH("a.example") });
	for (int i = 0; i < 3; i++)
		expect_outcome(resolve("A.example"), "2001:db8::1, 192.0.2.1");
	expect_outcome(resolve("a.example."), "2001:db8::1, 192.0.2.1");
	ck_assert_str_eq(zone_log(&zone), "AAAA a.example A a.example");
	world_end();
}

TEST(without_a_cache_it_is, ON_EACH_KERNEL)
{
	struct world w = { .known = BOTH("a.example") };
	struct plait_resolver_options o;

	world_begin(&w);
	plait_resolver_free(&resolver);
	o = options_of(&w);
	o.cache_size = 1;
	resolver = plait_resolver_new(reactor, &o);
	for (int i = 0; i < 2; i++)
		expect_outcome(resolve_as("a.example", AF_INET), "192.0.2.1");
	ck_assert_str_eq(zone_log(&zone), "A a.example A a.example");
	world_end();
}

TEST(what_is_not_there_is_remembered, ON_EACH_KERNEL)
{
	world_begin(&(struct world){ .known = "b.example MX: drop |"
					      "c.example A: rcode 2" });
	for (int i = 0; i < 2; i++) {
		expect_outcome(resolve_as("a.example", AF_INET),
			       "DNSNoNameError");
		expect_outcome(resolve_as("b.example", AF_INET),
			       "DNSNoDataError");
		expect_outcome(resolve_as("c.example", AF_INET),
			       "DNSServerFailureError");
	}
	/* That there is no such name holds for all types. */
	expect_outcome(resolve_as("a.example", AF_INET6), "DNSNoNameError");
	ck_assert_str_eq(zone_log(&zone),
			 "A a.example A b.example A c.example");
	world_end();
}

TEST(a_chain_of_several_answers_is_told_as_one, ON_EACH_KERNEL)
{
	struct plait_deferred *d;
	const struct plait_dns_answer *a;

	world_begin(&(struct world){
		.known = "c.example A: answer c.example 50 CNAME b.example |"
			 "b.example A: answer b.example 40 CNAME a.example "
			 "|" BOTH("a.example") });
	d = plait_dns_query(resolver, "c.example", PLAIT_DNS_A);
	while (plait_deferred_result(d) == NULL)
		run_turns(reactor, 1);
	a = plait_value_dns_answer(plait_deferred_result(d));
	ck_assert_str_eq(a->name, "c.example");
	ck_assert_uint_eq(a->ttl, 40);
	ck_assert_uint_eq(a->n_aliases, 2);
	ck_assert_str_eq(a->aliases[0].name, "c.example");
	ck_assert_str_eq(a->aliases[0].data.host, "b.example");
	ck_assert_str_eq(a->aliases[1].data.host, "a.example");
	ck_assert_str_eq(a->records[0].name, "a.example");
	plait_deferred_free(&d);
	world_end();
}

TEST(a_chain_is_remembered_under_its_first_name, ON_EACH_KERNEL)
{
	world_begin(&(struct world){
		.known = "b.example A: answer b.example 60 CNAME a.example "
			 "|" BOTH("a.example") });
	for (int i = 0; i < 2; i++)
		expect_outcome(resolve_as("b.example", AF_INET), "192.0.2.1");
	ck_assert_str_eq(zone_log(&zone), "A b.example A a.example");
	world_end();
}

TEST(answers_are_forgotten_in_time, ON_EACH_KERNEL)
{
	clock_virtual(true);
	world_begin(&(struct world){ .known = BOTH("a.example") });
	expect_outcome(resolve_as("a.example", AF_INET), "192.0.2.1");
	clock_advance(59);
	expect_outcome(resolve_as("a.example", AF_INET), "192.0.2.1");
	ck_assert_str_eq(zone_log(&zone), "A a.example");
	clock_advance(2);
	expect_outcome(resolve_as("a.example", AF_INET), "192.0.2.1");
	ck_assert_str_eq(zone_log(&zone), "A a.example");
	world_end();
}

TEST(a_change_of_the_files_counts_within_a_second, ON_EACH_KERNEL)
{
	struct world w = { .known = BOTH("a.x") BOTH("a.y"),
			   .resolv_conf = "search x\n" };

	clock_virtual(true);
	world_begin(&w);
	expect_outcome(resolve_as("a", AF_INET), "192.0.2.1");
	ck_assert_str_eq(zone_log(&zone), "A a.x");
	file_write(paths[1], "search yy y\n");
	clock_advance(1.1);
	expect_outcome(resolve_as("a", AF_INET), "192.0.2.1");
	ck_assert_str_eq(zone_log(&zone), "A a.yy A a.y");
	/* What was remembered may be from other servers. */
	file_write(paths[1], "search x\noptions ndots:1\n");
	clock_advance(1.1);
	expect_outcome(resolve_as("a", AF_INET), "192.0.2.1");
	ck_assert_str_eq(zone_log(&zone), "A a.x");
	world_end();
}

/* In turns that do not wait, and so in no time. */
static void resolve_at_once(const char *text)
{
	struct outcome o = { .fired = false };
	struct plait_deferred *d = resolve("a.example");

	plait_deferred_add_both(d, note_outcome, &o);
	run_turns(reactor, 2);
	ck_assert_str_eq(o.text, text);
	plait_deferred_free(&d);
}

TEST(a_remembered_lookup_makes_no_system_call, ON_EACH_BACKEND)
{
	clock_virtual(true);
	world_begin(&(struct world){ .known = BOTH("a.example") });
	expect_outcome(resolve("a.example"), "2001:db8::1, 192.0.2.1");
	clock_advance(1.5);
	for (int i = 0; i < 100; i++) {
		if (i == 1)
			calls_reset();
		clock_advance(0.005);
		resolve_at_once("2001:db8::1, 192.0.2.1");
	}
	ck_assert_uint_eq(calls_of("socket"), 0);
	ck_assert_uint_eq(calls_of("stat"), 0);
	ck_assert_uint_eq(calls_of("open"), 0);
	ck_assert_uint_eq(calls_of("recv"), 0);
	clock_advance(1.5);
	for (int i = 0; i < 100; i++)
		resolve_at_once("2001:db8::1, 192.0.2.1");
	ck_assert_uint_eq(calls_of("stat"), 3);
	ck_assert_uint_eq(calls_of("open"), 0);
	ck_assert_uint_eq(zone.asked, 2);
	world_end();
}

/* ---- sharing and ending -------------------------------------------------- */

GROUP("sharing");

TEST(equal_questions_are_asked_once, ON_EACH_KERNEL)
{
	struct outcome o[3] = { { .fired = false } };
	struct plait_deferred *d[3];

	world_begin(&(struct world){ .known = BOTH("a.example") });
	for (int i = 0; i < 3; i++) {
		d[i] = resolve_as(i == 1 ? "A.EXAMPLE" : "a.example", AF_INET);
		plait_deferred_add_both(d[i], note_outcome, &o[i]);
	}
	/* The others wait on. */
	plait_deferred_free(&d[_i]);
	for (int i = 0; i < 3; i++)
		run_until_set(reactor, &o[i].fired);
	for (int i = 0; i < 3; i++) {
		ck_assert_str_eq(o[i].text,
				 i == _i ? "CancelledError" : "192.0.2.1");
		plait_deferred_free(&d[i]);
	}
	ck_assert_str_eq(zone_log(&zone), "A a.example");
	world_end();
}

TEST(the_last_who_is_cancelled_ends_the_question, ON_EACH_BACKEND)
{
	struct plait_deferred *d[2];
	struct fd_table *fds;

	world_begin(&(struct world){ .known = "a.example *: drop" });
	run_turns(reactor, 2);
	fds = fd_table_new();
	for (int i = 0; i < 2; i++)
		d[i] = resolve("a.example");
	run_turns(reactor, 3);
	plait_deferred_free(&d[0]);
	run_turns(reactor, 1);
	ck_assert(fd_table_check(&fds) > 0);
	fds = fd_table_new();
	plait_deferred_free(&d[1]);
	run_turns(reactor, 1);
	ck_assert(fd_table_check(&fds) > 0);
	world_end();
}

TEST(a_lookup_ends_in_its_time, ON_EACH_KERNEL)
{
	struct plait_deferred *d;
	struct outcome o = { .fired = false };

	clock_virtual(true);
	world_begin(&(struct world){ .known = "a.example *: drop" });
	d = plait_resolve(reactor, "a.example",
			  &(struct plait_resolve_options){
				  .timeout = 3, .resolver = resolver });
	plait_deferred_add_both(d, note_outcome, &o);
	run_for(reactor, 2.9);
	ck_assert(!o.fired);
	run_for(reactor, 0.2);
	ck_assert_str_eq(o.text, "DNSTimeoutError");
	plait_deferred_free(&d);
	world_end();
}

/* resolv.conf has an end nevertheless. */
TEST(a_lookup_may_have_no_end_of_its_own, ON_EACH_KERNEL, TIMES(2))
{
	struct plait_resolve_options options = { .timeout = INFINITY,
						 .family = AF_INET };

	clock_virtual(true);
	world_begin(&(struct world){
		.known = _i == 0 ? BOTH("a.example") : "a.example *: drop",
		.resolv_conf = "options attempts:1 timeout:1\n" });
	options.resolver = resolver;
	expect_outcome(plait_resolve(reactor, "a.example", &options),
		       _i == 0 ? "192.0.2.1" : "DNSTimeoutError");
	world_end();
}

TEST(one_family_is_enough_when_the_time_is_up, ON_EACH_KERNEL)
{
	clock_virtual(true);
	world_begin(&(struct world){
		.known = "a.example A: answer a.example 60 A 192.0.2.1 |"
			 "a.example AAAA: drop" });
	expect_outcome(
		plait_resolve(reactor, "a.example",
			      &(struct plait_resolve_options){
				      .timeout = 3, .resolver = resolver }),
		"192.0.2.1");
	world_end();
}

static plait_value free_resolver(plait_value *result, void *arg)
{
	plait_resolver_free(&resolver);
	return PLAIT_NONE;
}

TEST(whoever_is_told_may_free_the_resolver, ON_EACH_KERNEL)
{
	struct outcome o[2] = { { .fired = false } };
	struct plait_deferred *d[2];

	world_begin(&(struct world){ .known = BOTH("a.example") });
	for (int i = 0; i < 2; i++) {
		d[i] = resolve_as("a.example", AF_INET);
		plait_deferred_add_both(d[i], note_outcome, &o[i]);
		plait_deferred_add_both(d[i], free_resolver, NULL);
	}
	run_until_set(reactor, &o[1].fired);
	ck_assert_str_eq(o[0].text, "192.0.2.1");
	ck_assert_str_eq(o[1].text, "AbandonedError");
	for (int i = 0; i < 2; i++)
		plait_deferred_free(&d[i]);
	world_end();
}

TEST(a_query_ends_in_its_time_beside_one_with_more, ON_EACH_KERNEL)
{
	struct world w = { .known = "a.example *: drop",
			   .resolv_conf = "options timeout:30 attempts:5\n" };
	struct plait_resolver_options options;
	struct plait_deferred *d[2];
	struct outcome o = { .fired = false };

	clock_virtual(true);
	world_begin(&w);
	plait_resolver_free(&resolver);
	options = options_of(&w);
	options.timeout = 3;
	resolver = plait_resolver_new(reactor, &options);
	d[0] = plait_resolve(
		reactor, "a.example",
		&(struct plait_resolve_options){ .family = AF_INET,
						 .timeout = 60,
						 .resolver = resolver });
	d[1] = plait_dns_query(resolver, "a.example", PLAIT_DNS_A);
	plait_deferred_add_both(d[1], note_outcome, &o);
	run_for(reactor, 2.9);
	ck_assert(!o.fired);
	run_for(reactor, 0.2);
	ck_assert_str_eq(o.text, "DNSTimeoutError");
	ck_assert(!plait_deferred_is_fired(d[0]));
	plait_deferred_free(&d[0]);
	plait_deferred_free(&d[1]);
	world_end();
}

TEST(freeing_a_resolver_fails_all_before_it_returns, ON_EACH_KERNEL)
{
	struct outcome o[4] = { { .fired = false } };
	struct plait_deferred *d[4];
	struct plait_address a;

	plait_address_parse(&a, "192.0.2.1", 0);
	world_begin(
		&(struct world){ .known = "a.example *: drop |"
					  "1.2.0.192.in-addr.arpa *: drop" });
	d[0] = resolve("a.example");
	d[1] = plait_dns_query(resolver, "a.example", PLAIT_DNS_MX);
	d[2] = plait_resolve_address(
		reactor, &a,
		&(struct plait_resolve_options){ .resolver = resolver });
	d[3] = resolve("192.0.2.1");
	for (int i = 0; i < 4; i++)
		plait_deferred_add_both(d[i], note_outcome, &o[i]);
	plait_resolver_free(&resolver);
	for (int i = 0; i < 4; i++) {
		ck_assert(o[i].fired);
		ck_assert_str_eq(o[i].text, "AbandonedError");
		plait_deferred_free(&d[i]);
	}
	world_end();
}

/* It has the handle of a resolver that is being freed. */
static plait_value query_again(plait_value *result, void *arg)
{
	struct outcome *o = arg;
	struct plait_deferred *d =
		plait_dns_query(o->resolver, "b.example", PLAIT_DNS_A);

	ck_assert(plait_deferred_is_fired(d));
	plait_deferred_add_both(d, note_outcome, o);
	plait_deferred_free(&d);
	return PLAIT_NONE;
}

TEST(what_is_begun_while_a_resolver_is_freed_fails_at_once, ON_EACH_KERNEL)
{
	struct outcome o = { .fired = false };
	struct plait_deferred *d;

	world_begin(&(struct world){ .known = "a.example *: drop" });
	o.resolver = resolver;
	d = resolve("a.example");
	plait_deferred_add_both(d, query_again, &o);
	plait_resolver_free(&resolver);
	ck_assert_str_eq(o.text, "AbandonedError");
	plait_deferred_free(&d);
	world_end();
}

static plait_value free_reactor(plait_value *result, void *arg)
{
	plait_reactor_free(&reactor);
	return PLAIT_NONE;
}

/* The resolver lies in its reactor, and is being freed itself. */
TEST(who_is_told_of_its_end_may_not_free_the_reactor, ON_EACH_BACKEND, ABORTS)
{
	struct plait_deferred *d;

	world_begin(&(struct world){ .known = "a.example *: drop" });
	d = resolve("a.example");
	plait_deferred_add_both(d, free_reactor, NULL);
	plait_resolver_free(&resolver);
}

static plait_value resolve_again(plait_value *result, void *arg)
{
	unsigned *times = arg;
	struct plait_deferred *d;

	if (++*times > 1000)
		return PLAIT_NONE;
	d = plait_resolve(
		reactor, "a.example",
		&(struct plait_resolve_options){
			.resolver = *(struct plait_resolver **)&resolver });
	plait_deferred_add_errback(d, note_outcome,
				   &(struct outcome){ .fired = false });
	plait_deferred_free(&d);
	return PLAIT_NONE;
}

TEST(what_is_begun_while_the_reactor_is_freed_fails, ON_EACH_BACKEND)
{
	unsigned times = 0;
	struct plait_deferred *d;

	world_begin(&(struct world){ .known = "a.example *: drop" });
	d = resolve("a.example");
	plait_deferred_add_both(d, resolve_again, &times);
	run_turns(reactor, 2);
	zone_stop(&zone);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(times, 1);
	plait_deferred_free(&d);
	plait_resolver_free(&resolver);
	ck_assert_ptr_null(resolver);
	remove_files();
}

TEST(the_reactors_resolver_is_one_and_goes_with_it, ON_EACH_KERNEL)
{
	struct outcome o = { .fired = false };
	struct plait_resolver *rs = plait_reactor_resolver(reactor);
	struct plait_deferred *d;

	ck_assert_ptr_nonnull(rs);
	ck_assert_ptr_eq(rs, plait_reactor_resolver(reactor));
	d = plait_resolve(reactor, "localhost", NULL);
	plait_deferred_add_both(d, note_outcome, &o);
	plait_reactor_free(&reactor);
	ck_assert(o.fired);
	plait_deferred_free(&d);
}

TEST(the_reactors_resolver_is_not_the_programs_to_free, ON_EACH_BACKEND, ABORTS)
{
	struct plait_resolver *rs = plait_reactor_resolver(reactor);

	plait_resolver_free(&rs);
}

/* ---- the other way, and records ------------------------------------------ */

GROUP("others");

static struct plait_deferred *reverse(const char *text)
{
	struct plait_address a;

	ck_assert_int_eq(plait_address_parse(&a, text, 80), 0);
	return plait_resolve_address(
		reactor, &a,
		&(struct plait_resolve_options){ .resolver = resolver });
}

TEST(an_address_has_names, ON_EACH_KERNEL)
{
	world_begin(&(struct world){
		.known = "1.2.0.192.in-addr.arpa PTR: "
			 "answer 1.2.0.192.in-addr.arpa 60 PTR a.example; "
			 "answer 1.2.0.192.in-addr.arpa 60 PTR b.example",
		.hosts = HOSTS });
	expect_outcome(reverse("192.0.2.9"), "a.example");
	ck_assert_uint_eq(zone.asked, 0);
	expect_outcome(reverse("192.0.2.1"), "a.example, b.example");
	expect_outcome(reverse("192.0.2.1"), "a.example, b.example");
	expect_outcome(reverse("192.0.2.2"), "DNSNoNameError");
	ck_assert_str_eq(zone_log(&zone), "PTR 1.2.0.192.in-addr.arpa "
					  "PTR 2.2.0.192.in-addr.arpa");
	world_end();
}

TEST(records_of_any_type_are_told, ON_EACH_KERNEL)
{
	struct plait_deferred *d;
	const struct plait_dns_answer *a;

	world_begin(&(struct world){
		.known = "a.example MX: answer a.example 60 MX 10 b.example",
		.hosts = HOSTS,
		.resolv_conf = "search x\n" });
	for (int i = 0; i < 2; i++) {
		d = plait_dns_query(resolver, "a.example", PLAIT_DNS_MX);
		ck_assert(!plait_deferred_is_fired(d));
		while (plait_deferred_result(d) == NULL)
			run_turns(reactor, 1);
		a = plait_value_dns_answer(plait_deferred_result(d));
		ck_assert_uint_eq(a->count, 1);
		ck_assert_uint_eq(a->records[0].data.mx.preference, 10);
		ck_assert_str_eq(a->records[0].data.mx.host, "b.example");
		ck_assert(plait_address_equal(&a->server, &zone.address));
		ck_assert_int_eq(a->cached, i == 1);
		plait_deferred_free(&d);
	}
	expect_outcome(plait_dns_query(resolver, "a", PLAIT_DNS_A),
		       "DNSNoNameError");
	ck_assert_str_eq(zone_log(&zone), "MX a.example A a");
	world_end();
}

/* ---- many, and without memory -------------------------------------------- */

GROUP("many", .timeout = 120);

/*
 * So many lookups, of which 500 are under way at a time; of each 20 questions
 * one gets no answer.  $PLAIT_SEEDS makes them fifty for each.
 */
enum { IN_FLIGHT = 500, MANY = 5000 };

static unsigned begun, ended, wanted, timeouts;

static unsigned how_many(void)
{
	const char *n = getenv("PLAIT_SEEDS");

	return n != NULL ? 50 * (unsigned)atoi(n) : MANY;
}

static void begin_another(void);

/* If both questions to the only server are lost, nothing is found out. */
static plait_value end_one(plait_value *result, void *arg)
{
	const struct plait_failure *why;

	ended++;
	begin_another();
	if (!plait_value_is_failure(result)) {
		ck_assert_uint_eq(plait_value_addresses(result)->count, 1);
		return PLAIT_NONE;
	}
	why = plait_value_failure(result);
	if (plait_failure_check(why, &plait_error_dns_timeout))
		timeouts++;
	else
		ck_assert(plait_failure_check(why, &plait_error_dns_no_name));
	return PLAIT_NONE;
}

/* Half of the names exist; names come again. */
static void begin_another(void)
{
	char name[40];
	struct plait_deferred *d;

	if (begun == wanted)
		return;
	begun++;
	snprintf(name, sizeof(name), "%s%u.example",
		 begun % 2 == 0 ? "a" : "no",
		 begun % 3 == 0 ? begun / 7 : begun);
	d = resolve_as(name, AF_INET);
	plait_deferred_add_both(d, end_one, NULL);
	plait_deferred_detach(&d);
}

TEST(thousands_of_lookups_end_when_answers_are_lost, ON_EACH_KERNEL)
{
	clock_virtual(true);
	world_begin(&(struct world){ .known = "a** A: address" });
	zone.lost = 20;
	begun = ended = timeouts = 0;
	wanted = how_many();
	for (int i = 0; i < IN_FLIGHT; i++)
		begin_another();
	while (ended < wanted)
		plait_reactor_iterate(reactor, 10);
	ck_assert_uint_lt(timeouts, wanted / 100);
	world_end();
}

static void look_up_all(struct plait_reactor *r)
{
	struct world w = {
		.known = "b.x A: answer b.x 60 CNAME a.example |" BOTH(
			"a.example") "1.2.0.192.in-addr.arpa PTR: answer "
				     "1.2.0.192.in-addr.arpa 60 PTR a.example",
		.resolv_conf = "search y x\n",
		.hosts = "192.0.2.9 alias\n",
	};
	struct outcome o[4] = { { .fired = false } };
	static const char *const outcomes[] = { "192.0.2.1",
						"2001:db8::1, 192.0.2.1",
						"a.example", "192.0.2.9" };
	struct plait_deferred *d[4];
	struct plait_resolver_options options;
	struct plait_address a;

	plait_address_parse(&a, "192.0.2.1", 0);
	zone_start(&zone, r, w.known);
	options = options_of(&w);
	resolver = plait_resolver_new(r, &options);
	d[0] = plait_resolve(r, "b",
			     &(struct plait_resolve_options){
				     .family = AF_INET, .resolver = resolver });
	d[1] = plait_resolve(
		r, "a.example",
		&(struct plait_resolve_options){ .resolver = resolver });
	d[2] = plait_resolve_address(
		r, &a, &(struct plait_resolve_options){ .resolver = resolver });
	d[3] = plait_resolve(
		r, "alias",
		&(struct plait_resolve_options){ .resolver = resolver });
	for (int i = 0; i < 4; i++) {
		plait_deferred_add_both(d[i], note_outcome, &o[i]);
		run_until_set(r, &o[i].fired);
		if (!torture_faulty())
			ck_assert_str_eq(o[i].text, outcomes[i]);
		plait_deferred_free(&d[i]);
	}
	plait_resolver_free(&resolver);
	zone_stop(&zone);
	remove_files();
}

TEST(lookups_without_memory_leave_nothing, ON_EACH_BACKEND)
{
	torture(look_up_all, backend);
}

static void free_in_child(void *arg)
{
	struct plait_deferred **d = arg;

	plait_reactor_free(&reactor);
	plait_resolver_free(&resolver);
	plait_deferred_free(d);
}

static void free_in_child_in_order(void *arg)
{
	struct plait_deferred **d = arg;

	plait_deferred_free(d);
	plait_resolver_free(&resolver);
	plait_reactor_free(&reactor);
}

static const struct {
	const char *name, *outcome;
} remembered[] = {
	{ "a.example", "192.0.2.1" },
	{ "no.example", "DNSNoNameError" },
};

/* Which allocation fails does not matter: only that one has. */
TEST(want_of_memory_is_not_remembered, ON_EACH_BACKEND, EACH_OF(remembered))
{
	unsigned refused = 0;

	for (unsigned long n = 0; n < 40; n++) {
		struct outcome o = { .fired = false };
		struct plait_deferred *d;

		world_begin(&(struct world){ .known = BOTH("a.example") });
		d = resolve_as(remembered[_i].name, AF_INET);
		run_turns(reactor, 1);
		plait_deferred_add_both(d, note_outcome, &o);
		fault_alloc_at(n, false);
		run_until_set(reactor, &o.fired);
		fault_alloc_off();
		plait_deferred_free(&d);
		refused += strcmp(o.text, "NoMemoryError") == 0;
		expect_outcome(resolve_as(remembered[_i].name, AF_INET),
			       remembered[_i].outcome);
		world_end();
	}
	ck_assert_uint_gt(refused, 0);
}

TEST(a_forked_child_frees_a_resolver_and_the_parent_goes_on, ON_EACH_BACKEND,
     TIMES(2))
{
	struct plait_deferred *d;
	const char *said;

	world_begin(&(struct world){ .known = BOTH("a.example") });
	d = resolve("a.example");
	ck_assert_int_eq(
		child_run(_i == 0 ? free_in_child : free_in_child_in_order, &d,
			  &said),
		0);
	ck_assert_str_eq(said, "");
	expect_outcome(d, "2001:db8::1, 192.0.2.1");
	world_end();
}

/* The child of a callback, and how many callbacks it had after that. */
static pid_t forked;
static unsigned heard, heard_in_child;

enum { WAITERS = 3, CHILDREN = 3 };

/* What the child does before it returns into the loop, or into the call. */
static void be_the_child(unsigned how)
{
	if (how > 0)
		plait_resolver_free(&resolver);
	if (how > 1)
		plait_reactor_free(&reactor);
}

static plait_value fork_first(plait_value *result, void *arg)
{
	plait_value_free(result);
	if (++heard == 1) {
		forked = fork();
		ck_assert_int_ge(forked, 0);
		if (forked == 0)
			be_the_child(*(unsigned *)arg);
	} else if (forked == 0) {
		heard_in_child++;
	} else if (heard == WAITERS) {
		plait_reactor_stop(reactor);
	}
	return PLAIT_NONE;
}

/* They wait for the same answer; or for the end of the resolver. */
TEST(the_child_of_one_who_is_told_tells_nobody_else, ON_EACH_BACKEND,
     TIMES(2 * CHILDREN))
{
	struct plait_deferred *d[WAITERS];
	unsigned how = (unsigned)_i % CHILDREN;
	bool ends = _i >= CHILDREN;

	heard = heard_in_child = 0;
	forked = -1;
	world_begin(&(struct world){ .known = BOTH("a.example") });
	for (int i = 0; i < WAITERS; i++) {
		d[i] = resolve_as("a.example", AF_INET);
		plait_deferred_add_both(d[i], fork_first, &how);
	}
	if (ends)
		plait_resolver_free(&resolver);
	else
		plait_reactor_run(reactor);
	if (forked == 0)
		child_leave(heard_in_child == 0 ? 0 : 1);
	child_ends(forked);
	ck_assert_uint_eq(heard, WAITERS);
	for (int i = 0; i < WAITERS; i++)
		plait_deferred_free(&d[i]);
	world_end();
}

static const struct {
	unsigned long readable; /* of the three files */
	int err;
} unreadable[] = { { 0, EMFILE }, { 0, EIO }, { 2, EMFILE } };

/* Nothing is known of some files yet, and they cannot be read. */
TEST(files_that_cannot_be_read_are_no_want_of_memory, ON_EACH_BACKEND,
     EACH_OF(unreadable))
{
	struct outcome o[3] = { { .fired = false } };
	struct plait_deferred *d[3];
	struct plait_address a;

	plait_address_parse(&a, "192.0.2.1", 0);
	world_begin(&(struct world){ .known = BOTH("a.example"),
				     .hosts = "192.0.2.7 b.example\n",
				     .resolv_conf = "options ndots:2\n",
				     .nsswitch = "hosts: dns\n" });
	fault_pass("open", unreadable[_i].readable);
	fault_call_forever("open", unreadable[_i].err);
	d[0] = resolve("a.example");
	d[1] = plait_resolve_address(
		reactor, &a,
		&(struct plait_resolve_options){ .resolver = resolver });
	d[2] = plait_dns_query(resolver, "a.example", PLAIT_DNS_A);
	run_turns(reactor, 2);
	fault_off();
	for (int i = 0; i < 3; i++) {
		const plait_value *v = plait_deferred_result(d[i]);

		ck_assert(plait_value_is_failure(v));
		ck_assert_ptr_eq(plait_failure_kind(plait_value_failure(v)),
				 &plait_error_dns_lookup);
		ck_assert_int_eq(plait_failure_errno(plait_value_failure(v)),
				 unreadable[_i].err);
		plait_deferred_add_both(d[i], note_outcome, &o[i]);
		plait_deferred_free(&d[i]);
	}
	expect_outcome(resolve_as("a.example", AF_INET), "192.0.2.1");
	world_end();
}

GROUP("trace");

TEST(a_trace_has_a_span_for_each_lookup, ON_EACH_BACKEND)
{
	const char *path = file_of("");
	char text[20000];
	struct plait_deferred *d;
	const char *span;
	FILE *f;

	world_begin(&(struct world){ .known = "a.example *: drop" });
	ck_assert_int_eq(plait_trace_start(0), 0);
	d = resolve("a.example");
	run_turns(reactor, 2);
	plait_deferred_free(&d);
	ck_assert_int_eq(plait_trace_dump(path), 0);
	plait_trace_stop();
	f = fopen(path, "r");
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	ck_assert_ptr_nonnull(strstr(text, "\"name\":\"a.example\""));
	span = strstr(text, "\"ph\":\"e\",\"name\":\"lookup\"");
	ck_assert_ptr_nonnull(span);
	/* The cancel has ended it. */
	ck_assert_ptr_nonnull(strstr(span, "\"cancel\":1"));
	world_end();
}

/* ---- mistakes ------------------------------------------------------------ */

GROUP("mistakes");

static const struct {
	const char *text;
	struct plait_resolver_options options;
} wrong[] = {
	{ "reserved", { .reserved = { 1 } } },
	{ "no address",
	  { .servers = &(struct plait_address){ .port = 53 },
	    .server_count = 1 } },
};

TEST(wrong_options_make_no_resolver, ON_EACH_KERNEL, EACH_OF(wrong))
{
	ck_assert_ptr_null(plait_resolver_new(reactor, &wrong[_i].options));
	ck_assert_int_eq(errno, EINVAL);
}

TEST(a_server_without_a_port_has_that_of_the_dns, ON_EACH_KERNEL)
{
	struct plait_address servers[2];
	struct plait_resolver *rs;

	ck_assert_int_eq(plait_address_parse(&servers[0], "192.0.2.1", 0), 0);
	ck_assert_int_eq(plait_address_parse(&servers[1], "192.0.2.2", 54), 0);
	rs = plait_resolver_new(
		reactor, &(struct plait_resolver_options){ .servers = servers,
							   .server_count = 2 });
	ck_assert_uint_eq(plait_address_port(&rs->given[0]), 53);
	ck_assert_uint_eq(plait_address_port(&rs->given[1]), 54);
	plait_resolver_free(&rs);
}

static const struct plait_resolve_options wrong_resolve[] = {
	{ .reserved = { 1 } },
	{ .family = AF_UNIX },
	{ .port = 65536 },
};

TEST(wrong_options_begin_no_lookup, ON_EACH_KERNEL, EACH_OF(wrong_resolve))
{
	struct plait_deferred *d =
		plait_resolve(reactor, "a.example", &wrong_resolve[_i]);

	ck_assert_int_eq(plait_failure_errno(
				 plait_value_failure(plait_deferred_result(d))),
			 EINVAL);
	plait_deferred_add_errback(d, note_outcome,
				   &(struct outcome){ .fired = false });
	plait_deferred_free(&d);
}
