/*
 * Reading the files of a resolver: see files.h.
 *
 * What a look has found is accepted only when it has been read and understood.
 * So a look that fails half-way changes nothing, and the next one begins anew.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/names/files.h"
#include "reactor/names/text.h"

enum {
	FILE_MOST = 16 << 20,
	FILE_GROWTH = 4096, /* that may come between the look and the reading */
	HOST_NAME_SIZE = 256,
};

static const int64_t files_interval = 1000000000;

/* ---- one file ------------------------------------------------------------ */

/* What is in a file now. */
struct file_text {
	struct names_file file;
	char *bytes;
	size_t length;
};

static void file_text_done(struct file_text *t)
{
	free(t->bytes);
}

/* Such an error says that there is no file that could be read.  Any other may
   be gone at the next look. */
static bool file_is_missing(int err)
{
	switch (err) {
	case ENOENT:
	case ENOTDIR:
	case EACCES:
	case EPERM:
	case ELOOP:
	case EISDIR:
	case EINVAL: /* it is not regular */
		return true;
	default:
		return false;
	}
}

static bool file_is_same(const struct kernel_file *a,
			 const struct kernel_file *b)
{
	return a->device == b->device && a->inode == b->inode &&
	       a->size == b->size && a->written == b->written &&
	       a->changed == b->changed;
}

/* FNV-1a. */
static uint64_t file_sum(const char *bytes, size_t n)
{
	uint64_t sum = 0xcbf29ce484222325;

	while (n-- > 0)
		sum = (sum ^ (unsigned char)*bytes++) * 0x100000001b3;
	return sum;
}

static size_t file_size_cut(uint64_t size)
{
	return size < FILE_MOST ? (size_t)size : FILE_MOST;
}

/* Reads the file.  What it did not get whole is to be read again. */
static int file_read(struct kernel *k, const char *path, uint64_t size,
		     struct file_text *ret)
{
	size_t room = file_size_cut(size + FILE_GROWTH);
	struct kernel_file seen;
	char *bytes = malloc(room);
	ssize_t n;

	if (bytes == NULL)
		return -ENOMEM;
	n = kernel_read_file(k, path, bytes, room, &seen);
	if (n < 0) {
		free(bytes);
		return -errno;
	}
	if ((size_t)n != file_size_cut(seen.size))
		seen.is_fresh = true;
	*ret = (struct file_text){
		.file = { .seen = seen,
			  .is_known = true,
			  .is_there = true,
			  .sum = file_sum(bytes, (size_t)n) },
		.bytes = bytes,
		.length = (size_t)n,
	};
	return 0;
}

/* Looks at the file, and reads it unless it is the one that is known.  Returns
   0 and no bytes, if it is, or -errno. */
static int file_look_and_read(const struct names_file *f, struct kernel *k,
			      const char *path, struct file_text *ret)
{
	struct kernel_file seen;

	if (kernel_look(k, path, &seen) < 0)
		return -errno;
	if (!seen.is_regular)
		return -EINVAL;
	if (f->is_there && !f->seen.is_fresh && file_is_same(&f->seen, &seen)) {
		*ret = (struct file_text){ .file = *f };
		return 0;
	}
	return file_read(k, path, seen.size, ret);
}

/*
 * Looks at path, or at the usual one if path is NULL.
 * Returns 1 and the text if it is not what is known, and then the caller ends
 * it; 0 if nothing has changed; or -errno.
 */
static int file_refresh(struct names_file *f, struct kernel *k,
			const char *path, const char *usual,
			struct file_text *ret)
{
	int r = file_look_and_read(f, k, path != NULL ? path : usual, ret);

	if (r < 0 && !file_is_missing(-r))
		return r;
	if (r < 0)
		*ret = (struct file_text){ .file.is_known = true };
	if (!f->is_known || f->is_there != ret->file.is_there ||
	    f->sum != ret->file.sum)
		return 1;
	*f = ret->file;
	file_text_done(ret);
	return 0;
}

