/* SPDX-License-Identifier: Apache-2.0 */
/* Networks and endpoints for docker; see docker.h. */
#include "cni-plugin/docker.h"

#include <errno.h>
#include <string.h>

#include "cni-plugin/attach.h"
#include "cni-plugin/error.h"
#include "cni-plugin/keep.h"
#include "cni-plugin/rival.h"
#include "cni-plugin/rules.h"
#include "cni-plugin/undo.h"
#include "kernel/device.h"
#include "kernel/marks.h"
#include "lib/log.h"

#define PREFIX "eth" /* of the interface's name in the container */

/* ---- networks ---- */

/* Nothing is made for one: all of docker's networks here are the host's part of the fabric. */
int docker_create_network(struct docker *d, const struct docker_call *c, json_t **ret,
			  struct err *e)
{
	if (c->internal)
		return cni_error(e, CNI_CONFIG,
				 "--internal is not possible: the containers are reached from all "
				 "hosts of the fabric");
	if (c->option)
		return cni_error(e, CNI_CONFIG, "there is no option \"%.60s\"", c->option);
	if (docker_open_fabric(d, e) < 0)
		return e->code;
	for (size_t i = 0; i < c->pools_len; i++) {
		size_t ignored;

		/* Addresses from elsewhere are the containers' of others, too. */
		if (strcmp(c->pools[i].address_space, DOCKER_ADDRESS_SPACE) != 0)
			return cni_error(e, CNI_CONFIG,
					 "the addresses must be from this host's subnet: make the "
					 "network with --ipam-driver as with --driver");
		if (docker_find_set(d, &c->pools[i].net, &ignored, e) < 0)
			return e->code;
	}
	*ret = json_object();
	return 0;
}

/* ---- what an endpoint consists of ---- */

struct endpoint {
	struct docker *d;
	const struct docker_call *call;
	struct store *store; /* the endpoint's lock is held */
	char ifname[IFNAMSIZ];
	struct record record;
	bool recorded;            /* it says something */
	struct docker_call again; /* that made it, as the record tells */
};

static void endpoint_fini(struct endpoint *p)
{
	store_close(p->store);
	record_fini(&p->record);
}
#define auto_endpoint __attribute__((cleanup(endpoint_fini)))

/* -ENOENT: there is no record, and none is to be made. A damaged one says nothing. */
static int open_endpoint(struct docker *d, const struct docker_call *c, bool create,
			 struct endpoint *ret, struct err *e)
{
	int rc = store_open(d->data_dir, MARK_DOCKER_NETWORK, create, &ret->store, e);

	ret->d = d;
	ret->call = c;
	docker_interface_name(c->endpoint_id, ret->ifname);
	if (rc == 0)
		rc = store_lock(ret->store, c->endpoint_id, ret->ifname, e);
	if (rc == 0)
		rc = store_read(ret->store, c->endpoint_id, ret->ifname, &ret->record, e);
	ret->recorded = rc == 0;
	if (rc == -EINVAL)
		log_warn("record-damaged", "%s", e->text);
	if (rc == -EINVAL || (rc == -ENOENT && create))
		rc = 0;
	return rc < 0 && rc != -ENOENT ? cni_classify(e, CNI_STATE) : rc;
}

/* Both ends stand here: dockerd has not taken the container's yet. */
static bool stands(const struct endpoint *p)
{
	struct device d;

	return p->recorded && p->record.complete && undo_is_alive(&p->d->host, &p->record) &&
	       device_get(p->d->host.nl, p->ifname, &d, NULL) == 0 &&
	       memcmp(&d.mac, &p->record.mac, sizeof(d.mac)) == 0;
}

static bool has_addresses(const struct record *r, const struct docker_call *c)
{
	if (r->addresses_len != c->addresses_len)
		return false;
	for (size_t i = 0; i < r->addresses_len; i++) {
		if (!ip_addr_equal(&r->addresses[i], &c->addresses[i].addr))
			return false;
	}
	return true;
}

