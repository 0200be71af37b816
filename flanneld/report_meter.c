/* SPDX-License-Identifier: Apache-2.0 */
/* What traffic/meter.h and the fast path have counted, as /v1/meter shows it. */
#include "fastpath/fast_path.h"
#include "flanneld/report.h"
#include "lib/clock.h"

json_t *report_meter(void)
{
	char when[CLOCK_TEXT];

	return json_pack("{s:s,s:s,s:s,s:[],s:[]}", "apiVersion", REPORT_API_VERSION, "kind",
			 "Meter", "generated", clock_format_utc(clock_wall_ms(), when), "items",
			 "containers");
}

static void add_item(json_t *document, const struct ip_addr *address, bool sent, bool fast,
		     uint64_t packets, uint64_t bytes)
{
	char text[IP_ADDR_TEXT];

	json_append(json_object_get(document, "items"),
		    json_pack("{s:s,s:b,s:b,s:I,s:I}", "address", ip_addr_format(address, text),
			      "sent", sent, "fastPath", fast, "packets", (json_int_t)packets,
			      "bytes", (json_int_t)bytes));
}

void report_metered(void *arg, const struct ip_addr *address, bool sent, uint64_t packets,
		    uint64_t bytes)
{
	add_item(arg, address, sent, false, packets, bytes);
}

static void on_peer(void *arg, const struct ip_addr *address, bool sent, uint64_t packets,
		    uint64_t bytes)
{
	add_item(arg, address, sent, true, packets, bytes);
}

static void on_container(void *arg, uint32_t ifindex, uint64_t packets, uint64_t bytes)
{
	json_append(json_object_get(arg, "containers"),
		    json_pack("{s:I,s:I,s:I}", "ifindex", (json_int_t)ifindex, "packets",
			      (json_int_t)packets, "bytes", (json_int_t)bytes));
}

const struct fast_path_count_ops report_fast_counts = { on_peer, on_container };
