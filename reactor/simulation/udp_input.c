/*
 * What becomes of datagrams: they wait in a socket, or vanish, or come back as
 * the ICMP message that says why they could not arrive.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/simulation/udp.h"

/* What an ICMP message has of the datagram that it is about. */
enum { QUOTED_IPV4 = 520, QUOTED_IPV6 = 1184 };

static struct udp_datagram *udp_landed(struct wire_packet *p)
{
	struct udp_datagram *g =
		plait_container(p, struct udp_datagram, packet);

	plait_list_remove(&p->link);
	return g;
}

void plait_i_udp_free_queue(struct plait_list *queue)
{
	struct udp_datagram *g;

	while ((g = udp_first(queue)) != NULL) {
		plait_list_remove(&g->packet.link);
		free(g);
	}
}

/* Takes g; if the queues are full, it is lost. */
static void udp_keep(struct udp *s, struct plait_list *queue,
		     struct udp_datagram *g)
{
	if (s->used > s->receive_size) {
		free(g);
		return;
	}
	s->used += g->len + UDP_OVERHEAD;
	plait_list_append(queue, &g->packet.link);
}

struct udp_datagram *plait_i_udp_copy(const struct udp_datagram *g)
{
	struct udp_datagram *copy = malloc(sizeof(*g) + g->len);

	if (copy == NULL)
		return NULL;
	memcpy(copy, g, sizeof(*g) + g->len);
	copy->packet.link = (struct plait_list){ NULL, NULL };
	copy->packet.event = (struct future_event){ .happen = NULL };
	copy->packet.fate = 0;
	return copy;
}

/* ---- errors -------------------------------------------------------------- */

static void udp_quote(struct udp_datagram *g)
{
	size_t most = plait_i_place_is_ipv4(&g->to) ? QUOTED_IPV4 : QUOTED_IPV6;

	if (g->len > most)
		g->len = most;
}

/*
 * As on Linux: a socket that wants to know of errors is told all of them, with
 * the datagram, by its next call and by its queue.  Another is told only if it
 * is connected, and only that nobody has the port: no way there may be one
 * again.
 */
void plait_i_udp_told(struct plait_host *h, struct udp_datagram *g)
{
	struct udp *s = plait_i_udp_find(h, &g->from, &g->to);
	int err = g->error;
	bool wants = s != NULL && udp_options(s, &g->to)->tells_errors;

	if (s == NULL ||
	    (!wants && (err != ECONNREFUSED || !s->is_connected))) {
		free(g);
		return;
	}
	if (wants) {
		g->is_placed = true;
		udp_quote(g);
		udp_keep(s, &s->errors, g);
	} else {
		free(g);
	}
	s->error = err;
	plait_i_socket_woken(&s->base);
}

void plait_i_udp_refused(struct udp *s, struct udp_datagram *g)
{
	g->is_refusal = true;
	udp_keep(s, &s->errors, g);
	plait_i_socket_woken(&s->base);
}

/* Nobody has the port.  The datagram goes back. */
static void udp_send_back(struct plait_host *h, struct udp_datagram *g)
{
	g->error = ECONNREFUSED;
	g->offender = g->to;
	g->packet.to = g->packet.from;
	g->packet.from = h;
	plait_i_socket_fly(&g->packet, 0);
}

/* ---- arriving ---------------------------------------------------------- */

static void udp_come(struct udp *s, struct udp_datagram *g)
{
	g->is_placed = s->options[0].tells_local || s->options[1].tells_local;
	udp_keep(s, &s->input, g);
	plait_i_socket_woken(&s->base);
}

static void udp_come_to_group(struct plait_host *h, struct udp_datagram *g)
{
	struct plait_list *l, *bucket = plait_i_udp_port_bucket(h, g->to.port);
	struct udp_datagram *copy;

	plait_list_for_each (l, bucket) {
		struct udp *s = plait_container(l, struct udp, by_port);

		if (!plait_i_udp_is_for(s, &g->to, &g->from) ||
		    !plait_i_udp_hears(s, g))
			continue;
		copy = plait_i_udp_copy(g);
		if (copy != NULL)
			udp_come(s, copy);
	}
	free(g);
}

/* ---- packets ------------------------------------------------------------- */

static void udp_packet_arrived(struct wire_packet *p, bool reset)
{
	struct udp_datagram *g = udp_landed(p);
	struct udp *s;

	if (g->error != 0) {
		plait_i_udp_told(p->to, g);
		return;
	}
	if (plait_i_udp_is_group(&g->to)) {
		udp_come_to_group(p->to, g);
		return;
	}
	s = plait_i_udp_find(p->to, &g->to, &g->from);
	if (s != NULL)
		udp_come(s, g);
	else
		udp_send_back(p->to, g);
}

static void udp_packet_drop(struct wire_packet *p)
{
	free(udp_landed(p));
}

/* A router says so, and nobody answers to what a router says. */
static void udp_packet_refused(struct wire_packet *p, int err)
{
	struct udp_datagram *g = udp_landed(p);

	if (g->error != 0) {
		free(g);
		return;
	}
	g->error = err;
	g->offender = g->to;
	plait_i_udp_told(p->from, g);
}

const struct wire_packet_ops plait_i_udp_packet_ops = {
	.arrived = udp_packet_arrived,
	.lost = udp_packet_drop,
	.refused = udp_packet_refused,
	.drop = udp_packet_drop,
};
