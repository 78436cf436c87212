/*
 * Decoding the data of records.
 *
 * The data of a record may be too short for its type, or end in the middle of a
 * name.  Then all further reading of it gives nothing, and only the end asks
 * whether that has happened.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "reactor/names/rdata.h"

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

const char *plait_i_room_put_name(struct room *r, const struct dns_name *n)
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
	return d->bad ? NULL : plait_i_room_put_name(r, &n);
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

int plait_i_rdata_decode(struct room *r, const struct dns_message *m,
			 const struct dns_rr *rr, const char *owner,
			 uint32_t ttl)
{
	struct plait_dns_record rec = {
		.name = owner,
		.type = rr->type,
		.ttl = ttl,
	};
	struct rdata d = {
		.m = m,
		.at = rr->data,
		.end = rr->data + rr->length,
	};

	rdata_take_all(&d, r, &rec);
	if (d.bad || d.at != d.end)
		return -EBADMSG;
	room_put_record(r, &rec);
	return 0;
}
