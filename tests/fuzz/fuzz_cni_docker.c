/* SPDX-License-Identifier: Apache-2.0 */
/* A call of dockerd's: the first byte says which, the rest is its body. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "cni-plugin/docker.h"

static void check_names(const struct docker_call *c)
{
	char name[IFNAMSIZ];

	if (!c->endpoint_id)
		return;
	FUZZ_CHECK(cni_is_identifier(c->endpoint_id));
	FUZZ_CHECK(strlen(c->endpoint_id) <= DOCKER_ID_SIZE_MAX);
	docker_interface_name(c->endpoint_id, name);
	FUZZ_CHECK(cni_is_ifname(name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum docker_method method;
	struct docker_call c;
	struct err e = { 0 };

	if (size == 0)
		return 0;
	method = (enum docker_method)(data[0] % (DOCKER_REVOKE + 1));
	if (docker_call_parse(method, (const char *)data + 1, size - 1, &c, &e) < 0) {
		FUZZ_CHECK(e.code < 0 && e.text[0]);
		return 0;
	}
	FUZZ_CHECK(c.method == method && c.json);
	FUZZ_CHECK(c.pools_len <= ARRAY_LEN(c.pools) && c.addresses_len <= ARRAY_LEN(c.addresses));
	FUZZ_CHECK(c.ports.len <= PORTS_MAX);
	FUZZ_CHECK(!ip_addr_is_set(&c.address) || c.address.family == c.pool.addr.family);
	if (method == DOCKER_RELEASE_ADDRESS)
		FUZZ_CHECK(ip_addr_is_set(&c.address));
	if (method == DOCKER_CREATE_ENDPOINT)
		FUZZ_CHECK(c.addresses_len > 0);
	check_names(&c);
	docker_call_fini(&c);
	return 0;
}
