/*
 * Connections of descriptors that are there already: plait_adopt_fd(),
 * plait_socketpair().
 *
 * An adoption is a transport and a protocol that wait for the loop, because no
 * call of the program may call its protocol.  The loop runs it before it waits
 * for events again.  Until then the adoption is a member of the reactor, whose
 * end ends it, too.
 */
#include <errno.h>
#include <stdlib.h>

#include <plait/adopt.h>

#include "lib/base.h"
#include "reactor/kernel/address.h"
#include "reactor/net/adopt.h"
#include "reactor/net/port.h"
#include "reactor/net/socket_kind.h"
#include "reactor/net/unix.h"

struct adoption {
	struct loop_member member;
	struct loop_task task;
	struct plait_transport *transport;
	struct plait_protocol *protocol;
};

/* ---- the adoption -------------------------------------------------------- */

/* Whatever it still has ends, too. */
static void adoption_free(struct adoption *a)
{
	loop_part(&a->member);
	loop_task_cancel(&a->task);
	plait_transport_free(&a->transport);
	plait_protocol_free(&a->protocol);
	free(a);
}

static void adoption_run_made(struct loop_task *task)
{
	struct adoption *a = plait_container(task, struct adoption, task);
	struct plait_transport *t = a->transport;
	struct plait_protocol *p = a->protocol;

	a->transport = NULL;
	a->protocol = NULL;
	adoption_free(a);
	plait_transport_made(t, p);
}

static void adoption_run_lost(struct loop_task *task)
{
	adoption_free(plait_container(task, struct adoption, task));
}

static void adoption_lose(struct loop_member *m)
{
	struct adoption *a = plait_container(m, struct adoption, member);

	loop_task_cancel(&a->task);
	a->task.run = adoption_run_lost;
	plait_i_loop_next_turn(a->transport->reactor, &a->task);
}

/* The protocol is the program's, as those of connections are. */
static void adoption_abandon(struct loop_member *m)
{
	struct adoption *a = plait_container(m, struct adoption, member);

	a->protocol = NULL;
	adoption_free(a);
}

static const struct loop_member_ops adoption_member_ops = {
	.lose = adoption_lose,
	.abandon = adoption_abandon,
};

/* Takes t, and *p, which is NULL then.  0, or -ENOMEM: then it has not taken
 *p. */
static int adoption_new(struct plait_transport *t, struct plait_protocol **p,
			struct adoption **ret)
{
	struct adoption *a = *p != NULL ? calloc(1, sizeof(*a)) : NULL;

	if (a == NULL) {
		plait_transport_free(&t);
		return -ENOMEM;
	}
	a->transport = t;
	a->member.ops = &adoption_member_ops;
	a->task.run = adoption_run_made;
	a->protocol = *p;
	*p = NULL;
	plait_i_loop_join(t->reactor, &a->member);
	*ret = a;
	return 0;
}

static void adoption_begin(struct adoption *a)
{
	plait_i_loop_after_callback(a->transport->reactor, &a->task);
}

int plait_i_adopt(struct plait_transport *t, struct plait_protocol **p)
{
	struct adoption *a = NULL;
	int err = adoption_new(t, p, &a);

	if (err == 0)
		adoption_begin(a);
	return err;
}

/* ---- a socket of the program --------------------------------------------- */

/*
 * Credentials of each message would take the room of descriptors.  An option
 * that is not set stays so.
 */
static int adopt_clear(struct kernel *k, int fd)
{
	int off = 0;

	return kernel_setsockopt(k, fd, SOL_SOCKET, SO_PASSCRED, &off,
				 sizeof(off)) < 0
		       ? -errno
		       : 0;
}

struct plait_transport *plait_i_adopt_socket(struct plait_reactor *r, int fd,
					     struct transport_owner *owner)
{
	struct kernel *k = loop_kernel(r);
	struct plait_transport *t;
	struct socket_kind kind;
	int err;

	fd = kernel_adopt(k, fd);
	if (fd < 0)
		return NULL;
	err = plait_i_socket_kind_look(k, fd, &kind);
	if (err == 0)
		err = plait_i_socket_kind_check(&kind);
	if (err == 0)
		err = kind.connected;
	if (err == 0 && kind.family == AF_UNIX)
		err = adopt_clear(k, fd);
	if (err < 0) {
		kernel_close(k, fd);
		errno = -err;
		return NULL;
	}
	t = plait_i_stream_new(plait_i_socket_kind_io(&kind), r, fd, &kind.peer,
			       owner);
	if (t != NULL)
		stream_of(t)->is_shared = true;
	return t;
}

static int adopt_check(struct plait_reactor *r, const char *function)
{
	int err = plait_i_port_check(r, function);

	return err == 0 && loop_is_virtual(r) ? -ENOTSUP : err;
}

int plait_adopt_fd(struct plait_reactor *r, int fd, struct plait_protocol *p)
{
	int err = adopt_check(r, "plait_adopt_fd()");
	struct plait_transport *t;

	if (err < 0) {
		kernel_close(loop_kernel(r), fd);
	} else {
		t = plait_i_adopt_socket(r, fd, NULL);
		err = t != NULL ? plait_i_adopt(t, &p) : -errno;
	}
	plait_protocol_free(&p);
	return err;
}

/* ---- pairs --------------------------------------------------------------- */

static int adopt_half(struct plait_reactor *r, int fd,
		      const struct plait_address *peer,
		      struct plait_protocol **p, struct adoption **ret)
{
	struct plait_transport *t =
		plait_i_stream_new(&plait_i_unix_stream_io, r, fd, peer, NULL);

	return t != NULL ? adoption_new(t, p, ret) : -errno;
}

/* The two are each other's peers, and have no names. */
static int adopt_pair(struct plait_reactor *r, struct plait_protocol **a,
		      struct plait_protocol **b)
{
	const union kernel_address none = { .room.ss_family = AF_UNIX };
	struct kernel *k = loop_kernel(r);
	struct plait_address peer;
	struct adoption *first = NULL, *second = NULL;
	int fds[2];
	int err;

	if (kernel_socketpair(k, SOCK_STREAM, fds) < 0)
		return -errno;
	plait_i_address_from_kernel(&peer, &none, sizeof(none.any.sa_family));
	err = adopt_half(r, fds[0], &peer, a, &first);
	if (err < 0) {
		kernel_close(k, fds[1]);
		return err;
	}
	err = adopt_half(r, fds[1], &peer, b, &second);
	if (err < 0) {
		adoption_free(first);
		return err;
	}
	adoption_begin(first);
	adoption_begin(second);
	return 0;
}

int plait_socketpair(struct plait_reactor *r, struct plait_protocol *a,
		     struct plait_protocol *b)
{
	int err = adopt_check(r, "plait_socketpair()");

	if (err == 0)
		err = adopt_pair(r, &a, &b);
	plait_protocol_free(&a);
	plait_protocol_free(&b);
	return err;
}
