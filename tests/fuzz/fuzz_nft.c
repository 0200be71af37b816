/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what the kernel says about nf_tables, one message behind the other as in a dump: the
 * reader and the comparison come to an end, and say something that can be printed.
 */
#include "tests/fuzz/fuzz.h"

#include "kernel/filter_nft.h"
#include "tests/unit/nft_kernel.h"
#include "traffic/traffic.h"

#include <linux/netfilter.h>

static size_t checked;

static void check_text(const char *text)
{
	checked += strlen(text);
}

static void on_element(void *arg, const struct nft_element *el)
{
	const struct nft_set *set = arg;
	uint8_t key[NFT_KEY_SIZE];

	memcpy(key, el->key, nft_key_size(set->type));
	checked += key[0];
	check_text(el->chain ? el->chain : "");
	check_text(el->comment ? el->comment : "");
}

static void on_table(void *arg UNUSED, uint8_t family UNUSED, const char *name, const char *mark)
{
	check_text(name);
	check_text(mark);
}

static void on_chain(void *arg UNUSED, const struct nft_chain_info *chain)
{
	FUZZ_CHECK(memchr(chain->table, '\0', sizeof(chain->table)));
	FUZZ_CHECK(memchr(chain->name, '\0', sizeof(chain->name)));
}

static void compare(bool shared)
{
	static const struct nft_counter counters[2] = { { TRAFFIC_COUNTER_GUARD, 0, 0 },
							{ TRAFFIC_COUNTER_SPOOF, 0, 0 } };
	const struct nft_rule rules[] = {
		{ .chain = TRAFFIC_GUARD,
		  .udp_port = 8472,
		  .action = NFT_ACTION_JUMP,
		  .jump = traffic_chains[TRAFFIC_TUNNEL].name },
		{ .chain = TRAFFIC_TUNNEL,
		  .in_device_set = TRAFFIC_SET_CONTAINERS,
		  .action = NFT_ACTION_DROP,
		  .counter = TRAFFIC_COUNTER_GUARD,
		  .comment = "tunnel packet of a container" },
	};
	const struct nft_ruleset want = {
		.table = { .family = NFPROTO_INET, .name = "flannel.1", .mark = "flanneld" },
		.shared = shared,
		.chains = traffic_chains,
		.chains_len = TRAFFIC_TABLE_CHAINS,
		.sets = traffic_sets,
		.sets_len = TRAFFIC_SETS,
		.counters = counters,
		.counters_len = ARRAY_LEN(counters),
		.rules = rules,
		.rules_len = ARRAY_LEN(rules),
	};
	char why[64];

	if (nft_compare(NULL, &want, why, sizeof(why), NULL) == 0)
		FUZZ_CHECK(memchr(why, '\0', sizeof(why)));
}

/* What becomes of packets in a chain of somebody else's. */
static void walk(void)
{
	static const struct nft_chain_info chain = { NFPROTO_INET, "t", "a", .drops = true };
	static const struct filter_packet packets[] = {
		{ .family = AF_INET6, .in_device = "cni0" },
		{ .family = AF_INET,
		  .in_device = "eth0",
		  .out_device = "cni0",
		  .in_index = 2,
		  .out_index = 3,
		  .protocol = IPPROTO_UDP },
	};

	for (size_t i = 0; i < ARRAY_LEN(packets); i++) {
		struct filter_nft *filter = filter_nft_new(NULL);
		struct filter_outcome outcome;

		filter_nft_walk(filter, &chain, &packets[i], NULL, &outcome);
		filter_nft_free(filter);
	}
}

static void read_all(void)
{
	static const struct nft_set set = { .name = "macs", .type = NFT_KEY_IFNAME_ETHER };
	static const uint8_t key[NFT_KEY_SIZE];
	const struct nft_table t = { .family = NFPROTO_INET, .name = "flannel.1" };
	struct nft_counter counter = { .name = TRAFFIC_COUNTER_GUARD };

	for (size_t i = 0; i < TRAFFIC_ALL_SETS; i++)
		(void)!nft_elements_visit(NULL, &t, &traffic_sets[i], NULL, on_element,
					  (void *)&traffic_sets[i], NULL);
	(void)!nft_elements_visit(NULL, &t, &set, key, on_element, (void *)&set, NULL);
	(void)!nft_tables_visit(NULL, on_table, NULL, NULL);
	(void)!nft_chains_visit(NULL, on_chain, NULL, NULL);
	walk();
	(void)!nft_counter_read(NULL, &t, &counter, NULL);
	(void)!nft_chain_delete(NULL, NFPROTO_INET, "flannel.1", "a", "b", NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A copy that is aligned, as what is received is. Only the kernel itself writes headers. */
	char *copy = xmalloc(size + 1);
	size_t offset = 0;

	if (size)
		memcpy(copy, data, size);
	for (nft_kernel.len = 0;
	     size - offset >= sizeof(struct nlmsghdr) && nft_kernel.len < NFT_KERNEL_MESSAGES;) {
		const struct nlmsghdr *hdr = (const void *)(copy + offset);

		if (hdr->nlmsg_len < sizeof(*hdr) || hdr->nlmsg_len > size - offset)
			break;
		nft_kernel.messages[nft_kernel.len++] = hdr;
		offset = MIN(offset + NLMSG_ALIGN(hdr->nlmsg_len), size);
	}
	compare(false);
	compare(true);
	read_all();
	free(copy);
	return 0;
}
