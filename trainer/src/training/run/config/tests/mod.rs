use super::*;

#[test]
fn data_is_called_by_a_name_that_tells_it_apart() {
    for (path, name) in [
        ("/data/photos", "photos"),
        ("/data/animals/train", "animals/train"),
        ("/data/animals/Train.pack", "animals/Train.pack"),
        ("/runs/footage/data.pack", "footage/data.pack"),
        ("/train", "train"),
        ("/", ""),
    ] {
        assert_eq!(data_name(Path::new(path)), name);
    }
}
