/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of vici, strongSwan's control protocol: a tree of sections, lists and values, written and
 * read. Pure; who sends them is lib/vici.h.
 *
 * Source: strongSwan, src/libcharon/plugins/vici/README.md (elements: one byte of type, names with one
 * byte of length, values with two in network order).
 */
#ifndef LIB_VICI_MESSAGE_H
#define LIB_VICI_MESSAGE_H

#include "lib/err.h"

#define VICI_NAME_MAX    255
#define VICI_MESSAGE_MAX (512 * 1024) /* charon's own limit */
#define VICI_DEPTH_MAX   16

/* ---- writing ---- */

/* Zero-initialised is an empty message. May hold a secret: fini wipes it. */
struct vici_message {
	uint8_t *data;
	size_t size;
	size_t cap;
	unsigned depth; /* sections that are open */
	bool failed;    /* something was too long: it is not sent */
};

void vici_section(struct vici_message *m, const char *name);
void vici_section_end(struct vici_message *m);
void vici_value(struct vici_message *m, const char *name, const char *value);
/* A list of these values; `values` ends with NULL. */
void vici_list(struct vici_message *m, const char *name, const char *const values[]);
void vici_message_fini(struct vici_message *m);
#define auto_vici_message __attribute__((cleanup(vici_message_fini)))

/* ---- reading ---- */

enum vici_element {
	VICI_SECTION = 1,
	VICI_SECTION_END = 2,
	VICI_VALUE = 3,
	VICI_LIST = 4,
	VICI_ITEM = 5,
	VICI_LIST_END = 6,
};

/* Text that lies in the message: no zero behind it, and any bytes in it. */
struct vici_text {
	const char *data; /* NULL: there is none */
	size_t size;
};

bool vici_text_is(const struct vici_text *t, const char *text);
/* Into `buf`, printable, cut to its size; returned. */
const char *vici_text_copy(const struct vici_text *t, char *buf, size_t size);

/* One element. depth: of the sections around it; an item's list counts as none. name: of a section, list or
 * value; value: of a value or an item. */
typedef void vici_visit_fn(void *arg, enum vici_element element, unsigned depth,
			   const struct vici_text *name, const struct vici_text *value);

/*
 * Shows every element in its order. -EBADMSG: it is not well formed, and what was shown before that was.
 * visit may be NULL.
 */
int vici_walk(const void *data, size_t size, vici_visit_fn *visit, void *arg,
	      struct err *e) MUST_CHECK;

/* The value of that name outside of all sections; data NULL if there is none. */
struct vici_text vici_find(const void *data, size_t size, const char *name);

#endif
