/*
 * Ports for datagrams: what programs send, and what they are told.
 *
 * A send puts the datagram into out and queues datagram_run_sending(), which
 * runs when the callback has returned.  So a callback that sends 32 datagrams
 * costs one call of the system, and so do 32 callbacks of one event.  Nothing
 * waits for longer than that: what the system refuses then is told by failed(),
 * in the next turn.
 *
 * A port with a queue keeps there what the system has no room for.  The queue
 * is empty unless the port is full, so the order of datagrams is that in which
 * they were sent.
 */
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "lib/chance.h"
#include "lib/exception.h"
#include "reactor/net/datagram.h"
#include "reactor/net/errors.h"

static struct datagram_port *datagram_port(struct plait_port *p)
{
	return plait_self(p, struct datagram_port);
}

static const struct datagram_ops *datagram_ops(const struct datagram_port *d)
{
	return (const struct datagram_ops *)(const void *)d->base.ops;
}

/* ---- what is told -------------------------------------------------------- */

static OUT_OF_LINE void datagram_tell_started(struct datagram_port *d)
{
	struct plait_datagram_protocol *p = d->protocol;

	if (d->started || !d->base.open)
		return;
	d->started = true;
	if (p->ops->started != NULL)
		p->ops->started(p);
	exception_barrier();
}

OUT_OF_LINE void
plait_i_datagram_received(struct datagram_port *d, const void *data, size_t len,
			  const struct plait_datagram_info *info)
{
	struct plait_datagram_protocol *p = d->protocol;

	if (!d->started)
		datagram_tell_started(d);
	if (datagram_goes_on(d) && p->ops->received != NULL)
		p->ops->received(p, data, len, info);
	exception_barrier();
}

static plait_value datagram_failure(int err, const struct plait_address *to)
{
	char where[PLAIT_ADDRESS_SIZE];
	const struct plait_error *kind = &plait_error_os;

	plait_address_str(to, where, sizeof(where));
	if (err == ECONNREFUSED)
		kind = &plait_error_connection_refused;
	else if (err == EHOSTUNREACH || err == ENETUNREACH)
		kind = &plait_error_no_route;
	return plait_fail_errno(kind, err, "datagram to %s", where);
}

static OUT_OF_LINE void datagram_tell_failed(struct datagram_port *d, int err,
					     const struct plait_address *to)
{
	struct plait_datagram_protocol *p = d->protocol;
	plait_value why;

	if (p->ops->failed == NULL)
		return;
	why = datagram_failure(err, to);
	p->ops->failed(p, plait_value_failure(&why), to);
	exception_barrier();
	plait_value_free(&why);
}

void plait_i_datagram_failed(struct datagram_port *d, int err,
			     const struct plait_address *to)
{
	datagram_tell_started(d);
	if (datagram_goes_on(d))
		datagram_tell_failed(d, err, to);
}

static OUT_OF_LINE void datagram_tell_room(struct datagram_port *d)
{
	struct plait_datagram_protocol *p = d->protocol;

	d->owes_room = false;
	if (p->ops->room != NULL)
		p->ops->room(p);
	exception_barrier();
}

/* A callback may send more meanwhile, and that may fail: it is told then. */
static void datagram_tell_failures(struct datagram_port *d)
{
	struct datagram_failure failures[DATAGRAM_BATCH];
	unsigned n = d->out != NULL ? d->out->n_failures : 0;

	if (n == 0)
		return;
	memcpy(failures, d->out->failures, n * sizeof(*failures));
	d->out->n_failures = 0;
	for (unsigned i = 0; i < n && !loop_is_forked(d->base.reactor); i++)
		datagram_tell_failed(d, failures[i].err, &failures[i].to);
}

static void datagram_run_telling(struct loop_task *task)
{
	struct datagram_port *d =
		plait_container(task, struct datagram_port, telling);

	datagram_tell_started(d);
	if (d->started && !loop_is_forked(d->base.reactor))
		datagram_tell_failures(d);
}

