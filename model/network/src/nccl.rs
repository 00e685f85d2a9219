//! Gradients of several processes, summed up on their GPUs by NVIDIA's NCCL.
//!
//! NCCL works on the buffers of burn's tensors, outside of burn's order of operations. So burn's stream is waited for before a
//! sum begins, NCCL's own before its result is handed out, and both buffers are held in between. What is read is no longer used
//! by anyone else; what is written is a fresh tensor that nobody has seen.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt::Debug;
use std::sync::LazyLock;
use std::time::Duration;
use std::{mem, ptr, thread};

use burn::backend::Autodiff;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorPrimitive};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::cuda::CudaRuntime;
use burn_cubecl::tensor::CubeTensor;
use burn_cuda::{Cuda, CudaDevice};
use cudarc::driver::result as driver;
use cudarc::driver::sys;
use factorseg_kernels::{DeviceGroup, KernelError};
use libloading::Library;

use crate::training::GroupSum;

/// `ncclFloat32` and `ncclSum` of nccl.h.
const FLOAT32: c_int = 7;
const SUM: c_int = 0;

/// `ncclUniqueId`
#[repr(C)]
#[derive(Clone, Copy)]
struct UniqueId([u8; 128]);

/// `ncclComm_t`
type Communicator = *mut c_void;

/// Of NCCL 2, the functions that are called. cudarc has them, too, but looks for `libnccl.so` alone, which comes with packages for
/// developers.
struct Nccl {
    error: unsafe extern "C" fn(c_int) -> *const c_char,
    unique_id: unsafe extern "C" fn(*mut UniqueId) -> c_int,
    init_rank: unsafe extern "C" fn(*mut Communicator, c_int, UniqueId, c_int) -> c_int,
    abort: unsafe extern "C" fn(Communicator) -> c_int,
    async_error: unsafe extern "C" fn(Communicator, *mut c_int) -> c_int,
    group_start: unsafe extern "C" fn() -> c_int,
    group_end: unsafe extern "C" fn() -> c_int,
    all_reduce:
        unsafe extern "C" fn(*const c_void, *mut c_void, usize, c_int, c_int, Communicator, sys::CUstream) -> c_int,
}

impl Nccl {
    /// The library of this machine, which stays loaded.
    fn get() -> Result<&'static Self, String> {
        static NCCL: LazyLock<Result<Nccl, String>> = LazyLock::new(Nccl::load);
        NCCL.as_ref().map_err(Clone::clone)
    }

    fn load() -> Result<Self, String> {
        // SAFETY: loading runs the initialisers of NVIDIA's library, which ask for nothing.
        let found = ["libnccl.so.2", "libnccl.so"].map(|name| unsafe { Library::new(name) });
        let library = found
            .into_iter()
            .find_map(Result::ok)
            .ok_or("libnccl.so.2 is not found")?;
        macro_rules! function {
            ($name:literal) => {
                // SAFETY: the field's type is that of nccl.h.
                *unsafe { library.get(concat!($name, "\0").as_bytes()) }
                    .map_err(|_| concat!("libnccl has no ", $name, "; version 2 has it"))?
            };
        }
        let nccl = Self {
            error: function!("ncclGetErrorString"),
            unique_id: function!("ncclGetUniqueId"),
            init_rank: function!("ncclCommInitRank"),
            abort: function!("ncclCommAbort"),
            async_error: function!("ncclCommGetAsyncError"),
            group_start: function!("ncclGroupStart"),
            group_end: function!("ncclGroupEnd"),
            all_reduce: function!("ncclAllReduce"),
        };
        mem::forget(library);
        Ok(nccl)
    }

    fn check(&self, result: c_int) -> Result<(), String> {
        if result == 0 {
            return Ok(());
        }
        // SAFETY: it gives a constant string for any number.
        let said = unsafe { CStr::from_ptr((self.error)(result)) };
        Err(format!(
            "NCCL: {}; NCCL_DEBUG=WARN in the environment says more",
            said.to_string_lossy()
        ))
    }
}

/// A name for a new group of GPUs, which all of it have to be given.
///
/// # Errors
/// If there is no NCCL, or it fails.
pub fn group_id() -> Result<Vec<u8>, String> {
    let nccl = Nccl::get()?;
    let mut id = UniqueId([0; 128]);
    // SAFETY: it writes the 128 bytes.
    nccl.check(unsafe { (nccl.unique_id)(&mut id) })?;
    Ok(id.0.to_vec())
}

/// What tells GPU `index` from those of all machines.
///
/// # Errors
/// If there is no NCCL, with which it could be one of a group, or the device does not answer.
pub fn identity(index: usize) -> Result<u64, String> {
    Nccl::get()?;
    let device = device(index)?;
    let uuid = driver::device::get_uuid(device).map_err(failed)?.bytes;
    // FNV-1a
    let mix = |hash: u64, byte: &c_char| (hash ^ u64::from(*byte as u8)).wrapping_mul(0x0000_0100_0000_01b3);
    Ok(uuid.iter().fold(0xcbf2_9ce4_8422_2325, mix))
}

fn device(index: usize) -> Result<sys::CUdevice, String> {
    let index = c_int::try_from(index).map_err(failed)?;
    driver::init().and_then(|()| driver::device::get(index)).map_err(failed)
}

fn failed(error: impl Debug) -> String {
    format!("{error:?}")
}

/// The backend below burn's fusion, whose tensors are buffers.
type Buffers = CubeBackend<CudaRuntime, f32, i32, u8>;

/// A sum under way.
struct Sum {
    /// What it will be in.
    result: Tensor<Cuda, 1>,
    /// The buffers: own values, and those of `result`.
    from: CubeTensor<CudaRuntime>,
    to: CubeTensor<CudaRuntime>,
}

