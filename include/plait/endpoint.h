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
#include <plait/wrap.h>

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

/*
 * Are true if e is an endpoint to connect to, or to listen on.  If it is none,
 * why, unless size is 0, has a message in one line that says why not.
 */
bool plait_endpoint_can_connect(const struct plait_endpoint *e, char *why,
				size_t size);
bool plait_endpoint_can_listen(const struct plait_endpoint *e, char *why,
			       size_t size);

/*
 * Connects the factory f to the endpoint, as plait_connect_tcp() does; e is
 * borrowed for the call, f as there.  Gives the connector, borrowed from the
 * reactor; or NULL with errno set, as plait_connect_func says: EINVAL if this
 * endpoint is none to connect to, ENOMEM, ESHUTDOWN, ECHILD, or what a kind of
 * the program's own gives.  Unless plait_factory_is_used() then, nothing has
 * begun, and nobody is told.
 */
struct plait_connector *
plait_endpoint_connect_factory(const struct plait_endpoint *e,
			       struct plait_reactor *r,
			       struct plait_factory *f);

/*
 * Connects to the endpoint, sends request, and reads until the server closes
 * the connection.  The deferred fires with all that the server has sent, as a
 * buffer; all is as in plait_client_read_all().
 */
struct plait_deferred *
plait_endpoint_read_all(const struct plait_endpoint *e, struct plait_reactor *r,
			plait_value request, size_t max,
			const char *where) PLAIT_MUST_USE;
#define plait_endpoint_read_all(...)                                           \
	(plait_endpoint_read_all)(__VA_ARGS__, PLAIT_HERE)

/*
 * Listens on the endpoint, which is borrowed for the call.  The factory, which
 * is borrowed, builds a protocol for each connection, as in plait_listen_tcp().
 *
 * Gives a deferred, never NULL, that fires with the port, as a value of
 * plait_port_type, at once for all kinds of this library: plait_port_take()
 * takes the port, and whoever takes it ends it.  Freeing the value ends the
 * port.  If listening fails, the deferred fails with plait_error_os and what
 * the kernel says; with EINVAL if this endpoint is none to listen on.
 */
struct plait_deferred *plait_endpoint_listen(const struct plait_endpoint *e,
					     struct plait_reactor *r,
					     struct plait_factory *f,
					     const char *where) PLAIT_MUST_USE;
#define plait_endpoint_listen(...)                                             \
	(plait_endpoint_listen)(__VA_ARGS__, PLAIT_HERE)

/*
 * Endpoints without a text: TCP at that host, which is a name or an address, or
 * NULL to listen; and the UNIX socket at that path, where `@' begins an
 * abstract name.  Give an endpoint with one reference, or NULL with EINVAL or
 * ENOMEM in errno.
 */
struct plait_endpoint *plait_endpoint_tcp(const char *host, unsigned port);
struct plait_endpoint *plait_endpoint_unix(const char *path);

/* What the value of a key is: how it is read, checked and written. */
enum plait_endpoint_type {
	PLAIT_ENDPOINT_TEXT,	/* anything but nothing */
	PLAIT_ENDPOINT_HOST,	/* a name, or an address */
	PLAIT_ENDPOINT_ADDRESS, /* an IP address */
	PLAIT_ENDPOINT_PATH,	/* of a UNIX socket, or @ and a name */
	PLAIT_ENDPOINT_PORT,	/* from 0 to 65535 */
	PLAIT_ENDPOINT_COUNT,	/* from 1 to INT32_MAX */
	PLAIT_ENDPOINT_NUMBER,	/* from 0 to INT32_MAX */
	PLAIT_ENDPOINT_FLAG,	/* 0 or 1 */
	PLAIT_ENDPOINT_MODE,	/* octal, to 0777 */
	PLAIT_ENDPOINT_SECONDS, /* above 0, such as 0.5 */
	PLAIT_ENDPOINT_BYTES	/* above 0, such as 100, 5K, 1M, 2G */
};

