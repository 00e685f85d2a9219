//! Whether a CUDA device can be used, in a few hundredths of a second: one small kernel goes through compiler and driver, with the
//! headers that burn's kernels include. What is missing is said in one line, where burn would panic for each of its kernels.

use std::ffi::{CStr, CString};
use std::fmt::Debug;
use std::path::PathBuf;

use cudarc::driver::result as driver;
use cudarc::driver::sys::CUdevice_attribute::{
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
};
use cudarc::nvrtc::result as compiler;

/// What to install, for the end of an error.
const WAY_OUT: &str = "see docs/gpus.md";

/// Checks device `index`.
///
/// # Errors
/// Names what is missing (driver, compiler, headers, a fitting version), and where to read what to install.
pub fn check(index: usize) -> Result<(), String> {
    // SAFETY: looking for a library runs its initialisers; these are the CUDA driver's own libraries, which burn would load
    // next.
    let there = unsafe {
        (
            cudarc::driver::sys::is_culib_present(),
            cudarc::nvrtc::sys::is_culib_present(),
        )
    };
    match there {
        (true, true) => {}
        (false, _) => return Err("the CUDA driver (libcuda) is not installed".into()),
        (_, false) => {
            return Err(format!(
                "the CUDA run-time compiler (libnvrtc) is not installed; {WAY_OUT}"
            ));
        }
    }
    driver::init().map_err(said("the CUDA driver does not start"))?;
    let devices = driver::device::get_count().map_err(said("the CUDA driver counts no devices"))?;
    let device = match i32::try_from(index) {
        Ok(index) if index < devices => driver::device::get(index).map_err(said("no such device"))?,
        _ => return Err(format!("there are {devices} CUDA devices, counted from 0")),
    };
    let attribute = |which| {
        // SAFETY: the device comes from the driver.
        unsafe { driver::device::get_attribute(device, which) }.map_err(said("the device does not answer"))
    };
    let major = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let architecture = 10 * major + attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    let image = compiled(architecture)?;
    // SAFETY: the image is what the compiler made for this device; its context is given back.
    unsafe {
        let context = driver::primary_ctx::retain(device).map_err(said("the device cannot be used"))?;
        let loaded = driver::ctx::set_current(context).and_then(|()| driver::module::load_data(image.as_ptr().cast()));
        let loaded = loaded.and_then(|module| driver::module::unload(module));
        driver::primary_ctx::release(device).map_err(said("the device cannot be given back"))?;
        loaded.map_err(|error| {
            format!(
                "the CUDA driver (of CUDA {}) does not take what the run-time compiler (of CUDA {}) makes, which must not be \
                 newer ({error:?}); {WAY_OUT}",
                driver_version(),
                compiler_version()
            )
        })
    }
}

fn said<E: Debug>(what: &str) -> impl Fn(E) -> String {
    move |error| format!("{what} ({error:?})")
}

/// A kernel that includes what burn's include, compiled for an architecture such as 90.
fn compiled(architecture: i32) -> Result<Vec<std::ffi::c_char>, String> {
    let include = headers()
        .ok_or_else(|| {
            format!(
                "the CUDA headers are not found: CUDA_PATH has to be the folder of include/cuda_runtime.h; {WAY_OUT}"
            )
        })?
        .join("include");
    let tensor_cores = if architecture >= 70 { "#include <mma.h>\n" } else { "" };
    let source = format!(
        "#include <cuda_runtime.h>\n#include <cuda_fp16.h>\n#include <cuda_bf16.h>\n{tensor_cores}extern \"C\" __global__ void \
         __launch_bounds__(32) probe(float *x) {{ x[threadIdx.x] *= 2.0f; }}\n"
    );
    let source = CString::new(source).map_err(said("a kernel"))?;
    let program = compiler::create_program(&source, None).map_err(said("the CUDA run-time compiler does not start"))?;
    let suffix = if architecture >= 90 { "a" } else { "" };
    let options = [
        format!("--gpu-architecture=sm_{architecture}{suffix}"),
        format!("--include-path={}", include.display()),
        format!("--include-path={}", include.join("cccl").display()),
    ];
    // SAFETY: the program was just made and is destroyed once; the log is a string that ends with 0.
    unsafe {
        let done = compiler::compile_program(program, &options);
        let image = done.map_err(|_| {
            let log = compiler::get_program_log(program).unwrap_or_default();
            let log = match log.is_empty() {
                true => String::new(),
                false => CStr::from_ptr(log.as_ptr()).to_string_lossy().into_owned(),
            };
            let reason = log.lines().find(|line| line.contains("error")).unwrap_or("no reason given");
            format!(
                "the CUDA run-time compiler {} cannot compile for sm_{architecture} with the headers of {}: {}; {WAY_OUT}",
                compiler_version(),
                include.display(),
                reason.trim()
            )
        });
        let image = image.and_then(|()| compiler::get_ptx(program).map_err(said("the CUDA run-time compiler fails")));
        compiler::destroy_program(program).map_err(said("the CUDA run-time compiler fails"))?;
        image
    }
}

/// The folder that cubecl-cuda looks for `include/` in.
fn headers() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CUDA_PATH") {
        return Some(path.into());
    }
    let places = [
        ("/usr/local/cuda", "/usr/local/cuda"),
        ("/opt/cuda", "/opt/cuda"),
        ("/usr/bin/nvcc", "/usr"),
    ];
    let found = places.iter().find(|(sign, _)| PathBuf::from(sign).exists());
    found.map(|(_, path)| path.into())
}

fn driver_version() -> String {
    let mut version = 0;
    // SAFETY: writes one number.
    unsafe { cudarc::driver::sys::cuDriverGetVersion(&mut version) };
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

fn compiler_version() -> String {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: writes two numbers.
    unsafe { cudarc::nvrtc::sys::nvrtcVersion(&mut major, &mut minor) };
    format!("{major}.{minor}")
}
