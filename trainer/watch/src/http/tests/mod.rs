use super::*;

#[test]
fn requests_are_taken_apart() {
    let request = parse(b"GET /a/b?c=d HTTP/1.1\r\nAccept: x\r\nHost: [::1]:8080\r\n\r\n");
    let expected = Request {
        method: "GET".into(),
        path: "/a/b".into(),
        host: Some("::1".into()),
    };
    assert_eq!(request, Some(Some(expected)));
    assert_eq!(without_port("localhost:80"), "localhost");
    assert_eq!(parse(b"GET /"), Some(None));
    for wrong in ["GET /\r\n\r\n", "nonsense\r\n\r\n", "GET / FTP/1.1\r\n\r\n"] {
        assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
    }
}
