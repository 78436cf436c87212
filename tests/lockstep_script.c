/*
 * The scripts of lockstep.h: as text, from a seed, and made smaller.
 *
 * The generator keeps a rough idea of what each socket is, so that most steps
 * do something; an eighth of them are for a socket of any kind.  Each seed
 * draws first how often it uses which verb, so that scripts differ in kind.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lockstep.h"

const struct lockstep_word lockstep_words[N_VERBS] = {
	[OPEN4] = { "open4", "s" },
	[OPEN6] = { "open6", "s" },
	[DGRAM4] = { "dgram4", "s" },
	[DGRAM6] = { "dgram6", "s" },
	[LOCAL] = { "local", "s" }, /* a UNIX socket */
	[LOCAL_DGRAM] = { "local-dgram", "s" },
	[BIND] = { "bind", "sn" },	     /* to loopback, and port n */
	[BIND_WILD] = { "bind-wild", "sn" }, /* to all addresses */
	[BIND_LIKE] = { "bind-like", "ss" }, /* to the port of the second */
	[LISTEN] = { "listen", "sn" },	     /* with that backlog */
	[CONNECT] = { "connect", "ss" },     /* to the port of the second */
	[CONNECT_PORT] = { "connect-port", "sn" },
	[CONNECT_MAPPED] = { "connect-mapped", "ss" }, /* IPv4 as IPv6 */
	[DISCONNECT] = { "disconnect", "s" }, /* connect() to no address */
	[ACCEPT] = { "accept", "ss" }, /* from the first, as the second */
	[WRITE] = { "write", "sn" },
	[PIECES] = { "pieces", "sn" },	  /* sendmsg() with several buffers */
	[SEND_TO] = { "send-to", "ssn" }, /* to the port of the second */
	[SEND_MAPPED] = { "send-mapped", "ssn" }, /* ... by IPv4 as IPv6 */
	[SEND_PORT] = { "send-port", "sn" },
	[SEND_MANY] = { "send-many", "sn" }, /* so many, in one call */
	[READ] = { "read", "sn" },
	[READ_SIZE] = { "read-size", "sn" }, /* with MSG_TRUNC */
	[READ_MANY] = { "read-many", "sn" }, /* so many, in one call */
	[READ_ERROR] = { "read-error", "sn" },
	[PEEK] = { "peek", "sn" },
	[SHUT_READ] = { "shut-read", "s" },
	[SHUT_WRITE] = { "shut-write", "s" },
	[SHUT_BOTH] = { "shut-both", "s" },
	[CLOSE] = { "close", "s" },
	[RESET] = { "reset", "s" }, /* SO_LINGER of 0, and close() */
	[SNDBUF] = { "sndbuf", "sn" },
	[RCVBUF] = { "rcvbuf", "sn" },
	[REUSE] = { "reuse", "sn" },
	[NODELAY] = { "nodelay", "sn" },
	[KEEPALIVE] = { "keepalive", "sn" },
	[V6ONLY] = { "v6only", "sn" },
	[TELL_ERRORS] = { "tell-errors", "sn" }, /* 1: of IPv4, 2: of IPv6 */
	[TELL_LOCAL] = { "tell-local", "sn" },
	[CREDENTIALS] = { "credentials", "s" },
	[UNLINK] = { "unlink", "sn" },	/* the path n, whoever has it */
	[ERROR] = { "error", "s" },	/* SO_ERROR */
	[OPTIONS] = { "options", "s" }, /* the others, as they are set */
	[NAME] = { "name", "s" },
	[PEER] = { "peer", "s" },
	[WATCH] = { "watch", "sn" }, /* for these events from now on */
	[LOOK] = { "look", "s" },    /* has_hung_up(), is_readable() */
	[AWAIT] = { "await", "s" },  /* it is writable, after some time */
	[ODD] = { "odd", "sn" },     /* calls with wrong arguments */
};

/* ---- as text ------------------------------------------------------------- */

void lockstep_print_step(const struct lockstep_step *s, FILE *to)
{
	const struct lockstep_word *w = &lockstep_words[s->verb];

	fprintf(to, "%s %c", w->name, 'a' + s->a);
	if (strstr(w->takes, "ss") != NULL)
		fprintf(to, " %c", 'a' + s->b);
	if (strchr(w->takes, 'n') != NULL)
		fprintf(to, " %u", s->n);
}

