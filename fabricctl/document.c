/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/document.h"

#include <ctype.h>
#include <string.h>
#include <yaml.h>

#include "fabricctl/text.h"
#include "lib/json.h"

#define ENV_PREFIX "FABRIC"

/* ---- json ---- */

static void print_json(const struct ctl *c, const json_t *document)
{
	size_t flags = c->format == FORMAT_JSONL ? JSON_COMPACT : JSON_INDENT(2);
	auto_free char *text = json_dumps(document, flags | (c->tty ? JSON_ENSURE_ASCII : 0));

	fprintf(c->out, "%s\n", text ? text : "{}");
}

/* ---- yaml ---- */

/* The emitter takes over what the event holds, whatever becomes of it. */
static bool emit(yaml_emitter_t *y, yaml_event_t *event, int made)
{
	return made && yaml_emitter_emit(y, event);
}

/* Without a tag: what is plain is a number or a word of YAML's, what is quoted is a text. */
static bool emit_scalar(yaml_emitter_t *y, const char *text, size_t size, bool quoted)
{
	yaml_scalar_style_t style =
		quoted ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE;
	yaml_event_t event;

	return emit(y, &event,
		    yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text,
						 (int)size, 1, 1, style));
}

/* Ours are words that mean nothing else in YAML; a key of somebody else may be anything. */
static bool is_plain_key(const char *key)
{
	static const char *const taken[] = { "y",  "n",   "yes",  "no",   "true",
					     "on", "off", "null", "false" };

	for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
		if (strcasecmp(key, taken[i]) == 0)
			return false;
	}
	return isalpha((unsigned char)*key) && !key[strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
								"abcdefghijklmnopqrstuvwxyz"
								"0123456789_-")];
}

static bool emit_value(yaml_emitter_t *y, const json_t *value);

static bool emit_object(yaml_emitter_t *y, const json_t *object)
{
	yaml_event_t event;
	const char *key;
	json_t *value;

	if (!emit(y, &event,
		  yaml_mapping_start_event_initialize(&event, NULL, NULL, 1,
						      YAML_BLOCK_MAPPING_STYLE)))
		return false;
	json_object_foreach ((json_t *)object, key, value) {
		if (!emit_scalar(y, key, strlen(key), !is_plain_key(key)) || !emit_value(y, value))
			return false;
	}
	return emit(y, &event, yaml_mapping_end_event_initialize(&event));
}

static bool emit_array(yaml_emitter_t *y, const json_t *array)
{
	yaml_event_t event;
	json_t *value;
	size_t i;

	if (!emit(y, &event,
		  yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
						       YAML_BLOCK_SEQUENCE_STYLE)))
		return false;
	json_array_foreach (array, i, value) {
		if (!emit_value(y, value))
			return false;
	}
	return emit(y, &event, yaml_sequence_end_event_initialize(&event));
}

/* 1e-05 is a number in JSON and YAML 1.2, and a text in YAML 1.1, where it is 1.0e-05. Caller frees. */
static char *yaml_real(const char *json)
{
	size_t mantissa = strcspn(json, "eE");
	const char *exponent = json[mantissa] ? json + mantissa + 1 : NULL;
	bool has_dot = memchr(json, '.', mantissa);

	return xasprintf("%.*s%s%s%s%s", (int)mantissa, json, has_dot ? "" : ".0",
			 exponent ? "e" : "",
			 exponent && *exponent != '-' && *exponent != '+' ? "+" : "",
			 exponent ? exponent : "");
}

static bool emit_value(yaml_emitter_t *y, const json_t *value)
{
	auto_free char *text = NULL;
	auto_free char *real = NULL;

	if (json_is_object(value))
		return emit_object(y, value);
	if (json_is_array(value))
		return emit_array(y, value);
	if (json_is_string(value))
		return emit_scalar(y, json_string_value(value), json_string_length(value), true);
	/* Numbers, true, false and null are written alike. */
	text = json_dumps(value, JSON_ENCODE_ANY);
	if (!text)
		return false;
	if (json_is_real(value))
		real = yaml_real(text);
	return emit_scalar(y, real ? real : text, strlen(real ? real : text), false);
}

