/*
 * One question to the servers of resolv.conf: see query.h.
 *
 * The servers have their turns one after the other, in rounds.  In its first
 * turn a server is sent the question from a new socket, and in later turns once
 * more from the same socket.  All these sockets are listened to until the query
 * ends.  A socket is connected, so that the kernel drops what others send, and
 * tells that nobody listens there; its port is the kernel's choice, and the id
 * of its question is random.  What is not the answer to its question is
 * dropped, as if it had not come, so a forger must guess both.
 *
 * There is always a reason to go on: the timer is for the next turn, or for the
 * end of the query.  Nothing that a server sends moves the end to a later time.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <plait/dns.h>

#include "lib/failure.h"
#include "reactor/kernel/address.h"
#include "reactor/names/message.h"
#include "reactor/names/query.h"

enum {
	NS_PER_S = 1000000000,
	/* We tell servers less; what is longer is asked for over TCP. */
	DATAGRAM_SIZE = 4096,
	DATAGRAMS = 16,	 /* of one event, so that others have their turn */
	LENGTH_SIZE = 2, /* what is in front of a message over TCP */
};

/* What servers have said instead of an answer. */
enum { SAID_FAILURE = 1, SAID_REFUSED = 2, SAID_NONSENSE = 4 };

static void query_ask_next(struct names_query *q);

static struct plait_reactor *query_reactor(const struct names_query *q)
{
	return q->servers->reactor;
}

static int64_t query_now(const struct names_query *q)
{
	return plait_i_clock_now(query_reactor(q));
}

static unsigned exchange_index(const struct names_exchange *x)
{
	return (unsigned)(x - x->query->exchanges);
}

static const struct plait_address *
exchange_address(const struct names_exchange *x)
{
	return &x->query->conf->servers[exchange_index(x)];
}

static struct names_server *exchange_server(const struct names_exchange *x)
{
	return plait_i_servers_find(x->query->servers, exchange_address(x));
}

static struct kernel *exchange_kernel(const struct names_exchange *x)
{
	return loop_kernel(query_reactor(x->query));
}

/* ---- time ---------------------------------------------------------------- */

/* Each server that is left is waited for as long as resolv.conf says. */
static int64_t query_end(const struct names_query *q)
{
	int64_t each = (int64_t)q->conf->attempts * q->conf->timeout * NS_PER_S;
	int64_t end = q->began;

	if (q->sockets == 0)
		return q->limit;
	for (unsigned i = 0; i < q->conf->n_servers; i++)
		end += q->exchanges[i].is_over ? 0 : each;
	return end < q->limit ? end : q->limit;
}

static void query_on_time(void *arg);

static void query_set_timer(struct names_query *q)
{
	int64_t end = query_end(q), now = query_now(q);
	int64_t when = q->next < end ? q->next : end;

	plait_timer_start(query_reactor(q), &q->timer,
			  when > now ? (double)(when - now) / NS_PER_S : 0,
			  query_on_time, q);
}

/*
 * How long this turn lasts.  It is longer in each round, because the server, or
 * the way to it, may have become slower.  A connection needs more time than the
 * server usually takes for an answer.
 */
static int64_t exchange_patience(const struct names_exchange *x)
{
	const struct names_query *q = x->query;
	int64_t most = (int64_t)q->conf->timeout * NS_PER_S;
	int64_t ns = plait_i_server_patience(exchange_server(x));

	ns <<= (q->turns - 1) / q->conf->n_servers;
	return x->is_tcp || ns > most ? most : ns;
}

static void exchange_wait(struct names_exchange *x)
{
	struct names_query *q = x->query;

	if (q->asking == exchange_index(x))
		q->next = query_now(q) + exchange_patience(x);
	query_set_timer(q);
}

/* ---- the end ------------------------------------------------------------- */

static void exchange_close(struct names_exchange *x)
{
	if (!x->is_open)
		return;
	plait_i_watch_forget(&x->watch);
	if (x->fd >= 0)
		plait_i_loop_close(query_reactor(x->query), x->fd);
	free(x->input);
	x->input = NULL;
	x->is_open = false;
}

