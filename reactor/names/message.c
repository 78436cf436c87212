/*
 * Messages of the DNS (RFC 1035, 4; RFC 6891).
 *
 * All that is read is untrusted.  A place in a message is looked at only after
 * it was compared with the size of the message; the counts in the header say
 * when to stop, and are trusted for nothing else.  A name goes on elsewhere
 * only before the place where its present piece has begun, and a name has only
 * so many labels: so reading it ends, however the pieces are linked.  Plain
 * pieces that only lead on are counted as labels, too, or a long row of them
 * would be walked anew for each record.
 */
#include <errno.h>
#include <string.h>

#include "reactor/names/message.h"

enum {
	HEADER_SIZE = 12,
	COUNTS = 4, /* where they begin: questions, then the three sections */
	SECTIONS = 3,
	RECORD_SIZE = 10, /* behind the name, without the data */
	TYPE_OPT = 41
};

/* The third and fourth byte, as one number. */
enum {
	FLAG_ANSWER = 0x8000,
	FLAG_AUTHORITATIVE = 0x0400,
	FLAG_TRUNCATED = 0x0200,
	FLAG_RECURSION = 0x0100,
	FLAG_RECURSION_AVAILABLE = 0x0080,
	FLAG_AUTHENTIC = 0x0020,
	OPCODE_SHIFT = 11,
	FOUR_BITS = 0xf
};

/* ---- writing ------------------------------------------------------------- */

static unsigned char *message_put16(unsigned char *to, unsigned n)
{
	to[0] = (unsigned char)(n >> 8);
	to[1] = (unsigned char)n;
	return to + 2;
}

/* The record of RFC 6891 for the root, without data; its class is the size. */
static unsigned char *message_put_edns(unsigned char *to)
{
	*to++ = 0;
	to = message_put16(to, TYPE_OPT);
	to = message_put16(to, MESSAGE_EDNS_SIZE);
	memset(to, 0, RECORD_SIZE - 4);
	return to + RECORD_SIZE - 4;
}

size_t plait_i_message_ask(unsigned char *buf, unsigned id,
			   const struct dns_name *name, unsigned type,
			   unsigned flags)
{
	unsigned char *to = buf;

	to = message_put16(to, id);
	to = message_put16(to,
			   FLAG_RECURSION |
				   (flags & ASK_TRUSTED ? FLAG_AUTHENTIC : 0));
	to = message_put16(to, 1);
	to = message_put16(to, 0);
	to = message_put16(to, 0);
	to = message_put16(to, flags & ASK_EDNS ? 1 : 0);
	memcpy(to, name->wire, name->length);
	to = message_put16(to + name->length, type);
	to = message_put16(to, DNS_CLASS_IN);
	if (flags & ASK_EDNS)
		to = message_put_edns(to);
	return (size_t)(to - buf);
}

/* ---- names --------------------------------------------------------------- */

/* A way through a name. */
struct pieces {
	size_t at;    /* of the next label, or of what leads on */
	size_t piece; /* where the present piece has begun */
	size_t end;   /* behind the name, where it has begun; 0: unknown yet */
	unsigned links; /* how often it has led on */
};

/* Follows the two bytes at p->at to an earlier piece. */
static int pieces_follow(const struct dns_message *m, struct pieces *p)
{
	size_t to;

	if (m->size - p->at < 2 || p->links == NAME_LABELS)
		return -EBADMSG;
	to = (m->bytes[p->at] & 0x3fu) * 256u + m->bytes[p->at + 1];
	if (to < HEADER_SIZE || to >= p->piece)
		return -EBADMSG;
	if (p->links++ == 0)
		p->end = p->at + 2;
	p->at = p->piece = to;
	return 0;
}

/* Gives the next label, behind its length; the root is a zero. */
static int pieces_next(const struct dns_message *m, struct pieces *p,
		       const unsigned char **ret)
{
	unsigned len;

	while (p->at < m->size && (m->bytes[p->at] & 0xc0) == 0xc0) {
		if (pieces_follow(m, p) != 0)
			return -EBADMSG;
	}
	if (p->at >= m->size)
		return -EBADMSG;
	len = m->bytes[p->at];
	if (len > LABEL_SIZE || m->size - p->at < 1 + len)
		return -EBADMSG;
	*ret = m->bytes + p->at;
	p->at += 1 + len;
	if (p->links == 0)
		p->end = p->at;
	return 0;
}

int plait_i_message_name(const struct dns_message *m, size_t *at,
			 struct dns_name *ret)
{
	struct pieces p = { .at = *at, .piece = *at };
	struct dns_name n = { .absolute = true };
	const unsigned char *label;
	size_t len;

