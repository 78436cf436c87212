/*
 * Listening: who has sent a SYN and did not yet answer, and who waits for
 * accept().
 *
 * As on Linux, the queue of those who wait holds one more than listen() was
 * given.  While it is full, a SYN is dropped, and so is the last segment of a
 * handshake; both come again.
 */
#include <stdlib.h>

#include "reactor/simulation/tcp.h"

static bool tcp_queue_is_full(const struct tcp *listener)
{
	return listener->n_waiting > listener->backlog;
}

/* A connection has what its listener has. */
static void tcp_inherit(struct tcp *s, const struct tcp *listener)
{
	s->reuse = listener->reuse;
	s->v6only = listener->v6only;
	s->no_delay = listener->no_delay;
	s->keep_alive = listener->keep_alive;
	s->linger = listener->linger;
	s->shut = listener->shut;
	s->ip_is_kept = listener->ip_is_kept;
	s->send_size = listener->send_size;
	s->receive_size = listener->receive_size;
}

static struct tcp *tcp_ask(struct tcp *listener, const struct tcp_segment *g)
{
	struct tcp *s = plait_i_tcp_make(
		listener->base.ops, listener->base.host, listener->base.family);

	if (s == NULL)
		return NULL;
	tcp_inherit(s, listener);
	s->local = g->to;
	s->remote = g->from;
	s->peer = g->packet.from;
	s->connection = s->answers = g->connection;
	s->allowed = g->allowed;
	s->state = TCP_SYN_RECV;
	s->is_asking = true;
	s->listener = listener;
	plait_list_append(&listener->asking, &s->queue);
	listener->n_asking++;
	plait_i_tcp_join_as(s);
	return s;
}

void plait_i_tcp_asked(struct tcp *listener, struct tcp_segment *g)
{
	struct tcp *s = NULL;

	if (!listener->filtered && !tcp_queue_is_full(listener) &&
	    listener->n_asking <= listener->backlog)
		s = tcp_ask(listener, g);
	if (s == NULL) {
		plait_i_tcp_lost(g);
		return;
	}
	free(g);
	plait_i_tcp_send_syn(s);
}

bool plait_i_tcp_welcome(struct tcp *s)
{
	struct tcp *listener = s->listener;

	if (!s->is_asking)
		return true;
	if (tcp_queue_is_full(listener))
		return false;
	plait_i_tcp_leave_queue(s);
	s->listener = listener;
	plait_list_append(&listener->waiting, &s->queue);
	listener->n_waiting++;
	plait_i_socket_changed(&listener->base);
	return true;
}

static void tcp_turn_away(struct tcp *s)
{
	/* A request is forgotten, and its next segment is answered by a RST. */
	if (!tcp_is_in(s, TCP_STATE(SYN_RECV) | TCP_STATE(CLOSE)))
		plait_i_tcp_send_reset(s);
	plait_i_tcp_free(s);
}

void plait_i_tcp_stop_listening(struct tcp *listener)
{
	struct plait_list *l;

	while ((l = plait_list_first(&listener->asking)) != NULL)
		tcp_turn_away(plait_container(l, struct tcp, queue));
	while ((l = plait_list_first(&listener->waiting)) != NULL)
		tcp_turn_away(plait_container(l, struct tcp, queue));
}
