/*
 * The transport on one or two descriptors that the program was given: what is
 * read on one, what is written goes to the other.
 */
#ifndef REACTOR_GIVEN_H
#define REACTOR_GIVEN_H

#include <plait/pipe.h>

#include "reactor/kernel/end.h"
#include "reactor/net/transport.h"

/* Two descriptors of the library's own; fd is -1 if there is none. */
struct given_ends {
	struct kernel_end in, out;
	bool is_stdio; /* they are copies of 0 and 1 */
};

/*
 * Gives the transport, with those ends, which are taken: they are closed on
 * failure, too; and with that mode, if it reads a terminal.  Returns NULL with
 * errno.  The caller then calls
 * plait_transport_made().
 */
struct plait_transport *plait_i_given_new(struct plait_reactor *r,
					  const struct given_ends *ends,
					  enum plait_terminal_mode mode,
					  struct transport_owner *owner);

#endif
