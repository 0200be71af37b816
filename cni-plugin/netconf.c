/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/netconf.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "cni-plugin/env.h"
#include "cni-plugin/error.h"
#include "cni-plugin/version.h"

/* Keys that say "this is the direct form": those of the bridge plugin and `mode`, which is ours. */
static const char *const direct_keys[] = {
	"mode",
	"bridge",
	"isGateway",
	"isDefaultGateway",
	"forceAddress",
	"ipMasq",
	"ipMasqBackend",
	"mtu",
	"hairpinMode",
	"promiscMode",
	"vlan",
	"vlanTrunk",
	"macspoofchk",
	"enabledad",
	"portIsolation",
	"preserveDefaultVlan",
	"disableContainerInterface",
};

/* Keys of our object that say how to make the interface's, and are no part of it. */
static const char *const own_keys[] = {
	"type",
	"mode",
	"subnetFile",
	"dataDir",
	"delegate",
	"capabilities",
	"prevResult",
	"cniVersions",
	"cni.dev/valid-attachments",
	"cni.dev/attachments",
};

static bool is_own_key(const char *key)
{
	for (unsigned i = 0; i < ARRAY_LEN(own_keys); i++) {
		if (strcasecmp(key, own_keys[i]) == 0)
			return true;
	}
	return false;
}

static bool is_direct(const json_t *json)
{
	if (json_get_any_case(json, "delegate"))
		return false;
	for (unsigned i = 0; i < ARRAY_LEN(direct_keys); i++) {
		if (json_get_any_case(json, direct_keys[i]))
			return true;
	}
	return false;
}

static int read_object(const json_t *parent, const char *key, json_t **ret, struct err *e)
{
	json_t *v = NULL;

	if (json_find(parent, key, &v, e) < 0)
		return cni_classify(e, CNI_CONFIG);
	if (v && !json_is_object(v))
		return cni_error(e, CNI_CONFIG, "%s must be an object", key);
	*ret = v;
	return 0;
}

/* True if `ipam` leaves the range to us: host-local's, without a range of its own. */
static bool lacks_range(const json_t *ipam)
{
	const char *type = json_string_value(json_get_any_case(ipam, "type"));

	if (type && strcmp(type, "host-local") != 0)
		return false;
	return !json_get_any_case(ipam, "ranges") && !json_get_any_case(ipam, "subnet");
}

static int read_name(struct netconf *n, struct err *e)
{
	if (json_read_string(n->json, "name", &n->name, e) < 0)
		return cni_classify(e, CNI_CONFIG);
	if (!n->name || !n->name[0])
		return cni_error(e, CNI_CONFIG, "the network configuration has no name");
	if (!cni_is_identifier(n->name) || strlen(n->name) > NETCONF_NAME_SIZE_MAX)
		return cni_error(e, CNI_CONFIG, "network name \"%.80s\" is not valid", n->name);
	return 0;
}

static int read_version(struct netconf *n, struct err *e)
{
	if (json_read_string(n->json, "cniVersion", &n->cni_version, e) < 0)
		return cni_classify(e, CNI_DECODING);
	if (!n->cni_version || !n->cni_version[0])
		n->cni_version = "0.1.0";
	return version_check(n->cni_version, e);
}

int netconf_read(json_t *json, struct netconf *ret, struct err *e)
{
	struct netconf n = { .json = json,
			     .subnet_file = NETCONF_SUBNET_FILE,
			     .data_dir = NETCONF_DATA_DIR };
	json_t *ipam = NULL;
	int rc = read_name(&n, e);

	if (rc == 0)
		rc = read_version(&n, e);
	if (rc < 0)
		goto out;
	if (json_read_string(json, "subnetFile", &n.subnet_file, e) < 0 ||
	    json_read_string(json, "dataDir", &n.data_dir, e) < 0 ||
	    read_object(json, "ipam", &ipam, e) < 0) {
		rc = cni_classify(e, CNI_CONFIG);
		goto out;
	}
	if (!n.subnet_file[0])
		n.subnet_file = NETCONF_SUBNET_FILE;
	if (!n.data_dir[0])
		n.data_dir = NETCONF_DATA_DIR;
	n.direct = is_direct(json);
	/*
	 * In the direct form an empty ipam means an interface without addresses, as with the bridge
	 * plugin.
	 */
	n.needs_fabric = !n.direct || !ipam || (json_object_size(ipam) > 0 && lacks_range(ipam));
out:
	if (rc < 0)
		json_decref(json);
	else
		*ret = n;
	return rc;
}

void netconf_fini(struct netconf *n)
{
	json_decref(n->json);
	n->json = NULL;
}

static int read_wrapped(const struct netconf *n, json_t **ret, struct err *e)
{
	json_t *delegate = NULL;

	if (read_object(n->json, "delegate", &delegate, e) < 0)
		return e->code;
	if (json_get_any_case(delegate, "name"))
		return cni_error(e, CNI_CONFIG, "delegate must not have a name: ours is used");
	if (json_get_any_case(delegate, "ipam"))
		return cni_error(e, CNI_CONFIG,
				 "delegate must not have ipam: put it beside delegate");
	*ret = delegate;
	return 0;
}

int netconf_read_type(const struct netconf *n, const char **ret, struct err *e)
{
	const char *type = "bridge";
	json_t *delegate = NULL;

	if (n->direct) {
		if (json_read_string(n->json, "mode", &type, e) < 0)
			return cni_classify(e, CNI_CONFIG);
		if (strcmp(type, "bridge") != 0 && strcmp(type, "ptp") != 0)
			return cni_error(e, CNI_CONFIG, "mode is \"%.40s\", must be bridge or ptp",
					 type);
	} else {
		if (read_wrapped(n, &delegate, e) < 0)
			return e->code;
		if (json_read_string(delegate, "type", &type, e) < 0) {
			err_wrap(e, "delegate");
			return cni_classify(e, CNI_CONFIG);
		}
	}
	*ret = type[0] ? type : "bridge";
	return 0;
}

