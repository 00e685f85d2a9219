use super::*;

#[test]
fn places_are_told_apart_by_their_names() {
    let place = |text: &str| Output::from_place(text).unwrap();
    assert_eq!(place("screen"), Output::Screen);
    assert_eq!(place("/dev/video9"), Output::Camera("/dev/video9".to_owned()));
    assert_eq!(
        place("rtsp://host/live.mp4"),
        Output::Rtsp("rtsp://host/live.mp4".to_owned())
    );
    assert_eq!(place("www/index.m3u8"), Output::Hls("www/index.m3u8".into()));
    assert_eq!(place("a.MP4"), Output::File("a.MP4".into(), "mp4mux faststart=true"));
    assert_eq!(place("a.mkv"), Output::File("a.mkv".into(), "matroskamux"));
    for nothing in ["a.gif", "folder", "", "http://host/"] {
        assert!(Output::from_place(nothing).unwrap_err().contains("screen"), "{nothing}");
    }
}

#[test]
fn a_virtual_camera_gets_frames_as_cameras_give_them() {
    assert_eq!(
        Output::Camera("/dev/video9".to_owned()).description(true),
        "videoconvert ! video/x-raw,format=YUY2 ! v4l2sink name=output device=\"/dev/video9\""
    );
}

#[test]
fn live_frames_wait_for_none_that_follow_and_a_recording_is_kept_whole() {
    let playlist = Output::Hls("www/index.m3u8".into());
    let (live, recorded) = (playlist.description(true), playlist.description(false));
    for (text, expected) in [
        (&live, "max-files=8"),
        (&live, "tune=zerolatency"),
        (&recorded, "max-files=0"),
    ] {
        assert!(text.contains(expected), "{text}");
    }
    let file = Output::File("a.mp4".into(), "mp4mux");
    assert!(file.description(true).contains("tune=zerolatency"));
    assert!(!file.description(false).contains("tune=zerolatency"));
}
