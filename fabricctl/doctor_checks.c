/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/doctor.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdarg.h>

#include "fabric/plugin_find.h"
#include "fabricctl/trace.h"
#include "kernel/marks.h"
#include "kernel/sysctl.h"
#include "lib/file.h"
#include "lib/json.h"

#define PEERS_MAX    64 /* to which the way is looked at */
#define STRICT       1  /* rp_filter */
#define LOOSE        2
#define FINDINGS_MAX 8 /* of the ways to peers */

static const char *const states[] = { "ok", "warning", "error" };

void doctor_say(struct doctor *d, const char *check, enum doctor_state state, const char *remedy,
		const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	json_append(d->checks,
		    json_pack("{s:s,s:s,s:o,s:o}", "check", check, "state", states[state], "text",
			      json_text(text), "remedy", remedy ? json_text(remedy) : json_null()));
	d->warnings += state == DOCTOR_WARNING;
	d->errors += state == DOCTOR_ERROR;
}

/* Says it with the fix as its remedy, and remembers the fix. */
static void say_fixable(struct doctor *d, const char *check, enum doctor_state state,
			const struct doctor_fix *fix, const char *text)
{
	auto_free char *remedy = doctor_fix_text(fix, d->settings);
	bool known = false;

	for (size_t i = 0; i < d->fixes_len; i++)
		known |= memcmp(&d->fixes[i], fix, sizeof(*fix)) == 0;
	if (!known && d->fixes_len < DOCTOR_FIXES_MAX)
		d->fixes[d->fixes_len++] = *fix;
	doctor_say(d, check, state, remedy, "%s", text);
}

static struct doctor_fix sysctl_fix(unsigned value, const char *path)
{
	struct doctor_fix fix;

	memset(&fix, 0, sizeof(fix));
	fix.kind = DOCTOR_SYSCTL;
	fix.value = value;
	snprintf(fix.path, sizeof(fix.path), "%s", path);
	return fix;
}

char *doctor_fix_text(const struct doctor_fix *fix, const struct settings *settings)
{
	auto_free char *plugin = NULL;

	switch (fix->kind) {
	case DOCTOR_SYSCTL:
		return xasprintf("sysctl -w net/%s=%u", fix->path, fix->value);
	case DOCTOR_KEEP:
		plugin = plugin_find(settings->cni_plugin);
		return xasprintf("%s keep %s", plugin ? plugin : PLUGIN_NAME,
				 settings->cni_data_dir);
	case DOCTOR_SYNC:
		break;
	}
	return xstrdup("fabricctl sync");
}

/* ---- the daemon ---- */

static void check_daemon(struct doctor *d)
{
	const char *version = ctl_text(d->status, "version");
	const char *verdict = ctl_text(d->status, "verdict");

	if (d->status)
		doctor_say(d, "daemon", DOCTOR_OK, NULL, "flanneld %s answers: %s",
			   version ? version : "?", verdict ? verdict : "?");
	else
		doctor_say(d, "daemon", DOCTOR_ERROR,
			   d->daemon_error.code == -EACCES ? "sudo fabricctl doctor"
							   : "systemctl start flanneld",
			   "flanneld at %s does not answer (%s): the data path stays as it is, "
			   "changes "
			   "in the store are not heard",
			   d->settings->socket, d->daemon_error.text);
}

/* What the daemon says is wrong, with the command that it names. */
static void check_problems(struct doctor *d)
{
	static const char opens[] = "to open it: ";
	json_t *problem;
	size_t i;

	json_array_foreach (json_object_get(d->status, "problems"), i, problem) {
		const char *severity = ctl_text(problem, "severity");
		const char *text = ctl_text(problem, "text");
		const char *name = ctl_text(problem, "name");
		const char *remedy = text ? strstr(text, opens) : NULL;

		/* What check_forwarding says too, with what to do. */
		if (!name || !text || !severity || strcmp(severity, "info") == 0 ||
		    strcmp(name, "forwarding-off") == 0)
			continue;
		doctor_say(d, name, strcmp(severity, "error") == 0 ? DOCTOR_ERROR : DOCTOR_WARNING,
			   remedy ? remedy + strlen(opens) : NULL, "%s", text);
	}
}

