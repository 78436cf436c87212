/*
 * Segments: making them, sending them, and sending them again.
 *
 * A segment is on the wire, or belongs to a socket.  It carries its bytes from
 * one kernel to the other, so nothing is copied in between.  If it is lost, the
 * socket that has sent it gets it back, and sends it again when its timer ends,
 * later each time.  If it was the answer that was lost, the socket that waits
 * for it sends a probe instead, which is answered again.
 *
 * The segments of a direction do not overtake each other, but one that was lost
 * comes behind others.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base.h"
#include "reactor/simulation/tcp.h"

enum {
	HEADERS = 40,
	SYN_TRIES = 6,
	ANSWER_TRIES = 5,
	ORPHAN_TRIES = 8,
	TRIES = 15
};

static const int64_t tcp_idle_time = INT64_C(7200000000000);

/* ---- making and sending -------------------------------------------------- */

static struct tcp_segment *segment_new(struct plait_host *from,
				       struct plait_host *to, size_t len)
{
	struct tcp_segment *g = malloc(sizeof(*g) + len);

	if (g == NULL)
		return NULL;
	memset(g, 0, sizeof(*g));
	g->packet.ops = from->sockets.tcp;
	g->packet.from = from;
	g->packet.to = to;
	g->packet.size = HEADERS + len;
	g->len = len;
	return g;
}

/*
 * A window opens by a piece that is worth a segment, or not at all.  If it
 * opened by what was just read, a reader of few bytes would soon get segments
 * of few bytes, and nothing would end that.
 */
static void tcp_tell_window(struct tcp *s)
{
	uint64_t allowed = s->received - s->unread + s->receive_size;
	size_t worth = s->receive_size / 2;

	if (worth > s->mss)
		worth = s->mss;
	if (s->base.host->simulation->immediate || allowed - s->told >= worth)
		s->told = allowed;
}

static void segment_send(struct tcp *s, struct tcp_segment *g)
{
	tcp_tell_window(s);
	g->acknowledged = s->received;
	g->allowed = s->told;
	g->sent_at = tcp_now(s);
	s->arrives = plait_i_socket_fly(&g->packet, s->arrives + 1);
}

static struct tcp_segment *segment_of_socket(struct tcp *s, unsigned flags,
					     size_t len)
{
	struct tcp_segment *g = segment_new(s->base.host, s->peer, len);

	if (g == NULL)
		return NULL;
	g->from = s->local;
	g->to = s->remote;
	g->connection = s->connection;
	g->at = s->next;
	g->flags = flags;
	return g;
}

/* Without memory it is as if the segment was lost at once. */
static void tcp_send_flags(struct tcp *s, unsigned flags)
{
	struct tcp_segment *g = segment_of_socket(s, flags, 0);

	if (g != NULL) {
		segment_send(s, g);
		return;
	}
	plait_i_tcp_missed_by(s->peer, &s->remote, &s->local, s->connection);
	if (flags & TCP_ASKS)
		plait_i_tcp_arm(s, tcp_now(s));
}

struct tcp_segment *plait_i_tcp_landed(struct wire_packet *p)
{
	struct tcp_segment *g = plait_container(p, struct tcp_segment, packet);

	plait_list_remove(&g->packet.link);
	return g;
}

/* ---- again --------------------------------------------------------------- */

static unsigned tcp_most_tries(const struct tcp *s)
{
	if (s->state == TCP_SYN_SENT)
		return SYN_TRIES;
	if (s->state == TCP_SYN_RECV)
		return ANSWER_TRIES;
	return s->orphan ? ORPHAN_TRIES : TRIES;
}

static void tcp_send_again(struct tcp *s)
{
	struct plait_list todo, *l;

	plait_list_init(&todo);
	plait_list_move(&todo, &s->lost);
	while ((l = plait_list_first(&todo)) != NULL) {
		plait_list_remove(l);
		segment_send(
			s, plait_container(l, struct tcp_segment, packet.link));
	}
}

