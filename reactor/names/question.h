/*
 * Questions to the DNS, each of one name and one type.  An answer comes from
 * the cache or from a server.  All who ask the same at the same time share one
 * query: it goes on as long as anybody waits for it.
 */
#ifndef REACTOR_QUESTION_H
#define REACTOR_QUESTION_H

#include <plait/dns.h>

#include "reactor/names/name.h"
#include "reactor/names/names.h"

struct names_question;

/*
 * Somebody who asks.  Embedded in a struct of its owner.  It is told from the
 * loop, once: never inside plait_i_ask_start(), and never after
 * plait_i_ask_cancel().
 */
struct names_ask {
	/*
	 * Set by the owner.  Is told of an answer, or why there is none; both
	 * are borrowed for the call, and one is NULL.  The owner may free the
	 * struct in here, or ask again.
	 */
	void (*told)(struct names_ask *a, struct plait_dns_answer *answer,
		     const struct plait_failure *why);
	/* private */
	struct plait_list link;		 /* of those who wait for question */
	struct names_question *question; /* NULL: it was known, or it is over */
	struct loop_task known;		 /* tells what was known */
	struct plait_dns_answer *answer;
	const struct plait_failure *why;
};

/* What is asked. */
struct ask_wish {
	const struct dns_name *name; /* borrowed for the call */
	unsigned type;
	unsigned turn;	/* of plait_i_servers_turn() */
	double timeout; /* in seconds; the owner has a timer of its own */
};

/*
 * Begins.  The owner has set told and zeroed all else.  plait_i_names_refresh()
 * has been called before.
 */
void plait_i_ask_start(struct names_ask *a, struct plait_resolver *rs,
		       const struct ask_wish *wish);

/* Ends it, and calls nobody.  Does nothing if it is not under way. */
void plait_i_ask_cancel(struct names_ask *a);

/*
 * The same; but if the question was sent and nobody else waits, it goes on for
 * a second, so that an answer that comes meanwhile is known next time.
 */
void plait_i_ask_leave(struct names_ask *a);

/* Ends all questions for which nobody waits. */
void plait_i_names_end_alone(struct plait_resolver *rs);

/*
 * Looks at the files, if it is time to, and does as they say from now on.
 * Returns 0; or -errno if nothing is known of one of them, because it could not
 * be read now.
 */
int plait_i_names_refresh(struct plait_resolver *rs);

/* What fails then, fails with this. */
plait_value plait_i_names_unreadable(int rc);

#endif
