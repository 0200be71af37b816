/* SPDX-License-Identifier: Apache-2.0 */
#include "flanneld/rules.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>

#include "flanneld/sysctls.h"
#include "lib/clock.h"
#include "lib/log.h"

#define HEAL_DELAY_MS     10 /* lets a burst of notifications become one comparison */
#define RETRY_MIN_MS      500
#define RETRY_MAX_MS      30000
#define CALM_MS           10000 /* without a foreign change, the next one is mended at once again */
#define FIGHTS_MAX        9u    /* doublings of the delay: 5 s */
#define NOTIFICATIONS_MAX 4096  /* read in one turn */
#define LATELY_MS         60000 /* how long dropped packets stay a thing to mention */
#define DEFAULT_TABLE     "flannel"

enum { PEERS, PEERS_V6, CONTAINERS, SETS };

static const char *const set_names[SETS] = {
	[PEERS] = TRAFFIC_SET_PEERS,
	[PEERS_V6] = TRAFFIC_SET_PEERS_V6,
	[CONTAINERS] = TRAFFIC_SET_CONTAINERS,
};

static const char *const counter_names[2] = { TRAFFIC_COUNTER_GUARD, TRAFFIC_COUNTER_SPOOF };

struct rules {
	struct event_base *base;
	const struct flanneld_options *options;
	void (*changed)(void *arg);
	void *arg;
	struct netlink *nl; /* NULL if the kernel has no nf_tables */
	struct nftables_monitor *monitor;
	struct event *monitor_event;
	struct event *work; /* timer: compare, put back */
	struct event *tick; /* timer: what no notification tells */
	/* where we are */
	bool started;
	struct traffic_options traffic;
	struct ip_net exclude[TRAFFIC_EXCLUDE_MAX];
	struct traffic_place place;
	struct backend_device devices[BACKEND_DEVICES];
	uint32_t ifindexes[BACKEND_DEVICES];
	uint32_t lower_ifindex;
	char table[NFTABLES_NAME_SIZE];
	enum rules_mode mode;
	char mode_reason[160];
	/* what stands */
	struct traffic_set sets[SETS];
	bool dirty;  /* compare before anything else */
	bool stands; /* the table was once found or made as wanted */
	struct err error;
	unsigned failures;
	unsigned fights; /* foreign changes undone in a row, see heal */
	int64_t healed_ms;
	char forward_block[160];
	char sysctl_missing[256];
	struct nftables_counter counters[2];
	int64_t dropped_ms; /* when a counter was last seen to rise; 0: never */
	uint64_t heals_total;
	uint64_t writes_total;
};

const char *rules_mode_name(enum rules_mode mode)
{
	return mode == RULES_NFTABLES ? "nftables" : "iptables";
}

static void arm(struct event *ev, int64_t delay_ms)
{
	struct timeval tv = { delay_ms / 1000, delay_ms % 1000 * 1000 };

	event_add(ev, &tv);
}

/* ---- options ---- */

static int parse_exclude(const struct flanneld_options *o, struct ip_net *ret, size_t *ret_len,
			 struct err *e)
{
	if (o->ip_masq_exclude.len > TRAFFIC_EXCLUDE_MAX)
		return err_set(e, -EINVAL,
			       "ip-masq-exclude is given %zu times, at most %d are allowed",
			       o->ip_masq_exclude.len, TRAFFIC_EXCLUDE_MAX);
	for (size_t i = 0; i < o->ip_masq_exclude.len; i++) {
		int rc = ip_net_parse(o->ip_masq_exclude.items[i], AF_UNSPEC, &ret[i], e);

		if (rc < 0)
			return err_wrap(e, "ip-masq-exclude");
		ret[i] = ip_net_masked(&ret[i]);
	}
	*ret_len = o->ip_masq_exclude.len;
	return 0;
}

static bool is_name(const char *text)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	static const char others[] = "0123456789._-";

	for (const char *p = text; *p; p++) {
		if (!strchr(letters, *p) && (p == text || !strchr(others, *p)))
			return false;
	}
	return true;
}

