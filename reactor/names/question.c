/*
 * Questions: the cache, the queries, and who waits for which.
 *
 * A question is in the table of its resolver as long as a server is asked and
 * somebody waits; and a second longer if the last of them has only found what
 * is enough, because who connects next may want the answer (RFC 8305, 5). When
 * its answer comes it leaves the table before anybody is told, so what they ask
 * in turn finds the answer in the cache.
 *
 * A server that resolves for others gives the whole chain of aliases (CNAME) in
 * one answer.  One that does not ends it where its zone ends; then the question
 * goes on with the name at the end of the chain.  What is remembered is all
 * messages of the chain, under the name that was asked for.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <plait/buf.h>

#include "lib/chance.h"
#include "lib/failure.h"
#include "reactor/names/message.h"
#include "reactor/names/query.h"
#include "reactor/names/question.h"
#include "reactor/names/record.h"
#include "reactor/names/text.h"

struct names_question {
	struct names_query query;
	struct plait_resolver *resolver;
	struct plait_list link; /* in the table */
	struct plait_list asks; /* who waits */
	struct loop_task alone; /* nobody does: the reactor is freed */
	struct dns_name name;	/* in small letters */
	unsigned type, turn;
	unsigned changes; /* of the settings, when it began */
	double timeout;
	unsigned parts;		 /* messages of the chain so far */
	struct plait_buf *chain; /* what is remembered of them, or NULL */
	bool is_over;		 /* it is being told */
	struct dns_name at;	 /* what the server is asked for */
};

/* What the cache keeps begins with this.  Then the messages of an answer
   follow, each behind its length, or the text of a failure. */
struct remembered {
	struct plait_address server;
	const struct plait_error *kind; /* NULL: an answer */
};

typedef uint16_t part_length;

/* ---- what is known ------------------------------------------------------- */

/* What the cache knows it by; text, of NAME_TEXT_SIZE, becomes its name. */
static struct cache_key question_key(char *text, const struct dns_name *name,
				     unsigned type)
{
	plait_i_name_str(name, text, NAME_TEXT_SIZE);
	return (struct cache_key){ .name = text,
				   .type = type,
				   .class = DNS_CLASS_IN };
}

/*
 * Reads the next message out of a chain, of which *left bytes are left at *at.
 * They were read before, so nothing is wrong with them.
 */
static bool question_next_part(const unsigned char **at, size_t *left,
			       struct dns_message *ret)
{
	part_length len;

	if (*left < sizeof(len))
		return false;
	memcpy(&len, *at, sizeof(len));
	if (plait_i_message_parse(ret, *at + sizeof(len), len) < 0)
		return false;
	*at += sizeof(len) + len;
	*left -= sizeof(len) + len;
	return true;
}

/* Gives the answer that a chain of messages leads to.  Returns 0; -EBADMSG if
   the chain is too long; or -ENOMEM. */
static int question_read_chain(const unsigned char *at, size_t left,
			       unsigned age, struct plait_dns_answer **ret)
{
	struct dns_message parts[MAX_ALIASES + 1];
	struct dns_reading reading;
	size_t n = 0;
	int rc;

	while (n < MAX_ALIASES + 1 && question_next_part(&at, &left, &parts[n]))
		n++;
	rc = plait_i_answer_read_parts(&reading, parts, n, age);
	*ret = rc == 0 ? reading.answer : NULL;
	return rc;
}

static void ask_know_answer(struct names_ask *a, const struct remembered *kept,
			    const struct cache_found *found)
{
	const unsigned char *data = found->data;

	/* It was read before, so it is not too long. */
	if (question_read_chain(data + sizeof(*kept),
				found->length - sizeof(*kept), found->age,
				&a->answer) < 0) {
		a->why = &plait_i_failure_no_memory;
		return;
	}
	a->answer->server = kept->server;
	a->answer->cached = true;
}

/* Is true if the cache knows what comes of a. */
static bool ask_is_known(struct names_ask *a, struct plait_resolver *rs,
			 const struct dns_name *name, unsigned type)
{
	char text[NAME_TEXT_SIZE];
	struct cache_key key = question_key(text, name, type);
	struct cache_found found;
	struct remembered kept;

	if (rs->cache == NULL ||
	    !plait_i_cache_get(rs->cache, &key, plait_i_clock_now(rs->reactor),
			       &found))
		return false;
	REACHED("a question is answered from the cache");
	memcpy(&kept, found.data, sizeof(kept));
	if (kept.kind == NULL)
		ask_know_answer(a, &kept, &found);
	else
		a->why = failure_in(
			(plait_fail)(PLAIT_HERE, kept.kind, "%s (remembered)",
				     (const char *)found.data + sizeof(kept)));
	return true;
}

