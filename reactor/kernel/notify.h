/*
 * What a kernel tells of files that change, and how it lets one look at
 * directories without a race.  The calls return -1 and set errno.
 */
#ifndef REACTOR_NOTIFY_H
#define REACTOR_NOTIFY_H

#include "reactor/kernel/kernel.h"

/* A directory that is open: nobody else has these two numbers meanwhile. */
struct kernel_directory {
	int fd;
	uint64_t device, inode;
};

enum kernel_kind { KIND_NONE, KIND_FILE, KIND_DIRECTORY };

struct kernel_notify {
	/* Makes a descriptor that is readable when a file that is added has
	   changed. */
	int (*open)(struct kernel *k);
	/*
	 * Adds the file of that path, or the directory that is open there, and
	 * returns its number.  A file that was added before keeps its number,
	 * and the events that it was added with.  Of the second, ENOTSUP: there
	 * is no /proc.
	 */
	int (*add)(struct kernel *k, int fd, const char *path, uint32_t events);
	int (*add_open)(struct kernel *k, int fd, int directory,
			uint32_t events);
	void (*remove)(struct kernel *k, int fd, int number);
	/* Reads whole events, as many as there is room for. */
	ssize_t (*read)(struct kernel *k, int fd, void *buf, size_t len);
	/* Stores how many bytes there are to be read. */
	int (*waiting)(struct kernel *k, int fd, int *ret);
	/*
	 * Opens a directory; follows a symbolic link only if at is AT_FDCWD.
	 * list() reads from it as getdents64() does.  kind() says what has
	 * that name in it: nothing only if that is certain.
	 */
	int (*open_directory)(struct kernel *k, int at, const char *name,
			      struct kernel_directory *ret);
	ssize_t (*list)(struct kernel *k, int fd, void *buf, size_t len);
	enum kernel_kind (*kind)(struct kernel *k, int at, const char *name);
};

/* What list() writes for each file. */
struct kernel_name {
	uint64_t inode;
	int64_t next;
	unsigned short size;
	unsigned char type; /* as d_type */
	char name[];
};

extern const struct kernel_notify plait_i_linux_notify;

#endif
