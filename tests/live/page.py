"""Opens the page of `factorseg-pipeline live` in a headless Chromium: plays it, changes it, clicks on it, and says how late it is.

    page.py PROGRAM SCREENSHOTS      the program, and a folder for pictures of the page

Once by HLS, in a browser that has no WebRTC; and once by WebRTC, where GStreamer has the element whepserversink.
"""

import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request

from chromium import Chromium

WIDTH, HEIGHT, RATE = 640, 360, 24

# Mean distance of the colours of the shown frame from grey, and the middle of what is bright in it.
LOOK = """(() => {
  // A player that begins again has no frame yet.
  if (!video.videoWidth) return { colour: NaN, x: NaN, y: NaN, time: NaN };
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  const picture = canvas.getContext("2d");
  const time = seen();
  picture.drawImage(video, 0, 0);
  const bytes = picture.getImageData(0, 0, canvas.width, canvas.height).data;
  let colour = 0, count = 0, x = 0, y = 0;
  for (let i = 0; i < bytes.length; i += 4) {
    colour += Math.max(bytes[i], bytes[i + 1], bytes[i + 2]) - Math.min(bytes[i], bytes[i + 1], bytes[i + 2]);
    if (bytes[i + 1] > 128) { count += 1; x += i / 4 % canvas.width; y += Math.floor(i / 4 / canvas.width); }
  }
  return { colour: colour / (bytes.length / 4), x: x / count, y: y / count, time };
})()"""


def ball(time):
    """Where the middle of the test picture's ball is at a running time: videotestsrc's own formula."""
    place = lambda size, speed: 20 + (0.5 + 0.5 * math.sin(2 * math.pi * speed * time * RATE / 200)) * (size - 40)
    return place(WIDTH, 1), place(HEIGHT, math.sqrt(2))


def seconds_off(look):
    """By how much the frame that is seen is another than the page believes."""
    wrong = lambda off: math.dist(ball(look["time"] + off), (look["x"], look["y"]))
    return min((off / 100 for off in range(-300, 301)), key=lambda off: (wrong(off) // 4, abs(off)))


def control(page, name, value):
    page.value(f"""(() => {{
      const input = document.getElementById({json.dumps(name)});
      if (input.type === "checkbox") input.checked = {json.dumps(value)}; else input.value = {json.dumps(value)};
      input.dispatchEvent(new Event("input")); input.dispatchEvent(new Event("change"));
    }})()""")


def look(program, screenshots, way):
    picture = lambda name: os.path.join(screenshots, f"{way.lower()}-{name}.png")
    source = ["--in", "test", "--size", f"{WIDTH}x{HEIGHT}", "--frame-rate", str(RATE)]
    server = subprocess.Popen(
        [program, "live", *source, "--listen", "127.0.0.1:0", "overlay=tint"], stdout=subprocess.PIPE, text=True
    )
    try:
        url = server.stdout.readline().removeprefix("page: ").strip()
        print(f"by {way}; the program says:", server.stdout.readline().strip())
        state = lambda: json.load(urllib.request.urlopen(url + "state"))
        shown = lambda name: next(about["value"] for about in state()["controls"] if about["name"] == name)
        with Chromium(1280, 860) as page:
            if way == "HLS":
                page.call("Page.addScriptToEvaluateOnNewDocument", source="delete window.RTCPeerConnection;")
            page.open(url)
            opened = time.monotonic()
            page.until("typeof way !== 'undefined' && video.currentTime > 0 && seen() !== null")
            print(f"plays {time.monotonic() - opened:.1f} s after it was opened")
            told = page.value("[way, element('transport').textContent]")
            missing = state()["no_webrtc"]
            because = f"For WebRTC: {missing}" if missing else "WebRTC failed: RTCPeerConnection is not defined"
            assert told == (["HLS", f"By HLS, seconds late. {because}"] if way == "HLS" else ["WebRTC", ""]), told
            assert page.value("[video.videoWidth, video.videoHeight]") == [WIDTH, HEIGHT]
            page.until("video.currentTime > 6")
            before = page.value("video.currentTime")
            time.sleep(3)
            played = page.value("video.currentTime") - before
            print(f"{played:.1f} s of video in 3 s")
            assert played > 1.5, "it stalls"
            page.until(f"({LOOK}).colour > 5")
            page.screenshot(picture("page"))

            control(page, "overlay", "none")
            page.until(f"({LOOK}).colour < 1")
            assert shown("overlay") == "none"
            looks = [page.value(LOOK) for _ in range(5) if not time.sleep(0.3)]
            looks = [look for look in looks if look["time"] is not None]
            off = [seconds_off(look) for look in looks]
            print("the frame that is seen is", ", ".join(f"{1000 * value:+.0f}" for value in off), "ms from what the page believes")
            assert all(abs(value) < 0.25 for value in off), looks
            delays = []
            for _ in range(10):
                time.sleep(0.5)
                # What the page shows is asked for between two looks at the clock.
                before, frame, after = state()["now"], page.value("seen()"), state()["now"]
                delays.append((before + after) / 2 - frame)
            print(f"from glass to page {statistics.median(delays):.2f} s, {min(delays):.2f} to {max(delays):.2f} s")

            control(page, "overlay", "tint")
            place = page.value("(() => { const b = video.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()")
            page.click(*place)
            page.until("/^Region [0-9]+ is the object/.test(document.getElementById('said').textContent)")
            region = page.value("document.getElementById('said').textContent.split(' ')[1]")
            assert shown("foreground-regions") == region, region
            print("clicked on region", region)
            page.screenshot(picture("clicked"))

            control(page, "foreground-regions", "9")
            page.until("document.getElementById('said').className === 'bad'")
            print("a bad value:", page.value("document.getElementById('said').textContent"))
            control(page, "foreground-regions", "auto")

            metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
            page.call("Emulation.setDeviceMetricsOverride", **metrics)
            assert page.value("document.documentElement.scrollWidth") <= 390, "wider than a telephone"
            time.sleep(1)
            page.screenshot(picture("phone"))
            page.call("Emulation.clearDeviceMetricsOverride")

            broken = [event["params"] for event in page.events if event.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded")]
            assert not broken, broken
            server.send_signal(signal.SIGINT)
            asked = time.monotonic()
            assert server.wait(15) == 0, server.returncode
            print(f"ended {time.monotonic() - asked:.1f} s after Ctrl-C")
            page.until("/does not answer/.test(document.getElementById('status').textContent)")
        print(server.stdout.read().strip())
    finally:
        server.kill()
        server.wait()


def main(program, screenshots):
    look(program, screenshots, "HLS")
    if subprocess.run(["gst-inspect-1.0", "whepserversink"], stdout=subprocess.DEVNULL).returncode:
        print("SKIPPED: WebRTC, as GStreamer has no element whepserversink; docs/pipelines.md says how to build it", file=sys.stderr)
        return
    look(program, screenshots, "WebRTC")


if __name__ == "__main__":
    main(*sys.argv[1:])
