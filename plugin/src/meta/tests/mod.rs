use super::*;

#[test]
fn a_report_survives_a_buffer_and_its_copy() {
    gst::init().unwrap();
    register();
    register();
    let report = FrameReport {
        class: "tabby".into(),
        timestep: 30,
        mask_pts: Some(gst::ClockTime::from_mseconds(40)),
        mask_age: Some(gst::ClockTime::from_mseconds(20)),
        regions: vec![
            RegionReport {
                id: 1,
                foreground: true,
                area: 0.25,
                bounds: Some(Bounds {
                    x: 0.5,
                    y: 0.25,
                    width: 0.5,
                    height: 0.75,
                }),
            },
            RegionReport {
                id: 2,
                foreground: false,
                area: 0.0,
                bounds: None,
            },
        ],
    };
    let mut buffer = gst::Buffer::new();
    assert_eq!(FrameReport::from_buffer(&buffer), None);
    report.attach(buffer.get_mut().unwrap()).unwrap();
    assert_eq!(FrameReport::from_buffer(&buffer).as_ref(), Some(&report));
    assert_eq!(FrameReport::from_buffer(&buffer.copy()), Some(report));
}
