/*
 * Connections of descriptors that the program was given: plait_pipe_transport()
 * and plait_stdio().
 *
 * Two descriptors become two ends (given.h), unless both are one socket: that
 * is a connection of its own kind, which knows how to shut a half, and how to
 * end without destroying what is on its way (plait_adopt_fd()).
 */
#include <errno.h>

#include "lib/base.h"
#include "reactor/kernel/file.h"
#include "reactor/net/adopt.h"
#include "reactor/net/given.h"
#include "reactor/net/port.h"
#include "reactor/net/stdio.h"

static const struct kernel_ends *stdio_calls(struct plait_reactor *r)
{
	return kernel_ends_of(loop_kernel(r));
}

/* ---- two descriptors ----------------------------------------------------- */

/* Looks what fd is, -1: nothing.  0 or -errno. */
static int ends_look(struct plait_reactor *r, int fd, struct kernel_end *ret)
{
	*ret = (struct kernel_end){ .fd = -1 };
	if (fd < 0)
		return 0;
	return stdio_calls(r)->look(loop_kernel(r), fd, ret) < 0 ? -errno : 0;
}

static int ends_check(const struct given_ends *ends)
{
	if (ends->in.fd < 0 && ends->out.fd < 0)
		return -EBADF;
	if ((ends->in.fd >= 0 && !ends->in.is_read) ||
	    (ends->out.fd >= 0 && !ends->out.is_written))
		return -EBADF;
	return 0;
}

static bool ends_are_one_socket(const struct given_ends *ends)
{
	return ends->in.fd >= 0 && ends->out.fd >= 0 &&
	       ends->in.kind == END_OF_SOCKET &&
	       kernel_end_is_same(&ends->in, &ends->out);
}

static void ends_close(struct plait_reactor *r, int in, int out)
{
	if (in >= 0)
		kernel_close(loop_kernel(r), in);
	if (out >= 0)
		kernel_close(loop_kernel(r), out);
}

static struct plait_transport *ends_adopt_socket(struct plait_reactor *r,
						 const struct given_ends *ends,
						 struct transport_owner *owner)
{
	struct kernel *k = loop_kernel(r);

	kernel_close(k, ends->out.fd);
	if (ends->is_stdio) {
		stdio_calls(r)->vacate(k, 0, &ends->in);
		stdio_calls(r)->vacate(k, 1, &ends->in);
	}
	return plait_i_adopt_socket(r, ends->in.fd, owner);
}

/* Takes the descriptors.  NULL with errno. */
static struct plait_transport *ends_connect(struct plait_reactor *r, int in,
					    int out, bool is_stdio,
					    enum plait_terminal_mode mode,
					    struct transport_owner *owner)
{
	struct given_ends ends = { .is_stdio = is_stdio };
	int err = ends_look(r, in, &ends.in);

	if (err == 0)
		err = ends_look(r, out, &ends.out);
	if (err == 0)
		err = ends_check(&ends);
	if (err < 0) {
		ends_close(r, in, out);
		errno = -err;
		return NULL;
	}
	return ends_are_one_socket(&ends)
		       ? ends_adopt_socket(r, &ends, owner)
		       : plait_i_given_new(r, &ends, mode, owner);
}

/* ---- the calls ----------------------------------------------------------- */

static int stdio_check(struct plait_reactor *r, const char *function,
		       const struct plait_pipe_options *o)
{
	int err = plait_i_port_check(r, function);

	if (err == 0 && RESERVED_IN_USE(o))
		err = -EINVAL;
	if (err == 0 && stdio_calls(r) == NULL)
		err = -ENOTSUP;
	return err;
}

/* Two descriptors of the library's own; -1 stays. */
static int stdio_take(struct plait_reactor *r, int *read_fd, int *write_fd)
{
	struct kernel *k = loop_kernel(r);
	int err = 0;

	if (*read_fd >= 0 && *read_fd == *write_fd) {
		*write_fd = stdio_calls(r)->copy(k, *read_fd);
		if (*write_fd < 0)
			err = -errno;
	}
	if (*read_fd >= 0) {
		*read_fd = kernel_adopt(k, *read_fd);
		if (*read_fd < 0)
			err = -errno;
	}
	if (*write_fd >= 0) {
		*write_fd = kernel_adopt(k, *write_fd);
		if (*write_fd < 0)
			err = -errno;
	}
	if (err < 0)
		ends_close(r, *read_fd, *write_fd);
	return err;
}

/* Where no descriptor can be used they are those of the process. */
static void stdio_drop(struct plait_reactor *r, int read_fd, int write_fd)
{
	if (stdio_calls(r) != NULL) {
		ends_close(r, read_fd, write_fd != read_fd ? write_fd : -1);
		return;
	}
	if (read_fd >= 0)
		plait_i_given_file_close(read_fd);
	if (write_fd >= 0 && write_fd != read_fd)
		plait_i_given_file_close(write_fd);
}

int plait_pipe_transport(struct plait_reactor *r, int read_fd, int write_fd,
			 struct plait_protocol *p,
			 const struct plait_pipe_options *options)
{
	static const struct plait_pipe_options defaults;
	const struct plait_pipe_options *o =
		options != NULL ? options : &defaults;
	struct plait_transport *t;
	int err = stdio_check(r, "plait_pipe_transport()", o);

	if (err < 0)
		stdio_drop(r, read_fd, write_fd);
	else
		err = stdio_take(r, &read_fd, &write_fd);
	if (err == 0) {
		t = ends_connect(r, read_fd, write_fd, false, o->terminal,
				 NULL);
		err = t != NULL ? plait_i_adopt(t, &p) : -errno;
	}
	plait_protocol_free(&p);
	return err;
}

static int stdio_copy(struct plait_reactor *r, int *in, int *out)
{
	struct kernel *k = loop_kernel(r);
	int err;

	*in = stdio_calls(r)->copy(k, 0);
	if (*in < 0)
		return -errno;
	*out = stdio_calls(r)->copy(k, 1);
	if (*out >= 0)
		return 0;
	err = -errno;
	kernel_close(k, *in);
	return err;
}

struct plait_transport *plait_i_stdio(struct plait_reactor *r,
				      enum plait_terminal_mode mode,
				      struct transport_owner *owner)
{
	int in = -1, out = -1;
	int err = stdio_calls(r) == NULL ? -ENOTSUP : 0;

	if (err == 0)
		err = stdio_copy(r, &in, &out);
	if (err == 0)
		return ends_connect(r, in, out, true, mode, owner);
	errno = -err;
	return NULL;
}

int plait_stdio(struct plait_reactor *r, struct plait_protocol *p,
		const struct plait_pipe_options *options)
{
	static const struct plait_pipe_options defaults;
	const struct plait_pipe_options *o =
		options != NULL ? options : &defaults;
	struct plait_transport *t;
	int err = stdio_check(r, "plait_stdio()", o);

	if (err == 0) {
		t = plait_i_stdio(r, o->terminal, NULL);
		err = t != NULL ? plait_i_adopt(t, &p) : -errno;
	}
	plait_protocol_free(&p);
	return err;
}
