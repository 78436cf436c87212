/*
 * What lookups find, as programs get it.  Each value is one allocation, and
 * counts its references.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <plait/failure.h>

#include "reactor/names/found.h"

/* Defined here; whoever calls them here says the place. */
#undef plait_value_addresses
#undef plait_value_names

struct addresses {
	struct plait_addresses shown; /* first */
	size_t refs;
	struct plait_address items[];
};

static void *addresses_ref(void *ptr)
{
	struct addresses *a = ptr;

	a->refs++;
	return a;
}

static void addresses_unref(void *ptr)
{
	struct addresses *a = ptr;

	if (--a->refs == 0)
		free(a);
}

/* Text that is put together as snprintf() would. */
struct list_text {
	char *buf;
	size_t size, length;
};

static void list_text_add(struct list_text *t, const char *item)
{
	size_t left = t->length < t->size ? t->size - t->length : 0;

	t->length +=
		(size_t)snprintf(left > 0 ? t->buf + t->length : NULL, left,
				 "%s%s", t->length > 0 ? ", " : "", item);
}

static int addresses_format(const void *ptr, char *buf, size_t size)
{
	const struct plait_addresses *a = ptr;
	struct list_text text = { .buf = buf, .size = size };

	for (size_t i = 0; i < a->count; i++) {
		char item[PLAIT_ADDRESS_SIZE];

		plait_address_host(&a->items[i], item, sizeof(item));
		list_text_add(&text, item);
	}
	return (int)text.length;
}

const struct plait_type plait_addresses_type = {
	.name = "addresses",
	.free = addresses_unref,
	.format = addresses_format,
	.ref = addresses_ref,
};

const struct plait_addresses *plait_value_addresses(const plait_value *v,
						    const char *where)
{
	return (plait_value_get)(v, &plait_addresses_type, where);
}

struct plait_addresses *plait_i_found_new(size_t n, const char *name,
					  double ttl,
					  struct plait_address **ret)
{
	struct addresses *a = calloc(1, sizeof(*a) + n * sizeof(a->items[0]) +
						strlen(name) + 1);

	if (a == NULL)
		return NULL;
	a->refs = 1;
	a->shown = (struct plait_addresses){
		.count = n,
		.items = a->items,
		.ttl = ttl,
		.name = strcpy((char *)(a->items + n), name),
	};
	*ret = a->items;
	return &a->shown;
}

struct names {
	struct plait_names shown; /* first */
	size_t refs;
	const char *items[];
};

static void *names_ref(void *ptr)
{
	struct names *n = ptr;

	n->refs++;
	return n;
}

static void names_unref(void *ptr)
{
	struct names *n = ptr;

	if (--n->refs == 0)
		free(n);
}

static int names_format(const void *ptr, char *buf, size_t size)
{
	const struct plait_names *n = ptr;
	struct list_text text = { .buf = buf, .size = size };

	for (size_t i = 0; i < n->count; i++)
		list_text_add(&text, n->items[i]);
	return (int)text.length;
}

const struct plait_type plait_names_type = {
	.name = "names",
	.free = names_unref,
	.format = names_format,
	.ref = names_ref,
};

const struct plait_names *plait_value_names(const plait_value *v,
					    const char *where)
{
	return (plait_value_get)(v, &plait_names_type, where);
}

plait_value plait_i_found_names(const char *const *list, size_t n, double ttl)
{
	size_t size = 0;
	struct names *names;
	char *text;

	for (size_t i = 0; i < n; i++)
		size += strlen(list[i]) + 1;
	names = malloc(sizeof(*names) + n * sizeof(names->items[0]) + size);
	if (names == NULL)
		return plait_no_memory();
	text = (char *)(names->items + n);
	for (size_t i = 0; i < n; i++) {
		names->items[i] = strcpy(text, list[i]);
		text += strlen(text) + 1;
	}
	names->refs = 1;
	names->shown = (struct plait_names){ .count = n,
					     .items = names->items,
					     .ttl = ttl };
	return plait_value_make(&plait_names_type, names);
}
