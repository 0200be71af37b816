/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl completion: a script made from the tables of commands and options. */
#include <string.h>

#include "fabricctl/command.h"

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

static void print_values(FILE *out)
{
	fputs("\tcase $previous in\n", out);
	print_pattern(out, NULL);
	fputs("\t\treturn\n\t\t;;\n", out);
	print_pattern(out, "FILE");
	fputs("\t\tCOMPREPLY=($(compgen -f -- \"$word\"))\n\t\treturn\n\t\t;;\n", out);
	print_pattern(out, "FORMAT");
	fputs("\t\tCOMPREPLY=($(compgen -W \"$formats\" -- \"$word\"))\n\t\treturn\n\t\t;;\n", out);
	for (const struct ctl_option *o = arguments_table(); o->name; o++) {
		if (!o->choices || strcmp(o->choices, "FILE") == 0 ||
		    strcmp(o->choices, "FORMAT") == 0)
			continue;
		print_pattern(out, o->choices);
		fprintf(out,
			"\t\tCOMPREPLY=($(compgen -W \"%s\" -- \"$word\"))\n"
			"\t\treturn\n\t\t;;\n",
			o->choices);
	}
	fputs("\tesac\n", out);
}

static void print_bash(FILE *out)
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
	      "\telif [[ $command == config && $previous =~ ^(check|set)$ ]]; then\n"
	      "\t\tCOMPREPLY=($(compgen -f -- \"$word\"))\n"
	      "\telse\n"
	      "\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
	      "\tfi\n}\n"
	      "complete -o filenames -F _fabricctl fabricctl\n",
	      out);
}

int completion_run(struct ctl *c)
{
	if (c->operands_len != 1 || strcmp(c->operands[0], "bash") != 0)
		return ctl_fail(c, CTL_USAGE, NULL, "fabricctl completion bash",
				"there is completion for bash only");
	print_bash(c->out);
	return CTL_OK;
}
