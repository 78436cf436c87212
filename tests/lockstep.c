/*
 * Two kernels in lockstep: see lockstep.h.
 *
 * How much a send() takes when buffers fill up is a kernel's own business.
 * Where that may matter (lockstep_is_full()), the second side is asked first,
 * and the first side is given as much as the second took.  The side that took
 * less is given the rest later, as soon as it has room.  So both sides have
 * sent the same, and what comes later can be compared.  What is read is kept
 * the same in the same way.
 */
#include <errno.h>
#include <time.h> /* which errqueue.h needs */
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "tests/lockstep.h"
#include "tests/play.h"

/* A number that stands for a path, and not for an abstract name. */
enum { PATH = 0x8000 };

enum {
	MOST_CONNECTIONS = 2 * LOCKSTEP_STEPS,
	MOST_BYTES = 4 << 20,
	/* So many bytes have room between two sockets, whatever the kernel. */
	ROOM = 16384,
	SMALL_ROOM = 500, /* ... with buffers of some size */
	/* A UNIX socket counts what each message takes: so many fit. */
	MOST_WRITES = 20,
	MOST_LOCAL = 1000,	       /* bytes of a datagram */
	MORE_THAN_LOCAL = 212992 - 32, /* ... which none has */
	ODD_FAMILY = 3 /* the odd call with an address of another family */
};

/* A port that a kernel has chosen: for a socket, and for a connection. */
struct lockstep_connection {
	unsigned serial;
	uint16_t local[2], to[2]; /* on each side; to is 0 of a bind() */
	bool was_full;		  /* when it was closed */
};

static unsigned char bytes[MOST_BYTES];

/* ---- what is seen, and what differs -------------------------------------- */

static const char *error_name(long r)
{
	return play_errno_name((int)-r);
}

static void say(char *text, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, LOCKSTEP_TEXT, fmt, ap);
	va_end(ap);
}

/* A result: a number, or an errno if it is negative. */
static void say_result(char *text, long r)
{
	if (r < 0)
		say(text, "%s", error_name(r));
	else
		say(text, "%ld", r);
}

static long result(long r)
{
	return r < 0 ? -errno : r;
}

static struct lockstep_allowance *
find_allowance(const struct lockstep *l, const struct lockstep_difference *d)
{
	struct lockstep_allowance *a = l->allowed;

	for (; a != NULL && a->reason != NULL; a++) {
		if (a->covers(l, d))
			return a;
	}
	return NULL;
}

static void report(struct lockstep *l, const struct lockstep_difference *d)
{
	FILE *f = open_memstream(&l->why, &l->why_length);

	l->failed = true;
	if (d->step != NULL)
		lockstep_print_step(d->step, f);
	else
		fputs("the end", f);
	fprintf(f, "%s %c: %s: %s, %s: %s",
		d->in == IN_RESULT    ? ", result"
		: d->in == IN_CONTENT ? ", content"
				      : ", then events",
		'a' + d->socket, l->sides[0]->name, d->seen[0],
		l->sides[1]->name, d->seen[1]);
	fclose(f);
}

static void set_apart(struct lockstep *l, int i)
{
	int partner = l->pairs[i].partner;

	l->pairs[i].is_apart = true;
	if (partner >= 0)
		l->pairs[partner].is_apart = true;
}

/* Fails unless both have seen the same, or what differs is allowed. */
static void compare(struct lockstep *l, struct lockstep_difference d)
{
	struct lockstep_allowance *a;

	if (l->failed || strcmp(d.seen[0], d.seen[1]) == 0)
		return;
	a = find_allowance(l, &d);
	if (a == NULL) {
		report(l, &d);
		return;
	}
	a->seen++;
	if (a->lasts)
		set_apart(l, d.socket);
}

static void compare_results(struct lockstep *l, const struct lockstep_step *s,
			    char texts[2][LOCKSTEP_TEXT])
{
	if (l->log != NULL)
		fprintf(l->log, ": %s%s%s", texts[0],
			strcmp(texts[0], texts[1]) ? " / " : "",
			strcmp(texts[0], texts[1]) ? texts[1] : "");
	compare(l,
		(struct lockstep_difference){ .step = s,
					      .in = IN_RESULT,
					      .socket = s->a,
					      .seen = { texts[0], texts[1] } });
}

/* ---- addresses and ports ------------------------------------------------- */

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
	struct sockaddr_storage storage;
};

/* Both sides have the same directory. */
static const char *directory;

static const char abstract[] = "plait-lockstep-";

static socklen_t make_local_address(union address *a, uint16_t port)
{
	enum { AT = offsetof(struct sockaddr_un, sun_path) };
	char *path = a->un.sun_path;
	size_t room = sizeof(a->un.sun_path) - 1;

	if (port & PATH)
		return AT + 1 +
		       (socklen_t)snprintf(path, room, "%s/%u", directory,
					   port & ~PATH);
	return AT + 1 +
	       (socklen_t)snprintf(path + 1, room, "%s%u", abstract, port);
}

static socklen_t make_address(union address *a, int family, bool wild,
			      uint16_t port)
{
	*a = (union address){ .storage.ss_family = (sa_family_t)family };
	if (family == AF_UNIX)
		return make_local_address(a, port);
	if (family == AF_INET) {
		a->in.sin_port = htons(port);
		a->in.sin_addr.s_addr =
			htonl(wild ? INADDR_ANY : INADDR_LOOPBACK);
		return sizeof(a->in);
	}
	a->in6.sin6_port = htons(port);
	a->in6.sin6_addr = wild ? in6addr_any : in6addr_loopback;
	return sizeof(a->in6);
}

/* 0: it has another name, or none. */
static uint16_t port_of_local(const struct sockaddr_un *un)
{
	const char *path = un->sun_path;
	size_t n = strlen(abstract);

	if (path[0] != '\0' && strrchr(path, '/') != NULL)
		return (uint16_t)(PATH | atoi(strrchr(path, '/') + 1));
	if (path[0] == '\0' && strncmp(path + 1, abstract, n) == 0)
		return (uint16_t)atoi(path + 1 + n);
	return 0;
}

static uint16_t port_of(const union address *a)
{
	if (a->sa.sa_family == AF_UNIX)
		return port_of_local(&a->un);
	return ntohs(a->sa.sa_family == AF_INET ? a->in.sin_port
						: a->in6.sin6_port);
}

static const char *kind_of(const union address *a)
{
	if (a->sa.sa_family == AF_INET) {
		switch (ntohl(a->in.sin_addr.s_addr)) {
		case INADDR_ANY:
			return "4 any";
		case INADDR_LOOPBACK:
			return "4 loopback";
		default:
			return "4 other";
		}
	}
	if (a->sa.sa_family == AF_UNIX)
		return "unix";
	if (a->sa.sa_family != AF_INET6)
		return "no family";
	if (IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr))
		return "6 any";
	return IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr) ? "6 loopback"
						       : "6 other";
}

/* Who has that port, as the other end of a socket with the other, or NULL. */
static struct lockstep_connection *find_connection(const struct lockstep *l,
						   int side, uint16_t port,
						   uint16_t other)
{
	for (unsigned i = l->n_connections; i-- > 0;) {
		struct lockstep_connection *c = &l->connections[i];

		if (c->local[side] == port &&
		    (c->to[side] == 0 || c->to[side] == other))
			return c;
	}
	return NULL;
}

/*
 * The name that this port has in the script.  Two sockets may have the same
 * port, so the port of the other end says whose it is, unless it is their own.
 */
