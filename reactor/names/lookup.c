/*
 * One lookup: from a name to addresses.
 *
 * Some names say themselves what they mean.  For the others the sources of
 * nsswitch.conf are asked one after the other.  The DNS is asked for one whole
 * name after the other, as the search list says, and for both families of each
 * side by side.
 *
 * What is known of a family is told when it is sure that this name is the one:
 * as soon as either family has an address.  Until then the next name of the
 * list may be the one.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/chance.h"
#include "lib/failure.h"
#include "lib/print.h"
#include "reactor/names/lookup.h"
#include "reactor/names/record.h"
#include "reactor/names/source.h"
#include "reactor/names/system.h"

static const int family_numbers[LOOKUP_FAMILIES] = { AF_INET6, AF_INET };
static const unsigned family_types[LOOKUP_FAMILIES] = { PLAIT_DNS_AAAA,
							PLAIT_DNS_A };

#define FOR_EACH_FAMILY(f, l)                                                  \
	for (__typeof__(&(l)->families[0]) f = (l)->families;                  \
	     f < (l)->families + LOOKUP_FAMILIES; f++)

static int family_number(const struct lookup_family *f)
{
	return family_numbers[f - f->lookup->families];
}

/* ---- the end ------------------------------------------------------------- */

/* Nothing is under way any more; what was found stays. */
static void lookup_stop(struct names_lookup *l)
{
	loop_task_cancel(&l->soon);
	plait_timer_stop(&l->timer);
	plait_i_system_cancel(&l->job);
	FOR_EACH_FAMILY (f, l)
		plait_i_ask_cancel(&f->ask);
	plait_list_remove(&l->link);
}

/* What the owner may look at to the end. */
struct lookup_held {
	struct plait_address *lists[LOOKUP_FAMILIES];
	struct plait_dns_answer *answers[LOOKUP_FAMILIES];
};

/* The lookup is over: it holds nothing else any more, and may begin again. */
static struct lookup_held lookup_release(struct names_lookup *l)
{
	struct lookup_held held;

	trace_end(TRACE_LOOKED_UP, l, 0);
	for (int i = 0; i < LOOKUP_FAMILIES; i++) {
		held.lists[i] = l->families[i].list;
		held.answers[i] = l->families[i].answer;
		plait_failure_unref(&l->families[i].why);
	}
	plait_i_resolv_conf_unref(&l->conf);
	plait_failure_unref(&l->why);
	l->reactor = NULL;
	return held;
}

static void lookup_drop(struct lookup_held *held)
{
	for (int i = 0; i < LOOKUP_FAMILIES; i++) {
		free(held->lists[i]);
		plait_i_answer_unref(&held->answers[i]);
	}
}

void plait_i_lookup_cancel(struct names_lookup *l)
{
	struct lookup_held held;

	if (l->reactor == NULL)
		return;
	if (l->gone != NULL)
		*l->gone = true;
	lookup_stop(l);
	held = lookup_release(l);
	lookup_drop(&held);
}

void plait_i_lookup_leave(struct names_lookup *l)
{
	if (l->reactor == NULL)
		return;
	FOR_EACH_FAMILY (f, l)
		plait_i_ask_leave(&f->ask);
	plait_i_lookup_cancel(l);
}

/* Returns false if the owner has ended the lookup, and perhaps freed it. */
static bool lookup_tell_family(struct names_lookup *l, struct lookup_family *f)
{
	bool gone = false;

	f->is_told = true;
	l->gone = &gone;
	l->found(l, family_number(f), f->list, f->n);
	if (gone)
		return false;
	l->gone = NULL;
	return true;
}

static bool lookup_has_found(const struct names_lookup *l)
{
	FOR_EACH_FAMILY (f, l) {
		if (f->n > 0)
			return true;
	}
	return false;
}

/* Tells what is known and was not told. */
static bool lookup_tell_known(struct names_lookup *l)
{
	FOR_EACH_FAMILY (f, l) {
		if (f->is_wished && f->is_known && !f->is_told &&
		    !lookup_tell_family(l, f))
			return false;
	}
	return true;
}