static plait_value datagram_end(const struct datagram_port *d)
{
	return d->broken == 0
		       ? plait_connection_done()
		       : plait_fail_errno(&plait_error_connection_lost,
					  d->broken, "port for datagrams");
}

static OUT_OF_LINE void datagram_tell_stopped(struct datagram_port *d)
{
	struct plait_datagram_protocol *p = d->protocol;
	plait_value why;

	if (!d->started || p->ops->stopped == NULL ||
	    loop_is_forked(d->base.reactor))
		return;
	why = datagram_end(d);
	p->ops->stopped(p, plait_value_failure(&why));
	exception_barrier();
	plait_value_free(&why);
}

/* If the port ended before the loop could tell that it began, its end is not
   told either. */
OUT_OF_LINE void plait_i_datagram_ended(struct plait_port *base)
{
	struct datagram_port *d = datagram_port(base);
	struct plait_datagram_protocol *p = d->protocol;

	loop_task_cancel(&d->telling);
	if (d->started)
		datagram_tell_failures(d);
	p->port = NULL;
	datagram_tell_stopped(d);
	d->protocol = NULL;
	if (!loop_is_forked(base->reactor) && p->ops->done != NULL)
		p->ops->done(p);
	exception_barrier();
}

/* ---- sending ------------------------------------------------------------- */

bool plait_i_datagram_may_note(const struct datagram_port *d)
{
	return d->out == NULL || d->out->n_failures < DATAGRAM_BATCH;
}

void plait_i_datagram_unsent(struct datagram_port *d, int err,
			     const struct plait_address *to)
{
	if (d->out == NULL || !plait_i_datagram_may_note(d))
		return;
	d->out->failures[d->out->n_failures++] =
		(struct datagram_failure){ .to = *to, .err = err };
	plait_i_loop_next_turn(d->base.reactor, &d->telling);
}

void plait_i_datagram_destination(const struct datagram_port *d, unsigned i,
				  struct plait_address *ret)
{
	const struct msghdr *m = &d->out->msgs[i].msg_hdr;

	if (m->msg_name != NULL)
		plait_i_address_from_kernel(ret, &d->out->to[i],
					    m->msg_namelen);
	else
		*ret = d->peer;
}

void plait_i_datagram_not_sent(struct datagram_port *d, unsigned i, int err)
{
	struct plait_address to;

	plait_i_datagram_destination(d, i, &to);
	plait_i_datagram_unsent(d, err, &to);
}

/* Much memory is not kept for what may never come again. */
static void datagram_flush(struct datagram_port *d)
{
	enum { KEPT = 16384 };
	struct datagram_out *o = d->out;

	if (o->n == 0)
		return;
	datagram_ops(d)->flush(d);
	o->n = 0;
	o->used = 0;
	o->sources = 0;
	if (o->room <= KEPT)
		return;
	free(o->bytes);
	o->bytes = NULL;
	o->room = 0;
}

static void datagram_run_sending(struct loop_task *task)
{
	datagram_flush(plait_container(task, struct datagram_port, sending));
}

static struct datagram_out *datagram_out_new(void)
{
	struct datagram_out *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	for (unsigned i = 0; i < DATAGRAM_BATCH; i++) {
		o->msgs[i].msg_hdr.msg_iov = &o->pieces[i];
		o->msgs[i].msg_hdr.msg_iovlen = 1;
	}
	return o;
}

/* The bytes move to a larger place: 0 or -ENOMEM. */
static int datagram_out_grow(struct datagram_out *o, size_t len)
{
	unsigned char *bytes;
	size_t room, at = 0;

	for (room = 2048; room < o->used + len; room *= 2)
		;
	bytes = realloc(o->bytes, room);
	if (bytes == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < o->n; i++) {
		o->pieces[i].iov_base = bytes + at;
		at += o->pieces[i].iov_len;
	}
	o->bytes = bytes;
	o->room = room;
	return 0;
}

