/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/rules.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>

#include "kernel/kinds.h"
#include "traffic/rules_internal.h"
#include "traffic/sysctls.h"
#include "lib/clock.h"
#include "lib/log.h"

#define HEAL_DELAY_MS     10    /* lets a burst of notifications become one comparison */
#define NOTIFICATIONS_MAX 4096  /* read in one turn */
#define LOOK_DELAY_MS     500   /* after a change of others' rules, of which there may be many */
#define LATELY_MS         60000 /* how long dropped packets stay a thing to mention */
#define DEFAULT_TABLE     "flannel"

static const struct backoff_policy retry = { .min_ms = 500, .max_ms = 30000 };

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

static int parse_exclude(const struct rules_options *o, struct ip_net *ret, size_t *ret_len,
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

int rules_check_options(const struct rules_options *o, struct err *e)
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

/* ---- the table ---- */

void rules_want_work(struct rules *r, int64_t delay_ms)
{
	if (r->started && !event_pending(r->work, EV_TIMEOUT, NULL))
		arm(r->work, delay_ms);
}

void rules_fail(struct rules *r, struct err *state, const struct err *e)
{
	*state = *e;
	r->dirty = true;
	rules_want_work(r, backoff_next(&r->backoff, &retry, clock_boot_ms()));
}

/* Undone again before its time: it stays so until then. */
static bool is_waiting(const struct rules *r)
{
	return r->undone && fight_wait(&r->fight, clock_boot_ms()) > 0;
}

static void settle(struct rules *r)
{
	bool doubtful = r->undone || r->error.code;
	struct err e;

	if (rules_table_settle(r, &e) < 0) {
		rules_fail(r, &r->error, &e);
		return;
	}
	r->error.code = 0;
	r->undone = false;
	/* Elements stand and are looked at again, whoever has put the table back. */
	if (doubtful && r->listener)
		r->listener->replaced(r->listener_arg);
	if (!r->iptables_error.code)
		backoff_reset(&r->backoff);
}

void rules_before_routes(struct rules *r)
{
	if (!r || !r->started)
		return;
	if (r->dirty && is_waiting(r))
		rules_want_work(r, fight_wait(&r->fight, clock_boot_ms()));
	/* A failure has its own time for the next attempt. */
	else if (r->dirty && !(r->error.code && event_pending(r->work, EV_TIMEOUT, NULL)))
		settle(r);
}

static void on_work(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct rules *r = arg;

	rules_before_routes(r);
	r->changed(r->arg);
}

/* ---- notifications ---- */

static void heal(struct rules *r)
{
	r->dirty = true;
	rules_want_work(r, HEAL_DELAY_MS);
}

void rules_note_undone(struct rules *r, const char *why, double took_ms)
{
	int64_t now_ms = clock_boot_ms();
	bool before = fight_is_on(&r->fight);
	char text[FIGHT_TEXT];

	r->heals_total++;
	if (!before)
		log_warn("rules-healed", "%s%s; table %s is put back in %.1f ms", why, r->culprit,
			 r->table, took_ms);
	/* What we want otherwise than before is no fight. */
	if (!r->undone)
		return;
	fight_undone(&r->fight, now_ms);
	arm(r->calm, fight_end_ms(&r->fight) - now_ms);
	if (fight_is_on(&r->fight) && !before)
		log_warn("fighting", "table %s: %s; it is put back later and later", r->table,
			 fight_describe(&r->fight, text));
}

static void on_calm(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct rules *r = arg;

	if (fight_is_on(&r->fight))
		log_info("fight-over", "table %s has stood for a while", r->table);
	r->fight = (struct fight){ 0 };
	r->changed(r->arg);
}

/* The chains that our rules in iptables stand in; kube-proxy's own change all the time. */
static bool concerns_iptables(const struct rules *r, const struct nft_change *c)
{
	size_t len = strlen(r->table);

	return (c->family == NFPROTO_IPV4 || c->family == NFPROTO_IPV6) &&
	       (strcmp(c->table, "nat") == 0 || strcmp(c->table, "filter") == 0) &&
	       (c->message == NFT_MSG_DELTABLE || strcmp(c->chain, "POSTROUTING") == 0 ||
		strcmp(c->chain, "FORWARD") == 0 ||
		(strncmp(c->chain, r->table, len) == 0 && c->chain[len] == '-'));
}

static bool is_about_elements(const struct nft_change *c)
{
	return c->message == NFT_MSG_NEWSETELEM || c->message == NFT_MSG_DELSETELEM;
}

struct telling {
	const struct rules *r;
	const struct nft_change *change;
	uint8_t set;
};

static void tell_element(void *arg, const struct nft_element *el)
{
	const struct telling *t = arg;

	t->r->listener->element(t->r->listener_arg, t->set, el,
				t->change->message == NFT_MSG_DELSETELEM);
}

static void tell_elements(struct rules *r, const struct nft_change *change)
{
	r->told = true;
	for (uint8_t i = 0; i < TRAFFIC_SETS && r->listener; i++) {
		struct telling t = { r, change, i };

		if (strcmp(change->set, traffic_sets[i].name) == 0)
			nft_change_elements(change, nft_key_size(traffic_sets[i].type),
					    tell_element, &t);
	}
}

static void on_changed(void *arg, const struct nft_change *change)
{
	struct rules *r = arg;
	bool ours = change->family == NFPROTO_INET && strcmp(change->table, r->table) == 0;

	if (ours && change->message != NFT_MSG_DELTABLE && is_about_elements(change)) {
		tell_elements(r, change);
		return;
	}
	if (!ours && r->listener)
		r->told |= r->listener->foreign(r->listener_arg, change);
	r->touched |= ours;
	r->undone |= ours;
	r->gone |=
		ours && (change->message == NFT_MSG_DELTABLE || change->message == NFT_MSG_DELSET);
	/* A chain that packets enter may drop what is forwarded. */
	if (ours || change->base)
		heal(r);
	else if (!is_about_elements(change) && !event_pending(r->look, EV_TIMEOUT, NULL))
		arm(r->look, LOOK_DELAY_MS);
	if (r->mode == RULES_IPTABLES && concerns_iptables(r, change)) {
		r->iptables_dirty = true;
		heal(r);
	}
}

/* Somebody else's rules: they may stop our packets now, or no more. */
static void on_look(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct rules *r = arg;

	r->dirty = true;
	rules_want_work(r, 0);
}

static void on_finished(void *arg, uint32_t pid, const char *process)
{
	struct rules *r = arg;

	if (r->touched)
		fight_blame(&r->fight, pid, process);
	if (r->told && r->listener)
		r->listener->finished(r->listener_arg, pid, process);
	r->told = false;
	if (r->touched)
		snprintf(r->culprit, sizeof(r->culprit), ", by %.16s (pid %u)", process, pid);
	r->touched = false;
}

static void on_overrun(void *arg)
{
	struct rules *r = arg;

	r->iptables_dirty = r->mode == RULES_IPTABLES;
	r->undone = true;
	heal(r);
	if (r->listener)
		r->listener->overrun(r->listener_arg);
}

static void on_monitor(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	static const struct nft_monitor_ops ops = { .changed = on_changed,
						    .finished = on_finished,
						    .overrun = on_overrun };
	struct rules *r = arg;

	nft_monitor_read(r->monitor, NOTIFICATIONS_MAX, &ops, r);
}

void rules_refresh(struct rules *r)
{
	rules_table_read_counters(r);
}

static void look_at_sysctls(struct rules *r)
{
	const struct sysctls_place place = {
		.v4 = ip_net_is_set(&r->place.network[0]),
		.v6 = ip_net_is_set(&r->place.network[1]),
		.device = r->place.devices_len ? r->devices[0].name : "",
		.underlay = r->place.underlay[0],
		.own_v4 = &r->place.own[0],
	};

	sysctls_check(&place, r->options->set_sysctls, r->sysctl_missing,
		      sizeof(r->sysctl_missing));
}

static void on_tick(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct rules *r = arg;

	look_at_sysctls(r);
	rules_mode_tick(r);
	if (rules_tracking_is_old(r)) {
		r->dirty = true;
		rules_want_work(r, 0);
	}
	rules_table_read_counters(r);
	arm(r->tick, r->options->iptables_resync * 1000);
	r->changed(r->arg);
}

void rules_sweep(struct rules *r)
{
	if (!r || !r->started)
		return;
	r->sweep_due = true;
	rules_table_sweep(r);
}

void rules_sync(struct rules *r)
{
	if (!r)
		return;
	r->dirty = true;
	r->iptables_dirty = r->mode == RULES_IPTABLES;
	rules_want_work(r, 0);
}

/* ---- what the fabric tells, and asks ---- */

void rules_listen(struct rules *r, const struct rules_listener *listener, void *arg)
{
	if (!r)
		return;
	r->listener = listener;
	r->listener_arg = arg;
}

struct netlink *rules_netlink(const struct rules *r)
{
	return r ? r->nl : NULL;
}

bool rules_guards(const struct rules *r)
{
	return r && r->nl && r->traffic.guard && !r->unsupported;
}

bool rules_stand(const struct rules *r)
{
	return r && r->started && r->stands && !r->error.code && !r->gone;
}

void rules_place(struct rules *r, const struct rules_place *place)
{
	bool first = r && !r->started;

	if (!r)
		return;
	r->started = true;
	memcpy(r->place.network, place->network, sizeof(r->place.network));
	memcpy(r->place.own, place->own, sizeof(r->place.own));
	memcpy(r->devices, place->devices, sizeof(r->devices));
	r->place.devices = r->devices;
	r->place.devices_len = place->devices_len;
	memcpy(r->mark, place->mark, sizeof(r->mark));
	memcpy(r->place.underlay, place->underlay, sizeof(r->place.underlay));
	memcpy(r->place.local, place->local, sizeof(r->place.local));
	if (first)
		snprintf(r->table, sizeof(r->table), "%.*s", NFT_NAME_SIZE - 1,
			 *r->options->traffic_table ? r->options->traffic_table
			 : place->devices_len       ? place->devices[0].name
						    : DEFAULT_TABLE);
	r->enable_nftables = place->enable_nftables;
	/* Nobody waits for a fight with what is wanted otherwise now. */
	r->undone = false;
	r->dirty = true;
	r->iptables_dirty = r->mode == RULES_IPTABLES;
	if (first) {
		if (r->monitor) {
			r->monitor_event = event_new(r->base, nft_monitor_fd(r->monitor),
						     EV_READ | EV_PERSIST, on_monitor, r);
			event_add(r->monitor_event, NULL);
		}
		arm(r->tick, r->options->iptables_resync * 1000);
		look_at_sysctls(r);
	}
}

/* ---- life ---- */

static int open_nftables(struct rules *r)
{
	int rc = netlink_open(NETLINK_NETFILTER, &r->nl, &r->error);

	if (rc == 0)
		rc = nft_monitor_open(netlink_port_id(r->nl), &r->monitor, &r->error);
	if (rc < 0)
		netlink_close(STEAL(r->nl));
	return rc;
}

/* Tells nothing about what the kernel can do: to go without nftables and guard for it were wrong. */
static bool is_shortage(int rc)
{
	return rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM || rc == -ENOBUFS;
}

int rules_new(struct event_base *base, const struct rules_options *options,
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
	r->look = evtimer_new(base, on_look, r);
	r->calm = evtimer_new(base, on_calm, r);
	r->counters[0].name = TRAFFIC_COUNTER_GUARD;
	r->counters[1].name = TRAFFIC_COUNTER_SPOOF;
	r->iptables = rules_iptables_new(base, rules_mode_iptables_done, r);
	r->leftovers = true;
	r->iptables_leftovers = 1u << RULES_IPTABLES_NFT | 1u << RULES_IPTABLES_LEGACY;
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
	rc = open_nftables(r);
	if (is_shortage(rc)) {
		*e = r->error;
		rules_free(r);
		return rc;
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
	rules_iptables_free(r->iptables);
	event_free(r->work);
	event_free(r->tick);
	event_free(r->look);
	event_free(r->calm);
	nft_monitor_close(r->monitor);
	netlink_close(r->nl);
	free(r);
}

void rules_view(const struct rules *r, struct rules_view *ret)
{
	char text[FIGHT_TEXT];
	bool iptables_ok =
		r->mode == RULES_NFTABLES || (r->iptables_stands && !r->iptables_error.code);

	*ret = (struct rules_view){
		.started = r->started,
		.table = r->table,
		.mode = r->mode,
		.mode_reason = r->mode_reason ? r->mode_reason : "",
		.ok = r->stands && !r->error.code && iptables_ok && !is_waiting(r),
		.error = r->error.code            ? r->error.text
			 : r->iptables_error.code ? r->iptables_error.text
						  : "",
		.forward_block = r->forward_block,
		.input_block = r->input_block,
		.output_block = r->output_block,
		.probe_error = r->probe_error.code ? r->probe_error.text : "",
		.sysctl_missing = r->sysctl_missing,
		.tracked = !r->nl || r->unsupported ? "the kernel's nf_tables cannot be used"
			   : r->tracked_told        ? r->tracked
						    : "the rules do not stand yet",
		.guard = r->traffic.guard,
		.guard_dropped_total = r->counters[0].packets,
		.spoofed_dropped_total = r->counters[1].packets,
		.strangers = r->strangers,
		.strangers_len = r->strangers_len,
		.dropped_lately = r->dropped_ms && clock_boot_ms() - r->dropped_ms < LATELY_MS,
		.heals_total = r->heals_total,
		.writes_total = (r->nl ? netlink_counts(r->nl)->writes : 0) + r->iptables_writes,
	};
	if (fight_is_on(&r->fight))
		snprintf(ret->fight, sizeof(ret->fight), "table %s: %s", r->table,
			 fight_describe(&r->fight, text));
}