void plait_i_tcp_try_again(struct future_event *e)
{
	struct tcp *s = plait_container(e, struct tcp, timer);

	if (s->tries >= tcp_most_tries(s)) {
		plait_i_tcp_end(s, s->soft_error ? s->soft_error : ETIMEDOUT);
		return;
	}
	s->tries++;
	if (tcp_is_in(s, TCP_STATE(SYN_SENT) | TCP_STATE(SYN_RECV)))
		plait_i_tcp_send_syn(s);
	else if (plait_list_is_empty(&s->lost))
		tcp_send_flags(s, TCP_ACK | TCP_ASKS);
	else
		tcp_send_again(s);
}

/* NULL: it is gone. */
static const struct tcp *tcp_other_end(const struct tcp *s)
{
	const struct tcp *other =
		plait_i_tcp_find(s->peer, &s->remote, &s->local);

	return other != NULL && other->connection == s->connection ? other
								   : NULL;
}

void plait_i_tcp_progress(struct tcp *s)
{
	s->tries = 0;
	s->soft_error = 0;
	plait_i_future_cancel(tcp_future(s), &s->timer);
	if (!plait_list_is_empty(&s->lost) ||
	    (s->acknowledged != s->next && tcp_other_end(s) == NULL))
		plait_i_tcp_arm(s, tcp_now(s));
}

static bool segment_is_of(const struct tcp_segment *g, const struct tcp *s)
{
	return s != NULL &&
	       (s->connection == g->connection || s->connection == g->answers);
}

void plait_i_tcp_lost(struct tcp_segment *g)
{
	struct tcp *from = plait_i_tcp_find(g->packet.from, &g->from, &g->to);
	struct tcp *to = plait_i_tcp_find(g->packet.to, &g->to, &g->from);

	if (segment_is_of(g, to))
		plait_i_tcp_missed(to);
	if (!segment_is_of(g, from)) {
		free(g);
		return;
	}
	if (g->len > 0 || (g->flags & TCP_FIN)) {
		plait_list_append(&from->lost, &g->packet.link);
		plait_i_tcp_arm(from, g->sent_at);
		return;
	}
	if (g->flags & (TCP_SYN | TCP_ASKS))
		plait_i_tcp_arm(from, g->sent_at);
	free(g);
}

/* A probe that is lost is sent again as everything is. */
static void tcp_is_idle(struct future_event *e)
{
	struct tcp *s = plait_container(e, struct tcp, idle);

	if (tcp_now(s) - s->heard >= tcp_idle_time) {
		s->heard = tcp_now(s);
		tcp_send_flags(s, TCP_ACK | TCP_ASKS);
	}
	plait_i_future_plan(tcp_future(s), &s->idle, s->heard + tcp_idle_time);
}

void plait_i_tcp_keep_alive(struct tcp *s)
{
	plait_i_future_cancel(tcp_future(s), &s->idle);
	s->heard = tcp_now(s);
	s->idle.happen = tcp_is_idle;
	if (s->keep_alive &&
	    tcp_is_in(s, TCP_STATE(ESTABLISHED) | TCP_STATE(CLOSE_WAIT)))
		plait_i_future_plan(tcp_future(s), &s->idle,
				    s->heard + tcp_idle_time);
}

/* ---- what is sent -------------------------------------------------------- */

void plait_i_tcp_send_syn(struct tcp *s)
{
	bool answers = s->state == TCP_SYN_RECV;
	struct tcp_segment *g =
		segment_of_socket(s, TCP_SYN | (answers ? TCP_ACK : 0), 0);

	if (g == NULL) {
		plait_i_tcp_arm(s, tcp_now(s));
		return;
	}
	g->answers = answers ? s->answers : 0;
	segment_send(s, g);
}

void plait_i_tcp_send_ack(struct tcp *s)
{
	tcp_send_flags(s, TCP_ACK);
}

