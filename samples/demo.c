/*
 * Plays the scene of the poetry proxy with real programs: a slow poem server,
 * the proxy, a client that loses patience in the middle, a client that waits,
 * and a client that comes late.  Prints what each program says, with its name
 * in front, and at the end whether all went as it should.  The exit status says
 * this, too.
 *
 * The programs are child processes.  Each has a pipe for its output, which the
 * reactor watches.  Lines of output start the next part of the scene.  When a
 * pipe ends, its child has ended, and the program waits for it.  The scene is
 * over when no child is left.  Whatever happens, no child is left behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/program.h"

#define DELAY "0.2"    /* between two pieces of the poem */
#define PIECE "40"     /* bytes */
#define PATIENCE "1.5" /* of the first client */
#define MOMENT 0.5     /* for what is under way when the client hangs up */
#define SILENCE 0.9    /* how long we listen whether the server is silent */
#define MAX_SCENE 13.0 /* after that, something hangs */

struct demo;

/* A program of the scene, and what to do when it prints a line or ends. */
struct child {
	struct demo *demo;
	const char *name;
	void (*said)(struct demo *demo, const char *line);
	void (*ended)(struct demo *demo);
	struct plait_watch watch;
	struct plait_buf *output;
	size_t shown; /* bytes of it that are printed */
	pid_t pid;    /* 0: there is none */
	int fd, status;
};

enum { SERVER, PROXY, HASTY, PATIENT, LATE, CHILDREN };

struct demo {
	struct plait_reactor *reactor;
	struct child child[CHILDREN];
	const char *file;
	const char *trace;   /* where the proxy writes its trace, or NULL */
	char programs[4096]; /* where they are, up to the last slash */
	char server_port[8], proxy_port[8];
	unsigned pieces, pieces_then;
	bool cancelled, stopped, from_cache, over;
};

static void narrate(const char *what)
{
	printf("\n-- %s\n", what);
}

static void signal_all(struct demo *demo, int number)
{
	for (int i = 0; i < CHILDREN; i++)
		if (demo->child[i].pid > 0)
			kill(demo->child[i].pid, number);
}

static bool all_ended(const struct demo *demo)
{
	for (int i = 0; i < CHILDREN; i++)
		if (demo->child[i].pid > 0)
			return false;
	return true;
}

/* Ends all programs of the scene.  The demo ends with the last of them. */
static void end_scene(struct demo *demo)
{
	demo->over = true;
	signal_all(demo, SIGTERM);
	if (all_ended(demo))
		plait_reactor_stop(demo->reactor);
}

static void scene_hangs(void *arg)
{
	narrate("That took too long.");
	signal_all(arg, SIGKILL);
}

static void child_wait(struct child *c)
{
	plait_watch_stop(&c->watch);
	close(c->fd);
	while (waitpid(c->pid, &c->status, 0) < 0 && errno == EINTR)
		;
	c->pid = 0;
}

/* The pipe has ended: the child has exited, or is about to exit. */
static void child_ended(struct child *c)
{
	struct demo *demo = c->demo;

	child_wait(c);
	if (c->ended != NULL && !demo->over)
		c->ended(demo);
	else if (!demo->over || all_ended(demo))
		end_scene(demo); /* without a server the scene cannot go on */
}

static void child_said(struct child *c, const char *text, size_t len)
{
	char line[8192];

	snprintf(line, sizeof(line), "%.*s", (int)len, text);
	printf("%-8s| %s\n", c->name, line);
	if (c->said != NULL && !c->demo->over)
		c->said(c->demo, line);
}

static void show_lines(struct child *c)
{
	for (;;) {
		const char *text = plait_buf_data(c->output);
		size_t left = plait_buf_size(c->output) - c->shown;
		const char *end = memchr(text + c->shown, '\n', left);
		size_t start = c->shown;

		if (end == NULL)
			return;
		c->shown = end + 1 - text;
		child_said(c, text + start, end - text - start);
	}
}

static void child_readable(struct plait_watch *w, unsigned events)
{
	struct child *c = plait_container(w, struct child, watch);
	char piece[4096];
	ssize_t n = read(c->fd, piece, sizeof(piece));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0 && plait_buf_append(c->output, piece, n) == 0) {
		show_lines(c);
		return;
	}
	if (n != 0)
		kill(c->pid, SIGKILL);
	child_ended(c);
}

