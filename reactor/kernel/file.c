/* Files that are written, and files that were given: see file.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reactor/kernel/file.h"
#include "reactor/kernel/kernel.h"
#include "reactor/kernel/quiet.h"

int plait_i_file_open(const char *path)
{
	int fd = plait_i_descriptor(
		open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));

	return fd < 0 ? -errno : fd;
}

/* The file is emptied only after a look at it. */
int plait_i_file_open_own(const char *path)
{
	int fd = plait_i_descriptor(open(
		path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
		0666));
	struct stat st;
	int err = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		err = errno;
	else if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
		 st.st_nlink != 1)
		err = EPERM;
	else if (ftruncate(fd, 0) < 0)
		err = errno;
	if (err == 0)
		return fd;
	close(fd);
	return -err;
}

/* 0 or -errno. */
static int file_write_all(int fd, const char *data, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int plait_i_file_write(int fd, const void *data, size_t len)
{
	struct quiet quiet;
	int r;

	plait_i_quiet_begin(&quiet);
	r = file_write_all(fd, data, len);
	plait_i_quiet_end(&quiet, quiet_number(-r));
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

ssize_t plait_i_given_file_read(int fd, void *buf, size_t len, uint64_t from)
{
	off_t at = (off_t)from;
	ssize_t n;

	if (at < 0 || (uint64_t)at != from)
		return -EOVERFLOW;
	do
		n = pread(fd, buf, len, at);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

void plait_i_given_file_close(int fd)
{
	close(fd);
}
