#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

const char *poem(void)
{
	static char text[POEM_SIZE];

	if (text[0] != '\0')
		return text;
	for (size_t i = 0; i < POEM_SIZE; i++)
		text[i] = i % 50 == 49 ? '\n' : (char)('a' + i % 26);
	return text;
}

void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

void *allocate(size_t size)
{
	void *p = calloc(1, size);

	must(p != NULL, "calloc");
	return p;
}

/* The process may be that of strace's child. */
void tell_port(unsigned port)
{
	printf("%u %d\n", port, (int)getpid());
	fflush(stdout);
}

unsigned port_of(int listener)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);

	must(getsockname(listener, (struct sockaddr *)&sin, &len) == 0,
	     "getsockname");
	return ntohs(sin.sin_port);
}

int listen_on_loopback(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

	/* What is accepted inherits it. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0 &&
		     listen(fd, SOMAXCONN) == 0,
	     "listen");
	tell_port(port_of(fd));
	return fd;
}

void want_buffer(int fd)
{
	int size = DATAGRAM_BUFFER;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

int datagrams_on_loopback(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0, "bind");
	want_buffer(fd);
	tell_port(port_of(fd));
	return fd;
}

void split_lines(struct partial *p, const char *data, size_t len,
		 line_func *each, void *c)
{
	const char *end;

	while ((end = memchr(data, '\n', len)) != NULL) {
		size_t n = (size_t)(++end - data);

		if (p->size > 0) {
			must(p->size + n <= MAX_LINE, "long line");
			memcpy(p->text + p->size, data, n);
			each(c, p->text, p->size + n);
			p->size = 0;
		} else {
			each(c, data, n);
		}
		data += n;
		len -= n;
	}
	must(p->size + len <= MAX_LINE, "long line");
	memcpy(p->text + p->size, data, len);
	p->size += len;
}

struct gathered gathered;

void gather_line(void *c, const char *line, size_t len)
{
	memcpy(gathered.text + gathered.size, line, len);
	gathered.size += len;
}

double cpu_time(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

void repeat(double (*run)(size_t *n))
{
	double took;
	size_t n;

	tell_port(0);
	while (scanf("%zu", &n) == 1) {
		took = run(&n);
		printf("%zu %.0f\n", n, took);
		fflush(stdout);
	}
}

size_t random_below(size_t n)
{
	static uint64_t seed = 1;

	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (size_t)(seed >> 33) % n;
}

int main(int argc, char **argv)
{
	struct rlimit files;

	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	must(getrlimit(RLIMIT_NOFILE, &files) == 0, "getrlimit");
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	for (const struct work *w = works; argc > 1 && w->name != NULL; w++) {
		if (strcmp(w->name, argv[1]) != 0)
			continue;
		w->run(w->what,
		       argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0);
		return 0;
	}
	for (const struct work *w = works; w->name != NULL; w++)
		puts(w->name);
	return argc > 1 ? 2 : 0;
}
