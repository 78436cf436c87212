/* A hash table: see table.h. */
#include <stdlib.h>

#include "reactor/files/table.h"

static struct file_link **table_slot(struct file_table *t, size_t hash)
{
	return t->slots != NULL ? &t->slots[hash & (t->room - 1)]
				: &t->few[hash & (TABLE_FEW - 1)];
}

static void table_put(struct file_table *t, struct file_link *l)
{
	struct file_link **slot = table_slot(t, l->hash);

	l->next = *slot;
	*slot = l;
}

static void table_move(struct file_table *t, struct file_link **from, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		while (from[i] != NULL) {
			struct file_link *l = from[i];

			from[i] = l->next;
			table_put(t, l);
		}
	}
}

static void table_grow(struct file_table *t)
{
	size_t before = t->slots != NULL ? t->room : TABLE_FEW;
	struct file_link **old = t->slots,
			 **slots = calloc(2 * before, sizeof(*slots));

	if (slots == NULL)
		return;
	t->slots = slots;
	t->room = 2 * before;
	table_move(t, old != NULL ? old : t->few, before);
	free(old);
}

void plait_i_file_table_add(struct file_table *t, struct file_link *l,
			    size_t hash)
{
	if (t->n >= (t->slots != NULL ? t->room : TABLE_FEW))
		table_grow(t);
	l->hash = hash;
	table_put(t, l);
	t->n++;
}

void plait_i_file_table_remove(struct file_table *t, struct file_link *l)
{
	struct file_link **at = table_slot(t, l->hash);

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	t->n--;
}

void plait_i_file_table_done(struct file_table *t)
{
	free(t->slots);
	t->slots = NULL;
}
