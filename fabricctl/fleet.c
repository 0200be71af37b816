/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/fleet.h"

#include <string.h>

#include "fabricctl/client.h"
#include "fabricctl/session.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "subnet/lease_json.h"

#define DAEMON_TIMEOUT_MS 2000

static const struct {
	const char *name;
	enum ctl_color color;
} states[FLEET_STATES] = {
	[FLEET_DEGRADED] = { "degraded", COLOR_BAD },
	[FLEET_NO_RECORD] = { "no-record", COLOR_BAD },
	[FLEET_STARTING] = { "starting", COLOR_WARN },
	[FLEET_FLANNEL] = { "flannel", COLOR_DIM },
	[FLEET_OK] = { "ok", COLOR_GOOD },
};

const char *fleet_state_name(enum fleet_state state)
{
	return states[state].name;
}

bool fleet_is_bad(enum fleet_state state)
{
	return state < FLEET_FLANNEL;
}

enum ctl_color fleet_state_color(enum fleet_state state)
{
	return states[state].color;
}

static void host_fini(struct fleet_host *h)
{
	lease_free(h->lease);
	if (h->record)
		health_record_fini(h->record);
	free(h->record);
	free(h->subnet);
	free(h->reach);
}

void fleet_fini(struct fleet *f)
{
	for (size_t i = 0; i < f->len; i++)
		host_fini(&f->hosts[i]);
	free(f->hosts);
	*f = (struct fleet){ 0 };
}

/* ---- what stands in the store ---- */

static int by_subnet(const void *a, const void *b)
{
	const struct fleet_host *x = a;
	const struct fleet_host *y = b;

	return memcmp(&x->lease->subnet, &y->lease->subnet, sizeof(x->lease->subnet));
}

static int by_name(const void *a, const void *b)
{
	const struct store_health *x = a;
	const struct store_health *y = b;

	return strcmp(x->name, y->name);
}

/* One that cannot be read is as good as none. */
static struct health_record *find_record(const struct store_reply *records, const char *node_id)
{
	const struct store_health wanted = { .name = (char *)node_id };
	const struct store_health *found;
	struct health_record *r;

	if (!node_id || !records->health_len)
		return NULL;
	found = bsearch(&wanted, records->health, records->health_len, sizeof(wanted), by_name);
	if (!found)
		return NULL;
	r = xcalloc(1, sizeof(*r));
	if (health_record_parse(found->text, found->size, r, NULL) == 0)
		return r;
	free(r);
	return NULL;
}

/* A host has one record, and perhaps a lease of before: that is not what it tells of. */
static void drop_record_of_another(struct fleet_host *h)
{
	if (!h->record || subnet_equal(&h->record->subnet, &h->lease->subnet))
		return;
	health_record_fini(h->record);
	free(STEAL(h->record));
	h->is_former = true;
}

static enum fleet_state judge(const struct fleet_host *h)
{
	if (!h->lease->node_id)
		return FLEET_FLANNEL;
	if (!h->record)
		return FLEET_NO_RECORD;
	return h->record->verdict == HEALTH_OK         ? FLEET_OK
	       : h->record->verdict == HEALTH_STARTING ? FLEET_STARTING
						       : FLEET_DEGRADED;
}

/* A subnet that is kept for somebody is no host. */
static bool is_host(const struct lease *l)
{
	return l->node_id || !lease_is_reservation(l);
}

static void join(struct fleet *f, struct store_reply *leases, struct store_reply *records,
		 const char *own_node_id)
{
	if (records->health_len)
		qsort(records->health, records->health_len, sizeof(*records->health), by_name);
	f->hosts = xcalloc(MAX(leases->leases_len, (size_t)1), sizeof(*f->hosts));
	for (size_t i = 0; i < leases->leases_len; i++) {
		struct fleet_host *h = &f->hosts[f->len];
		char subnet[SUBNET_KEY_TEXT];

		if (!is_host(leases->leases[i]))
			continue;
		h->lease = STEAL(leases->leases[i]);
		h->record = find_record(records, h->lease->node_id);
		drop_record_of_another(h);
		h->state = judge(h);
		h->subnet = xstrdup(subnet_format(&h->lease->subnet, subnet));
		h->name = h->lease->node_name ? h->lease->node_name : h->subnet;
		h->own = h->lease->node_id && strcmp(h->lease->node_id, own_node_id) == 0;
		h->rtt_s = -1;
		f->counts[h->state]++;
		f->len++;
	}
	qsort(f->hosts, f->len, sizeof(*f->hosts), by_subnet);
}

/* ---- how this host finds them ---- */

static void take_reach(struct fleet *f, const json_t *item)
{
	const json_t *rtt = json_object_get(item, "rttSeconds");
	const char *reach = ctl_text(item, "reach");
	const char *v4 = ctl_text(item, "subnet");
	const char *v6 = ctl_text(item, "subnetV6");
	auto_lease struct lease *l = lease_new();
	struct fleet_host *h;

	if ((v4 && ip_net_parse(v4, AF_INET, &l->subnet.v4, NULL) < 0) ||
	    (v6 && ip_net_parse(v6, AF_INET6, &l->subnet.v6, NULL) < 0))
		return;
	h = bsearch(&(struct fleet_host){ .lease = l }, f->hosts, f->len, sizeof(*f->hosts),
		    by_subnet);
	if (!h || !reach)
		return;
	free(h->reach);
	h->reach = xstrdup(reach);
	h->rtt_s = json_is_number(rtt) ? json_number_value(rtt) : -1;
}

