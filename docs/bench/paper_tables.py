"""Puts the results of scripts/paper.sh into the tables of docs/paper.md, between their markers.

    python3 paper_tables.py PAGE RESULTS SCALE STEPS

Needs nothing but Python.
"""

import json
import re
import sys
from pathlib import Path

PAPER = {
    "table1": ("90.1", "79.7", "87.2"),
    "table2": ("89.6", "56.1", "69.4"),
    "table3": {"supervised": ("95.7", "90.2"), "ddpm": ("78.5", "69.3"), "ours": ("87.9", "80.3")},
    "table4": {"supervised": ("85.7", "74.1"), "ddpm": ("74.1", "60.4"), "ours": ("80.7", "67.7")},
    "table6": {
        "concatenated": ("20.7", "14.21"),
        "masked-middle": ("20.2", "14.33"),
        "unshared": ("50.5", "17.21"),
        "second": ("56.1", "10.28"),
    },
}
NAMES = {
    "supervised": "supervised U-Net",
    "ddpm": "DatasetDDPM, unsupervised (`--clusters 3`)",
    "ours": "ours",
    "objects": "`objects` ([competition](recipes.md#competition) on other pictures)",
    "concatenated": "concatenated (`--decoding concatenated`)",
    "masked-middle": "masked h_mid (`--decoding masked-middle`)",
    "unshared": "without shared weights (`--decoding unshared`)",
    "second": "ours",
}


FIGURES = {
    7: "horses: each with its regions and its soft masks",
    8: "pets, likewise",
    11: "of a class: goldfish, monarch, orange, school bus",
    9: "faces (`--branches`): each region's mask, and what its branch alone predicts",
    10: "faces (`--trajectory`): the way from noise, and the regions on it",
    12: "`factorseg interpolate` between two generated faces, at t = 250",
}


def percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def still(scores: dict) -> list[str]:
    return [percent(scores[key]) for key in ("accuracy", "iou", "dice")]


def blind(report: dict) -> dict:
    """What never looks at the picture, at its best."""
    return report.get("same_map") or max(
        (line["scores"] for line in report["baselines"][:3]), key=lambda scores: scores["mean_iou"]
    )


def foreground(number: int, read) -> str:
    report = read("table1" if number == 1 else "table6-second")
    rows = [
        ["ours", *still(report["model"]), *PAPER[f"table{number}"]],
        [NAMES["objects"], *still(read(f"table{number}-objects")["model"]), "", "", ""],
        ["mean mask of ours, the same for every picture", *still(report["model_mean_mask"]), "", "", ""],
        ["best mask without a look at the picture", *still(blind(report)), "", "", ""],
    ]
    return table(["", "Acc.", "IoU", "DICE", "paper: Acc.", "IoU", "DICE"], rows)


def compared(number: int, read) -> str:
    rows = []
    names = ["supervised", "ddpm", "ours"] + ["objects"] * (number == 4)
    for name in names:
        scores = read(f"table{number}-{name}")["model"]
        both = [percent(scores["accuracy"]), percent(scores["mean_iou"])]
        rows.append([NAMES[name], *both, *PAPER[f"table{number}"].get(name, ("", ""))])
    same = blind(read(f"table{number}-ours"))
    rows.append(["best map without a look at the picture", percent(same["accuracy"]), percent(same["mean_iou"]), "", ""])
    return table(["", "Acc.", "mIoU", "paper: Acc.", "mIoU"], rows)


def fid(report: dict) -> str:
    return f"{report['fid']:.2f}" if "fid" in report else "not computed"


def generation(read) -> str:
    rows = []
    for what, ours, ddpm in (("Table 1's", "first", "ddpm1"), ("Table 2's", "second", "ddpm2"), ("faces", "faces", "ddpm3")):
        for name, kind in ((ddpm, "DDPM"), (ours, "ours")):
            report = read(f"table5-{name}")
            scores = [percent(report["consistency"][key]["accuracy"]) for key in ("generated", "same_map", "one_class")]
            rows.append([what, kind, fid(report), *scores])
    header = ["set", "", "FID", "Acc. of its masks", "of the best map that is the same for all", "of the most frequent class"]
    return table(header, rows)


def ablations(read) -> str:
    rows = []
    for name in ("concatenated", "masked-middle", "unshared", "second"):
        report = read(f"table6-{name}")
        try:
            drawn = read("table5-second" if name == "second" else f"table6-fid-{name}")
        except FileNotFoundError:
            drawn = {}
        figures = [percent(report["model"]["iou"]), percent(report["model_mean_mask"]["iou"])]
        positional = report["masks"]["positional"]
        figures += ["" if positional is None else f"{positional:.2f}", fid(drawn)]
        rows.append([NAMES[name], *figures, *PAPER["table6"][name]])
    return table(["", "IoU", "of its mean mask", "positional", "FID", "paper: IoU", "FID"], rows)


def pictures(folder: Path) -> str:
    rows = []
    for number, what in FIGURES.items():
        picture = f"images/paper/figure{number}.png"
        (folder / picture).stat()
        rows.append([f"Figure {number}, {what}", f"![{what}]({picture})"])
    return table(["", ""], rows)


def main() -> None:
    page, results, scale, steps = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]

    def read(name: str) -> dict:
        return json.loads((results / f"{name}.json").read_text())

    small = {
        "smoke": " **That is only whether all of it runs: 16 pixels, 8 channels, 50 pictures of each set. Nothing is learned in so few steps.**",
    }
    makers = {
        "scale": lambda: f"Filled by `scripts/paper.sh DATA --scale {scale}`: {steps} steps a model.{small.get(scale, '')}",
        "pictures": lambda: pictures(page.parent),
        "table1": lambda: foreground(1, read),
        "table2": lambda: foreground(2, read),
        "table3": lambda: compared(3, read),
        "table4": lambda: compared(4, read),
        "table5": lambda: generation(read),
        "table6": lambda: ablations(read),
    }
    text = page.read_text()
    for name, make in makers.items():
        try:
            content = make()
        except FileNotFoundError as missing:
            print(f"{name} stays as it is: no {missing.filename}", file=sys.stderr)
            continue
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.S)
        assert len(pattern.findall(text)) == 1, f"{page} has no place for {name}"
        text = pattern.sub(lambda found: found[1] + content + "\n" + found[2], text)
    page.write_text(text)


if __name__ == "__main__":
    main()