/* What is known is told in the next turn, like what a server says. */
static void ask_tell_known(struct loop_task *task)
{
	struct names_ask *a = plait_container(task, struct names_ask, known);
	struct plait_dns_answer *answer = a->answer;
	const struct plait_failure *why = a->why;

	a->answer = NULL;
	a->why = NULL;
	a->told(a, answer, why);
	plait_i_answer_unref(&answer);
	plait_failure_unref(&why);
}

static void ask_know(struct names_ask *a, struct plait_resolver *rs)
{
	a->known.run = ask_tell_known;
	plait_i_loop_next_turn(rs->reactor, &a->known);
}

/* ---- questions ----------------------------------------------------------- */

static bool question_is_alone(const struct names_question *q)
{
	return plait_list_is_linked(&q->alone.link);
}

static void question_free(struct names_question *q)
{
	loop_task_cancel(&q->alone);
	plait_i_query_cancel(&q->query);
	plait_list_remove(&q->link);
	plait_buf_unref(&q->chain);
	free(q);
}

/*
 * Tells all who wait.  Whom it tells may cancel others, ask new questions, and
 * free the resolver.
 */
static void question_tell(struct names_question *q,
			  struct plait_dns_answer *answer,
			  const struct plait_failure *why)
{
	q->is_over = true;
	plait_list_remove(&q->link);
	while (!plait_list_is_empty(&q->asks)) {
		struct names_ask *a =
			plait_container(q->asks.next, struct names_ask, link);

		plait_list_remove(&a->link);
		a->question = NULL;
		a->told(a, answer, why);
	}
	question_free(q);
}

/* Remembers what is in q->chain, or a failure, under the name of q. */
static void question_remember(struct names_question *q, enum cache_kind kind,
			      uint32_t ttl, const void *data, size_t len)
{
	struct plait_resolver *rs = q->resolver;
	char text[NAME_TEXT_SIZE];
	struct cache_key key = question_key(text, &q->name, q->type);

	/* What was asked by other settings is no longer wanted. */
	if (rs->cache == NULL || q->changes != rs->changes)
		return;
	plait_i_cache_put(rs->cache, &key, kind, ttl, data, len,
			  plait_i_clock_now(rs->reactor));
}

/* A failure is remembered with its text; but a want of memory is not the
   server's, and not remembered.  Takes why. */
static void question_failed(struct names_question *q, enum cache_kind kind,
			    uint32_t ttl, const struct plait_address *server,
			    const struct plait_failure *why)
{
	struct remembered kept = { .kind = plait_failure_kind(why) };
	const char *text = plait_failure_message(why);
	bool lasts = kept.kind != &plait_error_no_memory;
	struct plait_buf *b = plait_buf_new(PLAIT_BUF_UNBOUNDED);

	if (server != NULL)
		kept.server = *server;
	if (lasts && b != NULL &&
	    plait_buf_append(b, &kept, sizeof(kept)) == 0 &&
	    plait_buf_append(b, text, strlen(text) + 1) == 0)
		question_remember(q, kind, ttl, plait_buf_data(b),
				  plait_buf_size(b));
	plait_buf_unref(&b);
	question_tell(q, NULL, why);
	plait_failure_unref(&why);
}

/* For how long it is remembered that servers have failed (RFC 9520). */
enum { FAILURE_TTL = 5 };

/* That nobody has answered is not remembered: each server is, for itself. */
static bool question_failure_lasts(const struct plait_failure *why)
{
	return plait_failure_check(why, &plait_error_dns_server_failure) ||
	       plait_failure_check(why, &plait_error_dns_refused) ||
	       plait_failure_check(why, &plait_error_dns_malformed);
}

static void question_not_answered(struct names_question *q,
				  const struct plait_failure *why)
{
	if (question_failure_lasts(why))
		question_failed(q, CACHE_FAILURE, FAILURE_TTL, NULL,
				plait_failure_ref(why));
	else
		question_tell(q, NULL, why);
}

static plait_value question_failure(const struct names_question *q,
				    const struct names_reply *reply,
				    const struct plait_error *kind,
				    const char *what)
{
	char name[NAME_TEXT_SIZE], server[PLAIT_ADDRESS_SIZE], type[16];

	plait_i_name_str(&q->name, name, sizeof(name));
	plait_dns_type_str(q->type, type, sizeof(type));
	plait_address_str(reply->server, server, sizeof(server));
	return (plait_fail)(PLAIT_HERE, kind, "%s %s: %s, says %s", name, type,
			    what, server);
}

/* A server has said that no such name or record exists. */
static void question_nothing(struct names_question *q,
			     const struct names_reply *reply,
			     const struct dns_reading *reading)
{
	bool no_name = reading->outcome == DNS_NO_NAME;
	plait_value v = question_failure(
		q, reply,
		no_name ? &plait_error_dns_no_name : &plait_error_dns_no_data,
		no_name ? "no such name" : "no record of that type");

	/* If the name is an alias, it exists, whatever is at its end. */
	question_failed(
		q,
		no_name && q->parts == 1 &&
				plait_i_name_equal(&q->name, &reading->end)
			? CACHE_NO_NAME
			: CACHE_NO_DATA,
		reading->ttl, reply->server, failure_in(v));
}

