/*
 * The three files of a resolver: /etc/hosts, /etc/resolv.conf and
 * /etc/nsswitch.conf.
 *
 * They are looked at when a lookup begins, but once a second at most.  A file
 * is read again when its time, size, inode or device has changed, or when it
 * was changed so short a time before it was read that the next change may have
 * had the same time.  So what was read while somebody wrote it is read again.
 *
 * A file that is missing, unreadable or no regular file counts as empty; a
 * FIFO is never opened.  If it could not be read for want of memory or
 * descriptors, what was known stays, and the next look tries again.
 */
#ifndef REACTOR_FILES_H
#define REACTOR_FILES_H

#include "reactor/kernel/kernel.h"
#include "reactor/names/hosts.h"
#include "reactor/names/nsswitch.h"
#include "reactor/names/resolv_conf.h"

/* A file, as the last look has seen it. */
struct names_file {
	struct kernel_file seen;
	bool is_there; /* seen is of the file that was read */
	bool is_known; /* it was read, or found missing */
};

/* Zero begins one. */
struct names_files {
	int64_t looked; /* when; nanoseconds */
	bool was_looked;
	struct names_file hosts_file, resolv_conf_file, nsswitch_file;
	/* Set by the first look, and from then on never NULL. */
	struct hosts *hosts;
	struct resolv_conf *resolv_conf; /* hold a reference to keep it */
	struct nsswitch nsswitch;
	/* How often resolv_conf was read: when it differs, flush the cache. */
	unsigned changes;
};

/*
 * Looks at the files of k if the last look was a second ago or more.  now is
 * the time of the reactor's clock.  Returns 0, or -ENOMEM: then what was known
 * stays, and if nothing was known, hosts and resolv_conf may be NULL.
 */
int plait_i_names_files_look(struct names_files *fs, struct kernel *k,
			     int64_t now);

/* Ends it; fs may begin again. */
void plait_i_names_files_done(struct names_files *fs);

#endif
