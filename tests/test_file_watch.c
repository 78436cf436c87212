/*
 * Files that change: what is told of what is done to them.
 *
 * tells("mkdir a; put a/b", "+a/ +a/b wa/b") does these steps (tests/disk.h),
 * turns the reactor until it rests, and compares what was told.  A word is a
 * change: + created, +! existed before, ~ changed, w written, = attributes,
 * - removed, P>Q renamed, ? unseen, OVERFLOW, GONE.  A directory has a '/'
 * behind it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <plait/testing.h>

#include "reactor/files/entry.h"
#include "tests/child.h"
#include "tests/disk.h"
#include "tests/harness.h"
#include "tests/model.h"

enum { WORDS = 65536 };

/* A watch, and the text of what it was told. */
struct looker {
	struct plait_file_watch watch;
	const char *root; /* is left out of paths */
	size_t n_words;
	char words[WORDS];
	void (*act)(struct looker *l, const struct plait_file_change *c);
	const struct plait_file_change *last;
};

static struct looker looker, other;

static const char *below(const struct looker *l, const char *path)
{
	size_t len = strlen(l->root);

	ck_assert_msg(strncmp(path, l->root, len) == 0, "%s is not in %s", path,
		      l->root);
	return path[len] == '/' ? path + len + 1 : path + len;
}

static const char *sign(const struct plait_file_change *c)
{
	switch (c->what) {
	case PLAIT_FILE_CREATED:
		return c->existed ? "+!" : "+";
	case PLAIT_FILE_CHANGED:
		return "~";
	case PLAIT_FILE_WRITTEN:
		return "w";
	case PLAIT_FILE_ATTRIBUTES:
		return "=";
	case PLAIT_FILE_REMOVED:
		return "-";
	case PLAIT_FILE_UNSEEN:
		return "?";
	case PLAIT_FILE_OVERFLOW:
		return "OVERFLOW";
	case PLAIT_FILE_GONE:
		return "GONE";
	default:
		return "";
	}
}

static const char *between(const struct plait_file_change *c)
{
	return c->from == NULL ? "" : c->is_directory ? "/>" : ">";
}

static void note(struct looker *l, const struct plait_file_change *c)
{
	const char *from = c->from != NULL ? below(l, c->from) : "";

	ck_assert_int_eq(c->from != NULL, c->what == PLAIT_FILE_RENAMED);
	ck_assert_int_eq(c->error != 0, c->what == PLAIT_FILE_UNSEEN);
	l->n_words += (size_t)snprintf(
		l->words + l->n_words, WORDS - l->n_words, "%s%s%s%s%s%s",
		l->n_words > 0 ? " " : "", from, between(c), sign(c),
		below(l, c->path), c->is_directory ? "/" : "");
	ck_assert_uint_lt(l->n_words, WORDS);
}

static void changed(struct plait_file_watch *w,
		    const struct plait_file_change *c)
{
	struct looker *l = plait_container(w, struct looker, watch);

	note(l, c);
	if (l->act != NULL)
		l->act(l, c);
}

static int watches(struct looker *l, const char *path,
		   const struct plait_file_watch_options *o)
{
	l->root = disk_path("");
	l->root = strdup(l->root);
	return plait_file_watch_start(reactor, &l->watch, path, o, changed);
}

static const struct plait_file_watch_options tree = { .tree = true };
static const struct plait_file_watch_options names = {
	.tree = true,
	.what = PLAIT_FILE_CREATED | PLAIT_FILE_REMOVED | PLAIT_FILE_RENAMED
};

static void watch_tree(const struct plait_file_watch_options *o)
{
	ck_assert_int_eq(watches(&looker, disk_path(""), o), 0);
}

/* Longer than anybody waits for the other half of a rename. */
static void rests(void)
{
	run_for(reactor, 0.1);
}

static void told(struct looker *l, const char *expected)
{
	ck_assert_str_eq(l->words, expected);
	l->n_words = 0;
	l->words[0] = '\0';
}

static void tells(const char *steps, const char *expected)
{
	disk_do(steps);
	rests();
	told(&looker, expected);
}

static void setup(void)
{
	memset(&looker, 0, sizeof(looker));
	memset(&other, 0, sizeof(other));
	disk_make();
}

static void teardown(void)
{
	plait_file_watch_stop(&looker.watch);
	plait_file_watch_stop(&other.watch);
	free((char *)(uintptr_t)looker.root);
	free((char *)(uintptr_t)other.root);
	disk_remove();
}

/* ---- a directory --------------------------------------------------------- */

GROUP("directory", .setup = setup, .teardown = teardown);

TEST(what_is_done_to_the_files_of_a_directory_is_told, ON_EACH_BACKEND)
{
	watch_tree(NULL);
	tells("touch a", "+a wa");
	tells("add a", "~a wa");
	tells("chmod a", "=a");
	tells("cut a", "~a");
	tells("mv a b", "a>b");
	tells("ln b c", "+c");
	tells("rm b", "-b");
	tells("mkdir d", "+d/");
	tells("touch d/e; rm d/e", "");
	tells("mv d e", "d/>e/");
	tells("rmdir e", "-e/");
	tells("symlink nowhere l", "+l");
}