/* For whose sake the tunnel's packets are tracked. */
static void check_tracking(struct doctor *d)
{
	const json_t *traffic = json_object_get(d->status, "traffic");
	const char *reason = ctl_text(traffic, "tunnelTrackedReason");

	if (!json_object_get(traffic, "tunnelTracked"))
		return;
	if (json_is_true(json_object_get(traffic, "tunnelTracked")))
		doctor_say(d, "tracking", DOCTOR_OK, NULL, "the kernel tracks tunnel packets: %s",
			   reason ? reason : "?");
	else
		doctor_say(d, "tracking", DOCTOR_OK, NULL,
			   "tunnel packets are kept out of connection tracking: no rule of others "
			   "needs them there");
}

static void check_subnet_file(struct doctor *d)
{
	const char *leased = ctl_text(json_object_get(d->status, "lease"), "subnet");
	bool v4 = ip_net_is_set(&d->env.subnet);
	struct ip_net net = ip_net_masked(v4 ? &d->env.subnet : &d->env.subnet_v6);
	char text[IP_NET_TEXT];

	if (d->env_error.code) {
		doctor_say(d, "subnet-file", DOCTOR_ERROR, "systemctl restart flanneld",
			   "%s: no container can be attached", d->env_error.text);
		return;
	}
	ip_net_format(&net, text);
	if (leased && strncmp(leased, text, strlen(text)) != 0 && !strstr(leased, text))
		doctor_say(d, "subnet-file", DOCTOR_ERROR, "systemctl restart flanneld",
			   "%s has subnet %s, the lease is %s", d->subnet_file, text, leased);
	else
		doctor_say(d, "subnet-file", DOCTOR_OK, NULL, "%s: %s, MTU %u", d->subnet_file,
			   text, d->env.mtu_bytes);
}

/* ---- switches of the kernel ---- */

bool doctor_is_tunnel(const struct link_info *link)
{
	return strncmp(link->alias, MARK_PREFIX, strlen(MARK_PREFIX)) == 0;
}

const struct link_info *doctor_find_bridge(const struct doctor *d)
{
	const struct ip_net *own =
		ip_net_is_set(&d->env.subnet) ? &d->env.subnet : &d->env.subnet_v6;
	auto_free char *name = ip_net_is_set(own) ? owner_local_device(&own->addr) : NULL;

	for (size_t i = 0; name && i < d->links_len; i++) {
		if (strcmp(d->links[i].name, name) == 0)
			return &d->links[i];
	}
	return NULL;
}

/* False if it is off, which is said. One that is not there belongs to what the kernel does not have. */
static bool check_switch(struct doctor *d, const char *path)
{
	struct doctor_fix fix = sysctl_fix(1, path);
	char text[160];
	unsigned value;

	if (sysctl_get(&value, NULL, "%s", path) < 0 || value)
		return true;
	snprintf(text, sizeof(text),
		 "net/%s is 0: nothing is passed on between containers and "
		 "other hosts",
		 path);
	say_fixable(d, "forwarding", DOCTOR_ERROR, &fix, text);
	return false;
}

static void check_forwarding(struct doctor *d)
{
	const struct link_info *bridge = doctor_find_bridge(d);
	bool v4 = ip_net_is_set(&d->env.subnet);
	bool v6 = ip_net_is_set(&d->env.subnet_v6);
	bool all = true;
	char path[80];

	if (v4)
		all &= check_switch(d, "ipv4/ip_forward");
	for (size_t i = 0; v4 && all && i < d->links_len; i++) {
		if (!doctor_is_tunnel(&d->links[i]) && &d->links[i] != bridge)
			continue;
		snprintf(path, sizeof(path), "ipv4/conf/%s/forwarding", d->links[i].name);
		all &= check_switch(d, path);
	}
	if (v6)
		all &= check_switch(d, "ipv6/conf/all/forwarding");
	if (all && (v4 || v6))
		doctor_say(d, "forwarding", DOCTOR_OK, NULL, "packets are passed on");
}

