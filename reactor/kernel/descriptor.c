/*
 * The descriptors that plait makes.  If a program was started with descriptors
 * 0, 1 and 2 closed, the kernel gives these numbers to the next sockets.  Then
 * whatever writes to standard error, such as a report of plait's own, would
 * write to a peer.  So plait never uses these numbers.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "reactor/kernel/kernel.h"

enum { CHUNK = 256 };

int plait_i_descriptor(int fd)
{
	int err, higher;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	err = errno;
	close(fd);
	errno = err;
	return higher;
}

int plait_i_descriptor_inherit(int fd)
{
	int of_fd = fcntl(fd, F_GETFD);
	int of_file = fcntl(fd, F_GETFL);

	if (of_fd < 0 || of_file < 0)
		return -1;
	if (of_fd & FD_CLOEXEC) {
		errno = EALREADY;
		return -1;
	}
	/* The flag of the file is set last: other processes have the file. */
	if (fcntl(fd, F_SETFD, of_fd | FD_CLOEXEC) < 0)
		return -1;
	if (fcntl(fd, F_SETFL, of_file | O_NONBLOCK) < 0) {
		of_file = errno;
		fcntl(fd, F_SETFD, of_fd);
		errno = of_file;
		return -1;
	}
	return plait_i_descriptor(fd);
}

/* One call tells of all which of them are open. */
static size_t descriptors_open_from(int first)
{
	struct pollfd fds[CHUNK];
	size_t n = 0;

	for (int i = 0; i < CHUNK; i++)
		fds[i] = (struct pollfd){ .fd = first + i };
	if (poll(fds, CHUNK, 0) < 0)
		return 0;
	for (int i = 0; i < CHUNK; i++)
		n += !(fds[i].revents & POLLNVAL);
	return n;
}

size_t plait_i_descriptors_open(void)
{
	size_t all = 0, some;
	int first = 0;

	do {
		some = descriptors_open_from(first);
		all += some;
		first += CHUNK;
	} while (some > CHUNK / 2);
	return all;
}
