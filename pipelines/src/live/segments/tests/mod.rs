use super::*;

const PLAYLIST: &str = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-MEDIA-SEQUENCE:11\n#EXT-X-TARGETDURATION:1\n\n\
    #EXTINF:1,\nlive-00011.ts\n#EXTINF:0.5,\nlive-00012.ts\n#EXTINF:1,\nlive-00013.ts\n";

#[test]
fn a_playlist_begins_with_the_segment_that_is_asked_for() {
    let begun = playlist_from(PLAYLIST, 12);
    assert_eq!(
        begun,
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-MEDIA-SEQUENCE:12\n#EXT-X-TARGETDURATION:1\n\n\
         #EXTINF:0.5,\nlive-00012.ts\n#EXTINF:1,\nlive-00013.ts\n"
    );
    for earlier in [0, 11] {
        assert_eq!(playlist_from(PLAYLIST, earlier), PLAYLIST);
    }
    assert!(!playlist_from(PLAYLIST, 14).contains(".ts"));
    let ended = format!("{PLAYLIST}#EXT-X-ENDLIST\n");
    assert!(playlist_from(&ended, 13).ends_with("\nlive-00013.ts\n#EXT-X-ENDLIST\n"));
}

#[test]
fn the_newest_segment_is_the_last_that_is_whole() {
    gst::init().unwrap();
    let mut segments = Segments::default();
    let mut note = |name: &str, seconds| {
        let structure = gst::Structure::builder(name)
            .field("running-time", gst::ClockTime::from_seconds(seconds))
            .build();
        let message = gst::message::Element::new(structure);
        if let gst::MessageView::Element(element) = message.view() {
            segments.note(element);
        }
        segments.newest().map(|(number, start)| (number, start.seconds()))
    };
    assert_eq!(note("splitmuxsink-fragment-opened", 0), None);
    assert_eq!(note("splitmuxsink-fragment-closed", 2), Some((0, 0)));
    assert_eq!(note("splitmuxsink-fragment-opened", 2), Some((0, 0)));
    assert_eq!(note("splitmuxsink-fragment-closed", 3), Some((1, 2)));
}
