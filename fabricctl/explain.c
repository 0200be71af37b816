/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl explain: what a word means, what it does to packets, what to do. Asks nobody. */
#include "fabricctl/explain.h"

#include <string.h>

#include "fabricctl/command.h"
#include "fabricctl/document.h"
#include "fabricctl/table.h"
#include "fabricctl/text.h"
#include "lib/json.h"
#include "lib/nearest.h"

#define WIDTH       96
#define LABEL_WIDTH 11

static const struct list {
	const char *kind;
	const struct explain_entry *entries;
} lists[] = {
	{ "problem", explain_problems },
	{ "state", explain_states },
	{ "event", explain_events },
	{ "word", explain_words },
};

/* Texts are ours: nothing in them is to be escaped. */
static void print_wrapped(const struct ctl *c, const char *label, const char *text)
{
	size_t column = LABEL_WIDTH;

	fprintf(c->out, "  %s%-*s%s", ctl_color_on(c, COLOR_DIM), LABEL_WIDTH - 2, label,
		ctl_color_off(c, COLOR_DIM));
	while (*text) {
		size_t size = strcspn(text, " ");

		if (column > LABEL_WIDTH && column + 1 + size > WIDTH) {
			fprintf(c->out, "\n%*s", LABEL_WIDTH, "");
			column = LABEL_WIDTH;
		} else if (column > LABEL_WIDTH) {
			fputc(' ', c->out);
			column++;
		}
		fprintf(c->out, "%.*s", (int)size, text);
		column += size;
		text += size + (text[size] == ' ');
	}
	fputc('\n', c->out);
}

static json_t *item_of(const struct list *list, const struct explain_entry *entry)
{
	return json_pack("{s:s,s:s,s:s,s:s?,s:s?}", "word", entry->word, "kind", list->kind,
			 "means", entry->means, "packets", entry->packets, "action", entry->action);
}

static void print_text(const struct ctl *c, const json_t *items)
{
	json_t *item;
	size_t i;

	json_array_foreach (items, i, item) {
		const char *packets = ctl_text(item, "packets");
		const char *action = ctl_text(item, "action");
		const char *kind = ctl_text(item, "kind");
		bool is_word = strcmp(kind, "word") == 0;

		fprintf(c->out, "%s%s%s%s (%s)\n", i ? "\n" : "", ctl_color_on(c, COLOR_BOLD),
			ctl_text(item, "word"), ctl_color_off(c, COLOR_BOLD), kind);
		print_wrapped(c, "means", ctl_text(item, "means"));
		if (packets || !is_word)
			print_wrapped(c, "packets", packets ? packets : "Nothing happens to them.");
		if (action || !is_word)
			print_wrapped(c, "do", action ? action : "Nothing is to be done.");
	}
}

static int print_list(const struct ctl *c, const json_t *items)
{
	static const struct table_column columns[] = {
		{ "WORD", .key = "word" },
		{ "KIND", .key = "kind" },
		{ "MEANS", .shrinks = true, .key = "means" },
	};
	auto_table struct table *table = table_new(columns, ARRAY_LEN(columns));
	json_t *item;
	size_t i;

	json_array_foreach (items, i, item) {
		table_add_row(table);
		for (size_t n = 0; n < ARRAY_LEN(columns); n++)
			table_set(table, n, ctl_text(item, columns[n].key), COLOR_NONE);
	}
	return table_print(table, c);
}

void explain_print_words(FILE *out)
{
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		for (const struct explain_entry *e = lists[i].entries; e->word; e++)
			fprintf(out, "%s\n", e->word);
	}
}

static int not_found(const struct ctl *c, const struct nearest *nearest)
{
	auto_free char *why = NULL;
	auto_free char *hint = NULL;

	if (nearest->best) {
		why = xasprintf("the nearest is \"%s\"", nearest->best);
		hint = xasprintf("fabricctl explain %s", nearest->best);
	}
	return ctl_fail(c, CTL_NOT_FOUND, why, hint ? hint : "fabricctl explain",
			"\"%.60s\" is no word that is explained here", nearest->word);
}

int explain_run(struct ctl *c)
{
	const char *word = c->operands_len ? c->operands[0] : NULL;
	struct nearest nearest = { .word = word };
	auto_json json_t *items = json_array();
	json_t *document;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		for (const struct explain_entry *e = lists[i].entries; e->word; e++) {
			if (!word || text_same_name(word, e->word))
				json_array_append_new(items, item_of(&lists[i], e));
			if (word)
				nearest_consider(&nearest, e->word);
		}
	}
	if (json_array_size(items) == 0)
		return not_found(c, &nearest);
	if (document_is_wanted(c)) {
		document = ctl_document("ExplanationList");
		json_object_set(document, "items", items);
		document_print(c, document);
		return CTL_OK;
	}
	if (word && c->format == FORMAT_TABLE && !c->options.columns)
		print_text(c, items);
	else
		return print_list(c, items);
	return CTL_OK;
}
