/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a command of a configuration: what is taken has words within the limits, and survives a file. */
#include "tests/fuzz/fuzz.h"

#include "backends/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const variables[] = { "SUBNET=10.5.3.0/24", "EMPTY=" };
	auto_json json_t *object = NULL;
	auto_json json_t *written = json_object();
	struct command again;
	struct command c;
	char **words;
	char **same;
	struct err e;

	if (json_parse_object((const char *)data, size, &object, &e) < 0)
		return 0;
	if (command_read(object, "Command", &c, &e) < 0) {
		FUZZ_CHECK(e.text[0] && !c.words);
		return 0;
	}
	FUZZ_CHECK(c.len <= COMMAND_WORDS_MAX && !c.words == !c.len);
	words = command_expand(&c, variables, ARRAY_LEN(variables));
	json_object_set_new(written, "Command", command_json(&c));
	FUZZ_CHECK(command_read(written, "Command", &again, &e) == 0 && again.len == c.len);
	same = command_expand(&again, variables, ARRAY_LEN(variables));
	for (size_t i = 0; words[i]; i++)
		FUZZ_CHECK(strcmp(words[i], same[i]) == 0);
	command_free_words(words);
	command_free_words(same);
	command_fini(&c);
	command_fini(&again);
	return 0;
}
