/*
 * Buffers: bounded, shared read-only, linear in cost, and unharmed by sizes
 * that don't fit into a size_t or by having no memory.
 */
#include <limits.h>

#include <plait/plait.h>

#include "tests/child.h"
#include "tests/harness.h"

static void assert_holds(const struct plait_buf *b, const char *text)
{
	ck_assert_uint_eq(plait_buf_size(b), strlen(text));
	ck_assert_int_eq(memcmp(plait_buf_data(b), text, strlen(text)), 0);
}

GROUP("bytes");

TEST(new_one_is_empty_and_holds_no_room, PURE)
{
	struct plait_buf *b = plait_buf_new(1000000);

	ck_assert_uint_eq(plait_buf_size(b), 0);
	ck_assert_uint_eq(plait_buf_max(b), 1000000);
	ck_assert_ptr_nonnull(plait_buf_data(b));
	ck_assert_uint_eq(heap_live(), 1);
	ck_assert_uint_lt(heap_live_bytes(), 100);
	plait_buf_unref(&b);
	ck_assert_ptr_null(b);
}

TEST(what_is_appended_is_there_in_order, PURE)
{
	struct plait_buf *b = plait_buf_new(PLAIT_BUF_UNBOUNDED);

	ck_assert_int_eq(plait_buf_append(b, "Once upon", 9), 0);
	ck_assert_int_eq(plait_buf_append(b, NULL, 0), 0);
	ck_assert_int_eq(plait_buf_append(b, " a midnight", 11), 0);
	assert_holds(b, "Once upon a midnight");
	plait_buf_unref(&b);
}

TEST(maximum_is_held_to_the_byte, PURE)
{
	struct plait_buf *b = plait_buf_new(4);

	ck_assert_int_eq(plait_buf_append(b, "abcde", 5), -EMSGSIZE);
	ck_assert_int_eq(plait_buf_append(b, "abc", 3), 0);
	ck_assert_int_eq(plait_buf_append(b, "de", 2), -EMSGSIZE);
	ck_assert_int_eq(plait_buf_append(b, "d", 1), 0);
	ck_assert_int_eq(plait_buf_append(b, "e", 1), -EMSGSIZE);
	assert_holds(b, "abcd");
	ck_assert_int_eq(plait_buf_consume(b, 2), 0);
	ck_assert_int_eq(plait_buf_append(b, "ef", 2), 0);
	assert_holds(b, "cdef");
	plait_buf_unref(&b);
}

TEST(printf_writes_what_fits_exactly, PURE)
{
	struct plait_buf *b = plait_buf_new(9);

	ck_assert_int_eq(plait_buf_printf(b, "%d:%s", 42, "poem"), 0);
	ck_assert_int_eq(plait_buf_printf(b, "%d", 100), -EMSGSIZE);
	ck_assert_int_eq(plait_buf_printf(b, "%d", 10), 0);
	assert_holds(b, "42:poem10");
	plait_buf_unref(&b);
}

TEST(what_printf_refuses_is_einval, PURE)
{
	static const wchar_t no_character[] = { 0x7fffffff, 0 };
	struct plait_buf *b = plait_buf_new(9);

	ck_assert_int_eq(plait_buf_printf(b, "%ls", no_character), -EINVAL);
	ck_assert_uint_eq(plait_buf_size(b), 0);
	plait_buf_unref(&b);
}

TEST(reserved_room_is_the_callers_until_committed, PURE)
{
	struct plait_buf *b = plait_buf_new(100);
	void *room;

	plait_buf_append(b, "a", 1);
	ck_assert_int_eq(plait_buf_reserve(b, 50, &room), 0);
	memset(room, 'x', 50);
	plait_buf_commit(b, 3);
	assert_holds(b, "axxx");
	ck_assert_int_eq(plait_buf_reserve(b, 0, &room), 0);
	ck_assert_ptr_nonnull(room);
	plait_buf_commit(b, 0);
	assert_holds(b, "axxx");
	plait_buf_unref(&b);
}

