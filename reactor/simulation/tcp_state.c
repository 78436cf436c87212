/*
 * How a TCP socket begins and ends.
 *
 * A socket lives as long as a program has it open, its listener has it in a
 * queue, or the kernel still has to send or to wait for it.  plait_i_tcp_end()
 * and those that call it may free it.
 */
#include <errno.h>
#include <stdlib.h>

#include "reactor/simulation/tcp.h"

/* How long an old connection keeps its ports, and how long the FIN of a peer
   is waited for that nobody reads from. */
static const int64_t tcp_old_age = INT64_C(60000000000); /* ns */

static const int64_t tcp_first_pause = 200000000; /* ns; doubles each time */
static const int64_t tcp_first_syn_pause = 1000000000;
static const int64_t tcp_longest_pause = INT64_C(120000000000);

/*
 * How much the buffers of a socket hold, and into which pieces a stream is cut,
 * is the kernel's secret; programs must work with all of it.
 */
static void tcp_draw_sizes(struct tcp *s)
{
	struct random_stream *chance = &s->base.host->chance;

	if (s->base.host->simulation->immediate) {
		s->send_size = s->receive_size = 1 << 17;
		s->mss = 1 << 16;
		return;
	}
	s->send_size = (size_t)4096 << plait_i_random_below(chance, 6);
	s->receive_size = (size_t)4096 << plait_i_random_below(chance, 6);
	s->mss = (size_t)536 << plait_i_random_below(chance, 7);
}

struct tcp *plait_i_tcp_make(const struct socket_ops *ops, struct plait_host *h,
			     int family)
{
	struct tcp *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	plait_i_socket_init(&s->base, ops, h, family);
	plait_i_place_clear(&s->local, family);
	plait_i_place_clear(&s->remote, family);
	plait_list_init(&s->lost);
	plait_list_init(&s->input);
	plait_list_init(&s->early);
	plait_list_init(&s->asking);
	plait_list_init(&s->waiting);
	s->state = TCP_CLOSE;
	tcp_draw_sizes(s);
	return s;
}

/* ---- trying again -------------------------------------------------------- */

static int64_t tcp_pause(const struct tcp *s)
{
	bool is_syn = tcp_is_in(s, TCP_STATE(SYN_SENT) | TCP_STATE(SYN_RECV));
	int64_t first = is_syn ? tcp_first_syn_pause : tcp_first_pause;
	int64_t pause = first << s->tries;

	return pause < tcp_longest_pause ? pause : tcp_longest_pause;
}

/* Tries again after a pause since that time, unless it is about to anyway. */
void plait_i_tcp_arm(struct tcp *s, int64_t since)
{
	int64_t when = since + tcp_pause(s);

	if (plait_i_future_is_planned(&s->timer))
		return;
	if (when < tcp_now(s))
		when = tcp_now(s);
	s->timer.happen = s->base.host->sockets.tcp_again;
	plait_i_future_plan(tcp_future(s), &s->timer, when);
}

/* An answer to s did not come. */
void plait_i_tcp_missed(struct tcp *s)
{
	if (tcp_is_in(s, TCP_STATE(SYN_SENT) | TCP_STATE(SYN_RECV)) ||
	    s->acknowledged != s->next ||
	    (s->unsent != NULL && plait_buf_size(s->unsent) > 0))
		plait_i_tcp_arm(s, tcp_now(s));
}

void plait_i_tcp_missed_by(struct plait_host *h, const struct place *local,
			   const struct place *remote, uint64_t connection)
{
	struct tcp *s = plait_i_tcp_find(h, local, remote);

	if (s != NULL && s->connection == connection)
		plait_i_tcp_missed(s);
}

/* Nobody answers the other end any more.  It finds out, if it waits. */
static void tcp_leave_peer(struct tcp *s)
{
	if (!plait_list_is_linked(&s->by_pair))
		return;
	plait_list_remove(&s->by_pair);
	if (s->peer != NULL)
		plait_i_tcp_missed_by(s->peer, &s->remote, &s->local,
				      s->connection);
}

/* ---- the end ------------------------------------------------------------- */

