/*
 * Clients that need no factory of their own: one connection as a deferred
 * (Twisted's ClientCreator), and all that a server sends as a deferred.
 *
 *	d = plait_client_connect_tcp(r, host, port, &ops, self, NULL);
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
 * The type of a value that is a connection with its protocol.  Freeing the
 * value loses the connection.  So a connection that comes too late is closed,
 * and so is one that nobody takes.
 */
extern const struct plait_type plait_client_type;

/*
 * Connects a protocol of the table ops, which must stay valid for ever, to that
 * address.  host, port and options are as in plait_connect_tcp().  The protocol
 * finds arg with plait_client_arg(); arg is borrowed until the protocol is
 * gone.
 *
 * Gives a deferred, never NULL.  In the turn after connection_made() it fires
 * with the protocol, as a value of the type above.  If connecting fails,
 * the deferred fails with that failure.  If the connection is lost before the
 * deferred has fired, the deferred fails with the reason of the loss.
 * Cancelling it stops connecting, or closes the connection.
 */
struct plait_deferred *
plait_client_connect_tcp(struct plait_reactor *r, const char *host,
			 unsigned port, const struct plait_protocol_ops *ops,
			 void *arg, const struct plait_connect_options *options,
			 const char *where) PLAIT_MUST_USE;
#define plait_client_connect_tcp(...)                                          \
	(plait_client_connect_tcp)(__VA_ARGS__, PLAIT_HERE)

/*
 * How to connect: connects the factory f, as plait_connect_tcp() does.  Returns
 * the connector, borrowed; or NULL with errno set, before or after f's start()
 * was called.  If it was called, f must be told connection_failed().
 */
typedef struct plait_connector *
plait_connect_func(struct plait_reactor *r, struct plait_factory *f, void *arg);

/*
 * The same for any way to connect: calls connect(r, f, connect_arg) once,
 * before it returns, with a factory f of its own.
 */
struct plait_deferred *
plait_client_connect(struct plait_reactor *r, plait_connect_func *connect,
		     void *connect_arg, const struct plait_protocol_ops *ops,
		     void *arg, const char *where) PLAIT_MUST_USE;
#define plait_client_connect(...)                                              \
	(plait_client_connect)(__VA_ARGS__, PLAIT_HERE)

/*
 * The arg of plait_client_connect_tcp() or plait_client_connect(), from
 * connection_made() to done() of the protocol that it has made.  Any other
 * protocol aborts.
 */
void *plait_client_arg(const struct plait_protocol *p);

/*
 * The protocol of such a value, borrowed from the reactor; NULL if its
 * connection was lost meanwhile.  A value of any other type aborts.
 */
struct plait_protocol *plait_value_client(const plait_value *v,
					  const char *where);
#define plait_value_client(...) (plait_value_client)(__VA_ARGS__, PLAIT_HERE)

/*
 * The same, and takes the value out of the slot, which holds none afterwards.
 * From then on the connection is not lost with the value any more.
 */
struct plait_protocol *plait_client_take(plait_value *slot, const char *where);
#define plait_client_take(...) (plait_client_take)(__VA_ARGS__, PLAIT_HERE)

/*
 * Connects to that address, sends request, and reads until the server closes
 * the connection.  host, port and options are as in plait_connect_tcp().
 * request is a text, a buffer, or none, and is taken; a text must stay valid
 * until the deferred has fired.
 *
 * Gives a deferred, never NULL.  It fires with everything that the server has
 * sent, as a buffer.  It fails with the failure of connecting; with
 * plait_error_connection_lost if the connection breaks; with plait_error_os
 * and EMSGSIZE if the server sends more than max bytes; with
 * plait_error_no_memory; and with request, if that is a failure.  Cancelling it
 * stops connecting, or aborts the connection at once.  It has no deadline: see
 * plait_deferred_add_timeout().
 */
struct plait_deferred *
plait_client_read_all(struct plait_reactor *r, const char *host, unsigned port,
		      plait_value request, size_t max,
		      const struct plait_connect_options *options,
		      const char *where) PLAIT_MUST_USE;
#define plait_client_read_all(...)                                             \
	(plait_client_read_all)(__VA_ARGS__, PLAIT_HERE)

#ifdef __cplusplus
}
#endif

#endif
