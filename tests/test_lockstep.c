/*
 * The kernels of the library under random scripts: see lockstep.h.
 *
 * $PLAIT_SEEDS says how many scripts to run.  $PLAIT_SEED is the seed of one to
 * run alone, and $PLAIT_SCRIPT is a script itself; then there is a log of what
 * each step gave.  A script that fails is made smaller and printed so that it
 * can be handed over in $PLAIT_SCRIPT.
 */
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "tests/harness.h"
#include "tests/lockstep.h"

enum {
	PATIENCE_MS = 2000,
	ENOUGH = 2000,	    /* scripts in which everything is seen once */
	FIRST_PORT = 10000, /* below those that kernels choose themselves */
	LAST_PORT = 32000
};

/* ---- real kernels -------------------------------------------------------- */

/*
 * A loopback that nobody else uses, if this process may have one.  Otherwise it
 * shares the machine's, which differs in nothing but its neighbours.
 */
static void own_network(void)
{
	struct ifreq lo = { .ifr_name = "lo" };
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		return;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	lo.ifr_flags = IFF_UP;
	ck_assert_int_eq(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
	close(fd);
}

/*
 * On loopback a packet waits in the queue of the processor that sent it, and
 * mostly no longer than the call that sent it.  So this process stays on one
 * processor and looks at the length of its queue.
 */
static int processor;

static void stay_on_one_processor(void)
{
	cpu_set_t set;

	processor = sched_getcpu();
	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* 0 as well if this kernel does not tell. */
static unsigned packets_waiting(void)
{
	static char text[65536];
	unsigned waiting, cpu;
	int fd = open("/proc/net/softnet_stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	close(fd);
	text[n > 0 ? n : 0] = '\0';
	for (const char *line = text; line[0] != '\0'; line++) {
		if (sscanf(line,
			   "%*x %*x %*x %*x %*x %*x %*x %*x %*x %*x %*x %x %x",
			   &waiting, &cpu) == 2 &&
		    (int)cpu == processor)
			return waiting;
		line = strchrnul(line, '\n');
	}
	return 0;
}

/* What was received is acknowledged now: a kernel likes to wait with that. */
static void acknowledge(struct lockstep_side *side)
{
	int one = 1;

	for (int i = 0; i < LOCKSTEP_SOCKETS; i++)
		setsockopt(side->sockets[i].fd, IPPROTO_TCP, TCP_QUICKACK, &one,
			   sizeof(one));
}

static void real_settle(struct lockstep_side *side)
{
	acknowledge(side);
	while (packets_waiting() > 0)
		sched_yield();
}

static void real_pass(struct lockstep_side *side)
{
	poll(NULL, 0, 1);
}

static bool port_is_free(uint16_t port)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6,
				   .sin6_port = htons(port) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool is_free;

	ck_assert_int_ge(fd, 0);
	is_free = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0;
	close(fd);
	return is_free;
}

/* Each process begins elsewhere, should they share a network. */
static uint16_t real_new_port(struct lockstep_side *side)
{
	static unsigned next;

	if (next == 0)
		next = (unsigned)getpid() * 97;
	do {
		next++;
	} while (!port_is_free(
		(uint16_t)(FIRST_PORT + next % (LAST_PORT - FIRST_PORT))));
	return (uint16_t)(FIRST_PORT + next % (LAST_PORT - FIRST_PORT));
}

static void real_side(struct lockstep_side *side, struct kernel *k,
		      const struct kernel_ops *ops)
{
	*side = (struct lockstep_side){ .name = ops->name,
					.kernel = k,
					.settle = real_settle,
					.pass = real_pass,
					.new_port = real_new_port };
	ck_assert_int_eq(kernel_init(k, ops, NULL), 0);
}

/* ---- scripts ------------------------------------------------------------- */

static bool script_fails(const struct lockstep_script *s, void *arg)
{
	struct lockstep *l = arg;
	bool fails = !lockstep_run(l, s);

	free(l->why);
	return fails;
}

static void fail_script(struct lockstep *l, struct lockstep_script *s,
			unsigned seed)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	fprintf(f, "script %u: %s\n", seed, l->why);
	free(l->why);
	l->patience = 20;
	lockstep_shrink(s, script_fails, l);
	lockstep_run(l, s);
	fprintf(f, "made smaller: %s\nPLAIT_SCRIPT='",
		l->why != NULL ? l->why : "does not fail again");
	lockstep_print(s, f);
	fprintf(f, "'");
	fclose(f);
	ck_abort_msg("%s", text);
}

static void run_seed(struct lockstep *l, unsigned seed)
{
	struct lockstep_script s;

	lockstep_generate(&s, seed);
	if (!lockstep_run(l, &s))
		fail_script(l, &s, seed);
}

static void run_script(struct lockstep *l, const char *text)
{
	struct lockstep_script s;

	ck_assert_msg(lockstep_parse(&s, text), "no script: %s", text);
	if (!lockstep_run(l, &s))
		ck_abort_msg("%s\n%s", text, l->why);
}

static unsigned number_of_scripts(void)
{
	const char *n = getenv("PLAIT_SEEDS");

	return n != NULL ? (unsigned)atoi(n) : 100;
}

/* Whoever allows what is never seen would not see that it is wrong. */
static void check_allowed(const struct lockstep *l)
{
	for (const struct lockstep_allowance *a = l->allowed; a->reason != NULL;
	     a++)
		ck_assert_msg(a->seen > 0, "never seen: %s", a->reason);
}

static void run_scripts(struct lockstep *l)
{
	const char *script = getenv("PLAIT_SCRIPT");
	const char *seed = getenv("PLAIT_SEED");
	unsigned n = number_of_scripts();

	l->log = script != NULL || seed != NULL ? stderr : NULL;
	if (script != NULL) {
		run_script(l, script);
	} else if (seed != NULL) {
		run_seed(l, (unsigned)atoi(seed));
	} else {
		for (unsigned i = 0; i < n; i++)
			run_seed(l, i);
		if (n >= ENOUGH)
			check_allowed(l);
	}
}

/* The events "rw!h" differ there and nowhere else. */
static bool differ_at(const struct lockstep_difference *d, int at)
{
	return d->in == IN_EVENTS && d->seen[0][at] != d->seen[1][at] &&
	       memcmp(d->seen[0], d->seen[1], (size_t)at) == 0 &&
	       strcmp(d->seen[0] + at + 1, d->seen[1] + at + 1) == 0;
}

static bool is_told_of_hangup(const struct lockstep *l,
			      const struct lockstep_difference *d)
{
	return differ_at(d, 3);
}

/* ... or a hang-up, or both. */
static bool is_writable_for_epoll(const struct lockstep *l,
				  const struct lockstep_difference *d)
{
	return d->in == IN_EVENTS && memcmp(d->seen[0], "rw!", 3) == 0 &&
	       memcmp(d->seen[1], "r-!", 3) == 0;
}

static bool is_full(const struct lockstep *l,
		    const struct lockstep_difference *d)
{
	return d->in != IN_CONTENT && lockstep_is_full(l, d->socket);
}

static struct lockstep_allowance for_select[] = {
	{ .reason = "how much buffers hold, and when they take more",
	  .covers = is_full },
	{ .reason = "for epoll a hang-up is writable, for select only an error",
	  .covers = is_writable_for_epoll },
	{ .reason = "select() takes input for a hang-up, and tells it once",
	  .covers = is_told_of_hangup },
	{ .reason = NULL },
};

static void setup(void)
{
	own_network();
	stay_on_one_processor();
}

GROUP("lockstep", .setup = setup, .timeout = 60);

TEST(epoll_and_select_see_the_same, PURE)
{
	struct lockstep_side epoll, select;
	struct kernel kernels[2];
	struct lockstep l = { .sides = { &epoll, &select },
			      .allowed = for_select,
			      .patience = PATIENCE_MS };

	real_side(&epoll, &kernels[0], &plait_i_kernel_epoll);
	real_side(&select, &kernels[1], &plait_i_kernel_select);
	run_scripts(&l);
	kernel_done(&kernels[0]);
	kernel_done(&kernels[1]);
}