/* Runs between fork() and the program itself. */
static void become(const struct child *c, int out, const char *const argv[])
{
	const struct demo *demo = c->demo;
	char path[sizeof(demo->programs) + 32];

	snprintf(path, sizeof(path), "%s%s", demo->programs, argv[0]);
	if (c == &demo->child[PROXY] && demo->trace != NULL)
		setenv("PLAIT_TRACE", demo->trace, 1);
	signal(SIGPIPE, SIG_DFL);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	execvp(path, (char *const *)argv);
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	_exit(127);
}

/* Makes a child whose output can be read from c->fd.  Returns 0 or -1. */
static int child_fork(struct child *c, const char *const argv[])
{
	int ends[2];

	if (pipe(ends) < 0)
		return -1;
	fcntl(ends[0], F_SETFD, FD_CLOEXEC);
	fcntl(ends[1], F_SETFD, FD_CLOEXEC);
	fflush(stdout);
	c->pid = fork();
	if (c->pid == 0)
		become(c, ends[1], argv);
	close(ends[1]);
	c->fd = ends[0];
	if (c->pid > 0)
		return 0;
	c->pid = 0;
	close(c->fd);
	return -1;
}

/* Starts the program argv[0] as the child c. */
static void play(struct demo *demo, struct child *c, const char *const argv[])
{
	c->demo = demo;
	c->output = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	if (c->output == NULL || child_fork(c, argv) < 0) {
		narrate("There is no memory or no process left.");
		end_scene(demo);
	} else if (plait_watch_start(demo->reactor, &c->watch, c->fd,
				     PLAIT_WATCH_READ, child_readable) < 0) {
		kill(c->pid, SIGKILL);
		child_wait(c);
		end_scene(demo);
	}
}

/* Reads the port in "... on port 10000." or "... on 127.0.0.1:10000.". */
static void read_port_of(const char *line, char *ret, size_t size)
{
	const char *p = line + strlen(line);

	while (p > line && p[-1] != ' ' && p[-1] != ':')
		p--;
	snprintf(ret, size, "%.*s", (int)strspn(p, "0123456789"), p);
}

static bool begins(const char *line, const char *with)
{
	return strncmp(line, with, strlen(with)) == 0;
}

/* The scene.  The functions stand in the order in which they are called. */

static void play_server(struct demo *demo)
{
	const char *const argv[] = { "slowpoetry",  "--delay", DELAY,
				     "--num-bytes", PIECE,     demo->file,
				     NULL };

	narrate("A slow poem server, and a proxy in front of it.");
	play(demo, &demo->child[SERVER], argv);
}

static void play_proxy(struct demo *demo)
{
	const char *const argv[] = { "poetry-proxy", demo->server_port, NULL };

	play(demo, &demo->child[PROXY], argv);
}

static void server_said(struct demo *demo, const char *line)
{
	if (begins(line, "Sending "))
		demo->pieces++;
	if (!begins(line, "Serving "))
		return;
	read_port_of(line, demo->server_port, sizeof(demo->server_port));
	play_proxy(demo);
}

static void play_hasty(struct demo *demo)
{
	const char *const argv[] = { "get-poetry", "--timeout", PATIENCE,
				     demo->proxy_port, NULL };

	narrate("A client that hangs up after " PATIENCE " seconds.");
	play(demo, &demo->child[HASTY], argv);
}

static void play_patient(struct demo *demo)
{
	const char *const argv[] = { "get-poetry", demo->proxy_port, NULL };

	narrate("A client that waits for the whole poem.");
	play(demo, &demo->child[PATIENT], argv);
}

static void play_late(struct demo *demo)
{
	const char *const argv[] = { "get-poetry", demo->proxy_port, NULL };

	narrate("A client that comes when the poem is in the cache.");
	play(demo, &demo->child[LATE], argv);
}

static void after_silence(void *arg)
{
	struct demo *demo = arg;

	demo->stopped = demo->pieces == demo->pieces_then;
	if (!demo->over)
		play_patient(demo);
}

