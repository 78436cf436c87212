/*
 * From a message to the answer that programs get.
 *
 * An answer is one allocation: itself, the records, the strings of TXT records,
 * and all text.  How large it must be is known only when everything was decoded
 * once; so it is decoded twice, first without anywhere to put it (rdata.h).
 * Thus what is allocated is what is really there, and no count in the message
 * has a say in it.
 */
#include <errno.h>
#include <stdlib.h>

#include "reactor/names/rdata.h"
#include "reactor/names/record.h"

/* In front of what programs see; only answer_make() makes one. */
struct answer {
	size_t refs;
	struct plait_dns_answer shown;
};

/* Reading messages: where the question of the first has led to. */
struct chain {
	const struct dns_message *first, *m; /* m is being read */
	uint32_t age;
	struct dns_name name;
	size_t n_aliases;
	struct alias {
		const struct dns_message *m;
		struct dns_rr rr;
	} aliases[MAX_ALIASES];
	uint32_t ttl;
	bool authentic; /* all messages are */
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

/* All CNAME records of an answer, also those that the question leads not to. */
struct cnames {
	size_t count;
	struct dns_rr rr[MAX_CNAMES];
};

static int cnames_gather(struct cnames *all, const struct dns_message *m)
{
	struct dns_walk w = { .at = 0 };
	struct dns_rr rr;

	while (plait_i_message_next(m, &w, &rr) &&
	       rr.section == SECTION_ANSWER) {
		if (rr.type != PLAIT_DNS_CNAME || rr.dns_class != m->dns_class)
			continue;
		if (all->count == MAX_CNAMES)
			return -EBADMSG;
		all->rr[all->count++] = rr;
	}
	return 0;
}

/* The first CNAME of the name that the chain has led to; NULL: none. */
static const struct dns_rr *cnames_find(const struct cnames *all,
					const struct chain *c)
{
	for (size_t i = 0; i < all->count; i++) {
		if (plait_i_message_name_is(c->m, all->rr[i].name, &c->name))
			return &all->rr[i];
	}
	return NULL;
}

/* Follows one CNAME. */
static int chain_step(struct chain *c, const struct dns_rr *rr)
{
	size_t at = rr->data;

	if (c->n_aliases == MAX_ALIASES ||
	    plait_i_message_name(c->m, &at, &c->name) != 0 ||
	    at != rr->data + rr->length)
		return -EBADMSG;
	c->aliases[c->n_aliases++] = (struct alias){ .m = c->m, .rr = *rr };
	c->ttl = ttl_lesser(c->ttl, ttl_of(c, rr->ttl, MAX_TTL));
	return 0;
}

/* Follows the CNAMEs to their end, in whatever order they have come. */
static int chain_follow(struct chain *c)
{
	struct cnames all = { .count = 0 };
	const struct dns_rr *rr;
	int err;

	if (c->m->type == PLAIT_DNS_CNAME || c->m->type == PLAIT_DNS_ANY)
		return 0;
	err = cnames_gather(&all, c->m);
	while (err == 0 && (rr = cnames_find(&all, c)) != NULL)
		err = chain_step(c, rr);
	return err;
}

/* Decodes a record of the chain; owner is its name, as text. */
static int chain_decode(const struct chain *c, const struct dns_message *m,
			const struct dns_rr *rr, const char *owner,
			struct room *r)
{
	return plait_i_rdata_decode(r, m, rr, owner,
				    ttl_of(c, rr->ttl, MAX_TTL));
}

/* ---- answers ------------------------------------------------------------- */

/* Decodes the aliases: each is of the name that the one before it leads to. */
static int answer_put_aliases(const struct chain *c, struct room *r)
{
	const char *owner = plait_i_room_put_name(r, &c->first->name);
	int err = 0;

	for (size_t i = 0; i < c->n_aliases && err == 0; i++) {
		err = chain_decode(c, c->aliases[i].m, &c->aliases[i].rr, owner,
				   r);
		if (r->records != NULL)
			owner = r->records[i].data.host;
	}
	return err;
}

static int answer_put_records(const struct chain *c, struct room *r)
{
	const char *owner = plait_i_room_put_name(r, &c->name);
	struct dns_walk w = { .at = 0 };
	struct dns_rr rr;
	int err = 0;

	while (err == 0 && chain_next(c, &w, c->m->type, &rr))
		err = chain_decode(c, c->m, &rr, owner, r);
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
	char *behind;

	if (a == NULL)
		return NULL;
	behind = (char *)(a + 1);
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
		.authentic = c->authentic,
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

/* Follows the aliases of the next message. */
static int chain_read(struct chain *c, const struct dns_message *m)
{
	if (!m->whole || !m->has_question ||
	    !plait_i_name_equal(&m->name, &c->name))
		return -EBADMSG;
	c->m = m;
	c->authentic = c->authentic && m->authentic;
	return chain_follow(c);
}

int plait_i_answer_read_parts(struct dns_reading *ret,
			      const struct dns_message *parts, size_t n,
			      uint32_t age)
{
	struct chain c = { .first = parts,
			   .age = age,
			   .name = parts->name,
			   .ttl = MAX_TTL,
			   .authentic = true };
	struct plait_dns_answer *a = NULL;
	int err = 0;

	for (size_t i = 0; i < n && err == 0; i++)
		err = chain_read(&c, &parts[i]);
	if (err == 0 && c.m->rcode == RCODE_OK)
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

int plait_i_answer_read(struct dns_reading *ret, const struct dns_message *m,
			uint32_t age)
{
	return plait_i_answer_read_parts(ret, m, 1, age);
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

struct plait_dns_answer *plait_i_answer_ref(struct plait_dns_answer *a)
{
	answer_of(a)->refs++;
	return a;
}

static void *answer_value_ref(void *ptr)
{
	return plait_i_answer_ref(ptr);
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
