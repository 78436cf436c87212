/*
 * Descriptors, and what the sockets of all families have in common.
 *
 * A descriptor is in the list of those that are ready exactly while an event is
 * due for its watch.  Whatever changes a socket calls plait_i_socket_changed(),
 * so that a wait need not look at any descriptor that has nothing to tell.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/simulation/world.h"

/* 0, 1 and 2 are not for plait: kernel.h. */
enum { FIRST_DESCRIPTOR = 3 };

/* ---- descriptors --------------------------------------------------------- */

void plait_i_descriptors_init(struct descriptors *ds)
{
	*ds = (struct descriptors){ 0 };
	plait_list_init(&ds->ready);
}

/* Makes room for that number; 0 or -ENOMEM. */
static int descriptors_grow(struct descriptors *ds, size_t fd)
{
	size_t n = ds->n > 0 ? ds->n : 16;
	struct descriptor **slots;

	if (fd < ds->n)
		return 0;
	while (n <= fd)
		n *= 2;
	slots = realloc(ds->slots, n * sizeof(*slots));
	if (slots == NULL)
		return -ENOMEM;
	for (size_t i = ds->n; i < n; i++)
		slots[i] = NULL;
	ds->slots = slots;
	ds->n = n;
	return 0;
}

static size_t descriptors_lowest_free(struct descriptors *ds)
{
	if (ds->lowest < FIRST_DESCRIPTOR)
		ds->lowest = FIRST_DESCRIPTOR;
	while (ds->lowest < ds->n && ds->slots[ds->lowest] != NULL)
		ds->lowest++;
	return ds->lowest;
}

static int descriptor_new(struct descriptors *ds, size_t most, size_t fd,
			  enum descriptor_kind kind)
{
	struct descriptor *d;

	if (fd >= most)
		return -EMFILE;
	if (descriptors_grow(ds, fd) < 0)
		return -ENOMEM;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return -ENOMEM;
	*d = (struct descriptor){ .of = ds, .fd = (int)fd, .kind = kind };
	ds->slots[fd] = d;
	ds->open++;
	if (kind == DESCRIPTOR_WAKER)
		ds->waker = d;
	return d->fd;
}

int plait_i_descriptor_open(struct descriptors *ds, size_t most,
			    enum descriptor_kind kind)
{
	return descriptor_new(ds, most, descriptors_lowest_free(ds), kind);
}

int plait_i_descriptor_give(struct descriptors *ds, size_t most, int fd,
			    enum descriptor_kind kind)
{
	int rc = descriptor_new(ds, most, (size_t)fd, kind);

	if (rc < 0)
		return rc;
	ds->slots[fd]->is_given = true;
	return 0;
}

int plait_i_descriptor_take(struct descriptor *d, size_t most)
{
	struct descriptors *ds = d->of;
	size_t fd = (size_t)d->fd;

	if (fd < FIRST_DESCRIPTOR)
		fd = descriptors_lowest_free(ds);
	if (fd >= most)
		return -EMFILE;
	if (descriptors_grow(ds, fd) < 0)
		return -ENOMEM;
	ds->slots[d->fd] = NULL;
	ds->slots[fd] = d;
	d->fd = (int)fd;
	d->is_given = false;
	return 0;
}

void plait_i_descriptor_make_null(struct descriptor *d)
{
	struct sim_socket *s = d->socket;

	plait_list_remove(&d->ready);
	d->socket = NULL;
	d->kind = DESCRIPTOR_NULL;
	s->descriptor = NULL;
	s->ops->release(s);
}

size_t plait_i_descriptors_of_plait(const struct descriptors *ds)
{
	size_t n = 0;

	for (size_t i = 0; i < ds->n; i++)
		n += ds->slots[i] != NULL && !ds->slots[i]->is_given;
	return n;
}

void plait_i_descriptor_set_socket(struct descriptor *d, struct sim_socket *s)
{
	d->socket = s;
	s->descriptor = d;
}

struct descriptor *plait_i_descriptor_find(const struct descriptors *ds, int fd)
{
	return fd >= 0 && (size_t)fd < ds->n ? ds->slots[fd] : NULL;
}

