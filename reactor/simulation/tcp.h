/*
 * TCP of a simulated kernel, as its own files see it.
 *
 *	tcp_names.c	which socket a segment is for; ports, and who may bind
 *	tcp_state.c	how a socket begins and ends
 *	tcp_segment.c	sending segments, and sending them again
 *	tcp_listen.c	who asked for a connection, and who waits for accept()
 *	tcp_input.c	what a segment does that has arrived
 *	tcp_options.c	getsockopt() and setsockopt()
 *	tcp.c		the other calls
 *
 * The machine is Linux's, but for sequence numbers.  A position counts the
 * bytes of one direction from 0, and the FIN is the last.  Each connection has
 * a number that no other has, so what belongs to an older connection of the
 * same two ports is known.  The wire says if a segment was lost; only then is
 * there a timer, so that a healthy connection needs none.
 */
#ifndef REACTOR_SIMULATION_TCP_H
#define REACTOR_SIMULATION_TCP_H

#include <netinet/tcp.h> /* the states */

#include <plait/buf.h>

#include "reactor/simulation/world.h"

enum {
	TCP_SYN = 1,
	TCP_ACK = 2,
	TCP_FIN = 4,
	TCP_RST = 8,
	TCP_ASKS = 16, /* a probe: the other end is to say how far it is */
};

enum { TCP_NO_RECV = 1, TCP_NO_SEND = 2, TCP_SHUT = 3 };

struct tcp_segment {
	struct wire_packet packet;
	struct place from, to;
	uint64_t connection;
	uint64_t answers;      /* the connection of a SYN that is answered */
	uint64_t at;	       /* the position of the first byte */
	uint64_t acknowledged; /* all before this has come */
	uint64_t allowed;      /* all before this may come */
	int64_t sent_at;
	unsigned flags;
	size_t len, used;
	unsigned char data[];
};

/* What connect() would say, beside the state of the connection. */
enum tcp_phase {
	TCP_FRESH,
	TCP_CONNECTING, /* it was called, and its outcome was not told */
	TCP_CONNECTED,
	TCP_SPENT, /* it was shut before it was told */
};

struct tcp {
	struct sim_socket base;
	struct plait_list by_port, by_pair; /* where segments find it */
	int state;
	enum tcp_phase phase;
	struct place local, remote;
	struct plait_host *peer; /* NULL: not connected, or to no host */
	uint64_t connection;
	uint64_t answers; /* the connection of the SYN that has come */
	int error, soft_error;
	unsigned shut;	/* TCP_NO_RECV, TCP_NO_SEND */
	bool orphan;	/* close() was called */
	bool is_asking; /* its listener has not welcomed it */
	bool got_fin;	/* input ends with 0, not with an error */
	bool port_is_kept, ip_is_kept; /* bind() was told them */
	bool port_is_shared;	       /* connect() chose it */
	bool reuse, v6only, no_delay, keep_alive, filtered;
	struct linger linger;

	/* sending */
	struct plait_buf *unsent; /* NULL: nothing was sent yet */
	struct plait_list lost;	  /* to be sent again */
	uint64_t next, acknowledged, allowed;
	bool sends_fin, sent_fin;
	size_t mss, send_size;
	int64_t arrives; /* the last that was sent, so that none overtakes */
	struct future_event timer;
	unsigned tries;
	struct future_event idle; /* planned if keep_alive is set */
	int64_t heard;		  /* when anything came */

	/* receiving */
	struct plait_list input, early; /* in order; behind a gap */
	uint64_t received, told;	/* ... and how far it allowed */
	size_t unread, receive_size;

	/* listening, and being listened for */
	struct tcp *listener;	 /* of one that is asking or waits */
	struct plait_list queue; /* in one of those */
	struct plait_list asking, waiting;
	unsigned n_asking, n_waiting, backlog;
};

static inline struct tcp *tcp_of(struct sim_socket *s)
{
	return plait_container(s, struct tcp, base);
}

static inline const struct tcp *tcp_of_const(const struct sim_socket *s)
{
	return plait_container(s, const struct tcp, base);
}

static inline struct future *tcp_future(const struct tcp *s)
{
	return &s->base.host->simulation->future;
}

static inline int64_t tcp_now(const struct tcp *s)
{
	return s->base.host->simulation->now;
}

static inline bool tcp_is_in(const struct tcp *s, unsigned states)
{
	return (1U << s->state & states) != 0;
}

#define TCP_STATE(name) (1U << TCP_##name)

/* ---- tcp_names.c --------------------------------------------------------- */

/* Return 0, -EADDRINUSE or -EADDRNOTAVAIL. */
int plait_i_tcp_bind(struct tcp *s, const struct place *at);
int plait_i_tcp_check_listen(const struct tcp *s);

