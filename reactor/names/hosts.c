/*
 * Reading /etc/hosts: see hosts.h.
 *
 * The table is one block of memory: lines, names, the two hash tables, and a
 * copy of the text, in which a NUL is put behind each name.  Its size is known
 * before it is made, because the text is read twice: first only to count.
 * Lines and names are numbered from 1, so that 0 ends a list.  The lists are
 * built from the last line to the first, so they are in the order of the file.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/kernel/address.h"
#include "reactor/names/hosts.h"
#include "reactor/names/text.h"

/* Of an IP: an IPv4 address is the IPv6 address that it is mapped to, as the
   two are the same to who looks for their name. */
enum { IP_SIZE = 16 };

static const unsigned char hosts_mapped[] = { 0, 0, 0, 0, 0,	0,
					      0, 0, 0, 0, 0xff, 0xff };

/* What the C library reads of a line, too: a name is no longer than this. */
enum { HOSTS_MAX_NAME = 255 };

/* Numbers of lines and names are 32 bits; no file comes near. */
static const size_t hosts_max_text = (size_t)1 << 30;

struct hosts_line {
	unsigned char ip[IP_SIZE];
	uint32_t name; /* its first */
	uint32_t next; /* with the same hash */
	bool is_ipv6;  /* of its text: a mapped address may be written as either
			*/
};

struct hosts_name {
	uint32_t at; /* in text */
	uint32_t length;
	uint32_t line;
	uint32_t hash;
	uint32_t next;
};

struct hosts {
	struct hosts_line *lines;
	struct hosts_name *names;
	uint32_t *by_name, *by_ip; /* mask + 1 lists each */
	size_t mask, n_lines, n_names;
	uint64_t seed;
	char *text;
};

/* ---- reading ------------------------------------------------------------- */

/* Without a name behind the `%': an IP of a host is good everywhere. */
static bool hosts_read_ip(const struct text *word, struct hosts_line *ret)
{
	char ip[INET6_ADDRSTRLEN];

	if (!plait_i_text_copy(word, ip, sizeof(ip)))
		return false;
	ret->is_ipv6 = inet_pton(AF_INET6, ip, ret->ip) == 1;
	if (ret->is_ipv6)
		return true;
	memcpy(ret->ip, hosts_mapped, sizeof(hosts_mapped));
	return inet_pton(AF_INET, ip, ret->ip + sizeof(hosts_mapped)) == 1;
}

static void hosts_add_name(struct hosts *h, struct text *word)
{
	plait_i_text_drop_dot(word);
	if (word->length == 0 || word->length > HOSTS_MAX_NAME)
		return;
	h->n_names++;
	if (h->names == NULL)
		return;
	h->names[h->n_names] = (struct hosts_name){
		.at = (uint32_t)(word->at - h->text),
		.length = (uint32_t)word->length,
		.line = (uint32_t)h->n_lines + 1,
		.hash = (uint32_t)plait_i_text_hash(word, h->seed),
	};
}

/* A line counts if it has an address and a name. */
static void hosts_add_line(struct hosts *h, struct text *line)
{
	struct hosts_line l = { .name = (uint32_t)h->n_names + 1 };
	struct text word;

	plait_i_text_cut(line, '#');
	if (!plait_i_text_word(line, &word) || !hosts_read_ip(&word, &l))
		return;
	while (plait_i_text_word(line, &word))
		hosts_add_name(h, &word);
	if (h->n_names < l.name)
		return;
	h->n_lines++;
	if (h->lines != NULL)
		h->lines[h->n_lines] = l;
}

/* Without room for lines and names it counts them. */
static void hosts_add_all(struct hosts *h, const char *text, size_t len)
{
	struct text rest = { text, len }, line;

	while (plait_i_text_line(&rest, &line))
		hosts_add_line(h, &line);
}

/* Which list of by_ip. */
static size_t hosts_ip_list(const struct hosts *h, const unsigned char *ip)
{
	struct text t = { (const char *)ip, IP_SIZE };

	return plait_i_text_hash(&t, h->seed) & h->mask;
}

/* Puts number at the front of a list. */
static void hosts_link(uint32_t *list, uint32_t *next, size_t number)
{
	*next = *list;
	*list = (uint32_t)number;
}

static void hosts_index(struct hosts *h)
{
	for (size_t i = h->n_names; i > 0; i--) {
		struct hosts_name *n = &h->names[i];

		hosts_link(&h->by_name[n->hash & h->mask], &n->next, i);
		h->text[n->at + n->length] = '\0';
	}
	for (size_t i = h->n_lines; i > 0; i--) {
		struct hosts_line *l = &h->lines[i];

		hosts_link(&h->by_ip[hosts_ip_list(h, l->ip)], &l->next, i);
	}
}

/* ---- memory -------------------------------------------------------------- */

/* Gives a table with room for what was counted, in which nothing is yet. */
static struct hosts *hosts_new(const struct hosts *count, size_t len)
{
	size_t lines = (count->n_lines + 1) * sizeof(struct hosts_line);
	size_t names = (count->n_names + 1) * sizeof(struct hosts_name);
	size_t lists = 1, lists_size;
	struct hosts *h;
	char *at;

	while (lists < count->n_names)
		lists *= 2;
	lists_size = lists * sizeof(uint32_t);
	h = calloc(1, sizeof(*h) + lines + names + 2 * lists_size + len + 1);
	if (h == NULL)
		return NULL;
	at = (char *)(h + 1);
	h->lines = (struct hosts_line *)at;
	h->names = (struct hosts_name *)(at += lines);
	h->by_name = (uint32_t *)(at += names);
	h->by_ip = (uint32_t *)(at += lists_size);
	h->text = at + lists_size;
	h->mask = lists - 1;
	return h;
}

