/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base64.h"

#include <errno.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *data, size_t size)
{
	const unsigned char *in = data;
	char *text = xmalloc((size + 2) / 3 * 4 + 1);
	char *out = text;

	for (size_t i = 0; i < size; i += 3) {
		uint32_t triple = (uint32_t)in[i] << 16;

		if (i + 1 < size)
			triple |= (uint32_t)in[i + 1] << 8;
		if (i + 2 < size)
			triple |= in[i + 2];
		*out++ = alphabet[triple >> 18];
		*out++ = alphabet[triple >> 12 & 63];
		*out++ = i + 1 < size ? alphabet[triple >> 6 & 63] : '=';
		*out++ = i + 2 < size ? alphabet[triple & 63] : '=';
	}
	*out = '\0';
	return text;
}

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_decode(const char *text, size_t text_size, char **ret, size_t *ret_size, struct err *e)
{
	auto_free char *data = NULL;
	size_t used = 0;

	if (text_size % 4)
		return err_set(e, -EINVAL, "base64 of %zu bytes, must be a multiple of 4",
			       text_size);
	data = xmalloc(text_size / 4 * 3 + 1);
	for (size_t i = 0; i < text_size; i += 4) {
		unsigned pad = 0;
		uint32_t triple = 0;

		if (i + 4 == text_size) {
			pad += text[i + 3] == '=';
			pad += pad && text[i + 2] == '=';
		}
		for (unsigned k = 0; k < 4; k++) {
			int d = k >= 4 - pad ? 0 : digit(text[i + k]);

			if (d < 0)
				return err_set(e, -EINVAL, "base64: stray byte at %zu", i + k);
			triple = triple << 6 | (uint32_t)d;
		}
		/* Bits of a byte that is not there: no encoder leaves any. */
		if (triple & ((1u << 8 * pad) - 1))
			return err_set(e, -EINVAL, "base64: stray bits at its end");
		data[used++] = (char)(triple >> 16);
		if (pad < 2)
			data[used++] = (char)(triple >> 8);
		if (pad < 1)
			data[used++] = (char)triple;
	}
	data[used] = '\0';
	*ret = STEAL(data);
	*ret_size = used;
	return 0;
}