void lockstep_print(const struct lockstep_script *s, FILE *to)
{
	for (int i = 0; i < s->n; i++) {
		fputs(i > 0 ? "; " : "", to);
		lockstep_print_step(&s->steps[i], to);
	}
}

static bool parse_verb(const char *text, size_t len, enum lockstep_verb *ret)
{
	for (int v = 0; v < N_VERBS; v++) {
		const char *name = lockstep_words[v].name;

		if (strlen(name) != len || memcmp(name, text, len) != 0)
			continue;
		*ret = (enum lockstep_verb)v;
		return true;
	}
	return false;
}

static const char *skip_blanks(const char *text)
{
	return text + strspn(text, " \t\n");
}

static bool parse_socket(const char **text, int *ret)
{
	*text = skip_blanks(*text);
	*ret = **text - 'a';
	if (*ret < 0 || *ret >= LOCKSTEP_SOCKETS)
		return false;
	++*text;
	return true;
}

static bool parse_number(const char **text, unsigned *ret)
{
	char *end;

	*text = skip_blanks(*text);
	if (!isdigit((unsigned char)**text))
		return false;
	*ret = (unsigned)strtoul(*text, &end, 10);
	*text = end;
	return true;
}

static bool parse_step(const char **text, struct lockstep_step *s)
{
	const char *takes;
	size_t len;

	*s = (struct lockstep_step){ .n = 0 };
	*text = skip_blanks(*text);
	len = strcspn(*text, " \t\n;");
	if (!parse_verb(*text, len, &s->verb))
		return false;
	*text += len;
	takes = lockstep_words[s->verb].takes;
	if (!parse_socket(text, &s->a))
		return false;
	if (takes[1] == 's' && !parse_socket(text, &s->b))
		return false;
	return strchr(takes, 'n') == NULL || parse_number(text, &s->n);
}

bool lockstep_parse(struct lockstep_script *s, const char *text)
{
	for (s->n = 0; *(text = skip_blanks(text)) != '\0'; s->n++) {
		if (s->n == LOCKSTEP_STEPS ||
		    !parse_step(&text, &s->steps[s->n]))
			return false;
		text = skip_blanks(text);
		if (*text == ';')
			text++;
		else if (*text != '\0')
			return false;
	}
	return true;
}

/* ---- from a seed --------------------------------------------------------- */

/* What a socket is, as far as the generator knows. */
enum kind {
	NOTHING = 1, /* not open */
	FRESH = 2,
	BOUND = 4,
	LISTENING = 8,
	CONNECTED = 16,
	OPEN = FRESH | BOUND | LISTENING | CONNECTED
};

static const struct habit {
	unsigned weight; /* how often, in a script that does it as usual */
	enum kind fits;	 /* mostly it is done to a socket of that kind */
} stream_habits[N_VERBS] = {
	[OPEN4] = { 20, NOTHING },
	[OPEN6] = { 20, NOTHING },
	[BIND] = { 20, FRESH },
	[BIND_WILD] = { 2, FRESH },
	[BIND_LIKE] = { 2, FRESH },
	[LISTEN] = { 10, BOUND | LISTENING },
	[CONNECT] = { 30, FRESH },
	[CONNECT_PORT] = { 4, FRESH },
	[CONNECT_MAPPED] = { 3, FRESH },
	[DISCONNECT] = { 1, CONNECTED },
	[ACCEPT] = { 40, LISTENING },
	[WRITE] = { 30, CONNECTED },
	[PIECES] = { 8, CONNECTED },
	[READ] = { 36, CONNECTED },
	[PEEK] = { 4, CONNECTED },
	[SHUT_READ] = { 2, CONNECTED },
	[SHUT_WRITE] = { 3, CONNECTED },
	[SHUT_BOTH] = { 2, FRESH | CONNECTED },
	[CLOSE] = { 6, OPEN },
	[RESET] = { 2, CONNECTED },
	[SNDBUF] = { 2, FRESH | CONNECTED },
	[RCVBUF] = { 2, FRESH | BOUND | CONNECTED },
	[REUSE] = { 6, FRESH },
	[NODELAY] = { 2, CONNECTED },
	[KEEPALIVE] = { 2, CONNECTED },
	[V6ONLY] = { 2, FRESH },
	[ERROR] = { 6, CONNECTED },
	[OPTIONS] = { 4, OPEN },
	[NAME] = { 4, OPEN },
	[PEER] = { 4, OPEN },
	[WATCH] = { 6, OPEN },
	[LOOK] = { 4, OPEN },
	[AWAIT] = { 0, OPEN }, /* it takes a second */
	[ODD] = { 3, OPEN },
};