/* Makes room for one more of that size: 0 or -ENOMEM. */
static inline int datagram_make_room(struct datagram_port *d, size_t len)
{
	if (d->out == NULL)
		d->out = datagram_out_new();
	if (d->out == NULL)
		return -ENOMEM;
	if (d->out->n == DATAGRAM_BATCH || d->out->used + len > DATAGRAM_BYTES)
		datagram_flush(d);
	return d->out->used + len <= d->out->room
		       ? 0
		       : datagram_out_grow(d->out, len);
}

/* The size of the largest datagram.  The headers count; IPv6's own does not.
   What a UNIX socket takes is known to its kernel. */
static size_t datagram_most(int family)
{
	enum { MOST_IPV4 = 65535 - 28, MOST_IPV6 = 65535 - 8 };

	switch (family) {
	case AF_INET:
		return MOST_IPV4;
	case AF_INET6:
		return MOST_IPV6;
	default:
		return INT_MAX;
	}
}

/* Whether a port of that family can send to there. */
static bool datagram_is_place(const struct plait_address *to, int family)
{
	return to->family == family &&
	       (family == AF_UNIX ? to->length > 0 : to->port != 0);
}

/* Whether it may be sent to there: 0 or -errno. */
static int datagram_check(const struct datagram_port *d, size_t len,
			  const struct plait_address *to)
{
	bool connected = datagram_is_connected(d);

	if (connected != (to == NULL))
		return connected ? -EISCONN : -EDESTADDRREQ;
	if (to != NULL && !datagram_is_place(to, d->family))
		return -EINVAL;
	return len > datagram_most(d->family) ? -EMSGSIZE : 0;
}

/* Puts a datagram, for which there is room, behind the others that leave next.
   Its address and source are to be filled in. */
static inline struct msghdr *datagram_put(struct datagram_port *d,
					  const void *data, size_t len)
{
	struct datagram_out *o = d->out;
	unsigned i = o->n++;

	o->pieces[i] = (struct iovec){ .iov_len = len };
	/* Without any bytes there may be no memory for them, either. */
	if (len > 0)
		o->pieces[i].iov_base = memcpy(o->bytes + o->used, data, len);
	o->used += len;
	return &o->msgs[i].msg_hdr;
}

static void datagram_add(struct datagram_port *d, const void *data, size_t len,
			 const struct plait_address *to,
			 const struct plait_address *from)
{
	struct datagram_out *o = d->out;
	unsigned i = o->n;
	struct msghdr *m = datagram_put(d, data, len);

	m->msg_name = to != NULL ? &o->to[i] : NULL;
	m->msg_namelen =
		to != NULL ? plait_i_address_to_kernel(to, &o->to[i]) : 0;
	if (from != NULL) {
		plait_i_address_to_kernel(from, &o->from[i]);
		o->sources |= UINT32_C(1) << i;
	}
	if (i == 0)
		plait_i_loop_after_callback(d->base.reactor, &d->sending);
}

/* ---- the queue ----------------------------------------------------------- */

/* A datagram that waits for room. */
struct queued_datagram {
	struct plait_list link;
	union kernel_address to, from;
	socklen_t to_length; /* 0: to whom the port is connected */
	bool has_source;
	size_t len;
	unsigned char data[];
};

static struct queued_datagram *queue_first(const struct datagram_port *d)
{
	struct plait_list *l = plait_list_first(&d->queue);

	return l != NULL ? plait_container(l, struct queued_datagram, link)
			 : NULL;
}

static size_t queued_size(size_t len)
{
	return sizeof(struct queued_datagram) + len;
}

static void queue_remove(struct datagram_port *d, struct queued_datagram *q)
{
	plait_list_remove(&q->link);
	d->queued -= queued_size(q->len);
	free(q);
}

