/*
 * A circular, doubly linked list, whose nodes are members of the structs in
 * the list.  A node that is in no list points to itself, so removing it again
 * does nothing, and inserting a node that is in a list aborts.  A zeroed node
 * is in no list, too.
 */
#ifndef PLAIT_LIST_H
#define PLAIT_LIST_H

#include <stdbool.h>

#include <plait/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_list {
	struct plait_list *prev, *next;
};

PLAIT_INLINE void plait_list_init(struct plait_list *l)
{
	l->prev = l->next = l;
}

PLAIT_INLINE bool plait_list_is_linked(const struct plait_list *l)
{
	return l->next != NULL && l->next != l;
}

/* Returns true if no node is in the list of this head. */
PLAIT_INLINE bool plait_list_is_empty(const struct plait_list *head)
{
	return !plait_list_is_linked(head);
}

/*
 * Puts l, which is in no list, before another node.  If that is the head, l is
 * the last node of the list.
 */
PLAIT_INLINE void plait_list_insert(struct plait_list *before,
				    struct plait_list *l)
{
	plait_assert(!plait_list_is_linked(l));
	l->prev = before->prev;
	l->next = before;
	l->prev->next = l;
	before->prev = l;
}

/* Puts l at the end of the list; the head must have been initialised. */
PLAIT_INLINE void plait_list_append(struct plait_list *head,
				    struct plait_list *l)
{
	plait_list_insert(head, l);
}

/* Takes l out of its list; does nothing if l is in no list. */
PLAIT_INLINE void plait_list_remove(struct plait_list *l)
{
	if (plait_list_is_linked(l)) {
		l->prev->next = l->next;
		l->next->prev = l->prev;
	}
	plait_list_init(l);
}

/* Moves all nodes of from to the end of to; from is empty afterwards. */
PLAIT_INLINE void plait_list_move(struct plait_list *to,
				  struct plait_list *from)
{
	if (plait_list_is_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	plait_list_init(from);
}

/*
 * Returns the first node, which stays in the list (borrowed), or NULL if the
 * list is empty.
 */
PLAIT_INLINE struct plait_list *plait_list_first(const struct plait_list *head)
{
	return plait_list_is_empty(head) ? NULL : head->next;
}

/* Returns the node behind l, borrowed, or NULL if l is the last. */
PLAIT_INLINE struct plait_list *plait_list_next(const struct plait_list *head,
						const struct plait_list *l)
{
	return l->next == head ? NULL : l->next;
}

/* Visits every node; the body must not take out the node that it visits. */
#define plait_list_for_each(l, head)                                           \
	for ((l) = (head)->next; (l) != (head); (l) = (l)->next)

/*
 * Visits every node; the body may take out the node that it visits, but no
 * other node.
 */
#define plait_list_for_each_safe(l, following, head)                           \
	for ((l) = (head)->next, (following) = (l)->next; (l) != (head);       \
	     (l) = (following), (following) = (l)->next)

#ifdef __cplusplus
}
#endif

#endif
