/*
 * Sample programs in a simulation: see sample.h.
 *
 * The main() of a sample has a stack of its own.  The node's begin() enters it,
 * and it comes back when the sample runs its reactor.  When the reactor is
 * gone, it is entered again, and main() cleans up.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "tests/sample.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAS_FIBERS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_FIBERS 1
#endif
#endif
#ifdef HAS_FIBERS
#include <sanitizer/common_interface_defs.h>
#endif

enum { STACK_SIZE = 256 * 1024, MAX_OUTPUT = 4 * 1024 * 1024 };

struct stack {
	ucontext_t inside, outside;
	struct sample *sample;
	void *memory;
	const void *outer_bottom; /* for AddressSanitizer */
	size_t outer_size;
};

static struct sample *entered; /* whose main() runs */
static struct stack *spare;    /* one is kept */
static char *output;
static size_t output_size;

/* ---- what they print ------------------------------------------------- */

size_t sample_write(const void *data, size_t size)
{
	if (output == NULL)
		output = malloc(MAX_OUTPUT);
	plait_assert(output != NULL);
	if (size > MAX_OUTPUT - output_size)
		size = MAX_OUTPUT - output_size;
	memcpy(output + output_size, data, size);
	output_size += size;
	return size;
}

int sample_print(const char *fmt, ...)
{
	char text[8192];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	sample_write(text, strlen(text));
	return n;
}

unsigned sample_lines(const char *begin)
{
	const char *line = output, *end = output + output_size;
	size_t len = strlen(begin);
	unsigned n = 0;

	while (line != NULL && line < end) {
		n += (size_t)(end - line) >= len &&
		     memcmp(line, begin, len) == 0;
		line = memchr(line, '\n', (size_t)(end - line));
		line = line != NULL ? line + 1 : NULL;
	}
	return n;
}

void sample_forget_lines(void)
{
	free(output);
	output = NULL;
	output_size = 0;
}

/* ---- two stacks ------------------------------------------------------ */

static void stack_arrive(void *fake, const void **bottom, size_t *size)
{
#ifdef HAS_FIBERS
	__sanitizer_finish_switch_fiber(fake, bottom, size);
#endif
}

static void stack_leave(void **fake, const void *bottom, size_t size)
{
#ifdef HAS_FIBERS
	__sanitizer_start_switch_fiber(fake, bottom, size);
#endif
}

/* On its own stack. */
static void stack_main(void)
{
	struct sample *s = entered;
	struct stack *stack = s->stack;
	char *argv[SAMPLE_ARGUMENTS + 1];
	int argc = 0;

	stack_arrive(NULL, &stack->outer_bottom, &stack->outer_size);
	while (s->argv[argc] != NULL) {
		argv[argc] = (char *)(uintptr_t)s->argv[argc];
		argc++;
	}
	argv[argc] = NULL;
	s->status = s->main(argc, argv);
	stack_leave(NULL, stack->outer_bottom, stack->outer_size);
	/* The end of this function goes on outside. */
}

static struct stack *stack_take(void)
{
	struct stack *stack = spare;

	spare = NULL;
	if (stack != NULL)
		return stack;
	stack = calloc(1, sizeof(*stack));
	plait_assert(stack != NULL);
	stack->memory = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	plait_assert(stack->memory != MAP_FAILED);
	return stack;
}

/* getcontext() may return twice, so nothing may change here. */
static void stack_prepare(struct stack *stack, struct sample *s)
{
	stack->sample = s;
	getcontext(&stack->inside);
	stack->inside.uc_stack.ss_sp = stack->memory;
	stack->inside.uc_stack.ss_size = STACK_SIZE;
	stack->inside.uc_link = &stack->outside;
	makecontext(&stack->inside, stack_main, 0);
}

static void stack_free(struct stack *stack)
{
	if (spare == NULL) {
		spare = stack;
		return;
	}
	munmap(stack->memory, STACK_SIZE);
	free(stack);
}

/* Goes on with main(), until it runs its reactor or returns. */
static void sample_enter(struct sample *s)
{
	struct sample *before = entered;
	void *fake = NULL;

	entered = s;
	stack_leave(&fake, s->stack->memory, STACK_SIZE);
	swapcontext(&s->stack->outside, &s->stack->inside);
	stack_arrive(fake, NULL, NULL);
	entered = before;
}

int sample_run(struct plait_reactor *r)
{
	struct stack *stack = entered->stack;
	void *fake = NULL;

	stack_leave(&fake, stack->outer_bottom, stack->outer_size);
	swapcontext(&stack->inside, &stack->outside);
	stack_arrive(fake, &stack->outer_bottom, &stack->outer_size);
	return 0;
}

/* ---- in place of samples/common/program.c ---------------------------- */

struct program;
struct plait_reactor *program_reactor(const struct program *p);
void program_run(struct plait_reactor *r, const char *fmt, ...);

struct plait_reactor *program_reactor(const struct program *p)
{
	return entered->node.reactor;
}

void program_run(struct plait_reactor *r, const char *fmt, ...)
{
	sample_run(r);
}

/* The simulation frees it. */
void sample_free_reactor(struct plait_reactor **rp)
{
	*rp = NULL;
}

/* ---- the node -------------------------------------------------------- */

static struct sample *sample_of(struct node *n)
{
	return plait_self(n, struct sample);
}

/* main() goes on to its end. */
static void sample_finish(struct node *n)
{
	struct sample *s = sample_of(n);

	if (s->stack == NULL)
		return;
	if (s->status < 0)
		sample_enter(s);
	stack_free(s->stack);
	s->stack = NULL;
}

static void sample_begin(struct node *n)
{
	struct sample *s = sample_of(n);

	s->status = -1;
	s->stack = stack_take();
	stack_prepare(s->stack, s);
	sample_enter(s);
	/* It has not even run. */
	if (s->status >= 0)
		node_stop(n);
}

void sample_start(struct sample *s, const char *host,
		  int (*main)(int argc, char **argv), const char *const *argv)
{
	int n = 0;

	*s = (struct sample){
		.node = { .name = host,
			  .begin = sample_begin,
			  .end = sample_finish },
		.main = main,
		.status = -1,
	};
	for (; argv[n] != NULL; n++) {
		plait_assert(n < SAMPLE_ARGUMENTS);
		s->argv[n] = argv[n];
	}
	node_start(&s->node);
}
