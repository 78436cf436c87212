/*
 * A scripted DNS server: see nameserver.h.  It reads and writes messages by
 * itself, so that it does not share the mistakes of the library.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>

#include <plait/dns.h>

#include "lib/chance.h"
#include "tests/model.h"
#include "tests/nameserver.h"
#include "tests/stranger.h"

enum {
	HEADER = 12,
	MAX_QUESTION = 600,
	MAX_MESSAGE = 65535,
	HUGE_DATAGRAM = 65000, /* there is room for no more than 65,507 */
};

#define DRIP 0.4

/* Where an answer goes: to an address, or down a connection. */
struct way {
	struct nameserver *ns;
	struct sockaddr_in to;
	struct connection *down; /* NULL: UDP */
};

struct connection {
	struct nameserver *ns;
	struct plait_list link;
	struct plait_watch watch;
	struct plait_timer drip;
	int fd;
	size_t got;
	unsigned char input[2 + MAX_QUESTION];
};

/* What was asked. */
struct question {
	const unsigned char *bytes; /* header and question, without records */
	size_t length;
	struct nameserver_question what;
};

/* A message before it is sent. */
struct draft {
	unsigned char bytes[MAX_MESSAGE];
	size_t length;
	size_t promised; /* TCP: the length that is said */
	bool forged;
};

struct delayed {
	struct plait_list link;
	struct plait_timer timer;
	struct way way;
	bool elsewhere;
	struct draft draft;
};

/* ---- calls, of whichever kernel ------------------------------------------ */

static int server_socket(struct plait_reactor *r, int type)
{
	struct kernel k;

	if (!model_is_on())
		return socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	k = model_past_seam(r);
	return kernel_socket(&k, AF_INET, type);
}

static int server_bind(struct plait_reactor *r, int fd, uint16_t *port)
{
	struct sockaddr_in sa = {
		.sin_family = AF_INET,
		.sin_port = htons(*port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(sa);
	struct sockaddr *any = (struct sockaddr *)&sa;
	struct kernel k;
	int rc;

	if (model_is_on()) {
		k = model_past_seam(r);
		rc = kernel_bind(&k, fd, any, len);
		kernel_getsockname(&k, fd, any, &len);
	} else {
		rc = bind(fd, any, len);
		getsockname(fd, any, &len);
	}
	*port = ntohs(sa.sin_port);
	return rc;
}

static void server_listen(struct plait_reactor *r, int fd)
{
	struct kernel k;

	if (!model_is_on()) {
		ck_assert_int_eq(listen(fd, 16), 0);
		return;
	}
	k = model_past_seam(r);
	ck_assert_int_eq(kernel_listen(&k, fd, 16), 0);
}

/* From now on it takes datagrams of nobody, and the kernel refuses all. */
static void server_be_deaf(struct plait_reactor *r, int fd)
{
	const struct sockaddr_in nobody = {
		.sin_family = AF_INET,
		.sin_port = htons(1),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const struct sockaddr *any = (const void *)&nobody;
	struct kernel k;

	if (!model_is_on()) {
		ck_assert_int_eq(connect(fd, any, sizeof(nobody)), 0);
		return;
	}
	k = model_past_seam(r);
	ck_assert_int_eq(kernel_connect(&k, fd, any, sizeof(nobody)), 0);
}

static int server_accept(struct plait_reactor *r, int fd)
{
	struct kernel k;

	if (!model_is_on())
		return stranger_accept(fd, NULL, NULL,
				       SOCK_NONBLOCK | SOCK_CLOEXEC);
	k = model_past_seam(r);
	return kernel_accept(&k, fd, NULL, NULL);
}

static void server_close(struct plait_reactor *r, int fd)
{
	struct kernel k;

	if (!model_is_on()) {
		close(fd);
		return;
	}
	k = model_past_seam(r);
	kernel_close(&k, fd);
}

static ssize_t server_recv(struct plait_reactor *r, int fd, void *buf,
			   size_t len, struct sockaddr_in *from)
{
	struct iovec piece = { buf, len };
	struct msghdr m = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_name = from,
		.msg_namelen = from != NULL ? sizeof(*from) : 0,
	};
	struct kernel k;

	if (!model_is_on())
		return recvmsg(fd, &m, 0);
	k = model_past_seam(r);
	return kernel_recvmsg(&k, fd, &m, 0);
}

static void server_send(struct plait_reactor *r, int fd, const void *buf,
			size_t len, const struct sockaddr_in *to)
{
	struct iovec piece = { (void *)(uintptr_t)buf, len };
	struct msghdr m = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_name = (void *)(uintptr_t)to,
		.msg_namelen = to != NULL ? sizeof(*to) : 0,
	};
	struct kernel k;

	if (!model_is_on()) {
		sendmsg(fd, &m, MSG_NOSIGNAL);
		return;
	}
	k = model_past_seam(r);
	kernel_sendmsg(&k, fd, &m, MSG_NOSIGNAL);
}

static void server_reset(struct plait_reactor *r, int fd)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };
	struct kernel k;

	if (model_is_on()) {
		k = model_past_seam(r);
		kernel_setsockopt(&k, fd, SOL_SOCKET, SO_LINGER, &now,
				  sizeof(now));
	} else {
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	}
}

