/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who else is at work on this host, and what of the host itself is known to spoil packets. What network
 * managers do to devices that they are not told to leave alone was seen on each of them
 * (docs/operations.md); a program counts as running here if it is in this network namespace.
 */
#include <dirent.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>

#include <linux/netfilter.h>

#include "fabricctl/doctor.h"
#include "kernel/ethtool.h"
#include "lib/file.h"
#include "lib/json.h"
#include "traffic/chains.h"

#define FILE_MAX     ((size_t)64 << 10)
#define COMM_MAX     64
#define CONTAINERS   16 /* addresses that are tried */
#define EXAMPLES     "/usr/local/share/doc/flannel/examples/"
#define NETWORKD_MAX 4096

/* systemd-networkd writes down what it does with each link; what it manages it also undoes. */
static void check_networkd(struct doctor *d)
{
	static const char key[] = "ADMIN_STATE=";
	const struct link_info *bridge = doctor_find_bridge(d);
	bool runs = false;
	bool manages = false;

	for (size_t i = 0; i < d->links_len; i++) {
		auto_free char *path =
			xasprintf("/run/systemd/netif/links/%u", d->links[i].ifindex);
		auto_free char *text = NULL;
		const char *state;

		if ((!doctor_is_tunnel(&d->links[i]) && &d->links[i] != bridge) ||
		    file_read(path, NETWORKD_MAX, &text, NULL, NULL) < 0)
			continue;
		runs = true;
		state = strstr(text, key);
		if (!state || strncmp(state + strlen(key), "unmanaged", strlen("unmanaged")) == 0)
			continue;
		manages = true;
		doctor_say(d, "networkd", DOCTOR_WARNING,
			   "install -D -m 0644 /usr/local/lib/systemd/network/10-flannel.network "
			   "/etc/systemd/network/10-flannel.network && networkctl reload",
			   "systemd-networkd manages %s: it removes addresses and routes that "
			   "are not its own",
			   d->links[i].name);
	}
	if (runs && !manages)
		doctor_say(d, "networkd", DOCTOR_OK, NULL,
			   "systemd-networkd leaves the fabric's devices alone");
}

/* ---- other network managers ---- */

/* Those that are told what to leave alone by a file. */
static const struct manager {
	const char *check;
	const char *process; /* as the kernel has its name, 15 characters at most */
	const char *files[4];
	const char *word; /* that one of them has, behind no # */
	const char *does;
	const char *remedy;
} managers[] = {
	{ "NetworkManager",
	  "NetworkManager",
	  { "/etc/NetworkManager/conf.d/10-flannel.conf",
	    "/run/NetworkManager/conf.d/10-flannel.conf",
	    "/usr/lib/NetworkManager/conf.d/10-flannel.conf", NULL },
	  "interface-name:flannel",
	  "`nmcli networking off` takes their addresses and routes, and gives none back",
	  "printf "
	  "'[keyfile]\\nunmanaged-devices+=interface-name:flannel.*;interface-name:flannel-v6.*;"
	  "interface-name:cni0;interface-name:cni0.*;interface-name:veth????????\\n' "
	  ">/etc/NetworkManager/conf.d/10-flannel.conf && nmcli general reload conf" },
	{ "connman",
	  "connmand",
	  { "/etc/connman/main.conf", NULL },
	  "flannel",
	  "at its start it takes their addresses and routes, and sets them down",
	  "cat " EXAMPLES "connman-main.conf >>/etc/connman/main.conf" },
	{ "dhcpcd",
	  "dhcpcd",
	  { "/etc/dhcpcd.conf", NULL },
	  "denyinterfaces flannel",
	  "it gives them and each container's link an address of 169.254.0.0/16 and a route for it",
	  "cat " EXAMPLES "dhcpcd.conf >>/etc/dhcpcd.conf && systemctl restart dhcpcd" },
};

/* Whether the word stands in a line of the text that is no comment. */
static bool says(const char *text, const char *word)
{
	const char *found = text;

	while ((found = strstr(found, word))) {
		const char *line = found;

		while (line > text && line[-1] != '\n')
			line--;
		if (!memchr(line, '#', (size_t)(found - line)))
			return true;
		found++;
	}
	return false;
}

static bool is_told(const struct manager *m)
{
	for (size_t i = 0; m->files[i]; i++) {
		auto_free char *text = NULL;

		if (file_read(m->files[i], FILE_MAX, &text, NULL, NULL) == 0 && says(text, m->word))
			return true;
	}
	return false;
}

static bool same_network(const char *pid)
{
	auto_free char *path = xasprintf("/proc/%s/ns/net", pid);
	struct stat its;
	struct stat own;

	return stat(path, &its) == 0 && stat("/proc/self/ns/net", &own) == 0 &&
	       its.st_dev == own.st_dev && its.st_ino == own.st_ino;
}

