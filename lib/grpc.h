/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC's frames and its status, as they stand in HTTP/2. Pure. Source: gRPC's PROTOCOL-HTTP2.md.
 *
 * A message is a byte that is 0 (1: compressed, which nobody was asked for), its size in four
 * bytes, big-endian, and so many bytes.
 */
#ifndef LIB_GRPC_H
#define LIB_GRPC_H

#include "lib/err.h"

#define GRPC_PREFIX_SIZE 5

/* Writes the prefix of a message of this size. */
void grpc_prefix(uint8_t ret[GRPC_PREFIX_SIZE], size_t size);
/*
 * The size of the frame that these bytes begin with, prefix and all, 0 if they are too few to tell.
 * It may be more than are there.
 */
size_t grpc_frame_size(const void *data, size_t size);
/*
 * The one message that `data` is, borrowed. -EBADMSG: it is none, or more than one, or compressed.
 */
int grpc_frame_read(const void *data, size_t size, const uint8_t **ret, size_t *ret_size,
		    struct err *e) MUST_CHECK;

/* The value of a header line if this is its name, which is in small letters; NULL: it is another. Not
 * NUL-terminated: *ret_size. */
const char *grpc_header(const char *line, size_t size, const char *name, size_t *ret_size);
/* The number in a grpc-status, -1 if it is none. */
int grpc_status_read(const char *text, size_t size);
/* A grpc-message without its percents, in one line of what can be printed; caller frees. */
char *grpc_message_read(const char *text, size_t size);

#endif
