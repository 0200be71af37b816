/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of keys. Consul answers every change with all keys of the prefix, so that this is where its time is
 * spent: an answer is cut into its entries by brackets and quotes, and one that is byte for byte as in the list
 * before is not read again.
 */
#include "stores/consul/consul_answer.h"

#include <errno.h>
#include <string.h>

#include "lib/hash.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_blanks(const char *p, const char *end)
{
	while (p < end && is_blank(*p))
		p++;
	return p;
}

/* Behind the string that begins at `p`; `end` if it does not end. */
static const char *skip_string(const char *p, const char *end)
{
	while ((p = memchr(p + 1, '"', (size_t)(end - p - 1)))) {
		const char *first = p;

		/* Before all of them stands at least the quote that began it. */
		while (first[-1] == '\\')
			first--;
		if ((p - first) % 2 == 0)
			return p + 1;
	}
	return end;
}

/* Behind the object that begins at `p`; NULL if it does not end. */
static const char *skip_object(const char *p, const char *end)
{
	unsigned depth = 0;

	while (p < end) {
		if (*p == '"') {
			p = skip_string(p, end);
			continue;
		}
		if (*p == '{')
			depth++;
		else if (*p == '}' && --depth == 0)
			return p + 1;
		p++;
	}
	return NULL;
}

/* What is known of the list before, and how far its keys are behind the last that came. */
struct known {
	const struct consul_list *list;
	size_t at;
};

/* The entry as it was before, if it is that byte for byte. */
static bool is_known(struct known *known, struct consul_entry *entry)
{
	const struct consul_entry *before;

	if (!known->list || known->at == known->list->len)
		return false;
	before = &known->list->items[known->at];
	if (before->size != entry->size || before->digest != entry->digest)
		return false;
	entry->key = xstrdup(before->key);
	entry->modify_index = before->modify_index;
	known->at++;
	return true;
}

static int read_entry(struct known *known, struct consul_entry *entry)
{
	struct consul_kv kv;

	if (consul_kv_read(entry->text, entry->size, false, &kv, NULL) < 0)
		return -EINVAL;
	entry->key = kv.key;
	entry->modify_index = kv.modify_index;
	while (known->list && known->at < known->list->len &&
	       strcmp(known->list->items[known->at].key, kv.key) <= 0)
		known->at++;
	return 0;
}

static int add(struct consul_list *list, struct known *known, const char *text, size_t size,
	       struct err *e)
{
	struct consul_entry entry = { .text = text, .size = size };

	if (size > CONSUL_ENTRY_MAX_SIZE)
		return err_set(e, -EFBIG, "an entry of the list is larger than %zu bytes",
			       CONSUL_ENTRY_MAX_SIZE);
	if (list->len + list->unreadable == CONSUL_KEYS_MAX)
		return err_set(e, -EFBIG, "more than %zu keys", CONSUL_KEYS_MAX);
	entry.digest = hash_bytes(text, size);
	if (!is_known(known, &entry) && read_entry(known, &entry) < 0) {
		list->unreadable++;
		return 0;
	}
	GROW(list->items, list->len, list->cap);
	list->items[list->len++] = entry;
	return 0;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct consul_entry *)a)->key, ((const struct consul_entry *)b)->key);
}

/* As Consul does it already; what comes from elsewhere may do otherwise. */
static int order(struct consul_list *list, struct err *e)
{
	bool ordered = true;

	for (size_t i = 1; i < list->len && ordered; i++)
		ordered = by_key(&list->items[i - 1], &list->items[i]) < 0;
	if (ordered)
		return 0;
	qsort(list->items, list->len, sizeof(*list->items), by_key);
	for (size_t i = 1; i < list->len; i++) {
		if (by_key(&list->items[i - 1], &list->items[i]) == 0)
			return err_set(e, -EBADMSG, "a key is in the list twice");
	}
	return 0;
}

int consul_list_read(const char *body, size_t size, const struct consul_list *before,
		     struct consul_list *ret, struct err *e)
{
	struct known known = { .list = before };
	const char *end = body + size;
	const char *p = skip_blanks(body, end);
	bool more = false;

	*ret = (struct consul_list){ 0 };
	if (p == end || *p != '[')
		return err_set(e, -EBADMSG, "the answer is no list of keys");
	p = skip_blanks(p + 1, end);
	while (p < end && (*p != ']' || more)) {
		const char *behind = *p == '{' ? skip_object(p, end) : NULL;
		int rc;

		if (!behind)
			return err_set(e, -EBADMSG, "there is in the list what is no key");
		rc = add(ret, &known, p, (size_t)(behind - p), e);
		if (rc < 0)
			return rc;
		p = skip_blanks(behind, end);
		more = p < end && *p == ',';
		if (more)
			p = skip_blanks(p + 1, end);
		else if (p < end && *p != ']')
			return err_set(e, -EBADMSG, "there is in the list what is no key");
	}
	if (p == end || skip_blanks(p + 1, end) != end)
		return err_set(e, -EBADMSG, "the list of keys does not end as one");
	return order(ret, e);
}

void consul_list_forget_texts(struct consul_list *list)
{
	for (size_t i = 0; i < list->len; i++)
		list->items[i].text = NULL;
}

void consul_list_fini(struct consul_list *list)
{
	for (size_t i = 0; i < list->len; i++)
		free(list->items[i].key);
	free(list->items);
	*list = (struct consul_list){ 0 };
}

static int by_index(const void *a, const void *b)
{
	const struct consul_entry *x = *(const struct consul_entry *const *)a;
	const struct consul_entry *y = *(const struct consul_entry *const *)b;

	return x->modify_index < y->modify_index ? -1 : x->modify_index > y->modify_index;
}

void consul_diff_make(const struct consul_list *old, const struct consul_list *now,
		      struct consul_diff *ret)
{
	size_t changed_cap = 0;
	size_t gone_cap = 0;
	size_t i = 0;
	size_t j = 0;

	*ret = (struct consul_diff){ 0 };
	while (i < old->len || j < now->len) {
		const struct consul_entry *was = i < old->len ? &old->items[i] : NULL;
		const struct consul_entry *is = j < now->len ? &now->items[j] : NULL;
		int way = !was ? 1 : !is ? -1 : by_key(was, is);

		if (way < 0) {
			GROW(ret->gone, ret->gone_len, gone_cap);
			ret->gone[ret->gone_len++] = was;
		} else if (way > 0 || was->modify_index != is->modify_index) {
			GROW(ret->changed, ret->changed_len, changed_cap);
			ret->changed[ret->changed_len++] = is;
		}
		i += way <= 0;
		j += way >= 0;
	}
	if (ret->changed_len > 0)
		qsort(ret->changed, ret->changed_len, sizeof(const struct consul_entry *),
		      by_index);
}

void consul_diff_fini(struct consul_diff *diff)
{
	free(diff->changed);
	free(diff->gone);
	*diff = (struct consul_diff){ 0 };
}
