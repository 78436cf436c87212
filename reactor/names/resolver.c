/*
 * Resolvers as the program sees them: their life, and what gives a deferred.
 *
 * What is under way for a deferred is an operation.  It ends in one of four
 * ways: it has found something or failed, and fires its promise; it is
 * cancelled; its resolver is freed; its reactor is freed.  Whichever comes
 * first stops everything and frees the operation before anybody is called.
 *
 * A resolver whose reactor was freed stays until the program frees it.  Its
 * memory outlives plait_resolver_free() by the rest of the turn, because an
 * answer that is being told may be what has freed it.
 */
#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/chance.h"
#include "lib/deferred.h"
#include "lib/failure.h"
#include "reactor/names/lookup.h"
#include "reactor/names/record.h"
#include "reactor/names/source.h"
#include "reactor/names/system.h"

/* Defined here; whoever calls them here says the place. */
#undef plait_resolve
#undef plait_resolve_address
#undef plait_dns_query
#undef plait_value_addresses
#undef plait_value_names

static const double default_timeout = 30;
enum { DEFAULT_CACHE = 1 << 20, NO_CACHE = 1 };

/* ---- the life of a resolver ---------------------------------------------- */

static void resolver_free_parts(struct plait_resolver *rs)
{
	plait_i_system_end(&rs->system);
	plait_i_servers_done(&rs->servers);
	free((char *)(uintptr_t)rs->files.hosts_path);
	free((char *)(uintptr_t)rs->files.resolv_conf_path);
	free((char *)(uintptr_t)rs->files.nsswitch_path);
	plait_i_names_files_done(&rs->files);
	plait_i_cache_free(&rs->cache);
	plait_i_source_forget(rs);
}

static void resolver_release(struct plait_resolver *rs)
{
	loop_task_cancel(&rs->keep);
	loop_task_cancel(&rs->burial);
	if (rs->reactor != NULL)
		resolver_free_parts(rs);
	free(rs);
}

static void resolver_run_burial(struct loop_task *task)
{
	resolver_release(plait_container(task, struct plait_resolver, burial));
}

/* What is left now is in a forked child, or somebody else's: it is told of the
   end in other ways. */
static void resolver_cancel_all(struct plait_resolver *rs)
{
	while (!plait_list_is_empty(&rs->lookups))
		plait_i_lookup_cancel(plait_container(
			rs->lookups.next, struct names_lookup, link));
}

/* The reactor is freed.  Its own resolver goes with it. */
static void resolver_run_keep(struct loop_task *task)
{
	struct plait_resolver *rs =
		plait_container(task, struct plait_resolver, keep);

	resolver_cancel_all(rs);
	if (rs->is_ending || *plait_i_loop_resolver(rs->reactor) == rs) {
		resolver_release(rs);
		return;
	}
	resolver_free_parts(rs);
	rs->reactor = NULL;
}

static int resolver_check(const struct plait_reactor *r,
			  const struct plait_resolver_options *options)
{
	plait_i_clock_delay(options->timeout);
	if (RESERVED_IN_USE(options) || options->server_count > RESOLV_SERVERS)
		return EINVAL;
	for (size_t i = 0; i < options->server_count; i++) {
		int family = plait_address_family(&options->servers[i]);

		if (family != AF_INET && family != AF_INET6)
			return EINVAL;
	}
	/* Threads and virtual time do not go together. */
	if (options->system &&
	    (loop_is_virtual(r) || loop_kernel(r)->ops->is_simulated))
		return ENOTSUP;
	return 0;
}

/* Copies text, NULL too.  Returns false without memory. */
static bool resolver_copy_text(const char **ret, const char *text)
{
	*ret = text != NULL ? strdup(text) : NULL;
	return text == NULL || *ret != NULL;
}

static int resolver_copy(struct plait_resolver *rs,
			 const struct plait_resolver_options *options)
{
	struct names_files *fs = &rs->files;

	for (size_t i = 0; i < options->server_count; i++) {
		rs->given[i] = options->servers[i];
		if (plait_address_port(&rs->given[i]) == 0)
			rs->given[i].port = RESOLV_PORT;
	}
	fs->servers = rs->given;
	fs->n_servers = (unsigned)options->server_count;
	return resolver_copy_text(&fs->hosts_path, options->hosts) &&
			       resolver_copy_text(&fs->resolv_conf_path,
						  options->resolv_conf) &&
			       resolver_copy_text(&fs->nsswitch_path,
						  options->nsswitch_conf)
		       ? 0
		       : -ENOMEM;
}

