//! What has no end: cameras, RTSP, HLS, screens, virtual cameras.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use factorseg_tests::{fail, gstreamer_tool, succeed};
use tempfile::TempDir;

use crate::support::{frames, launch, pipeline};

/// A program that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Plays to the end, with what `during`, which gets the number of the process and what it says, does to it: the exit code, and what
/// was said in the end.
fn play(command: &mut Command, during: impl FnOnce(u32, &mut dyn BufRead)) -> (Option<i32>, String) {
    let mut run = Running(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let mut said = BufReader::new(run.0.stderr.take().unwrap());
    during(run.0.id(), &mut said);
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    (run.0.wait().unwrap().code(), rest)
}

/// Plays until `begun`, which gets what the program says, returns; asks to stop, and waits for the end, which is that of an
/// interrupted program.
fn interrupt(command: &mut Command, begun: impl FnOnce(&mut dyn BufRead)) {
    let (code, rest) = play(command, |process, said| {
        begun(said);
        succeed(Command::new("kill").args(["-INT", &process.to_string()]));
    });
    assert_eq!(code, Some(130), "{rest}");
}

/// Waits for a line with these words, or fails at the end of all lines.
fn wait_for(said: &mut dyn BufRead, words: &str) {
    let mut line = String::new();
    while !line.contains(words) {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "nothing says `{words}`");
    }
}

/// Waits for the first line of progress.
fn first_frames(said: &mut dyn BufRead) {
    wait_for(said, " frames");
}

/// An RTSP server that writes what it is sent to `recorded`, its address, and what it says when that is whole.
fn server(recorded: &Path) -> (Running, String, BufReader<ChildStdout>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("rtsp/server.py");
    let mut server = Command::new("/usr/bin/python3");
    server.args(["-W", "ignore"]).arg(script).arg(recorded);
    let mut server = Running(server.stdout(Stdio::piped()).spawn().unwrap());
    let mut port = String::new();
    let mut said = BufReader::new(server.0.stdout.take().unwrap());
    said.read_line(&mut port).unwrap();
    assert!(
        !port.is_empty(),
        "no RTSP server; scripts/setup.sh installs it with TESTS=1"
    );
    (server, format!("rtsp://127.0.0.1:{}", port.trim()), said)
}

/// Frames that decode and hold a ball that is tinted: light, and more blue than red.
fn assert_tinted(folder: &Path, file: &str) {
    let frames = frames(folder, file);
    let is_tinted = |pixel: &image::Rgb<u8>| pixel[2] > 200 && pixel[2] > pixel[0] + 30;
    let tinted = frames
        .iter()
        .filter(|frame| frame.pixels().filter(|pixel| is_tinted(pixel)).count() > 50);
    assert!(
        tinted.count() > 0,
        "{file}: {} frames, none of them with a tint",
        frames.len()
    );
}

#[test]
fn a_stream_of_rtsp_becomes_a_playlist_of_hls() {
    let folder = TempDir::new().unwrap();
    let (_server, address, _) = server(&folder.path().join("recorded.ts"));
    interrupt(
        &mut pipeline(
            folder.path(),
            &format!("overlay --in {address}/camera --out index.m3u8"),
        ),
        first_frames,
    );
    let playlist = std::fs::read_to_string(folder.path().join("index.m3u8")).unwrap();
    assert!(
        playlist.starts_with("#EXTM3U") && playlist.contains("#EXT-X-ENDLIST"),
        "{playlist}"
    );
    let segments: Vec<&str> = playlist.lines().filter(|line| line.ends_with(".ts")).collect();
    assert!(!segments.is_empty(), "{playlist}");
    launch(
        folder.path(),
        &format!("filesrc location={} ! tsdemux ! h264parse ! fakesink", segments[0]),
    );
    // Read as a player would.
    let all: Vec<u8> = segments
        .iter()
        .flat_map(|name| std::fs::read(folder.path().join(name)).unwrap())
        .collect();
    std::fs::write(folder.path().join("all.ts"), all).unwrap();
    assert_tinted(folder.path(), "all.ts");
}

#[test]
fn a_stream_of_rtsp_goes_on_to_a_server() {
    let folder = TempDir::new().unwrap();
    let (_server, address, mut said) = server(&folder.path().join("recorded.ts"));
    let arguments = format!("overlay --in {address}/camera --out {address}/record");
    interrupt(&mut pipeline(folder.path(), &arguments), |_| {
        wait_for(&mut said, "recording")
    });
    wait_for(&mut said, "recorded");
    assert_tinted(folder.path(), "recorded.ts");

    let text = fail(&mut pipeline(
        folder.path(),
        &format!("overlay --in {address}/nothing --out out.mp4"),
    ));
    assert!(
        text.contains(&format!("cannot read {address}/nothing: Not found")),
        "{text}"
    );
    let text = fail(&mut pipeline(
        folder.path(),
        &format!("overlay --in clip --out {address}/nothing"),
    ));
    assert!(text.contains("output: Resource not found"), "{text}");
}

