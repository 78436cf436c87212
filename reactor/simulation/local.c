/*
 * What UNIX sockets of all types have: see local.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/simulation/local.h"

/* ---- life ---------------------------------------------------------------- */

struct local *plait_i_local_make(struct plait_host *h,
				 const struct socket_ops *ops, int type)
{
	struct local *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	plait_i_socket_init(&s->base, ops, h, AF_UNIX);
	s->type = type;
	s->refs = 1;
	s->send_size = s->receive_size = LOCAL_BUFFER;
	plait_list_init(&s->input);
	plait_list_init(&s->waiting);
	plait_list_init(&s->queue);
	return s;
}

void plait_i_local_ref(struct local *s)
{
	s->refs++;
}

void plait_i_local_unref(struct local *s)
{
	if (s != NULL && --s->refs == 0)
		free(s);
}

/* Descriptors are a part of their program's kernel. */
unsigned plait_i_local_owner(const struct local *s)
{
	const struct descriptor *d = s->base.descriptor;

	return d == NULL ? 0
			 : plait_container(d->of, const struct host_kernel,
					   descriptors)
				   ->number;
}

void plait_i_local_set_peer(struct local *s, struct local *peer)
{
	struct local *before = s->peer;

	if (peer != NULL)
		plait_i_local_ref(peer);
	s->peer = peer;
	plait_i_local_unref(before);
}

void plait_i_local_die(struct local *s)
{
	plait_i_socket_done(&s->base);
	s->is_dead = true;
	s->state = LOCAL_CLOSE;
	s->shut = LOCAL_SHUT;
	plait_i_local_set_peer(s, NULL);
	plait_i_local_drop_all(s);
	plait_i_local_unref(s);
}

bool plait_i_local_is_past(const struct sim_socket *base)
{
	return false;
}

void plait_i_local_look(const struct sim_socket *base, struct socket_look *ret)
{
	static const char *const states[] = {
		[LOCAL_CLOSE] = "",
		[LOCAL_LISTEN] = "LISTEN",
		[LOCAL_ESTABLISHED] = "CONNECTED",
	};
	const struct local *s = local_of_const(base);
	const struct plait_list *l;

	*ret = (struct socket_look){
		.protocol = "unix",
		.state = states[s->state],
		.received = s->n_waiting,
		.sent = s->used,
		.unix_name = &s->name.un,
		.unix_length = s->name.len,
	};
	plait_list_for_each (l, &s->input) {
		const struct local_message *m =
			plait_container(l, const struct local_message, link);

		ret->received += m->len - m->taken;
	}
}

/* ---- messages ------------------------------------------------------------ */

bool plait_i_local_is_writable(const struct local *s)
{
	return s->state != LOCAL_LISTEN && 4 * s->used <= s->send_size;
}

int plait_i_local_put(struct local *s, struct local *to,
		      const struct msghdr *msg, size_t at, size_t len)
{
	struct local_message *m = malloc(sizeof(*m) + len);
	size_t done = 0;

	if (m == NULL)
		return -ENOBUFS;
	*m = (struct local_message){ .from = s, .len = len };
	for (size_t i = 0; i < msg->msg_iovlen && done < len; i++) {
		const struct iovec *piece = &msg->msg_iov[i];
		size_t skip = at < piece->iov_len ? at : piece->iov_len;
		size_t n = piece->iov_len - skip;

		if (n > len - done)
			n = len - done;
		if (n > 0)
			memcpy(m->data + done,
			       (const char *)piece->iov_base + skip, n);
		done += n;
		at -= skip;
	}
	plait_i_local_ref(s);
	s->used += len + LOCAL_OVERHEAD;
	plait_list_append(&to->input, &m->link);
	to->n_input++;
	plait_i_socket_woken(&to->base);
	return 0;
}

/* Whoever has sent it has room again. */
void plait_i_local_drop(struct local *s, struct local_message *m)
{
	struct local *from = m->from;

	plait_list_remove(&m->link);
	s->n_input--;
	from->used -= m->len + LOCAL_OVERHEAD;
	if (!from->is_dead)
		plait_i_socket_woken(&from->base);
	plait_i_local_unref(from);
	free(m);
}

void plait_i_local_drop_all(struct local *s)
{
	struct local_message *m;

	while ((m = local_first(s)) != NULL)
		plait_i_local_drop(s, m);
}

size_t plait_i_local_show(const struct local_message *m, size_t at,
			  struct msghdr *msg, size_t done, size_t most)
{
	size_t n = m->len - at;

	return plait_i_pieces_fill(msg->msg_iov, msg->msg_iovlen, done,
				   m->data + at, n < most ? n : most);
}

void plait_i_local_show_sender(const struct local_message *m,
			       struct msghdr *msg)
{
	const struct local_name *name = &m->from->name;

	if (msg->msg_name == NULL)
		return;
	memcpy(msg->msg_name, &name->un,
	       name->len < msg->msg_namelen ? name->len : msg->msg_namelen);
	msg->msg_namelen = name->len;
}
