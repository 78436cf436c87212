/*
 * From a message to the answer that programs get.
 *
 * An answer is one allocation: itself, the records, the strings of TXT records,
 * and all text.  How large it must be is known only when everything was decoded
 * once; so it is decoded twice, first without anywhere to put it (struct room).
 * Thus what is allocated is what is really there, and no count in the message
 * has a say in it.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/names/record.h"

/* In front of what programs see; only answer_make() makes one. */
struct answer {
	size_t refs;
	struct plait_dns_answer shown;
};

/* Where an answer is built: what is used so far, of memory that is not there
   the first time. */
struct room {
	size_t n_records, n_strings, n_text;
	struct plait_dns_record *records;
	struct plait_dns_bytes *strings;
	char *text;
};

/* Reading a message: where the question has led to. */
struct chain {
	const struct dns_message *m;
	uint32_t age;
	struct dns_name name;
	size_t n_aliases;
	struct dns_rr aliases[MAX_ALIASES];
	uint32_t ttl;
};

/* ---- time ---------------------------------------------------------------- */

static uint32_t ttl_lesser(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* A number with the top bit set counts as 0 (RFC 2181, 8). */
static uint32_t ttl_of(const struct chain *c, uint32_t sent, uint32_t most)
{
	uint32_t ttl = sent > INT32_MAX ? 0 : ttl_lesser(sent, most);

	return ttl > c->age ? ttl - c->age : 0;
}

/* ---- room ---------------------------------------------------------------- */

/* Copies bytes, and a NUL behind them; gives NULL where there is no room. */
static const char *room_put(struct room *r, const void *bytes, size_t len)
{
	char *to = r->text != NULL ? r->text + r->n_text : NULL;

	r->n_text += len + 1;
	if (to == NULL)
		return NULL;
	memcpy(to, bytes, len);
	to[len] = '\0';
	return to;
}

static const char *room_put_name(struct room *r, const struct dns_name *n)
{
	char text[NAME_TEXT_SIZE];
	int len = plait_i_name_str(n, text, sizeof(text));

	return room_put(r, text, (size_t)len);
}

static void room_put_string(struct room *r, const void *bytes, size_t len)
{
	const char *data = room_put(r, bytes, len);

	if (r->strings != NULL)
		r->strings[r->n_strings] =
			(struct plait_dns_bytes){ .data = data, .length = len };
	r->n_strings++;
}

static void room_put_record(struct room *r, const struct plait_dns_record *rec)
{
	if (r->records != NULL)
		r->records[r->n_records] = *rec;
	r->n_records++;
}

/* ---- decoding ------------------------------------------------------------ */

/* What is not yet read of the data of a record. */
struct rdata {
	const struct dns_message *m;
	size_t at, end;
	bool bad; /* it had not enough */
};

/* Moves past this many bytes, and returns where they are. */
static size_t rdata_take(struct rdata *d, size_t len)
{
	size_t at = d->at;

	if (d->bad || d->end - d->at < len) {
		d->bad = true;
		return 0; /* where the header is: it is harmless to read it */
	}
	d->at += len;
	return at;
}

static unsigned rdata_take16(struct rdata *d)
{
	return message_get16(d->m, rdata_take(d, 2));
}

static uint32_t rdata_take32(struct rdata *d)
{
	return message_get32(d->m, rdata_take(d, 4));
}

static const char *rdata_take_name(struct rdata *d, struct room *r)
{
	struct dns_name n;

	d->bad = d->bad || plait_i_message_name(d->m, &d->at, &n) != 0 ||
		 d->at > d->end;
	return d->bad ? NULL : room_put_name(r, &n);
}

static void rdata_take_address(struct rdata *d, int family, size_t len,
			       struct plait_address *ret)
{
	ret->family = (uint16_t)family;
	ret->length = (uint16_t)len;
	memcpy(ret->bytes, d->m->bytes + rdata_take(d, len), d->bad ? 0 : len);
}

static void rdata_take_soa(struct rdata *d, struct room *r,
			   struct plait_dns_soa *ret)
{
	ret->server = rdata_take_name(d, r);
	ret->mailbox = rdata_take_name(d, r);
	ret->serial = rdata_take32(d);
	ret->refresh = rdata_take32(d);
	ret->retry = rdata_take32(d);
	ret->expire = rdata_take32(d);
	ret->minimum = rdata_take32(d);
}

/* Strings to the end of the data, at least one. */
static void rdata_take_txt(struct rdata *d, struct room *r,
			   struct plait_dns_txt *ret)
{
	size_t len, at;

	ret->strings = r->strings != NULL ? r->strings + r->n_strings : NULL;
	do {
		len = d->m->bytes[rdata_take(d, 1)];
		at = rdata_take(d, len);
		if (d->bad)
			return;
		room_put_string(r, d->m->bytes + at, len);
		ret->count++;
	} while (d->at < d->end);
}

static void rdata_take_bytes(struct rdata *d, struct room *r,
			     struct plait_dns_bytes *ret)
{
	size_t len = d->end - d->at;
	size_t at = rdata_take(d, len);

	*ret = (struct plait_dns_bytes){
		.data = room_put(r, d->m->bytes + at, len),
		.length = len,
	};
}

static void rdata_take_all(struct rdata *d, struct room *r,
			   struct plait_dns_record *rec)
{
	switch (rec->type) {
	case PLAIT_DNS_A:
		rdata_take_address(d, AF_INET, 4, &rec->data.address);
		break;
	case PLAIT_DNS_AAAA:
		rdata_take_address(d, AF_INET6, 16, &rec->data.address);
		break;
	case PLAIT_DNS_CNAME:
	case PLAIT_DNS_NS:
	case PLAIT_DNS_PTR:
		rec->data.host = rdata_take_name(d, r);
		break;
	case PLAIT_DNS_SOA:
		rdata_take_soa(d, r, &rec->data.soa);
		break;
	case PLAIT_DNS_MX:
		rec->data.mx.preference = rdata_take16(d);
		rec->data.mx.host = rdata_take_name(d, r);
		break;
	case PLAIT_DNS_TXT:
		rdata_take_txt(d, r, &rec->data.txt);
		break;
	case PLAIT_DNS_SRV:
		rec->data.srv.priority = rdata_take16(d);
		rec->data.srv.weight = rdata_take16(d);
		rec->data.srv.port = rdata_take16(d);
		rec->data.srv.host = rdata_take_name(d, r);
		break;
	default:
		rdata_take_bytes(d, r, &rec->data.bytes);
	}
}

/* Decodes a record; owner is its name, as text. */
static int record_decode(const struct chain *c, const struct dns_rr *rr,
			 const char *owner, struct room *r)
{
	struct plait_dns_record rec = {
		.name = owner,
		.type = rr->type,
		.ttl = ttl_of(c, rr->ttl, MAX_TTL),
	};
	struct rdata d = {
		.m = c->m,
		.at = rr->data,
		.end = rr->data + rr->length,
	};

	rdata_take_all(&d, r, &rec);
	if (d.bad || d.at != d.end)
		return -EBADMSG;
	room_put_record(r, &rec);
	return 0;
}

/* ---- following aliases --------------------------------------------------- */

/*
 * Gives the next record of the answer that has this type, or any, and the name
 * that the chain has led to.
 */
static bool chain_next(const struct chain *c, struct dns_walk *w, unsigned type,
		       struct dns_rr *rr)
{
	while (plait_i_message_next(c->m, w, rr) &&
	       rr->section == SECTION_ANSWER) {
		if ((rr->type == type || type == PLAIT_DNS_ANY) &&
		    rr->dns_class == c->m->dns_class &&
		    plait_i_message_name_is(c->m, rr->name, &c->name))
			return true;
	}
	return false;
}

/* Follows one CNAME. */
static int chain_step(struct chain *c, const struct dns_rr *rr)
{
	size_t at = rr->data;

	if (c->n_aliases == MAX_ALIASES ||
	    plait_i_message_name(c->m, &at, &c->name) != 0 ||
	    at != rr->data + rr->length)
		return -EBADMSG;
	c->aliases[c->n_aliases++] = *rr;
	c->ttl = ttl_lesser(c->ttl, ttl_of(c, rr->ttl, MAX_TTL));
	return 0;
}

/*
 * Follows the CNAMEs to their end.  They mostly come in order; so the search
 * for each begins behind the one before it, and only then at the first record.
 */
static int chain_follow(struct chain *c)
{
	struct dns_walk w = { .at = 0 }, from;
	struct dns_rr rr;
	int err = 0;
	bool found = true;

	if (c->m->type == PLAIT_DNS_CNAME || c->m->type == PLAIT_DNS_ANY)
		return 0;
	while (err == 0 && found) {
		from = w;
		found = chain_next(c, &w, PLAIT_DNS_CNAME, &rr);
		if (!found && from.at != 0) {
			w = (struct dns_walk){ .at = 0 };
			found = chain_next(c, &w, PLAIT_DNS_CNAME, &rr);
		}
		if (found)
			err = chain_step(c, &rr);
	}
	return err;
}

/* ---- answers ------------------------------------------------------------- */

/* Decodes the aliases: each is of the name that the one before it leads to. */
static int answer_put_aliases(const struct chain *c, struct room *r)
{
	const char *owner = room_put_name(r, &c->m->name);
	int err = 0;

	for (size_t i = 0; i < c->n_aliases && err == 0; i++) {
		err = record_decode(c, &c->aliases[i], owner, r);
		if (r->records != NULL)
			owner = r->records[i].data.host;
	}
	return err;
}

static int answer_put_records(const struct chain *c, struct room *r)
{
	const char *owner = room_put_name(r, &c->name);
	struct dns_walk w = { .at = 0 };
	struct dns_rr rr;
	int err = 0;

	while (err == 0 && chain_next(c, &w, c->m->type, &rr))
		err = record_decode(c, &rr, owner, r);
	return err;
}

/* Decodes everything: the aliases, then the records. */
static int answer_put(const struct chain *c, struct room *r)
{
	int err = answer_put_aliases(c, r);

	return err == 0 ? answer_put_records(c, r) : err;
}

/* Makes an answer with room for all that was counted; r becomes that room. */
static struct answer *answer_new(struct room *r)
{
	size_t records = r->n_records * sizeof(*r->records);
	size_t strings = r->n_strings * sizeof(*r->strings);
	struct answer *a = malloc(sizeof(*a) + records + strings + r->n_text);
	char *behind = (char *)(a + 1);

	if (a == NULL)
		return NULL;
	*a = (struct answer){ .refs = 1 };
	*r = (struct room){
		.records = (void *)behind,
		.strings = (void *)(behind + records),
		.text = behind + records + strings,
	};
	return a;
}

static uint32_t answer_ttl(const struct chain *c,
			   const struct plait_dns_answer *a)
{
	uint32_t ttl = c->ttl;

	for (size_t i = 0; i < a->count; i++)
		ttl = ttl_lesser(ttl, a->records[i].ttl);
	return ttl;
}

/* Gives the answer that the room has become. */
static struct plait_dns_answer *
answer_show(struct answer *a, const struct chain *c, const struct room *r)
{
	a->shown = (struct plait_dns_answer){
		.name = r->text,
		.type = c->m->type,
		.count = r->n_records - c->n_aliases,
		.records = r->records + c->n_aliases,
		.n_aliases = c->n_aliases,
		.aliases = r->records,
		.authentic = c->m->authentic,
	};
	a->shown.ttl = answer_ttl(c, &a->shown);
	return &a->shown;
}

/* Sets *ret to the answer; to NULL if no record is left at the end. */
static int answer_make(const struct chain *c, struct plait_dns_answer **ret)
{
	struct room r = { .n_records = 0 };
	struct answer *a;
	int err = answer_put(c, &r);

	if (err != 0)
		return err;
	*ret = NULL;
	if (r.n_records == c->n_aliases)
		return 0;
	a = answer_new(&r);
	if (a == NULL)
		return -ENOMEM;
	/* The same as before, which went well. */
	answer_put(c, &r);
	*ret = answer_show(a, c, &r);
	return 0;
}

/* ---- what is not --------------------------------------------------------- */

/* The least of what the SOA says: its own time, and that for what is not. */
static uint32_t soa_negative_ttl(const struct chain *c, const struct dns_rr *rr)
{
	uint32_t minimum;

	if (rr->length < 4)
		return 0;
	minimum = message_get32(c->m, rr->data + rr->length - 4);
	return ttl_lesser(ttl_of(c, rr->ttl, MAX_NEGATIVE_TTL),
			  ttl_of(c, minimum, MAX_NEGATIVE_TTL));
}

/*
 * How long it is true that the name, or its record, is not: the SOA of the zone
 * in which the name would be says so (RFC 2308, 3).
 */
static uint32_t chain_negative_ttl(const struct chain *c)
{
	struct dns_walk w = { .at = 0 };
	struct dns_rr rr;
	struct dns_name zone;

	while (plait_i_message_next(c->m, &w, &rr)) {
		if (rr.section == SECTION_AUTHORITY &&
		    rr.type == PLAIT_DNS_SOA &&
		    rr.dns_class == c->m->dns_class &&
		    plait_i_message_name(c->m, &rr.name, &zone) == 0 &&
		    plait_i_name_is_under(&c->name, &zone))
			return ttl_lesser(c->ttl, soa_negative_ttl(c, &rr));
	}
	return 0;
}

/* ---- all together -------------------------------------------------------- */

static void chain_read_nothing(const struct chain *c, struct dns_reading *ret)
{
	*ret = (struct dns_reading){
		.outcome = c->m->rcode == RCODE_NO_NAME ? DNS_NO_NAME
							: DNS_NO_DATA,
		.ttl = chain_negative_ttl(c),
		.end = c->name,
	};
}

int plait_i_answer_read(struct dns_reading *ret, const struct dns_message *m,
			uint32_t age)
{
	struct chain c = { .m = m, .age = age, .name = m->name };
	struct plait_dns_answer *a = NULL;
	int err;

	c.ttl = MAX_TTL;
	if (!m->whole || !m->has_question)
		return -EBADMSG;
	err = chain_follow(&c);
	if (err == 0 && m->rcode == RCODE_OK)
		err = answer_make(&c, &a);
	if (err != 0)
		return err;
	if (a == NULL)
		chain_read_nothing(&c, ret);
	else
		*ret = (struct dns_reading){
			.outcome = DNS_FOUND,
			.ttl = a->ttl,
			.end = c.name,
			.answer = a,
		};
	return 0;
}

/* ---- as a value ---------------------------------------------------------- */

static struct answer *answer_of(struct plait_dns_answer *a)
{
	return plait_container(a, struct answer, shown);
}

void plait_i_answer_unref(struct plait_dns_answer **ap)
{
	struct plait_dns_answer *a = *ap;

	*ap = NULL;
	if (a != NULL && --answer_of(a)->refs == 0)
		free(answer_of(a));
}

static void answer_value_free(void *ptr)
{
	struct plait_dns_answer *a = ptr;

	plait_i_answer_unref(&a);
}

static void *answer_value_ref(void *ptr)
{
	answer_of(ptr)->refs++;
	return ptr;
}

const struct plait_type plait_dns_answer_type = {
	.name = "dns_answer",
	.free = answer_value_free,
	.ref = answer_value_ref,
};

plait_value plait_i_answer_value(struct plait_dns_answer *a)
{
	return plait_value_make(&plait_dns_answer_type, a);
}

#undef plait_value_dns_answer

const struct plait_dns_answer *plait_value_dns_answer(const plait_value *v,
						      const char *where)
{
	return (plait_value_get)(v, &plait_dns_answer_type, where);
}