/* Of each process in this network namespace; the name as the kernel has it, 15 characters at most. */
typedef void process_fn(void *arg, const char *pid, const char *name);

static void visit_processes(process_fn *visit, void *arg)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	while (proc && (entry = readdir(proc))) {
		auto_free char *path = xasprintf("/proc/%s/comm", entry->d_name);
		auto_free char *comm = NULL;

		if (entry->d_name[0] < '0' || entry->d_name[0] > '9' ||
		    file_read(path, COMM_MAX, &comm, NULL, NULL) < 0 ||
		    !same_network(entry->d_name))
			continue;
		comm[strcspn(comm, "\n")] = '\0';
		visit(arg, entry->d_name, comm);
	}
	if (proc)
		closedir(proc);
}

/* Sets a bit for each of the managers that runs. */
static void note_manager(void *arg, const char *pid UNUSED, const char *name)
{
	unsigned *found = arg;

	for (unsigned i = 0; i < ARRAY_LEN(managers); i++) {
		if (strcmp(name, managers[i].process) == 0)
			*found |= 1u << i;
	}
}

static void check_managers(struct doctor *d)
{
	unsigned found = 0;

	visit_processes(note_manager, &found);
	for (unsigned i = 0; i < ARRAY_LEN(managers); i++) {
		const struct manager *m = &managers[i];

		if (!(found & 1u << i))
			continue;
		if (is_told(m))
			doctor_say(d, m->check, DOCTOR_OK, NULL,
				   "%s runs, and is told to leave the fabric's devices alone",
				   m->process);
		else
			doctor_say(d, m->check, DOCTOR_WARNING, m->remedy,
				   "%s runs, and nothing tells it to leave the fabric's devices "
				   "alone: %s",
				   m->process, m->does);
	}
}

/* ---- rules that stop what comes in ---- */

static struct ip_net host_net(const struct ip_addr *a)
{
	return (struct ip_net){ *a, (uint8_t)ip_family_bits(a->family) };
}

/*
 * docker guards each container of its own bridges by a rule of its own from release 28 on. What the daemon judges is
 * the subnet as a whole, so single addresses are looked at here.
 */
static bool look_inside(struct doctor *d, struct chains *chains, const struct link_info *tunnel,
			const struct link_info *bridge)
{
	static const uint32_t hooks[] = { NF_INET_PRE_ROUTING, NF_INET_FORWARD };
	struct filter_packet p = { .family = AF_INET, .protocol = IPPROTO_TCP };
	char why[CHAINS_TEXT];
	char text[IP_ADDR_TEXT];

	snprintf(p.in_device, sizeof(p.in_device), "%s", tunnel->name);
	p.in_index = tunnel->ifindex;
	for (unsigned i = 1; i <= CONTAINERS; i++) {
		struct ip_addr to =
			ip_addr_from_u128(AF_INET, ip_addr_to_u128(&d->env.subnet.addr) + i);

		p.destination = host_net(&to);
		for (size_t h = 0; h < ARRAY_LEN(hooks); h++) {
			bool out = hooks[h] == NF_INET_FORWARD;

			snprintf(p.out_device, sizeof(p.out_device), "%s", out ? bridge->name : "");
			p.out_index = out ? bridge->ifindex : 0;
			if (chains_walk(chains, &p, hooks[h], why) != CHAINS_STOP)
				continue;
			doctor_say(d, "inbound", DOCTOR_ERROR,
				   strstr(why, " raw")
					   ? "docker network create with gateway mode "
					     "nat-unprotected: docs/integrations/docker.md"
					   : "nft -a list ruleset",
				   "%s stops packets that come through %s to %s: other hosts do "
				   "not reach that container",
				   why, tunnel->name, ip_addr_format(&to, text));
			return false;
		}
	}
	return true;
}

static void check_inbound(struct doctor *d)
{
	const struct link_info *bridge = doctor_find_bridge(d);
	const struct link_info *tunnel = NULL;
	struct netlink *nl = NULL;
	struct chains *chains;

	for (size_t i = 0; i < d->links_len && !tunnel; i++) {
		if (doctor_is_tunnel(&d->links[i]))
			tunnel = &d->links[i];
	}
	if (!bridge || !tunnel || !ip_net_is_set(&d->env.subnet))
		return;
	if (netlink_open(NETLINK_NETFILTER, &nl, NULL) < 0)
		nl = NULL;
	chains = chains_new(nl);
	if (look_inside(d, chains, tunnel, bridge))
		doctor_say(d, "inbound", DOCTOR_OK, NULL,
			   "no chain stops packets from %s to containers on %s for certain",
			   tunnel->name, bridge->name);
	chains_free(chains);
	netlink_close(nl);
}

