/*
 * A value is what a deferred carries: two words, {type, ptr}, which are passed
 * by value.  The type is the address of a const struct, so a program defines
 * types of its own; there is no registry.
 *
 * A callback gets a pointer to the slot in which the chain keeps its result,
 * borrowed, and returns the next result, given.  The chain frees what the
 * callback leaves in the slot.  plait_value_take() moves the result out of the
 * slot, and returning *slot passes it on.  So an early return cannot leak.  Do
 * not return a second reference to what is still in the slot: the chain takes
 * it for *slot itself.
 *
 * A value may be made in one thread and used in another, but two threads must
 * not use the same value, or two references to the same thing, at the same
 * time: counts of references are not atomic.  A value that is a deferred stays
 * in the thread of the deferred.
 */
#ifndef PLAIT_VALUE_H
#define PLAIT_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include <plait/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What a value is.  free frees what ptr stands for; it is NULL if there is
 * nothing to free.  format writes the value as text as snprintf() would, and
 * returns the length of the whole text; if it is NULL, the text is "<name>".
 * ref gives a further reference, a ptr that is freed on its own; it is NULL if
 * there can be only one reference, or if there is nothing to free.
 */
struct plait_type {
	const char *name;
	void (*free)(void *ptr);
	int (*format)(const void *ptr, char *buf, size_t size);
	void *(*ref)(void *ptr);
	uintptr_t reserved[8]; /* zero */
};

/* A zeroed value is none, Twisted's None: its type is NULL. */
typedef struct plait_value {
	const struct plait_type *type;
	void *ptr;
} plait_value;

/*
 * The type of callbacks, of errbacks, and of functions that are both.  result
 * is borrowed for the call; the returned value is given.
 */
typedef plait_value plait_callback(plait_value *result, void *arg);

/*
 * Begins an operation.  Returns a value, a failure, or a deferred to wait for,
 * plait_chain(&d); given.
 */
typedef plait_value plait_operation(void *arg);

/* A number in the pointer itself, and text that is borrowed and never freed. */
extern const struct plait_type plait_int_type;
extern const struct plait_type plait_text_type;

/* Makes a value of any type.  ptr is taken: the value owns it from now on. */
PLAIT_INLINE plait_value plait_value_make(const struct plait_type *type,
					  void *ptr)
{
	plait_value v;

	v.type = type;
	v.ptr = ptr;
	return v;
}

#define PLAIT_NONE plait_value_make(NULL, NULL)

/* Makes a value of a number, without an allocation. */
PLAIT_INLINE plait_value plait_int(intptr_t n)
{
	return plait_value_make(&plait_int_type, PLAIT_CAST_(void *, n));
}

/*
 * Makes a value of text, without an allocation.  The text is borrowed as long
 * as the value lives, so it is usually a literal.
 */
PLAIT_INLINE plait_value plait_text(const char *text)
{
	void *ptr = PLAIT_CAST_(void *, PLAIT_CAST_(uintptr_t, text));

	return plait_value_make(&plait_text_type, ptr);
}

/* Moves the value out of the slot, which holds none afterwards; given. */
PLAIT_INLINE plait_value plait_value_take(plait_value *slot)
{
	plait_value v = *slot;

	*slot = PLAIT_NONE;
	return v;
}

PLAIT_INLINE bool plait_value_is(const plait_value *v,
				 const struct plait_type *type)
{
	return v->type == type;
}

PLAIT_INLINE bool plait_value_is_none(const plait_value *v)
{
	return v->type == NULL;
}

/* Frees what the slot holds, by its type; the slot holds none afterwards. */
void plait_value_free(plait_value *slot);
/* The same, for __attribute__((cleanup)). */
void plait_value_cleanup(plait_value *slot);

/*
 * Gives a further reference to the value.  Aborts if the type has something to
 * free and no ref; the message names the place of the call.
 */
plait_value plait_value_ref(const plait_value *v, const char *where);
#define plait_value_ref(...) (plait_value_ref)(__VA_ARGS__, PLAIT_HERE)

/*
 * Returns the ptr of a value of this type, borrowed.  Aborts if the value is of
 * another type; the message names both types and the place of the call.
 */
void *plait_value_get(const plait_value *v, const struct plait_type *type,
		      const char *where);
#define plait_value_get(...) (plait_value_get)(__VA_ARGS__, PLAIT_HERE)

/* The same for two common types: return the number; the text, borrowed. */
intptr_t plait_value_int(const plait_value *v, const char *where);
#define plait_value_int(...) (plait_value_int)(__VA_ARGS__, PLAIT_HERE)
const char *plait_value_text(const plait_value *v, const char *where);
#define plait_value_text(...) (plait_value_text)(__VA_ARGS__, PLAIT_HERE)

/* Many values as one value, which owns them; each is at its member's index. */
struct plait_values {
	size_t count;
	plait_value *items;
};

/* One value, and the index of the member that it came from. */
struct plait_indexed {
	size_t index;
	plait_value value;
};

extern const struct plait_type plait_values_type;
extern const struct plait_type plait_indexed_type;

/*
 * Return what such a value holds, borrowed; its items may be taken out.  They
 * abort if the value is of another type.
 */
struct plait_values *plait_value_values(const plait_value *v,
					const char *where);
#define plait_value_values(...) (plait_value_values)(__VA_ARGS__, PLAIT_HERE)
struct plait_indexed *plait_value_indexed(const plait_value *v,
					  const char *where);
#define plait_value_indexed(...) (plait_value_indexed)(__VA_ARGS__, PLAIT_HERE)

/*
 * Writes the value as text, NUL-terminated, in at most size bytes.  Returns the
 * length of the whole text, as snprintf() does.
 */
int plait_value_str(const plait_value *v, char *buf, size_t size);

#ifdef __cplusplus
}
#endif

#endif
