/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/options.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/buffer.h"
#include "lib/file.h"
#include "lib/nearest.h"

#define FILE_MAX_SIZE ((size_t)1 << 20)

enum source { SOURCE_NONE, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_ARGUMENTS };

int options_each(const struct option_spec *specs, void *values, option_visit_fn *fn, void *arg)
{
	int rc = 0;

	for (const struct option_spec *s = specs; s->name && rc == 0; s++) {
		void *value = (char *)values + s->offset;

		rc = s->type == OPTION_TABLE ? options_each(s->table, value, fn, arg)
					     : fn(s, value, arg);
	}
	return rc;
}

struct search {
	const char *name;
	size_t size;
	const struct option_spec *spec;
	void *value;
};

static int is_it(const struct option_spec *spec, void *value, void *arg)
{
	struct search *search = arg;

	if (strlen(spec->name) != search->size ||
	    memcmp(spec->name, search->name, search->size) != 0)
		return 0;
	search->spec = spec;
	search->value = value;
	return 1;
}

static const struct option_spec *find(const struct option_spec *specs, void *values,
				      const char *name, size_t size, void **ret_value)
{
	struct search search = { .name = name, .size = size };

	options_each(specs, values, is_it, &search);
	*ret_value = search.value;
	return search.spec;
}

const struct option_spec *options_find(const struct option_spec *specs, const char *name)
{
	char nowhere;
	void *value;

	return find(specs, &nowhere, name, strlen(name), &value);
}

static int consider(const struct option_spec *spec, void *value UNUSED, void *arg)
{
	nearest_consider(arg, spec->name);
	return 0;
}

/* No flag has this name, with or without dashes: says so, and which one may have been meant. */
static int no_such_flag(const struct option_spec *specs, const char *given, struct err *e)
{
	size_t dashes = strspn(given, "-");
	auto_free char *word = xstrndup(given, dashes + strcspn(given + dashes, "="));
	struct nearest nearest = { .word = word + dashes };
	char nowhere;

	options_each(specs, &nowhere, consider, &nearest);
	return err_set(e, -EINVAL, "there is no flag \"%.80s\"%s%s%s", word,
		       nearest.best ? "; did you mean " : "", nearest.best ? nearest.best : "",
		       nearest.best ? "?" : "");
}

/* The words that Go's strconv.ParseBool takes. */
static int parse_bool(const char *text, bool *ret)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
			*ret = strcmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_int(const char *text, int64_t *ret)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno || end == text || *end || isspace((unsigned char)*text))
		return -EINVAL;
	*ret = value;
	return 0;
}

static bool in_choices(const char *choices, const char *word)
{
	size_t size = strlen(word);

	for (const char *p = choices; *p;) {
		size_t n = strcspn(p, ",");

		if (n == size && memcmp(p, word, n) == 0)
			return true;
		p += n + (p[n] == ',');
	}
	return false;
}

static int set(const struct option_spec *spec, void *value, const char *text, struct err *e)
{
	int64_t number;
	bool flag;

	if (spec->unsupported && strcmp(text, spec->value ? spec->value : "") != 0 &&
	    !(spec->type == OPTION_BOOL && parse_bool(text, &flag) == 0 &&
	      flag == (spec->value && strcmp(spec->value, "true") == 0)))
		return err_set(e, -EINVAL, "%s: %s", spec->name, spec->unsupported);
	switch (spec->type) {
	case OPTION_BOOL:
		if (parse_bool(text, &flag) < 0)
			return err_set(e, -EINVAL, "%s is \"%s\", must be true or false",
				       spec->name, text);
		*(bool *)value = flag;
		break;
	case OPTION_INT:
		if (parse_int(text, &number) < 0 || number < spec->min || number > spec->max)
			return err_set(e, -EINVAL,
				       "%s is \"%s\", must be an integer from %" PRId64
				       " to %" PRId64,
				       spec->name, text, spec->min, spec->max);
		*(int64_t *)value = number;
		break;
	case OPTION_CHOICE:
		if (!in_choices(spec->choices, text))
			return err_set(e, -EINVAL, "%s is \"%s\", must be one of %s", spec->name,
				       text, spec->choices);
		/* fall through */
	case OPTION_TEXT:
		free(*(char **)value);
		*(char **)value = xstrdup(text);
		break;
	case OPTION_LIST: {
		struct option_list *list = value;

		list->items = xrealloc(list->items, (list->len + 1) * sizeof(*list->items));
		list->items[list->len++] = xstrdup(text);
		break;
	}
	case OPTION_TABLE:
		break;
	}
	return 0;
}

static void clear_list(struct option_list *list)
{
	for (size_t i = 0; i < list->len; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct option_list){ 0 };
}

