"""The page on reading, as a reader of it would go through it: its commands, then its Python from the top to the end."""

import os
import re
import subprocess
import sys
from pathlib import Path

from program import BINARY, GENEROUS, REPOSITORY, Program

PAGE = REPOSITORY / "docs" / "how-to" / "read.md"


def blocks(language: str) -> str:
    """The page's blocks in a language, one after the other."""
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL))


def test_the_page_does_what_it_says(program: Program, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ctct-etl").symlink_to(BINARY)
    environment = program.environment() | {"PATH": f"{programs}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
    commands = {"sh": ["bash", "-euc", blocks("sh")], "python": [sys.executable, "-c", blocks("python")]}
    for language, command in commands.items():
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=GENEROUS, check=False)
        assert done.returncode == 0, f"{language}:\n{done.stdout}\n{done.stderr}"
    # Each reader has shown rows of the account, and of its runs.
    assert "007" in done.stdout and done.stdout.count("contact_lists") == 2, done.stdout
