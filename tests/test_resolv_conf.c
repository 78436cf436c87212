/*
 * /etc/resolv.conf: which servers to ask, and how.  Where the expectation is
 * not obvious, it is what getent of the GNU C library 2.36 does.
 */
#include "reactor/names/resolv_conf.h"
#include "tests/harness.h"

static struct resolv_conf *c;

static void read_it(struct resolv_conf_source *from)
{
	from->length = strlen(from->text);
	c = plait_i_resolv_conf_read(from);
	ck_assert_ptr_nonnull(c);
}

static void begin(const char *text)
{
	read_it(&(struct resolv_conf_source){ .text = text });
}

static void end(void)
{
	plait_i_resolv_conf_unref(&c);
	ck_assert_ptr_null(c);
}

/* ---- servers ------------------------------------------------------------- */

static const char *servers(void)
{
	static char text[1000];
	char server[PLAIT_ADDRESS_SIZE], *at = text;

	*at = '\0';
	for (unsigned i = 0; i < c->n_servers; i++) {
		plait_address_str(&c->servers[i], server, sizeof(server));
		at += sprintf(at, "%s%s", i > 0 ? " " : "", server);
	}
	return text;
}

static const struct {
	const char *text, *servers;
} named[] = {
	{ "nameserver 10.0.0.1\n", "10.0.0.1:53" },
	{ "nameserver 10.0.0.1", "10.0.0.1:53" },
	{ "nameserver\t10.0.0.1 10.0.0.2\n", "10.0.0.1:53" },
	{ "nameserver 10.0.0.1 # first\n", "10.0.0.1:53" },
	{ "nameserver 10.0.0.1\r\n", "10.0.0.1:53" },
	{ "nameserver 10.0.0.2\nnameserver ::1\n", "10.0.0.2:53 [::1]:53" },
	{ "nameserver 10.0.0.1\nnameserver 10.0.0.1\n",
	  "10.0.0.1:53 10.0.0.1:53" },
	{ "nameserver fe80::1%7\n", "[fe80::1%7]:53" },
	{ "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n"
	  "nameserver 10.0.0.4\n",
	  "10.0.0.1:53 10.0.0.2:53 10.0.0.3:53" },
	{ "nameserver 10.0.0.1x\nnameserver 10.0.0.2\n", "10.0.0.2:53" },
	{ "nameserver\nnameserver \nnameserver 10.0.0.2\n", "10.0.0.2:53" },
	{ "nameserver localhost\nnameserver 10.0.0.2\n", "10.0.0.2:53" },
	{ "nameserver10.0.0.1\nnameserver 10.0.0.2\n", "10.0.0.2:53" },
	{ "; nameserver 10.0.0.1\n#nameserver 10.0.0.1\n"
	  "nameserver 10.0.0.2\n",
	  "10.0.0.2:53" },
};

TEST(the_first_three_servers_are_asked, PURE, EACH_OF(named))
{
	begin(named[_i].text);
	ck_assert_str_eq(servers(), named[_i].servers);
	end();
}

static const char *const nobody[] = {
	"",
	"options timeout:1\n",
	" nameserver 10.0.0.1\n",
	"NAMESERVER 10.0.0.1\n",
	"nameserver localhost\n",
	"nameserver example.com\n",
	"nameserver 10.0.0.1#53\n",
	"nameserver 10.0.0.1:53\n",
	"nameserver fe80::1%\n",
	"nameserver fe80::1%lo\n", /* nobody knows interfaces here */
};

TEST(without_a_server_this_host_is_asked, PURE, EACH_OF(nobody))
{
	begin(nobody[_i]);
	ck_assert_str_eq(servers(), "127.0.0.1:53");
	end();
}

static unsigned number_of(void *arg, const char *name)
{
	return strcmp(name, arg) == 0 ? 42 : 0;
}

