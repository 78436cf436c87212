/*
 * The text of endpoints, read and written.
 *
 *	KIND:VALUE:...:KEY=VALUE:...
 *	WRAPPER:KEY=VALUE:...:ENDPOINT
 *
 * A text is cut at its colons into parts.  A part is a key and a value, or a
 * value alone.  The tables below say which keys a kind has, and of what type
 * they are, so reading, writing and comparing are the same for all kinds.  A
 * wrapper ends at the first part without a key, which is the kind of what it
 * wraps; so endpoints are a chain, which loops follow, however long it is.
 *
 * Parts without their backslashes are copied into one buffer, which is as long
 * as the text.  Only what an endpoint keeps is copied again.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <plait/address.h>
#include <plait/endpoint.h>
#include <plait/unix.h>

/* Defined here; whoever calls it here says the place. */
#undef plait_endpoint_connect

/* ---- kinds and their keys ------------------------------------------------ */

enum endpoint_type {
	ENDPOINT_HOST,	  /* a name, or an address */
	ENDPOINT_ADDRESS, /* of this host: a number */
	ENDPOINT_PATH,	  /* of a UNIX socket, or @ and an abstract name */
	ENDPOINT_PORT,
	ENDPOINT_COUNT,	  /* from 1 */
	ENDPOINT_NUMBER,  /* from 0 */
	ENDPOINT_FLAG,	  /* 0 or 1 */
	ENDPOINT_MODE,	  /* octal */
	ENDPOINT_SECONDS, /* kept in microseconds */
	ENDPOINT_BYTES,	  /* with K, M or G */
};

enum endpoint_use { ENDPOINT_ANY_USE, ENDPOINT_LISTENS, ENDPOINT_CONNECTS };

struct endpoint_key {
	const char *name;
	enum endpoint_type type;
	enum endpoint_use use; /* what the key is for */
};

enum {
	TCP_HOST,
	TCP_PORT,
	TCP_INTERFACE,
	TCP_BACKLOG,
	TCP_TIMEOUT,
	TCP_BIND_ADDRESS
};

static const struct endpoint_key endpoint_tcp[] = {
	[TCP_HOST] = { "host", ENDPOINT_HOST, ENDPOINT_CONNECTS },
	[TCP_PORT] = { "port", ENDPOINT_PORT, ENDPOINT_ANY_USE },
	[TCP_INTERFACE] = { "interface", ENDPOINT_ADDRESS, ENDPOINT_LISTENS },
	[TCP_BACKLOG] = { "backlog", ENDPOINT_COUNT, ENDPOINT_LISTENS },
	[TCP_TIMEOUT] = { "timeout", ENDPOINT_SECONDS, ENDPOINT_CONNECTS },
	[TCP_BIND_ADDRESS] = { "bindAddress", ENDPOINT_ADDRESS,
			       ENDPOINT_CONNECTS },
};

enum { UNIX_PATH, UNIX_MODE, UNIX_UNLINK, UNIX_BACKLOG, UNIX_TIMEOUT };

static const struct endpoint_key endpoint_unix[] = {
	[UNIX_PATH] = { "path", ENDPOINT_PATH, ENDPOINT_ANY_USE },
	[UNIX_MODE] = { "mode", ENDPOINT_MODE, ENDPOINT_LISTENS },
	[UNIX_UNLINK] = { "unlink", ENDPOINT_FLAG, ENDPOINT_LISTENS },
	[UNIX_BACKLOG] = { "backlog", ENDPOINT_COUNT, ENDPOINT_LISTENS },
	[UNIX_TIMEOUT] = { "timeout", ENDPOINT_SECONDS, ENDPOINT_CONNECTS },
};

static const struct endpoint_key endpoint_fd[] = {
	{ "number", ENDPOINT_NUMBER, ENDPOINT_ANY_USE },
};

static const struct endpoint_key endpoint_throttle[] = {
	{ "in", ENDPOINT_BYTES, ENDPOINT_ANY_USE },
	{ "out", ENDPOINT_BYTES, ENDPOINT_ANY_USE },
	{ "burst", ENDPOINT_BYTES, ENDPOINT_ANY_USE },
};

