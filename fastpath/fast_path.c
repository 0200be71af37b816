/* SPDX-License-Identifier: Apache-2.0 */
#include "fastpath/fast_path_internal.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/rtnetlink.h>

#include "fastpath/pins.h"
#include "kernel/link.h"
#include "kernel/listener.h"
#include "kernel/segment.h"
#include "lib/clock.h"
#include "lib/log.h"

#define LOOK_DELAY_MS 20 /* lets a burst of notifications become one look */
#define COMING_MS                                                                                  \
	200 /* what is being attached has time: until then nobody looks who would be in the way */
#define TICK_MS           1000 /* between looks at what the kernel tells nobody */
#define FULL_TICKS        30   /* so many of them, and everything is looked at */
#define CONFIRM_TICKS     30   /* in which every neighbour is asked once */
#define SHARE             10   /* looks take at most a tenth of the time */
#define MANY              512  /* containers, whose entries are not read in each tick */
#define LINES_MAX         10   /* in the log, within */
#define LINES_MS          600000
#define REST_MAX_MS       500
#define LOAD_AGAIN_MS     30000
#define BUFFER_BYTES      (1024 * 1024)
#define NOTIFICATIONS_MAX 1024

int fast_path_check_options(const struct fast_path_options *o, struct err *e)
{
	return options_check_path("fast-path-dir", o->fast_path_dir, e);
}

bool fast_path_is_wanted(const struct fast_path *f)
{
	return strcmp(f->options->fast_path, "on") == 0;
}

static struct fast_devices devices_of(const struct fast_path *f)
{
	return (struct fast_devices){ f->place.tunnels, FAST_TUNNELS, f->place.segments,
				      f->place.segments_len };
}

static void look_soon(struct fast_path *f, unsigned what, int64_t delay_ms)
{
	int64_t now_ms = clock_boot_ms();
	struct timeval tv;

	f->due |= what;
	if (!f->placed || !f->work)
		return;
	delay_ms = MAX(delay_ms, f->rest_until_ms - now_ms);
	if (event_pending(f->work, EV_TIMEOUT, NULL) && f->work_at_ms <= now_ms + delay_ms)
		return;
	f->work_at_ms = now_ms + delay_ms;
	tv = (struct timeval){ delay_ms / 1000, delay_ms % 1000 * 1000 };
	event_add(f->work, &tv);
}

/* ---- what the kernel tells ---- */

/* By the MAC address behind that bridge; NULL: nobody who is known. */
static const struct fast_found *find_by_mac(const struct fast_path *f, uint32_t bridge,
					    const struct mac_addr *mac)
{
	for (size_t i = 0; i < f->survey.len; i++) {
		const struct fast_container *c = &f->survey.items[i].container;

		if (c->segment == bridge && memcmp(c->mac, mac->b, sizeof(c->mac)) == 0)
			return &f->survey.items[i];
	}
	return NULL;
}

/* How soon to look after a notification. */
enum news { NO_NEWS, COMING, DIFFERENT };

/* Neighbours are confirmed all the time: only what is not as it was found is of interest. */
static enum news neighbour_news(const struct fast_path *f, const struct segment_neighbour *n)
{
	const struct fast_found *found;
	struct fast_address address;
	bool same;

	if (n->bridge) {
		found = find_by_mac(f, n->bridge, &n->mac);
		same = found && found->container.ifindex == n->ifindex;
	} else {
		if (!ip_net_contains(&f->scope.own[n->addr.family == AF_INET ? 0 : 1], &n->addr))
			return NO_NEWS;
		address = fast_address_of(&n->addr);
		found = fast_survey_find(&f->survey, &address);
		same = found && memcmp(found->container.mac, n->mac.b, sizeof(n->mac.b)) == 0;
	}
	if (!found)
		return n->usable ? COMING : NO_NEWS;
	return same && n->usable ? NO_NEWS : DIFFERENT;
}

/* Whether something of the path leads by this device. */
static bool is_on_path(const struct fast_path *f, uint32_t ifindex)
{
	for (size_t i = 0; i < FAST_TUNNELS; i++) {
		if (f->place.tunnels[i] == ifindex)
			return true;
	}
	for (size_t i = 0; i < f->place.segments_len; i++) {
		if (f->place.segments[i] == ifindex)
			return true;
	}
	for (size_t i = 0; i < f->survey.len; i++) {
		if (f->survey.items[i].container.ifindex == ifindex)
			return true;
	}
	return false;
}

