/*
 * Files that change, as the kernel that the program runs on tells it: see
 * notify.h.
 *
 * A directory that is open is added by its link in /proc.  By its path, another
 * directory could be added that has taken its place meanwhile, and its files
 * would be told of under a wrong name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "reactor/kernel/notify.h"

static int linux_notify_open(struct kernel *k)
{
	return plait_i_descriptor(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
}

static int linux_notify_add(struct kernel *k, int fd, const char *path,
			    uint32_t events)
{
	return inotify_add_watch(fd, path, events | IN_MASK_ADD);
}

static enum kernel_kind linux_kind(struct kernel *k, int at, const char *name)
{
	int fd = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	bool is_directory;
	struct stat st;

	if (fd < 0)
		return errno == ENOENT ? KIND_NONE : KIND_FILE;
	is_directory = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
	close(fd);
	return is_directory ? KIND_DIRECTORY : KIND_FILE;
}

static int linux_notify_add_open(struct kernel *k, int fd, int directory,
				 uint32_t events)
{
	static const char links[] = "/proc/self/fd";
	char path[sizeof(links) + sizeof("/-2147483648")];
	int number;

	snprintf(path, sizeof(path), "%s/%d", links, directory);
	number = inotify_add_watch(fd, path, events | IN_MASK_ADD | IN_ONLYDIR);
	/* The directory is open: even if it was removed, there is its link. */
	if (number < 0 && errno == ENOENT)
		errno = ENOTSUP;
	return number;
}

/* The kernel may have removed it already. */
static void linux_notify_remove(struct kernel *k, int fd, int number)
{
	inotify_rm_watch(fd, number);
}

static ssize_t linux_notify_read(struct kernel *k, int fd, void *buf,
				 size_t len)
{
	return read(fd, buf, len);
}

static int linux_notify_waiting(struct kernel *k, int fd, int *ret)
{
	return ioctl(fd, FIONREAD, ret);
}

static int linux_open_directory(struct kernel *k, int at, const char *name,
				struct kernel_directory *ret)
{
	enum { FLAGS = O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC };
	int fd = plait_i_descriptor(
		at == AT_FDCWD ? open(name, FLAGS)
			       : openat(at, name, FLAGS | O_NOFOLLOW));
	struct stat st;
	int saved;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	*ret = (struct kernel_directory){ .fd = fd,
					  .device = st.st_dev,
					  .inode = st.st_ino };
	return 0;
}

static ssize_t linux_list(struct kernel *k, int fd, void *buf, size_t len)
{
	return syscall(SYS_getdents64, fd, buf, len);
}

const struct kernel_notify plait_i_linux_notify = {
	.open = linux_notify_open,
	.add = linux_notify_add,
	.add_open = linux_notify_add_open,
	.remove = linux_notify_remove,
	.read = linux_notify_read,
	.waiting = linux_notify_waiting,
	.open_directory = linux_open_directory,
	.list = linux_list,
	.kind = linux_kind,
};
