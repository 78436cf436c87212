/*
 * What a process that does a job and the process that has made it say to each
 * other.  Both are the same program on the same machine, so the numbers are as
 * they are in memory.
 *
 * The child is the program, executed with the marker and the name of the job.
 * It reads the argument from one pipe, to the end, before it begins, and writes
 * one answer to another.  So neither ever waits for the other while that waits
 * for it.
 */
#ifndef REACTOR_PROCESS_JOB_MAIN_H
#define REACTOR_PROCESS_JOB_MAIN_H

#include <stdint.h>

#include <plait/process_job.h>

#define PROCESS_JOB_MARKER "--plait-process-job"

/* Descriptors of the child. */
enum { PROCESS_JOB_ARGUMENT = 3, PROCESS_JOB_ANSWER = 4 };

/* Stands before the bytes of each. */
struct process_job_head {
	uint64_t size;	/* of the bytes */
	int32_t err;	/* of a failure */
	uint32_t fails; /* the bytes are its text */
};

/* What plait_process_jobs_main() was told; NULL: it was not called. */
const struct plait_process_job *plait_i_process_jobs(void);
const char *plait_i_process_jobs_program(void);
const struct plait_process_job *plait_i_process_job_find(const char *name);

#endif