static const struct endpoint_key endpoint_limit[] = {
	{ "total", ENDPOINT_COUNT, ENDPOINT_ANY_USE },
	{ "address", ENDPOINT_COUNT, ENDPOINT_ANY_USE },
	{ "wait", ENDPOINT_FLAG, ENDPOINT_ANY_USE },
};

enum { MAX_KEYS = 6, MAX_PLAIN = 2, NONE = -1 };

typedef struct plait_connector *
endpoint_connector(const struct plait_endpoint *e, struct plait_reactor *r,
		   struct plait_factory *f);

static endpoint_connector endpoint_connect_tcp, endpoint_connect_tcp6,
	endpoint_connect_unix;

struct endpoint_kind {
	const char *name;
	const struct endpoint_key *keys;
	int n_keys;
	/* So many keys, from the first, may be left out before their values.
	   If there are fewer values, they are those of the last. */
	int plain;
	int needs; /* the key that must be there; NONE: any of them */
	bool wraps;
	endpoint_connector *connect; /* NULL: it is only listened on */
	int to_connect;		     /* the key that connecting needs, too */
};

#define KEYS(keys) (keys), sizeof(keys) / sizeof(*(keys))

static const struct endpoint_kind endpoint_kinds[] = {
	{ "tcp", KEYS(endpoint_tcp), .plain = 2, .needs = TCP_PORT,
	  .connect = endpoint_connect_tcp, .to_connect = TCP_HOST },
	{ "tcp6", KEYS(endpoint_tcp), .plain = 2, .needs = TCP_PORT,
	  .connect = endpoint_connect_tcp6, .to_connect = TCP_HOST },
	{ "unix", KEYS(endpoint_unix), .plain = 1, .needs = UNIX_PATH,
	  .connect = endpoint_connect_unix, .to_connect = UNIX_PATH },
	{ "fd", KEYS(endpoint_fd), .plain = 1, .needs = 0 },
	{ "throttle", KEYS(endpoint_throttle), .needs = NONE, .wraps = true },
	{ "limit", KEYS(endpoint_limit), .needs = NONE, .wraps = true },
};

enum { N_KINDS = sizeof(endpoint_kinds) / sizeof(*endpoint_kinds) };

static const uint64_t max_port = 65535, max_count = INT32_MAX, max_mode = 0777;
static const uint64_t max_seconds = 1000000000, microseconds = 1000000;
static const uint64_t max_bytes = 16000000000; /* of a bucket in a second */

enum { DECIMALS = 6, MAX_HOST = 255 };

struct endpoint_value {
	bool is_set;
	char *text; /* of a host, an address or a path; NULL: it is a number */
	uint64_t number;
};

struct plait_endpoint {
	unsigned refs;
	const struct endpoint_kind *kind;
	struct endpoint_value values[MAX_KEYS];
	struct plait_endpoint *inner; /* of a wrapper */
};

static const struct endpoint_kind *endpoint_find_kind(const char *name)
{
	for (size_t i = 0; i < N_KINDS; i++)
		if (strcmp(endpoint_kinds[i].name, name) == 0)
			return &endpoint_kinds[i];
	return NULL;
}

static int endpoint_find_key(const struct endpoint_kind *kind, const char *name)
{
	for (int i = 0; i < kind->n_keys; i++)
		if (strcmp(kind->keys[i].name, name) == 0)
			return i;
	return NONE;
}

/* ---- life ---------------------------------------------------------------- */

static struct plait_endpoint *endpoint_new(const struct endpoint_kind *kind)
{
	struct plait_endpoint *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->refs = 1;
	e->kind = kind;
	return e;
}

struct plait_endpoint *plait_endpoint_ref(struct plait_endpoint *e)
{
	if (e != NULL)
		e->refs++;
	return e;
}

void plait_endpoint_unref(struct plait_endpoint **ep)
{
	struct plait_endpoint *e = ep != NULL ? *ep : NULL, *inner;

	if (ep != NULL)
		*ep = NULL;
	for (; e != NULL && --e->refs == 0; e = inner) {
		inner = e->inner;
		for (int i = 0; i < MAX_KEYS; i++)
			free(e->values[i].text);
		free(e);
	}
}

