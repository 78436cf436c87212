/*
 * The cache of answers: what it keeps, for how long, and what it drops.  At the
 * end random operations are compared with a model that is a plain array.
 */
#include "reactor/names/cache.h"
#include "tests/harness.h"

enum { MUCH = 1 << 20, A = 1, AAAA = 28, IN = 1, CHAOS = 3 };

static struct cache *c;
static double clock_seconds;

static void begin(size_t most)
{
	c = plait_i_cache_new(most, 4711);
	ck_assert_ptr_nonnull(c);
	clock_seconds = 1000;
}

static void setup(void)
{
	begin(MUCH);
}

static void end(void)
{
	plait_i_cache_free(&c);
	ck_assert_ptr_null(c);
}

static int64_t now(void)
{
	return (int64_t)(clock_seconds * 1e9);
}

static void put(const char *name, unsigned type, enum cache_kind kind,
		uint32_t ttl, const char *data)
{
	plait_i_cache_put(c, &(struct cache_key){ name, type, IN }, kind, ttl,
			  data, strlen(data), now());
}

static struct cache_found found;

static bool get(const char *name, unsigned type)
{
	return plait_i_cache_get(c, &(struct cache_key){ name, type, IN },
				 now(), &found);
}

/* That answer, or NULL: nothing. */
static void gives(const char *name, unsigned type, const char *data)
{
	ck_assert_int_eq(get(name, type), data != NULL);
	if (data == NULL)
		return;
	ck_assert_uint_eq(found.length, strlen(data));
	ck_assert_mem_eq(found.data, data, strlen(data));
}

GROUP("cache", .setup = setup);

/* ---- keys ---------------------------------------------------------------- */

TEST(an_answer_is_found_by_name_type_and_class, PURE)
{
	put("a.b", A, CACHE_ANSWER, 60, "one");
	put("a.b", AAAA, CACHE_ANSWER, 60, "two");
	plait_i_cache_put(c, &(struct cache_key){ "a.b", A, CHAOS },
			  CACHE_ANSWER, 60, "three", 5, now());
	gives("a.b", A, "one");
	gives("a.b", AAAA, "two");
	ck_assert(plait_i_cache_get(c, &(struct cache_key){ "a.b", A, CHAOS },
				    now(), &found));
	ck_assert_uint_eq(found.length, 5);
	gives("a", A, NULL);
	gives("a.bc", A, NULL);
	gives("a.b", 2, NULL);
	ck_assert_uint_eq(plait_i_cache_count(c), 3);
	end();
}

TEST(case_and_a_dot_at_the_end_do_not_matter, PURE)
{
	put("A.b.", A, CACHE_ANSWER, 60, "one");
	gives("a.B", A, "one");
	gives("a.b.", A, "one");
	gives("a.b..", A, NULL);
	put("", A, CACHE_ANSWER, 60, "root");
	gives(".", A, "root");
	end();
}

TEST(a_later_answer_replaces_an_earlier_one, PURE)
{
	put("a", A, CACHE_ANSWER, 60, "one");
	put("A", A, CACHE_ANSWER, 60, "two");
	gives("a", A, "two");
	put("a", A, CACHE_NO_DATA, 60, "");
	gives("a", A, "");
	ck_assert_int_eq(found.kind, CACHE_NO_DATA);
	ck_assert_uint_eq(plait_i_cache_count(c), 1);
	end();
}

TEST(an_answer_may_have_no_bytes, PURE)
{
	plait_i_cache_put(c, &(struct cache_key){ "a", A, IN }, CACHE_FAILURE,
			  5, NULL, 0, now());
	gives("a", A, "");
	end();
}

/* ---- negative answers ---------------------------------------------------- */

TEST(no_such_name_stands_for_all_types, PURE)
{
	put("a", A, CACHE_ANSWER, 60, "one");
	put("a", AAAA, CACHE_ANSWER, 60, "two");
	put("b", A, CACHE_ANSWER, 60, "other");
	put("a", 15, CACHE_NO_NAME, 60, "none");
	gives("a", A, "none");
	gives("a", AAAA, "none");
	gives("a", 99, "none");
	ck_assert_int_eq(found.kind, CACHE_NO_NAME);
	gives("b", A, "other");
	ck_assert_uint_eq(plait_i_cache_count(c), 2);
	end();
}

TEST(a_name_that_is_there_after_all_is_there_for_all_types, PURE)
{
	put("a", A, CACHE_NO_NAME, 60, "none");
	put("a", AAAA, CACHE_ANSWER, 60, "two");
	gives("a", AAAA, "two");
	gives("a", A, NULL);
	end();
}

