/* SPDX-License-Identifier: Apache-2.0 */
/* Source: zshcompsys(1), zshcompwid(1). */
#include "fabricctl/completion.h"

#include <string.h>

/* "'name:what it is'", as _describe reads it. */
static void print_described(FILE *out, const char *name, const char *help)
{
	auto_free char *entry = xasprintf("%s:%s", name, help);

	completion_print_quoted(out, entry, false);
	fputc(' ', out);
}

static void print_options(FILE *out, unsigned groups)
{
	fputs("\t\toptions=(", out);
	for (const struct ctl_option *o = arguments_table(); o->name; o++) {
		auto_free char *name = xasprintf("--%s", o->name);
		char letter[] = { '-', o->letter, '\0' };

		if (!(o->groups & groups))
			continue;
		print_described(out, name, o->help);
		if (o->letter)
			print_described(out, letter, o->help);
	}
	fputs(")\n", out);
}

static void print_command(FILE *out, const struct command *command)
{
	fprintf(out, "\t%s)\n", command->name);
	print_options(out, command->options | GROUP_ALL);
	if (command->options & GROUP_OUTPUT) {
		auto_free char *formats = command_formats(command, " ");

		fprintf(out, "\t\tformats=(%s)\n", formats);
	}
	if (strcmp(command->words, "COMMAND") == 0)
		fputs("\t\twords_here=($names)\n", out);
	else
		fprintf(out, "\t\twords_here=(%s)\n", command->words);
	fputs("\t\t;;\n", out);
}

/* Adds what is of this kind, or the words. */
static void print_choices(FILE *out, const char *choices)
{
	const char *live = completion_live(choices);

	if (strcmp(choices, "FILE") == 0)
		fputs("\t\t_files\n", out);
	else if (live)
		fprintf(out, "\t\tcompadd -- ${(f)\"$($program completion %s 2>/dev/null)\"}\n",
			live);
	else
		fprintf(out, "\t\tcompadd -- %s\n",
			strcmp(choices, "FORMAT") == 0 ? "$formats" : choices);
}

static void print_values(FILE *out)
{
	fputs("\tcase $previous in\n", out);
	for (const struct ctl_option *o = arguments_table(); o->name; o++) {
		if (!o->metavar)
			continue;
		fprintf(out, "\t--%s", o->name);
		if (o->letter)
			fprintf(out, "|-%c", o->letter);
		fputs(")\n", out);
		if (o->choices)
			print_choices(out, o->choices);
		else
			fprintf(out, "\t\t_message '%s'\n", o->metavar);
		fputs("\t\treturn\n\t\t;;\n", out);
	}
	fputs("\tesac\n", out);
}

static void print_operands(FILE *out)
{
	fputs("\tcase $command:$previous in\n", out);
	for (const struct command *command = commands; command->name; command++) {
		const char *rest = command->values;
		char *word;
		char *kind;

		while (completion_next_value(&rest, &word, &kind)) {
			fprintf(out, "\t%s:%s)\n", command->name, *word ? word : "*");
			print_choices(out, kind);
			fputs("\t\t;;\n", out);
			free(word);
			free(kind);
		}
	}
	fputs("\t:*)\n\t\t_describe command commands\n\t\t;;\n"
	      "\t*)\n\t\tcompadd -- $words_here\n\t\t;;\n\tesac\n",
	      out);
}

void completion_print_zsh(FILE *out)
{
	fputs("#compdef fabricctl\n"
	      "# SPDX-License-Identifier: Apache-2.0\n"
	      "# Completion of fabricctl for zsh; made by: fabricctl completion zsh\n"
	      "\n_fabricctl()\n{\n"
	      "\tlocal program=$words[1] previous=$words[CURRENT-1] command= word\n"
	      "\tlocal -a commands names options formats words_here\n\n"
	      "\tcommands=(",
	      out);
	for (const struct command *command = commands; command->name; command++)
		print_described(out, command->name, command->help);
	fputs(")\n"
	      "\tnames=(${commands%%:*})\n"
	      "\tfor word in $words[2,CURRENT-1]; do\n"
	      "\t\tif (( $names[(Ie)$word] )); then\n"
	      "\t\t\tcommand=$word\n"
	      "\t\t\tbreak\n"
	      "\t\tfi\n"
	      "\tdone\n"
	      "\tcase $command in\n"
	      "\t'')\n",
	      out);
	print_options(out, GROUP_ALL);
	fputs("\t\t;;\n", out);
	for (const struct command *command = commands; command->name; command++)
		print_command(out, command);
	fputs("\tesac\n"
	      "\tif [[ $PREFIX == --*=* ]]; then\n"
	      "\t\tprevious=${PREFIX%%=*}\n"
	      "\t\tcompset -P '*='\n"
	      "\tfi\n",
	      out);
	print_values(out);
	fputs("\tif [[ $PREFIX == -* ]]; then\n"
	      "\t\t_describe -o option options\n"
	      "\t\treturn\n"
	      "\tfi\n",
	      out);
	print_operands(out);
	/* Autoloaded the file is the function; sourced it is to be known. */
	fputs("}\n\n"
	      "if [[ $funcstack[1] == _fabricctl ]]; then\n"
	      "\t_fabricctl \"$@\"\n"
	      "else\n"
	      "\tcompdef _fabricctl fabricctl\n"
	      "fi\n",
	      out);
}
