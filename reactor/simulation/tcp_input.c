/*
 * What a segment does that has arrived.
 *
 * Each function below that takes a segment keeps it or frees it.  A socket may
 * be freed by what it is told, so nothing touches it afterwards.
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/base.h"
#include "reactor/simulation/tcp.h"

/* The states in which the other end may still send. */
enum {
	RECEIVES = TCP_STATE(ESTABLISHED) | TCP_STATE(FIN_WAIT1) |
		   TCP_STATE(FIN_WAIT2)
};

/* ---- the handshake ------------------------------------------------------- */

/* The connection stands. */
static void tcp_establish(struct tcp *s)
{
	s->state = TCP_ESTABLISHED;
	plait_i_tcp_progress(s);
	plait_i_tcp_keep_alive(s);
	plait_i_socket_woken(&s->base);
}

/* Both ends have sent a SYN.  The connection has the higher of their numbers.
 */
static void tcp_open_both(struct tcp *s, const struct tcp_segment *g)
{
	s->answers = g->connection;
	if (g->connection > s->connection)
		s->connection = g->connection;
	s->state = TCP_SYN_RECV;
	s->allowed = g->allowed;
	plait_i_tcp_send_syn(s);
}

static void tcp_take_answer(struct tcp *s, struct tcp_segment *g)
{
	bool is_syn = g->flags & TCP_SYN;
	bool answers = (g->flags & TCP_ACK) && g->answers == s->connection;

	if (g->flags & TCP_RST) {
		if (g->connection == s->connection)
			plait_i_tcp_was_reset(s);
	} else if (is_syn && answers) {
		s->connection = g->connection;
		s->allowed = g->allowed;
		tcp_establish(s);
		plait_i_tcp_send_ack(s);
		plait_i_tcp_push(s);
	} else if (is_syn && !(g->flags & TCP_ACK)) {
		tcp_open_both(s, g);
	} else {
		/* It belongs to a connection of before. */
		plait_i_tcp_answer_reset(g);
	}
	free(g);
}

/* ---- acknowledgements ---------------------------------------------------- */

/* Our FIN has come.  Returns false if s is over. */
static bool tcp_fin_has_come(struct tcp *s)
{
	switch (s->state) {
	case TCP_FIN_WAIT1:
		s->state = TCP_FIN_WAIT2;
		if (s->orphan)
			plait_i_tcp_wait_for_fin(s);
		return true;
	case TCP_CLOSING:
		plait_i_tcp_wait_out(s);
		return false;
	case TCP_LAST_ACK:
		plait_i_tcp_end(s, 0);
		return false;
	default:
		return true;
	}
}

/* Returns false if s is over. */
static bool tcp_take_ack(struct tcp *s, const struct tcp_segment *g)
{
	bool more;

	if (g->allowed > s->allowed)
		s->allowed = g->allowed;
	/* If nothing is under way, it may answer a probe. */
	more = g->acknowledged > s->acknowledged;
	if (more)
		s->acknowledged = g->acknowledged;
	if (more || s->acknowledged == s->next)
		plait_i_tcp_progress(s);
	if (s->sent_fin && s->acknowledged == s->next)
		return tcp_fin_has_come(s);
	plait_i_tcp_push(s);
	return true;
}

/* ---- bytes --------------------------------------------------------------- */

/* The other end sends no more.  Returns false if s is over. */
static bool tcp_take_fin(struct tcp *s)
{
	s->shut |= TCP_NO_RECV;
	s->got_fin = true;
	plait_i_tcp_segments_free(&s->early);
	plait_i_socket_woken(&s->base);
	switch (s->state) {
	case TCP_ESTABLISHED:
		s->state = TCP_CLOSE_WAIT;
		break;
	case TCP_FIN_WAIT1:
		s->state = TCP_CLOSING;
		break;
	case TCP_FIN_WAIT2:
		plait_i_tcp_send_ack(s);
		plait_i_tcp_wait_out(s);
		return false;
	}
	return true;
}

