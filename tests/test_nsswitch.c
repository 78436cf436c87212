/*
 * /etc/nsswitch.conf: what is asked in which order.  Where the expectation is
 * not obvious, it is what getent of the GNU C library 2.36 does.
 */
#include "reactor/names/nsswitch.h"
#include "tests/harness.h"

/*
 * The steps as text: `files' or `dns', and behind each the first letters of
 * what ends the lookup there: Success, Notfound, Unavail, Tryagain.
 */
static const char *steps_of(const char *text)
{
	static const char letters[] = "SNUT";
	static char steps[500];
	struct nsswitch s;
	char *at = steps;

	plait_i_nsswitch_read(text, strlen(text), &s);
	*at = '\0';
	for (size_t i = 0; i < s.n; i++) {
		at += sprintf(at, "%s%s:", i > 0 ? " " : "",
			      s.steps[i].source == NSSWITCH_FILES ? "files"
								  : "dns");
		for (int k = 0; k < NSSWITCH_N_STATUS; k++)
			if (s.steps[i].ends[k])
				at += sprintf(at, "%c", letters[k]);
	}
	return steps;
}

#define DEFAULT "files:S dns:S"

static const struct {
	const char *text, *steps;
} orders[] = {
	{ "hosts: files dns\n", "files:S dns:S" },
	{ "hosts: dns files\n", "dns:S files:S" },
	{ "hosts:\tfiles\n", "files:S" },
	{ "hosts:files", "files:S" },
	{ "  hosts: dns\n", "dns:S" },
	{ "hosts : dns\n", "dns:S" },
	{ "hosts dns\n", "dns:S" },
	{ "hosts: dns\r\n", "dns:S" },
	{ "passwd: files\nhosts: dns\ngroup: files\n", "dns:S" },
	{ "hosts: files dns files\n", "files:S dns:S files:S" },
	{ "hosts: dns\nhosts: files\n", "files:S" },
	{ "hosts:\n", "" },
};

TEST(the_line_of_hosts_says_the_order, PURE, EACH_OF(orders))
{
	ck_assert_str_eq(steps_of(orders[_i].text), orders[_i].steps);
}

static const char *const without[] = {
	"",
	"\n",
	"passwd: dns\n",
	"# hosts: dns\n",
	"#hosts: dns\n",
	"Hosts: dns\n",
	"hostsx: dns\n",
	"host: dns\n",
};

TEST(without_that_line_files_come_first, PURE, EACH_OF(without))
{
	ck_assert_str_eq(steps_of(without[_i]), DEFAULT);
}

static const struct {
	const char *text, *steps;
} actions[] = {
	{ "hosts: files [NOTFOUND=return] dns\n", "files:SN dns:S" },
	{ "hosts: files[NOTFOUND=return]dns\n", "files:SN dns:S" },
	{ "hosts: files [ notfound = RETURN ] dns\n", "files:SN dns:S" },
	{ "hosts: files [NOTFOUND=return UNAVAIL=return] dns\n",
	  "files:SNU dns:S" },
	{ "hosts: files [!UNAVAIL=return] dns\n", "files:SNT dns:S" },
	{ "hosts: files [!SUCCESS=return] dns\n", "files:SNUT dns:S" },
	{ "hosts: files [SUCCESS=continue] dns\n", "files: dns:S" },
	{ "hosts: dns [SUCCESS=merge] files\n", "dns:S files:S" },
	{ "hosts: dns [TRYAGAIN=return] files\n", "dns:ST files:S" },
	{ "hosts: dns [!SUCCESS=return NOTFOUND=continue] files\n",
	  "dns:SUT files:S" },
};

TEST(what_is_in_brackets_says_which_status_ends_it, PURE, EACH_OF(actions))
{
	ck_assert_str_eq(steps_of(actions[_i].text), actions[_i].steps);
}

static const struct {
	const char *text, *steps;
} unknown[] = {
	{ "hosts: files mymachines dns myhostname\n", "files:S dns:S" },
	{ "hosts: files mdns4_minimal [NOTFOUND=return] dns\n",
	  "files:S dns:S" },
	{ "hosts: resolve [!UNAVAIL=return] files dns\n", "files:S dns:S" },
	{ "hosts: files resolve [UNAVAIL=return] dns\n", "files:S" },
	{ "hosts: FILES dns\n", "dns:S" },
	{ "hosts: files # dns\n", "files:S dns:S" },
	{ "hosts: resolve\n", "" },
};

TEST(a_source_that_there_is_not_is_unavailable, PURE, EACH_OF(unknown))
{
	ck_assert_str_eq(steps_of(unknown[_i].text), unknown[_i].steps);
}

static const char *const malformed[] = {
	"hosts: dns [\n",
	"hosts: dns []\n",
	"hosts: dns [NOTFOUND\n",
	"hosts: dns [NOTFOUND=]\n",
	"hosts: dns [NOTFOUND=return\n",
	"hosts: dns [NOTFOUND=perhaps]\n",
	"hosts: dns [NOTFOUND=ret]\n",
	"hosts: dns [NOTHING=return]\n",
	"hosts: dns [=return]\n",
	"hosts: dns [!]\n",
	"hosts: dns [NOTFOUND return]\n",
};

TEST(a_malformed_line_is_skipped, PURE, EACH_OF(malformed))
{
	char both[100] = "hosts: files\n";

	ck_assert_str_eq(steps_of(malformed[_i]), DEFAULT);
	ck_assert_str_eq(steps_of(strcat(both, malformed[_i])), "files:S");
}

TEST(a_bracket_without_a_source_ends_the_line, PURE)
{
	ck_assert_str_eq(steps_of("hosts: [NOTFOUND=return] files dns\n"), "");
	ck_assert_str_eq(
		steps_of("hosts: files [NOTFOUND=return] [!NOTFOUND=return] "
			 "dns\n"),
		"files:SN");
}

TEST(further_sources_are_ignored, PURE)
{
	char text[1000] = "hosts:";
	struct nsswitch s;

	for (int i = 0; i < 2 * NSSWITCH_STEPS; i++)
		strcat(text, i % 2 ? " dns" : " files");
	plait_i_nsswitch_read(text, strlen(text), &s);
	ck_assert_uint_eq(s.n, NSSWITCH_STEPS);
	ck_assert_int_eq(s.steps[NSSWITCH_STEPS - 1].source, NSSWITCH_DNS);
}

TEST(a_nul_ends_its_line, PURE)
{
	static const char text[] = "hosts: files \0dns\n";
	struct nsswitch s;

	plait_i_nsswitch_read(text, sizeof(text) - 1, &s);
	ck_assert_uint_eq(s.n, 1);
	plait_i_nsswitch_read(NULL, 0, &s);
	ck_assert_uint_eq(s.n, 2);
}
