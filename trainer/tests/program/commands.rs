//! The commands around training: inspect, recipes, segment, evaluate.

use std::os::unix::process::ExitStatusExt;

use super::common::{Scratch, expect, inspect, program};
use image::{GrayImage, Luma, Rgb, RgbImage};

fn trained() -> (Scratch, String) {
    let scratch = Scratch::new();
    expect(&mut scratch.train("run", &[]), 0);
    let model = scratch.path("run/model.safetensors").to_str().unwrap().to_owned();
    (scratch, model)
}

#[test]
fn a_trained_checkpoint_is_inspected_and_segments_alone() {
    let (scratch, model) = trained();
    let description = inspect(&model);
    assert_eq!(description["info"]["step"], 10);
    assert_eq!(description["info"]["classes"][1]["wordnet_id"], "n00000001");
    assert_eq!(description["config"]["image_size"], 16);
    assert!(description["parameters"].as_u64() > description["segmentation_parameters"].as_u64());

    std::fs::copy(&model, scratch.path("alone.safetensors")).unwrap();
    RgbImage::from_pixel(50, 30, Rgb([200, 10, 10]))
        .save(scratch.path("wide.png"))
        .unwrap();
    let mut segment = program();
    segment
        .args([
            "segment",
            "--device",
            "cpu",
            "--soft",
            "--class",
            "n00000000",
            "--model",
        ])
        .arg(scratch.path("alone.safetensors"));
    expect(
        segment
            .arg("--out")
            .arg(scratch.path("out"))
            .arg(scratch.path("wide.png"))
            .arg(scratch.path("data")),
        0,
    );
    let regions = image::open(scratch.path("out/wide.ids.png")).unwrap().into_luma8();
    assert_eq!(regions.dimensions(), (50, 30));
    assert!(regions.pixels().all(|pixel| (1..=3).contains(&pixel.0[0])));
    assert!(scratch.path("out/n00000000-00.overlay.png").exists());
    let soft: Vec<_> = (1..=3)
        .map(|k| {
            image::open(scratch.path(&format!("out/wide.region-{k}.png")))
                .unwrap()
                .into_luma8()
        })
        .collect();
    let sum: i32 = soft.iter().map(|plane| i32::from(plane.get_pixel(25, 15).0[0])).sum();
    assert!((sum - 255).abs() <= 2, "{sum}");
}

/// The embedded checkpoint's masks of a picture with structure are the same files for any number of threads.
#[test]
fn masks_do_not_depend_on_threads() {
    let scratch = Scratch::new();
    let picture = scratch.path("picture.png");
    let value = |x: u32, y: u32, step: u32| (x * x / 37 + y * step + (x * 7919 + y * 104_729) % 41) as u8;
    RgbImage::from_fn(160, 90, |x, y| Rgb([3, 5, 11].map(|step| value(x, y, step))))
        .save(&picture)
        .unwrap();
    let precisions = ["f32", "bf16"].into_iter().filter(|word| {
        let precision: factorseg_model::Precision = word.parse().unwrap();
        precision.runs_on_this_processor()
    });
    for precision in precisions {
        let [one, two, three] = ["1", "2", "3"].map(|threads| {
            let out = scratch.path(&format!("{precision}-{threads}"));
            let mut command = program();
            command.args([
                "segment",
                "--device",
                "cpu",
                "--soft",
                "--precision",
                precision,
                "--threads",
                threads,
            ]);
            expect(command.arg(&picture).arg("--out").arg(&out), 0);
            let files = std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path());
            let mut files: Vec<_> = files.map(|path| (path.file_name().unwrap().to_owned(), path)).collect();
            files.sort();
            files
                .into_iter()
                .map(|(name, path)| (name, std::fs::read(path).unwrap()))
                .collect::<Vec<_>>()
        });
        assert!(one.len() > 2);
        assert!(one == two && one == three, "{precision}");
    }
}

