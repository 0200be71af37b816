/* SPDX-License-Identifier: Apache-2.0 */
/* lib/http_error: the same reason, however this year's libcurl and OpenSSL word it. */
#include "lib/http_error.h"

#include "lib/util.h"
#include "tests/unit/test.h"

static void explained(CURLcode result, const char *text, const char *cert_file, const char *wanted)
{
	auto_free char *got = http_error_explain(result, text, cert_file);

	if (!wanted)
		assert_null(got);
	else
		assert_string_equal(got, wanted);
}

static void test_the_servers_certificate(void **state)
{
	static const char *const texts[] = {
		"SSL certificate problem: certificate has expired",
		"SSL certificate verification failed: certificate has expired",
		"certificate has expired",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		explained(CURLE_PEER_FAILED_VERIFICATION, texts[i], "client.pem",
			  "the server's certificate is not accepted: certificate has expired");
	explained(CURLE_PEER_FAILED_VERIFICATION,
		  "SSL: no alternative certificate subject name matches target host name 'x'", NULL,
		  "the server's certificate is not accepted: no alternative certificate subject "
		  "name matches target host name 'x'");
}

static void test_our_certificate(void **state)
{
	static const char *const texts[] = {
		/* OpenSSL 1.1.1, 3.0, 3.5 */
		"OpenSSL SSL_read: error:14094412:SSL routines:ssl3_read_bytes:sslv3 alert bad "
		"certificate, errno 0",
		"OpenSSL SSL_read: error:0A000412:SSL routines::sslv3 alert bad certificate, errno "
		"0",
		"OpenSSL SSL_read: OpenSSL/3.5.4: error:0A000412:SSL routines::ssl/tls alert bad "
		"certificate, errno 0",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		explained(CURLE_RECV_ERROR, texts[i], "client.pem",
			  "the server refuses our certificate (bad certificate; has it expired?): "
			  "client.pem");
		explained(CURLE_SSL_CONNECT_ERROR, texts[i], NULL,
			  "the server wants a certificate and we have none (bad certificate)");
	}
	explained(CURLE_RECV_ERROR, "error:0A000418:SSL routines::tlsv1 alert unknown ca", "c.pem",
		  "the server refuses our certificate (unknown ca; has it expired?): c.pem");
}

static void test_openssl_is_not_quoted(void **state)
{
	(void)state;
	explained(CURLE_RECV_ERROR,
		  "OpenSSL SSL_read: OpenSSL/3.5.4: error:0A000126:SSL routines::unexpected eof "
		  "while reading, errno 0",
		  NULL, "TLS: unexpected eof while reading");
	explained(CURLE_SSL_CONNECT_ERROR,
		  "TLS connect error: error:0A00010B:SSL routines::wrong version number", NULL,
		  "TLS: wrong version number");
	explained(CURLE_SSL_CONNECT_ERROR,
		  "error:0A000410:SSL routines::tlsv1 alert protocol version", NULL,
		  "TLS: the server says: protocol version");
	/* A text that ends early is cut, not read beyond. */
	explained(CURLE_SSL_CONNECT_ERROR, "error:0A000410:SSL routines:", NULL, "TLS: ");
}

static void test_other_failures_keep_their_text(void **state)
{
	(void)state;
	explained(CURLE_OPERATION_TIMEDOUT, "Operation timed out after 5 ms", "c.pem", NULL);
	explained(CURLE_COULDNT_RESOLVE_HOST, "Could not resolve host: alert certificate", "c.pem",
		  NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_servers_certificate),
		cmocka_unit_test(test_our_certificate),
		cmocka_unit_test(test_openssl_is_not_quoted),
		cmocka_unit_test(test_other_failures_keep_their_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
