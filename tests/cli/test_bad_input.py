"""Bad input gets one clear message before work starts, exit code 2, and nothing is written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.conftest import REGISTRY, Command, files


def refused(groundstate: Command, here: Path, *arguments: str) -> str:
    """The message, after looking that there is one and nothing else happened."""
    before = files(here)
    done = groundstate(*arguments)
    assert done.code == 2, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    assert done.err.startswith("error: ")
    assert files(here) == before
    return done.err.removeprefix("error: ").rstrip("\n")


def line_of(here: Path, text: str) -> str:
    """`FILE:LINE` of the first line of the registry that has the text."""
    lines = (here / "registry.toml").read_text().splitlines()
    return f"{here / 'registry.toml'}:{next(i for i, line in enumerate(lines, 1) if text in line)}"


ASSIGNMENTS = [
    (
        "solver.use=solver/wonder",
        "pipelines.dots.solver.use: No component 'solver/wonder'. Did you mean 'solver/wander'?",
    ),
    (
        "solver.rote=1.0",
        "pipelines.dots.solver.rote: unknown name. Did you mean 'rate'? 'solver/wander' has",
    ),
    ("solver.rate=-1.0", "pipelines.dots.solver.rate: must be greater than 0; got -1.0."),
    ("solver.rate=fast", "pipelines.dots.solver.rate: must be a valid number; got 'fast'."),
    (
        "compare.0.fault=wrong",
        "pipelines.dots.compare[0].fault: must be 'none', 'raises', 'exits', 'lies' or 'diverges'; "
        "got 'wrong'.",
    ),
    ("dataset.size=0", "pipelines.dots.dataset.size: must be greater than or equal to 1; got 0."),
    (
        "energy.target=@dataset.targets",
        "pipelines.dots.energy.target: '@dataset.targets': 'dataset/dots' gives no 'targets'. "
        "Did you mean 'target'? It gives target.",
    ),
    ("energy.target=@solver", "'@solver': 'solver' is not made before this part"),
    ("energy.target=@datset.target", "no part of this pipeline. Did you mean 'dataset'?"),
    ("sed=1", "sed: write `PART.SETTING`, or one of summary, seed, steps, seconds."),
    ("seed=-1", "seed: must be a whole number from 0 to 2^63 - 1; got -1."),
    ("steps=0", "steps: must be a whole number from 1; got 0."),
    ("solvr.rate=1", "the pipeline 'dots' has no 'solvr'. Did you mean 'solver'?"),
    ("compare.1.rate=1", "write `compare.INDEX.SETTING`, the index below 1."),
    ("rate", "--set must be PART.SETTING=VALUE, got 'rate'."),
    (
        "solver.use=solver/labels",
        "'solver/labels' needs the view FactorGraph, and 'energy/bowl' gives Quadratic.",
    ),
]


@pytest.mark.parametrize(("assignment", "words"), ASSIGNMENTS, ids=[a for a, _ in ASSIGNMENTS])
def test_assignments(assignment: str, words: str, groundstate: Command, here: Path) -> None:
    message = refused(groundstate, here, "run", "dots", "--set", assignment)
    assert words in message
    assert "\n" not in message
    if assignment != "solver.use=solver/labels":
        assert "registry.toml" not in message  # what was set by hand is no fault of the file


def test_all_faults_come_at_once(groundstate: Command, here: Path) -> None:
    message = refused(
        groundstate, here, "run", "dots", "--set", "solver.rate=0", "--set", "dataset.size=0"
    )
    assert [line.split(":")[0] for line in message.splitlines()] == [
        "pipelines.dots.dataset.size",
        "pipelines.dots.solver.rate",
    ]


REPLACED = [
    ('use = "energy/bowl", target', 'use = "energy/bowel", target', "energy.use", "'energy/bowl'?"),
    ("size = 4", "size = 0", "dataset.size", "greater than or equal to 1; got 0"),
    ("size = 4", "sise = 4", "dataset.sise", "unknown name. Did you mean 'size'?"),
    ("rate = 0.5", 'rate = "x"', "compare[0].rate", "must be a valid number; got 'x'"),
    ("@dataset.target", "@dataset.nothing", "energy.target", "gives no 'nothing'"),
    (
        'solver = "solver/wander"',
        'solver = "solver/wonder-not"',
        "solver",
        "No component 'solver/wonder-not'.",
    ),
]


@pytest.mark.parametrize(("old", "new", "path", "words"), REPLACED, ids=[r[1] for r in REPLACED])
def test_registry_file(
    old: str, new: str, path: str, words: str, groundstate: Command, here: Path
) -> None:
    text = REGISTRY.replace(old, new)
    (here / "registry.toml").write_text(text)
    message = refused(groundstate, here, "run", "dots")
    assert message.startswith(f"{line_of(here, new)}: pipelines.dots.{path}")
    assert words in message
    assert "\n" not in message


def test_a_setting_of_a_preset_is_blamed_where_it_is_written(
    groundstate: Command, here: Path
) -> None:
    (here / "registry.toml").write_text(REGISTRY.replace("rate = 0.2", "rate = -0.2"))
    message = refused(groundstate, here, "run", "dots")
    assert message.startswith(f"{line_of(here, 'rate = -0.2')}: presets.")
    assert "got -0.2" in message


def test_presets_in_a_circle(groundstate: Command, here: Path) -> None:
    circle = (
        '[presets."solver/wander"]\nextends = "slow"\n[presets.slow]\nextends = "solver/wander"'
    )
    (here / "registry.toml").write_text(
        REGISTRY.replace('[presets."solver/wander"]\nrate = 0.2', circle)
    )
    message = refused(groundstate, here, "run", "dots")
    assert "in a circle: solver/wander -> slow -> solver/wander" in message
    assert message.startswith(f"{here / 'registry.toml'}:")


def test_no_toml(groundstate: Command, here: Path) -> None:
    (here / "registry.toml").write_text(REGISTRY + "[pipelines.broken\n")
    count = (REGISTRY + "[").count("\n") + 1
    for command in (["run", "dots"], ["plugins"], ["components", "--json"], ["validate"]):
        message = refused(groundstate, here, *command)
        assert message.startswith(f"{here / 'registry.toml'}:{count}: not valid TOML")


def test_a_component_that_is_not_installed_says_how_to_get_it(
    groundstate: Command, here: Path
) -> None:
    (here / "registry.toml").write_text(
        REGISTRY.replace('solver = "solver/wander"', 'solver = "solver/far"')
        + '[plugins.far]\ndistribution = "groundstate-far"\nprovides = ["solver/far"]\n'
    )
    message = refused(groundstate, here, "run", "dots")
    assert "No component 'solver/far'. It comes with groundstate-far: `pip install" in message


def test_names_of_pipelines(groundstate: Command, here: Path) -> None:
    assert "No pipeline 'dotz'. Did you mean 'dots'?" in refused(groundstate, here, "run", "dotz")
    assert "name a pipeline, or give `--record FILE`" in refused(groundstate, here, "run")
    message = refused(groundstate, here, "run", "learn")
    assert "one that learns is run with `groundstate fit`" in message
    message = refused(groundstate, here, "fit", "dots")
    assert "one that only solves is run with `groundstate run`" in message


@pytest.mark.parametrize("command", [["run", "dots"], ["fit", "learn"]])
@pytest.mark.parametrize("place", ["file/x", "/proc/x"])
def test_output_that_cannot_be_written(
    command: list[str], place: str, groundstate: Command, here: Path
) -> None:
    (here / "file").touch()
    message = refused(groundstate, here, *command, "--out", place)
    assert f"{place}" in message and "cannot be written" in message
    assert "Errno" not in message


@pytest.mark.parametrize("command", [["run", "dots"], ["fit", "learn"]])
def test_output_that_is_somebody_elses(
    command: list[str], groundstate: Command, here: Path
) -> None:
    (here / "thesis").mkdir()
    (here / "thesis" / "chapter.tex").touch()
    message = refused(groundstate, here, *command, "--out", "thesis")
    assert message.startswith("thesis exists and is not the folder of an earlier")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file or directory"),
        ("{", "it is no JSON: Expecting property name"),
        ("[]", "it is no JSON object"),
        ('{"format": 9}', "its format is 9, and 1 is read"),
        ('{"format": 1}', "'name' is missing"),
        ('{"format": 1, "name": "x", "pipeline": {"solver": 3}}', "must be 'kind/name'"),
        (b"\xff\xfe", "it is no text"),
    ],
)
def test_records(content: str | bytes | None, words: str, groundstate: Command, here: Path) -> None:
    path = here / "record.json"
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    message = refused(groundstate, here, "run", "--record", "record.json")
    assert message.startswith("record.json: ")
    assert words in message
    assert message.count("record.json:") == 1


def test_a_record_without_machine_is_none(groundstate: Command, here: Path) -> None:
    groundstate("run", "dots")
    record = json.loads((here / "runs/dots/record.json").read_text())
    del record["machine"]
    (here / "record.json").write_text(json.dumps(record))
    assert "'machine' is missing" in refused(groundstate, here, "run", "--record", "record.json")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["run", "dots", "--sett", "a=1"], "--sett"),
        (["run", "dots", "--seconds", "-1"], "--seconds"),
        (["run", "dots", "--seconds", "soon"], "--seconds"),
        (["show"], "Missing argument"),
        (["sample", "x", "--count", "0"], "--count"),
    ],
)
def test_usage(arguments: list[str], words: str, groundstate: Command, here: Path) -> None:
    before = files(here)
    done = groundstate(*arguments)
    assert done.code == 2
    assert words in done.err
    assert "Traceback" not in done.err
    assert files(here) == before


def test_help_is_no_error(groundstate: Command) -> None:
    done = groundstate("--help")
    assert done.code == 0
    assert "explain" in done.out
    assert "130 stopped by hand" in " ".join(done.out.split())
    assert "--record" in groundstate("run", "-h").out


# with the plugins of this repository


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("missing.png", "'missing.png', and there is no such file"),
        ("broken.png", "got 'broken.png'"),
        ("cut.png", "got 'cut.png'"),
    ],
)
def test_images(image: str, words: str, groundstate: Command, here: Path) -> None:
    from PIL import Image

    (here / "broken.png").write_text("junk")
    Image.effect_noise((64, 64), 50).save(here / "whole.png")
    whole = (here / "whole.png").read_bytes()
    (here / "cut.png").write_bytes(whole[: len(whole) // 2])
    message = refused(groundstate, here, "run", "photo", "--set", f"dataset.image={image}")
    assert message.startswith("dataset/photo: `image` must be")
    assert words in message


def test_strokes_of_another_size(groundstate: Command, here: Path) -> None:
    from PIL import Image

    Image.new("RGB", (64, 48)).save(here / "photo.png")
    Image.new("L", (32, 48)).save(here / "strokes.png")
    message = refused(
        groundstate,
        here,
        "run",
        "photo",
        "--set",
        "dataset.image=photo.png",
        "--set",
        "dataset.strokes=strokes.png",
    )
    assert message.startswith(
        "dataset/photo: Strokes must have the photo's size, 64 x 48; got 32 x 48"
    )
    assert "32" in message and "64" in message


def test_a_shipped_solver_whose_view_does_not_fit(groundstate: Command, here: Path) -> None:
    message = refused(groundstate, here, "run", "colorize", "--set", "solver.use=solver/icm")
    assert "'solver/icm' needs the view FactorGraph, and 'energy/affinity-gcrf' gives" in message
    assert "solver/cg" in message


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.uai", "MARKOV\n2\n2 x\n", "a.uai:3: "),
        ("b.uai", "", "b.uai:"),
        (
            "many.uai",
            "MARKOV\n" + "9" * 5000,
            "many.uai:2: expected the number of variables, found",
        ),
        ("wide.uai", "MARKOV\n1\n99999999999999999999\n0\n", "wide.uai:3: "),
        ("odd.uai", "MARKOV\n1\n2\n1\n1 0\n2\n1_0 1\n", "odd.uai:7: expected one of 2 values"),
        ("c.npz", "junk", "c.npz"),
        ("d.txt", "junk", "no reader takes a file of this name; there are readers for .npz, "),
        ("e.uai", None, "e.uai: there is no such file"),
    ],
)
def test_problem_files(
    name: str, content: str | None, words: str, groundstate: Command, here: Path
) -> None:
    if content is not None:
        (here / name).write_text(content)
    message = refused(groundstate, here, "solve", name)
    assert words in message
    assert message.count(name) == 1


TABLES = {
    "group_0_form": "tables",
    "group_0_scope": [[0, 1]],
    "group_0_tables": np.zeros((1, 2, 2)),
}


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"group_0_scope": [[1, 1]]}, "variables of a factor must all be different"),
        ({"group_0_tables": np.zeros((4, 1, 2, 2))}, "its batch shape is (4,)"),
        ({"group_0_tables": np.full((1, 2, 2), -np.inf)}, "without NaN or -inf"),
        ({"group_2_form": "potts"}, "expected groups 0, 1, ... without a gap"),
        ({"counts": [2, 2, 2**62, 2**62]}, "`counts` whose sum is a 64 bit number"),
        (
            {"group_0_form": "potts", "group_0_edges": [[0, 1, 2]], "group_0_weights": [1.0]},
            "`group_0_edges` of shape [edges, 2], found (1, 3)",
        ),
        (
            {
                "group_0_form": "cardinality",
                "group_0_owners": [0, 0, 0],
                "group_0_variables": [1, 2],
                "group_0_values": np.zeros(4),
            },
            "`group_0_owners` with a factor 0, 1, ... for each variable",
        ),
    ],
)
def test_problems_as_arrays(
    arrays: dict[str, Any], words: str, groundstate: Command, here: Path
) -> None:
    head = {"schema": "groundstate-factor-graph", "version": 2, "constant": np.zeros(())}
    whole: dict[str, Any] = {**head, "counts": [2, 2, 2], **TABLES, **arrays}
    np.savez(here / "a.npz", **whole)
    message = refused(groundstate, here, "solve", "a.npz")
    assert words in message
    assert message.startswith("a.npz: expected ")


SMALL = "MARKOV\n2\n2 2\n2\n1 0\n2 0 1\n2\n 1.0 2.0\n4\n 1.0 0.5 0.5 1.0\n"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--solver", "ikm"], "No component 'solver/ikm'. Did you mean 'solver/icm'?"),
        (["--solver", "energy/factor-graph"], "'energy/factor-graph' is no solver"),
        (["--solver", "cg"], "These solvers fit: solver/"),
        (["--solver", "cg"], "'solver/cg' needs the view Quadratic, and the problem gives Factor"),
        (["--out", "file/labels"], "file/labels cannot be written: file is a file"),
        (["--out", "."], ". is a folder; name a file"),
    ],
)
def test_solve(more: list[str], words: str, groundstate: Command, here: Path) -> None:
    (here / "file").touch()
    (here / "small.uai").write_text(SMALL)
    assert words in refused(groundstate, here, "solve", "small.uai", *more)


def test_a_problem_too_large_for_brute_force_is_told_its_size(
    groundstate: Command, here: Path
) -> None:
    (here / "large.uai").write_text(f"MARKOV\n2000\n{'2 ' * 2000}\n0\n")
    done = groundstate("solve", "large.uai", "--solver", "brute-force")
    assert done.code == 1
    assert "but this problem has some 10^602; raise `limit`" in done.err


def test_a_problem_without_variables_has_one_labelling(groundstate: Command, here: Path) -> None:
    (here / "empty.uai").write_text("MARKOV\n0\n\n0\n")
    done = groundstate("solve", "empty.uai", "--solver", "brute-force", "--json")
    assert done.data["solutions"][0]["status"] == "optimal"


def test_a_name_without_its_kind_is_offered_with_it(groundstate: Command, here: Path) -> None:
    assert "Did you mean 'solver/cg'?" in refused(groundstate, here, "show", "cg")