static void say_port(const struct lockstep *l, int side, char *text,
		     uint16_t port, uint16_t mark, uint16_t other, bool is_own)
{
	const struct lockstep_connection *c;

	for (int i = 0; i < LOCKSTEP_PORTS; i++) {
		if (l->sides[side]->ports[i] == (port & ~mark)) {
			say(text, "%d", port & mark ? LOCKSTEP_PORTS + i : i);
			return;
		}
	}
	c = find_connection(l, side, port, other);
	if (is_own)
		say(text, "of its own");
	else if (c != NULL)
		say(text, "of #%u", c->serial);
	else
		say(text, "nobody's");
}

/* The port, or the name, for which a script has that number. */
static uint16_t script_port(const struct lockstep *l, int side, int i,
			    unsigned n)
{
	const uint16_t *ports = l->sides[side]->ports;
	unsigned at = n % LOCKSTEP_PORTS;

	if (l->pairs[i].family != AF_UNIX)
		return ports[at];
	return (uint16_t)(ports[at > 0 ? at : 1] |
			  (n >= LOCKSTEP_PORTS ? PATH : 0));
}

static uint16_t own_port(struct lockstep_side *side, int fd)
{
	union address a = { .sa.sa_family = AF_UNSPEC };
	socklen_t len = sizeof(a);

	if (kernel_getsockname(side->kernel, fd, &a.sa, &len) < 0)
		return 0;
	return port_of(&a);
}

static void say_address(const struct lockstep *l, int side, char *text,
			const union address *a, uint16_t other, bool is_own)
{
	char port[LOCKSTEP_TEXT];

	/* In a real port that bit is a part of the number. */
	say_port(l, side, port, port_of(a),
		 a->sa.sa_family == AF_UNIX ? PATH : 0, other, is_own);
	say(text, "%.20s port %.40s", kind_of(a), port);
}

/* ---- sockets ------------------------------------------------------------- */

static struct lockstep_socket *socket_of(const struct lockstep *l, int side,
					 int i)
{
	return &l->sides[side]->sockets[i];
}

static int fd_of(const struct lockstep *l, int side, int i)
{
	return l->sides[side]->sockets[i].fd;
}

static bool watches_grow(struct watches *ws, int fd)
{
	size_t n = (size_t)fd + 1;
	struct watch_slot *slots = realloc(ws->slots, n * sizeof(*slots));

	if (slots == NULL)
		abort();
	for (size_t i = ws->n; i < n; i++)
		slots[i] = (struct watch_slot){ 0 };
	ws->slots = slots;
	ws->n = n;
	return true;
}

/* As loop/watch.c does it. */
static int update_watch(struct lockstep_side *side, struct lockstep_socket *s,
			unsigned events)
{
	struct watch_slot *w = &side->watches.slots[s->fd];
	int rc;

	w->events = (uint8_t)events;
	if (w->armed == 0)
		w->generation = ++side->watches.generations;
	if (events == w->armed)
		return 0;
	rc = kernel_update(side->kernel, &side->watches, s->fd);
	w->armed = rc == 0 ? (uint8_t)events : w->armed;
	s->told = false;
	return rc;
}

static void start_socket(struct lockstep_side *side, int i, int fd)
{
	struct lockstep_socket *s = &side->sockets[i];

	*s = (struct lockstep_socket){ .fd = fd };
	if ((size_t)fd >= side->watches.n)
		watches_grow(&side->watches, fd);
	side->watches.slots[fd].target = s;
	if (kernel_check(side->kernel, fd) < 0 ||
	    update_watch(side, s, PLAIT_WATCH_READ | PLAIT_WATCH_WRITE) < 0)
		abort();
}

static int end_socket(struct lockstep_side *side, int i)
{
	struct lockstep_socket *s = &side->sockets[i];
	int fd = s->fd;

	update_watch(side, s, 0);
	side->watches.slots[fd] = (struct watch_slot){ 0 };
	free(s->ahead);
	*s = (struct lockstep_socket){ .fd = -1 };
	return kernel_close(side->kernel, fd);
}

/* Both sides have it now. */
static void note_open(struct lockstep *l, int i, int family)
{
	l->pairs[i] = (struct lockstep_pair){
		.open = true,
		.serial = l->opened++,
		.family = family,
		.wants = PLAIT_WATCH_READ | PLAIT_WATCH_WRITE,
		.partner = -1,
	};
}

static void note_close(struct lockstep *l, int i)
{
	int partner = l->pairs[i].partner;

	l->pairs[i].open = false;
	if (partner >= 0)
		l->pairs[partner].partner = -1;
}

/*
 * One of the kernels may have chosen the port of another socket, or of one that
 * is disconnected, so that it connects to itself, or is heard by a stranger.
 * From then on the script is of two different things.
 */
static void note_meeting(struct lockstep *l, int i)
{
	for (int j = 0; j < LOCKSTEP_SOCKETS; j++) {
		bool same[2];

		for (int side = 0; side < 2; side++)
			same[side] = socket_of(l, side, i)->port ==
				     socket_of(l, side, j)->port;
		l->met |= j != i && l->pairs[j].open && same[0] != same[1];
	}
}

/* A kernel may have chosen a port for it. */
static void note_port(struct lockstep *l, int i, const uint16_t to[2])
{
	struct lockstep_connection *c = &l->connections[l->n_connections];

	if (l->n_connections == MOST_CONNECTIONS)
		return;
	c->serial = l->pairs[i].serial;
	c->was_full = false;
	for (int side = 0; side < 2; side++) {
		c->local[side] = own_port(l->sides[side], fd_of(l, side, i));
		c->to[side] = to[side];
		socket_of(l, side, i)->port = c->local[side];
	}
	note_meeting(l, i);
	l->n_connections++;
}

/* ---- what is on its way -------------------------------------------------- */

static size_t sent_by(const struct lockstep *l, int side, int i)
{
	return l->sides[side]->sockets[i].sent;
}

/* Bytes that the socket has sent and nobody has read. */
static size_t unread_of(const struct lockstep *l, int i)
{
	int partner = l->pairs[i].partner;
	size_t most = 0;

	for (int side = 0; side < 2; side++) {
		size_t n = sent_by(l, side, i);
		size_t taken = partner >= 0
				       ? socket_of(l, side, partner)->received
				       : l->pairs[i].taken[side];

		most = n - taken > most ? n - taken : most;
	}
	return most;
}

/*
 * Once there was too much, a kernel may keep bytes back until the other end has
 * read all others.
 */
static bool has_room(const struct lockstep *l, int i, size_t n)
{
	int partner = l->pairs[i].partner;
	bool small =
		l->pairs[i].small || (partner >= 0 && l->pairs[partner].small);
	size_t room = !small			      ? ROOM
		      : l->pairs[i].family == AF_UNIX ? 0
						      : SMALL_ROOM;

	return !l->pairs[i].is_apart && !l->pairs[i].is_clogged &&
	       l->pairs[i].writes <= MOST_WRITES &&
	       sent_by(l, 0, i) == sent_by(l, 1, i) &&
	       unread_of(l, i) + n <= room;
}

static bool is_full(const struct lockstep *l, int i)
{
	int partner = l->pairs[i].partner;

	return !has_room(l, i, 0) || (partner >= 0 && !has_room(l, partner, 0));
}

bool lockstep_is_full(const struct lockstep *l, int i)
{
	return l->pairs[i].was_full || is_full(l, i);
}

static unsigned char content(unsigned serial, size_t at)
{
	return (unsigned char)((serial + 1) * 59 + at * 7 + at / 251);
}

