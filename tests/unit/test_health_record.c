/* SPDX-License-Identifier: Apache-2.0 */
/* subnet/health_record: what was written is read back; what is worth being told again, and what is not. */
#include "tests/unit/test.h"

#include <errno.h>

#include "lib/json.h"
#include "subnet/health_record.h"

static struct health_record_peer peer(unsigned third, enum health_reach reach, int32_t rtt_us,
				      uint8_t loss_percent)
{
	struct health_record_peer p = { .reach = reach,
					.rtt_us = rtt_us,
					.loss_percent = loss_percent };
	auto_free char *text = xasprintf("10.%u.%u.0/24", 5 + third / 256, third % 256);

	assert_int_equal(ip_net_parse(text, AF_INET, &p.subnet, NULL), 0);
	return p;
}

static void add(struct health_record *r, struct health_record_peer p)
{
	health_record_add_peer(r, &p);
	health_record_sort_peers(r);
}

static struct health_record record(void)
{
	struct health_record r = {
		.node_id = xstrdup("id-1"),
		.node_name = xstrdup("n\303\244me \"one\""),
		.version = xstrdup("1.0"),
		.kernel = xstrdup("6.1.0"),
		.backend = xstrdup("vxlan"),
		.written_s = 1767225600,
		.started_s = 1767225000,
		.verdict = HEALTH_DEGRADED,
		.public_v4 = test_addr("192.0.2.1"),
		.pod_mtu_bytes = 1450,
		.problems = { { .name = xstrdup("watch-lost"),
				.severity = PROBLEM_WARNING,
				.since_s = 1767225500,
				.text = xstrdup("etcd is gone") } },
		.problems_len = 1,
		.problems_more = 2,
	};

	assert_int_equal(subnet_key_parse("10.5.1.0-24&fd10:5:0:1::-64", &r.subnet, NULL), 0);
	add(&r, peer(3, HEALTH_WELL, 412, 0));
	add(&r, peer(2, HEALTH_SILENT, -1, 100));
	return r;
}

static struct health_record again(const struct health_record *r)
{
	auto_free char *text = health_record_format(r);
	struct health_record back;
	struct err e;

	assert_true(strlen(text) <= HEALTH_RECORD_MAX_SIZE);
	assert_null(strchr(text, '\n'));
	if (health_record_parse(text, strlen(text), &back, &e) < 0)
		fail_msg("%s", e.text);
	return back;
}

static void test_round_trip(void **state)
{
	(void)state;
	struct health_record r = record();
	struct health_record back = again(&r);

	assert_false(health_record_differs(&r, &back));
	assert_string_equal(back.node_id, r.node_id);
	assert_string_equal(back.node_name, r.node_name);
	assert_string_equal(back.version, r.version);
	assert_string_equal(back.kernel, r.kernel);
	assert_string_equal(back.backend, r.backend);
	assert_int_equal(back.written_s, r.written_s);
	assert_int_equal(back.started_s, r.started_s);
	assert_int_equal(back.pod_mtu_bytes, 1450);
	assert_true(subnet_equal(&back.subnet, &r.subnet));
	assert_true(ip_addr_equal(&back.public_v4, &r.public_v4));
	assert_false(ip_addr_is_set(&back.public_v6));
	assert_int_equal(back.problems_len, 1);
	assert_string_equal(back.problems[0].text, "etcd is gone");
	assert_int_equal(back.problems[0].since_s, 1767225500);
	assert_int_equal(back.peers_len, 2);
	assert_int_equal(back.peers[0].reach, HEALTH_SILENT); /* sorted by subnet */
	assert_int_equal(back.peers[1].rtt_us, 412);
	assert_int_equal(back.reaches[HEALTH_WELL], 1);
	health_record_fini(&r);
	health_record_fini(&back);
}

/* Of many peers those stay who answer worst, and the text stays small. */
static void test_the_worst_stay(void **state)
{
	(void)state;
	struct health_record r = record();
	struct health_record back;
	size_t silent = 0;
	size_t lossy = 0;

	r.peers_len = 0;
	for (unsigned i = 0; i < 2000; i++)
		health_record_add_peer(&r,
				       &(struct health_record_peer){
					       .subnet = peer(i, HEALTH_WELL, 0, 0).subnet,
					       .reach = i % 500 == 7 ? HEALTH_SILENT : HEALTH_WELL,
					       .rtt_us = (int32_t)i,
					       .loss_percent = i % 500 == 8 ? 50 : 0 });
	health_record_sort_peers(&r);
	for (size_t i = 0; i < HEALTH_RECORD_PROBLEMS_MAX; i++) {
		if (i >= r.problems_len) {
			r.problems[i].name = xstrdup("watch-lost");
			r.problems[i].text = NULL;
			r.problems_len++;
		}
		free(r.problems[i].text);
		r.problems[i].text = xasprintf("%400s\303\244", "\"");
	}
	back = again(&r);
	assert_int_equal(back.peers_len, HEALTH_RECORD_PEERS_MAX);
	for (size_t i = 0; i < back.peers_len; i++) {
		silent += back.peers[i].reach == HEALTH_SILENT;
		lossy += back.peers[i].loss_percent == 50;
		assert_true(back.peers[i].reach == HEALTH_SILENT || back.peers[i].loss_percent ||
			    back.peers[i].rtt_us > 1900);
	}
	assert_int_equal(silent, 4);
	assert_int_equal(lossy, 4);
	assert_int_equal(strlen(back.problems[0].text), HEALTH_RECORD_TEXT_MAX);
	health_record_fini(&r);
	health_record_fini(&back);
}

