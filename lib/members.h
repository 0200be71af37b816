/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The members of an object of JSON, told one after the other, into one of two: a tree, or text. A list with an
 * item for each of thousands of hosts is text: a tree of it takes several times as long to build, to write, and
 * to read.
 *
 * Of text somebody may want some members only, the fields. Then an item is not an object but an array of
 * their values, in the order in which they were asked for, null where an item has none; they are named once,
 * for all items.
 */
#ifndef LIB_MEMBERS_H
#define LIB_MEMBERS_H

#include <jansson.h>

#include "lib/buffer.h"

#define MEMBERS_FIELDS_MAX 32 /* further ones are not looked at */

struct members {
	json_t *object;     /* the tree; NULL: text */
	struct buffer text; /* the values of the item that is told */
	unsigned told;      /* members of it */
	size_t fields_len;
	struct members_field {
		const char *name; /* within what was given, up to the next comma */
		size_t name_size;
		size_t offset; /* of its value in text */
		size_t size;   /* 0: not told */
	} fields[MEMBERS_FIELDS_MAX];
	/* Which field a member is, as it was in the item before: it most often is again. */
	struct {
		const char *name;
		int field;
	} last[64];
};

/* `object` gets all. */
struct members members_of(json_t *object);
/* fields: "subnet,node"; NULL: all. It must outlive what is returned, which members_fini frees. */
struct members members_as_text(const char *fields);
void members_fini(struct members *m);
/* Of text: the item that was told is put to the end of `out`, and the next one begins. */
void members_put(struct members *m, struct buffer *out);
/* Of text with fields: where the value of this one stands in what members_put will put; -1: nowhere. */
ssize_t members_offset(const struct members *m, const char *name);
/* ["subnet","node"]; NULL: no fields, the items are objects. Caller owns it. */
json_t *members_fields(const struct members *m);

/* Whether a member is wanted: for what takes long to tell. `name` is a literal here and below. */
bool members_wants(const struct members *m, const char *name);
/* What is not UTF-8 is made printable. NULL is "". */
void member_text(struct members *m, const char *name, const char *text);
/* The same, and null if there is none. */
void member_text_or_null(struct members *m, const char *name, const char *text);
void member_integer(struct members *m, const char *name, int64_t value);
void member_boolean(struct members *m, const char *name, bool value);
/* With so many digits behind the point. */
void member_real(struct members *m, const char *name, double value, unsigned digits);
void member_null(struct members *m, const char *name);
/* Takes `value`; NULL, which could not be built, is null and counted (json_append). */
void member_json(struct members *m, const char *name, json_t *value);

#endif
