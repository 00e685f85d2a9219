use image::{GrayImage, Luma, Rgb};

use super::*;

/// A picture that is black but for its size, and a map of one value.
fn write(folder: &Path, name: &str, side: u32, value: u8) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    GrayImage::from_pixel(side, 2, Luma([value])).save(path).unwrap();
}

fn read(items: &Items) -> Result<Vec<(RgbImage, LabelMap)>> {
    (0..items.all.len()).map(|index| items.read(index)).collect()
}

#[test]
fn files_pair_by_name_and_size() {
    let data = tempfile::tempdir().unwrap();
    let here = data.path();
    let list = |limit| Items::open(here, "maps", limit);
    let error = |limit| format!("{:#}", list(limit).and_then(|items| read(&items)).unwrap_err());
    fs::create_dir(here.join("images")).unwrap();
    assert!(error(None).contains("images/ and maps/"));
    fs::create_dir(here.join("maps")).unwrap();
    assert!(error(None).contains("no pictures in"));
    for (name, side) in [("b", 3), ("a", 2), ("c", 4)] {
        write(here, &format!("images/{name}.png"), side, 0);
        write(here, &format!("maps/{name}.bmp"), side, 0);
    }
    fs::write(here.join("images/.hidden"), "").unwrap();
    // What Windows leaves in a folder.
    for name in ["images/Thumbs.db", "images/desktop.ini", "maps/Thumbs.db"] {
        fs::write(here.join(name), "no picture").unwrap();
    }
    assert_eq!(list(None).unwrap().skipped.len(), 3);
    // In the order of names.
    let widths = |limit| -> Vec<u32> {
        let items = list(limit).unwrap();
        read(&items).unwrap().iter().map(|pair| pair.0.width()).collect()
    };
    assert_eq!((widths(None), widths(Some(2))), (vec![2, 3, 4], vec![2, 3]));
    GrayImage::new(3, 3).save(here.join("maps/c.bmp")).unwrap();
    assert!(error(None).contains("same size") && widths(Some(2)) == [2, 3]);
    fs::remove_file(here.join("maps/b.bmp")).unwrap();
    assert!(error(None).contains("b.png") && widths(Some(1)) == [2]);
    fs::write(here.join("maps/a.bmp"), "no picture").unwrap();
    assert!(error(Some(1)).contains("a.bmp"));
    fs::copy(here.join("images/a.png"), here.join("images/a.jpg")).unwrap();
    assert!(error(None).contains("a.jpg") && error(None).contains("same name"));
}

fn told(items: &Items) -> Vec<(String, Option<&'static str>, bool)> {
    let one = |item: &Item| {
        (
            file_name(&item.picture),
            item.class.clone().map(|class| &*class.leak()),
            item.fit,
        )
    };
    items.all.iter().map(one).collect()
}

#[test]
fn folders_are_classes_and_need_no_mask_for_each_picture() {
    let data = tempfile::tempdir().unwrap();
    for class in ["n01440764", "n02123045"] {
        for name in ["1", "2"] {
            write(data.path(), &format!("images/{class}/{name}.png"), 2, 0);
        }
        write(data.path(), &format!("masks/{class}/2.png"), 2, 0);
    }
    let items = Items::open(data.path(), "masks", None).unwrap();
    assert_eq!(
        told(&items),
        [
            ("2.png".into(), Some("n01440764"), true),
            ("2.png".into(), Some("n02123045"), false)
        ]
    );
    assert_eq!(items.skipped.len(), 2);
}

#[test]
fn birds_have_the_split_of_redo_or_their_own() {
    let data = tempfile::tempdir().unwrap();
    let folder = "001.Albatross";
    let names: String = (1..=4).map(|i| format!("{i} {folder}/{i}.jpg\n")).collect();
    fs::write(data.path().join("images.txt"), names).unwrap();
    fs::create_dir(data.path().join("segmentations")).unwrap();
    fs::write(data.path().join("train_test_split.txt"), "1 1\n2 0\n3 1\n4 0\n").unwrap();
    let found = |limit| told(&Items::open(data.path(), "masks", limit).unwrap());
    let row = |name: &str, fit| (name.to_owned(), Some(folder), fit);
    assert_eq!(
        found(None),
        [
            row("1.jpg", true),
            row("2.jpg", false),
            row("3.jpg", true),
            row("4.jpg", false)
        ]
    );
    assert_eq!(found(Some(1)), [row("1.jpg", true), row("2.jpg", false)]);
    fs::write(data.path().join("train_val_test_split.txt"), "1 0\n2 1\n3 2\n4 2\n").unwrap();
    assert_eq!(
        found(None),
        [row("2.jpg", true), row("3.jpg", false), row("4.jpg", false)]
    );
    let map = Items::open(data.path(), "masks", None).unwrap().all[0].map.clone();
    assert_eq!(
        map,
        Map::File(data.path().join("segmentations").join(folder).join("2.png"))
    );
}

