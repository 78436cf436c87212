/*
 * The names of the types of records, and records as text.
 *
 * Numbers and names are those of IANA's registry, but for types that are
 * obsolete or only experiments.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <plait/dns.h>

static const struct {
	unsigned type;
	const char *name;
} types[] = {
	{ PLAIT_DNS_A, "A" },
	{ PLAIT_DNS_NS, "NS" },
	{ PLAIT_DNS_CNAME, "CNAME" },
	{ PLAIT_DNS_SOA, "SOA" },
	{ PLAIT_DNS_PTR, "PTR" },
	{ 13, "HINFO" },
	{ PLAIT_DNS_MX, "MX" },
	{ PLAIT_DNS_TXT, "TXT" },
	{ 17, "RP" },
	{ 18, "AFSDB" },
	{ 24, "SIG" },
	{ 25, "KEY" },
	{ PLAIT_DNS_AAAA, "AAAA" },
	{ 29, "LOC" },
	{ PLAIT_DNS_SRV, "SRV" },
	{ 35, "NAPTR" },
	{ 36, "KX" },
	{ 37, "CERT" },
	{ 39, "DNAME" },
	{ 41, "OPT" },
	{ 42, "APL" },
	{ 43, "DS" },
	{ 44, "SSHFP" },
	{ 45, "IPSECKEY" },
	{ 46, "RRSIG" },
	{ 47, "NSEC" },
	{ 48, "DNSKEY" },
	{ 49, "DHCID" },
	{ 50, "NSEC3" },
	{ 51, "NSEC3PARAM" },
	{ 52, "TLSA" },
	{ 53, "SMIMEA" },
	{ 55, "HIP" },
	{ 59, "CDS" },
	{ 60, "CDNSKEY" },
	{ 61, "OPENPGPKEY" },
	{ 62, "CSYNC" },
	{ 63, "ZONEMD" },
	{ 64, "SVCB" },
	{ 65, "HTTPS" },
	{ 99, "SPF" },
	{ 108, "EUI48" },
	{ 109, "EUI64" },
	{ 249, "TKEY" },
	{ 250, "TSIG" },
	{ 251, "IXFR" },
	{ 252, "AXFR" },
	{ PLAIT_DNS_ANY, "ANY" },
	{ 256, "URI" },
	{ 257, "CAA" },
};

enum { N_TYPES = sizeof(types) / sizeof(types[0]), MAX_TYPE = 65535 };

static const char unknown_type[] = "TYPE";

int plait_dns_type_str(unsigned type, char *buf, size_t size)
{
	for (size_t i = 0; i < N_TYPES; i++) {
		if (types[i].type == type)
			return snprintf(buf, size, "%s", types[i].name);
	}
	return snprintf(buf, size, "%s%u", unknown_type, type);
}

/* Reads the number behind "TYPE". */
static int type_read_number(unsigned *ret, const char *text)
{
	unsigned type = 0;

	if (*text == '\0')
		return -EINVAL;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		type = type * 10 + (unsigned)(*text - '0');
		if (type > MAX_TYPE)
			return -EINVAL;
	}
	*ret = type;
	return 0;
}

int plait_dns_type_from_str(unsigned *ret, const char *text)
{
	size_t prefix = sizeof(unknown_type) - 1;

	for (size_t i = 0; i < N_TYPES; i++) {
		if (strcasecmp(types[i].name, text) == 0) {
			*ret = types[i].type;
			return 0;
		}
	}
	if (strncasecmp(text, unknown_type, prefix) != 0)
		return -EINVAL;
	return type_read_number(ret, text + prefix);
}

/* ---- records ------------------------------------------------------------- */

/* len counts what has no room, too, as snprintf() does. */
struct line {
	char *to;
	size_t size, len;
};

static void line_add(struct line *l, const char *fmt, ...) PLAIT_PRINTF(2, 3);

static void line_add(struct line *l, const char *fmt, ...)
{
	bool full = l->len >= l->size;
	va_list ap;

	va_start(ap, fmt);
	l->len += (size_t)vsnprintf(full ? NULL : l->to + l->len,
				    full ? 0 : l->size - l->len, fmt, ap);
	va_end(ap);
}

static void line_add_address(struct line *l, const struct plait_address *a)
{
	char host[PLAIT_ADDRESS_SIZE];

	plait_address_host(a, host, sizeof(host));
	line_add(l, "%s", host);
}

static void line_add_soa(struct line *l, const struct plait_dns_soa *soa)
{
	line_add(l, "%s %s %lu %lu %lu %lu %lu", soa->server, soa->mailbox,
		 (unsigned long)soa->serial, (unsigned long)soa->refresh,
		 (unsigned long)soa->retry, (unsigned long)soa->expire,
		 (unsigned long)soa->minimum);
}

/* A string in quotes. */
static void line_add_string(struct line *l, const struct plait_dns_bytes *s)
{
	line_add(l, "\"");
	for (size_t i = 0; i < s->length; i++) {
		unsigned char c = (unsigned char)s->data[i];

		if (c < 0x20 || c >= 0x7f)
			line_add(l, "\\%03u", c);
		else
			line_add(l, c == '"' || c == '\\' ? "\\%c" : "%c", c);
	}
	line_add(l, "\"");
}

static void line_add_txt(struct line *l, const struct plait_dns_txt *txt)
{
	for (size_t i = 0; i < txt->count; i++) {
		if (i > 0)
			line_add(l, " ");
		line_add_string(l, &txt->strings[i]);
	}
}

static void line_add_bytes(struct line *l, const struct plait_dns_bytes *b)
{
	line_add(l, "\\# %zu", b->length);
	for (size_t i = 0; i < b->length; i++)
		line_add(l, i == 0 ? " %02x" : "%02x",
			 (unsigned)(unsigned char)b->data[i]);
}

static void line_add_data(struct line *l, const struct plait_dns_record *rec)
{
	switch (rec->type) {
	case PLAIT_DNS_A:
	case PLAIT_DNS_AAAA:
		line_add_address(l, &rec->data.address);
		break;
	case PLAIT_DNS_CNAME:
	case PLAIT_DNS_NS:
	case PLAIT_DNS_PTR:
		line_add(l, "%s", rec->data.host);
		break;
	case PLAIT_DNS_SOA:
		line_add_soa(l, &rec->data.soa);
		break;
	case PLAIT_DNS_MX:
		line_add(l, "%u %s", rec->data.mx.preference,
			 rec->data.mx.host);
		break;
	case PLAIT_DNS_TXT:
		line_add_txt(l, &rec->data.txt);
		break;
	case PLAIT_DNS_SRV:
		line_add(l, "%u %u %u %s", rec->data.srv.priority,
			 rec->data.srv.weight, rec->data.srv.port,
			 rec->data.srv.host);
		break;
	default:
		line_add_bytes(l, &rec->data.bytes);
	}
}

int plait_dns_record_str(const struct plait_dns_record *rec, char *buf,
			 size_t size)
{
	struct line l = { .to = buf, .size = size };
	char type[20];

	plait_dns_type_str(rec->type, type, sizeof(type));
	line_add(&l, "%s %lu %s ", rec->name, (unsigned long)rec->ttl, type);
	line_add_data(&l, rec);
	return (int)l.len;
}
