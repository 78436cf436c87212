/*
 * The sockets of a simulated host: descriptors, which belong to a program, and
 * sockets, which belong to the kernel and may outlive them.
 *
 * socket.c has what all kinds share: descriptors, readiness, and what is on the
 * wire.  tcp.c has TCP, udp.c has UDP, and local.h says who has UNIX sockets. A
 * further kind is a further table (struct socket_ops).
 */
#ifndef REACTOR_SIMULATION_SOCKET_H
#define REACTOR_SIMULATION_SOCKET_H

#include <plait/list.h>

#include "reactor/kernel/kernel.h"
#include "reactor/simulation/place.h"
#include "reactor/simulation/random.h"
#include "reactor/simulation/wire.h"

struct plait_host;
struct host_kernel;
struct sim_socket;
struct sockaddr_un;

/* ---- descriptors --------------------------------------------------------- */

enum descriptor_kind {
	DESCRIPTOR_SOCKET,
	DESCRIPTOR_RESERVE,
	DESCRIPTOR_WAKER,
	DESCRIPTOR_PIPE,    /* its socket is the end of a pipe: pipe.h */
	DESCRIPTOR_PROCESS, /* ... stands for a process: process.h */
	DESCRIPTOR_NULL	    /* /dev/null */
};

struct descriptor {
	struct descriptors *of;
	int fd;
	enum descriptor_kind kind;
	bool is_given; /* the program was started with it, and may keep it */
	struct sim_socket *socket; /* NULL: none, or its host has crashed */
	unsigned wants;		   /* events of its watch; 0: not watched */
	unsigned told;		   /* for a watch that is told once */
	uint32_t generation;	   /* of its watch */
	struct plait_list ready;   /* in of->ready while an event is due */
};

/* What a program has open, by its number. */
struct descriptors {
	struct descriptor **slots;
	size_t n, open, lowest;	 /* below the lowest all numbers are taken */
	struct plait_list ready; /* the next to be told first */
	struct descriptor *waker;
	bool interrupted; /* the last call was: the next is not */
};

void plait_i_descriptors_init(struct descriptors *ds);

/* The program is gone: the kernel closes what it had open. */
void plait_i_descriptors_close_all(struct host_kernel *k);

/* Gives the lowest number that is free, from 3 up; -EMFILE or -ENOMEM. */
int plait_i_descriptor_open(struct descriptors *ds, size_t most,
			    enum descriptor_kind kind);
void plait_i_descriptor_set_socket(struct descriptor *d, struct sim_socket *s);

/* Opens the number that a child was given, which is free; 0, -EMFILE or
   -ENOMEM. */
int plait_i_descriptor_give(struct descriptors *ds, size_t most, int fd,
			    enum descriptor_kind kind);

/* It is plait's from now on, under a number from 3 up; 0, -EMFILE or -ENOMEM.
 */
int plait_i_descriptor_take(struct descriptor *d, size_t most);

/* Its end of a pipe is closed, and /dev/null is in its place. */
void plait_i_descriptor_make_null(struct descriptor *d);

/* How many are open that plait has opened or taken. */
size_t plait_i_descriptors_of_plait(const struct descriptors *ds);

/* The descriptor of that number, or NULL. */
struct descriptor *plait_i_descriptor_find(const struct descriptors *ds,
					   int fd);
void plait_i_descriptor_close(struct descriptor *d);

/* From now on it is watched for those events, anew if it was not watched. */
void plait_i_descriptor_watch(struct descriptor *d, unsigned wants,
			      uint32_t generation);

/* The events that are due now. */
unsigned plait_i_descriptor_events(const struct descriptor *d);

/* They were told. */
void plait_i_descriptor_told(struct descriptor *d);

/* ---- sockets ------------------------------------------------------------- */

/* The last is what accept() gives, also of a peer that is gone. */
enum socket_name { SOCKET_OWN, SOCKET_PEER, SOCKET_ACCEPTED };

/* What netstat(8) shows. */
struct socket_look {
	const char *protocol, *state;
	size_t received, sent; /* ... that nobody has taken yet */
	struct place local, remote;
	/* Of a UNIX socket, instead of the places. */
	const struct sockaddr_un *unix_name;
	socklen_t unix_length;
};

/* What a socket of a kind does.  Errors are -errno. */
struct socket_ops {
	/* As poll() has it: POLLIN, POLLOUT, POLLRDHUP, POLLHUP, POLLERR. */
	unsigned (*readiness)(const struct sim_socket *s);
	/* How many bytes recv() would give, and send() would take; 0 if it is
	   all of them or none. */
	size_t (*input)(const struct sim_socket *s);
	size_t (*room)(const struct sim_socket *s);
	/* close(): it may live on, without a descriptor. */
	void (*release)(struct sim_socket *s);
	/* The power is gone. */
	void (*destroy)(struct sim_socket *s);
	/* True if it only waits out its time, and nobody has it open. */
	bool (*is_over)(const struct sim_socket *s);
	int (*bind)(struct sim_socket *s, const struct sockaddr *sa,
		    socklen_t len);
	int (*listen)(struct sim_socket *s, int backlog);
	int (*accept)(struct sim_socket *s, struct sim_socket **ret);
	int (*connect)(struct sim_socket *s, const struct sockaddr *sa,
		       socklen_t len);
	/* As recvmsg() and sendmsg(), but at most that many bytes of a stream.
	 */
	ssize_t (*recv)(struct sim_socket *s, struct msghdr *msg, size_t most,
			int flags);
	ssize_t (*send)(struct sim_socket *s, const struct msghdr *msg,
			size_t most, int flags);
	int (*shutdown)(struct sim_socket *s, int how);
	int (*getsockopt)(struct sim_socket *s, int level, int option,
			  void *value, socklen_t *len);
	int (*setsockopt)(struct sim_socket *s, int level, int option,
			  const void *value, socklen_t len);
	/* Returns the length, or -ENOTCONN. */
	int (*name)(const struct sim_socket *s, enum socket_name which,
		    struct sockaddr_storage *ret);
	void (*look)(const struct sim_socket *s, struct socket_look *ret);
};

