/*
 * The kinds of endpoints: those of this library, and those that others have
 * registered.  A kind is a table; its keys say how its text is read, and its
 * functions what is done with it.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <plait/inherit.h>
#include <plait/limit.h>
#include <plait/pipe.h>
#include <plait/throttle.h>
#include <plait/unix.h>

#include "protocols/endpoint.h"

/* ---- tcp, tcp6 ----------------------------------------------------------- */

static const struct plait_endpoint_key tcp_keys[] = {
	{ "host", PLAIT_ENDPOINT_HOST,
	  PLAIT_ENDPOINT_CONNECTS | PLAIT_ENDPOINT_NEEDED },
	{ "port", PLAIT_ENDPOINT_PORT, PLAIT_ENDPOINT_NEEDED },
	{ "interface", PLAIT_ENDPOINT_ADDRESS, PLAIT_ENDPOINT_LISTENS },
	{ "backlog", PLAIT_ENDPOINT_COUNT, PLAIT_ENDPOINT_LISTENS },
	{ "timeout", PLAIT_ENDPOINT_SECONDS, PLAIT_ENDPOINT_CONNECTS },
	{ "bindAddress", PLAIT_ENDPOINT_ADDRESS, PLAIT_ENDPOINT_CONNECTS },
};

static struct plait_connector *
endpoint_connect_to(const struct plait_endpoint *e, struct plait_reactor *r,
		    struct plait_factory *f, int family)
{
	struct plait_connect_options o = {
		.timeout = plait_endpoint_seconds(e, "timeout"),
		.bind_address = plait_endpoint_text(e, "bindAddress"),
		.family = family,
	};

	return plait_connect_tcp(r, plait_endpoint_text(e, "host"),
				 (unsigned)plait_endpoint_number(e, "port"), f,
				 &o);
}

static struct plait_connector *
endpoint_connect_tcp(const struct plait_endpoint *e, struct plait_reactor *r,
		     struct plait_factory *f, char *why)
{
	return endpoint_connect_to(e, r, f, AF_UNSPEC);
}

static struct plait_connector *
endpoint_connect_tcp6(const struct plait_endpoint *e, struct plait_reactor *r,
		      struct plait_factory *f, char *why)
{
	return endpoint_connect_to(e, r, f, AF_INET6);
}

static int endpoint_listen_on(const struct plait_endpoint *e,
			      struct plait_reactor *r, struct plait_factory *f,
			      const struct plait_listen_options *family,
			      struct plait_port **ret)
{
	struct plait_listen_options o = *family;
	const char *iface = plait_endpoint_text(e, "interface");

	if (iface != NULL)
		o.iface = iface;
	o.backlog = (int)plait_endpoint_number(e, "backlog");
	return plait_listen_tcp(r, (unsigned)plait_endpoint_number(e, "port"),
				f, &o, ret);
}

static int endpoint_listen_tcp(const struct plait_endpoint *e,
			       struct plait_reactor *r, struct plait_factory *f,
			       struct plait_port **ret, char *why)
{
	static const struct plait_listen_options any = { .iface = NULL };

	return endpoint_listen_on(e, r, f, &any, ret);
}

/* It leaves IPv4 to an endpoint of kind tcp with the same port. */
static int endpoint_listen_tcp6(const struct plait_endpoint *e,
				struct plait_reactor *r,
				struct plait_factory *f,
				struct plait_port **ret, char *why)
{
	static const struct plait_listen_options ipv6 = { .iface = "::",
							  .ipv6_only = true };

	return endpoint_listen_on(e, r, f, &ipv6, ret);
}

/* ---- unix ---------------------------------------------------------------- */

static const struct plait_endpoint_key unix_keys[] = {
	{ "path", PLAIT_ENDPOINT_PATH, PLAIT_ENDPOINT_NEEDED },
	{ "mode", PLAIT_ENDPOINT_MODE, PLAIT_ENDPOINT_LISTENS },
	{ "unlink", PLAIT_ENDPOINT_FLAG, PLAIT_ENDPOINT_LISTENS },
	{ "backlog", PLAIT_ENDPOINT_COUNT, PLAIT_ENDPOINT_LISTENS },
	{ "timeout", PLAIT_ENDPOINT_SECONDS, PLAIT_ENDPOINT_CONNECTS },
};

static struct plait_connector *
endpoint_connect_unix(const struct plait_endpoint *e, struct plait_reactor *r,
		      struct plait_factory *f, char *why)
{
	struct plait_connect_options o = {
		.timeout = plait_endpoint_seconds(e, "timeout"),
	};

	return plait_connect_unix(r, plait_endpoint_text(e, "path"), f, &o);
}