void plait_i_query_cancel(struct names_query *q)
{
	struct names_servers *s = q->servers;
	bool promised = q->is_waiting && !plait_list_is_linked(&q->waiter.link);

	if (s == NULL)
		return;
	plait_timer_stop(&q->timer);
	plait_list_remove(&q->waiter.link);
	loop_task_cancel(&q->waiter.task);
	for (unsigned i = 0; i < RESOLV_SERVERS; i++)
		exchange_close(&q->exchanges[i]);
	plait_i_resolv_conf_unref(&q->conf);
	q->servers = NULL;
	plait_i_servers_give_sockets(s, promised ? 1 : q->sockets);
}

/* What the owner is told about may be in conf. */
static void query_finish(struct names_query *q, const struct names_reply *reply,
			 const struct plait_failure *why)
{
	struct resolv_conf *conf = plait_i_resolv_conf_ref(q->conf);

	plait_i_query_cancel(q);
	q->ended(q, reply, why);
	plait_i_resolv_conf_unref(&conf);
}

static void exchange_succeed(struct names_exchange *x,
			     const struct dns_message *m)
{
	struct names_query *q = x->query;
	struct names_reply reply = {
		.message = m,
		.server = exchange_address(x),
		.seconds = (double)(query_now(q) - q->started) / NS_PER_S,
	};
	unsigned char *input = x->input;

	x->input = NULL;
	query_finish(q, &reply, NULL);
	free(input);
}

/* Is an answer still possible? */
static bool query_is_listening(const struct names_query *q)
{
	for (unsigned i = 0; i < q->conf->n_servers; i++) {
		if (q->exchanges[i].is_open)
			return true;
	}
	return false;
}

/* What a server has said counts more than that another did not answer. */
static const struct plait_error *query_error(const struct names_query *q)
{
	if (q->said & SAID_FAILURE)
		return &plait_error_dns_server_failure;
	if (q->said & SAID_REFUSED)
		return &plait_error_dns_refused;
	if (q->said & SAID_NONSENSE)
		return &plait_error_dns_malformed;
	return query_is_listening(q) || q->err == 0 ? &plait_error_dns_timeout
						    : &plait_error_dns_lookup;
}

/* For the message: what has come of the question. */
static const char *query_outcome(const struct plait_error *kind)
{
	if (kind == &plait_error_dns_server_failure)
		return "a server has failed";
	if (kind == &plait_error_dns_refused)
		return "a server has refused";
	if (kind == &plait_error_dns_malformed)
		return "no answer that makes sense";
	return "no answer";
}

static void query_fail(struct names_query *q)
{
	char name[NAME_TEXT_SIZE], type[32], server[PLAIT_ADDRESS_SIZE];
	const struct plait_error *kind = query_error(q);
	const struct plait_failure *why;

	plait_i_name_str(q->name, name, sizeof(name));
	plait_dns_type_str(q->type, type, sizeof(type));
	plait_address_str(&q->conf->servers[q->asking], server, sizeof(server));
	why = failure_in(plait_i_failure_of(
		PLAIT_HERE, kind, kind == &plait_error_dns_lookup ? q->err : 0,
		NULL, PLAIT_NONE,
		"%s %s: %s in %.3g s, %s was the last of %u server%s, "
		"%u question%s sent",
		name, type, query_outcome(kind),
		(double)(query_now(q) - q->started) / NS_PER_S, server,
		q->conf->n_servers, q->conf->n_servers == 1 ? "" : "s",
		q->tries, q->tries == 1 ? "" : "s"));
	query_finish(q, NULL, why);
	plait_failure_unref(&why);
}

/* ---- what goes wrong ----------------------------------------------------- */

/* Something that this system has too little of, and may soon have again.  The
   server is not to blame. */
static bool query_is_scarce(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOBUFS ||
	       err == ENOMEM || err == ENOSPC || err == EAGAIN || err == EINTR;
}