/* From the MAC that RequestAddress was told, or from nobody, to the endpoint. */
static int take_address(struct endpoint *p, struct pool *pool, size_t set,
			const struct ip_addr *address, struct err *e)
{
	const struct pool_owner owner = { .container_id = p->record.container_id,
					  .ifname = p->record.ifname };
	char name[DOCKER_OWNER_SIZE];
	const struct pool_owner pending = docker_pending_owner(&p->call->mac, name);
	struct pool_address chosen;

	if (pool_is_owner(pool, address, &owner))
		return 0;
	if (pool_release(pool, address, &pending, e) < 0 ||
	    pool_choose(pool, &p->d->config.ranges.sets[set], set, address, &chosen, e) < 0)
		return e->code;
	return pool_reserve(pool, &chosen, &owner, e);
}

static int take_addresses(struct endpoint *p, const size_t *sets, struct err *e)
{
	auto_pool struct pool *pool = NULL;

	if (docker_open_pool(p->d, &pool, e) < 0)
		return e->code;
	for (size_t i = 0; i < p->record.addresses_len; i++) {
		if (take_address(p, pool, sets[i], &p->record.addresses[i], e) < 0)
			return cni_classify(e, CNI_STATE);
	}
	return 0;
}

/* Everything that will be, before any of it is. Takes `ports`. */
static int plan(struct endpoint *p, struct result *ipam, const struct ports *ports,
		size_t *ret_sets, struct err *e)
{
	const struct docker_call *c = p->call;
	struct docker *d = p->d;
	struct record *r = &p->record;

	d->config.has_mac = !mac_addr_is_zero(&c->mac);
	d->config.mac = c->mac;
	/* It is dockerd that gives it its addresses and switches it on. */
	d->config.interface_down = true;
	*r = (struct record){ .container_id = xstrdup(c->endpoint_id),
			      .ifname = xstrdup(p->ifname),
			      .network = xstrdup(MARK_DOCKER_NETWORK),
			      .pool_dir = xstrdup(d->pool_dir),
			      .subnet_file = xstrdup(d->subnet_file) };
	r->ports = *ports;
	attach_plan_names(&d->config, r);
	for (size_t i = 0; i < c->addresses_len; i++) {
		const struct ip_net *net = &c->addresses[i];

		if (docker_find_set(d, net, &ret_sets[i], e) < 0)
			return e->code;
		r->addresses[r->addresses_len++] = net->addr;
		result_add_address(ipam, net, &d->config.ranges.sets[ret_sets[i]].items[0].gateway);
	}
	attach_plan(&d->config, ipam, r);
	return store_write(p->store, r, e) < 0 ? cni_classify(e, CNI_STATE) : 0;
}

static int build(struct endpoint *p, const struct result *ipam, struct err *e)
{
	struct docker *d = p->d;
	auto_result struct result result = { 0 };
	bool ignored = false;
	const struct attach attach = { .host = &d->host,
				       .config = &d->config,
				       .sandbox = "",
				       .record = &p->record,
				       .ret_other_addresses = &ignored,
				       .ipam = ipam };
	int rc = rules_install(&d->host, &p->record, e);

	if (rc == 0)
		rc = attach_interface(&attach, &result, e);
	if (rc == 0 && store_complete(p->store, e) < 0)
		rc = cni_classify(e, CNI_STATE);
	return rc;
}

/* As after an ADD: what is shared was found undone, and others may miss more of it. */
static void keep_others(struct endpoint *p)
{
	struct keep_report report;
	struct err e;

	if (!p->d->host.disturbed)
		return;
	if (keep_all(&p->d->host, p->d->data_dir, &p->record, 0, &report, &e) < 0)
		log_warn("not-kept", "%s", e.text);
	keep_report_fini(&report);
}

/* The record was lost, or there never was one. */
static int delete_unrecorded(struct endpoint *p, struct err *e)
{
	struct host *h = &p->d->host;

	if (rules_remove_owner(h, MARK_DOCKER_NETWORK, p->call->endpoint_id, p->ifname, e) < 0)
		return cni_classify(e, CNI_KERNEL);
	return undo_end(h, p->ifname, e);
}

