/* SPDX-License-Identifier: Apache-2.0 */
/* lib/certificate: from when to when certificates are good, as `openssl x509 -dates` says. */
#include "tests/unit/test.h"

#include <errno.h>

#include "lib/certificate.h"

static const char ten_days[] = "-----BEGIN CERTIFICATE-----\n"
			       "MIIBdzCCAR2gAwIBAgIUClcYVzKo9pvH7aYb3nBWX0eVud8wCgYIKoZIzj0EAwIw\n"
			       "ETEPMA0GA1UEAwwGZGF5czEwMB4XDTI2MTEzMDA2MTM1M1oXDTI2MTIxMDA2MTM1\n"
			       "M1owETEPMA0GA1UEAwwGZGF5czEwMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n"
			       "Ge3BKtPK9sAKpeqaC/fbF9hmpUmgLBH5+Zihs9CR+iSeHTy4G4pE16TwG2uIto3T\n"
			       "RTmqaAp08JrsLPrtBc+h2qNTMFEwHQYDVR0OBBYEFH2kYdcsMmYaJxkF8GZbNFIZ\n"
			       "Zc/9MB8GA1UdIwQYMBaAFH2kYdcsMmYaJxkF8GZbNFIZZc/9MA8GA1UdEwEB/wQF\n"
			       "MAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgf+66DZT9kE7eQWVCxKDXvVPAcnpNCUKZ\n"
			       "/XurKphpI0MCIQCnx9OCVj0a2nURwZ32Wn4ePofJJZrmDoWc6acEUrd9SA==\n"
			       "-----END CERTIFICATE-----\n";

static const char ten_years[] = "-----BEGIN CERTIFICATE-----\n"
				"MIIBejCCASGgAwIBAgIUa0QZRPdlv1Ja21SfCHL75wUn9yMwCgYIKoZIzj0EAwIw\n"
				"EzERMA8GA1UEAwwIZGF5czM2NTAwHhcNMjYxMTMwMDYxMzUzWhcNMzYxMTI3MDYx\n"
				"MzUzWjATMREwDwYDVQQDDAhkYXlzMzY1MDBZMBMGByqGSM49AgEGCCqGSM49AwEH\n"
				"A0IABHFcilllXD7ry6yzUEMI8cnrEqpvppcM3SD91GMAfnjFgd1QJnOugfi4IeLN\n"
				"Zok8Qpklbx6WT/IGU7IAEckS4WqjUzBRMB0GA1UdDgQWBBRGBv8zWeLQYMhDwYcC\n"
				"8Wg6WdXYmTAfBgNVHSMEGDAWgBRGBv8zWeLQYMhDwYcC8Wg6WdXYmTAPBgNVHRMB\n"
				"Af8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIGNYylsqmKjeE9nDONRf3XDX/t2R\n"
				"DpkxCTq+VV/m4shpAiAGb3z0vPkIS0ENmNTwJnTj+29xMzzxDLHuwX+b032edg==\n"
				"-----END CERTIFICATE-----\n";

static void test_one(void **state UNUSED)
{
	struct certificate_validity v = { 0 };
	struct err e;

	assert_int_equal(certificate_read(ten_days, strlen(ten_days), &v, &e), 0);
	assert_int_equal(v.from_s, 1796019233);
	assert_int_equal(v.until_s, 1796883233);
	assert_int_equal(v.len, 1);
}

/* A file of several is as good as the one that ends first, wherever it stands. */
static void test_several(void **state UNUSED)
{
	auto_free char *text = xasprintf("some words\n%s# others\n%s", ten_years, ten_days);
	struct certificate_validity v = { 0 };
	struct err e;

	assert_int_equal(certificate_read(text, strlen(text), &v, &e), 0);
	assert_int_equal(v.from_s, 1796019233);
	assert_int_equal(v.until_s, 1796883233);
	assert_int_equal(v.len, 2);
}

static void test_none(void **state UNUSED)
{
	static const char rubbish[] =
		"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
	auto_free char *cut = xstrdup(ten_days);
	struct certificate_validity v = { .len = 7 };
	struct err e;

	assert_int_equal(certificate_read("", 0, &v, &e), -EINVAL);
	assert_non_null(strstr(e.text, "no certificate"));
	assert_int_equal(certificate_read("words\n", 6, &v, &e), -EINVAL);
	assert_int_equal(certificate_read(rubbish, strlen(rubbish), &v, &e), -EINVAL);
	assert_non_null(strstr(e.text, "cannot be read"));
	for (size_t size = 1; size < strlen(cut); size += 7)
		assert_int_equal(certificate_read(cut, size, &v, &e), -EINVAL);
	assert_int_equal(v.len, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
