"""The `kala` command. The module of a command is imported when the command is called, so that each starts quickly."""

import os
import signal
from importlib import import_module
from inspect import cleandoc

import click

from kala import __version__
from kala.cli.exits import sentences
from kala.cli.table import COMMANDS, GROUPS
from kala.cli.target import Target

_INTERRUPTED = 128 + signal.SIGINT


class _Commands(click.Group):
    """The commands of the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's
        if cmd_name not in COMMANDS:
            return None
        target, summary = COMMANDS[cmd_name]
        module, _, name = target.partition(":")
        command: click.Command = getattr(import_module(f"kala.cli.{module}"), name)
        details = (command.callback and command.callback.__doc__) or ""
        command.help = f"{summary}\n\n{cleandoc(details)}"
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  click's
        width = max(map(len, COMMANDS))
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:{width}}", command.summary) for name, command in commands.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # click's own sentence begins with "No such command", and a list of all would be long.
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches  # noqa: PLC0415  only for this error

            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean {near[0]}?" if near else "kala --help lists the commands"
            ctx.fail(f"No such command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        try:
            with sentences():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(_INTERRUPTED)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.option("--url", metavar="URL", help="The server: http://HOST:PORT, https://HOST or unix:///PATH.")
@click.option("--server", metavar="NAME", help="The server with this name in ~/.config/kala/cli.toml.")
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Whether to use colours; auto means on a terminal, unless NO_COLOR is set.",
)
@click.version_option(__version__, message="kala %(version)s")
@click.pass_context
def commands(context: click.Context, url: str | None, server: str | None, color: str) -> None:
    """Kala runs commands and makes HTTP calls on a schedule, and records each run.

    Run `kala COMMAND --help` for help on a command.
    """
    if url and server:
        raise click.UsageError("--url and --server exclude each other")
    context.obj = Target(url, server)
    if color != "auto":
        context.color = color == "always"
    elif os.environ.get("NO_COLOR"):
        context.color = False


def main() -> None:
    """Run the command that the arguments name."""
    # A parent process that ignores SIGCHLD passes that on, and then no exit status is kept for us (wait(2), NOTES).
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    commands(prog_name="kala")  # python -m kala has another name
