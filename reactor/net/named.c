/*
 * A connector to a name: see named.h.
 *
 * The lookup tells families one by one, and says in the end whether there was
 * any address.  Until then the connector is not told that no IPv4 addresses
 * come, so that it does not fail before the lookup has said why.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base.h"
#include "lib/failure.h"
#include "reactor/names/lookup.h"
#include "reactor/names/source.h"
#include "reactor/net/named.h"

struct named {
	struct attempt_search base;
	struct names_lookup lookup;
	struct plait_connector *connector;
	struct plait_resolver *resolver; /* NULL: that of the reactor */
	unsigned port;
	bool no_memory; /* for an address that was found */
	char host[];	/* behind it lies the name of the search */
};

static struct named *named_of(struct names_lookup *l)
{
	return plait_container(l, struct named, lookup);
}

/*
 * RFC 6724 decides between the families as well, if both are known before the
 * first attempt: a host without IPv6 begins with IPv4.
 */
static void named_prefer(struct named *n)
{
	const struct lookup_family *ipv6 = &n->lookup.families[LOOKUP_IPV6];
	const struct lookup_family *ipv4 = &n->lookup.families[LOOKUP_IPV4];
	struct plait_address best[2];

	if (ipv4->n == 0 || ipv6->n == 0 || n->base.eyeballs.attempts > 0)
		return;
	best[0] = ipv6->list[0];
	best[1] = ipv4->list[0];
	plait_i_sort(best, 2, plait_i_source_ask, n->lookup.resolver);
	plait_i_eyeballs_prefer(&n->base.eyeballs, best[0].family);
}

static void named_found(struct names_lookup *l, int family,
			const struct plait_address *list, size_t n)
{
	struct named *named = named_of(l);
	struct plait_connector *c = named->connector;

	named_prefer(named);
	for (size_t i = 0; i < n; i++) {
		if (plait_i_connector_add(c, &list[i]) == -ENOMEM)
			named->no_memory = true;
	}
	if (family == AF_INET6 && named->base.family == AF_UNSPEC)
		plait_i_connector_no_more(c, AF_INET6, NULL);
}

static void named_ended(struct names_lookup *l, const struct plait_failure *why)
{
	struct named *n = named_of(l);

	if (why == NULL && n->no_memory)
		why = &plait_i_failure_no_memory;
	plait_i_connector_no_more(n->connector, AF_UNSPEC,
				  plait_failure_ref(why));
}

static void named_start(struct attempt_search *s)
{
	struct named *n = plait_self(s, struct named);
	struct plait_reactor *r = n->connector->reactor;
	struct lookup_wish wish = {
		.name = n->host,
		.port = n->port,
		.family = n->base.family,
	};

	n->no_memory = false;
	n->lookup = (struct names_lookup){
		.found = named_found,
		.ended = named_ended,
	};
	plait_i_lookup_start(&n->lookup, r,
			     n->resolver != NULL ? n->resolver
						 : plait_reactor_resolver(r),
			     &wish);
}

static void named_stop(struct attempt_search *s)
{
	plait_i_lookup_cancel(&plait_self(s, struct named)->lookup);
}

static void named_leave(struct attempt_search *s)
{
	plait_i_lookup_leave(&plait_self(s, struct named)->lookup);
}

static void named_free(struct attempt_search *s)
{
	free(plait_self(s, struct named));
}

/* In nanoseconds; 0 seconds are the default. */
static int64_t named_delay(double seconds, int64_t otherwise)
{
	return seconds != 0 ? plait_i_clock_delay(seconds) : otherwise;
}

int plait_i_named_search(struct plait_connector *c, const char *host,
			 unsigned port,
			 const struct plait_connect_options *options)
{
	const struct plait_resolver *rs = options->resolver;
	size_t len = strlen(host) + 1, room = len + sizeof(":65535");
	struct named *n;

	if (rs != NULL && rs->reactor != NULL && rs->reactor != c->reactor)
		plait_die("plait_connect_tcp()",
			  "the resolver belongs to another reactor");
	n = calloc(1, sizeof(*n) + len + room);
	if (n == NULL)
		return -ENOMEM;
	n->base = (struct attempt_search){
		.start = named_start,
		.stop = named_stop,
		.leave = named_leave,
		.free = named_free,
		.name = n->host + len,
		.family = AF_UNSPEC,
		.attempt_delay = named_delay(options->attempt_delay,
					     EYEBALLS_ATTEMPT_DELAY),
		.resolution_delay = named_delay(options->resolution_delay,
						EYEBALLS_RESOLUTION_DELAY),
	};
	n->connector = c;
	n->resolver = options->resolver;
	n->port = port;
	memcpy(n->host, host, len);
	snprintf(n->host + len, room, "%s:%u", host, port);
	plait_i_attempts_search(&c->attempts, &n->base);
	return 0;
}
