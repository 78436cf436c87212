/*
 * Random messages with descriptors over a connection whose calls are cut short
 * and fail: each message that arrives has the bytes and the descriptors that it
 * was sent with, and nothing stays open.
 *
 * A seed decides one connection.  $PLAIT_SEEDS says how many to run, and
 * $PLAIT_SEED runs one alone; a failure names its seed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "reactor/kernel/kernel.h"
#include "tests/harness.h"
#include "tests/rights.h"

enum {
	MESSAGES = 250, /* of one connection */
	FILES = 8,	/* that descriptors are copies of */
	AT_ONCE = 4,	/* messages that wait to be sent */
	BYTES = 200,	/* of a message, at most */
	HEAD = 4,	/* bytes: how many descriptors, how many bytes follow */
};

static uint32_t seed, state;

static unsigned chance(unsigned n)
{
	state = state * 1664525 + 1013904223;
	return (state >> 8) % n;
}

/* What says which file the i-th descriptor of a message is, and its bytes. */
static unsigned mixed(unsigned message, unsigned i)
{
	uint32_t x = seed ^ (message * 2654435761u) ^ (i * 40503u);

	return (x ^ (x >> 15)) * 2246822519u >> 16;
}

static int files[FILES];
static ino_t inodes[FILES];

static void open_files(void)
{
	struct stat st;
	int fds[2];

	for (int i = 0; i < FILES; i++) {
		ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
		close(fds[1]);
		files[i] = fds[0];
		ck_assert_int_eq(fstat(files[i], &st), 0);
		inodes[i] = st.st_ino;
	}
}

static void close_files(void)
{
	for (int i = 0; i < FILES; i++)
		close(files[i]);
}

/* ---- what goes wrong --------------------------------------------------------
 */

/* How the kernel is: it does all; or it moves a byte at a time, or some; or it
   also fails, in ways that pass, or that end the connection. */
enum mood { GENEROUS, STINGY, MEAN, MOODY, DEADLY, N_MOODS };

static enum mood mood;

static void meddle(void *arg)
{
	static const int passing[] = { EINTR, EAGAIN, ENOBUFS, ENOMEM };
	const char *call = arg;
	bool sends = call[0] == 's';

	if (!fault_used(call) || mood == GENEROUS)
		return;
	if (mood == STINGY)
		fault_short(call, 1, 1);
	else if (mood == DEADLY && chance(300) == 0)
		fault_call(call, 1, sends ? EPIPE : ECONNRESET);
	else if (mood >= MOODY && chance(3) == 0)
		fault_call(call, 1, passing[chance(sends ? 4 : 2)]);
	else
		fault_short(call, 1, 1 + chance(2 * (HEAD + BYTES)));
}

static void set_mood(enum mood m)
{
	static char calls[][8] = { "send", "sendmsg", "recvmsg" };

	mood = m;
	for (int i = 0; i < N_OF(calls); i++)
		call_hook(calls[i], meddle, calls[i]);
}

/* ---- both ends -------------------------------------------------------------
 */

static struct plait_transport *sender, *receiver; /* NULL: lost */
static unsigned sent, arrived;
static int waiting[4 * PLAIT_FDS_MAX]; /* were given, and not yet asked for */
static size_t n_waiting;
static unsigned char message[HEAD + BYTES];
static size_t n_message;

static void sender_made(struct plait_protocol *p)
{
	sender = p->transport;
}

static void sender_lost(struct plait_protocol *p,
			const struct plait_failure *why)
{
	sender = NULL;
}

static void receiver_made(struct plait_protocol *p)
{
	receiver = p->transport;
}

static void receiver_fds(struct plait_protocol *p, const int *fds, size_t n)
{
	ck_assert_uint_ge(n, 1);
	ck_assert_uint_le(n, PLAIT_FDS_MAX);
	ck_assert_uint_le(n_waiting + n, N_OF(waiting));
	memcpy(waiting + n_waiting, fds, n * sizeof(*fds));
	n_waiting += n;
}

