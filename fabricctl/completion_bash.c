/* SPDX-License-Identifier: Apache-2.0 */
#include "fabricctl/completion.h"

#include <string.h>

/* All options that have one of `groups`. */
static void print_options(FILE *out, unsigned groups)
{
	const char *separator = "\t\toptions=\"";

	for (const struct ctl_option *o = arguments_table(); o->name; o++) {
		if (!(o->groups & groups))
			continue;
		if (o->letter)
			fprintf(out, "%s-%c", separator, o->letter);
		fprintf(out, "%s--%s", o->letter ? " " : separator, o->name);
		separator = " ";
	}
	fputs("\"\n", out);
}

static void print_command(FILE *out, const struct command *command)
{
	const char *words = command->words;

	fprintf(out, "\t%s)\n", command->name);
	print_options(out, command->options | GROUP_ALL);
	if (command->formats && command->options & GROUP_OUTPUT) {
		auto_free char *formats = command_formats(command, " ");

		fprintf(out, "\t\tformats=\"%s\"\n", formats);
	}
	if (strcmp(words, "COMMAND") == 0)
		fputs("\t\twords=$commands\n", out);
	else if (*words)
		fprintf(out, "\t\twords=\"%s\"\n", words);
	fputs("\t\t;;\n", out);
}

/* The pattern of a case: all options whose values are completed like this. */
static void print_pattern(FILE *out, const char *choices)
{
	const char *separator = "\t";

	for (const struct ctl_option *o = arguments_table(); o->name; o++) {
		if (!o->metavar || (o->choices == NULL) != (choices == NULL) ||
		    (choices && strcmp(o->choices, choices) != 0))
			continue;
		fprintf(out, "%s--%s", separator, o->name);
		separator = "|";
		if (o->letter)
			fprintf(out, "|-%c", o->letter);
	}
	fputs(")\n", out);
}

/* Whether no option before it has the same choices. */
static bool is_first(const struct ctl_option *option)
{
	const struct ctl_option *o = arguments_table();

	while (o != option && !(o->choices && strcmp(o->choices, option->choices) == 0))
		o++;
	return o == option;
}

/* The words of which one is chosen; a kind of what is not known before is asked for. */
static void print_words(FILE *out, const char *choices)
{
	const char *live = completion_live(choices);

	if (strcmp(choices, "FILE") == 0)
		fputs("\t\tCOMPREPLY=($(compgen -f -- \"$word\"))\n", out);
	else if (live)
		fprintf(out,
			"\t\tCOMPREPLY=($(compgen -W \"$(\"${COMP_WORDS[0]}\" completion %s "
			"2>/dev/null)\" -- \"$word\"))\n",
			live);
	else
		fprintf(out, "\t\tCOMPREPLY=($(compgen -W \"%s\" -- \"$word\"))\n",
			strcmp(choices, "FORMAT") == 0 ? "$formats" : choices);
}

static void print_values(FILE *out)
{
	fputs("\tcase $previous in\n", out);
	print_pattern(out, NULL);
	fputs("\t\treturn\n\t\t;;\n", out);
	for (const struct ctl_option *o = arguments_table(); o->name; o++) {
		if (!o->choices || !is_first(o))
			continue;
		print_pattern(out, o->choices);
		print_words(out, o->choices);
		fputs("\t\treturn\n\t\t;;\n", out);
	}
	fputs("\tesac\n", out);
}

/* What follows a word of a command, or the command itself. */
static void print_operands(FILE *out)
{
	fputs("\tcase $command:$previous in\n", out);
	for (const struct command *command = commands; command->name; command++) {
		const char *rest = command->values;
		char *word;
		char *kind;

		while (completion_next_value(&rest, &word, &kind)) {
			fprintf(out, "\t%s:%s)\n", command->name, *word ? word : "*");
			print_words(out, kind);
			fputs("\t\t;;\n", out);
			free(word);
			free(kind);
		}
	}
	fputs("\t*)\n", out);
	print_words(out, "$words");
	fputs("\t\t;;\n\tesac\n", out);
}

void completion_print_bash(FILE *out)
{
	fputs("# SPDX-License-Identifier: Apache-2.0\n"
	      "# Completion of fabricctl for bash; made by: fabricctl completion bash\n"
	      "\n_fabricctl()\n{\n"
	      "\tlocal word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
	      "\tlocal command= options= formats= words= i\n"
	      "\tlocal commands=\"",
	      out);
	for (const struct command *command = commands; command->name; command++)
		fprintf(out, "%s%s", command == commands ? "" : " ", command->name);
	fputs("\"\n\n\tCOMPREPLY=()\n"
	      "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	      "\t\tcase \" $commands \" in\n"
	      "\t\t*\" ${COMP_WORDS[i]} \"*)\n"
	      "\t\t\tcommand=${COMP_WORDS[i]}\n"
	      "\t\t\tbreak\n"
	      "\t\t\t;;\n"
	      "\t\tesac\n"
	      "\tdone\n"
	      "\tcase $command in\n"
	      "\t'')\n",
	      out);
	print_options(out, GROUP_ALL);
	fputs("\t\twords=$commands\n\t\t;;\n", out);
	for (const struct command *command = commands; command->name; command++)
		print_command(out, command);
	fputs("\tesac\n", out);
	print_values(out);
	fputs("\tif [[ $word == -* ]]; then\n"
	      "\t\tCOMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
	      "\t\treturn\n"
	      "\tfi\n",
	      out);
	print_operands(out);
	fputs("}\n"
	      "complete -o filenames -F _fabricctl fabricctl\n",
	      out);
}