/* No daemon here: then nobody knows. */
static void ask_daemon(struct fleet *f, const char *socket)
{
	auto_json json_t *document = NULL;
	struct err e;
	json_t *item;
	size_t i;

	if (client_get(socket, "/v1/subnets", "SubnetList", DAEMON_TIMEOUT_MS, &document, &e) < 0)
		return;
	json_array_foreach (json_object_get(document, "items"), i, item)
		take_reach(f, item);
}

int fleet_read(const struct ctl *c, struct fleet *ret)
{
	auto_session struct session s = { 0 };
	struct store_reply leases = { 0 };
	struct store_reply records = { 0 };
	int status = session_open(c, &s);

	*ret = (struct fleet){ 0 };
	if (status == CTL_OK)
		status = session_need_trait(c, &s, STORE_KEEPS_HEALTH, true,
					    "has no place for what hosts tell of themselves");
	if (status)
		return status;
	session_ask(&s, &(struct store_request){ .op = STORE_LIST }, &leases);
	if (leases.status == STORE_OK)
		session_ask(&s, &(struct store_request){ .op = STORE_HEALTH_LIST }, &records);
	if (leases.status != STORE_OK)
		status = session_fail(c, &s, &leases);
	else if (records.status != STORE_OK)
		status = session_fail(c, &s, &records);
	else
		join(ret, &leases, &records, s.settings.node_id);
	if (status == CTL_OK)
		ask_daemon(ret, s.settings.socket);
	store_reply_fini(&leases);
	store_reply_fini(&records);
	return status;
}

/* ---- as it is shown ---- */

static int by_state(const void *a, const void *b)
{
	const struct fleet_host *x = a;
	const struct fleet_host *y = b;

	return x->state != y->state ? (int)x->state - (int)y->state : strcmp(x->name, y->name);
}

void fleet_sort_by_state(struct fleet *f)
{
	qsort(f->hosts, f->len, sizeof(*f->hosts), by_state);
}

static json_t *time_json(int64_t wall_s)
{
	char text[CLOCK_TEXT];

	return wall_s ? json_string(clock_format_utc(wall_s * 1000, text)) : json_null();
}

static json_t *problems_json(const struct health_record *r)
{
	json_t *list = json_array();

	for (size_t i = 0; r && i < r->problems_len; i++) {
		const struct health_record_problem *p = &r->problems[i];

		json_append(list, json_pack("{s:o,s:s,s:o,s:o}", "name", json_text(p->name),
					    "severity", problem_severity_name(p->severity), "since",
					    time_json(p->since_s), "text", json_text(p->text)));
	}
	return list;
}

static json_t *counts_json(const struct health_record *r)
{
	json_t *counts;

	if (!r)
		return json_null();
	counts = json_object();
	for (size_t i = 0; i < HEALTH_REACHES; i++)
		json_object_set_new(counts, health_reach_name(i),
				    json_integer((json_int_t)r->reaches[i]));
	return counts;
}

json_t *fleet_host_json(const struct fleet_host *h)
{
	const struct health_record *r = h->record;
	json_t *item = json_object();

	json_object_set_new(item, "node", lease_text_json(h->lease->node_name));
	json_object_set_new(item, "nodeID", lease_text_json(h->lease->node_id));
	json_object_set_new(item, "subnet", lease_net_json(&h->lease->subnet.v4));
	json_object_set_new(item, "subnetV6", lease_net_json(&h->lease->subnet.v6));
	json_object_set_new(item, "publicIP", lease_addr_json(&h->lease->public_v4));
	json_object_set_new(item, "publicIPv6", lease_addr_json(&h->lease->public_v6));
	json_object_set_new(item, "backend", lease_text_json(h->lease->backend_type));
	json_object_set_new(item, "own", json_boolean(h->own));
	json_object_set_new(item, "state", json_string(states[h->state].name));
	json_object_set_new(item, "problems", problems_json(r));
	json_object_set_new(item, "problemsMore",
			    json_integer(r ? (json_int_t)r->problems_more : 0));
	json_object_set_new(item, "peers", counts_json(r));
	json_object_set_new(item, "version", lease_text_json(r ? r->version : NULL));
	json_object_set_new(item, "kernel", lease_text_json(r ? r->kernel : NULL));
	json_object_set_new(item, "podMTU",
			    r && r->pod_mtu_bytes ? json_integer(r->pod_mtu_bytes) : json_null());
	json_object_set_new(item, "started", time_json(r ? r->started_s : 0));
	json_object_set_new(item, "written", time_json(r ? r->written_s : 0));
	json_object_set_new(item, "reach", lease_text_json(h->reach));
	json_object_set_new(item, "rttSeconds", h->rtt_s >= 0 ? json_real(h->rtt_s) : json_null());
	return item;
}