static void question_malformed(struct names_question *q,
			       const struct names_reply *reply, int rc)
{
	plait_value v =
		rc == -ENOMEM
			? plait_no_memory()
			: question_failure(q, reply, &plait_error_dns_malformed,
					   "records that make no sense");

	question_failed(q, CACHE_FAILURE, FAILURE_TTL, reply->server,
			failure_in(v));
}

/* Adds the message to the chain.  Returns 0 or -errno. */
static int question_add_part(struct names_question *q,
			     const struct names_reply *reply)
{
	struct remembered kept = { .server = *reply->server };
	part_length len = (part_length)reply->message->size;
	int rc = 0;

	if (q->chain == NULL) {
		q->chain = plait_buf_new(PLAIT_BUF_UNBOUNDED);
		rc = q->chain == NULL
			     ? -ENOMEM
			     : plait_buf_append(q->chain, &kept, sizeof(kept));
	}
	if (rc == 0)
		rc = plait_buf_append(q->chain, &len, sizeof(len));
	if (rc == 0)
		rc = plait_buf_append(q->chain, reply->message->bytes, len);
	return rc;
}

/* The answer to the last question of the chain is taken. */
static void question_found(struct names_question *q,
			   const struct names_reply *reply,
			   struct plait_dns_answer *answer)
{
	const unsigned char *kept = plait_buf_data(q->chain);
	size_t size = plait_buf_size(q->chain);
	int rc = 0;

	if (q->parts > 1) {
		plait_i_answer_unref(&answer);
		rc = question_read_chain(kept + sizeof(struct remembered),
					 size - sizeof(struct remembered), 0,
					 &answer);
	}
	if (rc < 0) {
		question_malformed(q, reply, rc);
		return;
	}
	answer->server = *reply->server;
	question_remember(q, CACHE_ANSWER, answer->ttl, kept, size);
	question_tell(q, answer, NULL);
	plait_i_answer_unref(&answer);
}

static void question_send(struct names_question *q)
{
	q->parts++;
	plait_i_query_start(&q->query, &q->resolver->servers, &q->at, q->type,
			    q->turn, q->timeout);
}

/* The answer ends with an alias, and says nothing of the name behind it. */
static bool question_leads_on(const struct dns_message *m,
			      const struct dns_reading *reading)
{
	return reading->outcome == DNS_NO_DATA && reading->ttl == 0 &&
	       !plait_i_name_equal(&m->name, &reading->end);
}

/* Has a server been asked for that name in this chain? */
static bool question_has_asked(const struct names_question *q,
			       const struct dns_name *name)
{
	const unsigned char *at = plait_buf_data(q->chain);
	size_t left = plait_buf_size(q->chain) - sizeof(struct remembered);
	struct dns_message part;

	at += sizeof(struct remembered);
	while (question_next_part(&at, &left, &part)) {
		if (plait_i_name_equal(&part.name, name))
			return true;
	}
	return false;
}

static void question_goes_on(struct names_question *q,
			     const struct names_reply *reply,
			     const struct dns_name *name)
{
	REACHED("a chain of aliases leaves its zone");
	if (question_is_alone(q)) {
		question_free(q);
		return;
	}
	if (q->parts > MAX_ALIASES || question_has_asked(q, name)) {
		question_malformed(q, reply, -EBADMSG);
		return;
	}
	q->at = *name;
	question_send(q);
}

static void question_answered(struct names_question *q,
			      const struct names_reply *reply)
{
	struct dns_reading reading = { .answer = NULL };
	int rc = plait_i_answer_read(&reading, reply->message, 0);

	if (rc == 0)
		rc = question_add_part(q, reply);
	if (rc < 0) {
		plait_i_answer_unref(&reading.answer);
		question_malformed(q, reply, rc);
	} else if (reading.outcome == DNS_FOUND) {
		question_found(q, reply, reading.answer);
	} else if (question_leads_on(reply->message, &reading)) {
		question_goes_on(q, reply, &reading.end);
	} else {
		question_nothing(q, reply, &reading);
	}
}

static void question_ended(struct names_query *query,
			   const struct names_reply *reply,
			   const struct plait_failure *why)
{
	struct names_question *q =
		plait_container(query, struct names_question, query);

	if (reply != NULL)
		question_answered(q, reply);
	else
		question_not_answered(q, why);
}

/* ---- asking -------------------------------------------------------------- */

