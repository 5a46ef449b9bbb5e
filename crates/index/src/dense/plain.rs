//! Numbers as bytes and bytes as numbers, in place: files are mapped and read as they lie.

// Numbers are read in place, so the machine must order their bytes as the files do.
#[cfg(target_endian = "big")]
compile_error!("index files are little-endian and are mapped as they are");

/// Types without padding, for which any bytes are a value.
pub(super) trait Plain: Copy {}
impl Plain for u8 {}
impl Plain for u32 {}
impl Plain for u64 {}
impl Plain for f32 {}
impl Plain for [u8; 16] {}

/// The bytes of numbers.
pub(super) fn bytes_of<T: Plain>(numbers: &[T]) -> &[u8] {
    // SAFETY: `T: Plain` has no padding, any byte is a `u8`, the range is the slice's own, and `u8` needs no alignment.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) }
}

/// The numbers that bytes are; a rest that is no whole number is left out.
///
/// # Panics
/// When the bytes are not aligned as the numbers have to be: sections of files are.
pub(super) fn numbers_of<T: Plain>(bytes: &[u8]) -> &[T] {
    assert_eq!(bytes.as_ptr().align_offset(align_of::<T>()), 0, "sections are aligned");
    // SAFETY: `T: Plain` takes any bytes, the alignment was just checked, the numbers take no more bytes than there are,
    // and the slice borrows them.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / size_of::<T>()) }
}
