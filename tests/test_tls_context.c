/*
 * Contexts: what certificates and options they take, and what they say of those
 * that they do not.
 */
#include <stdio.h>

#include <plait/tls.h>

#include "tests/harness.h"
#include "tests/tls_ends.h"
#include "tests/trace.h"

static char why[PLAIT_TLS_WHY_SIZE];

/* Nothing comes of it but a message and an errno. */
static void refused(struct plait_tls_context *c, int err, const char *text)
{
	ck_assert_int_eq(errno, err);
	ck_assert_ptr_null(c);
	ck_assert_ptr_nonnull(strstr(why, text));
	ck_assert_ptr_null(strchr(why, '\n'));
}

static struct plait_tls_context *serve(const char *certificate, const char *key)
{
	struct plait_tls_server_options o = { .certificate =
						      tls_pem(certificate) };

	if (key != NULL)
		o.key = tls_key(key);
	return plait_tls_server_new(&o, why, sizeof(why));
}

/* ---- good ones --------------------------------------------------- */

GROUP("made");

TEST(certificates_of_each_sort_are_taken, PURE)
{
	static const char *const names[] = { "good", "rsa", "chain",
					     "wildcard" };
	struct plait_tls_context *c;

	for (int i = 0; i < N_OF(names); i++) {
		c = serve(names[i], names[i]);
		ck_assert_msg(c != NULL, "%s: %s", names[i], why);
		plait_tls_context_unref(&c);
		ck_assert_ptr_null(c);
	}
}

static char *read_file(const struct plait_tls_pem *pem, size_t *size)
{
	FILE *f = fopen(pem->file, "r");
	char *text = malloc(65536);

	ck_assert(f != NULL && text != NULL);
	*size = fread(text, 1, 65536, f);
	fclose(f);
	return text;
}

/* A key may stand before the certificate, and anything between them. */
TEST(one_text_may_have_both, PURE, TIMES(2))
{
	struct plait_tls_pem certificate = tls_pem("good");
	struct plait_tls_pem key = tls_key("good");
	struct plait_tls_server_options o = { .handshake_timeout = 0 };
	struct plait_tls_context *c;
	size_t a_size, b_size;
	char *a = read_file(_i == 0 ? &certificate : &key, &a_size);
	char *b = read_file(_i == 0 ? &key : &certificate, &b_size);
	char *both = malloc(a_size + b_size + 10);

	memcpy(both, a, a_size);
	memcpy(both + a_size, "\nhello\n", 7);
	memcpy(both + a_size + 7, b, b_size);
	o.certificate = (struct plait_tls_pem){ .bytes = both,
						.size = a_size + 7 + b_size };
	c = plait_tls_server_new(&o, why, sizeof(why));
	ck_assert_msg(c != NULL, "%s", why);
	plait_tls_context_unref(&c);
	free(a);
	free(b);
	free(both);
}

TEST(a_client_needs_no_options, PURE)
{
	struct plait_tls_context *c = plait_tls_client_new(NULL, NULL, 0);

	ck_assert_ptr_nonnull(c);
	ck_assert_ptr_eq(plait_tls_context_ref(c), c);
	plait_tls_context_unref(&(struct plait_tls_context *){ c });
	plait_tls_context_unref(&c);
}

TEST(a_value_owns_its_context, PURE)
{
	struct plait_tls_context *c = plait_tls_client_new(NULL, NULL, 0);
	plait_value v = plait_tls_context_value(&c), w;

	ck_assert_ptr_null(c);
	w = plait_value_ref(&v);
	ck_assert(plait_value_is(&w, &plait_tls_context_type));
	plait_value_free(&v);
	plait_value_free(&w);
	v = plait_tls_context_value(&c);
	ck_assert(plait_value_is_failure(&v));
	plait_value_free(&v);
}

/* ---- bad ones ---------------------------------------------------- */

GROUP("refused");

TEST(a_version_that_is_too_old_or_unknown_is_named, PURE, TIMES(2))
{
	const char *version = _i == 0 ? "TLSv1.1" : "";
	struct plait_tls_client_options o = { .min_version = version };
	char text[PLAIT_TLS_WHY_SIZE];

	snprintf(text, sizeof(text),
		 "min_version %s: it is neither TLSv1.2 nor TLSv1.3", version);
	refused(plait_tls_client_new(&o, why, sizeof(why)), EINVAL, text);
}

TEST(a_certificate_that_is_not_there_is_named, PURE)
{
	refused(serve("none", "good"), ENOENT, "certificate ");
	ck_assert_ptr_nonnull(strstr(why, "none.pem: No such file"));
}

TEST(a_key_that_is_not_there_is_named, PURE)
{
	refused(serve("good", "none"), ENOENT, "none.key: No such file");
}

TEST(a_certificate_without_its_key_is_refused, PURE)
{
	refused(serve("good", NULL), EINVAL,
		"there is no key in it that is known");
}

TEST(the_key_of_another_is_refused, PURE)
{
	refused(serve("good", "wildcard"), EINVAL,
		"it is not the key of the certificate");
}

TEST(the_key_of_another_sort_is_refused, PURE)
{
	refused(serve("good", "rsa"), EINVAL,
		"it is not the key of the certificate");
}

TEST(a_weak_key_is_refused, PURE)
{
	refused(serve("weak-key", "weak-key"), EINVAL, "ee key too small");
}

TEST(a_weak_hash_is_refused, PURE)
{
	refused(serve("weak-hash", "weak-hash"), EINVAL, "md too weak");
}

