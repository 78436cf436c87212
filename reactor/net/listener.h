/*
 * Acceptors on a listening stream socket, of whatever family.
 */
#ifndef REACTOR_LISTENER_H
#define REACTOR_LISTENER_H

#include "reactor/net/acceptor.h"
#include "reactor/net/stream.h"

struct listener;

/* What a family of sockets adds.  base.port begins with LISTENER_PORT. */
struct listener_ops {
	struct acceptor_ops base;
	const struct stream_io *io; /* of the connections */
	/*
	 * Lets no new client into the queue of the kernel; false if that
	 * failed.  NULL: the family cannot do that.
	 */
	bool (*shut)(struct listener *l);
};

struct listener {
	struct acceptor base;
	struct plait_watch watch;
	struct plait_timer back_off; /* runs while something is missing */
	struct loop_task look;	     /* drains: looks whether anybody waits */
	int fd, reserve;	     /* -1: none */
	unsigned budget;
	unsigned busy_turns; /* in a row, in which it was used up */
	unsigned patience;   /* how many of these it waits before it grows */
	unsigned backlog;    /* how many the queue of the kernel holds */
	unsigned due;	     /* accepts so many more at most; 0: no limit */
	bool held;	     /* until a guest has left */
	uint64_t busy_turn;  /* the last in which the budget was used up */
	int64_t next_report; /* the earliest time of the next report */
};

/*
 * Makes *l accept from fd, a listening socket that does not block.  fd is
 * taken, and closed on failure, too.  *l is zeroed, with backlog filled in, and
 * may be the beginning of a larger struct.  0 or -errno.
 */
int plait_i_listener_init(struct listener *l, const struct listener_ops *ops,
			  struct plait_reactor *r, int fd);

/* The functions of a listener.  free() frees it as one block of memory. */
void plait_i_listener_stop(struct plait_port *p);
void plait_i_listener_close(struct plait_port *p);
void plait_i_listener_pause(struct plait_port *p, bool on);
void plait_i_listener_drain(struct plait_port *p);
void plait_i_listener_free(struct plait_port *p);
void plait_i_listener_room(struct acceptor *a);

#define LISTENER_PORT                                                          \
	.stop = plait_i_listener_stop, .close = plait_i_listener_close,        \
	.ended = plait_i_acceptor_ended, .pause = plait_i_listener_pause,      \
	.drain = plait_i_listener_drain, .free = plait_i_listener_free

#endif
