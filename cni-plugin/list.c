/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/list.h"

#include <errno.h>

#include "cni-plugin/record.h"
#include "cni-plugin/undo.h"
#include "lib/clock.h"

struct list {
	const struct host *host;
	const char *data_dir;
	const char *network;
	struct store *store;
	json_t *seen; /* of this network */
	json_t *attachments;
	json_t *failed;
};

/* null if it is "". */
static json_t *text_or_null(const char *text)
{
	return text[0] ? json_text(text) : json_null();
}

static json_t *addresses_of(const struct record *r)
{
	json_t *list = json_array();
	char text[IP_ADDR_TEXT];

	for (size_t i = 0; i < r->addresses_len; i++)
		json_append(list, json_string(ip_addr_format(&r->addresses[i], text)));
	return list;
}

static void describe(const struct list *l, const struct record *r, json_t *item)
{
	char mac[MAC_TEXT];

	json_object_set_new(item, "addresses", addresses_of(r));
	json_object_set_new(item, "device", text_or_null(r->host_ifname));
	json_object_set_new(item, "deviceExists",
			    r->kind == RECORD_NATIVE ? json_boolean(undo_is_alive(l->host, r))
						     : json_null());
	json_object_set_new(item, "bridge", text_or_null(r->bridge));
	json_object_set_new(item, "mac",
			    mac_addr_is_zero(&r->mac) ? json_null()
						      : json_string(mac_addr_format(&r->mac, mac)));
	json_object_set_new(item, "complete", json_boolean(r->complete));
	json_object_set_new(item, "containerName",
			    r->container_name ? json_text(r->container_name) : json_null());
	json_object_set_new(item, "asksOnce", json_boolean(r->asks_once));
}

static json_t *since_of(struct store *s, const char *container_id, const char *ifname)
{
	int64_t written_ms = 0;
	char text[CLOCK_TEXT];

	if (store_written(s, container_id, ifname, &written_ms) < 0)
		return json_null();
	return json_string(clock_format_utc(written_ms, text));
}

static void visit_record(void *arg, const char *container_id, const char *ifname)
{
	struct list *l = arg;
	auto_record struct record r = { 0 };
	auto_free char *name = xasprintf("%s@%s", container_id, ifname);
	struct err e;
	json_t *item;
	int rc = store_read(l->store, container_id, ifname, &r, &e);

	/* It went while we looked; or it is being replaced, and has two files for a moment. */
	if (rc == -ENOENT || json_object_get(l->seen, name))
		return;
	json_object_set_new(l->seen, name, json_true());
	item = json_pack("{s:s,s:s,s:o}", "network", l->network, "containerID", container_id,
			 "interface", json_text(ifname));
	if (rc == 0)
		describe(l, &r, item);
	json_object_set_new(item, "since", since_of(l->store, container_id, ifname));
	json_object_set_new(item, "error", rc < 0 ? json_text(e.text) : json_null());
	json_append(l->attachments, item);
}

static bool visit_network(void *arg, const char *network)
{
	auto_store struct store *store = NULL;
	auto_json json_t *seen = json_object();
	struct list *l = arg;
	struct err e;
	int rc = store_open(l->data_dir, network, false, &store, &e);

	l->network = network;
	l->seen = seen;
	l->store = store;
	if (rc == 0)
		rc = store_list(store, visit_record, l, &e);
	if (rc < 0 && rc != -ENOENT)
		json_append(l->failed, json_text(e.text));
	return true;
}

int list_command(const char *data_dir)
{
	auto_json json_t *report = NULL;
	auto_host struct host h = HOST_NONE;
	struct list l = { .host = &h, .data_dir = data_dir };
	struct err e;
	int rc;

	l.attachments = json_array();
	l.failed = json_array();
	report = json_pack("{s:o,s:o}", "attachments", l.attachments, "failed", l.failed);
	rc = host_open(&h, &e);
	if (rc == 0)
		rc = store_each_network(data_dir, visit_network, &l, &e);
	/* Where nothing was ever attached there is no directory. */
	if (rc < 0 && rc != -ENOENT)
		json_append(l.failed, json_text(e.text));
	if (json_dumpf(report, stdout, JSON_COMPACT) < 0 || fputc('\n', stdout) == EOF ||
	    fflush(stdout) == EOF)
		return EXIT_FAILURE;
	if (json_array_size(l.failed) == 0)
		return EXIT_SUCCESS;
	fprintf(stderr, "%s\n", json_string_value(json_array_get(l.failed, 0)));
	return EXIT_FAILURE;
}
