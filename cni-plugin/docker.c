/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/docker.h"

#include <errno.h>
#include <string.h>

#include "cni-plugin/confine.h"
#include "cni-plugin/error.h"
#include "cni-plugin/version.h"
#include "kernel/marks.h"
#include "lib/file.h"
#include "lib/hash.h"

#define NAME_BITS 44 /* 11 hex digits behind "veth" */

typedef int call_fn(struct docker *d, const struct docker_call *c, json_t **ret, struct err *e);

static call_fn *const calls[] = {
	[DOCKER_REQUEST_POOL] = docker_request_pool,
	[DOCKER_REQUEST_ADDRESS] = docker_request_address,
	[DOCKER_RELEASE_ADDRESS] = docker_release_address,
	[DOCKER_CREATE_NETWORK] = docker_create_network,
	[DOCKER_CREATE_ENDPOINT] = docker_create_endpoint,
	[DOCKER_DELETE_ENDPOINT] = docker_delete_endpoint,
	[DOCKER_JOIN] = docker_join,
	[DOCKER_PUBLISH] = docker_publish,
	[DOCKER_REVOKE] = docker_revoke,
};

struct pool_owner docker_pending_owner(const struct mac_addr *mac,
				       char buf[static DOCKER_OWNER_SIZE])
{
	const uint8_t *b = mac->b;

	snprintf(buf, DOCKER_OWNER_SIZE, "mac-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3],
		 b[4], b[5]);
	return (struct pool_owner){ .container_id = buf, .ifname = "pending" };
}

void docker_interface_name(const char *endpoint_id, char ret[static IFNAMSIZ])
{
	uint64_t hash = hash_mix(hash_text(HASH_FNV_INIT, endpoint_id)) >> (64 - NAME_BITS);

	snprintf(ret, IFNAMSIZ, "veth%011llx", (unsigned long long)hash);
}

/* The configuration of a list that says nothing but where things are. */
static json_t *configuration(const struct docker *d)
{
	return json_pack("{s:s, s:s, s:o, s:o, s:{s:o}}", "cniVersion", VERSION_LATEST, "name",
			 MARK_DOCKER_NETWORK, "dataDir", json_text(d->data_dir), "subnetFile",
			 json_text(d->subnet_file), "ipam", "dataDir", json_text(d->ipam_dir));
}

int docker_open_fabric(struct docker *d, struct err *e)
{
	const struct cni_args none = { 0 };

	if (netconf_read(configuration(d), &d->n, e) < 0 ||
	    fabric_read(d->subnet_file, &d->fabric, e) < 0 ||
	    netconf_generate(&d->n, &d->fabric, &d->object, e) < 0)
		return e->code;
	return config_parse(&d->n, d->object, &d->fabric, &none, &d->config, e);
}

int docker_find_set(const struct docker *d, const struct ip_net *pool, size_t *ret, struct err *e)
{
	struct ip_net wanted = ip_net_masked(pool);
	const struct ranges *ranges = &d->config.ranges;
	char asked[IP_NET_TEXT];
	char ours[IP_NET_TEXT];

	for (size_t i = 0; i < ranges->len; i++) {
		const struct ip_net *subnet = &ranges->sets[i].items[0].subnet;

		if (subnet->addr.family != pool->addr.family)
			continue;
		if (ip_net_equal(subnet, &wanted)) {
			*ret = i;
			return 0;
		}
		return cni_error(e, CNI_CONFIG,
				 "subnet %s is not this host's: make the network (again) with "
				 "--subnet %s",
				 ip_net_format(&wanted, asked), ip_net_format(subnet, ours));
	}
	return cni_error(e, CNI_CONFIG, "this host has no %s subnet",
			 pool->addr.family == AF_INET6 ? "IPv6" : "IPv4");
}

int docker_open_pool(const struct docker *d, struct pool **ret, struct err *e)
{
	if (pool_open(d->pool_dir, true, ret, e) < 0)
		return cni_classify(e, CNI_STATE);
	pool_look_beside(*ret, NULL, NULL);
	return 0;
}

static int read_call(const char *name, struct docker_call *ret, struct err *e)
{
	enum docker_method method;
	auto_free char *text = NULL;
	size_t size = 0;

	if (docker_method_parse(name, &method) < 0)
		return err_set(e, -ENOENT, "there is no call %.60s", name);
	if (file_read_stdin(DOCKER_CALL_SIZE_MAX, &text, &size, e) < 0)
		return e->code;
	return docker_call_parse(method, text, size, ret, e);
}

static int run(struct docker *d, const char *name, json_t **ret, struct err *e)
{
	auto_docker_call struct docker_call call = { 0 };

	if (read_call(name, &call, e) < 0 || host_open(&d->host, e) < 0)
		return e->code;
	/* The daemon's unit has taken what confine_process would give up, and the calls for that too. */
	confine_to_self();
	return calls[call.method](d, &call, ret, e);
}

int docker_command(int argc, char **argv)
{
	auto_json json_t *answer = NULL;
	struct docker d = { .host = HOST_NONE };
	struct err e = { 0 };
	int rc;

	if (argc != 4) {
		fputs("usage: flannel docker CALL DATA-DIR IPAM-DIR SUBNET-FILE\n", stderr);
		return EXIT_FAILURE;
	}
	d.data_dir = argv[1];
	d.ipam_dir = argv[2];
	d.subnet_file = argv[3];
	d.pool_dir = xasprintf("%s/%s", d.ipam_dir, MARK_DOCKER_NETWORK);
	rc = run(&d, argv[0], &answer, &e);
	if (rc < 0) {
		json_decref(answer);
		answer = json_pack("{s:o}", "Err", json_text(e.text));
	}
	if (json_dumpf(answer, stdout, JSON_COMPACT) < 0 || fputc('\n', stdout) == EOF ||
	    fflush(stdout) == EOF)
		rc = -EIO;
	host_close(&d.host);
	config_fini(&d.config);
	json_decref(d.object);
	netconf_fini(&d.n);
	free(d.pool_dir);
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
