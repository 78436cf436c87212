/*
 * The file of a UNIX socket: see unix_path.h.
 *
 * bind() makes the file, and nobody can connect before listen(): so its mode is
 * set between the two.  The port remembers which file it has made, and removes
 * that one alone, as another server may have replaced it.
 *
 * A socket whose server has died still has its file, and connecting to it is
 * refused.  But so is connecting to a socket that is bound and does not listen
 * yet; and what was looked at may be another file when it is removed.  So all
 * that makes, replaces or removes a file holds the lock of its path meanwhile,
 * PATH.lock: between two plait programs no file is removed but that of a server
 * that has died, or by the one that has made it.  Nobody waits for the lock:
 * whoever does not get it finds the path in use.
 *
 * A server that takes over makes its file beside the path, and listens there
 * before rename() puts it into place: at each moment a client finds the one
 * server or the other.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "reactor/kernel/address.h"
#include "reactor/net/unix_path.h"

static const char lock_ending[] = ".lock", new_ending[] = ".new";

/* A path of a socket, with an ending. */
enum { UNIX_NAME = sizeof(((struct sockaddr_un *)0)->sun_path) + 8 };

static void unix_name(char *ret, const struct plait_address *at,
		      const char *ending)
{
	snprintf(ret, UNIX_NAME, "%s%s", plait_address_path(at), ending);
}

int plait_i_unix_read(struct plait_address *ret, const char *path)
{
	if (path == NULL)
		return -EINVAL;
	if (*path == '@')
		return plait_address_from_abstract(ret, path + 1,
						   strlen(path + 1));
	return plait_address_from_path(ret, path);
}

/* ---- the lock ------------------------------------------------------------ */

static int unix_path_lock(struct unix_path *u, struct kernel *k,
			  const struct plait_address *at)
{
	char name[UNIX_NAME];

	unix_name(name, at, lock_ending);
	u->lock = kernel_lock(k, name);
	if (u->lock < 0)
		return errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
	u->is_locked = true;
	return 0;
}

static void unix_path_unlock(struct unix_path *u, struct kernel *k,
			     const struct plait_address *at)
{
	char name[UNIX_NAME];

	unix_name(name, at, lock_ending);
	kernel_unlock(k, u->lock, name);
	u->is_locked = false;
}

/* ---- removing ------------------------------------------------------------ */

/* The name that the file has now. */
static void unix_path_name(const struct unix_path *u,
			   const struct plait_address *at, char *ret)
{
	unix_name(ret, at, u->is_apart ? new_ending : "");
}

static bool unix_is_same_file(const struct kernel_file *a,
			      const struct kernel_file *b)
{
	return a->device == b->device && a->inode == b->inode;
}

static void unix_path_remove(struct unix_path *u, struct kernel *k,
			     const struct plait_address *at)
{
	char name[UNIX_NAME];
	struct kernel_file now;

	unix_path_name(u, at, name);
	if (u->has_file && kernel_look(k, name, &now) == 0 &&
	    unix_is_same_file(&now, &u->file))
		kernel_unlink(k, name);
	u->has_file = false;
}

void plait_i_unix_path_leave(struct unix_path *u, struct kernel *k,
			     const struct plait_address *at)
{
	if (!u->has_file || unix_path_lock(u, k, at) < 0)
		return;
	unix_path_remove(u, k, at);
	unix_path_unlock(u, k, at);
}

/* ---- making -------------------------------------------------------------- */

/* True if the file there is a socket, and nobody has it. */
static bool unix_is_stale(struct kernel *k, const char *path, int type,
			  const union kernel_address *at, socklen_t len)
{
	struct kernel_file file;
	bool is_stale;
	int fd;

	if (kernel_look(k, path, &file) < 0 || !file.is_socket)
		return false;
	fd = kernel_socket(k, AF_UNIX, type);
	if (fd < 0)
		return false;
	is_stale = kernel_connect(k, fd, &at->any, len) < 0 &&
		   errno == ECONNREFUSED;
	kernel_close(k, fd);
	return is_stale;
}

/* 0 or -errno.  path is NULL if there is none. */
static int unix_bind(struct kernel *k, int fd, const struct plait_address *a,
		     const struct unix_binding *b)
{
	const char *path = plait_address_path(a);
	union kernel_address at;
	socklen_t len = plait_i_address_to_kernel(a, &at);

	if (kernel_bind(k, fd, &at.any, len) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	if (!b->replace_stale || path == NULL ||
	    !unix_is_stale(k, path, b->type, &at, len))
		return -EADDRINUSE;
	if (kernel_unlink(k, path) < 0 || kernel_bind(k, fd, &at.any, len) < 0)
		return -errno;
	return 0;
}

/* Binds it beside the path, where one that has died may have left its own. */
static int unix_bind_apart(struct kernel *k, int fd,
			   const struct plait_address *a)
{
	char name[UNIX_NAME];
	struct kernel_file file;
	struct plait_address apart;
	union kernel_address at;
	socklen_t len;
	int err;

	if (kernel_look(k, plait_address_path(a), &file) == 0 &&
	    !file.is_socket)
		return -EADDRINUSE;
	unix_name(name, a, new_ending);
	err = plait_address_from_path(&apart, name);
	if (err < 0)
		return err;
	if (kernel_look(k, name, &file) == 0 && file.is_socket)
		kernel_unlink(k, name);
	len = plait_i_address_to_kernel(&apart, &at);
	return kernel_bind(k, fd, &at.any, len) < 0 ? -errno : 0;
}

/* The socket is bound: notes which file it has, and sets its mode.  -errno. */
static int unix_path_own(struct unix_path *u, struct kernel *k,
			 const struct plait_address *at, unsigned mode)
{
	char name[UNIX_NAME];

	unix_path_name(u, at, name);
	if (kernel_look(k, name, &u->file) < 0)
		return -errno;
	u->has_file = true;
	if (mode != 0 && kernel_chmod(k, name, mode) < 0)
		return -errno;
	return 0;
}

int plait_i_unix_path_begin(struct unix_path *u, struct kernel *k, int fd,
			    const struct plait_address *at,
			    const struct unix_binding *b)
{
	int err;

	if (plait_address_path(at) == NULL)
		return unix_bind(k, fd, at, b);
	err = unix_path_lock(u, k, at);
	if (err < 0)
		return err;
	u->is_apart = b->take_over;
	u->keep = b->keep_path;
	err = b->take_over ? unix_bind_apart(k, fd, at)
			   : unix_bind(k, fd, at, b);
	return err < 0 ? err : unix_path_own(u, k, at, b->mode);
}

/* Everything has gone well: clients may find it. */
static int unix_path_show(struct unix_path *u, struct kernel *k,
			  const struct plait_address *at)
{
	char name[UNIX_NAME];

	if (!u->is_apart)
		return 0;
	unix_path_name(u, at, name);
	if (kernel_rename(k, name, plait_address_path(at)) < 0)
		return -errno;
	u->is_apart = false;
	return 0;
}

int plait_i_unix_path_end(struct unix_path *u, struct kernel *k,
			  const struct plait_address *at, int err)
{
	if (!u->is_locked)
		return err;
	if (err == 0)
		err = unix_path_show(u, k, at);
	if (err < 0)
		unix_path_remove(u, k, at);
	unix_path_unlock(u, k, at);
	return err;
}
