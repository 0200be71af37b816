/* SPDX-License-Identifier: Apache-2.0 */
#include "subnet/last_known.h"

#include <errno.h>

#include "lib/json.h"

#define VERSION_NUMBER 1

static json_t *lease_to_json(const struct lease *l)
{
	auto_free char *value = lease_value_format(l);
	char key[SUBNET_KEY_TEXT];
	char handle[24];
	char created[24];

	snprintf(handle, sizeof(handle), "%lld", (long long)l->handle);
	snprintf(created, sizeof(created), "%llu", (unsigned long long)l->create_revision);
	return json_pack("{s:s,s:s,s:s,s:s}", "key", subnet_key_format(&l->subnet, key), "value",
			 value, "handle", handle, "created", created);
}

char *last_known_format(const struct last_known *k)
{
	auto_json json_t *peers = json_array();
	auto_json json_t *root = NULL;
	char *text;

	for (size_t i = 0; i < k->peers_len; i++)
		json_array_append_new(peers, lease_to_json(k->peers[i]));
	root = json_pack("{s:i,s:s,s:s,s:I,s:O}", "version", VERSION_NUMBER, "network", k->network,
			 "config", k->config, "expires", (json_int_t)k->expires_wall_s, "peers",
			 peers);
	if (root && k->own)
		json_object_set_new(root, "own", lease_to_json(k->own));
	text = root ? json_dumps(root, JSON_COMPACT) : NULL;
	return text ? text : xstrdup("{}");
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
	l->handle = json_int64_lenient(json_object_get(object, "handle"));
	l->create_revision = json_uint64_lenient(json_object_get(object, "created"));
	*ret = STEAL(l);
	return 0;
}

static int read_peers(const json_t *peers, struct last_known *k, struct err *e)
{
	json_t *item;
	size_t i;

	k->peers = xcalloc(json_array_size(peers), sizeof(*k->peers));
	json_array_foreach (peers, i, item) {
		int rc = lease_from_json(item, &k->peers[k->peers_len], e);

		if (rc < 0)
			return rc;
		k->peers_len++;
	}
	return 0;
}

int last_known_parse(const char *text, size_t size, struct last_known *ret, struct err *e)
{
	auto_json json_t *root = NULL;
	struct last_known k = { 0 };
	const char *network;
	const char *config;
	const json_t *own;
	json_int_t version;
	int rc;

	rc = json_parse_object(text, size, &root, e);
	if (rc < 0)
		return rc;
	version = json_integer_value(json_object_get(root, "version"));
	network = json_string_value(json_object_get(root, "network"));
	config = json_string_value(json_object_get(root, "config"));
	own = json_object_get(root, "own");
	if (version != VERSION_NUMBER)
		return err_set(e, -EINVAL, "version is %lld, this program reads %d",
			       (long long)version, VERSION_NUMBER);
	if (!network || !config)
		return err_set(e, -EINVAL, "network or config is missing");
	k.network = xstrdup(network);
	k.config = xstrdup(config);
	k.expires_wall_s = json_int64_lenient(json_object_get(root, "expires"));
	rc = own ? lease_from_json(own, &k.own, e) : 0;
	if (rc == 0)
		rc = read_peers(json_object_get(root, "peers"), &k, e);
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
	free(k->config);
	*k = (struct last_known){ 0 };
}