static int resolver_init(struct plait_resolver *rs, struct plait_reactor *r,
			 const struct plait_resolver_options *options)
{
	rs->reactor = r;
	rs->is_system = options->system;
	rs->timeout = options->timeout > 0 ? options->timeout : default_timeout;
	rs->seed = kernel_random(loop_kernel(r));
	for (size_t i = 0; i < QUESTION_LISTS; i++)
		plait_list_init(&rs->questions[i]);
	plait_list_init(&rs->lookups);
	plait_list_init(&rs->asked);
	plait_i_servers_init(&rs->servers, r);
	rs->keep.run = resolver_run_keep;
	rs->burial.run = resolver_run_burial;
	if (options->cache_size != NO_CACHE) {
		rs->cache = plait_i_cache_new(options->cache_size > 0
						      ? options->cache_size
						      : DEFAULT_CACHE,
					      rs->seed);
		if (rs->cache == NULL)
			return -ENOMEM;
	}
	return resolver_copy(rs, options);
}

struct plait_resolver *
plait_resolver_new(struct plait_reactor *r,
		   const struct plait_resolver_options *options)
{
	static const struct plait_resolver_options defaults;
	struct plait_resolver *rs;

	loop_check_given(r, "plait_resolver_new()", NULL);
	if (options == NULL)
		options = &defaults;
	errno = resolver_check(r, options);
	if (errno != 0)
		return NULL;
	rs = calloc(1, sizeof(*rs));
	if (rs == NULL)
		return NULL;
	if (resolver_init(rs, r, options) < 0) {
		resolver_free_parts(rs);
		free(rs);
		errno = ENOMEM;
		return NULL;
	}
	plait_i_loop_keep(r, &rs->keep);
	return rs;
}

struct plait_resolver *plait_reactor_resolver(struct plait_reactor *r)
{
	struct plait_resolver **slot;

	loop_check_given(r, "plait_reactor_resolver()", NULL);
	slot = plait_i_loop_resolver(r);
	if (*slot == NULL)
		*slot = plait_resolver_new(r, NULL);
	return *slot;
}

/* ---- operations ---------------------------------------------------------- */

struct operation_kind;

struct operation {
	const struct operation_kind *kind;
	struct plait_list link; /* in its resolver's */
	struct plait_resolver *resolver;
	struct plait_reactor *reactor;
	struct loop_task reactor_freed;
	struct plait_promise *promise;
	const char *where;
	bool is_late; /* it was begun when the reactor was ending */
};

struct operation_kind {
	size_t size;
	/* Ends all that is under way. */
	void (*stop)(struct operation *o);
};

/* Stops and frees the operation.  Gives its promise. */
static struct plait_promise *operation_end(struct operation *o)
{
	struct plait_promise *p = o->promise;

	o->kind->stop(o);
	loop_task_cancel(&o->reactor_freed);
	plait_list_remove(&o->link);
	free(o);
	return p;
}

/* v is taken. */
static void operation_fire(struct operation *o, plait_value v)
{
	struct plait_promise *p = operation_end(o);

	plait_fire(&p, v);
}

static void operation_fail(struct operation *o, const struct plait_failure *why)
{
	operation_fire(o, plait_failure_value(why));
}

static plait_value operation_cancel(struct plait_deferred *d, void *arg)
{
	struct plait_promise *p = operation_end(arg);

	plait_promise_drop(&p);
	return plait_cancelled();
}

static plait_value operation_reactor_freed(const char *where)
{
	return plait_i_failure_cancelled_by("reactor freed", where);
}

static void operation_abandon(struct loop_task *task)
{
	struct operation *o =
		plait_container(task, struct operation, reactor_freed);
	bool is_forked = loop_is_forked(o->reactor);
	bool is_late = o->is_late;
	const char *where = o->where;
	struct plait_promise *p = operation_end(o);

	if (is_forked)
		plait_i_deferred_abandon(&p);
	else if (is_late)
		plait_fire(&p, operation_reactor_freed(where));
	else
		plait_promise_drop(&p);
}

/* What a function is given that begins an operation. */
struct operation_call {
	struct plait_reactor *reactor; /* NULL: it was freed */
	struct plait_resolver *resolver;
	const char *where;
};