static void listen_for_silence(void *arg)
{
	struct demo *demo = arg;

	demo->pieces_then = demo->pieces;
	plait_call_later(demo->reactor, SILENCE, after_silence, demo);
}

static void proxy_said(struct demo *demo, const char *line)
{
	if (begins(line, "Proxying ")) {
		read_port_of(line, demo->proxy_port, sizeof(demo->proxy_port));
		play_hasty(demo);
	} else if (begins(line, "Canceling ")) {
		demo->cancelled = true;
		plait_call_later(demo->reactor, MOMENT, listen_for_silence,
				 demo);
	} else if (begins(line, "Using cached ")) {
		demo->from_cache = true;
	}
}

static bool exited(const struct child *c, int status)
{
	return c->output != NULL && WIFEXITED(c->status) &&
	       WEXITSTATUS(c->status) == status;
}

/* The scene goes on when the proxy says something about it. */
static void hasty_ended(struct demo *demo)
{
	if (!exited(&demo->child[HASTY], 1))
		end_scene(demo);
}

/* The verdict. */

static bool check(const char *what, bool ok)
{
	printf("%-5s %s\n", ok ? "ok" : "WRONG", what);
	return ok;
}

static bool got(const struct child *c, const struct plait_buf *poem)
{
	return exited(c, 0) &&
	       plait_buf_size(c->output) == plait_buf_size(poem) &&
	       memcmp(plait_buf_data(c->output), plait_buf_data(poem),
		      plait_buf_size(poem)) == 0;
}

static bool verdict(const struct demo *demo, const struct plait_buf *poem)
{
	const struct child *c = demo->child;
	bool ok = true;

	narrate("Did it go as it should?");
	ok &= check("the first client hung up", exited(&c[HASTY], 1));
	ok &= check("the proxy cancelled its download", demo->cancelled);
	ok &= check("the server stopped sending", demo->stopped);
	ok &= check("the second client got the whole poem",
		    got(&c[PATIENT], poem));
	ok &= check("the third client got it from the cache",
		    demo->from_cache && got(&c[LATE], poem));
	ok &= check("the servers ended when they were told to",
		    exited(&c[SERVER], 0) && exited(&c[PROXY], 0));
	return ok;
}

static void start(void *arg)
{
	struct demo *demo = arg;

	plait_call_later(demo->reactor, MAX_SCENE, scene_hangs, demo);
	play_server(demo);
}

static void clean_up(struct demo *demo)
{
	signal_all(demo, SIGKILL);
	for (int i = 0; i < CHILDREN; i++) {
		if (demo->child[i].pid > 0)
			child_wait(&demo->child[i]);
		plait_buf_unref(&demo->child[i].output);
	}
}

int main(int argc, char **argv)
{
	struct demo self = {
		.child = {
			[SERVER] = { .name = "server", .said = server_said },
			[PROXY] = { .name = "proxy", .said = proxy_said },
			[HASTY] = { .name = "client 1", .ended = hasty_ended },
			[PATIENT] = { .name = "client 2", .ended = play_late },
			[LATE] = { .name = "client 3", .ended = end_scene },
		},
		.file = "samples/poetry/sonnet-18.txt",
		.trace = getenv("PLAIT_TRACE"),
	};
	struct program p = { .about = "Plays the scene of the poetry proxy.",
			     .operands = "[FILE]",
			     .max_operands = 1 };
	const char *slash = strrchr(argv[0], '/');
	struct plait_buf *poem;
	bool ok;

	program_start(&p, argc, argv);
	if (p.n_operands == 1)
		self.file = p.operand[0];
	snprintf(self.programs, sizeof(self.programs), "%.*s",
		 slash ? (int)(slash + 1 - argv[0]) : 0, argv[0]);
	poem = program_file(self.file);
	unsetenv("PLAIT_TRACE"); /* the others would write the same file */
	if (p.reactor != NULL)
		setenv("PLAIT_REACTOR", p.reactor, 1); /* for all who play */
	self.reactor = program_reactor(&p);
	plait_call_when_running(self.reactor, start, &self);
	plait_reactor_run(self.reactor);

	ok = verdict(&self, poem);
	clean_up(&self);
	plait_reactor_free(&self.reactor);
	plait_buf_unref(&poem);
	return !ok;
}