static json_t *net_text(const struct ip_net *net)
{
	struct ip_net masked = ip_net_masked(net);
	char text[IP_NET_TEXT];

	return json_string(ip_net_format(&masked, text));
}

static json_t *fabric_ranges(const struct subnet_env *f)
{
	const struct ip_net *subnets[] = { &f->subnet, &f->subnet_v6 };
	json_t *sets = json_array();

	for (unsigned i = 0; i < ARRAY_LEN(subnets); i++) {
		if (ip_net_is_set(subnets[i]))
			json_array_append_new(sets,
					      json_pack("[{s:o}]", "subnet", net_text(subnets[i])));
	}
	return sets;
}

static int append_routes(json_t *ipam, const struct subnet_env *f, struct err *e)
{
	static const int families[] = { AF_INET, AF_INET6 };
	auto_json json_t *routes = json_array();
	json_t *given = NULL;

	if (json_find(ipam, "routes", &given, e) < 0)
		return cni_classify(e, CNI_CONFIG);
	if (given && !json_is_array(given))
		return cni_error(e, CNI_CONFIG, "ipam.routes must be a list");
	if (given)
		json_array_extend(routes, given);
	for (unsigned k = 0; k < ARRAY_LEN(families); k++) {
		for (size_t i = 0; i < f->networks_len; i++) {
			if (f->networks[i].addr.family == families[k])
				json_array_append_new(routes, json_pack("{s:o}", "dst",
									net_text(&f->networks[i])));
		}
	}
	json_object_set(ipam, "routes", routes);
	return 0;
}

/*
 * Sets a key that is there in no spelling, so that none of two spellings of a key is the wrong one.
 */
static void set_default(json_t *object, const char *key, json_t *value)
{
	if (json_get_any_case(object, key))
		json_decref(value);
	else
		json_object_set_new(object, key, value);
}

/* Replaces a key in whatever spelling it is there. */
static void set_key(json_t *object, const char *key, json_t *value)
{
	const char *k;
	json_t *v;
	void *tmp;

	json_object_foreach_safe (object, tmp, k, v) {
		if (strcasecmp(k, key) == 0)
			json_object_del(object, k);
	}
	json_object_set_new(object, key, value);
}

/* The values that come from the daemon, each unless it is given. */
static int apply_fabric(json_t *object, const struct subnet_env *f, struct err *e)
{
	const char *type = json_string_value(json_get_any_case(object, "type"));
	json_t *ipam = json_get_any_case(object, "ipam");

	set_default(object, "ipMasq", json_boolean(!f->ip_masq));
	set_default(object, "mtu", json_integer(f->mtu_bytes));
	if (strcmp(type, "bridge") == 0)
		set_default(object, "isGateway", json_true());
	set_key(ipam, "ranges", fabric_ranges(f));
	return append_routes(ipam, f, e);
}

static json_t *copy_direct(const struct netconf *n)
{
	json_t *object = json_object();
	const char *key;
	json_t *value;

	json_object_foreach (n->json, key, value) {
		if (!is_own_key(key))
			json_object_set(object, key, value);
	}
	return object;
}

static json_t *copy_wrapped(const struct netconf *n, json_t *delegate)
{
	json_t *object = delegate ? json_copy(delegate) : json_object();
	json_t *runtime = json_get_any_case(n->json, "runtimeConfig");
	json_t *version = json_get_any_case(n->json, "cniVersion");

	json_object_set_new(object, "name", json_string(n->name));
	if (version)
		set_key(object, "cniVersion", json_incref(version));
	if (runtime)
		set_key(object, "runtimeConfig", json_incref(runtime));
	return object;
}

/* Those that are passed on as they are, or looked into where nothing can be refused any more. */
static int check_twice(const struct netconf *n, struct err *e)
{
	static const char *const keys[] = { "args", "dns", "runtimeConfig", "prevResult" };

	for (unsigned i = 0; i < ARRAY_LEN(keys); i++) {
		json_t *ignored;

		if (json_find(n->json, keys[i], &ignored, e) < 0)
			return cni_classify(e, CNI_CONFIG);
	}
	return 0;
}

int netconf_generate(const struct netconf *n, const struct subnet_env *fabric, json_t **ret,
		     struct err *e)
{
	auto_json json_t *object = NULL;
	json_t *delegate = NULL;
	const char *type = NULL;
	json_t *given = NULL;
	json_t *ipam;

	if (netconf_read_type(n, &type, e) < 0 || read_object(n->json, "ipam", &given, e) < 0 ||
	    check_twice(n, e) < 0)
		return e->code;
	if (!n->direct && read_wrapped(n, &delegate, e) < 0)
		return e->code;
	object = n->direct ? copy_direct(n) : copy_wrapped(n, delegate);
	set_key(object, "type", json_string(type));
	if (n->direct && given && json_object_size(given) == 0) {
		*ret = STEAL(object);
		return 0;
	}
	ipam = given ? json_copy(given) : json_object();
	set_key(object, "ipam", ipam);
	set_default(ipam, "type", json_string("host-local"));
	if (n->needs_fabric && apply_fabric(object, fabric, e) < 0)
		return e->code;
	*ret = STEAL(object);
	return 0;
}
