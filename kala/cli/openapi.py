"""`kala openapi`: the API in a form that programs read."""

import click


@click.command()
def openapi() -> None:
    """It is JSON in OpenAPI 3.1, from which tools make clients, forms and tests."""
    from kala.api.openapi import written  # noqa: PLC0415  `kala --help` imports this module, too
    from kala.api.routes import ROUTES  # noqa: PLC0415

    click.echo(written(ROUTES, indent=2))
