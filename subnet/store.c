/* SPDX-License-Identifier: Apache-2.0 */
#include "subnet/store.h"

const char *store_op_name(enum store_op op)
{
	static const char *const names[STORE_OPS] = {
		"config", "list",      "create",     "update",     "bind",        "keepalive",
		"remove", "time-left", "config-set", "health-set", "health-keep", "health-list",
	};

	return op < ARRAY_LEN(names) ? names[op] : "?";
}

const char *store_status_name(enum store_status status)
{
	static const char *const names[] = { "ok",      "absent",      "conflict", "denied",
					     "invalid", "unavailable", "unknown" };

	return status < ARRAY_LEN(names) ? names[status] : "?";
}

void store_reply_fini(struct store_reply *reply)
{
	free(reply->config);
	for (size_t i = 0; i < reply->leases_len; i++)
		lease_free(reply->leases[i]);
	free(reply->leases);
	for (size_t i = 0; i < reply->junk_len; i++) {
		free(reply->junk[i].key);
		free(reply->junk[i].reason);
	}
	free(reply->junk);
	for (size_t i = 0; i < reply->health_len; i++) {
		free(reply->health[i].name);
		free(reply->health[i].text);
	}
	free(reply->health);
	lease_free(reply->holder);
	memset(reply, 0, sizeof(*reply));
}
