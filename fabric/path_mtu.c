/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/path_mtu.h"

#include "lib/clock.h"
#include "lib/util.h"

#define PARTS 64 /* of the time between two questions at full size */

/*
 * What links carry, and what tunnels on them leave: Ethernet with jumbo frames and without, FDDI, PPPoE, GRE,
 * IPIP, VXLAN, WireGuard and IPsec, clouds, the least of IPv6 and IPv4. Ascending.
 */
static const uint16_t usual_bytes[] = {
	576,  1000, 1200, 1280, 1300, 1320, 1340, 1350, 1360, 1370, 1380, 1390,  1400,  1410,
	1420, 1430, 1440, 1450, 1460, 1468, 1476, 1480, 1492, 1500, 2000, 3000,  4000,  4352,
	4470, 6000, 8000, 8500, 8800, 8900, 8930, 8950, 9000, 9100, 9216, 16000, 32000,
};

const char *path_mtu_state_name(enum path_mtu_state state)
{
	static const char *const names[PATH_MTU_STATES] = { "unknown", "ok", "smaller",
							    "black-hole" };

	return names[state];
}

static bool is_small(const struct path_mtu *m)
{
	return m->state == PATH_MTU_SMALLER || m->state == PATH_MTU_BLACK_HOLE;
}

/* False: too many do already. */
static bool hurry(struct path_mtu_plan *plan, struct path_mtu *m)
{
	if (!m->hurries && plan->hurries < PATH_MTU_HURRIES) {
		plan->hurries++;
		m->hurries = true;
	}
	return m->hurries;
}

static void rest(struct path_mtu_plan *plan, struct path_mtu *m)
{
	plan->hurries -= m->hurries;
	m->hurries = false;
	m->searching = false;
	m->next_bytes = 0;
	m->lost = 0;
}

void path_mtu_forget(struct path_mtu_plan *plan, struct path_mtu *m)
{
	rest(plan, m);
	*m = (struct path_mtu){ .size_bytes = m->size_bytes, .overhead_bytes = m->overhead_bytes };
}

void path_mtu_set(struct path_mtu_plan *plan, struct path_mtu *m, uint16_t size_bytes,
		  uint16_t overhead_bytes)
{
	if (size_bytes != m->size_bytes)
		path_mtu_forget(plan, m);
	m->size_bytes = size_bytes;
	m->overhead_bytes = overhead_bytes;
	m->due = 0;
}

/* What a search asks next, larger than what has passed in it, smaller than what has not; 0: it is at its end. */
static uint16_t candidate(const struct path_mtu *m)
{
	unsigned first = 0;
	unsigned end = ARRAY_LEN(usual_bytes);

	if (m->next_bytes > m->low_bytes && m->next_bytes < m->high_bytes &&
	    m->next_bytes + m->overhead_bytes >= usual_bytes[0])
		return m->next_bytes;
	while (first < end && usual_bytes[first] <= m->low_bytes + m->overhead_bytes)
		first++;
	while (first < end && usual_bytes[end - 1] >= m->high_bytes + m->overhead_bytes)
		end--;
	return first < end ? (uint16_t)(usual_bytes[(first + end) / 2] - m->overhead_bytes) : 0;
}

uint16_t path_mtu_ask(struct path_mtu *m, int64_t now_ms)
{
	m->asked_bytes = 0;
	if (m->size_bytes && m->searching)
		m->asked_bytes = candidate(m);
	else if (m->size_bytes && clock_tenths(now_ms) >= m->due)
		m->asked_bytes = m->size_bytes;
	return m->asked_bytes;
}

uint16_t path_mtu_ask_instead(struct path_mtu *m)
{
	m->asked_bytes = m->state == PATH_MTU_WHOLE && !m->hurries && !m->lost ? m->size_bytes : 0;
	return m->asked_bytes;
}

/* Goes on, or has found it. */
static void step(struct path_mtu_plan *plan, struct path_mtu *m)
{
	m->lost = 0;
	if (candidate(m))
		return;
	m->passed_bytes = m->low_bytes;
	m->failed_bytes = m->high_bytes;
	m->state = m->refused ? PATH_MTU_SMALLER : PATH_MTU_BLACK_HOLE;
	rest(plan, m);
}

/* The size that is being asked does not pass. */
static void narrow(struct path_mtu_plan *plan, struct path_mtu *m, bool refused, uint16_t mtu_bytes)
{
	m->high_bytes = m->asked_bytes;
	m->refused = refused;
	m->next_bytes = mtu_bytes;
	step(plan, m);
}

static bool is_lost(const struct path_mtu *m)
{
	return m->lost >= (is_small(m) ? PATH_MTU_AGAIN : PATH_MTU_LOST_MAX);
}

/* From the full size, which has not passed. */
static void begin_search(struct path_mtu_plan *plan, struct path_mtu *m, bool refused,
			 uint16_t mtu_bytes)
{
	if (!hurry(plan, m))
		return;
	m->searching = true;
	m->low_bytes = 0;
	narrow(plan, m, refused, mtu_bytes);
}

/* Many are asked for the first time, or anew, at once; from then on each has a time of its own. */
static int64_t next_ms(struct path_mtu_plan *plan, const struct path_mtu *m, int64_t now_ms)
{
	if (m->due)
		return now_ms + plan->every_ms;
	return now_ms + plan->every_ms - plan->every_ms * (plan->spread++ % PARTS) / PARTS;
}

void path_mtu_answered(struct path_mtu_plan *plan, struct path_mtu *m, int64_t now_ms)
{
	uint16_t bytes = m->asked_bytes;

	if (!bytes)
		return;
	m->asked_bytes = 0;
	m->passed = clock_tenths(now_ms);
	if (m->searching) {
		m->low_bytes = bytes;
		step(plan, m);
		return;
	}
	m->state = PATH_MTU_WHOLE;
	m->passed_bytes = bytes;
	m->failed_bytes = 0;
	m->due = clock_tenths(next_ms(plan, m, now_ms));
	rest(plan, m);
}

void path_mtu_unanswered(struct path_mtu_plan *plan, struct path_mtu *m, bool small_answered)
{
	if (m->asked_bytes && small_answered) {
		m->lost += m->lost < UINT8_MAX;
		path_mtu_doubt(m);
		if (!m->searching && !is_small(m))
			hurry(plan, m);
		if (m->searching && m->lost >= PATH_MTU_TRIES)
			narrow(plan, m, false, 0);
		else if (!m->searching && is_lost(m))
			begin_search(plan, m, false, 0);
	}
	m->asked_bytes = 0;
}

void path_mtu_refused(struct path_mtu_plan *plan, struct path_mtu *m, uint16_t mtu_bytes)
{
	if (m->asked_bytes) {
		m->lost += m->lost < UINT8_MAX;
		if (m->searching)
			narrow(plan, m, true, mtu_bytes);
		else if (!is_small(m) || is_lost(m))
			begin_search(plan, m, true, mtu_bytes);
	}
	m->asked_bytes = 0;
}
