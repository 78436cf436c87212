/*
 * The names of UNIX sockets: files of the host's disk, and abstract names.
 *
 * A file outlasts its socket, also if its host crashes, and so connecting to it
 * is refused from then on.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "reactor/simulation/local.h"

enum { PATH_AT = offsetof(struct sockaddr_un, sun_path) };

int plait_i_local_read(struct local_name *ret, const struct sockaddr *sa,
		       socklen_t len)
{
	if (len <= PATH_AT || len > sizeof(ret->un) || sa->sa_family != AF_UNIX)
		return -EINVAL;
	*ret = (struct local_name){ .len = len };
	memcpy(&ret->un, sa, len);
	/* A path ends at its NUL, which belongs to the name. */
	if (ret->un.sun_path[0] != '\0')
		ret->len = (socklen_t)(PATH_AT + 1 +
				       strnlen(ret->un.sun_path,
					       sizeof(ret->un.sun_path)));
	return 0;
}

static bool local_has_path(const struct local_name *name)
{
	return name->len > 0 && name->un.sun_path[0] != '\0';
}

/* One that is not terminated has all of the array. */
static void local_copy_path(const struct local_name *name, char *ret)
{
	size_t n = strnlen(name->un.sun_path, sizeof(name->un.sun_path));

	memcpy(ret, name->un.sun_path, n);
	ret[n] = '\0';
}

static struct local *local_next(const struct plait_host *h,
				struct plait_list **l)
{
	for (; *l != &h->sockets.all; *l = (*l)->next) {
		struct sim_socket *s =
			plait_container(*l, struct sim_socket, link);

		if (s->family != AF_UNIX)
			continue;
		*l = (*l)->next;
		return local_of(s);
	}
	return NULL;
}

/* Each type has abstract names of its own. */
static struct local *local_find_abstract(const struct plait_host *h,
					 const struct local_name *name,
					 int type)
{
	struct plait_list *l = h->sockets.all.next;
	struct local *s;

	while ((s = local_next(h, &l)) != NULL) {
		if (s->type == type && s->is_bound &&
		    s->name.len == name->len &&
		    memcmp(&s->name.un, &name->un, name->len) == 0)
			return s;
	}
	return NULL;
}

static struct local *local_find_file(const struct plait_host *h,
				     unsigned number)
{
	struct plait_list *l = h->sockets.all.next;
	struct local *s;

	while ((s = local_next(h, &l)) != NULL && s->file != number)
		;
	return s;
}

static int local_find_path(const struct plait_host *h,
			   const struct local_name *name, int type,
			   struct local **ret)
{
	char path[sizeof(name->un.sun_path) + 1];
	const struct host_file *f;

	local_copy_path(name, path);
	f = plait_i_disk_find(h, path);
	if (f == NULL)
		return -ENOENT;
	*ret = f->is_socket ? local_find_file(h, f->number) : NULL;
	if (*ret == NULL)
		return -ECONNREFUSED;
	return (*ret)->type == type ? 0 : -EPROTOTYPE;
}

int plait_i_local_find(struct plait_host *h, const struct local_name *name,
		       int type, struct local **ret)
{
	if (local_has_path(name))
		return local_find_path(h, name, type, ret);
	*ret = local_find_abstract(h, name, type);
	return *ret != NULL ? 0 : -ECONNREFUSED;
}

/* ---- binding ------------------------------------------------------------- */

/* As on Linux, the file is made first. */
static int local_bind_path(struct local *s, const struct local_name *name)
{
	char path[sizeof(name->un.sun_path) + 1];
	struct plait_host *h = s->base.host;
	int number;

	local_copy_path(name, path);
	if (plait_i_disk_find(h, path) != NULL)
		return -EADDRINUSE;
	if (s->name.len > 0)
		return -EINVAL;
	number = plait_i_disk_make_socket(h, path);
	if (number < 0)
		return number;
	s->file = (unsigned)number;
	return 0;
}

static int local_bind_abstract(const struct local *s,
			       const struct local_name *name)
{
	if (s->name.len > 0)
		return -EINVAL;
	return local_find_abstract(s->base.host, name, s->type) != NULL
		       ? -EADDRINUSE
		       : 0;
}

/* Five digits that nobody has. */
static void local_choose(const struct local *s, struct local_name *ret)
{
	struct host_sockets *hs = &s->base.host->sockets;

	*ret = (struct local_name){ .un.sun_family = AF_UNIX,
				    .len = PATH_AT + 6 };
	do {
		snprintf(ret->un.sun_path + 1, 6, "%05x",
			 hs->unix_names++ & 0xfffff);
	} while (local_find_abstract(s->base.host, ret, s->type) != NULL);
}

int plait_i_local_bind(struct sim_socket *base, const struct sockaddr *sa,
		       socklen_t len)
{
	struct local *s = local_of(base);
	struct local_name name;
	int err = 0;

	if (len == PATH_AT && sa->sa_family == AF_UNIX) {
		if (s->name.len > 0)
			return 0;
		local_choose(s, &name);
	} else {
		err = plait_i_local_read(&name, sa, len);
		if (err == 0)
			err = local_has_path(&name)
				      ? local_bind_path(s, &name)
				      : local_bind_abstract(s, &name);
	}
	if (err < 0)
		return err;
	s->name = name;
	s->is_bound = true;
	return 0;
}

int plait_i_local_name(const struct sim_socket *base, enum socket_name which,
		       struct sockaddr_storage *ret)
{
	const struct local *s = local_of_const(base);

	if (which != SOCKET_OWN)
		s = s->peer;
	if (s == NULL)
		return -ENOTCONN;
	memcpy(ret, &s->name.un, sizeof(s->name.un));
	ret->ss_family = AF_UNIX;
	return s->name.len > 0 ? (int)s->name.len : PATH_AT;
}