/* The socket is of no use any more. */
static void exchange_break(struct names_exchange *x, int err)
{
	x->query->err = err;
	exchange_close(x);
	if (query_is_scarce(err))
		return;
	x->is_over = true;
	plait_i_server_failed(exchange_server(x), query_now(x->query));
}

/* One socket less.  The next turn begins now if it was that server's, and the
   query ends if nobody can answer any more. */
static void exchange_is_gone(struct names_exchange *x)
{
	struct names_query *q = x->query;
	bool is_its_turn = q->asking == exchange_index(x) && x->is_over;
	bool was_last = q->next == INT64_MAX && !query_is_listening(q);

	if (is_its_turn || was_last)
		query_ask_next(q);
	else
		query_set_timer(q);
}

static void exchange_broke(struct names_exchange *x, int err)
{
	exchange_break(x, err);
	exchange_is_gone(x);
}

/* The server has said that it has no answer.  It is not asked again, but it is
   there: it does not come last in other queries, whose names it may know. */
static void exchange_refused(struct names_exchange *x, unsigned said)
{
	x->query->said |= said;
	exchange_close(x);
	x->is_over = true;
	exchange_is_gone(x);
}

/* ---- sockets ------------------------------------------------------------- */

/* The socket that has been listened to for the longest time; NULL: none. */
static struct names_exchange *query_oldest(struct names_query *q,
					   unsigned *n_open)
{
	struct names_exchange *oldest = NULL;

	*n_open = 0;
	for (unsigned i = 0; i < q->conf->n_servers; i++) {
		struct names_exchange *x = &q->exchanges[i];

		if (!x->is_open)
			continue;
		++*n_open;
		if (oldest == NULL || x->asked < oldest->asked)
			oldest = x;
	}
	return oldest;
}

/* A query that may have no further socket gives up its oldest.  So queries do
   not wait for each other, each with a socket that nobody answers. */
static int query_socket(struct names_query *q, int family, int type)
{
	struct kernel *k = loop_kernel(query_reactor(q));
	unsigned n_open;
	struct names_exchange *oldest = query_oldest(q, &n_open);
	int fd;

	if (n_open == q->sockets) {
		if (plait_i_servers_take_socket(q->servers, NULL))
			q->sockets++;
		else
			exchange_close(oldest);
	}
	fd = kernel_socket(k, family, type);
	while (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		oldest = query_oldest(q, &n_open);
		if (oldest == NULL)
			return -1;
		exchange_close(oldest);
		fd = kernel_socket(k, family, type);
	}
	return fd;
}

static void exchange_on_ready(struct plait_watch *w, unsigned events);

/* Returns 0 or an errno; then exchange_break() has to follow.  The kernel
   reports a hang-up of a TCP socket that is watched before it connects. */
static int exchange_connect(struct names_exchange *x)
{
	struct plait_reactor *r = query_reactor(x->query);
	union kernel_address to;
	socklen_t len = plait_i_address_to_kernel(exchange_address(x), &to);
	unsigned events = PLAIT_WATCH_READ;
	int rc;

	if (x->is_tcp)
		events = PLAIT_WATCH_WRITE | WATCH_HANGUP;
	if (kernel_connect(exchange_kernel(x), x->fd, &to.any, len) < 0 &&
	    !(x->is_tcp && (errno == EINPROGRESS || errno == EINTR)))
		return errno;
	rc = plait_i_watch_start(r, &x->watch, x->fd, events,
				 exchange_on_ready);
	return -rc;
}

static size_t exchange_question(const struct names_exchange *x,
				unsigned char *ret)
{
	const struct names_query *q = x->query;
	unsigned flags = q->conf->trust_ad ? ASK_TRUSTED : 0;

	if (!x->without_edns)
		flags |= ASK_EDNS;
	return plait_i_message_ask(ret, x->id, q->name, q->type, flags);
}