/* Of a link, or of what it has at tc. */
static enum news device_news(const struct fast_path *f, const struct nlmsghdr *hdr)
{
	const struct tcmsg *tc = NLMSG_DATA(hdr);
	const struct ifinfomsg *link = NLMSG_DATA(hdr);
	bool is_link = hdr->nlmsg_type == RTM_NEWLINK || hdr->nlmsg_type == RTM_DELLINK;

	if (hdr->nlmsg_len < NLMSG_LENGTH(is_link ? sizeof(*link) : sizeof(*tc)))
		return DIFFERENT;
	return is_on_path(f, (uint32_t)(is_link ? link->ifi_index : tc->tcm_ifindex)) ? DIFFERENT
										      : COMING;
}

static void on_route_message(void *arg, const struct nlmsghdr *hdr)
{
	struct segment_neighbour n;
	struct fast_path *f = arg;
	enum news news = NO_NEWS;

	if (hdr->nlmsg_type != RTM_NEWNEIGH && hdr->nlmsg_type != RTM_DELNEIGH)
		news = device_news(f, hdr);
	else if (segment_neighbour_decode(hdr, &n))
		news = neighbour_news(f, &n);
	if (news != NO_NEWS)
		look_soon(f, LOOK_PORTS, news == COMING ? COMING_MS : LOOK_DELAY_MS);
}

static void on_route_overrun(void *arg)
{
	look_soon(arg, LOOK_PORTS, LOOK_DELAY_MS);
}

static void on_listener(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	static const struct listener_ops ops = { .message = on_route_message,
						 .overrun = on_route_overrun };
	struct fast_path *f = arg;

	listener_read(f->listener, NOTIFICATIONS_MAX, &ops, f);
}

static void on_nft_change(void *arg, const struct nft_change *change)
{
	struct fast_path *f = arg;

	if (fast_obstacle_may_be(change) && strcmp(change->table, f->place.table) != 0)
		look_soon(f, LOOK_CHAINS, 0);
}

static void on_nft_overrun(void *arg)
{
	look_soon(arg, LOOK_CHAINS, 0);
}

static void on_monitor(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	static const struct nft_monitor_ops ops = { .changed = on_nft_change,
						    .overrun = on_nft_overrun };
	struct fast_path *f = arg;

	nft_monitor_read(f->monitor, NOTIFICATIONS_MAX, &ops, f);
}

/* Neighbours that only the path sends to are asked as those are that the kernel sends to: each one once in
 * CONFIRM_TICKS. */
static void confirm_some(struct fast_path *f)
{
	struct err e;

	for (size_t i = f->ticks % CONFIRM_TICKS; i < f->survey.len && f->on; i += CONFIRM_TICKS)
		(void)!segment_confirm(f->route, f->survey.items[i].container.segment,
				       &f->survey.items[i].addr, &e);
}

static void on_tick(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct fast_path *f = arg;
	struct fast_devices devices = devices_of(f);

	look_soon(f, LOOK_LEGACY | (f->survey.len < MANY ? LOOK_MAPS : 0), 0);
	if (++f->ticks % FULL_TICKS == 0 || f->survey.refused || *f->survey.tunnel_why ||
	    f->unread.code || f->unwritten.code ||
	    (f->object && fast_survey_is_outdated(&f->survey, f->object, &devices)))
		look_soon(f, f->ticks % FULL_TICKS ? LOOK_PORTS : LOOK_ALL, 0);
	confirm_some(f);
	fast_path_counts_rest(f);
}

/* ---- what is to be ---- */

static const char *first_of(const char *const *texts, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (*texts[i])
			return texts[i];
	}
	return "";
}

/* Why it is to be off; "" if it is not. */
static void judge(const struct fast_path *f, char ret[static FAST_PATH_WHY_TEXT])
{
	const char *const whys[] = { f->unread.code ? f->unread.text : "",
				     f->chains_why,
				     f->legacy_why,
				     f->policies_why,
				     f->survey.tunnel_why,
				     f->unwritten.code ? f->unwritten.text : "" };

	snprintf(ret, FAST_PATH_WHY_TEXT, "%s", first_of(whys, ARRAY_LEN(whys)));
}

