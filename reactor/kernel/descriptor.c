/*
 * The descriptors that plait makes.  In a program that was started with its
 * standard ones closed the kernel hands out 0, 1 and 2; and whatever writes to
 * standard error, printf() or a report of plait's own, would write to a peer.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "reactor/kernel/kernel.h"

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