TEST(no_such_data_stands_for_one_type, PURE)
{
	put("a", AAAA, CACHE_NO_DATA, 60, "none");
	put("a", A, CACHE_ANSWER, 60, "one");
	gives("a", AAAA, "none");
	gives("a", A, "one");
	end();
}

/* ---- time ---------------------------------------------------------------- */

TEST(an_answer_is_good_for_its_ttl, PURE)
{
	put("a", A, CACHE_ANSWER, 60, "one");
	clock_seconds += 59.5;
	gives("a", A, "one");
	ck_assert_uint_eq(found.age, 59);
	ck_assert_uint_eq(found.left, 1);
	clock_seconds += 0.5;
	gives("a", A, NULL);
	ck_assert_uint_eq(plait_i_cache_count(c), 0);
	end();
}

/* How long an answer may be good is for the caller to say. */
TEST(each_kind_is_good_for_its_ttl, PURE, TIMES(CACHE_FAILURE + 1))
{
	put("a", A, (enum cache_kind)_i, 86401, "one");
	clock_seconds += 86400.999;
	gives("a", A, "one");
	clock_seconds += 0.001;
	gives("a", A, NULL);
	end();
}

TEST(an_answer_that_is_not_to_be_kept_replaces_nevertheless, PURE)
{
	put("a", A, CACHE_ANSWER, 60, "one");
	put("a", A, CACHE_ANSWER, 0, "two");
	ck_assert_uint_eq(plait_i_cache_count(c), 0);
	gives("a", A, NULL);
	end();
}

/* ---- size ---------------------------------------------------------------- */

static const char *name_of(int i)
{
	static char name[20];

	sprintf(name, "host%d", i);
	return name;
}

TEST(what_was_not_used_for_longest_goes_first, PURE)
{
	size_t empty = plait_i_cache_bytes(c), each;

	put(name_of(0), A, CACHE_ANSWER, 60, "x");
	each = plait_i_cache_bytes(c) - empty;
	end();
	begin(empty + 3 * each);
	for (int i = 0; i < 3; i++)
		put(name_of(i), A, CACHE_ANSWER, 60, "x");
	gives(name_of(0), A, "x");
	put(name_of(3), A, CACHE_ANSWER, 60, "x");
	gives(name_of(1), A, NULL);
	gives(name_of(2), A, "x");
	gives(name_of(0), A, "x");
	gives(name_of(3), A, "x");
	ck_assert_uint_eq(plait_i_cache_bytes(c), empty + 3 * each);
	end();
}

TEST(it_never_holds_more_than_it_may, PURE)
{
	static char much[5000];
	enum { MOST = 100000 };

	memset(much, 'x', sizeof(much) - 1);
	end();
	begin(MOST);
	for (int i = 0; i < 10000; i++) {
		much[i * 7919 % 4999] = '\0';
		put(name_of(i), A, CACHE_ANSWER, 60, much);
		much[i * 7919 % 4999] = 'x';
		ck_assert_uint_le(plait_i_cache_bytes(c), MOST);
		ck_assert_uint_le(heap_live_bytes(), MOST);
		ck_assert_uint_ge(plait_i_cache_count(c), 1);
	}
	end();
}

TEST(the_bytes_that_it_counts_are_those_of_its_memory, PURE)
{
	for (int i = 0; i < 1000; i++)
		put(name_of(i), A, CACHE_ANSWER, 60, "some bytes");
	ck_assert_uint_eq(plait_i_cache_bytes(c), heap_live_bytes());
	plait_i_cache_flush(c);
	ck_assert_uint_eq(plait_i_cache_bytes(c), heap_live_bytes());
	end();
}

TEST(an_answer_that_is_larger_than_all_is_not_kept, PURE)
{
	static char much[MUCH + 1];

	memset(much, 'x', MUCH);
	put("small", A, CACHE_ANSWER, 60, "one");
	put("a", A, CACHE_ANSWER, 60, "one");
	put("a", A, CACHE_ANSWER, 60, much);
	gives("a", A, NULL);
	gives("small", A, "one");
	end();
}

TEST(a_cache_of_no_bytes_keeps_nothing, PURE)
{
	end();
	begin(0);
	put("a", A, CACHE_ANSWER, 60, "one");
	gives("a", A, NULL);
	end();
}

TEST(a_flush_forgets_everything, PURE)
{
	for (int i = 0; i < 100; i++)
		put(name_of(i), A, CACHE_ANSWER, 60, "x");
	plait_i_cache_flush(c);
	ck_assert_uint_eq(plait_i_cache_count(c), 0);
	for (int i = 0; i < 100; i++)
		gives(name_of(i), A, NULL);
	put("a", A, CACHE_ANSWER, 60, "one");
	gives("a", A, "one");
	end();
}

/* ---- memory -------------------------------------------------------------- */