/* g is the next that s waits for.  Returns false if s is over. */
static bool tcp_take_next(struct tcp *s, struct tcp_segment *g)
{
	bool is_last = g->flags & TCP_FIN;

	s->received += g->len + is_last;
	s->unread += g->len;
	if (g->len > 0)
		plait_list_append(&s->input, &g->packet.link);
	else
		free(g);
	return !is_last || tcp_take_fin(s);
}

/* Behind a gap: kept until the gap is filled. */
static void tcp_keep_early(struct tcp *s, struct tcp_segment *g)
{
	struct plait_list *l;

	plait_list_for_each (l, &s->early) {
		if (plait_container(l, struct tcp_segment, packet.link)->at >
		    g->at)
			break;
	}
	plait_list_insert(l, &g->packet.link);
}

/* Returns false if s is over. */
static bool tcp_take_early(struct tcp *s)
{
	struct plait_list *l;

	while ((l = plait_list_first(&s->early)) != NULL) {
		struct tcp_segment *g =
			plait_container(l, struct tcp_segment, packet.link);

		if (g->at > s->received)
			return true;
		plait_list_remove(l);
		if (!tcp_take_next(s, g))
			return false;
	}
	return true;
}

/*
 * Bytes for one that does not want them: it was closed, or both directions were
 * shut.  Then both ends learn that they are lost.
 */
static bool tcp_refuses(const struct tcp *s, const struct tcp_segment *g)
{
	return g->len > 0 && (s->shut & TCP_NO_RECV) &&
	       tcp_is_in(s, TCP_STATE(FIN_WAIT1) | TCP_STATE(FIN_WAIT2));
}

static void tcp_take_bytes(struct tcp *s, struct tcp_segment *g)
{
	bool fits = tcp_is_in(s, RECEIVES);

	if (fits && tcp_refuses(s, g)) {
		free(g);
		plait_i_tcp_send_reset(s);
		plait_i_tcp_was_reset(s);
		return;
	}
	if (fits && g->at > s->received)
		tcp_keep_early(s, g);
	else if (!fits || g->at < s->received)
		free(g);
	else if (!tcp_take_next(s, g) || !tcp_take_early(s))
		return;
	plait_i_socket_changed(&s->base);
	plait_i_tcp_send_ack(s);
}

/* ---- the other segments of a connection ---------------------------------- */

/* Returns false if that ends it. */
static bool tcp_finish_handshake(struct tcp *s, const struct tcp_segment *g)
{
	if (!(g->flags & TCP_ACK) || !plait_i_tcp_welcome(s))
		return false;
	tcp_establish(s);
	/* Its listener was shut before it listened. */
	if (s->shut & TCP_NO_SEND)
		plait_i_tcp_finish(s);
	return true;
}

/* A SYN, when there was one before. */
static void tcp_take_syn_again(struct tcp *s, struct tcp_segment *g)
{
	if (s->state == TCP_SYN_RECV && !(g->flags & TCP_ACK))
		plait_i_tcp_send_syn(s);
	else
		plait_i_tcp_send_ack(s);
	free(g);
}

static void tcp_take(struct tcp *s, struct tcp_segment *g)
{
	bool is_answer =
		(g->flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK);

	s->heard = tcp_now(s);
	if (g->flags & TCP_RST) {
		free(g);
		plait_i_tcp_was_reset(s);
		return;
	}
	if (s->state == TCP_SYN_RECV && !tcp_finish_handshake(s, g)) {
		if (g->flags & TCP_SYN)
			tcp_take_syn_again(s, g);
		else
			plait_i_tcp_lost(g);
		return;
	}
	if ((g->flags & TCP_SYN) && !is_answer) {
		tcp_take_syn_again(s, g);
		return;
	}
	if (is_answer || (g->flags & TCP_ASKS))
		plait_i_tcp_send_ack(s);
	if (!tcp_take_ack(s, g)) {
		free(g);
	} else if (g->len > 0 || (g->flags & TCP_FIN)) {
		tcp_take_bytes(s, g);
	} else {
		plait_i_socket_changed(&s->base);
		free(g);
	}
}