/* The owner may free the lookup when it is told. */
static void lookup_tell_end(struct names_lookup *l)
{
	const struct plait_failure *why;
	struct lookup_held held;

	lookup_stop(l);
	if (lookup_has_found(l)) {
		plait_failure_unref(&l->why);
		FOR_EACH_FAMILY (f, l)
			f->is_known = true;
		if (!lookup_tell_known(l))
			return;
	}
	why = l->why;
	l->why = NULL;
	held = lookup_release(l);
	l->ended(l, why);
	plait_failure_unref(&why);
	lookup_drop(&held);
}

static void lookup_run_soon(struct loop_task *task)
{
	lookup_tell_end(plait_container(task, struct names_lookup, soon));
}

/*
 * It is over: why is taken; NULL if an address was found.  The owner is never
 * told inside of its own call.
 */
static void lookup_end(struct names_lookup *l, const struct plait_failure *why)
{
	plait_failure_unref(&l->why);
	l->why = why;
	if (l->starting)
		plait_i_loop_next_turn(l->reactor, &l->soon);
	else
		lookup_tell_end(l);
}

static const char *lookup_text(const struct names_lookup *l, char *buf,
			       size_t size)
{
	plait_i_name_str(&l->name, buf, size);
	return buf;
}

static void lookup_fail(struct names_lookup *l, const struct plait_error *kind,
			const char *what)
{
	char text[NAME_TEXT_SIZE];

	lookup_end(l,
		   failure_in((plait_fail)(PLAIT_HERE, kind, "%s: %s",
					   lookup_text(l, text, sizeof(text)),
					   what)));
}

static void lookup_time_is_up(void *arg)
{
	struct names_lookup *l = arg;
	char text[NAME_TEXT_SIZE];

	REACHED("a lookup takes too long");
	lookup_end(l,
		   failure_in((plait_fail)(PLAIT_HERE, &plait_error_dns_timeout,
					   "%s: nothing was found out in %g s",
					   lookup_text(l, text, sizeof(text)),
					   l->timeout)));
}

/* ---- addresses ----------------------------------------------------------- */

/* Keeps n addresses.  Returns false without memory. */
static bool family_keep(struct lookup_family *f,
			const struct plait_address *list, size_t n)
{
	f->is_known = true;
	if (n == 0)
		return true;
	f->list = calloc(n, sizeof(*f->list));
	if (f->list == NULL)
		return false;
	f->n = n;
	for (size_t i = 0; i < n; i++) {
		f->list[i] = list[i];
		f->list[i].port = f->lookup->port;
	}
	if (n > 1)
		plait_i_sort(f->list, n, plait_i_source_ask,
			     f->lookup->resolver);
	return true;
}

/* Of any families, which are wished for or not. */
static bool lookup_keep_all(struct names_lookup *l,
			    const struct plait_address *list, size_t n)
{
	struct plait_address of_family[LOOKUP_ADDRESSES];

	FOR_EACH_FAMILY (f, l) {
		size_t have = 0;

		for (size_t i = 0; i < n && have < LOOKUP_ADDRESSES; i++) {
			if (plait_address_family(&list[i]) == family_number(f))
				of_family[have++] = list[i];
		}
		if (!family_keep(f, of_family, f->is_wished ? have : 0))
			return false;
	}
	return true;
}

/* The addresses are all that there is to know; ttl says for how long. */
static void lookup_know(struct names_lookup *l,
			const struct plait_address *list, size_t n,
			uint32_t ttl)
{
	l->ttl = ttl;
	if (!lookup_keep_all(l, list, n))
		lookup_end(l, &plait_i_failure_no_memory);
	else if (lookup_has_found(l))
		lookup_end(l, NULL);
	else
		lookup_fail(l, &plait_error_dns_no_data,
			    "no address of that family");
}

/* ---- the DNS ------------------------------------------------------------- */

static void lookup_answer(struct names_lookup *l, enum nsswitch_status status);
static void lookup_ask(struct names_lookup *l);

/* Does anybody who waits wait for the other family only? */
static bool lookup_knows_all(const struct names_lookup *l)
{
	FOR_EACH_FAMILY (f, l) {
		if (f->is_wished && !f->is_known)
			return false;
	}
	return true;
}

bool plait_i_failure_is_of_nothing(const struct plait_failure *why)
{
	return plait_failure_check(why, &plait_error_dns_no_name) ||
	       plait_failure_check(why, &plait_error_dns_no_data);
}

/* The failure that says most of a name without addresses: that something went
   wrong, then that the name exists. */