/* A list given by one source replaces what an earlier source gave. */
static int set_from(enum source source, const struct option_spec *spec, void *value,
		    const char *text, struct err *e)
{
	if (spec->type == OPTION_LIST) {
		struct option_list *list = value;

		if (list->source != source)
			clear_list(list);
		list->source = source;
	}
	return set(spec, value, text, e);
}

static int init(const struct option_spec *s, void *value, void *arg UNUSED)
{
	if (s->type == OPTION_BOOL)
		*(bool *)value = s->value && strcmp(s->value, "true") == 0;
	else if (s->type == OPTION_INT)
		*(int64_t *)value = s->value ? strtoll(s->value, NULL, 10) : 0;
	else if (s->type == OPTION_LIST)
		*(struct option_list *)value = (struct option_list){ 0 };
	else
		*(char **)value = xstrdup(s->value ? s->value : "");
	return 0;
}

void options_init(const struct option_spec *specs, void *values)
{
	options_each(specs, values, init, NULL);
}

static int fini(const struct option_spec *s, void *value, void *arg UNUSED)
{
	if (s->type == OPTION_LIST) {
		clear_list(value);
	} else if (s->type == OPTION_TEXT || s->type == OPTION_CHOICE) {
		char **text = value;

		if (s->secret && *text)
			explicit_bzero(*text, strlen(*text));
		free(*text);
	}
	return 0;
}

void options_fini(const struct option_spec *specs, void *values)
{
	options_each(specs, values, fini, NULL);
}

static char *trim(char *s)
{
	char *end;

	while (*s == ' ' || *s == '\t')
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return s;
}

static int read_file(const struct option_spec *specs, void *values, const char *path,
		     bool all_known, struct err *e)
{
	auto_free char *text = NULL;
	unsigned number = 0;
	size_t size = 0;
	char *next;
	int rc;

	rc = file_read(path, FILE_MAX_SIZE, &text, &size, e);
	if (rc < 0)
		return rc;
	/* As a disk that lost its power may leave it: what comes behind must not be lost in silence. */
	if (strlen(text) < size)
		return err_set(e, -EINVAL, "%s: there is a zero byte at offset %zu", path,
			       strlen(text));
	for (char *line = text; line; line = next) {
		const struct option_spec *spec;
		char *equals;
		void *value;
		char *name;

		number++;
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		line = trim(line);
		if (!*line || *line == '#')
			continue;
		equals = strchr(line, '=');
		if (!equals && !all_known)
			continue;
		if (!equals)
			return err_set(e, -EINVAL, "%s:%u: \"%.60s\" is not \"flag = value\"", path,
				       number, line);
		*equals = '\0';
		name = trim(line);
		spec = find(specs, values, name, strlen(name), &value);
		if (!spec && !all_known)
			continue;
		if (!spec) {
			no_such_flag(specs, name, e);
			return err_wrap(e, "%s:%u", path, number);
		}
		if (set_from(SOURCE_FILE, spec, value, trim(equals + 1), e) < 0)
			return err_wrap(e, "%s:%u", path, number);
	}
	return 0;
}

int options_read_file(const struct option_spec *specs, void *values, const char *path,
		      struct err *e)
{
	return read_file(specs, values, path, true, e);
}

int options_read_file_of_others(const struct option_spec *specs, void *values, const char *path,
				struct err *e)
{
	return read_file(specs, values, path, false, e);
}

static void environment_name(const char *prefix, const char *name, char *buf, size_t size)
{
	snprintf(buf, size, "%s%s", prefix, name);
	for (char *p = buf; *p; p++)
		*p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
}

struct environment {
	const char *prefix;
	struct err *e;
};

static int read_variable(const struct option_spec *s, void *value, void *arg)
{
	const struct environment *from = arg;
	char name[128];
	const char *text;
	int rc;

	environment_name(from->prefix, s->name, name, sizeof(name));
	text = getenv(name);
	if (!text || !*text)
		return 0;
	rc = set_from(SOURCE_ENVIRONMENT, s, value, text, from->e);
	if (rc < 0)
		err_wrap(from->e, "environment %s", name);
	return rc;
}

int options_read_environment(const struct option_spec *specs, void *values, const char *prefix,
			     struct err *e)
{
	struct environment from = { prefix, e };

	return options_each(specs, values, read_variable, &from);
}

struct known {
	const char *prefix;
	struct nearest nearest;
	char best[128];
};

static int is_variable(const struct option_spec *s, void *value UNUSED, void *arg)
{
	struct known *known = arg;
	const char *before = known->nearest.best;
	char name[128];

	environment_name(known->prefix, s->name, name, sizeof(name));
	if (strcmp(name, known->nearest.word) == 0)
		return 1;
	nearest_consider(&known->nearest, name);
	if (known->nearest.best != before)
		snprintf(known->best, sizeof(known->best), "%s", name);
	if (known->nearest.best)
		known->nearest.best = known->best;
	return 0;
}

