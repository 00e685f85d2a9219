"""Reads frames, masks and facts together (python3-gi, gir1.2-gstreamer-1.0).

    GST_PLUGIN_PATH=target/release python3 pipelines/examples/objects.py holiday.mp4

One line a frame: when it is shown, its size, the share of the object by the facts and by the mask, and how bright the frame is
inside and outside of it. `objects.rs` and `objects.c` print the same.
"""
import pathlib
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst

# Frames by one branch, masks by the other, each with a queue: the element sends both of a frame before the next.
PIPELINE = """uridecodebin name=file ! videoconvert ! video/x-raw,format=GRAY8 ! factorseg name=segment overlay=none
    mask_0::format=foreground-hard segment.src ! queue ! appsink name=frames sync=false
    segment.mask_0 ! queue ! appsink name=masks sync=false"""


def pixels(sample):
    """Width, height, and the bytes of a picture in GRAY8 without what lies behind each row."""
    _, width = sample.get_caps().get_structure(0).get_int("width")
    _, height = sample.get_caps().get_structure(0).get_int("height")
    buffer = sample.get_buffer()
    data = buffer.extract_dup(0, buffer.get_size())
    stride = len(data) // height
    return width, height, b"".join(data[row * stride : row * stride + width] for row in range(height))


def share_of_object(buffer):
    """The share of the picture that the object takes, by the facts on the buffer."""
    facts = buffer.get_custom_meta("factorseg").get_structure()
    # The array has to live for as long as what is read from it.
    _, array = facts.get_array("regions")
    regions = [array.get_nth(i) for i in range(array.n_values)]
    return sum(region.get_double("area").value for region in regions if region.get_boolean("foreground").value)


def mean(values):
    return sum(values) / max(len(values), 1)


def describe(index, frame, mask):
    buffer = frame.get_buffer()
    assert buffer.pts == mask.get_buffer().pts, f"frame and mask {index} are of different times"
    width, height, luma = pixels(frame)
    _, _, labels = pixels(mask)
    inside = [value for value, label in zip(luma, labels) if label == 255]
    outside = [value for value, label in zip(luma, labels) if label != 255]
    return (
        f"{index}: {buffer.pts / Gst.SECOND:.3f} s, {width}x{height}, object {share_of_object(buffer):.3f} of the picture, "
        f"{len(inside)} pixels, luma {mean(inside):.1f} inside, {mean(outside):.1f} outside"
    )


def following(sink, bus):
    """The next sample, None at the end of the stream. Where the pipeline fails no more come, so the bus is looked at, too."""
    while not sink.get_property("eos"):
        if sample := sink.emit("try-pull-sample", Gst.SECOND // 10):
            return sample
        if message := bus.pop_filtered(Gst.MessageType.ERROR):
            raise SystemExit(message.parse_error()[0].message)
    return None


def main():
    Gst.init(None)
    pipeline = Gst.parse_launch(PIPELINE)
    pipeline.get_by_name("file").set_property("uri", pathlib.Path(sys.argv[1]).resolve().as_uri())
    frames, masks = pipeline.get_by_name("frames"), pipeline.get_by_name("masks")
    bus = pipeline.get_bus()
    pipeline.set_state(Gst.State.PLAYING)
    index = 0
    try:
        while (frame := following(frames, bus)) and (mask := following(masks, bus)):
            print(describe(index, frame, mask))
            index += 1
    finally:
        pipeline.set_state(Gst.State.NULL)


main()