/* Sends the next bytes of the socket, in one piece or in several. */
static long send_bytes(struct lockstep *l, int side, int i, size_t n,
		       bool pieces)
{
	struct lockstep_socket *s = socket_of(l, side, i);
	struct kernel *k = l->sides[side]->kernel;
	struct iovec iov[3] = { { bytes, n / 3 },
				{ bytes + n / 3, n / 7 },
				{ bytes + n / 3 + n / 7, n - n / 3 - n / 7 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 3 };
	long r;

	for (size_t at = 0; at < n; at++)
		bytes[at] = content(l->pairs[i].serial, s->sent + at);
	r = result(pieces ? kernel_sendmsg(k, s->fd, &msg, MSG_NOSIGNAL)
			  : kernel_send(k, s->fd, bytes, n, MSG_NOSIGNAL));
	if (r > 0)
		s->sent += (size_t)r;
	return r;
}

/* The side that has sent less sends the rest, as far as there is room. */
static void catch_up(struct lockstep *l, int i)
{
	size_t a = sent_by(l, 0, i), b = sent_by(l, 1, i);
	long r;

	if (!l->pairs[i].open || l->pairs[i].is_apart || a == b)
		return;
	r = send_bytes(l, a < b ? 0 : 1, i, a < b ? b - a : a - b, false);
	l->pairs[i].is_apart = r < 0 && r != -EAGAIN;
}

static void settle(struct lockstep *l)
{
	for (int side = 0; side < 2; side++)
		l->sides[side]->settle(l->sides[side]);
	for (int i = 0; i < LOCKSTEP_SOCKETS; i++)
		catch_up(l, i);
}

/* ---- reading ------------------------------------------------------------- */

static void content_differs(struct lockstep *l, int i, size_t at)
{
	char text[LOCKSTEP_TEXT];

	say(text, "other bytes from byte %zu on", at);
	compare(l, (struct lockstep_difference){ .in = IN_CONTENT,
						 .socket = i,
						 .seen = { "", text } });
}

/* Compares with what the other side has received already, or keeps it. */
static void note_received(struct lockstep *l, int side, int i,
			  const unsigned char *data, size_t n)
{
	struct lockstep_socket *s = socket_of(l, side, i),
			       *other = socket_of(l, !side, i);
	size_t both = n < other->n_ahead ? n : other->n_ahead;

	if (memcmp(data, other->ahead ? other->ahead : data, both) != 0)
		content_differs(l, i, s->received);
	s->received += n;
	other->n_ahead -= both;
	if (both > 0)
		memmove(other->ahead, other->ahead + both, other->n_ahead);
	if (n == both)
		return;
	s->ahead = realloc(s->ahead, s->n_ahead + n - both);
	if (s->ahead == NULL)
		abort();
	memcpy(s->ahead + s->n_ahead, data + both, n - both);
	s->n_ahead += n - both;
}

static long receive(struct lockstep *l, int side, int i, size_t n)
{
	long r = result(kernel_recv(l->sides[side]->kernel, fd_of(l, side, i),
				    bytes, n < MOST_BYTES ? n : MOST_BYTES, 0));

	if (r > 0)
		note_received(l, side, i, bytes, (size_t)r);
	return r;
}

/* Until so many have come, or none come.  What came last, if none did. */
static long receive_all(struct lockstep *l, int side, int i, size_t n)
{
	size_t done = 0;
	long r;

	do {
		r = receive(l, side, i, n - done);
		if (r <= 0)
			break;
		done += (size_t)r;
		settle(l);
	} while (done < n);
	return done > 0 ? (long)done : r;
}

/* The side that has read less reads the rest first. */
static void read_rest(struct lockstep *l, int i)
{
	for (int side = 0; side < 2; side++) {
		size_t n = socket_of(l, !side, i)->n_ahead;

		if (n > 0)
			receive_all(l, side, i, n);
	}
}

static void step_read(struct lockstep *l, const struct lockstep_step *s)
{
	char texts[2][LOCKSTEP_TEXT];
	long r[2];

	read_rest(l, s->a);
	r[1] = receive(l, 1, s->a, s->n);
	if (r[1] > 0) {
		r[0] = receive_all(l, 0, s->a, (size_t)r[1]);
	} else {
		r[0] = receive(l, 0, s->a, s->n);
		if (r[0] > 0)
			r[1] = receive_all(l, 1, s->a, (size_t)r[0]);
	}
	say_result(texts[0], r[0]);
	say_result(texts[1], r[1]);
	compare_results(l, s, texts);
}

static void step_peek(struct lockstep *l, const struct lockstep_step *s)
{
	size_t n = s->n < MOST_BYTES / 2 ? s->n : MOST_BYTES / 2;
	unsigned char *halves[2] = { bytes, bytes + MOST_BYTES / 2 };
	char texts[2][LOCKSTEP_TEXT];
	long r[2];

	read_rest(l, s->a);
	for (int side = 0; side < 2; side++) {
		r[side] = result(kernel_recv(l->sides[side]->kernel,
					     fd_of(l, side, s->a), halves[side],
					     n, MSG_PEEK));
		say_result(texts[side], r[side]);
	}
	compare_results(l, s, texts);
	if (r[0] > 0 && r[0] == r[1] && socket_of(l, 0, s->a)->n_ahead == 0 &&
	    socket_of(l, 1, s->a)->n_ahead == 0 &&
	    memcmp(halves[0], halves[1], (size_t)r[0]) != 0)
		content_differs(l, s->a, 0);
}

static void step_write(struct lockstep *l, const struct lockstep_step *s)
{
	bool room = has_room(l, s->a, s->n), pieces = s->verb == PIECES;
	size_t n = s->n < MOST_BYTES ? s->n : MOST_BYTES;
	char texts[2][LOCKSTEP_TEXT];
	long r[2];

	r[1] = send_bytes(l, 1, s->a, n, pieces);
	r[0] = send_bytes(l, 0, s->a, r[1] > 0 && !room ? (size_t)r[1] : n,
			  pieces);
	l->pairs[s->a].writes += l->pairs[s->a].family == AF_UNIX;
	say_result(texts[0], r[0]);
	say_result(texts[1], r[1]);
	compare_results(l, s, texts);
}

/* ---- verbs --------------------------------------------------------------- */

static bool is_opening(enum lockstep_verb v)
{
	return v == OPEN4 || v == OPEN6 || v == DGRAM4 || v == DGRAM6 ||
	       v == LOCAL || v == LOCAL_DGRAM;
}

static int family_of(enum lockstep_verb v)
{
	if (v == LOCAL || v == LOCAL_DGRAM)
		return AF_UNIX;
	return v == OPEN4 || v == DGRAM4 ? AF_INET : AF_INET6;
}

static bool opens_stream(enum lockstep_verb v)
{
	return v == OPEN4 || v == OPEN6 || v == LOCAL;
}

/* What has no meaning, or another one, for UNIX sockets. */
static bool is_for_networks(enum lockstep_verb v)
{
	return v == BIND_WILD || v == BIND_LIKE || v == CONNECT_MAPPED ||
	       v == SEND_MAPPED || v == READ_ERROR || v == TELL_ERRORS ||
	       v == TELL_LOCAL || v == NODELAY || v == V6ONLY;
}

static bool is_for_local(enum lockstep_verb v)
{
	return v == CREDENTIALS || v == UNLINK;
}

static bool is_for_datagrams(enum lockstep_verb v)
{
	return v == SEND_TO || v == SEND_MAPPED || v == SEND_PORT ||
	       v == SEND_MANY || v == READ_SIZE || v == READ_MANY ||
	       v == READ_ERROR || v == TELL_ERRORS || v == TELL_LOCAL;
}

/* ---- what is done to each side alone ------------------------------------- */

/* Does it on that side, and says what was seen. */
typedef void act(struct lockstep *l, int side, const struct lockstep_step *s,
		 char *text);

static void act_open(struct lockstep *l, int side,
		     const struct lockstep_step *s, char *text)
{
	int fd =
		kernel_socket(l->sides[side]->kernel, family_of(s->verb),
			      opens_stream(s->verb) ? SOCK_STREAM : SOCK_DGRAM);

	say_result(text, result(fd) < 0 ? -errno : 0);
	if (fd >= 0)
		start_socket(l->sides[side], s->a, fd);
}

static long bind_to(struct lockstep *l, int side, int i, bool wild,
		    uint16_t port)
{
	union address a;
	socklen_t len = make_address(&a, l->pairs[i].family, wild, port);

	return result(kernel_bind(l->sides[side]->kernel, fd_of(l, side, i),
				  &a.sa, len));
}

static void act_bind(struct lockstep *l, int side,
		     const struct lockstep_step *s, char *text)
{
	uint16_t port = script_port(l, side, s->a, s->n);

	say_result(text, bind_to(l, side, s->a, s->verb == BIND_WILD, port));
}

static void act_bind_like(struct lockstep *l, int side,
			  const struct lockstep_step *s, char *text)
{
	say_result(text, bind_to(l, side, s->a, false,
				 socket_of(l, side, s->b)->port));
}

static void act_listen(struct lockstep *l, int side,
		       const struct lockstep_step *s, char *text)
{
	say_result(text,
		   result(kernel_listen(l->sides[side]->kernel,
					fd_of(l, side, s->a), (int)s->n)));
}

static long connect_to(struct lockstep *l, int side, int i,
		       const union address *a, socklen_t len)
{
	return result(kernel_connect(l->sides[side]->kernel, fd_of(l, side, i),
				     &a->sa, len));
}

static void act_connect(struct lockstep *l, int side,
			const struct lockstep_step *s, char *text)
{
	const struct lockstep_side *of = l->sides[side];
	uint16_t port = s->verb == CONNECT_PORT
				? script_port(l, side, s->a, s->n)
				: of->sockets[s->b].port;
	union address a;
	socklen_t len = make_address(
		&a,
		s->verb == CONNECT_MAPPED ? AF_INET6 : l->pairs[s->a].family,
		false, port);

	if (s->verb == CONNECT_MAPPED)
		a.in6.sin6_addr = (struct in6_addr){
			.s6_addr = { [10] = 255, 255, 127, 0, 0, 1 }
		};
	say_result(text, connect_to(l, side, s->a, &a, len));
}

static void act_disconnect(struct lockstep *l, int side,
			   const struct lockstep_step *s, char *text)
{
	union address a = { .sa.sa_family = AF_UNSPEC };

	say_result(text, connect_to(l, side, s->a, &a, sizeof(a.sa)));
}

static void act_accept(struct lockstep *l, int side,
		       const struct lockstep_step *s, char *text)
{
	struct lockstep_side *of = l->sides[side];
	union address a = { .sa.sa_family = AF_UNSPEC };
	socklen_t len = sizeof(a);
	int fd = kernel_accept(of->kernel, fd_of(l, side, s->a), &a.sa, &len);

	if (fd < 0) {
		say_result(text, -errno);
		return;
	}
	start_socket(of, s->b, fd);
	of->sockets[s->b].port = own_port(of, fd);
	of->sockets[s->b].peer = port_of(&a);
	say_address(l, side, text, &a, of->sockets[s->b].port, false);
}

static void act_shutdown(struct lockstep *l, int side,
			 const struct lockstep_step *s, char *text)
{
	int how = s->verb == SHUT_READ	  ? SHUT_RD
		  : s->verb == SHUT_WRITE ? SHUT_WR
					  : SHUT_RDWR;

	say_result(text, result(kernel_shutdown(l->sides[side]->kernel,
						fd_of(l, side, s->a), how)));
}

static void act_close(struct lockstep *l, int side,
		      const struct lockstep_step *s, char *text)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	if (s->verb == RESET)
		kernel_setsockopt(l->sides[side]->kernel, fd_of(l, side, s->a),
				  SOL_SOCKET, SO_LINGER, &linger,
				  sizeof(linger));
	say_result(text, result(end_socket(l->sides[side], s->a)));
}