static plait_value resolver_was_freed(void)
{
	const struct plait_failure *why = plait_i_lookup_abandoned();
	plait_value v = plait_failure_value(why);

	plait_failure_unref(&why);
	return v;
}

/*
 * Makes an operation and, in *ret, its deferred.  Returns NULL if the deferred
 * has failed already.
 */
static struct operation *operation_new(const struct operation_call *call,
				       const struct operation_kind *kind,
				       struct plait_deferred **ret)
{
	struct operation *o = NULL;
	plait_value v;

	if (call->resolver == NULL)
		v = plait_no_memory();
	else if (call->reactor == NULL || call->resolver->is_ending)
		v = resolver_was_freed();
	else if (plait_i_loop_refuses(call->reactor))
		v = operation_reactor_freed(call->where);
	else {
		o = calloc(1, kind->size);
		v = plait_no_memory();
	}
	if (o == NULL) {
		*ret = (plait_failed)(v, call->where);
		return NULL;
	}
	*o = (struct operation){
		.kind = kind,
		.resolver = call->resolver,
		.reactor = call->reactor,
		.reactor_freed.run = operation_abandon,
		.where = call->where,
		.is_late = plait_i_loop_is_ending(call->reactor),
	};
	*ret = (plait_deferred_new)(&o->promise, operation_cancel, o,
				    call->where);
	if (o->promise == NULL) {
		free(o);
		return NULL;
	}
	plait_list_append(&call->resolver->asked, &o->link);
	plait_i_loop_when_freed(call->reactor, &o->reactor_freed);
	return o;
}

static struct plait_deferred *operation_refused(const char *what, int err,
						const char *where)
{
	return (plait_failed)((plait_fail_errno)(where, &plait_error_os, err,
						 "%s", what),
			      where);
}

/* ---- the end of a resolver ----------------------------------------------- */

static void resolver_abandon_all(struct plait_resolver *rs)
{
	const struct plait_failure *why = plait_i_lookup_abandoned();

	while (!plait_list_is_empty(&rs->asked))
		operation_fail(
			plait_container(rs->asked.next, struct operation, link),
			why);
	while (!plait_list_is_empty(&rs->lookups))
		plait_i_lookup_abandon(plait_container(
			rs->lookups.next, struct names_lookup, link));
	plait_failure_unref(&why);
}

/* A forked child tells nobody. */
static void resolver_abandon_in_child(struct plait_resolver *rs)
{
	while (!plait_list_is_empty(&rs->asked)) {
		struct operation *o =
			plait_container(rs->asked.next, struct operation, link);
		struct plait_promise *p = operation_end(o);

		plait_i_deferred_abandon(&p);
	}
	resolver_cancel_all(rs);
}

void plait_resolver_free(struct plait_resolver **rp)
{
	struct plait_resolver *rs = rp != NULL ? *rp : NULL;

	if (rs == NULL)
		return;
	*rp = NULL;
	if (rs->reactor == NULL) {
		free(rs);
		return;
	}
	loop_check(rs->reactor, "plait_resolver_free()");
	if (*plait_i_loop_resolver(rs->reactor) == rs)
		plait_die("plait_resolver_free()",
			  "the resolver belongs to the reactor");
	rs->is_ending = true;
	if (loop_is_forked(rs->reactor)) {
		resolver_abandon_in_child(rs);
		return;
	}
	resolver_abandon_all(rs);
	plait_i_loop_bury(rs->reactor, &rs->burial);
}

void plait_resolver_cleanup(struct plait_resolver **rp)
{
	plait_resolver_free(rp);
}

/* ---- values -------------------------------------------------------------- */

struct addresses {
	struct plait_addresses shown; /* first */
	size_t refs;
	struct plait_address items[];
};

static void *addresses_ref(void *ptr)
{
	struct addresses *a = ptr;

	a->refs++;
	return a;
}

static void addresses_unref(void *ptr)
{
	struct addresses *a = ptr;

	if (--a->refs == 0)
		free(a);
}

/* Text that is put together as snprintf() would. */
struct list_text {
	char *buf;
	size_t size, length;
};

static void list_text_add(struct list_text *t, const char *item)
{
	size_t left = t->length < t->size ? t->size - t->length : 0;

	t->length +=
		(size_t)snprintf(left > 0 ? t->buf + t->length : NULL, left,
				 "%s%s", t->length > 0 ? ", " : "", item);
}