static void test_what_is_told_again(void **state)
{
	(void)state;
	struct health_record a = record();
	struct health_record b = record();

	b.written_s++;
	free(b.problems[0].text);
	b.problems[0].text = xstrdup("of 13 packets");
	b.peers[1].rtt_us = 2400; /* from 412: less than 2 ms */
	assert_false(health_record_differs(&a, &b));
	b.peers[1].rtt_us = 2500;
	assert_true(health_record_differs(&a, &b));
	a.peers[1].rtt_us = 50000;
	b.peers[1].rtt_us = 99000;
	assert_false(health_record_differs(&a, &b));
	b.peers[1].rtt_us = 101000;
	assert_true(health_record_differs(&a, &b));
	b.peers[1].rtt_us = 50000;
	b.peers[1].loss_percent = 9;
	assert_false(health_record_differs(&a, &b));
	b.peers[1].loss_percent = 10;
	assert_true(health_record_differs(&a, &b));
	b.peers[1].loss_percent = 0;
	b.verdict = HEALTH_OK;
	assert_true(health_record_differs(&a, &b));
	b.verdict = a.verdict;
	b.problems[0].severity = PROBLEM_ERROR;
	assert_true(health_record_differs(&a, &b));
	b.problems[0].severity = a.problems[0].severity;
	assert_false(health_record_differs(&a, &b));
	health_record_fini(&a);
	health_record_fini(&b);
}

/* Which of those that are well are named, when not all are, is chance. */
static void test_other_names_of_the_well(void **state)
{
	(void)state;
	struct health_record a = { 0 };
	struct health_record b = { 0 };

	add(&a, peer(1, HEALTH_WELL, 500, 0));
	add(&a, peer(3, HEALTH_WELL, 500, 0));
	add(&b, peer(2, HEALTH_WELL, 500, 0));
	add(&b, peer(4, HEALTH_WELL, 500, 0));
	assert_false(health_record_differs(&a, &b));
	b.peers[1].reach = HEALTH_TUNNEL_SILENT;
	assert_true(health_record_differs(&a, &b));
	assert_true(health_record_differs(&b, &a));
	b.peers[1].reach = HEALTH_WELL;
	add(&b, peer(5, HEALTH_WELL, 500, 0));
	assert_true(health_record_differs(&a, &b)); /* there are more */
}

static void refused(const char *text)
{
	struct health_record r = { .pod_mtu_bytes = 7 };
	struct err e = { 0 };

	assert_int_equal(health_record_parse(text, strlen(text), &r, &e), -EINVAL);
	assert_true(e.text[0] != '\0');
	assert_int_equal(r.pod_mtu_bytes, 7);
}

static void test_refused(void **state)
{
	(void)state;
	auto_free char *large = xasprintf("{\"verdict\":\"ok\",\"node\":\"%17000s\"}", "x");

	refused("");
	refused("[]");
	refused("{}");
	refused("{\"verdict\":\"fine\"}");
	refused("{\"verdict\":3}");
	refused(large);
}

/* What a newer daemon says, or somebody else, and cannot be read. */
static void test_lenient(void **state)
{
	(void)state;
	static const char text[] =
		"{\"version\":9,\"verdict\":\"ok\",\"subnet\":\"x\",\"publicIP\":7,\"podMTU\":-1,"
		"\"new\":{},\"problems\":[3,{\"severity\":\"odd\",\"name\":\"n\"},{}],"
		"\"reach\":{\"ok\":-4,\"silent\":2},"
		"\"peers\":[[],[1,2],[\"10.5.1.0/24\",\"fine\"],[\"10.5.2.0/24\",\"ok\",\"x\",300],"
		"[\"10.5.3.0/33\",\"ok\",1,1]]}";
	struct health_record r;

	assert_int_equal(health_record_parse(text, strlen(text), &r, NULL), 0);
	assert_false(ip_net_is_set(&r.subnet.v4));
	assert_false(ip_addr_is_set(&r.public_v4));
	assert_int_equal(r.pod_mtu_bytes, 0);
	assert_string_equal(r.node_name, "");
	assert_int_equal(r.problems_len, 1);
	assert_int_equal(r.problems[0].severity, PROBLEM_INFO);
	assert_string_equal(r.problems[0].text, "");
	assert_int_equal(r.reaches[HEALTH_WELL], 0);
	assert_int_equal(r.reaches[HEALTH_SILENT], 2);
	assert_int_equal(r.peers_len, 1);
	assert_int_equal(r.peers[0].rtt_us, -1);
	assert_int_equal(r.peers[0].loss_percent, 0);
	health_record_fini(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_the_worst_stay),
		cmocka_unit_test(test_what_is_told_again),
		cmocka_unit_test(test_other_names_of_the_well),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_lenient),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
