/*
 * The way between OpenSSL and the transport below.
 */
#ifndef PROTOCOLS_TLS_BIO_H
#define PROTOCOLS_TLS_BIO_H

#include <openssl/bio.h>

#include <plait/transport_ops.h>

/* What OpenSSL reads and writes for one connection. */
struct tls_bio {
	struct plait_transport *above; /* writes to the one below it */
	const unsigned char *next;     /* what has come; borrowed */
	size_t left;
	bool is_over;	 /* nothing comes after that */
	bool is_last;	 /* what is written now, of one flight */
	bool answers;	 /* what is written now answers what is read */
	size_t answered; /* bytes of such, since all was sent */
};

/* Gives the table, which lives as long as any BIO that has it; NULL with an
   error of OpenSSL. */
BIO_METHOD *plait_i_tls_bio_method(void);

/* Gives a BIO for b, which must live as long; NULL with an error of OpenSSL. */
BIO *plait_i_tls_bio_new(const BIO_METHOD *method, struct tls_bio *b);

#endif
