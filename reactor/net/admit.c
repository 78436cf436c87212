/* Admitting a connection: see admit.h. */
#include <errno.h>

#include "reactor/net/admit.h"
#include "reactor/net/guest.h"
#include "reactor/net/protocol.h"

static struct plait_transport *newcomer_as_guest(struct newcomer *n)
{
	struct transport_owner *guest;
	struct plait_transport *t;

	if (plait_i_guest_new(n->acceptor, &guest) < 0) {
		errno = ENOMEM;
		return NULL;
	}
	t = n->transport(n, guest);
	if (t != NULL)
		plait_i_guest_enter(guest, t);
	else
		plait_i_guest_drop(guest);
	return t;
}

struct plait_transport *plait_i_admit(struct newcomer *n)
{
	struct plait_protocol *p =
		plait_factory_build_protocol(n->factory, n->peer);
	struct plait_transport *t = NULL;
	int err = ECHILD;

	if (p == NULL) {
		if (errno != ENOMEM)
			errno = ECONNREFUSED;
		return NULL;
	}
	/* build_protocol() may have forked: the connection is the parent's. */
	if (!loop_is_forked(n->reactor)) {
		t = n->acceptor != NULL ? newcomer_as_guest(n)
					: n->transport(n, n->owner);
		err = errno;
	}
	if (t != NULL) {
		plait_transport_made(t, p);
		return t;
	}
	plait_protocol_free(&p);
	errno = err;
	return NULL;
}
