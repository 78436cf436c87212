/*
 * When the files of a resolver are looked at, and when they are read: on a
 * kernel of the test's own, which has three files and any error.
 */
#include <sys/socket.h>

#include <plait/simulation.h>

#include "reactor/loop/loop.h"
#include "reactor/names/files.h"
#include "tests/harness.h"

enum { HOSTS, RESOLV_CONF, NSSWITCH, N_FILES };

static const char *const paths[N_FILES] = {
	[HOSTS] = "/etc/hosts",
	[RESOLV_CONF] = "/etc/resolv.conf",
	[NSSWITCH] = "/etc/nsswitch.conf",
};

/* ---- a kernel with three files ------------------------------------------- */

static struct fake {
	const char *text; /* NULL: there is none */
	struct kernel_file seen;
	int look_fails, read_fails;
	const char *grown; /* what it is when it is read */
	unsigned looks, reads;
} files[N_FILES];

static struct fake *find(const char *path)
{
	int i = 0;

	while (i < N_FILES && strcmp(path, paths[i]) != 0)
		i++;
	ck_assert_int_lt(i, N_FILES);
	return &files[i];
}

static int fails(int err)
{
	errno = err;
	return -1;
}

static int fake_look(struct kernel *k, const char *path,
		     struct kernel_file *ret)
{
	struct fake *f = find(path);

	f->looks++;
	if (f->look_fails != 0)
		return fails(f->look_fails);
	if (f->text == NULL)
		return fails(ENOENT);
	*ret = f->seen;
	return 0;
}

static ssize_t fake_read(struct kernel *k, const char *path, void *buf,
			 size_t len, struct kernel_file *ret)
{
	struct fake *f = find(path);
	const char *text = f->grown != NULL ? f->grown : f->text;
	size_t n = strlen(text);

	f->reads++;
	if (f->read_fails != 0)
		return fails(f->read_fails);
	*ret = f->seen;
	ret->size = n;
	if (n > len)
		n = len;
	memcpy(buf, text, n);
	return (ssize_t)n;
}

static const char *variables[2];

static const char *fake_variable(struct kernel *k, const char *name)
{
	return variables[strcmp(name, "LOCALDOMAIN") != 0];
}

static const char *host_name;

static int fake_host_name(struct kernel *k, char *buf, size_t size)
{
	if (host_name == NULL)
		return fails(EPERM);
	strcpy(buf, host_name);
	return 0;
}

static unsigned fake_interface(struct kernel *k, const char *name)
{
	return strcmp(name, "eth0") == 0 ? 7 : 0;
}

static const struct kernel_calls fake_calls = {
	.look = fake_look,
	.read_file = fake_read,
	.variable = fake_variable,
	.host_name = fake_host_name,
	.interface = fake_interface,
};

static struct kernel kernel = { .calls = &fake_calls };

/* Replaces a file. */
static void put(int i, const char *text)
{
	static uint64_t inode;

	files[i].text = text;
	files[i].seen = (struct kernel_file){
		.inode = ++inode,
		.size = text != NULL ? strlen(text) : 0,
		.is_regular = true,
	};
}

/* ---- what is known of them ----------------------------------------------- */

static struct names_files fs;
static double clock_seconds;

static int look(void)
{
	return plait_i_names_files_look(&fs, &kernel,
					(int64_t)(clock_seconds * 1e9));
}

/* A second later. */
static void look_again(void)
{
	clock_seconds++;
	ck_assert_int_eq(look(), 0);
}

static void setup(void)
{
	put(HOSTS, "10.0.0.1 a\n");
	put(RESOLV_CONF, "nameserver 10.0.0.53\n");
	put(NSSWITCH, "hosts: dns\n");
	clock_seconds = 1000;
}

static void end(void)
{
	plait_i_names_files_done(&fs);
}

static void begin(void)
{
	ck_assert_int_eq(look(), 0);
}

static bool has_host(const char *name)
{
	struct plait_address a;

	return plait_i_hosts_find(fs.hosts, name, AF_UNSPEC, &a, 1) == 1;
}

static const char *server(void)
{
	static char text[PLAIT_ADDRESS_SIZE];

	plait_address_host(&fs.resolv_conf->servers[0], text, sizeof(text));
	return text;
}

/* How often a file was looked at and read since the last time. */
static void counts(int i, unsigned looks, unsigned reads)
{
	ck_assert_uint_eq(files[i].looks, looks);
	ck_assert_uint_eq(files[i].reads, reads);
	files[i].looks = files[i].reads = 0;
}