void plait_i_descriptor_close(struct descriptor *d)
{
	struct descriptors *ds = d->of;
	struct sim_socket *s = d->socket;

	plait_list_remove(&d->ready);
	ds->slots[d->fd] = NULL;
	ds->open--;
	if ((size_t)d->fd < ds->lowest)
		ds->lowest = (size_t)d->fd;
	if (ds->waker == d)
		ds->waker = NULL;
	free(d);
	if (s == NULL)
		return;
	s->descriptor = NULL;
	s->ops->release(s);
}

void plait_i_descriptors_close_all(struct host_kernel *k)
{
	struct descriptors *ds = &k->descriptors;

	for (size_t i = 0; i < ds->n; i++) {
		if (ds->slots[i] != NULL)
			plait_i_descriptor_close(ds->slots[i]);
	}
	free(ds->slots);
	ds->slots = NULL;
	ds->n = ds->lowest = 0;
}

/* ---- readiness ----------------------------------------------------------- */

/* As epoll.c gives them. */
static unsigned descriptor_from_poll(unsigned events)
{
	unsigned end = events & POLLRDHUP ? WATCH_HANGUP | WATCH_END : 0;

	if (events & (POLLERR | POLLHUP))
		return PLAIT_WATCH_READ | PLAIT_WATCH_WRITE | WATCH_HANGUP |
		       end;
	return (events & POLLIN ? PLAIT_WATCH_READ : 0) |
	       (events & POLLOUT ? PLAIT_WATCH_WRITE : 0) | end;
}

/* A hang-up lasts.  If nothing else is waited for, it is told once. */
static bool descriptor_is_told_once(const struct descriptor *d)
{
	return d->wants == WATCH_HANGUP;
}

unsigned plait_i_descriptor_events(const struct descriptor *d)
{
	unsigned events;

	if (d->wants == 0 || d->socket == NULL)
		return 0;
	events = d->socket->ops->readiness(d->socket);
	if (descriptor_is_told_once(d) &&
	    (events & (POLLRDHUP | POLLHUP | POLLERR) & ~d->told) == 0)
		return 0;
	return descriptor_from_poll(events) & d->wants;
}

static void descriptor_look(struct descriptor *d)
{
	if (plait_i_descriptor_events(d) == 0)
		plait_list_remove(&d->ready);
	else if (!plait_list_is_linked(&d->ready))
		plait_list_append(&d->of->ready, &d->ready);
}

void plait_i_descriptor_watch(struct descriptor *d, unsigned wants,
			      uint32_t generation)
{
	d->wants = wants;
	d->told = 0;
	d->generation = generation;
	descriptor_look(d);
}

void plait_i_descriptor_told(struct descriptor *d)
{
	plait_list_remove(&d->ready);
	if (descriptor_is_told_once(d))
		d->told = d->socket->ops->readiness(d->socket);
	descriptor_look(d);
}

void plait_i_socket_changed(struct sim_socket *s)
{
	if (s->descriptor != NULL && s->descriptor->wants != 0)
		descriptor_look(s->descriptor);
}

void plait_i_socket_woken(struct sim_socket *s)
{
	if (s->descriptor != NULL)
		s->descriptor->told = 0;
	plait_i_socket_changed(s);
}

/* ---- options ------------------------------------------------------------- */

int plait_i_option_give(const void *own, socklen_t size, void *value,
			socklen_t *len)
{
	if (*len > size)
		*len = size;
	memcpy(value, own, *len);
	return 0;
}

int plait_i_option_take(void *own, socklen_t size, const void *value,
			socklen_t len)
{
	if (len < size)
		return -EINVAL;
	memcpy(own, value, size);
	return 0;
}

/* ---- pieces -------------------------------------------------------------- */

size_t plait_i_pieces_size(const struct iovec *pieces, size_t n)
{
	size_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += pieces[i].iov_len;
	return sum;
}

size_t plait_i_pieces_fill(const struct iovec *pieces, size_t n, size_t at,
			   const void *data, size_t len)
{
	size_t done = 0;

	for (size_t i = 0; i < n && done < len; i++) {
		size_t room = pieces[i].iov_len;
		size_t count = room > at ? room - at : 0;

		if (count > len - done)
			count = len - done;
		if (count > 0)
			memcpy((char *)pieces[i].iov_base + at,
			       (const char *)data + done, count);
		done += count;
		at = at > room ? at - room : 0;
	}
	return done;
}

