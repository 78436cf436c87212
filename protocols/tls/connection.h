/*
 * A connection from the inside: the transport above, which holds all that there
 * is of it.  Its protocol below is in factory.c.
 *
 * plait_transport_below() is the transport with the ciphertext; it is never
 * NULL while the connection is up.
 */
#ifndef PROTOCOLS_TLS_CONNECTION_H
#define PROTOCOLS_TLS_CONNECTION_H

#include <plait/deferred.h>
#include <plait/timer.h>
#include <plait/wrap.h>

#include "protocols/tls/asked.h"
#include "protocols/tls/bio.h"
#include "protocols/tls/context.h"

/* A factory that wraps another. */
struct tls_factory {
	struct plait_wrapping_factory base;
	struct plait_tls_context *context; /* NULL: begins without TLS */
	char *name;			   /* of the server, or NULL */
	bool held;			   /* by the program */
	bool used;
	/* Handshakes cost milliseconds, so others come between them. */
	struct plait_reactor *reactor;
	struct plait_list turns; /* those that wait for the next turn */
	struct plait_timer turn; /* runs from the first step of a turn */
	unsigned steps;		 /* in this turn */
	/* Buffers of connections that are idle are freed. */
	struct plait_list busy;
	struct plait_timer look;
	unsigned freed; /* so many have, since the heap was trimmed */
};

enum tls_state {
	TLS_CLEAR,   /* no TLS yet */
	TLS_SHAKING, /* hands */
	TLS_OPEN,
	TLS_OVER /* failed, or closed at this end */
};

struct tls {
	struct plait_transport base;
	struct tls_factory *factory; /* borrowed */
	struct plait_tls_context *context;
	SSL *ssl; /* NULL: in the clear */
	struct tls_bio bio;
	struct tls_asked asked;
	struct plait_tls_info info; /* if there is the memory for it */
	void *memory;

	enum tls_state state;
	bool made;	  /* the inner protocol is connected */
	bool wants_input; /* the inner protocol reads */
	bool read_over;	  /* the peer has said that it sends no more */
	bool shuts;	  /* this half is to be closed after the handshake */
	bool ended;	  /* the transport below is told why */
	const struct plait_failure *why; /* of TLS_OVER; NULL: no failure */

	/* The handshake: */
	struct plait_timer deadline;
	struct plait_list turn;		     /* it waits for the next turn */
	struct plait_buf *held;		     /* came while it waits */
	pid_t process;			     /* that has begun it */
	struct plait_deferred *answer;	     /* that it waits for */
	bool asking;			     /* the program is being asked */
	const struct plait_failure *refusal; /* by the program */
	struct plait_promise *started;	     /* of plait_tls_start() */

	struct plait_list busy; /* it has buffers */
	bool moved;		/* since the factory has looked last */

	/* Sending: */
	size_t clear; /* bytes that were written before TLS began */
	struct plait_producer drained;
	bool draining;	  /* waits until all below is sent */
	bool write_reads; /* OpenSSL must read before it writes */
};

extern const struct plait_transport_ops plait_i_tls_ops;

static inline struct tls *tls_of(struct plait_transport *t)
{
	return plait_container(t, struct tls, base);
}

/* It waits for the program, or for its turn. */
static inline bool tls_waits(const struct tls *t)
{
	return t->answer != NULL || plait_list_is_linked(&t->turn);
}

/* ---- stream.c ---------------------------------------------------- */

/* Decrypts what has come, and delivers it. */
void plait_i_tls_read(struct tls *t);

/* Pauses or resumes the transport below. */
void plait_i_tls_settle_input(struct tls *t);

/* Ends the connection for that failure, which is taken; an alert that OpenSSL
   has written is sent. */
void plait_i_tls_fail(struct tls *t, plait_value why);

/* The program is asked nothing any more, and OpenSSL nothing but to write. */
void plait_i_tls_stop(struct tls *t);

/* It has buffers from now on, until it is idle. */
void plait_i_tls_is_busy(struct tls *t);

/* Says to the peer that nothing more comes. */
void plait_i_tls_say_end(struct tls *t);

/* ---- handshake.c ------------------------------------------------- */

/*
 * Begins a connection of that context; name is the server's, or NULL.  Returns
 * none or a failure.  The handshake begins with plait_i_tls_shake(), or in the
 * next turn.
 */
plait_value plait_i_tls_begin(struct tls *t, struct plait_tls_context *c,
			      const char *name);
void plait_i_tls_shake(struct tls *t);
void plait_i_tls_shake_later(struct tls *t);

/* What the transport below has delivered, or that it will not deliver more. */
void plait_i_tls_received(struct tls *t, const void *data, size_t len);
void plait_i_tls_read_lost(struct tls *t);

/* The transport below is lost: nobody waits any more. */
void plait_i_tls_lost(struct tls *t, const struct plait_failure *why);

/* Tells the program of a client whom nobody else knows. */
void plait_i_tls_tell_failed(const struct tls_factory *f,
			     struct plait_transport *below,
			     const struct plait_failure *why);

/* Builds the inner protocol, and connects it. */
void plait_i_tls_connect(struct tls *t);

/* The timer of the factory: those who wait have their turn. */
void plait_i_tls_next_turn(void *arg);

#endif
