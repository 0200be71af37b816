/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/trace_live.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "fabricctl/namespaces.h"
#include "kernel/marks.h"
#include "kernel/tap.h"
#include "lib/json.h"

#define PACKETS 5
#define GAP_MS  50
#define WAIT_MS 900 /* TCP sends its first packet again after a second */

static const char sent_step[] = "the sender's own routes and rules";
static const char port_step[] = "between the sender and its port, on this host";
static const char bridge_step[] =
	"between port and bridge, on this host: the port's state, or rules of bridges";
static const char forward_step[] =
	"while it was passed on, on this host: forwarding, route, rp_filter, chains";
static const char tunnel_step[] = "in the tunnel's device or behind it, on this host: FDB entry, "
				  "peer, the underlay's route, an output chain";
static const char way_step[] = "outside of this host";
static const char guard_step[] =
	"on their way back, as they came in on this host: the guard or an input chain";
static const char back_step[] = "on their way back, while they were passed on, on this host: "
				"forwarding, chains, the bridge";
static const char end_step[] = "on their way back, at the receiver of the answers: its own rules";

/* ---- what it means ---- */

static unsigned expected_at(const struct live *l, unsigned before, unsigned seen)
{
	/* With TCP more packets than one belong to a connection: it is there or it is not. */
	return l->counts_packets ? before : MIN(before, seen ? seen : 1);
}

/* What it has not seen was seen behind it on the same way: the fast path passes it by. */
static bool is_passed_by(const struct live *l, const struct live_hop *hop)
{
	for (const struct live_hop *h = hop + 1; h < l->hops + l->len; h++) {
		if (h->back == hop->back && h->exact && h->seen > hop->seen)
			return hop->exact;
	}
	return false;
}

/* Whether packets cannot be told from others somewhere between two hops. */
static bool is_blind_between(const struct live_hop *before, const struct live_hop *hop)
{
	while (++before < hop) {
		if (!before->exact)
			return true;
	}
	return false;
}

/* The first hop that saw fewer than the one before it; NULL: none did. */
static const struct live_hop *find_loss(const struct live *l, const struct live_hop **ret_before)
{
	const struct live_hop *before = NULL;

	for (size_t i = 0; i < l->len; i++) {
		const struct live_hop *hop = &l->hops[i];

		if (!hop->exact || is_passed_by(l, hop))
			continue;
		if (before && hop->seen < expected_at(l, before->seen, hop->seen)) {
			*ret_before = before;
			return hop;
		}
		before = hop;
	}
	return NULL;
}

enum live_verdict live_judge(const struct live *l, char ret_text[static LIVE_TEXT])
{
	const struct probe_result *r = &l->result;
	const struct live_hop *before = NULL;
	const struct live_hop *hop = find_loss(l, &before);
	unsigned lost;

	if (r->sent == 0) {
		snprintf(ret_text, LIVE_TEXT, "nothing was sent: %s",
			 r->refused ? strerror(-r->refused) : "nobody wanted it");
		return LIVE_LOST;
	}
	if (r->answered >= r->sent || !hop) {
		snprintf(ret_text, LIVE_TEXT, "%u of %u answered", r->answered, r->sent);
		return r->answered >= r->sent ? LIVE_ARRIVED : LIVE_LOST;
	}
	lost = l->counts_packets ? before->seen - hop->seen : 1;
	if (is_blind_between(before, hop)) {
		snprintf(
			ret_text, LIVE_TEXT,
			"%u of %u went on from %s and nothing came back for them: lost on this "
			"host "
			"behind it, on the way, on %s, or back here. Where they are encrypted they "
			"cannot be told from others",
			lost, r->sent, before->name, l->node);
		return l->may_be_silent ? LIVE_UNKNOWN : LIVE_LOST;
	}
	if (hop->step != way_step) {
		snprintf(ret_text, LIVE_TEXT, "%u of %u vanished between %s and %s, %s", lost,
			 r->sent, before->name, hop->name, hop->step);
		return LIVE_LOST;
	}
	if (l->may_be_silent) {
		snprintf(ret_text, LIVE_TEXT,
			 "%u of %u left this host by %s and were not answered, which who takes UDP "
			 "need "
			 "not do: on %s, fabricctl trace --live back from there",
			 lost, r->sent, before->name, l->node);
		return LIVE_UNKNOWN;
	}
	snprintf(ret_text, LIVE_TEXT,
		 "%u of %u left this host by %s and nothing came back for them: lost on the way, "
		 "or on %s "
		 "(its guard, its rules, its container), or the answers were. What happens there "
		 "cannot "
		 "be seen from here",
		 lost, r->sent, before->name, l->node);
	return LIVE_LOST;
}

