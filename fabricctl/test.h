/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl test: does what a container sends arrive at the other hosts? test.c asks, test_flow.c holds flows and listens. */
#ifndef FABRICCTL_TEST_H
#define FABRICCTL_TEST_H

#include "fabricctl/ctl.h"
#include "fabricctl/sandbox.h"

/* Where --listen listens; elsewhere nobody does, and that the port is closed is the answer. */
#define TEST_PORT 18472

struct test_target {
	const char *host; /* borrowed: its name, or the address that was given */
	struct ip_addr address;
	bool answers; /* somebody is known to be there; else silence means nothing */
};

/* Set by SIGINT and SIGTERM, after test_catch_signals: end, and clean up. */
bool test_is_over(void);
void test_catch_signals(void);

/* What became of one flow of ICMP echoes, one each TEST_FLOW_GAP_MS. */
#define TEST_FLOW_GAP_MS 10
struct test_flow {
	unsigned sent;
	unsigned answered;
	int64_t longest_gap_ms; /* between two answers, or an end and an answer */
};

/* One for each target, for so long or until test_is_over. An error: not all of them could be begun. */
int test_flows(const struct sandbox *s, const struct test_target *targets, size_t len,
	       int64_t duration_ms, struct test_flow *ret, struct err *e) MUST_CHECK;

/* Takes connections and answers datagrams at TEST_PORT of all addresses of the sandbox, until test_is_over. */
int test_listen(const struct sandbox *s, struct err *e) MUST_CHECK;

#endif
