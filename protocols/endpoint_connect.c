/*
 * Connecting to endpoints, and listening on them.
 *
 * Each wrapper of an endpoint is a factory that wraps the next, and the kind
 * behind them all connects, or listens for, the outermost.  From then on they
 * live by their own count of users: each frees itself in its done().  If
 * nothing has begun, nobody uses them, and endpoint_give_up() calls done().
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/exception.h"
#include "protocols/client.h"
#include "protocols/endpoint.h"

/* Defined here; whoever calls them here says the place. */
#undef plait_endpoint_connect
#undef plait_endpoint_listen

/* ---- what it is for ------------------------------------------------------ */

static const char *const endpoint_uses[] = {
	[PLAIT_ENDPOINT_LISTENS] = "listening",
	[PLAIT_ENDPOINT_CONNECTS] = "connecting",
};

/* use is what the endpoint is wanted for, and other is the other use. */
static bool endpoint_kind_is_for(const struct plait_endpoint_kind *kind,
				 unsigned use)
{
	if (use == PLAIT_ENDPOINT_CONNECTS)
		return kind->connect != NULL || kind->wrap_connecting != NULL;
	return kind->listen != NULL || kind->wrap_listening != NULL;
}

/* Writes into why what keeps e alone from being used so; 0 or -EINVAL. */
static int endpoint_check_keys(const struct plait_endpoint *e, unsigned use,
			       char *why)
{
	const unsigned other =
		PLAIT_ENDPOINT_LISTENS + PLAIT_ENDPOINT_CONNECTS - use;
	const struct plait_endpoint_kind *kind = e->kind;
	const char *wrong = NULL;

	if (!endpoint_kind_is_for(kind, use))
		wrong = kind->name;
	for (size_t i = 0; i < kind->n_keys; i++) {
		const struct plait_endpoint_key *key = &kind->keys[i];

		if (e->values[i].is_set && (key->use & other) != 0 &&
		    (key->use & use) == 0)
			wrong = key->name;
		if (e->values[i].is_set || (key->use & use) == 0 ||
		    (key->use & PLAIT_ENDPOINT_NEEDED) == 0)
			continue;
		snprintf(why, PLAIT_ENDPOINT_WHY_SIZE, "%s has no %s",
			 kind->name, key->name);
		return -EINVAL;
	}
	if (wrong == NULL)
		return 0;
	snprintf(why, PLAIT_ENDPOINT_WHY_SIZE, "%s is for %s", wrong,
		 endpoint_uses[other]);
	return -EINVAL;
}

static int endpoint_check_use(const struct plait_endpoint *e, unsigned use,
			      char *why)
{
	int err = 0;

	for (; err == 0 && e != NULL; e = e->inner)
		err = endpoint_check_keys(e, use, why);
	return err;
}

static bool endpoint_can_be_used(const struct plait_endpoint *e, unsigned use,
				 char *why, size_t size)
{
	char text[PLAIT_ENDPOINT_WHY_SIZE];
	int err;

	if (e == NULL) {
		snprintf(why, size, "there is no endpoint");
		return false;
	}
	err = endpoint_check_use(e, use, text);
	if (err < 0)
		snprintf(why, size, "%s", text);
	return err == 0;
}

bool plait_endpoint_can_connect(const struct plait_endpoint *e, char *why,
				size_t size)
{
	return endpoint_can_be_used(e, PLAIT_ENDPOINT_CONNECTS, why, size);
}

bool plait_endpoint_can_listen(const struct plait_endpoint *e, char *why,
			       size_t size)
{
	return endpoint_can_be_used(e, PLAIT_ENDPOINT_LISTENS, why, size);
}

/* The length of why without the text of err, which a failure has anyway. */
static int endpoint_why_length(const char *why, int err)
{
	const char *text = strerror(err);
	size_t len = strlen(why), tail = strlen(text) + strlen(": ");

	if (len > tail && strcmp(why + len - strlen(text), text) == 0)
		len -= tail;
	return (int)len;
}

static plait_value endpoint_failure(const struct plait_endpoint *e,
				    const struct plait_error *kind,
				    const char *what, int err, const char *why)
{
	char text[PLAIT_ENDPOINT_WHY_SIZE];

	plait_endpoint_str(e, text, sizeof(text));
	plait_i_endpoint_make_printable(text);
	return plait_fail_errno(kind, err, "%s %s%s%.*s", what, text,
				*why != '\0' ? ": " : "",
				endpoint_why_length(why, err), why);
}

plait_value plait_i_endpoint_refused(const struct plait_endpoint *e, int err,
				     const char *why)
{
	return err == ENOMEM ? plait_no_memory()
			     : endpoint_failure(e, &plait_error_connect,
						"connect to", err, why);
}

/* ---- wrappers ------------------------------------------------------------ */

static OUT_OF_LINE struct plait_wrapping_factory *
endpoint_wrap_one(const struct plait_endpoint *e, struct plait_reactor *r,
		  struct plait_factory *inner, unsigned use)
{
	struct plait_wrapping_factory *f =
		use == PLAIT_ENDPOINT_CONNECTS
			? e->kind->wrap_connecting(e, r, inner)
			: e->kind->wrap_listening(e, r, inner);

	exception_barrier();
	return f;
}

/* Frees the factories from f to the last that wraps inner. */
static OUT_OF_LINE void endpoint_give_up(struct plait_factory *f,
					 const struct plait_factory *inner)
{
	struct plait_factory *next;

	for (; f != inner; f = next) {
		next = plait_self(f, struct plait_wrapping_factory)->inner;
		f->ops->done(f);
	}
	exception_barrier();
}