static const struct habit datagram_habits[N_VERBS] = {
	[OPEN4] = { 1, NOTHING },
	[DGRAM4] = { 20, NOTHING },
	[DGRAM6] = { 20, NOTHING },
	[BIND] = { 20, FRESH },
	[BIND_WILD] = { 10, FRESH },
	[BIND_LIKE] = { 2, FRESH },
	[LISTEN] = { 1, OPEN },
	[CONNECT] = { 20, FRESH | BOUND },
	[CONNECT_PORT] = { 6, FRESH | BOUND | CONNECTED },
	[CONNECT_MAPPED] = { 4, FRESH },
	[DISCONNECT] = { 5, CONNECTED },
	[ACCEPT] = { 1, OPEN },
	[WRITE] = { 20, CONNECTED },
	[PIECES] = { 6, CONNECTED },
	[SEND_TO] = { 50, OPEN },
	[SEND_MAPPED] = { 4, OPEN },
	[SEND_PORT] = { 20, OPEN },
	[SEND_MANY] = { 10, CONNECTED },
	[READ] = { 50, OPEN },
	[READ_SIZE] = { 6, OPEN },
	[READ_MANY] = { 12, OPEN },
	[READ_ERROR] = { 12, OPEN },
	[PEEK] = { 6, OPEN },
	[SHUT_READ] = { 1, CONNECTED },
	[SHUT_WRITE] = { 1, CONNECTED },
	[SHUT_BOTH] = { 1, OPEN },
	[CLOSE] = { 8, OPEN },
	[REUSE] = { 6, FRESH },
	[NODELAY] = { 1, OPEN },
	[KEEPALIVE] = { 1, OPEN },
	[V6ONLY] = { 4, FRESH },
	[TELL_ERRORS] = { 12, OPEN },
	[TELL_LOCAL] = { 8, OPEN },
	[ERROR] = { 6, OPEN },
	[OPTIONS] = { 3, OPEN },
	[NAME] = { 10, OPEN },
	[PEER] = { 8, OPEN },
	[WATCH] = { 6, OPEN },
	[LOOK] = { 4, OPEN },
	[ODD] = { 3, OPEN },
};

static const struct habit local_habits[N_VERBS] = {
	[LOCAL] = { 30, NOTHING },
	[LOCAL_DGRAM] = { 20, NOTHING },
	[BIND] = { 30, FRESH },
	[LISTEN] = { 20, BOUND | LISTENING },
	[CONNECT] = { 40, FRESH },
	[CONNECT_PORT] = { 8, FRESH },
	[DISCONNECT] = { 3, CONNECTED },
	[ACCEPT] = { 40, LISTENING },
	[WRITE] = { 30, CONNECTED },
	[PIECES] = { 8, CONNECTED },
	[SEND_TO] = { 24, OPEN },
	[SEND_PORT] = { 8, OPEN },
	[SEND_MANY] = { 6, CONNECTED },
	[READ] = { 50, CONNECTED | BOUND },
	[READ_SIZE] = { 4, OPEN },
	[READ_MANY] = { 4, OPEN },
	[PEEK] = { 6, CONNECTED },
	[SHUT_READ] = { 3, CONNECTED | LISTENING },
	[SHUT_WRITE] = { 4, CONNECTED },
	[SHUT_BOTH] = { 2, OPEN },
	[CLOSE] = { 12, OPEN },
	[RESET] = { 2, CONNECTED },
	[SNDBUF] = { 1, FRESH | CONNECTED },
	[RCVBUF] = { 1, FRESH | CONNECTED },
	[REUSE] = { 1, FRESH },
	[KEEPALIVE] = { 1, CONNECTED },
	[CREDENTIALS] = { 6, OPEN },
	[UNLINK] = { 8, OPEN },
	[ERROR] = { 6, CONNECTED },
	[OPTIONS] = { 3, OPEN },
	[NAME] = { 8, OPEN },
	[PEER] = { 8, OPEN },
	[WATCH] = { 6, OPEN },
	[LOOK] = { 4, OPEN },
	[ODD] = { 3, OPEN },
};

