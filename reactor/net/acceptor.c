/* Ports that accept connections for a factory: see acceptor.h. */
#include <errno.h>

#include "lib/exception.h"
#include "reactor/net/acceptor.h"
#include "reactor/net/guest.h"

static struct acceptor *acceptor(struct plait_port *p)
{
	return plait_self(p, struct acceptor);
}

static OUT_OF_LINE void acceptor_tell_opened(struct acceptor *a)
{
	const struct plait_factory_ops *ops = a->factory->ops;

	/* start() may have forked. */
	if (ops != NULL && ops->port_opened != NULL &&
	    !loop_is_forked(a->port.reactor))
		ops->port_opened(a->factory, &a->port);
	exception_barrier();
}

OUT_OF_LINE void plait_i_acceptor_ended(struct plait_port *p)
{
	struct plait_factory *f = acceptor(p)->factory;

	if (f->ops != NULL && f->ops->port_closed != NULL)
		f->ops->port_closed(f, p);
	exception_barrier();
	if (!loop_is_forked(p->reactor))
		plait_factory_stop(f);
}

void plait_i_acceptor_open(struct acceptor *a, struct plait_reactor *r,
			   struct plait_factory *f,
			   const struct plait_listen_options *options,
			   struct plait_port **ret)
{
	if (ret != NULL)
		*ret = &a->port;
	a->factory = f;
	a->max_connections = options->max_connections;
	a->shed_idle = options->shed_idle;
	plait_list_init(&a->guests);
	plait_i_port_open(&a->port, r);
	plait_i_loop_enter(r);
	plait_factory_start(f);
	acceptor_tell_opened(a);
	plait_i_loop_leave(r);
}

int plait_i_acceptor_listen(struct plait_reactor *r, const char *function,
			    acceptor_maker *make,
			    const struct plait_address *address,
			    const struct plait_listen_options *options,
			    struct plait_factory *f, struct plait_port **ret)
{
	static const struct plait_listen_options defaults;
	const struct network_ops *network;
	struct acceptor *a;
	int err = plait_i_port_check(r, function);

	if (err < 0)
		return err;
	if (options == NULL)
		options = &defaults;
	network = plait_i_loop_network(r);
	if (network != NULL)
		make = network->acceptor;
	err = make(r, address, options, &a);
	if (err < 0)
		return err;
	plait_i_acceptor_open(a, r, f, options, ret);
	return 0;
}
