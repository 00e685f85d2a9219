//! What the paper compares its network with: the ways to take in the masks (Table 6), a supervised network and clusters of a
//! denoiser's features (Tables 3 to 5), trained, stored and scored by one program. And other K, and 128 pixels.

use std::path::Path;
use std::process::Command;

use super::common::{Scratch, expect, inspect, program, state};
use image::{GrayImage, Luma, Rgb, RgbImage};

/// The paper's schedule on four images a step.
const PAPER: [&str; 4] = ["--recipe", "paper-cub", "--batch-size", "4"];

/// Ten pictures of bright ellipses before dark noise: `set/images`, `set/masks`, and in `set/maps` 1 in the left half and 2 in the right.
fn labelled(scratch: &Scratch) {
    for i in 0..10u32 {
        let inside = |x: u32, y: u32| {
            let (x, y) = (x as f32 - 8.0 - i as f32 % 3.0, y as f32 - 10.0);
            x * x + 0.6 * y * y < 30.0
        };
        let part = |x: u32| if x < 10 { 1 } else { 2 };
        for name in ["images", "masks", "maps"] {
            let path = scratch.path(&format!("set/{name}/{i}.png"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let saved = match name {
                "images" => RgbImage::from_fn(20, 20, |x, y| match inside(x, y) {
                    true => Rgb([230, 200 - 5 * i as u8, 20 * part(x)]),
                    false => Rgb([(7 * x + 13 * y * i) as u8 % 60, 40, 60]),
                })
                .save(path),
                "masks" => GrayImage::from_fn(20, 20, |x, y| Luma([255 * u8::from(inside(x, y))])).save(path),
                _ => GrayImage::from_fn(20, 20, |x, y| Luma([part(x) * u8::from(inside(x, y))])).save(path),
            };
            saved.unwrap();
        }
    }
}

/// The JSON that `factorseg COMMAND` prints with a model.
fn json(arguments: &[&str], folder: &Path, model: &Path) -> serde_json::Value {
    let mut command = program();
    command.args(arguments).arg(folder).args(["--json", "--device", "cpu"]);
    command
        .args(["--threads", "1", "--no-color-model", "--model"])
        .arg(model);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn draw(model: &Path, images: &Path) {
    let mut generate = program();
    generate.args([
        "generate",
        "--device",
        "cpu",
        "--threads",
        "1",
        "--count",
        "6",
        "--steps",
        "3",
        "--model",
    ]);
    generate
        .arg(model)
        .arg("--images")
        .arg(images)
        .arg("--out")
        .arg(images.with_extension("png"));
    expect(&mut generate, 0);
}

#[test]
fn each_way_to_take_in_the_masks_is_trained_stored_resumed_drawn_and_scored() {
    let scratch = Scratch::new();
    labelled(&scratch);
    for (decoding, regions) in [
        ("concatenated", "2"),
        ("masked-middle", "5"),
        ("unshared", "3"),
        ("factorized", "8"),
    ] {
        let options = [
            "--unconditional",
            "--decoding",
            decoding,
            "--regions",
            regions,
            "--save-every",
            "2",
            "--steps",
            "4",
        ];
        expect(&mut scratch.train(decoding, &[&PAPER[..], &options].concat()), 0);
        let model = scratch.path(&format!("{decoding}/model.safetensors"));
        let said = inspect(&model);
        assert_eq!(said["config"]["regions"].to_string(), regions);
        assert_eq!(said["config"]["decoding"].as_str().unwrap_or("factorized"), decoding);
        // Interrupted after two steps, it comes to the same end.
        let copy = scratch.copy(decoding, "again");
        std::fs::remove_dir_all(copy.join("checkpoints/step-000000004")).unwrap();
        expect(&mut scratch.resume("again"), 0);
        assert!(state(&copy, 4) == state(&scratch.path(decoding), 4), "{decoding}");
        std::fs::remove_dir_all(copy).unwrap();
        draw(&model, &scratch.path(&format!("drawn-{decoding}")));
        let scores = json(&["evaluate", "still"], &scratch.path("set"), &model);
        assert_eq!(scores["masks"]["shares"].as_array().unwrap().len().to_string(), regions);
    }
    // Weights of another way do not fit, and it is said why.
    let from = scratch.path("unshared/model.safetensors");
    let mut other = scratch.train(
        "other",
        &[
            &PAPER[..],
            &["--unconditional", "--decoding", "factorized", "--regions", "3"],
        ]
        .concat(),
    );
    let refused = expect(other.arg("--init-from").arg(from), 1);
    let says = refused.contains("holds another network") && refused.contains("decoding: Unshared");
    assert!(says && !scratch.path("other").exists(), "{refused}");
    let mut unknown = scratch.train("other", &["--decoding", "averaged"]);
    assert!(expect(&mut unknown, 2).contains("concatenated"));
}

#[test]
fn each_region_is_split_into_parts_that_sum_to_it() {
    let scratch = Scratch::new();
    // Nothing learns: what is stored is what the run began with.
    let still = r#"
name = "still"
batch_size = 4
ema_rate = 0.5
[[phases]]
name = "still"
steps = 1
timesteps = [1, 100]
learning_rate = 0.0
mask_head = "trained"
"#;
    scratch.write("still.toml", still);
    let still = scratch.path("still.toml");
    for decoding in ["factorized", "unshared"] {
        let options = ["--regions", "2", "--unconditional", "--decoding", decoding];
        expect(
            &mut scratch.train(decoding, &[&PAPER[..], &options, &["--steps", "2"]].concat()),
            0,
        );
        let model = scratch.path(&format!("{decoding}/model.safetensors"));
        let split = format!("{decoding}-split");
        let options = ["--regions", "6", "--unconditional", "--decoding", decoding];
        let mut command = scratch.train(&split, &[&options[..], &["--recipe", still.to_str().unwrap()]].concat());
        let said = expect(command.arg("--init-from").arg(&model), 0);
        assert!(said.contains("is split into 3") && !said.contains("afresh"), "{said}");
        let parts = tensors(&scratch.path(&format!("{split}/model.safetensors")));
        let mut regions = tensors(&model);
        for name in ["weight", "bias"].map(|field| format!("mask_generator.conv_out.{field}")) {
            let (own, split) = (regions.remove(&name).unwrap(), &parts[&name]);
            let row = own.len() / 2;
            for (index, split) in split.chunks_exact(row).enumerate() {
                let own = &own[index / 3 * row..][..row];
                let furthest = own
                    .iter()
                    .zip(split)
                    .map(|(own, part)| (own - part).abs())
                    .fold(0.0, f32::max);
                // Kicked by a deviation of 0.02, and no two alike.
                let kick = if name.ends_with("weight") {
                    0.001..0.1
                } else {
                    0.0..1e-9
                };
                assert!(kick.contains(&furthest), "{name} {index}: {furthest}");
            }
        }
        for (name, values) in regions {
            match name.strip_prefix("decoder.").filter(|_| decoding == "unshared") {
                Some(rest) => {
                    let (region, rest) = rest.split_once('.').unwrap();
                    let first = 3 * region.parse::<usize>().unwrap();
                    let same = (first..first + 3).all(|part| parts[&format!("decoder.{part}.{rest}")] == values);
                    assert!(same, "{name}");
                }
                None => assert!(parts[&name] == values, "{name}"),
            }
        }
    }
}

/// The tensors of a checkpoint in single precision.
fn tensors(model: &Path) -> std::collections::BTreeMap<String, Vec<f32>> {
    let bytes = std::fs::read(model).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let values = |data: &[u8]| {
        data.as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect()
    };
    let tensors = file.tensors();
    tensors
        .into_iter()
        .map(|(name, view)| (name, values(view.data())))
        .collect()
}

#[test]
fn the_supervised_network_learns_labels_and_scores_the_others() {
    let scratch = Scratch::new();
    labelled(&scratch);
    let options = [
        "--recipe",
        "supervised",
        "--steps",
        "120",
        "--batch-size",
        "4",
        "--log-every",
        "60",
    ];
    expect(&mut scratch.train_on(&scratch.path("set"), "object", &options), 0);
    let model = scratch.path("object/model.safetensors");
    assert_eq!(inspect(&model)["info"]["foreground_regions"], serde_json::json!([1]));
    let scores = json(&["evaluate", "still"], &scratch.path("set"), &model);
    assert_eq!(
        (&scores["fitted_images"], &scores["scored_images"]),
        (&2.into(), &8.into())
    );
    let iou = scores["model"]["iou"].as_f64().unwrap();
    assert!(iou > 0.8, "{iou}");

    // Parts: each pixel's class, as `evaluate parts` counts them.
    let recipe = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/supervised.toml")).unwrap();
    let labels = "[self_training.labels]\nmaps = \"maps\"\nclasses = [\"left=1\", \"right=2\"]";
    scratch.write("parts.toml", recipe.replace("[self_training.labels]", labels));
    let recipe = scratch.path("parts.toml");
    let options = [
        "--recipe",
        recipe.to_str().unwrap(),
        "--steps",
        "160",
        "--batch-size",
        "4",
        "--log-every",
        "80",
    ];
    let mut learns = scratch.train_on(&scratch.path("set"), "parts", &options);
    expect(&mut learns, 0);
    let parts = [
        "evaluate",
        "parts",
        "--maps",
        "maps",
        "--class-of",
        "left=1",
        "--class-of",
        "right=2",
    ];
    let scores = json(&parts, &scratch.path("set"), &scratch.path("parts/model.safetensors"));
    let (model, same) = (
        scores["model"]["mean_iou"].as_f64().unwrap(),
        scores["same_map"]["mean_iou"].as_f64().unwrap(),
    );
    assert!(model > same, "{model} {same}");

    // What does not go together.
    let resample = ["--recipe", recipe.to_str().unwrap(), "--regions", "2"];
    let refused = expect(&mut scratch.train_on(&scratch.path("set"), "x", &resample), 1);
    assert!(refused.contains("use --regions 3"), "{refused}");
    scratch.write(
        "resampled.toml",
        std::fs::read_to_string(&recipe).unwrap() + "[augmentation]\ncrop_scale = 1.25\n",
    );
    let resample = scratch.path("resampled.toml");
    let mut resampled = scratch.train_on(&scratch.path("set"), "x", &["--recipe", resample.to_str().unwrap()]);
    assert!(expect(&mut resampled, 1).contains("crop_scale = 1"));
    let refused = expect(&mut scratch.train("x", &["--recipe", "supervised"]), 1);
    assert!(refused.contains("images"), "{refused}");
}

#[test]
fn clusters_of_a_denoisers_features_are_scored_as_masks_are() {
    let scratch = Scratch::new();
    labelled(&scratch);
    let ddpm = ["--unconditional", "--regions", "1", "--steps", "20"];
    let mut learns = scratch.train_on(&scratch.path("set/images"), "ddpm", &[&PAPER[..], &ddpm].concat());
    expect(&mut learns, 0);
    let model = scratch.path("ddpm/model.safetensors");
    let still = [
        "evaluate",
        "still",
        "--clusters",
        "3",
        "--blocks",
        "2,4",
        "--timestep",
        "50",
    ];
    let scores = json(&still, &scratch.path("set"), &model);
    let share = |at: usize| scores["masks"]["shares"][at].as_f64().unwrap();
    assert!((share(0) + share(1) + share(2) - 1.0).abs() < 1e-6 && (0..3).all(|at| share(at) > 0.0));
    assert_eq!(json(&still, &scratch.path("set"), &model), scores, "the same again");
    // Bright on dark is the first thing that features tell apart.
    assert!(scores["model"]["iou"].as_f64().unwrap() > 0.6, "{}", scores["model"]);
    let parts = [
        "evaluate",
        "parts",
        "--clusters",
        "3",
        "--maps",
        "maps",
        "--class-of",
        "left=1",
        "--class-of",
        "right=2",
    ];
    assert_eq!(
        json(&parts, &scratch.path("set"), &model)["assignment"]
            .as_array()
            .unwrap()
            .len(),
        3
    );

    // Table 5: the masks of its pictures against those of a supervised network.
    let supervised = ["--recipe", "supervised", "--steps", "4", "--batch-size", "4"];
    expect(&mut scratch.train_on(&scratch.path("set"), "object", &supervised), 0);
    draw(&model, &scratch.path("drawn"));
    let clusters = scratch.path("ddpm/model.safetensors");
    let generation = [
        "evaluate",
        "generation",
        "--segmenter-masks",
        "--clusters-of",
        clusters.to_str().unwrap(),
    ];
    let consistency = json(
        &generation,
        &scratch.path("drawn"),
        &scratch.path("object/model.safetensors"),
    );
    let accuracy = consistency["consistency"]["generated"]["accuracy"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&accuracy));

    let mut many = program();
    many.args(["evaluate", "still", "--clusters", "3", "--blocks", "9", "--model"])
        .arg(&model)
        .arg(scratch.path("set"));
    assert!(expect(&mut many, 1).contains("the decoder has 1 to 4"));
    let mut masks_alone = program();
    masks_alone
        .args(["evaluate", "still", "--clusters", "3"])
        .arg(scratch.path("set"));
    assert!(expect(&mut masks_alone, 1).contains("was not trained"));
}

/// The paper's second size, with few channels: every level of its network, and one step.
#[test]
fn pictures_of_128_pixels_are_learned_and_drawn() {
    let scratch = Scratch::new();
    let mut learns = program();
    learns
        .arg("train")
        .arg(scratch.path("data"))
        .arg("--run")
        .arg(scratch.path("run"));
    learns.args(
        "--preset paper-128 --base-channels 32 --unconditional --recipe paper-cub --steps 1 --batch-size 1".split(' '),
    );
    expect(
        learns.args("--device cpu --threads 1 --held-out 0 --sample-every 0".split(' ')),
        0,
    );
    let model = scratch.path("run/model.safetensors");
    assert_eq!(
        inspect(&model)["config"]["channel_multipliers"],
        serde_json::json!([1, 1, 2, 3, 4])
    );
    let mut generate = program();
    generate
        .args("generate --device cpu --threads 1 --count 1 --steps 1 --model".split(' '))
        .arg(model);
    expect(
        generate
            .arg("--out")
            .arg(scratch.path("x.png"))
            .arg("--images")
            .arg(scratch.path("each")),
        0,
    );
    assert_eq!(
        image::open(scratch.path("each/00000.png"))
            .unwrap()
            .into_rgb8()
            .dimensions(),
        (128, 128)
    );
}

/// The script of the page, at every scale: the program knows each command that it would run.
#[test]
fn the_script_of_the_page_says_commands_that_are_there() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/paper.sh");
    let folder = Path::new(env!("CARGO_BIN_EXE_factorseg")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let bash = |words: &[&str]| {
        let output = Command::new("bash").args(words).env("PATH", &path).output().unwrap();
        assert!(
            output.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    for scale in ["small", "smoke", "paper"] {
        let commands = bash(&[script, "/", "--scale", scale, "--print"]);
        let count = |part: &str| commands.lines().filter(|line| line.contains(part)).count();
        assert!(
            count("--decoding") == 3 && count("evaluate generation") == 6,
            "{commands}"
        );
        // As one program of the shell: the launcher steps aside, and each command is parsed.
        let parsed: String = commands
            .lines()
            .map(|line| format!("{line} --help >/dev/null || exit 1\n"))
            .collect();
        bash(&[
            "-c",
            &format!("mpirun() {{ while [[ $1 != factorseg ]]; do shift; done; \"$@\"; }}\n{parsed}"),
        ]);
    }
}
