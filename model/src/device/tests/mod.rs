use super::*;

#[test]
fn devices_are_read_as_they_are_written() {
    for device in [
        DeviceSpec::Auto,
        DeviceSpec::Cpu,
        DeviceSpec::Cuda(0),
        DeviceSpec::Cuda(3),
    ] {
        assert_eq!(device.to_string().parse(), Ok(device));
    }
    assert_eq!("cuda".parse(), Ok(DeviceSpec::Cuda(0)));
    for word in ["", "gpu", "cuda:", "cuda:-1", "cuda:x"] {
        assert!(word.parse::<DeviceSpec>().is_err(), "{word}");
    }
}

#[test]
fn a_device_that_cannot_be_had_is_an_error_and_auto_always_resolves() {
    assert!(DeviceSpec::Auto.resolve().is_ok());
    assert_eq!(DeviceSpec::Cpu.resolve(), Ok(Device::Cpu));
    let message = DeviceSpec::Cuda(4096).resolve().unwrap_err().to_string();
    assert!(message.contains("cuda:4096"), "{message}");
    let names_the_way = message.contains("cargo build") && message.contains("CUDA=1");
    assert_eq!(names_the_way, cfg!(not(feature = "cuda")), "{message}");
}

#[test]
fn networks_with_as_many_threads_share_them() {
    let (Threads::Pool(first), Threads::Pool(second)) = (threads(3).unwrap(), threads(3).unwrap()) else {
        panic!("three threads are a pool");
    };
    assert!(std::sync::Arc::ptr_eq(&first, &second));
    assert_eq!(threads(1).unwrap().count(), 1);
}