static void look_at_all_due(struct fast_path *f)
{
	struct fast_devices devices = devices_of(f);

	if (f->due & LOOK_CHAINS)
		fast_obstacle_chains(f->nft, &f->scope, f->chains_why);
	if (f->due & LOOK_LEGACY) {
		fast_obstacle_legacy(&f->scope, f->legacy_why);
		fast_obstacle_policies(f->xfrm, f->policies_why);
	}
	if (f->due & LOOK_PORTS) {
		struct fast_survey now;
		struct err e = { 0 };

		(void)!fast_survey_take(f->route, f->object, &f->scope, &devices, &now, &e);
		f->unread = e;
		fast_survey_fini(&f->survey);
		f->survey = now;
	}
}

/* ---- writing ---- */

void fast_path_switch(struct fast_path *f, bool on)
{
	struct fast_settings set = { .on = on,
				     .port = htons(f->place.port),
				     .counts = f->counts_until_ms != 0 };
	struct fast_settings have;
	struct err e;

	memcpy(set.tunnels, f->place.tunnels, sizeof(set.tunnels));
	if (fast_object_get(f->object, &have, &e) == 0 && memcmp(&have, &set, sizeof(set)) == 0)
		return;
	f->writes_total++;
	if (fast_object_set(f->object, &set, &e) < 0 && on)
		f->unwritten = e;
}

static bool may_tell(struct fast_path *f)
{
	int64_t now_ms = clock_boot_ms();

	if (now_ms >= f->lines_until_ms) {
		f->lines_until_ms = now_ms + LINES_MS;
		f->lines = 0;
	}
	return f->lines++ < LINES_MAX;
}

static void tell(struct fast_path *f, bool on, const char *reason)
{
	bool news = on != f->on || strcmp(reason, f->reason) != 0;

	/* Who switches it to and fro all day costs few lines. */
	if (news && may_tell(f))
		log_info("fast-path", "%s%s", on ? "on" : "off: ", reason);
	f->on = on;
	f->told = true;
	snprintf(f->reason, sizeof(f->reason), "%s", reason);
	if (news)
		f->changed(f->arg);
}

/* Off, and nothing of it is left in the kernel. */
static void take_down(struct fast_path *f, const char *reason)
{
	if (f->directory)
		fast_pins_remove(f->directory, f->place.mark);
	fast_object_free(f->object);
	f->object = NULL;
	f->settled = false;
	fast_survey_fini(&f->survey);
	fast_survey_fini(&f->before);
	tell(f, false, reason);
}

static bool load(struct fast_path *f)
{
	int64_t now_ms = clock_boot_ms();

	if (f->object)
		return true;
	if (now_ms < f->load_again_ms)
		return false;
	f->load_error.code = 0;
	if (fast_object_load(f->directory, f->place.mark, &f->object, &f->load_error) == 0) {
		f->due = LOOK_ALL;
		return true;
	}
	f->load_again_ms = now_ms + LOAD_AGAIN_MS;
	take_down(f, f->load_error.text);
	return false;
}

static void apply(struct fast_path *f)
{
	char reason[FAST_PATH_WHY_TEXT];
	bool on;

	f->unwritten.code = 0;
	judge(f, reason);
	on = !*reason;
	/* Off before anything else, on when all stands. */
	if (!on)
		fast_path_switch(f, false);
	if (f->due & (LOOK_PORTS | LOOK_MAPS)) {
		fast_path_write_containers(f);
		fast_path_write_links(f, !*f->survey.tunnel_why);
	}
	if (on) {
		fast_path_switch(f, true);
		judge(f, reason);
		on = !*reason;
	}
	if (!on)
		fast_path_switch(f, false);
	f->settled = true;
	tell(f, on, reason);
}

static void on_work(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct fast_path *f = arg;
	int64_t began_ms = clock_boot_ms();

	if (!f->place.port) {
		take_down(f, "the backend has no tunnel that it leads into: only vxlan's is known");
		return;
	}
	if (!load(f))
		return;
	look_at_all_due(f);
	apply(f);
	f->due = 0;
	f->rest_until_ms =
		clock_boot_ms() + MIN((clock_boot_ms() - began_ms) * SHARE, (int64_t)REST_MAX_MS);
}

/* ---- life ---- */

