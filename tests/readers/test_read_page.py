"""The page on reading, as a reader of it would go through it: its commands, then its Python from the top to the end."""

import subprocess
import sys

import pages
from program import GENEROUS, REPOSITORY, Program

PAGE = REPOSITORY / "docs" / "how-to" / "read.md"


def test_the_page_does_what_it_says(program: Program) -> None:
    pages.follow(PAGE, program)
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(pages.blocks(PAGE, "python"))], cwd=program.home,
        env=program.environment() | {"LC_ALL": "C.UTF-8"}, capture_output=True, text=True, timeout=GENEROUS, check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    # Each reader has shown rows of the account, and of its runs.
    assert "007" in done.stdout and done.stdout.count("contact_lists") == 2, done.stdout