TEST(a_path_is_told_as_it_was_given, ON_EACH_BACKEND)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s//", disk_path(""));
	ck_assert_int_eq(watches(&looker, path, NULL), 0);
	tells("touch a", "+a wa");
}

TEST(only_what_the_program_wants_is_told, ON_EACH_BACKEND)
{
	struct plait_file_watch_options o = { .what = PLAIT_FILE_WRITTEN };

	watch_tree(&o);
	tells("put a; mv a b; add b; chmod b; rm b", "wa wb");
}

TEST(a_file_that_leaves_is_removed_and_one_that_comes_existed, ON_EACH_BACKEND)
{
	watch_tree(NULL);
	tells("touch a", "+a wa");
	tells("away a", "-a");
	tells("back a", "+!a");
}

TEST(without_renames_there_are_two_changes, ON_EACH_BACKEND)
{
	struct plait_file_watch_options o = {
		.tree = true, .what = PLAIT_FILE_CREATED | PLAIT_FILE_REMOVED
	};

	watch_tree(&o);
	tells("mkdir a; touch a/x; touch f", "+a/ +!a/x +f");
	tells("mv f g", "-f +!g");
	tells("mv a b", "-a/ +!b/ +!b/x");
	tells("touch b/y", "+b/y");
}

/* The second file has replaced it before the program is told of the first. */
TEST(two_files_that_change_places_are_told_as_new, ON_EACH_BACKEND)
{
	watch_tree(&names);
	tells("touch a; mkdir b; touch b/x", "+a +b/ +!b/x");
	tells("swap a b", "a>b -b +!a/ +!a/x +!b");
	tells("touch a/y", "+a/y");
	tells("mv b c; mv c b", "b>c -c +!b");
}

/* One of them is where nobody looks. */
TEST(a_file_that_changes_places_with_one_outside_is_there, ON_EACH_BACKEND)
{
	disk_do("mkdir d; touch d/a; touch b");
	ck_assert_int_eq(watches(&looker, disk_path("d"), NULL), 0);
	tells("swap b d/a", "+!d/a -d/a +!d/a");
	tells("swap d/a b", "-d/a +!d/a");
	tells("mv b d/c; mv d/c b", "+!d/c -d/c");
}

TEST(what_is_there_is_told_if_the_program_wants_it, ON_EACH_BACKEND)
{
	struct plait_file_watch_options o = names;

	o.existing = true;
	disk_do("mkdir a; mkdir a/b; touch a/b/c");
	watch_tree(&o);
	tells("touch a/d", "+!a/ +!a/b/ +!a/b/c +a/d");
	tells("touch e; rm a/b/c", "+e -a/b/c");
}

/* ---- trees --------------------------------------------------------------- */

GROUP("tree", .setup = setup, .teardown = teardown);

TEST(all_directories_of_a_tree_are_watched, ON_EACH_BACKEND)
{
	disk_do("mkdir a; mkdir a/b; mkdir a/b/c");
	watch_tree(&names);
	tells("touch a/b/c/d; touch a/b/e; rm a/b/e; mv a/b/c/d f",
	      "+a/b/c/d +a/b/e -a/b/e a/b/c/d>f");
}

TEST(what_is_in_a_new_directory_is_told_once, ON_EACH_BACKEND)
{
	watch_tree(&names);
	tells("mkdir a; mkdir a/b; touch a/b/c", "+a/ +!a/b/ +!a/b/c");
	tells("touch a/b/e; rm a/b/c", "+a/b/e -a/b/c");
}

static void make_more(void *steps)
{
	call_hook("inotify_add_watch", NULL, NULL);
	disk_do(steps);
}

/* After the directory is watched, and before it is read. */
static void just_before_listing(void *steps)
{
	call_hook("getdents64", NULL, NULL);
	disk_do(steps);
}

static const struct {
	const char *first, *meanwhile, *told;
} races[] = {
	{ "mkdir a", "touch a/1", "+a/ +!a/1" },
	{ "mkdir a; touch a/1", "rm a/1", "+a/" },
	{ "mkdir a; touch a/1", "mv a/1 a/2", "+a/ +!a/2" },
	{ "mkdir a; touch a/1", "mv a/1 2", "+a/ +!2" },
	{ "mkdir a; touch a/1", "rm a/1; touch a/1", "+a/ +!a/1 -a/1 +a/1" },
	{ "mkdir a", "touch a/1; rm a/1", "+a/ +a/1 -a/1" },
	{ "mkdir a", "touch a/1; mv a/1 a/2", "+a/ +!a/2 +a/1 a/1>a/2" },
	{ "mkdir a", "mkdir a/x; rmdir a/x; touch a/x",
	  "+a/ +!a/x +a/x/ -a/x/ +a/x" },
	{ "mkdir a", "mkdir a/b; touch a/b/c", "+a/ +!a/b/ +!a/b/c" },
	{ "mkdir a", "mkdir a/b; mv a c", "+a/ +!a/b/ a/>c/" },
	{ "mkdir a", "mv a b; mkdir a; touch a/c; touch b/d",
	  "+a/ +!a/d a/>b/ +a/ +!a/c" },
};

TEST(a_directory_may_change_while_it_is_looked_into, ON_EACH_BACKEND,
     EACH_OF(races))
{
	watch_tree(&names);
	disk_do(races[_i].first);
	call_hook("getdents64", just_before_listing,
		  (void *)(uintptr_t)races[_i].meanwhile);
	tells("", races[_i].told);
	disk_do("touch z");
	tells("", "+z");
}