/* The options of a socket that scripts set and look at. */
static const struct option {
	enum lockstep_verb verb;
	int level, name;
} options[] = {
	{ REUSE, SOL_SOCKET, SO_REUSEADDR },
	{ NODELAY, IPPROTO_TCP, TCP_NODELAY },
	{ KEEPALIVE, SOL_SOCKET, SO_KEEPALIVE },
	{ V6ONLY, IPPROTO_IPV6, IPV6_V6ONLY },
	{ SNDBUF, SOL_SOCKET, SO_SNDBUF },
	{ RCVBUF, SOL_SOCKET, SO_RCVBUF },
};

static void act_set(struct lockstep *l, int side, const struct lockstep_step *s,
		    char *text)
{
	const struct option *o = options;
	int value = (int)s->n;

	while (o->verb != s->verb)
		o++;
	say_result(text, result(kernel_setsockopt(
				 l->sides[side]->kernel, fd_of(l, side, s->a),
				 o->level, o->name, &value, sizeof(value))));
}

static long get_option(struct lockstep *l, int side, int i, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	if (kernel_getsockopt(l->sides[side]->kernel, fd_of(l, side, i), level,
			      name, &value, &len) < 0)
		return -errno;
	return len == sizeof(value) ? value : -EINVAL;
}

static void act_error(struct lockstep *l, int side,
		      const struct lockstep_step *s, char *text)
{
	long err = get_option(l, side, s->a, SOL_SOCKET, SO_ERROR);

	say(text, "%s pending", err == 0 ? "none" : error_name(-err));
}

/* Not the sizes of buffers, which are the kernel's business. */
static void act_options(struct lockstep *l, int side,
			const struct lockstep_step *s, char *text)
{
	long v[4];

	for (int i = 0; i < 4; i++)
		v[i] = get_option(l, side, s->a, options[i].level,
				  options[i].name);
	say(text, "reuse %ld nodelay %ld keepalive %ld v6only %ld", v[0], v[1],
	    v[2], v[3]);
}

static void act_name(struct lockstep *l, int side,
		     const struct lockstep_step *s, char *text)
{
	union address a = { .sa.sa_family = AF_UNSPEC };
	socklen_t len = sizeof(a);
	long r = result(kernel_getsockname(l->sides[side]->kernel,
					   fd_of(l, side, s->a), &a.sa, &len));

	if (r < 0)
		say_result(text, r);
	else
		say_address(l, side, text, &a, 0,
			    port_of(&a) == socket_of(l, side, s->a)->port);
}

static void act_peer(struct lockstep *l, int side,
		     const struct lockstep_step *s, char *text)
{
	union address a = { .sa.sa_family = AF_UNSPEC };
	socklen_t len = sizeof(a);
	int fd = fd_of(l, side, s->a);
	long r = result(
		kernel_getpeername(l->sides[side]->kernel, fd, &a.sa, &len));

	if (r < 0)
		say_result(text, r);
	else
		say_address(l, side, text, &a, own_port(l->sides[side], fd),
			    false);
}