/* ---- looking ---- */

/* A device that is looked at; of the hops there and back. */
struct look {
	const struct link_info *link;
	struct tap *tap;
	struct tap_count count;
	bool exact;
	bool inward;      /* questions come in by it, and do not leave by it */
	const char *step; /* before the question is here */
	const char *back; /* before the answer is here */
};

struct looks {
	struct look items[LIVE_LOOKS_MAX];
	size_t len;
};

static void look_at(struct looks *looks, const struct link_info *link, const struct ip_addr *either,
		    const struct look *how)
{
	struct look *look = &looks->items[looks->len];

	for (size_t i = 0; i < looks->len; i++) {
		if (looks->items[i].link->ifindex == link->ifindex)
			return;
	}
	if (!link->ifindex)
		return;
	*look = *how;
	look->link = link;
	if (tap_open(link->ifindex, either, &look->tap, NULL) == 0)
		looks->len++;
}

/* Whether packets on this device look as they were sent. */
static bool is_clear(const struct link_info *link)
{
	return strcmp(link->kind, "wireguard") != 0 && strcmp(link->kind, "tun") != 0;
}

static bool is_ipsec(const struct trace *t)
{
	const char *backend = ctl_text(t->destination.lease, "backend");

	return backend && strcmp(backend, "ipsec") == 0;
}

/* Where its tunnel should end and by which device, if the walk has not come so far: as the lease has it. */
static void find_underlay(struct trace *t)
{
	const char *public = ctl_text(t->destination.lease, "publicIP");
	struct lookup_packet outer = { 0 };
	struct lookup_route way;

	if (t->tunnel.is_tunnel || t->here ||
	    strncmp(t->out.alias, MARK_PREFIX, strlen(MARK_PREFIX)) != 0)
		return;
	t->tunnel.is_tunnel = true;
	if (!public || ip_addr_parse(public, AF_UNSPEC, &outer.dst, NULL) < 0 ||
	    lookup_route(t->kernel.route, &outer, &way, NULL) < 0 ||
	    link_get_by_index(t->kernel.route, way.ifindex, &t->underlay, NULL) < 0)
		return;
	t->tunnel.remote = outer.dst;
}

static void look_at_all(const struct trace *t, struct looks *looks)
{
	const struct ip_addr *dst = &t->packet.dst;

	look_at(looks, &t->port, dst,
		&(struct look){
			.exact = true, .inward = true, .step = port_step, .back = back_step });
	look_at(looks, &t->in, dst,
		&(struct look){ .exact = true,
				.inward = true,
				.step = t->port.ifindex ? bridge_step : port_step,
				.back = back_step });
	if (t->here)
		return;
	look_at(looks, &t->out, dst,
		&(struct look){ .exact = !is_ipsec(t),
				.step = t->in.ifindex ? forward_step : sent_step,
				.back = t->tunnel.is_tunnel ? guard_step : way_step });
	if (t->tunnel.is_tunnel)
		look_at(looks, &t->underlay, &t->tunnel.remote,
			&(struct look){ .exact = is_clear(&t->out),
					.step = tunnel_step,
					.back = way_step });
}

static void add_hop(struct live *l, const struct look *look, bool back)
{
	bool in = look->inward != back;

	l->hops[l->len++] = (struct live_hop){ .name = look->link->name,
					       .back = back,
					       .exact = look->exact,
					       .seen = in ? look->count.in : look->count.out,
					       .left = look->count.all,
					       .step = back ? look->back : look->step };
}