/* Between opening a directory and watching it. */
TEST(it_is_the_directory_that_was_found_that_is_watched, ON_EACH_BACKEND)
{
	watch_tree(&names);
	disk_do("mkdir a; touch a/1");
	call_hook("inotify_add_watch", make_more,
		  (char[]){ "mv a b; mkdir a; touch a/2" });
	tells("", "+a/ +!a/1 -a/ +!a/ +!a/2 +!b/ +!b/1");
	tells("touch a/3; touch b/4", "+a/3 +b/4");
}

TEST(a_renamed_directory_has_its_new_name_in_all_that_follows, ON_EACH_BACKEND)
{
	watch_tree(&names);
	tells("mkdir a; mkdir a/b; touch a/b/c; mkdir d",
	      "+a/ +!a/b/ +!a/b/c +d/");
	tells("mv a d/e; touch d/e/b/f; mv d/e/b g; touch g/h",
	      "a/>d/e/ +d/e/b/f d/e/b/>g/ +g/h");
}

TEST(a_directory_that_leaves_is_watched_no_longer, ON_EACH_BACKEND)
{
	watch_tree(&names);
	tells("mkdir a; mkdir a/b", "+a/ +!a/b/");
	calls_reset();
	tells("away a", "-a/");
	ck_assert_uint_eq(calls_of("inotify_rm_watch"), 2);
	tells("back a; touch a/b/c", "+!a/ +!a/b/ +!a/b/c");
}

TEST(a_directory_may_be_removed_before_it_is_watched, ON_EACH_BACKEND)
{
	watch_tree(&names);
	disk_do("mkdir a");
	call_hook("inotify_add_watch", make_more, (char[]){ "rmdir a" });
	tells("", "+a/ -a/");
}

static void at_the_second_call(void *steps)
{
	static unsigned calls;

	if (++calls == 2)
		make_more(steps);
}

/* What has happened until it was looked at again is not told either. */
TEST(a_directory_that_is_looked_at_again_is_newer_then, ON_EACH_BACKEND)
{
	watch_tree(&names);
	disk_do("mkdir a; rmdir a; mkdir a");
	call_hook("inotify_add_watch", at_the_second_call,
		  (char[]){ "mv a c; mv c a" });
	tells("", "+a/ +!c/ -c/");
}

/* An event of that mark, as if the kernel had told it. */
static void kernel_tells(int mark, uint32_t mask, uint32_t cookie,
			 const char *name)
{
	struct file_notifier *n = *plait_i_loop_files(reactor);
	size_t room = (strlen(name) + sizeof(struct inotify_event)) /
		      sizeof(struct inotify_event) *
		      sizeof(struct inotify_event);
	struct inotify_event e = { .wd = mark,
				   .mask = mask,
				   .cookie = cookie,
				   .len = (uint32_t)room };

	memcpy(n->events + n->end, &e, sizeof(e));
	memset(n->events + n->end + sizeof(e), 0, room);
	memcpy(n->events + n->end + sizeof(e), name, strlen(name));
	n->end += sizeof(e) + room;
	n->read += sizeof(e) + room;
	plait_i_notifier_wake(n);
}

static struct file_entry *known(const char *name)
{
	struct file_tree *t =
		plait_container(looker.watch.inside, struct file_tree, base);

	return name == NULL ? &t->root : plait_i_entry_find(&t->root, name);
}

enum { LONG = 2000 };

/* FUSE and vfat have names that are longer than NAME_MAX. */
TEST(a_name_may_be_as_long_as_a_file_system_wants, ON_EACH_BACKEND)
{
	char name[LONG + 1] = "", words[3 * LONG] = "";
	int root;

	disk_do("mkdir a");
	watch_tree(&names);
	rests();
	root = known(NULL)->user.mark->number;
	memset(name, 'x', LONG);
	kernel_tells(root, IN_MOVED_TO, 1, name);
	kernel_tells(root, IN_MOVED_FROM, 2, name);
	kernel_tells(root, IN_MOVED_TO, 2, "b");
	rests();
	snprintf(words, sizeof(words), "+!%s %s>b", name, name);
	told(&looker, words);
}

TEST(a_directory_with_a_long_name_may_leave_it, ON_EACH_BACKEND)
{
	char name[LONG + 1] = "", words[4 * LONG] = "";
	struct file_entry *e;

	disk_do("mkdir a");
	watch_tree(&names);
	rests();
	memset(name, 'x', LONG);
	e = known("a");
	ck_assert_int_eq(plait_i_entry_move(e, known(NULL), name), 0);
	kernel_tells(e->user.mark->number, IN_UNMOUNT, 0, "");
	rests();
	snprintf(words, sizeof(words), "-%s/ +!%s/ ?%s/", name, name, name);
	told(&looker, words);
}

