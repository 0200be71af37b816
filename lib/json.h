/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading JSON the way flannel's users write it: keys match in any case, null means absent, types
 * are strict. On top of jansson, which owns parsing and printing.
 *
 * Which of two values is meant cannot be told, so a member that is given twice is an error: word
 * for word anywhere in a document, in different case where it is read. What nobody reads may well
 * tell "a" from "A".
 */
#ifndef LIB_JSON_H
#define LIB_JSON_H

#include <jansson.h>

#include "lib/addr.h"

static inline void json_free_ref(json_t **j)
{
	json_decref(*j);
}
#define auto_json __attribute__((cleanup(json_free_ref)))

#define JSON_DEPTH_MAX 16

/* Parses `size` bytes that must be one object, JSON_DEPTH_MAX levels deep at most, in which no
 * object has a member twice. Caller owns the result. -EINVAL with line and column. */
int json_parse_object(const char *text, size_t size, json_t **ret, struct err *e) MUST_CHECK;

/*
 * The value of the key that equals `key` without regard to case; NULL if there is none or it is
 * null. -EINVAL if there are two such keys, whatever their values. Borrowed.
 */
int json_find(const json_t *object, const char *key, json_t **ret, struct err *e) MUST_CHECK;
/* The same where nothing can be refused any more, or only whether there is one matters: of several
 * the last that is not null. */
json_t *json_get_any_case(const json_t *object, const char *key);

/*
 * Each reads one key of `object`. An absent key leaves *ret as it is and returns 0; a value of
 * another type or out of range is -EINVAL with a sentence that names key, value and range, and so
 * is a key that is there twice.
 */
int json_read_bool(const json_t *object, const char *key, bool *ret, struct err *e) MUST_CHECK;
int json_read_uint(const json_t *object, const char *key, uint64_t min, uint64_t max, uint64_t *ret,
		   struct err *e) MUST_CHECK;
/* Borrowed from `object`. */
int json_read_string(const json_t *object, const char *key, const char **ret,
		     struct err *e) MUST_CHECK;
int json_read_ip_addr(const json_t *object, const char *key, int family, struct ip_addr *ret,
		      struct err *e) MUST_CHECK;
int json_read_ip_net(const json_t *object, const char *key, int family, struct ip_net *ret,
		     struct err *e) MUST_CHECK;

/*
 * A string of any text. What is not UTF-8 is made printable: json_string() gives nothing for it, and
 * the member it was meant for is missing without a word. NULL becomes "".
 */
json_t *json_text(const char *text);

/* Of members that are called like a secret (PSK, password, ...), however deep: "(left out)" instead. */
void json_leave_out_secrets(json_t *value);
/* As json_array_append_new. An item that could not be built is said and counted. */
void json_append(json_t *array, json_t *item);
/* How many could not. */
uint64_t json_failures_total(void);

/* A number that the sender may write as a number or as a string ("123"), as protobuf's JSON form
 * does. 0 if absent. */
uint64_t json_uint64_lenient(const json_t *value);
int64_t json_int64_lenient(const json_t *value);

#endif