static const struct {
	const char *text, *servers;
} scoped[] = {
	{ "nameserver fe80::1%eth0\n", "[fe80::1%42]:53" },
	{ "nameserver fe80::1%7\n", "[fe80::1%7]:53" },
	/* It cannot be asked, but nobody else is asked instead. */
	{ "nameserver fe80::1%eth1\n", "[fe80::1]:53" },
};

TEST(interfaces_may_have_names, PURE, EACH_OF(scoped))
{
	read_it(&(struct resolv_conf_source){ .text = scoped[_i].text,
					      .interface = number_of,
					      .arg = (void *)"eth0" });
	ck_assert_str_eq(servers(), scoped[_i].servers);
	end();
}

TEST(a_server_of_any_length_is_no_address, PURE)
{
	char text[1000] = "nameserver fe80::1%";

	memset(text + strlen(text), 'x', 500);
	begin(text);
	ck_assert_str_eq(servers(), "127.0.0.1:53");
	end();
}

/* ---- what is searched ---------------------------------------------------- */

static const char *searched(void)
{
	static char text[1000];
	char *at = text;

	*at = '\0';
	for (size_t i = 0; i < c->n_search; i++)
		at += sprintf(at, "%s<%s>", i > 0 ? " " : "", c->search[i]);
	return text;
}

static const struct {
	const char *text, *search;
} lists[] = {
	{ "", "" },
	{ "search a.b\n", "<a.b>" },
	{ "search\ta.b \t c  \n", "<a.b> <c>" },
	{ "domain a.b c\n", "<a.b>" },
	{ "search a.b\ndomain c.d\n", "<c.d>" },
	{ "domain c.d\nsearch a b\n", "<a> <b>" },
	{ "search a\nsearch \n", "<a>" },
	{ "search a\nsearch\ndomain\ndomain \n", "<a>" },
	{ "search a.b. .\n", "<a.b> <>" },
	{ "search a a\n", "<a> <a>" },
	{ "search a # b\n", "<a> <#> <b>" },
	{ "#search a\n; search b\n search c\nSearch d\n", "" },
	{ "search 1 2 3 4 5 6 7 8\n", "<1> <2> <3> <4> <5> <6> <7> <8>" },
};

TEST(the_last_list_is_searched, PURE, EACH_OF(lists))
{
	begin(lists[_i].text);
	ck_assert_str_eq(searched(), lists[_i].search);
	end();
}

static const struct {
	struct resolv_conf_source from;
	const char *search;
} elsewhere[] = {
	{ { .text = "search a\n", .localdomain = "b c" }, "<b> <c>" },
	{ { .text = "search a\n", .localdomain = "" }, "" },
	{ { .text = "search a\n", .host = "me.example.com" }, "<a>" },
	{ { .text = "", .host = "me.example.com" }, "<example.com>" },
	{ { .text = "", .host = "me" }, "" },
	{ { .text = "", .host = "me." }, "" },
	{ { .text = "", .host = "me.b", .localdomain = "c" }, "<c>" },
};

TEST(localdomain_comes_first_and_the_name_of_the_host_last, PURE,
     EACH_OF(elsewhere))
{
	struct resolv_conf_source from = elsewhere[_i].from;

	read_it(&from);
	ck_assert_str_eq(searched(), elsewhere[_i].search);
	end();
}

/* ---- options ------------------------------------------------------------- */

GROUP("options");

TEST(without_options_there_are_defaults, PURE)
{
	begin("nameserver 10.0.0.1\n");
	ck_assert_uint_eq(c->ndots, 1);
	ck_assert_uint_eq(c->timeout, 5);
	ck_assert_uint_eq(c->attempts, 2);
	ck_assert(!c->rotate && !c->edns0 && !c->use_vc && !c->no_aaaa);
	ck_assert(!c->single_request && !c->trust_ad);
	end();
}

