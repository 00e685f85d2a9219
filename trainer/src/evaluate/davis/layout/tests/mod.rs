use super::*;
use crate::evaluate::testing::davis_layout;

#[test]
fn layouts_are_checked() {
    let root = davis_layout(1);
    let message = |path: &Path, every| format!("{:#}", read_layout(path, every, Frames::AfterFirst).unwrap_err());
    assert!(message(&root.path().join("JPEGImages"), 1).contains("JPEGImages/480p/NAME/00000.jpg"));
    assert!(message(root.path(), 5).contains("no frame after its first"));
    let layout = |every| read_layout(root.path(), every, Frames::AfterFirst).unwrap();
    assert_eq!((scored(&layout(2)), layout(2).left_out.len()), (vec![2, 2], 0));
    // What has no annotation is named, and the rest is read.
    std::fs::remove_file(root.path().join("Annotations/480p/red/00003.png")).unwrap();
    let found = layout(1);
    assert_eq!(scored(&found), [4, 3]);
    assert!(found.left_out[0].starts_with("red: 1 of 5 frames") && found.left_out[0].contains("00003"));
}

/// Five annotated frames: the toolkit of 2016 leaves out the first and the last (`annotations[1:-1]`), that of 2017 does for
/// semi-supervised methods (`all_gt_masks[:, 1:-1]`) and scores all frames of unsupervised ones.
#[test]
fn first_and_last_frames_are_those_of_the_toolkits() {
    let root = davis_layout(1);
    let names = |which| -> Vec<String> {
        let layout = read_layout(root.path(), 1, which).unwrap();
        let scored = layout.sequences[0].frames.iter().filter(|frame| frame.scored);
        scored.map(|frame| stem(&frame.picture)[4..].to_owned()).collect()
    };
    assert_eq!(names(Frames::AfterFirst), ["1", "2", "3", "4"]);
    assert_eq!(names(Frames::Inner), ["1", "2", "3"]);
    assert_eq!(names(Frames::All), ["0", "1", "2", "3", "4"]);
}

fn scored(layout: &Layout) -> Vec<usize> {
    let of = |sequence: &Sequence| sequence.frames.iter().filter(|frame| frame.scored).count();
    layout.sequences.iter().map(of).collect()
}

#[test]
fn other_layouts_than_that_of_davis_2016_are_read() {
    let root = davis_layout(1);
    let path = |name: &str| root.path().join(name);
    let rename = |from: &str, to: &str| std::fs::rename(path(from), path(to)).unwrap();
    let layout = || read_layout(root.path(), 1, Frames::AfterFirst).unwrap();
    let expected = layout().sequences.len();
    for folder in ["JPEGImages", "Annotations"] {
        rename(&format!("{folder}/480p"), &format!("{folder}/Full-Resolution"));
    }
    assert_eq!(scored(&layout()), [4, 4]);
    // Without a folder between, as in YouTube-VOS and MOSE.
    for folder in ["JPEGImages", "Annotations"] {
        rename(&format!("{folder}/Full-Resolution"), "moved");
        std::fs::remove_dir(path(folder)).unwrap();
        rename("moved", folder);
    }
    assert_eq!(
        (layout().sequences.len(), layout().frames),
        (expected, path("JPEGImages"))
    );
    std::fs::create_dir(path("DAVIS")).unwrap();
    for folder in ["JPEGImages", "Annotations"] {
        rename(folder, &format!("DAVIS/{folder}"));
    }
    assert_eq!(scored(&layout()), [4, 4]);
    // Frames between those that are annotated; one frame; none that is annotated; what Windows leaves.
    let (frames, maps) = ("DAVIS/JPEGImages/green", "DAVIS/Annotations/green");
    for i in [0, 1, 3] {
        std::fs::remove_file(path(&format!("{maps}/0000{i}.png"))).unwrap();
    }
    std::fs::write(path(&format!("{frames}/Thumbs.db")), "x").unwrap();
    for folder in ["JPEGImages", "Annotations"] {
        std::fs::create_dir(path(&format!("DAVIS/{folder}/one"))).unwrap();
        let from = format!("DAVIS/{folder}/red/00000.png");
        std::fs::copy(path(&from), path(&format!("DAVIS/{folder}/one/00000.png"))).unwrap();
    }
    std::fs::create_dir(path("DAVIS/JPEGImages/bare")).unwrap();
    std::fs::copy(
        path("DAVIS/JPEGImages/red/00000.png"),
        path("DAVIS/JPEGImages/bare/0.png"),
    )
    .unwrap();
    let found = layout();
    assert_eq!(scored(&found), [1, 4]);
    assert!(found.sequences[0].fitted().unwrap().picture.ends_with("00002.png"));
    let left_out = found.left_out.join("\n");
    for words in ["bare: none of its 1", "green: 3 of 5 frames", "one: 1 of its 1"] {
        assert!(left_out.contains(words), "{left_out}");
    }
}