TEST(room_that_is_there_needs_no_memory, PURE)
{
	struct plait_buf *b = plait_buf_copy("poem", 4);
	void *room;

	fault_alloc_at(0, true);
	ck_assert_int_eq(plait_buf_reserve(b, 0, &room), 0);
	ck_assert(!fault_alloc_reached());
	fault_alloc_off();
	plait_buf_unref(&b);
}

static void commit_too_much(void *arg)
{
	void *room;

	plait_buf_reserve(arg, 2, &room);
	plait_buf_commit(arg, 3);
}

static void commit_after_consume(void *arg)
{
	void *room;

	plait_buf_reserve(arg, 2, &room);
	plait_buf_consume(arg, 1);
	plait_buf_commit(arg, 2);
}

static void commit_when_shared(void *arg)
{
	struct plait_buf *b;
	void *room;

	plait_buf_reserve(arg, 2, &room);
	b = plait_buf_ref(arg);
	plait_buf_commit(b, 2);
}

static void commit_after_a_reference(void *arg)
{
	struct plait_buf *b = arg, *c;
	void *room;

	plait_buf_reserve(b, 2, &room);
	c = plait_buf_ref(b);
	plait_buf_unref(&c);
	plait_buf_commit(b, 1);
}

/* Referring is right at any time; it is the commit that aborts. */
TEST(reference_gives_reserved_room_back, PURE)
{
	struct plait_buf *b = plait_buf_new(10), *c;
	void *room;

	assert_aborts(commit_after_a_reference, b, "len <= b->reserved");
	ck_assert_int_eq(plait_buf_reserve(b, 2, &room), 0);
	c = plait_buf_ref(b);
	plait_buf_unref(&c);
	plait_buf_commit(b, 0);
	plait_buf_unref(&b);
}

TEST(committing_what_was_not_reserved_aborts, PURE)
{
	struct plait_buf *b = plait_buf_new(100);

	plait_buf_append(b, "abc", 3);
	assert_aborts(commit_too_much, b, "reserved");
	assert_aborts(commit_after_consume, b, "reserved");
	assert_aborts(commit_when_shared, b, "reserved");
	plait_buf_unref(&b);
}

TEST(consuming_drops_the_front, PURE)
{
	struct plait_buf *b = plait_buf_copy("abcdef", 6);

	ck_assert_int_eq(plait_buf_consume(b, 2), 0);
	assert_holds(b, "cdef");
	ck_assert_int_eq(plait_buf_consume(b, 5), -EINVAL);
	assert_holds(b, "cdef");
	ck_assert_int_eq(plait_buf_consume(b, 4), 0);
	ck_assert_uint_eq(plait_buf_size(b), 0);
	ck_assert_int_eq(plait_buf_consume(b, 0), 0);
	plait_buf_unref(&b);
}

TEST(copy_is_one_allocation_with_no_room_for_more, PURE)
{
	unsigned long calls = heap_calls();
	struct plait_buf *b = plait_buf_copy("poem", 4);

	ck_assert_uint_eq(heap_calls(), calls + 1);
	ck_assert_uint_eq(plait_buf_max(b), 4);
	assert_holds(b, "poem");
	ck_assert_int_eq(plait_buf_append(b, "s", 1), -EMSGSIZE);
	plait_buf_unref(&b);
}

TEST(copy_of_nothing_is_an_empty_buffer, PURE)
{
	struct plait_buf *b = plait_buf_copy(NULL, 0);

	ck_assert_uint_eq(plait_buf_size(b), 0);
	ck_assert_ptr_nonnull(plait_buf_data(b));
	plait_buf_unref(&b);
}

GROUP("shared");

TEST(shared_buffer_is_read_only, PURE)
{
	struct plait_buf *b = plait_buf_copy("poem", 4);
	struct plait_buf *c = plait_buf_ref(b);
	void *room;

	ck_assert_int_eq(plait_buf_append(b, "", 0), -EBUSY);
	ck_assert_int_eq(plait_buf_printf(b, "x"), -EBUSY);
	ck_assert_int_eq(plait_buf_reserve(c, 1, &room), -EBUSY);
	ck_assert_int_eq(plait_buf_consume(c, 1), -EBUSY);
	assert_holds(b, "poem");
	plait_buf_unref(&b);
	ck_assert_int_eq(plait_buf_consume(c, 1), 0);
	assert_holds(c, "oem");
	plait_buf_unref(&c);
	plait_buf_unref(&c);
}

