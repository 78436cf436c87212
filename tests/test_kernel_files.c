/*
 * What a kernel tells of files and of its surroundings: the real kernel, the
 * simulated one, and the virtual one, which has none.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include <plait/simulation.h>

#include "reactor/loop/loop.h"
#include "reactor/simulation/world.h"
#include "tests/harness.h"

enum { ROOM = 100 };

static struct kernel linux_kernel = { .calls = &plait_i_linux_calls };
static struct kernel *const k = &linux_kernel;

/* ---- a file of the system ------------------------------------------------ */

static char directory[] = "/tmp/plait-XXXXXX", path[sizeof(directory) + 5];

static void put(const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (int)strlen(text));
	close(fd);
}

static void make_directory(void)
{
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/file", directory);
	put("half a league");
}

static void remove_directory(void)
{
	unlink(path);
	rmdir(directory);
}

GROUP("files", .setup = make_directory, .teardown = remove_directory);

/* Reads at most len bytes of path; they must be these. */
static void reads(size_t len, const char *expected)
{
	struct kernel_file file;
	char buf[ROOM];
	ssize_t n = kernel_read_file(k, path, buf, len, &file);

	ck_assert_int_eq(n, (ssize_t)strlen(expected));
	ck_assert_mem_eq(buf, expected, strlen(expected));
}

static const struct kernel_file untouched = { .inode = 4711 };

static void read_fails(int err)
{
	struct kernel_file file = untouched;
	char buf[ROOM];

	errno = 0;
	ck_assert_int_eq(kernel_read_file(k, path, buf, ROOM, &file), -1);
	ck_assert_int_eq(errno, err);
	ck_assert_mem_eq(&file, &untouched, sizeof(file));
}

TEST(a_file_is_read_from_its_beginning, PURE)
{
	reads(ROOM, "half a league");
	reads(4, "half");
	reads(0, "");
}

TEST(a_file_that_comes_in_pieces_is_read_whole, PURE)
{
	fault_short("read", 3, 4);
	fault_call("read", 2, EINTR);
	reads(ROOM, "half a league");
	ck_assert(fault_used("read"));
}

TEST(a_look_tells_size_and_kind, PURE)
{
	struct kernel_file file;

	ck_assert_int_eq(kernel_look(k, path, &file), 0);
	ck_assert_uint_eq(file.size, strlen("half a league"));
	ck_assert(file.is_regular);
	ck_assert_int_eq(kernel_look(k, directory, &file), 0);
	ck_assert(!file.is_regular);
}

TEST(reading_looks_as_well, PURE)
{
	struct kernel_file looked, read;
	char buf[ROOM];

	kernel_look(k, path, &looked);
	kernel_read_file(k, path, buf, ROOM, &read);
	ck_assert_uint_eq(looked.device, read.device);
	ck_assert_uint_eq(looked.inode, read.inode);
	ck_assert_uint_eq(looked.size, read.size);
	ck_assert_int_eq(looked.written, read.written);
	ck_assert_int_eq(looked.changed, read.changed);
}

TEST(a_file_that_is_replaced_has_another_inode, PURE)
{
	struct kernel_file before, after;
	char other[sizeof(path) + 1];

	kernel_look(k, path, &before);
	snprintf(other, sizeof(other), "%s.", path);
	ck_assert_int_eq(rename(path, other), 0);
	put("half a league");
	ck_assert_int_eq(rename(path, other), 0);
	ck_assert_int_eq(rename(other, path), 0);
	kernel_look(k, path, &after);
	ck_assert_uint_ne(before.inode, after.inode);
}

/* Their times are those of the file, in nanoseconds. */
TEST(a_file_that_is_written_has_another_time, PURE)
{
	static const struct timespec times[] = { { 1, 2 }, { 3, 4 } };
	struct kernel_file file;

	ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
	kernel_look(k, path, &file);
	ck_assert_int_eq(file.written, 3000000004);
	ck_assert_int_ne(file.changed, 3000000004);
}

TEST(what_has_just_changed_is_fresh_and_what_is_old_is_not, PURE)
{
	struct kernel_file file;

	kernel_look(k, path, &file);
	ck_assert(file.is_fresh);
	kernel_look(k, "/bin/sh", &file);
	ck_assert(!file.is_fresh);
}

