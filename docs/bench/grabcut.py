"""GrabCut (OpenCV) from a centred box on data sets with images/ and masks/, by the protocol of `factorseg evaluate still`.

    docs/bench/grabcut.py seg_64/weizmann_horse seg_64/ecssd

Needs numpy and OpenCV (Debian: python3-opencv; PyPI: opencv-python-headless). The box (sides in steps of an eighth) is
fitted on every fifth image by the mean IoU of both classes, with every fourth of these to keep it quick; the other images
are scored.
"""
import pathlib
import sys

import cv2
import numpy as np

ROUNDS = 5


def read(folder):
    for picture in sorted((folder / "images").iterdir(), key=lambda path: path.stem):
        mask = cv2.imread(str(folder / "masks" / (picture.stem + ".png")), cv2.IMREAD_GRAYSCALE)
        yield cv2.imread(str(picture)), mask >= 192, (mask >= 64) & (mask < 192)


def grabcut(picture, box):
    height, width = picture.shape[:2]
    w, h = (max(2, min(round(part * side), side - 2)) for part, side in zip(box, (width, height)))
    labels = np.zeros((height, width), np.uint8)
    cv2.setRNGSeed(0)
    try:
        cv2.grabCut(picture, labels, ((width - w) // 2, (height - h) // 2, w, h), np.zeros((1, 65)), np.zeros((1, 65)),
                    ROUNDS, cv2.GC_INIT_WITH_RECT)
    except cv2.error:  # One of the two colour models got no pixel.
        return np.zeros((height, width), bool)
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def scores(predicted, truth, ignored):
    p, t = predicted[~ignored], truth[~ignored]
    iou = lambda a, b: (a & b).sum() / (a | b).sum() if (a | b).any() else 1.0
    return np.array([(p == t).mean(), iou(p, t), (iou(p, t) + iou(~p, ~t)) / 2])


for folder in map(pathlib.Path, sys.argv[1:]):
    images = list(read(folder))
    fit, test = images[::20], [image for index, image in enumerate(images) if index % 5]
    mean = lambda box, some: np.mean([scores(grabcut(picture, box), *truth) for picture, *truth in some], axis=0)
    sides = np.arange(4, 8) / 8
    box = max(((w, h) for w in sides for h in sides), key=lambda box: mean(box, fit)[2])
    accuracy, iou, mean_iou = mean(box, test)
    print(f"{folder.name}: {len(test)} images, box {box[0]:.3f}x{box[1]:.3f} of the picture: "
          f"IoU {iou:.3f}  accuracy {accuracy:.3f}  mean IoU {mean_iou:.3f}", flush=True)
