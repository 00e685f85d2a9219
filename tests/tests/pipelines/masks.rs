//! `factorseg-pipeline masks` and `davis`.

use std::fs;
use std::path::Path;

use factorseg_tests::{fail, succeed};
use image::GrayImage;
use serde_json::Value;

use crate::support::{folder, launch, pipeline};

fn grey(path: &Path) -> GrayImage {
    image::open(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .to_luma8()
}

fn png_files(folder: &Path) -> Vec<GrayImage> {
    let paths = (0..).map(|index| folder.join(format!("{index:05}.png")));
    paths.take_while(|path| path.exists()).map(|path| grey(&path)).collect()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn numbers(value: &Value) -> Vec<usize> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_u64().unwrap() as usize)
        .collect()
}

#[test]
fn pictures_a_video_and_lines_of_json_hold_the_same_masks() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    for out in ["png", "grey.mkv", "rle.jsonl", "polygons.jsonl --segmentation polygons"] {
        succeed(&mut pipeline(folder.path(), &format!("masks --in in.mp4 --out {out}")));
    }
    let pictures = png_files(&path("png"));
    assert_eq!(pictures.len(), 12);

    fs::create_dir(path("decoded")).unwrap();
    launch(
        folder.path(),
        "filesrc location=grey.mkv ! matroskademux ! avdec_ffv1 ! video/x-raw,format=GRAY8 ! pngenc ! multifilesink location=decoded/%05d.png",
    );
    assert_eq!(png_files(&path("decoded")), pictures);

    let (runs, polygons) = (lines(&path("rle.jsonl")), lines(&path("polygons.jsonl")));
    assert_eq!((runs.len(), polygons.len()), (12, 12));
    for (index, picture) in pictures.iter().enumerate() {
        assert!(picture.pixels().all(|pixel| [0, 255].contains(&pixel[0])));
        let (line, polygons) = (&runs[index], &polygons[index]);
        assert_eq!(
            (&line["image_id"], &line["width"], &line["height"]),
            (&index.into(), &160.into(), &120.into())
        );
        let annotations = line["annotations"].as_array().unwrap();
        assert_eq!(annotations.len(), polygons["annotations"].as_array().unwrap().len());
        let mut decoded = GrayImage::new(160, 120);
        for (annotation, polygons) in annotations.iter().zip(polygons["annotations"].as_array().unwrap()) {
            // COCO's runs: outside and inside in turn, down the columns.
            assert_eq!(numbers(&annotation["segmentation"]["size"]), [120, 160]);
            let counts = numbers(&annotation["segmentation"]["counts"]);
            let inside = counts
                .iter()
                .enumerate()
                .flat_map(|(run, count)| std::iter::repeat_n(run % 2 == 1, *count));
            let places: Vec<(u32, u32)> = inside
                .enumerate()
                .filter(|(_, inside)| *inside)
                .map(|(at, _)| (at as u32 / 120, at as u32 % 120))
                .collect();
            assert_eq!(annotation["area"], places.len());
            places
                .iter()
                .for_each(|(x, y)| decoded.put_pixel(*x, *y, image::Luma([255])));
            let (left, right) = (
                places.iter().map(|at| at.0).min().unwrap(),
                places.iter().map(|at| at.0).max().unwrap(),
            );
            let (top, bottom) = (
                places.iter().map(|at| at.1).min().unwrap(),
                places.iter().map(|at| at.1).max().unwrap(),
            );
            let expected = [left, top, right + 1 - left, bottom + 1 - top].map(|number| number as usize);
            assert_eq!(numbers(&annotation["bbox"]), expected);
            assert_eq!(polygons["bbox"], annotation["bbox"]);
            // All corners lie within the box, and touch each of its sides.
            let corners: Vec<usize> = polygons["segmentation"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(numbers)
                .collect();
            let across: Vec<usize> = corners.iter().step_by(2).copied().collect();
            let down: Vec<usize> = corners.iter().skip(1).step_by(2).copied().collect();
            let ends = |values: &[usize]| (*values.iter().min().unwrap(), *values.iter().max().unwrap());
            assert_eq!(ends(&across), (left as usize, right as usize + 1));
            assert_eq!(ends(&down), (top as usize, bottom as usize + 1));
        }
        let different = decoded.pixels().zip(picture.pixels()).filter(|(a, b)| a != b).count();
        assert!(different <= 2, "frame {index}: {different} pixels");
        assert!(
            picture.pixels().any(|pixel| pixel[0] == 255),
            "frame {index} has no object"
        );
    }
    let text = fail(&mut pipeline(folder.path(), "masks --in in.mp4 --out masks.gif"));
    assert!(
        text.contains("none of a folder, a video (.mkv) and lines of JSON"),
        "{text}"
    );
}