/* ---- the script ---------------------------------------------------------- */

/* Takes the next word of a message.  False at its end. */
static bool word_next(const char **at, char *word, size_t size)
{
	size_t n;

	*at += strspn(*at, " ");
	n = strcspn(*at, " ,;");
	if (n == 0)
		return false;
	ck_assert_uint_lt(n, size);
	memcpy(word, *at, n);
	word[n] = '\0';
	*at += n;
	return true;
}

static double word_number(const char **at)
{
	char word[32];

	ck_assert(word_next(at, word, sizeof(word)));
	return atof(word);
}

/* ---- messages ------------------------------------------------------------ */

static void put(struct draft *d, const void *bytes, size_t n)
{
	memcpy(d->bytes + d->length, bytes, n);
	d->length += n;
}

static void put16(struct draft *d, unsigned n)
{
	put(d, (unsigned char[]){ (unsigned char)(n >> 8), (unsigned char)n },
	    2);
}

/* A record of the name in the question. */
static void put_record(struct draft *d, unsigned section, unsigned type,
		       const void *data, size_t n)
{
	unsigned char *count = &d->bytes[6 + 2 * section + 1];

	++*count;
	put16(d, 0xc000 | HEADER);
	put16(d, type);
	put16(d, 1);
	put16(d, 0);
	put16(d, 300);
	put16(d, (unsigned)n);
	put(d, data, n);
}

static void put_address(struct draft *d, unsigned type)
{
	unsigned char ipv6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };
	unsigned char ipv4[4] = { 192, 0, 2, 1 };

	if (d->forged) {
		memcpy(ipv4, (unsigned char[]){ 203, 0, 113, 66 }, 4);
		memcpy(ipv6 + 4, (unsigned char[]){ 0x0b, 0xad }, 2);
	}
	if (type == PLAIT_DNS_AAAA)
		put_record(d, 0, type, ipv6, sizeof(ipv6));
	else
		put_record(d, 0, PLAIT_DNS_A, ipv4, sizeof(ipv4));
}

static void put_soa(struct draft *d)
{
	unsigned char soa[2 + 2 + 20] = { 0xc0, HEADER, 0xc0, HEADER };

	soa[sizeof(soa) - 1] = 60;
	put_record(d, 1, PLAIT_DNS_SOA, soa, sizeof(soa));
}

static void put_bad_version(struct draft *d)
{
	static const unsigned char opt[] = {
		0, 0, 41, 4, 0xd0, 1 /* of the code, 16 */, 0, 0, 0, 0, 0
	};

	d->bytes[11]++;
	put(d, opt, sizeof(opt));
}

