"""How long `groundstate plugins` and `components` take, as multiples of `python -c pass`.

Wall-clock time of whole processes, ours and the bare ones by turns so that a busy machine is busy
for both.

    python benchmarks/startup.py [--quick] [--json]
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time

FLOOR, GOAL = 25.0, 12.0
"""The largest multiple that is allowed, and the one that is aimed at."""

BARE = ("-c", "pass")
COMMANDS = {
    "plugins": ("-m", "groundstate", "plugins"),
    "components": ("-m", "groundstate", "components"),
}


def seconds(arguments: tuple[str, ...], folder: str) -> float:
    """Wall-clock time of one run of Python."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="the same: it takes seconds anyway")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    repeats = 10
    times: dict[str, list[float]] = {name: [] for name in ("python", *COMMANDS)}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(repeats + 1):
            for name, command in {"python": BARE, **COMMANDS}.items():
                taken = seconds(command, folder)
                if turn:  # the first fills the caches of files and bytecode
                    times[name].append(taken)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    rows = [
        {
            "command": f"groundstate {name}",
            "milliseconds": round(1000 * medians[name], 1),
            "ratio": round(medians[name] / medians["python"], 2),
            "floor_met": medians[name] <= FLOOR * medians["python"],
            "goal_met": medians[name] <= GOAL * medians["python"],
        }
        for name in COMMANDS
    ]
    if arguments.json:
        found = {
            "python": platform.python_version(),
            "bare_milliseconds": round(1000 * medians["python"], 1),
            "repeats": repeats,
            "floor": FLOOR,
            "goal": GOAL,
            "commands": rows,
        }
        print(json.dumps(found, indent=1))
        return
    print(f"python -c pass: {1000 * medians['python']:.1f} ms, the median of {repeats}")
    for row in rows:
        print(f"{row['command']}: {row['milliseconds']} ms, {row['ratio']} times as long")
    print(f"at most {FLOOR:.0f} times is allowed, {GOAL:.0f} times is the goal")


if __name__ == "__main__":
    main()