static void datagram_queue_clear(struct datagram_port *d)
{
	struct queued_datagram *q;

	while ((q = queue_first(d)) != NULL)
		queue_remove(d, q);
}

/* A datagram in the queue before another one, or last; its addresses are to be
   filled in.  NULL: the queue or the memory has no room, as *err says. */
static struct queued_datagram *queue_add(struct datagram_port *d,
					 struct plait_list *before,
					 const void *data, size_t len, int *err)
{
	size_t size = queued_size(len);
	struct queued_datagram *q;

	*err = EAGAIN;
	if (size > d->queue_bytes - d->queued) {
		d->owes_room = true;
		return NULL;
	}
	*err = ENOMEM;
	q = malloc(size);
	if (q == NULL)
		return NULL;
	plait_list_init(&q->link);
	q->to_length = 0;
	q->has_source = false;
	q->len = len;
	if (len > 0)
		memcpy(q->data, data, len);
	plait_list_insert(before, &q->link);
	d->queued += size;
	return q;
}

/* A send when there is no room: 0, -EAGAIN or -ENOMEM. */
static int datagram_wait(struct datagram_port *d, const void *data, size_t len,
			 const struct plait_address *to,
			 const struct plait_address *from)
{
	struct queued_datagram *q;
	int err;

	q = queue_add(d, &d->queue, data, len, &err);
	if (q == NULL)
		return -err;
	if (to != NULL)
		q->to_length = plait_i_address_to_kernel(to, &q->to);
	if (from != NULL)
		plait_i_address_to_kernel(from, &q->from);
	q->has_source = from != NULL;
	return 0;
}

/* Message i was to leave and waits instead, before what waits already: 0 or an
   errno. */
static int datagram_put_off(struct datagram_port *d, unsigned i,
			    struct plait_list *before)
{
	struct datagram_out *o = d->out;
	const struct msghdr *m = &o->msgs[i].msg_hdr;
	struct queued_datagram *q;
	int err;

	q = queue_add(d, before, o->pieces[i].iov_base, o->pieces[i].iov_len,
		      &err);
	if (q == NULL)
		return err;
	if (m->msg_name != NULL) {
		q->to = o->to[i];
		q->to_length = m->msg_namelen;
	}
	q->has_source = (o->sources & UINT32_C(1) << i) != 0;
	if (q->has_source)
		q->from = o->from[i];
	return 0;
}

void plait_i_datagram_no_room(struct datagram_port *d, unsigned i)
{
	struct plait_list *before = d->queue.next;
	int err;

	d->is_full = true;
	for (; i < d->out->n; i++) {
		err = datagram_put_off(d, i, before);
		if (err != 0)
			plait_i_datagram_not_sent(d, i, err);
	}
}

/* Moves the first of the queue to what leaves next, where there is room. */
static void queue_move(struct datagram_port *d)
{
	struct datagram_out *o = d->out;
	struct queued_datagram *q = queue_first(d);
	unsigned i = o->n;
	struct msghdr *m = datagram_put(d, q->data, q->len);

	m->msg_name = NULL;
	m->msg_namelen = q->to_length;
	if (q->to_length > 0) {
		o->to[i] = q->to;
		m->msg_name = &o->to[i];
	}
	if (q->has_source) {
		o->from[i] = q->from;
		o->sources |= UINT32_C(1) << i;
	}
	queue_remove(d, q);
}

/* What waits first is dropped, as there is no memory to send it. */
static void queue_drop(struct datagram_port *d)
{
	struct queued_datagram *q = queue_first(d);
	struct plait_address to = d->peer;

	if (q->to_length > 0)
		plait_i_address_from_kernel(&to, &q->to, q->to_length);
	plait_i_datagram_unsent(d, ENOMEM, &to);
	queue_remove(d, q);
}

/* Sends what waits, until the system has no room. */
static void datagram_drain(struct datagram_port *d)
{
	while (!d->is_full && queue_first(d) != NULL) {
		if (datagram_make_room(d, queue_first(d)->len) < 0)
			queue_drop(d);
		else if (!d->is_full)
			queue_move(d);
	}
	datagram_flush(d);
}