/* ---- what they say ------------------------------------------------------- */

static int files_refresh_hosts(struct names_files *fs, struct kernel *k)
{
	struct file_text t;
	int r = file_refresh(&fs->hosts_file, k, fs->hosts_path, "/etc/hosts",
			     &t);
	struct hosts *h;

	if (r <= 0)
		return r;
	h = plait_i_hosts_read(t.bytes, t.length, fs->seed);
	file_text_done(&t);
	if (h == NULL)
		return -ENOMEM;
	plait_i_hosts_free(&fs->hosts);
	fs->hosts = h;
	fs->hosts_file = t.file;
	return 0;
}

static unsigned files_interface(void *arg, const char *name)
{
	return kernel_interface(arg, name);
}

static struct resolv_conf *files_read_resolv_conf(struct kernel *k,
						  const struct file_text *t)
{
	char host[HOST_NAME_SIZE];
	bool has_name = kernel_host_name(k, host, sizeof(host)) == 0;

	host[sizeof(host) - 1] = '\0';
	return plait_i_resolv_conf_read(&(struct resolv_conf_source){
		.text = t->bytes,
		.length = t->length,
		.localdomain = kernel_variable(k, "LOCALDOMAIN"),
		.res_options = kernel_variable(k, "RES_OPTIONS"),
		.host = has_name ? host : NULL,
		.interface = files_interface,
		.arg = k,
	});
}

static int files_refresh_resolv_conf(struct names_files *fs, struct kernel *k)
{
	struct file_text t;
	int r = file_refresh(&fs->resolv_conf_file, k, fs->resolv_conf_path,
			     "/etc/resolv.conf", &t);
	struct resolv_conf *c;

	if (r <= 0)
		return r;
	c = files_read_resolv_conf(k, &t);
	file_text_done(&t);
	if (c == NULL)
		return -ENOMEM;
	if (fs->n_servers > 0) {
		memcpy(c->servers, fs->servers,
		       fs->n_servers * sizeof(*fs->servers));
		c->n_servers = fs->n_servers;
	}
	plait_i_resolv_conf_unref(&fs->resolv_conf);
	fs->resolv_conf = c;
	fs->resolv_conf_file = t.file;
	fs->changes++;
	return 0;
}

static int files_refresh_nsswitch(struct names_files *fs, struct kernel *k)
{
	struct file_text t;
	int r = file_refresh(&fs->nsswitch_file, k, fs->nsswitch_path,
			     "/etc/nsswitch.conf", &t);

	if (r <= 0)
		return r;
	plait_i_nsswitch_read(t.bytes, t.length, &fs->nsswitch);
	file_text_done(&t);
	fs->nsswitch_file = t.file;
	return 0;
}

static bool files_are_known(const struct names_files *fs)
{
	return fs->hosts_file.is_known && fs->resolv_conf_file.is_known &&
	       fs->nsswitch_file.is_known;
}

/* Each file for itself: what fails for one keeps no other from being read. */
int plait_i_names_files_look(struct names_files *fs, struct kernel *k,
			     int64_t now)
{
	int hosts, resolv_conf, nsswitch;

	if (files_are_known(fs) && now - fs->looked < files_interval)
		return 0;
	hosts = files_refresh_hosts(fs, k);
	resolv_conf = files_refresh_resolv_conf(fs, k);
	nsswitch = files_refresh_nsswitch(fs, k);
	fs->looked = now;
	if (files_are_known(fs))
		return 0;
	if (resolv_conf < 0)
		return resolv_conf;
	return hosts < 0 ? hosts : nsswitch;
}

void plait_i_names_files_done(struct names_files *fs)
{
	plait_i_hosts_free(&fs->hosts);
	plait_i_resolv_conf_unref(&fs->resolv_conf);
	*fs = (struct names_files){ .looked = 0 };
}
