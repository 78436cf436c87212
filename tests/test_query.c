/*
 * One question to the servers of resolv.conf: what is taken for an answer, who
 * is asked when, and that it always ends.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

#include <plait/dns.h>

#include "lib/chance.h"
#include "reactor/names/message.h"
#include "reactor/names/query.h"
#include "tests/child.h"
#include "tests/nameserver.h"
#include "tests/timed.h"

enum { N_SERVERS = 3, OUTCOME_SIZE = 400 };

/* One question, and what has come of it. */
struct asker {
	struct names_query query;
	unsigned ended;
	double began, seconds;
	char outcome[OUTCOME_SIZE]; /* "192.0.2.1 from a at 0" */
	char why[600];
	void (*on_ended)(struct asker *a);
};

static struct names_servers servers;
static struct nameserver ns[N_SERVERS];
static unsigned n_servers;
static struct dns_name name;
static struct asker first;
static double began;

/* ---- the stage ----------------------------------------------------------- */

static const char *server_letter(const struct plait_address *a)
{
	static const char *const letters[] = { "a", "b", "c" };

	for (unsigned i = 0; i < n_servers; i++) {
		if (plait_address_equal(a, &ns[i].address))
			return letters[i];
	}
	return "nobody";
}

/* What the reply says: the first address, or that there is none. */
static void tell_reply(struct asker *a, const struct names_reply *reply)
{
	const struct dns_message *m = reply->message;
	struct dns_walk w = { 0 };
	struct dns_rr rr;
	char text[64] = "no-data";

	if (m->rcode == RCODE_NO_NAME)
		snprintf(text, sizeof(text), "no-name");
	while (plait_i_message_next(m, &w, &rr)) {
		if (rr.section == SECTION_ANSWER)
			inet_ntop(rr.type == PLAIT_DNS_A ? AF_INET : AF_INET6,
				  m->bytes + rr.data, text, sizeof(text));
	}
	snprintf(a->outcome, sizeof(a->outcome), "%s from %s", text,
		 server_letter(reply->server));
}

static void asker_ended(struct names_query *q, const struct names_reply *reply,
			const struct plait_failure *why)
{
	struct asker *a = plait_container(q, struct asker, query);
	size_t n;

	a->ended++;
	a->seconds = clock_now() - a->began;
	if (reply != NULL) {
		a->seconds = reply->seconds;
		tell_reply(a, reply);
	} else {
		snprintf(a->outcome, sizeof(a->outcome), "%s",
			 plait_failure_kind(why)->name);
		plait_failure_str(why, a->why, sizeof(a->why));
	}
	n = strlen(a->outcome);
	snprintf(a->outcome + n, sizeof(a->outcome) - n, " at %.4g",
		 clock_now() - began);
	if (a->on_ended != NULL)
		a->on_ended(a);
}

/* Brings conf into force, with the addresses of the scripted servers. */
static void use(const char *options)
{
	char text[300];
	struct resolv_conf_source from = { .text = text };
	struct resolv_conf *conf;

	from.length = (size_t)snprintf(
		text, sizeof(text), "%.*soptions %s\n", (int)(21 * n_servers),
		"nameserver 127.0.0.1\nnameserver 127.0.0.1\n"
		"nameserver 127.0.0.1\n",
		options);
	conf = plait_i_resolv_conf_read(&from);
	if (conf == NULL) {
		ck_assert(torture_faulty());
		return;
	}
	for (unsigned i = 0; i < n_servers; i++)
		conf->servers[i] = ns[i].address;
	plait_i_servers_set(&servers, conf);
	plait_i_resolv_conf_unref(&conf);
}

/* Scripts of a, b, c; NULL: there is none. */
static void stage(const char *const *scripts, const char *options)
{
	clock_virtual(true);
	plait_i_servers_init(&servers, reactor);
	for (n_servers = 0; n_servers < N_SERVERS && scripts[n_servers] != NULL;
	     n_servers++)
		nameserver_start(&ns[n_servers], reactor, scripts[n_servers]);
	use(options);
	ck_assert_int_eq(plait_i_name_parse(&name, "poem.Example"), 0);
	began = clock_now();
}

static void stage_one(const char *script, const char *options)
{
	stage((const char *const[]){ script, NULL, NULL }, options);
}

static void stage_down(void)
{
	for (unsigned i = 0; i < n_servers; i++)
		nameserver_stop(&ns[i]);
	plait_i_servers_done(&servers);
}

static void ask_for(struct asker *a, unsigned type, double seconds)
{
	a->query.ended = asker_ended;
	a->began = clock_now();
	plait_i_query_start(&a->query, &servers, &name, type,
			    plait_i_servers_turn(&servers), seconds);
}

static void ask(struct asker *a)
{
	ask_for(a, PLAIT_DNS_A, 100);
}

static void ask_to_the_end(struct asker *a)
{
	unsigned before = a->ended;

	began = clock_now();
	ask(a);
	run_until_count(reactor, &a->ended, before + 1);
}

/* The outcome, and how many questions each server got: over UDP, and over TCP.
 */
static const char *outcome(const struct asker *a)
{
	static char text[OUTCOME_SIZE + 100];
	size_t n = (size_t)snprintf(text, sizeof(text), "%s;", a->outcome);

	for (unsigned i = 0; i < n_servers; i++) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, " %u",
				      ns[i].datagrams);
		if (ns[i].streamed > 0)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "+%u",
					      ns[i].streamed);
	}
	return text;
}

/* What comes of a question. */
struct tale {
	const char *scripts[N_SERVERS];
	const char *options;
	const char *outcome;
};

static void play_tale(const struct tale *t)
{
	stage(t->scripts, t->options != NULL ? t->options : "");
	ask_to_the_end(&first);
	run_for(reactor, 40);
	ck_assert_str_eq(outcome(&first), t->outcome);
	ck_assert_uint_eq(first.ended, 1);
	ck_assert_uint_eq(servers.taken, 0);
	stage_down();
}

