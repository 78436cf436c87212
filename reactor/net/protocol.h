/*
 * The inside of protocols.
 */
#ifndef REACTOR_PROTOCOL_H
#define REACTOR_PROTOCOL_H

#include <plait/protocol.h>

/* Calls done().  Then the protocol may be freed. */
void plait_i_protocol_done(struct plait_protocol *p);

/*
 * A factory that has done() counts what uses it beside ports and connectors:
 * protocols, and the transports that these make above their own.  The first
 * function counts one more, and returns f; NULL if f does not count, or is
 * NULL.  The second takes what the first has returned.
 */
struct plait_factory *plait_i_factory_hold(struct plait_factory *f);
void plait_i_factory_drop(struct plait_factory *f);

/* Frees it, and tells its factory if that is out of use now. */
void plait_i_protocol_release(struct plait_protocol *p);

#endif