void plait_endpoint_cleanup(struct plait_endpoint **ep)
{
	plait_endpoint_unref(ep);
}

/* ---- what was wrong ------------------------------------------------------ */

/* A part of the text, without backslashes. */
struct endpoint_part {
	const char *key; /* NULL: there is none */
	const char *value;
	size_t at, value_at; /* where they begin in the text */
	bool is_plain;	     /* its first byte was not escaped */
};

struct endpoint_reader {
	const char *text, *next; /* NULL: there are no more parts */
	char *room;		 /* for what parts are without backslashes */
	char *why;
	size_t size;
};

/* A line of a file may hold anything, and a message is written to terminals. */
static void endpoint_make_printable(char *why)
{
	for (; *why != '\0'; why++)
		if (*why < ' ' || *why > '~')
			*why = '?';
}

static int endpoint_refuse(const struct endpoint_reader *r, size_t at,
			   const char *fmt, ...) PLAIT_PRINTF(3, 4);
static int endpoint_refuse(const struct endpoint_reader *r, size_t at,
			   const char *fmt, ...)
{
	va_list ap;
	int n;

	if (r->size == 0)
		return -EINVAL;
	n = snprintf(r->why, r->size, "column %zu: ", at + 1);
	if (n > 0 && (size_t)n < r->size) {
		va_start(ap, fmt);
		vsnprintf(r->why + n, r->size - (size_t)n, fmt, ap);
		va_end(ap);
	}
	endpoint_make_printable(r->why);
	return -EINVAL;
}

static int endpoint_lacks_memory(const struct endpoint_reader *r)
{
	snprintf(r->why, r->size, "there is no memory");
	return -ENOMEM;
}

/* ---- parts --------------------------------------------------------------- */

/* How much of a message a word may take. */
#define WORD "%.40s"

static size_t endpoint_at(const struct endpoint_reader *r, const char *c)
{
	return (size_t)(c - r->text);
}

/*
 * Copies up to one of stops that is neither behind a backslash nor in brackets
 * that begin the word, and ends the copy with a NUL.  Returns where it has
 * stopped, or NULL if a backslash or a bracket is left open; *open is that.
 */
static const char *endpoint_word(struct endpoint_reader *r, const char *c,
				 const char *stops, const char **open)
{
	bool in_brackets = *c == '[';

	*open = c;
	for (; *c != '\0' && (in_brackets || strchr(stops, *c) == NULL); c++) {
		if (*c == ']')
			in_brackets = false;
		if (*c == '\\' && *++c == '\0') {
			*open = c - 1;
			return NULL;
		}
		*r->room++ = *c;
	}
	*r->room++ = '\0';
	return in_brackets ? NULL : c;
}

/* Reads the next part. */
static int endpoint_read_part(struct endpoint_reader *r,
			      struct endpoint_part *ret)
{
	const char *c = r->next, *open;

	*ret = (struct endpoint_part){ .at = endpoint_at(r, c),
				       .value = r->room };
	ret->value_at = ret->at;
	ret->is_plain = *c != '\\';
	c = endpoint_word(r, c, ":=", &open);
	if (c != NULL && *c == '=') {
		ret->key = ret->value;
		ret->value = r->room;
		ret->value_at = endpoint_at(r, ++c);
		ret->is_plain = *c != '\\';
		c = endpoint_word(r, c, ":", &open);
	}
	if (c == NULL)
		return endpoint_refuse(r, endpoint_at(r, open),
				       *open == '[' ? "`[' without `]'"
						    : "nothing follows `\\'");
	if (*ret->value == '\0')
		return endpoint_refuse(r, ret->value_at, "a value is empty");
	r->next = *c == ':' ? c + 1 : NULL;
	return 0;
}

/* ---- values -------------------------------------------------------------- */

/* Where a value is read, and as what. */
struct endpoint_slot {
	const struct endpoint_key *key;
	const struct endpoint_part *part;
	struct endpoint_value *value;
};

static int endpoint_refuse_value(const struct endpoint_reader *r,
				 const struct endpoint_slot *s,
				 const char *expected)
{
	return endpoint_refuse(r, s->part->value_at,
			       "%s is `" WORD "', and must be %s", s->key->name,
			       s->part->value, expected);
}