static void all_count(unsigned looks, unsigned reads)
{
	for (int i = 0; i < N_FILES; i++)
		counts(i, looks, reads);
}

GROUP("files", .setup = setup);

/* ---- when ---------------------------------------------------------------- */

TEST(the_first_look_reads_all, PURE)
{
	begin();
	all_count(1, 1);
	ck_assert(has_host("a"));
	ck_assert_str_eq(server(), "10.0.0.53");
	ck_assert_uint_eq(fs.nsswitch.n, 1);
	ck_assert_uint_eq(fs.changes, 1);
	end();
}

TEST(they_are_looked_at_once_a_second_at_most, PURE)
{
	begin();
	all_count(1, 1);
	clock_seconds += 0.999;
	begin();
	all_count(0, 0);
	clock_seconds += 0.001;
	begin();
	all_count(1, 0);
	end();
}

static const size_t members[] = {
	offsetof(struct kernel_file, device),
	offsetof(struct kernel_file, inode),
	offsetof(struct kernel_file, size),
	offsetof(struct kernel_file, written),
	offsetof(struct kernel_file, changed),
};

TEST(a_file_is_read_again_if_anything_of_it_has_changed, PURE,
     EACH_PAIR(N_OF(members), N_FILES))
{
	int i = _i % N_FILES;

	begin();
	all_count(1, 1);
	*(uint64_t *)((char *)&files[i].seen + members[_i / N_FILES]) += 1;
	look_again();
	counts(i, 1, 1);
	look_again();
	look_again();
	files[i].reads = 0;
	look_again();
	ck_assert_uint_eq(files[i].reads,
			  members[_i / N_FILES] ==
				  offsetof(struct kernel_file, size));
	end();
}

TEST(what_they_say_is_in_force_from_the_next_look, PURE)
{
	begin();
	put(HOSTS, "10.0.0.1 b\n");
	put(RESOLV_CONF, "nameserver 10.0.0.54\n");
	put(NSSWITCH, "hosts: files dns\n");
	begin();
	ck_assert(has_host("a"));
	look_again();
	ck_assert(has_host("b") && !has_host("a"));
	ck_assert_str_eq(server(), "10.0.0.54");
	ck_assert_uint_eq(fs.nsswitch.n, 2);
	ck_assert_uint_eq(fs.changes, 2);
	end();
}

/* It may have changed after that, in the same tick of its clock. */
TEST(a_file_that_was_fresh_is_read_again, PURE)
{
	files[HOSTS].seen.is_fresh = true;
	begin();
	counts(HOSTS, 1, 1);
	files[HOSTS].text = "10.0.0.1 b\n";
	files[HOSTS].seen.is_fresh = false;
	look_again();
	counts(HOSTS, 1, 1);
	ck_assert(has_host("b"));
	look_again();
	counts(HOSTS, 1, 0);
	end();
}

TEST(a_file_that_says_the_same_has_not_changed, PURE)
{
	const struct resolv_conf *c;

	begin();
	c = fs.resolv_conf;
	put(RESOLV_CONF, "nameserver 10.0.0.53\n");
	look_again();
	counts(RESOLV_CONF, 2, 2);
	ck_assert_ptr_eq(fs.resolv_conf, c);
	ck_assert_uint_eq(fs.changes, 1);
	look_again();
	counts(RESOLV_CONF, 1, 0);
	end();
}

TEST(settings_that_somebody_holds_stay, PURE)
{
	struct resolv_conf *c;

	begin();
	c = plait_i_resolv_conf_ref(fs.resolv_conf);
	put(RESOLV_CONF, "nameserver 10.0.0.54\n");
	look_again();
	end();
	ck_assert_uint_eq(plait_address_port(&c->servers[0]), 53);
	plait_i_resolv_conf_unref(&c);
}

/* ---- half of a file ------------------------------------------------------ */

TEST(a_file_that_is_being_written_is_read_again, PURE)
{
	begin();
	put(HOSTS, "10.0.0.1 b\n10.0");
	look_again();
	ck_assert(has_host("b") && !has_host("c"));
	put(HOSTS, "10.0.0.1 b\n10.0.0.2 c\n");
	look_again();
	ck_assert(has_host("b") && has_host("c"));
	end();
}

