/*
 * Trees of files under random changes: whatever happens, and whenever the
 * library looks, what a watch tells adds up to what is there.
 *
 * A seed decides one run: directories and files are made, moved, replaced and
 * removed, also between two steps of the library that looks into them.  From
 * time to time the reactor rests, and then the picture that the changes make
 * must be the tree.  In a quarter of the runs nothing happens between two steps
 * of the library, and there is always memory: then a watch has to look at
 * everything again at most once, when two files have changed places and one of
 * their directories was moved before the watch could look.
 *
 * $PLAIT_SEEDS says how many seeds to run.  $PLAIT_SEED runs one alone, which
 * prints what is done and told; a failure names its seed.
 */
#include <signal.h>
#include <stdio.h>

#include "lib/chance.h"
#include "tests/disk.h"
#include "tests/harness.h"

enum { ROUNDS = 12, STEPS = 12, RUNS = 60 };

/* What else goes on in a run. */
enum { INTERFERENCE = 1, NO_MEMORY = 2, KINDS = 4 };

static uint64_t numbers;
static unsigned seed;

static unsigned choose(unsigned n)
{
	return (unsigned)(chance_next(&numbers) % n);
}

/* ---- the picture --------------------------------------------------------- */

static struct disk_paths picture;
static struct plait_file_watch watch;
static unsigned overflows;
static bool prints;

/* Is path that one, or below it? */
static bool is_at(const char *path, const char *top)
{
	size_t len = strlen(top);

	return strncmp(path, top, len) == 0 &&
	       (path[len] == '\0' || path[len] == '/');
}

static void forget(const char *top)
{
	size_t n = 0;

	for (size_t i = 0; i < picture.n; i++) {
		if (is_at(picture.paths[i], top))
			free(picture.paths[i]);
		else
			picture.paths[n++] = picture.paths[i];
	}
	picture.n = n;
}

/* What has the name from is a directory or not, as the change says. */
static void rename_all(const char *from, const char *to, bool is_directory)
{
	size_t len = strlen(from);

	disk_paths_add(&picture, to, is_directory);
	for (size_t i = 0; i < picture.n; i++) {
		char *path = picture.paths[i], *now;

		if (!is_at(path, from))
			continue;
		if (path[len] == '\0' || path[len + 1] == '\0') {
			free(path);
			picture.paths[i--] = picture.paths[--picture.n];
			continue;
		}
		ck_assert_int_gt(asprintf(&now, "%s%s", to, path + len), 0);
		free(path);
		picture.paths[i] = now;
	}
}

static void changed(struct plait_file_watch *w,
		    const struct plait_file_change *c)
{
	size_t prefix = strlen(disk_path("")) + 1;
	const char *path = c->path + prefix;

	if (prints)
		fprintf(stderr, "\t%u %s %s%s\n", c->what, path,
			c->from != NULL ? c->from + prefix : "",
			c->existed ? "!" : "");
	switch (c->what) {
	case PLAIT_FILE_CREATED:
		forget(path);
		disk_paths_add(&picture, path, c->is_directory);
		break;
	case PLAIT_FILE_REMOVED:
		forget(path);
		break;
	case PLAIT_FILE_RENAMED:
		forget(path);
		rename_all(c->from + prefix, path, c->is_directory);
		break;
	case PLAIT_FILE_OVERFLOW:
		overflows++;
		disk_paths_clear(&picture);
		break;
	default:
		ck_abort_msg("seed %u: change %u of %s (%d)", seed, c->what,
			     c->path, c->error);
	}
}

static void check_picture(void)
{
	char *is = disk_list(disk_path("")), *told = disk_paths_text(&picture);

	ck_assert_msg(strcmp(is, told) == 0, "seed %u:\nis   %s\ntold %s", seed,
		      is, told);
	free(is);
	free(told);
}

/* ---- what is done -------------------------------------------------------- */

/* A path of up to three names, of which there are few. */
static const char *draw_path(char *buf)
{
	static const char *const names[] = { "a", "b", "c", "d" };
	unsigned depth = 1 + choose(3);

	*buf = '\0';
	for (unsigned i = 0; i < depth; i++) {
		strcat(buf, i > 0 ? "/" : "");
		strcat(buf, names[choose(N_OF(names))]);
	}
	return buf;
}

static void do_something(void)
{
	static const char *const verbs[] = {
		"mkdir", "mkdir", "mkdir", "touch", "touch",  "put",
		"rm",	 "rmdir", "mv",	   "mv",    "mv",     "mv",
		"swap",	 "away",  "back",  "ln",    "symlink"
	};
	char step[64], p[16], q[16];

	snprintf(step, sizeof(step), "%s %s %s", verbs[choose(N_OF(verbs))],
		 draw_path(p), draw_path(q));
	if (prints)
		fprintf(stderr, "%s%s\n", step, disk_try(step) ? "" : " -");
	else
		disk_try(step);
}

static void do_some(unsigned most)
{
	unsigned n = choose(most + 1);

	while (n-- > 0)
		do_something();
}

/* Between two steps of the library. */
static void interfere(void *nothing)
{
	if (choose(4) == 0)
		do_some(4);
}

static const char *const steps[] = {
	"open", "openat", "inotify_add_watch", "getdents64", "ioctl", "close"
};

static void set_interference(bool on)
{
	for (size_t i = 0; i < N_OF(steps); i++)
		call_hook(steps[i], on ? interfere : NULL, NULL);
}

/* ---- a run --------------------------------------------------------------- */

static void round_of(unsigned how)
{
	set_interference((how & INTERFERENCE) != 0);
	for (unsigned i = choose(4); i > 0; i--) {
		do_some(STEPS);
		if (how & NO_MEMORY)
			fault_alloc_at(choose(20), false);
		run_turns(reactor, choose(3));
	}
	do_some(STEPS);
	run_turns(reactor, choose(3));
	set_interference(false);
	fault_alloc_off();
	run_for(reactor, 3);
	if (prints)
		fprintf(stderr, "rests\n");
	check_picture();
}

static void run(void)
{
	struct plait_file_watch_options o = {
		.tree = true,
		.existing = true,
		.what = PLAIT_FILE_CREATED | PLAIT_FILE_REMOVED |
			(choose(4) > 0 ? PLAIT_FILE_RENAMED : 0)
	};
	unsigned how = choose(KINDS);

	overflows = 0;
	disk_make();
	do_some(STEPS);
	watch = (struct plait_file_watch){ 0 };
	ck_assert_int_eq(plait_file_watch_start(reactor, &watch, disk_path(""),
						&o, changed),
			 0);
	for (int i = 0; i < ROUNDS; i++)
		round_of(how);
	ck_assert_msg(overflows <= 1 || how != 0, "seed %u: %u overflows", seed,
		      overflows);
	plait_file_watch_stop(&watch);
	disk_paths_clear(&picture);
	disk_remove();
}

static unsigned number(const char *name, unsigned otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

GROUP("random", .timeout = 900);

TEST(what_is_told_adds_up_to_what_is_there, ON_EACH_BACKEND)
{
	unsigned first = number("PLAIT_SEED", 0);
	unsigned n =
		getenv("PLAIT_SEED") != NULL ? 1 : number("PLAIT_SEEDS", RUNS);

	prints = getenv("PLAIT_SEED") != NULL;
	for (unsigned i = 0; i < n; i++) {
		numbers = seed = first + i;
		run();
	}
}
