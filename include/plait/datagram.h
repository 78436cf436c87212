/*
 * Datagrams: messages that arrive whole, or not at all, and in any order.
 *
 * A port for datagrams has a protocol, which is a struct of the program with a
 * table of callbacks.  <plait/udp.h> opens the port.  Functions of ports work
 * on it: plait_port_host(), plait_port_stop_listening() and others.
 *
 *	static void echo(struct plait_datagram_protocol *p, const void *data,
 *			 size_t len, const struct plait_datagram_info *info)
 *	{
 *		plait_datagram_reply(p, data, len, info);
 *	}
 *
 *	static const struct plait_datagram_ops ops = { .received = echo };
 *	static struct plait_datagram_protocol p = { .ops = &ops };
 *
 *	plait_listen_udp(r, 7, &p, NULL, NULL);
 */
#ifndef PLAIT_DATAGRAM_H
#define PLAIT_DATAGRAM_H

#include <plait/address.h>
#include <plait/failure.h>
#include <plait/tcp.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_datagram_protocol;

/* What is known of a datagram that has come.  All of it is borrowed for the
   call. */
struct plait_datagram_info {
	const struct plait_address *from; /* no address: the sender has none */
	const struct plait_address *to;	  /* NULL: nobody asked for it */
	size_t size;	/* of the datagram, which may be more than was kept */
	bool truncated; /* it is more: the rest is lost */
	bool more;	/* another has come with it, and follows at once */
	unsigned ecn;	/* 0 to 3, as IP has it; 0: nobody asked for it */
	uintptr_t reserved[4]; /* zero */
};

/*
 * What the loop tells.  Each member may be NULL.  A callback may call any
 * function, also those that end the port.
 */
struct plait_datagram_ops {
	const char *name; /* for people */
	/* The first: the port is open. */
	void (*started)(struct plait_datagram_protocol *p);
	/* data is borrowed for the call.  len is 0 for an empty datagram. */
	void (*received)(struct plait_datagram_protocol *p, const void *data,
			 size_t len, const struct plait_datagram_info *info);
	/*
	 * A datagram could not be sent, or did not arrive as a host on the way
	 * says.  to, borrowed, is where it was sent to.  why is borrowed.  The
	 * port goes on.
	 */
	void (*failed)(struct plait_datagram_protocol *p,
		       const struct plait_failure *why,
		       const struct plait_address *to);
	/* After a datagram failed with EAGAIN, or a send did: there is room
	   again. */
	void (*room)(struct plait_datagram_protocol *p);
	/* The port is closed.  why is ConnectionDone, or says what broke it. */
	void (*stopped)(struct plait_datagram_protocol *p,
			const struct plait_failure *why);
	/* The last, which may free p. */
	void (*done)(struct plait_datagram_protocol *p);
	uintptr_t reserved[4]; /* zero */
};

/* Embed it, with ops set.  It is the program's; the port borrows it until
   done() was called. */
struct plait_datagram_protocol {
	const struct plait_datagram_ops *ops;
	struct plait_port *port; /* borrowed; NULL: it is not open */
	uintptr_t reserved[2];	 /* zero */
};

/*
 * Sends a datagram.  data is borrowed for the call, and so is to, which is NULL
 * for a port that is connected.  What one callback sends leaves together when
 * it has returned; if the system refuses a datagram then, failed() is told of
 * it, from the loop.  Nothing is queued for longer, unless the port has a queue
 * (plait_udp_options.queue_bytes): then what the system has no room for waits
 * there, and is dropped if the port ends.
 *
 * Returns 0; -EMSGSIZE if it is larger than any datagram; -EAGAIN if the system
 * has no room, and the queue has none either: room() will be called; -EINVAL if
 * to is no address of the port's kind, or has no port; -EISCONN if the port is
 * connected and to is not NULL, -EDESTADDRREQ if it is not and to is NULL;
 * -ENOTCONN if the port is not open or p is NULL; or -ENOMEM.  Then nothing is
 * sent, and nobody is told.
 */
int plait_datagram_send(struct plait_datagram_protocol *p, const void *data,
			size_t len, const struct plait_address *to);

/*
 * The same, to the sender of a datagram, and from the address that it had come
 * to, if the port knows that (plait_udp_options.tell_local).
 */
int plait_datagram_reply(struct plait_datagram_protocol *p, const void *data,
			 size_t len, const struct plait_datagram_info *info);

/*
 * Joins and leaves a group, whose address is borrowed: what is sent there comes
 * to the port.  interface_index says on which interface; 0: the system chooses.
 * source is NULL, or the only sender that is wanted; it is borrowed.  Return 0;
 * -ENOTCONN if the port is not open or p is NULL; or what the kernel says:
 * -EINVAL if group is no group, -EADDRINUSE, -EADDRNOTAVAIL, -ENODEV and
 * others.
 */
int plait_datagram_join(struct plait_datagram_protocol *p,
			const struct plait_address *group,
			unsigned interface_index,
			const struct plait_address *source);
int plait_datagram_leave(struct plait_datagram_protocol *p,
			 const struct plait_address *group,
			 unsigned interface_index,
			 const struct plait_address *source);

#ifdef __cplusplus
}
#endif

#endif