/* Chooses the local place of a connection to s->remote.  From here on segments
   find s.  It may also return -ENETUNREACH; s->peer is NULL if there is no such
   host.  join_as() is for one that has both places. */
int plait_i_tcp_join(struct tcp *s);
void plait_i_tcp_join_as(struct tcp *s);

/* Segments do not find s any more.  Its port is free, unless bind() chose it.
 */
void plait_i_tcp_part(struct tcp *s);
void plait_i_tcp_leave_port(struct tcp *s);

/* The address is any again, unless bind() chose it.  As on Linux, getsockname()
   still shows a port that s has no more. */
void plait_i_tcp_forget_ip(struct tcp *s);

struct tcp *plait_i_tcp_find(struct plait_host *h, const struct place *local,
			     const struct place *remote);
struct tcp *plait_i_tcp_find_listener(struct plait_host *h,
				      const struct place *local);

/* ---- tcp_state.c --------------------------------------------------------- */

/* NULL without memory. */
struct tcp *plait_i_tcp_make(const struct socket_ops *ops, struct plait_host *h,
			     int family);
void plait_i_tcp_free(struct tcp *s);
void plait_i_tcp_segments_free(struct plait_list *segments);

/* Tries again after a pause since that time, unless it is about to anyway. */
void plait_i_tcp_arm(struct tcp *s, int64_t since);

/* An answer did not come to s, or to the socket of that connection: it tries
   again, if it waits for one. */
void plait_i_tcp_missed(struct tcp *s);
void plait_i_tcp_missed_by(struct plait_host *h, const struct place *local,
			   const struct place *remote, uint64_t connection);

/* Nothing is sent any more, and nothing received; what is unread stays. */
void plait_i_tcp_clear(struct tcp *s);

/* The connection is over: err is for SO_ERROR, or 0.  Frees s if nobody has it
   open. */
void plait_i_tcp_end(struct tcp *s, int err);
void plait_i_tcp_was_reset(struct tcp *s);

/* All is sent and received: waits out its time, or for so many seconds for the
   FIN of the other end. */
void plait_i_tcp_wait_out(struct tcp *s);
void plait_i_tcp_wait_for_fin(struct tcp *s);

/* Takes it out of the queue of its listener. */
void plait_i_tcp_leave_queue(struct tcp *s);

/* ---- tcp_segment.c ------------------------------------------------------- */

/* Each of these sends a segment, or loses it if there is no memory. */
void plait_i_tcp_send_syn(struct tcp *s); /* an answer, in TCP_SYN_RECV */
void plait_i_tcp_send_ack(struct tcp *s);
void plait_i_tcp_send_reset(struct tcp *s);
void plait_i_tcp_answer_reset(const struct tcp_segment *g);

/* The timer of a socket has ended. */
void plait_i_tcp_try_again(struct future_event *e);

/* Sends what may be sent now. */
void plait_i_tcp_push(struct tcp *s);

/* Sends a FIN behind all that is unsent, if the state allows that. */
void plait_i_tcp_finish(struct tcp *s);

/* g is not on the wire any more. */
struct tcp_segment *plait_i_tcp_landed(struct wire_packet *p);

/* Takes g, which did not arrive: those who wait for it will try again. */
void plait_i_tcp_lost(struct tcp_segment *g);

/* Asks the other end now and then whether it is there, if the program wants
   that and the connection stands. */
void plait_i_tcp_keep_alive(struct tcp *s);

/* The other end has said that it got more than before. */
void plait_i_tcp_progress(struct tcp *s);

/* ---- tcp_listen.c -------------------------------------------------------- */

/* A SYN has come.  Takes g. */
void plait_i_tcp_asked(struct tcp *listener, struct tcp_segment *g);

/* The last segment of the handshake has come; false: there is no room, and it
   has to come again. */
bool plait_i_tcp_welcome(struct tcp *s);

void plait_i_tcp_stop_listening(struct tcp *listener);

/* ---- tcp_options.c ------------------------------------------------------- */

/* SO_ERROR: an error is told once. */
int plait_i_tcp_take_error(struct tcp *s);
int plait_i_tcp_getsockopt(struct sim_socket *base, int level, int option,
			   void *value, socklen_t *len);
int plait_i_tcp_setsockopt(struct sim_socket *base, int level, int option,
			   const void *value, socklen_t len);

/* ---- tcp.c --------------------------------------------------------------- */

/* How many bytes the other end has not acknowledged. */
size_t plait_i_tcp_queued(const struct tcp *s);

/* ---- tcp_input.c --------------------------------------------------------- */

extern const struct wire_packet_ops plait_i_tcp_packet_ops;

#endif