void plait_i_datagram_has_room(struct datagram_port *d)
{
	d->is_full = false;
	if (queue_first(d) != NULL) {
		REACHED("datagrams that have waited leave");
		datagram_drain(d);
	}
	if (!d->is_full && d->owes_room)
		datagram_tell_room(d);
}

void plait_i_datagram_drop(struct datagram_port *d)
{
	loop_task_cancel(&d->sending);
	loop_task_cancel(&d->telling);
	datagram_queue_clear(d);
	if (d->out != NULL)
		free(d->out->bytes);
	free(d->out);
}

/* ---- sending to there ---------------------------------------------------- */

static int datagram_send_from(struct plait_datagram_protocol *p,
			      const void *data, size_t len,
			      const struct plait_address *to,
			      const struct plait_address *from,
			      const char *where)
{
	struct datagram_port *d;
	int err;

	if (p == NULL || p->port == NULL)
		return -ENOTCONN;
	d = datagram_port(p->port);
	loop_check(d->base.reactor, where);
	if (!datagram_goes_on(d))
		return -ENOTCONN;
	err = datagram_check(d, len, to);
	if (err == 0 && !d->is_full)
		err = datagram_make_room(d, len);
	if (err < 0)
		return err;
	/* Making room may have sent, and found that the system has none. */
	if (d->is_full)
		return datagram_wait(d, data, len, to, from);
	datagram_add(d, data, len, to, from);
	return 0;
}

int plait_datagram_send(struct plait_datagram_protocol *p, const void *data,
			size_t len, const struct plait_address *to)
{
	return datagram_send_from(p, data, len, to, NULL,
				  "plait_datagram_send()");
}

int plait_datagram_reply(struct plait_datagram_protocol *p, const void *data,
			 size_t len, const struct plait_datagram_info *info)
{
	const struct plait_address *to = info->from;

	if (p == NULL || p->port == NULL)
		return -ENOTCONN;
	if (datagram_is_connected(datagram_port(p->port)))
		to = NULL;
	return datagram_send_from(p, data, len, to, info->to,
				  "plait_datagram_reply()");
}

/* ---- groups -------------------------------------------------------------- */

static int datagram_group(struct plait_datagram_protocol *p,
			  const struct plait_address *group,
			  unsigned interface_index,
			  const struct plait_address *source, bool joins)
{
	struct datagram_port *d;

	if (p == NULL || p->port == NULL)
		return -ENOTCONN;
	d = datagram_port(p->port);
	loop_check(d->base.reactor,
		   joins ? "plait_datagram_join()" : "plait_datagram_leave()");
	if (!datagram_goes_on(d))
		return -ENOTCONN;
	return datagram_ops(d)->group(d, group, interface_index, source, joins);
}

int plait_datagram_join(struct plait_datagram_protocol *p,
			const struct plait_address *group,
			unsigned interface_index,
			const struct plait_address *source)
{
	return datagram_group(p, group, interface_index, source, true);
}

int plait_datagram_leave(struct plait_datagram_protocol *p,
			 const struct plait_address *group,
			 unsigned interface_index,
			 const struct plait_address *source)
{
	return datagram_group(p, group, interface_index, source, false);
}

/* ---- life ---------------------------------------------------------------- */

void plait_i_datagram_open(struct datagram_port *d, struct plait_reactor *r,
			   struct plait_datagram_protocol *p,
			   struct plait_port **ret)
{
	d->protocol = p;
	plait_list_init(&d->queue);
	d->sending.run = datagram_run_sending;
	d->telling.run = datagram_run_telling;
	p->port = &d->base;
	if (ret != NULL)
		*ret = &d->base;
	plait_i_port_open(&d->base, r);
	plait_i_loop_next_turn(r, &d->telling);
}
