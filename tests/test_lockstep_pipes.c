/*
 * Pipes of the real kernel and of the simulated one, which do the same random
 * calls.  After each call both must have given the same result and the same
 * bytes, and each end must be ready for the same.
 *
 * $PLAIT_SEEDS says how many runs there are.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <plait/simulation.h>

#include "lib/chance.h"
#include "reactor/kernel/child.h"
#include "reactor/simulation/frame.h"
#include "reactor/simulation/socket.h"
#include "reactor/simulation/world.h"
#include "tests/harness.h"

enum {
	PIPES = 2,
	ENDS = 2 * PIPES, /* the even ones are read */
	CALLS = 300,
	FEW_SEEDS = 30,
	MOST = 80000,
	LINE = 80
};

/* A kernel, and what the last call has given. */
struct side {
	struct kernel kernel;
	int fds[ENDS]; /* -1: closed */
	long result;
	unsigned char bytes[MOST];
};

static struct side real, simulated;
static struct plait_simulation *world;
static struct host_kernel program;
static uint64_t dice_state;
static char said[CALLS][LINE];
static unsigned n_said;

static void side_begin(struct side *s, const struct kernel_ops *ops, void *arg)
{
	ck_assert_int_eq(kernel_init(&s->kernel, ops, arg), 0);
	for (int i = 0; i < ENDS; i++)
		s->fds[i] = -1;
}

static void begin(uint64_t seed)
{
	const struct plait_simulation_options nothing = { .turn_time = 0 };

	dice_state = seed;
	n_said = 0;
	world = plait_simulation_new(1, &nothing);
	ck_assert_ptr_nonnull(world);
	program = (struct host_kernel){
		.host = plait_simulation_host(world, "host"), .number = 1
	};
	plait_list_init(&program.link);
	side_begin(&simulated, &plait_i_kernel_simulated, &program);
	side_begin(&real, &plait_i_kernel_epoll, NULL);
}

static void side_end(struct side *s)
{
	for (int i = 0; i < ENDS; i++) {
		if (s->fds[i] >= 0)
			kernel_close(&s->kernel, s->fds[i]);
	}
	kernel_done(&s->kernel);
}

static void end(void)
{
	side_end(&real);
	side_end(&simulated);
	plait_simulation_free(&world);
}

static unsigned dice(unsigned n)
{
	return (unsigned)(chance_next(&dice_state) % n);
}

/* ---- the calls ----------------------------------------------------------- */

static const struct kernel_children *children_of(const struct side *s)
{
	return s->kernel.calls->children;
}

static void side_take(struct side *s, long result)
{
	s->result = result < 0 ? -errno : result;
}

/* The reading end of a pipe is ours, or theirs. */
static void side_make(struct side *s, int reader, bool is_ours)
{
	int ours, theirs;

	side_take(s,
		  children_of(s)->pipe(&s->kernel, !is_ours, &ours, &theirs));
	ck_assert_int_eq(s->result, 0);
	s->fds[reader] = is_ours ? ours : theirs;
	s->fds[reader + 1] = is_ours ? theirs : ours;
	if (s == &real)
		ck_assert_int_eq(fcntl(theirs, F_SETFL, O_NONBLOCK), 0);
}

static void side_read(struct side *s, int i, size_t len)
{
	memset(s->bytes, 0, len);
	side_take(s,
		  children_of(s)->read(&s->kernel, s->fds[i], s->bytes, len));
}

/* In two pieces.  What is written begins with another byte each time. */
static void side_write(struct side *s, int i, size_t len, size_t first)
{
	static unsigned char text[MOST];
	const struct iovec pieces[] = {
		{ text, first },
		{ text + first, len - first },
	};

	for (size_t k = 0; k < len; k++)
		text[k] = (unsigned char)(n_said + k * 7);
	side_take(s, children_of(s)->write(&s->kernel, s->fds[i], pieces, 2));
}

static void side_peek(struct side *s, int i)
{
	side_take(s, children_of(s)->peek(&s->kernel, s->fds[i]));
}

static void side_look(struct side *s, int i)
{
	s->result = children_of(s)->broken(&s->kernel, s->fds[i]);
}

static void side_close(struct side *s, int i)
{
	side_take(s, kernel_close(&s->kernel, s->fds[i]));
	s->fds[i] = -1;
}

static unsigned real_readiness(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };

	ck_assert_int_ge(poll(&p, 1, 0), 0);
	return (unsigned)p.revents;
}

static unsigned simulated_readiness(int fd)
{
	const struct sim_socket *end = plait_i_call_find(&program, fd)->socket;

	return end->ops->readiness(end);
}

/* ---- side by side -------------------------------------------------------- */

static void fail_step(const char *what)
{
	for (unsigned i = 0; i < n_said; i++)
		printf("%s\n", said[i]);
	ck_abort_msg("%s differs: really %ld, simulated %ld", what, real.result,
		     simulated.result);
}

static void compare(void)
{
	if (real.result != simulated.result)
		fail_step("the result");
	if (memcmp(real.bytes, simulated.bytes, MOST) != 0)
		fail_step("a byte");
	for (int i = 0; i < ENDS; i++) {
		if (real.fds[i] < 0)
			continue;
		real.result = real_readiness(real.fds[i]);
		simulated.result = simulated_readiness(simulated.fds[i]);
		if (real.result != simulated.result)
			fail_step(i % 2 == 0 ? "readiness to be read"
					     : "readiness to be written");
	}
}

#define BOTH(act, ...)                                                         \
	do {                                                                   \
		act(&real, __VA_ARGS__);                                       \
		act(&simulated, __VA_ARGS__);                                  \
	} while (0)

/* Around a page, what is written as a whole, and all that there is room for. */
static size_t draw_size(void)
{
	static const size_t odd[] = { 0,    1,	  100,	 4000,	4095,  4096,
				      4097, 8192, 61440, 65535, 65536, MOST };

	return dice(2) == 0 ? odd[dice(sizeof(odd) / sizeof(odd[0]))]
			    : dice(9000);
}

static void step_on_end(int i)
{
	size_t len = draw_size(), first = len > 0 ? dice((unsigned)len) : 0;
	unsigned verb = dice(40);

	snprintf(said[n_said++], LINE, "%d: verb %u, %zu bytes", i, verb, len);
	if (verb == 0)
		BOTH(side_close, i);
	else if (verb < 4)
		BOTH(side_look, i);
	else if (verb < 8 && i % 2 == 0)
		BOTH(side_peek, i);
	else if (i % 2 == 0 || verb == 8)
		BOTH(side_read, i, len);
	else
		BOTH(side_write, i, len, first);
}

static void step(void)
{
	int i = (int)dice(ENDS), reader = i - i % 2;
	bool is_ours = dice(2) == 0;

	if (real.fds[i] >= 0) {
		step_on_end(i);
	} else if (real.fds[reader] < 0 && real.fds[reader + 1] < 0) {
		snprintf(said[n_said++], LINE, "%d: made", reader);
		BOTH(side_make, reader, is_ours);
	}
	compare();
}

GROUP("pipes", .timeout = 300);

TEST(simulated_pipes_are_as_those_of_the_kernel, PURE)
{
	const char *seeds = getenv("PLAIT_SEEDS");
	unsigned n = seeds != NULL ? (unsigned)atoi(seeds) : FEW_SEEDS;

	for (unsigned seed = 1; seed <= n; seed++) {
		begin(seed);
		for (int i = 0; i < CALLS; i++)
			step();
		end();
	}
}
