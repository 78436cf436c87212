/*
 * The intrusive list: order, and that it remembers who is in it.
 */
#include <plait/plait.h>

#include "tests/child.h"
#include "tests/harness.h"

enum { N = 5 };

struct item {
	int n;
	struct plait_list link;
};

static struct item items[N];
static struct plait_list head;

static void setup(void)
{
	plait_list_init(&head);
	for (int i = 0; i < N; i++)
		items[i] = (struct item){ .n = i };
}

/* The numbers of the items in the list, as digits. */
static const char *digits(const struct plait_list *h)
{
	static char text[2 * N + 1];
	const struct plait_list *l;
	int n = 0;

	plait_list_for_each (l, h)
		text[n++] =
			(char)('0' + plait_container(l, struct item, link)->n);
	text[n] = '\0';
	n = (int)strlen(text);
	for (l = h->prev; l != h; l = l->prev)
		ck_assert_int_eq(
			text[--n],
			'0' + plait_container(l, struct item, link)->n);
	return text;
}

static void append(int from, int to)
{
	for (int i = from; i < to; i++)
		plait_list_append(&head, &items[i].link);
}

GROUP("list", .setup = setup);

TEST(initialised_head_is_empty, PURE)
{
	ck_assert(plait_list_is_empty(&head));
	ck_assert_ptr_null(plait_list_first(&head));
	ck_assert_str_eq(digits(&head), "");
}

TEST(zeroed_node_is_in_no_list, PURE)
{
	ck_assert(!plait_list_is_linked(&items[0].link));
	plait_list_remove(&items[0].link);
	ck_assert(!plait_list_is_linked(&items[0].link));
}

TEST(appending_keeps_the_order, PURE)
{
	append(0, N);
	ck_assert_str_eq(digits(&head), "01234");
	ck_assert_ptr_eq(plait_list_first(&head), &items[0].link);
	ck_assert(plait_list_is_linked(&items[4].link));
}

TEST(inserting_puts_before, PURE)
{
	append(0, 3);
	plait_list_insert(&items[1].link, &items[3].link);
	plait_list_insert(&items[0].link, &items[4].link);
	ck_assert_str_eq(digits(&head), "40312");
}

TEST(removing_twice_is_nothing, PURE)
{
	append(0, 3);
	plait_list_remove(&items[1].link);
	plait_list_remove(&items[1].link);
	ck_assert(!plait_list_is_linked(&items[1].link));
	ck_assert_str_eq(digits(&head), "02");
	plait_list_remove(&items[0].link);
	plait_list_remove(&items[2].link);
	ck_assert(plait_list_is_empty(&head));
}

TEST(removed_node_may_come_again, PURE)
{
	append(0, 3);
	plait_list_remove(&items[0].link);
	append(0, 1);
	ck_assert_str_eq(digits(&head), "120");
}

static void insert_again(void *arg)
{
	append(1, 2);
}

TEST(inserting_what_is_in_a_list_aborts, PURE)
{
	append(0, 3);
	assert_aborts(insert_again, NULL, "!plait_list_is_linked(l)");
}

TEST(moving_takes_all_to_the_end, PURE)
{
	struct plait_list other;

	plait_list_init(&other);
	append(0, 3);
	plait_list_append(&other, &items[3].link);
	plait_list_append(&other, &items[4].link);
	plait_list_move(&other, &head);
	ck_assert_str_eq(digits(&other), "34012");
	ck_assert(plait_list_is_empty(&head));
	plait_list_move(&other, &head);
	ck_assert_str_eq(digits(&other), "34012");
	plait_list_move(&head, &other);
	ck_assert_str_eq(digits(&head), "34012");
	ck_assert(plait_list_is_empty(&other));
}

TEST(safe_walk_may_remove_what_it_visits, PURE)
{
	struct plait_list *l, *following;

	append(0, N);
	plait_list_for_each_safe (l, following, &head)
		if (plait_container(l, struct item, link)->n % 2 == 0)
			plait_list_remove(l);
	ck_assert_str_eq(digits(&head), "13");
}

TEST(next_goes_from_node_to_node_and_ends, PURE)
{
	const struct plait_list *l;
	int n = 0;

	append(0, N);
	for (l = plait_list_first(&head); l != NULL;
	     l = plait_list_next(&head, l))
		ck_assert_int_eq(plait_container(l, struct item, link)->n, n++);
	ck_assert_int_eq(n, N);
}
