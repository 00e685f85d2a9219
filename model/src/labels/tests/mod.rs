use super::*;

fn labels() -> Vec<ClassLabel> {
    vec![
        ClassLabel {
            wordnet_id: Some("n02123045".into()),
            name: "tabby, tabby cat".into(),
        },
        ClassLabel::from_folder("n02085936"),
        ClassLabel::from_folder("Water_Buffalo"),
    ]
}

#[test]
fn classes_are_found_by_index_id_and_name() {
    for (word, expected) in [
        ("none", None),
        ("", None),
        ("2", Some(2)),
        ("n02123045", Some(0)),
        ("Tabby-Cat", Some(0)),
        ("n02085936", Some(1)),
        ("water buffalo", Some(2)),
    ] {
        assert_eq!(find_class(&labels(), word), Ok(expected), "{word}");
    }
}

/// ImageNet's classes by whatever name they were trained under: ids, numbers from 0 to 999, or only their count.
#[test]
fn imagenets_classes_answer_to_their_names() {
    let ids: Vec<String> = IMAGENET.lines().filter_map(|line| listed(line)?.wordnet_id).collect();
    assert!(ids.len() == 1000 && ids.is_sorted());
    let shuffled = ["n02123045", "n01443537", "n00000001"].map(str::to_owned);
    assert_eq!(
        find_class(&ClassLabel::from_folders(&shuffled), "goldfish"),
        Ok(Some(1))
    );
    assert_eq!(ClassLabel::from_folder("n00000001").name, "n00000001");
    for labels in [ClassLabel::from_folders(&ids), ClassLabel::of_count(1000)] {
        for word in ["tabby", "281", "n02123045"] {
            assert_eq!(find_class(&labels, word), Ok(Some(281)), "{word}");
        }
        // Table 7 of the paper.
        for (word, index) in [
            ("warplane", 895),
            ("hummingbird", 94),
            ("water-buffalo", 346),
            ("maltese-dog", 153),
        ] {
            assert_eq!(find_class(&labels, word), Ok(Some(index)), "{word}");
        }
        let message = find_class(&labels, "crane").unwrap_err().to_string();
        assert!(message.contains("n02012849, n03126707"), "{message}");
    }
    // Numbers that are not ImageNet's stay numbers.
    let flowers: Vec<String> = (1..=102).map(|class| class.to_string()).collect();
    assert!(find_class(&ClassLabel::from_folders(&flowers), "tench").is_err());
    assert_eq!(find_class(&ClassLabel::of_count(7), "3"), Ok(Some(3)));
}

#[test]
fn a_number_names_the_class_of_that_name_where_names_are_numbers() {
    let folders = |names: &[&str]| {
        names
            .iter()
            .map(|name| ClassLabel::from_folder(name))
            .collect::<Vec<_>>()
    };
    let numbered = folders(&["1", "2", "010"]);
    for (word, expected) in [
        ("1", Some(0)),
        ("010", Some(2)),
        ("10", Some(2)),
        ("02", Some(1)),
        ("none", None),
    ] {
        assert_eq!(find_class(&numbered, word), Ok(expected), "{word}");
    }
    let message = find_class(&numbered, "0").unwrap_err().to_string();
    assert!(message.contains("`1`") && !message.contains("index"), "{message}");
    // A name goes before an index.
    assert_eq!(find_class(&folders(&["cat", "0", "dog"]), "0"), Ok(Some(1)));
    assert_eq!(find_class(&folders(&["cat", "0", "dog"]), "2"), Ok(Some(2)));
}

#[test]
fn an_unknown_class_is_an_error_that_names_the_choices() {
    let message = find_class(&labels(), "unicorn").unwrap_err().to_string();
    assert!(message.contains("unicorn") && message.contains("0 to 2"), "{message}");
    assert!(find_class(&labels(), "3").is_err());
    assert!(matches!(find_class(&[], "tabby"), Err(ClassError::Unconditional(_))));
}