static void set_code(struct draft *d, unsigned code)
{
	d->bytes[3] = (unsigned char)((d->bytes[3] & 0xf0) | code);
}

static const struct {
	const char *name;
	unsigned code;
} codes[] = {
	{ "format-error", 1 },	  { "server-failure", 2 }, { "no-name", 3 },
	{ "not-implemented", 4 }, { "refused", 5 },
};

static bool draft_code(struct draft *d, const char *word)
{
	for (int i = 0; i < N_OF(codes); i++) {
		if (strcmp(word, codes[i].name) != 0)
			continue;
		set_code(d, codes[i].code);
		if (codes[i].code == 3)
			put_soa(d);
		return true;
	}
	return false;
}

/* Its header and question are those of the question. */
static void draft_begin(struct draft *d, const struct question *q)
{
	*d = (struct draft){ .promised = SIZE_MAX };
	put(d, q->bytes, q->length);
	d->bytes[2] = 0x81; /* an answer, recursion desired */
	d->bytes[3] = 0x80; /* recursion available */
	memset(d->bytes + 6, 0, 6);
}

static void draft_spoil(struct draft *d, const struct question *q, size_t at)
{
	d->bytes[at] = q->bytes[at] ^ 1;
}

static void draft_other_case(struct draft *d)
{
	for (size_t i = HEADER + 1; i < d->length - 5; i++) {
		if ((d->bytes[i] | 0x20) >= 'a' && (d->bytes[i] | 0x20) <= 'z')
			d->bytes[i] ^= 0x20;
	}
}

static void draft_no_question(struct draft *d)
{
	d->bytes[5] = 0;
	d->length = HEADER;
}

/* What is done to the message before it has its records.  False if the word is
   no such thing. */
static bool draft_change(struct draft *d, const char *word,
			 const struct question *q)
{
	size_t end = q->length;

	if (strcmp(word, "wrong-id") == 0)
		draft_spoil(d, q, 1);
	else if (strcmp(word, "wrong-name") == 0)
		draft_spoil(d, q, HEADER + 1);
	else if (strcmp(word, "wrong-type") == 0)
		draft_spoil(d, q, end - 3);
	else if (strcmp(word, "wrong-class") == 0)
		draft_spoil(d, q, end - 1);
	else if (strcmp(word, "other-case") == 0)
		draft_other_case(d);
	else if (strcmp(word, "no-question") == 0)
		draft_no_question(d);
	else if (strcmp(word, "query") == 0)
		d->bytes[2] &= 0x7f;
	else if (strcmp(word, "authoritative") == 0)
		d->bytes[2] |= 4, d->bytes[3] = 0;
	else if (strcmp(word, "truncated") == 0)
		d->bytes[2] |= 2;
	else
		return false;
	return true;
}

static void draft_fill(struct draft *d, const char *word,
		       const struct question *q, bool tcp)
{
	if (strcmp(word, "answer") == 0) {
		put_address(d, q->what.type);
	} else if (strcmp(word, "no-data") == 0) {
		put_soa(d);
	} else if (strcmp(word, "referral") == 0) {
		d->bytes[3] = 0;
		put_record(d, 1, PLAIT_DNS_NS, (char[]){ 1, 'a', 0 }, 3);
	} else if (strcmp(word, "bad-version") == 0) {
		put_bad_version(d);
	} else if (strcmp(word, "garbage") == 0) {
		memset(d->bytes, 0xc0, 40);
		d->length = 40;
	} else if (strcmp(word, "nothing") == 0) {
		d->length = 0;
	} else if (strcmp(word, "huge") == 0) {
		put_address(d, q->what.type);
		d->length = tcp ? MAX_MESSAGE : HUGE_DATAGRAM;
	} else if (strcmp(word, "half") == 0) {
		put_address(d, q->what.type);
		d->promised = d->length;
		d->length /= 2;
	} else if (strcmp(word, "empty") != 0 && !draft_code(d, word)) {
		ck_abort_msg("no such message: %s", word);
	}
}