/* Returns 0 or an errno; then exchange_break() has to follow. */
static int exchange_open(struct names_exchange *x)
{
	struct names_query *q = x->query;
	int fd = query_socket(q, plait_address_family(exchange_address(x)),
			      x->is_tcp ? SOCK_STREAM : SOCK_DGRAM);

	if (fd < 0)
		return errno;
	x->fd = fd;
	x->is_open = true;
	x->is_connecting = x->is_tcp;
	x->id = (uint16_t)kernel_random(exchange_kernel(x));
	x->asked = query_now(q);
	x->sent = x->got = x->room = 0;
	return exchange_connect(x);
}

/* A datagram for which the system has no room is lost, as it may be anywhere on
   its way. */
static int exchange_send_datagram(struct names_exchange *x)
{
	unsigned char question[MESSAGE_QUESTION_SIZE];
	size_t len = exchange_question(x, question);

	x->query->tries++;
	if (kernel_send(exchange_kernel(x), x->fd, question, len,
			MSG_NOSIGNAL) < 0 &&
	    !query_is_scarce(errno))
		return errno;
	return 0;
}

/* Over TCP a question goes out when there is a connection, and is sent once. */
static int exchange_ask(struct names_exchange *x)
{
	int err = x->is_open ? 0 : exchange_open(x);

	return err != 0 || x->is_tcp ? err : exchange_send_datagram(x);
}

/* Asks the same server in another way, from a new socket. */
static void exchange_ask_anew(struct names_exchange *x)
{
	int err;

	exchange_close(x);
	err = exchange_ask(x);
	if (err != 0)
		exchange_broke(x, err);
	else
		exchange_wait(x);
}

/* ---- turns --------------------------------------------------------------- */

/* Is true if another query has to give up a descriptor first. */
static bool query_waits_again(struct names_query *q, int err)
{
	if ((err != EMFILE && err != ENFILE) ||
	    !plait_i_servers_lack_socket(q->servers, &q->waiter))
		return false;
	q->sockets = q->turns = 0;
	q->is_waiting = true;
	query_set_timer(q);
	return true;
}

/* Begins the next turn that can be had.  When there are no more turns, and
   nobody can answer, the query ends. */
static void query_ask_next(struct names_query *q)
{
	unsigned n = q->conf->n_servers, turns = n * q->conf->attempts;

	q->next = INT64_MAX;
	while (q->next == INT64_MAX && q->turns < turns) {
		struct names_exchange *x =
			&q->exchanges[q->order[q->turns++ % n]];
		int err;

		if (x->is_over)
			continue;
		q->asking = (uint8_t)exchange_index(x);
		err = exchange_ask(x);
		if (q->turns == 1 && query_waits_again(q, err))
			return;
		if (err != 0)
			exchange_break(x, err);
		if (!x->is_over)
			q->next = query_now(q) + exchange_patience(x);
	}
	if (q->turns == turns && !query_is_listening(q))
		query_fail(q);
	else
		query_set_timer(q);
}

static void query_on_time(void *arg)
{
	struct names_query *q = arg;
	int64_t now = query_now(q);

	if (now >= q->next)
		plait_i_server_failed(exchange_server(&q->exchanges[q->asking]),
				      now);
	if (now >= query_end(q))
		query_fail(q);
	else if (now >= q->next)
		query_ask_next(q);
	else
		query_set_timer(q);
}

/* Those that have failed come last. */
static void query_put_in_order(struct names_query *q)
{
	unsigned n = q->conf->n_servers, at = 0;

	for (int failed = 0; failed < 2; failed++) {
		for (unsigned i = 0; i < n; i++) {
			unsigned which = (q->turn + i) % n;
			struct names_exchange *x = &q->exchanges[which];

			if (plait_i_server_has_failed(exchange_server(x),
						      q->started) == failed)
				q->order[at++] = (uint8_t)which;
		}
	}
}

static void query_run(struct loop_task *task)
{
	struct names_query *q =
		plait_container(task, struct names_query, waiter.task);

	if (!q->is_waiting &&
	    !plait_i_servers_take_socket(q->servers, &q->waiter)) {
		q->is_waiting = true;
		query_set_timer(q);
		return;
	}
	q->is_waiting = false;
	q->sockets = 1;
	q->began = query_now(q);
	query_put_in_order(q);
	query_ask_next(q);
}

