/* SPDX-License-Identifier: Apache-2.0 */
/* kernel/kind_xfrm_policy: what is written and read back, and which policies are ours. */
#include "tests/unit/test.h"

#include <linux/xfrm.h>
#include <netinet/in.h>

#include "kernel/kinds.h"
#include "kernel/message.h"

static struct kernel_object policy(enum kernel_xfrm_direction direction)
{
	struct ip_net ours, theirs;
	struct ip_addr from, to;

	assert_int_equal(ip_net_parse("10.5.1.0/24", AF_INET, &ours, NULL), 0);
	assert_int_equal(ip_net_parse("10.5.2.0/24", AF_INET, &theirs, NULL), 0);
	assert_int_equal(ip_addr_parse("192.0.2.1", AF_INET, &from, NULL), 0);
	assert_int_equal(ip_addr_parse("192.0.2.2", AF_INET, &to, NULL), 0);
	return kernel_xfrm_policy(direction, &ours, &theirs, &from, &to);
}

struct message {
	char room[NETLINK_MESSAGE_MAX] __attribute__((aligned(8)));
};

static struct nlmsghdr *header(struct message *m)
{
	return (struct nlmsghdr *)(void *)m->room;
}

static struct xfrm_userpolicy_info *info(struct message *m)
{
	return nlmsg_data(header(m));
}

static struct xfrm_user_tmpl *template(struct message *m)
{
	return (struct xfrm_user_tmpl *)(void *)((char *)(info(m) + 1) + sizeof(struct nlattr));
}

static void write_it(struct message *m, enum kernel_verb verb)
{
	struct kernel_object o = policy(KERNEL_XFRM_OUT);

	*m = (struct message){ { 0 } };
	kernel_xfrm_policy_encode(verb, &o, header(m));
	/* As a dump shows it. */
	if (verb == KERNEL_REPLACE)
		header(m)->nlmsg_type = XFRM_MSG_NEWPOLICY;
}

static void test_it_is_read_as_written(void **state)
{
	struct kernel_object o = policy(KERNEL_XFRM_OUT);
	struct kernel_object back;
	struct message m;
	bool gone = true;
	char text[KERNEL_OBJECT_TEXT];

	(void)state;
	write_it(&m, KERNEL_REPLACE);
	assert_true(kernel_xfrm_policy_decode(header(&m), &back, &gone));
	assert_false(gone);
	assert_memory_equal(&back, &o, sizeof(o));
	assert_true(kernel_object_is_ours(&(struct kernel_marks){ 0 }, &back));
	assert_string_equal(kernel_object_format(&back, text),
			    "xfrm policy out 10.5.1.0/24 to 10.5.2.0/24 tunnel 192.0.2.1 to "
			    "192.0.2.2 reqid 11");
}

static void test_requests(void **state)
{
	struct message m;
	const struct xfrm_userpolicy_id *id;

	(void)state;
	write_it(&m, KERNEL_CREATE);
	assert_int_equal(header(&m)->nlmsg_type, XFRM_MSG_NEWPOLICY);
	assert_int_equal(info(&m)->dir, XFRM_POLICY_OUT);
	assert_true(info(&m)->lft.hard_byte_limit == XFRM_INF);
	assert_int_equal(template(&m)->id.proto, IPPROTO_ESP);
	assert_int_equal(template(&m)->mode, XFRM_MODE_TUNNEL);
	assert_int_equal(template(&m)->reqid, 11);
	write_it(&m, KERNEL_REMAKE);
	assert_int_equal(header(&m)->nlmsg_type, XFRM_MSG_UPDPOLICY);
	write_it(&m, KERNEL_DROP);
	assert_int_equal(header(&m)->nlmsg_type, XFRM_MSG_DELPOLICY);
	assert_int_equal(header(&m)->nlmsg_len, NLMSG_HDRLEN + sizeof(*id));
	id = nlmsg_data(header(&m));
	assert_int_equal(id->dir, XFRM_POLICY_OUT);
	assert_int_equal(id->sel.prefixlen_d, 24);
	assert_int_equal(id->index, 0);
}

static void test_one_that_goes(void **state)
{
	struct kernel_object o = policy(KERNEL_XFRM_OUT);
	struct kernel_object back;
	struct message m;
	bool gone = false;

	(void)state;
	write_it(&m, KERNEL_DROP);
	assert_true(kernel_xfrm_policy_decode(header(&m), &back, &gone));
	assert_true(gone);
	assert_memory_equal(&back.key, &o.key, sizeof(o.key));
	header(&m)->nlmsg_len -= 4;
	assert_false(kernel_xfrm_policy_decode(header(&m), &back, &gone));
}

/* What an IKE daemon or an administrator has made. */
static void test_others_are_not_ours(void **state)
{
	struct kernel_marks none = { 0 };
	struct kernel_object o;
	struct message m;
	bool gone;

	(void)state;
	write_it(&m, KERNEL_REPLACE);
	info(&m)->priority = 371327;
	assert_true(kernel_xfrm_policy_decode(header(&m), &o, &gone));
	assert_false(kernel_object_is_ours(&none, &o));
	write_it(&m, KERNEL_REPLACE);
	template(&m)->reqid = 1;
	assert_true(kernel_xfrm_policy_decode(header(&m), &o, &gone));
	assert_false(kernel_object_is_ours(&none, &o));
	write_it(&m, KERNEL_REPLACE);
	template(&m)->mode = XFRM_MODE_TRANSPORT;
	assert_true(kernel_xfrm_policy_decode(header(&m), &o, &gone));
	assert_false(kernel_object_is_ours(&none, &o));
	write_it(&m, KERNEL_REPLACE);
	nlattr_put(header(&m), XFRMA_MARK, sizeof(struct xfrm_mark), &(struct xfrm_mark){ 1, 1 });
	assert_true(kernel_xfrm_policy_decode(header(&m), &o, &gone));
	assert_false(kernel_object_is_ours(&none, &o));
	/* Without a template, and for a port: not a slot of ours at all. */
	write_it(&m, KERNEL_REPLACE);
	header(&m)->nlmsg_len = NLMSG_HDRLEN + sizeof(struct xfrm_userpolicy_info);
	assert_true(kernel_xfrm_policy_decode(header(&m), &o, &gone));
	assert_false(kernel_object_is_ours(&none, &o));
	write_it(&m, KERNEL_REPLACE);
	info(&m)->sel.dport_mask = UINT16_MAX;
	assert_false(kernel_xfrm_policy_decode(header(&m), &o, &gone));
	write_it(&m, KERNEL_REPLACE);
	info(&m)->sel.family = AF_INET6;
	assert_false(kernel_xfrm_policy_decode(header(&m), &o, &gone));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_is_read_as_written),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_one_that_goes),
		cmocka_unit_test(test_others_are_not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
