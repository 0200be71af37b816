/* SPDX-License-Identifier: Apache-2.0 */
/* kernel/message: what is put is what is read, padded as the kernel wants it, and bytes of others lead nowhere. */
#include "tests/unit/test.h"

#include "kernel/message.h"

static void test_what_is_put_is_what_is_read(void **state UNUSED)
{
	char room[256] __attribute__((aligned(4)));
	struct nlmsghdr *hdr;
	const struct nlattr *attr, *inner;
	struct nlattr *nest;
	unsigned seen = 0;

	memset(room, 0xff, sizeof(room));
	hdr = nlmsg_begin(room);
	assert_int_equal(nlmsg_size(hdr), 0);
	*(uint16_t *)nlmsg_put_header(hdr, 6) = 7;
	nlattr_put_u8(hdr, 1, 0x12);
	nlattr_put_u16(hdr, 2, 0x1234);
	nlattr_put_u32(hdr, 3, 0x12345678);
	nlattr_put_u64(hdr, 4, 0x123456789abcdef0);
	nlattr_put_text(hdr, 5, "five");
	nlattr_put(hdr, 6, 0, NULL);
	nest = nlattr_nest_begin(hdr, 7);
	nlattr_put_u8(hdr, 8, 9);
	nlattr_nest_end(hdr, nest);

	/* 16 and 8 for the headers; a value with its header takes a multiple of four. */
	assert_int_equal(hdr->nlmsg_len, 24 + 8 + 8 + 8 + 12 + 12 + 4 + 12);
	assert_memory_equal(room + 24, "\x05\x00\x01\x00\x12\x00\x00\x00", 8);
	nlattr_for_each (attr, hdr, 6) {
		assert_int_equal(nlattr_type(attr), ++seen);
		switch (seen) {
		case 1:
			assert_int_equal(nlattr_u8(attr), 0x12);
			assert_false(nlattr_is_text(attr));
			break;
		case 2:
			assert_int_equal(nlattr_u16(attr), 0x1234);
			break;
		case 3:
			assert_int_equal(nlattr_u32(attr), 0x12345678);
			break;
		case 4:
			assert_true(nlattr_u64(attr) == 0x123456789abcdef0);
			break;
		case 5:
			assert_true(nlattr_is_text(attr));
			assert_string_equal(nlattr_data(attr), "five");
			break;
		case 6:
			assert_int_equal(nlattr_size(attr), 0);
			assert_false(nlattr_is_text(attr));
			break;
		default:
			assert_true(attr->nla_type & NLA_F_NESTED);
			nlattr_for_each_nested (inner, attr)
				assert_int_equal(nlattr_type(inner), 8);
		}
	}
	assert_int_equal(seen, 7);
}

static unsigned attributes(const struct nlmsghdr *hdr)
{
	const struct nlattr *attr;
	unsigned n = 0;

	nlattr_for_each (attr, hdr, 0)
		n++;
	return n;
}

/* Lengths that lie: nothing is read beyond the message, and every loop ends. */
static void test_lengths_that_lie(void **state UNUSED)
{
	char room[64] __attribute__((aligned(4))) = { 0 };
	struct nlmsghdr *hdr = nlmsg_begin(room);
	struct nlattr *attr = nlmsg_data(hdr);

	nlattr_put_u32(hdr, 1, 1);
	assert_int_equal(attributes(hdr), 1);
	for (uint16_t len = 0; len < 32; len++) {
		attr->nla_len = len;
		/* Behind one of four bytes there is the value, 1, which is no length. */
		assert_int_equal(attributes(hdr), len < 4 || len > 8 ? 0 : 1);
	}
	attr->nla_len = 8;
	hdr->nlmsg_len = NLMSG_HDRLEN + 7;
	assert_int_equal(attributes(hdr), 0);
	/* The last need not be padded. */
	attr->nla_len = 7;
	assert_int_equal(attributes(hdr), 1);
	hdr->nlmsg_len = NLMSG_HDRLEN + 3;
	assert_int_equal(attributes(hdr), 0);
}

static void test_messages_one_behind_the_other(void **state UNUSED)
{
	char room[64] __attribute__((aligned(4))) = { 0 };
	struct nlmsghdr *hdr = nlmsg_begin(room);
	int left = 36;

	hdr->nlmsg_len = 17;
	nlmsg_begin(room + 20);
	assert_true(nlmsg_ok(hdr, left));
	hdr = nlmsg_next(hdr, &left);
	assert_ptr_equal(hdr, room + 20);
	assert_int_equal(left, 16);
	assert_true(nlmsg_ok(hdr, left));
	assert_false(nlmsg_ok(hdr, 15));
	hdr->nlmsg_len = 15;
	assert_false(nlmsg_ok(hdr, left));
	hdr->nlmsg_len = UINT32_MAX;
	assert_false(nlmsg_ok(hdr, left));
	hdr->nlmsg_len = 16;
	hdr = nlmsg_next(hdr, &left);
	assert_false(nlmsg_ok(hdr, left));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_put_is_what_is_read),
		cmocka_unit_test(test_lengths_that_lie),
		cmocka_unit_test(test_messages_one_behind_the_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
