/*
 * The inside of protocols and factories: who uses a factory, and what a
 * factory builds.
 */
#ifndef REACTOR_PROTOCOL_H
#define REACTOR_PROTOCOL_H

#include <plait/protocol.h>

/*
 * Counting a factory's ports and connectors: start() at 0 to 1, stop() back.
 * These and the next call the user, and leave plait_i_loop_enter() to the
 * caller.
 */
void plait_i_factory_start(struct plait_factory *f);
void plait_i_factory_stop(struct plait_factory *f);

/*
 * Builds with build_protocol() or the table.  NULL: refused; with ENOMEM in
 * errno: no memory.
 */
struct plait_protocol *plait_i_factory_build(struct plait_factory *f,
					     const struct plait_address *peer);

/* Calls done().  Then the protocol may be freed. */
void plait_i_protocol_done(struct plait_protocol *p);

#endif