static const struct plait_failure *lookup_worst(const struct names_lookup *l)
{
	const struct plait_failure *worst = NULL;

	FOR_EACH_FAMILY (f, l) {
		if (f->why == NULL)
			continue;
		if (worst == NULL || !plait_i_failure_is_of_nothing(f->why) ||
		    (plait_i_failure_is_of_nothing(worst) &&
		     plait_failure_check(f->why, &plait_error_dns_no_data)))
			worst = f->why;
	}
	return worst;
}

/* That a name of the list exists is remembered, whatever comes behind it. */
static void lookup_remember(struct names_lookup *l,
			    const struct plait_failure *why)
{
	if (l->why != NULL && plait_i_failure_is_of_nothing(why) &&
	    plait_failure_check(l->why, &plait_error_dns_no_data))
		return;
	plait_failure_unref(&l->why);
	l->why = plait_failure_ref(why);
}

/* No family has an address of this name. */
static void lookup_next_candidate(struct names_lookup *l)
{
	const struct plait_failure *why = lookup_worst(l);
	bool goes_on = plait_i_failure_is_of_nothing(why);

	lookup_remember(l, why);
	FOR_EACH_FAMILY (f, l) {
		plait_failure_unref(&f->why);
		f->is_known = false;
	}
	if (goes_on)
		lookup_ask(l);
	else
		lookup_answer(l, NSSWITCH_TRYAGAIN);
}

static void lookup_go_on(struct names_lookup *l);

/* Returns false without memory. */
static bool family_take(struct lookup_family *f,
			struct plait_dns_answer *answer)
{
	struct plait_address list[LOOKUP_ADDRESSES];
	size_t n = 0;

	for (size_t i = 0; i < answer->count && n < LOOKUP_ADDRESSES; i++)
		list[n++] = answer->records[i].data.address;
	f->answer = plait_i_answer_ref(answer);
	if (answer->ttl < f->lookup->ttl)
		f->lookup->ttl = answer->ttl;
	return family_keep(f, list, n);
}

static void family_told(struct names_ask *a, struct plait_dns_answer *answer,
			const struct plait_failure *why)
{
	struct lookup_family *f = plait_container(a, struct lookup_family, ask);
	struct names_lookup *l = f->lookup;

	f->is_known = true;
	if (answer == NULL)
		f->why = plait_failure_ref(why);
	else if (!family_take(f, answer))
		f->why = &plait_i_failure_no_memory;
	lookup_go_on(l);
}

static void family_ask(struct lookup_family *f)
{
	struct names_lookup *l = f->lookup;

	f->ask = (struct names_ask){ .told = family_told };
	plait_i_ask_start(&f->ask, l->resolver,
			  &(struct ask_wish){
				  .name = &l->asked,
				  .type = family_types[f - l->families],
				  .turn = l->turn,
				  .timeout = l->timeout,
			  });
}

static bool family_is_missing(const struct lookup_family *f)
{
	return f->is_wished && !f->is_known;
}

/*
 * Asks for the families that are not known: side by side, IPv6 first (RFC 8305,
 * 3); or, as `single-request' wants it, IPv4 first, and IPv6 when IPv4 is
 * known.
 */
static void lookup_ask_families(struct names_lookup *l)
{
	struct lookup_family *ipv6 = &l->families[LOOKUP_IPV6];
	struct lookup_family *ipv4 = &l->families[LOOKUP_IPV4];

	if (l->conf->no_aaaa)
		ipv6->is_known = true;
	if (family_is_missing(ipv6) &&
	    !(l->conf->single_request && family_is_missing(ipv4)))
		family_ask(ipv6);
	if (family_is_missing(ipv4))
		family_ask(ipv4);
}

static void lookup_go_on(struct names_lookup *l)
{
	if (lookup_has_found(l) && !lookup_tell_known(l))
		return;
	if (!lookup_knows_all(l)) {
		if (l->conf->single_request)
			lookup_ask_families(l);
		return;
	}
	if (lookup_has_found(l))
		lookup_end(l, NULL);
	else
		lookup_next_candidate(l);
}

/* Is the name searched for, and is it asked for as it is at first? */
static bool lookup_searches(const struct names_lookup *l)
{
	return !l->no_search && !l->name.absolute;
}

static bool lookup_is_whole(const struct names_lookup *l)
{
	unsigned dots = l->name.labels > 0 ? l->name.labels - 1u : 0;

	return !lookup_searches(l) || dots >= l->conf->ndots;
}

