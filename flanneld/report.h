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

#define REPORT_API_VERSION "fabric/v1"

/*
 * {"apiVersion","kind":"Status","verdict":"ok|starting|degraded",
 *  "problems":[{"name","severity":"error|warning|info","since":"2026-01-02T03:04:05.678Z","text"}],
 *  ...}
 */
json_t *report_status(const struct daemon_view *v);
/* {"apiVersion","kind":"SubnetList","items":[...]}, sorted by subnet */
json_t *report_subnets(const struct daemon_view *v);
/* The same as it is sent. NULL: it could not be built. Caller frees. */
char *report_subnets_text(const struct daemon_view *v);
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
 * each with "objects":[{"kind","family":"ipv4|ipv6","object":"route ...","settled","error"}].
 */
json_t *report_peers(const struct daemon_view *v);
/* {"apiVersion","kind":"NetworkConfig",...} as it is in use, defaults filled in. */
json_t *report_config(const struct daemon_view *v);
/*
 * {"apiVersion","kind":"Diff","items":[{"action":"create|replace|drop","kind":"route",
 * "object":"route ..."}]}: without items; report_difference, with the document as `arg`, adds one.
 */
json_t *report_diff(void);
void report_difference(void *arg, const char *action, const char *kind, const char *text);
/* {"apiVersion","kind":"Sync","writes":n,"seconds":s} */
json_t *report_sync(uint64_t writes, double seconds);
/* {"apiVersion","kind":"Lease","lease":{...}}: that part of the status alone. */
json_t *report_own_lease(const struct daemon_view *v);
/* {"apiVersion","kind":"EventList","items":[{"time","level","event","text"}]}, newest first: those from
 * this number on (lib/log.h), and how many of them are not known any more, "lost". */
json_t *report_events(uint64_t from);
/* Prometheus text format 0.0.4. */
void report_metrics(const struct daemon_view *v, FILE *out);

#endif
