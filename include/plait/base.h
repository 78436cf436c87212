/*
 * What every plait header needs: the version, the place a call was written,
 * the way from an embedded base struct to its owner, and an assertion that
 * stays on in release builds and names the culprit.
 *
 * The structs that a program makes itself (options, limits, tables, and what it
 * embeds or declares) end in reserved words, so that a later version of the
 * library can have further members without a change of their size.  They must
 * be zero.  A program never names them: it zeroes the struct, or initialises
 * the members that it wants by their names, which zeroes the others.
 */
#ifndef PLAIT_BASE_H
#define PLAIT_BASE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PLAIT_VERSION "0.1.0"
#define PLAIT_VERSION_NUMBER 0x000100

/* "file.c:42": the place where this stands, as one string literal. */
#define PLAIT_STRINGIFY_(x) #x
#define PLAIT_STRINGIFY(x) PLAIT_STRINGIFY_(x)
#define PLAIT_HERE __FILE__ ":" PLAIT_STRINGIFY(__LINE__)

/* PLAIT_MUST_USE: to drop what the function gives is to leak it. */
#if defined(__GNUC__) || defined(__clang__)
#define PLAIT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define PLAIT_NORETURN __attribute__((noreturn))
#define PLAIT_MUST_USE __attribute__((warn_unused_result))
#else
#define PLAIT_PRINTF(fmt, args)
#define PLAIT_NORETURN
#define PLAIT_MUST_USE
#endif

/* The struct of this type that holds ptr as its member. */
#define plait_container(ptr, type, member)                                     \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/*
 * The user's struct that embeds the base struct first: a protocol's or a
 * factory's own self.
 */
#define plait_self(base, type) ((type *)(void *)(base))

/* A function to be called later, with what was given for it. */
typedef void plait_func(void *arg);

/* The version of the library that runs, as text: borrowed, static. */
const char *plait_version(void);

/*
 * For what cannot be unless the program is wrong: says the condition and the
 * place on standard error and aborts, NDEBUG or not.
 */
#define plait_assert(condition)                                                \
	((condition) ? (void)0 : plait_die(PLAIT_HERE, "%s", #condition))

/* Prints "plait: WHERE: MESSAGE" on standard error and aborts. */
PLAIT_NORETURN void plait_die(const char *where, const char *fmt, ...)
	PLAIT_PRINTF(2, 3);

#ifdef __cplusplus
}
#endif

#endif
