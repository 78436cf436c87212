/*
 * Descriptors that wait to be handed over: see handover.h.
 *
 * A mark is a place in the stream, counted in bytes since there was no mark.
 * The kernel hands descriptors over with the first byte of a call.  So a call
 * that sends ends before the next mark, and a call that begins at a mark takes
 * its descriptors along.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/net/handover.h"

struct handover_mark {
	struct handover_mark *next;
	uint64_t at;
	size_t n;
	int fds[];
};

int plait_i_handover_add(struct handover *h, size_t unsent, const int *fds,
			 size_t n)
{
	struct handover_mark *m = malloc(sizeof(*m) + n * sizeof(*fds));

	if (m == NULL)
		return -ENOMEM;
	if (h->first == NULL) {
		h->first = m;
		h->sent = 0;
	} else {
		h->last->next = m;
	}
	h->last = m;
	m->next = NULL;
	m->at = h->sent + unsent;
	m->n = n;
	h->waiting += n;
	memcpy(m->fds, fds, n * sizeof(*fds));
	return 0;
}

uint64_t plait_i_handover_next(const struct handover *h, const int **fds,
			       size_t *n)
{
	const struct handover_mark *m = h->first;

	*n = 0;
	if (m->at > h->sent)
		return m->at - h->sent;
	*fds = m->fds;
	*n = m->n;
	return m->next != NULL ? m->next->at - h->sent : UINT64_MAX;
}

/* Others may share what they refer to, so they are closed and nothing more. */
static void handover_drop_first(struct handover *h, struct kernel *k)
{
	struct handover_mark *m = h->first;

	h->first = m->next;
	h->waiting -= m->n;
	for (size_t i = 0; i < m->n; i++)
		kernel_close(k, m->fds[i]);
	free(m);
}

void plait_i_handover_sent(struct handover *h, struct kernel *k, size_t bytes)
{
	h->sent += bytes;
	if (h->first != NULL && h->first->at < h->sent)
		handover_drop_first(h, k);
}

void plait_i_handover_drop(struct handover *h, struct kernel *k)
{
	plait_timer_stop(&h->again);
	while (h->first != NULL)
		handover_drop_first(h, k);
}