static int endpoint_listen_unix(const struct plait_endpoint *e,
				struct plait_reactor *r,
				struct plait_factory *f,
				struct plait_port **ret, char *why)
{
	struct plait_listen_unix_options o = {
		.mode = (unsigned)plait_endpoint_number(e, "mode"),
		.replace_stale = plait_endpoint_number(e, "unlink") != 0,
		.backlog = (int)plait_endpoint_number(e, "backlog"),
	};

	return plait_listen_unix(r, plait_endpoint_text(e, "path"), f, &o, ret);
}

/* ---- fd ------------------------------------------------------------------ */

static const struct plait_endpoint_key fd_keys[] = {
	{ "number", PLAIT_ENDPOINT_NUMBER, PLAIT_ENDPOINT_NEEDED },
};

static int endpoint_fd(const struct plait_endpoint *e)
{
	return (int)plait_endpoint_number(e, "number");
}

static int endpoint_listen_fd(const struct plait_endpoint *e,
			      struct plait_reactor *r, struct plait_factory *f,
			      struct plait_port **ret, char *why)
{
	char what[100];
	int err = plait_listen_fd(r, endpoint_fd(e), f, NULL, ret);

	if (err >= 0)
		return err;
	plait_fd_str(r, endpoint_fd(e), what, sizeof(what));
	snprintf(why, PLAIT_ENDPOINT_WHY_SIZE, "it is %s%s", what,
		 err == -EALREADY ? ", and taken, or not inherited" : "");
	return err;
}

static struct plait_connector *
endpoint_connect_fd(const struct plait_endpoint *e, struct plait_reactor *r,
		    struct plait_factory *f, char *why)
{
	return plait_connect_fd(r, endpoint_fd(e), f);
}

/* ---- stdio --------------------------------------------------------------- */

static int endpoint_listen_stdio(const struct plait_endpoint *e,
				 struct plait_reactor *r,
				 struct plait_factory *f,
				 struct plait_port **ret, char *why)
{
	return plait_listen_stdio(r, f, ret);
}

static struct plait_connector *
endpoint_connect_stdio(const struct plait_endpoint *e, struct plait_reactor *r,
		       struct plait_factory *f, char *why)
{
	return plait_connect_stdio(r, f);
}

/* ---- wrappers ------------------------------------------------------------ */

/*
 * A wrapping factory that is allocated for one port or connector, so it frees
 * itself in done(), which the table of its kind has not.
 */
static void endpoint_own(struct plait_wrapping_factory *f,
			 struct plait_factory_ops *ops,
			 void (*done)(struct plait_factory *f))
{
	*ops = *f->base.ops;
	ops->done = done;
	f->base.ops = ops;
}

static const struct plait_endpoint_key throttle_keys[] = {
	{ "in", PLAIT_ENDPOINT_BYTES, 0 },
	{ "out", PLAIT_ENDPOINT_BYTES, 0 },
	{ "burst", PLAIT_ENDPOINT_BYTES, 0 },
};

struct endpoint_throttle {
	struct plait_throttled_factory base;
	struct plait_factory_ops ops;
	struct plait_bucket in, out;
};

static void endpoint_throttle_done(struct plait_factory *f)
{
	free(plait_self(f, struct endpoint_throttle));
}

/* Gives b, filled in, or NULL if there is no limit. */
static struct plait_bucket *endpoint_bucket(const struct plait_endpoint *e,
					    const char *key,
					    struct plait_bucket *b)
{
	b->rate = plait_endpoint_number(e, key);
	b->burst = plait_endpoint_number(e, "burst");
	return b->rate > 0 ? b : NULL;
}

static struct plait_wrapping_factory *
endpoint_throttle_wrap(const struct plait_endpoint *e, struct plait_reactor *r,
		       struct plait_factory *inner)
{
	struct endpoint_throttle *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->base.in = endpoint_bucket(e, "in", &t->in);
	t->base.out = endpoint_bucket(e, "out", &t->out);
	plait_throttled_factory_init(&t->base, inner);
	endpoint_own(&t->base.base, &t->ops, endpoint_throttle_done);
	return &t->base.base;
}

static const char *endpoint_throttle_check(const struct plait_endpoint *e)
{
	bool limits =
		plait_endpoint_has(e, "in") || plait_endpoint_has(e, "out");

	return limits ? NULL : "throttle limits nothing";
}

static const struct plait_endpoint_key limit_keys[] = {
	{ "total", PLAIT_ENDPOINT_COUNT, 0 },
	{ "address", PLAIT_ENDPOINT_COUNT, 0 },
	{ "wait", PLAIT_ENDPOINT_FLAG, 0 },
};

struct endpoint_limit {
	struct plait_limited_factory base;
	struct plait_factory_ops ops;
};

static void endpoint_limit_done(struct plait_factory *f)
{
	struct endpoint_limit *l = plait_self(f, struct endpoint_limit);

	plait_limited_factory_done(&l->base);
	free(l);
}