#[test]
fn what_was_recorded_of_a_camera_that_goes_away_is_whole() {
    let folder = TempDir::new().unwrap();
    let (mut server, address, _) = server(&folder.path().join("recorded.ts"));
    let arguments = format!("overlay --in {address}/camera --out out.mp4 --poster poster.png");
    let (code, said) = play(&mut pipeline(folder.path(), &arguments), |_, said| {
        first_frames(said);
        server.0.kill().unwrap();
    });
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the output ends after ") && said.contains(&format!("cannot read {address}/camera")));
    assert_tinted(folder.path(), "out.mp4");
    image::open(folder.path().join("poster.png")).unwrap();
}

#[test]
fn a_camera_that_keeps_silent_can_be_stopped() {
    let folder = TempDir::new().unwrap();
    let (_server, address, _) = server(&folder.path().join("recorded.ts"));
    let arguments = format!("overlay --in {address}/silent --out out.mp4");
    interrupt(&mut pipeline(folder.path(), &arguments), first_frames);
    assert_eq!(frames(folder.path(), "out.mp4").len(), 1);
}

#[test]
fn a_pipe_that_keeps_silent_can_be_stopped() {
    let folder = TempDir::new().unwrap();
    let (pipe, stream) = (folder.path().join("pipe"), folder.path().join("stream.ts"));
    launch(
        folder.path(),
        "videotestsrc pattern=ball num-buffers=30 ! x264enc tune=zerolatency ! mpegtsmux ! filesink location=stream.ts",
    );
    succeed(Command::new("mkfifo").arg(&pipe));
    let mut writer = None;
    interrupt(
        &mut pipeline(folder.path(), "overlay --in pipe --out out.mp4"),
        |said| {
            let mut pipe = File::options().write(true).open(&pipe).unwrap();
            pipe.write_all(&std::fs::read(&stream).unwrap()).unwrap();
            first_frames(said);
            // It stays open.
            writer = Some(pipe);
        },
    );
    assert_tinted(folder.path(), "out.mp4");
}

#[test]
fn a_camera_of_raw_frames_and_one_of_jpegs_are_written_to_files() {
    let folder = TempDir::new().unwrap();
    for camera in ["test", "test-mjpg"] {
        let out = format!("{camera}.mkv");
        interrupt(
            &mut pipeline(
                folder.path(),
                &format!("overlay --in {camera} --size 161x120 --frame-rate 10 --out {out}"),
            ),
            first_frames,
        );
        let frames = frames(folder.path(), &out);
        assert!(!frames.is_empty());
        // H.264 in 4:2:0 has even sizes.
        assert_eq!(frames[0].dimensions(), (160, 120));
        assert_tinted(folder.path(), &out);
    }
}

#[test]
fn a_camera_is_shown_on_a_screen() {
    let folder = TempDir::new().unwrap();
    let no_screen = |command: &mut Command| fail(command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY"));
    let text = no_screen(&mut pipeline(folder.path(), "overlay --in test"));
    assert!(
        text.contains("there is no screen") && text.contains("give --out"),
        "{text}"
    );

    // Xvfb chooses a number that is free and writes it once it is ready.
    let mut screen = Command::new("Xvfb");
    screen.args(["-displayfd", "1", "-screen", "0", "640x480x24", "-nolisten", "tcp"]);
    let mut screen = Running(screen.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut number = String::new();
    BufReader::new(screen.0.stdout.take().unwrap())
        .read_line(&mut number)
        .unwrap();
    let display = format!(":{}", number.trim());
    let mut player = pipeline(folder.path(), "overlay --in test");
    player.env("DISPLAY", &display).env("XDG_RUNTIME_DIR", folder.path());
    let mut run = Running(player.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(run.0.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(" frames")), "nothing was shown");
    succeed(
        gstreamer_tool("gst-launch-1.0", folder.path())
            .current_dir(folder.path())
            .env("DISPLAY", &display)
            .args("-q ximagesrc num-buffers=1 ! videoconvert ! matroskamux ! filesink location=screen.mkv".split(' ')),
    );
    succeed(Command::new("kill").args(["-TERM", &run.0.id().to_string()]));
    assert_eq!(run.0.wait().unwrap().code(), Some(130));
    assert_tinted(folder.path(), "screen.mkv");
}

#[test]
fn a_virtual_camera_or_a_camera_that_is_not_there_is_named() {
    let folder = TempDir::new().unwrap();
    for arguments in [
        "overlay --in test --out /dev/video77",
        "overlay --in /dev/video77 --out out.mp4",
    ] {
        let text = fail(&mut pipeline(folder.path(), arguments));
        assert!(text.contains("/dev/video77"), "{arguments}: {text}");
        assert!(!text.contains("panicked"), "{text}");
    }
}
