/* SPDX-License-Identifier: Apache-2.0 */
#include "stores/kube/kube_answer.h"

#include <errno.h>

#define TEXT_SHOWN_MAX 300

/* ---- Status ---- */

static const char *text_in(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static bool is_failure(const json_t *object)
{
	return strcmp(text_in(object, "kind"), "Status") == 0 &&
	       strcmp(text_in(object, "status"), "Failure") == 0;
}

/* details.causes[] has one of this reason. */
static bool has_cause(const json_t *status, const char *reason)
{
	const json_t *causes = json_object_get(json_object_get(status, "details"), "causes");

	for (size_t i = 0; i < json_array_size(causes); i++) {
		if (strcmp(text_in(json_array_get(causes, i), "reason"), reason) == 0)
			return true;
	}
	return false;
}

static enum kube_outcome outcome_of(json_int_t code, const json_t *status)
{
	const char *reason = text_in(status, "reason");

	/* Servers before 1.19 say it in the message alone. */
	if (has_cause(status, "ResourceVersionTooLarge") ||
	    (code == 504 && strstr(text_in(status, "message"), "Too large resource version")))
		return KUBE_AHEAD;
	if (code == 410 || strcmp(reason, "Expired") == 0 || strcmp(reason, "Gone") == 0)
		return KUBE_EXPIRED;
	switch (code) {
	case 401:
		return KUBE_STRANGER;
	case 403:
		return KUBE_DENIED;
	case 404:
		return KUBE_ABSENT;
	case 409:
		return KUBE_CONFLICT;
	case 408:
	case 429:
		return KUBE_LATER;
	default:
		return code >= 400 && code < 500 ? KUBE_INVALID : KUBE_LATER;
	}
}

static int code_of(enum kube_outcome outcome)
{
	switch (outcome) {
	case KUBE_OK:
		return 0;
	case KUBE_EXPIRED:
	case KUBE_AHEAD:
		return -ESTALE;
	case KUBE_ABSENT:
		return -ENOENT;
	case KUBE_CONFLICT:
		return -EEXIST;
	case KUBE_STRANGER:
	case KUBE_DENIED:
		return -EACCES;
	case KUBE_INVALID:
		return -EINVAL;
	case KUBE_LATER:
		break;
	}
	return -EAGAIN;
}

static int64_t wait_of(const json_t *status, int64_t retry_after_s)
{
	const json_t *details = json_object_get(status, "details");
	int64_t wait_s = json_integer_value(json_object_get(details, "retryAfterSeconds"));

	wait_s = MAX(wait_s, retry_after_s);
	return wait_s <= 0 ? 0 : MIN(wait_s, (int64_t)KUBE_WAIT_MAX_MS / 1000) * 1000;
}

static void fail(struct kube_answer *ret, json_int_t code, const json_t *status, const char *text,
		 int64_t retry_after_s)
{
	const char *reason = text_in(status, "reason");

	*ret = (struct kube_answer){ .outcome = outcome_of(code, status),
				     .wait_ms = wait_of(status, retry_after_s) };
	err_set(&ret->err, code_of(ret->outcome), "%lld%s%s%s%.*s", (long long)code,
		*reason ? " " : "", reason, *text ? ": " : "", TEXT_SHOWN_MAX, text);
}

/* The Status of an ERROR event, or one that came with HTTP 200: its own code counts. */
static void fail_by_status(struct kube_answer *ret, const json_t *status, int64_t retry_after_s)
{
	json_int_t code = json_integer_value(json_object_get(status, "code"));

	fail(ret, code > 0 && code < 1000 ? code : 500, status, text_in(status, "message"),
	     retry_after_s);
}

void kube_answer_read(long http_status, const char *body, size_t size, int64_t retry_after_s,
		      struct kube_answer *ret)
{
	auto_free char *text = NULL;
	auto_json json_t *object = NULL;

	if (json_parse_object(body, size, &object, NULL) < 0)
		object = NULL;
	if (http_status >= 200 && http_status < 300) {
		if (is_failure(object))
			fail_by_status(ret, object, retry_after_s);
		else
			*ret = (struct kube_answer){ .outcome = KUBE_OK };
		return;
	}
	if (is_failure(object)) {
		fail(ret, http_status, object, text_in(object, "message"), retry_after_s);
		return;
	}
	/* A proxy's page, or "Too many requests, please try again later.": the first line. */
	text = xstrndup(body, MIN(size, (size_t)TEXT_SHOWN_MAX));
	text[strcspn(text, "\r\n")] = '\0';
	fail(ret, http_status, NULL, text, retry_after_s);
}

/* ---- lists ---- */

int kube_list_read(const char *text, size_t size, struct kube_list *ret, struct err *e)
{
	auto_json json_t *object = NULL;
	const json_t *metadata;
	const char *kind;
	const char *more;
	uint64_t revision;
	int rc = json_parse_object(text, size, &object, e);

	if (rc < 0)
		return rc;
	kind = text_in(object, "kind");
	metadata = json_object_get(object, "metadata");
	if (strcmp(kind, "NodeList") != 0)
		return err_set(e, -EINVAL, "kind is \"%.80s\", must be NodeList", kind);
	if (!kube_revision_read(metadata, &revision))
		return err_set(e, -EINVAL, "the list's resourceVersion is not a number");
	more = text_in(metadata, "continue");
	if (strlen(more) > KUBE_CONTINUE_MAX)
		return err_set(e, -EINVAL, "continue is longer than %d bytes", KUBE_CONTINUE_MAX);
	ret->revision = revision;
	ret->more = *more ? xstrdup(more) : NULL;
	return 0;
}

void kube_list_fini(struct kube_list *list)
{
	free(list->more);
	*list = (struct kube_list){ 0 };
}

/* ---- events ---- */

int kube_event_read(const struct kube_prefix *prefix, const char *text, size_t size,
		    struct kube_event *ret, struct err *e)
{
	auto_json json_t *event = NULL;
	struct kube_event read = { 0 };
	const json_t *object;
	const char *type;
	bool gone;
	int rc = json_parse_object(text, size, &event, e);

	if (rc < 0)
		return rc;
	type = text_in(event, "type");
	object = json_object_get(event, "object");
	if (!json_is_object(object))
		return err_set(e, -EINVAL, "event \"%.40s\" has no object", type);
	gone = strcmp(type, "DELETED") == 0;
	if (gone || strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0) {
		read.type = gone ? KUBE_EVENT_DELETE : KUBE_EVENT_PUT;
		rc = kube_node_read(prefix, object, &read.node, e);
		read.revision = read.node.revision;
	} else if (strcmp(type, "BOOKMARK") == 0) {
		read.type = KUBE_EVENT_BOOKMARK;
		if (!kube_revision_read(json_object_get(object, "metadata"), &read.revision))
			rc = err_set(e, -EINVAL, "a bookmark's resourceVersion is not a number");
	} else if (strcmp(type, "ERROR") == 0) {
		read.type = KUBE_EVENT_ERROR;
		fail_by_status(&read.answer, object, 0);
	} else {
		rc = err_set(e, -EINVAL, "an event of unknown type \"%.40s\"", type);
	}
	if (rc == 0)
		*ret = read;
	return rc;
}

void kube_event_fini(struct kube_event *event)
{
	kube_node_fini(&event->node);
	*event = (struct kube_event){ 0 };
}
