//! The table of functions by which ONNX Runtime knows an operator, and what a kernel sees of its node and run.
//!
//! `ort` has such a table, but hands a kernel `&mut self`, and a session here is run by several threads at once.

use std::ffi::{CStr, CString, c_int, c_void};
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};

use ort::sys::{self, ONNXTensorElementDataType as Element};

pub(super) const F32: Element = Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
pub(super) const I8: Element = Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8;
pub(super) const I32: Element = Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;

/// An operator whose one output is of f32.
pub(super) trait Operator: Sized + Sync {
    const NAME: &'static CStr;
    /// Elements of the inputs, all of which have to be there.
    const INPUTS: &'static [Element];
    /// How long the output's last axis is; all others are those of the first input.
    const LAST_AXIS: LastAxis;

    /// Reads the attributes of a node.
    fn of(node: &Node) -> ort::Result<Self>;
    /// Computes the output.
    fn compute(&self, run: &Run) -> ort::Result<()>;
}

/// What the length of an output's last axis follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastAxis {
    /// The first input's, of which it is such a part. Where it is all of it, the output may take the input's place.
    PartOfFirst(i64),
    /// It is that of the input with this number.
    OfInput(usize),
}

/// The attributes of a node.
pub(super) struct Node(*const sys::OrtKernelInfo);

impl Node {
    pub(super) fn whole(&self, name: &CStr) -> ort::Result<usize> {
        let mut value = 0;
        // SAFETY: the node is alive while its operator is made, and the call fills its place.
        unsafe {
            let status = (ort::api().KernelInfoGetAttribute_int64)(self.0, name.as_ptr(), &raw mut value);
            ort::Error::result_from_status(status)?;
        }
        usize::try_from(value).map_err(|_| ort::Error::new(format!("{} is {value}", name.to_string_lossy())))
    }

    pub(super) fn real(&self, name: &CStr) -> ort::Result<f32> {
        let mut value = 0.0;
        // SAFETY: as above.
        unsafe {
            let status = (ort::api().KernelInfoGetAttribute_float)(self.0, name.as_ptr(), &raw mut value);
            ort::Error::result_from_status(status)?;
        }
        Ok(value)
    }
}

/// One run of a node.
pub(super) struct Run(*mut sys::OrtKernelContext);

impl Run {
    pub(super) fn input(&self, index: usize) -> ort::Result<Tensor<'_>> {
        let mut value = ptr::null();
        // SAFETY: the context is alive during the run, and the call fills its place.
        unsafe {
            ort::Error::result_from_status((ort::api().KernelContext_GetInput)(self.0, index, &raw mut value))?;
        }
        // SAFETY: the value lives through the run, as `self` does.
        unsafe { Tensor::of(value) }
    }

    /// The output, in a place that ONNX Runtime chooses.
    pub(super) fn output(&self, shape: &[i64]) -> ort::Result<Tensor<'_>> {
        let mut value = ptr::null_mut();
        // SAFETY: as above; the shape is as long as stated.
        unsafe {
            let get = ort::api().KernelContext_GetOutput;
            ort::Error::result_from_status(get(self.0, 0, shape.as_ptr(), shape.len(), &raw mut value))?;
        }
        // SAFETY: the value lives through the run, as `self` does.
        unsafe { Tensor::of(value) }
    }
}

/// A tensor of a run, in the processor's memory.
pub(super) struct Tensor<'r> {
    pub(super) shape: &'r [i64],
    pub(super) data: *mut c_void,
}

impl<'r> Tensor<'r> {
    /// # Safety
    /// The value is a tensor that lives for `'r`.
    unsafe fn of(value: *const sys::OrtValue) -> ort::Result<Self> {
        let (mut element, mut sizes, mut axes, mut data) = (F32, ptr::null(), 0, ptr::null_mut());
        // SAFETY: the caller vouches for the value; the calls fill their places.
        unsafe {
            let describe = ort::api().GetTensorElementTypeAndShapeDataReference;
            ort::Error::result_from_status(describe(value, &raw mut element, &raw mut sizes, &raw mut axes))?;
            let status = (ort::api().GetTensorMutableData)(value.cast_mut(), &raw mut data);
            ort::Error::result_from_status(status)?;
        }
        // SAFETY: the sizes belong to the tensor; for a scalar there are none.
        let shape = if axes == 0 { &[] } else { unsafe { slice::from_raw_parts(sizes, axes) } };
        Ok(Self { shape, data })
    }

    /// The length of the last axis.
    pub(super) fn last(&self) -> usize {
        self.shape.last().map_or(1, |&length| length as usize)
    }

    fn count(&self) -> usize {
        self.shape.iter().product::<i64>() as usize
    }