static int addresses_format(const void *ptr, char *buf, size_t size)
{
	const struct plait_addresses *a = ptr;
	struct list_text text = { .buf = buf, .size = size };

	for (size_t i = 0; i < a->count; i++) {
		char item[PLAIT_ADDRESS_SIZE];

		plait_address_host(&a->items[i], item, sizeof(item));
		list_text_add(&text, item);
	}
	return (int)text.length;
}

const struct plait_type plait_addresses_type = {
	.name = "addresses",
	.free = addresses_unref,
	.format = addresses_format,
	.ref = addresses_ref,
};

const struct plait_addresses *plait_value_addresses(const plait_value *v,
						    const char *where)
{
	return (plait_value_get)(v, &plait_addresses_type, where);
}

struct names {
	struct plait_names shown; /* first */
	size_t refs;
	const char *items[];
};

static void *names_ref(void *ptr)
{
	struct names *n = ptr;

	n->refs++;
	return n;
}

static void names_unref(void *ptr)
{
	struct names *n = ptr;

	if (--n->refs == 0)
		free(n);
}

static int names_format(const void *ptr, char *buf, size_t size)
{
	const struct plait_names *n = ptr;
	struct list_text text = { .buf = buf, .size = size };

	for (size_t i = 0; i < n->count; i++)
		list_text_add(&text, n->items[i]);
	return (int)text.length;
}

const struct plait_type plait_names_type = {
	.name = "names",
	.free = names_unref,
	.format = names_format,
	.ref = names_ref,
};

const struct plait_names *plait_value_names(const plait_value *v,
					    const char *where)
{
	return (plait_value_get)(v, &plait_names_type, where);
}

/* Gives the value of n names, which are copied; or the no-memory failure. */
static plait_value names_value(const char *const *list, size_t n, double ttl)
{
	size_t size = 0;
	struct names *names;
	char *text;

	for (size_t i = 0; i < n; i++)
		size += strlen(list[i]) + 1;
	names = malloc(sizeof(*names) + n * sizeof(names->items[0]) + size);
	if (names == NULL)
		return plait_no_memory();
	text = (char *)(names->items + n);
	for (size_t i = 0; i < n; i++) {
		names->items[i] = strcpy(text, list[i]);
		text += strlen(text) + 1;
	}
	names->refs = 1;
	names->shown = (struct plait_names){ .count = n,
					     .items = names->items,
					     .ttl = ttl };
	return plait_value_make(&plait_names_type, names);
}

/* ---- addresses of a name ------------------------------------------------- */

struct resolving {
	struct operation base;
	struct names_lookup lookup;
};

static void resolving_stop(struct operation *o)
{
	plait_i_lookup_cancel(&plait_self(o, struct resolving)->lookup);
}

static const struct operation_kind resolving_kind = {
	.size = sizeof(struct resolving),
	.stop = resolving_stop,
};

/* Everything is told at the end. */
static void resolving_found(struct names_lookup *l, int family,
			    const struct plait_address *list, size_t n)
{
}

/* The name that has the addresses; a numeric one is written anew. */
static void resolving_name(const struct names_lookup *l, char *buf, size_t size)
{
	for (int i = 0; i < LOOKUP_FAMILIES; i++) {
		const struct plait_dns_answer *a = l->families[i].answer;

		if (a != NULL) {
			snprintf(buf, size, "%s", a->records[0].name);
			return;
		}
	}
	if (l->name.length > 0) {
		plait_i_name_str(&l->name, buf, size);
		return;
	}
	for (int i = 0; i < LOOKUP_FAMILIES; i++) {
		if (l->families[i].n > 0)
			plait_address_host(&l->families[i].list[0], buf, size);
	}
}

static double resolving_ttl(const struct names_lookup *l)
{
	return l->ttl == LOOKUP_FOR_EVER ? INFINITY : l->ttl;
}

static void resolving_copy(const struct names_lookup *l, struct addresses *a)
{
	size_t n = 0;

	for (int i = 0; i < LOOKUP_FAMILIES; i++) {
		const struct lookup_family *f = &l->families[i];

		for (size_t j = 0; j < f->n; j++)
			a->items[n++] = f->list[j];
	}
	/* Each family is sorted. */
	if (l->families[0].n > 0 && l->families[1].n > 0)
		plait_i_sort(a->items, n, plait_i_source_ask, l->resolver);
	a->shown.count = n;
	a->shown.items = a->items;
}

