/*
 * Ports for datagrams on a testing reactor: what is sent is kept for the test,
 * and the test plays who sends.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include <plait/testing.h>

#include "reactor/net/datagram.h"
#include "reactor/testing/testing_datagram.h"

/* As testing.c: for a port that asks for 0. */
enum { FREE_PORT = 49152, DEFAULT_SIZE = 4096 };

/* A datagram that was sent. */
struct sent_datagram {
	struct plait_list link;
	struct plait_address to;
	struct plait_buf *data;
};

struct testing_datagrams {
	struct datagram_port base;
	struct plait_list sent;
	size_t max_size;
	bool tells_local;
	bool is_full; /* the test says that there is no room */
};

static struct testing_datagrams *testing_datagrams(struct plait_port *p)
{
	return plait_self(p, struct testing_datagrams);
}

/* ---- what the port does -------------------------------------------------- */

static struct sent_datagram *sent_datagram_new(const struct datagram_port *d,
					       unsigned i)
{
	struct sent_datagram *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	plait_i_datagram_destination(d, i, &s->to);
	s->data = plait_buf_copy(d->out->pieces[i].iov_base,
				 d->out->pieces[i].iov_len);
	if (s->data != NULL)
		return s;
	free(s);
	return NULL;
}

static void testing_datagrams_flush(struct datagram_port *d)
{
	struct testing_datagrams *t = testing_datagrams(&d->base);

	if (t->is_full) {
		plait_i_datagram_no_room(d, 0);
		return;
	}
	for (unsigned i = 0; i < d->out->n; i++) {
		struct sent_datagram *s = sent_datagram_new(d, i);

		if (s != NULL)
			plait_list_append(&t->sent, &s->link);
		else
			plait_i_datagram_not_sent(d, i, ENOBUFS);
	}
}

static int testing_datagrams_group(struct datagram_port *d,
				   const struct plait_address *group,
				   unsigned interface_index,
				   const struct plait_address *source,
				   bool joins)
{
	return 0;
}

static void testing_datagrams_stop(struct plait_port *p)
{
}

static struct sent_datagram *
testing_datagrams_first(struct testing_datagrams *t)
{
	struct plait_list *l = plait_list_first(&t->sent);

	return l != NULL ? plait_container(l, struct sent_datagram, link)
			 : NULL;
}

static void testing_datagrams_free(struct plait_port *p)
{
	struct testing_datagrams *t = testing_datagrams(p);
	struct sent_datagram *s;

	while ((s = testing_datagrams_first(t)) != NULL) {
		plait_list_remove(&s->link);
		plait_buf_unref(&s->data);
		free(s);
	}
	plait_i_datagram_drop(&t->base);
	free(t);
}

static const struct datagram_ops testing_datagram_ops = {
	.port.stop = testing_datagrams_stop,
	.port.close = testing_datagrams_stop,
	.port.ended = plait_i_datagram_ended,
	.port.free = testing_datagrams_free,
	.flush = testing_datagrams_flush,
	.group = testing_datagrams_group,
};

int plait_i_testing_datagrams(struct plait_reactor *r,
			      const struct plait_address *at,
			      const struct plait_address *peer,
			      const struct plait_udp_options *options,
			      struct datagram_port **ret)
{
	struct testing_datagrams *t = calloc(1, sizeof(*t));
	struct plait_address own = *at;
	int err;

	if (t == NULL)
		return -ENOMEM;
	if (own.port == 0 && own.family != AF_UNIX)
		own.port = FREE_PORT;
	plait_list_init(&t->sent);
	t->base.base.ops = &testing_datagram_ops.port;
	t->base.peer = *peer;
	t->max_size = options->max_size != 0 ? options->max_size : DEFAULT_SIZE;
	t->tells_local = options->tell_local;
	err = plait_i_address_keep(&t->base.base.address, &own);
	if (err < 0)
		free(t);
	else
		*ret = &t->base;
	return err;
}

/* ---- what the test does -------------------------------------------------- */

static struct testing_datagrams *testing_datagrams_of(struct plait_port *p,
						      const char *function)
{
	if (p == NULL)
		return NULL;
	if (p->ops != &testing_datagram_ops.port)
		plait_die(function,
			  "the port is not one for datagrams of a testing "
			  "reactor");
	loop_check(p->reactor, function);
	return testing_datagrams(p);
}

void plait_testing_datagram(struct plait_port *p, const void *data, size_t len,
			    const struct plait_address *from)
{
	struct testing_datagrams *t = testing_datagrams_of(p, __func__);
	struct plait_address own, nobody = { .family = AF_UNSPEC };
	struct plait_datagram_info info = { .from = from != NULL ? from
								 : &nobody,
					    .size = len };

	if (t == NULL || !datagram_goes_on(&t->base))
		return;
	plait_port_host(p, &own);
	if (t->tells_local)
		info.to = &own;
	info.truncated = len > t->max_size;
	plait_i_loop_enter(p->reactor);
	plait_i_datagram_received(&t->base, data,
				  info.truncated ? t->max_size : len, &info);
	plait_i_loop_leave(p->reactor);
}

void plait_testing_datagram_failed(struct plait_port *p, int err,
				   const struct plait_address *to)
{
	struct testing_datagrams *t = testing_datagrams_of(p, __func__);

	if (t == NULL || !datagram_goes_on(&t->base))
		return;
	plait_i_loop_enter(p->reactor);
	plait_i_datagram_failed(&t->base, err, to);
	plait_i_loop_leave(p->reactor);
}

void plait_testing_datagram_full(struct plait_port *p, bool is_full)
{
	struct testing_datagrams *t = testing_datagrams_of(p, __func__);

	if (t == NULL || !datagram_goes_on(&t->base))
		return;
	t->is_full = is_full;
	if (is_full)
		return;
	plait_i_loop_enter(p->reactor);
	plait_i_datagram_has_room(&t->base);
	plait_i_loop_leave(p->reactor);
}

struct plait_buf *plait_testing_datagram_sent(struct plait_port *p,
					      struct plait_address *to)
{
	struct testing_datagrams *t = testing_datagrams_of(p, __func__);
	struct sent_datagram *s;
	struct plait_buf *data;

	if (t == NULL)
		return NULL;
	/* What was sent outside of all callbacks leaves now. */
	plait_i_loop_enter(p->reactor);
	plait_i_loop_leave(p->reactor);
	s = testing_datagrams_first(t);
	if (s == NULL)
		return NULL;
	plait_list_remove(&s->link);
	data = s->data;
	if (to != NULL)
		*to = s->to;
	free(s);
	return data;
}
