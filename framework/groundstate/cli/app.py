"""All commands, declared with typer. What they do is in the modules beside this one."""

import os
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from groundstate.cli.options import Json, NoPlugins, RegistryFile, Seconds, Settings, settings
from groundstate.errors import GroundstateError

BAD_INPUT = 2
INTERRUPTED = 130
# typer brings a click of its own or takes the installed one, by its version
_USAGE = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="groundstate",
    help="Energy-based and structured models: compose energies and solvers, run them, check them.",
    epilog="Exit codes: 0 well, 1 a solver or a check failed, 2 bad input, 130 stopped by hand.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run_app() -> int:
    """Run the command line; an error of ours is one message, not a traceback.

    Returns:
        The exit code: 0 well, 1 a solver failed or a check did, 2 bad input, 130 stopped by hand.
    """
    from groundstate.cli.console import say

    try:
        code = typer.main.get_command(app).main(standalone_mode=False)
        return int(code or 0)
    except typer.Exit as leaving:
        return leaving.exit_code
    except (GroundstateError, OSError) as error:
        if os.environ.get("GROUNDSTATE_TRACEBACK") or isinstance(error, BrokenPipeError):
            raise
        say(f"error: {error}")
        return BAD_INPUT
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        if not isinstance(error, _USAGE):
            raise
        cast(Any, error).show()
        return BAD_INPUT


@app.command()
def run(
    pipeline: Annotated[str | None, typer.Argument(help="Name in registry.toml.")] = None,
    assignments: Settings = None,
    seconds: Seconds = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder of the report. [default: runs/PIPELINE, runs/PIPELINE-repeat of a record]",
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            "--record",
            help="Repeat the run of this record.json step for step; takes no PIPELINE, --set or "
            "--seconds, for the record has them all.",
        ),
    ] = None,
    as_json: Json = False,
    registry: RegistryFile = None,
) -> int:
    """Run a pipeline: solve, compare, measure, and write a report."""
    from groundstate.cli.running import RunOptions, run_command

    return run_command(
        RunOptions(
            pipeline=pipeline,
            values=settings(assignments),
            seconds=seconds,
            folder=out,
            as_json=as_json,
            record=record,
            registry=registry,
        )
    )


@app.command()
def solve(
    file: Annotated[Path, typer.Argument(help="A problem: .uai, .wcsp or .npz, also .gz or .xz.")],
    solver: Annotated[
        list[str] | None, typer.Option("--solver", help="Which; may be repeated.")
    ] = None,
    all_solvers: Annotated[
        bool, typer.Option("--all", help="Every solver that fits (as without --solver).")
    ] = False,
    seconds: Seconds = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the solvers' randomness.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--out", help="Write the best labels here (UAI's MPE format).")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw energy and bound over time here (SVG).")
    ] = None,
    reference: Annotated[
        float | None, typer.Option("--reference", help="A known optimum to score against, in nats.")
    ] = None,
    evidence: Annotated[
        Path | None,
        typer.Option("--evidence", help="Labels that are given (UAI's .evid format)."),
    ] = None,
    as_json: Json = False,
    registry: RegistryFile = None,
) -> int:
    """Minimise a problem file and print energy, bound, gap, status and time per solver."""
    from groundstate.cli.solving import SolveOptions, solve_command

    return solve_command(
        SolveOptions(
            file=file,
            solvers=() if all_solvers else tuple(solver or ()),
            seconds=seconds,
            seed=seed,
            as_json=as_json,
            output=output,
            plot=plot,
            reference=reference,
            evidence=evidence,
            registry=registry,
        )
    )


@app.command()
def fit(
    pipeline: Annotated[str, typer.Argument(help="Name in registry.toml.")],
    assignments: Settings = None,
    seconds: Seconds = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder; a fit found there goes on. [default: runs/PIPELINE]"),
    ] = None,
    as_json: Json = False,
    registry: RegistryFile = None,
) -> int:
    """Learn a model; stops and resumes exactly."""
    from groundstate.cli.learning import FitOptions, fit_command

    return fit_command(
        FitOptions(
            pipeline=pipeline,
            values=settings(assignments),
            seconds=seconds,
            folder=out,
            as_json=as_json,
            registry=registry,
        )
    )


