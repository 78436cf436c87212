/*
 * Names of the DNS: text in, text out, and what lies between, the wire form.
 *
 * Every struct dns_name that is not zeroed keeps the limits of RFC 1035, 2.3.4:
 * no label is empty or longer than LABEL_SIZE, and all of it fits NAME_SIZE.
 * The length of a label is no letter, so names are folded and compared without
 * a look at where labels begin.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "reactor/names/name.h"

/* ---- text ---------------------------------------------------------------- */

static bool name_is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

static bool name_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Moves *text, at a digit, past the three digits of a byte; -EINVAL: none. */
static int name_read_number(const char **text)
{
	int byte = 0;

	for (int i = 0; i < 3; i++, (*text)++) {
		if (!name_is_digit(**text))
			return -EINVAL;
		byte = byte * 10 + (**text - '0');
	}
	return byte <= UINT8_MAX ? byte : -EINVAL;
}

/* Moves *text past one byte of a label, and returns the byte; or -EINVAL. */
static int name_read_byte(const char **text)
{
	unsigned char c;

	if (**text == '\\') {
		(*text)++;
		if (name_is_digit(**text))
			return name_read_number(text);
	}
	c = (unsigned char)**text;
	if (name_is_control(c))
		return -EINVAL;
	(*text)++;
	return c;
}

/* Moves *text past a label, to the dot or the end, and puts it behind n. */
static int name_read_label(struct dns_name *n, const char **text)
{
	size_t len = 0;
	unsigned char *label = n->wire + n->length;
	int c;

	while (**text != '.' && **text != '\0') {
		c = name_read_byte(text);
		if (c < 0)
			return c;
		/* The byte that ends all, the root, has room, too. */
		if (len == LABEL_SIZE || n->length + len + 3 > NAME_SIZE)
			return -ENAMETOOLONG;
		label[1 + len++] = (unsigned char)c;
	}
	if (len == 0)
		return -EINVAL;
	label[0] = (unsigned char)len;
	n->length = (unsigned char)(n->length + 1 + len);
	n->labels++;
	return 0;
}

int plait_i_name_parse(struct dns_name *ret, const char *text)
{
	struct dns_name n = { .absolute = strcmp(text, ".") == 0 };
	int err = 0;

	if (*text == '\0')
		return -EINVAL;
	if (n.absolute)
		text++;
	while (err == 0 && *text != '\0') {
		err = name_read_label(&n, &text);
		if (err == 0 && *text == '.') {
			text++;
			n.absolute = *text == '\0';
		}
	}
	n.wire[n.length++] = 0;
	if (err == 0)
		*ret = n;
	return err;
}

/* Writes one byte of a label at to, and returns how much that is. */
static size_t name_write_byte(char *to, unsigned char c)
{
	bool is_visible = c > 0x20 && c < 0x7f;
	size_t len = 0;

	if (!is_visible || strchr("\"$().;@\\", c) != NULL)
		to[len++] = '\\';
	if (is_visible) {
		to[len++] = (char)c;
	} else {
		to[len++] = (char)('0' + c / 100);
		to[len++] = (char)('0' + c / 10 % 10);
		to[len++] = (char)('0' + c % 10);
	}
	return len;
}

int plait_i_name_str(const struct dns_name *n, char *buf, size_t size)
{
	char text[NAME_TEXT_SIZE] = ".";
	size_t len = 0;

	for (const unsigned char *l = n->wire; *l != 0; l += 1 + *l) {
		if (l != n->wire)
			text[len++] = '.';
		for (size_t i = 1; i <= *l; i++)
			len += name_write_byte(text + len, l[i]);
		text[len] = '\0';
	}
	return snprintf(buf, size, "%s", text);
}

bool plait_i_name_plain(const struct dns_name *n, char *buf)
{
	size_t len = 0;

	for (const unsigned char *l = n->wire; *l != 0; l += 1 + *l) {
		for (size_t i = 1; i <= *l; i++) {
			if (l[i] <= ' ' || strchr(".#\x7f", l[i]) != NULL)
				return false;
			buf[len++] = (char)l[i];
		}
		buf[len++] = '.';
	}
	if (len == 0)
		return false;
	buf[len - 1] = '\0';
	return true;
}

/* ---- comparing ----------------------------------------------------------- */

static unsigned char name_fold_byte(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c - 'A' + 'a') : c;
}

static bool name_bytes_equal(const unsigned char *a, const unsigned char *b,
			     size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (name_fold_byte(a[i]) != name_fold_byte(b[i]))
			return false;
	}
	return true;
}

bool plait_i_name_equal(const struct dns_name *a, const struct dns_name *b)
{
	return a->length == b->length &&
	       name_bytes_equal(a->wire, b->wire, a->length);
}

bool plait_i_name_is_under(const struct dns_name *n,
			   const struct dns_name *domain)
{
	const unsigned char *label = n->wire, *end = n->wire + n->length;

	while (end - label > domain->length)
		label += 1 + *label;
	return end - label == domain->length &&
	       name_bytes_equal(label, domain->wire, domain->length);
}

void plait_i_name_fold(struct dns_name *n)
{
	for (size_t i = 0; i < n->length; i++)
		n->wire[i] = name_fold_byte(n->wire[i]);
}

bool plait_i_name_has_control(const struct dns_name *n)
{
	for (const unsigned char *l = n->wire; *l != 0; l += 1 + *l) {
		for (size_t i = 1; i <= *l; i++) {
			if (name_is_control(l[i]))
				return true;
		}
	}
	return false;
}

/* ---- making -------------------------------------------------------------- */

int plait_i_name_append(struct dns_name *n, const struct dns_name *domain)
{
	size_t before = n->length - 1u;

	if (before + domain->length > NAME_SIZE)
		return -ENAMETOOLONG;
	memcpy(n->wire + before, domain->wire, domain->length);
	n->length = (unsigned char)(before + domain->length);
	n->labels = (unsigned char)(n->labels + domain->labels);
	n->absolute = domain->absolute;
	return 0;
}

static int name_reverse_ipv4(struct dns_name *ret, const unsigned char *ip)
{
	char text[NAME_TEXT_SIZE];

	snprintf(text, sizeof(text), "%u.%u.%u.%u.in-addr.arpa", ip[3], ip[2],
		 ip[1], ip[0]);
	return plait_i_name_parse(ret, text);
}

static int name_reverse_ipv6(struct dns_name *ret, const unsigned char *ip)
{
	char text[NAME_TEXT_SIZE];
	size_t len = 0;

	for (int i = 15; i >= 0; i--)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"%x.%x.", ip[i] & 0xfu, ip[i] >> 4u);
	snprintf(text + len, sizeof(text) - len, "ip6.arpa");
	return plait_i_name_parse(ret, text);
}

int plait_i_name_reverse(struct dns_name *ret, const struct plait_address *a)
{
	struct plait_address ip;

	/* All bits of it, but an IPv4 address without its disguise. */
	plait_address_network(a, 32, 128, &ip);
	switch (plait_address_family(&ip)) {
	case AF_INET:
		return name_reverse_ipv4(ret, ip.bytes);
	case AF_INET6:
		return name_reverse_ipv6(ret, ip.bytes);
	}
	return -EAFNOSUPPORT;
}