    /// # Safety
    /// The tensor holds `T`, and nobody writes to it meanwhile.
    pub(super) unsafe fn values<T>(&self) -> &'r [T] {
        if self.count() == 0 {
            return &[];
        }
        // SAFETY: the caller vouches for the type; a tensor holds as many as its shape says, aligned, through the run.
        unsafe { slice::from_raw_parts(self.data.cast(), self.count()) }
    }

    /// # Safety
    /// The tensor holds `T`, and nobody else looks at it meanwhile.
    pub(super) unsafe fn values_mut<T>(&self) -> &'r mut [T] {
        if self.count() == 0 {
            return &mut [];
        }
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(self.data.cast(), self.count()) }
    }
}

/// The functions by which ONNX Runtime knows an operator.
pub(super) const fn table<O: Operator>() -> sys::OrtCustomOp {
    sys::OrtCustomOp {
        version: sys::ORT_API_VERSION,
        CreateKernel: None,
        GetName: Some(name::<O>),
        GetExecutionProviderType: Some(no_provider),
        GetInputType: Some(input_type::<O>),
        GetInputTypeCount: Some(input_count::<O>),
        GetOutputType: Some(output_type),
        GetOutputTypeCount: Some(one),
        KernelCompute: None,
        KernelDestroy: Some(destroy::<O>),
        GetInputCharacteristic: Some(required),
        GetOutputCharacteristic: Some(required),
        GetInputMemoryType: Some(default_memory),
        GetVariadicInputMinArity: Some(no_number),
        GetVariadicInputHomogeneity: Some(no_number),
        GetVariadicOutputMinArity: Some(no_number),
        GetVariadicOutputHomogeneity: Some(no_number),
        CreateKernelV2: Some(create::<O>),
        KernelComputeV2: Some(compute::<O>),
        InferOutputShapeFn: Some(infer_shape::<O>),
        GetStartVersion: Some(first_version),
        GetEndVersion: Some(first_version),
        GetMayInplace: Some(may_in_place::<O>),
        ReleaseMayInplace: Some(release_pair),
        GetAliasMap: Some(no_alias),
        ReleaseAliasMap: Some(release_pair),
    }
}

type Op = *const sys::OrtCustomOp;

unsafe extern "system" fn name<O: Operator>(_: Op) -> *const std::ffi::c_char {
    O::NAME.as_ptr()
}

unsafe extern "system" fn no_provider(_: Op) -> *const std::ffi::c_char {
    ptr::null()
}

unsafe extern "system" fn input_type<O: Operator>(_: Op, index: usize) -> Element {
    O::INPUTS[index]
}

unsafe extern "system" fn input_count<O: Operator>(_: Op) -> usize {
    O::INPUTS.len()
}

unsafe extern "system" fn output_type(_: Op, _: usize) -> Element {
    F32
}

unsafe extern "system" fn one(_: Op) -> usize {
    1
}

unsafe extern "system" fn required(_: Op, _: usize) -> sys::OrtCustomOpInputOutputCharacteristic {
    sys::OrtCustomOpInputOutputCharacteristic::INPUT_OUTPUT_REQUIRED
}

unsafe extern "system" fn default_memory(_: Op, _: usize) -> sys::OrtMemType {
    sys::OrtMemType::OrtMemTypeDefault
}

unsafe extern "system" fn no_number(_: Op) -> c_int {
    0
}

unsafe extern "system" fn first_version(_: Op) -> c_int {
    1
}

unsafe extern "system" fn create<O: Operator>(
    _: Op,
    _: *const sys::OrtApi,
    info: *const sys::OrtKernelInfo,
    kernel: *mut *mut c_void,
) -> sys::OrtStatusPtr {
    status(O::of(&Node(info)).map(|operator| {
        // SAFETY: the caller gives a place for the kernel, which comes back to `destroy`.
        unsafe { *kernel = Box::into_raw(Box::new(operator)).cast() };
    }))
}

unsafe extern "system" fn compute<O: Operator>(
    kernel: *mut c_void,
    context: *mut sys::OrtKernelContext,
) -> sys::OrtStatusPtr {
    // SAFETY: the kernel is what `create` made; all threads that run it only read.
    status(unsafe { &*kernel.cast::<O>() }.compute(&Run(context)))
}

unsafe extern "system" fn destroy<O: Operator>(kernel: *mut c_void) {
    // SAFETY: the kernel is what `create` made, and is not used after this.
    drop(unsafe { Box::from_raw(kernel.cast::<O>()) });
}

unsafe extern "system" fn infer_shape<O: Operator>(
    _: Op,
    context: *mut sys::OrtShapeInferContext,
) -> sys::OrtStatusPtr {
    // SAFETY: the caller's context is alive.
    status(unsafe { infer_shape_of::<O>(context) })
}