static struct plait_list *question_list(struct plait_resolver *rs,
					const struct dns_name *name,
					unsigned type)
{
	const struct text wire = { (const char *)name->wire, name->length };

	return &rs->questions[plait_i_text_hash(&wire, rs->seed ^ type) %
			      QUESTION_LISTS];
}

static struct names_question *question_find(struct plait_resolver *rs,
					    struct plait_list *list,
					    const struct dns_name *name,
					    unsigned type)
{
	for (struct plait_list *l = list->next; l != list; l = l->next) {
		struct names_question *q =
			plait_container(l, struct names_question, link);

		if (q->type == type && q->changes == rs->changes &&
		    plait_i_name_equal(&q->name, name))
			return q;
	}
	return NULL;
}

static struct names_question *question_new(struct plait_resolver *rs,
					   struct plait_list *list,
					   const struct dns_name *name,
					   const struct ask_wish *wish)
{
	struct names_question *q = calloc(1, sizeof(*q));

	if (q == NULL)
		return NULL;
	q->query.ended = question_ended;
	q->resolver = rs;
	q->name = *name;
	q->type = wish->type;
	q->turn = wish->turn;
	q->changes = rs->changes;
	q->timeout = wish->timeout > rs->timeout ? wish->timeout : rs->timeout;
	plait_list_init(&q->asks);
	plait_list_init(&q->link);
	plait_list_append(list, &q->link);
	q->at = *name;
	question_send(q);
	return q;
}

static void question_run_alone(struct loop_task *task)
{
	question_free(plait_container(task, struct names_question, alone));
}

/* In seconds. */
enum { ALONE_FOR = 1 };

static void question_stay_alone(struct names_question *q)
{
	REACHED("a question goes on for those who come next");
	q->alone.run = question_run_alone;
	plait_i_loop_when_freed(q->resolver->reactor, &q->alone);
	plait_i_query_limit(&q->query, ALONE_FOR);
}

/* Somebody waits for it again, and has all of its time. */
static void question_join(struct names_question *q)
{
	REACHED("two ask the same at the same time");
	if (!question_is_alone(q))
		return;
	loop_task_cancel(&q->alone);
	plait_i_query_limit(&q->query, q->timeout);
}

void plait_i_ask_start(struct names_ask *a, struct plait_resolver *rs,
		       const struct ask_wish *wish)
{
	struct dns_name name = *wish->name;
	struct plait_list *list;
	struct names_question *q;

	plait_list_init(&a->link);
	plait_i_name_fold(&name);
	if (ask_is_known(a, rs, &name, wish->type)) {
		ask_know(a, rs);
		return;
	}
	list = question_list(rs, &name, wish->type);
	q = question_find(rs, list, &name, wish->type);
	if (q != NULL)
		question_join(q);
	else
		q = question_new(rs, list, &name, wish);
	if (q == NULL) {
		a->why = &plait_i_failure_no_memory;
		ask_know(a, rs);
		return;
	}
	a->question = q;
	plait_list_append(&q->asks, &a->link);
}

void plait_i_ask_cancel(struct names_ask *a)
{
	struct names_question *q = a->question;

	loop_task_cancel(&a->known);
	plait_i_answer_unref(&a->answer);
	plait_failure_unref(&a->why);
	if (q == NULL)
		return;
	a->question = NULL;
	plait_list_remove(&a->link);
	if (!q->is_over && plait_list_is_empty(&q->asks))
		question_free(q);
}

void plait_i_ask_leave(struct names_ask *a)
{
	struct names_question *q = a->question;

	if (q == NULL || q->is_over || q->query.tries == 0) {
		plait_i_ask_cancel(a);
		return;
	}
	a->question = NULL;
	plait_list_remove(&a->link);
	if (plait_list_is_empty(&q->asks))
		question_stay_alone(q);
}

void plait_i_names_end_alone(struct plait_resolver *rs)
{
	for (size_t i = 0; i < QUESTION_LISTS; i++) {
		struct plait_list *l;

		while ((l = plait_list_first(&rs->questions[i])) != NULL)
			question_free(plait_container(l, struct names_question,
						      link));
	}
}

int plait_i_names_refresh(struct plait_resolver *rs)
{
	struct names_files *fs = &rs->files;
	int rc = plait_i_names_files_look(fs, loop_kernel(rs->reactor),
					  plait_i_clock_now(rs->reactor));

	if (rc < 0)
		return rc;
	if (fs->changes == rs->changes)
		return 0;
	rs->changes = fs->changes;
	plait_i_servers_set(&rs->servers, fs->resolv_conf);
	if (rs->cache != NULL)
		plait_i_cache_flush(rs->cache);
	return 0;
}

plait_value plait_i_names_unreadable(int rc)
{
	if (rc == -ENOMEM)
		return plait_no_memory();
	return (plait_fail_errno)(PLAIT_HERE, &plait_error_dns_lookup, -rc,
				  "the files of the resolver");
}