static int listen_to_kernel(struct fast_path *f, struct err *e)
{
	static const int groups[] = { RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_TC };
	int rc = netlink_open(NETLINK_ROUTE, &f->route, e);

	if (rc == 0)
		rc = listener_open(NETLINK_ROUTE, groups, ARRAY_LEN(groups),
				   netlink_port_id(f->route), BUFFER_BYTES, &f->listener, e);
	if (rc < 0)
		return rc;
	f->listener_event =
		event_new(f->base, listener_fd(f->listener), EV_READ | EV_PERSIST, on_listener, f);
	event_add(f->listener_event, NULL);
	/* A kernel without either has nobody's rules in them. */
	if (netlink_open(NETLINK_NETFILTER, &f->nft, e) == 0) {
		if (nft_monitor_open(0, &f->monitor, e) < 0)
			return e->code;
		f->monitor_event = event_new(f->base, nft_monitor_fd(f->monitor),
					     EV_READ | EV_PERSIST, on_monitor, f);
		event_add(f->monitor_event, NULL);
	}
	if (netlink_open(NETLINK_XFRM, &f->xfrm, e) < 0)
		f->xfrm = NULL;
	return 0;
}

struct fast_path *fast_path_new(struct event_base *base, const struct fast_path_options *options,
				void (*changed)(void *arg), void *arg)
{
	struct fast_path *f = xcalloc(1, sizeof(*f));

	*f = (struct fast_path){ .base = base, .options = options, .changed = changed, .arg = arg };
	snprintf(f->reason, sizeof(f->reason), "it is not asked for: fast-path is %s",
		 options->fast_path);
	if (!fast_path_is_wanted(f))
		return f;
	snprintf(f->reason, sizeof(f->reason), "not yet looked at");
	if (listen_to_kernel(f, &f->load_error) < 0) {
		snprintf(f->reason, sizeof(f->reason), "%s", f->load_error.text);
		return f;
	}
	f->work = evtimer_new(base, on_work, f);
	f->tick = event_new(base, -1, EV_PERSIST, on_tick, f);
	return f;
}

static void free_event(struct event *ev)
{
	if (ev)
		event_free(ev);
}

void fast_path_free(struct fast_path *f)
{
	if (!f)
		return;
	free_event(f->listener_event);
	free_event(f->monitor_event);
	free_event(f->work);
	free_event(f->tick);
	listener_close(f->listener);
	nft_monitor_close(f->monitor);
	netlink_close(f->route);
	netlink_close(f->nft);
	netlink_close(f->xfrm);
	fast_object_free(f->object);
	fast_survey_fini(&f->survey);
	fast_survey_fini(&f->before);
	free(f->directory);
	free(f);
}

static void set_directory(struct fast_path *f, const struct fast_path_place *place)
{
	auto_free char *directory = xasprintf("%s/%s", f->options->fast_path_dir, place->network);

	/* The BPF file system takes no dots in names. */
	for (char *p = strrchr(directory, '/'); *p; p++) {
		if (*p == '.')
			*p = '_';
	}
	if (f->directory && strcmp(f->directory, directory) == 0)
		return;
	if (f->directory)
		take_down(f, "the network is another now");
	free(f->directory);
	f->directory = STEAL(directory);
}

void fast_path_place(struct fast_path *f, const struct fast_path_place *place)
{
	static const struct timeval second = { TICK_MS / 1000, 0 };

	if (!f || !*place->network || (f->placed && memcmp(&f->place, place, sizeof(*place)) == 0))
		return;
	set_directory(f, place);
	f->place = *place;
	f->placed = true;
	memcpy(f->scope.network, place->networks, sizeof(f->scope.network));
	memcpy(f->scope.own, place->own, sizeof(f->scope.own));
	if (!f->work) {
		/* Nobody could look after what an earlier run has left. */
		if (fast_path_is_wanted(f))
			take_down(f, f->load_error.text);
		return;
	}
	look_soon(f, LOOK_ALL, 0);
	if (!event_pending(f->tick, EV_TIMEOUT, NULL))
		event_add(f->tick, &second);
}

void fast_path_sweep(struct fast_path *f)
{
	if (!f || !f->placed)
		return;
	if (!fast_path_is_wanted(f) && fast_pins_remove(f->directory, f->place.mark))
		log_info("leftover", "removed: the fast path, which is off");
	fast_pins_sweep(f->directory, f->place.mark);
}

void fast_path_sync(struct fast_path *f)
{
	if (!f)
		return;
	f->load_again_ms = 0;
	look_soon(f, LOOK_ALL, 0);
}
