/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A text that grows at its end. Beside stdio's open_memstream, which clears a page for each and
 * parses a format for each piece, it is for what is built ten thousand times.
 */
#ifndef LIB_BUFFER_H
#define LIB_BUFFER_H

#include "lib/util.h"

/* {0} is empty. `data` is NUL-terminated unless it is NULL. */
struct buffer {
	char *data;
	size_t size;
	size_t cap;
};

void buffer_put(struct buffer *b, const char *bytes, size_t size);
void buffer_puts(struct buffer *b, const char *text);
void buffer_putc(struct buffer *b, char c);
void buffer_printf(struct buffer *b, const char *fmt, ...) PRINTF(2, 3);
/* As a string of JSON, with its quotes; "" for NULL; what is not UTF-8 is made printable. */
void buffer_put_json(struct buffer *b, const char *text);
/* Hands the text to the caller, who frees it; the buffer is empty after it. Never NULL. */
char *buffer_steal(struct buffer *b);
static inline void buffer_fini(struct buffer *b)
{
	free(STEAL(b->data));
	b->size = b->cap = 0;
}
#define auto_buffer __attribute__((cleanup(buffer_fini)))

#endif
