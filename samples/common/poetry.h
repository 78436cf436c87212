/*
 * The two clients that the poetry programs use, each one connection wrapped
 * in a deferred: whoever cancels the deferred closes the connection.
 */
#ifndef SAMPLES_COMMON_POETRY_H
#define SAMPLES_COMMON_POETRY_H

#include "common/program.h"

/* The poem that the server sends before it hangs up, as a buffer. */
struct plait_deferred *get_poetry(struct plait_reactor *r,
				  const struct plait_address *server);

/* The poem, which stays the caller's, as the server transforms it. */
struct plait_deferred *transform_poetry(struct plait_reactor *r,
					const struct plait_address *server,
					const char *transformation,
					struct plait_buf *poem);

#endif
