/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an answer, what is around a list, an event: a decision with a sentence, or what was said. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "stores/kube/kube_answer.h"
#include "stores/kube/kube_gist.h"

static void check_answer(const struct kube_answer *a)
{
	FUZZ_CHECK(a->wait_ms >= 0 && a->wait_ms <= KUBE_WAIT_MAX_MS);
	FUZZ_CHECK((a->outcome == KUBE_OK) == (a->err.code == 0));
	FUZZ_CHECK((a->outcome == KUBE_OK) == (a->err.text[0] == '\0'));
}

/* What is known without a parser is what the parser says, if it says anything. */
static void check_gist(const char *text, size_t size, const struct kube_event *event)
{
	auto_free char *copy = xmalloc(size + 1);
	struct kube_gist gist;

	memcpy(copy, text, size);
	copy[size] = '\0';
	if (!kube_gist_read(copy, size, &gist) || !event->node.name)
		return;
	FUZZ_CHECK(gist.hash != 0 && event->type == KUBE_EVENT_PUT);
	FUZZ_CHECK(gist.revision == event->revision);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const long statuses[] = { 200, 401, 410, 429, 504 };
	const char *text = (const char *)data;
	struct kube_prefix prefix;
	struct kube_list list = { 0 };
	struct kube_event event = { 0 };
	struct err e = { 0 };

	FUZZ_CHECK(kube_prefix_parse("a.b", &prefix, NULL) == 0);
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		struct kube_answer a;

		kube_answer_read(statuses[i], text, size, (int64_t)size - 2, &a);
		check_answer(&a);
		FUZZ_CHECK(a.outcome != KUBE_OK || statuses[i] == 200);
	}
	if (kube_list_read(text, size, &list, &e) < 0)
		FUZZ_CHECK(e.text[0] && !list.more);
	else
		FUZZ_CHECK(!list.more || *list.more);
	kube_list_fini(&list);
	e = (struct err){ 0 };
	if (kube_event_read(&prefix, text, size, &event, &e) < 0) {
		FUZZ_CHECK(e.text[0] && !event.node.name);
	} else if (event.type == KUBE_EVENT_ERROR) {
		check_answer(&event.answer);
		FUZZ_CHECK(event.answer.outcome != KUBE_OK);
	} else {
		FUZZ_CHECK(!event.node.name == (event.type == KUBE_EVENT_BOOKMARK));
	}
	check_gist(text, size, &event);
	kube_event_fini(&event);
	return 0;
}
