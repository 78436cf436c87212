/*
 * Ports for datagrams on sockets.
 *
 * Datagrams are read together, into the read buffer that all connections of the
 * reactor share, which is cut into slots.  An event costs one recvmmsg(),
 * unless slots are so large that there are few of them.  What recvmmsg() needs
 * is kept by the reactor from one read to the next, and only what the last read
 * has changed is prepared again.
 *
 * Errors that other hosts answer wait in a queue of the socket, each with the
 * address that it is about (IP_RECVERR).  Until the queue is read the socket
 * also fails a call with such an error, whatever that call wanted.  So when a
 * send fails, the queue is read first; if it had anything, the datagram is sent
 * once more, since the error may have been an older one's.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h> /* which errqueue.h needs */
#include <linux/errqueue.h>

#include "lib/chance.h"
#include "reactor/net/datagram_socket.h"

enum { MOST_ERRORS = 16, CONTROL_SIZE = 128, ECN_BITS = 3 };

static struct datagram_socket *datagram_socket(struct plait_port *p)
{
	return plait_self(p, struct datagram_socket);
}

static struct kernel *datagram_kernel(const struct datagram_socket *s)
{
	return loop_kernel(s->base.base.reactor);
}

/* Room for control messages. */
union datagram_control {
	struct cmsghdr align;
	unsigned char room[CONTROL_SIZE];
};

/* ---- control messages ---------------------------------------------------- */

/* What control messages say of a datagram: where it has come, which is no
   address if nothing says so, and its ECN. */
struct datagram_facts {
	union kernel_address to;
	unsigned ecn;
};

static void datagram_read_ipv4(const struct cmsghdr *c,
			       struct datagram_facts *f)
{
	struct in_pktinfo info;
	unsigned char class;

	if (c->cmsg_type == IP_PKTINFO) {
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		f->to.ipv4 = (struct sockaddr_in){
			.sin_family = AF_INET,
			.sin_addr = info.ipi_addr,
		};
	} else if (c->cmsg_type == IP_TOS) {
		memcpy(&class, CMSG_DATA(c), sizeof(class));
		f->ecn = class & ECN_BITS;
	}
}

static void datagram_read_ipv6(const struct cmsghdr *c,
			       struct datagram_facts *f)
{
	struct in6_pktinfo info;
	int class;

	if (c->cmsg_type == IPV6_PKTINFO) {
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		f->to.ipv6 = (struct sockaddr_in6){
			.sin6_family = AF_INET6,
			.sin6_addr = info.ipi6_addr,
		};
		if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
			f->to.ipv6.sin6_scope_id = info.ipi6_ifindex;
	} else if (c->cmsg_type == IPV6_TCLASS) {
		memcpy(&class, CMSG_DATA(c), sizeof(class));
		f->ecn = (unsigned)class & ECN_BITS;
	}
}

static void datagram_read_facts(struct msghdr *m, struct datagram_facts *ret)
{
	*ret = (struct datagram_facts){ .to.any.sa_family = AF_UNSPEC };
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL;
	     c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP)
			datagram_read_ipv4(c, ret);
		else if (c->cmsg_level == IPPROTO_IPV6)
			datagram_read_ipv6(c, ret);
	}
}

static void datagram_put_control(struct msghdr *m, union datagram_control *room,
				 int level, int type, const void *data,
				 size_t len)
{
	struct cmsghdr *c;

	m->msg_control = room->room;
	m->msg_controllen = CMSG_SPACE(len);
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), data, len);
}

/* Says that a datagram is to be sent from that address.  A group is no sender.
 */
static void datagram_put_source(struct msghdr *m, union datagram_control *room,
				const union kernel_address *from)
{
	struct in_pktinfo info = { .ipi_spec_dst = from->ipv4.sin_addr };
	struct in6_pktinfo info6 = { .ipi6_ifindex = from->ipv6.sin6_scope_id };

	memset(room, 0, sizeof(*room));
	if (from->any.sa_family == AF_INET) {
		if (!IN_MULTICAST(ntohl(info.ipi_spec_dst.s_addr)))
			datagram_put_control(m, room, IPPROTO_IP, IP_PKTINFO,
					     &info, sizeof(info));
	} else if (!IN6_IS_ADDR_MULTICAST(&from->ipv6.sin6_addr)) {
		info6.ipi6_addr = from->ipv6.sin6_addr;
		datagram_put_control(m, room, IPPROTO_IPV6, IPV6_PKTINFO,
				     &info6, sizeof(info6));
	}
}

