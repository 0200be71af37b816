/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl completion: the scripts, and what they ask for while somebody types. */
#include "fabricctl/completion.h"

#include <string.h>

#include "fabricctl/client.h"
#include "fabricctl/explain.h"
#include "fabricctl/lease_columns.h"
#include "fabricctl/settings.h"
#include "lib/json.h"

/* Longer than this nobody waits for a letter to appear. */
#define LIVE_TIMEOUT_MS 200

static char *node_name(const json_t *item)
{
	const char *name = ctl_text(item, "node");

	return name ? xstrdup(name) : NULL;
}

static char *address(const json_t *item)
{
	const char *v4 = ctl_text(item, "publicIP");
	const char *v6 = ctl_text(item, "publicIPv6");

	return v4 || v6 ? xstrdup(v4 ? v4 : v6) : NULL;
}

static const struct live {
	const char *kind;
	const char *word;
	char *(*text)(const json_t *item); /* NULL: what explain knows */
} lives[] = {
	{ "NODE", "nodes", node_name },
	{ "SUBNET", "subnets", lease_name },
	{ "ADDRESS", "addresses", address },
	{ "WORD", "words", NULL },
};

const char *completion_live(const char *kind)
{
	for (size_t i = 0; i < ARRAY_LEN(lives); i++) {
		if (strcmp(kind, lives[i].kind) == 0)
			return lives[i].word;
	}
	return NULL;
}

/* Shells expand what they are given to choose from, and other hosts have chosen these names: what
 * could be an order to a shell is left out. */
static bool is_harmless(const char *text)
{
	return *text && *text != '-' &&
	       !text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "0123456789.-_:/,")];
}

/* Silent, whatever is in the way: somebody is typing. */
static int print_live(const struct ctl *c, const struct live *live)
{
	auto_settings struct settings settings = { 0 };
	auto_json json_t *document = NULL;
	struct ctl mute = *c;
	json_t *item;
	struct err e;
	size_t i;
	int status;

	mute.err = fopen("/dev/null", "we");
	status = mute.err ? settings_read(&mute, false, &settings) : CTL_FAILED;
	if (mute.err)
		fclose(mute.err);
	if (status || client_get(settings.socket, "/v1/subnets", "SubnetList", LIVE_TIMEOUT_MS,
				 &document, &e) < 0)
		return CTL_OK;
	json_array_foreach (json_object_get(document, "items"), i, item) {
		auto_free char *text = live->text(item);

		if (text && is_harmless(text))
			fprintf(c->out, "%s\n", text);
	}
	return CTL_OK;
}

bool completion_next_value(const char **rest, char **ret_word, char **ret_kind)
{
	size_t size = strcspn(*rest, " ");
	size_t word_size = strcspn(*rest, ":");

	if (size == 0)
		return false;
	*ret_word = xstrndup(*rest, word_size);
	*ret_kind = xstrndup(*rest + word_size + 1, size - word_size - 1);
	*rest += size + ((*rest)[size] == ' ');
	return true;
}

void completion_print_quoted(FILE *out, const char *text, bool fish)
{
	fputc('\'', out);
	for (const char *p = text; *p; p++) {
		if (*p == '\'')
			fputs(fish ? "\\'" : "'\\''", out);
		else if (*p == '\\' && fish)
			fputs("\\\\", out);
		else
			fputc(*p, out);
	}
	fputc('\'', out);
}

int completion_run(struct ctl *c)
{
	static const struct {
		const char *shell;
		void (*print)(FILE *out);
	} shells[] = {
		{ "bash", completion_print_bash },
		{ "zsh", completion_print_zsh },
		{ "fish", completion_print_fish },
	};
	const char *word = c->operands_len ? c->operands[0] : "";

	for (size_t i = 0; i < ARRAY_LEN(shells); i++) {
		if (strcmp(word, shells[i].shell) == 0) {
			shells[i].print(c->out);
			return CTL_OK;
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(lives); i++) {
		if (strcmp(word, lives[i].word) != 0)
			continue;
		if (lives[i].text)
			return print_live(c, &lives[i]);
		explain_print_words(c->out);
		return CTL_OK;
	}
	return ctl_fail(c, CTL_USAGE, NULL, "fabricctl completion bash",
			"name a shell: bash, zsh or fish");
}