static const struct {
	const char *steps, *told;
} late[] = {
	/* All of it has happened before the first event is read. */
	{ "mkdir a; mv a b; touch b/c", "+a/ a/>b/ +!b/c" },
	{ "mkdir a; touch a/1; mv a b; mkdir a; touch a/2",
	  "+a/ +!a/2 +!b/ +!b/1" },
	{ "mkdir a; rmdir a; mkdir a; rmdir a", "+a/ -a/ +a/ -a/" },
	{ "mkdir a; rmdir a; mkdir a", "+a/" },
	{ "mkdir a; touch a/x; rm a/x; rmdir a; touch a", "+a/ -a/ +a" },
	{ "mkdir a; mkdir t; touch t/x; rmdir a; symlink t a",
	  "+a/ +t/ +!t/x -a/ +a" },
	{ "touch f; mkdir t; rmdir t; mv f t; rm t; mkdir t; touch t/x",
	  "+f +t/ +!t/x -f" },
	{ "mkdir a; mkdir b; mv a b/c; touch b/c/d",
	  "+a/ +b/ +!b/c/ +!b/c/d -a/" },
	{ "mkdir a; mkdir a/b; mv a/b c; mv c a/d; touch a/d/e",
	  "+a/ +!a/d/ +!a/d/e +!c/ -c/" },
};

TEST(events_may_be_older_than_what_is_found, ON_EACH_BACKEND, EACH_OF(late))
{
	watch_tree(&names);
	tells(late[_i].steps, late[_i].told);
}

TEST(a_directory_that_moves_with_a_new_one_in_it_is_found, ON_EACH_BACKEND)
{
	watch_tree(&names);
	tells("mkdir a", "+a/");
	tells("mkdir a/b; touch a/b/c; mv a d", "+a/b/ a/>d/ +!d/b/c");
	tells("touch d/b/e", "+d/b/e");
}

/* What is at the old path then is not what the event is about. */
TEST(another_directory_may_have_taken_the_path_meanwhile, ON_EACH_BACKEND)
{
	watch_tree(&names);
	tells("mkdir a", "+a/");
	tells("mkdir a/b; mv a c; mkdir a; mkdir a/b; touch a/b/x",
	      "+a/b/ a/>c/ +a/ +!a/b/ +!a/b/x");
	tells("touch c/b/y; touch a/b/z", "+c/b/y +a/b/z");
}

TEST(a_known_directory_is_found_in_a_new_one, ON_EACH_BACKEND)
{
	watch_tree(&names);
	tells("mkdir a; touch a/1", "+a/ +!a/1");
	tells("mkdir b; mv a b/c", "+b/ +!b/c/ -a/ +!b/c/1");
	tells("touch b/c/2", "+b/c/2");
}

TEST(a_tree_may_have_only_so_many_directories, ON_EACH_BACKEND)
{
	struct plait_file_watch_options o = names;

	o.max_directories = 3;
	disk_do("mkdir a; mkdir b; mkdir c");
	ck_assert_int_eq(watches(&looker, disk_path(""), &o), -E2BIG);
	free((char *)(uintptr_t)looker.root);
	disk_do("rmdir c");
	watch_tree(&o);
	tells("mkdir c", "+c/ ?c/");
	tells("rmdir a; mkdir d; touch d/e", "-a/ +d/ +!d/e");
	tells("touch c/f", "");
}

TEST(the_end_of_the_directory_ends_the_watch, ON_EACH_BACKEND, TIMES(3))
{
	static const char *const ends[] = { "rmdir a", "away a", "mv a b" };

	disk_do("mkdir a");
	ck_assert_int_eq(watches(&looker, disk_path("a"), &tree), 0);
	tells(ends[_i], "GONEa");
	ck_assert_ptr_null(*plait_i_loop_files(reactor));
}

TEST(the_end_is_told_whatever_is_wanted, ON_EACH_BACKEND)
{
	disk_do("mkdir a");
	ck_assert_int_eq(watches(&looker, disk_path("a"),
				 &(struct plait_file_watch_options){
					 .what = PLAIT_FILE_WRITTEN }),
			 0);
	tells("rmdir a", "GONEa");
}

TEST(the_end_of_one_directory_leaves_the_other_watches, ON_EACH_BACKEND)
{
	disk_do("mkdir a; mkdir b");
	ck_assert_int_eq(watches(&looker, disk_path("a"), NULL), 0);
	ck_assert_int_eq(watches(&other, disk_path("b"), NULL), 0);
	tells("rmdir a; touch b/c", "GONEa");
	told(&other, "+b/c wb/c");
}

static void watch_again(struct looker *l, const struct plait_file_change *c)
{
	l->act = NULL;
	disk_do("mkdir a");
	ck_assert_int_eq(plait_file_watch_start(reactor, &l->watch, c->path,
						&names, changed),
			 0);
}

TEST(a_watch_that_has_ended_may_be_started_anew_at_once, ON_EACH_BACKEND)
{
	disk_do("mkdir a");
	ck_assert_int_eq(watches(&looker, disk_path("a"), &names), 0);
	looker.act = watch_again;
	tells("rmdir a", "GONEa");
	tells("touch a/b", "+a/b");
}

/* ---- renames ------------------------------------------------------------- */

GROUP("rename", .setup = setup, .teardown = teardown);

/* Reads, as short as they may be: one event each. */
TEST(both_halves_of_a_rename_are_one_change_in_two_reads, ON_EACH_BACKEND)
{
	watch_tree(NULL);
	tells("touch a; mkdir d", "+a wa +d/");
	fault_short_forever("read", sizeof(struct inotify_event) + 16);
	tells("mv a b; mv d e", "a>b d/>e/");
}

