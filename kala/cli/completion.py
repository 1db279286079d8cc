"""`kala completion`: what makes a shell complete commands of Kala."""

import click
from click.shell_completion import ShellComplete, get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """It completes commands, options, their values, and the names of jobs and runs.

    The Debian package has installed the scripts already. Elsewhere, for bash: `eval "$(kala completion bash)"` in
    ~/.bashrc; for zsh the same in ~/.zshrc; for fish: `kala completion fish > ~/.config/fish/completions/kala.fish`.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(context.find_root().command, {}, "kala", "_KALA_COMPLETE")
    # Not bash's own method, which starts a bash to see whether it is recent enough.
    click.echo(ShellComplete.source(script))