static plait_value resolving_value(const struct names_lookup *l)
{
	size_t n = l->families[0].n + l->families[1].n;
	char name[NAME_TEXT_SIZE];
	struct addresses *a;

	resolving_name(l, name, sizeof(name));
	a = calloc(1, sizeof(*a) + n * sizeof(a->items[0]) + strlen(name) + 1);
	if (a == NULL)
		return plait_no_memory();
	a->refs = 1;
	a->shown.ttl = resolving_ttl(l);
	resolving_copy(l, a);
	a->shown.name = strcpy((char *)(a->items + n), name);
	return plait_value_make(&plait_addresses_type, a);
}

static void resolving_ended(struct names_lookup *l,
			    const struct plait_failure *why)
{
	struct resolving *o = plait_container(l, struct resolving, lookup);

	operation_fire(&o->base, why != NULL ? plait_failure_value(why)
					     : resolving_value(l));
}

/* Of options that are given; what is wrong with them, or NULL. */
static const char *resolve_objection(const struct plait_resolve_options *o)
{
	plait_i_clock_delay(o->timeout);
	if (RESERVED_IN_USE(o))
		return "a reserved word is not 0";
	if (o->port > UINT16_MAX)
		return "a port above 65535";
	if (o->family != AF_UNSPEC && o->family != AF_INET &&
	    o->family != AF_INET6)
		return "a family that has no names";
	return NULL;
}

static struct operation_call resolve_call(struct plait_reactor *r,
					  const struct plait_resolve_options *o,
					  const char *where)
{
	struct plait_resolver *rs = o->resolver;

	if (rs == NULL)
		rs = plait_reactor_resolver(r);
	else if (rs->reactor != NULL && rs->reactor != r)
		plait_die(where, "the resolver belongs to another reactor");
	return (struct operation_call){
		.reactor = rs != NULL ? rs->reactor : r,
		.resolver = rs,
		.where = where,
	};
}

static const struct plait_resolve_options resolve_defaults;

struct plait_deferred *
plait_resolve(struct plait_reactor *r, const char *name,
	      const struct plait_resolve_options *options, const char *where)
{
	struct operation_call call;
	struct plait_deferred *d;
	struct resolving *o;
	const char *objection;

	loop_check_given(r, "plait_resolve()", where);
	if (options == NULL)
		options = &resolve_defaults;
	objection = resolve_objection(options);
	if (objection != NULL)
		return operation_refused(objection, EINVAL, where);
	call = resolve_call(r, options, where);
	o = plait_self(operation_new(&call, &resolving_kind, &d),
		       struct resolving);
	if (o == NULL)
		return d;
	o->lookup.found = resolving_found;
	o->lookup.ended = resolving_ended;
	plait_i_lookup_start(&o->lookup, r, call.resolver,
			     &(struct lookup_wish){
				     .name = name != NULL ? name : "",
				     .port = options->port,
				     .family = options->family,
				     .timeout = options->timeout,
				     .no_search = options->no_search,
			     });
	return d;
}

/* ---- names of an address ------------------------------------------------- */

struct reversing {
	struct operation base;
	struct plait_address address;
	struct nsswitch order;
	size_t step;
	struct names_ask ask;
	struct system_job *job;
	struct plait_timer timer;
	struct loop_task soon;
	plait_value result; /* that soon will tell */
	double timeout;
};

static struct reversing *reversing_of(struct operation *o)
{
	return plait_self(o, struct reversing);
}

static void reversing_stop(struct operation *o)
{
	struct reversing *v = reversing_of(o);

	plait_i_ask_cancel(&v->ask);
	plait_i_system_cancel(&v->job);
	plait_timer_stop(&v->timer);
	loop_task_cancel(&v->soon);
	plait_value_free(&v->result);
}

static const struct operation_kind reversing_kind = {
	.size = sizeof(struct reversing),
	.stop = reversing_stop,
};

static void reversing_run_soon(struct loop_task *task)
{
	struct reversing *v = plait_container(task, struct reversing, soon);

	operation_fire(&v->base, plait_value_take(&v->result));
}

/* The result, which is taken, is known at once, but told from the loop. */
static void reversing_end(struct reversing *v, plait_value result)
{
	v->result = result;
	plait_i_loop_next_turn(v->base.reactor, &v->soon);
}

