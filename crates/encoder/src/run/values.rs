//! Tensors of ONNX Runtime's and the raw calls that run a session on them.

use std::ffi::c_void;
use std::ptr;

use ort::AsPointer;
use ort::memory::{Allocator, MemoryInfo};
use ort::session::IoBinding;
use ort::sys;

use crate::session::Graph;

pub(super) const INT32: sys::ONNXTensorElementDataType =
    sys::ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
pub(super) const INT64: sys::ONNXTensorElementDataType =
    sys::ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
pub(super) const FLOAT16: sys::ONNXTensorElementDataType =
    sys::ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
pub(super) const FLOAT: sys::ONNXTensorElementDataType =
    sys::ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;

impl Graph {
    /// Runs the session; `inputs` are in the order of the interface, and so are the values returned.
    pub(super) fn run_raw(&self, inputs: &[Value<'_>]) -> ort::Result<Vec<Value<'static>>> {
        let input_names: Vec<_> = self.input_names.iter().map(|name| name.as_ptr()).collect();
        let output_names: Vec<_> = self.output_names.iter().map(|name| name.as_ptr()).collect();
        let input_values: Vec<*const sys::OrtValue> = inputs.iter().map(|value| value.pointer.cast_const()).collect();
        let mut output_values: Vec<*mut sys::OrtValue> = vec![ptr::null_mut(); output_names.len()];
        // SAFETY: the session is alive as long as `self`; names are C strings and values tensors that live through the
        // call; the lists are as long as stated. The call changes nothing of the session that another thread sees: on
        // the CPU provider ONNX Runtime documents concurrent calls, and elsewhere there is one worker (`opening.rs`).
        let status = unsafe {
            (ort::api().Run)(
                self.session.ptr().cast_mut(),
                ptr::null(),
                input_names.as_ptr(),
                input_values.as_ptr(),
                input_values.len(),
                output_names.as_ptr(),
                output_names.len(),
                output_values.as_mut_ptr(),
            )
        };
        // Values that were made belong to this function, also when the call failed.
        let values: Vec<Value<'static>> = output_values.into_iter().map(Value::owned).collect();
        checked(status)?;
        Ok(values)
    }

    /// As [`Graph::run_raw`] by `binding`, which is of this session: inputs are on the device before the run begins, and
    /// outputs are made in the processor's memory.
    pub(super) fn run_bound(
        &self,
        binding: &mut IoBinding,
        memory: &MemoryInfo<'_>,
        inputs: &[Value<'_>],
    ) -> ort::Result<Vec<Value<'static>>> {
        let values = self.bind_and_run(binding, memory, inputs).and_then(|()| outputs_of(binding));
        // The next run must see nothing of this one, least of all the buffers of its inputs.
        binding.clear();
        values
    }

    fn bind_and_run(&self, binding: &IoBinding, memory: &MemoryInfo<'_>, inputs: &[Value<'_>]) -> ort::Result<()> {
        let (api, bound) = (ort::api(), binding.ptr().cast_mut());
        // SAFETY: binding and session are alive, names are C strings, and inputs live through the run. An output that
        // is bound to a place alone is made by the run, in the size that it has then. Nothing else runs meanwhile, as in
        // `run_raw`.
        unsafe {
            for (name, input) in self.input_names.iter().zip(inputs) {
                checked((api.BindInput)(bound, name.as_ptr(), input.pointer))?;
            }
            for name in &self.output_names {
                checked((api.BindOutputToDevice)(bound, name.as_ptr(), memory.ptr()))?;
            }
            checked((api.SynchronizeBoundInputs)(bound))?;
            checked((api.RunWithBinding)(self.session.ptr().cast_mut(), ptr::null(), bound))?;
            checked((api.SynchronizeBoundOutputs)(bound))
        }
    }
}

/// The outputs of a run by `binding`, in the order in which they were bound.
fn outputs_of(binding: &IoBinding) -> ort::Result<Vec<Value<'static>>> {
    let allocator = Allocator::default();
    let (mut list, mut count) = (ptr::null_mut(), 0);
    // SAFETY: the binding is alive, and the call fills both places.
    checked(unsafe {
        (ort::api().GetBoundOutputValues)(binding.ptr(), allocator.ptr().cast_mut(), &raw mut list, &raw mut count)
    })?;
    if list.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the list holds so many values, which belong to this function, as the list itself does until it is freed.
    unsafe {
        let values = std::slice::from_raw_parts(list, count).iter().map(|&value| Value::owned(value)).collect();
        checked((ort::api().AllocatorFree)(allocator.ptr().cast_mut(), list.cast()))?;
        Ok(values)
    }
}

