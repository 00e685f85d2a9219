use super::*;

#[test]
fn ranges_stand_for_names() {
    assert_eq!(expand("a/b.tar").unwrap(), ["a/b.tar"]);
    assert_eq!(
        expand("s-{08..11}.tar").unwrap(),
        ["s-08.tar", "s-09.tar", "s-10.tar", "s-11.tar"]
    );
    assert!(expand("s-{8..}.tar").is_err() && expand("s-{9..3}.tar").is_err());
    assert!(expand("s-{0..99999999}.tar").is_err());
    assert_eq!(
        Source::parse("https://host/s-{0..1}.tar").unwrap(),
        Source::Remote(vec!["https://host/s-0.tar".into(), "https://host/s-1.tar".into()])
    );
}
