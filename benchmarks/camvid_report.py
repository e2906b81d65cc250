"""Tables and pictures of `benchmarks/camvid.py`: a page `report.md` beside the results."""

# pyright: basic

from pathlib import Path
from typing import Any

import torch
from PIL import Image

from groundstate.energy import view
from groundstate_labelling.affinity import affinity_map, heat, sorted_gram
from groundstate_labelling.camvid import CLASSES, IGNORE, paint
from groundstate_labelling.embedded import Embeddings
from groundstate_labelling.pairwise_embedding import at_patches


def write_report(folder: Path, rows: list[dict[str, Any]], bench: Any) -> str:
    """Write `report.md` and its pictures; gives the tables."""
    tables = table(rows) + "\n" + class_table(rows)
    pictures = draw(folder, rows, bench)
    lines = [f"![{title}]({path.name})\n\n{title}\n" for title, path in pictures.items()]
    (folder / "report.md").write_text("# CamVid\n\n" + tables + "\n" + "\n".join(lines))
    return f"{tables}\nPictures: {folder / 'report.md'}"


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| row | training | mean IoU | spread | minus unary, by seed | minus unary, longer "
        "| minus frozen | training s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        differences = (row["minus unary"], row["minus unary, longer"], row["minus frozen"])
        told = " | ".join(" ".join(f"{d:+.2f}" for d in each or ()) for each in differences)
        lines.append(
            f"| {row['row']} | {row['training']} | {row['mean']:.2f} | {row['spread']:.2f} "
            f"| {told} | {row['seconds']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def class_table(rows: list[dict[str, Any]]) -> str:
    lines = ["| row | training | " + " | ".join(CLASSES) + " |", "|" + "---|" * (2 + len(CLASSES))]
    for row in rows:
        values = " | ".join(f"{row['classes'][name]:.1f}" for name in CLASSES)
        lines.append(f"| {row['row']} | {row['training']} | {values} |")
    return "\n".join(lines) + "\n"


def draw(folder: Path, rows: list[dict[str, Any]], bench: Any) -> dict[str, Path]:
    """Pictures of the first seed: every row on some frames, and what embeddings couple."""
    seed = bench.plan.seeds[0]
    frames = list(range(0, len(bench.held.names), 20))
    unlabelled = (bench.held.labels == IGNORE)[frames]
    strips = [
        ("input", bench.held.images[frames].permute(0, 2, 3, 1)),
        ("truth", torch.stack([paint(bench.held.labels[k]) for k in frames])),
    ]
    for row in rows:
        file = bench.folder(row["row"], row["training"], seed) / "labels.pt"
        labels = torch.load(file).masked_fill(unlabelled, IGNORE)
        strips.append((f"{row['row']}, {row['training']}", torch.stack([paint(x) for x in labels])))
    sheet = torch.cat([torch.cat(list(pictures), dim=0) for _, pictures in strips], dim=1)
    titles = "; ".join(title for title, _ in strips)
    found = {f"Columns: {titles}": save(sheet, folder / "rows.png")}
    return {**found, **affinities(folder, bench, seed)}


def affinities(folder: Path, bench: Any, seed: int) -> dict[str, Path]:
    """What the embeddings of dense Potts couple with a pixel of the road and one of the sky."""
    from camvid import ROWS

    dense = next(row for row in ROWS if row.structure == "dense-potts")
    model = bench.model(dense, seed, bench.folder(dense.name, "joint", seed)).eval()
    image = bench.held.images[:1].float() / 255
    with torch.no_grad():
        energy = model({"image": image.to(bench.device)})
    embeddings = view(energy, Embeddings).spatial[0].cpu()
    size = (embeddings.shape[-2], embeddings.shape[-1])
    labels = at_patches(bench.held.labels[0], size)
    maps = []
    for label in (CLASSES.index("sky"), CLASSES.index("road"), CLASSES.index("car")):
        places = (labels == label).nonzero()
        if len(places):
            row, column = (int(k) for k in places[len(places) // 2])
            values = affinity_map(embeddings, (row, column), label, (label + 1) % len(CLASSES))
            maps.append(heat(values, reference=(row, column)))
    gram, _ = sorted_gram(embeddings[:, ::2, ::2], labels[::2, ::2])
    return {
        "What a pixel (black) of sky, road, car is coupled with by dense Potts terms": save(
            torch.cat(maps, dim=1).repeat_interleave(4, 0).repeat_interleave(4, 1),
            folder / "affinity.png",
        ),
        "Gram matrix of the embeddings, pixels sorted by label": save(
            heat(gram), folder / "gram.png"
        ),
    }


def save(picture: torch.Tensor, path: Path) -> Path:
    Image.fromarray(picture.contiguous().numpy()).save(path)
    return path
