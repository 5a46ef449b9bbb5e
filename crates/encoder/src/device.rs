//! Whether a device can serve: looks for the libraries that it needs before ONNX Runtime does, and names the first one
//! that is missing.

mod needs;

use std::ffi::OsStr;
use std::path::Path;
use std::{fs, mem};

use berth_types::{Device, Precision};
use libloading::Library;

use self::needs::needed;
use crate::Error;
use crate::library::loader_says;

/// NVIDIA's driver, which comes with the machine and not with a package.
const DRIVER: &str = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so.1" };

/// TensorRT, as ONNX Runtime's provider needs it.
const TENSORRT: &str = if cfg!(windows) { "nvinfer_10.dll" } else { "libnvinfer.so.10" };

/// cuDNN, which the provider for CUDA opens itself when a kernel asks for it.
const CUDNN: &str = "libcudnn.so.9";

/// What a device is called in ONNX Runtime.
pub(crate) fn provider(device: Device) -> &'static str {
    match device {
        Device::Cuda(_) => "CUDAExecutionProvider",
        Device::TensorRt(_) => "TensorrtExecutionProvider",
        _ => "CPUExecutionProvider",
    }
}

/// Whether `device` is a GPU.
pub(crate) fn is_gpu(device: Device) -> bool {
    matches!(device, Device::Cuda(_) | Device::TensorRt(_))
}

/// The precision that suits a GPU.
pub(crate) const GPU_PRECISION: Precision = Precision::Fp16;

/// The device that will serve: the one asked for, or for `auto` the first GPU where CUDA can be loaded, else the processor.
///
/// `runtime` is ONNX Runtime's library, beside which those of its providers lie.
///
/// # Errors
/// `DeviceUnavailable` with the first missing library, when a GPU was asked for by name.
pub(crate) fn resolve(asked: Device, runtime: &Path) -> Result<Device, Error> {
    match asked {
        Device::Auto => Ok(if check(Device::Cuda(0), runtime).is_ok() { Device::Cuda(0) } else { Device::Cpu }),
        Device::Cuda(_) | Device::TensorRt(_) => check(asked, runtime).map(|()| asked),
        _ => Ok(Device::Cpu),
    }
}

fn check(device: Device, runtime: &Path) -> Result<(), Error> {
    let folder = runtime.parent().unwrap_or(Path::new(""));
    let mut stems = vec!["onnxruntime_providers_shared", "onnxruntime_providers_cuda"];
    if matches!(device, Device::TensorRt(_)) {
        stems.push("onnxruntime_providers_tensorrt");
    }
    let files: Vec<_> = stems.into_iter().map(|stem| folder.join(libloading::library_filename(stem))).collect();
    if let Some(file) = files.iter().find(|file| !file.is_file()) {
        let reason = format!("it is not in {}: this is ONNX Runtime for processors only", folder.display());
        return Err(Error::DeviceUnavailable { device, library: name_of(file), reason });
    }
    let driver = load(OsStr::new(DRIVER)).map_err(|message| Error::DeviceUnavailable {
        device,
        library: DRIVER.to_owned(),
        reason: format!("NVIDIA's driver does not load: {message}"),
    });
    let mut loaded = Vec::new();
    for file in &files {
        loaded.extend(check_needs(device, folder, file, driver.is_ok())?);
    }
    let driver = driver?;
    check_gpus(device, &driver)?;
    // They stay: what loading them took is not done again when ONNX Runtime wants them.
    loaded.into_iter().chain([driver]).for_each(mem::forget);
    Ok(())
}

/// Loads what the library `file` of ONNX Runtime's needs.
fn check_needs(device: Device, folder: &Path, file: &Path, has_driver: bool) -> Result<Vec<Library>, Error> {
    let unavailable = |library: String, reason: String| Error::DeviceUnavailable { device, library, reason };
    if !cfg!(all(target_os = "linux", target_pointer_width = "64")) {
        return Ok(Vec::new());
    }
    let mut names = needed(file)
        .map_err(|error| unavailable(name_of(file), format!("{} cannot be read: {error}", file.display())))?;
    if names.iter().any(|name| name.starts_with("libcudart")) {
        names.push(CUDNN.to_owned());
    }
    // That the driver is missing is said by itself.
    names.retain(|name| has_driver || name != DRIVER);
    let load_one = |name: &String| {
        // The provider looks beside itself first.
        let beside = folder.join(name);
        let found = if beside.is_file() { beside.as_os_str() } else { OsStr::new(name) };
        load(found).map_err(|message| {
            let reason = format!("{} needs it: {message}", file.display());
            unavailable(missing_library(&message).unwrap_or_else(|| name.clone()), reason)
        })
    };
    names.iter().map(load_one).collect()
}

