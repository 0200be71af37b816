/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib/options: Go's flag syntax, environment and file, one after the other, and errors that say
 * what is allowed.
 */
#include "tests/unit/test.h"

#include <errno.h>

#include "lib/file.h"
#include "lib/options.h"

struct values {
	bool on;
	bool off;
	int64_t number;
	char *text;
	char *choice;
	struct option_list list;
	char *refused;
	bool refused_flag;
};

#define AT(field) offsetof(struct values, field)

static const struct option_spec specs[] = {
	{ .name = "on",
	  .type = OPTION_BOOL,
	  .offset = AT(on),
	  .value = "true",
	  .help = "a flag that is set" },
	{ .name = "off", .type = OPTION_BOOL, .offset = AT(off), .help = "a flag that is not set" },
	{ .name = "a-number",
	  .type = OPTION_INT,
	  .offset = AT(number),
	  .value = "60",
	  .min = -5,
	  .max = 1439,
	  .help = "a number" },
	{ .name = "text",
	  .type = OPTION_TEXT,
	  .offset = AT(text),
	  .value = "default",
	  .help = "a text" },
	{ .name = "choice",
	  .type = OPTION_CHOICE,
	  .offset = AT(choice),
	  .value = "one",
	  .choices = "one,two,three",
	  .help = "a choice" },
	{ .name = "list", .type = OPTION_LIST, .offset = AT(list), .help = "a list" },
	{ .name = "refused",
	  .type = OPTION_TEXT,
	  .offset = AT(refused),
	  .value = "r",
	  .help = "no more",
	  .unsupported = "it was a bad idea" },
	{ .name = "refused-flag",
	  .type = OPTION_BOOL,
	  .offset = AT(refused_flag),
	  .help = "no more",
	  .unsupported = "never was" },
	{ 0 },
};

#define PREFIX "TESTED_"

static struct values values;

static int setup(void **state)
{
	(void)state;
	options_init(specs, &values);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	options_fini(specs, &values);
	for (const struct option_spec *s = specs; s->name; s++) {
		char name[64] = PREFIX;

		for (size_t i = 0; s->name[i]; i++)
			name[strlen(PREFIX) + i] =
				(char)(s->name[i] == '-' ? '_' : s->name[i] - 'a' + 'A');
		unsetenv(name);
	}
	return 0;
}

/* Words between blanks, without the program's name. */
static int arguments(const char *line, int *ret_first, struct err *e)
{
	auto_free char *copy = xstrdup(line);
	char *argv[32] = { (char *)"program" };
	int argc = 1;

	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	return options_read_arguments(specs, &values, argc, argv, ret_first, e);
}

static void arguments_ok(const char *line)
{
	struct err e;
	int first;

	if (arguments(line, &first, &e) < 0)
		fail_msg("%s: %s", line, e.text);
}

static void test_defaults(void **state)
{
	(void)state;
	assert_true(values.on);
	assert_false(values.off);
	assert_int_equal(values.number, 60);
	assert_string_equal(values.text, "default");
	assert_string_equal(values.choice, "one");
	assert_int_equal(values.list.len, 0);
}

static void test_one_or_two_dashes_and_both_forms_of_value(void **state)
{
	(void)state;
	static const char *const lines[] = {
		"-a-number 7 -text x -on=false -off",
		"--a-number 7 --text x --on=false --off",
		"-a-number=7 --text=x -on=f -off=1",
		"--off=T --on=0 --text=y --text=x --a-number=1 -a-number=7",
	};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		options_fini(specs, &values);
		options_init(specs, &values);
		arguments_ok(lines[i]);
		assert_row(!values.on && values.off, lines[i]);
		assert_row(values.number == 7, lines[i]);
		assert_string_equal(values.text, "x");
	}
}

static void test_values_may_be_empty_or_look_like_flags(void **state)
{
	(void)state;
	arguments_ok("-text=");
	assert_string_equal(values.text, "");
	arguments_ok("-text -off");
	assert_string_equal(values.text, "-off");
	assert_false(values.off);
	arguments_ok("-text=a=b=c");
	assert_string_equal(values.text, "a=b=c");
	arguments_ok("-a-number -5");
	assert_int_equal(values.number, -5);
}

/* As Go does it: a boolean takes its value only with "=". */
static void test_a_flag_takes_no_separate_value(void **state)
{
	(void)state;
	int first = 0;

	assert_int_equal(arguments("-off false", &first, NULL), 0);
	assert_true(values.off);
	assert_int_equal(first, 2);
}

static void test_parsing_ends_at_the_first_operand(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		int first;
	} rows[] = {
		{ "", 1 },         { "-off", 2 },          { "operand -off", 1 },
		{ "-off x y", 2 }, { "-off -- -text", 3 }, { "- -off", 1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int first = -1;

		assert_int_equal(arguments(rows[i].line, &first, NULL), 0);
		assert_row(first == rows[i].first, rows[i].line);
	}
}

