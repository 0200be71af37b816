/* SPDX-License-Identifier: Apache-2.0 */
/* backends/ipsec: its configuration, what it publishes, what a peer means, what charon is told of one and what it shows. */
#include "tests/unit/test.h"

#include <errno.h>

#include "backends/ipsec_internal.h"
#include "kernel/kinds.h"
#include "tests/unit/backend_rig.h"

#define SIXTEEN "0123456789abcdef"
#define PSK     SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN

static int create(const char *keys, struct backend **ret, struct err *e)
{
	auto_free char *text = xasprintf(
		"{\"Network\":\"10.5.0.0/16\",\"Backend\":{\"Type\":\"ipsec\",%s}}", keys);
	struct network_config c;
	int rc;

	assert_int_equal(network_config_parse(text, strlen(text), &c, e), 0);
	rc = backend_ipsec.create(&c, ret, e);
	network_config_fini(&c);
	return rc;
}

static struct backend *backend(const char *keys)
{
	const struct backend_host host = {
		.lower = { { 3, 1500 } },
		.local_v4 = test_addr("192.0.2.1"),
		.public_v4 = test_addr("192.0.2.1"),
	};
	struct backend *b = NULL;
	struct err e;

	assert_int_equal(create(keys, &b, &e), 0);
	assert_int_equal(b->type->set_host(b, &host, &e), 0);
	((struct ipsec *)b)->own.v4 = test_net("10.5.1.0/24");
	return b;
}

static void test_bad_configurations(void **state)
{
	static const struct {
		const char *keys;
		const char *error;
	} rows[] = {
		{ "\"UDPEncap\":true", "PSK has 0 characters, must have from 96 to 1024" },
		{ "\"PSK\":\"" SIXTEEN "\"", "PSK has 16 characters" },
		{ "\"PSK\":5", "PSK must be a string" },
		{ "\"PSK\":\"" PSK "\",\"UDPEncap\":1", "UDPEncap" },
		{ "\"PSK\":\"" PSK "\",\"ESPProposal\":\"aes;x\"", "ESPProposal is \"aes;x\"" },
	};
	struct backend *b = NULL;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_row(create(rows[i].keys, &b, &e) == -EINVAL, rows[i].keys);
		assert_contains(e.text, rows[i].error);
		assert_null(strstr(e.text, SIXTEEN));
	}
}

static void test_lease_as_flannel_writes_it(void **state)
{
	struct backend *b = backend("\"PSK\":\"" PSK "\"");
	struct backend *in_udp = backend("\"PSK\":\"" PSK "\",\"UDPEncap\":true");
	auto_lease struct lease *own = lease_new();
	struct err e;

	(void)state;
	assert_int_equal(b->type->publish(b, own, &e), 0);
	assert_string_equal(own->backend_type, "ipsec");
	assert_null(own->backend_data);
	assert_int_equal(b->type->pod_mtu(b), 1423);
	assert_int_equal(in_udp->type->pod_mtu(in_udp), 1415);
	backend_free(b);
	backend_free(in_udp);
}

static void test_objects_of_a_peer(void **state)
{
	static const char *const expected[] = {
		"xfrm policy in 10.5.3.0/24 to 10.5.1.0/24 tunnel 192.0.2.3 to 192.0.2.1 reqid 11",
		"xfrm policy fwd 10.5.3.0/24 to 10.5.1.0/24 tunnel 192.0.2.3 to 192.0.2.1 reqid 11",
		"xfrm policy out 10.5.1.0/24 to 10.5.3.0/24 tunnel 192.0.2.1 to 192.0.2.3 reqid 11",
	};
	const struct backend_path paths[2] = { { 0 } };
	struct backend *b = backend("\"PSK\":\"" PSK "\"");
	auto_lease struct lease *peer = lease_new();
	auto_wants struct wants w = { 0 };
	char text[KERNEL_OBJECT_TEXT];
	struct err e;

	(void)state;
	peer->subnet.v4 = test_net("10.5.3.0/24");
	peer->public_v4 = test_addr("192.0.2.3");
	assert_int_equal(b->type->want_peer(b, peer, NULL, paths, &w, &e), 0);
	assert_int_equal(w.len, ARRAY_LEN(expected) + 1);
	for (size_t i = 0; i < ARRAY_LEN(expected); i++)
		assert_string_equal(kernel_object_format(&w.items[i], text), expected[i]);
	assert_contains(kernel_object_format(&w.items[3], text), "route 10.5.3.0/24 dev 3");
	peer->public_v4 = test_addr("192.0.2.1");
	assert_int_equal(b->type->want_peer(b, peer, NULL, paths, &w, &e), -EINVAL);
	backend_free(b);
}

static bool has_text(const struct vici_message *m, const char *text)
{
	return memmem(m->data, m->size, text, strlen(text)) != NULL;
}