/* Reads digits of that base.  Returns what is behind them, or NULL if there is
   none, or if the number is above 2^60. */
static const char *endpoint_digits(const char *c, unsigned base, uint64_t *ret)
{
	const char *first = c;

	for (*ret = 0; *c >= '0' && *c < (char)('0' + base); c++) {
		if (*ret >> 56 != 0)
			return NULL;
		*ret = *ret * base + (uint64_t)(*c - '0');
	}
	return c != first ? c : NULL;
}

static int endpoint_read_number(const struct endpoint_reader *r,
				const struct endpoint_slot *s, uint64_t least,
				uint64_t most)
{
	char expected[64];
	const char *end =
		endpoint_digits(s->part->value, 10, &s->value->number);

	if (end != NULL && *end == '\0' && s->value->number >= least &&
	    s->value->number <= most)
		return 0;
	snprintf(expected, sizeof(expected), "a number from %llu to %llu",
		 (unsigned long long)least, (unsigned long long)most);
	return endpoint_refuse_value(r, s, expected);
}

static int endpoint_read_mode(const struct endpoint_reader *r,
			      const struct endpoint_slot *s)
{
	const char *end = endpoint_digits(s->part->value, 8, &s->value->number);

	if (end != NULL && *end == '\0' && s->value->number <= max_mode)
		return 0;
	return endpoint_refuse_value(r, s, "an octal number from 0 to 777");
}

/* The digits behind a point, as microseconds. */
static const char *endpoint_decimals(const char *c, uint64_t *ret)
{
	const char *end = endpoint_digits(c, 10, ret);

	if (end == NULL || end - c > DECIMALS)
		return NULL;
	for (long n = end - c; n < DECIMALS; n++)
		*ret *= 10;
	return end;
}

static int endpoint_read_seconds(const struct endpoint_reader *r,
				 const struct endpoint_slot *s)
{
	uint64_t whole, decimals = 0;
	const char *end = endpoint_digits(s->part->value, 10, &whole);

	if (end != NULL && *end == '.')
		end = endpoint_decimals(end + 1, &decimals);
	if (end == NULL || *end != '\0' || whole >= max_seconds)
		return endpoint_refuse_value(
			r, s, "seconds, with six decimals at most");
	s->value->number = whole * microseconds + decimals;
	return s->value->number > 0
		       ? 0
		       : endpoint_refuse_value(r, s, "more than 0 seconds");
}

static int endpoint_read_bytes(const struct endpoint_reader *r,
			       const struct endpoint_slot *s)
{
	static const char units[] = "KMG";
	const char *end =
		endpoint_digits(s->part->value, 10, &s->value->number);
	const char *unit =
		end != NULL && *end != '\0' ? strchr(units, *end) : NULL;

	if (unit != NULL && s->value->number <= max_bytes) {
		for (long i = unit - units; i >= 0; i--)
			s->value->number *= 1000;
		end++;
	}
	if (end != NULL && *end == '\0' && s->value->number > 0 &&
	    s->value->number <= max_bytes)
		return 0;
	return endpoint_refuse_value(
		r, s, "bytes from 1 to 16G, such as 100, 100K or 1M");
}

/* ---- values that are text ------------------------------------------------ */

static int endpoint_keep(const struct endpoint_reader *r,
			 const struct endpoint_slot *s, const char *text,
			 size_t len)
{
	s->value->text = strndup(text, len);
	return s->value->text != NULL ? 0 : endpoint_lacks_memory(r);
}

/* Takes away the brackets around an IPv6 address. */
static const char *endpoint_unwrap(const struct endpoint_part *p, size_t *len)
{
	*len = strlen(p->value);
	if (!p->is_plain || p->value[0] != '[' || p->value[*len - 1] != ']')
		return p->value;
	*len -= 2;
	return p->value + 1;
}

static int endpoint_ip_family(const char *text, size_t len)
{
	char host[PLAIT_ADDRESS_SIZE];
	struct plait_address a;

	if (len == 0 || len >= sizeof(host))
		return AF_UNSPEC;
	memcpy(host, text, len);
	host[len] = '\0';
	if (strcmp(host, "localhost") == 0 ||
	    plait_address_parse(&a, host, 0) < 0)
		return AF_UNSPEC;
	return plait_address_family(&a);
}

