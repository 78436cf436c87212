/*
 * Lookups as the program sees them: each gives a deferred, for an operation of
 * its own kind.
 */
#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "lib/base.h"
#include "lib/failure.h"
#include "reactor/names/found.h"
#include "reactor/names/lookup.h"
#include "reactor/names/operation.h"
#include "reactor/names/record.h"
#include "reactor/names/source.h"
#include "reactor/names/system.h"

/* Defined here; whoever calls them here says the place. */
#undef plait_resolve
#undef plait_resolve_address
#undef plait_dns_query

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

static void resolving_copy(const struct names_lookup *l,
			   struct plait_address *to)
{
	size_t n = 0;

	for (int i = 0; i < LOOKUP_FAMILIES; i++) {
		const struct lookup_family *f = &l->families[i];

		for (size_t j = 0; j < f->n; j++)
			to[n++] = f->list[j];
	}
	/* Each family is sorted. */
	if (l->families[0].n > 0 && l->families[1].n > 0)
		plait_i_sort(to, n, plait_i_source_ask, l->resolver);
}

static void resolving_name_server(const struct names_lookup *l,
				  struct plait_addresses *a)
{
	int family = plait_address_family(&a->items[0]);
	const struct plait_dns_answer *answer =
		l->families[family == AF_INET6 ? LOOKUP_IPV6 : LOOKUP_IPV4]
			.answer;

	if (answer == NULL)
		return;
	a->server = answer->server;
	a->cached = answer->cached;
}

static plait_value resolving_value(const struct names_lookup *l)
{
	char name[NAME_TEXT_SIZE];
	struct plait_address *items;
	struct plait_addresses *a;

	resolving_name(l, name, sizeof(name));
	a = plait_i_found_new(l->families[0].n + l->families[1].n, name,
			      resolving_ttl(l), &items);
	if (a == NULL)
		return plait_no_memory();
	resolving_copy(l, items);
	resolving_name_server(l, a);
	return plait_value_make(&plait_addresses_type, a);
}

static void resolving_ended(struct names_lookup *l,
			    const struct plait_failure *why)
{
	struct resolving *o = plait_container(l, struct resolving, lookup);

	plait_i_operation_fire(&o->base, why != NULL ? plait_failure_value(why)
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
		return plait_i_operation_refused(objection, EINVAL, where);
	call = resolve_call(r, options, where);
	o = plait_self(plait_i_operation_new(&call, &resolving_kind, &d),
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
	struct plait_deferred *job; /* of the C library; NULL: none */
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

	plait_i_operation_fire(&v->base, plait_value_take(&v->result));
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
	v = plait_i_found_names(list, answer->count, answer->ttl);
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
		plait_i_operation_fire(&v->base, result);
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
		result = plait_i_found_names(&name, 1, LOOKUP_HOSTS_TTL);
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
	int rc = plait_i_names_refresh(rs);

	if (rc < 0) {
		reversing_end(v, plait_i_names_unreadable(rc));
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

static plait_value reversing_system_answer(const struct reversing *v,
					   const struct system_result *result)
{
	const char *name = result->name;

	if (result->error == 0)
		return plait_i_found_names(&name, 1, 0);
	return reversing_failure(v, plait_i_lookup_system_kind(result->error),
				 gai_strerror(result->error));
}

static plait_value reversing_system_told(plait_value *result, void *arg)
{
	struct reversing *v = arg;
	plait_value told = plait_value_take(result), answer;

	/* It has cancelled its job itself. */
	if (v->job == NULL)
		return told;
	plait_deferred_free(&v->job);
	if (plait_value_is_failure(&told)) {
		reversing_end(v, plait_i_lookup_system_failure(told));
		return PLAIT_NONE;
	}
	answer = reversing_system_answer(v, system_result_of(&told));
	plait_value_free(&told);
	plait_i_operation_fire(&v->base, answer);
	return PLAIT_NONE;
}

static void reversing_ask_system(struct reversing *v)
{
	const struct system_wish wish = { .address = v->address };

	v->job = plait_i_system_start(&v->base.resolver->system,
				      v->base.reactor, &wish);
	plait_deferred_add_both(v->job, reversing_system_told, v);
}

static void reversing_time_is_up(void *arg)
{
	struct reversing *v = arg;

	plait_i_operation_fire(
		&v->base, reversing_failure(v, &plait_error_dns_timeout,
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
		return plait_i_operation_refused(objection, EINVAL, where);
	call = resolve_call(r, options, where);
	v = reversing_of(plait_i_operation_new(&call, &reversing_kind, &d));
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

	plait_i_operation_fire(
		&q->base, answer != NULL ? plait_i_answer_value(
						   plait_i_answer_ref(answer))
					 : plait_failure_value(why));
}

static void querying_time_is_up(void *arg)
{
	struct querying *q = arg;
	char name[NAME_TEXT_SIZE], type[16];

	plait_i_name_str(&q->name, name, sizeof(name));
	plait_dns_type_str(q->type, type, sizeof(type));
	plait_i_operation_fire(
		&q->base, (plait_fail)(q->base.where, &plait_error_dns_timeout,
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
		return plait_i_operation_refused("no type of records", EINVAL,
						 where);
	if (name == NULL)
		name = "";
	rc = plait_i_name_parse(&parsed, name);
	if (rc < 0)
		return (plait_failed)(plait_i_lookup_bad_name(name, rc), where);
	rc = call.reactor != NULL ? plait_i_names_refresh(rs) : 0;
	if (rc < 0)
		return (plait_failed)(plait_i_names_unreadable(rc), where);
	q = querying_of(plait_i_operation_new(&call, &querying_kind, &d));
	if (q == NULL)
		return d;
	q->name = parsed;
	q->type = type;
	querying_start(q);
	return d;
}
