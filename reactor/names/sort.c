/*
 * The order in which to try addresses: see sort.h.
 *
 * What the rules compare is found out once for each address, as a key of a few
 * numbers; an IPv4 address is its IPv4-mapped IPv6 address there, as RFC 6724
 * has it.  Then the keys are merged.  Rule 10, the order in which the addresses
 * were given, is that a merge is stable.
 */
#include <stdlib.h>
#include <string.h>

#include "reactor/kernel/address.h"
#include "reactor/names/sort.h"

enum {
	IP_SIZE = 16,
	IP_BITS = 128,
	IPV4_AT = 12, /* in a mapped address */
	IPV6_PREFIX = 64,
	PORT = 53, /* any: nothing is sent */
};

/* RFC 4291, 2.7, as numbers of RFC 6724, 3.1. */
enum { SCOPE_LINK = 2, SCOPE_SITE = 5, SCOPE_GLOBAL = 14 };

struct sort_key {
	struct plait_address address;
	bool is_usable;	      /* rule 1 */
	bool has_scope;	      /* rule 2: it is that of its source */
	bool is_deprecated;   /* rule 3, of its source */
	bool is_home;	      /* rule 4, of its source */
	bool has_label;	      /* rule 5: it is that of its source */
	unsigned precedence;  /* rule 6 */
	bool is_encapsulated; /* rule 7 */
	unsigned scope;	      /* rule 8 */
	bool is_ipv4;	      /* rule 9: of one family only */
	unsigned common;      /* ... bits with its source */
};

/* ---- the policy table: RFC 6724, 2.1 ------------------------------------- */

struct sort_policy {
	unsigned char prefix[IP_SIZE];
	unsigned bits, precedence, label;
};

/* The longest prefix first, so the first that fits is the one. */
static const struct sort_policy sort_policies[] = {
	{ { [15] = 1 }, 128, 50, 0 },	      /* ::1 */
	{ { [10] = 0xff, 0xff }, 96, 35, 4 }, /* IPv4 */
	{ { 0 }, 96, 1, 3 },		      /* compatible */
	{ { 0x20, 0x01 }, 32, 5, 5 },	      /* Teredo */
	{ { 0x20, 0x02 }, 16, 30, 2 },	      /* 6to4 */
	{ { 0x3f, 0xfe }, 16, 1, 12 },	      /* 6bone */
	{ { 0xfe, 0xc0 }, 10, 1, 11 },	      /* site-local */
	{ { 0xfc }, 7, 3, 13 },		      /* unique local */
	{ { 0 }, 0, 40, 1 },		      /* all others */
};

/* How many leading bits two addresses share. */
static unsigned sort_common(const unsigned char *a, const unsigned char *b)
{
	unsigned n = 0;

	while (n < IP_BITS && ((a[n / 8] ^ b[n / 8]) & (0x80 >> n % 8)) == 0)
		n++;
	return n;
}

static const struct sort_policy *sort_policy(const unsigned char *ip)
{
	const struct sort_policy *p = sort_policies;

	while (sort_common(ip, p->prefix) < p->bits)
		p++;
	return p;
}

/* ---- addresses ----------------------------------------------------------- */

/* The IP of a, IPv4 as mapped; zeros if it has none. */
static void sort_ip(const struct plait_address *a, unsigned char *ret)
{
	union kernel_address k = { .room = { .ss_family = AF_UNSPEC } };

	memset(ret, 0, IP_SIZE);
	plait_i_address_to_kernel(a, &k);
	if (k.any.sa_family == AF_INET6) {
		memcpy(ret, &k.ipv6.sin6_addr, IP_SIZE);
	} else if (k.any.sa_family == AF_INET) {
		ret[IPV4_AT - 2] = ret[IPV4_AT - 1] = 0xff;
		memcpy(ret + IPV4_AT, &k.ipv4.sin_addr,
		       sizeof(k.ipv4.sin_addr));
	}
}

static bool sort_is_ipv4(const unsigned char *ip)
{
	return sort_policy(ip) == &sort_policies[1];
}

/* RFC 6724, 3.1 and 3.2: the loopback is link-local in both families, and
   private IPv4 addresses are global. */
static unsigned sort_scope(const unsigned char *ip)
{
	const unsigned char *ipv4 = ip + IPV4_AT;

	if (sort_is_ipv4(ip))
		return ipv4[0] == 127 || (ipv4[0] == 169 && ipv4[1] == 254)
			       ? SCOPE_LINK
			       : SCOPE_GLOBAL;
	if (ip[0] == 0xff)
		return ip[1] & 0xf;
	if (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80)
		return SCOPE_LINK;
	if (ip[0] == 0xfe && (ip[1] & 0xc0) == 0xc0)
		return SCOPE_SITE;
	return sort_policy(ip) == &sort_policies[0] ? SCOPE_LINK : SCOPE_GLOBAL;
}

/* ---- keys ---------------------------------------------------------------- */