static int endpoint_read_address(const struct endpoint_reader *r,
				 const struct endpoint_slot *s)
{
	size_t len;
	const char *ip = endpoint_unwrap(s->part, &len);
	int family = endpoint_ip_family(ip, len);

	if (family == AF_UNSPEC || (ip != s->part->value && family != AF_INET6))
		return endpoint_refuse_value(
			r, s, "an address, such as 127.0.0.1 or [::1]");
	return endpoint_keep(r, s, ip, len);
}

static bool endpoint_is_name(const char *c)
{
	size_t len = strlen(c);

	for (; *c != '\0'; c++)
		if (*c <= ' ' || *c > '~' || strchr(":[]", *c) != NULL)
			return false;
	return len <= MAX_HOST;
}

static int endpoint_read_host(const struct endpoint_reader *r,
			      const struct endpoint_slot *s)
{
	size_t len;
	const char *host = endpoint_unwrap(s->part, &len);

	if (!endpoint_is_name(s->part->value) &&
	    endpoint_ip_family(host, len) != AF_INET6)
		return endpoint_refuse_value(r, s,
					     "a name or an address; an IPv6 "
					     "address is in brackets");
	return endpoint_keep(r, s, host, len);
}

static int endpoint_read_path(const struct endpoint_reader *r,
			      const struct endpoint_slot *s)
{
	const char *path = s->part->value;
	bool is_abstract = path[0] == '@';
	struct plait_address a;
	int err = is_abstract ? plait_address_from_abstract(&a, path + 1,
							    strlen(path + 1))
			      : plait_address_from_path(&a, path);

	if (err < 0)
		return endpoint_refuse_value(r, s,
					     is_abstract
						     ? "`@' and 1 to 107 bytes"
						     : "107 bytes at most");
	return endpoint_keep(r, s, path, strlen(path));
}

/* ---- reading ------------------------------------------------------------- */

static int endpoint_read_value(const struct endpoint_reader *r,
			       const struct endpoint_slot *s)
{
	switch (s->key->type) {
	case ENDPOINT_HOST:
		return endpoint_read_host(r, s);
	case ENDPOINT_ADDRESS:
		return endpoint_read_address(r, s);
	case ENDPOINT_PATH:
		return endpoint_read_path(r, s);
	case ENDPOINT_PORT:
		return endpoint_read_number(r, s, 0, max_port);
	case ENDPOINT_COUNT:
		return endpoint_read_number(r, s, 1, max_count);
	case ENDPOINT_NUMBER:
		return endpoint_read_number(r, s, 0, max_count);
	case ENDPOINT_FLAG:
		return endpoint_read_number(r, s, 0, 1);
	case ENDPOINT_MODE:
		return endpoint_read_mode(r, s);
	case ENDPOINT_SECONDS:
		return endpoint_read_seconds(r, s);
	case ENDPOINT_BYTES:
		return endpoint_read_bytes(r, s);
	}
	return -EINVAL;
}

static int endpoint_set(const struct endpoint_reader *r,
			struct plait_endpoint *e, int key,
			const struct endpoint_part *part)
{
	struct endpoint_slot s = {
		.key = &e->kind->keys[key],
		.part = part,
		.value = &e->values[key],
	};

	if (s.value->is_set)
		return endpoint_refuse(r, part->at, "%s is there twice",
				       s.key->name);
	s.value->is_set = true;
	return endpoint_read_value(r, &s);
}

static int endpoint_read_key(const struct endpoint_reader *r,
			     struct plait_endpoint *e,
			     const struct endpoint_part *part)
{
	int key = endpoint_find_key(e->kind, part->key);

	if (key == NONE)
		return endpoint_refuse(r, part->at, "%s has no key `" WORD "'",
				       e->kind->name, part->key);
	return endpoint_set(r, e, key, part);
}

/* The values that stand before the first key. */
struct endpoint_plain {
	struct endpoint_part parts[MAX_PLAIN];
	int n;
};