/* ---- docker's masquerade ---- */

struct dockerd {
	bool runs;
	bool told; /* not to masquerade */
};

static void note_dockerd(void *arg, const char *pid, const char *name)
{
	auto_free char *path = xasprintf("/proc/%s/cmdline", pid);
	auto_free char *text = NULL;
	struct dockerd *d = arg;
	size_t size = 0;

	if (strcmp(name, "dockerd") != 0)
		return;
	d->runs = true;
	if (file_read(path, FILE_MAX, &text, &size, NULL) == 0)
		d->told |= memmem(text, size, "--ip-masq=false", strlen("--ip-masq=false")) != NULL;
}

static bool file_tells_dockerd(void)
{
	auto_json json_t *document = NULL;
	auto_free char *text = NULL;
	size_t size;

	return file_read("/etc/docker/daemon.json", FILE_MAX, &text, &size, NULL) == 0 &&
	       json_parse_object(text, size, &document, NULL) == 0 &&
	       json_is_false(json_object_get(document, "ip-masq"));
}

/* Of its default bridge, if that has this host's subnet; of other networks of its own each says it for itself. */
static void check_docker(struct doctor *d)
{
	const struct link_info *bridge = doctor_find_bridge(d);
	struct dockerd dockerd = { 0 };

	if (!bridge || strcmp(bridge->name, "docker0") != 0)
		return;
	visit_processes(note_dockerd, &dockerd);
	if (dockerd.runs && !dockerd.told && !file_tells_dockerd())
		doctor_say(
			d, "docker", DOCTOR_WARNING,
			"mk-docker-opts -c && systemctl restart docker",
			"dockerd masquerades what leaves docker0, also to other hosts' containers, "
			"which see this host's address: it must be told --ip-masq=false "
			"(docs/integrations/docker.md)");
	else if (dockerd.runs)
		doctor_say(d, "docker", DOCTOR_OK, NULL, "dockerd leaves masquerading to others");
}

/* ---- offload ---- */

bool doctor_offload_is_suspect(const char *driver, bool segments_tunnels)
{
	return strcmp(driver, "vmxnet3") == 0 && segments_tunnels;
}

/* Of physical devices; a tunnel's own has nothing that could be done by hardware. */
static void check_offload(struct doctor *d)
{
	for (size_t i = 0; i < d->links_len; i++) {
		const struct link_info *link = &d->links[i];
		auto_free char *remedy = NULL;
		char driver[ETHTOOL_NAME_SIZE];
		bool on = false;

		if (link->kind[0] || link->loopback || !link->up ||
		    ethtool_driver(link->name, driver, NULL) < 0 ||
		    ethtool_feature(link->name, "tx-udp_tnl-segmentation", &on, NULL) < 0 ||
		    !doctor_offload_is_suspect(driver, on))
			continue;
		remedy = xasprintf("ethtool -K %s tx-udp_tnl-segmentation off "
				   "tx-udp_tnl-csum-segmentation off",
				   link->name);
		doctor_say(d, "offload", DOCTOR_WARNING, remedy,
			   "%s (%s) segments packets inside UDP tunnels itself, which several "
			   "releases of ESXi do wrong: small packets arrive, large ones do not",
			   link->name, driver);
	}
}

/* ---- one host or two ---- */

static void check_identity(struct doctor *d)
{
	const json_t *items = json_object_get(d->leases, "items");
	size_t len = json_array_size(items);
	const json_t *own = NULL;

	for (size_t i = 0; i < len && !own; i++) {
		const json_t *item = json_array_get(items, i);

		if (json_is_true(json_object_get(item, "own")))
			own = item;
	}
	for (size_t i = 0; own && i < len; i++) {
		const json_t *item = json_array_get(items, i);
		const char *id = ctl_text(item, "nodeID");
		const char *subnet = ctl_text(item, "subnet");
		const char *node = ctl_text(item, "node");

		if (item == own || !id || !ctl_text(own, "nodeID") ||
		    strcmp(id, ctl_text(own, "nodeID")) != 0)
			continue;
		doctor_say(d, "identity", DOCTOR_ERROR, NULL,
			   "the lease of %s (%s) has this host's node id: one is a copy of the "
			   "other's disk. On the copy stop the daemon, remove %s/node-id and the "
			   "tunnel's device, start it",
			   subnet ? subnet : "?", node ? node : "?", d->settings->state_dir);
		return;
	}
	if (own)
		doctor_say(d, "identity", DOCTOR_OK, NULL,
			   "no other lease has this host's node id");
}

void doctor_check_host(struct doctor *d)
{
	check_networkd(d);
	check_managers(d);
	check_inbound(d);
	check_docker(d);
	check_offload(d);
	check_identity(d);
}