/* More has come between the look and the reading than there was room for. */
TEST(a_file_that_outgrows_the_look_is_read_again, PURE)
{
	static char grown[10000];

	memset(grown, '\n', sizeof(grown) - 1);
	memcpy(grown + sizeof(grown) - 20, "10.0.0.2 last", 13);
	files[HOSTS].grown = grown;
	begin();
	ck_assert(!has_host("last"));
	files[HOSTS].text = grown;
	files[HOSTS].seen.size = strlen(grown);
	look_again();
	counts(HOSTS, 2, 2);
	ck_assert(has_host("last"));
	look_again();
	counts(HOSTS, 1, 0);
	end();
}

TEST(a_file_that_shrinks_meanwhile_is_read_again, PURE)
{
	struct kernel_file seen;

	files[HOSTS].grown = "10.0.0.1";
	files[HOSTS].seen.size = 1000;
	begin();
	seen = files[HOSTS].seen;
	ck_assert(!has_host("a"));
	files[HOSTS].grown = NULL;
	put(HOSTS, "10.0.0.1 a\n");
	files[HOSTS].seen.inode = seen.inode;
	look_again();
	ck_assert(has_host("a"));
	end();
}

enum { HUGE = 17 << 20, CUT = 16 << 20 };

TEST(of_a_huge_file_the_beginning_counts_and_it_is_read_once, PURE)
{
	char *text = malloc(HUGE + 1);

	memset(text, '\n', HUGE);
	memcpy(text, "10.0.0.1 first\n", 15);
	memcpy(text + HUGE - 20, "10.0.0.1 last\n", 14);
	text[HUGE] = '\0';
	put(HOSTS, text);
	begin();
	ck_assert(has_host("first") && !has_host("last"));
	counts(HOSTS, 1, 1);
	look_again();
	counts(HOSTS, 1, 0);
	end();
	free(text);
}

/* ---- no file ------------------------------------------------------------- */

static const struct {
	int look_fails, read_fails;
} missing[] = {
	{ .look_fails = ENOENT },  { .look_fails = EACCES },
	{ .look_fails = ENOTDIR }, { .look_fails = ELOOP },
	{ .read_fails = EACCES },  { .read_fails = EPERM },
	{ .read_fails = EINVAL },  { .read_fails = EISDIR },
	{ .read_fails = ENOENT },
};

static void all_fail(int look_fails, int read_fails)
{
	for (int i = 0; i < N_FILES; i++) {
		files[i].look_fails = look_fails;
		files[i].read_fails = read_fails;
	}
}

TEST(a_file_that_is_missing_or_unreadable_counts_as_empty, PURE,
     EACH_OF(missing))
{
	all_fail(missing[_i].look_fails, missing[_i].read_fails);
	begin();
	ck_assert(!has_host("a"));
	ck_assert_str_eq(server(), "127.0.0.1");
	ck_assert_uint_eq(fs.nsswitch.n, 2);
	ck_assert_uint_eq(fs.changes, 1);
	look_again();
	ck_assert_uint_eq(fs.changes, 1);
	all_fail(0, 0);
	look_again();
	ck_assert(has_host("a"));
	ck_assert_str_eq(server(), "10.0.0.53");
	ck_assert_uint_eq(fs.nsswitch.n, 1);
	end();
}

TEST(a_file_that_vanishes_counts_as_empty, PURE)
{
	begin();
	put(HOSTS, NULL);
	put(RESOLV_CONF, NULL);
	look_again();
	ck_assert(!has_host("a"));
	ck_assert_str_eq(server(), "127.0.0.1");
	ck_assert_uint_eq(fs.changes, 2);
	end();
}

TEST(what_is_no_regular_file_is_not_opened, PURE)
{
	files[HOSTS].seen.is_regular = false;
	begin();
	look_again();
	counts(HOSTS, 2, 0);
	ck_assert(!has_host("a"));
	end();
}

/* ---- failing ------------------------------------------------------------- */

static const struct {
	int look_fails, read_fails;
} failing[] = {
	{ .read_fails = EMFILE }, { .read_fails = ENFILE },
	{ .read_fails = ENOMEM }, { .look_fails = ENOMEM },
	{ .read_fails = EIO },	  { .look_fails = EIO },
	{ .look_fails = EINTR },
};