@app.command()
def sample(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run or a fit.")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many samples.")] = 4,
    generator: Annotated[
        str | None, typer.Option("--generator", help="Which; the first that fits otherwise.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the samples. [default: RUN-samples]")
    ] = None,
    as_json: Json = False,
    registry: RegistryFile = None,
) -> int:
    """Draw samples from the energy of a run, or from the model of a fit."""
    from groundstate.cli.learning import SampleOptions, sample_command

    return sample_command(
        SampleOptions(
            folder=folder,
            count=count,
            generator=generator,
            seed=seed,
            output=out,
            as_json=as_json,
            registry=registry,
        )
    )


@app.command()
def plugins(
    as_json: Json = False, registry: RegistryFile = None, no_plugins: NoPlugins = False
) -> None:
    """List the plugins and what is wrong with them. Imports nothing heavy."""
    from groundstate.cli.listing import open_registry, plugins_text

    print(plugins_text(open_registry(registry, plugins=not no_plugins), as_json=as_json))


@app.command()
def components(
    kind: Annotated[str | None, typer.Argument(help="energy, solver, ...")] = None,
    as_json: Json = False,
    registry: RegistryFile = None,
    no_plugins: NoPlugins = False,
) -> None:
    """List the components. Imports nothing heavy."""
    from groundstate.cli.listing import components_text, open_registry

    print(components_text(open_registry(registry, plugins=not no_plugins), kind, as_json=as_json))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="KIND/NAME of a component.")],
    deep: Annotated[bool, typer.Option("--deep", help="Import it, and show its settings.")] = False,
    as_json: Json = False,
    registry: RegistryFile = None,
) -> None:
    """Show one component: what it is, gives, needs and claims."""
    from groundstate.cli.looking import show_command

    show_command(name, deep=deep, as_json=as_json, registry=registry)


@app.command()
def explain(
    pipeline: Annotated[str, typer.Argument(help="Name in registry.toml.")],
    deep: Annotated[bool, typer.Option("--deep", help="Import, to list defaults too.")] = False,
    as_json: Json = False,
    registry: RegistryFile = None,
) -> None:
    """Print what each name of a pipeline resolves to, and why."""
    from groundstate.cli.looking import explain_command

    explain_command(pipeline, deep=deep, as_json=as_json, registry=registry)


@app.command()
def validate(
    deep: Annotated[bool, typer.Option("--deep", help="Import, to check settings too.")] = False,
    as_json: Json = False,
    registry: RegistryFile = None,
) -> int:
    """Report every fault of the registry files, with file, line and path."""
    from groundstate.cli.looking import validate_command

    return validate_command(deep=deep, as_json=as_json, registry=registry)


@app.command()
def doctor(as_json: Json = False, registry: RegistryFile = None) -> int:
    """Look for what is wrong with this installation, and say how to cure it."""
    from groundstate.cli.looking import doctor_command

    return doctor_command(as_json=as_json, registry=registry)


@app.command()
def check(
    plugin: Annotated[str, typer.Argument(help="Name of a plugin or its distribution.")],
    verbose: Annotated[bool, typer.Option("--verbose", help="Print every law.")] = False,
    as_json: Json = False,
    registry: RegistryFile = None,
) -> int:
    """Hold a plugin to the laws; prints how many ran, were skipped or failed as expected."""
    from groundstate.cli.checking import check_command

    return check_command(plugin, as_json=as_json, verbose=verbose, registry=registry)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the plugin, such as my-solver.")],
    folder: Annotated[Path, typer.Option("--in", help="Folder to make it in.")] = Path("."),
) -> None:
    """Write a plugin whose tests pass as generated."""
    from groundstate.cli.console import out as console
    from groundstate.scaffold import create

    for path in create(name, folder):
        console.print(str(path), highlight=False)