/// Shares of the work together are the work, whoever says which share a process has.
#[test]
fn pictures_and_sequences_are_shared_out() {
    let (scratch, model) = trained();
    let segment = |out: &str| {
        let mut command = program();
        command.args(["segment", "--device", "cpu", "--model", &model, "--format", "ids"]);
        command.arg(scratch.path("data")).arg("--out").arg(scratch.path(out));
        command
    };
    let files = |out: &str| {
        let folder = std::fs::read_dir(scratch.path(out)).unwrap();
        let mut files: Vec<_> = folder.map(|entry| entry.unwrap().file_name()).collect();
        files.sort();
        files
    };
    expect(&mut segment("whole"), 0);
    expect(segment("first").args(["--shard", "0/2"]), 0);
    assert_eq!(files("first").len() * 2, files("whole").len());
    // The other half, as a launcher's second process of two.
    let rank = [("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "2")];
    expect(segment("first").envs(rank), 0);
    assert_eq!(files("first"), files("whole"));
    expect(segment("wrong").args(["--shard", "2/2"]), 2);

    for (name, left) in [("one", 6), ("two", 20)] {
        for frame in 0..3 {
            for part in ["JPEGImages", "Annotations"] {
                let folder = scratch.path(&format!("set/DAVIS/{part}/480p/{name}"));
                std::fs::create_dir_all(&folder).unwrap();
                RgbImage::from_fn(48, 32, |x, y| Rgb([if x > left + frame && y > 9 { 255 } else { 0 }; 3]))
                    .save(folder.join(format!("{frame:05}.png")))
                    .unwrap();
            }
        }
    }
    let davis = |more: &[&str]| {
        let mut command = program();
        command.args(["evaluate", "davis", "--device", "cpu", "--json", "--model", &model]);
        let output = command.arg(scratch.path("set")).args(more).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let sequences = report["sequences"].as_array().unwrap().clone();
        (
            sequences,
            report["fitted_frames"].clone(),
            report["foreground_regions"].clone(),
        )
    };
    let (whole, fitted, regions) = davis(&[]);
    let shares = ["0/2", "1/2"].map(|shard| davis(&["--shard", shard]));
    assert_eq!(whole, [&*shares[0].0, &*shares[1].0].concat());
    assert!(shares.iter().all(|(_, of, which)| (of, which) == (&fitted, &regions)));
    // More processes than sequences.
    let sheet = scratch.path("sheet.png");
    assert!(
        davis(&["--shard", "2/3", "--sheet", sheet.to_str().unwrap()])
            .0
            .is_empty()
    );
}

#[test]
fn masks_can_be_seen_and_read_in_every_format() {
    let (scratch, model) = trained();
    let picture = scratch.path("wide.png");
    RgbImage::from_fn(50, 30, |x, _| Rgb([if x < 20 { 200 } else { 20 }, 10, x as u8]))
        .save(&picture)
        .unwrap();
    let segment = |more: &[&str]| {
        let mut command = program();
        command
            .args(["segment", "--device", "cpu", "--model", &model])
            .arg(&picture);
        command.arg("--out").arg(scratch.path("out")).args(more);
        command
    };
    let formats = ["--format", "palette,ids,binary,rle", "--foreground", "2,3", "--json"];
    let output = segment(&formats).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (line["width"].as_u64(), line["files"].as_array().unwrap().len()),
        (Some(50), 5)
    );
    let shares = line["shares"]
        .as_array()
        .unwrap()
        .iter()
        .map(|share| share.as_f64().unwrap());
    assert!((shares.sum::<f64>() - 1.0).abs() < 1e-12);

    let open = |name: &str| image::open(scratch.path(&format!("out/wide.{name}.png"))).unwrap();
    let ids = open("ids").into_luma8();
    let (colours, mask) = (open("regions").into_rgb8(), open("mask").into_luma8());
    let palette = [[230, 60, 60], [60, 120, 230], [70, 190, 90]];
    for (x, y, id) in ids.enumerate_pixels() {
        let region = usize::from(id.0[0]) - 1;
        assert_eq!(colours.get_pixel(x, y).0, palette[region]);
        assert_eq!(mask.get_pixel(x, y).0[0], if region > 0 { 255 } else { 0 });
    }
    let text = std::fs::read(scratch.path("out/wide.rle.json")).unwrap();
    let encoded: serde_json::Value = serde_json::from_slice(&text).unwrap();
    for (index, region) in encoded["regions"].as_array().unwrap().iter().enumerate() {
        let mut decoded = Vec::new();
        for (turn, run) in region["counts"].as_array().unwrap().iter().enumerate() {
            decoded.extend(std::iter::repeat_n(turn % 2 == 1, run.as_u64().unwrap() as usize));
        }
        let wanted = (0..50).flat_map(|x| (0..30).map(move |y| (x, y)));
        let wanted: Vec<bool> = wanted
            .map(|(x, y)| usize::from(ids.get_pixel(x, y).0[0]) == index + 1)
            .collect();
        assert!(decoded == wanted, "region {}", index + 1);
        assert_eq!(region["foreground"], index > 0);
    }
    let message = expect(&mut segment(&["--format", "binary"]), 1);
    assert!(message.contains("--foreground"), "{message}");
    let message = expect(&mut segment(&["--foreground", "4"]), 1);
    assert!(message.contains("regions 1 to 3"), "{message}");
    expect(&mut segment(&["--foreground", "0"]), 2);
    expect(&mut segment(&["--format", "crayon"]), 2);
}

#[test]
fn a_video_is_segmented_frame_by_frame() {
    let (scratch, model) = trained();
    std::fs::create_dir(scratch.path("footage")).unwrap();
    let video = |muxer: &str, frames: u32, name: &str| {
        let mut launch = std::process::Command::new("gst-launch-1.0");
        let description = format!(
            "-q videotestsrc num-buffers={frames} pattern=ball ! video/x-raw,width=48,height=32,framerate=10/1 ! jpegenc \
             ! {muxer} ! filesink location={}",
            scratch.path(name).display()
        );
        assert!(launch.args(description.split_whitespace()).status().unwrap().success());
    };
    video("avimux", 6, "footage/ball.avi");
    RgbImage::from_pixel(20, 20, Rgb([9, 200, 10]))
        .save(scratch.path("still.png"))
        .unwrap();
    let segment = |input: &str, out: &str, more: &[&str]| {
        let mut command = program();
        command.args(["segment", "--device", "cpu", "--json", "--model", &model]);
        command
            .arg(scratch.path(input))
            .arg("--out")
            .arg(scratch.path(out))
            .args(more);
        command
    };
    let still = scratch.path("still.png");
    let more = ["--foreground", "1", "--format", "binary", still.to_str().unwrap()];
    let output = segment("footage", "out", &more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1 + 6, "{text}");
    for (number, line) in lines[1..].iter().enumerate() {
        assert_eq!(line["frame"], number);
        assert!(
            (line["seconds"].as_f64().unwrap() - number as f64 / 10.0).abs() < 0.01,
            "{line}"
        );
        let mask = image::open(scratch.path(&format!("out/ball.avi/{number:05}.mask.png"))).unwrap();
        assert_eq!((mask.width(), mask.height()), (48, 32));
    }
    // Motion is part of it, and can be left out.
    let more = ["--foreground", "1", "--format", "binary", "--no-motion-model"];
    expect(&mut segment("footage/ball.avi", "alone", &more), 0);
    let mask = |out: &str| std::fs::read(scratch.path(&format!("{out}/ball.avi/00005.mask.png"))).unwrap();
    assert!(mask("out") != mask("alone"));
    // What can be read of one that breaks off is segmented, and so are the others.
    video("matroskamux", 30, "whole.mkv");
    let whole = std::fs::read(scratch.path("whole.mkv")).unwrap();
    scratch.write("footage/a cut.mkv", &whole[..whole.len() / 3]);
    scratch.write("footage/broken.mp4", b"no video");
    let message = expect(&mut segment("footage", "broken", &[]), 1);
    let error = message.lines().last().unwrap();
    for words in [
        "broken.mp4 breaks off after 0 frames",
        "a cut.mkv breaks off after",
        "of 3.0",
    ] {
        assert_eq!(error.matches(words).count(), 1, "{words}: {message}");
    }
    let there = |name: &str| scratch.path(&format!("broken/{name}.overlay.png")).exists();
    assert!(there("ball.avi/00005") && there("a cut.mkv/00000"));
}

#[test]
fn the_manual_has_a_page_for_each_command_and_shells_complete_values() {
    let scratch = Scratch::new();
    let prefix = scratch.path("prefix");
    let output = program().arg("manual").arg("--prefix").arg(&prefix).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let read = |file: &str| std::fs::read_to_string(prefix.join("share").join(file)).unwrap();
    let page = read("man/man1/factorseg.1");
    for command in ["train", "evaluate", "manual"] {
        assert!(page.contains(&format!("factorseg\\-{command}(1)")), "{command}: {page}");
    }
    assert!(!prefix.join("share/man/man1/factorseg-help.1").exists());
    assert!(read("man/man1/factorseg-train.1").contains("recipe"));
    for script in [
        "bash-completion/completions/factorseg",
        "zsh/site-functions/_factorseg",
        "fish/vendor_completions.d/factorseg.fish",
    ] {
        for word in ["paper-64", "bf16", "palette", "rle"] {
            assert!(read(script).contains(word), "{script}: {word}");
        }
    }
}

#[test]
fn every_command_with_figures_prints_json() {
    let (scratch, model) = trained();
    let out = scratch.path("out.safetensors");
    let export = [
        "export",
        &model,
        "--out",
        out.to_str().unwrap(),
        "--foreground",
        "2",
        "--json",
    ];
    for arguments in [
        &export[..],
        &["recipes", "--json"],
        &["recipes", "competition", "--json"],
    ] {
        let output = program().args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
    assert_eq!(inspect(&out)["info"]["foreground_regions"], serde_json::json!([1]));
}

#[test]
fn images_that_cannot_be_segmented_are_named() {
    let (scratch, model) = trained();
    scratch.write("bad.png", b"no picture");
    let mut segment = program();
    segment
        .args(["segment", "--device", "cpu", "--model", &model, "--out"])
        .arg(scratch.path("out"));
    let message = expect(
        segment
            .arg(scratch.path("bad.png"))
            .arg(scratch.path("data/n00000000/00.png")),
        1,
    );
    assert!(message.contains("bad.png") && message.contains("1 of 2"), "{message}");
    assert!(scratch.path("out/00.overlay.png").exists());
    let mut wrong_class = program();
    wrong_class
        .args([
            "segment", "--device", "cpu", "--class", "unicorn", "--model", &model, "--out",
        ])
        .arg(scratch.path("out"));
    assert!(expect(wrong_class.arg(scratch.path("bad.png")), 1).contains("unicorn"));
}

#[test]
fn the_papers_own_masks_are_one_switch_away() {
    let scratch = Scratch::new();
    let masks = |switch: &[&str]| {
        let mut segment = program();
        segment
            .args(["segment", "--device", "cpu", "--soft", "--out"])
            .arg(scratch.path("out"));
        expect(segment.args(switch).arg(scratch.path("data/n00000000/00.png")), 0);
        std::fs::read(scratch.path("out/00.region-1.png")).unwrap()
    };
    let paper = masks(&["--paper"]);
    assert!(paper == masks(&["--no-color-model", "--no-motion-model"]) && paper != masks(&[]));
}

#[test]
fn evaluation_prints_scores_beside_baselines() {
    let (scratch, model) = trained();
    for part in ["images", "masks"] {
        std::fs::create_dir_all(scratch.path(&format!("set/{part}"))).unwrap();
    }
    for i in 0..10u32 {
        let inside = |x: u32, y: u32| (i..i + 8).contains(&x) && (4..12).contains(&y);
        RgbImage::from_fn(20, 16, |x, y| Rgb([if inside(x, y) { 255 } else { 0 }; 3]))
            .save(scratch.path(&format!("set/images/{i}.png")))
            .unwrap();
        GrayImage::from_fn(20, 16, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]))
            .save(scratch.path(&format!("set/masks/{i}.png")))
            .unwrap();
    }
    let output = program()
        .args(["evaluate", "still", "--device", "cpu", "--json", "--model", &model])
        .arg(scratch.path("set"))
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (report["fitted_images"].as_u64(), report["scored_images"].as_u64()),
        (Some(2), Some(8))
    );
    assert!((report["baselines"][0]["scores"]["iou"].as_f64().unwrap() - 0.2).abs() < 1e-12);
    let number = |name: &str| report[name]["mean_iou"].as_f64().unwrap();
    assert!(number("oracle") >= number("model") && number("model_or_complement") >= number("model"));
}

