"""The `kala` command. The module of a command is imported when the command is called, so that each starts quickly."""

import signal
from importlib import import_module

import click

from kala import __version__
from kala.cli.exits import sentences

_COMMANDS = {
    "serve": "kala.cli.serve:serve",
    "run": "kala.cli.run:run",
    "reload": "kala.cli.reload:reload",
    "config": "kala.cli.config:config",
    "backup": "kala.cli.backup:backup",
    "restore": "kala.cli.backup:restore",
    "openapi": "kala.cli.openapi:openapi",
    "version": "kala.cli.version:version",
}


class _Commands(click.Group):
    """The commands, in the order in which a new user needs them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's
        module, _, name = _COMMANDS.get(cmd_name, "").partition(":")
        command: click.Command | None = getattr(import_module(module), name) if module else None
        return command

    def invoke(self, ctx: click.Context) -> object:
        with sentences():
            return super().invoke(ctx)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="kala %(version)s")
def commands() -> None:
    """Kala runs commands and makes HTTP calls on a schedule, and records each run.

    Run `kala serve` to start the service, and `kala COMMAND --help` for help on a command.
    """


def main() -> None:
    """Run the command that the arguments name."""
    # A parent process that ignores SIGCHLD passes that on, and then no exit status is kept for us (wait(2), NOTES).
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    commands(prog_name="kala")  # python -m kala has another name