static plait_value reversing_failure(const struct reversing *v,
				     const struct plait_error *kind,
				     const char *what)
{
	char text[PLAIT_ADDRESS_SIZE];

	plait_address_host(&v->address, text, sizeof(text));
	return (plait_fail)(v->base.where, kind, "%s: %s", text, what);
}

static void reversing_ask_source(struct reversing *v);

/* A source has no name; why is what the DNS has said, taken, or NULL. */
static plait_value reversing_next(struct reversing *v,
				  enum nsswitch_status status, plait_value why)
{
	if (!v->order.steps[v->step].ends[status] && v->step + 1 < v->order.n) {
		plait_value_free(&why);
		v->step++;
		reversing_ask_source(v);
		return PLAIT_NONE;
	}
	if (!plait_value_is_none(&why))
		return why;
	return reversing_failure(v, &plait_error_dns_no_name,
				 "no name is known");
}

static plait_value reversing_names(const struct plait_dns_answer *answer)
{
	const char **list = calloc(answer->count, sizeof(*list));
	plait_value v;

	if (list == NULL)
		return plait_no_memory();
	for (size_t i = 0; i < answer->count; i++)
		list[i] = answer->records[i].data.host;
	v = names_value(list, answer->count, answer->ttl);
	free(list);
	return v;
}

static void reversing_told(struct names_ask *a, struct plait_dns_answer *answer,
			   const struct plait_failure *why)
{
	struct reversing *v = plait_container(a, struct reversing, ask);
	plait_value result;

	if (answer != NULL)
		result = reversing_names(answer);
	else
		result = reversing_next(v,
					plait_i_failure_is_of_nothing(why)
						? NSSWITCH_NOTFOUND
						: NSSWITCH_TRYAGAIN,
					plait_failure_value(why));
	if (!plait_value_is_none(&result))
		operation_fire(&v->base, result);
}

static void reversing_ask_dns(struct reversing *v)
{
	struct plait_resolver *rs = v->base.resolver;
	struct dns_name name;

	plait_i_name_reverse(&name, &v->address);
	v->ask = (struct names_ask){ .told = reversing_told };
	plait_i_ask_start(&v->ask, rs,
			  &(struct ask_wish){
				  .name = &name,
				  .type = PLAIT_DNS_PTR,
				  .turn = plait_i_servers_turn(&rs->servers),
				  .timeout = v->timeout,
			  });
}

static void reversing_ask_files(struct reversing *v)
{
	const char *name =
		plait_i_hosts_name(v->base.resolver->files.hosts, &v->address);
	plait_value result;

	if (name != NULL)
		result = names_value(&name, 1, LOOKUP_HOSTS_TTL);
	else
		result = reversing_next(v, NSSWITCH_NOTFOUND, PLAIT_NONE);
	if (!plait_value_is_none(&result))
		reversing_end(v, result);
}

static void reversing_ask_source(struct reversing *v)
{
	if (v->order.steps[v->step].source == NSSWITCH_FILES)
		reversing_ask_files(v);
	else
		reversing_ask_dns(v);
}

static void reversing_ask_sources(struct reversing *v)
{
	struct plait_resolver *rs = v->base.resolver;

	if (plait_i_names_refresh(rs) < 0) {
		reversing_end(v, plait_no_memory());
		return;
	}
	v->order = rs->files.nsswitch;
	if (v->order.n > 0)
		reversing_ask_source(v);
	else
		reversing_end(v, reversing_failure(
					 v, &plait_error_dns_lookup,
					 "nsswitch.conf has neither files nor "
					 "dns"));
}

static void reversing_system_told(void *arg, const struct system_result *result)
{
	struct reversing *v = arg;

	v->job = NULL;
	operation_fire(
		&v->base,
		result->error == 0
			? names_value(&result->name, 1, 0)
			: reversing_failure(
				  v, plait_i_lookup_system_kind(result->error),
				  gai_strerror(result->error)));
}

static void reversing_ask_system(struct reversing *v)
{
	const struct system_wish wish = {
		.address = v->address,
		.told = reversing_system_told,
		.arg = v,
	};
	int rc = plait_i_system_start(&v->base.resolver->system,
				      v->base.reactor, &wish, &v->job);

	if (rc < 0)
		reversing_end(v, plait_i_lookup_system_failure(rc));
}

