/* SPDX-License-Identifier: Apache-2.0 */
/* flanneld/health: what is wrong, by what the parts show; since when, and what the log is told. */
#include "tests/unit/test.h"

#include "flanneld/health.h"
#include "flanneld/wall_clock.h"

/* ---- judging ---- */

struct scene {
	struct manager_view manager;
	struct reconcile_counts reconcile;
	struct fabric_view fabric;
	struct rules_view rules;
	struct health_inputs in;
	struct problem_list list;
};

/* A host on which all is well. */
static void well(struct scene *s)
{
	memset(s, 0, sizeof(*s));
	s->manager = (struct manager_view){
		.state = MANAGER_HELD, .reason = "", .watch_live = true, .watch_reason = ""
	};
	s->fabric = (struct fabric_view){ .started = true,
					  .devices_ok = true,
					  .device_error = "",
					  .unread = "",
					  .unwritten = "",
					  .reconcile = &s->reconcile,
					  .peers = 3 };
	s->rules = (struct rules_view){ .started = true,
					.ok = true,
					.error = "",
					.forward_block = "",
					.input_block = "",
					.output_block = "",
					.probe_error = "",
					.sysctl_missing = "" };
	s->in = (struct health_inputs){ .manager = &s->manager,
					.fabric = &s->fabric,
					.rules = &s->rules,
					.twin_text = "",
					.underlay = "" };
}

/* The only problem is of this name and severity; its text. */
static const char *only(struct scene *s, const char *name, enum problem_severity severity)
{
	health_judge(&s->in, &s->list);
	assert_int_equal(s->list.len, 1);
	assert_string_equal(s->list.items[0].name, name);
	assert_int_equal(s->list.items[0].severity, severity);
	return s->list.items[0].text;
}

static void test_all_is_well(void **state)
{
	(void)state;
	struct scene s;

	well(&s);
	health_judge(&s.in, &s.list);
	assert_int_equal(s.list.len, 0);
}

/* Each begins and ends, as every problem does, and is seen by whoever asks meanwhile. */
static void test_kernel_that_cannot_be_asked(void **state)
{
	(void)state;
	struct scene s;

	well(&s);
	s.fabric.unread = "routes: No buffer space available";
	assert_contains(only(&s, "kernel-not-read", PROBLEM_WARNING), "No buffer space available");
	well(&s);
	s.fabric.unwritten = "Bad file descriptor";
	assert_contains(only(&s, "kernel-not-written", PROBLEM_WARNING), "comparing again");
}

static void test_lease(void **state)
{
	(void)state;
	struct scene s;

	well(&s);
	s.manager.state = MANAGER_LOST;
	s.manager.reason = "it expired";
	assert_contains(only(&s, "lost", PROBLEM_ERROR), "it expired; running containers keep");
	s.manager.state = MANAGER_CONFLICT;
	assert_contains(only(&s, "conflict", PROBLEM_ERROR), "no other subnet is taken");
	s.manager.state = MANAGER_WAIT_CONFIG;
	only(&s, "waiting-for-config", PROBLEM_ERROR);
	s.manager.state = MANAGER_LISTING;
	only(&s, "listing", PROBLEM_WARNING);
	s.manager.reason = "";
	only(&s, "listing", PROBLEM_INFO);
	s.manager.stale = true;
	only(&s, "stale", PROBLEM_WARNING);
	well(&s);
	s.manager.reason = "etcd does not answer";
	assert_string_equal(only(&s, "lease-not-renewed", PROBLEM_WARNING), "etcd does not answer");
	well(&s);
	s.manager.watch_live = false;
	s.manager.watch_reason = "reset";
	assert_contains(only(&s, "watch-lost", PROBLEM_WARNING), "reset");
}

