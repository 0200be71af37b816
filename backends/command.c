/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/command.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define BLANKS " \t\n\v\f\r"

extern char **environ;

static size_t name_length(const char *text)
{
	size_t len = 0;

	while (isalnum((unsigned char)text[len]) || text[len] == '_')
		len++;
	return len;
}

static void add_word(struct command *c, const char *text, size_t size)
{
	c->words = xrealloc(c->words, (c->len + 2) * sizeof(*c->words));
	c->words[c->len++] = xstrndup(text, size);
	c->words[c->len] = NULL;
}

/* What a shell would do something with, in a word of a text; NULL: nothing. */
static const char *shell_only(const char *word)
{
	static const char *const whole[] = { ";", "&&", "||", "|", "&", ">", ">>", "<" };
	static const char *const part[] = { "`", "$(", "2>", ">&" };
	size_t size = strlen(word);

	for (size_t i = 0; i < ARRAY_LEN(whole); i++) {
		if (strcmp(word, whole[i]) == 0)
			return whole[i];
	}
	for (size_t i = 0; i < ARRAY_LEN(part); i++) {
		if (strstr(word, part[i]))
			return part[i];
	}
	for (const char *p = strstr(word, "${"); p; p = strstr(p + 1, "${")) {
		size_t name = name_length(p + 2);

		if (!name || p[2 + name] != '}')
			return "${";
	}
	return size && word[size - 1] == ';' ? ";" : NULL;
}

static int read_text(const char *key, const char *text, struct command *c, struct err *e)
{
	if (strlen(text) > COMMAND_SIZE_MAX)
		return err_set(e, -EINVAL, "%s has %zu bytes, must have %d at most", key,
			       strlen(text), COMMAND_SIZE_MAX);
	for (text += strspn(text, BLANKS); *text; text += strspn(text, BLANKS)) {
		size_t size = strcspn(text, BLANKS);
		const char *strange;

		if (c->len == COMMAND_WORDS_MAX)
			return err_set(e, -EINVAL, "%s has more than %d words", key,
				       COMMAND_WORDS_MAX);
		add_word(c, text, size);
		strange = shell_only(c->words[c->len - 1]);
		if (strange)
			return err_set(
				e, -EINVAL,
				"%s has \"%s\", and no shell runs it: name a script, or write "
				"an array, [\"sh\", \"-c\", \"...\"]",
				key, strange);
		text += size;
	}
	return 0;
}

static int read_array(const char *key, const json_t *array, struct command *c, struct err *e)
{
	size_t size = 0;
	const json_t *item;
	size_t i;

	json_array_foreach (array, i, item) {
		if (!json_is_string(item))
			return err_set(e, -EINVAL, "%s: word %zu must be a string", key, i + 1);
		size += json_string_length(item);
		if (size > COMMAND_SIZE_MAX || c->len == COMMAND_WORDS_MAX)
			return err_set(e, -EINVAL, "%s must have %d words and %d bytes at most",
				       key, COMMAND_WORDS_MAX, COMMAND_SIZE_MAX);
		add_word(c, json_string_value(item), json_string_length(item));
	}
	c->is_array = true;
	if (c->len && !*c->words[0])
		return err_set(e, -EINVAL, "%s: the first word is empty, must be a program", key);
	return 0;
}

int command_read(const json_t *object, const char *key, struct command *ret, struct err *e)
{
	json_t *value = NULL;
	int rc;

	*ret = (struct command){ 0 };
	rc = json_find(object, key, &value, e);
	if (rc < 0 || !value)
		return rc;
	if (json_is_string(value))
		rc = read_text(key, json_string_value(value), ret, e);
	else if (json_is_array(value))
		rc = read_array(key, value, ret, e);
	else
		rc = err_set(e, -EINVAL, "%s must be a string or an array of strings", key);
	if (rc < 0)
		command_fini(ret);
	return rc;
}

json_t *command_json(const struct command *c)
{
	json_t *array = json_array();
	auto_free char *text = NULL;

	if (c->is_array) {
		for (size_t i = 0; i < c->len; i++)
			json_append(array, json_string(c->words[i]));
		return array;
	}
	json_decref(array);
	for (size_t i = 0; i < c->len; i++) {
		char *longer = xasprintf("%s%s%s", text ? text : "", i ? " " : "", c->words[i]);

		free(text);
		text = longer;
	}
	return json_string(text ? text : "");
}

void command_fini(struct command *c)
{
	command_free_words(STEAL(c->words));
	c->len = 0;
}

void command_free_words(char **words)
{
	for (size_t i = 0; words && words[i]; i++)
		free(words[i]);
	free(words);
}

/* ---- variables ---- */

static const char *find(const char *const variables[], size_t len, const char *name, size_t size)
{
	for (size_t i = 0; i < len; i++) {
		if (strncmp(variables[i], name, size) == 0 && variables[i][size] == '=')
			return variables[i] + size + 1;
	}
	return NULL;
}

static const char *find_in_environment(const char *name, size_t size)
{
	size_t len = 0;

	while (environ && environ[len])
		len++;
	return find((const char *const *)environ, len, name, size);
}

/* The name after a dollar, NULL if it is none; *ret_whole is how long it is with what is around it. */
static const char *name_at(const char *dollar, size_t *ret_size, size_t *ret_whole)
{
	bool braces = dollar[1] == '{';
	const char *name = dollar + 1 + braces;

	*ret_size = name_length(name);
	*ret_whole = *ret_size + 1 + 2 * (size_t)braces;
	if (!*ret_size || (braces && name[*ret_size] != '}'))
		return NULL;
	return name;
}

static char *expand_word(const struct command *c, const char *word, const char *const variables[],
			 size_t len)
{
	char *result = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&result, &size);

	if (!out)
		abort();
	while (*word) {
		const char *value = NULL;
		size_t name_size;
		size_t whole = 1;
		const char *name = *word == '$' ? name_at(word, &name_size, &whole) : NULL;

		if (name)
			value = find(variables, len, name, name_size);
		if (name && !value && !c->is_array) {
			value = find_in_environment(name, name_size);
			value = value ? value : "";
		}
		if (value)
			fputs(value, out);
		else
			fputc(*word, out);
		word += value ? whole : 1;
	}
	fclose(out);
	return result;
}

char **command_expand(const struct command *c, const char *const variables[], size_t variables_len)
{
	char **words = xcalloc(c->len + 1, sizeof(*words));
	size_t len = 0;

	for (size_t i = 0; i < c->len; i++) {
		char *word = expand_word(c, c->words[i], variables, variables_len);

		if (*word || c->is_array)
			words[len++] = word;
		else
			free(word);
	}
	return words;
}

char **command_environment(const char *const variables[], size_t variables_len)
{
	size_t len = 0;
	char **words;

	while (environ && environ[len])
		len++;
	words = xcalloc(len + variables_len + 1, sizeof(*words));
	len = 0;
	for (size_t i = 0; environ && environ[i]; i++) {
		if (!find(variables, variables_len, environ[i], strcspn(environ[i], "=")))
			words[len++] = xstrdup(environ[i]);
	}
	for (size_t i = 0; i < variables_len; i++)
		words[len++] = xstrdup(variables[i]);
	return words;
}
