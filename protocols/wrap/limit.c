/*
 * Limits on how many connections there are.
 *
 * A connection counts from before its protocol is built, so that the functions
 * that are called then see it, until its wrapper is freed.  That is the last
 * step: it comes after the protocol was told of the loss, and also if the
 * protocol was never connected.  So each connection is counted back exactly
 * once.
 *
 * The networks of peers are in a hash table that grows with them and is freed
 * with the last.  The address of the table in memory is part of the hash, so a
 * stranger cannot choose addresses that fall into one list.
 *
 * While the factory waits, every port of the factory is paused, and so is a
 * port that is opened then.
 */
#include <errno.h>
#include <stdlib.h>

#include <plait/limit.h>

enum { FIRST_LISTS = 16, IPV4_BITS = 32, IPV6_BITS = 64 };

/* The wrapper of a connection that is counted. */
struct limited {
	struct plait_wrapper base;
	struct plait_limited_factory *factory; /* NULL: not counted */
	struct limited_network *network;       /* NULL: not by network */
};

struct limited_network {
	struct plait_list link;
	struct plait_address address;
	unsigned connections;
};

struct limited_port {
	struct plait_list link;
	struct plait_port *port;
};

static struct plait_limited_factory *limited_factory_of(struct plait_factory *f)
{
	return plait_self(f, struct plait_limited_factory);
}

static struct limited_network *network_of(struct plait_list *l)
{
	return plait_container(l, struct limited_network, link);
}

/* ---- networks -------------------------------------------------------- */

/* FNV-1a over the text, which is different for different addresses. */
static struct plait_list *network_list(const struct plait_limited_factory *f,
				       const struct plait_address *a)
{
	uint64_t hash = (uintptr_t)f->networks ^ 0xcbf29ce484222325;
	char text[PLAIT_ADDRESS_SIZE];

	plait_address_host(a, text, sizeof(text));
	for (const char *c = text; *c != '\0'; c++)
		hash = (hash ^ (unsigned char)*c) * 0x100000001b3;
	return &f->networks[(hash ^ hash >> 32) % f->n_lists];
}

static struct limited_network *
network_find(const struct plait_limited_factory *f,
	     const struct plait_address *a)
{
	struct plait_list *list, *l;

	if (f->networks == NULL)
		return NULL;
	list = network_list(f, a);
	plait_list_for_each (l, list) {
		if (plait_address_equal(&network_of(l)->address, a))
			return network_of(l);
	}
	return NULL;
}

/* Makes more lists, if there is memory; otherwise the lists get longer. */
static void networks_grow(struct plait_limited_factory *f)
{
	size_t n_old = f->n_lists;
	size_t n = n_old > 0 ? 2 * n_old : FIRST_LISTS;
	struct plait_list *old = f->networks, *l;
	struct plait_list *lists = calloc(n, sizeof(*lists));

	if (lists == NULL)
		return;
	f->networks = lists;
	f->n_lists = n;
	for (size_t i = 0; i < n; i++)
		plait_list_init(&lists[i]);
	for (size_t i = 0; i < n_old; i++) {
		while ((l = plait_list_first(&old[i])) != NULL) {
			plait_list_remove(l);
			plait_list_append(
				network_list(f, &network_of(l)->address), l);
		}
	}
	free(old);
}

/* Frees the table if there are no networks. */
static void networks_shrink(struct plait_limited_factory *f)
{
	if (f->n_networks > 0)
		return;
	free(f->networks);
	f->networks = NULL;
	f->n_lists = 0;
}

/* Returns NULL with ENOMEM in errno if there is no memory. */
static struct limited_network *network_new(struct plait_limited_factory *f,
					   const struct plait_address *a)
{
	struct limited_network *net;

	if (f->n_networks >= f->n_lists)
		networks_grow(f);
	net = f->networks != NULL ? malloc(sizeof(*net)) : NULL;
	if (net == NULL) {
		networks_shrink(f);
		errno = ENOMEM;
		return NULL;
	}
	*net = (struct limited_network){ .address = *a };
	plait_list_append(network_list(f, a), &net->link);
	f->n_networks++;
	return net;
}

static void network_leave(struct plait_limited_factory *f,
			  struct limited_network *net)
{
	if (net == NULL || --net->connections > 0)
		return;
	plait_list_remove(&net->link);
	free(net);
	f->n_networks--;
	networks_shrink(f);
}

/* ---- ports that wait ------------------------------------------------- */

static bool limited_is_full(const struct plait_limited_factory *f)
{
	return f->max_connections > 0 && f->connections >= f->max_connections;
}

static void ports_wait(struct plait_limited_factory *f,
		       const struct plait_address *peer)
{
	struct plait_list *l;

	if (!f->wait || f->waiting || plait_list_is_empty(&f->ports) ||
	    !limited_is_full(f))
		return;
	f->waiting = true;
	f->waits++;
	plait_list_for_each (l, &f->ports)
		plait_port_pause_accepting(
			plait_container(l, struct limited_port, link)->port);
	if (f->limited != NULL)
		f->limited(f, PLAIT_LIMITED_PORTS, peer);
}

static void ports_go_on(struct plait_limited_factory *f)
{
	struct plait_list *l;

	if (!f->waiting || limited_is_full(f))
		return;
	f->waiting = false;
	plait_list_for_each (l, &f->ports)
		plait_port_resume_accepting(
			plait_container(l, struct limited_port, link)->port);
}

/* A port for which there is no memory does not wait: it refuses. */
static void limited_port_opened(struct plait_factory *base,
				struct plait_port *port)
{
	struct plait_limited_factory *f = limited_factory_of(base);
	struct limited_port *p = malloc(sizeof(*p));