static void test_lists_collect(void **state)
{
	(void)state;
	arguments_ok("-list a --list=b -list c,d");
	assert_int_equal(values.list.len, 3);
	assert_string_equal(values.list.items[0], "a");
	assert_string_equal(values.list.items[1], "b");
	assert_string_equal(values.list.items[2], "c,d");
}

static void test_command_line_errors(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		const char *says;
		const char *range;
	} rows[] = {
		{ "-unknown", "no flag \"-unknown\"", "" },
		{ "--no-such=1", "no flag \"--no-such\"", "" },
		{ "---off", "no flag", "" },
		{ "-OFF", "no flag", "" },
		{ "-text", "text needs a value", "" },
		{ "-a-number", "a-number needs a value", "" },
		{ "-a-number x", "a-number is \"x\"", "from -5 to 1439" },
		{ "-a-number 1440", "a-number is \"1440\"", "from -5 to 1439" },
		{ "-a-number -6", "a-number is \"-6\"", "from -5 to 1439" },
		{ "-a-number=", "a-number is \"\"", "from -5 to 1439" },
		{ "-a-number 7x", "a-number is \"7x\"", "integer" },
		{ "-a-number 0x7", "a-number is \"0x7\"", "integer" },
		{ "-a-number 99999999999999999999", "a-number is", "integer" },
		{ "-off=yes", "off is \"yes\"", "true or false" },
		{ "-off=", "off is \"\"", "true or false" },
		{ "-choice four", "choice is \"four\"", "one,two,three" },
		{ "-choice on", "choice is \"on\"", "one,two,three" },
		{ "-choice=one,two", "choice is \"one,two\"", "one of" },
		{ "-choice=", "choice is \"\"", "one of" },
		{ "-refused x", "refused: it was a bad idea", "" },
		{ "-refused-flag", "refused-flag: never was", "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = { 0 };
		int first;

		assert_row(arguments(rows[i].line, &first, &e) == -EINVAL, rows[i].line);
		assert_contains(e.text, rows[i].says);
		assert_contains(e.text, rows[i].range);
	}
}

/* What is not supported may be said as long as it says nothing. */
static void test_refused_options_take_their_default(void **state)
{
	(void)state;
	arguments_ok("-refused r -refused-flag=false -refused-flag=0");
	assert_false(values.refused_flag);
}

static void test_environment(void **state)
{
	(void)state;
	struct err e;

	setenv("TESTED_A_NUMBER", "9", 1);
	setenv("TESTED_OFF", "true", 1);
	setenv("TESTED_LIST", "a,b", 1);
	setenv("TESTED_TEXT", "", 1); /* as good as not set */
	setenv("TESTED_UNKNOWN", "x", 1);
	assert_int_equal(options_read_environment(specs, &values, PREFIX, &e), 0);
	unsetenv("TESTED_UNKNOWN");
	assert_int_equal(values.number, 9);
	assert_true(values.off);
	assert_string_equal(values.text, "default");
	assert_int_equal(values.list.len, 1); /* not split */
	assert_string_equal(values.list.items[0], "a,b");
	setenv("TESTED_A_NUMBER", "many", 1);
	assert_int_equal(options_read_environment(specs, &values, PREFIX, &e), -EINVAL);
	assert_contains(e.text, "TESTED_A_NUMBER");
	assert_contains(e.text, "\"many\"");
	assert_contains(e.text, "from -5 to 1439");
}

static char path[] = "/tmp/test_options.XXXXXX";

static int read_bytes(const char *text, size_t size, struct err *e)
{
	int rc;

	memcpy(path + strlen(path) - 6, "XXXXXX", 6);
	close(mkstemp(path));
	rc = file_replace(path, text, size, 0600, e);
	if (rc == 0)
		rc = options_read_file(specs, &values, path, e);
	unlink(path);
	return rc;
}

static int read_file(const char *text, struct err *e)
{
	return read_bytes(text, strlen(text), e);
}

static void test_file(void **state)
{
	(void)state;
	struct err e;

	assert_int_equal(read_file("# comment\n"
				   "\n"
				   "a-number = 8\n"
				   "  text=with  inner blanks \t\r\n"
				   "off = true\n"
				   "list = a\n"
				   "list = b = c\n"
				   "choice = two", /* no line end */
				   &e),
			 0);
	assert_int_equal(values.number, 8);
	assert_string_equal(values.text, "with  inner blanks");
	assert_true(values.off);
	assert_int_equal(values.list.len, 2);
	assert_string_equal(values.list.items[1], "b = c");
	assert_string_equal(values.choice, "two");
	assert_int_equal(read_file("", &e), 0);
	assert_int_equal(read_file("text =\n", &e), 0);
	assert_string_equal(values.text, "");
}