/* ---- the queue of errors ------------------------------------------------- */

/* What other hosts have answered; 0: the kernel itself says it, and the call
   that it refused has said so, too. */
static int datagram_read_error(struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL;
	     c = CMSG_NXTHDR(m, c)) {
		struct sock_extended_err e;

		if (!(c->cmsg_level == IPPROTO_IP &&
		      c->cmsg_type == IP_RECVERR) &&
		    !(c->cmsg_level == IPPROTO_IPV6 &&
		      c->cmsg_type == IPV6_RECVERR))
			continue;
		memcpy(&e, CMSG_DATA(c), sizeof(e));
		return e.ee_origin == SO_EE_ORIGIN_LOCAL ? 0 : (int)e.ee_errno;
	}
	return 0;
}

/* Takes one from the queue.  Returns false if there is none.  A UNIX socket has
   no such queue, and would give a datagram. */
static bool datagram_next_error(struct datagram_socket *s, int *err,
				struct plait_address *to)
{
	union kernel_address name = { .any.sa_family = AF_UNSPEC };
	union datagram_control control;
	struct msghdr m = { .msg_name = &name,
			    .msg_namelen = sizeof(name),
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };

	if (s->base.family == AF_UNIX ||
	    kernel_recvmsg(datagram_kernel(s), s->fd, &m, MSG_ERRQUEUE) < 0)
		return false;
	*err = datagram_read_error(&m);
	plait_i_address_from_kernel(to, &name, m.msg_namelen);
	return true;
}

/* A send has failed: takes the errors that wait, as far as there is room to
   tell them.  Returns how many there were. */
static unsigned datagram_note_errors(struct datagram_socket *s)
{
	struct plait_address to;
	unsigned n = 0;
	int err;

	while (n < MOST_ERRORS && plait_i_datagram_may_note(&s->base) &&
	       datagram_next_error(s, &err, &to)) {
		if (err == 0)
			continue;
		plait_i_datagram_unsent(&s->base, err, &to);
		n++;
	}
	return n;
}

/* The same, in an event: tells them. */
static unsigned datagram_tell_errors(struct datagram_socket *s)
{
	struct plait_address to;
	unsigned n = 0;
	int err;

	while (n < MOST_ERRORS && datagram_goes_on(&s->base) &&
	       datagram_next_error(s, &err, &to)) {
		n++;
		if (err != 0)
			plait_i_datagram_failed(&s->base, err, &to);
	}
	return n;
}

/* ---- receiving ----------------------------------------------------------- */

/* Datagrams that are read together, by any port of a reactor. */
struct datagram_input {
	unsigned char *bytes; /* of these slots: NULL: of none yet */
	size_t size;	      /* of a slot */
	unsigned used;	      /* the first messages, by the last read */
	struct mmsghdr msgs[DATAGRAM_BATCH];
	struct iovec slots[DATAGRAM_BATCH];
	union kernel_address names[DATAGRAM_BATCH];
	union datagram_control controls[DATAGRAM_BATCH];
};

static unsigned datagram_slots(const struct datagram_socket *s)
{
	size_t n = POOL_READ_SIZE / s->max_size;

	return n < DATAGRAM_BATCH ? (unsigned)n : DATAGRAM_BATCH;
}

/* A read writes to the lengths of the messages that it returns. */
static void datagram_input_renew(struct datagram_input *in)
{
	for (unsigned i = 0; i < in->used; i++) {
		struct msghdr *m = &in->msgs[i].msg_hdr;

		m->msg_namelen = sizeof(in->names[i]);
		m->msg_controllen = sizeof(in->controls[i]);
	}
}

static void datagram_input_cut(struct datagram_input *in, unsigned char *bytes,
			       size_t size)
{
	in->bytes = bytes;
	in->size = size;
	in->used = DATAGRAM_BATCH;
	for (unsigned i = 0; i < DATAGRAM_BATCH; i++) {
		in->slots[i] = (struct iovec){ bytes + i * size, size };
		in->msgs[i].msg_hdr = (struct msghdr){
			.msg_iov = &in->slots[i],
			.msg_iovlen = 1,
			.msg_name = &in->names[i],
			.msg_control = &in->controls[i],
		};
	}
}

