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
 * FIFO is never opened.  If a file could not be read for want of memory or
 * descriptors, or because the disk failed, what was known of it stays, and the
 * next look tries again.  Of a huge file the first 16 MiB count.
 */
#ifndef REACTOR_FILES_H
#define REACTOR_FILES_H

#include "reactor/kernel/kernel.h"
#include "reactor/names/hosts.h"
#include "reactor/names/nsswitch.h"
#include "reactor/names/resolv_conf.h"

/* A file, as it was read. */
struct names_file {
	struct kernel_file seen;
	bool is_known; /* it was read, or found missing */
	bool is_there;
	uint64_t sum; /* of its bytes: whether reading it again gave others */
};

/* Zero begins one; its owner may set the first members, and keeps what they
   point to. */
struct names_files {
	/* NULL: those of the system. */
	const char *hosts_path, *resolv_conf_path, *nsswitch_path;
	/* Instead of those of resolv.conf, RESOLV_SERVERS at most; 0: those. */
	const struct plait_address *servers;
	unsigned n_servers;
	uint64_t seed;	/* of the table of hosts */
	int64_t looked; /* when; nanoseconds */
	struct names_file hosts_file, resolv_conf_file, nsswitch_file;
	/* Set by a look that has returned 0, and never NULL from then on. */
	struct hosts *hosts;
	struct resolv_conf *resolv_conf; /* hold a reference to keep it */
	struct nsswitch nsswitch;
	/* How often resolv_conf has changed: when this differs, flush what the
	   servers have said. */
	unsigned changes;
};

/*
 * Looks at the files of k, if the last look was a second ago or more, or if
 * something of them is not known yet.  now is the time of the reactor's clock.
 * Returns 0 if all is known; or the -errno for which something is not known.
 */
int plait_i_names_files_look(struct names_files *fs, struct kernel *k,
			     int64_t now);

/* Ends it; fs may begin again. */
void plait_i_names_files_done(struct names_files *fs);

#endif
