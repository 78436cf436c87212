/*
 * Endpoints as objects: how long they live, and what their keys say.
 */
#include <stdlib.h>
#include <string.h>

#include "protocols/endpoint.h"

/* Defined here; whoever calls them here says the place. */
#undef plait_endpoint_has
#undef plait_endpoint_text
#undef plait_endpoint_number
#undef plait_endpoint_seconds

struct plait_endpoint *
plait_i_endpoint_new(const struct plait_endpoint_kind *kind)
{
	struct plait_endpoint *e = calloc(
		1, sizeof(*e) + kind->n_keys * sizeof(struct endpoint_value));

	if (e == NULL)
		return NULL;
	e->refs = 1;
	e->kind = kind;
	return e;
}

struct plait_endpoint *plait_endpoint_ref(struct plait_endpoint *e)
{
	if (e != NULL)
		e->refs++;
	return e;
}

void plait_endpoint_unref(struct plait_endpoint **ep)
{
	struct plait_endpoint *e = ep != NULL ? *ep : NULL, *inner;

	if (ep != NULL)
		*ep = NULL;
	for (; e != NULL && --e->refs == 0; e = inner) {
		inner = e->inner;
		for (size_t i = 0; i < e->kind->n_keys; i++)
			free(e->values[i].text);
		free(e);
	}
}

void plait_endpoint_cleanup(struct plait_endpoint **ep)
{
	plait_endpoint_unref(ep);
}

static bool endpoint_value_equal(const struct endpoint_value *a,
				 const struct endpoint_value *b)
{
	if (a->is_set != b->is_set || a->number != b->number)
		return false;
	return a->text == NULL || b->text == NULL
		       ? a->text == b->text
		       : strcmp(a->text, b->text) == 0;
}

bool plait_endpoint_equal(const struct plait_endpoint *a,
			  const struct plait_endpoint *b)
{
	for (; a != NULL && b != NULL; a = a->inner, b = b->inner) {
		if (a->kind != b->kind)
			return false;
		for (size_t i = 0; i < a->kind->n_keys; i++)
			if (!endpoint_value_equal(&a->values[i], &b->values[i]))
				return false;
	}
	return a == b;
}

/* ---- what the functions of a kind ask ------------------------------------ */

int plait_i_endpoint_key(const struct plait_endpoint_kind *kind,
			 const char *name)
{
	for (size_t i = 0; i < kind->n_keys; i++)
		if (strcmp(kind->keys[i].name, name) == 0)
			return (int)i;
	return -1;
}

static const struct endpoint_value *
endpoint_value_of(const struct plait_endpoint *e, const char *key,
		  const char *where)
{
	static const struct endpoint_value none;
	int i;

	if (e == NULL)
		return &none;
	i = plait_i_endpoint_key(e->kind, key);
	if (i < 0)
		plait_die(where, "an endpoint of kind %s has no key %s",
			  e->kind->name, key);
	return &e->values[i];
}

bool plait_endpoint_has(const struct plait_endpoint *e, const char *key,
			const char *where)
{
	return endpoint_value_of(e, key, where)->is_set;
}

const char *plait_endpoint_text(const struct plait_endpoint *e, const char *key,
				const char *where)
{
	return endpoint_value_of(e, key, where)->text;
}

uint64_t plait_endpoint_number(const struct plait_endpoint *e, const char *key,
			       const char *where)
{
	return endpoint_value_of(e, key, where)->number;
}

double plait_endpoint_seconds(const struct plait_endpoint *e, const char *key,
			      const char *where)
{
	return (double)plait_endpoint_number(e, key, where) /
	       ENDPOINT_MICROSECONDS;
}

void plait_i_endpoint_make_printable(char *text)
{
	for (; *text != '\0'; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}