static void reversing_time_is_up(void *arg)
{
	struct reversing *v = arg;

	operation_fire(&v->base,
		       reversing_failure(v, &plait_error_dns_timeout,
					 "nothing was found out in time"));
}

struct plait_deferred *plait_resolve_address(
	struct plait_reactor *r, const struct plait_address *address,
	const struct plait_resolve_options *options, const char *where)
{
	struct operation_call call;
	struct plait_deferred *d;
	struct reversing *v;
	struct dns_name name;
	const char *objection;

	loop_check_given(r, "plait_resolve_address()", where);
	if (options == NULL)
		options = &resolve_defaults;
	objection = resolve_objection(options);
	if (objection == NULL && plait_i_name_reverse(&name, address) < 0)
		objection = "no IP address";
	if (objection != NULL)
		return operation_refused(objection, EINVAL, where);
	call = resolve_call(r, options, where);
	v = reversing_of(operation_new(&call, &reversing_kind, &d));
	if (v == NULL)
		return d;
	v->address = *address;
	v->soon.run = reversing_run_soon;
	v->timeout = options->timeout > 0 ? options->timeout
					  : call.resolver->timeout;
	plait_timer_start(r, &v->timer, v->timeout, reversing_time_is_up, v);
	if (call.resolver->is_system)
		reversing_ask_system(v);
	else
		reversing_ask_sources(v);
	return d;
}

/* ---- records ------------------------------------------------------------- */

struct querying {
	struct operation base;
	struct dns_name name;
	unsigned type;
	struct names_ask ask;
	struct plait_timer timer;
};

static struct querying *querying_of(struct operation *o)
{
	return plait_self(o, struct querying);
}

static void querying_stop(struct operation *o)
{
	plait_i_ask_cancel(&querying_of(o)->ask);
	plait_timer_stop(&querying_of(o)->timer);
}

static const struct operation_kind querying_kind = {
	.size = sizeof(struct querying),
	.stop = querying_stop,
};

static void querying_told(struct names_ask *a, struct plait_dns_answer *answer,
			  const struct plait_failure *why)
{
	struct querying *q = plait_container(a, struct querying, ask);

	operation_fire(&q->base, answer != NULL
					 ? plait_i_answer_value(
						   plait_i_answer_ref(answer))
					 : plait_failure_value(why));
}

static void querying_time_is_up(void *arg)
{
	struct querying *q = arg;
	char name[NAME_TEXT_SIZE], type[16];

	plait_i_name_str(&q->name, name, sizeof(name));
	plait_dns_type_str(q->type, type, sizeof(type));
	operation_fire(&q->base,
		       (plait_fail)(q->base.where, &plait_error_dns_timeout,
				    "%s %s: no answer in %g s", name, type,
				    q->base.resolver->timeout));
}

static void querying_start(struct querying *q)
{
	struct plait_resolver *rs = q->base.resolver;

	plait_timer_start(q->base.reactor, &q->timer, rs->timeout,
			  querying_time_is_up, q);
	q->ask.told = querying_told;
	plait_i_ask_start(&q->ask, rs,
			  &(struct ask_wish){
				  .name = &q->name,
				  .type = q->type,
				  .turn = plait_i_servers_turn(&rs->servers),
				  .timeout = rs->timeout,
			  });
}

struct plait_deferred *plait_dns_query(struct plait_resolver *rs,
				       const char *name, unsigned type,
				       const char *where)
{
	const struct operation_call call = {
		.reactor = rs != NULL ? rs->reactor : NULL,
		.resolver = rs,
		.where = where,
	};
	struct dns_name parsed;
	struct plait_deferred *d;
	struct querying *q;
	int rc;

	if (call.reactor != NULL)
		loop_check(call.reactor, where);
	if (type == 0 || type > UINT16_MAX)
		return operation_refused("no type of records", EINVAL, where);
	rc = plait_i_name_parse(&parsed, name != NULL ? name : "");
	if (rc < 0)
		return (plait_failed)(plait_i_lookup_bad_name(rc), where);
	if (call.reactor != NULL && plait_i_names_refresh(rs) < 0)
		return (plait_failed)(plait_no_memory(), where);
	q = querying_of(operation_new(&call, &querying_kind, &d));
	if (q == NULL)
		return d;
	q->name = parsed;
	q->type = type;
	querying_start(q);
	return d;
}
