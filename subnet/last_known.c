/* SPDX-License-Identifier: Apache-2.0 */
#include "subnet/last_known.h"

#include <errno.h>

#include "lib/buffer.h"
#include "lib/json.h"
#include "subnet/store.h"

#define VERSION_NUMBER 3
#define VERSION_OLDEST 2 /* which is still read */

static void put_text(struct buffer *out, const char *name, const char *text)
{
	buffer_putc(out, '"');
	buffer_puts(out, name);
	buffer_puts(out, "\":");
	buffer_put_json(out, text);
}

static void put_lease(struct buffer *out, const struct lease *l)
{
	auto_free char *value = lease_value_format(l);
	char key[SUBNET_KEY_TEXT];
	char id[LEASE_ID_TEXT];

	buffer_putc(out, '{');
	put_text(out, "key", subnet_key_format(&l->subnet, key));
	buffer_putc(out, ',');
	put_text(out, "value", value);
	buffer_printf(out, ",\"id\":\"%s\",\"born\":\"%llu\",\"flags\":%u}",
		      lease_id_format(l->id, id), (unsigned long long)l->born, l->flags);
}

int64_t last_known_left_ms(const struct last_known *k, int64_t wall_ms)
{
	__int128 left_ms = ((__int128)k->expires_wall_s * 1000) - wall_ms;
	__int128 then_ms = ((__int128)k->expires_wall_s - k->written_wall_s) * 1000;

	if (!k->expires_wall_s)
		return INT64_MAX;
	if (k->written_wall_s)
		left_ms = MIN(left_ms, then_ms);
	return (int64_t)MAX((__int128)0, MIN(left_ms, (__int128)INT64_MAX - 1));
}

/* Written piece by piece: as one tree it would be several times as large as all leases. */
char *last_known_format(const struct last_known *k)
{
	struct buffer out = { 0 };

	buffer_printf(&out, "{\"version\":%d,", VERSION_NUMBER);
	put_text(&out, "network", k->network);
	buffer_putc(&out, ',');
	put_text(&out, "cluster", k->cluster ? k->cluster : "");
	buffer_putc(&out, ',');
	put_text(&out, "config", k->config);
	buffer_printf(&out, ",\"written\":%lld,\"expires\":%lld,\"revision\":\"%llu\"",
		      (long long)k->written_wall_s, (long long)k->expires_wall_s,
		      (unsigned long long)k->revision);
	if (k->own) {
		buffer_puts(&out, ",\"own\":");
		put_lease(&out, k->own);
	}
	buffer_printf(&out, ",\"peers\":%zu}\n", k->peers_len);
	for (size_t i = 0; i < k->peers_len; i++) {
		put_lease(&out, k->peers[i]);
		buffer_putc(&out, '\n');
	}
	return buffer_steal(&out);
}

/* Before version 3 an id was an etcd lease, and one without was a reservation. */
static void read_store_part(const json_t *object, struct lease *l)
{
	const char *id = json_string_value(json_object_get(object, "id"));

	if (!id) {
		l->id = (u128)json_int64_lenient(json_object_get(object, "handle"));
		l->born = json_uint64_lenient(json_object_get(object, "created"));
		l->flags = l->id ? LEASE_EXPIRES : LEASE_RESERVED;
		return;
	}
	l->id = lease_id_parse(id);
	l->born = json_uint64_lenient(json_object_get(object, "born"));
	l->flags = (uint8_t)json_integer_value(json_object_get(object, "flags"));
}

static int lease_from_json(const json_t *object, struct lease **ret, struct err *e)
{
	const char *value = json_string_value(json_object_get(object, "value"));
	const char *key = json_string_value(json_object_get(object, "key"));
	auto_lease struct lease *l = lease_new();
	int rc;

	if (!key || !value)
		return err_set(e, -EINVAL, "a lease without key or value");
	rc = subnet_key_parse(key, &l->subnet, e);
	if (rc == 0)
		rc = lease_value_parse(value, strlen(value), l, e);
	if (rc < 0)
		return rc;
	read_store_part(object, l);
	*ret = lease_compact(STEAL(l));
	return 0;
}