TEST(without_memory_there_is_no_cache, PURE, TIMES(2))
{
	end();
	fault_alloc_at((unsigned long)_i, false);
	ck_assert_ptr_null(plait_i_cache_new(MUCH, 1));
	ck_assert(fault_alloc_reached());
}

TEST(without_memory_the_old_answer_is_forgotten_all_the_same, PURE)
{
	put("a", A, CACHE_ANSWER, 60, "one");
	fault_alloc_at(0, false);
	put("a", A, CACHE_ANSWER, 60, "two");
	ck_assert(fault_alloc_reached());
	gives("a", A, NULL);
	end();
}

/* From the 17th on each first tries to make the lists longer. */
TEST(without_memory_for_longer_lists_it_works_with_short_ones, PURE)
{
	for (int i = 0; i < 1000; i++) {
		if (i >= 16)
			fault_alloc_at(0, false);
		put(name_of(i), A, CACHE_ANSWER, 60, "x");
		ck_assert_int_eq(fault_alloc_reached(), i >= 16);
	}
	for (int i = 0; i < 1000; i++)
		gives(name_of(i), A, "x");
	end();
}

/* ---- random operations --------------------------------------------------- */

enum { NAMES = 12, TYPES = 3, STEPS = 20000, SEEDS = 20 };

/* What the model knows of a name and a type. */
static struct model_entry {
	bool is_there;
	enum cache_kind kind;
	int64_t put, good_until;
	uint32_t value;
	unsigned long use;
} model[NAMES][TYPES];

static uint64_t state;

static unsigned below(unsigned n)
{
	state = state * 6364136223846793005 + 1442695040888963407;
	return (unsigned)(state >> 33) % n;
}

static void model_put(unsigned name, unsigned type, enum cache_kind kind,
		      uint32_t ttl, uint32_t value)
{
	for (unsigned t = 0; t < TYPES; t++)
		if (kind == CACHE_NO_NAME || t == type ||
		    model[name][t].kind == CACHE_NO_NAME)
			model[name][t].is_there = false;
	if (ttl == 0)
		return;
	for (unsigned t = 0; t < TYPES; t++)
		if (kind == CACHE_NO_NAME || t == type)
			model[name][t] = (struct model_entry){
				.is_there = true,
				.kind = kind,
				.put = now(),
				.good_until = now() + ttl * INT64_C(1000000000),
				.value = value,
			};
}

static const char *random_name(unsigned i)
{
	static char name[10];

	sprintf(name, "%c%u%s", below(2) ? 'N' : 'n', i, below(2) ? "." : "");
	return name;
}

static void random_put(void)
{
	static const uint32_t some[] = { 0, 1, 4, 5, 6, 60, 11000, 90000 };
	unsigned name = below(NAMES), type = below(TYPES);
	enum cache_kind kind = below(4);
	uint32_t ttl = some[below(N_OF(some))], value = below(1000);

	plait_i_cache_put(c, &(struct cache_key){ random_name(name), type, IN },
			  kind, ttl, &value, sizeof(value), now());
	model_put(name, type, kind, ttl, value);
}

/* The cache may have forgotten what the model knows, if it is small; what it
   gives is what the model knows. */
static void random_get(bool is_small)
{
	unsigned name = below(NAMES), type = below(TYPES);
	const struct model_entry *m = &model[name][type];
	bool is_good = m->is_there && m->good_until > now();
	uint32_t value;

	if (!get(random_name(name), type)) {
		ck_assert(is_small || !is_good);
		return;
	}
	ck_assert(is_good);
	ck_assert_uint_eq(found.length, sizeof(value));
	memcpy(&value, found.data, sizeof(value));
	ck_assert_uint_eq(value, m->value);
	ck_assert_int_eq(found.kind, m->kind);
	ck_assert_int_eq(found.age, (now() - m->put) / 1000000000);
}

static void random_step(bool is_small)
{
	switch (below(20)) {
	case 0:
		clock_seconds += below(10000);
		break;
	case 1:
		clock_seconds += below(3);
		break;
	case 2:
		if (below(50) == 0) {
			plait_i_cache_flush(c);
			memset(model, 0, sizeof(model));
		}
		break;
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
	case 8:
		random_put();
		break;
	default:
		random_get(is_small);
	}
}

TEST(random_operations_give_what_a_plain_model_gives, PURE, TIMES(SEEDS))
{
	bool is_small = _i % 2 == 1;

	if (is_small) {
		end();
		begin(1000);
	}
	state = (uint64_t)_i;
	memset(model, 0, sizeof(model));
	for (int i = 0; i < STEPS; i++) {
		random_step(is_small);
		ck_assert_uint_eq(plait_i_cache_bytes(c), heap_live_bytes());
	}
	end();
}