/// Tells the output's shape, with the names of its lengths, as far as the input's is known.
///
/// # Safety
/// The context is alive.
unsafe fn infer_shape_of<O: Operator>(context: *mut sys::OrtShapeInferContext) -> ort::Result<()> {
    let api = ort::api();
    let (mut input, mut other, mut axes, mut other_axes) = (ptr::null_mut(), ptr::null_mut(), 0, 0);
    // SAFETY: each call fills the place that it is given; the input's shape and names belong to the context, the output's
    // shape is released here.
    unsafe {
        let checked = |status| ort::Error::result_from_status(status);
        checked((api.ShapeInferContext_GetInputTypeShape)(context, 0, &raw mut input))?;
        checked((api.GetDimensionsCount)(input, &raw mut axes))?;
        if axes == 0 {
            return Ok(());
        }
        let (mut lengths, mut names) = (vec![0_i64; axes], vec![ptr::null(); axes]);
        checked((api.GetDimensions)(input, lengths.as_mut_ptr(), axes))?;
        checked((api.GetSymbolicDimensions)(input, names.as_mut_ptr(), axes))?;
        let last = match O::LAST_AXIS {
            LastAxis::PartOfFirst(times) => lengths[axes - 1] / times,
            LastAxis::OfInput(index) => {
                checked((api.ShapeInferContext_GetInputTypeShape)(context, index, &raw mut other))?;
                checked((api.GetDimensionsCount)(other, &raw mut other_axes))?;
                let mut all = vec![-1; other_axes];
                checked((api.GetDimensions)(other, all.as_mut_ptr(), other_axes))?;
                all.last().copied().unwrap_or(-1)
            }
        };
        // A length that is not known is negative, and a known one has no name.
        lengths[axes - 1] =
            if lengths[axes - 1] < 0 && matches!(O::LAST_AXIS, LastAxis::PartOfFirst(_)) { -1 } else { last };
        if O::LAST_AXIS != LastAxis::PartOfFirst(1) {
            names[axes - 1] = c"".as_ptr();
        }
        // Without a name, ONNX Runtime would take -1 for a known length, and end the process where it cuts such an axis.
        let mut own_names = Vec::new();
        for (&length, name) in lengths.iter().zip(&mut names) {
            if length < 0 && CStr::from_ptr(*name).is_empty() {
                own_names.push(unknown_length());
                *name = own_names[own_names.len() - 1].as_ptr();
            }
        }
        let mut output = ptr::null_mut();
        checked((api.CreateTensorTypeAndShapeInfo)(&raw mut output))?;
        let told = checked((api.SetTensorElementType)(output, F32))
            .and_then(|()| checked((api.SetDimensions)(output, lengths.as_ptr(), axes)))
            .and_then(|()| checked((api.SetSymbolicDimensions)(output, names.as_mut_ptr(), axes)))
            .and_then(|()| checked((api.ShapeInferContext_SetOutputTypeShape)(context, 0, output)));
        (api.ReleaseTensorTypeAndShapeInfo)(output);
        told
    }
}

/// A name that no other length has: nothing is said of it.
fn unknown_length() -> CString {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    CString::new(format!("berth.unknown.{number}")).expect("a number has no zero byte")
}

/// The first input is a place for the only output.
static FIRST: c_int = 0;

unsafe extern "system" fn may_in_place<O: Operator>(inputs: *mut *mut c_int, outputs: *mut *mut c_int) -> usize {
    if O::LAST_AXIS != LastAxis::PartOfFirst(1) {
        // SAFETY: the places are the caller's.
        return unsafe { no_alias(inputs, outputs) };
    }
    // SAFETY: the places are the caller's, who reads one number behind each pointer and writes none.
    unsafe {
        *inputs = (&raw const FIRST).cast_mut();
        *outputs = (&raw const FIRST).cast_mut();
    }
    1
}

unsafe extern "system" fn no_alias(inputs: *mut *mut c_int, outputs: *mut *mut c_int) -> usize {
    // SAFETY: the places are the caller's.
    unsafe {
        *inputs = ptr::null_mut();
        *outputs = ptr::null_mut();
    }
    0
}

unsafe extern "system" fn release_pair(_: *mut c_int, _: *mut c_int) {}

fn status(result: ort::Result<()>) -> sys::OrtStatusPtr {
    match result {
        Ok(()) => sys::OrtStatusPtr(ptr::null_mut()),
        Err(error) => {
            let message = CString::new(error.to_string()).unwrap_or_default();
            // SAFETY: the message is a C string, of which the call makes a copy.
            unsafe { (ort::api().CreateStatus)(sys::OrtErrorCode::ORT_FAIL, message.as_ptr()) }
        }
    }
}