static int parse_head(const char *text, size_t size, struct last_known *ret, struct err *e)
{
	auto_json json_t *root = NULL;
	struct last_known k = { 0 };
	const char *network;
	const char *cluster;
	const char *config;
	const json_t *own;
	json_int_t version;
	json_int_t peers;
	int rc;

	rc = json_parse_object(text, size, &root, e);
	if (rc < 0)
		return rc;
	version = json_integer_value(json_object_get(root, "version"));
	network = json_string_value(json_object_get(root, "network"));
	cluster = json_string_value(json_object_get(root, "cluster"));
	config = json_string_value(json_object_get(root, "config"));
	own = json_object_get(root, "own");
	peers = json_integer_value(json_object_get(root, "peers"));
	if (version < VERSION_OLDEST || version > VERSION_NUMBER)
		return err_set(e, -EINVAL, "version is %lld, this program reads %d to %d",
			       (long long)version, VERSION_OLDEST, VERSION_NUMBER);
	if (!network || !config)
		return err_set(e, -EINVAL, "network or config is missing");
	if (peers < 0 || peers > STORE_LEASES_MAX)
		return err_set(e, -EINVAL, "peers is %lld, must be from 0 to %d", (long long)peers,
			       STORE_LEASES_MAX);
	k.expires_wall_s = json_int64_lenient(json_object_get(root, "expires"));
	k.written_wall_s = json_int64_lenient(json_object_get(root, "written"));
	k.revision = json_uint64_lenient(json_object_get(root, "revision"));
	k.peers_left = (size_t)peers;
	if (own && lease_from_json(own, &k.own, e) < 0)
		return e->code;
	k.network = xstrdup(network);
	k.cluster = xstrdup(cluster ? cluster : "");
	k.config = xstrdup(config);
	*ret = k;
	return 0;
}

static int parse_peer(const char *text, size_t size, struct lease **ret, struct err *e)
{
	auto_json json_t *object = NULL;
	int rc = json_parse_object(text, size, &object, e);

	return rc < 0 ? rc : lease_from_json(object, ret, e);
}

static size_t line_size(const char *text, size_t size)
{
	const char *newline = memchr(text, '\n', size);

	return newline ? (size_t)(newline - text) : size;
}

int last_known_parse_head(const char *text, size_t size, struct last_known *ret, struct err *e)
{
	return parse_head(text, line_size(text, size), ret, e);
}

int last_known_parse(const char *text, size_t size, struct last_known *ret, struct err *e)
{
	struct last_known k;
	size_t at = line_size(text, size);
	int rc = parse_head(text, at, &k, e);

	if (rc < 0)
		return rc;
	k.peers = xcalloc(k.peers_left, sizeof(*k.peers));
	for (at++; at < size && rc == 0; at++) {
		size_t n = line_size(text + at, size - at);

		if (k.peers_left == 0)
			rc = err_set(e, -EINVAL, "more than the %zu leases that it should have",
				     k.peers_len);
		else
			rc = parse_peer(text + at, n, &k.peers[k.peers_len], e);
		if (rc == 0) {
			k.peers_len++;
			k.peers_left--;
		}
		at += n;
	}
	if (rc == 0 && k.peers_left)
		rc = err_set(e, -EINVAL, "%zu leases are missing at the end", k.peers_left);
	if (rc < 0) {
		last_known_fini(&k);
		return rc;
	}
	*ret = k;
	return 0;
}

void last_known_fini(struct last_known *k)
{
	for (size_t i = 0; i < k->peers_len; i++)
		lease_free(k->peers[i]);
	free(k->peers);
	lease_free(k->own);
	free(k->network);
	free(k->cluster);
	free(k->config);
	*k = (struct last_known){ 0 };
}
