use std::process::Command;

use super::*;

#[test]
fn values_are_quoted_whatever_is_in_them() {
    gst::init().unwrap();
    for place in [r#"a "b" ! fakesink"#, r"back\slash", "spaces  and ünïcode", "name=x"] {
        let description = format!("fakesrc ! filesink name=out location={}", quoted(place));
        let made = named(&pipeline(&description).unwrap(), "out").unwrap();
        assert_eq!(made.property::<String>("location"), place);
    }
}

/// Which package has an element's plugin, by the package manager.
#[test]
fn packages_are_those_that_have_the_elements() {
    gst::init().unwrap();
    let others = [
        "compositor",
        "videoconvert",
        "videoscale",
        "audioconvert",
        "audioresample",
        "uridecodebin",
        "decodebin",
        "appsink",
    ];
    let named = PACKAGES.iter().flat_map(|(_, elements)| elements.iter()).copied();
    for name in named.chain(others) {
        let Some(file) = gst::ElementFactory::find(name).and_then(|factory| factory.plugin()?.filename()) else {
            eprintln!("SKIPPED: {name} is not installed");
            continue;
        };
        // The same file goes by a path with /usr and by one without.
        let file = format!("*/{}", file.file_name().unwrap().to_string_lossy());
        let Ok(found) = Command::new("dpkg-query").arg("--search").arg(&file).output() else {
            eprintln!("SKIPPED: no dpkg here");
            return;
        };
        let found = String::from_utf8_lossy(&found.stdout);
        assert!(
            found.starts_with(&format!("{}:", package(name))),
            "{name}: {} is not {found}",
            package(name)
        );
    }
}
