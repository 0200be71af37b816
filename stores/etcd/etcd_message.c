/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/etcd/etcd_message.h"

#include <limits.h>
#include <string.h>

#include "lib/secret.h"

bool etcd_code_is_transient(int code)
{
	switch (code) {
	case ETCD_CANCELLED:
	case ETCD_UNKNOWN:
	case ETCD_DEADLINE_EXCEEDED:
	case ETCD_ABORTED:
	case ETCD_INTERNAL:
	case ETCD_UNAVAILABLE:
	case ETCD_NOT_ETCD:
	case ETCD_WRONG_MEMBER:
	case ETCD_TOO_LARGE:
	case ETCD_NOT_SPOKEN:
	case ETCD_OTHER_DIALECT:
		return true;
	}
	return false;
}

int etcd_code_judge(int64_t number, const char *text)
{
	if ((number == ETCD_FAILED_PRECONDITION || number == ETCD_UNAVAILABLE) &&
	    (strstr(text, "rpc not supported for learner") || strstr(text, "not capable")))
		return ETCD_WRONG_MEMBER;
	return number > 0 && number <= INT_MAX ? (int)number : ETCD_UNKNOWN;
}

bool etcd_ask_writes(const struct etcd_ask *ask)
{
	return ask->method == ETCD_TXN || ask->method == ETCD_GRANT || ask->method == ETCD_REVOKE;
}

static char *copy(const char *text)
{
	return text ? xstrdup(text) : NULL;
}

void etcd_ask_copy(struct etcd_ask *ret, const struct etcd_ask *ask)
{
	*ret = *ask;
	ret->key = NULL;
	if (ask->key) {
		ret->key_size = ask->key_size ? ask->key_size : strlen(ask->key);
		ret->key = xcalloc(ret->key_size + 1, 1);
		memcpy(ret->key, ask->key, ret->key_size);
	}
	ret->range_end = copy(ask->range_end);
	ret->value = copy(ask->value);
	ret->name = copy(ask->name);
	ret->password = copy(ask->password);
}

void etcd_ask_fini(struct etcd_ask *ask)
{
	free(ask->key);
	free(ask->range_end);
	free(ask->value);
	free(ask->name);
	secret_free(ask->password);
	*ask = (struct etcd_ask){ 0 };
}

void etcd_kvs_fini(struct etcd_kvs *kvs)
{
	for (size_t i = 0; i < kvs->len; i++) {
		free(kvs->items[i].key);
		free(kvs->items[i].value);
	}
	free(kvs->items);
	*kvs = (struct etcd_kvs){ 0 };
}

static char *copy_bytes(const void *bytes, size_t size)
{
	char *text = xmalloc(size + 1);

	if (size)
		memcpy(text, bytes, size);
	text[size] = '\0';
	return text;
}

/* Two bytes for each NUL. */
static char *key_as_text(const char *bytes, size_t size)
{
	char *text;
	char *out;

	if (!size || !memchr(bytes, '\0', size))
		return copy_bytes(bytes, size);
	text = out = xcalloc(2 * size + 1, 1);
	for (size_t i = 0; i < size; i++) {
		if (!bytes[i])
			*out++ = '\\';
		*out++ = bytes[i] ? bytes[i] : '0';
	}
	return text;
}

void etcd_kvs_add(struct etcd_kvs *kvs, struct etcd_kv kv, const void *key, size_t key_size,
		  const void *value, size_t value_size)
{
	kv.key = key_as_text(key, key_size);
	kv.value = copy_bytes(value, value_size);
	kv.value_size = value_size;
	GROW(kvs->items, kvs->len, kvs->cap);
	kvs->items[kvs->len++] = kv;
}

void etcd_reply_fini(struct etcd_reply *reply)
{
	etcd_kvs_fini(&reply->kvs);
	free(reply->next_key);
	free(reply->token);
	free(reply->version);
	*reply = (struct etcd_reply){ 0 };
}

void etcd_reply_set_next(struct etcd_reply *reply, const void *last, size_t size)
{
	free(reply->next_key);
	/* The next key there can be: a NUL more. */
	reply->next_key = copy_bytes(last, size);
	reply->next_key_size = size + 1;
}

void etcd_watch_message_fini(struct etcd_watch_message *m)
{
	etcd_kvs_fini(&m->events);
}

char *etcd_prefix_end(const char *prefix)
{
	char *end = xstrdup(prefix);

	/* Our prefixes are text and end in '/', so the last byte can always grow by one. */
	end[strlen(end) - 1]++;
	return end;
}