/* How many leading bits the rules compare. */
static unsigned sort_prefix(const struct sort_source *from, bool is_ipv4)
{
	if (is_ipv4)
		return from->prefix > 0 ? IP_BITS - 32 + from->prefix : 0;
	return from->prefix > 0 ? from->prefix : IPV6_PREFIX;
}

static void sort_key_source(struct sort_key *k, const unsigned char *ip,
			    const struct sort_source *from)
{
	unsigned char own[IP_SIZE];
	unsigned common, most = sort_prefix(from, k->is_ipv4);

	sort_ip(&from->address, own);
	common = sort_common(ip, own);
	k->is_usable = true;
	k->has_scope = sort_scope(own) == k->scope;
	k->is_deprecated = from->is_deprecated;
	k->is_home = from->is_home;
	k->has_label = sort_policy(own)->label == sort_policy(ip)->label;
	k->is_encapsulated = from->is_encapsulated;
	k->common = common < most ? common : most;
}

static void sort_key_make(struct sort_key *k, const struct plait_address *a,
			  sort_ask *ask, void *arg)
{
	struct sort_source from = { .prefix = 0 };
	unsigned char ip[IP_SIZE];

	sort_ip(a, ip);
	*k = (struct sort_key){
		.address = *a,
		.precedence = sort_policy(ip)->precedence,
		.scope = sort_scope(ip),
		.is_ipv4 = sort_is_ipv4(ip),
	};
	if (ask(arg, a, &from))
		sort_key_source(k, ip, &from);
}

/* Is true if b is to be tried before a: RFC 6724, 6. */
static bool sort_is_before(const struct sort_key *b, const struct sort_key *a)
{
	if (a->is_usable != b->is_usable)
		return b->is_usable;
	if (a->has_scope != b->has_scope)
		return b->has_scope;
	if (a->is_deprecated != b->is_deprecated)
		return a->is_deprecated;
	if (a->is_home != b->is_home)
		return b->is_home;
	if (a->has_label != b->has_label)
		return b->has_label;
	if (a->precedence != b->precedence)
		return b->precedence > a->precedence;
	if (a->is_encapsulated != b->is_encapsulated)
		return a->is_encapsulated;
	if (a->scope != b->scope)
		return b->scope < a->scope;
	return a->is_ipv4 == b->is_ipv4 && b->common > a->common;
}

/* ---- sorting ------------------------------------------------------------- */

/* Merges two sorted parts: from from[at] to from[middle], and to from[end]. */
static void sort_merge(struct sort_key **from, struct sort_key **to, size_t at,
		       size_t middle, size_t end)
{
	size_t a = at, b = middle;

	for (; at < end; at++)
		if (b == end ||
		    (a < middle && !sort_is_before(from[b], from[a])))
			to[at] = from[a++];
		else
			to[at] = from[b++];
}

static size_t sort_least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Returns the sorted of both arrays. */
static struct sort_key **sort_all(struct sort_key **from, struct sort_key **to,
				  size_t n)
{
	for (size_t length = 1; length < n; length *= 2) {
		struct sort_key **sorted = to;

		for (size_t at = 0; at < n; at += 2 * length)
			sort_merge(from, to, at, sort_least(at + length, n),
				   sort_least(at + 2 * length, n));
		to = from;
		from = sorted;
	}
	return from;
}

void plait_i_sort(struct plait_address *list, size_t n, sort_ask *ask,
		  void *arg)
{
	struct sort_key **places, **sorted, *keys;

	if (n < 2)
		return;
	keys = calloc(n, sizeof(*keys) + 2 * sizeof(*places));
	if (keys == NULL)
		return;
	places = (struct sort_key **)(keys + n);
	for (size_t i = 0; i < n; i++) {
		sort_key_make(&keys[i], &list[i], ask, arg);
		places[i] = &keys[i];
	}
	sorted = sort_all(places, places + n, n);
	for (size_t i = 0; i < n; i++)
		list[i] = sorted[i]->address;
	free(keys);
}

/* ---- asking the kernel --------------------------------------------------- */

bool plait_i_sort_ask_kernel(void *arg, const struct plait_address *a,
			     struct sort_source *ret)
{
	struct kernel *k = arg;
	union kernel_address to = { .room = { .ss_family = AF_UNSPEC } };
	socklen_t len = plait_i_address_to_kernel(a, &to);
	bool is_there;
	int fd;

	if (to.any.sa_family != AF_INET && to.any.sa_family != AF_INET6)
		return false;
	/* In both families the port is at the same place. */
	if (to.ipv4.sin_port == 0)
		to.ipv4.sin_port = htons(PORT);
	fd = kernel_socket(k, to.any.sa_family, SOCK_DGRAM);
	if (fd < 0)
		return false;
	is_there = kernel_connect(k, fd, &to.any, len) == 0 &&
		   plait_i_address_of_socket(k, fd, &ret->address) == 0;
	kernel_close(k, fd);
	return is_there;
}
