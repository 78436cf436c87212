/*
 * Descriptors that wait to be handed over with their bytes, of one connection:
 * marks in the queue of its unsent output.
 */
#ifndef REACTOR_HANDOVER_H
#define REACTOR_HANDOVER_H

#include <plait/timer.h>

#include "reactor/kernel/kernel.h"

struct handover_mark;

/* Zeroed, it is empty. */
struct handover {
	struct handover_mark *first, *last;
	/* How many bytes were sent since it was last empty. */
	uint64_t sent;
	size_t waiting; /* descriptors */
	/* While it runs, the kernel has as many on their way as it allows. */
	struct plait_timer again;
};

/* As so many unsent bytes counts each of them: the process can have few. */
enum { HANDOVER_COST = 1024 };

static inline bool handover_waits(const struct handover *h)
{
	return h->first != NULL;
}

/*
 * Adds n descriptors, which are taken, and belong to the byte that follows so
 * many unsent ones.  Returns 0; or -ENOMEM, and then they are not taken.
 */
int plait_i_handover_add(struct handover *h, size_t unsent, const int *fds,
			 size_t n);

/*
 * Returns how many bytes the next send may have at most.  It has to take *n
 * descriptors along, which are borrowed; 0: none.
 */
uint64_t plait_i_handover_next(const struct handover *h, const int **fds,
			       size_t *n);

/* So many bytes were sent, 1 or more: closes the descriptors that went along.
 */
void plait_i_handover_sent(struct handover *h, struct kernel *k, size_t bytes);

/* Closes all of them, and stops the timer. */
void plait_i_handover_drop(struct handover *h, struct kernel *k);

#endif
