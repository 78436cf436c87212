/*
 * The life of a resolver.
 *
 * A resolver whose reactor was freed stays until the program frees it.  Its
 * memory outlives plait_resolver_free() by the rest of the turn, because an
 * answer that is being told may be what has freed it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base.h"
#include "lib/deferred.h"
#include "lib/failure.h"
#include "reactor/names/lookup.h"
#include "reactor/names/operation.h"
#include "reactor/names/source.h"
#include "reactor/names/system.h"

static const double default_timeout = 30;
enum { DEFAULT_CACHE = 1 << 20, NO_CACHE = 1 };

static void resolver_free_parts(struct plait_resolver *rs)
{
	plait_pool_free(&rs->system);
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
	rs->seed = rs->files.seed = kernel_random(loop_kernel(r));
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

/* ---- the end of a resolver ----------------------------------------------- */

/* Those who are told may not free the reactor meanwhile, as in a callback of
   the loop. */
static void resolver_abandon_all(struct plait_resolver *rs)
{
	const struct plait_failure *why = plait_i_lookup_abandoned();
	struct plait_reactor *r = rs->reactor;

	plait_i_loop_enter(r);
	while (!plait_list_is_empty(&rs->asked))
		plait_i_operation_fire(
			plait_container(rs->asked.next, struct operation, link),
			plait_failure_value(why));
	while (!plait_list_is_empty(&rs->lookups))
		plait_i_lookup_abandon(plait_container(
			rs->lookups.next, struct names_lookup, link));
	plait_i_names_end_alone(rs);
	plait_i_loop_leave(r);
	plait_failure_unref(&why);
}

/* A forked child tells nobody. */
static void resolver_abandon_in_child(struct plait_resolver *rs)
{
	while (!plait_list_is_empty(&rs->asked)) {
		struct operation *o =
			plait_container(rs->asked.next, struct operation, link);
		struct plait_promise *p = plait_i_operation_end(o);

		plait_i_deferred_abandon(&p);
	}
	resolver_cancel_all(rs);
	plait_i_names_end_alone(rs);
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
