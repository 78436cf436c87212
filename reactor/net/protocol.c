/*
 * Protocols and factories as objects: making and freeing protocols, and
 * counting the users of a factory.  telling.c calls the callbacks of a
 * connection.
 *
 * A factory is in use while its count is above 0.  start() is called when the
 * count becomes 1, and stop() when it is 0 again.  This may happen any number
 * of times.
 *
 * Of a factory that has done(), the protocols are counted, too, and the
 * transports that they make above their own.  No other
 * factory is touched when a protocol is freed: it may have freed itself in
 * stop().
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/exception.h"
#include "reactor/net/protocol.h"

/* If the struct is too small, the library would write beyond its end. */
static size_t protocol_size(const struct plait_protocol_ops *ops)
{
	size_t least = ops->base_size != 0 ? ops->base_size
					   : sizeof(struct plait_protocol);

	if (ops->size != 0 && ops->size < least)
		plait_die("plait_protocol_new",
			  "table \"%s\": size is %zu, but its struct begins "
			  "with one of %zu",
			  ops->name != NULL ? ops->name : "", ops->size, least);
	return ops->size != 0 ? ops->size : least;
}

/* A C++ constructor leaves the base as it likes, so that is filled after it. */
static OUT_OF_LINE int protocol_init(const struct plait_protocol_ops *ops,
				     struct plait_protocol *p)
{
	int err = ops->init != NULL ? ops->init(p) : 0;

	exception_barrier();
	return err;
}

struct plait_protocol *plait_protocol_new(const struct plait_protocol_ops *ops)
{
	size_t size = protocol_size(ops);
	/* Not calloc(): glibc's does not reuse the memory that was freed last.
	 */
	struct plait_protocol *p = malloc(size);
	int err = -ENOMEM;

	if (p != NULL) {
		memset(p, 0, size);
		err = protocol_init(ops, p);
	}
	if (err == 0) {
		*p = (struct plait_protocol){ .ops = ops };
		return p;
	}
	free(p);
	errno = -err;
	return NULL;
}

OUT_OF_LINE void plait_i_protocol_done(struct plait_protocol *p)
{
	if (p->ops->done != NULL)
		p->ops->done(p);
	exception_barrier();
}

/* Nothing of the library uses the factory any more, and it may free itself. */
static OUT_OF_LINE void factory_end(struct plait_factory *f)
{
	if (f->users == 0 && f->held == 0)
		f->ops->done(f);
	exception_barrier();
}

struct plait_factory *plait_i_factory_hold(struct plait_factory *f)
{
	if (f == NULL || f->ops == NULL || f->ops->done == NULL)
		return NULL;
	f->held++;
	return f;
}

void plait_i_factory_drop(struct plait_factory *f)
{
	if (f == NULL)
		return;
	f->held--;
	factory_end(f);
}

void plait_i_protocol_release(struct plait_protocol *p)
{
	struct plait_factory *f = p->counted ? p->factory : NULL;

	free(p);
	plait_i_factory_drop(f);
}

void plait_protocol_free(struct plait_protocol **pp)
{
	struct plait_protocol *p = pp != NULL ? *pp : NULL;

	if (p == NULL)
		return;
	*pp = NULL;
	plait_i_protocol_done(p);
	plait_i_protocol_release(p);
}

void plait_protocol_cleanup(struct plait_protocol **pp)
{
	plait_protocol_free(pp);
}

OUT_OF_LINE void plait_factory_start(struct plait_factory *f)
{
	if (f->users++ == 0 && f->ops != NULL && f->ops->start != NULL)
		f->ops->start(f);
	exception_barrier();
}

/* A factory without done() may free itself in stop(). */
OUT_OF_LINE void plait_factory_stop(struct plait_factory *f)
{
	const struct plait_factory_ops *ops = f->ops;

	if (f->users == 0 || --f->users > 0 || ops == NULL)
		return;
	if (ops->stop != NULL)
		ops->stop(f);
	if (ops->done != NULL)
		factory_end(f);
	exception_barrier();
}

bool plait_factory_is_used(const struct plait_factory *f)
{
	return f->users > 0;
}

static struct plait_protocol *factory_build(struct plait_factory *f,
					    const struct plait_address *peer)
{
	if (f->ops != NULL && f->ops->build_protocol != NULL)
		return f->ops->build_protocol(f, peer);
	return f->protocol != NULL ? plait_protocol_new(f->protocol) : NULL;
}

OUT_OF_LINE struct plait_protocol *
plait_factory_build_protocol(struct plait_factory *f,
			     const struct plait_address *peer)
{
	struct plait_protocol *p;

	errno = 0;
	p = factory_build(f, peer);
	exception_barrier();
	if (p == NULL)
		return NULL;
	p->factory = f;
	p->counted = plait_i_factory_hold(f) != NULL;
	return p;
}
