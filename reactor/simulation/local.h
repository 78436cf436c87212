/*
 * UNIX sockets of a simulated kernel, as their own files see them.
 *
 *	local_names.c	paths and abstract names, and who has them
 *	local_options.c	getsockopt() and setsockopt()
 *	local_stream.c	streams: listening, connecting, bytes
 *	local_datagram.c	datagrams
 *	local.c		what both have: queues, the end of a socket
 *
 * All of it happens within the call: what is sent lies in the queue of the peer
 * at once, as no wire is between them.
 *
 * A socket that is closed lives on, dead, as long as its peer or a message
 * knows of it: the peer is still told its name.
 */
#ifndef REACTOR_SIMULATION_LOCAL_H
#define REACTOR_SIMULATION_LOCAL_H

#include <sys/un.h>

#include "reactor/simulation/world.h"

enum {
	LOCAL_NO_RECV = 1,
	LOCAL_NO_SEND = 2,
	LOCAL_SHUT = 3,
	LOCAL_OVERHEAD = 768, /* what a message takes beside its bytes */
	LOCAL_BUFFER = 212992,
	LOCAL_DATAGRAMS = 10 /* net.unix.max_dgram_qlen */
};

enum local_state { LOCAL_CLOSE, LOCAL_LISTEN, LOCAL_ESTABLISHED };

struct local_name {
	struct sockaddr_un un;
	socklen_t len; /* 0: it has none */
};

struct local {
	struct sim_socket base;
	int type;
	unsigned refs; /* its descriptor, its peer, messages, a queue */
	bool is_dead;
	enum local_state state;
	struct local_name name; /* who was accepted has its listener's */
	bool is_bound;		/* the name is its own: it is found by it */
	unsigned file;		/* its number on the disk; 0: none */
	struct local *peer;	/* with a reference; it may be dead */
	unsigned shut;
	int error;
	struct plait_list input; /* messages */
	size_t n_input;
	size_t used; /* bytes that others have of it, with LOCAL_OVERHEAD */
	size_t send_size, receive_size;
	/* A listener, and who waits to be accepted by it. */
	struct plait_list waiting, queue;
	size_t n_waiting, backlog;
	/* The program at the other end, or that listens, by number; 0: nobody.
	 */
	unsigned peered;
	bool reuse, keep_alive;
	struct linger linger;
};

/* What one socket has sent to another. */
struct local_message {
	struct plait_list link;
	struct local *from; /* with a reference */
	size_t len, taken;
	unsigned char data[];
};

static inline struct local *local_of(struct sim_socket *s)
{
	return plait_container(s, struct local, base);
}

static inline const struct local *local_of_const(const struct sim_socket *s)
{
	return plait_container(s, const struct local, base);
}

static inline struct local_message *local_first(const struct local *s)
{
	struct plait_list *l = plait_list_first(&s->input);

	return l != NULL ? plait_container(l, struct local_message, link)
			 : NULL;
}

/* ---- local_names.c ------------------------------------------------------- */

/* Reads what a program gave: 0 or -EINVAL.  It may be a name that the kernel
   is to choose only if it is for bind(). */
int plait_i_local_read(struct local_name *ret, const struct sockaddr *sa,
		       socklen_t len);

int plait_i_local_bind(struct sim_socket *s, const struct sockaddr *sa,
		       socklen_t len);
int plait_i_local_name(const struct sim_socket *s, enum socket_name which,
		       struct sockaddr_storage *ret);

/* The socket of that name, for one of that type: 0, -ENOENT, -ECONNREFUSED or
   -EPROTOTYPE. */
int plait_i_local_find(struct plait_host *h, const struct local_name *name,
		       int type, struct local **ret);

/* ---- local_options.c ----------------------------------------------------- */

int plait_i_local_take_error(struct local *s);
int plait_i_local_getsockopt(struct sim_socket *s, int level, int option,
			     void *value, socklen_t *len);
int plait_i_local_setsockopt(struct sim_socket *s, int level, int option,
			     const void *value, socklen_t len);

/* ---- local.c ------------------------------------------------------------- */

struct local *plait_i_local_make(struct plait_host *h,
				 const struct socket_ops *ops, int type);
void plait_i_local_ref(struct local *s);
void plait_i_local_unref(struct local *s);

/* The number of the program that has it open. */
unsigned plait_i_local_owner(const struct local *s);

/* Puts what msg has from position at on, len bytes, into the queue of to; 0 or
   -ENOBUFS. */
int plait_i_local_put(struct local *s, struct local *to,
		      const struct msghdr *msg, size_t at, size_t len);
void plait_i_local_drop(struct local *s, struct local_message *m);
void plait_i_local_drop_all(struct local *s);

/* Copies len bytes of m from position at on; returns how many there was room
   for.  Says who has sent it. */
size_t plait_i_local_show(const struct local_message *m, size_t at,
			  struct msghdr *msg, size_t done, size_t most);
void plait_i_local_show_sender(const struct local_message *m,
			       struct msghdr *msg);

bool plait_i_local_is_writable(const struct local *s);
void plait_i_local_set_peer(struct local *s, struct local *peer);

/* The socket is dead: it has no name and no input any more. */
void plait_i_local_die(struct local *s);

/* What all types have in the same way. */
bool plait_i_local_is_past(const struct sim_socket *s);
void plait_i_local_look(const struct sim_socket *s, struct socket_look *ret);

#endif