size_t plait_i_pieces_take(const struct iovec *pieces, size_t n, size_t at,
			   void *data, size_t len)
{
	size_t done = 0;

	for (size_t i = 0; i < n && done < len; i++) {
		size_t there = pieces[i].iov_len;
		size_t count = there > at ? there - at : 0;

		if (count > len - done)
			count = len - done;
		if (count > 0)
			memcpy((char *)data + done,
			       (const char *)pieces[i].iov_base + at, count);
		done += count;
		at = at > there ? at - there : 0;
	}
	return done;
}

/* ---- packets ------------------------------------------------------------- */

int64_t plait_i_socket_fly(struct wire_packet *p, int64_t not_before)
{
	struct plait_host *h = p->from;

	if (p->to == h && h->simulation->immediate) {
		plait_list_append(&h->sockets.home, &p->link);
		return 0;
	}
	plait_list_append(&h->sockets.flying, &p->link);
	return plait_i_wire_send(p, not_before);
}

static struct wire_packet *packet_first(const struct plait_list *packets)
{
	struct plait_list *l = plait_list_first(packets);

	return l != NULL ? plait_container(l, struct wire_packet, link) : NULL;
}

void plait_i_sockets_settle(struct plait_host *h)
{
	struct wire_packet *p;

	while ((p = packet_first(&h->sockets.home)) != NULL)
		p->ops->arrived(p, false);
}

/* ---- sockets ------------------------------------------------------------- */

void plait_i_socket_init(struct sim_socket *s, const struct socket_ops *ops,
			 struct plait_host *h, int family)
{
	*s = (struct sim_socket){ .ops = ops, .host = h, .family = family };
	plait_list_append(&h->sockets.all, &s->link);
}

void plait_i_socket_done(struct sim_socket *s)
{
	plait_list_remove(&s->link);
	if (s->descriptor == NULL)
		return;
	plait_list_remove(&s->descriptor->ready);
	s->descriptor->socket = NULL;
	s->descriptor = NULL;
}

void plait_i_sockets_init(struct plait_host *h)
{
	struct host_sockets *hs = &h->sockets;

	plait_list_init(&hs->all);
	plait_list_init(&hs->flying);
	plait_list_init(&hs->home);
	for (size_t i = 0; i < SOCKET_BUCKETS; i++) {
		plait_list_init(&hs->ports[i]);
		plait_list_init(&hs->pairs[i]);
		plait_list_init(&hs->udp_ports[i]);
	}
	plait_i_random_init(&hs->udp_chance, h->chance.state, "udp");
}

void plait_i_sockets_crash(struct plait_host *h)
{
	struct plait_list *l;

	while ((l = plait_list_first(&h->sockets.all)) != NULL) {
		struct sim_socket *s =
			plait_container(l, struct sim_socket, link);

		s->ops->destroy(s);
	}
}

void plait_i_sockets_done(struct plait_host *h)
{
	struct wire_packet *p;

	plait_i_sockets_crash(h);
	while ((p = packet_first(&h->sockets.home)) != NULL)
		p->ops->drop(p);
	while ((p = packet_first(&h->sockets.flying)) != NULL) {
		plait_i_wire_forget(p);
		p->ops->drop(p);
	}
}

void plait_i_socket_choose_ip(const struct sim_socket *s,
			      const struct place *to, struct place *ret)
{
	const struct plait_host *h = s->host;
	uint16_t port = ret->port;

	*ret = *to;
	ret->port = port;
	if (plait_i_place_is_any(to) || plait_i_place_is_loopback(to))
		plait_i_place_set_loopback(ret);
	else if (plait_i_host_at(s->host, &to->ip) != h)
		plait_i_place_set_host(ret, plait_i_place_is_ipv4(to),
				       h->number);
}

size_t plait_i_sockets_count(const struct plait_host *h)
{
	struct plait_list *l;
	size_t n = 0;

	plait_list_for_each (l, &h->sockets.all) {
		struct sim_socket *s =
			plait_container(l, struct sim_socket, link);

		n += !s->ops->is_over(s);
	}
	return n;
}
