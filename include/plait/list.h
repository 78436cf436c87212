/*
 * An intrusive, circular, doubly linked list.  A node that is in no list
 * points to itself, so removing twice is nothing and inserting twice is
 * caught.  A zeroed node counts as being in no list too.
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

static inline void plait_list_init(struct plait_list *l)
{
	l->prev = l->next = l;
}

static inline bool plait_list_is_linked(const struct plait_list *l)
{
	return l->next != NULL && l->next != l;
}

/* Of a head: true if no node is in the list. */
static inline bool plait_list_is_empty(const struct plait_list *head)
{
	return !plait_list_is_linked(head);
}

/* Puts l, which is in no list, before another node; before a head: last. */
static inline void plait_list_insert(struct plait_list *before,
				     struct plait_list *l)
{
	plait_assert(!plait_list_is_linked(l));
	l->prev = before->prev;
	l->next = before;
	l->prev->next = l;
	before->prev = l;
}

/* Puts l at the end of the list; the head must have been initialised. */
static inline void plait_list_append(struct plait_list *head,
				     struct plait_list *l)
{
	plait_list_insert(head, l);
}

/* Takes l out of the list that it is in, if it is in one. */
static inline void plait_list_remove(struct plait_list *l)
{
	if (plait_list_is_linked(l)) {
		l->prev->next = l->next;
		l->next->prev = l->prev;
	}
	plait_list_init(l);
}

/* Moves all nodes of from to the end of to; from is empty afterwards. */
static inline void plait_list_move(struct plait_list *to,
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

/* The first node, still in the list (borrowed), or NULL. */
static inline struct plait_list *plait_list_first(const struct plait_list *head)
{
	return plait_list_is_empty(head) ? NULL : head->next;
}

/* Visits every node; the body must not take the visited one out. */
#define plait_list_for_each(l, head)                                           \
	for ((l) = (head)->next; (l) != (head); (l) = (l)->next)

/* Visits every node; the body may take out the visited one, and no other. */
#define plait_list_for_each_safe(l, following, head)                           \
	for ((l) = (head)->next, (following) = (l)->next; (l) != (head);       \
	     (l) = (following), (following) = (l)->next)

#ifdef __cplusplus
}
#endif

#endif
