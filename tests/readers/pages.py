"""Pages of the book, followed as a reader would: files are written and commands run in the order in which they stand."""

import os
import re
import subprocess
from pathlib import Path

from program import BINARY, GENEROUS, Program


def blocks(page: Path, language: str) -> list[str]:
    """The page's blocks in a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def follow(page: Path, program: Program) -> None:
    """Writes each `yaml` block whose first line is `# NAME.yaml` to that file, then runs the `sh` blocks, with the program on the path."""
    for block in blocks(page, "yaml"):
        if name := re.match(r"# ([\w.-]+\.yaml)\n", block):
            (program.home / name[1]).write_text(block)
    programs = program.home / "bin"
    programs.mkdir()
    (programs / "ctct-etl").symlink_to(BINARY)
    environment = program.environment() | {"PATH": f"{programs}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["bash", "-euc", "\n".join(blocks(page, "sh"))], cwd=program.home, env=environment,
        capture_output=True, text=True, timeout=GENEROUS, check=False,
    )
    assert done.returncode == 0, f"{page.name}:\n{done.stdout}\n{done.stderr}"