static void test_kernel(void **state)
{
	(void)state;
	struct scene s;

	well(&s);
	s.fabric.devices_ok = false;
	s.fabric.device_error = "no module";
	assert_string_equal(only(&s, "device-failed", PROBLEM_ERROR), "no module");
	well(&s);
	s.reconcile.unsettled = 2;
	assert_contains(only(&s, "kernel-behind", PROBLEM_WARNING), "2 objects");
	s.reconcile.failed = 1;
	s.reconcile.wanted[0] = 4;
	s.reconcile.wanted[KERNEL_KINDS - 1] = 3;
	snprintf(s.fabric.refused, sizeof(s.fabric.refused), "route 10.5.3.0/24: no device");
	assert_contains(only(&s, "kernel-refused", PROBLEM_ERROR),
			"1 of 7 objects were refused by the kernel: route 10.5.3.0/24: no device");
	s.reconcile.failed = 2;
	assert_contains(only(&s, "kernel-refused", PROBLEM_ERROR), "no device, for one");
	/* Before there is a lease nothing is wanted of the kernel. */
	s.fabric.started = false;
	health_judge(&s.in, &s.list);
	assert_int_equal(s.list.len, 0);
}

static void test_rules(void **state)
{
	(void)state;
	const struct rules_stranger strangers[2] = {
		{ .addr = test_addr("192.0.2.9"), .packets = 3, .nearest = "h3" },
	};
	struct scene s;

	well(&s);
	s.rules.ok = false;
	only(&s, "rules-behind", PROBLEM_WARNING);
	s.rules.error = "Operation not permitted";
	assert_string_equal(only(&s, "rules-failed", PROBLEM_ERROR), "Operation not permitted");
	well(&s);
	s.rules.forward_block = "DROP";
	only(&s, "forward-blocked", PROBLEM_ERROR);
	s.rules.forward_block = "";
	s.rules.input_block = "chain INPUT";
	only(&s, "input-blocked", PROBLEM_ERROR);
	s.rules.input_block = "";
	s.rules.output_block = "chain OUTPUT";
	only(&s, "output-blocked", PROBLEM_ERROR);
	s.rules.output_block = "";
	s.rules.probe_error = "iptables: raw socket: Operation not permitted";
	only(&s, "firewall-unknown", PROBLEM_WARNING);
	well(&s);
	s.rules.sysctl_missing = "ip_forward";
	only(&s, "forwarding-off", PROBLEM_ERROR);
	well(&s);
	s.rules.dropped_lately = true;
	only(&s, "packets-dropped", PROBLEM_WARNING);
	s.rules.strangers = strangers;
	s.rules.strangers_len = 1;
	assert_contains(
		only(&s, "packets-dropped", PROBLEM_WARNING),
		"; the stranger is 192.0.2.9, with 3 packets; nearest to it is the peer h3");
	s.rules.strangers_len = 2;
	assert_contains(only(&s, "packets-dropped", PROBLEM_WARNING),
			"; the last of 2 strangers is 192.0.2.9");
}

static void test_others(void **state)
{
	(void)state;
	struct problem_list reported = { .len = 0 };
	struct scene s;

	well(&s);
	s.fabric.ignored = 1;
	snprintf(s.fabric.ignored_why, sizeof(s.fabric.ignored_why), "h3: VNI 7, not 1");
	assert_contains(only(&s, "peers-ignored", PROBLEM_WARNING),
			"1 of 3 peers have a lease that is of no use here: h3: VNI 7, not 1");
	s.fabric.ignored = 2;
	assert_contains(only(&s, "peers-ignored", PROBLEM_WARNING), "not 1, for one");
	well(&s);
	s.in.unbound = "10.5.3.0/24 never ends";
	s.manager.unbound = 3;
	assert_contains(only(&s, "lease-unbound", PROBLEM_INFO), "never ends; and 2 more");
	well(&s);
	s.manager.kept = 1;
	only(&s, "peers-kept", PROBLEM_WARNING);
	well(&s);
	s.in.twin = "node-id-twice";
	s.in.twin_text = "10.5.3.0/24";
	s.manager.twins = 2;
	assert_string_equal(only(&s, "node-id-twice", PROBLEM_ERROR),
			    "10.5.3.0/24; and there are more");
	well(&s);
	s.in.underlay = "no default route";
	assert_contains(only(&s, "underlay-lost", PROBLEM_ERROR), "stays as it is");
	well(&s);
	problem_add(&reported, PROBLEM_WARNING, "charon", "%s", "does not answer\xff");
	s.in.reported = &reported;
	assert_string_equal(only(&s, "charon", PROBLEM_WARNING), "does not answer?");
	problem_add(&reported, PROBLEM_ERROR, "charon", "dead");
	assert_string_equal(only(&s, "charon", PROBLEM_ERROR), "does not answer?; and 1 more");
}