/* Gives the i-th name to ask for.  Returns 0; -ENAMETOOLONG or -EINVAL if it
   cannot be asked for; or -ENOENT if there are no more. */
static int lookup_candidate(const struct names_lookup *l, size_t i,
			    struct dns_name *ret)
{
	size_t n_search = lookup_searches(l) ? l->conf->n_search : 0;
	bool whole_first = lookup_is_whole(l);
	struct dns_name domain;
	const char *text;
	int rc;

	*ret = l->name;
	if (i == (whole_first ? 0 : n_search))
		return 0;
	if (i > n_search)
		return -ENOENT;
	text = l->conf->search[i - whole_first];
	if (*text == '\0')
		return 0;
	rc = plait_i_name_parse(&domain, text);
	return rc == 0 ? plait_i_name_append(ret, &domain) : rc;
}

/* Asks for the next name, or says that there was none. */
static void lookup_ask(struct names_lookup *l)
{
	int rc;

	do
		rc = lookup_candidate(l, l->candidate++, &l->asked);
	while (rc < 0 && rc != -ENOENT);
	if (rc == 0)
		lookup_ask_families(l);
	else
		lookup_answer(l, NSSWITCH_NOTFOUND);
}

/* With `no-aaaa' nobody is asked for IPv6. */
static void lookup_ask_dns(struct names_lookup *l)
{
	if (l->conf->no_aaaa && !l->families[LOOKUP_IPV4].is_wished) {
		lookup_fail(l, &plait_error_dns_no_data,
			    "resolv.conf says no-aaaa");
		return;
	}
	l->candidate = 0;
	lookup_ask(l);
}

/* ---- other sources ------------------------------------------------------- */

static int lookup_wished_family(const struct names_lookup *l)
{
	int family = 0;

	FOR_EACH_FAMILY (f, l) {
		if (f->is_wished)
			family = family == 0 ? family_number(f) : AF_UNSPEC;
	}
	return family;
}

static void lookup_ask_files(struct names_lookup *l)
{
	struct plait_address list[LOOKUP_FAMILIES * LOOKUP_ADDRESSES];
	char text[NAME_SIZE];
	bool may_be_there = plait_i_name_plain(&l->name, text);
	size_t n = 0;

	FOR_EACH_FAMILY (f, l) {
		if (f->is_wished && may_be_there)
			n += plait_i_hosts_find(l->resolver->files.hosts, text,
						family_number(f), list + n,
						LOOKUP_ADDRESSES);
	}
	if (n == 0) {
		lookup_answer(l, NSSWITCH_NOTFOUND);
		return;
	}
	/* The first name of the line is the one that has the address. */
	plait_i_name_parse(&l->name,
			   plait_i_hosts_chief(l->resolver->files.hosts, text,
					       lookup_wished_family(l)));
	lookup_know(l, list, n, LOOKUP_HOSTS_TTL);
}

static void lookup_ask_source(struct names_lookup *l)
{
	if (l->order.steps[l->step].source == NSSWITCH_FILES)
		lookup_ask_files(l);
	else
		lookup_ask_dns(l);
}

/* A source has given no address; l->why says what the DNS has said. */
static void lookup_answer(struct names_lookup *l, enum nsswitch_status status)
{
	const struct plait_failure *why = l->why;

	if (!l->order.steps[l->step].ends[status] && l->step + 1 < l->order.n) {
		l->step++;
		lookup_ask_source(l);
		return;
	}
	l->why = NULL;
	if (why != NULL)
		lookup_end(l, why);
	else
		lookup_fail(l, &plait_error_dns_no_name, "no such name");
}

const struct plait_error *plait_i_lookup_system_kind(int error)
{
	switch (error) {
	case EAI_NONAME:
		return &plait_error_dns_no_name;
	case EAI_NODATA:
	case EAI_ADDRFAMILY:
		return &plait_error_dns_no_data;
	case EAI_AGAIN:
	case EAI_FAIL:
		return &plait_error_dns_server_failure;
	default:
		return &plait_error_dns_lookup;
	}
}