struct generator {
	const struct habit *habits;
	uint64_t state;
	unsigned weights[N_VERBS], total;
	unsigned most;	/* bytes at once, mostly */
	unsigned ports; /* if not 0, all want the same so many ports */
	struct guess {
		enum kind kind;
		enum lockstep_verb family; /* the verb that has opened it */
		unsigned waiting;	   /* to be accepted */
	} guesses[LOCKSTEP_SOCKETS];
};

static uint64_t draw(struct generator *g)
{
	uint64_t x = g->state += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static unsigned below(struct generator *g, unsigned n)
{
	return (unsigned)(draw(g) % n);
}

/* Whether a socket will do for the second of a step, whose first one is that.
 */
static bool is_kind(const struct generator *g, int s, enum kind kinds, int with)
{
	const struct guess *is = &g->guesses[s];

	return is->kind & kinds &&
	       (with < 0 || is->family == g->guesses[with].family);
}

/* A socket of such a kind, or -1 if there is none. */
static int pick_kind(struct generator *g, enum kind kinds, int with)
{
	unsigned first = below(g, LOCKSTEP_SOCKETS);

	for (unsigned i = 0; i < LOCKSTEP_SOCKETS; i++) {
		int s = (int)((first + i) % LOCKSTEP_SOCKETS);

		if (is_kind(g, s, kinds, with))
			return s;
	}
	return -1;
}

/* A listener that has something to accept, or -1. */
static int pick_waited_for(struct generator *g)
{
	unsigned first = below(g, LOCKSTEP_SOCKETS);

	for (unsigned i = 0; i < LOCKSTEP_SOCKETS; i++) {
		int s = (int)((first + i) % LOCKSTEP_SOCKETS);

		if (g->guesses[s].waiting > 0)
			return s;
	}
	return -1;
}

static int pick_socket(struct generator *g, enum lockstep_verb v)
{
	int s = -1;

	if (g->habits[v].fits == NOTHING)
		return pick_kind(g, NOTHING, -1);
	if (v == ACCEPT && below(g, 8) > 0)
		return pick_waited_for(g);
	if (below(g, 16) > 0)
		s = pick_kind(g, g->habits[v].fits, -1);
	return s >= 0 || below(g, 8) > 0 ? s : pick_kind(g, OPEN, -1);
}

/* Mostly a few bytes, sometimes as many as buffers hold, and more. */
static unsigned pick_bytes(struct generator *g)
{
	switch (below(g, 8)) {
	case 0:
		return below(g, g->most + 1);
	case 1:
		return below(g, g->most / 10 + 1);
	default:
		return below(g, 300);
	}
}

/* Some of them are as large as datagrams may be, and larger. */
static unsigned pick_datagram(struct generator *g)
{
	static const unsigned edges[] = { 0, 1, 65507, 65508, 65527, 65528 };

	switch (below(g, 16)) {
	case 0:
		return edges[below(g, 6)];
	case 1:
		return below(g, 3000);
	default:
		return below(g, 300);
	}
}

/* One datagram is as large as none may be. */
static unsigned pick_local(struct generator *g, enum lockstep_verb v)
{
	if (v == SEND_TO && below(g, 16) == 0)
		return 212961;
	return v == SEND_TO ? below(g, 300) : pick_bytes(g);
}

static unsigned pick_number(struct generator *g, enum lockstep_verb v)
{
	static const unsigned masks[] = { 0, 1, 2, 3, 8, 9, 10, 11 };

	if (g->habits == local_habits &&
	    (v == BIND || v == CONNECT_PORT || v == SEND_PORT || v == UNLINK))
		return 1 + below(g, 2 * LOCKSTEP_PORTS - 1);
	switch (v) {
	case BIND:
	case BIND_WILD:
		if (g->ports > 0)
			return 1 + below(g, g->ports);
		return below(g, 2) * below(g, LOCKSTEP_PORTS);
	case CONNECT_PORT:
	case SEND_PORT:
		if (g->ports > 0)
			return 1 + below(g, g->ports);
		return 1 + below(g, LOCKSTEP_PORTS - 1);
	case LISTEN:
		return below(g, 8) > 0 ? below(g, 4) : 100;
	case SNDBUF:
	case RCVBUF:
		return below(g, 4) > 0 ? below(g, 20000) : below(g, 400000);
	case REUSE:
	case NODELAY:
	case KEEPALIVE:
	case V6ONLY:
		return below(g, 4) > 0;
	case TELL_ERRORS:
	case TELL_LOCAL:
		return below(g, 4);
	case SEND_MANY:
	case READ_MANY:
		return below(g, 6);
	case WATCH:
		return masks[below(g, 8)];
	case ODD:
		return below(g, 12);
	default:
		if (g->habits == local_habits)
			return pick_local(g, v);
		return g->habits == datagram_habits ? pick_datagram(g)
						    : pick_bytes(g);
	}
}

static int pick_other(struct generator *g, enum lockstep_verb v, int a)
{
	if (v == ACCEPT)
		return pick_kind(g, NOTHING, -1);
	if (v == CONNECT_MAPPED || v == SEND_MAPPED)
		return pick_kind(g, LISTENING | BOUND, -1);
	if (below(g, 16) > 0)
		return pick_kind(g,
				 g->habits == datagram_habits ||
						 g->guesses[a].family ==
							 LOCAL_DGRAM
					 ? BOUND
					 : LISTENING,
				 a);
	return pick_kind(g, OPEN, -1);
}

static enum lockstep_verb pick_verb(struct generator *g)
{
	unsigned n = below(g, g->total);
	int v = 0;

	while (n >= g->weights[v])
		n -= g->weights[v++];
	return (enum lockstep_verb)v;
}

/* What the step makes of its sockets, if all goes well. */
static void note_step(struct generator *g, const struct lockstep_step *s)
{
	struct guess *a = &g->guesses[s->a], *b = &g->guesses[s->b];

	switch (s->verb) {
	case OPEN4:
	case OPEN6:
	case DGRAM4:
	case DGRAM6:
	case LOCAL:
	case LOCAL_DGRAM:
		*a = (struct guess){ .kind = FRESH, .family = s->verb };
		break;
	case BIND:
	case BIND_WILD:
	case BIND_LIKE:
		a->kind = a->kind == FRESH ? BOUND : a->kind;
		break;
	case LISTEN:
		a->kind = a->kind == BOUND ? LISTENING : a->kind;
		break;
	case CONNECT:
	case CONNECT_MAPPED:
		if (a->kind == FRESH && b->kind == LISTENING)
			b->waiting++;
		a->kind = a->kind == FRESH ? CONNECTED : a->kind;
		break;
	case SEND_TO:
	case SEND_PORT:
		a->kind = a->kind == FRESH ? BOUND : a->kind;
		break;
	case ACCEPT:
		if (a->waiting == 0)
			break;
		a->waiting--;
		*b = (struct guess){ .kind = CONNECTED, .family = a->family };
		break;
	case DISCONNECT:
		a->kind = FRESH;
		break;
	case CLOSE:
	case RESET:
		*a = (struct guess){ .kind = NOTHING };
		break;
	default:
		break;
	}
}

static bool takes(const struct lockstep_step *s, const char *what)
{
	return strcmp(lockstep_words[s->verb].takes, what) == 0;
}

static bool generate_step(struct generator *g, struct lockstep_step *s)
{
	*s = (struct lockstep_step){ .verb = pick_verb(g) };
	s->a = pick_socket(g, s->verb);
	if (s->a >= 0 && (takes(s, "ss") || takes(s, "ssn")))
		s->b = pick_other(g, s->verb, s->a);
	if (takes(s, "sn") || takes(s, "ssn"))
		s->n = pick_number(g, s->verb);
	if (s->a < 0 || s->b < 0)
		return false;
	note_step(g, s);
	return true;
}

/* How it is to be this time. */
static void draw_habits(struct generator *g)
{
	for (int v = 0; v < N_VERBS; v++)
		g->weights[v] = g->habits[v].weight * (1 + below(g, 4)) / 2;
	switch (below(g, 5)) {
	case 0:
		g->weights[OPEN4] = g->weights[DGRAM4] = 0;
		break;
	case 1:
		break;
	default:
		g->weights[OPEN6] = g->weights[DGRAM6] = 0;
	}
	if (below(g, 4) == 0) {
		g->ports = 1 + below(g, 2);
		g->weights[REUSE] *= 4;
		g->weights[CLOSE] *= 4;
	}
	for (int v = 0; v < N_VERBS; v++)
		g->total += g->weights[v];
	for (int s = 0; s < LOCKSTEP_SOCKETS; s++)
		g->guesses[s].kind = NOTHING;
	g->most = below(g, 6) > 0 ? 10000 : 3000000;
}

/* Mostly there is a connection to begin with. */
static void generate_connection(struct generator *g, struct lockstep_script *s)
{
	const enum lockstep_verb open = g->weights[OPEN4] > 0 ? OPEN4 : OPEN6;
	const struct lockstep_step steps[] = {
		{ open, .a = 0 },
		{ REUSE, .a = 0, .n = below(g, 2) },
		{ BIND, .a = 0, .n = pick_number(g, BIND) },
		{ LISTEN, .a = 0, .n = below(g, 4) },
		{ open, .a = 1 },
		{ CONNECT, .a = 1, .b = 0 },
		{ ACCEPT, .a = 0, .b = 2 },
	};

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		s->steps[s->n++] = steps[i];
		note_step(g, &steps[i]);
	}
}

