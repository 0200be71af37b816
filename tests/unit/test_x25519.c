/* SPDX-License-Identifier: Apache-2.0 */
/* lib/x25519: public keys as RFC 7748 (the iteration in section 5.2) and wg(8) have them. */
#include "tests/unit/test.h"

#include "lib/x25519.h"

static void from_hex(const char *text, uint8_t ret[static X25519_SIZE])
{
	for (size_t i = 0; i < X25519_SIZE; i++) {
		unsigned byte = 0;

		assert_int_equal(sscanf(text + 2 * i, "%2x", &byte), 1);
		ret[i] = (uint8_t)byte;
	}
}

static void test_public_keys(void **state UNUSED)
{
	static const struct {
		const char *private;
		const char *public;
	} rows[] = {
		{ "0900000000000000000000000000000000000000000000000000000000000000",
		  "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079" },
		{ "0101010101010101010101010101010101010101010101010101010101010101",
		  "a4e09292b651c278b9772c569f5fa9bb13d906b46ab68c9df9dc2b4409f8a209" },
		{ "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		  "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f" },
		{ "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		  "847c0d2c375234f365e660955187a3735a0f7613d1609d3a6a4d8c53aeaa5a22" },
		{ "0000000000000000000000000000000000000000000000000000000000000000",
		  "2fe57da347cd62431528daac5fbb290730fff684afc4cfc2ed90995f58cb3b74" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t private[X25519_SIZE];
		uint8_t clamped[X25519_SIZE];
		uint8_t want[X25519_SIZE];
		uint8_t public[X25519_SIZE];

		from_hex(rows[i].private, private);
		from_hex(rows[i].public, want);
		assert_int_equal(x25519_public(private, public, NULL), 0);
		assert_memory_equal(public, want, sizeof(want));
		memcpy(clamped, private, sizeof(clamped));
		x25519_clamp(clamped);
		assert_int_equal(x25519_public(clamped, public, NULL), 0);
		assert_memory_equal(public, want, sizeof(want));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_public_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
