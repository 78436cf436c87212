/*
 * What every plait header needs: the version, the place where a call was
 * written, the way from an embedded struct to the struct around it, and an
 * assertion that works in release builds, too, and names the culprit.
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
/* Also for a program that includes this in an extern "C" of its own. */
extern "C++" {
#include <type_traits>
}

#define PLAIT_CAST_(type, x) reinterpret_cast<type>(x)

extern "C++" {
/* A class with virtual functions does not begin with its base. */
template <typename T> T *plait_self_(void *base)
{
	static_assert(!std::is_polymorphic<T>::value,
		      "the library cannot hold a class with virtual functions");
	return static_cast<T *>(base);
}
template <typename T> const T *plait_self_(const void *base)
{
	return plait_self_<T>(const_cast<void *>(base));
}
}

extern "C" {
#else
#define PLAIT_CAST_(type, x) ((type)(x))
#endif

#define PLAIT_VERSION "0.1.0"
#define PLAIT_VERSION_NUMBER 0x000100

/* The place where this macro stands, "file.c:42", as one string literal. */
#define PLAIT_STRINGIFY_(x) #x
#define PLAIT_STRINGIFY(x) PLAIT_STRINGIFY_(x)
#define PLAIT_HERE __FILE__ ":" PLAIT_STRINGIFY(__LINE__)

/*
 * PLAIT_MUST_USE: a caller that ignores what the function gives leaks it, so
 * compilers warn.
 */
#if defined(__GNUC__) || defined(__clang__)
#define PLAIT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define PLAIT_NORETURN __attribute__((noreturn))
#define PLAIT_MUST_USE __attribute__((warn_unused_result))
#else
#define PLAIT_PRINTF(fmt, args)
#define PLAIT_NORETURN
#define PLAIT_MUST_USE
#endif

/*
 * A function that is compiled into its callers.  The library has it, too, for
 * languages that cannot read this.  Before C99, inline meant something else.
 */
#if defined(__GNUC_GNU_INLINE__) && !defined(__cplusplus)
#define PLAIT_INLINE static inline
#else
#define PLAIT_INLINE inline
#endif

/* The struct of this type whose member is at ptr. */
#define plait_container(ptr, type, member)                                     \
	(plait_self(PLAIT_CAST_(char *, ptr) - offsetof(type, member), type))

/*
 * The program's struct of this type, whose first member is the base struct: a
 * program's own protocol or factory.
 */
#ifdef __cplusplus
#define plait_self(base, type) (plait_self_<type>(base))
#else
#define plait_self(base, type) ((type *)(void *)(base))
#endif

/* A function that is called later, with the argument that was given for it. */
typedef void plait_func(void *arg);

/* Returns the version of the library that runs, as text: borrowed, static. */
const char *plait_version(void);

/*
 * For a condition that is always true unless the program is wrong.  If it is
 * false, prints the condition and the place on standard error and aborts,
 * whether NDEBUG is defined or not.
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