/* Nothing is known of how long the addresses are good. */
static void lookup_system_found(struct names_lookup *l,
				const struct addrinfo *list)
{
	struct plait_address found[LOOKUP_FAMILIES * LOOKUP_ADDRESSES];
	size_t n = 0;

	for (; list != NULL && n < LOOKUP_FAMILIES * LOOKUP_ADDRESSES;
	     list = list->ai_next) {
		union kernel_address sa = { .any.sa_family = AF_UNSPEC };

		if (list->ai_addrlen > sizeof(sa))
			continue;
		memcpy(&sa, list->ai_addr, list->ai_addrlen);
		plait_i_address_from_kernel(&found[n++], &sa, list->ai_addrlen);
	}
	lookup_know(l, found, n, 0);
}

plait_value plait_i_lookup_system_failure(plait_value failure)
{
	const struct plait_failure *why = plait_value_failure(&failure);
	int err = plait_failure_errno(why);

	if (!plait_failure_check(why, &plait_error_os))
		return failure;
	plait_value_free(&failure);
	return (plait_fail_errno)(PLAIT_HERE, &plait_error_dns_lookup, err,
				  "no thread for getaddrinfo()");
}

static void lookup_system_answers(struct names_lookup *l,
				  const struct system_result *result)
{
	if (result->error == 0)
		lookup_system_found(l, result->list);
	else if (result->error == EAI_MEMORY)
		lookup_end(l, &plait_i_failure_no_memory);
	else
		lookup_fail(l, plait_i_lookup_system_kind(result->error),
			    gai_strerror(result->error));
}

static plait_value lookup_system_told(plait_value *result, void *arg)
{
	struct names_lookup *l = arg;
	plait_value v = plait_value_take(result);

	/* The lookup itself has cancelled its job. */
	if (l->job == NULL)
		return v;
	plait_deferred_free(&l->job);
	if (plait_value_is_failure(&v)) {
		lookup_end(l, failure_in(plait_i_lookup_system_failure(v)));
		return PLAIT_NONE;
	}
	lookup_system_answers(l, system_result_of(&v));
	plait_value_free(&v);
	return PLAIT_NONE;
}

static void lookup_ask_system(struct names_lookup *l, const char *name)
{
	const struct system_wish wish = {
		.name = name,
		.family = lookup_wished_family(l),
	};

	l->job = plait_i_system_start(&l->resolver->system, l->reactor, &wish);
	plait_deferred_add_both(l->job, lookup_system_told, l);
}

/* ---- names that say what they mean --------------------------------------- */

/* Is the last label of n this one? */
static bool lookup_is_below(const struct names_lookup *l, const char *domain)
{
	struct dns_name n;

	return plait_i_name_parse(&n, domain) == 0 &&
	       plait_i_name_is_under(&l->name, &n);
}

static void lookup_localhost(struct names_lookup *l)
{
	struct plait_address list[2];

	plait_address_parse(&list[0], "::1", 0);
	plait_address_parse(&list[1], "127.0.0.1", 0);
	lookup_know(l, list, 2, LOOKUP_FOR_EVER);
}

/* Returns true if the name needs nobody to be asked. */
static bool lookup_is_special(struct names_lookup *l)
{
	if (lookup_is_below(l, "localhost"))
		lookup_localhost(l);
	else if (lookup_is_below(l, "onion"))
		lookup_fail(l, &plait_error_dns_refused,
			    "names below onion are never asked for");
	else if (lookup_is_below(l, "invalid"))
		lookup_fail(l, &plait_error_dns_no_name,
			    "no name below invalid exists");
	else
		return false;
	return true;
}

/* ---- the beginning ------------------------------------------------------- */

/* An interface may be named, as in fe80::1%eth0.  Returns 0 or -errno. */
static int lookup_read_scope(struct names_lookup *l, const char *name,
			     struct plait_address *ret)
{
	const char *scope = strchr(name, '%');
	char text[INET6_ADDRSTRLEN + 12];
	unsigned number;

	if (scope == NULL || scope - name >= INET6_ADDRSTRLEN)
		return -EADDRNOTAVAIL;
	number = kernel_interface(loop_kernel(l->reactor), scope + 1);
	if (number == 0)
		return -EADDRNOTAVAIL;
	snprintf(text, sizeof(text), "%.*s%%%u", (int)(scope - name), name,
		 number);
	return plait_address_parse(ret, text, 0);
}