TEST(buffer_as_a_value_ends_with_it, PURE)
{
	struct plait_buf *b = plait_buf_copy("poem", 4);
	plait_value v = plait_buf_value(plait_buf_ref(b));

	ck_assert_ptr_eq(plait_value_buf(&v), b);
	plait_value_free(&v);
	assert_holds(b, "poem");
	plait_buf_unref(&b);
}

TEST(buffer_as_a_value_can_be_shared, PURE)
{
	plait_value v = plait_buf_value(plait_buf_copy("poem", 4));
	plait_value other = plait_value_ref(&v);

	plait_value_free(&v);
	ck_assert_uint_eq(plait_buf_size(plait_value_buf(&other)), 4);
	plait_value_free(&other);
}

TEST(text_of_a_buffer_is_its_bytes, PURE)
{
	plait_value v = plait_buf_value(plait_buf_copy("midnight", 8));
	char buf[9];

	ck_assert_int_eq(plait_value_str(&v, buf, sizeof(buf)), 8);
	ck_assert_str_eq(buf, "midnight");
	ck_assert_int_eq(plait_value_str(&v, buf, 4), 8);
	ck_assert_str_eq(buf, "mid");
	ck_assert_int_eq(plait_value_str(&v, NULL, 0), 8);
	plait_value_free(&v);
}

GROUP("limits");

TEST(sizes_that_would_wrap_are_refused, PURE, TIMES(5))
{
	static const size_t huge[] = { SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 100,
				       SIZE_MAX / 2 + 1, SIZE_MAX / 2 };
	struct plait_buf *b = plait_buf_new(SIZE_MAX);
	void *room;

	ck_assert_uint_eq(plait_buf_max(b), PLAIT_BUF_UNBOUNDED);
	plait_buf_append(b, "abc", 3);
	ck_assert_int_eq(plait_buf_append(b, "", huge[_i]), -EMSGSIZE);
	ck_assert_int_eq(plait_buf_reserve(b, huge[_i], &room), -EMSGSIZE);
	ck_assert_int_eq(plait_buf_consume(b, huge[_i]), -EINVAL);
	assert_holds(b, "abc");
	plait_buf_unref(&b);
}

TEST(copy_too_large_to_exist_is_no_memory, PURE)
{
	errno = 0;
	ck_assert_ptr_null(plait_buf_copy("", SIZE_MAX));
	ck_assert_int_eq(errno, ENOMEM);
	errno = 0;
	ck_assert_ptr_null(plait_buf_copy("", PLAIT_BUF_UNBOUNDED + 1));
	ck_assert_int_eq(errno, ENOMEM);
}

TEST(growth_that_no_memory_could_hold_is_an_error, PURE)
{
	struct plait_buf *b = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	void *room;

	plait_buf_append(b, "abc", 3);
	fault_alloc_at(0, true);
	ck_assert_int_eq(plait_buf_reserve(b, PLAIT_BUF_UNBOUNDED - 3, &room),
			 -ENOMEM);
	fault_alloc_off();
	assert_holds(b, "abc");
	plait_buf_unref(&b);
}

TEST(without_memory_nothing_is_made_and_nothing_lost, PURE)
{
	struct plait_buf *b = plait_buf_new(100);
	plait_value v;

	plait_buf_append(b, "abc", 3);
	fault_alloc_at(0, true);
	ck_assert_ptr_null(plait_buf_new(10));
	ck_assert_ptr_null(plait_buf_copy("x", 1));
	ck_assert_int_eq(plait_buf_append(b, "defghijk", 8), -ENOMEM);
	ck_assert_int_eq(plait_buf_printf(b, "%050d", 1), -ENOMEM);
	v = plait_buf_value(plait_buf_copy("x", 1));
	fault_alloc_off();
	assert_holds(b, "abc");
	ck_assert(plait_failure_check(plait_value_failure(&v),
				      &plait_error_no_memory));
	ck_assert_int_eq(plait_buf_append(b, "defghijk", 8), 0);
	assert_holds(b, "abcdefghijk");
	plait_buf_unref(&b);
}