int rules_check_options(const struct flanneld_options *o, struct err *e)
{
	struct ip_net exclude[TRAFFIC_EXCLUDE_MAX];
	size_t len;

	if (strlen(o->traffic_table) > TRAFFIC_TABLE_MAX || !is_name(o->traffic_table))
		return err_set(e, -EINVAL,
			       "traffic-table is \"%.40s\", must be a letter and at most %d more "
			       "letters, digits, dots, dashes or underscores",
			       o->traffic_table, TRAFFIC_TABLE_MAX - 1);
	return parse_exclude(o, exclude, &len, e);
}

/* ---- sets ---- */

static void take(struct rules *r, bool add, struct nftables_elements *ret)
{
	for (size_t i = 0; i < SETS; i++) {
		struct nftables_key *keys;

		ret[i].set = set_names[i];
		ret[i].len = traffic_set_take(&r->sets[i], add, &keys);
		ret[i].keys = keys;
	}
}

static size_t elements_len(const struct nftables_elements *elements)
{
	size_t len = 0;

	for (size_t i = 0; i < SETS; i++)
		len += elements[i].len;
	return len;
}

static void elements_fini(struct nftables_elements *elements)
{
	for (size_t i = 0; i < SETS; i++)
		free((void *)elements[i].keys);
}

static bool pending(const struct rules *r)
{
	for (size_t i = 0; i < SETS; i++) {
		if (traffic_set_pending(&r->sets[i]))
			return true;
	}
	return false;
}

/* Carries the sets' additions or removals to the kernel. */
static int flush_sets(struct rules *r, bool add, struct err *e)
{
	struct nftables_elements elements[SETS];
	int rc = 0;

	take(r, add, elements);
	if (elements_len(elements) > 0) {
		rc = add ? nftables_change(r->nl, r->table, elements, SETS, NULL, 0, e)
			 : nftables_change(r->nl, r->table, NULL, 0, elements, SETS, e);
		/* What the set believes is wrong now. */
		if (rc < 0)
			r->dirty = true;
	}
	elements_fini(elements);
	return rc;
}

static void observe_key(void *arg, const struct nftables_key *key)
{
	traffic_set_observe(arg, key);
}

