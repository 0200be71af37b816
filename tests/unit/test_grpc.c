/* SPDX-License-Identifier: Apache-2.0 */
/* lib/grpc: frames, and what stands in the headers of HTTP/2. */
#include "tests/unit/test.h"

#include <errno.h>

#include "lib/grpc.h"

static void test_frames(void **state)
{
	(void)state;
	static const uint8_t one[] = { 0, 0, 0, 0, 3, 'a', 'b', 'c', 0 };
	uint8_t prefix[GRPC_PREFIX_SIZE];
	const uint8_t *message;
	size_t size;
	struct err e;

	grpc_prefix(prefix, 0x01020304);
	assert_memory_equal(prefix, ((uint8_t[]){ 0, 1, 2, 3, 4 }), sizeof(prefix));
	assert_int_equal(grpc_frame_size(prefix, sizeof(prefix)), 0x01020304 + 5);
	/* Four bytes do not tell; the fifth does, though the message is still to come. */
	assert_int_equal(grpc_frame_size(one, 4), 0);
	assert_int_equal(grpc_frame_size(one, 5), 8);
	assert_int_equal(grpc_frame_read(one, 8, &message, &size, &e), 0);
	assert_int_equal(size, 3);
	assert_memory_equal(message, "abc", 3);
	/* An empty message is one. */
	assert_int_equal(grpc_frame_read("\0\0\0\0", 5, &message, &size, &e), 0);
	assert_int_equal(size, 0);
}

static void test_what_is_no_frame(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t size;
	} rows[] = {
		{ "", 0 },
		{ "\0\0\0\0", 4 },
		{ "\0\0\0\0\2a", 6 },
		{ "\0\0\0\0\1ab", 7 },
		{ "\1\0\0\0\1a", 6 },
		{ "\0\377\377\377\377a", 6 },
		{ "HTTP/1.1 400 Bad Request", 24 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const uint8_t *message = NULL;
		size_t size = 0;
		struct err e = { 0 };

		assert_int_equal(grpc_frame_read(rows[i].bytes, rows[i].size, &message, &size, &e),
				 -EBADMSG);
		assert_true(e.text[0] && !message);
	}
}

static void test_headers(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		const char *value; /* of grpc-status; NULL: it is another */
	} rows[] = {
		{ "grpc-status: 14\r\n", "14" }, { "Grpc-Status:0", "0" },
		{ "grpc-status: \r\n", "" },     { "grpc-status-details-bin: 14\r\n", NULL },
		{ "grpc-statu", NULL },          { "\r\n", NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t size = 0;
		const char *value =
			grpc_header(rows[i].line, strlen(rows[i].line), "grpc-status", &size);

		assert_row(!value == !rows[i].value, rows[i].line);
		if (value) {
			assert_int_equal(size, strlen(rows[i].value));
			assert_memory_equal(value, rows[i].value, size);
		}
	}
}

static void test_status(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int status;
	} rows[] = { { "0", 0 },   { "14", 14 }, { "9999", 9999 }, { "", -1 },
		     { "-1", -1 }, { "1x", -1 }, { "99999", -1 },  { " 1", -1 } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_row(grpc_status_read(rows[i].text, strlen(rows[i].text)) == rows[i].status,
			   rows[i].text);
}

/* Percents are bytes; what is none stands for itself. What comes out is a line that can be shown. */
static void test_messages(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *message;
	} rows[] = {
		{ "etcdserver: no leader", "etcdserver: no leader" },
		{ "100%25 of n%C3%a4mes", "100% of n\303\244mes" },
		{ "%", "%" },
		{ "%4", "%4" },
		{ "%zz%41", "%zzA" },
		{ "a%00b", "ab" },
		{ "a%0Ab%1b[31m", "a?b?[31m" },
		{ "", "" },
	};
	auto_free char *longer = xcalloc(5001, 1);
	auto_free char *cut = NULL;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *message = grpc_message_read(rows[i].text, strlen(rows[i].text));

		assert_string_equal(message, rows[i].message);
	}
	memset(longer, 'x', 5000);
	cut = grpc_message_read(longer, 5000);
	assert_int_equal(strlen(cut), 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),   cmocka_unit_test(test_what_is_no_frame),
		cmocka_unit_test(test_headers),  cmocka_unit_test(test_status),
		cmocka_unit_test(test_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