static struct plait_wrapping_factory *
endpoint_limit_wrap(const struct plait_endpoint *e, struct plait_reactor *r,
		    struct plait_factory *inner)
{
	struct endpoint_limit *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->base.max_connections = (unsigned)plait_endpoint_number(e, "total");
	l->base.max_per_address = (unsigned)plait_endpoint_number(e, "address");
	l->base.wait = plait_endpoint_number(e, "wait") != 0;
	plait_limited_factory_init(&l->base, inner);
	endpoint_own(&l->base.base, &l->ops, endpoint_limit_done);
	return &l->base.base;
}

static const char *endpoint_limit_check(const struct plait_endpoint *e)
{
	bool limits = plait_endpoint_has(e, "total") ||
		      plait_endpoint_has(e, "address");

	return limits ? NULL : "limit limits nothing";
}

/* ---- all of them --------------------------------------------------------- */

#define KEYS(table) .keys = (table), .n_keys = sizeof(table) / sizeof(*(table))

static const struct plait_endpoint_kind endpoint_kinds[] = {
	{
		.name = "tcp",
		KEYS(tcp_keys),
		.plain = 2,
		.connect = endpoint_connect_tcp,
		.listen = endpoint_listen_tcp,
	},
	{
		.name = "tcp6",
		KEYS(tcp_keys),
		.plain = 2,
		.connect = endpoint_connect_tcp6,
		.listen = endpoint_listen_tcp6,
	},
	{
		.name = "unix",
		KEYS(unix_keys),
		.plain = 1,
		.connect = endpoint_connect_unix,
		.listen = endpoint_listen_unix,
	},
	{
		.name = "fd",
		KEYS(fd_keys),
		.plain = 1,
		.connect = endpoint_connect_fd,
		.listen = endpoint_listen_fd,
	},
	{
		.name = "stdio",
		.connect = endpoint_connect_stdio,
		.listen = endpoint_listen_stdio,
	},
	{
		.name = "throttle",
		KEYS(throttle_keys),
		.check = endpoint_throttle_check,
		.wrap_connecting = endpoint_throttle_wrap,
		.wrap_listening = endpoint_throttle_wrap,
	},
	{
		/* A client is one connection, which no limit would keep. */
		.name = "limit",
		KEYS(limit_keys),
		.check = endpoint_limit_check,
		.wrap_listening = endpoint_limit_wrap,
	},
};

enum {
	N_KINDS = sizeof(endpoint_kinds) / sizeof(*endpoint_kinds),
	MAX_REGISTERED = 64
};

/* Those that others have registered: from the first slot, without a gap. */
static _Atomic(const struct plait_endpoint_kind *)
	endpoint_registered[MAX_REGISTERED];

static const struct plait_endpoint_kind *endpoint_find_builtin(const char *name)
{
	for (size_t i = 0; i < N_KINDS; i++)
		if (strcmp(endpoint_kinds[i].name, name) == 0)
			return &endpoint_kinds[i];
	return NULL;
}

const struct plait_endpoint_kind *plait_i_endpoint_kind(const char *name)
{
	const struct plait_endpoint_kind *kind = endpoint_find_builtin(name);

	for (size_t i = 0; kind == NULL && i < MAX_REGISTERED; i++) {
		const struct plait_endpoint_kind *k =
			atomic_load(&endpoint_registered[i]);

		if (k == NULL)
			return NULL;
		if (strcmp(k->name, name) == 0)
			kind = k;
	}
	return kind;
}

static bool endpoint_is_word(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

	return name != NULL && *name != '\0' &&
	       name[strspn(name, letters)] == '\0';
}

enum {
	N_RESERVED = sizeof(endpoint_kinds->reserved) /
		     sizeof(*endpoint_kinds->reserved)
};

static bool endpoint_kind_is_good(const struct plait_endpoint_kind *kind)
{
	bool ends = kind->connect != NULL || kind->listen != NULL;

	if (!endpoint_is_word(kind->name) || ends == endpoint_wraps(kind) ||
	    kind->plain > kind->n_keys || kind->plain > ENDPOINT_MAX_PLAIN)
		return false;
	for (size_t i = 0; i < kind->n_keys; i++)
		if (!endpoint_is_word(kind->keys[i].name))
			return false;
	for (size_t i = 0; i < N_RESERVED; i++)
		if (kind->reserved[i] != 0)
			return false;
	return true;
}

int plait_endpoint_register(const struct plait_endpoint_kind *kind)
{
	if (!endpoint_kind_is_good(kind))
		return -EINVAL;
	if (endpoint_find_builtin(kind->name) != NULL)
		return -EEXIST;
	for (size_t i = 0; i < MAX_REGISTERED; i++) {
		const struct plait_endpoint_kind *there = NULL;

		if (atomic_compare_exchange_strong(&endpoint_registered[i],
						   &there, kind) ||
		    there == kind)
			return 0;
		if (strcmp(there->name, kind->name) == 0)
			return -EEXIST;
	}
	return -ENOSPC;
}
