/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/kube/kube_gist.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/hash.h"

/* A text with quotes around it, or any other value. */
struct span {
	const char *begin;
	const char *end;
};

/* What is not hashed. */
struct cuts {
	struct span status;
	struct span revision;
};

static bool is(const struct span *s, const char *text)
{
	size_t size = strlen(text);

	return (size_t)(s->end - s->begin) == size && memcmp(s->begin, text, size) == 0;
}

/* Behind the string at `p`; NULL: it does not end. */
static const char *string_end(const char *p, const char *end)
{
	for (p++; p < end; p++) {
		if (*p == '"')
			return p + 1;
		if (*p == '\\')
			p++;
	}
	return NULL;
}

/* Behind the value at `p`, which may be anything; NULL: it does not end. */
static const char *value_end(const char *p, const char *end)
{
	unsigned depth = 0;

	while (p < end) {
		char c = *p;

		if (c == '"') {
			p = string_end(p, end);
			if (!p || depth == 0)
				return p;
			continue;
		}
		if (depth == 0 && (c == ',' || c == '}' || c == ']'))
			return p;
		p++;
		if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && --depth == 0)
			return p;
	}
	return NULL;
}

/*
 * The next member of an object; *p stands behind its bracket or behind the member before. False: there is none,
 * or there is more than brackets, quotes and commas between them.
 */
static bool next_member(const char **p, const char *end, struct span *ret_key,
			struct span *ret_value)
{
	const char *at = *p;

	if (at < end && *at == ',')
		at++;
	if (at == end || *at != '"')
		return false;
	ret_key->begin = at;
	ret_key->end = string_end(at, end);
	if (!ret_key->end || ret_key->end == end || *ret_key->end != ':')
		return false;
	ret_value->begin = ret_key->end + 1;
	ret_value->end = value_end(ret_value->begin, end);
	if (!ret_value->end)
		return false;
	*p = ret_value->end;
	return true;
}

/* Takes note of one that is there once. */
static bool cut(struct span *cut, const struct span *value)
{
	if (cut->begin)
		return false;
	*cut = *value;
	return true;
}

static bool read_metadata(const struct span *metadata, struct cuts *cuts)
{
	const char *p = metadata->begin + 1;
	struct span key;
	struct span value;

	if (*metadata->begin != '{')
		return false;
	while (next_member(&p, metadata->end, &key, &value)) {
		if (is(&key, "\"resourceVersion\"") && !cut(&cuts->revision, &value))
			return false;
	}
	return p + 1 == metadata->end;
}

static bool read_object(const struct span *object, struct cuts *cuts)
{
	const char *p = object->begin + 1;
	struct span key;
	struct span value;

	if (*object->begin != '{')
		return false;
	while (next_member(&p, object->end, &key, &value)) {
		if (is(&key, "\"status\"") && !cut(&cuts->status, &value))
			return false;
		if (is(&key, "\"metadata\"") && !read_metadata(&value, cuts))
			return false;
	}
	return p + 1 == object->end;
}

/* "12345", with its quotes. */
static bool read_revision(const struct span *value, uint64_t *ret)
{
	size_t digits = value->begin ? strspn(value->begin + 1, "0123456789") : 0;

	if (digits == 0 || digits > 19 || *value->begin != '"' ||
	    value->begin + digits + 2 != value->end)
		return false;
	*ret = strtoull(value->begin + 1, NULL, 10);
	return true;
}

static uint64_t add(uint64_t hash, const char *begin, const char *end)
{
	return hash_mix(hash ^ hash_bytes(begin, (size_t)(end - begin)));
}

bool kube_gist_read(const char *text, size_t size, struct kube_gist *ret)
{
	const char *end = text + size;
	const char *p = text + 1;
	struct cuts cuts = { 0 };
	struct span first;
	struct span second;
	struct span key;
	struct span value;
	bool modified = false;
	uint64_t revision;
	uint64_t hash;

	if (size < 2 || *text != '{')
		return false;
	while (next_member(&p, end, &key, &value)) {
		if (is(&key, "\"object\"") && (cuts.revision.begin || !read_object(&value, &cuts)))
			return false;
		if (is(&key, "\"type\"") && (modified || !is(&value, "\"MODIFIED\"")))
			return false;
		modified |= is(&key, "\"type\"");
	}
	if (p + 1 != end || !modified || !read_revision(&cuts.revision, &revision))
		return false;
	if (!cuts.status.begin)
		cuts.status = (struct span){ end, end };
	first = cuts.status.begin < cuts.revision.begin ? cuts.status : cuts.revision;
	second = cuts.status.begin < cuts.revision.begin ? cuts.revision : cuts.status;
	hash = add(0, text, first.begin);
	hash = add(hash, first.end, second.begin);
	hash = add(hash, second.end, end);
	ret->hash = hash ? hash : 1;
	ret->revision = revision;
	return true;
}