#[test]
fn video_is_measured_and_drawn() {
    let (scratch, model) = trained();
    for frame in 0..4u32 {
        let inside = |x: u32, y: u32| (frame + 6..frame + 20).contains(&x) && (8..24).contains(&y);
        for part in ["JPEGImages", "Annotations"] {
            let folder = scratch.path(&format!("set/DAVIS/{part}/480p/box"));
            std::fs::create_dir_all(&folder).unwrap();
            RgbImage::from_fn(48, 32, |x, y| Rgb([if inside(x, y) { 255 } else { 0 }; 3]))
                .save(folder.join(format!("{frame:05}.png")))
                .unwrap();
        }
    }
    let davis = |arguments: &[&str]| {
        let mut command = program();
        command.args(["evaluate", "davis", "--device", "cpu", "--model", &model]);
        command.args(arguments).arg(scratch.path("set"));
        command
    };
    let sheet = scratch.path("sheet.png");
    let output = davis(&[
        "--json",
        "--flip",
        "--scales",
        "1,1.5",
        "--sheet",
        sheet.to_str().unwrap(),
    ])
    .output()
    .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["scored_frames"], 3);
    assert_eq!(report["passes"], 4);
    let j = |line: &serde_json::Value| line["j"]["mean"].as_f64().unwrap();
    assert!(j(&report["oracle"]) >= j(&report["model"]));
    // The whole frame has the box's share, and K-means sees two colours.
    assert!((j(&report["baselines"][0]["scores"]) - 224.0 / 1536.0).abs() < 1e-12);
    assert_eq!(j(&report["baselines"][3]["scores"]), 1.0);
    // The first frame and the one in the middle, each beside its overlay.
    assert_eq!(
        image::open(&sheet).unwrap().into_rgb8().dimensions(),
        (4 * 244 - 4, 135)
    );
    let silhouettes = [
        "--every",
        "3",
        "--sheet-style",
        "silhouette",
        "--sheet",
        sheet.to_str().unwrap(),
    ];
    expect(&mut davis(&silhouettes), 0);
    assert_eq!(image::open(sheet).unwrap().into_rgb8().dimensions(), (2 * 244 - 4, 135));
    expect(&mut davis(&["--sheet-style", "silhouette"]), 2);
    let table = davis(&["--markdown", "--every", "2", "--foreground", "1,3"])
        .output()
        .unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("| **model**, 1 frames"), "{table}");
    let message = expect(&mut davis(&["--foreground", "7"]), 1);
    assert!(message.contains("no region 7"), "{message}");
}