/* Unfinished, for other addresses, or without its record. */
static int clear(struct endpoint *p, struct err *e)
{
	struct device d;

	if (p->recorded)
		return undo_interface(&p->d->host, &p->record, e);
	return device_get(p->d->host.nl, p->ifname, &d, NULL) == 0 ? delete_unrecorded(p, e) : 0;
}

static int make(struct endpoint *p, struct err *e)
{
	const struct cni_env env = CNI_ENV_EMPTY;
	auto_result struct result ipam = { 0 };
	size_t sets[ARRAY_LEN(p->call->addresses)];
	struct ports ports; /* that are published already */
	struct err why;
	int rc;

	if (clear(p, e) < 0)
		return err_wrap(e, "undo what is left of the endpoint");
	ports = p->record.ports;
	p->record.ports = (struct ports){ 0 };
	record_fini(&p->record);
	if (plan(p, &ipam, &ports, sets, e) < 0)
		return e->code;
	rc = take_addresses(p, sets, e);
	if (rc == 0)
		rc = build(p, &ipam, e);
	if (rc < 0) {
		if (undo_record(&p->d->host, p->store, &env, &p->record, NULL, &why) < 0)
			log_warn("undo-incomplete", "%s", why.text);
		return e->code;
	}
	keep_others(p);
	return 0;
}

/* ---- the calls ---- */

/* A MAC that docker has chosen must not be said back. */
static json_t *endpoint_answer(const struct endpoint *p)
{
	char mac[MAC_TEXT];

	if (!mac_addr_is_zero(&p->call->mac))
		return json_pack("{s:{}}", "Interface");
	return json_pack("{s:{s:s}}", "Interface", "MacAddress",
			 mac_addr_format(&p->record.mac, mac));
}

int docker_create_endpoint(struct docker *d, const struct docker_call *c, json_t **ret,
			   struct err *e)
{
	auto_endpoint struct endpoint p = { 0 };

	if (docker_open_fabric(d, e) < 0 || open_endpoint(d, c, true, &p, e) < 0)
		return e->code;
	if (!(stands(&p) && has_addresses(&p.record, c)) && make(&p, e) < 0)
		return e->code;
	*ret = endpoint_answer(&p);
	return 0;
}

int docker_delete_endpoint(struct docker *d, const struct docker_call *c, json_t **ret,
			   struct err *e)
{
	auto_endpoint struct endpoint p = { 0 };
	int rc = open_endpoint(d, c, false, &p, e);

	*ret = json_object();
	if (rc == -ENOENT || (rc == 0 && !p.recorded))
		return delete_unrecorded(&p, e);
	if (rc == 0)
		rc = undo_interface(&d->host, &p.record, e);
	return rc < 0 ? cni_classify(e, CNI_STATE) : 0;
}

static void add_gateways(const struct record *r, json_t *answer)
{
	for (size_t i = 0; i < r->gateways_len; i++) {
		const struct ip_addr *a = &r->gateways[i].addr;
		char text[IP_ADDR_TEXT];

		json_object_set_new(answer, a->family == AF_INET ? "Gateway" : "GatewayIPv6",
				    json_string(ip_addr_format(a, text)));
	}
}

/*
 * After a Leave the veth pair may be in a container that has ended, or gone with it; then the endpoint
 * gets another, with the same addresses and MAC.
 */
static int make_again(struct endpoint *p, struct err *e)
{
	const struct record *r = &p->record;
	struct docker_call *c = &p->again;

	if (docker_open_fabric(p->d, e) < 0)
		return e->code;
	*c = (struct docker_call){ .endpoint_id = p->call->endpoint_id, .mac = r->mac };
	for (size_t i = 0; i < r->addresses_len && i < ARRAY_LEN(c->addresses); i++) {
		struct ip_net *net = &c->addresses[c->addresses_len++];

		net->addr = r->addresses[i];
		net->len = net->addr.family == AF_INET ? p->d->fabric.subnet.len
						       : p->d->fabric.subnet_v6.len;
	}
	p->call = c;
	return make(p, e);
}

