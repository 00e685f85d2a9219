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
fn a_player_begins_with_the_last_two_that_are_whole_and_the_next() {
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
        segments.begin().map(|(number, start)| (number, start.seconds()))
    };
    for (second, begin) in [None, Some((0, 0)), Some((1, 1)), Some((2, 2)), Some((3, 3))]
        .into_iter()
        .enumerate()
    {
        note("splitmuxsink-fragment-opened", second as u64);
        assert_eq!(note("splitmuxsink-fragment-closed", second as u64 + 1), begin);
    }
    assert_eq!(note("splitmuxsink-fragment-opened", 5), Some((3, 3)));
}