/// `setid.mat` as SciPy writes it, once compressed (`trainer/tests/reference/setid.py`).
#[test]
fn flowers_have_the_sets_of_redo() {
    let data = tempfile::tempdir().unwrap();
    let path = |name: &str| data.path().join(name);
    for number in 1..=6 {
        let blue = |x: u32, y: u32| {
            if (x, y) == (1, 1) {
                Rgb([number * 9, 40, 8])
            } else {
                Rgb([0, 0, 254])
            }
        };
        for (folder, file) in [("jpg", "image"), ("segmim", "segmim")] {
            fs::create_dir_all(path(folder)).unwrap();
            // Without loss, whatever the name says.
            let file = path(&format!("{folder}/{file}_{number:05}.jpg"));
            RgbImage::from_fn(3, 2, blue)
                .save_with_format(file, image::ImageFormat::Png)
                .unwrap();
        }
    }
    for bytes in [&include_bytes!("setid.mat")[..], include_bytes!("setid_compressed.mat")] {
        fs::write(path("setid.mat"), bytes).unwrap();
        let items = Items::open(data.path(), "masks", None).unwrap();
        let found: Vec<_> = told(&items).into_iter().map(|(name, _, fit)| (name, fit)).collect();
        let row = |number, fit| (format!("image_{number:05}.jpg"), fit);
        assert_eq!(found, [row(5, true), row(2, true), row(1, false), row(3, false)]);
        for (_, map) in read(&items).unwrap() {
            assert_eq!(map.values, [0, 0, 0, 0, 1, 0]);
        }
        for end in 0..bytes.len() {
            fs::write(path("setid.mat"), &bytes[..end]).unwrap();
            assert!(Items::open(data.path(), "masks", None).is_err(), "{end}");
        }
    }
}

#[test]
fn faces_are_put_together_from_their_parts() {
    let data = tempfile::tempdir().unwrap();
    let mapping = "idx orig_idx orig_file\n0 100 000101.jpg\n1 170000 170001.jpg\n2001 190000 190001.jpg\n";
    fs::write(data.path().join("CelebA-HQ-to-CelebA-mapping.txt"), mapping).unwrap();
    for (number, folder) in [(1, 0), (2001, 1)] {
        write(data.path(), &format!("CelebA-HQ-img/{number}.png"), 8, 9);
        fs::rename(
            data.path().join(format!("CelebA-HQ-img/{number}.png")),
            data.path().join(format!("CelebA-HQ-img/{number}.jpg")),
        )
        .unwrap();
        for (part, until) in [("skin", 3), ("nose", 1), ("hair", 2), ("cloth", 0)] {
            let path = data
                .path()
                .join(format!("CelebAMask-HQ-mask-anno/{folder}/{number:05}_{part}.png"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            GrayImage::from_fn(4, 1, |x, _| Luma([if x < until { 255 } else { 0 }]))
                .save(path)
                .unwrap();
        }
    }
    let items = Items::open(data.path(), "masks", None).unwrap();
    assert_eq!(
        told(&items),
        [("1.jpg".into(), None, true), ("2001.jpg".into(), None, false)]
    );
    for (picture, map) in read(&items).unwrap() {
        assert_eq!((picture.dimensions(), map.values), ((4, 1), vec![13, 13, 1, 0]));
    }
}

#[test]
fn a_picture_of_voc_counts_for_each_class_that_it_holds() {
    let data = tempfile::tempdir().unwrap();
    let lists = data.path().join("ImageSets/Segmentation");
    fs::create_dir_all(&lists).unwrap();
    fs::write(lists.join("train.txt"), "a\n").unwrap();
    fs::write(lists.join("val.txt"), "b\nc\n").unwrap();
    fs::create_dir(data.path().join("SegmentationClass")).unwrap();
    fs::create_dir(data.path().join("JPEGImages")).unwrap();
    for (name, values) in [("a", [0, 1, 255]), ("b", [1, 2, 255]), ("c", [0, 2, 2])] {
        let at = |x: u32| Luma([values[x as usize]]);
        GrayImage::from_fn(3, 1, |x, _| at(x))
            .save(data.path().join(format!("SegmentationClass/{name}.png")))
            .unwrap();
        RgbImage::new(3, 1)
            .save(data.path().join(format!("JPEGImages/{name}.jpg")))
            .unwrap();
    }
    let items = voc(data.path(), &["aeroplane", "bicycle", "bird"], None).unwrap();
    assert_eq!(
        told(&items),
        [
            ("b.jpg".into(), Some("aeroplane"), false),
            ("a.jpg".into(), Some("aeroplane"), true),
            ("b.jpg".into(), Some("bicycle"), false),
            ("c.jpg".into(), Some("bicycle"), false),
        ]
    );
    let values: Vec<_> = read(&items).unwrap().into_iter().map(|(_, map)| map.values).collect();
    assert_eq!(values, [[1, 0, 255], [0, 1, 255], [0, 1, 255], [0, 1, 1]]);
}
