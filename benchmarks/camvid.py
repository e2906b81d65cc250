"""Gaussian CRFs learned on CamVid: mean IoU of each structure beside its own unary network.

    GROUNDSTATE_DATA=... python benchmarks/camvid.py [--quick] [--json [PATH]] [--fresh]

Per seed, one small network learns unary scores from 85 % of the training frames. Each structured
row starts from that network: "frozen" learns the pairwise terms alone, on the other 15 %; "joint"
goes on end to end, on all training frames. "unary, longer" has as many more steps on all frames.
Scores are mean IoU on all validation frames at 240 × 180, 11 classes, label 11 left out. A kill
loses at most some seconds: run it again. Progress goes to stderr.
"""

# pyright: basic

import argparse
import json
import platform
import statistics
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from camvid_report import write_report

from groundstate.fitting import fit
from groundstate_gcrf.energies.video import average_windows, window_starts
from groundstate_labelling.camvid import (
    CLASSES,
    IGNORE,
    CamvidDataset,
    Frames,
    read_frames,
    stretches,
)
from groundstate_labelling.cross_entropy import SoftmaxCrossEntropy, enlarge, minimiser
from groundstate_labelling.dense_labelling import DenseLabelling, Structure
from groundstate_labelling.mean_iou import class_iou, confusion
from groundstate_labelling.three_phase import ThreePhase