void options_each_unknown_variable(const struct option_spec *specs, const char *prefix,
				   void (*fn)(const char *name, const char *nearest))
{
	char nowhere;

	for (char **variable = environ; *variable; variable++) {
		auto_free char *name = NULL;
		struct known known = { .prefix = prefix };

		if (strncmp(*variable, prefix, strlen(prefix)) != 0)
			continue;
		name = xstrndup(*variable, strcspn(*variable, "="));
		known.nearest.word = name;
		if (!options_each(specs, &nowhere, is_variable, &known))
			fn(name, known.nearest.best);
	}
}

int options_read_arguments(const struct option_spec *specs, void *values, int argc, char **argv,
			   int *ret_first, struct err *e)
{
	int i;

	for (i = 1; i < argc; i++) {
		const struct option_spec *spec;
		const char *name = argv[i];
		const char *text;
		void *value;
		size_t size;

		if (name[0] != '-' || !name[1])
			break;
		if (strcmp(name, "--") == 0) {
			i++;
			break;
		}
		name += name[1] == '-' ? 2 : 1;
		size = strcspn(name, "=");
		spec = find(specs, values, name, size, &value);
		if (!spec)
			return no_such_flag(specs, argv[i], e);
		if (name[size] == '=')
			text = name + size + 1;
		else if (spec->type == OPTION_BOOL)
			text = "true";
		else if (i + 1 < argc)
			text = argv[++i];
		else
			return err_set(e, -EINVAL, "flag %s needs a value", spec->name);
		if (set_from(SOURCE_ARGUMENTS, spec, value, text, e) < 0)
			return e ? e->code : -EINVAL;
	}
	*ret_first = i;
	return 0;
}

struct format {
	struct buffer text;
	struct err *e;
};

/* Whether it reads as it is written. */
static int put_line(struct format *f, const char *name, const char *text)
{
	size_t size = strlen(text);

	if (strchr(text, '\n') ||
	    (size && (strchr(" \t", text[0]) || isspace((unsigned char)text[size - 1]))))
		return err_set(f->e, -EINVAL, "%s is \"%.80s\", which no line of a file can say",
			       name, text);
	buffer_printf(&f->text, "%s = %s\n", name, text);
	return 0;
}

static int format_option(const struct option_spec *s, void *value, void *arg)
{
	const char *otherwise = s->value ? s->value : "";
	struct format *f = arg;
	char number[24] = "";
	const char *text = number;
	int rc = 0;

	if (s->type == OPTION_LIST) {
		const struct option_list *list = value;

		for (size_t i = 0; i < list->len && rc == 0; i++)
			rc = put_line(f, s->name, list->items[i]);
		return rc;
	}
	if (s->type == OPTION_BOOL) {
		text = *(bool *)value ? "true" : "false";
		otherwise = s->value ? s->value : "false";
	} else if (s->type == OPTION_INT) {
		snprintf(number, sizeof(number), "%" PRId64, *(int64_t *)value);
	} else {
		text = *(char **)value;
	}
	return strcmp(text, otherwise) == 0 ? 0 : put_line(f, s->name, text);
}

int options_format(const struct option_spec *specs, void *values, char **ret, struct err *e)
{
	struct format f = { .e = e };
	int rc = options_each(specs, values, format_option, &f);

	if (rc == 0)
		*ret = buffer_steal(&f.text);
	buffer_fini(&f.text);
	return rc;
}

int options_check_path(const char *name, const char *path, struct err *e)
{
	return *path == '/' ? 0
			    : err_set(e, -EINVAL, "%s is \"%.80s\", must be an absolute path", name,
				      path);
}

struct help {
	const char *prefix;
	FILE *out;
};

static int print_option(const struct option_spec *s, void *value UNUSED, void *arg)
{
	static const char *const values[] = { "", "N", "TEXT", "WORD", "TEXT" };
	const struct help *help = arg;
	FILE *out = help->out;
	char name[128] = "";

	if (help->prefix)
		environment_name(help->prefix, s->name, name, sizeof(name));
	fprintf(out, "  --%s%s%s%s\n        %s", s->name, *values[s->type] ? " " : "",
		s->metavar ? s->metavar : values[s->type],
		s->type == OPTION_LIST ? " (repeatable)" : "", s->help);
	if (s->type == OPTION_INT)
		fprintf(out, " (%" PRId64 " to %" PRId64 ")", s->min, s->max);
	if (s->type == OPTION_CHOICE)
		fprintf(out, " (%s)", s->choices);
	if (s->value && *s->value)
		fprintf(out, " [%s]", s->value);
	if (s->unsupported)
		fprintf(out, "\n        Refused: %s.", s->unsupported);
	fprintf(out, "%s%s\n", help->prefix ? "\n        environment " : "", name);
	return 0;
}

void options_print_help(const struct option_spec *specs, const char *prefix, FILE *out)
{
	struct help help = { prefix, out };
	char nowhere;

	options_each(specs, &nowhere, print_option, &help);
}
