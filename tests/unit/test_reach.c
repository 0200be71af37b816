/* SPDX-License-Identifier: Apache-2.0 */
/* fabric/reach: whom and when it asks, and what it makes of silence. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>

#include "fabric/reach.h"
#include "lib/util.h"

#define INTERVAL_MS 10000
#define NAMED_MS    30000 /* whatever there is, it is told by then */
#define V4          1     /* the family */

/* What was asked, and who answers. */
struct rig {
	struct reach *reach;
	int64_t now_ms;
	bool underlay; /* answers */
	bool tunnel;
	int error; /* of every question into the tunnel */
	unsigned asked[REACH_LAYERS];
	unsigned large[REACH_LAYERS];
	unsigned large_in_turn; /* peers, the most */
	unsigned large_now;
	unsigned turns;
	uint16_t passes; /* so many bytes through the tunnel, 0: all */
	uint16_t told;   /* and the rest is refused with this, 0: it vanishes */
};

static int on_ask_large(struct rig *r, enum reach_layer layer, const struct ip_addr *to,
			uint16_t sequence, uint16_t size_bytes)
{
	r->large[layer]++;
	r->large_now += layer == REACH_OVERLAY;
	if (layer == REACH_OVERLAY && r->error)
		return r->error;
	if (!(layer == REACH_UNDERLAY ? r->underlay : r->tunnel))
		return 0;
	if (layer == REACH_UNDERLAY || !r->passes || size_bytes <= r->passes)
		reach_large_answer(r->reach, layer, to, sequence, 500, r->now_ms);
	else if (r->told)
		reach_refused(r->reach, layer, to, sequence, r->told);
	return 0;
}

static int on_ask(void *arg, int family UNUSED, enum reach_layer layer, const struct ip_addr *to,
		  uint16_t sequence, uint16_t size_bytes)
{
	struct rig *r = arg;

	if (size_bytes)
		return on_ask_large(r, layer, to, sequence, size_bytes);
	r->asked[layer]++;
	if (layer == REACH_OVERLAY && r->error)
		return r->error;
	if (layer == REACH_UNDERLAY ? r->underlay : r->tunnel)
		assert_true(reach_answer(r->reach, layer, to, sequence, 400, r->now_ms));
	return 0;
}

static void rig_init(struct rig *r, unsigned underlay, unsigned tunnel)
{
	*r = (struct rig){ .now_ms = 1000, .underlay = true, .tunnel = true };
	r->reach = reach_new(INTERVAL_MS, on_ask, r);
	reach_set_place(r->reach, underlay, tunnel);
}

/* As the loop does, until then. */
static void run(struct rig *r, int64_t duration_ms)
{
	int64_t end_ms = r->now_ms + duration_ms;

	while (r->now_ms < end_ms) {
		int64_t due_ms = MAX(reach_deadline(r->reach), r->now_ms);

		if (due_ms > end_ms)
			break;
		r->now_ms = due_ms;
		r->large_now = 0;
		reach_turn(r->reach, r->now_ms);
		r->large_in_turn = MAX(r->large_in_turn, r->large_now);
		r->now_ms += REACH_TURN_MS;
		r->turns++;
	}
	r->now_ms = end_ms;
}

static const struct reach_size sizes[2][REACH_LAYERS] = {
	{ { 1500, 0 }, { 1450, 50 } },
	{ { 1500, 0 }, { 1430, 70 } },
};

struct host {
	struct lease lease;
	struct manager_member member;
	struct reach_peer *peer;
};

static void host_init(struct host *h, struct rig *r, unsigned number)
{
	char text[64];

	*h = (struct host){ .member = { .lease = &h->lease } };
	snprintf(text, sizeof(text), "10.5.%u.0/24", number);
	h->lease.subnet.v4 = test_net(text);
	snprintf(text, sizeof(text), "192.0.2.%u", number);
	h->lease.public_v4 = test_addr(text);
	h->lease.node_name = (char *)"node";
	h->peer = reach_set(r->reach, NULL, &h->member, sizes, r->now_ms);
}

static const char *problem(const struct rig *r, const char *name, enum problem_severity severity)
{
	static const char *const interfaces[] = { "eth0", "eth1" };
	static struct problem_list list;
	const struct problem *p;

	list.len = 0;
	reach_problems(r->reach, "UDP port 8472", interfaces, &list);
	p = problem_find(&list, name);
	return p && p->severity == severity ? p->text : "";
}

