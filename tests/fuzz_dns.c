/*
 * What comes from DNS servers, and names that people write.  The first byte
 * says what the others are: the text of a name, or a message, with the age that
 * its answer is read with.
 *
 * What is read of a message lies in it; what the answer says is text that reads
 * back as what it was, and is no longer true than any of its parts.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/names/record.h"
#include "tests/fuzz.h"

enum { MAX_TEXT = 2000 };

/* ---- names --------------------------------------------------------------- */

static void check_visible(const char *text)
{
	for (; *text != '\0'; text++)
		plait_assert(*text > 0x20 && *text < 0x7f);
}

static void check_name(const struct dns_name *n)
{
	struct dns_name again, folded = *n;
	char text[NAME_TEXT_SIZE];
	size_t len = (size_t)plait_i_name_str(n, text, sizeof(text));

	plait_assert(n->length >= 1 && n->labels <= NAME_LABELS);
	plait_assert(n->wire[n->length - 1] == 0);
	plait_assert(len == strlen(text));
	check_visible(text);
	plait_assert(plait_i_name_parse(&again, text) == 0);
	plait_assert(again.length == n->length && again.labels == n->labels);
	plait_assert(memcmp(again.wire, n->wire, n->length) == 0);
	plait_i_name_fold(&folded);
	plait_assert(plait_i_name_equal(&folded, n));
	plait_assert(plait_i_name_is_under(&folded, n));
}

static void fuzz_text(struct fuzz *f)
{
	char text[MAX_TEXT] = "";
	struct dns_name n;
	int err;

	if (f->left >= sizeof(text))
		return;
	memcpy(text, f->data, f->left);
	err = plait_i_name_parse(&n, text);
	plait_assert(err == 0 || err == -EINVAL || err == -ENAMETOOLONG);
	if (err == 0)
		check_name(&n);
}

/* ---- messages ------------------------------------------------------------ */

static void check_records(const struct dns_message *m)
{
	struct dns_walk w = { .at = 0 };
	struct dns_rr rr;
	struct dns_name n;
	size_t at, before = 0;

	while (plait_i_message_next(m, &w, &rr)) {
		plait_assert(rr.name > before && rr.data > rr.name);
		plait_assert(rr.data <= m->size);
		plait_assert(rr.length <= m->size - rr.data);
		at = rr.name;
		plait_assert(plait_i_message_name(m, &at, &n) == 0);
		plait_assert(at > rr.name && at < rr.data);
		plait_assert(plait_i_message_name_is(m, rr.name, &n));
		before = rr.name;
	}
}

static void check_host(const char *host)
{
	struct dns_name n;

	check_visible(host);
	plait_assert(plait_i_name_parse(&n, host) == 0);
}

static void check_record(const struct plait_dns_record *rec,
			 const struct plait_dns_answer *a)
{
	size_t len = (size_t)plait_dns_record_str(rec, NULL, 0);
	char *text = malloc(len + 1);

	plait_assert(text != NULL);
	plait_assert((size_t)plait_dns_record_str(rec, text, len + 1) == len);
	plait_assert(strlen(text) == len);
	for (size_t i = 0; i < len; i++)
		plait_assert(text[i] >= 0x20 && text[i] < 0x7f);
	free(text);
	check_host(rec->name);
	plait_assert(rec->ttl >= a->ttl && rec->ttl <= MAX_TTL);
	if (rec->type == PLAIT_DNS_TXT)
		plait_assert(rec->data.txt.count > 0);
}

static void check_answer(const struct plait_dns_answer *a,
			 const struct dns_message *m)
{
	plait_assert(a->count > 0 && a->n_aliases <= MAX_ALIASES);
	plait_assert(a->type == m->type);
	check_host(a->name);
	for (size_t i = 0; i < a->n_aliases; i++) {
		check_record(&a->aliases[i], a);
		plait_assert(a->aliases[i].type == PLAIT_DNS_CNAME);
	}
	for (size_t i = 0; i < a->count; i++) {
		check_record(&a->records[i], a);
		plait_assert(a->type == PLAIT_DNS_ANY ||
			     a->records[i].type == a->type);
	}
}

static void check_reading(const struct dns_message *m, uint32_t age)
{
	struct dns_reading got;
	int err = plait_i_answer_read(&got, m, age);

	plait_assert(err == 0 || err == -EBADMSG);
	if (err != 0)
		return;
	check_name(&got.end);
	plait_assert((got.answer != NULL) == (got.outcome == DNS_FOUND));
	plait_assert(got.ttl <= MAX_TTL);
	if (got.answer != NULL) {
		plait_assert(got.answer->ttl == got.ttl);
		check_answer(got.answer, m);
	}
	plait_i_answer_unref(&got.answer);
}

static void fuzz_message(struct fuzz *f)
{
	uint32_t age = fuzz_byte(f);
	struct dns_message m;
	int err = plait_i_message_parse(&m, f->data, f->left);

	plait_assert(err == 0 || err == -EBADMSG);
	if (err != 0)
		return;
	if (m.has_question)
		check_name(&m.name);
	check_records(&m);
	check_reading(&m, age);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { data, size };

	if (fuzz_byte(&f) % 2 == 0)
		fuzz_message(&f);
	else
		fuzz_text(&f);
	return 0;
}
