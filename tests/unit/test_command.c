/* SPDX-License-Identifier: Apache-2.0 */
/* backends/command: both forms, what is refused, and which variables are replaced. */
#include "tests/unit/test.h"

#include <errno.h>

#include "backends/command.h"

static const char *const variables[] = { "SUBNET=10.5.3.0/24", "PUBLIC_IP=192.0.2.3", "EMPTY=" };

static int read_command(const char *value, struct command *ret, struct err *e)
{
	auto_free char *text = xasprintf("{\"Command\":%s}", value);
	auto_json json_t *object = NULL;

	assert_int_equal(json_parse_object(text, strlen(text), &object, e), 0);
	return command_read(object, "Command", ret, e);
}

/* The words with a bar between them. */
static char *joined(char **words)
{
	char *text = xstrdup("");

	for (size_t i = 0; words[i]; i++) {
		char *longer = xasprintf("%s%s%s", text, i ? "|" : "", words[i]);

		free(text);
		text = longer;
	}
	return text;
}

static void test_words_and_variables(void **state UNUSED)
{
	static const struct {
		const char *value, *words;
	} rows[] = {
		{ "\"ip route add $SUBNET via ${PUBLIC_IP}\"",
		  "ip|route|add|10.5.3.0/24|via|192.0.2.3" },
		{ "\"  a\\t b \\n\"", "a|b" },
		{ "\"echo $EMPTY $NOWHERE x$SUBNET.y\"", "echo|x10.5.3.0/24.y" },
		{ "\"$OF_THE_DAEMON a$ $ 5$, \\\"quoted\"", "one word|a$|$|5$,|\"quoted" },
		{ "\"$SUBNETS $SUBNET_\"", "" },
		{ "[\"sh\",\"-c\",\"x=${SUBNET%/*}; echo $x $SUBNET ${PUBLIC_IP} $OF_THE_DAEMON "
		  "`id`\","
		  "\"\"]",
		  "sh|-c|x=${SUBNET%/*}; echo $x 10.5.3.0/24 192.0.2.3 $OF_THE_DAEMON `id`|" },
		{ "[\"echo\",\"$EMPTY\",\"a  b\"]", "echo||a  b" },
	};

	setenv("OF_THE_DAEMON", "one word", 1);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *text = NULL;
		auto_json json_t *again = NULL;
		struct command c;
		char **words;
		struct err e;

		assert_int_equal(read_command(rows[i].value, &c, &e), 0);
		words = command_expand(&c, variables, ARRAY_LEN(variables));
		text = joined(words);
		assert_string_equal(text, rows[i].words);
		again = command_json(&c);
		assert_int_equal(json_is_array(again), c.is_array);
		command_free_words(words);
		command_fini(&c);
	}
}

static void test_what_is_no_command(void **state UNUSED)
{
	static const struct {
		const char *value, *text;
	} rows[] = {
		{ "7", "Command must be a string or an array of strings" },
		{ "{}", "Command must be a string or an array" },
		{ "[\"a\",7]", "Command: word 2 must be a string" },
		{ "[\"\"]", "the first word is empty" },
		{ "\"a; b\"", "Command has \";\", and no shell runs it: name a script" },
		{ "\"a && b\"", "has \"&&\"" },
		{ "\"a | b\"", "has \"|\"" },
		{ "\"a >/dev/null 2>&1\"", "has \"2>\"" },
		{ "\"a `b`\"", "has \"`\"" },
		{ "\"a $(b)\"", "has \"$(\"" },
		{ "\"a ${SUBNET%/*}\"", "has \"${\"" },
		{ "\"a ${}\"", "has \"${\"" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct command c;
		struct err e;

		assert_row(read_command(rows[i].value, &c, &e) == -EINVAL, rows[i].value);
		assert_contains(e.text, rows[i].text);
		assert_null(c.words);
	}
}

static void test_none(void **state UNUSED)
{
	static const char *const rows[] = { "null", "\"\"", "\"  \"", "[]" };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct command c;
		struct err e;

		assert_row(read_command(rows[i], &c, &e) == 0 && !c.words, rows[i]);
	}
}

static void test_the_environment(void **state UNUSED)
{
	char **words;
	size_t subnets = 0;
	bool kept = false;

	setenv("SUBNET", "of the daemon", 1);
	setenv("OF_THE_DAEMON", "one word", 1);
	words = command_environment(variables, ARRAY_LEN(variables));
	for (size_t i = 0; words[i]; i++) {
		kept |= strcmp(words[i], "OF_THE_DAEMON=one word") == 0;
		if (strncmp(words[i], "SUBNET=", 7) == 0) {
			subnets++;
			assert_string_equal(words[i], variables[0]);
		}
	}
	assert_true(kept);
	assert_int_equal(subnets, 1);
	command_free_words(words);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_and_variables),
		cmocka_unit_test(test_what_is_no_command),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_the_environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
