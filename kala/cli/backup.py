"""`kala backup` and `kala restore`: all of Kala's data, in one file."""

from functools import partial
from pathlib import Path

import click

from kala.cli.progress import progress
from kala.cli.settings import data_dir_of_running_service, loaded_as_by_service, settings
from kala.store import backup as backups

_data_dir_option = partial(settings, keys=["data_dir"])


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@_data_dir_option
def backup(config_file: str | None, file: Path, **flags: object) -> None:
    """FILE is the new backup, as a tar archive.

    It is as of one moment. Runs that were running at it are marked as lost when it is restored. For root, the
    data are those of the systemd service kala, if there is one.
    """
    data_dir = (
        data_dir_of_running_service(config_file, flags) or loaded_as_by_service(config_file, flags).config.data_dir
    )
    with progress("written") as tell:
        backups.make(data_dir, file, tell)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@_data_dir_option
def restore(config_file: str | None, file: Path, **flags: object) -> None:
    """FILE is the backup.

    Kala must not run on the data directory, and no data of Kala may be in it. Slots that came due since the backup are
    treated as missed when it starts. For root, the directory is that of the systemd service kala, if there is one.
    """
    with progress("read") as tell:
        backups.restore(file, loaded_as_by_service(config_file, flags).config.data_dir, tell)