GROUP("cost");

TEST(growing_asks_for_memory_seldom, PURE)
{
	struct plait_buf *b = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	unsigned long calls = heap_calls();

	for (int i = 0; i < 1000000; i++)
		plait_buf_append(b, "x", 1);
	ck_assert_uint_le(heap_calls() - calls, 25);
	ck_assert_uint_eq(plait_buf_size(b), 1000000);
	plait_buf_unref(&b);
}

/* The least that ever was free for a buffer of this maximum. */
static size_t overhead(void)
{
	struct plait_buf *b = plait_buf_new(0);
	size_t bytes = heap_live_bytes();

	plait_buf_unref(&b);
	return bytes;
}

TEST(filled_to_its_maximum_it_takes_no_more, PURE)
{
	size_t least = overhead();
	struct plait_buf *b = plait_buf_new(1000);

	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(plait_buf_append(b, "x", 1), 0);
	ck_assert_uint_le(heap_live_bytes(), least + 1000 + 1);
	plait_buf_unref(&b);
}

/*
 * A full window of that many bytes slides over the input.  Every move of
 * bytes shows as a change of where the data lie; what they may cost is told
 * by how often that happens.
 */
static unsigned long slide(size_t window, size_t input)
{
	struct plait_buf *b = plait_buf_new(window);
	const unsigned char *before, *after;
	unsigned long moved = 0;
	unsigned char c;

	for (size_t i = 0; i < input; i++) {
		c = (unsigned char)(i % 251);
		if (plait_buf_size(b) == window) {
			before = plait_buf_data(b);
			ck_assert_uint_eq(*before, (i - window) % 251);
			plait_buf_consume(b, 1);
			ck_assert_ptr_eq(plait_buf_data(b), before + 1);
		}
		before = plait_buf_data(b);
		ck_assert_int_eq(plait_buf_append(b, &c, 1), 0);
		after = plait_buf_data(b);
		if (before != after)
			moved += plait_buf_size(b);
	}
	plait_buf_unref(&b);
	return moved;
}

TEST(sliding_a_full_buffer_costs_a_move_a_byte, PURE, TIMES(6))
{
	static const size_t windows[] = { 2, 3, 4, 100, 1000, 65536 };
	size_t window = windows[_i];
	size_t input = 20 * window;

	ck_assert_uint_le(slide(window, input), 3 * input);
}

TEST(sliding_takes_twice_the_maximum_at_most, PURE)
{
	size_t least = overhead();
	struct plait_buf *b = plait_buf_new(1000);

	for (int i = 0; i < 100000; i++) {
		if (plait_buf_size(b) == 1000)
			plait_buf_consume(b, 1 + (size_t)i % 7);
		plait_buf_append(b, "x", 1);
		ck_assert_uint_le(heap_live_bytes(), least + 2 * 1000 + 1);
	}
	plait_buf_unref(&b);
}

/* The same random steps on a buffer and on a plain array. */
TEST(random_steps_give_what_an_array_gives, PURE, TIMES(8))
{
	enum { MAX = 300 };
	unsigned char model[MAX], piece[MAX];
	struct plait_buf *b = plait_buf_new(MAX);
	size_t size = 0, len;
	int want;

	srand((unsigned)_i);
	for (int i = 0; i < 3000; i++) {
		len = (size_t)(rand() % 120);
		if (rand() % 2) {
			memset(piece, rand(), len);
			want = len > MAX - size ? -EMSGSIZE : 0;
			ck_assert_int_eq(plait_buf_append(b, piece, len), want);
			if (want == 0) {
				memcpy(model + size, piece, len);
				size += len;
			}
		} else {
			want = len > size ? -EINVAL : 0;
			ck_assert_int_eq(plait_buf_consume(b, len), want);
			if (want == 0) {
				size -= len;
				memmove(model, model + len, size);
			}
		}
		ck_assert_uint_eq(plait_buf_size(b), size);
		ck_assert_int_eq(memcmp(plait_buf_data(b), model, size), 0);
	}
	plait_buf_unref(&b);
}
