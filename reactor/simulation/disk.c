/*
 * The files of a simulated host.  They are on its disk, so they outlast a
 * crash.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/simulation/world.h"

static struct host_file *disk_search(const struct plait_host *h,
				     const char *path)
{
	struct plait_list *l;

	plait_list_for_each (l, &h->disk) {
		struct host_file *f =
			plait_container(l, struct host_file, link);

		if (strcmp(f->path, path) == 0)
			return f;
	}
	return NULL;
}

const struct host_file *plait_i_disk_find(const struct plait_host *h,
					  const char *path)
{
	return disk_search(h, path);
}

static void disk_remove(struct host_file *f)
{
	if (f == NULL)
		return;
	plait_list_remove(&f->link);
	free(f->path);
	free(f);
}

void plait_i_disk_free(struct plait_host *h)
{
	struct plait_list *l;

	while ((l = plait_list_first(&h->disk)) != NULL)
		disk_remove(plait_container(l, struct host_file, link));
}

static struct host_file *disk_make(const char *path, const char *text)
{
	size_t size = strlen(text);
	struct host_file *f = malloc(sizeof(*f) + size);

	if (f == NULL)
		return NULL;
	*f = (struct host_file){ .path = strdup(path), .size = size };
	memcpy(f->data, text, size);
	if (f->path != NULL)
		return f;
	free(f);
	return NULL;
}

int plait_i_disk_rename(struct plait_host *h, const char *from, const char *to)
{
	struct host_file *f = disk_search(h, from);
	char *path;

	if (f == NULL)
		return -ENOENT;
	path = strdup(to);
	if (path == NULL)
		return -ENOMEM;
	if (strcmp(from, to) != 0)
		disk_remove(disk_search(h, to));
	free(f->path);
	f->path = path;
	return 0;
}

static void disk_add(struct plait_host *h, struct host_file *f)
{
	f->number = ++h->n_files;
	f->written = h->simulation->now;
	plait_list_append(&h->disk, &f->link);
}

int plait_i_disk_make_socket(struct plait_host *h, const char *path)
{
	struct host_file *f = disk_make(path, "");

	if (f == NULL)
		return -ENOMEM;
	f->is_socket = true;
	disk_add(h, f);
	return (int)f->number;
}

int plait_host_set_file(struct plait_host *h, const char *path,
			const char *text)
{
	struct host_file *f = NULL;

	if (h == NULL)
		return -ENOMEM;
	if (text != NULL) {
		f = disk_make(path, text);
		if (f == NULL)
			return -ENOMEM;
	}
	disk_remove(disk_search(h, path));
	if (f != NULL)
		disk_add(h, f);
	return 0;
}
