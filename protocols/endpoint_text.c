/*
 * The text of endpoints, read and written.
 *
 *	KIND:VALUE:...:KEY=VALUE:...
 *	WRAPPER:KEY=VALUE:...:ENDPOINT
 *
 * A text is cut at its colons into parts.  A part is a key and a value, or a
 * value alone.  The table of a kind says which keys the kind has, and of what
 * type they are, so reading and writing are the same for all kinds.  A wrapper
 * ends at the first part without a key, which is the kind of what it wraps; so
 * endpoints are a chain, which loops follow, however long it is.
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

#include "lib/exception.h"
#include "protocols/endpoint.h"

static const uint64_t max_port = 65535, max_count = INT32_MAX, max_mode = 0777;
static const uint64_t max_seconds = 1000000000;
static const uint64_t max_bytes = 16000000000; /* of a bucket in a second */

enum { DECIMALS = 6, MAX_HOST = 255 };

/* It calls the program, if that has registered the kind. */
static OUT_OF_LINE const char *endpoint_ask(const struct plait_endpoint *e)
{
	const char *wrong = e->kind->check(e);

	exception_barrier();
	return wrong;
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
	plait_i_endpoint_make_printable(r->why);
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
	const struct plait_endpoint_key *key;
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
	s->value->number = whole * ENDPOINT_MICROSECONDS + decimals;
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
	case PLAIT_ENDPOINT_TEXT:
		return endpoint_keep(r, s, s->part->value,
				     strlen(s->part->value));
	case PLAIT_ENDPOINT_HOST:
		return endpoint_read_host(r, s);
	case PLAIT_ENDPOINT_ADDRESS:
		return endpoint_read_address(r, s);
	case PLAIT_ENDPOINT_PATH:
		return endpoint_read_path(r, s);
	case PLAIT_ENDPOINT_PORT:
		return endpoint_read_number(r, s, 0, max_port);
	case PLAIT_ENDPOINT_COUNT:
		return endpoint_read_number(r, s, 1, max_count);
	case PLAIT_ENDPOINT_NUMBER:
		return endpoint_read_number(r, s, 0, max_count);
	case PLAIT_ENDPOINT_FLAG:
		return endpoint_read_number(r, s, 0, 1);
	case PLAIT_ENDPOINT_MODE:
		return endpoint_read_mode(r, s);
	case PLAIT_ENDPOINT_SECONDS:
		return endpoint_read_seconds(r, s);
	case PLAIT_ENDPOINT_BYTES:
		return endpoint_read_bytes(r, s);
	}
	return -EINVAL;
}

static int endpoint_set(const struct endpoint_reader *r,
			struct plait_endpoint *e, size_t key,
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
	int key = plait_i_endpoint_key(e->kind, part->key);

	if (key < 0)
		return endpoint_refuse(r, part->at, "%s has no key `" WORD "'",
				       e->kind->name, part->key);
	return endpoint_set(r, e, (size_t)key, part);
}

/* The values that stand before the first key. */
struct endpoint_plain {
	struct endpoint_part parts[ENDPOINT_MAX_PLAIN];
	size_t n;
};

static int endpoint_set_plain(const struct endpoint_reader *r,
			      struct plait_endpoint *e,
			      const struct endpoint_plain *plain)
{
	size_t first = e->kind->plain - plain->n;

	for (size_t i = 0; i < plain->n; i++) {
		int err = endpoint_set(r, e, first + i, &plain->parts[i]);

		if (err < 0)
			return err;
	}
	return 0;
}

/* A key that only one of the uses needs is looked for when it is used. */
static int endpoint_check(const struct endpoint_reader *r,
			  const struct plait_endpoint *e, size_t at)
{
	const struct plait_endpoint_kind *kind = e->kind;
	const char *wrong;

	for (size_t i = 0; i < kind->n_keys; i++)
		if (kind->keys[i].use == PLAIT_ENDPOINT_NEEDED &&
		    !e->values[i].is_set)
			return endpoint_refuse(r, at, "%s has no %s",
					       kind->name, kind->keys[i].name);
	wrong = kind->check != NULL ? endpoint_ask(e) : NULL;
	return wrong != NULL ? endpoint_refuse(r, at, "%s", wrong) : 0;
}