void plait_i_query_start(struct names_query *q, struct names_servers *s,
			 const struct dns_name *name, unsigned type,
			 unsigned turn, double seconds)
{
	plait_assert(q->servers == NULL && s->conf != NULL);
	*q = (struct names_query){
		.ended = q->ended,
		.servers = s,
		.conf = plait_i_resolv_conf_ref(s->conf),
		.name = name,
		.type = type,
		.turn = turn,
		.waiter.task.run = query_run,
		.started = plait_i_clock_now(s->reactor),
		.next = INT64_MAX,
	};
	q->limit = plait_i_clock_after(s->reactor, seconds);
	for (unsigned i = 0; i < q->conf->n_servers; i++) {
		struct names_exchange *x = &q->exchanges[i];

		x->query = q;
		x->is_tcp = q->conf->use_vc;
		x->without_edns = !plait_i_server_knows_edns(exchange_server(x),
							     q->started);
	}
	plait_i_loop_next_turn(s->reactor, &q->waiter.task);
}

void plait_i_query_limit(struct names_query *q, double seconds)
{
	q->limit = plait_i_clock_after(query_reactor(q), seconds);
	query_set_timer(q);
}

/* ---- answers ------------------------------------------------------------- */

static bool exchange_is_answer(const struct names_exchange *x,
			       const struct dns_message *m)
{
	if (plait_i_message_answers(m, x->id, x->query->name, x->query->type))
		return true;
	/* Who does not understand a question need not repeat it. */
	return !m->has_question && m->is_answer && m->id == x->id &&
	       m->rcode != RCODE_OK && m->rcode != RCODE_NO_NAME;
}

static bool exchange_needs_no_edns(const struct names_exchange *x,
				   const struct dns_message *m)
{
	return !x->without_edns && (m->rcode == RCODE_FORMAT_ERROR ||
				    m->rcode == RCODE_NOT_IMPLEMENTED ||
				    m->rcode == RCODE_BAD_VERSION);
}

/* Is true if the server only says who else may know it, and looks up nothing
   for others.  That there is no record would be a lie. */
static bool exchange_is_referral(const struct dns_message *m)
{
	struct dns_walk w = { 0 };
	struct dns_rr rr;

	if (m->rcode != RCODE_OK || m->authoritative || m->recursion_available)
		return false;
	return !plait_i_message_next(m, &w, &rr) ||
	       rr.section != SECTION_ANSWER;
}

/* The answer is whole. */
static void exchange_take_answer(struct names_exchange *x,
				 const struct dns_message *m)
{
	if (exchange_needs_no_edns(x, m)) {
		plait_i_server_refused_edns(exchange_server(x),
					    query_now(x->query));
		x->without_edns = true;
		exchange_ask_anew(x);
	} else if (exchange_is_referral(m)) {
		exchange_refused(x, SAID_REFUSED);
	} else if (m->rcode == RCODE_OK || m->rcode == RCODE_NO_NAME) {
		exchange_succeed(x, m);
	} else {
		exchange_refused(x, m->rcode == RCODE_REFUSED ? SAID_REFUSED
							      : SAID_FAILURE);
	}
}

/*
 * Returns true if it was the answer; then the socket, or the query, is gone.
 * Anything else is dropped.  If not all bytes of a datagram are there, it is as
 * if the server had not sent them.
 */
static bool exchange_take(struct names_exchange *x, const void *bytes,
			  size_t len, bool is_cut)
{
	struct dns_message m;

	if (plait_i_message_parse(&m, bytes, len) != 0 ||
	    !exchange_is_answer(x, &m))
		return false;
	if (!x->is_tcp)
		plait_i_server_answered(exchange_server(x),
					query_now(x->query) - x->asked);
	if (!x->is_tcp && (m.truncated || is_cut)) {
		x->is_tcp = true;
		exchange_ask_anew(x);
	} else if (m.truncated || !m.whole) {
		exchange_refused(x, SAID_NONSENSE);
	} else {
		exchange_take_answer(x, &m);
	}
	return true;
}

