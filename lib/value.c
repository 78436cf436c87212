/*
 * Values, which are two words, {type, ptr}, and the library's own types:
 * numbers, text, and values that came together.  A slot is emptied before its
 * value is freed.  So nobody can see a freed value, whatever the free function
 * of a type does.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/exception.h"
#include "lib/value.h"

/*
 * These functions are defined here.  Calls in this file say the place
 * themselves.
 */
#undef plait_value_ref
#undef plait_value_get
#undef plait_value_int
#undef plait_value_text
#undef plait_value_values
#undef plait_value_indexed

/* Those of the header, for who does not compile them in. */
extern inline plait_value plait_value_make(const struct plait_type *type,
					   void *ptr);
extern inline plait_value plait_int(intptr_t n);
extern inline plait_value plait_text(const char *text);
extern inline plait_value plait_value_take(plait_value *slot);
extern inline bool plait_value_is(const plait_value *v,
				  const struct plait_type *type);
extern inline bool plait_value_is_none(const plait_value *v);

static int int_format(const void *ptr, char *buf, size_t size)
{
	return snprintf(buf, size, "%" PRIdPTR, (intptr_t)ptr);
}

static int text_format(const void *ptr, char *buf, size_t size)
{
	return snprintf(buf, size, "%s", ptr != NULL ? (const char *)ptr : "");
}

const struct plait_type plait_int_type = {
	.name = "int",
	.format = int_format,
};

const struct plait_type plait_text_type = {
	.name = "text",
	.format = text_format,
};

OUT_OF_LINE void plait_value_free(plait_value *slot)
{
	plait_value v = plait_value_take(slot);

	if (value_is_freed(&v))
		v.type->free(v.ptr);
	exception_barrier();
}

void plait_value_cleanup(plait_value *slot)
{
	plait_value_free(slot);
}

OUT_OF_LINE plait_value plait_value_ref(const plait_value *v, const char *where)
{
	void *ptr;

	if (v->type == NULL || v->type->free == NULL)
		return *v;
	if (v->type->ref == NULL)
		plait_die(where, "a value of type %s can have only one owner",
			  v->type->name);
	ptr = v->type->ref(v->ptr);
	exception_barrier();
	return plait_value_make(v->type, ptr);
}

static const char *article_of(const struct plait_type *type)
{
	if (type == NULL)
		return "";
	return strchr("aeiou", type->name[0]) != NULL ? "an " : "a ";
}

static const char *name_of(const struct plait_type *type)
{
	return type != NULL ? type->name : "none";
}

void *plait_value_get(const plait_value *v, const struct plait_type *type,
		      const char *where)
{
	if (v->type != type)
		plait_die(where, "value is %s%s, not %s%s", article_of(v->type),
			  name_of(v->type), article_of(type), name_of(type));
	return v->ptr;
}

intptr_t plait_value_int(const plait_value *v, const char *where)
{
	return (intptr_t)plait_value_get(v, &plait_int_type, where);
}

const char *plait_value_text(const plait_value *v, const char *where)
{
	return plait_value_get(v, &plait_text_type, where);
}

OUT_OF_LINE int plait_value_str(const plait_value *v, char *buf, size_t size)
{
	int len;

	if (v->type == NULL)
		return snprintf(buf, size, "none");
	if (v->type->format == NULL)
		return snprintf(buf, size, "<%s>", v->type->name);
	len = v->type->format(v->ptr, buf, size);
	exception_barrier();
	return len;
}

/* ---- many values as one --------------------------------------------- */

static bool is_nest(const plait_value *v)
{
	return v->type == &plait_values_type || v->type == &plait_indexed_type;
}

/* The place in a nest that the last item was taken from. */
static plait_value *value_vacated(const plait_value *nest)
{
	struct plait_indexed *indexed = nest->ptr;
	struct plait_values *values = nest->ptr;

	return nest->type == &plait_values_type ? &values->items[-1]
						: &indexed->value;
}

/* Moves the next item out of the nest; returns false if none is left. */
static bool take_item(const plait_value *nest, plait_value *ret)
{
	struct plait_values *values = nest->ptr;

	if (nest->type == &plait_values_type) {
		if (values->count == 0)
			return false;
		values->items++;
		values->count--;
	}
	*ret = plait_value_take(value_vacated(nest));
	return nest->type == &plait_values_type || !plait_value_is_none(ret);
}

/*
 * Nests may lie in nests as deep as memory allows, so this is a loop.  The way
 * back is kept in the place that each nest was taken from.
 */
static void free_nest(plait_value nest)
{
	plait_value around = PLAIT_NONE, item, *link;

	for (;;) {
		if (!take_item(&nest, &item)) {
			free(nest.ptr);
			if (plait_value_is_none(&around))
				return;
			nest = around;
			around = plait_value_take(value_vacated(&nest));
		} else if (is_nest(&item)) {
			link = value_vacated(&nest);
			*link = around;
			around = nest;
			nest = item;
		} else {
			plait_value_free(&item);
		}
	}
}

static void free_values(void *ptr)
{
	free_nest(plait_value_make(&plait_values_type, ptr));
}

struct plait_values *plait_i_values_new(size_t count)
{
	struct plait_values *values =
		calloc(1, sizeof(*values) + count * sizeof(plait_value));

	if (values == NULL)
		return NULL;
	values->count = count;
	values->items = (plait_value *)(void *)(values + 1);
	return values;
}

static int format_values(const void *ptr, char *buf, size_t size)
{
	return snprintf(buf, size, "<%zu values>",
			((const struct plait_values *)ptr)->count);
}

const struct plait_type plait_values_type = {
	.name = "list of values",
	.free = free_values,
	.format = format_values,
};

struct plait_values *plait_value_values(const plait_value *v, const char *where)
{
	return plait_value_get(v, &plait_values_type, where);
}

static void free_indexed(void *ptr)
{
	free_nest(plait_value_make(&plait_indexed_type, ptr));
}

/* Indexed values in indexed values are written in a loop, too. */
static int format_indexed(const void *ptr, char *buf, size_t size)
{
	const struct plait_indexed *indexed = ptr;
	char text[128];
	size_t len = 0;

	for (;;) {
		size_t left = len < size ? size - len : 0;

		len += (size_t)snprintf(left > 0 ? buf + len : NULL, left,
					"%zu: ", indexed->index);
		if (indexed->value.type != &plait_indexed_type)
			break;
		indexed = indexed->value.ptr;
	}
	plait_value_str(&indexed->value, text, sizeof(text));
	return (int)len + snprintf(len < size ? buf + len : NULL,
				   len < size ? size - len : 0, "%s", text);
}

const struct plait_type plait_indexed_type = {
	.name = "indexed value",
	.free = free_indexed,
	.format = format_indexed,
};

struct plait_indexed *plait_value_indexed(const plait_value *v,
					  const char *where)
{
	return plait_value_get(v, &plait_indexed_type, where);
}