/*
 * Wraps inner in what the wrappers of *ep make, and sets *ep to the endpoint
 * behind them.  NULL with errno if that fails.
 */
static struct plait_factory *endpoint_wrap(const struct plait_endpoint **ep,
					   struct plait_reactor *r,
					   struct plait_factory *inner,
					   unsigned use)
{
	struct plait_factory *f = inner;
	struct plait_wrapping_factory *w;
	int err;

	for (; (*ep)->inner != NULL; *ep = (*ep)->inner) {
		w = endpoint_wrap_one(*ep, r, f, use);
		if (w == NULL) {
			err = errno;
			endpoint_give_up(f, inner);
			errno = err;
			return NULL;
		}
		f = &w->base;
	}
	return f;
}

/* ---- connecting ---------------------------------------------------------- */

static OUT_OF_LINE struct plait_connector *
endpoint_connect_factory(const struct plait_endpoint *e,
			 struct plait_reactor *r, struct plait_factory *f,
			 char *why)
{
	struct plait_connector *c = e->kind->connect(e, r, f, why);

	exception_barrier();
	return c;
}

struct plait_connector *plait_i_endpoint_connect(const struct plait_endpoint *e,
						 struct plait_reactor *r,
						 struct plait_factory *inner,
						 char *why)
{
	struct plait_factory *f =
		endpoint_wrap(&e, r, inner, PLAIT_ENDPOINT_CONNECTS);
	struct plait_connector *c;
	int err;

	if (f == NULL)
		return NULL;
	c = endpoint_connect_factory(e, r, f, why);
	err = errno;
	if (!plait_factory_is_used(f))
		endpoint_give_up(f, inner);
	errno = err;
	return c;
}

struct plait_connector *
plait_endpoint_connect_factory(const struct plait_endpoint *e,
			       struct plait_reactor *r, struct plait_factory *f)
{
	char why[PLAIT_ENDPOINT_WHY_SIZE] = "";

	if (r == NULL)
		plait_die("plait_endpoint_connect_factory()",
			  "was given a NULL reactor");
	if (!plait_endpoint_can_connect(e, NULL, 0)) {
		errno = EINVAL;
		return NULL;
	}
	return plait_i_endpoint_connect(e, r, f, why);
}

struct endpoint_attempt {
	const struct plait_endpoint *e;
	char why[PLAIT_ENDPOINT_WHY_SIZE];
};

static struct plait_connector *endpoint_attempt_begin(struct plait_reactor *r,
						      struct plait_factory *f,
						      void *arg)
{
	struct endpoint_attempt *a = arg;

	return plait_i_endpoint_connect(a->e, r, f, a->why);
}

static plait_value endpoint_attempt_refused(int err, void *arg)
{
	struct endpoint_attempt *a = arg;

	return plait_i_endpoint_refused(a->e, err, a->why);
}

struct plait_deferred *
plait_endpoint_connect(const struct plait_endpoint *e, struct plait_reactor *r,
		       const struct plait_protocol_ops *ops, void *arg,
		       const char *where)
{
	struct endpoint_attempt a = { .e = e };

	if (r == NULL)
		plait_die(where, "plait_endpoint_connect() was given a NULL "
				 "reactor");
	if (e == NULL)
		return (plait_failed)(plait_no_memory(), where);
	if (endpoint_check_use(e, PLAIT_ENDPOINT_CONNECTS, a.why) < 0)
		return (plait_failed)(endpoint_attempt_refused(EINVAL, &a),
				      where);
	return plait_i_client_connect(r, endpoint_attempt_begin,
				      endpoint_attempt_refused, &a, ops, arg,
				      where);
}

/* ---- listening ----------------------------------------------------------- */

static OUT_OF_LINE int endpoint_listen_factory(const struct plait_endpoint *e,
					       struct plait_reactor *r,
					       struct plait_factory *f,
					       struct plait_port **ret,
					       char *why)
{
	int err = e->kind->listen(e, r, f, ret, why);

	exception_barrier();
	return err;
}

static int endpoint_listen(const struct plait_endpoint *e,
			   struct plait_reactor *r, struct plait_factory *inner,
			   struct plait_port **ret, char *why)
{
	struct plait_factory *f =
		endpoint_wrap(&e, r, inner, PLAIT_ENDPOINT_LISTENS);
	int err;

	if (f == NULL)
		return -errno;
	err = endpoint_listen_factory(e, r, f, ret, why);
	if (err < 0)
		endpoint_give_up(f, inner);
	return err;
}

struct plait_deferred *plait_endpoint_listen(const struct plait_endpoint *e,
					     struct plait_reactor *r,
					     struct plait_factory *f,
					     const char *where)
{
	char why[PLAIT_ENDPOINT_WHY_SIZE] = "";
	struct plait_port *port = NULL;
	int err;

	if (r == NULL)
		plait_die(where, "plait_endpoint_listen() was given a NULL "
				 "reactor");
	if (e == NULL)
		return (plait_failed)(plait_no_memory(), where);
	err = endpoint_check_use(e, PLAIT_ENDPOINT_LISTENS, why);
	if (err == 0)
		err = endpoint_listen(e, r, f, &port, why);
	if (err == -ENOMEM)
		return (plait_failed)(plait_no_memory(), where);
	if (err < 0)
		return (plait_failed)(endpoint_failure(e, &plait_error_os,
						       "listen on", -err, why),
				      where);
	return (plait_succeed)(plait_port_value(&port), where);
}