static struct plait_tls_context *serve_bytes(const char *text)
{
	struct plait_tls_server_options o = {
		.certificate = { .bytes = text, .size = strlen(text) },
		.key = tls_key("good"),
	};

	return plait_tls_server_new(&o, why, sizeof(why));
}

TEST(a_text_without_a_certificate_is_refused, PURE)
{
	refused(serve_bytes("hello\n"), EINVAL,
		"certificate: there is no certificate in it");
}

TEST(a_certificate_that_is_damaged_is_refused, PURE)
{
	refused(serve_bytes("-----BEGIN CERTIFICATE-----\nAAAA\n"
			    "-----END CERTIFICATE-----\n"),
		EINVAL, "certificate: ");
	refused(serve_bytes("-----BEGIN CERTIFICATE-----\nAAAA\n"), EINVAL,
		"certificate: ");
}

/* Nobody is asked for the password. */
TEST(an_encrypted_key_is_refused, PURE)
{
	static const char text[] =
		"-----BEGIN RSA PRIVATE KEY-----\n"
		"Proc-Type: 4,ENCRYPTED\n"
		"DEK-Info: AES-128-CBC,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n\n"
		"AAAAAAAAAAAAAAAAAAAAAA==\n"
		"-----END RSA PRIVATE KEY-----\n";
	struct plait_tls_server_options o = {
		.certificate = tls_pem("good"),
		.key = { .bytes = text, .size = sizeof(text) - 1 },
	};

	refused(plait_tls_server_new(&o, why, sizeof(why)), EINVAL,
		"key: it is encrypted with a password");
}

TEST(authorities_that_are_none_are_refused, PURE)
{
	struct plait_tls_client_options o = { .authorities = tls_key("good") };

	refused(plait_tls_client_new(&o, why, sizeof(why)), EINVAL,
		"authorities ");
	ck_assert_ptr_nonnull(strstr(why, "there is no certificate in it"));
}

TEST(a_directory_is_no_certificate, PURE)
{
	struct plait_tls_server_options o = { .certificate.file = "/" };

	refused(plait_tls_server_new(&o, why, sizeof(why)), EINVAL,
		"certificate /: ");
}

static struct plait_tls_context *server_with(struct plait_tls_server_options *o)
{
	o->certificate = tls_pem("good");
	o->key = tls_key("good");
	return plait_tls_server_new(o, why, sizeof(why));
}

TEST(options_that_do_not_fit_are_refused, PURE)
{
	static const char *const empty[] = { "h2", "", NULL };
	struct plait_tls_server_options o = { .client_may_have_none = true };

	refused(server_with(&o), EINVAL,
		"client_may_have_none needs client_authorities");
	o = (struct plait_tls_server_options){ .alpn = empty };
	refused(server_with(&o), EINVAL,
		"alpn: a name has no or too many bytes");
	o = (struct plait_tls_server_options){ .handshake_timeout = -1 };
	refused(server_with(&o), EINVAL, "handshake_timeout: it is no time");
	o = (struct plait_tls_server_options){ .reserved = { 1 } };
	refused(server_with(&o), EINVAL,
		"reserved words of the options are not zero");
	refused(plait_tls_server_new(NULL, why, sizeof(why)), EINVAL,
		"there are no options");
	o = (struct plait_tls_server_options){ .handshake_timeout = 1 };
	refused(plait_tls_server_new(&o, why, sizeof(why)), EINVAL,
		"a server needs a certificate");
}

TEST(options_of_a_client_that_do_not_fit_are_refused, PURE)
{
	struct plait_tls_client_options o = { .key = tls_key("client") };

	refused(plait_tls_client_new(&o, why, sizeof(why)), EINVAL,
		"there is a key without a certificate");
	o = (struct plait_tls_client_options){ .reserved = { 0, 1 } };
	refused(plait_tls_client_new(&o, why, sizeof(why)), EINVAL,
		"reserved words of the options are not zero");
}

TEST(a_name_that_is_too_long_for_alpn_is_refused, PURE)
{
	char name[257];
	const char *list[] = { name, NULL };
	struct plait_tls_client_options o = { .alpn = list };

	memset(name, 'a', 256);
	name[256] = '\0';
	refused(plait_tls_client_new(&o, why, sizeof(why)), EINVAL, "alpn: ");
}

/* A message that has no room is cut, and needs none. */
TEST(a_message_fits_into_what_there_is, PURE)
{
	char small[8] = "1234567";
	struct plait_tls_server_options o = { .certificate.file = "/none" };

	ck_assert_ptr_null(plait_tls_server_new(&o, small, 5));
	ck_assert_str_eq(small, "cert");
	ck_assert_int_eq(small[5], '6');
	ck_assert_ptr_null(plait_tls_server_new(&o, NULL, 0));
}

/* ---- without memory ---------------------------------------------- */

GROUP("memory");

/* Of this library; of OpenSSL's see test_tls_memory.c. */
TEST(each_allocation_may_fail, PURE)
{
	static const char *const alpn[] = { "h2", NULL };
	struct plait_tls_server_options o = { .alpn = alpn,
					      .client_authorities =
						      tls_pem("authority") };
	struct plait_tls_context *c = NULL;
	unsigned n = 0;

	for (; c == NULL; n++) {
		fault_alloc_at(n, false);
		c = server_with(&o);
		if (c == NULL)
			refused(c, ENOMEM, "Cannot allocate memory");
		ck_assert_int_eq(c == NULL, fault_alloc_reached());
		fault_alloc_off();
	}
	ck_assert_uint_gt(n, 4);
	plait_tls_context_unref(&c);
}