TEST(a_fifo_is_not_waited_for, PURE)
{
	unlink(path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	read_fails(EINVAL);
}

TEST(a_directory_is_not_read, PURE)
{
	snprintf(path, sizeof(path), "%s", directory);
	read_fails(EINVAL);
}

TEST(a_file_that_is_missing_is_an_error, PURE)
{
	struct kernel_file file;

	unlink(path);
	read_fails(ENOENT);
	ck_assert_int_eq(kernel_look(k, path, &file), -1);
	ck_assert_int_eq(errno, ENOENT);
}

static const struct {
	const char *call;
	int err;
} failing[] = {
	{ "open", EACCES },
	{ "open", EMFILE },
	{ "fstat", EIO },
	{ "read", EIO },
};

/* That no descriptor is left is checked behind each test. */
TEST(a_call_that_fails_is_the_error, PURE, EACH_OF(failing))
{
	fault_call(failing[_i].call, 1, failing[_i].err);
	read_fails(failing[_i].err);
	reads(ROOM, "half a league");
}

TEST(a_look_that_fails_is_the_error, PURE)
{
	struct kernel_file file = untouched;

	fault_call("stat", 1, EACCES);
	ck_assert_int_eq(kernel_look(k, path, &file), -1);
	ck_assert_int_eq(errno, EACCES);
	ck_assert_mem_eq(&file, &untouched, sizeof(file));
}

/* ---- surroundings of the program ----------------------------------------- */

GROUP("surroundings");

TEST(variables_are_those_of_the_environment, PURE)
{
	setenv("PLAIT_TEST", "yes", 1);
	ck_assert_str_eq(kernel_variable(k, "PLAIT_TEST"), "yes");
	unsetenv("PLAIT_TEST");
	ck_assert_ptr_null(kernel_variable(k, "PLAIT_TEST"));
}

TEST(the_name_of_the_host_is_known, PURE)
{
	char name[ROOM], expected[ROOM];

	ck_assert_int_eq(gethostname(expected, ROOM), 0);
	ck_assert_int_eq(kernel_host_name(k, name, ROOM), 0);
	ck_assert_str_eq(name, expected);
	fault_call("gethostname", 1, ENAMETOOLONG);
	ck_assert_int_eq(kernel_host_name(k, name, ROOM), -1);
}

TEST(interfaces_have_numbers, PURE)
{
	ck_assert_uint_ne(kernel_interface(k, "lo"), 0);
	ck_assert_uint_eq(kernel_interface(k, "no such interface"), 0);
}

/* ---- the virtual kernel -------------------------------------------------- */

TEST(the_testing_reactor_has_no_surroundings, PURE)
{
	struct kernel v;
	struct kernel_file file;
	char buf[ROOM];

	ck_assert_int_eq(kernel_init(&v, &plait_i_kernel_virtual, NULL), 0);
	ck_assert_int_eq(kernel_look(&v, "/bin/sh", &file), -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(kernel_read_file(&v, "/bin/sh", buf, ROOM, &file), -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_ptr_null(kernel_variable(&v, "PATH"));
	ck_assert_int_eq(kernel_host_name(&v, buf, ROOM), -1);
	ck_assert_uint_eq(kernel_interface(&v, "lo"), 0);
	kernel_done(&v);
}

/* ---- simulated hosts ----------------------------------------------------- */

static struct plait_simulation *world;
static struct plait_host *host;
static struct plait_reactor *r;

static void world_setup(void)
{
	static const struct plait_simulation_options perfect;

	world = plait_simulation_new(1, &perfect);
	host = plait_simulation_host(world, "host");
	r = plait_host_reactor(host);
}

static void world_end(void)
{
	plait_reactor_free(&r);
	ck_assert_ptr_null(plait_simulation_failure(world));
	plait_simulation_free(&world);
}

GROUP("simulated", .setup = world_setup);

static void ignore_call(void *arg)
{
}

static void pass(double seconds)
{
	plait_simulation_call_later(world, seconds, ignore_call, NULL);
	plait_simulation_run(world, seconds);
}

/* Reads it on the host; NULL: there is none. */
static void host_reads(const char *file, size_t len, const char *expected)
{
	struct kernel_file seen;
	char buf[ROOM];
	ssize_t n = kernel_read_file(loop_kernel(r), file, buf, len, &seen);

	if (expected == NULL) {
		ck_assert_int_eq(n, -1);
		ck_assert_int_eq(errno, ENOENT);
		return;
	}
	ck_assert_int_eq(n, (ssize_t)strlen(expected));
	ck_assert_mem_eq(buf, expected, strlen(expected));
}

static struct kernel_file host_look(const char *file)
{
	struct kernel_file seen;

	ck_assert_int_eq(kernel_look(loop_kernel(r), file, &seen), 0);
	return seen;
}

TEST(a_simulated_host_has_the_files_it_was_given, PURE)
{
	host_reads("/etc/hosts", ROOM, NULL);
	ck_assert_int_eq(plait_host_set_file(host, "/etc/hosts", "one"), 0);
	plait_host_set_file(host, "/etc/resolv.conf", "two");
	host_reads("/etc/hosts", ROOM, "one");
	host_reads("/etc/resolv.conf", ROOM, "two");
	host_reads("/etc/hosts", 2, "on");
	plait_host_set_file(host, "/etc/hosts", "three");
	host_reads("/etc/hosts", ROOM, "three");
	plait_host_set_file(host, "/etc/hosts", NULL);
	host_reads("/etc/hosts", ROOM, NULL);
	plait_host_set_file(host, "/etc/hosts", NULL);
	host_reads("/etc/resolv.conf", ROOM, "two");
	world_end();
}

TEST(files_of_another_host_are_other_files, PURE)
{
	struct plait_host *other = plait_simulation_host(world, "other");

	plait_host_set_file(other, "/etc/hosts", "one");
	host_reads("/etc/hosts", ROOM, NULL);
	world_end();
}

TEST(a_simulated_file_that_is_replaced_is_another, PURE)
{
	struct kernel_file first, second;

	plait_host_set_file(host, "/etc/hosts", "one");
	first = host_look("/etc/hosts");
	ck_assert(first.is_regular);
	ck_assert_uint_eq(first.size, 3);
	plait_host_set_file(host, "/etc/hosts", "two");
	second = host_look("/etc/hosts");
	ck_assert_uint_ne(first.inode, second.inode);
	world_end();
}

TEST(a_simulated_file_is_fresh_for_two_seconds, PURE)
{
	plait_host_set_file(host, "/etc/hosts", "one");
	ck_assert(host_look("/etc/hosts").is_fresh);
	pass(2);
	ck_assert(host_look("/etc/hosts").is_fresh);
	pass(0.001);
	ck_assert(!host_look("/etc/hosts").is_fresh);
	world_end();
}

static plait_value for_ever(struct plait_reactor *on, void *arg)
{
	return plait_forever();
}

TEST(files_outlast_a_crash, PURE)
{
	plait_host_set_file(host, "/etc/hosts", "one");
	plait_host_run(host, for_ever, NULL);
	plait_simulation_run(world, 0);
	plait_host_crash(host);
	host_reads("/etc/hosts", ROOM, NULL);
	plait_reactor_free(&r);
	plait_host_restart(host);
	r = plait_host_reactor(host);
	host_reads("/etc/hosts", ROOM, "one");
	plait_simulation_stop(world);
	world_end();
}

TEST(a_simulated_program_does_not_see_this_system, PURE)
{
	struct kernel *on = loop_kernel(r);
	struct kernel_file seen;
	char name[ROOM];

	ck_assert_int_eq(kernel_look(on, "/bin/sh", &seen), -1);
	ck_assert_ptr_null(kernel_variable(on, "PATH"));
	ck_assert_int_eq(kernel_host_name(on, name, ROOM), 0);
	ck_assert_str_eq(name, "host");
	ck_assert_int_eq(kernel_host_name(on, name, 4), -1);
	ck_assert_int_eq(errno, ENAMETOOLONG);
	ck_assert_uint_eq(kernel_interface(on, "lo"), 0);
	world_end();
}

TEST(a_simulated_kernel_without_descriptors_reads_no_file, PURE)
{
	struct kernel_file seen;
	char buf[ROOM];

	plait_host_set_file(host, "/etc/hosts", "one");
	plait_host_set_faults(
		host, &(struct plait_host_faults){ .no_descriptors = 1 });
	ck_assert_int_eq(kernel_read_file(loop_kernel(r), "/etc/hosts", buf,
					  ROOM, &seen),
			 -1);
	ck_assert_int_eq(errno, EMFILE);
	world_end();
}

TEST(a_file_that_cannot_be_stored_leaves_the_old_one, PURE, TIMES(2))
{
	plait_host_set_file(host, "/etc/hosts", "one");
	fault_alloc_at((unsigned long)_i, false);
	ck_assert_int_eq(plait_host_set_file(host, "/etc/hosts", "two"),
			 -ENOMEM);
	ck_assert(fault_alloc_reached());
	host_reads("/etc/hosts", ROOM, "one");
	world_end();
}