int docker_join(struct docker *d, const struct docker_call *c, json_t **ret, struct err *e)
{
	auto_endpoint struct endpoint p = { 0 };
	json_t *answer;
	int rc = open_endpoint(d, c, false, &p, e);

	if (rc == -ENOENT || (rc == 0 && !p.recorded))
		return cni_error(e, CNI_STATE, "there is no endpoint %.80s", c->endpoint_id);
	if (rc < 0)
		return rc;
	if (!stands(&p) && make_again(&p, e) < 0)
		return e->code;
	answer = json_pack("{s:{s:s, s:s}}", "InterfaceName", "SrcName", p.ifname, "DstPrefix",
			   PREFIX);
	add_gateways(&p.record, answer);
	*ret = answer;
	return 0;
}

/* ---- ports of the host ---- */

static bool same_ports(const struct ports *a, const struct ports *b)
{
	auto_json json_t *one = ports_json(a);
	auto_json json_t *other = ports_json(b);

	return json_equal(one, other);
}

static int write_ports(struct endpoint *p, const struct ports *ports, struct err *e)
{
	auto_json json_t *list = ports_json(ports);
	struct record *r = &p->record;

	ports_fini(&r->ports);
	r->complete = false;
	if (ports_parse(list, &r->ports, e) < 0 || store_write(p->store, r, e) < 0)
		return cni_classify(e, CNI_STATE);
	return 0;
}

static int complete(struct endpoint *p, struct err *e)
{
	return store_complete(p->store, e) < 0 ? cni_classify(e, CNI_STATE) : 0;
}

/* What leads to it now leads nowhere; the rest of its rules stands again at once. */
static int close_ports(struct endpoint *p, struct err *e)
{
	const struct ports none = { 0 };
	struct host *h = &p->d->host;

	if (rules_remove(h, &p->record, e) < 0 || write_ports(p, &none, e) < 0)
		return e->code;
	if (undo_is_alive(h, &p->record) && rules_install(h, &p->record, e) < 0)
		return e->code;
	return complete(p, e);
}

static int open_ports(struct endpoint *p, const struct ports *ports, struct err *e)
{
	struct host *h = &p->d->host;

	if (write_ports(p, ports, e) < 0 || rival_check(h, p->d->data_dir, &p->record, e) < 0 ||
	    rules_install(h, &p->record, e) < 0 || rules_open_localhost(&p->record, e) < 0)
		return e->code;
	return complete(p, e);
}

int docker_publish(struct docker *d, const struct docker_call *c, json_t **ret, struct err *e)
{
	auto_endpoint struct endpoint p = { 0 };
	struct err why;
	int rc;

	*ret = json_object();
	if (c->ports.len == 0)
		return 0;
	rc = open_endpoint(d, c, false, &p, e);
	if (rc == -ENOENT || (rc == 0 && !p.recorded))
		return cni_error(e, CNI_STATE, "there is no endpoint %.80s", c->endpoint_id);
	if (rc < 0)
		return rc;
	if (p.record.ports.len && !same_ports(&p.record.ports, &c->ports) && close_ports(&p, e) < 0)
		return e->code;
	rc = open_ports(&p, &c->ports, e);
	if (rc < 0 && close_ports(&p, &why) < 0)
		log_warn("undo-incomplete", "%s", why.text);
	return rc;
}

int docker_revoke(struct docker *d, const struct docker_call *c, json_t **ret, struct err *e)
{
	auto_endpoint struct endpoint p = { 0 };
	int rc = open_endpoint(d, c, false, &p, e);

	*ret = json_object();
	if (rc == -ENOENT || (rc == 0 && (!p.recorded || p.record.ports.len == 0)))
		return 0;
	return rc < 0 ? rc : close_ports(&p, e);
}
