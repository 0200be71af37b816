/* SPDX-License-Identifier: Apache-2.0 */
/* What silence is told for: the part of fabric/reach.h that makes sentences. */
#include <string.h>

#include "fabric/reach_internal.h"
#include "lib/clock.h"
#include "lib/util.h"

static const char *others(size_t count, char buf[static 40])
{
	buf[0] = '\0';
	if (count > 1)
		snprintf(buf, 40, "; and %zu more", count - 1);
	return buf;
}

static const char *since(const struct target *t, const char *never, char buf[static CLOCK_TEXT + 8])
{
	const struct reach_way *w = t->ways;
	uint32_t heard = MAX(w[REACH_UNDERLAY].heard, w[REACH_OVERLAY].heard);
	char when[CLOCK_TEXT];

	if (t->state == REACH_TUNNEL_SILENT)
		heard = w[REACH_OVERLAY].heard;
	if (!heard)
		return never;
	snprintf(buf, CLOCK_TEXT + 8, "since %s",
		 clock_format_utc(clock_wall_of(clock_tenths_ms(heard)), when));
	return buf;
}

/* A question may have been on its way when the lease was changed. */
static bool is_silent_since_change(const struct target *t)
{
	uint32_t heard = t->ways[REACH_OVERLAY].heard;

	return t->changed && heard && heard < t->changed + REACH_QUICK_MS / 100;
}

static void tell_tunnel(const struct target *t, size_t count, const char *tunnel,
			struct problem_list *ret)
{
	const struct reach_way *w = &t->ways[REACH_OVERLAY];
	char public[IP_ADDR_TEXT];
	char when[CLOCK_TEXT + 8];
	char more[40];
	char who[LEASE_DESCRIBE_TEXT];

	ip_addr_format(target_address(t, REACH_UNDERLAY), public);
	if (w->error)
		problem_add(ret, PROBLEM_WARNING, "peer-unreachable",
			    "%s: %s answers, but packets into the tunnel (%s) do not leave this "
			    "host: %s%s",
			    lease_describe(t->member->lease, who), public, tunnel,
			    strerror(-w->error), others(count, more));
	else if (is_silent_since_change(t))
		problem_add(ret, PROBLEM_WARNING, "peer-unreachable",
			    "%s: %s answers, but nothing comes back through the tunnel (%s) since "
			    "its lease was changed at %s: is that right? The log has old and new "
			    "(peer-changed)%s",
			    lease_describe(t->member->lease, who), public, tunnel,
			    clock_format_utc(clock_wall_of(clock_tenths_ms(t->changed)), when),
			    others(count, more));
	else
		problem_add(ret, PROBLEM_WARNING, "peer-unreachable",
			    "%s: %s answers, but nothing comes back through the tunnel (%s) %s: "
			    "is that filtered on the way, or flanneld not running there?%s",
			    lease_describe(t->member->lease, who), public, tunnel,
			    since(t, "so far", when), others(count, more));
}

static void tell_silent(const struct target *t, size_t count, struct problem_list *ret)
{
	enum reach_layer layer =
		t->ways[REACH_UNDERLAY].has_address ? REACH_UNDERLAY : REACH_OVERLAY;
	const struct reach_way *w = &t->ways[layer];
	char address[IP_ADDR_TEXT];
	char when[CLOCK_TEXT + 8];
	char more[40];
	char who[LEASE_DESCRIBE_TEXT];

	ip_addr_format(target_address(t, layer), address);
	if (w->error)
		problem_add(ret, PROBLEM_INFO, "peer-unreachable",
			    "%s: no packet to %s leaves "
			    "this host: %s%s",
			    lease_describe(t->member->lease, who), address, strerror(-w->error),
			    others(count, more));
	else
		problem_add(ret, PROBLEM_INFO, "peer-unreachable",
			    "%s: %s does not answer %s: that host is down, or the way to it%s",
			    lease_describe(t->member->lease, who), address,
			    since(t, "so far", when), others(count, more));
}

static void tell_black_hole(const struct target *t, size_t count, const char *tunnel,
			    const char *interface, struct problem_list *ret)
{
	bool in_tunnel = t->ways[REACH_OVERLAY].has_address;
	const struct path_mtu *m = &target_way(t)->path;
	/* Of what carries them. */
	unsigned carried_bytes = m->passed_bytes + m->overhead_bytes;
	uint16_t sent_bytes = t->ways[REACH_OVERLAY].path.size_bytes;
	char through[64] = "";
	char outside[32] = "";
	char who[LEASE_DESCRIBE_TEXT];
	char more[40];

	if (in_tunnel)
		snprintf(through, sizeof(through), " through the tunnel (%s)", tunnel);
	else if (sent_bytes != m->size_bytes)
		snprintf(outside, sizeof(outside), ", %u in the underlay", m->size_bytes);
	lease_describe(t->member->lease, who);
	others(count, more);
	if (!m->passed_bytes)
		problem_add(ret, PROBLEM_WARNING, "mtu-black-hole",
			    "%s: small packets arrive%s, of %u bytes and more vanish; containers "
			    "here send up to %u%s%s",
			    who, through, m->failed_bytes, sent_bytes, outside, more);
	else
		problem_add(
			ret, PROBLEM_WARNING, "mtu-black-hole",
			"%s: packets of %u bytes arrive%s, of %u vanish; containers here send "
			"up to %u%s. Something on the way carries %u only, and tells nobody: mend "
			"it, or give the host behind it that MTU (ip link set %s mtu %u)%s",
			who, m->passed_bytes, through, m->failed_bytes, sent_bytes, outside,
			carried_bytes, interface, carried_bytes, more);
}

/* One of those that are so; NULL: there is none. So few problems are told that lists of them would cost more. */
static const struct target *find(const struct reach *r, int family, enum reach_state state,
				 bool black_hole)
{
	const struct target *t;

	for (unsigned i = 0; i < PACES; i++) {
		TAILQ_FOREACH (t, &r->queues[i], queue) {
			if (t->family == family &&
			    (black_hole ? t->path == PATH_MTU_BLACK_HOLE : t->state == state))
				return t;
		}
	}
	return NULL;
}

static const struct target *find_state(const struct reach *r, unsigned family,
				       enum reach_state state)
{
	return r->counts.states[family][state] ? find(r, family ? AF_INET6 : AF_INET, state, false)
					       : NULL;
}

void reach_problems(const struct reach *r, const char *tunnel,
		    const char *const interfaces[static 2], struct problem_list *ret)
{
	for (unsigned i = 0; i < ARRAY_LEN(r->heard); i++) {
		const struct target *unheard = find_state(r, i, REACH_TUNNEL_SILENT);
		const struct target *silent = find_state(r, i, REACH_SILENT);
		const size_t *n = r->counts.states[i];
		size_t black = r->counts.paths[i][PATH_MTU_BLACK_HOLE];
		size_t all = 0;

		if (black)
			tell_black_hole(find(r, i ? AF_INET6 : AF_INET, REACH_NEW, true), black,
					tunnel, interfaces[i], ret);
		for (unsigned s = 0; s < REACH_STATES; s++)
			all += n[s];
		if (unheard)
			tell_tunnel(unheard, n[REACH_TUNNEL_SILENT], tunnel, ret);
		if (silent && n[REACH_SILENT] == all && all > 1 && r->heard[i])
			problem_add(ret, PROBLEM_WARNING, "no-peer-answers",
				    "none of %zu peers answers any more by IPv%c: this host is "
				    "cut off from them",
				    all, i ? '6' : '4');
		else if (silent)
			tell_silent(silent, n[REACH_SILENT], ret);
	}
}
