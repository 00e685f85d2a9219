//! Object stores, against a real server on loopback: HTTP with ranges, and as much of S3 as listing and reading take.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use super::common::{Scratch, options, pack_it, png};
use factorseg_data::dataset::DataSet;

/// Serves objects by path, with ranges; `/bucket?list-type=2` lists them as S3 does.
fn serve(objects: BTreeMap<&'static str, Vec<u8>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let objects = Arc::new(objects);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let objects = objects.clone();
            std::thread::spawn(move || answer(stream.unwrap(), &objects));
        }
    });
    port
}

fn answer(stream: TcpStream, objects: &BTreeMap<&'static str, Vec<u8>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request).unwrap_or(0) == 0 {
            return;
        }
        let (mut range, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let line = line.trim().to_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(bytes) = line.strip_prefix("range: bytes=") {
                let (first, last) = bytes.split_once('-').unwrap();
                range = Some((first.parse::<usize>().unwrap(), last.parse::<usize>().unwrap()));
            }
            if let Some(bytes) = line.strip_prefix("content-length: ") {
                length = bytes.parse().unwrap();
            }
        }
        reader.read_exact(&mut vec![0; length]).unwrap();
        let mut words = request.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = "ETag: \"1\"\r\nLast-Modified: Tue, 01 Oct 2024 10:00:00 GMT\r\n";
        let mut reply = |status: &str, more: &str, body: &[u8]| {
            let head = format!(
                "HTTP/1.1 {status}\r\n{headers}{more}Content-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            if method != "HEAD" {
                stream.write_all(body).unwrap();
            }
        };
        if query.contains("list-type=2") {
            let prefix = query
                .split('&')
                .find_map(|part| part.strip_prefix("prefix="))
                .unwrap_or_default();
            let prefix = prefix.replace("%2F", "/");
            let mut xml = "<ListBucketResult><IsTruncated>false</IsTruncated>".to_owned();
            for (name, content) in objects {
                let Some(key) = name.strip_prefix("/bucket/").filter(|key| key.starts_with(&prefix)) else {
                    continue;
                };
                xml += &format!(
                    "<Contents><Key>{key}</Key><LastModified>2024-10-01T10:00:00.000Z</LastModified><ETag>1</ETag>\
                     <Size>{}</Size></Contents>",
                    content.len()
                );
            }
            reply("200 OK", "", (xml + "</ListBucketResult>").as_bytes());
            continue;
        }
        match (objects.get(path), range) {
            (None, _) => reply("404 Not Found", "", b""),
            (Some(content), None) => reply("200 OK", "", content),
            (Some(content), Some((first, last))) => {
                let last = last.min(content.len() - 1);
                let more = format!("Content-Range: bytes {first}-{last}/{}\r\n", content.len());
                reply("206 Partial Content", &more, &content[first..=last]);
            }
        }
    }
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn names(set: &DataSet) -> Vec<String> {
    (0..set.len()).map(|index| set.name(index)).collect()
}

#[test]
fn archives_and_lists_come_over_http() {
    let scratch = Scratch::new();
    let picture = png(1);
    // Larger than one range of 8 MiB, so that ranges are put together.
    let filler = vec![1u8; 9 << 20];
    let shard = |class: &str| tar(&[("0.bin", &filler), ("1.png", &picture), ("1.cls", class.as_bytes())]);
    let whole = shard("cat");
    let port = serve(BTreeMap::from([
        ("/d/s-0.tar", whole.clone()),
        ("/d/s-1.tar", shard("dog")),
        ("/d/cut.tar", whole[..whole.len() / 2].to_vec()),
        (
            "/d/list.txt",
            b"# pictures\ncats/a.png\ndogs/b.png\ndogs/none.png\n".to_vec(),
        ),
        ("/d/cats/a.png", picture.clone()),
        ("/d/dogs/b.png", b"no picture".to_vec()),
    ]));
    let out = scratch.path("http.pack");
    let url = format!("http://127.0.0.1:{port}/d/s-{{0..1}}.tar");
    pack_it(&url, &out, &options(16)).unwrap();
    let set = DataSet::open(&out).unwrap();
    assert_eq!(
        (names(&set), set.classes()),
        (
            vec!["s-0.tar/1.png".into(), "s-1.tar/1.png".into()],
            &["cat".into(), "dog".into()][..]
        )
    );
    scratch.picture("one.png", 1);
    assert_eq!(
        set.read(1, 16).unwrap(),
        factorseg_data::decode::read_image(&scratch.path("one.png"), 16).unwrap()
    );

    let url = format!("http://127.0.0.1:{port}/d/list.txt");
    let (packed, broken) = pack_it(&url, &out, &options(16)).unwrap();
    assert_eq!((packed.images, broken.len()), (1, 2), "{broken:?}");
    assert!(
        broken[0].starts_with("dogs/b.png") && broken[1].starts_with("dogs/none.png"),
        "{broken:?}"
    );
    assert_eq!(DataSet::open(&out).unwrap().classes(), ["cats"]);

    let failure = |name: &str| {
        pack_it(&format!("http://127.0.0.1:{port}/d/{name}"), &out, &options(16))
            .unwrap_err()
            .to_string()
    };
    assert!(failure("none.tar").contains("no such object"));
    assert!(failure("cut.tar").contains("cut.tar"));
    assert_eq!(DataSet::open(&out).unwrap().len(), 1, "the pack from before stays");
}

#[test]
fn buckets_are_listed_and_read() {
    let scratch = Scratch::new();
    let port = serve(BTreeMap::from([
        ("/bucket/set/b/2.png", png(2)),
        ("/bucket/set/a/1.png", png(1)),
        ("/bucket/set/readme.md", b"words".to_vec()),
        ("/bucket/other/3.png", png(3)),
    ]));
    let settings = [
        ("aws_endpoint", format!("http://127.0.0.1:{port}")),
        ("aws_allow_http", "true".into()),
        ("aws_access_key_id", "key".into()),
        ("aws_secret_access_key", "secret".into()),
        ("aws_region", "us-east-1".into()),
    ];
    let options = factorseg_data::packing::PackOptions {
        store: settings.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        ..options(16)
    };
    let out = scratch.path("s3.pack");
    pack_it("s3://bucket/set", &out, &options).unwrap();
    let set = DataSet::open(&out).unwrap();
    assert_eq!(
        (names(&set), set.class(1)),
        (vec!["a/1.png".into(), "b/2.png".into()], Some(1))
    );
    let error = pack_it("s3://bucket/nothing", &out, &options).unwrap_err().to_string();
    assert!(error.contains("s3://bucket/nothing"), "{error}");
}

#[test]
fn files_have_urls_too() {
    let scratch = Scratch::new();
    scratch.picture("data/x/1.png", 1);
    let out = scratch.path("file.pack");
    pack_it(&format!("file://{}", scratch.path("data").display()), &out, &options(8)).unwrap();
    assert_eq!(names(&DataSet::open(&out).unwrap()), ["x/1.png"]);
    let error = pack_it("gopher://host/x.tar", &out, &options(8))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("gopher://host/x.tar") && error.contains("s3://BUCKET"),
        "{error}"
    );
}
