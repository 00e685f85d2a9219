"""An RTSP server on a free port of loopback, which it prints: /camera sends a moving test picture, /record writes what it is sent
to the file that is named, and prints a line when that is whole (gir1.2-gst-rtsp-server-1.0)."""
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer

Gst.init(None)
server = GstRtspServer.RTSPServer(address="127.0.0.1", service="0")
camera = GstRtspServer.RTSPMediaFactory(shared=True)
camera.set_launch(
    "( videotestsrc is-live=true pattern=ball background-color=0xff404040 ! video/x-raw,width=320,height=240,framerate=25/1"
    " ! x264enc tune=zerolatency key-int-max=10 ! rtph264pay name=pay0 )"
)
record = GstRtspServer.RTSPMediaFactory(transport_mode=GstRtspServer.RTSPTransportMode.RECORD)
record.set_launch(f"( rtph264depay name=depay0 ! h264parse ! mpegtsmux ! filesink location={sys.argv[1]} )")
record.connect("media-configure", lambda _, media: media.connect("unprepared", lambda _: print("recorded", flush=True)))
server.get_mount_points().add_factory("/camera", camera)
server.get_mount_points().add_factory("/record", record)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