/// A GPU as one of a group.
struct Member {
    nccl: &'static Nccl,
    cuda: sys::CUdevice,
    /// The device's own, which burn uses, too.
    context: sys::CUcontext,
    /// NCCL's, beside those of burn.
    stream: sys::CUstream,
    communicator: Communicator,
    under_way: Vec<Sum>,
}

// SAFETY: one thread at a time uses it, and takes the context that the handles are of.
unsafe impl Send for Member {}

/// Makes `device` one of a group.
pub fn join(device: &CudaDevice, group: &DeviceGroup) -> Result<Box<dyn GroupSum<Autodiff<Cuda>>>, KernelError> {
    let join = || {
        let nccl = Nccl::get()?;
        let id = UniqueId(group.id.as_slice().try_into().map_err(failed)?);
        let (count, rank) = (
            group.count.try_into().map_err(failed)?,
            group.rank.try_into().map_err(failed)?,
        );
        let cuda = self::device(device.index)?;
        // SAFETY: the device comes from the driver; its context is given back when the member is dropped.
        let context = unsafe { driver::primary_ctx::retain(cuda) }.map_err(failed)?;
        let mut member = Member {
            nccl,
            cuda,
            context,
            stream: ptr::null_mut(),
            communicator: ptr::null_mut(),
            under_way: Vec::new(),
        };
        member.enter()?;
        member.stream = driver::stream::create(driver::stream::StreamKind::NonBlocking).map_err(failed)?;
        // SAFETY: it writes the communicator, for the device of the context that was entered.
        nccl.check(unsafe { (nccl.init_rank)(&mut member.communicator, count, id, rank) })?;
        Ok(member)
    };
    let member: Result<Member, String> = join();
    Ok(Box::new(member.map_err(KernelError::Device)?))
}

impl Member {
    fn enter(&self) -> Result<(), String> {
        // SAFETY: the context is held.
        unsafe { driver::ctx::set_current(self.context) }.map_err(failed)
    }

    fn reduce(&self, sums: &[Sum]) -> Result<(), String> {
        let mut places = Vec::with_capacity(sums.len());
        for sum in sums {
            places.push((
                address(&sum.from)?,
                address(&sum.to)?,
                sum.result.shape().num_elements(),
            ));
        }
        if let Some(sum) = sums.first() {
            Buffers::sync(&sum.from.device).map_err(failed)?;
        }
        self.enter()?;
        // SAFETY: the buffers have as many values, are held until the stream has been waited for, and burn is through with what
        // it does to them.
        unsafe {
            self.nccl.check((self.nccl.group_start)())?;
            for (from, to, count) in places {
                let (from, to) = (from as *const c_void, to as *mut c_void);
                let begun = (self.nccl.all_reduce)(from, to, count, FLOAT32, SUM, self.communicator, self.stream);
                self.nccl.check(begun)?;
            }
            self.nccl.check((self.nccl.group_end)())
        }
    }

    /// Waits for the stream. If another process is gone the communicator knows, and the stream would wait for ever.
    fn wait(&self) -> Result<(), String> {
        self.enter()?;
        loop {
            // SAFETY: stream and communicator are this member's.
            match unsafe { sys::cuStreamQuery(self.stream) } {
                sys::CUresult::CUDA_SUCCESS => return Ok(()),
                sys::CUresult::CUDA_ERROR_NOT_READY => {}
                error => return Err(failed(error)),
            }
            let mut error = 0;
            // SAFETY: it writes one number.
            let asked = unsafe { (self.nccl.async_error)(self.communicator, &mut error) };
            self.nccl.check(asked)?;
            self.nccl.check(error)?;
            thread::sleep(Duration::from_micros(20));
        }
    }
}

/// The buffer of a tensor, once burn has put all operations on it into its stream.
fn buffer(tensor: Tensor<Cuda, 1>) -> Result<CubeTensor<CudaRuntime>, KernelError> {
    let TensorPrimitive::Float(tensor) = tensor.into_primitive() else {
        return Err(KernelError::Device("gradients are floats".to_owned()));
    };
    Ok(tensor.client.clone().resolve_tensor_float::<Buffers>(tensor))
}

/// Where a buffer is on the device.
fn address(buffer: &CubeTensor<CudaRuntime>) -> Result<u64, String> {
    let found = buffer.client.get_resource(buffer.handle.clone()).map_err(failed)?;
    Ok(found.resource().ptr)
}

impl GroupSum<Autodiff<Cuda>> for Member {
    fn begin(&mut self, rows: Vec<Tensor<Cuda, 1>>) -> Result<(), KernelError> {
        let first = self.under_way.len();
        for row in rows {
            let result = Tensor::empty(row.shape(), &row.device());
            let (from, to) = (buffer(row)?, buffer(result.clone())?);
            let from = if from.is_contiguous() { from } else { from.copy() };
            self.under_way.push(Sum { result, from, to });
        }
        self.reduce(&self.under_way[first..]).map_err(KernelError::Device)
    }

    fn end(&mut self) -> Result<Vec<Tensor<Cuda, 1>>, KernelError> {
        self.wait().map_err(KernelError::Device)?;
        Ok(self.under_way.drain(..).map(|sum| sum.result).collect())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.enter();
        // SAFETY: all three are this member's, and not used again. Nothing is under way, or no longer matters: aborting waits for
        // no other process.
        unsafe {
            if !self.communicator.is_null() {
                (self.nccl.abort)(self.communicator);
            }
            if !self.stream.is_null() {
                let _ = driver::stream::destroy(self.stream);
            }
            let _ = driver::primary_ctx::release(self.cuda);
        }
    }
}
