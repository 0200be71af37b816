/* SPDX-License-Identifier: Apache-2.0 */
/* fabricctl completion: a script made from the tables of commands and options. */
#include <string.h>

#include "fabricctl/command.h"

static void print_command(FILE *out, const struct command *command)
{
	const char *words = command->words;

	fprintf(out, "\t%s)\n\t\toptions=\"", command->name);
	for (const struct ctl_option *o = ctl_options; o->name; o++) {
		if (o->groups & (command->options | GROUP_ALL))
			fprintf(out, "%s%s--%s", o == ctl_options ? "" : " ",
				o->letter == 'o' ? "-o " : "", o->name);
	}
	fputs("\"\n", out);
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

static void print_values(FILE *out)
{
	fputs("\tcase $previous in\n", out);
	for (const struct ctl_option *o = ctl_options; o->name; o++) {
		if (!o->metavar)
			continue;
		fprintf(out, "\t--%s", o->name);
		if (o->letter)
			fprintf(out, "|-%c", o->letter);
		if (!o->choices)
			fputs(")\n\t\treturn\n\t\t;;\n", out);
		else if (strcmp(o->choices, "FILE") == 0)
			fputs(")\n\t\tCOMPREPLY=($(compgen -f -- \"$word\"))\n\t\treturn\n\t\t;;\n",
			      out);
		else if (strcmp(o->choices, "FORMAT") == 0)
			fputs(")\n\t\tCOMPREPLY=($(compgen -W \"$formats\" -- \"$word\"))\n"
			      "\t\treturn\n\t\t;;\n",
			      out);
		else
			fprintf(out,
				")\n\t\tCOMPREPLY=($(compgen -W \"%s\" -- \"$word\"))\n"
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
	      "\t'')\n\t\toptions=\"",
	      out);
	for (const struct ctl_option *o = ctl_options; o->name; o++) {
		if (o->groups & GROUP_ALL)
			fprintf(out, "--%s ", o->name);
	}
	fputs("\"\n\t\twords=$commands\n\t\t;;\n", out);
	for (const struct command *command = commands; command->name; command++)
		print_command(out, command);
	fputs("\tesac\n", out);
	print_values(out);
	fputs("\tif [[ $word == -* ]]; then\n"
	      "\t\tCOMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
	      "\telif [[ $command == config && $previous == check ]]; then\n"
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
