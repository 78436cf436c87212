/*
 * Endpoints: where to listen or to connect, as one text that fits into a line
 * of a configuration file.
 *
 *	tcp:8080
 *	tcp:8080:interface=[::1]:backlog=50
 *	tcp:poetry.example:10000:timeout=5
 *	unix:/run/poetry.sock:mode=660
 *	limit:total=100:throttle:out=1M:tcp:8080
 *
 * plait_endpoint_parse(3) has the whole grammar.  A text that is wrong is
 * refused with one message, which names the column and the key.
 */
#ifndef PLAIT_ENDPOINT_H
#define PLAIT_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

#include <plait/client.h>

#ifdef __cplusplus
extern "C" {
#endif

/* It never changes, and it counts its references. */
struct plait_endpoint;

/* The size of a buffer that has room for any message below, with its NUL. */
#define PLAIT_ENDPOINT_WHY_SIZE 256

/*
 * Reads text, borrowed for the call, and gives an endpoint with one reference.
 * Returns 0; -EINVAL if text is no endpoint; or -ENOMEM.  If it fails, *ret is
 * unchanged, and why, unless size is 0, has a message in one line without a
 * newline, such as
 *
 *	column 10: tcp has no key `prot'
 */
int plait_endpoint_parse(const char *text, struct plait_endpoint **ret,
			 char *why, size_t size);

/* The first gives one more reference, the second ends one and sets *ep to
   NULL. */
struct plait_endpoint *plait_endpoint_ref(struct plait_endpoint *e);
void plait_endpoint_unref(struct plait_endpoint **ep);
/* The same, for __attribute__((cleanup)). */
void plait_endpoint_cleanup(struct plait_endpoint **ep);

/*
 * Writes the endpoint as plait_endpoint_parse() reads it, as snprintf() would:
 * what is read from that text is equal to e.  Returns the length of the whole
 * text, without the NUL.
 */
int plait_endpoint_str(const struct plait_endpoint *e, char *buf, size_t size);

/* Is true if both have the same kind and the same keys with the same values,
   and wrap the same. */
bool plait_endpoint_equal(const struct plait_endpoint *a,
			  const struct plait_endpoint *b);

/*
 * Connects a protocol of the table ops to the endpoint, which is borrowed for
 * the call.  ops, arg, and what the deferred fires with are as in
 * plait_client_connect_tcp(): the value is the connection, and whoever takes it
 * owns it.
 *
 * Gives a deferred, never NULL.  If connecting fails, the deferred fails with
 * that failure; and with plait_error_connect and EINVAL if this endpoint is
 * none to connect to.  Cancelling it gives everything up: nothing stays open.
 */
struct plait_deferred *
plait_endpoint_connect(const struct plait_endpoint *e, struct plait_reactor *r,
		       const struct plait_protocol_ops *ops, void *arg,
		       const char *where) PLAIT_MUST_USE;
#define plait_endpoint_connect(...)                                            \
	(plait_endpoint_connect)(__VA_ARGS__, PLAIT_HERE)

#ifdef __cplusplus
}
#endif

#endif
