/*
 * The BIO of a connection.  OpenSSL reads straight from the bytes that the
 * transport below has delivered; when they are used up, it is told to come
 * again.  What it writes is queued in the transport below, which never refuses,
 * and which sends once, when the callback has returned: so all that a callback
 * causes, however many records it is, leaves in one system call.  The last of
 * several records need not be copied for that: it is sent with the others while
 * it lies in OpenSSL's buffer.
 */
#include <string.h>

#include "protocols/tls/bio.h"

static int tls_bio_read(BIO *bio, char *data, size_t len, size_t *ret)
{
	struct tls_bio *b = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (b->left == 0) {
		if (!b->is_over)
			BIO_set_retry_read(bio);
		return 0;
	}
	if (len > b->left)
		len = b->left;
	memcpy(data, b->next, len);
	b->next += len;
	b->left -= len;
	*ret = len;
	return 1;
}

static int tls_bio_write(BIO *bio, const char *data, size_t len, size_t *ret)
{
	struct tls_bio *b = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (b->answers)
		b->answered += len;
	if (b->is_last)
		plait_transport_send_below(b->above, data, len);
	else
		plait_transport_write(plait_transport_below(b->above), data,
				      len);
	*ret = len;
	return 1;
}

static long tls_bio_ctrl(BIO *bio, int what, long number, void *ptr)
{
	const struct tls_bio *b = BIO_get_data(bio);

	switch (what) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return b->left == 0 && b->is_over;
	default:
		return 0;
	}
}

BIO_METHOD *plait_i_tls_bio_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "plait");

	if (m != NULL && BIO_meth_set_read_ex(m, tls_bio_read) &&
	    BIO_meth_set_write_ex(m, tls_bio_write) &&
	    BIO_meth_set_ctrl(m, tls_bio_ctrl))
		return m;
	BIO_meth_free(m);
	return NULL;
}

BIO *plait_i_tls_bio_new(const BIO_METHOD *method, struct tls_bio *b)
{
	BIO *bio = BIO_new(method);

	if (bio == NULL)
		return NULL;
	BIO_set_data(bio, b);
	BIO_set_init(bio, 1);
	return bio;
}