/*
 * For a connection that is over, and waits out its time.  A SYN begins a new
 * one; so does nothing else.
 */
static struct tcp *tcp_take_late(struct tcp *s, const struct tcp_segment *g)
{
	bool is_its_own = g->connection == s->connection;
	bool is_syn = (g->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;

	if (is_syn && !is_its_own) {
		plait_i_tcp_free(s);
		return NULL;
	}
	if ((g->flags & TCP_RST) && is_its_own)
		plait_i_tcp_free(s);
	else if (!(g->flags & TCP_RST) && !is_its_own)
		plait_i_tcp_answer_reset(g);
	else if (g->len > 0 || (g->flags & (TCP_FIN | TCP_ASKS)))
		plait_i_tcp_send_ack(s);
	return s;
}

/* No socket is connected with the sender of g. */
static void tcp_take_unknown(struct plait_host *h, struct tcp_segment *g)
{
	struct tcp *listener = plait_i_tcp_find_listener(h, &g->to);

	if (listener != NULL &&
	    (g->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN) {
		plait_i_tcp_asked(listener, g);
		return;
	}
	if (!(g->flags & TCP_RST))
		plait_i_tcp_answer_reset(g);
	free(g);
}

/* An older connection of the same ports.  The RST that answers a SYN comes
   when that connection says that it knows nothing of it. */
static void tcp_take_foreign(struct tcp *s, struct tcp_segment *g)
{
	if ((g->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
		plait_i_tcp_send_ack(s);
		plait_i_tcp_lost(g);
		return;
	}
	if (!(g->flags & TCP_RST))
		plait_i_tcp_answer_reset(g);
	free(g);
}

/* Something on the way ends the connection, at both ends. */
static void tcp_cut_off(struct tcp_segment *g)
{
	if (!(g->flags & TCP_RST))
		plait_i_tcp_answer_reset(g);
	g->flags = TCP_RST | (g->flags & TCP_ACK);
	if (g->answers != 0)
		g->connection = g->answers;
}

static void tcp_dispatch(struct plait_host *h, struct tcp_segment *g)
{
	struct tcp *s = plait_i_tcp_find(h, &g->to, &g->from);

	if (s != NULL && s->state == TCP_TIME_WAIT) {
		s = tcp_take_late(s, g);
		if (s != NULL) {
			free(g);
			return;
		}
	}
	if (s == NULL)
		tcp_take_unknown(h, g);
	else if (s->state == TCP_SYN_SENT)
		tcp_take_answer(s, g);
	else if (g->connection != s->connection &&
		 !((g->flags & TCP_SYN) && g->connection == s->answers))
		tcp_take_foreign(s, g);
	else
		tcp_take(s, g);
}

static void tcp_packet_arrived(struct wire_packet *p, bool reset)
{
	struct tcp_segment *g = plait_i_tcp_landed(p);

	if (reset)
		tcp_cut_off(g);
	tcp_dispatch(p->to, g);
}

static void tcp_packet_lost(struct wire_packet *p)
{
	plait_i_tcp_lost(plait_i_tcp_landed(p));
}

/* Who asks for a connection is told; a connection goes on trying. */
static void tcp_packet_refused(struct wire_packet *p, int err)
{
	struct tcp_segment *g = plait_i_tcp_landed(p);
	struct tcp *s = plait_i_tcp_find(p->from, &g->from, &g->to);

	if (s != NULL && s->connection == g->connection) {
		if (s->state == TCP_SYN_SENT)
			plait_i_tcp_end(s, err);
		else
			s->soft_error = err;
	}
	plait_i_tcp_lost(g);
}

static void tcp_packet_drop(struct wire_packet *p)
{
	free(plait_i_tcp_landed(p));
}

const struct wire_packet_ops plait_i_tcp_packet_ops = {
	.arrived = tcp_packet_arrived,
	.lost = tcp_packet_lost,
	.refused = tcp_packet_refused,
	.drop = tcp_packet_drop,
};
