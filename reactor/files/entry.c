/* The names of a tree: see entry.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/files/entry.h"

static struct file_notifier *entry_notifier(const struct file_entry *e)
{
	return e->tree->base.notifier;
}

static size_t entry_hash(const struct file_entry *parent, const char *name)
{
	size_t hash = parent->number;

	for (; *name != '\0'; name++)
		hash = (hash ^ (unsigned char)*name) * 0x01000193u;
	return hash ^ hash >> 15;
}

static void entry_init(struct file_entry *e, struct file_tree *t)
{
	*e = (struct file_entry){ .tree = t,
				  .number = ++t->base.notifier->numbers,
				  .user = { .of = &t->base,
					    .ops = t->user_ops } };
	plait_list_init(&e->children);
}

void plait_i_entry_init_root(struct file_tree *t)
{
	entry_init(&t->root, t);
	t->root.is_directory = true;
}

/* ---- places -------------------------------------------------------------- */

static void entry_put(struct file_entry *e, struct file_entry *d)
{
	e->parent = d;
	plait_list_append(&d->children, &e->sibling);
	plait_i_file_table_add(&entry_notifier(e)->entries, &e->link,
			       entry_hash(d, e->name));
}

static void entry_leave(struct file_entry *e)
{
	plait_i_file_table_remove(&entry_notifier(e)->entries, &e->link);
	plait_list_remove(&e->sibling);
}

struct file_entry *plait_i_entry_new(struct file_entry *d, const char *name,
				     bool is_directory)
{
	struct file_entry *e = malloc(sizeof(*e));

	if (e == NULL)
		return NULL;
	entry_init(e, d->tree);
	e->is_directory = is_directory;
	e->name = strdup(name);
	if (e->name == NULL) {
		free(e);
		return NULL;
	}
	entry_put(e, d);
	return e;
}

struct file_entry *plait_i_entry_find(const struct file_entry *d,
				      const char *name)
{
	size_t hash = entry_hash(d, name);
	struct file_link *l =
		file_table_find(&entry_notifier(d)->entries, hash);

	for (; l != NULL; l = l->next) {
		struct file_entry *e =
			plait_container(l, struct file_entry, link);

		if (l->hash == hash && e->parent == d &&
		    strcmp(e->name, name) == 0)
			return e;
	}
	return NULL;
}

int plait_i_entry_move(struct file_entry *e, struct file_entry *d,
		       const char *name)
{
	char *copy = strdup(name);

	if (copy == NULL)
		return -ENOMEM;
	entry_leave(e);
	free(e->name);
	e->name = copy;
	entry_put(e, d);
	return 0;
}

bool plait_i_entry_is_inside(const struct file_entry *e,
			     const struct file_entry *d)
{
	while (e != NULL && e != d)
		e = e->parent;
	return e != NULL;
}

struct file_entry *plait_i_entry_next(const struct file_entry *e,
				      const struct file_entry *subtree)
{
	struct plait_list *l = plait_list_first(&e->children);

	for (; l == NULL; e = e->parent) {
		if (e == subtree)
			return NULL;
		if (e->sibling.next != &e->parent->children)
			l = e->sibling.next;
	}
	return plait_container(l, struct file_entry, sibling);
}

/* ---- what is known of one ------------------------------------------------ */

static void entry_forget(struct file_entry *e)
{
	plait_list_remove(&e->looker);
	plait_list_remove(&e->youth.link);
	if (e->user.mark != NULL)
		e->tree->n_directories--;
	plait_i_notifier_leave(entry_notifier(e), &e->user);
}

static void entry_free(struct file_entry *e)
{
	entry_forget(e);
	entry_leave(e);
	free(e->name);
	free(e);
}

void plait_i_entry_take(struct file_entry *e)
{
	plait_list_remove(&e->looker);
	plait_i_entry_end_youth(e);
	entry_leave(e);
	e->parent = NULL;
}

void plait_i_entry_free_homeless(struct file_entry *e)
{
	plait_list_remove(&e->sibling);
	plait_i_notifier_leave(entry_notifier(e), &e->user);
	free(e->name);
	free(e);
}

/* From the leaves, without a recursion. */
void plait_i_entry_empty(struct file_entry *d)
{
	struct file_entry *e = d, *parent;

	for (;;) {
		while (!plait_list_is_empty(&e->children))
			e = plait_container(e->children.next, struct file_entry,
					    sibling);
		if (e == d)
			return;
		parent = e->parent;
		entry_free(e);
		e = parent;
	}
}

void plait_i_entry_drop(struct file_entry *e)
{
	if (e == NULL)
		return;
	plait_i_entry_empty(e);
	if (e->parent != NULL)
		entry_free(e);
	else
		entry_forget(e);
}

/* ---- youth --------------------------------------------------------------- */

/* Names that are not those of directories are known no longer. */
void plait_i_entry_end_youth(struct file_entry *d)
{
	struct plait_list *l, *following;

	plait_list_remove(&d->youth.link);
	d->youth.until = 0;
	plait_list_for_each_safe (l, following, &d->children) {
		struct file_entry *e =
			plait_container(l, struct file_entry, sibling);

		if (e->user.mark == NULL && !plait_list_is_linked(&e->looker))
			plait_i_entry_drop(e);
	}
}

static void entry_run_end_of_youth(struct file_youth *y)
{
	plait_i_entry_end_youth(plait_container(y, struct file_entry, youth));
}

void plait_i_entry_begin_youth(struct file_entry *d)
{
	struct file_notifier *n = entry_notifier(d);

	plait_list_remove(&d->youth.link);
	d->youth.until = plait_i_notifier_now(n);
	d->youth.end = entry_run_end_of_youth;
	plait_list_append(&n->young, &d->youth.link);
}

static void entry_run_end(struct file_youth *y)
{
	plait_i_entry_drop(plait_container(y, struct file_entry, youth));
}

void plait_i_entry_keep_until(struct file_entry *e, uint64_t at)
{
	plait_list_remove(&e->youth.link);
	e->seen = e->youth.until = at;
	e->youth.end = entry_run_end;
	plait_list_append(&entry_notifier(e)->young, &e->youth.link);
}

/* ---- paths --------------------------------------------------------------- */

/* Writes name, behind a '/' if with_slash, in front of at. */
static char *entry_prepend(char *at, char *buf, const char *name,
			   bool with_slash)
{
	size_t len = strlen(name);

	if (at == NULL || (size_t)(at - buf) < len + with_slash)
		return NULL;
	at -= len;
	memcpy(at, name, len);
	if (with_slash)
		*--at = '/';
	return at;
}

const char *plait_i_entry_path(const struct file_entry *d, const char *name,
			       char *buf)
{
	const char *path = d->tree->base.path;
	bool ends_in_slash = path[strlen(path) - 1] == '/';
	char *at = buf + NOTIFIER_PATH - 1;

	*at = '\0';
	if (*name != '\0')
		at = entry_prepend(at, buf, name,
				   d->parent != NULL || !ends_in_slash);
	for (; d->parent != NULL; d = d->parent)
		at = entry_prepend(at, buf, d->name,
				   d->parent->parent != NULL || !ends_in_slash);
	return entry_prepend(at, buf, path, false);
}
