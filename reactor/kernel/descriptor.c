/*
 * The descriptors that plait makes.  If a program was started with descriptors
 * 0, 1 and 2 closed, the kernel gives these numbers to the next sockets.  Then
 * whatever writes to standard error, such as a report of plait's own, would
 * write to a peer.  So plait never uses these numbers.
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