/* What a value without a key is: 1 if it is the kind of what a wrapper wraps;
   0 if it is one of *plain now; or -errno. */
static int endpoint_read_plain(const struct endpoint_reader *r,
			       const struct plait_endpoint *e,
			       const struct endpoint_part *part, bool has_key,
			       struct endpoint_plain *plain)
{
	if (endpoint_wraps(e->kind))
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
	if (endpoint_wraps(e->kind) && rc == 0)
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
	const struct plait_endpoint_kind *kind =
		part->key == NULL ? plait_i_endpoint_kind(part->value) : NULL;

	if (kind == NULL)
		return endpoint_refuse(
			r, part->at, "there is no kind `" WORD "'",
			part->key != NULL ? part->key : part->value);
	*ret = plait_i_endpoint_new(kind);
	if (*ret == NULL)
		return endpoint_lacks_memory(r);
	/* A kind that has no values may be written with a colon all the same:
	   `stdio:', as Twisted has it. */
	if (kind->n_keys == 0 && !endpoint_wraps(kind) && r->next != NULL &&
	    *r->next == '\0')
		r->next = NULL;
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
			place = endpoint_wraps((*place)->kind)
					? &(*place)->inner
					: NULL;
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
		 (unsigned long long)(number / ENDPOINT_MICROSECONDS),
		 (unsigned long long)(number % ENDPOINT_MICROSECONDS));
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

static void endpoint_put_text(struct endpoint_text *t,
			      enum plait_endpoint_type type, const char *text)
{
	bool is_host =
		type == PLAIT_ENDPOINT_HOST || type == PLAIT_ENDPOINT_ADDRESS;

	if (!is_host || strchr(text, ':') == NULL) {
		endpoint_put_escaped(t, text, true);
		return;
	}
	endpoint_put(t, "[");
	endpoint_put(t, text);
	endpoint_put(t, "]");
}

static void endpoint_put_value(struct endpoint_text *t,
			       const struct plait_endpoint_key *key,
			       const struct endpoint_value *v)
{
	if (v->text != NULL)
		endpoint_put_text(t, key->type, v->text);
	else if (key->type == PLAIT_ENDPOINT_SECONDS)
		endpoint_put_seconds(t, v->number);
	else
		endpoint_put_number(
			t, key->type == PLAIT_ENDPOINT_MODE ? "%llo" : "%llu",
			v->number);
}

/* What needs no key comes first, as the first keys of each kind. */
static void endpoint_put_one(struct endpoint_text *t,
			     const struct plait_endpoint *e)
{
	endpoint_put(t, e->kind->name);
	for (size_t i = 0; i < e->kind->n_keys; i++) {
		const struct plait_endpoint_key *key = &e->kind->keys[i];

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

/* ---- without a text ------------------------------------------------------ */

/* Reads PREFIX WORD SUFFIX, in which no character of word has a meaning. */
static struct plait_endpoint *
endpoint_from(const char *prefix, const char *word, const char *suffix)
{
	size_t size = strlen(prefix) + 2 * strlen(word) + strlen(suffix) + 1;
	char *text = malloc(size);
	struct endpoint_text t = { .buf = text, .size = size };
	struct plait_endpoint *e = NULL;
	int err;

	if (text == NULL)
		return NULL;
	endpoint_put(&t, prefix);
	endpoint_put_escaped(&t, word, true);
	endpoint_put(&t, suffix);
	text[t.length] = '\0';
	err = plait_endpoint_parse(text, &e, NULL, 0);
	free(text);
	if (err < 0)
		errno = -err;
	return e;
}

struct plait_endpoint *plait_endpoint_tcp(const char *host, unsigned port)
{
	char suffix[24];

	snprintf(suffix, sizeof(suffix), ":%u", port);
	return host != NULL ? endpoint_from("tcp:", host, suffix)
			    : endpoint_from("tcp", "", suffix);
}

struct plait_endpoint *plait_endpoint_unix(const char *path)
{
	return endpoint_from("unix:", path, "");
}
