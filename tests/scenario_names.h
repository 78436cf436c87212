/*
 * A name server for scenarios: a program on a host of its own that is asked on
 * port 53, by datagrams.  What it answers, and when, the scenario says.
 */
#ifndef TESTS_SCENARIO_NAMES_H
#define TESTS_SCENARIO_NAMES_H

#include <netinet/in.h>
#include <stddef.h>

#include "tests/scenario.h"

struct name_question {
	struct sockaddr_in from;
	unsigned id;
	size_t length;
	unsigned char bytes[600];
};

struct name_server {
	struct node node;
	void (*asked)(const struct name_question *q);
	struct plait_watch watch;
	int fd;
};

/* One that node_start(&s.node) starts, for as long as s is there. */
#define NAME_SERVER(called, when_asked)                                        \
	((struct name_server){                                                 \
		.node = { .name = called, .begin = names_begin },              \
		.asked = when_asked,                                           \
	})

void names_begin(struct node *n);

/* Sends the message that dns_reply.h makes of words, with that id. */
void names_answer(struct name_server *s, const struct sockaddr_in *to,
		  unsigned id, const char *words);

#endif