static int endpoint_set_plain(const struct endpoint_reader *r,
			      struct plait_endpoint *e,
			      const struct endpoint_plain *plain)
{
	int first = e->kind->plain - plain->n;

	for (int i = 0; i < plain->n; i++) {
		int err = endpoint_set(r, e, first + i, &plain->parts[i]);

		if (err < 0)
			return err;
	}
	return 0;
}

static bool endpoint_has_what_it_needs(const struct plait_endpoint *e)
{
	if (e->kind->needs != NONE)
		return e->values[e->kind->needs].is_set;
	for (int i = 0; i < MAX_KEYS; i++)
		if (e->values[i].is_set)
			return true;
	return false;
}

static int endpoint_check(const struct endpoint_reader *r,
			  const struct plait_endpoint *e, size_t at)
{
	if (endpoint_has_what_it_needs(e))
		return 0;
	if (e->kind->needs == NONE)
		return endpoint_refuse(r, at, "%s limits nothing",
				       e->kind->name);
	return endpoint_refuse(r, at, "%s has no %s", e->kind->name,
			       e->kind->keys[e->kind->needs].name);
}

/* What a value without a key is: 1 if it is the kind of what a wrapper wraps;
   0 if it is one of *plain now; or -errno. */
static int endpoint_read_plain(const struct endpoint_reader *r,
			       const struct plait_endpoint *e,
			       const struct endpoint_part *part, bool has_key,
			       struct endpoint_plain *plain)
{
	if (e->kind->wraps)
		return 1;
	if (has_key)
		return endpoint_refuse(r, part->at,
				       "`" WORD "' has no key, but comes "
				       "behind one",
				       part->value);
	if (plain->n == e->kind->plain)
		return endpoint_refuse(r, part->at,
				       "`" WORD "' is too much for %s",
				       part->value, e->kind->name);
	plain->parts[plain->n++] = *part;
	return 0;
}

/*
 * Reads the parts of an endpoint.  If it is a wrapper, *part is then the first
 * part of what it wraps.
 */
static int endpoint_read_parts(struct endpoint_reader *r,
			       struct plait_endpoint *e,
			       struct endpoint_part *part)
{
	struct endpoint_plain plain = { .n = 0 };
	size_t at = part->at;
	bool has_key = false;
	int rc = 0;

	while (rc == 0 && r->next != NULL) {
		rc = endpoint_read_part(r, part);
		if (rc < 0)
			return rc;
		rc = part->key != NULL
			     ? endpoint_read_key(r, e, part)
			     : endpoint_read_plain(r, e, part, has_key, &plain);
		has_key = has_key || part->key != NULL;
	}
	if (rc < 0)
		return rc;
	if (e->kind->wraps && rc == 0)
		return endpoint_refuse(r, strlen(r->text), "%s wraps nothing",
				       e->kind->name);
	rc = endpoint_set_plain(r, e, &plain);
	return rc < 0 ? rc : endpoint_check(r, e, at);
}

/* part is its kind. */
static int endpoint_read_one(struct endpoint_reader *r,
			     struct endpoint_part *part,
			     struct plait_endpoint **ret)
{
	const struct endpoint_kind *kind =
		part->key == NULL ? endpoint_find_kind(part->value) : NULL;

	if (kind == NULL)
		return endpoint_refuse(
			r, part->at, "there is no kind `" WORD "'",
			part->key != NULL ? part->key : part->value);
	*ret = endpoint_new(kind);
	if (*ret == NULL)
		return endpoint_lacks_memory(r);
	return endpoint_read_parts(r, *ret, part);
}

/* Each wrapper leaves the place for the next in *place. */
static int endpoint_read_all(struct endpoint_reader *r,
			     struct plait_endpoint **ret)
{
	struct plait_endpoint **place = ret;
	struct endpoint_part part;
	int err = endpoint_read_part(r, &part);

	while (err == 0 && place != NULL) {
		err = endpoint_read_one(r, &part, place);
		if (err == 0)
			place = (*place)->kind->wraps ? &(*place)->inner : NULL;
	}
	return err;
}

