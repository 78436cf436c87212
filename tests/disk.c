/* A directory of the disk: see disk.h. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <check.h>

#include "tests/disk.h"

enum { STEP = 1024 };

static char top[64];

void disk_make(void)
{
	const char *tmp = getenv("TMPDIR");
	char path[PATH_MAX];

	snprintf(top, sizeof(top), "%s/plait-files-XXXXXX",
		 tmp != NULL && strlen(tmp) < sizeof(top) / 2 ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(path, sizeof(path), "%s/tree", top);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/out", top);
	ck_assert_int_eq(mkdir(path, 0700), 0);
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *at)
{
	return remove(path);
}

void disk_remove(void)
{
	enum { FDS = 16 };

	nftw(top, remove_one, FDS, FTW_DEPTH | FTW_PHYS);
}

static const char *path_in(const char *dir, const char *name)
{
	enum { KEPT = 4 };
	static char paths[KEPT][PATH_MAX];
	static unsigned n;
	char *ret = paths[n++ % KEPT];

	snprintf(ret, PATH_MAX, "%s/%s%s%s", top, dir, *name ? "/" : "", name);
	return ret;
}

const char *disk_path(const char *name)
{
	return path_in("tree", name);
}

static const char *path_outside(const char *name)
{
	const char *slash = strrchr(name, '/');

	return path_in("out", slash != NULL ? slash + 1 : name);
}

static int put(const char *path, int flags, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0600);

	if (fd < 0)
		return -1;
	if (*text != '\0' && write(fd, text, strlen(text)) < 0)
		ck_abort_msg("%s: %s", path, strerror(errno));
	close(fd);
	return 0;
}

static int exchange(const char *a, const char *b)
{
	return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}

static int step(const char *verb, const char *p, const char *q)
{
	const char *path = disk_path(p);

#define IS(word) (strcmp(verb, word) == 0)
	if (IS("mkdir"))
		return mkdir(path, 0700);
	if (IS("rmdir"))
		return rmdir(path);
	if (IS("touch"))
		return put(path, O_CREAT, "");
	if (IS("put"))
		return put(path, O_CREAT | O_TRUNC, "text");
	if (IS("add"))
		return put(path, O_APPEND, "x");
	if (IS("cut"))
		return truncate(path, 0);
	if (IS("mv"))
		return rename(path, disk_path(q));
	if (IS("swap"))
		return exchange(path, disk_path(q));
	if (IS("ln"))
		return link(path, disk_path(q));
	if (IS("symlink"))
		return symlink(p, disk_path(q));
	if (IS("rm"))
		return unlink(path);
	if (IS("chmod"))
		return chmod(path, 0711);
	if (IS("away"))
		return rename(path, path_outside(p));
	if (IS("back"))
		return rename(path_outside(p), path);
	ck_abort_msg("no step is called \"%s\"", verb);
#undef IS
	return -1;
}

bool disk_try(const char *text)
{
	char verb[STEP] = "", p[STEP] = "", q[STEP] = "";

	sscanf(text, "%1023s %1023s %1023s", verb, p, q);
	return step(verb, p, q) == 0;
}

void disk_do(const char *steps)
{
	char one[STEP];
	size_t len;

	for (; *steps != '\0'; steps += len) {
		len = strcspn(steps, ";");
		snprintf(one, sizeof(one), "%.*s", (int)len, steps);
		if (!disk_try(one))
			ck_abort_msg("%s: %s", one, strerror(errno));
		len += strspn(steps + len, "; ");
	}
}

/* ---- what is there ------------------------------------------------------- */

static struct disk_paths *listed;
static size_t prefix;

void disk_paths_add(struct disk_paths *ps, const char *path, bool is_directory)
{
	ps->paths = realloc(ps->paths, (ps->n + 1) * sizeof(*ps->paths));
	ck_assert_int_gt(asprintf(&ps->paths[ps->n++], "%s%s", path,
				  is_directory ? "/" : ""),
			 0);
}

void disk_paths_clear(struct disk_paths *ps)
{
	for (size_t i = 0; i < ps->n; i++)
		free(ps->paths[i]);
	free(ps->paths);
	*ps = (struct disk_paths){ 0 };
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char *disk_paths_text(struct disk_paths *ps)
{
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (ps->n > 0)
		qsort(ps->paths, ps->n, sizeof(*ps->paths), by_name);
	for (size_t i = 0; i < ps->n; i++)
		fprintf(f, "%s%s", i > 0 ? " " : "", ps->paths[i]);
	fclose(f);
	return text;
}

static int list_one(const char *path, const struct stat *st, int type,
		    struct FTW *at)
{
	if (at->level > 0)
		disk_paths_add(listed, path + prefix, S_ISDIR(st->st_mode));
	return 0;
}

char *disk_list(const char *dir)
{
	enum { FDS = 16 };
	struct disk_paths ps = { 0 };
	char *text;

	listed = &ps;
	prefix = strlen(dir) + 1;
	nftw(dir, list_one, FDS, FTW_PHYS);
	text = disk_paths_text(&ps);
	disk_paths_clear(&ps);
	return text;
}
