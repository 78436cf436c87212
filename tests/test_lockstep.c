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
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include <plait/simulation.h>

#include "reactor/simulation/local.h"
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
static bool own_network(void)
{
	struct ifreq lo = { .ifr_name = "lo" };
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	lo.ifr_flags = IFF_UP;
	ck_assert_int_eq(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
	close(fd);
	return true;
}

static bool has_ipv6(void)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6,
				   .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0;

	if (fd >= 0)
		close(fd);
	return has;
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

	if (fd >= 0)
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

/* What was received is acknowledged now, as far as the kernel obeys. */
static void acknowledge(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));
}

/* A few bytes are not held back until those before them are acknowledged. */
static void push(int fd)
{
	int on = 1, was = 0, unsent = 0;
	socklen_t len = sizeof(was);

	if (ioctl(fd, SIOCOUTQNSD, &unsent) < 0 || unsent == 0)
		return;
	getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &was, &len);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &was, sizeof(was));
}

static void real_settle(struct lockstep_side *side)
{
	for (int i = 0; i < LOCKSTEP_SOCKETS; i++) {
		acknowledge(side->sockets[i].fd);
		push(side->sockets[i].fd);
	}
	while (packets_waiting() > 0)
		sched_yield();
}

static void real_pass(struct lockstep_side *side)
{
	poll(NULL, 0, 1);
}

/* Of both families, if there are two. */
static bool port_is_free_for(int type, uint16_t port)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
				    .sin6_port = htons(port) };
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons(port) };
	int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
	bool is_free;

	if (fd >= 0) {
		is_free = bind(fd, (struct sockaddr *)&in6, sizeof(in6)) == 0;
	} else {
		fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
		ck_assert_int_ge(fd, 0);
		is_free = bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0;
	}
	close(fd);
	return is_free;
}