int plait_endpoint_parse(const char *text, struct plait_endpoint **ret,
			 char *why, size_t size)
{
	char *room = malloc(strlen(text) + 1);
	struct endpoint_reader r = { .text = text,
				     .next = text,
				     .room = room,
				     .why = why,
				     .size = size };
	struct plait_endpoint *e = NULL;
	int err;

	if (room == NULL)
		return endpoint_lacks_memory(&r);
	err = endpoint_read_all(&r, &e);
	free(room);
	if (err == 0)
		*ret = e;
	else
		plait_endpoint_unref(&e);
	return err;
}

/* ---- writing ------------------------------------------------------------- */

/* Text of any length, of which as much is kept as there is room for. */
struct endpoint_text {
	char *buf;
	size_t size, length;
};

static void endpoint_put(struct endpoint_text *t, const char *text)
{
	for (; *text != '\0'; text++, t->length++)
		if (t->length + 1 < t->size)
			t->buf[t->length] = *text;
}

static void endpoint_put_number(struct endpoint_text *t, const char *fmt,
				uint64_t number)
{
	char text[32];

	snprintf(text, sizeof(text), fmt, (unsigned long long)number);
	endpoint_put(t, text);
}

/* Without the zeros at the end. */
static void endpoint_put_seconds(struct endpoint_text *t, uint64_t number)
{
	char text[32];
	size_t n;

	snprintf(text, sizeof(text), "%llu.%06llu",
		 (unsigned long long)(number / microseconds),
		 (unsigned long long)(number % microseconds));
	for (n = strlen(text); text[n - 1] == '0'; n--)
		;
	text[text[n - 1] == '.' ? n - 1 : n] = '\0';
	endpoint_put(t, text);
}

/* A bracket at the beginning would not end at a colon. */
static void endpoint_put_escaped(struct endpoint_text *t, const char *text,
				 bool is_first)
{
	for (; *text != '\0'; text++, is_first = false) {
		char word[] = { '\\', *text, '\0' };
		bool is_special = strchr(":=\\", *text) != NULL ||
				  (is_first && *text == '[');

		endpoint_put(t, is_special ? word : word + 1);
	}
}

static void endpoint_put_text(struct endpoint_text *t, enum endpoint_type type,
			      const char *text)
{
	if (type == ENDPOINT_PATH || strchr(text, ':') == NULL) {
		endpoint_put_escaped(t, text, true);
		return;
	}
	endpoint_put(t, "[");
	endpoint_put(t, text);
	endpoint_put(t, "]");
}

static void endpoint_put_value(struct endpoint_text *t,
			       const struct endpoint_key *key,
			       const struct endpoint_value *v)
{
	if (v->text != NULL)
		endpoint_put_text(t, key->type, v->text);
	else if (key->type == ENDPOINT_SECONDS)
		endpoint_put_seconds(t, v->number);
	else
		endpoint_put_number(
			t, key->type == ENDPOINT_MODE ? "%llo" : "%llu",
			v->number);
}

/* What needs no key comes first, as the first keys of each kind. */
static void endpoint_put_one(struct endpoint_text *t,
			     const struct plait_endpoint *e)
{
	endpoint_put(t, e->kind->name);
	for (int i = 0; i < e->kind->n_keys; i++) {
		const struct endpoint_key *key = &e->kind->keys[i];

		if (!e->values[i].is_set)
			continue;
		endpoint_put(t, ":");
		if (i >= e->kind->plain) {
			endpoint_put(t, key->name);
			endpoint_put(t, "=");
		}
		endpoint_put_value(t, key, &e->values[i]);
	}
}

int plait_endpoint_str(const struct plait_endpoint *e, char *buf, size_t size)
{
	struct endpoint_text t = { .buf = buf, .size = size };

	if (e == NULL)
		return snprintf(buf, size, "no endpoint");
	for (; e != NULL; e = e->inner) {
		endpoint_put_one(&t, e);
		if (e->inner != NULL)
			endpoint_put(&t, ":");
	}
	if (size > 0)
		buf[t.length < size ? t.length : size - 1] = '\0';
	return (int)t.length;
}

/* ---- comparing ----------------------------------------------------------- */

static bool endpoint_value_equal(const struct endpoint_value *a,
				 const struct endpoint_value *b)
{
	if (a->is_set != b->is_set || a->number != b->number)
		return false;
	return a->text == NULL || b->text == NULL
		       ? a->text == b->text
		       : strcmp(a->text, b->text) == 0;
}