static void act_watch(struct lockstep *l, int side,
		      const struct lockstep_step *s, char *text)
{
	say_result(text,
		   update_watch(l->sides[side], socket_of(l, side, s->a),
				s->n & (PLAIT_WATCH_READ | PLAIT_WATCH_WRITE |
					WATCH_HANGUP)));
}

static void act_look(struct lockstep *l, int side,
		     const struct lockstep_step *s, char *text)
{
	struct kernel *k = l->sides[side]->kernel;
	int fd = fd_of(l, side, s->a);

	say(text, "hung up %d readable %d", kernel_has_hung_up(k, fd),
	    kernel_is_readable(k, fd));
}

static void collect_events(struct lockstep_side *side)
{
	struct kernel_event found[KERNEL_BATCH];
	int n = kernel_wait(side->kernel, &side->watches, 0, found);

	for (int i = 0; i < LOCKSTEP_SOCKETS; i++)
		side->sockets[i].events = 0;
	for (int i = 0; i < n; i++) {
		for (int j = 0; j < LOCKSTEP_SOCKETS; j++) {
			struct lockstep_socket *s = &side->sockets[j];

			if (s->fd != found[i].fd)
				continue;
			s->events = found[i].events &
				    side->watches.slots[s->fd].events;
			s->told |= (s->events & WATCH_HANGUP) != 0;
		}
	}
}

/* Lets time pass until it is writable. */
static void act_await(struct lockstep *l, int side,
		      const struct lockstep_step *s, char *text)
{
	struct lockstep_side *of = l->sides[side];
	bool is_writable = false;

	for (int i = 0; i < l->patience && !is_writable; i++) {
		of->pass(of);
		of->settle(of);
		collect_events(of);
		is_writable = of->sockets[s->a].events & PLAIT_WATCH_WRITE;
	}
	say(text, "%s", is_writable ? "writable" : "never");
}

/* Calls with arguments that are wrong, by number. */
static long odd_call(struct lockstep *l, int side, int i, unsigned number)
{
	struct kernel *k = l->sides[side]->kernel;
	int fd = fd_of(l, side, i), one = 1, family = l->pairs[i].family;
	union address own, other;
	socklen_t len = sizeof(other);

	make_address(&own, family, false, 1);
	make_address(&other, family == AF_INET ? AF_INET6 : AF_INET, false, 1);
	switch (number) {
	case 0:
		return kernel_bind(k, fd, &own.sa, 3);
	case 1:
		return kernel_bind(k, fd, &other.sa, len);
	case 2:
		return kernel_connect(k, fd, &own.sa, 1);
	case ODD_FAMILY:
		return kernel_connect(k, fd, &other.sa, len);
	case 4:
		return kernel_shutdown(k, fd, 9);
	case 5:
		return kernel_setsockopt(k, fd, SOL_SOCKET, SO_REUSEADDR, &one,
					 1);
	case 6:
		return kernel_recv(k, -1, bytes, 1, 0);
	case 7:
		return kernel_send(k, -1, bytes, 1, MSG_NOSIGNAL);
	case 8:
		return kernel_close(k, -1);
	case 9:
		return kernel_socket(k, -1, SOCK_STREAM);
	case 10:
		return kernel_getsockname(k, -1, &other.sa, &len);
	default:
		return kernel_accept(k, -1, NULL, NULL);
	}
}

static void act_odd(struct lockstep *l, int side, const struct lockstep_step *s,
		    char *text)
{
	say_result(text, result(odd_call(l, side, s->a, s->n)));
}

/* ---- datagrams ----------------------------------------------------------- */

enum {
	MOST_DATAGRAMS = 8,
	DATAGRAM_ROOM = 150000, /* so much has room, whatever the kernel */
	DATAGRAM_COST = 1000,
	CONTROL_ROOM = 200
};

/* How many datagrams, of how many bytes each, a step sends. */
static size_t datagrams_of(const struct lockstep_step *s, size_t *size)
{
	*size = s->n;
	switch (s->verb) {
	case WRITE:
	case PIECES:
	case SEND_TO:
	case SEND_MAPPED:
		return 1;
	case SEND_PORT:
		*size = 10;
		return 1;
	case SEND_MANY:
		*size = 20;
		return s->n < MOST_DATAGRAMS ? s->n : MOST_DATAGRAMS;
	default:
		return 0;
	}
}

/* How many a queue holds depends on how the kernel counts its memory, so that
   scripts do not send so much. */
static bool has_room_for_datagram(const struct lockstep *l,
				  const struct lockstep_step *s)
{
	size_t size, n = datagrams_of(s, &size);

	/* Here the kernel says how many, but not how many bytes. */
	if (l->pairs[s->a].family == AF_UNIX)
		return s->verb != SNDBUF &&
		       (n == 0 || size > MORE_THAN_LOCAL ||
			(size <= MOST_LOCAL &&
			 l->pairs[s->a].writes + n <= MOST_WRITES));
	return n == 0 ||
	       l->unread + n * (size + DATAGRAM_COST) <= DATAGRAM_ROOM;
}

/* What a socket sends is another each time. */
static void fill_datagram(struct lockstep *l, int side, int i, size_t len)
{
	struct lockstep_socket *s = socket_of(l, side, i);

	s->sent++;
	for (size_t at = 0; at < len; at++)
		bytes[at] = content(l->pairs[i].serial, s->sent * 13 + at);
}

static unsigned checksum(const unsigned char *data, size_t len)
{
	unsigned sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = sum * 31 + data[i];
	return sum;
}

static socklen_t destination(const struct lockstep *l, int side,
			     const struct lockstep_step *s, union address *ret)
{
	const struct lockstep_side *of = l->sides[side];
	uint16_t port = s->verb == SEND_PORT ? script_port(l, side, s->a, s->n)
					     : of->sockets[s->b].port;
	socklen_t len = make_address(
		ret, s->verb == SEND_MAPPED ? AF_INET6 : l->pairs[s->a].family,
		false, port);

	if (s->verb == SEND_MAPPED)
		ret->in6.sin6_addr = (struct in6_addr){
			.s6_addr = { [10] = 255, 255, 127, 0, 0, 1 }
		};
	return len;
}

static void act_send(struct lockstep *l, int side,
		     const struct lockstep_step *s, char *text)
{
	size_t size;
	struct iovec iov[2];
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	union address to;

	datagrams_of(s, &size);
	fill_datagram(l, side, s->a, size);
	iov[0] = (struct iovec){ bytes, size / 3 };
	iov[1] = (struct iovec){ bytes + size / 3, size - size / 3 };
	if (s->verb != WRITE && s->verb != PIECES) {
		msg.msg_namelen = destination(l, side, s, &to);
		msg.msg_name = &to;
	}
	say_result(text, result(kernel_sendmsg(l->sides[side]->kernel,
					       fd_of(l, side, s->a), &msg,
					       MSG_NOSIGNAL)));
}

static void act_send_many(struct lockstep *l, int side,
			  const struct lockstep_step *s, char *text)
{
	size_t size, n = datagrams_of(s, &size);
	struct mmsghdr msgs[MOST_DATAGRAMS] = { { .msg_len = 0 } };
	struct iovec iov = { bytes, size };

	fill_datagram(l, side, s->a, size);
	for (size_t i = 0; i < n; i++)
		msgs[i].msg_hdr =
			(struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1 };
	say_result(text, result(kernel_sendmmsg(l->sides[side]->kernel,
						fd_of(l, side, s->a), msgs,
						(unsigned)n, MSG_NOSIGNAL)));
}

