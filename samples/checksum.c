/*
 * Prints the CRC-32 of files, as zlib and gzip compute it.  The files are read
 * in threads of a pool, because reading a file may block whatever is done about
 * it: a disk that is asleep, a server that is gone, a pipe that nobody writes.
 *
 * The jobs report how far they are, and the loop shows it on a terminal.  A
 * signal cancels all of them, and the program ends at once: files that no
 * thread has opened yet are never opened, and nobody waits for a thread that is
 * blocked.  For this reason a job has memory of its own, which the pool frees
 * when the job has really ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/program.h"

/* What the loop knows of a file. */
struct file {
	struct summer *summer;
	const char *name;
	struct plait_deferred *deferred;
	int percent;
};

struct summer {
	struct plait_reactor *reactor;
	struct plait_pool *pool;
	struct file *files;
	int n, unfinished, failed;
	bool shows_progress;
};

/* What the thread knows of it. */
struct job {
	struct file *file; /* of the loop: not for the thread */
	char name[];
};

static uint32_t table[256];

static void make_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			table[i] = (table[i] >> 1) ^
				   (table[i] & 1 ? 0xedb88320 : 0);
	}
}

/* ---- in the loop --------------------------------------------------------- */

static void show_progress(const struct summer *self)
{
	long sum = 0;

	for (int i = 0; i < self->n; i++)
		sum += self->files[i].percent;
	fprintf(stderr, "\r%3ld %%\r", sum / self->n);
}

static void note_progress(const plait_value *progress, void *arg)
{
	struct job *job = arg;

	job->file->percent = (int)plait_value_int(progress);
	if (job->file->summer->shows_progress)
		show_progress(job->file->summer);
}

static plait_value print_sum(plait_value *sum, void *arg)
{
	const struct file *f = arg;

	printf("%08x  %s\n", (unsigned)plait_value_int(sum), f->name);
	return PLAIT_NONE;
}

static plait_value print_failure(plait_value *failure, void *arg)
{
	struct file *f = arg;
	char text[1024];

	f->summer->failed++;
	/* What a signal has cancelled is no news. */
	if (plait_failure_check(plait_value_failure(failure),
				&plait_error_cancelled))
		return PLAIT_NONE;
	plait_value_str(failure, text, sizeof(text));
	fprintf(stderr, "%s\n", text);
	return PLAIT_NONE;
}

static plait_value finished(plait_value *result, void *arg)
{
	struct summer *self = arg;

	if (--self->unfinished == 0)
		plait_reactor_stop(self->reactor);
	return PLAIT_NONE;
}

/* ---- in a thread --------------------------------------------------------- */

static uint32_t add_bytes(uint32_t crc, const unsigned char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		crc = table[(crc ^ bytes[i]) & 0xff] ^ (crc >> 8);
	return crc;
}

/* Tells the loop if another hundredth is done.  The size of a pipe is 0. */
static void report(struct plait_job *job, off_t done, off_t size, int *percent)
{
	int now = size > 0 && done < size ? (int)(100 * done / size) : 100;

	if (size == 0 || now == *percent)
		return;
	*percent = now;
	plait_job_report(job, note_progress, plait_int(now));
}

static plait_value sum_descriptor(struct plait_job *job, const char *name,
				  int fd)
{
	unsigned char bytes[65536];
	struct stat st = { .st_size = 0 };
	uint32_t crc = 0xffffffff;
	off_t done = 0;
	int percent = 0;
	ssize_t n;

	fstat(fd, &st);
	while (!plait_job_is_cancelled(job) &&
	       (n = read(fd, bytes, sizeof(bytes))) != 0) {
		if (n < 0)
			return plait_fail_errno(&plait_error_os, errno, "%s",
						name);
		crc = add_bytes(crc, bytes, (size_t)n);
		done += n;
		report(job, done, st.st_size, &percent);
	}
	return plait_int((intptr_t)(crc ^ 0xffffffff));
}

static plait_value sum_file(struct plait_job *pool_job, void *arg)
{
	const struct job *job = arg;
	int fd = open(job->name, O_RDONLY | O_CLOEXEC);
	plait_value v;

	if (fd < 0)
		return plait_fail_errno(&plait_error_os, errno, "%s",
					job->name);
	v = sum_descriptor(pool_job, job->name, fd);
	close(fd);
	return v;
}

/* ---- all of them --------------------------------------------------------- */

static struct job *new_job(struct file *f)
{
	size_t size = strlen(f->name) + 1;
	struct job *job = malloc(sizeof(*job) + size);

	if (job == NULL)
		die("no memory");
	job->file = f;
	memcpy(job->name, f->name, size);
	return job;
}

static void start(void *arg)
{
	struct summer *self = arg;

	for (int i = 0; i < self->n; i++) {
		struct file *f = &self->files[i];

		f->deferred = plait_defer_to_pool(self->pool, sum_file,
						  new_job(f), free);
		plait_deferred_add_callbacks(f->deferred, print_sum, f,
					     print_failure, f);
		plait_deferred_add_both(f->deferred, finished, self);
	}
}

/* The reactor stops: because of a signal, or because all is done. */
static plait_value cancel_all(void *arg)
{
	struct summer *self = arg;

	for (int i = 0; i < self->n; i++)
		plait_deferred_free(&self->files[i].deferred);
	return PLAIT_NONE;
}

static void make_files(struct summer *self, char **names, int n)
{
	self->n = self->unfinished = n;
	self->files = calloc((size_t)n, sizeof(*self->files));
	if (self->files == NULL)
		die("no memory");
	for (int i = 0; i < n; i++)
		self->files[i] =
			(struct file){ .summer = self, .name = names[i] };
}

int main(int argc, char **argv)
{
	struct summer self = { .shows_progress = isatty(STDERR_FILENO) };
	size_t threads = 0;
	const struct program_option options[] = {
		{ "threads", "N", "read so many files at once", read_count,
		  &threads, NULL },
		{ "progress", NULL, "show it, also if this is no terminal",
		  read_flag, &self.shows_progress, NULL },
		{ 0 },
	};
	struct program p = { .about = "Prints the CRC-32 of files.",
			     .operands = "FILE...",
			     .min_operands = 1,
			     .max_operands = argc,
			     .options = options };

	program_start(&p, argc, argv);
	make_table();
	make_files(&self, p.operand, p.n_operands);
	self.reactor = program_reactor(&p);
	self.pool = plait_pool_new(
		self.reactor, "checksum",
		&(struct plait_pool_options){ .max_threads = (unsigned)threads,
					      .max_queue = (size_t)self.n });
	plait_call_when_running(self.reactor, start, &self);
	plait_reactor_add_trigger(self.reactor, PLAIT_TRIGGER_BEFORE,
				  PLAIT_TRIGGER_SHUTDOWN, cancel_all, &self,
				  NULL);
	plait_reactor_run(self.reactor);

	plait_pool_free(&self.pool);
	plait_reactor_free(&self.reactor);
	free(self.files);
	return self.failed > 0;
}