#[test]
fn weights_can_start_a_run_with_other_regions_and_classes() {
    let (scratch, model) = trained();
    let message = expect(
        &mut scratch.train("two", &["--init-from", &model, "--regions", "2", "--unconditional"]),
        0,
    );
    assert!(
        message.contains("start afresh: mask_generator.conv_out.weight, mask_generator.conv_out.bias"),
        "{message}"
    );
    let mut other = program();
    other
        .arg("train")
        .arg(scratch.path("data"))
        .arg("--run")
        .arg(scratch.path("other"))
        .args(["--preset", "tiny", "--init-from", &model]);
    assert!(expect(&mut other, 1).contains("another network"));
}

#[test]
fn a_checkpoint_can_go_on_with_larger_pictures() {
    let (scratch, model) = trained();
    let mut larger = program();
    larger
        .arg("train")
        .arg(scratch.path("data"))
        .arg("--run")
        .arg(scratch.path("larger"))
        .arg("--recipe")
        .arg(scratch.path("recipe.toml"))
        .args([
            "--init-from",
            &model,
            "--image-size",
            "24",
            "--steps",
            "1",
            "--threads",
            "1",
        ]);
    let said = expect(&mut larger, 0);
    assert!(!said.contains("start afresh"), "{said}");
    let config = |checkpoint: &str| inspect(checkpoint)["config"].clone();
    let (before, after) = (
        config(&model),
        config(&scratch.path("larger/model.safetensors").to_string_lossy()),
    );
    assert_eq!(after["image_size"], 24);
    // At the level where it was.
    assert_eq!(before["attention_resolutions"], serde_json::json!([8]));
    assert_eq!(after["attention_resolutions"], serde_json::json!([12]));
    assert_eq!(before["channel_multipliers"], after["channel_multipliers"]);
}

#[test]
fn recipes_are_listed_and_printed() {
    let output = program().args(["recipes", "two-phase"]).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("[[phases]]"));
    expect(program().arg("recipes"), 0);
    assert!(expect(program().args(["recipes", "none-such"]), 1).contains("factorseg recipes"));
}

#[test]
fn whoever_prints_ends_with_its_reader_and_training_goes_on() {
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let scratch = Scratch::new();
    let mut train = scratch.train("run", &[]);
    let output = train.stdout(closed()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let model = scratch.path("run/model.safetensors");
    let mut inspect = program();
    let output = inspect.arg("inspect").arg(model).stdout(closed()).output().unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGPIPE), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
