//! Whether a device can serve: looks for the libraries that it needs before ONNX Runtime does, and names the first one
//! that is missing.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use berth_types::{Device, Precision};
use libloading::Library;

use crate::Error;

/// NVIDIA's driver, which comes with the machine and not with a package.
const DRIVER: &str = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so.1" };

/// TensorRT, as ONNX Runtime's provider needs it.
const TENSORRT: &str = if cfg!(windows) { "nvinfer_10.dll" } else { "libnvinfer.so.10" };

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
        let library = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let reason = format!("it is not in {}: this is ONNX Runtime for processors only", folder.display());
        return Err(Error::DeviceUnavailable { device, library, reason });
    }
    // They stay loaded until the last one was looked at, because each needs those before it.
    let mut loaded = Vec::new();
    for file in &files {
        loaded.push(load(file.as_os_str()).map_err(|message| {
            let reason = format!("{} needs it: {message}", file.display());
            let own_name = || file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Error::DeviceUnavailable { device, library: missing_library(&message).unwrap_or_else(own_name), reason }
        })?);
    }
    load(OsStr::new(DRIVER)).map_err(|message| Error::DeviceUnavailable {
        device,
        library: DRIVER.to_owned(),
        reason: format!("NVIDIA's driver does not load: {message}"),
    })?;
    Ok(())
}

fn load(file: &OsStr) -> Result<Library, String> {
    // SAFETY: loading runs the library's initialisers. These are NVIDIA's driver and the providers that lie beside the ONNX
    // Runtime which the user chose; ONNX Runtime loads the same files when the device is used.
    unsafe { Library::new(file) }.map_err(|error| error.to_string())
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