/* A whole message: its descriptors have come, and are those. */
static void check_message(void)
{
	size_t n = message[0];
	struct stat st;

	ck_assert_uint_ge(n_waiting, n);
	for (size_t i = 0; i < n; i++) {
		ck_assert_int_eq(fstat(waiting[i], &st), 0);
		ck_assert_uint_eq(st.st_ino,
				  inodes[mixed(arrived, (unsigned)i) % FILES]);
		close(waiting[i]);
	}
	n_waiting -= n;
	memmove(waiting, waiting + n, n_waiting * sizeof(*waiting));
	for (size_t i = HEAD; i < n_message; i++)
		ck_assert_uint_eq(message[i],
				  mixed(arrived, (unsigned)i) & 0xff);
	arrived++;
	n_message = 0;
}

static void receiver_data(struct plait_protocol *p, const void *data,
			  size_t len)
{
	for (size_t i = 0; i < len; i++) {
		message[n_message++] = ((const unsigned char *)data)[i];
		if (n_message >= HEAD && n_message == (size_t)HEAD + message[1])
			check_message();
	}
	/* Now and then it has enough for a while. */
	if (chance(20) == 0)
		plait_transport_pause_reading(p->transport);
}

static void receiver_lost(struct plait_protocol *p,
			  const struct plait_failure *why)
{
	receiver = NULL;
}

static const struct plait_protocol_ops sender_ops = {
	.name = "sender",
	.connection_made = sender_made,
	.connection_lost = sender_lost,
};
static const struct plait_protocol_ops receiver_ops = {
	.name = "receiver",
	.connection_made = receiver_made,
	.data_received = receiver_data,
	.connection_lost = receiver_lost,
	.fds_received = receiver_fds,
};

static void send_message(void)
{
	unsigned char bytes[HEAD + BYTES];
	unsigned n = chance(4) == 0 ? chance(PLAIT_FDS_MAX + 1) : chance(4);
	unsigned len = chance(BYTES + 1);
	int fds[PLAIT_FDS_MAX];
	int err;

	bytes[0] = (unsigned char)n;
	bytes[1] = (unsigned char)len;
	bytes[2] = bytes[3] = 0;
	for (unsigned i = HEAD; i < HEAD + len; i++)
		bytes[i] = mixed(sent, i) & 0xff;
	for (unsigned i = 0; i < n; i++) {
		fds[i] = fcntl(files[mixed(sent, i) % FILES], F_DUPFD_CLOEXEC,
			       0);
		ck_assert_int_ge(fds[i], 0);
	}
	err = plait_transport_send_fds(sender, bytes, HEAD + len, fds, n);
	/* It may be over, and not yet told. */
	ck_assert(err == 0 || (err == -ENOTCONN && mood == DEADLY));
	sent++;
}

/* ---- connections
 * ------------------------------------------------------------- */

/* Ends one of the two, in one of the ways. */
static void end_one(struct plait_transport *t)
{
	if (t == NULL)
		return;
	if (chance(2) == 0)
		plait_transport_abort_connection(t);
	else
		plait_transport_lose_connection(t);
}

/* A step of the program. */
static void do_something(void)
{
	if (receiver != NULL && chance(2) == 0)
		plait_transport_resume_reading(receiver);
	while (sender != NULL && sent < MESSAGES && chance(4) != 0 &&
	       plait_transport_unsent(sender) < AT_ONCE * (HEAD + BYTES))
		send_message();
	if (mood == DEADLY && chance(MESSAGES * 4) == 0)
		end_one(chance(2) == 0 ? sender : receiver);
	if (sent == MESSAGES && sender != NULL)
		plait_transport_lose_connection(sender);
}

static void close_waiting(void)
{
	for (size_t i = 0; i < n_waiting; i++)
		close(waiting[i]);
	n_waiting = 0;
}