/* Several over kernel objects, and one over a file: they are counted together. */
static void test_fights_of_two_kinds(void **state)
{
	(void)state;
	struct problem_list reported = { .len = 0 };
	struct scene s;

	well(&s);
	s.fabric.fights = 3;
	snprintf(s.fabric.fight, sizeof(s.fabric.fight), "over a route");
	assert_string_equal(only(&s, "fighting", PROBLEM_WARNING), "over a route; and 2 more");
	problem_add(&reported, PROBLEM_WARNING, "fighting", "over subnet.env");
	s.in.reported = &reported;
	assert_string_equal(only(&s, "fighting", PROBLEM_WARNING), "over a route; and 3 more");
	well(&s);
	s.in.reported = &reported;
	assert_string_equal(only(&s, "fighting", PROBLEM_WARNING), "over subnet.env");
}

/* As many as there is room for are reported, and one is judged before them. */
static void test_more_than_there_is_room_for(void **state)
{
	(void)state;
	struct problem_list reported = { .len = 0 };
	char names[PROBLEMS_MAX][8];
	struct scene s;

	well(&s);
	s.rules.ok = false;
	s.in.reported = &reported;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(names[i], sizeof(names[i]), "p%zu", i);
		problem_add(&reported, PROBLEM_ERROR, names[i], "x");
	}
	health_judge(&s.in, &s.list);
	assert_int_equal(s.list.len, PROBLEMS_MAX);
	assert_non_null(problem_find(&s.list, "rules-behind"));
	assert_null(problem_find(&s.list, "p31"));
}

static void test_one_name_once(void **state)
{
	(void)state;
	struct problem_list list = { .len = 0 };
	char names[PROBLEMS_MAX + 1][8];

	problem_add(&list, PROBLEM_WARNING, "fighting", "%s", "over a");
	problem_add(&list, PROBLEM_ERROR, "fighting", "%s", "over b");
	assert_int_equal(list.len, 1);
	assert_int_equal(list.items[0].severity, PROBLEM_ERROR);
	assert_string_equal(list.items[0].text, "over a");
	assert_int_equal(list.items[0].more, 1);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(names[i], sizeof(names[i]), "p%zu", i);
		problem_add(&list, PROBLEM_INFO, names[i], "x");
	}
	assert_int_equal(list.len, PROBLEMS_MAX);
	assert_non_null(problem_find(&list, "p0"));
	assert_null(problem_find(&list, "p32"));
}

/* ---- since when ---- */

static struct health health;
static int64_t now;
static char told[512]; /* "+name" at a begin, "-name/lasted" at an end */

static void tell(void *arg, const struct health_entry *entry, int64_t lasted_ms)
{
	size_t used = strlen(told);

	assert_null(arg);
	if (lasted_ms < 0)
		snprintf(told + used, sizeof(told) - used, "+%s ", entry->problem.name);
	else
		snprintf(told + used, sizeof(told) - used, "-%s/%lld ", entry->problem.name,
			 (long long)lasted_ms);
}

/* As long-lived as the literals that they are outside tests. */
static const char *literal(const char *name)
{
	static char names[100][40];
	size_t i = 0;

	while (names[i][0] && strcmp(names[i], name) != 0)
		i++;
	assert_true(i + 1 < ARRAY_LEN(names));
	if (!names[i][0])
		snprintf(names[i], sizeof(names[i]), "%s", name);
	return names[i];
}

