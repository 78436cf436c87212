/*
 * The C library's lookups, as jobs of a pool.  A wish and a result are a piece
 * of memory each, which the pool frees when nobody wants them any more.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/failure.h"
#include "reactor/names/system.h"
#include "reactor/task/pool.h"

/* A lookup has a place in memory anyway: its job needs no other limit. */
static const struct plait_pool_options system_options = {
	.max_threads = 4,
	.max_queue = SIZE_MAX,
};

struct system_job {
	int family;
	union kernel_address address;
	socklen_t length; /* 0: name is looked up */
	char name[];
};

static void system_free_result(void *ptr)
{
	struct system_result *result = ptr;

	if (result->list != NULL)
		freeaddrinfo(result->list);
	free(result);
}

const struct plait_type plait_i_system_result_type = {
	.name = "answer of the C library",
	.free = system_free_result,
};

/* In the thread. */
static plait_value system_look_up(struct plait_job *job, void *arg)
{
	const struct system_job *j = arg;
	const struct addrinfo hints = { .ai_family = j->family,
					.ai_socktype = SOCK_STREAM };
	struct system_result *result = malloc(sizeof(*result));

	if (result == NULL)
		return plait_no_memory();
	result->list = NULL;
	if (j->length > 0)
		result->error =
			getnameinfo(&j->address.any, j->length, result->name,
				    sizeof(result->name), NULL, 0, NI_NAMEREQD);
	else
		result->error =
			getaddrinfo(j->name, NULL, &hints, &result->list);
	return plait_value_make(&plait_i_system_result_type, result);
}

static struct system_job *system_new_job(const struct system_wish *wish)
{
	const char *name = wish->name != NULL ? wish->name : "";
	size_t size = strlen(name) + 1;
	struct system_job *j = malloc(sizeof(*j) + size);

	if (j == NULL)
		return NULL;
	*j = (struct system_job){ .family = wish->family };
	memcpy(j->name, name, size);
	if (wish->name == NULL)
		j->length =
			plait_i_address_to_kernel(&wish->address, &j->address);
	return j;
}

static struct plait_pool *system_pool(struct plait_reactor *r)
{
	struct plait_pool *pool = plait_pool_new(r, "names", &system_options);

	if (pool != NULL)
		plait_i_pool_ignore_shutdowns(pool);
	return pool;
}

struct plait_deferred *plait_i_system_start(struct plait_pool **poolp,
					    struct plait_reactor *r,
					    const struct system_wish *wish)
{
	struct system_job *j = system_new_job(wish);

	if (j == NULL)
		return plait_failed(plait_no_memory());
	if (*poolp == NULL)
		*poolp = system_pool(r);
	return plait_defer_to_pool(*poolp, system_look_up, j, free);
}

void plait_i_system_cancel(struct plait_deferred **jobp)
{
	struct plait_deferred *job = *jobp;

	*jobp = NULL;
	plait_deferred_free(&job);
}
