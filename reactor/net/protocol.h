/*
 * The inside of protocols.
 */
#ifndef REACTOR_PROTOCOL_H
#define REACTOR_PROTOCOL_H

#include <plait/protocol.h>

/* Calls done().  Then the protocol may be freed. */
void plait_i_protocol_done(struct plait_protocol *p);

#endif
