/* SPDX-License-Identifier: Apache-2.0 */
#include "cni-plugin/rival.h"

#include <errno.h>
#include <fcntl.h>

#include "cni-plugin/error.h"
#include "cni-plugin/lock.h"
#include "cni-plugin/rules.h"
#include "cni-plugin/undo.h"
#include "lib/log.h"

/* Of the directory of all records, where it is neither a network's nor a container's. */
#define LOCK_NAME ".ports"

/* Who has a port of ours, among those that are recorded and live. */
struct rival {
	const struct host *host;
	const char *data_dir;
	struct store *store;
	struct holder {
		uint64_t owner;
		char port[RULES_PORT_TEXT];
	} * holders;
	size_t holders_len;
	size_t holders_cap;
	const struct holder *holder; /* one that lives; NULL: not found */
	char *container_id;
};

static void add_holder(void *arg, uint64_t owner, const char *port)
{
	struct rival *s = arg;
	struct holder *holder;

	if (s->holders_len && s->holders[s->holders_len - 1].owner == owner)
		return;
	GROW(s->holders, s->holders_len, s->holders_cap);
	holder = &s->holders[s->holders_len++];
	holder->owner = owner;
	snprintf(holder->port, sizeof(holder->port), "%s", port);
}

static const struct holder *find_holder(const struct rival *s, uint64_t owner)
{
	for (size_t i = 0; i < s->holders_len; i++) {
		if (s->holders[i].owner == owner)
			return &s->holders[i];
	}
	return NULL;
}

static void look_for_rival(void *arg, const char *container_id, const char *ifname)
{
	auto_record struct record r = { 0 };
	struct rival *s = arg;
	const struct holder *holder =
		s->holder ? NULL : find_holder(s, rules_owner_key(container_id, ifname));
	struct err ignored;

	if (!holder || store_read(s->store, container_id, ifname, &r, &ignored) < 0 ||
	    !undo_is_alive(s->host, &r))
		return;
	s->holder = holder;
	s->container_id = xstrdup(container_id);
}

static bool look_for_rival_in(void *arg, const char *network)
{
	auto_store struct store *store = NULL;
	struct rival *s = arg;
	struct err ignored;

	if (store_open(s->data_dir, network, false, &store, &ignored) == 0) {
		s->store = store;
		if (store_list(store, look_for_rival, s, &ignored) < 0)
			log_warn("records-unread", "%s", ignored.text);
	}
	return !s->holder;
}

static bool has_family(const struct record *r, int family)
{
	for (size_t i = 0; i < r->addresses_len; i++) {
		if (r->addresses[i].family == family)
			return true;
	}
	return false;
}

/* Packets of ::1 never leave the host, also to a container of it: of IPv4 alone that can be allowed. */
static bool is_unreachable(const struct ip_addr *host)
{
	return host->family == AF_INET6 && ip_addr_is_loopback(host);
}

static int check_addresses(const struct record *r, struct err *e)
{
	for (size_t i = 0; i < r->ports.len; i++) {
		const struct ip_addr *host = &r->ports.items[i].host;
		char text[IP_ADDR_TEXT];

		if (ip_addr_is_set(host) && !has_family(r, host->family))
			return cni_error(e, CNI_CONFIG,
					 "port %u cannot be published at %s: the container has no "
					 "address of this family",
					 r->ports.items[i].host_port, ip_addr_format(host, text));
		if (is_unreachable(host))
			return cni_error(e, CNI_CONFIG,
					 "port %u cannot be published at %s: the kernel passes "
					 "nothing on from there; 127.0.0.1 can be",
					 r->ports.items[i].host_port, ip_addr_format(host, text));
	}
	return 0;
}

static int take_turn(struct host *h, const char *data_dir, struct err *e)
{
	auto_close int dir_fd = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc;

	if (h->ports_fd >= 0)
		return 0;
	rc = dir_fd < 0 ? err_sys(e, -errno, "open")
			: lock_open_file(dir_fd, LOCK_NAME, RECORD_LOCK_TIMEOUT_S, &h->ports_fd, e);
	if (rc == 0)
		return 0;
	err_wrap(e, "%s/" LOCK_NAME, data_dir);
	return cni_classify(e, CNI_STATE);
}

int rival_check(struct host *h, const char *data_dir, const struct record *r, struct err *e)
{
	struct rival s = { .host = h, .data_dir = data_dir };
	struct err ignored;
	int rc = 0;

	if (r->ports.len == 0)
		return 0;
	if (check_addresses(r, e) < 0 || take_turn(h, data_dir, e) < 0)
		return e->code;
	rc = rules_visit_rivals(h, r, add_holder, &s, e);
	if (rc == 0 && s.holders_len)
		(void)!store_each_network(data_dir, look_for_rival_in, &s, &ignored);
	if (s.holder)
		rc = cni_error(e, CNI_CONFLICT,
			       "port %s of the host is published for container %.80s already",
			       s.holder->port, s.container_id);
	free(s.container_id);
	free(s.holders);
	return rc;
}