static void test_asks_once_in_an_interval(void **state)
{
	(void)state;
	struct host h;
	struct rig r;

	rig_init(&r, V4, V4);
	assert_true(reach_deadline(r.reach) == INT64_MAX);
	host_init(&h, &r, 3);
	assert_int_equal(reach_state(h.peer), REACH_NEW);
	run(&r, 100 * INTERVAL_MS);
	assert_int_equal(reach_state(h.peer), REACH_WELL);
	assert_in_range(r.asked[REACH_UNDERLAY], 99, 102);
	/* The first by small and large ones, and then by large ones alone. */
	assert_int_equal(r.asked[REACH_OVERLAY], 2);
	assert_int_equal(r.asked[REACH_OVERLAY] + r.large[REACH_OVERLAY],
			 r.asked[REACH_UNDERLAY] + 1);
	assert_int_equal(reach_counts(r.reach)->asked[REACH_OVERLAY], r.asked[REACH_UNDERLAY]);
	assert_int_equal(reach_counts(r.reach)->answered[REACH_OVERLAY], r.asked[REACH_UNDERLAY]);
	assert_int_equal(reach_way(h.peer, AF_INET, REACH_OVERLAY)->rtt_us, 500);
	assert_null(reach_way(h.peer, AF_INET6, REACH_UNDERLAY));
	assert_int_equal(reach_counts(r.reach)->buckets[REACH_OVERLAY][2], r.asked[REACH_UNDERLAY]);
	reach_forget(r.reach, h.peer);
	assert_int_equal(reach_counts(r.reach)->states[0][REACH_WELL], 0);
	assert_true(reach_deadline(r.reach) == INT64_MAX);
	reach_free(r.reach);
}

static void test_what_silence_means(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		bool underlay;
		bool tunnel;
		unsigned asked_in_tunnel;
		enum reach_state state;
		const char *problem;
		enum problem_severity severity;
		const char *text;
	} rows[] = {
		{ "all well", true, true, V4, REACH_WELL, "peer-unreachable", PROBLEM_INFO, "" },
		{ "ICMP is filtered in the underlay", false, true, V4, REACH_WELL,
		  "peer-unreachable", PROBLEM_INFO, "" },
		{ "the tunnel is filtered", true, false, V4, REACH_TUNNEL_SILENT,
		  "peer-unreachable", PROBLEM_WARNING,
		  "192.0.2.3 answers, but nothing comes back through the tunnel (UDP port 8472)" },
		{ "down", false, false, V4, REACH_SILENT, "peer-unreachable", PROBLEM_INFO,
		  "node (10.5.3.0/24): 192.0.2.3 does not answer" },
		{ "without a tunnel", true, false, 0, REACH_WELL, "peer-unreachable", PROBLEM_INFO,
		  "" },
		{ "without a tunnel, down", false, false, 0, REACH_SILENT, "peer-unreachable",
		  PROBLEM_INFO, "192.0.2.3 does not answer" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (int known = 0; known < 2; known++) {
			const char *text;
			struct host h;
			struct rig r;

			rig_init(&r, V4, rows[i].asked_in_tunnel);
			host_init(&h, &r, 3);
			if (known)
				run(&r, 2 * INTERVAL_MS);
			r.underlay = rows[i].underlay;
			r.tunnel = rows[i].tunnel;
			run(&r, INTERVAL_MS + 5 * REACH_QUICK_MS + INTERVAL_MS);
			assert_row(reach_state(h.peer) == rows[i].state, rows[i].name);
			text = problem(&r, rows[i].problem, rows[i].severity);
			assert_contains(text, rows[i].text);
			assert_row(!*text == !*rows[i].text, rows[i].name);
			if (*text)
				assert_contains(text, known ? "since" : "so far");
			/* And back, with the next answer. */
			r.underlay = r.tunnel = true;
			run(&r, 2 * INTERVAL_MS);
			assert_row(reach_state(h.peer) == REACH_WELL, rows[i].name);
			reach_forget(r.reach, h.peer);
			reach_free(r.reach);
		}
	}
}

