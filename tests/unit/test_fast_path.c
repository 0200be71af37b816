/* SPDX-License-Identifier: Apache-2.0 */
/* fastpath: addresses as the maps have them, pins, and what of the kernel's words concerns it. */
#include "tests/unit/test.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fastpath/fast_path.h"
#include "fastpath/pins.h"
#include "fastpath/survey.h"
#include "kernel/message.h"
#include "kernel/segment.h"

static void test_addresses(void **state UNUSED)
{
	static const char *const texts[] = { "10.5.1.2", "fd10:5::2", "::ffff", "255.255.255.255" };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct ip_addr a = test_addr(texts[i]);
		struct fast_address mapped = fast_address_of(&a);
		struct ip_addr back = fast_address_to(&mapped);

		assert_row(ip_addr_equal(&a, &back), texts[i]);
	}
}

static void test_find(void **state UNUSED)
{
	struct ip_addr addr = test_addr("10.5.1.2");
	struct fast_found item = { .address = fast_address_of(&addr) };
	struct fast_survey s = { .items = &item, .len = 1 };
	struct fast_address other = { { 1, 2, 3, 4 } };

	assert_ptr_equal(fast_survey_find(&s, &item.address), &item);
	assert_null(fast_survey_find(&s, &other));
	s.len = 0;
	assert_null(fast_survey_find(&s, &item.address));
}

/* Only where programs can be pinned is anything made. */
static void test_pins_elsewhere(void **state UNUSED)
{
	char directory[] = "/tmp/fast-path-XXXXXX";
	auto_free char *parent = NULL;
	auto_free char *network = NULL;
	struct err e;

	assert_non_null(mkdtemp(directory));
	parent = xasprintf("%s/flannel", directory);
	network = xasprintf("%s/flannel_1", parent);
	assert_int_equal(fast_pins_own(network, "flanneld 1", &e), -ENODEV);
	assert_contains(e.text, "mount -t bpf");
	assert_int_equal(access(parent, F_OK), -1);
	assert_false(fast_pins_remove(network, "flanneld 1"));
	rmdir(directory);
}

static void test_pins_of_others_stay(void **state UNUSED)
{
	char directory[] = "/tmp/fast-path-XXXXXX";
	auto_free char *mine = NULL;
	auto_free char *old = NULL;
	auto_free char *theirs = NULL;

	assert_non_null(mkdtemp(directory));
	mine = xasprintf("%s/flannel_1", directory);
	old = xasprintf("%s/flannel_2", directory);
	theirs = xasprintf("%s/flannel_3", directory);
	const char *const all[] = { mine, old, theirs };
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		auto_free char *owner = xasprintf("%s/owner", all[i]);

		assert_int_equal(mkdir(all[i], 0700), 0);
		assert_int_equal(symlink(i == 2 ? "flanneld 2" : "flanneld 1", owner), 0);
	}
	fast_pins_sweep(mine, "flanneld 1");
	assert_int_equal(access(mine, F_OK), 0);
	assert_int_equal(access(old, F_OK), -1);
	assert_int_equal(access(theirs, F_OK), 0);
	assert_false(fast_pins_remove(theirs, "flanneld 1"));
	assert_true(fast_pins_remove(mine, "flanneld 1"));
	assert_true(fast_pins_remove(theirs, "flanneld 2"));
	assert_int_equal(rmdir(directory), 0);
}

static void test_changes(void **state UNUSED)
{
	struct nft_change change = { .message = NFT_MSG_NEWRULE, .table = "other" };

	assert_true(fast_obstacle_may_be(&change));
	change.message = NFT_MSG_NEWSETELEM;
	assert_false(fast_obstacle_may_be(&change));
	change = (struct nft_change){ .message = NFT_MSG_NEWCHAIN, .table = MARK_CNI_TABLE };
	assert_false(fast_obstacle_may_be(&change));
}

static void test_neighbours(void **state UNUSED)
{
	char room[256] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *hdr = nlmsg_begin(room);
	struct ip_addr addr = test_addr("10.5.1.2");
	struct mac_addr mac = test_mac("02:00:00:00:00:02");
	struct segment_neighbour n;
	struct ndmsg *m;

	hdr->nlmsg_type = RTM_NEWNEIGH;
	m = nlmsg_put_header(hdr, sizeof(*m));
	m->ndm_family = AF_INET;
	m->ndm_ifindex = 7;
	m->ndm_state = NUD_STALE;
	nlattr_put(hdr, NDA_DST, 4, addr.b);
	nlattr_put(hdr, NDA_LLADDR, 6, mac.b);
	assert_true(segment_neighbour_decode(hdr, &n));
	assert_true(n.usable && ip_addr_equal(&n.addr, &addr) && n.ifindex == 7 && n.bridge == 0);
	m->ndm_state = NUD_FAILED;
	assert_true(segment_neighbour_decode(hdr, &n));
	assert_false(n.usable);
	/* Behind a port, which says of what bridge. */
	m->ndm_family = AF_BRIDGE;
	assert_false(segment_neighbour_decode(hdr, &n));
	m->ndm_state = NUD_REACHABLE;
	nlattr_put_u32(hdr, NDA_MASTER, 9);
	assert_true(segment_neighbour_decode(hdr, &n));
	assert_true(n.usable && n.bridge == 9 && n.ifindex == 7);
	hdr->nlmsg_type = RTM_DELNEIGH;
	assert_true(segment_neighbour_decode(hdr, &n));
	assert_false(n.usable);
}

static void test_outcomes(void **state UNUSED)
{
	assert_string_equal(fast_outcome_name(FAST_OUT), "out");
	assert_string_equal(fast_outcome_name(FAST_ROUTE), "route");
	for (enum fast_outcome o = 0; o < FAST_OUTCOMES_LEN; o++)
		assert_true(*fast_outcome_text(o));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),      cmocka_unit_test(test_find),
		cmocka_unit_test(test_pins_elsewhere), cmocka_unit_test(test_pins_of_others_stay),
		cmocka_unit_test(test_changes),        cmocka_unit_test(test_neighbours),
		cmocka_unit_test(test_outcomes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