static int observe_sets(struct rules *r, struct err *e)
{
	for (size_t i = 0; i < SETS; i++) {
		int rc;

		traffic_set_observe_begin(&r->sets[i]);
		rc = nftables_set_visit(r->nl, r->table, set_names[i], observe_key, &r->sets[i], e);
		traffic_set_observe_end(&r->sets[i]);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- counters ---- */

/* A table that is gone counts no longer, but what was counted stays. */
static void read_counters(struct rules *r)
{
	for (size_t i = 0; i < ARRAY_LEN(counter_names); i++) {
		struct nftables_counter *c = &r->counters[i];
		uint64_t packets;
		uint64_t bytes;

		c->name = counter_names[i];
		if (!r->nl || !r->started ||
		    nftables_counter_read(r->nl, r->table, c->name, &packets, &bytes, NULL) < 0)
			continue;
		if (packets > c->packets && r->stands)
			r->dropped_ms = clock_boot_ms();
		c->packets = MAX(c->packets, packets);
		c->bytes = MAX(c->bytes, bytes);
	}
}

/* ---- other people's rules ---- */

struct survey {
	struct rules *r;
	bool iptables_drops; /* the FORWARD chain of iptables on nf_tables */
	char block[160];
	struct nftables_chain_info flannel[8]; /* chains that flannel left */
	size_t flannel_len;
};

/* Tables of the same names as those of iptables are iptables' own. */
static bool is_iptables(const struct nftables_chain_info *c)
{
	return strcmp(c->table, "filter") == 0 && strcmp(c->name, "FORWARD") == 0;
}

static bool is_flannel(const struct nftables_chain_info *c)
{
	bool ip = c->family == NFPROTO_IPV4 || c->family == NFPROTO_IPV6;

	return ip && ((strcmp(c->table, "nat") == 0 && strcmp(c->name, "FLANNEL-POSTRTG") == 0) ||
		      (strcmp(c->table, "filter") == 0 && strcmp(c->name, "FLANNEL-FWD") == 0) ||
		      (c->family == NFPROTO_IPV4 && strcmp(c->table, "flannel-ipv4") == 0) ||
		      (c->family == NFPROTO_IPV6 && strcmp(c->table, "flannel-ipv6") == 0));
}

static void survey_chain(void *arg, const struct nftables_chain_info *c)
{
	struct survey *s = arg;

	if (is_flannel(c) && s->flannel_len < ARRAY_LEN(s->flannel))
		s->flannel[s->flannel_len++] = *c;
	if (!c->base || c->hook != NF_INET_FORWARD || !c->drops)
		return;
	if ((c->family == NFPROTO_IPV4 && !ip_net_is_set(&s->r->place.network[0])) ||
	    (c->family == NFPROTO_IPV6 && !ip_net_is_set(&s->r->place.network[1])))
		return;
	if (c->family != NFPROTO_INET && is_iptables(c))
		s->iptables_drops = true;
	else
		snprintf(s->block, sizeof(s->block), "chain %s of table %s %s", c->name,
			 c->family == NFPROTO_INET   ? "inet"
			 : c->family == NFPROTO_IPV4 ? "ip"
						     : "ip6",
			 c->table);
}

static int take_survey(struct rules *r, struct survey *s, struct err *e)
{
	*s = (struct survey){ .r = r };
	return nftables_chains_visit(r->nl, survey_chain, s, e);
}

/* Only once ours stand. Tables before chains, so that a chain of a deleted table is no surprise. */
static void remove_leftovers(struct rules *r, const struct survey *s)
{
	struct err e;

	for (size_t i = 0; i < s->flannel_len; i++) {
		const struct nftables_chain_info *c = &s->flannel[i];
		bool postrouting = strcmp(c->name, "FLANNEL-POSTRTG") == 0;
		int rc;

		if (strncmp(c->table, "flannel-", strlen("flannel-")) == 0)
			rc = nftables_table_delete(r->nl, c->family, c->table, &e);
		else
			rc = nftables_chain_delete(r->nl, c->family, c->table,
						   postrouting ? "POSTROUTING" : "FORWARD", c->name,
						   &e);
		/* Two chains may have been in one table. */
		if (rc < 0 && rc != -ENOENT)
			log_warn("leftover", "%s %s of flannel: %s", c->table, c->name, e.text);
		else if (rc == 0)
			log_info("leftover", "rules of flannel removed: %s %s", c->table, c->name);
	}
}

/* ---- the table ---- */

static void want_work(struct rules *r, int64_t delay_ms)
{
	if (r->started && !event_pending(r->work, EV_TIMEOUT, NULL))
		arm(r->work, delay_ms);
}

static void fail(struct rules *r, const struct err *e)
{
	int64_t delay = RETRY_MIN_MS;

	if (!r->error.code || strcmp(r->error.text, e->text) != 0)
		log_error("rules-failed", "%s; trying again", e->text);
	r->error = *e;
	r->dirty = true;
	for (unsigned i = 0; i < r->failures && delay < RETRY_MAX_MS; i++)
		delay *= 2;
	r->failures++;
	want_work(r, MIN(delay, (int64_t)RETRY_MAX_MS));
}

static unsigned chains_wanted(const struct rules *r)
{
	unsigned all = (1u << TRAFFIC_CHAINS) - 1;

	return r->mode == RULES_NFTABLES ? all : 1u << TRAFFIC_GUARD;
}

static int replace(struct rules *r, const struct traffic_rules *wanted, const char *why,
		   struct err *e)
{
	struct nftables_elements elements[SETS];
	struct nftables_ruleset set;
	int rc;

	read_counters(r);
	set = traffic_ruleset(r->table, wanted, r->counters);
	for (size_t i = 0; i < SETS; i++) {
		struct nftables_key *keys;

		elements[i].set = set_names[i];
		elements[i].len = traffic_set_take_all(&r->sets[i], &keys);
		elements[i].keys = keys;
	}
	rc = nftables_replace(r->nl, &set, elements, SETS, e);
	elements_fini(elements);
	if (rc < 0)
		return rc;
	if (r->stands) {
		int64_t now = clock_boot_ms();

		r->fights = now - r->healed_ms < CALM_MS ? r->fights + 1 : 0;
		r->healed_ms = now;
		r->heals_total++;
		log_warn("rules-healed", "%s; table %s is put back", why, r->table);
	} else {
		log_info("rules-made", "table %s: %s", r->table, why);
	}
	return 0;
}

/* Makes the table as wanted; additions to its sets included, removals not. */
static int settle_table(struct rules *r, struct err *e)
{
	struct traffic_rules wanted = { 0 };
	struct nftables_ruleset set;
	struct survey survey;
	char why[128];
	int rc = take_survey(r, &survey, e);

	if (rc < 0)
		return rc;
	snprintf(r->forward_block, sizeof(r->forward_block), "%s", survey.block);
	traffic_rules(&r->traffic, &r->place, chains_wanted(r), &wanted);
	set = traffic_ruleset(r->table, &wanted, r->counters);
	rc = nftables_compare(r->nl, &set, why, sizeof(why), e);
	if (rc == 0 && !why[0])
		rc = observe_sets(r, e);
	if (rc == 0 && why[0])
		rc = replace(r, &wanted, why, e);
	traffic_rules_fini(&wanted);
	if (rc < 0)
		return rc;
	r->dirty = false;
	r->stands = true;
	rc = flush_sets(r, true, e);
	if (rc == 0)
		remove_leftovers(r, &survey);
	return rc;
}

static void settle(struct rules *r)
{
	struct err e;

	if (settle_table(r, &e) < 0) {
		fail(r, &e);
		return;
	}
	if (r->error.code)
		log_info("rules-ok", "table %s is as it should be again", r->table);
	r->error.code = 0;
	r->failures = 0;
}

void rules_before_routes(struct rules *r)
{
	struct err e;

	if (!r || !r->started || !r->nl)
		return;
	if (!r->dirty && pending(r) && flush_sets(r, true, &e) < 0)
		r->dirty = true;
	/* A failure has its own time for the next attempt. */
	if (r->dirty && !(r->error.code && event_pending(r->work, EV_TIMEOUT, NULL)))
		settle(r);
}

void rules_after_routes(struct rules *r)
{
	struct err e;

	if (!r || !r->started || !r->nl || r->dirty || !pending(r))
		return;
	if (flush_sets(r, false, &e) < 0)
		want_work(r, 0);
}

static void on_work(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct rules *r = arg;

	rules_before_routes(r);
	rules_after_routes(r);
	r->changed(r->arg);
}

/* ---- notifications ---- */

/* Somebody who takes our rules away again and again is answered more and more slowly. */
static void heal(struct rules *r)
{
	bool calm = clock_boot_ms() - r->healed_ms >= CALM_MS;

	r->dirty = true;
	want_work(r, calm ? HEAL_DELAY_MS : HEAL_DELAY_MS << MIN(r->fights, FIGHTS_MAX));
}

static void on_changed(void *arg, const struct nftables_change_info *change)
{
	struct rules *r = arg;
	bool ours = change->family == NFPROTO_INET && strcmp(change->table, r->table) == 0;
	/* A chain that may drop what is forwarded, or one of flannel's. */
	bool chain = change->message == NFT_MSG_NEWCHAIN || change->message == NFT_MSG_DELCHAIN;

	if (ours || chain)
		heal(r);
}

static void on_overrun(void *arg)
{
	heal(arg);
}

static void on_monitor(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	static const struct nftables_monitor_ops ops = { .changed = on_changed,
							 .overrun = on_overrun };
	struct rules *r = arg;

	nftables_monitor_read(r->monitor, NOTIFICATIONS_MAX, &ops, r);
}

void rules_refresh(struct rules *r)
{
	read_counters(r);
}

static void look_at_sysctls(struct rules *r)
{
	sysctls_check(ip_net_is_set(&r->place.network[0]), ip_net_is_set(&r->place.network[1]),
		      r->place.devices_len ? r->devices[0].name : "", r->options->set_sysctls,
		      r->sysctl_missing, sizeof(r->sysctl_missing));
}

static void on_tick(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct rules *r = arg;

	look_at_sysctls(r);
	read_counters(r);
	arm(r->tick, r->options->iptables_resync * 1000);
	r->changed(r->arg);
}

void rules_sync(struct rules *r)
{
	if (!r)
		return;
	r->dirty = true;
	want_work(r, 0);
}

/* ---- what the fabric tells ---- */

static bool is_fabric_device(const struct rules *r, uint32_t ifindex)
{
	if (ifindex == r->lower_ifindex || ifindex == 1)
		return true;
	for (size_t i = 0; i < r->place.devices_len; i++) {
		if (r->ifindexes[i] == ifindex)
			return true;
	}
	return false;
}

void rules_object_seen(struct rules *r, const struct kernel_object *object)
{
	bool address = object->key.kind == KERNEL_ADDRESS;
	uint32_t ifindex = address ? object->key.ifindex : object->value.ifindex;
	struct nftables_key key = nftables_key_ifindex(ifindex);
	struct ip_addr dst;

	if (!r || !r->started || !ifindex || (!address && object->key.kind != KERNEL_ROUTE) ||
	    is_fabric_device(r, ifindex))
		return;
	dst = kernel_object_dst(object);
	for (size_t f = 0; f < ARRAY_LEN(r->place.own); f++) {
		if (!ip_net_is_set(&r->place.own[f]) || !ip_net_contains(&r->place.own[f], &dst) ||
		    traffic_set_holds(&r->sets[CONTAINERS], &key))
			continue;
		traffic_set_hold(&r->sets[CONTAINERS], &key);
		want_work(r, 0);
	}
}

void rules_device_gone(struct rules *r, uint32_t ifindex)
{
	struct nftables_key key = nftables_key_ifindex(ifindex);

	if (!r || !traffic_set_holds(&r->sets[CONTAINERS], &key))
		return;
	traffic_set_release(&r->sets[CONTAINERS], &key);
	want_work(r, 0);
}

static void on_dumped(void *arg, const struct nlmsghdr *hdr)
{
	struct kernel_object object;
	bool gone;

	if (kernel_object_decode(hdr, &object, &gone) && !gone)
		rules_object_seen(arg, &object);
}

void rules_look_around(struct rules *r, struct netlink *route_nl)
{
	/* Who makes routes to containers: the kernel with an address, scripts, plugins. */
	static const uint8_t protocols[] = { RTPROT_KERNEL, RTPROT_BOOT, RTPROT_STATIC };
	static const int families[] = { AF_INET, AF_INET6 };
	char buffer[NETLINK_MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *hdr = (struct nlmsghdr *)(void *)buffer;

	if (!r)
		return;
	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		memset(buffer, 0, sizeof(buffer));
		kernel_object_encode_dump(KERNEL_ADDRESS, families[f], 0, 0, hdr);
		/* What a dump misses, because it changed meanwhile, is notified. */
		(void)!netlink_dump(route_nl, hdr, on_dumped, r, NULL);
		for (size_t p = 0; p < ARRAY_LEN(protocols); p++) {
			memset(buffer, 0, sizeof(buffer));
			kernel_object_encode_dump(KERNEL_ROUTE, families[f], 0, protocols[p], hdr);
			(void)!netlink_dump(route_nl, hdr, on_dumped, r, NULL);
		}
	}
}

void rules_peer(struct rules *r, struct rules_peer *peer, const struct lease *lease)
{
	static const struct ip_addr none;
	const struct ip_addr *now[4] = { lease ? &lease->public_v4 : &none,
					 lease ? &lease->public_v6 : &none,
					 lease ? &lease->source_v4 : &none,
					 lease ? &lease->source_v6 : &none };

	if (!r)
		return;
	for (size_t f = 0; f < ARRAY_LEN(now); f++) {
		struct ip_addr old = peer->addr[f];
		struct nftables_key key;

		if (ip_addr_equal(&old, now[f]))
			continue;
		/* The new one first: one key for both would leave the set for a moment. */
		if (ip_addr_is_set(now[f])) {
			key = nftables_key_addr(now[f]);
			traffic_set_hold(&r->sets[f % 2 ? PEERS_V6 : PEERS], &key);
		}
		peer->addr[f] = *now[f];
		if (ip_addr_is_set(&old)) {
			key = nftables_key_addr(&old);
			traffic_set_release(&r->sets[f % 2 ? PEERS_V6 : PEERS], &key);
		}
	}
}

void rules_place(struct rules *r, const struct network_config *config, const struct subnet *own,
		 const struct backend_device *devices, const uint32_t *ifindexes,
		 size_t devices_len, uint32_t lower_ifindex)
{
	bool first = r && !r->started;

	if (!r)
		return;
	r->started = true;
	r->place.network[0] = config->v4.enabled ? config->v4.network : (struct ip_net){ 0 };
	r->place.network[1] = config->v6.enabled ? config->v6.network : (struct ip_net){ 0 };
	r->place.own[0] = own->v4;
	r->place.own[1] = own->v6;
	memcpy(r->devices, devices, devices_len * sizeof(*devices));
	memcpy(r->ifindexes, ifindexes, devices_len * sizeof(*ifindexes));
	r->place.devices = r->devices;
	r->place.devices_len = devices_len;
	r->lower_ifindex = lower_ifindex;
	if (first)
		snprintf(r->table, sizeof(r->table), "%s",
			 *r->options->traffic_table ? r->options->traffic_table
			 : devices_len              ? devices[0].name
						    : DEFAULT_TABLE);
	r->dirty = true;
	if (first) {
		if (r->monitor) {
			r->monitor_event = event_new(r->base, nftables_monitor_fd(r->monitor),
						     EV_READ | EV_PERSIST, on_monitor, r);
			event_add(r->monitor_event, NULL);
		}
		arm(r->tick, r->options->iptables_resync * 1000);
		look_at_sysctls(r);
	}
}

/* ---- life ---- */

int rules_new(struct event_base *base, const struct flanneld_options *options,
	      void (*changed)(void *arg), void *arg, struct rules **ret, struct err *e)
{
	struct rules *r = xcalloc(1, sizeof(*r));
	int rc;

	r->base = base;
	r->options = options;
	r->changed = changed;
	r->arg = arg;
	r->work = evtimer_new(base, on_work, r);
	r->tick = evtimer_new(base, on_tick, r);
	for (size_t i = 0; i < SETS; i++)
		traffic_set_init(&r->sets[i]);
	for (size_t i = 0; i < ARRAY_LEN(counter_names); i++)
		r->counters[i].name = counter_names[i];
	r->traffic = (struct traffic_options){
		.masquerade = options->ip_masq,
		.fully_random = !options->ip_masq_fully_random_disable,
		.forward = options->iptables_forward_rules,
		.guard = options->peer_guard,
		.anti_spoof = options->anti_spoofing,
		.exclude = r->exclude,
	};
	rc = parse_exclude(options, r->exclude, &r->traffic.exclude_len, e);
	if (rc < 0) {
		rules_free(r);
		return rc;
	}
	if (netlink_open(NETLINK_NETFILTER, &r->nl, &r->error) < 0 ||
	    nftables_monitor_open(netlink_port_id(r->nl), &r->monitor, &r->error) < 0) {
		netlink_close(STEAL(r->nl));
		log_error("rules-failed", "%s; no traffic rules", r->error.text);
	}
	*ret = r;
	return 0;
}

void rules_free(struct rules *r)
{
	if (!r)
		return;
	if (r->monitor_event)
		event_free(r->monitor_event);
	event_free(r->work);
	event_free(r->tick);
	nftables_monitor_close(r->monitor);
	netlink_close(r->nl);
	for (size_t i = 0; i < SETS; i++)
		traffic_set_fini(&r->sets[i]);
	free(r);
}

void rules_view(const struct rules *r, struct rules_view *ret)
{
	*ret = (struct rules_view){
		.started = r->started,
		.table = r->table,
		.mode = r->mode,
		.mode_reason = r->mode_reason,
		.ok = r->started && !r->error.code && r->nl,
		.error = r->error.text,
		.forward_block = r->forward_block,
		.sysctl_missing = r->sysctl_missing,
		.guard = r->traffic.guard,
		.peers = r->sets[PEERS].wanted + r->sets[PEERS_V6].wanted,
		.guard_dropped_total = r->counters[0].packets,
		.spoofed_dropped_total = r->counters[1].packets,
		.dropped_lately = r->dropped_ms && clock_boot_ms() - r->dropped_ms < LATELY_MS,
		.heals_total = r->heals_total,
		.writes_total = r->nl ? netlink_counts(r->nl)->writes : 0,
	};
}
