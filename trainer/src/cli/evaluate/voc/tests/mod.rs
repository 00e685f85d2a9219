use super::*;

#[test]
fn classes_are_told_by_id_or_number() {
    let label = |name: &str| ClassLabel::from_folder(name);
    let few = [label("n02123045"), label("dog")];
    assert_eq!(
        [told(&few, "cat"), told(&few, "dog"), told(&[], "cat")],
        ["n02123045", "none", "none"]
    );
    // Networks of ImageNet that were imported have names at most.
    let thousand: Vec<ClassLabel> = (0..1000).map(|number| label(&format!("class {number}"))).collect();
    assert_eq!(told(&thousand, "tvmonitor"), "664");
    assert_eq!(find_class(&thousand, &told(&thousand, "tvmonitor")), Ok(Some(664)));
}