static void exchange_read_datagrams(struct names_exchange *x)
{
	unsigned char bytes[DATAGRAM_SIZE];

	for (int i = 0; i < DATAGRAMS; i++) {
		ssize_t n = kernel_recv(exchange_kernel(x), x->fd, bytes,
					sizeof(bytes), 0);

		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR)
				exchange_broke(x, errno);
			return;
		}
		if (exchange_take(x, bytes, (size_t)n, n == DATAGRAM_SIZE))
			return;
	}
}

/* ---- TCP ----------------------------------------------------------------- */

static void exchange_write(struct names_exchange *x)
{
	unsigned char bytes[LENGTH_SIZE + MESSAGE_QUESTION_SIZE];
	size_t len = exchange_question(x, bytes + LENGTH_SIZE);
	ssize_t n;
	int rc;

	bytes[0] = (unsigned char)(len >> 8);
	bytes[1] = (unsigned char)len;
	n = kernel_send(exchange_kernel(x), x->fd, bytes + x->sent,
			LENGTH_SIZE + len - x->sent, MSG_NOSIGNAL);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			exchange_broke(x, errno);
		return;
	}
	x->sent += (size_t)n;
	if (x->sent < LENGTH_SIZE + len)
		return;
	x->query->tries++;
	rc = plait_watch_change(&x->watch, PLAIT_WATCH_READ);
	if (rc < 0)
		exchange_broke(x, -rc);
}

static void exchange_on_connected(struct names_exchange *x)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (kernel_getsockopt(exchange_kernel(x), x->fd, SOL_SOCKET, SO_ERROR,
			      &err, &len) < 0)
		err = errno;
	x->is_connecting = false;
	if (err != 0)
		exchange_broke(x, err);
	else
		exchange_write(x);
}

/* The room grows with what has come, not with what is promised to come. */
static int exchange_keep(struct names_exchange *x, const void *bytes, size_t n)
{
	size_t room = x->room != 0 ? x->room : DATAGRAM_SIZE;
	unsigned char *input = x->input;

	while (room - x->got < n)
		room *= 2;
	if (room != x->room) {
		input = realloc(input, room);
		if (input == NULL)
			return ENOMEM;
	}
	x->input = input;
	x->room = room;
	memcpy(x->input + x->got, bytes, n);
	x->got += n;
	return 0;
}

/* Takes the messages that are whole, as far as the answer. */
static void exchange_take_messages(struct names_exchange *x)
{
	size_t at = 0;

	while (x->got - at >= LENGTH_SIZE) {
		size_t len = x->input[at] * 256u + x->input[at + 1];

		if (x->got - at - LENGTH_SIZE < len)
			break;
		at += LENGTH_SIZE;
		if (exchange_take(x, x->input + at, len, false))
			return;
		at += len;
	}
	x->got -= at;
	if (at > 0)
		memmove(x->input, x->input + at, x->got);
}

static void exchange_read_stream(struct names_exchange *x)
{
	unsigned char bytes[DATAGRAM_SIZE];
	ssize_t n =
		kernel_recv(exchange_kernel(x), x->fd, bytes, sizeof(bytes), 0);
	int err;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0)
		err = errno;
	else
		err = n == 0 ? ECONNRESET : exchange_keep(x, bytes, (size_t)n);
	if (err != 0)
		exchange_broke(x, err);
	else
		exchange_take_messages(x);
}

static void exchange_on_ready(struct plait_watch *w, unsigned events)
{
	struct names_exchange *x =
		plait_container(w, struct names_exchange, watch);

	if (events & PLAIT_WATCH_LOST) {
		/* Somebody else has closed it, and may use its number again. */
		x->fd = -1;
		exchange_broke(x, EBADF);
	} else if (!x->is_tcp) {
		exchange_read_datagrams(x);
	} else if (x->is_connecting) {
		exchange_on_connected(x);
	} else if (events & PLAIT_WATCH_WRITE) {
		exchange_write(x);
	} else {
		exchange_read_stream(x);
	}
}
