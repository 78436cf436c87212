/*
 * Transforms poems.  For each netstring "NAME.POEM" that comes it sends a
 * netstring with the poem as the transformation NAME changes it, any number of
 * times.  It closes the connection if the name is not known or the bytes are no
 * netstring.
 */
#include <stdio.h>
#include <string.h>

#include "common/program.h"

/* Writes like E. E. Cummings. */
static void cummingsify(char *poem, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (poem[i] >= 'A' && poem[i] <= 'Z')
			poem[i] += 'a' - 'A';
}

static const struct transformation {
	const char *name;
	void (*apply)(char *poem, size_t len);
} transformations[] = {
	{ "cummingsify", cummingsify },
};

static const struct transformation *find(const char *name, size_t len)
{
	const size_t n = sizeof(transformations) / sizeof(*transformations);

	for (size_t i = 0; i < n; i++)
		if (strlen(transformations[i].name) == len &&
		    memcmp(transformations[i].name, name, len) == 0)
			return &transformations[i];
	return NULL;
}

/* Sends the transformed poem; returns false if there is no memory for it. */
static bool answer(struct plait_netstring_receiver *p,
		   const struct transformation *t, const char *poem, size_t len)
{
	struct plait_buf *b = plait_buf_new(len);
	void *copy;

	if (b == NULL || plait_buf_reserve(b, len, &copy) < 0) {
		plait_buf_unref(&b);
		return false;
	}
	memcpy(copy, poem, len);
	t->apply(copy, len);
	plait_netstring_receiver_send(p, copy, len);
	plait_buf_unref(&b);
	return true;
}

static void poem_received(struct plait_netstring_receiver *p, const void *data,
			  size_t len)
{
	const char *name = data, *dot = memchr(data, '.', len);
	const struct transformation *t = dot ? find(name, dot - name) : NULL;

	if (t == NULL || !answer(p, t, dot + 1, len - (dot + 1 - name)))
		plait_transport_lose_connection(p->base.transport);
}

static const struct plait_netstring_receiver_ops transformer_ops = {
	.base = { .name = "transformedpoetry",
		  .size = sizeof(struct plait_netstring_receiver),
		  PLAIT_NETSTRING_RECEIVER },
	.string_received = poem_received,
};

int main(int argc, char **argv)
{
	struct plait_factory factory = { .protocol = &transformer_ops.base };
	struct program p = { .about = "Transforms poems (cummingsify).",
			     .serves = true };
	struct plait_address address;
	char place[PLACE_SIZE];
	struct plait_reactor *r;

	program_start(&p, argc, argv);
	r = program_reactor(&p);
	address = program_listen(&p, r, &factory);
	program_run(r, "Transforming poems on %s.", place_str(&address, place));

	plait_reactor_free(&r);
	return 0;
}
