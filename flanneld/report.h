/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon knows, as JSON documents and as metrics. The shape of each is part of the
 * interface: fields are added, never renamed or retyped; numbers are numbers, durations seconds,
 * ids strings.
 */
#ifndef FLANNELD_REPORT_H
#define FLANNELD_REPORT_H

#include <jansson.h>

#include "flanneld/view.h"
#include "lib/members.h"
#include "subnet/health_record.h"

#define REPORT_API_VERSION "fabric/v1"

struct report_list;

/* Ready and nothing but information: ok. Starting: not ready yet, for the first time. */
enum health_verdict report_verdict(const struct daemon_view *v);

/*
 * {"apiVersion","kind":"Status","verdict":"ok|starting|degraded",
 *  "problems":[{"name","severity":"error|warning|info","since":"2026-01-02T03:04:05.678Z","text"}],
 *  ...}
 */
json_t *report_status(const struct daemon_view *v);
/* {"apiVersion","kind":"SubnetList","items":[...]}, sorted by subnet. */
json_t *report_subnets(const struct daemon_view *v);
/* What the store has said of the time that leases have left; sorted by subnet. */
struct report_times {
	struct report_time {
		struct subnet subnet;
		int64_t seconds; /* -1: not known */
	} * items;
	size_t len;
};
/*
 * Lists of an item or two for each host, as they are sent: one tree of all items would be several times as
 * large as the text, and take longer to build. fields: "subnet,node", the members of items that somebody
 * wants: then each item is an array of their values, and "fields" names them (lib/members.h); NULL: all.
 * times may be NULL. NULL: it could not be built. Caller frees.
 */
char *report_subnets_text(const struct daemon_view *v, const char *fields,
			  const struct report_times *times);
/*
 * What Prometheus is to scrape, as it wants to have it said (file_sd, http_sd):
 * [{"targets":["192.0.2.3:8050"],"labels":{"node","subnet","backend"}}], each host of ours that has
 * an address, sorted by subnet. `port` is our own: that of all, as far as anybody knows.
 */
json_t *report_targets(const struct daemon_view *v, uint16_t port);
/* {"apiVersion","kind":"TargetList","items": those}. */
json_t *report_target_list(const struct daemon_view *v, uint16_t port);
/* The list of subnets' members, in the same order; caller frees the array. */
const struct manager_member **report_members(const struct daemon_view *v, size_t *ret_len);
/* One item of it. */
json_t *report_subnet(const struct daemon_view *v, const struct manager_member *member);
/*
 * {"apiVersion","kind":"PeerList","items":[...]}: the items of the list of subnets but our own,
 * each with "objects":[{"kind","family":"ipv4|ipv6","object":"route ...","settled","error"}], and the state of
 * the worst of some kinds: "route", "neighbour", "fdb", "routeV6", ...: "ok", "pending", "failed".
 */
char *report_peers_text(const struct daemon_view *v, const char *fields);
/*
 * {"apiVersion","kind":"PathMTUList","on","reason","items":[...]}: how large packets may be that go to each
 * peer, in each family; no items while peers are not asked, and why.
 */
char *report_mtu_text(const struct daemon_view *v, const char *fields);
/* {"apiVersion","kind":"NetworkConfig",...} as it is in use, defaults filled in. */
json_t *report_config(const struct daemon_view *v);
/*
 * {"apiVersion","kind":"Diff","items":[{"action":"create|replace|drop","kind":"route",
 * "object":"route ..."}]}: without items; report_difference, with the document as `arg`, adds one.
 */
json_t *report_diff(void);
void report_difference(void *arg, const char *action, const char *kind, const char *text);
/* {"apiVersion","kind":"Meter","items":[{"address":"10.5.3.2","sent":true,"fastPath":false,"packets":n,"bytes":n}],
 * "containers":[{"ifindex":12,"packets":n,"bytes":n}]}: without items and containers; report_metered, with the document
 * as `arg`, adds an item: what went to an address, or came from it. report_fast_counts do that for what took the fast
 * path, and tell what a container received by it, past its link's counters. */
json_t *report_meter(void);
extern const struct fast_path_count_ops report_fast_counts;
void report_metered(void *arg, const struct ip_addr *address, bool sent, uint64_t packets,
		    uint64_t bytes);
/* {"apiVersion","kind":"Sync","writes":n,"seconds":s} */
json_t *report_sync(uint64_t writes, double seconds);
/* {"apiVersion","kind":"Lease","lease":{...}}: that part of the status alone. */
json_t *report_own_lease(const struct daemon_view *v);
/* {"apiVersion","kind":"LogLevel","level":"error|warn|info|debug"} */
json_t *report_log_level(void);
/* {"apiVersion","kind":"Drain","state":"off|drained|released"} */
json_t *report_drain(const char *state);
/* {"apiVersion","kind":"EventList","items":[{"time","level","event","text"}]}, newest first: those from
 * this number on (lib/log.h), and how many of them are not known any more, "lost". */
json_t *report_events(uint64_t from);
/* For the parts of the above: apiVersion, kind and generated; whether a peer answers, NULL: it is not asked;
 * what each of its addresses answered. */
json_t *report_document(const char *kind);
/* The items of one host: the members of each are told to report_item, then it is ended. */
typedef void report_items_fn(const struct daemon_view *v, const struct manager_member *member,
			     struct report_list *out);
struct members *report_item(struct report_list *out);
void report_end_item(struct report_list *out);
/* Takes `root`, which has no "items" yet. */
char *report_list_text(const struct daemon_view *v, const char *fields, json_t *root,
		       report_items_fn *items);
void report_put_reach(struct members *item, const struct reach_peer *p);
void report_put_probes(struct members *item, const struct reach_peer *p);
/* Prometheus text format 0.0.4. */
void report_metrics(const struct daemon_view *v, FILE *out);
/* The same in OpenMetrics' text, from that: a counter is named without its _total where it is described,
 * and the end is marked. */
void report_open_metrics(const char *metrics, FILE *out);

#endif