	if (p != NULL) {
		*p = (struct limited_port){ .port = port };
		plait_list_append(&f->ports, &p->link);
	}
	if (p != NULL && f->waiting)
		plait_port_pause_accepting(port);
	plait_wrapping_factory_port_opened(base, port);
}

/* Forgets that port, or all ports if it is NULL. */
static void ports_forget(struct plait_limited_factory *f,
			 const struct plait_port *port)
{
	struct plait_list *l, *next;
	struct limited_port *p;

	if (plait_list_is_empty(&f->ports))
		return;
	plait_list_for_each_safe (l, next, &f->ports) {
		p = plait_container(l, struct limited_port, link);
		if (port != NULL && p->port != port)
			continue;
		plait_list_remove(l);
		free(p);
	}
}

static void limited_port_closed(struct plait_factory *base,
				struct plait_port *port)
{
	ports_forget(limited_factory_of(base), port);
	plait_wrapping_factory_port_closed(base, port);
}

/* ---- connections ----------------------------------------------------- */

/* The reason is not a lack of memory: the program has set the limit. */
static struct plait_protocol *limited_refuse(struct plait_limited_factory *f,
					     enum plait_limited what,
					     const struct plait_address *peer)
{
	if (what == PLAIT_LIMITED_TOTAL)
		f->refused_total++;
	else
		f->refused_address++;
	if (f->limited != NULL)
		f->limited(f, what, peer);
	errno = 0;
	return NULL;
}

static void limited_leave(struct plait_limited_factory *f,
			  struct limited_network *net)
{
	f->connections--;
	network_leave(f, net);
	ports_go_on(f);
}

/* Counts the connection and builds its protocol; net is NULL if it does not
   count by network. */
static struct plait_protocol *limited_admit(struct plait_limited_factory *f,
					    struct limited_network *net,
					    const struct plait_address *peer)
{
	struct plait_protocol *p;
	int err;

	f->connections++;
	if (net != NULL)
		net->connections++;
	p = plait_wrapping_factory_build_protocol(&f->base.base, peer);
	if (p == NULL) {
		err = errno;
		limited_leave(f, net);
		errno = err;
		return NULL;
	}
	plait_self(p, struct limited)->factory = f;
	plait_self(p, struct limited)->network = net;
	ports_wait(f, peer);
	return p;
}

/* Gives the network of the peer; false if it does not count by network. */
static bool limited_counts(const struct plait_limited_factory *f,
			   const struct plait_address *peer,
			   struct plait_address *ret)
{
	static const struct plait_address none;

	plait_address_network(peer, IPV4_BITS, IPV6_BITS, ret);
	return f->max_per_address > 0 && !plait_address_equal(ret, &none);
}

static struct plait_protocol *limited_build(struct plait_factory *base,
					    const struct plait_address *peer)
{
	struct plait_limited_factory *f = limited_factory_of(base);
	struct limited_network *net = NULL;
	struct plait_address address;

	if (limited_is_full(f))
		return limited_refuse(f, PLAIT_LIMITED_TOTAL, peer);
	if (!limited_counts(f, peer, &address))
		return limited_admit(f, NULL, peer);
	net = network_find(f, &address);
	if (net != NULL && net->connections >= f->max_per_address)
		return limited_refuse(f, PLAIT_LIMITED_ADDRESS, peer);
	if (net == NULL)
		net = network_new(f, &address);
	return net != NULL ? limited_admit(f, net, peer) : NULL;
}

static void limited_done(struct plait_protocol *p)
{
	struct limited *self = plait_self(p, struct limited);

	plait_wrapper_done(p);
	if (self->factory != NULL)
		limited_leave(self->factory, self->network);
}

static const struct plait_protocol_ops limited_protocol_ops = {
	.name = "limited",
	.size = sizeof(struct limited),
	.base_size = sizeof(struct plait_wrapper),
	.connection_made = plait_wrapper_connection_made,
	.data_received = plait_wrapper_data_received,
	.read_connection_lost = plait_wrapper_read_connection_lost,
	.write_connection_lost = plait_wrapper_write_connection_lost,
	.done = limited_done,
};

static const struct plait_factory_ops limited_factory_ops = {
	.name = "limited",
	.start = plait_wrapping_factory_start,
	.stop = plait_wrapping_factory_stop,
	.build_protocol = limited_build,
	.started_connecting = plait_wrapping_factory_started_connecting,
	.connection_failed = plait_wrapping_factory_connection_failed,
	.connection_lost = plait_wrapping_factory_connection_lost,
	.port_full = plait_wrapping_factory_port_full,
	.port_opened = limited_port_opened,
	.port_closed = limited_port_closed,
};

void plait_limited_factory_init(struct plait_limited_factory *f,
				struct plait_factory *inner)
{
	static const struct plait_transport_ops transport_ops = {
		.name = "limited",
	};

	f->base.base.ops = &limited_factory_ops;
	f->base.base.protocol = &limited_protocol_ops;
	f->base.inner = inner;
	f->base.transport = &transport_ops;
	plait_list_init(&f->ports);
}

void plait_limited_factory_done(struct plait_limited_factory *f)
{
	ports_forget(f, NULL);
}

unsigned
plait_limited_factory_connections_of(const struct plait_limited_factory *f,
				     const struct plait_address *peer)
{
	struct limited_network *net = NULL;
	struct plait_address address;

	if (limited_counts(f, peer, &address))
		net = network_find(f, &address);
	return net != NULL ? net->connections : 0;
}