TEST(what_fails_for_now_leaves_what_was_known, PURE, EACH_OF(failing))
{
	begin();
	for (int i = 0; i < N_FILES; i++)
		files[i].seen.inode += 100;
	files[HOSTS].text = "10.0.0.1 b\n";
	all_fail(failing[_i].look_fails, failing[_i].read_fails);
	look_again();
	ck_assert(has_host("a") && !has_host("b"));
	ck_assert_str_eq(server(), "10.0.0.53");
	all_fail(0, 0);
	look_again();
	ck_assert(has_host("b"));
	end();
}

TEST(if_nothing_is_known_it_is_an_error_and_tried_again_at_once, PURE,
     EACH_PAIR(N_OF(failing), N_FILES))
{
	struct fake *f = &files[_i % N_FILES];
	int look_fails = failing[_i / N_FILES].look_fails;
	int read_fails = failing[_i / N_FILES].read_fails;

	f->look_fails = look_fails;
	f->read_fails = read_fails;
	ck_assert_int_eq(look(), -(look_fails + read_fails));
	ck_assert_int_eq(look(), -(look_fails + read_fails));
	f->look_fails = f->read_fails = 0;
	ck_assert_int_eq(look(), 0);
	ck_assert(has_host("a"));
	end();
}

/* Reading and understanding each file is an allocation, but nsswitch needs one
   only. */
enum { ALLOCATIONS = 5 };

TEST(without_memory_nothing_is_lost_and_the_next_look_reads_it, PURE,
     TIMES(ALLOCATIONS))
{
	fault_alloc_at((unsigned long)_i, false);
	ck_assert_int_eq(look(), -ENOMEM);
	ck_assert(fault_alloc_reached());
	ck_assert_int_eq(look(), 0);
	put(HOSTS, "10.0.0.1 b\n");
	put(RESOLV_CONF, "nameserver 10.0.0.54\n");
	put(NSSWITCH, "hosts: files dns\n");
	fault_alloc_at((unsigned long)_i, false);
	look_again();
	ck_assert(fault_alloc_reached());
	ck_assert(has_host(_i < 2 ? "a" : "b"));
	ck_assert_str_eq(server(),
			 _i == 2 || _i == 3 ? "10.0.0.53" : "10.0.0.54");
	look_again();
	ck_assert(has_host("b"));
	ck_assert_str_eq(server(), "10.0.0.54");
	ck_assert_uint_eq(fs.nsswitch.n, 2);
	end();
}

/* ---- surroundings -------------------------------------------------------- */

TEST(the_environment_and_the_name_of_the_host_count, PURE)
{
	host_name = "me.example.com";
	put(RESOLV_CONF, "nameserver fe80::1%eth0\n");
	begin();
	ck_assert_str_eq(server(), "fe80::1%7");
	ck_assert_str_eq(fs.resolv_conf->search[0], "example.com");
	variables[0] = "a.b";
	variables[1] = "ndots:7";
	put(RESOLV_CONF, "");
	look_again();
	ck_assert_str_eq(fs.resolv_conf->search[0], "a.b");
	ck_assert_uint_eq(fs.resolv_conf->ndots, 7);
	end();
}

/* ---- kernels ------------------------------------------------------------- */

TEST(the_files_of_this_system_can_be_read, PURE)
{
	struct kernel k = { .calls = &plait_i_linux_calls };

	ck_assert_int_eq(plait_i_names_files_look(&fs, &k, 0), 0);
	ck_assert_uint_ge(fs.resolv_conf->n_servers, 1);
	ck_assert_ptr_nonnull(fs.hosts);
	end();
}

TEST(on_the_testing_reactor_there_are_no_files, PURE)
{
	struct kernel k;

	kernel_init(&k, &plait_i_kernel_virtual, NULL);
	ck_assert_int_eq(plait_i_names_files_look(&fs, &k, 0), 0);
	ck_assert_str_eq(server(), "127.0.0.1");
	end();
	kernel_done(&k);
}

TEST(a_simulated_host_reads_its_own, PURE)
{
	static const struct plait_simulation_options perfect;
	struct plait_simulation *s = plait_simulation_new(1, &perfect);
	struct plait_host *h = plait_simulation_host(s, "me.example");
	struct plait_reactor *r = plait_host_reactor(h);

	plait_host_set_file(h, "/etc/hosts", "10.0.0.1 simulated\n");
	ck_assert_int_eq(plait_i_names_files_look(&fs, loop_kernel(r), 0), 0);
	ck_assert(has_host("simulated"));
	ck_assert_str_eq(fs.resolv_conf->search[0], "example");
	end();
	plait_reactor_free(&r);
	plait_simulation_free(&s);
}
