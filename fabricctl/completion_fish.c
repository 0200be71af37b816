/* SPDX-License-Identifier: Apache-2.0 */
/* Source: complete(1) of fish. */
#include "fabricctl/completion.h"

#include <string.h>

/* The commands that take an option; none, if all do. */
static void print_takers(FILE *out, const struct ctl_option *option)
{
	fputs(" -n '__fabricctl_is", out);
	for (const struct command *command = commands; command->name; command++) {
		if (option->groups & (command->options | GROUP_ALL))
			fprintf(out, " %s", command->name);
	}
	fputc('\'', out);
}

/* What may follow: a file, or one of these and nothing else. */
static void print_choices(FILE *out, const char *choices)
{
	const char *live = completion_live(choices);

	if (strcmp(choices, "FILE") == 0)
		fputs(" -F", out);
	else if (live)
		fprintf(out, " -f -a '(__fabricctl_ask %s)'", live);
	else
		fprintf(out, " -f -a '%s'", choices);
}

static void print_option(FILE *out, const struct ctl_option *option)
{
	fputs("complete -c fabricctl", out);
	if (!(option->groups & GROUP_ALL))
		print_takers(out, option);
	if (option->letter)
		fprintf(out, " -s %c", option->letter);
	fprintf(out, " -l %s", option->name);
	if (option->metavar)
		fputs(" -r", out);
	if (option->metavar && option->choices && strcmp(option->choices, "FORMAT") == 0)
		fputs(" -f -a '(__fabricctl_formats)'", out);
	else if (option->metavar && option->choices)
		print_choices(out, option->choices);
	else
		fputs(" -f", out);
	fputs(" -d ", out);
	completion_print_quoted(out, option->help, true);
	fputc('\n', out);
}

static void print_formats(FILE *out)
{
	fputs("function __fabricctl_formats\n\tswitch (__fabricctl_command)\n", out);
	for (const struct command *command = commands; command->name; command++) {
		auto_free char *formats = command_formats(command, " ");

		if (command->options & GROUP_OUTPUT)
			fprintf(out, "\t\tcase %s\n\t\t\tprintf '%%s\\n' %s\n", command->name,
				formats);
	}
	fputs("\tend\nend\n\n", out);
}

/* Its fixed words, unless a word stands before the cursor that is followed by something else. */
static void print_command(FILE *out, const struct command *command)
{
	const char *rest = command->values;
	char *word;
	char *kind;

	if (strcmp(command->words, "COMMAND") == 0)
		fprintf(out,
			"complete -c fabricctl -n '__fabricctl_is %s' -f "
			"-a '$__fabricctl_commands'\n",
			command->name);
	else if (*command->words) {
		fprintf(out,
			"complete -c fabricctl -n '__fabricctl_is %s; and not __fabricctl_after",
			command->name);
		while (completion_next_value(&rest, &word, &kind)) {
			fprintf(out, " %s", word);
			free(word);
			free(kind);
		}
		fprintf(out, "' -f -a '%s'\n", command->words);
	}
	for (rest = command->values; completion_next_value(&rest, &word, &kind);) {
		fprintf(out, "complete -c fabricctl -n '__fabricctl_is %s%s%s'", command->name,
			*word ? "; and __fabricctl_after " : "", word);
		print_choices(out, kind);
		fputc('\n', out);
		free(word);
		free(kind);
	}
}

void completion_print_fish(FILE *out)
{
	fputs("# SPDX-License-Identifier: Apache-2.0\n"
	      "# Completion of fabricctl for fish; made by: fabricctl completion fish\n"
	      "\nset -g __fabricctl_commands",
	      out);
	for (const struct command *command = commands; command->name; command++)
		fprintf(out, " %s", command->name);
	fputs("\n\n"
	      "function __fabricctl_command\n"
	      "\tfor word in (commandline -opc)[2..-1]\n"
	      "\t\tif contains -- $word $__fabricctl_commands\n"
	      "\t\t\techo $word\n"
	      "\t\t\treturn 0\n"
	      "\t\tend\n"
	      "\tend\n"
	      "\treturn 1\n"
	      "end\n\n"
	      "function __fabricctl_is\n"
	      "\tcontains -- (__fabricctl_command; or echo -) $argv\n"
	      "end\n\n"
	      "function __fabricctl_after\n"
	      "\tcontains -- (commandline -opc)[-1] $argv\n"
	      "end\n\n"
	      "function __fabricctl_ask\n"
	      "\tset -l line (commandline -opc)\n"
	      "\t$line[1] completion $argv 2>/dev/null\n"
	      "end\n\n",
	      out);
	print_formats(out);
	fputs("complete -c fabricctl -f\n", out);
	for (const struct command *command = commands; command->name; command++) {
		fprintf(out,
			"complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a %s "
			"-d ",
			command->name);
		completion_print_quoted(out, command->help, true);
		fputc('\n', out);
	}
	for (const struct command *command = commands; command->name; command++)
		print_command(out, command);
	for (const struct ctl_option *o = arguments_table(); o->name; o++)
		print_option(out, o);
}