TEST(a_file_that_leaves_is_told_after_a_moment, ON_EACH_BACKEND)
{
	double before;

	watch_tree(&names);
	tells("touch a; touch b", "+a +b");
	clock_virtual(true);
	before = clock_now();
	disk_do("away a; rm b");
	while (looker.n_words == 0)
		run_turns(reactor, 1), run_for(reactor, 0.001);
	ck_assert_double_ge(clock_now() - before, 0.009);
	ck_assert_double_le(clock_now() - before, 0.02);
	told(&looker, "-a -b");
}

/* The first half of a storm of them waits, and the others with it. */
TEST(files_that_leave_wait_together, ON_EACH_BACKEND)
{
	enum { FILES = 500 };
	char step[32];

	watch_tree(&names);
	for (int i = 0; i < FILES; i++) {
		snprintf(step, sizeof(step), "touch f%d", i);
		disk_do(step);
	}
	rests();
	looker.n_words = 0;
	for (int i = 0; i < FILES; i++) {
		snprintf(step, sizeof(step), "away f%d", i);
		disk_do(step);
	}
	run_for(reactor, 0.03);
	ck_assert_ptr_nonnull(strstr(looker.words, "-f499"));
}

TEST(the_second_half_may_come_while_the_first_waits, ON_EACH_BACKEND)
{
	ck_assert_int_eq(mkdir(disk_path("d"), 0700), 0);
	watch_tree(&names);
	tells("touch a", "+a");
	disk_do("mv a d/a");
	fault_short("read", 1, sizeof(struct inotify_event) + 16);
	fault_call("read", 1, EAGAIN);
	run_turns(reactor, 1);
	told(&looker, "");
	rests();
	told(&looker, "a>d/a");
}

TEST(a_storm_of_renames_ends_with_the_right_name, ON_EACH_BACKEND)
{
	watch_tree(&names);
	tells("mkdir a; touch a/x", "+a/ +!a/x");
	for (int i = 0; i < 1000; i++)
		disk_do("mv a b; mv b c; mv c a");
	rests();
	looker.n_words = 0;
	tells("touch a/y", "+a/y");
}

/* ---- several watches ----------------------------------------------------- */

GROUP("several", .setup = setup, .teardown = teardown);

static const struct plait_file_watch_options written = {
	.what = PLAIT_FILE_WRITTEN
};

TEST(two_watches_of_a_directory_share_its_mark, ON_EACH_BACKEND)
{
	ck_assert_int_eq(watches(&other, disk_path(""), &written), 0);
	watch_tree(&names);
	disk_do("put a; mkdir d; mv a b");
	rests();
	told(&other, "wa");
	told(&looker, "+a +d/ a>b");
	plait_file_watch_stop(&other.watch);
	tells("rm b", "-b");
}

TEST(each_watch_is_told_of_its_part_of_a_rename, ON_EACH_BACKEND)
{
	disk_do("mkdir a; mkdir b; touch a/x");
	ck_assert_int_eq(watches(&looker, disk_path("a"), NULL), 0);
	ck_assert_int_eq(watches(&other, disk_path("b"), NULL), 0);
	tells("mv a/x b/y", "-a/x");
	told(&other, "+!b/y");
	tells("mv b/y a/z", "+!a/z");
	told(&other, "-b/y");
}

TEST(hard_links_of_a_file_share_its_mark, ON_EACH_BACKEND)
{
	disk_do("put a; ln a b");
	ck_assert_int_eq(watches(&looker, disk_path("a"), &written), 0);
	ck_assert_int_eq(watches(&other, disk_path("b"), &written), 0);
	tells("add a", "wa");
	told(&other, "wb");
	plait_file_watch_stop(&other.watch);
	tells("add b; rm b; put b", "wa");
}

static void stop_both(struct looker *l, const struct plait_file_change *c)
{
	plait_file_watch_stop(&looker.watch);
	plait_file_watch_stop(&other.watch);
}

TEST(a_watch_that_is_stopped_is_told_nothing_more, ON_EACH_BACKEND)
{
	looker.act = other.act = stop_both;
	watch_tree(&names);
	ck_assert_int_eq(watches(&other, disk_path(""), &names), 0);
	disk_do("touch a; touch b");
	rests();
	ck_assert_uint_eq(looker.n_words + other.n_words, 2);
	ck_assert_ptr_null(*plait_i_loop_files(reactor));
}

static void start_anew(struct looker *l, const struct plait_file_change *c)
{
	l->act = NULL;
	plait_file_watch_stop(&l->watch);
	ck_assert_int_eq(plait_file_watch_start(reactor, &l->watch,
						disk_path(""), &names, changed),
			 0);
}

TEST(a_watch_may_be_started_anew_when_it_is_told, ON_EACH_BACKEND)
{
	looker.act = start_anew;
	watch_tree(&names);
	tells("touch a; touch b", "+a");
	tells("touch c", "+c");
}

TEST(an_event_of_a_watch_that_was_stopped_is_dropped, ON_EACH_BACKEND)
{
	watch_tree(&names);
	ck_assert_int_eq(watches(&other, disk_path(""), &names), 0);
	disk_do("touch a");
	plait_file_watch_stop(&looker.watch);
	disk_do("touch b");
	rests();
	told(&looker, "");
	told(&other, "+a +b");
}