/// Whether the driver knows the GPU.
fn check_gpus(device: Device, driver: &Library) -> Result<(), Error> {
    let (Device::Cuda(number) | Device::TensorRt(number)) = device else { return Ok(()) };
    let message = match gpus(driver) {
        Ok(count) if number < count => return Ok(()),
        Ok(0) => "NVIDIA's driver finds no GPU".to_owned(),
        Ok(1) => "this machine has one GPU of NVIDIA's, number 0".to_owned(),
        Ok(count) => format!("this machine has {count} GPUs of NVIDIA's, numbers 0 to {}", count - 1),
        Err(message) => message,
    };
    Err(Error::DeviceRefused { device, message })
}

/// How many GPUs the driver finds.
fn gpus(driver: &Library) -> Result<u32, String> {
    let checked = |status: i32| match status {
        0 => Ok(()),
        // `CUDA_ERROR_NO_DEVICE` of `cuda.h`.
        100 => Err("NVIDIA's driver finds no GPU".to_owned()),
        status => Err(format!("NVIDIA's driver does not start: CUDA error {status}")),
    };
    let mut count = 0;
    // SAFETY: `cuda.h` declares both with these signatures in every release; the first takes flags, of which there are none,
    // and the second fills the place. `driver` is loaded.
    unsafe {
        let symbol = |error| format!("NVIDIA's driver is none: {}", loader_says(&error));
        let start = driver.get::<unsafe extern "C" fn(u32) -> i32>(b"cuInit\0").map_err(symbol)?;
        let fill = driver.get::<unsafe extern "C" fn(*mut i32) -> i32>(b"cuDeviceGetCount\0").map_err(symbol)?;
        checked(start(0))?;
        checked(fill(&raw mut count))?;
    }
    Ok(u32::try_from(count).unwrap_or(0))
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn load(file: &OsStr) -> Result<Library, String> {
    // SAFETY: loading runs the library's initialisers. These are NVIDIA's driver and what the providers beside the ONNX Runtime
    // which the user chose name as their needs; ONNX Runtime loads the same files when the device is used.
    unsafe { Library::new(file) }.map_err(|error| loader_says(&error))
}

/// The library that the system's loader did not find, from its message.
fn missing_library(message: &str) -> Option<String> {
    let (name, _) = message.split_once(": cannot open shared object file")?;
    Some(name.rsplit([' ', '/']).next().unwrap_or(name).to_owned())
}

/// Names of this machine's GPUs, from the driver; empty where there is none.
pub(crate) fn gpu_names() -> Vec<String> {
    let Ok(folders) = fs::read_dir("/proc/driver/nvidia/gpus") else { return Vec::new() };
    let name = |file: &Path| {
        let text = fs::read_to_string(file).ok()?;
        let model = text.lines().find_map(|line| line.strip_prefix("Model:"))?;
        Some(model.trim().to_owned())
    };
    let mut names: Vec<String> =
        folders.flatten().filter_map(|folder| name(&folder.path().join("information"))).collect();
    names.sort();
    names
}

/// The version of TensorRT that the loader finds, as one number; none where it does not.
pub(crate) fn tensorrt_version() -> Option<i32> {
    let library = load(OsStr::new(TENSORRT)).ok()?;
    // SAFETY: `NvInferRuntimeBase.h` declares the symbol with this signature since TensorRT 5; it takes nothing and reads a
    // constant, while `library` is loaded.
    unsafe { Some(library.get::<unsafe extern "C" fn() -> i32>(b"getInferLibVersion\0").ok()?()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_its_provider_is_refused_by_the_library_that_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = folder.path().join("libonnxruntime.so");
        let refused = |device: Device| match resolve(device, &runtime).unwrap_err() {
            Error::DeviceUnavailable { library, .. } => library,
            other => panic!("{other}"),
        };
        let file = |stem: &str| libloading::library_filename(stem).to_string_lossy().into_owned();
        assert_eq!(refused(Device::Cuda(0)), file("onnxruntime_providers_shared"));
        fs::write(folder.path().join(file("onnxruntime_providers_shared")), "").unwrap();
        assert_eq!(refused(Device::Cuda(0)), file("onnxruntime_providers_cuda"));
        fs::write(folder.path().join(file("onnxruntime_providers_cuda")), "").unwrap();
        assert_eq!(refused(Device::TensorRt(1)), file("onnxruntime_providers_tensorrt"));
        // All files are there, but the first one is no library.
        assert_eq!(refused(Device::Cuda(0)), file("onnxruntime_providers_shared"));
        assert_eq!(resolve(Device::Auto, &runtime).unwrap(), Device::Cpu);
        assert_eq!(resolve(Device::Cpu, &runtime).unwrap(), Device::Cpu);
    }

    #[test]
    fn the_loaders_message_names_the_library() {
        let message = "libcudnn.so.9: cannot open shared object file: No such file or directory";
        assert_eq!(missing_library(message).unwrap(), "libcudnn.so.9");
        let message = "/opt/x/libnvinfer.so.10: cannot open shared object file: No such file or directory";
        assert_eq!(missing_library(message).unwrap(), "libnvinfer.so.10");
        assert_eq!(missing_library("file too short"), None);
    }
}
