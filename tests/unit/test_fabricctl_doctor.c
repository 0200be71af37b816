/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl doctor: what its checks judge by. */
#include "tests/unit/test.h"

#include "fabricctl/doctor.h"

#define DAY INT64_C(86400)

static void test_validity(void **state UNUSED)
{
	static const struct {
		int64_t now_s;
		enum doctor_state state;
		const char *words;
	} rows[] = {
		{ 100 * DAY - 1, DOCTOR_ERROR, "is good only from 1970-04-11T00:00:00Z on, in 1s" },
		{ 100 * DAY, DOCTOR_OK, "ends in 100d0h, at 1970-07-20T00:00:00Z" },
		{ 186 * DAY, DOCTOR_OK, "ends in 14d0h" },
		{ 186 * DAY + 1, DOCTOR_WARNING, "ends in 13d23h" },
		{ 200 * DAY - 1, DOCTOR_WARNING, "ends in 1s" },
		{ 200 * DAY, DOCTOR_ERROR, "has ended 0s ago, at 1970-07-20T00:00:00Z" },
	};
	char text[160];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(doctor_judge_validity(100 * DAY, 200 * DAY, rows[i].now_s, text,
						       sizeof(text)),
				 rows[i].state);
		assert_ptr_equal(strstr(text, rows[i].words), text);
	}
}

static void test_offload(void **state UNUSED)
{
	assert_true(doctor_offload_is_suspect("vmxnet3", true));
	assert_false(doctor_offload_is_suspect("vmxnet3", false));
	assert_false(doctor_offload_is_suspect("virtio_net", true));
}

static void test_file_systems_that_lack_something(void **state UNUSED)
{
	const char *name = "untouched";

	assert_null(doctor_judge_file_system(0xef53, &name)); /* ext4 */
	assert_string_equal(name, "untouched");
	assert_contains(doctor_judge_file_system(0x6969, &name), "other machines");
	assert_string_equal(name, "NFS");
	/* As the kernel gives it in a signed field of 64 bits. */
	assert_contains(doctor_judge_file_system((uint64_t)(int32_t)0xff534d42, &name),
			"other machines");
	assert_string_equal(name, "CIFS");
	assert_contains(doctor_judge_file_system(0x01021994, &name), "gone after a reboot");
}

static void test_room(void **state UNUSED)
{
	const uint64_t mb = 1 << 20;

	assert_int_equal(doctor_judge_room(100 * mb, 0, 0), DOCTOR_OK);
	assert_int_equal(doctor_judge_room(100 * mb, 1000, 80 * mb), DOCTOR_OK);
	assert_int_equal(doctor_judge_room(100 * mb, 1000, 90 * mb), DOCTOR_WARNING);
	assert_int_equal(doctor_judge_room(100 * mb, 1000, 100 * mb), DOCTOR_ERROR);
	assert_int_equal(doctor_judge_room(100 * mb, 3, 0), DOCTOR_ERROR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_validity),
		cmocka_unit_test(test_offload),
		cmocka_unit_test(test_file_systems_that_lack_something),
		cmocka_unit_test(test_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