static void test_file_errors_name_the_line(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *line;
		const char *says;
	} rows[] = {
		{ "off = true\ntext\n", ":2", "is not \"flag = value\"" },
		{ "\n\nnope = 1\n", ":3", "no flag \"nope\"" },
		{ "-off = true\n", ":1", "no flag \"-off\"" },
		{ "a-number = 1\na-number = 9999\n", ":2", "from -5 to 1439" },
		{ "off\n", ":1", "flag = value" },
		{ "= x\n", ":1", "no flag \"\"" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = { 0 };

		assert_row(read_file(rows[i].text, &e) == -EINVAL, rows[i].text);
		assert_contains(e.text, path);
		assert_contains(e.text, rows[i].line);
		assert_contains(e.text, rows[i].says);
	}
	{
		struct err e;

		assert_int_equal(options_read_file(specs, &values, "/nonexistent/file", &e),
				 -ENOENT);
		assert_contains(e.text, "/nonexistent/file");
		assert_int_equal(read_bytes("off = true\n\0\0", 13, &e), -EINVAL);
		assert_contains(e.text, "zero byte at offset 11");
	}
}

/* Each source that has a list replaces the one before, and does not add to it. */
static void test_later_sources_win(void **state)
{
	(void)state;
	struct err e;

	assert_int_equal(
		read_file("a-number = 1\ntext = file\nlist = f1\nlist = f2\noff = true\n", &e), 0);
	setenv("TESTED_A_NUMBER", "2", 1);
	setenv("TESTED_LIST", "e1", 1);
	assert_int_equal(options_read_environment(specs, &values, PREFIX, &e), 0);
	assert_int_equal(values.number, 2);
	assert_string_equal(values.text, "file");
	assert_int_equal(values.list.len, 1);
	arguments_ok("-a-number 3 -list c1 -list c2 -off=false");
	assert_int_equal(values.number, 3);
	assert_false(values.off);
	assert_int_equal(values.list.len, 2);
	assert_string_equal(values.list.items[0], "c1");
}

static void test_help_names_everything(void **state)
{
	(void)state;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	options_print_help(specs, PREFIX, out);
	fclose(out);
	for (const struct option_spec *s = specs; s->name; s++) {
		auto_free char *flag = xasprintf("--%s", s->name);

		assert_contains(text, flag);
		assert_contains(text, s->help);
	}
	assert_contains(text, "TESTED_A_NUMBER");
	assert_contains(text, "-5 to 1439");
	assert_contains(text, "one,two,three");
	assert_contains(text, "[default]");
	assert_contains(text, "it was a bad idea");
	free(text);
}

static void test_what_is_written_is_read_again(void **state)
{
	(void)state;
	auto_free char *text = NULL;
	auto_free char *again = NULL;
	struct err e = { 0 };

	assert_int_equal(options_format(specs, &values, &text, &e), 0);
	assert_string_equal(text, "");
	free(STEAL(text));
	arguments_ok("--on=false --a-number=7 --text= --choice=two --list=a,b --list=c");
	assert_int_equal(options_format(specs, &values, &text, &e), 0);
	assert_string_equal(text, "on = false\na-number = 7\ntext = \nchoice = two\n"
				  "list = a,b\nlist = c\n");
	options_fini(specs, &values);
	options_init(specs, &values);
	assert_int_equal(read_file(text, &e), 0);
	assert_int_equal(options_format(specs, &values, &again, &e), 0);
	assert_string_equal(again, text);
}

static void test_no_line_says_what_has_two(void **state)
{
	(void)state;
	static const char *const lines[] = { "--text=a\nb", "--text=\ta", "--text=a\t",
					     "--list=a\r" };

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		char *text = NULL;
		struct err e = { 0 };

		arguments_ok("--text=default");
		arguments_ok(lines[i]);
		assert_row(options_format(specs, &values, &text, &e) == -EINVAL, lines[i]);
		assert_contains(e.text, "which no line of a file can say");
		assert_null(text);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_defaults),
		TEST(test_one_or_two_dashes_and_both_forms_of_value),
		TEST(test_values_may_be_empty_or_look_like_flags),
		TEST(test_a_flag_takes_no_separate_value),
		TEST(test_parsing_ends_at_the_first_operand),
		TEST(test_lists_collect),
		TEST(test_command_line_errors),
		TEST(test_refused_options_take_their_default),
		TEST(test_environment),
		TEST(test_file),
		TEST(test_file_errors_name_the_line),
		TEST(test_later_sources_win),
		TEST(test_help_names_everything),
		TEST(test_what_is_written_is_read_again),
		TEST(test_no_line_says_what_has_two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
