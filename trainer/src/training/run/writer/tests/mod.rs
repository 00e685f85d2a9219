use super::*;
use std::sync::mpsc::channel;

#[test]
fn work_goes_on_beside_and_its_error_is_told_once() {
    let mut writer = Writer::default();
    let (go, wait) = channel();
    writer.start(move || Ok(wait.recv()?)).unwrap();
    // It has not been told to go on, and nobody waits for it.
    writer.check().unwrap();
    go.send(()).unwrap();
    writer.start(|| Err(anyhow!("the disk is full"))).unwrap();
    assert_eq!(writer.finish().unwrap_err().to_string(), "the disk is full");
    writer.finish().unwrap();
    writer.start(|| panic!("a test's panic")).unwrap();
    let error = writer.start(|| Ok(())).unwrap_err().to_string();
    assert!(error.contains("panicked"), "{error}");
}

#[test]
fn work_is_done_before_a_writer_is_gone() {
    let (go, wait) = channel();
    let (done, seen) = channel();
    let mut writer = Writer::default();
    let work = move || {
        wait.recv()?;
        Ok(done.send(())?)
    };
    writer.start(work).unwrap();
    go.send(()).unwrap();
    drop(writer);
    seen.try_recv().unwrap();
}