void plait_i_tcp_send_reset(struct tcp *s)
{
	tcp_send_flags(s, TCP_RST);
}

void plait_i_tcp_answer_reset(const struct tcp_segment *g)
{
	struct tcp_segment *rst = segment_new(g->packet.to, g->packet.from, 0);

	if (rst == NULL) {
		plait_i_tcp_missed_by(g->packet.from, &g->from, &g->to,
				      g->connection);
		return;
	}
	rst->from = g->to;
	rst->to = g->from;
	rst->connection = g->connection;
	rst->flags = TCP_RST;
	plait_i_socket_fly(&rst->packet, 0);
}

static size_t tcp_unsent(const struct tcp *s)
{
	return s->unsent != NULL ? plait_buf_size(s->unsent) : 0;
}

/* How much the next segment has.  A small one waits until all before it has
   come, unless the program wants no delay. */
static size_t tcp_next_size(const struct tcp *s)
{
	size_t n = tcp_unsent(s);
	bool is_small = n < s->mss;

	if (is_small && !s->no_delay && !s->sends_fin &&
	    s->acknowledged != s->next && !s->base.host->simulation->immediate)
		return 0;
	if (n > s->mss)
		n = s->mss;
	if (n > s->allowed - s->next)
		n = (size_t)(s->allowed - s->next);
	return n;
}

/* Some are shorter than they could be. */
static size_t tcp_cut(struct tcp *s, size_t n)
{
	struct random_stream *chance = &s->base.host->chance;

	if (n < 2 || s->base.host->simulation->immediate ||
	    plait_i_random_below(chance, 4) != 0)
		return n;
	return 1 + (size_t)plait_i_random_below(chance, n);
}

/* Returns false without memory. */
static bool tcp_send_bytes(struct tcp *s, size_t n)
{
	bool ends = s->sends_fin && n == tcp_unsent(s);
	struct tcp_segment *g =
		segment_of_socket(s, TCP_ACK | (ends ? TCP_FIN : 0), n);

	if (g == NULL)
		return false;
	if (n > 0) {
		memcpy(g->data, plait_buf_data(s->unsent), n);
		plait_buf_consume(s->unsent, n);
	}
	s->next += n + ends;
	s->sent_fin = ends;
	segment_send(s, g);
	return true;
}

/*
 * Waits for room that will not be told: by a peer that is gone, or again after
 * it was lost.  A kernel asks each peer that has no room for more, time and
 * again; here the others tell by themselves.
 */
static bool tcp_waits_in_vain(const struct tcp *s)
{
	const struct tcp *other;

	if (tcp_unsent(s) == 0 || s->acknowledged != s->next)
		return false;
	other = tcp_other_end(s);
	return other == NULL || other->told > s->allowed;
}

void plait_i_tcp_push(struct tcp *s)
{
	size_t n;
	bool ok = true;

	if (s->sent_fin || tcp_is_in(s, TCP_STATE(CLOSE) | TCP_STATE(SYN_SENT) |
						TCP_STATE(SYN_RECV)))
		return;
	while (ok && (n = tcp_next_size(s)) > 0)
		ok = tcp_send_bytes(s, tcp_cut(s, n));
	if (ok && s->sends_fin && !s->sent_fin && tcp_unsent(s) == 0)
		ok = tcp_send_bytes(s, 0);
	if (!ok || tcp_waits_in_vain(s))
		plait_i_tcp_arm(s, tcp_now(s));
}

void plait_i_tcp_finish(struct tcp *s)
{
	if (tcp_is_in(s, TCP_STATE(ESTABLISHED) | TCP_STATE(SYN_RECV)))
		s->state = TCP_FIN_WAIT1;
	else if (s->state == TCP_CLOSE_WAIT)
		s->state = TCP_LAST_ACK;
	else
		return;
	s->sends_fin = true;
	plait_i_tcp_push(s);
}