/* The kernel uses the larger of a device's own and that of all. */
static void check_rp_filter(struct doctor *d)
{
	bool strict = false;
	char path[80];
	char text[200];
	unsigned all = 0;
	unsigned own;

	if (sysctl_get(&all, NULL, "ipv4/conf/all/rp_filter") < 0)
		return;
	for (size_t i = 0; i < d->links_len; i++) {
		const char *name = d->links[i].name;
		struct doctor_fix fix;

		if (!doctor_is_tunnel(&d->links[i]) ||
		    sysctl_get(&own, NULL, "ipv4/conf/%s/rp_filter", name) < 0 ||
		    MAX(all, own) != STRICT)
			continue;
		strict = true;
		snprintf(path, sizeof(path), "ipv4/conf/%s/rp_filter", name);
		fix = sysctl_fix(LOOSE, path);
		snprintf(text, sizeof(text),
			 "rp_filter is strict on %s: a peer's packets are dropped while the route "
			 "back to it is another",
			 name);
		say_fixable(d, "rp_filter", DOCTOR_WARNING, &fix, text);
	}
	if (!strict)
		doctor_say(d, "rp_filter", DOCTOR_OK, NULL,
			   "no tunnel's packets are dropped by it");
}

/* ---- what the CNI plugin made ---- */

/* Attachments whose interface is gone. */
static size_t count_gone(const json_t *attachments)
{
	json_t *attachment;
	size_t gone = 0;
	size_t i;

	json_array_foreach (attachments, i, attachment)
		gone += json_is_false(json_object_get(attachment, "deviceExists"));
	return gone;
}

static void check_containers(struct doctor *d)
{
	size_t gone = count_gone(json_object_get(d->containers, "attachments"));
	size_t len = json_array_size(json_object_get(d->containers, "attachments"));
	const char *failed =
		json_string_value(json_array_get(json_object_get(d->containers, "failed"), 0));
	const struct link_info *bridge = doctor_find_bridge(d);
	struct doctor_fix keep;

	memset(&keep, 0, sizeof(keep));
	keep.kind = DOCTOR_KEEP;
	if (!d->containers)
		doctor_say(d, "containers", DOCTOR_WARNING, NULL,
			   "what is attached is not known: %s", d->containers_error.text);
	else if (failed)
		doctor_say(d, "containers", DOCTOR_WARNING, NULL, "not all records can be read: %s",
			   failed);
	else if (len == 0)
		doctor_say(d, "containers", DOCTOR_OK, NULL, "none is attached by the CNI plugin");
	else if (!bridge && !d->env_error.code)
		say_fixable(d, "containers", DOCTOR_ERROR, &keep,
			    "no device has the gateway's address: containers reach nobody");
	else if (bridge && !bridge->up)
		say_fixable(d, "containers", DOCTOR_ERROR, &keep,
			    "the bridge of the containers is down");
	else if (gone)
		doctor_say(
			d, "containers", DOCTOR_WARNING, "fabricctl pods",
			"%zu of %zu attached have lost their interface, and hold their addresses",
			gone, len);
	else
		doctor_say(d, "containers", DOCTOR_OK, NULL, "%zu attached by the CNI plugin%s%s",
			   len, bridge ? ", behind " : "", bridge ? bridge->name : "");
}

/* ---- the ways to the peers ---- */

/* A container's address, as good as any: the way of its packets is the same for all. */
static bool find_source(const struct doctor *d, int family, struct ip_addr *ret)
{
	const struct ip_net *own = family == AF_INET ? &d->env.subnet : &d->env.subnet_v6;
	auto_free char *device = NULL;
	json_t *attachment;
	json_t *address;
	size_t i;
	size_t n;

	if (!ip_net_is_set(own))
		return false;
	json_array_foreach (json_object_get(d->containers, "attachments"), i, attachment) {
		json_array_foreach (json_object_get(attachment, "addresses"), n, address) {
			if (ip_addr_parse(json_string_value(address), family, ret, NULL) == 0 &&
			    ip_net_contains(own, ret))
				return true;
		}
	}
	if (doctor_find_bridge(d)) {
		*ret = ip_addr_from_u128(family, ip_addr_to_u128(&own->addr) + 1);
		return true;
	}
	/* Before there are any: the tunnel device's own, if it has one. */
	*ret = ip_net_masked(own).addr;
	device = owner_local_device(ret);
	return device != NULL;
}