static bool port_is_free(uint16_t port)
{
	return port_is_free_for(SOCK_STREAM, port) &&
	       port_is_free_for(SOCK_DGRAM, port);
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

/* ---- the simulated kernel ------------------------------------------------ */

/* A program without a reactor, so that only the script is told of events, on a
   host that refuses nothing. */
struct simulated {
	struct lockstep_side side;
	struct kernel kernel;
	struct host_kernel program;
	struct plait_simulation *world;
	unsigned next_port;
};

static struct simulated *simulated_of(struct lockstep_side *side)
{
	return plait_container(side, struct simulated, side);
}

static void simulated_begin(struct lockstep_side *side)
{
	struct simulated *s = simulated_of(side);
	struct plait_simulation_options nothing = { .turn_time = 0 };

	s->world = plait_simulation_new(1, &nothing);
	ck_assert_ptr_nonnull(s->world);
	s->world->immediate = true;
	s->program = (struct host_kernel){
		.host = plait_simulation_host(s->world, "host"), .number = 1
	};
	plait_list_init(&s->program.link);
	s->next_port = FIRST_PORT;
	ck_assert_int_eq(
		kernel_init(&s->kernel, &plait_i_kernel_simulated, &s->program),
		0);
}

/* All that was sent has arrived when the call returns. */
static void simulated_settle(struct lockstep_side *side)
{
}

static void simulated_pass(struct lockstep_side *side)
{
	struct simulated *s = simulated_of(side);

	plait_simulation_run(s->world, 0.001);
	plait_i_sockets_settle(s->program.host);
}

static uint16_t simulated_new_port(struct lockstep_side *side)
{
	return (uint16_t)simulated_of(side)->next_port++;
}

/* When all is closed, no more than memories of connections is left. */
static void simulated_end(struct lockstep_side *side)
{
	struct simulated *s = simulated_of(side);

	ck_assert_uint_eq(plait_i_sockets_count(s->program.host), 0);
	kernel_done(&s->kernel);
	plait_simulation_free(&s->world);
}

static int simulated_peer_of(struct lockstep_side *side, int fd)
{
	const struct descriptor *d = plait_i_descriptor_find(
		&simulated_of(side)->program.descriptors, fd);
	const struct local *peer = local_of(d->socket)->peer;

	return peer == NULL || peer->base.descriptor == NULL
		       ? -1
		       : peer->base.descriptor->fd;
}

static void simulated_side(struct simulated *s)
{
	s->side = (struct lockstep_side){
		.name = "simulated",
		.begin = simulated_begin,
		.end = simulated_end,
		.kernel = &s->kernel,
		.settle = simulated_settle,
		.pass = simulated_pass,
		.new_port = simulated_new_port,
		.peer_of = simulated_peer_of,
	};
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

/* What the scripts are about. */
static void (*generate)(struct lockstep_script *s,
			uint64_t seed) = lockstep_generate;

static void run_seed(struct lockstep *l, unsigned seed)
{
	struct lockstep_script s;

	generate(&s, seed);
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
		ck_assert_msg(a->seen > 0 || a->rare, "never seen: %s",
			      a->reason);
}

/* Those that the environment asks for. */
static void run_scripts(struct lockstep *l, const char *nothing)
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

static bool is_writable_for_epoll(const struct lockstep *l,
				  const struct lockstep_difference *d)
{
	return d->in == IN_EVENTS && d->seen[0][1] == 'w' &&
	       d->seen[1][1] == '-' && d->seen[0][2] == '!' &&
	       d->seen[1][2] == '!';
}

static bool is_amount(const char *seen)
{
	return (seen[0] > '0' && seen[0] <= '9') || strcmp(seen, "EAGAIN") == 0;
}

/* Events that differ in "rw" alone. */
static bool is_readiness(const struct lockstep_difference *d)
{
	return d->in == IN_EVENTS &&
	       strcmp(d->seen[0] + 2, d->seen[1] + 2) == 0;
}

static bool is_of_buffers(const struct lockstep *l,
			  const struct lockstep_difference *d)
{
	bool results = d->in == IN_RESULT && is_amount(d->seen[0]) &&
		       is_amount(d->seen[1]);

	return lockstep_is_full(l, d->socket) && (results || is_readiness(d));
}

static bool is_of_late_end(const struct lockstep *l,
			   const struct lockstep_difference *d)
{
	return d->in != IN_CONTENT && lockstep_is_full(l, d->socket);
}

static struct lockstep_allowance for_select[] = {
	{ .reason = "how much buffers hold, and when they take more, is not "
		    "said anywhere",
	  .covers = is_of_buffers,
	  .rare = true },
	{ .reason = "so an end behind such bytes, or a reset by whoever does "
		    "not want them, comes earlier or later",
	  .covers = is_of_late_end,
	  .lasts = true,
	  .rare = true },
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

GROUP("lockstep", .setup = setup, .timeout = 300);

TEST(epoll_and_select_see_the_same, PURE)
{
	struct lockstep_side epoll, select;
	struct kernel kernels[2];
	struct lockstep l = { .sides = { &epoll, &select },
			      .allowed = for_select,
			      .no_ipv6 = !has_ipv6(),
			      .patience = PATIENCE_MS };

	real_side(&epoll, &kernels[0], &plait_i_kernel_epoll);
	real_side(&select, &kernels[1], &plait_i_kernel_select);
	run_scripts(&l, NULL);
	kernel_done(&kernels[0]);
	kernel_done(&kernels[1]);
}

/* The ports that this kernel chooses itself; false if it is not asked. */
static bool choose_ports(const char *first_and_last)
{
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "w");

	return f != NULL && fputs(first_and_last, f) >= 0 && fclose(f) == 0;
}

GROUP("simulated", .setup = setup, .timeout = 300);

static struct lockstep_allowance for_simulated[] = {
	{ .reason = "how much buffers hold, and when they take more, is not "
		    "said anywhere",
	  .covers = is_of_buffers },
	{ .reason = "so an end behind such bytes, or a reset by whoever does "
		    "not want them, comes earlier or later",
	  .covers = is_of_late_end,
	  .lasts = true },
	{ .reason = NULL },
};

static void compare_simulated(void (*run)(struct lockstep *l, const char *text),
			      const char *text)
{
	struct lockstep_side epoll;
	struct simulated simulated;
	struct kernel kernel;
	struct lockstep l = { .sides = { &epoll, &simulated.side },
			      .allowed = for_simulated,
			      .no_ipv6 = !has_ipv6(),
			      .patience = PATIENCE_MS };

	real_side(&epoll, &kernel, &plait_i_kernel_epoll);
	simulated_side(&simulated);
	run(&l, text);
	kernel_done(&kernel);
}

TEST(the_simulated_kernel_does_what_the_real_one_does, PURE)
{
	compare_simulated(run_scripts, NULL);
}

/* Of ten ports it soon chooses one of those that were there before.  A network
   is soon out of them, as they rest after use. */
static void run_few(struct lockstep *l, const char *nothing)
{
	for (unsigned i = 0; i < 100; i++) {
		if (i % 10 == 0 &&
		    (!own_network() || !choose_ports("40000 40009")))
			return;
		run_seed(l, i);
	}
}

TEST(kernels_may_choose_ports_that_meet, PURE)
{
	compare_simulated(run_few, NULL);
}

static struct lockstep_allowance for_datagrams[] = {
	{ .reason = NULL },
};

static void compare_datagrams(const char *text)
{
	struct lockstep_side epoll;
	struct simulated simulated;
	struct kernel kernel;
	struct lockstep l = { .sides = { &epoll, &simulated.side },
			      .allowed = for_datagrams,
			      .no_ipv6 = !has_ipv6(),
			      .patience = PATIENCE_MS };

	generate = lockstep_generate_datagrams;
	real_side(&epoll, &kernel, &plait_i_kernel_epoll);
	simulated_side(&simulated);
	if (text != NULL)
		run_script(&l, text);
	else
		run_scripts(&l, NULL);
	kernel_done(&kernel);
}

TEST(the_simulated_kernel_has_the_datagrams_of_the_real_one, PURE)
{
	compare_datagrams(NULL);
}

/* ... also of datagrams. */
static const char *const datagram_surprises[] = {
	/* Who is connected hears of a port that nobody has by the next call,
	   also by a send(), which then sends nothing; and lives on. */
	"dgram4 a; bind a 1; dgram4 b; connect b a; close a; write b 3; "
	"write b 3; write b 3; error b; dgram4 a; bind a 1; write b 4; "
	"read a 9",
	/* sendmmsg() swallows that if a datagram was sent before. */
	"dgram6 a; connect-port a 1; send-many a 4; error a; read a 1",
	/* Who is not connected hears of it by the queue, and by the next call
	   as well until the queue is read. */
	"dgram4 a; tell-errors a 1; send-port a 1; send-port a 2; "
	"read-error a 10; error a; read-error a 10; read a 1",
	/* A datagram that is too large is in the queue, too, and says no
	   port. */
	"dgram4 a; bind a 1; dgram4 b; tell-errors b 1; send-to b a 65508; "
	"error b; read-error b 10",
	/* What connect() chose is given back; what bind() was told stays. */
	"dgram4 a; bind a 1; dgram4 b; connect b a; name b; disconnect b; "
	"name b; bind b 2; connect b a; disconnect b; name b; peer b",
	/* shutdown() of one that is not connected fails, and counts. */
	"dgram4 a; shut-both a; send-port a 1; read a 1; bind a 1; dgram4 b; "
	"send-to b a 5; read a 9",
	/* The nearest socket has it: by address, by peer, by family. */
	"dgram6 a; bind-wild a 1; dgram4 b; send-port b 1; read a 20; "
	"dgram4 c; reuse c 1; bind c 2; dgram4 d; reuse d 1; bind d 2; "
	"connect d b; send-port b 2; read c 20; read d 20",
};

TEST(surprises_of_datagrams_are_the_same, PURE, EACH_OF(datagram_surprises))
{
	compare_datagrams(datagram_surprises[_i]);
}

/* What a real kernel was seen to do that its pages do not say. */
static const char *const surprises[] = {
	/* shutdown() of a new socket fails, and counts: it never sends.  If it
	   listens, its connections are shut, too, and send a FIN at once. */
	"open4 a; shut-write a; bind a 0; listen a 1; open4 b; connect b a; "
	"read b 1; accept a c; write c 1; write b 1; error c; peer b",
	"open4 a; shut-both a; open4 b; bind b 0; listen b 0; connect a b; "
	"write a 1; read a 1; accept b c; write c 5; error a; read c 1",
	/* shutdown() for writing means nothing to a listener, and for reading
	   it ends the listening. */
	"open4 a; bind a 1; listen a 1; shut-write a; open4 b; connect b a; "
	"accept a c; write c 1; shut-read a; accept a d; listen a 0; open4 d; "
	"connect d a; accept a e",
	/* connect() tells the outcome when it is called again, once.  If
	   shutdown() comes before that, the socket cannot connect any more. */
	"open4 a; bind a 1; open4 b; connect b a; connect b a; connect b a; "
	"error b; connect b a",
	"open4 a; bind a 1; open4 b; connect b a; shut-write b; connect b a; "
	"listen b 0; disconnect b; connect b a",
	"open4 a; bind a 0; listen a 1; open4 b; connect b a; connect b a; "
	"connect b a",
	/* A socket whose connection is over can be bound again, unless it was
	   bound to a number; and it shows the port that it had. */
	"open4 a; bind a 0; listen a 1; open4 b; connect b a; accept a c; "
	"reset b; name c; bind c 0; name c",
	"open4 a; bind a 0; listen a 1; open4 b; bind b 2; connect b a; "
	"accept a c; reset c; name b; bind b 0; name b",
	/* bind() that fails takes away the address. */
	"open4 a; bind a 1; listen a 1; open4 b; connect b a; accept a c; "
	"reset b; name c; bind c 1; name c",
	/* One more may wait than listen() was told.  The next is dropped, and
	   comes again after a second. */
	"open4 a; bind a 0; listen a 0; open4 b; open4 c; connect b a; "
	"connect c a; accept a d; accept a e; peer c; await c; peer c; "
	"accept a e; write c 5; read e 5",
	/* Who has gone is accepted, and found out then. */
	"open4 a; bind a 0; listen a 1; open4 b; connect b a; write b 5; "
	"reset b; accept a c; peer c; read c 9; read c 9; read c 9; write c 1",
	/* Bytes that come after both directions were shut reset both ends:
	   EPIPE if the FIN had come, ECONNRESET if not. */
	"open4 a; bind a 0; listen a 1; open4 b; connect b a; accept a c; "
	"shut-both b; write c 1; error c; error b; write c 1",
	"open4 a; bind a 0; listen a 1; open4 b; connect b a; accept a c; "
	"shut-write c; write b 1; close c; error b; write b 1",
	/* To receive nothing is an error without input, but 0 with some. */
	"open4 a; read a 0; bind a 0; listen a 1; open4 b; connect b a; "
	"accept a c; read c 0; write b 1; read c 0; read c 1; close b; read c "
	"0",
	/* A connection that is over keeps its port from those who do not want
	   to share it, or if it did not want to itself. */
	"open4 a; reuse a 1; bind a 1; listen a 1; open4 b; connect b a; "
	"accept a c; shut-write c; close b; close c; close a; open4 d; "
	"bind d 1; reuse d 1; bind d 1; listen d 1",
	"open4 a; bind a 1; listen a 1; open4 b; connect b a; accept a c; "
	"close c; close b; close a; open4 d; reuse d 1; bind d 1; close d; "
	"open4 b; bind b 2; listen b 1; open4 c; connect c b; accept b e; "
	"close c; close e; close b; open4 d; bind d 2; listen d 0",
	/* Its own port answers. */
	"open4 a; bind a 1; connect a a; name a; peer a; write a 5; read a 9; "
	"shut-write a; read a 9; write a 1",
	/* Bound to an address of IPv6, a socket is for IPv6 alone. */
	"open6 a; bind-wild a 1; options a; listen a 2; open4 b; connect b a; "
	"accept a c; name c; peer c; open6 d; bind d 0; options d; "
	"connect-mapped d a; v6only d 0",
};

TEST(surprises_are_the_same, PURE, EACH_OF(surprises))
{
	compare_simulated(run_script, surprises[_i]);
}

GROUP("local", .setup = setup, .timeout = 300);

static bool is_without_peer(const struct lockstep *l,
			    const struct lockstep_difference *d)
{
	return d->in == IN_RESULT && strcmp(d->seen[0], "ENOTCONN") == 0 &&
	       (strcmp(d->seen[1], "EPIPE") == 0 ||
		strcmp(d->seen[1], "EMSGSIZE") == 0);
}

static struct lockstep_allowance for_local[] = {
	{ .reason = "how much buffers hold, and when they take more, is not "
		    "said anywhere",
	  .covers = is_of_buffers },
	{ .reason = "so an end behind such bytes comes earlier or later",
	  .covers = is_of_late_end,
	  .lasts = true,
	  .rare = true },
	{ .reason = "an older Linux finds that there is no peer first",
	  .covers = is_without_peer,
	  .rare = true },
	{ .reason = NULL },
};

/* How many datagrams a queue holds is set for each network. */
static bool queues_are_as_usual(void)
{
	FILE *f = fopen("/proc/sys/net/unix/max_dgram_qlen", "re");
	int n = 0;

	if (f == NULL || fscanf(f, "%d", &n) != 1)
		n = 0;
	if (f != NULL)
		fclose(f);
	return n == LOCAL_DATAGRAMS;
}

static void compare_local(const char *text)
{
	char directory[] = "/tmp/plait-XXXXXX";
	struct lockstep_side epoll;
	struct simulated simulated;
	struct kernel kernel;
	struct lockstep l = { .sides = { &epoll, &simulated.side },
			      .allowed = for_local,
			      .patience = PATIENCE_MS };

	if (!queues_are_as_usual())
		return;
	ck_assert_ptr_nonnull(mkdtemp(directory));
	generate = lockstep_generate_local;
	real_side(&epoll, &kernel, &plait_i_kernel_epoll);
	epoll.directory = directory;
	simulated_side(&simulated);
	if (text != NULL)
		run_script(&l, text);
	else
		run_scripts(&l, NULL);
	kernel_done(&kernel);
	ck_assert_int_eq(rmdir(directory), 0);
}

TEST(the_simulated_kernel_has_the_unix_sockets_of_the_real_one, PURE)
{
	compare_local(NULL);
}

/* ... of UNIX sockets. */
static const char *const local_surprises[] = {
	/* Who closes with something unread resets, and the other one loses
	   nothing that was sent to it before. */
	"local a; bind a 6; listen a 1; local b; connect b a; accept a c; "
	"write c 7; write b 5; close c; read b 3; read b 9; read b 9; error b; "
	"write b 1; read b 1; peer b",
	/* ... and who closes with all of it read does not. */
	"local a; bind a 1; listen a 1; local b; connect b a; accept a c; "
	"write b 5; read c 5; close c; read b 1; write b 1; error b",
	/* One more may wait than listen() was told; the next is to come
	   again, and nothing says when. */
	"local a; bind a 1; listen a 0; local b; local c; connect b a; "
	"connect c a; accept a d; connect c a; peer c; connect c a",
	/* Bytes may be sent before accept(); who is not accepted is reset. */
	"local a; bind a 1; listen a 3; local b; connect b a; write b 100; "
	"local c; connect c a; accept a d; read d 200; close a; read c 1; "
	"read c 1; write c 1; write b 1; read d 1",
	/* Who has gone is accepted, with what it has said. */
	"local a; bind a 6; listen a 3; local b; connect b a; write b 9; "
	"close b; accept a c; peer c; read c 4; read c 9; read c 9; write c 1",
	/* A half close, both ways. */
	"local a; bind a 1; listen a 3; local b; connect b a; accept a c; "
	"shut-write b; read c 1; write c 5; read b 9; write b 1; shut-write c; "
	"read b 1; read c 1",
	"local a; bind a 1; listen a 3; local b; connect b a; accept a c; "
	"write c 3; shut-read b; write c 1; read b 9; read b 9; error c",
	/* A listener that does not receive refuses, and its queue stays. */
	"local a; bind a 1; listen a 3; local b; connect b a; shut-read a; "
	"local c; connect c a; accept a d; accept a d; read d 1",
	/* A path outlasts its socket; a name does not. */
	"local a; bind a 6; listen a 1; close a; local b; connect-port b 6; "
	"local c; bind c 6; unlink c 6; bind c 6; connect-port b 6; listen c "
	"0; "
	"connect-port b 6; local d; bind d 1; close d; local d; bind d 1",
	/* Streams and datagrams have abstract names of their own, but not
	   paths. */
	"local a; bind a 1; listen a 1; local-dgram b; bind b 1; bind b 6; "
	"local-dgram c; send-to c b 3; connect-port c 1; bind c 6; close c; "
	"local-dgram c; bind c 6; local d; connect-port d 6; connect-port d 7; "
	"bind d 6; unlink d 6; connect-port d 6",
	/* Who listens knows itself; who was accepted knows the client. */
	"local a; credentials a; bind a 1; listen a 1; credentials a; local b; "
	"credentials b; connect b a; accept a c; credentials b; credentials c; "
	"name c; bind c 2; listen c 1",
	/* A queue has room for eleven datagrams.  Who is connected to it is
	   told of room, and who is not is not. */
	"local-dgram a; bind a 6; local-dgram b; connect b a; send-many b 7; "
	"send-many b 3; write b 1; write b 1; local-dgram c; send-to c a 1; "
	"read a 100; look b; write b 9; send-to c a 1",
	/* No room is needed by two who are connected to each other. */
	"local-dgram a; bind a 1; local-dgram b; bind b 2; connect a b; "
	"connect b a; send-many b 7; send-many b 7; look b; local-dgram c; "
	"send-to c a 1; connect c a",
	/* Who connects to another loses what has come, and its old peer is
	   told, once. */
	"local-dgram a; bind a 1; local-dgram b; bind b 2; connect a b; "
	"connect b a; write b 5; disconnect a; read a 9; error b; write b 3; "
	"read a 9",
	/* Empty datagrams are datagrams.  Who has no name has none to reply
	   to. */
	"local-dgram a; bind a 6; local-dgram b; send-to b a 0; bind b 7; "
	"send-to b a 4; read a 9; read a 2; read a 9; send-to a b 212961; "
	"send-port b 7; read-size b 3",
	/* Who is gone refuses, once; then there is no peer. */
	"local-dgram a; bind a 6; local-dgram b; connect b a; close a; peer b; "
	"write b 1; peer b; write b 1; send-port b 6; unlink b 6; send-port b "
	"6",
};

TEST(surprises_of_unix_sockets_are_the_same, PURE, EACH_OF(local_surprises))
{
	compare_local(local_surprises[_i]);
}
