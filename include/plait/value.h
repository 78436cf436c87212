/*
 * A value is what a deferred carries: two words, {type, ptr}, handed around
 * by value.  The type is the address of a const struct, so a program adds
 * types of its own without asking anybody.
 *
 * Borrowed in, owned out: a callback gets a pointer to the slot in which the
 * chain keeps its result, and returns the next result.  What is left in the
 * slot the chain frees; plait_value_take() moves it out; returning *slot
 * untaken passes it on.  So an early return cannot leak.  (Don't return a
 * second reference to what is still in the slot: it is taken for *slot itself.)
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
 * What a value is.  free ends the value that ptr stands for; NULL if there is
 * nothing to end.  format writes the value as text as snprintf() would and
 * returns the length that it wants; NULL writes "<name>".  ref gives a further
 * reference, a ptr to be freed on its own; NULL if there can be but one, or
 * if there is nothing to free.
 */
struct plait_type {
	const char *name;
	void (*free)(void *ptr);
	int (*format)(const void *ptr, char *buf, size_t size);
	void *(*ref)(void *ptr);
	uintptr_t reserved[8]; /* zero */
};

/* A zeroed value is "none", Twisted's None: its type is NULL. */
typedef struct plait_value {
	const struct plait_type *type;
	void *ptr;
} plait_value;

/*
 * One type for callbacks, errbacks and both.  *result is borrowed; the value
 * returned is given.
 */
typedef plait_value plait_callback(plait_value *result, void *arg);

/*
 * Begins an operation: returns a value, a failure, or the deferred of what is
 * to be waited for, plait_chain(&d).  Given.
 */
typedef plait_value plait_operation(void *arg);

/* An int in the pointer itself, and text that is borrowed and never freed. */
extern const struct plait_type plait_int_type;
extern const struct plait_type plait_text_type;

/* A value of any type.  ptr is taken: the value owns it from here on. */
static inline plait_value plait_value_make(const struct plait_type *type,
					   void *ptr)
{
	plait_value v;

	v.type = type;
	v.ptr = ptr;
	return v;
}

#define PLAIT_NONE plait_value_make(NULL, NULL)

/* A number as a value, with no allocation. */
static inline plait_value plait_int(intptr_t n)
{
	return plait_value_make(&plait_int_type, PLAIT_CAST_(void *, n));
}

/* Text as a value, with no allocation: borrowed, so mostly a literal. */
static inline plait_value plait_text(const char *text)
{
	void *ptr = PLAIT_CAST_(void *, PLAIT_CAST_(uintptr_t, text));

	return plait_value_make(&plait_text_type, ptr);
}

/* Moves the value out of the slot, which holds none afterwards.  Given. */
static inline plait_value plait_value_take(plait_value *slot)
{
	plait_value v = *slot;

	*slot = PLAIT_NONE;
	return v;
}

static inline bool plait_value_is(const plait_value *v,
				  const struct plait_type *type)
{
	return v->type == type;
}

static inline bool plait_value_is_none(const plait_value *v)
{
	return v->type == NULL;
}

/* Frees what the slot holds, by its type; the slot holds none afterwards. */
void plait_value_free(plait_value *slot);

/*
 * The same value once more, given.  Aborts for a type that has something to
 * free and no ref, and names the place of the call.
 */
plait_value plait_value_ref(const plait_value *v, const char *where);
#define plait_value_ref(...) (plait_value_ref)(__VA_ARGS__, PLAIT_HERE)

/*
 * The ptr of a value of that type, borrowed.  Any other type is a mistake of
 * the program: aborts, and names both types and the place of the call.
 */
void *plait_value_get(const plait_value *v, const struct plait_type *type,
		      const char *where);
#define plait_value_get(...) (plait_value_get)(__VA_ARGS__, PLAIT_HERE)

/* The same for the common types: the number; the text, borrowed. */
intptr_t plait_value_int(const plait_value *v, const char *where);
#define plait_value_int(...) (plait_value_int)(__VA_ARGS__, PLAIT_HERE)
const char *plait_value_text(const plait_value *v, const char *where);
#define plait_value_text(...) (plait_value_text)(__VA_ARGS__, PLAIT_HERE)

/* Many values as one, each at the index of its member; the value owns them. */
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

/* What such a value is: borrowed, but items may be taken.  Or aborts. */
struct plait_values *plait_value_values(const plait_value *v,
					const char *where);
#define plait_value_values(...) (plait_value_values)(__VA_ARGS__, PLAIT_HERE)
struct plait_indexed *plait_value_indexed(const plait_value *v,
					  const char *where);
#define plait_value_indexed(...) (plait_value_indexed)(__VA_ARGS__, PLAIT_HERE)

/*
 * Writes the value as text, NUL-terminated, in at most size bytes; returns
 * the length that it wants, as snprintf() does.
 */
int plait_value_str(const plait_value *v, char *buf, size_t size);

#ifdef __cplusplus
}
#endif

#endif
