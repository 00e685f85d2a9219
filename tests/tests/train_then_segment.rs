//! The whole chain: pictures to a checkpoint by the trainer, the checkpoint to masks by the element.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use factorseg_tests::{built, fail, gstreamer_tool, succeed};
use image::{Rgb, RgbImage};
use tempfile::TempDir;

/// Two classes of pictures: a bright disc on a dark gradient, at random places.
fn write_pictures(folder: &Path) {
    for index in 0..16u32 {
        let class = folder.join(["disc", "ring"][index as usize % 2]);
        std::fs::create_dir_all(&class).unwrap();
        let centre = (8.0 + (index * 5 % 13) as f32, 8.0 + (index * 7 % 13) as f32);
        RgbImage::from_fn(28, 28, |x, y| {
            let distance = (x as f32 - centre.0).hypot(y as f32 - centre.1);
            match distance < 7.0 && (index % 2 == 0 || distance > 3.0) {
                true => Rgb([230, 200, (index * 9) as u8]),
                false => Rgb([(x * 3) as u8, 20, (y * 3) as u8]),
            }
        })
        .save(class.join(format!("{index}.png")))
        .unwrap();
    }
}

#[test]
fn pictures_become_a_checkpoint_that_the_element_loads() {
    let directory = TempDir::new().unwrap();
    write_pictures(&directory.path().join("pictures"));
    std::fs::write(
        directory.path().join("recipe.toml"),
        r#"
            name = "test"
            batch_size = 4
            ema_rate = 0.5
            [[phases]]
            name = "denoiser"
            steps = 2
            timesteps = [1, 300]
            learning_rate = 1e-3
            mask_head = "uniform"
            [[phases]]
            name = "release"
            steps = 4
            timesteps = [1, 100]
            learning_rate = 1e-3
            mask_head = { released = { std = 0.05 } }
            masks = { temperature = { from = 1.0, to = 0.5 } }
        "#,
    )
    .unwrap();
    succeed(
        Command::new(built("factorseg"))
            .current_dir(directory.path())
            .args([
                "train",
                "pictures",
                "--run",
                "run",
                "--recipe",
                "recipe.toml",
                "--preset",
                "tiny",
            ])
            .args([
                "--image-size",
                "16",
                "--base-channels",
                "8",
                "--channel-multipliers",
                "1,2",
            ])
            .args([
                "--attention-resolutions",
                "8",
                "--held-out",
                "4",
                "--device",
                "cpu",
                "--threads",
                "1",
            ]),
    );
    let text = succeed(
        Command::new(built("factorseg"))
            .current_dir(directory.path())
            .args(["inspect", "run", "--json"]),
    );
    assert!(text.contains("disc") && text.contains("ring"), "{text}");

    let launch = |class: &str| {
        let mut command = gstreamer_tool("gst-launch-1.0", directory.path());
        let pipeline = format!(
            "videotestsrc num-buffers=1 pattern=circular ! video/x-raw,format=RGB,width=40,height=24 ! \
             factorseg name=s model=run/model.safetensors device=cpu class={class} mode=every-frame \
             mask_0::format=labels s.src ! fakesink \
             s.mask_0 ! queue ! pngenc ! filesink location=labels-{class}.png"
        );
        command
            .current_dir(directory.path())
            .arg("-q")
            .args(pipeline.split_whitespace());
        command
    };
    for class in ["disc", "1", "none"] {
        succeed(&mut launch(class));
        let labels = image::open(directory.path().join(format!("labels-{class}.png")))
            .unwrap()
            .to_luma8();
        assert_eq!(labels.dimensions(), (40, 24));
        let values: BTreeSet<u8> = labels.into_raw().into_iter().collect();
        assert!(
            values.iter().all(|label| (1..=3).contains(label)),
            "{class}: {values:?}"
        );
    }
    let text = fail(&mut launch("square"));
    assert!(text.contains("square") && text.contains("`disc`"), "{text}");
}
