/*
 * A resolver from the inside, for the files that look something up in it.
 */
#ifndef REACTOR_NAMES_H
#define REACTOR_NAMES_H

#include <plait/resolver.h>

#include "reactor/loop/loop.h"
#include "reactor/names/cache.h"
#include "reactor/names/files.h"
#include "reactor/names/server.h"
#include "reactor/names/sort.h"

/* Questions that are under way are found by a hash of their name and type. */
enum { QUESTION_LISTS = 256 };

/* From where this host talks to a destination: see source.c. */
enum { NAMES_SOURCES = 64 };

struct names_source {
	struct plait_address to;
	struct sort_source from;
	bool is_there;
};

struct names_sources {
	struct names_source *list; /* NULL: nothing was asked yet */
	size_t n;
	size_t next;   /* the one to be replaced, when all are in use */
	int64_t since; /* they are a second old at most */
};

struct plait_resolver {
	struct plait_reactor *reactor; /* NULL: it was freed */
	struct loop_task keep;	       /* ... is told of that, last */
	struct loop_task burial;       /* when the program has freed it */
	bool is_ending;		       /* it is being freed */
	bool is_system;
	double timeout;
	struct plait_address given[RESOLV_SERVERS]; /* by the program */
	struct names_files files;
	unsigned changes; /* of the files, when settings were taken from them */
	struct names_servers servers;
	struct cache *cache; /* NULL: there is none */
	struct names_sources sources;
	uint64_t seed; /* of the hash */
	struct plait_list questions[QUESTION_LISTS];
	struct plait_list lookups; /* all that are under way: lookup.c */
	struct plait_list asked;   /* all others: resolver.c */
	struct plait_pool *system; /* NULL: nobody has asked for it */
};

#endif
