"""Reads what factorseg says of each frame's mask (python3-gi, gir1.2-gstreamer-1.0).

    GST_PLUGIN_PATH=target/release python3 read_meta.py
"""
import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst


def on_buffer(pad, info):
    meta = info.get_buffer().get_custom_meta("factorseg")
    if meta is None:
        print("no mask")
        return Gst.PadProbeReturn.OK
    facts = meta.get_structure()
    _, timestep = facts.get_uint("timestep")
    _, age = facts.get_uint64("mask-age")
    print(f"class {facts.get_string('class')}, timestep {timestep}, mask {age} ns old")
    _, regions = facts.get_array("regions")
    for i in range(regions.n_values):
        region = regions.get_nth(i)
        mark = " (foreground)" if region.get_boolean("foreground").value else ""
        # A region that wins nothing has no box.
        box = [region.get_double(name) for name in ("x", "y", "width", "height")]
        within = " within {:.2f},{:.2f} {:.2f}x{:.2f}".format(*(side.value for side in box)) if box[0][0] else ""
        print(f"region {region.get_uint('id').value}{mark} covers {100 * region.get_double('area').value:.1f} %{within}")
    return Gst.PadProbeReturn.OK


Gst.init(None)
pipeline = Gst.parse_launch("videotestsrc num-buffers=3 pattern=ball ! factorseg device=cpu ! fakesink name=sink")
pipeline.get_by_name("sink").get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, on_buffer)
pipeline.set_state(Gst.State.PLAYING)
message = pipeline.get_bus().timed_pop_filtered(Gst.CLOCK_TIME_NONE, Gst.MessageType.EOS | Gst.MessageType.ERROR)
pipeline.set_state(Gst.State.NULL)
raise SystemExit(message.type == Gst.MessageType.ERROR)