/* It is the change that is told while nothing has come back since. */
static void test_silence_since_a_change(void **state)
{
	(void)state;
	static const char told[] = "since its lease was changed at";
	struct host h;
	struct rig r;

	rig_init(&r, V4, V4);
	host_init(&h, &r, 3);
	run(&r, 2 * INTERVAL_MS);
	reach_changed(h.peer, r.now_ms);
	r.tunnel = false;
	run(&r, 3 * INTERVAL_MS);
	assert_contains(problem(&r, "peer-unreachable", PROBLEM_WARNING), told);
	r.tunnel = true;
	run(&r, 2 * INTERVAL_MS);
	assert_int_equal(reach_state(h.peer), REACH_WELL);
	r.tunnel = false;
	run(&r, 3 * INTERVAL_MS);
	assert_null(strstr(problem(&r, "peer-unreachable", PROBLEM_WARNING), told));
	reach_forget(r.reach, h.peer);
	reach_free(r.reach);
}

/* Within half a minute, whenever it falls silent; long after that it is asked seldom. */
static void test_silence_is_noticed(void **state)
{
	(void)state;
	unsigned before;
	struct host h;
	struct rig r;

	rig_init(&r, V4, V4);
	host_init(&h, &r, 3);
	run(&r, INTERVAL_MS + 200);
	r.underlay = r.tunnel = false;
	run(&r, 25000);
	assert_int_equal(reach_state(h.peer), REACH_SILENT);
	run(&r, REACH_LONG_MS + REACH_LONG_EVERY_MS);
	before = r.asked[REACH_UNDERLAY];
	run(&r, 10 * REACH_LONG_EVERY_MS);
	assert_in_range(r.asked[REACH_UNDERLAY] - before, 9, 11);
	reach_forget(r.reach, h.peer);
	reach_free(r.reach);
}

static void test_nobody_answers(void **state)
{
	(void)state;
	struct host hosts[3];
	struct rig r;

	rig_init(&r, V4, V4);
	for (unsigned i = 0; i < ARRAY_LEN(hosts); i++)
		host_init(&hosts[i], &r, i + 3);
	run(&r, 2 * INTERVAL_MS);
	r.underlay = r.tunnel = false;
	run(&r, 3 * INTERVAL_MS);
	assert_contains(problem(&r, "no-peer-answers", PROBLEM_WARNING), "none of 3 peers");
	assert_string_equal(problem(&r, "peer-unreachable", PROBLEM_INFO), "");
	for (unsigned i = 0; i < ARRAY_LEN(hosts); i++)
		reach_forget(r.reach, hosts[i].peer);
	reach_free(r.reach);
}

static void test_what_does_not_leave(void **state)
{
	(void)state;
	struct host h;
	struct rig r;

	rig_init(&r, V4, V4);
	host_init(&h, &r, 3);
	r.error = -EPERM;
	run(&r, 2 * INTERVAL_MS);
	assert_contains(problem(&r, "peer-unreachable", PROBLEM_WARNING),
			"do not leave this host: Operation not permitted");
	reach_forget(r.reach, h.peer);
	reach_free(r.reach);
}

/* Silence and refusals of large questions alone leave a peer as well as it is. */
static void test_large_packets(void **state)
{
	(void)state;
	struct host h;
	struct rig r;

	rig_init(&r, V4, V4);
	host_init(&h, &r, 3);
	run(&r, 2 * INTERVAL_MS);
	assert_int_equal(reach_path(h.peer, AF_INET), PATH_MTU_WHOLE);
	assert_int_equal(reach_path(h.peer, AF_INET6), PATH_MTU_UNKNOWN);
	assert_in_range(r.large[REACH_OVERLAY], 1, 2);
	run(&r, 10 * PATH_MTU_EVERY * INTERVAL_MS);
	assert_in_range(r.large[REACH_OVERLAY], 10 * PATH_MTU_EVERY, 10 * PATH_MTU_EVERY + 3);
	assert_in_range(r.large[REACH_UNDERLAY], 10, 11);
	r.passes = 1354;
	run(&r, NAMED_MS);
	assert_int_equal(reach_state(h.peer), REACH_WELL);
	assert_int_equal(reach_path(h.peer, AF_INET), PATH_MTU_BLACK_HOLE);
	assert_int_equal(reach_counts(r.reach)->paths[0][PATH_MTU_BLACK_HOLE], 1);
	assert_string_equal(
		problem(&r, "mtu-black-hole", PROBLEM_WARNING),
		"node (10.5.3.0/24): packets of 1350 bytes arrive through the tunnel (UDP port "
		"8472), of 1360 vanish; containers here send up to 1450. Something on the way "
		"carries 1400 only, and tells nobody: mend it, or give the host behind it that "
		"MTU (ip link set eth0 mtu 1400)");
	assert_string_equal(problem(&r, "peer-unreachable", PROBLEM_WARNING), "");
	/* Over with the next question. */
	r.passes = 0;
	run(&r, INTERVAL_MS + 200);
	assert_int_equal(reach_path(h.peer, AF_INET), PATH_MTU_WHOLE);
	assert_int_equal(reach_counts(r.reach)->paths[0][PATH_MTU_BLACK_HOLE], 0);
	/* Who is told has no black hole. */
	r.passes = r.told = 1412;
	run(&r, NAMED_MS);
	assert_int_equal(reach_path(h.peer, AF_INET), PATH_MTU_SMALLER);
	assert_int_equal(reach_counts(r.reach)->paths[0][PATH_MTU_SMALLER], 1);
	assert_int_equal(reach_counts(r.reach)->paths[0][PATH_MTU_WHOLE], 0);
	assert_int_equal(reach_way(h.peer, AF_INET, REACH_OVERLAY)->path.passed_bytes, 1412);
	assert_string_equal(problem(&r, "mtu-black-hole", PROBLEM_WARNING), "");
	reach_forget(r.reach, h.peer);
	for (unsigned i = 0; i < PATH_MTU_STATES; i++)
		assert_int_equal(reach_counts(r.reach)->paths[0][i], 0);
	reach_free(r.reach);
}

