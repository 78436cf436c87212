/*
 * What a kernel does for descriptors that the program was given: pipes,
 * terminals, files, sockets.  Others may have the same open files.
 *
 * Whether an open file blocks is decided once for all who have it.  So these
 * calls change no flag of it, and none of them waits because of the flag; but
 * for a file they wait for the disk.  The calls return -1 and set errno.
 */
#ifndef REACTOR_END_H
#define REACTOR_END_H

#include <sys/uio.h>

#include "reactor/kernel/kernel.h"

enum end_kind {
	END_OF_FILE, /* always ready; also /dev/null and what is like it */
	END_OF_PIPE,
	END_OF_SOCKET,
	END_OF_TERMINAL, /* either side of it */
	END_OF_OTHER
};

struct kernel_end {
	int fd;
	enum end_kind kind;
	bool is_read, is_written; /* what it is open for */
	uint64_t device, inode;
};

struct kernel_ends {
	/* Was the program given any?  NULL: yes. */
	bool (*has)(struct kernel *k);
	/* Looks what fd is. */
	int (*look)(struct kernel *k, int fd, struct kernel_end *ret);
	/* Makes another descriptor of the same open file. */
	int (*copy)(struct kernel *k, int fd);
	/* Puts /dev/null in the place of fd, if that is still what the end is.
	 */
	void (*vacate)(struct kernel *k, int fd, const struct kernel_end *e);
	/* Reads what there is; 0 is the end, also of a terminal that is gone.
	   EAGAIN: there is nothing. */
	ssize_t (*read)(struct kernel *k, const struct kernel_end *e, void *buf,
			size_t len);
	/* Writes as much as there is room for.  Raises no signal. */
	ssize_t (*write)(struct kernel *k, const struct kernel_end *e,
			 const struct iovec *pieces, int n);
	/* What read() of one byte would return, without taking it; but of a
	   file, 1. */
	ssize_t (*peek)(struct kernel *k, const struct kernel_end *e);
	/* How many bytes have come; of a file, 0. */
	size_t (*waiting)(struct kernel *k, const struct kernel_end *e);
	/* The error of an end of which nobody has the other end; or 0. */
	int (*broken)(struct kernel *k, const struct kernel_end *e);
};

extern const struct kernel_ends plait_i_linux_ends;

/* NULL if there are none: the program was given nothing. */
static inline const struct kernel_ends *kernel_ends_of(struct kernel *k)
{
	const struct kernel_ends *ends = k->calls->ends;

	return ends != NULL && (ends->has == NULL || ends->has(k)) ? ends
								   : NULL;
}

static inline bool kernel_end_is_same(const struct kernel_end *a,
				      const struct kernel_end *b)
{
	return a->device == b->device && a->inode == b->inode;
}

#endif