#define TALES(claim, ...)                                                      \
	static const struct tale claim##_tales[] = { __VA_ARGS__ };            \
	TEST(claim, ON_EACH_KERNEL, EACH_OF(claim##_tales))                    \
	{                                                                      \
		play_tale(&claim##_tales[_i]);                                 \
	}

/* ---- answers ------------------------------------------------------------- */

GROUP("answers");

TALES(whatever_answers_the_question_is_the_answer,
      { { "answer" }, NULL, "192.0.2.1 from a at 0; 1" },
      { { "no-name" }, NULL, "no-name from a at 0; 1" },
      { { "no-data" }, NULL, "no-data from a at 0; 1" },
      { { "empty" }, NULL, "no-data from a at 0; 1" },
      { { "authoritative no-data" }, NULL, "no-data from a at 0; 1" },
      { { "other-case answer" }, NULL, "192.0.2.1 from a at 0; 1" },
      { { "after 1.5 answer" }, NULL, "192.0.2.1 from a at 1.5; 1" });

TALES(what_does_not_answer_the_question_has_not_come,
      { { "wrong-id answer" }, NULL, "DNSTimeoutError at 10; 2" },
      { { "wrong-name answer" }, NULL, "DNSTimeoutError at 10; 2" },
      { { "wrong-type answer" }, NULL, "DNSTimeoutError at 10; 2" },
      { { "wrong-class answer" }, NULL, "DNSTimeoutError at 10; 2" },
      { { "query answer" }, NULL, "DNSTimeoutError at 10; 2" },
      { { "no-question answer" }, NULL, "DNSTimeoutError at 10; 2" },
      { { "no-question no-name" }, NULL, "DNSTimeoutError at 10; 2" },
      { { "query no-question refused" }, NULL, "DNSTimeoutError at 10; 2" },
      { { "wrong-id server-failure" }, NULL, "DNSTimeoutError at 10; 2" },
      { { "wrong-id truncated answer" }, NULL, "DNSTimeoutError at 10; 2" },
      { { "from-elsewhere answer" }, NULL, "DNSTimeoutError at 10; 2" },
      { { "nothing" }, NULL, "DNSTimeoutError at 10; 2" },
      { { "garbage" }, NULL, "DNSTimeoutError at 10; 2" });

TALES(what_has_not_come_does_not_keep_the_answer_from_coming,
      { { "wrong-id answer, answer" }, NULL, "192.0.2.1 from a at 0; 1" },
      { { "nothing, nothing, answer" }, NULL, "192.0.2.1 from a at 0; 1" },
      { { "wrong-name no-name, after 1 answer" },
	NULL,
	"192.0.2.1 from a at 1; 1" },
      { { "from-elsewhere no-name, answer" },
	NULL,
	"192.0.2.1 from a at 0; 1" },
      { { "wrong-id refused; answer" }, NULL, "192.0.2.1 from a at 2; 2" });

TALES(of_two_answers_the_first_counts,
      { { "answer, no-name" }, NULL, "192.0.2.1 from a at 0; 1" },
      { { "no-name, answer" }, NULL, "no-name from a at 0; 1" },
      { { "after 3 no-name; answer" }, NULL, "192.0.2.1 from a at 2; 2" });

TEST(an_answer_says_who_gave_it_and_in_what_time, ON_EACH_KERNEL)
{
	stage_one("after 0.5 answer", "");
	ask_for(&first, PLAIT_DNS_AAAA, 100);
	run_until_count(reactor, &first.ended, 1);
	ck_assert_str_eq(outcome(&first), "2001:db8::1 from a at 0.5; 1");
	ck_assert_double_eq_tol(first.seconds, 0.5, 1e-6);
	stage_down();
}

/* Header, question, and one record. */
enum { WHOLE_QUESTION = 12 + 14 + 4, WHOLE_ANSWER = WHOLE_QUESTION + 16 };

TEST(an_answer_may_be_cut_anywhere, ON_EACH_KERNEL, TIMES(WHOLE_ANSWER + 1))
{
	char script[40];

	snprintf(script, sizeof(script), "cut %d answer", _i);
	stage_one(script, "timeout:1 attempts:1");
	ask_to_the_end(&first);
	if (_i < WHOLE_QUESTION)
		ck_assert_str_eq(outcome(&first), "DNSTimeoutError at 1; 1");
	else if (_i < WHOLE_ANSWER)
		ck_assert_str_eq(outcome(&first), "DNSMalformedError at 0; 1");
	else
		ck_assert_str_eq(outcome(&first), "192.0.2.1 from a at 0; 1");
	stage_down();
}

static void start_again(struct asker *a)
{
	if (a->ended < 3)
		ask(a);
}

TEST(a_query_may_start_again_in_its_end, ON_EACH_KERNEL)
{
	first.on_ended = start_again;
	stage_one("answer; no-name; server-failure", "");
	ask(&first);
	run_until_count(reactor, &first.ended, 3);
	ck_assert_str_eq(outcome(&first), "DNSServerFailureError at 0; 3");
	stage_down();
}

TEST(nobody_is_called_in_the_call_that_begins, ON_EACH_KERNEL)
{
	stage_one("answer", "");
	fault_call_forever("socket", EACCES);
	ask(&first);
	ck_assert_uint_eq(first.ended, 0);
	run_until_count(reactor, &first.ended, 1);
	ck_assert_str_eq(outcome(&first), "DNSLookupError at 0; 0");
	stage_down();
}

/* ---- the next server ----------------------------------------------------- */

GROUP("turns");

TALES(whoever_has_no_answer_is_followed_by_the_next,
      { { "server-failure", "answer" }, NULL, "192.0.2.1 from b at 0; 1 1" },
      { { "refused", "answer" }, NULL, "192.0.2.1 from b at 0; 1 1" },
      { { "not-implemented", "answer" }, NULL, "192.0.2.1 from b at 0; 2 1" },
      { { "format-error", "answer" }, NULL, "192.0.2.1 from b at 0; 2 1" },
      { { "no-question server-failure", "answer" },
	NULL,
	"192.0.2.1 from b at 0; 1 1" },
      { { "referral", "answer" }, NULL, "192.0.2.1 from b at 0; 1 1" },
      { { "cut 40 answer", "answer" }, NULL, "192.0.2.1 from b at 0; 1 1" },
      { { "absent", "answer" }, NULL, "192.0.2.1 from b at 0; 0 1" },
      { { "drop", "answer" }, NULL, "192.0.2.1 from b at 2; 1 1" },
      { { "drop", "refused", "answer" }, NULL, "192.0.2.1 from c at 2; 1 1 1" },
      { { "absent", "server-failure", "no-name" },
	NULL,
	"no-name from c at 0; 0 1 1" });

TALES(whoever_was_asked_may_answer_later,
      { { "after 3 answer", "drop" }, NULL, "192.0.2.1 from a at 3; 1 1" },
      { { "after 3 answer", "server-failure" },
	NULL,
	"192.0.2.1 from a at 3; 2 1" },
      { { "after 9.9 answer" }, NULL, "192.0.2.1 from a at 9.9; 2" },
      { { "after 29 answer", "drop", "drop" },
	NULL,
	"192.0.2.1 from a at 29; 2 2 2" });

TALES(the_dead_have_the_time_of_resolv_conf,
      { { "drop" }, NULL, "DNSTimeoutError at 10; 2" },
      { { "drop", "drop" }, NULL, "DNSTimeoutError at 20; 2 2" },
      { { "drop", "drop", "drop" }, NULL, "DNSTimeoutError at 30; 2 2 2" },
      { { "drop" }, "timeout:1 attempts:3", "DNSTimeoutError at 3; 3" },
      { { "drop", "drop" },
	"timeout:1 attempts:1",
	"DNSTimeoutError at 2; 1 1" },
      { { "drop" }, "timeout:30 attempts:1", "DNSTimeoutError at 30; 1" },
      { { "drop", "absent" }, NULL, "DNSTimeoutError at 10; 2 0" },
      { { "drop" }, "use-vc", "DNSTimeoutError at 10; 0+1" });

TALES(what_servers_say_is_told_before_that_others_say_nothing,
      { { "server-failure" }, NULL, "DNSServerFailureError at 0; 1" },
      { { "format-error" }, NULL, "DNSServerFailureError at 0; 2" },
      { { "refused" }, NULL, "DNSRefusedError at 0; 1" },
      { { "referral" }, NULL, "DNSRefusedError at 0; 1" },
      { { "cut 45 answer" }, NULL, "DNSMalformedError at 0; 1" },
      { { "absent" }, NULL, "DNSLookupError at 0; 0" },
      { { "refused", "server-failure" },
	NULL,
	"DNSServerFailureError at 0; 1 1" },
      { { "refused", "drop" }, NULL, "DNSRefusedError at 10; 1 2" },
      { { "absent", "cut 45 answer" }, NULL, "DNSMalformedError at 0; 0 1" });

TEST(a_failure_says_what_was_asked_and_whom, ON_EACH_KERNEL)
{
	char says[600], server[PLAIT_ADDRESS_SIZE];

	stage((const char *const[]){ "drop", "drop", NULL }, "");
	ask_to_the_end(&first);
	plait_address_str(&ns[1].address, server, sizeof(server));
	snprintf(says, sizeof(says),
		 "DNSTimeoutError: poem.Example A: no answer in 20 s, %s was "
		 "the last of 2 servers, 4 questions sent",
		 server);
	ck_assert_str_eq(first.why, says);
	stage_down();
}

static const struct {
	const char *servers, *says;
} outcomes[] = {
	{ "server-failure", "poem.Example A: a server has failed in 0 s" },
	{ "refused", "poem.Example A: a server has refused in 0 s" },
	{ "cut 45 answer",
	  "poem.Example A: no answer that makes sense in 0 s" },
};

TEST(a_failure_says_what_a_server_has_said, ON_EACH_KERNEL, EACH_OF(outcomes))
{
	stage_one(outcomes[_i].servers, "");
	ask_to_the_end(&first);
	ck_assert_msg(strstr(first.why, outcomes[_i].says) != NULL, "%s",
		      first.why);
	stage_down();
}

TEST(nobody_there_says_so, ON_EACH_KERNEL)
{
	stage_one("absent", "");
	ask_to_the_end(&first);
	ck_assert_ptr_nonnull(strstr(first.why, "Connection refused"));
	stage_down();
}

TEST(the_owners_time_is_the_end, ON_EACH_KERNEL, TIMES(2))
{
	stage_one(_i ? "truncated answer; drip" : "drop", "");
	ask_for(&first, PLAIT_DNS_A, 0.7);
	run_for(reactor, 5);
	ck_assert_str_eq(outcome(&first), _i ? "DNSTimeoutError at 0.7; 1+1"
					     : "DNSTimeoutError at 0.7; 1");
	stage_down();
}

/* ---- what is known of servers -------------------------------------------- */

GROUP("known");

/* How long the first turn lasts, after a has answered like this. */
static const struct {
	const char *script;
	int times;
	const char *outcome;
} pasts[] = {
	{ "answer", 2, "192.0.2.1 from b at 2; 3 1" },
	{ "answer", 3, "192.0.2.1 from b at 0.25; 4 1" },
	{ "after 0.1 answer", 3, "192.0.2.1 from b at 0.5; 4 1" },
	{ "after 0.3 no-name", 5, "192.0.2.1 from b at 1.5; 6 1" },
	{ "after 1.9 answer", 3, "192.0.2.1 from b at 5; 4 1" },
};

TEST(a_turn_lasts_five_times_as_long_as_usual, ON_EACH_KERNEL, EACH_OF(pasts))
{
	stage((const char *const[]){ pasts[_i].script, "answer", NULL },
	      "timeout:30");
	for (int i = 0; i < pasts[_i].times; i++)
		ask_to_the_end(&first);
	nameserver_script(&ns[0], "drop");
	ask_to_the_end(&first);
	ck_assert_str_eq(outcome(&first), pasts[_i].outcome);
	stage_down();
}

TEST(a_server_that_has_become_slower_is_known_to_be_slower, ON_EACH_KERNEL)
{
	stage((const char *const[]){ "answer", "answer", NULL }, "");
	for (int i = 0; i < 3; i++)
		ask_to_the_end(&first);
	nameserver_script(&ns[0], "after 0.2 answer");
	for (int i = 0; i < 50; i++)
		ask_to_the_end(&first);
	nameserver_script(&ns[0], "drop");
	ask_to_the_end(&first);
	ck_assert_double_eq_tol(first.seconds, 1, 0.05);
	stage_down();
}

TEST(each_round_waits_twice_as_long, ON_EACH_KERNEL)
{
	stage_one("answer; answer; answer; drop", "attempts:4");
	for (int i = 0; i < 3; i++)
		ask_to_the_end(&first);
	ask(&first);
	/* At 0, 0.25, 0.75 and 1.75 s. */
	run_for(reactor, 0.24);
	ck_assert_uint_eq(ns[0].datagrams, 3 + 1);
	run_for(reactor, 0.5);
	ck_assert_uint_eq(ns[0].datagrams, 3 + 2);
	run_for(reactor, 1);
	ck_assert_uint_eq(ns[0].datagrams, 3 + 3);
	run_for(reactor, 10);
	ck_assert_uint_eq(ns[0].datagrams, 3 + 4);
	plait_i_query_cancel(&first.query);
	stage_down();
}

TEST(who_says_late_that_he_cannot_ends_nobodys_turn, ON_EACH_KERNEL)
{
	stage((const char *const[]){ "after 3 server-failure", "drop", "drop" },
	      "");
	ask(&first);
	run_for(reactor, 3.9);
	ck_assert_str_eq(outcome(&first), "; 1 1 0");
	run_for(reactor, 0.2);
	ck_assert_str_eq(outcome(&first), "; 1 1 1");
	plait_i_query_cancel(&first.query);
	stage_down();
}

TEST(whoever_did_not_answer_comes_last_for_five_seconds, ON_EACH_KERNEL,
     TIMES(2))
{
	stage((const char *const[]){ _i ? "absent" : "drop", "answer", NULL },
	      "");
	ask_to_the_end(&first);
	ask_to_the_end(&first);
	ck_assert_str_eq(outcome(&first), _i ? "192.0.2.1 from b at 0; 0 2"
					     : "192.0.2.1 from b at 0; 1 2");
	run_for(reactor, 5.1);
	ask_to_the_end(&first);
	ck_assert_str_eq(outcome(&first), _i ? "192.0.2.1 from b at 0; 0 3"
					     : "192.0.2.1 from b at 2; 2 3");
	stage_down();
}

/* It may know other names, and what comes behind it may not. */
TEST(whoever_answered_that_it_cannot_stays_where_it_is, ON_EACH_KERNEL)
{
	stage((const char *const[]){ "server-failure; answer", "answer", NULL },
	      "");
	ask_to_the_end(&first);
	ask_to_the_end(&first);
	ck_assert_str_eq(outcome(&first), "192.0.2.1 from a at 0; 2 1");
	stage_down();
}

TEST(whoever_answers_late_does_not_come_last, ON_EACH_KERNEL)
{
	stage((const char *const[]){ "after 2.5 answer; answer", "drop", NULL },
	      "");
	ask_to_the_end(&first);
	ask_to_the_end(&first);
	ck_assert_str_eq(outcome(&first), "192.0.2.1 from a at 0; 2 1");
	stage_down();
}

TEST(rotate_begins_with_another_server_each_time, ON_EACH_KERNEL, TIMES(2))
{
	stage((const char *const[]){ "answer", "answer", "answer" },
	      _i ? "rotate" : "");
	for (int i = 0; i < 6; i++)
		ask_to_the_end(&first);
	ck_assert_str_eq(outcome(&first), _i ? "192.0.2.1 from c at 0; 2 2 2"
					     : "192.0.2.1 from a at 0; 6 0 0");
	stage_down();
}

TEST(who_is_under_way_keeps_the_old_servers, ON_EACH_KERNEL)
{
	struct asker second = { .ended = 0 };
	struct resolv_conf_source from = { .text = "" };
	struct resolv_conf *conf = plait_i_resolv_conf_read(&from);

	stage((const char *const[]){ "drop; after 1 answer", "answer", NULL },
	      "");
	ask(&first);
	run_for(reactor, 1);
	conf->servers[0] = ns[1].address;
	plait_i_servers_set(&servers, conf);
	plait_i_resolv_conf_unref(&conf);
	ask(&second);
	run_until_count(reactor, &second.ended, 1);
	ck_assert_str_eq(outcome(&second), "192.0.2.1 from b at 1; 1 1");
	run_until_count(reactor, &first.ended, 1);
	ck_assert_str_eq(outcome(&first), "192.0.2.1 from b at 2; 1 2");
	stage_down();
}

TEST(what_is_known_of_a_server_outlives_its_settings, ON_EACH_KERNEL)
{
	stage((const char *const[]){ "answer; answer; answer; drop", "answer",
				     NULL },
	      "");
	for (int i = 0; i < 3; i++)
		ask_to_the_end(&first);
	use("attempts:1");
	ask_to_the_end(&first);
	ck_assert_str_eq(outcome(&first), "192.0.2.1 from b at 0.25; 4 1");
	stage_down();
}

/* ---- EDNS0 --------------------------------------------------------------- */

GROUP("edns");

TALES(without_edns_it_is_asked_once_more,
      { { "without-edns answer" }, NULL, "192.0.2.1 from a at 0; 2" },
      { { "bad-version; answer" }, NULL, "192.0.2.1 from a at 0; 2" },
      { { "not-implemented; answer" }, NULL, "192.0.2.1 from a at 0; 2" },
      { { "no-question format-error; answer" },
	NULL,
	"192.0.2.1 from a at 0; 2" },
      { { "wrong-id format-error, answer" }, NULL, "192.0.2.1 from a at 0; 1" },
      { { "format-error, no-name; answer" }, NULL, "192.0.2.1 from a at 0; 2" },
      { { "without-edns answer; truncated answer; answer" },
	NULL,
	"192.0.2.1 from a at 0; 2+1" },
      { { "truncated answer; without-edns answer" },
	NULL,
	"192.0.2.1 from a at 0; 1+2" });

TEST(that_a_server_knows_no_edns_is_remembered_for_ten_minutes, ON_EACH_KERNEL)
{
	stage_one("without-edns answer", "");
	ask_to_the_end(&first);
	ask_to_the_end(&first);
	ck_assert_str_eq(outcome(&first), "192.0.2.1 from a at 0; 3");
	ck_assert(ns[0].seen[0].edns && !ns[0].seen[1].edns &&
		  !ns[0].seen[2].edns);
	ck_assert_uint_eq(ns[0].seen[0].edns_size, 1232);
	run_for(reactor, 600);
	ask_to_the_end(&first);
	ck_assert_str_eq(outcome(&first), "192.0.2.1 from a at 0; 5");
	stage_down();
}

TEST(an_answer_is_trusted_only_if_resolv_conf_says_so, ON_EACH_KERNEL, TIMES(2))
{
	stage_one("answer", _i ? "trust-ad" : "");
	ask_to_the_end(&first);
	ck_assert_int_eq(ns[0].seen[0].authentic, _i);
	stage_down();
}

/* ---- TCP ----------------------------------------------------------------- */

GROUP("tcp");

TALES(what_is_too_long_for_a_datagram_comes_over_tcp,
      { { "truncated answer; answer" }, NULL, "192.0.2.1 from a at 0; 1+1" },
      { { "truncated empty; no-name" }, NULL, "no-name from a at 0; 1+1" },
      { { "huge; answer" }, NULL, "192.0.2.1 from a at 0; 1+1" },
      { { "cut 4096 huge; answer" }, NULL, "192.0.2.1 from a at 0; 1+1" },
      { { "cut 4095 huge" }, NULL, "192.0.2.1 from a at 0; 1" },
      { { "truncated answer; huge" }, NULL, "192.0.2.1 from a at 0; 1+1" },
      { { "truncated answer; after 3 answer" },
	NULL,
	"192.0.2.1 from a at 3; 1+1" },
      { { "answer" }, "use-vc", "192.0.2.1 from a at 0; 0+1" },
      { { "refused", "answer" }, "use-vc", "192.0.2.1 from b at 0; 0+1 0+1" });

TALES(over_tcp_only_the_answer_counts_too,
      { { "truncated answer; wrong-id answer, answer" },
	NULL,
	"192.0.2.1 from a at 0; 1+1" },
      { { "truncated answer; nothing, garbage, nothing, answer" },
	NULL,
	"192.0.2.1 from a at 0; 1+1" },
      { { "truncated answer; wrong-name huge, wrong-name huge, answer" },
	NULL,
	"192.0.2.1 from a at 0; 1+1" },
      { { "truncated answer; answer, no-name" },
	NULL,
	"192.0.2.1 from a at 0; 1+1" },
      /* Not from the connection on which EDNS0 was refused. */
      { { "truncated answer; format-error, no-name; answer" },
	NULL,
	"192.0.2.1 from a at 0; 1+2" });

TALES(a_bad_connection_ends_in_time,
      { { "no-tcp truncated answer" }, NULL, "DNSLookupError at 0; 1" },
      { { "truncated answer; hang-up" }, NULL, "DNSLookupError at 0; 1+1" },
      { { "truncated answer; reset" }, NULL, "DNSLookupError at 0; 1+1" },
      { { "truncated answer; half" }, NULL, "DNSTimeoutError at 10; 1+1" },
      { { "truncated answer; half, hang-up" },
	NULL,
	"DNSLookupError at 0; 1+1" },
      { { "truncated answer; drip" }, NULL, "DNSTimeoutError at 10; 1+1" },
      { { "truncated answer; drop" }, NULL, "DNSTimeoutError at 10; 1+1" },
      { { "truncated answer; nothing" }, NULL, "DNSTimeoutError at 10; 1+1" },
      { { "truncated answer; truncated answer" },
	NULL,
	"DNSMalformedError at 0; 1+1" },
      { { "truncated answer; cut 45 answer" },
	NULL,
	"DNSMalformedError at 0; 1+1" },
      { { "truncated answer; drip", "answer" },
	NULL,
	"192.0.2.1 from b at 5; 1+1 1" },
      { { "no-tcp truncated answer", "answer" },
	NULL,
	"192.0.2.1 from b at 0; 1 1" },
      { { "truncated answer; half", "truncated answer; answer" },
	NULL,
	"192.0.2.1 from b at 5; 1+1 1+1" });

/* ---- sockets ------------------------------------------------------------- */

GROUP("sockets");

TEST(each_question_has_its_own_port_and_id, ON_EACH_KERNEL)
{
	unsigned ids = 0, ports = 0, steps = 0;

	stage_one("answer", "");
	for (int i = 0; i < NAMESERVER_SEEN; i++)
		ask_to_the_end(&first);
	for (int i = 1; i < NAMESERVER_SEEN; i++) {
		const struct nameserver_question *q = &ns[0].seen[i];
		uint16_t step = (uint16_t)(q->id - q[-1].id);

		ids += q->id != q[-1].id;
		ports += q->port != q[-1].port;
		steps += step < 16;
	}
	ck_assert_uint_gt(ids, NAMESERVER_SEEN - 4);
	ck_assert_uint_gt(ports, NAMESERVER_SEEN - 4);
	ck_assert_uint_lt(steps, 4);
	stage_down();
}

TEST(a_question_costs_seven_calls_besides_waiting, ON_EACH_BACKEND)
{
	static const char *const once[] = { "socket",	"connect", "send",
					    "recv",	"close",   "getrandom",
					    "epoll_ctl" };
	static const char *const never[] = { "getsockopt", "setsockopt",
					     "getsockname", "malloc" };
	int n = N_OF(once) - (strcmp(backend, "epoll") != 0);

	stage_one("answer", "");
	calls_reset();
	ask_to_the_end(&first);
	for (int i = 0; i < n; i++)
		ck_assert_msg(calls_of(once[i]) == 1, "%s", once[i]);
	for (int i = 0; i < N_OF(never); i++)
		ck_assert_msg(calls_of(never[i]) == 0, "%s", never[i]);
	stage_down();
}

TEST(ids_are_the_systems_randomness, ON_EACH_BACKEND)
{
	stage_one("drop; answer", "");
	calls_reset();
	ask_to_the_end(&first);
	/* A question that is sent again is the same, from the same port. */
	ck_assert_uint_eq(calls_of("getrandom"), 1);
	ck_assert_uint_eq(calls_of("socket"), 1);
	ck_assert_uint_eq(ns[0].seen[0].id, ns[0].seen[1].id);
	ck_assert_uint_eq(ns[0].seen[0].port, ns[0].seen[1].port);
	stage_down();
}

TEST(who_has_no_socket_waits_in_line, ON_EACH_KERNEL)
{
	struct asker askers[4] = { { .ended = 0 } };

	stage_one("after 1 answer", "");
	servers.max = 1;
	for (int i = 0; i < 3; i++)
		ask(&askers[i]);
	/* Its time is over before its turn comes. */
	ask_for(&askers[3], PLAIT_DNS_A, 2.5);
	run_for(reactor, 0.5);
	ck_assert_uint_eq(ns[0].datagrams, 1);
	run_for(reactor, 5);
	ck_assert_str_eq(askers[0].outcome, "192.0.2.1 from a at 1");
	ck_assert_str_eq(askers[1].outcome, "192.0.2.1 from a at 2");
	ck_assert_str_eq(askers[2].outcome, "192.0.2.1 from a at 3");
	ck_assert_str_eq(askers[3].outcome, "DNSTimeoutError at 2.5");
	ck_assert_uint_eq(ns[0].datagrams, 3);
	stage_down();
}

/* Else each would hold a socket that nobody answers. */
TEST(for_the_next_server_it_gives_up_its_socket, ON_EACH_KERNEL)
{
	struct asker askers[2] = { { .ended = 0 } };

	stage((const char *const[]){ "drop", "answer", NULL }, "");
	servers.max = 2;
	ask(&askers[0]);
	ask(&askers[1]);
	run_for(reactor, 1);
	ck_assert_uint_eq(servers.taken, 2);
	run_for(reactor, 1.1);
	ck_assert_str_eq(askers[0].outcome, "192.0.2.1 from b at 2");
	ck_assert_str_eq(askers[1].outcome, "192.0.2.1 from b at 2");
	stage_down();
}

TEST(each_socket_that_is_given_back_goes_to_the_next, ON_EACH_KERNEL)
{
	struct asker askers[2] = { { .ended = 0 } };

	stage((const char *const[]){ "drop", "after 0.5 answer", NULL }, "");
	servers.max = 2;
	ask(&first);
	run_for(reactor, 2.2);
	ask(&askers[0]);
	ask(&askers[1]);
	ck_assert_uint_eq(servers.taken, 2);
	run_for(reactor, 5);
	ck_assert_str_eq(first.outcome, "192.0.2.1 from b at 2.5");
	ck_assert_str_eq(askers[0].outcome, "192.0.2.1 from b at 3");
	ck_assert_str_eq(askers[1].outcome, "192.0.2.1 from b at 3");
	stage_down();
}

static unsigned open_sockets(const struct asker *askers, int n)
{
	unsigned all = 0;

	for (int i = 0; i < n * N_SERVERS; i++)
		all += askers[i / N_SERVERS]
			       .query.exchanges[i % N_SERVERS]
			       .is_open;
	return all;
}

TEST(no_more_are_open_than_may_be, ON_EACH_KERNEL)
{
	struct asker askers[50] = { { .ended = 0 } };

	stage((const char *const[]){ "drop", "drop", "drop" }, "");
	servers.max = 7;
	for (int i = 0; i < 50; i++)
		ask_for(&askers[i], PLAIT_DNS_A, 30 + i);
	for (int i = 0; i < 100; i++) {
		run_for(reactor, 1);
		ck_assert_uint_le(servers.taken, 7);
		ck_assert_uint_le(open_sockets(askers, 50), 7);
	}
	for (int i = 0; i < 50; i++)
		ck_assert_uint_eq(askers[i].ended, 1);
	ck_assert_uint_eq(servers.taken, 0);
	stage_down();
}

/* ---- cancelling ---------------------------------------------------------- */

GROUP("cancel");

static const char *const ways[][2] = {
	{ "answer", NULL },
	{ "drop; answer", NULL },
	{ "without-edns answer", NULL },
	{ "truncated answer; answer", NULL },
	{ "truncated answer; half", NULL },
	{ "truncated answer; without-edns answer", NULL },
	{ "absent", "answer" },
	{ "after 0.1 answer, after 0.2 answer", "answer" },
};

enum { MOMENTS = 12 };

/* Goes on as far as that moment: turns first, then seconds. */
static void wait_for_moment(int moment)
{
	if (moment < MOMENTS / 2)
		run_turns(reactor, (unsigned)moment);
	else
		run_for(reactor, 0.5 * (moment - MOMENTS / 2));
}

TEST(after_a_cancel_nothing_happens, ON_EACH_KERNEL,
     EACH_PAIR(N_OF(ways), MOMENTS))
{
	const char *const *way = ways[_i / MOMENTS];
	struct fd_table *fds;
	unsigned ended;

	stage((const char *const[]){ way[0], way[1], NULL }, "");
	fds = fd_table_new();
	ask(&first);
	wait_for_moment(_i % MOMENTS);
	ended = first.ended;
	plait_i_query_cancel(&first.query);
	plait_i_query_cancel(&first.query);
	ck_assert_uint_eq(servers.taken, 0);
	calls_reset();
	run_for(reactor, 40);
	ck_assert_uint_eq(first.ended, ended);
	ck_assert_uint_eq(calls_of("socket") + calls_of("send"), 0);
	ck_assert_uint_eq(fd_table_check(&fds), 0);
	stage_down();
}

TEST(when_cancel_returns_the_sockets_are_closed, ON_EACH_KERNEL, TIMES(2))
{
	struct fd_table *fds;

	stage((const char *const[]){ _i ? "truncated answer; drip" : "drop",
				     "drop", NULL },
	      "");
	fds = fd_table_new();
	ask(&first);
	run_for(reactor, 2.5);
	/* Of a TCP connection the other end is the server's. */
	if (_i)
		calls_reset();
	plait_i_query_cancel(&first.query);
	if (_i)
		ck_assert_uint_eq(calls_of("close"), 1);
	else
		ck_assert_uint_eq(fd_table_check(&fds), 0);
	run_for(reactor, 40);
	if (_i)
		ck_assert_uint_eq(fd_table_check(&fds), 0);
	ck_assert_uint_eq(first.ended, 0);
	stage_down();
}

TEST(a_cancelled_one_leaves_the_line, ON_EACH_KERNEL, TIMES(2))
{
	struct asker askers[3] = { { .ended = 0 } };

	stage_one("after 1 answer", "");
	servers.max = 1;
	for (int i = 0; i < 3; i++)
		ask(&askers[i]);
	run_for(reactor, 0.5);
	/* The second: while it waits, or when it has just been given a socket.
	 */
	if (_i)
		plait_i_query_cancel(&askers[0].query);
	plait_i_query_cancel(&askers[1].query);
	run_for(reactor, 5);
	ck_assert_uint_eq(askers[0].ended, !_i);
	ck_assert_uint_eq(askers[1].ended, 0);
	ck_assert_uint_eq(askers[2].ended, 1);
	ck_assert_uint_eq(servers.taken, 0);
	stage_down();
}

static struct asker *victim;

static void cancel_victim(struct asker *a)
{
	plait_i_query_cancel(&victim->query);
}

TEST(the_end_of_one_may_cancel_another, ON_EACH_KERNEL)
{
	struct asker second = { .ended = 0 };

	stage_one("answer", "");
	first.on_ended = cancel_victim;
	second.on_ended = cancel_victim;
	victim = &second;
	ask(&first);
	ask(&second);
	run_for(reactor, 40);
	/* Whichever event came first. */
	ck_assert_uint_eq(first.ended, 1);
	ck_assert_uint_le(second.ended, 1);
	ck_assert_uint_eq(servers.taken, 0);
	stage_down();
}

static void free_asker(struct asker *a)
{
	free(a);
}

TEST(the_owner_may_free_it_in_its_end, ON_EACH_KERNEL, EACH_OF(ways))
{
	struct asker *a = calloc(1, sizeof(*a));

	stage((const char *const[]){ ways[_i][0], ways[_i][1], NULL }, "");
	a->on_ended = free_asker;
	ask(a);
	run_for(reactor, 40);
	ck_assert_uint_eq(servers.taken, 0);
	stage_down();
}

/* The child's end is not the parent's. */
TEST(a_forked_child_may_cancel_its_copy, ON_EACH_KERNEL, TIMES(2))
{
	pid_t pid;

	stage_one(_i ? "truncated answer; after 1 answer" : "after 1 answer",
		  "");
	ask(&first);
	run_for(reactor, 0.5);
	pid = fork();
	if (pid == 0) {
		plait_i_query_cancel(&first.query);
		child_leave(first.ended == 0 && servers.taken == 0 ? 0 : 1);
	}
	child_ends(pid);
	run_until_count(reactor, &first.ended, 1);
	ck_assert_str_eq(outcome(&first), _i ? "192.0.2.1 from a at 1; 1+1"
					     : "192.0.2.1 from a at 1; 1");
	stage_down();
}

/* ---- what the system refuses --------------------------------------------- */

GROUP("refusals");

static const struct {
	const char *call;
	unsigned long times; /* 0: always */
	int err;
	const char *script;
	const char *outcome;
} refusals[] = {
	/* What may be there soon again is asked for in the next turn. */
	{ "socket", 1, EMFILE, "answer", "192.0.2.1 from a at 2; 1" },
	{ "socket", 1, ENFILE, "answer", "192.0.2.1 from a at 2; 1" },
	{ "socket", 1, ENOBUFS, "answer", "192.0.2.1 from a at 2; 1" },
	{ "connect", 1, EAGAIN, "answer", "192.0.2.1 from a at 2; 1" },
	{ "send", 1, ENOBUFS, "answer", "192.0.2.1 from a at 2; 1" },
	{ "send", 1, EAGAIN, "answer", "192.0.2.1 from a at 2; 1" },
	{ "recv", 1, ENOMEM, "answer", "192.0.2.1 from a at 2; 2" },
	{ "recv", 1, EINTR, "answer", "192.0.2.1 from a at 0; 1" },
	{ "recv", 1, EAGAIN, "answer", "192.0.2.1 from a at 0; 1" },
	/* What is never there is not waited for. */
	{ "socket", 0, EMFILE, "answer", "DNSLookupError at 2; 0" },
	{ "socket", 0, EAFNOSUPPORT, "answer", "DNSLookupError at 0; 0" },
	{ "connect", 0, ENETUNREACH, "answer", "DNSLookupError at 0; 0" },
	{ "send", 0, EPERM, "answer", "DNSLookupError at 0; 0" },
	{ "send", 0, ENOBUFS, "answer", "DNSTimeoutError at 10; 0" },
	{ "recv", 0, EHOSTUNREACH, "answer", "DNSLookupError at 0; 1" },
	{ "getrandom", 0, ENOSYS, "answer", "192.0.2.1 from a at 0; 1" },
	{ "close", 0, EIO, "answer", "192.0.2.1 from a at 0; 1" },
	/* Over TCP. */
	{ "getsockopt", 1, ENOBUFS, "truncated answer; answer",
	  "192.0.2.1 from a at 5; 1+1" },
	{ "getsockopt", 0, EBADF, "truncated answer; answer",
	  "DNSLookupError at 0; 1" },
};

TEST(what_the_system_refuses_ends_in_time, ON_EACH_KERNEL, EACH_OF(refusals))
{
	stage_one(refusals[_i].script, "");
	began = clock_now();
	if (refusals[_i].times == 0)
		fault_call_forever(refusals[_i].call, refusals[_i].err);
	else
		fault_call(refusals[_i].call, refusals[_i].times,
			   refusals[_i].err);
	ask_to_the_end(&first);
	ck_assert_str_eq(outcome(&first), refusals[_i].outcome);
	fault_off();
	clock_virtual(true);
	stage_down();
}

TEST(without_descriptors_it_gives_up_its_own, ON_EACH_KERNEL)
{
	stage((const char *const[]){ "drop", "after 1 answer", NULL }, "");
	fault_pass("socket", 1);
	fault_call("socket", 1, EMFILE);
	ask(&first);
	run_for(reactor, 2.5);
	ck_assert(!first.query.exchanges[0].is_open);
	run_until_count(reactor, &first.ended, 1);
	ck_assert_str_eq(outcome(&first), "192.0.2.1 from b at 3; 1 1");
	stage_down();
}

TEST(who_gets_no_descriptor_waits_for_that_of_another, ON_EACH_KERNEL)
{
	struct asker askers[3] = { { .ended = 0 } };

	stage_one("after 1 answer", "");
	fault_pass("socket", 1);
	fault_call("socket", 1, EMFILE);
	for (int i = 0; i < 3; i++)
		ask(&askers[i]);
	run_for(reactor, 3.5);
	ck_assert_str_eq(askers[0].outcome, "192.0.2.1 from a at 1");
	ck_assert_str_eq(askers[1].outcome, "192.0.2.1 from a at 2");
	ck_assert_str_eq(askers[2].outcome, "192.0.2.1 from a at 3");
	ck_assert_uint_eq(servers.taken, 0);
	stage_down();
}

TEST(without_its_last_socket_it_ends, ON_EACH_KERNEL)
{
	stage_one("after 3 answer", "attempts:1");
	fault_call("recv", 1, ENOMEM);
	ask_to_the_end(&first);
	ck_assert_str_eq(outcome(&first), "DNSLookupError at 3; 1");
	stage_down();
}

TEST(a_connection_may_take_a_byte_at_a_time, ON_EACH_KERNEL, TIMES(2))
{
	stage_one("truncated answer; answer", "");
	fault_pass("send", 1);
	fault_pass("recv", 1);
	fault_short_forever(_i ? "recv" : "send", 1);
	ask_to_the_end(&first);
	ck_assert_str_eq(outcome(&first), "192.0.2.1 from a at 0; 1+1");
	stage_down();
}

TEST(a_socket_that_somebody_else_has_closed_is_no_socket, ON_EACH_BACKEND)
{
	stage_one("after 1 answer", "");
	ask(&first);
	run_for(reactor, 0.5);
	close(first.query.exchanges[0].fd);
	run_until_count(reactor, &first.ended, 1);
	stage_down();
}

/* ---- whatever a server sends --------------------------------------------- */

GROUP("hostile", .timeout = 60);

enum {
	HOSTILE_RUNS = 10,
	SEEDS_EACH = 50,
	ASKERS = 6,
	SCRIPT_SIZE = 2000,
	TIME_OF_EACH = 20
};

static uint64_t chance;

static unsigned draw(unsigned below)
{
	return (unsigned)(chance_next(&chance) % below);
}

static void add(char *script, const char *const *words, int n)
{
	size_t used = strlen(script);

	snprintf(script + used, SCRIPT_SIZE - used, "%s ",
		 words[draw((unsigned)n)]);
}

/* A script that means no good, and now and then has an answer. */
static void draw_script(char *script)
{
	static const char *const before[] = {
		"wrong-id",	"wrong-name",  "wrong-type",	 "wrong-class",
		"other-case",	"no-question", "query",		 "truncated",
		"cut 5",	"cut 29",      "cut 40",	 "after 0.1",
		"after 1.5",	"after 4",     "from-elsewhere", "without-edns",
		"authoritative"
	};
	static const char *const what[] = {
		"drop",		"answer",	  "answer",   "no-data",
		"no-name",	"empty",	  "referral", "refused",
		"format-error", "server-failure", "garbage",  "not-implemented",
		"bad-version",	"nothing",	  "huge",     "half",
		"drip",		"hang-up",	  "reset",
	};
	static const char *const after[] = { ",", ";" };

	*script = '\0';
	if (draw(10) == 0)
		strcpy(script, "no-tcp ");
	for (unsigned left = 1 + draw(8); left > 0; left--) {
		for (unsigned n = draw(3); n > 0; n--)
			add(script, before, N_OF(before));
		/* What only a connection knows is no message over UDP. */
		add(script, what, N_OF(what));
		if (left > 1)
			add(script, after, N_OF(after));
	}
	if (draw(12) == 0)
		strcpy(script, "absent");
}

static void draw_stage(void)
{
	static char scripts[N_SERVERS][SCRIPT_SIZE];
	const char *given[N_SERVERS] = { NULL };
	char options[100];

	for (unsigned i = 0; i <= draw(N_SERVERS); i++) {
		draw_script(scripts[i]);
		given[i] = scripts[i];
	}
	snprintf(options, sizeof(options), "timeout:%u attempts:%u%s%s",
		 1 + draw(6), 1 + draw(3), draw(2) ? " rotate" : "",
		 draw(4) ? "" : " use-vc");
	stage(given, options);
	servers.max = 1 + draw(8);
}

static void check_asker(const struct asker *a, bool cancelled, unsigned seed)
{
	ck_assert_msg(a->ended == !cancelled, "seed %u: ended %u times", seed,
		      a->ended);
	ck_assert_msg(strstr(a->outcome, "203.0.113.66") == NULL,
		      "seed %u: it has taken a forged answer", seed);
	ck_assert_msg(a->seconds <= TIME_OF_EACH + 0.001, "seed %u: %g s", seed,
		      a->seconds);
}

static void run_hostile(unsigned seed)
{
	struct asker askers[ASKERS] = { { .ended = 0 } };
	bool cancelled[ASKERS] = { false };

	chance = seed;
	draw_stage();
	for (int i = 0; i < ASKERS; i++) {
		ask_for(&askers[i], PLAIT_DNS_A, TIME_OF_EACH);
		if (draw(2) == 0)
			run_for(reactor, draw(30) / 10.0);
		if (draw(4) > 0)
			continue;
		cancelled[i] = askers[i].ended == 0;
		plait_i_query_cancel(&askers[i].query);
	}
	run_for(reactor, TIME_OF_EACH + 1);
	for (int i = 0; i < ASKERS; i++)
		check_asker(&askers[i], cancelled[i], seed);
	ck_assert_uint_eq(servers.taken, 0);
	stage_down();
}

TEST(no_server_makes_a_question_end_late_or_with_a_wrong_answer, ON_EACH_KERNEL,
     TIMES(HOSTILE_RUNS))
{
	for (unsigned i = 0; i < SEEDS_EACH; i++)
		run_hostile((unsigned)_i * SEEDS_EACH + i);
}

/* ---- many ---------------------------------------------------------------- */

GROUP("many", .timeout = 60);

enum { MANY = 5000, AT_ONCE = 500 };

static unsigned many_begun, many_answered;

static void ask_once_more(struct asker *a)
{
	many_answered += strncmp(a->outcome, "192.0.2.1 ", 10) == 0;
	ck_assert_double_le(a->seconds, 25);
	if (many_begun < MANY) {
		many_begun++;
		ask(a);
	}
}

TEST(many_questions_on_a_bad_line_are_all_answered, ON_EACH_KERNEL)
{
	struct asker *askers = calloc(AT_ONCE, sizeof(*askers));

	stage_one("lossy after 0.02 answer", "attempts:5");
	many_begun = many_answered = 0;
	for (int i = 0; i < AT_ONCE; i++) {
		askers[i].on_ended = ask_once_more;
		ask_once_more(&askers[i]);
	}
	run_until_count(reactor, &many_answered, MANY);
	ck_assert_uint_eq(servers.taken, 0);
	/* Each loss costs one question more, and nothing is asked in vain. */
	ck_assert_uint_gt(ns[0].datagrams, MANY + MANY / 30);
	ck_assert_uint_lt(ns[0].datagrams, MANY + MANY / 10);
	stage_down();
	free(askers);
}

/* ---- all at once --------------------------------------------------------- */

GROUP("torture", .timeout = 60);

/* In a faulty run there may be no settings, so nothing to ask. */
static void ask_all_ways(struct plait_reactor *r)
{
	struct asker a = { .ended = 0 };
	struct plait_reactor *before = reactor;

	reactor = r;
	stage(
		(const char *const[]){
			"drop; truncated answer; answer",
			"without-edns answer; truncated answer; answer", NULL },
		"timeout:1");
	if (servers.conf != NULL) {
		ask_to_the_end(&a);
		ck_assert(torture_faulty() ||
			  strncmp(a.outcome, "192.0.2.1", 9) == 0);
		plait_i_query_cancel(&a.query);
	}
	stage_down();
	reactor = before;
}

TEST(no_allocation_that_fails_leaves_anything, ON_EACH_KERNEL)
{
	torture(ask_all_ways, backend);
}

TEST(no_call_that_fails_leaves_anything, ON_EACH_KERNEL)
{
	torture_syscalls(ask_all_ways, backend);
}