/* Of a peer that is silent nothing more is said. */
static void test_black_hole_falls_silent(void **state)
{
	(void)state;
	struct host h;
	struct rig r;

	rig_init(&r, V4, V4);
	r.passes = 1000;
	host_init(&h, &r, 3);
	run(&r, 4 * INTERVAL_MS);
	assert_int_equal(reach_path(h.peer, AF_INET), PATH_MTU_BLACK_HOLE);
	r.tunnel = false;
	run(&r, 3 * INTERVAL_MS);
	assert_int_equal(reach_state(h.peer), REACH_TUNNEL_SILENT);
	assert_int_equal(reach_path(h.peer, AF_INET), PATH_MTU_UNKNOWN);
	assert_string_equal(problem(&r, "mtu-black-hole", PROBLEM_WARNING), "");
	r.tunnel = true;
	run(&r, 4 * INTERVAL_MS);
	assert_int_equal(reach_path(h.peer, AF_INET), PATH_MTU_BLACK_HOLE);
	reach_forget(r.reach, h.peer);
	assert_int_equal(reach_counts(r.reach)->paths[0][PATH_MTU_BLACK_HOLE], 0);
	reach_free(r.reach);
}

/* A port of this host's own switch: all peers at once. The first is named soon, and all are in the end. */
static void test_black_hole_to_all(void **state)
{
	(void)state;
	enum { HOSTS = 1000 };
	struct host *hosts = xcalloc(HOSTS, sizeof(*hosts));
	struct rig r;

	rig_init(&r, V4, V4);
	for (unsigned i = 0; i < HOSTS; i++) {
		host_init(&hosts[i], &r, i % 250 + 1);
		hosts[i].lease.subnet.v4 = test_net("10.0.0.0/8");
	}
	run(&r, 60000);
	r.passes = 1350;
	run(&r, NAMED_MS);
	assert_true(reach_counts(r.reach)->paths[0][PATH_MTU_BLACK_HOLE] > 1);
	assert_contains(problem(&r, "mtu-black-hole", PROBLEM_WARNING), "; and ");
	run(&r, 900000);
	assert_int_equal(reach_counts(r.reach)->paths[0][PATH_MTU_BLACK_HOLE], HOSTS);
	r.large_in_turn = 0;
	run(&r, 60000);
	assert_in_range(r.large_in_turn, 1, REACH_LARGE_PER_TURN);
	r.passes = 0;
	run(&r, 60000);
	assert_int_equal(reach_counts(r.reach)->paths[0][PATH_MTU_BLACK_HOLE], 0);
	for (unsigned i = 0; i < HOSTS; i++)
		reach_forget(r.reach, hosts[i].peer);
	reach_free(r.reach);
	free(hosts);
}