static bool emit_document(yaml_emitter_t *y, const json_t *document)
{
	yaml_event_t event;

	return emit(y, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING)) &&
	       emit(y, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 0)) &&
	       emit_value(y, document) &&
	       emit(y, &event, yaml_document_end_event_initialize(&event, 1)) &&
	       emit(y, &event, yaml_stream_end_event_initialize(&event)) && yaml_emitter_flush(y);
}

static void print_yaml(const struct ctl *c, const json_t *document)
{
	yaml_emitter_t y;

	if (!yaml_emitter_initialize(&y))
		abort();
	yaml_emitter_set_output_file(&y, c->out);
	yaml_emitter_set_unicode(&y, !c->tty);
	yaml_emitter_set_width(&y, -1);
	/* What cannot be written is seen when all is written. */
	if (!emit_document(&y, document) && y.error != YAML_WRITER_ERROR)
		abort();
	yaml_emitter_delete(&y);
}

/* ---- env ---- */

struct env {
	const struct ctl *c;
	json_t *printed; /* the names, as an object's keys */
};

/* "lease", "publicIP": LEASE_PUBLIC_IP; what a name cannot have is '_'. Caller frees. */
static char *env_name(const char *before, const char *key)
{
	auto_free char *name = xmalloc(strlen(key) * 2 + 1);
	char *p = name;

	for (const char *k = key; *k; k++) {
		if (k > key && isupper((unsigned char)*k) && islower((unsigned char)k[-1]))
			*p++ = '_';
		*p++ = isalnum((unsigned char)*k) ? (char)toupper((unsigned char)*k) : '_';
	}
	*p = '\0';
	return xasprintf("%s_%s", before, name);
}

static void env_print(const struct env *e, const char *name, const char *value)
{
	auto_free char *safe = text_escape(value, e->c->utf8);

	if (json_object_get(e->printed, name))
		return;
	json_object_set_new(e->printed, name, json_true());
	fprintf(e->c->out, "%s='", name);
	for (const char *p = safe; *p; p++) {
		if (*p == '\'')
			fputs("'\\''", e->c->out);
		else
			fputc(*p, e->c->out);
	}
	fputs("'\n", e->c->out);
}

static void env_value(const struct env *e, const char *name, const json_t *value);

static void env_array(const struct env *e, const char *name, const json_t *array)
{
	auto_free char *count_name = env_name(name, "count");
	char count[24];
	json_t *value;
	size_t i;

	snprintf(count, sizeof(count), "%zu", json_array_size(array));
	env_print(e, count_name, count);
	json_array_foreach (array, i, value) {
		auto_free char *item_name = xasprintf("%s_%zu", name, i);

		env_value(e, item_name, value);
	}
}

static void env_value(const struct env *e, const char *name, const json_t *value)
{
	auto_free char *text = NULL;
	const char *key;
	json_t *member;

	if (json_is_array(value)) {
		env_array(e, name, value);
	} else if (json_is_object(value)) {
		json_object_foreach ((json_t *)value, key, member) {
			auto_free char *member_name = env_name(name, key);

			env_value(e, member_name, member);
		}
	} else if (json_is_string(value)) {
		env_print(e, name, json_string_value(value));
	} else {
		text = json_is_null(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
		env_print(e, name, text ? text : "");
	}
}

static void print_env(const struct ctl *c, const json_t *document)
{
	auto_json json_t *printed = json_object();
	const struct env e = { c, printed };

	env_value(&e, ENV_PREFIX, document);
}

/* ---- which of them ---- */

/* Of formats that are no document: what a command prints as one all the same is JSON. */
static void (*const writers[FORMATS])(const struct ctl *c, const json_t *document) = {
	[FORMAT_YAML] = print_yaml,
	[FORMAT_ENV] = print_env,
};

bool document_is_wanted(const struct ctl *c)
{
	return c->format == FORMAT_JSON || c->format == FORMAT_YAML || c->format == FORMAT_ENV;
}

bool document_item_is_wanted(const struct ctl *c)
{
	return document_is_wanted(c) || c->format == FORMAT_JSONL;
}

void document_print(const struct ctl *c, json_t *document)
{
	(writers[c->format] ? writers[c->format] : print_json)(c, document);
	json_decref(document);
}

void document_print_item(const struct ctl *c, json_t *item)
{
	struct ctl one = *c;

	one.format = c->format == FORMAT_YAML ? FORMAT_YAML : FORMAT_JSONL;
	document_print(&one, item);
}
