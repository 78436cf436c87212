/*
 * Values: two words, {type, ptr}, and the types that the library itself
 * brings for numbers and text.  A slot is emptied before what it held is
 * freed, so whatever a type's free does, nobody can see a dead value.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <plait/value.h>

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

void plait_value_free(plait_value *slot)
{
	plait_value v = plait_take(slot);

	if (v.type != NULL && v.type->free != NULL)
		v.type->free(v.ptr);
}

plait_value plait_value_ref_at(const plait_value *v, const char *where)
{
	if (v->type == NULL || v->type->free == NULL)
		return *v;
	if (v->type->ref == NULL)
		plait_die(where, "a value of type %s has but one owner",
			  v->type->name);
	return plait_value_make(v->type, v->type->ref(v->ptr));
}

static const char *article(const struct plait_type *type)
{
	if (type == NULL)
		return "";
	return strchr("aeiou", type->name[0]) != NULL ? "an " : "a ";
}

static const char *name(const struct plait_type *type)
{
	return type != NULL ? type->name : "none";
}

void *plait_value_get_at(const plait_value *v, const struct plait_type *type,
			 const char *where)
{
	if (v->type != type)
		plait_die(where, "value is %s%s, not %s%s", article(v->type),
			  name(v->type), article(type), name(type));
	return v->ptr;
}

intptr_t plait_value_int_at(const plait_value *v, const char *where)
{
	return (intptr_t)plait_value_get_at(v, &plait_int_type, where);
}

const char *plait_value_text_at(const plait_value *v, const char *where)
{
	return plait_value_get_at(v, &plait_text_type, where);
}

int plait_value_str(const plait_value *v, char *buf, size_t size)
{
	if (v->type == NULL)
		return snprintf(buf, size, "none");
	if (v->type->format == NULL)
		return snprintf(buf, size, "<%s>", v->type->name);
	return v->type->format(v->ptr, buf, size);
}