/* What a key is for.  A key for neither use alone is for both. */
enum {
	PLAIT_ENDPOINT_LISTENS = 1,  /* it is for listening */
	PLAIT_ENDPOINT_CONNECTS = 2, /* it is for connecting */
	PLAIT_ENDPOINT_NEEDED = 4    /* for that use, it must be there */
};

struct plait_endpoint_key {
	const char *name;
	enum plait_endpoint_type type;
	unsigned use;
};

/*
 * A kind of endpoints, such as tcp.  Everything must stay valid for ever.  The
 * first keys, plain of them, may be written as values alone; if there are fewer
 * values than that, they are those of the last of them.
 *
 * check(), unless it is NULL, is called for each text of the kind that was
 * read.  It returns NULL, or what is wrong with it, as static text.
 *
 * A kind that wraps no other has connect(), listen(), or both.  connect() is a
 * plait_connect_func with the endpoint, and listen() is as plait_listen_tcp().
 * One that fails may write a reason into why, of PLAIT_ENDPOINT_WHY_SIZE bytes,
 * which is empty before.
 *
 * A kind that wraps the endpoint behind it has wrap_connecting(),
 * wrap_listening(), or both.  They give a new factory that wraps the factory
 * inner: it frees itself in its done(), which it must have, and which is called
 * at once if nothing comes of it.  They give NULL, with errno, if that fails.
 */
struct plait_endpoint_kind {
	const char *name;
	const struct plait_endpoint_key *keys;
	size_t n_keys;
	size_t plain;
	const char *(*check)(const struct plait_endpoint *e);
	struct plait_connector *(*connect)(const struct plait_endpoint *e,
					   struct plait_reactor *r,
					   struct plait_factory *f, char *why);
	int (*listen)(const struct plait_endpoint *e, struct plait_reactor *r,
		      struct plait_factory *f, struct plait_port **ret,
		      char *why);
	struct plait_wrapping_factory *(*wrap_connecting)(
		const struct plait_endpoint *e, struct plait_reactor *r,
		struct plait_factory *inner);
	struct plait_wrapping_factory *(*wrap_listening)(
		const struct plait_endpoint *e, struct plait_reactor *r,
		struct plait_factory *inner);
	uintptr_t reserved[4]; /* zero */
};

/*
 * From now on plait_endpoint_parse() knows that kind, in the whole process.
 * Any thread may call this.  Returns 0, also if the kind is known already;
 * -EEXIST if there is another kind of its name; -EINVAL if its name or a name
 * of a key has characters other than a-z, A-Z, 0-9, - and _, or it has neither
 * connect() nor listen() nor a wrap function, or both sorts of them, or plain
 * is above n_keys or 4, or reserved words are not zero; -ENOSPC if there
 * are 64.
 */
int plait_endpoint_register(const struct plait_endpoint_kind *kind);

/*
 * These are for the functions of a kind: whether the endpoint has that key, and
 * its value.  The text is borrowed from the endpoint: that of a text, a host,
 * an address or a path, or NULL.  The number is 0 if there is none.  A key that
 * the kind has not aborts.
 */
bool plait_endpoint_has(const struct plait_endpoint *e, const char *key,
			const char *where);
#define plait_endpoint_has(...) (plait_endpoint_has)(__VA_ARGS__, PLAIT_HERE)
const char *plait_endpoint_text(const struct plait_endpoint *e, const char *key,
				const char *where);
#define plait_endpoint_text(...) (plait_endpoint_text)(__VA_ARGS__, PLAIT_HERE)
uint64_t plait_endpoint_number(const struct plait_endpoint *e, const char *key,
			       const char *where);
#define plait_endpoint_number(...)                                             \
	(plait_endpoint_number)(__VA_ARGS__, PLAIT_HERE)
double plait_endpoint_seconds(const struct plait_endpoint *e, const char *key,
			      const char *where);
#define plait_endpoint_seconds(...)                                            \
	(plait_endpoint_seconds)(__VA_ARGS__, PLAIT_HERE)

#ifdef __cplusplus
}
#endif

#endif