void lockstep_generate(struct lockstep_script *s, uint64_t seed)
{
	struct generator g = { .habits = stream_habits, .state = seed };
	int n;

	s->n = 0;
	draw_habits(&g);
	n = 15 + (int)below(&g, LOCKSTEP_STEPS - 15);
	if (below(&g, 4) > 0)
		generate_connection(&g, s);
	while (s->n < n)
		s->n += generate_step(&g, &s->steps[s->n]);
}

void lockstep_generate_datagrams(struct lockstep_script *s, uint64_t seed)
{
	struct generator g = { .habits = datagram_habits, .state = seed };
	int n;

	s->n = 0;
	draw_habits(&g);
	n = 15 + (int)below(&g, LOCKSTEP_STEPS - 15);
	while (s->n < n)
		s->n += generate_step(&g, &s->steps[s->n]);
}

void lockstep_generate_local(struct lockstep_script *s, uint64_t seed)
{
	struct generator g = { .habits = local_habits, .state = seed };
	int n;

	s->n = 0;
	draw_habits(&g);
	n = 15 + (int)below(&g, LOCKSTEP_STEPS - 15);
	while (s->n < n)
		s->n += generate_step(&g, &s->steps[s->n]);
}

/* ---- made smaller -------------------------------------------------------- */

static struct lockstep_script without(const struct lockstep_script *s, int from,
				      int count)
{
	struct lockstep_script less = *s;

	memmove(&less.steps[from], &less.steps[from + count],
		(size_t)(s->n - from - count) * sizeof(*s->steps));
	less.n -= count;
	return less;
}