struct hosts *plait_i_hosts_read(const char *text, size_t len, uint64_t seed)
{
	struct hosts count = { .lines = NULL };
	struct hosts *h;

	if (len > hosts_max_text)
		len = hosts_max_text;
	hosts_add_all(&count, text, len);
	h = hosts_new(&count, len);
	if (h == NULL)
		return NULL;
	h->seed = seed;
	if (len > 0)
		memcpy(h->text, text, len);
	hosts_add_all(h, h->text, len);
	hosts_index(h);
	return h;
}

void plait_i_hosts_free(struct hosts **hp)
{
	free(*hp);
	*hp = NULL;
}

/* ---- finding ------------------------------------------------------------- */

static void hosts_address(const struct hosts_line *l, struct plait_address *ret)
{
	union kernel_address a = { .room = { .ss_family = AF_UNSPEC } };

	if (l->is_ipv6) {
		a.ipv6.sin6_family = AF_INET6;
		memcpy(&a.ipv6.sin6_addr, l->ip, IP_SIZE);
		plait_i_address_from_kernel(ret, &a, sizeof(a.ipv6));
		return;
	}
	a.ipv4.sin_family = AF_INET;
	memcpy(&a.ipv4.sin_addr, l->ip + sizeof(hosts_mapped),
	       sizeof(a.ipv4.sin_addr));
	plait_i_address_from_kernel(ret, &a, sizeof(a.ipv4));
}

static bool hosts_is_among(const struct plait_address *a,
			   const struct plait_address *list, size_t n)
{
	while (n-- > 0)
		if (plait_address_equal(a, &list[n]))
			return true;
	return false;
}

static bool hosts_is_name(const struct hosts *h, const struct hosts_name *n,
			  const struct text *name, uint32_t hash)
{
	struct text own = { h->text + n->at, n->length };

	return n->hash == hash && plait_i_text_is_like(&own, name);
}

static bool hosts_is_of(const struct hosts_line *l, int family)
{
	return family == AF_UNSPEC ||
	       family == (l->is_ipv6 ? AF_INET6 : AF_INET);
}

/* The lines of a name that is looked for. */
struct hosts_search {
	struct text name;
	int family;
	uint32_t hash;
	uint32_t next; /* the number of the name that is looked at next */
};

static struct hosts_search hosts_search_begin(const struct hosts *h,
					      const char *name, int family)
{
	struct hosts_search s = { .name = plait_i_text(name),
				  .family = family };

	plait_i_text_drop_dot(&s.name);
	s.hash = (uint32_t)plait_i_text_hash(&s.name, h->seed);
	s.next = h->by_name[s.hash & h->mask];
	return s;
}

/* The next line with that name and family.  NULL: there is none. */
static const struct hosts_line *hosts_search_next(const struct hosts *h,
						  struct hosts_search *s)
{
	while (s->next != 0) {
		const struct hosts_name *n = &h->names[s->next];
		const struct hosts_line *l = &h->lines[n->line];

		s->next = n->next;
		if (hosts_is_of(l, s->family) &&
		    hosts_is_name(h, n, &s->name, s->hash))
			return l;
	}
	return NULL;
}

size_t plait_i_hosts_find(const struct hosts *h, const char *name, int family,
			  struct plait_address *ret, size_t room)
{
	struct hosts_search s = hosts_search_begin(h, name, family);
	const struct hosts_line *l;
	size_t found = 0;

	while (found < room && (l = hosts_search_next(h, &s)) != NULL) {
		hosts_address(l, &ret[found]);
		found += !hosts_is_among(&ret[found], ret, found);
	}
	return found;
}

static const char *hosts_line_chief(const struct hosts *h,
				    const struct hosts_line *l)
{
	return h->text + h->names[l->name].at;
}

const char *plait_i_hosts_chief(const struct hosts *h, const char *name,
				int family)
{
	struct hosts_search s = hosts_search_begin(h, name, family);
	const struct hosts_line *l = hosts_search_next(h, &s);

	return l != NULL ? hosts_line_chief(h, l) : NULL;
}

/* The IP of a; false: it has none. */
static bool hosts_ip(const struct plait_address *a, unsigned char *ret)
{
	union kernel_address k;

	plait_i_address_to_kernel(a, &k);
	if (plait_address_family(a) == AF_INET6) {
		memcpy(ret, &k.ipv6.sin6_addr, IP_SIZE);
	} else if (plait_address_family(a) == AF_INET) {
		memcpy(ret, hosts_mapped, sizeof(hosts_mapped));
		memcpy(ret + sizeof(hosts_mapped), &k.ipv4.sin_addr,
		       sizeof(k.ipv4.sin_addr));
	} else {
		return false;
	}
	return true;
}

const char *plait_i_hosts_name(const struct hosts *h,
			       const struct plait_address *a)
{
	unsigned char ip[IP_SIZE];
	uint32_t i;

	if (!hosts_ip(a, ip))
		return NULL;
	for (i = h->by_ip[hosts_ip_list(h, ip)]; i != 0; i = h->lines[i].next)
		if (memcmp(h->lines[i].ip, ip, IP_SIZE) == 0)
			return hosts_line_chief(h, &h->lines[i]);
	return NULL;
}
