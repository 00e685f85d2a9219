use super::*;

#[test]
fn addresses_may_name_their_port() {
    for (text, port) in [
        ("127.0.0.1", None),
        ("127.0.0.1:7777", Some(7777)),
        ("::1", None),
        ("[::1]", None),
        ("[::1]:80", Some(80)),
    ] {
        assert_eq!(bind(text).unwrap().1, port, "{text}");
    }
    for text in ["", "localhost", "127.0.0.1:", "127.0.0.1:99999", "7777"] {
        assert!(bind(text).is_err(), "{text}");
    }
}
