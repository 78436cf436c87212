/*
 * Strangers: see stranger.h.  Who connects is known by his port, which is noted
 * in memory that forked children share.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/stranger.h"

enum { PORTS = 65536 };

static unsigned char *ours;

__attribute__((constructor)) static void share(void)
{
	ours = mmap(NULL, PORTS, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ours == MAP_FAILED)
		abort();
}

/* 0: it has none. */
static uint16_t port_of(const struct sockaddr_storage *ss)
{
	if (ss->ss_family == AF_INET)
		return ((const struct sockaddr_in *)ss)->sin_port;
	if (ss->ss_family == AF_INET6)
		return ((const struct sockaddr_in6 *)ss)->sin6_port;
	return 0;
}

void stranger_is_not(int fd)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(ss);
	int saved = errno;

	if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
		ours[port_of(&ss)] = 1;
	errno = saved;
}

void stranger_forget(void)
{
	memset(ours, 0, PORTS);
}

int stranger_accept(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
	struct sockaddr_storage ss;
	socklen_t room;
	uint16_t port;
	int r;

	for (;;) {
		room = sizeof(ss);
		r = accept4(fd, (struct sockaddr *)&ss, &room, flags);
		if (r < 0)
			return r;
		port = port_of(&ss);
		if (port == 0 || ours[port])
			break;
		close(r);
	}
	if (sa != NULL) {
		memcpy(sa, &ss, room < *len ? room : *len);
		*len = room;
	}
	return r;
}
