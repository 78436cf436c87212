/*
 * Sample programs in a simulation.  Their sources are compiled with this file
 * before them: main() has another name, what they print is kept, and the run of
 * their reactor is that of a node (scenario.h).  So main() waits in the middle,
 * on a stack of its own, until the program ends.
 */
#ifndef TESTS_SAMPLE_H
#define TESTS_SAMPLE_H

#include <stdio.h>

#include <plait/plait.h>

/* What they print, on standard output and standard error. */
int sample_print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
size_t sample_write(const void *data, size_t size);

/* In place of plait_reactor_run() and plait_reactor_free(). */
int sample_run(struct plait_reactor *r);
void sample_free_reactor(struct plait_reactor **rp);

#ifdef SAMPLE
#undef plait_reactor_run
#define plait_reactor_run(r) sample_run(r)
#define plait_reactor_free(rp) sample_free_reactor(rp)
#define main SAMPLE
/* Some may be macros already. */
#undef printf
#undef puts
#undef putchar
#undef fprintf
#undef fputs
#undef fwrite
#define printf(...) sample_print(__VA_ARGS__)
#define puts(text) sample_print("%s\n", (text))
#define putchar(c) sample_print("%c", (c))
#define fprintf(file, ...) sample_print(__VA_ARGS__)
#define fputs(text, file) sample_print("%s", (text))
#define fwrite(data, size, n, file) sample_write((data), (size) * (n))
int main(int argc, char **argv);
#else
#include "tests/scenario.h"

/* Its names: echo, get-poetry ... */
#define SAMPLES(USE)                                                           \
	USE(chat)                                                              \
	USE(echo)                                                              \
	USE(fastpoetry)                                                        \
	USE(get_poetry)                                                        \
	USE(guarded_echo)                                                      \
	USE(poetry_proxy)                                                      \
	USE(portforward)                                                       \
	USE(slowpoetry)                                                        \
	USE(ticker)                                                            \
	USE(transformedpoetry)                                                 \
	USE(udp_echo)
#define SAMPLE_MAIN(name) int sample_##name(int argc, char **argv);
SAMPLES(SAMPLE_MAIN)

enum { SAMPLE_ARGUMENTS = 10 };

struct sample {
	struct node node;
	int (*main)(int argc, char **argv);
	const char *argv[SAMPLE_ARGUMENTS + 1];
	struct stack *stack; /* NULL: main() is not in a call */
	int status;	     /* what main() returned; -1: it has not */
};

/* Starts a program on a host; argv ends with NULL. */
void sample_start(struct sample *s, const char *host,
		  int (*main)(int argc, char **argv), const char *const *argv);

/* How many lines that begin so all samples of this scenario have printed. */
unsigned sample_lines(const char *begin);

/* After a scenario. */
void sample_forget_lines(void);
#endif

#endif