/* Leaves out so many steps at a time, where it can. */
static bool leave_out(struct lockstep_script *s, int count,
		      bool (*fails)(const struct lockstep_script *s, void *arg),
		      void *arg)
{
	bool any = false;

	for (int i = s->n - count; i >= 0; i--) {
		struct lockstep_script less;

		if (i > s->n - count)
			continue;
		less = without(s, i, count);
		if (!fails(&less, arg))
			continue;
		*s = less;
		any = true;
	}
	return any;
}

static void lower_number(struct lockstep_script *s, unsigned *n,
			 bool (*fails)(const struct lockstep_script *s,
				       void *arg),
			 void *arg)
{
	unsigned low = 0, high = *n;

	while (low < high) {
		*n = low + (high - low) / 2;
		if (fails(s, arg))
			high = *n;
		else
			low = *n + 1;
	}
	*n = high;
}

void lockstep_shrink(struct lockstep_script *s,
		     bool (*fails)(const struct lockstep_script *s, void *arg),
		     void *arg)
{
	bool again;

	do {
		again = false;
		for (int count = s->n / 2; count > 0; count /= 2)
			again |= leave_out(s, count, fails, arg);
	} while (again);
	for (int i = 0; i < s->n; i++) {
		if (takes(&s->steps[i], "sn") || takes(&s->steps[i], "ssn"))
			lower_number(s, &s->steps[i].n, fails, arg);
	}
}
