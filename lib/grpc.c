/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/grpc.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "lib/util.h"

/* Of a text that somebody shall read. */
#define MESSAGE_MAX 1000

void grpc_prefix(uint8_t ret[GRPC_PREFIX_SIZE], size_t size)
{
	ret[0] = 0;
	for (size_t i = 1; i < GRPC_PREFIX_SIZE; i++)
		ret[i] = (uint8_t)(size >> (8 * (GRPC_PREFIX_SIZE - 1 - i)));
}

size_t grpc_frame_size(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	size_t message = 0;

	if (size < GRPC_PREFIX_SIZE)
		return 0;
	for (size_t i = 1; i < GRPC_PREFIX_SIZE; i++)
		message = message << 8 | bytes[i];
	return GRPC_PREFIX_SIZE + message;
}

int grpc_frame_read(const void *data, size_t size, const uint8_t **ret, size_t *ret_size,
		    struct err *e)
{
	const uint8_t *bytes = data;

	if (grpc_frame_size(data, size) != size || size == 0)
		return err_set(e, -EBADMSG, "gRPC: %zu bytes that are not one message", size);
	if (bytes[0])
		return err_set(e, -EBADMSG, "gRPC: a compressed message, unasked for");
	*ret = bytes + GRPC_PREFIX_SIZE;
	*ret_size = size - GRPC_PREFIX_SIZE;
	return 0;
}

const char *grpc_header(const char *line, size_t size, const char *name, size_t *ret_size)
{
	size_t name_size = strlen(name);

	if (size <= name_size || line[name_size] != ':' || strncasecmp(line, name, name_size) != 0)
		return NULL;
	line += name_size + 1;
	size -= name_size + 1;
	while (size && isspace((unsigned char)*line)) {
		line++;
		size--;
	}
	while (size && isspace((unsigned char)line[size - 1]))
		size--;
	*ret_size = size;
	return line;
}

int grpc_status_read(const char *text, size_t size)
{
	int status = 0;

	if (size == 0 || size > 4)
		return -1;
	for (size_t i = 0; i < size; i++) {
		if (!isdigit((unsigned char)text[i]))
			return -1;
		status = status * 10 + (text[i] - '0');
	}
	return status;
}

static int hex(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

char *grpc_message_read(const char *text, size_t size)
{
	size_t left = MIN(size, (size_t)MESSAGE_MAX);
	char *message = xcalloc(left + 1, 1);
	char *out = message;

	for (; left; left--, text++) {
		if (*text == '%' && left > 2 && isxdigit((unsigned char)text[1]) &&
		    isxdigit((unsigned char)text[2])) {
			*out = (char)(hex(text[1]) << 4 | hex(text[2]));
			text += 2;
			left -= 2;
		} else {
			*out = *text;
		}
		/* A text ends where it is said to, not before. */
		out += *out != '\0';
	}
	*out = '\0';
	util_make_printable(message);
	return message;
}
