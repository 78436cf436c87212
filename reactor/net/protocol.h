/*
 * The inside of protocols.
 */
#ifndef REACTOR_PROTOCOL_H
#define REACTOR_PROTOCOL_H

#include <plait/protocol.h>

/* Calls done().  Then the protocol may be freed. */
void plait_i_protocol_done(struct plait_protocol *p);

/* Frees it, and tells its factory if that is out of use now. */
void plait_i_protocol_release(struct plait_protocol *p);

#endif
