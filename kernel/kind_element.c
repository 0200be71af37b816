/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elements of the sets in our table of nf_tables: whom the guard lets in, which devices containers
 * live behind. They are made before everything else, so that a peer is let in before packets go to
 * it. Source: kernel/nft.h.
 */
#include <errno.h>

#include "kernel/kinds.h"

static size_t key_size(const struct kernel_marks *marks, uint8_t set)
{
	return MIN((size_t)nft_key_size(marks->sets[set].type),
		   sizeof(((struct kernel_key *)0)->dst));
}

struct kernel_object kernel_element_addr(uint8_t set, const struct ip_addr *a)
{
	struct kernel_object o = {
		.key = { .kind = KERNEL_ELEMENT, .family = a->family, .len = set }
	};

	memcpy(o.key.dst, a->b, ip_addr_size(a));
	return o;
}

struct kernel_object kernel_element_device(uint8_t set, const char *name)
{
	struct kernel_object o = { .key = { .kind = KERNEL_ELEMENT, .len = set } };

	_Static_assert(sizeof(o.key.dst) == IFNAMSIZ, "a name is a key");
	snprintf((char *)o.key.dst, sizeof(o.key.dst), "%s", name);
	return o;
}

struct kernel_object kernel_element_read(const struct kernel_marks *marks, uint8_t set,
					 const struct nft_element *el)
{
	struct kernel_object o = { .key = { .kind = KERNEL_ELEMENT, .len = set } };

	if (marks->sets[set].type == NFT_KEY_IPV4)
		o.key.family = AF_INET;
	else if (marks->sets[set].type == NFT_KEY_IPV6)
		o.key.family = AF_INET6;
	memcpy(o.key.dst, el->key, key_size(marks, set));
	o.value.extra = el->altered ? KERNEL_EXTRA_ATTRIBUTES : 0;
	return o;
}

/* The table is ours, and so is what is in it. */
static bool owns(const struct kernel_marks *marks, const struct kernel_object *o)
{
	return o->key.len < marks->sets_len;
}

struct reader {
	const struct kernel_marks *marks;
	uint8_t set;
	struct kernel_objects *found;
};

static void on_element(void *arg, const struct nft_element *el)
{
	const struct reader *r = arg;

	GROW(r->found->items, r->found->len, r->found->cap);
	r->found->items[r->found->len++] = kernel_element_read(r->marks, r->set, el);
}

static int dump(struct kernel *k, struct kernel_objects *found, struct err *e)
{
	int rc = 0;

	for (uint8_t set = 0; k->netfilter && set < k->marks.sets_len && rc == 0; set++) {
		struct reader r = { &k->marks, set, found };

		rc = nft_elements_visit(k->netfilter, &k->marks.table, &k->marks.sets[set], NULL,
					on_element, &r, e);
		/* The table is gone, and is put back with all that is wanted in it. */
		if (rc == -ENOENT)
			rc = 0;
	}
	return rc;
}

static void write_element(struct kernel_batch *b, enum kernel_verb verb,
			  const struct kernel_object *o, void *cookie)
{
	kernel_batch_element(b, verb, o, cookie);
}

static void describe(const struct kernel_object *o, char *buf, size_t size)
{
	struct ip_addr addr = kernel_object_dst(o);
	char text[IP_ADDR_TEXT];

	if (o->key.family)
		snprintf(buf, size, "element %s", ip_addr_format(&addr, text));
	else
		snprintf(buf, size, "element %.*s", (int)sizeof(o->key.dst),
			 (const char *)o->key.dst);
}

extern const struct kernel_kind kernel_kind_element;
const struct kernel_kind kernel_kind_element = {
	.name = "element",
	/* Two peers behind one address; and adding what is there with a timeout changes nothing. */
	.flags = KERNEL_KIND_SHARED | KERNEL_KIND_UNPROVEN | KERNEL_KIND_IN_TABLE,
	.owns = owns,
	.dump = dump,
	.write = write_element,
	.describe = describe,
};
