"""How long `import mdpseg` and `mdpseg --help` take, beside Python that does nothing.

python benchmarks/startup.py
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import measure


def main() -> None:
    given = measure.arguments(__doc__, rounds=11)
    commands = {
        "python -c pass": ["-c", "pass"],
        "import mdpseg": ["-c", "import mdpseg"],
        "mdpseg --help": ["-m", "mdpseg", "--help"],
    }
    seconds = measure.compare({name: partial(_run, command) for name, command in commands.items()}, given.rounds)
    nothing = "python -c pass: {:.3f} s".format(sorted(seconds["python -c pass"])[given.rounds // 2])
    rows = [
        measure.value_row("import mdpseg", seconds["import mdpseg"], "at most 0.2", against=nothing),
        measure.value_row("mdpseg --help", seconds["mdpseg --help"], "at most 0.5", against=nothing),
    ]
    measure.finish("startup", rows, given.quick)


def _run(command: list[str]) -> None:
    subprocess.run([sys.executable, *command], check=True, capture_output=True)


if __name__ == "__main__":
    main()
