/*
 * Looking for a program: see search.h.
 */
#include <stdlib.h>
#include <string.h>

#include "reactor/child/search.h"

/* What a shell without PATH takes. */
static const char default_dirs[] = "/usr/bin:/bin";

static size_t search_count(const char *dirs)
{
	size_t n = 1;

	for (; *dirs != '\0'; dirs++)
		n += *dirs == ':';
	return n;
}

/* Appends DIR/NAME; an empty directory is the present one.  Returns where the
   next one begins. */
static char *search_write(char *at, const char *dir, size_t len,
			  const char *name)
{
	memcpy(at, dir, len);
	at += len;
	if (len > 0)
		*at++ = '/';
	strcpy(at, name);
	return at + strlen(name) + 1;
}

const char **plait_i_search(const char *name, const char *dirs)
{
	size_t n, pointers, len;
	const char **ret;
	char *at;

	if (*name == '\0' || strchr(name, '/') != NULL)
		dirs = "";
	else if (dirs == NULL)
		dirs = default_dirs;
	n = search_count(dirs);
	pointers = (n + 1) * sizeof(*ret);
	ret = malloc(pointers + strlen(dirs) + n * (strlen(name) + 2));
	if (ret == NULL)
		return NULL;
	at = (char *)ret + pointers;
	for (size_t i = 0; i < n; i++) {
		len = strcspn(dirs, ":");
		ret[i] = at;
		at = search_write(at, dirs, len, name);
		dirs += len + (dirs[len] == ':');
	}
	ret[n] = NULL;
	return ret;
}