static void collect(struct live *l, const struct looks *looks, const struct trace *t)
{
	l->hops[l->len++] =
		(struct live_hop){ .name = "sender", .exact = true, .seen = l->result.sent };
	for (size_t i = 0; i < looks->len; i++)
		add_hop(l, &looks->items[i], false);
	for (size_t i = looks->len; i-- > 0;)
		add_hop(l, &looks->items[i], true);
	l->hops[l->len++] = (struct live_hop){ .name = "sender",
					       .back = true,
					       .exact = true,
					       .seen = l->result.answered,
					       .step = looks->len == 0   ? way_step
						       : t->port.ifindex ? end_step
									 : back_step };
}

/* ---- sending ---- */

static int open_probe(const struct trace *t, struct probe **ret, struct err *e)
{
	struct probe_question q = { .src = t->packet.src,
				    .dst = t->packet.dst,
				    .protocol = t->packet.protocol,
				    .port = t->packet.port,
				    .packets = PACKETS,
				    .gap_ms = GAP_MS,
				    .wait_ms = WAIT_MS,
				    .namespace_fd = -1 };
	auto_close int fd = -1;

	if (t->in.ifindex) {
		fd = namespaces_find(&t->packet.src, &t->source_mac);
		if (fd < 0)
			return err_set(e, -ENOENT,
				       "no network namespace that may be entered has the sender's "
				       "address");
		q.namespace_fd = fd;
	}
	return probe_open(&q, ret, e);
}

int live_run(struct trace *t, struct live *ret, struct err *e)
{
	const char *node = ctl_text(t->destination.lease, "node");
	struct live l = { .counts_packets = t->packet.protocol != IPPROTO_TCP,
			  .may_be_silent = t->packet.protocol == IPPROTO_UDP,
			  .node = node ? node : "the other side" };
	struct looks looks = { .len = 0 };
	struct tap_patterns patterns;
	struct probe *probe;

	if (open_probe(t, &probe, e) < 0)
		return e->code;
	find_underlay(t);
	look_at_all(t, &looks);
	probe_patterns(probe, &patterns);
	probe_run(probe, &l.result);
	for (size_t i = 0; i < looks.len; i++) {
		tap_read(looks.items[i].tap, &patterns, &looks.items[i].count);
		tap_close(looks.items[i].tap);
	}
	probe_close(probe);
	collect(&l, &looks, t);
	*ret = l;
	return 0;
}

/* ---- the answer ---- */

static const char *verdict_name(enum live_verdict v)
{
	return v == LIVE_ARRIVED ? "arrived" : v == LIVE_LOST ? "lost" : "unknown";
}

void live_print(const struct ctl *c, const struct live *l)
{
	char text[LIVE_TEXT];
	enum live_verdict v = live_judge(l, text);
	enum ctl_color color = v == LIVE_ARRIVED ? COLOR_GOOD
			       : v == LIVE_LOST  ? COLOR_BAD
						 : COLOR_WARN;

	fprintf(c->out, "sent: %s%s%s: %s\n", ctl_color_on(c, color), verdict_name(v),
		ctl_color_off(c, color), text);
	for (size_t i = 0; i < l->len; i++) {
		const struct live_hop *hop = &l->hops[i];

		fprintf(c->out, "  %-5s  %-15s  ", hop->back ? "back" : "there", hop->name);
		if (hop->exact)
			fprintf(c->out, "%u%s\n", hop->seen,
				is_passed_by(l, hop) ? ", passed by on the fast path" : "");
		else
			fprintf(c->out, "not to be told from others; %u left to there meanwhile\n",
				hop->left);
	}
}

json_t *live_json(const struct live *l)
{
	json_t *hops = json_array();
	char text[LIVE_TEXT];
	enum live_verdict v = live_judge(l, text);

	for (size_t i = 0; i < l->len; i++) {
		const struct live_hop *hop = &l->hops[i];

		json_append(hops, json_pack("{s:s,s:s,s:o}", "at", hop->name, "way",
					    hop->back ? "back" : "there", "seen",
					    hop->exact ? json_integer(hop->seen) : json_null()));
	}
	return json_pack(
		"{s:s,s:o,s:i,s:i,s:o,s:o}", "verdict", verdict_name(v), "text", json_text(text),
		"sent", (int)l->result.sent, "answered", (int)l->result.answered, "rttSeconds",
		l->result.rtt_us < 0 ? json_null() : json_real((double)l->result.rtt_us / 1e6),
		"hops", hops);
}