void plait_i_tcp_segments_free(struct plait_list *segments)
{
	struct plait_list *l;

	while ((l = plait_list_first(segments)) != NULL) {
		plait_list_remove(l);
		free(plait_container(l, struct tcp_segment, packet.link));
	}
}

void plait_i_tcp_clear(struct tcp *s)
{
	plait_i_future_cancel(tcp_future(s), &s->timer);
	plait_i_future_cancel(tcp_future(s), &s->idle);
	plait_i_tcp_segments_free(&s->lost);
	plait_i_tcp_segments_free(&s->early);
	plait_buf_unref(&s->unsent);
	s->sends_fin = s->sent_fin = false;
	s->acknowledged = s->next;
	s->tries = 0;
}

void plait_i_tcp_leave_queue(struct tcp *s)
{
	if (s->listener == NULL)
		return;
	plait_list_remove(&s->queue);
	if (s->is_asking)
		s->listener->n_asking--;
	else
		s->listener->n_waiting--;
	s->listener = NULL;
	s->is_asking = false;
}

static void tcp_empty_queue(struct plait_list *queue)
{
	struct plait_list *l;

	while ((l = plait_list_first(queue)) != NULL)
		plait_i_tcp_leave_queue(plait_container(l, struct tcp, queue));
}

/* If the power is gone, it may be a listener in whose queues are others. */
void plait_i_tcp_free(struct tcp *s)
{
	tcp_empty_queue(&s->asking);
	tcp_empty_queue(&s->waiting);
	plait_i_tcp_leave_queue(s);
	plait_i_tcp_clear(s);
	plait_i_tcp_segments_free(&s->input);
	tcp_leave_peer(s);
	plait_i_tcp_leave_port(s);
	plait_i_socket_done(&s->base);
	free(s);
}

void plait_i_tcp_end(struct tcp *s, int err)
{
	if (s->orphan || s->is_asking) {
		plait_i_tcp_free(s);
		return;
	}
	s->state = TCP_CLOSE;
	s->shut = TCP_SHUT;
	s->error = err;
	tcp_leave_peer(s);
	plait_i_tcp_part(s);
	plait_i_tcp_clear(s);
	plait_i_socket_woken(&s->base);
}

void plait_i_tcp_was_reset(struct tcp *s)
{
	if (s->state == TCP_SYN_SENT)
		plait_i_tcp_end(s, ECONNREFUSED);
	else if (s->state == TCP_CLOSE_WAIT)
		plait_i_tcp_end(s, EPIPE);
	else
		plait_i_tcp_end(s, ECONNRESET);
}

/* ---- waiting ------------------------------------------------------------- */

static void tcp_is_over(struct future_event *e)
{
	plait_i_tcp_free(plait_container(e, struct tcp, timer));
}

static void tcp_grow_old(struct tcp *s)
{
	s->timer.happen = tcp_is_over;
	plait_i_future_plan(tcp_future(s), &s->timer, tcp_now(s) + tcp_old_age);
}

/* What is left of a connection whose socket a program still has open.  Without
   memory nothing is left. */
static struct tcp *tcp_remains(const struct tcp *s)
{
	struct tcp *w =
		plait_i_tcp_make(s->base.ops, s->base.host, s->base.family);

	if (w == NULL)
		return NULL;
	w->local = s->local;
	w->remote = s->remote;
	w->peer = s->peer;
	w->connection = s->connection;
	w->port_is_kept = s->port_is_kept;
	w->port_is_shared = s->port_is_shared;
	w->reuse = s->reuse;
	w->v6only = s->v6only;
	w->next = w->acknowledged = s->next;
	w->received = s->received;
	w->arrives = s->arrives;
	w->orphan = true;
	return w;
}

void plait_i_tcp_wait_out(struct tcp *s)
{
	struct tcp *w = s;

	if (s->orphan) {
		plait_i_tcp_clear(s);
	} else {
		w = tcp_remains(s);
		plait_i_tcp_end(s, 0);
	}
	if (w == NULL)
		return;
	if (w != s)
		plait_i_tcp_join_as(w);
	w->state = TCP_TIME_WAIT;
	tcp_grow_old(w);
}

void plait_i_tcp_wait_for_fin(struct tcp *s)
{
	plait_i_tcp_clear(s);
	tcp_grow_old(s);
}
