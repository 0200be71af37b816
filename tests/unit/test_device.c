/* SPDX-License-Identifier: Apache-2.0 */
/* kernel/device: what becomes of a question that the kernel could not even be asked. */
#include "tests/unit/test.h"

#include <errno.h>

#include "kernel/device.h"
#include "kernel/netlink.h"

/* In place of kernel/netlink.c's: no question arrives. */
int netlink_ask(struct netlink *nl UNUSED, void *questions UNUSED, size_t size UNUSED,
		netlink_answer_fn *on_answer UNUSED, void *arg UNUSED, struct err *e)
{
	return err_set(e, -ENOBUFS, "No buffer space available");
}

int netlink_call(struct netlink *nl UNUSED, struct nlmsghdr *request UNUSED,
		 void (*on_reply)(void *arg, const struct nlmsghdr *reply) UNUSED, void *arg UNUSED,
		 struct err *e)
{
	return err_set(e, -ENOBUFS, "No buffer space available");
}

int netlink_send_sequence(struct netlink *nl UNUSED, void *requests UNUSED, size_t size UNUSED,
			  size_t acked UNUSED,
			  void (*on_error)(void *arg, size_t index, int code, const char *text)
				  UNUSED,
			  void *arg UNUSED, struct err *e)
{
	return err_set(e, -ENOBUFS, "No buffer space available");
}

static void test_a_kernel_that_is_not_asked(void **state)
{
	(void)state;
	struct device d;
	struct err e;

	assert_int_equal(device_get(NULL, "eth0", &d, &e), -ENOBUFS);
	assert_string_equal(e.text, "device eth0: No buffer space available");
	assert_int_equal(device_get_by_index(NULL, 7, &d, &e), -ENOBUFS);
	/* Whoever does not want to know why. */
	assert_true(device_get(NULL, "eth0", &d, NULL) < 0);
	assert_true(device_get_by_index(NULL, 7, &d, NULL) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_kernel_that_is_not_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
