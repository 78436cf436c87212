/*
 * A client service keeps one connection up.  It connects, connects again when
 * connecting has failed or the connection was lost, and waits longer after each
 * failure, so that no server is stormed.  It is Twisted's ClientService.
 *
 *	s = plait_client_service_new(r, e, &ops, self, NULL);
 *	plait_client_service_start(s);
 *
 *	d = plait_client_service_when_connected(s, 0);
 *	plait_deferred_add_callback(d, ask, self);
 *
 *	static plait_value ask(plait_value *result, void *arg)
 *	{
 *		struct plait_protocol *p = plait_value_borrowed_client(result);
 *		...
 *
 * There are never two connections at once, and never two attempts: an attempt
 * begins when everything of the one before has ended.
 */
#ifndef PLAIT_CLIENT_SERVICE_H
#define PLAIT_CLIENT_SERVICE_H

#include <plait/backoff.h>
#include <plait/deferred.h>
#include <plait/endpoint.h>
#include <plait/protocol.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_client_service;

/*
 * Makes a new connection ready for use: logs in, asks whether the server is
 * well.  p and arg, the arg of plait_client_service_new(), are borrowed.
 * Returns none or another value, which is freed; a deferred to wait for,
 * plait_chain(&d); or a failure: then the attempt has failed.  The deferred is
 * cancelled if the connection is lost, before p is told of that.
 */
typedef plait_value plait_client_prepare(struct plait_protocol *p, void *arg);

/* Zero means the default. */
struct plait_client_service_options {
	/*
	 * How long to wait before the next attempt, and for how long a
	 * connection must live until the next delay is the first one again.
	 * The defaults are Twisted's here: factor 1.5, max_delay 60; and
	 * min_uptime 1.
	 */
	struct plait_backoff backoff;
	double timeout; /* seconds of an attempt, prepare() included; 0: 30 */
	plait_client_prepare *prepare; /* NULL: a connection is ready at once */
	uintptr_t reserved[8];	       /* zero */
};

/*
 * Gives a service that is not started, or NULL with errno set: ENOMEM; or
 * EINVAL if e is none to connect to, or if a reserved word of the options is
 * not 0.  Each connection has a protocol of the table ops, which must stay
 * valid for ever, and which finds arg with plait_client_service_arg().  arg is
 * borrowed until the service is freed and its last protocol is gone.  The
 * service takes a reference of its own to e.  options, which may be NULL, are
 * copied.
 *
 * If the reactor is freed first, those who wait fail with AbandonedError, and
 * the service can only be freed.
 */
struct plait_client_service *
plait_client_service_new(struct plait_reactor *r, struct plait_endpoint *e,
			 const struct plait_protocol_ops *ops, void *arg,
			 const struct plait_client_service_options *options);

/*
 * Gives up everything, as plait_client_service_stop() does.  Those who wait for
 * a connection fail with AbandonedError before this returns.  Those who wait
 * until the service has stopped go on waiting.  Does nothing if *sp is NULL;
 * *sp is NULL afterwards.
 */
void plait_client_service_free(struct plait_client_service **sp);
/* The same, for __attribute__((cleanup)). */
void plait_client_service_cleanup(struct plait_client_service **sp);

/*
 * Starts the service: begins the first attempt.  The delays begin anew.  Does
 * nothing if the service is started already.  While it is stopping, the first
 * attempt begins when that is over.  If connecting cannot even begin, for want
 * of memory, this is a failed attempt, which is told before this returns.
 */
void plait_client_service_start(struct plait_client_service *s);

/*
 * Stops the service: ends a delay, gives up an attempt, or loses the
 * connection.  Those who wait for a connection fail with CancelledError before
 * this returns.
 *
 * Gives a deferred that fires with none when this is over: when no connection
 * and no attempt is left.  It has fired already if there was none.  Cancelling
 * it only ends the wait.  Stopping again gives one more deferred, which fires
 * together with the first.  Never returns NULL.
 */
struct plait_deferred *
plait_client_service_stop(struct plait_client_service *s,
			  const char *where) PLAIT_MUST_USE;
#define plait_client_service_stop(...)                                         \
	(plait_client_service_stop)(__VA_ARGS__, PLAIT_HERE)

/*
 * Gives a deferred that fires with the connection, as a value of the type
 * below: at once if there is a connection that is ready, or else when there is
 * one.  If the service was not started yet, or is stopping, this waits for the
 * next start.
 *
 * It fails with the failure of an attempt if so many attempts have failed since
 * this call as fail_after says; 0: it goes on waiting.  It fails with
 * CancelledError when the service is stopped, and at once if it was.
 * Cancelling it ends this wait alone.  Never returns NULL.
 */
struct plait_deferred *
plait_client_service_when_connected(struct plait_client_service *s,
				    unsigned fail_after,
				    const char *where) PLAIT_MUST_USE;
#define plait_client_service_when_connected(...)                               \
	(plait_client_service_when_connected)(__VA_ARGS__, PLAIT_HERE)

/* The number of those who wait for a connection. */
size_t plait_client_service_waiting(const struct plait_client_service *s);

/*
 * Writes what the service does in one line, as snprintf() would.  Returns the
 * length of the whole line, without the NUL.
 */
int plait_client_service_str(const struct plait_client_service *s, char *buf,
			     size_t size);

/*
 * The arg of plait_client_service_new(), from connection_made() to done() of a
 * protocol of the service.  Any other protocol aborts.
 */
void *plait_client_service_arg(const struct plait_protocol *p);

/*
 * The type of a value that is a connection of somebody else: the service owns
 * the connection.  Many may have the value, and freeing it does not lose the
 * connection.
 */
extern const struct plait_type plait_borrowed_client_type;

/*
 * The protocol of such a value, borrowed; NULL if its connection was lost
 * meanwhile.  A value of any other type aborts.
 */
struct plait_protocol *plait_value_borrowed_client(const plait_value *v,
						   const char *where);
#define plait_value_borrowed_client(...)                                       \
	(plait_value_borrowed_client)(__VA_ARGS__, PLAIT_HERE)

#ifdef __cplusplus
}
#endif

#endif