/* What is told when these are wrong, so much later; names separated by blanks. */
static const char *track(int64_t later_ms, const char *names)
{
	static char copy[10][64];
	struct problem_list list = { .len = 0 };
	size_t n = 0;

	now += later_ms;
	while (*names) {
		size_t size = strcspn(names, " ");

		snprintf(copy[n], sizeof(copy[n]), "%.*s", (int)size, names);
		problem_add(&list, PROBLEM_WARNING, copy[n++], "text");
		names += size + (names[size] == ' ');
	}
	told[0] = '\0';
	health_track(&health, now, &list, tell, NULL);
	for (size_t i = 0; i < health.len; i++)
		health.entries[i].problem.name = literal(health.entries[i].problem.name);
	return told;
}

static int setup(void **state)
{
	(void)state;
	memset(&health, 0, sizeof(health));
	now = 1000;
	return 0;
}

static void test_begin_and_end(void **state)
{
	(void)state;

	assert_string_equal(track(0, "a"), "+a ");
	assert_string_equal(track(10, "a"), "");
	assert_string_equal(track(10, "b a"), "+b ");
	assert_int_equal(health.present, 2);
	assert_string_equal(health.entries[0].problem.name, "b");
	assert_int_equal(health.entries[0].since_ms, 1020);
	assert_int_equal(health.entries[1].since_ms, 1000);
	assert_int_equal(health_deadline(&health), INT64_MAX);
	assert_true(health_is_degraded(&health));
	/* It is gone from what is shown at once, and from the log's view after a while. */
	assert_string_equal(track(480, "b"), "");
	assert_int_equal(health.present, 1);
	assert_int_equal(health_deadline(&health), 1500 + HEALTH_LINGER_MIN_MS);
	assert_string_equal(track(HEALTH_LINGER_MIN_MS, "b"), "-a/500 ");
	assert_string_equal(track(1000, ""), "");
	assert_string_equal(track(HEALTH_LINGER_MIN_MS, ""), "-b/2480 ");
	assert_false(health_is_degraded(&health));
	track(HEALTH_CALM_MS, "");
	assert_int_equal(health.len, 0);
	assert_int_equal(health_deadline(&health), INT64_MAX);
}

/* What is shown where there is room for one. */
static void test_the_worst(void **state)
{
	(void)state;
	struct problem_list list = { .len = 0 };

	health_track(&health, now, &list, tell, NULL);
	assert_null(health_worst(&health));
	problem_add(&list, PROBLEM_INFO, "news", "x");
	health_track(&health, now, &list, tell, NULL);
	assert_null(health_worst(&health));
	problem_add(&list, PROBLEM_WARNING, "first", "x");
	problem_add(&list, PROBLEM_WARNING, "second", "x");
	health_track(&health, now, &list, tell, NULL);
	assert_string_equal(health_worst(&health)->name, "first");
	problem_add(&list, PROBLEM_ERROR, "dead", "x");
	health_track(&health, now, &list, tell, NULL);
	assert_string_equal(health_worst(&health)->name, "dead");
}

static void test_back_at_once_had_not_gone(void **state)
{
	(void)state;

	track(0, "a");
	track(100, "");
	assert_string_equal(track(HEALTH_LINGER_MIN_MS - 1, "a"), "");
	assert_int_equal(health.entries[0].since_ms, 1000);
	/* Later it is another time. */
	track(100, "");
	track(HEALTH_LINGER_MIN_MS, "");
	assert_string_equal(track(5000, "a"), "+a ");
	assert_int_equal(health.entries[0].since_ms, now);
}