static void test_what_charon_is_told(void **state)
{
	static const char *const parts[] = { "aes256-sha256-modp4096",
					     "aes128gcm16-sha256-prfsha256-ecp256", "192.0.2.3",
					     "10.5.3.0/24" };
	struct backend *b = backend("\"PSK\":\"" PSK "\"");
	const struct ipsec *x = (const struct ipsec *)b;
	const struct ipsec_end ours = { test_net("10.5.1.0/24"), test_addr("192.0.2.1") };
	const struct ipsec_end theirs = { test_net("10.5.3.0/24"), test_addr("192.0.2.3") };
	struct ipsec_end first;
	struct ipsec_end second;
	auto_vici_message struct vici_message m = { 0 };
	auto_vici_message struct vici_message key = { 0 };
	char name[IPSEC_NAME_SIZE];
	char child[IPSEC_NAME_SIZE];
	struct err e;

	(void)state;
	ipsec_name(&ours, &theirs, name, child);
	assert_string_equal(name, "192.0.2.1-10.5.1.0/24-10.5.3.0/24-192.0.2.3");
	assert_string_equal(child, "10.5.1.0/24-10.5.3.0/24");
	assert_true(ipsec_read_name(name, &first, &second));
	assert_memory_equal(&first, &ours, sizeof(ours));
	assert_memory_equal(&second, &theirs, sizeof(theirs));
	assert_false(ipsec_read_name(child, &first, &second));
	assert_false(ipsec_read_name("office-to-branch", &first, &second));
	ipsec_put_connection(&m, x, name, child, &theirs.subnet, &theirs.public);
	assert_int_equal(vici_walk(m.data, m.size, NULL, NULL, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		assert_row(has_text(&m, parts[i]), parts[i]);
	assert_false(has_text(&m, PSK));
	ipsec_put_key(&key, x, name, &theirs.public);
	assert_true(has_text(&key, PSK));
	backend_free(b);
}

/* ---- what charon shows ---- */

static void show(struct ipsec_tunnels *ts, const char *name, const char *ike, const char *child)
{
	auto_vici_message struct vici_message m = { 0 };

	vici_section(&m, name);
	vici_value(&m, "state", ike);
	vici_section(&m, "child-sas");
	if (child) {
		vici_section(&m, "child-7");
		vici_value(&m, "state", child);
		vici_section_end(&m);
	}
	vici_section_end(&m);
	vici_section_end(&m);
	assert_int_equal(ipsec_tunnels_show(ts, m.data, m.size), 0);
}

static void count(void *arg, const struct ipsec_tunnel *t UNUSED)
{
	unsigned *begun = arg;

	++*begun;
}

/* One look; returns whether something changed. */
static bool look(struct ipsec_tunnels *ts, const char *name, const char *ike, const char *child,
		 unsigned *begun)
{
	ipsec_tunnels_look(ts);
	if (ike)
		show(ts, name, ike, child);
	return ipsec_tunnels_judge(ts, count, begun);
}

static bool says(struct ipsec_tunnels *ts, const char *name, const char *text)
{
	auto_vici_message struct vici_message m = { 0 };

	vici_value(&m, "msg", text);
	vici_value(&m, "ikesa-name", name);
	return ipsec_tunnels_log(ts, m.data, m.size);
}

struct shown {
	struct ipsec_tunnels tunnels;
	struct ipsec_tunnel *t;
	char name[IPSEC_NAME_SIZE];
};

static struct shown shown(void)
{
	const struct ip_addr public = test_addr("192.0.2.3");
	const struct ip_net subnet = test_net("10.5.3.0/24");
	struct shown s = { .tunnels.ours = { test_net("10.5.1.0/24"), test_addr("192.0.2.1") } };
	char child[IPSEC_NAME_SIZE];

	s.t = ipsec_tunnels_add(&s.tunnels, &subnet, &public);
	assert_ptr_equal(ipsec_tunnels_to(&s.tunnels, &subnet), s.t);
	ipsec_tunnel_name(&s.tunnels, s.t, s.name, child);
	assert_string_equal(s.name, "192.0.2.1-10.5.1.0/24-10.5.3.0/24-192.0.2.3");
	assert_string_equal(child, "10.5.1.0/24-10.5.3.0/24");
	return s;
}

static void hide(struct shown *s)
{
	ipsec_tunnels_fini(&s->tunnels);
}

/* Of each once, in the order in which they came; of all again when another charon is there. */
static void test_charon_is_told_of_each(void **state UNUSED)
{
	struct ipsec_tunnels ts = { 0 };
	struct ipsec_tunnel *t[4];

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		const struct ip_addr public = test_addr("192.0.2.3");
		struct ip_net subnet = test_net("10.5.0.0/24");

		subnet.addr.b[2] = (uint8_t)i;
		t[i] = ipsec_tunnels_add(&ts, &subnet, &public);
	}
	assert_ptr_equal(ipsec_tunnels_tell(&ts), t[0]);
	ipsec_tunnels_drop(&ts, t[0]);
	ipsec_tunnels_drop(&ts, t[3]);
	t[3] = ipsec_tunnels_add(&ts, &(struct ip_net){ test_addr("10.5.9.0"), 24 },
				 &t[1]->end.public);
	ipsec_tunnels_drop(&ts, t[1]);
	assert_ptr_equal(ipsec_tunnels_tell(&ts), t[2]);
	assert_ptr_equal(ipsec_tunnels_tell(&ts), t[3]);
	assert_null(ipsec_tunnels_tell(&ts));
	ipsec_tunnels_untell(&ts);
	assert_non_null(ipsec_tunnels_tell(&ts));
	assert_non_null(ipsec_tunnels_tell(&ts));
	assert_null(ipsec_tunnels_tell(&ts));
	ipsec_tunnels_fini(&ts);
}

static void test_tunnels_as_they_are_shown(void **state UNUSED)
{
	struct shown s = shown();
	unsigned begun = 0;

	assert_false(look(&s.tunnels, s.name, "CONNECTING", NULL, &begun));
	assert_true(look(&s.tunnels, s.name, "ESTABLISHED", "INSTALLED", &begun));
	assert_true(s.t->is_up);
	assert_false(look(&s.tunnels, s.name, "ESTABLISHED", "REKEYING", &begun));
	assert_true(look(&s.tunnels, "another", "ESTABLISHED", "INSTALLED", &begun));
	assert_false(s.t->is_up);
	assert_int_equal(begun, 0);
	hide(&s);
}

/* Given up, or without a tunnel in it: begun again, ever more rarely. At work: let be. */
static void test_a_tunnel_is_begun_again(void **state UNUSED)
{
	struct shown s = shown();
	unsigned begun = 0;

	for (int i = 0; i < 60; i++)
		look(&s.tunnels, s.name, "CONNECTING", NULL, &begun);
	assert_int_equal(begun, 0);
	look(&s.tunnels, s.name, NULL, NULL, &begun);
	assert_int_equal(begun, 1);
	for (int i = 0; i < 60; i++)
		look(&s.tunnels, s.name, "ESTABLISHED", NULL, &begun);
	/* After 4, 8, 12, ... */
	assert_int_equal(begun, 1 + 2 + 48 / 12);
	look(&s.tunnels, s.name, "ESTABLISHED", "INSTALLED", &begun);
	begun = 0;
	look(&s.tunnels, s.name, NULL, NULL, &begun);
	look(&s.tunnels, s.name, NULL, NULL, &begun);
	assert_int_equal(begun, 1);
	hide(&s);
}

static void test_reasons(void **state UNUSED)
{
	static const struct {
		const char *line;
		const char *reason;
	} rows[] = {
		{ "received AUTHENTICATION_FAILED notify error", "the hosts' PSK differ" },
		{ "tried 1 shared key for 'a' - 'b', but MAC mismatched", "the hosts' PSK differ" },
		{ "received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built", "ESPProposal differ" },
		{ "giving up after 5 retransmits", "does not answer" },
	};
	auto_free char *line =
		xasprintf("received netlink error: %s (%d)", strerror(ENOSYS), ENOSYS);
	struct shown s = shown();
	unsigned begun = 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_row(says(&s.tunnels, s.name, rows[i].line), rows[i].line);
		assert_contains(ipsec_tunnel_reason(s.t), rows[i].reason);
	}
	assert_false(says(&s.tunnels, s.name, "generating IKE_AUTH request 1 [ IDi AUTH SA ]"));
	assert_false(says(&s.tunnels, "another", rows[0].line));
	look(&s.tunnels, s.name, "ESTABLISHED", "INSTALLED", &begun);
	assert_string_equal(ipsec_tunnel_reason(s.t), "");
	/* Of the kernel's, whichever tunnel it is about: over when all stand. */
	assert_true(says(&s.tunnels, "", line));
	assert_contains(s.tunnels.lacks, strerror(ENOSYS));
	look(&s.tunnels, s.name, "ESTABLISHED", "INSTALLED", &begun);
	assert_string_equal(s.tunnels.lacks, "");
	hide(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_configurations),
		cmocka_unit_test(test_lease_as_flannel_writes_it),
		cmocka_unit_test(test_objects_of_a_peer),
		cmocka_unit_test(test_what_charon_is_told),
		cmocka_unit_test(test_charon_is_told_of_each),
		cmocka_unit_test(test_tunnels_as_they_are_shown),
		cmocka_unit_test(test_a_tunnel_is_begun_again),
		cmocka_unit_test(test_reasons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