/* ---- sending ------------------------------------------------------------- */

static void connection_free(struct connection *c)
{
	plait_watch_stop(&c->watch);
	plait_timer_stop(&c->drip);
	plait_list_remove(&c->link);
	server_close(c->ns->reactor, c->fd);
	free(c);
}

static void send_down(struct connection *c, struct draft *d)
{
	size_t promised = d->promised != SIZE_MAX ? d->promised : d->length;
	unsigned char *bytes = malloc(2 + d->length);

	bytes[0] = (unsigned char)(promised >> 8);
	bytes[1] = (unsigned char)promised;
	memcpy(bytes + 2, d->bytes, d->length);
	server_send(c->ns->reactor, c->fd, bytes, 2 + d->length, NULL);
	free(bytes);
}

static void send_from_elsewhere(const struct way *way, struct draft *d)
{
	struct plait_reactor *r = way->ns->reactor;
	uint16_t port = 0;
	int fd = server_socket(r, SOCK_DGRAM);

	ck_assert_int_eq(server_bind(r, fd, &port), 0);
	server_send(r, fd, d->bytes, d->length, &way->to);
	server_close(r, fd);
}

static void send_it(const struct way *way, struct draft *d, bool elsewhere)
{
	if (way->down != NULL)
		send_down(way->down, d);
	else if (elsewhere)
		send_from_elsewhere(way, d);
	else
		server_send(way->ns->reactor, way->ns->udp, d->bytes, d->length,
			    &way->to);
}

static void send_delayed(void *arg)
{
	struct delayed *later = arg;
	struct plait_list *l;
	const struct connection *down = later->way.down;
	bool is_there = down == NULL;

	plait_list_for_each (l, &later->way.ns->connected)
		is_there |= plait_container(l, struct connection, link) == down;
	if (is_there)
		send_it(&later->way, &later->draft, later->elsewhere);
	plait_list_remove(&later->link);
	free(later);
}

static void send_later(const struct way *way, const struct draft *d,
		       bool elsewhere, double seconds)
{
	struct delayed *later = calloc(1, sizeof(*later));

	later->way = *way;
	later->draft = *d;
	later->elsewhere = elsewhere;
	plait_list_append(&way->ns->delayed, &later->link);
	plait_timer_start(way->ns->reactor, &later->timer, seconds,
			  send_delayed, later);
}

static void drip(void *arg)
{
	struct connection *c = arg;

	server_send(c->ns->reactor, c->fd, "\x40", 1, NULL);
	plait_timer_start(c->ns->reactor, &c->drip, DRIP, drip, c);
}

/* What only a connection can do; over UDP it is a drop. */
static bool is_act(const char *word)
{
	return strcmp(word, "drip") == 0 || strcmp(word, "hang-up") == 0 ||
	       strcmp(word, "reset") == 0;
}

/* The connection may be gone afterwards. */
static void act_on_connection(struct way *way, const char *word)
{
	if (strcmp(word, "drip") == 0) {
		drip(way->down);
		return;
	}
	if (strcmp(word, "reset") == 0)
		server_reset(way->ns->reactor, way->down->fd);
	connection_free(way->down);
	way->down = NULL;
}

static bool message_is_forged(const char *message, bool tcp)
{
	static const char *const words[] = { "wrong-", "query",
					     "from-elsewhere" };
	size_t len = strcspn(message, ",;");

	for (int i = 0; i < N_OF(words) - tcp; i++) {
		if (memmem(message, len, words[i], strlen(words[i])) != NULL)
			return true;
	}
	return false;
}

/* One in twenty, the same ones in each run. */
static bool is_lost(struct nameserver *ns)
{
	return chance_next(&ns->chance) % 20 == 0;
}

