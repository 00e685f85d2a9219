"""An RTSP server on a free port of loopback, which it prints: /camera sends a moving test picture, /silent one frame of it, /record writes what it is sent
to the file that is named, and prints a line when its first frames are there, and when it is whole (gir1.2-gst-rtsp-server-1.0)."""
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer

Gst.init(None)
server = GstRtspServer.RTSPServer(address="127.0.0.1", service="0")


def camera(path, settings):
    factory = GstRtspServer.RTSPMediaFactory(shared=True)
    factory.set_launch(
        f"( videotestsrc is-live=true pattern=ball background-color=0xff404040 {settings}"
        " ! video/x-raw,width=320,height=240,framerate=25/1 ! x264enc tune=zerolatency key-int-max=10 ! rtph264pay name=pay0 )"
    )
    server.get_mount_points().add_factory(path, factory)
    return factory


def without_end(factory, media):
    def on_event(pad, info):
        is_end = info.get_event().type == Gst.EventType.EOS
        return Gst.PadProbeReturn.DROP if is_end else Gst.PadProbeReturn.OK

    pad = media.get_element().get_by_name("pay0").get_static_pad("sink")
    pad.add_probe(Gst.PadProbeType.EVENT_DOWNSTREAM, on_event)


camera("/camera", "")
camera("/silent", "num-buffers=1").connect("media-configure", without_end)
record = GstRtspServer.RTSPMediaFactory(transport_mode=GstRtspServer.RTSPTransportMode.RECORD)
record.set_launch(f"( rtph264depay name=depay0 ! h264parse ! mpegtsmux ! filesink location={sys.argv[1]} )")


def on_media(factory, media):
    frames = 0

    def on_frame(pad, info):
        nonlocal frames
        frames += 1
        if frames == 10:
            print("recording", flush=True)
        return Gst.PadProbeReturn.OK

    media.get_element().get_by_name("depay0").get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, on_frame)
    media.connect("unprepared", lambda _: print("recorded", flush=True))


record.connect("media-configure", on_media)
server.get_mount_points().add_factory("/record", record)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