/* What comes from elsewhere, too late, or twice is no answer; inside the fabric any address of its subnet. */
static void test_answers_of_others(void **state)
{
	(void)state;
	struct ip_addr public = test_addr("192.0.2.3");
	struct ip_addr inside = test_addr("10.5.3.9");
	struct ip_addr other = test_addr("192.0.2.4");
	struct host h;
	struct rig r;

	rig_init(&r, V4, V4);
	host_init(&h, &r, 3);
	r.underlay = r.tunnel = false;
	reach_turn(r.reach, r.now_ms);
	assert_int_equal(r.asked[REACH_OVERLAY], 0);
	r.now_ms += REACH_NEW_MS;
	reach_turn(r.reach, r.now_ms);
	assert_int_equal(r.asked[REACH_OVERLAY], 1);
	assert_false(reach_answer(r.reach, REACH_UNDERLAY, &other, 0, 400, r.now_ms));
	assert_false(reach_answer(r.reach, REACH_OVERLAY, &other, 0, 400, r.now_ms));
	assert_false(reach_answer(r.reach, REACH_UNDERLAY, &public, 1, 400, r.now_ms));
	assert_false(reach_answer(r.reach, REACH_UNDERLAY, &public, 1024, 400, r.now_ms));
	assert_true(reach_answer(r.reach, REACH_UNDERLAY, &public, 0, 400, r.now_ms));
	assert_false(reach_answer(r.reach, REACH_UNDERLAY, &public, 0, 400, r.now_ms));
	assert_true(reach_answer(r.reach, REACH_OVERLAY, &inside, 0, -1, r.now_ms));
	reach_forget(r.reach, h.peer);
	assert_false(reach_answer(r.reach, REACH_OVERLAY, &inside, 0, 400, r.now_ms));
	reach_free(r.reach);
}

/* The same lease again changes nothing; another address is asked anew. */
static void test_lease_changes(void **state)
{
	(void)state;
	struct host h;
	struct rig r;

	rig_init(&r, V4, V4);
	host_init(&h, &r, 3);
	run(&r, INTERVAL_MS);
	assert_ptr_equal(reach_set(r.reach, h.peer, &h.member, sizes, r.now_ms), h.peer);
	assert_int_equal(reach_state(h.peer), REACH_WELL);
	h.lease.public_v4 = test_addr("192.0.2.77");
	reach_set(r.reach, h.peer, &h.member, sizes, r.now_ms);
	assert_int_equal(reach_state(h.peer), REACH_NEW);
	run(&r, INTERVAL_MS);
	assert_int_equal(reach_state(h.peer), REACH_WELL);
	/* Nor is anything asked where this host has no place. */
	reach_set_place(r.reach, 0, 0);
	reach_set(r.reach, h.peer, &h.member, sizes, r.now_ms);
	assert_true(reach_deadline(r.reach) == INT64_MAX);
	assert_null(reach_way(h.peer, AF_INET, REACH_UNDERLAY));
	reach_forget(r.reach, h.peer);
	reach_free(r.reach);
}

/* Thousands share what is asked in a second, and each has its turn. */
static void test_many(void **state)
{
	(void)state;
	enum { HOSTS = 5000 };
	struct host *hosts = xcalloc(HOSTS, sizeof(*hosts));
	struct rig r;

	rig_init(&r, V4, V4);
	for (unsigned i = 0; i < HOSTS; i++) {
		host_init(&hosts[i], &r, i % 250 + 1);
		hosts[i].lease.subnet.v4 = test_net("10.0.0.0/8");
	}
	run(&r, 120000);
	assert_in_range(r.turns, 1175, 1180);
	assert_in_range(r.asked[REACH_UNDERLAY], 10 * (r.turns - 5), 10 * r.turns);
	assert_int_equal(reach_counts(r.reach)->states[0][REACH_WELL], HOSTS);
	for (unsigned i = 0; i < HOSTS; i++)
		reach_forget(r.reach, hosts[i].peer);
	reach_free(r.reach);
	free(hosts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_asks_once_in_an_interval),
		cmocka_unit_test(test_what_silence_means),
		cmocka_unit_test(test_silence_since_a_change),
		cmocka_unit_test(test_silence_is_noticed),
		cmocka_unit_test(test_nobody_answers),
		cmocka_unit_test(test_what_does_not_leave),
		cmocka_unit_test(test_large_packets),
		cmocka_unit_test(test_black_hole_falls_silent),
		cmocka_unit_test(test_black_hole_to_all),
		cmocka_unit_test(test_answers_of_others),
		cmocka_unit_test(test_lease_changes),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
