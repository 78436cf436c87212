/*
 * A DNS server of tests that knows names: see zone.h.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include <plait/dns.h>

#include "tests/dns_reply.h"
#include "tests/model.h"
#include "tests/zone.h"

enum { MAX_ITEM = 4096, MAX_NAME = 256 };

/* ---- calls, of whichever kernel ------------------------------------------ */

static int zone_open(struct plait_reactor *r, struct sockaddr_in *sa)
{
	struct sockaddr *any = (struct sockaddr *)sa;
	socklen_t size = sizeof(*sa);
	struct kernel k;
	int fd;

	if (model_is_on()) {
		k = model_past_seam(r);
		fd = kernel_socket(&k, AF_INET, SOCK_DGRAM);
		ck_assert_int_eq(kernel_bind(&k, fd, any, size), 0);
		ck_assert_int_eq(kernel_getsockname(&k, fd, any, &size), 0);
		return fd;
	}
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(fd, any, size), 0);
	ck_assert_int_eq(getsockname(fd, any, &size), 0);
	return fd;
}

static ssize_t zone_receive(struct zone *z, struct msghdr *msg)
{
	struct kernel k;

	if (!model_is_on())
		return recvmsg(z->fd, msg, 0);
	k = model_past_seam(z->reactor);
	return kernel_recvmsg(&k, z->fd, msg, 0);
}

static void zone_send(struct zone *z, const struct msghdr *msg)
{
	struct kernel k;

	if (!model_is_on()) {
		sendmsg(z->fd, msg, 0);
		return;
	}
	k = model_past_seam(z->reactor);
	kernel_sendmsg(&k, z->fd, msg, 0);
}

static void zone_close(struct zone *z)
{
	struct kernel k;

	if (!model_is_on()) {
		close(z->fd);
		return;
	}
	k = model_past_seam(z->reactor);
	kernel_close(&k, z->fd);
}

/* ---- what it knows ------------------------------------------------------- */

/* The beginning of a negative answer. */
#define SOA "authority . 300 SOA a. b. 1 2 3 4 60"

/* Reads a name without pointers; returns where it ends. */
static const unsigned char *read_name(const unsigned char *at, char *ret)
{
	while (*at > 0) {
		memcpy(ret, at + 1, *at);
		ret += *at;
		*ret++ = '.';
		at += 1 + *at;
	}
	ret[-1] = '\0';
	return at + 1;
}

/* Does the item at known begin with this, up to its colon? */
static bool item_is(const char *known, const char *head)
{
	size_t n = strlen(head);

	if (strncmp(known, head, strcspn(known, "*:")) == 0 &&
	    strncmp(known + strcspn(known, "*:"), "** ", 3) == 0)
		return true;
	return strncmp(known, head, n) == 0 &&
	       (known[n] == ':' || known[n] == ' ');
}

static const char *find_item(const char *known, const char *head)
{
	while (known != NULL && !item_is(known + strspn(known, " "), head)) {
		known = strchr(known, '|');
		if (known != NULL)
			known++;
	}
	return known;
}

/* Writes what the zone says to a question: words, or an empty text. */
static void find_words(const char *known, const char *name, const char *type,
		       char *ret, size_t size)
{
	char head[MAX_NAME + 20];
	const char *item;

	snprintf(head, sizeof(head), "%s %s", name, type);
	item = find_item(known, head);
	if (item == NULL) {
		snprintf(head, sizeof(head), "%s *", name);
		item = find_item(known, head);
	}
	if (item != NULL) {
		item = strchr(item, ':') + 1;
		snprintf(ret, size, "%.*s", (int)strcspn(item, "|"), item);
	} else {
		snprintf(ret, size, "%s",
			 find_item(known, name) != NULL ? SOA
							: "rcode 3; " SOA);
	}
}

static const char later[] = "later ";

/* to has the address of who asks, and an iovec to be used. */
static void zone_say(struct zone *z, const char *words, struct msghdr *to)
{
	static struct dns_reply reply;

	dns_reply_make(&reply, words);
	to->msg_iov->iov_base = reply.bytes;
	to->msg_iov->iov_len = reply.length;
	zone_send(z, to);
}

static void answer(struct zone *z, const unsigned char *question,
		   struct msghdr *to)
{
	char name[MAX_NAME], type[16], words[MAX_ITEM];
	char text[MAX_ITEM + MAX_NAME + 64];
	const unsigned char *end = read_name(question + 12, name);
	size_t len = strlen(z->log);
	bool is_late;

	plait_dns_type_str(end[0] * 256u + end[1], type, sizeof(type));
	z->asked++;
	snprintf(z->log + len, sizeof(z->log) - len, "%s%s %s",
		 len > 0 ? " " : "", type, name);
	find_words(z->known, name, type, words, sizeof(words));
	if (strcmp(words + strspn(words, " "), "drop") == 0 ||
	    (z->lost > 0 && z->asked % z->lost == 0))
		return;
	if (strcmp(words + strspn(words, " "), "address") == 0)
		snprintf(words, sizeof(words), "answer %s 60 A 192.0.2.1",
			 name);
	is_late =
		strncmp(words + strspn(words, " "), later, strlen(later)) == 0;
	snprintf(text, sizeof(text), "id %u; question %s %s; %s",
		 question[0] * 256u + question[1], name, type,
		 is_late ? strstr(words, later) + strlen(later) : words);
	if (is_late) {
		snprintf(z->late, sizeof(z->late), "%s", text);
		memcpy(&z->late_to, to->msg_name, sizeof(z->late_to));
		return;
	}
	zone_say(z, text, to);
}

void zone_answer_later(struct zone *z)
{
	struct iovec piece;
	struct msghdr msg = {
		.msg_name = &z->late_to,
		.msg_namelen = sizeof(z->late_to),
		.msg_iov = &piece,
		.msg_iovlen = 1,
	};

	zone_say(z, z->late, &msg);
}

static void question_comes(struct plait_watch *w, unsigned events)
{
	struct zone *z = plait_container(w, struct zone, watch);
	unsigned char bytes[600];
	struct sockaddr_in from;
	struct iovec piece = { bytes, sizeof(bytes) };
	struct msghdr msg = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &piece,
		.msg_iovlen = 1,
	};

	if (zone_receive(z, &msg) > 12)
		answer(z, bytes, &msg);
}

void zone_start(struct zone *z, struct plait_reactor *r, const char *known)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	*z = (struct zone){ .reactor = r, .known = known };
	z->fd = zone_open(r, &sa);
	ck_assert_int_eq(plait_address_parse(&z->address, "127.0.0.1",
					     ntohs(sa.sin_port)),
			 0);
	ck_assert(plait_watch_start(r, &z->watch, z->fd, PLAIT_WATCH_READ,
				    question_comes) == 0 ||
		  torture_faulty());
}

void zone_stop(struct zone *z)
{
	plait_watch_stop(&z->watch);
	zone_close(z);
}

const char *zone_log(struct zone *z)
{
	static char log[sizeof(z->log)];

	strcpy(log, z->log);
	z->log[0] = '\0';
	return log;
}
