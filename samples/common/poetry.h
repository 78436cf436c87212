/*
 * The two clients of the poetry programs.  Each is one connection behind a
 * deferred: cancelling the deferred closes the connection.
 */
#ifndef SAMPLES_COMMON_POETRY_H
#define SAMPLES_COMMON_POETRY_H

#include "common/program.h"

/*
 * Gives the poem that the server sends before it closes the connection, as a
 * buffer.
 */
struct plait_deferred *get_poetry(struct plait_reactor *r,
				  const struct server *server);

/* Gives the poem as the server transforms it.  poem stays the caller's. */
struct plait_deferred *transform_poetry(struct plait_reactor *r,
					const struct server *server,
					const char *transformation,
					struct plait_buf *poem);

#endif
