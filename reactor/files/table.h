/*
 * A hash table of what embeds a struct file_link.  It needs memory only to stay
 * fast: without it the table works as well.
 */
#ifndef REACTOR_FILE_TABLE_H
#define REACTOR_FILE_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct file_link {
	struct file_link *next;
	size_t hash;
};

enum { TABLE_FEW = 16 };

/* Zeroed it is empty. */
struct file_table {
	struct file_link **slots; /* NULL: few */
	size_t room, n;
	struct file_link *few[TABLE_FEW];
};

void plait_i_file_table_add(struct file_table *t, struct file_link *l,
			    size_t hash);
void plait_i_file_table_remove(struct file_table *t, struct file_link *l);
void plait_i_file_table_done(struct file_table *t);

/* The first, and the next one, of those that may have that hash. */
static inline struct file_link *file_table_find(const struct file_table *t,
						size_t hash)
{
	return t->slots != NULL ? t->slots[hash & (t->room - 1)]
				: t->few[hash & (TABLE_FEW - 1)];
}

#endif