/* Returns true if the name is an address. */
static bool lookup_is_numeric(struct names_lookup *l, const char *name)
{
	struct plait_address a;

	if (*name == '\0' || strcmp(name, "localhost") == 0)
		return false;
	if (plait_address_parse(&a, name, 0) < 0 &&
	    lookup_read_scope(l, name, &a) < 0)
		return false;
	lookup_know(l, &a, 1, LOOKUP_FOR_EVER);
	return true;
}

enum { BAD_NAME_SHOWN = 60 }; /* bytes, of any number */

/* Writes the beginning of a name that may hold anything. */
static void bad_name_show(const char *name, char *buf, size_t size)
{
	size_t len = 0;

	for (int i = 0; name[i] != '\0' && i < BAD_NAME_SHOWN; i++)
		len += (size_t)snprintf(buf + len, size - len,
					print_is_visible(name[i]) ? "%c"
								  : "\\%03u",
					(unsigned)(unsigned char)name[i]);
	snprintf(buf + len, size - len, "%s",
		 strnlen(name, BAD_NAME_SHOWN + 1) > BAD_NAME_SHOWN ? "..."
								    : "");
}

plait_value plait_i_lookup_bad_name(const char *name, int rc)
{
	char shown[BAD_NAME_SHOWN * 4 + sizeof("...")];

	bad_name_show(name, shown, sizeof(shown));
	return (plait_fail)(PLAIT_HERE, &plait_error_dns_bad_name, "\"%s\" %s",
			    shown,
			    rc == -ENAMETOOLONG
				    ? "is too long, or a label of it is"
				    : "is empty, or has an empty label or a "
				      "control character");
}

static void lookup_ask_sources(struct names_lookup *l)
{
	struct plait_resolver *rs = l->resolver;
	int rc = plait_i_names_refresh(rs);

	if (rc < 0) {
		lookup_end(l, failure_in(plait_i_names_unreadable(rc)));
		return;
	}
	l->conf = plait_i_resolv_conf_ref(rs->files.resolv_conf);
	l->order = rs->files.nsswitch;
	l->turn = plait_i_servers_turn(&rs->servers);
	if (l->order.n > 0)
		lookup_ask_source(l);
	else
		lookup_fail(l, &plait_error_dns_lookup,
			    "nsswitch.conf has neither files nor dns");
}

static void lookup_begin(struct names_lookup *l, const char *name)
{
	int rc;

	if (lookup_is_numeric(l, name))
		return;
	rc = plait_i_name_parse(&l->name, name);
	if (rc < 0) {
		lookup_end(l, failure_in(plait_i_lookup_bad_name(name, rc)));
		return;
	}
	if (lookup_is_special(l))
		return;
	plait_timer_start(l->reactor, &l->timer, l->timeout, lookup_time_is_up,
			  l);
	if (l->resolver->is_system)
		lookup_ask_system(l, name);
	else
		lookup_ask_sources(l);
}

void plait_i_lookup_start(struct names_lookup *l, struct plait_reactor *r,
			  struct plait_resolver *rs,
			  const struct lookup_wish *wish)
{
	l->reactor = r;
	l->resolver = rs;
	l->soon.run = lookup_run_soon;
	l->port = wish->port;
	l->no_search = wish->no_search;
	l->ttl = LOOKUP_FOR_EVER;
	l->starting = true;
	if (trace_is_on())
		plait_i_trace_record_label(TRACE_LOOKUP, l, wish->name);
	plait_list_init(&l->link);
	FOR_EACH_FAMILY (f, l) {
		f->lookup = l;
		f->is_wished = wish->family == AF_UNSPEC ||
			       wish->family == family_number(f);
	}
	if (rs == NULL) {
		lookup_end(l, &plait_i_failure_no_memory);
	} else if (rs->is_ending || rs->reactor == NULL) {
		lookup_end(l, plait_i_lookup_abandoned());
	} else {
		l->timeout = wish->timeout > 0 ? wish->timeout : rs->timeout;
		plait_list_append(&rs->lookups, &l->link);
		lookup_begin(l, wish->name);
	}
	l->starting = false;
}

void plait_i_lookup_abandon(struct names_lookup *l)
{
	lookup_end(l, plait_i_lookup_abandoned());
}

const struct plait_failure *plait_i_lookup_abandoned(void)
{
	return failure_in((plait_fail)(PLAIT_HERE, &plait_error_abandoned,
				       "the resolver was freed"));
}
