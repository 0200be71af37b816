/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/ctl.h"

#include <stdarg.h>
#include <string.h>

#include "fabricctl/text.h"
#include "lib/clock.h"

const char *ctl_format_name(enum ctl_format format)
{
	static const char *const names[FORMATS] = {
		"table", "wide", "json", "jsonl",   "yaml", "raw",
		"name",  "env",  "dot",  "prom-sd", "svg",  "html",
	};

	return names[format];
}

static void print_line(const struct ctl *c, const char *head, const char *text)
{
	auto_free char *safe = text_escape(text, c->utf8);

	fprintf(c->err, "%s%s\n", head, safe);
}

int ctl_fail(const struct ctl *c, enum ctl_status status, const char *why, const char *hint,
	     const char *what, ...)
{
	auto_free char *text = NULL;
	va_list ap;

	va_start(ap, what);
	if (vasprintf(&text, what, ap) < 0)
		abort();
	va_end(ap);
	/* The answer so far comes first where both end in one file. */
	fflush(c->out);
	print_line(c, "fabricctl: ", text);
	if (why && *why)
		print_line(c, "  ", why);
	if (hint)
		print_line(c, "  try: ", hint);
	return status;
}

int ctl_confirm(const struct ctl *c, const char *what)
{
	auto_free char *safe = text_escape(what, c->utf8);
	char answer[16] = "";

	if (c->options.yes)
		return CTL_OK;
	if (!isatty(STDIN_FILENO))
		return ctl_fail(c, CTL_USAGE, "standard input is no terminal: nobody can be asked",
				"--yes, or --dry-run to see what would be done",
				"%s: this needs --yes", what);
	fflush(c->out);
	fprintf(c->err, "%s? [y/N] ", safe);
	fflush(c->err);
	if (fgets(answer, sizeof(answer), stdin)) {
		answer[strcspn(answer, "\n")] = '\0';
		if (strcasecmp(answer, "y") == 0 || strcasecmp(answer, "yes") == 0)
			return CTL_OK;
	}
	return ctl_fail(c, CTL_FAILED, NULL, NULL, "nothing was changed");
}

json_t *ctl_document(const char *kind)
{
	char when[CLOCK_TEXT];

	return json_pack("{s:s,s:s,s:s}", "apiVersion", CTL_API_VERSION, "kind", kind, "generated",
			 clock_format_utc(clock_wall_ms(), when));
}

const char *ctl_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

int64_t ctl_int(const json_t *object, const char *key, int64_t otherwise)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

char *ctl_safe(const struct ctl *c, const json_t *object, const char *key)
{
	const char *text = ctl_text(object, key);

	return text_escape(text && *text ? text : "-", c->utf8);
}

char *ctl_join(const json_t *object, const char *key)
{
	char *all = xstrdup("");
	json_t *item;
	size_t i;

	json_array_foreach (json_object_get(object, key), i, item) {
		auto_free char *before = all;
		const char *text = json_string_value(item);

		all = xasprintf("%s%s%s", before, *before ? "," : "", text ? text : "?");
	}
	return all;
}

const char *ctl_color_on(const struct ctl *c, enum ctl_color color)
{
	static const char *const codes[] = { "",         "\033[32m", "\033[33m",
					     "\033[31m", "\033[2m",  "\033[1m" };

	return c->color ? codes[color] : "";
}

const char *ctl_color_off(const struct ctl *c, enum ctl_color color)
{
	return c->color && color != COLOR_NONE ? "\033[0m" : "";
}