bool plait_endpoint_equal(const struct plait_endpoint *a,
			  const struct plait_endpoint *b)
{
	for (; a != NULL && b != NULL; a = a->inner, b = b->inner) {
		if (a->kind != b->kind)
			return false;
		for (int i = 0; i < MAX_KEYS; i++)
			if (!endpoint_value_equal(&a->values[i], &b->values[i]))
				return false;
	}
	return a == b;
}

/* ---- connecting ---------------------------------------------------------- */

static double endpoint_seconds(const struct endpoint_value *v)
{
	return (double)v->number / (double)microseconds;
}

static struct plait_connector *
endpoint_connect_inet(const struct plait_endpoint *e, struct plait_reactor *r,
		      struct plait_factory *f, int family)
{
	struct plait_connect_options o = {
		.timeout = endpoint_seconds(&e->values[TCP_TIMEOUT]),
		.bind_address = e->values[TCP_BIND_ADDRESS].text,
		.family = family,
	};

	return plait_connect_tcp(r, e->values[TCP_HOST].text,
				 (unsigned)e->values[TCP_PORT].number, f, &o);
}

static struct plait_connector *
endpoint_connect_tcp(const struct plait_endpoint *e, struct plait_reactor *r,
		     struct plait_factory *f)
{
	return endpoint_connect_inet(e, r, f, AF_UNSPEC);
}

static struct plait_connector *
endpoint_connect_tcp6(const struct plait_endpoint *e, struct plait_reactor *r,
		      struct plait_factory *f)
{
	return endpoint_connect_inet(e, r, f, AF_INET6);
}

static struct plait_connector *
endpoint_connect_unix(const struct plait_endpoint *e, struct plait_reactor *r,
		      struct plait_factory *f)
{
	struct plait_connect_options o = {
		.timeout = endpoint_seconds(&e->values[UNIX_TIMEOUT]),
	};

	return plait_connect_unix(r, e->values[UNIX_PATH].text, f, &o);
}

/* Writes into why what keeps e from being connected to, or returns false. */
static bool endpoint_cannot_connect(const struct plait_endpoint *e, char *why,
				    size_t size)
{
	const struct endpoint_kind *kind = e->kind;

	if (kind->connect == NULL) {
		snprintf(why, size, "%s is for listening", kind->name);
		return true;
	}
	if (!e->values[kind->to_connect].is_set) {
		snprintf(why, size, "%s has no %s", kind->name,
			 kind->keys[kind->to_connect].name);
		return true;
	}
	for (int i = 0; i < kind->n_keys; i++)
		if (e->values[i].is_set &&
		    kind->keys[i].use == ENDPOINT_LISTENS) {
			snprintf(why, size, "%s is for listening",
				 kind->keys[i].name);
			return true;
		}
	return false;
}

static plait_value endpoint_unusable(const struct plait_endpoint *e,
				     const struct plait_error *error,
				     const char *what, const char *why)
{
	char text[PLAIT_ENDPOINT_WHY_SIZE];

	plait_endpoint_str(e, text, sizeof(text));
	endpoint_make_printable(text);
	return plait_fail_errno(error, EINVAL, "%s %s: %s", what, text, why);
}

static struct plait_connector *
endpoint_connect(struct plait_reactor *r, struct plait_factory *f, void *arg)
{
	const struct plait_endpoint *e = arg;

	return e->kind->connect(e, r, f);
}

struct plait_deferred *
plait_endpoint_connect(const struct plait_endpoint *e, struct plait_reactor *r,
		       const struct plait_protocol_ops *ops, void *arg,
		       const char *where)
{
	char why[PLAIT_ENDPOINT_WHY_SIZE];

	if (r == NULL)
		plait_die(where, "plait_endpoint_connect() was given a NULL "
				 "reactor");
	if (e == NULL)
		return (plait_failed)(plait_no_memory(), where);
	if (endpoint_cannot_connect(e, why, sizeof(why)))
		return (plait_failed)(endpoint_unusable(e, &plait_error_connect,
							"connect to", why),
				      where);
	return (plait_client_connect)(r, endpoint_connect, (void *)e, ops, arg,
				      where);
}