static void test_what_is_normal_for_a_moment(void **state)
{
	(void)state;

	assert_string_equal(track(0, "kernel-behind"), "");
	assert_int_equal(health.present, 1);
	assert_string_equal(track(500, ""), "");
	assert_string_equal(track(500, "kernel-behind"), "");
	assert_int_equal(health.entries[0].since_ms, now);
	assert_int_equal(health_deadline(&health), now + 1000);
	assert_string_equal(track(1000, "kernel-behind"), "+kernel-behind ");
	track(500, "");
	assert_string_equal(track(HEALTH_LINGER_MIN_MS, ""), "-kernel-behind/1500 ");
}

/* What comes and goes all day does not fill the log, and the log's last word is true. */
static void test_flapping(void **state)
{
	(void)state;
	size_t lines = 0;

	for (int i = 0; i < 1000; i++) {
		lines += strlen(track(2500, "a")) > 0;
		lines += strlen(track(100, "")) > 0;
		now += 2400;
		lines += strlen(track(0, "")) > 0;
	}
	assert_in_range(lines, 3, 12);
	assert_string_not_equal(track(HEALTH_LINGER_MAX_MS, ""), "");
	track(HEALTH_CALM_MS, "");
	assert_string_equal(track(0, "a"), "+a ");
}

static void test_full(void **state)
{
	(void)state;
	char names[2][400] = { "", "" };

	for (size_t i = 0; i < 9; i++) {
		snprintf(names[0] + strlen(names[0]), 16, "a%zu ", i);
		snprintf(names[1] + strlen(names[1]), 16, "b%zu ", i);
	}
	for (int i = 0; i < 10; i++) {
		track(10, names[i % 2]);
		assert_in_range(health.len, 9, PROBLEMS_MAX);
		assert_int_equal(health.present, 9);
	}
}

/* ---- the clock ---- */

static void test_clock(void **state UNUSED)
{
	static const struct {
		int64_t ahead_s;
		const char *words; /* NULL: nothing is said */
		enum problem_severity severity;
	} rows[] = {
		{ 0, NULL, 0 },
		{ 59, NULL, 0 },
		{ -59, NULL, 0 },
		{ 60, "is 1m0s (60 s) ahead of that of the store at http://x:1:", PROBLEM_INFO },
		{ -3599, "is 59m59s (3599 s) behind that of", PROBLEM_INFO },
		{ -3600, "certificates are judged by it", PROBLEM_WARNING },
		{ 108000, "is 1d6h (108000 s) ahead of", PROBLEM_WARNING },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct problem_list list = { .len = 0 };

		wall_clock_judge(rows[i].ahead_s, "http://x:1", &list);
		assert_int_equal(list.len, rows[i].words ? 1 : 0);
		if (rows[i].words) {
			assert_string_equal(list.items[0].name, "clock-skew");
			assert_int_equal(list.items[0].severity, rows[i].severity);
			assert_non_null(strstr(list.items[0].text, rows[i].words));
		}
	}
}

/* When our clock is set it is wrong at once, and nobody has to be asked again. */
static void test_clock_that_is_set(void **state UNUSED)
{
	const struct http_clock store = { .ahead_of_boot_ms = 1000000 };

	assert_int_equal(http_clock_ahead_s(&store, 5000, 1005000), 0);
	assert_int_equal(http_clock_ahead_s(&store, 6000, 1006000 + 30000), 30);
	assert_int_equal(http_clock_ahead_s(&store, 7000, 1007000 - 30000), -30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_is_well),
		cmocka_unit_test(test_kernel_that_cannot_be_asked),
		cmocka_unit_test(test_lease),
		cmocka_unit_test(test_kernel),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_fights_of_two_kinds),
		cmocka_unit_test(test_more_than_there_is_room_for),
		cmocka_unit_test(test_one_name_once),
		cmocka_unit_test_setup(test_begin_and_end, setup),
		cmocka_unit_test_setup(test_the_worst, setup),
		cmocka_unit_test_setup(test_back_at_once_had_not_gone, setup),
		cmocka_unit_test_setup(test_what_is_normal_for_a_moment, setup),
		cmocka_unit_test_setup(test_flapping, setup),
		cmocka_unit_test_setup(test_full, setup),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_clock_that_is_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