/* "here" is the loopback address that it was sent to. */
static const char *say_local(struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL;
	     c = CMSG_NXTHDR(m, c)) {
		struct in_pktinfo in;
		struct in6_pktinfo in6;

		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			memcpy(&in, CMSG_DATA(c), sizeof(in));
			return in.ipi_addr.s_addr == htonl(INADDR_LOOPBACK) &&
					       in.ipi_ifindex == 1
				       ? " at 4 here"
				       : " at 4 elsewhere";
		}
		if (c->cmsg_level == IPPROTO_IPV6 &&
		    c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&in6, CMSG_DATA(c), sizeof(in6));
			return IN6_IS_ADDR_LOOPBACK(&in6.ipi6_addr)
				       ? " at 6 here"
				       : " at 6 elsewhere";
		}
	}
	return "";
}

static void say_error_message(struct msghdr *m, char *text)
{
	struct sock_extended_err e;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL;
	     c = CMSG_NXTHDR(m, c)) {
		bool is_4 = c->cmsg_level == IPPROTO_IP &&
			    c->cmsg_type == IP_RECVERR;
		bool is_6 = c->cmsg_level == IPPROTO_IPV6 &&
			    c->cmsg_type == IPV6_RECVERR;

		if (!is_4 && !is_6)
			continue;
		memcpy(&e, CMSG_DATA(c), sizeof(e));
		say(text, " %s by %d %u.%u", error_name(-(long)e.ee_errno),
		    is_4 ? 4 : 6, e.ee_type, e.ee_code);
		return;
	}
	text[0] = '\0';
}

/* Says who has sent it, and what, beside the result. */
static void say_message(const struct lockstep *l, int side, int i,
			struct msghdr *m, long r, char *text)
{
	char from[LOCKSTEP_TEXT] = "nobody", error[LOCKSTEP_TEXT];
	union address *a = m->msg_name;
	size_t n = m->msg_iov->iov_len;

	if (r < 0) {
		say_result(text, r);
		return;
	}
	if (a != NULL && m->msg_namelen > 0)
		say_address(l, side, from, a, socket_of(l, side, i)->port,
			    port_of(a) == socket_of(l, side, i)->port);
	say_error_message(m, error);
	say(text, "%ld%s %x %.25s%s%.25s", r,
	    m->msg_flags & MSG_TRUNC ? " cut" : "",
	    checksum(m->msg_iov->iov_base, (size_t)r < n ? (size_t)r : n) &
		    0xffff,
	    from, say_local(m), error);
}

static int flags_of(enum lockstep_verb v)
{
	switch (v) {
	case PEEK:
		return MSG_PEEK;
	case READ_SIZE:
		return MSG_TRUNC;
	case READ_ERROR:
		return MSG_ERRQUEUE;
	default:
		return 0;
	}
}

static void act_receive(struct lockstep *l, int side,
			const struct lockstep_step *s, char *text)
{
	union address from = { .sa.sa_family = AF_UNSPEC };
	union {
		struct cmsghdr align;
		char room[CONTROL_ROOM];
	} control;
	struct iovec iov = { bytes, s->n < MOST_BYTES ? s->n : MOST_BYTES };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_name = &from,
			    .msg_namelen = sizeof(from),
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	long r = result(kernel_recvmsg(l->sides[side]->kernel,
				       fd_of(l, side, s->a), &m,
				       flags_of(s->verb)));

	say_message(l, side, s->a, &m, r, text);
}

