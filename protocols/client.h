/*
 * Clients from the inside: plait_client_connect() for a way to connect that
 * says why it would not even begin.
 */
#ifndef PROTOCOLS_CLIENT_H
#define PROTOCOLS_CLIENT_H

#include <plait/client.h>

/* Gives the failure for an attempt that has told nobody, and for its errno. */
typedef plait_value client_refusal(int err, void *connect_arg);

struct plait_deferred *
plait_i_client_connect(struct plait_reactor *r, plait_connect_func *connect,
		       client_refusal *refused, void *connect_arg,
		       const struct plait_protocol_ops *ops, void *arg,
		       const char *where);

#endif
