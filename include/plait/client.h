/*
 * One connection as a deferred, for a client that needs no factory of its
 * own: Twisted's ClientCreator.
 *
 *	d = plait_client_connect_tcp(r, host, port, &ops, NULL);
 *	plait_deferred_add_callback(d, connected, self);
 *
 *	static plait_value connected(plait_value *result, void *arg)
 *	{
 *		struct plait_protocol *p = plait_client_take(result);
 *		...
 */
#ifndef PLAIT_CLIENT_H
#define PLAIT_CLIENT_H

#include <plait/deferred.h>
#include <plait/tcp.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The type of a value that is a connection with its protocol.  Freeing it
 * loses the connection, so one that comes too late, or that nobody takes, is
 * closed.
 */
extern const struct plait_type plait_client_type;

/*
 * Connects a protocol of that table, borrowed for good, to that address; host
 * and options as in plait_connect_tcp().  Gives a deferred that fires with
 * the protocol as a value of the above type, in the turn after its
 * connection_made(); or fails as connecting failed, or as the connection was
 * lost before that.  Cancelling it stops connecting.  Never NULL.
 */
struct plait_deferred *
plait_client_connect_tcp(struct plait_reactor *r, const char *host,
			 unsigned port, const struct plait_protocol_ops *ops,
			 const struct plait_connect_options *options,
			 const char *where) PLAIT_MUST_USE;
#define plait_client_connect_tcp(...)                                          \
	(plait_client_connect_tcp)(__VA_ARGS__, PLAIT_HERE)

/*
 * The protocol of such a value: borrowed, as any from the reactor; NULL if
 * its connection was lost meanwhile.  Any other type aborts.
 */
struct plait_protocol *plait_value_client(const plait_value *v,
					  const char *where);
#define plait_value_client(...) (plait_value_client)(__VA_ARGS__, PLAIT_HERE)

/*
 * The same, and takes the value out of the slot, which holds none afterwards:
 * the connection is not lost with it any more.
 */
struct plait_protocol *plait_client_take(plait_value *slot, const char *where);
#define plait_client_take(...) (plait_client_take)(__VA_ARGS__, PLAIT_HERE)

#ifdef __cplusplus
}
#endif

#endif