	do {
		if (pieces_next(m, &p, &label) != 0)
			return -EBADMSG;
		len = 1u + *label;
		if (n.length + len > NAME_SIZE)
			return -EBADMSG;
		memcpy(n.wire + n.length, label, len);
		n.length = (unsigned char)(n.length + len);
		n.labels = (unsigned char)(n.labels + (*label != 0));
	} while (*label != 0);
	*at = p.end;
	*ret = n;
	return 0;
}

bool plait_i_message_name_is(const struct dns_message *m, size_t at,
			     const struct dns_name *n)
{
	struct dns_name there;

	return plait_i_message_name(m, &at, &there) == 0 &&
	       plait_i_name_equal(&there, n);
}

/* ---- records ------------------------------------------------------------- */

/* Reads the record at *at and moves *at behind it. */
static int message_read_record(const struct dns_message *m, size_t *at,
			       struct dns_rr *rr)
{
	struct dns_name name;
	size_t here = *at;

	rr->name = here;
	if (plait_i_message_name(m, &here, &name) != 0 ||
	    m->size - here < RECORD_SIZE)
		return -EBADMSG;
	rr->type = message_get16(m, here);
	rr->dns_class = message_get16(m, here + 2);
	rr->ttl = message_get32(m, here + 4);
	rr->length = message_get16(m, here + 8);
	rr->data = here + RECORD_SIZE;
	if (m->size - rr->data < rr->length)
		return -EBADMSG;
	*at = rr->data + rr->length;
	return 0;
}

bool plait_i_message_next(const struct dns_message *m, struct dns_walk *w,
			  struct dns_rr *ret)
{
	struct dns_rr rr;

	while (w->section < SECTIONS && w->done == m->counts[w->section]) {
		w->section++;
		w->done = 0;
	}
	if (w->section == SECTIONS)
		return false;
	if (w->at == 0)
		w->at = m->records;
	rr.section = (enum dns_section)w->section;
	if (message_read_record(m, &w->at, &rr) != 0)
		return false;
	w->done++;
	*ret = rr;
	return true;
}

/* ---- messages ------------------------------------------------------------ */

static void message_read_header(struct dns_message *m)
{
	unsigned flags = message_get16(m, 2);

	m->id = message_get16(m, 0);
	m->is_answer = flags & FLAG_ANSWER;
	m->opcode = flags >> OPCODE_SHIFT & FOUR_BITS;
	m->authoritative = flags & FLAG_AUTHORITATIVE;
	m->truncated = flags & FLAG_TRUNCATED;
	m->recursion_available = flags & FLAG_RECURSION_AVAILABLE;
	m->authentic = flags & FLAG_AUTHENTIC;
	m->rcode = flags & FOUR_BITS;
	for (size_t i = 0; i < SECTIONS; i++)
		m->counts[i] = message_get16(m, COUNTS + 2 + 2 * i);
}

static int message_read_question(struct dns_message *m)
{
	unsigned count = message_get16(m, COUNTS);
	size_t at = HEADER_SIZE;

	m->records = at;
	if (count == 0)
		return 0;
	if (count > 1 || plait_i_message_name(m, &at, &m->name) != 0 ||
	    m->size - at < 4)
		return -EBADMSG;
	m->has_question = true;
	m->type = message_get16(m, at);
	m->dns_class = message_get16(m, at + 2);
	m->records = at + 4;
	return 0;
}

/* The time to live of this record has further bits of the code. */
static void message_read_edns(struct dns_message *m, const struct dns_rr *rr)
{
	m->has_edns = true;
	m->rcode |= rr->ttl >> 24 << 4;
}

/* Walks all records once. */
static void message_read_records(struct dns_message *m)
{
	struct dns_walk w = { .at = 0 };
	struct dns_rr rr;
	unsigned n_edns = 0;

	while (plait_i_message_next(m, &w, &rr)) {
		if (rr.section == SECTION_ADDITIONAL && rr.type == TYPE_OPT &&
		    n_edns++ == 0)
			message_read_edns(m, &rr);
	}
	m->whole = w.section == SECTIONS && n_edns <= 1;
}

int plait_i_message_parse(struct dns_message *ret, const void *bytes,
			  size_t len)
{
	struct dns_message m = { .bytes = bytes, .size = len };

	if (len < HEADER_SIZE)
		return -EBADMSG;
	message_read_header(&m);
	if (message_read_question(&m) != 0)
		return -EBADMSG;
	message_read_records(&m);
	*ret = m;
	return 0;
}

bool plait_i_message_answers(const struct dns_message *m, unsigned id,
			     const struct dns_name *name, unsigned type)
{
	return m->is_answer && m->opcode == 0 && m->id == id &&
	       m->has_question && m->type == type &&
	       m->dns_class == DNS_CLASS_IN &&
	       plait_i_name_equal(&m->name, name);
}