fn checked(status: sys::OrtStatusPtr) -> ort::Result<()> {
    // SAFETY: statuses come from calls of ONNX Runtime's, and each is checked once.
    unsafe { ort::Error::result_from_status(status) }
}

/// A tensor of ONNX Runtime's; one made over a buffer lives no longer than the buffer.
pub(super) struct Value<'a> {
    pointer: *mut sys::OrtValue,
    buffer: std::marker::PhantomData<&'a ()>,
}

impl<'a> Value<'a> {
    /// A tensor over `buffer`, which holds as many elements as `shape` says, of the type that `element` names.
    pub(super) fn over<T>(
        memory: &MemoryInfo<'_>,
        buffer: &'a [T],
        shape: &[i64],
        element: sys::ONNXTensorElementDataType,
    ) -> ort::Result<Self> {
        let mut pointer = ptr::null_mut();
        // SAFETY: the buffer and the shape are as long as stated, and the buffer outlives the tensor by its lifetime. An
        // input is only read.
        let status = unsafe {
            (ort::api().CreateTensorWithDataAsOrtValue)(
                memory.ptr(),
                buffer.as_ptr().cast_mut().cast::<c_void>(),
                size_of_val(buffer),
                shape.as_ptr(),
                shape.len(),
                element,
                &raw mut pointer,
            )
        };
        checked(status)?;
        Ok(Self { pointer, buffer: std::marker::PhantomData })
    }

    /// Takes over a value that ONNX Runtime made; null stands for none.
    fn owned(pointer: *mut sys::OrtValue) -> Self {
        Self { pointer, buffer: std::marker::PhantomData }
    }

    /// Element type, sizes and data of a tensor in the processor's memory.
    pub(super) fn contents(&self) -> ort::Result<Contents<'_>> {
        let (mut element, mut sizes, mut axes) = (FLOAT, ptr::null(), 0);
        // SAFETY: the value is a tensor that is alive; the call fills the three places.
        let status = unsafe {
            (ort::api().GetTensorElementTypeAndShapeDataReference)(
                self.pointer,
                &raw mut element,
                &raw mut sizes,
                &raw mut axes,
            )
        };
        checked(status)?;
        let mut data = ptr::null_mut();
        // SAFETY: as above.
        let status = unsafe { (ort::api().GetTensorMutableData)(self.pointer, &raw mut data) };
        checked(status)?;
        // SAFETY: the sizes belong to the tensor, `axes` of them, and live as long as it; for a scalar there are none.
        let shape = if axes == 0 { &[] } else { unsafe { std::slice::from_raw_parts(sizes, axes) } };
        Ok(Contents { element, shape, data: data.cast_const() })
    }
}

pub(super) struct Contents<'a> {
    pub(super) element: sys::ONNXTensorElementDataType,
    pub(super) shape: &'a [i64],
    data: *const c_void,
}

impl<'a> Contents<'a> {
    /// The elements of the tensor.
    ///
    /// # Safety
    /// The tensor holds `count` elements of type `T` in the processor's memory.
    pub(super) unsafe fn elements<T>(&self, count: usize) -> &'a [T] {
        // A tensor of no elements may have no address.
        if count == 0 {
            return &[];
        }
        // SAFETY: the caller vouches for type and number; ONNX Runtime aligns tensors to 64 bytes, and they live as long
        // as the value that is borrowed.
        unsafe { std::slice::from_raw_parts(self.data.cast(), count) }
    }
}

impl Drop for Value<'_> {
    fn drop(&mut self) {
        if !self.pointer.is_null() {
            // SAFETY: the value belongs to this one and is not used after it.
            unsafe { (ort::api().ReleaseValue)(self.pointer) };
        }
    }
}