TEST(a_watch_may_be_stopped_and_started_again_and_again, ON_EACH_BACKEND)
{
	for (int i = 0; i < 100; i++) {
		watch_tree(&names);
		plait_file_watch_stop(&looker.watch);
		plait_file_watch_stop(&looker.watch);
		free((char *)(uintptr_t)looker.root);
		looker.root = NULL;
	}
	watch_tree(&names);
	tells("touch a", "+a");
}

TEST(a_reactor_has_one_descriptor_for_all_watches, ON_EACH_BACKEND)
{
	calls_reset();
	watch_tree(&names);
	ck_assert_int_eq(watches(&other, disk_path("x"), NULL), 0);
	ck_assert_uint_eq(calls_of("inotify_init1"), 1);
	plait_file_watch_stop(&looker.watch);
	plait_file_watch_stop(&other.watch);
	ck_assert_uint_eq(calls_of("inotify_rm_watch"), 0);
}

/* ---- one file ------------------------------------------------------------ */

GROUP("single", .setup = setup, .teardown = teardown);

static void watch_file(const char *name,
		       const struct plait_file_watch_options *o)
{
	ck_assert_int_eq(watches(&looker, disk_path(name), o), 0);
	rests();
}

TEST(what_is_done_to_a_file_is_told, ON_EACH_BACKEND)
{
	disk_do("put a");
	watch_file("a", NULL);
	tells("add a", "~a wa");
	tells("cut a", "~a");
	tells("chmod a", "=a");
	tells("put b; rm b", "");
}

TEST(a_file_that_is_replaced_is_watched_on, ON_EACH_BACKEND)
{
	disk_do("put a; put b; put c");
	watch_file("a", NULL);
	tells("mv b a", "=a +!a");
	tells("add a", "~a wa");
	tells("rm a", "=a -a");
	tells("put a", "+!a");
	tells("add a", "~a wa");
	tells("mv a d", "-a");
	tells("add d; mv c a", "+!a");
	tells("swap a d", "+!a");
}

TEST(a_file_need_not_be_there_yet, ON_EACH_BACKEND)
{
	watch_file("a", NULL);
	tells("put b", "");
	tells("mv b a", "+!a");
	tells("add a", "~a wa");
	tells("rm a; mkdir a", "=a +!a/");
	tells("rmdir a", "-a/");
}

TEST(a_link_may_lead_elsewhere, ON_EACH_BACKEND)
{
	disk_do("mkdir v1; mkdir v2; put v1/f; put v2/f; symlink v1 now; "
		"symlink now/f f; symlink v2 new");
	watch_file("f", NULL);
	tells("add v1/f", "~f wf");
	tells("mv new now", "+!f");
	tells("add v1/f; add v2/f", "~f wf");
	tells("put v2/g; mv v2/g v2/f", "=f +!f");
}

TEST(the_end_of_the_directory_ends_the_watch_of_a_file, ON_EACH_BACKEND)
{
	disk_do("mkdir d; put d/a");
	watch_file("d/a", NULL);
	tells("rm d/a; rmdir d", "=d/a GONEd/a");
}

TEST(a_file_that_is_there_is_told_if_the_program_wants_it, ON_EACH_BACKEND)
{
	struct plait_file_watch_options o = { .existing = true };

	disk_do("put a");
	watch_file("a", &o);
	tells("", "+!a");
	ck_assert_int_eq(watches(&other, disk_path("b"), &o), 0);
	rests();
	told(&other, "");
}

/* ---- what goes wrong ----------------------------------------------------- */

GROUP("wrong", .setup = setup, .teardown = teardown);

static int start(const char *name, const struct plait_file_watch_options *o)
{
	static struct plait_file_watch w;

	w = (struct plait_file_watch){ 0 };
	return plait_file_watch_start(reactor, &w, disk_path(name), o, changed);
}

TEST(a_watch_that_cannot_be_started_is_none, ON_EACH_BACKEND)
{
	struct plait_file_watch_options odd = { .reserved = { 1 } };
	char *path = calloc(1, PATH_MAX + 1);

	disk_do("put a");
	memset(path, 'a', PATH_MAX);
	ck_assert_int_eq(start("b/c", NULL), -ENOENT);
	ck_assert_int_eq(start("b", &tree), -ENOENT);
	ck_assert_int_eq(start("a", &tree), -ENOTDIR);
	ck_assert_int_eq(start("a/b", NULL), -ENOTDIR);
	ck_assert_int_eq(start("", &odd), -EINVAL);
	ck_assert_int_eq(plait_file_watch_start(reactor, &looker.watch, path,
						NULL, changed),
			 -ENAMETOOLONG);
	ck_assert_int_eq(plait_file_watch_start(reactor, &looker.watch, "",
						NULL, changed),
			 -ENOENT);
	free(path);
	watch_tree(NULL);
	ck_assert_int_eq(plait_file_watch_start(reactor, &looker.watch,
						disk_path("a"), NULL, changed),
			 -EBUSY);
	tells("add a", "~a wa");
}

