/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a kubeconfig: refused with a sentence, or a server and whole credentials. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "stores/kube/kube_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kube_access a = { 0 };
	struct err e = { 0 };

	if (kube_config_parse((const char *)data, size, "/d", &a, &e) < 0) {
		FUZZ_CHECK(e.text[0]);
		FUZZ_CHECK(!a.server);
		return 0;
	}
	FUZZ_CHECK(strncasecmp(a.server, "http", 4) == 0);
	FUZZ_CHECK(!(a.ca_file && a.ca_pem));
	FUZZ_CHECK(!a.ca_file || a.ca_file[0] == '/');
	FUZZ_CHECK(!a.token_file || a.token_file[0] == '/');
	FUZZ_CHECK(!(a.cert_file || a.cert_pem) == !(a.key_file || a.key_pem));
	FUZZ_CHECK(!a.token || !a.token[strcspn(a.token, "\r\n")]);
	kube_access_fini(&a);
	return 0;
}