/* How many, and how large each is. */
static void act_receive_many(struct lockstep *l, int side,
			     const struct lockstep_step *s, char *text)
{
	struct mmsghdr msgs[MOST_DATAGRAMS] = { { .msg_len = 0 } };
	struct iovec iov[MOST_DATAGRAMS];
	unsigned n = s->n < MOST_DATAGRAMS ? s->n : MOST_DATAGRAMS;
	long r;
	size_t at;

	for (unsigned i = 0; i < n; i++) {
		iov[i] = (struct iovec){ bytes + 100 * i, 100 };
		msgs[i].msg_hdr =
			(struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
	}
	r = result(kernel_recvmmsg(l->sides[side]->kernel, fd_of(l, side, s->a),
				   msgs, n, 0));
	say_result(text, r);
	for (long i = 0; i < r; i++) {
		at = strlen(text);
		snprintf(text + at, LOCKSTEP_TEXT - at, " %u:%x",
			 msgs[i].msg_len,
			 checksum(bytes + 100 * i, msgs[i].msg_len) & 0xff);
	}
}

static void act_tell(struct lockstep *l, int side,
		     const struct lockstep_step *s, char *text)
{
	bool errors = s->verb == TELL_ERRORS;
	struct kernel *k = l->sides[side]->kernel;
	int fd = fd_of(l, side, s->a), v4 = s->n & 1, v6 = s->n >> 1 & 1;
	long r4, r6;

	r4 = result(kernel_setsockopt(k, fd, IPPROTO_IP,
				      errors ? IP_RECVERR : IP_PKTINFO, &v4,
				      sizeof(v4)));
	r6 = result(kernel_setsockopt(k, fd, IPPROTO_IPV6,
				      errors ? IPV6_RECVERR : IPV6_RECVPKTINFO,
				      &v6, sizeof(v6)));
	say(text, "%s %s", r4 < 0 ? error_name(r4) : "0",
	    r6 < 0 ? error_name(r6) : "0");
}

/* What was sent may be unread, and what was read is not any more. */
static void note_datagrams(struct lockstep *l, const struct lockstep_step *s)
{
	size_t size, n = datagrams_of(s, &size);

	l->unread += n * (size + DATAGRAM_COST);
	l->pairs[s->a].writes += (unsigned)n;
}

/* ---- UNIX sockets -------------------------------------------------------- */

static void act_credentials(struct lockstep *l, int side,
			    const struct lockstep_step *s, char *text)
{
	struct ucred of = { .pid = -1 };
	socklen_t len = sizeof(of);
	long r = result(kernel_getsockopt(l->sides[side]->kernel,
					  fd_of(l, side, s->a), SOL_SOCKET,
					  SO_PEERCRED, &of, &len));

	if (r < 0)
		say_result(text, r);
	else
		say(text, "%s, length %u", of.pid > 0 ? "somebody" : "nobody",
		    len);
}

static void act_unlink(struct lockstep *l, int side,
		       const struct lockstep_step *s, char *text)
{
	union address a;

	make_address(&a, AF_UNIX, false,
		     script_port(l, side, s->a, LOCKSTEP_PORTS + s->n));
	say_result(text, result(kernel_unlink(l->sides[side]->kernel,
					      a.un.sun_path)));
}

static void unlink_all(struct lockstep_side *side)
{
	union address a;

	for (int i = 1; i < LOCKSTEP_PORTS && directory != NULL; i++) {
		make_address(&a, AF_UNIX, false,
			     (uint16_t)(side->ports[i] | PATH));
		kernel_unlink(side->kernel, a.un.sun_path);
	}
}

/* Who is at the other end, as the second side knows. */
static int local_partner(const struct lockstep *l, int i)
{
	struct lockstep_side *side = l->sides[1];
	int fd = side->peer_of(side, fd_of(l, 1, i));

	for (int j = 0; fd >= 0 && j < LOCKSTEP_SOCKETS; j++) {
		if (l->pairs[j].open && fd_of(l, 1, j) == fd)
			return j;
	}
	return -1;
}

static act *const acts[N_VERBS] = {
	[LOCAL] = act_open,
	[LOCAL_DGRAM] = act_open,
	[CREDENTIALS] = act_credentials,
	[UNLINK] = act_unlink,
	[DGRAM4] = act_open,
	[DGRAM6] = act_open,
	[WRITE] = act_send,
	[PIECES] = act_send,
	[SEND_TO] = act_send,
	[SEND_MAPPED] = act_send,
	[SEND_PORT] = act_send,
	[SEND_MANY] = act_send_many,
	[READ] = act_receive,
	[READ_SIZE] = act_receive,
	[READ_MANY] = act_receive_many,
	[READ_ERROR] = act_receive,
	[PEEK] = act_receive,
	[TELL_ERRORS] = act_tell,
	[TELL_LOCAL] = act_tell,
	[OPEN4] = act_open,
	[OPEN6] = act_open,
	[BIND] = act_bind,
	[BIND_WILD] = act_bind,
	[LISTEN] = act_listen,
	[BIND_LIKE] = act_bind_like,
	[CONNECT] = act_connect,
	[CONNECT_PORT] = act_connect,
	[ACCEPT] = act_accept,
	[SHUT_READ] = act_shutdown,
	[CLOSE] = act_close,
	[SHUT_WRITE] = act_shutdown,
	[RESET] = act_close,
	[SHUT_BOTH] = act_shutdown,
	[SNDBUF] = act_set,
	[RCVBUF] = act_set,
	[REUSE] = act_set,
	[NODELAY] = act_set,
	[KEEPALIVE] = act_set,
	[V6ONLY] = act_set,
	[DISCONNECT] = act_disconnect,
	[CONNECT_MAPPED] = act_connect,
	[ERROR] = act_error,
	[OPTIONS] = act_options,
	[NAME] = act_name,
	[PEER] = act_peer,
	[WATCH] = act_watch,
	[LOOK] = act_look,
	[AWAIT] = act_await,
	[ODD] = act_odd,
};

/* ---- a step -------------------------------------------------------------- */

/* Its sockets are open, or closed, as it needs them. */
static bool can_be_done(const struct lockstep *l, const struct lockstep_step *s)
{
	bool two = strstr(lockstep_words[s->verb].takes, "ss") != NULL;

	if (is_opening(s->verb))
		return !l->pairs[s->a].open &&
		       !(family_of(s->verb) == AF_INET6 && l->no_ipv6);
	if (!l->pairs[s->a].open)
		return false;
	if (is_for_datagrams(s->verb) && !l->pairs[s->a].is_datagram)
		return false;
	if (l->pairs[s->a].family == AF_UNIX ? is_for_networks(s->verb)
					     : is_for_local(s->verb))
		return false;
	if (two && s->verb != ACCEPT && l->pairs[s->b].open &&
	    (l->pairs[s->a].family == AF_UNIX) !=
		    (l->pairs[s->b].family == AF_UNIX))
		return false;
	if (l->pairs[s->a].is_datagram && !has_room_for_datagram(l, s))
		return false;
	if (s->verb == ACCEPT)
		return !l->pairs[s->b].open;
	/* Linux has a fault: once it has asked for an IPv4 address, a socket
	   never gets an answer by IPv6 again. */
	if (l->pairs[s->a].is_mapped &&
	    (s->verb == CONNECT || s->verb == CONNECT_PORT ||
	     s->verb == SEND_TO || s->verb == SEND_PORT ||
	     (l->pairs[s->a].is_datagram && s->verb == DISCONNECT)))
		return false;
	/* ... and once it has asked for an IPv6 address, it sends to IPv4 ones
	   from 127.0.0.6, an address that nobody has given it. */
	if (l->pairs[s->a].is_plain &&
	    (s->verb == SEND_MAPPED || s->verb == CONNECT_MAPPED ||
	     (s->verb == ODD && s->n == ODD_FAMILY)))
		return false;
	/* Who else may bind a port that connect() has chosen depends on what
	   else it was given to. */
	if (s->verb == BIND_LIKE)
		return l->pairs[s->b].open && l->pairs[s->b].is_bound;
	return !two ||
	       (l->pairs[s->b].open && socket_of(l, 0, s->b)->port != 0);
}

/* Whoever has opened what the other has not, closes it; it has failed anyway.
 */
static void note_opened(struct lockstep *l, int i, int family)
{
	bool both = fd_of(l, 0, i) >= 0 && fd_of(l, 1, i) >= 0;

	if (both)
		note_open(l, i, family);
	for (int side = 0; side < 2; side++) {
		if (!both && fd_of(l, side, i) >= 0)
			end_socket(l->sides[side], i);
	}
}

/* Who is at the other end of a connection that was accepted, or was there. */
static void note_local_partner(struct lockstep *l, int i)
{
	int partner = local_partner(l, i);

	l->pairs[i].partner = partner;
	if (partner >= 0)
		l->pairs[partner].partner = i;
	/* If it has gone, nobody knows any more whether it had sent all. */
	l->pairs[i].is_apart = partner < 0 && l->was_clogged;
}

static void note_partner(struct lockstep *l, int i)
{
	const struct lockstep_socket *s = socket_of(l, 0, i);
	const struct lockstep_connection *c =
		find_connection(l, 0, s->peer, s->port);

	if (l->pairs[i].family == AF_UNIX) {
		note_local_partner(l, i);
		return;
	}
	for (int j = 0; c != NULL && j < LOCKSTEP_SOCKETS; j++) {
		if (!l->pairs[j].open || l->pairs[j].serial != c->serial)
			continue;
		l->pairs[i].partner = j;
		l->pairs[j].partner = i;
	}
	l->pairs[i].is_apart = c != NULL && c->was_full;
}

static void note_accepted(struct lockstep *l, const struct lockstep_step *s)
{
	note_opened(l, s->b, l->pairs[s->a].family);
	if (!l->pairs[s->b].open)
		return;
	l->pairs[s->b].small = l->pairs[s->a].small;
	note_partner(l, s->b);
}

/*
 * It sends no more.  What has no room yet comes later, and the end behind it;
 * if one side has sent less, it stays less.
 */
static void note_end(struct lockstep *l, const struct lockstep_step *s)
{
	struct lockstep_pair *p = &l->pairs[s->a];
	bool is_closed = s->verb == CLOSE || s->verb == RESET;
	struct lockstep_pair *partner =
		p->partner >= 0 ? &l->pairs[p->partner] : NULL;

	if (!has_room(l, s->a, 0)) {
		set_apart(l, s->a);
		l->was_clogged |= p->family == AF_UNIX;
		for (unsigned i = 0; i < l->n_connections; i++) {
			if (l->connections[i].serial == p->serial)
				l->connections[i].was_full = true;
		}
	}
	for (int side = 0; side < 2 && is_closed && partner; side++)
		partner->taken[side] = socket_of(l, side, s->a)->received;
}

static void note_connecting(struct lockstep *l, const struct lockstep_step *s)
{
	uint16_t to[2];

	l->pairs[s->a].is_mapped |= s->verb == CONNECT_MAPPED;
	l->pairs[s->a].is_plain |=
		l->pairs[s->a].is_datagram && s->verb != CONNECT_MAPPED;
	if (s->verb != CONNECT_PORT)
		l->pairs[s->a].small |= l->pairs[s->b].small;
	for (int side = 0; side < 2; side++)
		to[side] = s->verb == CONNECT
				   ? socket_of(l, side, s->b)->port
				   : script_port(l, side, s->a, s->n);
	note_port(l, s->a, to);
}

/* Whatever is done to a socket of datagrams may give it a port, or take it. */
static void note_chosen_port(struct lockstep *l, const struct lockstep_step *s)
{
	if (s->verb == CLOSE || s->verb == RESET)
		return;
	if (own_port(l->sides[0], fd_of(l, 0, s->a)) !=
	    socket_of(l, 0, s->a)->port)
		note_port(l, s->a, (uint16_t[]){ 0, 0 });
}

/* What both sides have made of it. */
static void note(struct lockstep *l, const struct lockstep_step *s)
{
	if (l->pairs[s->a].is_datagram && !is_opening(s->verb)) {
		note_datagrams(l, s);
		note_chosen_port(l, s);
	}
	switch (s->verb) {
	case OPEN4:
	case OPEN6:
	case DGRAM4:
	case DGRAM6:
	case LOCAL:
	case LOCAL_DGRAM:
		note_opened(l, s->a, family_of(s->verb));
		l->pairs[s->a].is_datagram = !opens_stream(s->verb);
		break;
	case BIND:
	case BIND_WILD:
	case BIND_LIKE:
	case LISTEN:
		if (own_port(l->sides[0], fd_of(l, 0, s->a)) ==
		    socket_of(l, 0, s->a)->port)
			break;
		note_port(l, s->a, (uint16_t[]){ 0, 0 });
		l->pairs[s->a].is_bound = socket_of(l, 0, s->a)->port != 0;
		break;
	case CONNECT:
	case CONNECT_PORT:
	case CONNECT_MAPPED:
		note_connecting(l, s);
		break;
	case ACCEPT:
		note_accepted(l, s);
		break;
	case ODD:
		l->pairs[s->a].is_mapped |=
			s->n == ODD_FAMILY && l->pairs[s->a].is_datagram;
		break;
	case CLOSE:
	case RESET:
		note_close(l, s->a);
		break;
	case SNDBUF:
	case RCVBUF:
		l->pairs[s->a].small = true;
		break;
	case WATCH:
		l->pairs[s->a].wants = s->n;
		break;
	default:
		break;
	}
}

static void act_on_both(struct lockstep *l, const struct lockstep_step *s)
{
	char texts[2][LOCKSTEP_TEXT];

	if (s->verb == CLOSE || s->verb == RESET || s->verb == DISCONNECT ||
	    s->verb == SHUT_WRITE || s->verb == SHUT_BOTH)
		note_end(l, s);
	for (int side = 0; side < 2; side++)
		acts[s->verb](l, side, s, texts[side]);
	note(l, s);
	if (!l->met)
		compare_results(l, s, texts);
}

/* ---- events -------------------------------------------------------------- */

/* "rwh", and "!" of what has hung up, whether it is waited for or not. */
static void say_events(const struct lockstep *l, int side, int i, char *text)
{
	struct lockstep_socket *s = socket_of(l, side, i);
	bool once = l->pairs[i].wants == WATCH_HANGUP;
	bool told = once ? s->told : (s->events & WATCH_HANGUP) != 0;

	say(text, "%s%s%s%s", s->events & PLAIT_WATCH_READ ? "r" : "-",
	    s->events & PLAIT_WATCH_WRITE ? "w" : "-",
	    kernel_has_hung_up(l->sides[side]->kernel, s->fd) ? "!" : "-",
	    told ? "h" : "-");
}

/* Looks at one socket's; reports only at last. */
static bool events_agree(struct lockstep *l, const struct lockstep_step *s,
			 int i, bool at_last)
{
	char texts[2][LOCKSTEP_TEXT];
	struct lockstep_difference d = { .step = s,
					 .in = IN_EVENTS,
					 .socket = i,
					 .seen = { texts[0], texts[1] } };

	if (!l->pairs[i].open)
		return true;
	for (int side = 0; side < 2; side++)
		say_events(l, side, i, texts[side]);
	if (at_last)
		compare(l, d);
	if (at_last && l->log != NULL)
		fprintf(l->log,
			strcmp(texts[0], texts[1]) ? " %c:%s/%s" : " %c:%s",
			'a' + i, texts[0], texts[1]);
	return strcmp(texts[0], texts[1]) == 0 || find_allowance(l, &d) != NULL;
}

static bool all_events_agree(struct lockstep *l, const struct lockstep_step *s,
			     bool at_last)
{
	bool agree = true;

	for (int i = 0; i < LOCKSTEP_SOCKETS; i++)
		agree &= events_agree(l, s, i, at_last);
	return agree;
}

/*
 * A difference has to stay.  Time passes for both, so if a kernel sends again
 * what was dropped after a second, the other does, too.
 */
static void compare_events(struct lockstep *l, const struct lockstep_step *s)
{
	for (int waited = 0;; waited++) {
		settle(l);
		collect_events(l->sides[0]);
		collect_events(l->sides[1]);
		if (all_events_agree(l, s, false) || waited >= l->patience)
			break;
		l->sides[0]->pass(l->sides[0]);
		l->sides[1]->pass(l->sides[1]);
		l->waited++;
	}
	all_events_agree(l, s, true);
}

static void note_room(struct lockstep *l, int i)
{
	struct lockstep_pair *p = &l->pairs[i];

	if (p->is_clogged && unread_of(l, i) == 0)
		p->is_clogged = false;
	if (unread_of(l, i) == 0 && !p->is_datagram)
		p->writes = 0;
	p->is_clogged = !has_room(l, i, 0);
	p->was_full = is_full(l, i);
}

static void do_step(struct lockstep *l, const struct lockstep_step *s)
{
	if (l->log != NULL)
		lockstep_print_step(s, l->log);
	for (int i = 0; i < LOCKSTEP_SOCKETS; i++)
		note_room(l, i);
	if (l->pairs[s->a].open && l->pairs[s->a].is_datagram)
		act_on_both(l, s);
	else if (s->verb == READ)
		step_read(l, s);
	else if (s->verb == PEEK)
		step_peek(l, s);
	else if (s->verb == WRITE || s->verb == PIECES)
		step_write(l, s);
	else
		act_on_both(l, s);
	if (!l->failed && !l->met)
		compare_events(l, s);
	if (l->log != NULL)
		fputc('\n', l->log);
}

/* ---- a run --------------------------------------------------------------- */

static void begin_side(struct lockstep_side *side)
{
	if (side->begin != NULL)
		side->begin(side);
	side->watches = (struct watches){ .n = 0 };
	for (int i = 0; i < LOCKSTEP_SOCKETS; i++)
		side->sockets[i] = (struct lockstep_socket){ .fd = -1 };
	for (int i = 1; i < LOCKSTEP_PORTS; i++)
		side->ports[i] = side->new_port(side);
}

static void end_side(struct lockstep_side *side)
{
	for (int i = 0; i < LOCKSTEP_SOCKETS; i++) {
		if (side->sockets[i].fd >= 0)
			end_socket(side, i);
	}
	unlink_all(side);
	side->settle(side);
	free(side->watches.slots);
	if (side->end != NULL)
		side->end(side);
}

bool lockstep_run(struct lockstep *l, const struct lockstep_script *s)
{
	struct lockstep_connection connections[MOST_CONNECTIONS];

	l->connections = connections;
	l->n_connections = l->opened = 0;
	l->unread = 0;
	l->was_clogged = false;
	directory = l->sides[0]->directory;
	l->failed = l->met = false;
	l->why = NULL;
	for (int i = 0; i < LOCKSTEP_SOCKETS; i++)
		l->pairs[i].open = false;
	begin_side(l->sides[0]);
	begin_side(l->sides[1]);
	for (int i = 0; i < s->n && !l->failed && !l->met; i++) {
		if (can_be_done(l, &s->steps[i]))
			do_step(l, &s->steps[i]);
	}
	end_side(l->sides[0]);
	end_side(l->sides[1]);
	return !l->failed;
}