/* What s reads with now, prepared; NULL: there is no memory. */
static struct datagram_input *datagram_input(struct datagram_socket *s)
{
	struct plait_reactor *r = s->base.base.reactor;
	struct datagram_input *in = plait_i_pool_desk(r, sizeof(*in));
	unsigned char *bytes = plait_i_pool_read_buffer(r);

	if (in == NULL || bytes == NULL)
		return NULL;
	if (in->bytes != bytes || in->size != s->max_size)
		datagram_input_cut(in, bytes, s->max_size);
	datagram_input_renew(in);
	return in;
}

/* A sender without an address has written no name. */
static void datagram_read_name(struct datagram_input *in, unsigned i,
			       struct plait_address *ret)
{
	socklen_t len = in->msgs[i].msg_hdr.msg_namelen;

	if (len == 0)
		in->names[i].any.sa_family = AF_UNSPEC;
	plait_i_address_from_kernel(ret, &in->names[i], len);
}

/* Fills in what control messages say of message i; *to is for its address. */
static void datagram_tell_facts(const struct datagram_socket *s,
				struct msghdr *m,
				struct plait_datagram_info *info,
				struct plait_address *to)
{
	struct datagram_facts facts;

	datagram_read_facts(m, &facts);
	info->ecn = facts.ecn;
	if (!s->tells_local || facts.to.any.sa_family == AF_UNSPEC)
		return;
	plait_i_address_from_kernel(to, &facts.to, sizeof(facts.to));
	to->port = plait_i_address_kept_port(&s->base.base.address);
	info->to = to;
}

static void datagram_deliver(struct datagram_socket *s,
			     struct datagram_input *in, unsigned i, bool more)
{
	struct msghdr *m = &in->msgs[i].msg_hdr;
	struct plait_address from, to;
	struct plait_datagram_info info = {
		.from = &from,
		.size = in->msgs[i].msg_len,
		.truncated = (m->msg_flags & MSG_TRUNC) != 0,
		.more = more,
	};

	datagram_read_name(in, i, &from);
	if (s->tells_local || s->tells_ecn)
		datagram_tell_facts(s, m, &info, &to);
	plait_i_datagram_received(
		&s->base, in->slots[i].iov_base,
		info.size < s->max_size ? info.size : s->max_size, &info);
}

/* Whoever reads nothing looks for errors: they make a socket ready, too. */
static void datagram_read_nothing(struct datagram_socket *s, int err)
{
	struct plait_address nobody = { .family = AF_UNSPEC };

	if (err == EINTR || datagram_tell_errors(s) > 0 || err == EAGAIN)
		return;
	if (datagram_goes_on(&s->base))
		plait_i_datagram_failed(&s->base, err,
					datagram_is_connected(&s->base)
						? &s->base.peer
						: &nobody);
}

/*
 * Reads once, so that a port with much to read does not keep others waiting.
 * With MSG_TRUNC each length is that of the datagram, also of one that was cut.
 */
static void datagram_receive(struct datagram_socket *s)
{
	struct datagram_input *in = datagram_input(s);
	int n;

	if (in == NULL) {
		datagram_read_nothing(s, ENOMEM);
		return;
	}
	n = kernel_recvmmsg(datagram_kernel(s), s->fd, in->msgs,
			    datagram_slots(s), MSG_TRUNC);
	in->used = n > 0 ? (unsigned)n : 0;
	if (n > 1)
		REACHED("several datagrams come together");
	if (n <= 0)
		datagram_read_nothing(s, n < 0 ? errno : EAGAIN);
	for (int i = 0; i < n && datagram_goes_on(&s->base); i++)
		datagram_deliver(s, in, (unsigned)i, i + 1 < n);
}

/* ---- the watch ----------------------------------------------------------- */

static unsigned datagram_wants(const struct datagram_socket *s)
{
	return (s->base.base.pauses == 0 ? PLAIT_WATCH_READ : 0) |
	       (s->base.is_full ? PLAIT_WATCH_WRITE : 0);
}

/* It is of no use any more: who uses it is told why. */
static void datagram_break(struct datagram_socket *s, int err)
{
	s->base.broken = err;
	plait_i_port_end(&s->base.base);
}

static void datagram_watch(struct datagram_socket *s)
{
	int err = plait_watch_change(&s->watch, datagram_wants(s));

	if (err < 0)
		datagram_break(s, -err);
}

