/* SPDX-License-Identifier: Apache-2.0 */
/* kernel/batch: elements of a set, of which the kernel takes a transaction as a whole or not at all. */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

#include "kernel/batch.h"
#include "kernel/kinds.h"
#include "kernel/message.h"
#include "kernel/nft_internal.h"

#define ELEMENTS 1000

/* ---- a kernel with one set, in place of kernel/netlink.c ---- */

static struct {
	bool bad[ELEMENTS]; /* refused */
	bool there[ELEMENTS];
	int code; /* why */
	unsigned transactions;
} kernel;

struct transaction {
	unsigned keys[ELEMENTS];
	size_t len;
	bool bad;
};

static const struct nlattr *inside(const struct nlattr *nest, uint16_t type)
{
	const struct nlattr *attr;

	nlattr_for_each_nested (attr, nest) {
		if (nlattr_type(attr) == type)
			return attr;
	}
	fail_msg("attribute %u is missing", type);
	return NULL;
}

static void take_elements(struct transaction *t, const struct nlmsghdr *hdr)
{
	const struct nlattr *attr;
	const struct nlattr *element;

	nlattr_for_each (attr, hdr, sizeof(struct nfgenmsg)) {
		if (nlattr_type(attr) != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		nlattr_for_each_nested (element, attr) {
			const struct nlattr *key = inside(element, NFTA_SET_ELEM_KEY);
			uint32_t value;

			memcpy(&value, nlattr_data(inside(key, NFTA_DATA_VALUE)), 4);
			value = ntohl(value) & 0xffff;
			assert_true(value < ELEMENTS && t->len < ELEMENTS);
			t->keys[t->len++] = value;
			t->bad |= kernel.bad[value];
		}
	}
}

int netlink_send_sequence(struct netlink *nl UNUSED, void *requests, size_t size,
			  size_t acked UNUSED,
			  void (*on_error)(void *arg, size_t index, int code, const char *text),
			  void *arg, struct err *e UNUSED)
{
	struct transaction t = { .len = 0 };
	bool adds = false;

	kernel.transactions++;
	for (size_t offset = 0; offset < size;) {
		const struct nlmsghdr *hdr = (const void *)((char *)requests + offset);

		if (hdr->nlmsg_type == nft_type(NFT_MSG_NEWSETELEM) ||
		    hdr->nlmsg_type == nft_type(NFT_MSG_DELSETELEM))
			take_elements(&t, hdr);
		adds |= hdr->nlmsg_type == nft_type(NFT_MSG_NEWSETELEM);
		offset += NLMSG_ALIGN(hdr->nlmsg_len);
	}
	if (t.bad)
		on_error(arg, 1, kernel.code, "refused");
	for (size_t i = 0; i < t.len && !t.bad; i++)
		kernel.there[t.keys[i]] = adds;
	return 0;
}

int netlink_open(int protocol UNUSED, struct netlink **ret UNUSED, struct err *e)
{
	return err_set(e, -EPROTONOSUPPORT, "elements alone are written");
}

struct netlink_batch *netlink_batch_new(struct netlink *nl UNUSED,
					netlink_error_fn *on_error UNUSED, void *arg UNUSED)
{
	return NULL;
}

void netlink_batch_free(struct netlink_batch *b UNUSED)
{
}

struct nlmsghdr *netlink_batch_reserve(struct netlink_batch *b UNUSED)
{
	fail_msg("elements alone are written");
	return NULL;
}

void netlink_batch_commit(struct netlink_batch *b UNUSED, void *cookie UNUSED)
{
}

int netlink_batch_flush(struct netlink_batch *b UNUSED, struct err *e UNUSED)
{
	return 0;
}

int netlink_ask(struct netlink *nl UNUSED, void *questions UNUSED, size_t size UNUSED,
		netlink_answer_fn *on_answer UNUSED, void *arg UNUSED, struct err *e UNUSED)
{
	return 0;
}

int netlink_dump(struct netlink *nl UNUSED, struct nlmsghdr *request UNUSED,
		 void (*visit)(void *arg, const struct nlmsghdr *object) UNUSED,
		 void (*forget)(void *arg) UNUSED, void *arg UNUSED, struct err *e UNUSED)
{
	return 0;
}

int netlink_call(struct netlink *nl UNUSED, struct nlmsghdr *request UNUSED,
		 void (*on_reply)(void *arg, const struct nlmsghdr *reply) UNUSED, void *arg UNUSED,
		 struct err *e UNUSED)
{
	return 0;
}

/* ---- what is told ---- */

static unsigned refused[ELEMENTS];

static void on_refused(void *arg UNUSED, void *cookie, int code, const char *text)
{
	unsigned i = (unsigned)((unsigned *)cookie - refused);

	assert_in_range(i, 0, ELEMENTS - 1);
	assert_int_equal(code, kernel.code);
	assert_non_null(strstr(text, "refused"));
	refused[i]++;
}

static int setup(void **state UNUSED)
{
	memset(&kernel, 0, sizeof(kernel));
	memset(refused, 0, sizeof(refused));
	kernel.code = -EINVAL;
	return 0;
}

/* All elements in one go; returns the doubts. */
static unsigned write_all(enum kernel_verb verb)
{
	static const struct nft_set sets[] = { { .name = "peers", .type = NFT_KEY_IPV4 } };
	struct kernel k = { .netfilter = (struct netlink *)&kernel,
			    .marks = { .table = { .family = NFPROTO_INET, .name = "t" },
				       .sets = sets,
				       .sets_len = 1 } };
	struct kernel_batch *b = kernel_batch_new(&k, on_refused, NULL);
	unsigned doubts;
	struct err e;

	for (unsigned i = 0; i < ELEMENTS; i++) {
		uint32_t addr = htonl(0x0a050000 | i);
		struct ip_addr a = ip_addr_from_bytes(AF_INET, &addr);
		struct kernel_object o = kernel_element_addr(0, &a);

		kernel_batch_element(b, verb, &o, &refused[i]);
	}
	assert_int_equal(kernel_batch_flush(b, &doubts, &e), 0);
	kernel_batch_free(b);
	return doubts;
}

static void test_all_are_one_transaction(void **state UNUSED)
{
	assert_int_equal(write_all(KERNEL_CREATE), 0);
	assert_int_equal(kernel.transactions, 1);
	for (unsigned i = 0; i < ELEMENTS; i++)
		assert_true(kernel.there[i] && !refused[i]);
}

static void test_one_bad_element_costs_the_others_nothing(void **state UNUSED)
{
	static const unsigned places[] = { 0, 1, 499, 500, 731, ELEMENTS - 1 };

	for (size_t p = 0; p < ARRAY_LEN(places); p++) {
		setup(NULL);
		kernel.bad[places[p]] = true;
		assert_int_equal(write_all(KERNEL_CREATE), 1u << KERNEL_ELEMENT);
		for (unsigned i = 0; i < ELEMENTS; i++) {
			assert_int_equal(kernel.there[i], i != places[p]);
			assert_int_equal(refused[i], i == places[p]);
		}
		/* Both halves, ten times. */
		assert_in_range(kernel.transactions, 1, 21);
	}
}

/* The search has an end, and what was not written for it is told. */
static void test_many_bad_elements(void **state UNUSED)
{
	unsigned there = 0;

	for (unsigned i = 0; i < ELEMENTS; i += 10)
		kernel.bad[i] = true;
	assert_int_equal(write_all(KERNEL_CREATE), 1u << KERNEL_ELEMENT);
	assert_in_range(kernel.transactions, 2, 40);
	for (unsigned i = 0; i < ELEMENTS; i++) {
		assert_int_equal(refused[i], !kernel.there[i]);
		there += kernel.there[i];
	}
	assert_in_range(there, 1, ELEMENTS - ELEMENTS / 10);
}

static void test_a_set_that_is_not_there_is_not_searched(void **state UNUSED)
{
	kernel.code = -ENOENT;
	kernel.bad[7] = true;
	write_all(KERNEL_CREATE);
	assert_int_equal(kernel.transactions, 1);
	for (unsigned i = 0; i < ELEMENTS; i++)
		assert_int_equal(refused[i], 1);
}

/* What is not there any more cannot be removed; what still is there is found by looking. */
static void test_a_refused_removal_is_a_doubt(void **state UNUSED)
{
	kernel.code = -ENOENT;
	kernel.bad[7] = true;
	assert_int_equal(write_all(KERNEL_DROP), 1u << KERNEL_ELEMENT);
	assert_int_equal(kernel.transactions, 1);
	for (unsigned i = 0; i < ELEMENTS; i++)
		assert_int_equal(refused[i], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_all_are_one_transaction, setup),
		cmocka_unit_test_setup(test_one_bad_element_costs_the_others_nothing, setup),
		cmocka_unit_test_setup(test_many_bad_elements, setup),
		cmocka_unit_test_setup(test_a_set_that_is_not_there_is_not_searched, setup),
		cmocka_unit_test_setup(test_a_refused_removal_is_a_doubt, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