static const struct {
	const char *text;
	unsigned ndots, timeout, attempts;
} limits[] = {
	{ "options ndots:3 timeout:7 attempts:4\n", 3, 7, 4 },
	{ "options ndots:3\noptions\ttimeout:7 attempts:4\n", 3, 7, 4 },
	{ "options ndots:0 timeout:0 attempts:0\n", 0, 1, 1 },
	{ "options ndots:15 timeout:30 attempts:5\n", 15, 30, 5 },
	{ "options ndots:16 timeout:31 attempts:6\n", 15, 30, 5 },
	{ "options ndots:99999999999 timeout:4294967297\n", 15, 30, 2 },
	{ "options ndots:3x timeout:7.5 attempts:4,\n", 3, 7, 4 },
	{ "options ndots: timeout:x attempts:-1\n", 1, 5, 2 },
	{ "options NDOTS:3 ndots=3 ndots3 timeout :3\n", 1, 5, 2 },
	{ "options ndots:3 ndots:2\n", 2, 5, 2 },
};

TEST(numbers_are_cut_to_their_limits, PURE, EACH_OF(limits))
{
	begin(limits[_i].text);
	ck_assert_uint_eq(c->ndots, limits[_i].ndots);
	ck_assert_uint_eq(c->timeout, limits[_i].timeout);
	ck_assert_uint_eq(c->attempts, limits[_i].attempts);
	end();
}

TEST(flags_are_set_by_their_names, PURE)
{
	begin("options rotate edns0 use-vc\noptions single-request no-aaaa\n"
	      "options trust-ad\n");
	ck_assert(c->rotate && c->edns0 && c->use_vc && c->single_request);
	ck_assert(c->no_aaaa && c->trust_ad);
	end();
}

TEST(what_is_not_known_is_ignored, PURE)
{
	begin("options debug inet6 Rotate edns00 use_vc no-aaaa:1 :\n"
	      "optionsrotate\nsortlist 10.0.0.0\nlookup file bind\n\n\n"
	      "options single-request-reopen\n");
	ck_assert(!c->rotate && !c->edns0 && !c->use_vc && !c->no_aaaa);
	ck_assert(!c->single_request && !c->trust_ad);
	end();
}

TEST(options_of_the_environment_come_last, PURE)
{
	read_it(&(struct resolv_conf_source){
		.text = "options ndots:3 timeout:7\n",
		.res_options = "ndots:2 rotate" });
	ck_assert_uint_eq(c->ndots, 2);
	ck_assert_uint_eq(c->timeout, 7);
	ck_assert(c->rotate);
	end();
}

/* ---- memory -------------------------------------------------------------- */

TEST(settings_last_as_long_as_anybody_holds_them, PURE)
{
	struct resolv_conf *other;

	begin("search a\n");
	other = plait_i_resolv_conf_ref(c);
	ck_assert_ptr_eq(other, c);
	end();
	ck_assert_uint_eq(heap_live(), 1);
	ck_assert_str_eq(other->search[0], "a");
	plait_i_resolv_conf_unref(&other);
	plait_i_resolv_conf_unref(&other);
}

TEST(one_allocation_is_enough_and_may_fail, PURE)
{
	unsigned long before = heap_calls();
	const struct resolv_conf_source from = { .text = "search a b\n",
						 .length = 11 };

	begin("nameserver ::1\nsearch a b c\noptions rotate\n");
	ck_assert_uint_eq(heap_calls(), before + 1);
	end();
	fault_alloc_at(0, false);
	ck_assert_ptr_null(plait_i_resolv_conf_read(&from));
}

TEST(a_nul_ends_its_line, PURE)
{
	static const char text[] = "search a\0b\nnameserver 10.0.0.1\0x\n";

	c = plait_i_resolv_conf_read(&(struct resolv_conf_source){
		.text = text, .length = sizeof(text) - 1 });
	ck_assert_str_eq(searched(), "<a>");
	ck_assert_str_eq(servers(), "10.0.0.1:53");
	end();
}
