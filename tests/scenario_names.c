/*
 * A name server for scenarios: see scenario_names.h.
 */
#include <stdio.h>
#include <sys/socket.h>

#include "reactor/loop/loop.h"
#include "tests/dns_reply.h"
#include "tests/scenario_names.h"

enum { HEADER_SIZE = 12 };

static void names_are_asked(struct plait_watch *w, unsigned events)
{
	struct name_server *s = plait_container(w, struct name_server, watch);
	struct name_question q;
	struct iovec piece = { q.bytes, sizeof(q.bytes) };
	struct msghdr msg = {
		.msg_name = &q.from,
		.msg_namelen = sizeof(q.from),
		.msg_iov = &piece,
		.msg_iovlen = 1,
	};
	ssize_t len =
		kernel_recvmsg(loop_kernel(s->node.reactor), s->fd, &msg, 0);

	if (len < HEADER_SIZE)
		return;
	q.length = (size_t)len;
	q.id = q.bytes[0] * 256u + q.bytes[1];
	s->asked(&q);
}

static plait_value names_stop(void *arg)
{
	struct name_server *s = arg;

	plait_watch_stop(&s->watch);
	kernel_close(loop_kernel(s->node.reactor), s->fd);
	return PLAIT_NONE;
}

void names_begin(struct node *n)
{
	struct name_server *s = plait_container(n, struct name_server, node);
	struct kernel *k = loop_kernel(n->reactor);
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(53) };

	s->watch = (struct plait_watch){ .fd = -1 };
	s->fd = kernel_socket(k, AF_INET, SOCK_DGRAM);
	MUST(s->fd >= 0 &&
		     kernel_bind(k, s->fd, (struct sockaddr *)&sa,
				 sizeof(sa)) == 0 &&
		     plait_watch_start(n->reactor, &s->watch, s->fd,
				       PLAIT_WATCH_READ,
				       names_are_asked) == 0 &&
		     plait_reactor_add_trigger(n->reactor, PLAIT_TRIGGER_DURING,
					       PLAIT_TRIGGER_SHUTDOWN,
					       names_stop, s, NULL) == 0,
	     "the name server cannot begin");
}

void names_answer(struct name_server *s, const struct sockaddr_in *to,
		  unsigned id, const char *words)
{
	static struct dns_reply reply;
	char text[1300];
	struct iovec piece;
	struct msghdr msg = {
		.msg_name = (void *)(uintptr_t)to,
		.msg_namelen = sizeof(*to),
		.msg_iov = &piece,
		.msg_iovlen = 1,
	};

	snprintf(text, sizeof(text), "id %u; %s", id, words);
	dns_reply_make(&reply, text);
	piece = (struct iovec){ reply.bytes, reply.length };
	kernel_sendmsg(loop_kernel(s->node.reactor), s->fd, &msg, 0);
}