/* Texts, each once. */
struct findings {
	struct {
		char *text;
		const char *subnet;
		size_t peers;
	} items[FINDINGS_MAX];
	size_t len;
};

static void note(struct findings *f, const char *text, const char *subnet)
{
	for (size_t i = 0; i < f->len; i++) {
		if (strcmp(f->items[i].text, text) == 0) {
			f->items[i].peers++;
			return;
		}
	}
	if (f->len == FINDINGS_MAX)
		return;
	f->items[f->len].text = xstrdup(text);
	f->items[f->len].subnet = subnet;
	f->items[f->len++].peers = 1;
}

/* The way to one peer. Whether it could be walked. */
static bool look_at_peer(struct doctor *d, struct trace *t, const json_t *lease, const char *key,
			 struct findings *f)
{
	const char *text = ctl_text(lease, key);
	struct ip_net net;

	if (!text || json_is_true(json_object_get(lease, "own")) ||
	    ip_net_parse(text, AF_UNSPEC, &net, NULL) < 0)
		return false;
	/* The address after the tunnel's: the gateway of its containers. */
	t->packet.dst = ip_addr_from_u128(net.addr.family, ip_addr_to_u128(&net.addr) + 1);
	if (!find_source(d, net.addr.family, &t->packet.src))
		return false;
	trace_walk(t);
	if (t->elsewhere)
		return false;
	/* Whether it answers the daemon has said. */
	if (t->stop && strcmp(ctl_text(t->stop, "step"), "peer") != 0)
		note(f, ctl_text(t->stop, "text"), text);
	return true;
}

static void say_findings(struct doctor *d, struct findings *f)
{
	struct doctor_fix sync;
	char text[512];

	memset(&sync, 0, sizeof(sync));
	sync.kind = DOCTOR_SYNC;
	for (size_t i = 0; i < f->len; i++) {
		snprintf(text, sizeof(text), "packets to %s stop here: %s%s", f->items[i].subnet,
			 f->items[i].text, f->items[i].peers > 1 ? ", and so for others" : "");
		if (d->status)
			say_fixable(d, "peers", DOCTOR_ERROR, &sync, text);
		else
			doctor_say(d, "peers", DOCTOR_ERROR, "fabricctl trace", "%s", text);
		free(f->items[i].text);
	}
}

static void check_peers(struct doctor *d)
{
	struct trace t = { .leases = d->leases, .packet = { .protocol = IPPROTO_TCP } };
	struct findings f = { 0 };
	size_t peers = 0;
	json_t *lease;
	struct err e;
	size_t i;

	if (!d->leases) {
		doctor_say(d, "peers", DOCTOR_WARNING, "fabricctl doctor --store",
			   "it is not known who they are");
		return;
	}
	if (trace_open(&t, &e) == 0) {
		json_array_foreach (json_object_get(d->leases, "items"), i, lease) {
			bool v4 = peers < PEERS_MAX && look_at_peer(d, &t, lease, "subnet", &f);
			bool v6 = peers < PEERS_MAX && look_at_peer(d, &t, lease, "subnetV6", &f);

			peers += v4 || v6;
		}
		if (f.len == 0)
			doctor_say(d, "peers", DOCTOR_OK, NULL,
				   "nothing here stops packets to %zu of them, as far as the "
				   "kernel tells",
				   peers);
		say_findings(d, &f);
	} else {
		doctor_say(d, "peers", DOCTOR_WARNING, NULL, "the kernel cannot be asked: %s",
			   e.text);
	}
	trace_close(&t);
}

void doctor_check(struct doctor *d)
{
	check_daemon(d);
	check_problems(d);
	check_tracking(d);
	check_subnet_file(d);
	check_forwarding(d);
	check_rp_filter(d);
	check_containers(d);
	check_peers(d);
	doctor_check_host(d);
	doctor_check_store(d);
}