#[test]
fn a_whole_data_set_has_masks_in_the_layout_of_davis() {
    let folder = folder();
    for (sequence, pattern) in [("ball", "ball"), ("bars", "smpte")] {
        let frames = format!("DAVIS/JPEGImages/480p/{sequence}");
        fs::create_dir_all(folder.path().join(&frames)).unwrap();
        launch(
            folder.path(),
            // Numbers need not begin at 0 nor follow each other.
            &format!(
                "videotestsrc pattern={pattern} num-buffers=3 ! video/x-raw,width=97,height=64 ! jpegenc ! multifilesink index=7 location={frames}/%05d.jpg"
            ),
        );
    }
    let text = succeed(&mut pipeline(folder.path(), "davis --in DAVIS --out results"));
    assert!(text.contains("wrote 2 sequences"), "{text}");
    for file in ["ball/00007.png", "ball/00009.png", "bars/00008.png"] {
        let path = folder.path().join("results").join(file);
        let mut decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(&path).unwrap()));
        decoder.set_transformations(png::Transformations::IDENTITY);
        let mut reader = decoder.read_info().unwrap();
        let info = reader.info();
        assert_eq!(
            (info.width, info.height, info.color_type),
            (97, 64, png::ColorType::Indexed)
        );
        // The first colours of PASCAL VOC's and DAVIS's palette.
        let palette = info.palette.as_ref().unwrap();
        assert_eq!(palette[..12], [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]);
        let mut indices = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut indices).unwrap();
        assert!(indices.iter().all(|index| *index <= 1), "{file}");
    }
    assert!(!folder.path().join("results/ball/00010.png").exists());

    succeed(&mut pipeline(
        folder.path(),
        "davis --in DAVIS --out one --sequences bars",
    ));
    let written: Vec<_> = fs::read_dir(folder.path().join("one"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(written, ["bars"]);
    let text = fail(&mut pipeline(
        folder.path(),
        "davis --in DAVIS --out one --sequences dog",
    ));
    assert!(text.contains("DAVIS holds no sequence `dog`"), "{text}");
}

#[test]
fn pieces_of_the_object_keep_their_indices() {
    let folder = folder();
    let frames = folder.path().join("DAVIS/pair");
    fs::create_dir_all(&frames).unwrap();
    // Two bright discs on a dark ground, far apart, that move towards each other.
    let discs = |index: u32| [(30 + 2 * index, 40, 14), (130 - 2 * index, 80, 18)];
    let inside = |x: u32, y: u32, (at, row, radius): (u32, u32, u32)| {
        x.abs_diff(at).pow(2) + y.abs_diff(row).pow(2) < radius * radius
    };
    for index in 0..6 {
        let picture = image::RgbImage::from_fn(160, 120, |x, y| {
            let bright = discs(index).iter().any(|disc| inside(x, y, *disc));
            image::Rgb(if bright {
                [230, 220, 60]
            } else {
                [30, 40, 60 + (x / 8) as u8]
            })
        });
        picture.save(frames.join(format!("{index:05}.png"))).unwrap();
    }
    succeed(&mut pipeline(folder.path(), "davis --in DAVIS --out regions"));
    succeed(&mut pipeline(folder.path(), "davis --in DAVIS --out pieces --pieces"));
    let [regions, pieces] = ["regions", "pieces"].map(|out| {
        let indices = |index: u32| {
            let path = folder.path().join(format!("{out}/pair/{index:05}.png"));
            let mut decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(path).unwrap()));
            decoder.set_transformations(png::Transformations::IDENTITY);
            let mut reader = decoder.read_info().unwrap();
            let mut indices = vec![0; reader.output_buffer_size().unwrap()];
            reader.next_frame(&mut indices).unwrap();
            indices
        };
        (0..6).map(indices).collect::<Vec<_>>()
    });
    let first = discs(0).map(|(x, y, _)| pieces[0][(y * 160 + x) as usize]);
    for (index, (regions, pieces)) in (0..).zip(regions.iter().zip(&pieces)) {
        // Of a piece all is kept, but for specks of less than a thousandth of the frame.
        let (object, kept) = (regions.iter().zip(pieces)).fold((0, 0), |(object, kept), (region, piece)| {
            assert!(*piece == 0 || *region > 0);
            (object + u32::from(*region > 0), kept + u32::from(*piece > 0))
        });
        assert!(kept * 10 >= object * 9, "frame {index}: {kept} of {object}");
        let middle = discs(index).map(|(x, y, _)| pieces[(y * 160 + x) as usize]);
        assert!(
            middle[0] > 0 && middle[1] > 0 && middle[0] != middle[1],
            "frame {index}: {middle:?}"
        );
        assert_eq!(middle, first, "frame {index}");
    }
}