/* Pipes and processes are none, but are waited for in the same way. */
struct sim_socket {
	const struct socket_ops *ops;
	struct plait_host *host;
	struct plait_list link;	       /* in host->sockets.all */
	struct descriptor *descriptor; /* NULL: no program has it open */
	int family;
};

/* ---- what a host's kernel has -------------------------------------------- */

enum {
	SOCKET_BUCKETS = 256,
	SOCKET_PORTS = 65536,
	/* The most that setsockopt() gives: net.core.wmem_max. */
	SOCKET_MOST_BUFFER = 212992
};

struct host_sockets {
	struct plait_list all;
	struct plait_list flying; /* packets that are on the wire */
	struct plait_list home;	  /* ... that arrive at the end of this call */
	struct plait_list ports[SOCKET_BUCKETS], pairs[SOCKET_BUCKETS];
	uint64_t taken[SOCKET_PORTS / 64]; /* a bit for each port in use */
	uint64_t connections;		   /* that have begun, ever */
	/* What of TCP is called by what it stands on. */
	const struct wire_packet_ops *tcp;
	void (*tcp_again)(struct future_event *timer);
	/* UDP's ports, which are no others' than its own. */
	struct plait_list udp_ports[SOCKET_BUCKETS];
	struct random_stream udp_chance;
	unsigned unix_names; /* that the kernel has chosen */
};

void plait_i_sockets_init(struct plait_host *h);

/* The power is gone: all sockets vanish, and nobody is told.  What they have
   sent is on the wire and still arrives. */
void plait_i_sockets_crash(struct plait_host *h);

/* The simulation ends: after a crash, what was on the wire is gone as well. */
void plait_i_sockets_done(struct plait_host *h);

/* If the loopback is immediate (world.h): what was sent home arrives.  It is
   called at the end of each call; and by whoever moves the time. */
void plait_i_sockets_settle(struct plait_host *h);

/* How many sockets there are that are not merely waiting out their time. */
size_t plait_i_sockets_count(const struct plait_host *h);

void plait_i_socket_init(struct sim_socket *s, const struct socket_ops *ops,
			 struct plait_host *h, int family);

/*
 * Its readiness may be another: tells who watches it.  plait_i_socket_woken()
 * also tells of what lasts, to those who are told once.
 */
void plait_i_socket_changed(struct sim_socket *s);
void plait_i_socket_woken(struct sim_socket *s);

/* Sends a packet; returns when it will arrive: plait_i_wire_send(). */
int64_t plait_i_socket_fly(struct wire_packet *p, int64_t not_before);

/* The address from which a host sends there.  The port stays. */
void plait_i_socket_choose_ip(const struct sim_socket *s,
			      const struct place *to, struct place *ret);

/* How many bytes the pieces have; copies data to them from position at on; and
   len bytes from there.  Both return how many were copied. */
size_t plait_i_pieces_size(const struct iovec *pieces, size_t n);
size_t plait_i_pieces_fill(const struct iovec *pieces, size_t n, size_t at,
			   const void *data, size_t len);
size_t plait_i_pieces_take(const struct iovec *pieces, size_t n, size_t at,
			   void *data, size_t len);

/*
 * The value of an option, as getsockopt() gives it, as far as there is room;
 * and as setsockopt() takes it, or -EINVAL if it is too short.
 */
int plait_i_option_give(const void *own, socklen_t size, void *value,
			socklen_t *len);
int plait_i_option_take(void *own, socklen_t size, const void *value,
			socklen_t len);

/* Nobody has it open any more, and it is not among those of its host. */
void plait_i_socket_done(struct sim_socket *s);

/* tcp.c, udp.c, local_stream.c and local_datagram.c.  Return NULL without
   memory. */
struct sim_socket *plait_i_tcp_new(struct plait_host *h, int family);
struct sim_socket *plait_i_udp_new(struct plait_host *h, int family);
struct sim_socket *plait_i_local_stream_new(struct plait_host *h);
struct sim_socket *plait_i_local_datagram_new(struct plait_host *h);

/* Makes two new UNIX streams, each with its descriptor, each other's peers. */
void plait_i_local_stream_join(struct sim_socket *a, struct sim_socket *b);

/* Tells what TCP stands on what it calls. */
void plait_i_tcp_init(struct plait_host *h);

#endif