RESULTS = Path(__file__).parent / "results" / "camvid"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One structure.

    Attributes:
        name: in tables.
        structure: of the model.
        frames: in a clip.
        form: of the Potts terms.
        joint: whether it is learned end to end, too.
    """

    name: str
    structure: Structure
    frames: int = 1
    form: str = "smoothing"
    joint: bool = True


ROWS = (
    Row(name="sparse Potts", structure="sparse-potts"),
    Row(name="dense Potts", structure="dense-potts"),
    Row(name="dense, then sparse Potts", structure="dense-potts-sparse-potts"),
    Row(name="the same with 2 frames", structure="video-potts-sparse-potts", frames=2),
    Row(name="the same with 3 frames", structure="video-potts-sparse-potts", frames=3),
    Row(
        name="sparse Potts, the thesis' form", structure="sparse-potts", form="thesis", joint=False
    ),
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is done.

    Attributes:
        seeds: one network each.
        unary, frozen, joint: steps.
        every: 1 scores all validation frames, n each n-th.
        name: of the folder of results.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    unary: int = 2000
    frozen: int = 200
    joint: int = 300
    every: int = 1
    name: str = "full"


QUICK = Plan(seeds=(0,), unary=60, frozen=10, joint=10, every=10, name="quick")


@dataclass(frozen=True, kw_only=True)
class Score:
    """One network on the validation frames.

    Attributes:
        row: the structure's name.
        training: "frozen" or "joint".
        seed: of the network.
        mean: IoU.
        classes: IoU of each.
        seconds: of training, in all sittings.
    """

    row: str
    training: str
    seed: int
    mean: float
    classes: list[float]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The data, and where everything runs."""

    plan: Plan
    taught: Frames
    held: Frames
    device: torch.device

    def scores(self) -> list[Score]:
        """All rows of all seeds; those of earlier runs are read."""
        found: list[Score] = []
        for seed in self.plan.seeds:
            found += self.of_seed(seed)
        return found

    def of_seed(self, seed: int) -> list[Score]:
        plan = self.plan
        found = [self.row(Row(name="unary", structure="unary"), "frozen", seed, plan.unary, None)]
        start = self.folder("unary", "frozen", seed)
        longer = Row(name="unary, longer", structure="unary")
        found.append(self.row(longer, "joint", seed, plan.frozen + plan.joint, start))
        for row in ROWS:
            found.append(self.row(row, "frozen", seed, plan.frozen, start))
            if row.joint:
                own = self.folder(row.name, "frozen", seed)
                found.append(self.row(row, "joint", seed, plan.joint, own))
        return found

    def folder(self, name: str, training: str, seed: int) -> Path:
        words = "".join(c if c.isalnum() else "-" for c in name)
        return RESULTS / self.plan.name / f"seed-{seed}" / f"{words}-{training}"

    def row(self, row: Row, training: str, seed: int, steps: int, start: Path | None) -> Score:
        """Train, where that is not done yet, and score, where that is not."""
        folder = self.folder(row.name, training, seed)
        done = folder / "score.json"
        if done.exists():
            return Score(**json.loads(done.read_text()))
        model = self.model(row, seed, start)
        phase = 0 if start is None else (1 if training == "frozen" else 2)
        lengths = tuple(steps if k == phase else 0 for k in range(3))
        learner = ThreePhase(loss=self.loss(), steps=lengths)  # type: ignore[arg-type]
        data = CamvidDataset(
            frames=row.frames,
            size=8 if row.frames == 1 else 4 * row.frames,
            apart_from=(steps, 0, None)[phase],
            seed=10 * seed + phase,
        )
        source = data.source(self.taught)
        began = time.perf_counter()
        learned = fit(
            learner,
            model,
            lambda step: {k: v.to(self.device) for k, v in source(step).items()},
            steps=steps,
            seed=seed,
            evaluate_every=50,
            folder=folder,
            on_record=lambda r: self.tell(row, training, seed, r.step, steps, r.loss),
        )
        counts, pictures = self.measure(cast(DenseLabelling, learned.state.model), row)
        score = Score(
            row=row.name,
            training=training,
            seed=seed,
            mean=float(class_iou(counts).nanmean()),
            classes=class_iou(counts).tolist(),
            seconds=learned.seconds,
        )
        torch.save(pictures, folder / "labels.pt")
        done.write_text(json.dumps(asdict(score)))
        (folder / "best.pt").unlink(missing_ok=True)  # nothing was held out to choose it by
        spent = time.perf_counter() - began
        say(f"seed {seed}, {row.name}, {training}: {100 * score.mean:.2f} ({spent:.0f} s)")
        return score

    def model(self, row: Row, seed: int, start: Path | None) -> DenseLabelling:
        torch.manual_seed(seed)
        model = DenseLabelling(structure=row.structure, form=row.form)  # type: ignore[arg-type]
        if start is not None:
            saved = torch.load(start / "last.pt", weights_only=False)["learner"]["model"]
            model.load_state_dict({**model.state_dict(), **saved})
        to: Any = model.to  # its declaration leaves memory_format out
        return to(self.device, memory_format=torch.channels_last)

    def loss(self) -> SoftmaxCrossEntropy:
        """Rare classes count more, by the square root of how rare they are."""
        counts = torch.bincount(self.taught.labels.flatten().long(), minlength=12)[:11].double()
        weights = (counts.sum() / counts).sqrt()
        weights = weights * counts.sum() / (weights * counts).sum()
        return SoftmaxCrossEntropy(weights=tuple(weights.tolist()), stride=2)

    def measure(self, model: DenseLabelling, row: Row) -> tuple[torch.Tensor, torch.Tensor]:
        """Confusion over the validation frames, and the labels of some of them."""
        model.eval()
        chosen = range(0, len(self.held.names), self.plan.every)
        counts = torch.zeros(11, 11, dtype=torch.int64)
        shown: list[torch.Tensor] = []
        for first in range(0, len(self.held.names), 10):
            part = range(first, min(first + 10, len(self.held.names)))
            wanted = [k for k in part if k in chosen]
            if not wanted:
                continue
            labels = self.predict(model, row, wanted)
            truth = self.held.labels[wanted]
            counts += confusion(labels, truth, 11, IGNORE)
            if first % 20 == 0:
                shown.append(labels[0].to(torch.uint8))
        return counts, torch.stack(shown)

    def predict(self, model: DenseLabelling, row: Row, wanted: list[int]) -> torch.Tensor:
        """The labels of frames; those of clips are means over all clips a frame is in."""
        size = (self.held.labels.shape[-2], self.held.labels.shape[-1])
        with torch.no_grad():
            if row.frames == 1:
                images = self.held.images[wanted].float().to(self.device) / 255
                scores = minimiser(model({"image": images}))
            else:
                scores = torch.stack([self.around(model, row, k) for k in wanted])
            return enlarge(scores, size).argmax(-3).cpu()

    def around(self, model: DenseLabelling, row: Row, frame: int) -> torch.Tensor:
        reach = row.frames - 1
        run = next(each for each in stretches(self.held.names) if frame in each)
        low, high = max(frame - reach, run.start), min(frame + reach, run.stop - 1)
        count = high - low + 1
        starts = window_starts(count, row.frames)
        clips = torch.stack([self.held.images[low + s : low + s + row.frames] for s in starts])
        scores = minimiser(model({"image": clips.float().to(self.device) / 255}))
        return average_windows(list(scores), starts, count)[frame - low]

    def tell(self, row: Row, training: str, seed: int, step: int, steps: int, loss: float) -> None:
        if step % 200 == 0:
            say(f"seed {seed}, {row.name}, {training}: step {step} of {steps}, loss {loss:.3f}")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def summary(scores: list[Score]) -> list[dict[str, Any]]:
    """Each row's mean and spread over seeds, and its differences within each seed, in points."""
    rows: list[dict[str, Any]] = []
    for name, training in dict.fromkeys((s.row, s.training) for s in scores):
        group = [s for s in scores if (s.row, s.training) == (name, training)]
        values = [100 * s.mean for s in group]

        def differences(other: str, kind: str, group: list[Score] = group) -> list[float] | None:
            base = {s.seed: s.mean for s in scores if (s.row, s.training) == (other, kind)}
            return [100 * (s.mean - base[s.seed]) for s in group] if base else None

        longer = differences("unary, longer", "joint") if training == "joint" else None
        rows.append(
            {
                "row": name,
                "training": training,
                "mean": statistics.mean(values),
                "spread": statistics.stdev(values) if len(values) > 1 else 0.0,
                "minus unary": differences("unary", "frozen"),
                "minus unary, longer": longer,
                "minus frozen": differences(name, "frozen") if training == "joint" else None,
                "classes": {
                    label: statistics.mean(100 * s.classes[k] for s in group)
                    for k, label in enumerate(CLASSES)
                },
                "seconds": statistics.mean(s.seconds for s in group),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one seed, a few steps: a minute")
    parser.add_argument("--json", nargs="?", const="-", help="JSON to PATH, or instead of tables")
    parser.add_argument("--fresh", action="store_true", help="forget the results of earlier runs")
    parser.add_argument("--seeds", nargs="+", type=int)
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else Plan()
    if arguments.seeds:
        plan = replace(plan, seeds=tuple(arguments.seeds))
    if arguments.fresh:
        for file in (RESULTS / plan.name).glob("seed-*/*/*"):
            file.unlink()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        taught, held = read_frames(None, "train"), read_frames(None, "val")
    except ValueError as error:
        parser.error(str(error))
    bench = Bench(plan=plan, taught=taught, held=held, device=device)
    scores = bench.scores()
    rows = summary(scores)
    machine = {
        "processor": platform.processor() or platform.machine(),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    found = {"machine": machine, "plan": asdict(plan), "rows": rows}
    found["scores"] = [asdict(score) for score in scores]
    text = json.dumps(found, indent=1)
    table = write_report(RESULTS / plan.name, rows, bench)
    if arguments.json not in (None, "-"):
        Path(arguments.json).write_text(text)
    print(text if arguments.json == "-" else table)


if __name__ == "__main__":
    main()