/* Sends one message of the script.  False if the connection is gone. */
static bool send_message(struct way *way, const struct question *q,
			 const char **at)
{
	struct draft d;
	char word[32];
	bool elsewhere = false, tcp = way->down != NULL;
	double seconds = -1;
	size_t cut = SIZE_MAX;

	draft_begin(&d, q);
	d.forged = message_is_forged(*at, tcp);
	while (word_next(at, word, sizeof(word))) {
		if (is_act(word) && tcp)
			act_on_connection(way, word);
		if (is_act(word) || strcmp(word, "drop") == 0 ||
		    (strcmp(word, "lossy") == 0 && is_lost(way->ns)))
			return !tcp || way->down != NULL;
		if (strcmp(word, "after") == 0)
			seconds = word_number(at);
		else if (strcmp(word, "cut") == 0)
			cut = (size_t)word_number(at);
		else if (strcmp(word, "from-elsewhere") == 0)
			elsewhere = true;
		else if (strcmp(word, "without-edns") == 0 && q->what.edns)
			set_code(&d, 1);
		else if (strcmp(word, "without-edns") != 0 &&
			 strcmp(word, "lossy") != 0 &&
			 !draft_change(&d, word, q) && (d.bytes[3] & 0xf) == 0)
			draft_fill(&d, word, q, tcp);
	}
	if (d.length > cut)
		d.length = cut;
	if (seconds >= 0)
		send_later(way, &d, elsewhere, seconds);
	else
		send_it(way, &d, elsewhere);
	return true;
}

static void answer(struct way *way, const struct question *q)
{
	struct nameserver *ns = way->ns;
	const char *at = ns->script;
	size_t step = strcspn(at, ";");

	if (at[step] == ';')
		ns->script = at + step + 1;
	while (send_message(way, q, &at) && *at == ',')
		at++;
}

/* ---- receiving ----------------------------------------------------------- */

static unsigned get16(const unsigned char *at)
{
	return at[0] * 256u + at[1];
}

static void note(struct nameserver *ns, const struct question *q)
{
	if (ns->n_seen < NAMESERVER_SEEN)
		ns->seen[ns->n_seen] = q->what;
	ns->n_seen++;
	if (q->what.tcp)
		ns->streamed++;
	else
		ns->datagrams++;
}

static void take_question(struct way *way, const unsigned char *bytes,
			  size_t len)
{
	struct question q = { .bytes = bytes, .length = HEADER };

	/* A fault may have cut it. */
	if (torture_faulty() && len < HEADER + 1 + 4)
		return;
	ck_assert_uint_gt(len, HEADER + 4);
	while (bytes[q.length] != 0)
		q.length += 1u + bytes[q.length];
	q.length += 1 + 4;
	ck_assert_uint_le(q.length, len);
	q.what = (struct nameserver_question){
		.id = (uint16_t)get16(bytes),
		.port = ntohs(way->to.sin_port),
		.type = (uint16_t)get16(bytes + q.length - 4),
		.authentic = bytes[3] & 0x20,
		.edns = get16(bytes + 10) > 0,
		.tcp = way->down != NULL,
	};
	if (q.what.edns)
		q.what.edns_size = get16(bytes + q.length + 3);
	note(way->ns, &q);
	answer(way, &q);
}

static void datagram_comes(struct plait_watch *w, unsigned events)
{
	struct nameserver *ns =
		plait_container(w, struct nameserver, udp_watch);
	struct way way = { .ns = ns };
	unsigned char bytes[MAX_QUESTION];
	ssize_t n = server_recv(ns->reactor, ns->udp, bytes, sizeof(bytes),
				&way.to);

	if (n >= 0)
		take_question(&way, bytes, (size_t)n);
}