static const struct {
	const char *call;
	int err;
} limits[] = {
	{ "inotify_init1", EMFILE },
	{ "inotify_init1", ENOMEM },
	{ "inotify_add_watch", ENOSPC },
	{ "inotify_add_watch", ENOMEM },
	{ "open", EMFILE },
	{ "open", EACCES },
	{ "fstat", ENOMEM },
	{ "getdents64", EIO },
	{ "stat", EACCES },
};

TEST(limits_are_told_at_once, ON_EACH_BACKEND, EACH_OF(limits))
{
	fault_call(limits[_i].call, 1, limits[_i].err);
	ck_assert_int_eq(start("", &tree), -limits[_i].err);
	ck_assert_int_eq(start("", &tree), 0);
	plait_reactor_free(&reactor);
}

TEST(a_directory_needs_proc, ON_EACH_BACKEND)
{
	fault_call("inotify_add_watch", 1, ENOENT);
	ck_assert_int_eq(start("", &tree), -ENOTSUP);
}

TEST(limits_are_told_for_one_file_as_well, ON_EACH_BACKEND, TIMES(2))
{
	fault_pass("inotify_add_watch", (unsigned long)_i);
	fault_call("inotify_add_watch", 1, ENOSPC);
	ck_assert_int_eq(start("a", NULL), -ENOSPC);
}

TEST(a_descriptor_that_cannot_be_waited_for_is_closed, ON_EACH_BACKEND)
{
	if (strcmp(backend, "epoll") != 0)
		return;
	fault_call("epoll_ctl", 1, ENOSPC);
	ck_assert_int_eq(start("", NULL), -ENOSPC);
}

TEST(a_directory_that_cannot_be_watched_is_told, ON_EACH_BACKEND)
{
	watch_tree(&names);
	fault_call("inotify_add_watch", 1, ENOSPC);
	tells("mkdir a; touch a/b", "+a/ ?a/");
	fault_call("openat", 1, EACCES);
	tells("mkdir c; touch c/d", "+c/ ?c/");
	fault_call("getdents64", 1, EIO);
	tells("mkdir e", "+e/ ?e/");
	tells("touch f", "+f");
}

TEST(a_directory_that_may_not_be_read_is_told_at_the_beginning, ON_EACH_BACKEND)
{
	disk_do("mkdir a");
	fault_call("openat", 1, EACCES);
	watch_tree(&names);
	tells("", "?a/");
}

TEST(a_file_that_cannot_be_watched_is_told_once, ON_EACH_BACKEND)
{
	disk_do("put a; put b; put c");
	watch_file("a", NULL);
	fault_call("inotify_add_watch", 2, EACCES);
	tells("mv b a", "=a ?a");
	tells("touch z", "");
	tells("mv c a", "+!a");
	fault_call("inotify_add_watch", 1, EACCES);
	tells("chmod a", "=a ?a");
	tells("rm a", "-a");
}

/* What the kernel loses when its queue is full. */
static void overflow(void)
{
	enum { EVENTS = 17000 };

	for (int i = 0; i < EVENTS / 2; i++)
		disk_do("touch x; rm x");
}

TEST(an_overflow_is_told_and_nothing_is_missed_after_it, ON_EACH_BACKEND)
{
	struct plait_file_watch_options o = names;

	o.existing = true;
	watch_tree(&o);
	ck_assert_int_eq(watches(&other, disk_path("a"), NULL), 0);
	rests();
	overflow();
	disk_do("mkdir a; mkdir a/b; touch a/b/c");
	rests();
	ck_assert_str_eq(strstr(looker.words, "OVERFLOW"),
			 "OVERFLOW/ +!a/ +!a/b/ +!a/b/c");
	told(&other, "+!a/ OVERFLOWa");
	looker.n_words = 0;
	tells("touch a/b/d; mv a/b e; touch e/g", "+a/b/d a/b/>e/ +e/g");
}

TEST(an_overflow_moves_what_has_moved, ON_EACH_BACKEND)
{
	disk_do("mkdir a; mkdir a/b; mkdir c");
	watch_tree(&names);
	overflow();
	disk_do("mv a/b d; mv c d/e; away a");
	rests();
	looker.n_words = 0;
	calls_reset();
	tells("touch d/x; touch d/e/y", "+d/x +d/e/y");
	tells("mv d z; touch z/e/w", "d/>z/ +z/e/w");
}

TEST(after_an_overflow_each_directory_counts_once, ON_EACH_BACKEND)
{
	struct plait_file_watch_options o = names;

	o.max_directories = 3;
	disk_do("mkdir a; mkdir b");
	watch_tree(&o);
	overflow();
	rests();
	ck_assert_str_eq(strstr(looker.words, "OVERFLOW"), "OVERFLOW/");
	looker.n_words = 0;
	tells("touch a/c; touch b/d", "+a/c +b/d");
}

TEST(an_overflow_may_hide_the_end, ON_EACH_BACKEND)
{
	disk_do("mkdir a; mkdir a/b");
	ck_assert_int_eq(watches(&looker, disk_path("a/b"), &tree), 0);
	watches(&other, disk_path(""), NULL);
	overflow();
	disk_do("away a");
	rests();
	told(&looker, "GONEa/b");
}

