/* SPDX-License-Identifier: Apache-2.0 */
/* What traffic/meter.h has counted, as /v1/meter shows it. */
#include "flanneld/report.h"
#include "lib/clock.h"

json_t *report_meter(void)
{
	char when[CLOCK_TEXT];

	return json_pack("{s:s,s:s,s:s,s:[]}", "apiVersion", REPORT_API_VERSION, "kind", "Meter",
			 "generated", clock_format_utc(clock_wall_ms(), when), "items");
}

void report_metered(void *arg, const struct ip_addr *address, bool sent, uint64_t packets,
		    uint64_t bytes)
{
	char text[IP_ADDR_TEXT];

	json_append(json_object_get(arg, "items"),
		    json_pack("{s:s,s:b,s:I,s:I}", "address", ip_addr_format(address, text), "sent",
			      sent, "packets", (json_int_t)packets, "bytes", (json_int_t)bytes));
}