/* Returns how many messages have arrived. */
static unsigned run_seed(uint32_t s)
{
	size_t open = plait_i_descriptors_open();

	seed = state = s;
	sent = arrived = 0;
	n_message = 0;
	ck_assert_int_eq(plait_socketpair(reactor,
					  plait_protocol_new(&sender_ops),
					  plait_protocol_new(&receiver_ops)),
			 0);
	run_turns(reactor, 1);
	set_mood((enum mood)(s % N_MOODS));
	while (sender != NULL || receiver != NULL) {
		do_something();
		run_turns(reactor, 1);
	}
	fault_off();
	run_turns(reactor, 1);
	if (s % N_MOODS != DEADLY)
		ck_assert_uint_eq(arrived, MESSAGES);
	close_waiting();
	ck_assert_msg(plait_i_descriptors_open() == open,
		      "seed %u leaves descriptors open", s);
	return arrived;
}

static void tell_seed(int sig)
{
	dprintf(STDERR_FILENO, "PLAIT_SEED=%u\n", seed);
	signal(SIGABRT, SIG_DFL);
	abort();
}

static unsigned number(const char *variable, unsigned otherwise)
{
	const char *n = getenv(variable);

	return n != NULL ? (unsigned)atoi(n) : otherwise;
}

GROUP("random", .setup = open_files, .teardown = close_files, .timeout = 600);

TEST(each_message_arrives_with_its_descriptors, ON_EACH_BACKEND)
{
	unsigned first = number("PLAIT_SEED", 0);
	unsigned n =
		getenv("PLAIT_SEED") != NULL ? 1 : number("PLAIT_SEEDS", 20);
	unsigned all = 0;

	signal(SIGABRT, tell_seed);
	for (unsigned i = 0; i < n; i++)
		all += run_seed(first + i);
	ck_assert_uint_ge(all, n * MESSAGES * 3 / 4);
}

/* ---- a stranger
 * -------------------------------------------------------------- */

static size_t given;

static void taker_fds(struct plait_protocol *p, const int *fds, size_t n)
{
	ck_assert_uint_le(n, PLAIT_FDS_MAX);
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
	given += n;
}

static void taker_lost(struct plait_protocol *p,
		       const struct plait_failure *why)
{
	ck_assert(plait_failure_kind(why) == &plait_error_connection_done ||
		  plait_failure_kind(why) == &plait_error_descriptors_lost);
	receiver = NULL;
}

static const struct plait_protocol_ops taker_ops = {
	.name = "taker",
	.connection_made = receiver_made,
	.connection_lost = taker_lost,
	.fds_received = taker_fds,
};

/* As many as a message may have, or more, which end the connection. */
static void stranger_sends(int fd, size_t *wanted)
{
	int fds[RIGHTS_MANY];
	size_t n = chance(50) == 0 ? 1 + chance(RIGHTS_MANY)
				   : chance(PLAIT_FDS_MAX + 1);
	char bytes[3] = "";

	for (size_t i = 0; i < n; i++)
		fds[i] = chance(20) == 0 ? fd : files[chance(FILES)];
	if (rights_send(fd, bytes, 1 + chance(3), fds, n) > 0 &&
	    n <= PLAIT_FDS_MAX)
		*wanted += n;
}

static void run_stranger(uint32_t s)
{
	size_t open = plait_i_descriptors_open();
	size_t wanted = 0;
	int fds[2];

	seed = state = s;
	given = 0;
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(
		plait_adopt_fd(reactor, fds[1], plait_protocol_new(&taker_ops)),
		0);
	run_turns(reactor, 1);
	set_mood((enum mood)(s % DEADLY));
	for (int i = 0; i < MESSAGES && receiver != NULL; i++) {
		stranger_sends(fds[0], &wanted);
		if (chance(3) == 0)
			run_turns(reactor, 1);
	}
	close(fds[0]);
	while (receiver != NULL)
		run_turns(reactor, 1);
	fault_off();
	run_turns(reactor, 1);
	ck_assert_uint_le(given, wanted);
	ck_assert_msg(plait_i_descriptors_open() == open,
		      "seed %u leaves descriptors open", s);
}

TEST(no_stranger_makes_any_stay_open, ON_EACH_BACKEND)
{
	unsigned first = number("PLAIT_SEED", 0);
	unsigned n =
		getenv("PLAIT_SEED") != NULL ? 1 : number("PLAIT_SEEDS", 20);

	signal(SIGABRT, tell_seed);
	for (unsigned i = 0; i < n; i++)
		run_stranger(first + i);
}
