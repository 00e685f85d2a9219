//! `evaluate` on made sets that lie on disk as public ones do.

use super::common::{Scratch, expect, program};
use factorseg_trainer::data::labels::LabelMap;
use image::{GrayImage, Luma, Rgb, RgbImage};
use serde_json::Value;

/// A checkpoint of two classes of ImageNet, as VOC's cat and dog are told.
fn trained() -> (Scratch, String) {
    let scratch = Scratch::new();
    for (from, to) in [("n00000000", "n02123045"), ("n00000001", "n02085936")] {
        std::fs::rename(
            scratch.path(&format!("data/{from}")),
            scratch.path(&format!("data/{to}")),
        )
        .unwrap();
    }
    expect(&mut scratch.train("run", &[]), 0);
    let model = scratch.path("run/model.safetensors").to_str().unwrap().to_owned();
    (scratch, model)
}

fn json(arguments: &[&str], scratch: &Scratch, set: &str, model: &str) -> Vec<Value> {
    let mut command = program();
    command.arg("evaluate").args(arguments).arg(scratch.path(set));
    command.args(["--json", "--device", "cpu", "--threads", "1", "--model", model]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn put(scratch: &Scratch, name: &str, pixel: impl Fn(u32, u32) -> u8) {
    let path = scratch.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let picture = GrayImage::from_fn(20, 16, |x, y| Luma([pixel(x, y)]));
    if name.contains("JPEG") || name.contains("images") {
        RgbImage::from_fn(20, 16, |x, y| Rgb([picture.get_pixel(x, y).0[0]; 3]))
            .save(path)
            .unwrap();
    } else {
        picture.save(path).unwrap();
    }
}

/// VOC2012 in small: cats in all of six pictures, dogs in five of them, a column of void.
fn put_voc(scratch: &Scratch) {
    let label = |i: u32, x: u32| -> u8 {
        match x {
            x if x < 4 + i => 8,
            x if x > 15 => 12,
            10 => 255,
            _ => 0,
        }
    };
    for i in 0..6 {
        put(scratch, &format!("voc/JPEGImages/{i}.jpg"), |x, _| {
            label(i, x).saturating_mul(20)
        });
        // One picture has a cat alone.
        put(scratch, &format!("voc/SegmentationClass/{i}.png"), |x, _| {
            if i == 5 && x > 15 { 0 } else { label(i, x) }
        });
    }
    scratch.write("voc/ImageSets/Segmentation/train.txt", "0\n1\n");
    scratch.write("voc/ImageSets/Segmentation/val.txt", "2\n3\n4\n5\n");
}

#[test]
fn voc_is_scored_by_class() {
    let (scratch, model) = trained();
    put_voc(&scratch);
    let report = &json(&["voc"], &scratch, "voc", &model)[0];
    let classes = report["classes"].as_array().unwrap();
    let row = |at: usize| {
        (
            classes[at]["class"].as_str().unwrap(),
            classes[at]["images"].as_u64().unwrap(),
        )
    };
    assert_eq!((classes.len(), row(0), row(1)), (2, ("cat", 4), ("dog", 3)));
    assert_eq!(
        (report["fitted_images"].as_u64(), report["scored_images"].as_u64()),
        (Some(4), Some(7))
    );
    // All foreground: the cat's share of what is not void, 6 to 9 of 19 columns; the dog's 4.
    let everything: f64 = (6..=9).map(f64::from).sum::<f64>() / 19.0 + 3.0 * 4.0 / 19.0;
    let found = report["baselines"][0]["scores"]["accuracy"].as_f64().unwrap();
    assert!((found - everything / 7.0).abs() < 1e-12, "{found}");

    let mut table = program();
    table.args(["evaluate", "voc", "--device", "cpu", "--markdown", "--model", &model]);
    let output = table.arg(scratch.path("voc")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("| cat | 4 | n02123045 |") && text.contains("| average | 7 |"),
        "{text}"
    );
    let note = String::from_utf8(output.stderr).unwrap();
    assert!(note.contains("lacks 18 of the 20 classes"), "{note}");
}

/// What the processes report of their shares is, put together, what one process reports of the whole.
#[test]
fn shares_of_pictures_make_up_the_whole() {
    let (scratch, model) = trained();
    put_voc(&scratch);
    for i in 0..14 {
        for part in ["images", "masks", "maps"] {
            let value = if part == "maps" { 1 } else { 255 };
            put(&scratch, &format!("set/{part}/{i:02}.png"), |x, y| {
                if (i..i + 8).contains(&x) && y > i / 2 { value } else { 0 }
            });
        }
    }
    let of = |arguments: &[&str], set: &str| {
        let of = |more: &[&str]| json(&[arguments, more].concat(), &scratch, set, &model).remove(0);
        (of(&[]), ["0/3", "1/3", "2/3"].map(|shard| of(&["--shard", shard])))
    };
    for (command, set, scored) in [("still", "set", 11), ("voc", "voc", 7)] {
        let (whole, shares) = of(&[command], set);
        let pictures = |report: &Value| report["pictures"].as_array().unwrap().clone();
        let mut joined: Vec<Value> = shares.iter().flat_map(pictures).collect();
        assert_eq!((pictures(&whole).len(), joined.len()), (scored, scored));
        joined.sort_by_key(|row| (row["class"].to_string(), row["picture"].to_string()));
        assert_eq!(pictures(&whole), joined, "{command}");
        for share in &shares {
            for fitted in ["fitted_images", "foreground_regions"] {
                assert_eq!(share[fitted], whole[fitted]);
            }
        }
        // The figures of the whole are means over its pictures. Numbers are not read to the last bit.
        for score in ["accuracy", "iou", "dice", "mean_iou"] {
            let check = |whole: &Value, of: &dyn Fn(&Value) -> Value| {
                let values = joined.iter().map(|row| of(row)[score].as_f64().unwrap());
                let mean = values.sum::<f64>() / scored as f64;
                assert!((mean - whole[score].as_f64().unwrap()).abs() < 1e-12, "{mean} {whole}");
            };
            for of in ["model", "model_or_complement", "oracle", "model_mean_mask"] {
                check(&whole[of], &|row| row[of].clone());
            }
            for (at, line) in whole["baselines"].as_array().unwrap().iter().enumerate() {
                check(&line["scores"], &|row| row["baselines"][at].clone());
            }
        }
    }

    let parts = ["parts", "--maps", "maps", "--class-of", "object=1"];
    let (whole, shares) = of(&parts, "set");
    for of in ["model", "same_map", "one_class"] {
        let pixels = |report: &Value| -> Vec<u64> {
            let rows = report[of]["pixels"].as_array().unwrap().iter();
            rows.flat_map(|row| row.as_array().unwrap())
                .map(|count| count.as_u64().unwrap())
                .collect()
        };
        let mut sums = [0; 4];
        for share in &shares {
            sums.iter_mut()
                .zip(pixels(share))
                .for_each(|(sum, count)| *sum += count);
        }
        assert_eq!(pixels(&whole), sums, "{of}");
        let right = (sums[0] + sums[3]) as f64 / (11 * 20 * 16) as f64;
        assert!((whole[of]["accuracy"].as_f64().unwrap() - right).abs() < 1e-12);
    }
    assert!(shares.iter().all(|share| share["assignment"] == whole["assignment"]));

    // More processes than pictures, whose place a launcher gives.
    let mut last = program();
    last.args(["evaluate", "still", "--json", "--device", "cpu", "--model", &model])
        .arg(scratch.path("set"));
    last.envs([("OMPI_COMM_WORLD_RANK", "11"), ("OMPI_COMM_WORLD_SIZE", "12")]);
    let report: Value = serde_json::from_slice(&last.output().unwrap().stdout).unwrap();
    assert_eq!(
        (&report["fitted_images"], &report["scored_images"]),
        (&3.into(), &0.into())
    );
}

#[test]
fn each_picture_has_the_class_of_its_folder_and_noise_levels_are_swept() {
    let (scratch, model) = trained();
    for (class, i) in [("n02123045", 0), ("n02123045", 1), ("n02085936", 2), ("n02085936", 3)] {
        let inside = |x: u32, y: u32| (i..i + 8).contains(&x) && y > 5;
        for part in ["images", "masks"] {
            put(&scratch, &format!("set/{part}/{class}/{i}.png"), |x, y| {
                u8::from(inside(x, y)) * 255
            });
        }
    }
    let one = |more: &[&str]| json(&[&["still"], more].concat(), &scratch, "set", &model);
    let (plain, told) = (one(&[]), one(&["--class-by-folder"]));
    let by_class = |report: &Value| report["classes"].as_array().unwrap().len();
    assert_eq!((by_class(&plain[0]), by_class(&told[0])), (2, 2));
    assert_ne!(plain[0]["masks"], told[0]["masks"], "the class changes the masks");
    let swept = one(&["--sweep", "10,30,300"]);
    let names: Vec<&str> = swept
        .iter()
        .map(|report| report["data_set"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["set, t = 10", "set, t = 30", "set, t = 300"]);
    assert_eq!(
        (&swept[1]["masks"], &swept[1]["model"]),
        (&plain[0]["masks"], &plain[0]["model"])
    );
    assert_ne!(swept[0]["masks"], swept[2]["masks"]);
    // A class that the checkpoint does not have.
    std::fs::rename(scratch.path("set/images/n02085936"), scratch.path("set/images/zebra")).unwrap();
    std::fs::rename(scratch.path("set/masks/n02085936"), scratch.path("set/masks/zebra")).unwrap();
    let mut still = program();
    still.args([
        "evaluate",
        "still",
        "--class-by-folder",
        "--device",
        "cpu",
        "--model",
        &model,
    ]);
    assert!(expect(still.arg(scratch.path("set")), 1).contains("zebra"));
}

#[test]
fn generated_masks_are_compared_with_a_segmenters() {
    let (scratch, model) = trained();
    for i in 0..6u32 {
        put(&scratch, &format!("drawn/images{i}.png"), |x, y| {
            (x * 12) as u8 ^ (y * i) as u8
        });
    }
    // The segmenter's own masks agree with it, and those of half the picture do not.
    let mut segment = program();
    segment.args([
        "segment",
        "--device",
        "cpu",
        "--threads",
        "1",
        "--format",
        "palette",
        "--model",
        &model,
    ]);
    expect(
        segment
            .arg(scratch.path("drawn"))
            .arg("--out")
            .arg(scratch.path("drawn")),
        0,
    );
    let compare = || json(&["generation", "--segmenter-masks"], &scratch, "drawn", &model).remove(0);
    let report = compare();
    assert_eq!(
        (&report["generated"], &report["consistency"]["generated"]["accuracy"]),
        (&6.into(), &1.0.into())
    );
    // The same masks for all pictures: counted here.
    let open = |i: u32| -> Vec<u8> {
        let ids = LabelMap::open(&scratch.path(&format!("drawn/images{i}.regions.png")))
            .unwrap()
            .values;
        ids.into_iter().map(|id| id as u8).collect()
    };
    let found: Vec<Vec<u8>> = (0..6).map(open).collect();
    let share = |region: u8, class: u8| {
        let pairs = [0, 5].iter().flat_map(|i| found[0].iter().zip(&found[*i]));
        pairs.filter(|(one, other)| (**one, **other) == (region, class)).count()
    };
    let stands_for = |region: u8| (1..=3).max_by_key(|class| share(region, *class)).unwrap();
    let pairs = (1..5).flat_map(|i| found[0].iter().zip(&found[i]));
    let right = pairs.filter(|(one, other)| stands_for(**one) == **other).count();
    for i in 1..6 {
        std::fs::copy(
            scratch.path("drawn/images0.regions.png"),
            scratch.path(&format!("drawn/images{i}.regions.png")),
        )
        .unwrap();
    }
    let report = compare();
    let accuracy = report["consistency"]["generated"]["accuracy"].as_f64().unwrap();
    assert!(
        (accuracy - right as f64 / (4.0 * 320.0)).abs() < 1e-12 && accuracy < 1.0,
        "{report}"
    );
    let mut without = program();
    without.args(["evaluate", "generation"]).arg(scratch.path("drawn"));
    expect(&mut without, 2);
    scratch.write("weights.pth", "other weights");
    let mut fid = program();
    fid.args(["evaluate", "generation"])
        .arg(scratch.path("drawn"))
        .arg("--real")
        .arg(scratch.path("data"));
    let message = expect(fid.arg("--inception").arg(scratch.path("weights.pth")), 1);
    assert!(message.contains("no FID"), "{message}");
    std::fs::remove_file(scratch.path("drawn/images3.regions.png")).unwrap();
    let mut lacking = program();
    lacking.args([
        "evaluate",
        "generation",
        "--segmenter-masks",
        "--device",
        "cpu",
        "--model",
        &model,
    ]);
    assert!(expect(lacking.arg(scratch.path("drawn")), 1).contains("images3"));
}