/* Without memory it is as if something was lost. */
TEST(without_memory_the_tree_is_looked_at_again, ON_EACH_BACKEND, TIMES(12))
{
	watch_tree(&names);
	disk_do("mkdir a; touch a/b");
	fault_alloc_at((unsigned long)_i, true);
	run_for(reactor, 2);
	fault_alloc_off();
	run_for(reactor, 2);
	looker.n_words = 0;
	tells("touch a/c", "+a/c");
}

TEST(without_memory_for_marks_it_is_tried_again, ON_EACH_BACKEND)
{
	watch_tree(&names);
	fault_call("inotify_add_watch", 3, ENOMEM);
	tells("mkdir a", "");
	run_for(reactor, 5);
	told(&looker, "OVERFLOW/");
	tells("touch a/b", "+a/b");
}

TEST(without_memory_for_a_file_it_is_tried_again, ON_EACH_BACKEND)
{
	watch_file("a", NULL);
	disk_do("put a");
	fault_call("inotify_add_watch", 2, ENOMEM);
	run_for(reactor, 5);
	told(&looker, "OVERFLOWa +!a");
}

TEST(a_watch_needs_memory_to_start, ON_EACH_BACKEND, TIMES(8))
{
	int rc;

	disk_do("mkdir a; put b");
	fault_alloc_at((unsigned long)_i, false);
	rc = start("", &tree);
	if (fault_alloc_reached())
		ck_assert_int_eq(rc, -ENOMEM);
	fault_alloc_off();
	fault_alloc_at((unsigned long)_i, false);
	rc = start("b", NULL);
	if (fault_alloc_reached())
		ck_assert_int_eq(rc, -ENOMEM);
	fault_alloc_off();
	plait_reactor_free(&reactor);
}

TEST(how_much_is_to_be_read_may_be_unknown, ON_EACH_BACKEND)
{
	watch_tree(&names);
	fault_call_forever("ioctl", ENOTTY);
	tells("mkdir a; touch a/b", "+a/ +!a/b");
	tells("touch a/c; rm a/b; mv a/c a/d", "+a/c -a/b a/c>a/d");
	tells("mv a e", "-a/ +!e/ +!e/d");
}

TEST(reading_is_tried_again, ON_EACH_BACKEND)
{
	watch_tree(&names);
	fault_call("read", 2, EINTR);
	fault_call("read", 1, ENOMEM);
	tells("touch a", "+a");
}

TEST(a_descriptor_that_somebody_has_closed_ends_all_watches, ON_EACH_BACKEND)
{
	watch_tree(&names);
	ck_assert_int_eq(watches(&other, disk_path("f"), NULL), 0);
	rests();
	if (strcmp(backend, "select") != 0)
		return;
	fd_close_behind("inotify");
	rests();
	told(&looker, "GONE");
	told(&other, "GONEf");
}

/* ---- the end of the reactor, and forks ----------------------------------- */

GROUP("end", .setup = setup, .teardown = teardown);

TEST(the_end_of_the_reactor_ends_all_watches, ON_EACH_BACKEND)
{
	disk_do("mkdir a; put f");
	watch_tree(&names);
	ck_assert_int_eq(watches(&other, disk_path("f"), NULL), 0);
	disk_do("touch b");
	plait_reactor_free(&reactor);
	told(&looker, "");
	ck_assert_ptr_null(looker.watch.reactor);
	plait_file_watch_stop(&looker.watch);
}

static int leave_child(void)
{
	struct plait_file_watch w = { 0 };
	int rc = plait_file_watch_start(reactor, &w, disk_path(""), NULL,
					changed);

	plait_file_watch_stop(&looker.watch);
	plait_reactor_free(&reactor);
	return rc == -ECHILD && looker.n_words == 0 ? 0 : 1;
}

static void in_child(void)
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		child_leave(leave_child());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

TEST(what_a_forked_child_does_is_not_noticed, ON_EACH_BACKEND)
{
	disk_do("mkdir a");
	watch_tree(&names);
	ck_assert_int_eq(watches(&other, disk_path("f"), NULL), 0);
	disk_do("touch b");
	in_child();
	tells("touch a/c", "+b +a/c");
}

static void fork_when_told(struct looker *l, const struct plait_file_change *c)
{
	pid_t pid;
	int status;

	l->act = NULL;
	pid = fork();
	if (pid == 0) {
		plait_reactor_free(&reactor);
		return;
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

TEST(a_callback_may_fork, ON_EACH_BACKEND)
{
	pid_t parent = getpid();

	watch_tree(&names);
	looker.act = fork_when_told;
	disk_do("mkdir a; mkdir a/b; touch c");
	plait_reactor_iterate(reactor, 0);
	if (getpid() != parent)
		child_leave(looker.n_words == strlen("+a/") ? 0 : 1);
	rests();
	told(&looker, "+a/ +!a/b/ +c");
}

TEST(a_simulated_host_tells_of_no_files, ON_EACH_KERNEL)
{
	if (model_is_on())
		ck_assert_int_eq(start("", NULL), -ENOTSUP);
}

TEST(a_testing_reactor_tells_of_no_files, PURE)
{
	struct plait_file_watch w = { 0 };
	struct plait_reactor *r = plait_testing_reactor_new();

	ck_assert_int_eq(plait_file_watch_start(r, &w, "/", NULL, changed),
			 -ENOTSUP);
	plait_reactor_free(&r);
}