static void datagram_on_ready(struct plait_watch *w, unsigned events)
{
	struct datagram_socket *s =
		plait_container(w, struct datagram_socket, watch);

	if (events & PLAIT_WATCH_LOST) {
		s->fd = -1;
		datagram_break(s, EBADF);
		return;
	}
	if ((events & PLAIT_WATCH_WRITE) && s->base.is_full) {
		plait_i_datagram_has_room(&s->base);
		if (datagram_goes_on(&s->base))
			datagram_watch(s);
	}
	if ((events & PLAIT_WATCH_READ) && datagram_goes_on(&s->base) &&
	    s->base.base.pauses == 0)
		datagram_receive(s);
}

int plait_i_datagram_socket_start(struct datagram_socket *s,
				  struct plait_reactor *r, int fd)
{
	int err = plait_watch_start(r, &s->watch, fd, PLAIT_WATCH_READ,
				    datagram_on_ready);

	if (err == 0)
		s->fd = fd;
	return err;
}

/* ---- sending ------------------------------------------------------------- */

/* Room for where datagrams are to be sent from. */
struct datagram_sources {
	union datagram_control controls[DATAGRAM_BATCH];
};

static void datagram_put_sources(struct datagram_out *o,
				 struct datagram_sources *room)
{
	for (unsigned i = 0; i < o->n; i++) {
		if (o->sources & UINT32_C(1) << i)
			datagram_put_source(&o->msgs[i].msg_hdr,
					    &room->controls[i], &o->from[i]);
	}
}

/* The room is gone: the next datagrams have no sources of these. */
static void datagram_drop_sources(struct datagram_out *o)
{
	for (unsigned i = 0; i < o->n; i++) {
		o->msgs[i].msg_hdr.msg_control = NULL;
		o->msgs[i].msg_hdr.msg_controllen = 0;
	}
}

void plait_i_datagram_socket_wait(struct datagram_socket *s, unsigned i)
{
	plait_i_datagram_no_room(&s->base, i);
	if (s->base.base.open)
		datagram_watch(s);
}

/* Whether the one that failed may be tried again. */
static bool datagram_tries_again(struct datagram_socket *s, int err,
				 unsigned *tries)
{
	return ++*tries < MOST_ERRORS &&
	       (err == EINTR || datagram_note_errors(s) > 0);
}

static void datagram_send_all(struct datagram_socket *s)
{
	struct datagram_out *o = s->base.out;
	unsigned i = 0, tries = 0;

	while (i < o->n) {
		int n = kernel_sendmmsg(datagram_kernel(s), s->fd, o->msgs + i,
					o->n - i, MSG_NOSIGNAL);
		int err = n < 0 ? errno : 0;

		if (err == EAGAIN) {
			plait_i_datagram_socket_wait(s, i);
			return;
		}
		if (err != 0 && !datagram_tries_again(s, err, &tries))
			plait_i_datagram_not_sent(&s->base, i++, err);
		if (n > 0) {
			i += (unsigned)n;
			tries = 0;
		}
	}
}

static OUT_OF_LINE void datagram_send_from_sources(struct datagram_socket *s)
{
	struct datagram_sources room;

	datagram_put_sources(s->base.out, &room);
	datagram_send_all(s);
	datagram_drop_sources(s->base.out);
}

void plait_i_datagram_socket_flush(struct datagram_port *d)
{
	struct datagram_socket *s = datagram_socket(&d->base);

	if (d->out->sources != 0)
		datagram_send_from_sources(s);
	else
		datagram_send_all(s);
}

/* ---- the port ------------------------------------------------------------ */

void plait_i_datagram_socket_stop(struct plait_port *p)
{
	plait_watch_stop(&datagram_socket(p)->watch);
}

void plait_i_datagram_socket_pause(struct plait_port *p, bool on)
{
	datagram_watch(datagram_socket(p));
}

void plait_i_datagram_socket_close(struct plait_port *p)
{
	struct datagram_socket *s = datagram_socket(p);

	if (s->fd >= 0)
		plait_i_loop_close(p->reactor, s->fd);
	s->fd = -1;
}

void plait_i_datagram_socket_free(struct plait_port *p)
{
	plait_i_datagram_drop(&datagram_socket(p)->base);
	free(datagram_socket(p));
}