static void bytes_come(struct plait_watch *w, unsigned events)
{
	struct connection *c = plait_container(w, struct connection, watch);
	struct way way = { .ns = c->ns, .down = c };
	ssize_t n = server_recv(c->ns->reactor, c->fd, c->input + c->got,
				sizeof(c->input) - c->got, NULL);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		connection_free(c);
		return;
	}
	c->got += (size_t)n;
	if (c->got < 2 || c->got < 2 + get16(c->input))
		return;
	c->got = 0;
	take_question(&way, c->input + 2, get16(c->input));
}

static void connection_comes(struct plait_watch *w, unsigned events)
{
	struct nameserver *ns =
		plait_container(w, struct nameserver, tcp_watch);
	int fd = server_accept(ns->reactor, ns->tcp);
	struct connection *c;

	if (fd < 0)
		return;
	c = calloc(1, sizeof(*c));
	c->ns = ns;
	c->fd = fd;
	ns->connections++;
	plait_list_append(&ns->connected, &c->link);
	if (plait_watch_start(ns->reactor, &c->watch, fd, PLAIT_WATCH_READ,
			      bytes_come) != 0)
		connection_free(c);
}

/* ---- its life ------------------------------------------------------------ */

/* The port is free for both, in a few attempts. */
static void open_both(struct nameserver *ns, uint16_t *port)
{
	for (int i = 0; i < 100; i++) {
		*port = 0;
		ns->udp = server_socket(ns->reactor, SOCK_DGRAM);
		ns->tcp = server_socket(ns->reactor, SOCK_STREAM);
		ck_assert_int_eq(server_bind(ns->reactor, ns->tcp, port), 0);
		if (server_bind(ns->reactor, ns->udp, port) == 0)
			return;
		server_close(ns->reactor, ns->udp);
		server_close(ns->reactor, ns->tcp);
	}
	ck_abort_msg("no port is free for UDP and TCP");
}

static void close_one(struct nameserver *ns, struct plait_watch *w, int *fd)
{
	plait_watch_stop(w);
	if (*fd >= 0)
		server_close(ns->reactor, *fd);
	*fd = -1;
}

void nameserver_start(struct nameserver *ns, struct plait_reactor *r,
		      const char *script)
{
	bool absent = strcmp(script, "absent") == 0;
	uint16_t port;

	*ns = (struct nameserver){ .reactor = r };
	plait_list_init(&ns->connected);
	plait_list_init(&ns->delayed);
	open_both(ns, &port);
	/* It keeps its port, so that nobody else answers there. */
	if (absent)
		server_be_deaf(r, ns->udp);
	else
		server_listen(r, ns->tcp);
	ck_assert_int_eq(plait_address_parse(&ns->address, "127.0.0.1", port),
			 0);
	ns->script = script;
	if (absent)
		return;
	ck_assert(plait_watch_start(r, &ns->udp_watch, ns->udp,
				    PLAIT_WATCH_READ, datagram_comes) == 0 ||
		  torture_faulty());
	ck_assert(plait_watch_start(r, &ns->tcp_watch, ns->tcp,
				    PLAIT_WATCH_READ, connection_comes) == 0 ||
		  torture_faulty());
	nameserver_script(ns, script);
}

void nameserver_script(struct nameserver *ns, const char *script)
{
	if (strncmp(script, "no-tcp ", 7) == 0) {
		close_one(ns, &ns->tcp_watch, &ns->tcp);
		script += 7;
	}
	ns->script = script;
}

void nameserver_stop(struct nameserver *ns)
{
	struct plait_list *l, *following;

	close_one(ns, &ns->udp_watch, &ns->udp);
	close_one(ns, &ns->tcp_watch, &ns->tcp);
	plait_list_for_each_safe (l, following, &ns->connected)
		connection_free(plait_container(l, struct connection, link));
	plait_list_for_each_safe (l, following, &ns->delayed) {
		struct delayed *later =
			plait_container(l, struct delayed, link);

		plait_timer_stop(&later->timer);
		plait_list_remove(l);
		free(later);
	}
}
