/*
 * Prints what a watch tells of the tree in argv[1], a line for each change:
 *
 *	WHAT PATH		created, existed, changed, written, attributes,
 *				removed, overflow, gone, unseen
 *	renamed PATH<TAB>FROM
 *
 * A directory has a '/' behind its path.  The first line is "ready".
 */
#include <stdio.h>
#include <string.h>

#include <plait/plait.h>

static const char *name_of(const struct plait_file_change *c)
{
	switch (c->what) {
	case PLAIT_FILE_CREATED:
		return c->existed ? "existed" : "created";
	case PLAIT_FILE_CHANGED:
		return "changed";
	case PLAIT_FILE_WRITTEN:
		return "written";
	case PLAIT_FILE_ATTRIBUTES:
		return "attributes";
	case PLAIT_FILE_REMOVED:
		return "removed";
	case PLAIT_FILE_RENAMED:
		return "renamed";
	case PLAIT_FILE_OVERFLOW:
		return "overflow";
	case PLAIT_FILE_GONE:
		return "gone";
	default:
		return "unseen";
	}
}

static void print(struct plait_file_watch *w, const struct plait_file_change *c)
{
	printf("%s %s%s", name_of(c), c->path, c->is_directory ? "/" : "");
	if (c->from != NULL)
		printf("\t%s%s", c->from, c->is_directory ? "/" : "");
	putchar('\n');
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static struct plait_file_watch watch;
	const struct plait_file_watch_options options = { .tree = true,
							  .existing = true };
	struct plait_reactor *r = plait_reactor_new(NULL);
	int err;

	if (r == NULL || argc < 2)
		return 2;
	err = plait_file_watch_start(r, &watch, argv[1], &options, print);
	if (err < 0) {
		fprintf(stderr, "%s\n", strerror(-err));
		return 1;
	}
	puts("ready");
	fflush(stdout);
	plait_reactor_run(r);
	plait_file_watch_stop(&watch);
	plait_reactor_free(&r);
	return 0;
}
